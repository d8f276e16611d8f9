//! What all broadcasts together have done since the server was started.

use yizhan_talk::{Counter, Gauge};

/// The doors by which broadcasts are watched, as metrics name them; what is none of them is `other`.
pub const DOORS: [&str; 7] = ["rtmp", "flv", "ws-flv", "hls", "dash", "relay", "other"];

/// Numbers for metrics.
#[derive(Debug, Default)]
pub struct Totals {
    /// Broadcasts that have begun, rungs of ladders among them.
    pub begun: Counter,
    /// Publishers that came back, or took over.
    pub back: Counter,
    /// Publishers that were cut off.
    pub lost: Counter,
    /// Bytes of frames that came in.
    pub in_bytes: Counter,
    /// Frames that came in.
    pub in_frames: Counter,
    /// Frames that were dropped: before a track's configuration or its first key frame.
    pub dropped: Counter,
    /// Blocks that slow viewers were not given.
    pub skipped: Counter,
    /// Viewers that came, by [`DOORS`].
    pub came: [Counter; DOORS.len()],
    /// Viewers that are here, by [`DOORS`].
    pub here: [Gauge; DOORS.len()],
    /// Bytes that viewers were given, by [`DOORS`].
    pub out_bytes: [Counter; DOORS.len()],
}

/// The place of a door among [`DOORS`].
pub(crate) fn place_of(door: &str) -> usize {
    DOORS.iter().position(|known| *known == door).unwrap_or(DOORS.len() - 1)
}
