//! Bytes that the standard shows or spells out in its figures, and shortest forms.

use super::*;

#[track_caller]
fn both_ways(version: Version, bytes: &[u8], packet: Packet<'_>) {
    assert_eq!(read(bytes, version).unwrap(), Some((packet.clone(), bytes.len())));
    assert_eq!(&written(&packet, version)[..], bytes);
}

/// MQTT 5 §3.1.2, figure 3-6: user name, password, will retain no, will QoS 1, will, clean start; keep alive
/// 10; session expiry 10.
#[test]
fn the_variable_header_of_connect() {
    let head = b"\x10\x2b\x00\x04MQTT\x05\xce\x00\x0a\x05\x11\x00\x00\x00\x0a";
    let payload = b"\x00\x01c\x00\x00\x01w\x00\x03bye\x00\x04user\x00\x04pass";
    let mut bytes = [&head[..], payload].concat();
    bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
    let connect = Connect {
        version: Version::V5,
        bridge: false,
        clean_start: true,
        keep_alive: 10,
        properties: ConnectProperties { session_expiry: Some(10), ..Default::default() },
        client_id: "c",
        will: Some(Will {
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: WillProperties::default(),
            topic: "w",
            payload: b"bye",
        }),
        user_name: Some("user"),
        password: Some(Hidden(b"pass")),
    };
    both_ways(Version::V5, &bytes, Packet::Connect(Box::new(connect)));
}

/// MQTT 3.1.1 §3.1.2, figure 3.6.
#[test]
fn the_variable_header_of_connect_in_3_1_1() {
    let bytes = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c";
    let connect = Connect {
        version: Version::V4,
        keep_alive: 10,
        client_id: "c",
        ..strategy::connect_plain(None, None)
    };
    both_ways(Version::V4, bytes, Packet::Connect(Box::new(connect.clone())));
    let bytes = b"\x10\x0d\x00\x04MQTT\x84\x02\x00\x0a\x00\x01c";
    both_ways(Version::V4, bytes, Packet::Connect(Box::new(Connect { bridge: true, ..connect })));
}

/// MQTT 5 §1.5.4.1, figure 1-1: a string with a letter beyond the basic plane.
#[test]
fn a_string_of_a_and_u_2a6d4() {
    let bytes = b"\x30\x07\x00\x05A\xf0\xaa\x9b\x94";
    both_ways(Version::V4, bytes, Packet::Publish(plain("A\u{2a6d4}", b"")));
}

/// MQTT 3.1.1 §1.5.3-3: U+FEFF is a character like others, wherever it stands.
#[test]
fn a_byte_order_mark_is_not_stripped() {
    let bytes = b"\x30\x06\x00\x04\xef\xbb\xbfA";
    both_ways(Version::V4, bytes, Packet::Publish(plain("\u{feff}A", b"")));
}

/// MQTT 5 §3.3.2.2, figure 3-9: topic `a/b`, packet identifier 10, no properties.
#[test]
fn the_variable_header_of_publish() {
    let publish = Publish { qos: Qos::AtLeastOnce, id: Some(id(10)), ..plain("a/b", b"hi") };
    let bytes = b"\x32\x0a\x00\x03a/b\x00\x0a\x00hi";
    both_ways(Version::V5, bytes, Packet::Publish(publish.clone()));
    both_ways(Version::V4, b"\x32\x09\x00\x03a/b\x00\x0ahi", Packet::Publish(publish));
}

/// MQTT 5 §3.8.3, figure 3-21: `a/b` at QoS 1 and `c/d` at QoS 2; §3.8.2.1, figure 3-20: identifier 10.
#[test]
fn the_payload_of_subscribe() {
    let options = |qos| Options { qos, ..Options::default() };
    let filters = vec![("a/b", options(Qos::AtLeastOnce)), ("c/d", options(Qos::ExactlyOnce))];
    let subscribe = Packet::Subscribe(Subscribe { id: id(10), properties: Default::default(), filters });
    let bytes = b"\x82\x0f\x00\x0a\x00\x00\x03a/b\x01\x00\x03c/d\x02";
    both_ways(Version::V5, bytes, subscribe.clone());
    both_ways(Version::V4, b"\x82\x0e\x00\x0a\x00\x03a/b\x01\x00\x03c/d\x02", subscribe);
}

/// MQTT 3.1.1 §3.9.3, figure 3.27: success with QoS 0, with QoS 2, failure.
#[test]
fn the_payload_of_suback() {
    let reasons = vec![Reason::Success, Reason::GrantedQos2, Reason::Unspecified];
    let suback = Packet::Suback(Reasons { id: id(10), properties: Default::default(), reasons });
    both_ways(Version::V4, b"\x90\x05\x00\x0a\x00\x02\x80", suback.clone());
    both_ways(Version::V5, b"\x90\x06\x00\x0a\x00\x00\x02\x80", suback);
}

