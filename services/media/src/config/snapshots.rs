//! The section `live.snapshots`: a picture of each broadcast, for lists.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use yizhan_talk::span;

/// Pictures of what is on air: `/live/NAME.jpg`. They need ffmpeg (`live.ladder.ffmpeg`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snapshots {
    /// How often one is taken of each broadcast; `0s`: never. At least 1 s.
    #[serde(with = "span")]
    pub every: Duration,
    /// Pixels of the longer side, at most.
    pub side_max: u32,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { every: Duration::ZERO, side_max: 640 }
    }
}

impl Snapshots {
    /// Whether any are taken.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.every.is_zero()
    }

    /// Says what makes no sense.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn check(&self) -> Result<(), String> {
        if self.is_on() && self.every < Duration::from_secs(1) {
            return Err("live.snapshots.every: at least 1 s, or 0s for none".into());
        }
        if !(16..=4096).contains(&self.side_max) {
            return Err("live.snapshots.side_max: 16 to 4096 pixels".into());
        }
        Ok(())
    }
}
