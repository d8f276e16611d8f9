//! What a door may ask of the hub, and what it hears.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use yizhan_talk::{Close, Timestamp};

use crate::{
    access::{Action, Credentials, Principal},
    message::{Content, Headers, Position, Qos, Record, SessionId},
    store::{Missed, PageSize, Range, StoreError},
    topic::{BadName, Filter, Topic},
};

/// A subscription's number, chosen by the door; one number, one subscription in a session.
pub type SubscriptionId = u32;

/// What a connection may ask.
#[derive(Debug)]
pub enum Call {
    /// Who I am, in an exchange of several steps (SASL, RFC 4422). Before hello it proves who says hello with
    /// [`Credentials::Proven`]; in an open session it proves anew that the same user is there.
    Prove(Box<Prove>),
    /// Who I am. The first call of every link besides [`Call::Prove`]; a second one is refused.
    Hello(Box<Hello>),
    /// Let me hear this.
    Subscribe(Box<Subscribe>),
    /// No more of this.
    Unsubscribe(SubscriptionId),
    /// Send this.
    Publish(Publish),
    /// I have everything of this subscription up to here.
    Ack(SubscriptionId, Acked),
    /// Give me a page of one topic's past.
    History(Topic, Range, PageSize),
    /// Give me the newest record of each key of these topics.
    State(Filter, usize),
    /// A question to a service; see [`crate::service`].
    Ask(crate::service::Ask),
    /// Who listens to this topic.
    PresenceOfTopic(Topic),
    /// Whether this user is here, and on which devices.
    PresenceOfUser(Arc<str>),
    /// What the session remembers is to be safe before this is answered: its subscriptions, its positions and
    /// its keepsake. Answered at once for a session that ends with its connection.
    Save,
    /// I go. My session sleeps as long as it is kept, or ends; my last message is not said, or said as if I
    /// had vanished.
    Rest {
        /// A new time for which the session is kept; `None` leaves it.
        keep: Option<Duration>,
        /// Whether the last message is said, after its delay.
        say_last: bool,
    },
    /// I go, and my session ends: no last message, nothing kept.
    Goodbye,
}

/// One step of an exchange that proves who somebody is.
#[derive(Debug)]
pub struct Prove {
    /// The mechanism's name (`SCRAM-SHA-256`); the same in every step of an exchange.
    pub mechanism: Arc<str>,
    /// The device, where the client names one.
    pub device: Option<Arc<str>>,
    /// What the client says in this step. Never logged.
    pub data: Secret,
}

/// Bytes that do not show in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Bytes);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Who a client is and what it wants its session to be.
#[derive(Debug, Default)]
pub struct Hello {
    /// What it shows.
    pub credentials: Credentials,
    /// The name of the device, where there is one.
    pub device: Option<Arc<str>>,
    /// A session to go on with.
    pub resume: Option<Resume>,
    /// A session by the name that the client chose (MQTT's client id, XMPP's resource), one of each name for
    /// each user. Without `resume`.
    pub name: Option<Name>,
    /// How long the session outlives its connection; zero ends both at once. Cut to the server's limit.
    pub keep: Duration,
    /// Published when the session ends without a goodbye.
    pub last_message: Option<LastMessage>,
    /// What the door remembers with the session, where a new one is made.
    pub keepsake: Option<Arc<dyn Keepsake>>,
}

/// A session by name.
#[derive(Debug, Clone)]
pub struct Name {
    /// The name, with the door's own prefix: `mqtt:sensor-7`.
    pub name: Arc<str>,
    /// An earlier session of this name ends, instead of going on (MQTT's clean start). One that is not kept
    /// ends in any case.
    pub fresh: bool,
}

/// What is published for a client that is gone.
#[derive(Debug, Clone)]
pub struct LastMessage {
    /// What; a delay of its own counts from when it is said.
    pub publish: Publish,
    /// How long to wait after the connection is gone, in which the client may come back and nothing is said;
    /// `None` waits until the session ends. A session that ends says it in any case.
    pub delay: Option<Duration>,
}

