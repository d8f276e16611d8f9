//! Playlists (RFC 8216, and its second edition draft-pantos-hls-rfc8216bis for Low-Latency HLS): plain facts in, text
//! out.

pub mod date;
pub mod master;
pub mod media;
pub mod reload;

/// A segment, as a playlist lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its address.
    pub uri: String,
    /// Microseconds.
    pub duration: u64,
    /// What decodes the segment before it must begin anew.
    pub discontinuity: bool,
    /// The address of what it begins with; `None` for MPEG-TS.
    pub map: Option<String>,
    /// When its first frame was made, as well as the server knows: microseconds since 1970.
    pub wall: Option<u64>,
    /// There is nothing of this rendition in it (rfc8216bis §4.4.4.7).
    pub gap: bool,
    /// Its parts, in order; empty where there are none.
    pub parts: Vec<Part>,
}

/// A part of a segment, as a playlist lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its address.
    pub uri: String,
    /// Microseconds.
    pub duration: u64,
    /// It begins with a key frame.
    pub independent: bool,
}

/// The media type of playlists (RFC 8216 §4).
pub const MEDIA_TYPE: &str = "application/vnd.apple.mpegurl";
/// Microseconds in a second.
const SECOND: u64 = 1_000_000;

/// Microseconds as decimal seconds, with no more digits than it takes.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / SECOND, self.0 % SECOND);
        let digits = format!("{rest:06}");
        let digits = digits.trim_end_matches('0');
        // With a point in any case: some readers take a number without one for the integers of version 1 and 2.
        write!(f, "{whole}.{}", if digits.is_empty() { "0" } else { digits })
    }
}

/// A text between quotes (RFC 8216 §4.2: without quotes and line ends). What cannot stand there is left out.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"")?;
        self.0.split(['"', '\r', '\n']).try_for_each(|part| f.write_str(part))?;
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_the_digits_that_they_need() {
        for (micros, text) in [(0, "0.0"), (200_000, "0.2"), (2_002_000, "2.002"), (33_333, "0.033333")] {
            assert_eq!(Seconds(micros).to_string(), text);
        }
    }

    #[test]
    fn nothing_breaks_out_of_quotes() {
        assert_eq!(Quoted("a\"\r\n#EXT,b").to_string(), "\"a#EXT,b\"");
    }
}
