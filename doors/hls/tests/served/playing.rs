//! ffmpeg and ffprobe as players: they play without a word.

use std::{process::Stdio, time::Duration};

use tokio::process::Command;
use yizhan_hls::Config;

use crate::world::{World, quick, source, until};

/// Plays an address to its end; gives how many pictures and how many pieces of sound came, and what ffprobe said.
async fn plays(url: String) -> (usize, usize, String) {
    let output = Command::new("ffprobe")
        .args(["-v", "warning", "-show_entries", "packet=codec_type,dts_time", "-of", "csv=p=0", &url])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let count = |kind: &str| text.lines().filter(|line| line.starts_with(kind)).count();
    for kind in ["video", "audio"] {
        let times =
            text.lines().filter_map(|line| line.strip_prefix(kind)?.trim_matches(',').parse::<f64>().ok());
        let times: Vec<_> = times.collect();
        assert!(times.windows(2).all(|pair| pair[1] > pair[0]), "{url}: {kind} goes back");
    }
    (count("video"), count("audio"), String::from_utf8(output.stderr).unwrap())
}

/// A broadcast that has ended can be played to its end for a while.
#[tokio::test]
async fn ffmpeg_plays_every_form_without_a_word() {
    let Some(packets) = source() else { return };
    let config = Config { segments: 100, ..quick() };
    let world = World::new(Config { always: true, ..config });
    let mut sending = world.publish(packets);
    sending.until(10_000);
    until("it is made into segments", || world.hls.figures().packaged == 1).await;
    // Those who watch FLV are there before the end.
    let flv = tokio::spawn(plays(world.url("/live/room.flv")));
    let broadcast = world.media.list()[0].clone();
    until("it is watched", || broadcast.viewer_count() > 0).await;
    let whole = std::time::Instant::now();
    while world.get("/live/room/video.m3u8").await.text().matches("#EXTINF").count() < 9 {
        assert!(whole.elapsed() < Duration::from_secs(10), "segments come");
    }
    sending.end();
    let (pictures, sounds, said) = flv.await.unwrap();
    assert_eq!(said, "", "flv");
    assert!((30..=60).contains(&pictures) && sounds > 30, "flv: {pictures} pictures, {sounds} sounds");
    for path in ["/live/room/video.m3u8", "/live/room/audio.m3u8", "/live/room/ts.m3u8"] {
        let (pictures, sounds, said) = plays(world.url(path)).await;
        assert_eq!(said, "", "{path}");
        let (video, audio) = (!path.contains("audio"), !path.contains("video"));
        assert_eq!(pictures, if video { 300 } else { 0 }, "{path}");
        assert_eq!(sounds > 420, audio, "{path}: {sounds}");
    }
}

/// Players of a broadcast that goes on: the master playlist and the manifest, live.
#[tokio::test]
async fn ffmpeg_plays_what_goes_on() {
    let Some(packets) = source() else { return };
    let world = World::new(quick());
    let mut sending = world.publish(packets);
    sending.until(8_000);
    for path in ["/live/room.m3u8", "/live/room.ts.m3u8", "/live/room.mpd"] {
        let decode = Command::new("ffmpeg")
            .args(["-hide_banner", "-nostdin", "-v", "warning", "-i", &world.url(path)])
            .args(["-map", "0:v:0", "-map", "0:a:0", "-frames:v", "60", "-f", "null", "-"])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let decoded = tokio::time::timeout(Duration::from_secs(30), decode).await.expect("it plays").unwrap();
        let said = String::from_utf8(decoded.stderr).unwrap();
        assert!(decoded.status.success() && said.is_empty(), "{path}: {said}");
    }
    sending.until(9_000);
    sending.end();
}
