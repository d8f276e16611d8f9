//! Children that behave and children that do not. Most are shell scripts; what needs the real ffmpeg says so and is
//! left out where there is none.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, time::Instant};

use super::*;
use crate::{
    Config, Ffmpeg, StartError,
    args::{self, Container, Rung, Sound},
};

const SOON: Duration = Duration::from_secs(10);

/// A program that says that it is ffmpeg and does what the script says.
async fn fake(folder: &tempfile::TempDir, script: &str, children_max: usize) -> Ffmpeg {
    let program: PathBuf = folder.path().join("ffmpeg");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in -version) echo 'ffmpeg version 9.9';; *-encoders) printf ' ---\\n V x y\\n';; *)\n{script}\n;; esac\n"
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = Config { program, children_max, nice: 5 };
    // The file may be open for writing in a child that another test forks just now.
    for _ in 0..100 {
        match Ffmpeg::find(config.clone()).await {
            Err(crate::NotUsable::NotThere(_, why)) if why.contains("busy") => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            found => return found.unwrap(),
        }
    }
    panic!("the script stays busy");
}

/// The real one; `None`, and a word about it, where there is none.
async fn real() -> Option<Ffmpeg> {
    match Ffmpeg::find(Config::default()).await {
        Ok(ffmpeg) if ffmpeg.has_encoder("libx264") => Some(ffmpeg),
        other => {
            eprintln!("left out: no ffmpeg with libx264 here ({:?})", other.err());
            None
        }
    }
}

fn fed() -> Job {
    Job { args: vec!["work".into()], fed: true }
}

async fn is_gone(pid: u32) {
    let begun = Instant::now();
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(begun.elapsed() < SOON, "{pid} is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_goes_in_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = fake(&folder, "cat", 1).await;
    let input = Bytes::from(vec![7; 1 << 20]);
    let made = ffmpeg.start(fed()).unwrap().run(input.clone(), 2 << 20, SOON).await.unwrap();
    assert!(made == input);
    assert_eq!(ffmpeg.room(), 1, "its place is free again");
}

#[tokio::test]
async fn a_child_that_fails_says_why_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = fake(&folder, "echo 'https://h/x?token=s3cret: 403' >&2; exit 3", 1).await;
    let exit = ffmpeg.start(fed()).unwrap().run(Bytes::new(), 10, SOON).await.unwrap_err();
    assert!(!exit.ok && exit.how.contains('3'), "{exit:?}");
    assert_eq!(exit.lines, ["https://h/x?•: 403"]);
}

#[tokio::test]
async fn a_child_that_makes_too_much_or_hangs_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = fake(&folder, "cat /dev/zero", 1).await;
    let exit = ffmpeg.start(fed()).unwrap().run(Bytes::new(), 1 << 20, SOON).await.unwrap_err();
    assert_eq!(exit.how, "it made too much");
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = fake(&folder, "trap '' TERM INT HUP PIPE; sleep 1000", 1).await;
    let within = Duration::from_millis(100);
    let exit = ffmpeg.start(fed()).unwrap().run(Bytes::new(), 10, within).await.unwrap_err();
    assert_eq!(exit.how, "it took too long");
    assert_eq!(ffmpeg.room(), 1);
}

#[tokio::test]
async fn dropping_a_child_ends_it_and_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = fake(&folder, "sleep 1000 & echo $!; trap '' TERM; wait", 1).await;
    let mut child = ffmpeg.start(fed()).unwrap();
    let pid = child.id().unwrap();
    let mut said = String::new();
    let mut stdout = child.stdout.take().unwrap();
    while !said.contains('\n') {
        let mut piece = [0; 64];
        let length = stdout.read(&mut piece).await.unwrap();
        said.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    let grandchild: u32 = said.trim().parse().unwrap();
    assert!(Path::new(&format!("/proc/{grandchild}")).exists());
    drop(child);
    is_gone(pid).await;
    // Whoever adopts orphans reaps this one; where nobody does, it is dead all the same.
    let state = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
    let begun = Instant::now();
    while !state.is_empty() && begun.elapsed() < SOON {
        match std::fs::read_to_string(format!("/proc/{grandchild}/stat")) {
            Ok(stat) if !stat.contains(") Z ") => tokio::time::sleep(Duration::from_millis(5)).await,
            _ => return,
        }
    }
    assert!(state.is_empty(), "what it started lives on");
}

#[tokio::test]
async fn there_are_never_more_children_than_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = fake(&folder, "sleep 1000", 2).await;
    let (first, second) = (ffmpeg.start(fed()).unwrap(), ffmpeg.start(fed()).unwrap());
    assert!(matches!(ffmpeg.start(fed()), Err(StartError::Full(2))));
    assert!(!first.kill().await.ok);
    assert!(ffmpeg.start(fed()).is_ok());
    drop(second);
}

#[tokio::test]
async fn a_child_that_is_killed_from_outside_is_known_to_have_ended() {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = fake(&folder, "exec sleep 1000", 1).await;
    let mut child = ffmpeg.start(fed()).unwrap();
    let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    let exit = timeout(SOON, child.ended()).await.unwrap();
    assert!(!exit.ok && exit.how.contains('9'), "{exit}");
    assert_eq!(child.ended().await.how, exit.how, "asking twice is fine");
}

#[tokio::test]
async fn a_child_that_is_told_the_end_may_finish() {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = fake(&folder, "cat >/dev/null; echo done >&2", 1).await;
    let exit = ffmpeg.start(fed()).unwrap().finish(SOON).await;
    assert!(exit.ok);
    assert_eq!(exit.lines, ["done"]);
    let ffmpeg = fake(&folder, "sleep 1000", 1).await;
    let exit = ffmpeg.start(fed()).unwrap().finish(Duration::from_millis(50)).await;
    assert!(!exit.ok);
}

