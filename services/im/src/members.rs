//! Members: who is in a group, who brings them in, and how they go.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use yizhan_hub::{message::Sender, service::Caller};

use crate::{
    conversation::{Conversation, Invitation, State, Who},
    denied::Wrong,
    groups::{CALL_USERS_MAX, USER_BYTES_MAX, check_text, patched, whole},
    im::Im,
    joining::invited_key,
    ledger::{Row, json},
    member::{Member, Role},
    op::{Done, OfConversation, Op, op},
    roles::{ban_in, room_for_bans, until_of},
};

/// Bytes of what somebody is called in a group.
const NICK_BYTES_MAX: usize = 128;
/// Members on one page, and where nothing is said.
const PAGE_MAX: usize = 1000;
const PAGE: usize = 100;
/// Invitations that are open in one conversation.
const INVITED_MAX: usize = 500;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Add {
    /// To which conversation.
    conversation: String,
    /// Who; at most 1000.
    users: Vec<String>,
}

/// What became of people who were to be brought in.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Added {
    /// Who is in it now.
    added: Vec<Arc<str>>,
    /// Who wants to be asked, and was: they come in with `join`.
    invited: Vec<Arc<str>>,
    /// Who is not, and why.
    failed: Vec<Failed>,
}

/// What did not work for one of many.
#[derive(Debug, Serialize, JsonSchema)]
struct Failed {
    /// Who.
    user: Arc<str>,
    /// Why.
    reason: &'static str,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remove {
    /// From which conversation.
    conversation: String,
    /// Who; at most 1000.
    users: Vec<String>,
    /// Seconds in which they do not come back.
    ban_s: Option<u64>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
struct Removed {
    /// Who was removed.
    removed: Vec<Arc<str>>,
    /// Who was not, and why.
    failed: Vec<Failed>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Members {
    /// Of which conversation.
    conversation: String,
    /// Go on behind an earlier answer: its `next`.
    after: Option<String>,
    /// Members at most, up to 1000; 100 where nothing is said.
    limit: Option<usize>,
    /// Only those who are this.
    role: Option<Role>,
}

/// A member, as others see them.
#[derive(Debug, Serialize, JsonSchema)]
struct MemberShown {
    /// Who.
    user: Arc<str>,
    /// What they are called here.
    #[serde(skip_serializing_if = "Option::is_none")]
    nick: Option<String>,
    /// What they may do.
    role: Role,
    /// Since when they are in it, milliseconds since 1970.
    joined_at: u64,
    /// Until when they are muted.
    #[serde(skip_serializing_if = "Option::is_none")]
    muted_until: Option<u64>,
    /// Whether they may speak though all are muted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    allowed: bool,
    /// What the application says with them.
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map<String, Value>,
}

impl MemberShown {
    fn of(user: &Arc<str>, member: &Member, now: u64) -> Self {
        Self {
            user: user.clone(),
            nick: member.nick.clone(),
            role: member.role,
            joined_at: member.joined_at,
            muted_until: Some(member.muted_until).filter(|until| *until > now),
            allowed: member.allowed,
            attributes: member.attributes.clone(),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct MembersShown {
    /// The owner, then admins, then members, each in the order of names.
    members: Vec<MemberShown>,
    /// For `after` of the next question; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangeMember {
    /// In which conversation.
    conversation: String,
    /// Whose; one's own where nobody is named. Others' are for admins.
    user: Option<String>,
    /// What they are called here; at most 128 bytes, an empty one takes it away.
    nick: Option<String>,
    /// Attributes that change; `null` takes one away.
    attributes: Option<Map<String, Value>>,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "members",
            "Who is in a conversation, by pages.",
            |im: Im, caller: Caller, input: Members| async move { im.list_members(caller, input).await },
        ),
        whole(
            "add",
            "Brings people into a group; who wants to be asked is invited.",
            |im: Im, caller: Caller, input: Add| async move { im.add_members(caller, input).await },
        ),
        whole(
            "remove",
            "Removes members, and bans them for a time where that is said; for admins.",
            |im: Im, caller: Caller, input: Remove| async move { im.remove_members(caller, input).await },
        ),
        whole(
            "leave",
            "Leaves a group; the last one ends it, an owner hands it over first.",
            |im: Im, caller: Caller, input: OfConversation| async move { im.leave(caller, input).await },
        ),
        whole(
            "member",
            "What a member is called in a group, and the application's attributes.",
            |im: Im, caller: Caller, input: ChangeMember| async move { im.change_member(caller, input).await },
        ),
    ]
}

/// Names that are named once each, and could be somebody's.
fn distinct(users: Vec<String>) -> Result<Vec<Arc<str>>, Wrong> {
    if users.len() > CALL_USERS_MAX {
        return Err(Wrong::TooMany { what: "users", max: CALL_USERS_MAX });
    }
    let mut seen = FxHashSet::default();
    let mut found: Vec<Arc<str>> = Vec::with_capacity(users.len());
    for user in users {
        let user: Arc<str> = user.into();
        if user.is_empty() || user.len() > USER_BYTES_MAX {
            return Err(Wrong::BadInput(format!("a user's name has 1 to {USER_BYTES_MAX} bytes")));
        }
        if seen.insert(user.clone()) {
            found.push(user);
        }
    }
    Ok(found)
}

/// Whether somebody may bring others in.
pub(crate) fn may_bring(state: &State, user: &str) -> Result<(), Wrong> {
    if state.member(user)?.role == Role::Member && state.info.invite == Who::Admins {
        return Err(Wrong::NotAllowed("only the owner and admins bring others in here"));
    }
    Ok(())
}

/// Somebody comes in: they see what the conversation shows, and have nothing unread. The conversation's own row is the
/// caller's to put.
pub(crate) fn come_in(
    conversation: &Conversation,
    state: &mut State,
    user: &Arc<str>,
    at: u64,
) -> impl Iterator<Item = Row> + use<> {
    let newest = state.head.newest;
    let member = Member {
        joined_at: at,
        joined_seq: newest,
        read: newest,
        read_at: at,
        changed_at: at,
        ..Member::default()
    };
    let rows = conversation.rows_of_new(user, &member);
    state.members.insert(user.clone(), member);
    state.info.requests.remove(user);
    let invited = state.info.invited.remove(user).map(|_| (invited_key(user, &conversation.id), None));
    state.info.members = state.members.len() as u64;
    state.info.changed_at = at;
    rows.into_iter().chain(invited)
}

/// Somebody goes, and the links that they made. The conversation's own row is the caller's to put.
pub(crate) fn go_out(conversation: &Conversation, state: &mut State, user: &str, at: u64) -> [Row; 3] {
    state.members.remove(user);
    state.info.links.retain(|link| &*link.by != user);
    state.info.members = state.members.len() as u64;
    state.info.changed_at = at;
    conversation.rows_of_gone(user, at)
}

impl Im {
    /// Says who came or went: `event` is `added`, `removed`, `joined` or `left`. The last two are of one person.
    pub(crate) fn say_members(
        &self,
        conversation: &Conversation,
        by: &Sender,
        after: u64,
        event: &'static str,
        users: &[Arc<str>],
    ) {
        let Some(first) = users.first() else { return };
        let who = match event {
            "joined" | "left" => Value::from(&**first),
            _ => users.iter().map(|user| Value::from(&**user)).collect(),
        };
        let what: Map<String, Value> = [(event.to_owned(), who)].into_iter().collect();
        self.say_change(conversation, by, "members", after, &what);
    }

