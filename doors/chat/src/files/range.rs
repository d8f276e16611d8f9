//! The bytes that a request asks for (RFC 9110 §14).

use std::ops::Range;

/// What of a file is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    All,
    /// These bytes.
    Part(Range<u64>),
    /// None that the file has.
    Nothing,
}

/// Reads the header `Range` for a file of so many bytes. Several ranges, and what is no range, count as all: a server
/// may leave the header out of account (§14.2).
pub(crate) fn wanted(header: Option<&str>, bytes: u64) -> Wanted {
    let Some(text) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Wanted::All };
    let Some((from, to)) = text.trim().split_once('-') else { return Wanted::All };
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        // A number that is larger than any file is a number.
        text if text.bytes().all(|b| b.is_ascii_digit()) => Some(Some(text.parse().unwrap_or(u64::MAX))),
        _ => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let of = |text| wanted(Some(text), 1000);
        assert_eq!(of("bytes=0-499"), Wanted::Part(0..500));
        assert_eq!(of("bytes=500-"), Wanted::Part(500..1000));
        assert_eq!(of("bytes=-500"), Wanted::Part(500..1000));
        assert_eq!(of("bytes=-5000"), Wanted::Part(0..1000));
        assert_eq!(of("bytes=0-0"), Wanted::Part(0..1));
        assert_eq!(of("bytes=999-5000"), Wanted::Part(999..1000));
        assert_eq!(of("bytes=0-99999999999999999999999999"), Wanted::Part(0..1000));
        for nothing in ["bytes=1000-", "bytes=5000-6000", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(of(nothing), Wanted::Nothing, "{nothing}");
        }
        for all in
            ["bytes=2-1", "bytes=-", "bytes=a-b", "bytes=0-1,5-6", "lines=1-2", "bytes", "", "bytes=+1-2"]
        {
            assert_eq!(of(all), Wanted::All, "{all}");
        }
        assert_eq!(wanted(None, 1000), Wanted::All);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }
}
