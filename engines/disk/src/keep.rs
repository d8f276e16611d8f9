//! Retention: the oldest segments go, and what must outlive them is saved first.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use yizhan_hub::{space::Limits, store::StoreError, topic::Topic};
use yizhan_talk::Timestamp;

use crate::{
    codec::Place,
    lane::{Lane, Prepared, SEGMENT_BYTES_MIN, SEGMENT_RECORDS_MIN, Shape},
    log::Unread,
    segment::Segment,
    shelf::{self, Dormant, Row, SHELF_ROWS_MAX},
};

/// A limit is kept to about this fraction: segments are ended when they hold that much of it.
const PARTS: u32 = 8;
/// A limit in age does not end segments more often than this.
const SEGMENT_AGE_MIN: Duration = Duration::from_secs(1);
/// Topics looked at under one lock of the index.
const TOPICS_AT_ONCE: usize = 4096;

/// When lanes of a space with these limits end their segments.
pub(crate) fn shape(limits: &Limits, lanes: usize, segment_bytes: u64) -> Shape {
    let parts = u64::from(PARTS) * lanes.max(1) as u64;
    Shape {
        bytes_max: segment_bytes.min((limits.bytes_max / parts).max(SEGMENT_BYTES_MIN)),
        records_max: (limits.records_max / parts).max(SEGMENT_RECORDS_MIN),
        age_max: (limits.age_max / PARTS).max(SEGMENT_AGE_MIN),
    }
}

/// Deletes what is over the limits, oldest first, whole segments at a time. Blocks.
///
/// Never more than is over: of bytes and records at least the limit stays where there is so much, and up
/// to a segment more. A segment is too old when its newest record is.
pub(crate) fn retain(lanes: &[Arc<Lane>], limits: &Limits, now: Timestamp) -> Result<(), StoreError> {
    while let Some(lane) = next_over(lanes, limits, now) {
        if !lane.delete_oldest()? {
            break;
        }
    }
    for lane in lanes {
        let (Some(active), shape) = (lane.log.last(), *lane.shape.lock()) else { continue };
        let holds = active.holds();
        let over = holds.records >= shape.records_max || now.since(holds.first_at) > shape.age_max;
        if holds.records > 0 && over {
            lane.wishes.roll.store(true, Relaxed);
            lane.queue.nudge();
        }
    }
    Ok(())
}

/// The lane whose oldest segment is the next to go.
fn next_over<'a>(lanes: &'a [Arc<Lane>], limits: &Limits, now: Timestamp) -> Option<&'a Arc<Lane>> {
    let (mut bytes, mut records) = (0u64, 0u64);
    let mut oldest: Option<(&Arc<Lane>, Arc<Segment>)> = None;
    for lane in lanes {
        let segments = lane.log.segments();
        for segment in &segments {
            bytes += segment.bytes();
            records += segment.holds().records;
        }
        if let [first, _, ..] = &segments[..]
            && oldest.as_ref().is_none_or(|(_, known)| first.holds().last_at < known.holds().last_at)
        {
            oldest = Some((lane, first.clone()));
        }
    }
    let (lane, segment) = oldest?;
    let holds = segment.holds();
    let over = bytes - segment.bytes() >= limits.bytes_max
        || records - holds.records >= limits.records_max
        || now.since(holds.last_at) > limits.age_max;
    over.then_some(lane)
}

/// A keyed record that is saved from a segment that goes.
struct Saved {
    topic: Topic,
    key: Arc<str>,
    place: Place,
}

impl Lane {
    /// Deletes the oldest segment, unless it is written to. Gives whether there was one.
    pub(crate) fn delete_oldest(&self) -> Result<bool, StoreError> {
        let [_, next, ..] = &self.log.segments()[..] else { return Ok(false) };
        // Numbers and ids of what is deleted are known from a checkpoint after a restart.
        if self.checkpointed.load(Relaxed) < next.base {
            match self.checkpoint() {
                // Deleting is what makes space again; the shelf has the numbers, too.
                Ok(()) | Err(StoreError::Full) => {}
                Err(error) => return Err(error),
            }
        }
        let _care = self.care.lock();
        // A row that a tombstone has outdated must go before the tombstone does.
        self.clear_stale()?;
        let segments = self.log.segments();
        let [oldest, next, ..] = &segments[..] else { return Ok(false) };
        let saved = self.save(self.log.begin(), next.base)?;
        let holds = oldest.holds();
        self.deleted.fetch_max(holds.newest, Relaxed);
        self.deleted_at.fetch_max(holds.last_at.0, Relaxed);
        let Some(gone) = self.log.remove_first(oldest.base) else { return Ok(false) };
        self.doubt(saved);
        let failed =
            |error| StoreError::Failed(format!("{} cannot be removed: {error}", gone.path.display()));
        self.log.files.remove(&gone.path).map_err(failed)?;
        self.log.files.sync_folder(&self.log.folder).map_err(failed)?;
        tracing::debug!(file = %gone.path.display(), records = holds.records, "retention deleted a segment");
        Ok(true)
    }