#[tokio::test]
async fn children_are_nicer_than_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = fake(&folder, "sleep 0.1; nice; sleep 1000", 1).await;
    let mut child = ffmpeg.start(fed()).unwrap();
    let mut piece = [0; 8];
    let length = child.stdout.as_mut().unwrap().read(&mut piece).await.unwrap();
    let nice: i32 = std::str::from_utf8(&piece[..length]).unwrap().trim().parse().unwrap();
    let own = rustix::process::getpriority_process(None).unwrap();
    assert!(nice >= own.max(5), "{nice}");
}

/// Test pictures with B-frames and sound, FLV.
async fn source(ffmpeg: &Ffmpeg, seconds: u32) -> Bytes {
    let args = format!(
        "-v error -f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine -t {seconds} -c:v libx264 \
         -preset ultrafast -bf 2 -g 50 -c:a aac -f flv pipe:1"
    );
    let job = Job { args: args.split_whitespace().map(str::to_owned).collect(), fed: false };
    ffmpeg.start(job).unwrap().run(Bytes::new(), 64 << 20, SOON).await.unwrap()
}

/// Times of the key frames, milliseconds; of all video frames where `all`.
fn shown_at(flv: &[u8], all: bool) -> Vec<i64> {
    let (mut times, mut rest) = (Vec::new(), &flv[13..]);
    while rest.len() > 16 {
        let number =
            |at: usize| i64::from(rest[at]) << 16 | i64::from(rest[at + 1]) << 8 | i64::from(rest[at + 2]);
        let (length, dts) = (usize::try_from(number(1)).unwrap(), number(4) | i64::from(rest[7]) << 24);
        if rest[0] == 9 && rest[12] == 1 && (all || rest[11] >> 4 == 1) {
            times.push(dts + number(13));
        }
        rest = &rest[(11 + length + 4).min(rest.len())..];
    }
    times
}

#[tokio::test]
async fn key_frames_of_rungs_lie_where_the_source_has_them() {
    let Some(ffmpeg) = real().await else { return };
    let source = source(&ffmpeg, 5).await;
    let keys = shown_at(&source, false);
    assert_eq!(keys.len(), 3, "{keys:?}");
    for (height, width, look_ahead, frames_max) in [(144, 256, 0, None), (90, 160, 10, Some(13))] {
        let rung = Rung {
            width,
            height,
            video_bits: 200_000,
            frames_max,
            encoder: "libx264".into(),
            preset: "ultrafast".into(),
            look_ahead,
            threads: 1,
            sound: Sound::Copy,
        };
        let job = Job { args: args::rung(Container::Flv, &rung), fed: true };
        let made = ffmpeg.start(job).unwrap().run(source.clone(), 64 << 20, SOON).await.unwrap();
        assert_eq!(shown_at(&made, false), keys, "{height}");
        let (ours, theirs) = (shown_at(&made, true).len(), shown_at(&source, true).len());
        match frames_max {
            None => assert_eq!(ours, theirs),
            Some(_) => assert!((60..=75).contains(&ours), "{ours} of {theirs}"),
        }
    }
}

#[tokio::test]
async fn garbage_ends_a_transcoder_and_nothing_else() {
    let Some(ffmpeg) = real().await else { return };
    let job = Job { args: args::snapshot(Container::Flv, 160), fed: true };
    let garbage: Bytes = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let exit = ffmpeg.start(job).unwrap().run(garbage, 1 << 20, SOON).await.unwrap_err();
    assert!(!exit.ok && !exit.lines.is_empty(), "{exit:?}");
}

#[tokio::test]
async fn a_snapshot_is_a_small_jpeg_of_the_first_picture() {
    let Some(ffmpeg) = real().await else { return };
    let source = source(&ffmpeg, 1).await;
    let job = Job { args: args::snapshot(Container::Flv, 160), fed: true };
    let jpeg = ffmpeg.start(job).unwrap().run(source, 1 << 20, SOON).await.unwrap();
    assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]) && jpeg.ends_with(&[0xff, 0xd9]), "{} bytes", jpeg.len());
    // The frame header, SOF0: height and width.
    let head = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    assert_eq!(jpeg[head + 5..head + 9], [0, 90, 0, 160]);
}

#[tokio::test]
async fn what_is_pushed_by_hls_lands_as_segments_and_playlist() {
    // The receiving end is a few lines of our own: it notes what is PUT.
    let Some(ffmpeg) = real().await else { return };
    let source = source(&ffmpeg, 5).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = std::sync::Arc::new(parking_lot::Mutex::new(Vec::<String>::new()));
    let server = tokio::spawn({
        let seen = seen.clone();
        async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    let mut all = BytesMut::new();
                    while let Ok(1..) = stream.read_buf(&mut all).await {
                        // Each chunked body ends so; the answer lets the next request come.
                        if all.ends_with(b"\r\n0\r\n\r\n") {
                            let text = String::from_utf8_lossy(&all);
                            seen.lock().push(text.lines().next().unwrap_or_default().to_owned());
                            all.clear();
                            if stream
                                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                                .await
                                .is_err()
                            {
                                return;
                            }
                        }
                    }
                });
            }
        }
    });
    let url = format!("http://{address}/up/live.m3u8");
    let job = Job { args: args::push_hls(Container::Flv, &url, 2).unwrap(), fed: true };
    ffmpeg.start(job).unwrap().run(source, 1 << 20, SOON).await.unwrap();
    server.abort();
    let seen = seen.lock();
    assert!(seen.iter().any(|line| line.starts_with("PUT /up/live") && line.contains(".ts ")), "{seen:?}");
    assert!(seen.iter().any(|line| line.starts_with("PUT /up/live.m3u8 ")), "{seen:?}");
}
