//! Bytes to packets.

use std::num::NonZeroU16;

use bytes::{Buf, Bytes, BytesMut};
use yizhan_wire::Reader;

use super::{
    Limits, Qos, Reason, Version, WireError,
    packet::{
        Ack, Auth, Connack, Connect, Disconnect, Hidden, Kind, Options, Packet, PacketId, Publish, Reasons,
        RetainHandling, Subscribe, Unsubscribe, Will,
    },
    properties::{self, Properties, text},
};

/// Payloads from this size on are split off the read buffer; smaller ones are copied out of it.
pub const SPLIT_BYTES_MIN: usize = 16 * 1024;

/// Looks for one packet at the front of `input`: the packet, and how many bytes it takes; `None` where it is
/// not there in whole. Nothing is copied, and only lists allocate. The caller drops the bytes when it is done.
///
/// `version` is `None` until the client has sent CONNECT, and anything else is refused then. It is not checked
/// that a later packet is no CONNECT, nor that a packet is one that this side may send.
///
/// # Errors
/// The packet breaks the standard or passes a limit; often that is known before it is there in whole.
pub fn decode<'a>(
    input: &'a [u8],
    version: Option<Version>,
    limits: &Limits,
) -> Result<Option<(Packet<'a>, usize)>, WireError> {
    let Some(&first) = input.first() else { return Ok(None) };
    let kind = kind(first, version)?;
    let Some(head) = remaining_length(input)? else { return Ok(None) };
    let version_known = version.unwrap_or(Version::V4);
    if head.is_padded && version_known == Version::V5 {
        return Err(PADDED);
    }
    let packet_len = head.len + head.body_len;
    if packet_len > limits.packet_bytes_max {
        return Err(WireError::new(Reason::PacketTooLarge, "the packet is larger than this server takes"));
    }
    let Some(body) = input.get(head.len..packet_len) else { return Ok(None) };
    let context = Context { version: version_known, limits };
    let packet = match kind {
        Kind::Publish => Packet::Publish(context.publish(first, body)?),
        Kind::Puback => Packet::Puback(context.ack(kind, body)?),
        Kind::Connect => Packet::Connect(Box::new(connect(head.is_padded, body, limits)?)),
        _ => context.rare(kind, body)?,
    };
    Ok(Some((packet, packet_len)))
}

/// Takes a PUBLISH that was decoded off the front of `input` and gives its payload, which is the packet's end:
/// a small one is copied, so that the buffer can be used again; a large one is split off.
#[must_use]
pub fn split_payload(input: &mut BytesMut, packet_len: usize, payload_len: usize) -> Bytes {
    let packet_len = packet_len.min(input.len());
    let start = packet_len.saturating_sub(payload_len);
    if payload_len < SPLIT_BYTES_MIN {
        let payload = Bytes::copy_from_slice(&input[start..packet_len]);
        input.advance(packet_len);
        return payload;
    }
    input.advance(start);
    input.split_to(packet_len - start).freeze()
}

const PADDED: WireError =
    WireError::malformed("the remaining length is not in its shortest form (MQTT-1.5.5-1)");

fn kind(first: u8, version: Option<Version>) -> Result<Kind, WireError> {
    let kind =
        Kind::find(first >> 4).ok_or(WireError::malformed("packet type 0 is reserved (MQTT 5 §2.1.2)"))?;
    if version.is_none() && kind != Kind::Connect {
        return Err(WireError::protocol("the first packet is CONNECT (MQTT-3.1.0-1)"));
    }
    if kind == Kind::Auth && version == Some(Version::V4) {
        return Err(WireError::malformed("packet type 15 is reserved (MQTT 3.1.1 §2.2.1)"));
    }
    if kind != Kind::Publish && first & 0x0f != kind.flags() {
        return Err(WireError::malformed("reserved flags of the fixed header are wrong (MQTT-2.1.3-1)"));
    }
    Ok(kind)
}

