//! Messages on their way to a lane's writer.

use std::{collections::VecDeque, time::Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use yizhan_hub::{
    message::Message,
    store::{Appended, StoreError},
};
use yizhan_talk::Timestamp;

/// Messages in one group at most, so that a group of tiny ones does not take forever to answer.
pub(crate) const GROUP_MESSAGES_MAX: usize = 16_384;

/// A message that waits, and who waits for it.
pub(crate) struct Pending {
    pub(crate) at: Timestamp,
    pub(crate) message: Message,
    pub(crate) answer: oneshot::Sender<Result<Appended, StoreError>>,
    pub(crate) since: Instant,
}

/// A queue bounded by count and bytes; over either, messages are refused as "busy".
#[derive(Default)]
pub(crate) struct Queue {
    inside: Mutex<Inside>,
    filled: Condvar,
}

#[derive(Default)]
struct Inside {
    waiting: VecDeque<Pending>,
    bytes: usize,
    nudged: bool,
    closed: bool,
}

/// What a writer got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Messages, or just a nudge.
    Some,
    /// Nothing, and nothing will come.
    Closed,
}

impl Queue {
    /// Puts a message in line. Order of calls is order of records.
    pub(crate) fn push(
        &self,
        pending: Pending,
        messages_max: usize,
        bytes_max: usize,
    ) -> Result<(), StoreError> {
        let weight = pending.message.weight();
        let mut inside = self.inside.lock();
        if inside.closed {
            return Err(StoreError::Closed);
        }
        // One message may always wait, however large.
        let over = inside.waiting.len() >= messages_max || inside.bytes + weight > bytes_max;
        if over && !inside.waiting.is_empty() {
            return Err(StoreError::Busy);
        }
        inside.bytes += weight;
        inside.waiting.push_back(pending);
        let first = inside.waiting.len() == 1;
        drop(inside);
        if first {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for messages and moves a group of them to `into`.
    pub(crate) fn wait(&self, into: &mut Vec<Pending>, bytes_max: usize) -> Taken {
        let mut inside = self.inside.lock();
        while inside.waiting.is_empty() && !inside.closed && !inside.nudged {
            self.filled.wait(&mut inside);
        }
        inside.nudged = false;
        Self::take(&mut inside, into, bytes_max)
    }

    /// As [`wait`](Self::wait), with what is there.
    #[cfg(test)]
    pub(crate) fn take_now(&self, into: &mut Vec<Pending>, bytes_max: usize) -> Taken {
        Self::take(&mut self.inside.lock(), into, bytes_max)
    }

    fn take(inside: &mut Inside, into: &mut Vec<Pending>, bytes_max: usize) -> Taken {
        if inside.waiting.is_empty() && inside.closed {
            return Taken::Closed;
        }
        let mut bytes = 0;
        while bytes < bytes_max && into.len() < GROUP_MESSAGES_MAX {
            let Some(pending) = inside.waiting.pop_front() else { break };
            bytes += pending.message.weight();
            into.push(pending);
        }
        inside.bytes -= bytes;
        Taken::Some
    }

    /// Wakes the writer though nothing may be there.
    pub(crate) fn nudge(&self) {
        self.inside.lock().nudged = true;
        self.filled.notify_one();
    }

    /// Lets nothing more in. What waits is still given out.
    pub(crate) fn close(&self) {
        self.inside.lock().closed = true;
        self.filled.notify_all();
    }

    pub(crate) fn len(&self) -> usize {
        self.inside.lock().waiting.len()
    }
}