/// What a door remembers with a session beyond its connection: packets under way, and so on.
///
/// The hub holds it while the session lives, gives it to the next connection, and writes its bytes with
/// the session.
pub trait Keepsake: Send + Sync + std::any::Any + std::fmt::Debug {
    /// The bytes to keep; what the door reads them back from after a restart.
    fn to_bytes(&self) -> Bytes;

    /// Numbers that an operator would like to see, by name: packets under way and so on.
    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// A keepsake as a resumed session gives it back.
#[derive(Debug, Clone)]
pub enum Kept {
    /// The very one that was given: the session lived on in this process.
    Live(Arc<dyn Keepsake>),
    /// The bytes of the one that was given: the server was restarted. Put the one made of them in place with
    /// [`Opened::place`].
    Saved(Bytes),
}

/// A session to go on with.
#[derive(Debug, Clone)]
pub struct Resume {
    /// Its number.
    pub session: SessionId,
    /// Its secret, as [`Opened`] gave it.
    pub secret: Arc<str>,
    /// Where each of its subscriptions stands, as far as the client knows. One that is not named goes on
    /// from where the server last heard.
    pub have: Vec<Have>,
}

/// What a client has of one subscription.
#[derive(Debug, Clone)]
pub struct Have {
    /// Which subscription.
    pub subscription: SubscriptionId,
    /// The number of the last delivery it got (see [`Delivery::Record`]), for spaces that keep nothing.
    pub number: Option<u64>,
    /// The last position it got in each kept space and lane.
    pub positions: Vec<Position>,
}

/// A wish to hear a filter's topics.
#[derive(Debug)]
pub struct Subscribe {
    /// The subscription's number. One that is in use is replaced.
    pub id: SubscriptionId,
    /// Which topics.
    pub filter: Filter,
    /// From where on.
    pub from: Start,
    /// Whether the newest record of each key comes first. Members of a group get none.
    pub with_state: bool,
    /// Deliveries that may be under way without an [`Call::Ack`]; `None` where the transport's own flow
    /// control is enough.
    pub window: Option<u32>,
    /// Whether what this session itself publishes is left out.
    pub no_local: bool,
    /// The most that is wanted: a record is delivered with this or with its own, whichever is less. Decides
    /// whether a sleeping session collects records of spaces that keep nothing.
    pub qos: Qos,
    /// The group that shares the filter's records, each going to one member.
    pub group: Option<Group>,
    /// Refused where another session has this filter with this set.
    pub exclusive: bool,
}

impl Subscribe {
    /// A wish to hear a filter's topics from now on.
    #[must_use]
    pub fn new(id: SubscriptionId, filter: Filter) -> Self {
        Self {
            id,
            filter,
            from: Start::Now,
            with_state: false,
            window: None,
            no_local: false,
            qos: Qos::default(),
            group: None,
            exclusive: false,
        }
    }
}

/// A group of subscriptions that share a filter's records (MQTT 5 §4.8.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name; groups of the same name and another filter are others.
    pub name: Arc<str>,
    /// Who gets the next record. The group's first member decides.
    pub deal: Deal,
    /// Records that may be under way to this member; at least 1.
    pub window: u32,
}

/// Who of a group gets the next record. A member whose window is full is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Deal {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Who has the fewest under way.
    LeastInflight,
    /// Records of one publisher to the same member, as long as members stay the same.
    HashSender,
    /// The same member, until it leaves or its window is full.
    Sticky,
}

/// Where a subscription begins.
#[derive(Debug, Clone)]
pub enum Start {
    /// With what is published from now on.
    Now,
    /// Where the subscription of this number and filter stands, with everything that waits for it; what it
    /// wants is replaced. From now on where there is none.
    Keep,
    /// After these places, one for each space and lane the client knows; elsewhere from now.
    Positions(Vec<Position>),
    /// With the record after this number of its one topic. Refused for a filter with wildcards.
    Seq(u64),
    /// With the newest so many of its one topic. Refused for a filter with wildcards.
    Last(u32),
}

