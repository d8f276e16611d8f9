//! A body's `data` from CBOR to JSON text and back.
//!
//! JSON has fewer things to say: byte strings, tags, `undefined`, other simple values, numbers that are
//! not finite, integers below −2^63 or above 2^64 − 1, and names that are not text have no translation.
//! Back, whole numbers written without fraction and exponent become integers where 64 bits hold them, all
//! other numbers doubles.

use bytes::{BufMut, BytesMut};

use super::{Head, Reader, STOP, float, major, write_float, write_head, write_text};
use crate::wire::{
    fields::Value as _,
    json::{self, write_string},
};

/// What a checked item is, whatever happens.
const CHECKED: &str = "a well-formed item";

/// Writes the checked item that begins here as JSON.
///
/// # Errors
/// What was expected in place of something that JSON has no words for.
pub(crate) fn to_json(reader: &mut Reader<'_>, into: &mut BytesMut) -> Result<(), &'static str> {
    let head = reader.head().map_err(|_| CHECKED)?;
    match (head.major, head.argument) {
        (major::UNSIGNED, Some(n)) => json::write_integer(n, into),
        (major::NEGATIVE, Some(n)) => {
            let n = i64::try_from(n).map_err(|_| "integers that fit into 64 bits")?;
            into.put_slice((-1 - n).to_string().as_bytes());
        }
        (major::TEXT, Some(length)) => write_string(text(reader, length)?, into),
        (major::TEXT, None) => {
            let mut whole = String::new();
            while !reader.stop() {
                let length = reader.head().ok().and_then(|head| head.argument).ok_or(CHECKED)?;
                whole.push_str(text(reader, length)?);
            }
            write_string(&whole, into);
        }
        (major::ARRAY, _) => parts_to_json(reader, head, b'[', b']', into)?,
        (major::MAP, _) => parts_to_json(reader, head, b'{', b'}', into)?,
        (major::SIMPLE, Some(value)) => into.put_slice(simple_to_json(head.info, value)?.as_bytes()),
        (major::BYTES, _) => return Err("no byte strings: JSON has none"),
        (major::TAG, _) => return Err("no tags: JSON has none"),
        _ => return Err(CHECKED),
    }
    Ok(())
}

fn text<'a>(reader: &mut Reader<'a>, length: u64) -> Result<&'a str, &'static str> {
    let bytes = reader.bytes(length).map_err(|_| CHECKED)?;
    std::str::from_utf8(bytes).map_err(|_| CHECKED)
}

fn parts_to_json(
    reader: &mut Reader<'_>,
    head: Head,
    open: u8,
    shut: u8,
    into: &mut BytesMut,
) -> Result<(), &'static str> {
    into.put_u8(open);
    let (mut left, mut first) = (head.argument, true);
    loop {
        match &mut left {
            Some(0) => break,
            Some(left) => *left -= 1,
            None if reader.stop() => break,
            None => {}
        }
        if !std::mem::take(&mut first) {
            into.put_u8(b',');
        }
        if head.major == major::MAP {
            let name = reader.value(0).ok().and_then(|name| name.string());
            write_string(&name.ok_or("names that are text")?, into);
            into.put_u8(b':');
        }
        to_json(reader, into)?;
    }
    into.put_u8(shut);
    Ok(())
}

fn simple_to_json(info: u8, value: u64) -> Result<String, &'static str> {
    match info {
        20 => Ok("false".into()),
        21 => Ok("true".into()),
        22 => Ok("null".into()),
        _ => {
            let n = float(info, value).ok_or("no simple values but true, false and null")?;
            // `{:?}` keeps the fraction, so that a double stays one: 1.0 and not 1.
            if n.is_finite() { Ok(format!("{n:?}")) } else { Err("numbers that are finite") }
        }
    }
}

/// Writes a JSON text as one item. Arrays and maps have indefinite length.
///
/// # Errors
/// The text is not one JSON value of at most [`DEPTH_MAX`](crate::wire::DEPTH_MAX) levels; what was
/// written must be thrown away.
pub(crate) fn from_json(text: &str, into: &mut BytesMut) -> Result<(), json::NotJson> {
    json::check(text)?;
    let mut reader = json::Reader::new(text);
    while let Some(byte) = reader.peek() {
        match byte {
            b'[' => into.put_u8(major::ARRAY << 5 | 31),
            b'{' => into.put_u8(major::MAP << 5 | 31),
            b']' | b'}' => into.put_u8(STOP),
            b',' | b':' => {}
            // Names of an object are strings like others, and stand in the same order in CBOR.
            _ => {
                leaf_from_json(reader.value(0)?, into);
                continue;
            }
        }
        reader.take(byte);
    }
    Ok(())
}

