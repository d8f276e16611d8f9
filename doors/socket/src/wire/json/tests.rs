//! JSON against the standard and against serde_json.

use proptest::prelude::*;

use super::{super::fields::Value as _, *};

#[test]
fn what_rfc_8259_takes_is_taken_and_nothing_else() {
    for good in [
        "null",
        " true ",
        "-0",
        "0.5e-7",
        "1E+2",
        "\"\"",
        "\"\\u00e9\\ud83d\\ude00\"",
        "[]",
        "[ 1 , [ ] ]",
        "{}",
        "{\"a\":1,\"a\":{\"b\":[null]}}",
        "\"é\"",
        "\"\u{7f}\"",
    ] {
        assert!(check(good).is_ok(), "{good}");
        serde_json::from_str::<serde_json::Value>(good).unwrap();
    }
    for bad in [
        "",
        "nul",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "--1",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\n\"",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "{,}",
        "1 2",
        "[",
        "{",
        "{\"a\":1",
        "NaN",
        "\u{feff}1",
        "'a'",
    ] {
        assert!(check(bad).is_err(), "{bad}");
        assert!(serde_json::from_str::<serde_json::Value>(bad).is_err(), "{bad}");
    }
}

#[test]
fn depth_is_limited_in_arrays_and_objects() {
    let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(check(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(check(&nested(DEPTH_MAX + 1)).unwrap_err().expected, "fewer levels");
    assert!(check(&"[".repeat(1_000_000)).is_err());
    assert!(check(&"{\"a\":".repeat(1_000_000)).is_err());
}

#[test]
fn whole_numbers_are_whole_however_they_are_written() {
    for (text, n) in [("17", Some(17)), ("1e3", Some(1000)), ("2.0", Some(2)), ("-1", None), ("0.5", None)] {
        assert_eq!(check(text).unwrap().integer(), n, "{text}");
    }
    assert_eq!(check("1e999").unwrap().number(), None);
    assert_eq!(check("18446744073709551615").unwrap().integer(), Some(u64::MAX));
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e15f64..1e15).prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::hash_map(".*", inner, 0..8)
                .prop_map(|m| m.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// What serde_json reads out of the same value, to compare with.
fn same(ours: Value<'_>, theirs: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match theirs {
        Json::Null => ours.is_null(),
        Json::Bool(b) => ours.boolean() == Some(*b),
        Json::Number(n) => {
            ours.number() == n.as_f64() && (n.as_u64().is_none() || ours.integer() == n.as_u64())
        }
        Json::String(s) => ours.string().as_deref() == Some(s),
        Json::Array(a) => {
            let mine: Vec<_> = ours.elements().unwrap().collect();
            mine.len() == a.len() && mine.iter().zip(a).all(|(m, t)| same(*m, t))
        }
        Json::Object(o) => {
            let mine: Vec<_> = ours.entries().unwrap().collect();
            mine.len() == o.len() && mine.iter().all(|(k, v)| same(*v, &o[&**k]))
        }
    }
}

proptest! {
    #[test]
    fn whatever_serde_writes_is_read_the_same(json in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }.unwrap();
        prop_assert!(same(check(&text).unwrap(), &json));
        let mut line = BytesMut::new();
        write_on_one_line(text.as_bytes(), &mut line);
        prop_assert!(!line.contains(&b'\n'));
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&line).unwrap(), json);
    }

    #[test]
    fn damaged_json_is_judged_as_serde_does(json in any_json(), at: prop::sample::Index, byte in 0x20u8..0x7f) {
        let mut text = serde_json::to_string(&json).unwrap().into_bytes();
        let i = at.index(text.len());
        text[i] = byte;
        if let Ok(text) = std::str::from_utf8(&text) {
            // serde_json refuses numbers beyond f64, which the grammar allows.
            let theirs = serde_json::from_str::<serde_json::Value>(text);
            let beyond = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
            prop_assert!(beyond || check(text).is_ok() == theirs.is_ok(), "{}", text);
        }
    }

    #[test]
    fn strings_survive_writing(text in ".*|[\\x00-\\x7f]*") {
        let mut json = BytesMut::new();
        write_string(&text, &mut json);
        let json = std::str::from_utf8(&json).unwrap();
        prop_assert_eq!(&serde_json::from_str::<String>(json).unwrap(), &text);
        prop_assert_eq!(check(json).unwrap().string().unwrap(), text);
    }

    #[test]
    fn numbers_survive_writing(n in any::<f64>().prop_filter("JSON has no others", |n| n.is_finite())) {
        let mut json = BytesMut::new();
        write_number(n, &mut json);
        prop_assert_eq!(check(std::str::from_utf8(&json).unwrap()).unwrap().number(), Some(n));
    }

    #[test]
    fn bytes_survive_base64(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let mut json = BytesMut::new();
        write_bin(&bytes, &mut json);
        prop_assert_eq!(check(std::str::from_utf8(&json).unwrap()).unwrap().bin().unwrap(), bytes);
    }
}
