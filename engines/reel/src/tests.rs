//! Takes that are written, read, cut off by crashes and by full disks.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use yizhan_talk::Timestamp;

use crate::{
    Config, End, Keep, Piece, ReelError, Reels, Take, TakeId, index, recover::recover, take::index_path,
};

const BEGAN: Timestamp = Timestamp::from_millis(1_763_751_350_123);

fn config(folder: &Path) -> Config {
    Config { sync_every: Duration::ZERO, reserve_bytes: 0, ..Config::new(folder.to_owned()) }
}

fn open(folder: &TempDir) -> Reels {
    Reels::open(config(folder.path())).unwrap()
}

/// The piece number `n`, one each second, every second one a key.
fn piece(n: u32) -> Piece {
    let bytes = vec![n as u8; 1000 + n as usize].into();
    let micros = u64::from(n) * 1_000_000;
    Piece { bytes, key: n.is_multiple_of(2), dts: 5_000_000 + micros as i64, at: Timestamp(BEGAN.0 + micros) }
}

fn begin(reels: &Reels) -> Take {
    reels.begin("live", "room", "mp4", BEGAN, Bytes::from_static(b"HEAD....")).unwrap()
}

fn whole(pieces: u32) -> Vec<u8> {
    let mut all = b"HEAD....".to_vec();
    (0..pieces).for_each(|n| all.extend_from_slice(&piece(n).bytes));
    all
}

async fn written(take: &Take, pieces: u64) {
    take.progress().wait_for(|progress| progress.pieces >= pieces || progress.end.is_some()).await.unwrap();
}

#[tokio::test]
async fn a_take_is_what_was_pushed_and_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let reels = open(&folder);
    let take = begin(&reels);
    assert!(matches!(reels.begin("live", "room", "mp4", BEGAN, Bytes::new()), Err(ReelError::Exists)));
    for n in 0..10 {
        take.push(piece(n)).unwrap();
    }
    let patches = vec![(4, Bytes::from_static(b"ed")), (0, Bytes::from_static(b"head"))];
    let progress = take.finish(patches).await;
    assert_eq!((progress.end, progress.pieces, progress.dropped), (Some(End::Finished), 10, 0));
    let before = reels.list(None, None);
    assert_eq!(before.len(), 1);
    assert_eq!(
        (before[0].length, before[0].id.file()),
        (Duration::from_secs(9), "1763751350123.mp4".to_owned())
    );
    drop(reels);

    let reels = open(&folder);
    assert_eq!(reels.list(Some("live"), Some("room")), before);
    assert_eq!(reels.list(Some("other"), None), []);
    let path = folder.path().join("live/room/1763751350123.mp4");
    let mut expected = whole(10);
    expected[..8].copy_from_slice(b"headed..");
    assert!(std::fs::read(path).unwrap() == expected);
}

#[tokio::test]
async fn a_take_is_read_and_sought_in_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let reels = open(&folder);
    let take = begin(&reels);
    written(&take, 0).await;
    for n in 0..4 {
        assert_eq!(take.push(piece(n)), Ok(Some(whole(n).len() as u64)));
    }
    written(&take, 4).await;
    let mut reading = reels.read(take.id()).unwrap().unwrap();
    assert!(reading.grows());
    let so_far = whole(4);
    assert_eq!(reading.bytes(), so_far.len() as u64);
    assert!(reading.read(0, 1 << 30).await.unwrap() == so_far);
    assert_eq!(reading.read(8, 3).await.unwrap(), &so_far[8..11]);
    assert!(reading.read(u64::MAX, 3).await.unwrap().is_empty());
    // Pieces begin at 0, 1, 2, 3 s; 0 and 2 are keys.
    let at = |n: u32| whole(n).len() as u64;
    for (seconds, from) in [(-5, 0), (0, 0), (1, 0), (2, 2), (3, 2), (1000, 2)] {
        assert_eq!(reading.find(seconds * 1_000_000).unwrap(), (8, at(from)), "{seconds}");
    }
    let known = reading.bytes();
    let waiting = tokio::spawn(async move { (reading.longer_than(known).await, reading) });
    take.push(piece(4)).unwrap();
    let (bytes, mut reading) = waiting.await.unwrap();
    assert_eq!(bytes, at(5));
    take.finish(Vec::new()).await;
    assert_eq!(reading.longer_than(bytes).await, bytes, "nothing more comes");
    assert!(!reading.grows());
}

