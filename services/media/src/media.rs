//! All broadcasts of a server.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use futures_channel::oneshot;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tracing::info;
use yizhan_ring::{Limits, Reader, Ring};
use yizhan_talk::{Called, Now, Timestamp};

use crate::{
    broadcast::{Birth, Broadcast},
    config::Config,
    events::{EVENTS_MAX, Event, What},
    frame::Packet,
    name::Name,
    porter::{Gone, Pass, Porter, Wish},
    refused::{PushError, Refused},
    totals::Totals,
    viewer::{Party, Told, Viewer},
};

/// Those who wait for one broadcast, at most; more are told at once that it is not on air.
const WAITING_MAX: usize = 10_000;
/// A broadcast is not asked for again before.
const WANTED_AGAIN: Duration = Duration::from_secs(1);

/// All broadcasts. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Media(Arc<Inner>);

struct Inner {
    config: ArcSwap<Config>,
    broadcasts: Mutex<BTreeMap<Name, Broadcast>>,
    wanted: Mutex<FxHashMap<Name, Wanted>>,
    events: Ring<Event>,
    ids: AtomicU64,
    porter: OnceLock<Arc<dyn Porter>>,
    fetchers: Mutex<Vec<Fetcher>>,
    totals: Arc<Totals>,
}

/// Says whether it will fetch this broadcast, once that is wanted.
pub type Fetcher = Arc<dyn Fn(&Name) -> bool + Send + Sync>;

struct Wanted {
    told: Instant,
    /// Each with the time until it waits.
    waiting: Vec<(Instant, oneshot::Sender<Broadcast>)>,
}

impl Media {
    /// No broadcast yet. `first_id`: numbers begin behind it; what the clock says at the start, so that they are not
    /// those of the run before.
    #[must_use]
    pub fn new(config: Config, first_id: u64) -> Self {
        Self(Arc::new(Inner {
            config: ArcSwap::from_pointee(config),
            broadcasts: Mutex::default(),
            wanted: Mutex::default(),
            events: Ring::new(Limits { items_max: EVENTS_MAX, weight_max: usize::MAX }, 0),
            ids: AtomicU64::new(first_id),
            porter: OnceLock::new(),
            fetchers: Mutex::default(),
            totals: Arc::default(),
        }))
    }

