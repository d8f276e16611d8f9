//! What was said, and what changed, as one of the members sees it.
//!
//! A page has what one sees, and `at_end` is true only where nothing more is there: for that one message more is looked
//! for than is given. Where much has to be passed over, looking ends early, and `next` says where to go on.

use std::{collections::VecDeque, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use yizhan_hub::{
    Journal, Record,
    service::Caller,
    store::{PageSize, Range},
};

use crate::{
    changing::OfMessage,
    content::What,
    conversation::Conversation,
    denied::Wrong,
    im::Im,
    load::parsed,
    op::{Op, op},
    threads::root_of,
    view::{Message, Overlay, overlay_key},
};

/// Messages on one page where nothing is said.
const PAGE: usize = 50;
/// Messages, or events, on one page at most.
const PAGE_MAX: usize = 200;
/// Bytes of what the messages of a page say, where there is more than one.
const PAGE_BYTES_MAX: usize = 2 << 20;
/// Records that are looked at for one page.
const LOOKED_MAX: usize = 20_000;
/// Bytes that are looked at for one page.
const LOOKED_BYTES_MAX: usize = 32 << 20;
/// Records read at once where few of them are wanted.
const CHUNK: usize = 512;
/// Bytes read at once.
const CHUNK_BYTES_MAX: usize = 2 << 20;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct History {
    /// Of which conversation.
    conversation: String,
    /// The messages before this one.
    before: Option<u64>,
    /// The messages after this one.
    after: Option<u64>,
    /// This message with those around it. Without any of the three, the newest messages.
    around: Option<u64>,
    /// Messages at most, up to 200; 50 where nothing is said.
    limit: Option<usize>,
    /// Only those in the thread of this message.
    thread: Option<u64>,
    /// Only those of these kinds; all where it is empty.
    #[serde(default)]
    kinds: Vec<What>,
}

/// A page of messages.
#[derive(Debug, Serialize, JsonSchema)]
struct Page {
    /// The messages, oldest first.
    messages: Vec<Message>,
    /// Whether there is nothing more in the direction that was asked for; with `around`, nothing newer.
    at_end: bool,
    /// With `around`: whether there is nothing older.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_start: Option<bool>,
    /// Where it is not the end: what to go on `before` or `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Changes {
    /// Of which conversation.
    conversation: String,
    /// The events after this one; 0 for all.
    after: u64,
    /// Events at most, up to 200; 50 where nothing is said.
    limit: Option<usize>,
}

/// What changed.
#[derive(Debug, Serialize, JsonSchema)]
struct Changed {
    /// The events, oldest first: each as it was announced, with `seq`, its number, and `at`, when it was, milliseconds
    /// since 1970. Events about what one does not see are left out.
    events: Vec<Map<String, Value>>,
    /// Whether there is nothing more.
    at_end: bool,
    /// Where it is not the end: what to go on `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "history",
            "Messages of a conversation, page by page.",
            |im: Im, caller: Caller, input: History| async move { im.history(caller, input).await },
        ),
        op("message", "One message.", |im: Im, caller: Caller, input: OfMessage| async move {
            let conversation = im.conversation(&input.conversation).await?;
            let found = im.messages(&conversation, &caller.who.user, std::iter::once(input.seq)).await?;
            found.into_iter().next().ok_or(Wrong::NoSuch("message"))
        }),
        op(
            "changes",
            "What changed in a conversation: the events after one.",
            |im: Im, caller: Caller, input: Changes| async move { im.changes(caller, input).await },
        ),
    ]
}

/// Which messages are wanted, and by whom.
struct Wanted<'a> {
    me: &'a str,
    thread: Option<u64>,
    kinds: &'a [What],
}

/// Messages one after the other, in the direction in which they are read.
struct Found {
    messages: VecDeque<Message>,
    /// Where to go on; `None` at the end.
    next: Option<u64>,
}

impl Im {
    async fn history(&self, caller: Caller, input: History) -> Result<Page, Wrong> {
        let conversation = self.conversation(&input.conversation).await?;
        let limit = input.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let wanted = Wanted { me: &caller.who.user, thread: input.thread, kinds: &input.kinds };
        let page = |found: Found| {
            let (at_end, next) = (found.next.is_none(), found.next);
            Page { messages: found.messages.into(), at_end, at_start: None, next }
        };
        match (input.before, input.after, input.around) {
            (before, None, None) => {
                Ok(page(self.older(&conversation, &wanted, before.unwrap_or(u64::MAX), limit).await?))
            }
            (None, Some(after), None) => Ok(page(self.newer(&conversation, &wanted, after, limit).await?)),
            (None, None, Some(around)) => {
                let half = limit.div_ceil(2);
                let older = self.older(&conversation, &wanted, around.saturating_add(1), half).await?;
                let rest = (limit - older.messages.len().min(limit)).max(1);
                let newer = self.newer(&conversation, &wanted, around, rest).await?;
                let mut all = older.messages;
                all.extend(newer.messages);
                let (at_end, at_start) = (newer.next.is_none(), Some(older.next.is_none()));
                Ok(Page { messages: all.into(), at_end, at_start, next: newer.next })
            }
            _ => Err(Wrong::BadInput("name one of 'before', 'after' and 'around'".to_owned())),
        }
    }

