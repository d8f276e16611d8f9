//! The hub: what all doors and services stand on.
//!
//! One way down (a call becomes a record), one way up (a record becomes deliveries). The publisher never
//! learns who listens; what was kept reaches listeners only through its journal's tail.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tracing::{Instrument as _, Span, debug_span};
use yizhan_talk::{Called, Clock, Close, Counter, Gauge, Histogram, Now, Timestamp};

use crate::{
    access::{Access, Peer},
    attend::Attendance,
    delayed::{Delayed, publish_delayed},
    directory::Directory,
    group::{Groups, deal_out},
    link::{Answer, Call, Delivery, Refused, SubscriptionId},
    live::{Handle, Link},
    message::{Batch, Record, SessionId},
    outbox::{OutboxLimits, Reading},
    publish::{Dedups, State},
    saving::save_sessions,
    service::{Gate, Services},
    session::Sessions,
    space::{Dedup, Keep, Lag, Space, SpaceFinder},
    store::{Journal, Page, PageSize, Store, StoreError, Table, Tail},
    topic::Filter,
};

/// Safe records that wait to be given to listeners; what is over this is read from the journals instead.
const TAIL_RECORDS_MAX: usize = 65_536;

/// What a hub is made of.
pub struct Options {
    /// The spaces, in the config's order.
    pub spaces: Vec<Space>,
    /// What one client may cost.
    pub limits: Limits,
    /// Where kept spaces and sessions are kept.
    pub store: Arc<dyn Store>,
    /// Who may come in and do what.
    pub access: Arc<dyn Access>,
    /// Who tells the time.
    pub clock: Arc<dyn Clock>,
    /// 128 unpredictable bits a call: session numbers and secrets.
    pub random: Arc<dyn Fn() -> u128 + Send + Sync>,
}

/// What one client may cost. What is over is refused, skipped or closed, as each says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body; more is refused.
    pub body_bytes_max: usize,
    /// Subscriptions of a session; more are refused.
    pub subscriptions_max: usize,
    /// Records that wait for one session; over it the space's lag policy decides.
    pub outbox_records_max: usize,
    /// Bytes of records that wait for one session; over it the space's lag policy decides.
    pub outbox_bytes_max: usize,
    /// How long a session may outlive its connection; more is cut.
    pub keep_max: Duration,
    /// Keyed records that spaces which keep nothing hold as state, in all; more are refused.
    pub state_records_max: usize,
    /// Sessions, sleeping ones included; more are refused.
    pub sessions_max: usize,
    /// Messages that wait to be published later; more are refused.
    pub delayed_max: usize,
    /// How long a message may wait to be published; what is to wait longer is refused.
    pub delay_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            subscriptions_max: 10_000,
            outbox_records_max: 8192,
            outbox_bytes_max: 8 << 20,
            keep_max: Duration::from_secs(30 * 86_400),
            state_records_max: 1_000_000,
            sessions_max: 1_000_000,
            delayed_max: 1_000_000,
            // As long as EMQX takes: 2^32 ms.
            delay_max: Duration::from_secs(4_294_967),
        }
    }
}

/// What the hub counts.
#[derive(Debug, Default)]
pub struct Meters {
    /// Messages taken.
    pub messages_in: Counter,
    /// Bytes of their bodies.
    pub bytes_in: Counter,
    /// Records delivered.
    pub messages_out: Counter,
    /// Bytes of their bodies.
    pub bytes_out: Counter,
    /// Records that a listener did not get, by its space's lag policy.
    pub skipped: Counter,
    /// Repeated messages that were recognised.
    pub duplicates: Counter,
    /// Calls refused.
    pub refused: Counter,
    /// Sessions opened.
    pub sessions_opened: Counter,
    /// Sessions that went on over a new connection.
    pub sessions_resumed: Counter,
    /// Live connections.
    pub links: Gauge,
    /// From "the server took it" to "it lies in every outbox", for kept spaces after the commit.
    pub fan_out: Histogram,
    /// From "the server took it" to "a connection writes it", for records delivered live.
    pub delivery: Histogram,
}

/// A space, and where it is kept.
pub(crate) struct SpaceSlot {
    pub(crate) space: Space,
    pub(crate) journal: Option<Arc<dyn Journal>>,
}