    /// What all broadcasts together have done.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.0.totals
    }

    /// The config that is in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.0.config.load_full()
    }

    /// Another config for what begins from now on.
    pub fn set_config(&self, config: Config) {
        self.0.config.store(Arc::new(config));
    }

    /// Who decides who comes in. Set once, before doors open; without one nobody does.
    pub fn set_porter(&self, porter: Arc<dyn Porter>) {
        // The first one stands.
        drop(self.0.porter.set(porter));
    }

    /// Whether somebody may publish or watch; the app and the name are looked at first.
    #[must_use]
    pub fn may(&self, wish: Wish) -> Called<Result<Pass, Refused>> {
        if !self.config().apps.iter().any(|app| **app == *wish.name.app) {
            return Called::Done(Err(Refused::NotAnApp(wish.name.app)));
        }
        match self.0.porter.get() {
            Some(porter) => porter.may(wish),
            None => Called::Done(Err(Refused::Denied("the server is not ready".into()))),
        }
    }

    /// Tells who decides that somebody has gone.
    pub fn gone(&self, gone: Gone) {
        if let Some(porter) = self.0.porter.get() {
            porter.gone(gone);
        }
    }

    /// A number that nobody had.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.0.ids.fetch_add(1, Relaxed)
    }

    /// Takes a name. Who may was asked before.
    ///
    /// # Errors
    /// Somebody publishes it, or there are too many.
    pub fn publish(&self, now: Now, name: &Name, party: Party) -> Result<Publisher, Refused> {
        let config = self.config();
        let lease = self.next_id();
        let mut broadcasts = self.0.broadcasts.lock();
        if let Some(broadcast) = broadcasts.get(name) {
            if broadcast.is_on_air() && !config.take_over {
                return Err(Refused::Taken);
            }
            let broadcast = broadcast.clone();
            broadcast.succeed(party, lease);
            drop(broadcasts);
            info!(broadcast = %name, epoch = broadcast.setup().epoch, "a broadcast goes on");
            self.0.totals.back.one();
            self.tell(now.wall, What::Back(broadcast.clone()));
            return Ok(self.publisher(now, broadcast, lease));
        }
        if !party.is_own() {
            check_room(&broadcasts, &config, party.address)?;
        }
        let totals = self.0.totals.clone();
        let birth = Birth { id: self.next_id(), name: name.clone(), now, config, totals };
        let broadcast = Broadcast::new(birth, party, lease);
        broadcasts.insert(name.clone(), broadcast.clone());
        drop(broadcasts);
        info!(broadcast = %name, "a broadcast begins");
        self.0.totals.begun.one();
        self.tell(now.wall, What::OnAir(broadcast.clone()));
        if let Some(wanted) = self.0.wanted.lock().remove(name) {
            for (_, waiting) in wanted.waiting {
                // One that has gone meanwhile needs no answer.
                drop(waiting.send(broadcast.clone()));
            }
        }
        Ok(self.publisher(now, broadcast, lease))
    }

    fn publisher(&self, now: Now, broadcast: Broadcast, lease: u64) -> Publisher {
        let told = broadcast.told();
        Publisher { media: self.clone(), broadcast, lease, told, last: now, has_sent: false }
    }

    /// A broadcast that is on air or in its time of grace.
    #[must_use]
    pub fn find(&self, name: &Name) -> Option<Broadcast> {
        self.0.broadcasts.lock().get(name).cloned()
    }

    /// All of them, by name; rungs behind their source.
    #[must_use]
    pub fn list(&self) -> Vec<Broadcast> {
        self.0.broadcasts.lock().values().cloned().collect()
    }

    /// What is on air of one source: itself and its rungs.
    #[must_use]
    pub fn rungs(&self, source: &Name) -> Vec<Broadcast> {
        let all = self.0.broadcasts.lock();
        all.range(source.clone()..)
            .take_while(|(name, _)| name.app == source.app && name.name.starts_with(&*source.name))
            .filter(|(name, _)| name.source() == *source)
            .map(|(_, broadcast)| broadcast.clone())
            .collect()
    }

    /// Adds somebody who fetches broadcasts that are wanted and not on air.
    pub fn add_fetcher(&self, fetcher: Fetcher) {
        self.0.fetchers.lock().push(fetcher);
    }

    /// As [`find`](Self::find), and waits where a fetcher says that it will bring it. `None` when it did not come in
    /// time.
    pub fn wanted(&self, now: Now, name: &Name) -> impl Future<Output = Option<Broadcast>> + Send + use<> {
        let found = self.find(name);
        let waits = if found.is_none() { self.wait_for(now, name) } else { None };
        async move {
            match (found, waits) {
                (Some(found), _) => Some(found),
                (None, Some(waits)) => waits.await.ok(),
                (None, None) => None,
            }
        }
    }

    fn wait_for(&self, now: Now, name: &Name) -> Option<oneshot::Receiver<Broadcast>> {
        let fetchers = self.0.fetchers.lock().clone();
        if !fetchers.iter().any(|fetches| fetches(name)) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let mut wanted = self.0.wanted.lock();
        let is_new = !wanted.contains_key(name);
        let place =
            wanted.entry(name.clone()).or_insert_with(|| Wanted { told: now.steady, waiting: Vec::new() });
        if place.waiting.len() >= WAITING_MAX {
            return None;
        }
        place.waiting.push((now.steady + self.config().wanted_for, sender));
        let tell = is_new || now.steady.saturating_duration_since(place.told) >= WANTED_AGAIN;
        if tell {
            place.told = now.steady;
        }
        drop(wanted);
        // It may have come between the look and the note.
        if let Some(found) = self.find(name) {
            let (sender, receiver) = oneshot::channel();
            drop(sender.send(found));
            return Some(receiver);
        }
        if tell {
            self.tell(now.wall, What::Wanted(name.clone()));
        }
        Some(receiver)
    }

    /// It cannot be fetched now: who waits for it is told that it is not on air.
    pub fn give_up(&self, name: &Name) {
        // Those who waited hear it when their senders are dropped.
        drop(self.0.wanted.lock().remove(name));
    }

    /// What happens from now on. A reader that has missed something looks at [`list`](Self::list) again.
    #[must_use]
    pub fn events(&self) -> Reader<Event> {
        self.0.events.reader()
    }

    fn tell(&self, at: Timestamp, what: What) {
        self.0.events.push(Event { at, what }, 1);
    }

    /// What follows from time alone: the server calls it every 50 ms or so.
    pub fn maintain(&self, now: Now) {
        for broadcast in self.list() {
            if broadcast.maintain(now) {
                self.end(now, &broadcast);
            }
        }
        self.0.wanted.lock().retain(|_, wanted| {
            wanted.waiting.retain(|(until, waiting)| now.steady < *until && !waiting.is_canceled());
            !wanted.waiting.is_empty()
        });
    }

    /// Ends a broadcast at once, and tells its publisher why.
    pub fn stop(&self, now: Now, broadcast: &Broadcast, reason: &str) {
        broadcast.kick(reason);
        self.end(now, broadcast);
    }

    fn end(&self, now: Now, broadcast: &Broadcast) {
        let mut broadcasts = self.0.broadcasts.lock();
        if !broadcast.end() {
            return;
        }
        if broadcasts.get(broadcast.name()).is_some_and(|other| other.id() == broadcast.id()) {
            broadcasts.remove(broadcast.name());
        }
        drop(broadcasts);
        info!(broadcast = %broadcast.name(), "a broadcast has ended");
        self.tell(now.wall, What::Ended(broadcast.clone()));
    }

    /// Ends all of them: the server stops.
    pub fn stop_all(&self, now: Now) {
        for broadcast in self.list() {
            self.stop(now, &broadcast, "the server stops");
        }
    }

    /// Counts a viewer in.
    ///
    /// # Errors
    /// It has as many as it may have.
    pub fn viewer(&self, now: Now, broadcast: &Broadcast, party: Party) -> Result<Viewer, Refused> {
        broadcast.viewer(self.next_id(), now, party)
    }
}

