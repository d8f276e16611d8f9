//! Looking in from outside: what operators ask of a running hub.

use std::sync::Arc;

use yizhan_talk::{Close, Timestamp};

use crate::{
    access::Principal,
    hub::{Hub, Inner},
    link::{Deal, Refused, SubscriptionId},
    message::{Qos, SessionId},
    space::Space,
    store::{JournalFigures, TopicSummary},
    topic::{Filter, Topic},
};

/// One session, as operators see it.
#[derive(Debug, Clone)]
pub struct SessionView {
    /// Its number.
    pub id: SessionId,
    /// Whose it is.
    pub user: Arc<str>,
    /// On which device.
    pub device: Option<Arc<str>>,
    /// Its name among its user's sessions, where the client chose one: `mqtt:sensor-7`.
    pub name: Option<Arc<str>>,
    /// How long it outlives its connection.
    pub keep: std::time::Duration,
    /// Numbers of its door, by name: packets under way and so on.
    pub figures: Vec<(&'static str, u64)>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Its connection; `None` while it is asleep.
    pub connection: Option<ConnectionView>,
    /// How many subscriptions it has.
    pub subscriptions: usize,
    /// Records that wait in its outbox.
    pub waiting: usize,
    /// Records delivered to it so far.
    pub delivered: u64,
    /// Records that it lost by its spaces' lag policies.
    pub missed: u64,
}

/// A session's live connection.
#[derive(Debug, Clone)]
pub struct ConnectionView {
    /// By which door.
    pub door: &'static str,
    /// From which address.
    pub address: std::net::IpAddr,
    /// Whether it is encrypted.
    pub secure: bool,
    /// Since when.
    pub since: Timestamp,
}

/// One subscription, as operators see it.
#[derive(Debug, Clone)]
pub struct SubscriptionView {
    /// Of which session.
    pub session: SessionId,
    /// Whose.
    pub user: Arc<str>,
    /// Its number.
    pub id: SubscriptionId,
    /// What it listens to.
    pub filter: Filter,
    /// How surely records are wanted, at most.
    pub qos: Qos,
    /// Records delivered so far.
    pub delivered: u64,
    /// Whether it reads from the journal at the moment, because it fell behind or came back.
    pub behind: bool,
    /// The group that it shares its filter's records with.
    pub group: Option<Arc<str>>,
}

/// One group of subscriptions that share a filter's records, as operators see it.
#[derive(Debug, Clone)]
pub struct GroupView {
    /// Its name.
    pub name: Arc<str>,
    /// What its members listen to.
    pub filter: Filter,
    /// Who gets the next record.
    pub deal: Deal,
    /// Members, sleeping ones included.
    pub members: usize,
    /// Members that somebody is there for.
    pub live: usize,
    /// Records that wait for a member with room, as far as they are in memory.
    pub waiting: usize,
    /// Records that were dealt and are not acked.
    pub unacked: usize,
    /// Records that nobody got, by their spaces' lag policies.
    pub missed: u64,
    /// Whether it reads from a journal at the moment.
    pub behind: bool,
}

/// A topic that is kept, or that somebody listens to.
#[derive(Debug, Clone)]
pub struct TopicView {
    /// Its name.
    pub topic: Topic,
    /// Subscriptions to just this topic.
    pub listeners: usize,
    /// What is kept of it.
    pub kept: Option<TopicSummary>,
    /// The space it lies in.
    pub space: Option<String>,
}

/// A space and what its journal holds.
#[derive(Debug, Clone)]
pub struct SpaceView {
    /// The space.
    pub space: Space,
    /// `None` where it keeps nothing.
    pub figures: Option<JournalFigures>,
}

impl Hub {
    /// Sessions with numbers after `after`, in the order of numbers, of one user or of all.
    #[must_use]
    pub fn sessions(&self, user: Option<&str>, after: Option<SessionId>, most: usize) -> Vec<SessionView> {
        let mut found: Vec<_> = self
            .inner
            .sessions
            .all()
            .into_iter()
            .filter(|s| after.is_none_or(|after| s.id > after))
            .filter(|s| user.is_none_or(|user| *s.principal().user == *user))
            .collect();
        found.sort_unstable_by_key(|s| s.id);
        found.truncate(most);
        found.iter().map(|s| s.view()).collect()
    }

    /// One session.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<SessionView> {
        self.inner.sessions.find(id).map(|session| session.view())
    }

    /// Ends a session's connection, as if the line was lost: it sleeps as long as it is kept. Nothing happens to
    /// one that sleeps already.
    ///
    /// # Errors
    /// [`Refused::NoSession`].
    pub fn disconnect(&self, id: SessionId, close: Close) -> Result<(), Refused> {
        let session = self.inner.sessions.find(id).ok_or(Refused::NoSession)?;
        if session.view().connection.is_some() {
            Inner::close_link(&session, close);
        }
        Ok(())
    }

