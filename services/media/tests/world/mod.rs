//! One server's broadcasts and its service `live` over a hub in memory, with time moved by hand.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "each test uses what it needs, and is its own world: it tells the time"
)]

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinHandle;
use yizhan_hub::{
    Access as HubAccess, Action, Answer, Call, Content, Credentials, Delivery, Filter, Hello, Hub, HubLimits,
    Keep, Lag, Limits, Link, Options, Peer, Principal, Refused, Space, Topic, Verdict,
    access::Rates,
    link::{Publish, Subscribe},
    memory::Memory,
    service::Ask,
    space::Dedup,
};
use yizhan_media::{
    Broadcast, Codec, Config, Creds, Detail, Kind, Media, Name, Packet, Party, Pass, Porter, Publisher,
    Track, Wish,
    access::{
        Doormen, Gate,
        config::{Access, Tokens},
        keys::KeyList,
        secret::Secret,
    },
    chat::config::Chat,
    service::{Live, Recorder, Seams},
};
use yizhan_talk::{Backend, Called, Clock, Now, Timestamp};

/// The server's own admin.
pub(crate) const ROOT: &str = "root";
/// What tokens are signed with.
pub(crate) const SECRET: &str = "0123456789abcdef";
/// When the world begins, milliseconds since 1970.
pub(crate) const BEGIN: u64 = 1_800_000_000_000;
/// How long is waited for what has to come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Hands {
    start: Instant,
    millis: AtomicU64,
}

impl Clock for Hands {
    fn now(&self) -> Now {
        let millis = self.millis.load(SeqCst);
        Now {
            steady: self.start + Duration::from_millis(millis),
            wall: Timestamp::from_millis(BEGIN + millis),
        }
    }
}

/// Names are passwords and tokens: `ann` comes in with the token `ann`. `banned` and the address 192.0.2.9 are banned,
/// `old` has expired, `weak` may do nothing with topics.
struct Names;

impl HubAccess for Names {
    fn admit(
        &self,
        _now: Now,
        peer: Peer,
        credentials: Credentials,
        _device: Option<Arc<str>>,
    ) -> BoxFuture<'static, Result<Principal, Refused>> {
        let user = match credentials {
            _ if peer.address == IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)) => {
                Err(Refused::Banned("rude".into()))
            }
            Credentials::Token(token) if &*token == "old" => Err(Refused::TokenExpired),
            Credentials::Token(token) if &*token == "banned" => Err(Refused::Banned("rude".into())),
            Credentials::Token(token) if token.len() > 10 => Err(Refused::BadToken("it is none of ours")),
            Credentials::Token(user) | Credentials::Password { user, .. } => Ok(user),
            _ => Ok("anonymous".into()),
        };
        let principal = |user| Principal {
            user,
            device: None,
            roles: Arc::default(),
            expires_at: Some(Timestamp::from_millis(BEGIN + 3_600_000)),
            rates: Rates::default(),
        };
        Box::pin(std::future::ready(user.map(principal)))
    }
    fn may(&self, who: &Principal, _action: Action, topic: &Topic) -> bool {
        match &*who.user {
            "weak" => false,
            "anonymous" => topic.as_str().ends_with("/chat"),
            _ => true,
        }
    }
    fn may_filter(&self, _who: &Principal, _action: Action, _filter: &Filter) -> Verdict {
        Verdict::Allowed
    }
}

/// Somebody who records, and cannot when told so.
#[derive(Default)]
pub(crate) struct Tape {
    on: Mutex<Vec<Name>>,
    pub(crate) full: AtomicBool,
}

impl Recorder for Tape {
    fn set(&self, broadcast: Broadcast, on: bool) -> BoxFuture<'static, Result<(), String>> {
        let mut all = self.on.lock();
        all.retain(|name| name != broadcast.name());
        let full = self.full.load(SeqCst);
        if on && !full {
            all.push(broadcast.name().clone());
        }
        let done = if on && full { Err("the disk is full".to_owned()) } else { Ok(()) };
        Box::pin(std::future::ready(done))
    }
    fn is_on(&self, name: &Name) -> bool {
        self.on.lock().contains(name)
    }
}

