//! One client's side of MQTT, whatever carries it.
//!
//! Read in this order: this file (what comes in, and in which order), [`opening`] (CONNECT and AUTH),
//! [`publishing`] (PUBLISH from the client), [`subscribing`], [`delivering`] (PUBLISH to the client), [`acking`]
//! (acknowledgements both ways, and what must be safe before them), [`answers`] (what the hub says), [`clock`]
//! (time), [`naming`] (topics and their aliases), [`props`] (properties and headers), [`reasons`].

mod acking;
mod answers;
mod clock;
mod delivering;
mod naming;
mod opening;
pub(crate) mod props;
mod publishing;
pub(crate) mod reasons;
mod subscribing;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use yizhan_hub::{Answer, Call, Delivery, Qos, link::SubscriptionId};
use yizhan_talk::{Backend, Close, Fault, Now, Out, Timestamp};

use crate::{
    Allowance, Terms,
    session::Session,
    trace::{Direction, Event, Watch},
    wire::{
        self, Kind, Limits, Packet, PacketId, Reason, Version, WireError,
        packet::{Connack, Disconnect},
        properties::{ConnackProperties, DisconnectProperties},
    },
};
use acking::Release;
use delivering::Waiting;
use naming::{AliasesIn, AliasesOut, Known};
use opening::Opening;
use publishing::Retries;
use subscribing::List;

/// The hub, or what stands in for it in tests.
pub trait HubBackend: Backend<Call = Call, Answer = Answer, Delivery = Delivery> {}
impl<B: Backend<Call = Call, Answer = Answer, Delivery = Delivery>> HubBackend for B {}

/// Whether packets stand in a stream, or in messages whose bounds mean nothing (MQTT-6.0.0-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// TCP or TLS.
    Stream,
    /// WebSocket.
    Messages,
}

/// Where the talk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// CONNECT has not come.
    Silent,
    /// The client has to say the next step of its authentication.
    Proving,
    /// The hub has to say something before CONNACK.
    Greeting,
    /// The session is open.
    Open,
    /// The last word was said.
    Ended,
}

/// What a call that has no answer yet was made for, or what is said in its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Hello,
    Prove,
    /// `is_copied`: the publish can be made again.
    Publish {
        qos: Qos,
        id: Option<PacketId>,
        is_copied: bool,
    },
    /// The next filter of the oldest list that has one open.
    Subscribe,
    Unsubscribe,
    /// Retained messages for a subscription that was there before.
    State(SubscriptionId),
    /// A subscription that the client did not ask for just now.
    Resubscribed(SubscriptionId),
    /// Nobody waits for the answer.
    Unheard,
    /// So many releases wait for it.
    Save(u32),
    /// So many packets of QoS 2, and those between them, wait for it.
    SaveThenSend(u32),
    /// Said by the connection itself: how a PUBLISH went.
    Acked {
        qos: Qos,
        id: PacketId,
        reason: Reason,
    },
}

/// One client's side of a talk in MQTT.
pub struct Connection<B> {
    terms: Arc<Terms>,
    allowance: Arc<Allowance>,
    session: Option<Arc<Session>>,
    /// See [`Session::of`].
    owner: u64,
    client: Arc<str>,
    user: Arc<str>,
    watch: Watch,
    carrier: Carrier,
    stage: Stage,
    version: Version,
    /// CONNECT came from another server's bridge.
    is_bridge: bool,
    /// The session outlives the connection.
    is_kept: bool,
    /// The session was there before.
    is_resumed: bool,
    /// Reason strings may be sent (MQTT 5 §3.1.2.11.7).
    explains: bool,
    /// The principal has a rate: publishes may have to be made again.
    is_rated: bool,
    /// No more fits into the client's window.
    is_full: bool,
    /// Something acked waits for the end of the step.
    is_acked: bool,
    /// Packets wait for [`Asked::SaveThenSend`].
    is_saving: bool,
    /// Seconds; 0 is none.
    keep_alive: u16,
    /// Packets of QoS 1 and 2 that may be under way to the client.
    window: u16,
    /// Publishes of QoS 1 that wait for the hub.
    taking: u16,
    /// Bytes of a packet that the client takes.
    bytes_max: u32,
    /// What was last told to the gauges: under way, held.
    gauged: (u32, u32),
    /// Messages sent in this step, and the bytes of their bodies: counted together at its end.
    sent: (u64, u64),
    /// When the client came, or the last packet did.
    heard: Instant,
    /// When the session was opened, by the wall clock.
    opened_at: Timestamp,
    /// When the credentials end, on the wall clock and as far as known on the steady one.
    expires: Option<Box<(Timestamp, Instant)>>,
    pending: VecDeque<Asked>,
    /// Records that wait for the window or for [`Asked::SaveThenSend`]; never more than one step brings.
    waiting: Waiting,
    /// What stands before the next message, where packets straddle them.
    rest: Option<Box<BytesMut>>,
    /// Topics that the client publishes to.
    known: Known,
    desk: Option<Box<Desk>>,
    backend: PhantomData<fn() -> B>,
}

