//! What somebody shows in the address: `rtmp://host/live/room1?key=…`, `/live/room1.flv?token=…`.

use std::borrow::Cow;

/// Bytes of a query string that are looked at; more is refused.
pub(crate) const PARAMS_BYTES_MAX: usize = 4096;

/// The first parameter of this name in a query string, with or without its `?`; `None` where there is none, it is empty,
/// or it is not UTF-8 once it is decoded (RFC 3986 §2.1; `+` stays: keys and tokens may have one).
pub(crate) fn param<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let query = query.strip_prefix('?').unwrap_or(query);
    // An address may have been put together twice: `live?a=b?key=c`.
    query
        .split(['&', '?'])
        .filter_map(|pair| pair.split_once('='))
        .find(|(found, _)| *found == name)
        .and_then(|(_, value)| decoded(value))
        .filter(|value| !value.is_empty())
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let digits = (*first == b'%').then(|| behind.get(..2)).flatten();
        let value = digits.and_then(|digits| Some(digit(digits[0])? * 16 + digit(digits[1])?));
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn digit(of: u8) -> Option<u8> {
    char::from(of).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_found_and_decoded() {
        for (query, name, value) in [
            ("key=a", "key", Some("a")),
            ("?key=a", "key", Some("a")),
            ("x=1&key=a%2Fb+c&key=z", "key", Some("a/b+c")),
            ("x=1?token=v1.2", "token", Some("v1.2")),
            ("key=%e7%95%8c", "key", Some("界")),
            ("key=100%", "key", Some("100%")),
            ("key=%zz%4", "key", Some("%zz%4")),
            ("key=%ff", "key", None),
            ("key=", "key", None),
            ("key", "key", None),
            ("monkey=a", "key", None),
            ("", "key", None),
        ] {
            assert_eq!(param(query, name).as_deref(), value, "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(query in "\\PC*") {
            let _found = param(&query, "key");
        }
    }
}
