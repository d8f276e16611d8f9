//! Packets of QoS 1 and 2 on their way to the client (MQTT 5 §4.3, §4.4), and how far the hub may be told
//! that they arrived.
//!
//! Entries stand in the order in which they were sent. What is finished is taken off the front, so that what
//! the hub is told never runs ahead of what the client has. After a break all entries wait in `returning` for
//! the hub to deliver their records again, and then have the packet identifier that they had.

use std::{
    collections::VecDeque,
    num::NonZeroU16,
    sync::{Arc, Weak},
};

use yizhan_hub::{Position, Qos, Record, link::SubscriptionId};
use yizhan_talk::Timestamp;

use crate::wire::PacketId;

/// Entries of earlier connections that are remembered at most; the oldest finished ones go first.
const RETURNING_MAX: usize = 2 * 65_535;

/// Where one packet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// PUBLISH was sent.
    Sent,
    /// QoS 2: the client has it and PUBREL was sent, or is about to be.
    Released,
    /// Nothing more is to come; the identifier is free.
    Done,
}

/// What tells a record from all others of its subscription.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Its place in a journal.
    Kept(Position),
    /// The record itself, where nothing keeps it.
    Unkept(Weak<Record>),
    /// Nothing: the hub does not deliver it again.
    Nowhere,
}

impl Place {
    pub(crate) fn of(record: &Arc<Record>) -> Self {
        match record.position {
            Some(position) => Self::Kept(position),
            None => Self::Unkept(Arc::downgrade(record)),
        }
    }

    fn is(&self, record: &Arc<Record>) -> bool {
        match (self, record.position) {
            (Self::Kept(place), Some(position)) => *place == position,
            (Self::Unkept(weak), None) => std::ptr::eq(weak.as_ptr(), Arc::as_ptr(record)),
            _ => false,
        }
    }

    /// Whether it lies before `position` in the same lane.
    fn is_before(&self, position: Option<Position>) -> bool {
        match (self, position) {
            (Self::Kept(place), Some(position)) => {
                place.same_lane(&position) && place.offset < position.offset
            }
            _ => false,
        }
    }

    /// Whether the hub will not deliver it again, whatever happens.
    fn is_gone(&self) -> bool {
        match self {
            Self::Kept(_) => false,
            Self::Unkept(weak) => weak.strong_count() == 0,
            Self::Nowhere => true,
        }
    }
}

/// One packet under way, or one that the hub has to be told about in its turn.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its identifier, until it is done.
    pub(crate) id: Option<PacketId>,
    pub(crate) phase: Phase,
    pub(crate) qos: Qos,
    /// Counts for the client's receive maximum: it was sent on this connection.
    pub(crate) counts: bool,
    pub(crate) subscription: SubscriptionId,
    /// The number of its delivery.
    pub(crate) number: u64,
    /// For a member of a group: the hub is told of each on its own.
    pub(crate) is_shared: bool,
    /// It is a retained message that a subscription begins with.
    pub(crate) in_state: bool,
    pub(crate) place: Place,
    /// What is sent, until the client has it: for sessions that outlive their connection, since the hub may
    /// not deliver it again (MQTT-3.10.4-3, MQTT-4.3.3-7).
    pub(crate) record: Option<Arc<Record>>,
}

impl Entry {
    /// Whether it is sent again without the hub: what was begun is finished, though nobody is subscribed any
    /// more or the message has expired. What a group gets back goes to another member.
    fn is_held(&self, now: Timestamp) -> bool {
        let Some(record) = &self.record else { return false };
        let never_comes = matches!(self.place, Place::Nowhere) || record.is_expired(now);
        self.phase == Phase::Sent && !self.is_shared && never_comes
    }
}

/// All packets under way to one client.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    entries: VecDeque<Entry>,
    returning: VecDeque<Entry>,
    /// Entries that count.
    busy: usize,
    /// Deliveries of groups that arrived and that the hub was not told of.
    ones: Vec<(SubscriptionId, u64)>,
    /// The identifier to try next, less one.
    last: u16,
    /// Identifiers behind `last` that are known to be free.
    run: u16,
}

