//! What a lane knows of its topics, in memory.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use rustc_hash::FxHashMap;
use yizhan_hub::topic::{Filter, Topic};

use crate::{
    chain::Chain,
    codec::{Links, Place},
};

/// A topic's number in its lane's index; never given to another one.
pub(crate) type TopicId = u32;

/// One topic.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Topic,
    pub(crate) chain: Chain,
    /// Where the newest record of each key is.
    pub(crate) keys: Option<Box<FxHashMap<Arc<str>, Place>>>,
    /// The number of the oldest record, as found when the lane began at `.0`.
    oldest: (u64, u64),
}

/// A lane's topics and their states. Only what is safe on disk is in here.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: Vec<Entry>,
    by_name: FxHashMap<Topic, TopicId>,
    names: BTreeSet<Topic>,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn id(&self, topic: &str) -> Option<TopicId> {
        self.by_name.get(topic).copied()
    }

    pub(crate) fn entry(&self, id: TopicId) -> Option<&Entry> {
        self.entries.get(id as usize)
    }

    pub(crate) fn topic(&self, topic: &str) -> Option<&Entry> {
        self.entry(self.id(topic)?)
    }

    /// Topics numbered from `from`, for going through all of them piece by piece.
    pub(crate) fn slice(&self, from: usize, most: usize) -> &[Entry] {
        let end = (from + most).min(self.entries.len());
        self.entries.get(from..end).unwrap_or_default()
    }

    /// The topic's number, given where it has none.
    pub(crate) fn make(&mut self, topic: &Topic) -> TopicId {
        if let Some(id) = self.id(topic.as_str()) {
            return id;
        }
        let id = self.entries.len() as TopicId;
        self.entries.push(Entry { name: topic.clone(), chain: Chain::default(), keys: None, oldest: (0, 0) });
        self.by_name.insert(topic.clone(), id);
        self.names.insert(topic.clone());
        id
    }

    /// As [`make`](Self::make), to change what is known of it.
    pub(crate) fn make_entry(&mut self, topic: &Topic) -> &mut Entry {
        let id = self.make(topic);
        &mut self.entries[id as usize]
    }

    /// Takes a safe record in. Gives the place its key had before.
    pub(crate) fn take(
        &mut self,
        topic: TopicId,
        links: &Links,
        key: Option<(&str, IsTombstone)>,
    ) -> Option<Place> {
        let entry = self.entries.get_mut(topic as usize)?;
        entry.chain.push(links);
        let (key, tombstone) = key?;
        entry.set_key(key, links.place, tombstone)
    }

    /// Names that may match, in order, behind `after`.
    fn candidates<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&Topic>,
    ) -> impl Iterator<Item = &'a Topic> {
        // Every match begins with what stands before the first wildcard; `a/#` matches `a`, too.
        let pattern = filter.as_str();
        let prefix = &pattern[..pattern.find(['+', '#']).unwrap_or(pattern.len())];
        let prefix = if filter.is_wild() { prefix.strip_suffix('/').unwrap_or(prefix) } else { prefix };
        let from = match after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        self.names
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(move |name| name.as_str().starts_with(prefix))
    }

    /// Shows topics with a matching name, in the order of names, behind `after`, looking at `most` names.
    /// Gives the name to go on after, `None` at the end or when `each` has had enough.
    pub(crate) fn each_matching(
        &self,
        filter: &Filter,
        after: Option<&Topic>,
        most: usize,
        mut each: impl FnMut(&Entry) -> GoOn,
    ) -> Option<Topic> {
        if let Some(topic) = filter.as_topic() {
            if let Some(entry) = self.topic(topic.as_str())
                && after.is_none_or(|after| *after < topic)
            {
                each(entry);
            }
            return None;
        }
        for (i, name) in self.candidates(filter, after).enumerate() {
            if filter.matches(name)
                && let Some(entry) = self.topic(name.as_str())
                && each(entry) == GoOn::No
            {
                return None;
            }
            if i + 1 == most {
                return Some(name.clone());
            }
        }
        None
    }

    /// Forgets keys whose newest record is at `begin` or before it.
    pub(crate) fn forget_keys(&mut self, begin: u64) {
        for entry in &mut self.entries {
            if let Some(keys) = &mut entry.keys {
                keys.retain(|_, place| *place > begin);
                if keys.is_empty() {
                    entry.keys = None;
                }
            }
        }
    }

    /// The number of the topic's oldest record where it is known without reading.
    pub(crate) fn oldest_known(entry: &Entry, begin: u64) -> Option<u64> {
        if begin == 0 {
            return Some(1);
        }
        // A place is an offset plus one: a place behind `begin` is an offset at `begin` or behind it.
        if entry.chain.newest() <= begin {
            return Some(entry.chain.seq + 1);
        }
        (entry.oldest.0 == begin).then_some(entry.oldest.1)
    }

    /// Remembers the number of the topic's oldest record as long as the lane begins at `begin`.
    pub(crate) fn remember_oldest(&mut self, topic: &str, begin: u64, seq: u64) {
        if let Some(id) = self.id(topic) {
            self.entries[id as usize].oldest = (begin, seq);
        }
    }
}

