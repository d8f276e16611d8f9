//! One connection to the other broker, without I/O: this server as a client of MQTT.
//!
//! Its backend are links to the hub, one for each priority and one, the last, for what comes in ([`Ranks`]); each
//! has a named session of its own that sleeps while the line is down. Read in this order: this file (steps and
//! time), [`opening`] (sessions, CONNECT, subscriptions), [`outward`] (from the hub to the other broker),
//! [`inward`] (the other way), [`saving`] (what must be safe before it is said).
//!
//! [`Ranks`]: super::ranked::Ranks

mod inward;
mod opening;
mod outward;
mod saving;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf as _, BytesMut};
use tracing::debug;
use yizhan_hub::{
    Answer, Call, Delivery, Refused, SessionId,
    link::{Acked, SubscriptionId},
};
use yizhan_talk::{Again, Backend, Close, Connection, Fault, Now, Out};

use super::{Setup, memory::Memory, ranked::Ranked, status::Status};
use crate::wire::{self, Limits, Packet, PacketId, Reason, Version, WireError, packet::Disconnect};
use opening::Stage;
pub(super) use opening::{adopt, hello, wishes};
use outward::Rank;
use saving::Saving;

/// How long the hub and the other broker may take to let us in.
const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// Calls of the hub that wait for an answer; with more no input is looked at.
const ASKED_MAX: usize = 1024;
/// User properties of a packet from the other broker.
const USER_PROPERTIES_MAX: usize = 256;

/// The other broker ended the connection, or did not let us in.
const ENDED: Close = Close::new(1000, "the other broker ended the connection", Again::Soon);
/// Something that the bridge cannot go on after.
const FAILED: Close = Close::new(1011, "the bridge cannot go on: see its last error", Again::Soon);

/// The hub's links, or what stands in for them in tests.
pub(super) trait HubRanks:
    Backend<Call = Ranked<Call>, Answer = Ranked<Answer>, Delivery = Ranked<Delivery>>
{
}
impl<B> HubRanks for B where
    B: Backend<Call = Ranked<Call>, Answer = Ranked<Answer>, Delivery = Ranked<Delivery>>
{
}

/// What a call that has no answer yet was made for.
#[derive(Debug)]
enum Asked {
    Hello,
    /// For a subscription of this rank's path.
    Subscribe {
        path: usize,
    },
    Unheard,
    Ack {
        subscription: SubscriptionId,
        number: u64,
    },
    Save,
    Publish {
        id: Option<PacketId>,
        is_exact: bool,
    },
}

/// What the other broker takes.
#[derive(Debug, Clone, Copy)]
struct Taken {
    qos_max: wire::Qos,
    retains: bool,
    packet_bytes_max: usize,
    /// Packets of QoS 1 and 2 that may be under way to it.
    window: usize,
}

/// One connection to the other broker.
pub(super) struct Bridge<B> {
    setup: Arc<Setup>,
    status: Arc<Status>,
    stage: Stage,
    asked: VecDeque<(usize, Asked)>,
    /// By rank; the last one is the main session's.
    memories: Vec<Arc<Memory>>,
    saving: Vec<Saving>,
    sessions: Vec<SessionId>,
    ranks: Vec<Rank>,
    /// The main session went on.
    is_resumed: bool,
    takes: Taken,
    last_id: u16,
    /// SUBSCRIBE and UNSUBSCRIBE that wait for an answer: the filters of each.
    subscribing: Vec<(PacketId, Vec<String>)>,
    /// Publishes of QoS 1 that wait for the hub.
    taking: usize,
    keep_alive: Duration,
    /// When something was last sent.
    sent_at: Instant,
    /// Since when PINGREQ waits for its answer.
    pinged_at: Option<Instant>,
    /// When the stage that lets us in has to be over.
    open_by: Instant,
    is_over: bool,
    backend: PhantomData<fn(B)>,
}

impl<B: HubRanks> Bridge<B> {
    /// A connection that has just been made; it speaks first.
    pub(super) fn new(now: Now, setup: Arc<Setup>, status: Arc<Status>) -> Self {
        status.begin();
        let count = setup.paths.out.len() + 1;
        let ranks = setup.paths.out.iter().map(|rank| Rank::new(rank.paths.len())).collect();
        Self {
            stage: Stage::New,
            asked: VecDeque::new(),
            memories: (0..count).map(|_| Memory::new(now)).collect(),
            saving: (0..count).map(|_| Saving::default()).collect(),
            sessions: vec![SessionId(0); count],
            ranks,
            is_resumed: false,
            takes: Taken {
                qos_max: wire::Qos::ExactlyOnce,
                retains: true,
                packet_bytes_max: usize::MAX,
                window: setup.config.inflight_max.into(),
            },
            last_id: 0,
            subscribing: Vec::new(),
            taking: 0,
            keep_alive: setup.config.keep_alive,
            sent_at: now.steady,
            pinged_at: None,
            open_by: now.steady + OPEN_WITHIN,
            is_over: false,
            backend: PhantomData,
            setup,
            status,
        }
    }

