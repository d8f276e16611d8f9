//! permessage-deflate (RFC 7692), without a window kept from message to message on either side.
//!
//! So a connection owns no compressor: each thread has one and lends it. What is lost is that messages
//! are not compressed with the help of those before them.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use yizhan_talk::{Again, Close};

use crate::Deflate;

/// What every message ends with on its way through the inflater (RFC 7692 §7.2.2).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Bytes that are inflated at a time.
const PIECE_BYTES: usize = 16 * 1024;
/// Over which time the share of compression is measured.
const SHARE_WINDOW: Duration = Duration::from_millis(100);
/// Offers that are looked at; the first good one is taken.
const OFFERS_MAX: usize = 16;

const NOT_DEFLATE: Close = Close::new(1007, "the compressed data is damaged (RFC 7692, 7.2.2)", Again::Never);

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The window that the client has room for, as a power of two.
    pub(crate) window_bits: u8,
    /// Whether the client said how large its window is: then it is repeated to it.
    named: bool,
}

impl Agreed {
    /// What stands in the response's `Sec-WebSocket-Extensions`.
    pub(crate) fn header(self) -> String {
        let mut text =
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover".to_owned();
        if self.named {
            text.push_str(&format!("; server_max_window_bits={}", self.window_bits));
        }
        text
    }
}

/// Takes the first offer that can be honoured (RFC 7692 §7.1).
pub(crate) fn agree<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Agreed> {
    headers.flat_map(|header| header.split(',')).take(OFFERS_MAX).find_map(read_offer)
}

/// An offer with a parameter that is unknown, repeated or of a wrong value is declined (RFC 7692 §7).
fn read_offer(offer: &str) -> Option<Agreed> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
        return None;
    }
    let mut agreed = Agreed { window_bits: 15, named: false };
    let mut seen = Vec::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (part, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            (
                "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits",
                None,
            ) => {}
            ("client_max_window_bits", Some(bits)) => {
                window_bits(bits)?;
            }
            ("server_max_window_bits", Some(bits)) => {
                // zlib cannot keep to a window of 256 bytes.
                agreed.window_bits = window_bits(bits).filter(|bits| *bits > 8)?;
                agreed.named = true;
            }
            _ => return None,
        }
    }
    Some(agreed)
}

fn window_bits(text: &str) -> Option<u8> {
    text.parse().ok().filter(|bits| (8..=15).contains(bits) && !text.starts_with(['0', '+']))
}

/// What a client offers.
pub(crate) const OFFER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Whether a server's answer to [`OFFER`] is one that we can live with.
pub(crate) fn is_answer(header: &str) -> bool {
    let mut parts = header.split(';').map(str::trim);
    let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate"));
    let mut fresh = false;
    let known = parts.all(|part| match part {
        "server_no_context_takeover" => {
            fresh = true;
            true
        }
        "client_no_context_takeover" => true,
        _ => part.strip_prefix("server_max_window_bits=").is_some_and(|bits| window_bits(bits).is_some()),
    });
    named && known && fresh
}

struct Thread {
    /// A compressor for each window (9 to 15 bits) and level that was used.
    compressors: Vec<((u8, u8), Compress)>,
    inflater: Option<Decompress>,
    compressed: Vec<u8>,
    share_since: Option<Instant>,
    share_spent: Duration,
}

thread_local! {
    static THREAD: RefCell<Thread> = const {
        RefCell::new(Thread {
            compressors: Vec::new(), inflater: None, compressed: Vec::new(),
            share_since: None, share_spent: Duration::ZERO,
        })
    };
}

impl Thread {
    /// Whether this thread has compressed less than its share lately.
    fn has_time(&mut self, now: Instant, percent: u8) -> bool {
        match self.share_since {
            Some(since) if now.duration_since(since) < SHARE_WINDOW => {
                self.share_spent * 100 < SHARE_WINDOW * u32::from(percent)
            }
            _ => {
                self.share_since = Some(now);
                self.share_spent = Duration::ZERO;
                percent > 0
            }
        }
    }

    fn compress(&mut self, payload: &[u8], window_bits: u8, level: u8) -> bool {
        let key = (window_bits, level);
        let at = self.compressors.iter().position(|(kept, _)| *kept == key).unwrap_or_else(|| {
            let level = Compression::new(u32::from(level.min(9)));
            self.compressors.push((key, Compress::new_with_window_bits(level, false, window_bits)));
            self.compressors.len() - 1
        });
        let compressor = &mut self.compressors[at].1;
        compressor.reset();
        self.compressed.clear();
        // What does not get smaller goes out as it is.
        self.compressed.reserve_exact(payload.len());
        let room = payload.len();
        let done = compressor.compress_vec(payload, &mut self.compressed, FlushCompress::Sync);
        if done.is_err() || compressor.total_in() != payload.len() as u64 || self.compressed.len() >= room {
            return false;
        }
        match self.compressed.strip_suffix(&TAIL) {
            Some(rest) => {
                let len = rest.len();
                self.compressed.truncate(len);
                true
            }
            None => false,
        }
    }
}

