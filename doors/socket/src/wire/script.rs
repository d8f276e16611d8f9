//! Commands into bytes: what a client writes. The command line, the bench and the tests use it.

use bytes::{BufMut, BytesMut};
use yizhan_hub::{
    Content, Credentials, Position, Qos,
    link::{Acked, Durability, Have, Publish, Resume, Start, Subscribe},
    store::Range,
};

use super::{
    Encoding, cbor,
    command::{Command, Greeting, is_text_type},
    event::durability_name,
    json,
    pen::{self, Pen},
};

/// Appends one command. Text and JSON bodies have to be what they say.
pub fn write_command(id: Option<u64>, command: &Command, into: &mut BytesMut, encoding: Encoding) {
    let mut pen = Pen::map(into, encoding);
    let name = match command {
        Command::Hello(_) => "hello",
        Command::Subscribe(_) => "subscribe",
        Command::Unsubscribe(_) => "unsubscribe",
        Command::Publish(_) => "publish",
        Command::Ack(..) => "ack",
        Command::History(..) => "history",
        Command::State(_) => "state",
        Command::Ask(_) => "ask",
        Command::PresenceOfTopic(_) | Command::PresenceOfUser(_) => "presence",
        Command::Time(_) => "time",
        Command::Ping => "ping",
        Command::Network(_) => "network",
        Command::Bye => "bye",
    };
    pen.text("type", name);
    if let Some(id) = id {
        pen.integer("id", id);
    }
    match command {
        Command::Hello(greeting) => hello(greeting, &mut pen),
        Command::Subscribe(wish) => subscribe(wish, &mut pen),
        Command::Unsubscribe(sub) => pen.integer("sub", (*sub).into()),
        Command::Publish(message) => publish(message, &mut pen),
        Command::Ack(sub, acked) => {
            pen.integer("sub", (*sub).into());
            match acked {
                Acked::Number(n) | Acked::One(n) => pen.integer("n", *n),
                Acked::Position(position) => pen.position("pos", position),
            }
        }
        Command::History(topic, range, limit) => {
            pen.text("topic", topic.as_str());
            match range {
                Range::Newest => {}
                Range::Before(before) => pen.integer("before", *before),
                Range::After(after) => pen.integer("after", *after),
                Range::Between(after, before) => {
                    pen.integer("after", *after);
                    pen.integer("before", *before);
                }
                Range::Since(at) => pen.number("since", at.0 as f64 / 1000.0),
            }
            pen.integer("limit", *limit as u64);
        }
        Command::State(filter) => pen.text("filter", filter.as_str()),
        Command::Ask(ask) => {
            pen.text("to", &ask.name);
            if !ask.body.is_empty() {
                data(std::str::from_utf8(&ask.body).unwrap_or_default(), &mut pen);
            }
        }
        Command::PresenceOfTopic(topic) => pen.text("topic", topic.as_str()),
        Command::PresenceOfUser(user) => pen.text("user", user),
        Command::Time(t1) => {
            if let Some(t1) = t1 {
                pen.number("t1", *t1);
            }
        }
        Command::Network(network) => pen.text("network", network.name()),
        Command::Ping | Command::Bye => {}
    }
    pen.end();
}

fn hello(greeting: &Greeting, pen: &mut Pen<'_>) {
    let hello = &greeting.hello;
    match &hello.credentials {
        // The last two never come by these bytes.
        Credentials::None | Credentials::Certificate { .. } | Credentials::Proven => {}
        Credentials::Password { user, password } => {
            pen.text("user", user);
            pen.text("password", password);
        }
        Credentials::Token(token) => pen.text("token", token),
        Credentials::Ticket(ticket) => pen.text("ticket", ticket),
    }
    if let Some(device) = &hello.device {
        pen.text("device", device);
    }
    pen.number("keep", hello.keep.as_secs_f64());
    pen.text("network", greeting.network.name());
    if let Some(client) = &greeting.client {
        pen.text("client", client);
    }
    if let Some(wish) = &hello.resume {
        pen.name("resume");
        resume(wish, pen);
    }
    if let Some(will) = &hello.last_message {
        pen.name("will");
        let mut inner = Pen::map(pen.into, pen.encoding);
        publish(&will.publish, &mut inner);
        inner.end();
    }
}

fn resume(wish: &Resume, pen: &mut Pen<'_>) {
    let encoding = pen.encoding;
    let mut pen = Pen::map(pen.into, encoding);
    pen.text("session", &wish.session.to_string());
    pen.text("secret", &wish.secret);
    pen.array("have", wish.have.len(), &wish.have, |have: &Have, into| {
        let mut pen = Pen::map(into, encoding);
        pen.integer("sub", have.subscription.into());
        if let Some(number) = have.number {
            pen.integer("n", number);
        }
        positions("pos", &have.positions, &mut pen);
        pen.end();
    });
    pen.end();
}

fn positions(name: &'static str, list: &[Position], pen: &mut Pen<'_>) {
    let encoding = pen.encoding;
    pen.array(name, list.len(), list, |place, into| pen::position(place, into, encoding));
}

fn subscribe(wish: &Subscribe, pen: &mut Pen<'_>) {
    pen.integer("sub", wish.id.into());
    pen.text("filter", wish.filter.as_str());
    match &wish.from {
        // This protocol has no word for the second.
        Start::Now | Start::Keep => {}
        Start::Positions(list) => positions("after", list, pen),
        Start::Seq(seq) => pen.integer("seq", *seq),
        Start::Last(last) => pen.integer("last", (*last).into()),
    }
    if wish.with_state {
        pen.flag("state", true);
    }
    if let Some(window) = wish.window {
        pen.integer("window", window.into());
    }
    if wish.no_local {
        pen.flag("no_local", true);
    }
}

fn publish(message: &Publish, pen: &mut Pen<'_>) {
    pen.text("topic", message.topic.as_str());
    if let Some(key) = &message.key {
        pen.text("key", key);
    }
    if let Some(id) = &message.id {
        pen.text("mid", id);
    }
    let text = std::str::from_utf8(&message.body).unwrap_or_default();
    match &message.content {
        Content::Binary if message.body.is_empty() => {}
        Content::Binary => pen.bin("bin", &message.body),
        Content::Text => pen.text("text", text),
        Content::Json => data(text, pen),
        Content::Other(name) => {
            if is_text_type(name) {
                pen.text("text", text);
            } else {
                pen.bin("bin", &message.body);
            }
            pen.text("content", name);
        }
    }
    if !message.headers.is_empty() {
        pen.texts("headers", message.headers.len(), message.headers.iter().map(|(n, v)| (&**n, &**v)));
    }
    if let Some(expires) = message.expires_in {
        pen.number("expires", expires.as_secs_f64());
    }
    if message.wants != Durability::None {
        pen.text("durable", durability_name(message.wants));
    }
    if message.qos != Qos::default() {
        pen.integer("qos", message.qos as u64);
    }
    if let Some(delay) = message.delay {
        pen.number("delay", delay.as_secs_f64());
    }
}

fn data(text: &str, pen: &mut Pen<'_>) {
    pen.name("data");
    match pen.encoding {
        Encoding::Json => json::write_on_one_line(text.as_bytes(), pen.into),
        Encoding::Cbor => {
            let mut item = BytesMut::new();
            // What is not JSON after all is said as nothing.
            if cbor::translate::from_json(text, &mut item).is_err() {
                item.clear();
                item.put_u8(0xf6);
            }
            pen.into.put_slice(&item);
        }
    }
}
