//! How a group is written to its table, so that it goes on after a restart.
//!
//! A group's row is written before the rows of the members' sessions: what a member's door wrote down as
//! sent is then the member's own in the group's row, too.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Buf, BufMut, Bytes};
use rustc_hash::FxHashSet;

use super::{
    Group, GroupKey, MemberKey,
    places::{Lane, Owner, Places},
};
use crate::{
    hub::Inner,
    link::Deal,
    message::{Position, SessionId, SpaceId},
    saved::{put_text, text},
    session::Session,
    store::{Expect, StoreError},
    topic::Filter,
};

const FORMAT: u8 = 1;
/// Rows that are read in one step when the hub opens.
const LOAD_PAGE: usize = 256;

/// A group as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) places: Places,
    pub(super) members: Vec<MemberKey>,
}

fn key_bytes((name, filter): &GroupKey) -> Vec<u8> {
    let mut key = Vec::new();
    put_text(&mut key, name);
    put_text(&mut key, filter.as_str());
    key
}

fn key_of(mut bytes: &[u8]) -> Option<GroupKey> {
    let key = (text(&mut bytes)?, Filter::new(&text(&mut bytes)?).ok()?);
    bytes.is_empty().then_some(key)
}

fn put_member(out: &mut Vec<u8>, (session, subscription): MemberKey) {
    out.put_u64(session.0);
    out.put_u32(subscription);
}

fn member(bytes: &mut &[u8]) -> Option<MemberKey> {
    Some((SessionId(bytes.try_get_u64().ok()?), bytes.try_get_u32().ok()?))
}

