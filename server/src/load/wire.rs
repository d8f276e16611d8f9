//! Just enough of WebSocket for a load generator: it must cost much less than the server that it measures.

use memchr::memmem::Finder;

/// Bytes that a server's frame may have here; more is taken for garbage.
const FRAME_BYTES_MAX: u64 = 64 << 20;

/// The request that opens a WebSocket (RFC 6455 §4.1). No compression is offered.
pub(crate) fn upgrade_request(host: &str, path: &str, subprotocol: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: eWl6aGFuLWJlbmNoLXdzLQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    )
    .into_bytes()
}

/// How an upgrade stands.
pub(crate) enum Upgraded {
    /// More bytes are needed.
    NotYet,
    /// It is open, and the head had so many bytes.
    Yes(usize),
    /// It was refused: the status line.
    No(String),
}

/// Reads the answer to [`upgrade_request`].
pub(crate) fn upgraded(input: &[u8]) -> Upgraded {
    let Some(end) = memchr::memmem::find(input, b"\r\n\r\n") else { return Upgraded::NotYet };
    if input.starts_with(b"HTTP/1.1 101 ") {
        return Upgraded::Yes(end + 4);
    }
    let line = input.split(|&b| b == b'\r').next().unwrap_or_default();
    Upgraded::No(String::from_utf8_lossy(line).into_owned())
}

/// Appends a text frame. The mask is zero: it hides nothing from a server that we own, and costs nothing.
pub(crate) fn push_text(out: &mut Vec<u8>, payload: &[u8]) {
    push_frame(out, 0x81, payload);
}

