//! The section `live.record`: broadcasts that are written to files.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use yizhan_talk::span;

use super::relay::fits;
use crate::Name;

/// Shortest time after which another file may begin.
const ROTATE_MIN: Duration = Duration::from_secs(10);
/// Smallest size at which another file may begin.
const ROTATE_BYTES_MIN: u64 = 1 << 20;

/// Recordings. What is not named here is recorded where somebody asks for it (`live/record`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Record {
    /// The apps whose broadcasts are recorded from their beginning on; none by default.
    pub apps: Vec<String>,
    /// The broadcasts of these apps that are; `*` stands for any number of characters. Rungs of ladders never are.
    pub names: Vec<String>,
    /// What files are.
    pub format: Format,
    /// Another file begins at the first key frame after this time.
    #[serde(with = "span")]
    pub rotate: Duration,
    /// Another file begins at the first key frame after so many bytes.
    pub rotate_bytes: u64,
    /// Files go when they have been done for so long; `0s`: they stay.
    #[serde(with = "span")]
    pub keep_for: Duration,
    /// Bytes of all files together; beyond it the oldest go. `0`: any number.
    pub keep_bytes_max: u64,
    /// Bytes that stay free on the disk: with less, recordings end. Broadcasts go on.
    pub reserve_bytes: u64,
    /// Where files are written: `APP/NAME/MILLISECONDS.mp4` in this folder. Left out: `recordings` in the data folder.
    pub folder: Option<PathBuf>,
}

/// What recordings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// fragmented MP4: plays in browsers, while it is being written, too
    #[default]
    Mp4,
    /// FLV: what comes is what is written, script data included
    Flv,
}

impl Format {
    /// The files' extension.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Flv => "flv",
        }
    }
}

impl Default for Record {
    fn default() -> Self {
        Self {
            apps: Vec::new(),
            names: vec!["*".into()],
            format: Format::default(),
            rotate: Duration::from_secs(3600),
            rotate_bytes: 8 << 30,
            keep_for: Duration::ZERO,
            keep_bytes_max: 0,
            reserve_bytes: 1 << 30,
            folder: None,
        }
    }
}

impl Record {
    /// Whether this broadcast is recorded without anybody asking for it.
    #[must_use]
    pub fn is_for(&self, name: &Name) -> bool {
        name.rung_name().is_none()
            && self.apps.iter().any(|app| **app == *name.app)
            && self.names.iter().any(|pattern| fits(pattern, &name.name))
    }

    /// Says what makes no sense.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn check(&self) -> Result<(), String> {
        if self.rotate < ROTATE_MIN {
            return Err("live.record.rotate: at least 10 s".into());
        }
        if self.rotate_bytes < ROTATE_BYTES_MIN {
            return Err("live.record.rotate_bytes: at least 1 MiB".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_recorded_by_itself_unless_it_is_named() {
        let name = |name: &str| Name::of_any("live", name).unwrap();
        assert!(!Record::default().is_for(&name("room")));
        let record = Record { apps: vec!["live".into()], names: vec!["r*".into()], ..Record::default() };
        assert!(record.is_for(&name("room")));
        assert!(!record.is_for(&name("other")) && !record.is_for(&name("room~720p")));
        assert_eq!(record.check(), Ok(()));
        assert!(Record { rotate: Duration::ZERO, ..Record::default() }.check().is_err());
        assert!(Record { rotate_bytes: 1, ..Record::default() }.check().is_err());
    }
}