/// MQTT 5 §3.10.3, figure 3-30.
#[test]
fn the_payload_of_unsubscribe() {
    let filters = vec!["a/b", "c/d"];
    let unsubscribe =
        Packet::Unsubscribe(Unsubscribe { id: id(10), properties: Default::default(), filters });
    both_ways(Version::V5, b"\xa2\x0d\x00\x0a\x00\x00\x03a/b\x00\x03c/d", unsubscribe.clone());
    both_ways(Version::V4, b"\xa2\x0c\x00\x0a\x00\x03a/b\x00\x03c/d", unsubscribe);
}

/// MQTT 5 §2.2.2.2: user properties keep their order, and a name may come twice.
#[test]
fn user_properties_come_in_order_and_twice() {
    let properties = PublishProperties {
        message_expiry: Some(7),
        user: vec![("b", "1"), ("a", "2"), ("b", "1")],
        ..Default::default()
    };
    let publish = Publish { properties, ..plain("t", b"!") };
    let user = b"\x26\x00\x01b\x00\x011\x26\x00\x01a\x00\x012\x26\x00\x01b\x00\x011";
    let bytes = [&b"\x30\x1f\x00\x01t\x1a\x02\x00\x00\x00\x07"[..], user, b"!"].concat();
    both_ways(Version::V5, &bytes, Packet::Publish(publish));
}

/// MQTT 5 §3.4.2.1, §3.14.2.1, §3.15.2.1: what says nothing is left out.
#[test]
fn the_shortest_forms() {
    for version in [Version::V4, Version::V5] {
        both_ways(version, b"\xc0\x00", Packet::Pingreq);
        both_ways(version, b"\xd0\x00", Packet::Pingresp);
        both_ways(version, b"\xe0\x00", Packet::Disconnect(Disconnect::new(Reason::Success)));
        let ack = Ack::new(id(0x1234), Reason::Success);
        both_ways(version, b"\x40\x02\x12\x34", Packet::Puback(ack.clone()));
        both_ways(version, b"\x50\x02\x12\x34", Packet::Pubrec(ack.clone()));
        both_ways(version, b"\x62\x02\x12\x34", Packet::Pubrel(ack.clone()));
        both_ways(version, b"\x70\x02\x12\x34", Packet::Pubcomp(ack));
    }
    let ack = Ack::new(id(1), Reason::NoMatchingSubscribers);
    both_ways(Version::V5, b"\x40\x03\x00\x01\x10", Packet::Puback(ack));
    both_ways(Version::V5, b"\xe0\x01\x8e", Packet::Disconnect(Disconnect::new(Reason::SessionTakenOver)));
    let auth = Auth { reason: Reason::Success, properties: AuthProperties::default() };
    both_ways(Version::V5, b"\xf0\x00", Packet::Auth(auth));
    both_ways(Version::V4, b"\xb0\x02\x00\x0a", {
        Packet::Unsuback(Reasons { id: id(10), properties: Default::default(), reasons: vec![] })
    });
}

/// What others may send though it could be shorter.
#[test]
fn longer_forms_are_read_too() {
    let ack = Packet::Puback(Ack::new(id(1), Reason::Success));
    assert_eq!(read(b"\x40\x03\x00\x01\x00", Version::V5).unwrap().unwrap().0, ack);
    assert_eq!(read(b"\x40\x04\x00\x01\x00\x00", Version::V5).unwrap().unwrap().0, ack);
    let bye = Packet::Disconnect(Disconnect::new(Reason::Success));
    assert_eq!(read(b"\xe0\x02\x00\x00", Version::V5).unwrap().unwrap().0, bye);
    // 3.1.1 does not ask for the shortest remaining length.
    assert_eq!(read(b"\xe0\x80\x00", Version::V4).unwrap().unwrap(), (bye, 3));
}

/// MQTT 3.1.1 §3.2.2.3, table 3.1.
#[test]
fn return_codes_of_connack() {
    let connack = |reason| {
        Packet::Connack(Box::new(Connack { session_present: false, reason, properties: Default::default() }))
    };
    both_ways(Version::V4, b"\x20\x02\x00\x05", connack(Reason::NotAuthorized));
    both_ways(Version::V5, b"\x20\x03\x00\x87\x00", connack(Reason::NotAuthorized));
    assert_eq!(&written(&connack(Reason::Banned), Version::V4)[..], b"\x20\x02\x00\x05");
}