/// Something to publish. The hub adds who and when.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Where to.
    pub topic: Topic,
    /// See [`crate::Message::key`].
    pub key: Option<Arc<str>>,
    /// The client's own id for it: repeated by the same user on the same topic within the window, it is
    /// answered like the first. All anonymous clients are one user.
    pub id: Option<Arc<str>>,
    /// How the body is to be read.
    pub content: Content,
    /// Names and values that travel along.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// How long it is worth delivering.
    pub expires_in: Option<Duration>,
    /// The durability the client wants; refused where the space promises less.
    pub wants: Durability,
    /// How surely it is to be delivered, at most.
    pub qos: Qos,
    /// How long it waits in the server before it is published; `expires_in` counts from then. It is safe on
    /// disk when it is answered, and its receipt has no place.
    pub delay: Option<Duration>,
}

impl Publish {
    /// A body for a topic, and nothing else said.
    #[must_use]
    pub fn new(topic: Topic, body: Bytes) -> Self {
        Self {
            topic,
            key: None,
            id: None,
            content: Content::default(),
            headers: Headers::default(),
            body,
            expires_in: None,
            wants: Durability::None,
            qos: Qos::default(),
            delay: None,
        }
    }
}

/// How safe a message is once it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Durability {
    /// It was given to those who listen now.
    #[default]
    None,
    /// It is in memory.
    Memory,
    /// It is on disk, after `fsync`.
    Disk,
}

/// How far a client has a subscription's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acked {
    /// Up to the delivery with this number.
    Number(u64),
    /// Up to this place in its lane.
    Position(Position),
    /// The delivery with this number and no other: for members of a group.
    One(u64),
}

/// What comes back for a call.
#[derive(Debug)]
pub enum Answer {
    /// For [`Call::Hello`].
    Opened(Box<Opened>),
    /// For [`Call::Subscribe`].
    Subscribed {
        /// Which one.
        id: SubscriptionId,
        /// The newest place of each kept space and lane that the filter overlaps.
        heads: Vec<Position>,
        /// What retention took between where the client asked to begin and where it begins.
        missed: Missed,
    },
    /// For [`Call::Prove`]: what the client must answer next.
    Challenge(Bytes),
    /// For [`Call::Prove`]: it is proven, and what the client is told with it.
    Proven(Bytes),
    /// For [`Call::Unsubscribe`], [`Call::Ack`], [`Call::Save`], [`Call::Rest`] and [`Call::Goodbye`].
    Done,
    /// For [`Call::Publish`].
    Published(Receipt),
    /// For [`Call::History`].
    History(crate::store::Page),
    /// For [`Call::State`].
    State(Vec<Arc<Record>>),
    /// For both presence calls: one entry a session, oldest first.
    Present(Vec<Present>),
    /// For [`Call::Ask`]: one JSON value.
    Told(Bytes),
    /// The call did nothing.
    Refused(Refused),
}

/// An open session.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its number.
    pub session: SessionId,
    /// What resuming it takes; empty where it does not outlive its connection.
    pub secret: Arc<str>,
    /// Who the client is.
    pub principal: Arc<Principal>,
    /// Whether this is a session that went on, with its subscriptions.
    pub resumed: bool,
    /// How long it outlives its connection.
    pub keep: Duration,
    /// For a resumed session: its subscriptions, and what each of them lost while asleep.
    pub subscriptions: Vec<(SubscriptionId, Filter, Missed)>,
    /// What the door remembered with it, for a session that went on and had something.
    pub kept: Option<Kept>,
    /// Where the keepsake of this session lies.
    pub place: KeepsakePlace,
}

/// Where a session's keepsake lies: a door that read one back from its bytes puts it here.
#[derive(Debug, Clone, Default)]
pub struct KeepsakePlace(Arc<parking_lot::Mutex<Option<Arc<dyn Keepsake>>>>);

/// A keepsake that was saved and that no door has read yet: it is saved again as it is.
#[derive(Debug)]
struct Unread(Bytes);

