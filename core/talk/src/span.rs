//! How long things last, in config: `90`, `"250ms"`, `"90s"`, `"15m"`, `"12h"`, `"90d"`.
//!
//! For `#[serde(with = "span")]`. A number is seconds. What is written is the shortest text.

use std::{fmt, time::Duration};

use serde::{Deserializer, Serializer, de};

/// Units, largest first.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Longest time that is taken: 100 years.
const SECONDS_MAX: u64 = 100 * 366 * 86_400;

/// Writes a duration; what is less than a millisecond is left out.
///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    if span.subsec_millis() > 0 {
        return serializer.collect_str(&format_args!("{}ms", span.as_millis()));
    }
    let seconds = span.as_secs();
    let (unit, length) = UNITS
        .into_iter()
        .find(|(_, length)| seconds > 0 && seconds.is_multiple_of(*length))
        .unwrap_or(("s", 1));
    serializer.collect_str(&format_args!("{}{unit}", seconds / length))
}

/// Reads a duration.
///
/// # Errors
/// The text is no duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Reader)
}

struct Reader;

impl de::Visitor<'_> for Reader {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as 90 (seconds), \"250ms\", \"90s\", \"15m\", \"12h\" or \"90d\"")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
        if seconds > SECONDS_MAX {
            return Err(E::custom("a time of more than 100 years"));
        }
        Ok(Duration::from_secs(seconds))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
        let seconds = u64::try_from(seconds).map_err(|_| E::custom("a time is not negative"))?;
        self.visit_u64(seconds)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        let text = text.trim();
        if let Some(number) = text.strip_suffix("ms") {
            let millis = number.trim().parse::<u64>().ok().filter(|millis| millis / 1000 <= SECONDS_MAX);
            let millis = millis.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))?;
            return Ok(Duration::from_millis(millis));
        }
        let (number, length) = UNITS
            .into_iter()
            .find_map(|(unit, length)| text.strip_suffix(unit).map(|number| (number, length)))
            .unwrap_or((text, 1));
        let seconds = number.trim().parse::<u64>().ok().and_then(|n| n.checked_mul(length));
        self.visit_u64(seconds.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &Self))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Holder {
        #[serde(with = "super")]
        span: Duration,
    }

    fn read(text: &str) -> Option<u64> {
        serde_json::from_str::<Holder>(&format!("{{\"span\":{text}}}")).ok().map(|h| h.span.as_secs())
    }

    #[test]
    fn times_are_read_and_written_in_the_largest_unit() {
        assert_eq!(read("90"), Some(90));
        assert_eq!(read("\"15m\""), Some(900));
        assert_eq!(read("\" 2 h \""), Some(7200));
        let millis = serde_json::from_str::<Holder>("{\"span\":\"1250ms\"}").unwrap();
        assert_eq!(millis.span, Duration::from_millis(1250));
        assert_eq!(serde_json::to_string(&millis).unwrap(), "{\"span\":\"1250ms\"}");
        for bad in [
            "\"-1ms\"",
            "\"ms\"",
            "-1",
            "\"\"",
            "\"1w\"",
            "1.5",
            "\"99999999999999999999d\"",
            "9999999999999",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        for (seconds, text) in [(0, "0s"), (59, "59s"), (900, "15m"), (43_200, "12h"), (86_400, "1d")] {
            let shown = serde_json::to_string(&Holder { span: Duration::from_secs(seconds) }).unwrap();
            assert_eq!(shown, format!("{{\"span\":\"{text}\"}}"));
        }
    }
}
