//! A session's life: open, taken over, asleep, ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use indexmap::IndexMap;
use parking_lot::{Mutex, MutexGuard, RwLock};
use rustc_hash::{FxBuildHasher, FxHashMap};
use yizhan_talk::{Now, Timestamp};

use crate::{
    access::{Access, Action, Bucket, Peer, Principal, Verdict},
    inspect::{ConnectionView, SessionView, SubscriptionView},
    link::KeepsakePlace,
    message::{Batch, Message, Record, SessionId},
    outbox::{Outbox, OutboxLimits, Pushed},
    space::Lag,
    subscription::Subscription,
};

/// A client's lasting place in the hub.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// What resuming takes; `None` where the session ends with its connection.
    pub(crate) secret: Option<Arc<str>>,
    /// Its name among its user's sessions, where the client chose one.
    pub(crate) name: Option<Arc<str>>,
    who: ArcSwap<Principal>,
    pub(crate) opened_at: Timestamp,
    /// How long it outlives its connection, ms.
    keep: AtomicU64,
    /// What the door remembers with it.
    pub(crate) keepsake: KeepsakePlace,
    /// The same as the state's, to be looked at without its lock.
    pub(crate) link: AtomicU32,
    pub(crate) rates: RateBuckets,
    state: Mutex<State>,
}

/// The buckets that one session's publishes are taken from.
#[derive(Default)]
pub(crate) struct RateBuckets {
    pub(crate) messages: Bucket,
    pub(crate) bytes: Bucket,
    pub(crate) user: Option<Arc<Bucket>>,
    pub(crate) address: Option<Arc<Bucket>>,
}

/// What changes in a session; under one lock.
pub(crate) struct State {
    pub(crate) outbox: Outbox,
    /// The live connection; `None` while asleep.
    pub(crate) connection: Option<(Peer, Timestamp)>,
    /// When it ends if nobody comes back; only while asleep.
    pub(crate) asleep_until: Option<Instant>,
    /// Grows with every take-over, so that an older link knows that it is no longer the one.
    pub(crate) generation: u32,
    /// Numbers the lives of subscriptions.
    pub(crate) lives: u32,
    pub(crate) last_message: Option<Box<LastWord>>,
    /// When the last message is said if nobody comes back; only while asleep.
    pub(crate) last_due: Option<Instant>,
    pub(crate) ended: bool,
}

/// A message for when the client is gone.
#[derive(Debug, Clone)]
pub(crate) struct LastWord {
    pub(crate) message: Message,
    /// How long after the connection; `None` when the session ends.
    pub(crate) delay: Option<Duration>,
    /// How long it waits once it is said.
    pub(crate) later: Option<Duration>,
}

/// What a session begins with.
pub(crate) struct Beginning {
    pub(crate) id: SessionId,
    pub(crate) secret: Option<Arc<str>>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) principal: Arc<Principal>,
    pub(crate) keep: Duration,
    pub(crate) keepsake: KeepsakePlace,
    pub(crate) rates: RateBuckets,
    pub(crate) connection: Option<Peer>,
}

impl Session {
    pub(crate) fn new(
        now: Now,
        Beginning { id, secret, name, principal, keep, keepsake, rates, connection }: Beginning,
    ) -> Self {
        let state = State {
            outbox: Outbox::new(secret.is_some()),
            connection: connection.map(|peer| (peer, now.wall)),
            asleep_until: None,
            generation: 0,
            lives: 0,
            last_message: None,
            last_due: None,
            ended: false,
        };
        Self {
            id,
            secret,
            name,
            who: ArcSwap::new(principal),
            opened_at: now.wall,
            keep: AtomicU64::new(millis(keep)),
            keepsake,
            link: AtomicU32::new(0),
            rates,
            state: Mutex::new(state),
        }
    }

    /// How long it outlives its connection; zero ends both at once.
    pub(crate) fn keep(&self) -> Duration {
        if self.secret.is_none() { Duration::ZERO } else { Duration::from_millis(self.keep.load(Relaxed)) }
    }

    /// Whether it outlives its connection.
    pub(crate) fn is_kept(&self) -> bool {
        !self.keep().is_zero()
    }

    /// Keeps it for another time from now on. One that began without outliving its connection stays so.
    pub(crate) fn set_keep(&self, keep: Duration) {
        self.keep.store(millis(keep), Relaxed);
    }

    /// Whose it is. A later hello of the same user may bring other roles and rates.
    pub(crate) fn principal(&self) -> arc_swap::Guard<Arc<Principal>> {
        self.who.load()
    }

