//! One space's journal in memory.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    future::ready,
    hash::{Hash, Hasher},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rustc_hash::FxHasher;
use yizhan_ring::Log;
use yizhan_talk::Timestamp;

use super::{dedup::Seen, topics::Topics};
use crate::{
    message::{Message, Position, Record, SpaceId},
    space::{Dedup, Keep, Limits, Space},
    store::{
        Appended, Journal, JournalFigures, Missed, Page, PageSize, Range, StoreError, Tail, TopicSummary,
        emptied,
    },
    topic::{Filter, Topic},
};

/// Records that a read by wildcard looks at before it asks the topics where theirs lie.
const SCAN_MAX: u64 = 1024;

pub(super) struct MemoryJournal {
    id: SpaceId,
    epoch: u32,
    inside: Mutex<Inside>,
    /// Taken after `inside` was let go, never together with it.
    showing: Mutex<Showing>,
}

struct Inside {
    topics_of_space: Filter,
    limits: Limits,
    dedup: Dedup,
    lanes_max: u16,
    lanes: Vec<Log<Kept>>,
    topics: Topics,
    seen: Seen,
    /// Records ever appended: what is oldest in the space, whichever lane it lies in.
    order: u64,
    records: u64,
    bytes: u64,
    /// The latest moment of a record that retention took, by lane.
    lost_at: Vec<Timestamp>,
    /// Records that the tail has not been shown.
    unshown: VecDeque<Arc<Record>>,
}

struct Kept {
    order: u64,
    record: Arc<Record>,
}

#[derive(Default)]
struct Showing {
    tail: Option<Arc<dyn Tail>>,
    /// Somebody is calling the tail and will show what comes meanwhile, too.
    busy: bool,
}

impl MemoryJournal {
    pub(super) fn new(id: SpaceId, epoch: u32, space: &Space) -> Self {
        let mut inside = Inside {
            topics_of_space: space.topics.clone(),
            limits: Limits::NONE,
            dedup: space.dedup,
            lanes_max: 1,
            lanes: Vec::new(),
            topics: Topics::default(),
            seen: Seen::default(),
            order: 0,
            records: 0,
            bytes: 0,
            lost_at: Vec::new(),
            unshown: VecDeque::new(),
        };
        inside.configure(space);
        Self { id, epoch, inside: Mutex::new(inside), showing: Mutex::default() }
    }

    /// Takes over what the config says of a space that is opened again.
    pub(super) fn configure(&self, space: &Space) {
        self.inside.lock().configure(space);
    }

    pub(super) fn prune(&self, now: Timestamp) {
        let mut inside = self.inside.lock();
        let dedup = inside.dedup;
        inside.seen.prune(now, &dedup);
        inside.retain(now);
    }

    fn place(&self, lane: u16, offset: u64) -> Position {
        Position { space: self.id, lane, epoch: self.epoch, offset }
    }

    fn append_now(&self, at: Timestamp, message: Message) -> Appended {
        let mut inside = self.inside.lock();
        let dedup = inside.dedup;
        let id = message.id;
        if let Some(first) = id.and_then(|id| inside.seen.find(id, at, &dedup)) {
            return first;
        }
        let lanes_max = inside.lanes_max;
        let (lane, seq) = inside.topics.place(&message.topic, || lane_of(&message.topic, lanes_max));
        let log = &mut inside.lanes[usize::from(lane)];
        let position = self.place(lane, log.next());
        let record = Arc::new(Record::new(Some(position), seq, at, message));
        inside.add(lane, &record);
        let appended = Appended { position, seq, at, duplicate: false };
        if let Some(id) = id {
            inside.seen.remember(id, appended, &dedup);
        }
        inside.retain(at);
        inside.unshown.push_back(record);
        drop(inside);
        self.show();
        appended
    }

    /// Shows the tail what it has not seen, in order. Where somebody does so already, they go on with ours.
    fn show(&self) {
        loop {
            let tail = {
                let mut showing = self.showing.lock();
                if showing.busy {
                    return;
                }
                showing.busy = true;
                showing.tail.clone()
            };
            let records = std::mem::take(&mut self.inside.lock().unshown);
            if let Some(tail) = tail {
                let records: Vec<_> = records.into();
                let lane = |record: &Arc<Record>| record.position.map(|position| position.lane);
                for of_lane in records.chunk_by(|a, b| lane(a) == lane(b)) {
                    tail.appended(of_lane);
                }
            }
            self.showing.lock().busy = false;
            // Who came after the taking and before the line above left theirs to us.
            if self.inside.lock().unshown.is_empty() {
                return;
            }
        }
    }

