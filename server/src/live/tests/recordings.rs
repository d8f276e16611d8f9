//! Files and pictures.

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use yizhan_hls::shelf::{Recordings as _, Snapshots as _};
use yizhan_media::{Config, Packet, config::record::Format, service::Recorder as _};
use yizhan_reel::{End, Reels, TakeView};

use super::{
    super::{recorder::Recorder, shelf::Shelf, snapshots::Snapshots},
    support::{Stage, clock, demux, later, made, name, now, packets, real, run, until},
};

fn record(config: &mut Config, format: Format) {
    config.record.apps = vec!["live".into()];
    config.record.format = format;
}

struct Studio {
    stage: Stage,
    recorder: Recorder,
    done: Arc<Mutex<Vec<TakeView>>>,
    folder: tempfile::TempDir,
}

impl Studio {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_reserve(0, change)
    }

    fn with_reserve(reserve_bytes: u64, change: impl FnOnce(&mut Config)) -> Self {
        let mut stage = Stage::new(change);
        let folder = tempfile::tempdir().unwrap();
        let config =
            yizhan_reel::Config { reserve_bytes, ..yizhan_reel::Config::new(folder.path().to_owned()) };
        let done = Arc::<Mutex<Vec<TakeView>>>::default();
        let noted = done.clone();
        let on_file = Arc::new(move |_: &_, view| noted.lock().push(view));
        let recorder = Recorder::new(&stage.media, &clock(), Reels::open(config).unwrap(), on_file);
        stage.run(recorder.clone().run());
        Self { stage, recorder, done, folder }
    }

    /// The files that are done, once there are so many.
    async fn files(&self, count: usize) -> Vec<(TakeView, PathBuf)> {
        until("files are done", || self.done.lock().len() >= count).await;
        let done = self.done.lock().clone();
        assert_eq!(done.len(), count);
        let path = |view: &TakeView| self.folder.path().join(view.id.to_string());
        done.into_iter().map(|view| (view.clone(), path(&view))).collect()
    }
}

/// Looks at a file as players would: nothing to complain of, times that go forward; how long it is, seconds.
fn probe(path: &std::path::Path) -> f64 {
    let (_, complaints) = run(&format!("-i {} -f null -", path.display()), None);
    assert_eq!(complaints, "", "{}", path.display());
    let output = std::process::Command::new("ffprobe")
        .args(["-v", "warning", "-show_entries", "packet=stream_index,dts_time:format=duration,start_time"])
        .args(["-of", "csv=p=1"])
        .arg(path)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut last = [f64::MIN; 2];
    let mut duration = 0.0;
    for line in text.lines() {
        let parts: Vec<&str> = line.trim_end_matches(',').split(',').collect();
        if parts[0] == "packet" {
            let (stream, dts): (usize, f64) = (parts[1].parse().unwrap(), parts[2].parse().unwrap());
            assert!(dts > last[stream], "{line}");
            last[stream] = dts;
        } else if parts[0] == "format" {
            assert!(parts[1].parse::<f64>().unwrap() < 0.2, "it begins at its beginning: {line}");
            duration = parts[2].parse().unwrap();
        }
    }
    duration
}

