//! The fifteen control packets (MQTT 5 §3), as values that borrow their texts and bytes.

use std::{fmt, num::NonZeroU16};

use super::{
    Qos, Reason, Version,
    properties::{
        AckProperties, AuthProperties, ConnackProperties, ConnectProperties, DisconnectProperties,
        PublishProperties, SubscribeProperties, UnsubscribeProperties, WillProperties,
    },
};

/// A packet identifier; never zero (MQTT 5 §2.2.1).
pub type PacketId = NonZeroU16;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal $flags:literal $name:literal,)*) => {
        /// Which packet it is (MQTT 5 §2.1.2).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind = $number,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// From its number.
            #[must_use]
            pub const fn find(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$kind),)*
                    _ => None,
                }
            }

            /// The standard's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The flags in its first byte; those of PUBLISH vary (MQTT 5 §2.1.3).
            #[must_use]
            pub const fn flags(self) -> u8 {
                match self {
                    $(Self::$kind => $flags,)*
                }
            }
        }
    };
}

kinds! {
    /// The client wants to come in.
    Connect = 1 0 "CONNECT",
    /// The server's answer to that.
    Connack = 2 0 "CONNACK",
    /// A message.
    Publish = 3 0 "PUBLISH",
    /// QoS 1: taken.
    Puback = 4 0 "PUBACK",
    /// QoS 2, first answer: received.
    Pubrec = 5 0 "PUBREC",
    /// QoS 2, second step: released.
    Pubrel = 6 2 "PUBREL",
    /// QoS 2, last answer: complete.
    Pubcomp = 7 0 "PUBCOMP",
    /// The client wants to hear something.
    Subscribe = 8 2 "SUBSCRIBE",
    /// The server's answer to that.
    Suback = 9 0 "SUBACK",
    /// The client wants to hear no more of something.
    Unsubscribe = 10 2 "UNSUBSCRIBE",
    /// The server's answer to that.
    Unsuback = 11 0 "UNSUBACK",
    /// Are you there?
    Pingreq = 12 0 "PINGREQ",
    /// Yes.
    Pingresp = 13 0 "PINGRESP",
    /// Goodbye, and why.
    Disconnect = 14 0 "DISCONNECT",
    /// A step of an authentication; MQTT 5 only.
    Auth = 15 0 "AUTH",
}

