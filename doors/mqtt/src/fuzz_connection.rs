//! An entry for fuzzing the whole connection: a client that says anything, a hub that answers anything that
//! fits, breaks and restarts. What the client hears must be packets of its version that keep the rules a client
//! relies on.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use yizhan_hub::{
    Answer, Batch, Call, Delivery, Keepsake, Message, Position, Principal, Qos, Record, Refused, SessionId,
    SpaceId, StoreError, Topic,
    access::Rates,
    link::{Durability, Kept, Opened, Receipt},
    message::Sender,
    store::Missed,
};
use yizhan_talk::{Close, Connection as _, Now, Out, Then, Timestamp, script::Scripted};

use crate::{
    Carrier, Config, Connection, Terms,
    wire::{
        self, Limits, Packet, PacketId, Version,
        packet::{Connect, Options, Publish, RetainHandling, Subscribe, Unsubscribe},
        properties::{
            ConnectProperties, PublishProperties, SubscribeProperties, SubscriptionIdentifier,
            UnsubscribeProperties,
        },
    },
};

type Client = Connection<Scripted<Call, Answer, Delivery>>;

/// Steps of one story.
const STEPS_MAX: usize = 400;
/// What the stories' clients take at most under way, less one bit.
const WINDOWS: [u16; 4] = [1, 2, 3, 100];
const FILTERS: [&str; 6] = ["t/#", "t/1", "$share/g/t/#", "$exclusive/t/1", "#", "bad/#/x"];

/// The bytes of a story, taken one by one.
struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }

    fn qos(&mut self) -> Qos {
        [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(self.byte() % 3)]
    }

    fn id(&mut self) -> PacketId {
        PacketId::MIN.saturating_add((self.byte() % 8).into())
    }
}

/// One client, the hub's side of it, and what the client has been told.
struct World {
    terms: Arc<Terms>,
    now: Now,
    version: Version,
    carrier: Carrier,
    is_kept: bool,
    window: u16,
    client: Client,
    input: BytesMut,
    out: Out<Scripted<Call, Answer, Delivery>>,
    calls: VecDeque<Call>,
    ended: Option<Close>,
    /// What the hub remembers.
    keepsake: Option<Arc<dyn Keepsake>>,
    numbers: [u64; 64],
    offset: u64,
    model: Model,
}

/// What a client of the standard knows.
#[derive(Default)]
struct Model {
    /// Identifiers of publishes to it whose exchange is not over.
    open: BTreeSet<u16>,
    /// Of these, sent on this connection.
    under_way: BTreeSet<u16>,
    is_in: bool,
    is_over: bool,
}

/// A story: the first byte says what client it is, the others what happens.
pub fn fuzz_connection(bytes: &[u8]) {
    let mut dice = Dice(bytes);
    let mut world = World::new(dice.byte());
    world.connect(None);
    for _ in 0..STEPS_MAX {
        if dice.0.is_empty() {
            break;
        }
        world.step(&mut dice);
    }
    while !world.calls.is_empty() {
        world.answer(true);
    }
}

impl World {
    fn new(how: u8) -> Self {
        // Where time begins here.
        #[allow(clippy::disallowed_methods)]
        let now = Now { steady: Instant::now(), wall: Timestamp::from_millis(1_767_225_600_000) };
        let version = if how & 1 == 0 { Version::V4 } else { Version::V5 };
        let carrier = if how & 2 == 0 { Carrier::Stream } else { Carrier::Messages };
        let window = WINDOWS[usize::from(how >> 4 & 3)];
        let config = Config { inflight_max: window, receive_max: 8, ..Config::default() };
        let day = Duration::from_secs(24 * 3600);
        let terms = Terms::new(config, "fuzz".into(), day, Arc::default(), Arc::default());
        let terms = Arc::new(terms.expect("the built-in config is good"));
        Self {
            now,
            version,
            carrier,
            is_kept: how & 4 != 0,
            window,
            client: Connection::new(now, terms.clone(), carrier, None),
            terms,
            input: BytesMut::new(),
            out: Out::new(),
            calls: VecDeque::new(),
            ended: None,
            keepsake: None,
            numbers: [0; 64],
            offset: 0,
            model: Model::default(),
        }
    }

