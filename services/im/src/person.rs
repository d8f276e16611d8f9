//! A person as the service knows them. The row `p/USER`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    denied::Wrong,
    im::Im,
    ledger::{Row, json},
    load::parsed,
};

/// People in memory beyond which those whom nobody uses go.
const MEMORY_MAX: usize = 200_000;

/// A person.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Person {
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(rename = "a", skip_serializing_if = "Option::is_none")]
    pub(crate) avatar: Option<String>,
    #[serde(rename = "b", skip_serializing_if = "Option::is_none")]
    pub(crate) about: Option<String>,
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    pub(crate) handle: Option<String>,
    #[serde(rename = "x", skip_serializing_if = "Map::is_empty")]
    pub(crate) attributes: Map<String, Value>,
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<Status>,
    /// How one shows oneself.
    #[serde(rename = "w")]
    pub(crate) show: Show,
    /// When one was here last, ms.
    #[serde(rename = "l")]
    pub(crate) last_seen: u64,
    #[serde(rename = "pl")]
    pub(crate) last_seen_for: ForWhom,
    #[serde(rename = "pm")]
    pub(crate) messages_from: ForWhom,
    #[serde(rename = "pg")]
    pub(crate) groups_from: ForWhom,
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub(crate) dnd: Option<Dnd>,
    #[serde(rename = "f", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) friends: BTreeMap<Arc<str>, Friend>,
    /// Who wants to be one's friend, with what they say.
    #[serde(rename = "ri", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) asked_by: BTreeMap<Arc<str>, Asked>,
    /// Whom one asked.
    #[serde(rename = "ro", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) asked: BTreeMap<Arc<str>, Asked>,
    #[serde(rename = "bl", skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) blocked: BTreeSet<Arc<str>>,
}

/// What one says of oneself for a while.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Status {
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// As a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
    /// Until when, milliseconds since 1970; left out for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// How one shows oneself while one is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Show {
    /// As one who is here.
    #[default]
    Online,
    /// As one who looks elsewhere.
    Away,
    /// As one who does not want to be disturbed; nothing rings.
    Busy,
    /// As one who is not here.
    Invisible,
}

/// Whom something is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ForWhom {
    /// For all who are not blocked.
    #[default]
    Everyone,
    /// For friends.
    Friends,
    /// For nobody.
    Nobody,
}

/// When nothing rings, each day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Dnd {
    /// From this minute of the day on.
    pub from_min: u16,
    /// To this one; earlier than `from_min` where the night lies between.
    pub until_min: u16,
    /// Minutes that the person's clock is ahead of UTC.
    pub offset_min: i16,
}

impl Dnd {
    /// Whether nothing rings at this time, ms since 1970.
    pub(crate) fn holds(&self, at: u64) -> bool {
        let minutes = i64::try_from(at / 60_000).unwrap_or(0) + i64::from(self.offset_min);
        let minute = minutes.rem_euclid(24 * 60);
        let (from, until) = (i64::from(self.from_min), i64::from(self.until_min));
        if from <= until { (from..until).contains(&minute) } else { minute >= from || minute < until }
    }
}

/// A friend.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Friend {
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub(crate) remark: Option<String>,
    #[serde(rename = "g", skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    #[serde(rename = "s")]
    pub(crate) since: u64,
}

/// Somebody asked to be a friend.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(rename = "a")]
    pub(crate) at: u64,
}

impl Person {
    /// Whether something that is for these is for `other`.
    pub(crate) fn lets(&self, whom: ForWhom, other: &str) -> bool {
        !self.blocked.contains(other)
            && match whom {
                ForWhom::Everyone => true,
                ForWhom::Friends => self.friends.contains_key(other),
                ForWhom::Nobody => false,
            }
    }

    /// Whether nothing rings now.
    pub(crate) fn is_quiet(&self, at: u64) -> bool {
        self.show == Show::Busy || self.dnd.as_ref().is_some_and(|dnd| dnd.holds(at))
    }
}

/// A person in memory.
pub(crate) struct Known {
    pub(crate) user: Arc<str>,
    person: Mutex<Person>,
    written: AtomicU64,
}

impl Known {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Person> {
        self.person.lock()
    }

    /// The person's row.
    pub(crate) fn row(&self, person: &Person) -> Row {
        (person_key(&self.user), Some(json(person)))
    }

