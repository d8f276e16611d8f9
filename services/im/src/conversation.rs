//! A conversation as it is in memory: what it says of itself, who is in it, and how far everybody is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use futures_channel::oneshot;
use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use yizhan_hub::{Record, Topic};

use crate::{
    denied::Wrong,
    flow::Flow,
    ledger::{Row, json},
    member::{Member, Role},
    names::{self, Kind},
    overlays::Overlays,
};

/// Recalled messages whose numbers are remembered for counting; beyond it the oldest count as unread.
const RECALLED_MAX: usize = 1000;
/// Messages to all whose numbers are remembered for counting mentions.
const MENTIONS_ALL_MAX: usize = 1000;
/// Members whose cursors everybody sees as they move; in larger groups senders ask.
pub(crate) const CURSORS_MEMBERS_MAX: usize = 100;

/// How one becomes a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Join {
    /// A member (or only admins, see `invite`) brings one in.
    #[default]
    Invite,
    /// One asks, an admin decides.
    Request,
    /// Whoever wants.
    Open,
}

/// Who of a conversation may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Who {
    /// Every member.
    #[default]
    All,
    /// Admins and the owner.
    Admins,
}

/// How much of what was said before one came is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shown {
    /// All of it.
    #[default]
    All,
    /// None of it.
    Joined,
}

/// What a conversation says of itself. The row `c/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Info {
    pub(crate) kind: Kind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) about: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) avatar: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) announcement: Option<String>,
    /// The two of a direct conversation; the same one twice for notes to oneself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pair: Vec<Arc<str>>,
    /// Empty for direct conversations.
    #[serde(default)]
    pub(crate) owner: Arc<str>,
    pub(crate) created_at: u64,
    /// Grows with every change of this row that clients see.
    pub(crate) version: u64,
    #[serde(default)]
    pub(crate) join: Join,
    /// Whether it is found by others.
    #[serde(default)]
    pub(crate) public: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) handle: Option<String>,
    #[serde(default)]
    pub(crate) mute_all: bool,
    #[serde(default)]
    pub(crate) history: Shown,
    /// Who may mention all.
    #[serde(default)]
    pub(crate) mention_all: Who,
    /// Who may bring others in.
    #[serde(default)]
    pub(crate) invite: Who,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) attributes: Map<String, Value>,
    /// Recalled messages with their senders, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) recalled: Vec<(u64, Arc<str>)>,
    /// Messages that mention all, with their senders, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mentions_all: Vec<(u64, Arc<str>)>,
    /// Pinned messages, newest pin last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pins: Vec<u64>,
    /// Messages that burn once they are read and were not read by all yet, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) burning: Vec<Burning>,
    /// The newest message that burns; what is not in the list up to it burns already.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) burning_through: u64,
    /// Who may not come back, until when (the far end of time for good).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) banned: BTreeMap<Arc<str>, u64>,
    /// Who asks to come in, with what they said and when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) requests: BTreeMap<Arc<str>, Request>,
    /// Who was invited, by whom and when: they come in by themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) invited: BTreeMap<Arc<str>, Invitation>,
    /// Links by which one may join.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) links: Vec<Link>,
    /// What only chatrooms have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) room: Option<Box<Room>>,
    /// When it was dismissed; 0 while it lives.
    #[serde(default)]
    pub(crate) dismissed_at: u64,
    /// How many members there are, for those who have not loaded them.
    #[serde(default)]
    pub(crate) members: u64,
    /// When anything of it changed that lists show.
    #[serde(default)]
    pub(crate) changed_at: u64,
}

/// A message that burns once it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Burning {
    pub(crate) seq: u64,
    /// Who sent it.
    pub(crate) by: Arc<str>,
    /// Seconds from reading to its end.
    pub(crate) after_s: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Somebody asks to come in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) text: Option<String>,
    pub(crate) at: u64,
}

/// Somebody may come in when they want.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub(crate) by: Arc<str>,
    pub(crate) at: u64,
}

/// What a chatroom has in the place of members.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Room {
    pub(crate) admins: BTreeSet<Arc<str>>,
    /// Who is silent, until when (the far end of time for good).
    pub(crate) muted: BTreeMap<Arc<str>, u64>,
    /// What the application keeps with it.
    pub(crate) values: BTreeMap<String, RoomValue>,
}

