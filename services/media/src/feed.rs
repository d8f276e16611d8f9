//! One viewer's place in a broadcast, for doors that send blocks as they come.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use yizhan_ring::{Reader, Ring};

use crate::{block::Block, broadcast::micros};

/// Blocks that are taken out of the ring at once.
const BLOCKS_AT_ONCE: usize = 8;

/// What comes next.
#[derive(Debug, Clone)]
pub enum Fed {
    /// Frames. Where their setup is another `Arc` than that of the block before, its head goes first.
    Block(Arc<Block>),
    /// So many blocks were passed over, since the viewer was too slow; the next one joins.
    Skipped(u64),
    /// The broadcast is over.
    Ended,
}

/// One viewer's place. It costs a position, whether the viewer keeps up or not.
pub struct Feed {
    ring: Ring<Arc<Block>>,
    reader: Reader<Arc<Block>>,
    taken: VecDeque<Arc<Block>>,
    scratch: Vec<Arc<Block>>,
    behind_max: i64,
    /// The next block must be one that joins.
    wants_join: bool,
    /// Passed over and not told yet.
    passed: u64,
    /// Whether it has given a block: what was passed over before the first one is nothing that the viewer has missed.
    begun: bool,
}

impl Feed {
    pub(crate) fn new(ring: Ring<Arc<Block>>, behind_max: Duration) -> Self {
        let reader = ring.reader_at_newest(|block| block.joins());
        Self {
            reader,
            ring,
            taken: VecDeque::new(),
            scratch: Vec::new(),
            behind_max: micros(behind_max),
            wants_join: true,
            passed: 0,
            begun: false,
        }
    }

    /// What comes next. `Ended` again and again at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Fed> {
        loop {
            if self.taken.is_empty() {
                let took =
                    match std::task::ready!(self.reader.poll_take(cx, BLOCKS_AT_ONCE, &mut self.scratch)) {
                        Ok(took) => took,
                        Err(_closed) => return Poll::Ready(Fed::Ended),
                    };
                self.taken.extend(self.scratch.drain(..));
                if took.missed > 0 {
                    self.passed += took.missed;
                    self.wants_join = true;
                }
                self.catch_up();
            }
            let Some(block) = self.taken.pop_front() else { continue };
            if self.wants_join && !block.joins() {
                self.passed += 1;
                continue;
            }
            self.wants_join = false;
            let passed = std::mem::take(&mut self.passed);
            if passed > 0 && self.begun {
                self.taken.push_front(block);
                return Poll::Ready(Fed::Skipped(passed));
            }
            self.begun = true;
            return Poll::Ready(Fed::Block(block));
        }
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Fed {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Where it is too far behind, and there is a newer place to go on from, it goes there.
    fn catch_up(&mut self) {
        let Some(oldest) = self.taken.front() else { return };
        let newest = self.ring.next().checked_sub(1).and_then(|at| self.ring.at(at));
        let behind = newest.map_or(0, |newest| newest.dts() - oldest.dts());
        if behind <= self.behind_max {
            return;
        }
        if let Some(passed) = self.reader.seek(|block| block.joins()) {
            self.passed += passed + self.taken.len() as u64;
            self.taken.clear();
            self.wants_join = true;
        } else if let Some(at) = self.taken.iter().rposition(|block| block.joins()).filter(|at| *at > 0) {
            self.passed += at as u64;
            self.taken.drain(..at);
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("at", &self.reader.position()).finish_non_exhaustive()
    }
}