fn leaf_from_json(value: json::Value<'_>, into: &mut BytesMut) {
    if let Some(text) = value.string() {
        return write_text(&text, into);
    }
    match value.raw() {
        "true" => into.put_u8(0xf5),
        "false" => into.put_u8(0xf4),
        "null" => into.put_u8(0xf6),
        digits => match (digits.parse::<u64>(), digits.parse::<i64>()) {
            (Ok(n), _) => write_head(major::UNSIGNED, n, into),
            // −1 − n without overflow: the complement (§3.1).
            (_, Ok(n)) if n < 0 => write_head(major::NEGATIVE, !n as u64, into),
            _ => write_float(digits.parse().unwrap_or_default(), into),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json_of(hex: &str) -> Result<String, String> {
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        let mut reader = Reader::new(&bytes);
        let value = reader.value(0).map_err(|e| e.to_string())?;
        if !reader.is_at_end() {
            return Err("trailing bytes".into());
        }
        value.json().map(|json| String::from_utf8(json.to_vec()).unwrap()).map_err(str::to_owned)
    }

    /// RFC 8949, appendix A: those that JSON can say.
    #[test]
    fn the_examples_of_the_standard_translate() {
        for (hex, json) in [
            ("00", "0"),
            ("17", "23"),
            ("1818", "24"),
            ("1903e8", "1000"),
            ("1b000000e8d4a51000", "1000000000000"),
            ("1bffffffffffffffff", "18446744073709551615"),
            ("20", "-1"),
            ("3903e7", "-1000"),
            ("f90000", "0.0"),
            ("f93c00", "1.0"),
            ("fb3ff199999999999a", "1.1"),
            ("f93e00", "1.5"),
            ("f97bff", "65504.0"),
            ("fa47c35000", "100000.0"),
            ("f90001", "5.960464477539063e-8"),
            ("f9c400", "-4.0"),
            ("f4", "false"),
            ("f5", "true"),
            ("f6", "null"),
            ("60", "\"\""),
            ("6449455446", "\"IETF\""),
            ("62225c", "\"\\\"\\\\\""),
            ("62c3bc", "\"ü\""),
            ("80", "[]"),
            ("83010203", "[1,2,3]"),
            ("8301820203820405", "[1,[2,3],[4,5]]"),
            ("a0", "{}"),
            ("a26161016162820203", "{\"a\":1,\"b\":[2,3]}"),
            ("9fff", "[]"),
            ("9f018202039f0405ffff", "[1,[2,3],[4,5]]"),
            ("bf61610161629f0203ffff", "{\"a\":1,\"b\":[2,3]}"),
            ("7f657374726561646d696e67ff", "\"streaming\""),
        ] {
            assert_eq!(json_of(hex).as_deref(), Ok(json), "{hex}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        for hex in [
            "4401020304",
            "c11a514b67b0",
            "f7",
            "f0",
            "f8ff",
            "f97c00",
            "f97e00",
            "3bffffffffffffffff",
            "a201020304",
            "5f42010243030405ff",
            "81c000",
        ] {
            assert!(json_of(hex).is_err(), "{hex}");
        }
    }

    /// RFC 8949, appendix F.1.
    #[test]
    fn what_is_not_well_formed_is_refused() {
        let all = "18 19 1a 1b 1901 1a0102 38 58 78 98 9a01ff00 b8 d8 f8 f900 41 61 5affffffff00 \
            5bffffffffffffffff010203 7affffffff00 7b7fffffffffffffff010203 81 818181818181818181 8200 a1 a20102 \
            a100 a2000000 c0 5f4100 7f6100 9f 9f0102 bf bf01020102 819f 9f8000 9f9f9f9f9fffffffff \
            5f00ff 5f21ff 5f6100ff 5f80ff 5fa0ff 5fc000ff 5fe0ff 7f4100ff 5f5f4100ffff 7f7f6100ffff ff 81ff 8200ff \
            a1ff a1ff00 a100ff a20000ff 9f81ff bf00ff bf000000ff 1c 1d 1e 3c 5c 7c 9c bc dc fc f800 f81f 1f 3f df";
        for hex in all.split_whitespace() {
            assert!(json_of(hex).is_err(), "{hex}");
        }
    }

    proptest! {
        #[test]
        fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = Reader::new(&bytes).value(0)
                && let Ok(json) = value.json()
            {
                prop_assert!(json::check(std::str::from_utf8(&json).unwrap()).is_ok());
            }
        }

        /// JSON to CBOR and back is the same value, numbers as doubles hold them.
        #[test]
        fn json_survives(ints in prop::collection::vec(any::<i64>(), 0..5), n in -1e300f64..1e300, text: String) {
            let json = serde_json::json!({"ints": ints, "n": n, text.clone(): [text, null, {"t": true, "f": false}]});
            let mut cbor = BytesMut::new();
            from_json(&serde_json::to_string_pretty(&json).unwrap(), &mut cbor).unwrap();
            let mut reader = Reader::new(&cbor);
            let back = reader.value(0).unwrap().json().unwrap();
            prop_assert!(reader.is_at_end());
            prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&back).unwrap(), json);
        }
    }
}
