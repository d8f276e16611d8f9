//! A message between the hub's words and PUBLISH, as it crosses a bridge.

use std::time::Duration;

use bytes::Bytes;
use yizhan_hub::{Qos, Record, Topic, link, message::RETAINED};
use yizhan_talk::Timestamp;

use super::VIA;
use crate::{
    connection::props::{self, About, seconds_left},
    wire::{PacketId, packet::Publish},
};

/// How a record is said to the other broker.
pub(super) struct How<'a> {
    /// Its name there.
    pub(super) topic: &'a str,
    pub(super) id: Option<PacketId>,
    pub(super) qos: Qos,
    pub(super) dup: bool,
    pub(super) retain: bool,
    /// The bridges that it has crossed, this one included.
    pub(super) via: &'a str,
    pub(super) now: Timestamp,
}

/// The bridges that a record has crossed.
pub(super) fn via_of(record: &Record) -> Option<&str> {
    record.message.headers.iter().rev().find(|(name, _)| **name == *VIA).map(|(_, via)| &**via)
}

/// The PUBLISH of a record, given to `write`.
pub(super) fn with_publish<T>(record: &Record, how: &How<'_>, write: impl FnOnce(Publish<'_>) -> T) -> T {
    props::with_publish(record, |plain| {
        let mut properties = plain.properties.clone();
        properties.user.retain(|(name, _)| *name != VIA);
        properties.user.push((VIA, how.via));
        properties.message_expiry = record.message.expires_at.map(|at| seconds_left(at.since(how.now)));
        write(Publish {
            dup: how.dup,
            qos: how.qos,
            retain: how.retain,
            topic: how.topic,
            id: how.id,
            properties,
            payload: plain.payload,
        })
    })
}

/// What the hub is to publish.
///
/// # Errors
/// The payload is not what it is said to be.
pub(super) fn message(
    publish: &Publish<'_>,
    topic: Topic,
    body: Bytes,
) -> Result<link::Publish, &'static str> {
    let (content, headers) = About::from(&publish.properties)
        .read(publish.payload)
        .map_err(|_| "its payload is not UTF-8, as it was said to be")?;
    Ok(link::Publish {
        key: publish.retain.then(|| RETAINED.into()),
        content,
        headers,
        expires_in: publish.properties.message_expiry.map(|seconds| Duration::from_secs(seconds.into())),
        qos: publish.qos,
        ..link::Publish::new(topic, body)
    })
}
