//! Who is here: sessions opened, resumed, taken over, left, asleep and ended.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use futures_channel::oneshot;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use yizhan_talk::{Close, Now};

use crate::{
    access::{Bucket, Credentials, Peer, Principal},
    guard::guard,
    hub::Inner,
    link::{Have, Hello, Keepsake, KeepsakePlace, Name, Opened, Refused, Resume},
    message::SessionId,
    saved::id_of_name,
    session::{Beginning, LastWord, RateBuckets, Session, State},
    store::{Missed, StoreError},
    topic::Filter,
};

/// The name that clients without an account share; nobody is told when one of them comes or goes.
pub const ANONYMOUS: &str = "anonymous";
/// How long clients have to come back after a restart before their last messages are said.
pub(crate) const RETURN_GRACE: Duration = Duration::from_secs(10);

/// What the hub remembers of comings and goings.
pub(crate) struct Attendance {
    started: Instant,
    /// Sleeping sessions by when they end. An entry that its session's `asleep_until` does not agree with is
    /// of an earlier sleep, and is passed over.
    ends: Mutex<BTreeSet<(Instant, SessionId)>>,
    pub(crate) dirty: Mutex<Dirty>,
    /// Held while a name is given to a session.
    naming: Mutex<()>,
    /// Last messages that are said if nobody comes back.
    pub(crate) last_words: Mutex<BTreeSet<(Instant, SessionId)>>,
    /// The same for saved sessions that nobody came back to since the start.
    pub(crate) left_behind: Mutex<FxHashMap<SessionId, (Instant, LastWord)>>,
    /// Those of them whose last message was said, to be written so.
    pub(crate) said: Mutex<Vec<SessionId>>,
    /// Sessions that ended and whose rows are still there, with which end of that number it was.
    pub(crate) ended: Mutex<FxHashMap<SessionId, u64>>,
    /// Users with so many sessions that their presence is told once a second.
    pub(crate) crowds: Mutex<FxHashMap<Arc<str>, Arc<Principal>>>,
    buckets: Mutex<FxHashMap<Arc<str>, Arc<Bucket>>>,
}

/// Sessions that changed in a way that outlives the server.
#[derive(Default)]
pub(crate) struct Dirty {
    /// To be saved now.
    now: FxHashMap<SessionId, Arc<Session>>,
    /// To be saved within about a second: how far its client is.
    soon: FxHashMap<SessionId, Arc<Session>>,
    pub(crate) waiting: Vec<Waiting>,
}

/// Told when what was dirty is safe.
pub(crate) type Waiting = oneshot::Sender<Result<(), StoreError>>;

impl Attendance {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            ends: Mutex::default(),
            dirty: Mutex::default(),
            naming: Mutex::default(),
            last_words: Mutex::default(),
            left_behind: Mutex::default(),
            said: Mutex::default(),
            ended: Mutex::default(),
            crowds: Mutex::default(),
            buckets: Mutex::default(),
        }
    }

    /// Microseconds on a steady scale, for token buckets.
    pub(crate) fn steady_micros(&self, now: Now) -> u64 {
        let since = now.steady.saturating_duration_since(self.started);
        // An hour ahead, so that a fresh bucket (zero) is a full one.
        let micros = (since + Duration::from_secs(3600)).as_micros();
        u64::try_from(micros).unwrap_or(u64::MAX)
    }

    /// This session changed in a way that outlives the server.
    pub(crate) fn touch(&self, session: &Arc<Session>) {
        if session.secret.is_some() {
            let mut dirty = self.dirty.lock();
            dirty.soon.remove(&session.id);
            dirty.now.insert(session.id, session.clone());
        }
    }

    /// This session's client is further than it was: worth saving, not worth hurrying.
    pub(crate) fn touch_soon(&self, session: &Arc<Session>) {
        if session.secret.is_some() {
            let mut dirty = self.dirty.lock();
            if !dirty.now.contains_key(&session.id) {
                dirty.soon.entry(session.id).or_insert_with(|| session.clone());
            }
        }
    }

    /// A session sleeps no longer.
    fn forget_end(&self, asleep_until: Option<Instant>, id: SessionId) {
        if let Some(end) = asleep_until {
            self.ends.lock().remove(&(end, id));
        }
    }

    /// What is to be saved now, and who waits for it.
    pub(crate) fn take_dirty(&self) -> (Vec<Arc<Session>>, Vec<Waiting>) {
        let mut dirty = self.dirty.lock();
        let sessions = std::mem::take(&mut dirty.now).into_values().collect();
        (sessions, std::mem::take(&mut dirty.waiting))
    }

    /// What was to be saved soon is to be saved now; whether there is any.
    fn hurry(&self) -> bool {
        let mut dirty = self.dirty.lock();
        for (id, session) in std::mem::take(&mut dirty.soon) {
            dirty.now.entry(id).or_insert(session);
        }
        !dirty.now.is_empty()
    }

    fn bucket(&self, name: String) -> Arc<Bucket> {
        self.buckets.lock().entry(name.into()).or_default().clone()
    }
}