    /// A new connection; `kept` is what the hub gives back.
    fn connect(&mut self, kept: Option<Kept>) {
        self.client = Connection::new(self.now, self.terms.clone(), self.carrier, None);
        self.input.clear();
        self.calls.clear();
        self.ended = None;
        self.model.under_way.clear();
        self.model.is_in = false;
        self.model.is_over = false;
        let properties =
            ConnectProperties { session_expiry: self.is_kept.then_some(60), ..ConnectProperties::default() };
        self.client(&Packet::Connect(Box::new(Connect {
            version: self.version,
            bridge: false,
            clean_start: !self.is_kept,
            keep_alive: 600,
            properties,
            client_id: "c",
            will: None,
            user_name: None,
            password: None,
        })));
        let Some(Call::Hello(hello)) = self.calls.pop_front() else { panic!("no hello") };
        let resumed = kept.is_some();
        if !resumed {
            self.keepsake = hello.keepsake.clone();
            self.numbers = [0; 64];
            self.model = Model::default();
        }
        let principal = Principal {
            user: "u".into(),
            device: None,
            roles: Arc::default(),
            expires_at: None,
            rates: Rates { messages_per_second: Some(1), ..Rates::default() },
        };
        let opened = Opened {
            session: SessionId(1),
            secret: "".into(),
            principal: Arc::new(principal),
            resumed,
            keep: if self.is_kept { Duration::from_secs(60) } else { Duration::ZERO },
            subscriptions: Vec::new(),
            kept,
            place: Default::default(),
        };
        let place = opened.place.clone();
        self.client.answer(self.now, Answer::Opened(Box::new(opened)), &mut self.out);
        if let Some(keepsake) = place.get() {
            self.keepsake = Some(keepsake);
        }
        self.settle();
    }

    fn step(&mut self, dice: &mut Dice<'_>) {
        match dice.byte() % 18 {
            0 => {
                let n = usize::from(dice.byte() % 32);
                let bytes = dice.take(n);
                self.send(&bytes);
            }
            1 | 2 => self.publish(dice),
            3..=6 => self.ack(dice),
            7 => self.subscribe(dice),
            8 => {
                let filters = vec![FILTERS[usize::from(dice.byte()) % FILTERS.len()]];
                let properties = UnsubscribeProperties::default();
                self.client(&Packet::Unsubscribe(Unsubscribe { id: dice.id(), properties, filters }));
            }
            9..=11 => self.deliver(dice),
            12 | 13 => self.answer(true),
            14 => self.answer(dice.byte() & 1 == 1),
            15 => self.pass(dice.byte()),
            16 => self.come_back(dice.byte()),
            _ => match dice.byte() % 8 {
                0 => {
                    self.client.leave(self.now, Close::GOING_AWAY, &mut self.out);
                    self.settle();
                }
                1 => self.send(&[0xe0, 0]),
                _ => self.send(&[0xc0, 0]),
            },
        }
    }

    fn publish(&mut self, dice: &mut Dice<'_>) {
        let qos = dice.qos();
        let how = dice.byte();
        let is_v5 = self.version == Version::V5;
        let topic_alias = if is_v5 && how & 4 != 0 { Some(dice.id()) } else { None };
        let properties = PublishProperties {
            topic_alias,
            payload_is_utf8: (is_v5 && how & 8 != 0).then_some(true),
            message_expiry: (is_v5 && how & 16 != 0).then_some(5),
            ..PublishProperties::default()
        };
        let topic = if topic_alias.is_some() && how & 32 != 0 { "" } else { "t/1" };
        self.client(&Packet::Publish(Publish {
            dup: qos != Qos::AtMostOnce && how & 1 != 0,
            qos,
            retain: how & 2 != 0,
            topic,
            id: (qos != Qos::AtMostOnce).then(|| dice.id()),
            properties,
            payload: &[how],
        }));
    }

    fn ack(&mut self, dice: &mut Dice<'_>) {
        let kind = dice.byte();
        let id = dice.id().get();
        let first = [0x40, 0x50, 0x62, 0x70][usize::from(kind % 4)];
        let is_failed = self.version == Version::V5 && kind & 0x30 == 0x30 && first < 0x60;
        if is_failed {
            self.send(&[first, 3, 0, id as u8, 0x80]);
        } else {
            self.send(&[first, 2, 0, id as u8]);
        }
    }

