//! What waits to be sent to one session, and where each of its subscriptions stands.
//!
//! Here back-pressure is decided: pushing never waits, and what does not fit is left to the journal,
//! counted as missed, or ends the connection, as the space says. All of it is sync and under one lock.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use rustc_hash::FxHashMap;
use yizhan_talk::{Close, Timestamp};

use crate::{
    asleep::Replay,
    group::Told,
    guard::guard,
    link::{Acked, Delivery, SubscriptionId},
    message::{Batch, Position, Record},
    space::Lag,
    store::{Missed, Page},
    subscription::{Gap, Pace, Subscription, Verdict},
    topic::{Filter, Topic},
};

/// How much one session's outbox takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutboxLimits {
    pub(crate) records_max: usize,
    pub(crate) bytes_max: usize,
}

/// A queue keeps its buffer while it is no larger than this; a larger one is given back when empty.
const BUFFER_KEPT: usize = 32;
/// One session's outbox.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) subscriptions: Vec<Option<Box<Subscription>>>,
    /// How many there are.
    count: u32,
    /// Where they are, once there are more than a few.
    index: Option<Box<Index>>,
    pub(crate) ready: VecDeque<Ready>,
    pub(crate) ready_bytes: usize,
    /// Records in `ready`.
    pub(crate) ready_records: usize,
    /// How many were ever taken from the front of `ready`: makes places in it that stay true.
    popped: u64,
    /// Where the newest record of each topic and key waits, for spaces where only that one matters.
    pub(crate) latest: Option<Box<Latest>>,
    /// Delivered and not acked, of spaces that keep nothing; only for sessions that outlive connections.
    #[expect(clippy::box_collection, reason = "most sessions have none, and a session is to be small")]
    pub(crate) replay: Option<Box<VecDeque<Replay>>>,
    pub(crate) replays: bool,
    /// Some subscription has missed records that were not told yet.
    pub(crate) untold: bool,
    /// Some feed has something to read from its journal.
    pub(crate) behind: bool,
    /// Nobody is there to hear.
    pub(crate) asleep: bool,
    /// The link is to end, and why.
    pub(crate) leave: Option<Box<Close>>,
    /// The live link's task, when it waits.
    pub(crate) waker: Option<Waker>,
    /// What groups are to hear, once the lock is free.
    pub(crate) told: Vec<Told>,
    /// Some group waits until this is empty.
    pub(crate) stalls: bool,
    /// It is a group's own: nothing expires on the way, and nobody is sent away for being slow.
    pub(crate) patient: bool,
    pub(crate) delivered: u64,
    pub(crate) missed: u64,
}

/// Places in `ready`, by subscription, topic and key.
pub(crate) type Latest = FxHashMap<(u32, Topic, Option<Arc<str>>), u64>;

/// Subscriptions up to which looking through all of them is quicker than an index, and smaller.
const FEW: u32 = 8;

/// Where subscriptions are.
#[derive(Default)]
struct Index {
    slots: FxHashMap<SubscriptionId, u32>,
    free: Vec<u32>,
}

pub(crate) struct Ready {
    pub(crate) slot: u32,
    /// Which life of the slot: a subscription that was replaced meanwhile gets nothing of the old one.
    pub(crate) life: u32,
    pub(crate) what: What,
}

#[derive(Clone)]
pub(crate) enum What {
    Record(Arc<Record>),
    Batch(Arc<Batch>),
    /// `Gap::Kept`: the journal has them, and gives them again where the session resumes from before.
    Missed(Missed, Gap),
    StateEnd,
}

impl What {
    /// What it counts for in the outbox's limit, bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Record(record) => record.weight(),
            Self::Batch(batch) => batch.weight(),
            Self::Missed(..) | Self::StateEnd => 0,
        }
    }

    /// How many records it is.
    pub(crate) fn records(&self) -> usize {
        match self {
            Self::Record(_) => 1,
            Self::Batch(batch) => batch.records().len(),
            Self::Missed(..) | Self::StateEnd => 0,
        }
    }
}

/// Something to read from a journal for one feed.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) slot: u32,
    pub(crate) life: u32,
    pub(crate) feed: usize,
    pub(crate) space: u16,
    pub(crate) after: Position,
    pub(crate) filter: Filter,
    pub(crate) records_max: usize,
}

/// State to read from journals for one subscription.
#[derive(Debug)]
pub(crate) struct StateReading {
    pub(crate) slot: u32,
    pub(crate) life: u32,
    pub(crate) filter: Filter,
    /// Each feed's space and place; what is newer comes from the tail or the journal in its turn.
    pub(crate) heads: Vec<(u16, Position)>,
}