impl Keepsake for Unread {
    fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl KeepsakePlace {
    /// With the bytes of a saved one in it.
    pub(crate) fn unread(bytes: Bytes) -> Self {
        Self::of(if bytes.is_empty() { None } else { Some(Arc::new(Unread(bytes))) })
    }

    /// What a door is given of it.
    pub(crate) fn kept(&self) -> Option<Kept> {
        let keepsake = self.get()?;
        let any: &dyn std::any::Any = &*keepsake;
        let unread = any.downcast_ref::<Unread>().map(|unread| Kept::Saved(unread.0.clone()));
        Some(unread.unwrap_or(Kept::Live(keepsake)))
    }

    /// With this one in it.
    pub(crate) fn of(keepsake: Option<Arc<dyn Keepsake>>) -> Self {
        Self(Arc::new(parking_lot::Mutex::new(keepsake)))
    }

    /// Puts one there.
    pub fn put(&self, keepsake: Arc<dyn Keepsake>) {
        *self.0.lock() = Some(keepsake);
    }

    /// The one that lies there.
    #[must_use]
    pub fn get(&self) -> Option<Arc<dyn Keepsake>> {
        self.0.lock().clone()
    }
}

/// A publish that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its place; `None` in a space that keeps nothing.
    pub position: Option<Position>,
    /// Its number within its topic; 0 in a space that keeps nothing.
    pub seq: u64,
    /// When the server took it.
    pub at: Timestamp,
    /// How safe it is.
    pub durability: Durability,
    /// It had been published before under the same id.
    pub duplicate: bool,
}

/// One session that is here.
#[derive(Debug, Clone)]
pub struct Present {
    /// Whose.
    pub user: Arc<str>,
    /// On which device.
    pub device: Option<Arc<str>>,
    /// Its number.
    pub session: SessionId,
    /// By which door.
    pub door: &'static str,
    /// Since when: subscribed, or connected.
    pub since: Timestamp,
}

/// What comes unasked.
#[derive(Debug)]
pub enum Delivery {
    /// A record for one of the session's subscriptions.
    Record {
        /// Which subscription.
        subscription: SubscriptionId,
        /// Counts this subscription's deliveries: 1, 2, 3, …; also across reconnects. After a restart of the
        /// server it begins anew, except for members of a group.
        number: u64,
        /// The record.
        record: Arc<Record>,
    },
    /// Records of one topic for one of the session's subscriptions, all at once.
    Batch {
        /// Which subscription.
        subscription: SubscriptionId,
        /// The number of the first one; the others follow densely.
        number: u64,
        /// The records.
        batch: Arc<crate::message::Batch>,
    },
    /// Records that this subscription should have had and did not get, just before what comes next.
    Missed {
        /// Which subscription.
        subscription: SubscriptionId,
        /// The number that the first of them would have had.
        number: u64,
        /// How many; they count as deliveries, where the number is known.
        missed: Missed,
    },
    /// The state that was asked for is complete, what follows is live.
    StateEnd {
        /// Which subscription.
        subscription: SubscriptionId,
    },
    /// The hub ends this link.
    Leave(Close),
}

