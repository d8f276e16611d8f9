//! Opening a lane: the newest usable checkpoint, then what came after it.

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use yizhan_hub::{message::MessageId, store::StoreError, topic::Topic};

use crate::{
    checkpoint::{self, Content, Summary},
    codec::{Frame, LanePlace},
    dedup::{Ids, Seen},
    erase,
    index::IsTombstone,
    lane::{Lane, Shape, Surroundings},
    log::Unread,
    segment::{self, HEADER_BYTES, Holds, Scan, Segment, Step},
    shelf::{self, Dormant},
    writer,
};

/// Ids gathered before they are sorted into the space's window.
const IDS_AT_ONCE: usize = 1 << 20;

/// What was found when a lane was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneRecovery {
    /// The space's name.
    pub space: String,
    /// The lane's number.
    pub lane: u16,
    /// Records that were read again from the log.
    pub records_read: u64,
    /// Bytes of a write that was cut off by a crash. Nobody was told that they are safe.
    pub dropped_bytes: u64,
    /// Files and offsets at which acknowledged data is damaged. Reading them is an error; appending goes on.
    pub damaged: Vec<String>,
    /// Checkpoints that could not be used.
    pub bad_checkpoints: u32,
    /// How long it took.
    pub took: Duration,
}

impl LaneRecovery {
    /// Whether an operator should look at it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.dropped_bytes == 0 && self.damaged.is_empty() && self.bad_checkpoints == 0
    }
}

/// Opens a lane's folder, or makes it.
pub(crate) fn open(
    place: LanePlace,
    folder: &Path,
    ids: &Arc<Mutex<Ids>>,
    shape: Shape,
    around: Surroundings,
) -> Result<(Arc<Lane>, LaneRecovery), StoreError> {
    let began = Instant::now();
    let lane = Lane::new(place, folder, ids.clone(), around);
    *lane.shape.lock() = shape;
    let report = LaneRecovery { lane: place.lane, ..LaneRecovery::default() };
    let mut opening = Opening { lane: &lane, ids: vec![], report };
    opening.open().map_err(|error| match error {
        Failure::Store(error) => error,
        Failure::Io(error) => StoreError::Failed(format!("{} cannot be opened: {error}", folder.display())),
    })?;
    let Opening { ids: seen, mut report, .. } = opening;
    ids.lock().remember(seen);
    report.took = began.elapsed();
    lane.recent.begin(lane.log.newest());
    Ok((Arc::new(lane), report))
}

enum Failure {
    Store(StoreError),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Unread> for Failure {
    fn from(unread: Unread) -> Self {
        Self::Store(unread.into())
    }
}

struct Opening<'a> {
    lane: &'a Lane,
    /// Ids seen, oldest first; those at the front may be older than anybody wants.
    ids: Vec<(MessageId, Seen)>,
    report: LaneRecovery,
}

