//! Relays over HLS: broadcasts that are fetched from other servers' playlists, and broadcasts that are put there. ffmpeg
//! does the work. Relays over RTMP are the RTMP door's own.
//!
//! ffmpeg does not check whose certificate a server shows, unless it was built to.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::{
    io::AsyncWriteExt as _,
    time::{interval, sleep, timeout},
};
use tracing::{info, warn};
use yizhan_ffmpeg::{BackOff, Child, Ffmpeg, Job, args, mask};
use yizhan_media::{
    Broadcast, Media, Name, Party,
    config::relay::{Relay, When},
    events::{Event, What},
};
use yizhan_ring::Reader;
use yizhan_talk::Clock;

use super::{
    inlet::{Inlet, NoMore},
    pump::{Pump, Taken, Wrap},
};

/// How often viewers of what is fetched are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a child may take to send what it has.
const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// How long segments are that are put elsewhere.
const SEGMENT_SECONDS: u32 = 2;

/// All relays over HLS. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct HlsRelays(Arc<Inner>);

struct Inner {
    media: Media,
    clock: Arc<dyn Clock>,
    ffmpeg: Ffmpeg,
    /// Those of the config that speak HTTP.
    relays: BTreeMap<String, Relay>,
    /// Which relays are at work for which broadcast, and when it was wanted last.
    running: Mutex<FxHashMap<(String, Name), Instant>>,
}

impl HlsRelays {
    /// Whether any of these speaks HTTP.
    pub(crate) fn are_wanted(all: &BTreeMap<String, Relay>) -> bool {
        all.values().any(|relay| over_http(relay.from.as_ref()) || over_http(relay.to.as_ref()))
    }

    /// None is at work yet. They fetch from now on.
    pub(crate) fn new(
        media: &Media,
        clock: &Arc<dyn Clock>,
        ffmpeg: Ffmpeg,
        all: &BTreeMap<String, Relay>,
    ) -> Self {
        let is_ours = |relay: &&Relay| over_http(relay.from.as_ref()) || over_http(relay.to.as_ref());
        let ours = all.iter().filter(|(_, relay)| is_ours(relay));
        let inner = Arc::new(Inner {
            media: media.clone(),
            clock: clock.clone(),
            ffmpeg,
            relays: ours.map(|(name, relay)| (name.clone(), relay.clone())).collect(),
            running: Mutex::default(),
        });
        let weak = Arc::downgrade(&inner);
        media.add_fetcher(Arc::new(move |name| {
            weak.upgrade().is_some_and(|inner| Self(inner).fetcher(name).is_some())
        }));
        Self(inner)
    }

