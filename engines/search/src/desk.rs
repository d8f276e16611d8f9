//! What waits for the writer: a queue with a bound in changes and in bytes.

use std::{collections::VecDeque, time::Instant};

use futures_channel::oneshot;
use parking_lot::{Condvar, Mutex};

use crate::{document::Change, error::SearchError};

/// Changes that may wait or be written and not yet be committed; beyond this, `Busy`.
const WAITING_CHANGES_MAX: usize = 200_000;

/// Bytes of changes that may wait, likewise.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Callers that may wait for a commit; beyond this, `Busy`.
const FLUSHES_MAX: usize = 1024;

/// Changes that belong together, and how far the caller is with them.
pub(crate) struct Batch {
    pub(crate) changes: Vec<Change>,
    pub(crate) through: String,
    pub(crate) bytes: usize,
}

/// Someone who wants to know when all before is committed.
pub(crate) type Waiter = oneshot::Sender<Result<(), SearchError>>;

pub(crate) enum Work {
    Batch(Batch),
    Flush(Waiter),
    Expunge,
}

/// The queue between callers and the writer.
#[derive(Default)]
pub(crate) struct Desk {
    queue: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    /// Changes and their bytes, here and with the writer, until they are committed.
    changes: usize,
    bytes: usize,
    flushes: usize,
    closing: bool,
}

/// What the writer took.
pub(crate) struct Taken {
    pub(crate) work: VecDeque<Work>,
    /// Nothing comes after this.
    pub(crate) closing: bool,
}

impl Desk {
    pub(crate) fn put(&self, changes: Vec<Change>, through: String) -> Result<(), SearchError> {
        let bytes = changes.iter().map(Change::bytes).sum::<usize>() + through.len();
        let mut queue = self.queue.lock();
        if queue.closing {
            return Err(SearchError::Closed);
        }
        // A batch that is too large by itself gets in alone: refused, it would never get in.
        let fits =
            queue.changes + changes.len() <= WAITING_CHANGES_MAX && queue.bytes + bytes <= WAITING_BYTES_MAX;
        if queue.bytes > 0 && !fits {
            return Err(SearchError::Busy { waiting: queue.changes });
        }
        queue.changes += changes.len();
        queue.bytes += bytes;
        queue.work.push_back(Work::Batch(Batch { changes, through, bytes }));
        drop(queue);
        self.bell.notify_one();
        Ok(())
    }

    pub(crate) fn flush(&self) -> Result<oneshot::Receiver<Result<(), SearchError>>, SearchError> {
        let (waiter, ready) = oneshot::channel();
        let mut queue = self.queue.lock();
        if queue.closing {
            return Err(SearchError::Closed);
        }
        if queue.flushes >= FLUSHES_MAX {
            return Err(SearchError::Busy { waiting: queue.changes });
        }
        queue.flushes += 1;
        queue.work.push_back(Work::Flush(waiter));
        drop(queue);
        self.bell.notify_one();
        Ok(ready)
    }

    /// Asks for what was removed to be taken off the disk, too. Asking again before that began adds nothing.
    pub(crate) fn expunge(&self) -> Result<(), SearchError> {
        let mut queue = self.queue.lock();
        if queue.closing {
            return Err(SearchError::Closed);
        }
        if !matches!(queue.work.back(), Some(Work::Expunge)) {
            queue.work.push_back(Work::Expunge);
        }
        drop(queue);
        self.bell.notify_one();
        Ok(())
    }

    /// Nothing more is taken in; the writer does what is there and ends.
    pub(crate) fn close(&self) {
        self.queue.lock().closing = true;
        self.bell.notify_one();
    }

    /// Waits for work, until `until` if it is given.
    pub(crate) fn take(&self, until: Option<Instant>) -> Taken {
        let mut queue = self.queue.lock();
        while queue.work.is_empty() && !queue.closing {
            match until {
                Some(until) if self.bell.wait_until(&mut queue, until).timed_out() => break,
                Some(_) => {}
                None => self.bell.wait(&mut queue),
            }
        }
        Taken { work: std::mem::take(&mut queue.work), closing: queue.closing }
    }

    /// Waits until `until`, or until all is closed: says whether it is.
    pub(crate) fn rest(&self, until: Instant) -> bool {
        let mut queue = self.queue.lock();
        while !queue.closing {
            if self.bell.wait_until(&mut queue, until).timed_out() {
                break;
            }
        }
        queue.closing
    }

    /// These are committed, and wait no more.
    pub(crate) fn done(&self, changes: usize, bytes: usize, flushes: usize) {
        let mut queue = self.queue.lock();
        queue.changes -= changes;
        queue.bytes -= bytes;
        queue.flushes -= flushes;
    }

    /// Changes that are not committed yet.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.lock().changes
    }

    /// How many bytes the writer may hold before it commits early, so that the queue never stands still
    /// for want of room.
    pub(crate) fn is_half_full(held_changes: usize, held_bytes: usize) -> bool {
        held_changes >= WAITING_CHANGES_MAX / 2 || held_bytes >= WAITING_BYTES_MAX / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(count: usize) -> Vec<Change> {
        vec![Change::Clear; count]
    }

    #[test]
    fn a_full_desk_says_so_and_takes_again_when_work_is_done() {
        let desk = Desk::default();
        desk.put(batch(WAITING_CHANGES_MAX), String::new()).unwrap();
        let refused = desk.put(batch(1), String::new());
        assert!(matches!(refused, Err(SearchError::Busy { waiting: WAITING_CHANGES_MAX })), "{refused:?}");
        let Some(Work::Batch(taken)) = desk.take(None).work.pop_front() else { panic!("a batch was there") };
        assert!(desk.put(batch(1), String::new()).is_err(), "what is not committed still counts");
        desk.done(taken.changes.len(), taken.bytes, 0);
        desk.put(batch(1), String::new()).unwrap();
    }

    #[test]
    fn one_batch_of_any_size_gets_in_alone() {
        let desk = Desk::default();
        desk.put(batch(WAITING_CHANGES_MAX + 1), String::new()).unwrap();
        assert!(desk.put(batch(1), String::new()).is_err());
    }

    #[test]
    fn a_closed_desk_takes_nothing() {
        let desk = Desk::default();
        desk.put(batch(1), String::new()).unwrap();
        desk.close();
        assert!(matches!(desk.put(batch(1), String::new()), Err(SearchError::Closed)));
        assert!(matches!(desk.flush(), Err(SearchError::Closed)));
        let taken = desk.take(None);
        assert!(taken.closing && taken.work.len() == 1);
    }
}