#[tokio::test]
async fn a_take_that_is_dropped_is_finished_and_an_empty_one_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let reels = open(&folder);
    let take = begin(&reels);
    take.push(piece(0)).unwrap();
    let mut progress = take.progress();
    drop(take);
    progress.wait_for(|progress| progress.end == Some(End::Finished)).await.unwrap();
    let later = Timestamp(BEGAN.0 + 9_000_000);
    let empty = reels.begin("live", "room", "flv", later, Bytes::from_static(b"FLV")).unwrap();
    assert_eq!(empty.finish(Vec::new()).await.end, Some(End::Finished));
    assert_eq!(reels.list(None, None).len(), 1);
    assert_eq!(std::fs::read_dir(folder.path().join("live/room")).unwrap().count(), 2);
}

#[tokio::test]
async fn names_stay_within_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let reels = open(&folder);
    for bad in ["", ".", "..", "a/b", "../x", ".x", "a\0", "a\\b", &"x".repeat(200)] {
        for (app, name, extension) in [(bad, "n", "mp4"), ("a", bad, "mp4"), ("a", "n", bad)] {
            let begun = reels.begin(app, name, extension, BEGAN, Bytes::new());
            assert!(matches!(begun, Err(ReelError::BadName(_))), "{bad}");
        }
        assert_eq!(TakeId::of_file("a", bad, "1.mp4"), None);
        assert_eq!(TakeId::of_file("a", "n", bad), None);
    }
    for bad in ["1", "01.mp4", "+1.mp4", "1.m.p4", "1.mp4.index", "18446744073709551616.mp4", "x.mp4"] {
        assert_eq!(TakeId::of_file("a", "n", bad), None, "{bad}");
    }
    assert_eq!(TakeId::of_file("a", "n", "17.mp4").unwrap().to_string(), "a/n/17.mp4");
}

#[tokio::test]
async fn what_is_too_old_or_too_much_goes_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let reels = open(&folder);
    let mut running = None;
    for hour in 0..4_u64 {
        let began = BEGAN.plus(Duration::from_secs(hour * 3600));
        let take = reels.begin("live", &format!("room{hour}"), "mp4", began, Bytes::new()).unwrap();
        take.push(Piece { at: began, ..piece(0) }).unwrap();
        written(&take, 1).await;
        if hour == 0 {
            running = Some(take);
        } else {
            take.finish(Vec::new()).await;
        }
    }
    let now = BEGAN.plus(Duration::from_secs(4 * 3600));
    assert_eq!(reels.sweep(now, Keep::default()).takes, 0);
    let age_max = Some(Duration::from_secs(2 * 3600 + 1800));
    assert_eq!(reels.sweep(now, Keep { age_max, bytes_max: None }).takes, 1);
    assert_eq!(reels.bytes(), 3000);
    assert_eq!(reels.sweep(now, Keep { age_max: None, bytes_max: Some(2500) }).bytes, 1000);
    let left: Vec<_> = reels.list(None, None).iter().map(|view| view.id.name.to_string()).collect();
    assert_eq!(left, ["room0", "room3"], "the one that is being written stays, old as it is");
    assert!(!folder.path().join("live/room1").exists());
    assert!(!reels.remove(running.as_ref().unwrap().id()).unwrap());
}

#[tokio::test]
async fn a_disk_that_is_too_slow_costs_whole_pieces_up_to_the_next_key() {
    let folder = tempfile::tempdir().unwrap();
    let reels = Reels::open(Config { queue_bytes_max: 1500, ..config(folder.path()) }).unwrap();
    let take = begin(&reels);
    // Larger than all the room there is: never taken.
    take.push(Piece { bytes: vec![0; 2000].into(), ..piece(0) }).unwrap();
    take.push(piece(1)).unwrap();
    take.push(piece(2)).unwrap();
    let progress = take.finish(Vec::new()).await;
    assert_eq!((progress.dropped, progress.pieces, progress.first_dts), (2, 1, piece(2).dts));
}

