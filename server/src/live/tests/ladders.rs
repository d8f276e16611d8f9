//! Rungs.

use std::{sync::Arc, time::Duration};

use yizhan_ffmpeg::{
    Ffmpeg, Job,
    args::{self, Container},
};
use yizhan_hls::shelf::Ladder as _;
use yizhan_media::{Config, Frame, Kind, Name, Packet, Party, State, config::ladder::Rung};

use super::{
    super::{
        ladder::{Happened, Ladder},
        pump::Wrap,
    },
    support::{SOON, Stage, clock, demux, fake, frames, keys, name, now, packets, real, until},
};

fn ladder(config: &mut Config, side: u32) {
    let rung = |side| Rung { name: format!("{side}p"), side, bits_per_second: 100_000, frames_max: 0 };
    config.ladder.apps = vec!["live".into()];
    config.ladder.rungs = vec![rung(side), rung(720)];
    config.ladder.preset = "ultrafast".into();
    config.ladder.linger = Duration::from_secs(1);
}

/// Children of this process whose arguments have this in them.
fn children(word: &str) -> Vec<rustix::process::Pid> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let stat = read("stat");
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1).map(str::to_owned));
        if parent.as_deref() == Some(&own) && read("cmdline").contains(word) {
            let pid = entry.file_name().to_str().unwrap().parse().unwrap();
            found.extend(rustix::process::Pid::from_raw(pid));
        }
    }
    found
}

fn monotone(frames: &[Arc<Frame>]) -> bool {
    [Kind::Video, Kind::Audio].into_iter().all(|kind| {
        let of: Vec<i64> = frames.iter().filter(|frame| frame.kind == kind).map(|frame| frame.dts).collect();
        of.windows(2).all(|pair| pair[0] < pair[1])
    })
}

async fn wanted(stage: &Stage, name: &Name) -> yizhan_media::Broadcast {
    stage.media.wanted(now(), name).await.expect("the rung starts")
}

fn start(stage: &mut Stage, ffmpeg: Ffmpeg) -> Ladder {
    let ladder = Ladder::new(&stage.media, &clock(), Some(ffmpeg));
    stage.run(ladder.clone().run());
    ladder
}

#[tokio::test]
async fn a_rung_lives_as_long_as_it_is_watched_and_has_its_key_frames_where_the_source_has() {
    let Some(ffmpeg) = real().await else { return };
    let mut stage = Stage::new(|config| ladder(config, 92));
    let ladder = start(&mut stage, ffmpeg.clone());
    let room = ffmpeg.room();
    let source = stage.play(&name("room"));
    until("the source has a picture", || source.setup().video.is_some()).await;
    let offers = ladder.offers(&source);
    assert_eq!(offers.len(), 1, "never larger than the source");
    assert_eq!((offers[0].rung.as_str(), offers[0].width, offers[0].height), ("92p", 164, 92));
    assert_eq!(offers[0].codecs, "avc1.64001f,mp4a.40.2");
    assert!(stage.media.wanted(now(), &name("room~720p")).await.is_none());

    let rung = wanted(&stage, &name("room~92p")).await;
    let viewer = stage.media.viewer(now(), &rung, Party::by("flv")).unwrap();
    until("three key frames", || keys(&frames(&rung)).len() >= 3).await;
    let (made, of) = (frames(&rung), frames(&source));
    let source_keys = keys(&of);
    assert!(keys(&made).iter().all(|key| source_keys.contains(key)), "{:?} {source_keys:?}", keys(&made));
    assert!(monotone(&made));
    let video = rung.setup().video.clone().unwrap();
    assert_eq!(
        video.detail,
        yizhan_media::Detail::Video {
            width: 164,
            height: 92,
            millihertz: match video.detail {
                yizhan_media::Detail::Video { millihertz, .. } => millihertz,
                yizhan_media::Detail::Audio { .. } => None,
            }
        }
    );
    let sound = |frames: &[Arc<Frame>]| {
        frames.iter().find(|frame| frame.kind == Kind::Audio).map(|frame| frame.data.len())
    };
    assert!(sound(&made).is_some());
    assert_eq!(ladder.running(), 1);

    drop(viewer);
    until("the rung ends", || rung.has_ended() && ladder.running() == 0).await;
    until("no child is left", || ffmpeg.room() == room).await;
    assert!(source.is_on_air());
}

#[tokio::test]
async fn a_rung_goes_on_when_its_ffmpeg_is_killed() {
    let Some(ffmpeg) = real().await else { return };
    let mut stage = Stage::new(|config| ladder(config, 94));
    let ladder = start(&mut stage, ffmpeg);
    let mut notices = ladder.notices();
    let source = stage.play(&name("room"));
    until("the source has a picture", || source.setup().video.is_some()).await;
    let rung = wanted(&stage, &name("room~94p")).await;
    let _viewer = stage.media.viewer(now(), &rung, Party::by("flv")).unwrap();
    until("a key frame", || !keys(&frames(&rung)).is_empty()).await;
    let pids = children("scale=168:94");
    assert_eq!(pids.len(), 1);
    rustix::process::kill_process(pids[0], rustix::process::Signal::KILL).unwrap();
    until("another one goes on", || frames(&rung).iter().any(|frame| frame.setup.epoch == 2 && frame.key))
        .await;
    assert!(monotone(&frames(&rung)), "nothing comes twice");
    assert_eq!(notices.next().await.unwrap().0.what, Happened::Started);
    assert!(matches!(notices.next().await.unwrap().0.what, Happened::Failed(why) if why.contains("SIGKILL")));
    assert_eq!(rung.state(), State::OnAir);
}

