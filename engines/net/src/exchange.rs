//! What [`crate::drive()`] and [`crate::EventBody`] share: a connection, its backend, the calls between
//! them, the one timer, and the buffers that a thread lends to one connection after the other.

use std::{
    any::{Any, TypeId},
    cell::RefCell,
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::time::Sleep;
use yizhan_talk::{Backend, Called, Connection, Fault, Now, Out, Then};

use crate::DoorMeters;

/// Bytes that one read may bring: as many as a thread's input buffer has.
pub(crate) const READ_BYTES_MAX: usize = 64 * 1024;
/// Deliveries that one turn takes.
const DELIVERIES_MAX: usize = 512;
/// Deliveries that one batch takes at first; it follows the size of what comes.
const BATCH_FIRST: u16 = 64;
/// Bytes of one turn's deliveries after which no further batch is taken.
pub(crate) const TURN_BYTES_MAX: usize = 64 * 1024;
/// A lent buffer that grew beyond this is given back to the system.
const LENT_BYTES_MAX: usize = 1024 * 1024;
/// Calls behind the oldest one that are looked at in each turn.
const AHEAD_MAX: usize = 8;
/// Kinds of backends whose buffers a thread keeps.
const KINDS_MAX: usize = 16;

/// A connection and its backend, and the calls that wait for answers.
pub(crate) struct Exchange<C: Connection> {
    pub(crate) connection: C,
    backend: C::Backend,
    /// Answers that are not given yet, in the order of the calls.
    waiting: VecDeque<Waiting<<C::Backend as Backend>::Answer>>,
    /// Deliveries that the next batch may take.
    batch: u16,
}

enum Waiting<A> {
    Done(A),
    Later(Pin<Box<dyn Future<Output = A> + Send>>),
}

impl<C: Connection> Exchange<C> {
    pub(crate) fn new(connection: C, backend: C::Backend) -> Self {
        Self { connection, backend, waiting: VecDeque::new(), batch: BATCH_FIRST }
    }

    /// How many calls have no answer yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        input: &mut BytesMut,
        out: &mut Out<C::Backend>,
    ) -> Result<(), Fault> {
        let received = self.connection.receive(now, input, out);
        // Also after a fault: what came before it was good.
        self.start_calls(cx, now, out);
        received
    }

    /// Starts what the last step left in `out.calls`.
    pub(crate) fn start_calls(&mut self, cx: &mut Context<'_>, now: Now, out: &mut Out<C::Backend>) {
        while !out.calls.is_empty() {
            let mut calls = std::mem::take(&mut out.calls);
            for call in calls.drain(..) {
                match self.backend.call(now, call) {
                    Called::Done(answer) if self.waiting.is_empty() => {
                        self.connection.answer(now, answer, out);
                    }
                    Called::Done(answer) => self.waiting.push_back(Waiting::Done(answer)),
                    Called::Later(mut future) => self.waiting.push_back(match future.as_mut().poll(cx) {
                        Poll::Ready(answer) => Waiting::Done(answer),
                        Poll::Pending => Waiting::Later(future),
                    }),
                }
            }
            if out.calls.is_empty() {
                out.calls = calls;
                self.backend.flush(now);
                // A future may have been ready at once, and its answer may lead to further calls.
                self.answer_ready(now, out);
            }
        }
    }

    /// Gives the connection the answers that are there, in the order of the calls.
    pub(crate) fn poll_answers(&mut self, cx: &mut Context<'_>, now: Now, out: &mut Out<C::Backend>) {
        if self.waiting.is_empty() {
            return;
        }
        let mut ahead = 0;
        for waiting in &mut self.waiting {
            if let Waiting::Later(future) = waiting {
                match future.as_mut().poll(cx) {
                    Poll::Ready(answer) => *waiting = Waiting::Done(answer),
                    Poll::Pending if ahead < AHEAD_MAX => ahead += 1,
                    Poll::Pending => break,
                }
            }
        }
        self.answer_ready(now, out);
        self.start_calls(cx, now, out);
    }

    fn answer_ready(&mut self, now: Now, out: &mut Out<C::Backend>) {
        while let Some(Waiting::Done(_)) = self.waiting.front() {
            if let Some(Waiting::Done(answer)) = self.waiting.pop_front() {
                self.connection.answer(now, answer, out);
            }
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }

    /// Takes what the backend has, as long as the connection wants it and one turn may. `Ready` says that
    /// there may be more.
    pub(crate) fn poll_deliveries(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        lent: &mut Lent<C::Backend>,
        meters: &DoorMeters,
    ) -> Poll<()> {
        let Lent { out, deliveries, .. } = lent;
        let before = out.packets.bytes().len();
        let mut taken = 0;
        while self.connection.takes_delivery() && out.then == Then::GoOn {
            if taken >= DELIVERIES_MAX || out.packets.bytes().len() - before >= TURN_BYTES_MAX {
                return Poll::Ready(());
            }
            let max = usize::from(self.batch).min(DELIVERIES_MAX - taken);
            if self.backend.poll_deliveries(cx, now, deliveries, max).is_pending() {
                break;
            }
            let n = deliveries.len();
            taken += n;
            meters.deliveries.add(n as u64);
            let bytes = out.packets.bytes().len();
            self.connection.deliver(now, deliveries, out);
            deliveries.clear();
            self.fit_batch(n, out.packets.bytes().len() - bytes);
            self.start_calls(cx, now, out);
        }
        Poll::Pending
    }

    /// A batch of small deliveries may be larger, one of large deliveries must be smaller: a slow reader
    /// holds at most one.
    fn fit_batch(&mut self, taken: usize, bytes: usize) {
        if bytes > 2 * TURN_BYTES_MAX {
            self.batch = (self.batch / 4).max(1);
        } else if taken == usize::from(self.batch) && bytes < TURN_BYTES_MAX / 2 {
            self.batch = (self.batch * 2).min(DELIVERIES_MAX as u16);
        }
    }
}

/// The one timer of a connection. It is made when it is first needed, and moved only to an earlier time:
/// when it fires too early it is set again, which is cheaper than moving it at every packet.
#[derive(Default)]
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    at: Option<Instant>,
}

