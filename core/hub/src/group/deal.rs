//! Who gets the next record.

use std::{hash::BuildHasher, sync::Arc, task::Waker};

use rustc_hash::FxBuildHasher;
use yizhan_talk::Timestamp;

use super::{Dealt, Inside, MemberKey};
use crate::{access::Access, link::Deal, message::Record, outbox::OutboxLimits, session::Session};

/// Members that are compared for the fewest records under way.
const COMPARED_MAX: usize = 64;
/// Records that wait for members who alone may see them, while others go on.
const ASIDE_MAX: usize = 64;

/// What dealing needs to know of the hub.
pub(super) struct Dealing<'a> {
    pub(super) access: &'a dyn Access,
    pub(super) limits: OutboxLimits,
    pub(super) deal: Deal,
    pub(super) now: Timestamp,
    /// Links to wake when all is dealt.
    pub(super) wakers: Vec<Waker>,
}

/// What became of one try.
enum Given {
    Taken,
    /// This member may not see it.
    NotFor,
    /// It has no room now.
    Full,
    /// Nobody is there.
    Gone,
}

/// What became of a record.
enum Fate {
    Dealt,
    /// Somebody may see it who has no room now.
    Waits,
    /// Nobody who is there may see it.
    ForNobody,
}

impl Inside {
    /// Deals what waits in line, as far as members have room. True where all of it is dealt, except for what
    /// waits for some of them only.
    pub(super) fn deal_all(&mut self, dealing: &mut Dealing<'_>) -> bool {
        let line: Vec<u64> = self.front.keys().copied().collect();
        for nth in line {
            if self.ring.is_empty() {
                return false;
            }
            let Some(record) = self.front.remove(&nth) else { continue };
            if let Some(record) = self.deal_one(dealing, nth, record) {
                self.front.insert(nth, record);
            }
        }
        while let Some((nth, record)) = self.fresh.pop_front() {
            if self.ring.is_empty() || self.front.len() >= ASIDE_MAX {
                self.fresh.push_front((nth, record));
                return false;
            }
            if let Some(record) = self.deal_one(dealing, nth, record) {
                self.front.insert(nth, record);
            }
        }
        !self.ring.is_empty()
    }

    /// Deals one record, or gives it back.
    fn deal_one(&mut self, dealing: &mut Dealing<'_>, nth: u64, record: Arc<Record>) -> Option<Arc<Record>> {
        if record.is_expired(dealing.now) {
            self.finish(&record);
            return None;
        }
        match self.choose(dealing, nth, &record) {
            Fate::Dealt => None,
            Fate::Waits => Some(record),
            Fate::ForNobody => {
                self.finish(&record);
                None
            }
        }
    }

    fn choose(&mut self, dealing: &mut Dealing<'_>, nth: u64, record: &Arc<Record>) -> Fate {
        let mut asked = None;
        if let Some(key) = self.preferred(dealing.deal, record) {
            if let Given::Taken = self.try_give(dealing, key, nth, record) {
                return Fate::Dealt;
            }
            asked = Some(key);
        }
        if dealing.deal == Deal::LeastInflight {
            self.least_first();
        }
        for _ in 0..self.ring.len() {
            let Some(key) = self.ring.pop_front() else { break };
            if let Some(member) = self.members.get_mut(&key) {
                member.in_ring = false;
            }
            let given =
                if asked == Some(key) { Given::NotFor } else { self.try_give(dealing, key, nth, record) };
            self.seat(key);
            if let Given::Taken = given {
                self.stuck = Some(key);
                return Fate::Dealt;
            }
        }
        // Whoever has no room may be the one who may see it.
        let may_see = self.live.iter().filter_map(|key| self.members.get(key)).any(|member| {
            !member.has_room()
                && member
                    .session
                    .as_ref()
                    .is_some_and(|s| may_see(dealing, s, (member.slot, member.life), record))
        });
        if may_see || self.live.is_empty() { Fate::Waits } else { Fate::ForNobody }
    }

    /// Who gets it rather than those whose turn it is.
    fn preferred(&self, deal: Deal, record: &Record) -> Option<MemberKey> {
        let key = match deal {
            Deal::RoundRobin | Deal::LeastInflight => return None,
            Deal::Sticky => self.stuck?,
            Deal::HashSender => {
                let from = &record.message.from;
                let hash = FxBuildHasher.hash_one((&from.user, from.session)) >> 20;
                *self.live.get_index(hash as usize % self.live.len().max(1))?
            }
        };
        self.members.get(&key).filter(|member| member.has_room()).map(|_| key)
    }

    /// Brings the member with the fewest under way to the front.
    fn least_first(&mut self) {
        let inflight = |key: &MemberKey| self.members.get(key).map_or(usize::MAX, |member| member.inflight);
        let among = self.ring.iter().take(COMPARED_MAX).enumerate();
        let least = among.min_by_key(|(_, key)| inflight(key)).map(|(at, _)| at);
        if let Some(key) = least.and_then(|at| self.ring.remove(at)) {
            self.ring.push_front(key);
        }
    }

    fn try_give(
        &mut self,
        dealing: &mut Dealing<'_>,
        key: MemberKey,
        nth: u64,
        record: &Arc<Record>,
    ) -> Given {
        let Some(member) = self.members.get_mut(&key).filter(|member| member.has_room()) else {
            return Given::Full;
        };
        let Some(session) = member.session.clone() else { return Given::Gone };
        let (given, counts) = give(dealing, &session, (member.slot, member.life), nth, record);
        match given {
            Given::Taken if counts => member.inflight += 1,
            Given::Taken => self.finish(record),
            Given::Full => member.full = true,
            Given::Gone => {
                member.live = false;
                self.set_live(key, false);
            }
            Given::NotFor => {}
        }
        given
    }
}

fn may_see(dealing: &Dealing<'_>, session: &Session, place: (u32, u32), record: &Record) -> bool {
    let mut state = session.lock();
    let subscription = state.outbox.living(place.0, place.1);
    subscription.is_some_and(|s| session.wants(dealing.access, s, record))
}

/// Puts a record into a member's outbox. Says too whether it is to be acked.
fn give(
    dealing: &mut Dealing<'_>,
    session: &Session,
    (slot, life): (u32, u32),
    nth: u64,
    record: &Arc<Record>,
) -> (Given, bool) {
    let mut state = session.lock();
    let outbox = &mut state.outbox;
    let full =
        outbox.ready_records >= dealing.limits.records_max || outbox.ready_bytes >= dealing.limits.bytes_max;
    let Some(subscription) = outbox.living(slot, life) else { return (Given::Gone, false) };
    let wanted = session.wants(dealing.access, subscription, record);
    let qos = record.message.qos.min(subscription.qos);
    let Some(share) = subscription.share.as_deref_mut() else { return (Given::Gone, false) };
    // It may have fallen asleep since the group looked last.
    if !share.awake {
        return (Given::Gone, false);
    }
    if !wanted {
        return (Given::NotFor, false);
    }
    if full {
        share.stalled = true;
        outbox.stalls = true;
        return (Given::Full, false);
    }
    let dealt = Dealt::new(nth, None, record.clone(), qos);
    let counts = dealt.counts();
    outbox.deal(slot, dealt);
    dealing.wakers.extend(outbox.take_waker());
    (Given::Taken, counts)
}
