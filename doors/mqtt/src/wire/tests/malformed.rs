//! What is not allowed: bytes, and the reason that a CONNACK or DISCONNECT gives for it.

use super::*;

/// A packet of this first byte: the remaining length is put in.
fn framed(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut bytes = vec![first, u8::try_from(body.len()).unwrap()];
    assert!(body.len() < 128);
    bytes.extend_from_slice(&body);
    bytes
}

#[track_caller]
fn refused(version: Version, bytes: &[u8], reason: Reason) {
    let error = read(bytes, version).unwrap_err();
    assert_eq!(error.reason, reason, "{bytes:02x?}: {error}");
}

#[track_caller]
fn refused_in_both(bytes: &[u8], reason: Reason) {
    refused(Version::V4, bytes, reason);
    refused(Version::V5, bytes, reason);
}

use Reason::{
    MalformedPacket as Malformed, PacketTooLarge, ProtocolError, TopicAliasInvalid, TopicFilterInvalid,
    TopicNameInvalid, UnsupportedVersion,
};

/// MQTT-2.1.3-1 (3.1.1: MQTT-2.2.2-1), MQTT-3.6.1-1, MQTT-3.8.1-1, MQTT-3.10.1-1, MQTT-3.14.1-1, MQTT-3.15.1-1
#[test]
fn reserved_flags_of_the_fixed_header_are_malformed() {
    for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Publish) {
        for flags in (0..16).filter(|flags| *flags != kind.flags()) {
            refused(Version::V5, &[(*kind as u8) << 4 | flags], Malformed);
        }
    }
}

/// MQTT 5 §2.1.2, MQTT 3.1.1 §2.2.1
#[test]
fn reserved_packet_types_are_malformed() {
    refused_in_both(&[0x00], Malformed);
    refused(Version::V4, &[0xf0], Malformed);
}

/// MQTT-3.1.0-1
#[test]
fn the_first_packet_is_connect() {
    for first in [0x20, 0x30, 0x40, 0x82, 0xc0, 0xe0, 0xf0, b'G'] {
        let error = decode(&[first], None, &WIDE).unwrap_err();
        assert!(matches!(error.reason, ProtocolError | Malformed), "{first:02x}");
    }
}

/// MQTT-1.5.5-1 and MQTT 5 §2.1.4
#[test]
fn a_bad_remaining_length_is_malformed() {
    refused_in_both(b"\x30\x80\x80\x80\x80", Malformed);
    refused_in_both(b"\x30\xff\xff\xff\xff\x01", Malformed);
    refused(Version::V5, b"\x30\x80\x00", Malformed);
    refused(Version::V5, b"\xc0\x80\x80\x00", Malformed);
    // A CONNECT says only inside which version's rule counts.
    let mut connect = b"\x10\x8d\x00\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c".to_vec();
    assert!(read(&connect, Version::V4).unwrap().is_some());
    connect[9] = 5;
    refused(Version::V5, &connect, Malformed);
}

/// MQTT-1.5.4-1, MQTT-1.5.4-2 (3.1.1: MQTT-1.5.3-1, MQTT-1.5.3-2)
#[test]
fn bad_utf8_is_malformed() {
    let texts: [&[u8]; 7] = [
        b"a\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"a\x00b",
        b"\xe2\x82",
    ];
    for text in texts {
        let len = [0, u8::try_from(text.len()).unwrap()];
        refused(Version::V4, &framed(0x30, &[&len, text]), Malformed);
        refused(Version::V5, &framed(0x30, &[&len, text, b"\x00"]), Malformed);
        refused(Version::V4, &framed(0x82, &[b"\x00\x01", &len, text, b"\x00"]), Malformed);
        refused(Version::V4, &framed(0xa2, &[b"\x00\x01", &len, text]), Malformed);
        refused(Version::V4, &framed(0x10, &[b"\x00\x04MQTT\x04\x02\x00\x00", &len, text]), Malformed);
        // User name.
        let head = b"\x00\x04MQTT\x04\x82\x00\x00\x00\x00";
        refused(Version::V4, &framed(0x10, &[head, &len, text]), Malformed);
        // A user property's value.
        let properties = [u8::try_from(text.len() + 6).unwrap(), 0x26, 0, 1, b'n'];
        refused(Version::V5, &framed(0x30, &[b"\x00\x01t", &properties, &len, text]), Malformed);
    }
}

