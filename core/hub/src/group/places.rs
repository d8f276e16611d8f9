//! How far a group is in each lane: which places are finished, and which are somebody's.

use std::collections::{BTreeMap, BTreeSet};

use super::MemberKey;
use crate::{guard::guard, message::Position};

/// Who holds a place for certain, and under which number it was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) member: MemberKey,
    pub(super) number: u64,
}

/// What a record's place says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It goes to somebody.
    Open,
    /// It was this member's when the server stopped.
    Owned(Owner),
    /// It was finished before the server stopped.
    Finished,
}

/// One lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lane {
    /// All places up to here came by; those of them that are not open are finished.
    pub(super) taken: Position,
    /// Offsets of records that came by and are not finished, with who held them when the server stopped.
    pub(super) open: BTreeMap<u64, Option<Owner>>,
    /// Those of them that are to be read again since the server stopped.
    unseen: BTreeSet<u64>,
    /// How far the server was when it stopped.
    before: u64,
    /// Whose places retention took.
    gone: Vec<Owner>,
}

impl Lane {
    pub(super) fn new(taken: Position) -> Self {
        Self { taken, open: BTreeMap::new(), unseen: BTreeSet::new(), before: 0, gone: Vec::new() }
    }

    /// A lane as it was when the server stopped.
    pub(super) fn restored(taken: Position, open: BTreeMap<u64, Option<Owner>>) -> Self {
        let unseen = open.keys().copied().collect();
        Self { taken, open, unseen, before: taken.offset, gone: Vec::new() }
    }

    /// Everything up to here is finished.
    pub(super) fn low(&self) -> Position {
        match self.open.first_key_value() {
            Some((offset, _)) => Position { offset: *offset, ..self.taken }.before(),
            None => self.taken,
        }
    }

    /// What was to be read again and did not come by is gone: retention took it.
    fn forget_before(&mut self, offset: u64) {
        while let Some(gone) = self.unseen.first().copied().filter(|o| *o < offset) {
            self.unseen.remove(&gone);
            self.gone.extend(self.open.remove(&gone).flatten());
        }
    }

    fn arrive(&mut self, offset: u64) -> Arrival {
        if guard("not finished before", offset > self.before) {
            self.taken.offset = self.taken.offset.max(offset);
            self.open.insert(offset, None);
            return Arrival::Open;
        }
        self.forget_before(offset);
        if !self.unseen.remove(&offset) {
            return Arrival::Finished;
        }
        match self.open.get(&offset) {
            Some(Some(owner)) => Arrival::Owned(*owner),
            _ => Arrival::Open,
        }
    }
}

/// All lanes that a group's filter lies in.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Places(pub(super) Vec<Lane>);

