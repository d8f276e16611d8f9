//! Topics on one connection: those that the client publishes to, and the aliases of both ways
//! (MQTT 5 §3.3.2.3.4).

use std::{num::NonZeroU16, sync::Arc};

use rustc_hash::FxHashMap;

use crate::{names::Destination, wire::form::Alias};

/// Names whose meaning is remembered; a client that publishes to more has them looked at each time.
const KNOWN_MAX: usize = 8;
/// A topic of fewer bytes is not worth an alias: the property has three.
const ALIAS_TOPIC_BYTES_MIN: usize = 8;

/// What the last names meant that the client published to, newest first.
#[derive(Debug, Default)]
pub(super) struct Known(Vec<(Arc<str>, Destination)>);

impl Known {
    /// Where messages to this name go, where that is known.
    pub(super) fn find(&mut self, name: &str) -> Option<&Destination> {
        let at = self.0.iter().position(|(known, _)| **known == *name)?;
        if at > 0 {
            self.0[..=at].rotate_right(1);
        }
        Some(&self.0.first()?.1)
    }

    /// Remembers where messages to this name go.
    pub(super) fn put(&mut self, name: &str, destination: Destination) {
        self.0.truncate(KNOWN_MAX - 1);
        self.0.insert(0, (name.into(), destination));
    }
}

/// Aliases that the client has set.
#[derive(Debug, Default)]
pub(super) struct AliasesIn(FxHashMap<NonZeroU16, Arc<str>>);

impl AliasesIn {
    /// Sets an alias; the caller has checked it against the maximum.
    pub(super) fn set(&mut self, alias: NonZeroU16, topic: &str) {
        if self.0.get(&alias).is_none_or(|known| **known != *topic) {
            self.0.insert(alias, topic.into());
        }
    }

    /// Whether none is set.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What an alias stands for.
    pub(super) fn find(&self, alias: NonZeroU16) -> Option<Arc<str>> {
        self.0.get(&alias).cloned()
    }
}

/// Aliases that we have set: the first topics that come get one each.
#[derive(Debug, Default)]
pub(super) struct AliasesOut {
    max: u16,
    topics: FxHashMap<Box<[u8]>, NonZeroU16>,
}

impl AliasesOut {
    /// Sets at most so many.
    pub(super) fn new(max: u16) -> Self {
        Self { max, topics: FxHashMap::default() }
    }

    /// Whether there are none and will be none.
    pub(super) fn is_off(&self) -> bool {
        self.max == 0
    }

    /// How to name this topic in a packet that is sent.
    pub(super) fn name(&mut self, topic: &[u8]) -> Alias {
        if topic.len() < ALIAS_TOPIC_BYTES_MIN {
            return Alias::None;
        }
        if let Some(alias) = self.topics.get(topic) {
            return Alias::Use(*alias);
        }
        let next = u16::try_from(self.topics.len() + 1).ok().filter(|next| *next <= self.max);
        let Some(alias) = next.and_then(NonZeroU16::new) else { return Alias::None };
        self.topics.insert(topic.into(), alias);
        Alias::Set(alias)
    }

    /// The packet that was to set this alias was not sent.
    pub(super) fn take_back(&mut self, topic: &[u8]) {
        self.topics.remove(topic);
    }
}

#[cfg(test)]
mod tests {
    use yizhan_hub::Topic;

    use super::*;

    fn to(topic: &str) -> Destination {
        Destination { topic: Topic::new(topic).unwrap(), delay: None }
    }

    #[test]
    fn the_newest_names_are_known() {
        let mut known = Known::default();
        for i in 0..20 {
            known.put(&format!("t{i}"), to("x"));
            assert!(i == 0 || known.find("t0").is_some(), "what is used stays");
        }
        assert_eq!(known.0.len(), KNOWN_MAX);
        assert!(known.find("t19").is_some() && known.find("t5").is_none());
    }

    #[test]
    fn the_first_long_topics_get_an_alias() {
        let mut aliases = AliasesOut::new(2);
        let alias = |n| NonZeroU16::new(n).unwrap();
        assert_eq!(aliases.name(b"short"), Alias::None);
        assert_eq!(aliases.name(b"a long topic"), Alias::Set(alias(1)));
        assert_eq!(aliases.name(b"another topic"), Alias::Set(alias(2)));
        assert_eq!(aliases.name(b"one too many"), Alias::None);
        assert_eq!(aliases.name(b"a long topic"), Alias::Use(alias(1)));
    }
}
