//! The message ids seen lately.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use yizhan_hub::{message::MessageId, space::Dedup};
use yizhan_talk::Timestamp;

use crate::codec::Place;

/// Where the first message with an id went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) place: Place,
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
}

/// Ids in the order in which they came, bounded by count and age.
#[derive(Debug)]
pub(crate) struct Window {
    limits: Dedup,
    order: VecDeque<(MessageId, Place)>,
    seen: FxHashMap<MessageId, Seen>,
}

impl Window {
    pub(crate) fn new(limits: Dedup) -> Self {
        Self { limits, order: VecDeque::new(), seen: FxHashMap::default() }
    }

    /// What is remembered of an id by a message taken `now`.
    pub(crate) fn find(&self, id: MessageId, now: Timestamp) -> Option<Seen> {
        self.seen.get(&id).copied().filter(|seen| now.since(seen.at) <= self.limits.age_max)
    }

    /// Remembers an id, and forgets those that are over the bounds at its moment.
    pub(crate) fn push(&mut self, id: MessageId, seen: Seen) {
        let known = self.seen.get(&id).map_or(0, |known| known.place);
        // Known already: the journal is read again from a checkpoint.
        if known >= seen.place || self.limits.ids_max == 0 {
            return;
        }
        self.seen.insert(id, seen);
        self.order.push_back((id, seen.place));
        while let Some((oldest, place)) = self.order.front().copied() {
            // An id that came again, after it was too old to count, has a later place in the order.
            let known = self.seen.get(&oldest).filter(|known| known.place == place);
            if let Some(known) = known {
                let too_old = seen.at.since(known.at) > self.limits.age_max;
                if self.order.len() <= self.limits.ids_max && !too_old {
                    break;
                }
                self.seen.remove(&oldest);
            }
            self.order.pop_front();
        }
    }

    /// All that is remembered, oldest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (MessageId, Seen)> + '_ {
        let known = |(id, place): &(MessageId, Place)| {
            self.seen.get(id).filter(|seen| seen.place == *place).map(|seen| (*id, *seen))
        };
        self.order.iter().filter_map(known)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn seen(place: Place, at: u64) -> Seen {
        Seen { place, seq: place, at: Timestamp(at) }
    }

    #[test]
    fn ids_are_forgotten_by_count_and_by_age() {
        let mut window = Window::new(Dedup { age_max: Duration::from_micros(100), ids_max: 3 });
        for n in 0..5 {
            window.push(MessageId(n), seen(n as u64 + 1, 10 * n as u64));
        }
        assert_eq!(window.find(MessageId(1), Timestamp(40)), None);
        assert_eq!(window.find(MessageId(2), Timestamp(40)), Some(seen(3, 20)));
        assert_eq!(window.find(MessageId(2), Timestamp(121)), None);
        assert_eq!(window.entries().count(), 3);
        window.push(MessageId(9), seen(9, 135));
        assert_eq!(window.entries().map(|(id, _)| id.0).collect::<Vec<_>>(), [4, 9]);
    }

    #[test]
    fn an_id_that_came_again_after_its_time_counts_anew() {
        let mut window = Window::new(Dedup { age_max: Duration::from_micros(100), ids_max: 10 });
        window.push(MessageId(1), seen(1, 0));
        window.push(MessageId(1), seen(2, 150));
        assert_eq!(window.find(MessageId(1), Timestamp(200)), Some(seen(2, 150)));
        window.push(MessageId(1), seen(2, 150));
        assert_eq!(window.entries().count(), 1);
    }

    #[test]
    fn nothing_is_remembered_where_nothing_shall_be() {
        let mut window = Window::new(Dedup { age_max: Duration::from_secs(1), ids_max: 0 });
        window.push(MessageId(1), seen(1, 0));
        assert_eq!(window.find(MessageId(1), Timestamp(0)), None);
    }
}