#[tokio::test]
async fn children_that_write_garbage_or_hang_are_started_again_and_nobody_else_notices() {
    let folder = tempfile::tempdir().unwrap();
    if real().await.is_none() {
        return;
    }
    // The first writes garbage, the next ones write nothing.
    let mark = folder.path().join("mark").display().to_string();
    let script = format!(
        "if [ -e {mark} ]; then cat >/dev/null; sleep 99; else touch {mark}; head -c 9999 /dev/urandom; sleep 99; fi"
    );
    let ffmpeg = fake(folder.path(), &script).await;
    let mut stage = Stage::new(|config| ladder(config, 90));
    let ladder = start(&mut stage, ffmpeg.clone());
    let mut notices = ladder.notices();
    let source = stage.play(&name("room"));
    until("the source has a picture", || source.setup().video.is_some()).await;
    // Somebody goes on asking, so it is not given up for want of viewers.
    let media = stage.media.clone();
    stage.run(async move {
        loop {
            drop(media.wanted(now(), &name("room~90p")).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut why = Vec::new();
    while why.len() < 2 {
        if let Happened::Failed(reason) =
            tokio::time::timeout(SOON, notices.next()).await.unwrap().unwrap().0.what
        {
            why.push(reason);
        }
    }
    assert!(why[0].contains("not FLV"), "{why:?}");
    assert!(why[1].contains("nothing for"), "{why:?}");
    assert!(source.is_on_air() && source.view().dropped_frames == 0);
    assert!(stage.media.find(&name("room~90p")).is_none());
}

#[tokio::test]
async fn the_top_rung_is_given_up_where_the_machine_is_too_slow() {
    let folder = tempfile::tempdir().unwrap();
    if real().await.is_none() {
        return;
    }
    // Sends on what comes, at half its speed.
    let script = "exec ffmpeg -v error -nostdin -readrate 0.5 -copyts -probesize 4096 -f flv -i pipe:0 -c copy -flush_packets 1 -f flv pipe:1";
    let ffmpeg = fake(folder.path(), script).await;
    let mut stage = Stage::new(|config| ladder(config, 90));
    let ladder = start(&mut stage, ffmpeg);
    let mut notices = ladder.notices();
    let source = stage.play(&name("room"));
    until("the source has a picture", || source.setup().video.is_some()).await;
    let rung = wanted(&stage, &name("room~90p")).await;
    let _viewer = stage.media.viewer(now(), &rung, Party::by("flv")).unwrap();
    loop {
        let notice = tokio::time::timeout(SOON, notices.next()).await.unwrap().unwrap().0;
        if notice.what == Happened::GivenUp {
            assert_eq!((notice.source, notice.rung.as_str()), (name("room"), "90p"));
            break;
        }
    }
    until("it has ended", || rung.has_ended()).await;
    assert!(ladder.offers(&source).is_empty(), "it is not offered for a while");
    assert!(source.is_on_air());
}

/// When pictures are shown, milliseconds: all of them, or key frames only.
fn shown(packets: &[Packet], keys_only: bool) -> Vec<i64> {
    let of = packets.iter().filter_map(|packet| match packet {
        Packet::Frame { kind: Kind::Video, key, dts, cts, .. } if *key || !keys_only => {
            Some((*dts + i64::from(*cts)) / 1000)
        }
        _ => None,
    });
    of.collect()
}

#[tokio::test]
async fn codecs_that_flv_does_not_know_go_to_ffmpeg_as_mp4_with_the_broadcasts_own_times() {
    let Some(ffmpeg) = real().await else { return };
    let stage = Stage::new(|_| ());
    let mut publisher = stage.publisher(&name("room"));
    for packet in packets() {
        publisher.push(now(), packet.clone()).unwrap();
    }
    let all = frames(publisher.broadcast());
    let mut wrap = Wrap::Mp4 { number: 0, ends: [None; 2] };
    let mut mp4 = wrap.head(&all[0].setup).to_vec();
    for some in all.chunks(7) {
        mp4.extend_from_slice(&wrap.put(some));
    }
    let rung = args::Rung {
        width: 160,
        height: 90,
        video_bits: 100_000,
        frames_max: None,
        encoder: "libx264".into(),
        preset: "ultrafast".into(),
        look_ahead: 0,
        threads: 1,
        sound: args::Sound::Aac(64_000),
    };
    let job = Job { args: args::rung(Container::Mp4, &rung), fed: true };
    let made = ffmpeg.start(job).unwrap().run(mp4.into(), 64 << 20, SOON).await.unwrap();
    let made = demux(&made);
    let source = shown(packets(), false);
    let near = |a: &[i64], b: &[i64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1);
    let mut sorted = source.clone();
    sorted.sort_unstable();
    assert!(near(&shown(&made, false), &sorted), "{:?} {sorted:?}", shown(&made, false));
    assert!(near(&shown(&made, true), &shown(packets(), true)), "{:?}", shown(&made, true));
    assert!(made.iter().any(|packet| matches!(packet, Packet::Frame { kind: Kind::Audio, .. })));
}