/// The hub. Cloning it gives another handle to the same one.
#[derive(Clone)]
pub struct Hub {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) spaces: Vec<SpaceSlot>,
    pub(crate) finder: SpaceFinder,
    pub(crate) limits: Limits,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) services: Services,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Fn() -> u128 + Send + Sync>,
    /// When this process opened the hub.
    pub(crate) opened: Timestamp,
    pub(crate) saved: Arc<dyn Table>,
    pub(crate) directory: Directory,
    pub(crate) sessions: Sessions,
    pub(crate) groups: Groups,
    pub(crate) attendance: Attendance,
    pub(crate) delayed: Delayed,
    pub(crate) state: Mutex<State>,
    pub(crate) dedups: Dedups,
    pub(crate) meters: Arc<Meters>,
    pub(crate) stopping: AtomicBool,
    tail: Mutex<TailQueue>,
    pub(crate) work: AtomicWaker,
    /// Wakes the part of the work that saves sessions.
    pub(crate) saver: AtomicWaker,
    /// Filters that one subscription has for itself.
    pub(crate) exclusive: Mutex<FxHashMap<Filter, (SessionId, SubscriptionId)>>,
}

#[derive(Default)]
struct TailQueue {
    records: VecDeque<Arc<Record>>,
    /// Spaces (by index) whose records did not fit, with the newest offset.
    lost: Vec<(u16, u64)>,
}

struct SpaceTail {
    space: u16,
    hub: Weak<Inner>,
}

impl Tail for SpaceTail {
    fn appended(&self, records: &[Arc<Record>]) {
        let Some(hub) = self.hub.upgrade() else { return };
        let mut tail = hub.tail.lock();
        for record in records {
            if tail.records.len() < TAIL_RECORDS_MAX {
                tail.records.push_back(record.clone());
            } else if let Some(position) = record.position {
                tail.lost.retain(|(space, _)| *space != self.space);
                tail.lost.push((self.space, position.offset));
            }
        }
        drop(tail);
        hub.work.wake();
    }
}

/// The hub's own work: giving kept records to listeners, saving sessions. The caller runs it until the hub
/// stops.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Hub {
    /// Opens the hub over its store. Nothing happens in it until the returned work is run.
    ///
    /// Two spaces of the server's own are added where the config has none for them: `$SYS/#` and
    /// `$presence/#`, which keep nothing but their state.
    ///
    /// # Errors
    /// The store could not open a journal or table.
    pub async fn open(options: Options) -> Result<(Self, Work), StoreError> {
        let Options { mut spaces, limits, store, access, clock, random } = options;
        for (name, topics) in [("$SYS", "$SYS/#"), ("$presence", "$presence/#")] {
            // Both are valid filters: constants.
            let Ok(topics) = Filter::new(topics) else { continue };
            if !spaces.iter().any(|s| s.topics.overlaps(&topics)) {
                let (keep, lag, dedup) = (Keep::Nothing, Lag::Latest, Dedup::default());
                spaces.push(Space { name: name.to_owned(), topics, keep, lag, dedup, lanes: 1 });
            }
        }
        let finder = SpaceFinder::new(&spaces);
        let mut slots = Vec::new();
        for space in spaces {
            let journal = match space.keep {
                Keep::Nothing => None,
                Keep::Memory(_) | Keep::Disk(_) => Some(store.journal(&space).await?),
            };
            slots.push(SpaceSlot { space, journal });
        }
        let services = Services::default();
        let access = Arc::new(Gate { access, services: services.clone() });
        let Now { steady: started, wall: opened } = clock.now();
        let inner = Arc::new(Inner {
            dedups: Dedups::new(slots.iter().map(|s| s.space.dedup)),
            spaces: slots,
            finder,
            limits,
            access,
            services,
            opened,
            clock,
            random,
            saved: store.table("sessions")?,
            directory: Directory::new(),
            sessions: Sessions::default(),
            groups: Groups::new(store.table("groups")?),
            attendance: Attendance::new(started),
            delayed: Delayed::open(&*store, opened).await?,
            state: Mutex::default(),
            meters: Arc::default(),
            stopping: AtomicBool::new(false),
            tail: Mutex::default(),
            work: AtomicWaker::new(),
            saver: AtomicWaker::new(),
            exclusive: Mutex::default(),
        });
        for (i, slot) in inner.spaces.iter().enumerate() {
            if let Some(journal) = &slot.journal {
                let space = u16::try_from(i).unwrap_or(u16::MAX);
                journal.set_tail(Arc::new(SpaceTail { space, hub: Arc::downgrade(&inner) }));
            }
        }
        inner.load_groups().await?;
        let (dealing, later) = (deal_out(Arc::downgrade(&inner)), publish_delayed(Arc::downgrade(&inner)));
        let (giving, saving) = (give_out(Arc::downgrade(&inner)), save_sessions(Arc::downgrade(&inner)));
        let work = Box::pin(async move {
            futures_util::future::join4(giving, saving, dealing, later).await;
        });
        Ok((Self { inner }, work))
    }

    /// A new link for a client that just came in by a door.
    #[must_use]
    pub fn link(&self, peer: Peer) -> Link {
        Link::new(self.inner.clone(), peer)
    }

    /// A way to act on a session without being its live end.
    ///
    /// # Errors
    /// [`Refused::NoSession`] where it is not here or the secret is wrong.
    pub fn attach(&self, session: SessionId, secret: &str) -> Result<Handle, Refused> {
        let session = self.inner.session_with_secret(session, secret)?;
        Ok(Handle::new(self.inner.clone(), session))
    }

    /// What is counted.
    #[must_use]
    pub fn meters(&self) -> &Arc<Meters> {
        &self.inner.meters
    }

    /// This moment, by the hub's clock.
    #[must_use]
    pub fn now(&self) -> Now {
        self.inner.clock.now()
    }

    /// No new sessions and no publishes from now on: the server drains.
    pub fn stop(&self) {
        self.inner.stopping.store(true, Relaxed);
    }

    /// Ends what has expired; the server calls this about once a second.
    pub fn maintain(&self) {
        self.tick();
        let now = self.inner.clock.now();
        self.inner.end_expired(now);
        self.inner.dedups.prune(now);
        self.inner.prune_state(now);
        self.inner.retry_groups();
    }

    /// Forgets saved sessions that nobody came back to in time; worth doing at the start and now and then.
    ///
    /// # Errors
    /// The store failed.
    pub async fn purge(&self) -> Result<(), StoreError> {
        self.inner.purge_saved().await
    }

    /// Saves all sessions that outlive the server. The last thing before the store is closed.
    ///
    /// # Errors
    /// The store failed; what is saved stays saved.
    pub async fn save(&self) -> Result<(), StoreError> {
        self.inner.save_groups().await?;
        for session in self.inner.sessions.all() {
            self.inner.save_session(&session).await?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("spaces", &self.inner.spaces.len()).finish_non_exhaustive()
    }
}