/// What a connection has besides, once in a while.
#[derive(Debug, Default)]
struct Desk {
    opening: Option<Box<Opening>>,
    /// The method by which the client authenticated, for the next time.
    method: Option<Arc<str>>,
    lists: VecDeque<List>,
    /// What is said once a save is answered, oldest first.
    releases: VecDeque<Release>,
    /// Releases that no save was asked for yet.
    unsaved: u32,
    retries: Retries,
    aliases_in: AliasesIn,
    aliases_out: AliasesOut,
    owed: acking::Owed,
}

impl Desk {
    fn is_empty(&self) -> bool {
        self.opening.is_none()
            && self.method.is_none()
            && self.lists.is_empty()
            && self.releases.is_empty()
            && self.retries.is_empty()
            && self.aliases_in.is_empty()
            && self.aliases_out.is_off()
            && self.owed.is_empty()
    }
}

impl<B: HubBackend> Connection<B> {
    /// A client that has said nothing. `certificate` is the user that a verified client certificate names.
    #[must_use]
    pub fn new(now: Now, terms: Arc<Terms>, carrier: Carrier, certificate: Option<Arc<str>>) -> Self {
        let allowance = terms.allowance("", None).clone();
        let nobody: Arc<str> = Arc::default();
        let opening = certificate.map(|user| Box::new(Opening::by_certificate(user)));
        Self {
            terms,
            allowance,
            session: None,
            owner: 0,
            client: nobody.clone(),
            user: nobody,
            watch: Watch::default(),
            carrier,
            stage: Stage::Silent,
            version: Version::V5,
            is_bridge: false,
            is_kept: false,
            is_resumed: false,
            explains: true,
            is_rated: false,
            is_full: false,
            is_acked: false,
            is_saving: false,
            keep_alive: 0,
            window: 0,
            taking: 0,
            bytes_max: u32::MAX,
            gauged: (0, 0),
            sent: (0, 0),
            heard: now.steady,
            opened_at: now.wall,
            expires: None,
            pending: VecDeque::new(),
            waiting: Waiting::default(),
            rest: None,
            known: Known::default(),
            desk: opening.map(|opening| Box::new(Desk { opening: Some(opening), ..Desk::default() })),
            backend: PhantomData,
        }
    }

    fn desk(&mut self) -> &mut Desk {
        self.desk.get_or_insert_default()
    }

    /// Lets go of the desk where nothing lies on it.
    fn tidy_desk(&mut self) {
        if self.desk.as_ref().is_some_and(|desk| desk.is_empty()) {
            self.desk = None;
        }
    }

    /// Writes one packet. What does not fit into the client's limit is not sent (MQTT-3.1.2-24): false then.
    fn say(&mut self, now: Now, packet: &Packet<'_>, out: &mut Out<B>) -> bool {
        let (version, bytes_max) = (self.version, self.bytes_max as usize);
        let before = out.packets.bytes().len();
        let mut written = Ok(());
        if self.explains || !explains_only(packet) {
            written = out.packets.write(|into| wire::encode(packet, version, bytes_max, into));
        } else {
            let mut packet = packet.clone();
            packet.strip_reason();
            out.packets.write(|into| written = wire::encode(&packet, version, bytes_max, into));
        }
        match written {
            Ok(()) => {
                let bytes = out.packets.bytes().len() - before;
                self.terms.meters.sent(packet.kind(), 1);
                self.tell(now, || of_packet(packet, Direction::Out, bytes));
                true
            }
            Err(error) => {
                out.packets.truncate(out.packets.len() - 1);
                tracing::debug!(%error, packet = packet.kind().name(), "a packet could not be sent");
                false
            }
        }
    }

