//! The protocol's rules, each as a story.

mod clock;
mod delivering;
mod input;
mod opening;
mod publishing;
mod resuming;
mod subscribing;

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use bytes::BytesMut;
use yizhan_hub::{
    Answer, Batch, Call, Credentials, Delivery, Keepsake, Message, Position, Principal, Qos, Record, Refused,
    SessionId, SpaceId, StoreError, Topic,
    access::Rates,
    link::{Acked, Durability, Kept, Opened, Publish as HubPublish, Receipt, Start},
    message::{RETAINED, Sender},
    store::Missed,
};
use yizhan_talk::{
    Close, Connection as _, Timestamp,
    script::{Script, Scripted},
};

use super::{Carrier, Connection};
use crate::{
    Config, Terms,
    session::Session,
    wire::{
        self, Packet, PacketId, Reason, Version,
        packet::{
            Auth, Connack, Connect, Disconnect, Hidden, Options, Publish, Reasons, RetainHandling, Subscribe,
            Unsubscribe, Will,
        },
        properties::{
            AckProperties, AuthProperties, ConnackProperties, ConnectProperties, DisconnectProperties,
            PublishProperties, SubscribeProperties, SubscriptionIdentifier, UnsubscribeProperties,
            WillProperties,
        },
    },
};
use Version::{V4, V5};

type Client = Connection<Scripted<Call, Answer, Delivery>>;
type Story = Script<Client>;

const QOS0: Qos = Qos::AtMostOnce;
const QOS1: Qos = Qos::AtLeastOnce;
const QOS2: Qos = Qos::ExactlyOnce;
const HOUR: Duration = Duration::from_secs(3600);
const BOTH: [Version; 2] = [V4, V5];

fn terms(config: Config) -> Arc<Terms> {
    let keep_max = Duration::from_secs(7 * 24 * 3600);
    Arc::new(Terms::new(config, "yizhan/test".into(), keep_max, Arc::default(), Arc::default()).unwrap())
}

/// A client that has said nothing.
fn silent(config: Config) -> Story {
    let terms = terms(config);
    Script::new(|now| Client::new(now, terms, Carrier::Stream, None))
}

fn bytes(version: Version, packet: &Packet<'_>) -> Vec<u8> {
    let mut into = BytesMut::new();
    wire::encode(packet, version, usize::MAX, &mut into).unwrap();
    into.to_vec()
}

fn connect(version: Version) -> Connect<'static> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 0,
        properties: ConnectProperties::default(),
        client_id: "c1",
        will: None,
        user_name: None,
        password: None,
    }
}

fn connecting(connect: Connect<'_>) -> Vec<u8> {
    let version = connect.version;
    bytes(version, &Packet::Connect(Box::new(connect)))
}

fn opened(keep: Duration, resumed: bool) -> Opened {
    let principal = Principal {
        user: "ann".into(),
        device: None,
        roles: Arc::default(),
        expires_at: None,
        rates: Rates::default(),
    };
    Opened {
        session: SessionId(0x3f),
        secret: "".into(),
        principal: Arc::new(principal),
        resumed,
        keep,
        subscriptions: Vec::new(),
        kept: None,
        place: Default::default(),
    }
}

fn welcome(keep: Duration) -> Answer {
    Answer::Opened(Box::new(opened(keep, false)))
}

/// A client with a session that ends with its connection.
fn open(version: Version) -> Story {
    open_with(connect(version), Config::default(), Duration::ZERO)
}

/// A client with a session that outlives its connection.
fn open_kept(version: Version) -> Story {
    open_with(keeping(version), Config::default(), HOUR)
}

fn keeping(version: Version) -> Connect<'static> {
    let session_expiry = (version == V5).then_some(3600);
    let properties = ConnectProperties { session_expiry, ..ConnectProperties::default() };
    Connect { clean_start: false, properties, ..connect(version) }
}

fn open_with(connect: Connect<'_>, config: Config, keep: Duration) -> Story {
    silent(config)
        .client(connecting(connect))
        .asked(|call| assert!(matches!(call, Call::Hello(_)), "{call:?}"))
        .backend(welcome(keep))
        .hears(|packet| assert_eq!(packet[..1], [0x20], "CONNACK"))
}