/// MQTT-3.1.2-1, MQTT-3.1.2-2: told in a form that the client may understand.
#[test]
fn other_protocols_and_versions_are_not_supported() {
    let heads: [(&[u8], Version); 8] = [
        (b"\x00\x06MQIsdp\x03", Version::V4),
        (b"\x00\x06MQIsdp\x83", Version::V4),
        (b"\x00\x04MQTT\x03", Version::V4),
        (b"\x00\x04MQTT\x00", Version::V4),
        (b"\x00\x04MQTT\x06", Version::V5),
        (b"\x00\x04MQTT\x7f", Version::V5),
        (b"\x00\x04mqtt\x04", Version::V4),
        (b"\x00\x04\xff\xfe\xfd\xfc\x05", Version::V5),
    ];
    for (head, version) in heads {
        let bytes = framed(0x10, &[head, b"\x02\x00\x0a\x00\x01c"]);
        let error = read(&bytes, version).unwrap_err();
        assert_eq!((error.reason, error.version), (UnsupportedVersion, Some(version)), "{head:02x?}");
    }
}

fn connect_4(flags: u8, payload: &[u8]) -> Vec<u8> {
    framed(0x10, &[b"\x00\x04MQTT\x04", &[flags], b"\x00\x0a", payload])
}

fn connect_5(flags: u8, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let len = [u8::try_from(properties.len()).unwrap()];
    framed(0x10, &[b"\x00\x04MQTT\x05", &[flags], b"\x00\x0a", &len, properties, payload])
}

#[test]
fn flags_of_connect_that_contradict_each_other_are_malformed() {
    // MQTT-3.1.2-3
    refused(Version::V4, &connect_4(0x03, b"\x00\x01c"), Malformed);
    refused(Version::V5, &connect_5(0x03, b"", b"\x00\x01c"), Malformed);
    // MQTT-3.1.2-11 (3.1.1: MQTT-3.1.2-13): a will's QoS without a will
    refused(Version::V4, &connect_4(0x0a, b"\x00\x01c"), Malformed);
    refused(Version::V5, &connect_5(0x12, b"", b"\x00\x01c"), Malformed);
    // MQTT-3.1.2-13 (3.1.1: MQTT-3.1.2-15): a will's retain flag without a will
    refused(Version::V4, &connect_4(0x22, b"\x00\x01c"), Malformed);
    // MQTT-3.1.2-12 (3.1.1: MQTT-3.1.2-14): a will's QoS of 3
    refused(Version::V4, &connect_4(0x1e, b"\x00\x01c\x00\x01w\x00\x00"), Malformed);
    refused(Version::V5, &connect_5(0x1e, b"", b"\x00\x01c\x00\x00\x01w\x00\x00"), Malformed);
    // 3.1.1: MQTT-3.1.2-22: a password without a user name; fine in 5
    refused(Version::V4, &connect_4(0x42, b"\x00\x01c\x00\x01p"), Malformed);
    assert!(read(&connect_5(0x42, b"", b"\x00\x01c\x00\x01p"), Version::V5).unwrap().is_some());
}

#[test]
fn fields_of_connect_that_are_missing_or_too_many_are_malformed() {
    // MQTT-3.1.3-3: no client identifier
    refused(Version::V4, &connect_4(0x02, b""), Malformed);
    // MQTT-3.1.2-9: no will message
    refused(Version::V4, &connect_4(0x06, b"\x00\x01c\x00\x01w"), Malformed);
    // MQTT-3.1.2-17 (3.1.1: MQTT-3.1.2-19): no user name
    refused(Version::V4, &connect_4(0x82, b"\x00\x01c"), Malformed);
    // MQTT-3.1.2-19 (3.1.1: MQTT-3.1.2-21): no password
    refused(Version::V4, &connect_4(0xc2, b"\x00\x01c\x00\x01u"), Malformed);
    // MQTT-3.1.2-16 (3.1.1: MQTT-3.1.2-18): a user name without its flag
    refused(Version::V4, &connect_4(0x02, b"\x00\x01c\x00\x01u"), Malformed);
    // MQTT-4.7.0-1, MQTT-4.7.3-1: the will's topic
    refused(Version::V4, &connect_4(0x06, b"\x00\x01c\x00\x03w/#\x00\x00"), TopicNameInvalid);
    refused(Version::V4, &connect_4(0x06, b"\x00\x01c\x00\x00\x00\x00"), TopicNameInvalid);
    // Cut off within the name.
    refused(Version::V4, b"\x10\x03\x00\x04M", Malformed);
    refused(Version::V4, b"\x10\x00", Malformed);
}

