//! Who is here: sessions opened, resumed, left, asleep and ended, and what others hear of it.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use yizhan_talk::{Close, Now};

use crate::{
    access::{Action, Bucket, Peer, Principal},
    guard::guard,
    hub::Inner,
    link::{Hello, Opened, Refused, Resume},
    message::{Content, Sender, SessionId},
    publish::message_of,
    saved::Saved,
    session::{RateBuckets, Session},
    store::{Expect, Missed, StoreError},
    subscription::{Feed, Pace, Subscription},
    topic::Topic,
};

/// The name that clients without an account share; nobody is told when one of them comes or goes.
pub const ANONYMOUS: &str = "anonymous";
/// Saved sessions that are looked at in one step of a purge.
const PURGE_PAGE: usize = 256;
/// Devices that one presence message names.
const PRESENCE_DEVICES_MAX: usize = 16;

/// What the hub remembers of comings and goings.
pub(crate) struct Attendance {
    started: Instant,
    /// Sleeping sessions by when they end. An entry that its session's `asleep_until` does not agree with is
    /// of an earlier sleep, and is passed over.
    ends: Mutex<BTreeSet<(Instant, SessionId)>>,
    dirty: Mutex<FxHashMap<SessionId, Arc<Session>>>,
    buckets: Mutex<FxHashMap<Arc<str>, Arc<Bucket>>>,
}

