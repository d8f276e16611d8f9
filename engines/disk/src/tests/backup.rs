//! Backup, restore and check on real files.

use std::{fs, path::Path, sync::Arc};

use yizhan_hub::{
    Position,
    space::Limits,
    store::{Expect, Missed, Range, Store},
};

use super::support::*;
use crate::{BackupError, OpenError, RepairReport, check, repair, restore, verify};

fn quiet(_: u64, _: u64) {}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_is_a_consistent_store() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy, back) =
        (folder.path().join("data"), folder.path().join("copy"), folder.path().join("back"));
    let disk = Arc::new(open(&data, &config()));
    let limits = Limits { bytes_max: 400 << 10, ..Limits::NONE };
    let j = journal(&disk, limits).await;
    append(&j, keyed("state", "old", "kept though its segment goes")).await;
    let body = "x".repeat(900);
    for i in 0..800 {
        append(&j, message(["a", "b"][i % 2], &body)).await;
    }
    disk.maintain(T0).unwrap();
    disk.table("t").unwrap().put(b"k", Some("v".into()), Expect::Absent).await.unwrap();
    let acknowledged = append(&j, message("a", "before the backup")).await;
    let writing = j.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let load = tokio::spawn(async move {
        while stopped.try_recv().is_err() {
            append(&writing, message("a", &"y".repeat(700))).await;
        }
    });
    let (from, to) = (disk.clone(), copy.clone());
    let report = tokio::task::spawn_blocking(move || from.backup(&to, &mut quiet)).await.unwrap().unwrap();
    stop.send(()).unwrap();
    load.await.unwrap();
    assert!(report.files > 3 && report.bytes > 100_000);
    assert_eq!(verify(&copy, &mut quiet).unwrap(), report);
    assert!(!data.join("backup.tmp").exists());
    let old = j.heads()[0];
    drop((j, disk));
    assert_eq!(
        restore(&copy, &back, T0.plus(std::time::Duration::from_secs(60)), &mut quiet).unwrap(),
        report
    );
    assert!(check(&back, &mut quiet).unwrap().is_sound());
    let disk = open(&back, &config());
    let j = journal(&disk, limits).await;
    assert!(disk.recovery().is_clean(), "{:?}", disk.recovery());
    let place = Position { epoch: j.heads()[0].epoch, ..acknowledged.position };
    assert!(j.heads()[0] >= place && place.epoch > old.epoch);
    let found = j.history(&topic("a"), Range::Between(acknowledged.seq - 1, acknowledged.seq + 1), ALL).await;
    assert_eq!(bodies(&found.unwrap().records), ["before the backup"]);
    assert_eq!(bodies(&j.state(&filter("#"), 9).await.unwrap()), ["kept though its segment goes"]);
    assert_eq!(disk.table("t").unwrap().get(b"k").await.unwrap().unwrap().0, "v");
    // A place of the life before may name something else here.
    let page = j.read(old, &filter("#"), ALL).await.unwrap();
    assert_eq!(page.missed, Missed::Unknown);
    assert!(!page.records.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let disk = open(&data, &config());
    let j = journal(&disk, Limits::NONE).await;
    for _ in 0..50 {
        append(&j, message("a", "x")).await;
    }
    disk.backup(&copy, &mut quiet).unwrap();
    assert!(matches!(disk.backup(&copy, &mut quiet), Err(BackupError::NotEmpty(_))));
    let full = restore(&copy, &data, T0, &mut quiet);
    assert!(matches!(full, Err(BackupError::NotEmpty(named)) if named == data));
    let segment = find(&copy, ".seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    fs::write(&segment, bytes).unwrap();
    assert!(matches!(verify(&copy, &mut quiet), Err(BackupError::Damaged(what)) if what.contains(".seg")));
    let to = folder.path().join("back");
    assert!(matches!(restore(&copy, &to, T0, &mut quiet), Err(BackupError::Damaged(_))));
    // And half a store is not taken for one.
    let refused = crate::Disk::open(&to, &config(), HandClock::at(T0)).unwrap_err();
    assert!(matches!(refused, OpenError::Unfinished { .. }));
}

fn find(folder: &Path, end: &str) -> std::path::PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(end) {
                return path;
            }
        }
    }
    panic!("no {end}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_reads_everything_and_names_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), &config());
    let j = journal(&disk, Limits::NONE).await;
    for i in 0..300 {
        append(&j, message(["a", "b", "c"][i % 3], &"x".repeat(500))).await;
    }
    assert!(matches!(check(folder.path(), &mut quiet), Err(OpenError::Locked { .. })));
    disk.close().unwrap();
    let (mut last, mut calls) = ((0, 0), 0);
    let report = check(folder.path(), &mut |done, total| (last, calls) = ((done, total), calls + 1)).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert!(calls > 0 && last.0 == last.1);
    assert_eq!((report.spaces[0].records, report.spaces[0].topics), (300, 3));
    let file = find(folder.path(), ".seg");
    let mut bytes = fs::read(&file).unwrap();
    bytes[5000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let report = check(folder.path(), &mut quiet).unwrap();
    assert!(!report.is_sound());
    assert!(report.problems[0].contains(file.to_str().unwrap()), "{report:?}");
    assert_eq!(report.spaces[0].records, 299);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_gives_up_what_is_damaged_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), &config());
    let limits = Limits { bytes_max: 600 << 10, ..Limits::NONE };
    let j = journal(&disk, limits).await;
    append(&j, keyed("state", "old", "on the shelf")).await;
    for i in 0..2000 {
        append(&j, message(["a", "b", "c"][i % 3], &format!("{i:>500}"))).await;
    }
    append(&j, keyed("state", "new", "in the log")).await;
    disk.maintain(T0).unwrap();
    let before = bodies(&read_all(&j, "#", 999).await.unwrap());
    let old = j.heads()[0];
    disk.close().unwrap();
    let now = T0.plus(std::time::Duration::from_secs(60));
    assert_eq!(repair(folder.path(), now, &mut quiet).unwrap(), RepairReport::default());
    let file = find(folder.path(), ".seg");
    let mut bytes = fs::read(&file).unwrap();
    bytes[5000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let report = repair(folder.path(), now, &mut quiet).unwrap();
    assert_eq!((report.lost.len(), report.saved, report.set_aside.len()), (1, before.len() as u64 - 1, 1));
    assert!(report.set_aside[0].is_dir());
    // A hole in a topic's numbers is still told.
    assert_eq!(check(folder.path(), &mut quiet).unwrap().problem_count, 1);
    let disk = open(folder.path(), &config());
    let j = journal(&disk, limits).await;
    assert!(disk.recovery().is_clean());
    let after = bodies(&read_all(&j, "#", 999).await.unwrap());
    let lost: Vec<_> = before.iter().filter(|body| !after.contains(body)).collect();
    assert_eq!((lost.len(), after.len()), (1, before.len() - 1));
    for name in ["a", "b", "c"] {
        let of_topic = j.history(&topic(name), Range::After(0), ALL).await.unwrap();
        let newest = j.history(&topic(name), Range::Newest, ALL).await.unwrap();
        assert_eq!(bodies(&of_topic.records), bodies(&newest.records));
        assert_eq!(
            of_topic.records.last().unwrap().seq,
            [667, 667, 666][["a", "b", "c"].iter().position(|n| *n == name).unwrap()]
        );
        for record in of_topic.records.iter().step_by(7) {
            let page =
                j.history(&topic(name), Range::Between(record.seq - 1, record.seq + 1), ALL).await.unwrap();
            assert_eq!(bodies(&page.records), bodies(std::slice::from_ref(record)));
        }
    }
    assert_eq!(bodies(&j.state(&filter("#"), 9).await.unwrap()), ["on the shelf", "in the log"]);
    let page = j.read(old, &filter("#"), ALL).await.unwrap();
    assert_eq!((page.missed, page.records.len()), (Missed::Unknown, after.len()));
    append(&j, message("a", "goes on")).await;
}
