//! From the hub to the other broker: stored by the hub, sent in order, those of a higher rank first.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use tracing::warn;
use yizhan_hub::{Delivery, Qos, Record, link::SubscriptionId, message::RETAINED, store::Missed};
use yizhan_talk::{Now, Out};

use super::{Bridge, FAILED, HubRanks, saving::After};
use crate::{
    bridge::{
        carry,
        memory::{Phase, Place, Sent},
    },
    wire::{Packet, PacketId, Reason, packet::Ack},
};

/// What the hub has delivered in one rank.
#[derive(Debug)]
pub(super) struct Rank {
    /// One for each path.
    subscriptions: Vec<Progress>,
    waiting: VecDeque<Waiting>,
}

/// How far the other broker is with a subscription. The hub is told how much is done from the beginning on,
/// without gaps.
#[derive(Debug, Default)]
struct Progress {
    id: SubscriptionId,
    /// Delivered and not done.
    open: BTreeSet<u64>,
    /// The last one delivered.
    last: u64,
    /// Up to where the hub knows it.
    told: u64,
}

impl Progress {
    fn take_ack(&mut self) -> Option<u64> {
        let done = self.open.first().map_or(self.last, |open| open - 1);
        if done > self.told {
            self.told = done;
            return Some(done);
        }
        None
    }
}

/// A record that has not been sent.
#[derive(Debug)]
struct Waiting {
    path: usize,
    number: u64,
    record: Arc<Record>,
}

impl Rank {
    pub(super) fn new(paths: usize) -> Self {
        Self { subscriptions: (0..paths).map(|_| Progress::default()).collect(), waiting: VecDeque::new() }
    }

    /// The number of a path's subscription.
    pub(super) fn name(&mut self, path: usize, id: SubscriptionId) {
        self.subscriptions[path].id = id;
    }

    /// Records that wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn path(&self, id: SubscriptionId) -> Option<usize> {
        self.subscriptions.iter().position(|progress| progress.id == id)
    }

    fn begin(&mut self, path: usize, number: u64) {
        let progress = &mut self.subscriptions[path];
        if progress.last == 0 {
            // What came in earlier connections was acked, or comes again.
            progress.told = number.saturating_sub(1);
        }
        progress.last = progress.last.max(number);
        progress.open.insert(number);
    }

    fn done(&mut self, path: usize, number: u64) {
        self.subscriptions[path].open.remove(&number);
    }

    fn done_by_id(&mut self, id: SubscriptionId, number: u64) {
        if let Some(path) = self.path(id) {
            self.done(path, number);
        }
    }

    /// What the hub is to be told now.
    pub(super) fn take_acks(&mut self) -> Vec<(SubscriptionId, u64)> {
        self.subscriptions.iter_mut().filter_map(|p| Some((p.id, p.take_ack()?))).collect()
    }
}

impl<B: HubRanks> Bridge<B> {
    /// The hub delivers something.
    pub(super) fn delivered(&mut self, now: Now, rank: usize, delivery: Delivery, out: &mut Out<B>) {
        match delivery {
            Delivery::Record { subscription, number, record } => {
                self.leaving(now, rank, subscription, number, record, out);
            }
            Delivery::Batch { subscription, number, batch } => {
                for (number, record) in (number..).zip(batch.records()) {
                    self.leaving(now, rank, subscription, number, record.clone(), out);
                }
            }
            Delivery::Missed { subscription, number, missed } => {
                self.missed(rank, subscription, number, missed);
            }
            Delivery::StateEnd { .. } => {}
            Delivery::Leave(close) => {
                self.say_goodbye(now, Reason::Success, None, out);
                self.end(FAILED, format_args!("the hub ended the bridge's session: {close}"), out);
            }
        }
    }

    fn missed(&mut self, rank: usize, subscription: SubscriptionId, number: u64, missed: Missed) {
        let count = if let Missed::Count(count) = missed { count } else { 0 };
        warn!(bridge = %self.setup.name, count, "messages for the other broker could not be kept");
        self.status.count_missed(count.max(1));
        if count > 0
            && let Some(path) = self.ranks.get(rank).and_then(|rank| rank.path(subscription))
        {
            let last = number + count - 1;
            self.ranks[rank].begin(path, last);
            self.ranks[rank].done(path, last);
        }
    }

