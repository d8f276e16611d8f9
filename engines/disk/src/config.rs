//! What can be set.

use serde::{Deserialize, Serialize};

/// How the store works. Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bytes of a segment file. Retention frees the disk in such pieces; a space with a small limit uses
    /// an eighth of that limit instead, at least 1 MiB.
    pub segment_bytes: u64,
    /// Messages that may wait for one lane's writer. More are refused as "busy".
    pub queue_messages_max: usize,
    /// Bytes of messages that may wait for one lane's writer. More are refused as "busy".
    pub queue_bytes_max: usize,
    /// Bytes written between two syncs. Larger groups raise throughput and the wait of each message.
    pub group_bytes_max: usize,
    /// Bytes that stay free on the disk: with less, publishing is refused as "full" until there is more.
    /// The tables may use three quarters of it, so that people can still sign in on a full disk.
    pub reserve_bytes: u64,
    /// Bytes of the newest records that each lane keeps in memory, for readers that are nearly live.
    pub cache_bytes: usize,
    /// Bytes written to a lane after which its index is saved again. A start reads at most about this
    /// much of each lane.
    pub checkpoint_bytes: u64,
    /// Segment files that each lane keeps open for reading.
    pub open_files_max: usize,
    /// Topics that one lane knows; a message to one more is refused. A topic costs about 200 bytes of
    /// memory as long as its space lives, because its numbers must go on where they stopped.
    pub topics_max: usize,
    /// Reads that touch the disk at the same time; more wait for their turn.
    pub reads_max: usize,
    /// Bytes of the tables' cache.
    pub tables_cache_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            queue_messages_max: 65_536,
            queue_bytes_max: 64 << 20,
            group_bytes_max: 4 << 20,
            reserve_bytes: 256 << 20,
            cache_bytes: 32 << 20,
            checkpoint_bytes: 128 << 20,
            open_files_max: 256,
            topics_max: 4_000_000,
            reads_max: 64,
            tables_cache_bytes: 32 << 20,
        }
    }
}

/// Smallest segment that makes sense, bytes.
const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// Largest segment: retention deletes whole ones.
const SEGMENT_BYTES_MAX: u64 = 4 << 30;

impl Config {
    /// This, with what cannot work brought within what can.
    pub(crate) fn within_bounds(&self) -> Self {
        Self {
            segment_bytes: self.segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
            group_bytes_max: self.group_bytes_max.max(1),
            reads_max: self.reads_max.clamp(1, tokio::sync::Semaphore::MAX_PERMITS),
            ..self.clone()
        }
    }
}
