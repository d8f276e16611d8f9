//! Chatrooms: nobody is a member, whoever listens to `im/r/ID` hears. Who speaks is checked, and where more is said
//! than passes, what matters least is thinned out. A listener costs nothing here: the hub gives messages out.

use std::sync::Arc;

use parking_lot::MutexGuard;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use yizhan_hub::{
    Answer, Content as Body, Principal,
    link::{Durability, Publish},
    message::Sender,
    service::Caller,
};
use yizhan_talk::{Called, Timestamp};

use crate::{
    content::{Content, Priority, What},
    conversation::{Conversation, Info, RoomValue, State, info_key},
    denied::Wrong,
    groups::{leads, whole},
    im::Im,
    load::parsed,
    member::{Member, Role},
    members::is_banned,
    names::{self, Kind},
    op::{OfConversation, Op, op},
    roles::{Until, role_of},
    send::body,
};

/// Values of one chatroom.
const VALUES_MAX: usize = 64;
/// Bytes of a value's name.
const KEY_BYTES_MAX: usize = 128;
/// Bytes of a value as JSON.
const VALUE_BYTES_MAX: usize = 2048;

/// A chatroom with all there is to know.
#[derive(Debug, Serialize, JsonSchema)]
struct RoomShown {
    /// Its id.
    id: Arc<str>,
    /// The topic of its messages: subscribe to it. What happens there is in `…/live`.
    topic: String,
    /// What it is called.
    title: String,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    /// Its picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<String>,
    /// What everybody is to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    announcement: Option<String>,
    /// Whose it is.
    owner: Arc<str>,
    /// Who leads it with the owner, in the order of names.
    admins: Vec<Arc<str>>,
    /// What one may do there.
    role: Role,
    /// How many listen now.
    listeners: usize,
    /// Whether only admins may speak.
    mute_all: bool,
    /// Grows with every change of what it says of itself.
    version: u64,
    /// When it was made, milliseconds since 1970.
    created_at: u64,
    /// What the application keeps with it, in the order of names.
    values: Vec<ValueShown>,
    /// Who is silent; for admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    muted: Option<Vec<Until>>,
}

/// A value of a chatroom.
#[derive(Debug, Serialize, JsonSchema)]
struct ValueShown {
    /// Its name.
    key: String,
    /// What it is.
    value: Value,
    /// Who set it.
    by: Arc<str>,
    /// When, milliseconds since 1970.
    at: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RoomSet {
    /// In which chatroom.
    conversation: String,
    /// The value's name; 1 to 128 bytes.
    key: String,
    /// What it is, at most 2 KiB of JSON; left out or `null` it is taken away.
    #[serde(default)]
    value: Value,
    /// Only where there is none of this name yet.
    #[serde(default)]
    new: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RoomSetDone {
    /// Whether it was something else before.
    changed: bool,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "room",
            "A chatroom: what it says of itself, its values, and how many listen.",
            |im: Im, caller: Caller, input: OfConversation| async move { im.room(caller, input).await },
        ),
        whole(
            "room_set",
            "Sets a value of a chatroom. Who set one, and admins, may change it.",
            |im: Im, caller: Caller, input: RoomSet| async move { im.room_set(caller, input).await },
        ),
    ]
}

/// Whether somebody may say this in a chatroom.
///
/// # Errors
/// Why not.
pub(crate) fn may_speak(state: &State, user: &str, content: &Content, now: u64) -> Result<(), Wrong> {
    let role = role_of(state, user)?;
    if content.thread.is_some() || content.reply == Some(0) {
        return Err(Wrong::BadContent("there are no threads in chatrooms".to_owned()));
    }
    if role >= Role::Admin {
        return Ok(());
    }
    if is_banned(state, user, now) {
        return Err(Wrong::Banned);
    }
    let until = state.info.room.as_ref().and_then(|room| room.muted.get(user)).copied().unwrap_or_default();
    if until > now {
        return Err(Wrong::Muted((until != u64::MAX).then(|| Timestamp::from_millis(until))));
    }
    if state.info.mute_all {
        return Err(Wrong::Muted(None));
    }
    if content.priority == Priority::High {
        return Err(Wrong::NotAllowed("only the owner and admins send with high priority"));
    }
    if content.mention_all || content.mention_here {
        return Err(Wrong::NotAllowed("only the owner and admins mention all here"));
    }
    Ok(())
}

