//! The section `hls` of the config. Its doc comments are the config reference.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use yizhan_net::{SiteError, setting::seconds};

/// Segments that a playlist lists at least (RFC 8216 §6.2.2: three target durations).
const SEGMENTS_MIN: usize = 3;
/// Segments that a playlist lists at most.
const SEGMENTS_MAX: usize = 10_000;

/// Broadcasts over HTTP: HLS (CMAF and MPEG-TS), Low-Latency HLS, DASH, HTTP-FLV and FLV over WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long a segment is. It ends with the first key frame after this time, so a publisher whose key frames are
    /// further apart makes longer ones. `"2s"` by default.
    #[serde(with = "seconds")]
    pub segment: Duration,
    /// How long a part of a segment is, for Low-Latency HLS; 0 switches low latency off.
    #[serde(with = "seconds")]
    pub part: Duration,
    /// Segments that a playlist lists, where `time_shift` asks for no more.
    pub segments: usize,
    /// How far viewers may go back. 0: as far as `segments` reach.
    #[serde(with = "seconds")]
    pub time_shift: Duration,
    /// Bytes of segments that one broadcast may hold in memory in one form (CMAF, TS); older segments go early.
    pub bytes_max: usize,
    /// Whether every broadcast is made into segments from its beginning on. Otherwise the first viewer begins it: less
    /// work where few broadcasts are watched, and the first viewer waits for a part of a second.
    pub always: bool,
    /// A broadcast that nobody has asked for so long is no longer made into segments.
    #[serde(with = "seconds")]
    pub idle: Duration,
    /// How long the last segments of a broadcast that has ended can be had.
    #[serde(with = "seconds")]
    pub keep_after_end: Duration,
    /// How long caches may keep segments, parts and what they begin with. Their names are never used again.
    #[serde(with = "seconds")]
    pub cache: Duration,
    /// Whether viewers are told apart by a session in the addresses of playlists and in a cookie. Without it, what all
    /// viewers ask for is the same, as a CDN wants it: then viewers are counted by address and user agent, those behind
    /// the CDN as one.
    pub sessions: bool,
    /// Sessions at one time. One more viewer is answered 503.
    pub sessions_max: usize,
    /// Requests for one playlist or part that may wait at one time until it is there. One more is answered 503.
    pub waiting_max: usize,
    /// Pages of these origins may play: `"https://example.org"`; `"*"` is any. `http.origins` may as well.
    pub origins: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment: Duration::from_secs(2),
            part: Duration::from_millis(200),
            segments: 6,
            time_shift: Duration::ZERO,
            bytes_max: 64 * 1024 * 1024,
            always: false,
            idle: Duration::from_secs(60),
            keep_after_end: Duration::from_secs(60),
            cache: Duration::from_secs(3600),
            sessions: true,
            sessions_max: 200_000,
            waiting_max: 100_000,
            origins: vec!["*".into()],
        }
    }
}

impl Config {
    /// The part's length, where there are parts.
    #[must_use]
    pub fn part(&self) -> Option<Duration> {
        (!self.part.is_zero()).then_some(self.part)
    }

    /// Says what makes no sense.
    ///
    /// # Errors
    /// The setting and what it should be.
    pub fn check(&self) -> Result<(), SiteError> {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let (part_min, day) = (Duration::from_millis(100), minute * 60 * 24);
        let reason = if self.segment < second || self.segment > minute {
            "segment is 1 to 60 seconds".to_owned()
        } else if self.part().is_some_and(|part| part < part_min || part * 2 > self.segment) {
            "part is 0, or 100 ms up to half a segment".to_owned()
        } else if !(SEGMENTS_MIN..=SEGMENTS_MAX).contains(&self.segments) {
            format!("segments is {SEGMENTS_MIN} to {SEGMENTS_MAX}")
        } else if self.time_shift > day {
            "time_shift is at most one day; a recording goes back further".to_owned()
        } else if self.idle < second * 10 {
            "idle is at least 10 seconds".to_owned()
        } else if self.bytes_max < 1024 * 1024 {
            "bytes_max is at least 1 MiB".to_owned()
        } else {
            return Ok(());
        };
        Err(SiteError::Door { door: "hls", reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_said() {
        assert!(Config::default().check().is_ok());
        let off = Config { part: Duration::ZERO, ..Config::default() };
        assert_eq!((off.check().is_ok(), off.part()), (true, None));
        for wrong in [
            Config { segment: Duration::from_millis(900), ..Config::default() },
            Config { part: Duration::from_millis(99), ..Config::default() },
            Config { part: Duration::from_millis(1001), ..Config::default() },
            Config { segments: 2, ..Config::default() },
            Config { bytes_max: 1, ..Config::default() },
            Config { idle: Duration::ZERO, ..Config::default() },
            Config { time_shift: Duration::from_secs(100_000), ..Config::default() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