fn push_frame(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=65535 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// What one frame is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'b> {
    Message(&'b [u8]),
    Ping(&'b [u8]),
    Close(u16, String),
    Pong,
}

/// Takes one frame from the front of `input`: how many bytes it had, and what it is. `None`: more is needed.
///
/// # Errors
/// The server sent what it must not, or what this small reader does not know (fragments).
pub(crate) fn take_frame(input: &[u8]) -> Result<Option<(usize, Frame<'_>)>, String> {
    let [first, second, ..] = *input else { return Ok(None) };
    let (head, length) = match second {
        0..=125 => (2, u64::from(second)),
        126 if input.len() >= 4 => (4, u64::from(u16::from_be_bytes([input[2], input[3]]))),
        127 => match input.get(2..10).and_then(|b| b.try_into().ok()) {
            Some(bytes) => (10, u64::from_be_bytes(bytes)),
            None => return Ok(None),
        },
        126 => return Ok(None),
        _ => return Err("the server sent a masked frame".into()),
    };
    if length > FRAME_BYTES_MAX {
        return Err(format!("the server sent a frame of {length} bytes"));
    }
    // Below FRAME_BYTES_MAX, so it fits.
    let end = head + length as usize;
    let Some(payload) = input.get(head..end) else { return Ok(None) };
    let frame = match first {
        0x81 | 0x82 => Frame::Message(payload),
        0x88 => {
            let code = payload.get(..2).map_or(1005, |b| u16::from_be_bytes([b[0], b[1]]));
            let reason = payload.get(2..).unwrap_or_default();
            Frame::Close(code, String::from_utf8_lossy(reason).into_owned())
        }
        0x89 => Frame::Ping(payload),
        0x8a => Frame::Pong,
        _ => return Err(format!("the server sent a frame of kind {first:#04x}, which is not read here")),
    };
    Ok(Some((end, frame)))
}

/// Appends the answer to a ping.
pub(crate) fn push_pong(out: &mut Vec<u8>, payload: &[u8]) {
    push_frame(out, 0x8a, payload);
}

/// Where the stamp of a message's body begins, in the server's JSON.
const BODY: &str = "\"text\":\"";
/// Digits of a message's number in the stamp.
const NUMBER_DIGITS: usize = 12;
/// Digits of the time in the stamp, µs since the run began.
const MICROS_DIGITS: usize = 15;
/// Bytes of the stamp that each body begins with: number, time, and a space behind each.
pub(crate) const STAMP_BYTES: usize = NUMBER_DIGITS + MICROS_DIGITS + 2;

/// Writes a body's stamp.
pub(crate) fn push_stamp(out: &mut Vec<u8>, number: u64, micros: u64) {
    use std::io::Write;
    // Writing to a Vec does not fail.
    write!(out, "{number:0NUMBER_DIGITS$} {micros:0MICROS_DIGITS$} ").ok();
}

/// Finds stamped records in the server's frames without parsing them.
pub(crate) struct Scanner {
    body: Finder<'static>,
}

/// The records of one frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    pub(crate) count: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// When the first one was sent, µs since the run began.
    pub(crate) first_micros: u64,
    /// When the last one was sent, µs since the run began.
    pub(crate) last_micros: u64,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self { body: Finder::new(BODY) }
    }

    /// The stamped records of a frame; `None` where it has none.
    pub(crate) fn scan(&self, frame: &[u8]) -> Option<Scanned> {
        let mut found = self.body.find_iter(frame);
        let first_at = found.next()?;
        let (mut count, mut last_at) = (1, first_at);
        for at in found {
            count += 1;
            last_at = at;
        }
        let stamp = |at: usize| {
            let stamp = frame.get(at + BODY.len()..at + BODY.len() + STAMP_BYTES)?;
            Some((digits(&stamp[..NUMBER_DIGITS])?, digits(&stamp[NUMBER_DIGITS + 1..STAMP_BYTES - 1])?))
        };
        let (first, first_micros) = stamp(first_at)?;
        let (last, last_micros) = stamp(last_at)?;
        Some(Scanned { count, first, last, first_micros, last_micros })
    }
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_one_by_one_and_half_ones_wait() {
        let mut bytes = vec![0x81, 3];
        bytes.extend_from_slice(b"abc");
        bytes.extend_from_slice(&[0x81, 126, 0, 200]);
        bytes.extend_from_slice(&[b'x'; 200]);
        bytes.extend_from_slice(&[0x88, 2, 0x0f, 0xa9]);
        let (n, frame) = take_frame(&bytes).unwrap().unwrap();
        assert_eq!((n, frame), (5, Frame::Message(b"abc")));
        assert_eq!(take_frame(&bytes[5..100]), Ok(None));
        let (n, _) = take_frame(&bytes[5..]).unwrap().unwrap();
        assert_eq!(n, 204);
        let (_, frame) = take_frame(&bytes[5 + n..]).unwrap().unwrap();
        assert_eq!(frame, Frame::Close(4009, String::new()));
        assert!(take_frame(&[0x81, 0x83, 0, 0]).is_err());
        assert!(take_frame(&[0x01, 1, b'x']).is_err());
        assert!(take_frame(&[0x82, 127, 255, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn stamped_records_are_counted_without_parsing() {
        let mut frame = b"{\"type\":\"records\",\"records\":[".to_vec();
        for number in 7..=9 {
            frame.extend_from_slice(b"{\"topic\":\"a\",\"text\":\"");
            push_stamp(&mut frame, number, 1000 + number);
            frame.extend_from_slice(b"xxx\"},");
        }
        let scanned = Scanner::new().scan(&frame).unwrap();
        assert_eq!(scanned, Scanned { count: 3, first: 7, last: 9, first_micros: 1007, last_micros: 1009 });
        assert_eq!(Scanner::new().scan(b"{\"type\":\"pong\"}"), None);
        assert_eq!(Scanner::new().scan(b"{\"text\":\"short"), None);
    }

    #[test]
    fn an_upgrade_is_told_from_a_refusal() {
        assert!(matches!(upgraded(b"HTTP/1.1 101 Sw"), Upgraded::NotYet));
        assert!(matches!(upgraded(b"HTTP/1.1 101 Switching\r\n\r\nrest"), Upgraded::Yes(n) if n == 26));
        assert!(
            matches!(upgraded(b"HTTP/1.1 503 Busy\r\n\r\n"), Upgraded::No(l) if l == "HTTP/1.1 503 Busy")
        );
    }
}
