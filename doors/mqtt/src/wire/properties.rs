//! The properties of MQTT 5 (§2.2.2), for each packet those that it may have.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::BytesMut;
use yizhan_wire::{Reader, WriteError, Writer, varint};

use super::{Limits, Qos, Reason, WireError, packet::Hidden};

/// Identifiers (MQTT 5 §2.2.2.2, table 2-4). All are below 0x80, so each is one byte.
pub(crate) mod id {
    pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_ID: u8 = 0x0b;
    pub(crate) const SESSION_EXPIRY: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM: u8 = 0x17;
    pub(crate) const WILL_DELAY: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1a;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1c;
    pub(crate) const REASON_STRING: u8 = 0x1f;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_AVAILABLE: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDS_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_AVAILABLE: u8 = 0x2a;
}

/// Names and values in the order in which they were sent; a name may come twice (MQTT 5 §2.2.2.2).
pub type UserProperties<'a> = Vec<(&'a str, &'a str)>;

/// A subscription identifier: 1 to 268,435,455 (MQTT 5 §3.8.2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionIdentifier(u32);

impl SubscriptionIdentifier {
    /// `None` for 0 and for what is too large.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 || number > varint::MQTT_VALUE_MAX { None } else { Some(Self(number)) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The properties of one kind of packet.
pub(crate) trait Properties<'a>: Default {
    /// Takes the value of the property `id`.
    fn take(&mut self, id: u8, reader: &mut Reader<'a>) -> Result<(), WireError>;
    /// Bytes of all of them, without the length before them.
    fn bytes_len(&self) -> usize;
    /// Writes all of them, without the length before them.
    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError>;
}

/// Reads properties behind their length (MQTT 5 §2.2.2).
pub(crate) fn read<'a, P: Properties<'a>>(reader: &mut Reader<'a>, limits: &Limits) -> Result<P, WireError> {
    let mut properties = P::default();
    let len = reader.mqtt_varint()? as usize;
    let mut reader = Reader::new(reader.bytes(len)?);
    let mut repeated = 0;
    while !reader.is_empty() {
        let id = u8::try_from(reader.mqtt_varint()?).map_err(|_| NOT_HERE)?;
        if matches!(id, id::USER_PROPERTY | id::SUBSCRIPTION_ID) {
            repeated += 1;
            if repeated > limits.user_properties_max {
                return Err(WireError::new(
                    Reason::QuotaExceeded,
                    "too many user properties for this server",
                ));
            }
        }
        properties.take(id, &mut reader)?;
    }
    Ok(properties)
}

const NOT_HERE: WireError = WireError::malformed("a property that this packet cannot have (MQTT 5 §2.2.2.2)");

macro_rules! properties {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $id:ident $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name<'a> {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl<'a> Properties<'a> for $name<'a> {
            fn take(&mut self, id: u8, reader: &mut Reader<'a>) -> Result<(), WireError> {
                match id {
                    $(id::$id => self.$field.fill(id, reader),)*
                    _ => Err(NOT_HERE),
                }
            }

            fn bytes_len(&self) -> usize {
                0 $(+ self.$field.bytes_len())*
            }

            fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
                $(self.$field.write(id::$id, into)?;)*
                Ok(())
            }
        }
    )*};
}