    fn version(&self) -> Version {
        self.setup.version
    }

    /// The rank of the main session.
    fn main(&self) -> usize {
        self.ranks.len()
    }

    fn ask(&mut self, rank: usize, asked: Asked, call: Call, out: &mut Out<B>) {
        self.asked.push_back((rank, asked));
        out.calls.push(Ranked::new(rank, call));
    }

    /// Sends a packet; false where the other broker does not take one as large.
    fn send(&mut self, now: Now, packet: &Packet<'_>, out: &mut Out<B>) -> bool {
        let (version, max) = (self.version(), self.takes.packet_bytes_max);
        let first = out.packets.len();
        let written = out.packets.write(|into| wire::encode(packet, version, max, into));
        match written {
            Ok(()) => {
                self.sent_at = now.steady;
                true
            }
            Err(error) => {
                out.packets.truncate(first);
                debug!(bridge = %self.setup.name, packet = packet.kind().name(), %error, "a packet was not sent");
                false
            }
        }
    }

    /// A packet identifier that is not in use.
    fn new_id(&mut self) -> Option<PacketId> {
        for _ in 0..u16::MAX {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            let id = PacketId::new(self.last_id)?;
            let is_free = self.memories.iter().all(|memory| memory.lock().sent.iter().all(|s| s.id != id))
                && self.subscribing.iter().all(|(used, _)| *used != id);
            if is_free {
                return Some(id);
            }
        }
        None
    }

    /// Ends the connection, and remembers why.
    fn end(&mut self, close: Close, reason: impl std::fmt::Display, out: &mut Out<B>) {
        self.status.fail(reason);
        self.is_over = true;
        out.close(close);
    }

    /// The hub refused something without which the bridge cannot go on.
    fn refused(&mut self, what: &str, refused: &Refused, out: &mut Out<B>) {
        self.end(FAILED, format_args!("{what}: {refused}"), out);
    }

    /// Says goodbye to the other broker, in MQTT 5 with the reason.
    fn say_goodbye(&mut self, now: Now, reason: Reason, text: Option<&'static str>, out: &mut Out<B>) {
        if self.stage != Stage::Up || self.is_over {
            return;
        }
        let mut disconnect = Disconnect::new(reason);
        disconnect.properties.reason_string = text;
        self.send(now, &Packet::Disconnect(disconnect), out);
    }

    fn packet(&mut self, now: Now, packet: Packet<'_>, out: &mut Out<B>) -> Result<(), WireError> {
        let unexpected = WireError::protocol("a packet that a client is not sent, or not now");
        match (self.stage, packet) {
            (Stage::Connecting, Packet::Connack(connack)) => self.connack(now, &connack, out),
            (Stage::Up, Packet::Publish(publish)) => return self.arriving(now, &publish, out),
            (Stage::Up, Packet::Puback(ack)) => self.puback(&ack),
            (Stage::Up, Packet::Pubrec(ack)) => self.pubrec(now, &ack, out),
            (Stage::Up, Packet::Pubrel(ack)) => self.pubrel(now, ack.id, out),
            (Stage::Up, Packet::Pubcomp(ack)) => self.pubcomp(ack.id),
            (Stage::Up, Packet::Suback(reasons)) => self.suback(&reasons, out),
            (Stage::Up, Packet::Unsuback(reasons)) => self.subscribing.retain(|(id, _)| *id != reasons.id),
            (Stage::Up, Packet::Pingresp) => self.pinged_at = None,
            (Stage::Up, Packet::Disconnect(disconnect)) if self.version() == Version::V5 => {
                let text = disconnect.properties.reason_string.unwrap_or_default();
                let reason = disconnect.reason.name();
                self.end(ENDED, format_args!("the other broker ended it: {reason} {text}"), out);
            }
            _ => return Err(unexpected),
        }
        Ok(())
    }

