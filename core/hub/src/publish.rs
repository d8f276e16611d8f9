//! From a call to a record.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use indexmap::IndexMap;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use yizhan_talk::{Called, Now, Timestamp};

use crate::{
    access::Action,
    hub::{Hub, Inner, refuse},
    link::{Answer, Durability, Publish, Receipt, Refused},
    message::{Content, Headers, Message, MessageId, Qos, Record, Sender, SessionId},
    session::Session,
    space::{Dedup, Keep},
    store::StoreError,
    topic::{Filter, Topic},
};

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a client's message id.
pub const ID_BYTES_MAX: usize = 128;
/// Bytes of all header names and values of a message together.
pub const HEADERS_BYTES_MAX: usize = 8 * 1024;
/// Keyed records that one reading of state gives at most.
pub(crate) const STATE_PAGE_MAX: usize = 10_000;
/// Records that one batch gathers before they go out.
const BATCH_MAX: usize = 512;

/// The newest record of each key, for spaces that keep nothing else.
#[derive(Default)]
pub(crate) struct State {
    topics: BTreeMap<Topic, IndexMap<Arc<str>, Arc<Record>>>,
    records: usize,
}

impl State {
    /// Puts a keyed record in the place of the one before it; false where there is no room.
    fn put(&mut self, record: &Arc<Record>, key: &Arc<str>, records_max: usize) -> bool {
        let topic = &record.message.topic;
        if record.message.body.is_empty() {
            if let Some(keys) = self.topics.get_mut(topic) {
                self.records -= usize::from(keys.shift_remove(key).is_some());
                if keys.is_empty() {
                    self.topics.remove(topic);
                }
            }
            return true;
        }
        if self.records >= records_max && !self.topics.get(topic).is_some_and(|k| k.contains_key(key)) {
            return false;
        }
        let keys = self.topics.entry(topic.clone()).or_default();
        self.records += usize::from(keys.insert(key.clone(), record.clone()).is_none());
        true
    }

    /// The state of matching topics, by topic and by age of the key.
    pub(crate) fn read(&self, filter: &Filter, now: Timestamp, records_max: usize) -> Vec<Arc<Record>> {
        // Only names that begin like the filter's plain levels can match.
        let pattern = filter.as_str();
        let plain = pattern.find(['+', '#']).map_or(pattern, |at| pattern[..at].trim_end_matches('/'));
        let range = self.topics.range::<str, _>((Bound::Included(plain), Bound::Unbounded));
        range
            .take_while(|(topic, _)| topic.as_str().starts_with(plain))
            .filter(|(topic, _)| filter.matches(topic))
            .flat_map(|(_, keys)| keys.values())
            .filter(|record| !record.is_expired(now))
            .take(records_max)
            .cloned()
            .collect()
    }

    /// Topics with a matching name that have a state, in the order of names, after `after`.
    pub(crate) fn topics<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a Topic>,
    ) -> impl Iterator<Item = &'a Topic> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.topics.range::<Topic, _>((from, Bound::Unbounded)).map(|(t, _)| t).filter(|t| filter.matches(t))
    }

    fn prune(&mut self, now: Timestamp) {
        let mut records = 0;
        self.topics.retain(|_, keys| {
            keys.retain(|_, record| !record.is_expired(now));
            records += keys.len();
            !keys.is_empty()
        });
        self.records = records;
    }
}

/// The ids seen lately, for each space that keeps nothing. Kept spaces' journals have windows of their own.
pub(crate) struct Dedups(Vec<Mutex<Seen>>);

struct Seen {
    dedup: Dedup,
    at: FxHashMap<MessageId, Timestamp>,
    order: VecDeque<(Timestamp, MessageId)>,
}

impl Dedups {
    pub(crate) fn new(spaces: impl Iterator<Item = Dedup>) -> Self {
        Self(
            spaces
                .map(|dedup| Mutex::new(Seen { dedup, at: FxHashMap::default(), order: VecDeque::new() }))
                .collect(),
        )
    }

    /// When this id was seen first, where it was.
    fn seen(&self, space: usize, id: MessageId, now: Timestamp) -> Option<Timestamp> {
        let mut seen = self.0.get(space)?.lock();
        if let Some(at) = seen.at.get(&id).copied().filter(|at| now.since(*at) <= seen.dedup.age_max) {
            return Some(at);
        }
        seen.at.insert(id, now);
        seen.order.push_back((now, id));
        if seen.order.len() > seen.dedup.ids_max {
            seen.forget_oldest();
        }
        None
    }

