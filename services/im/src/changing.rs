//! What is done to messages after they were sent, in general: who sees one, how a change is kept, and how all hear of it.
//!
//! A change is decided under the conversation's lock. Its row, and a row that says that it is not announced yet, are
//! written together; then it is announced as it is by then, and the second row goes. After a crash what was not
//! announced is, so that no client stays with what was there before.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use yizhan_hub::{
    Answer, Record, Refused, SessionId, StoreError,
    link::Publish,
    message::Sender,
    store::{PageSize, Range},
};

use crate::{
    content::Content,
    conversation::{Conversation, State},
    denied::Wrong,
    im::Im,
    ledger::{Row, json},
    load::parsed,
    view::Edited,
};

/// What the keys of changes begin with that are not announced yet.
const UNTOLD: &[u8] = b"z/";
/// Rows read at once.
const ROWS: usize = 1024;
/// Events read at once where earlier versions of a message are looked for.
const PAGE: PageSize = PageSize { records_max: 1024, bytes_max: 1 << 20 };

/// Just a message.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfMessage {
    /// In which conversation.
    pub(crate) conversation: String,
    /// Which message.
    pub(crate) seq: u64,
}

/// What happened to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    Edit,
    Recall,
    Burn,
    React { emoji: String, user: Arc<str> },
    Pin,
}

/// A change that is not announced yet. The row `z/NUMBER`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Untold {
    conversation: Arc<str>,
    seq: u64,
    change: Change,
    by: Arc<str>,
    device: Option<Arc<str>>,
    #[serde(skip)]
    session: Option<SessionId>,
}

impl Untold {
    pub(crate) fn new(conversation: &Conversation, seq: u64, change: Change, by: &Sender) -> Self {
        let Sender { user, device, session } = by.clone();
        Self { conversation: conversation.id.clone(), seq, change, by: user, device, session: Some(session) }
    }

    fn sender(&self) -> Sender {
        let session = self.session.unwrap_or(SessionId(0));
        Sender { user: self.by.clone(), device: self.device.clone(), session }
    }
}

/// A change as it is announced.
#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    by: &'a str,
    message_seq: u64,
    /// The newest message when it happened.
    after: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited: Option<Edited>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emoji: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    off: bool,
}

impl<'a> Told<'a> {
    /// As the message is now; `None` where there is nothing to say any more.
    fn of(untold: &'a Untold, state: &'a State) -> Option<Self> {
        let overlay = state.overlays.get(untold.seq)?;
        let told = Self {
            event: "",
            by: &untold.by,
            message_seq: untold.seq,
            after: state.head.newest,
            content: None,
            edited: None,
            emoji: None,
            user: None,
            count: None,
            off: false,
        };
        let gone = overlay.recall.is_some() || overlay.burnt;
        Some(match &untold.change {
            Change::Edit => {
                let edit = overlay.edit.as_ref().filter(|_| !gone)?;
                let edited = Some(Edited { at: edit.at, count: edit.count });
                Self { event: "edit", content: Some(&edit.content), edited, ..told }
            }
            Change::Recall => Self { event: "recall", by: &overlay.recall.as_ref()?.by, ..told },
            Change::Burn => Self { event: "burn", ..told },
            Change::React { emoji, user } => {
                let users = overlay.reactions.iter().find(|(e, _)| e == emoji).map(|(_, users)| users);
                let off = !users.is_some_and(|users| users.contains(user));
                let count = Some(users.map_or(0, Vec::len));
                Self { event: "react", emoji: Some(emoji), user: Some(user), count, off, ..told }
            }
            Change::Pin => Self { event: "pin", off: overlay.pin.is_none(), ..told },
        })
    }
}

impl Im {
    /// One message that somebody sees.
    ///
    /// # Errors
    /// They are not in the conversation; [`Wrong::NoSuch`] where they do not see such a message.
    pub(crate) async fn seen(
        &self,
        conversation: &Conversation,
        me: &str,
        seq: u64,
    ) -> Result<Arc<Record>, Wrong> {
        self.sees(conversation, me, seq)?;
        let record = self.record(conversation, seq).await?;
        // One may have been removed, or the message deleted, meanwhile.
        self.sees(conversation, me, seq)?;
        Ok(record)
    }

    fn sees(&self, conversation: &Conversation, me: &str, seq: u64) -> Result<(), Wrong> {
        let now = self.now().wall.as_millis();
        let state = conversation.lock();
        let member = state.member(me)?;
        // Whether it is there at all, the journal knows: it may not have been heard yet.
        if seq > 0 && member.sees(seq, state.info.starts_at_join(), now) {
            Ok(())
        } else {
            Err(Wrong::NoSuch("message"))
        }
    }

