//! A lane's index in a file, so that a start reads only what came after it.
//!
//! It is written while appends go on, piece by piece: what it holds may be newer than where it says it
//! stands, and reading the log again from there changes nothing that is in it already.

use std::{
    path::Path,
    sync::atomic::Ordering::{Acquire, Relaxed},
};

use yizhan_hub::{
    message::MessageId,
    store::StoreError,
    topic::{NAME_BYTES_MAX, Topic},
};
use yizhan_talk::Timestamp;
use yizhan_wire::{ReadError, Reader, Writer};

use crate::{
    codec::{HEAD_BYTES_MAX, Place},
    dedup::Seen,
    files::{self, Files},
    index::{Entry, Index, IsTombstone},
    lane::Lane,
    segment::Holds,
    shelf::{self, Row, SHELF_ROWS_MAX},
};

const MAGIC: [u8; 8] = *b"YZCKPT\0\x01";
/// A checkpoint larger than this is none.
const CHECKPOINT_BYTES_MAX: u64 = 64 << 30;
/// Topics written under one lock of the index.
const TOPICS_AT_ONCE: usize = 1024;
/// Checkpoints that are kept: the newest, and one to fall back to.
const CHECKPOINTS_KEPT: usize = 2;

/// What a checkpoint says besides the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Logical offset up to which all is in it.
    pub(crate) end: u64,
    /// Place of the newest record then.
    pub(crate) newest: Place,
    pub(crate) deleted: Place,
    pub(crate) deleted_at: Timestamp,
    /// Segments' bases and what they held.
    pub(crate) segments: Vec<(u64, Holds)>,
}

/// A checkpoint's file name.
pub(crate) fn file_name(end: u64) -> String {
    format!("{end:016x}.ckp")
}

/// Where the checkpoint of this name stands; `None` for other files.
pub(crate) fn end_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".ckp").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

impl Lane {
    /// Saves the index. Blocks; appends go on meanwhile.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        let _care = self.care.lock();
        self.clear_stale()?;
        if let Err(error) = self.finish_erasing() {
            tracing::warn!(%error, folder = %self.log.folder.display(), "erasing is not finished yet");
        }
        let log = &self.log;
        let segments: Vec<(u64, Holds)> = log.segments().iter().map(|s| (s.base, s.holds())).collect();
        let end = segments.last().map_or(0, |(_, holds)| holds.end);
        if end == self.checkpointed.load(Acquire) {
            return Ok(());
        }
        // A segment counts a group just before the index has it.
        while log.end() < end {
            std::thread::yield_now();
        }
        let mut bytes = self.checkpoint_bytes(&segments, end);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        let failed = |error: std::io::Error| match error {
            error if files::is_full(&error) => StoreError::Full,
            error => StoreError::Failed(format!("a checkpoint cannot be written: {error}")),
        };
        files::replace(&*log.files, &log.folder.join(file_name(end)), &bytes).map_err(failed)?;
        self.checkpointed.store(end, Relaxed);
        let mut ends: Vec<u64> =
            log.files.list(&log.folder).map_err(failed)?.iter().filter_map(|name| end_of(name)).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        for old in ends.iter().skip(CHECKPOINTS_KEPT) {
            log.files.remove(&log.folder.join(file_name(*old))).map_err(failed)?;
        }
        Ok(())
    }

    fn checkpoint_bytes(&self, segments: &[(u64, Holds)], end: u64) -> Vec<u8> {
        let mut bytes = vec![];
        let mut w = Writer::new(&mut bytes);
        w.bytes(&MAGIC);
        for number in [end, self.log.newest(), self.deleted.load(Acquire), self.deleted_at.load(Acquire)] {
            w.u64_le(number);
        }
        w.leb128(segments.len() as u64);
        for (base, holds) in segments {
            let numbers = [*base, holds.end, holds.newest, holds.records, holds.first_at.0, holds.last_at.0];
            for number in numbers {
                w.u64_le(number);
            }
        }
        let mut from = 0;
        loop {
            let index = self.index.read();
            let entries = index.slice(from, TOPICS_AT_ONCE);
            from += entries.len();
            w.leb128(entries.len() as u64);
            if entries.is_empty() {
                // Read in the same moment, or later, than all topics: what is missing is read again.
                drop(index);
                write_ids(&mut w, &self.ids.lock().of_lane(self.place().lane));
                return bytes;
            }
            for entry in entries {
                write_entry(&mut w, entry);
            }
        }
    }

    /// Takes rows off the shelf whose keys were changed since. Under `care`.
    pub(crate) fn clear_stale(&self) -> Result<(), StoreError> {
        let stale = std::mem::take(&mut *self.stale.lock());
        let begin = self.log.begin();
        for piece in stale.chunks(SHELF_ROWS_MAX) {
            let index = self.index.read();
            let on_shelf = |(topic, key): &crate::lane::Stale| {
                let place = index.topic(topic.as_str()).and_then(|e| e.key(key));
                place.is_some_and(|place| place <= begin)
            };
            let rows: Vec<Row> = piece
                .iter()
                .filter(|stale| !on_shelf(stale))
                .map(|(topic, key)| (shelf::keyed_row(self.place(), topic.as_str(), key), None))
                .collect();
            drop(index);
            if let Err(error) = self.around.shelf.write(rows) {
                self.stale.lock().extend(stale);
                return Err(error);
            }
        }
        Ok(())
    }
}

