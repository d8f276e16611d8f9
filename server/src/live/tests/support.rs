//! A broadcast whose pictures ffmpeg makes.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use tokio::task::JoinHandle;
use yizhan_ffmpeg::Ffmpeg;
use yizhan_media::{
    Broadcast, Config, Frame, Kind, Media, Name, Packet, Party, Publisher, broadcast::From, flv::Demuxer,
};
use yizhan_talk::{Clock, Now, Timestamp};

/// How long anything may take.
pub(super) const SOON: Duration = Duration::from_secs(20);

pub(super) struct Wall;

impl Clock for Wall {
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Now { steady: Instant::now(), wall: Timestamp(u64::try_from(wall.as_micros()).unwrap()) }
    }
}

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(Wall)
}

pub(super) fn now() -> Now {
    Wall.now()
}

/// The real ffmpeg; `None`, and a word about it, where there is none.
pub(super) async fn real() -> Option<Ffmpeg> {
    match Ffmpeg::find(yizhan_ffmpeg::Config::default()).await {
        Ok(ffmpeg) if ffmpeg.has_encoder("libx264") => Some(ffmpeg),
        other => {
            eprintln!("left out: no ffmpeg with libx264 here ({:?})", other.err());
            None
        }
    }
}

/// A program that says that it is ffmpeg and does what the script says.
pub(super) async fn fake(folder: &Path, script: &str) -> Ffmpeg {
    let program = folder.join("ffmpeg");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in -version) echo 'ffmpeg version 9.9';; \
         *-encoders) printf ' ---\\n V libx264 y\\n';; *)\n{script}\n;; esac\n"
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = yizhan_ffmpeg::Config { program, children_max: 4, nice: 0 };
    let begun = Instant::now();
    loop {
        match Ffmpeg::find(config.clone()).await {
            // Another test's child was forked while the file was open for writing.
            Err(error) if begun.elapsed() < SOON => {
                assert!(error.to_string().contains("busy"), "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            found => return found.unwrap(),
        }
    }
}

/// What ffmpeg makes of these arguments.
pub(super) fn run(args: &str, input: Option<&[u8]>) -> (Vec<u8>, String) {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostats", "-loglevel", "warning"]).args(args.split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.unwrap_or_default().to_vec();
    let feed = std::thread::spawn(move || drop(std::io::Write::write_all(&mut stdin, &input)));
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap();
    (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Six seconds of 320x180 with a key frame each second, B-frames and sound.
pub(super) fn packets() -> &'static [Packet] {
    static PACKETS: OnceLock<Vec<Packet>> = OnceLock::new();
    PACKETS.get_or_init(|| demux(&made(320, 180)))
}

/// FLV of that size.
pub(super) fn made(width: u32, height: u32) -> Vec<u8> {
    let args = format!(
        "-f lavfi -i testsrc2=size={width}x{height}:rate=25 -f lavfi -i sine -t 6 -c:v libx264 -preset ultrafast \
         -bf 2 -g 25 -sc_threshold 0 -c:a aac -f flv pipe:1"
    );
    run(&args, None).0
}

pub(super) fn demux(flv: &[u8]) -> Vec<Packet> {
    let mut demuxer = Demuxer::new(8 << 20);
    demuxer.push(flv);
    let mut packets = Vec::new();
    while let Some(packet) = demuxer.read().unwrap() {
        packets.push(packet);
    }
    packets
}

/// A server's media, looked after.
pub(super) struct Stage {
    pub(super) media: Media,
    tasks: Vec<JoinHandle<()>>,
}

impl Stage {
    pub(super) fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        config.check().unwrap();
        let media = Media::new(config, 1);
        let turned = media.clone();
        let turn = tokio::spawn(async move {
            loop {
                turned.maintain(now());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { media, tasks: vec![turn] }
    }

    pub(super) fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(task));
    }

    pub(super) fn publisher(&self, name: &Name) -> Publisher {
        self.media.publish(now(), name, Party::by("rtmp")).unwrap()
    }

    /// Publishes the packets again and again as fast as they are shown.
    pub(super) fn play(&mut self, name: &Name) -> Broadcast {
        let mut publisher = self.publisher(name);
        let broadcast = publisher.broadcast().clone();
        self.run(async move {
            let begun = Instant::now();
            for round in 0..20_i64 {
                for packet in packets() {
                    let packet = later(packet, round * 6_000_000);
                    if let Packet::Frame { dts, .. } = &packet {
                        let due = begun + Duration::from_micros(u64::try_from(*dts).unwrap_or(0));
                        tokio::time::sleep_until(due.into()).await;
                    }
                    if publisher.push(now(), packet).is_err() {
                        return;
                    }
                }
            }
        });
        broadcast
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A packet that is shown later.
pub(super) fn later(packet: &Packet, by: i64) -> Packet {
    match packet.clone() {
        Packet::Frame { kind, key, dts, cts, data } => Packet::Frame { kind, key, dts: dts + by, cts, data },
        other => other,
    }
}

pub(super) fn name(name: &str) -> Name {
    Name::of_any("live", name).unwrap()
}

/// Waits for something to be so.
pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// All frames that a broadcast still has.
pub(super) fn frames(broadcast: &Broadcast) -> Vec<Arc<Frame>> {
    let mut frames = Vec::new();
    broadcast.frames(From::Oldest).try_take(usize::MAX, &mut frames).ok();
    frames
}

/// When key frames are shown, milliseconds.
pub(super) fn keys(frames: &[Arc<Frame>]) -> Vec<i64> {
    let keys = frames.iter().filter(|frame| frame.kind == Kind::Video && frame.key);
    keys.map(|frame| frame.pts() / 1000).collect()
}