impl Inner {
    /// Starts a call of an open session. Publishes to spaces that keep nothing are gathered in `batch`
    /// while they go to the same topic; `flush` gives them out.
    pub(crate) fn call(
        self: &Arc<Self>,
        now: Now,
        session: &Arc<crate::session::Session>,
        call: Call,
        batch: &mut Vec<Arc<Record>>,
    ) -> Called<Answer> {
        if !matches!(call, Call::Publish(_)) {
            self.flush(batch);
        }
        let span = span_of(&call);
        let called = span.in_scope(|| self.start(now, session, call, batch));
        if matches!(called, Called::Done(Answer::Refused(_))) {
            self.meters.refused.one();
        }
        match called {
            // Only where somebody wants traces: it costs a box.
            Called::Later(answer) if !span.is_disabled() => Called::Later(Box::pin(answer.instrument(span))),
            called => called,
        }
    }

    fn start(
        self: &Arc<Self>,
        now: Now,
        session: &Arc<crate::session::Session>,
        call: Call,
        batch: &mut Vec<Arc<Record>>,
    ) -> Called<Answer> {
        match call {
            Call::Publish(publish) => self.publish(now, session, publish, batch),
            Call::Subscribe(subscribe) => self.subscribe(session, *subscribe),
            Call::Unsubscribe(id) => self.unsubscribe(session, id).map_or_else(refuse, Called::Done),
            Call::Ack(id, acked) => self.ack(session, id, acked).map_or_else(refuse, Called::Done),
            Call::History(topic, range, page) => self.history(session, topic, range, page),
            Call::State(filter, most) => self.read_state(session, filter, most),
            Call::PresenceOfTopic(topic) => {
                self.presence_of_topic(session, &topic).map_or_else(refuse, Called::Done)
            }
            Call::PresenceOfUser(user) => {
                self.presence_of_user(session, &user).map_or_else(refuse, Called::Done)
            }
            Call::Ask(ask) => self.ask(now, session, ask),
            Call::Save => self.save_now(session),
            Call::Hello(_) | Call::Prove(_) => Called::Done(Answer::Refused(Refused::HelloTwice)),
            // A link that is not the session's own cannot rest it.
            Call::Rest { .. } | Call::Goodbye => {
                self.end_session(session, None);
                Called::Done(Answer::Done)
            }
        }
    }

    /// Gives out what a batch gathered.
    pub(crate) fn flush(&self, batch: &mut Vec<Arc<Record>>) {
        if !batch.is_empty() {
            let space = self.finder.find(&batch[0].message.topic);
            self.fan_out(space, batch);
            batch.clear();
        }
    }

    /// Puts records of one topic into the outboxes of all who listen to it.
    pub(crate) fn fan_out(&self, space: Option<usize>, records: &[Arc<Record>]) {
        let Some(space) = space.and_then(|i| self.spaces.get(i)) else { return };
        let (lag, limits) = (space.space.lag, self.outbox_limits());
        let mut skipped = 0;
        for batch in Batch::cut(records) {
            self.directory.each(&records[0].message.topic, |session, slot| {
                skipped += session.push(&*self.access, slot, &batch, lag, limits).skipped;
            });
        }
        if skipped > 0 {
            self.meters.skipped.add(skipped);
        }
        let now = self.clock.now().wall;
        if let Some(first) = records.first() {
            self.meters.fan_out.record_many(now.since(first.at), records.len() as u64);
        }
    }