    /// Messages before a number, the newest ones.
    async fn older(
        &self,
        conversation: &Arc<Conversation>,
        wanted: &Wanted<'_>,
        before: u64,
        limit: usize,
    ) -> Result<Found, Wrong> {
        let low = self.lowest(conversation, wanted.me)?;
        let mut found = Found { messages: VecDeque::new(), next: None };
        let Some(journal) = self.inner.hub.journal(&conversation.messages) else { return Ok(found) };
        let (mut before, mut looked, mut bytes) = (before, Looked::default(), 0);
        while before > low + 1 {
            let page = self.page_of(&*journal, conversation, Range::Before(before), wanted, limit).await?;
            let Some(first) = page.0.first() else { break };
            let (first, at_end) = (first.seq, page.1);
            looked.at(&page.0);
            for message in self.views(conversation, wanted, &page.0).await?.into_iter().rev() {
                bytes += weight(&message);
                if found.messages.len() == limit || (bytes > PAGE_BYTES_MAX && !found.messages.is_empty()) {
                    found.next = found.messages.front().map(|oldest| oldest.seq);
                    return Ok(found);
                }
                found.messages.push_front(message);
            }
            before = first;
            if at_end {
                break;
            }
            if looked.enough() && before > low + 1 {
                found.next = Some(before);
                break;
            }
        }
        Ok(found)
    }

    /// Messages after a number, the oldest ones.
    async fn newer(
        &self,
        conversation: &Arc<Conversation>,
        wanted: &Wanted<'_>,
        after: u64,
        limit: usize,
    ) -> Result<Found, Wrong> {
        let mut after = after.max(self.lowest(conversation, wanted.me)?);
        let mut found = Found { messages: VecDeque::new(), next: None };
        let Some(journal) = self.inner.hub.journal(&conversation.messages) else { return Ok(found) };
        let (mut looked, mut bytes) = (Looked::default(), 0);
        loop {
            let page = self.page_of(&*journal, conversation, Range::After(after), wanted, limit).await?;
            let Some(last) = page.0.last() else { break };
            let (last, at_end) = (last.seq, page.1);
            looked.at(&page.0);
            for message in self.views(conversation, wanted, &page.0).await? {
                bytes += weight(&message);
                if found.messages.len() == limit || (bytes > PAGE_BYTES_MAX && !found.messages.is_empty()) {
                    found.next = found.messages.back().map(|newest| newest.seq);
                    return Ok(found);
                }
                found.messages.push_back(message);
            }
            after = last;
            if at_end {
                break;
            }
            if looked.enough() {
                found.next = Some(after);
                break;
            }
        }
        Ok(found)
    }

    /// Records, oldest first, and whether there are no more in this direction.
    async fn page_of(
        &self,
        journal: &dyn Journal,
        conversation: &Conversation,
        range: Range,
        wanted: &Wanted<'_>,
        limit: usize,
    ) -> Result<(Vec<Arc<Record>>, bool), Wrong> {
        let picks = wanted.thread.is_some() || !wanted.kinds.is_empty();
        let records_max = if picks { CHUNK } else { limit + 1 };
        let page = PageSize { records_max, bytes_max: CHUNK_BYTES_MAX };
        let page = journal.history(&conversation.messages, range, page).await?;
        Ok((page.records, page.at_end))
    }

    /// Nothing up to here is shown to somebody.
    fn lowest(&self, conversation: &Conversation, me: &str) -> Result<u64, Wrong> {
        let state = conversation.lock();
        Ok(state.member(me)?.hidden_through(state.info.starts_at_join()))
    }

    /// Those of these records that are wanted and seen, as they are now.
    async fn views(
        &self,
        conversation: &Arc<Conversation>,
        wanted: &Wanted<'_>,
        records: &[Arc<Record>],
    ) -> Result<Vec<Message>, Wrong> {
        let now = self.now().wall;
        let seen: Vec<&Arc<Record>> = {
            let state = conversation.lock();
            let (member, from_join) = (state.member(wanted.me)?, state.info.starts_at_join());
            let sees = |r: &&Arc<Record>| {
                member.sees(r.seq, from_join, now.as_millis()) && !r.is_expired(now) && wanted.may_be(r)
            };
            records.iter().filter(sees).collect()
        };
        let keys: Vec<_> = seen.iter().map(|r| overlay_key(&conversation.id, r.seq)).collect();
        let rows = self.inner.ledger.table().get_many(keys.clone()).await?;
        let mut overlays = Vec::with_capacity(seen.len());
        for (key, row) in keys.iter().zip(rows) {
            overlays.push(row.map(|row| parsed::<Overlay>(key, &row)).transpose()?);
        }
        // What is in memory is newer than its row. One who was removed meanwhile sees nothing of it.
        let state = conversation.lock();
        state.member(wanted.me)?;
        let mut messages = Vec::with_capacity(seen.len());
        for (record, written) in seen.into_iter().zip(&overlays) {
            let overlay = state.overlays.get(record.seq).or(written.as_ref());
            if wanted.is(record, overlay) {
                messages.push(Message::of(&conversation.id, record, overlay, wanted.me));
            }
        }
        Ok(messages)
    }