/// A value of a chatroom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RoomValue {
    pub(crate) value: Value,
    pub(crate) by: Arc<str>,
    pub(crate) at: u64,
}

/// A link by which one may join.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) code: String,
    pub(crate) by: Arc<str>,
    /// 0 for never.
    pub(crate) expires_at: u64,
    /// How many may still use it.
    pub(crate) uses: Option<u32>,
}

impl Info {
    /// A new conversation.
    pub(crate) fn new(kind: Kind, owner: Arc<str>, at: u64) -> Self {
        Self {
            kind,
            title: String::new(),
            about: None,
            avatar: None,
            announcement: None,
            pair: Vec::new(),
            owner,
            created_at: at,
            version: 1,
            join: Join::default(),
            public: false,
            handle: None,
            mute_all: false,
            history: Shown::default(),
            mention_all: Who::default(),
            invite: Who::default(),
            attributes: Map::new(),
            recalled: Vec::new(),
            mentions_all: Vec::new(),
            pins: Vec::new(),
            burning: Vec::new(),
            burning_through: 0,
            banned: BTreeMap::new(),
            requests: BTreeMap::new(),
            invited: BTreeMap::new(),
            links: Vec::new(),
            room: None,
            dismissed_at: 0,
            members: 0,
            changed_at: at,
        }
    }

    /// Whether what was said before somebody came is not shown to them.
    pub(crate) fn starts_at_join(&self) -> bool {
        self.history == Shown::Joined
    }

    /// The other one of a direct conversation.
    pub(crate) fn peer_of(&self, user: &str) -> Option<&Arc<str>> {
        self.pair.iter().find(|name| &***name != user).or_else(|| self.pair.first())
    }

    /// A message mentions all; gives whether the row changed.
    pub(crate) fn mentions_all(&mut self, seq: u64, by: &Arc<str>) -> bool {
        insert(&mut self.mentions_all, seq, by, MENTIONS_ALL_MAX)
    }

    /// A message was recalled; gives whether the row changed.
    pub(crate) fn recall(&mut self, seq: u64, by: &Arc<str>) -> bool {
        insert(&mut self.recalled, seq, by, RECALLED_MAX)
    }

    /// Whether a message was recalled, as far as it is remembered.
    pub(crate) fn is_recalled(&self, seq: u64) -> bool {
        self.recalled.binary_search_by_key(&seq, |(seq, _)| *seq).is_ok()
    }
}

fn insert(list: &mut Vec<(u64, Arc<str>)>, seq: u64, by: &Arc<str>, max: usize) -> bool {
    match list.binary_search_by_key(&seq, |(seq, _)| *seq) {
        Ok(_) => false,
        Err(at) => {
            list.insert(at, (seq, by.clone()));
            if list.len() > max {
                list.remove(0);
            }
            true
        }
    }
}

/// How far a conversation's topics are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    /// The newest message's number; 0 where nothing was said.
    pub(crate) newest: u64,
    /// The newest event's number.
    pub(crate) changed: u64,
    /// When that was, ms; 0 where nothing happened.
    pub(crate) changed_at: u64,
    /// The newest message.
    pub(crate) last: Option<Arc<Record>>,
    /// When something was said last, or it was made, ms.
    pub(crate) active_at: u64,
}

/// What is under a conversation's lock.
pub(crate) struct State {
    pub(crate) info: Info,
    pub(crate) members: FxHashMap<Arc<str>, Member>,
    pub(crate) head: Head,
    /// What became of messages, as far as it was wanted or is not written yet.
    pub(crate) overlays: Overlays,
    /// Senders who wait until their message has been heard, each with its number.
    pub(crate) unheard: Vec<(u64, oneshot::Sender<()>)>,
    /// Whose cursors moved since they were announced.
    pub(crate) moved: Vec<Arc<str>>,
    /// What may still be said in a chatroom.
    pub(crate) flow: Flow,
}

