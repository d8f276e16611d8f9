//! What waits to be sent to one session, and where each of its subscriptions stands.
//!
//! Here back-pressure is decided: pushing never waits, and what does not fit is left to the journal,
//! counted as missed, or ends the connection, as the space says. All of it is sync and under one lock.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use yizhan_talk::{Close, Timestamp};

use crate::{
    guard::guard,
    link::{Acked, Delivery, Have, SubscriptionId},
    message::{Position, Record},
    space::Lag,
    store::{Missed, Page},
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
/// Deliveries of unkept records that a session with `keep` remembers until they are acked.
const REPLAY_MAX: usize = 1024;

/// One session's outbox.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) subscriptions: Vec<Option<Box<Subscription>>>,
    slots: FxHashMap<SubscriptionId, u32>,
    free: Vec<u32>,
    ready: VecDeque<Ready>,
    ready_bytes: usize,
    /// How many were ever taken from the front of `ready`: makes places in it that stay true.
    popped: u64,
    /// Where the newest record of each topic and key waits, for spaces where only that one matters.
    latest: FxHashMap<(u32, Topic, Option<Arc<str>>), u64>,
    /// Delivered and not acked, of spaces that keep nothing; only for sessions that outlive connections.
    replay: VecDeque<Replay>,
    replays: bool,
    /// Some subscription has missed records that were not told yet.
    untold: bool,
    /// Some feed has something to read from its journal.
    pub(crate) behind: bool,
    /// The link is to end, and why.
    pub(crate) leave: Option<Close>,
    /// The live link's task, when it waits.
    waker: Option<Waker>,
    pub(crate) delivered: u64,
    pub(crate) missed: u64,
}

struct Ready {
    slot: u32,
    /// Which life of the slot: a subscription that was replaced meanwhile gets nothing of the old one.
    life: u32,
    what: What,
}

enum What {
    Record(Arc<Record>),
    Missed(Missed),
    StateEnd,
}

struct Replay {
    slot: u32,
    life: u32,
    number: u64,
    record: Arc<Record>,
}

/// One subscription of a session.
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) filter: Filter,
    pub(crate) life: u32,
    /// The number of its last delivery.
    pub(crate) number: u64,
    /// Each record is asked about before it is delivered.
    pub(crate) checked: bool,
    pub(crate) no_local: bool,
    window: Option<Box<Window>>,
    pub(crate) feeds: SmallVec<[Feed; 1]>,
    /// State that still has to be read from journals before the feeds start.
    pub(crate) wants_state: bool,
    /// Missed and not told yet; goes out before the next record.
    missed: Missed,
    /// The number of the newest delivery that fell out of `replay` unacked.
    evicted: u64,
}

/// A subscription whose client acks: how many deliveries may be under way.
struct Window {
    max: usize,
    /// Records in `ready` for this subscription.
    queued: usize,
    /// Delivered, not acked: number and place.
    unacked: VecDeque<(u64, Option<Position>)>,
    /// Records of spaces that keep nothing, waiting for room.
    waiting: VecDeque<Arc<Record>>,
}

impl Window {
    fn room(&self) -> usize {
        self.max.saturating_sub(self.queued + self.unacked.len())
    }
}

/// Where a subscription stands in one lane of one kept space.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    /// Index of the space in the hub.
    pub(crate) space: u16,
    /// Everything up to here was put into the outbox.
    pub(crate) sent: Position,
    /// Everything up to here was acked; where a session goes on that does not say what it has.
    pub(crate) acked: Position,
    pub(crate) pace: Pace,
    pub(crate) lag: Lag,
}

/// Whether a feed hears the tail or reads the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It hears the tail.
    Live,
    /// It reads the journal; the tail has shown records up to this offset.
    Behind(u64),
    /// It does not know yet where it begins; the tail has shown records up to this offset.
    Locating(u64),
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

/// What a push did, for the meters.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Pushed {
    pub(crate) skipped: u64,
}

impl Subscription {
    pub(crate) fn new(id: SubscriptionId, filter: Filter, window: Option<u32>) -> Self {
        let window = window.map(|max| {
            Box::new(Window {
                max: max as usize,
                queued: 0,
                unacked: VecDeque::new(),
                waiting: VecDeque::new(),
            })
        });
        Self {
            id,
            filter,
            life: 0,
            number: 0,
            checked: false,
            no_local: false,
            window,
            feeds: SmallVec::new(),
            wants_state: false,
            missed: Missed::NONE,
            evicted: 0,
        }
    }

    fn has_room(&self) -> bool {
        self.window.as_ref().is_none_or(|w| w.room() > 0)
    }

    /// How many deliveries may be under way at once.
    pub(crate) fn window_max(&self) -> Option<u32> {
        self.window.as_ref().map(|w| u32::try_from(w.max).unwrap_or(u32::MAX))
    }