properties! {
    /// Of CONNECT (MQTT 5 §3.1.2.11).
    ConnectProperties {
        /// Seconds that the session outlives its connection; `u32::MAX` for ever; 0 where it is not said.
        SESSION_EXPIRY session_expiry: Option<u32>,
        /// Publishes of QoS 1 and 2 that may be under way to the client; 65,535 where it is not said.
        RECEIVE_MAXIMUM receive_maximum: Option<NonZeroU16>,
        /// Bytes of a packet that the client takes.
        MAXIMUM_PACKET_SIZE maximum_packet_size: Option<NonZeroU32>,
        /// Topic aliases that the client keeps; 0 where it is not said.
        TOPIC_ALIAS_MAXIMUM topic_alias_maximum: Option<u16>,
        /// Whether the client wants response information in CONNACK; no where it is not said.
        REQUEST_RESPONSE request_response_information: Option<bool>,
        /// Whether reason strings and user properties may come with any packet; yes where it is not said.
        REQUEST_PROBLEM request_problem_information: Option<bool>,
        /// User properties.
        USER_PROPERTY user: UserProperties<'a>,
        /// The name of the authentication's method.
        AUTHENTICATION_METHOD authentication_method: Option<&'a str>,
        /// Its first step; only with a method.
        AUTHENTICATION_DATA authentication_data: Option<Hidden<'a>>,
    }

    /// Of the will in CONNECT (MQTT 5 §3.1.3.2).
    WillProperties {
        /// Seconds to wait before it is published; 0 where it is not said.
        WILL_DELAY delay: Option<u32>,
        /// Whether the payload is UTF-8.
        PAYLOAD_FORMAT payload_is_utf8: Option<bool>,
        /// Seconds for which it is worth delivering.
        MESSAGE_EXPIRY message_expiry: Option<u32>,
        /// What the payload is.
        CONTENT_TYPE content_type: Option<&'a str>,
        /// Where an answer is to go.
        RESPONSE_TOPIC response_topic: Option<&'a str>,
        /// What an answer is to carry.
        CORRELATION_DATA correlation_data: Option<&'a [u8]>,
        /// User properties.
        USER_PROPERTY user: UserProperties<'a>,
    }

    /// Of CONNACK (MQTT 5 §3.2.2.3).
    ConnackProperties {
        /// Seconds that the session outlives its connection, where the server decided otherwise.
        SESSION_EXPIRY session_expiry: Option<u32>,
        /// Publishes of QoS 1 and 2 that may be under way to the server; 65,535 where it is not said.
        RECEIVE_MAXIMUM receive_maximum: Option<NonZeroU16>,
        /// The most that the server takes; QoS 2 where it is not said.
        MAXIMUM_QOS maximum_qos: Option<Qos>,
        /// Whether messages can be retained; yes where it is not said.
        RETAIN_AVAILABLE retain_available: Option<bool>,
        /// Bytes of a packet that the server takes.
        MAXIMUM_PACKET_SIZE maximum_packet_size: Option<NonZeroU32>,
        /// The client's name, where it gave none.
        ASSIGNED_CLIENT_ID assigned_client_id: Option<&'a str>,
        /// Topic aliases that the server keeps; 0 where it is not said.
        TOPIC_ALIAS_MAXIMUM topic_alias_maximum: Option<u16>,
        /// Why, for people.
        REASON_STRING reason_string: Option<&'a str>,
        /// User properties.
        USER_PROPERTY user: UserProperties<'a>,
        /// Whether filters may have wildcards; yes where it is not said.
        WILDCARD_AVAILABLE wildcard_subscription_available: Option<bool>,
        /// Whether subscriptions may have identifiers; yes where it is not said.
        SUBSCRIPTION_IDS_AVAILABLE subscription_identifiers_available: Option<bool>,
        /// Whether there are shared subscriptions; yes where it is not said.
        SHARED_AVAILABLE shared_subscription_available: Option<bool>,
        /// The keep alive that counts instead of the client's, seconds.
        SERVER_KEEP_ALIVE server_keep_alive: Option<u16>,
        /// What the client may make response topics of.
        RESPONSE_INFORMATION response_information: Option<&'a str>,
        /// Which other server to use.
        SERVER_REFERENCE server_reference: Option<&'a str>,
        /// The name of the authentication's method.
        AUTHENTICATION_METHOD authentication_method: Option<&'a str>,
        /// Its last step.
        AUTHENTICATION_DATA authentication_data: Option<Hidden<'a>>,
    }

    /// Of PUBLISH (MQTT 5 §3.3.2.3). The expiry is written first, so that [`super::form`] can patch it.
    PublishProperties {
        /// Seconds for which it is worth delivering.
        MESSAGE_EXPIRY message_expiry: Option<u32>,
        /// The topic's number on this connection.
        TOPIC_ALIAS topic_alias: Option<NonZeroU16>,
        /// Of the subscriptions for which it is sent.
        SUBSCRIPTION_ID subscription_ids: Vec<SubscriptionIdentifier>,
        /// Whether the payload is UTF-8.
        PAYLOAD_FORMAT payload_is_utf8: Option<bool>,
        /// What the payload is.
        CONTENT_TYPE content_type: Option<&'a str>,
        /// Where an answer is to go.
        RESPONSE_TOPIC response_topic: Option<&'a str>,
        /// What an answer is to carry.
        CORRELATION_DATA correlation_data: Option<&'a [u8]>,
        /// User properties.
        USER_PROPERTY user: UserProperties<'a>,
    }

    /// Of PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK (MQTT 5 §3.4.2.2).
    AckProperties {
        /// Why, for people.
        REASON_STRING reason_string: Option<&'a str>,
        /// User properties.
        USER_PROPERTY user: UserProperties<'a>,
    }

    /// Of SUBSCRIBE (MQTT 5 §3.8.2.1).
    SubscribeProperties {
        /// What messages of these filters are to carry.
        SUBSCRIPTION_ID subscription_id: Option<SubscriptionIdentifier>,
        /// User properties.
        USER_PROPERTY user: UserProperties<'a>,
    }

    /// Of UNSUBSCRIBE (MQTT 5 §3.10.2.1).
    UnsubscribeProperties {
        /// User properties.
        USER_PROPERTY user: UserProperties<'a>,
    }

    /// Of DISCONNECT (MQTT 5 §3.14.2.2).
    DisconnectProperties {
        /// A new time for which the session outlives its connection, seconds; only from a client.
        SESSION_EXPIRY session_expiry: Option<u32>,
        /// Why, for people.
        REASON_STRING reason_string: Option<&'a str>,
        /// User properties.
        USER_PROPERTY user: UserProperties<'a>,
        /// Which other server to use.
        SERVER_REFERENCE server_reference: Option<&'a str>,
    }

    /// Of AUTH (MQTT 5 §3.15.2.2).
    AuthProperties {
        /// The name of the authentication's method.
        AUTHENTICATION_METHOD method: Option<&'a str>,
        /// The step's data.
        AUTHENTICATION_DATA data: Option<Hidden<'a>>,
        /// Why, for people.
        REASON_STRING reason_string: Option<&'a str>,
        /// User properties.
        USER_PROPERTY user: UserProperties<'a>,
    }
}

