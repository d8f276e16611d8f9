//! Acknowledgements of both ways, what the hub is told of them, and what must be safe before they are said
//! (MQTT 5 §4.3, §4.4).
//!
//! A session that outlives its connection promises more than this process remembers: which packet identifiers
//! of QoS 2 are in use, and which exchanges are over. So what ends or advances an exchange is said only once
//! the hub has saved the session; all of one step share a save.

use std::time::{Duration, Instant};

use yizhan_hub::{
    Call, Position, Refused,
    link::{Acked, SubscriptionId},
};
use yizhan_talk::{Fault, Now, Out};

use super::{Asked, Connection, HubBackend, Stage, reasons, subscribing::List};
use crate::{
    session::{State, flight::Found},
    wire::{Kind, Packet, PacketId, Reason, Version, WireError, packet::Ack},
};
use bytes::BufMut;

/// Records of QoS 0 that the hub is told of at the latest together.
const OWED_MAX: u32 = 256;
/// How long the hub waits to be told of them.
const OWED_WAIT: Duration = Duration::from_secs(1);

/// What is said once a save is answered.
#[derive(Debug)]
pub(super) enum Release {
    Pubrel(PacketId),
    Pubcomp(PacketId, Reason),
    /// SUBACK or UNSUBACK.
    List(Box<List>),
}

/// What the hub is to be told of what arrived: of each subscription and lane the farthest.
#[derive(Debug, Default)]
pub(super) struct Owed {
    acks: Vec<(SubscriptionId, Acked)>,
    /// Records of QoS 0 in it, and since when.
    quiet: u32,
    since: Option<Instant>,
}

impl Owed {
    pub(super) fn is_empty(&self) -> bool {
        self.acks.is_empty()
    }

    /// Everything up to this delivery arrived.
    pub(super) fn up_to(&mut self, subscription: SubscriptionId, number: u64, position: Option<Position>) {
        let acked = match position {
            Some(position) => Acked::Position(position),
            // A delivery of another connection's count says nothing.
            None if number == 0 => return,
            None => Acked::Number(number),
        };
        let replaces = |before: &Acked| match (before, &acked) {
            (Acked::Number(_), Acked::Number(_)) => true,
            (Acked::Position(a), Acked::Position(b)) => a.same_lane(b),
            _ => false,
        };
        match self.acks.iter_mut().rev().find(|(of, before)| *of == subscription && replaces(before)) {
            Some((_, before)) => *before = acked,
            None => self.acks.push((subscription, acked)),
        }
    }

    /// The same for a record of QoS 0, which nobody is in a hurry about. Says whether it is time.
    pub(super) fn quietly(
        &mut self,
        now: Now,
        subscription: SubscriptionId,
        number: u64,
        position: Option<Position>,
    ) -> bool {
        self.up_to(subscription, number, position);
        self.since.get_or_insert(now.steady);
        self.quiet += 1;
        self.quiet >= OWED_MAX
    }

    /// When the hub is told at the latest.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + OWED_WAIT)
    }
}

impl<B: HubBackend> Connection<B> {
    /// Writes PUBACK, PUBREC, PUBREL or PUBCOMP.
    pub(super) fn ack(
        &mut self,
        now: Now,
        kind: Kind,
        id: PacketId,
        reason: Reason,
        text: Option<&str>,
        out: &mut Out<B>,
    ) {
        if reason == Reason::Success && self.watch.trace(&self.terms.traces, &self.client).is_none() {
            // What nearly all of them are.
            let [high, low] = id.get().to_be_bytes();
            let first = (kind as u8) << 4 | kind.flags();
            out.packets.write(|into| into.put_slice(&[first, 2, high, low]));
            return self.terms.meters.sent(kind, 1);
        }
        let mut ack = Ack::new(id, reason);
        ack.properties.reason_string = text;
        let packet = match kind {
            Kind::Pubrec => Packet::Pubrec(ack),
            Kind::Pubrel => Packet::Pubrel(ack),
            Kind::Pubcomp => Packet::Pubcomp(ack),
            _ => Packet::Puback(ack),
        };
        self.say(now, &packet, out);
    }

    pub(super) fn puback(&mut self, now: Now, ack: &Ack<'_>, out: &mut Out<B>) -> Result<(), Fault> {
        let found = self.change(|state| state.flight.puback(ack.id));
        self.is_acked |= found == Found::Yes;
        self.check_found(now, found, out)
    }

    pub(super) fn pubrec(&mut self, now: Now, ack: &Ack<'_>, out: &mut Out<B>) -> Result<(), Fault> {
        if ack.reason.is_failure() {
            let found = self.change(|state| state.flight.pubrec_failed(ack.id));
            self.is_acked |= found == Found::Yes;
            return self.check_found(now, found, out);
        }
        let found = self.change(|state| state.flight.pubrec(ack.id));
        match found {
            Found::Yes | Found::Again if self.is_kept => self.release(Release::Pubrel(ack.id)),
            Found::Yes | Found::Again => self.ack(now, Kind::Pubrel, ack.id, Reason::Success, None, out),
            Found::No => self.ack(now, Kind::Pubrel, ack.id, Reason::PacketIdNotFound, None, out),
            Found::Wrong => {}
        }
        self.check_found(now, found, out)
    }

