//! Profiles: what people say of themselves, and how they are found.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use yizhan_hub::service::Caller;

use crate::{
    denied::Wrong,
    im::Im,
    op::{Done, Nothing, Op, op},
    person::{Dnd, ForWhom, Person},
};

/// Bytes of a name, a picture's address and a handle.
const NAME_BYTES_MAX: usize = 256;
/// Bytes of what somebody says of themselves.
const ABOUT_BYTES_MAX: usize = 2048;
/// Bytes of all attributes as JSON.
pub(crate) const ATTRIBUTES_BYTES_MAX: usize = 8 * 1024;
/// Profiles asked for at once.
const PROFILES_MAX: usize = 100;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfSomebody {
    /// Whose; one's own where nobody is named.
    user: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfUsers {
    /// Whose; at most 100.
    users: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ByHandle {
    /// The person's own name by which they are found, or the account's name.
    handle: String,
}

/// What a person says of themselves.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Profile {
    /// The account's name.
    pub user: Arc<str>,
    /// What they are called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Their picture: a file's id, or an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// What they say of themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Their own name, by which they are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// What the application says with it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// What one calls them oneself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// Whether they are a friend.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub friend: bool,
    /// Whether one has blocked them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// When nothing rings, each day; only one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dnd: Option<Dnd>,
    /// Who may do what; only one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Privacy>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Profiles {
    /// Those who are there, in the order asked for.
    profiles: Vec<Profile>,
}

/// What is to be changed; what is left out stays, what is empty goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetProfile {
    /// What one is called.
    name: Option<String>,
    /// One's picture: a file's id, or an address.
    avatar: Option<String>,
    /// What one says of oneself.
    about: Option<String>,
    /// One's own name, by which one is found: 3 to 32 small letters, digits and `_`, one person each.
    handle: Option<String>,
    /// What the application says with it; at most 8 KiB.
    attributes: Option<Map<String, Value>>,
}

/// Who may do what; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetPrivacy {
    /// Who sees whether one is here, and when one was here last.
    last_seen: Option<ForWhom>,
    /// Who may begin a direct conversation.
    messages: Option<ForWhom>,
    /// Who may bring one into groups.
    groups: Option<ForWhom>,
}

/// Who may do what.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub(crate) struct Privacy {
    /// Who sees whether one is here, and when one was here last.
    pub last_seen: ForWhom,
    /// Who may begin a direct conversation.
    pub messages: ForWhom,
    /// Who may bring one into groups.
    pub groups: ForWhom,
}

impl Privacy {
    fn of(person: &Person) -> Self {
        Self { last_seen: person.last_seen_for, messages: person.messages_from, groups: person.groups_from }
    }
}

/// When nothing rings, each day; without both times it always rings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetDnd {
    /// From this time of the day on: `22:00`.
    from: Option<String>,
    /// To this one: `07:00`.
    until: Option<String>,
    /// Minutes that one's clock is ahead of UTC.
    #[serde(default)]
    offset_min: i16,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "profile",
            "What a person says of themselves.",
            |im: Im, caller: Caller, input: OfSomebody| async move {
                let user = input.user.unwrap_or_else(|| caller.who.user.to_string());
                let known = if user == *caller.who.user {
                    im.person(&caller.who.user).await?
                } else {
                    im.somebody(&user).await?
                };
                let mut shown = im.profiles(&caller, std::slice::from_ref(&known.user)).await?;
                shown.pop().ok_or(Wrong::NoSuch("user"))
            },
        ),
        op(
            "profiles",
            "What people say of themselves.",
            |im: Im, caller: Caller, input: OfUsers| async move {
                if input.users.len() > PROFILES_MAX {
                    return Err(Wrong::TooMany { what: "users", max: PROFILES_MAX });
                }
                let mut users: Vec<Arc<str>> = Vec::new();
                for user in input.users.into_iter().map(Arc::from) {
                    if im.exists(&user).await? {
                        users.push(user);
                    }
                }
                Ok(Profiles { profiles: im.profiles(&caller, &users).await? })
            },
        ),
        op(
            "set_profile",
            "Changes what one says of oneself.",
            |im: Im, caller: Caller, input: SetProfile| async move { im.set_profile(&caller, input).await },
        ),
        op(
            "find",
            "The person with exactly this name.",
            |im: Im, caller: Caller, input: ByHandle| async move { im.find(&caller, &input.handle).await },
        ),
        op(
            "privacy",
            "Who may see one, write to one, and bring one into groups.",
            |im: Im, caller: Caller, input: SetPrivacy| async move { im.privacy(&caller, input).await },
        ),
        op("dnd", "When nothing rings, each day.", |im: Im, caller: Caller, input: SetDnd| async move {
            im.set_dnd(&caller, input).await
        }),
        op("blocked", "Whom one has blocked.", |im: Im, caller: Caller, _: Nothing| async move {
            let users: Vec<Arc<str>> =
                im.person(&caller.who.user).await?.lock().blocked.iter().cloned().collect();
            Ok(Profiles { profiles: im.profiles(&caller, &users).await? })
        }),
    ]
}

