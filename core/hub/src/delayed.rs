//! Messages that are published later: kept in a table until their time, then published in their sender's
//! name.
//!
//! The table's keys begin with the moment, so what is due is what stands first. Memory holds how many wait
//! and when the first one is due, and no message. One is published before it is taken out of the table, and
//! has an id made of its key: a crash in between publishes it once.
//!
//! Time comes in as everywhere: who runs the hub sleeps for [`Hub::until_due`] (or until
//! [`Hub::due_sooner`]) and calls [`Hub::tick`].

use std::{
    fmt,
    future::poll_fn,
    str::FromStr,
    sync::{
        Arc, Weak,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::Poll,
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use futures_util::{future::join_all, task::AtomicWaker};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use yizhan_talk::{Called, Now, Timestamp};

use crate::{
    hub::{Hub, Inner, refuse},
    link::{Answer, Durability, Publish, Receipt, Refused},
    message::{BadPosition, Message, MessageId, Sender},
    publish::message_of,
    saved::{message, put_message},
    store::{Expect, PageSize, Range, Store, StoreError, Table},
    topic::Topic,
};

#[cfg(test)]
mod tests;

const FORMAT: u8 = 1;
/// Messages that are published and taken out in one step.
const STEP_MAX: usize = 256;
/// Bytes that a step should hold of them; the number in a step follows from what the step before had.
const STEP_BYTES: usize = 4 << 20;
/// Messages in the first step, when their size is not known.
const STEP_FIRST: usize = 8;
/// Rows that are read at once to count or to show them.
const ROWS_PAGE: usize = 64;
/// How long the next step waits where the store failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A page of a topic's past in which a message is looked for that a crash may have left in the table after it
/// was published.
const LOOK_PAGE: PageSize = PageSize { records_max: 1024, bytes_max: 1 << 20 };
/// Such pages at most; what lies further back is left to the space's window for repeated ids.
const LOOK_PAGES_MAX: usize = 16;

/// A delayed message's number: its moment and its place among those of the same millisecond. Its text form is
/// 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelayedId(u128);

impl DelayedId {
    fn new(due_ms: u64, seq: u64) -> Self {
        Self(u128::from(due_ms) << 64 | u128::from(seq))
    }

    fn of_key(key: &[u8]) -> Option<Self> {
        key.try_into().ok().map(|key| Self(u128::from_be_bytes(key)))
    }

    fn key(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    fn due_ms(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// The id under which it is published, where its sender gave it none: the same after a crash.
    fn message_id(self) -> MessageId {
        let mut hash = Sha256::new();
        hash.update("$delayed");
        hash.update(self.key());
        let mut half = [0; 16];
        half.copy_from_slice(&hash.finalize()[..16]);
        MessageId(u128::from_le_bytes(half))
    }
}

impl fmt::Display for DelayedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for DelayedId {
    type Err = BadPosition;
    fn from_str(text: &str) -> Result<Self, BadPosition> {
        if text.len() != 32 {
            return Err(BadPosition);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| BadPosition)
    }
}

/// A message that waits for its time, as operators see it.
#[derive(Debug, Clone)]
pub struct DelayedView {
    /// Its number.
    pub id: DelayedId,
    /// Where to.
    pub topic: Topic,
    /// In whose name.
    pub from: Sender,
    /// Bytes of its body.
    pub bytes: usize,
    /// When it was taken.
    pub taken: Timestamp,
    /// When it is published.
    pub due: Timestamp,
}

/// A row of the table.
struct Row {
    taken: Timestamp,
    /// Counted from when it is published.
    expires_in: Option<Duration>,
    message: Message,
}

impl Row {
    fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.message.weight());
        out.put_u8(FORMAT);
        out.put_u64(self.taken.0);
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX - 1);
        out.put_u64(self.expires_in.map_or(u64::MAX, micros));
        put_message(&mut out, &self.message);
        out.into()
    }

    /// `None` for anything that this version did not write.
    fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        if bytes.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let taken = Timestamp(bytes.try_get_u64().ok()?);
        let expires_in = Some(bytes.try_get_u64().ok()?).filter(|us| *us != u64::MAX);
        let row = Self { taken, expires_in: expires_in.map(Duration::from_micros), message: message(bytes)? };
        bytes.is_empty().then_some(row)
    }
}

