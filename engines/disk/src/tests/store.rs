//! The store on real files.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use yizhan_hub::{
    space::{Keep, Limits},
    store::{Expect, Missed, Range, Store, StoreError},
    store_suite::{self, Suite},
};

use super::support::*;
use crate::{Config, Disk, OpenError};

#[tokio::test(flavor = "multi_thread")]
async fn the_store_does_what_every_store_must() {
    for (segment_bytes, cache_bytes) in [(64 << 20, 32 << 20), (4 << 10, 0), (16 << 10, 2000)] {
        let mut folders = vec![];
        let fresh = move || {
            let folder = tempfile::tempdir().unwrap();
            let config = Config { segment_bytes, cache_bytes, ..config() };
            let disk: Arc<dyn Store> = Arc::new(open(folder.path(), &config));
            folders.push(folder);
            Box::pin(std::future::ready(disk)) as futures_util::future::BoxFuture<'static, _>
        };
        let suite = Suite { fresh: Box::new(fresh), keep: Keep::Disk, exact: false };
        let checks = tokio::time::timeout(Duration::from_secs(120), store_suite::run(suite)).await.unwrap();
        assert!(checks > 20);
    }
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), &config());
    let second = Disk::open(folder.path(), &config(), HandClock::at(T0)).unwrap_err();
    assert!(
        matches!(&second, OpenError::Locked { folder: named } if named.contains(folder.path().to_str().unwrap()))
    );
    assert!(second.to_string().contains("in use by another process"));
    disk.close().unwrap();
    open(folder.path(), &config());
}

