//! Relays to and from other RTMP servers: this server as their client.
//!
//! What is fetched is published here as if it had come by itself, and needs no key; with `when = "wanted"` it is
//! fetched as long as somebody watches it or a rung of it. What is sent goes as long as it is on air. A connection that
//! is lost is tried again with a growing pause; viewers stay over the broadcast's time of grace.
//!
//! Read in this order: `wish` (what one broadcast's connections are to do), `place` (the backend), `caller` (the talk).

mod caller;
mod place;
mod wish;

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt as _, future::poll_fn, stream::FuturesUnordered};
use parking_lot::Mutex;
use tracing::{debug, info, warn};
use yizhan_media::{
    Event, Media, Name, What,
    config::relay::{Address, Relay, When},
};
use yizhan_net::{Backoff, Dialer, Ended, Site, SiteError, Target, TargetTls, drive};
use yizhan_ring::Reader;
use yizhan_talk::{Clock, Close};

use crate::address::Url;
use caller::Caller;
use place::Place;
use wish::{Status, Wish};
pub use wish::{View, Way};

/// The name for metrics and logs.
const DOOR: &str = "relay";
/// How long connecting to another server may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Broadcasts of one relay at one time; more are not relayed, and that is logged.
const JOBS_MAX: usize = 1_000;
/// Events that are taken at once.
const EVENTS_AT_ONCE: usize = 64;

/// All relays of the config that speak RTMP. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Relays {
    media: Media,
    all: Arc<[Arc<One>]>,
}

/// One relay.
struct One {
    name: String,
    relay: Relay,
    address: Address,
    way: Way,
    jobs: Mutex<BTreeMap<Name, Arc<Wish>>>,
}

type Job = Pin<Box<dyn Future<Output = Name> + Send>>;

/// What a relay's work needs.
#[derive(Clone)]
struct Work {
    media: Media,
    one: Arc<One>,
    dialer: Dialer,
    clock: Arc<dyn Clock>,
}

impl Relays {
    /// The relays of the sections `relay`; those with addresses of other protocols are left to others.
    ///
    /// # Errors
    /// A setting makes no sense, or a file of its TLS cannot be used.
    pub fn new(media: Media, relays: &BTreeMap<String, Relay>) -> Result<Self, SiteError> {
        let wrong = |reason: String| SiteError::Door { door: DOOR, reason };
        let mut all = Vec::new();
        for (name, relay) in relays {
            relay.check(name).map_err(wrong)?;
            let (address, way) = match (&relay.from, &relay.to) {
                (Some(from), _) => (from.clone(), Way::From),
                (None, Some(to)) => (to.clone(), Way::To),
                // The check has refused it.
                (None, None) => continue,
            };
            if !address.is_rtmp() {
                continue;
            }
            let one = One { name: name.clone(), relay: relay.clone(), address, way, jobs: Mutex::default() };
            one.check().map_err(|reason| wrong(format!("relay.{name}: {reason}")))?;
            all.push(Arc::new(one));
        }
        Ok(Self { media, all: all.into() })
    }

    /// Starts them: each works until the site has drained.
    pub fn open(&self, site: &mut Site) {
        for one in &*self.all {
            let work = Work {
                media: self.media.clone(),
                one: one.clone(),
                dialer: site.dialer(),
                clock: site.clock(),
            };
            if one.way == Way::From {
                let one = one.clone();
                self.media.add_fetcher(Arc::new(move |name| one.relay.is_for(name)));
            }
            let events = self.media.events();
            site.task(DOOR, work.run(events));
        }
    }

    /// How each relayed broadcast is doing.
    #[must_use]
    pub fn views(&self) -> Vec<View> {
        let each = self.all.iter().flat_map(|one| {
            let jobs = one.jobs.lock();
            jobs.values().map(|wish| wish.view(&one.name)).collect::<Vec<_>>()
        });
        each.collect()
    }
}

impl std::fmt::Debug for Relays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all.iter().map(|one| &one.name)).finish()
    }
}

impl One {
    /// Says what is wrong with its address or its files.
    fn check(&self) -> Result<(), String> {
        let any = Name::new("live", "name").map_err(|error| error.to_string())?;
        let url = Url::new(&self.address.of(&any)).map_err(|error| error.to_string())?;
        self.target(&url).check().map_err(|error| error.to_string())
    }

    fn target(&self, url: &Url) -> Target {
        let tls = url.secure.then(|| TargetTls { ca: self.relay.ca.clone(), ..TargetTls::default() });
        Target { address: url.authority.clone(), tls, within: CONNECT_WITHIN }
    }

    fn backoff(&self) -> Backoff {
        Backoff { min: self.relay.retry_min, max: self.relay.retry_max }
    }

    /// How long fetching goes on when nobody watches; for ever where there is none.
    fn linger(&self) -> Option<Duration> {
        (self.relay.when == When::Wanted).then_some(self.relay.linger)
    }
}

