//! What has begun and is to be finished although nobody may wait for it any more: a client that goes away between a
//! change and its announcement must not leave the others without it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use futures_channel::{mpsc, oneshot};
use futures_util::{StreamExt as _, future::BoxFuture};
use yizhan_hub::StoreError;
use yizhan_talk::Now;

use crate::denied::Wrong;

/// Chores under way; what is more is done by whoever waits for it, and ends where they go away.
const CHORES_MAX: usize = 65_536;

/// Runs futures as part of the service's own work.
pub(crate) struct Chores {
    sender: mpsc::Sender<BoxFuture<'static, ()>>,
    under_way: Arc<AtomicUsize>,
    numbers: AtomicU64,
}

impl Chores {
    /// The queue, and the work that does what is in it.
    pub(crate) fn new(now: Now) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = mpsc::channel(CHORES_MAX);
        // Fewer than a thousand a millisecond: no number is given again after a restart.
        let numbers = AtomicU64::new(now.wall.as_millis().saturating_mul(1000));
        (
            Self { sender, under_way: Arc::default(), numbers },
            receiver.for_each_concurrent(None, |chore| chore),
        )
    }

    /// A number that was never given before.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    /// Has something done to its end. Gives its result to who still waits.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        chore: impl Future<Output = Result<T, Wrong>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Wrong>> {
        let (sender, receiver) = oneshot::channel();
        let under_way = self.under_way.clone();
        let before = under_way.fetch_add(1, Relaxed);
        let all: BoxFuture<'static, ()> = Box::pin(async move {
            // Who does not wait any more need not know.
            drop(sender.send(chore.await));
            under_way.fetch_sub(1, Relaxed);
        });
        let mut here = None;
        if before >= CHORES_MAX {
            here = Some(all);
        } else if let Err(full) = self.sender.clone().try_send(all) {
            here = Some(full.into_inner());
        }
        Box::pin(async move {
            if let Some(all) = here {
                all.await;
            }
            receiver.await.unwrap_or(Err(Wrong::from(StoreError::Closed)))
        })
    }
}
