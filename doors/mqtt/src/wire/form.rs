//! PUBLISH for many receivers: written once, then copied and patched for each.
//!
//! A template is a whole PUBLISH packet with neutral values in the few places that differ from receiver to
//! receiver: first byte `0x30` (QoS 0) or `0x32` (QoS 1, with packet identifier 1), no topic alias, no
//! subscription identifier, and the message expiry, where there is one, first among the properties. There are
//! four layouts ([`Layout`]), each with a [`Form`] of its own, so that a record and a batch remember theirs
//! (`Record::form`, `Batch::form`).
//!
//! Templates stand one behind the other without anything between, in the order of the batch's records:
//!
//! - A receiver of QoS 0 that wants neither the retain flag nor subscription identifiers nor aliases is given
//!   the bytes as they are, the whole batch in one copy, unless a record of it expires.
//! - All others walk over them with [`templates`]: [`Template::write`] copies one and patches flags, packet
//!   identifier and expiry in place; [`Template::write_with`] makes room for an alias or identifiers.
//!
//! ```text
//! let layout = Layout { version, acked: qos != Qos::AtMostOnce };
//! let bytes = batch.form(layout.form(), |records| {
//!     let mut into = BytesMut::new();
//!     records.iter().for_each(|record| form::write(&publish_of(record), layout, &mut into));
//!     into.freeze()
//! });
//! for (record, template) in batch.records().iter().zip(form::templates(bytes, layout)) {
//!     template.write(&Patch { qos, id: Some(id), ..Patch::default() }, into);
//! }
//! ```

use std::num::NonZeroU16;

use bytes::{BufMut, BytesMut};
use yizhan_hub::Form;
use yizhan_wire::{Reader, Writer, varint};

use super::{
    PacketId, Qos, Version,
    encode::{self, EncodeError, framed, length, publish_flags, within},
    packet::{Packet, Publish},
    properties::{PublishProperties, SubscriptionIdentifier, id},
};

/// How a template is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    /// 3.1.1 has no properties.
    pub version: Version,
    /// There is room for a packet identifier: QoS 1 and 2.
    pub acked: bool,
}

impl Layout {
    /// The number under which records remember it.
    #[must_use]
    pub const fn form(self) -> Form {
        match (self.version, self.acked) {
            (Version::V4, false) => Form::MQTT_V4_QOS0,
            (Version::V4, true) => Form::MQTT_V4_ACKED,
            (Version::V5, false) => Form::MQTT_V5_QOS0,
            (Version::V5, true) => Form::MQTT_V5_ACKED,
        }
    }
}

/// Appends the template of a message. Its flags, packet identifier, alias and subscription identifiers are
/// not looked at.
///
/// A property of more than 65,535 bytes cannot be said in MQTT: the message goes without properties then.
/// Always one packet, as long as the topic is one of the hub's.
pub fn write(publish: &Publish<'_>, layout: Layout, into: &mut BytesMut) {
    let (qos, id) = match layout.acked {
        false => (Qos::AtMostOnce, None),
        true => (Qos::AtLeastOnce, Some(PacketId::MIN)),
    };
    let properties =
        PublishProperties { topic_alias: None, subscription_ids: Vec::new(), ..publish.properties.clone() };
    let publish = Publish { dup: false, qos, retain: false, id, properties, ..*publish };
    let plain = Publish { properties: PublishProperties::default(), ..publish };
    let whole = encode::encode(&Packet::Publish(publish), layout.version, usize::MAX, into);
    if whole.is_err() {
        let plain = encode::encode(&Packet::Publish(plain), layout.version, usize::MAX, into);
        debug_assert!(plain.is_ok(), "a hub's topic fits into MQTT's");
    }
}

/// The templates in `bytes`, one after the other.
pub fn templates(bytes: &[u8], layout: Layout) -> impl Iterator<Item = Template<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let template = Template::at_front(rest, layout)?;
        rest = rest.get(template.len()..)?;
        Some(template)
    })
}

/// What differs from receiver to receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Patch {
    /// It was sent before. Only in a layout with acks.
    pub dup: bool,
    /// 1 or 2 in a layout with acks; the other layout has QoS 0 in any case.
    pub qos: Qos,
    /// The retain flag.
    pub retain: bool,
    /// The packet identifier, in a layout with acks.
    pub id: Option<PacketId>,
    /// What is left of the expiry, seconds; `None` leaves it. Only where the message has one.
    pub expiry: Option<u32>,
}

/// What makes a packet longer than its template. MQTT 5 only; nothing of it goes to a receiver of 3.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extra<'a> {
    /// How the topic is named.
    pub alias: Alias,
    /// The identifiers of the subscriptions it is sent for.
    pub subscription_ids: &'a [SubscriptionIdentifier],
}

/// How a topic is named (MQTT 5 §3.3.2.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alias {
    /// In full.
    #[default]
    None,
    /// In full, and from now on by this number too.
    Set(NonZeroU16),
    /// By its number alone.
    Use(NonZeroU16),
}

/// One template.
#[derive(Debug, Clone, Copy)]
pub struct Template<'a> {
    bytes: &'a [u8],
    layout: Layout,
    /// Where the body begins, with the topic's length.
    body: usize,
    /// Where the topic ends, and the packet identifier is.
    topic_end: usize,
}

impl<'a> Template<'a> {
    fn at_front(bytes: &'a [u8], layout: Layout) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        reader.u8().ok()?;
        let body_len = reader.mqtt_varint().ok()? as usize;
        let body = reader.at();
        let topic_len = usize::from(reader.u16_be().ok()?);
        let bytes = bytes.get(..body + body_len)?;
        Some(Self { bytes, layout, body, topic_end: body + 2 + topic_len })
    }