#[tokio::test]
async fn another_versions_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), &config()).close().unwrap();
    fs::write(folder.path().join("FORMAT"), "yizhan-disk 99\n").unwrap();
    let refused = Disk::open(folder.path(), &config(), HandClock::at(T0)).unwrap_err();
    assert!(matches!(refused, OpenError::Format { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_restart_closed_or_not() {
    for close in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut expected = vec![];
        let mut heads = vec![];
        for life in 0..4_u64 {
            let disk = open(folder.path(), &config());
            let journal = journal(&disk, Limits::NONE).await;
            assert!(disk.recovery().is_clean(), "{:?}", disk.recovery());
            assert!(life == 0 || heads == journal.heads());
            for i in 0..300_u64 {
                let body = format!("{life}.{i}");
                let appended = append(&journal, message(["a", "b/c"][i as usize % 2], &body)).await;
                assert_eq!(appended.seq, life * 150 + i / 2 + 1);
                expected.push(body);
            }
            append(&journal, keyed("state", "k", &life.to_string())).await;
            append(&journal, keyed("state", "gone", "x")).await;
            append(&journal, keyed("state", "gone", "")).await;
            assert_eq!(bodies(&read_all(&journal, "a/#", 17).await.unwrap()).len() as u64, (life + 1) * 150);
            let all = bodies(&read_all(&journal, "#", 17).await.unwrap());
            assert_eq!(all.into_iter().filter(|b| b.contains('.')).collect::<Vec<_>>(), expected);
            assert_eq!(bodies(&journal.state(&filter("#"), 9).await.unwrap()), [life.to_string()]);
            let table = disk.table("t").unwrap();
            let known = table.get(b"k").await.unwrap();
            let expect = known.map_or(Expect::Absent, |(_, version)| Expect::Version(version));
            table.put(b"k", Some(life.to_string().into()), expect).await.unwrap();
            heads = journal.heads();
            if close {
                disk.close().unwrap();
                assert_eq!(journal.append(T0, message("a", "late")).await, Err(StoreError::Closed));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_id_is_known_after_a_restart() {
    for close in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let disk = open(folder.path(), &config());
        let journal_1 = journal(&disk, Limits::NONE).await;
        let first = append(&journal_1, with_id("a", 77)).await;
        if close {
            disk.close().unwrap();
        }
        drop(disk);
        let disk = open(folder.path(), &config());
        let again = append(&journal(&disk, Limits::NONE).await, with_id("a", 77)).await;
        assert_eq!((again.position, again.seq, again.duplicate), (first.position, first.seq, true));
    }
}

fn segments(folder: &std::path::Path) -> Vec<PathBuf> {
    let lane = fs::read_dir(folder.join("journal")).unwrap().next().unwrap().unwrap().path().join("0");
    let mut files: Vec<PathBuf> = fs::read_dir(lane).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "seg"));
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_frees_the_disk_and_keeps_the_state() {
    for close in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { bytes_max: 300 << 10, ..Limits::NONE };
        let disk = open(folder.path(), &config());
        let j = journal(&disk, limits).await;
        append(&j, keyed("state/a", "k", "old but newest")).await;
        append(&j, keyed("state/b", "k", "removed later")).await;
        append(&j, message("quiet", "long gone")).await;
        let body = "x".repeat(1000);
        for _ in 0..1000 {
            append(&j, message("busy", &body)).await;
        }
        append(&j, keyed("state/b", "k", "")).await;
        for _ in 0..1000 {
            append(&j, message("busy", &body)).await;
        }
        disk.maintain(T0).unwrap();
        let bytes = j.figures().bytes;
        assert!((300 << 10..365 << 10).contains(&bytes), "{bytes}");
        assert!(segments(folder.path()).len() <= 7);
        let check = async |j: &Arc<dyn yizhan_hub::Journal>| {
            assert_eq!(bodies(&j.state(&filter("#"), 9).await.unwrap()), ["old but newest"]);
            assert_eq!(bodies(&j.state(&filter("state/a"), 9).await.unwrap()), ["old but newest"]);
            let newest = j.history(&topic("busy"), Range::Newest, ALL).await.unwrap();
            assert!(newest.records.len() < 370 && newest.at_end);
            let oldest = newest.records[0].seq;
            let after = j.history(&topic("busy"), Range::After(3), PageSizeOf(1)).await.unwrap();
            assert_eq!((after.missed, after.records[0].seq), (Missed::Count(oldest - 4), oldest));
            let summary = &j.topics(&filter("busy"), None, 9)[0];
            assert_eq!((summary.oldest_seq, summary.newest_seq), (oldest, 2000));
            assert!(j.topics(&filter("quiet"), None, 9).is_empty());
        };
        check(&j).await;
        if close {
            disk.close().unwrap();
        }
        drop(disk);
        // Without a checkpoint the log and the shelf must do.
        for damaged in [false, true] {
            if damaged {
                let lane = segments(folder.path())[0].parent().unwrap().to_owned();
                for entry in fs::read_dir(lane).unwrap().map(|e| e.unwrap().path()) {
                    if entry.extension().is_some_and(|e| e == "ckp") {
                        let mut bytes = fs::read(&entry).unwrap();
                        let middle = bytes.len() / 2;
                        bytes[middle] ^= 1;
                        fs::write(&entry, bytes).unwrap();
                    }
                }
            }
            let disk = open(folder.path(), &config());
            let j = journal(&disk, limits).await;
            check(&j).await;
            // Numbers go on, also of a topic that nothing is left of.
            if damaged {
                assert_eq!(append(&j, message("quiet", "back")).await.seq, 2);
            }
        }
    }
}

#[allow(non_snake_case)]
fn PageSizeOf(records_max: usize) -> yizhan_hub::store::PageSize {
    yizhan_hub::store::PageSize { records_max, ..ALL }
}

#[tokio::test(flavor = "multi_thread")]
async fn age_takes_what_is_idle_too() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), &config());
    let limits = Limits { age_max: Duration::from_secs(80), ..Limits::NONE };
    let j = journal(&disk, limits).await;
    for _ in 0..10 {
        append(&j, message("a", "x")).await;
    }
    let place = j.heads()[0];
    // The first look ends the segment, and a later one deletes it.
    while j.figures().records > 0 {
        disk.maintain(T0.plus(Duration::from_secs(1000))).unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(j.heads(), [place]);
    let page = j.read(yizhan_hub::Position { offset: 0, ..place }, &filter("a"), ALL).await.unwrap();
    assert_eq!((page.records.len(), page.missed, page.at_end), (0, Missed::Count(10), true));
    assert_eq!(append(&j, message("a", "x")).await.seq, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_and_never_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), &config());
    let j = journal(&disk, Limits::NONE).await;
    for i in 0..200 {
        append(&j, message(["a", "b"][i % 2], &format!("{i:>1000}"))).await;
    }
    disk.close().unwrap();
    let file = &segments(folder.path())[1];
    let mut bytes = fs::read(file).unwrap();
    bytes[20_000] ^= 0x40;
    fs::write(file, bytes).unwrap();
    let disk = open(folder.path(), &config());
    let j = journal(&disk, Limits::NONE).await;
    // Checkpoints cover it, so it is found when it is read.
    for pattern in ["#", "a", "b"] {
        let read = read_all(&j, pattern, 10).await;
        match read {
            Err(StoreError::Corrupt { place }) => {
                assert!(place.contains(file.file_name().unwrap().to_str().unwrap()))
            }
            Ok(records) => assert!(pattern != "#" && records.len() == 100),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(append(&j, message("a", "goes on")).await.seq, 101);
    assert_eq!(
        bodies(&j.history(&topic("a"), Range::Newest, PageSizeOf(1)).await.unwrap().records),
        ["goes on"]
    );
    drop((disk, j));
    // Without checkpoints the start finds it.
    for entry in fs::read_dir(file.parent().unwrap()).unwrap().map(|e| e.unwrap().path()) {
        if entry.extension().is_some_and(|e| e == "ckp") {
            fs::remove_file(entry).unwrap();
        }
    }
    let disk = open(folder.path(), &config());
    let j = journal(&disk, Limits::NONE).await;
    let recovery = disk.recovery();
    assert_eq!(recovery.lanes[0].damaged.len(), 1, "{recovery:?}");
    assert!(recovery.lanes[0].damaged[0].contains(file.to_str().unwrap()));
    assert_eq!(append(&j, message("a", "goes on")).await.seq, 102);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), &config());
    let j = journal(&disk, Limits::NONE).await;
    for i in 0..10 {
        append(&j, message("a", &i.to_string())).await;
    }
    let end = j.heads()[0];
    drop((j, disk));
    let file = segments(folder.path()).pop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.iter().rposition(|b| *b != 0).unwrap();
    bytes[last + 1..last + 500].fill(7);
    fs::write(&file, bytes).unwrap();
    let disk = open(folder.path(), &config());
    let j = journal(&disk, Limits::NONE).await;
    assert_eq!(disk.recovery().lanes[0].dropped_bytes, 499);
    assert_eq!(j.heads(), [end]);
    assert_eq!(read_all(&j, "a", 100).await.unwrap().len(), 10);
    assert!(fs::read(&file).unwrap()[last + 1..].iter().all(|b| *b == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reserve_is_left_free() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), &Config { reserve_bytes: u64::MAX / 2, ..config() });
    // A registration is a change of a table; its part of the reserve is used up, too.
    let refused = disk.journal(&space(Limits::NONE, 1)).await;
    assert_eq!(refused.map(|_| ()).unwrap_err(), StoreError::Full);
    drop(disk);
    open(folder.path(), &config()).journal(&space(Limits::NONE, 1)).await.unwrap();
    let disk = open(folder.path(), &Config { reserve_bytes: u64::MAX / 2, ..config() });
    let j = journal(&disk, Limits::NONE).await;
    assert_eq!(j.append(T0, message("a", "x")).await, Err(StoreError::Full));
    assert_eq!(disk.table("t").unwrap().put(b"k", None, Expect::Any).await, Err(StoreError::Full));
    assert_eq!(disk.meters().full.value(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_queue_takes_is_refused_as_busy() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), &Config { queue_messages_max: 4, ..config() });
    let j = journal(&disk, Limits::NONE).await;
    let waiting: Vec<_> = (0..5000).map(|_| j.append(T0, message("a", "x"))).collect();
    let answers = futures_util::future::join_all(waiting).await;
    let kept = answers.iter().filter(|a| a.is_ok()).count();
    let busy = answers.iter().filter(|a| **a == Err(StoreError::Busy)).count();
    assert_eq!(kept + busy, 5000);
    assert!(busy > 0 && kept >= 4);
    assert_eq!(j.history(&topic("a"), Range::Newest, ALL).await.unwrap().records.len(), kept);
}

