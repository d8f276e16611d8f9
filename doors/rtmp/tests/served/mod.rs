//! A door on a free port over broadcasts of its own, and programs that publish and watch.
#![allow(clippy::disallowed_methods, reason = "tests stand outside of the floor: they own sockets and tasks")]
#![allow(dead_code, reason = "each test uses some of it")]

use std::{
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;
use yizhan_media::{Broadcast, Media, Name, porter::Everybody};
use yizhan_net::{Door as _, Limits, Listen, Open, Site, SystemClock, TlsFiles};
use yizhan_rtmp::{Config, Relays, Rtmp, Terms};
use yizhan_talk::Clock as _;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A running door.
pub(crate) struct Served {
    pub(crate) media: Media,
    pub(crate) address: SocketAddr,
    pub(crate) secure: Option<SocketAddr>,
    pub(crate) relays: Relays,
    pub(crate) open: Open,
    work: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.work.abort();
    }
}

pub(crate) type Sections = std::collections::BTreeMap<String, yizhan_media::config::relay::Relay>;

/// Opens a door on a free port of this machine.
pub(crate) fn serve(media: yizhan_media::Config) -> Served {
    serve_with(media, None, &Sections::new())
}

pub(crate) fn serve_with(media: yizhan_media::Config, tls: Option<TlsFiles>, relays: &Sections) -> Served {
    let media = Media::new(media, 1);
    media.set_porter(Arc::new(Everybody));
    let free: SocketAddr = ([127, 0, 0, 1], 0).into();
    let secure = tls.map_or_else(Listen::default, |tls| Listen { tls: Some(tls), ..Listen::at(free) });
    let config = Config { tcp: Listen::at(free), secure, ..Config::default() };
    let mut site = Site::new(Limits::default(), Arc::new(SystemClock));
    Rtmp::new(media.clone(), Arc::new(Terms { config, meters: Arc::default() })).open(&mut site).unwrap();
    let relays = Relays::new(media.clone(), relays).unwrap();
    relays.open(&mut site);
    let open = site.start().unwrap();
    let address = open.bound()["rtmp"][0];
    let secure = open.bound().get("rtmps").map(|all| all[0]);
    let maintained = media.clone();
    let work = tokio::spawn(async move {
        loop {
            maintained.maintain(SystemClock.now());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    Served { media, address, secure, relays, open, work }
}

impl Served {
    pub(crate) fn url(&self, name: &str) -> String {
        format!("rtmp://{}/live/{name}", self.address)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Broadcast> {
        self.media.find(&Name::of_any("live", name).unwrap())
    }

    /// Waits until a broadcast has picture and sound, or one of them where the other never comes.
    pub(crate) async fn on_air(&self, name: &str, video: bool, audio: bool) -> Broadcast {
        until("it is on air", || {
            let broadcast = self.find(name)?;
            let setup = broadcast.setup();
            let complete = setup.video.is_some() == video && setup.audio.is_some() == audio;
            (complete && broadcast.is_on_air() && broadcast.newest_dts().is_some()).then_some(broadcast)
        })
        .await
    }
}

/// Waits until something is there.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A program that ends with the test.
pub(crate) struct Program {
    child: Child,
    log: std::path::PathBuf,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = std::env::temp_dir().join(format!("yizhan-rtmp-test-{}-{number}.log", std::process::id()));
        let file = std::fs::File::create(&log).unwrap();
        let both = file.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(file).stderr(both).spawn().unwrap();
        Self { child, log }
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks it to end.
    pub(crate) fn interrupt(&self) {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end: {}", self.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        drop(std::fs::remove_file(&self.log));
    }
}

/// Whether a program is installed; says so where it is not.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found =
        found.is_ok() || Command::new("which").arg(program).output().is_ok_and(|out| out.status.success());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// An ffmpeg that knows Enhanced RTMP (version 7 or later): `YIZHAN_TEST_FFMPEG`, or that of the Python package
/// `imageio-ffmpeg`, or the one that is installed.
pub(crate) fn enhanced_ffmpeg() -> Option<String> {
    let of_python = || {
        let code = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())";
        let out = Command::new("python3").args(["-c", code]).output().ok()?;
        String::from_utf8(out.stdout).ok().map(|path| path.trim().to_owned()).filter(|path| !path.is_empty())
    };
    let candidates = [std::env::var("YIZHAN_TEST_FFMPEG").ok(), of_python(), Some("ffmpeg".to_owned())];
    let found = candidates.into_iter().flatten().find(|path| {
        let out = Command::new(path).arg("-version").output();
        let text = out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
        let version = text.strip_prefix("ffmpeg version ").and_then(|rest| rest.split(['.', '-']).next());
        version
            .and_then(|major| major.trim_start_matches('n').parse::<u32>().ok())
            .is_some_and(|major| major >= 7)
    });
    if found.is_none() {
        eprintln!("skipped: no ffmpeg 7 or later (pip install imageio-ffmpeg, or YIZHAN_TEST_FFMPEG)");
    }
    found
}

/// ffmpeg that makes a picture and a sound, as fast as they are shown, for so many seconds, and sends them to `url` with
/// these codecs.
pub(crate) fn publish(ffmpeg: &str, codecs: &[&str], seconds: u32, url: &str) -> Command {
    let mut command = Command::new(ffmpeg);
    command
        .args(["-hide_banner", "-loglevel", "info", "-nostats", "-re", "-f", "lavfi"])
        .args(["-i", "testsrc2=size=160x120:rate=25", "-re", "-f", "lavfi"])
        .args(["-i", "sine=frequency=440:sample_rate=48000", "-g", "25"])
        .args(codecs)
        .args(["-t", &seconds.to_string(), "-f", "flv", url]);
    command
}

/// What all players know.
pub(crate) const H264_AAC: [&str; 8] =
    ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"];

/// ffmpeg that decodes what `url` has until that ends, or for so many seconds, and stops at the first fault.
pub(crate) fn watch(ffmpeg: &str, seconds: Option<u32>, url: &str) -> Command {
    let mut command = Command::new(ffmpeg);
    command.args(["-hide_banner", "-loglevel", "info", "-xerror", "-i", url]);
    if let Some(seconds) = seconds {
        command.args(["-t", &seconds.to_string()]);
    }
    command.args(["-f", "null", "-"]);
    command
}

/// How many pictures ffmpeg says that it has decoded.
pub(crate) fn frames(said: &str) -> u32 {
    let last = said.rsplit("frame=").next().unwrap_or_default();
    last.trim_start()
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default()
        .parse()
        .unwrap_or_default()
}
