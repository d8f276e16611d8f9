//! Several links as one backend, so that what matters more comes first.

use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use yizhan_talk::{Backend, Called, Now};

/// A call, answer or delivery of the backend with this rank; 0 comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranked<T> {
    /// Which backend.
    pub rank: usize,
    /// What it is asked or says.
    pub what: T,
}

impl<T> Ranked<T> {
    /// Of this rank.
    pub const fn new(rank: usize, what: T) -> Self {
        Self { rank, what }
    }
}

/// Backends by rank. Deliveries of a higher rank are taken before any of a lower one.
#[derive(Debug)]
pub struct Ranks<B: Backend> {
    backends: Vec<B>,
    /// Lent to one backend after the other.
    taken: Vec<B::Delivery>,
}

impl<B: Backend> Ranks<B> {
    /// The first has rank 0, which comes first. At least one.
    #[must_use]
    pub const fn new(backends: Vec<B>) -> Self {
        Self { backends, taken: Vec::new() }
    }
}

// Nothing in it is ever pinned in place.
impl<B: Backend> Unpin for Ranks<B> {}

impl<B: Backend> Backend for Ranks<B>
where
    B::Call: 'static,
    B::Answer: 'static,
    B::Delivery: 'static,
{
    type Call = Ranked<B::Call>;
    type Answer = Ranked<B::Answer>;
    type Delivery = Ranked<B::Delivery>;

    fn call(&mut self, now: Now, Ranked { rank, what }: Self::Call) -> Called<Self::Answer> {
        match self.backends[rank].call(now, what) {
            Called::Done(answer) => Called::Done(Ranked { rank, what: answer }),
            Called::Later(answer) => Called::Later(Box::pin(answer.map(move |what| Ranked { rank, what }))),
        }
    }

    fn flush(&mut self, now: Now) {
        self.backends.iter_mut().for_each(|backend| backend.flush(now));
    }

    fn poll_deliveries(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        into: &mut Vec<Self::Delivery>,
        max: usize,
    ) -> Poll<()> {
        let before = into.len();
        for (rank, backend) in self.backends.iter_mut().enumerate() {
            let room = max.saturating_sub(into.len() - before);
            // Where there is no room left the lower ones are asked in the next turn, which comes at once.
            if room == 0 {
                break;
            }
            if backend.poll_deliveries(cx, now, &mut self.taken, room).is_ready() {
                into.extend(self.taken.drain(..).map(|what| Ranked { rank, what }));
            }
        }
        if into.len() > before { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    struct Queue(VecDeque<&'static str>);

    impl Backend for Queue {
        type Call = &'static str;
        type Answer = String;
        type Delivery = &'static str;

        fn call(&mut self, _: Now, call: &'static str) -> Called<String> {
            match call {
                "later" => Called::Later(Box::pin(async { "late".to_owned() })),
                now => Called::Done(now.to_uppercase()),
            }
        }

        fn poll_deliveries(
            &mut self,
            _: &mut Context<'_>,
            _: Now,
            into: &mut Vec<&'static str>,
            max: usize,
        ) -> Poll<()> {
            let before = into.len();
            into.extend(self.0.drain(..max.min(self.0.len())));
            if into.len() > before { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    fn now() -> Now {
        #[allow(clippy::disallowed_methods)]
        Now { steady: std::time::Instant::now(), wall: yizhan_talk::Timestamp(0) }
    }

    fn ranks(queues: &[&[&'static str]]) -> Ranks<Queue> {
        Ranks::new(queues.iter().map(|queue| Queue(queue.iter().copied().collect())).collect())
    }

    #[test]
    fn the_highest_rank_is_emptied_first() {
        let mut ranks = ranks(&[&["a1", "a2", "a3"], &[], &["c1", "c2"]]);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut taken = Vec::new();
        while ranks.poll_deliveries(&mut cx, now(), &mut taken, 2).is_ready() {
            taken.push(Ranked::new(9, "|"));
        }
        let order: Vec<_> = taken.iter().map(|delivery| delivery.what).collect();
        assert_eq!(order, ["a1", "a2", "|", "a3", "c1", "|", "c2", "|"]);
        assert!(taken.iter().all(|d| d.rank == 9 || d.what.starts_with(['a', 'b', 'c'][d.rank])));
    }

    #[test]
    fn answers_say_whose_they_are() {
        let mut ranks = ranks(&[&[], &[]]);
        let Called::Done(answer) = ranks.call(now(), Ranked::new(1, "x")) else { panic!("it is there") };
        assert_eq!(answer, Ranked::new(1, "X".to_owned()));
        let Called::Later(answer) = ranks.call(now(), Ranked::new(0, "later")) else { panic!("it is not") };
        assert_eq!(answer.now_or_never(), Some(Ranked::new(0, "late".to_owned())));
    }
}
