//! Who is here: sessions that attached, by user.

use std::sync::Arc;

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use yizhan_hub::{SessionId, Topic};

use crate::names;

/// What a client runs on.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    Default,
    PartialOrd,
    Ord,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Platform {
    /// A browser.
    Web,
    /// An iPhone or iPad.
    Ios,
    /// An Android phone or tablet.
    Android,
    /// A program on a computer.
    Desktop,
    /// Anything else: bots, things.
    #[default]
    Other,
}

/// A session that attached.
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    pub(crate) session: SessionId,
    pub(crate) device: Arc<str>,
    pub(crate) platform: Platform,
    /// ms.
    pub(crate) since: u64,
}

struct Of {
    stream: Topic,
    sessions: SmallVec<[Attached; 2]>,
}

/// Users who are here.
#[derive(Default)]
pub(crate) struct Online {
    users: RwLock<FxHashMap<Arc<str>, Of>>,
}

impl Online {
    /// A session attaches; gives whether its user was not here before.
    pub(crate) fn attach(&self, user: &Arc<str>, attached: Attached) -> bool {
        let mut users = self.users.write();
        let of = users
            .entry(user.clone())
            .or_insert_with(|| Of { stream: names::stream(user), sessions: SmallVec::new() });
        let first = of.sessions.is_empty();
        of.sessions.retain(|a| a.session != attached.session);
        of.sessions.push(attached);
        first
    }

    /// A session is gone; gives whether it was attached, and whether its user is gone with it.
    pub(crate) fn detach(&self, user: &str, session: SessionId) -> (bool, bool) {
        let mut users = self.users.write();
        let Some(of) = users.get_mut(user) else { return (false, false) };
        let before = of.sessions.len();
        of.sessions.retain(|a| a.session != session);
        let (was, last) = (of.sessions.len() != before, of.sessions.is_empty());
        if last {
            users.remove(user);
        }
        (was, was && last)
    }

    /// A user's attached sessions.
    pub(crate) fn of(&self, user: &str) -> SmallVec<[Attached; 2]> {
        self.users.read().get(user).map(|of| of.sessions.clone()).unwrap_or_default()
    }

    /// Whether a user is here.
    pub(crate) fn is_here(&self, user: &str) -> bool {
        self.users.read().contains_key(user)
    }

    /// How many are here.
    pub(crate) fn len(&self) -> usize {
        self.users.read().len()
    }

    /// The streams of those who are here.
    pub(crate) fn streams<'a>(&self, users: impl Iterator<Item = &'a Arc<str>>, into: &mut Vec<Topic>) {
        let here = self.users.read();
        into.extend(users.filter_map(|user| here.get(user)).map(|of| of.stream.clone()));
    }
}
