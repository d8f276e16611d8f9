//! Entries for fuzzing: bytes in, no panic, and what was read is written and read again as the same.

use bytes::BytesMut;

use crate::wire::{
    Kind, Limits, Packet, Qos, Version, decode, encode,
    form::{self, Alias, Extra, Layout, Patch},
    packet::{PacketId, Publish},
    properties::PublishProperties,
};

/// The first byte says which version is spoken, or that none is yet; the rest is a stream of packets.
pub fn fuzz_packet(bytes: &[u8]) {
    let Some((&how, mut bytes)) = bytes.split_first() else { return };
    let mut version = match how % 3 {
        0 => None,
        1 => Some(Version::V4),
        _ => Some(Version::V5),
    };
    let limits = Limits { packet_bytes_max: 2048, user_properties_max: 8, filters_max: 8 };
    while let Ok(Some((packet, len))) = decode(bytes, version, &limits) {
        bytes = &bytes[len..];
        if let Packet::Connect(connect) = &packet {
            version = Some(connect.version);
        }
        let version = version.unwrap_or(Version::V4);
        let mut once = BytesMut::new();
        encode(&packet, version, usize::MAX, &mut once).expect("what was read can be written");
        let known = (packet.kind() != Kind::Connect).then_some(version);
        // It may be a few bytes longer than it was: an absent length of properties is written out.
        let limits = Limits { packet_bytes_max: 4096, ..limits };
        let again = decode(&once, known, &limits).expect("what was written can be read");
        assert_eq!(again.as_ref(), Some(&(packet.clone(), once.len())));
        if let Packet::Publish(publish) = &packet {
            patched(publish, version);
        }
    }
}

/// A template of this PUBLISH, patched in the longest way, is read as what was put in.
fn patched(publish: &Publish<'_>, version: Version) {
    if publish.topic.is_empty() {
        return;
    }
    let layout = Layout { version, acked: publish.qos != Qos::AtMostOnce };
    let mut bytes = BytesMut::new();
    form::write(publish, layout, &mut bytes);
    let template = form::templates(&bytes, layout).next().expect("a template is a packet");
    let id = layout.acked.then_some(PacketId::MAX);
    let patch = Patch { dup: publish.dup, qos: publish.qos, retain: publish.retain, id, expiry: None };
    let properties = &publish.properties;
    let extra = Extra {
        alias: properties.topic_alias.map_or(Alias::None, Alias::Set),
        subscription_ids: &properties.subscription_ids,
    };
    let mut packet = BytesMut::new();
    template.write_with(&patch, &extra, usize::MAX, &mut packet).expect("it fits as it did before");
    let expected = Publish { id, ..publish.clone() };
    let limits = Limits { packet_bytes_max: 4096, ..Limits::default() };
    let read = decode(&packet, Some(version), &limits).expect("a patched template can be read");
    assert_eq!(read, Some((Packet::Publish(expected), packet.len())));
    packet.clear();
    template.write(&patch, &mut packet);
    let plain = PublishProperties { topic_alias: None, subscription_ids: Vec::new(), ..properties.clone() };
    let expected = Publish { id, properties: plain, ..publish.clone() };
    let read = decode(&packet, Some(version), &limits).expect("a patched template can be read");
    assert_eq!(read, Some((Packet::Publish(expected), packet.len())));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_pass(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            fuzz_packet(&bytes);
        }
    }
}
