//! Several messages in one (RTMP 1.0 §7.1.6): FLV tags behind one another.

use bytes::Bytes;
use yizhan_wire::Reader;

use super::{Message, message::kind};

/// Bytes before a message within: its kind, its length, its time in four bytes, its message stream.
const HEAD_BYTES: usize = 11;

/// The messages within an aggregate message. An aggregate within an aggregate, and what is cut off at the end, is left
/// out.
#[derive(Debug)]
pub struct Parts {
    rest: Bytes,
    stream: u32,
    begin: u32,
    /// The timestamp of the first message within: the others are counted from it.
    first: Option<u32>,
}

impl Parts {
    /// The messages within `aggregate`.
    #[must_use]
    pub fn new(aggregate: &Message) -> Self {
        Self {
            rest: aggregate.body.clone(),
            stream: aggregate.stream,
            begin: aggregate.timestamp,
            first: None,
        }
    }
}

impl Iterator for Parts {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        loop {
            let mut head = Reader::new(&self.rest);
            let kind = head.u8().ok()?;
            let len = head.u24_be().ok()? as usize;
            let low = head.u24_be().ok()?;
            let high = head.u8().ok()?;
            let time = u32::from(high) << 24 | low;
            if self.rest.len() < HEAD_BYTES + len {
                return None;
            }
            let body = self.rest.slice(HEAD_BYTES..HEAD_BYTES + len);
            // The back pointer behind it may be missing behind the last one.
            let next = (HEAD_BYTES + len + 4).min(self.rest.len());
            self.rest = self.rest.slice(next..);
            let first = *self.first.get_or_insert(time);
            if kind != kind::AGGREGATE {
                let timestamp = self.begin.wrapping_add(time.wrapping_sub(first));
                return Some(Message { kind, timestamp, stream: self.stream, body });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tag(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u32).to_be_bytes();
        let [high, time @ ..] = time.to_be_bytes();
        let back = (11 + body.len() as u32).to_be_bytes();
        [&[kind][..], &len[1..], &time, &[high, 0, 0, 0], body, &back].concat()
    }

    fn parts(timestamp: u32, body: Vec<u8>) -> Vec<(u8, u32, Bytes)> {
        let message = Message { kind: kind::AGGREGATE, timestamp, stream: 3, body: body.into() };
        Parts::new(&message).map(|part| (part.kind, part.timestamp, part.body)).collect()
    }

    #[test]
    fn times_within_are_counted_from_the_aggregates_own() {
        let body =
            [tag(9, 0x0102_0304, b"pic"), tag(8, 0x0102_0304 + 23, b""), tag(8, 0x0102_0300, b"s")].concat();
        assert_eq!(
            parts(1000, body),
            [(9, 1000, "pic".into()), (8, 1023, Bytes::new()), (8, 996, "s".into())]
        );
    }

    #[test]
    fn what_is_cut_off_and_aggregates_within_are_left_out() {
        let whole = [tag(9, 0, b"pic"), tag(22, 0, b"no"), tag(8, 5, b"sound")].concat();
        let all = [(9, 7, Bytes::from("pic")), (8, 12, "sound".into())];
        assert_eq!(parts(7, whole.clone()), all);
        // Only the last back pointer is missing.
        assert_eq!(parts(7, whole[..whole.len() - 4].to_vec()), all);
        assert_eq!(parts(7, whole[..whole.len() - 5].to_vec()), all[..1]);
    }

    proptest! {
        #[test]
        fn any_bytes_pass(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let len = body.len();
            let total: usize = parts(0, body).iter().map(|(_, _, body)| body.len()).sum();
            prop_assert!(total <= len);
        }
    }
}
