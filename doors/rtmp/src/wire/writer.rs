//! Messages become chunks.

use bytes::{BufMut, BytesMut};

use super::chunk::EXTENDED;

/// What stands before a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The chunk stream: 2 to 63, see [`on`](super::chunk::on).
    pub on: u8,
    /// See [`kind`](super::message::kind).
    pub kind: u8,
    /// Milliseconds, 32 bits of them.
    pub timestamp: u32,
    /// The message stream.
    pub stream: u32,
}

/// Appends a message whose body is these parts behind one another, in chunks of `chunk_bytes`.
///
/// The head is always whole (type 0, RTMP 1.0 §5.3.1.2.1): it says nothing about what came before it, so that the same
/// bytes can go to everybody. The timestamp is repeated in each chunk where it is an extended one, as players expect
/// (§5.3.1.3). A body of more than 16 MiB cannot be said and is left out: false then.
pub fn write_message(into: &mut BytesMut, head: Head, parts: &[&[u8]], chunk_bytes: usize) -> bool {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let Some([0, len @ ..]) = u32::try_from(len).ok().map(u32::to_be_bytes) else { return false };
    let extended = head.timestamp >= EXTENDED;
    let [_, time @ ..] = head.timestamp.min(EXTENDED).to_be_bytes();
    into.put_u8(head.on & 0x3f);
    into.put_slice(&time);
    into.put_slice(&len);
    into.put_u8(head.kind);
    into.put_u32_le(head.stream);
    if extended {
        into.put_u32(head.timestamp);
    }
    let mut room = chunk_bytes;
    for part in parts {
        let mut part = *part;
        while !part.is_empty() {
            if room == 0 {
                into.put_u8(0xc0 | head.on & 0x3f);
                if extended {
                    into.put_u32(head.timestamp);
                }
                room = chunk_bytes;
            }
            let (now, rest) = part.split_at(part.len().min(room));
            into.put_slice(now);
            room -= now.len();
            part = rest;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_into_chunks_and_each_says_its_extended_time() {
        let mut bytes = BytesMut::new();
        let head = Head { on: 4, kind: 8, timestamp: 0x0100_0000, stream: 1 };
        assert!(write_message(&mut bytes, head, &[b"ab", b"", b"cde"], 2));
        let expected = [
            &[4, 0xff, 0xff, 0xff, 0, 0, 5, 8, 1, 0, 0, 0, 1, 0, 0, 0][..],
            b"ab",
            &[0xc4, 1, 0, 0, 0],
            b"cd",
            &[0xc4, 1, 0, 0, 0],
            b"e",
        ];
        assert_eq!(&bytes[..], expected.concat());
    }

    #[test]
    fn a_message_without_a_body_is_a_head() {
        let mut bytes = BytesMut::new();
        write_message(&mut bytes, Head { on: 2, kind: 3, timestamp: 5, stream: 0 }, &[], 128);
        assert_eq!(&bytes[..], [2, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 0]);
    }

    #[test]
    fn what_no_length_can_say_is_not_written() {
        let mut bytes = BytesMut::new();
        let huge = vec![0; 1 << 24];
        assert!(!write_message(
            &mut bytes,
            Head { on: 6, kind: 9, timestamp: 0, stream: 1 },
            &[&huge],
            65536
        ));
        assert!(bytes.is_empty());
    }
}
