//! Friends: asked for, accepted, remembered with a remark; and people one does not want to hear from.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::service::Caller;

use crate::{
    denied::Wrong,
    im::Im,
    names::{self, direct_id},
    op::{Done, Nothing, OfUser, Op, op},
    person::{Asked, Friend, Known, Person, both},
};

/// Friends of one person.
const FRIENDS_MAX: usize = 5000;
/// Requests that wait, in each direction.
const REQUESTS_MAX: usize = 1000;
/// People whom one person has blocked.
const BLOCKED_MAX: usize = 5000;
/// Bytes of a request's text, a remark and a group's name.
const TEXT_BYTES_MAX: usize = 512;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Befriend {
    /// Whom.
    user: String,
    /// What one says with it.
    text: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Befriended {
    /// Who asked.
    user: String,
    /// Whether they become friends.
    accept: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remark {
    /// Which friend.
    user: String,
    /// What one calls them; empty for nothing.
    remark: Option<String>,
    /// In which of one's groups of friends they are; empty for none.
    group: Option<String>,
}

/// One's friends, and who would be.
#[derive(Debug, Serialize, JsonSchema)]
struct Friends {
    /// Friends, by name.
    friends: Vec<FriendShown>,
    /// Who asks to be one.
    requests: Vec<RequestShown>,
    /// Whom one asked.
    asked: Vec<RequestShown>,
}

/// A friend.
#[derive(Debug, Serialize, JsonSchema)]
struct FriendShown {
    /// Who.
    user: Arc<str>,
    /// What one calls them.
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
    /// In which of one's groups of friends they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// Since when, milliseconds since 1970.
    since: u64,
}

/// Somebody asked to be a friend.
#[derive(Debug, Serialize, JsonSchema)]
struct RequestShown {
    /// Who, or whom.
    user: Arc<str>,
    /// What was said with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// When, milliseconds since 1970.
    at: u64,
}

/// What became of a request.
#[derive(Debug, Serialize, JsonSchema)]
struct Becoming {
    /// They are friends: the other one had asked before.
    friends: bool,
}

#[derive(Serialize)]
struct FriendEvent<'a> {
    event: &'static str,
    what: &'static str,
    user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op("friends", "One's friends, and who would be.", |im: Im, caller: Caller, _: Nothing| async move {
            Ok(im.friends(&im.person(&caller.who.user).await?.lock()))
        }),
        op(
            "befriend",
            "Asks somebody to be a friend.",
            |im: Im, caller: Caller, input: Befriend| async move { im.befriend(&caller, input).await },
        ),
        op(
            "befriended",
            "Answers somebody who asked.",
            |im: Im, caller: Caller, input: Befriended| async move { im.befriended(&caller, input).await },
        ),
        op(
            "unfriend",
            "Ends a friendship, on both sides.",
            |im: Im, caller: Caller, input: OfUser| async move { im.unfriend(&caller, &input.user).await },
        ),
        op(
            "remark",
            "What one calls a friend, and where they belong.",
            |im: Im, caller: Caller, input: Remark| async move { im.remark(&caller, input).await },
        ),
        op(
            "block",
            "Nothing of somebody comes any more.",
            |im: Im, caller: Caller, input: OfUser| async move { im.block(&caller, &input.user, true).await },
        ),
        op("unblock", "Somebody may write again.", |im: Im, caller: Caller, input: OfUser| async move {
            im.block(&caller, &input.user, false).await
        }),
    ]
}

fn short(text: Option<String>) -> Result<Option<String>, Wrong> {
    match text {
        Some(text) if text.len() > TEXT_BYTES_MAX => {
            Err(Wrong::BadInput(format!("a text here has at most {TEXT_BYTES_MAX} bytes")))
        }
        text => Ok(text.filter(|text| !text.trim().is_empty())),
    }
}

impl Im {
    fn friends(&self, person: &Person) -> Friends {
        let request = |(user, asked): (&Arc<str>, &Asked)| RequestShown {
            user: user.clone(),
            text: asked.text.clone(),
            at: asked.at,
        };
        let friend = |(user, friend): (&Arc<str>, &Friend)| FriendShown {
            user: user.clone(),
            remark: friend.remark.clone(),
            group: friend.group.clone(),
            since: friend.since,
        };
        Friends {
            friends: person.friends.iter().map(friend).collect(),
            requests: person.asked_by.iter().map(request).collect(),
            asked: person.asked.iter().map(request).collect(),
        }
    }

    /// Oneself and somebody else.
    async fn two(&self, caller: &Caller, other: &str) -> Result<(Arc<Known>, Arc<Known>), Wrong> {
        if *other == *caller.who.user {
            return Err(Wrong::BadInput("this is yourself".to_owned()));
        }
        Ok((self.person(&caller.who.user).await?, self.somebody(other).await?))
    }

