//! Snapshots: now and then a JPEG of each broadcast's newest key frame.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;
use yizhan_ffmpeg::{Ffmpeg, Job, args};
use yizhan_hls::shelf;
use yizhan_media::{Broadcast, Frame, Kind, Media, Name, broadcast::From};
use yizhan_talk::{Clock, Timestamp};

use super::pump::Wrap;

/// How often it is looked whose picture is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long taking one may last.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes that one may have.
const JPEG_BYTES_MAX: usize = 4 << 20;

/// The newest picture of each broadcast on air. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Snapshots(Arc<Inner>);

struct Inner {
    media: Media,
    clock: Arc<dyn Clock>,
    ffmpeg: Ffmpeg,
    /// At most one for each broadcast on air.
    taken: Mutex<FxHashMap<Name, Taken>>,
}

struct Taken {
    of: u64,
    /// When it was tried last.
    tried: Instant,
    /// The key frame that it is of, µs.
    dts: i64,
    picture: Option<(Bytes, Timestamp)>,
}

impl Snapshots {
    /// None is taken yet.
    pub(crate) fn new(media: &Media, clock: &Arc<dyn Clock>, ffmpeg: Ffmpeg) -> Self {
        let (media, clock) = (media.clone(), clock.clone());
        Self(Arc::new(Inner { media, clock, ffmpeg, taken: Mutex::default() }))
    }

    /// Takes pictures, one after the other, as long as it is run.
    pub(crate) async fn run(self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let config = self.0.media.config().snapshots.clone();
            if !config.is_on() {
                self.0.taken.lock().clear();
                continue;
            }
            let on_air: Vec<_> = self
                .0
                .media
                .list()
                .into_iter()
                .filter(|source| source.name().rung_name().is_none())
                .collect();
            self.forget_others(&on_air);
            for source in on_air {
                if let Some(frame) = self.due(&source, config.every) {
                    self.take(&source, &frame, config.side_max).await;
                }
            }
        }
    }

    /// The frame of which a picture is to be taken now.
    fn due(&self, source: &Broadcast, every: Duration) -> Option<Arc<Frame>> {
        let frame = newest_key(source)?;
        let mut all = self.0.taken.lock();
        let now = Instant::now();
        match all.get_mut(source.name()) {
            Some(taken) if taken.of == source.id() => {
                if now.duration_since(taken.tried) < every || taken.dts == frame.dts {
                    return None;
                }
                taken.tried = now;
                taken.dts = frame.dts;
            }
            _ => {
                let taken = Taken { of: source.id(), tried: now, dts: frame.dts, picture: None };
                all.insert(source.name().clone(), taken);
            }
        }
        Some(frame)
    }

    async fn take(&self, source: &Broadcast, frame: &Arc<Frame>, side_max: u32) {
        let mut wrap = Wrap::of(&frame.setup);
        let mut input = BytesMut::from(&*wrap.head(&frame.setup));
        input.extend_from_slice(&wrap.put(std::slice::from_ref(frame)));
        let job = Job { args: args::snapshot(wrap.container(), side_max), fed: true };
        let picture = match self.0.ffmpeg.start(job) {
            Ok(child) => {
                child.run(input.freeze(), JPEG_BYTES_MAX, WITHIN).await.map_err(|exit| exit.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match picture {
            Ok(jpeg) if !jpeg.is_empty() => {
                let at = self.0.clock.now().wall;
                if let Some(taken) = self.0.taken.lock().get_mut(source.name())
                    && taken.of == source.id()
                {
                    taken.picture = Some((jpeg, at));
                }
            }
            Ok(_) => debug!(broadcast = %source.name(), "ffmpeg made no picture"),
            Err(why) => debug!(broadcast = %source.name(), why, "ffmpeg made no picture"),
        }
    }

    fn forget_others(&self, on_air: &[Broadcast]) {
        let is_there =
            |name: &Name, of: u64| on_air.iter().any(|source| source.id() == of && source.name() == name);
        self.0.taken.lock().retain(|name, taken| is_there(name, taken.of));
    }
}

/// The newest frame that is a whole picture.
fn newest_key(source: &Broadcast) -> Option<Arc<Frame>> {
    let mut frames = Vec::with_capacity(1);
    source.frames(From::Key).try_take(1, &mut frames).ok()?;
    frames.pop().filter(|frame| frame.kind == Kind::Video && frame.key)
}

impl shelf::Snapshots for Snapshots {
    fn newest(&self, name: &Name) -> Option<(Bytes, Timestamp)> {
        self.0.taken.lock().get(name)?.picture.clone()
    }
}