#[test]
fn an_error_after_the_level_says_in_which_version_to_answer() {
    assert_eq!(read(&connect_4(3, b"\x00\x01c"), Version::V4).unwrap_err().version, Some(Version::V4));
    assert_eq!(read(&connect_5(3, b"", b"\x00\x01c"), Version::V5).unwrap_err().version, Some(Version::V5));
}

#[test]
fn properties_of_connect_have_their_bounds() {
    let with = |properties: &[u8]| connect_5(0x02, properties, b"\x00\x01c");
    // MQTT 5 §3.1.2.11.3, .4, .6, .7: a receive maximum and a packet size of 0, no bool
    refused(Version::V5, &with(b"\x21\x00\x00"), ProtocolError);
    refused(Version::V5, &with(b"\x27\x00\x00\x00\x00"), ProtocolError);
    refused(Version::V5, &with(b"\x17\x02"), ProtocolError);
    refused(Version::V5, &with(b"\x19\x02"), ProtocolError);
    // MQTT 5 §3.1.2.11.2: twice
    refused(Version::V5, &with(b"\x11\x00\x00\x00\x01\x11\x00\x00\x00\x01"), ProtocolError);
    // MQTT 5 §3.1.2.11.10: data without a method
    refused(Version::V5, &with(b"\x16\x00\x01d"), ProtocolError);
    // MQTT 5 §2.2.2.2: not a property, and not one of CONNECT
    refused(Version::V5, &with(b"\x00\x00"), Malformed);
    refused(Version::V5, &with(b"\x7f\x00"), Malformed);
    refused(Version::V5, &with(b"\x80\x02\x00"), Malformed);
    refused(Version::V5, &with(b"\x23\x00\x01"), Malformed);
    refused(Version::V5, &with(b"\x0b\x01"), Malformed);
    // Cut off.
    refused(Version::V5, &with(b"\x11\x00\x00"), Malformed);
    // The length of the properties is over the packet's.
    refused(Version::V5, &framed(0x10, &[b"\x00\x04MQTT\x05\x02\x00\x0a\x7f\x00\x01c"]), Malformed);
    // MQTT-1.5.5-1: it is padded.
    refused(Version::V5, &framed(0x10, &[b"\x00\x04MQTT\x05\x02\x00\x0a\x80\x00\x00\x01c"]), Malformed);
}