/// A fixed header (MQTT 5 §2.1).
struct Head {
    /// Its bytes.
    len: usize,
    /// Bytes behind it.
    body_len: usize,
    /// Whether the length could have been written in fewer bytes. MQTT 3.1.1 does not forbid that.
    is_padded: bool,
}

fn remaining_length(input: &[u8]) -> Result<Option<Head>, WireError> {
    let mut body_len = 0;
    for i in 0..4 {
        let Some(&byte) = input.get(1 + i) else { return Ok(None) };
        body_len |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some(Head { len: 2 + i, body_len, is_padded: i > 0 && byte == 0 }));
        }
    }
    Err(WireError::malformed("the remaining length has more than four bytes (MQTT 5 §1.5.5)"))
}

/// What reading a packet depends on.
#[derive(Clone, Copy)]
struct Context<'l> {
    version: Version,
    limits: &'l Limits,
}

impl Context<'_> {
    fn properties<'a, P: Properties<'a>>(self, reader: &mut Reader<'a>) -> Result<P, WireError> {
        match self.version {
            Version::V4 => Ok(P::default()),
            Version::V5 => properties::read(reader, self.limits),
        }
    }

    fn publish<'a>(self, first: u8, body: &'a [u8]) -> Result<Publish<'a>, WireError> {
        let (dup, retain) = (first & 8 != 0, first & 1 != 0);
        let qos = qos(first >> 1 & 3)
            .ok_or(WireError::malformed("both QoS bits of PUBLISH are set (MQTT-3.3.1-4)"))?;
        if dup && qos == Qos::AtMostOnce {
            return Err(WireError::malformed("DUP is set with QoS 0 (MQTT-3.3.1-2)"));
        }
        let mut reader = Reader::new(body);
        let topic = topic(&mut reader, "a wildcard in the topic of PUBLISH (MQTT-3.3.2-2)")?;
        let id = if qos == Qos::AtMostOnce { None } else { Some(packet_id(&mut reader)?) };
        let properties: properties::PublishProperties<'a> = self.properties(&mut reader)?;
        response_topic(properties.response_topic)?;
        if topic.is_empty() && properties.topic_alias.is_none() {
            return Err(WireError::protocol("PUBLISH has neither a topic nor an alias (MQTT 5 §3.3.2.1)"));
        }
        Ok(Publish { dup, qos, retain, topic, id, properties, payload: reader.rest() })
    }

    fn ack<'a>(self, kind: Kind, body: &'a [u8]) -> Result<Ack<'a>, WireError> {
        let mut reader = Reader::new(body);
        let mut ack = Ack::new(packet_id(&mut reader)?, Reason::Success);
        if self.version == Version::V5 && !reader.is_empty() {
            ack.reason = reason(kind, reader.u8()?)?;
            if !reader.is_empty() {
                ack.properties = self.properties(&mut reader)?;
            }
        }
        reader.end()?;
        Ok(ack)
    }

    /// The packets that come once in a while.
    fn rare<'a>(self, kind: Kind, body: &'a [u8]) -> Result<Packet<'a>, WireError> {
        let mut reader = Reader::new(body);
        let r = &mut reader;
        let packet = match kind {
            Kind::Pubrec => return Ok(Packet::Pubrec(self.ack(kind, body)?)),
            Kind::Pubrel => return Ok(Packet::Pubrel(self.ack(kind, body)?)),
            Kind::Pubcomp => return Ok(Packet::Pubcomp(self.ack(kind, body)?)),
            Kind::Connack => Packet::Connack(Box::new(self.connack(r)?)),
            Kind::Subscribe => Packet::Subscribe(self.subscribe(r)?),
            Kind::Suback => Packet::Suback(self.reasons(kind, r)?),
            Kind::Unsubscribe => Packet::Unsubscribe(self.unsubscribe(r)?),
            Kind::Unsuback => Packet::Unsuback(self.reasons(kind, r)?),
            Kind::Pingreq => Packet::Pingreq,
            Kind::Pingresp => Packet::Pingresp,
            Kind::Disconnect => Packet::Disconnect(self.disconnect(r)?),
            Kind::Auth => Packet::Auth(self.auth(r)?),
            // Taken by the caller.
            Kind::Connect | Kind::Publish | Kind::Puback => {
                return Err(WireError::protocol("the packet is not expected here"));
            }
        };
        reader.end()?;
        Ok(packet)
    }

    fn connack<'a>(self, reader: &mut Reader<'a>) -> Result<Connack<'a>, WireError> {
        let flags = reader.u8()?;
        if flags > 1 {
            return Err(WireError::malformed("reserved flags of CONNACK are set (MQTT-3.2.2-1)"));
        }
        let session_present = flags == 1;
        let number = reader.u8()?;
        let reason = match self.version {
            Version::V4 => Reason::from_connack_v4(number).ok_or(BAD_REASON)?,
            Version::V5 => reason(Kind::Connack, number)?,
        };
        if session_present && reason != Reason::Success {
            return Err(WireError::protocol("a session is present in a refusal (MQTT-3.2.2-6)"));
        }
        Ok(Connack { session_present, reason, properties: self.properties(reader)? })
    }

    fn subscribe<'a>(self, reader: &mut Reader<'a>) -> Result<Subscribe<'a>, WireError> {
        let id = packet_id(reader)?;
        let properties = self.properties(reader)?;
        let mut filters = Vec::new();
        while !reader.is_empty() {
            let filter = self.filter(filters.len(), reader)?;
            let options = self.options(reader.u8()?)?;
            if options.no_local && filter.starts_with("$share/") {
                return Err(WireError::protocol("no local is set on a shared subscription (MQTT-3.8.3-4)"));
            }
            filters.push((filter, options));
        }
        if filters.is_empty() {
            return Err(WireError::protocol("SUBSCRIBE has no filter (MQTT-3.8.3-2)"));
        }
        Ok(Subscribe { id, properties, filters })
    }

    fn unsubscribe<'a>(self, reader: &mut Reader<'a>) -> Result<Unsubscribe<'a>, WireError> {
        let id = packet_id(reader)?;
        let properties = self.properties(reader)?;
        let mut filters = Vec::new();
        while !reader.is_empty() {
            filters.push(self.filter(filters.len(), reader)?);
        }
        if filters.is_empty() {
            return Err(WireError::protocol("UNSUBSCRIBE has no filter (MQTT-3.10.3-2)"));
        }
        Ok(Unsubscribe { id, properties, filters })
    }

    fn filter<'a>(self, before: usize, reader: &mut Reader<'a>) -> Result<&'a str, WireError> {
        if before >= self.limits.filters_max {
            return Err(WireError::new(Reason::QuotaExceeded, "too many filters in one packet"));
        }
        let filter = text(reader)?;
        if filter.is_empty() {
            return Err(WireError::new(Reason::TopicFilterInvalid, "a filter is empty (MQTT-4.7.3-1)"));
        }
        Ok(filter)
    }

    fn options(self, byte: u8) -> Result<Options, WireError> {
        let reserved = match self.version {
            Version::V4 => 0xfc,
            Version::V5 => 0xc0,
        };
        if byte & reserved != 0 {
            return Err(WireError::malformed("reserved bits of subscription options are set (MQTT-3.8.3-5)"));
        }
        Ok(Options {
            qos: qos(byte & 3).ok_or(WireError::protocol("a subscription's QoS is 3 (MQTT 5 §3.8.3.1)"))?,
            no_local: byte & 4 != 0,
            retain_as_published: byte & 8 != 0,
            retain_handling: match byte >> 4 & 3 {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::Keep,
                _ => return Err(WireError::protocol("retain handling is 3 (MQTT 5 §3.8.3.1)")),
            },
        })
    }

    fn reasons<'a>(self, kind: Kind, reader: &mut Reader<'a>) -> Result<Reasons<'a>, WireError> {
        let id = packet_id(reader)?;
        let properties = self.properties(reader)?;
        let mut reasons = Vec::new();
        while (kind, self.version) != (Kind::Unsuback, Version::V4) && !reader.is_empty() {
            if reasons.len() >= self.limits.filters_max {
                return Err(WireError::new(Reason::QuotaExceeded, "too many reasons in one packet"));
            }
            let reason = reason(kind, reader.u8()?)?;
            if self.version == Version::V4 && reason.suback_v4() != reason.number() {
                return Err(WireError::malformed("a return code of SUBACK is reserved (MQTT-3.9.3-2)"));
            }
            reasons.push(reason);
        }
        Ok(Reasons { id, properties, reasons })
    }

    fn disconnect<'a>(self, reader: &mut Reader<'a>) -> Result<Disconnect<'a>, WireError> {
        let mut disconnect = Disconnect::new(Reason::Success);
        if self.version == Version::V5 && !reader.is_empty() {
            disconnect.reason = reason(Kind::Disconnect, reader.u8()?)?;
            if !reader.is_empty() {
                disconnect.properties = self.properties(reader)?;
            }
        }
        Ok(disconnect)
    }

    fn auth<'a>(self, reader: &mut Reader<'a>) -> Result<Auth<'a>, WireError> {
        let mut auth = Auth { reason: Reason::Success, properties: properties::AuthProperties::default() };
        if !reader.is_empty() {
            auth.reason = reason(Kind::Auth, reader.u8()?)?;
            auth.properties = self.properties(reader)?;
            if auth.properties.method.is_none() {
                return Err(WireError::protocol("AUTH has no authentication method (MQTT 5 §3.15.2.2.2)"));
            }
        }
        Ok(auth)
    }
}

