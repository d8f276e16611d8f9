//! A record as bytes: one frame.
//!
//! All numbers have their low byte first.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | length of the whole frame |
//! | 4 | 4 | length of the head |
//! | 8 | 4 | CRC-32C of bytes 0 to 8 and 12 to the end of the head |
//! | 12 | 4 | CRC-32C of the body |
//! | 16 | 8 | logical offset of this frame in its lane |
//! | 24 | 8 | logical offset of the first frame of its group: all before it was synced when this was written |
//! | 32 | … | head, then body |
//!
//! The head has a checksum of its own, so that following a topic's chain does not read bodies. The frame
//! says its own offset, so bytes that stand where they do not belong are never taken for valid. The group's
//! offset tells a torn write, which nobody was told about, from damage to what was acknowledged.
//!
//! A record that was erased keeps its frame, with a shorter head, and zeros up to the frame's end: places do
//! not move. A flag says that these zeros are no body.

use std::sync::Arc;

use bytes::Bytes;
use yizhan_hub::{
    message::{Content, Headers, Message, MessageId, Position, Qos, Record, Sender, SessionId},
    topic::{NAME_BYTES_MAX, Topic},
};
use yizhan_talk::Timestamp;
use yizhan_wire::{ReadError, Reader, Writer, varint};

/// Bytes before the head.
pub(crate) const PREAMBLE_BYTES: usize = 32;
/// Bytes a head has at most. A message whose names and headers need more is refused.
pub(crate) const HEAD_BYTES_MAX: usize = 256 << 10;
/// Bytes a body has at most. A larger message is refused.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 20;
/// Bytes a frame has at most.
pub(crate) const FRAME_BYTES_MAX: usize = PREAMBLE_BYTES + HEAD_BYTES_MAX + BODY_BYTES_MAX;
/// Bytes of a head that are always there.
const HEAD_BYTES_MIN: usize = 32 + 1 + 1 + 2 + 1 + 8 + 1 + 1;
/// Headers that one record has at most.
const HEADERS_MAX: usize = 4096;

const HAS_KEY: u8 = 1;
const HAS_ID: u8 = 2;
const HAS_EXPIRY: u8 = 4;
const HAS_DEVICE: u8 = 8;
/// Neither of both: exactly once.
const QOS_AT_MOST_ONCE: u8 = 16;
const QOS_AT_LEAST_ONCE: u8 = 32;
const QOS: u8 = QOS_AT_MOST_ONCE | QOS_AT_LEAST_ONCE;
/// What stands behind the head is no body.
const ERASED: u8 = 64;

/// A record's place, as numbers in its lane: its logical offset plus one, so that 0 is before everything.
pub(crate) type Place = u64;

/// What the journal knows of a record besides its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Links {
    /// Where it is.
    pub(crate) place: Place,
    /// Its number within its topic.
    pub(crate) seq: u64,
    /// The topic's record before it; 0 where there is none.
    pub(crate) prev: Place,
    /// The topic's record whose number is this one's with the lowest set bit cleared; 0 where there is none.
    pub(crate) skip: Place,
    /// When the server took it.
    pub(crate) at: Timestamp,
    /// The latest `at` in the topic up to this record: it never falls, though clocks may.
    pub(crate) high: Timestamp,
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFrame {
    /// More bytes are needed; this many in all.
    #[error("the frame is cut")]
    Cut(usize),
    /// The lengths make no sense.
    #[error("the frame's lengths are impossible")]
    BadLength,
    /// It says that it belongs elsewhere.
    #[error("the frame belongs to another place")]
    Misplaced,
    /// A checksum is wrong.
    #[error("the checksum is wrong")]
    BadChecksum,
    /// The checksum is right, but the values are none.
    #[error("the frame's values cannot be read: {0}")]
    BadValue(#[from] ReadError),
    /// The checksum is right, but a name or number is not valid.
    #[error("the frame holds an invalid name or number")]
    BadName,
}

/// A frame's first bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Preamble {
    pub(crate) frame_len: usize,
    pub(crate) head_len: usize,
    head_crc: u32,
    body_crc: u32,
    pub(crate) offset: u64,
    pub(crate) group: u64,
}