/// A packet's first byte, what stands before and behind its properties, and which of them may be there.
type Around = (u8, &'static [u8], &'static [u8], &'static [u8]);

/// Each property with some value (MQTT 5 §2.2.2.2, table 2-4).
const VALUES: &[(u8, &[u8])] = &[
    (0x01, b"\x01"),
    (0x02, b"\0\0\0\x01"),
    (0x03, b"\0\x01x"),
    (0x08, b"\0\x01x"),
    (0x09, b"\0\x01x"),
    (0x0b, b"\x01"),
    (0x11, b"\0\0\0\x01"),
    (0x12, b"\0\x01x"),
    (0x13, b"\0\x01"),
    (0x15, b"\0\x01x"),
    (0x16, b"\0\x01x"),
    (0x17, b"\x01"),
    (0x18, b"\0\0\0\x01"),
    (0x19, b"\x01"),
    (0x1a, b"\0\x01x"),
    (0x1c, b"\0\x01x"),
    (0x1f, b"\0\x01x"),
    (0x21, b"\0\x01"),
    (0x22, b"\0\x01"),
    (0x23, b"\0\x01"),
    (0x24, b"\x01"),
    (0x25, b"\x01"),
    (0x26, b"\0\x01x\0\x01x"),
    (0x27, b"\0\0\0\x01"),
    (0x28, b"\x01"),
    (0x29, b"\x01"),
    (0x2a, b"\x01"),
];

/// Each packet that has properties.
const PACKETS: &[Around] = &[
    (0x10, b"\0\x04MQTT\x05\x02\0\0", b"\0\x01c", &[0x11, 0x15, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27]),
    (0x10, b"\0\x04MQTT\x05\x06\0\0\0\0\x01c", b"\0\x01w\0\0", &[1, 2, 3, 8, 9, 0x18, 0x26]),
    (
        0x20,
        b"\0\0",
        b"",
        &[
            0x11, 0x12, 0x13, 0x15, 0x16, 0x1a, 0x1c, 0x1f, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29,
            0x2a,
        ],
    ),
    (0x30, b"\0\x01t", b"", &[1, 2, 3, 8, 9, 0x0b, 0x23, 0x26]),
    (0x40, b"\0\x01\0", b"", &[0x1f, 0x26]),
    (0x50, b"\0\x01\0", b"", &[0x1f, 0x26]),
    (0x62, b"\0\x01\0", b"", &[0x1f, 0x26]),
    (0x70, b"\0\x01\0", b"", &[0x1f, 0x26]),
    (0x82, b"\0\x01", b"\0\x01f\0", &[0x0b, 0x26]),
    (0x90, b"\0\x01", b"\0", &[0x1f, 0x26]),
    (0xa2, b"\0\x01", b"\0\x01f", &[0x26]),
    (0xb0, b"\0\x01", b"\0", &[0x1f, 0x26]),
    (0xe0, b"\0", b"", &[0x11, 0x1c, 0x1f, 0x26]),
    (0xf0, b"\0", b"", &[0x15]),
];

/// Every property in every packet that cannot have it (MQTT 5 §2.2.2.2, table 2-4).
#[test]
fn a_property_of_another_packet_is_malformed() {
    for (first, before, behind, allowed) in PACKETS {
        for (id, value) in VALUES {
            // AUTH is nothing without a method, and authentication data neither.
            if matches!((first, id), (0xf0, 0x16 | 0x1f | 0x26) | (0x10, 0x16)) {
                continue;
            }
            let len = [u8::try_from(1 + value.len()).unwrap()];
            let bytes = framed(*first, &[before, &len, &[*id], value, behind]);
            let result = read(&bytes, Version::V5);
            if allowed.contains(id) {
                assert!(matches!(result, Ok(Some(_))), "{id:#x} in {first:#x}: {result:?}");
            } else {
                assert_eq!(result.unwrap_err().reason, Malformed, "{id:#x} in {first:#x}");
            }
            // MQTT 5 §2.2.2.2: twice; user properties may, and subscription identifiers in PUBLISH.
            let len = [u8::try_from(2 * (1 + value.len())).unwrap()];
            let twice = framed(*first, &[before, &len, &[*id], value, &[*id], value, behind]);
            if allowed.contains(id) {
                let may_repeat = *id == 0x26 || (*first, *id) == (0x30, 0x0b);
                assert_eq!(read(&twice, Version::V5).is_ok(), may_repeat, "{id:#x} twice in {first:#x}");
                if !may_repeat {
                    refused(Version::V5, &twice, ProtocolError);
                }
            }
        }
    }
}

#[test]
fn a_bad_publish_has_its_reasons() {
    // MQTT-3.3.1-4: QoS 3
    refused_in_both(b"\x36\x05\x00\x01t\x00\x01", Malformed);
    // MQTT-3.3.1-2: DUP with QoS 0
    refused_in_both(b"\x38\x04\x00\x01t\x00", Malformed);
    // MQTT-2.2.1-3, -4 (3.1.1: MQTT-2.3.1-1): packet identifier 0
    refused_in_both(b"\x32\x06\x00\x01t\x00\x00\x00", ProtocolError);
    refused_in_both(b"\x34\x06\x00\x01t\x00\x00\x00", ProtocolError);
    // MQTT-3.3.2-2: wildcards
    refused_in_both(b"\x30\x06\x00\x03a/+\x00", TopicNameInvalid);
    refused_in_both(b"\x30\x04\x00\x01#\x00", TopicNameInvalid);
    // MQTT-4.7.3-1, MQTT 5 §3.3.2.1: no topic, and no alias
    refused_in_both(b"\x30\x03\x00\x00\x00", ProtocolError);
    // MQTT-3.3.2-8: alias 0
    refused(Version::V5, b"\x30\x07\x00\x01t\x03\x23\x00\x00", TopicAliasInvalid);
    // MQTT-3.3.2-14: a wildcard in the response topic
    refused(Version::V5, b"\x30\x0a\x00\x01t\x06\x08\x00\x03a/#", ProtocolError);
    // MQTT 5 §3.3.2.3.2: a payload format that is neither 0 nor 1
    refused(Version::V5, b"\x30\x06\x00\x01t\x02\x01\x02", ProtocolError);
    // MQTT 5 §3.3.2.3.8: subscription identifier 0
    refused(Version::V5, b"\x30\x06\x00\x01t\x02\x0b\x00", ProtocolError);
    // MQTT-3.3.2-1: no topic field, no identifier, no properties
    refused_in_both(b"\x30\x00", Malformed);
    refused_in_both(b"\x30\x02\x00\x03", Malformed);
    refused_in_both(b"\x32\x04\x00\x01t\x00", Malformed);
    refused(Version::V5, b"\x30\x03\x00\x01t", Malformed);
}

#[test]
fn a_bad_acknowledgement_has_its_reasons() {
    for first in [0x40, 0x50, 0x62, 0x70] {
        // MQTT-2.2.1-5: identifier 0
        refused_in_both(&[first, 2, 0, 0], ProtocolError);
        refused_in_both(&[first, 1, 0], Malformed);
        refused_in_both(&[first, 0], Malformed);
        // 3.1.1 has nothing behind the identifier.
        refused(Version::V4, &[first, 3, 0, 1, 0], Malformed);
        // MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1: a reason of another packet, and none at all
        refused(Version::V5, &[first, 3, 0, 1, 0x8e], ProtocolError);
        refused(Version::V5, &[first, 3, 0, 1, 0x7f], ProtocolError);
        refused(Version::V5, &[first, 5, 0, 1, 0, 0, 0], Malformed);
    }
    // Only PUBREL and PUBCOMP do not find an identifier.
    refused(Version::V5, b"\x40\x03\x00\x01\x92", ProtocolError);
    refused(Version::V5, b"\x62\x03\x00\x01\x10", ProtocolError);
}

#[test]
fn a_bad_subscribe_has_its_reasons() {
    // MQTT-3.8.3-2 (3.1.1: MQTT-3.8.3-3): no filter
    refused(Version::V4, b"\x82\x02\x00\x01", ProtocolError);
    refused(Version::V5, b"\x82\x03\x00\x01\x00", ProtocolError);
    // MQTT-2.2.1-3: identifier 0
    refused(Version::V4, b"\x82\x06\x00\x00\x00\x01f\x00", ProtocolError);
    // MQTT-4.7.3-1: an empty filter
    refused(Version::V4, b"\x82\x05\x00\x01\x00\x00\x00", TopicFilterInvalid);
    // MQTT-3.8.3-5 (3.1.1: MQTT-3.8.3-4): reserved bits
    refused(Version::V4, b"\x82\x06\x00\x01\x00\x01f\x04", Malformed);
    refused(Version::V5, b"\x82\x07\x00\x01\x00\x00\x01f\x40", Malformed);
    refused(Version::V5, b"\x82\x07\x00\x01\x00\x00\x01f\x80", Malformed);
    // MQTT 5 §3.8.3.1: QoS 3, retain handling 3
    refused(Version::V5, b"\x82\x07\x00\x01\x00\x00\x01f\x03", ProtocolError);
    refused(Version::V4, b"\x82\x06\x00\x01\x00\x01f\x03", ProtocolError);
    refused(Version::V5, b"\x82\x07\x00\x01\x00\x00\x01f\x30", ProtocolError);
    // MQTT-3.8.3-4: no local on a shared subscription
    refused(Version::V5, b"\x82\x10\x00\x01\x00\x00\x0a$share/g/f\x04", ProtocolError);
    // MQTT 5 §3.8.2.1.2: subscription identifier 0, and one that is too large
    refused(Version::V5, b"\x82\x09\x00\x01\x02\x0b\x00\x00\x01f\x00", ProtocolError);
    refused(Version::V5, b"\x82\x0d\x00\x01\x06\x0b\xff\xff\xff\xff\x01\x00\x01f\x00", Malformed);
    // No options behind the last filter.
    refused(Version::V4, b"\x82\x05\x00\x01\x00\x01f", Malformed);
}

#[test]
fn a_bad_unsubscribe_has_its_reasons() {
    // MQTT-3.10.3-2
    refused(Version::V4, b"\xa2\x02\x00\x01", ProtocolError);
    refused(Version::V5, b"\xa2\x03\x00\x01\x00", ProtocolError);
    // MQTT-2.2.1-3
    refused(Version::V4, b"\xa2\x05\x00\x00\x00\x01f", ProtocolError);
    // MQTT-4.7.3-1
    refused(Version::V4, b"\xa2\x04\x00\x01\x00\x00", TopicFilterInvalid);
    refused(Version::V4, b"\xa2\x04\x00\x01\x00\x05", Malformed);
}

#[test]
fn bad_answers_of_a_server_have_their_reasons() {
    // MQTT-3.2.2-1: reserved acknowledge flags
    refused(Version::V4, b"\x20\x02\x02\x00", Malformed);
    refused(Version::V5, b"\x20\x03\x80\x00\x00", Malformed);
    // MQTT-3.2.2-6 (3.1.1: MQTT-3.2.2-4): a session in a refusal
    refused(Version::V4, b"\x20\x02\x01\x05", ProtocolError);
    refused(Version::V5, b"\x20\x03\x01\x87\x00", ProtocolError);
    // MQTT-3.2.2-8: a code that is none
    refused(Version::V4, b"\x20\x02\x00\x06", ProtocolError);
    refused(Version::V5, b"\x20\x03\x00\x01\x00", ProtocolError);
    // MQTT 5 §3.2.2.3.4: a maximum QoS of 2
    refused(Version::V5, b"\x20\x05\x00\x00\x02\x24\x02", ProtocolError);
    // MQTT-3.9.3-2 (3.1.1: MQTT-3.9.3-2): reserved return codes
    refused(Version::V4, b"\x90\x03\x00\x01\x03", ProtocolError);
    refused(Version::V4, b"\x90\x03\x00\x01\x87", Malformed);
    refused(Version::V5, b"\x90\x04\x00\x01\x00\x10", ProtocolError);
    // MQTT-3.11.3-2
    refused(Version::V5, b"\xb0\x04\x00\x01\x00\x01", ProtocolError);
    refused(Version::V4, b"\xb0\x03\x00\x01\x00", Malformed);
}

#[test]
fn packets_without_a_body_have_none() {
    refused_in_both(b"\xc0\x01\x00", Malformed);
    refused_in_both(b"\xd0\x01\x00", Malformed);
    refused(Version::V4, b"\xe0\x01\x00", Malformed);
}

#[test]
fn a_bad_disconnect_or_auth_has_its_reasons() {
    // MQTT-3.14.2-1
    refused(Version::V5, b"\xe0\x01\x01", ProtocolError);
    refused(Version::V5, b"\xe0\x01\x85", ProtocolError);
    refused(Version::V5, b"\xe0\x03\x00\x00\x00", Malformed);
    // MQTT-3.15.2-1
    refused(Version::V5, b"\xf0\x02\x80\x00", ProtocolError);
    // MQTT 5 §3.15.2.2.2: no method
    refused(Version::V5, b"\xf0\x02\x18\x00", ProtocolError);
    refused(Version::V5, b"\xf0\x01\x18", Malformed);
}

/// MQTT 5 §3.1.2.11.4
#[test]
fn a_packet_over_the_standards_bound_is_too_large_for_every_limit() {
    let limits = Limits { packet_bytes_max: 1000, ..WIDE };
    let error = decode(b"\x30\xff\xff\xff\x7f", Some(Version::V4), &limits).unwrap_err();
    assert_eq!(error.reason, PacketTooLarge);
}

/// Text that goes to the peer fits into a reason string.
#[test]
fn texts_are_short() {
    let error = read(b"\x36\x05", Version::V5).err();
    assert_eq!(error, None);
    assert!(
        read(b"\x36\x05\x00\x01t\x00\x01", Version::V5).unwrap_err().to_string().contains("MQTT-3.3.1-4")
    );
}
