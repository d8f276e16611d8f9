//! The ring against a model: a plain list of all that was ever pushed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use proptest::prelude::*;

use crate::{Closed, Limits, Reader, Ring, Took};

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Join,
    JoinAt(u64),
    JoinNewest(u64),
    Take(usize, usize),
    Seek(usize, u64),
    Forget(u64),
    Leave(usize),
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..9_usize).prop_map(Step::Push),
        1 => Just(Step::Join),
        1 => (0..40_u64).prop_map(Step::JoinAt),
        1 => (1..5_u64).prop_map(Step::JoinNewest),
        6 => (0..9_usize, 0..5_usize).prop_map(|(r, n)| Step::Take(r, n)),
        1 => (0..9_usize, 1..5_u64).prop_map(|(r, m)| Step::Seek(r, m)),
        1 => (0..9_usize).prop_map(Step::Leave),
        1 => (0..60_u64).prop_map(Step::Forget),
    ];
    (prop::collection::vec(step, 0..120), any::<bool>()).prop_map(|(mut steps, close)| {
        if close {
            let middle = steps.len() * 3 / 4;
            steps.insert(middle, Step::Close);
        }
        steps
    })
}

/// All that was pushed: (item, weight); the first `gone` of them are out.
struct Model {
    first: u64,
    all: Vec<(u64, usize)>,
    gone: usize,
    limits: Limits,
    closed: bool,
}

impl Model {
    fn push(&mut self, weight: usize) {
        if self.closed {
            return;
        }
        self.all.push((self.all.len() as u64 * 3, weight));
        let over = |kept: &[(u64, usize)]| {
            kept.len() > self.limits.items_max
                || kept.iter().map(|k| k.1).sum::<usize>() > self.limits.weight_max
        };
        while self.all.len() - self.gone > 1 && over(&self.all[self.gone..]) {
            self.gone += 1;
        }
    }
    fn oldest(&self) -> u64 {
        self.first + self.gone as u64
    }
    fn next(&self) -> u64 {
        self.first + self.all.len() as u64
    }
    fn newest_multiple(&self, of: u64) -> Option<u64> {
        let index = self.all[self.gone..].iter().rposition(|(item, _)| item.is_multiple_of(of))?;
        Some(self.oldest() + index as u64)
    }
    fn take(&self, at: &mut u64, most: usize) -> (Result<Option<Took>, Closed>, Vec<u64>) {
        let first = (*at).max(self.oldest());
        let from = usize::try_from(first - self.first).unwrap().min(self.all.len());
        let items: Vec<u64> = self.all[from..].iter().take(most.max(1)).map(|k| k.0).collect();
        if items.is_empty() {
            return (if self.closed { Err(Closed) } else { Ok(None) }, items);
        }
        let took = Took { first, items: items.len(), missed: first - *at };
        *at = first + items.len() as u64;
        (Ok(Some(took)), items)
    }
}

