//! Ladders: the same broadcasts with fewer bits, made by ffmpeg while somebody watches.
//!
//! Each rung is a process of its own that is started by its first viewer. So nobody pays for what nobody watches, one
//! that dies takes no other with it, and the top one can be given up alone. What that costs is decoding the source
//! once for each rung, a small part of encoding it. Key frames of all rungs lie where the source's do, and their
//! timestamps are the source's, whenever they were started (`engines/ffmpeg`, `args::rung`).

mod rung;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};
use yizhan_ffmpeg::Ffmpeg;
use yizhan_hls::shelf::{Ladder as Offers, Offer};
use yizhan_media::{
    Broadcast, Codec, Detail, Media, Name, Setup,
    config::ladder::{Ladder as Config, Planned},
    events::{Event, What},
};
use yizhan_ring::{Limits, Reader, Ring};
use yizhan_talk::{Clock, Counter};

use self::rung::{Done, Making, Seen};

/// How often viewers are looked for whose protocol wants all rungs at once.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A rung that was given up under load is not offered again for so long.
const GIVEN_UP_FOR: Duration = Duration::from_secs(300);
/// Bits a second that sound may take, for what is announced.
const SOUND_BITS: u64 = 192_000;
/// Notices that are remembered for who listens slowly.
const NOTICES_MAX: usize = 256;

/// Something that the publisher and operators are to hear.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    /// Of which broadcast.
    pub(crate) source: Name,
    /// Of which of its rungs.
    pub(crate) rung: String,
    /// What happened.
    pub(crate) what: Happened,
}

/// What happened to a rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happened {
    /// It is made now.
    Started,
    /// Nobody watched it any more, or the broadcast is over.
    Stopped,
    /// The machine is too slow for all of them: this one is given up for a while.
    GivenUp,
    /// ffmpeg ended, and is started again.
    Failed(Arc<str>),
}

/// All ladders. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Ladder(Arc<Inner>);

struct Inner {
    media: Media,
    clock: Arc<dyn Clock>,
    /// `None`: there is none, so there are no rungs.
    ffmpeg: Option<Ffmpeg>,
    rungs: Mutex<Rungs>,
    notices: Ring<Notice>,
    meters: Meters,
}

/// What is counted of ladders.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    /// Rungs that the machine was too slow for.
    pub(crate) given_up: Counter,
    /// Children of ffmpeg that failed; others took their places.
    pub(crate) failed: Counter,
}

/// Bounded by the broadcasts on air times the rungs of the config.
#[derive(Default)]
struct Rungs {
    running: FxHashMap<Name, Running>,
    given_up: FxHashMap<Name, Instant>,
    /// By source: its number, its setup's, and what is made of it.
    plans: FxHashMap<Name, (u64, u32, Vec<Planned>)>,
}

struct Running {
    side: u32,
    /// When somebody asked for it last.
    wanted: watch::Sender<Instant>,
    /// Why it is to stop.
    stop: watch::Sender<Option<Done>>,
}

impl Ladder {
    /// None runs yet. Rungs are fetched by this one from now on.
    pub(crate) fn new(media: &Media, clock: &Arc<dyn Clock>, ffmpeg: Option<Ffmpeg>) -> Self {
        if let Some(ffmpeg) = &ffmpeg {
            let encoder = &media.config().ladder.encoder;
            if !media.config().ladder.apps.is_empty() && !ffmpeg.has_encoder(encoder) {
                warn!(
                    encoder,
                    version = ffmpeg.version(),
                    "ffmpeg has no such encoder: there are no ladders"
                );
            }
        }
        let limits = Limits { items_max: NOTICES_MAX, weight_max: usize::MAX };
        let ladder = Self(Arc::new(Inner {
            media: media.clone(),
            clock: clock.clone(),
            ffmpeg,
            rungs: Mutex::default(),
            notices: Ring::new(limits, 0),
            meters: Meters::default(),
        }));
        let inner = Arc::downgrade(&ladder.0);
        media.add_fetcher(Arc::new(move |name| {
            inner.upgrade().is_some_and(|inner| Self(inner).planned(name).is_some())
        }));
        ladder
    }

    /// What happens from now on.
    pub(crate) fn notices(&self) -> Reader<Notice> {
        self.0.notices.reader()
    }

    /// What is counted.
    pub(crate) fn meters(&self) -> &Meters {
        &self.0.meters
    }

