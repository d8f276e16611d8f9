//! What a session of MQTT remembers beyond its connection (MQTT 5 §4.1): subscriptions as the client wrote
//! them, packets under way in both directions.
//!
//! The hub holds it as the session's keepsake, gives it to the next connection, and writes its bytes with the
//! session. Read in this order: this file, [`flight`] (packets to the client), [`saved`] (the bytes).

pub(crate) mod flight;
mod saved;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use yizhan_hub::{Keepsake, Qos, link::SubscriptionId};
use yizhan_talk::Now;

use crate::{generations::Generations, wire::properties::SubscriptionIdentifier};
use flight::Flight;

/// A session's memory. One connection at a time may change it: the last one that took it over.
pub(crate) struct Session(Mutex<State>);

/// See [`Session`].
#[derive(Debug)]
pub(crate) struct State {
    /// Grows with each connection that takes the session over.
    owner: u64,
    /// A number that nobody can guess: tells it from all other sessions, earlier ones of its name too.
    pub(crate) born: u64,
    /// QoS 2 towards the server: how often each packet identifier was released.
    pub(crate) generations: Generations,
    /// QoS 2 towards the server: what was published and is not released.
    pub(crate) received: BTreeMap<u16, Received>,
    /// By their numbers, which grow.
    pub(crate) subscriptions: Vec<Sub>,
    /// The number of the last subscription.
    pub(crate) last_subscription: SubscriptionId,
    /// QoS 1 and 2 towards the client.
    pub(crate) flight: Flight,
}

/// A PUBLISH of QoS 2 that is not released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// How often its identifier had been released before it: part of the message's id at the hub, so that
    /// the hub knows it again.
    pub(crate) generation: u64,
    /// Whether the hub has it.
    pub(crate) hold: Hold,
}

/// Whether the hub has a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It was given to the hub, by the connection with this number, and not answered yet.
    Asked(u64),
    /// The hub has it.
    Safe,
}

/// One subscription, as the client made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sub {
    /// Its number at the hub.
    pub(crate) id: SubscriptionId,
    /// The filter as the client wrote it, `$share/…` and all.
    pub(crate) filter: Box<str>,
    /// The most that it gets.
    pub(crate) qos: Qos,
    /// Not what this session publishes.
    pub(crate) no_local: bool,
    /// The retain flag stays as it was published.
    pub(crate) retain_as_published: bool,
    /// Members of a group get a record once, all together.
    pub(crate) shared: bool,
    /// What comes are retained messages, until the hub says that this is over.
    pub(crate) in_state: bool,
    /// Goes along with what comes.
    pub(crate) identifier: Option<SubscriptionIdentifier>,
}

impl Session {
    /// An empty one.
    pub(crate) fn new(now: Now) -> Self {
        // Keyed from the system's randomness.
        Self(Mutex::new(State::new(RandomState::new().hash_one(now.wall.0))))
    }

    /// The one that was written as these bytes; `None` where they are not such bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        saved::read(bytes).map(|state| Self(Mutex::new(state)))
    }

    /// Takes it over: gives the number under which the new connection may change it.
    pub(crate) fn take_over(&self) -> u64 {
        let mut state = self.0.lock();
        state.owner += 1;
        state.owner
    }

    /// What the connection with this number may read and change; `None` where another took it over.
    pub(crate) fn of(&self, owner: u64) -> Option<MutexGuard<'_, State>> {
        let state = self.0.lock();
        (state.owner == owner).then_some(state)
    }
}

impl State {
    fn new(born: u64) -> Self {
        Self {
            owner: 0,
            born,
            generations: Generations::default(),
            received: BTreeMap::new(),
            subscriptions: Vec::new(),
            last_subscription: 0,
            flight: Flight::default(),
        }
    }

    /// The subscription with this number.
    pub(crate) fn sub(&self, id: SubscriptionId) -> Option<&Sub> {
        self.subscriptions.get(self.place(id)?)
    }

    /// The subscription with this number, to be changed.
    pub(crate) fn sub_mut(&mut self, id: SubscriptionId) -> Option<&mut Sub> {
        let place = self.place(id)?;
        self.subscriptions.get_mut(place)
    }

    /// The subscription to this filter.
    pub(crate) fn sub_to(&self, filter: &str) -> Option<&Sub> {
        self.subscriptions.iter().find(|sub| *sub.filter == *filter)
    }

    /// Puts a subscription in the place of the one with its number, or behind all others.
    pub(crate) fn put_sub(&mut self, sub: Sub) {
        match self.subscriptions.binary_search_by_key(&sub.id, |sub| sub.id) {
            Ok(at) => self.subscriptions[at] = sub,
            Err(at) => {
                // Most clients have one.
                self.subscriptions.reserve_exact(usize::from(self.subscriptions.is_empty()));
                self.subscriptions.insert(at, sub);
            }
        }
    }

    /// A number that no subscription of this session had before.
    pub(crate) fn new_subscription(&mut self) -> SubscriptionId {
        self.last_subscription = self.last_subscription.wrapping_add(1).max(1);
        self.last_subscription
    }

    /// Forgets a subscription.
    pub(crate) fn remove_sub(&mut self, id: SubscriptionId) {
        if let Some(at) = self.place(id) {
            self.subscriptions.remove(at);
        }
    }

    fn place(&self, id: SubscriptionId) -> Option<usize> {
        // Most sessions have one or a few, numbered from 1.
        let guess = id.wrapping_sub(1) as usize;
        if self.subscriptions.get(guess).is_some_and(|sub| sub.id == id) {
            return Some(guess);
        }
        self.subscriptions.binary_search_by_key(&id, |sub| sub.id).ok()
    }
}

impl Keepsake for Session {
    fn to_bytes(&self) -> Bytes {
        saved::write(&self.0.lock())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let state = self.0.lock();
        let flight = &state.flight;
        vec![
            ("inflight", flight.under_way() as u64),
            ("awaiting_completion", flight.released() as u64),
            ("awaiting_redelivery", flight.returning() as u64),
            ("awaiting_release", state.received.len() as u64),
        ]
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sub(id: SubscriptionId, filter: &str) -> Sub {
        Sub {
            id,
            filter: filter.into(),
            qos: Qos::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            shared: false,
            in_state: false,
            identifier: None,
        }
    }

    #[test]
    fn who_was_taken_over_changes_nothing_any_more() {
        let session = Session(Mutex::new(State::new(1)));
        let first = session.take_over();
        assert!(session.of(first).is_some());
        let second = session.take_over();
        assert!(session.of(first).is_none());
        assert!(session.of(second).is_some());
    }

    #[test]
    fn subscriptions_are_found_by_number_and_by_filter() {
        let mut state = State::new(1);
        for filter in ["a", "b", "c", "d"] {
            let id = state.new_subscription();
            state.put_sub(sub(id, filter));
        }
        state.remove_sub(2);
        state.put_sub(sub(3, "C"));
        assert_eq!(state.sub(2), None);
        assert_eq!(state.sub(3).map(|sub| &*sub.filter), Some("C"));
        assert_eq!(state.sub_to("d").map(|sub| sub.id), Some(4));
        assert_eq!(state.sub_to("b"), None);
        assert_eq!(state.new_subscription(), 5, "a number is used once");
    }
}