/// One control packet. Properties and reasons that MQTT 3.1.1 does not have are left out when a packet is
/// written for it, and empty in one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// See [`Kind::Connect`].
    Connect(Box<Connect<'a>>),
    /// See [`Kind::Connack`].
    Connack(Box<Connack<'a>>),
    /// See [`Kind::Publish`].
    Publish(Publish<'a>),
    /// See [`Kind::Puback`].
    Puback(Ack<'a>),
    /// See [`Kind::Pubrec`].
    Pubrec(Ack<'a>),
    /// See [`Kind::Pubrel`].
    Pubrel(Ack<'a>),
    /// See [`Kind::Pubcomp`].
    Pubcomp(Ack<'a>),
    /// See [`Kind::Subscribe`].
    Subscribe(Subscribe<'a>),
    /// See [`Kind::Suback`].
    Suback(Reasons<'a>),
    /// See [`Kind::Unsubscribe`].
    Unsubscribe(Unsubscribe<'a>),
    /// See [`Kind::Unsuback`]. MQTT 3.1.1 has no reasons in it.
    Unsuback(Reasons<'a>),
    /// See [`Kind::Pingreq`].
    Pingreq,
    /// See [`Kind::Pingresp`].
    Pingresp,
    /// See [`Kind::Disconnect`].
    Disconnect(Disconnect<'a>),
    /// See [`Kind::Auth`].
    Auth(Auth<'a>),
}

impl Packet<'_> {
    /// Which one it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Connect(_) => Kind::Connect,
            Self::Connack(_) => Kind::Connack,
            Self::Publish(_) => Kind::Publish,
            Self::Puback(_) => Kind::Puback,
            Self::Pubrec(_) => Kind::Pubrec,
            Self::Pubrel(_) => Kind::Pubrel,
            Self::Pubcomp(_) => Kind::Pubcomp,
            Self::Subscribe(_) => Kind::Subscribe,
            Self::Suback(_) => Kind::Suback,
            Self::Unsubscribe(_) => Kind::Unsubscribe,
            Self::Unsuback(_) => Kind::Unsuback,
            Self::Pingreq => Kind::Pingreq,
            Self::Pingresp => Kind::Pingresp,
            Self::Disconnect(_) => Kind::Disconnect,
            Self::Auth(_) => Kind::Auth,
        }
    }

    /// Leaves out the user properties that only explain: those of a PUBLISH, a CONNECT, a SUBSCRIBE and an
    /// UNSUBSCRIBE are the sender's message and stay.
    pub fn strip_user(&mut self) {
        match self {
            Self::Connack(p) => p.properties.user.clear(),
            Self::Puback(p) | Self::Pubrec(p) | Self::Pubrel(p) | Self::Pubcomp(p) => {
                p.properties.user.clear();
            }
            Self::Suback(p) | Self::Unsuback(p) => p.properties.user.clear(),
            Self::Disconnect(p) => p.properties.user.clear(),
            Self::Auth(p) => p.properties.user.clear(),
            _ => {}
        }
    }

    /// Leaves out the reason string.
    pub fn strip_reason(&mut self) {
        match self {
            Self::Connack(p) => p.properties.reason_string = None,
            Self::Puback(p) | Self::Pubrec(p) | Self::Pubrel(p) | Self::Pubcomp(p) => {
                p.properties.reason_string = None;
            }
            Self::Suback(p) | Self::Unsuback(p) => p.properties.reason_string = None,
            Self::Disconnect(p) => p.properties.reason_string = None,
            Self::Auth(p) => p.properties.reason_string = None,
            _ => {}
        }
    }
}

/// CONNECT (MQTT 5 §3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Which MQTT the client speaks.
    pub version: Version,
    /// The client is another server's bridge: the top bit of the protocol level, which mosquitto and its
    /// bridges use. Such a client gets retained messages with their retain flag, and nothing of its own.
    pub bridge: bool,
    /// An earlier session ends (MQTT 5 §3.1.2.4; "clean session" in 3.1.1).
    pub clean_start: bool,
    /// Seconds of silence that the client allows itself; 0 for any number (MQTT 5 §3.1.2.10).
    pub keep_alive: u16,
    /// MQTT 5 §3.1.2.11.
    pub properties: ConnectProperties<'a>,
    /// The client identifier; may be empty (MQTT 5 §3.1.3.1).
    pub client_id: &'a str,
    /// What is published when the client is gone (MQTT 5 §3.1.2.5).
    pub will: Option<Will<'a>>,
    /// The user's name (MQTT 5 §3.1.3.5).
    pub user_name: Option<&'a str>,
    /// The password, any bytes (MQTT 5 §3.1.3.6).
    pub password: Option<Hidden<'a>>,
}

/// A will (MQTT 5 §3.1.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will<'a> {
    /// How surely it is delivered.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// MQTT 5 §3.1.3.2.
    pub properties: WillProperties<'a>,
    /// Where to: no wildcards, not empty.
    pub topic: &'a str,
    /// The body.
    pub payload: &'a [u8],
}

/// Bytes that do not show in `Debug`: a password, or a step of an authentication.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hidden<'a>(pub &'a [u8]);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// CONNACK (MQTT 5 §3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connack<'a> {
    /// An earlier session goes on (MQTT 5 §3.2.2.1.1).
    pub session_present: bool,
    /// Whether the client is in. For MQTT 3.1.1 it becomes the nearest return code.
    pub reason: Reason,
    /// MQTT 5 §3.2.2.3.
    pub properties: ConnackProperties<'a>,
}

/// PUBLISH (MQTT 5 §3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish<'a> {
    /// It was sent before (MQTT 5 §3.3.1.1).
    pub dup: bool,
    /// How surely it is delivered.
    pub qos: Qos,
    /// It is, or was, retained (MQTT 5 §3.3.1.3).
    pub retain: bool,
    /// The topic, without wildcards; empty only where a topic alias stands for it.
    pub topic: &'a str,
    /// There for QoS 1 and 2, and only then.
    pub id: Option<PacketId>,
    /// MQTT 5 §3.3.2.3. Subscription identifiers are for servers to send: a server that reads one refuses
    /// the packet (MQTT-3.3.4-6).
    pub properties: PublishProperties<'a>,
    /// The body.
    pub payload: &'a [u8],
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (MQTT 5 §3.4–3.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Of which PUBLISH.
    pub id: PacketId,
    /// How it went.
    pub reason: Reason,
    /// MQTT 5 §3.4.2.2 and its likes.
    pub properties: AckProperties<'a>,
}

impl Ack<'_> {
    /// One with nothing to explain.
    #[must_use]
    pub fn new(id: PacketId, reason: Reason) -> Self {
        Self { id, reason, properties: AckProperties::default() }
    }
}

/// SUBSCRIBE (MQTT 5 §3.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Its number.
    pub id: PacketId,
    /// MQTT 5 §3.8.2.1.
    pub properties: SubscribeProperties<'a>,
    /// What the client wants to hear; at least one. The filters are UTF-8 and not empty; whether their
    /// wildcards are where they belong is not checked here.
    pub filters: Vec<(&'a str, Options)>,
}

/// How the client wants to hear a filter (MQTT 5 §3.8.3.1). MQTT 3.1.1 has the QoS alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// The most that it wants.
    pub qos: Qos,
    /// Not what it publishes itself.
    pub no_local: bool,
    /// Messages come with the retain flag that they were published with.
    pub retain_as_published: bool,
    /// Which retained messages come at the start.
    pub retain_handling: RetainHandling,
}

/// Which retained messages a new subscription is sent (MQTT 5 §3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RetainHandling {
    /// All that match.
    #[default]
    Send,
    /// All that match, if the subscription was not there before.
    SendIfNew,
    /// None.
    Keep,
}

/// SUBACK or UNSUBACK (MQTT 5 §3.9, §3.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasons<'a> {
    /// Of which SUBSCRIBE or UNSUBSCRIBE.
    pub id: PacketId,
    /// MQTT 5 §3.9.2.1, §3.11.2.1.
    pub properties: AckProperties<'a>,
    /// How it went, one for each filter, in order.
    pub reasons: Vec<Reason>,
}

/// UNSUBSCRIBE (MQTT 5 §3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Its number.
    pub id: PacketId,
    /// MQTT 5 §3.10.2.1.
    pub properties: UnsubscribeProperties<'a>,
    /// What the client wants to hear no more; at least one, none empty.
    pub filters: Vec<&'a str>,
}

/// DISCONNECT (MQTT 5 §3.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why.
    pub reason: Reason,
    /// MQTT 5 §3.14.2.2.
    pub properties: DisconnectProperties<'a>,
}

impl Disconnect<'_> {
    /// One with nothing to explain.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self { reason, properties: DisconnectProperties::default() }
    }
}

/// AUTH (MQTT 5 §3.15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Which step it is.
    pub reason: Reason,
    /// MQTT 5 §3.15.2.2.
    pub properties: AuthProperties<'a>,
}
