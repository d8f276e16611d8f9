//! How far everybody is: delivered to a device, read by a person. Cursors, not a row for each message; they never go
//! back.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::service::Caller;

use crate::{
    conversation::{CURSORS_MEMBERS_MAX, Conversation},
    denied::Wrong,
    im::Im,
    names,
    op::{Done, Op, op},
};

/// Conversations whose cursors are moved at once.
const CURSORS_MAX: usize = 1000;
/// People on one page of receipts.
const PAGE_MAX: usize = 1000;

/// What is asked of reading.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Read {
    /// In which conversation.
    conversation: String,
    /// Everything up to this message is read.
    seq: u64,
}

/// How far one is.
#[derive(Debug, Serialize, JsonSchema)]
struct Reading {
    /// Everything up to this message is read.
    read: u64,
    /// Messages that are not.
    unread: u64,
    /// Those of them that mention one.
    mentions: u64,
}

/// What a device has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delivered {
    /// For each conversation, the message up to which everything is there. At most 1000 conversations.
    cursors: BTreeMap<String, u64>,
}

/// Of whom receipts are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Which {
    /// Who has read it.
    #[default]
    Read,
    /// Who has not.
    Unread,
    /// To whom it is delivered, and who has not read it.
    Delivered,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfMessage {
    /// In which conversation.
    conversation: String,
    /// Which message.
    seq: u64,
    /// Who is listed.
    #[serde(default)]
    which: Which,
    /// Go on behind this user.
    after: Option<String>,
    /// Users at most; 100, where nothing is said.
    limit: Option<usize>,
}

/// Who has a message.
#[derive(Debug, Serialize, JsonSchema)]
struct Receipts {
    /// How many have read it, its sender left out.
    read: usize,
    /// To how many it is delivered, those who have read it included.
    delivered: usize,
    /// Of how many, its sender left out.
    members: usize,
    /// Those who were asked for, in the order of names.
    users: Vec<Arc<str>>,
    /// For `after` of the next question; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Arc<str>>,
}

/// How far somebody is, for others.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Cursor {
    /// Who.
    pub user: Arc<str>,
    /// Everything up to this message is read.
    pub read: u64,
    /// Everything up to this message is on a device.
    pub delivered: u64,
}

#[derive(Serialize)]
struct CursorsMoved {
    event: &'static str,
    cursors: Vec<Cursor>,
}

#[derive(Serialize)]
struct ReadElsewhere<'a> {
    event: &'static str,
    conversation: &'a str,
    read: u64,
    unread: u64,
    mentions: u64,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "read",
            "Everything up to a message is read; cursors never go back.",
            |im: Im, caller: Caller, input: Read| async move { im.read(caller, input).await },
        ),
        op(
            "delivered",
            "What this device has, by conversation.",
            |im: Im, caller: Caller, input: Delivered| async move { im.delivered(caller, input).await },
        ),
        op(
            "receipts",
            "Who has a message, and who has read it.",
            |im: Im, caller: Caller, input: OfMessage| async move { im.receipts(caller, input).await },
        ),
    ]
}

