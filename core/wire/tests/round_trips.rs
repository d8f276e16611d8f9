//! What a writer writes, a reader reads, and nothing that anybody sends makes a reader panic.

use proptest::prelude::*;
use yizhan_wire::{ReadError, Reader, WriteError, Writer, varint};

/// MQTT 5 §1.5.5, table 1-1.
#[test]
fn mqtt_varints_have_the_sizes_of_the_standard() {
    for (value, bytes) in [
        (0, &[0x00][..]),
        (127, &[0x7f]),
        (128, &[0x80, 0x01]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 0x01]),
        (2_097_151, &[0xff, 0xff, 0x7f]),
        (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
        (268_435_455, &[0xff, 0xff, 0xff, 0x7f]),
    ] {
        let mut written = vec![];
        Writer::new(&mut written).mqtt_varint(value).unwrap();
        assert_eq!(written, bytes);
        assert_eq!(Reader::new(bytes).mqtt_varint(), Ok(value));
        assert_eq!(varint::mqtt_len(value), Some(bytes.len()));
    }
    assert_eq!(varint::mqtt_len(varint::MQTT_VALUE_MAX + 1), None);
    let refused = Writer::new(&mut vec![]).mqtt_varint(varint::MQTT_VALUE_MAX + 1);
    assert!(matches!(refused, Err(WriteError::TooLong { .. })));
}

/// MQTT-1.5.5-1, and the same for LEB128: one number has one form.
#[test]
fn padded_and_endless_varints_are_refused() {
    for bytes in [&[0x80, 0x00][..], &[0xff, 0x80, 0x00], &[0x80; 4], &[0xff; 12]] {
        assert_eq!(Reader::new(bytes).mqtt_varint(), Err(ReadError::BadVarint), "{bytes:?}");
    }
    for bytes in
        [&[0x80, 0x00][..], &[0xff; 12], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]]
    {
        assert_eq!(Reader::new(bytes).leb128(), Err(ReadError::BadVarint), "{bytes:?}");
    }
}

#[test]
fn a_claimed_length_is_refused_before_the_bytes_are_there() {
    let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(reader.leb128_bytes(1024), Err(ReadError::TooLong { len: 0xffff_ffff, max: 1024 }));
    assert_eq!(reader.at(), 0);
    assert_eq!(Reader::new(&[0xff, 0xff]).u16_bytes(10), Err(ReadError::TooLong { len: 0xffff, max: 10 }));
    assert_eq!(Reader::new(&[0, 3, 1]).u16_bytes(10), Err(ReadError::TooShort));
}

#[test]
fn text_is_utf8() {
    assert_eq!(Reader::new(&[0, 2, 0xc3, 0x28]).u16_str(10), Err(ReadError::BadUtf8));
    assert_eq!(Reader::new(&[2, 0xc3, 0xa4]).leb128_str(10), Ok("ä"));
}

#[test]
fn bytes_behind_the_last_value_are_seen() {
    let mut reader = Reader::new(&[1, 2]);
    assert_eq!(reader.u8(), Ok(1));
    assert_eq!(reader.end(), Err(ReadError::TooManyBytes));
    assert_eq!((reader.peek(), reader.u8(), reader.end()), (Some(2), Ok(2), Ok(())));
}

proptest! {
    #[test]
    fn numbers_come_back(a: u8, b: u16, c: u32, d: u64, e: u128) {
        let mut bytes = vec![];
        let mut w = Writer::new(&mut bytes);
        w.u8(a); w.u16_be(b); w.u16_le(b); w.u32_be(c); w.u32_le(c); w.u64_be(d); w.u64_le(d); w.u128_le(e);
        w.u24_be(c >> 8).unwrap();
        w.leb128(d);
        w.mqtt_varint(c >> 4).unwrap();
        let mut r = Reader::new(&bytes);
        prop_assert_eq!((r.u8(), r.u16_be(), r.u16_le()), (Ok(a), Ok(b), Ok(b)));
        prop_assert_eq!((r.u32_be(), r.u32_le(), r.u64_be(), r.u64_le()), (Ok(c), Ok(c), Ok(d), Ok(d)));
        prop_assert_eq!((r.u128_le(), r.u24_be()), (Ok(e), Ok(c >> 8)));
        prop_assert_eq!((r.leb128(), r.mqtt_varint()), (Ok(d), Ok(c >> 4)));
        prop_assert_eq!(r.end(), Ok(()));
    }

    #[test]
    fn leb128_lengths_are_told_beforehand(value: u64, shift in 0u32..64) {
        let value = value >> shift;
        let mut bytes = vec![];
        Writer::new(&mut bytes).leb128(value);
        prop_assert_eq!(bytes.len(), varint::leb128_len(value));
        prop_assert_eq!(Reader::new(&bytes).leb128(), Ok(value));
    }

    #[test]
    fn bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..300), text: String) {
        let mut written = vec![];
        let mut w = Writer::new(&mut written);
        w.leb128_bytes(&bytes);
        w.u16_bytes(text.as_bytes()).unwrap();
        w.u32_le_bytes(&bytes).unwrap();
        let mut r = Reader::new(&written);
        prop_assert_eq!(r.leb128_bytes(300), Ok(&bytes[..]));
        prop_assert_eq!(r.u16_str(text.len()), Ok(&text[..]));
        prop_assert_eq!(r.u32_le_bytes(300), Ok(&bytes[..]));
        // Cut anywhere, some value is too short, and nothing panics.
        for end in 0..written.len() {
            let mut r = Reader::new(&written[..end]);
            let all = r.leb128_bytes(300).and_then(|_| r.u16_str(text.len())).and_then(|_| r.u32_le_bytes(300));
            prop_assert_eq!(all, Err(ReadError::TooShort));
        }
    }

    #[test]
    fn whatever_comes_the_reader_stays_within(bytes: Vec<u8>, steps in proptest::collection::vec(0u8..8, 0..20)) {
        let mut r = Reader::new(&bytes);
        for step in steps {
            let before = r.at();
            let failed = match step {
                0 => r.u8().is_err(),
                1 => r.leb128().is_err(),
                2 => r.mqtt_varint().is_err(),
                3 => r.leb128_bytes(16).is_err(),
                4 => r.u16_str(16).is_err(),
                5 => r.u32_le_bytes(16).is_err(),
                6 => r.u128_le().is_err(),
                _ => r.u24_be().is_err(),
            };
            prop_assert!(r.at() <= bytes.len());
            prop_assert!(!failed || r.at() == before);
            prop_assert_eq!(r.at() + r.left(), bytes.len());
        }
    }
}