    pub(crate) fn prune(&self, now: Now) {
        for seen in &self.0 {
            let mut seen = seen.lock();
            let age_max = seen.dedup.age_max;
            while seen.order.front().is_some_and(|(at, _)| now.wall.since(*at) > age_max) {
                seen.forget_oldest();
            }
            if seen.order.is_empty() {
                seen.order = VecDeque::new();
            }
        }
    }
}

impl Seen {
    fn forget_oldest(&mut self) {
        if let Some((at, id)) = self.order.pop_front()
            && self.at.get(&id) == Some(&at)
        {
            self.at.remove(&id);
        }
    }
}

impl Inner {
    pub(crate) fn publish(
        self: &Arc<Self>,
        now: Now,
        session: &Arc<Session>,
        publish: Publish,
        batch: &mut Vec<Arc<Record>>,
    ) -> Called<Answer> {
        if let Some(service) = self.services.owner(&publish.topic) {
            self.flush(batch);
            return match self.check_outside(now, session, &publish) {
                Ok(()) => self.publish_to_service(now, session, service, publish),
                Err(refused) => refuse(refused),
            };
        }
        let space = match self.check_publish(now, session, &publish) {
            Ok(space) => space,
            Err(refused) => return refuse(refused),
        };
        let sender = Sender {
            user: session.principal().user.clone(),
            device: session.principal().device.clone(),
            session: session.id,
        };
        if let Some(delay) = publish.delay.filter(|delay| !delay.is_zero()) {
            self.flush(batch);
            return self.delay(now, sender, publish, delay);
        }
        let message = message_of(now, sender, publish);
        self.put(now, space, message, batch)
    }

    /// Whether the session may publish this, and into which space.
    fn check_publish(&self, now: Now, session: &Session, publish: &Publish) -> Result<usize, Refused> {
        self.check_outside(now, session, publish)?;
        if !self.access.may(&session.principal(), Action::Publish, &publish.topic) {
            let name = publish.topic.as_str().into();
            return Err(Refused::NotAllowed { action: Action::Publish, name });
        }
        let space =
            self.finder.find(&publish.topic).ok_or_else(|| Refused::NoSpace(publish.topic.clone()))?;
        if publish.wants > promise(self.spaces[space].space.keep) {
            return Err(Refused::NotDurable { topic: publish.topic.clone() });
        }
        Ok(space)
    }

    /// What holds for every publish, whatever rules say.
    fn check_outside(&self, now: Now, session: &Session, publish: &Publish) -> Result<(), Refused> {
        use std::sync::atomic::Ordering::Relaxed;
        if self.stopping.load(Relaxed) {
            return Err(Refused::Stopping);
        }
        self.check_rates(now, session, publish.body.len())?;
        self.check_shape(publish)
    }

    pub(crate) fn check_shape(&self, publish: &Publish) -> Result<(), Refused> {
        let (bytes, bytes_max) = (publish.body.len(), self.limits.body_bytes_max);
        if bytes > bytes_max {
            return Err(Refused::TooLarge { bytes, bytes_max });
        }
        let long = |text: &Option<Arc<str>>, max: usize| text.as_ref().is_some_and(|t| t.len() > max);
        let headers: usize = publish.headers.iter().map(|(n, v)| n.len() + v.len()).sum();
        if long(&publish.key, KEY_BYTES_MAX) || long(&publish.id, ID_BYTES_MAX) || headers > HEADERS_BYTES_MAX
        {
            return Err(Refused::HeadersTooLarge);
        }
        Ok(())
    }

    pub(crate) fn check_rates(&self, now: Now, session: &Session, bytes: usize) -> Result<(), Refused> {
        let (rates, buckets) = (&session.principal().rates, &session.rates);
        let micros = self.attendance.steady_micros(now);
        let take = |bucket: &crate::access::Bucket, cost: u64, rate: Option<u32>| {
            rate.map_or(Ok(()), |rate| bucket.take(micros, cost, rate).map_err(Refused::TooFast))
        };
        take(&buckets.messages, 1, rates.messages_per_second)?;
        take(&buckets.bytes, bytes as u64, rates.bytes_per_second)?;
        if let Some(bucket) = &buckets.user {
            take(bucket, 1, rates.user_messages_per_second)?;
        }
        if let Some(bucket) = &buckets.address {
            take(bucket, 1, rates.address_messages_per_second)?;
        }
        Ok(())
    }