    /// Counts what a link was given.
    pub(crate) fn delivered(&self, now: Now, deliveries: &[Delivery]) {
        let (mut records, mut bytes, mut first) = (0, 0, None);
        for delivery in deliveries {
            match delivery {
                Delivery::Record { record, .. } => {
                    records += 1;
                    bytes += record.message.body.len() as u64;
                    first = first.or(Some(record.at));
                }
                Delivery::Batch { batch, .. } => {
                    records += batch.records().len() as u64;
                    bytes += batch.body_bytes();
                    first = first.or_else(|| batch.records().first().map(|r| r.at));
                }
                _ => {}
            }
        }
        self.meters.messages_out.add(records);
        self.meters.bytes_out.add(bytes);
        // What is read from a journal is as old as it is; only live records say something about us.
        if let Some(took) = first.map(|at| now.wall.since(at)).filter(|took| *took < Duration::from_secs(60))
        {
            self.meters.delivery.record_many(took, records);
        }
    }

    pub(crate) fn outbox_limits(&self) -> OutboxLimits {
        OutboxLimits { records_max: self.limits.outbox_records_max, bytes_max: self.limits.outbox_bytes_max }
    }

    pub(crate) fn journal_of(&self, space: u16) -> Option<&Arc<dyn Journal>> {
        self.spaces.get(space as usize).and_then(|s| s.journal.as_ref())
    }

    pub(crate) async fn journal_read(&self, reading: &Reading, page: PageSize) -> Result<Page, StoreError> {
        let Some(journal) = self.journal_of(reading.space) else { return Err(StoreError::Closed) };
        journal.read(reading.after, &reading.filter, page).await
    }

    pub(crate) async fn journal_state(
        &self,
        space: u16,
        filter: &Filter,
    ) -> Result<Vec<Arc<Record>>, StoreError> {
        let Some(journal) = self.journal_of(space) else { return Err(StoreError::Closed) };
        journal.state(filter, crate::publish::STATE_PAGE_MAX).await
    }

    /// Ends a link and its session, from outside.
    pub(crate) fn close_link(session: &crate::session::Session, close: Close) {
        let waker = {
            let mut state = session.lock();
            state.outbox.leave.get_or_insert_with(|| Box::new(close));
            state.outbox.take_waker()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What a call is in a trace: from its start to its answer, the commit included.
fn span_of(call: &Call) -> Span {
    match call {
        Call::Publish(publish) => {
            debug_span!("publish", topic = publish.topic.as_str(), bytes = publish.body.len())
        }
        Call::Subscribe(subscribe) => debug_span!("subscribe", filter = subscribe.filter.as_str()),
        Call::History(topic, ..) => debug_span!("history", topic = topic.as_str()),
        Call::Ask(ask) => debug_span!("ask", name = &*ask.name),
        Call::State(filter, _) => debug_span!("state", filter = filter.as_str()),
        _ => Span::none(),
    }
}

pub(crate) fn refuse(refused: Refused) -> Called<Answer> {
    Called::Done(Answer::Refused(refused))
}

/// Gives kept records to listeners in the order of the tail.
async fn give_out(hub: Weak<Inner>) {
    loop {
        // Waits until there is something, holding the hub only while looking.
        let Some(something) = poll_fn(|cx| {
            let Some(hub) = hub.upgrade() else { return Poll::Ready(None) };
            hub.work.register(cx.waker());
            let mut tail = hub.tail.lock();
            let records = std::mem::take(&mut tail.records);
            let lost = std::mem::take(&mut tail.lost);
            drop(tail);
            if records.is_empty() && lost.is_empty() {
                return Poll::Pending;
            }
            Poll::Ready(Some((hub, records, lost)))
        })
        .await
        else {
            return;
        };
        let (hub, mut records, lost) = something;
        let records = records.make_contiguous();
        for of_topic in records.chunk_by(|a, b| a.message.topic == b.message.topic) {
            if let Some(service) = hub.services.owner(&of_topic[0].message.topic) {
                service.heard(of_topic);
            }
            hub.fan_out(hub.finder.find(&of_topic[0].message.topic), of_topic);
        }
        for (space, through) in lost {
            if let Some(journal) = hub.journal_of(space) {
                for service in hub.services.all() {
                    service.missed(journal.id());
                }
            }
            tracing::warn!(space, "the tail ran ahead of fan-out: listeners go on from the journal");
            for session in hub.sessions.all() {
                session.lock().outbox.tail_lost(space, through);
                session.wake();
            }
            for group in hub.groups.all() {
                group.tail_lost(space, through);
            }
        }
    }
}