    /// The rungs of a source that are made now, and those that were given up for a while.
    pub(crate) fn state(&self, source: &Name) -> (Vec<String>, Vec<String>) {
        let rungs = self.0.rungs.lock();
        let rung = |name: &Name| name.rung_name().filter(|_| name.source() == *source).map(str::to_owned);
        let (mut running, mut given_up): (Vec<_>, Vec<_>) = (
            rungs.running.keys().filter_map(rung).collect(),
            rungs.given_up.keys().filter_map(rung).collect(),
        );
        running.sort_unstable();
        given_up.sort_unstable();
        (running, given_up)
    }

    /// How many rungs are made now.
    #[cfg(test)]
    pub(crate) fn running(&self) -> usize {
        self.0.rungs.lock().running.len()
    }

    /// Starts rungs when they are wanted, as long as the future is run; what is wanted is heard from this call on.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send {
        let events = self.0.media.events();
        self.listen(events)
    }

    async fn listen(self, mut events: Reader<Event>) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Ok((event, _)) => self.hear(&event.what),
                    // The server ends.
                    Err(_) => return,
                },
                _ = looks.tick() => self.look(),
            }
        }
    }

    fn hear(&self, what: &What) {
        match what {
            What::Wanted(name) => {
                if let Some((source, planned)) = self.planned(name) {
                    self.start(name, source, planned);
                }
            }
            What::Ended(broadcast) if broadcast.name().rung_name().is_none() => {
                let mut rungs = self.0.rungs.lock();
                rungs.plans.remove(broadcast.name());
                let of_it = |name: &Name, _: &mut Instant| name.source() == *broadcast.name();
                let given_up: Vec<Name> = rungs.given_up.extract_if(of_it).map(|(name, _)| name).collect();
                drop(rungs);
                given_up.iter().for_each(|name| self.tell(name, Happened::Stopped));
            }
            _ => {}
        }
    }

    /// A DASH manifest has all rungs or none: they are made as long as somebody watches by it.
    fn look(&self) {
        for source in self.0.media.list() {
            if source.name().rung_name().is_some() || !self.config().is_for(source.name()) {
                continue;
            }
            if source.viewers().iter().any(|viewer| viewer.door == "dash") {
                for planned in self.plan(&source) {
                    if let Ok(name) = source.name().rung(&planned.rung.name) {
                        self.start(&name, source.clone(), planned);
                    }
                }
            }
        }
    }

    /// Starts a rung, or notes that it is still wanted.
    fn start(&self, name: &Name, source: Broadcast, planned: Planned) {
        let Some(ffmpeg) = self.0.ffmpeg.clone() else { return };
        let now = Instant::now();
        let mut rungs = self.0.rungs.lock();
        if let Some(running) = rungs.running.get(name) {
            running.wanted.send_replace(now);
            return;
        }
        let (wanted, stop) = (watch::channel(now).0, watch::channel(None).0);
        let making = Making {
            media: self.0.media.clone(),
            clock: self.0.clock.clone(),
            ffmpeg,
            source,
            name: name.clone(),
            planned,
            wanted: wanted.subscribe(),
            seen: Mutex::new(Seen { at: now, came: false }),
            stop: stop.subscribe(),
            ladder: Arc::downgrade(&self.0),
        };
        let side = making.planned.rung.side;
        rungs.running.insert(name.clone(), Running { side, wanted, stop });
        drop(rungs);
        info!(rung = %name, "a rung is made");
        self.tell(name, Happened::Started);
        let ladder = self.clone();
        let name = name.clone();
        tokio::spawn(async move {
            let done = making.run().await;
            ladder.ended(&name, done);
        });
    }

    fn ended(&self, name: &Name, done: Done) {
        let mut rungs = self.0.rungs.lock();
        rungs.running.remove(name);
        let given_up = done == Done::GivenUp;
        if given_up {
            rungs.given_up.insert(name.clone(), Instant::now() + GIVEN_UP_FOR);
        }
        drop(rungs);
        info!(rung = %name, given_up, "a rung is made no longer");
        self.tell(name, if given_up { Happened::GivenUp } else { Happened::Stopped });
    }

    fn tell(&self, name: &Name, what: Happened) {
        match what {
            Happened::GivenUp => self.0.meters.given_up.one(),
            Happened::Failed(_) => self.0.meters.failed.one(),
            Happened::Started | Happened::Stopped => {}
        }
        let rung = name.rung_name().unwrap_or_default().to_owned();
        self.0.notices.push(Notice { source: name.source(), rung, what }, 1);
    }

    /// The machine cannot keep up: the top rung of this source goes. Whether that is this one.
    fn give_up_top(&self, slow: &Name) -> bool {
        let source = slow.source();
        let rungs = self.0.rungs.lock();
        let of_source = rungs.running.iter().filter(|(name, _)| name.source() == source);
        let Some((top, running)) = of_source.max_by_key(|(_, running)| running.side) else { return true };
        if top != slow {
            running.stop.send_replace(Some(Done::GivenUp));
        }
        top == slow
    }

    fn config(&self) -> Config {
        self.0.media.config().ladder.clone()
    }

    /// The rung of this name and its source, where it can be made.
    fn planned(&self, name: &Name) -> Option<(Broadcast, Planned)> {
        let rung = name.rung_name()?;
        let source = self.0.media.find(&name.source())?;
        let planned = self.plan(&source).into_iter().find(|planned| planned.rung.name == rung)?;
        Some((source, planned))
    }

    /// What can be made of a source now.
    fn plan(&self, source: &Broadcast) -> Vec<Planned> {
        let config = self.config();
        let Some(ffmpeg) = self.0.ffmpeg.as_ref().filter(|ffmpeg| ffmpeg.has_encoder(&config.encoder)) else {
            return Vec::new();
        };
        if !config.is_for(source.name()) || source.name().rung_name().is_some() {
            return Vec::new();
        }
        let all = self.plan_all(&config, source);
        let now = Instant::now();
        let mut rungs = self.0.rungs.lock();
        rungs.given_up.retain(|_, until| *until > now);
        let mut room = ffmpeg.room();
        let mut plan = Vec::new();
        // Where there is no room for all, the cheap ones are had first.
        for planned in all.into_iter().rev() {
            let Ok(name) = source.name().rung(&planned.rung.name) else { continue };
            if !rungs.running.contains_key(&name) {
                if room == 0 || rungs.given_up.contains_key(&name) {
                    continue;
                }
                room -= 1;
            }
            plan.push(planned);
        }
        plan.reverse();
        plan
    }

    /// What could be made of it with room for all. Decided once for each setup, so that lists stay as they are.
    fn plan_all(&self, config: &Config, source: &Broadcast) -> Vec<Planned> {
        let setup = source.setup();
        let Some((width, height)) = size(&setup) else { return Vec::new() };
        let key = (source.id(), setup.number);
        if let Some((id, number, plan)) = self.0.rungs.lock().plans.get(source.name())
            && (*id, *number) == key
        {
            return plan.clone();
        }
        let bits = source.view().bits_per_second;
        let plan = config.plan(width, height, bits);
        if bits > 0 {
            self.0.rungs.lock().plans.insert(source.name().clone(), (key.0, key.1, plan.clone()));
        }
        plan
    }
}

