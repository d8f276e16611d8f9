//! What the store counts.

use yizhan_talk::{Counter, Histogram};

/// Numbers of all journals together, for the server to show.
#[derive(Debug, Default)]
pub struct Meters {
    /// How long messages waited for their group's write to begin.
    pub wait: Histogram,
    /// How long groups took to be written and synced.
    pub commit: Histogram,
    /// Groups committed.
    pub groups: Counter,
    /// Records committed.
    pub records: Counter,
    /// Bytes written for them.
    pub bytes: Counter,
    /// Messages refused because too many waited.
    pub busy: Counter,
    /// Messages refused because the disk was full.
    pub full: Counter,
    /// Messages that were there already.
    pub duplicates: Counter,
    /// Reads that had to go to the files.
    pub file_reads: Counter,
    /// How long those took.
    pub read: Histogram,
}
