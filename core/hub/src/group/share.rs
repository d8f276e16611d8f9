//! A member's side of a group: what was dealt to one subscription.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use super::Group;
use crate::{
    guard::guard,
    link::{Acked, Deal, Delivery, SubscriptionId},
    message::{Position, Qos, Record},
    outbox::{Outbox, What},
    session::Session,
};

/// A record that was dealt to a member.
#[derive(Debug)]
pub(crate) struct Dealt {
    /// Counts the group's records in their order.
    pub(crate) nth: u64,
    /// The number of its delivery, once it has one.
    pub(crate) number: Option<u64>,
    pub(crate) record: Arc<Record>,
    /// How surely it is delivered to this member.
    pub(crate) qos: Qos,
    /// It was acked before it was delivered again.
    done: bool,
}

impl Dealt {
    pub(super) fn new(nth: u64, number: Option<u64>, record: Arc<Record>, qos: Qos) -> Self {
        Self { nth, number, record, qos, done: false }
    }

    /// Whether it counts for its member's window until it is acked.
    pub(super) fn counts(&self) -> bool {
        self.qos != Qos::AtMostOnce
    }

    /// Whether nobody else may have it any more (MQTT-4.8.2-5).
    fn is_bound(&self) -> bool {
        self.number.is_some() && self.qos == Qos::ExactlyOnce
    }
}

/// A subscription's membership of a group.
pub(crate) struct Share {
    pub(crate) group: Weak<Group>,
    pub(crate) name: Arc<str>,
    pub(crate) deal: Deal,
    /// Records that may be under way to this member.
    pub(crate) window: u32,
    /// Somebody is there to hear.
    pub(super) awake: bool,
    /// Dealt, and waiting in the outbox: as many as its records there, in the same order.
    pub(super) queued: VecDeque<Dealt>,
    /// Delivered and not acked, in the order of their numbers but for what was delivered again.
    pub(super) out: VecDeque<Dealt>,
    /// What others shall have; the group fetches it.
    pub(super) back: Vec<Dealt>,
    /// The group waits for room in the outbox.
    pub(super) stalled: bool,
}

/// Something that a member's outbox has to say to the group.
pub(crate) struct Told {
    group: Weak<Group>,
    subscription: SubscriptionId,
    /// Records that need no delivery any more; none where there is room again.
    lapsed: Option<Dealt>,
}

/// Tells groups what happened in a member's outbox; called without its lock.
pub(crate) fn relay(session: &Session, told: Vec<Told>) {
    for Told { group, subscription, lapsed } in told {
        let Some(group) = group.upgrade() else { continue };
        match lapsed {
            Some(dealt) => group.finish((session.id, subscription), [dealt]),
            None => group.has_room_again((session.id, subscription)),
        }
    }
}

impl Share {
    pub(super) fn new(group: &Arc<Group>, wish: &crate::link::Group, awake: bool) -> Self {
        Self {
            group: Arc::downgrade(group),
            name: wish.name.clone(),
            deal: wish.deal,
            window: wish.window.max(1),
            awake,
            queued: VecDeque::new(),
            out: VecDeque::new(),
            back: Vec::new(),
            stalled: false,
        }
    }

    /// What its client asked for.
    pub(crate) fn wish(&self) -> crate::link::Group {
        crate::link::Group { name: self.name.clone(), deal: self.deal, window: self.window }
    }

    /// The connection is gone: what was begun for certain stays its own, others may have the rest.
    pub(crate) fn fall_asleep(&mut self) {
        self.awake = false;
        self.stalled = false;
        let out = std::mem::take(&mut self.out);
        for dealt in out.into_iter().chain(std::mem::take(&mut self.queued)) {
            if dealt.done {
                continue;
            }
            if guard("once begun is nobody else's", !dealt.is_bound()) {
                self.back.push(Dealt { number: None, ..dealt });
            } else {
                self.out.push_back(dealt);
            }
        }
    }

    /// Somebody is there again. Gives what is to be delivered once more.
    pub(crate) fn wake_up(&mut self) -> Vec<Arc<Record>> {
        self.awake = true;
        let again = std::mem::take(&mut self.out);
        let records = again.iter().map(|dealt| dealt.record.clone()).collect();
        self.queued.extend(again);
        records
    }

