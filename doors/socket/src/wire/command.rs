//! What a client may say, typed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use yizhan_hub::{
    Content, Credentials, Filter, Headers, Qos, Refused, SessionId, Topic,
    link::{Acked, Durability, Have, Hello, Publish, Resume, Start, Subscribe, SubscriptionId},
    service::Ask,
    store::Range,
};

use super::{
    Wrong,
    fields::{Fields, INTEGER_MAX, Key, Value, missing, one_too_many},
};

/// Bytes of a message's key.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a client's own message id.
pub const MID_BYTES_MAX: usize = 128;
/// Bytes of all header names and values of a message together.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;
/// Headers of a message.
pub const HEADERS_MAX: usize = 64;
/// Bytes of a media type.
pub const CONTENT_BYTES_MAX: usize = 128;
/// Bytes of a device's name.
pub const DEVICE_BYTES_MAX: usize = 64;
/// Bytes of the name a client program gives itself.
const CLIENT_BYTES_MAX: usize = 128;
/// Bytes of the name of a service and what is asked of it.
pub const TO_BYTES_MAX: usize = 128;
/// What has to stand there.
pub(crate) const TO_EXPECTED: &str =
    "a service and what is asked of it, such as im/history, of at most 128 bytes";
/// Bytes of an account's name in a question about presence.
const USER_BYTES_MAX: usize = 256;
/// Records in one page of history.
pub const PAGE_RECORDS_MAX: u64 = 1000;
/// Records in one page of history where the client names no number.
pub const PAGE_RECORDS: usize = 50;
/// Deliveries a client may let itself have without an ack.
pub const WINDOW_MAX: u64 = 10_000;

/// One command.
#[derive(Debug)]
pub enum Command {
    /// Who I am.
    Hello(Box<Greeting>),
    /// Let me hear this.
    Subscribe(Box<Subscribe>),
    /// No more of this.
    Unsubscribe(SubscriptionId),
    /// Send this.
    Publish(Publish),
    /// I have everything up to here.
    Ack(SubscriptionId, Acked),
    /// A page of a topic's past: which records, and how many.
    History(Topic, Range, usize),
    /// The newest record of each key.
    State(Filter),
    /// A question to a service.
    Ask(Ask),
    /// Who listens to this topic.
    PresenceOfTopic(Topic),
    /// Whether this user is here.
    PresenceOfUser(Arc<str>),
    /// What time it is; with the client's own time, ms.
    Time(Option<f64>),
    /// Are you there?
    Ping,
    /// My network changed.
    Network(Network),
    /// I go, and my session ends.
    Bye,
}

/// What a `hello` says.
#[derive(Debug)]
pub struct Greeting {
    /// What the hub hears of it.
    pub hello: Hello,
    /// Which network the client is in.
    pub network: Network,
    /// The client program, for the log.
    pub client: Option<Arc<str>>,
}

/// The kind of network a client is in: it decides the heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// A steady one.
    #[default]
    Wifi,
    /// A mobile one, whose translators forget quiet connections early.
    Cellular,
    /// A thing that sleeps most of the time.
    Iot,
}

impl Network {
    /// As commands write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wifi => "wifi",
            Self::Cellular => "cellular",
            Self::Iot => "iot",
        }
    }

    /// From its name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        [Self::Wifi, Self::Cellular, Self::Iot].into_iter().find(|network| network.name() == name)
    }
}

/// Reads a command out of its fields: its `id`, as far as there is one, and the command.
pub(crate) fn build<'a, V: Value<'a>>(fields: &Fields<V>) -> (Option<u64>, Result<Command, Wrong>) {
    match fields.integer(Key::Id, 0..=INTEGER_MAX, "a whole number from 0 to 2^53 - 1") {
        Ok(id) => (id, command(fields)),
        Err(wrong) => (None, Err(wrong)),
    }
}