    fn subscribe(&mut self, dice: &mut Dice<'_>) {
        let (how, qos, id) = (dice.byte(), dice.qos(), dice.id());
        let is_v5 = self.version == Version::V5;
        let retain_handling = match how & 3 {
            _ if !is_v5 => RetainHandling::Send,
            0 | 1 => RetainHandling::Send,
            2 => RetainHandling::SendIfNew,
            _ => RetainHandling::Keep,
        };
        let options = Options {
            qos,
            no_local: is_v5 && how & 4 != 0,
            retain_as_published: is_v5 && how & 8 != 0,
            retain_handling,
        };
        let subscription_id = SubscriptionIdentifier::new(u32::from(how & 16 != 0 && is_v5) * 200);
        let properties = SubscribeProperties { subscription_id, ..SubscribeProperties::default() };
        let filter = FILTERS[usize::from(dice.byte()) % FILTERS.len()];
        let filters = vec![(filter, options), (FILTERS[1], options)];
        self.client(&Packet::Subscribe(Subscribe { id, properties, filters }));
    }

    fn record(&mut self, dice: &mut Dice<'_>) -> Arc<Record> {
        let (qos, how) = (dice.qos(), dice.byte());
        let message = Message {
            topic: Topic::new("t/1").expect("a topic"),
            key: (how & 1 != 0).then(|| "k".into()),
            id: None,
            from: Sender { user: "u".into(), device: None, session: SessionId(2) },
            content: Default::default(),
            headers: Default::default(),
            body: vec![how].into(),
            expires_at: (how & 6 == 6).then(|| self.now.wall.plus(Duration::from_secs(3))),
            qos,
        };
        self.offset += 1;
        let position = Position { space: SpaceId(1), lane: 0, epoch: 1, offset: self.offset };
        Arc::new(Record::new((how & 8 != 0).then_some(position), 1, self.now.wall, message))
    }

    fn deliver(&mut self, dice: &mut Dice<'_>) {
        if self.ended.is_some() || !self.client.takes_delivery() {
            return;
        }
        let subscription = u32::from(dice.byte() % 8) + 1;
        let count = 1 + usize::from(dice.byte() % 5);
        let records: Vec<_> = (0..count).map(|_| self.record(dice)).collect();
        let number = &mut self.numbers[subscription as usize];
        let first = *number + 1;
        *number += count as u64;
        let is_batch = dice.byte() & 1 == 1;
        let mut deliveries: Vec<Delivery> = if is_batch {
            Batch::cut(&records).map(|batch| Delivery::Batch { subscription, number: first, batch }).collect()
        } else {
            (first..)
                .zip(records)
                .map(|(number, record)| Delivery::Record { subscription, number, record })
                .collect()
        };
        match dice.byte() % 8 {
            0 => deliveries.push(Delivery::StateEnd { subscription }),
            1 => deliveries.push(Delivery::Missed { subscription, number: 1, missed: Missed::Count(1) }),
            2 => deliveries.push(Delivery::Leave(Close::KICKED)),
            _ => {}
        }
        self.client.deliver(self.now, &mut deliveries, &mut self.out);
        assert!(deliveries.is_empty());
        self.settle();
    }

    /// Answers the oldest call.
    fn answer(&mut self, well: bool) {
        let Some(call) = self.calls.pop_front() else { return };
        let refused = match self.offset % 3 {
            0 => Refused::Store(StoreError::Full),
            1 => Refused::NoSubscription,
            _ => Refused::TooFast(Duration::from_secs(1)),
        };
        let answer = match call {
            _ if !well => Answer::Refused(refused),
            Call::Subscribe(wish) => {
                Answer::Subscribed { id: wish.id, heads: Vec::new(), missed: Missed::NONE }
            }
            Call::Publish(_) => Answer::Published(Receipt {
                position: None,
                seq: 0,
                at: self.now.wall,
                durability: Durability::None,
                duplicate: false,
            }),
            Call::State(..) => Answer::State(vec![self.record(&mut Dice(&[2, 0]))]),
            Call::Unsubscribe(_) | Call::Ack(..) | Call::Save | Call::Rest { .. } => Answer::Done,
            other => panic!("{other:?}"),
        };
        self.client.answer(self.now, answer, &mut self.out);
        self.settle();
    }

    fn pass(&mut self, how: u8) {
        let end = self.now.steady + Duration::from_millis(u64::from(how) * 100);
        while let Some(at) = self.client.deadline().filter(|at| *at <= end && self.ended.is_none()) {
            let by = at.saturating_duration_since(self.now.steady);
            self.now = Now { steady: self.now.steady + by, wall: self.now.wall.plus(by) };
            self.client.expire(self.now, &mut self.out);
            self.settle();
            let next = self.client.deadline();
            assert!(next != Some(at) || self.ended.is_some(), "a deadline does not move");
        }
        let by = end.saturating_duration_since(self.now.steady);
        self.now = Now { steady: end, wall: self.now.wall.plus(by) };
    }