    /// A record is to cross the bridge, or has begun to in an earlier connection.
    fn leaving(
        &mut self,
        now: Now,
        rank: usize,
        subscription: SubscriptionId,
        number: u64,
        record: Arc<Record>,
        out: &mut Out<B>,
    ) {
        let Some(path) = self.ranks.get(rank).and_then(|rank| rank.path(subscription)) else { return };
        self.ranks[rank].begin(path, number);
        let memory = self.memories[rank].clone();
        let mut memory = memory.lock();
        memory.give_up_before(subscription, &record);
        if let Some(sent) = memory.find(subscription, &record) {
            let (id, phase, qos) = (sent.id, sent.phase, sent.qos);
            sent.number = Some(number);
            sent.record = Some(record);
            drop(memory);
            match phase {
                Phase::Sent if self.publish(now, rank, id, qos, true, out) => {}
                // It is released, and PUBCOMP is on its way.
                Phase::Released => {}
                Phase::Sent | Phase::Done => self.done(rank, subscription, number),
            }
            return;
        }
        drop(memory);
        // What came in over this bridge does not go out over it.
        if self.sessions.contains(&record.message.from.session) {
            self.ranks[rank].done(path, number);
            return;
        }
        self.ranks[rank].waiting.push_back(Waiting { path, number, record });
    }

    /// Sends what waits, as long as the other broker takes more.
    pub(super) fn pump(&mut self, now: Now, out: &mut Out<B>) {
        if !self.takes_more() {
            return;
        }
        let mut under_way: usize = self.memories.iter().map(|memory| memory.lock().under_way()).sum();
        for rank in 0..self.ranks.len() {
            while let Some(Waiting { path, record, .. }) = self.ranks[rank].waiting.front() {
                let qos = self.qos_of(rank, *path, record);
                if qos != Qos::AtMostOnce && under_way >= self.takes.window {
                    return;
                }
                let Some(waiting) = self.ranks[rank].waiting.pop_front() else { return };
                if self.send_first(now, rank, qos, waiting, out) {
                    under_way += 1;
                }
            }
        }
    }

    fn takes_more(&self) -> bool {
        self.stage == super::Stage::Up && !self.is_over
    }

    fn qos_of(&self, rank: usize, path: usize, record: &Record) -> Qos {
        let wanted = self.setup.paths.out[rank].paths[path].qos;
        record.message.qos.min(wanted).min(self.takes.qos_max)
    }

    /// Sends a record for the first time. Says whether its exchange is under way then.
    fn send_first(&mut self, now: Now, rank: usize, qos: Qos, waiting: Waiting, out: &mut Out<B>) -> bool {
        let Waiting { path, number, record } = waiting;
        let subscription = self.ranks[rank].subscriptions[path].id;
        if qos == Qos::AtMostOnce {
            if self.write(now, rank, path, &record, None, qos, false, out) {
                self.status.count_sent();
            }
            self.ranks[rank].done(path, number);
            return false;
        }
        let Some(id) = self.new_id() else { return false };
        self.memories[rank].lock().sent.push(Sent {
            id,
            qos,
            phase: Phase::Sent,
            subscription,
            place: Place::of(&record),
            number: Some(number),
            record: Some(record),
        });
        if qos == Qos::ExactlyOnce {
            // The identifier must be known after a restart: under another one it would be another message.
            self.after_save(rank, After::Publish(id), out);
            return true;
        }
        let is_sent = self.publish(now, rank, id, qos, false, out);
        if !is_sent {
            self.done(rank, subscription, number);
        }
        is_sent
    }

    /// A PUBLISH of QoS 2 whose identifier is safe.
    pub(super) fn send_exact(&mut self, now: Now, rank: usize, id: PacketId, out: &mut Out<B>) {
        let sent = self.memories[rank].lock().by_id(id).map(|sent| (sent.subscription, sent.number));
        let Some((subscription, Some(number))) = sent else { return };
        if !self.publish(now, rank, id, Qos::ExactlyOnce, false, out) {
            self.done(rank, subscription, number);
        }
    }

    /// Sends the PUBLISH with this identifier; false where it is not to be sent, and forgotten then.
    fn publish(
        &mut self,
        now: Now,
        rank: usize,
        id: PacketId,
        qos: Qos,
        dup: bool,
        out: &mut Out<B>,
    ) -> bool {
        let memory = self.memories[rank].clone();
        let sent = memory.lock().by_id(id).map(|sent| (sent.subscription, sent.record.clone()));
        let Some((subscription, Some(record))) = sent else { return false };
        let path = self.ranks[rank].path(subscription);
        let is_written =
            path.is_some_and(|path| self.write(now, rank, path, &record, Some(id), qos, dup, out));
        if !is_written {
            memory.lock().sent.retain(|sent| sent.id != id);
        }
        is_written
    }