    /// Takes out what the client has; it may have it from a connection before this one.
    pub(crate) fn take_acked(&mut self, acked: Acked) -> Vec<Dealt> {
        if let Acked::One(number) = acked {
            let found = self.out.binary_search_by_key(&Some(number), |dealt| dealt.number);
            if let Some(dealt) = found.ok().and_then(|at| self.out.remove(at)) {
                return vec![dealt];
            }
        }
        let is_acked = |dealt: &Dealt| match acked {
            Acked::One(number) => dealt.number == Some(number),
            Acked::Number(number) => dealt.number.is_some_and(|n| n <= number),
            Acked::Position(place) => dealt
                .record
                .position
                .is_some_and(|p| dealt.number.is_some() && p.same_lane(&place) && p <= place),
        };
        let mut taken = Vec::new();
        for dealt in std::mem::take(&mut self.out) {
            if is_acked(&dealt) { taken.push(dealt) } else { self.out.push_back(dealt) }
        }
        // Those that are delivered again have numbers; a place in the outbox stays taken until its turn.
        for dealt in &mut self.queued {
            if is_acked(dealt) && !dealt.done {
                dealt.done = true;
                taken.push(Dealt::new(dealt.nth, dealt.number, dealt.record.clone(), dealt.qos));
            }
        }
        taken
    }

    /// What it holds for certain: the places and numbers of what was delivered exactly once.
    pub(super) fn bound(&self) -> impl Iterator<Item = (Position, u64)> {
        let held = self.out.iter().chain(&self.queued).filter(|dealt| !dealt.done && dealt.is_bound());
        held.filter_map(|dealt| Some((dealt.record.position?, dealt.number?)))
    }

    /// The membership ends. Gives what others shall have, and what nobody shall have any more.
    pub(super) fn give_up(&mut self) -> (Vec<Dealt>, Vec<Dealt>) {
        self.fall_asleep();
        (std::mem::take(&mut self.back), self.out.drain(..).collect())
    }
}

impl Outbox {
    /// Delivers the next of a member's records; its place in `ready` was just taken out.
    pub(crate) fn take_dealt(&mut self, slot: u32, now: yizhan_talk::Timestamp, into: &mut Vec<Delivery>) {
        let Some(Some(subscription)) = self.subscriptions.get_mut(slot as usize) else { return };
        let id = subscription.id;
        let Some(share) = &mut subscription.share else { return };
        let Some(mut dealt) = share.queued.pop_front().filter(|dealt| !dealt.done) else { return };
        // What was delivered before is gone on with, however old it is (MQTT 5 §3.3.2.3.3).
        if dealt.number.is_none() && dealt.record.is_expired(now) {
            self.told.push(Told { group: share.group.clone(), subscription: id, lapsed: Some(dealt) });
            return;
        }
        let number = dealt.number.unwrap_or(subscription.number + 1);
        subscription.number = subscription.number.max(number);
        into.push(Delivery::Record { subscription: id, number, record: dealt.record.clone() });
        self.delivered += 1;
        if dealt.counts() {
            dealt.number = Some(number);
            share.out.push_back(dealt);
        }
    }

    /// The outbox ran empty: groups that wait for room may deal again.
    pub(crate) fn tell_room(&mut self) {
        if !std::mem::take(&mut self.stalls) {
            return;
        }
        for subscription in self.subscriptions.iter_mut().flatten() {
            let subscription = &mut **subscription;
            let Some(share) = &mut subscription.share else { continue };
            if std::mem::take(&mut share.stalled) {
                let group = share.group.clone();
                self.told.push(Told { group, subscription: subscription.id, lapsed: None });
            }
        }
    }

    /// Puts a member's record behind all that waits.
    pub(super) fn deal(&mut self, slot: u32, dealt: Dealt) {
        let Some(Some(subscription)) = self.subscriptions.get_mut(slot as usize) else { return };
        let (life, record) = (subscription.life, dealt.record.clone());
        let Some(share) = &mut subscription.share else { return };
        share.queued.push_back(dealt);
        self.enqueue(slot, life, What::Record(record));
    }
}

impl Session {
    /// The groups that it is in, each with the subscription.
    pub(super) fn groups(&self) -> Vec<(SubscriptionId, Arc<Group>)> {
        let state = self.lock();
        let shares = state.outbox.subscriptions.iter().flatten();
        shares.filter_map(|s| Some((s.id, s.share.as_ref()?.group.upgrade()?))).collect()
    }
}