/// What is said again at the start of a connection, oldest first.
#[derive(Debug)]
pub(crate) struct Again {
    /// Identifiers for which PUBREL is sent.
    pub(crate) released: Vec<PacketId>,
    /// What is sent again without the hub.
    pub(crate) held: Vec<Entry>,
}

/// What an acknowledgement was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It fits, and something changed.
    Yes,
    /// It fits, and was there before.
    Again,
    /// The identifier is in use for another QoS, or in another phase.
    Wrong,
    /// The identifier is not in use.
    No,
}

impl Flight {
    /// Entries that count for the client's receive maximum.
    pub(crate) fn busy(&self) -> usize {
        self.busy
    }

    /// Whether nothing is under way on this connection.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Packets under way on this connection.
    pub(crate) fn under_way(&self) -> usize {
        self.entries.iter().filter(|entry| entry.phase != Phase::Done).count()
    }

    /// Packets that wait for PUBCOMP.
    pub(crate) fn released(&self) -> usize {
        self.all().filter(|entry| entry.phase == Phase::Released).count()
    }

    /// Entries of earlier connections whose records did not come again.
    pub(crate) fn returning(&self) -> usize {
        self.returning.len()
    }

    /// Every entry, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.returning.iter().chain(&self.entries)
    }

    /// The last identifier that was given.
    pub(crate) fn last_id(&self) -> u16 {
        self.last
    }

    /// What was written when the server stopped: everything waits to be delivered again.
    pub(crate) fn restore(entries: VecDeque<Entry>, last: u16) -> Self {
        Self { returning: entries, last, ..Self::default() }
    }

    /// A new connection: everything waits to be delivered again.
    pub(crate) fn resume(&mut self, now: Timestamp) -> Again {
        // A group gave its records of QoS 1 to others, or gives them anew.
        self.returning.retain(|entry| !(entry.is_shared && entry.qos == Qos::AtLeastOnce));
        for entry in self.entries.drain(..).filter(|entry| entry.qos != Qos::AtMostOnce) {
            self.returning.push_back(Entry { counts: false, ..entry });
        }
        self.entries = VecDeque::new();
        self.busy = 0;
        self.ones = Vec::new();
        let (held, mut others) =
            self.returning.drain(..).partition::<VecDeque<_>, _>(|entry| entry.is_held(now));
        // Of QoS 1 the client remembers no identifier.
        others.retain(|entry| match (entry.phase, entry.qos) {
            (Phase::Done, _) | (Phase::Sent, Qos::AtLeastOnce) => !entry.place.is_gone(),
            _ => true,
        });
        while others.len() > RETURNING_MAX {
            let at = others.iter().position(|entry| entry.phase == Phase::Done).unwrap_or(0);
            others.remove(at);
        }
        self.returning = others;
        let released = self.returning.iter().filter(|entry| entry.phase == Phase::Released);
        Again { released: released.filter_map(|entry| entry.id).collect(), held: held.into() }
    }

    /// The entry of a record that is delivered again; it waits no longer.
    pub(crate) fn take_returning(
        &mut self,
        subscription: SubscriptionId,
        record: &Arc<Record>,
        in_state: bool,
    ) -> Option<Entry> {
        if self.returning.is_empty() {
            return None;
        }
        let fits = |entry: &Entry| entry.subscription == subscription && entry.place.is(record);
        let found = self.returning.iter().position(fits).and_then(|at| self.returning.remove(at));
        // What lies before this one in its lane does not come again; of QoS 1 the client remembers nothing.
        let is_over = |entry: &Entry| {
            (entry.phase == Phase::Done || entry.qos == Qos::AtLeastOnce)
                && entry.subscription == subscription
                && entry.place.is_before(record.position)
        };
        if !in_state {
            self.returning.retain(|entry| !is_over(entry));
        }
        if self.returning.is_empty() {
            self.returning = VecDeque::new();
        }
        found
    }

    /// A free identifier; `None` where all are in use by packets under way.
    pub(crate) fn allocate(&mut self) -> Option<PacketId> {
        if self.run == 0 && self.find_run().is_none() {
            // What never came again has had its time.
            let oldest = self.returning.iter().position(|entry| entry.phase == Phase::Sent)?;
            self.returning.remove(oldest);
            self.find_run()?;
        }
        self.run -= 1;
        self.last = next(self.last);
        PacketId::new(self.last)
    }

    /// Finds the next free identifiers.
    fn find_run(&mut self) -> Option<()> {
        const ALL: u16 = u16::MAX;
        // How far each identifier in use lies ahead: 1 is the next one.
        let ahead = |id: PacketId| {
            if id.get() > self.last { id.get() - self.last } else { ALL - self.last + id.get() }
        };
        let mut used: Vec<u16> = self.all().filter_map(|entry| entry.id).map(ahead).collect();
        used.sort_unstable();
        used.dedup();
        let mut skipped = 0;
        for ahead in used {
            if ahead > skipped + 1 {
                self.start_run(skipped, ahead - skipped - 1);
                return Some(());
            }
            skipped = ahead;
        }
        (skipped < ALL).then(|| self.start_run(skipped, ALL - skipped))
    }

    fn start_run(&mut self, skipped: u16, run: u16) {
        for _ in 0..skipped {
            self.last = next(self.last);
        }
        self.run = run;
    }

    /// Puts a packet behind all others.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.busy += usize::from(entry.counts);
        self.entries.push_back(entry);
    }

    /// Puts an entry of an earlier connection, whose client has the message, behind all others. The hub is told
    /// at once of what it dealt a group.
    pub(crate) fn push_returned(&mut self, mut entry: Entry) {
        if entry.is_shared && entry.phase == Phase::Done {
            self.ones.push((entry.subscription, entry.number));
            entry.subscription = 0;
        }
        self.push(entry);
    }

    /// A record of QoS 0 was sent: the hub is told when all before it arrived.
    pub(crate) fn follow(&mut self, subscription: SubscriptionId, number: u64, position: Option<Position>) {
        let place = position.map_or(Place::Nowhere, Place::Kept);
        if let Some(last) = self.entries.back_mut()
            && (last.phase, last.qos) == (Phase::Done, Qos::AtMostOnce)
            && last.subscription == subscription
            && same_lane(&last.place, position)
        {
            (last.number, last.place) = (number, place);
            return;
        }
        self.push(Entry {
            id: None,
            phase: Phase::Done,
            qos: Qos::AtMostOnce,
            counts: false,
            subscription,
            number,
            is_shared: false,
            in_state: false,
            place,
            record: None,
        });
    }

    /// PUBACK.
    pub(crate) fn puback(&mut self, id: PacketId) -> Found {
        self.step(id, |entry| match (entry.qos, entry.phase) {
            (Qos::AtLeastOnce, Phase::Sent) => Some(Phase::Done),
            _ => None,
        })
    }

    /// PUBREC that took the message.
    pub(crate) fn pubrec(&mut self, id: PacketId) -> Found {
        self.step(id, |entry| match (entry.qos, entry.phase) {
            (Qos::ExactlyOnce, Phase::Sent | Phase::Released) => Some(Phase::Released),
            _ => None,
        })
    }

    /// PUBREC that refused the message.
    pub(crate) fn pubrec_failed(&mut self, id: PacketId) -> Found {
        self.step(id, |entry| match (entry.qos, entry.phase) {
            (Qos::ExactlyOnce, Phase::Sent) => Some(Phase::Done),
            _ => None,
        })
    }

    /// PUBCOMP.
    pub(crate) fn pubcomp(&mut self, id: PacketId) -> Found {
        self.step(id, |entry| match (entry.qos, entry.phase) {
            (Qos::ExactlyOnce, Phase::Released) => Some(Phase::Done),
            _ => None,
        })
    }

    fn step(&mut self, id: PacketId, to: impl Fn(&Entry) -> Option<Phase>) -> Found {
        let both = self.entries.iter_mut().chain(&mut self.returning);
        let Some(entry) = both.into_iter().find(|entry| entry.id == Some(id)) else { return Found::No };
        let Some(phase) = to(entry) else { return Found::Wrong };
        let again = entry.phase == phase;
        entry.phase = phase;
        entry.record = None;
        if phase == Phase::Done {
            entry.id = None;
            self.busy -= usize::from(std::mem::take(&mut entry.counts));
            if entry.is_shared && entry.subscription != 0 {
                self.ones.push((entry.subscription, entry.number));
                entry.subscription = 0;
            }
        }
        if again { Found::Again } else { Found::Yes }
    }

    /// Takes the deliveries of groups that arrived.
    pub(crate) fn take_ones(&mut self) -> Vec<(SubscriptionId, u64)> {
        std::mem::take(&mut self.ones)
    }

    /// Takes what is finished off the front, and gives it to `told`; a subscription of 0 is none.
    pub(crate) fn settle(&mut self, mut told: impl FnMut(SubscriptionId, u64, Option<Position>)) {
        while let Some(entry) = self.entries.front()
            && entry.phase == Phase::Done
        {
            let position = match entry.place {
                Place::Kept(position) => Some(position),
                Place::Unkept(_) | Place::Nowhere => None,
            };
            told(entry.subscription, entry.number, position);
            self.entries.pop_front();
        }
        if self.entries.is_empty() && self.entries.capacity() > BUFFER_KEPT {
            self.entries = VecDeque::new();
        }
    }

    /// Lets the packets of a subscription that is no more end as they can: the hub hears nothing of them.
    pub(crate) fn forget_subscription(&mut self, subscription: SubscriptionId) {
        for entry in self.entries.iter_mut().chain(&mut self.returning) {
            if entry.subscription == subscription {
                entry.subscription = 0;
                entry.place = Place::Nowhere;
                if entry.is_shared {
                    entry.record = None;
                }
            }
        }
    }
}

