//! Coming to a group and leaving it.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use yizhan_talk::Called;

use super::{Dealt, Group, GroupKey, Member, MemberKey, places::Lane, save::Row, share::Share};
use crate::{
    access::{Action, Verdict},
    hub::Inner,
    link::{self, Answer, Refused, Subscribe},
    message::{Position, SessionId},
    saved::SavedSubscription,
    session::Session,
    space::Lag,
    store::Missed,
    subscription::{Feed, Pace, Subscription},
    topic::Filter,
};

impl Inner {
    /// Makes a subscription a member of a group; the first member makes the group.
    pub(crate) fn join(
        self: &Arc<Self>,
        session: &Arc<Session>,
        wish: Subscribe,
        group: &link::Group,
    ) -> Result<Called<Answer>, Refused> {
        let Subscribe { id, filter, from, no_local, qos, exclusive, .. } = wish;
        let verdict = self.access.may_filter(&session.principal(), Action::Subscribe, &filter);
        if verdict == Verdict::Denied {
            return Err(Refused::NotAllowed { action: Action::Subscribe, name: filter.as_str().into() });
        }
        if exclusive {
            // What is shared, nobody has for themselves.
            return Err(Refused::Taken(filter));
        }
        let mut subscription = Box::new(Subscription::new(id, filter.clone(), None));
        subscription.checked = verdict == Verdict::Checked;
        subscription.no_local = no_local;
        subscription.qos = qos;
        let heads = self.heads(&filter);
        let positions: Vec<Position> = heads.iter().map(|(_, head)| *head).collect();
        let subscribed = Answer::Subscribed { id, heads: positions, missed: Missed::NONE };
        if !self.stay(session, &subscription, group) {
            self.unlist(session, id);
            let key = (group.name.clone(), filter.clone());
            let mut locating = None;
            {
                let mut roll = self.groups.roll.lock();
                let found = match roll.get(&key) {
                    Some(found) => found.clone(),
                    None => {
                        locating = self.locate(&filter, &from)?;
                        let mut own = Box::new(Subscription::new(0, filter.clone(), None));
                        self.place_feeds(&mut own, &heads, &from, false)?;
                        for feed in &mut own.feeds {
                            // One look into the journal, for what came since its head was asked for.
                            let behind = if locating.is_some() { Pace::Locating } else { Pace::Behind };
                            if feed.pace == Pace::Live || locating.is_some() {
                                feed.pace = behind(feed.sent.offset);
                            }
                        }
                        let found = self.found(&key, group.deal, own);
                        roll.insert(key.clone(), found.clone());
                        found
                    }
                };
                let entered = found.enter(session, subscription, group, self.limits.subscriptions_max);
                let empty = found.lock().members.is_empty();
                if empty {
                    roll.remove(&key);
                    self.dissolve(&found);
                }
                entered?;
                found.look_at(session, id);
            }
            if let Some((topic, range, page)) = locating {
                return Ok(self.begin_group(subscribed, key, topic, range, page));
            }
        }
        self.attendance.touch(session);
        self.saver.wake();
        session.wake();
        Ok(Called::Done(subscribed))
    }

    /// Reads where a new group begins.
    fn begin_group(
        self: &Arc<Self>,
        subscribed: Answer,
        key: GroupKey,
        topic: crate::topic::Topic,
        range: crate::store::Range,
        page: crate::store::PageSize,
    ) -> Called<Answer> {
        let hub = self.clone();
        Called::Later(Box::pin(async move {
            let first = match hub.page_of(&topic, range, page).await {
                Ok(page) => page.records.first().and_then(|r| r.position),
                Err(refused) => {
                    // It begins with what is new, so that no member waits for nothing.
                    tracing::warn!(%refused, "the beginning of a group could not be read");
                    None
                }
            };
            let group = hub.groups.roll.lock().get(&key).cloned();
            if let Some(group) = group {
                if let Some(first) = first {
                    group.lock().places.begin(first.before());
                }
                group.session.begin_at(group.slot, group.life, first);
                group.ring();
            }
            hub.saver.wake();
            subscribed
        }))
    }

    /// Renews a membership that is there already: it keeps what was dealt to it.
    fn stay(&self, session: &Arc<Session>, wish: &Subscription, group: &link::Group) -> bool {
        let found = {
            let mut state = session.lock();
            let Some(slot) = state.outbox.slot_of(wish.id) else { return false };
            let Some(Some(subscription)) = state.outbox.subscriptions.get_mut(slot as usize) else {
                return false;
            };
            if subscription.filter != wish.filter {
                return false;
            }
            let Some(share) = subscription.share.as_deref_mut().filter(|s| s.name == group.name) else {
                return false;
            };
            share.window = group.window.max(1);
            let found = share.group.upgrade();
            subscription.checked = wish.checked;
            subscription.no_local = wish.no_local;
            subscription.qos = wish.qos;
            found
        };
        let Some(found) = found else { return false };
        let key = (session.id, wish.id);
        let mut inside = found.lock();
        if let Some(member) = inside.members.get_mut(&key) {
            member.window = group.window.max(1) as usize;
        }
        inside.seat(key);
        drop(inside);
        found.ring();
        true
    }

