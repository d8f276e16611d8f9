//! One lane on a disk that fills up, fails and rots.

use std::{collections::HashMap, path::Path, sync::Arc};

use parking_lot::Mutex;
use yizhan_hub::{
    message::Message,
    space::{Dedup, Limits},
    store::{Appended, PageSize, StoreError},
};

use super::{
    crash::*,
    support::{ALL, T0, filter, message, with_id},
};
use crate::{dedup::Ids, lane::Surroundings, recover, writer};

#[test]
fn a_full_disk_refuses_and_recovers_without_a_restart() {
    let mut bench = Bench::new(3);
    let mut life = bench.open();
    let mut put = |body: usize| {
        let answer = life.lane.append(T0, message("a", &"x".repeat(body)));
        let mut batch = vec![];
        life.lane.queue.take_now(&mut batch, usize::MAX);
        let lane = life.lane.clone();
        life.writer.turn(&mut batch, &mut |told| writer::tell(&lane, told));
        now(answer)
    };
    assert_eq!(put(100).unwrap().seq, 1);
    for free in [0, 999] {
        bench.files.set_free(free);
        // The answer about free space is believed for a second; a new segment asks again.
        for body in [100_000, 50_000] {
            assert_eq!(put(body), Err(StoreError::Full));
        }
    }
    bench.files.set_free(u64::MAX);
    assert_eq!(put(100_000).unwrap().seq, 2);
    assert_eq!(put(100).unwrap().seq, 3);
}

#[test]
fn after_a_failed_sync_nothing_more_is_taken() {
    let mut bench = Bench::new(4);
    let mut life = bench.open();
    for _ in 0..3 {
        bench.append(&mut life);
    }
    bench.files.fail_sync();
    let known = bench.message();
    let answer = life.lane.append(T0, message_of(&known));
    let mut batch = vec![];
    life.lane.queue.take_now(&mut batch, usize::MAX);
    life.writer.turn(&mut batch, &mut |_| panic!("nothing is told"));
    assert!(matches!(now(answer), Err(StoreError::Failed(_))));
    bench.maybe.push(known);
    let refused = now(life.lane.append(T0, message("a", "x")));
    assert!(matches!(refused, Err(StoreError::Failed(why)) if why.contains("restart")));
    drop(life);
    bench.files.restart();
    let mut life = bench.open();
    bench.append(&mut life);
}

#[test]
fn a_repeated_message_waits_for_the_first_one() {
    let mut bench = Bench::new(5);
    let mut life = bench.open();
    let mut first = life.lane.append(T0, with_id("a", 1));
    let mut second = life.lane.append(T0, with_id("d", 1));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(
        first.as_mut().poll(&mut context).is_pending() && second.as_mut().poll(&mut context).is_pending()
    );
    let mut batch = vec![];
    life.lane.queue.take_now(&mut batch, usize::MAX);
    assert_eq!(batch.len(), 1);
    let lane = life.lane.clone();
    life.writer.turn(&mut batch, &mut |told| writer::tell(&lane, told));
    let first = now(first).unwrap();
    assert_eq!(now(second), Ok(Appended { duplicate: true, ..first }));
    // A first one that was refused is none.
    bench.files.set_free(0);
    let body = vec![b'x'; 100_000];
    let refused = life.lane.append(T0, Message { body: body.into(), ..with_id("a", 2) });
    let waiting = life.lane.append(T0, with_id("a", 2));
    life.lane.queue.take_now(&mut batch, usize::MAX);
    life.writer.turn(&mut batch, &mut |_| panic!("nothing is told"));
    assert_eq!((now(refused), now(waiting)), (Err(StoreError::Full), Err(StoreError::Full)));
    bench.files.set_free(u64::MAX);
    let again = life.lane.append(T0, with_id("a", 2));
    life.lane.queue.take_now(&mut batch, usize::MAX);
    let lane = life.lane.clone();
    life.writer.turn(&mut batch, &mut |told| writer::tell(&lane, told));
    assert!(!now(again).unwrap().duplicate);
}

#[test]
fn one_wrong_bit_anywhere_is_never_read_as_something_else() {
    for seed in 1..60 {
        let mut bench = Bench::new(seed);
        bench.limits = Limits::NONE;
        let mut life = bench.open();
        for _ in 0..12 {
            bench.append(&mut life);
        }
        if seed % 2 == 0 {
            life.lane.checkpoint().unwrap();
        }
        let segments = life.lane.log.segments();
        let segment = segments[bench.chance.below(segments.len() as u64) as usize].clone();
        if segment.bytes() == 0 {
            continue;
        }
        let at = segment.base + bench.chance.below(segment.bytes());
        drop((life, segments));
        bench.files.restart();
        bench.files.damage(&segment.path, segment.at(at));
        let around = Surroundings {
            files: Arc::new(bench.files.clone()),
            shelf: bench.shelf.clone(),
            meters: Arc::default(),
            config: bench.config.clone(),
        };
        let ids = Arc::new(Mutex::new(Ids::new(Dedup::default())));
        let Ok((lane, report)) = recover::open(PLACE, Path::new(FOLDER), &ids, shape(&bench.config), around)
        else {
            continue;
        };
        let known: HashMap<u64, &Known> =
            bench.list.iter().map(|k| (k.appended.unwrap().position.offset, k)).collect();
        let mut corrupt = !report.damaged.is_empty() || report.dropped_bytes > 0;
        for known in &bench.list {
            let place = known.appended.unwrap().position.offset;
            match lane.log.record(place) {
                Ok((record, _)) => same(&[Arc::new(record)], &[known]),
                Err(_) => corrupt = true,
            }
        }
        for pattern in FILTERS {
            let mut after = 0;
            while let Ok(page) = lane.read_files(after, &filter(pattern), PageSize { records_max: 9, ..ALL })
            {
                for record in &page.records {
                    same(std::slice::from_ref(record), &[known[&record.position.unwrap().offset]]);
                }
                after = page.through.unwrap().offset;
                if page.at_end {
                    break;
                }
            }
        }
        assert!(corrupt, "seed {seed}: the damage was seen");
    }
}

/// The sender of an answer that nobody waits for is no reason to fail.
#[test]
fn who_does_not_wait_is_kept_all_the_same() {
    let mut bench = Bench::new(6);
    let mut life = bench.open();
    drop(life.lane.append(T0, message("a", "x")));
    let mut batch = vec![];
    life.lane.queue.take_now(&mut batch, usize::MAX);
    let lane = life.lane.clone();
    life.writer.turn(&mut batch, &mut |told| writer::tell(&lane, told));
    assert_eq!(read_all(&life.lane, 0, "a", 9).0.len(), 1);
}