    /// Messages by their numbers, as far as somebody sees them, in the same order.
    pub(crate) async fn messages(
        &self,
        conversation: &Arc<Conversation>,
        me: &str,
        seqs: impl Iterator<Item = u64>,
    ) -> Result<Vec<Message>, Wrong> {
        let wanted = Wanted { me, thread: None, kinds: &[] };
        let low = self.lowest(conversation, me)?;
        let mut records = Vec::new();
        for seq in seqs.filter(|seq| *seq > low) {
            match self.record(conversation, seq).await {
                Ok(record) => records.push(record),
                Err(Wrong::NoSuch(_)) => {}
                Err(wrong) => return Err(wrong),
            }
        }
        self.views(conversation, &wanted, &records).await
    }

    async fn changes(&self, caller: Caller, input: Changes) -> Result<Changed, Wrong> {
        let me = &caller.who.user;
        let conversation = self.conversation(&input.conversation).await?;
        conversation.lock().member(me)?;
        let limit = input.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let mut changed = Changed { events: Vec::new(), at_end: true, next: None };
        let Some(journal) = self.inner.hub.journal(&conversation.events) else { return Ok(changed) };
        let (mut after, mut looked) = (input.after, Looked::default());
        loop {
            let page = PageSize { records_max: limit - changed.events.len(), bytes_max: CHUNK_BYTES_MAX };
            let page = journal.history(&conversation.events, Range::After(after), page).await?;
            looked.at(&page.records);
            let state = conversation.lock();
            let (member, from_join) = (state.member(me)?, state.info.starts_at_join());
            let low = member.hidden_through(from_join);
            for record in &page.records {
                after = record.seq;
                // One that said what a recalled message had said was erased.
                let Ok(mut event) = serde_json::from_slice::<Map<String, Value>>(&record.message.body) else {
                    continue;
                };
                let about = event.get("message_seq").and_then(Value::as_u64);
                let when = event.get("after").and_then(Value::as_u64);
                let hidden = about
                    .is_some_and(|seq| !member.sees(seq, from_join, caller.now.wall.as_millis()))
                    || (from_join && when.is_some_and(|when| when < low.min(member.joined_seq)));
                if !hidden {
                    event.insert("seq".to_owned(), record.seq.into());
                    event.insert("at".to_owned(), record.at.as_millis().into());
                    changed.events.push(event);
                }
            }
            let full = changed.events.len() >= limit || looked.enough();
            if page.at_end || page.records.is_empty() {
                return Ok(changed);
            }
            if full {
                changed.at_end = after >= state.head.changed;
                changed.next = (!changed.at_end).then_some(after);
                return Ok(changed);
            }
        }
    }
}

/// How much was looked at for one page.
#[derive(Default)]
struct Looked {
    records: usize,
    bytes: usize,
}

impl Looked {
    fn at(&mut self, records: &[Arc<Record>]) {
        self.records += records.len();
        self.bytes += records.iter().map(|record| record.message.body.len()).sum::<usize>();
    }

    fn enough(&self) -> bool {
        self.records >= LOOKED_MAX || self.bytes >= LOOKED_BYTES_MAX
    }
}

impl Wanted<'_> {
    /// Whether a record may be wanted, as far as it says so itself.
    fn may_be(&self, record: &Record) -> bool {
        // What became of one that was erased says the rest.
        let erased = record.message.body.is_empty();
        let in_thread = self.thread.is_none() || erased || root_of(record) == self.thread;
        in_thread && (self.kinds.is_empty() || kind_of(record).is_some_and(|kind| self.kinds.contains(&kind)))
    }

    /// Whether a message is wanted, now that it is known what became of it.
    fn is(&self, record: &Record, overlay: Option<&Overlay>) -> bool {
        let (burnt, recalled) = overlay.map_or((false, false), |o| (o.burnt, o.recall.is_some()));
        let root = root_of(record).or_else(|| overlay.and_then(|o| o.of));
        !burnt && (self.thread.is_none() || root == self.thread) && (self.kinds.is_empty() || !recalled)
    }
}

/// What a message is, without reading all of it.
fn kind_of(record: &Record) -> Option<What> {
    #[derive(Deserialize)]
    struct Just {
        kind: What,
    }
    serde_json::from_slice::<Just>(&record.message.body).ok().map(|just| just.kind)
}

/// Roughly what a message weighs in an answer, bytes.
fn weight(message: &Message) -> usize {
    match &message.content {
        Some(content) => crate::send::body(content).len(),
        None => 0,
    }
}
