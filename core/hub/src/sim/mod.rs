//! A seeded world in which the test owns every interleaving: commits, tails, journal reads, connections,
//! slow readers and clocks all move only when the seed says so.
//!
//! The promises it holds the hub to: in a kept space that catches up, a listener gets each record once and
//! in order, whatever happens to its connection; elsewhere what it gets and what it is told it missed add
//! up. Tasks are polled only when they were woken, so a lost wake-up shows as a missing record.

mod disk;
mod groups;
mod journal;
mod notes;
mod world;

use crate::guard::without;

const SEEDS: u64 = 2000;
const STEPS: usize = 1500;

#[test]
fn every_listener_has_everything_once_and_in_order() {
    for seed in 0..SEEDS {
        if let Err(broken) = world::run(seed, STEPS) {
            panic!("seed {seed}: {broken}");
        }
    }
}

/// Each guard is needed: without it some seed breaks a promise.
#[test]
fn no_guard_can_be_taken_out_unnoticed() {
    let guards = ["life", "new to the feed", "nothing newer was shown", "the live link", "the last link"];
    for guard in guards {
        let broken = (0..SEEDS * 4).find(|&seed| {
            without(guard, || std::panic::catch_unwind(|| world::run(seed, STEPS)))
                .map_or(true, |held| held.is_err())
        });
        assert!(broken.is_some(), "nothing breaks without the guard '{guard}'");
    }
}

#[test]
fn members_share_everything_and_each_record_is_one_members() {
    for seed in 0..SEEDS {
        if let Err(broken) = groups::run(seed, STEPS) {
            panic!("seed {seed}: {broken}");
        }
    }
}

/// Each guard of groups is needed, too.
#[test]
fn no_guard_of_groups_can_be_taken_out_unnoticed() {
    let guards =
        ["room in the window", "once begun is nobody else's", "not finished before", "the last link"];
    for guard in guards {
        let broken = (0..SEEDS * 4).find(|&seed| {
            without(guard, || std::panic::catch_unwind(|| groups::run(seed, STEPS)))
                .map_or(true, |held| held.is_err())
        });
        assert!(broken.is_some(), "nothing breaks without the guard '{guard}'");
    }
}