/// What somebody is in a chatroom, as if they were a member.
pub(crate) fn as_member(state: &State, user: &str) -> Result<Member, Wrong> {
    Ok(Member { role: role_of(state, user)?, read: state.head.newest, ..Member::default() })
}

impl Im {
    /// Whether somebody may begin a chatroom, with these members.
    pub(crate) fn may_create_room(&self, who: &Principal, members: &[String]) -> Result<(), Wrong> {
        if !members.is_empty() {
            return Err(Wrong::BadInput("a chatroom has no members: whoever listens is there".to_owned()));
        }
        if self.config().rooms_by_everybody || (self.inner.seams.administers)(who) {
            return Ok(());
        }
        Err(Wrong::NotAllowed("only the server's owners and admins begin chatrooms here"))
    }

    /// How many listen to a chatroom.
    pub(crate) fn listeners(&self, id: &str) -> usize {
        self.inner.hub.listeners(&names::messages(id))
    }

    /// Whether somebody may listen. A chatroom that is not in memory is looked up at once.
    pub(crate) fn may_hear_room(&self, id: &str, user: &str) -> bool {
        let now = self.now().wall.as_millis();
        let may =
            |info: &Info| info.dismissed_at == 0 && info.banned.get(user).is_none_or(|until| *until <= now);
        if let Some(conversation) = self.inner.conversations.find(id) {
            return may(&conversation.lock().info);
        }
        let key = info_key(id);
        let info = self
            .inner
            .ledger
            .table()
            .peek(&key)
            .and_then(|row| row.map(|row| parsed::<Info>(&key, &row)).transpose());
        match info {
            Ok(info) => info.as_ref().is_some_and(may),
            Err(error) => {
                tracing::warn!(%error, "a chatroom could not be looked up: access is denied");
                false
            }
        }
    }