    /// The client comes back: to what lived on, to what was saved, or to nothing.
    fn come_back(&mut self, how: u8) {
        let keepsake = self.keepsake.clone().filter(|_| self.is_kept);
        self.connect(match (how % 3, keepsake) {
            (0, Some(keepsake)) => Some(Kept::Live(keepsake)),
            (1, Some(keepsake)) => Some(Kept::Saved(keepsake.to_bytes())),
            _ => None,
        });
    }

    fn client(&mut self, packet: &Packet<'_>) {
        let mut bytes = BytesMut::new();
        wire::encode(packet, self.version, usize::MAX, &mut bytes).expect("it is a good packet");
        self.send(&bytes);
    }

    fn send(&mut self, bytes: &[u8]) {
        if self.ended.is_some() || (self.carrier == Carrier::Messages && !self.client.takes_input()) {
            return;
        }
        // What the client says may end exchanges, as far as the server has not yet been told otherwise.
        self.model.says(bytes, self.version);
        self.input.extend_from_slice(bytes);
        self.settle();
    }

    /// Does what the shell does after each step.
    fn settle(&mut self) {
        loop {
            self.gather();
            if self.ended.is_some() || self.input.is_empty() || !self.client.takes_input() {
                return;
            }
            let before = self.input.len();
            let received = self.client.receive(self.now, &mut self.input, &mut self.out);
            self.gather();
            if let Err(fault) = received {
                self.ended.get_or_insert(fault.0);
            }
            if self.input.len() == before {
                return;
            }
        }
    }

    fn gather(&mut self) {
        self.calls.extend(self.out.calls.drain(..));
        let packets: Vec<Vec<u8>> = self.out.packets.iter().map(<[u8]>::to_vec).collect();
        self.out.packets.clear();
        let is_last = matches!(self.out.then, Then::Close(_));
        for packet in packets {
            self.model.hears(&packet, self.version, self.window);
        }
        self.model.is_over |= is_last;
        if let Then::Close(close) = std::mem::take(&mut self.out.then) {
            self.ended.get_or_insert(close);
        }
    }
}

impl Model {
    /// Takes note of what the client says: acknowledgements that end an exchange.
    fn says(&mut self, bytes: &[u8], version: Version) {
        // Of random bytes the client itself does not know what they are.
        let mut rest = bytes;
        while let Ok(Some((packet, len))) = wire::decode(rest, Some(version), &Limits::default()) {
            match packet {
                Packet::Puback(ack) | Packet::Pubcomp(ack) => self.ends(ack.id.get()),
                Packet::Pubrec(ack) if ack.reason.is_failure() => self.ends(ack.id.get()),
                _ => {}
            }
            rest = &rest[len..];
        }
        if !rest.is_empty() {
            // It may become any packet together with what follows.
            self.open.clear();
            self.under_way.clear();
        }
    }

    fn ends(&mut self, id: u16) {
        self.open.remove(&id);
        self.under_way.remove(&id);
    }

    /// Checks what the client hears.
    fn hears(&mut self, bytes: &[u8], version: Version, window: u16) {
        assert!(!self.is_over, "a packet after the last word");
        let mut rest = bytes;
        while !rest.is_empty() {
            let decoded = wire::decode(rest, Some(version), &Limits::default());
            let Ok(Some((packet, len))) = decoded else { panic!("{decoded:?} in {rest:?}") };
            rest = &rest[len..];
            match packet {
                Packet::Connack(_) => assert!(!std::mem::replace(&mut self.is_in, true), "a second CONNACK"),
                Packet::Publish(publish) => self.is_sent(&publish, window),
                _ => assert!(self.is_in, "{packet:?} before CONNACK"),
            }
        }
    }

    fn is_sent(&mut self, publish: &Publish<'_>, window: u16) {
        assert!(self.is_in, "a message before CONNACK");
        let Some(id) = publish.id else { return };
        let is_known = !self.open.insert(id.get());
        assert!(publish.dup || !is_known, "identifier {id} is in use");
        assert!(self.under_way.insert(id.get()), "identifier {id} was sent twice");
        assert!(self.under_way.len() <= usize::from(window), "more than {window} under way");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_story_keeps_the_rules(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            fuzz_connection(&bytes);
        }
    }
}