    /// Bytes of the packet that [`write`](Self::write) makes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a packet has bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &'a [u8] {
        self.bytes.get(self.body + 2..self.topic_end).unwrap_or_default()
    }

    /// The message's expiry as the template has it, seconds.
    #[must_use]
    pub fn expiry(&self) -> Option<u32> {
        let value = self.bytes.get(self.expiry_at()?..)?.first_chunk()?;
        Some(u32::from_be_bytes(*value))
    }

    /// Appends the packet for one receiver: a copy, and a few bytes patched.
    pub fn write(&self, patch: &Patch, into: &mut BytesMut) {
        let start = into.len();
        into.extend_from_slice(self.bytes);
        let Some(packet) = into.get_mut(start..) else { return };
        if let Some(first) = packet.first_mut() {
            *first = self.first_byte(patch);
        }
        if let (true, Some(id)) = (self.layout.acked, patch.id)
            && let Some(place) = packet.get_mut(self.topic_end..self.topic_end + 2)
        {
            place.copy_from_slice(&id.get().to_be_bytes());
        }
        if let (Some(seconds), Some(at)) = (patch.expiry, self.expiry_at())
            && let Some(place) = packet.get_mut(at..at + 4)
        {
            place.copy_from_slice(&seconds.to_be_bytes());
        }
    }

    /// Appends the packet for one receiver, with an alias or subscription identifiers.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`] where it has more than `bytes_max` bytes; nothing was appended then.
    pub fn write_with(
        &self,
        patch: &Patch,
        extra: &Extra<'_>,
        bytes_max: usize,
        into: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let is_plain = extra.alias == Alias::None && extra.subscription_ids.is_empty();
        let Some(parts) = self.parts().filter(|_| !is_plain && self.layout.version == Version::V5) else {
            within(self.len() - self.body, bytes_max)?;
            self.write(patch, into);
            return Ok(());
        };
        let topic = if let Alias::Use(_) = extra.alias { &[][..] } else { self.topic() };
        let alias = match extra.alias {
            Alias::None => None,
            Alias::Set(alias) | Alias::Use(alias) => Some(alias),
        };
        let expiry = parts.expiry.map(|was| patch.expiry.unwrap_or(was));
        let ids: usize =
            extra.subscription_ids.iter().map(|id| 1 + varint::leb128_len(id.get().into())).sum();
        let properties_len = expiry.map_or(0, |_| 5) + alias.map_or(0, |_| 3) + ids + parts.properties.len();
        let packet_id = if self.layout.acked { 2 } else { 0 };
        let body_len = 2
            + topic.len()
            + packet_id
            + varint::leb128_len(properties_len as u64)
            + properties_len
            + parts.payload.len();
        within(body_len, bytes_max)?;
        into.reserve(framed(body_len));
        let mut writer = Writer::new(into);
        writer.u8(self.first_byte(patch));
        length(body_len, &mut writer)?;
        writer.u16_bytes(topic)?;
        if self.layout.acked {
            writer.u16_be(patch.id.unwrap_or(PacketId::MIN).get());
        }
        length(properties_len, &mut writer)?;
        if let Some(seconds) = expiry {
            writer.u8(id::MESSAGE_EXPIRY);
            writer.u32_be(seconds);
        }
        if let Some(alias) = alias {
            writer.u8(id::TOPIC_ALIAS);
            writer.u16_be(alias.get());
        }
        for subscription in extra.subscription_ids {
            writer.u8(id::SUBSCRIPTION_ID);
            writer.mqtt_varint(subscription.get())?;
        }
        into.put_slice(parts.properties);
        into.put_slice(parts.payload);
        Ok(())
    }

    fn first_byte(&self, patch: &Patch) -> u8 {
        0x30 | match (self.layout.acked, patch.qos) {
            (false, _) => publish_flags(false, Qos::AtMostOnce, patch.retain),
            (true, Qos::ExactlyOnce) => publish_flags(patch.dup, Qos::ExactlyOnce, patch.retain),
            (true, _) => publish_flags(patch.dup, Qos::AtLeastOnce, patch.retain),
        }
    }

    /// Where the length of the properties is.
    fn properties_at(&self) -> usize {
        self.topic_end + if self.layout.acked { 2 } else { 0 }
    }

    /// Where the seconds of the expiry are, if there is one.
    fn expiry_at(&self) -> Option<usize> {
        if self.layout.version == Version::V4 {
            return None;
        }
        let mut reader = Reader::new(self.bytes.get(self.properties_at()..)?);
        let len = reader.mqtt_varint().ok()?;
        (len > 0 && reader.peek()? == id::MESSAGE_EXPIRY).then(|| self.properties_at() + reader.at() + 1)
    }

    /// What stands behind the topic, in MQTT 5.
    fn parts(&self) -> Option<Parts<'a>> {
        let mut reader = Reader::new(self.bytes.get(self.properties_at()..)?);
        let len = reader.mqtt_varint().ok()? as usize;
        let mut properties = reader.bytes(len).ok()?;
        let expiry = self.expiry();
        if expiry.is_some() {
            properties = properties.get(5..)?;
        }
        Some(Parts { expiry, properties, payload: reader.rest() })
    }
}

struct Parts<'a> {
    expiry: Option<u32>,
    /// All others, as they are written.
    properties: &'a [u8],
    payload: &'a [u8],
}
