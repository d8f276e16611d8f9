//! A session between two connections: what it remembers of deliveries that may not have arrived, how it
//! falls asleep, and how it goes on.

use crate::{
    link::{Have, SubscriptionId},
    message::Position,
    outbox::{Outbox, Ready, What},
    store::Missed,
    subscription::{Gap, Pace},
    topic::Filter,
};

/// Deliveries of unkept records that a session with `keep` remembers until they are acked.
const REPLAY_MAX: usize = 1024;

/// A delivery of a space that keeps nothing, which the client did not ack.
pub(crate) struct Replay {
    slot: u32,
    life: u32,
    number: u64,
    what: What,
}

impl Replay {
    /// How many numbers it takes.
    fn width(&self) -> u64 {
        match &self.what {
            What::Missed(Missed::Count(n), _) => *n,
            What::Missed(Missed::Unknown, _) | What::StateEnd => 0,
            What::Record(_) => 1,
            What::Batch(batch) => batch.records().len() as u64,
        }
    }
}

impl Replay {
    /// What of it comes behind `number`.
    fn after(&self, number: u64) -> Vec<What> {
        match &self.what {
            What::Batch(batch) => {
                let first = self.number + 1 - self.width();
                let known = (number + 1).saturating_sub(first) as usize;
                batch.records().iter().skip(known).cloned().map(What::Record).collect()
            }
            what => vec![what.clone()],
        }
    }
}

impl Outbox {
    /// Remembers a delivery until it is acked, where the session outlives its connection.
    pub(crate) fn remember(&mut self, slot: u32, life: u32, number: u64, what: impl FnOnce() -> What) {
        if !self.replays {
            return;
        }
        let replay = self.replay.get_or_insert_default();
        let old = if replay.len() >= REPLAY_MAX { replay.pop_front() } else { None };
        replay.push_back(Replay { slot, life, number, what: what() });
        if let Some(old) = old
            && let Some(of) = self.living(old.slot, old.life)
        {
            of.evicted = old.number;
        }
    }

    /// Forgets what the client acked.
    pub(crate) fn forget_acked(&mut self, slot: u32, life: u32, number: u64) {
        if let Some(replay) = &mut self.replay {
            replay.retain(|r| r.slot != slot || r.life != life || r.number > number);
            if replay.is_empty() {
                self.replay = None;
            }
        }
    }

    /// The connection is gone and the session lives on: kept feeds wait in their journals, the others here.
    pub(crate) fn fall_asleep(&mut self) {
        self.waker = None;
        self.asleep = true;
        self.latest = None;
        let subscriptions = &mut self.subscriptions;
        self.ready.retain(|r| {
            let Some(Some(subscription)) = subscriptions.get_mut(r.slot as usize) else { return false };
            if subscription.share.is_some() {
                return false;
            }
            let kept = !subscription.feeds.is_empty();
            match &r.what {
                What::Record(record) => record.position.is_none() && !subscription.is_fleeting(record),
                What::Batch(batch) => {
                    batch.records().iter().all(|r| r.position.is_none() && !subscription.is_fleeting(r))
                }
                // Said again when the journal is read again.
                What::Missed(_, gap) => *gap == Gap::Unkept,
                What::StateEnd => {
                    subscription.wants_state |= kept && subscription.life == r.life;
                    !kept
                }
            }
        });
        self.ready_bytes = self.ready.iter().map(|r| r.what.weight()).sum();
        self.ready_records = self.ready.iter().map(|r| r.what.records()).sum();
        self.stalls = false;
        for subscription in self.subscriptions.iter_mut().flatten() {
            if let Some(share) = &mut subscription.share {
                share.fall_asleep();
            }
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
        self.asleep = false;
        self.latest = None;
        self.untold = false;
        let replay = self.replay.take().map(|replay| *replay).unwrap_or_default();
        for (slot, subscription) in self.subscriptions.iter_mut().enumerate() {
            let Some(subscription) = subscription.as_deref_mut() else { continue };
            if let Some(share) = &mut subscription.share {
                let (slot, life) = (u32::try_from(slot).unwrap_or(u32::MAX), subscription.life);
                for record in share.wake_up() {
                    self.ready_bytes += record.weight();
                    self.ready_records += 1;
                    self.ready.push_back(Ready { slot, life, what: What::Record(record) });
                }
                told.push((subscription.id, subscription.filter.clone(), Missed::NONE));
                continue;
            }
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
            let life = subscription.life;
            let unacked = replay.iter().filter(|r| r.slot as usize == slot && r.life == life);
            // Where the client does not say what it has, everything that it did not ack comes again.
            let number = match have.and_then(|h| h.number) {
                Some(number) => number.min(subscription.number),
                None => unacked.clone().map(|r| r.number - r.width()).min().unwrap_or(subscription.number),
            };
            for r in unacked.filter(|r| r.number > number).rev() {
                for what in r.after(number).into_iter().rev() {
                    self.ready_bytes += what.weight();
                    self.ready_records += what.records();
                    self.ready.push_front(Ready { slot: r.slot, life, what });
                }
            }
            if subscription.evicted > number {
                missed = if subscription.feeds.is_empty() {
                    Missed::Count(subscription.evicted - number)
                } else {
                    Missed::Unknown
                };
            }
            subscription.number = number;
            if let Missed::Count(n) = missed {
                subscription.number += n;
            }
            // Read again from the journal; what overflowed elsewhere is told after what still waits.
            subscription.missed_kept = Missed::NONE;
            self.untold |= subscription.missed != Missed::NONE;
            if let Some(window) = &mut subscription.window {
                window.unacked.clear();
                window.queued =
                    self.ready.iter().filter(|r| r.life == life && matches!(r.what, What::Record(_))).count();
            }
            told.push((subscription.id, subscription.filter.clone(), missed));
        }
        self.behind = true;
        told
    }
}
