//! The codec against itself, the standard's examples, and what is not allowed.

mod examples;
mod forms;
mod malformed;
mod strategy;

use bytes::BytesMut;
use proptest::prelude::*;

use super::{packet::*, properties::*, *};
use strategy::packet;

/// What tests allow.
const WIDE: Limits =
    Limits { packet_bytes_max: PACKET_BYTES_MAX, user_properties_max: 1000, filters_max: 1000 };

fn written(packet: &Packet<'_>, version: Version) -> BytesMut {
    let mut into = BytesMut::new();
    encode(packet, version, usize::MAX, &mut into).unwrap();
    into
}

/// Reads one packet as its receiver would: a CONNECT before the version is known.
fn read(bytes: &[u8], version: Version) -> Result<Option<(Packet<'_>, usize)>, WireError> {
    let is_connect = bytes.first().is_some_and(|first| first >> 4 == 1);
    decode(bytes, (!is_connect).then_some(version), &WIDE)
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

proptest! {
    #[test]
    fn a_packet_survives_its_bytes((version, packet) in packet()) {
        let bytes = written(&packet, version);
        prop_assert_eq!(bytes.len(), encode::packet_len(&packet, version));
        let (same, len) = read(&bytes, version).unwrap().unwrap();
        prop_assert_eq!(len, bytes.len());
        prop_assert_eq!(same, packet);
    }

    #[test]
    fn a_packet_that_goes_on_is_waited_for((version, packet) in packet()) {
        let bytes = written(&packet, version);
        for len in 0..bytes.len() {
            prop_assert_eq!(read(&bytes[..len], version), Ok(None));
        }
    }

    #[test]
    fn what_follows_a_packet_is_left_alone((version, packet) in packet(), more: Vec<u8>) {
        let mut bytes = written(&packet, version);
        let len = bytes.len();
        bytes.extend_from_slice(&more);
        prop_assert_eq!(read(&bytes, version).unwrap().unwrap(), (packet, len));
    }

    #[test]
    fn a_packet_cut_short_inside_its_length_is_an_error_or_another_packet((version, packet) in packet()) {
        // The remaining length says less than the fields do: whatever comes out is no panic.
        let bytes = written(&packet, version);
        let (head, body) = bytes.split_at(if bytes.len() > 129 { 3 } else { 2 });
        for len in 0..body.len().min(127) {
            let cut = [&[head[0], u8::try_from(len).unwrap()], &body[..len]].concat();
            if let Ok(Some((packet, _))) = read(&cut, version) {
                written(&packet, version);
            }
        }
    }

    #[test]
    fn damaged_packets_pass(
        (version, packet) in packet(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = written(&packet, version);
        for (at, byte) in damage {
            let i = at.index(bytes.len());
            bytes[i] = byte;
        }
        if let Ok(Some((packet, len))) = read(&bytes, version) {
            prop_assert!(len <= bytes.len());
            written(&packet, version);
        }
    }

    #[test]
    fn any_bytes_pass(bytes: Vec<u8>) {
        for version in [None, Some(Version::V4), Some(Version::V5)] {
            decode(&bytes, version, &Limits::default()).ok();
        }
    }

    #[test]
    fn what_only_explains_is_left_out_of_a_packet_that_is_too_large((version, packet) in packet()) {
        let whole = written(&packet, version);
        let mut bare = packet.clone();
        bare.strip_user();
        bare.strip_reason();
        let bare_len = encode::packet_len(&bare, version);
        let mut into = BytesMut::from(&b"before"[..]);
        for max in bare_len.saturating_sub(1)..=whole.len() {
            into.truncate(6);
            let result = encode(&packet, version, max, &mut into);
            if max < bare_len {
                prop_assert_eq!(result, Err(EncodeError::TooLarge { len: bare_len, max }));
                prop_assert_eq!(&into[..], b"before");
            } else {
                prop_assert_eq!(result, Ok(()));
                prop_assert!(into.len() - 6 <= max);
                prop_assert!((into.len() - 6 == whole.len()) == (max >= whole.len() || bare_len == whole.len()));
                prop_assert!(read(&into[6..], version).unwrap().is_some());
            }
        }
    }
}

#[test]
fn user_properties_go_before_the_reason_string() {
    let puback = Packet::Puback(Ack {
        id: id(1),
        reason: Reason::QuotaExceeded,
        properties: AckProperties { reason_string: Some("full"), user: vec![("a", "b")] },
    });
    let mut into = BytesMut::new();
    encode(&puback, Version::V5, 13, &mut into).unwrap();
    let Ok(Some((Packet::Puback(ack), 13))) = read(&into, Version::V5) else { panic!("{into:?}") };
    assert_eq!(ack.properties, AckProperties { reason_string: Some("full"), user: vec![] });
}

#[test]
fn a_packet_over_the_limit_is_refused_by_its_fixed_header() {
    let limits = Limits { packet_bytes_max: 100, ..Limits::default() };
    let too_large = decode(&[0x30, 99], Some(Version::V5), &limits).unwrap_err();
    assert_eq!(too_large.reason, Reason::PacketTooLarge);
    assert_eq!(decode(&[0x30, 98], Some(Version::V5), &limits), Ok(None));
    let too_large = decode(&[0x10, 0xff, 0xff, 0xff, 0x7f], None, &limits).unwrap_err();
    assert_eq!(too_large.reason, Reason::PacketTooLarge);
}

#[test]
fn lists_have_bounds() {
    let limits = Limits { user_properties_max: 2, filters_max: 2, ..Limits::default() };
    let publish = |count| {
        let properties = PublishProperties { user: vec![("a", "b"); count], ..Default::default() };
        written(&Packet::Publish(Publish { properties, ..plain("t", b"") }), Version::V5)
    };
    assert!(decode(&publish(2), Some(Version::V5), &limits).is_ok());
    let refused = decode(&publish(3), Some(Version::V5), &limits).unwrap_err();
    assert_eq!(refused.reason, Reason::QuotaExceeded);
    for version in [Version::V4, Version::V5] {
        let subscribe = |count| {
            let filters = vec![("a", Options::default()); count];
            written(
                &Packet::Subscribe(Subscribe { id: id(1), properties: Default::default(), filters }),
                version,
            )
        };
        assert!(decode(&subscribe(2), Some(version), &limits).is_ok());
        assert_eq!(decode(&subscribe(3), Some(version), &limits).unwrap_err().reason, Reason::QuotaExceeded);
    }
}

#[test]
fn what_cannot_be_said_is_not_written() {
    let mut into = BytesMut::from(&b"x"[..]);
    let long = "l".repeat(65_536);
    let packet = Packet::Publish(plain(&long, b""));
    assert_eq!(encode(&packet, Version::V4, usize::MAX, &mut into), Err(EncodeError::TooLong));
    let auth = Packet::Auth(Auth { reason: Reason::Success, properties: AuthProperties::default() });
    assert_eq!(
        encode(&auth, Version::V4, usize::MAX, &mut into),
        Err(EncodeError::NotInVersion(Version::V4, Kind::Auth))
    );
    let packet = Packet::Publish(Publish { qos: Qos::AtLeastOnce, ..plain("t", b"") });
    assert_eq!(encode(&packet, Version::V5, usize::MAX, &mut into), Err(EncodeError::NoPacketId));
    assert_eq!(&into[..], b"x");
}

#[test]
fn payloads_are_taken_off_the_buffer() {
    for payload_len in [0, 3, decode::SPLIT_BYTES_MIN - 1, decode::SPLIT_BYTES_MIN, 100_000] {
        let payload = vec![7; payload_len];
        let mut input = written(&Packet::Publish(plain("t", &payload)), Version::V5);
        let len = input.len();
        input.extend_from_slice(b"next");
        assert_eq!(split_payload(&mut input, len, payload_len), payload);
        assert_eq!(&input[..], b"next");
    }
}

#[test]
fn secrets_do_not_show() {
    let connect = strategy::connect_plain(Some("user"), Some(Hidden(b"hunter2")));
    let shown = format!("{connect:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
}

fn plain<'a>(topic: &'a str, payload: &'a [u8]) -> Publish<'a> {
    Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic,
        id: None,
        properties: PublishProperties::default(),
        payload,
    }
}