fn command<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Command, Wrong> {
    let name = fields.string(Key::Type)?.ok_or_else(|| missing(Key::Type))?;
    Ok(match &*name {
        "publish" => Command::Publish(publish(fields)?),
        "ack" => ack(fields)?,
        "ping" => Command::Ping,
        "ask" => Command::Ask(ask(fields)?),
        "subscribe" => Command::Subscribe(Box::new(subscribe(fields)?)),
        "unsubscribe" => Command::Unsubscribe(sub(fields)?),
        "history" => history(fields)?,
        "state" => Command::State(fields.filter()?),
        "presence" => presence(fields)?,
        "time" => Command::Time(fields.read(Key::T1, "a number", Value::number)?),
        "network" => Command::Network(network(fields)?.ok_or_else(|| missing(Key::Network))?),
        "hello" => Command::Hello(Box::new(greeting(fields)?)),
        "bye" => Command::Bye,
        _ => return Err(Wrong::UnknownCommand),
    })
}

fn sub<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<SubscriptionId, Wrong> {
    let id = fields.integer(Key::Sub, 0..=u64::from(u32::MAX), "a whole number from 0 to 2^32 - 1")?;
    // The range makes it fit.
    id.map(|id| id as SubscriptionId).ok_or_else(|| missing(Key::Sub))
}

/// Reads a message to publish, from a `publish` or a `will`.
pub(crate) fn publish<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Publish, Wrong> {
    let topic = fields.topic()?.ok_or_else(|| missing(Key::Topic))?;
    let key = fields.shared(Key::Key)?;
    let id = fields.shared(Key::Mid)?;
    let longer = |text: &Option<Arc<str>>, max| text.as_ref().is_some_and(|text| text.len() > max);
    if longer(&key, KEY_BYTES_MAX) || longer(&id, MID_BYTES_MAX) {
        return Err(Wrong::Refused(Refused::HeadersTooLarge));
    }
    let (content, body) = body(fields)?;
    let wants = fields
        .read(Key::Durable, "'none', 'memory' or 'disk'", |value| durability(&value.string()?))?
        .unwrap_or_default();
    let qos = fields.read(Key::Qos, "0, 1 or 2", |value| qos(value.integer()?))?.unwrap_or_default();
    Ok(Publish {
        topic,
        key,
        id,
        content,
        headers: headers(fields)?,
        body,
        expires_in: fields.duration(Key::Expires)?,
        wants,
        qos,
        delay: fields.duration(Key::Delay)?,
    })
}

/// A quality of service by MQTT's number.
pub(crate) fn qos(number: u64) -> Option<Qos> {
    match number {
        0 => Some(Qos::AtMostOnce),
        1 => Some(Qos::AtLeastOnce),
        2 => Some(Qos::ExactlyOnce),
        _ => None,
    }
}

/// A durability by its name.
pub(crate) fn durability(name: &str) -> Option<Durability> {
    match name {
        "none" => Some(Durability::None),
        "memory" => Some(Durability::Memory),
        "disk" => Some(Durability::Disk),
        _ => None,
    }
}

fn body<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<(Content, Bytes), Wrong> {
    let text = fields.string(Key::Text)?;
    let bin = fields.read(Key::Bin, "bytes (base64 in JSON)", Value::bin)?;
    let data = data(fields)?;
    let media_type = fields.string(Key::Content)?;
    if usize::from(text.is_some()) + usize::from(bin.is_some()) + usize::from(data.is_some()) > 1 {
        return Err(one_too_many(Key::Data, "only one of data, text and bin"));
    }
    if let Some(body) = data {
        return match media_type {
            None => Ok((Content::Json, body)),
            Some(_) => Err(one_too_many(Key::Content, "to be left out with data")),
        };
    }
    let (body, is_text) = match (text, bin) {
        (Some(text), _) => (Bytes::copy_from_slice(text.as_bytes()), true),
        (None, bin) => (bin.unwrap_or_default(), false),
    };
    Ok((content_of(media_type.as_deref(), is_text)?, body))
}

/// A JSON value, as text.
fn data<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Option<Bytes>, Wrong> {
    let data = fields.read(Key::Data, "a JSON value", |value| Some(value.json()))?;
    data.transpose().map_err(|expected| Wrong::Field { name: "data", expected })
}

