//! Packets to bytes.

use bytes::BytesMut;
use yizhan_wire::{WriteError, Writer, varint};

use super::{
    Qos, Reason, Version,
    packet::{Ack, Connect, Kind, Options, Packet, Publish, Reasons, RetainHandling},
    properties::Properties,
};

/// Why a packet cannot be written. Nothing was written then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It is larger than the receiver takes, also without what only explains.
    #[error("the packet has {len} bytes and the receiver takes {max}")]
    TooLarge {
        /// Its bytes.
        len: usize,
        /// What the receiver takes.
        max: usize,
    },
    /// A string or binary value has more than 65,535 bytes.
    #[error("a string or binary value has more than 65,535 bytes")]
    TooLong,
    /// A PUBLISH above QoS 0 without a packet identifier.
    #[error("PUBLISH above QoS 0 needs a packet identifier")]
    NoPacketId,
    /// The version has no such packet.
    #[error("MQTT {} has no {}", .0.name(), .1.name())]
    NotInVersion(Version, Kind),
}

impl From<WriteError> for EncodeError {
    fn from(_: WriteError) -> Self {
        Self::TooLong
    }
}

/// Appends a packet. Where it has more than `bytes_max` bytes, first its user properties and then its reason
/// string are left out, as far as they only explain (MQTT-3.2.2-19, -20 and their likes); a PUBLISH is
/// written whole or not at all. A CONNECT is written in its own version.
///
/// # Errors
/// See [`EncodeError`]. Nothing was appended then.
pub fn encode(
    packet: &Packet<'_>,
    version: Version,
    bytes_max: usize,
    into: &mut BytesMut,
) -> Result<(), EncodeError> {
    match write(packet, version, bytes_max, into) {
        Err(EncodeError::TooLarge { .. }) => {}
        done => return done,
    }
    let mut packet = packet.clone();
    packet.strip_user();
    match write(&packet, version, bytes_max, into) {
        Err(EncodeError::TooLarge { .. }) => {}
        done => return done,
    }
    packet.strip_reason();
    write(&packet, version, bytes_max, into)
}

/// How many bytes a packet takes, nothing left out.
#[must_use]
pub fn packet_len(packet: &Packet<'_>, version: Version) -> usize {
    framed(body_len(packet, version))
}

fn write(
    packet: &Packet<'_>,
    version: Version,
    bytes_max: usize,
    into: &mut BytesMut,
) -> Result<(), EncodeError> {
    let kind = packet.kind();
    if kind == Kind::Auth && version == Version::V4 {
        return Err(EncodeError::NotInVersion(version, kind));
    }
    if matches!(packet, Packet::Publish(p) if p.qos != Qos::AtMostOnce && p.id.is_none()) {
        return Err(EncodeError::NoPacketId);
    }
    let body_len = body_len(packet, version);
    within(body_len, bytes_max)?;
    let start = into.len();
    into.reserve(framed(body_len));
    let flags = match packet {
        Packet::Publish(publish) => publish_flags(publish.dup, publish.qos, publish.retain),
        _ => kind.flags(),
    };
    let mut writer = Writer::new(into);
    writer.u8((kind as u8) << 4 | flags);
    let written = length(body_len, &mut writer).and_then(|()| body(packet, version, &mut writer));
    if written.is_err() {
        into.truncate(start);
    } else {
        debug_assert_eq!(into.len() - start, framed(body_len), "{packet:?}");
    }
    Ok(written?)
}

/// Refuses a body that makes a packet of more than `bytes_max` bytes, or more than the standard has.
pub(super) fn within(body_len: usize, bytes_max: usize) -> Result<(), EncodeError> {
    let max = bytes_max.min(super::PACKET_BYTES_MAX);
    let len = framed(body_len);
    if len > max { Err(EncodeError::TooLarge { len, max }) } else { Ok(()) }
}

/// A body with its fixed header.
pub(super) const fn framed(body_len: usize) -> usize {
    1 + varint::leb128_len(body_len as u64) + body_len
}

/// The lower half of the first byte of PUBLISH (MQTT 5 §3.3.1).
pub(super) fn publish_flags(dup: bool, qos: Qos, retain: bool) -> u8 {
    u8::from(dup) << 3 | qos_bits(qos) << 1 | u8::from(retain)
}