/// Whether to show more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoOn {
    Yes,
    No,
}

/// Whether a keyed record removes its key from the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IsTombstone {
    Yes,
    No,
}

impl IsTombstone {
    pub(crate) fn of(body_len: usize) -> Self {
        if body_len == 0 { Self::Yes } else { Self::No }
    }
}

impl Entry {
    /// Changes the topic's state. Gives the place the key had before.
    pub(crate) fn set_key(&mut self, key: &str, place: Place, tombstone: IsTombstone) -> Option<Place> {
        if tombstone == IsTombstone::Yes {
            let keys = self.keys.as_mut()?;
            let before = keys.remove(key);
            if keys.is_empty() {
                self.keys = None;
            }
            return before;
        }
        let keys = self.keys.get_or_insert_default();
        match keys.get_mut(key) {
            Some(known) => Some(std::mem::replace(known, place)),
            None => keys.insert(key.into(), place),
        }
    }

    /// Where the newest record of a key is.
    pub(crate) fn key(&self, key: &str) -> Option<Place> {
        self.keys.as_ref()?.get(key).copied()
    }

    /// Keys and the places of their newest records.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&Arc<str>, Place)> {
        self.keys.iter().flat_map(|keys| keys.iter().map(|(key, place)| (key, *place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_match_in_the_order_of_names() {
        let mut index = Index::default();
        for name in ["b", "a/x", "a", "a/y/z", "ab", "$SYS/a", "a-b", "a/"] {
            index.make(&Topic::new(name).unwrap());
        }
        let matching = |filter: &str, after: Option<&str>| {
            let after = after.map(|a| Topic::new(a).unwrap());
            let filter = Filter::new(filter).unwrap();
            let (mut found, mut after) = (vec![], after);
            loop {
                let each = |e: &Entry| {
                    found.push(e.name.as_str().to_owned());
                    GoOn::Yes
                };
                after = index.each_matching(&filter, after.as_ref(), 2, each);
                if after.is_none() {
                    return found;
                }
            }
        };
        assert_eq!(matching("a/#", None), ["a", "a/", "a/x", "a/y/z"]);
        assert_eq!(matching("a/#", Some("a/")), ["a/x", "a/y/z"]);
        assert_eq!(matching("a/+", None), ["a/", "a/x"]);
        assert_eq!(matching("a/+/z", None), ["a/y/z"]);
        assert_eq!(matching("#", None).len(), 7);
        assert_eq!(matching("$SYS/#", None), ["$SYS/a"]);
        assert_eq!(matching("ab", None), ["ab"]);
        assert!(matching("ab", Some("ab")).is_empty() && matching("c/#", None).is_empty());
        assert_eq!(matching("+", Some("a-b")), ["ab", "b"]);
    }
}