    /// Tells people that they may come in.
    pub(crate) fn tell_invited(&self, conversation: &Conversation, by: &str, users: &[Arc<str>]) {
        #[derive(Serialize)]
        struct Invited<'a> {
            event: &'static str,
            conversation: &'a str,
            title: &'a str,
            by: &'a str,
        }
        if users.is_empty() {
            return;
        }
        let title = conversation.lock().info.title.clone();
        for user in users {
            let event = Invited { event: "invited", conversation: &conversation.id, title: &title, by };
            self.tell_own(user, &event);
        }
    }

    /// Those with whom a conversation begins, the creator first, and those who are only invited.
    pub(crate) async fn first_members(
        &self,
        me: &Arc<str>,
        users: &[String],
    ) -> Result<(Vec<Arc<str>>, Vec<Arc<str>>), Wrong> {
        let (mut members, mut invited) = (vec![me.clone()], Vec::new());
        for user in distinct(users.to_vec())? {
            if user == *me {
                continue;
            }
            if !(self.inner.seams.exists)(user.clone()).await {
                return Err(Wrong::BadInput(format!("there is no user '{user}'")));
            }
            match self.lets_bring(&user, me).await? {
                true => members.push(user),
                false => invited.push(user),
            }
        }
        invited.truncate(INVITED_MAX);
        self.count_groups(&members).await?;
        Ok((members, invited))
    }