    /// Ends a session: its connection is closed with `close`, its last message published.
    ///
    /// # Errors
    /// [`Refused::NoSession`].
    pub fn kick(&self, id: SessionId, close: Close) -> Result<(), Refused> {
        let session = self.inner.sessions.find(id).ok_or(Refused::NoSession)?;
        self.inner.end_session(&session, Some(close));
        Ok(())
    }

    /// Ends all sessions of a user; how many there were.
    pub fn kick_user(&self, user: &str, close: &Close) -> usize {
        self.kick_where(|who| *who.user == *user, close)
    }

    /// Ends all sessions of those whom `which` names: whose token was revoked, for instance. How many
    /// there were.
    pub fn kick_where(&self, which: impl Fn(&Principal) -> bool, close: &Close) -> usize {
        let all = self.inner.sessions.all();
        let named: Vec<_> = all.into_iter().filter(|session| which(&session.principal())).collect();
        for session in &named {
            self.inner.end_session(session, Some(close.clone()));
        }
        named.len()
    }

    /// Topics that `filter` matches, kept, with a state, or listened to, in the order of names, after `after`.
    #[must_use]
    pub fn topics(&self, filter: &Filter, after: Option<&Topic>, most: usize) -> Vec<TopicView> {
        let mut views: std::collections::BTreeMap<Topic, TopicView> = std::collections::BTreeMap::new();
        let view = |topic: &Topic| TopicView {
            topic: topic.clone(),
            listeners: 0,
            kept: None,
            space: self.inner.finder.find(topic).map(|i| self.inner.spaces[i].space.name.clone()),
        };
        for i in self.inner.finder.overlapping(filter) {
            let Some(journal) = &self.inner.spaces[i].journal else { continue };
            for summary in journal.topics(filter, after, most) {
                let topic = summary.topic.clone();
                views.entry(topic).or_insert_with_key(view).kept = Some(summary);
            }
        }
        for topic in self.inner.state.lock().topics(filter, after).take(most) {
            views.entry(topic.clone()).or_insert_with_key(view);
        }
        for (topic, listeners) in self.inner.directory.topics(filter) {
            if after.is_none_or(|after| topic > *after) {
                views.entry(topic).or_insert_with_key(view).listeners = listeners;
            }
        }
        views.into_values().take(most).collect()
    }

    /// Subscriptions that hear `topic`.
    #[must_use]
    pub fn subscriptions_to(&self, topic: &Topic, most: usize) -> Vec<SubscriptionView> {
        let mut found = Vec::new();
        self.inner.directory.each(topic, |session, slot| {
            if found.len() < most {
                found.push((session.clone(), slot));
            }
        });
        let found = found.into_iter().flat_map(|(session, slot)| {
            let members = self.inner.members_of(session.id);
            members.unwrap_or_else(|| vec![(session, slot)])
        });
        found.filter_map(|(session, slot)| session.subscription_view(slot)).take(most).collect()
    }

    /// The groups that share filters, in the order of names.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupView> {
        let mut views: Vec<_> = self.inner.groups.all().iter().map(|group| group.view()).collect();
        views.sort_unstable_by(|a, b| (&a.name, &a.filter).cmp(&(&b.name, &b.filter)));
        views
    }

    /// Subscriptions of one session.
    ///
    /// # Errors
    /// [`Refused::NoSession`].
    pub fn subscriptions_of(&self, id: SessionId) -> Result<Vec<SubscriptionView>, Refused> {
        Ok(self.inner.sessions.find(id).ok_or(Refused::NoSession)?.subscription_views())
    }

    /// The spaces, in the config's order, the server's own ones last.
    #[must_use]
    pub fn spaces(&self) -> Vec<SpaceView> {
        let spaces = self.inner.spaces.iter();
        spaces
            .map(|s| SpaceView { space: s.space.clone(), figures: s.journal.as_ref().map(|j| j.figures()) })
            .collect()
    }

    /// How many sessions, connections and subscriptions there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            sessions: self.inner.sessions.len(),
            connections: u64::try_from(self.inner.meters.links.value()).unwrap_or(0),
            subscriptions: self.inner.directory.len(),
            listened: self.inner.directory.exact_topics(),
        }
    }
}

/// How much is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Sessions, sleeping ones included.
    pub sessions: usize,
    /// Sessions with a connection.
    pub connections: u64,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Topics that somebody listens to by name.
    pub listened: usize,
}
