//! Services: cores beside the hub that own topics. What is published or asked there is theirs to decide, and
//! they say who may hear it; keeping and giving out stay the hub's.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use yizhan_talk::{Called, Now};

use crate::{
    access::{Access, Action, Credentials, Exchange, Peer, Principal, Verdict},
    hub::{Hub, Inner, refuse},
    link::{Answer, Publish, Refused},
    message::{Batch, Record, Sender, SessionId, SpaceId},
    publish::message_of,
    session::Session,
    space::Lag,
    store::Journal,
    topic::{Filter, Topic},
};

/// A core beside the hub.
pub trait Service: Send + Sync + 'static {
    /// Its name: what questions to it begin with, before the slash (`im` of `im/history`).
    fn name(&self) -> &'static str;

    /// The topics that it owns.
    fn topics(&self) -> &Filter;

    /// Somebody publishes to one of its topics. Rates and shape were checked, rules were not.
    fn publish(&self, caller: Caller, publish: Publish) -> Called<Answer>;

    /// Somebody asks it something; answered with [`Answer::Told`] or [`Answer::Refused`].
    fn ask(&self, caller: Caller, ask: Ask) -> Called<Answer>;

    /// Whether `who` may do this with one of its topics. On the hot path: must not wait.
    fn may(&self, who: &Principal, action: Action, topic: &Topic) -> bool;

    /// Whether `who` may do this with everything that `filter` matches, a filter that all lies in its topics.
    fn may_filter(&self, who: &Principal, action: Action, filter: &Filter) -> Verdict;

    /// Kept records of one of its topics are safe, in the order of their places. Called before listeners are
    /// given them; must not wait.
    fn heard(&self, records: &[Arc<Record>]);

    /// Records of this space were not heard: the hub fell behind. They are in the journal.
    fn missed(&self, space: SpaceId);

    /// A session lost its connection or ended.
    fn left(&self, now: Now, session: SessionId, who: &Principal);
}

/// Who publishes or asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// When.
    pub now: Now,
    /// Who.
    pub who: Arc<Principal>,
    /// With which session.
    pub session: SessionId,
    /// By which door and from where; `None` where the session has no connection any more.
    pub peer: Option<Peer>,
}

impl Caller {
    /// As the sender of a message.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender { user: self.who.user.clone(), device: self.who.device.clone(), session: self.session }
    }
}

/// A question to a service.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The service and what is asked of it: `im/history`.
    pub name: Arc<str>,
    /// What is said with it: one JSON value, checked where it came in; empty for none.
    pub body: Bytes,
}

/// A service said no, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The number that doors show; see `docs/reference/errors.md`.
    pub code: u16,
    /// What was wrong and what to do.
    pub reason: Arc<str>,
    /// Whether and when the same request may succeed.
    pub again: yizhan_talk::Again,
}

/// The services of a hub; set once, when the server is put together.
#[derive(Clone, Default)]
pub(crate) struct Services(Arc<OnceLock<Vec<Arc<dyn Service>>>>);

impl Services {
    pub(crate) fn all(&self) -> &[Arc<dyn Service>] {
        self.0.get().map_or(&[], Vec::as_slice)
    }

    /// The one that owns a topic.
    pub(crate) fn owner(&self, topic: &Topic) -> Option<&Arc<dyn Service>> {
        self.all().iter().find(|service| service.topics().matches(topic))
    }

    /// The one that owns all that a filter matches.
    fn owner_of(&self, filter: &Filter) -> Option<&Arc<dyn Service>> {
        self.all().iter().find(|service| service.topics().covers(filter))
    }

    fn overlaps(&self, filter: &Filter) -> bool {
        self.all().iter().any(|service| service.topics().overlaps(filter))
    }
}

/// The access rules, but for topics that a service owns: those are its own.
pub(crate) struct Gate {
    pub(crate) access: Arc<dyn Access>,
    pub(crate) services: Services,
}

impl Access for Gate {
    fn admit(
        &self,
        now: Now,
        peer: Peer,
        credentials: Credentials,
        device: Option<Arc<str>>,
    ) -> BoxFuture<'static, Result<Principal, Refused>> {
        self.access.admit(now, peer, credentials, device)
    }

    fn begin(
        &self,
        now: Now,
        peer: Peer,
        mechanism: &str,
        device: Option<Arc<str>>,
    ) -> Option<Box<dyn Exchange>> {
        self.access.begin(now, peer, mechanism, device)
    }

    fn left(&self, now: Now, peer: Peer, who: &Principal) {
        self.access.left(now, peer, who);
    }

    fn may(&self, who: &Principal, action: Action, topic: &Topic) -> bool {
        match self.services.owner(topic) {
            // What is published there goes to the service; nothing gets round it.
            Some(_) if action == Action::Publish => false,
            Some(service) => self.access.may_ask(who, service.name()) && service.may(who, action, topic),
            None => self.access.may(who, action, topic),
        }
    }

    fn may_filter(&self, who: &Principal, action: Action, filter: &Filter) -> Verdict {
        match self.services.owner_of(filter) {
            Some(_) if action == Action::Publish => Verdict::Denied,
            Some(service) if self.access.may_ask(who, service.name()) => {
                service.may_filter(who, action, filter)
            }
            Some(_) => Verdict::Denied,
            None => match self.access.may_filter(who, action, filter) {
                // Some of it belongs to a service, which is asked about each record.
                Verdict::Allowed if self.services.overlaps(filter) => Verdict::Checked,
                verdict => verdict,
            },
        }
    }

    fn may_ask(&self, who: &Principal, service: &str) -> bool {
        self.access.may_ask(who, service)
    }
}

