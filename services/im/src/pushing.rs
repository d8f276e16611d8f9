//! Whom to wake: for each message, those members who are not here and whom it rings for. What wakes them (APNs, FCM, a
//! webhook) listens to the topic `im/push`.
//!
//! It reads the journal from a place of its own, so that a crash wakes somebody twice rather than never.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use serde::Serialize;
use yizhan_hub::{
    Content as Body, Filter, Position, Record, StoreError, Topic, link::Publish, store::PageSize,
};

use crate::{
    content::Content,
    conversation::Conversation,
    denied::Wrong,
    heard::{MENTION_ALL, MENTIONS, header},
    im::{Im, Inner},
    ledger::json,
    load::parsed,
    names::{self, Kind, Place},
    seams,
};

/// The topic of who is to be woken; only operators hear it.
pub(crate) const PUSH: &str = "im/push";
/// The row of the places up to which everybody was woken.
const PUSHED: &[u8] = b"k/pushed";
/// People in one event; more get events of their own.
const USERS_MAX: usize = 1000;
/// Characters of a message that an event shows.
const PREVIEW_CHARS: usize = 120;
/// How much is read at once.
const PAGE: PageSize = PageSize { records_max: 256, bytes_max: 1 << 20 };

/// Whether there is something to look at.
#[derive(Default)]
pub(crate) struct Pushing {
    new: AtomicBool,
    waker: AtomicWaker,
}

impl Pushing {
    /// Something was said.
    pub(crate) fn nudge(&self) {
        if !self.new.swap(true, SeqCst) {
            self.waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> bool {
        self.waker.register(cx.waker());
        self.new.swap(false, SeqCst)
    }
}

/// Somebody is to be woken.
#[derive(Debug, Serialize)]
struct Push<'a> {
    event: &'static str,
    conversation: &'a str,
    kind: Kind,
    title: &'a str,
    seq: u64,
    at: u64,
    from: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_name: Option<&'a str>,
    /// What the message is.
    what: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    text: &'a str,
    users: &'a [Arc<str>],
    /// Those of them whom it mentions.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    mentioned: &'a [Arc<str>],
}

/// Wakes people, as long as somebody holds the service.
pub(crate) async fn push_all(im: Weak<Inner>, mut places: Vec<Position>) {
    loop {
        let next = std::future::poll_fn(|cx| {
            let Some(inner) = im.upgrade() else { return Poll::Ready(None) };
            if inner.pushing.poll(cx) { Poll::Ready(Some(inner)) } else { Poll::Pending }
        });
        let Some(inner) = next.await else { return };
        let im = Im { inner };
        if !im.config().push {
            if let Some(journal) = im.inner.hub.journal(&names::messages("g00000000000")) {
                places = journal.heads();
            }
        } else if let Err(error) = im.push_on(&mut places).await {
            tracing::error!(%error, "who is to be woken could not be found out: it is tried again");
            im.inner.pushing.new.store(true, SeqCst);
        }
    }
}

impl Im {
    /// Looks at what was said since the last time.
    async fn push_on(&self, known: &mut Vec<Position>) -> Result<(), Wrong> {
        // Both are constants.
        let failed = |bad: yizhan_hub::topic::BadName| StoreError::Failed(bad.to_string());
        let filter = Filter::new("im/c/+").map_err(failed)?;
        let Some(journal) = self.inner.hub.journal(&names::messages("g00000000000")) else { return Ok(()) };
        for head in journal.heads() {
            let at = known.iter().position(|p: &Position| p.same_lane(&head));
            let mut after = at.map_or(Position { offset: 0, ..head }, |at| known[at]);
            while after.offset < head.offset {
                let page = journal.read(after, &filter, PAGE).await?;
                for record in &page.records {
                    self.push_one(record).await?;
                }
                match page.through {
                    Some(through) if through.offset > after.offset => after = through,
                    _ => break,
                }
                known.retain(|p| !p.same_lane(&head));
                known.push(after);
                let texts: Vec<String> = known.iter().map(ToString::to_string).collect();
                self.inner.ledger.put([(bytes::Bytes::from_static(PUSHED), Some(json(&texts)))]);
            }
        }
        Ok(())
    }