impl Inner {
    /// Lets a client in: a new session, or one that goes on. Gives its link's generation too.
    ///
    /// Nothing is waited for after the session is made, so that it cannot be lost on the way.
    pub(crate) async fn open_session(
        self: Arc<Self>,
        now: Now,
        peer: Peer,
        hello: Hello,
        proven: Option<Principal>,
    ) -> Result<(Opened, Arc<Session>, u32), Refused> {
        let Hello { credentials, device, resume, name, keep, last_message, keepsake } = hello;
        if self.stopping.load(Relaxed) {
            return Err(Refused::Stopping);
        }
        let principal = Arc::new(match (proven, &credentials) {
            (Some(proven), Credentials::Proven) => proven,
            _ => self.access.admit(now, peer, credentials, device).await?,
        });
        let last_word = last_message.map(|last| self.last_word(now, &principal, last)).transpose()?;
        let keep = keep.min(self.limits.keep_max);
        let coming = Coming { now, peer, principal: principal.clone(), keep, keepsake };
        let found = match (resume, name) {
            (Some(resume), _) => self.go_on(&coming, &resume).await?,
            (None, Some(name)) => self.come_by_name(coming, &name).await?,
            (None, None) => {
                // Zero is the server's own number.
                let id = SessionId(((self.random)() as u64).max(1));
                Found { session: self.new_session(id, None, coming)?, told: None }
            }
        };
        let Found { session, told } = found;
        let generation = {
            let mut state = session.lock();
            state.last_message = last_word.map(|mut word| {
                word.message.from.session = session.id;
                Box::new(word)
            });
            state.generation
        };
        self.meters.links.up();
        let resumed = told.is_some();
        let opened_or_resumed =
            if resumed { &self.meters.sessions_resumed } else { &self.meters.sessions_opened };
        opened_or_resumed.one();
        self.tell_presence(&session.principal());
        let kept = if resumed { session.keepsake.kept() } else { None };
        let opened = Opened {
            session: session.id,
            secret: session.secret.clone().unwrap_or_default(),
            principal,
            resumed,
            keep: session.keep(),
            subscriptions: told.unwrap_or_default(),
            kept,
            place: session.keepsake.clone(),
        };
        Ok((opened, session, generation))
    }

    /// A client says by number and secret which session it goes on with.
    async fn go_on(self: &Arc<Self>, coming: &Coming, resume: &Resume) -> Result<Found, Refused> {
        let saved = match self.sessions.find(resume.session) {
            None => Some(self.load_session(resume, &coming.principal).await?),
            Some(_) => None,
        };
        let session = match saved {
            Some(saved) => {
                let _naming = self.attendance.naming.lock();
                self.restore_session(coming, saved)
            }
            None => self.session_with_secret(resume.session, &resume.secret)?,
        };
        if session.principal().user != coming.principal.user {
            return Err(Refused::NoSession);
        }
        session.admit_again(&*self.access, coming.principal.clone());
        let told = self.take_over(&session, coming, &resume.have)?;
        Ok(Found { session, told: Some(told) })
    }

    /// A client comes by its session's name: it goes on with the one that is there, or that was saved, or
    /// gets a new one.
    async fn come_by_name(self: &Arc<Self>, coming: Coming, name: &Name) -> Result<Found, Refused> {
        let id = id_of_name(&coming.principal.user, &name.name);
        let saved = match self.sessions.find(id) {
            None if !name.fresh => self.load_named(id, &name.name, &coming.principal).await?,
            _ => None,
        };
        // Held so that a name never has two sessions.
        let _naming = self.attendance.naming.lock();
        let going_on = match self.sessions.find(id) {
            Some(session) if name.fresh || !session.is_kept() => {
                self.end_session(&session, Some(Close::TAKEN_OVER));
                None
            }
            Some(session) => Some(session),
            None => saved.map(|saved| self.restore_session(&coming, saved)),
        };
        let Some(session) = going_on else {
            self.say_left_behind(id);
            self.forget_member(id);
            let session = self.new_session(id, Some(name.name.clone()), coming)?;
            return Ok(Found { session, told: None });
        };
        session.admit_again(&*self.access, coming.principal.clone());
        session.set_keep(coming.keep);
        let told = self.take_over(&session, &coming, &[])?;
        self.attendance.touch(&session);
        self.saver.wake();
        Ok(Found { session, told: Some(told) })
    }