    fn read_now(&self, after: Position, filter: &Filter, page: PageSize) -> Page {
        let inside = self.inside.lock();
        let Some(log) = inside.lanes.get(usize::from(after.lane)).filter(|_| after.space == self.id) else {
            return Page { records: Vec::new(), through: None, at_end: true, missed: Missed::Unknown };
        };
        let (from, missed) = if after.epoch == self.epoch {
            (after.offset, inside.missed_after(filter, after.lane, after.offset))
        } else {
            // A place of an earlier life: begin with the oldest there is.
            (0, Missed::Unknown)
        };
        let mut filling = Filling::new(page);
        let mut through = from;
        if let Some(topic) = filter.as_topic() {
            let of_topic = inside.topics.find(&topic).filter(|t| t.lane == after.lane);
            for offset in of_topic.into_iter().flat_map(|t| t.offsets_after(from)) {
                let Some(kept) = log.at(offset) else { continue };
                if !filling.add(&kept.record) {
                    break;
                }
                through = offset;
            }
        } else {
            through = inside.scan(log, after.lane, from, filter, &mut filling);
        }
        if !filling.full {
            through = through.max(log.next() - 1);
        }
        Page {
            records: filling.records,
            through: Some(self.place(after.lane, through)),
            at_end: through + 1 >= log.next(),
            missed,
        }
    }

    fn since_now(&self, at: Timestamp) -> Vec<Position> {
        let inside = self.inside.lock();
        let before = |(log, lane): (&Log<Kept>, u16)| {
            let lost = inside.lost_at.get(usize::from(lane)).is_some_and(|lost| *lost >= at);
            let first = log.from(0).find(|(_, kept)| kept.record.at >= at);
            let offset = first.map_or_else(|| log.next() - 1, |(offset, _)| offset - 1);
            self.place(lane, if lost { 0 } else { offset })
        };
        inside.lanes.iter().zip(0..).map(before).collect()
    }

    fn newest_now(&self, topics: &[Topic]) -> Vec<Option<Arc<Record>>> {
        let inside = self.inside.lock();
        let newest = |topic: &Topic| {
            let of_topic = inside.topics.find(topic)?;
            let log = inside.lanes.get(usize::from(of_topic.lane))?;
            Some(log.at(*of_topic.offsets.back()?)?.record.clone())
        };
        topics.iter().map(newest).collect()
    }

    fn history_now(&self, topic: &Topic, range: Range, page: PageSize) -> Page {
        let inside = self.inside.lock();
        let mut found = Page { records: Vec::new(), through: None, at_end: true, missed: Missed::NONE };
        let Some(of_topic) = inside.topics.find(topic) else { return found };
        let log = &inside.lanes[usize::from(of_topic.lane)];
        let (oldest, next) = (of_topic.oldest_seq(), of_topic.newest_seq + 1);
        let record = |seq: u64| Some(&log.at(of_topic.offset_of(seq)?)?.record);
        // The numbers asked for, `to` not among them, and whether the page begins at their newer end.
        let (from, to, newest_first) = match range {
            Range::Newest => (oldest, next, true),
            Range::Before(seq) => (oldest, seq, true),
            Range::After(seq) => (seq.saturating_add(1), next, false),
            Range::Between(after, before) => (after.saturating_add(1), before, false),
            Range::Since(at) => {
                let taken_before = |offset: &u64| log.at(*offset).is_some_and(|kept| kept.record.at < at);
                let index = of_topic.offsets.partition_point(taken_before);
                if of_topic.lost_since(at) {
                    found.missed = Missed::Unknown;
                }
                (oldest + index as u64, next, false)
            }
        };
        let to = to.min(next);
        if !newest_first && !matches!(range, Range::Since(_)) {
            found.missed = Missed::Count(oldest.min(to).saturating_sub(from));
        }
        let from = from.max(oldest);
        let mut filling = Filling::new(page);
        if newest_first {
            for seq in (from..to).rev() {
                if !record(seq).is_none_or(|record| filling.add(record)) {
                    break;
                }
            }
            filling.records.reverse();
        } else {
            for seq in from..to {
                if !record(seq).is_none_or(|record| filling.add(record)) {
                    break;
                }
            }
        }
        found.records = filling.records;
        found.at_end = !filling.full;
        found.through = found.records.last().and_then(|record| record.position);
        found
    }
}

