//! Any packet.

use std::num::{NonZeroU16, NonZeroU32};

use proptest::{collection::vec, option::of, prelude::*, sample::select};

use super::super::{packet::*, properties::*, *};

/// Packets borrow; what they borrow in tests lives to the end of the run.
fn text() -> impl Strategy<Value = &'static str> {
    prop_oneof!["[a-zA-Z0-9/$ é€𝄞]{0,8}", "[a-z]{200,300}"].prop_map(|text| &*text.leak())
}

fn name() -> impl Strategy<Value = &'static str> {
    text().prop_map(|text| if text.is_empty() { "t" } else { text })
}

fn data() -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), 0..20).prop_map(|data| &*data.leak())
}

fn user() -> impl Strategy<Value = UserProperties<'static>> {
    prop_oneof![Just(vec![]), vec((text(), text()), 0..3)]
}

fn qos() -> impl Strategy<Value = Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

fn reason(kind: Kind) -> impl Strategy<Value = Reason> {
    let fitting: Vec<_> = Reason::ALL.iter().copied().filter(|reason| reason.fits(kind)).collect();
    prop_oneof![Just(Reason::Success), select(fitting)].prop_filter("fits", move |reason| reason.fits(kind))
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    any::<NonZeroU16>()
}

fn subscription_id() -> impl Strategy<Value = SubscriptionIdentifier> {
    prop_oneof![1..200u32, 1..=268_435_455u32].prop_map(|n| SubscriptionIdentifier::new(n).unwrap())
}

/// Any packet of any version, such as both sides agree on.
pub(super) fn packet() -> impl Strategy<Value = (Version, Packet<'static>)> {
    prop_oneof![
        any_packet().prop_map(|packet| (Version::V5, packet)),
        any_packet()
            .prop_filter("3.1.1 has no AUTH", |packet| packet.kind() != Kind::Auth)
            .prop_map(|packet| (Version::V4, as_v4(packet))),
    ]
    .prop_map(|(version, packet)| match packet {
        // A password without a user name is allowed in MQTT 5 alone.
        Packet::Connect(mut p) => {
            p.version = version;
            if version == Version::V4 && p.user_name.is_none() {
                p.password = None;
            }
            (version, Packet::Connect(p))
        }
        packet => (version, packet),
    })
}

/// What is left of a packet in 3.1.1.
fn as_v4(packet: Packet<'static>) -> Packet<'static> {
    let ack = |ack: Ack<'static>| Ack::new(ack.id, Reason::Success);
    match packet {
        Packet::Connect(mut p) => {
            p.properties = ConnectProperties::default();
            if let Some(will) = &mut p.will {
                will.properties = WillProperties::default();
            }
            Packet::Connect(p)
        }
        Packet::Connack(mut p) => {
            p.reason = Reason::from_connack_v4(p.reason.connack_v4()).unwrap();
            p.properties = ConnackProperties::default();
            Packet::Connack(p)
        }
        Packet::Publish(mut p) => {
            p.properties = PublishProperties::default();
            p.topic = if p.topic.is_empty() { "t" } else { p.topic };
            Packet::Publish(p)
        }
        Packet::Puback(p) => Packet::Puback(ack(p)),
        Packet::Pubrec(p) => Packet::Pubrec(ack(p)),
        Packet::Pubrel(p) => Packet::Pubrel(ack(p)),
        Packet::Pubcomp(p) => Packet::Pubcomp(ack(p)),
        Packet::Subscribe(mut p) => {
            p.properties = SubscribeProperties::default();
            for (_, options) in &mut p.filters {
                *options = Options { qos: options.qos, ..Options::default() };
            }
            Packet::Subscribe(p)
        }
        Packet::Suback(mut p) => {
            p.properties = AckProperties::default();
            for reason in &mut p.reasons {
                *reason = Reason::find(reason.suback_v4()).unwrap();
            }
            Packet::Suback(p)
        }
        Packet::Unsubscribe(mut p) => {
            p.properties = UnsubscribeProperties::default();
            Packet::Unsubscribe(p)
        }
        Packet::Unsuback(p) => {
            let (properties, reasons) = (AckProperties::default(), vec![]);
            Packet::Unsuback(Reasons { id: p.id, properties, reasons })
        }
        Packet::Disconnect(_) => Packet::Disconnect(Disconnect::new(Reason::Success)),
        same => same,
    }
}

fn any_packet() -> BoxedStrategy<Packet<'static>> {
    prop_oneof![
        connect().prop_map(|p| Packet::Connect(Box::new(p))),
        connack().prop_map(|p| Packet::Connack(Box::new(p))),
        publish().prop_map(Packet::Publish),
        ack(Kind::Puback).prop_map(Packet::Puback),
        ack(Kind::Pubrec).prop_map(Packet::Pubrec),
        ack(Kind::Pubrel).prop_map(Packet::Pubrel),
        ack(Kind::Pubcomp).prop_map(Packet::Pubcomp),
        subscribe().prop_map(Packet::Subscribe),
        reasons(Kind::Suback).prop_map(Packet::Suback),
        (packet_id(), user(), vec(name(), 1..4)).prop_map(|(id, user, filters)| {
            Packet::Unsubscribe(Unsubscribe { id, properties: UnsubscribeProperties { user }, filters })
        }),
        reasons(Kind::Unsuback).prop_map(Packet::Unsuback),
        Just(Packet::Pingreq),
        Just(Packet::Pingresp),
        disconnect().prop_map(Packet::Disconnect),
        auth().prop_map(Packet::Auth),
    ]
    .boxed()
}