    async fn befriend(&self, caller: &Caller, input: Befriend) -> Result<Becoming, Wrong> {
        let text = short(input.text)?;
        let (me, other) = self.two(caller, &input.user).await?;
        let at = self.now().wall.as_millis();
        let (becoming, written) = both(&me, &other, |mine, theirs| {
            if mine.friends.contains_key(&other.user) {
                return Err(Wrong::Conflict("you are friends already"));
            }
            if theirs.blocked.contains(&me.user) {
                return Err(Wrong::Blocked);
            }
            if mine.friends.len() >= FRIENDS_MAX || theirs.friends.len() >= FRIENDS_MAX {
                return Err(Wrong::TooMany { what: "friends", max: FRIENDS_MAX });
            }
            let friends = mine.asked_by.contains_key(&other.user);
            if friends {
                befriend(&me, mine, &other, theirs, at);
            } else {
                if mine.asked.len() >= REQUESTS_MAX || theirs.asked_by.len() >= REQUESTS_MAX {
                    return Err(Wrong::TooMany { what: "requests that wait", max: REQUESTS_MAX });
                }
                mine.asked.insert(other.user.clone(), Asked { text: text.clone(), at });
                theirs.asked_by.insert(me.user.clone(), Asked { text: text.clone(), at });
            }
            Ok((Becoming { friends }, self.inner.ledger.commit([me.row(mine), other.row(theirs)])))
        })?;
        written.await?;
        let what = if becoming.friends { "added" } else { "request" };
        self.tell_friend(&other.user, what, &me.user, text.as_deref());
        self.tell_friend(&me.user, if becoming.friends { "added" } else { "asked" }, &other.user, None);
        Ok(becoming)
    }

    async fn befriended(&self, caller: &Caller, input: Befriended) -> Result<Done, Wrong> {
        let (me, other) = self.two(caller, &input.user).await?;
        let at = self.now().wall.as_millis();
        let written = both(&me, &other, |mine, theirs| {
            if mine.asked_by.remove(&other.user).is_none() {
                return Err(Wrong::NoSuch("request"));
            }
            theirs.asked.remove(&me.user);
            if input.accept {
                befriend(&me, mine, &other, theirs, at);
            }
            Ok(self.inner.ledger.commit([me.row(mine), other.row(theirs)]))
        })?;
        written.await?;
        if input.accept {
            self.tell_friend(&other.user, "added", &me.user, None);
        }
        self.tell_friend(&me.user, if input.accept { "added" } else { "declined" }, &other.user, None);
        Ok(Done {})
    }

    async fn unfriend(&self, caller: &Caller, user: &str) -> Result<Done, Wrong> {
        let (me, other) = self.two(caller, user).await?;
        let written = both(&me, &other, |mine, theirs| {
            let was = mine.friends.remove(&other.user).is_some() | mine.asked.remove(&other.user).is_some();
            theirs.friends.remove(&me.user);
            theirs.asked_by.remove(&me.user);
            if was {
                Ok(self.inner.ledger.commit([me.row(mine), other.row(theirs)]))
            } else {
                Err(Wrong::NoSuch("friend"))
            }
        })?;
        written.await?;
        self.tell_friend(&me.user, "removed", &other.user, None);
        self.tell_friend(&other.user, "removed", &me.user, None);
        Ok(Done {})
    }

    async fn remark(&self, caller: &Caller, input: Remark) -> Result<Done, Wrong> {
        let (named, grouped) = (input.remark.is_some(), input.group.is_some());
        let (remark, group) = (short(input.remark)?, short(input.group)?);
        let user: Arc<str> = input.user.into();
        let change = |person: &mut Person| {
            let friend = person.friends.get_mut(&user).ok_or(Wrong::NoSuch("friend"))?;
            if named {
                friend.remark = remark;
            }
            if grouped {
                friend.group = group;
            }
            Ok::<(), Wrong>(())
        };
        self.change_person(&caller.who.user, change).await??;
        self.tell_friend(&caller.who.user, "changed", &user, None);
        Ok(Done {})
    }

    async fn block(&self, caller: &Caller, user: &str, on: bool) -> Result<Done, Wrong> {
        let (me, other) = self.two(caller, user).await?;
        let direct = match self.conversation(&direct_id(&me.user, &other.user)).await {
            Ok(conversation) => Some(conversation),
            Err(Wrong::NoSuch(_)) => None,
            Err(wrong) => return Err(wrong),
        };
        let written = {
            let mut person = me.lock();
            if on {
                if person.blocked.len() >= BLOCKED_MAX {
                    return Err(Wrong::TooMany { what: "blocked people", max: BLOCKED_MAX });
                }
                person.blocked.insert(other.user.clone());
                person.asked_by.remove(&other.user);
            } else {
                person.blocked.remove(&other.user);
            }
            let mut rows = vec![me.row(&person)];
            // What decides about a message is where the message goes.
            let mut state = direct.as_ref().map(|direct| (direct, direct.lock()));
            if let Some((direct, state)) = &mut state
                && let Some(member) = state.members.get_mut(&me.user)
            {
                member.blocks = on;
                rows.push(direct.member_row(&me.user, member));
            }
            self.inner.ledger.commit(rows)
        };
        written.await?;
        self.tell_friend(&me.user, if on { "blocked" } else { "unblocked" }, &other.user, None);
        Ok(Done {})
    }

    fn tell_friend(&self, to: &Arc<str>, what: &'static str, user: &str, text: Option<&str>) {
        let event = FriendEvent { event: "friend", what, user, text };
        self.tell(std::iter::once(to), &names::stream(to), &event);
    }
}

fn befriend(me: &Known, mine: &mut Person, other: &Known, theirs: &mut Person, at: u64) {
    mine.friends.entry(other.user.clone()).or_insert_with(|| Friend { since: at, ..Friend::default() });
    theirs.friends.entry(me.user.clone()).or_insert_with(|| Friend { since: at, ..Friend::default() });
    for (person, of) in [(mine, &other.user), (theirs, &me.user)] {
        person.asked.remove(of);
        person.asked_by.remove(of);
    }
}