impl Inside {
    fn configure(&mut self, space: &Space) {
        self.topics_of_space = space.topics.clone();
        self.limits = match space.keep {
            Keep::Nothing => Limits { records_max: 0, ..Limits::NONE },
            Keep::Memory(limits) | Keep::Disk(limits) => limits,
        };
        self.dedup = space.dedup;
        self.lanes_max = space.lanes.max(1);
        while self.lanes.len() < usize::from(self.lanes_max) {
            self.lanes.push(Log::new(yizhan_ring::Limits::NONE, 1));
            self.lost_at.push(Timestamp(0));
        }
    }

    fn add(&mut self, lane: u16, record: &Arc<Record>) {
        self.order += 1;
        let weight = record.message.weight();
        let kept = Kept { order: self.order, record: record.clone() };
        let offset = self.lanes[usize::from(lane)].push(kept, weight);
        self.records += 1;
        self.bytes += weight as u64;
        self.topics.add(offset, record);
    }

    /// Takes the oldest records of the space out until its limits are kept.
    fn retain(&mut self, now: Timestamp) {
        loop {
            let oldest = self.lanes.iter().enumerate().filter_map(|(lane, log)| {
                let kept = log.at(log.oldest())?;
                Some((kept.order, lane, kept.record.at))
            });
            let Some((_, lane, at)) = oldest.min() else { return };
            let limits = &self.limits;
            if self.records <= limits.records_max
                && self.bytes <= limits.bytes_max
                && now.since(at) <= limits.age_max
            {
                return;
            }
            let Some((offset, kept)) = self.lanes[lane].pop_oldest() else { return };
            self.lost_at[lane] = self.lost_at[lane].max(kept.record.at);
            self.records -= 1;
            self.bytes -= kept.record.message.weight() as u64;
            self.topics.take_out(offset, &kept.record);
        }
    }

    /// Empties the records of a topic with these numbers. Gives how many.
    fn erase(&mut self, topic: &Topic, mut seqs: Vec<u64>) -> u64 {
        seqs.sort_unstable();
        seqs.dedup();
        let mut erased = self.topics.erase_state(topic, &seqs).len() as u64;
        let Some(of_topic) = self.topics.find(topic) else { return erased };
        let log = &mut self.lanes[usize::from(of_topic.lane)];
        for seq in seqs {
            let Some(kept) = of_topic.offset_of(seq).and_then(|offset| log.at_mut(offset)) else { continue };
            let Some(empty) = emptied(&kept.record) else { continue };
            self.bytes -= (kept.record.message.weight() - empty.message.weight()) as u64;
            kept.record = Arc::new(empty);
            erased += 1;
        }
        erased
    }

    fn missed_after(&self, filter: &Filter, lane: u16, after: u64) -> Missed {
        let oldest = self.lanes[usize::from(lane)].oldest();
        let gone = oldest.saturating_sub(after.saturating_add(1));
        if gone == 0 {
            return Missed::NONE;
        }
        if filter.covers(&self.topics_of_space) {
            return Missed::Count(gone);
        }
        if self.topics.lost_after(filter, lane, after) { Missed::Unknown } else { Missed::NONE }
    }

    /// Reads by wildcard: looks at what comes next, and where that does not fill the page, goes from one
    /// record of a matching topic to the next, whatever lies between. Gives how far it looked.
    fn scan(&self, log: &Log<Kept>, lane: u16, from: u64, filter: &Filter, filling: &mut Filling) -> u64 {
        let (mut through, mut looked) = (from, 0);
        for (offset, kept) in log.from(from.saturating_add(1)) {
            if filter.matches(&kept.record.message.topic) && !filling.add(&kept.record) {
                return through;
            }
            through = offset;
            looked += 1;
            if looked == SCAN_MAX {
                break;
            }
        }
        if through + 1 >= log.next() {
            return through;
        }
        let mut topics: Vec<_> = self
            .topics
            .matching(filter, None)
            .filter(|(_, of_topic)| of_topic.lane == lane)
            .map(|(_, of_topic)| of_topic.offsets_after(through))
            .collect();
        let mut nearest: BinaryHeap<_> = topics
            .iter_mut()
            .enumerate()
            .filter_map(|(i, offsets)| Some(Reverse((offsets.next()?, i))))
            .collect();
        while let Some(Reverse((offset, i))) = nearest.pop() {
            let Some(kept) = log.at(offset) else { continue };
            if !filling.add(&kept.record) {
                break;
            }
            through = offset;
            nearest.extend(topics[i].next().map(|offset| Reverse((offset, i))));
        }
        through
    }
}