/// An empty text is none.
fn some(text: String) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn short(what: &str, text: &str, bytes_max: usize) -> Result<(), Wrong> {
    if text.len() > bytes_max || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Wrong::BadInput(format!(
            "'{what}' has at most {bytes_max} bytes and no control characters"
        )));
    }
    Ok(())
}

impl Im {
    /// People as the caller sees them.
    pub(crate) async fn profiles(&self, caller: &Caller, users: &[Arc<str>]) -> Result<Vec<Profile>, Wrong> {
        let me = self.person(&caller.who.user).await?;
        let others = self.persons(users).await?;
        let shown = |known: Arc<crate::person::Known>| {
            let (remark, friend, blocked) = {
                let mine = me.lock();
                let friend = mine.friends.get(&known.user);
                (friend.and_then(|f| f.remark.clone()), friend.is_some(), mine.blocked.contains(&known.user))
            };
            let own = known.user == me.user;
            let person = known.lock();
            Profile {
                user: known.user.clone(),
                name: person.name.clone(),
                avatar: person.avatar.clone(),
                about: person.about.clone(),
                handle: person.handle.clone(),
                attributes: person.attributes.clone(),
                remark,
                friend,
                blocked,
                dnd: person.dnd.clone().filter(|_| own),
                privacy: own.then(|| Privacy::of(&person)),
            }
        };
        Ok(others.into_iter().map(shown).collect())
    }

    async fn set_profile(&self, caller: &Caller, input: SetProfile) -> Result<Profile, Wrong> {
        for (what, text, max) in [
            ("name", &input.name, NAME_BYTES_MAX),
            ("avatar", &input.avatar, NAME_BYTES_MAX),
            ("about", &input.about, ABOUT_BYTES_MAX),
        ] {
            short(what, text.as_deref().unwrap_or_default(), max)?;
        }
        let attributes =
            input.attributes.as_ref().map(|a| serde_json::to_vec(a).map_or(usize::MAX, |a| a.len()));
        if attributes.is_some_and(|bytes| bytes > ATTRIBUTES_BYTES_MAX) {
            return Err(Wrong::BadInput(format!("'attributes' have at most {ATTRIBUTES_BYTES_MAX} bytes")));
        }
        let known = self.person(&caller.who.user).await?;
        let handle = input.handle.map(some);
        let mut rows = Vec::new();
        // Held until the row is in line: nobody else takes the same handle meanwhile.
        let _taken = match &handle {
            Some(Some(handle)) => Some(self.take_handle(handle, &known.user).await?),
            _ => None,
        };
        let written = {
            let mut person = known.lock();
            if let Some(handle) = handle {
                if let Some(old) = person.handle.take() {
                    rows.push((handle_key(&old), None));
                }
                if let Some(new) = &handle {
                    rows.push((handle_key(new), Some(crate::ledger::json(&known.user))));
                }
                person.handle = handle;
            }
            let set = |place: &mut Option<String>, new: Option<String>| {
                if let Some(new) = new {
                    *place = some(new);
                }
            };
            set(&mut person.name, input.name);
            set(&mut person.avatar, input.avatar);
            set(&mut person.about, input.about);
            if let Some(attributes) = input.attributes {
                person.attributes = attributes;
            }
            rows.push(known.row(&person));
            self.inner.ledger.commit(rows)
        };
        written.await?;
        let mut shown = self.profiles(caller, std::slice::from_ref(&known.user)).await?;
        shown.pop().ok_or(Wrong::NoSuch("user"))
    }

