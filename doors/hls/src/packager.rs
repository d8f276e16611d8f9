//! The task that turns broadcasts into segments: one for all of them.

use std::{future::poll_fn, sync::Arc, task::Poll};

use futures_util::{StreamExt as _, stream::FuturesUnordered, task::AtomicWaker};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use yizhan_media::{Broadcast, Event, Media, Name, What, broadcast::From};
use yizhan_talk::{Clock, Now};

use crate::{
    config::Config,
    names::Tag,
    stage::{Numbers, Stage},
};

/// Frames that are taken at once.
const FRAMES_AT_ONCE: usize = 64;
/// Events that are taken at once.
const EVENTS_AT_ONCE: usize = 64;
/// Names whose numbers are remembered after their segments are gone; beyond it all are forgotten, and numbers go by the
/// clock.
const LEFT_MAX: usize = 10_000;

/// All broadcasts that are made into segments.
pub(crate) struct Stages {
    pub(crate) media: Media,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    by_name: RwLock<FxHashMap<Name, Arc<Stage>>>,
    left: Mutex<FxHashMap<Name, Numbers>>,
    /// Those that the task has not seen yet.
    fresh: Mutex<Vec<Arc<Stage>>>,
    waker: AtomicWaker,
}

impl Stages {
    pub(crate) fn new(media: Media, clock: Arc<dyn Clock>, config: Arc<Config>) -> Self {
        Self {
            media,
            clock,
            config,
            by_name: RwLock::default(),
            left: Mutex::default(),
            fresh: Mutex::default(),
            waker: AtomicWaker::new(),
        }
    }

    /// What there is under this name, whether it is on air or over.
    pub(crate) fn find(&self, name: &Name) -> Option<Arc<Stage>> {
        self.by_name.read().get(name).cloned()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.by_name.read().len()
    }

    /// A broadcast's stage, begun where there is none. A rung's source has one as well, since the rung goes by it.
    pub(crate) fn of(&self, now: Now, broadcast: &Broadcast, tag: &dyn Fn(&Broadcast) -> Tag) -> Arc<Stage> {
        let name = broadcast.name();
        if let Some(stage) = self.find(name).filter(|stage| stage.broadcast.id() == broadcast.id()) {
            stage.touch(now);
            return stage;
        }
        let source = name.rung_name().and_then(|_| self.media.find(&name.source()));
        let source = source.map(|source| self.of(now, &source, tag));
        let mut by_name = self.by_name.write();
        let before = by_name.get(name).cloned();
        if let Some(stage) = before.as_ref().filter(|stage| stage.broadcast.id() == broadcast.id()) {
            return stage.clone();
        }
        let left = self.left.lock().get(name).copied().unwrap_or_default();
        let least = before.as_ref().map_or(left, |before| before.next_numbers());
        let config = self.config.clone();
        let stage = Arc::new(Stage::new(broadcast.clone(), tag(broadcast), config, source, least, now));
        by_name.insert(name.clone(), stage.clone());
        drop(by_name);
        if let Some(before) = before {
            before.stop();
        }
        self.fresh.lock().push(stage.clone());
        self.waker.wake();
        stage
    }

    /// Takes frames of all broadcasts until it is dropped.
    pub(crate) async fn run(self: Arc<Self>, tag: Arc<dyn Fn(&Broadcast) -> Tag + Send + Sync>) {
        let mut events = self.media.events();
        let mut news = Vec::new();
        let mut running = FuturesUnordered::new();
        if self.config.always {
            self.begin_all(&*tag);
        }
        poll_fn(|cx| {
            loop {
                self.waker.register(cx.waker());
                let fresh = std::mem::take(&mut *self.fresh.lock());
                running.extend(fresh.into_iter().map(|stage| package(stage, self.clock.clone())));
                let told = events.poll_take(cx, EVENTS_AT_ONCE, &mut news);
                if let Poll::Ready(Ok(took)) = told {
                    self.hear(&mut news, took.missed > 0, &*tag);
                    continue;
                }
                match running.poll_next_unpin(cx) {
                    Poll::Ready(Some(())) => {}
                    Poll::Ready(None) | Poll::Pending => return Poll::<()>::Pending,
                }
            }
        })
        .await;
    }

    fn hear(&self, news: &mut Vec<Event>, missed: bool, tag: &dyn Fn(&Broadcast) -> Tag) {
        if missed && self.config.always {
            self.begin_all(tag);
        }
        for event in news.drain(..) {
            match event.what {
                What::OnAir(broadcast) if self.config.always => {
                    self.of(self.clock.now(), &broadcast, tag);
                }
                What::Lost(broadcast) => {
                    if let Some(stage) = self.find(broadcast.name()) {
                        stage.pause();
                    }
                }
                _ => {}
            }
        }
    }

    fn begin_all(&self, tag: &dyn Fn(&Broadcast) -> Tag) {
        for broadcast in self.media.list() {
            self.of(self.clock.now(), &broadcast, tag);
        }
    }

    /// What follows from time alone.
    pub(crate) fn sweep(&self, now: Now) {
        let all: Vec<_> = self.by_name.read().values().cloned().collect();
        for stage in all {
            stage.expire(now.steady);
            if stage.is_stale(now) {
                self.remove(&stage);
            }
        }
    }

    fn remove(&self, stage: &Arc<Stage>) {
        stage.stop();
        let name = stage.broadcast.name();
        let mut by_name = self.by_name.write();
        if by_name.get(name).is_some_and(|other| Arc::ptr_eq(other, stage)) {
            by_name.remove(name);
            let mut left = self.left.lock();
            if left.len() >= LEFT_MAX {
                left.clear();
            }
            left.insert(name.clone(), stage.next_numbers());
        }
    }
}

/// Takes one broadcast's frames to its end.
async fn package(stage: Arc<Stage>, clock: Arc<dyn Clock>) {
    let mut reader = stage.broadcast.frames(From::Oldest);
    let mut frames = Vec::with_capacity(FRAMES_AT_ONCE);
    loop {
        let took = poll_fn(|cx| {
            if stage.is_stopped(cx) {
                return Poll::Ready(None);
            }
            reader.poll_take(cx, FRAMES_AT_ONCE, &mut frames).map(Some)
        })
        .await;
        match took {
            None => return,
            Some(Ok(took)) => stage.push(&frames, took.missed > 0),
            Some(Err(_closed)) => {
                stage.finish(clock.now().wall);
                return;
            }
        }
        frames.clear();
    }
}
