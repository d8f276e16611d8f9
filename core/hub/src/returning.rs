//! Sessions that outlive the server: saved, found again, made live again, and forgotten.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_channel::oneshot;
use rustc_hash::FxHashSet;
use yizhan_talk::Called;

use crate::{
    access::Principal,
    attend::{ANONYMOUS, Coming, RETURN_GRACE, far, same},
    hub::Inner,
    link::{Answer, KeepsakePlace, Refused, Resume},
    message::SessionId,
    saved::{Saved, SavedSubscription},
    session::{Beginning, Session},
    store::{Expect, StoreError},
    subscription::{Feed, Pace, Subscription},
};

/// Saved sessions that are looked at in one step of a purge.
const PURGE_PAGE: usize = 256;

/// A session as it is written.
pub(crate) struct SessionRow {
    pub(crate) id: SessionId,
    /// `None` takes it out.
    value: Option<Bytes>,
    /// The latest end of a session of this number, when this was read.
    end: Option<u64>,
}

impl Inner {
    /// Answers when the session is safe as it is now.
    pub(crate) fn save_now(&self, session: &Arc<Session>) -> Called<Answer> {
        let shares = self.change_groups_of(session);
        if !session.is_kept() && !shares {
            return Called::Done(Answer::Done);
        }
        let (sender, receiver) = oneshot::channel();
        self.attendance.touch(session);
        self.attendance.dirty.lock().waiting.push(sender);
        self.saver.wake();
        Called::Later(Box::pin(async move {
            match receiver.await {
                Ok(Ok(())) => Answer::Done,
                Ok(Err(error)) => Answer::Refused(Refused::Store(error)),
                Err(_) => Answer::Refused(Refused::Stopping),
            }
        }))
    }

    /// Writes a session to its table, or takes it out where it ended.
    pub(crate) async fn save_session(&self, session: &Session) -> Result<(), StoreError> {
        match self.session_row(session) {
            Some(row) => self.put_session(row).await,
            None => Ok(()),
        }
    }

    /// A session as it is to be kept now; without a value where it ended, `None` where its row is not its own.
    pub(crate) fn session_row(&self, session: &Session) -> Option<SessionRow> {
        // A session that ended may have a follower by its name, whose row it is if it has one.
        let follows = |other: &Session| other.secret.is_some() && !std::ptr::eq(&raw const *other, session);
        let other = self.sessions.find(session.id).is_some_and(|other| follows(&other));
        if session.secret.is_none() || other {
            return None;
        }
        let state = session.lock();
        let stays = !state.ended && session.is_kept();
        let value = stays.then(|| Saved::of(session, &state, self.clock.now().wall).to_bytes());
        let end = self.attendance.ended.lock().get(&session.id).copied();
        Some(SessionRow { id: session.id, value, end })
    }

    pub(crate) async fn put_session(&self, row: SessionRow) -> Result<(), StoreError> {
        let SessionRow { id, value, end } = row;
        self.saved.put(&id.0.to_be_bytes(), value, Expect::Any).await?;
        let mut ended = self.attendance.ended.lock();
        // One that was read before the end says nothing of it.
        if end.is_some() && ended.get(&id).copied() == end {
            ended.remove(&id);
        }
        Ok(())
    }

    /// A session that this process does not know, from its table.
    pub(crate) async fn load_session(&self, resume: &Resume, who: &Principal) -> Result<Saved, Refused> {
        let saved = self.read_saved(resume.session).await?.ok_or(Refused::NoSession)?;
        let right = same(saved.secret.as_bytes(), resume.secret.as_bytes()) && saved.user == who.user;
        let alive = !saved.is_over(self.clock.now().wall, self.opened);
        if right && alive { Ok(saved) } else { Err(Refused::NoSession) }
    }

    /// The same by name; `None` where there is none that could go on.
    pub(crate) async fn load_named(
        &self,
        id: SessionId,
        name: &Arc<str>,
        who: &Principal,
    ) -> Result<Option<Saved>, Refused> {
        let now = self.clock.now().wall;
        Ok(self.read_saved(id).await?.filter(|saved| {
            saved.name.as_ref() == Some(name) && saved.user == who.user && !saved.is_over(now, self.opened)
        }))
    }