/// What a push did, for the meters.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Pushed {
    pub(crate) skipped: u64,
}

impl Outbox {
    pub(crate) fn new(replays: bool) -> Self {
        Self { replays, ..Self::default() }
    }

    /// Puts a subscription into a free slot; gives the slot.
    pub(crate) fn add(&mut self, mut subscription: Box<Subscription>, life: u32) -> u32 {
        subscription.life = life;
        let free = match &mut self.index {
            Some(index) => index.free.pop(),
            None => self.subscriptions.iter().position(Option::is_none).and_then(|at| u32::try_from(at).ok()),
        };
        let slot = free.unwrap_or_else(|| {
            self.subscriptions.reserve_exact(if self.subscriptions.is_empty() { 1 } else { 0 });
            self.subscriptions.push(None);
            u32::try_from(self.subscriptions.len() - 1).unwrap_or(u32::MAX)
        });
        self.behind |= subscription.is_behind() || subscription.wants_state;
        self.count += 1;
        let id = subscription.id;
        self.subscriptions[slot as usize] = Some(subscription);
        if let Some(index) = &mut self.index {
            index.slots.insert(id, slot);
        } else if self.count > FEW {
            let mut index = Box::<Index>::default();
            for (slot, subscription) in (0..).zip(&self.subscriptions) {
                match subscription {
                    Some(subscription) => drop(index.slots.insert(subscription.id, slot)),
                    None => index.free.push(slot),
                }
            }
            self.index = Some(index);
        }
        slot
    }

    /// How many subscriptions there are.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// The slot of a subscription.
    pub(crate) fn slot_of(&self, id: SubscriptionId) -> Option<u32> {
        if let Some(index) = &self.index {
            return index.slots.get(&id).copied();
        }
        let at = self.subscriptions.iter().position(|s| s.as_ref().is_some_and(|s| s.id == id))?;
        u32::try_from(at).ok()
    }