    /// Notes that a write has the row.
    pub(crate) fn wrote(&self, number: u64) {
        self.written.fetch_max(number, Relaxed);
    }
}

/// The key of a person's row.
pub(crate) fn person_key(user: &str) -> Bytes {
    format!("p/{user}").into()
}

/// People in memory.
#[derive(Default)]
pub(crate) struct People(Mutex<FxHashMap<Arc<str>, Arc<Known>>>);

impl People {
    pub(crate) fn find(&self, user: &str) -> Option<Arc<Known>> {
        self.0.lock().get(user).cloned()
    }

    fn insert(&self, known: Arc<Known>) -> Arc<Known> {
        self.0.lock().entry(known.user.clone()).or_insert(known).clone()
    }

    /// Forgets those whom nobody holds and whose rows are written, where there are many.
    pub(crate) fn forget(&self, written: u64) {
        let mut people = self.0.lock();
        if people.len() > MEMORY_MAX {
            people.retain(|_, known| Arc::strong_count(known) > 1 || known.written.load(Relaxed) > written);
        }
    }
}

impl Im {
    /// A person, known or not yet: who has no row has the defaults.
    pub(crate) async fn person(&self, user: &Arc<str>) -> Result<Arc<Known>, Wrong> {
        if let Some(known) = self.inner.people.find(user) {
            return Ok(known);
        }
        let mut people = self.persons(std::slice::from_ref(user)).await?;
        people.pop().ok_or(Wrong::NoSuch("user"))
    }

    /// People, in the order of their names as they were given.
    pub(crate) async fn persons(&self, users: &[Arc<str>]) -> Result<Vec<Arc<Known>>, Wrong> {
        let cold: Vec<&Arc<str>> =
            users.iter().filter(|user| self.inner.people.find(user).is_none()).collect();
        let keys: Vec<Bytes> = cold.iter().map(|user| person_key(user)).collect();
        let rows = if keys.is_empty() {
            Vec::new()
        } else {
            self.inner.ledger.table().get_many(keys.clone()).await?
        };
        for ((user, key), row) in cold.into_iter().zip(keys).zip(rows) {
            let person = row.map(|row| parsed::<Person>(&key, &row)).transpose()?.unwrap_or_default();
            self.insert_person(user, person);
        }
        Ok(users
            .iter()
            .map(|user| match self.inner.people.find(user) {
                Some(known) => known,
                None => self.insert_person(user, Person::default()),
            })
            .collect())
    }

    fn insert_person(&self, user: &Arc<str>, person: Person) -> Arc<Known> {
        let known = Known { user: user.clone(), person: Mutex::new(person), written: AtomicU64::new(0) };
        self.inner.people.insert(Arc::new(known))
    }

    /// Whether somebody may come in by this name, or did.
    pub(crate) async fn exists(&self, user: &Arc<str>) -> Result<bool, Wrong> {
        if self.inner.people.find(user).is_some_and(|known| known.lock().last_seen > 0) {
            return Ok(true);
        }
        if (self.inner.seams.exists)(user.clone()).await {
            return Ok(true);
        }
        Ok(self.inner.ledger.table().get(&person_key(user)).await?.is_some())
    }

    /// A person who exists.
    pub(crate) async fn somebody(&self, user: &str) -> Result<Arc<Known>, Wrong> {
        let user: Arc<str> = user.into();
        if !self.exists(&user).await? {
            return Err(Wrong::NoSuch("user"));
        }
        self.person(&user).await
    }
}

/// Two people at once, each under its lock, in an order that never waits in a circle. Not for one with oneself.
pub(crate) fn both<T>(one: &Known, other: &Known, run: impl FnOnce(&mut Person, &mut Person) -> T) -> T {
    if one.user < other.user {
        let mut first = one.lock();
        let mut second = other.lock();
        run(&mut first, &mut second)
    } else {
        let mut second = other.lock();
        let mut first = one.lock();
        run(&mut first, &mut second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_without_ringing_goes_over_midnight() {
        let dnd = Dnd { from_min: 22 * 60, until_min: 7 * 60, offset_min: 8 * 60 };
        let at = |utc_hour: u64| utc_hour * 3_600_000;
        // 22:00 in Beijing is 14:00 UTC.
        assert!(!dnd.holds(at(13)));
        assert!(dnd.holds(at(14)));
        assert!(dnd.holds(at(22)));
        assert!(!dnd.holds(at(23)));
    }
}
