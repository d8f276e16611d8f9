//! From a filter to feeds; and reading without subscribing.

use std::sync::Arc;

use yizhan_talk::Called;

use crate::{
    access::{Action, Verdict},
    hub::{Inner, refuse},
    link::{Acked, Answer, Present, Refused, Start, Subscribe, SubscriptionId},
    message::Position,
    publish::STATE_PAGE_MAX,
    session::Session,
    store::{Missed, Page, PageSize, Range},
    subscription::{Feed, Pace, Subscription},
    topic::{Filter, Topic},
};

impl Inner {
    pub(crate) fn subscribe(self: &Arc<Self>, session: &Arc<Session>, wish: Subscribe) -> Called<Answer> {
        match self.begin_subscription(session, wish) {
            Ok(called) => called,
            Err(refused) => refuse(refused),
        }
    }

    fn begin_subscription(
        self: &Arc<Self>,
        session: &Arc<Session>,
        wish: Subscribe,
    ) -> Result<Called<Answer>, Refused> {
        if let Some(answer) = self.renew(session, &wish)? {
            return Ok(Called::Done(answer));
        }
        if let Some(group) = wish.group.clone() {
            return self.join(session, wish, &group);
        }
        let Subscribe { id, filter, from, with_state, window, no_local, qos, group: _, exclusive } = wish;
        let verdict = self.access.may_filter(&session.principal(), Action::Subscribe, &filter);
        if verdict == Verdict::Denied {
            return Err(Refused::NotAllowed { action: Action::Subscribe, name: filter.as_str().into() });
        }
        let mut subscription = Box::new(Subscription::new(id, filter.clone(), window));
        subscription.checked = verdict == Verdict::Checked;
        subscription.no_local = no_local;
        subscription.qos = qos;
        subscription.exclusive = exclusive;
        let heads = self.heads(&filter);
        let missed = self.place_feeds(&mut subscription, &heads, &from, with_state)?;
        let locate = self.locate(&filter, &from)?;
        if locate.is_some() {
            for feed in &mut subscription.feeds {
                feed.pace = Pace::Locating(feed.sent.offset);
            }
        }
        let (slot, life) = self.register(session, subscription, &filter, with_state)?;
        self.attendance.touch(session);
        self.saver.wake();
        let heads: Vec<Position> = heads.into_iter().map(|(_, head)| head).collect();
        let Some((topic, range, page)) = locate else {
            session.wake();
            return Ok(Called::Done(Answer::Subscribed { id, heads, missed }));
        };
        let (hub, session) = (self.clone(), session.clone());
        Ok(Called::Later(Box::pin(async move {
            let first = match hub.page_of(&topic, range, page).await {
                Ok(found) => found,
                Err(refused) => {
                    hub.drop_subscription(&session, id, life);
                    return Answer::Refused(refused);
                }
            };
            let missed = gap(&range, &first);
            session.begin_at(slot, life, first.records.first().and_then(|r| r.position));
            Answer::Subscribed { id, heads, missed }
        })))
    }

    /// Replaces what a subscription wants, where it goes on as it stands ([`Start::Keep`]).
    fn renew(&self, session: &Arc<Session>, wish: &Subscribe) -> Result<Option<Answer>, Refused> {
        if !matches!(wish.from, Start::Keep) || wish.exclusive || wish.group.is_some() {
            return Ok(None);
        }
        let verdict = self.access.may_filter(&session.principal(), Action::Subscribe, &wish.filter);
        let mut state = session.lock();
        let Some(slot) = state.outbox.slot_of(wish.id) else { return Ok(None) };
        let Some(Some(subscription)) = state.outbox.subscriptions.get_mut(slot as usize) else {
            return Ok(None);
        };
        let other = subscription.exclusive || subscription.share.is_some();
        if subscription.filter != wish.filter || other || verdict == Verdict::Denied {
            return Ok(None);
        }
        subscription.checked = verdict == Verdict::Checked;
        subscription.no_local = wish.no_local;
        subscription.qos = wish.qos;
        drop(state);
        self.attendance.touch(session);
        self.saver.wake();
        Ok(Some(Answer::Subscribed { id: wish.id, heads: Vec::new(), missed: Missed::NONE }))
    }