fn connect() -> impl Strategy<Value = Connect<'static>> {
    let properties = (
        (of(any::<u32>()), of(any::<NonZeroU16>()), of(any::<NonZeroU32>()), of(any::<u16>())),
        (of(any::<bool>()), of(any::<bool>()), user(), of((text(), of(data())))),
    )
        .prop_map(
            |((session_expiry, receive_maximum, maximum_packet_size, alias), (rri, rpi, user, auth))| {
                ConnectProperties {
                    session_expiry,
                    receive_maximum,
                    maximum_packet_size,
                    topic_alias_maximum: alias,
                    request_response_information: rri,
                    request_problem_information: rpi,
                    user,
                    authentication_method: auth.map(|(method, _)| method),
                    authentication_data: auth.and_then(|(_, data)| data).map(Hidden),
                }
            },
        );
    (any::<(bool, bool, u16)>(), properties, text(), of(will()), of(text()), of(data())).prop_map(
        |((bridge, clean_start, keep_alive), properties, client_id, will, user_name, password)| Connect {
            version: Version::V5,
            bridge,
            clean_start,
            keep_alive,
            properties,
            client_id,
            will,
            user_name,
            password: password.map(Hidden),
        },
    )
}

/// One with nothing but a user.
pub(super) fn connect_plain<'a>(user_name: Option<&'a str>, password: Option<Hidden<'a>>) -> Connect<'a> {
    Connect {
        version: Version::V5,
        bridge: false,
        clean_start: true,
        keep_alive: 60,
        properties: ConnectProperties::default(),
        client_id: "",
        will: None,
        user_name,
        password,
    }
}

fn will() -> impl Strategy<Value = Will<'static>> {
    let properties = (of(any::<u32>()), message());
    (qos(), any::<bool>(), properties, name(), data()).prop_map(
        |(qos, retain, (delay, m), topic, payload)| {
            let properties = WillProperties {
                delay,
                payload_is_utf8: m.payload_is_utf8,
                message_expiry: m.message_expiry,
                content_type: m.content_type,
                response_topic: m.response_topic,
                correlation_data: m.correlation_data,
                user: m.user,
            };
            Will { qos, retain, properties, topic, payload }
        },
    )
}

/// What a message carries wherever it is.
pub(super) fn message() -> impl Strategy<Value = PublishProperties<'static>> {
    let values = (of(any::<bool>()), of(any::<u32>()), of(text()), of(text()), of(data()), user());
    values.prop_map(
        |(payload_is_utf8, message_expiry, content_type, response_topic, correlation_data, user)| {
            PublishProperties {
                payload_is_utf8,
                message_expiry,
                content_type,
                response_topic,
                correlation_data,
                user,
                ..PublishProperties::default()
            }
        },
    )
}