    /// Puts on the shelf what lies behind `begin`, up to `end`, and must outlive it.
    fn save(&self, begin: Place, end: Place) -> Result<Vec<Saved>, StoreError> {
        let (mut saved, mut dormant) = (vec![], vec![]);
        let mut from = 0;
        loop {
            let index = self.index.read();
            let entries = index.slice(from, TOPICS_AT_ONCE);
            if entries.is_empty() {
                break;
            }
            from += entries.len();
            for entry in entries {
                let topic = &entry.name;
                let newest = entry.chain.newest();
                if newest > begin && newest <= end {
                    let (seq, high) = (entry.chain.seq, entry.chain.high);
                    dormant
                        .push(Dormant { topic: topic.clone(), seq, place: newest, high }.row(self.place()));
                }
                let keys = entry.keys().filter(|(_, place)| *place > begin && *place <= end);
                saved.extend(keys.map(|(key, place)| Saved {
                    topic: topic.clone(),
                    key: key.clone(),
                    place,
                }));
            }
        }
        let write = || {
            for piece in dormant.chunks(SHELF_ROWS_MAX) {
                self.around.shelf.write(piece.to_vec())?;
            }
            for piece in saved.chunks(SHELF_ROWS_MAX) {
                let rows: Result<Vec<Option<Row>>, StoreError> =
                    piece.iter().map(|s| self.saved_row(s)).collect();
                self.around.shelf.write(rows?.into_iter().flatten().collect())?;
            }
            Ok(())
        };
        if let Err(error) = write() {
            // The records stay in the log, which may outdate what was already put on the shelf.
            self.stale.lock().extend(saved.into_iter().map(|s| (s.topic, s.key)));
            return Err(error);
        }
        Ok(saved)
    }

    fn saved_row(&self, saved: &Saved) -> Result<Option<Row>, StoreError> {
        match self.log.frame(saved.place) {
            Ok(frame) => Ok(Some((
                shelf::keyed_row(self.place(), saved.topic.as_str(), &saved.key),
                Some(frame.to_vec()),
            ))),
            // It was reported as damaged when it was read; reading the state will say so, too.
            Err(Unread::Damaged(place)) => {
                tracing::error!(place, "damaged data goes with its segment");
                Ok(None)
            }
            Err(Unread::Gone) => Ok(None),
            Err(Unread::Failed(error)) => Err(error),
        }
    }

    /// Rows whose keys were changed while they were saved are out of date.
    fn doubt(&self, saved: Vec<Saved>) {
        let index = self.index.read();
        let changed = |s: &Saved| index.topic(s.topic.as_str()).and_then(|e| e.key(&s.key)) != Some(s.place);
        let changed = saved.into_iter().filter(changed).map(|s| (s.topic, s.key));
        self.stale.lock().extend(changed);
    }

    /// Makes a file for the next segment, so that the writer need not.
    pub(crate) fn prepare(&self) {
        let room = self.shape.lock().bytes_max;
        let mut prepared = self.prepared.lock();
        if prepared.is_some() {
            return;
        }
        let log = &self.log;
        let reserve = self.around.config.reserve_bytes;
        let free = log.files.free_bytes(&log.folder).unwrap_or(0);
        if free < reserve.saturating_add(room) {
            return;
        }
        let number = self.preparations.fetch_add(1, Relaxed);
        let path = log.folder.join(format!("next-{number}.tmp"));
        match crate::writer::create(&*log.files, &path, room) {
            Ok(file) => *prepared = Some(Prepared { path, file, room }),
            // The writer makes its own when it needs one, and tells what is wrong then.
            Err(error) => tracing::debug!(%error, "no segment could be prepared"),
        }
    }
}