impl Preamble {
    /// Reads it and checks that its lengths are possible and that it belongs to `offset`.
    pub(crate) fn read(bytes: &[u8], offset: u64) -> Result<Self, BadFrame> {
        let mut r = Reader::new(bytes);
        let mut read = || {
            Ok::<_, ReadError>(Self {
                frame_len: r.u32_le()? as usize,
                head_len: r.u32_le()? as usize,
                head_crc: r.u32_le()?,
                body_crc: r.u32_le()?,
                offset: r.u64_le()?,
                group: r.u64_le()?,
            })
        };
        let preamble = read().map_err(|_| BadFrame::Cut(PREAMBLE_BYTES))?;
        let head = HEAD_BYTES_MIN..=HEAD_BYTES_MAX;
        if !head.contains(&preamble.head_len)
            || preamble.frame_len < PREAMBLE_BYTES + preamble.head_len
            || preamble.frame_len > FRAME_BYTES_MAX
        {
            return Err(BadFrame::BadLength);
        }
        if preamble.offset != offset || preamble.group > offset {
            return Err(BadFrame::Misplaced);
        }
        Ok(preamble)
    }

    /// Bytes up to the end of the head.
    pub(crate) fn head_end(&self) -> usize {
        PREAMBLE_BYTES + self.head_len
    }
}

/// A frame whose head was checked.
#[derive(Debug, Clone)]
pub(crate) struct Frame<'a> {
    pub(crate) preamble: Preamble,
    pub(crate) links: Links,
    pub(crate) topic: &'a str,
    flags: u8,
    rest: Reader<'a>,
}

impl<'a> Frame<'a> {
    /// Reads the frame at `offset` from its first bytes, which must reach to the end of its head.
    pub(crate) fn head(bytes: &'a [u8], offset: u64) -> Result<Self, BadFrame> {
        let preamble = Preamble::read(bytes, offset)?;
        let head = bytes.get(..preamble.head_end()).ok_or_else(|| BadFrame::Cut(preamble.head_end()))?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..8]), &head[12..]);
        if crc != preamble.head_crc {
            return Err(BadFrame::BadChecksum);
        }
        let mut r = Reader::new(&head[PREAMBLE_BYTES..]);
        let (prev, skip, seq, at) = (r.u64_le()?, r.u64_le()?, r.u64_le()?, Timestamp(r.u64_le()?));
        let flags = r.u8()?;
        let high = Timestamp(at.0.checked_add(r.leb128()?).ok_or(BadFrame::BadName)?);
        let topic = r.leb128_str(NAME_BYTES_MAX)?;
        if prev > offset || skip > prev || seq == 0 {
            return Err(BadFrame::BadName);
        }
        let links = Links { place: offset + 1, seq, prev, skip, at, high };
        Ok(Self { preamble, links, topic, flags, rest: r })
    }

    /// As [`head`](Self::head), the body checked too: the whole frame must be there.
    pub(crate) fn whole(bytes: &'a [u8], offset: u64) -> Result<(Self, &'a [u8]), BadFrame> {
        let frame = Self::head(bytes, offset)?;
        let len = frame.preamble.frame_len;
        let body = bytes.get(frame.preamble.head_end()..len).ok_or(BadFrame::Cut(len))?;
        if crc32c::crc32c(body) != frame.preamble.body_crc {
            return Err(BadFrame::BadChecksum);
        }
        let body = if frame.flags & ERASED == 0 { body } else { &[] };
        Ok((frame, body))
    }

    /// The key, and the message's id, without reading the rest.
    pub(crate) fn key_and_id(&self) -> Result<(Option<&'a str>, Option<MessageId>), BadFrame> {
        let mut r = self.rest.clone();
        let key = (self.flags & HAS_KEY != 0).then(|| r.leb128_str(HEAD_BYTES_MAX)).transpose()?;
        let id = (self.flags & HAS_ID != 0).then(|| r.u128_le().map(MessageId)).transpose()?;
        Ok((key, id))
    }

    /// The record, with `body` as its body.
    pub(crate) fn record(&self, lane: &LanePlace, body: Bytes) -> Result<Record, BadFrame> {
        let mut r = self.rest.clone();
        let key =
            (self.flags & HAS_KEY != 0).then(|| r.leb128_str(HEAD_BYTES_MAX).map(Arc::from)).transpose()?;
        let id = (self.flags & HAS_ID != 0).then(|| r.u128_le().map(MessageId)).transpose()?;
        let expires_at = (self.flags & HAS_EXPIRY != 0).then(|| r.u64_le().map(Timestamp)).transpose()?;
        let user = r.leb128_str(HEAD_BYTES_MAX)?.into();
        let device = (self.flags & HAS_DEVICE != 0)
            .then(|| r.leb128_str(HEAD_BYTES_MAX).map(Arc::from))
            .transpose()?;
        let session = SessionId(r.u64_le()?);
        let qos = match self.flags & QOS {
            0 => Qos::ExactlyOnce,
            QOS_AT_MOST_ONCE => Qos::AtMostOnce,
            QOS_AT_LEAST_ONCE => Qos::AtLeastOnce,
            _ => return Err(BadFrame::BadName),
        };
        let content = match r.u8()? {
            0 => Content::Binary,
            1 => Content::Text,
            2 => Content::Json,
            3 => Content::Other(r.leb128_str(HEAD_BYTES_MAX)?.into()),
            _ => return Err(BadFrame::BadName),
        };
        let headers = headers(&mut r)?;
        r.end()?;
        let topic = Topic::new(self.topic).map_err(|_| BadFrame::BadName)?;
        let from = Sender { user, device, session };
        let message = Message { topic, key, id, from, content, headers, body, expires_at, qos };
        Ok(Record::new(Some(lane.position(self.links.place)), self.links.seq, self.links.at, message))
    }
}