    /// Gives something to those who listen, where it is not thinned out.
    pub(crate) fn put_in_room(
        &self,
        conversation: &Conversation,
        mut state: MutexGuard<'_, State>,
        from: &Sender,
        content: &Content,
        wants: Durability,
    ) -> Called<Answer> {
        #[derive(Serialize)]
        struct Command<'a> {
            event: &'static str,
            from: &'a str,
            data: &'a Option<Value>,
        }
        let now = self.now();
        let matters = match role_of(&state, &from.user) {
            Ok(Role::Member) => content.priority,
            _ => Priority::High,
        };
        if let Err(wait) = state.flow.take(now.steady, self.config().room_messages_per_second, matters) {
            return Called::Done(Wrong::TooFast(wait).into());
        }
        // What is not kept is given out at once, and who listens by a wildcard is looked up here.
        drop(state);
        let publish = if content.kind == What::Command {
            let command = Command { event: "command", from: &from.user, data: &content.data };
            // A plain struct with text keys: nothing of it cannot be written as JSON.
            Publish::new(conversation.live.clone(), serde_json::to_vec(&command).unwrap_or_default().into())
        } else {
            Publish {
                id: content.id.as_deref().map(Into::into),
                expires_in: content.expires_s.map(|s| std::time::Duration::from_secs(u64::from(s))),
                wants,
                ..Publish::new(conversation.messages.clone(), body(content))
            }
        };
        self.inner.hub.publish_as(now, from.clone(), Publish { content: Body::Json, ..publish })
    }

    /// A chatroom.
    async fn room_of(&self, id: &str) -> Result<Arc<Conversation>, Wrong> {
        let conversation = self.conversation(id).await?;
        if conversation.kind != Kind::Room {
            return Err(Wrong::NoSuch("chatroom"));
        }
        Ok(conversation)
    }

    async fn room(&self, caller: Caller, input: OfConversation) -> Result<RoomShown, Wrong> {
        let conversation = self.room_of(&input.conversation).await?;
        let listeners = self.listeners(&conversation.id);
        let now = caller.now.wall.as_millis();
        let state = conversation.lock();
        let role = role_of(&state, &caller.who.user)?;
        if is_banned(&state, &caller.who.user, now) {
            return Err(Wrong::Banned);
        }
        let info = &state.info;
        let room = info.room.clone().unwrap_or_default();
        let value = |(key, held): (String, RoomValue)| ValueShown {
            key,
            value: held.value,
            by: held.by,
            at: held.at,
        };
        let silent = || room.muted.iter().filter(|(_, until)| **until > now).map(Until::of).collect();
        Ok(RoomShown {
            id: conversation.id.clone(),
            topic: conversation.messages.as_str().to_owned(),
            title: info.title.clone(),
            about: info.about.clone(),
            avatar: info.avatar.clone(),
            announcement: info.announcement.clone(),
            owner: info.owner.clone(),
            role,
            listeners,
            mute_all: info.mute_all,
            version: info.version,
            created_at: info.created_at,
            muted: (role >= Role::Admin).then(silent),
            admins: room.admins.into_iter().collect(),
            values: room.values.into_iter().map(value).collect(),
        })
    }

    async fn room_set(&self, caller: Caller, input: RoomSet) -> Result<RoomSetDone, Wrong> {
        let RoomSet { conversation, key, value, new } = input;
        // Values came out of JSON and go back into it.
        let bytes = serde_json::to_vec(&value).map_or(usize::MAX, |bytes| bytes.len());
        if key.is_empty() || key.len() > KEY_BYTES_MAX || bytes > VALUE_BYTES_MAX {
            let bounds = format!("a key has 1 to {KEY_BYTES_MAX} bytes, a value at most {VALUE_BYTES_MAX}");
            return Err(Wrong::BadInput(bounds));
        }
        let conversation = self.room_of(&conversation).await?;
        let (me, at) = (&caller.who.user, caller.now.wall.as_millis());
        let written = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            // Who may not speak sets nothing either.
            may_speak(state, me, &Content::of(What::Custom), at)?;
            let leading = leads(state, me).is_ok();
            let matters = if leading { Priority::High } else { Priority::Normal };
            let rate = self.config().room_messages_per_second;
            state.flow.take(caller.now.steady, rate, matters).map_err(Wrong::TooFast)?;
            let room = state.info.room.get_or_insert_default();
            match room.values.get(&key) {
                Some(_) if new => return Err(Wrong::Conflict("there is a value of this name already")),
                Some(held) if held.by != *me && !leading => {
                    return Err(Wrong::NotAllowed("only who set a value, and admins, change it"));
                }
                Some(held) if held.value == value => return Ok(RoomSetDone { changed: false }),
                None if value.is_null() => return Ok(RoomSetDone { changed: false }),
                None if room.values.len() >= VALUES_MAX => {
                    return Err(Wrong::TooMany { what: "values", max: VALUES_MAX });
                }
                _ => {}
            }
            if value.is_null() {
                room.values.remove(&key);
            } else {
                room.values.insert(key.clone(), RoomValue { value: value.clone(), by: me.clone(), at });
            }
            let row = conversation.row(state);
            self.keep(&conversation, vec![row])
        };
        written.await?;
        self.say_value(&conversation, &caller.sender(), &key, &value);
        Ok(RoomSetDone { changed: true })
    }

    /// Says what a value is now; with its name as the record's key, so that who comes later gets it as state.
    fn say_value(&self, conversation: &Conversation, by: &Sender, key: &str, value: &Value) {
        #[derive(Serialize)]
        struct Set<'a> {
            event: &'static str,
            by: &'a str,
            key: &'a str,
            value: &'a Value,
        }
        let event = Set { event: "value", by: &by.user, key, value };
        // A plain struct with text keys: nothing of it cannot be written as JSON.
        let said = serde_json::to_vec(&event).unwrap_or_default();
        let publish = Publish { content: Body::Json, ..Publish::new(conversation.live.clone(), said.into()) };
        let named = Some(format!("value:{key}").into());
        if value.is_null() {
            let empty = Publish { key: named, ..Publish::new(conversation.live.clone(), "".into()) };
            // Who is not there does not hear it; the row has it.
            drop(self.inner.hub.publish_as(self.now(), by.clone(), publish));
            drop(self.inner.hub.publish_as(self.now(), by.clone(), empty));
        } else {
            drop(self.inner.hub.publish_as(self.now(), by.clone(), Publish { key: named, ..publish }));
        }
    }
}