/// Messages that wait for their time.
pub(crate) struct Delayed {
    table: Arc<dyn Table>,
    waiting: AtomicUsize,
    seq: AtomicU64,
    plan: Mutex<Plan>,
    /// Last messages that were said and are to wait: on their way into the table.
    promised: Mutex<Vec<(DelayedId, Row)>>,
    /// Wakes the part of the hub's work that publishes.
    publisher: AtomicWaker,
    /// Wakes who sleeps until something is due.
    sleeper: AtomicWaker,
    /// Held while messages are published, and while one is cancelled.
    turn: futures_util::lock::Mutex<()>,
}

/// What is next.
#[derive(Default)]
struct Plan {
    /// When the first one is due, in ms since 1970; never later than that, perhaps earlier.
    next: Option<u64>,
    /// Nothing stands up to here.
    after: Option<DelayedId>,
    /// The first one that was put since the step began.
    put: Option<DelayedId>,
    due: bool,
    sooner: bool,
    /// Messages that the process before may have published without taking them out.
    unsure: usize,
}

impl Plan {
    fn comes(&mut self, due_ms: u64) {
        if self.next.is_none_or(|next| due_ms < next) {
            self.next = Some(due_ms);
            self.sooner = true;
        }
    }
}

impl Delayed {
    /// What waits since before the start. Nothing is published yet.
    pub(crate) async fn open(store: &dyn Store, opened: Timestamp) -> Result<Self, StoreError> {
        let table = store.table("delayed")?;
        let (mut waiting, mut plan) = (0, Plan { unsure: STEP_MAX, ..Plan::default() });
        let mut after: Option<Bytes> = None;
        loop {
            let rows = table.scan(b"", after.as_deref(), ROWS_PAGE).await?;
            waiting += rows.len();
            if after.is_none() {
                plan.next = rows.first().map(|(key, _)| DelayedId::of_key(key).map_or(0, DelayedId::due_ms));
            }
            match rows.last() {
                Some((key, _)) if rows.len() == ROWS_PAGE => after = Some(key.clone()),
                _ => break,
            }
        }
        Ok(Self {
            table,
            waiting: AtomicUsize::new(waiting),
            // Nobody sends a message a microsecond: numbers of an earlier run are lower.
            seq: AtomicU64::new(opened.0),
            plan: Mutex::new(plan),
            promised: Mutex::default(),
            publisher: AtomicWaker::new(),
            sleeper: AtomicWaker::new(),
            turn: futures_util::lock::Mutex::new(()),
        })
    }

    fn one_less(&self) {
        let left = |waiting: usize| Some(waiting.saturating_sub(1));
        // Cannot fail: there is always something left, if only zero.
        self.waiting.fetch_update(SeqCst, SeqCst, left).ok();
    }

    /// A message is in the table.
    fn arrived(&self, id: DelayedId) {
        let sooner = {
            let mut plan = self.plan.lock();
            plan.comes(id.due_ms());
            plan.put = Some(plan.put.map_or(id, |put| put.min(id)));
            if plan.after.is_some_and(|after| id <= after) {
                plan.after = None;
            }
            plan.sooner
        };
        if sooner {
            self.sleeper.wake();
        }
    }
}

/// Room for one message, until it is in the table.
struct Room {
    hub: Arc<Inner>,
    id: DelayedId,
    /// It may be there: whoever waits for the answer can be gone before it comes.
    may_be_there: bool,
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.may_be_there {
            self.hub.delayed.arrived(self.id);
        } else {
            self.hub.delayed.one_less();
        }
    }
}