fn connect<'a>(is_padded: bool, body: &'a [u8], limits: &Limits) -> Result<Connect<'a>, WireError> {
    let mut reader = Reader::new(body);
    let (version, bridge) = level(&mut reader)?;
    let context = Context { version, limits };
    let connect = if is_padded && version == Version::V5 {
        Err(PADDED)
    } else {
        context.connect_rest(bridge, &mut reader)
    };
    connect
        .and_then(|connect| {
            reader.end()?;
            Ok(connect)
        })
        .map_err(|error| WireError { version: Some(version), ..error })
}

/// Protocol name and level (MQTT 5 §3.1.2.1, §3.1.2.2); the level's top bit is a bridge's.
fn level(reader: &mut Reader<'_>) -> Result<(Version, bool), WireError> {
    let unsupported =
        |version, text| Err(WireError { reason: Reason::UnsupportedVersion, text, version: Some(version) });
    let name = reader.u16_bytes(usize::MAX)?;
    let level = reader.u8()?;
    let bridge = level & 0x80 != 0;
    match (name, level & 0x7f) {
        (b"MQTT", 4) => Ok((Version::V4, bridge)),
        (b"MQTT", 5) => Ok((Version::V5, bridge)),
        (b"MQTT", ..4) => unsupported(Version::V4, "this protocol level is not spoken here: 4 or 5 is"),
        (b"MQTT", _) => unsupported(Version::V5, "this protocol level is not spoken here: 4 or 5 is"),
        (b"MQIsdp", _) => unsupported(Version::V4, "MQTT 3.1 is not spoken here: 3.1.1 or 5.0 is"),
        (_, ..=4) => unsupported(Version::V4, "the protocol name is not MQTT (MQTT-3.1.2-1)"),
        _ => unsupported(Version::V5, "the protocol name is not MQTT (MQTT-3.1.2-1)"),
    }
}

