//! Frames: their heads, and masking (RFC 6455 §5.2, §5.3).

use bytes::{BufMut, BytesMut};
use yizhan_talk::{Again, Close};

/// Bytes that a control frame's payload may have (RFC 6455 §5.5).
pub(crate) const CONTROL_BYTES_MAX: usize = 125;

/// A protocol error with its reason.
pub(crate) const fn broken(reason: &'static str) -> Close {
    Close::new(1002, reason, Again::Never)
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn new(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    pub(crate) fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) fin: bool,
    /// The message is compressed (RFC 7692 §6).
    pub(crate) compressed: bool,
    pub(crate) opcode: Opcode,
    pub(crate) mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub(crate) len: u64,
    /// Bytes of the head itself.
    pub(crate) size: usize,
}

impl Head {
    /// Reads the head at the front of `input`; `None` where it is not complete.
    pub(crate) fn parse(input: &[u8]) -> Result<Option<Self>, Close> {
        let [first, second, ..] = *input else { return Ok(None) };
        if first & 0x30 != 0 {
            return Err(broken("reserved bits are set (RFC 6455, 5.2)"));
        }
        let opcode = Opcode::new(first & 0x0f).ok_or(broken("reserved opcode (RFC 6455, 5.2)"))?;
        let (fin, compressed) = (first & 0x80 != 0, first & 0x40 != 0);
        let short = second & 0x7f;
        if opcode.is_control() && (!fin || compressed || usize::from(short) > CONTROL_BYTES_MAX) {
            return Err(broken("control frames are short, whole and plain (RFC 6455, 5.5)"));
        }
        let wide = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let masked = second & 0x80 != 0;
        let size = 2 + wide + if masked { 4 } else { 0 };
        if input.len() < size {
            return Ok(None);
        }
        let len = match wide {
            0 => u64::from(short),
            _ => input[2..2 + wide].iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
        };
        let least = match wide {
            0 => 0,
            2 => 126,
            _ => 1 << 16,
        };
        if len < least || len >> 63 != 0 {
            return Err(broken("a length is written as short as it can be (RFC 6455, 5.2)"));
        }
        let mask = masked.then(|| [input[size - 4], input[size - 3], input[size - 2], input[size - 1]]);
        Ok(Some(Self { fin, compressed, opcode, mask, len, size }))
    }
}

/// How long the head of an unmasked frame of `len` bytes is.
pub(crate) fn head_len(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Writes the head of a whole, unmasked frame; `head` is as long as [`head_len`] says.
pub(crate) fn write_head(head: &mut [u8], opcode: Opcode, compressed: bool, len: usize) {
    head[0] = 0x80 | if compressed { 0x40 } else { 0 } | opcode as u8;
    match head.len() {
        2 => head[1] = len as u8,
        4 => {
            head[1] = 126;
            head[2..].copy_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            head[1] = 127;
            head[2..].copy_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// Appends a whole frame, masked with `mask` where there is one.
pub(crate) fn put_frame(
    out: &mut BytesMut,
    opcode: Opcode,
    compressed: bool,
    mask: Option<[u8; 4]>,
    payload: &[u8],
) {
    let mut head = [0; 10];
    let head = &mut head[..head_len(payload.len())];
    write_head(head, opcode, compressed, payload.len());
    if mask.is_some() {
        head[1] |= 0x80;
    }
    out.reserve(head.len() + 4 + payload.len());
    out.put_slice(head);
    if let Some(key) = mask {
        out.put_slice(&key);
    }
    let start = out.len();
    out.put_slice(payload);
    if let Some(key) = mask {
        apply_mask(&mut out[start..], key, 0);
    }
}

/// Masks or unmasks `bytes`, the first of which is number `at` of its payload (RFC 6455 §5.3).
pub(crate) fn apply_mask(bytes: &mut [u8], key: [u8; 4], at: usize) {
    let key = u32::from_ne_bytes(std::array::from_fn(|i| key[(at + i) % 4]));
    let wide = u64::from(key) << 32 | u64::from(key);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= mask;
    }
}

/// Whether a code may stand in a close frame (RFC 6455 §7.4, and the registry behind it).
pub(crate) fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The payload of a close frame: the code, and as much of the reason as fits.
pub(crate) fn close_payload(close: &Close) -> BytesMut {
    let code = if is_close_code(close.code) { close.code } else { Close::INTERNAL.code };
    let mut cut = close.reason.len().min(CONTROL_BYTES_MAX - 2);
    while !close.reason.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut payload = BytesMut::with_capacity(2 + cut);
    payload.put_u16(code);
    payload.put_slice(&close.reason.as_bytes()[..cut]);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_is_the_same_byte_by_byte_at_any_place() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for at in 0..9 {
            for len in 0..40 {
                let plain: Vec<u8> = (0..len).collect();
                let mut masked = plain.clone();
                apply_mask(&mut masked, key, at);
                let expected: Vec<u8> =
                    plain.iter().enumerate().map(|(i, byte)| byte ^ key[(at + i) % 4]).collect();
                assert_eq!(masked, expected, "{len} bytes from {at}");
            }
        }
    }

    #[test]
    fn heads_are_read_as_written() {
        for len in [0, 1, 125, 126, 127, 0xffff, 0x10000] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let mut frame = BytesMut::new();
                put_frame(&mut frame, Opcode::Binary, true, mask, &vec![7; len]);
                let head = Head::parse(&frame).unwrap().unwrap();
                assert_eq!((head.len, head.mask, head.opcode), (len as u64, mask, Opcode::Binary));
                assert!(head.fin && head.compressed);
                assert_eq!(head.size + len, frame.len());
                for cut in 0..head.size {
                    assert_eq!(Head::parse(&frame[..cut]), Ok(None), "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn lengths_are_written_as_short_as_they_can_be() {
        for bad in [
            &[0x82, 126, 0, 125][..],
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0x82, 127, 0x80, 0, 0, 0, 0, 1, 0, 0],
        ] {
            assert!(Head::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let close = Close { reason: "驿".repeat(100).into(), ..Close::NORMAL };
        let payload = close_payload(&close);
        assert_eq!(payload.len(), 2 + 123);
        assert!(std::str::from_utf8(&payload[2..]).is_ok());
    }
}