    /// Tells the client's trace, where there is one.
    fn tell<'a>(&mut self, now: Now, event: impl FnOnce() -> Event<'a>) {
        if let Some(trace) = self.watch.trace(&self.terms.traces, &self.client) {
            trace.tell(now, &event());
        }
    }

    /// Reads packets as long as it may.
    fn read(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<B>) -> Result<(), Fault> {
        // Of packets of one kind in a row, how many came.
        let mut row = (Kind::Pingreq, 0);
        let read = self.read_packets(now, input, &mut row, out);
        if row.1 > 0 {
            self.terms.meters.received(row.0, row.1);
        }
        read
    }

    fn read_packets(
        &mut self,
        now: Now,
        input: &mut BytesMut,
        row: &mut (Kind, u64),
        out: &mut Out<B>,
    ) -> Result<(), Fault> {
        while self.reads() {
            let limits = Limits { packet_bytes_max: self.allowance.packet_bytes_max, ..Limits::default() };
            let version = (self.stage != Stage::Silent).then_some(self.version);
            let (packet, bytes) = match wire::decode(input, version, &limits) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.broken(now, &error, out)),
            };
            if row.0 != packet.kind() {
                if row.1 > 0 {
                    self.terms.meters.received(row.0, row.1);
                }
                *row = (packet.kind(), 0);
            }
            row.1 += 1;
            self.tell(now, || of_packet(&packet, Direction::In, bytes));
            if let (Stage::Open, Packet::Publish(publish)) = (self.stage, &packet) {
                let payload = publish.payload.len();
                let taken = self.take_publish(now, publish, out)?;
                let body = wire::split_payload(input, bytes, payload);
                self.publish(now, taken, body, out);
            } else {
                self.packet(now, packet, out)?;
                input.advance(bytes);
            }
        }
        Ok(())
    }

    fn packet(&mut self, now: Now, packet: Packet<'_>, out: &mut Out<B>) -> Result<(), Fault> {
        match (self.stage, packet) {
            (Stage::Silent, Packet::Connect(connect)) => return self.connect(now, &connect, out),
            (Stage::Proving | Stage::Open, Packet::Auth(auth)) => return self.auth(now, &auth, out),
            (Stage::Open, Packet::Puback(ack)) => return self.puback(now, &ack, out),
            (Stage::Open, Packet::Pubrec(ack)) => return self.pubrec(now, &ack, out),
            (Stage::Open, Packet::Pubrel(ack)) => self.pubrel(now, &ack, out),
            (Stage::Open, Packet::Pubcomp(ack)) => return self.pubcomp(now, &ack, out),
            (Stage::Open, Packet::Subscribe(subscribe)) => return self.subscribe(now, &subscribe, out),
            (Stage::Open, Packet::Unsubscribe(unsubscribe)) => self.unsubscribe(now, &unsubscribe, out),
            (Stage::Open, Packet::Pingreq) => _ = self.say(now, &Packet::Pingresp, out),
            (Stage::Open | Stage::Proving, Packet::Disconnect(said)) => {
                return self.disconnect(now, &said, out);
            }
            (_, packet) => {
                let text = match packet.kind() {
                    Kind::Connect => "a second CONNECT (MQTT-3.1.0-2)",
                    _ => "a packet that a client does not send, or not now (MQTT 5 §2.1.2)",
                };
                return Err(self.broken(now, &WireError::protocol(text), out));
            }
        }
        Ok(())
    }

    /// The client says goodbye (MQTT 5 §3.14).
    fn disconnect(&mut self, now: Now, said: &Disconnect<'_>, out: &mut Out<B>) -> Result<(), Fault> {
        let mut keep = said.properties.session_expiry.map(|seconds| Duration::from_secs(seconds.into()));
        if keep.is_some_and(|keep| !keep.is_zero()) && !self.is_kept && self.stage == Stage::Open {
            // One that was cut to nothing by this server was asked for, and is no fault of the client's.
            if self.allowance.session_expiry_max.is_zero() {
                keep = None;
            } else {
                let text = "a session that was not to be kept is to be kept now (MQTT 5 §3.14.2.2.2)";
                return Err(self.broken(now, &WireError::protocol(text), out));
            }
        }
        if self.stage == Stage::Open {
            self.finish_step(now, out);
            let keep = keep.map(|keep| keep.min(self.allowance.session_expiry_max));
            let say_last = self.version == Version::V5 && said.reason != Reason::Success;
            self.ask(Asked::Unheard, Call::Rest { keep, say_last }, out);
        }
        self.ended();
        out.close(Close::NORMAL);
        Ok(())
    }

    /// Makes a call.
    fn ask(&mut self, asked: Asked, call: Call, out: &mut Out<B>) {
        self.pending.push_back(asked);
        out.calls.push(call);
    }

    /// The client broke the standard, or passed a limit: it is told why, and the talk is over.
    fn broken(&mut self, now: Now, error: &WireError, out: &mut Out<B>) -> Fault {
        if self.stage == Stage::Silent
            && let Some(version) = error.version
        {
            self.version = version;
            // A client of 3.1.1 hears of its version; for anything else the standard wants silence.
            if version == Version::V5 || error.reason == Reason::UnsupportedVersion {
                self.refuse(now, error.reason, Some(error.text), out);
            }
        }
        let close = Close { reason: error.text.into(), ..reasons::close_of(error.reason) };
        self.end(now, error.reason, Some(error.text), close.clone(), out);
        Fault(close)
    }

    /// Says CONNACK that is no.
    fn refuse(&mut self, now: Now, reason: Reason, text: Option<&str>, out: &mut Out<B>) {
        let reason = reasons::fitting(reason, Kind::Connack);
        self.terms.meters.connect(reason);
        let server_reference =
            self.terms.config.server_reference.clone().filter(|_| reason == Reason::UseAnotherServer);
        let properties = ConnackProperties {
            reason_string: text,
            server_reference: server_reference.as_deref(),
            ..ConnackProperties::default()
        };
        let connack = Connack { session_present: false, reason, properties };
        self.say(now, &Packet::Connack(Box::new(connack)), out);
        self.ended();
    }

    /// Says the last word: DISCONNECT in MQTT 5, nothing in 3.1.1.
    fn end(&mut self, now: Now, reason: Reason, text: Option<&str>, close: Close, out: &mut Out<B>) {
        if self.stage == Stage::Open {
            let reference = self.terms.config.server_reference.clone();
            let reference = reference.filter(|_| reason == Reason::ServerShuttingDown);
            let reason = if reference.is_some() { Reason::UseAnotherServer } else { reason };
            let reason = reasons::fitting(reason, Kind::Disconnect);
            self.terms.meters.disconnect(reason);
            if self.version == Version::V5 {
                let properties = DisconnectProperties {
                    reason_string: text,
                    server_reference: reference.as_deref(),
                    ..DisconnectProperties::default()
                };
                self.say(now, &Packet::Disconnect(Disconnect { reason, properties }), out);
            }
        }
        self.ended();
        out.close(close);
    }

    /// Lets go of what is of no use any more.
    fn ended(&mut self) {
        self.stage = Stage::Ended;
        self.pending = VecDeque::new();
        self.waiting = Waiting::default();
        self.rest = None;
        self.desk = None;
    }

    /// Whether the next packet may be looked at.
    fn reads(&self) -> bool {
        match self.stage {
            Stage::Silent | Stage::Proving => true,
            Stage::Open => !self.is_paused(),
            Stage::Greeting | Stage::Ended => false,
        }
    }

    /// After a step that read packets: the hub is told what arrived, and what must be safe is saved.
    fn finish_step(&mut self, now: Now, out: &mut Out<B>) {
        if self.stage != Stage::Open {
            return;
        }
        if self.is_acked {
            self.settle(now, out);
        }
        self.save(out);
    }

    /// What stands before the next message is read on, once it may.
    fn read_rest(&mut self, now: Now, out: &mut Out<B>) {
        if !self.reads() {
            return;
        }
        let Some(mut rest) = self.rest.take() else { return };
        let read = self.read(now, &mut rest, out);
        self.finish_step(now, out);
        match read {
            Ok(()) if self.stage != Stage::Ended && !rest.is_empty() => self.rest = Some(rest),
            // The talk is over, and its end is in `out` already.
            Ok(()) | Err(_) => {}
        }
    }

    fn receive_message(&mut self, now: Now, message: &mut BytesMut, out: &mut Out<B>) -> Result<(), Fault> {
        if let Some(mut whole) = self.rest.take() {
            whole.extend_from_slice(message);
            *message = *whole;
        }
        let read = self.read(now, message, out);
        if !message.is_empty() && self.stage != Stage::Ended {
            self.rest = Some(Box::new(std::mem::take(message)));
        }
        message.clear();
        read
    }
}

