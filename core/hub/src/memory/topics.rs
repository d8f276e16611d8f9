//! What is known of each topic: its numbers, where its records lie, and its state.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use rustc_hash::FxHashMap;
use yizhan_talk::Timestamp;

use crate::{
    message::Record,
    topic::{Filter, Topic},
};

/// Topics that nothing is left of whose numbers are remembered. Over it all of them are forgotten, and new
/// topics begin with a number that none of the forgotten ones had.
const EMPTY_TOPICS_MAX: usize = 100_000;
/// Keyed records of a space that stay as state when retention takes them. Over it they go, oldest first.
const STATE_RECORDS_MAX: usize = 1_000_000;

#[derive(Default)]
pub(super) struct TopicLog {
    pub(super) lane: u16,
    pub(super) newest_seq: u64,
    /// Offsets in the lane of the records that are there; their numbers are the newest ones, densely.
    pub(super) offsets: VecDeque<u64>,
    /// The newest record of each key; it stays when retention takes it out of the log.
    keys: FxHashMap<Arc<str>, Arc<Record>>,
    /// The newest record that retention took: its offset and when it was taken in.
    gone: Option<(u64, Timestamp)>,
}

impl TopicLog {
    pub(super) fn oldest_seq(&self) -> u64 {
        self.newest_seq + 1 - self.offsets.len() as u64
    }

    /// Whether retention took a record behind `offset`.
    pub(super) fn lost_after(&self, offset: u64) -> bool {
        self.gone.is_some_and(|(gone, _)| gone > offset)
    }

    /// Whether retention took a record that came in at this moment or later.
    pub(super) fn lost_since(&self, at: Timestamp) -> bool {
        self.gone.is_some_and(|(_, gone_at)| gone_at >= at)
    }

    /// The offsets behind a place, oldest first.
    pub(super) fn offsets_after(&self, after: u64) -> impl Iterator<Item = u64> {
        let from = self.offsets.partition_point(|offset| *offset <= after);
        self.offsets.range(from..).copied()
    }

    /// The offset of the record with this number, where it is there.
    pub(super) fn offset_of(&self, seq: u64) -> Option<u64> {
        let index = usize::try_from(seq.checked_sub(self.oldest_seq())?).ok()?;
        self.offsets.get(index).copied()
    }

    fn is_empty(&self) -> bool {
        self.offsets.is_empty() && self.keys.is_empty()
    }

    fn add(&mut self, offset: u64, record: &Arc<Record>) {
        self.offsets.push_back(offset);
        if let Some(key) = &record.message.key {
            if record.message.body.is_empty() {
                self.keys.remove(key);
            } else {
                self.keys.insert(key.clone(), record.clone());
            }
        }
    }

    fn take_out(&mut self, offset: u64, record: &Arc<Record>, keep_state: bool) {
        self.offsets.pop_front();
        self.gone = Some((offset, record.at));
        if let Some(key) = record.message.key.as_ref().filter(|_| !keep_state)
            && self.keys.get(key).is_some_and(|newest| Arc::ptr_eq(newest, record))
        {
            self.keys.remove(key);
        }
    }
}

#[derive(Default)]
pub(super) struct Topics {
    by_name: BTreeMap<Topic, TopicLog>,
    empty: usize,
    /// Keys of all topics together.
    keys: usize,
    /// The highest number of a forgotten topic.
    forgotten_seq: u64,
    /// The newest record of a forgotten topic.
    forgotten: Option<(u64, Timestamp)>,
}

impl Topics {
    /// The lane and the next number of a topic; `lane` says where a new one goes.
    pub(super) fn place(&mut self, topic: &Topic, lane: impl FnOnce() -> u16) -> (u16, u64) {
        if !self.by_name.contains_key(topic) {
            let fresh = TopicLog {
                lane: lane(),
                newest_seq: self.forgotten_seq,
                gone: self.forgotten,
                ..Default::default()
            };
            self.by_name.insert(topic.clone(), fresh);
            self.empty += 1;
        }
        self.by_name.get(topic).map_or((0, 1), |log| (log.lane, log.newest_seq + 1))
    }