/// Where the values of a property go: an `Option` takes one, a `Vec` any number.
trait Slot<'a> {
    fn fill(&mut self, id: u8, reader: &mut Reader<'a>) -> Result<(), WireError>;
    fn bytes_len(&self) -> usize;
    fn write(&self, id: u8, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError>;
}

impl<'a, T: Value<'a>> Slot<'a> for Option<T> {
    fn fill(&mut self, id: u8, reader: &mut Reader<'a>) -> Result<(), WireError> {
        if self.is_some() {
            return Err(WireError::protocol("a property comes twice (MQTT 5 §2.2.2.2)"));
        }
        *self = Some(T::read(id, reader)?);
        Ok(())
    }

    fn bytes_len(&self) -> usize {
        self.as_ref().map_or(0, |value| 1 + value.bytes_len())
    }

    fn write(&self, id: u8, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        self.as_ref().map_or(Ok(()), |value| {
            into.u8(id);
            value.write(into)
        })
    }
}

impl<'a, T: Value<'a>> Slot<'a> for Vec<T> {
    fn fill(&mut self, id: u8, reader: &mut Reader<'a>) -> Result<(), WireError> {
        self.push(T::read(id, reader)?);
        Ok(())
    }

    fn bytes_len(&self) -> usize {
        self.iter().map(|value| 1 + value.bytes_len()).sum()
    }

    fn write(&self, id: u8, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        self.iter().try_for_each(|value| {
            into.u8(id);
            value.write(into)
        })
    }
}

/// One type of value (MQTT 5 §2.2.2.2).
trait Value<'a>: Sized {
    fn read(id: u8, reader: &mut Reader<'a>) -> Result<Self, WireError>;
    fn bytes_len(&self) -> usize;
    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError>;
}

