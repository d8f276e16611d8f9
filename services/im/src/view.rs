//! A message as clients see it: its record, and what became of it since.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::{
    Record,
    store::{PageSize, Range},
};

use crate::{content::Content, conversation::Conversation, denied::Wrong, im::Im, load::parsed};

/// Users that a reaction names.
const REACTORS_SHOWN: usize = 5;
/// What one page of messages weighs at most, bytes.
const PAGE_BYTES_MAX: usize = 2 << 20;

/// What became of a message since it was sent. The row `x/ID/SEQ`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Overlay {
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    pub(crate) edit: Option<Edit>,
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub(crate) recall: Option<Mark>,
    /// Who reacted how, in the order in which each reaction came first.
    #[serde(rename = "a", skip_serializing_if = "Vec::is_empty")]
    pub(crate) reactions: Vec<(String, Vec<Arc<str>>)>,
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub(crate) pin: Option<Mark>,
    /// Messages in its thread, and the newest of them.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<Thread>,
    /// It was read by all and has burnt: nobody sees it any more.
    #[serde(rename = "b", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) burnt: bool,
    /// The thread that a recalled message is in; its record does not say so any more.
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<u64>,
}

/// What an edited message says, and what it said before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Edit {
    pub(crate) content: Content,
    pub(crate) at: u64,
    pub(crate) count: u32,
    /// Earlier contents behind the first one, with the time when each came; the oldest go first.
    #[serde(default)]
    pub(crate) before: Vec<(u64, Content)>,
}

/// Who did something to a message, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Mark {
    /// Who.
    pub by: Arc<str>,
    /// Milliseconds since 1970.
    pub at: u64,
}

/// The messages that are in another one's thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Thread {
    /// How many.
    pub count: u64,
    /// The newest one's number.
    pub newest: u64,
}

/// A message.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Message {
    /// In which conversation.
    pub conversation: Arc<str>,
    /// Its number there.
    pub seq: u64,
    /// When it was sent, milliseconds since 1970.
    pub at: u64,
    /// Who sent it.
    pub from: Arc<str>,
    /// With which device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Arc<str>>,
    /// What it says; left out where it was recalled or erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// When it was edited last, and how often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited: Option<Edited>,
    /// Who recalled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recalled: Option<Mark>,
    /// How people reacted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// Who pinned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Mark>,
    /// What is in its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
}

/// When a message was edited last, and how often.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub(crate) struct Edited {
    /// Milliseconds since 1970.
    pub at: u64,
    /// How often in all.
    pub count: u32,
}

/// Everybody who reacted alike.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Reaction {
    /// How.
    pub emoji: String,
    /// How many.
    pub count: usize,
    /// Whether one is among them.
    pub mine: bool,
    /// The first of them, five at most.
    pub users: Vec<Arc<str>>,
}

/// The key of a message's overlay.
pub(crate) fn overlay_key(id: &str, seq: u64) -> Bytes {
    format!("x/{id}/{seq:016x}").into()
}

impl Message {
    /// A record with what became of it, as `me` sees it.
    pub(crate) fn of(conversation: &Arc<str>, record: &Record, overlay: Option<&Overlay>, me: &str) -> Self {
        let edit = overlay.and_then(|o| o.edit.as_ref());
        let recalled = overlay.and_then(|o| o.recall.clone());
        let content = match (&recalled, edit) {
            (Some(_), _) => None,
            (None, Some(edit)) => Some(edit.content.clone()),
            // One that was erased has no body.
            (None, None) => serde_json::from_slice(&record.message.body).ok(),
        };
        Self {
            conversation: conversation.clone(),
            seq: record.seq,
            at: record.at.as_millis(),
            from: record.message.from.user.clone(),
            device: record.message.from.device.clone(),
            content,
            edited: edit.filter(|_| recalled.is_none()).map(|e| Edited { at: e.at, count: e.count }),
            recalled,
            reactions: overlay.map(|o| o.reactions(me)).unwrap_or_default(),
            pinned: overlay.and_then(|o| o.pin.clone()),
            thread: overlay.and_then(|o| o.thread),
        }
    }
}

impl Message {
    /// The last message of a list; `None` where it burnt or was erased.
    pub(crate) fn last(id: &Arc<str>, record: &Record, overlay: Option<&Overlay>, me: &str) -> Option<Self> {
        let shown = Self::of(id, record, overlay, me);
        (shown.content.is_some() || shown.recalled.is_some()).then_some(shown)
    }
}

impl Overlay {
    fn reactions(&self, me: &str) -> Vec<Reaction> {
        let shown = |(emoji, users): &(String, Vec<Arc<str>>)| Reaction {
            emoji: emoji.clone(),
            count: users.len(),
            mine: users.iter().any(|user| &**user == me),
            users: users.iter().take(REACTORS_SHOWN).cloned().collect(),
        };
        self.reactions.iter().map(shown).collect()
    }
}

impl Im {
    /// One message's record.
    pub(crate) async fn record(&self, conversation: &Conversation, seq: u64) -> Result<Arc<Record>, Wrong> {
        let mut records = self
            .records(conversation, Range::Between(seq.saturating_sub(1), seq.saturating_add(1)), 1)
            .await?;
        records.pop().filter(|r| r.seq == seq).ok_or(Wrong::NoSuch("message"))
    }

    /// One message's record as it is kept, also where it has expired.
    pub(crate) async fn kept_record(
        &self,
        conversation: &Conversation,
        seq: u64,
    ) -> Result<Arc<Record>, Wrong> {
        let journal = self.inner.hub.journal(&conversation.messages).ok_or(Wrong::NoSuch("message"))?;
        let (range, page) =
            (Range::Between(seq.saturating_sub(1), seq + 1), PageSize { records_max: 1, bytes_max: 1 });
        let mut records = journal.history(&conversation.messages, range, page).await?.records;
        records.pop().filter(|r| r.seq == seq).ok_or(Wrong::NoSuch("message"))
    }

    /// Messages' records, oldest first, expired ones left out.
    pub(crate) async fn records(
        &self,
        conversation: &Conversation,
        range: Range,
        records_max: usize,
    ) -> Result<Vec<Arc<Record>>, Wrong> {
        let topic = &conversation.messages;
        let Some(journal) = self.inner.hub.journal(topic) else { return Ok(Vec::new()) };
        let page = PageSize { records_max, bytes_max: PAGE_BYTES_MAX };
        let mut records = journal.history(topic, range, page).await?.records;
        let now = self.now().wall;
        records.retain(|r| !r.is_expired(now));
        Ok(records)
    }

    /// What became of messages since, by their numbers: of all from `first` to `last`.
    pub(crate) async fn overlays(
        &self,
        id: &str,
        first: u64,
        last: u64,
    ) -> Result<BTreeMap<u64, Overlay>, Wrong> {
        /// Rows read at once.
        const ROWS: usize = 1024;
        let mut found = BTreeMap::new();
        let prefix = format!("x/{id}/");
        let mut after = format!("{prefix}{:016x}", first.saturating_sub(1)).into_bytes();
        loop {
            let rows = self.inner.ledger.table().scan(prefix.as_bytes(), Some(&after), ROWS).await?;
            let count = rows.len();
            for (key, value) in rows {
                let text = key.get(prefix.len()..).and_then(|k| std::str::from_utf8(k).ok());
                let Some(seq) = text.and_then(|text| u64::from_str_radix(text, 16).ok()) else { continue };
                if seq > last {
                    return Ok(found);
                }
                found.insert(seq, parsed(&key, &value)?);
                after = key.to_vec();
            }
            if count < ROWS {
                return Ok(found);
            }
        }
    }
}
