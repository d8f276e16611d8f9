//! What travels: messages, records, and their places.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use yizhan_talk::Timestamp;

use crate::topic::Topic;

/// What somebody publishes.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where to.
    pub topic: Topic,
    /// A keyed message replaces the one before it with the same topic and key in the topic's state; one
    /// with an empty body removes it.
    pub key: Option<Arc<str>>,
    /// The client's id for it, folded together with who sent it; a repeated one within the space's
    /// window is answered like the first and not kept again.
    pub id: Option<MessageId>,
    /// Who sent it.
    pub from: Sender,
    /// How the body is to be read.
    pub content: Content,
    /// Names and values that travel along.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// From then on nobody is given this message any more.
    pub expires_at: Option<Timestamp>,
    /// How surely it is to be delivered, at most.
    pub qos: Qos,
}

/// The key of a topic's own value, where nothing names another: MQTT's retained message.
pub const RETAINED: &str = "retained";

/// How surely a message is to be delivered (MQTT 5 §4.3). A listener gets what the publisher asked for or
/// what it asked for itself, whichever is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Qos {
    /// Once or not at all: nobody waits for an acknowledgement, and nothing is collected for sleepers where
    /// the space keeps nothing.
    AtMostOnce,
    /// Once, or again where it is not sure that it arrived.
    AtLeastOnce,
    /// Once. What doors that know no such thing publish with: the listener decides.
    #[default]
    ExactlyOnce,
}

impl Message {
    /// Roughly what this holds in memory, bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + v.len() + 32).sum();
        200 + self.topic.as_str().len() + self.body.len() + headers
    }
}

/// Who sent a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The account's name; `$server` for the server's own messages.
    pub user: Arc<str>,
    /// The device, where the client named one.
    pub device: Option<Arc<str>>,
    /// The session, for "not to myself".
    pub session: SessionId,
}

/// Names and values that travel with a message; none costs nothing.
pub type Headers = Arc<[(Arc<str>, Arc<str>)]>;

/// How a body is to be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Content {
    /// Bytes.
    #[default]
    Binary,
    /// UTF-8, checked where it came in.
    Text,
    /// One JSON value, checked where it came in.
    Json,
    /// Anything else, by its media type.
    Other(Arc<str>),
}

impl Content {
    /// The media type.
    #[must_use]
    pub fn media_type(&self) -> &str {
        match self {
            Self::Binary => "application/octet-stream",
            Self::Text => "text/plain",
            Self::Json => "application/json",
            Self::Other(name) => name,
        }
    }
}

/// 128 bits that tell a message from every other; made from the sender and the client's own id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u128);

/// A session's public number. Not a secret: resuming needs the session's secret too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for SessionId {
    type Err = BadPosition;
    fn from_str(text: &str) -> Result<Self, BadPosition> {
        u64::from_str_radix(text, 16).map(Self).map_err(|_| BadPosition)
    }
}

/// A kept space's number: given once by the store, the same after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpaceId(pub u16);

/// A place in a journal. Positions of one lane are ordered; between lanes there is no order.
///
/// Its text form is four hexadecimal numbers: `space.lane.epoch.offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Which journal.
    pub space: SpaceId,
    /// Which of its lanes.
    pub lane: u16,
    /// Which life of the journal: another one after its data was thrown away or restored.
    pub epoch: u32,
    /// Grows with every record, not densely.
    pub offset: u64,
}

impl Position {
    /// The place just before this one: reading after it gives this record first.
    #[must_use]
    pub fn before(self) -> Self {
        Self { offset: self.offset.saturating_sub(1), ..self }
    }

    /// Whether both are places of the same life of the same lane, so that they can be compared.
    #[must_use]
    pub fn same_lane(&self, other: &Self) -> bool {
        (self.space, self.lane, self.epoch) == (other.space, other.lane, other.epoch)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}.{:x}.{:x}", self.space.0, self.lane, self.epoch, self.offset)
    }
}

/// The text is not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position is what the server gave: four hexadecimal numbers between dots")]
pub struct BadPosition;

impl FromStr for Position {
    type Err = BadPosition;
    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let mut parts = text.split('.');
        let mut part = || parts.next().and_then(|p| u64::from_str_radix(p, 16).ok()).ok_or(BadPosition);
        let position = Self {
            space: SpaceId(part()?.try_into().map_err(|_| BadPosition)?),
            lane: part()?.try_into().map_err(|_| BadPosition)?,
            epoch: part()?.try_into().map_err(|_| BadPosition)?,
            offset: part()?,
        };
        if parts.next().is_some() { Err(BadPosition) } else { Ok(position) }
    }
}

/// A message with its place. Always shared as `Arc<Record>`.
#[derive(Debug)]
pub struct Record {
    /// Its place in its space's journal; `None` in a space that keeps nothing.
    pub position: Option<Position>,
    /// Its number within its topic: 1, 2, 3, …; 0 in a space that keeps nothing.
    pub seq: u64,
    /// When the server took it.
    pub at: Timestamp,
    /// The message.
    pub message: Message,
    /// Roughly what it holds in memory, bytes.
    weight: u32,
    /// How it looks in each protocol that somebody listens in, made once for all who do.
    forms: Forms,
}

impl Record {
    /// A message at its place.
    #[must_use]
    pub fn new(position: Option<Position>, seq: u64, at: Timestamp, message: Message) -> Self {
        let weight = u32::try_from(message.weight()).unwrap_or(u32::MAX);
        Self { position, seq, at, message, weight, forms: Forms::default() }
    }

