//! The talk of a bridge, told as scripts: the hub and the other broker are played by the test.

mod inward;
mod opening;
mod outward;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use proptest::prelude::*;
use yizhan_hub::{
    Content, Credentials, Filter, Headers, Message, Position, Principal, Qos, Record, Sender, SpaceId, Topic,
    link::{Durability, KeepsakePlace, Kept, Opened, Receipt},
    store::Missed,
};
use yizhan_talk::{
    Timestamp,
    script::{Script, Scripted},
};

use super::*;
use crate::{
    bridge::config::{Config, Protocol, Rule},
    wire::{
        packet::{Connack, Publish, Reasons},
        properties::{AckProperties, ConnackProperties, PublishProperties},
    },
};

type Scene = Script<Bridge<Scripted<Ranked<Call>, Ranked<Answer>, Ranked<Delivery>>>>;

/// The session of rank `rank`.
fn session(rank: usize) -> SessionId {
    SessionId(100 + rank as u64)
}

fn rule(filter: &str, qos: u8, priority: u8) -> Rule {
    Rule { filter: filter.into(), local_prefix: "l/".into(), remote_prefix: "r/".into(), qos, priority }
}

fn config(out: Vec<Rule>, into: Vec<Rule>) -> Config {
    Config { address: "broker.test:1883".into(), out, into, ..Config::default() }
}

/// A bridge over several connections, with what it and the hub remember between them.
struct World {
    setup: Arc<Setup>,
    status: Arc<Status>,
    /// What the line was told to be.
    told: Arc<Mutex<Vec<bool>>>,
    /// The keepsakes of the hub's sessions, by rank, once they are there.
    kept: Vec<Option<Kept>>,
    /// Where a bridge puts one that it has made of bytes.
    places: Vec<KeepsakePlace>,
    /// What the hub's sessions are subscribed to.
    subscriptions: Vec<Vec<(SubscriptionId, Filter, Missed)>>,
}

impl World {
    fn new(config: &Config) -> Self {
        let setup = Setup::new("cloud", "edge", config, Arc::new(|_| Credentials::None)).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        let count = setup.paths.out.len() + 1;
        Self {
            setup: Arc::new(setup),
            status: Arc::new(Status::new(move |is_up| telling.lock().push(is_up))),
            told,
            kept: vec![None; count],
            places: (0..count).map(|_| KeepsakePlace::default()).collect(),
            subscriptions: vec![Vec::new(); count],
        }
    }

    /// A connection that has begun to speak.
    fn begin(&self) -> Scene {
        Script::new(|now| Bridge::new(now, self.setup.clone(), self.status.clone())).pass(Duration::ZERO)
    }

    /// Opens a connection up to CONNECT, which the test may look at.
    fn connect(&mut self) -> Scene {
        let mut scene = self.begin();
        for rank in 0..self.kept.len() {
            let kept = self.kept[rank].clone();
            let resumed = kept.is_some();
            let subscriptions = self.subscriptions[rank].clone();
            let mut given = None;
            scene = scene.asked(|call| {
                assert_eq!(call.rank, rank);
                let Call::Hello(hello) = call.what else { panic!("{:?}", call.what) };
                assert_eq!(*hello.name.unwrap().name, *self.setup.session_name(rank));
                given = hello.keepsake;
            });
            if !resumed {
                self.kept[rank] = given.map(Kept::Live);
            }
            self.places[rank] = KeepsakePlace::default();
            let place = self.places[rank].clone();
            scene = scene.backend(opened(rank, resumed, subscriptions, kept, place));
            self.kept[rank] = self.places[rank].get().map(Kept::Live).or_else(|| self.kept[rank].take());
        }
        for rank in 0..self.kept.len() - 1 {
            let mut id = 0;
            for path in &self.setup.paths.out[rank].paths {
                scene = scene.asked(|call| {
                    let Call::Subscribe(wish) = call.what else { panic!("{:?}", call.what) };
                    assert_eq!((call.rank, &wish.filter), (rank, &path.filter));
                    id = wish.id;
                    let known = self.subscriptions[rank].iter().any(|(id, ..)| *id == wish.id);
                    if !known {
                        self.subscriptions[rank].push((wish.id, wish.filter.clone(), Missed::NONE));
                    }
                });
                let subscribed = Answer::Subscribed { id, heads: Vec::new(), missed: Missed::NONE };
                scene = scene.backend(Ranked::new(rank, subscribed));
            }
        }
        scene
    }

    /// A connection that is up, with a session present at the other broker or not; subscriptions there are
    /// answered.
    fn up(&mut self, present: bool) -> Scene {
        let mut scene = self.connect().hears(|packet| assert_eq!(packet[0], 0x10));
        scene = scene.client(self.bytes(&connack(present)));
        for _ in 0..scene.peek(|bridge| bridge.subscribing.len()) {
            let mut answer = Vec::new();
            scene = scene.hears(|bytes| {
                let Packet::Subscribe(subscribe) = self.read(bytes) else { panic!() };
                let reasons = subscribe.filters.iter().map(|_| Reason::GrantedQos2).collect();
                let properties = AckProperties::default();
                answer = self.bytes(&Packet::Suback(Reasons { id: subscribe.id, properties, reasons }));
            });
            let main = self.kept.len() - 1;
            scene = scene.client(answer).asked(is_save(main)).backend(Ranked::new(main, Answer::Done));
        }
        scene
    }