impl Inner {
    /// A publish to a topic that a service owns.
    pub(crate) fn publish_to_service(
        &self,
        now: Now,
        session: &Session,
        service: &Arc<dyn Service>,
        publish: Publish,
    ) -> Called<Answer> {
        if !self.access.may_ask(&session.principal(), service.name()) {
            let name = publish.topic.as_str().into();
            return refuse(Refused::NotAllowed { action: Action::Publish, name });
        }
        service.publish(caller(now, session), publish)
    }

    /// A question to a service.
    pub(crate) fn ask(&self, now: Now, session: &Session, ask: Ask) -> Called<Answer> {
        use std::sync::atomic::Ordering::Relaxed;
        if self.stopping.load(Relaxed) {
            return refuse(Refused::Stopping);
        }
        let name = ask.name.split('/').next().unwrap_or_default();
        let Some(service) = self.services.all().iter().find(|service| service.name() == name) else {
            return refuse(Refused::NoService(ask.name));
        };
        if !self.access.may_ask(&session.principal(), service.name()) {
            return refuse(Refused::NotAllowed { action: Action::Publish, name: ask.name });
        }
        if let Err(refused) = self.check_rates(now, session, ask.body.len()) {
            return refuse(refused);
        }
        service.ask(caller(now, session), ask)
    }

    /// Tells the services that a session lost its connection or ended.
    pub(crate) fn tell_left(&self, now: Now, session: &Session) {
        for service in self.services.all() {
            service.left(now, session.id, &session.principal());
        }
    }
}

fn caller(now: Now, session: &Session) -> Caller {
    let peer = session.lock().connection.map(|(peer, _)| peer);
    Caller { now, who: session.principal().clone(), session: session.id, peer }
}

impl Record {
    /// A record that lies in no journal, as a service gives it to [`Hub::deliver`].
    #[must_use]
    pub fn unkept(now: Now, from: Sender, publish: Publish) -> Self {
        Self::new(None, 0, now.wall, message_of(now, from, publish))
    }
}

/// What services do with the hub.
impl Hub {
    /// Puts the services in place. Once, before the first link; later ones are not taken.
    pub fn serve(&self, services: Vec<Arc<dyn Service>>) {
        if self.inner.services.0.set(services).is_err() {
            tracing::error!("the services were put in place before");
        }
    }

    /// Publishes for somebody: no access rule, no rate, no service is asked. In line with others of its topic when
    /// this returns; answered with [`Answer::Published`] when it is as safe as its space promises.
    pub fn publish_as(&self, now: Now, from: Sender, publish: Publish) -> Called<Answer> {
        let Some(space) = self.inner.finder.find(&publish.topic) else {
            return refuse(Refused::NoSpace(publish.topic));
        };
        if let Err(refused) = self.inner.check_shape(&publish) {
            return refuse(refused);
        }
        let mut batch = Vec::new();
        let called = self.inner.put(now, space, message_of(now, from, publish), &mut batch);
        self.inner.flush(&mut batch);
        called
    }

    /// Gives records, of whatever topics, to all who listen to just the topic `to`; where they are slow they miss
    /// some, and are told.
    pub fn deliver(&self, to: &Topic, batch: &Arc<Batch>) {
        let limits = self.inner.outbox_limits();
        let mut skipped = 0;
        self.inner.directory.each_exact(to, |session, slot| {
            skipped += session.push(&*self.inner.access, slot, batch, Lag::Skip, limits).skipped;
        });
        if skipped > 0 {
            self.inner.meters.skipped.add(skipped);
        }
    }

    /// Where a topic's records are kept; `None` where they are not.
    #[must_use]
    pub fn journal(&self, topic: &Topic) -> Option<Arc<dyn Journal>> {
        let space = self.inner.finder.find(topic)?;
        self.inner.spaces.get(space)?.journal.clone()
    }

    /// How many subscriptions there are to just this topic; costs the same however many.
    #[must_use]
    pub fn listeners(&self, topic: &Topic) -> usize {
        self.inner.directory.count_exact(topic)
    }

    /// Asks about a user's subscriptions anew: what a service lets them hear has changed.
    pub fn ask_again(&self, user: &str) {
        for session in self.inner.sessions.of_user(user) {
            let principal = session.principal().clone();
            session.admit_again(&*self.inner.access, principal);
        }
    }
}