#[tokio::test]
async fn a_take_ends_before_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let reels = Reels::open(Config { reserve_bytes: u64::MAX, ..config(folder.path()) }).unwrap();
    assert!(matches!(reels.check_room(), Err(ReelError::Full)));
    assert!(open(&folder).check_room().is_ok());
    let take = begin(&reels);
    let full = End::Failed("the disk is full".into());
    take.progress().wait_for(|progress| progress.end == Some(full.clone())).await.unwrap();
    assert_eq!(take.push(piece(0)), Err(full));
    assert_eq!(reels.list(None, None), []);
}

/// A small file system in memory; `None`, and a word about it, where we may not make one.
fn small_disk(at: &Path) -> Option<Unmount<'_>> {
    let mounted =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(at).output();
    let mounted = mounted.is_ok_and(|output| output.status.success());
    if !mounted {
        eprintln!("left out: no small file system can be mounted here");
    }
    mounted.then_some(Unmount(at))
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(self.0).status());
    }
}

#[tokio::test]
async fn on_a_full_disk_a_take_ends_behind_its_last_whole_piece() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = small_disk(folder.path()) else { return };
    let reels = open(&folder);
    let take = begin(&reels);
    let mut pushed = 0;
    while take.push(piece(pushed)).is_ok() && pushed < 10_000 {
        pushed += 1;
        written(&take, u64::from(pushed)).await;
    }
    let progress = take.progress().borrow().clone();
    assert_eq!(progress.end, Some(End::Failed("the disk is full".into())));
    let pieces = u32::try_from(progress.pieces).unwrap();
    assert!(pieces > 10 && pieces == pushed - 1, "{pieces}");
    drop(take);
    drop(reels);
    let path = folder.path().join("live/room/1763751350123.mp4");
    assert!(std::fs::read(&path).unwrap() == whole(pieces));
    let reels = open(&folder);
    assert_eq!(reels.list(None, None)[0].bytes, whole(pieces).len() as u64);
}

/// The files of a take as they are before it is finished.
fn unfinished(folder: &Path, pieces: u32) -> (std::path::PathBuf, std::path::PathBuf) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let reels = Reels::open(config(&folder.join("source"))).unwrap();
    let (take, copy) = runtime.block_on(async {
        let take = begin(&reels);
        (0..pieces).for_each(|n| drop(take.push(piece(n))));
        written(&take, u64::from(pieces)).await;
        (
            folder.join("source/live/room/1763751350123.mp4"),
            folder.join("crashed/live/room/1763751350123.mp4"),
        )
    });
    // Copied after the take was dropped perhaps, so an end that was written is taken off.
    drop(reels);
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    std::fs::copy(&take, &copy).unwrap();
    let mut entries = std::fs::read(index_path(&take)).unwrap();
    while entries.len() > index::ENTRY_BYTES {
        let last = index::Entry::decode(&entries[entries.len() - index::ENTRY_BYTES..]).unwrap();
        if matches!(last.kind, index::Kind::Piece { .. } | index::Kind::Head) {
            break;
        }
        entries.truncate(entries.len() - index::ENTRY_BYTES);
    }
    std::fs::write(index_path(&copy), entries).unwrap();
    let index = index_path(&copy);
    (copy, index)
}