    /// Relays, as long as the future is run; what is wanted is heard from this call on.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send {
        let events = self.0.media.events();
        self.listen(events)
    }

    async fn listen(self, mut events: Reader<Event>) {
        for (relay, config) in &self.0.relays {
            if config.from.is_some() && config.when == When::Always {
                config.all().into_iter().for_each(|name| self.fetch(relay, name));
            }
        }
        self.0.media.list().iter().for_each(|broadcast| self.send(broadcast));
        while let Ok((event, _)) = events.next().await {
            match &event.what {
                What::Wanted(name) => {
                    if let Some(relay) = self.fetcher(name) {
                        self.fetch(&relay, name.clone());
                    }
                }
                What::OnAir(broadcast) => self.send(broadcast),
                _ => {}
            }
        }
    }

    /// The relay that fetches a broadcast when it is wanted.
    fn fetcher(&self, name: &Name) -> Option<String> {
        let fits = |relay: &Relay| relay.from.is_some() && relay.when == When::Wanted && relay.is_for(name);
        self.0.relays.iter().find(|(_, relay)| fits(relay)).map(|(name, _)| name.clone())
    }

    /// Whether this is new; if not, it is noted that it is wanted.
    fn begin(&self, relay: &str, name: &Name) -> bool {
        self.0.running.lock().insert((relay.to_owned(), name.clone()), Instant::now()).is_none()
    }

    fn fetch(&self, relay: &str, name: Name) {
        let Some(config) = self.0.relays.get(relay).cloned() else { return };
        if !self.begin(relay, &name) {
            return;
        }
        let (this, relay) = (self.clone(), relay.to_owned());
        tokio::spawn(async move {
            let place = (relay, name);
            tokio::select! {
                () = this.fetch_again(&config, &place) => {}
                () = this.until_unwatched(&config, &place) => info!(relay = place.0, broadcast = %place.1, "nobody watches what is fetched"),
            }
            // Dropped with its publisher, it would wait for another one.
            if let Some(broadcast) = this.0.media.find(&place.1)
                && broadcast.publisher().client.starts_with(CLIENT)
            {
                this.0.media.stop(this.0.clock.now(), &broadcast, "nobody watches");
            }
            this.0.running.lock().remove(&place);
        });
    }

    /// Fetches until that makes no sense any more.
    async fn fetch_again(&self, config: &Relay, place: &(String, Name)) {
        let mut back_off = BackOff::new(config.retry_min, config.retry_max);
        let Some(from) = &config.from else { return };
        let url = from.of(&place.1);
        loop {
            let begun = Instant::now();
            let why = self.fetch_once(&url, &place.1).await;
            if self.0.media.find(&place.1).is_none() {
                // Who waits for it hears at once that it is not there.
                self.0.media.give_up(&place.1);
            }
            let wait = back_off.after(begun.elapsed());
            warn!(relay = place.0, broadcast = %place.1, why = mask(&why), ?wait, "fetching over HLS ended, and is tried again");
            sleep(wait).await;
        }
    }

    /// One child that fetches; why it ended.
    async fn fetch_once(&self, url: &str, name: &Name) -> String {
        let job = match args::pull_hls(url) {
            Ok(args) => Job { args, fed: false },
            Err(error) => return error.to_string(),
        };
        let mut child = match self.0.ffmpeg.start(job) {
            Ok(child) => child,
            Err(error) => return error.to_string(),
        };
        // Asked for, so it is there.
        let Some(stdout) = child.stdout.take() else { return "ffmpeg has no output".into() };
        let mut inlet = Inlet::new(stdout, self.0.media.config().frame_bytes_max);
        let mut publisher = None;
        let why = loop {
            let packet = match inlet.next().await {
                Ok(packet) => packet,
                Err(NoMore(why)) => break why.as_deref().unwrap_or("ffmpeg ended").to_owned(),
            };
            let now = self.0.clock.now();
            let publisher = match &mut publisher {
                Some(publisher) => publisher,
                None => {
                    let client = format!("{CLIENT} (ffmpeg {})", self.0.ffmpeg.version());
                    match self.0.media.publish(now, name, Party::by("relay").with_client(&client)) {
                        Ok(new) => publisher.insert(new),
                        Err(refused) => break refused.to_string(),
                    }
                }
            };
            if let Err(error) = publisher.push(now, packet) {
                break error.to_string();
            }
            if let Some(reason) = publisher.told_to_go() {
                break reason.to_string();
            }
        };
        format!("{why} ({})", end(child).await)
    }

    /// Returns when nobody has watched for a while; never for what is always fetched.
    async fn until_unwatched(&self, config: &Relay, place: &(String, Name)) {
        if config.when == When::Always {
            return std::future::pending().await;
        }
        let mut looks = interval(LOOK_EVERY);
        // Who waits for its first pictures is no viewer yet.
        let mut came = false;
        loop {
            looks.tick().await;
            let on_air = self.0.media.rungs(&place.1);
            let is_watched = on_air.iter().any(|broadcast| broadcast.viewer_count() > 0);
            came |= is_watched;
            let linger =
                if came { config.linger } else { config.linger.max(self.0.media.config().wanted_for) };
            let mut running = self.0.running.lock();
            let Some(wanted) = running.get_mut(place) else { return };
            if is_watched {
                *wanted = Instant::now();
            } else if wanted.elapsed() > linger {
                return;
            }
        }
    }

    /// Begins to put a broadcast where relays say.
    fn send(&self, broadcast: &Broadcast) {
        for (relay, config) in &self.0.relays {
            let Some(to) = config.to.as_ref().filter(|_| config.is_for(broadcast.name())) else { continue };
            if !self.begin(relay, broadcast.name()) {
                continue;
            }
            let (this, broadcast, url) = (self.clone(), broadcast.clone(), to.of(broadcast.name()));
            let (place, config) = ((relay.clone(), broadcast.name().clone()), config.clone());
            tokio::spawn(async move {
                this.send_again(&config, &place.0, broadcast, &url).await;
                this.0.running.lock().remove(&place);
                // Another one may have begun by this name meanwhile.
                if let Some(next) = this.0.media.find(&place.1) {
                    this.send(&next);
                }
            });
        }
    }

    /// Sends until the broadcast is over.
    async fn send_again(&self, config: &Relay, relay: &str, source: Broadcast, url: &str) {
        let mut back_off = BackOff::new(config.retry_min, config.retry_max);
        let mut pump = Pump::new(&source);
        while pump.begin().await.is_some() {
            let begun = Instant::now();
            match self.send_once(&mut pump, url).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(why) => {
                    let wait = back_off.after(begun.elapsed());
                    warn!(relay, broadcast = %source.name(), why = mask(&why), ?wait, "sending over HLS ended, and is tried again");
                    sleep(wait).await;
                    // What came meanwhile is of no use any more.
                    pump = Pump::new(&source);
                }
            }
        }
    }

    /// One child that sends. Whether the broadcast is over, or goes on with another setup.
    async fn send_once(&self, pump: &mut Pump, url: &str) -> Result<bool, String> {
        let Some(setup) = pump.begin().await else { return Ok(true) };
        let mut wrap = Wrap::of(&setup);
        let args =
            args::push_hls(wrap.container(), url, SEGMENT_SECONDS).map_err(|error| error.to_string())?;
        let mut child = self.0.ffmpeg.start(Job { args, fed: true }).map_err(|error| error.to_string())?;
        // Asked for, so it is there.
        let mut stdin = child.stdin.take().ok_or("ffmpeg has no input")?;
        let feed = async {
            let mut piece = wrap.head(&setup);
            loop {
                stdin.write_all(&piece).await.ok()?;
                match pump.take(&setup).await {
                    Taken::Frames(frames) => piece = wrap.put(&frames),
                    Taken::Changed => return Some(false),
                    Taken::Ended => return Some(true),
                }
            }
        };
        let over = tokio::select! {
            over = feed => over,
            exit = child.ended() => return Err(exit.to_string()),
        };
        drop(stdin);
        let exit = child.finish(FINISH_WITHIN).await;
        over.ok_or_else(|| exit.to_string())
    }
}

/// What a relay's publisher says it is.
const CLIENT: &str = "HLS relay";

fn over_http(address: Option<&yizhan_media::config::relay::Address>) -> bool {
    address.is_some_and(|address| matches!(address.scheme(), "http" | "https"))
}

/// How a child ended that made nothing more.
async fn end(mut child: Child) -> String {
    match timeout(Duration::from_millis(500), child.ended()).await {
        Ok(exit) => exit.to_string(),
        Err(_) => child.kill().await.to_string(),
    }
}