const fn qos_bits(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

/// A length as a variable byte integer.
pub(super) fn length(len: usize, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
    into.mqtt_varint(u32::try_from(len).unwrap_or(u32::MAX))
}

/// Properties with their length before them; nothing in MQTT 3.1.1.
fn properties_len<'a>(properties: &impl Properties<'a>, version: Version) -> usize {
    match version {
        Version::V4 => 0,
        Version::V5 => {
            let len = properties.bytes_len();
            varint::leb128_len(len as u64) + len
        }
    }
}

pub(super) fn properties<'a>(
    properties: &impl Properties<'a>,
    version: Version,
    into: &mut Writer<'_, BytesMut>,
) -> Result<(), WriteError> {
    match version {
        Version::V4 => Ok(()),
        Version::V5 => {
            length(properties.bytes_len(), into)?;
            properties.write(into)
        }
    }
}

/// What a packet may end with when there is nothing to say: no reason, or no properties.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    Nothing,
    Reason,
    All,
}

fn tail<'a>(reason: Reason, properties: &impl Properties<'a>, version: Version) -> Tail {
    match (version, properties.bytes_len(), reason) {
        (Version::V4, ..) | (Version::V5, 0, Reason::Success) => Tail::Nothing,
        (Version::V5, 0, _) => Tail::Reason,
        (Version::V5, ..) => Tail::All,
    }
}

fn tail_len<'a>(tail: Tail, properties: &impl Properties<'a>) -> usize {
    match tail {
        Tail::Nothing => 0,
        Tail::Reason => 1,
        Tail::All => 1 + properties_len(properties, Version::V5),
    }
}

fn write_tail<'a>(
    tail: Tail,
    reason: Reason,
    of: &impl Properties<'a>,
    into: &mut Writer<'_, BytesMut>,
) -> Result<(), WriteError> {
    if tail != Tail::Nothing {
        into.u8(reason.number());
    }
    if tail == Tail::All {
        properties(of, Version::V5, into)?;
    }
    Ok(())
}

/// AUTH has its reason and its properties, or neither (MQTT 5 §3.15.2.1).
fn auth_tail(auth: &super::packet::Auth<'_>) -> Tail {
    match tail(auth.reason, &auth.properties, Version::V5) {
        Tail::Reason => Tail::All,
        tail => tail,
    }
}

fn body_len(packet: &Packet<'_>, version: Version) -> usize {
    match packet {
        Packet::Connect(p) => connect_len(p),
        Packet::Connack(p) => 2 + properties_len(&p.properties, version),
        Packet::Publish(p) => publish_len(p, version),
        Packet::Puback(p) | Packet::Pubrec(p) | Packet::Pubrel(p) | Packet::Pubcomp(p) => {
            2 + tail_len(tail(p.reason, &p.properties, version), &p.properties)
        }
        Packet::Subscribe(p) => {
            let filters: usize = p.filters.iter().map(|(filter, _)| 2 + filter.len() + 1).sum();
            2 + properties_len(&p.properties, version) + filters
        }
        Packet::Suback(p) => 2 + properties_len(&p.properties, version) + p.reasons.len(),
        Packet::Unsubscribe(p) => {
            let filters: usize = p.filters.iter().map(|filter| 2 + filter.len()).sum();
            2 + properties_len(&p.properties, version) + filters
        }
        Packet::Unsuback(p) => match version {
            Version::V4 => 2,
            Version::V5 => 2 + properties_len(&p.properties, version) + p.reasons.len(),
        },
        Packet::Pingreq | Packet::Pingresp => 0,
        Packet::Disconnect(p) => tail_len(tail(p.reason, &p.properties, version), &p.properties),
        Packet::Auth(p) => tail_len(auth_tail(p), &p.properties),
    }
}

fn connect_len(connect: &Connect<'_>) -> usize {
    let will = connect.will.as_ref().map_or(0, |will| {
        properties_len(&will.properties, connect.version) + 2 + will.topic.len() + 2 + will.payload.len()
    });
    10 + properties_len(&connect.properties, connect.version)
        + (2 + connect.client_id.len())
        + will
        + connect.user_name.map_or(0, |name| 2 + name.len())
        + connect.password.map_or(0, |password| 2 + password.0.len())
}

fn publish_len(publish: &Publish<'_>, version: Version) -> usize {
    let id = if publish.qos == Qos::AtMostOnce { 0 } else { 2 };
    2 + publish.topic.len() + id + properties_len(&publish.properties, version) + publish.payload.len()
}