/// Policy or circumstances said no. The connection goes on.
///
/// `code` is the number that the doors show; see `docs/reference/errors.md`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such name or wrong password, or none given where one is needed.
    #[error("not admitted: the user, password or token is wrong, or one is needed here")]
    NotAdmitted,
    /// The token was good and has expired.
    #[error("the token has expired: get a new one")]
    TokenExpired,
    /// The token is not one that this server takes, and why.
    #[error("the token is not valid here: {0}")]
    BadToken(&'static str),
    /// No such way to prove who one is.
    #[error("the mechanism '{0}' is not known here, or this account cannot use it")]
    NoMechanism(Arc<str>),
    /// A ban keeps this client out.
    #[error("this client is banned: {0}")]
    Banned(Arc<str>),
    /// Too many wrong passwords: wait.
    #[error("too many failed attempts: try again later")]
    TooManyAttempts(Duration),
    /// No rule lets this user do that there.
    #[error("you may not {action} '{name}': ask an operator for a rule that allows it")]
    NotAllowed {
        /// What.
        action: Action,
        /// Where.
        name: Arc<str>,
    },
    /// The name is not valid.
    #[error("bad name: {0}")]
    BadName(#[from] BadName),
    /// Hello has to come first.
    #[error("say hello first")]
    HelloFirst,
    /// Hello came twice.
    #[error("this connection has said hello already")]
    HelloTwice,
    /// The session is not there, or the secret is wrong.
    #[error("there is no such session to resume: open a new one")]
    NoSession,
    /// No subscription has this number.
    #[error("there is no subscription with this number")]
    NoSubscription,
    /// Somebody else has this filter for themselves.
    #[error("another client has '{0}' exclusively")]
    Taken(Filter),
    /// So many messages wait for their time already.
    #[error("at most {0} messages may wait for their time")]
    TooManyDelayed(usize),
    /// The wait is longer than allowed.
    #[error("a message waits at most {} seconds", .0.as_secs())]
    DelayTooLong(Duration),
    /// A session has at most so many subscriptions.
    #[error("a session has at most {0} subscriptions: use a filter with wildcards")]
    TooManySubscriptions(usize),
    /// The body is larger than allowed.
    #[error("the body has {bytes} bytes, at most {bytes_max} are taken")]
    TooLarge {
        /// What came.
        bytes: usize,
        /// What is taken.
        bytes_max: usize,
    },
    /// Too much in too short a time.
    #[error("too fast: slow down")]
    TooFast(Duration),
    /// No space has this topic.
    #[error("no space takes the topic '{0}': add one to the config")]
    NoSpace(Topic),
    /// The space keeps nothing, so there is nothing to read.
    #[error("'{0}' lies in a space that keeps nothing: there is no history")]
    NotKept(Arc<str>),
    /// The client asked for more durability than the space has.
    #[error("the space of '{topic}' does not promise that durability")]
    NotDurable {
        /// Where to.
        topic: Topic,
    },
    /// The position is not one of this server's, or of data that is gone.
    #[error("this position is not known here: begin again from now or from a number")]
    BadPosition,
    /// Counting by numbers needs one topic.
    #[error("'from seq' and 'last' need one topic, not a filter with wildcards")]
    NotOneTopic,
    /// The header or key is larger than allowed.
    #[error("too many or too large headers, or too long an id or key")]
    HeadersTooLarge,
    /// No service has this name.
    #[error("there is no service that answers '{0}'")]
    NoService(Arc<str>),
    /// A service said no.
    #[error("{}", .0.reason)]
    Denied(Box<crate::service::Denied>),
    /// The server is stopping.
    #[error("the server is stopping: reconnect")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refused {
    /// The number that doors show. Stable: scripts rely on it.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::HelloFirst => 101,
            Self::HelloTwice => 102,
            Self::BadName(_) => 110,
            Self::NotOneTopic => 111,
            Self::BadPosition => 112,
            Self::HeadersTooLarge => 113,
            Self::TooLarge { .. } => 114,
            Self::NotAdmitted => 201,
            Self::TokenExpired => 202,
            Self::BadToken(_) => 203,
            Self::TooManyAttempts(_) => 204,
            Self::NoMechanism(_) => 205,
            Self::Banned(_) => 206,
            Self::NotAllowed { .. } => 210,
            Self::NoSession => 301,
            Self::NoSubscription => 302,
            Self::Taken(_) => 303,
            Self::NoSpace(_) => 310,
            Self::NotKept(_) => 311,
            Self::NotDurable { .. } => 312,
            Self::NoService(_) => 313,
            Self::Denied(denied) => denied.code,
            Self::TooManySubscriptions(_) => 401,
            Self::TooFast(_) => 402,
            Self::TooManyDelayed(_) => 403,
            Self::DelayTooLong(_) => 404,
            Self::Stopping => 501,
            Self::Store(StoreError::Full) => 510,
            Self::Store(StoreError::Busy) => 511,
            Self::Store(StoreError::Corrupt { .. }) => 512,
            Self::Store(StoreError::Conflict) => 513,
            Self::Store(StoreError::Closed) => 501,
            Self::Store(StoreError::Failed(_)) => 519,
        }
    }

    /// Whether and when the same request may succeed.
    #[must_use]
    pub fn again(&self) -> yizhan_talk::Again {
        use yizhan_talk::Again;
        match self {
            Self::TooManyAttempts(wait) | Self::TooFast(wait) => Again::After(*wait),
            Self::Denied(denied) => denied.again,
            Self::Stopping | Self::Store(StoreError::Closed | StoreError::Conflict) => Again::Soon,
            Self::Store(StoreError::Busy) => Again::After(Duration::from_millis(100)),
            Self::Store(_) | Self::TooManyDelayed(_) => Again::After(Duration::from_secs(5)),
            _ => Again::Never,
        }
    }
}