fn check_room(
    broadcasts: &BTreeMap<Name, Broadcast>,
    config: &Config,
    address: Option<IpAddr>,
) -> Result<(), Refused> {
    let (mut all, mut here) = (0, 0);
    for broadcast in broadcasts.values() {
        let party = broadcast.publisher();
        all += usize::from(!party.is_own());
        here += usize::from(address.is_some() && party.address == address && !party.is_own());
    }
    if all >= config.broadcasts_max {
        return Err(Refused::TooMany("as many broadcasts as may be are on air: come again later".into()));
    }
    if here >= config.address_publishers_max {
        return Err(Refused::TooMany("as many broadcasts as may be come from this address".into()));
    }
    Ok(())
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media").field("broadcasts", &self.0.broadcasts.lock().len()).finish_non_exhaustive()
    }
}

/// Who publishes a broadcast. Dropping it is being cut off: the broadcast waits for its time of grace.
pub struct Publisher {
    media: Media,
    broadcast: Broadcast,
    lease: u64,
    told: Arc<Told>,
    /// When it was heard of last.
    last: Now,
    has_sent: bool,
}

impl Publisher {
    /// Of what.
    #[must_use]
    pub fn broadcast(&self) -> &Broadcast {
        &self.broadcast
    }

    /// Hands over a packet; never waits for a viewer.
    ///
    /// # Errors
    /// The frame is too large, or the broadcast is another's now. The publisher is to be ended.
    pub fn push(&mut self, now: Now, packet: Packet) -> Result<(), PushError> {
        self.last = now;
        self.has_sent = true;
        let changed = self.broadcast.push(now, self.lease, packet)?;
        if changed {
            self.media.tell(now.wall, What::Changed(self.broadcast.clone()));
        }
        Ok(())
    }

    /// Why it is to go, where it is.
    #[must_use]
    pub fn told_to_go(&self) -> Option<Arc<str>> {
        self.told.reason()
    }

    /// Ready when it is to go. One task at a time may wait.
    pub fn poll_told_to_go(&self, cx: &mut Context<'_>) -> Poll<Arc<str>> {
        self.told.poll(cx)
    }

    /// Something that it was told beside that. Looked for after [`poll_told_to_go`](Self::poll_told_to_go), which wakes
    /// for it, too.
    #[must_use]
    pub fn take_note(&self) -> Option<Arc<str>> {
        self.told.take_note()
    }

    /// It ends by its own wish: no time of grace.
    pub fn end(self, now: Now) {
        if self.broadcast.lose(now, self.lease) {
            self.media.end(now, &self.broadcast);
        }
    }

    /// It was cut off at this time: the broadcast waits for it, but not where it was told to go.
    pub fn cut_off(mut self, now: Now) {
        self.last = now;
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let now = self.last;
        if !self.broadcast.lose(now, self.lease) {
            return;
        }
        // One that was told to go, or has never sent anything, is not waited for.
        if self.told.reason().is_some() || !self.has_sent {
            self.media.end(now, &self.broadcast);
        } else {
            info!(broadcast = %self.broadcast.name(), "the publisher was cut off: the broadcast waits for it");
            self.media.0.totals.lost.one();
            self.media.tell(now.wall, What::Lost(self.broadcast.clone()));
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("broadcast", &self.broadcast).finish_non_exhaustive()
    }
}
