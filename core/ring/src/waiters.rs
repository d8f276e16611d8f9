//! Who waits for the next item.

use std::task::{Context, Waker};

/// Wakers of readers that found nothing, all of them woken by the next push.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// Grows each time everybody is woken, so that an old [`Ticket`] is known as such.
    round: u64,
    wakers: Vec<Waker>,
    /// Places in `wakers` whose reader is gone.
    free: Vec<usize>,
}

/// Where a reader's waker lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    round: u64,
    index: usize,
}

impl Waiters {
    /// Notes a reader's waker, in the place of the one it left before.
    pub(crate) fn wait(&mut self, ticket: &mut Option<Ticket>, cx: &Context<'_>) {
        if let Some(held) = ticket.filter(|t| t.round == self.round)
            && let Some(waker) = self.wakers.get_mut(held.index)
        {
            waker.clone_from(cx.waker());
            return;
        }
        let index = match self.free.pop() {
            Some(index) => {
                self.wakers[index] = cx.waker().clone();
                index
            }
            None => {
                self.wakers.push(cx.waker().clone());
                self.wakers.len() - 1
            }
        };
        *ticket = Some(Ticket { round: self.round, index });
    }

    /// Forgets a reader.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        if ticket.round == self.round
            && let Some(waker) = self.wakers.get_mut(ticket.index)
        {
            waker.clone_from(Waker::noop());
            self.free.push(ticket.index);
        }
    }

    /// Everybody who waits; call them outside of locks.
    pub(crate) fn take(&mut self) -> Vec<Waker> {
        if self.wakers.is_empty() {
            return Vec::new();
        }
        self.round += 1;
        self.free.clear();
        std::mem::take(&mut self.wakers)
    }

    /// Takes the room of a woken list back, so that the next round allocates nothing.
    pub(crate) fn give_back(&mut self, mut woken: Vec<Waker>) {
        woken.clear();
        if self.wakers.capacity() == 0 {
            self.wakers = woken;
        }
    }
}