fn pid(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn publish(qos: Qos, id: u16, topic: &'static str, payload: &'static [u8]) -> Publish<'static> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        id: PacketId::new(id).filter(|_| qos != QOS0),
        properties: PublishProperties::default(),
        payload,
    }
}

fn publishing(version: Version, publish: Publish<'_>) -> Vec<u8> {
    bytes(version, &Packet::Publish(publish))
}

fn puback(id: u16) -> Vec<u8> {
    vec![0x40, 2, (id >> 8) as u8, id as u8]
}

fn pubrec(id: u16) -> Vec<u8> {
    vec![0x50, 2, (id >> 8) as u8, id as u8]
}

fn pubrel(id: u16) -> Vec<u8> {
    vec![0x62, 2, (id >> 8) as u8, id as u8]
}

fn pubcomp(id: u16) -> Vec<u8> {
    vec![0x70, 2, (id >> 8) as u8, id as u8]
}

const PINGREQ: [u8; 2] = [0xc0, 0];
const PINGRESP: [u8; 2] = [0xd0, 0];

fn subscribing(version: Version, id: u16, filters: &[(&'static str, Options)]) -> Vec<u8> {
    let filters = filters.to_vec();
    bytes(
        version,
        &Packet::Subscribe(Subscribe { id: pid(id), properties: SubscribeProperties::default(), filters }),
    )
}

fn at_most(qos: Qos) -> Options {
    Options { qos, ..Options::default() }
}

fn suback(version: Version, id: u16, reasons: &[Reason]) -> Vec<u8> {
    let (properties, reasons) = (AckProperties::default(), reasons.to_vec());
    bytes(version, &Packet::Suback(Reasons { id: pid(id), properties, reasons }))
}

fn subscribed(id: u32) -> Answer {
    Answer::Subscribed { id, heads: Vec::new(), missed: Missed::NONE }
}

/// A client with one subscription, number 1, to `t/#`.
fn listening(story: Story, version: Version, qos: Qos) -> Story {
    listening_with(story, version, at_most(qos))
}

fn listening_with(story: Story, version: Version, options: Options) -> Story {
    let is_kept = story.peek(|connection| connection.is_kept);
    let story = story
        .client(subscribing(version, 1, &[("t/#", options)]))
        .asked(|call| assert!(matches!(call, Call::Subscribe(_)), "{call:?}"))
        .backend(subscribed(1));
    let story = if is_kept { story.asked(is_save).backend(Answer::Done) } else { story };
    let reason = [Reason::Success, Reason::GrantedQos1, Reason::GrantedQos2][options.qos as usize];
    let story = story.server(suback(version, 1, &[reason]));
    if options.retain_handling == RetainHandling::Keep {
        return story;
    }
    story.deliver([Delivery::StateEnd { subscription: 1 }])
}

fn is_save(call: Call) {
    assert!(matches!(call, Call::Save), "{call:?}");
}

fn acks(subscription: u32, acked: Acked) -> impl FnOnce(Call) {
    move |call| match call {
        Call::Ack(of, what) => assert_eq!((of, what), (subscription, acked)),
        call => panic!("{call:?}"),
    }
}

fn published(call: Call) -> HubPublish {
    match call {
        Call::Publish(publish) => publish,
        call => panic!("{call:?}"),
    }
}

fn receipt() -> Answer {
    Answer::Published(Receipt {
        position: None,
        seq: 0,
        at: Timestamp::from_millis(0),
        durability: Durability::None,
        duplicate: false,
    })
}

fn position(offset: u64) -> Position {
    Position { space: SpaceId(1), lane: 0, epoch: 7, offset }
}

fn message(topic: &str, qos: Qos, body: &'static [u8]) -> Message {
    Message {
        topic: Topic::new(topic).unwrap(),
        key: None,
        id: None,
        from: Sender { user: "ann".into(), device: None, session: SessionId(1) },
        content: Default::default(),
        headers: Default::default(),
        body: body.into(),
        expires_at: None,
        qos,
    }
}

/// When records of these stories were published: just after the clients came.
const AT: Timestamp = Timestamp::from_millis(1_767_225_600_001);

fn unkept(qos: Qos, body: &'static [u8]) -> Arc<Record> {
    Arc::new(Record::new(None, 0, AT, message("t/1", qos, body)))
}

fn kept(offset: u64, qos: Qos, body: &'static [u8]) -> Arc<Record> {
    Arc::new(Record::new(Some(position(offset)), offset, AT, message("t/1", qos, body)))
}

fn delivery(number: u64, record: &Arc<Record>) -> Delivery {
    Delivery::Record { subscription: 1, number, record: record.clone() }
}

fn batch(number: u64, records: &[Arc<Record>]) -> Delivery {
    let batch = Batch::cut(records).next().unwrap();
    assert_eq!(batch.records().len(), records.len());
    Delivery::Batch { subscription: 1, number, batch }
}

/// What the client hears of a record.
fn heard(version: Version, qos: Qos, id: u16, payload: &'static [u8]) -> Vec<u8> {
    publishing(version, publish(qos, id, "t/1", payload))
}

fn again(mut packet: Vec<u8>) -> Vec<u8> {
    packet[0] |= 8;
    packet
}

fn retained(mut packet: Vec<u8>) -> Vec<u8> {
    packet[0] |= 1;
    packet
}

/// Checks DISCONNECT's reason; its text is for people.
fn disconnects(reason: Reason) -> impl FnOnce(&[u8]) {
    move |packet| {
        let decoded = wire::decode(packet, Some(V5), &wire::Limits::default()).unwrap();
        match decoded {
            Some((Packet::Disconnect(said), _)) => assert_eq!(said.reason, reason, "{said:?}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Checks CONNACK's reason.
fn refuses(version: Version, reason: Reason) -> impl FnOnce(&[u8]) {
    move |packet| {
        let decoded = wire::decode(packet, Some(version), &wire::Limits::default()).unwrap();
        match decoded {
            Some((Packet::Connack(connack), _)) => {
                assert_eq!((connack.session_present, connack.reason), (false, reason), "{connack:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Checks an acknowledgement's kind, identifier and reason.
fn acknowledges(kind: wire::Kind, id: u16, reason: Reason) -> impl FnOnce(&[u8]) {
    move |packet| {
        let decoded = wire::decode(packet, Some(V5), &wire::Limits::default()).unwrap();
        match decoded {
            Some((
                Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack),
                _,
            )) => {
                assert_eq!((ack.id, ack.reason), (pid(id), reason));
                assert_eq!(packet[0] >> 4, kind as u8);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A client that comes back to a session which `kept` is of.
fn come_back(version: Version, session: Kept) -> Story {
    let mut opened = opened(HOUR, true);
    opened.kept = Some(session);
    opened.subscriptions = vec![(1, yizhan_hub::Filter::new("t/#").unwrap(), Missed::NONE)];
    silent(Config::default())
        .client(connecting(keeping(version)))
        .asked(drop)
        .backend(Answer::Opened(Box::new(opened)))
        .hears(|packet| assert_eq!((packet[0], packet[2]), (0x20, 1), "the session is present"))
}

/// The session's memory as it lives on.
fn live(story: &Story) -> Kept {
    Kept::Live(story.peek(|connection| connection.session.clone().unwrap()))
}

/// The session's memory as it was written.
fn saved(story: &Story) -> Kept {
    Kept::Saved(story.peek(|connection| connection.session.as_ref().unwrap().to_bytes()))
}

#[test]
fn an_idle_client_is_small() {
    let connection = size_of::<Client>();
    let session = size_of::<Session>();
    println!("a connection has {connection} bytes, a session's memory {session}");
    assert!(connection <= 320, "{connection}");
    assert!(session <= 224, "{session}");
    let story = listening(open(V5), V5, QOS1);
    story.look(|connection, _| {
        assert!(connection.desk.is_none(), "nothing lies on the desk");
        assert!(connection.pending.capacity() <= 8 && connection.waiting.is_empty());
    });
}