    /// Writes a PUBLISH; false where the message is not for the other side.
    #[allow(clippy::too_many_arguments, reason = "they are the fields of PUBLISH")]
    fn write(
        &mut self,
        now: Now,
        rank: usize,
        path: usize,
        record: &Arc<Record>,
        id: Option<PacketId>,
        qos: Qos,
        dup: bool,
        out: &mut Out<B>,
    ) -> bool {
        let setup = self.setup.clone();
        let message = &record.message;
        let Some(topic) = setup.paths.out[rank].paths[path].across(message.topic.as_str()) else {
            return false;
        };
        let Some(via) = setup.hops.leaving(carry::via_of(record)) else {
            self.drop_one("it has crossed too many bridges, or this one before");
            return false;
        };
        if record.is_expired(now.wall) && !dup {
            return false;
        }
        let retain = message.key.as_deref() == Some(RETAINED) && self.takes.retains;
        let how = carry::How { topic: &topic, id, qos, dup, retain, via: &via, now: now.wall };
        let is_sent =
            carry::with_publish(record, &how, |publish| self.send(now, &Packet::Publish(publish), out));
        if !is_sent {
            self.drop_one("it is larger than the other broker takes, or cannot be said in MQTT");
        }
        is_sent
    }

    fn drop_one(&self, reason: &str) {
        self.status.drop_one(&self.setup.name, reason);
    }

    fn done(&mut self, rank: usize, subscription: SubscriptionId, number: u64) {
        self.ranks[rank].done_by_id(subscription, number);
    }

    /// QoS 1: the other broker has it, or does not want it (MQTT-4.4.0-2).
    pub(super) fn puback(&mut self, ack: &Ack<'_>) {
        self.over(ack, Qos::AtLeastOnce);
    }

    /// Ends an exchange.
    fn over(&mut self, ack: &Ack<'_>, qos: Qos) {
        for rank in 0..self.ranks.len() {
            let found = {
                let mut memory = self.memories[rank].lock();
                let found = memory.by_id(ack.id).filter(|sent| sent.qos == qos).map(|sent| {
                    sent.phase = Phase::Done;
                    sent.record = None;
                    (sent.subscription, sent.number)
                });
                memory.sent.retain(|s| !(s.phase == Phase::Done && matches!(s.place, Place::Gone)));
                found
            };
            let Some((subscription, number)) = found else { continue };
            if ack.reason.is_failure() && ack.reason != Reason::PacketIdNotFound {
                self.drop_one(ack.reason.name());
            } else {
                self.status.count_sent();
            }
            if let Some(number) = number {
                self.done(rank, subscription, number);
            }
            return;
        }
    }

    /// QoS 2: the other broker has it.
    pub(super) fn pubrec(&mut self, now: Now, ack: &Ack<'_>, out: &mut Out<B>) {
        if ack.reason.is_failure() {
            return self.over(ack, Qos::ExactlyOnce);
        }
        for rank in 0..self.ranks.len() {
            let phase =
                self.memories[rank].lock().by_id(ack.id).filter(|s| s.qos == Qos::ExactlyOnce).map(|sent| {
                    let before = sent.phase;
                    sent.phase = Phase::Released;
                    sent.record = None;
                    before
                });
            match phase {
                // Forgotten, it would be sent once more under an identifier that is free again.
                Some(Phase::Sent) => return self.after_save(rank, After::Release(ack.id), out),
                Some(_) => return self.release(now, ack.id, out),
                None => {}
            }
        }
        self.send(now, &Packet::Pubrel(Ack::new(ack.id, Reason::PacketIdNotFound)), out);
    }

    /// Sends PUBREL.
    pub(super) fn release(&mut self, now: Now, id: PacketId, out: &mut Out<B>) {
        self.send(now, &Packet::Pubrel(Ack::new(id, Reason::Success)), out);
    }

    /// QoS 2: it is over.
    pub(super) fn pubcomp(&mut self, id: PacketId) {
        self.over(&Ack::new(id, Reason::Success), Qos::ExactlyOnce);
    }
}
