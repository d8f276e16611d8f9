//! Programs from outside publish and watch: ffmpeg, an ffmpeg that knows Enhanced RTMP, gstreamer.
#![allow(clippy::disallowed_methods, reason = "tests stand outside of the floor: they own sockets and tasks")]

mod served;

use std::{process::Command, sync::Arc, time::Duration};

use served::{H264_AAC, Program, enhanced_ffmpeg, frames, has, publish, serve, serve_with, until, watch};
use yizhan_media::{Codec, Config, Name, Packet, Party, broadcast::From};
use yizhan_net::{SystemClock, TlsFiles};
use yizhan_talk::Clock as _;

fn gst(pipeline: &str) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(pipeline.split_whitespace());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_publishes_and_ffmpeg_watches_until_the_end() {
    if !has("ffmpeg") {
        return;
    }
    let served = serve(Config::default());
    let mut publisher = Program::start(&mut publish("ffmpeg", &H264_AAC, 60, &served.url("room?token=x")));
    let broadcast = served.on_air("room", true, true).await;
    let party = broadcast.publisher();
    assert_eq!((party.door, &*party.params), ("rtmp", "token=x"));
    assert!(party.client.contains("Lavf"), "{}", party.client);
    let mut viewer = Program::start(&mut watch("ffmpeg", None, &served.url("room")));
    until("somebody watches", || (broadcast.viewer_count() == 1).then_some(())).await;
    until("it has decoded some", || (frames(&viewer.said()) > 50).then_some(())).await;
    publisher.interrupt();
    publisher.ended().await;
    assert!(viewer.ended().await.success(), "{}", viewer.said());
    let said = viewer.said();
    assert!(said.contains("Video: h264") && said.contains("Audio: aac"), "{said}");
    assert!(!said.contains("non monotonically") && !said.contains("error"), "{said}");
    until("it has ended", || served.find("room").is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ffmpeg_that_knows_enhanced_rtmp_publishes_and_watches_new_codecs() {
    let Some(ffmpeg) = enhanced_ffmpeg() else { return };
    let served = serve(Config::default());
    let hevc = [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        "log-level=error:keyint=25",
        "-c:a",
        "libopus",
    ];
    let av1 = ["-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "keyint=25", "-c:a", "aac"];
    type Case<'a> = (&'a str, &'a [&'a str], Codec, Codec, [&'a str; 2]);
    let cases: [Case<'_>; 2] = [
        ("hevc", &hevc, Codec::H265, Codec::Opus, ["Video: hevc", "Audio: opus"]),
        ("av1", &av1, Codec::Av1, Codec::Aac, ["Video: av1", "Audio: aac"]),
    ];
    for (name, codecs, video, audio, shown) in cases {
        let mut publisher = Program::start(&mut publish(&ffmpeg, codecs, 60, &served.url(name)));
        let broadcast = served.on_air(name, true, true).await;
        let setup = broadcast.setup();
        let has =
            (setup.video.as_ref().map(|track| track.codec), setup.audio.as_ref().map(|track| track.codec));
        assert_eq!(has, (Some(video), Some(audio)));
        let mut viewer = Program::start(&mut watch(&ffmpeg, Some(2), &served.url(name)));
        assert!(viewer.ended().await.success(), "{}", viewer.said());
        let said = viewer.said();
        assert!(shown.iter().all(|shown| said.contains(shown)) && frames(&said) >= 25, "{said}");
        publisher.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_publishes_and_watches() {
    if !has("gst-launch-1.0") {
        return;
    }
    let served = serve(Config::default());
    let url = served.url("room");
    let mut publisher = Program::start(&mut gst(&format!(
        "flvmux name=mux streamable=true ! rtmp2sink location={url} \
         videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=25/1 ! x264enc key-int-max=25 \
         tune=zerolatency speed-preset=ultrafast ! h264parse ! mux. \
         audiotestsrc is-live=true ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! aacparse ! mux."
    )));
    let broadcast = until("it is on air", || {
        let broadcast = served.find("room")?;
        broadcast.setup().video.is_some().then_some(broadcast)
    })
    .await;
    let mut viewer = Program::start(&mut gst(&format!(
        "rtmp2src location={url} ! flvdemux name=demux demux.video ! queue ! h264parse ! avdec_h264 ! \
         fakesink num-buffers=40"
    )));
    until("somebody watches", || (broadcast.viewer_count() == 1).then_some(())).await;
    assert!(viewer.ended().await.success(), "{}", viewer.said());
    publisher.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_publisher_is_told_why_it_may_not() {
    if !has("ffmpeg") {
        return;
    }
    let served = serve(Config::default());
    let _first = Program::start(&mut publish("ffmpeg", &H264_AAC, 60, &served.url("room")));
    served.on_air("room", true, true).await;
    for (url, why) in [
        (served.url("room"), "this broadcast has a publisher"),
        (served.url("a~b"), "letters, digits"),
        (format!("rtmp://{}/vod/room", served.address), "there is no app 'vod'"),
    ] {
        let mut second = Program::start(&mut publish("ffmpeg", &H264_AAC, 60, &url));
        assert!(!second.ended().await.success());
        assert!(second.said().contains(why), "{}", second.said());
    }
    let mut viewer = Program::start(&mut watch("ffmpeg", Some(1), &served.url("other")));
    assert!(!viewer.ended().await.success());
    assert!(viewer.said().contains("this broadcast is not on air"), "{}", viewer.said());
    assert!(served.find("room").unwrap().is_on_air());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_comes_back_and_its_viewers_stay() {
    if !has("ffmpeg") {
        return;
    }
    let served = serve(Config::default());
    let mut first = Program::start(&mut publish("ffmpeg", &H264_AAC, 60, &served.url("room")));
    let broadcast = served.on_air("room", true, true).await;
    let mut viewer = Program::start(&mut watch("ffmpeg", Some(8), &served.url("room")));
    until("somebody watches", || (broadcast.viewer_count() == 1).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.kill();
    until("it was lost", || (!broadcast.is_on_air()).then_some(())).await;
    assert_eq!(broadcast.viewer_count(), 1);
    let larger = ["-vf", "scale=320:240"];
    let codecs = [&larger[..], &H264_AAC].concat();
    let _second = Program::start(&mut publish("ffmpeg", &codecs, 60, &served.url("room")));
    until("it is back", || (broadcast.setup().epoch == 2 && broadcast.is_on_air()).then_some(())).await;
    assert_eq!(served.find("room").unwrap().id(), broadcast.id());
    assert!(viewer.ended().await.success(), "{}", viewer.said());
    let said = viewer.said();
    assert!(frames(&said) > 60 && !said.contains("non monotonically"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rtmp_over_tls_is_spoken() {
    if !has("ffmpeg") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("yizhan-rtmp-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files =
        TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem"), ..TlsFiles::default() };
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let served = serve_with(Config::default(), Some(files), &served::Sections::new());
    let url = format!("rtmps://{}/live/room", served.secure.unwrap());
    let mut publisher = Program::start(&mut publish("ffmpeg", &H264_AAC, 60, &url));
    served.on_air("room", true, true).await;
    let mut viewer = Program::start(&mut watch("ffmpeg", Some(1), &url));
    assert!(viewer.ended().await.success(), "{}", viewer.said());
    publisher.kill();
    drop(std::fs::remove_dir_all(folder));
}

/// A picture of noise, whose key frames have more bytes than a chunk.
const NOISE: [&str; 12] = [
    "-vf",
    "noise=alls=100:allf=t,scale=640:480",
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-qp",
    "10",
    "-pix_fmt",
    "yuv420p",
    "-c:a",
    "aac",
];

#[tokio::test(flavor = "multi_thread")]
async fn extended_timestamps_and_frames_of_many_chunks_are_understood_both_ways() {
    if !has("ffmpeg") || !has("gst-launch-1.0") {
        return;
    }
    let served = serve(Config::default());
    // 2^24 ms are over after two seconds, so what comes then has extended timestamps.
    let offset = ["-output_ts_offset", "16775.5"];
    let codecs = [&NOISE[..], &offset].concat();
    let _publisher = Program::start(&mut publish("ffmpeg", &codecs, 60, &served.url("room")));
    let source = served.on_air("room", true, true).await;
    // The same again where viewers get extended timestamps: a broadcast that keeps its clock is five hours old.
    let name = Name::new("live", "old").unwrap();
    let mut old = served.media.publish(SystemClock.now(), &name, Party::by("ladder")).unwrap();
    let mut frames_of_source = source.frames(From::Key);
    let copying = tokio::spawn(async move {
        let mut known = None;
        while let Ok((frame, _)) = frames_of_source.next().await {
            let now = SystemClock.now();
            if known.as_ref().is_none_or(|setup| !Arc::ptr_eq(setup, &frame.setup)) {
                for track in [&frame.setup.video, &frame.setup.audio].into_iter().flatten() {
                    old.push(now, Packet::Track(track.clone())).unwrap();
                }
                known = Some(frame.setup.clone());
            }
            let (kind, key, cts, data) = (frame.kind, frame.key, frame.cts, frame.data.clone());
            let dts = frame.dts + 5 * 3_600_000_000;
            old.push(now, Packet::Frame { kind, key, dts, cts, data }).unwrap();
        }
    });
    let old = served.on_air("old", true, true).await;
    assert!(old.newest_dts().unwrap() >= 5 * 3_600_000_000);
    until("the publisher's timestamps are extended", || source.newest_dts().filter(|dts| *dts > 3_000_000))
        .await;
    for name in ["room", "old"] {
        let mut viewer = Program::start(&mut watch("ffmpeg", Some(2), &served.url(name)));
        assert!(viewer.ended().await.success(), "{}", viewer.said());
        let said = viewer.said();
        assert!(
            frames(&said) >= 40 && !said.contains("error") && !said.contains("non monotonically"),
            "{said}"
        );
        let mut viewer = Program::start(&mut gst(&format!(
            "rtmp2src location={} ! flvdemux name=demux demux.video ! queue ! h264parse ! avdec_h264 ! \
             fakesink num-buffers=40",
            served.url(name)
        )));
        assert!(viewer.ended().await.success(), "{}", viewer.said());
    }
    assert_eq!(source.view().clock_jumps, 0, "the publisher's clock went on");
    copying.abort();
}