impl Inner {
    /// Keeps a message for later. Answered when it is safe.
    pub(crate) fn delay(
        self: &Arc<Self>,
        now: Now,
        from: Sender,
        publish: Publish,
        delay: Duration,
    ) -> Called<Answer> {
        let (most, delay_max) = (self.limits.delayed_max, self.limits.delay_max);
        if delay > delay_max {
            return refuse(Refused::DelayTooLong(delay_max));
        }
        if self.delayed.waiting.fetch_add(1, SeqCst) >= most {
            self.delayed.one_less();
            return refuse(Refused::TooManyDelayed(most));
        }
        let due_ms = now.wall.plus(delay).0.div_ceil(1000);
        let id = DelayedId::new(due_ms, self.delayed.seq.fetch_add(1, Relaxed));
        let mut room = Room { hub: self.clone(), id, may_be_there: false };
        let expires_in = publish.expires_in;
        let message = message_of(now, from, Publish { expires_in: None, ..publish });
        let row = Row { taken: now.wall, expires_in, message };
        Called::Later(Box::pin(async move {
            room.may_be_there = true;
            let table = room.hub.delayed.table.clone();
            if let Err(error) = table.put(&id.key(), Some(row.to_bytes()), Expect::Absent).await {
                room.may_be_there = false;
                room.hub.meters.refused.one();
                return Answer::Refused(Refused::Store(error));
            }
            Answer::Published(Receipt {
                position: None,
                seq: 0,
                at: row.taken,
                durability: Durability::Disk,
                duplicate: false,
            })
        }))
    }

    /// Keeps a message for later that was checked before. Nobody waits for it; where it cannot be kept it is
    /// published at once, rather than lost.
    pub(crate) fn say_later(self: &Arc<Self>, mut message: Message, delay: Duration) {
        if self.delayed.waiting.fetch_add(1, SeqCst) >= self.limits.delayed_max {
            self.delayed.one_less();
            tracing::warn!("too many messages wait: a last message is published before its time");
            return self.say(message);
        }
        let now = self.clock.now().wall;
        let due_ms = now.plus(delay).0.div_ceil(1000);
        let id = DelayedId::new(due_ms, self.delayed.seq.fetch_add(1, Relaxed));
        let expires_in = message.expires_at.take().map(|at| at.since(now));
        self.delayed.promised.lock().push((id, Row { taken: now, expires_in, message }));
        self.delayed.publisher.wake();
    }

    /// Puts into the table what was promised.
    async fn keep_promised(self: &Arc<Self>) {
        let promised = std::mem::take(&mut *self.delayed.promised.lock());
        for (id, row) in promised {
            match self.delayed.table.put(&id.key(), Some(row.to_bytes()), Expect::Absent).await {
                Ok(_) => self.delayed.arrived(id),
                Err(error) => {
                    tracing::warn!(%error, "a last message could not wait and is published before its time");
                    self.delayed.one_less();
                    self.say(row.message);
                }
            }
        }
    }

