//! The one who writes to a lane: takes what waits, writes it in one piece, syncs once, then tells.

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use yizhan_hub::{
    message::Record,
    store::{Appended, StoreError},
    topic::Topic,
};

use crate::{
    chain::Chain,
    codec,
    dedup::Seen,
    files::{File, Files, is_full},
    index::IsTombstone,
    lane::{Lane, Prepared},
    queue::Pending,
    recent::Kept,
    segment::{self, HEADER_BYTES, Holds, Segment},
};

/// How long an answer about free space is believed.
const FREE_BYTES_AGE_MAX: Duration = Duration::from_secs(1);

/// Who waits for an answer, and the answer.
type Answer = (oneshot::Sender<Result<Appended, StoreError>>, Appended);

/// What a commit made safe.
#[derive(Default)]
pub(crate) struct Told {
    answers: Vec<Answer>,
    records: Vec<Arc<Record>>,
}

/// Answers those who wait, then tells the lane's tail.
pub(crate) fn tell(lane: &Lane, told: Told) {
    for (answer, appended) in told.answers {
        // Whoever asked may be gone; the record stays.
        drop(answer.send(Ok(appended)));
    }
    if let Some(tail) = lane.tail.get()
        && !told.records.is_empty()
    {
        tail.appended(&told.records);
    }
}

/// Records on their way to the disk together.
#[derive(Default)]
struct Group {
    /// Logical offset of the first one.
    start: u64,
    frames: Vec<u8>,
    kept: Vec<Kept>,
    answers: Vec<Answer>,
    /// The topics' chains with this group's records in.
    chains: FxHashMap<Topic, Chain>,
    new_topics: usize,
}

impl Group {
    fn end(&self) -> u64 {
        self.start + self.frames.len() as u64
    }

    fn clear(&mut self, start: u64) {
        self.start = start;
        self.frames.clear();
        self.chains.clear();
        self.new_topics = 0;
    }
}

pub(crate) struct Writer {
    lane: Arc<Lane>,
    file: Arc<dyn File>,
    segment: Arc<Segment>,
    /// Logical offset that the segment has no room for any more.
    room_end: u64,
    group: Group,
    /// A range in which a failed write may have left something.
    pub(crate) dirty: Option<(u64, u64)>,
    free: Option<(Instant, u64)>,
    /// Whether a file for the next segment was wished for.
    prepares: bool,
}

/// Why a message is not in the group.
enum NotTaken {
    /// It needs another segment.
    Roll(Pending, u64),
    Refused(Pending, StoreError),
}

impl Writer {
    /// Writes on at the end of the lane's last segment.
    pub(crate) fn new(lane: Arc<Lane>) -> Result<Self, StoreError> {
        let none = || StoreError::Failed("a lane without a segment".into());
        let segment = lane.log.last().ok_or_else(none)?;
        let file = lane.log.file(&segment)?;
        let len = file.len().map_err(|error| StoreError::Failed(error.to_string()))?;
        let room_end = segment.base + len.saturating_sub(HEADER_BYTES);
        let group = Group { start: lane.log.end(), ..Group::default() };
        Ok(Self { lane, file, segment, room_end, group, dirty: None, free: None, prepares: false })
    }

    /// Makes a group of messages safe, and hands over what is to be told.
    pub(crate) fn turn(&mut self, batch: &mut Vec<Pending>, tell: &mut dyn FnMut(Told)) {
        if Lane::take_wish(&self.lane.wishes.roll) && self.segment.bytes() > 0 {
            // Retention waits for this; with a full disk it is tried again later.
            if let Err(error) = self.roll(0) {
                tracing::warn!(%error, "a segment could not be ended");
            }
        }
        let mut refusal = self.lane.failed.get().cloned();
        if refusal.is_none() && !batch.is_empty() {
            refusal = self.make_ready(batch.first().map(|p| p.at).unwrap_or_default()).err();
        }
        let began = Instant::now();
        for pending in batch.drain(..) {
            if let Some(error) = &refusal {
                self.refuse(pending, error.clone());
                continue;
            }
            self.lane.around.meters.wait.record(began.saturating_duration_since(pending.since));
            let Err(not_taken) = self.take(pending) else { continue };
            match *not_taken {
                NotTaken::Refused(pending, error) => self.refuse(pending, error),
                NotTaken::Roll(pending, len) => {
                    if let Err(error) = self.commit(tell).and_then(|()| self.roll(len)) {
                        refusal = Some(error.clone());
                        self.refuse(pending, error);
                        continue;
                    }
                    let Err(not_taken) = self.take(pending) else { continue };
                    match *not_taken {
                        NotTaken::Refused(pending, error) => self.refuse(pending, error),
                        // A new segment has room for the frame it was made for.
                        NotTaken::Roll(pending, _) => {
                            self.refuse(pending, StoreError::Failed("no segment is large enough".into()));
                        }
                    }
                }
            }
        }
        // What could not be written was answered there.
        drop(self.commit(tell));
    }

