//! Sizes and durations as people write them.

use std::{fmt, time::Duration};

use serde::{Deserializer, Serializer, de};

const SIZE_UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("KB", 1000),
    ("B", 1),
];

/// Reads `64MiB`, `10 GB`, `4096B`, `4096`; `None` for anything else.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = SIZE_UNITS
        .iter()
        .find_map(|(name, unit)| text.strip_suffix(name).map(|number| (number, *unit)))
        .unwrap_or((text, 1));
    let bytes = number.trim_end().parse::<f64>().ok()? * unit as f64;
    (bytes >= 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// The shortest text that [`parse_size`] reads back.
pub(crate) fn show_size(bytes: u64) -> String {
    let unit = SIZE_UNITS[..4].iter().find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

const DURATION_UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// Reads `1h30m`, `500ms`, `2.5s`, `7d`; `None` for anything else.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut millis = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (_, unit) = DURATION_UNITS.iter().find(|(name, _)| *name == &rest[..letters])?;
        millis += number * *unit as f64;
        rest = rest[letters..].trim_start();
    }
    Duration::try_from_secs_f64(millis / 1000.0).ok()
}

/// The shortest text that [`parse_duration`] reads back.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".into();
    }
    // Weeks are read and not written: "14d" is plainer than "2w".
    for (name, unit) in DURATION_UNITS[..5].iter().rev() {
        if millis.is_multiple_of(u128::from(*unit)) {
            return format!("{}{name}", millis / u128::from(*unit));
        }
    }
    format!("{millis}ms")
}

/// `#[serde(with = "units::duration")]`: a text such as `30s`, or a number of seconds.
pub(crate) mod duration {
    use super::{Deserializer, Duration, Reader, Serializer, show_duration};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&show_duration(*duration))
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_any(Reader)
    }
}

/// As [`duration`], and nothing is no limit.
pub(crate) mod maybe_duration {
    use serde::{Deserialize, Serialize};

    use super::{Deserializer, Duration, Serializer, show_duration};

    pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        duration.map(show_duration).serialize(to)
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Given(#[serde(with = "super::duration")] Duration);
        Ok(Option::<Given>::deserialize(from)?.map(|given| given.0))
    }
}

struct Reader;

impl de::Visitor<'_> for Reader {
    type Value = Duration;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"30s\", \"500ms\", \"24h\" or \"7d\", or a number of seconds")
    }
    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(seconds))
    }
    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
        Err(E::invalid_value(de::Unexpected::Signed(seconds), &self))
    }
    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| E::invalid_value(de::Unexpected::Float(seconds), &self))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse_duration(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        for (text, millis) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("2w", 1_209_600_000),
            ("2.5s", 2500),
            ("1h 5s", 3_605_000),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration.as_millis(), millis, "{text}");
            assert_eq!(parse_duration(&show_duration(duration)), Some(duration), "{text}");
        }
        for bad in ["", "s", "5", "5 parsecs", "-3s", "1e400s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(show_duration(Duration::from_secs(86400)), "1d");
    }

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes) in
            [("64MiB", 64 << 20), ("10 GB", 10_000_000_000), ("4096B", 4096), ("1.5KiB", 1536), ("7", 7)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            assert_eq!(parse_size(&show_size(bytes)), Some(bytes), "{text}");
        }
        for bad in ["", "MiB", "-1MiB", "64 miles"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
        assert_eq!(show_size(0), "0B");
    }
}