/// Entries whose room stays when all are gone.
const BUFFER_KEPT: usize = 4;

/// The identifier behind this one.
fn next(id: u16) -> u16 {
    NonZeroU16::new(id.wrapping_add(1)).map_or(1, NonZeroU16::get)
}

fn same_lane(place: &Place, position: Option<Position>) -> bool {
    match (place, position) {
        (Place::Kept(a), Some(b)) => a.same_lane(&b),
        (Place::Nowhere | Place::Unkept(_), None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn entry(id: PacketId, qos: Qos, number: u64) -> Entry {
        Entry {
            id: Some(id),
            phase: Phase::Sent,
            qos,
            counts: true,
            subscription: 1,
            number,
            is_shared: false,
            in_state: false,
            place: Place::Nowhere,
            record: None,
        }
    }

    fn send(flight: &mut Flight, qos: Qos, number: u64) -> PacketId {
        let id = flight.allocate().unwrap();
        flight.push(entry(id, qos, number));
        id
    }

    fn told(flight: &mut Flight) -> Vec<u64> {
        let mut numbers = Vec::new();
        flight.settle(|_, number, _| numbers.push(number));
        numbers
    }

    #[test]
    fn the_hub_is_told_only_of_what_has_nothing_unfinished_before_it() {
        let mut flight = Flight::default();
        let ids: Vec<_> = (1..=3).map(|n| send(&mut flight, Qos::AtLeastOnce, n)).collect();
        flight.follow(1, 4, None);
        assert_eq!(flight.puback(ids[1]), Found::Yes);
        assert_eq!(told(&mut flight), [0u64; 0]);
        assert_eq!(flight.puback(ids[0]), Found::Yes);
        assert_eq!(told(&mut flight), [1, 2]);
        assert_eq!(flight.busy(), 1);
        assert_eq!(flight.puback(ids[2]), Found::Yes);
        assert_eq!(told(&mut flight), [3, 4]);
        assert!(flight.is_empty());
    }

    #[test]
    fn an_ack_of_the_wrong_kind_changes_nothing() {
        let mut flight = Flight::default();
        let one = send(&mut flight, Qos::AtLeastOnce, 1);
        let two = send(&mut flight, Qos::ExactlyOnce, 2);
        assert_eq!(flight.pubrec(one), Found::Wrong);
        assert_eq!(flight.puback(two), Found::Wrong);
        assert_eq!(flight.pubcomp(two), Found::Wrong);
        assert_eq!(flight.pubrec(two), Found::Yes);
        assert_eq!(flight.pubrec(two), Found::Again);
        assert_eq!(flight.pubrec_failed(two), Found::Wrong);
        assert_eq!(flight.pubcomp(two), Found::Yes);
        assert_eq!(flight.pubcomp(two), Found::No);
        assert_eq!(flight.busy(), 1);
    }

    #[test]
    fn identifiers_go_around_and_miss_zero_and_what_is_in_use() {
        let mut flight = Flight::default();
        let first = send(&mut flight, Qos::AtLeastOnce, 1);
        for _ in 1..u16::MAX {
            let id = send(&mut flight, Qos::AtLeastOnce, 1);
            assert_eq!(flight.puback(id), Found::Yes);
            flight.entries.pop_back();
        }
        let after = flight.allocate().unwrap();
        assert_eq!((first.get(), after.get()), (1, 2), "1 is still in use");
    }

    #[test]
    fn where_all_identifiers_are_in_use_there_is_none() {
        let mut flight = Flight::default();
        for n in 0..u64::from(u16::MAX) {
            send(&mut flight, Qos::AtLeastOnce, n);
        }
        assert_eq!(flight.allocate(), None);
        flight.puback(PacketId::new(77).unwrap());
        assert_eq!(flight.allocate().map(PacketId::get), Some(77));
    }

    #[test]
    fn after_a_break_releases_are_said_again_and_the_rest_waits() {
        let mut flight = Flight::default();
        let one = send(&mut flight, Qos::ExactlyOnce, 1);
        let two = send(&mut flight, Qos::ExactlyOnce, 2);
        flight.follow(1, 3, None);
        flight.pubrec(two);
        let again = flight.resume(NOW);
        assert!(again.released == [two] && again.held.is_empty());
        assert_eq!((flight.busy(), flight.returning(), flight.is_empty()), (0, 2, true));
        assert_eq!(flight.pubcomp(two), Found::Yes);
        assert!(flight.resume(NOW).released.is_empty());
        assert_eq!(flight.returning(), 1, "what never comes again and is done is forgotten");
        assert_ne!(flight.allocate(), Some(one), "an identifier that the client may know is not used again");
    }

    proptest! {
        #[test]
        fn an_identifier_in_use_is_never_given_again(
            steps in prop::collection::vec((0..4u8, any::<prop::sample::Index>()), 1..200),
            last in prop::sample::select(vec![0u16, 1, 65_500, 65_534, 65_535]),
        ) {
            let mut flight = Flight { last, ..Flight::default() };
            let mut used = BTreeSet::new();
            for (step, which) in steps {
                let some = used.iter().nth(which.index(used.len().max(1))).copied();
                match (step, some) {
                    (0, Some(id)) => {
                        prop_assert_eq!(flight.pubrec(id), Found::Yes);
                        prop_assert_eq!(flight.pubcomp(id), Found::Yes);
                        used.remove(&id);
                    }
                    (1, _) => drop(flight.resume(NOW)),
                    _ => prop_assert!(used.insert(send(&mut flight, Qos::ExactlyOnce, 0))),
                }
                told(&mut flight);
                prop_assert!(flight.busy() <= used.len());
            }
        }
    }
}