#[derive(Debug, Clone)]
enum Damage {
    CutTake(usize),
    CutIndex(usize),
    FlipTake(usize, u8),
    FlipIndex(usize, u8),
    GrowTake(Vec<u8>),
    GrowIndex(Vec<u8>),
    HoleInTake(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let garbage = || prop::collection::vec(any::<u8>(), 1..200);
    prop_oneof![
        (0..3000_usize).prop_map(Damage::CutTake),
        (0..200_usize).prop_map(Damage::CutIndex),
        (0..8000_usize, 1..255_u8).prop_map(|(at, with)| Damage::FlipTake(at, with)),
        (0..600_usize, 1..255_u8).prop_map(|(at, with)| Damage::FlipIndex(at, with)),
        garbage().prop_map(Damage::GrowTake),
        garbage().prop_map(Damage::GrowIndex),
        (0..8000_usize, 1..600_usize).prop_map(|(at, length)| Damage::HoleInTake(at, length)),
    ]
}

impl Damage {
    fn hurt(&self, take: &mut Vec<u8>, index: &mut Vec<u8>) {
        match self {
            Self::CutTake(bytes) => take.truncate(take.len().saturating_sub(*bytes)),
            Self::CutIndex(bytes) => index.truncate(index.len().saturating_sub(*bytes)),
            Self::FlipTake(at, with) => take.iter_mut().skip(*at).take(1).for_each(|byte| *byte ^= with),
            Self::FlipIndex(at, with) => index.iter_mut().skip(*at).take(1).for_each(|byte| *byte ^= with),
            Self::GrowTake(garbage) => take.extend(garbage),
            Self::GrowIndex(garbage) => index.extend(garbage),
            Self::HoleInTake(at, length) => {
                take.iter_mut().skip(*at).take(*length).for_each(|byte| *byte = 0)
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever a crash leaves: what is there afterwards is the beginning of what was pushed, in whole pieces, and
    /// opening it again changes nothing.
    #[test]
    fn after_a_crash_a_take_is_a_beginning_of_what_was_pushed(
        pieces in 1..6_u32, synced in any::<bool>(), damages in prop::collection::vec(damage(), 0..3),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (path, index) = unfinished(folder.path(), pieces);
        let mut take = std::fs::read(&path).unwrap();
        let mut entries = std::fs::read(&index).unwrap();
        if !synced {
            // Without the words that all is safe, so that everything is summed up.
            let is_mark = |entry: &[u8]| {
                index::Entry::decode(entry).is_some_and(|entry| entry.kind == index::Kind::Synced)
            };
            entries = entries.chunks(index::ENTRY_BYTES).filter(|entry| !is_mark(entry)).flatten().copied().collect();
        }
        for damage in &damages {
            // What was safe is not hurt by a crash.
            if !synced || !matches!(damage, Damage::FlipTake(..) | Damage::HoleInTake(..)) {
                damage.hurt(&mut take, &mut entries);
            }
        }
        std::fs::write(&path, &take).unwrap();
        std::fs::write(&index, &entries).unwrap();
        match recover(&path, &index).unwrap() {
            None => prop_assert!(!damages.is_empty()),
            Some(found) => {
                let left = std::fs::read(&path).unwrap();
                let kept = u32::try_from(found.pieces).unwrap();
                prop_assert!((1..=pieces).contains(&kept));
                prop_assert!(left == whole(kept));
                prop_assert_eq!(found.bytes, left.len() as u64);
                prop_assert_eq!((found.first_dts, found.last_dts), (piece(0).dts, piece(kept - 1).dts));
                if damages.is_empty() {
                    prop_assert_eq!(kept, pieces);
                }
                let again = recover(&path, &index).unwrap().unwrap();
                prop_assert_eq!((again.pieces, again.bytes, again.cut), (found.pieces, found.bytes, None));
            }
        }
    }
}

#[test]
fn opening_a_folder_with_anything_in_it_never_fails_for_one_take() {
    let folder = tempfile::tempdir().unwrap();
    let room = folder.path().join("live/room");
    std::fs::create_dir_all(&room).unwrap();
    std::fs::write(room.join("17.mp4"), b"no index").unwrap();
    std::fs::write(room.join("18.mp4.index"), b"no take").unwrap();
    std::fs::write(room.join("19.mp4"), b"garbage").unwrap();
    std::fs::write(room.join("19.mp4.index"), [0xff; 1000]).unwrap();
    std::fs::write(room.join("notes.txt.index"), b"somebody's own").unwrap();
    std::fs::write(folder.path().join("live/file"), b"x").unwrap();
    let reels = open(&folder);
    assert_eq!(reels.list(None, None), []);
    let mut left: Vec<_> =
        std::fs::read_dir(&room).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["17.mp4", "notes.txt.index"]);
}
