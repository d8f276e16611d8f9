//! ffmpeg and ffprobe as players: they play without a word.

use std::{process::Stdio, sync::Arc, time::Duration};

use tokio::process::Command;
use yizhan_hls::{
    Config, Materials,
    shelf::{Ladder, Offer},
};
use yizhan_media::{Broadcast, Kind, Party};
use yizhan_net::Limits;

use crate::world::{
    Sending, World, addresses, any_media, behind, materials, name, now, quick, source, until,
};

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
        // ffmpeg 5 gives the second frame of sound without picture in MPEG-TS the time of the first one.
        let back = times.windows(2).skip(1).find(|pair| pair[1] <= pair[0]);
        assert_eq!(back, None, "{url}: {kind} goes back");
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

struct Offers;

impl Ladder for Offers {
    fn offers(&self, _: &Broadcast) -> Vec<Offer> {
        let offer = |rung: &str, height| Offer {
            rung: rung.into(),
            width: height * 16 / 9,
            height,
            bits_per_second: 100_000,
            codecs: "avc1.42c00d,mp4a.40.2".into(),
        };
        vec![offer("180p", 180), offer("90p", 90)]
    }
}

/// A rung that begins later is cut and numbered as its source is, so that players may change between them anywhere.
#[tokio::test]
async fn rungs_lie_beside_their_source() {
    let Some(packets) = source() else { return };
    let media = any_media();
    let materials = Materials { ladder: Some(Arc::new(Offers)), ..materials(quick(), &media) };
    let world = World::with(materials, Limits::default());
    let mut sending = world.publish(packets);
    sending.until(4_100);
    let master = world.get("/live/room.m3u8").await;
    let offered = ["room/video.m3u8", "room~180p/video.m3u8", "room~90p/video.m3u8"];
    assert_eq!(addresses(master.text()), offered);
    let rung = name().rung("180p").unwrap();
    let publisher = media.publish(now(), &rung, Party::by("ladder")).unwrap();
    let mut lower = Sending::of(publisher, packets);
    // Its key frame comes before it is known that a segment of the source begins there.
    sending.until(5_010);
    lower.pass_over(4_950);
    lower.until(5_010);
    let before = world.get("/live/room~180p/video.m3u8");
    let going_on = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sending.until(11_100);
        lower.until(11_100);
    };
    let (before, ()) = tokio::join!(before, going_on);
    assert_eq!(before.status, 200, "{}", before.text());
    assert_eq!(addresses(world.get("/live/room.m3u8").await.text()).len(), 3);
    let mut shown = Vec::new();
    for playlist in ["room/video.m3u8", "room~180p/video.m3u8", "room/audio.m3u8"] {
        let path = format!("/live/{playlist}");
        let mut media = world.get(&path).await;
        while addresses(media.text()).len() < 6 {
            media = world.get(&path).await;
        }
        let text = media.text().to_owned();
        let number = |tag: &str| behind(&text, tag).parse::<u64>().unwrap();
        let last = number("#EXT-X-MEDIA-SEQUENCE:") + addresses(&text).len() as u64;
        let date = text.lines().rfind(|line| line.starts_with("#EXT-X-PROGRAM-DATE-TIME")).unwrap();
        shown.push((last, number("#EXT-X-DISCONTINUITY-SEQUENCE:"), date.to_owned()));
    }
    assert_eq!((&shown[0], &shown[0]), (&shown[1], &shown[2]));
    let mpd = world.get("/live/room.mpd").await;
    assert_eq!(mpd.text().matches("<Representation ").count(), 3, "{}", mpd.text());
    assert_eq!(mpd.text().matches("<AdaptationSet ").count(), 2, "{}", mpd.text());
    let views: Vec<_> = media.list().iter().map(|broadcast| broadcast.viewer_count()).collect();
    assert_eq!(views, [1, 1], "who watches a rung watches its source");
    sending.end();
    lower.end();
}

/// Sound without picture has its own master, and picture without sound has no sound beside it.
#[tokio::test]
async fn sound_alone_and_picture_alone_are_played() {
    let Some(packets) = source() else { return };
    let world = World::new(quick());
    for (kind, other) in [(Kind::Audio, "video"), (Kind::Video, "audio")] {
        let publisher = world.media.publish(now(), &name(), Party::by("rtmp")).unwrap();
        let mut sending = Sending::of(publisher, packets);
        sending.only(kind, 8_000);
        let master = world.get("/live/room.m3u8").await;
        let own = if kind == Kind::Audio { "audio" } else { "video" };
        assert_eq!(addresses(master.text()), [format!("room/{own}.m3u8")]);
        assert!(!master.text().contains("#EXT-X-MEDIA:"), "{}", master.text());
        assert_eq!(world.get(&format!("/live/room/{other}.m3u8")).await.status, 404);
        let mut mpd = world.get("/live/room.mpd").await;
        assert_eq!(mpd.text().matches("<AdaptationSet ").count(), 1, "{}", mpd.text());
        sending.end();
        while !mpd.text().contains("mediaPresentationDuration") {
            mpd = world.get("/live/room.mpd").await;
        }
        for path in [format!("/live/room/{own}.m3u8"), "/live/room/ts.m3u8".into()] {
            let (pictures, sounds, said) = plays(world.url(&path)).await;
            assert_eq!(
                (said.as_str(), pictures > 0, sounds > 0),
                ("", own == "video", own == "audio"),
                "{path}"
            );
        }
    }
}