impl Work {
    /// Begins what there is to begin, and then what events bring.
    async fn run(self, mut events: Reader<Event>) {
        let mut jobs: FuturesUnordered<Job> = FuturesUnordered::new();
        let mut batch = Vec::new();
        self.begin_all(&mut jobs);
        loop {
            let took = poll_fn(|cx| {
                self.poll_jobs(&mut jobs, cx);
                events.poll_take(cx, EVENTS_AT_ONCE, &mut batch)
            });
            let Ok(took) = took.await else { return };
            if took.missed > 0 {
                self.begin_all(&mut jobs);
            }
            for event in batch.drain(..) {
                match (event.what, self.one.way) {
                    (What::OnAir(broadcast) | What::Back(broadcast), Way::To) => {
                        self.begin(broadcast.name(), &mut jobs);
                    }
                    (What::Wanted(name), Way::From) => self.begin(&name, &mut jobs),
                    _ => {}
                }
            }
        }
    }

    fn poll_jobs(&self, jobs: &mut FuturesUnordered<Job>, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(ended)) = jobs.poll_next_unpin(cx) {
            self.one.jobs.lock().remove(&ended);
        }
    }

    /// What is to be relayed without an event.
    fn begin_all(&self, jobs: &mut FuturesUnordered<Job>) {
        match (self.one.way, self.one.relay.when) {
            (Way::To, _) => {
                for broadcast in self.media.list() {
                    self.begin(broadcast.name(), jobs);
                }
            }
            (Way::From, When::Always) => {
                for name in self.one.relay.all() {
                    self.begin(&name, jobs);
                }
            }
            (Way::From, When::Wanted) => {}
        }
    }

    fn begin(&self, name: &Name, jobs: &mut FuturesUnordered<Job>) {
        let mut known = self.one.jobs.lock();
        if !self.one.relay.is_for(name) || known.contains_key(name) {
            return;
        }
        let relay = &self.one.name;
        if known.len() >= JOBS_MAX {
            warn!(relay, broadcast = %name, "a relay has as many broadcasts as it may have: this one is left out");
            return;
        }
        let url = match Url::new(&self.one.address.of(name)) {
            Ok(url) => url,
            Err(error) => return warn!(relay, broadcast = %name, %error, "a broadcast cannot be relayed"),
        };
        let wish = Arc::new(Wish {
            way: self.one.way,
            name: name.clone(),
            url,
            frame_bytes_max: self.media.config().frame_bytes_max,
            status: Status::default(),
        });
        known.insert(name.clone(), wish.clone());
        drop(known);
        let work = self.clone();
        jobs.push(Box::pin(async move {
            work.carry(&wish).await;
            wish.name.clone()
        }));
    }

    /// Relays one broadcast until that is over.
    async fn carry(&self, wish: &Arc<Wish>) {
        let (relay, broadcast) = (&self.one.name, &wish.name);
        let give_up = self.clock.now().steady + self.media.config().wanted_for;
        loop {
            let ended = self.attempt(wish).await;
            let went = wish.status.down();
            let view = wish.view(relay);
            let reason = view.last_error.unwrap_or_default();
            if matches!(&ended, Some(Ended::Closed(close)) if *close == Close::GOING_AWAY)
                || ended == Some(Ended::Cut)
            {
                return;
            }
            match (went.worked, wish.status.failures()) {
                (true, _) => info!(relay, %broadcast, reason, "a relayed broadcast has ended or was lost"),
                // Told once, not at every attempt.
                (false, 1) => warn!(relay, %broadcast, reason, "a broadcast cannot be relayed"),
                (false, _) => debug!(relay, %broadcast, reason, "a broadcast cannot be relayed"),
            }
            let goes_on = match (wish.way, self.one.relay.when) {
                (Way::From, When::Always) => true,
                (Way::From, When::Wanted) => {
                    let waits = !went.worked && self.clock.now().steady < give_up;
                    !went.over && (waits || self.media.find(broadcast).is_some())
                }
                (Way::To, _) => self.media.find(broadcast).is_some(),
            };
            if !goes_on {
                if wish.way == Way::From {
                    // Who waits for it need not wait longer.
                    self.media.give_up(broadcast);
                }
                return;
            }
            self.one.backoff().pause(wish.status.failures().saturating_sub(1)).await;
        }
    }

    /// One connection, from its first byte to its last.
    async fn attempt(&self, wish: &Arc<Wish>) -> Option<Ended> {
        wish.status.begin();
        match self.dialer.dial(DOOR, &self.one.target(&wish.url)).await {
            Ok(outgoing) => {
                let line = outgoing.line().clone();
                let caller = Caller::new(self.clock.now(), wish.clone());
                let place = Place::new(self.media.clone(), self.one.linger());
                Some(drive(outgoing, caller, place, line).await)
            }
            Err(error) => {
                wish.status.fail(error);
                None
            }
        }
    }
}