/// Packets whose reason string and user properties only explain; CONNACK and DISCONNECT may have them in any
/// case (MQTT-3.1.2-29).
fn explains_only(packet: &Packet<'_>) -> bool {
    !matches!(packet.kind(), Kind::Connack | Kind::Disconnect | Kind::Publish)
}

/// What a trace tells of a packet.
fn of_packet<'a>(packet: &Packet<'a>, direction: Direction, bytes: usize) -> Event<'a> {
    let event = Event::new(packet.kind(), direction, bytes);
    match packet {
        Packet::Publish(p) => Event {
            id: p.id.map(PacketId::get),
            topic: Some(p.topic),
            qos: Some(p.qos as u8),
            retain: p.retain,
            dup: p.dup,
            ..event
        },
        Packet::Puback(p) | Packet::Pubrec(p) | Packet::Pubrel(p) | Packet::Pubcomp(p) => {
            Event { id: Some(p.id.get()), reason: Some(p.reason), text: p.properties.reason_string, ..event }
        }
        Packet::Subscribe(p) => {
            let (topic, qos) = p.filters.first().map(|(f, options)| (*f, options.qos as u8)).unzip();
            Event { id: Some(p.id.get()), topic, qos, ..event }
        }
        Packet::Unsubscribe(p) => Event { id: Some(p.id.get()), topic: p.filters.first().copied(), ..event },
        Packet::Suback(p) | Packet::Unsuback(p) => {
            Event { id: Some(p.id.get()), reason: p.reasons.first().copied(), ..event }
        }
        Packet::Connack(p) => Event { reason: Some(p.reason), text: p.properties.reason_string, ..event },
        Packet::Disconnect(p) => Event { reason: Some(p.reason), text: p.properties.reason_string, ..event },
        Packet::Auth(p) => Event { reason: Some(p.reason), ..event },
        Packet::Connect(_) | Packet::Pingreq | Packet::Pingresp => event,
    }
}