    fn new_session(
        &self,
        id: SessionId,
        name: Option<Arc<str>>,
        coming: Coming,
    ) -> Result<Arc<Session>, Refused> {
        if self.sessions.len() >= self.limits.sessions_max {
            return Err(Refused::Store(StoreError::Busy));
        }
        let Coming { now, peer, principal, keep, keepsake } = coming;
        let secret = (!keep.is_zero()).then(|| format!("{:032x}", (self.random)()).into());
        let rates = self.rate_buckets(&principal, peer);
        let keepsake = KeepsakePlace::of(keepsake);
        let connection = Some(peer);
        let begin = Beginning { id, secret, name, principal, keep, keepsake, rates, connection };
        let session = Arc::new(Session::new(now, begin));
        self.sessions.insert(&session, &*session.principal().user != ANONYMOUS);
        self.attendance.touch(&session);
        self.saver.wake();
        Ok(session)
    }

    pub(crate) fn rate_buckets(&self, principal: &Principal, peer: Peer) -> RateBuckets {
        let rates = &principal.rates;
        let named =
            |wanted: Option<u32>, name: &dyn Fn() -> String| wanted.map(|_| self.attendance.bucket(name()));
        RateBuckets {
            user: named(rates.user_messages_per_second, &|| format!("user {}", principal.user)),
            address: named(rates.address_messages_per_second, &|| format!("address {}", peer.address)),
            ..RateBuckets::default()
        }
    }

    /// Finds a session by number and secret.
    pub(crate) fn session_with_secret(&self, id: SessionId, secret: &str) -> Result<Arc<Session>, Refused> {
        let session = self.sessions.find(id).ok_or(Refused::NoSession)?;
        let right = session.secret.as_deref().is_some_and(|s| same(s.as_bytes(), secret.as_bytes()));
        if right { Ok(session) } else { Err(Refused::NoSession) }
    }

