//! PUBLISH to the client (MQTT 5 §3.3, §4.3, §4.4): records into packets. A record was encoded once for all who
//! hear it; here it is copied, and a few bytes are patched.
//!
//! What does not fit into the client's window waits in `waiting`, and no more deliveries are taken. A packet of
//! QoS 2 for a session that outlives its connection is sent once the hub has saved which packet identifier it
//! has: see [`acking`](super::acking).

use std::{collections::VecDeque, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use yizhan_hub::{
    Batch, Call, Delivery, Filter, Position, Qos, Record,
    link::{Acked, SubscriptionId},
    store::Missed,
};
use yizhan_talk::{Close, Now, Out};

use super::{Asked, Connection, HubBackend, Stage, acking::Release, props, reasons};
use crate::{
    session::{
        State, Sub,
        flight::{Again, Entry, Phase, Place},
    },
    trace::{Direction, Event},
    wire::{
        Kind, PacketId, Reason,
        form::{self, Alias, Extra, Layout, Patch, Template},
    },
};

/// Bytes that an alias, an identifier and longer lengths may add to a template.
const EXTRA_BYTES_MAX: usize = 3 + 5 + 3 + 3;
/// Records whose room stays when none waits any more.
const BUFFER_KEPT: usize = 4;

/// Records that wait, oldest first. Mostly there are none, and that costs nothing.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "an idle connection is to be small")]
pub(super) struct Waiting(Option<Box<VecDeque<Outgoing>>>);

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|line| line.is_empty())
    }

    fn line(&mut self) -> &mut VecDeque<Outgoing> {
        self.0.get_or_insert_default()
    }

    fn pop_front(&mut self) -> Option<Outgoing> {
        self.0.as_mut()?.pop_front()
    }

    /// Gives the room back where it is large and empty.
    fn tidy(&mut self) {
        if self.0.as_ref().is_some_and(|line| line.is_empty() && line.capacity() > BUFFER_KEPT) {
            self.0 = None;
        }
    }
}

/// A record on its way.
#[derive(Debug)]
pub(super) struct Outgoing {
    subscription: SubscriptionId,
    number: u64,
    record: Arc<Record>,
    /// It is a retained message that a subscription begins with.
    in_state: bool,
    /// The hub delivers it again where the client does not get it.
    comes_again: bool,
    /// It was sent before under this identifier.
    again: Option<(PacketId, Qos)>,
    /// What is to be done with it once the session is saved.
    plan: Option<Plan>,
}

/// What is to be done with a record.
#[derive(Debug, Clone, Copy)]
enum Plan {
    Skip,
    Write { qos: Qos, id: Option<PacketId>, dup: bool },
}

impl<B: HubBackend> Connection<B> {
    pub(super) fn take_deliveries(&mut self, now: Now, deliveries: &mut Vec<Delivery>, out: &mut Out<B>) {
        let Some(session) = self.session.clone() else { return };
        let mut state = session.of(self.owner);
        // A clock that was set back must not make what comes now look old.
        self.opened_at = self.opened_at.min(now.wall);
        for delivery in deliveries.drain(..) {
            let Some(state) = state.as_mut() else {
                // The session went on elsewhere: all that matters is being told so.
                if let Delivery::Leave(close) = delivery {
                    return self.take_leave(now, close, out);
                }
                continue;
            };
            match delivery {
                Delivery::Record { subscription, number, record } => {
                    self.take_record(now, state, (subscription, number), record, out);
                }
                Delivery::Batch { subscription, number, batch } => {
                    self.take_batch(now, state, (subscription, number), &batch, out);
                }
                Delivery::Missed { missed, .. } => self.take_missed(now, missed),
                Delivery::StateEnd { subscription } => {
                    if let Some(sub) = state.sub_mut(subscription) {
                        sub.in_state = false;
                    }
                }
                Delivery::Leave(close) => return self.take_leave(now, close, out),
            }
        }
        if let Some(mut state) = state {
            self.send_waiting(now, &mut state, out);
            self.gauge(&state);
        }
        if self.is_acked {
            self.settle(now, out);
        }
    }