    /// The places up to which everybody was woken. Who turns this on does not want to wake people for last year's
    /// messages: where it was off, that is here.
    pub(crate) async fn pushed(&self) -> Result<Vec<Position>, StoreError> {
        let Some(journal) = self.inner.hub.journal(&names::messages("g00000000000")) else {
            return Ok(Vec::new());
        };
        let row = self.inner.ledger.table().get(PUSHED).await?;
        match row.filter(|_| self.config().push) {
            Some((row, _)) => {
                let texts: Vec<String> = parsed(PUSHED, &row)?;
                Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
            }
            None => Ok(journal.heads()),
        }
    }

    async fn push_one(&self, record: &Arc<Record>) -> Result<(), Wrong> {
        let Some(Place::Messages(id)) = Place::of(record.message.topic.as_str()) else { return Ok(()) };
        let conversation = match self.conversation(id).await {
            Ok(conversation) => conversation,
            // It is gone: nobody is to be woken.
            Err(Wrong::NoSuch(_)) => return Ok(()),
            Err(wrong) => return Err(wrong),
        };
        let (absent, mentioned) = self.absent(&conversation, record);
        if absent.is_empty() {
            return Ok(());
        }
        let now = self.now().wall.as_millis();
        let people = self.persons(&absent).await?;
        let quiet = |known: &Arc<crate::person::Known>| known.lock().is_quiet(now);
        let users: Vec<Arc<str>> =
            people.iter().filter(|k| !quiet(k)).map(|known| known.user.clone()).collect();
        let Ok(content) = serde_json::from_slice::<Content>(&record.message.body) else { return Ok(()) };
        let from = self.person(&record.message.from.user).await?;
        let from_name = from.lock().name.clone();
        let title = conversation.lock().info.title.clone();
        let words = content.words();
        let end = words.char_indices().nth(PREVIEW_CHARS).map_or(words.len(), |(at, _)| at);
        for users in users.chunks(USERS_MAX) {
            let mentioned: Vec<Arc<str>> = users.iter().filter(|u| mentioned.contains(u)).cloned().collect();
            let push = Push {
                event: "push",
                conversation: id,
                kind: conversation.kind,
                title: &title,
                seq: record.seq,
                at: record.at.as_millis(),
                from: &record.message.from.user,
                from_name: from_name.as_deref(),
                what: content.kind.name(),
                text: &words[..end],
                users,
                mentioned: &mentioned,
            };
            self.publish_push(&push).await?;
        }
        Ok(())
    }

    /// Members who are not here and whom a message rings for; and whom it mentions.
    fn absent(&self, conversation: &Conversation, record: &Record) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let now = self.now().wall.as_millis();
        let all = header(record, MENTION_ALL).is_some();
        let names: Vec<&str> =
            header(record, MENTIONS).map(|names| names.lines().collect()).unwrap_or_default();
        let state = conversation.lock();
        let mut mentioned = Vec::new();
        let mut absent = Vec::new();
        for (user, member) in &state.members {
            let is_mentioned = all || names.contains(&&**user);
            let waits = *user != record.message.from.user
                && member.read < record.seq
                && member.joined_seq < record.seq
                && member.rings(is_mentioned, now)
                && !self.inner.online.is_here(user);
            if waits {
                absent.push(user.clone());
                if is_mentioned {
                    mentioned.push(user.clone());
                }
            }
        }
        (absent, mentioned)
    }

    async fn publish_push(&self, push: &Push<'_>) -> Result<(), Wrong> {
        // A constant.
        let topic = Topic::new(PUSH).map_err(|bad| Wrong::BadInput(bad.to_string()))?;
        let publish = Publish { content: Body::Json, ..Publish::new(topic, json(push)) };
        match self.inner.hub.publish_as(self.now(), seams::server(), publish).wait().await {
            yizhan_hub::Answer::Refused(refused) => Err(refused.into()),
            _ => Ok(()),
        }
    }
}
