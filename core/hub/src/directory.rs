//! Who listens to what: shards of exact topics, a trie of wildcards.
//!
//! Lock order: a shard or the trie, then one entry, then one outbox. Nothing is locked twice.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use indexmap::IndexMap;
use parking_lot::RwLock;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::{
    message::SessionId,
    session::Session,
    topic::{Filter, Topic},
};

const SHARDS: usize = 64;

/// One subscription of one session: its session's number and its slot there.
pub(crate) type Place = (SessionId, u32);

/// Everybody who listens by one filter.
#[derive(Default)]
struct Entry {
    listeners: RwLock<Listeners>,
}

/// Most topics have one listener: a device its own. A map for it would cost five times as much.
#[derive(Default)]
enum Listeners {
    #[default]
    None,
    One(Place, Arc<Session>),
    Many(Box<IndexMap<Place, Arc<Session>, FxBuildHasher>>),
}

impl Listeners {
    fn insert(&mut self, place: Place, session: Arc<Session>) {
        match self {
            Self::None => *self = Self::One(place, session),
            Self::One(only, _) if *only == place => *self = Self::One(place, session),
            Self::One(..) => {
                let Self::One(first, other) = std::mem::take(self) else { return };
                *self = Self::Many(Box::new([(first, other), (place, session)].into_iter().collect()));
            }
            Self::Many(map) => drop(map.insert(place, session)),
        }
    }

    fn remove(&mut self, place: Place) {
        match self {
            Self::One(only, _) if *only == place => *self = Self::None,
            Self::None | Self::One(..) => {}
            Self::Many(map) => {
                map.swap_remove(&place);
                // Not before the last: a topic that many come to and leave does not change its form each time.
                if map.is_empty() {
                    *self = Self::None;
                }
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(..) => 1,
            Self::Many(map) => map.len(),
        }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Entry {
    fn each(&self, mut visit: impl FnMut(&Arc<Session>, u32)) {
        match &*self.listeners.read() {
            Listeners::None => {}
            Listeners::One((_, slot), session) => visit(session, *slot),
            Listeners::Many(map) => {
                for ((_, slot), session) in map.iter() {
                    visit(session, *slot);
                }
            }
        }
    }
}

/// Some of the exact topics.
type Shard = RwLock<FxHashMap<Topic, Arc<Entry>>>;

#[derive(Default)]
struct Node {
    names: FxHashMap<Box<str>, Self>,
    plus: Option<Box<Self>>,
    /// Filters that end with `#` at this level.
    hash: Option<Arc<Entry>>,
    /// Filters that end at this level.
    here: Option<Arc<Entry>>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.plus.is_none() && self.hash.is_none() && self.here.is_none()
    }

    fn entry(&mut self, filter: &Filter) -> &Arc<Entry> {
        let mut node = self;
        for level in filter.levels() {
            node = match level {
                "#" => return node.hash.get_or_insert_default(),
                "+" => node.plus.get_or_insert_default(),
                name => node.names.entry(name.into()).or_default(),
            };
        }
        node.here.get_or_insert_default()
    }

    /// Takes a place out; true where this node is empty afterwards.
    fn remove<'a>(&mut self, mut levels: impl Iterator<Item = &'a str>, place: Place) -> bool {
        let gone = |entry: &mut Option<Arc<Entry>>| {
            if entry.as_ref().is_some_and(|e| {
                let mut listeners = e.listeners.write();
                listeners.remove(place);
                listeners.is_empty()
            }) {
                *entry = None;
            }
        };
        match levels.next() {
            None => gone(&mut self.here),
            Some("#") => gone(&mut self.hash),
            Some("+") => {
                if self.plus.as_mut().is_some_and(|node| node.remove(levels, place)) {
                    self.plus = None;
                }
            }
            Some(name) => {
                if self.names.get_mut(name).is_some_and(|node| node.remove(levels, place)) {
                    self.names.remove(name);
                }
            }
        }
        self.is_empty()
    }

    fn walk(&self, rest: Option<&str>, wild: bool, visit: &mut impl FnMut(&Entry)) {
        if let (Some(entry), true) = (&self.hash, wild) {
            visit(entry);
        }
        let Some(rest) = rest else {
            if let Some(entry) = &self.here {
                visit(entry);
            }
            return;
        };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        if let Some(node) = self.names.get(level) {
            node.walk(rest, true, visit);
        }
        if let (Some(node), true) = (&self.plus, wild) {
            node.walk(rest, true, visit);
        }
    }
}

/// Who listens to what.
pub(crate) struct Directory {
    exact: Box<[Shard]>,
    wild: RwLock<Node>,
    wild_count: AtomicUsize,
    exact_count: AtomicUsize,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self {
            exact: (0..SHARDS).map(|_| RwLock::default()).collect(),
            wild: RwLock::default(),
            wild_count: AtomicUsize::new(0),
            exact_count: AtomicUsize::new(0),
        }
    }