    /// The server, or the hub, ends the talk.
    pub(super) fn take_leave(&mut self, now: Now, close: Close, out: &mut Out<B>) {
        match self.stage {
            Stage::Ended => {}
            Stage::Greeting | Stage::Proving => {
                let reason = match reasons::reason_of_close(&close) {
                    Reason::ServerShuttingDown if self.terms.config.server_reference.is_some() => {
                        Reason::UseAnotherServer
                    }
                    _ => Reason::ServerUnavailable,
                };
                self.refuse(now, reason, Some(&close.reason), out);
                out.close(close);
            }
            Stage::Silent | Stage::Open => {
                let (reason, text) = (reasons::reason_of_close(&close), close.reason.clone());
                self.end(now, reason, Some(&text), close, out);
            }
        }
    }

    fn take_missed(&mut self, now: Now, missed: Missed) {
        if let Missed::Count(n) = missed {
            self.terms.meters.dropped_qos0.add(n);
        }
        self.tell(now, || Event {
            text: Some("messages were dropped: the client reads too slowly, or was away for too long"),
            ..Event::new(Kind::Publish, Direction::Out, 0)
        });
    }

    fn take_record(
        &mut self,
        now: Now,
        state: &mut State,
        (subscription, number): (SubscriptionId, u64),
        record: Arc<Record>,
        out: &mut Out<B>,
    ) {
        let Some(sub) = state.sub(subscription) else { return };
        let in_state = sub.in_state;
        // Journals do not give again what a subscription began with.
        let comes_again = !in_state || record.position.is_none();
        let outgoing =
            Outgoing { subscription, number, record, in_state, comes_again, again: None, plan: None };
        if self.waits(state, &outgoing) {
            return self.waiting.line().push_back(outgoing);
        }
        match self.plan(now, state, &outgoing, out) {
            Some(plan) => self.write(now, state, &outgoing, plan, out),
            None => self.waiting.line().push_back(outgoing),
        }
    }

    /// Retained messages for a subscription that was there before.
    pub(super) fn send_state(
        &mut self,
        now: Now,
        subscription: SubscriptionId,
        records: Vec<Arc<Record>>,
        out: &mut Out<B>,
    ) {
        self.waiting.line().extend(records.into_iter().map(|record| Outgoing {
            subscription,
            number: 0,
            record,
            in_state: true,
            comes_again: false,
            again: None,
            plan: None,
        }));
        let Some(session) = self.session.clone() else { return };
        if let Some(mut state) = session.of(self.owner) {
            self.send_waiting(now, &mut state, out);
            self.gauge(&state);
        }
    }

    /// What was under way when an earlier connection ended.
    pub(super) fn resume(
        &mut self,
        now: Now,
        subscriptions: &[(SubscriptionId, Filter, Missed)],
        out: &mut Out<B>,
    ) {
        let Some(session) = self.session.clone() else { return };
        let Some(mut state) = session.of(self.owner) else { return };
        self.agree_on_subscriptions(&mut state, subscriptions, out);
        let Again { released, held } = state.flight.resume(now.wall);
        for id in released {
            self.release(Release::Pubrel(id));
        }
        for Entry { id, qos, subscription, in_state, record, .. } in held {
            if let (Some(id), Some(record)) = (id, record) {
                let again = Some((id, qos));
                let outgoing = Outgoing {
                    subscription,
                    number: 0,
                    record,
                    in_state,
                    comes_again: false,
                    again,
                    plan: None,
                };
                self.waiting.line().push_back(outgoing);
            }
        }
        self.send_waiting(now, &mut state, out);
        self.gauge(&state);
    }

    /// Whether a record has to wait for others, for room, or for the session to be saved.
    fn waits(&self, state: &State, outgoing: &Outgoing) -> bool {
        if self.is_saving || !self.waiting.is_empty() {
            return true;
        }
        match self.qos_of(state, outgoing) {
            Qos::AtMostOnce => false,
            Qos::AtLeastOnce => self.has_no_room(state),
            Qos::ExactlyOnce => self.is_kept || self.has_no_room(state),
        }
    }

    fn has_no_room(&self, state: &State) -> bool {
        state.flight.busy() >= usize::from(self.window)
    }

