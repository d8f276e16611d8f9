//! The service `live`: it owns the topics `live/APP/NAME` and all below of the hub. What it says of broadcasts there is the server's alone;
//! people speak and give in `live/APP/NAME/chat` and `…/gifts`, and ask for the rest (`live/list`).
//!
//! Read in this order: [`seams`], `places` (topics), [`denied`], [`op`], `rooms` (what is remembered beside the picture),
//! [`Live`] here, then what is asked: `asks`, `leading`, `entering`; `crate::chat` is what is published,
//! `crate::announce` what the service says.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use yizhan_hub::{
    Action, Answer, Filter, Hub, Principal, Record, SessionId, Store, StoreError, Topic, Verdict,
    link::Publish,
    message::SpaceId,
    service::{Ask, Caller, Service},
};
use yizhan_talk::{Called, Now, Timestamp};

pub(crate) mod asks;
pub mod denied;
mod entering;
mod leading;
pub mod op;
pub(crate) mod places;
pub(crate) mod rooms;
pub mod seams;

pub use self::{
    denied::Wrong,
    op::{Audience, Operation},
    seams::{Recorder, Seams},
};
use self::{
    op::Op,
    places::{Part, place},
    rooms::Rooms,
};
use crate::{Name, announce::Announced, chat::config::Chat, media::Media};

/// The service's own work; the caller runs it until the server stops.
pub type Work = BoxFuture<'static, ()>;

/// Live streaming, as the hub sees it. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Live {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Live")
    }
}

pub(crate) struct Inner {
    pub(crate) hub: Hub,
    pub(crate) media: Media,
    pub(crate) config: ArcSwap<Chat>,
    pub(crate) seams: Seams,
    pub(crate) rooms: Rooms,
    pub(crate) announced: Announced,
    /// Accounts that showed a token for a broadcast, until when.
    pub(crate) entered: Mutex<FxHashMap<(Arc<str>, Name), Timestamp>>,
    topics: Filter,
    ops: HashMap<&'static str, Op>,
}

impl Live {
    /// Opens the service over a hub, the broadcasts, and the store of its table.
    ///
    /// # Errors
    /// The store failed.
    pub async fn open(
        hub: Hub,
        media: Media,
        store: &dyn Store,
        config: Chat,
        seams: Seams,
    ) -> Result<(Self, Work), StoreError> {
        // A constant.
        let topics = Filter::new(places::TOPICS).map_err(|bad| StoreError::Failed(bad.to_string()))?;
        let events = media.events();
        let live = Self {
            inner: Arc::new(Inner {
                hub,
                media,
                config: ArcSwap::from_pointee(config),
                seams,
                rooms: Rooms::open(store.table("live")?).await?,
                announced: Announced::default(),
                entered: Mutex::default(),
                topics,
                ops: operations().into_iter().map(|op| (op.name, op)).collect(),
            }),
        };
        live.announce_all();
        let weak = Arc::downgrade(&live.inner);
        let upgrade = move || Weak::upgrade(&weak).map(|inner| Self { inner });
        let work = Box::pin(crate::announce::run(events, upgrade));
        Ok((live, work))
    }

    /// What may be asked, for documents.
    #[must_use]
    pub fn operations() -> Vec<Operation> {
        operations().iter().map(Op::shown).collect()
    }

    /// Other settings, from now on.
    pub fn set_config(&self, config: Chat) {
        self.inner.config.store(Arc::new(config));
    }

    /// Called about once a second: says how many watch, and forgets what is over.
    pub fn maintain(&self, now: Now) {
        self.announce_all();
        self.inner.rooms.maintain(now.steady, self.inner.config.load().slow);
        self.inner.entered.lock().retain(|_, until| *until > now.wall);
    }