    /// Notes a record at the place that [`place`](Self::place) gave.
    pub(super) fn add(&mut self, offset: u64, record: &Arc<Record>) {
        if let Some(log) = self.by_name.get_mut(&record.message.topic) {
            self.empty -= usize::from(log.is_empty());
            self.keys -= log.keys.len();
            log.newest_seq = record.seq;
            log.add(offset, record);
            self.keys += log.keys.len();
        }
    }

    /// Takes the oldest record of a topic out.
    pub(super) fn take_out(&mut self, offset: u64, record: &Arc<Record>) {
        if let Some(log) = self.by_name.get_mut(&record.message.topic) {
            self.keys -= log.keys.len();
            log.take_out(offset, record, self.keys + log.keys.len() <= STATE_RECORDS_MAX);
            self.keys += log.keys.len();
            self.empty += usize::from(log.is_empty());
        }
        if self.empty > EMPTY_TOPICS_MAX {
            self.forget_empty();
        }
    }

    /// Takes erased records out of a topic's state: those with these numbers, in order. Gives the
    /// numbers of those that were nowhere else.
    pub(super) fn erase_state(&mut self, topic: &Topic, seqs: &[u64]) -> Vec<u64> {
        let Some(log) = self.by_name.get_mut(topic) else { return Vec::new() };
        let (was_empty, oldest) = (log.is_empty(), log.oldest_seq());
        let mut gone = Vec::new();
        self.keys -= log.keys.len();
        log.keys.retain(|_, record| {
            let erased = seqs.binary_search(&record.seq).is_ok();
            if erased && record.seq < oldest {
                gone.push(record.seq);
            }
            !erased
        });
        self.keys += log.keys.len();
        self.empty += usize::from(log.is_empty() && !was_empty);
        gone
    }

    fn forget_empty(&mut self) {
        let (mut seq, mut newest) = (self.forgotten_seq, self.forgotten);
        self.by_name.retain(|_, log| {
            if log.is_empty() {
                seq = seq.max(log.newest_seq);
                newest = newest.max(log.gone);
            }
            !log.is_empty()
        });
        (self.forgotten_seq, self.forgotten, self.empty) = (seq, newest, 0);
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn find(&self, topic: &Topic) -> Option<&TopicLog> {
        self.by_name.get(topic)
    }

    /// The topics with a matching name after `after`, in the order of names.
    pub(super) fn matching<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a Topic>,
    ) -> impl Iterator<Item = (&'a Topic, &'a TopicLog)> {
        // Only names that begin like the filter's plain levels can match.
        let pattern = filter.as_str();
        let plain = pattern.find(['+', '#']).map_or(pattern, |at| pattern[..at].trim_end_matches('/'));
        let from = match after {
            Some(after) if after.as_str() >= plain => Bound::Excluded(after.as_str()),
            _ => Bound::Included(plain),
        };
        let only = filter.as_topic();
        self.by_name
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(move |(topic, _)| match &only {
                Some(only) => *topic <= only,
                None => topic.as_str().starts_with(plain),
            })
            .filter(|(topic, _)| filter.matches(topic))
    }

    /// Whether retention took a record behind a place of a lane that this filter matches. Topics of other
    /// lanes lie elsewhere; forgotten ones may have lain anywhere.
    pub(super) fn lost_after(&self, filter: &Filter, lane: u16, offset: u64) -> bool {
        self.forgotten.is_some_and(|(gone, _)| gone > offset)
            || self.matching(filter, None).any(|(_, log)| log.lane == lane && log.lost_after(offset))
    }

    /// The newest record of each key of matching topics, in the order of positions.
    pub(super) fn state(&self, filter: &Filter) -> Vec<Arc<Record>> {
        let mut records: Vec<_> =
            self.matching(filter, None).flat_map(|(_, log)| log.keys.values().cloned()).collect();
        records.sort_unstable_by_key(|record| record.position);
        records
    }
}