/// A conversation in memory.
pub(crate) struct Conversation {
    pub(crate) id: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) messages: Topic,
    pub(crate) events: Topic,
    pub(crate) live: Topic,
    state: Mutex<State>,
    /// When it was wanted last, ms.
    pub(crate) used_at: AtomicU64,
    /// The number of the newest write that has rows of it.
    pub(crate) written: AtomicU64,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Conversation({})", self.id)
    }
}

impl Conversation {
    pub(crate) fn new(id: Arc<str>, info: Info, members: FxHashMap<Arc<str>, Member>, head: Head) -> Self {
        Self {
            kind: info.kind,
            messages: names::messages(&id),
            events: names::events(&id),
            live: names::live(&id),
            id,
            state: Mutex::new(State {
                info,
                members,
                head,
                overlays: Overlays::default(),
                moved: Vec::new(),
                unheard: Vec::new(),
                flow: Flow::default(),
            }),
            used_at: AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Its own row.
    pub(crate) fn row(&self, state: &State) -> Row {
        (info_key(&self.id), Some(json(&state.info)))
    }

    /// A member's row.
    pub(crate) fn member_row(&self, user: &str, member: &Member) -> Row {
        (member_key(user, &self.id), Some(json(member)))
    }

    /// The rows of somebody who came in.
    pub(crate) fn rows_of_new(&self, user: &str, member: &Member) -> [Row; 3] {
        let index = (index_key(&self.id, user), Some(Bytes::from_static(b"{}")));
        [self.member_row(user, member), index, (gone_key(user, &self.id), None)]
    }

    /// The rows of somebody who is gone since `at`, ms; lists say so to devices that come back.
    pub(crate) fn rows_of_gone(&self, user: &str, at: u64) -> [Row; 3] {
        let gone = (gone_key(user, &self.id), Some(json(&at)));
        [(member_key(user, &self.id), None), (index_key(&self.id, user), None), gone]
    }

    /// Notes that a write has rows of it.
    pub(crate) fn wrote(&self, number: u64) {
        self.written.fetch_max(number, Relaxed);
    }
}

impl State {
    /// The caller's membership.
    pub(crate) fn member(&self, user: &str) -> Result<&Member, Wrong> {
        if self.info.dismissed_at > 0 {
            return Err(Wrong::Gone);
        }
        self.members.get(user).ok_or_else(|| match self.info.banned.contains_key(user) {
            true => Wrong::Banned,
            false => Wrong::NotMember,
        })
    }

    /// The caller's membership, to be changed.
    pub(crate) fn member_mut(&mut self, user: &str) -> Result<&mut Member, Wrong> {
        self.member(user)?;
        self.members.get_mut(user).ok_or(Wrong::NotMember)
    }

    /// The caller's membership where it is an admin's or the owner's.
    pub(crate) fn admin(&self, user: &str) -> Result<&Member, Wrong> {
        let member = self.member(user)?;
        if member.role < Role::Admin {
            return Err(Wrong::NotAllowed("only the owner and admins may do this"));
        }
        Ok(member)
    }
}

/// The key of a conversation's row.
pub(crate) fn info_key(id: &str) -> Bytes {
    format!("c/{id}").into()
}

/// The key of a membership's row. Names of users may have slashes; ids have none.
pub(crate) fn member_key(user: &str, id: &str) -> Bytes {
    format!("{}{id}", member_prefix(user)).into()
}

/// What the keys of a user's memberships begin with.
pub(crate) fn member_prefix(user: &str) -> String {
    // No name begins like another one's rows: the length says where it ends.
    format!("u/{:04x}{user}/", user.len())
}

/// The key of the row that says that somebody is a member.
pub(crate) fn index_key(id: &str, user: &str) -> Bytes {
    format!("m/{id}/{user}").into()
}

/// What the keys of a conversation's index begin with.
pub(crate) fn index_prefix(id: &str) -> String {
    format!("m/{id}/")
}

/// The key of the row that says that somebody is no longer a member.
pub(crate) fn gone_key(user: &str, id: &str) -> Bytes {
    format!("{}{id}", gone_prefix(user)).into()
}

/// What the keys of conversations begin with that somebody has left.
pub(crate) fn gone_prefix(user: &str) -> String {
    format!("g/{:04x}{user}/", user.len())
}