    fn qos_of(&self, state: &State, outgoing: &Outgoing) -> Qos {
        match (outgoing.again, state.sub(outgoing.subscription)) {
            (Some((_, qos)), _) => qos,
            (None, Some(sub)) => sub.qos.min(outgoing.record.message.qos),
            // Nobody wants it any more: it is passed over at once.
            (None, None) => Qos::AtMostOnce,
        }
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn send_waiting(&mut self, now: Now, state: &mut State, out: &mut Out<B>) {
        while !self.is_saving
            && let Some(outgoing) = self.waiting.pop_front()
        {
            let qos = self.qos_of(state, &outgoing);
            if qos == Qos::ExactlyOnce && self.is_kept {
                self.waiting.line().push_front(outgoing);
                if !self.has_no_room(state) {
                    self.save_and_send(now, state, out);
                }
                return;
            }
            let has_room = qos == Qos::AtMostOnce || !self.has_no_room(state);
            let plan = if has_room { self.plan(now, state, &outgoing, out) } else { None };
            let Some(plan) = plan else { return self.waiting.line().push_front(outgoing) };
            self.write(now, state, &outgoing, plan, out);
        }
        self.waiting.tidy();
    }

    /// Gives identifiers to as many as there is room for, and has the session saved before they are sent.
    fn save_and_send(&mut self, now: Now, state: &mut State, out: &mut Out<B>) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut count = 0;
        for outgoing in waiting.line().iter_mut() {
            let needs_room = self.qos_of(state, outgoing) != Qos::AtMostOnce;
            if needs_room && self.has_no_room(state) {
                break;
            }
            outgoing.plan = self.plan(now, state, outgoing, out);
            if outgoing.plan.is_none() {
                break;
            }
            count += 1;
        }
        self.waiting = waiting;
        if count > 0 {
            self.is_saving = true;
            self.ask(Asked::SaveThenSend(count), Call::Save, out);
        }
    }

    /// The session was saved: what waited for that is sent.
    pub(super) fn send_saved(&mut self, now: Now, count: u32, out: &mut Out<B>) {
        self.is_saving = false;
        let Some(session) = self.session.clone() else { return };
        let Some(mut state) = session.of(self.owner) else { return };
        for _ in 0..count {
            let Some(outgoing) = self.waiting.pop_front() else { break };
            self.write(now, &state, &outgoing, outgoing.plan.unwrap_or(Plan::Skip), out);
        }
        self.send_waiting(now, &mut state, out);
        self.gauge(&state);
    }

    /// Decides what becomes of a record, and takes note of it; `None` where no packet identifier is free.
    fn plan(&mut self, now: Now, state: &mut State, outgoing: &Outgoing, out: &mut Out<B>) -> Option<Plan> {
        let Outgoing { subscription, number, record, in_state, .. } = outgoing;
        let (sub, qos) = (state.sub(*subscription), self.qos_of(state, outgoing));
        let fits = self.fits(sub, record, qos);
        if outgoing.again.is_some() {
            return Some(if fits { self.plan_again(state, outgoing) } else { Plan::Skip });
        }
        let Some(is_shared) = sub.map(|sub| sub.shared) else { return Some(Plan::Skip) };
        if self.is_resumed
            && let Some(mut entry) = state.flight.take_returning(*subscription, record, *in_state)
        {
            if !fits && entry.phase == Phase::Sent {
                (entry.phase, entry.id) = (Phase::Done, None);
            }
            return Some(self.plan_returned(state, outgoing, entry));
        }
        let dropped = if record.is_expired(now.wall) {
            Some(&self.terms.meters.dropped_expired)
        } else if qos == Qos::AtMostOnce && self.is_too_old(record, *in_state) {
            Some(&self.terms.meters.dropped_qos0)
        } else if !fits {
            Some(&self.terms.meters.dropped_too_large)
        } else {
            None
        };
        let plan = match dropped {
            Some(dropped) => {
                dropped.one();
                Some(Plan::Skip)
            }
            None if qos == Qos::AtMostOnce => Some(Plan::Write { qos, id: None, dup: false }),
            None => None,
        };
        if plan.is_some() {
            let of_group = is_shared.then_some(qos);
            self.pass(now, state, (*subscription, *number), record.position, of_group, out);
            return plan;
        }
        let id = state.flight.allocate()?;
        state.flight.push(Entry { is_shared, ..self.entry(outgoing, id, qos) });
        Some(Plan::Write { qos, id: Some(id), dup: false })
    }

