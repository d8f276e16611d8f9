//! Values, byte by byte.

use proptest::prelude::*;

use super::*;

fn written(value: &Value) -> BytesMut {
    let mut bytes = BytesMut::new();
    write(value, &mut bytes);
    bytes
}

fn read(bytes: &[u8]) -> Result<Value, AmfError> {
    Reader::new(bytes).read().map(|value| value.expect("there are bytes"))
}

#[test]
fn a_connect_command_is_read_as_encoders_send_it() {
    let bytes =
        b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\x03\0\x03app\x02\0\x04live\0\x04fpad\x01\0\0\0\x09\x05";
    let mut reader = Reader::new(bytes);
    assert_eq!(reader.name().as_deref(), Ok("connect"));
    assert_eq!(reader.read(), Ok(Some(Value::Number(1.0))));
    let object = reader.read().unwrap().unwrap();
    assert_eq!(object.get("app").and_then(Value::as_str), Some("live"));
    assert_eq!(object.get("fpad").and_then(Value::as_bool), Some(false));
    assert_eq!(object.get("tcUrl"), None);
    assert_eq!(reader.read(), Ok(Some(Value::Null)));
    assert_eq!((reader.read(), reader.is_empty()), (Ok(None), true));
    let mut again = BytesMut::new();
    write_all(&read_all(bytes).unwrap(), &mut again);
    assert_eq!(again, bytes[..]);
}

#[test]
fn an_array_may_lie_about_its_count_and_may_lack_its_end() {
    let field = b"\0\x01a\0\x40\0\0\0\0\0\0\0";
    let expected = Value::array([("a", 2.0.into())]);
    for (count, tail) in [(1, &b"\0\0\x09"[..]), (0, b"\0\0\x09"), (0xffff_ffff, b"\0\0\x09"), (1, b"")] {
        let mut bytes = vec![8];
        bytes.extend_from_slice(&u32::to_be_bytes(count));
        bytes.extend_from_slice(field);
        bytes.extend_from_slice(tail);
        assert_eq!(read(&bytes), Ok(expected.clone()), "{count}");
    }
    assert_eq!(read(b"\x08\0\0\0\x02\0\x01a\x05"), Err(AmfError::TooShort));
    assert_eq!(read(b"\x03\0\x01a\x05"), Err(AmfError::TooShort));
}

#[test]
fn simple_values_of_amf3_are_read() {
    for (bytes, value) in [
        (&b"\x11\x00"[..], Value::Undefined),
        (b"\x11\x01", Value::Null),
        (b"\x11\x02", false.into()),
        (b"\x11\x03", true.into()),
        (b"\x11\x04\x7f", 127.0.into()),
        (b"\x11\x04\x81\x00", 128.0.into()),
        (b"\x11\x04\xff\xff\xff\xff", (-1.0).into()),
        (b"\x11\x04\xbf\xff\xff\xff", 268_435_455.0.into()),
        (b"\x11\x05\x3f\xf0\0\0\0\0\0\0", 1.0.into()),
        (b"\x11\x06\x05hi", "hi".into()),
        (b"\x11\x08\x01\x3f\xf0\0\0\0\0\0\0", Value::Date(1.0)),
    ] {
        assert_eq!(read(bytes), Ok(value), "{bytes:?}");
    }
    assert_eq!(read(b"\x11\x06\x04"), Err(AmfError::Amf3(6)));
    assert_eq!(read(b"\x11\x0a\x0b\x01"), Err(AmfError::Amf3(10)));
}

#[test]
fn what_is_not_read_says_what_it_is() {
    assert_eq!(read(b"\x07\0\0"), Err(AmfError::Reference));
    assert_eq!(read(b"\x04"), Err(AmfError::Marker(4)));
    assert_eq!(read(b"\x0e"), Err(AmfError::Marker(14)));
    assert_eq!(read(b"\xff"), Err(AmfError::Marker(255)));
    assert_eq!(Reader::new(b"\x05").name(), Err(AmfError::Marker(5)));
    assert_eq!(Reader::new(b"").name(), Err(AmfError::TooShort));
    assert_eq!(read(b"\x0d"), Ok(Value::Undefined));
    assert_eq!(read(b"\x0f\0\0\0\x04<a/>"), Ok("<a/>".into()));
    assert_eq!(read(b"\x02\0\x02\xce\xd2"), Ok("\u{fffd}\u{fffd}".into()));
}

#[test]
fn depth_and_count_are_bounded() {
    let deep = b"\x0a\0\0\0\x01".repeat(DEPTH_MAX);
    assert_eq!(
        read(&[&deep[5..], b"\x05"].concat()),
        Ok((1..DEPTH_MAX).fold(Value::Null, |v, _| Value::List(vec![v])))
    );
    assert_eq!(read(&[&deep, &b"\x05"[..]].concat()), Err(AmfError::TooDeep));
    let mut many = b"\x0a\xff\xff\xff\xff".to_vec();
    assert_eq!(read(&many), Err(AmfError::TooShort));
    many.extend(vec![marker::NULL; VALUES_MAX]);
    assert_eq!(read(&many), Err(AmfError::TooMany));
    assert_eq!(read_all(&vec![marker::NULL; VALUES_MAX + 1]), Err(AmfError::TooMany));
    assert_eq!(read(b"\x0c\xff\xff\xff\xffabc"), Err(AmfError::TooShort));
}

#[test]
fn long_text_takes_the_long_form_and_long_names_are_cut() {
    let text = "ü".repeat(40_000);
    let bytes = written(&text.as_str().into());
    assert_eq!((bytes[0], bytes.len()), (marker::LONG_STRING, 80_005));
    assert_eq!(read(&bytes), Ok(text.as_str().into()));
    let object = Value::Object(vec![(text, Value::Null)]);
    assert_eq!(read(&written(&object)).unwrap().fields()[0].0.len(), 65_534);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<f64>().prop_filter("equal to itself", |n| !n.is_nan()).prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,20}".prop_map(Value::String),
        (-1e15..1e15).prop_map(Value::Date),
        Just(Value::Null),
        Just(Value::Undefined),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let fields = prop::collection::vec((".{0,8}", inner.clone()), 0..6);
        prop_oneof![
            fields.clone().prop_map(Value::Object),
            fields.clone().prop_map(Value::Array),
            ("[a-z]{0,5}", fields).prop_map(|(class, fields)| Value::Typed(class, fields)),
            prop::collection::vec(inner, 0..6).prop_map(Value::List),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(value in values()) {
        let bytes = written(&value);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.read(), Ok(Some(value)));
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn a_value_cut_short_is_an_error(value in values(), cut in 1_usize..50) {
        let bytes = written(&value);
        let cut = &bytes[..bytes.len().saturating_sub(cut)];
        // An array that has all its fields may end with the bytes, and so may a list that ends with one.
        if !cut.is_empty() && !matches!(value, Value::Array(_) | Value::List(_)) {
            prop_assert!(read(cut).is_err());
        }
    }

    #[test]
    fn garbage_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(values) = read_all(&bytes) {
            let mut once = BytesMut::new();
            write_all(&values, &mut once);
            let mut twice = BytesMut::new();
            write_all(&read_all(&once).unwrap(), &mut twice);
            prop_assert_eq!(once, twice);
        }
    }
}