    pub(super) fn pubcomp(&mut self, now: Now, ack: &Ack<'_>, out: &mut Out<B>) -> Result<(), Fault> {
        let found = self.change(|state| state.flight.pubcomp(ack.id));
        self.is_acked |= found == Found::Yes;
        self.check_found(now, found, out)
    }

    pub(super) fn pubrel(&mut self, now: Now, ack: &Ack<'_>, out: &mut Out<B>) {
        let mut reason = Reason::PacketIdNotFound;
        self.change(|state| {
            if state.received.remove(&ack.id.get()).is_some() {
                reason = Reason::Success;
            }
            // Also for one that is not known: it may be known to the hub, from before a crash.
            state.generations.release(ack.id.get());
            Found::Yes
        });
        if self.is_kept {
            self.release(Release::Pubcomp(ack.id, reason));
        } else {
            self.ack(now, Kind::Pubcomp, ack.id, reason, None, out);
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut State) -> Found) -> Found {
        let state = self.session.as_ref().and_then(|session| session.of(self.owner));
        // Whoever took the session over has its exchanges now.
        state.map_or(Found::Again, |mut state| change(&mut state))
    }

    /// An identifier in use for something else is the client's fault. One that is not in use may be from
    /// before a break, and is passed over.
    fn check_found(&mut self, now: Now, found: Found, out: &mut Out<B>) -> Result<(), Fault> {
        if found == Found::Wrong && self.version == Version::V5 {
            let text = "an acknowledgement that does not fit its packet's QoS or state (MQTT 5 §4.3)";
            return Err(self.broken(now, &WireError::protocol(text), out));
        }
        Ok(())
    }

    /// Says this once the session is saved.
    pub(super) fn release(&mut self, release: Release) {
        let desk = self.desk();
        desk.releases.push_back(release);
        desk.unsaved += 1;
    }

    /// Asks for the save that was found to be needed in this step.
    pub(super) fn save(&mut self, out: &mut Out<B>) {
        let Some(desk) = &mut self.desk else { return };
        let releases = std::mem::take(&mut desk.unsaved);
        if releases > 0 {
            self.ask(Asked::Save(releases), Call::Save, out);
        }
    }

    /// The session is safe.
    pub(super) fn saved(&mut self, now: Now, releases: u32, out: &mut Out<B>) {
        for _ in 0..releases {
            match self.desk().releases.pop_front() {
                Some(Release::Pubrel(id)) => self.ack(now, Kind::Pubrel, id, Reason::Success, None, out),
                Some(Release::Pubcomp(id, reason)) => {
                    self.ack(now, Kind::Pubcomp, id, reason, None, out);
                }
                Some(Release::List(list)) => self.say_list(now, *list, out),
                None => {}
            }
        }
    }

    /// What must be safe is not: the client comes back and goes on from what was safe last.
    pub(super) fn not_saved(&mut self, now: Now, refused: &Refused, out: &mut Out<B>) {
        tracing::warn!(client = %self.client, %refused, "a session could not be saved");
        self.end(now, Reason::Unspecified, None, reasons::NOT_SAVED, out);
    }

    /// Tells the hub what arrived, and sends what waited for room.
    pub(super) fn settle(&mut self, now: Now, out: &mut Out<B>) {
        self.is_acked = false;
        let Some(session) = self.session.clone() else { return };
        let Some(mut state) = session.of(self.owner) else { return };
        let is_kept = self.is_kept;
        let mut owed = self.desk.as_mut().map(|desk| std::mem::take(&mut desk.owed)).unwrap_or_default();
        state.flight.settle(|subscription, number, position| {
            if is_kept && subscription != 0 {
                owed.up_to(subscription, number, position);
            }
        });
        let ones = state.flight.take_ones();
        for (subscription, number) in ones {
            self.ask(Asked::Unheard, Call::Ack(subscription, Acked::One(number)), out);
        }
        for (subscription, acked) in owed.acks {
            self.ask(Asked::Unheard, Call::Ack(subscription, acked), out);
        }
        self.send_waiting(now, &mut state, out);
        self.gauge(&state);
    }

    /// Tells the hub what it is owed, where the time has come.
    pub(super) fn pay(&mut self, now: Now, out: &mut Out<B>) {
        let due = self.owed_due();
        if self.stage == Stage::Open && due.is_some_and(|due| due <= now.steady) {
            self.settle(now, out);
        }
    }

    pub(super) fn owed_due(&self) -> Option<Instant> {
        self.desk.as_ref()?.owed.due()
    }

    /// Tells the gauges how many packets are under way, and what was sent.
    pub(super) fn gauge(&mut self, state: &State) {
        let (messages, bytes) = std::mem::take(&mut self.sent);
        if messages > 0 {
            self.terms.meters.sent(Kind::Publish, messages);
            self.terms.meters.publish_bytes_out.add(bytes);
        }
        self.is_full = state.flight.busy() >= usize::from(self.window);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let now = (number(state.flight.busy()), number(state.received.len()));
        let change = |now: u32, before: u32| i64::from(now) - i64::from(before);
        if now.0 != self.gauged.0 {
            self.terms.meters.inflight.add(change(now.0, self.gauged.0));
        }
        if now.1 != self.gauged.1 {
            self.terms.meters.qos2_held.add(change(now.1, self.gauged.1));
        }
        self.gauged = now;
    }
}