    /// What was begun on an earlier connection, and the hub does not deliver again.
    fn plan_again(&self, state: &mut State, outgoing: &Outgoing) -> Plan {
        let Some((id, qos)) = outgoing.again else { return Plan::Skip };
        state.flight.push(self.entry(outgoing, id, qos));
        Plan::Write { qos, id: Some(id), dup: true }
    }

    /// What was begun on an earlier connection, and was delivered again (MQTT-4.4.0-1).
    fn plan_returned(&mut self, state: &mut State, outgoing: &Outgoing, entry: Entry) -> Plan {
        let is_shared = state.sub(outgoing.subscription).is_some_and(|sub| sub.shared);
        match entry {
            Entry { id: Some(id), phase: Phase::Sent, qos, .. } => {
                state.flight.push(Entry { is_shared, ..self.entry(outgoing, id, qos) });
                Plan::Write { qos, id: Some(id), dup: true }
            }
            // The client has it; the hub is told in its turn.
            entry => {
                self.is_acked |= entry.phase == Phase::Done;
                state.flight.push_returned(Entry { number: outgoing.number, is_shared, ..entry });
                Plan::Skip
            }
        }
    }

    fn entry(&self, outgoing: &Outgoing, id: PacketId, qos: Qos) -> Entry {
        let Outgoing { subscription, number, record, in_state, comes_again, .. } = outgoing;
        Entry {
            id: Some(id),
            phase: Phase::Sent,
            qos,
            counts: true,
            subscription: *subscription,
            number: *number,
            is_shared: false,
            in_state: *in_state,
            place: if self.is_kept && *comes_again { Place::of(record) } else { Place::Nowhere },
            record: self.is_kept.then(|| record.clone()),
        }
    }

    /// Whether a message of QoS 0 is from before this connection, and so not for it (MQTT 5 §4.1).
    fn is_too_old(&self, record: &Record, in_state: bool) -> bool {
        self.is_resumed && !in_state && !self.allowance.queue_qos0 && record.at < self.opened_at
    }

    /// A record needs no acknowledgement of the client: the hub is told when all before it arrived, or at once
    /// of a record `of_group`, dealt with this QoS.
    fn pass(
        &mut self,
        now: Now,
        state: &mut State,
        (subscription, number): (SubscriptionId, u64),
        position: Option<Position>,
        of_group: Option<Qos>,
        out: &mut Out<B>,
    ) {
        if let Some(qos) = of_group {
            // Of QoS 0 a group counts nothing.
            if qos != Qos::AtMostOnce {
                self.ask(Asked::Unheard, Call::Ack(subscription, Acked::One(number)), out);
            }
        } else if !self.is_kept {
            // The hub remembers nothing for it either.
        } else if state.flight.is_empty() {
            self.is_acked |= self.desk().owed.quietly(now, subscription, number, position);
        } else {
            state.flight.follow(subscription, number, position);
        }
    }

    /// Whether the client takes a packet of this size (MQTT-3.1.2-24).
    fn fits(&self, sub: Option<&Sub>, record: &Record, qos: Qos) -> bool {
        if self.bytes_max == u32::MAX {
            return true;
        }
        let bytes_max = self.bytes_max as usize;
        let layout = self.layout(qos);
        let Some(template) = template_of(record, layout) else { return false };
        let identifier = sub.and_then(|sub| sub.identifier);
        let ids = identifier.as_slice();
        template.len() + EXTRA_BYTES_MAX <= bytes_max || {
            let extra = Extra { alias: Alias::None, subscription_ids: ids };
            template.write_with(&Patch::default(), &extra, bytes_max, &mut BytesMut::new()).is_ok()
        }
    }

    fn layout(&self, qos: Qos) -> Layout {
        Layout { version: self.version, acked: qos != Qos::AtMostOnce }
    }