    /// The server was killed: what was saved is left.
    fn restart(&mut self) {
        for kept in &mut self.kept {
            if let Some(Kept::Live(keepsake)) = kept {
                *kept = Some(Kept::Saved(keepsake.to_bytes()));
            }
        }
    }

    fn bytes(&self, packet: &Packet<'_>) -> Vec<u8> {
        let mut into = BytesMut::new();
        wire::encode(packet, self.setup.version, usize::MAX, &mut into).unwrap();
        into.to_vec()
    }

    fn read<'a>(&self, bytes: &'a [u8]) -> Packet<'a> {
        let version = (bytes[0] >> 4 != 1).then_some(self.setup.version);
        let (packet, len) = wire::decode(bytes, version, &Limits::default()).unwrap().unwrap();
        assert_eq!(len, bytes.len(), "one packet at a time");
        packet
    }

    /// The next packet is this acknowledgement.
    #[track_caller]
    fn hears(&self, scene: Scene, packet: &Packet<'_>) -> Scene {
        let expected = self.bytes(packet);
        scene.hears(|bytes| assert_eq!(self.read(bytes), self.read(&expected)))
    }
}

fn opened(
    rank: usize,
    resumed: bool,
    subscriptions: Vec<(SubscriptionId, Filter, Missed)>,
    kept: Option<Kept>,
    place: KeepsakePlace,
) -> Ranked<Answer> {
    let principal = Principal {
        user: "$local".into(),
        device: None,
        roles: Arc::default(),
        expires_at: None,
        rates: yizhan_hub::access::Rates::default(),
    };
    let opened = Opened {
        session: session(rank),
        secret: "s".into(),
        principal: Arc::new(principal),
        resumed,
        keep: Duration::from_secs(60),
        subscriptions,
        kept,
        place,
    };
    Ranked::new(rank, Answer::Opened(Box::new(opened)))
}

fn connack(session_present: bool) -> Packet<'static> {
    let (reason, properties) = (Reason::Success, ConnackProperties::default());
    Packet::Connack(Box::new(Connack { session_present, reason, properties }))
}

fn is_save(rank: usize) -> impl FnOnce(Ranked<Call>) {
    move |call| assert!(matches!(call, Ranked { rank: r, what: Call::Save } if r == rank), "{call:?}")
}

fn is_ack(rank: usize, id: SubscriptionId, number: u64) -> impl FnOnce(Ranked<Call>) {
    move |call| {
        let Call::Ack(subscription, acked) = call.what else { panic!("{:?}", call.what) };
        assert_eq!((call.rank, subscription, acked), (rank, id, Acked::Number(number)));
    }
}

fn done(rank: usize) -> Ranked<Answer> {
    Ranked::new(rank, Answer::Done)
}

fn published() -> Answer {
    Answer::Published(Receipt {
        position: None,
        seq: 0,
        at: Timestamp(0),
        durability: Durability::None,
        duplicate: false,
    })
}

fn ack(id: u16, reason: Reason) -> wire::packet::Ack<'static> {
    wire::packet::Ack::new(PacketId::new(id).unwrap(), reason)
}

/// A record of a kept space, at this place.
fn record_of(topic: &str, offset: u64, change: impl FnOnce(&mut Message)) -> Arc<Record> {
    let mut message = Message {
        topic: Topic::new(topic).unwrap(),
        key: None,
        id: None,
        from: Sender { user: "u".into(), device: None, session: SessionId(1) },
        content: Content::Binary,
        headers: Headers::default(),
        body: Bytes::from(format!("body {offset}")),
        expires_at: None,
        qos: Qos::default(),
    };
    change(&mut message);
    let position = Position { space: SpaceId(1), lane: 0, epoch: 1, offset };
    Arc::new(Record::new(Some(position), offset, Timestamp(offset), message))
}

fn record(topic: &str, offset: u64) -> Arc<Record> {
    record_of(topic, offset, |_| {})
}

fn delivery(rank: usize, number: u64, record: &Arc<Record>) -> Ranked<Delivery> {
    Ranked::new(rank, Delivery::Record { subscription: 1, number, record: record.clone() })
}

fn seen(packet: &Packet<'_>) -> (bool, Qos, String, u16, String) {
    let Packet::Publish(p) = packet else { panic!("{packet:?}") };
    let body = String::from_utf8_lossy(p.payload).into_owned();
    (p.dup, p.qos, p.topic.to_owned(), p.id.map_or(0, PacketId::get), body)
}

/// The next packet is this PUBLISH: is it a repetition, QoS, topic, identifier, body.
#[track_caller]
fn hears_publish(world: &World, scene: Scene, expected: (bool, Qos, &str, u16, &str)) -> Scene {
    let (dup, qos, topic, id, body) = expected;
    scene.hears(|bytes| {
        assert_eq!(seen(&world.read(bytes)), (dup, qos, topic.to_owned(), id, body.to_owned()))
    })
}

proptest! {
    #[test]
    fn any_bytes_of_the_other_broker_pass(bytes: Vec<u8>, is_v4: bool, is_up: bool) {
        let protocol = if is_v4 { Protocol::V4 } else { Protocol::V5 };
        let config = Config { protocol, ..config(vec![rule("#", 2, 0)], vec![rule("#", 2, 0)]) };
        let mut world = World::new(&config);
        let scene = if is_up { world.up(false) } else { world.connect() };
        let scene = scene.client(&bytes);
        prop_assert!(scene.is_over() || scene.peek(|bridge| bridge.takes_input()));
    }
}
