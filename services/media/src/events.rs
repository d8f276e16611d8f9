//! What happens to broadcasts, for those who go along with them: recorders, ladders, packagers, announcements.

use yizhan_talk::Timestamp;

use crate::{broadcast::Broadcast, name::Name};

/// Events that are remembered for slow listeners; one that has missed some looks at the list again.
pub(crate) const EVENTS_MAX: usize = 4_096;

/// Something happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// A broadcast has begun.
    OnAir(Broadcast),
    /// Another publisher goes on with it, or the same one that was cut off.
    Back(Broadcast),
    /// It is encoded otherwise from now on.
    Changed(Broadcast),
    /// Its publisher was cut off; it may come back within the time of grace.
    Lost(Broadcast),
    /// It is over.
    Ended(Broadcast),
    /// Somebody wants to watch what is not on air and waits.
    Wanted(Name),
}
