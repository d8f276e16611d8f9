//! How a family of topics is kept and delivered.

use std::time::Duration;

use crate::topic::{Filter, Topic};

/// A family of topics that are kept and delivered alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// Its name in the config; a kept space's data belongs to this name.
    pub name: String,
    /// Which topics. Where several spaces match, the most specific one has the topic.
    pub topics: Filter,
    /// What is kept, and how safely.
    pub keep: Keep,
    /// What becomes of a listener that reads too slowly.
    pub lag: Lag,
    /// How long, and for how many messages, a repeated message id is recognised.
    pub dedup: Dedup,
    /// How many lanes, each with a writer of its own, the space's topics are dealt to by hash.
    pub lanes: u16,
}

/// What a space keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing but the newest record of each key, in memory.
    Nothing,
    /// The newest records, in memory: acknowledged when there, gone with the process.
    Memory(Limits),
    /// The newest records, on disk: acknowledged after `fsync`.
    Disk(Limits),
}

/// How much a space keeps. What is over any of them goes, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Records in the space.
    pub records_max: u64,
    /// Bytes in the space.
    pub bytes_max: u64,
    /// Age of a record.
    pub age_max: Duration,
}

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self { records_max: u64::MAX, bytes_max: u64::MAX, age_max: Duration::MAX };
}

/// The window in which a repeated message id is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dedup {
    /// How long an id is remembered.
    pub age_max: Duration,
    /// How many ids are remembered; the oldest go first.
    pub ids_max: usize,
}

impl Default for Dedup {
    fn default() -> Self {
        Self { age_max: Duration::from_secs(600), ids_max: 100_000 }
    }
}

/// What becomes of a listener whose outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// It goes on from the journal, as slowly as it must; it loses only what retention takes. In a space
    /// that keeps nothing there is no journal, and this is the same as [`Skip`](Self::Skip).
    CatchUp,
    /// It loses what did not fit, and is told how many.
    Skip,
    /// Its connection is closed.
    Close,
    /// For each topic and key, only the newest record waits.
    Latest,
}

/// Finds the space of a topic: the most specific filter that matches, the first one of equals.
#[derive(Debug)]
pub struct SpaceFinder {
    /// (filter, index in the config's order), most specific first.
    order: Vec<(Filter, usize)>,
}

impl SpaceFinder {
    /// A finder over spaces in the config's order.
    #[must_use]
    pub fn new<'a>(spaces: impl IntoIterator<Item = &'a Space>) -> Self {
        let mut order: Vec<_> = spaces.into_iter().map(|s| s.topics.clone()).zip(0..).collect();
        order.sort_by_key(|(filter, i)| {
            // Level by level a name is more specific than '+', and '+' than '#' or the end.
            let rank: Vec<u8> = filter
                .levels()
                .map(|l| {
                    if l == "+" {
                        1
                    } else if l == "#" {
                        2
                    } else {
                        0
                    }
                })
                .chain([3])
                .collect();
            (rank, *i)
        });
        Self { order }
    }

    /// The index of the topic's space; `None` where no filter matches.
    #[must_use]
    pub fn find(&self, topic: &Topic) -> Option<usize> {
        self.order.iter().find(|(filter, _)| filter.matches(topic)).map(|(_, i)| *i)
    }

    /// The indices of all spaces that topics of this filter may lie in, most specific first.
    pub fn overlapping<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = usize> + 'a {
        let mut covered = false;
        self.order
            .iter()
            .take_while(move |(topics, _)| {
                // A space that has all of them leaves nothing for the less specific ones behind it.
                let go_on = !covered;
                covered |= topics.covers(filter);
                go_on
            })
            .filter(|(topics, _)| topics.overlaps(filter))
            .map(|(_, i)| *i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_space_has_the_topic() {
        let space = |name: &str, topics: &str| Space {
            name: name.into(),
            topics: Filter::new(topics).unwrap(),
            keep: Keep::Nothing,
            lag: Lag::Skip,
            dedup: Dedup::default(),
            lanes: 1,
        };
        let spaces = [
            space("all", "#"),
            space("disk", "disk/#"),
            space("chats", "disk/+/chat"),
            space("one", "disk/a/chat"),
        ];
        let finder = SpaceFinder::new(&spaces);
        let find = |t: &str| finder.find(&Topic::new(t).unwrap()).map(|i| spaces[i].name.as_str());
        assert_eq!(find("x"), Some("all"));
        assert_eq!(find("disk"), Some("disk"));
        assert_eq!(find("disk/b/chat"), Some("chats"));
        assert_eq!(find("disk/a/chat"), Some("one"));
        assert_eq!(find("$SYS/x"), None);
        let among = |f: &str| -> Vec<_> {
            let filter = Filter::new(f).unwrap();
            finder.overlapping(&filter).map(|i| spaces[i].name.as_str()).collect()
        };
        assert_eq!(among("disk/b/#"), ["chats", "disk"]);
        assert_eq!(among("disk/a/chat"), ["one"]);
        assert_eq!(among("x/+"), ["all"]);
        assert_eq!(among("+/a/chat"), ["one", "chats", "disk", "all"]);
    }
}