    /// Takes a handle for somebody, as long as the answer is held.
    async fn take_handle(&self, handle: &str, user: &Arc<str>) -> Result<Taken<'_>, Wrong> {
        let good = (3..=32).contains(&handle.len())
            && handle.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !good {
            return Err(Wrong::BadInput("a handle is 3 to 32 small letters, digits and '_'".to_owned()));
        }
        if !self.inner.handles.lock().insert(handle.to_owned()) {
            return Err(Wrong::Conflict("this handle is taken"));
        }
        let taken = Taken { im: self, handle: handle.to_owned() };
        match self.handle_owner(handle).await? {
            Some(owner) if owner != *user => Err(Wrong::Conflict("this handle is taken")),
            _ => Ok(taken),
        }
    }

    async fn handle_owner(&self, handle: &str) -> Result<Option<Arc<str>>, Wrong> {
        let key = handle_key(handle);
        let row = self.inner.ledger.table().get(&key).await?;
        Ok(row.map(|(row, _)| crate::load::parsed(&key, &row)).transpose()?)
    }

    async fn find(&self, caller: &Caller, handle: &str) -> Result<Profile, Wrong> {
        short("handle", handle, NAME_BYTES_MAX)?;
        let name = handle.trim().trim_start_matches('@');
        let user = match self.handle_owner(name).await? {
            Some(user) => user,
            None => self.somebody(name).await?.user.clone(),
        };
        let mut shown = self.profiles(caller, &[user]).await?;
        shown.pop().ok_or(Wrong::NoSuch("user"))
    }

    async fn privacy(&self, caller: &Caller, input: SetPrivacy) -> Result<Privacy, Wrong> {
        let change = |person: &mut Person| {
            person.last_seen_for = input.last_seen.unwrap_or(person.last_seen_for);
            person.messages_from = input.messages.unwrap_or(person.messages_from);
            person.groups_from = input.groups.unwrap_or(person.groups_from);
            Privacy::of(person)
        };
        self.change_person(&caller.who.user, change).await
    }

    async fn set_dnd(&self, caller: &Caller, input: SetDnd) -> Result<Done, Wrong> {
        if !(-14 * 60..=14 * 60).contains(&input.offset_min) {
            return Err(Wrong::BadInput("'offset_min' is -840 to 840".to_owned()));
        }
        let dnd = match (input.from, input.until) {
            (Some(from), Some(until)) => {
                let (from_min, until_min) = (minute(&from)?, minute(&until)?);
                Some(Dnd { from_min, until_min, offset_min: input.offset_min })
            }
            (None, None) => None,
            _ => return Err(Wrong::BadInput("'from' and 'until' come together".to_owned())),
        };
        self.change_person(&caller.who.user, |person| person.dnd = dnd).await?;
        Ok(Done {})
    }

    /// Whether somebody lets another one bring them into a group.
    pub(crate) async fn lets_bring(&self, user: &Arc<str>, by: &Arc<str>) -> Result<bool, Wrong> {
        if user == by {
            return Ok(true);
        }
        let known = self.person(user).await?;
        let person = known.lock();
        Ok(person.lets(person.groups_from, by))
    }

    /// Changes one's own row, and waits until it is safe.
    pub(crate) async fn change_person<T>(
        &self,
        user: &Arc<str>,
        change: impl FnOnce(&mut Person) -> T,
    ) -> Result<T, Wrong> {
        let known = self.person(user).await?;
        let (changed, written) = {
            let mut person = known.lock();
            let changed = change(&mut person);
            (changed, self.inner.ledger.commit([known.row(&person)]))
        };
        written.await?;
        Ok(changed)
    }
}

fn handle_key(handle: &str) -> bytes::Bytes {
    format!("n/{handle}").into()
}

/// The minute of the day.
fn minute(text: &str) -> Result<u16, Wrong> {
    let parsed =
        text.split_once(':').and_then(|(h, m)| Some((h.parse::<u16>().ok()?, m.parse::<u16>().ok()?)));
    match parsed {
        Some((hour, minute)) if hour < 24 && minute < 60 => Ok(hour * 60 + minute),
        _ => Err(Wrong::BadInput("a time of the day is written 22:00".to_owned())),
    }
}

/// A handle that is being taken.
struct Taken<'a> {
    im: &'a Im,
    handle: String,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.im.inner.handles.lock().remove(&self.handle);
    }
}