/// Compresses `payload` and gives the result to `then`; `None` where it would not be smaller, or this
/// thread has spent its share of time on compression.
pub(crate) fn compress<T>(
    payload: &[u8],
    agreed: Agreed,
    config: &Deflate,
    then: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    if payload.len() < config.bytes_min.max(1) {
        return None;
    }
    THREAD.with_borrow_mut(|thread| {
        let began = Instant::now();
        if !thread.has_time(began, config.cpu_percent_max) {
            return None;
        }
        let smaller = thread.compress(payload, agreed.window_bits, config.level);
        thread.share_spent += began.elapsed();
        let result = smaller.then(|| then(&thread.compressed));
        if thread.compressed.capacity() > 1024 * 1024 {
            thread.compressed = Vec::new();
        }
        result
    })
}

/// Inflates a message of at most `bytes_max` bytes (RFC 7692 §7.2.2).
pub(crate) fn inflate(payload: &[u8], bytes_max: usize) -> Result<BytesMut, Close> {
    THREAD.with_borrow_mut(|thread| {
        let inflater = thread.inflater.get_or_insert_with(|| Decompress::new(false));
        inflater.reset(false);
        let mut message = BytesMut::new();
        let mut piece = [0; PIECE_BYTES];
        for mut input in [payload, &TAIL] {
            loop {
                let (had, put) = (inflater.total_in(), inflater.total_out());
                let status =
                    inflater.decompress(input, &mut piece, FlushDecompress::Sync).map_err(|_| NOT_DEFLATE)?;
                let read = (inflater.total_in() - had) as usize;
                let written = (inflater.total_out() - put) as usize;
                input = &input[read..];
                if message.len() + written > bytes_max {
                    return Err(Close::TOO_BIG);
                }
                message.extend_from_slice(&piece[..written]);
                if status == Status::StreamEnd {
                    // The sender ended the stream and not only the block: what follows begins anew (§7.2.3.4).
                    inflater.reset(false);
                } else if written < PIECE_BYTES {
                    if read == 0 && !input.is_empty() {
                        return Err(NOT_DEFLATE);
                    }
                    if input.is_empty() {
                        break;
                    }
                }
                if status == Status::StreamEnd && input.is_empty() {
                    break;
                }
            }
        }
        Ok(message)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLENTY: Deflate = Deflate { on: true, bytes_min: 0, level: 6, cpu_percent_max: 100 };

    fn offer(text: &str) -> Option<String> {
        agree([text].into_iter()).map(Agreed::header)
    }

    #[test]
    fn an_offer_that_can_be_honoured_is_taken() {
        let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        for text in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=10; server_no_context_takeover",
            "x-other, permessage-deflate",
            "permessage-deflate; what_is_this, permessage-deflate",
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
        ] {
            assert_eq!(offer(text).as_deref(), Some(plain), "{text}");
        }
        assert_eq!(
            offer("permessage-deflate; server_max_window_bits=\"10\"").unwrap(),
            format!("{plain}; server_max_window_bits=10")
        );
    }

    #[test]
    fn other_offers_are_declined() {
        for text in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        ] {
            assert_eq!(offer(text), None, "{text}");
        }
    }

    #[test]
    fn a_servers_answer_is_judged() {
        assert!(is_answer(OFFER));
        assert!(is_answer("permessage-deflate; server_no_context_takeover; server_max_window_bits=12"));
        assert!(!is_answer("permessage-deflate"));
        assert!(!is_answer("permessage-deflate; server_no_context_takeover; client_max_window_bits=9"));
        assert!(!is_answer("x; server_no_context_takeover"));
    }

    /// RFC 7692, 7.2.3.1, 7.2.3.3, 7.2.3.4, 7.2.3.5.
    #[test]
    fn the_examples_of_the_standard_inflate() {
        for hex in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            assert_eq!(inflate(hex, 100).unwrap(), &b"Hello"[..], "{hex:x?}");
        }
        assert_eq!(inflate(&[0x00], 100).unwrap(), &b""[..], "an empty message (7.2.3.6)");
        assert_eq!(inflate(&[], 100).unwrap(), &b""[..]);
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let zeros = vec![0; 10_000_000];
        let agreed = Agreed { window_bits: 15, named: false };
        let bomb = compress(&zeros, agreed, &PLENTY, <[u8]>::to_vec).unwrap();
        assert!(bomb.len() < 20_000);
        assert_eq!(inflate(&bomb, 1_000_000), Err(Close::TOO_BIG));
        assert_eq!(inflate(&bomb, 10_000_000).unwrap().len(), 10_000_000);
    }

    #[test]
    fn what_does_not_get_smaller_is_not_compressed() {
        let agreed = Agreed { window_bits: 15, named: false };
        assert_eq!(compress(b"abc", agreed, &PLENTY, |_| ()), None);
        let short = Deflate { bytes_min: 100, ..PLENTY };
        assert_eq!(compress(&[b'a'; 99], agreed, &short, |_| ()), None);
        let never = Deflate { cpu_percent_max: 0, ..PLENTY };
        assert_eq!(compress(&[b'a'; 999], agreed, &never, |_| ()), None);
    }

    proptest! {
        #[test]
        fn what_is_compressed_inflates(word in "[a-z]{1,9}", n in 20usize..3000, bits in 9u8..=15) {
            let text = word.repeat(n);
            let agreed = Agreed { window_bits: bits, named: true };
            if let Some(small) = compress(text.as_bytes(), agreed, &PLENTY, <[u8]>::to_vec) {
                prop_assert!(small.len() < text.len());
                prop_assert_eq!(inflate(&small, text.len()).unwrap(), text.as_bytes());
            }
        }

        #[test]
        fn noise_inflates_or_fails(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = inflate(&noise, 5000) {
                prop_assert!(message.len() <= 5000);
            }
        }
    }
}
