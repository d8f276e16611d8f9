//! What becomes of a message once it is safe: it counts, and whoever is here gets it.
//!
//! Effects are applied in the order of the journal, and may be applied again: after a crash everything behind the
//! place that was saved with the rows is.

use std::{sync::Arc, task::Context};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use yizhan_hub::{
    Batch, Filter, Position, Record, StoreError, Topic,
    store::{PageSize, emptied},
};

use crate::{
    conversation::{Conversation, State},
    im::Im,
    ledger::APPLIED,
    load::parsed,
    names::{self, Place},
};

/// The header with the names that a message mentions, one a line.
pub(crate) const MENTIONS: &str = "im-mentions";
/// The header of a message that mentions all.
pub(crate) const MENTION_ALL: &str = "im-all";
/// The header with the number of the message in whose thread this one is.
pub(crate) const THREAD: &str = "im-thread";
/// The header of a message that burns after reading: so many seconds.
pub(crate) const BURN: &str = "im-burn";
/// How much is read at once.
const PAGE: PageSize = PageSize { records_max: 1024, bytes_max: 1 << 20 };

/// Whether records are applied as they are heard.
#[derive(Default)]
pub(crate) struct Hearing {
    /// Held while records are applied as they are heard, and while it is decided that they are again.
    behind: Mutex<bool>,
    waker: AtomicWaker,
}

impl Hearing {
    /// Some were not heard, or could not be applied: they are read from the journal.
    pub(crate) fn fall_behind(&self) {
        *self.behind.lock() = true;
        self.waker.wake();
    }

    pub(crate) fn poll_late(&self, cx: &Context<'_>) -> bool {
        self.waker.register(cx.waker());
        *self.behind.lock()
    }
}

/// A header of a record.
pub(crate) fn header<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    record.message.headers.iter().find(|(n, _)| &**n == name).map(|(_, value)| &**value)
}

impl Im {
    /// Records of one topic are safe.
    pub(crate) fn hear(&self, records: &[Arc<Record>]) {
        let Some(first) = records.first() else { return };
        let Some(Place::Messages(id) | Place::Events(id)) = Place::of(first.message.topic.as_str()) else {
            return;
        };
        self.inner.pushing.nudge();
        self.inner.indexing.wake();
        let mut behind = self.inner.hearing.behind.lock();
        if *behind {
            return;
        }
        match self.inner.conversations.find(id) {
            Some(conversation) => self.apply(&conversation, records),
            None => {
                // It is read again when the conversation is in memory.
                tracing::debug!(conversation = id, "a record of a conversation that is not in memory");
                *behind = true;
                self.inner.hearing.waker.wake();
            }
        }
    }

    /// Applies records of one topic, and gives them to whoever is here.
    fn apply(&self, conversation: &Arc<Conversation>, records: &[Arc<Record>]) {
        let is_message = records[0].message.topic == conversation.messages;
        let mut streams = Vec::new();
        {
            let mut state = conversation.lock();
            for record in records {
                if is_message {
                    self.apply_message(conversation, &mut state, record);
                } else {
                    state.head.changed = state.head.changed.max(record.seq);
                    state.head.changed_at = state.head.changed_at.max(record.at.as_millis());
                }
                if let Some(position) = record.position {
                    self.inner.ledger.applied(position);
                }
            }
            self.inner.online.streams(state.members.keys(), &mut streams);
            let newest = state.head.newest;
            for (_, heard) in state.unheard.extract_if(.., |(seq, _)| *seq <= newest) {
                // Who is gone does not wait.
                heard.send(()).ok();
            }
        }
        if streams.is_empty() {
            return;
        }
        // In a stream a record has no place of its own: who missed some asks by number.
        let live: Vec<Arc<Record>> =
            records.iter().map(|r| Arc::new(Record::new(None, r.seq, r.at, r.message.clone()))).collect();
        for batch in Batch::cut(&live) {
            for stream in &streams {
                self.inner.hub.deliver(stream, &batch);
            }
        }
    }