impl Places {
    fn lane(&mut self, place: Position) -> &mut Lane {
        let at = self.0.iter().position(|lane| lane.taken.same_lane(&place)).unwrap_or_else(|| {
            self.0.push(Lane::new(place.before()));
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// The group begins after this place.
    pub(super) fn begin(&mut self, after: Position) {
        *self.lane(after) = Lane::new(after);
    }

    /// A record came by.
    pub(super) fn arrive(&mut self, place: Position) -> Arrival {
        self.lane(place).arrive(place.offset)
    }

    /// Everything up to here came by, where nothing matched too.
    pub(super) fn advance(&mut self, through: Position) {
        let lane = self.lane(through);
        lane.taken.offset = lane.taken.offset.max(through.offset);
        lane.forget_before(through.offset.saturating_add(1));
    }

    /// As it was when the server stopped.
    pub(super) fn restore(&mut self, lane: Lane) {
        let place = lane.taken;
        *self.lane(place) = lane;
    }

    /// An open place is this member's own from now on.
    pub(super) fn bind(&mut self, place: Position, owner: Owner) {
        self.lane(place).open.insert(place.offset, Some(owner));
    }

    pub(super) fn finish(&mut self, place: Position) {
        self.lane(place).open.remove(&place.offset);
    }

    /// A member is gone for good: what was its own, nobody gets any more (MQTT-4.8.2-5).
    pub(super) fn abandon(&mut self, member: MemberKey) {
        self.abandon_where(|owner| owner == member);
    }

    /// The same for all members that `gone` names.
    pub(super) fn abandon_where(&mut self, gone: impl Fn(MemberKey) -> bool) {
        for lane in &mut self.0 {
            let unseen = &mut lane.unseen;
            lane.open.retain(|offset, owner| {
                let stays = owner.is_none_or(|owner| !gone(owner.member));
                if !stays {
                    unseen.remove(offset);
                }
                stays
            });
        }
    }

    /// Members whose places retention took since this was last asked, once for each place.
    pub(super) fn take_gone(&mut self) -> Vec<MemberKey> {
        self.0.iter_mut().flat_map(|lane| lane.gone.drain(..)).map(|owner| owner.member).collect()
    }

    /// How many places are a member's own.
    pub(super) fn count_of(&self, member: MemberKey) -> usize {
        let owners = self.0.iter().flat_map(|lane| lane.open.values()).flatten();
        owners.filter(|o| o.member == member).count()
    }

    /// Takes out what is still to be read again and `is_done` names.
    pub(super) fn finish_unseen(&mut self, is_done: impl Fn(Owner, Position) -> bool) -> Vec<Position> {
        let mut done = Vec::new();
        for lane in &mut self.0 {
            let (open, taken) = (&mut lane.open, lane.taken);
            lane.unseen.retain(|offset| {
                let place = Position { offset: *offset, ..taken };
                let is_done = open.get(offset).copied().flatten().is_some_and(|owner| is_done(owner, place));
                if is_done {
                    open.remove(offset);
                    done.push(place);
                }
                !is_done
            });
        }
        done
    }

    /// Who holds what is still to be read again since the server stopped.
    pub(super) fn unseen(&self) -> impl Iterator<Item = Owner> {
        let lanes = self.0.iter();
        lanes
            .flat_map(|lane| lane.unseen.iter().filter_map(|offset| lane.open.get(offset).copied().flatten()))
    }

    /// The highest number under which something was delivered to a member.
    pub(super) fn number_of(&self, member: MemberKey) -> u64 {
        let owners = self.0.iter().flat_map(|lane| lane.open.values()).flatten();
        owners.filter(|o| o.member == member).map(|o| o.number).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{SessionId, SpaceId};

    fn place(offset: u64) -> Position {
        Position { space: SpaceId(1), lane: 0, epoch: 1, offset }
    }

    #[test]
    fn a_lane_is_finished_up_to_its_first_open_place() {
        let mut places = Places::default();
        places.begin(place(3));
        for offset in [5, 7, 8] {
            assert_eq!(places.arrive(place(offset)), Arrival::Open);
        }
        places.finish(place(7));
        assert_eq!(places.0[0].low(), place(4));
        places.finish(place(5));
        assert_eq!(places.0[0].low(), place(7));
        places.finish(place(8));
        assert_eq!(places.0[0].low(), place(8));
        places.advance(place(20));
        assert_eq!(places.0[0].low(), place(20));
    }

    #[test]
    fn what_was_finished_before_a_restart_stays_so() {
        let ann = Owner { member: (SessionId(1), 1), number: 4 };
        let bob = Owner { member: (SessionId(2), 1), number: 9 };
        let open = [(5, None), (6, Some(ann)), (7, None), (8, Some(bob))].into();
        let mut places = Places(vec![Lane::restored(place(9), open)]);
        assert_eq!(places.0[0].low(), place(4));
        assert_eq!(places.number_of(ann.member), 4);
        places.abandon(bob.member);
        assert_eq!(places.count_of(ann.member), 1);
        // Retention took 5 meanwhile.
        assert_eq!(places.arrive(place(6)), Arrival::Owned(ann));
        assert_eq!(places.arrive(place(7)), Arrival::Open);
        assert_eq!(places.arrive(place(8)), Arrival::Finished);
        assert_eq!(places.arrive(place(9)), Arrival::Finished);
        assert_eq!(places.arrive(place(10)), Arrival::Open);
        places.finish(place(6));
        places.finish(place(7));
        assert_eq!(places.0[0].low(), place(9));
    }
}