    /// Publishes what is due, in the order of moments.
    async fn publish_due(self: &Arc<Self>) {
        let mut step = STEP_FIRST;
        loop {
            match self.publish_step(step).await {
                Ok(Some(next)) => step = next,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "delayed messages could not be published: trying again");
                    let again = self.clock.now().wall.plus(RETRY_AFTER).as_millis();
                    let mut plan = self.delayed.plan.lock();
                    plan.after = None;
                    plan.comes(again);
                    drop(plan);
                    self.delayed.sleeper.wake();
                    return;
                }
            }
            yield_now().await;
        }
    }

    /// Publishes the first ones that are due and takes them out. How many the next step should take; `None`
    /// where nothing is due any more.
    async fn publish_step(self: &Arc<Self>, rows_max: usize) -> Result<Option<usize>, StoreError> {
        let _turn = self.delayed.turn.lock().await;
        let now = self.clock.now();
        let (after, unsure) = {
            let mut plan = self.delayed.plan.lock();
            (plan.next, plan.put) = (None, None);
            (plan.after, plan.unsure)
        };
        let after = after.map(DelayedId::key);
        let rows = self.delayed.table.scan(b"", after.as_ref().map(|key| &key[..]), rows_max).await?;
        let is_due =
            |key: &Bytes| DelayedId::of_key(key).is_none_or(|id| id.due_ms() <= now.wall.as_millis());
        let due = rows.iter().take_while(|(key, _)| is_due(key)).count();
        let (bytes, whole) = (rows[..due].iter().map(|(_, value)| value.len()).sum::<usize>(), rows.len());
        self.publish_rows(now, &rows[..due], unsure).await?;
        let removing = rows[..due].iter().map(|(key, _)| self.delayed.table.put(key, None, Expect::Any));
        for removed in join_all(removing).await {
            removed?;
            self.delayed.one_less();
        }
        let mut plan = self.delayed.plan.lock();
        plan.unsure = plan.unsure.saturating_sub(due);
        if let Some(last) = rows[..due].last().and_then(|(key, _)| DelayedId::of_key(key)) {
            plan.after = Some(last).filter(|last| plan.put.is_none_or(|put| put > *last));
        }
        if let Some(id) = rows.get(due).and_then(|(key, _)| DelayedId::of_key(key)) {
            plan.comes(id.due_ms());
        }
        let more = due == whole && whole == rows_max;
        let more = more || plan.next.is_some_and(|next| next <= now.wall.as_millis());
        drop(plan);
        self.delayed.sleeper.wake();
        Ok(more.then(|| (STEP_BYTES / (bytes / due.max(1) + 1)).clamp(STEP_FIRST, STEP_MAX)))
    }

    /// Publishes rows and waits until all are as safe as their spaces promise.
    async fn publish_rows(
        self: &Arc<Self>,
        now: Now,
        rows: &[(Bytes, Bytes)],
        unsure: usize,
    ) -> Result<(), StoreError> {
        let (mut batch, mut commits) = (Vec::new(), Vec::new());
        for (n, (key, value)) in rows.iter().enumerate() {
            let Some((id, row)) = DelayedId::of_key(key).zip(Row::from_bytes(value)) else {
                tracing::error!("a delayed message could not be read and is dropped");
                continue;
            };
            let Row { expires_in, mut message, .. } = row;
            let Some(space) = self.finder.find(&message.topic) else {
                tracing::warn!(topic = message.topic.as_str(), "a delayed message has no space any more");
                continue;
            };
            message.id.get_or_insert_with(|| id.message_id());
            message.expires_at =
                expires_in.filter(|d| *d < Duration::MAX).map(|expires| now.wall.plus(expires));
            if n < unsure && self.is_published(space, id, &message).await? {
                continue;
            }
            match self.put(now, space, message, &mut batch) {
                Called::Later(commit) => commits.push(commit),
                Called::Done(Answer::Refused(Refused::Store(error))) => return Err(error),
                Called::Done(_) => {}
            }
        }
        self.flush(&mut batch);
        for answer in join_all(commits).await {
            if let Answer::Refused(Refused::Store(error)) = answer {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether the process before has published this message, and died before it was taken out. The space's
    /// window for repeated ids may be shorter than the server was away, so the topic's records are looked at.
    async fn is_published(&self, space: usize, id: DelayedId, message: &Message) -> Result<bool, StoreError> {
        let due = Timestamp::from_millis(id.due_ms());
        let Some(journal) = self.spaces[space].journal.as_ref().filter(|_| due <= self.opened) else {
            return Ok(false);
        };
        let mut range = Range::Since(due);
        for _ in 0..LOOK_PAGES_MAX {
            let page = journal.history(&message.topic, range, LOOK_PAGE).await?;
            if page.records.iter().any(|record| record.message.id == message.id) {
                return Ok(true);
            }
            match page.records.last() {
                Some(last) if !page.at_end => range = Range::After(last.seq),
                _ => break,
            }
        }
        Ok(false)
    }
}

impl Hub {
    /// Publishes what is due by now; its time is up as [`until_due`](Self::until_due) says.
    pub fn tick(&self) {
        let now_ms = self.inner.clock.now().wall.as_millis();
        let is_due = {
            let mut plan = self.inner.delayed.plan.lock();
            let is_due = plan.next.is_some_and(|next| next <= now_ms);
            if is_due {
                plan.due = true;
                // The step that follows says what is next.
                plan.next = None;
            }
            is_due
        };
        if is_due {
            self.inner.delayed.publisher.wake();
        }
    }

    /// How long until the next delayed message is due; `None` where none waits.
    #[must_use]
    pub fn until_due(&self) -> Option<Duration> {
        let now = self.inner.clock.now().wall;
        let mut plan = self.inner.delayed.plan.lock();
        plan.sooner = false;
        plan.next.map(|next| Timestamp::from_millis(next).since(now))
    }

    /// Ready when [`until_due`](Self::until_due) would say something else. One at a time is told.
    pub async fn due_sooner(&self) {
        poll_fn(|cx| {
            let delayed = &self.inner.delayed;
            delayed.sleeper.register(cx.waker());
            if delayed.plan.lock().sooner { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// How many messages wait for their time.
    #[must_use]
    pub fn delayed_count(&self) -> usize {
        self.inner.delayed.waiting.load(SeqCst)
    }

    /// Messages that wait for their time, in the order of their moments, after `after`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delayed(
        &self,
        after: Option<DelayedId>,
        most: usize,
    ) -> Result<Vec<DelayedView>, StoreError> {
        let (mut found, mut after) = (Vec::new(), after.map(DelayedId::key));
        while found.len() < most {
            let rows_max = ROWS_PAGE.min(most - found.len());
            let from = after.as_ref().map(|key| &key[..]);
            let rows = self.inner.delayed.table.scan(b"", from, rows_max).await?;
            for (key, value) in &rows {
                let Some((id, row)) = DelayedId::of_key(key).zip(Row::from_bytes(value)) else { continue };
                let Row { taken, message, .. } = row;
                let due = Timestamp::from_millis(id.due_ms());
                let (topic, from, bytes) = (message.topic, message.from, message.body.len());
                found.push(DelayedView { id, topic, from, bytes, taken, due });
            }
            match rows.last().and_then(|(key, _)| DelayedId::of_key(key)) {
                Some(last) if rows.len() == rows_max => after = Some(last.key()),
                _ => break,
            }
        }
        Ok(found)
    }

    /// Takes a message out before its time. False where it is not there: it was published, or never was.
    ///
    /// # Errors
    /// The store failed.
    pub async fn cancel_delayed(&self, id: DelayedId) -> Result<bool, StoreError> {
        let delayed = &self.inner.delayed;
        let _turn = delayed.turn.lock().await;
        let Some((_, version)) = delayed.table.get(&id.key()).await? else { return Ok(false) };
        delayed.table.put(&id.key(), None, Expect::Version(version)).await?;
        delayed.one_less();
        Ok(true)
    }
}

/// Publishes delayed messages when it is told that some are due.
pub(crate) async fn publish_delayed(hub: Weak<Inner>) {
    loop {
        let Some((hub, due)) = poll_fn(|cx| {
            let Some(hub) = hub.upgrade() else { return Poll::Ready(None) };
            hub.delayed.publisher.register(cx.waker());
            let stopping = hub.stopping.load(Relaxed);
            let due = std::mem::take(&mut hub.delayed.plan.lock().due) && !stopping;
            let promised = !hub.delayed.promised.lock().is_empty();
            if due || promised { Poll::Ready(Some((hub, due))) } else { Poll::Pending }
        })
        .await
        else {
            return;
        };
        hub.keep_promised().await;
        if due {
            hub.publish_due().await;
        }
    }
}

/// Lets the other parts of the hub's work have their turn.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl fmt::Debug for Delayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delayed").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}
