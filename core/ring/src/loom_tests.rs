//! Interleavings of pushes and readers, as far as loom can tell them apart.

use loom::{future::block_on, thread};

use crate::{Closed, Limits, Ring};

const WIDE: Limits = Limits { items_max: 8, weight_max: usize::MAX };

/// All runs in which threads are interrupted at most twice at places of loom's choice; more of them takes
/// hours, and most errors show with two.
fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(check);
}

/// A reader that goes to sleep while an item is pushed is woken: otherwise loom finds the deadlock.
#[test]
fn no_wake_is_lost() {
    model(|| {
        let ring = Ring::new(WIDE, 0);
        let mut reader = ring.reader();
        let writer = thread::spawn({
            let ring = ring.clone();
            move || {
                ring.push(1, 0);
                ring.push(2, 0);
            }
        });
        assert_eq!(block_on(reader.next()), Ok((1, 0)));
        assert_eq!(block_on(reader.next()), Ok((2, 0)));
        writer.join().unwrap();
    });
}

#[test]
fn closing_wakes_and_everything_is_read_first() {
    model(|| {
        let ring = Ring::new(WIDE, 0);
        let mut reader = ring.reader();
        let writer = thread::spawn({
            let ring = ring.clone();
            move || {
                ring.push(1, 0);
                ring.close();
            }
        });
        assert_eq!(block_on(reader.next()), Ok((1, 0)));
        assert_eq!(block_on(reader.next()), Err(Closed));
        writer.join().unwrap();
    });
}

/// What is lost and what is read is all that was pushed.
#[test]
fn a_slow_reader_learns_what_it_lost() {
    model(|| {
        let ring = Ring::new(Limits { items_max: 1, weight_max: usize::MAX }, 0);
        let mut reader = ring.reader();
        let writer = thread::spawn({
            let ring = ring.clone();
            move || {
                for item in 1..=2_u64 {
                    ring.push(item, 0);
                }
                ring.close();
            }
        });
        let mut accounted = 0;
        while let Ok((item, missed)) = block_on(reader.next()) {
            accounted += missed + 1;
            assert_eq!(item, accounted);
        }
        assert_eq!(accounted, 2);
        writer.join().unwrap();
    });
}

/// A reader that leaves while others are woken takes nobody's waker with it.
#[test]
fn a_leaving_reader_disturbs_nobody() {
    model(|| {
        let ring = Ring::new(WIDE, 0);
        let mut stays = ring.reader();
        let mut leaves = ring.reader();
        let leaver = thread::spawn(move || {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = leaves.poll_take(&mut cx, 1, &mut Vec::new());
        });
        let writer = thread::spawn({
            let ring = ring.clone();
            move || ring.push(7, 0)
        });
        assert_eq!(block_on(stays.next()), Ok((7, 0)));
        leaver.join().unwrap();
        writer.join().unwrap();
    });
}