    /// The same user came in again, perhaps with other rights: subscriptions are asked about anew.
    pub(crate) fn admit_again(&self, access: &dyn Access, principal: Arc<Principal>) {
        self.who.store(principal);
        let principal = self.principal();
        for subscription in self.lock().outbox.subscriptions.iter_mut().flatten() {
            let verdict = access.may_filter(&principal, Action::Subscribe, &subscription.filter);
            // Where it is no longer allowed at all, each record is asked about and none passes.
            subscription.checked = verdict != Verdict::Allowed;
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Gives records of one topic to one subscription; wakes the link where it waits.
    pub(crate) fn push(
        &self,
        access: &dyn Access,
        slot: u32,
        batch: &Arc<Batch>,
        lag: Lag,
        limits: OutboxLimits,
    ) -> Pushed {
        let mut state = self.state.lock();
        let pushed = state.outbox.push(slot, batch, lag, limits, |s, r| self.wants(access, s, r));
        let waker = if state.outbox.is_idle() { None } else { state.outbox.take_waker() };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        pushed
    }

    /// Whether a record of a matching topic is for this subscription.
    pub(crate) fn wants(&self, access: &dyn Access, subscription: &Subscription, record: &Record) -> bool {
        (!subscription.no_local || record.message.from.session != self.id)
            && (!subscription.checked
                || access.may(&self.principal(), Action::Subscribe, &record.message.topic))
    }

    /// Wakes the link, whatever there is.
    pub(crate) fn wake(&self) {
        let waker = self.state.lock().outbox.take_waker();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn view(&self) -> SessionView {
        let state = self.state.lock();
        SessionView {
            id: self.id,
            user: self.principal().user.clone(),
            device: self.principal().device.clone(),
            name: self.name.clone(),
            keep: self.keep(),
            figures: self.keepsake.get().map(|k| k.figures()).unwrap_or_default(),
            opened_at: self.opened_at,
            connection: state.connection.map(|(peer, since)| ConnectionView {
                door: peer.door,
                address: peer.address,
                secure: peer.secure,
                since,
            }),
            subscriptions: state.outbox.len(),
            waiting: state.outbox.waiting(),
            delivered: state.outbox.delivered,
            missed: state.outbox.missed,
        }
    }

    pub(crate) fn subscription_view(&self, slot: u32) -> Option<SubscriptionView> {
        let state = self.state.lock();
        let subscription = state.outbox.subscriptions.get(slot as usize)?.as_deref()?;
        Some(self.viewed(subscription))
    }

    pub(crate) fn subscription_views(&self) -> Vec<SubscriptionView> {
        let state = self.state.lock();
        state.outbox.subscriptions.iter().flatten().map(|s| self.viewed(s)).collect()
    }

    fn viewed(&self, subscription: &Subscription) -> SubscriptionView {
        SubscriptionView {
            session: self.id,
            user: self.principal().user.clone(),
            id: subscription.id,
            filter: subscription.filter.clone(),
            qos: subscription.qos,
            delivered: subscription.number,
            behind: subscription.is_behind(),
            group: subscription.share.as_ref().map(|share| share.name.clone()),
        }
    }
}

/// All sessions, by number and by user.
#[derive(Default)]
pub(crate) struct Sessions {
    by_id: RwLock<FxHashMap<SessionId, Arc<Session>>>,
    by_user: Mutex<FxHashMap<Arc<str>, OfUser>>,
}

type OfUser = IndexMap<SessionId, Arc<Session>, FxBuildHasher>;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Sessions {
    pub(crate) fn find(&self, id: SessionId) -> Option<Arc<Session>> {
        self.by_id.read().get(&id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.by_id.read().values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.read().len()
    }

    pub(crate) fn insert(&self, session: &Arc<Session>, named: bool) {
        self.by_id.write().insert(session.id, session.clone());
        if named {
            self.by_user
                .lock()
                .entry(session.principal().user.clone())
                .or_default()
                .insert(session.id, session.clone());
        }
    }

    pub(crate) fn remove(&self, session: &Session) {
        {
            let mut by_id = self.by_id.write();
            // Another session may have its name, and so its number, by now.
            if by_id.get(&session.id).is_some_and(|s| std::ptr::eq(&raw const **s, session)) {
                by_id.remove(&session.id);
            }
        }
        let mut by_user = self.by_user.lock();
        if let Some(sessions) = by_user.get_mut(&session.principal().user) {
            if sessions.get(&session.id).is_some_and(|s| std::ptr::eq(&raw const **s, session)) {
                sessions.swap_remove(&session.id);
            }
            if sessions.is_empty() {
                by_user.remove(&session.principal().user);
            }
        }
    }

    /// A user's sessions; empty for users who share a name (anonymous ones).
    pub(crate) fn of_user(&self, user: &str) -> Vec<Arc<Session>> {
        self.by_user.lock().get(user).map(|of| of.values().cloned().collect()).unwrap_or_default()
    }

    /// How many sessions a user has.
    pub(crate) fn count_of_user(&self, user: &str) -> usize {
        self.by_user.lock().get(user).map_or(0, IndexMap::len)
    }
}