fn write_entry(w: &mut Writer<'_, Vec<u8>>, entry: &Entry) {
    w.leb128_bytes(entry.name.as_str().as_bytes());
    w.leb128(entry.chain.seq);
    w.leb128(entry.chain.high.0);
    w.leb128(entry.chain.anchors.len() as u64);
    for anchor in &entry.chain.anchors {
        w.leb128(*anchor);
    }
    w.leb128(entry.keys().count() as u64);
    for (key, place) in entry.keys() {
        w.leb128_bytes(key.as_bytes());
        w.leb128(place);
    }
}

fn write_ids(w: &mut Writer<'_, Vec<u8>>, ids: &[(MessageId, Seen)]) {
    w.leb128(ids.len() as u64);
    for (id, seen) in ids {
        w.u128_le(id.0);
        w.leb128(seen.place);
        w.leb128(seen.seq);
        w.leb128(seen.at.0);
    }
}

/// What a checkpoint holds.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) summary: Summary,
    pub(crate) index: Index,
    pub(crate) ids: Vec<(MessageId, Seen)>,
}

/// Reads the checkpoint of a lane.
///
/// # Errors
/// Why it cannot be used, in words.
pub(crate) fn load(files: &dyn Files, path: &Path, lane: u16) -> Result<Content, String> {
    let bytes = files::read_whole(files, path, CHECKPOINT_BYTES_MAX).map_err(|error| error.to_string())?;
    read(&bytes, lane).map_err(str::to_owned)
}

fn read(bytes: &[u8], lane: u16) -> Result<Content, &'static str> {
    let (content, crc) = bytes.split_last_chunk::<4>().ok_or("it is cut")?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
        return Err("its checksum is wrong");
    }
    let mut r = Reader::new(content);
    if r.array() != Ok(MAGIC) {
        return Err("it is of another version");
    }
    read_content(&mut r, lane).map_err(|_| "its content cannot be read")
}

/// Something in a checkpoint is not what it should be.
struct Malformed;

impl From<ReadError> for Malformed {
    fn from(_: ReadError) -> Self {
        Self
    }
}

fn read_content(r: &mut Reader<'_>, lane: u16) -> Result<Content, Malformed> {
    let (mut index, mut ids) = (Index::default(), vec![]);
    let mut summary = Summary {
        end: r.u64_le()?,
        newest: r.u64_le()?,
        deleted: r.u64_le()?,
        deleted_at: Timestamp(r.u64_le()?),
        segments: vec![],
    };
    for _ in 0..r.leb128()? {
        let base = r.u64_le()?;
        let holds = Holds {
            end: r.u64_le()?,
            newest: r.u64_le()?,
            records: r.u64_le()?,
            first_at: Timestamp(r.u64_le()?),
            last_at: Timestamp(r.u64_le()?),
        };
        summary.segments.push((base, holds));
    }
    loop {
        let count = r.leb128()?;
        if count == 0 {
            break;
        }
        for _ in 0..count {
            read_entry(r, &mut index)?;
        }
    }
    for _ in 0..r.leb128()? {
        let id = MessageId(r.u128_le()?);
        ids.push((id, Seen { lane, place: r.leb128()?, seq: r.leb128()?, at: Timestamp(r.leb128()?) }));
    }
    r.end()?;
    Ok(Content { summary, index, ids })
}

fn read_entry(r: &mut Reader<'_>, index: &mut Index) -> Result<(), Malformed> {
    let topic = Topic::new(r.leb128_str(NAME_BYTES_MAX)?).map_err(|_| Malformed)?;
    let entry = index.make_entry(&topic);
    entry.chain.seq = r.leb128()?;
    entry.chain.high = Timestamp(r.leb128()?);
    let anchors = r.leb128()?;
    if anchors > 64 {
        return Err(Malformed);
    }
    for _ in 0..anchors {
        entry.chain.anchors.push(r.leb128()?);
    }
    for _ in 0..r.leb128()? {
        let key = r.leb128_str(HEAD_BYTES_MAX)?;
        entry.set_key(key, r.leb128()?, IsTombstone::No);
    }
    Ok(())
}
