//! Erasing on real files: what was said is in none of them any more, whoever reads, copies or checks meanwhile.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use yizhan_hub::{
    message::Record,
    space::Limits,
    store::{Range, StoreError, emptied},
};

use super::support::*;
use crate::{
    Config, check,
    codec::{self, Preamble},
    erase::Intent,
    log::record_of,
    registry, repair, restore,
    segment::{HEADER_BYTES, base_of},
    tables::{SHELF, Tables},
    verify,
};

fn quiet(_: u64, _: u64) {}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()))
        } else {
            found.push(entry.path())
        }
    }
    found
}

/// The files in which something stands.
fn with(folder: &Path, what: &str) -> Vec<PathBuf> {
    let has = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        memchr(&bytes, what.as_bytes())
    };
    files(folder).into_iter().filter(has).collect()
}

fn memchr(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_is_in_no_file() {
    const SECRET: &str = "what nobody shall ever read again";
    let folder = tempfile::tempdir().unwrap();
    let small = Config { segment_bytes: 100 << 10, ..config() };
    let disk = open(folder.path(), &small);
    let j = journal(&disk, Limits::NONE).await;
    for i in 0..300 {
        let body = format!("{SECRET} {i} {}", ".".repeat(i * 7));
        let headers = [("subject".into(), format!("{SECRET} too").into())];
        append(&j, yizhan_hub::Message { headers: headers.into(), ..message("a", &body) }).await;
        append(&j, message("b", "this stays")).await;
    }
    append(&j, message("a", &SECRET.repeat(100_000))).await;
    append(&j, keyed("a", "k", SECRET)).await;
    assert!(with(folder.path(), SECRET).len() > 3, "in sealed segments and in the one that is written");
    let half: Vec<u64> = (1..=302).filter(|seq| seq % 2 == 0).collect();
    assert_eq!(j.erase(&topic("a"), half).await, Ok(151));
    assert_eq!(j.erase(&topic("a"), (1..=302).collect()).await, Ok(151));
    assert_eq!(with(folder.path(), SECRET), Vec::<PathBuf>::new());
    // Once as after a crash, once after a stop.
    drop((j, disk));
    for _ in 0..2 {
        let disk = open(folder.path(), &small);
        let j = journal(&disk, Limits::NONE).await;
        assert!(disk.recovery().is_clean(), "{:?}", disk.recovery());
        let records = read_all(&j, "a", 50).await.unwrap();
        assert_eq!(records.len(), 302);
        assert!(records.iter().all(|record| emptied(record).is_none()));
        assert_eq!(read_all(&j, "b", 50).await.unwrap().len(), 300);
        assert!(j.state(&filter("#"), 9).await.unwrap().is_empty());
        assert_eq!(with(folder.path(), SECRET), Vec::<PathBuf>::new());
        disk.close().unwrap();
        assert_eq!(j.erase(&topic("b"), vec![1]).await, Err(StoreError::Closed));
    }
    assert!(check(folder.path(), &mut quiet).unwrap().is_sound());
}

/// Leaves a folder as a power failure in the middle of erasing leaves it: the intent is safe, and half of the
/// record is written over.
fn tear(folder: &Path, seq: u64) {
    let tables = Tables::open(&folder.join("tables"), 1 << 20, 0, 0).unwrap();
    let (name, registered) = registry::all(&tables).unwrap().remove(0);
    let lane = codec::LanePlace { space: registered.id, lane: 0, epoch: registered.epoch };
    let at = folder.join("journal").join(registered.folder_name(&name)).join("0");
    let mut torn = false;
    for path in files(&at) {
        let Some(base) = base_of(path.file_name().unwrap().to_str().unwrap()) else { continue };
        let bytes = fs::read(&path).unwrap();
        let mut from = HEADER_BYTES as usize;
        while let Ok(preamble) = Preamble::read(&bytes[from..], base + from as u64 - HEADER_BYTES) {
            let frame = bytes::Bytes::copy_from_slice(&bytes[from..from + preamble.frame_len]);
            from += frame.len();
            // One that was torn before.
            let Ok((record, links)) = record_of(&frame, preamble.offset + 1, &lane) else { continue };
            if (record.message.topic.as_str(), record.seq) == ("a", seq) {
                let empty = emptied(&record).unwrap();
                let head = codec::write_erased(frame.len(), preamble.group, &links, &empty.message);
                let half = &head[..head.len() / 2];
                fs::File::options()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .write_all_at(half, (from - frame.len()) as u64)
                    .unwrap();
                tables.write_rows(SHELF, vec![Intent { place: links.place, head }.row(&lane)]).unwrap();
                torn = true;
            }
        }
    }
    assert!(torn);
    tables.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_that_a_crash_cut_off_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let small = Config { segment_bytes: 10 << 10, ..config() };
    let disk = open(folder.path(), &small);
    let j = journal(&disk, Limits::NONE).await;
    for i in 0..100 {
        append(&j, message("a", &format!("{i} {}", ".".repeat(300)))).await;
    }
    drop((j, disk));
    let records = async || {
        let disk = open(folder.path(), &small);
        let j = journal(&disk, Limits::NONE).await;
        assert!(disk.recovery().is_clean(), "{:?}", disk.recovery());
        let records = read_all(&j, "#", 50).await.unwrap();
        assert_eq!(records.len(), 100);
        records
    };
    let gone = |records: &[Arc<Record>]| -> Vec<u64> {
        records.iter().filter(|r| r.message.body.is_empty()).map(|r| r.seq).collect()
    };
    tear(folder.path(), 7);
    tear(folder.path(), 100);
    // Whoever looks sees it as it will be, and changes nothing.
    for _ in 0..2 {
        assert_eq!(check(folder.path(), &mut quiet).unwrap().problems, [""; 0]);
    }
    assert_eq!(gone(&records().await), [7, 100], "a start finishes it");
    tear(folder.path(), 8);
    assert_eq!(repair(folder.path(), T0, &mut quiet).unwrap().lost, [""; 0]);
    assert_eq!(gone(&records().await), [7, 8, 100], "a repair finishes it, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_reads_meanwhile_sees_all_of_a_record_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cold = Config { cache_bytes: 0, segment_bytes: 4 << 20, ..config() };
    let disk = open(folder.path(), &cold);
    let j = journal(&disk, Limits::NONE).await;
    let body = "x".repeat(60_000);
    for _ in 0..200 {
        append(&j, message("a", &body)).await;
    }
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4_u64)
        .map(|reader| {
            let (j, done, body) = (j.clone(), done.clone(), body.clone());
            tokio::spawn(async move {
                let mut looked = 0;
                while !done.load(SeqCst) {
                    let records = if reader % 2 == 0 {
                        j.history(&topic("a"), Range::After(looked % 200), ALL).await.unwrap().records
                    } else {
                        read_all(&j, "#", 100).await.unwrap()
                    };
                    assert!(records.iter().all(|r| r.message.body.is_empty() || r.message.body == body));
                    looked += 37;
                }
                looked
            })
        })
        .collect();
    for seq in 1..=200 {
        assert_eq!(j.erase(&topic("a"), vec![seq]).await, Ok(1));
        let page = j.history(&topic("a"), Range::Between(seq - 1, seq + 1), ALL).await.unwrap();
        assert_eq!(bodies(&page.records), [""], "it is gone when that is answered");
    }
    done.store(true, SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_taken_meanwhile_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (data, back) = (folder.path().join("data"), folder.path().join("back"));
    let disk = Arc::new(open(&data, &Config { segment_bytes: 32 << 20, ..config() }));
    let j = journal(&disk, Limits::NONE).await;
    let body = "x".repeat(300_000);
    for _ in 0..100 {
        append(&j, message("a", &body)).await;
    }
    let (from, to) = (disk.clone(), folder.path().join("copy"));
    let backup = move || {
        let (runtime, mut erased) = (tokio::runtime::Handle::current(), 0);
        // Between two pieces of a file: of the record at their border half is copied.
        let mut progress = |_, _| {
            let seqs = (1..=100).filter(|seq| erased == 0 || seq % 3 == 0).collect();
            erased += runtime.block_on(j.erase(&topic("a"), seqs)).unwrap();
        };
        from.backup(&to, &mut progress).unwrap();
        assert_eq!(erased, 100);
    };
    tokio::task::spawn_blocking(backup).await.unwrap();
    let copy = folder.path().join("copy");
    verify(&copy, &mut quiet).unwrap();
    restore(&copy, &back, T0, &mut quiet).unwrap();
    let report = check(&back, &mut quiet).unwrap();
    assert_eq!(report.problems, [""; 0]);
    assert_eq!(report.spaces[0].records, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_erase_at_once_are_all_answered() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), &config());
    let j = journal(&disk, Limits::NONE).await;
    for i in 0..3000 {
        append(&j, message(["a", "b", "c"][i % 3], "said")).await;
    }
    let all = (1..=1000).flat_map(|seq| ["a", "b"].map(|name| (name, seq)));
    let erasing = all.map(|(name, seq)| {
        let j = j.clone();
        async move { j.erase(&topic(name), vec![seq, seq % 10]).await.unwrap() }
    });
    let erased: u64 = futures_util::future::join_all(erasing).await.into_iter().sum();
    assert_eq!(erased, 2000, "each is counted once");
    assert_eq!(
        read_all(&j, "c", 500).await.unwrap().iter().filter(|r| r.message.body == "said").count(),
        1000
    );
    assert_eq!(read_all(&j, "a", 500).await.unwrap().iter().filter(|r| r.message.body == "said").count(), 0);
}