proptest! {
    #[test]
    fn the_ring_does_what_a_plain_list_does(
        steps in steps(), items_max in 0..6_usize, weight_max in 0..20_usize, first in 0..10_u64,
    ) {
        let limits = Limits { items_max, weight_max };
        let ring = Ring::new(limits, first);
        let mut model = Model { first, all: vec![], gone: 0, limits, closed: false };
        let mut readers: Vec<(Reader<u64>, u64)> = vec![(ring.reader(), first)];
        for step in steps {
            match step {
                Step::Push(weight) => {
                    let (position, item) = (model.next(), model.all.len() as u64 * 3);
                    model.push(weight);
                    prop_assert_eq!(ring.push(item, weight), position);
                }
                Step::Join => readers.push((ring.reader(), model.next())),
                Step::JoinAt(at) => {
                    let at = at.max(first);
                    readers.push((ring.reader_at(at), at));
                }
                Step::JoinNewest(of) => {
                    let at = model.newest_multiple(of).unwrap_or_else(|| model.next());
                    readers.push((ring.reader_at_newest(|i| i.is_multiple_of(of)), at));
                }
                Step::Take(which, most) if !readers.is_empty() => {
                    let which = which % readers.len();
                    let (reader, at) = &mut readers[which];
                    let mut got = vec![];
                    let took = reader.try_take(most, &mut got);
                    prop_assert_eq!((took, got), model.take(at, most));
                }
                Step::Seek(which, of) if !readers.is_empty() => {
                    let which = which % readers.len();
                    let (reader, at) = &mut readers[which];
                    let expected = model.newest_multiple(of).and_then(|found| found.checked_sub(*at));
                    prop_assert_eq!(reader.seek(|i| i.is_multiple_of(of)), expected);
                    *at += expected.unwrap_or(0);
                }
                Step::Leave(which) if !readers.is_empty() => {
                    let which = which % readers.len();
                    readers.swap_remove(which);
                }
                Step::Forget(before) => {
                    ring.forget_while(|_, item| *item < before);
                    while model.all.len() - model.gone > 1 && model.all[model.gone].0 < before {
                        model.gone += 1;
                    }
                }
                Step::Close => {
                    ring.close();
                    model.closed = true;
                }
                _ => {}
            }
            prop_assert_eq!((ring.oldest(), ring.next()), (model.oldest(), model.next()));
            prop_assert_eq!(ring.weight(), model.all[model.gone..].iter().map(|k| k.1).sum::<usize>());
            for (reader, at) in &readers {
                prop_assert_eq!(reader.position(), *at);
                prop_assert_eq!(reader.behind(), model.next().saturating_sub(*at));
            }
        }
    }
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn each_waiting_reader_is_woken_once_a_push() {
    let ring = Ring::new(Limits::NONE, 0);
    let bells: Vec<Arc<Bell>> = (0..5).map(|_| Arc::default()).collect();
    let mut readers: Vec<Reader<u32>> = bells.iter().map(|_| ring.reader()).collect();
    for round in 1..=3_usize {
        for (reader, bell) in readers.iter_mut().zip(&bells) {
            let waker = Waker::from(bell.clone());
            let mut cx = Context::from_waker(&waker);
            // Polled twice, woken once.
            assert_eq!(reader.poll_take(&mut cx, 9, &mut vec![]), Poll::Pending);
            assert_eq!(reader.poll_take(&mut cx, 9, &mut vec![]), Poll::Pending);
        }
        ring.push(1, 1);
        ring.push(2, 1);
        for (reader, bell) in readers.iter_mut().zip(&bells) {
            assert_eq!(bell.0.load(Relaxed), round);
            let mut got = vec![];
            assert!(reader.try_take(9, &mut got).is_ok());
            assert_eq!(got, [1, 2]);
        }
    }
}

#[test]
fn readers_that_come_and_go_leave_nothing_behind() {
    let ring = Ring::<u32>::new(Limits::NONE, 0);
    let bell: Arc<Bell> = Arc::default();
    let waker = Waker::from(bell.clone());
    for _ in 0..1000 {
        let mut reader = ring.reader();
        let mut cx = Context::from_waker(&waker);
        assert!(reader.poll_take(&mut cx, 1, &mut vec![]).is_pending());
    }
    ring.push(1, 1);
    assert_eq!(bell.0.load(Relaxed), 0);
    assert_eq!(Arc::strong_count(&bell), 2, "no waker of a reader that is gone is held");
}

#[test]
fn after_closing_nothing_is_taken_in() {
    let ring = Ring::new(Limits::NONE, 4);
    ring.push('a', 1);
    ring.close();
    assert_eq!(ring.push('b', 1), 5);
    let mut reader = ring.reader_at(0);
    let mut got = vec![];
    assert_eq!(reader.try_take(5, &mut got), Ok(Some(Took { first: 4, items: 1, missed: 4 })));
    assert_eq!(reader.try_take(5, &mut got), Err(Closed));
    assert_eq!(got, ['a']);
}