    fn refuse(&self, pending: Pending, error: StoreError) {
        if error == StoreError::Full {
            self.lane.around.meters.full.one();
        }
        if let Some(id) = pending.message.id {
            self.lane.ids.lock().refuse(id, &error);
        }
        drop(pending.answer.send(Err(error)));
    }

    /// Checks that there is space, that nothing half-written is in the way, and ends a segment that is
    /// full by count or age.
    fn make_ready(&mut self, now: yizhan_talk::Timestamp) -> Result<(), StoreError> {
        self.check_free(FREE_BYTES_AGE_MAX)?;
        self.clean()?;
        let (holds, shape) = (self.segment.holds(), *self.lane.shape.lock());
        let full = holds.records >= shape.records_max || now.since(holds.first_at) > shape.age_max;
        if holds.records > 0 && full {
            self.roll(0)?;
        }
        Ok(())
    }

    fn check_free(&mut self, age_max: Duration) -> Result<(), StoreError> {
        let reserve = self.lane.around.config.reserve_bytes;
        // That there is enough is believed for a while; that there is not is asked again each time.
        let known = self.free.filter(|(when, free)| *free >= reserve && when.elapsed() < age_max);
        let known = known.map(|(_, free)| free);
        let free = match known {
            Some(free) => free,
            None => {
                let free = self.lane.log.files.free_bytes(&self.lane.log.folder);
                let free =
                    free.map_err(|error| StoreError::Failed(format!("free space is unknown: {error}")))?;
                self.free = Some((Instant::now(), free));
                free
            }
        };
        if free < reserve { Err(StoreError::Full) } else { Ok(()) }
    }

    /// Puts a message into the group.
    fn take(&mut self, pending: Pending) -> Result<(), Box<NotTaken>> {
        let index = self.lane.index.read();
        let message = &pending.message;
        let known = self.group.chains.get(&message.topic);
        let committed =
            if known.is_none() { index.topic(message.topic.as_str()).map(|e| &e.chain) } else { None };
        let is_new = known.is_none() && committed.is_none();
        if is_new && index.len() + self.group.new_topics >= self.lane.around.config.topics_max {
            let error =
                StoreError::Failed("the lane knows as many topics as it may: see store.topics_max".into());
            drop(index);
            return Err(Box::new(NotTaken::Refused(pending, error)));
        }
        let place = self.group.end() + 1;
        let empty = Chain::default();
        let links = known.or(committed).unwrap_or(&empty).next(place, pending.at);
        let Some(len) = codec::frame_len(message, links.high.0 - links.at.0) else {
            drop(index);
            let error = StoreError::Failed("the message is too large to be kept".into());
            return Err(Box::new(NotTaken::Refused(pending, error)));
        };
        if self.group.end() + len as u64 > self.room_end {
            drop(index);
            return Err(Box::new(NotTaken::Roll(pending, len as u64)));
        }
        codec::write(&mut self.group.frames, self.group.start, &links, message);
        match self.group.chains.get_mut(&message.topic) {
            Some(chain) => chain.push(&links),
            None => {
                let mut chain = committed.cloned().unwrap_or_default();
                chain.push(&links);
                self.group.chains.insert(message.topic.clone(), chain);
                self.group.new_topics += usize::from(is_new);
            }
        }
        drop(index);
        let seen = Seen { lane: self.lane.place().lane, place, seq: links.seq, at: links.at };
        self.group.answers.push((pending.answer, self.lane.appended(&seen, false)));
        let position = self.lane.place().position(place);
        let record = Arc::new(Record::new(Some(position), links.seq, links.at, pending.message));
        self.group.kept.push(Kept { links, record });
        Ok(())
    }