    pub(crate) async fn read_saved(&self, id: SessionId) -> Result<Option<Saved>, StoreError> {
        if self.attendance.ended.lock().contains_key(&id) {
            // Its row is about to go.
            return Ok(None);
        }
        let found = self.saved.get(&id.0.to_be_bytes()).await?;
        Ok(found.and_then(|(bytes, _)| Saved::from_bytes(&bytes)))
    }

    /// Takes saved sessions out of their table that nobody came back to, and says their last messages; those
    /// of the others are said if their clients do not come back.
    pub(crate) async fn purge_saved(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut after: Option<Bytes> = None;
        let mut there = FxHashSet::default();
        loop {
            let rows = self.saved.scan(b"", after.as_deref(), PURGE_PAGE).await?;
            let now = self.clock.now();
            for (key, value) in &rows {
                let Some(saved) = Saved::from_bytes(value) else {
                    self.saved.put(key, None, Expect::Any).await?;
                    continue;
                };
                if self.sessions.find(saved.id).is_some() {
                    continue;
                }
                there.insert(saved.id);
                let over = saved.is_over(now.wall, self.opened);
                let last = saved.last_message.map(|word| {
                    let wait = word.delay.unwrap_or(saved.keep).min(saved.keep).max(RETURN_GRACE);
                    (far(now.steady, if over { Duration::ZERO } else { wait }), word)
                });
                if let Some(last) = last {
                    self.attendance.left_behind.lock().entry(saved.id).or_insert(last);
                }
                if over {
                    there.remove(&saved.id);
                    self.say_left_behind(saved.id);
                    self.saved.put(key, None, Expect::Any).await?;
                }
            }
            match rows.last() {
                Some((key, _)) if rows.len() == PURGE_PAGE => after = Some(key.clone()),
                _ => break,
            }
        }
        self.forget_absent(|id| !there.contains(&id));
        Ok(())
    }

    /// Makes a saved session live again. Somebody else may have been
    /// quicker: then theirs stands. Called with `naming` held.
    pub(crate) fn restore_session(&self, coming: &Coming, saved: Saved) -> Arc<Session> {
        if let Some(session) = self.sessions.find(saved.id) {
            return session;
        }
        self.attendance.left_behind.lock().remove(&saved.id);
        let Coming { now, peer, principal, .. } = coming;
        let begin = Beginning {
            id: saved.id,
            secret: Some(saved.secret),
            name: saved.name,
            principal: principal.clone(),
            keep: saved.keep,
            keepsake: KeepsakePlace::unread(saved.keepsake),
            rates: self.rate_buckets(principal, *peer),
            connection: None,
        };
        let session = Arc::new(Session::new(*now, begin));
        for entry in saved.subscriptions {
            self.restore_subscription(&session, entry);
        }
        self.sessions.insert(&session, &*session.principal().user != ANONYMOUS);
        session
    }

    pub(crate) fn restore_subscription(&self, session: &Arc<Session>, entry: SavedSubscription) {
        if let Some(group) = &entry.group {
            self.rejoin(session, &entry, group);
            return;
        }
        let mut subscription = Box::new(Subscription::new(entry.id, entry.filter.clone(), entry.window));
        subscription.no_local = entry.no_local;
        subscription.qos = entry.qos;
        subscription.exclusive = entry.exclusive;
        subscription.checked = true;
        if entry.exclusive {
            self.exclusive.lock().entry(entry.filter.clone()).or_insert((session.id, entry.id));
        }
        let mut whole = true;
        for i in self.finder.overlapping(&entry.filter) {
            let Some(journal) = &self.spaces[i].journal else {
                whole = false;
                continue;
            };
            for head in journal.heads() {
                let acked = entry.positions.iter().find(|p| p.same_lane(&head) && p.offset <= head.offset);
                let from = acked.copied().unwrap_or(head);
                let (space, lag) = (u16::try_from(i).unwrap_or(u16::MAX), self.spaces[i].space.lag);
                let pace = Pace::Behind(head.offset);
                // How far its client was is not known: it may say so when it comes.
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
        self.directory.insert(&entry.filter, slot, session);
    }
}
