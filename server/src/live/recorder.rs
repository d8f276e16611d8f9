//! Recordings: who is recorded, from when on, and where the files are.

mod file;
mod writing;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::{
    sync::{Notify, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{info, warn};
use yizhan_media::{
    Broadcast, Media, Name,
    broadcast::From,
    config::record::Record,
    events::{Event, What},
    service,
};
use yizhan_reel::{Keep, Reels, TakeView};
use yizhan_ring::Reader;
use yizhan_talk::{Clock, Counter, Timestamp};

use self::writing::Writing;

/// How often files that are not to be kept any more are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How long the last pieces may take when the server ends.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// Hears of files that are done.
pub(crate) type OnFile = Arc<dyn Fn(&Name, TakeView) + Send + Sync>;

/// Who writes broadcasts to files. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Inner>);

struct Inner {
    media: Media,
    clock: Arc<dyn Clock>,
    reels: Reels,
    on_file: OnFile,
    /// At most one for each broadcast on air, and one that is just ending.
    running: Mutex<FxHashMap<Name, Running>>,
    ended: Notify,
    /// Recordings that ended before their time.
    failed: Counter,
}

struct Running {
    of: u64,
    /// Another one for each recording.
    number: u64,
    stop: watch::Sender<bool>,
}

impl Recorder {
    /// Nothing is recorded yet.
    pub(crate) fn new(media: &Media, clock: &Arc<dyn Clock>, reels: Reels, on_file: OnFile) -> Self {
        Self(Arc::new(Inner {
            media: media.clone(),
            clock: clock.clone(),
            reels,
            on_file,
            running: Mutex::default(),
            ended: Notify::new(),
            failed: Counter::default(),
        }))
    }

    /// How many recordings have ended before their time: the disk was full, mostly.
    pub(crate) fn failed(&self) -> u64 {
        self.0.failed.value()
    }

    /// The files.
    pub(crate) fn reels(&self) -> &Reels {
        &self.0.reels
    }

    /// Records what the config says, and takes away files that are not to be kept, as long as the future is run; what
    /// begins is heard of from this call on.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send {
        let events = self.0.media.events();
        self.listen(events)
    }

    async fn listen(self, mut events: Reader<Event>) {
        let mut sweeps = interval(SWEEP_EVERY);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.look();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Ok((event, missed)) => {
                        if let What::OnAir(broadcast) = &event.what {
                            self.look_at(broadcast);
                        }
                        if missed > 0 {
                            self.look();
                        }
                    }
                    // The server ends.
                    Err(_) => return,
                },
                _ = sweeps.tick() => self.sweep(),
            }
        }
    }

    /// Ends all recordings and waits until they are safe; for the end of the server.
    pub(crate) async fn finish(&self) {
        for running in self.0.running.lock().values() {
            running.stop.send_replace(true);
        }
        let all = async {
            loop {
                let ended = self.0.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if self.0.running.lock().is_empty() {
                    return;
                }
                ended.await;
            }
        };
        if timeout(FINISH_WITHIN, all).await.is_err() {
            warn!("recordings were not safe in time: they are mended at the next start");
        }
    }

    fn config(&self) -> Record {
        self.0.media.config().record.clone()
    }

    fn look(&self) {
        for broadcast in self.0.media.list() {
            self.look_at(&broadcast);
        }
    }

    fn look_at(&self, broadcast: &Broadcast) {
        if self.config().is_for(broadcast.name()) {
            self.start(broadcast, From::Oldest);
        }
    }

    fn start(&self, broadcast: &Broadcast, from: From) {
        let mut all = self.0.running.lock();
        let goes_on = |running: &Running| running.of == broadcast.id() && !*running.stop.borrow();
        if all.get(broadcast.name()).is_some_and(goes_on) {
            return;
        }
        let number = self.0.media.next_id();
        let stop = watch::channel(false).0;
        let writing = Writing {
            source: broadcast.clone(),
            frames: broadcast.frames(from),
            media: self.0.media.clone(),
            clock: self.0.clock.clone(),
            reels: self.0.reels.clone(),
            on_file: self.0.on_file.clone(),
            stop: stop.subscribe(),
        };
        // One that is there still is just ending.
        all.insert(broadcast.name().clone(), Running { of: broadcast.id(), number, stop });
        drop(all);
        info!(broadcast = %broadcast.name(), "a recording begins");
        let (inner, broadcast) = (Arc::downgrade(&self.0), broadcast.clone());
        tokio::spawn(async move {
            let ended = Ended { inner, broadcast, number };
            if let Err(why) = writing.run().await {
                if let Some(inner) = ended.inner.upgrade() {
                    inner.failed.one();
                }
                warn!(broadcast = %ended.broadcast.name(), why, "a recording failed: the broadcast goes on without it");
            }
        });
    }

    fn sweep(&self) {
        let config = self.config();
        let keep = Keep {
            age_max: (!config.keep_for.is_zero()).then_some(config.keep_for),
            bytes_max: (config.keep_bytes_max > 0).then_some(config.keep_bytes_max),
        };
        let (reels, now): (_, Timestamp) = (self.0.reels.clone(), self.0.clock.now().wall);
        tokio::task::spawn_blocking(move || {
            let swept = reels.sweep(now, keep);
            if swept.takes > 0 {
                info!(files = swept.takes, bytes = swept.bytes, "old recordings were taken away");
            }
        });
    }
}

/// Takes a recording off the list when its task ends, however it does.
struct Ended {
    inner: Weak<Inner>,
    broadcast: Broadcast,
    number: u64,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        let mut all = inner.running.lock();
        if all.get(self.broadcast.name()).is_some_and(|running| running.number == self.number) {
            all.remove(self.broadcast.name());
        }
        drop(all);
        info!(broadcast = %self.broadcast.name(), "a recording ends");
        inner.ended.notify_waiters();
    }
}

impl service::Recorder for Recorder {
    fn set(&self, broadcast: Broadcast, on: bool) -> BoxFuture<'static, Result<(), String>> {
        let this = self.clone();
        Box::pin(async move {
            if on {
                let reels = this.0.reels.clone();
                let room = tokio::task::spawn_blocking(move || reels.check_room()).await;
                room.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                this.start(&broadcast, From::Key);
            } else if let Some(running) = this.0.running.lock().get(broadcast.name()) {
                running.stop.send_replace(true);
            }
            Ok(())
        })
    }

    fn is_on(&self, name: &Name) -> bool {
        self.0.running.lock().get(name).is_some_and(|running| !*running.stop.borrow())
    }
}