    /// A new group over a filter, heard from now on. Called with the roll held.
    fn found(&self, key: &GroupKey, deal: link::Deal, mut own: Box<Subscription>) -> Arc<Group> {
        let group = Group::new(self.clock.now(), &self.groups.bells, key.clone(), deal);
        {
            let mut inside = group.lock();
            let mut state = group.session.lock();
            state.outbox.patient = true;
            state.outbox.asleep = true;
            for feed in &mut own.feeds {
                inside.places.begin(feed.sent);
                if feed.lag == Lag::Close {
                    // There is no connection to close, and the journal has it.
                    feed.lag = Lag::CatchUp;
                }
            }
            state.outbox.add(own, group.life);
        }
        self.groups.some.store(true, SeqCst);
        self.groups.by_session.lock().insert(group.session.id, Arc::downgrade(&group));
        self.directory.insert(&group.filter, group.slot, &group.session);
        group
    }

    /// A group whose last member is gone. Called with the roll held.
    fn dissolve(&self, group: &Group) {
        self.directory.remove(&group.filter, (group.session.id, group.slot));
        self.groups.by_session.lock().remove(&group.session.id);
        self.groups.changed.lock().insert((group.name.clone(), group.filter.clone()));
        self.saver.wake();
    }

    /// A subscription is no member any more: what it had goes to the others.
    pub(crate) fn leave_group(&self, session: SessionId, subscription: &mut Subscription) {
        let key = (session, subscription.id);
        let Some(share) = &mut subscription.share else { return };
        if let Some(group) = share.group.upgrade() {
            self.remove_member(&group, key, subscription.life, share.give_up());
        }
    }

    fn remove_member(
        &self,
        group: &Arc<Group>,
        key: MemberKey,
        life: u32,
        (back, bound): (Vec<Dealt>, Vec<Dealt>),
    ) {
        let mut roll = self.groups.roll.lock();
        let mut inside = group.lock();
        for dealt in bound {
            inside.finish(&dealt.record);
        }
        inside.take_back(back);
        // Another subscription of the same number may be the member by now.
        if inside.members.get(&key).is_some_and(|member| member.life == life) {
            inside.set_live(key, false);
            let owed = inside.members.swap_remove(&key).map(|member| member.owed).unwrap_or_default();
            for dealt in owed {
                inside.finish(&dealt.record);
            }
            inside.places.abandon(key);
        }
        group.mind(&inside);
        let empty = inside.members.is_empty();
        drop(inside);
        let listed = (group.name.clone(), group.filter.clone());
        if empty {
            if roll.get(&listed).is_some_and(|other| Arc::ptr_eq(other, group)) {
                roll.remove(&listed);
                self.dissolve(group);
            }
        } else {
            self.groups.changed.lock().insert(listed);
            self.saver.wake();
            group.ring();
        }
    }

    /// A session ended: it is in no group any more.
    pub(crate) fn leave_groups(&self, session: &Arc<Session>) {
        for (id, _) in self.groups.of(session) {
            let left = {
                let mut state = session.lock();
                let slot = state.outbox.slot_of(id);
                slot.and_then(|slot| state.outbox.remove(slot))
            };
            if let Some(mut subscription) = left {
                self.leave_group(session.id, &mut subscription);
            }
        }
    }

    /// A session fell asleep or woke up.
    pub(crate) fn look_at_groups(&self, session: &Arc<Session>) {
        for (id, group) in self.groups.of(session) {
            group.look_at(session, id);
        }
    }

    /// A saved session comes back never: its memberships end.
    pub(crate) fn forget_member(&self, session: SessionId) {
        self.forget_absent(|id| id == session);
    }

    /// Ends the memberships of saved sessions that `gone` names and that are not here.
    pub(crate) fn forget_absent(&self, gone: impl Fn(SessionId) -> bool) {
        for group in self.groups.all() {
            let absent: Vec<MemberKey> = {
                let inside = group.lock();
                let absent = inside.members.iter().filter(|(key, m)| m.session.is_none() && gone(key.0));
                absent.map(|(key, _)| *key).collect()
            };
            for key in absent {
                self.remove_member(&group, key, 0, (Vec::new(), Vec::new()));
            }
        }
    }