impl Alarm {
    /// Wakes the task of `cx` at `deadline` or before.
    pub(crate) fn set(&mut self, cx: &mut Context<'_>, now: Instant, deadline: Option<Instant>) {
        if self.at.is_some_and(|at| at <= now) {
            self.at = None;
        }
        let Some(deadline) = deadline else { return };
        if self.at.is_some_and(|at| at <= deadline) {
            return;
        }
        self.at = Some(deadline);
        // Relative, and never zero: the clock that connections see may be another one than tokio's.
        let after = deadline.saturating_duration_since(now).max(Duration::from_millis(1));
        let sleep = if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(tokio::time::Instant::now() + after);
            sleep
        } else {
            self.sleep.insert(Box::pin(tokio::time::sleep(after)))
        };
        if sleep.as_mut().poll(cx).is_ready() {
            self.at = None;
            cx.waker().wake_by_ref();
        }
    }
}

/// The earlier of two deadlines, where there are any.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Buffers that a thread lends for one turn.
pub(crate) struct Lent<B: Backend> {
    pub(crate) out: Out<B>,
    pub(crate) deliveries: Vec<B::Delivery>,
    pub(crate) input: BytesMut,
}

impl<B: Backend> Lent<B> {
    fn new() -> Self {
        Self { out: Out::new(), deliveries: Vec::new(), input: BytesMut::new() }
    }

    fn clean(&mut self) {
        self.out.calls.clear();
        self.out.packets.clear();
        self.out.then = Then::GoOn;
        if self.out.packets.bytes_mut().capacity() > LENT_BYTES_MAX {
            *self.out.packets.bytes_mut() = BytesMut::new();
        }
        self.deliveries.clear();
        self.input.clear();
    }
}

thread_local! {
    static LENT: RefCell<Vec<(TypeId, Box<dyn Any>)>> = const { RefCell::new(Vec::new()) };
}

/// Runs `turn` with this thread's buffers for backends of this kind.
pub(crate) fn lend<B: Backend, T>(turn: impl FnOnce(&mut Lent<B>) -> T) -> T {
    let kind = TypeId::of::<B>();
    let kept =
        LENT.with_borrow_mut(|all| all.iter().position(|(of, _)| *of == kind).map(|i| all.swap_remove(i).1));
    let mut lent: Box<Lent<B>> =
        kept.and_then(|kept| kept.downcast().ok()).unwrap_or_else(|| Box::new(Lent::new()));
    let result = turn(&mut lent);
    lent.clean();
    LENT.with_borrow_mut(|all| {
        if all.len() < KINDS_MAX {
            all.push((kind, lent));
        }
    });
    result
}
