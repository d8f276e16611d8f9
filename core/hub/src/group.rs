//! Groups: subscriptions of many sessions that share one filter's records, each going to one of them
//! (MQTT 5 §4.8.2).
//!
//! A group is a session of its own kind that no client has: it hears the tail, falls behind and reads its
//! journals like every other one, by the same outbox. What comes out of it is dealt to the members by the
//! hub's work. What was dealt lies in the members' sessions (`share`), and that is the truth about it; the
//! group remembers how far it is in each lane and what is open there (`places`).
//!
//! Records that somebody is there for and nobody has room for wait in the group's outbox, and beyond it as
//! their space says: kept ones in the journal, others are missed. Members are given no state.
//!
//! Lock order: the roll of groups, one group, one session (the group's own or a member's). The directory's
//! locks may be taken with a group's held, never the other way round.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Wake, Waker},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use indexmap::{IndexMap, IndexSet};
use parking_lot::{Mutex, MutexGuard};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use yizhan_talk::Now;

use self::{places::Places, share::Dealt, turn::Reads};
pub(crate) use self::{
    save::{deal_of, number_of},
    share::{Share, Told, relay},
    turn::deal_out,
};
use crate::{
    access::{Principal, Rates},
    guard::guard,
    inspect::GroupView,
    link::{Acked, Deal, KeepsakePlace, SubscriptionId},
    message::{Position, Record, SessionId},
    saved::id_of_name,
    session::{Beginning, RateBuckets, Session},
    store::Table,
    topic::Filter,
};

mod deal;
mod join;
mod places;
mod save;
mod share;
mod turn;

/// A member: its session, and the subscription there.
pub(crate) type MemberKey = (SessionId, SubscriptionId);
/// What tells groups apart.
pub(crate) type GroupKey = (Arc<str>, Filter);

/// All groups.
pub(crate) struct Groups {
    /// By name and filter.
    roll: Mutex<FxHashMap<GroupKey, Arc<Group>>>,
    /// By the numbers of their own sessions.
    by_session: Mutex<FxHashMap<SessionId, Weak<Group>>>,
    pub(crate) bells: Arc<Bells>,
    /// Groups to be written that no dirty session leads to.
    changed: Mutex<FxHashSet<GroupKey>>,
    /// What was written last.
    written: Mutex<FxHashMap<GroupKey, bytes::Bytes>>,
    table: Arc<dyn Table>,
    /// There is or was a group: sessions may be in one.
    some: AtomicBool,
}

/// Groups that have something to do.
#[derive(Default)]
pub(crate) struct Bells {
    rung: Mutex<Vec<Weak<Group>>>,
    pub(crate) dealer: AtomicWaker,
}

/// Calls the dealer to one group.
struct Bell {
    group: Weak<Group>,
    is_rung: AtomicBool,
    bells: Arc<Bells>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_rung.swap(true, SeqCst) {
            self.bells.rung.lock().push(self.group.clone());
            self.bells.dealer.wake();
        }
    }
}

/// One group.
pub(crate) struct Group {
    pub(crate) name: Arc<str>,
    pub(crate) filter: Filter,
    deal: Deal,
    /// Its own session, with one subscription.
    session: Arc<Session>,
    slot: u32,
    life: u32,
    bell: Arc<Bell>,
    waker: Waker,
    reads: Mutex<Reads>,
    inside: Mutex<Inside>,
}

/// What changes in a group; under one lock.
struct Inside {
    members: IndexMap<MemberKey, Member, FxBuildHasher>,
    /// Members that somebody is there for.
    live: IndexSet<MemberKey, FxBuildHasher>,
    /// Members with room, in the order of their turns. An entry of one that has none any more is passed over.
    ring: VecDeque<MemberKey>,
    /// Who gets all of it, where one does.
    stuck: Option<MemberKey>,
    /// Records that came back, or that nobody with room may see: first in line, by their numbers.
    front: BTreeMap<u64, Arc<Record>>,
    /// Records that nobody had yet.
    fresh: VecDeque<(u64, Arc<Record>)>,
    /// The number of the newest record.
    newest: u64,
    places: Places,
}

/// A subscription that is in the group.
struct Member {
    /// `None` for one that was saved and did not come back yet.
    session: Option<Arc<Session>>,
    slot: u32,
    life: u32,
    window: usize,
    live: bool,
    /// Its outbox had no room.
    full: bool,
    in_ring: bool,
    /// Dealt, counted for the window, not acked.
    inflight: usize,
    /// Its own since before the server stopped, to be delivered again when it comes.
    owed: Vec<Dealt>,
}

