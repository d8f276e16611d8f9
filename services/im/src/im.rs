//! The service: what it is made of, and how questions and publishes reach the part that answers them.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use yizhan_hub::{
    Action, Answer, Batch, Content as Body, Filter, Hub, Principal, Record, SessionId, Store, StoreError,
    Topic, Verdict,
    link::Publish,
    message::SpaceId,
    service::{Ask, Caller, Service},
};
use yizhan_talk::{Called, Now};

use crate::{
    chores::Chores,
    config::Config,
    conversation::{Conversation, member_key},
    denied::Wrong,
    groups::Groups,
    heard::Hearing,
    indexing::{Indexing, index_all},
    ledger::{Ledger, write_all},
    moderation::Moderation,
    names::Place,
    online::Online,
    op::{Audience, Op, Operation},
    operations,
    person::People,
    presence::Watching,
    pushing::{PUSH, Pushing, push_all},
    seams::Seams,
    send::Lines,
    typing::Typists,
};

/// Parts of the map of conversations, each with a lock of its own.
const SHARDS: usize = 64;

/// Instant messaging. Cloning it gives another handle to the same.
#[derive(Clone)]
pub struct Im {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Im {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Im")
    }
}

pub(crate) struct Inner {
    pub(crate) hub: Hub,
    pub(crate) config: RwLock<Arc<Config>>,
    pub(crate) seams: Seams,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) conversations: Conversations,
    pub(crate) people: People,
    /// Handles that somebody is about to take.
    pub(crate) handles: Mutex<HashSet<String>>,
    pub(crate) online: Online,
    pub(crate) watching: Watching,
    pub(crate) pushing: Pushing,
    pub(crate) moderation: Moderation,
    pub(crate) hearing: Hearing,
    pub(crate) lines: Lines,
    pub(crate) groups: Groups,
    /// Conversations with overlays in memory.
    pub(crate) held: Mutex<Vec<Arc<Conversation>>>,
    /// What goes on after who asked for it may have gone.
    pub(crate) chores: Chores,
    pub(crate) typists: Typists,
    pub(crate) indexing: Indexing,
    pub(crate) rebuild: Mutex<crate::search::Rebuild>,
    /// Whether messages that are due are being burnt.
    pub(crate) burning: AtomicBool,
    topics: Filter,
    ops: HashMap<&'static str, Op>,
}

/// The service's own work; the caller runs it until the server stops.
pub type Work = BoxFuture<'static, ()>;

impl Im {
    /// Opens the service over a hub and the store of its tables. What was said before a crash and had no effect yet
    /// has it when this returns.
    ///
    /// # Errors
    /// The store failed.
    pub async fn open(
        hub: Hub,
        store: &dyn Store,
        config: Config,
        seams: Seams,
    ) -> Result<(Self, Work), StoreError> {
        let ledger = Arc::new(Ledger::new(store.table("im")?));
        let ops = operations::all().into_iter().map(|op| (op.name, op)).collect();
        // A constant.
        let topics = Filter::new("im/#").map_err(|bad| StoreError::Failed(bad.to_string()))?;
        let (chores, doing) = Chores::new(hub.now());
        let im = Self {
            inner: Arc::new(Inner {
                hub,
                config: RwLock::new(Arc::new(config)),
                seams,
                ledger: ledger.clone(),
                conversations: Conversations::default(),
                people: People::default(),
                handles: Mutex::default(),
                online: Online::default(),
                watching: Watching::default(),
                pushing: Pushing::default(),
                moderation: Moderation::default(),
                hearing: Hearing::default(),
                lines: Lines::default(),
                groups: Groups::default(),
                held: Mutex::default(),
                chores,
                typists: Typists::default(),
                indexing: Indexing::default(),
                rebuild: Mutex::default(),
                burning: AtomicBool::new(false),
                topics,
                ops,
            }),
        };
        im.load_public().await?;
        im.load_moderation().await?;
        im.replay().await?;
        im.announce_untold().await?;
        let told = Arc::downgrade(&im.inner);
        let writing = write_all(Arc::downgrade(&ledger), move |conversations| {
            if let Some(inner) = told.upgrade() {
                Self { inner }.announce_cursors(conversations);
            }
        });
        let hearing = hear_late(Arc::downgrade(&im.inner));
        let indexing = index_all(Arc::downgrade(&im.inner));
        im.inner.indexing.wake();
        let pushing = push_all(Arc::downgrade(&im.inner), im.pushed().await?);
        let work = Box::pin(async move {
            futures_util::future::join5(writing, hearing, doing, pushing, indexing).await;
        });
        Ok((im, work))
    }