impl Attendance {
    pub(crate) fn new(started: Instant) -> Self {
        Self { started, ends: Mutex::default(), dirty: Mutex::default(), buckets: Mutex::default() }
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
            self.dirty.lock().insert(session.id, session.clone());
        }
    }

    /// A session sleeps no longer.
    fn forget_end(&self, asleep_until: Option<Instant>, id: SessionId) {
        if let Some(end) = asleep_until {
            self.ends.lock().remove(&(end, id));
        }
    }

    pub(crate) fn take_dirty(&self) -> Vec<Arc<Session>> {
        std::mem::take(&mut *self.dirty.lock()).into_values().collect()
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
    ) -> Result<(Opened, Arc<Session>, u32), Refused> {
        let Hello { credentials, device, resume, keep, last_message } = hello;
        if self.stopping.load(Relaxed) {
            return Err(Refused::Stopping);
        }
        let principal = Arc::new(self.access.admit(now, peer, credentials, device).await?);
        let saved = match &resume {
            Some(resume) if self.sessions.find(resume.session).is_none() => {
                self.load_session(resume, &principal).await?
            }
            _ => None,
        };
        let keep = keep.min(self.limits.keep_max);
        let last_message = last_message.map(|will| self.check_last_message(&principal, will)).transpose()?;
        let (session, told, resumed) = match resume {
            Some(resume) => {
                let session = match saved {
                    Some(saved) => self.restore_session(now, peer, principal.clone(), saved),
                    None => self.session_with_secret(resume.session, &resume.secret)?,
                };
                if session.principal().user != principal.user {
                    return Err(Refused::NoSession);
                }
                session.admit_again(&*self.access, principal.clone());
                let told = self.take_over(&session, peer, now, &resume)?;
                (session, told, true)
            }
            None => (self.new_session(now, peer, principal.clone(), keep)?, Vec::new(), false),
        };
        let generation = {
            let mut state = session.lock();
            state.last_message = last_message.map(|will| {
                let sender = Sender {
                    user: principal.user.clone(),
                    device: principal.device.clone(),
                    session: session.id,
                };
                Box::new(message_of(now, sender, will))
            });
            state.generation
        };
        self.meters.links.up();
        if resumed {
            self.meters.sessions_resumed.one()
        } else {
            self.meters.sessions_opened.one()
        }
        self.tell_presence(&session.principal());
        let opened = Opened {
            session: session.id,
            secret: session.secret.clone().unwrap_or_default(),
            principal,
            resumed,
            keep: session.keep,
            subscriptions: told,
        };
        Ok((opened, session, generation))
    }

    fn check_last_message(
        &self,
        principal: &Principal,
        will: crate::link::Publish,
    ) -> Result<crate::link::Publish, Refused> {
        self.check_shape(&will)?;
        if !self.access.may(principal, Action::Publish, &will.topic) {
            return Err(Refused::NotAllowed { action: Action::Publish, name: will.topic.as_str().into() });
        }
        if self.finder.find(&will.topic).is_none() {
            return Err(Refused::NoSpace(will.topic));
        }
        Ok(will)
    }

    fn new_session(
        &self,
        now: Now,
        peer: Peer,
        principal: Arc<Principal>,
        keep: Duration,
    ) -> Result<Arc<Session>, Refused> {
        if self.sessions.len() >= self.limits.sessions_max {
            return Err(Refused::Store(StoreError::Busy));
        }
        // Zero is the server's own number.
        let id = SessionId(((self.random)() as u64).max(1));
        let secret = (!keep.is_zero()).then(|| format!("{:032x}", (self.random)()).into());
        let rates = self.rate_buckets(&principal, peer);
        let session = Arc::new(Session::new(id, secret, principal, keep, rates, now, Some(peer)));
        self.sessions.insert(&session, &*session.principal().user != ANONYMOUS);
        self.attendance.touch(&session);
        self.work.wake();
        Ok(session)
    }

    fn rate_buckets(&self, principal: &Principal, peer: Peer) -> RateBuckets {
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
        &self,
        session: &Arc<Session>,
        peer: Peer,
        now: Now,
        resume: &Resume,
    ) -> Result<Vec<(u32, crate::topic::Filter, Missed)>, Refused> {
        let (waker, told, asleep_until) = {
            let mut state = session.lock();
            if state.ended {
                return Err(Refused::NoSession);
            }
            state.generation = state.generation.wrapping_add(1);
            let waker = state.outbox.take_waker();
            if state.connection.replace((peer, now.wall)).is_some() {
                self.meters.links.down();
                state.outbox.fall_asleep();
            }
            let told = state.outbox.wake_up(&resume.have);
            (waker, told, state.asleep_until.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        self.attendance.forget_end(asleep_until, session.id);
        Ok(told)
    }

    /// A link was dropped. Its session ends, or falls asleep.
    pub(crate) fn link_gone(self: &Arc<Self>, session: &Arc<Session>, generation: u32, goodbye: bool) {
        {
            let mut state = session.lock();
            if !guard("the last link", state.generation == generation) || state.ended {
                return;
            }
            if goodbye {
                state.last_message = None;
            } else if session.secret.is_some() {
                state.connection = None;
                state.outbox.fall_asleep();
                let end = self.clock.now().steady + session.keep;
                state.asleep_until = Some(end);
                drop(state);
                self.meters.links.down();
                self.attendance.ends.lock().insert((end, session.id));
                self.attendance.touch(session);
                self.work.wake();
                self.tell_presence(&session.principal());
                return;
            }
        }
        self.end_session(session, None);
    }

    /// Ends a session for good. `close` says why where it is not the client's own doing.
    pub(crate) fn end_session(self: &Arc<Self>, session: &Arc<Session>, close: Option<Close>) {
        let (subscriptions, last_message, was_live, asleep_until) = {
            let mut state = session.lock();
            if std::mem::replace(&mut state.ended, true) {
                return;
            }
            let slots = state.outbox.subscriptions.iter().enumerate();
            let subscriptions: Vec<_> = slots
                .filter_map(|(slot, s)| Some((u32::try_from(slot).ok()?, s.as_ref()?.filter.clone())))
                .collect();
            let was_live = state.connection.take().is_some();
            (subscriptions, state.last_message.take(), was_live, state.asleep_until.take())
        };
        for (slot, filter) in subscriptions {
            self.directory.remove(&filter, (session.id, slot));
        }
        self.sessions.remove(session);
        if session.secret.is_some() {
            self.attendance.forget_end(asleep_until, session.id);
            self.attendance.touch(session);
            self.work.wake();
        }
        if was_live {
            self.meters.links.down();
        }
        Self::close_link(session, close.unwrap_or(Close::NORMAL));
        if let Some(message) = last_message {
            self.say(*message);
        }
        self.tell_presence(&session.principal());
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
            if let Some(session) = self.sessions.find(id).filter(|s| s.lock().asleep_until == Some(end)) {
                self.end_session(&session, None);
            }
        }
        self.attendance.buckets.lock().retain(|_, bucket| Arc::strong_count(bucket) > 1);
    }

    /// Says as a keyed record whether a user is here.
    fn tell_presence(self: &Arc<Self>, who: &Principal) {
        if &*who.user == ANONYMOUS {
            return;
        }
        let Ok(topic) = Topic::new(&format!("$presence/user/{}", who.user)) else { return };
        let sessions = self.sessions.of_user(&who.user);
        let mut since = None;
        let mut devices: Vec<Option<Arc<str>>> = Vec::new();
        for session in &sessions {
            let Some((_, at)) = session.lock().connection else { continue };
            since = Some(since.map_or(at, |s: yizhan_talk::Timestamp| s.min(at)));
            if devices.len() < PRESENCE_DEVICES_MAX && !devices.contains(&session.principal().device) {
                devices.push(session.principal().device.clone());
            }
        }
        let devices: Vec<String> = devices.into_iter().flatten().map(|d| quoted(&d)).collect();
        let body = format!(
            r#"{{"user":{},"online":{},"since":{},"devices":[{}]}}"#,
            quoted(&who.user),
            since.is_some(),
            since.unwrap_or_else(|| self.clock.now().wall).as_millis(),
            devices.join(",")
        );
        self.announce(topic, Some("presence".into()), Content::Json, Bytes::from(body));
    }

    /// Writes a session to its table, or takes it out where it ended.
    pub(crate) async fn save_session(&self, session: &Session) -> Result<(), StoreError> {
        if session.secret.is_none() {
            return Ok(());
        }
        let value = {
            let state = session.lock();
            (!state.ended).then(|| Saved::of(session, &state, self.clock.now().wall).to_bytes())
        };
        self.saved.put(&session.id.0.to_be_bytes(), value, Expect::Any).await.map(drop)
    }

    /// A session that this process does not know, from its table.
    async fn load_session(&self, resume: &Resume, who: &Principal) -> Result<Option<Saved>, Refused> {
        let found = self.saved.get(&resume.session.0.to_be_bytes()).await?;
        let saved = found.and_then(|(bytes, _)| Saved::from_bytes(&bytes)).ok_or(Refused::NoSession)?;
        let right = same(saved.secret.as_bytes(), resume.secret.as_bytes()) && saved.user == who.user;
        let alive = !saved.is_over(self.clock.now().wall, self.opened);
        if right && alive { Ok(Some(saved)) } else { Err(Refused::NoSession) }
    }

    /// Takes saved sessions out of their table that nobody came back to.
    pub(crate) async fn purge_saved(&self) -> Result<(), StoreError> {
        let mut after: Option<Bytes> = None;
        loop {
            let rows = self.saved.scan(b"", after.as_deref(), PURGE_PAGE).await?;
            let now = self.clock.now().wall;
            for (key, value) in &rows {
                let over = Saved::from_bytes(value).is_none_or(|saved| {
                    self.sessions.find(saved.id).is_none() && saved.is_over(now, self.opened)
                });
                if over {
                    self.saved.put(key, None, Expect::Any).await?;
                }
            }
            match rows.last() {
                Some((key, _)) if rows.len() == PURGE_PAGE => after = Some(key.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Makes a saved session live again. Somebody else may have been quicker: then theirs stands.
    fn restore_session(&self, now: Now, peer: Peer, principal: Arc<Principal>, saved: Saved) -> Arc<Session> {
        if let Some(session) = self.sessions.find(saved.id) {
            return session;
        }
        let rates = self.rate_buckets(&principal, peer);
        let session =
            Arc::new(Session::new(saved.id, Some(saved.secret), principal, saved.keep, rates, now, None));
        for entry in saved.subscriptions {
            let mut subscription = Box::new(Subscription::new(entry.id, entry.filter.clone(), entry.window));
            subscription.no_local = entry.no_local;
            subscription.checked = true;
            let mut whole = true;
            for i in self.finder.overlapping(&entry.filter) {
                let Some(journal) = &self.spaces[i].journal else {
                    whole = false;
                    continue;
                };
                for head in journal.heads() {
                    let acked =
                        entry.positions.iter().find(|p| p.same_lane(&head) && p.offset <= head.offset);
                    let from = acked.copied().unwrap_or(head);
                    let (space, lag) = (u16::try_from(i).unwrap_or(u16::MAX), self.spaces[i].space.lag);
                    let pace = Pace::Behind(head.offset);
                    // The client may say that it has more than was saved: let it, up to the head.
                    subscription.feeds.push(Feed { space, sent: head, acked: from, pace, lag });
                }
            }
            if !whole {
                subscription.lost_unkept();
            }
            let slot = {
                let mut state = session.lock();
                state.lives += 1;
                let life = state.lives;
                state.outbox.add(subscription, life)
            };
            self.directory.insert(&entry.filter, slot, &session);
        }
        self.sessions.insert(&session, &*session.principal().user != ANONYMOUS);
        session
    }
}

/// Compares without telling by the time it takes where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}

/// A JSON string (RFC 8259 §7).
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
