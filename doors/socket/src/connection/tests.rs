//! The protocol's rules, each as a story.

mod commands;
mod deliveries;
mod heartbeat;
mod hello;
mod input;
mod properties;
mod streams;

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use proptest::prelude::*;
use yizhan_hub::{
    Answer, Batch, Call, Content, Credentials, Delivery, Message, Position, Principal, Record, Refused,
    SessionId, SpaceId, Topic,
    access::Rates,
    link::{Acked, Durability, Opened, Present, Receipt, Start},
    message::Sender,
    store::{Missed, Page},
};
use yizhan_talk::{
    Close, Connection as _, Timestamp,
    script::{Script, Scripted},
};

use super::Connection;
use crate::{
    Config, Terms,
    connection::trail::Trail,
    wire::{Encoding, command::Network},
};

type Client = Connection<Scripted<Call, Answer, Delivery>>;

fn terms() -> Arc<Terms> {
    Arc::new(Terms { config: Config::default(), server: "yizhan/test".into(), subscriptions_max: 10_000 })
}

/// A client over WebSocket that has said nothing.
fn silent() -> Script<Client> {
    Script::new(|now| Client::messages(now, terms(), Encoding::Json))
}

/// A client over WebSocket with CBOR that has said nothing.
fn silent_cbor() -> Script<Client> {
    Script::new(|now| Client::messages(now, terms(), Encoding::Cbor))
}

/// A client over TCP that has said nothing.
fn lines() -> Script<Client> {
    Script::new(|now| Client::lines(now, terms()))
}

fn opened() -> Opened {
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
        resumed: false,
        keep: Duration::ZERO,
        subscriptions: Vec::new(),
        kept: None,
        place: Default::default(),
    }
}

fn welcomed() -> Answer {
    Answer::Opened(Box::new(opened()))
}

const WELCOME: &str = r#"{"type":"welcome","re":1,"session":"000000000000003f","user":"ann","resumed":false,"keep":0,"heartbeat":45,"server":"yizhan/test","at":1767225600000,"limits":{"frame":1048576,"subscriptions":10000}}"#;

/// A client over WebSocket that was welcomed.
fn open() -> Script<Client> {
    silent().client(r#"{"type":"hello","id":1}"#).asked(drop).backend(welcomed()).server(WELCOME)
}

fn kept(seq: u64) -> Answer {
    Answer::Published(Receipt {
        position: Some(position(seq)),
        seq,
        at: Timestamp::from_millis(1_790_000_000_123),
        durability: Durability::Disk,
        duplicate: false,
    })
}

fn position(offset: u64) -> Position {
    Position { space: SpaceId(1), lane: 0, epoch: 0x5f3a, offset }
}

fn record(topic: &str, seq: u64, content: Content, body: impl Into<bytes::Bytes>) -> Arc<Record> {
    let from = Sender { user: "ann".into(), device: Some("phone".into()), session: SessionId(0x3f) };
    let message = Message {
        topic: Topic::new(topic).unwrap(),
        key: None,
        id: None,
        from,
        content,
        headers: Default::default(),
        body: body.into(),
        expires_at: None,
        qos: yizhan_hub::Qos::default(),
    };
    let place = (seq > 0).then(|| position(seq));
    Arc::new(Record::new(place, seq, Timestamp::from_millis(1_790_000_000_123), message))
}

fn delivery(subscription: u32, number: u64, record: &Arc<Record>) -> Delivery {
    Delivery::Record { subscription, number, record: record.clone() }
}

fn json(packet: &[u8]) -> serde_json::Value {
    serde_json::from_slice(packet).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(packet)))
}

/// Checks the next packet's `type`, and one more field.
fn says(kind: &'static str, field: &'static str, value: impl Into<serde_json::Value>) -> impl FnOnce(&[u8]) {
    let value = value.into();
    move |packet| {
        let event = json(packet);
        assert_eq!((&event["type"], &event[field]), (&kind.into(), &value), "{event}");
    }
}

fn closes(code: u16) -> impl FnOnce(&[u8]) {
    says("close", "code", code)
}
