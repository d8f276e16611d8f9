//! Writers, readers, retention and checkpoints at the same time, on real files.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use parking_lot::Mutex;
use yizhan_hub::{
    message::{Position, Record},
    space::Limits,
    store::{Journal, Missed, PageSize, Range, StoreError, Tail},
};

use super::support::*;
use crate::Config;

const WRITERS: usize = 4;
const EACH: usize = 1000;

#[derive(Default)]
struct Heard(Mutex<Vec<(u64, u64)>>);

impl Tail for Heard {
    fn appended(&self, records: &[Arc<Record>]) {
        self.0.lock().extend(records.iter().map(|r| (r.position.unwrap().offset, r.seq)));
    }
}

/// Follows a filter until the writers are done. Gives the places it saw, and whether something was missed.
async fn follow(
    journal: Arc<dyn Journal>,
    pattern: &'static str,
    records_max: usize,
    done: Arc<AtomicBool>,
) -> (Vec<u64>, bool) {
    let wanted = filter(pattern);
    let mut after = Position { offset: 0, ..journal.heads()[0] };
    let (mut seen, mut missed) = (vec![], false);
    let mut seqs: HashMap<String, u64> = HashMap::new();
    loop {
        let last = done.load(SeqCst);
        let page = journal.read(after, &wanted, PageSize { records_max, ..ALL }).await.unwrap();
        missed |= page.missed != Missed::NONE;
        assert!(page.at_end || !page.records.is_empty());
        for record in &page.records {
            let name = record.message.topic.as_str();
            assert!(wanted.matches_name(name));
            let seq = seqs.entry(name.to_owned()).or_default();
            assert!(record.seq == *seq + 1 || (record.seq > *seq && (missed || *seq == 0)), "{name}");
            *seq = record.seq;
            seen.push(record.position.unwrap().offset);
        }
        after = page.through.unwrap();
        if page.at_end && last {
            assert!(seen.is_sorted_by(|a, b| a < b));
            return (seen, missed);
        }
        tokio::task::yield_now().await;
    }
}

async fn write(journal: Arc<dyn Journal>, writer: usize) -> Vec<u64> {
    let mut places = vec![];
    for i in 0..EACH {
        let body = "x".repeat(20 + i % 300);
        let name = ["a", "a/b", "c", "rare"][if i % 500 == 7 { 3 } else { (i + writer) % 3 }];
        let message =
            if i % 10 == 0 { keyed(name, &format!("{writer}"), &body) } else { message(name, &body) };
        loop {
            match journal.append(T0, message.clone()).await {
                Ok(appended) => {
                    places.push(appended.position.offset);
                    // What was acknowledged is there for whoever asks now.
                    assert!(journal.heads()[0] >= appended.position);
                    if i % 50 == 0 {
                        let range = Range::Between(appended.seq - 1, appended.seq + 1);
                        let page = journal.history(&message.topic, range, ALL).await.unwrap();
                        assert!(page.records.len() == 1 || page.missed == Missed::Count(1));
                    }
                    break;
                }
                Err(StoreError::Busy) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }
    places
}

async fn together(limits: Limits) {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        segment_bytes: 16 << 10,
        cache_bytes: 8 << 10,
        checkpoint_bytes: 40 << 10,
        open_files_max: 3,
        ..config()
    };
    let disk = open(folder.path(), &config);
    let j = journal(&disk, limits).await;
    let heard = Arc::new(Heard::default());
    j.set_tail(heard.clone());
    let done = Arc::new(AtomicBool::new(false));
    let followers: Vec<_> = [("#", 7), ("#", 1000), ("a/#", 50), ("a", 3), ("rare", 9), ("+/b", 20)]
        .map(|(pattern, most)| (pattern, tokio::spawn(follow(j.clone(), pattern, most, done.clone()))))
        .into();
    let states = tokio::spawn({
        let (j, done) = (j.clone(), done.clone());
        async move {
            while !done.load(SeqCst) {
                let state = j.state(&filter("#"), 999).await.unwrap();
                assert!(state.is_sorted_by_key(|r| r.position.unwrap()));
                tokio::task::yield_now().await;
            }
        }
    });
    let writers: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write(j.clone(), writer))).collect();
    let mut places = vec![];
    for writer in writers {
        places.extend(writer.await.unwrap());
    }
    places.sort_unstable();
    done.store(true, SeqCst);
    states.await.unwrap();
    for (pattern, follower) in followers {
        let (seen, missed) = follower.await.unwrap();
        assert!(!missed || limits != Limits::NONE);
        if pattern == "#" && !missed {
            assert_eq!(seen, places);
        }
    }
    disk.close().unwrap();
    let told = std::mem::take(&mut *heard.0.lock());
    assert_eq!(told.iter().map(|(place, _)| *place).collect::<Vec<_>>(), places);
    drop((j, disk));
    assert!(crate::check(folder.path(), &mut |_, _| {}).unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_miss_nothing_while_writers_write() {
    together(Limits::NONE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_are_told_what_retention_takes_under_them() {
    together(Limits { records_max: 1500, ..Limits::NONE }).await;
}
