//! Uploads: pieces, breaks, restarts, crashes, full disks.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;

use super::support::{Home, ID, noise, read, upload};
use crate::{Config, Files, FilesError, Hash, Kind};

#[tokio::test]
async fn an_upload_in_pieces_becomes_a_file() {
    let home = Home::new();
    let files = home.open().await;
    let content = noise(300_000);
    files.begin(ID, 300_000).await.unwrap();
    assert_eq!(files.offset(ID).await.unwrap(), 0);
    let mut at = 0;
    for piece in content.chunks(70_001) {
        at = files.append(ID, at, Bytes::copy_from_slice(piece)).await.unwrap();
        assert_eq!(files.offset(ID).await.unwrap(), at);
    }
    let finished = files.finish(ID).await.unwrap();
    assert_eq!(finished.hash, Hash::of(&content));
    assert_eq!(finished.bytes, 300_000);
    assert_eq!((finished.kind, finished.media_type.as_str()), (Kind::Other, "application/octet-stream"));
    assert_eq!(read(&files, &finished.hash, None).await.unwrap(), content);
    assert_eq!(home.staged(), [format!("{ID}.done")]);
    assert_eq!(files.figures().uploads_open.value(), 0);
}

#[tokio::test]
async fn a_piece_at_the_wrong_place_changes_nothing() {
    let home = Home::new();
    let files = home.open().await;
    files.begin(ID, 10).await.unwrap();
    files.append(ID, 0, Bytes::from_static(b"01234")).await.unwrap();
    for at in [0, 4, 6, 10, u64::MAX] {
        let answer = files.append(ID, at, Bytes::from_static(b"x")).await;
        assert!(matches!(answer, Err(FilesError::Conflict { at: 5 })), "{at}: {answer:?}");
    }
    let answer = files.append(ID, 5, Bytes::from_static(b"567890")).await;
    assert!(matches!(answer, Err(FilesError::TooLarge { max: 10 })), "{answer:?}");
    assert!(matches!(files.finish(ID).await, Err(FilesError::Incomplete { at: 5 })));
    files.append(ID, 5, Bytes::from_static(b"56789")).await.unwrap();
    assert_eq!(files.finish(ID).await.unwrap().hash, Hash::of(b"0123456789"));
}