    fn shard(&self, topic: &str) -> &Shard {
        use std::hash::BuildHasher;
        // The map uses the low bits of the same hash; the shard takes others.
        &self.exact[(FxBuildHasher.hash_one(topic) >> 40) as usize % SHARDS]
    }

    /// How many subscriptions there are.
    pub(crate) fn len(&self) -> usize {
        self.exact_count.load(Relaxed) + self.wild_count.load(Relaxed)
    }

    /// How many topics somebody listens to by name.
    pub(crate) fn exact_topics(&self) -> usize {
        self.exact.iter().map(|shard| shard.read().len()).sum()
    }

    /// Lets a subscription hear its filter's topics from now on.
    pub(crate) fn insert(&self, filter: &Filter, slot: u32, session: &Arc<Session>) {
        let place = (session.id, slot);
        if let Some(topic) = filter.as_topic() {
            let mut shard = self.shard(topic.as_str()).write();
            shard.entry(topic).or_default().listeners.write().insert(place, session.clone());
            self.exact_count.fetch_add(1, Relaxed);
        } else {
            self.wild.write().entry(filter).listeners.write().insert(place, session.clone());
            self.wild_count.fetch_add(1, Relaxed);
        }
    }

    /// Takes a subscription out.
    pub(crate) fn remove(&self, filter: &Filter, place: Place) {
        if filter.is_wild() {
            self.wild.write().remove(filter.levels(), place);
            self.wild_count.fetch_sub(1, Relaxed);
            return;
        }
        let mut shard = self.shard(filter.as_str()).write();
        if let Some(entry) = shard.get(filter.as_str()) {
            let mut listeners = entry.listeners.write();
            listeners.remove(place);
            let empty = listeners.is_empty();
            drop(listeners);
            if empty {
                shard.remove(filter.as_str());
            }
        }
        self.exact_count.fetch_sub(1, Relaxed);
    }

    /// Visits every subscription to just this topic.
    pub(crate) fn each_exact(&self, topic: &Topic, visit: impl FnMut(&Arc<Session>, u32)) {
        let exact = self.shard(topic.as_str()).read().get(topic).cloned();
        if let Some(entry) = exact {
            entry.each(visit);
        }
    }

    /// How many subscriptions there are to just this topic.
    pub(crate) fn count_exact(&self, topic: &Topic) -> usize {
        let exact = self.shard(topic.as_str()).read().get(topic).cloned();
        exact.map_or(0, |entry| entry.listeners.read().len())
    }

    /// Visits every subscription that hears `topic`.
    pub(crate) fn each(&self, topic: &Topic, mut visit: impl FnMut(&Arc<Session>, u32)) {
        self.each_exact(topic, &mut visit);
        if self.wild_count.load(Relaxed) > 0 {
            let wild = self.wild.read();
            wild.walk(Some(topic.as_str()), !topic.is_dollar(), &mut |entry| entry.each(&mut visit));
        }
    }

    /// Exact topics that somebody listens to and that `filter` matches, with how many do, sorted by name.
    pub(crate) fn topics(&self, filter: &Filter) -> Vec<(Topic, usize)> {
        let mut found = Vec::new();
        for shard in &self.exact {
            for (topic, entry) in shard.read().iter().filter(|(topic, _)| filter.matches(topic)) {
                found.push((topic.clone(), entry.listeners.read().len()));
            }
        }
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(filters: &[&str], topic: &str) -> usize {
        let mut root = Node::default();
        for filter in filters {
            root.entry(&Filter::new(filter).unwrap());
        }
        let mut count = 0;
        root.walk(Some(topic), !topic.starts_with('$'), &mut |_| count += 1);
        count
    }

    #[test]
    fn the_trie_finds_what_the_filters_match() {
        let filters =
            ["#", "+", "a/#", "a/+", "+/b", "+/+", "a/b/#", "$x/#", "$x/+", "+/b/c", "/+", "a/+/c", "a//#"];
        for topic in ["a", "b", "a/b", "a/b/c", "$x", "$x/y", "/y", "a/", "a//c", "z/b/c/d"] {
            let expected = filters
                .iter()
                .filter(|f| Filter::new(f).unwrap().matches(&Topic::new(topic).unwrap()))
                .count();
            assert_eq!(walk(&filters, topic), expected, "{topic}");
        }
    }

    #[test]
    fn an_emptied_trie_keeps_no_nodes() {
        let mut root = Node::default();
        for filter in ["a/+/c", "a/#", "+/b", "x/+"] {
            root.entry(&Filter::new(filter).unwrap());
        }
        for filter in ["a/+/c", "a/#", "+/b", "x/+"] {
            root.remove(Filter::new(filter).unwrap().levels(), (SessionId(1), 0));
        }
        assert!(root.is_empty());
    }
}