    /// What may be asked, for documents.
    #[must_use]
    pub fn operations() -> Vec<Operation> {
        operations::all().iter().map(Op::shown).collect()
    }

    /// This moment.
    pub(crate) fn now(&self) -> Now {
        self.inner.hub.now()
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        self.inner.config.read().clone()
    }

    /// Other settings, from now on.
    pub fn set_config(&self, config: Config) {
        *self.inner.config.write() = Arc::new(config);
    }

    /// Called about once a second.
    pub fn maintain(&self) {
        self.inner.ledger.maintain();
        self.burn_due();
        self.inner.indexing.wake();
        self.forget_overlays();
        self.forget_idle();
        self.inner.people.forget(self.inner.ledger.done());
    }

    /// Writes what is not written yet. The last thing before the store is closed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn save(&self) -> Result<(), StoreError> {
        self.inner.ledger.commit([]).await
    }

    /// Runs an operation.
    pub(crate) async fn run(self, caller: Caller, name: Arc<str>, body: Bytes) -> Result<Bytes, Wrong> {
        let name = name.strip_prefix("im/").unwrap_or_default();
        let Some(op) = self.inner.ops.get(name) else { return Err(Wrong::NoOperation(name.to_owned())) };
        if op.audience == Audience::Admins && !(self.inner.seams.administers)(&caller.who) {
            return Err(Wrong::NotAllowed("only the server's owners and admins may do this"));
        }
        (op.run)(self.clone(), caller, body).await
    }

    /// Tells users something that is not kept: a record of `topic` in their streams.
    pub(crate) fn tell<'a>(
        &self,
        users: impl Iterator<Item = &'a Arc<str>>,
        topic: &Topic,
        event: &impl serde::Serialize,
    ) {
        let mut streams = Vec::new();
        self.inner.online.streams(users, &mut streams);
        if streams.is_empty() {
            return;
        }
        let batch = self.batch_of(topic, event);
        for stream in streams {
            self.inner.hub.deliver(&stream, &batch);
        }
    }

    /// One record of the server's own, for streams.
    fn batch_of(&self, topic: &Topic, event: &impl serde::Serialize) -> Arc<Batch> {
        let publish = Publish {
            content: Body::Json,
            // Events are plain structs with text keys: nothing of them cannot be written as JSON.
            ..Publish::new(topic.clone(), serde_json::to_vec(event).unwrap_or_default().into())
        };
        let record = Arc::new(Record::unkept(self.now(), crate::seams::server(), publish));
        // Of one record there is always one batch.
        Batch::one(record)
    }
}