#[tokio::test]
async fn recordings_pass_ffprobe_and_rotate_at_key_frames() {
    if real().await.is_none() {
        return;
    }
    for format in [Format::Mp4, Format::Flv] {
        let studio = Studio::new(|config| {
            record(config, format);
            config.record.rotate = Duration::from_secs(10);
        });
        let mut publisher = studio.stage.publisher(&name("room"));
        until("it is recorded", || studio.recorder.is_on(&name("room"))).await;
        for round in 0..3 {
            for packet in packets() {
                publisher.push(now(), later(packet, round * 6_000_000)).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        publisher.end(now());
        let files = studio.files(2).await;
        let lengths: Vec<f64> = files.iter().map(|(_, path)| probe(path)).collect();
        assert!((lengths[0] - 10.0).abs() < 0.2 && (lengths[1] - 8.0).abs() < 0.2, "{format:?} {lengths:?}");
        assert!(!studio.recorder.is_on(&name("room")));
        assert_eq!(files[0].0.end, Some(End::Finished));
        studio.recorder.finish().await;
    }
}

#[tokio::test]
async fn a_recording_plays_from_anywhere_while_it_is_written() {
    if real().await.is_none() {
        return;
    }
    let studio = Studio::new(|_| ());
    let mut publisher = studio.stage.publisher(&name("room"));
    assert!(!studio.recorder.is_on(&name("room")), "nobody has asked for it");
    studio.recorder.set(publisher.broadcast().clone(), true).await.unwrap();
    for packet in packets() {
        publisher.push(now(), packet.clone()).unwrap();
    }
    let shelf = Shelf(studio.recorder.reels().clone());
    let list = || studio.recorder.reels().list(Some("live"), Some("room"));
    until("five pieces are written", || list().iter().any(|view| view.length >= Duration::from_secs(4)))
        .await;
    let recordings = shelf.list(&name("room")).await.unwrap();
    assert!(recordings.len() == 1 && recordings[0].growing && recordings[0].seconds >= 4.0, "{recordings:?}");
    let open = shelf.open(&name("room"), &recordings[0].file).await.unwrap().unwrap();
    assert!(open.is_growing() && open.media_type() == "video/mp4");
    let bytes = |range: std::ops::Range<u64>| {
        let open = open.clone();
        async move {
            let mut all = Vec::new();
            while range.start + (all.len() as u64) < range.end {
                all.extend_from_slice(&open.read(range.start + all.len() as u64..range.end).await.unwrap());
            }
            all
        }
    };
    let all = bytes(0..open.bytes()).await;
    let (_, complaints) = run("-i pipe:0 -f null -", Some(&all));
    assert_eq!(complaints, "");
    // From the third second on: the head, and the rest from there.
    let found = open.find(3.4).unwrap();
    let mut from_three = bytes(0..found.head).await;
    from_three.extend(bytes(found.from..open.bytes()).await);
    let path = studio.folder.path().join("part.mp4");
    std::fs::write(&path, &from_three).unwrap();
    let (_, complaints) = run(&format!("-i {} -f null -", path.display()), None);
    assert_eq!(complaints, "");
    let decoded = run(&format!("-i {} -f framecrc -", path.display()), None).0;
    let first = String::from_utf8(decoded).unwrap();
    let first = first.lines().find(|line| line.starts_with("0,")).unwrap().to_owned();
    assert!(shelf.open(&name("room"), "1.mp4").await.unwrap().is_none());
    assert!(shelf.open(&name("room"), "x").await.unwrap().is_none());
    studio.recorder.set(publisher.broadcast().clone(), false).await.unwrap();
    assert!(!studio.recorder.is_on(&name("room")), "it is off when it was told to be");
    studio.recorder.set(publisher.broadcast().clone(), true).await.unwrap();
    assert!(studio.recorder.is_on(&name("room")), "and on again, in another file");
    studio.files(1).await;
    studio.recorder.set(publisher.broadcast().clone(), false).await.unwrap();
    studio.files(2).await;
    assert!(publisher.broadcast().is_on_air(), "{first}");
}

#[tokio::test]
async fn other_pictures_begin_another_file_and_a_publisher_that_comes_back_does_not() {
    if real().await.is_none() {
        return;
    }
    let studio = Studio::new(|config| {
        record(config, Format::Mp4);
        // All of it comes at once.
        config.keep_for = Duration::from_secs(60);
    });
    let small = demux(&made(192, 108));
    let mut publisher = studio.stage.publisher(&name("room"));
    let push = |publisher: &mut yizhan_media::Publisher, packets: &[Packet], by: i64| {
        for packet in packets {
            publisher.push(now(), later(packet, by)).unwrap();
        }
    };
    until("it is recorded", || studio.recorder.is_on(&name("room"))).await;
    push(&mut publisher, packets(), 0);
    publisher.cut_off(now());
    let mut publisher = studio.stage.publisher(&name("room"));
    push(&mut publisher, packets(), 0);
    push(&mut publisher, &small, 6_000_000);
    publisher.end(now());
    let files = studio.files(2).await;
    let lengths: Vec<f64> = files.iter().map(|(_, path)| probe(path)).collect();
    assert!((lengths[0] - 12.0).abs() < 0.5 && (lengths[1] - 6.0).abs() < 0.2, "{lengths:?}");
}

#[tokio::test]
async fn a_full_disk_ends_the_recording_and_not_the_broadcast() {
    if real().await.is_none() {
        return;
    }
    let studio = Studio::with_reserve(u64::MAX, |config| record(config, Format::Mp4));
    let mut publisher = studio.stage.publisher(&name("room"));
    until("it is recorded", || studio.recorder.is_on(&name("room"))).await;
    for packet in packets() {
        publisher.push(now(), packet.clone()).unwrap();
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    until("the recording has ended", || !studio.recorder.is_on(&name("room"))).await;
    assert!(publisher.broadcast().is_on_air());
    assert_eq!(studio.recorder.reels().list(None, None), []);
    assert_eq!(studio.recorder.failed(), 1);
    let asked = studio.recorder.set(publisher.broadcast().clone(), true).await;
    assert_eq!(asked, Err("the disk is full".into()));
}

#[tokio::test]
async fn pictures_of_what_is_on_air_are_taken() {
    let Some(ffmpeg) = real().await else { return };
    let mut stage = Stage::new(|config| {
        config.snapshots.every = Duration::from_secs(1);
        config.snapshots.side_max = 160;
    });
    let snapshots = Snapshots::new(&stage.media, &clock(), ffmpeg);
    stage.run(snapshots.clone().run());
    stage.play(&name("room"));
    until("a picture", || snapshots.newest(&name("room")).is_some()).await;
    let (jpeg, at) = snapshots.newest(&name("room")).unwrap();
    assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]) && jpeg.ends_with(&[0xff, 0xd9]));
    until("another picture", || snapshots.newest(&name("room")).unwrap().1 > at).await;
    stage.media.stop_all(now());
    until("it is forgotten", || snapshots.newest(&name("room")).is_none()).await;
}