/// A page while records are put into it.
struct Filling {
    page: PageSize,
    bytes: usize,
    records: Vec<Arc<Record>>,
    full: bool,
}

impl Filling {
    fn new(page: PageSize) -> Self {
        Self { page, bytes: 0, records: Vec::new(), full: false }
    }

    /// Puts a record in; false, and [`full`](Self::full) from then on, where there is no room.
    fn add(&mut self, record: &Arc<Record>) -> bool {
        let bytes = self.bytes.saturating_add(record.message.body.len());
        if !self.records.is_empty()
            && (self.records.len() >= self.page.records_max || bytes > self.page.bytes_max)
        {
            self.full = true;
            return false;
        }
        self.bytes = bytes;
        self.records.push(record.clone());
        true
    }
}

fn lane_of(topic: &Topic, lanes: u16) -> u16 {
    let mut hasher = FxHasher::default();
    topic.hash(&mut hasher);
    // Less than `lanes`, so it fits.
    u16::try_from(hasher.finish() % u64::from(lanes)).unwrap_or(0)
}

impl Journal for MemoryJournal {
    fn id(&self) -> SpaceId {
        self.id
    }

    fn append(&self, at: Timestamp, message: Message) -> BoxFuture<'static, Result<Appended, StoreError>> {
        Box::pin(ready(Ok(self.append_now(at, message))))
    }

    fn set_tail(&self, tail: Arc<dyn Tail>) {
        self.showing.lock().tail = Some(tail);
    }

    fn heads(&self) -> Vec<Position> {
        let inside = self.inside.lock();
        inside.lanes.iter().zip(0..).map(|(log, lane)| self.place(lane, log.next() - 1)).collect()
    }

    fn read<'a>(
        &'a self,
        after: Position,
        filter: &'a Filter,
        page: PageSize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(ready(Ok(self.read_now(after, filter, page))))
    }

    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        range: Range,
        page: PageSize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(ready(Ok(self.history_now(topic, range, page))))
    }

    fn newest_each<'a>(
        &'a self,
        topics: &'a [Topic],
    ) -> BoxFuture<'a, Result<Vec<Option<Arc<Record>>>, StoreError>> {
        Box::pin(ready(Ok(self.newest_now(topics))))
    }

    fn newest_seqs(&self, topics: &[Topic]) -> Vec<u64> {
        let inside = self.inside.lock();
        topics.iter().map(|topic| inside.topics.find(topic).map_or(0, |log| log.newest_seq)).collect()
    }

    fn since(&self, at: Timestamp) -> BoxFuture<'_, Result<Vec<Position>, StoreError>> {
        Box::pin(ready(Ok(self.since_now(at))))
    }

    fn erase<'a>(&'a self, topic: &'a Topic, seqs: Vec<u64>) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(ready(Ok(self.inside.lock().erase(topic, seqs))))
    }

    fn state<'a>(
        &'a self,
        filter: &'a Filter,
        records_max: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Record>>, StoreError>> {
        let mut records = self.inside.lock().topics.state(filter);
        records.truncate(records_max);
        Box::pin(ready(Ok(records)))
    }

    fn topics(&self, filter: &Filter, after: Option<&Topic>, topics_max: usize) -> Vec<TopicSummary> {
        let inside = self.inside.lock();
        let summary = |(topic, log): (&Topic, &super::topics::TopicLog)| TopicSummary {
            topic: topic.clone(),
            newest_seq: log.newest_seq,
            oldest_seq: log.oldest_seq(),
        };
        inside.topics.matching(filter, after).take(topics_max).map(summary).collect()
    }

    fn figures(&self) -> JournalFigures {
        let inside = self.inside.lock();
        let (records, bytes, topics) = (inside.records, inside.bytes, inside.topics.len() as u64);
        JournalFigures { records, bytes, topics, waiting: 0 }
    }
}