/// A small disk of its own, where the system lets us have one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &std::path::Path) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(at).output();
        mount.is_ok_and(|done| done.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(&self.0).output());
    }
}

/// What the operating system does on a full disk is not what a simulation does. Without the right to
/// mount one, this shows only that the store does not mind much space.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_until_there_is_space_again() {
    let folder = tempfile::tempdir().unwrap();
    let small = SmallDisk::mount(folder.path());
    let ballast = folder.path().join("ballast");
    fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let data = folder.path().join("data");
    // Without a reserve it is the disk itself that refuses.
    let disk = open(&data, &Config { segment_bytes: 256 << 10, ..config() });
    let j = journal(&disk, Limits::NONE).await;
    let table = disk.table("t").unwrap();
    let body = "x".repeat(50_000);
    let (mut kept, mut refused, mut rows) = (0, 0, 0);
    for i in 0..300_u64 {
        match j.append(T0, message("a", &body)).await {
            Ok(_) => kept += 1,
            Err(StoreError::Full) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        match table.put(&i.to_be_bytes(), Some(body.clone().into()), Expect::Any).await {
            Ok(_) => rows += 1,
            Err(StoreError::Full) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(kept > 20 && rows > 20, "{kept} {rows}");
    assert_eq!(small.is_some(), refused > 0);
    assert_eq!(j.history(&topic("a"), Range::Newest, ALL).await.unwrap().records.len(), kept);
    fs::remove_file(&ballast).unwrap();
    assert_eq!(append(&j, message("a", "space again")).await.seq, kept as u64 + 1);
    table.put(b"again", Some("x".into()), Expect::Any).await.unwrap();
    drop((j, table, disk));
    let disk = open(&data, &Config { segment_bytes: 256 << 10, ..config() });
    let j = journal(&disk, Limits::NONE).await;
    assert!(disk.recovery().is_clean());
    assert_eq!(j.history(&topic("a"), Range::Newest, ALL).await.unwrap().records.len(), kept + 1);
    let table = disk.table("t").unwrap();
    assert_eq!(table.scan(b"\0", None, 999).await.unwrap().len(), rows);
    assert!(table.get(b"again").await.unwrap().is_some());
}