impl Im {
    async fn read(&self, caller: Caller, input: Read) -> Result<Reading, Wrong> {
        let conversation = self.conversation(&input.conversation).await?;
        let me = &caller.who.user;
        let (reading, written) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            state.member(me)?;
            if input.seq > 0 && !self.was_said(&conversation, state, input.seq) {
                return Err(Wrong::NoSuch("message"));
            }
            let (newest, from_join) = (state.head.newest.max(input.seq), state.info.starts_at_join());
            let now = caller.now.wall.as_millis();
            let member = state.member_mut(me)?;
            let before = member.read;
            let moved = member.reads(input.seq, now);
            if moved {
                member.changed_at = now;
            }
            let burning = self.burn_read(&conversation, state, me, before);
            let member = state.member(me)?;
            let reading = Reading {
                read: member.read,
                unread: member.unread(me, newest, &state.info.recalled, from_join),
                mentions: member.mentions(me, &state.info.mentions_all, from_join),
            };
            let row = moved.then(|| conversation.member_row(me, member));
            let written = row.map(|row| {
                self.move_cursor(&conversation, &mut state.moved, me);
                self.inner.ledger.commit(burning.into_iter().chain([row]))
            });
            (reading, written)
        };
        if let Some(written) = written {
            written.await?;
            let event = ReadElsewhere {
                event: "read",
                conversation: &conversation.id,
                read: reading.read,
                unread: reading.unread,
                mentions: reading.mentions,
            };
            self.tell(std::iter::once(me), &names::stream(me), &event);
        }
        Ok(reading)
    }

    async fn delivered(&self, caller: Caller, input: Delivered) -> Result<Done, Wrong> {
        if input.cursors.len() > CURSORS_MAX {
            return Err(Wrong::TooMany { what: "conversations", max: CURSORS_MAX });
        }
        let me = &caller.who.user;
        let device = self.device_of(&caller);
        let mut moved = false;
        for (id, seq) in input.cursors {
            let Ok(conversation) = self.conversation(&id).await else { continue };
            let mut guard = conversation.lock();
            let state = &mut *guard;
            let newest = if self.was_said(&conversation, state, seq) { seq } else { state.head.newest };
            // One that was left meanwhile has no cursor any more.
            let Ok(member) = state.member_mut(me) else { continue };
            let before = member.delivered();
            if member.receives(&device, seq.min(newest)) {
                moved = true;
                let row = conversation.member_row(me, member);
                conversation.wrote(self.inner.ledger.put([row]));
                if member.delivered() > before {
                    self.move_cursor(&conversation, &mut state.moved, me);
                }
            }
        }
        if moved {
            self.inner.ledger.commit([]).await?;
        }
        Ok(Done {})
    }

    /// The name of the device that a caller uses.
    pub(crate) fn device_of(&self, caller: &Caller) -> Arc<str> {
        let attached = self.inner.online.of(&caller.who.user);
        let device = attached.iter().find(|a| a.session == caller.session).map(|a| a.device.clone());
        device.or_else(|| caller.who.device.clone()).unwrap_or_else(|| "".into())
    }

    /// Somebody's cursors moved: announced after the next write, all of a conversation together.
    fn move_cursor(&self, conversation: &Arc<Conversation>, moved: &mut Vec<Arc<str>>, user: &Arc<str>) {
        if moved.is_empty() {
            self.inner.ledger.announce(conversation);
        }
        if !moved.contains(user) {
            moved.push(user.clone());
        }
    }

    /// Tells the members of small conversations how far others are.
    pub(crate) fn announce_cursors(&self, conversations: Vec<Arc<Conversation>>) {
        for conversation in conversations {
            let (cursors, members) = {
                let mut state = conversation.lock();
                let moved = std::mem::take(&mut state.moved);
                if state.members.len() > CURSORS_MEMBERS_MAX {
                    continue;
                }
                let cursor = |user: Arc<str>| {
                    let member = state.members.get(&user)?;
                    Some(Cursor { read: member.read, delivered: member.delivered(), user })
                };
                let cursors: Vec<Cursor> = moved.into_iter().filter_map(cursor).collect();
                (cursors, state.members.keys().cloned().collect::<Vec<_>>())
            };
            if !cursors.is_empty() {
                let event = CursorsMoved { event: "cursors", cursors };
                self.tell(members.iter(), &conversation.live, &event);
            }
        }
    }

    async fn receipts(&self, caller: Caller, input: OfMessage) -> Result<Receipts, Wrong> {
        let conversation = self.conversation(&input.conversation).await?;
        let message = self.seen(&conversation, &caller.who.user, input.seq).await?;
        let from = &message.message.from.user;
        let state = conversation.lock();
        state.member(&caller.who.user)?;
        let others =
            state.members.iter().filter(|(user, member)| *user != from && member.joined_seq < input.seq);
        let (mut read, mut delivered, mut members) = (0, 0, 0);
        let mut users = Vec::new();
        for (user, member) in others {
            let (has_read, has) = (member.read >= input.seq, member.delivered() >= input.seq);
            members += 1;
            read += usize::from(has_read);
            delivered += usize::from(has);
            let listed = match input.which {
                Which::Read => has_read,
                Which::Unread => !has_read,
                Which::Delivered => has && !has_read,
            };
            if listed && input.after.as_deref().is_none_or(|after| &**user > after) {
                users.push(user.clone());
            }
        }
        drop(state);
        users.sort_unstable();
        let limit = input.limit.unwrap_or(100).clamp(1, PAGE_MAX);
        let next = (users.len() > limit).then(|| users[limit - 1].clone());
        users.truncate(limit);
        Ok(Receipts { read, delivered, members, users, next })
    }
}