    /// Makes a new link the session's live one; an older one is told.
    fn take_over(
        self: &Arc<Self>,
        session: &Arc<Session>,
        coming: &Coming,
        have: &[Have],
    ) -> Result<Vec<(u32, Filter, Missed)>, Refused> {
        let (waker, told, asleep_until, due, last_word) = {
            let mut state = session.lock();
            if state.ended {
                return Err(Refused::NoSession);
            }
            state.generation = state.generation.wrapping_add(1);
            session.link.store(state.generation, Relaxed);
            let waker = state.outbox.take_waker();
            let last_word = state.last_message.take();
            let mut cut_off = None;
            if state.connection.replace((coming.peer, coming.now.wall)).is_some() {
                self.meters.links.down();
                state.outbox.fall_asleep();
                // The connection before is cut: what was to be said without delay is said.
                cut_off = last_word.filter(|word| word.delay == Some(Duration::ZERO));
            }
            let told = state.outbox.wake_up(have);
            (waker, told, state.asleep_until.take(), state.last_due.take(), cut_off)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        self.look_at_groups(session);
        self.attendance.forget_end(asleep_until, session.id);
        if let Some(due) = due {
            self.attendance.last_words.lock().remove(&(due, session.id));
        }
        if let Some(word) = last_word {
            self.say_word(*word);
        }
        Ok(told)
    }

    /// A link was dropped. Its session ends, or falls asleep.
    pub(crate) fn link_gone(self: &Arc<Self>, session: &Arc<Session>, generation: u32, leaving: Leaving) {
        let now = self.clock.now();
        let (said, peer) = {
            let mut state = session.lock();
            if !guard("the last link", state.generation == generation) || state.ended {
                return;
            }
            let peer = state.connection.map(|(peer, _)| peer);
            if leaving != Leaving::Vanished {
                state.last_message = None;
            }
            let (keep, stays) = (session.keep(), leaving != Leaving::Goodbye && session.is_kept());
            if stays {
                state.connection = None;
                state.outbox.fall_asleep();
                let end = far(now.steady, keep);
                state.asleep_until = Some(end);
                let mut said = None;
                if let Some(delay) = state.last_message.as_ref().and_then(|word| word.delay) {
                    if delay.is_zero() {
                        said = state.last_message.take();
                    } else if delay < keep {
                        let due = far(now.steady, delay);
                        state.last_due = Some(due);
                        self.attendance.last_words.lock().insert((due, session.id));
                    }
                }
                self.attendance.ends.lock().insert((end, session.id));
                (Some(said), peer)
            } else {
                (None, peer)
            }
        };
        match said {
            Some(said) => {
                self.look_at_groups(session);
                self.meters.links.down();
                self.attendance.touch(session);
                self.saver.wake();
                if let Some(word) = said {
                    self.say_word(*word);
                }
                self.tell_presence(&session.principal());
                self.tell_left(now, session);
            }
            None => self.end_session(session, None),
        }
        if let Some(peer) = peer {
            self.access.left(now, peer, &session.principal());
        }
    }

    /// Ends a session for good. `close` says why where it is not the client's own doing.
    pub(crate) fn end_session(self: &Arc<Self>, session: &Arc<Session>, close: Option<Close>) {
        self.end_session_if(session, close, |_| true);
    }

    /// Ends a session for good where it `is_due`, asked when nothing can change it any more.
    fn end_session_if(
        self: &Arc<Self>,
        session: &Arc<Session>,
        close: Option<Close>,
        is_due: impl FnOnce(&State) -> bool,
    ) {
        let (subscriptions, last_message, was_live, asleep_until) = {
            let mut state = session.lock();
            if state.ended || !is_due(&state) {
                return;
            }
            state.ended = true;
            if session.secret.is_some() {
                *self.attendance.ended.lock().entry(session.id).or_insert(0) += 1;
            }
            let slots = state.outbox.subscriptions.iter().enumerate();
            let subscriptions: Vec<_> = slots
                .filter_map(|(slot, s)| {
                    let s = s.as_ref().filter(|s| s.share.is_none())?;
                    Some((u32::try_from(slot).ok()?, s.filter.clone(), s.exclusive))
                })
                .collect();
            let was_live = state.connection.take().is_some();
            if let Some(due) = state.last_due.take() {
                self.attendance.last_words.lock().remove(&(due, session.id));
            }
            (subscriptions, state.last_message.take(), was_live, state.asleep_until.take())
        };
        for (slot, filter, exclusive) in subscriptions {
            self.directory.remove(&filter, (session.id, slot));
            if exclusive {
                self.exclusive.lock().remove(&filter);
            }
        }
        self.leave_groups(session);
        self.sessions.remove(session);
        if session.secret.is_some() {
            self.attendance.forget_end(asleep_until, session.id);
            self.attendance.touch(session);
            self.saver.wake();
        }
        if was_live {
            self.meters.links.down();
        }
        Self::close_link(session, close.unwrap_or(Close::NORMAL));
        if let Some(word) = last_message {
            self.say_word(*word);
        }
        self.tell_presence(&session.principal());
        if was_live {
            self.tell_left(self.clock.now(), session);
        }
    }

    /// Ends sleeping sessions whose time is over.
    pub(crate) fn end_expired(self: &Arc<Self>, now: Now) {
        loop {
            let due = {
                let mut ends = self.attendance.ends.lock();
                match ends.first() {
                    Some((end, _)) if *end <= now.steady => ends.pop_first(),
                    _ => None,
                }
            };
            let Some((end, id)) = due else { break };
            if let Some(session) = self.sessions.find(id) {
                self.end_session_if(&session, None, |state| state.asleep_until == Some(end));
            }
        }
        self.say_due(now);
        if self.attendance.hurry() {
            self.saver.wake();
        }
        let crowds = std::mem::take(&mut *self.attendance.crowds.lock());
        for who in crowds.into_values() {
            self.tell_presence_now(&who);
        }
        self.attendance.buckets.lock().retain(|_, bucket| Arc::strong_count(bucket) > 1);
    }
}

/// A client that was let in and has no session yet.
pub(crate) struct Coming {
    pub(crate) now: Now,
    pub(crate) peer: Peer,
    pub(crate) principal: Arc<Principal>,
    keep: Duration,
    keepsake: Option<Arc<dyn Keepsake>>,
}

/// The session that a client gets.
struct Found {
    session: Arc<Session>,
    /// For one that went on: its subscriptions, and what they lost.
    told: Option<Vec<(u32, Filter, Missed)>>,
}

/// How a link ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Without a word.
    Vanished,
    /// Said that it goes; the session sleeps where it is kept.
    Rest,
    /// Said that it goes for good.
    Goodbye,
}

/// A moment that far ahead, or as far as moments go.
pub(crate) fn far(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or_else(|| now + Duration::from_secs(100 * 365 * 86_400))
}

/// Compares without telling by the time it takes where the difference is.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}