    /// Roughly what this holds in memory, bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight as usize
    }

    /// This record in the given form: encoded by the first who asks, remembered for all others.
    pub fn form(&self, form: Form, encode: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.forms.get(form, || encode(self))
    }

    /// Whether nobody shall be given this any more.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.message.expires_at.is_some_and(|at| at <= now)
    }
}

/// Records of one topic and one lane that came together, in order: what a publisher sent in one step, or a
/// journal committed in one group. A thousand listeners share one, and its encoded forms.
#[derive(Debug)]
pub struct Batch {
    records: Box<[Arc<Record>]>,
    weight: usize,
    body_bytes: u64,
    expires: bool,
    forms: Forms,
}

/// Records of one [`Batch`] at most.
pub const BATCH_RECORDS_MAX: usize = 128;
/// Weight of one [`Batch`] at most, bytes, unless a single record is heavier.
pub const BATCH_BYTES_MAX: usize = 64 * 1024;

impl Batch {
    /// Cuts records of one topic into batches.
    pub fn cut(records: &[Arc<Record>]) -> impl Iterator<Item = Arc<Self>> {
        let mut rest = records;
        std::iter::from_fn(move || {
            let (mut count, mut weight) = (0, 0);
            while let Some(record) = rest.get(count).filter(|_| count < BATCH_RECORDS_MAX) {
                if count > 0 && weight + record.weight() > BATCH_BYTES_MAX {
                    break;
                }
                weight += record.weight();
                count += 1;
            }
            let (these, others) = rest.split_at(count);
            rest = others;
            let expires = these.iter().any(|r| r.message.expires_at.is_some());
            let body_bytes = these.iter().map(|r| r.message.body.len() as u64).sum();
            let (records, forms) = (these.into(), Forms::default());
            (count > 0).then(|| Arc::new(Self { records, weight, body_bytes, expires, forms }))
        })
    }

    /// One record alone.
    #[must_use]
    pub fn one(record: Arc<Record>) -> Arc<Self> {
        Arc::new(Self {
            weight: record.weight(),
            body_bytes: record.message.body.len() as u64,
            expires: record.message.expires_at.is_some(),
            records: Box::new([record]),
            forms: Forms::default(),
        })
    }

    /// The records; at least one.
    #[must_use]
    pub fn records(&self) -> &[Arc<Record>] {
        &self.records
    }

    /// Roughly what the records hold in memory, bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Bytes of all bodies.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Whether some record may not be delivered for ever.
    #[must_use]
    pub fn expires(&self) -> bool {
        self.expires
    }

    /// All records in the given form, as the door joins them: encoded by the first who asks.
    pub fn form(&self, form: Form, encode: impl FnOnce(&[Arc<Record>]) -> Bytes) -> &Bytes {
        self.forms.get(form, || encode(&self.records))
    }
}

/// A number for one protocol's way to write a record. Each door takes its own from the list here, so
/// that no two doors share one by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form(pub u8);

impl Form {
    /// `doors/socket`, JSON.
    pub const SOCKET_JSON: Self = Self(0);
    /// `doors/socket`, CBOR.
    pub const SOCKET_CBOR: Self = Self(1);
    /// `doors/mqtt`, 3.1.1, PUBLISH without a packet identifier.
    pub const MQTT_V4_QOS0: Self = Self(2);
    /// `doors/mqtt`, 3.1.1, PUBLISH with room for a packet identifier.
    pub const MQTT_V4_ACKED: Self = Self(3);
    /// `doors/mqtt`, 5.0, PUBLISH without a packet identifier.
    pub const MQTT_V5_QOS0: Self = Self(4);
    /// `doors/mqtt`, 5.0, PUBLISH with room for a packet identifier.
    pub const MQTT_V5_ACKED: Self = Self(5);
}

/// A list of encoded forms that grows at its end: most records have none or one.
#[derive(Debug, Default)]
struct Forms(OnceLock<Box<FormNode>>);

#[derive(Debug)]
struct FormNode {
    form: Form,
    bytes: Bytes,
    rest: Forms,
}

impl Forms {
    fn get(&self, form: Form, encode: impl FnOnce() -> Bytes) -> &Bytes {
        let mut encode = Some(encode);
        let mut place = self;
        loop {
            let node = place.0.get_or_init(|| {
                // Runs at most once: a node made here has the form that was asked for.
                let bytes = encode.take().map(|encode| encode()).unwrap_or_default();
                Box::new(FormNode { form, bytes, rest: Self::default() })
            });
            if node.form == form {
                return &node.bytes;
            }
            place = &node.rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_text() {
        let position = Position { space: SpaceId(3), lane: 1, epoch: 0xdead_beef, offset: u64::MAX };
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in ["", "1.2.3", "1.2.3.4.5", "x.0.0.0", "10000.0.0.0", "-1.0.0.0"] {
            assert_eq!(bad.parse::<Position>(), Err(BadPosition), "{bad}");
        }
    }

    #[test]
    fn a_form_is_encoded_once() {
        let forms = Forms::default();
        let mut count = 0;
        for _ in 0..3 {
            for form in [Form(0), Form(1), Form(7)] {
                let bytes = forms.get(form, || {
                    count += 1;
                    vec![form.0].into()
                });
                assert_eq!(bytes[..], [form.0]);
            }
        }
        assert_eq!(count, 3);
    }
}