impl<'a> Value<'a> for bool {
    fn read(_id: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        match reader.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::protocol("a property that is 0 or 1 is something else (MQTT 5 §2.2.2.2)")),
        }
    }

    fn bytes_len(&self) -> usize {
        1
    }

    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        into.u8((*self).into());
        Ok(())
    }
}

/// A maximum QoS, which is never 2.
impl<'a> Value<'a> for Qos {
    fn read(_id: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        match reader.u8()? {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            _ => Err(WireError::protocol("a maximum QoS is 0 or 1 (MQTT 5 §3.2.2.3.4)")),
        }
    }

    fn bytes_len(&self) -> usize {
        1
    }

    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        into.u8((*self != Self::AtMostOnce).into());
        Ok(())
    }
}

impl<'a> Value<'a> for u16 {
    fn read(_id: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(reader.u16_be()?)
    }

    fn bytes_len(&self) -> usize {
        2
    }

    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        into.u16_be(*self);
        Ok(())
    }
}

impl<'a> Value<'a> for NonZeroU16 {
    fn read(id: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Self::new(reader.u16_be()?).ok_or(match id {
            id::TOPIC_ALIAS => WireError::new(Reason::TopicAliasInvalid, "a topic alias is 0 (MQTT-3.3.2-8)"),
            _ => WireError::protocol("a receive maximum is 0 (MQTT 5 §3.1.2.11.3)"),
        })
    }

    fn bytes_len(&self) -> usize {
        2
    }

    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        into.u16_be(self.get());
        Ok(())
    }
}

impl<'a> Value<'a> for u32 {
    fn read(_id: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(reader.u32_be()?)
    }

    fn bytes_len(&self) -> usize {
        4
    }

    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        into.u32_be(*self);
        Ok(())
    }
}

impl<'a> Value<'a> for NonZeroU32 {
    fn read(_id: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let zero = WireError::protocol("a maximum packet size is 0 (MQTT 5 §3.1.2.11.4)");
        Self::new(reader.u32_be()?).ok_or(zero)
    }

    fn bytes_len(&self) -> usize {
        4
    }

    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        into.u32_be(self.get());
        Ok(())
    }
}

impl<'a> Value<'a> for SubscriptionIdentifier {
    fn read(_id: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let zero = WireError::protocol("a subscription identifier is 0 (MQTT 5 §3.8.2.1.2)");
        Self::new(reader.mqtt_varint()?).ok_or(zero)
    }

    fn bytes_len(&self) -> usize {
        varint::leb128_len(self.0.into())
    }

    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        into.mqtt_varint(self.0)
    }
}

impl<'a> Value<'a> for &'a str {
    fn read(_id: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        text(reader)
    }

    fn bytes_len(&self) -> usize {
        2 + self.len()
    }

    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        into.u16_bytes(self.as_bytes())
    }
}

impl<'a> Value<'a> for &'a [u8] {
    fn read(_id: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(reader.u16_bytes(usize::MAX)?)
    }

    fn bytes_len(&self) -> usize {
        2 + self.len()
    }

    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        into.u16_bytes(self)
    }
}

impl<'a> Value<'a> for Hidden<'a> {
    fn read(id: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Value::read(id, reader).map(Self)
    }

    fn bytes_len(&self) -> usize {
        self.0.bytes_len()
    }

    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        self.0.write(into)
    }
}

impl<'a> Value<'a> for (&'a str, &'a str) {
    fn read(_id: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok((text(reader)?, text(reader)?))
    }

    fn bytes_len(&self) -> usize {
        self.0.bytes_len() + self.1.bytes_len()
    }

    fn write(&self, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
        self.0.write(into)?;
        self.1.write(into)
    }
}

/// A string: UTF-8 without U+0000 behind its length (MQTT 5 §1.5.4).
pub(crate) fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, WireError> {
    let text = reader.u16_str(usize::MAX)?;
    // Without an early end, so that the compiler can look at many bytes at once.
    if text.bytes().fold(false, |found, byte| found | (byte == 0)) {
        return Err(WireError::malformed("a string contains U+0000 (MQTT-1.5.4-2)"));
    }
    Ok(text)
}