/// What a world is made with.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) access: Access,
    pub(crate) keys: BTreeMap<String, KeyList>,
    pub(crate) chat: Chat,
    pub(crate) no_secret: bool,
}

pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) media: Media,
    pub(crate) live: Live,
    pub(crate) gate: Gate,
    pub(crate) tape: Arc<Tape>,
    pub(crate) clock: Arc<Hands>,
    store: Arc<Memory>,
    made: Made,
    running: Vec<JoinHandle<()>>,
    links: Mutex<HashMap<String, Link>>,
}

/// What was refused: the number and the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct No {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

pub(crate) fn name(name: &str) -> Name {
    Name::of_any("live", name).unwrap()
}

pub(crate) fn tokens() -> Tokens {
    Tokens { secret: Secret::new(SECRET), ..Tokens::default() }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Made::default()).await
    }

    pub(crate) async fn with(made: Made) -> Self {
        let clock = Arc::new(Hands { start: Instant::now(), millis: AtomicU64::new(0) });
        Self::over(made, clock, Arc::new(Memory::new(1))).await
    }

    /// Stops at once and begins anew over the same store. What was on air is not any more.
    pub(crate) async fn restart(mut self) -> Self {
        for task in self.running.drain(..) {
            task.abort();
            drop(task.await);
        }
        let made = std::mem::take(&mut self.made);
        Self::over(made, self.clock.clone(), self.store.clone()).await
    }

    async fn over(made: Made, clock: Arc<Hands>, store: Arc<Memory>) -> Self {
        let ids = AtomicU64::new(1);
        let random: Arc<dyn Fn() -> u128 + Send + Sync> = Arc::new(move || {
            u128::from(ids.fetch_add(1, SeqCst)).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
        });
        let space = |name: &str, topics: &str, keep| Space {
            name: name.into(),
            topics: Filter::new(topics).unwrap(),
            keep,
            lag: Lag::Skip,
            dedup: Dedup::default(),
            lanes: 1,
        };
        let (hub, work) = Hub::open(Options {
            spaces: vec![
                space("live", "live/+/+", Keep::Nothing),
                space("live-gifts", "live/+/+/gifts", Keep::Memory(Limits::NONE)),
                space("rest", "#", Keep::Nothing),
            ],
            limits: HubLimits::default(),
            store: store.clone(),
            access: Arc::new(Names),
            clock: clock.clone(),
            random: random.clone(),
        })
        .await
        .unwrap();
        let administers: Arc<dyn Fn(&Principal) -> bool + Send + Sync> = Arc::new(|who| &*who.user == ROOT);
        let doormen = Doormen { access: Arc::new(Names), administers };
        let tokens = if made.no_secret { Tokens::default() } else { tokens() };
        let gate = Gate::new(&made.access, &made.keys, &tokens, doormen).unwrap();
        let media = Media::new(Config { apps: vec!["live".into(), "vip".into()], ..Config::default() }, 1);
        media.set_porter(Arc::new(gate.clone()));
        let tape = Arc::new(Tape::default());
        let recorder: Option<Arc<dyn Recorder>> = Some(tape.clone());
        let seams = Seams { gate: gate.clone(), recorder, random };
        let opened = Live::open(hub.clone(), media.clone(), &*store, made.chat.clone(), seams).await;
        let (live, own) = opened.unwrap();
        hub.serve(vec![Arc::new(live.clone())]);
        let running = vec![tokio::spawn(work), tokio::spawn(own)];
        Self { hub, media, live, gate, tape, clock, store, made, running, links: Mutex::default() }
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// Time passes.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.millis.fetch_add(u64::try_from(time.as_millis()).unwrap(), SeqCst);
        self.hub.maintain();
        self.media.maintain(self.now());
        self.live.maintain(self.now());
        self.gate.maintain(self.now(), &self.media);
        self.settle().await;
    }

    /// Lets everything happen that is under way.
    pub(crate) async fn settle(&self) {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    /// Somebody goes on air with sound and is so many milliseconds in.
    pub(crate) async fn on_air(&self, name: &Name, user: Option<&str>, millis: i64) -> Publisher {
        let party = Party { user: user.map(Into::into), ..Party::by("rtmp") };
        let mut publisher = self.media.publish(self.now(), name, party).unwrap();
        let detail = Detail::Audio { rate: 48_000, channels: 2, frame_samples: Some(1024) };
        let record = Bytes::from_static(&[0x11, 0x90]);
        let track = Track { codec: Codec::Aac, record, detail, rfc6381: "mp4a.40.2".into() };
        publisher.push(self.now(), Packet::Track(Arc::new(track))).unwrap();
        for millis in (0..=millis).step_by(20) {
            let (kind, data) = (Kind::Audio, Bytes::from_static(b"sound"));
            publisher
                .push(self.now(), Packet::Frame { kind, key: true, dts: millis * 1000, cts: 0, data })
                .unwrap();
        }
        self.settle().await;
        publisher
    }

    /// Whether somebody may publish or watch.
    pub(crate) async fn may(&self, wish: Wish) -> Result<Pass, yizhan_media::Refused> {
        self.gate.may(wish).wait().await
    }

    pub(crate) fn wish(&self, name: &Name, publishing: bool, params: &str) -> Wish {
        let party = Party { address: Some([203, 0, 113, 7].into()), ..Party::by("rtmp") };
        let creds = Creds { params: params.into(), bearer: None };
        Wish { now: self.now(), name: name.clone(), party, creds, publishing, id: 7 }
    }

    fn call(&self, user: &str, call: Call) -> Called<Answer> {
        let mut links = self.links.lock();
        let link = links.entry(user.to_owned()).or_insert_with(|| come(&self.hub, self.now(), user));
        let called = link.call(self.now(), call);
        link.flush(self.now());
        called
    }

    pub(crate) async fn asks(&self, user: &str, op: &str, body: Value) -> Result<Value, No> {
        let ask = Ask { name: format!("live/{op}").into(), body: serde_json::to_vec(&body).unwrap().into() };
        match self.call(user, Call::Ask(ask)).wait().await {
            Answer::Told(told) => Ok(serde_json::from_slice(&told).unwrap()),
            Answer::Refused(refused) => Err(no(&refused)),
            other => panic!("not an answer to a question: {other:?}"),
        }
    }

    /// Asks, and fails the test where it is refused.
    pub(crate) async fn ask(&self, user: &str, op: &str, body: Value) -> Value {
        let asked = format!("{user} asks {op} {body}");
        self.asks(user, op, body).await.unwrap_or_else(|no| panic!("{asked}: {no:?}"))
    }

    /// Asks what is to be refused; gives the number.
    pub(crate) async fn refused(&self, user: &str, op: &str, body: Value) -> u16 {
        let asked = format!("{user} asks {op} {body}");
        match self.asks(user, op, body).await {
            Ok(told) => panic!("{asked}: was done: {told}"),
            Err(no) => no.code,
        }
    }

    /// Publishes, as every door does; gives the number of the record.
    pub(crate) async fn publishes(&self, user: &str, publish: Publish) -> Result<u64, No> {
        match self.call(user, Call::Publish(publish)).wait().await {
            Answer::Published(receipt) => Ok(receipt.seq),
            Answer::Refused(refused) => Err(no(&refused)),
            other => panic!("not an answer to a publish: {other:?}"),
        }
    }

    /// Says something as `mosquitto_pub` would: bytes of no type.
    pub(crate) async fn say(&self, user: &str, topic: &Topic, words: &str) -> Result<u64, No> {
        self.publishes(user, Publish::new(topic.clone(), words.to_owned().into())).await
    }

    pub(crate) async fn put(&self, user: &str, topic: &Topic, body: Value) -> Result<u64, No> {
        let publish =
            Publish { content: Content::Json, ..Publish::new(topic.clone(), body.to_string().into()) };
        self.publishes(user, publish).await
    }

    /// A client of this user that listens, and hears the state first.
    pub(crate) async fn listener(&self, user: &str, filter: &str) -> Result<Ear, No> {
        let mut link = come(&self.hub, self.now(), user);
        let wish = Subscribe { with_state: true, ..Subscribe::new(1, Filter::new(filter).unwrap()) };
        let called = link.call(self.now(), Call::Subscribe(Box::new(wish)));
        link.flush(self.now());
        match called.wait().await {
            Answer::Subscribed { .. } => Ok(Ear { link, clock: self.clock.clone(), heard: Vec::new() }),
            Answer::Refused(refused) => Err(no(&refused)),
            other => panic!("not an answer to a subscribe: {other:?}"),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for task in &self.running {
            task.abort();
        }
    }
}

/// Something that was heard.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) from: String,
    /// `null` for an empty body.
    pub(crate) body: Value,
}