impl Opening<'_> {
    fn open(&mut self) -> Result<(), Failure> {
        let (log, files) = (&self.lane.log, &*self.lane.log.files);
        files.make_folder(&log.folder)?;
        let names = files.list(&log.folder)?;
        for name in names.iter().filter(|name| name.ends_with(".tmp")) {
            files.remove(&log.folder.join(name))?;
        }
        let mut bases: Vec<u64> = names.iter().filter_map(|name| segment::base_of(name)).collect();
        bases.sort_unstable();
        self.drop_unborn(&mut bases)?;
        let erased = erase::finish(files, &*self.lane.around.shelf, &log.lane, &log.folder, &bases)?;
        if erased > 0 {
            tracing::info!(folder = %log.folder.display(), erased, "erasing that a crash cut off was finished");
        }
        let summary = self.load_checkpoint(&names)?;
        let begin = bases.first().copied().unwrap_or(summary.end);
        // A checkpoint tells what is on the shelf only if nothing was deleted since that it had not seen.
        if summary.end < begin || summary.end == 0 {
            self.take_shelf(begin)?;
        }
        self.read_segments(&bases, &summary)?;
        self.note_deleted(begin, &summary);
        self.doubt_shelf(begin)?;
        let last = log.last();
        let end = last.as_ref().map_or(0, |s| s.holds().end);
        if last.is_none() || end < summary.end {
            if last.is_some() {
                let place = format!("{} ends before its checkpoint", log.folder.display());
                tracing::error!(place, "a journal lost its end");
                self.report.damaged.push(place);
            }
            let room = self.lane.shape.lock().bytes_max;
            let (segment, _, _) = writer::begin(self.lane, summary.end, room, None)?;
            log.push(segment);
            log.set_end(summary.end, summary.newest);
        } else {
            let newest = log.segments().iter().rev().map(|s| s.holds().newest).find(|newest| *newest > 0);
            // Nothing is left to name the newest record; nothing lies behind the end, so that serves.
            log.set_end(end, newest.unwrap_or(end));
        }
        Ok(())
    }

    /// Removes a last segment into which nothing was ever written, its header not either.
    fn drop_unborn(&mut self, bases: &mut Vec<u64>) -> Result<(), Failure> {
        let log = &self.lane.log;
        let Some(last) = bases.last().copied() else { return Ok(()) };
        let path = log.folder.join(segment::file_name(last));
        let mut header = [0; HEADER_BYTES as usize];
        let file = log.files.open(&path)?;
        let read = file.read_at(&mut header, 0)?;
        if segment::is_header(&header[..read], &log.lane, last) {
            return Ok(());
        }
        let end = last + file.len()?.saturating_sub(HEADER_BYTES);
        let written =
            Scan::new(&Segment::new(&log.folder, last, None, Holds::nothing(last)), file, last, end)
                .last_written()?;
        if written.is_some() || header.iter().any(|byte| *byte != 0) {
            // The frames name their own places, so they are good without it.
            let place = format!("{} at byte 0", path.display());
            tracing::error!(place, "a segment's header is damaged");
            self.report.damaged.push(place);
            return Ok(());
        }
        log.files.remove(&path)?;
        log.files.sync_folder(&log.folder)?;
        bases.pop();
        Ok(())
    }

    /// Loads the newest checkpoint that can be used into the index.
    fn load_checkpoint(&mut self, names: &[String]) -> Result<Summary, Failure> {
        let log = &self.lane.log;
        let mut ends: Vec<u64> = names.iter().filter_map(|name| checkpoint::end_of(name)).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        for end in ends {
            let path = log.folder.join(checkpoint::file_name(end));
            match checkpoint::load(&*log.files, &path, log.lane.lane) {
                Ok(Content { summary, index, ids }) => {
                    *self.lane.index.write() = index;
                    self.ids = ids;
                    self.lane.checkpointed.store(summary.end, Relaxed);
                    return Ok(summary);
                }
                Err(why) => {
                    tracing::warn!(file = %path.display(), why, "a checkpoint cannot be used: more is read from the log");
                    self.report.bad_checkpoints += 1;
                    // It would count as one to fall back to.
                    log.files.remove(&path)?;
                }
            }
        }
        Ok(Summary::default())
    }

    /// Remembers which rows on the shelf are out of date: a crash came between a change and clearing up.
    fn doubt_shelf(&self, begin: u64) -> Result<(), StoreError> {
        let lane = self.lane;
        let prefix = shelf::keyed_prefix(lane.place());
        let (index, mut stale) = (lane.index.read(), lane.stale.lock());
        lane.around.shelf.scan(&prefix, &mut |row, frame| {
            let place = offset_of(frame) + 1;
            let Some((topic, key)) = shelf::topic_and_key(row) else { return };
            let known = index.topic(topic.as_str()).and_then(|e| e.key(key));
            if known != Some(place) || place > begin {
                stale.push((topic, key.into()));
            }
        })
    }

    /// Takes from the shelf what the deleted segments left, in place of what the index knows of them.
    fn take_shelf(&self, begin: u64) -> Result<(), StoreError> {
        let (lane, shelf) = (self.lane, &self.lane.around.shelf);
        let mut index = lane.index.write();
        index.forget_keys(begin);
        let mut bad = None;
        shelf.scan(
            &shelf::dormant_prefix(lane.place()),
            &mut |key, value| match Dormant::read(key, value) {
                Some(dormant) => index.make_entry(&dormant.topic).chain.wake(&dormant),
                None => bad = Some("a topic's number"),
            },
        )?;
        shelf.scan(&shelf::keyed_prefix(lane.place()), &mut |_, frame| {
            let offset = offset_of(frame);
            let taken = Frame::whole(frame, offset).ok().and_then(|(frame, _)| {
                let topic = Topic::new(frame.topic).ok()?;
                let key = frame.key_and_id().ok()?.0?;
                // What is still in the log is read there.
                if offset < begin {
                    index.make_entry(&topic).set_key(key, offset + 1, IsTombstone::No);
                }
                Some(())
            });
            if taken.is_none() {
                bad = Some("a keyed record");
            }
        })?;
        match bad {
            Some(what) => Err(StoreError::Corrupt {
                place: format!("{what} of {} on the shelf", lane.log.folder.display()),
            }),
            None => Ok(()),
        }
    }

    /// What retention deleted, also since the checkpoint was written.
    fn note_deleted(&self, begin: u64, summary: &Summary) {
        let (mut deleted, mut deleted_at) = (summary.deleted, summary.deleted_at);
        if begin > summary.segments.first().map_or(0, |(base, _)| *base) {
            let gone = || summary.segments.iter().filter(|(base, _)| *base < begin).map(|(_, holds)| holds);
            // What was written to a segment after the checkpoint is not in there. It lay before the
            // beginning, and was taken before what is left.
            let whole = gone().find(|holds| holds.end == begin);
            deleted = whole.map_or(begin, |holds| holds.newest);
            deleted_at = gone().map(|holds| holds.last_at).max().unwrap_or_default().max(deleted_at);
            if whole.is_none() {
                let first = self.lane.log.segments().first().map(|s| s.holds().first_at);
                deleted_at = deleted_at.max(first.unwrap_or_default());
            }
        }
        self.lane.deleted.store(deleted, Relaxed);
        self.lane.deleted_at.store(deleted_at.0, Relaxed);
    }

    /// Puts the segments in a row and reads those that the checkpoint does not cover.
    fn read_segments(&mut self, bases: &[u64], summary: &Summary) -> Result<(), Failure> {
        let log = &self.lane.log;
        for (i, base) in bases.iter().enumerate() {
            let next = bases.get(i + 1).copied();
            let known = summary.segments.iter().find(|(b, _)| b == base).map(|(_, holds)| *holds);
            let covered = summary.end > 0 && next.is_some_and(|next| next <= summary.end);
            let mut holds = known.unwrap_or_else(|| Holds::nothing(*base));
            // A segment in which nothing was known when the checkpoint was written is read from its base.
            let from = holds.end;
            let segment = Arc::new(Segment::new(&log.folder, *base, None, holds));
            log.push(segment.clone());
            if covered && let (Some(_), Some(next)) = (known, next) {
                holds.end = next;
                segment.set_holds(holds);
                continue;
            }
            self.read_segment(&segment, from, next, &mut holds)?;
        }
        Ok(())
    }

    /// Reads a segment's records from `from` on into the index; `next` is where the next segment begins.
    fn read_segment(
        &mut self,
        segment: &Arc<Segment>,
        from: u64,
        next: Option<u64>,
        holds: &mut Holds,
    ) -> Result<(), Failure> {
        let file = self.lane.log.file(segment)?;
        let room_end = segment.base + file.len()?.saturating_sub(HEADER_BYTES);
        let end = next.unwrap_or(room_end);
        let mut scan = Scan::new(segment, file.clone(), from, end.min(room_end));
        let found_end = loop {
            let at = scan.at();
            match scan.step()? {
                Step::Frame(frame, body) => {
                    self.take(&frame, body.len());
                    let (links, len) = (frame.links, frame.preamble.frame_len as u64);
                    holds.take(links.place, links.at, at + len);
                    continue;
                }
                Step::End if at >= end => break at,
                Step::End | Step::Bad(_) => {}
            }
            match self.find_valid(segment, &file, at, next, room_end)? {
                Some(good) => {
                    self.damaged(segment, at, good);
                    scan.skip_to(good);
                }
                None if next.is_some() => {
                    self.damaged(segment, at, end);
                    break end;
                }
                None => break self.cut(segment, &file, at, room_end)?,
            }
        };
        holds.end = found_end;
        segment.set_holds(*holds);
        Ok(())
    }

    fn take(&mut self, frame: &Frame<'_>, body_len: usize) {
        let (Ok((key, id)), lane) = (frame.key_and_id(), self.lane) else { return };
        let mut index = lane.index.write();
        let topic = match index.id(frame.topic) {
            Some(topic) => topic,
            // What is not a topic's name never got into the log.
            None => match Topic::new(frame.topic) {
                Ok(topic) => index.make(&topic),
                Err(_) => return,
            },
        };
        index.take(topic, &frame.links, key.map(|key| (key, IsTombstone::of(body_len))));
        if let Some(id) = id {
            let links = &frame.links;
            self.ids.push((
                id,
                Seen { lane: lane.place().lane, place: links.place, seq: links.seq, at: links.at },
            ));
            // A long log is read with bounded memory; what is too much for one lane is too much for all.
            if self.ids.len() >= IDS_AT_ONCE {
                lane.ids.lock().remember(std::mem::take(&mut self.ids));
            }
        }
        self.report.records_read += 1;
    }

    /// Where the log goes on behind something that is not a frame, if what goes on proves that everything
    /// at `bad` had been safe: then `bad` is damage and not the end.
    fn find_valid(
        &self,
        segment: &Segment,
        file: &Arc<dyn crate::files::File>,
        bad: u64,
        next: Option<u64>,
        room_end: u64,
    ) -> Result<Option<u64>, Failure> {
        let mut look = Scan::new(segment, file.clone(), bad, room_end.min(next.unwrap_or(room_end)));
        let Some(last) = look.last_written()? else { return Ok(None) };
        let mut look = Scan::new(segment, file.clone(), bad, last + 1);
        let mut first = None;
        while let Some((found, preamble)) = look.next_frame()? {
            first.get_or_insert(found);
            // In front of another segment everything was safe. Else a later group must say so.
            if next.is_some() || preamble.group > bad {
                return Ok(first);
            }
        }
        Ok(None)
    }

    fn damaged(&mut self, segment: &Segment, from: u64, to: u64) {
        let place = segment.describe(from);
        tracing::error!(
            place,
            bytes = to - from,
            "acknowledged data is damaged: restore a backup or accept the loss"
        );
        self.report.damaged.push(place);
    }

    /// Ends the log at `end`: what stands behind it was never promised to anybody.
    fn cut(
        &mut self,
        segment: &Segment,
        file: &Arc<dyn crate::files::File>,
        end: u64,
        room_end: u64,
    ) -> Result<u64, Failure> {
        let mut scan = Scan::new(segment, file.clone(), end, room_end);
        if let Some(last) = scan.last_written()? {
            let bytes = last + 1 - end;
            tracing::warn!(place = segment.describe(end), bytes, "a write that a crash cut off was dropped");
            self.report.dropped_bytes += bytes;
            writer::wipe(&**file, segment, end, last + 1)?;
        }
        Ok(end)
    }
}

/// The offset that a frame says it belongs to.
fn offset_of(frame: &[u8]) -> u64 {
    frame.get(16..24).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}