fn size(setup: &Setup) -> Option<(u32, u32)> {
    match setup.video.as_ref()?.detail {
        Detail::Video { width, height, .. } if width > 0 && height > 0 => Some((width, height)),
        _ => None,
    }
}

impl Offers for Ladder {
    fn offers(&self, source: &Broadcast) -> Vec<Offer> {
        let sound = match source.setup().audio.as_deref() {
            None => None,
            Some(track) if matches!(track.codec, Codec::Aac | Codec::Mp3) => Some(track.rfc6381.clone()),
            Some(_) => Some("mp4a.40.2".to_owned()),
        };
        let offer = |planned: Planned| {
            let running =
                source.name().rung(&planned.rung.name).ok().and_then(|name| self.0.media.find(&name));
            let codecs = running.map(|rung| rung.setup().rfc6381()).filter(|codecs| !codecs.is_empty());
            let guess = || match &sound {
                Some(sound) => format!("{},{sound}", video_codec(planned.rung.side)),
                None => video_codec(planned.rung.side).to_owned(),
            };
            let bits = u64::from(planned.rung.bits_per_second);
            Offer {
                codecs: codecs.unwrap_or_else(guess),
                width: planned.width,
                height: planned.height,
                bits_per_second: bits + bits / 10 + if sound.is_some() { SOUND_BITS } else { 0 },
                rung: planned.rung.name,
            }
        };
        self.plan(source).into_iter().map(offer).collect()
    }
}

/// What an encoder most likely makes of this size, before it was seen: High profile, with a level that has room for 60
/// pictures a second.
const fn video_codec(side: u32) -> &'static str {
    match side {
        0..=480 => "avc1.64001f",
        481..=720 => "avc1.640020",
        721..=1080 => "avc1.64002a",
        _ => "avc1.640034",
    }
}