#[tokio::test]
async fn ids_and_lengths_are_checked_before_anything_is_made() {
    let home = Home::new();
    let config = Config { upload_bytes_max: 100, uploads_open_max: 1, ..home.config() };
    let files = Files::open(&home.staging(), config).await.unwrap();
    for id in
        ["", "short", "../../../../etc/passwd", "ABCDEFGHIJKLMNOPQ", "abcdefghijklmno.", &"a".repeat(65)]
    {
        assert!(matches!(files.begin(id, 1).await, Err(FilesError::BadId)), "{id}");
        assert!(matches!(files.append(id, 0, Bytes::new()).await, Err(FilesError::BadId)));
        assert!(matches!(files.offset(id).await, Err(FilesError::BadId)));
        assert!(matches!(files.finish(id).await, Err(FilesError::BadId)));
        assert!(matches!(files.abort(id).await, Err(FilesError::BadId)));
    }
    assert!(matches!(files.begin(ID, 101).await, Err(FilesError::TooLarge { max: 100 })));
    assert!(matches!(files.put(vec![0; 101].into()).await, Err(FilesError::TooLarge { max: 100 })));
    assert!(home.staged().is_empty());
    files.begin(ID, 100).await.unwrap();
    files.begin(ID, 100).await.unwrap();
    assert!(matches!(files.begin(ID, 99).await, Err(FilesError::Exists)));
    let other = &ID.replace('a', "b");
    assert!(matches!(files.begin(other, 1).await, Err(FilesError::TooMany)));
    files.abort(ID).await.unwrap();
    files.abort(ID).await.unwrap();
    assert!(matches!(files.offset(ID).await, Err(FilesError::Unknown)));
    files.begin(other, 1).await.unwrap();
    assert_eq!(home.staged(), [format!("{other}.1.part")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_at_one_place_one_wins() {
    let home = Home::new();
    let files = home.open().await;
    files.begin(ID, 1_000_000).await.unwrap();
    let writers: Vec<_> = (0..16_u8)
        .map(|n| {
            let files = files.clone();
            tokio::spawn(async move { files.append(ID, 0, vec![n; 500_000].into()).await })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(at) => {
                assert_eq!(at, 500_000);
                won += 1;
            }
            Err(FilesError::Busy | FilesError::Conflict { at: 500_000 }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won, 1);
    files.append(ID, 500_000, vec![99; 500_000].into()).await.unwrap();
    let finished = files.finish(ID).await.unwrap();
    let content = read(&files, &finished.hash, None).await.unwrap();
    assert!(content[..500_000].iter().all(|&byte| byte == content[0]), "pieces are never mixed");
    assert_eq!(Hash::of(&content), finished.hash);
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let home = Home::new();
    let content = noise(100_000);
    let files = home.open().await;
    files.begin(ID, 100_000).await.unwrap();
    files.append(ID, 0, Bytes::copy_from_slice(&content[..30_000])).await.unwrap();
    drop(files);
    let files = home.open().await;
    assert_eq!(files.figures().uploads_open.value(), 1);
    assert_eq!(files.offset(ID).await.unwrap(), 30_000);
    files.append(ID, 30_000, Bytes::copy_from_slice(&content[30_000..])).await.unwrap();
    drop(files);
    let files = home.open().await;
    assert_eq!(files.finish(ID).await.unwrap().hash, Hash::of(&content));
}

#[tokio::test]
async fn a_piece_that_was_written_in_part_when_the_process_died_is_gone_on_from() {
    let home = Home::new();
    let files = home.open().await;
    files.begin(ID, 10).await.unwrap();
    drop(files);
    std::fs::write(home.staging().join(format!("{ID}.10.part")), b"012").unwrap();
    // And what no crash leaves, but a disk may: a file longer than its upload.
    std::fs::write(home.staging().join("zzzzzzzzzzzzzzzzzzzz.2.part"), b"012").unwrap();
    std::fs::write(home.staging().join("zzzzzzzzzzzzzzzzzzzz.new"), b"{\"ha").unwrap();
    std::fs::write(home.staging().join("notes.txt"), b"mine").unwrap();
    let files = home.open().await;
    assert_eq!(home.staged(), [format!("{ID}.10.part"), "notes.txt".to_owned()]);
    assert_eq!(files.offset(ID).await.unwrap(), 3);
    files.append(ID, 3, Bytes::from_static(b"3456789")).await.unwrap();
    assert_eq!(files.finish(ID).await.unwrap().hash, Hash::of(b"0123456789"));
}

#[tokio::test]
async fn to_finish_again_gives_the_same_also_after_a_restart() {
    let home = Home::new();
    let files = home.open().await;
    let first = upload(&files, ID, b"hello").await;
    assert_eq!(files.finish(ID).await.unwrap(), first);
    assert_eq!(files.offset(ID).await.unwrap(), 5);
    files.begin(ID, 5).await.unwrap();
    assert!(matches!(files.begin(ID, 6).await, Err(FilesError::Exists)));
    files.abort(ID).await.unwrap();
    let files = home.open().await;
    assert_eq!(files.finish(ID).await.unwrap(), first);
    assert_eq!(read(&files, &first.hash, None).await.unwrap(), b"hello");
}

/// Every place between the file's coming into the store and the end of the upload, as a crash leaves it.
#[tokio::test]
async fn a_crash_anywhere_in_the_end_of_an_upload_loses_nothing() {
    let photo = super::support::fixture("plain.jpg");
    for stage in ["appended", "kept", "noted", "all"] {
        let home = Home::new();
        let files = home.open().await;
        files.begin(ID, photo.len() as u64).await.unwrap();
        files.append(ID, 0, photo.clone().into()).await.unwrap();
        let part = home.staging().join(format!("{ID}.{}.part", photo.len()));
        let done = home.staging().join(format!("{ID}.done"));
        if stage == "appended" {
            drop(files);
            let files = home.open().await;
            assert_eq!(files.finish(ID).await.unwrap().hash, Hash::of(&photo));
            continue;
        }
        let first = files.finish(ID).await.unwrap();
        drop(files);
        match stage {
            "kept" => {
                std::fs::remove_file(&done).unwrap();
                std::fs::write(&part, &photo).unwrap();
            }
            "noted" => std::fs::write(&part, &photo).unwrap(),
            _ => {}
        }
        let files = home.open().await;
        assert_eq!(files.finish(ID).await.unwrap(), first, "{stage}");
        assert_eq!(home.staged(), [format!("{ID}.done")], "{stage}");
        assert_eq!(read(&files, &first.hash, None).await.unwrap(), photo);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_finishes_twice_at_once_hears_the_same_twice() {
    let home = Home::new();
    let files = home.open().await;
    let photo = super::support::fixture("plain.jpg");
    files.begin(ID, photo.len() as u64).await.unwrap();
    files.append(ID, 0, photo.into()).await.unwrap();
    let (one, two, three) = tokio::join!(files.finish(ID), files.finish(ID), files.offset(ID));
    assert_eq!(one.unwrap(), two.unwrap());
    assert!(three.is_ok());
    assert_eq!(files.figures().finished.value(), 1);
}

#[tokio::test]
async fn the_end_of_an_upload_goes_on_when_nobody_waits_for_it() {
    let home = Home::new();
    let files = home.open().await;
    files.begin(ID, 5).await.unwrap();
    files.append(ID, 0, Bytes::from_static(b"hello")).await.unwrap();
    // The first look at it starts it; then the caller goes away.
    assert!(files.finish(ID).now_or_never().is_none());
    while files.figures().finished.value() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(files.finish(ID).await.unwrap().hash, Hash::of(b"hello"));
    assert_eq!(files.figures().finished.value(), 1);
}

#[tokio::test]
async fn a_full_disk_keeps_what_was_there_and_the_upload_goes_on_later() {
    let home = Home::new();
    let files = home.open().await;
    files.begin(ID, 3_000).await.unwrap();
    files.append(ID, 0, vec![1; 1_000].into()).await.unwrap();
    files.set_room(Some(500));
    assert!(matches!(files.append(ID, 1_000, vec![2; 1_000].into()).await, Err(FilesError::Full)));
    assert_eq!(files.offset(ID).await.unwrap(), 1_000);
    assert_eq!(files.figures().full.value(), 1);
    let part = home.staging().join(format!("{ID}.3000.part"));
    assert_eq!(part.metadata().unwrap().len(), 1_000, "half a piece is cut off");
    files.set_room(None);
    files.append(ID, 1_000, vec![3; 2_000].into()).await.unwrap();
    let finished = files.finish(ID).await.unwrap();
    let content = [vec![1; 1_000], vec![3; 2_000]].concat();
    assert_eq!(finished.hash, Hash::of(&content));
}

#[tokio::test]
async fn files_leave_room_for_messages() {
    let home = Home::new();
    let files = home.open().await;
    files.begin(ID, 10).await.unwrap();
    drop(files);
    let config = Config { reserve_bytes: 1 << 60, ..home.config() };
    let files = Files::open(&home.staging(), config).await.unwrap();
    assert!(matches!(files.begin(&ID.replace('a', "b"), 10).await, Err(FilesError::Full)));
    assert!(matches!(files.append(ID, 0, vec![0; 10].into()).await, Err(FilesError::Full)));
    assert!(matches!(files.put(vec![0; 10].into()).await, Err(FilesError::Full)));
    assert_eq!(files.offset(ID).await.unwrap(), 0);
    assert_eq!(home.staged(), [format!("{ID}.10.part")]);
}

#[tokio::test]
async fn an_upload_whose_file_was_removed_is_not_finished_again() {
    let home = Home::new();
    let files = home.open().await;
    let finished = upload(&files, ID, b"short-lived").await;
    files.let_age();
    files.remove(&finished.hash).await.unwrap();
    assert!(matches!(files.finish(ID).await, Err(FilesError::Unknown)));
}

#[tokio::test]
async fn the_same_content_is_kept_once_whoever_brings_it() {
    let home = Home::new();
    let files = home.open().await;
    let one = upload(&files, ID, b"the same").await;
    let two = upload(&files, &ID.replace('a', "b"), b"the same").await;
    let three = files.put(Bytes::from_static(b"the same")).await.unwrap();
    assert_eq!((&one, &one), (&two, &three));
    assert_eq!(files.figures().bytes_kept.value(), 8);
    assert_eq!(files.figures().known.value(), 2);
}

#[tokio::test]
async fn a_file_that_was_just_finished_again_is_not_removed() {
    let home = Home::new();
    let files = home.open().await;
    let file = files.put(Bytes::from_static(b"dear")).await.unwrap();
    assert!(matches!(files.remove(&file.hash).await, Err(FilesError::Fresh)));
    files.let_age();
    let again = upload(&files, ID, b"dear").await;
    assert!(matches!(files.remove(&again.hash).await, Err(FilesError::Fresh)));
    files.let_age();
    // Who asks again what came of an upload is about to use it.
    files.finish(ID).await.unwrap();
    assert!(matches!(files.remove(&file.hash).await, Err(FilesError::Fresh)));
    files.let_age();
    files.remove(&file.hash).await.unwrap();
    files.remove(&file.hash).await.unwrap();
    assert!(matches!(read(&files, &file.hash, None).await, Err(FilesError::Missing)));
    assert_eq!(files.bytes(&file.hash).await.unwrap(), None);
}

#[tokio::test]
async fn who_reads_a_file_reads_on_when_it_is_removed() {
    let home = Home::new();
    let files = home.open().await;
    let content = noise(1_000_000);
    let file = files.put(content.clone().into()).await.unwrap();
    let mut reading = files.read(&file.hash, None).await.unwrap();
    let first = futures_util::StreamExt::next(&mut reading.stream).await.unwrap().unwrap();
    files.let_age();
    files.remove(&file.hash).await.unwrap();
    let rest: Vec<Bytes> = futures_util::TryStreamExt::try_collect(reading.stream).await.unwrap();
    assert!(first.len() < content.len() / 2, "it comes in pieces");
    assert_eq!([&first[..], &rest.concat()].concat(), content);
    assert_eq!(files.figures().bytes_out.value(), 1_000_000);
}

#[tokio::test]
async fn ranges_are_exact_at_their_borders() {
    let home = Home::new();
    let files = home.open().await;
    // Two pieces and one byte of the reading.
    let content = noise(2 * (128 << 10) + 1);
    let count = content.len() as u64;
    let hash = files.put(content.clone().into()).await.unwrap().hash;
    for range in [0..1, 0..count, count - 1..count, 131_071..131_073, 131_072..262_144, 5..131_072] {
        let part = &content[range.start as usize..range.end as usize];
        assert_eq!(read(&files, &hash, Some(range.clone())).await.unwrap(), part, "{range:?}");
    }
    assert_eq!(read(&files, &hash, Some(10..u64::MAX)).await.unwrap(), &content[10..]);
    #[expect(clippy::reversed_empty_ranges)]
    for range in [count..count + 1, u64::MAX - 1..u64::MAX, 5..5, 7..3] {
        let answer = files.read(&hash, Some(range)).await;
        assert!(matches!(answer, Err(FilesError::Range { bytes }) if bytes == count), "{answer:?}");
    }
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let home = Home::new();
    let files = home.open().await;
    let finished = upload(&files, ID, b"").await;
    assert_eq!((finished.bytes, finished.kind), (0, Kind::Other));
    assert_eq!(read(&files, &finished.hash, None).await.unwrap(), b"");
    assert!(matches!(files.read(&finished.hash, Some(0..1)).await, Err(FilesError::Range { bytes: 0 })));
}

#[tokio::test]
async fn a_sweep_gives_up_what_got_nothing_for_a_day() {
    let home = Home::new();
    let files = home.open().await;
    files.begin(ID, 10).await.unwrap();
    let done = ID.replace('a', "b");
    let kept = upload(&files, &done, b"hello").await;
    let now = SystemTime::now();
    let swept = files.sweep(now + Duration::from_secs(23 * 60 * 60)).await.unwrap();
    assert_eq!((swept.abandoned, swept.forgotten), (0, 0));
    let swept = files.sweep(now + Duration::from_secs(25 * 60 * 60)).await.unwrap();
    assert_eq!((swept.abandoned, swept.forgotten), (1, 1));
    assert!(home.staged().is_empty());
    assert!(matches!(files.append(ID, 0, Bytes::new()).await, Err(FilesError::Unknown)));
    assert!(matches!(files.finish(&done).await, Err(FilesError::Unknown)));
    assert_eq!(read(&files, &kept.hash, None).await.unwrap(), b"hello", "the file itself stays");
    assert!(home.path(&kept.hash).exists());
    assert_eq!(files.figures().abandoned.value(), 1);
}
