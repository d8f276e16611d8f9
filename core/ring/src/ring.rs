//! A log that one side pushes to and many read from, each at its own pace.

use std::{
    fmt,
    future::poll_fn,
    task::{Context, Poll, ready},
};

#[cfg(loom)]
use loom::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(loom))]
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{
    log::{Limits, Log},
    waiters::{Ticket, Waiters},
};

/// A shared log. Cloning it gives another handle to the same one; items are cloned for each reader, so they
/// should be cheap to clone: `Arc<…>` or `Bytes`.
///
/// Pushing takes the lock that readers share for as long as they copy one batch; it never waits for a
/// reader to catch up.
pub struct Ring<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    inside: RwLock<Inside<T>>,
    /// Taken after `inside` was let go, never together with it.
    waiters: Mutex<Waiters>,
}

struct Inside<T> {
    log: Log<T>,
    closed: bool,
}

/// Nothing more comes: the ring was closed and all of it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ring is closed")
    }
}

impl std::error::Error for Closed {}

/// What one taking gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// The position of the first item given.
    pub first: u64,
    /// How many were given.
    pub items: usize,
    /// How many items before the first were lost, because the reader was too slow.
    pub missed: u64,
}

impl<T> Shared<T> {
    // A panic while a lock is held can only come from `T`'s clone or drop or from a reader's closure; the
    // log is whole at each of these points, so a poisoned lock is as good as any.
    fn read(&self) -> RwLockReadGuard<'_, Inside<T>> {
        self.inside.read().unwrap_or_else(|poison| poison.into_inner())
    }
    fn write(&self) -> RwLockWriteGuard<'_, Inside<T>> {
        self.inside.write().unwrap_or_else(|poison| poison.into_inner())
    }
    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    fn wake_all(&self) {
        let mut woken = self.waiters().take();
        if woken.is_empty() {
            return;
        }
        for waker in woken.drain(..) {
            waker.wake();
        }
        self.waiters().give_back(woken);
    }
}

impl<T: Clone> Ring<T> {
    /// An empty ring whose first item gets the position `first`.
    #[must_use]
    pub fn new(limits: Limits, first: u64) -> Self {
        let inside = Inside { log: Log::new(limits, first), closed: false };
        Self {
            shared: Arc::new(Shared { inside: RwLock::new(inside), waiters: Mutex::new(Waiters::default()) }),
        }
    }

    /// Appends an item that weighs `weight`, wakes the readers that wait, and gives its position. After
    /// [`close`](Self::close) it is dropped, and the position is where it would have been.
    pub fn push(&self, item: T, weight: usize) -> u64 {
        let mut inside = self.shared.write();
        if inside.closed {
            return inside.log.next();
        }
        let position = inside.log.push(item, weight);
        drop(inside);
        self.shared.wake_all();
        position
    }

    /// Takes the oldest items out as long as `gone` says so of them; the newest always stays.
    pub fn forget_while(&self, mut gone: impl FnMut(u64, &T) -> bool) {
        let mut inside = self.shared.write();
        let mut dropped = Vec::new();
        while inside.log.len() > 1 {
            let oldest = inside.log.oldest();
            if !inside.log.at(oldest).is_some_and(|item| gone(oldest, item)) {
                break;
            }
            dropped.extend(inside.log.pop_oldest());
        }
        // What is forgotten is freed when the lock is no longer held.
        drop(inside);
    }

    /// Ends the ring: readers get what is there, then [`Closed`].
    pub fn close(&self) {
        self.shared.write().closed = true;
        self.shared.wake_all();
    }

    /// A reader that begins with the next item to come.
    #[must_use]
    pub fn reader(&self) -> Reader<T> {
        let at = self.shared.read().log.next();
        self.reader_at(at)
    }

    /// A reader that begins at a position. One that is gone already counts as missed; one that lies ahead
    /// is waited for.
    #[must_use]
    pub fn reader_at(&self, position: u64) -> Reader<T> {
        Reader { shared: self.shared.clone(), at: position, ticket: None }
    }