    async fn add_members(&self, caller: Caller, input: Add) -> Result<Added, Wrong> {
        let users = distinct(input.users)?;
        let conversation = self.group(&input.conversation).await?;
        let me = &caller.who.user;
        may_bring(&conversation.lock(), me)?;
        let mut answer = Added::default();
        let (mut willing, mut shy) = (Vec::new(), Vec::new());
        for user in users {
            if !(self.inner.seams.exists)(user.clone()).await {
                answer.failed.push(Failed { user, reason: "there is no such user" });
            } else if self.lets_bring(&user, me).await? {
                willing.push(user);
            } else {
                shy.push(user);
            }
        }
        self.count_groups(&willing).await?;
        let at = caller.now.wall.as_millis();
        let (written, after) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            // Looked at again: much may have happened since.
            may_bring(state, me)?;
            let willing = outside(state, willing, at, &mut answer.failed);
            let shy = outside(state, shy, at, &mut answer.failed);
            let rows = self.take_in(&conversation, state, me, (willing, shy), at, &mut answer)?;
            (self.keep(&conversation, rows), state.head.newest)
        };
        written.await?;
        self.say_members(&conversation, &caller.sender(), after, "added", &answer.added);
        self.tell_entries(&conversation, &answer.added).await;
        self.tell_invited(&conversation, me, &answer.invited);
        Ok(answer)
    }

    /// Takes in those who are willing and invites the others, under the conversation's lock; all or, where there is no
    /// room for them, none.
    fn take_in(
        &self,
        conversation: &Conversation,
        state: &mut State,
        by: &Arc<str>,
        (willing, shy): (Vec<Arc<str>>, Vec<Arc<str>>),
        at: u64,
        answer: &mut Added,
    ) -> Result<Vec<Row>, Wrong> {
        let config = self.config();
        if state.members.len() + willing.len() > config.members_max {
            return Err(Wrong::Full(config.members_max));
        }
        let mut rows = Vec::with_capacity(willing.len() * 3 + 1);
        for user in willing {
            if self.inner.groups.counts.take(&user, config.conversations_max) {
                rows.extend(come_in(conversation, state, &user, at));
                answer.added.push(user);
            } else {
                answer.failed.push(Failed { user, reason: "is in too many groups" });
            }
        }
        for user in shy {
            if state.info.invited.len() >= INVITED_MAX && !state.info.invited.contains_key(&user) {
                answer.failed.push(Failed { user, reason: "too many invitations are open here" });
                continue;
            }
            state.info.invited.insert(user.clone(), Invitation { by: by.clone(), at });
            rows.push((invited_key(&user, &conversation.id), Some(json(&at))));
            answer.invited.push(user);
        }
        if !answer.added.is_empty() || !answer.invited.is_empty() {
            rows.push(conversation.row(state));
        }
        Ok(rows)
    }

    async fn remove_members(&self, caller: Caller, input: Remove) -> Result<Removed, Wrong> {
        let users = distinct(input.users)?;
        let conversation = self.group(&input.conversation).await?;
        let me = &caller.who.user;
        let at = caller.now.wall.as_millis();
        let mut answer = Removed::default();
        let (written, after) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            let mine = state.admin(me)?.role;
            if input.ban_s.is_some() {
                room_for_bans(state, users.len(), at)?;
            }
            let mut rows = Vec::with_capacity(users.len() * 2 + 1);
            for user in users {
                let reason = match state.members.get(&user) {
                    None => "is not in it",
                    Some(_) if user == *me => "one leaves, and is not removed by oneself",
                    Some(member) if member.role >= mine => "has as high a role",
                    Some(_) => {
                        if let Some(seconds) = input.ban_s {
                            ban_in(state, &user, until_of(at, seconds));
                        }
                        rows.extend(go_out(&conversation, state, &user, at));
                        answer.removed.push(user);
                        continue;
                    }
                };
                answer.failed.push(Failed { user, reason });
            }
            if !answer.removed.is_empty() {
                rows.push(conversation.row(state));
            }
            self.inner.groups.counts.give_back(answer.removed.iter());
            (self.keep(&conversation, rows), state.head.newest)
        };
        written.await?;
        self.say_members(&conversation, &caller.sender(), after, "removed", &answer.removed);
        let reason = if input.ban_s.is_some() { "banned" } else { "removed" };
        self.tell_gone(&conversation.id, &answer.removed, reason);
        Ok(answer)
    }