    /// A saved session's membership goes on.
    pub(crate) fn rejoin(&self, session: &Arc<Session>, entry: &SavedSubscription, group: &link::Group) {
        let mut subscription = Box::new(Subscription::new(entry.id, entry.filter.clone(), None));
        subscription.no_local = entry.no_local;
        subscription.qos = entry.qos;
        subscription.checked = true;
        subscription.number = entry.number;
        let key = (group.name.clone(), entry.filter.clone());
        let mut roll = self.groups.roll.lock();
        let found = roll.entry(key.clone()).or_insert_with(|| {
            // It was not saved: it begins now.
            self.found(&key, group.deal, own_subscription(self, &entry.filter, &[]))
        });
        // It fits: it did when it was saved.
        drop(found.enter(session, subscription, group, usize::MAX));
    }

    /// Members of the group whose own session this is.
    pub(crate) fn members_of(&self, session: SessionId) -> Option<Vec<(Arc<Session>, u32)>> {
        let group = self.groups.of_session(session)?;
        let inside = group.lock();
        Some(inside.members.values().filter_map(|m| Some((m.session.clone()?, m.slot))).collect())
    }
}

impl Group {
    /// Takes a member in. Called with the roll held.
    fn enter(
        self: &Arc<Self>,
        session: &Arc<Session>,
        mut subscription: Box<Subscription>,
        wish: &link::Group,
        subscriptions_max: usize,
    ) -> Result<(), Refused> {
        let id = subscription.id;
        let key = (session.id, id);
        let mut inside = self.lock();
        let (slot, life, live) = {
            let mut state = session.lock();
            if state.ended {
                return Err(Refused::NoSession);
            }
            if state.outbox.len() >= subscriptions_max {
                return Err(Refused::TooManySubscriptions(subscriptions_max));
            }
            let live = state.connection.is_some();
            subscription.share = Some(Box::new(Share::new(self, wish, live)));
            // Its own deliveries from before the server stopped keep their numbers.
            subscription.number = subscription.number.max(inside.places.number_of(key));
            state.lives += 1;
            let life = state.lives;
            (state.outbox.add(subscription, life), life, live)
        };
        let before = inside.members.swap_remove(&key);
        let owed = before.map(|member| member.owed).unwrap_or_default();
        let member = Member {
            session: Some(session.clone()),
            slot,
            life,
            window: wish.window.max(1) as usize,
            live,
            full: false,
            in_ring: false,
            // Its own since before the server stopped, read again by now or not.
            inflight: inside.places.count_of(key),
            owed,
        };
        inside.members.insert(key, member);
        inside.set_live(key, live);
        inside.seat(key);
        self.mind(&inside);
        drop(inside);
        self.ring();
        Ok(())
    }

    /// A member that was saved and did not come back yet.
    pub(super) fn expect_member(&self, key: MemberKey) {
        let member = Member {
            session: None,
            slot: 0,
            life: 0,
            window: 0,
            live: false,
            full: false,
            in_ring: false,
            inflight: 0,
            owed: Vec::new(),
        };
        self.lock().members.insert(key, member);
    }
}

/// The own subscription of a group that was saved: it reads on from where all is finished.
pub(super) fn own_subscription(hub: &Inner, filter: &Filter, lows: &[Position]) -> Box<Subscription> {
    let mut own = Box::new(Subscription::new(0, filter.clone(), None));
    for (space, head) in hub.heads(filter) {
        let low = lows.iter().find(|low| low.same_lane(&head) && low.offset <= head.offset);
        let sent = low.copied().unwrap_or(head);
        let lag = hub.spaces[space as usize].space.lag;
        own.feeds.push(Feed { space, sent, acked: sent, pace: Pace::Behind(head.offset), lag });
    }
    own
}

impl Inner {
    /// Makes a group that was saved. Its members come back one by one, or never.
    pub(super) fn restore_group(&self, key: &GroupKey, deal: link::Deal, row: Row) {
        let heads = self.heads(&key.1);
        // Only lanes that are still there, in the same life.
        let there = |lane: &Lane| {
            let is_in = |head: &Position| head.same_lane(&lane.taken) && lane.taken.offset <= head.offset;
            heads.iter().any(|(_, head)| is_in(head))
        };
        let lanes: Vec<Lane> = row.places.0.into_iter().filter(there).collect();
        let lows: Vec<Position> = lanes.iter().map(Lane::low).collect();
        let own = own_subscription(self, &key.1, &lows);
        let mut roll = self.groups.roll.lock();
        if roll.contains_key(key) {
            return;
        }
        let group = self.found(key, deal, own);
        {
            let mut inside = group.lock();
            for lane in lanes {
                inside.places.restore(lane);
            }
            inside.places.abandon_where(|owner| !row.members.contains(&owner));
        }
        for member in row.members {
            group.expect_member(member);
        }
        roll.insert(key.clone(), group);
    }
}