impl Service for Im {
    fn name(&self) -> &'static str {
        "im"
    }

    fn topics(&self) -> &Filter {
        &self.inner.topics
    }

    fn publish(&self, caller: Caller, publish: Publish) -> Called<Answer> {
        self.publish_content(caller, publish)
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
        match Place::of(topic.as_str()) {
            Some(Place::Messages(id) | Place::Events(id) | Place::Live(id)) => {
                action != Action::Publish && self.is_member(id, &who.user)
            }
            Some(Place::Room(id) | Place::RoomLive(id)) => {
                action != Action::Publish && self.may_hear_room(id, &who.user)
            }
            Some(Place::Stream(user)) => action == Action::Subscribe && user == *who.user,
            None => {
                topic.as_str() == PUSH && action == Action::Subscribe && (self.inner.seams.administers)(who)
            }
        }
    }

    fn may_filter(&self, who: &Principal, action: Action, filter: &Filter) -> Verdict {
        match filter.as_topic() {
            Some(topic) if self.may(who, action, &topic) => match Place::of(topic.as_str()) {
                // Nobody else ever becomes this user.
                Some(Place::Stream(_)) => Verdict::Allowed,
                // A hundred thousand may listen: who may is asked when they come, not for each message.
                Some(Place::Room(_) | Place::RoomLive(_)) => Verdict::Allowed,
                // One may be removed: each record is asked about.
                _ => Verdict::Checked,
            },
            Some(_) => Verdict::Denied,
            None => Verdict::Checked,
        }
    }

    fn heard(&self, records: &[Arc<Record>]) {
        self.hear(records);
    }

    fn missed(&self, _space: SpaceId) {
        self.inner.hearing.fall_behind();
    }

    fn left(&self, _now: Now, session: SessionId, who: &Principal) {
        self.inner.typists.left(session);
        self.detach(&who.user, session);
    }
}

impl Im {
    /// Whether somebody is a member. On the hot path: a conversation that is not in memory is looked up at once.
    fn is_member(&self, id: &str, user: &str) -> bool {
        if let Some(conversation) = self.inner.conversations.find(id) {
            return conversation.lock().member(user).is_ok();
        }
        let row = self.inner.ledger.table().peek(&member_key(user, id));
        match row {
            Ok(row) => row.is_some(),
            Err(error) => {
                tracing::warn!(%error, "a membership could not be looked up: access is denied");
                false
            }
        }
    }
}

/// Some of the conversations, by id.
type Shard = Mutex<FxHashMap<Arc<str>, Arc<Conversation>>>;

/// Conversations in memory.
pub(crate) struct Conversations {
    shards: Box<[Shard]>,
}

impl Default for Conversations {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Conversations {
    fn shard(&self, id: &str) -> &Shard {
        use std::hash::BuildHasher as _;
        // The map uses the low bits of the same hash; the shard takes others.
        &self.shards[(rustc_hash::FxBuildHasher.hash_one(id) >> 40) as usize % SHARDS]
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Conversation>> {
        self.shard(id).lock().get(id).cloned()
    }

    /// Puts one there, unless one is; gives the one that is there now.
    pub(crate) fn insert(&self, conversation: Arc<Conversation>) -> Arc<Conversation> {
        self.shard(&conversation.id).lock().entry(conversation.id.clone()).or_insert(conversation).clone()
    }

    /// How many memberships are in memory.
    pub(crate) fn members(&self) -> usize {
        let of = |shard: &Shard| shard.lock().values().map(|c| c.lock().members.len() + 1).sum::<usize>();
        self.shards.iter().map(of).sum()
    }

    /// Forgets those that nobody holds or has used since, and whose rows are all written.
    pub(crate) fn forget(&self, unused_since: u64, written: u64) {
        for shard in &self.shards {
            shard.lock().retain(|_, c| {
                Arc::strong_count(c) > 1
                    || c.used_at.load(Relaxed) > unused_since
                    || c.written.load(Relaxed) > written
            });
        }
    }
}

/// Applies records that could not be applied at once, as long as somebody holds the service.
async fn hear_late(im: Weak<Inner>) {
    loop {
        let next = std::future::poll_fn(|cx| {
            let Some(inner) = im.upgrade() else { return std::task::Poll::Ready(None) };
            if inner.hearing.poll_late(cx) {
                std::task::Poll::Ready(Some(inner))
            } else {
                std::task::Poll::Pending
            }
        });
        let Some(inner) = next.await else { return };
        if let Err(error) = (Im { inner }).replay().await {
            tracing::error!(%error, "chats could not be read on: it is tried again");
        }
    }
}