    /// Records of spaces that keep nothing went by while nobody could count them.
    pub(crate) fn lost_unkept(&mut self) {
        self.missed = Missed::Unknown;
    }

    /// Whether some feed reads from a journal.
    pub(crate) fn is_behind(&self) -> bool {
        self.feeds.iter().any(|f| f.pace != Pace::Live)
    }
}

impl Outbox {
    pub(crate) fn new(replays: bool) -> Self {
        Self { replays, ..Self::default() }
    }

    /// Puts a subscription into a free slot; gives the slot.
    pub(crate) fn add(&mut self, mut subscription: Box<Subscription>, life: u32) -> u32 {
        subscription.life = life;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.subscriptions.push(None);
            u32::try_from(self.subscriptions.len() - 1).unwrap_or(u32::MAX)
        });
        self.behind |= subscription.is_behind() || subscription.wants_state;
        self.slots.insert(subscription.id, slot);
        self.subscriptions[slot as usize] = Some(subscription);
        slot
    }

    /// How many subscriptions there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The slot of a subscription.
    pub(crate) fn slot_of(&self, id: SubscriptionId) -> Option<u32> {
        self.slots.get(&id).copied()
    }

    /// Takes a subscription out. What waits for it is passed over later.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Box<Subscription>> {
        let subscription = self.subscriptions.get_mut(slot as usize)?.take()?;
        self.slots.remove(&subscription.id);
        self.free.push(slot);
        Some(subscription)
    }

    /// The subscription in a slot, where it still lives the same life.
    pub(crate) fn living(&mut self, slot: u32, life: u32) -> Option<&mut Subscription> {
        let subscription = self.subscriptions.get_mut(slot as usize)?.as_deref_mut()?;
        guard("life", subscription.life == life).then_some(subscription)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.ready.len()
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

    /// Records of one topic, for one subscription, from the publisher or the tail.
    pub(crate) fn push(
        &mut self,
        slot: u32,
        records: &[Arc<Record>],
        lag: Lag,
        limits: OutboxLimits,
        wanted: impl Fn(&Subscription, &Record) -> bool,
    ) -> Pushed {
        let mut pushed = Pushed::default();
        let Some(Some(subscription)) = self.subscriptions.get_mut(slot as usize) else { return pushed };
        for record in records {
            let fits = self.ready.len() < limits.records_max && self.ready_bytes < limits.bytes_max;
            let verdict = match record.position {
                Some(position) => {
                    let Some(feed) = subscription.feeds.iter().position(|f| f.sent.same_lane(&position))
                    else {
                        continue;
                    };
                    let room = subscription.has_room() && fits;
                    let feed = &mut subscription.feeds[feed];
                    match feed.pace {
                        Pace::Behind(newest) => {
                            feed.pace = Pace::Behind(newest.max(position.offset));
                            continue;
                        }
                        Pace::Locating(newest) => {
                            feed.pace = Pace::Locating(newest.max(position.offset));
                            continue;
                        }
                        Pace::Live if !guard("new to the feed", position.offset > feed.sent.offset) => {
                            continue;
                        }
                        Pace::Live if room => {
                            feed.sent = position;
                            Verdict::Fits
                        }
                        Pace::Live if feed.lag == Lag::CatchUp => {
                            // The journal has it: the reader's own task goes on from there.
                            feed.pace = Pace::Behind(position.offset);
                            self.behind = true;
                            continue;
                        }
                        Pace::Live => {
                            feed.sent = position;
                            Verdict::Overflow(feed.lag)
                        }
                    }
                }
                None if fits => Verdict::Fits,
                None => Verdict::Overflow(lag),
            };
            if !wanted(subscription, record) {
                continue;
            }
            let latest_key = (lag == Lag::Latest)
                .then(|| (slot, record.message.topic.clone(), record.message.key.clone()));
            if let Some(key) = &latest_key
                && let Some(place) = self.latest.get(key).and_then(|at| at.checked_sub(self.popped))
                && let Some(waiting) = self.ready.get_mut(place as usize)
                && waiting.life == subscription.life
            {
                waiting.what = What::Record(record.clone());
                pushed.skipped += 1;
                continue;
            }
            match verdict {
                Verdict::Fits => {}
                Verdict::Overflow(Lag::Close) => {
                    self.leave.get_or_insert(Close::TOO_SLOW);
                    continue;
                }
                Verdict::Overflow(_) => {
                    subscription.missed = subscription.missed.and(Missed::Count(1));
                    self.missed += 1;
                    self.untold = true;
                    pushed.skipped += 1;
                    continue;
                }
            }
            if let Some(window) = &mut subscription.window {
                if window.room() == 0 || !window.waiting.is_empty() {
                    window.waiting.push_back(record.clone());
                    if window.waiting.len() > limits.records_max {
                        window.waiting.pop_front();
                        subscription.missed = subscription.missed.and(Missed::Count(1));
                        self.missed += 1;
                        self.untold = true;
                        pushed.skipped += 1;
                    }
                    continue;
                }
                window.queued += 1;
            }
            let (life, missed) =
                (subscription.life, std::mem::replace(&mut subscription.missed, Missed::NONE));
            if missed != Missed::NONE {
                self.ready.push_back(Ready { slot, life, what: What::Missed(missed) });
            }
            if let Some(key) = latest_key {
                self.latest.insert(key, self.popped + self.ready.len() as u64);
            }
            self.ready_bytes += record.message.weight();
            self.ready.push_back(Ready { slot, life, what: What::Record(record.clone()) });
        }
        pushed
    }

    /// The state of a subscription's topics, before anything live; `end` where it is complete.
    pub(crate) fn push_state(&mut self, slot: u32, life: u32, records: Vec<Arc<Record>>, end: bool) {
        let Some(subscription) = self.living(slot, life) else { return };
        if let Some(window) = &mut subscription.window {
            window.queued += records.len();
        }
        for record in records {
            self.ready_bytes += record.message.weight();
            self.ready.push_back(Ready { slot, life, what: What::Record(record) });
        }
        if end {
            self.ready.push_back(Ready { slot, life, what: What::StateEnd });
        }
    }

    /// Takes up to `max` deliveries.
    pub(crate) fn take(&mut self, now: Timestamp, into: &mut Vec<Delivery>, max: usize) {
        let before = into.len();
        while into.len() - before < max {
            let Some(Ready { slot, life, what }) = self.ready.pop_front() else { break };
            self.popped += 1;
            let Some(subscription) = self.subscriptions.get_mut(slot as usize).and_then(|s| s.as_deref_mut())
            else {
                if let What::Record(record) = what {
                    self.ready_bytes = self.ready_bytes.saturating_sub(record.message.weight());
                }
                continue;
            };
            let alive = guard("life", subscription.life == life);
            match what {
                What::Record(record) => {
                    self.ready_bytes = self.ready_bytes.saturating_sub(record.message.weight());
                    if !alive {
                        continue;
                    }
                    if let Some(window) = &mut subscription.window {
                        window.queued = window.queued.saturating_sub(1);
                    }
                    if record.is_expired(now) {
                        self.refill(slot);
                        continue;
                    }
                    subscription.number += 1;
                    let (id, number) = (subscription.id, subscription.number);
                    if let Some(window) = &mut subscription.window {
                        window.unacked.push_back((number, record.position));
                    }
                    if self.replays && record.position.is_none() {
                        if self.replay.len() >= REPLAY_MAX
                            && let Some(old) = self.replay.pop_front()
                            && let Some(Some(of)) = self.subscriptions.get_mut(old.slot as usize)
                            && of.life == old.life
                        {
                            of.evicted = old.number;
                        }
                        self.replay.push_back(Replay { slot, life, number, record: record.clone() });
                    }
                    self.delivered += 1;
                    into.push(Delivery::Record { subscription: id, number, record });
                }
                What::Missed(missed) if alive => into.push(tell(subscription, missed)),
                What::StateEnd if alive => into.push(Delivery::StateEnd { subscription: subscription.id }),
                What::Missed(_) | What::StateEnd => {}
            }
        }
        if self.ready.is_empty() {
            self.ready_bytes = 0;
            if !self.latest.is_empty() {
                self.latest = FxHashMap::default();
            }
            if self.ready.capacity() > BUFFER_KEPT {
                self.ready = VecDeque::new();
            }
            if std::mem::take(&mut self.untold) {
                for subscription in self.subscriptions.iter_mut().flatten() {
                    let missed = std::mem::replace(&mut subscription.missed, Missed::NONE);
                    if missed != Missed::NONE {
                        into.push(tell(subscription, missed));
                    }
                }
            }
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
    pub(crate) fn wants_state(&self) -> Option<(u32, u32, Filter, Vec<(u16, Position)>)> {
        self.subscriptions.iter().enumerate().find_map(|(slot, s)| {
            let s = s.as_deref().filter(|s| s.wants_state)?;
            let heads = s.feeds.iter().map(|f| (f.space, f.sent)).collect();
            Some((u32::try_from(slot).unwrap_or(u32::MAX), s.life, s.filter.clone(), heads))
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
                what: What::Missed(page.missed),
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
            self.ready_bytes += record.message.weight();
            let what = What::Record(record);
            self.ready.push_back(Ready { slot: reading.slot, life: reading.life, what });
        }
    }

    /// The client has this. Gives whether something can go on now.
    pub(crate) fn ack(&mut self, slot: u32, acked: Acked) {
        let replays = self.replays;
        let Some(Some(subscription)) = self.subscriptions.get_mut(slot as usize) else { return };
        let number = match acked {
            Acked::Number(number) => Some(number.min(subscription.number)),
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
            self.replay.retain(|r| r.slot != slot || r.life != life || r.number > number);
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
            self.ready_bytes += record.message.weight();
            self.ready.push_back(Ready { slot, life, what: What::Record(record) });
        }
    }

    /// The connection is gone and the session lives on: kept feeds wait in their journals, the others here.
    pub(crate) fn fall_asleep(&mut self) {
        self.waker = None;
        self.latest = FxHashMap::default();
        let subscriptions = &mut self.subscriptions;
        self.ready.retain(|r| {
            let Some(Some(subscription)) = subscriptions.get_mut(r.slot as usize) else { return false };
            let kept = !subscription.feeds.is_empty();
            match &r.what {
                What::Record(record) => record.position.is_none(),
                // Said again when the journal is read again.
                What::Missed(_) => !kept,
                What::StateEnd => {
                    subscription.wants_state |= kept && subscription.life == r.life;
                    !kept
                }
            }
        });
        self.ready_bytes = self
            .ready
            .iter()
            .map(|r| if let What::Record(r) = &r.what { r.message.weight() } else { 0 })
            .sum();
        for subscription in self.subscriptions.iter_mut().flatten() {
            for feed in &mut subscription.feeds {
                if !matches!(feed.pace, Pace::Locating(_)) {
                    feed.pace = Pace::Behind(feed.sent.offset);
                }
            }
            if let Some(window) = &mut subscription.window {
                window.queued = self
                    .ready
                    .iter()
                    .filter(|r| r.life == subscription.life && matches!(r.what, What::Record(_)))
                    .count();
            }
        }
        self.behind = true;
    }

    /// A client comes back and says what it has. Gives each subscription with what it lost.
    pub(crate) fn wake_up(&mut self, have: &[Have]) -> Vec<(SubscriptionId, Filter, Missed)> {
        let mut told = Vec::new();
        self.leave = None;
        self.latest = FxHashMap::default();
        let replay = std::mem::take(&mut self.replay);
        for (slot, subscription) in self.subscriptions.iter_mut().enumerate() {
            let Some(subscription) = subscription.as_deref_mut() else { continue };
            let have = have.iter().find(|h| h.subscription == subscription.id);
            for feed in &mut subscription.feeds {
                let known = have.and_then(|h| h.positions.iter().find(|p| p.same_lane(&feed.sent)));
                let mut from = feed.acked;
                if let Some(known) = known
                    && known.offset >= from.offset
                {
                    from = Position { offset: known.offset.min(feed.sent.offset), ..*known };
                }
                if let Pace::Behind(newest) | Pace::Locating(newest) = feed.pace {
                    feed.pace = Pace::Behind(newest.max(feed.sent.offset));
                }
                feed.sent = from;
                feed.acked = from;
            }
            let mut missed = Missed::NONE;
            if let Some(number) = have.and_then(|h| h.number).map(|n| n.min(subscription.number)) {
                if subscription.evicted > number {
                    missed = if subscription.feeds.is_empty() {
                        Missed::Count(subscription.evicted - number)
                    } else {
                        Missed::Unknown
                    };
                }
                let life = subscription.life;
                let again =
                    replay.iter().filter(|r| r.slot as usize == slot && r.life == life && r.number > number);
                for (i, r) in again.enumerate() {
                    self.ready_bytes += r.record.message.weight();
                    let what = What::Record(r.record.clone());
                    self.ready.insert(i, Ready { slot: r.slot, life, what });
                }
                subscription.number = number;
            }
            subscription.evicted = 0;
            if let Some(window) = &mut subscription.window {
                window.unacked.clear();
                window.queued = self
                    .ready
                    .iter()
                    .filter(|r| r.slot as usize == slot && matches!(r.what, What::Record(_)))
                    .count();
            }
            // What overflowed while asleep is told with the welcome; it came after what waits, but the
            // client hears of it before anything else.
            missed = missed.and(std::mem::replace(&mut subscription.missed, Missed::NONE));
            if let Missed::Count(n) = missed {
                subscription.number += n;
            }
            told.push((subscription.id, subscription.filter.clone(), missed));
        }
        self.untold = false;
        self.behind = true;
        told
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

enum Verdict {
    Fits,
    Overflow(Lag),
}

fn tell(subscription: &mut Subscription, missed: Missed) -> Delivery {
    let number = subscription.number + 1;
    if let Missed::Count(n) = missed {
        subscription.number += n;
    }
    Delivery::Missed { subscription: subscription.id, number, missed }
}