    fn write(&mut self, now: Now, state: &State, outgoing: &Outgoing, plan: Plan, out: &mut Out<B>) {
        let Plan::Write { qos, id, dup } = plan else { return };
        let sub = state.sub(outgoing.subscription);
        let record = &outgoing.record;
        let Some(template) = template_of(record, self.layout(qos)) else { return };
        let message = &record.message;
        let as_published = sub.is_some_and(|sub| sub.retain_as_published);
        let retain = outgoing.in_state || (as_published && message.key.is_some());
        let identifier = sub.and_then(|sub| sub.identifier);
        let expiry = message.expires_at.map(|at| props::seconds_left(at.since(now.wall)));
        let patch = Patch { dup, qos, retain, id, expiry };
        let before = out.packets.bytes().len();
        let aliases =
            self.desk.as_mut().map(|desk| &mut desk.aliases_out).filter(|aliases| !aliases.is_off());
        if aliases.is_none() && identifier.is_none() {
            out.packets.write(|into| template.write(&patch, into));
        } else {
            let bytes_max = self.bytes_max as usize;
            let ids = identifier.as_slice();
            out.packets.write(|into| {
                let alias = aliases.map_or(Alias::None, |aliases| {
                    let alias = aliases.name(template.topic());
                    if matches!(alias, Alias::Set(_)) && template.len() + EXTRA_BYTES_MAX > bytes_max {
                        aliases.take_back(template.topic());
                        return Alias::None;
                    }
                    alias
                });
                let written =
                    template.write_with(&patch, &Extra { alias, subscription_ids: ids }, bytes_max, into);
                debug_assert!(written.is_ok(), "what is planned fits");
            });
        }
        self.sent.0 += 1;
        self.sent.1 += message.body.len() as u64;
        let bytes = out.packets.bytes().len() - before;
        self.tell(now, || Event {
            id: id.map(PacketId::get),
            topic: Some(message.topic.as_str()),
            qos: Some(qos as u8),
            retain,
            dup,
            ..Event::new(Kind::Publish, Direction::Out, bytes)
        });
    }

    fn take_batch(
        &mut self,
        now: Now,
        state: &mut State,
        (subscription, number): (SubscriptionId, u64),
        batch: &Arc<Batch>,
        out: &mut Out<B>,
    ) {
        let Some(sub) = state.sub(subscription) else { return };
        let records = batch.records();
        if self.goes_whole(sub, batch) {
            let bytes = joined(batch, self.layout(Qos::AtMostOnce));
            out.packets.write(|into| into.put_slice(bytes));
            self.sent.0 += records.len() as u64;
            self.sent.1 += batch.body_bytes();
            let last = number.saturating_add(records.len() as u64).saturating_sub(1);
            let position = records.last().and_then(|record| record.position);
            return self.pass(now, state, (subscription, last), position, None, out);
        }
        for (number, record) in (number..).zip(records) {
            self.take_record(now, state, (subscription, number), record.clone(), out);
        }
    }

    /// Whether a batch is nothing but a copy of shared bytes for this client.
    fn goes_whole(&mut self, sub: &Sub, batch: &Batch) -> bool {
        let is_plain = self.bytes_max == u32::MAX
            && self.waiting.is_empty()
            && !self.is_saving
            && sub.identifier.is_none()
            && !(sub.in_state || sub.shared || batch.expires())
            && self.desk.as_ref().is_none_or(|desk| desk.aliases_out.is_off());
        let records = batch.records();
        is_plain
            && (sub.qos == Qos::AtMostOnce || records.iter().all(|r| r.message.qos == Qos::AtMostOnce))
            && !(sub.retain_as_published && records.iter().any(|record| record.message.key.is_some()))
            && !(self.is_resumed && records.first().is_some_and(|first| first.at < self.opened_at))
            && self.watch.trace(&self.terms.traces, &self.client).is_none()
    }
}

/// The record as it is sent in this layout.
fn template_of(record: &Record, layout: Layout) -> Option<Template<'_>> {
    let bytes = record.form(layout.form(), |record| {
        let mut into = BytesMut::new();
        props::with_publish(record, |publish| form::write(publish, layout, &mut into));
        into.freeze()
    });
    form::templates(bytes, layout).next()
}

/// All records of a batch as they are sent in this layout.
fn joined(batch: &Batch, layout: Layout) -> &Bytes {
    batch.form(layout.form(), |records| {
        let mut into = BytesMut::new();
        for record in records {
            props::with_publish(record, |publish| form::write(publish, layout, &mut into));
        }
        into.freeze()
    })
}