impl Row {
    fn to_bytes(&self, deal: Deal) -> Bytes {
        let mut out = vec![FORMAT, number_of(deal)];
        out.put_u32(u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        for key in &self.members {
            put_member(&mut out, *key);
        }
        out.put_u16(u16::try_from(self.places.0.len()).unwrap_or(u16::MAX));
        for lane in &self.places.0 {
            out.put_u16(lane.taken.space.0);
            out.put_u16(lane.taken.lane);
            out.put_u32(lane.taken.epoch);
            out.put_u64(lane.taken.offset);
            out.put_u32(u32::try_from(lane.open.len()).unwrap_or(u32::MAX));
            for (offset, owner) in &lane.open {
                out.put_u64(*offset);
                // Deliveries count from 1: zero says that it is nobody's.
                out.put_u64(owner.map_or(0, |owner| owner.number));
                if let Some(owner) = owner {
                    put_member(&mut out, owner.member);
                }
            }
        }
        out.into()
    }

    /// `None` for anything that this version did not write.
    fn from_bytes(mut bytes: &[u8]) -> Option<(Deal, Self)> {
        let bytes = &mut bytes;
        if bytes.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let deal = deal_of(bytes.try_get_u8().ok()?)?;
        let mut row = Self { places: Places::default(), members: Vec::new() };
        for _ in 0..bytes.try_get_u32().ok()? {
            row.members.push(member(bytes)?);
        }
        for _ in 0..bytes.try_get_u16().ok()? {
            let taken = Position {
                space: SpaceId(bytes.try_get_u16().ok()?),
                lane: bytes.try_get_u16().ok()?,
                epoch: bytes.try_get_u32().ok()?,
                offset: bytes.try_get_u64().ok()?,
            };
            let mut open = BTreeMap::new();
            for _ in 0..bytes.try_get_u32().ok()? {
                let offset = bytes.try_get_u64().ok()?;
                let owner = match bytes.try_get_u64().ok()? {
                    0 => None,
                    number => Some(Owner { member: member(bytes)?, number }),
                };
                open.insert(offset, owner);
            }
            row.places.0.push(Lane::restored(taken, open));
        }
        bytes.is_empty().then_some((deal, row))
    }
}

/// A deal's number in rows.
pub(crate) fn number_of(deal: Deal) -> u8 {
    match deal {
        Deal::RoundRobin => 0,
        Deal::LeastInflight => 1,
        Deal::HashSender => 2,
        Deal::Sticky => 3,
    }
}

/// The deal with this number.
pub(crate) fn deal_of(number: u8) -> Option<Deal> {
    [Deal::RoundRobin, Deal::LeastInflight, Deal::HashSender, Deal::Sticky].get(number as usize).copied()
}

impl Group {
    /// How it is to be kept now; `None` where no member outlives the server.
    fn row(&self) -> Option<Row> {
        let mut inside = self.lock();
        {
            let mut state = self.session.lock();
            if state.outbox.ready.is_empty() {
                let own = state.outbox.living(self.slot, self.life);
                for feed in own.iter().flat_map(|own| &own.feeds) {
                    inside.places.advance(feed.sent);
                }
            }
        }
        inside.count_gone();
        let inside = &mut *inside;
        let mut members = Vec::new();
        for (key, member) in &inside.members {
            let Some(session) = &member.session else {
                members.push(*key);
                continue;
            };
            if session.is_kept() {
                members.push(*key);
            }
            let mut state = session.lock();
            let subscription = state.outbox.living(member.slot, member.life);
            let Some(share) = subscription.and_then(|s| s.share.as_ref()) else { continue };
            for (place, number) in share.bound() {
                // It stays so until it is finished: an ack that is under way makes it nobody else's.
                inside.places.bind(place, Owner { member: *key, number });
            }
        }
        (!members.is_empty()).then(|| Row { places: inside.places.clone(), members })
    }
}

impl Inner {
    /// Makes the groups that were saved. Called once, when the hub opens.
    pub(crate) async fn load_groups(&self) -> Result<(), StoreError> {
        let mut after: Option<Bytes> = None;
        loop {
            let rows = self.groups.table.scan(b"", after.as_deref(), LOAD_PAGE).await?;
            for (key, value) in &rows {
                let Some((key, (deal, row))) = key_of(key).zip(Row::from_bytes(value)) else {
                    self.groups.table.put(key, None, Expect::Any).await?;
                    continue;
                };
                self.groups.written.lock().insert(key.clone(), value.clone());
                self.restore_group(&key, deal, row);
            }
            match rows.last() {
                Some((key, _)) if rows.len() == LOAD_PAGE => after = Some(key.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// The groups to be written with these sessions, each as it is to be kept now: those of whom something
    /// else is there.
    pub(crate) fn take_groups(&self, sessions: &[Arc<Session>]) -> Vec<(GroupKey, Option<Bytes>)> {
        let mut keys: FxHashSet<GroupKey> = std::mem::take(&mut *self.groups.changed.lock());
        for session in sessions {
            let groups = self.groups.of(session).into_iter();
            keys.extend(groups.map(|(_, group)| (group.name.clone(), group.filter.clone())));
        }
        keys.into_iter()
            .filter_map(|key| Some((self.group_row(&key)?, key)).map(|(row, key)| (key, row)))
            .collect()
    }

    /// A group as it is to be kept now, where something else is there; without a value where it is not kept.
    fn group_row(&self, key: &GroupKey) -> Option<Option<Bytes>> {
        let group = self.groups.roll.lock().get(key).cloned();
        let value = group.and_then(|group| Some(group.row()?.to_bytes(group.deal)));
        (self.groups.written.lock().get(key) != value.as_ref()).then_some(value)
    }

    /// This session's groups are to be written; whether it is in any.
    pub(crate) fn change_groups_of(&self, session: &Session) -> bool {
        let groups = self.groups.of(session);
        let keys = groups.iter().map(|(_, group)| (group.name.clone(), group.filter.clone()));
        self.groups.changed.lock().extend(keys);
        !groups.is_empty()
    }

    pub(crate) fn has_groups_to_save(&self) -> bool {
        !self.groups.changed.lock().is_empty()
    }

    /// Writes a group to its table, or takes it out.
    pub(crate) async fn put_group(&self, key: GroupKey, value: Option<Bytes>) -> Result<(), StoreError> {
        let put = self.groups.table.put(&key_bytes(&key), value.clone(), Expect::Any).await;
        let mut written = self.groups.written.lock();
        match (put, value) {
            (Ok(_), Some(value)) => drop(written.insert(key, value)),
            (Ok(_), None) => drop(written.remove(&key)),
            (Err(error), _) => {
                // What is there now is not known.
                written.insert(key, Bytes::new());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes all groups.
    pub(crate) async fn save_groups(&self) -> Result<(), StoreError> {
        let keys: Vec<GroupKey> = self.groups.roll.lock().keys().cloned().collect();
        for key in keys {
            if let Some(value) = self.group_row(&key) {
                self.put_group(key, value).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back_and_a_torn_one_does_not() {
        let place = Position { space: SpaceId(1), lane: 2, epoch: 3, offset: 10 };
        let ann = (SessionId(7), 1);
        let open = [(4, None), (9, Some(Owner { member: ann, number: 12 }))].into();
        let row =
            Row { places: Places(vec![Lane::restored(place, open)]), members: vec![ann, (SessionId(8), 2)] };
        let bytes = row.to_bytes(Deal::Sticky);
        assert_eq!(Row::from_bytes(&bytes), Some((Deal::Sticky, row)));
        for cut in 0..bytes.len() {
            assert!(Row::from_bytes(&bytes[..cut]).is_none(), "{cut}");
        }
        let key: GroupKey = ("workers".into(), Filter::new("jobs/#").unwrap());
        assert_eq!(key_of(&key_bytes(&key)), Some(key));
        assert_eq!(key_of(b"x"), None);
    }
}