    /// Writes the group, syncs, takes it into the index and hands over what is to be told. On failure all
    /// of the group's messages are refused, and nothing of them stays.
    fn commit(&mut self, tell: &mut dyn FnMut(Told)) -> Result<(), StoreError> {
        if self.group.kept.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let written = self.write();
        let mut answers = std::mem::take(&mut self.group.answers);
        let kept = std::mem::take(&mut self.group.kept);
        if let Err(error) = written {
            let full = if error == StoreError::Full { answers.len() as u64 } else { 0 };
            self.lane.around.meters.full.add(full);
            let mut ids = self.lane.ids.lock();
            for id in kept.iter().filter_map(|kept| kept.record.message.id) {
                ids.refuse(id, &error);
            }
            drop(ids);
            for (answer, _) in answers {
                drop(answer.send(Err(error.clone())));
            }
            self.group.clear(self.lane.log.end());
            return Err(error);
        }
        let lane = &self.lane;
        let meters = &lane.around.meters;
        meters.commit.record(began.elapsed());
        meters.groups.one();
        meters.records.add(kept.len() as u64);
        meters.bytes.add(self.group.frames.len() as u64);
        let records = kept.iter().map(|kept| kept.record.clone()).collect();
        self.take_in(kept, &mut answers);
        let end = self.group.end();
        self.group.clear(end);
        tell(Told { answers, records });
        // A file for the next one is wanted as soon as it is likely that there will be a next one.
        if !self.prepares && end - self.segment.base > (self.room_end - self.segment.base) / 2 {
            self.prepares = true;
            lane.wishes.prepare.store(true, Relaxed);
        }
        if end - lane.checkpointed.load(Relaxed) >= lane.around.config.checkpoint_bytes {
            lane.wishes.checkpoint.store(true, Relaxed);
        }
        Ok(())
    }

    /// Makes the group visible to readers: it is safe. The end comes last, so that whoever sees it sees
    /// everything up to it.
    fn take_in(&self, kept: Vec<Kept>, answers: &mut Vec<Answer>) {
        let lane = &self.lane;
        let mut holds = self.segment.holds();
        for (i, Kept { links, .. }) in kept.iter().enumerate() {
            let end = kept.get(i + 1).map_or_else(|| self.group.end(), |next| next.links.place - 1);
            holds.take(links.place, links.at, end);
        }
        self.segment.set_holds(holds);
        let mut index = lane.index.write();
        for Kept { links, record } in &kept {
            let message = &record.message;
            let topic = index.make(&message.topic);
            let key = message.key.as_deref().map(|key| (key, IsTombstone::of(message.body.len())));
            let before = index.take(topic, links, key);
            if let Some((key, _)) = key {
                lane.outdate(&message.topic, key, before);
            }
        }
        drop(index);
        let mut ids = lane.ids.lock();
        for Kept { links, record } in &kept {
            let Some(id) = record.message.id else { continue };
            let seen = Seen { lane: lane.place().lane, place: links.place, seq: links.seq, at: links.at };
            let waiting = ids.settle(id, seen).into_iter();
            answers.extend(waiting.map(|answer| (answer, lane.appended(&seen, true))));
        }
        drop(ids);
        lane.recent.push(kept.into_iter());
        lane.log.set_end(self.group.end(), holds.newest);
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let at = self.segment.at(self.group.start);
        if let Err(error) = self.file.write_at(&self.group.frames, at) {
            self.dirty = Some((self.group.start, self.group.end()));
            if !is_full(&error) {
                return Err(self.fail("writing", &error));
            }
            tracing::warn!(file = %self.segment.path.display(), "the disk is full: messages are refused");
            // What stays for now is cleaned before the next group. Should the power fail before that, some
            // of these may be there all the same; their ids tell.
            drop(self.clean());
            return Err(StoreError::Full);
        }
        // When a sync fails, the kernel may mark the pages clean though they never reached the disk; a
        // second sync would then succeed and mean nothing ("fsyncgate", PostgreSQL 2018). What is on the
        // disk is known only after a restart reads it again, so this lane takes nothing more until then.
        self.file.sync().map_err(|error| self.fail("syncing", &error))
    }