fn headers(r: &mut Reader<'_>) -> Result<Headers, BadFrame> {
    let count = r.leb128()?;
    if count > HEADERS_MAX as u64 {
        return Err(BadFrame::BadName);
    }
    // Each header is read from bytes that are there, so what is allocated follows what was written.
    let mut headers: Vec<(Arc<str>, Arc<str>)> = vec![];
    for _ in 0..count {
        headers.push((r.leb128_str(HEAD_BYTES_MAX)?.into(), r.leb128_str(HEAD_BYTES_MAX)?.into()));
    }
    Ok(headers.into())
}

/// Which lane a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LanePlace {
    pub(crate) space: yizhan_hub::message::SpaceId,
    pub(crate) lane: u16,
    pub(crate) epoch: u32,
}

impl LanePlace {
    pub(crate) fn position(&self, place: Place) -> Position {
        Position { space: self.space, lane: self.lane, epoch: self.epoch, offset: place }
    }
}

/// Bytes the frame of a message has; `None` where it is over the bounds and must be refused.
pub(crate) fn frame_len(message: &Message, at_lag: u64) -> Option<usize> {
    let text = |s: &str| varint::leb128_len(s.len() as u64) + s.len();
    let mut head = 32 + 1 + varint::leb128_len(at_lag) + text(message.topic.as_str());
    head += message.key.as_deref().map_or(0, text);
    head += if message.id.is_some() { 16 } else { 0 };
    head += if message.expires_at.is_some() { 8 } else { 0 };
    head += text(&message.from.user) + message.from.device.as_deref().map_or(0, text) + 8 + 1;
    if let Content::Other(name) = &message.content {
        head += text(name);
    }
    head += varint::leb128_len(message.headers.len() as u64);
    head += message.headers.iter().map(|(n, v)| text(n) + text(v)).sum::<usize>();
    let fits = head <= HEAD_BYTES_MAX
        && message.body.len() <= BODY_BYTES_MAX
        && message.headers.len() <= HEADERS_MAX;
    fits.then_some(PREAMBLE_BYTES + head + message.body.len())
}

/// Appends a message's frame. `group` is the logical offset of the first frame of its group. The message's
/// [`frame_len`] must not be `None`.
pub(crate) fn write(into: &mut Vec<u8>, group: u64, links: &Links, message: &Message) {
    let start = into.len();
    into.extend_from_slice(&[0; PREAMBLE_BYTES]);
    write_head(into, 0, links, message);
    let head_end = into.len() - start;
    into.extend_from_slice(&message.body);
    let frame = &mut into[start..];
    let frame_len = frame.len();
    write_preamble(&mut frame[..head_end], frame_len, crc32c::crc32c(&message.body), group, links);
}

/// A frame's preamble and head without what the message said; zeros up to `frame_len` belong behind them. The
/// message must be the one that was written there, its body and headers taken out, so that it needs no more
/// room than before.
pub(crate) fn write_erased(frame_len: usize, group: u64, links: &Links, message: &Message) -> Vec<u8> {
    let mut head = vec![0; PREAMBLE_BYTES];
    write_head(&mut head, ERASED, links, message);
    let frame_len = frame_len.max(head.len());
    let zeros = frame_len - head.len();
    write_preamble(&mut head, frame_len, crc_of_zeros(zeros), group, links);
    head
}