    /// A reader that begins with the newest item that is as asked for (a key frame, say), or with the next
    /// one to come where there is none.
    #[must_use]
    pub fn reader_at_newest(&self, wanted: impl FnMut(&T) -> bool) -> Reader<T> {
        let inside = self.shared.read();
        let at = inside.log.newest_where(wanted).unwrap_or_else(|| inside.log.next());
        drop(inside);
        self.reader_at(at)
    }

    /// The item at a position; `None` where it is gone or not there yet.
    #[must_use]
    pub fn at(&self, position: u64) -> Option<T> {
        self.shared.read().log.at(position).cloned()
    }

    /// The position of the oldest item; that of the next one where there is none.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.shared.read().log.oldest()
    }

    /// The position that the next item gets.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.shared.read().log.next()
    }

    /// The sum of the weights of the items that are there.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.shared.read().log.weight()
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.read().closed
    }
}

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inside = self.shared.read();
        let (oldest, next, closed) = (inside.log.oldest(), inside.log.next(), inside.closed);
        f.debug_struct("Ring").field("oldest", &oldest).field("next", &next).field("closed", &closed).finish()
    }
}

/// One reader's place in a [`Ring`]. It costs a position, whether it keeps up or not.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    at: u64,
    ticket: Option<Ticket>,
}

impl<T: Clone> Reader<T> {
    /// Takes up to `items_max` items (at least one), where some are there; `Ok(None)` where none is.
    ///
    /// # Errors
    /// [`Closed`] where none will ever be.
    pub fn try_take(&mut self, items_max: usize, into: &mut Vec<T>) -> Result<Option<Took>, Closed> {
        let inside = self.shared.read();
        let first = self.at.max(inside.log.oldest());
        let before = into.len();
        into.extend(inside.log.from(first).take(items_max.max(1)).map(|(_, item)| item.clone()));
        let items = into.len() - before;
        if items == 0 {
            return if inside.closed { Err(Closed) } else { Ok(None) };
        }
        let missed = first - self.at;
        self.at = first + items as u64;
        Ok(Some(Took { first, items, missed }))
    }

    /// As [`try_take`](Self::try_take), and has the task woken when there is something.
    pub fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        items_max: usize,
        into: &mut Vec<T>,
    ) -> Poll<Result<Took, Closed>> {
        if let Some(took) = self.try_take(items_max, into).transpose() {
            return Poll::Ready(took);
        }
        self.shared.waiters().wait(&mut self.ticket, cx);
        // A push that came between the look and the note has woken nobody, so look again.
        self.try_take(items_max, into).transpose().map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits for items and takes up to `items_max` of them. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Closed`] where nothing more comes.
    pub async fn take(&mut self, items_max: usize, into: &mut Vec<T>) -> Result<Took, Closed> {
        poll_fn(|cx| self.poll_take(cx, items_max, into)).await
    }

    /// Waits for the next item, and gives how many were lost before it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Closed`] where nothing more comes.
    pub async fn next(&mut self) -> Result<(T, u64), Closed> {
        let mut item = Vec::with_capacity(1);
        poll_fn(|cx| {
            let took = ready!(self.poll_take(cx, 1, &mut item))?;
            // One was taken, so one is there.
            Poll::Ready(item.pop().map(|item| (item, took.missed)).ok_or(Closed))
        })
        .await
    }

    /// Jumps ahead to the newest item that is as asked for, and gives how many items were passed over,
    /// lost ones included. Stays, and gives `None`, where there is none at or ahead of this place.
    pub fn seek(&mut self, wanted: impl FnMut(&T) -> bool) -> Option<u64> {
        let found = self.shared.read().log.newest_where(wanted)?;
        let passed = found.checked_sub(self.at)?;
        self.at = found;
        Some(passed)
    }

    /// The position of the item that is taken next, if it is still there then.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.at
    }

    /// How many items lie ahead of this place, lost ones included.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.shared.read().log.next().saturating_sub(self.at)
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), at: self.at, ticket: None }
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.waiters().leave(ticket);
        }
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("at", &self.at).finish_non_exhaustive()
    }
}