impl Member {
    fn has_room(&self) -> bool {
        self.live && !self.full && guard("room in the window", self.inflight < self.window)
    }
}

impl Groups {
    pub(crate) fn new(table: Arc<dyn Table>) -> Self {
        Self {
            roll: Mutex::default(),
            by_session: Mutex::default(),
            bells: Arc::default(),
            changed: Mutex::default(),
            written: Mutex::default(),
            table,
            some: AtomicBool::new(false),
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        self.roll.lock().values().cloned().collect()
    }

    /// The groups that a session is in, each with the subscription.
    fn of(&self, session: &Session) -> Vec<(SubscriptionId, Arc<Group>)> {
        if self.some.load(SeqCst) { session.groups() } else { Vec::new() }
    }

    /// The group that a session is the own one of.
    pub(crate) fn of_session(&self, id: SessionId) -> Option<Arc<Group>> {
        if self.some.load(SeqCst) { self.by_session.lock().get(&id)?.upgrade() } else { None }
    }
}

impl Bells {
    /// Who rang.
    fn answer(&self) -> Vec<Arc<Group>> {
        let rung = std::mem::take(&mut *self.rung.lock());
        rung.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Group {
    fn new(now: Now, bells: &Arc<Bells>, key: GroupKey, deal: Deal) -> Arc<Self> {
        let (name, filter) = key;
        let who = Principal {
            user: "$group".into(),
            device: None,
            roles: Arc::default(),
            expires_at: None,
            rates: Rates::default(),
        };
        let session = Session::new(
            now,
            Beginning {
                // No user's name begins like this, so that no client's session has this number.
                id: id_of_name(&format!("$group {name}"), filter.as_str()),
                secret: None,
                name: None,
                principal: Arc::new(who),
                keep: Duration::ZERO,
                keepsake: KeepsakePlace::default(),
                rates: RateBuckets::default(),
                connection: None,
            },
        );
        Arc::new_cyclic(|group| {
            let bell = Bell { group: group.clone(), is_rung: AtomicBool::new(false), bells: bells.clone() };
            let bell = Arc::new(bell);
            Self {
                name,
                filter,
                deal,
                session: Arc::new(session),
                slot: 0,
                life: 1,
                waker: Waker::from(bell.clone()),
                bell,
                reads: Mutex::default(),
                inside: Mutex::new(Inside::new()),
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock()
    }

    pub(crate) fn view(&self) -> GroupView {
        let inside = self.lock();
        let mut own = self.session.lock();
        let in_line = inside.front.len() + inside.fresh.len();
        GroupView {
            name: self.name.clone(),
            filter: self.filter.clone(),
            deal: self.deal,
            members: inside.members.len(),
            live: inside.live.len(),
            waiting: in_line + own.outbox.waiting(),
            unacked: inside.members.values().map(|member| member.inflight).sum(),
            missed: own.outbox.missed,
            behind: own.outbox.living(self.slot, self.life).is_some_and(|own| own.is_behind()),
        }
    }

    /// Has the dealer look here.
    pub(crate) fn ring(&self) {
        self.bell.wake_by_ref();
    }

    /// Members are done with these: acked, or not to be delivered any more.
    pub(crate) fn finish(&self, member: MemberKey, dealt: impl IntoIterator<Item = Dealt>) {
        let mut inside = self.lock();
        for dealt in dealt {
            inside.finish(&dealt.record);
            if dealt.counts()
                && let Some(member) = inside.members.get_mut(&member)
            {
                member.inflight = member.inflight.saturating_sub(1);
            }
        }
        let may_go_on = inside.seat(member);
        drop(inside);
        if may_go_on {
            self.ring();
        }
    }

    /// A member is done with something of its own that it was not given again yet since the server stopped.
    pub(crate) fn finish_unread(&self, key: MemberKey, acked: Acked) {
        let mut inside = self.lock();
        let is_acked = |number: u64, place: Option<Position>| match acked {
            Acked::One(one) => number == one,
            Acked::Number(through) => number <= through,
            Acked::Position(through) => place.is_some_and(|p| p.same_lane(&through) && p <= through),
        };
        let mut done = inside
            .places
            .finish_unseen(|owner, place| owner.member == key && is_acked(owner.number, Some(place)));
        if let Some(member) = inside.members.get_mut(&key) {
            for dealt in std::mem::take(&mut member.owed) {
                if is_acked(dealt.number.unwrap_or(0), dealt.record.position) {
                    done.extend(dealt.record.position);
                } else {
                    member.owed.push(dealt);
                }
            }
            member.inflight = member.inflight.saturating_sub(done.len());
        }
        for place in done {
            inside.places.finish(place);
        }
        let may_go_on = inside.seat(key);
        drop(inside);
        if may_go_on {
            self.ring();
        }
    }

    /// A member's outbox has room again.
    fn has_room_again(&self, member: MemberKey) {
        let mut inside = self.lock();
        if let Some(member) = inside.members.get_mut(&member) {
            member.full = false;
        }
        let may_go_on = inside.seat(member);
        drop(inside);
        if may_go_on {
            self.ring();
        }
    }

    /// Looks anew at a member whose session fell asleep, woke up, or both: what it may not keep goes to the
    /// others.
    pub(crate) fn look_at(&self, session: &Arc<Session>, subscription: SubscriptionId) {
        let key = (session.id, subscription);
        let mut inside = self.lock();
        let Some(member) = inside.members.get_mut(&key) else { return };
        if !member.session.as_ref().is_some_and(|s| Arc::ptr_eq(s, session)) {
            return;
        }
        let (slot, life) = (member.slot, member.life);
        let mut state = session.lock();
        let ended = state.ended;
        let Some(share) = state.outbox.living(slot, life).and_then(|s| s.share.as_deref_mut()) else {
            return;
        };
        let back = std::mem::take(&mut share.back);
        let awake = share.awake && !ended;
        member.live = awake;
        member.full = false;
        member.inflight -= back.iter().filter(|dealt| dealt.counts()).count().min(member.inflight);
        let mut waker = None;
        if awake {
            for dealt in std::mem::take(&mut member.owed) {
                state.outbox.deal(slot, dealt);
            }
            waker = state.outbox.take_waker();
        }
        drop(state);
        inside.take_back(back);
        inside.set_live(key, awake);
        inside.seat(key);
        self.mind(&inside);
        drop(inside);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.ring();
    }

    /// The tail lost records of a space: the group reads on from the journal.
    pub(crate) fn tail_lost(&self, space: u16, through: u64) {
        self.session.lock().outbox.tail_lost(space, through);
        self.ring();
    }

    /// While nobody is there to hear, only what is worth waiting for is collected.
    fn mind(&self, inside: &Inside) {
        self.session.lock().outbox.asleep = inside.live.is_empty();
    }
}

impl Inside {
    fn new() -> Self {
        Self {
            members: IndexMap::default(),
            live: IndexSet::default(),
            ring: VecDeque::new(),
            stuck: None,
            front: BTreeMap::new(),
            fresh: VecDeque::new(),
            newest: 0,
            places: Places::default(),
        }
    }

    fn finish(&mut self, record: &Record) {
        if let Some(place) = record.position {
            self.places.finish(place);
        }
    }

    /// Members whose own places retention took have room again.
    fn count_gone(&mut self) {
        for key in self.places.take_gone() {
            if let Some(member) = self.members.get_mut(&key) {
                member.inflight = member.inflight.saturating_sub(1);
            }
            self.seat(key);
        }
    }

    /// Records that a member gave back are first in line, in their old order.
    fn take_back(&mut self, back: Vec<Dealt>) {
        self.front.extend(back.into_iter().map(|dealt| (dealt.nth, dealt.record)));
    }

    fn set_live(&mut self, member: MemberKey, live: bool) {
        if live {
            self.live.insert(member);
        } else {
            self.live.shift_remove(&member);
            self.ring.retain(|key| *key != member);
            if let Some(member) = self.members.get_mut(&member) {
                member.in_ring = false;
            }
            if self.stuck == Some(member) {
                self.stuck = None;
            }
        }
    }

    /// Puts a member with room where its turn comes; whether it was not there before.
    fn seat(&mut self, key: MemberKey) -> bool {
        let Some(member) = self.members.get_mut(&key) else { return false };
        if !member.has_room() || std::mem::replace(&mut member.in_ring, true) {
            return false;
        }
        self.ring.push_back(key);
        true
    }
}

#[cfg(test)]
mod tests;