    /// The newest place of each kept space and lane that the filter overlaps, with its space's index.
    pub(crate) fn heads(&self, filter: &Filter) -> Vec<(u16, Position)> {
        let spaces: Vec<usize> = match filter.as_topic() {
            Some(topic) => self.finder.find(&topic).into_iter().collect(),
            None => self.finder.overlapping(filter).collect(),
        };
        let journals = spaces.into_iter().filter_map(|i| Some((i, self.spaces[i].journal.as_ref()?)));
        journals
            .flat_map(|(i, journal)| {
                journal.heads().into_iter().map(move |head| (u16::try_from(i).unwrap_or(u16::MAX), head))
            })
            .collect()
    }

    /// Makes a feed for each lane, beginning where the client said.
    pub(crate) fn place_feeds(
        &self,
        subscription: &mut Subscription,
        heads: &[(u16, Position)],
        from: &Start,
        with_state: bool,
    ) -> Result<Missed, Refused> {
        let mut missed = Missed::NONE;
        let known: &[Position] = if let Start::Positions(known) = from { known } else { &[] };
        for &(space, head) in heads {
            let lag = self.spaces[space as usize].space.lag;
            // Nothing is heard before it is listed: until then it is behind, even if only in name.
            let pace = Pace::Behind(head.offset);
            let mut feed = Feed { space, sent: head, acked: head, pace, lag };
            if let Some(place) = known.iter().find(|p| (p.space, p.lane) == (head.space, head.lane)) {
                if place.epoch != head.epoch {
                    // The data was thrown away or restored since: begin with the oldest there is.
                    missed = Missed::Unknown;
                    feed.sent.offset = 0;
                } else if place.offset > head.offset {
                    return Err(Refused::BadPosition);
                } else {
                    feed.sent.offset = place.offset;
                }
                feed.acked = feed.sent;
            }
            subscription.feeds.push(feed);
        }
        let ours =
            |p: &Position| self.spaces.iter().any(|s| s.journal.as_ref().is_some_and(|j| j.id() == p.space));
        if !known.iter().all(ours) {
            return Err(Refused::BadPosition);
        }
        subscription.wants_state = with_state && !heads.is_empty();
        Ok(missed)
    }

    /// What must be read to know where a subscription begins.
    pub(crate) fn locate(
        &self,
        filter: &Filter,
        from: &Start,
    ) -> Result<Option<(Topic, Range, PageSize)>, Refused> {
        let one = || filter.as_topic().ok_or(Refused::NotOneTopic);
        let kept = |topic: &Topic| self.finder.find(topic).is_some_and(|i| self.spaces[i].journal.is_some());
        let page = |records_max| PageSize { records_max, bytes_max: usize::MAX };
        match from {
            Start::Now | Start::Keep | Start::Positions(_) => Ok(None),
            Start::Seq(seq) => {
                let topic = one()?;
                if !kept(&topic) {
                    return Err(Refused::NotKept(topic.as_str().into()));
                }
                Ok(Some((topic, Range::After(*seq), page(1))))
            }
            Start::Last(most) => {
                let topic = one()?;
                // A space that keeps nothing has no newest ones to give: the subscription begins now.
                Ok((kept(&topic) && *most > 0).then_some((topic, Range::Newest, page(*most as usize))))
            }
        }
    }

    /// Puts a subscription into the session and the directory.
    fn register(
        &self,
        session: &Arc<Session>,
        subscription: Box<Subscription>,
        filter: &Filter,
        with_state: bool,
    ) -> Result<(u32, u32), Refused> {
        let id = subscription.id;
        self.unlist(session, id);
        // With this held no keyed record of an unkept space goes by between the state and the live ones.
        let unkept = with_state.then(|| self.state.lock());
        let (reads_journals, has_feeds) = (subscription.wants_state, !subscription.feeds.is_empty());
        let (slot, life) = {
            let mut state = session.lock();
            if state.ended {
                return Err(Refused::NoSession);
            }
            if state.outbox.len() >= self.limits.subscriptions_max {
                return Err(Refused::TooManySubscriptions(self.limits.subscriptions_max));
            }
            if subscription.exclusive {
                let mut exclusive = self.exclusive.lock();
                if exclusive.get(filter).is_some_and(|(holder, _)| *holder != session.id) {
                    return Err(Refused::Taken(filter.clone()));
                }
                exclusive.insert(filter.clone(), (session.id, id));
            }
            state.lives += 1;
            let life = state.lives;
            (state.outbox.add(subscription, life), life)
        };
        if let Some(unkept) = &unkept {
            let mut records = unkept.read(filter, self.clock.now().wall, STATE_PAGE_MAX);
            let mut state = session.lock();
            if let Some(subscription) = state.outbox.living(slot, life) {
                records.retain(|r| session.wants(&*self.access, subscription, r));
            }
            state.outbox.push_state(slot, life, records, !reads_journals);
        }
        self.directory.insert(filter, slot, session);
        drop(unkept);
        if has_feeds {
            self.go_live(session, slot, life, filter);
        }
        if session.lock().ended {
            // It ended between the two steps: what was just listed is taken out again.
            self.directory.remove(filter, (session.id, slot));
            return Err(Refused::NoSession);
        }
        Ok((slot, life))
    }

