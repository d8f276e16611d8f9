//! One playlist: its text as it was last made, and those who wait for the next one.

use std::{sync::Arc, time::Instant};

use futures_channel::oneshot;
use parking_lot::Mutex;

use crate::{playlist::reload::Place, respond::Shown};

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// A segment that is complete: only then is it known how long they are, and what a playlist says of that never
    /// changes (rfc8216bis §4.4.3.1).
    Segment,
    /// A playlist that lists this.
    Place(Place),
    /// A part by its number and its index, or that it will not come.
    Part(u64, u32),
}

#[derive(Default)]
pub(super) struct Board {
    made: Mutex<Made>,
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Default)]
struct Made {
    version: u64,
    whole: Option<Arc<Shown>>,
    delta: Option<Arc<Shown>>,
}

struct Waiting {
    what: Awaited,
    until: Instant,
    tell: oneshot::Sender<()>,
}

impl Board {
    /// The text of this version, made by the first who asks.
    pub(super) fn shown(&self, version: u64, delta: bool, make: impl FnOnce() -> Shown) -> Arc<Shown> {
        let mut made = self.made.lock();
        if made.version != version {
            *made = Made { version, whole: None, delta: None };
        }
        let kept = if delta { &mut made.delta } else { &mut made.whole };
        kept.get_or_insert_with(|| Arc::new(make())).clone()
    }

    /// Notes somebody who waits; `None` where `max` do already.
    pub(super) fn wait(&self, what: Awaited, until: Instant, max: usize) -> Option<oneshot::Receiver<()>> {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= max {
            waiting.retain(|one| !one.tell.is_canceled());
        }
        if waiting.len() >= max {
            return None;
        }
        let (tell, told) = oneshot::channel();
        waiting.push(Waiting { what, until, tell });
        Some(told)
    }

    /// Wakes all whose wait is over.
    pub(super) fn wake(&self, mut is_there: impl FnMut(Awaited) -> bool) {
        for one in self.waiting.lock().extract_if(.., |one| is_there(one.what)) {
            // A client that has gone needs no answer.
            one.tell.send(()).ok();
        }
    }

    /// Lets go of those who have waited long enough, and of those who have gone.
    pub(super) fn expire(&self, now: Instant) {
        self.waiting.lock().retain(|one| one.until > now && !one.tell.is_canceled());
    }
}
