//! Who may do what: roles, and who is silent or may not come back. In groups by membership, in chatrooms by name.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::service::Caller;

use crate::{
    conversation::{Conversation, State},
    denied::Wrong,
    groups::{USER_BYTES_MAX, leads, whole},
    im::Im,
    ledger::Row,
    member::Role,
    members::go_out,
    names::Kind,
    op::{Done, OfConversation, Op, op},
};

/// People who may not come back to one conversation; more are refused.
const BANNED_MAX: usize = 1000;
/// People who are silent in one chatroom; more are refused.
const MUTED_MAX: usize = 1000;
/// Admins of one chatroom.
const ROOM_ADMINS_MAX: usize = 100;
/// What lasts longer is for good: ten years.
const SECONDS_MAX: u64 = 10 * 366 * 86_400;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetRole {
    /// In which conversation.
    conversation: String,
    /// Whose.
    user: String,
    /// `admin` or `member`.
    role: Role,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfMember {
    /// In which conversation.
    conversation: String,
    /// Who.
    user: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Mute {
    /// In which conversation.
    conversation: String,
    /// Who.
    user: String,
    /// For so many seconds; 0 lets them speak again, ten years or more is for good.
    seconds: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ban {
    /// In which conversation.
    conversation: String,
    /// Who.
    user: String,
    /// For so many seconds; for good where nothing is said.
    seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Allow {
    /// In which conversation.
    conversation: String,
    /// Who.
    user: String,
    /// Whether that is taken back.
    #[serde(default)]
    off: bool,
}

/// Somebody, and until when.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Until {
    /// Who.
    pub(crate) user: Arc<str>,
    /// Milliseconds since 1970; left out for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<u64>,
}

impl Until {
    pub(crate) fn of((user, until): (&Arc<str>, &u64)) -> Self {
        Self { user: user.clone(), until: Some(*until).filter(|until| *until != u64::MAX) }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Banned {
    /// In the order of names.
    banned: Vec<Until>,
}

#[derive(Serialize)]
struct RoleChanged<'a> {
    user: &'a str,
    role: Role,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        whole(
            "role",
            "Makes somebody an admin, or a plain member again; for the owner.",
            |im: Im, caller: Caller, input: SetRole| async move { im.set_role(caller, input).await },
        ),
        whole(
            "transfer",
            "Hands a conversation over to another owner; for the owner, who becomes an admin.",
            |im: Im, caller: Caller, input: OfMember| async move { im.transfer(caller, input).await },
        ),
        whole(
            "mute",
            "Keeps somebody silent for a time; for admins.",
            |im: Im, caller: Caller, input: Mute| async move { im.mute(caller, input).await },
        ),
        whole(
            "allow",
            "Lets somebody speak though all are muted; for admins.",
            |im: Im, caller: Caller, input: Allow| async move { im.allow(caller, input).await },
        ),
        whole(
            "ban",
            "Removes somebody, who may not come back for a time; for admins.",
            |im: Im, caller: Caller, input: Ban| async move { im.ban(caller, input).await },
        ),
        whole(
            "unban",
            "Lets somebody come back; for admins.",
            |im: Im, caller: Caller, input: OfMember| async move { im.unban(caller, input).await },
        ),
        op(
            "banned",
            "Who may not come back; for admins.",
            |im: Im, caller: Caller, input: OfConversation| async move { im.banned(caller, input).await },
        ),
    ]
}

/// What somebody may do in a conversation; in a chatroom whoever is not banned is at least a member.
///
/// # Errors
/// They are not in it, or it is gone.
pub(crate) fn role_of(state: &State, user: &str) -> Result<Role, Wrong> {
    let info = &state.info;
    let Some(room) = &info.room else { return state.member(user).map(|member| member.role) };
    if info.dismissed_at > 0 {
        return Err(Wrong::Gone);
    }
    Ok(match user {
        user if *info.owner == *user => Role::Owner,
        user if room.admins.contains(user) => Role::Admin,
        _ => Role::Member,
    })
}

/// So many seconds from now; the far end of time for good.
pub(crate) fn until_of(now: u64, seconds: u64) -> u64 {
    if seconds >= SECONDS_MAX { u64::MAX } else { now + seconds * 1000 }
}

/// Whether one may do something to the other: who stands higher.
fn above(state: &State, me: &str, user: &str) -> Result<(), Wrong> {
    let mine = leads(state, me)?;
    // Who is not in it stands below all.
    let theirs = role_of(state, user).unwrap_or_default();
    if theirs >= mine {
        return Err(Wrong::NotAllowed("somebody has as high a role"));
    }
    Ok(())
}

/// Whether so many more may be banned; bans that are over are forgotten.
pub(crate) fn room_for_bans(state: &mut State, more: usize, now: u64) -> Result<(), Wrong> {
    let banned = &mut state.info.banned;
    banned.retain(|_, until| *until > now);
    if banned.len() + more > BANNED_MAX {
        return Err(Wrong::TooMany { what: "banned people", max: BANNED_MAX });
    }
    Ok(())
}

/// Somebody may not come back until then. The conversation's own row is the caller's to put.
pub(crate) fn ban_in(state: &mut State, user: &Arc<str>, until: u64) {
    state.info.banned.insert(user.clone(), until);
    state.info.requests.remove(user);
    state.info.invited.remove(user);
}

fn check_user(user: &str) -> Result<Arc<str>, Wrong> {
    if user.is_empty() || user.len() > USER_BYTES_MAX {
        return Err(Wrong::NoSuch("user"));
    }
    Ok(user.into())
}

impl Im {
    /// A conversation with roles.
    async fn led(&self, id: &str) -> Result<Arc<Conversation>, Wrong> {
        let conversation = self.conversation(id).await?;
        if conversation.kind == Kind::Direct {
            return Err(Wrong::NotAllowed("nobody leads a direct conversation: block the other one instead"));
        }
        Ok(conversation)
    }

    async fn set_role(&self, caller: Caller, input: SetRole) -> Result<Done, Wrong> {
        let conversation = self.led(&input.conversation).await?;
        let user = check_user(&input.user)?;
        if input.role == Role::Owner {
            return Err(Wrong::BadInput("an owner is made with 'transfer'".to_owned()));
        }
        self.known_in_room(&conversation, &user).await?;
        let at = caller.now.wall.as_millis();
        let (written, after) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            only_owner(state, &caller.who.user)?;
            if *state.info.owner == *user {
                return Err(Wrong::NotAllowed(
                    "the owner stays the owner until the conversation is handed over",
                ));
            }
            let Some(row) = give_role(&conversation, state, &user, input.role, at)? else {
                return Ok(Done {});
            };
            (self.keep(&conversation, vec![row]), state.head.newest)
        };
        written.await?;
        let what = RoleChanged { user: &user, role: input.role };
        self.say_change(&conversation, &caller.sender(), "role", after, &what);
        self.tell_entries(&conversation, std::slice::from_ref(&user)).await;
        Ok(Done {})
    }

    /// In a chatroom everybody is named who exists; in a group members are.
    async fn known_in_room(&self, conversation: &Conversation, user: &Arc<str>) -> Result<(), Wrong> {
        if conversation.kind == Kind::Room && !(self.inner.seams.exists)(user.clone()).await {
            return Err(Wrong::NoSuch("user"));
        }
        Ok(())
    }

    async fn transfer(&self, caller: Caller, input: OfMember) -> Result<Done, Wrong> {
        let conversation = self.led(&input.conversation).await?;
        let user = check_user(&input.user)?;
        let me = &caller.who.user;
        self.known_in_room(&conversation, &user).await?;
        let at = caller.now.wall.as_millis();
        let (written, after) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            only_owner(state, me)?;
            if user == *me {
                return Ok(Done {});
            }
            let mut rows = Vec::new();
            match &mut state.info.room {
                Some(room) => {
                    room.admins.remove(&user);
                    room.admins.insert(me.clone());
                }
                None => {
                    if !state.members.contains_key(&user) {
                        return Err(Wrong::NoSuch("member"));
                    }
                    rows.extend(give_role(&conversation, state, &user, Role::Owner, at)?);
                    rows.extend(give_role(&conversation, state, me, Role::Admin, at)?);
                }
            }
            state.info.owner = user.clone();
            state.info.version += 1;
            state.info.changed_at = at;
            rows.push(conversation.row(state));
            (self.keep(&conversation, rows), state.head.newest)
        };
        written.await?;
        for (user, role) in [(&user, Role::Owner), (me, Role::Admin)] {
            self.say_change(&conversation, &caller.sender(), "role", after, &RoleChanged { user, role });
        }
        self.tell_entries(&conversation, &[user.clone(), me.clone()]).await;
        Ok(Done {})
    }

    async fn mute(&self, caller: Caller, input: Mute) -> Result<Done, Wrong> {
        #[derive(Serialize)]
        struct Muted<'a> {
            user: &'a str,
            until: u64,
        }
        let conversation = self.led(&input.conversation).await?;
        let user = check_user(&input.user)?;
        let now = caller.now.wall.as_millis();
        let until = if input.seconds == 0 { 0 } else { until_of(now, input.seconds) };
        let (written, after) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            above(state, &caller.who.user, &user)?;
            let row = match &mut state.info.room {
                Some(room) => {
                    room.muted.retain(|_, until| *until > now);
                    room.muted.remove(&user);
                    if until > 0 && room.muted.len() >= MUTED_MAX {
                        return Err(Wrong::TooMany { what: "muted people", max: MUTED_MAX });
                    }
                    if until > 0 {
                        room.muted.insert(user.clone(), until);
                    }
                    conversation.row(state)
                }
                None => {
                    let member = state.members.get_mut(&user).ok_or(Wrong::NoSuch("member"))?;
                    member.muted_until = until;
                    member.changed_at = now;
                    conversation.member_row(&user, member)
                }
            };
            (self.keep(&conversation, vec![row]), state.head.newest)
        };
        written.await?;
        self.say_change(&conversation, &caller.sender(), "mute", after, &Muted { user: &user, until });
        self.tell_entries(&conversation, std::slice::from_ref(&user)).await;
        Ok(Done {})
    }

    async fn allow(&self, caller: Caller, input: Allow) -> Result<Done, Wrong> {
        #[derive(Serialize)]
        struct Allowed<'a> {
            user: &'a str,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            off: bool,
        }
        let conversation = self.group(&input.conversation).await?;
        let user = check_user(&input.user)?;
        let (written, after) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            state.admin(&caller.who.user)?;
            let member = state.members.get_mut(&user).ok_or(Wrong::NoSuch("member"))?;
            member.allowed = !input.off;
            member.changed_at = caller.now.wall.as_millis();
            let row = conversation.member_row(&user, member);
            (self.keep(&conversation, vec![row]), state.head.newest)
        };
        written.await?;
        let what = Allowed { user: &user, off: input.off };
        self.say_change(&conversation, &caller.sender(), "allow", after, &what);
        Ok(Done {})
    }

    async fn ban(&self, caller: Caller, input: Ban) -> Result<Done, Wrong> {
        #[derive(Serialize)]
        struct Banning<'a> {
            user: &'a str,
            until: u64,
        }
        let conversation = self.led(&input.conversation).await?;
        let user = check_user(&input.user)?;
        if input.seconds == Some(0) {
            return Err(Wrong::BadInput("a ban lasts a second or more; 'unban' ends it".to_owned()));
        }
        if !(self.inner.seams.exists)(user.clone()).await {
            return Err(Wrong::NoSuch("user"));
        }
        let now = caller.now.wall.as_millis();
        let until = input.seconds.map_or(u64::MAX, |seconds| until_of(now, seconds));
        let (written, was_member, after) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            above(state, &caller.who.user, &user)?;
            if !state.info.banned.contains_key(&user) {
                room_for_bans(state, 1, now)?;
            }
            ban_in(state, &user, until);
            let mut rows: Vec<Row> = Vec::new();
            let was_member = state.members.contains_key(&user);
            if was_member {
                rows.extend(go_out(&conversation, state, &user, now));
                self.inner.groups.counts.give_back(std::iter::once(&user));
            }
            rows.push(conversation.row(state));
            (self.keep(&conversation, rows), was_member, state.head.newest)
        };
        written.await?;
        let by = caller.sender();
        let gone = [user.clone()];
        if conversation.kind == Kind::Room {
            // Who listens already was let in: they are asked about again.
            self.inner.hub.ask_again(&user);
            self.say_change(&conversation, &by, "ban", after, &Banning { user: &user, until });
        } else if was_member {
            self.say_members(&conversation, &by, after, "removed", &gone);
        }
        if was_member || conversation.kind == Kind::Room {
            self.tell_gone(&conversation.id, &gone, "banned");
        }
        Ok(Done {})
    }

    async fn unban(&self, caller: Caller, input: OfMember) -> Result<Done, Wrong> {
        let conversation = self.led(&input.conversation).await?;
        let written = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            leads(state, &caller.who.user)?;
            if state.info.banned.remove(&*input.user).is_none() {
                return Ok(Done {});
            }
            let row = conversation.row(state);
            self.keep(&conversation, vec![row])
        };
        written.await?;
        Ok(Done {})
    }

    async fn banned(&self, caller: Caller, input: OfConversation) -> Result<Banned, Wrong> {
        let conversation = self.led(&input.conversation).await?;
        let now = caller.now.wall.as_millis();
        let state = conversation.lock();
        leads(&state, &caller.who.user)?;
        let banned = state.info.banned.iter().filter(|(_, until)| **until > now).map(Until::of).collect();
        Ok(Banned { banned })
    }
}

fn only_owner(state: &State, user: &str) -> Result<(), Wrong> {
    match role_of(state, user)? {
        Role::Owner => Ok(()),
        _ => Err(Wrong::NotAllowed("only the owner may do this")),
    }
}

/// Gives somebody a role; gives the row of it, where that is another one.
fn give_role(
    conversation: &Conversation,
    state: &mut State,
    user: &Arc<str>,
    role: Role,
    at: u64,
) -> Result<Option<Row>, Wrong> {
    if let Some(room) = &mut state.info.room {
        let changed = match role {
            Role::Admin if room.admins.len() >= ROOM_ADMINS_MAX && !room.admins.contains(user) => {
                return Err(Wrong::TooMany { what: "admins", max: ROOM_ADMINS_MAX });
            }
            Role::Admin => room.admins.insert(user.clone()),
            _ => room.admins.remove(user),
        };
        return Ok(changed.then(|| conversation.row(state)));
    }
    let member = state.members.get_mut(user).ok_or(Wrong::NoSuch("member"))?;
    if member.role == role {
        return Ok(None);
    }
    member.role = role;
    member.changed_at = at;
    Ok(Some(conversation.member_row(user, member)))
}