    async fn run(self, caller: Caller, name: Arc<str>, body: Bytes) -> Result<Bytes, Wrong> {
        let name = name.strip_prefix("live/").unwrap_or_default();
        let Some(op) = self.inner.ops.get(name) else { return Err(Wrong::NoOperation(name.to_owned())) };
        if op.audience == Audience::Admins && !self.inner.seams.gate.administers(&caller.who) {
            return Err(Wrong::NotAllowed("only the server's owners and admins may do this".into()));
        }
        (op.run)(self.clone(), caller, body).await
    }

    /// Whether somebody may watch a broadcast: then they may hear what is said beside it, too.
    pub(crate) fn may_watch(&self, who: &Principal, name: &Name) -> bool {
        let inner = &self.inner;
        if inner.seams.gate.may_watch(who, name) || self.is_publisher(who, name) {
            return true;
        }
        let until = inner.entered.lock().get(&(who.user.clone(), name.clone())).copied();
        until.is_some_and(|until| until > inner.hub.now().wall)
    }

    /// Whether somebody publishes this broadcast with an account of theirs.
    pub(crate) fn is_publisher(&self, who: &Principal, name: &Name) -> bool {
        let publisher = self.inner.media.find(name).and_then(|broadcast| broadcast.publisher().user);
        publisher.is_some_and(|user| user == who.user) && !is_stranger(&who.user)
    }

    /// Whether somebody publishes this broadcast, or runs the server.
    pub(crate) fn leads(&self, who: &Principal, name: &Name) -> bool {
        self.inner.seams.gate.administers(who) || self.is_publisher(who, name)
    }

    /// How long one person waits between two texts where a broadcast says nothing else.
    pub(crate) fn slow(&self) -> Duration {
        self.inner.config.load().slow
    }
}

/// Whether this is nobody's account: all of its kind share the name, or anybody may take it.
pub(crate) fn is_stranger(user: &str) -> bool {
    user == "anonymous" || user.starts_with("guest:")
}

fn operations() -> Vec<Op> {
    [asks::operations(), leading::operations(), entering::operations()].into_iter().flatten().collect()
}

impl Service for Live {
    fn name(&self) -> &'static str {
        "live"
    }

    fn topics(&self) -> &Filter {
        &self.inner.topics
    }

    fn publish(&self, caller: Caller, publish: Publish) -> Called<Answer> {
        match place(publish.topic.as_str()) {
            Some((name, Part::Chat)) => self.say(&caller, &name, publish),
            Some((name, Part::Gifts)) => self.give(&caller, &name, publish),
            _ => Called::Done(Wrong::NotAllowed("only the server says something here".into()).into()),
        }
    }

    fn ask(&self, caller: Caller, ask: Ask) -> Called<Answer> {
        let running = self.clone().run(caller, ask.name, ask.body);
        Called::Later(Box::pin(async move {
            match running.await {
                Ok(told) => Answer::Told(told),
                Err(wrong) => wrong.into(),
            }
        }))
    }

    fn may(&self, who: &Principal, action: Action, topic: &Topic) -> bool {
        let Some((name, part)) = place(topic.as_str()) else { return false };
        match action {
            Action::Publish => false,
            Action::Subscribe => self.may_watch(who, &name),
            // Who listens is nobody's business; how many is said in the state.
            Action::Presence => part != Part::State && self.leads(who, &name),
        }
    }

    fn may_filter(&self, who: &Principal, action: Action, filter: &Filter) -> Verdict {
        let Some(topic) = filter.as_topic() else { return Verdict::Checked };
        if !self.may(who, action, &topic) {
            return Verdict::Denied;
        }
        // Where everybody may, nobody has to be asked about for each record.
        let open = place(topic.as_str()).is_some_and(|(name, _)| self.inner.seams.gate.is_open(&name));
        if open && action == Action::Subscribe { Verdict::Allowed } else { Verdict::Checked }
    }

    fn heard(&self, _records: &[Arc<Record>]) {}

    fn missed(&self, _space: SpaceId) {}

    fn left(&self, _now: Now, _session: SessionId, _who: &Principal) {}
}
