//! The message ids seen lately in a space, and those of messages that are on their way.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use yizhan_hub::{
    message::MessageId,
    space::Dedup,
    store::{Appended, StoreError},
};
use yizhan_talk::Timestamp;

use crate::codec::Place;

/// Repeated messages that wait for one first message; more are refused as "busy".
const WAITERS_MAX: usize = 1024;

/// Who waits for what becomes of a message.
pub(crate) type Answerer = oneshot::Sender<Result<Appended, StoreError>>;

/// What is known of a message's id before it is put in line.
pub(crate) enum Known {
    /// Nothing: it is the first one, and is under way from now on.
    New,
    /// The first one is safe.
    Safe(Seen),
    /// The first one is under way; this tells what becomes of it.
    UnderWay(oneshot::Receiver<Result<Appended, StoreError>>),
    /// As before, and too many wait for it.
    Busy,
}

/// The ids of all lanes of a space.
#[derive(Debug)]
pub(crate) struct Ids {
    window: Window,
    under_way: FxHashMap<MessageId, Vec<Answerer>>,
}

impl Ids {
    pub(crate) fn new(limits: Dedup) -> Self {
        Self { window: Window::new(limits), under_way: FxHashMap::default() }
    }

    /// Takes in what lanes remember from before, in any order.
    pub(crate) fn remember(&mut self, mut entries: Vec<(MessageId, Seen)>) {
        entries.sort_by_key(|(_, seen)| seen.at);
        for (id, seen) in entries {
            self.window.push(id, seen);
        }
    }

    /// Looks an id up, and takes it as under way where it is new.
    pub(crate) fn begin(&mut self, id: MessageId, now: Timestamp) -> Known {
        if let Some(seen) = self.window.find(id, now) {
            return Known::Safe(seen);
        }
        let Some(waiting) = self.under_way.get_mut(&id) else {
            self.under_way.insert(id, vec![]);
            return Known::New;
        };
        if waiting.len() >= WAITERS_MAX {
            return Known::Busy;
        }
        let (answer, result) = oneshot::channel();
        waiting.push(answer);
        Known::UnderWay(result)
    }

    /// The message is safe. Gives who waits for it with a repeated one.
    pub(crate) fn settle(&mut self, id: MessageId, seen: Seen) -> Vec<Answerer> {
        self.window.push(id, seen);
        self.under_way.remove(&id).unwrap_or_default()
    }

    /// The message was refused, so the next one with this id is new.
    pub(crate) fn refuse(&mut self, id: MessageId, error: &StoreError) {
        for answer in self.under_way.remove(&id).unwrap_or_default() {
            // Whoever asked may be gone.
            drop(answer.send(Err(error.clone())));
        }
    }

    /// What is remembered of one lane, oldest first.
    pub(crate) fn of_lane(&self, lane: u16) -> Vec<(MessageId, Seen)> {
        self.window.entries().filter(|(_, seen)| seen.lane == lane).collect()
    }
}

/// Where the first message with an id went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) lane: u16,
    pub(crate) place: Place,
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
}

/// Ids in the order in which they came, bounded by count and age.
#[derive(Debug)]
pub(crate) struct Window {
    limits: Dedup,
    order: VecDeque<(MessageId, Seen)>,
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
        // Known already: the journal is read again from a checkpoint.
        let known = self
            .seen
            .get(&id)
            .is_some_and(|k| k.at > seen.at || (k.lane, k.place) == (seen.lane, seen.place));
        if known || self.limits.ids_max == 0 {
            return;
        }
        self.seen.insert(id, seen);
        self.order.push_back((id, seen));
        while let Some((oldest, place)) = self.order.front().copied() {
            // An id that came again, after it was too old to count, has a later place in the order.
            let known = self.seen.get(&oldest).filter(|known| **known == place);
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
        self.order.iter().filter(|(id, seen)| self.seen.get(id) == Some(seen)).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn seen(place: Place, at: u64) -> Seen {
        Seen { lane: 0, place, seq: place, at: Timestamp(at) }
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