impl Context<'_> {
    fn connect_rest<'a>(self, bridge: bool, reader: &mut Reader<'a>) -> Result<Connect<'a>, WireError> {
        let flags = reader.u8()?;
        if flags & 1 != 0 {
            return Err(WireError::malformed("the reserved flag of CONNECT is set (MQTT-3.1.2-3)"));
        }
        let (has_user_name, has_password) = (flags & 0x80 != 0, flags & 0x40 != 0);
        if self.version == Version::V4 && has_password && !has_user_name {
            return Err(WireError::malformed("a password without a user name (MQTT-3.1.2-22 of 3.1.1)"));
        }
        let keep_alive = reader.u16_be()?;
        let properties: properties::ConnectProperties<'a> = self.properties(reader)?;
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return Err(WireError::protocol("authentication data without a method (MQTT 5 §3.1.2.11.10)"));
        }
        Ok(Connect {
            version: self.version,
            bridge,
            clean_start: flags & 2 != 0,
            keep_alive,
            properties,
            client_id: text(reader)?,
            will: self.will(flags, reader)?,
            user_name: if has_user_name { Some(text(reader)?) } else { None },
            password: if has_password { Some(Hidden(reader.u16_bytes(usize::MAX)?)) } else { None },
        })
    }

    fn will<'a>(self, flags: u8, reader: &mut Reader<'a>) -> Result<Option<Will<'a>>, WireError> {
        let qos = qos(flags >> 3 & 3).ok_or(WireError::malformed("the will's QoS is 3 (MQTT-3.1.2-12)"))?;
        let retain = flags & 0x20 != 0;
        if flags & 4 == 0 {
            if qos != Qos::AtMostOnce || retain {
                return Err(WireError::malformed("will flags without a will (MQTT-3.1.2-11, -13)"));
            }
            return Ok(None);
        }
        let properties: properties::WillProperties<'a> = self.properties(reader)?;
        response_topic(properties.response_topic)?;
        let topic = topic(reader, "a wildcard in the topic of a will (MQTT-4.7.1-1)")?;
        if topic.is_empty() {
            return Err(WireError::new(Reason::TopicNameInvalid, "a will's topic is empty (MQTT-4.7.3-1)"));
        }
        let payload = reader.u16_bytes(usize::MAX)?;
        Ok(Some(Will { qos, retain, properties, topic, payload }))
    }
}

