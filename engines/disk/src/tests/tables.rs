//! Tables whose power fails: their log is cut off anywhere behind what was synced.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;
use yizhan_hub::store::{Expect, Store, StoreError, Table};

use super::{sim_files::Chance, support::*};
use crate::{Disk, tables::Tables};

const ROWS: usize = 2000;

fn rows(round: usize) -> Vec<(Bytes, Option<Bytes>)> {
    // Each round puts over half of the rows of the one before and removes the other half.
    let row = |i: usize| {
        let value = (i % 2 == round % 2).then(|| Bytes::from(format!("{round}")));
        (Bytes::from(format!("{i:05}")), value)
    };
    (0..ROWS).map(row).collect()
}

async fn table(folder: &Path) -> (Disk, Arc<dyn Table>) {
    let disk = open(folder, &config());
    let table = disk.table("t").unwrap();
    (disk, table)
}

/// Which round is there, in full; `None` where there is none at all.
async fn round_there(table: &Arc<dyn Table>, ctx: &str) -> Option<usize> {
    let found = table.scan(b"", None, 9 * ROWS).await.unwrap();
    let round = std::str::from_utf8(&found.first()?.1).unwrap().parse().unwrap();
    let expected = rows(round).into_iter().filter_map(|(key, value)| Some((key, value?)));
    assert!(found.into_iter().eq(expected), "{ctx}: round {round} is there in part");
    Some(round)
}

/// The log of the tables that grows.
fn log_of(folder: &Path) -> std::path::PathBuf {
    let logs = fs::read_dir(folder.join("tables")).unwrap().map(|entry| entry.unwrap().path());
    logs.filter(|path| path.extension().is_some_and(|e| e == "jnl")).max().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to)
        } else {
            drop(fs::copy(entry.path(), to))
        }
    }
}

/// Bytes of a log that are in use: behind them are zeros, made in advance.
fn used(log: &Path) -> usize {
    let bytes = fs::read(log).unwrap();
    bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_put_at_once_are_all_there_after_a_crash_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, table_1) = table(folder.path()).await;
    let mut synced = vec![];
    for round in 0..3 {
        table_1.put_all(rows(round)).await.unwrap();
        synced.push(used(&log_of(folder.path())));
    }
    let mut chance = Chance::new(7);
    let mut seen = [0; 4];
    for attempt in 0..40 {
        let crashed = tempfile::tempdir().unwrap();
        copy(folder.path(), crashed.path());
        let cut = match attempt {
            0..3 => synced[attempt],
            3..6 => synced[attempt - 3] - 1,
            _ => chance.below(synced[2] as u64) as usize,
        };
        let log = log_of(crashed.path());
        fs::File::options().write(true).open(&log).unwrap().set_len(cut as u64).unwrap();
        let (disk, table) = table(crashed.path()).await;
        let ctx = format!("cut at {cut} of {synced:?}");
        let there = round_there(&table, &ctx).await.map_or(0, |round| round + 1);
        assert_eq!(there, synced.iter().filter(|synced| **synced <= cut).count(), "{ctx}");
        seen[there] += 1;
        // What is cut off stays so, and the table goes on.
        table.put_all(rows(7)).await.unwrap();
        disk.close().unwrap();
        drop((disk, table));
        let (disk, table) = self::table(crashed.path()).await;
        assert_eq!(round_there(&table, &ctx).await, Some(7));
        disk.close().unwrap();
    }
    assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
    disk.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_rows_that_wait_are_refused_as_busy() {
    let folder = tempfile::tempdir().unwrap();
    let tables = Tables::open(folder.path(), 1 << 20, 0, 0).unwrap();
    let value = Bytes::from(vec![7; 15 << 20]);
    let readers =
        crate::journal::Readers { turns: Arc::new(tokio::sync::Semaphore::new(1)), meters: Arc::default() };
    let table = crate::tables::DiskTable::new("t", tables.clone(), readers);
    let row = |i: usize| vec![(Bytes::from(i.to_string()), Some(value.clone()))];
    let waiting: Vec<_> = (0..40).map(|i| table.put_all(row(i))).collect();
    let results = futures_util::future::join_all(waiting).await;
    assert!(results.iter().all(|r| matches!(r, Ok(()) | Err(StoreError::Busy))), "{results:?}");
    assert!(results.contains(&Err(StoreError::Busy)), "nothing bounds what waits");
    // It goes away by itself.
    table.put_all(row(99)).await.unwrap();
    tables.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_grow_though_the_clock_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut newest = 0;
    for day in (0..4).rev() {
        let now = T0.plus(std::time::Duration::from_secs(day * 86_400));
        let disk = Disk::open(folder.path(), &config(), HandClock::at(now)).unwrap();
        let table = disk.table("t").unwrap();
        for _ in 0..3 {
            let version = table.put(b"k", Some("v".into()), Expect::Any).await.unwrap();
            assert!(version > newest);
            table.put_all(vec![("k".into(), Some("w".into()))]).await.unwrap();
            newest = table.get(b"k").await.unwrap().unwrap().1;
            assert!(newest > version);
        }
        // As after a crash, or after a stop.
        if day % 2 == 0 {
            disk.close().unwrap();
        }
    }
}
