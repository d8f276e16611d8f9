//! What must outlive the segments it was written in: the newest record of each key, and the numbers of
//! topics of which nothing is left.

use bytes::Bytes;
use yizhan_hub::{store::StoreError, topic::Topic};
use yizhan_talk::Timestamp;
use yizhan_wire::{Reader, Writer};

use crate::codec::{LanePlace, Place};

/// Rows written at once.
pub(crate) const SHELF_ROWS_MAX: usize = 1000;

/// A key, and a value or its removal.
pub(crate) type Row = (Vec<u8>, Option<Vec<u8>>);

/// A safe place for rows. Calls block until what they did is safe.
pub(crate) trait Shelf: Send + Sync + 'static {
    fn write(&self, rows: Vec<Row>) -> Result<(), StoreError>;
    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;
    /// All rows whose key begins with `prefix`.
    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError>;
}

/// Space, lane and kind.
const PREFIX_BYTES: usize = 5;
const KEYED: u8 = b'k';
const DORMANT: u8 = b'd';
const INTENT: u8 = b'e';

fn prefix(lane: &LanePlace, kind: u8) -> Vec<u8> {
    let mut key = vec![];
    let mut w = Writer::new(&mut key);
    w.u16_be(lane.space.0);
    w.u16_be(lane.lane);
    w.u8(kind);
    key
}

/// The prefix of all keyed records of a lane.
pub(crate) fn keyed_prefix(lane: &LanePlace) -> Vec<u8> {
    prefix(lane, KEYED)
}

/// The prefix of all numbers of a lane.
pub(crate) fn dormant_prefix(lane: &LanePlace) -> Vec<u8> {
    prefix(lane, DORMANT)
}

/// The row of the newest record of a key. Its value is the record's frame.
pub(crate) fn keyed_row(lane: &LanePlace, topic: &str, key: &str) -> Vec<u8> {
    let mut row = prefix(lane, KEYED);
    row.extend_from_slice(topic.as_bytes());
    // No topic has a zero in it.
    row.push(0);
    row.extend_from_slice(key.as_bytes());
    row
}

/// The prefix of all that is to be erased in a lane.
pub(crate) fn intent_prefix(lane: &LanePlace) -> Vec<u8> {
    prefix(lane, INTENT)
}

/// The row of what is to be written over the record at a place.
pub(crate) fn intent_row(lane: &LanePlace, place: Place) -> Vec<u8> {
    let mut row = prefix(lane, INTENT);
    row.extend_from_slice(&place.to_be_bytes());
    row
}

/// The place in an [`intent_row`]; `None` where it is none.
pub(crate) fn place_of_intent(row: &[u8]) -> Option<Place> {
    row.get(PREFIX_BYTES..)?.try_into().ok().map(u64::from_be_bytes)
}

/// Topic and key of a [`keyed_row`]; `None` where it is none.
pub(crate) fn topic_and_key(row: &[u8]) -> Option<(Topic, &str)> {
    let (topic, key) = std::str::from_utf8(row.get(PREFIX_BYTES..)?).ok()?.split_once('\0')?;
    Some((Topic::new(topic).ok()?, key))
}

/// A topic's number when the last of its records was taken by retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dormant {
    pub(crate) topic: Topic,
    pub(crate) seq: u64,
    pub(crate) place: Place,
    pub(crate) high: Timestamp,
}

impl Dormant {
    pub(crate) fn row(&self, lane: &LanePlace) -> Row {
        let mut key = prefix(lane, DORMANT);
        key.extend_from_slice(self.topic.as_str().as_bytes());
        let mut value = vec![];
        let mut w = Writer::new(&mut value);
        for number in [self.seq, self.place, self.high.0] {
            w.u64_le(number);
        }
        (key, Some(value))
    }

    /// Reads a row; `None` where it is none.
    pub(crate) fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let topic = std::str::from_utf8(key.get(PREFIX_BYTES..)?).ok()?;
        let mut r = Reader::new(value);
        Some(Self {
            topic: Topic::new(topic).ok()?,
            seq: r.u64_le().ok()?,
            place: r.u64_le().ok()?,
            high: Timestamp(r.u64_le().ok()?),
        })
    }
}