    /// What follows from a step: acknowledgements to the hub, more messages to the other broker.
    fn settle(&mut self, now: Now, out: &mut Out<B>) {
        if self.is_over {
            return;
        }
        self.pump(now, out);
        self.ack_hub(out);
        let under_way: usize = self.memories.iter().map(|memory| memory.lock().under_way()).sum();
        let waiting: usize = self.ranks.iter().map(Rank::waiting).sum();
        self.status.set_waiting(under_way + waiting);
    }
}

impl<B: HubRanks> Connection for Bridge<B> {
    type Backend = B;

    fn receive(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<B>) -> Result<(), Fault> {
        let limits = Limits {
            packet_bytes_max: self.setup.config.packet_bytes_max,
            user_properties_max: USER_PROPERTIES_MAX,
            filters_max: opening::FILTERS_MAX,
        };
        while !self.is_over && self.takes_input() {
            let result = match wire::decode(input, Some(self.version()), &limits) {
                Ok(None) => break,
                Ok(Some((packet, len))) => self.packet(now, packet, out).map(|()| len),
                Err(error) => Err(error),
            };
            match result {
                Ok(len) => input.advance(len),
                Err(error) => {
                    self.say_goodbye(now, error.reason, Some(error.text), out);
                    self.end(Close::PROTOCOL, format_args!("the other broker: {error}"), out);
                    return Err(Fault(Close::PROTOCOL));
                }
            }
        }
        self.settle(now, out);
        Ok(())
    }

    fn answer(&mut self, now: Now, Ranked { rank, what: answer }: Ranked<Answer>, out: &mut Out<B>) {
        let Some((_, asked)) = self.asked.pop_front() else { return };
        if self.is_over {
            return;
        }
        match asked {
            Asked::Hello => self.opened(now, rank, answer, out),
            Asked::Subscribe { path } => self.subscribed(now, rank, path, &answer, out),
            Asked::Ack { subscription, number } => {
                if matches!(answer, Answer::Done) {
                    self.memories[rank].lock().acked(subscription, number);
                }
            }
            Asked::Save => self.saved(now, rank, &answer, out),
            Asked::Publish { id, is_exact } => self.taken(now, id, is_exact, answer, out),
            Asked::Unheard => {}
        }
        self.settle(now, out);
    }

    fn deliver(&mut self, now: Now, deliveries: &mut Vec<Ranked<Delivery>>, out: &mut Out<B>) {
        for Ranked { rank, what } in deliveries.drain(..) {
            if !self.is_over {
                self.delivered(now, rank, what, out);
            }
        }
        self.settle(now, out);
    }

    fn expire(&mut self, now: Now, out: &mut Out<B>) {
        if self.is_over {
            return;
        }
        match self.stage {
            Stage::New => self.open(out),
            Stage::Up => self.keep_alive(now, out),
            _ if self.open_by <= now.steady => {
                self.end(Close::SILENT, "the other broker, or the hub, did not let us in within 30 s", out);
            }
            _ => {}
        }
    }

    fn leave(&mut self, now: Now, close: Close, out: &mut Out<B>) {
        self.say_goodbye(now, Reason::Success, None, out);
        self.end(close.clone(), &close, out);
    }

    fn deadline(&self) -> Option<Instant> {
        match self.stage {
            _ if self.is_over => None,
            // At once: a client speaks first.
            Stage::New => Some(self.sent_at),
            Stage::Up => Some(self.pinged_at.unwrap_or(self.sent_at) + self.keep_alive),
            Stage::Opening(_) | Stage::Subscribing(_) | Stage::Connecting => Some(self.open_by),
        }
    }

    fn takes_input(&self) -> bool {
        self.asked.len() < ASKED_MAX
    }

    fn takes_delivery(&self) -> bool {
        self.stage == Stage::Up && !self.is_over
    }
}

impl<B: HubRanks> Bridge<B> {
    /// Tests the line, or gives it up.
    fn keep_alive(&mut self, now: Now, out: &mut Out<B>) {
        let waited = now.steady.saturating_duration_since(self.pinged_at.unwrap_or(self.sent_at));
        if waited < self.keep_alive {
            return;
        }
        if self.pinged_at.is_some() {
            self.end(Close::SILENT, "nothing was heard from the other broker for too long", out);
        } else {
            self.send(now, &Packet::Pingreq, out);
            self.pinged_at = Some(now.steady);
        }
    }

    /// Tells the hub what the other broker has.
    fn ack_hub(&mut self, out: &mut Out<B>) {
        for rank in 0..self.ranks.len() {
            for (subscription, number) in self.ranks[rank].take_acks() {
                let call = Call::Ack(subscription, Acked::Number(number));
                self.ask(rank, Asked::Ack { subscription, number }, call, out);
            }
        }
    }
}
