//! The bytes that a request asks for (RFC 9110 §14), and what the client has already (§13).

use std::ops::Range;

use yizhan_net::Request;

/// What of so many bytes is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    All,
    /// These bytes; not empty.
    Part(Range<u64>),
    /// None that are there.
    Nothing,
}

/// Reads the header `Range` for so many bytes. Several ranges, and what is no range, count as all: a server may leave
/// the header out of account (§14.2).
#[must_use]
pub fn wanted(header: Option<&str>, bytes: u64) -> Wanted {
    let Some((from, to)) = header.and_then(|text| text.trim().strip_prefix("bytes=")?.trim().split_once('-'))
    else {
        return Wanted::All;
    };
    let (Some(from), Some(to)) = (number(from), number(to)) else { return Wanted::All };
    let range = match (from, to) {
        (Some(from), Some(to)) if from > to => return Wanted::All,
        (Some(from), to) => from..to.unwrap_or(u64::MAX).saturating_add(1).min(bytes),
        (None, Some(last)) => bytes.saturating_sub(last)..bytes,
        (None, None) => return Wanted::All,
    };
    if range.start < range.end { Wanted::Part(range) } else { Wanted::Nothing }
}

/// `None` where it is no number; an empty text is none given.
fn number(text: &str) -> Option<Option<u64>> {
    match text.trim() {
        "" => Some(None),
        // What is larger than any file is a number all the same.
        text if text.bytes().all(|b| b.is_ascii_digit()) => Some(Some(text.parse().unwrap_or(u64::MAX))),
        _ => None,
    }
}

/// Whether the client says that it has what is called so.
#[must_use]
pub fn has_already(request: &Request, etag: &str) -> bool {
    let known = request.header("if-none-match").unwrap_or_default();
    known.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == etag)
}

/// The range that a request asks for. One of other bytes than those that are called so would not fit to what the client
/// has (§13.1.5): then it is all.
#[must_use]
pub fn of_request(request: &Request, etag: Option<&str>, bytes: u64) -> Wanted {
    let same = match request.header("if-range") {
        None => true,
        Some(known) => etag.is_some_and(|etag| known.trim() == etag),
    };
    wanted(request.header("range").filter(|_| same), bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let of = |text| wanted(Some(text), 1000);
        assert_eq!(of("bytes=0-499"), Wanted::Part(0..500));
        assert_eq!(of("bytes=500-"), Wanted::Part(500..1000));
        assert_eq!(of("bytes=-500"), Wanted::Part(500..1000));
        assert_eq!(of("bytes=-5000"), Wanted::Part(0..1000));
        assert_eq!(of("bytes=0-99999999999999999999999999"), Wanted::Part(0..1000));
        for nothing in ["bytes=1000-", "bytes=5000-6000", "bytes=-0"] {
            assert_eq!(of(nothing), Wanted::Nothing, "{nothing}");
        }
        for all in
            ["bytes=2-1", "bytes=-", "bytes=a-b", "bytes=0-1,5-6", "lines=1-2", "bytes", "", "bytes=+1-2"]
        {
            assert_eq!(of(all), Wanted::All, "{all}");
        }
        assert_eq!(wanted(None, 1000), Wanted::All);
    }

    proptest! {
        #[test]
        fn a_range_lies_within_the_bytes(text in "(bytes=)?[0-9]{0,20}-[0-9]{0,20}|\\PC*", bytes in 0_u64..10_000) {
            if let Wanted::Part(range) = wanted(Some(&text), bytes) {
                prop_assert!(range.start < range.end && range.end <= bytes);
            }
        }
    }
}