    fn apply_message(&self, conversation: &Arc<Conversation>, state: &mut State, record: &Arc<Record>) {
        let at = record.at.as_millis();
        if state.head.last.as_ref().is_none_or(|last| record.seq > last.seq) {
            state.head.newest = state.head.newest.max(record.seq);
            state.head.active_at = at;
            // One may be recalled before it is heard.
            let emptied =
                if state.info.is_recalled(record.seq) { emptied(record).map(Arc::new) } else { None };
            state.head.last = Some(emptied.unwrap_or_else(|| record.clone()));
        }
        let from = &record.message.from.user;
        let mut rows = smallvec::SmallVec::<[_; 4]>::new();
        if let Some(member) = state.members.get_mut(from)
            && member.sent(record.seq, at)
        {
            rows.push(conversation.member_row(from, member));
        }
        let recalled = state.info.is_recalled(record.seq);
        if !recalled {
            rows.extend(self.expires(conversation, record));
        }
        if let Some(names) = header(record, MENTIONS).filter(|_| !recalled) {
            for name in names.lines() {
                if name != &**from
                    && let Some((user, member)) = state
                        .members
                        .get_key_value(name)
                        .map(|(u, _)| u.clone())
                        .and_then(|user| state.members.get_mut(&user).map(|member| (user, member)))
                    && member.mentioned(record.seq)
                {
                    rows.push(conversation.member_row(&user, member));
                }
            }
        }
        let all = header(record, MENTION_ALL).is_some() && !recalled;
        let mut changed = all && state.info.mentions_all(record.seq, from);
        rows.extend(self.count_in_thread(conversation, state, record));
        if let Some(burning) = self.begin_to_burn(conversation, state, record) {
            rows.extend(burning);
            changed = true;
        }
        if changed {
            rows.push(conversation.row(state));
        }
        if !rows.is_empty() {
            conversation.wrote(self.inner.ledger.put(rows));
        }
    }

    /// Applies what is in the journal behind the place that was saved, or was applied last.
    pub(crate) async fn replay(&self) -> Result<(), StoreError> {
        // Both are constants.
        let failed = |bad: yizhan_hub::topic::BadName| StoreError::Failed(bad.to_string());
        let (topic, filter) = (names::messages("g00000000000"), Filter::new("im/c/#").map_err(failed)?);
        let Some(journal) = self.inner.hub.journal(&topic) else { return Ok(()) };
        let saved: Vec<Position> = match self.inner.ledger.table().get(APPLIED).await? {
            Some((row, _)) => {
                let texts: Vec<String> = parsed(APPLIED, &row)?;
                texts.iter().filter_map(|text| text.parse().ok()).collect()
            }
            None => Vec::new(),
        };
        let place = |head: &Position| {
            let known = self.inner.ledger.applied_in(head);
            let known = known.or_else(|| saved.iter().find(|p| p.same_lane(head)).copied());
            known.unwrap_or(Position { offset: 0, ..*head })
        };
        loop {
            // Until it is done, what is heard is left to this: nothing is applied before what lies before it.
            *self.inner.hearing.behind.lock() = true;
            for head in journal.heads() {
                let mut after = place(&head);
                while after.offset < head.offset {
                    let page = journal.read(after, &filter, PAGE).await?;
                    for of_topic in page.records.chunk_by(|a, b| a.message.topic == b.message.topic) {
                        self.apply_late(of_topic).await?;
                    }
                    match page.through {
                        Some(through) if through.offset > after.offset => after = through,
                        // There is nothing more: retention took it.
                        _ => after = head,
                    }
                    self.inner.ledger.applied(after);
                }
            }
            // Nothing is heard while this is held, and what was heard before lies before the heads.
            let mut behind = self.inner.hearing.behind.lock();
            if journal.heads().iter().all(|head| place(head).offset >= head.offset) {
                *behind = false;
                return Ok(());
            }
        }
    }

    async fn apply_late(&self, records: &[Arc<Record>]) -> Result<(), StoreError> {
        let Some(Place::Messages(id) | Place::Events(id)) = Place::of(records[0].message.topic.as_str())
        else {
            return Ok(());
        };
        match self.conversation(id).await {
            Ok(conversation) => {
                match self.load_threads(&conversation, records).await {
                    Err(crate::Wrong::Refused(yizhan_hub::Refused::Store(error))) => return Err(error),
                    _ => self.apply(&conversation, records),
                }
                Ok(())
            }
            Err(crate::Wrong::Refused(yizhan_hub::Refused::Store(error))) => Err(error),
            // It was dismissed and removed meanwhile.
            Err(_) => Ok(()),
        }
    }

    /// Says what changed in a conversation, to all who are in it and to who comes later.
    pub(crate) fn event(
        &self,
        conversation: &Conversation,
        by: &yizhan_hub::message::Sender,
        event: &impl serde::Serialize,
    ) {
        self.kept(&conversation.events, by, event);
    }

    fn kept(&self, topic: &Topic, by: &yizhan_hub::message::Sender, event: &impl serde::Serialize) {
        let publish = yizhan_hub::link::Publish {
            content: yizhan_hub::Content::Json,
            // Events are plain structs with text keys: nothing of them cannot be written as JSON.
            ..yizhan_hub::link::Publish::new(
                topic.clone(),
                serde_json::to_vec(event).unwrap_or_default().into(),
            )
        };
        // It is in line; what it tells of is safe in its row, whatever becomes of it.
        drop(self.inner.hub.publish_as(self.now(), by.clone(), publish));
    }
}