/// How a body is to be read that came as text or as bytes, with or without a media type.
pub(crate) fn content_of(media_type: Option<&str>, is_text: bool) -> Result<Content, Wrong> {
    let wrong = |expected| Wrong::Field { name: "content", expected };
    Ok(match media_type {
        None if is_text => Content::Text,
        None => Content::Binary,
        Some(name) if name.len() > CONTENT_BYTES_MAX || !name.bytes().all(|b| (b' '..0x7f).contains(&b)) => {
            return Err(wrong("a media type of at most 128 characters"));
        }
        Some("text/plain") if is_text => Content::Text,
        Some("application/octet-stream") if !is_text => Content::Binary,
        Some(name) if is_text && !is_text_type(name) => return Err(wrong("a text/… media type for a text")),
        Some(name) => Content::Other(name.into()),
    })
}

/// Whether a body of this media type travels as `text`.
pub(crate) fn is_text_type(media_type: &str) -> bool {
    media_type.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"))
}

fn headers<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Headers, Wrong> {
    let mut headers: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    let mut bytes = 0;
    let wrong = Wrong::Field { name: "headers", expected: "an object whose values are strings" };
    let Some(entries) = fields.read(Key::Headers, "an object whose values are strings", Value::entries)?
    else {
        return Ok(Headers::default());
    };
    for (name, value) in entries {
        let Some(value) = value.string() else { return Err(wrong) };
        bytes += name.len() + value.len();
        if bytes > HEADER_BYTES_MAX || headers.len() == HEADERS_MAX {
            return Err(Wrong::Refused(Refused::HeadersTooLarge));
        }
        headers.retain(|(there, _)| **there != *name);
        headers.push((name.into(), value.into()));
    }
    Ok(headers.into())
}

fn subscribe<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Subscribe, Wrong> {
    if usize::from(fields.has(Key::After))
        + usize::from(fields.has(Key::Seq))
        + usize::from(fields.has(Key::Last))
        > 1
    {
        return Err(one_too_many(Key::After, "only one of after, seq and last"));
    }
    let last = fields.integer(Key::Last, 0..=PAGE_RECORDS_MAX, "a whole number from 0 to 1000")?;
    let from = if let Some(positions) = fields.positions(Key::After)? {
        Start::Positions(positions)
    } else if let Some(seq) = fields.integer(Key::Seq, 0..=INTEGER_MAX, "a whole number")? {
        Start::Seq(seq)
    } else if let Some(last) = last {
        // The range makes it fit.
        Start::Last(last as u32)
    } else {
        Start::Now
    };
    let window = fields.integer(Key::Window, 1..=WINDOW_MAX, "a whole number from 1 to 10000")?;
    Ok(Subscribe {
        from,
        with_state: fields.flag(Key::State)?,
        window: window.map(|window| window as u32),
        no_local: fields.flag(Key::NoLocal)?,
        ..Subscribe::new(sub(fields)?, fields.filter()?)
    })
}

fn ack<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Command, Wrong> {
    let number = fields.integer(Key::N, 0..=INTEGER_MAX, "a whole number")?;
    let position = fields.read(Key::Pos, "a position", |value| value.string()?.parse().ok())?;
    let acked = match (number, position) {
        (Some(number), None) => Acked::Number(number),
        (None, Some(position)) => Acked::Position(position),
        (Some(_), Some(_)) => return Err(one_too_many(Key::N, "only one of n and pos")),
        (None, None) => return Err(missing(Key::N)),
    };
    Ok(Command::Ack(sub(fields)?, acked))
}

fn history<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Command, Wrong> {
    let seq = |key| fields.integer(key, 0..=INTEGER_MAX, "the number of a record");
    let range = match (seq(Key::Before)?, seq(Key::After)?, fields.time(Key::Since)?) {
        (None, None, None) => Range::Newest,
        (Some(before), None, None) => Range::Before(before),
        (None, Some(after), None) => Range::After(after),
        (Some(before), Some(after), None) => Range::Between(after, before),
        (None, None, Some(since)) => Range::Since(since),
        _ => return Err(one_too_many(Key::Since, "to be without before and after")),
    };
    let limit = fields.integer(Key::Limit, 1..=PAGE_RECORDS_MAX, "a whole number from 1 to 1000")?;
    let topic = fields.topic()?.ok_or_else(|| missing(Key::Topic))?;
    Ok(Command::History(topic, range, limit.map_or(PAGE_RECORDS, |limit| limit as usize)))
}

