use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use parking_lot::Mutex;

use super::*;
use crate::{
    message::{Position, Record},
    space::{Dedup, Lag, Limits},
    store::{Missed, Range, Tail},
    store_suite::{ALL, Suite, T0, filter, message, run, seconds, topic},
};

fn space(keep: fn(Limits) -> Keep, limits: Limits) -> Space {
    Space {
        name: "s".into(),
        topics: filter("#"),
        keep: keep(limits),
        lag: Lag::CatchUp,
        dedup: Dedup::default(),
        lanes: 1,
    }
}

fn ready_now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the memory store's futures are ready at once")
}

fn open(memory: &Memory, limits: Limits) -> Arc<dyn Journal> {
    ready_now(memory.journal(&space(Keep::Memory, limits))).unwrap()
}

fn append(journal: &Arc<dyn Journal>, name: &str) -> Position {
    ready_now(journal.append(T0, message(name, "x"))).unwrap().position
}

#[test]
fn memory_is_a_store() {
    let fresh = || -> BoxFuture<'static, Arc<dyn Store>> { Box::pin(ready(Arc::new(Memory::new(1)) as _)) };
    let checks = ready_now(run(Suite { fresh: Box::new(fresh), keep: Keep::Memory, exact: true }));
    assert!(checks > 20);
}

#[test]
fn a_split_store_is_a_store() {
    let fresh = || -> BoxFuture<'static, Arc<dyn Store>> {
        Box::pin(ready(Arc::new(Split { disk: Arc::new(Memory::new(1)), memory: Memory::new(2) }) as _))
    };
    ready_now(run(Suite { fresh: Box::new(fresh), keep: Keep::Disk, exact: true }));
}

#[test]
fn a_split_store_goes_by_what_is_kept_where() {
    let disk = Arc::new(Memory::new(1));
    let split = Split { disk: disk.clone(), memory: Memory::new(2) };
    let in_memory = ready_now(split.journal(&space(Keep::Memory, Limits::NONE))).unwrap();
    assert_eq!(append(&in_memory, "a").epoch, 2);
    let on_disk = ready_now(split.journal(&space(Keep::Disk, Limits::NONE))).unwrap();
    assert_eq!(append(&on_disk, "a").epoch, 1);
    let row = Some(bytes::Bytes::from_static(b"v"));
    ready_now(split.table("t").unwrap().put(b"k", row, crate::store::Expect::Any)).unwrap();
    assert!(ready_now(disk.table("t").unwrap().get(b"k")).unwrap().is_some());
}

#[test]
fn a_place_of_an_earlier_run_begins_at_the_oldest() {
    let earlier = append(&open(&Memory::new(1), Limits::NONE), "a");
    let journal = open(&Memory::new(2), Limits::NONE);
    append(&journal, "a");
    let page = ready_now(journal.read(earlier, &filter("#"), ALL)).unwrap();
    assert_eq!((page.records.len(), page.missed, page.at_end), (1, Missed::Unknown, true));
    let elsewhere = Position { lane: 9, ..earlier };
    let page = ready_now(journal.read(elsewhere, &filter("#"), ALL)).unwrap();
    assert_eq!((page.records.len(), page.missed, page.at_end), (0, Missed::Unknown, true));
}

#[test]
fn a_space_that_is_opened_again_is_the_same_with_new_limits() {
    let memory = Memory::new(1);
    let journal = open(&memory, Limits::NONE);
    for _ in 0..5 {
        append(&journal, "a");
    }
    let again = open(&memory, Limits { records_max: 2, ..Limits::NONE });
    assert_eq!(again.id(), journal.id());
    append(&again, "a");
    assert_eq!(journal.figures().records, 2);
}

#[test]
fn what_nobody_adds_to_is_pruned_by_the_clock() {
    let memory = Memory::new(1);
    let journal = open(&memory, Limits { age_max: Duration::from_secs(10), ..Limits::NONE });
    append(&journal, "a");
    memory.prune(seconds(10));
    assert_eq!(journal.figures().records, 1);
    memory.prune(seconds(11));
    let figures = journal.figures();
    assert_eq!((figures.records, figures.bytes), (0, 0));
    let summary = &journal.topics(&filter("a"), None, 1)[0];
    assert_eq!((summary.oldest_seq, summary.newest_seq), (2, 1));
    let page = ready_now(journal.history(&topic("a"), Range::After(0), ALL)).unwrap();
    assert_eq!((page.missed, page.at_end), (Missed::Count(1), true));
    let page = ready_now(journal.history(&topic("a"), Range::Since(T0), ALL)).unwrap();
    assert_eq!(page.missed, Missed::Unknown);
}

/// Topics that come and go by the million cost memory only up to a bound, and no number comes twice.
#[test]
fn forgotten_topics_go_on_with_higher_numbers() {
    let journal = open(&Memory::new(1), Limits { records_max: 3, ..Limits::NONE });
    for _ in 0..7 {
        append(&journal, "busy");
    }
    for i in 0..100_100 {
        append(&journal, &format!("once/{i}"));
    }
    assert!(journal.figures().topics < 1000, "{:?}", journal.figures());
    let appended = ready_now(journal.append(T0, message("busy", "x"))).unwrap();
    assert_eq!(appended.seq, 8);
    let page = ready_now(journal.history(&topic("busy"), Range::After(3), ALL)).unwrap();
    assert_eq!((page.missed, page.records.len()), (Missed::Count(4), 1));
}

/// A tail that publishes: what it appends is shown after what it was told of, without a deadlock.
#[test]
fn a_tail_may_append() {
    struct Echo(Mutex<Vec<u64>>, Arc<dyn Journal>);
    impl Tail for Echo {
        fn appended(&self, records: &[Arc<Record>]) {
            for record in records {
                self.0.lock().push(record.seq);
                if record.seq < 5 {
                    ready_now(self.1.append(T0, message("a", "echo"))).unwrap();
                }
            }
        }
    }
    let journal = open(&Memory::new(1), Limits::NONE);
    let echo = Arc::new(Echo(Mutex::default(), journal.clone()));
    journal.set_tail(echo.clone());
    append(&journal, "a");
    assert_eq!(*echo.0.lock(), [1, 2, 3, 4, 5]);
}

#[test]
fn the_tail_is_in_order_whoever_appends() {
    #[derive(Default)]
    struct Order(Mutex<Vec<u64>>);
    impl Tail for Order {
        fn appended(&self, records: &[Arc<Record>]) {
            self.0.lock().extend(records.iter().filter_map(|r| Some(r.position?.offset)));
        }
    }
    let journal = open(&Memory::new(1), Limits { records_max: 10, ..Limits::NONE });
    let order = Arc::new(Order::default());
    journal.set_tail(order.clone());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let journal = &journal;
            scope.spawn(move || {
                for _ in 0..2000 {
                    append(journal, &format!("t/{thread}"));
                }
            });
        }
    });
    assert_eq!(*order.0.lock(), (1..=8000).collect::<Vec<u64>>());
}