fn body(packet: &Packet<'_>, version: Version, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
    match packet {
        Packet::Connect(p) => connect(p, into),
        Packet::Connack(p) => {
            into.u8(p.session_present.into());
            into.u8(match version {
                Version::V4 => p.reason.connack_v4(),
                Version::V5 => p.reason.number(),
            });
            properties(&p.properties, version, into)
        }
        Packet::Publish(p) => publish(p, version, into),
        Packet::Puback(p) | Packet::Pubrec(p) | Packet::Pubrel(p) | Packet::Pubcomp(p) => {
            ack(p, version, into)
        }
        Packet::Subscribe(p) => {
            into.u16_be(p.id.get());
            properties(&p.properties, version, into)?;
            p.filters.iter().try_for_each(|(filter, how)| {
                into.u16_bytes(filter.as_bytes())?;
                into.u8(options(*how, version));
                Ok(())
            })
        }
        Packet::Suback(p) => reasons(p, version, into, |reason| match version {
            Version::V4 => reason.suback_v4(),
            Version::V5 => reason.number(),
        }),
        Packet::Unsubscribe(p) => {
            into.u16_be(p.id.get());
            properties(&p.properties, version, into)?;
            p.filters.iter().try_for_each(|filter| into.u16_bytes(filter.as_bytes()))
        }
        Packet::Unsuback(p) if version == Version::V4 => {
            into.u16_be(p.id.get());
            Ok(())
        }
        Packet::Unsuback(p) => reasons(p, version, into, Reason::number),
        Packet::Pingreq | Packet::Pingresp => Ok(()),
        Packet::Disconnect(p) => {
            write_tail(tail(p.reason, &p.properties, version), p.reason, &p.properties, into)
        }
        Packet::Auth(p) => write_tail(auth_tail(p), p.reason, &p.properties, into),
    }
}

fn connect(connect: &Connect<'_>, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
    let version = connect.version;
    into.u16_bytes(b"MQTT")?;
    into.u8(version.level() | if connect.bridge { 0x80 } else { 0 });
    let will =
        connect.will.as_ref().map_or(0, |will| 4 | qos_bits(will.qos) << 3 | u8::from(will.retain) << 5);
    into.u8(u8::from(connect.clean_start) << 1
        | will
        | u8::from(connect.password.is_some()) << 6
        | u8::from(connect.user_name.is_some()) << 7);
    into.u16_be(connect.keep_alive);
    properties(&connect.properties, version, into)?;
    into.u16_bytes(connect.client_id.as_bytes())?;
    if let Some(will) = &connect.will {
        properties(&will.properties, version, into)?;
        into.u16_bytes(will.topic.as_bytes())?;
        into.u16_bytes(will.payload)?;
    }
    if let Some(name) = connect.user_name {
        into.u16_bytes(name.as_bytes())?;
    }
    if let Some(password) = connect.password {
        into.u16_bytes(password.0)?;
    }
    Ok(())
}

fn publish(
    publish: &Publish<'_>,
    version: Version,
    into: &mut Writer<'_, BytesMut>,
) -> Result<(), WriteError> {
    into.u16_bytes(publish.topic.as_bytes())?;
    if let Some(id) = publish.id.filter(|_| publish.qos != Qos::AtMostOnce) {
        into.u16_be(id.get());
    }
    properties(&publish.properties, version, into)?;
    into.bytes(publish.payload);
    Ok(())
}

fn ack(ack: &Ack<'_>, version: Version, into: &mut Writer<'_, BytesMut>) -> Result<(), WriteError> {
    into.u16_be(ack.id.get());
    write_tail(tail(ack.reason, &ack.properties, version), ack.reason, &ack.properties, into)
}

fn reasons(
    packet: &Reasons<'_>,
    version: Version,
    into: &mut Writer<'_, BytesMut>,
    number: impl Fn(Reason) -> u8,
) -> Result<(), WriteError> {
    into.u16_be(packet.id.get());
    properties(&packet.properties, version, into)?;
    packet.reasons.iter().for_each(|reason| into.u8(number(*reason)));
    Ok(())
}

fn options(options: Options, version: Version) -> u8 {
    let qos = qos_bits(options.qos);
    match version {
        Version::V4 => qos,
        Version::V5 => {
            let handling = match options.retain_handling {
                RetainHandling::Send => 0,
                RetainHandling::SendIfNew => 1,
                RetainHandling::Keep => 2,
            };
            qos | u8::from(options.no_local) << 2 | u8::from(options.retain_as_published) << 3 | handling << 4
        }
    }
}