    /// Keeps what changed of a message, with these other rows, and announces it. To be called under the lock that the
    /// change was made under; what it gives is awaited without it.
    pub(crate) fn change(
        &self,
        conversation: &Arc<Conversation>,
        state: &mut State,
        untold: Untold,
        others: Vec<Row>,
    ) -> BoxFuture<'static, Result<(), Wrong>> {
        let (seq, key) = (untold.seq, untold_key(self.inner.chores.number()));
        let rows = self.overlay_row(conversation, state, seq).into_iter().chain(others);
        let written = self.inner.ledger.commit(rows.chain([(key.clone(), Some(json(&untold)))]));
        let number = self.inner.ledger.put([]);
        self.in_line(conversation, state, seq, number);
        let (im, conversation) = (self.clone(), conversation.clone());
        self.inner.chores.run(async move {
            written.await?;
            if let Err(wrong) = im.announce(&conversation, &untold).await {
                // It is so, and who asks sees it; the others hear of it after the next start.
                tracing::warn!(%wrong, conversation = &*conversation.id, seq, "a change was not announced");
                return Ok(());
            }
            im.inner.ledger.put([(key, None)]);
            Ok(())
        })
    }

    /// Announces a change that is safe, as it is now, and erases what is not to be there any more.
    async fn announce(&self, conversation: &Arc<Conversation>, untold: &Untold) -> Result<(), Wrong> {
        let answer = {
            let state = self.overlay(conversation, untold.seq).await?;
            let Some(told) = Told::of(untold, &state) else { return Ok(()) };
            let publish = Publish {
                content: yizhan_hub::Content::Json,
                ..Publish::new(conversation.events.clone(), json(&told))
            };
            // Under the lock: the one that is announced last says how it is.
            self.inner.hub.publish_as(self.now(), untold.sender(), publish)
        };
        if let Answer::Refused(refused) = answer.wait().await {
            return Err(refused.into());
        }
        if matches!(untold.change, Change::Recall | Change::Burn) {
            // Only now every earlier event of the conversation is safe, and can be erased.
            self.erase(conversation, untold.seq).await?;
        }
        Ok(())
    }

    /// Erases what a message said, and every version of it in the events.
    async fn erase(&self, conversation: &Conversation, seq: u64) -> Result<(), StoreError> {
        let (messages, events) = (&conversation.messages, &conversation.events);
        let Some(journal) = self.inner.hub.journal(messages) else { return Ok(()) };
        let one = PageSize { records_max: 1, bytes_max: 1 };
        let said =
            journal.history(messages, Range::Between(seq.saturating_sub(1), seq.saturating_add(1)), one);
        let Some(record) = said.await?.records.pop() else { return Ok(()) };
        journal.erase(messages, vec![seq]).await?;
        let Some(journal) = self.inner.hub.journal(events) else { return Ok(()) };
        let (mut range, mut edits) = (Range::Since(record.at), Vec::new());
        loop {
            let page = journal.history(events, range, PAGE).await?;
            edits.extend(page.records.iter().filter(|r| is_edit_of(r, seq)).map(|r| r.seq));
            match page.records.last() {
                Some(last) if !page.at_end => range = Range::After(last.seq),
                _ => break,
            }
        }
        if !edits.is_empty() {
            journal.erase(events, edits).await?;
        }
        Ok(())
    }

    /// Announces what was not announced before the service ended.
    pub(crate) async fn announce_untold(&self) -> Result<(), StoreError> {
        let mut after = None::<Bytes>;
        loop {
            let rows = self.inner.ledger.table().scan(UNTOLD, after.as_deref(), ROWS).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, value) in rows {
                let untold: Untold = parsed(&key, &value)?;
                let told = match self.conversation(&untold.conversation).await {
                    Ok(conversation) => self.announce(&conversation, &untold).await,
                    // It was dismissed and removed.
                    Err(Wrong::NoSuch(_)) => Ok(()),
                    Err(wrong) => Err(wrong),
                };
                match told {
                    Ok(()) => {
                        self.inner.ledger.put([(key, None)]);
                    }
                    Err(Wrong::Refused(Refused::Store(error))) => return Err(error),
                    Err(wrong) => tracing::warn!(%wrong, "a change from before the start was not announced"),
                }
            }
        }
    }
}

fn untold_key(number: u64) -> Bytes {
    let mut key = UNTOLD.to_vec();
    key.extend_from_slice(format!("{number:016x}").as_bytes());
    key.into()
}

/// Whether an event says what a message says now.
fn is_edit_of(event: &Record, seq: u64) -> bool {
    let Ok(said) = serde_json::from_slice::<Value>(&event.message.body) else { return false };
    said["event"] == "edit" && said["message_seq"] == seq
}
