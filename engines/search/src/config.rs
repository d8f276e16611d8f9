//! Settings of an index.

use std::time::Duration;

/// The least that tantivy works with, for each thread: its own bound, and a little.
const MEMORY_BYTES_MIN: usize = 16 << 20;

/// The most that tantivy works with, for each thread.
const MEMORY_BYTES_MAX: usize = 2 << 30;

/// How an index works; nothing here changes what is found.
#[derive(Clone, Debug)]
pub struct Config {
    /// Memory for documents that are not on disk yet, in bytes, for all threads together: more of it, fewer
    /// merges. Each thread has at least 16 MiB and at most 2 GiB.
    pub memory_bytes: usize,
    /// How long a change waits for others before all are committed together: the longest time until it is
    /// found, but for the commit itself.
    pub commit_interval: Duration,
    /// Threads that cut texts into words; at least one.
    pub threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, commit_interval: Duration::from_millis(500), threads: 1 }
    }
}

impl Config {
    pub(crate) fn memory_bytes_each(&self) -> usize {
        (self.memory_bytes / self.threads.max(1)).clamp(MEMORY_BYTES_MIN, MEMORY_BYTES_MAX)
    }
}