    async fn leave(&self, caller: Caller, input: OfConversation) -> Result<Done, Wrong> {
        let conversation = self.group(&input.conversation).await?;
        let me = &caller.who.user;
        let at = caller.now.wall.as_millis();
        let (written, members, after) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            match state.member(me)?.role {
                Role::Owner if state.members.len() > 1 => return Err(Wrong::OwnerStays),
                Role::Owner => {
                    let (rows, members) = self.dismissed(&conversation, state, at);
                    (self.keep(&conversation, rows), Some(members), state.head.newest)
                }
                _ => {
                    let mut rows = Vec::from(go_out(&conversation, state, me, at));
                    rows.push(conversation.row(state));
                    self.inner.groups.counts.give_back(std::iter::once(me));
                    (self.keep(&conversation, rows), None, state.head.newest)
                }
            }
        };
        if let Some(members) = members {
            return self.finish_dismissal(&caller, &conversation, written, members, after).await;
        }
        written.await?;
        let gone = [me.clone()];
        self.say_members(&conversation, &caller.sender(), after, "left", &gone);
        self.tell_gone(&conversation.id, &gone, "left");
        Ok(Done {})
    }

    async fn list_members(&self, caller: Caller, input: Members) -> Result<MembersShown, Wrong> {
        let conversation = self.conversation(&input.conversation).await?;
        let limit = input.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let after = input.after.as_deref().map(place_of).transpose()?;
        let now = caller.now.wall.as_millis();
        let state = conversation.lock();
        state.member(&caller.who.user)?;
        let wanted = |member: &Member| input.role.is_none_or(|role| member.role == role);
        let mut found: Vec<(u8, &Arc<str>, &Member)> = state
            .members
            .iter()
            .filter(|(_, member)| wanted(member))
            .map(|(user, member)| (rank(member.role), user, member))
            .filter(|(rank, user, _)| after.is_none_or(|after| (*rank, &***user) > after))
            .collect();
        let more = found.len() > limit;
        if more {
            found.select_nth_unstable_by(limit, |a, b| (a.0, a.1).cmp(&(b.0, b.1)));
            found.truncate(limit);
        }
        found.sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let next = found.last().filter(|_| more).map(|(rank, user, _)| format!("{rank}.{user}"));
        let members = found.into_iter().map(|(_, user, member)| MemberShown::of(user, member, now)).collect();
        Ok(MembersShown { members, next })
    }

    async fn change_member(&self, caller: Caller, input: ChangeMember) -> Result<MemberShown, Wrong> {
        #[derive(Serialize)]
        struct MemberChanged<'a> {
            user: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            nick: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            attributes: Option<&'a Map<String, Value>>,
        }
        if let Some(nick) = &input.nick {
            check_text("nick", nick, NICK_BYTES_MAX)?;
        }
        let conversation = self.group(&input.conversation).await?;
        let me = &caller.who.user;
        let user: Arc<str> = input.user.as_deref().map_or_else(|| me.clone(), Into::into);
        let at = caller.now.wall.as_millis();
        let (written, shown, after) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            if user != *me {
                let mine = state.admin(me)?.role;
                let theirs = state.members.get(&user).ok_or(Wrong::NoSuch("member"))?.role;
                if theirs >= mine {
                    return Err(Wrong::NotAllowed("somebody has as high a role"));
                }
            }
            let member = state.member_mut(&user)?;
            if let Some(patch) = &input.attributes {
                member.attributes = patched(&member.attributes, patch)?;
            }
            if let Some(nick) = &input.nick {
                member.nick = Some(nick.clone()).filter(|nick| !nick.is_empty());
            }
            member.changed_at = at;
            let row = conversation.member_row(&user, member);
            let shown = MemberShown::of(&user, member, at);
            (self.keep(&conversation, vec![row]), shown, state.head.newest)
        };
        written.await?;
        let what = MemberChanged {
            user: &user,
            nick: input.nick.as_deref(),
            attributes: input.attributes.as_ref().map(|_| &shown.attributes),
        };
        self.say_change(&conversation, &caller.sender(), "member", after, &what);
        Ok(shown)
    }
}

/// Whether somebody may not come back yet.
pub(crate) fn is_banned(state: &State, user: &str, now: u64) -> bool {
    state.info.banned.get(user).is_some_and(|until| *until > now)
}

/// Those who are not in it and may come; the others have failed.
fn outside(state: &State, users: Vec<Arc<str>>, now: u64, failed: &mut Vec<Failed>) -> Vec<Arc<str>> {
    let mut left = Vec::with_capacity(users.len());
    for user in users {
        if state.members.contains_key(&user) {
            failed.push(Failed { user, reason: "is in it already" });
        } else if is_banned(state, &user, now) {
            failed.push(Failed { user, reason: "is banned" });
        } else {
            left.push(user);
        }
    }
    left
}

/// The owner first.
fn rank(role: Role) -> u8 {
    match role {
        Role::Owner => 0,
        Role::Admin => 1,
        Role::Member => 2,
    }
}

fn place_of(text: &str) -> Result<(u8, &str), Wrong> {
    let place = text.split_once('.').and_then(|(rank, user)| Some((rank.parse().ok()?, user)));
    place.ok_or_else(|| Wrong::BadInput("'after' is the 'next' of an earlier answer".to_owned()))
}