/// A client that listens.
pub(crate) struct Ear {
    link: Link,
    clock: Arc<Hands>,
    heard: Vec<Heard>,
}

impl Ear {
    fn take(&mut self, some: Vec<Delivery>) {
        let record = |record: &yizhan_hub::Record| Heard {
            topic: record.message.topic.as_str().to_owned(),
            key: record.message.key.as_deref().map(str::to_owned),
            from: record.message.from.user.to_string(),
            body: serde_json::from_slice(&record.message.body).unwrap_or(Value::Null),
        };
        for delivery in some {
            match delivery {
                Delivery::Record { record: one, .. } => self.heard.push(record(&one)),
                Delivery::Batch { batch, .. } => {
                    self.heard.extend(batch.records().iter().map(|one| record(one)));
                }
                Delivery::Missed { .. } | Delivery::StateEnd { .. } | Delivery::Leave(_) => {}
            }
        }
    }

    /// The next thing of which `wanted` is true; what comes before it is dropped.
    pub(crate) async fn next(&mut self, wanted: impl Fn(&Heard) -> bool) -> Heard {
        let waiting = async {
            loop {
                if let Some(at) = self.heard.iter().position(&wanted) {
                    let found = self.heard.remove(at);
                    self.heard.drain(..at);
                    return found;
                }
                let mut some = Vec::new();
                let now = self.clock.now();
                poll_fn(|cx| self.link.poll_deliveries(cx, now, &mut some, 100)).await;
                self.take(some);
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it was heard")
    }

    /// The next record of this key.
    pub(crate) async fn key(&mut self, key: &str) -> Value {
        self.next(|heard| heard.key.as_deref() == Some(key)).await.body
    }

    /// Everything that was heard and not asked for yet.
    pub(crate) async fn all(&mut self, world: &World) -> Vec<Heard> {
        world.settle().await;
        loop {
            let (mut some, now) = (Vec::new(), self.clock.now());
            let ready =
                poll_fn(|cx| Poll::Ready(self.link.poll_deliveries(cx, now, &mut some, 100).is_ready()))
                    .await;
            self.take(some);
            if !ready {
                return std::mem::take(&mut self.heard);
            }
        }
    }
}

fn come(hub: &Hub, now: Now, user: &str) -> Link {
    let mut link = hub.link(Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), door: "test", secure: false });
    let credentials = match user {
        "anonymous" => Credentials::None,
        user => Credentials::Password { user: user.into(), password: "".into() },
    };
    let opened = match link.call(now, Call::Hello(Box::new(Hello { credentials, ..Hello::default() }))) {
        Called::Done(opened) => opened,
        Called::Later(opened) => opened.now_or_never().expect("everybody is let in at once"),
    };
    assert!(matches!(opened, Answer::Opened(_)), "not let in: {opened:?}");
    link
}

fn no(refused: &Refused) -> No {
    No { code: refused.code(), reason: refused.to_string() }
}
