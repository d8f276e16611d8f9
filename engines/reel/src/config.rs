//! What can be set.

use std::{path::PathBuf, time::Duration};

/// Where recordings lie and how they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder.
    pub folder: PathBuf,
    /// Threads that write.
    pub threads: usize,
    /// A take is made safe on the disk when a piece that begins with a key frame comes and this has passed since it was
    /// last: so much of it may be lost when the machine loses its power.
    pub sync_every: Duration,
    /// Bytes that may wait for the disk, of each take. What comes while there is no room is dropped.
    pub queue_bytes_max: usize,
    /// Bytes that stay free on the disk: with less, takes end.
    pub reserve_bytes: u64,
}

impl Config {
    /// The usual limits, with recordings in `folder`.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            threads: 2,
            sync_every: Duration::from_secs(5),
            queue_bytes_max: 32 << 20,
            reserve_bytes: 512 << 20,
        }
    }
}

/// What stays of finished takes. The oldest go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// For so long after their end; `None`: for ever.
    pub age_max: Option<Duration>,
    /// So many bytes of all of them together, those of takes that are being written included; `None`: any number.
    pub bytes_max: Option<u64>,
}