    /// A subscription was listed: where nothing was committed since its place was taken, it hears the tail from
    /// there. Elsewhere it reads the journal first.
    fn go_live(&self, session: &Session, slot: u32, life: u32, filter: &Filter) {
        let heads = self.heads(filter);
        let mut state = session.lock();
        let Some(subscription) = state.outbox.living(slot, life).filter(|s| !s.wants_state) else { return };
        for feed in &mut subscription.feeds {
            let at_head = heads.iter().any(|(_, head)| *head == feed.sent);
            let nothing_newer = matches!(feed.pace, Pace::Behind(newest) if newest <= feed.sent.offset);
            if at_head && nothing_newer {
                feed.pace = Pace::Live;
            }
        }
    }

    /// Takes a subscription out of the session and the directory, where it is there.
    pub(crate) fn unlist(&self, session: &Session, id: SubscriptionId) -> bool {
        let (slot, mut subscription) = {
            let mut state = session.lock();
            let Some(slot) = state.outbox.slot_of(id) else { return false };
            let Some(subscription) = state.outbox.remove(slot) else { return false };
            if subscription.exclusive {
                self.exclusive.lock().remove(&subscription.filter);
            }
            (slot, subscription)
        };
        if subscription.share.is_some() {
            self.leave_group(session.id, &mut subscription);
        } else {
            self.directory.remove(&subscription.filter, (session.id, slot));
        }
        true
    }

    fn drop_subscription(&self, session: &Session, id: SubscriptionId, life: u32) {
        let same = {
            let mut state = session.lock();
            state.outbox.slot_of(id).is_some_and(|slot| state.outbox.living(slot, life).is_some())
        };
        if same {
            self.unlist(session, id);
        }
    }

    pub(crate) fn unsubscribe(&self, session: &Arc<Session>, id: SubscriptionId) -> Result<Answer, Refused> {
        if !self.unlist(session, id) {
            return Err(Refused::NoSubscription);
        }
        self.attendance.touch(session);
        self.saver.wake();
        Ok(Answer::Done)
    }

    pub(crate) fn ack(
        &self,
        session: &Arc<Session>,
        id: SubscriptionId,
        acked: Acked,
    ) -> Result<Answer, Refused> {
        let mut state = session.lock();
        let slot = state.outbox.slot_of(id).ok_or(Refused::NoSubscription)?;
        if let Some(Some(subscription)) = state.outbox.subscriptions.get_mut(slot as usize)
            && let Some(share) = &mut subscription.share
        {
            let (group, dealt) = (share.group.upgrade(), share.take_acked(acked));
            drop(state);
            match group {
                Some(group) if dealt.is_empty() => group.finish_unread((session.id, id), acked),
                Some(group) => group.finish((session.id, id), dealt),
                None => {}
            }
            self.attendance.touch_soon(session);
            return Ok(Answer::Done);
        }
        state.outbox.ack(slot, acked);
        let waker = if state.outbox.is_idle() { None } else { state.outbox.take_waker() };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.attendance.touch_soon(session);
        Ok(Answer::Done)
    }

    pub(crate) fn history(
        self: &Arc<Self>,
        session: &Arc<Session>,
        topic: Topic,
        range: Range,
        page: PageSize,
    ) -> Called<Answer> {
        if !self.access.may(&session.principal(), Action::Subscribe, &topic) {
            let name = topic.as_str().into();
            return refuse(Refused::NotAllowed { action: Action::Subscribe, name });
        }
        let hub = self.clone();
        Called::Later(Box::pin(async move {
            match hub.page_of(&topic, range, page).await {
                Ok(mut page) => {
                    let now = hub.clock.now().wall;
                    page.records.retain(|r| !r.is_expired(now));
                    Answer::History(page)
                }
                Err(refused) => Answer::Refused(refused),
            }
        }))
    }

