//! A conversation as one of its members sees it in a list.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    conversation::{CURSORS_MEMBERS_MAX, Conversation, Head, Info, Join, Shown, Who},
    denied::Wrong,
    im::Im,
    member::{Member, Notify, Role},
    names::{self, Kind},
    receipts::Cursor,
    rooms,
    view::Message,
};

/// A conversation as one of its members sees it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Entry {
    /// Its id.
    pub id: Arc<str>,
    /// The topic of its messages.
    pub topic: String,
    /// What it is.
    pub kind: Kind,
    /// What it is called; empty for direct conversations, which are called as the peer is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Its picture: a file's id, or an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// The other one of a direct conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Arc<str>>,
    /// How many members there are.
    pub members: u64,
    /// The newest message's number; 0 where nothing was said.
    pub newest: u64,
    /// The newest event's number.
    pub changed: u64,
    /// Grows with every change of `info`.
    pub version: u64,
    /// When something was said last, milliseconds since 1970.
    pub active_at: u64,
    /// The newest message that one sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Message>,
    /// Messages of others that one has not read.
    pub unread: u64,
    /// Those of them that mention one.
    pub mentions: u64,
    /// Everything up to this message is read.
    pub read: u64,
    /// What one may do.
    pub role: Role,
    /// When one pinned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<u64>,
    /// When it rings.
    pub notify: Notify,
    /// Until when it rings no more than that; left out for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_until: Option<u64>,
    /// Whether one marked it as unread.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub marked_unread: bool,
    /// What one began to write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
    /// Whether one took it off the list, until something is said.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Until when one is muted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<u64>,
    /// Whether all but admins are muted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mute_all: bool,
    /// What the admins want to be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announcement: Option<String>,
    /// How far everybody is; in conversations of up to 100 members.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cursors: Vec<Cursor>,
    /// What else there is to know; where one conversation was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<About>,
}

/// What a conversation says of itself beyond what lists show.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct About {
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// How one becomes a member.
    pub join: Join,
    /// Whether others find it.
    pub public: bool,
    /// Its own name, by which it is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// Whose it is.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub owner: Arc<str>,
    /// When it was made, milliseconds since 1970.
    pub created_at: u64,
    /// What those who come later see.
    pub history: Shown,
    /// Who may mention all.
    pub mention_all: Who,
    /// Who may bring others in.
    pub invite: Who,
    /// What the application says with it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// The pinned messages, newest pin last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<u64>,
    /// How many ask to come in; for admins.
    pub requests: usize,
}

impl About {
    /// Of a row.
    pub(crate) fn of(info: &Info) -> Self {
        Self {
            about: info.about.clone(),
            join: info.join,
            public: info.public,
            handle: info.handle.clone(),
            owner: info.owner.clone(),
            created_at: info.created_at,
            history: info.history,
            mention_all: info.mention_all,
            invite: info.invite,
            attributes: info.attributes.clone(),
            pins: info.pins.clone(),
            requests: info.requests.len(),
        }
    }
}

impl Entry {
    /// Of the rows; without the last message and the cursors.
    pub(crate) fn of(id: &Arc<str>, info: &Info, member: &Member, head: &Head, me: &str, now: u64) -> Self {
        let some = |at: u64| (at > 0).then_some(at);
        let from_join = info.starts_at_join();
        Self {
            id: id.clone(),
            topic: names::messages(id).as_str().to_owned(),
            kind: info.kind,
            title: info.title.clone(),
            avatar: info.avatar.clone(),
            peer: info.peer_of(me).cloned(),
            members: info.members,
            newest: head.newest,
            changed: head.changed,
            version: info.version,
            active_at: head.active_at,
            last: None,
            unread: member.unread(me, head.newest, &info.recalled, from_join),
            mentions: member.mentions(me, &info.mentions_all, from_join),
            read: member.read,
            role: member.role,
            pinned_at: some(member.pinned_at),
            notify: member.notify,
            notify_until: some(member.notify_until),
            marked_unread: member.marked_unread,
            draft: member.draft.clone(),
            hidden: member.hidden && member.hidden_seq >= head.newest,
            muted_until: some(member.muted_until).filter(|until| *until > now),
            mute_all: info.mute_all,
            announcement: info.announcement.clone(),
            cursors: Vec::new(),
            info: None,
        }
    }
}

impl Im {
    /// A conversation as a member sees it, with all there is to know.
    pub(crate) async fn entry(&self, conversation: &Arc<Conversation>, me: &str) -> Result<Entry, Wrong> {
        let now = self.now().wall.as_millis();
        let (mut entry, last) = {
            let state = conversation.lock();
            let visitor;
            let member = if conversation.kind == Kind::Room {
                visitor = rooms::as_member(&state, me)?;
                &visitor
            } else {
                state.member(me)?
            };
            let mut entry = Entry::of(&conversation.id, &state.info, member, &state.head, me, now);
            if conversation.kind == Kind::Room {
                entry.members = self.listeners(&conversation.id) as u64;
            }
            if state.members.len() <= CURSORS_MEMBERS_MAX {
                let cursor = |(user, member): (&Arc<str>, &Member)| Cursor {
                    user: user.clone(),
                    read: member.read,
                    delivered: member.delivered(),
                };
                entry.cursors = state.members.iter().map(cursor).collect();
            }
            entry.info = Some(About::of(&state.info));
            let at = self.now().wall;
            let shown = |record: &Arc<yizhan_hub::Record>| {
                member.sees(record.seq, state.info.starts_at_join(), now) && !record.is_expired(at)
            };
            (entry, state.head.last.clone().filter(shown))
        };
        if let Some(last) = last {
            let overlays = self.overlays(&conversation.id, last.seq, last.seq).await?;
            let overlay = overlays.get(&last.seq);
            entry.last = Message::last(&conversation.id, &last, overlay, me);
        }
        Ok(entry)
    }
}