    fn fail(&self, what: &str, error: &io::Error) -> StoreError {
        let file = self.segment.path.display();
        tracing::error!(%file, %error, what, "a journal cannot be written: restart after the disk is checked");
        let failed = StoreError::Failed(format!(
            "{what} {file} failed: {error}; the journal takes nothing more until a restart"
        ));
        self.lane.failed.get_or_init(|| failed).clone()
    }

    /// Takes away what a failed write may have left behind the end.
    fn clean(&mut self) -> Result<(), StoreError> {
        let Some((from, to)) = self.dirty else { return Ok(()) };
        let wiped = wipe(&*self.file, &self.segment, from, to);
        match wiped {
            Ok(()) => {
                self.dirty = None;
                Ok(())
            }
            Err(error) if is_full(&error) => Err(StoreError::Full),
            Err(error) => Err(self.fail("cleaning", &error)),
        }
    }

    /// Ends this segment and begins another, with room for a frame of `len` bytes.
    fn roll(&mut self, len: u64) -> Result<(), StoreError> {
        // A file for one segment more must fit beside the reserve.
        self.check_free(Duration::ZERO)?;
        self.clean()?;
        let lane = self.lane.clone();
        let base = lane.log.end();
        let room = lane.shape.lock().bytes_max.max(len);
        let prepared = lane.prepared.lock().take_if(|prepared| prepared.room >= len);
        let begun = begin(&lane, base, room, prepared).map_err(|error| match error {
            error if is_full(&error) => {
                tracing::warn!(folder = %lane.log.folder.display(), "the disk is full: messages are refused");
                StoreError::Full
            }
            // Nothing was promised yet, so another attempt is safe.
            error => StoreError::Failed(format!(
                "a segment cannot be made in {}: {error}",
                lane.log.folder.display()
            )),
        })?;
        let (segment, file, room) = begun;
        if self.segment.base == base {
            // The old one held nothing and was replaced by a larger one.
            lane.log.replace_last(segment.clone());
        } else {
            // The room that was not used goes back to the disk. It costs space only where this fails.
            if let Err(error) = self.file.set_len(self.segment.at(base)) {
                tracing::warn!(%error, file = %self.segment.path.display(), "a segment could not be cut to its length");
            }
            lane.log.push(segment.clone());
            lane.wishes.retain.store(true, Relaxed);
        }
        (self.segment, self.file, self.room_end) = (segment, file, base + room);
        self.group.clear(base);
        self.prepares = false;
        Ok(())
    }
}

/// Makes the segment at `base`; all of it is safe when this returns.
pub(crate) fn begin(
    lane: &Lane,
    base: u64,
    room: u64,
    prepared: Option<Prepared>,
) -> io::Result<(Arc<Segment>, Arc<dyn File>, u64)> {
    let (files, folder) = (&*lane.log.files, &lane.log.folder);
    let prepared = match prepared {
        Some(prepared) => prepared,
        None => {
            let path = folder.join("begin.tmp");
            let file = create(files, &path, room)?;
            Prepared { path, file, room }
        }
    };
    let segment = Segment::new(folder, base, Some(prepared.file.clone()), Holds::nothing(base));
    let place = || {
        prepared.file.write_at(&segment::header(lane.place(), base), 0)?;
        prepared.file.sync()?;
        files.rename(&prepared.path, &segment.path)?;
        files.sync_folder(folder)
    };
    if let Err(error) = place() {
        drop(files.remove(&prepared.path));
        return Err(error);
    }
    Ok((Arc::new(segment), prepared.file, prepared.room))
}

/// A file with room for a segment.
pub(crate) fn create(files: &dyn Files, path: &Path, room: u64) -> io::Result<Arc<dyn File>> {
    let created = files.create(path, HEADER_BYTES + room).and_then(|file| file.sync().map(|()| file));
    if created.is_err() {
        // Part of the room may have been taken.
        drop(files.remove(path));
    }
    created
}

/// Writes zeros over a range of logical offsets, safely.
pub(crate) fn wipe(file: &dyn File, segment: &Segment, from: u64, to: u64) -> io::Result<()> {
    let zeros = [0; 64 << 10];
    let mut at = from;
    while at < to {
        let len = (to - at).min(zeros.len() as u64);
        file.write_at(&zeros[..len as usize], segment.at(at))?;
        at += len;
    }
    file.sync()
}
