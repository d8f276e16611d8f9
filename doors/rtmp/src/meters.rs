//! What the door counts.

use yizhan_talk::Counter;

/// What all connections of the door count together.
#[derive(Debug, Default)]
pub struct Meters {
    /// Connections that ended before `connect` because they were no RTMP, or broke it.
    pub faults: Counter,
    /// `connect` was answered well.
    pub connects: Counter,
    /// `publish` was answered well.
    pub publishes: Counter,
    /// `publish` was refused.
    pub publishes_refused: Counter,
    /// `play` was answered well.
    pub plays: Counter,
    /// `play` was refused.
    pub plays_refused: Counter,
    /// Messages of publishers that were left out because they are malformed.
    pub malformed: Counter,
    /// Connections that were silent for too long.
    pub silent: Counter,
}