    pub(crate) async fn page_of(&self, topic: &Topic, range: Range, page: PageSize) -> Result<Page, Refused> {
        let space = self.finder.find(topic).ok_or_else(|| Refused::NoSpace(topic.clone()))?;
        let journal = self.spaces[space].journal.as_ref();
        let journal = journal.ok_or_else(|| Refused::NotKept(topic.as_str().into()))?;
        Ok(journal.history(topic, range, page).await?)
    }

    pub(crate) fn read_state(
        self: &Arc<Self>,
        session: &Arc<Session>,
        filter: Filter,
        records_max: usize,
    ) -> Called<Answer> {
        let verdict = self.access.may_filter(&session.principal(), Action::Subscribe, &filter);
        if verdict == Verdict::Denied {
            return refuse(Refused::NotAllowed { action: Action::Subscribe, name: filter.as_str().into() });
        }
        let records_max = records_max.min(STATE_PAGE_MAX);
        let (hub, session) = (self.clone(), session.clone());
        Called::Later(Box::pin(async move {
            let now = hub.clock.now().wall;
            let mut records = hub.state.lock().read(&filter, now, records_max);
            for i in hub.finder.overlapping(&filter) {
                let Some(journal) = &hub.spaces[i].journal else { continue };
                match journal.state(&filter, records_max - records.len().min(records_max)).await {
                    Ok(mut more) => records.append(&mut more),
                    Err(error) => return Answer::Refused(Refused::Store(error)),
                }
            }
            let may = |r: &crate::message::Record| {
                hub.access.may(&session.principal(), Action::Subscribe, &r.message.topic)
            };
            records.retain(|r| !r.is_expired(now) && (verdict == Verdict::Allowed || may(r)));
            Answer::State(records)
        }))
    }

    pub(crate) fn presence_of_topic(&self, session: &Session, topic: &Topic) -> Result<Answer, Refused> {
        if !self.access.may(&session.principal(), Action::Presence, topic) {
            return Err(Refused::NotAllowed { action: Action::Presence, name: topic.as_str().into() });
        }
        let mut listening = Vec::new();
        self.directory.each(topic, |session, _| {
            if listening.len() < STATE_PAGE_MAX {
                listening.push(session.clone());
            }
        });
        let mut listening: Vec<Arc<Session>> = listening
            .into_iter()
            .flat_map(|session| match self.members_of(session.id) {
                Some(members) => members.into_iter().map(|(member, _)| member).collect(),
                None => vec![session],
            })
            .collect();
        listening.sort_unstable_by_key(|s| s.id);
        listening.dedup_by_key(|s| s.id);
        Ok(Answer::Present(present(&listening)))
    }

    pub(crate) fn presence_of_user(&self, session: &Session, user: &Arc<str>) -> Result<Answer, Refused> {
        // A user may always see their own; others' as the rules for the presence topic say.
        if **user != *session.principal().user {
            let topic = Topic::new(&format!("$presence/user/{user}"))?;
            if !self.access.may(&session.principal(), Action::Presence, &topic) {
                return Err(Refused::NotAllowed { action: Action::Presence, name: user.clone() });
            }
        }
        Ok(Answer::Present(present(&self.sessions.of_user(user))))
    }
}

impl Session {
    /// A subscription's beginning was found: after the record before `first`, or at the head where there
    /// is none.
    pub(crate) fn begin_at(&self, slot: u32, life: u32, first: Option<Position>) {
        let mut state = self.lock();
        let Some(subscription) = state.outbox.living(slot, life) else { return };
        for feed in &mut subscription.feeds {
            let Pace::Locating(newest) = feed.pace else { continue };
            if let Some(first) = first.filter(|p| p.same_lane(&feed.sent)) {
                feed.sent = first.before();
                feed.acked = feed.sent;
            }
            feed.pace = Pace::Behind(newest);
        }
        state.outbox.behind = true;
        let waker = state.outbox.take_waker();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What retention took between the asked-for number and the first record there is.
fn gap(range: &Range, first: &Page) -> Missed {
    match (range, first.records.first()) {
        (Range::After(seq), Some(record)) => Missed::Count(record.seq.saturating_sub(seq + 1)),
        (Range::After(_), None) => first.missed,
        _ => Missed::NONE,
    }
}

fn present(sessions: &[Arc<Session>]) -> Vec<Present> {
    let mut present: Vec<Present> = sessions
        .iter()
        .filter_map(|s| {
            let (peer, since) = s.lock().connection?;
            let (user, device) = (s.principal().user.clone(), s.principal().device.clone());
            Some(Present { user, device, session: s.id, door: peer.door, since })
        })
        .collect();
    present.sort_by_key(|p| p.since);
    present
}