fn connack() -> impl Strategy<Value = Connack<'static>> {
    let numbers = (
        (
            of(any::<u32>()),
            of(any::<NonZeroU16>()),
            of(any::<NonZeroU32>()),
            of(any::<u16>()),
            of(any::<u16>()),
        ),
        of(select(vec![Qos::AtMostOnce, Qos::AtLeastOnce])),
        (of(any::<bool>()), of(any::<bool>()), of(any::<bool>()), of(any::<bool>())),
    );
    let texts = (of(text()), of(text()), of(text()), of(text()), of(text()), of(data()), user());
    (any::<bool>(), reason(Kind::Connack), numbers, texts).prop_map(|(present, reason, numbers, texts)| {
        let ((session_expiry, receive_maximum, maximum_packet_size, alias, keep_alive), qos, flags) = numbers;
        Connack {
            session_present: present && reason == Reason::Success,
            reason,
            properties: ConnackProperties {
                session_expiry,
                receive_maximum,
                maximum_qos: qos,
                retain_available: flags.0,
                maximum_packet_size,
                assigned_client_id: texts.0,
                topic_alias_maximum: alias,
                reason_string: texts.1,
                user: texts.6,
                wildcard_subscription_available: flags.1,
                subscription_identifiers_available: flags.2,
                shared_subscription_available: flags.3,
                server_keep_alive: keep_alive,
                response_information: texts.2,
                server_reference: texts.3,
                authentication_method: texts.4,
                authentication_data: texts.5.map(Hidden),
            },
        }
    })
}

pub(super) fn publish() -> impl Strategy<Value = Publish<'static>> {
    let own = (of(any::<NonZeroU16>()), vec(subscription_id(), 0..3));
    (any::<(bool, bool)>(), qos(), name(), packet_id(), message(), own, data()).prop_map(
        |((dup, retain), qos, topic, id, message, (topic_alias, subscription_ids), payload)| Publish {
            dup: dup && qos != Qos::AtMostOnce,
            qos,
            retain,
            topic: if topic_alias.is_some() && topic.len() < 3 { "" } else { topic },
            id: (qos != Qos::AtMostOnce).then_some(id),
            properties: PublishProperties { topic_alias, subscription_ids, ..message },
            payload,
        },
    )
}

fn ack(kind: Kind) -> impl Strategy<Value = Ack<'static>> {
    (packet_id(), reason(kind), ack_properties()).prop_map(|(id, reason, properties)| Ack {
        id,
        reason,
        properties,
    })
}

fn ack_properties() -> impl Strategy<Value = AckProperties<'static>> {
    (of(text()), user()).prop_map(|(reason_string, user)| AckProperties { reason_string, user })
}

fn subscribe() -> impl Strategy<Value = Subscribe<'static>> {
    let handling = select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::Keep]);
    let filter = (name(), qos(), any::<(bool, bool)>(), handling);
    (packet_id(), of(subscription_id()), user(), vec(filter, 1..4)).prop_map(
        |(id, subscription_id, user, filters)| {
            let filters =
                filters.into_iter().map(|(filter, qos, (no_local, retain_as_published), retain_handling)| {
                    let no_local = no_local && !filter.starts_with("$share/");
                    (filter, Options { qos, no_local, retain_as_published, retain_handling })
                });
            let properties = SubscribeProperties { subscription_id, user };
            Subscribe { id, properties, filters: filters.collect() }
        },
    )
}

fn reasons(kind: Kind) -> impl Strategy<Value = Reasons<'static>> {
    (packet_id(), ack_properties(), vec(reason(kind), 0..4)).prop_map(|(id, properties, reasons)| Reasons {
        id,
        properties,
        reasons,
    })
}

fn disconnect() -> impl Strategy<Value = Disconnect<'static>> {
    (reason(Kind::Disconnect), of(any::<u32>()), ack_properties(), of(text())).prop_map(
        |(reason, session_expiry, AckProperties { reason_string, user }, server_reference)| Disconnect {
            reason,
            properties: DisconnectProperties { session_expiry, reason_string, user, server_reference },
        },
    )
}

fn auth() -> impl Strategy<Value = Auth<'static>> {
    (reason(Kind::Auth), text(), of(data()), ack_properties()).prop_map(
        |(reason, method, data, AckProperties { reason_string, user })| Auth {
            reason,
            properties: AuthProperties { method: Some(method), data: data.map(Hidden), reason_string, user },
        },
    )
}