    /// Puts a message into its space.
    pub(crate) fn put(
        self: &Arc<Self>,
        now: Now,
        space: usize,
        message: Message,
        batch: &mut Vec<Arc<Record>>,
    ) -> Called<Answer> {
        let slot = &self.spaces[space];
        let durability = promise(slot.space.keep);
        self.meters.messages_in.one();
        self.meters.bytes_in.add(message.body.len() as u64);
        let Some(journal) = &slot.journal else {
            return Called::Done(match self.put_unkept(now, space, message, batch) {
                Ok((at, duplicate)) => {
                    Answer::Published(Receipt { position: None, seq: 0, at, durability, duplicate })
                }
                Err(refused) => Answer::Refused(refused),
            });
        };
        self.flush(batch);
        let (appending, meters) = (journal.append(now.wall, message), self.meters.clone());
        Called::Later(Box::pin(async move {
            match appending.await {
                Ok(appended) => {
                    if appended.duplicate {
                        meters.duplicates.one();
                    }
                    Answer::Published(Receipt {
                        position: Some(appended.position),
                        seq: appended.seq,
                        at: appended.at,
                        durability,
                        duplicate: appended.duplicate,
                    })
                }
                Err(error) => {
                    meters.refused.one();
                    Answer::Refused(Refused::Store(error))
                }
            }
        }))
    }

    fn put_unkept(
        &self,
        now: Now,
        space: usize,
        message: Message,
        batch: &mut Vec<Arc<Record>>,
    ) -> Result<(Timestamp, bool), Refused> {
        if let Some(at) = message.id.and_then(|id| self.dedups.seen(space, id, now.wall)) {
            self.meters.duplicates.one();
            return Ok((at, true));
        }
        let key = message.key.clone();
        let record = Arc::new(Record::new(None, 0, now.wall, message));
        let Some(key) = key else {
            if batch.len() >= BATCH_MAX
                || batch.first().is_some_and(|b| b.message.topic != record.message.topic)
            {
                self.flush(batch);
            }
            batch.push(record);
            return Ok((now.wall, false));
        };
        self.flush(batch);
        // Held while it fans out, so that the last one heard is the one that stays as state.
        let mut state = self.state.lock();
        if !state.put(&record, &key, self.limits.state_records_max) {
            return Err(Refused::Store(StoreError::Busy));
        }
        self.fan_out(Some(space), std::slice::from_ref(&record));
        Ok((now.wall, false))
    }

    pub(crate) fn prune_state(&self, now: Now) {
        self.state.lock().prune(now.wall);
    }
}

impl Hub {
    /// Publishes in the server's own name: no access rule, no rate. Does not wait for a kept space's
    /// commit; the message is in line when this returns.
    pub fn announce(&self, topic: Topic, key: Option<Arc<str>>, content: Content, body: Bytes) {
        self.inner.announce(topic, key, content, body);
    }
}

impl Inner {
    pub(crate) fn announce(
        self: &Arc<Self>,
        topic: Topic,
        key: Option<Arc<str>>,
        content: Content,
        body: Bytes,
    ) {
        let from = Sender { user: "$server".into(), device: None, session: SessionId(0) };
        let headers = Headers::default();
        self.say(Message {
            topic,
            key,
            id: None,
            from,
            content,
            headers,
            body,
            expires_at: None,
            qos: Qos::default(),
        });
    }

    /// Publishes a message that needs no check any more. The answer is not waited for.
    pub(crate) fn say(self: &Arc<Self>, message: Message) {
        let Some(space) = self.finder.find(&message.topic) else { return };
        let mut batch = Vec::new();
        // The message is in line once this returns; nobody waits for its commit.
        drop(self.put(self.clock.now(), space, message, &mut batch));
        self.flush(&mut batch);
    }
}

/// What a space promises with its acknowledgement.
pub(crate) fn promise(keep: Keep) -> Durability {
    match keep {
        Keep::Nothing => Durability::None,
        Keep::Memory(_) => Durability::Memory,
        Keep::Disk(_) => Durability::Disk,
    }
}

pub(crate) fn message_of(now: Now, from: Sender, publish: Publish) -> Message {
    let id = publish.id.as_deref().map(|id| message_id(&from.user, &publish.topic, id));
    Message {
        topic: publish.topic,
        key: publish.key,
        id,
        from,
        content: publish.content,
        headers: publish.headers,
        body: publish.body,
        expires_at: publish.expires_in.filter(|d| *d < Duration::MAX).map(|after| now.wall.plus(after)),
        qos: publish.qos,
    }
}

/// Ids of different users and topics never meet: a hash that nobody can aim.
fn message_id(user: &str, topic: &Topic, id: &str) -> MessageId {
    let mut hash = Sha256::new();
    for part in [user, topic.as_str(), id] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finalize()[..16]);
    MessageId(u128::from_le_bytes(half))
}
