//! Who is here: told to friends, and to those who asked, as far as one lets them see it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::{SessionId, service::Caller};

use crate::{
    denied::Wrong,
    im::Im,
    names,
    online::Platform,
    op::{Op, op},
    person::{Known, Show, Status},
};

/// People asked about at once.
const PEOPLE_MAX: usize = 500;
/// People whom one session watches.
const WATCHED_MAX: usize = 2000;
/// Bytes of a status' text.
const STATUS_BYTES_MAX: usize = 256;
/// Bytes of a status' picture.
const EMOJI_BYTES_MAX: usize = 32;

/// Who is told when somebody comes or goes.
#[derive(Default)]
pub(crate) struct Watching(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    /// Who watches somebody, with how many sessions.
    by: HashMap<Arc<str>, HashMap<Arc<str>, u32>>,
    /// Whom a session watches.
    of: HashMap<SessionId, HashSet<Arc<str>>>,
}

impl Watching {
    fn add(&self, watcher: &Arc<str>, session: SessionId, users: &[Arc<str>]) {
        let mut watched = self.0.lock();
        for user in users {
            let of = watched.of.entry(session).or_default();
            if of.len() < WATCHED_MAX && of.insert(user.clone()) {
                *watched.by.entry(user.clone()).or_default().entry(watcher.clone()).or_insert(0) += 1;
            }
        }
    }

    /// A session is gone.
    pub(crate) fn remove(&self, watcher: &str, session: SessionId) {
        let mut watched = self.0.lock();
        for user in watched.of.remove(&session).unwrap_or_default() {
            let Some(by) = watched.by.get_mut(&user) else { continue };
            if let Some(count) = by.get_mut(watcher) {
                *count -= 1;
                if *count == 0 {
                    by.remove(watcher);
                }
            }
            if by.is_empty() {
                watched.by.remove(&user);
            }
        }
    }

    fn of(&self, user: &str) -> Vec<Arc<str>> {
        self.0.lock().by.get(user).map(|by| by.keys().cloned().collect()).unwrap_or_default()
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfPeople {
    /// Whose; at most 500.
    users: Vec<String>,
    /// Whether one wants to hear when it changes, as long as this session is here.
    #[serde(default)]
    watch: bool,
}

/// What one says of oneself for a while; what is left out stays, an empty text goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetStatus {
    /// In words; at most 256 bytes.
    text: Option<String>,
    /// As a picture.
    emoji: Option<String>,
    /// Until when, milliseconds since 1970.
    until: Option<u64>,
    /// How one shows oneself.
    show: Option<Show>,
}

/// Whether somebody is here.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Presence {
    /// Who.
    pub user: Arc<str>,
    /// Whether they are here.
    pub online: bool,
    /// How they show themselves.
    pub show: Show,
    /// What they say of themselves for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// When they were here last, milliseconds since 1970; left out while they are, and where they do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<u64>,
    /// What they are here with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Platform>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Present {
    /// In the order asked for.
    people: Vec<Presence>,
}

#[derive(Serialize)]
struct PresenceEvent<'a> {
    event: &'static str,
    #[serde(flatten)]
    presence: &'a Presence,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "presence",
            "Who is here, as far as they let one see it.",
            |im: Im, caller: Caller, input: OfPeople| async move { im.presence(&caller, input).await },
        ),
        op(
            "status",
            "What one says of oneself for a while, and how one shows oneself.",
            |im: Im, caller: Caller, input: SetStatus| async move { im.set_status(&caller, input).await },
        ),
    ]
}

impl Im {
    async fn presence(&self, caller: &Caller, input: OfPeople) -> Result<Present, Wrong> {
        if input.users.len() > PEOPLE_MAX {
            return Err(Wrong::TooMany { what: "users", max: PEOPLE_MAX });
        }
        let me = &caller.who.user;
        let users: Vec<Arc<str>> = input.users.into_iter().map(Arc::from).collect();
        let people = self.persons(&users).await?;
        if input.watch {
            self.inner.watching.add(me, caller.session, &users);
        }
        Ok(Present { people: people.iter().map(|known| self.presence_of(known, me)).collect() })
    }

    /// Somebody as `watcher` may see them.
    fn presence_of(&self, known: &Known, watcher: &str) -> Presence {
        let now = self.now().wall.as_millis();
        let sessions = self.inner.online.of(&known.user);
        let person = known.lock();
        let own = *known.user == *watcher;
        let seen = own || person.lets(person.last_seen_for, watcher);
        let online = seen && !sessions.is_empty() && (own || person.show != Show::Invisible);
        let mut platforms: Vec<Platform> = sessions.iter().map(|a| a.platform).filter(|_| online).collect();
        platforms.sort_unstable();
        platforms.dedup();
        Presence {
            user: known.user.clone(),
            online,
            show: if online { person.show } else { Show::default() },
            status: person.status.clone().filter(|s| seen && s.until.is_none_or(|until| until > now)),
            last_seen: Some(person.last_seen).filter(|at| seen && !online && *at > 0),
            platforms,
        }
    }

    async fn set_status(&self, caller: &Caller, input: SetStatus) -> Result<Presence, Wrong> {
        let long = |text: &Option<String>, max: usize| text.as_ref().is_some_and(|text| text.len() > max);
        if long(&input.text, STATUS_BYTES_MAX) || long(&input.emoji, EMOJI_BYTES_MAX) {
            return Err(Wrong::BadInput(format!(
                "a status has at most {STATUS_BYTES_MAX} bytes and one picture"
            )));
        }
        let me = &caller.who.user;
        self.change_person(me, |person| {
            person.show = input.show.unwrap_or(person.show);
            let mut status = person.status.take().unwrap_or_default();
            let set = |place: &mut Option<String>, new: Option<String>| {
                if let Some(new) = new {
                    *place = Some(new).filter(|new| !new.is_empty());
                }
            };
            set(&mut status.text, input.text);
            set(&mut status.emoji, input.emoji);
            status.until = input.until.or(status.until).filter(|until| *until > 0);
            person.status = Some(status).filter(|s| s.text.is_some() || s.emoji.is_some());
        })
        .await?;
        let known = self.person(me).await?;
        self.tell_presence(&known);
        Ok(self.presence_of(&known, me))
    }

    /// Tells friends, watchers and one's own devices that somebody came, went or shows something else.
    pub(crate) fn tell_presence(&self, known: &Known) {
        let mut to: Vec<Arc<str>> = known.lock().friends.keys().cloned().collect();
        to.extend(self.inner.watching.of(&known.user));
        to.push(known.user.clone());
        to.sort_unstable();
        to.dedup();
        to.retain(|user| self.inner.online.is_here(user));
        for watcher in to {
            let presence = self.presence_of(known, &watcher);
            let event = PresenceEvent { event: "presence", presence: &presence };
            self.tell(std::iter::once(&watcher), &names::stream(&watcher), &event);
        }
    }
}