impl<B: HubBackend> yizhan_talk::Connection for Connection<B> {
    type Backend = B;

    fn receive(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<B>) -> Result<(), Fault> {
        if self.stage == Stage::Ended {
            input.clear();
            return Ok(());
        }
        if self.stage != Stage::Silent {
            self.heard = now.steady;
        }
        let read = match self.carrier {
            Carrier::Stream => self.read(now, input, out),
            Carrier::Messages => self.receive_message(now, input, out),
        };
        self.finish_step(now, out);
        read
    }

    fn answer(&mut self, now: Now, answer: Answer, out: &mut Out<B>) {
        if self.stage != Stage::Ended {
            self.take_answer(now, answer, out);
            self.read_rest(now, out);
        }
    }

    fn deliver(&mut self, now: Now, deliveries: &mut Vec<Delivery>, out: &mut Out<B>) {
        if self.stage == Stage::Open {
            self.take_deliveries(now, deliveries, out);
        }
        deliveries.clear();
    }

    fn expire(&mut self, now: Now, out: &mut Out<B>) {
        self.keep_time(now, out);
        self.read_rest(now, out);
    }

    fn leave(&mut self, now: Now, close: Close, out: &mut Out<B>) {
        self.take_leave(now, close, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }

    fn takes_input(&self) -> bool {
        // After the last word input is taken to be thrown away.
        self.stage == Stage::Ended || self.reads()
    }

    fn takes_delivery(&self) -> bool {
        self.stage == Stage::Open && !self.is_full && !self.is_saving && self.waiting.is_empty()
    }
}

impl<B> Drop for Connection<B> {
    fn drop(&mut self) {
        if self.owner > 0 {
            self.terms.meters.client_left();
            self.terms.meters.inflight.add(-i64::from(self.gauged.0));
            self.terms.meters.qos2_held.add(-i64::from(self.gauged.1));
        }
    }
}

impl<B> std::fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("client", &self.client)
            .field("stage", &self.stage)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
