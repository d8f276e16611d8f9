//! What is put into each picture so that it can be known again behind any protocol: an SEI message of H.264 with
//! the picture's number.
//!
//! Whoever looks for it needs to know nothing of RTMP's chunks, FLV's tags, or the boxes and packets of HLS.

use memchr::memmem::Finder;

/// What an SEI message of user data begins with (H.264 §D.1.6): sixteen bytes that nobody else uses.
const UUID: &[u8; 16] = b"yizhan-bench-~~~";
/// Behind it: whether it is a key frame, its number and how many bytes follow, in hexadecimal.
const TEXT_BYTES: usize = 1 + 8 + 6;
/// All of it, as it is looked for.
pub(super) const MARK_BYTES: usize = UUID.len() + TEXT_BYTES;

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) number: u32,
    pub(super) key: bool,
    /// Bytes of the picture behind the mark.
    pub(super) rest: u32,
}

impl Mark {
    /// The mark as a NAL unit behind its length, to be put in front of the picture.
    pub(super) fn unit(self) -> Vec<u8> {
        // Type 6 is SEI, payload type 5 is unregistered user data; nothing in it needs emulation prevention.
        let mut unit = vec![0, 0, 0, (3 + MARK_BYTES + 1) as u8, 6, 5, MARK_BYTES as u8];
        unit.extend(UUID);
        let kind = if self.key { 'K' } else { 'P' };
        unit.extend(format!("{kind}{:08x}{:06x}", self.number, self.rest).as_bytes());
        unit.push(0x80);
        unit
    }

    fn read(text: &[u8]) -> Option<Self> {
        let hex = |range: std::ops::Range<usize>| {
            let digits = std::str::from_utf8(text.get(range)?).ok()?;
            u32::from_str_radix(digits, 16).ok()
        };
        let key = match text.first()? {
            b'K' => true,
            b'P' => false,
            _ => return None,
        };
        Some(Self { number: hex(1..9)?, key, rest: hex(9..TEXT_BYTES)? })
    }
}

/// Finds marks.
pub(super) struct Marks {
    finder: Finder<'static>,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self { finder: Finder::new(UUID) }
    }

    /// The first mark, and where what is behind it begins; `None` where there is no complete one.
    pub(super) fn next(&self, bytes: &[u8]) -> Option<(Mark, usize)> {
        let mut from = 0;
        while let Some(at) = self.finder.find(&bytes[from..]) {
            let text = from + at + UUID.len();
            let end = text + TEXT_BYTES;
            if end > bytes.len() {
                return None;
            }
            if let Some(mark) = Mark::read(&bytes[text..end]) {
                return Some((mark, end));
            }
            from = text;
        }
        None
    }

    /// All marks.
    pub(super) fn all(&self, mut bytes: &[u8]) -> Vec<Mark> {
        let mut all = Vec::new();
        while let Some((mark, end)) = self.next(bytes) {
            all.push(mark);
            bytes = &bytes[end..];
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_again_and_half_a_mark_is_none() {
        let mark = Mark { number: 0xabc, key: true, rest: 30_000 };
        let mut bytes = b"before".to_vec();
        bytes.extend(mark.unit());
        let marks = Marks::new();
        assert_eq!(marks.all(&bytes), [mark]);
        // The last byte closes the SEI message.
        assert_eq!(marks.next(&bytes).unwrap().1, bytes.len() - 1);
        assert_eq!(marks.next(&bytes[..bytes.len() - 2]), None);
        assert_eq!(bytes[6 + 3] as usize, bytes.len() - 6 - 4);
    }
}