fn ask<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Ask, Wrong> {
    let name = short(fields, Key::To, TO_BYTES_MAX, TO_EXPECTED)?.ok_or_else(|| missing(Key::To))?;
    Ok(Ask { name, body: data(fields)?.unwrap_or_default() })
}

fn presence<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Command, Wrong> {
    match (fields.topic()?, short(fields, Key::User, USER_BYTES_MAX, "a name of at most 256 bytes")?) {
        (Some(topic), None) => Ok(Command::PresenceOfTopic(topic)),
        (None, Some(user)) => Ok(Command::PresenceOfUser(user)),
        (None, None) => Err(missing(Key::Topic)),
        (Some(_), Some(_)) => Err(one_too_many(Key::User, "only one of topic and user")),
    }
}

fn network<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Option<Network>, Wrong> {
    fields.read(Key::Network, "'wifi', 'cellular' or 'iot'", |value| Network::find(&value.string()?))
}

/// A string that is not empty, not too long, and without control characters.
fn short<'a, V: Value<'a>>(
    fields: &Fields<V>,
    key: Key,
    bytes_max: usize,
    expected: &'static str,
) -> Result<Option<Arc<str>>, Wrong> {
    fields.read(key, expected, |value| {
        let text = value.string()?;
        is_short(&text, bytes_max).then(|| text.into())
    })
}

/// Whether a name is not empty, not too long, and without control characters.
pub(crate) fn is_short(name: &str, bytes_max: usize) -> bool {
    !name.is_empty() && name.len() <= bytes_max && !name.chars().any(char::is_control)
}

fn greeting<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Greeting, Wrong> {
    let last_message = match fields.object(Key::Will)? {
        Some(will) => Some(yizhan_hub::link::LastMessage { publish: publish(&will)?, delay: None }),
        None => None,
    };
    let resume = match fields.object(Key::Resume)? {
        Some(resume_fields) => Some(resume(&resume_fields)?),
        None => None,
    };
    let hello = Hello {
        credentials: credentials(fields)?,
        device: short(fields, Key::Device, DEVICE_BYTES_MAX, "a name of at most 64 bytes")?,
        resume,
        keep: fields.duration(Key::Keep)?.unwrap_or(Duration::ZERO),
        last_message,
        ..Hello::default()
    };
    let client = short(fields, Key::Client, CLIENT_BYTES_MAX, "a name of at most 128 bytes")?;
    Ok(Greeting { hello, network: network(fields)?.unwrap_or_default(), client })
}

fn credentials<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Credentials, Wrong> {
    let account = match (fields.shared(Key::User)?, fields.shared(Key::Password)?) {
        (Some(user), Some(password)) => Some(Credentials::Password { user, password }),
        (None, None) => None,
        (None, Some(_)) => return Err(missing(Key::User)),
        (Some(_), None) => return Err(missing(Key::Password)),
    };
    let token = fields.shared(Key::Token)?.map(Credentials::Token);
    let ticket = fields.shared(Key::Ticket)?.map(Credentials::Ticket);
    let mut shown = [account, token, ticket].into_iter().flatten();
    match (shown.next(), shown.next()) {
        (first, None) => Ok(first.unwrap_or(Credentials::None)),
        _ => Err(one_too_many(Key::Token, "only one of token, ticket and user with password")),
    }
}

fn resume<'a, V: Value<'a>>(fields: &Fields<V>) -> Result<Resume, Wrong> {
    let session = fields.string(Key::Session)?.ok_or_else(|| missing(Key::Session))?;
    // Whatever is not a session's number is not the number of one that is here.
    let session: SessionId = session.parse().map_err(|_| Wrong::Refused(Refused::NoSession))?;
    let secret = fields.shared(Key::Secret)?.ok_or_else(|| missing(Key::Secret))?;
    let mut have = Vec::new();
    let expected = "a list of objects with sub and n or pos";
    if let Some(elements) = fields.read(Key::Have, expected, Value::elements)? {
        for element in elements {
            let fields = Fields::of(element).ok_or(Wrong::Field { name: "have", expected })?;
            have.push(Have {
                subscription: sub(&fields)?,
                number: fields.integer(Key::N, 0..=INTEGER_MAX, "a whole number")?,
                positions: fields.positions(Key::Pos)?.unwrap_or_default(),
            });
        }
    }
    Ok(Resume { session, secret, have })
}
