//! Templates say for each receiver what a packet of its own would have said.

use std::num::NonZeroU16;

use super::{
    super::form::{Alias, Extra, Layout, Patch, templates, write},
    *,
};
use strategy::publish;

const LAYOUTS: [Layout; 4] = [
    Layout { version: Version::V4, acked: false },
    Layout { version: Version::V4, acked: true },
    Layout { version: Version::V5, acked: false },
    Layout { version: Version::V5, acked: true },
];

fn joined(messages: &[Publish<'_>], layout: Layout) -> BytesMut {
    let mut into = BytesMut::new();
    messages.iter().for_each(|message| write(message, layout, &mut into));
    into
}

/// The packet that a receiver is to get, made without a template.
fn expected<'a>(message: &Publish<'a>, layout: Layout, patch: &Patch, extra: &Extra<'_>) -> Publish<'a> {
    let mut packet = message.clone();
    packet.dup = patch.dup && layout.acked;
    packet.qos = match (layout.acked, patch.qos) {
        (false, _) => Qos::AtMostOnce,
        (true, Qos::ExactlyOnce) => Qos::ExactlyOnce,
        (true, _) => Qos::AtLeastOnce,
    };
    packet.id = layout.acked.then_some(patch.id).flatten();
    packet.retain = patch.retain;
    let properties = &mut packet.properties;
    properties.topic_alias = None;
    properties.subscription_ids = extra.subscription_ids.to_vec();
    if let (Some(expiry), Some(left)) = (&mut properties.message_expiry, patch.expiry) {
        *expiry = left;
    }
    match (layout.version, extra.alias) {
        (Version::V4, _) => *properties = PublishProperties::default(),
        (Version::V5, Alias::None) => {}
        (Version::V5, Alias::Set(alias)) => properties.topic_alias = Some(alias),
        (Version::V5, Alias::Use(alias)) => {
            properties.topic_alias = Some(alias);
            packet.topic = "";
        }
    }
    packet
}

fn patch() -> impl Strategy<Value = Patch> {
    let qos = prop_oneof![Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce)];
    (any::<(bool, bool)>(), qos, any::<NonZeroU16>(), any::<Option<u32>>())
        .prop_map(|((dup, retain), qos, id, expiry)| Patch { dup, qos, retain, id: Some(id), expiry })
}

proptest! {
    #[test]
    fn a_patched_template_is_the_packet_of_its_receiver(
        messages in prop::collection::vec(publish(), 1..4),
        patch in patch(),
        alias: Option<(bool, NonZeroU16)>,
        ids in prop::collection::vec(1..100_000u32, 0..3),
    ) {
        let messages: Vec<_> = messages
            .into_iter()
            .map(|message| Publish { topic: if message.topic.is_empty() { "t" } else { message.topic }, ..message })
            .collect();
        let ids: Vec<_> = ids.into_iter().filter_map(SubscriptionIdentifier::new).collect();
        let alias = match alias {
            None => Alias::None,
            Some((true, alias)) => Alias::Set(alias),
            Some((false, alias)) => Alias::Use(alias),
        };
        let extra = Extra { alias, subscription_ids: &ids };
        for layout in LAYOUTS {
            let bytes = joined(&messages, layout);
            prop_assert_eq!(templates(&bytes, layout).count(), messages.len());
            for (message, template) in messages.iter().zip(templates(&bytes, layout)) {
                prop_assert_eq!(template.topic(), message.topic.as_bytes());
                let expiry = message.properties.message_expiry.filter(|_| layout.version == Version::V5);
                prop_assert_eq!(template.expiry(), expiry);

                let want = expected(message, layout, &patch, &Extra::default());
                let mut into = BytesMut::from(&b"before"[..]);
                template.write(&patch, &mut into);
                prop_assert_eq!(into.len() - 6, template.len());
                prop_assert_eq!(&into[6..], &written(&Packet::Publish(want), layout.version)[..]);

                let want = written(&Packet::Publish(expected(message, layout, &patch, &extra)), layout.version);
                let mut into = BytesMut::new();
                let too_large = template.write_with(&patch, &extra, want.len() - 1, &mut into);
                prop_assert_eq!(too_large, Err(EncodeError::TooLarge { len: want.len(), max: want.len() - 1 }));
                prop_assert!(into.is_empty());
                template.write_with(&patch, &extra, want.len(), &mut into).unwrap();
                prop_assert_eq!(into, want);
            }
        }
    }

    #[test]
    fn templates_of_any_bytes_pass(bytes: Vec<u8>, patch in patch()) {
        for layout in LAYOUTS {
            for template in templates(&bytes, layout) {
                template.write(&patch, &mut BytesMut::new());
                let extra = Extra { alias: Alias::Use(NonZeroU16::MIN), subscription_ids: &[] };
                template.write_with(&patch, &extra, 100, &mut BytesMut::new()).ok();
            }
        }
    }
}

#[test]
fn templates_of_qos_0_are_packets_as_they_are() {
    let messages = [plain("a", b"1"), plain("b", b""), plain("c", b"333")];
    for version in [Version::V4, Version::V5] {
        let bytes = joined(&messages, Layout { version, acked: false });
        let mut rest = &bytes[..];
        for message in &messages {
            let (packet, len) = read(rest, version).unwrap().unwrap();
            assert_eq!(packet, Packet::Publish(message.clone()));
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
    }
}

#[test]
fn a_message_that_mqtt_cannot_describe_goes_without_properties() {
    let long = "v".repeat(70_000);
    let properties = PublishProperties { user: vec![("n", &long)], ..Default::default() };
    let message = Publish { properties, ..plain("t", b"body") };
    let layout = Layout { version: Version::V5, acked: false };
    let bytes = joined(&[message, plain("next", b"")], layout);
    assert_eq!(read(&bytes, Version::V5).unwrap().unwrap().0, Packet::Publish(plain("t", b"body")));
    assert_eq!(templates(&bytes, layout).count(), 2);
}