const BAD_REASON: WireError = WireError::protocol("a reason code that this packet cannot have (MQTT 5 §2.4)");

fn reason(kind: Kind, number: u8) -> Result<Reason, WireError> {
    Reason::find(number).filter(|reason| reason.fits(kind)).ok_or(BAD_REASON)
}

fn packet_id(reader: &mut Reader<'_>) -> Result<PacketId, WireError> {
    NonZeroU16::new(reader.u16_be()?).ok_or(WireError::protocol("the packet identifier is 0 (MQTT-2.2.1-3)"))
}

/// The QoS of two bits.
const fn qos(bits: u8) -> Option<Qos> {
    match bits {
        0 => Some(Qos::AtMostOnce),
        1 => Some(Qos::AtLeastOnce),
        2 => Some(Qos::ExactlyOnce),
        _ => None,
    }
}

/// A string without wildcards; may be empty.
fn topic<'a>(reader: &mut Reader<'a>, wildcard: &'static str) -> Result<&'a str, WireError> {
    let topic = text(reader)?;
    if is_wild(topic) {
        return Err(WireError::new(Reason::TopicNameInvalid, wildcard));
    }
    Ok(topic)
}

fn response_topic(topic: Option<&str>) -> Result<(), WireError> {
    match topic {
        Some(topic) if is_wild(topic) => {
            Err(WireError::protocol("a wildcard in a response topic (MQTT-3.3.2-14)"))
        }
        _ => Ok(()),
    }
}

fn is_wild(topic: &str) -> bool {
    topic.bytes().fold(false, |found, byte| found | (byte == b'+') | (byte == b'#'))
}