fn crc_of_zeros(mut len: usize) -> u32 {
    let zeros = [0; 16 << 10];
    let mut crc = 0;
    while len > 0 {
        let piece = len.min(zeros.len());
        crc = crc32c::crc32c_append(crc, &zeros[..piece]);
        len -= piece;
    }
    crc
}

fn write_head(into: &mut Vec<u8>, erased: u8, links: &Links, message: &Message) {
    let flags = erased
        | if message.key.is_some() { HAS_KEY } else { 0 }
        | if message.id.is_some() { HAS_ID } else { 0 }
        | if message.expires_at.is_some() { HAS_EXPIRY } else { 0 }
        | if message.from.device.is_some() { HAS_DEVICE } else { 0 }
        | match message.qos {
            Qos::ExactlyOnce => 0,
            Qos::AtMostOnce => QOS_AT_MOST_ONCE,
            Qos::AtLeastOnce => QOS_AT_LEAST_ONCE,
        };
    let mut w = Writer::new(into);
    for number in [links.prev, links.skip, links.seq, links.at.0] {
        w.u64_le(number);
    }
    w.u8(flags);
    w.leb128(links.high.0.saturating_sub(links.at.0));
    w.leb128_bytes(message.topic.as_str().as_bytes());
    if let Some(key) = &message.key {
        w.leb128_bytes(key.as_bytes());
    }
    if let Some(id) = message.id {
        w.u128_le(id.0);
    }
    if let Some(at) = message.expires_at {
        w.u64_le(at.0);
    }
    w.leb128_bytes(message.from.user.as_bytes());
    if let Some(device) = &message.from.device {
        w.leb128_bytes(device.as_bytes());
    }
    w.u64_le(message.from.session.0);
    match &message.content {
        Content::Binary => w.u8(0),
        Content::Text => w.u8(1),
        Content::Json => w.u8(2),
        Content::Other(name) => {
            w.u8(3);
            w.leb128_bytes(name.as_bytes());
        }
    }
    w.leb128(message.headers.len() as u64);
    for (name, value) in message.headers.iter() {
        w.leb128_bytes(name.as_bytes());
        w.leb128_bytes(value.as_bytes());
    }
}

/// Fills in the preamble in front of a head.
fn write_preamble(head: &mut [u8], frame_len: usize, body_crc: u32, group: u64, links: &Links) {
    let len_of = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let head_len = head.len() - PREAMBLE_BYTES;
    head[0..4].copy_from_slice(&len_of(frame_len));
    head[4..8].copy_from_slice(&len_of(head_len));
    head[12..16].copy_from_slice(&body_crc.to_le_bytes());
    head[16..24].copy_from_slice(&(links.place - 1).to_le_bytes());
    head[24..32].copy_from_slice(&group.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..8]), &head[12..]);
    head[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// Reads arbitrary bytes as a frame in every way that the store does: for fuzzing. Whatever comes, this
/// returns.
pub fn fuzz_record(bytes: &[u8]) {
    let lane = LanePlace { space: yizhan_hub::message::SpaceId(0), lane: 0, epoch: 0 };
    let offset = Reader::new(bytes.get(16..).unwrap_or_default()).u64_le().unwrap_or(0).min(u64::MAX - 1);
    let mut bytes = bytes.to_vec();
    // Once as it is, once with the checksums made right, so that what lies behind them is reached.
    for _ in 0..2 {
        if let Ok((frame, body)) = Frame::whole(&bytes, offset) {
            frame.key_and_id().ok();
            if let Ok(record) = frame.record(&lane, Bytes::copy_from_slice(body)) {
                let at_lag = frame.links.high.0 - frame.links.at.0;
                if let Some(len) = frame_len(&record.message, at_lag) {
                    let mut again = vec![];
                    write(&mut again, frame.preamble.group, &frame.links, &record.message);
                    assert_eq!(again.len(), len, "a frame's length is told before it is written");
                }
            }
        }
        mend(&mut bytes, offset);
    }
}

/// Makes the checksums right where the lengths allow it.
fn mend(bytes: &mut [u8], offset: u64) {
    let Ok(preamble) = Preamble::read(bytes, offset) else { return };
    if bytes.len() < preamble.frame_len {
        return;
    }
    let body_crc = crc32c::crc32c(&bytes[preamble.head_end()..preamble.frame_len]);
    bytes[12..16].copy_from_slice(&body_crc.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..8]), &bytes[12..preamble.head_end()]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
}

#[cfg(test)]
#[path = "tests/codec.rs"]
mod tests;