    /// Takes a subscription out. What waits for it is passed over later.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Box<Subscription>> {
        let subscription = self.subscriptions.get_mut(slot as usize)?.take()?;
        self.count -= 1;
        if let Some(index) = &mut self.index {
            index.slots.remove(&subscription.id);
            index.free.push(slot);
        }
        Some(subscription)
    }

    /// The subscription in a slot, where it still lives the same life.
    pub(crate) fn living(&mut self, slot: u32, life: u32) -> Option<&mut Subscription> {
        let subscription = self.subscriptions.get_mut(slot as usize)?.as_deref_mut()?;
        guard("life", subscription.life == life).then_some(subscription)
    }

    /// Records that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.ready_records
    }

    /// Takes the waker of a link that waits; called under the lock, woken outside.
    pub(crate) fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    pub(crate) fn set_waker(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|w| w.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    /// Whether there is nothing for the link to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.is_empty() && !self.untold && !self.behind && self.leave.is_none()
    }

    /// Puts something behind all that waits.
    pub(crate) fn enqueue(&mut self, slot: u32, life: u32, what: What) {
        self.ready_bytes += what.weight();
        self.ready_records += what.records();
        self.ready.push_back(Ready { slot, life, what });
    }

    /// Records of one topic, for one subscription, from the publisher or the tail.
    pub(crate) fn push(
        &mut self,
        slot: u32,
        batch: &Arc<Batch>,
        lag: Lag,
        limits: OutboxLimits,
        wanted: impl Fn(&Subscription, &Record) -> bool,
    ) -> Pushed {
        let mut pushed = Pushed::default();
        if self.push_whole(slot, batch, lag, limits) {
            return pushed;
        }
        for record in batch.records() {
            if self.push_one(slot, record, lag, limits, &wanted) == Pushing::Lost {
                self.missed += 1;
                self.untold = true;
                pushed.skipped += 1;
            }
        }
        pushed
    }

    fn push_one(
        &mut self,
        slot: u32,
        record: &Arc<Record>,
        lag: Lag,
        limits: OutboxLimits,
        wanted: impl Fn(&Subscription, &Record) -> bool,
    ) -> Pushing {
        let fits = self.ready_records < limits.records_max && self.ready_bytes < limits.bytes_max;
        let Some(Some(subscription)) = self.subscriptions.get_mut(slot as usize) else {
            return Pushing::Settled;
        };
        if self.asleep && subscription.is_fleeting(record) {
            return Pushing::Settled;
        }
        let verdict = subscription.judge(record, lag, fits);
        self.behind |= verdict == Verdict::LeftToJournal;
        if matches!(verdict, Verdict::NotNow | Verdict::LeftToJournal) || !wanted(subscription, record) {
            return Pushing::Settled;
        }
        let latest_key =
            (lag == Lag::Latest).then(|| (slot, record.message.topic.clone(), record.message.key.clone()));
        if let Some(key) = &latest_key
            && let Some(place) =
                self.latest.as_ref().and_then(|l| l.get(key)).and_then(|at| at.checked_sub(self.popped))
            && let Some(waiting) = self.ready.get_mut(place as usize)
            && waiting.life == subscription.life
        {
            // The older one is superseded, as its space wants it: nothing was missed.
            waiting.what = What::Record(record.clone());
            return Pushing::Settled;
        }
        match verdict {
            Verdict::Overflow(Lag::Close) if !self.patient => {
                self.leave.get_or_insert_with(|| Box::new(Close::TOO_SLOW));
                return Pushing::Settled;
            }
            Verdict::Overflow(_) => {
                subscription.lose(record);
                return Pushing::Lost;
            }
            Verdict::Fits | Verdict::NotNow | Verdict::LeftToJournal => {}
        }
        if let Some(window) = &mut subscription.window {
            if window.room() == 0 || !window.waiting.is_empty() {
                if window.waiting.len() < limits.records_max {
                    window.waiting.push_back(record.clone());
                    return Pushing::Settled;
                }
                subscription.lose(record);
                return Pushing::Lost;
            }
            window.queued += 1;
        }
        let life = subscription.life;
        for (missed, gap) in subscription.take_missed() {
            self.ready.push_back(Ready { slot, life, what: What::Missed(missed, gap) });
        }
        if let Some(key) = latest_key {
            self.latest.get_or_insert_default().insert(key, self.popped + self.ready.len() as u64);
        }
        self.enqueue(slot, life, What::Record(record.clone()));
        Pushing::Settled
    }

    /// Takes a batch as one, where nothing has to be decided record by record. What the server pays for a
    /// delivery then is a copy of shared bytes.
    fn push_whole(&mut self, slot: u32, batch: &Arc<Batch>, lag: Lag, limits: OutboxLimits) -> bool {
        let [first, .., last] = batch.records() else { return false };
        let fits = self.ready_records + batch.records().len() <= limits.records_max
            && self.ready_bytes + batch.weight() <= limits.bytes_max;
        if !fits || batch.expires() || lag == Lag::Latest || self.asleep {
            return false;
        }
        let Some(Some(subscription)) = self.subscriptions.get_mut(slot as usize) else { return false };
        if subscription.chooses() || subscription.has_missed() {
            return false;
        }
        if let (Some(first), Some(last)) = (first.position, last.position) {
            let feed = subscription.feeds.iter_mut().find(|f| f.sent.same_lane(&first));
            let Some(feed) = feed.filter(|f| f.pace == Pace::Live && first.offset > f.sent.offset) else {
                return false;
            };
            feed.sent = last;
        }
        let life = subscription.life;
        self.enqueue(slot, life, What::Batch(batch.clone()));
        true
    }

    /// The state of a subscription's topics, before anything live; `end` where it is complete.
    pub(crate) fn push_state(&mut self, slot: u32, life: u32, records: Vec<Arc<Record>>, end: bool) {
        let Some(subscription) = self.living(slot, life) else { return };
        if let Some(window) = &mut subscription.window {
            window.queued += records.len();
        }
        for record in records {
            self.enqueue(slot, life, What::Record(record));
        }
        if end {
            // For most it is all that ever waits before they fall idle.
            self.ready.reserve_exact(1);
            self.ready.push_back(Ready { slot, life, what: What::StateEnd });
        }
    }

    /// Takes up to `max` deliveries.
    pub(crate) fn take(&mut self, now: Timestamp, into: &mut Vec<Delivery>, max: usize) {
        let mut taken = 0;
        while taken < max {
            let Some(Ready { slot, life, what }) = self.ready.pop_front() else { break };
            self.popped += 1;
            taken += what.records().max(1);
            self.ready_bytes = self.ready_bytes.saturating_sub(what.weight());
            self.ready_records = self.ready_records.saturating_sub(what.records());
            let Some(subscription) = self.subscriptions.get_mut(slot as usize).and_then(|s| s.as_deref_mut())
            else {
                continue;
            };
            let alive = guard("life", subscription.life == life);
            match what {
                What::Record(record) => {
                    if !alive {
                        continue;
                    }
                    if subscription.share.is_some() {
                        self.take_dealt(slot, now, into);
                        continue;
                    }
                    if let Some(window) = &mut subscription.window {
                        window.queued = window.queued.saturating_sub(1);
                    }
                    if record.is_expired(now) && !self.patient {
                        self.refill(slot);
                        continue;
                    }
                    subscription.number += 1;
                    let (id, number) = (subscription.id, subscription.number);
                    if let Some(window) = &mut subscription.window {
                        window.unacked.push_back((number, record.position));
                    }
                    self.delivered += 1;
                    if record.position.is_none() {
                        self.remember(slot, life, number, || What::Record(record.clone()));
                    }
                    into.push(Delivery::Record { subscription: id, number, record });
                }
                What::Batch(batch) if alive => {
                    let (id, number) = (subscription.id, subscription.number + 1);
                    subscription.number += batch.records().len() as u64;
                    self.delivered += batch.records().len() as u64;
                    let (last, first) = (subscription.number, &batch.records()[0]);
                    if first.position.is_none() {
                        self.remember(slot, life, last, || What::Batch(batch.clone()));
                    }
                    into.push(Delivery::Batch { subscription: id, number, batch });
                }
                What::Missed(missed, gap) if alive => {
                    into.push(tell(subscription, missed));
                    let number = subscription.number;
                    if gap == Gap::Unkept {
                        self.remember(slot, life, number, || What::Missed(missed, gap));
                    }
                }
                What::StateEnd if alive => into.push(Delivery::StateEnd { subscription: subscription.id }),
                What::Batch(_) | What::Missed(..) | What::StateEnd => {}
            }
        }
        if self.ready.is_empty() {
            self.tell_room();
            (self.ready_bytes, self.ready_records) = (0, 0);
            self.latest = None;
            if self.ready.capacity() > BUFFER_KEPT {
                self.ready = VecDeque::new();
            }
            if std::mem::take(&mut self.untold) {
                self.tell_all(into);
            }
        }
    }

    /// Says what was missed where no record follows that it could go before.
    fn tell_all(&mut self, into: &mut Vec<Delivery>) {
        let mut told = Vec::new();
        for (slot, subscription) in self.subscriptions.iter_mut().enumerate() {
            let Some(subscription) = subscription.as_deref_mut() else { continue };
            for (missed, gap) in subscription.take_missed() {
                into.push(tell(subscription, missed));
                if gap == Gap::Unkept {
                    told.push((slot, subscription.life, subscription.number, missed));
                }
            }
        }
        for (slot, life, number, missed) in told {
            let slot = u32::try_from(slot).unwrap_or(u32::MAX);
            self.remember(slot, life, number, || What::Missed(missed, Gap::Unkept));
        }
    }

    /// What the link should read next for a subscription that is behind; `None` where there is nothing to
    /// read now. State comes before feeds: see [`Outbox::wants_state`].
    pub(crate) fn next_reading(&mut self, start: usize, records_max: usize) -> Option<Reading> {
        let count = self.subscriptions.len();
        let mut open = false;
        for i in (0..count).map(|i| (start + i) % count) {
            let Some(subscription) = self.subscriptions[i].as_deref() else { continue };
            open |= subscription.wants_state
                || subscription.feeds.iter().any(|f| matches!(f.pace, Pace::Locating(_)));
            if subscription.wants_state {
                continue;
            }
            let Some(feed) = subscription.feeds.iter().position(|f| matches!(f.pace, Pace::Behind(_))) else {
                continue;
            };
            open = true;
            let room = subscription.window.as_ref().map_or(records_max, |w| w.room().min(records_max));
            if room == 0 {
                continue;
            }
            return Some(Reading {
                slot: u32::try_from(i).unwrap_or(u32::MAX),
                life: subscription.life,
                feed,
                space: subscription.feeds[feed].space,
                after: subscription.feeds[feed].sent,
                filter: subscription.filter.clone(),
                records_max: room,
            });
        }
        self.behind = open;
        None
    }

    /// A subscription whose state is to be read from journals.
    pub(crate) fn wants_state(&self) -> Option<StateReading> {
        self.subscriptions.iter().enumerate().find_map(|(slot, s)| {
            let s = s.as_deref().filter(|s| s.wants_state)?;
            let heads = s.feeds.iter().map(|f| (f.space, f.sent)).collect();
            let slot = u32::try_from(slot).unwrap_or(u32::MAX);
            Some(StateReading { slot, life: s.life, filter: s.filter.clone(), heads })
        })
    }

    /// A page that was read for a feed. Gives how many records of it were not wanted.
    pub(crate) fn page_read(
        &mut self,
        reading: &Reading,
        page: Page,
        wanted: impl Fn(&Subscription, &Record) -> bool,
    ) {
        let Some(subscription) = self.living(reading.slot, reading.life) else { return };
        let Some(feed) = subscription.feeds.get_mut(reading.feed) else { return };
        let Pace::Behind(newest) = feed.pace else { return };
        // A resume may have set the feed to another place while this page was read.
        if !guard("page of this place", feed.sent == reading.after) {
            return;
        }
        if let Some(through) = page.through {
            feed.sent = through;
        }
        let settled = page.at_end && guard("nothing newer was shown", newest <= feed.sent.offset);
        if settled {
            feed.pace = Pace::Live;
        }
        if page.missed != Missed::NONE {
            if let Missed::Count(n) = page.missed {
                self.missed += n;
            }
            self.ready.push_back(Ready {
                slot: reading.slot,
                life: reading.life,
                what: What::Missed(page.missed, Gap::Kept),
            });
        }
        for record in page.records {
            let Some(subscription) = self.living(reading.slot, reading.life) else { return };
            if !wanted(subscription, &record) {
                continue;
            }
            if let Some(window) = &mut subscription.window {
                window.queued += 1;
            }
            self.enqueue(reading.slot, reading.life, What::Record(record));
        }
    }

    /// The client has this. Gives whether something can go on now.
    pub(crate) fn ack(&mut self, slot: u32, acked: Acked) {
        let replays = self.replays;
        let Some(Some(subscription)) = self.subscriptions.get_mut(slot as usize) else { return };
        let number = match acked {
            Acked::Number(number) | Acked::One(number) => Some(number.min(subscription.number)),
            Acked::Position(position) => {
                if let Some(feed) = subscription.feeds.iter_mut().find(|f| f.sent.same_lane(&position)) {
                    // A client cannot have more than it was given.
                    feed.acked = feed
                        .acked
                        .max(Position { offset: position.offset.min(feed.sent.offset), ..position });
                }
                subscription.window.as_ref().and_then(|w| {
                    let has =
                        |p: &Option<Position>| p.is_some_and(|p| p.same_lane(&position) && p <= position);
                    w.unacked.iter().rev().find(|(_, p)| has(p)).map(|(n, _)| *n)
                })
            }
        };
        let Some(number) = number else { return };
        let life = subscription.life;
        if let Some(window) = &mut subscription.window {
            while let Some(&(n, position)) = window.unacked.front().filter(|(n, _)| *n <= number) {
                debug_assert!(n <= number);
                if let Some(position) = position
                    && let Some(feed) = subscription.feeds.iter_mut().find(|f| f.sent.same_lane(&position))
                {
                    feed.acked = feed.acked.max(position);
                }
                window.unacked.pop_front();
            }
        }
        if subscription.feeds.iter().any(|f| matches!(f.pace, Pace::Behind(_))) {
            self.behind = true;
        }
        if replays {
            self.forget_acked(slot, life, number);
        }
        self.refill(slot);
    }

    /// Lets records that waited for the window go on, as far as there is room.
    fn refill(&mut self, slot: u32) {
        let Some(Some(subscription)) = self.subscriptions.get_mut(slot as usize) else { return };
        let life = subscription.life;
        let Some(window) = &mut subscription.window else { return };
        while window.room() > 0
            && let Some(record) = window.waiting.pop_front()
        {
            window.queued += 1;
            self.ready_bytes += record.weight();
            self.ready_records += 1;
            self.ready.push_back(Ready { slot, life, what: What::Record(record) });
        }
    }

    /// The tail lost records of this space: every live feed in it reads from the journal.
    pub(crate) fn tail_lost(&mut self, space: u16, through: u64) {
        for feed in self.subscriptions.iter_mut().flatten().flat_map(|s| &mut s.feeds) {
            if feed.space == space && feed.pace == Pace::Live {
                feed.pace = Pace::Behind(through);
                self.behind = true;
            }
        }
    }
}

/// What became of one record that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pushing {
    /// It waits, or the journal has it, or it is not for this subscription.
    Settled,
    /// It did not fit, and is counted as missed.
    Lost,
}

fn tell(subscription: &mut Subscription, missed: Missed) -> Delivery {
    let number = subscription.number + 1;
    if let Missed::Count(n) = missed {
        subscription.number += n;
    }
    Delivery::Missed { subscription: subscription.id, number, missed }
}

#[cfg(test)]
mod tests;
