//! One server's instant messaging over a store in memory, with time moved by hand.
//!
//! `world.ask("ann", "create", json!({…}))` asks, `world.stream("ann")` hears, `world.restart()` begins anew over the
//! same store.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "each test uses what it needs, and is its own world: it tells the time"
)]

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::Poll,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinHandle;
use yizhan_hub::{
    Answer, Call, Credentials, Delivery, Filter, Hello, Hub, HubLimits, Keep, Lag, Limits, Link, Options,
    Peer, Refused, SessionId, Space, Topic, access::Open, link::Publish, link::Subscribe, memory::Memory,
    service::Ask, space::Dedup,
};
use yizhan_im::{Config, Im, Seams};
use yizhan_talk::{Backend, Called, Clock, Close, Now, Timestamp};

/// The server's own admin.
pub(crate) const ROOT: &str = "root";
/// Users of this name and names that begin with it do not exist.
pub(crate) const NOBODY: &str = "nobody";
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

/// A server that can be stopped and begun anew.
pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) im: Im,
    pub(crate) clock: Arc<Hands>,
    /// Sessions that the service ended.
    pub(crate) kicked: Arc<Mutex<Vec<SessionId>>>,
    store: Arc<Memory>,
    config: Config,
    change: fn(&mut Seams),
    running: Vec<JoinHandle<()>>,
    links: Mutex<HashMap<String, Link>>,
    runs: u64,
}

/// What was refused: the number and the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct No {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::with_seams(config, |_| {}).await
    }

    /// A world in which seams are changed before the service opens.
    pub(crate) async fn with_seams(config: Config, change: fn(&mut Seams)) -> Self {
        let store = Arc::new(Memory::new(1));
        let clock = Arc::new(Hands { start: Instant::now(), millis: AtomicU64::new(0) });
        let kicked = Arc::default();
        let (hub, im, running) = open(&store, &clock, config.clone(), &kicked, change, 1).await;
        Self { hub, im, clock, kicked, store, config, change, running, links: Mutex::default(), runs: 1 }
    }

    /// Stops at once, as with `kill -9`, and begins anew over the same store. What was not answered may be gone.
    pub(crate) async fn restart(&mut self) {
        self.end().await;
        self.runs += 1;
        (self.hub, self.im, self.running) =
            open(&self.store, &self.clock, self.config.clone(), &self.kicked, self.change, self.runs).await;
    }

    async fn end(&mut self) {
        self.links.lock().clear();
        for task in self.running.drain(..) {
            task.abort();
            drop(task.await);
        }
    }

    /// Time passes.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.millis.fetch_add(u64::try_from(time.as_millis()).unwrap(), SeqCst);
        self.hub.maintain();
        self.im.maintain();
        self.settle().await;
    }

    /// This moment, milliseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now().wall.as_millis()
    }

    /// Lets everything happen that is under way.
    pub(crate) async fn settle(&self) {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    /// Begins to ask; what the service does at once is done when this returns.
    pub(crate) fn start(
        &self,
        user: &str,
        op: &str,
        body: Value,
    ) -> impl Future<Output = Result<Value, No>> + use<> {
        let name = if op.starts_with("im/") { op.to_owned() } else { format!("im/{op}") };
        let ask = Ask { name: name.into(), body: serde_json::to_vec(&body).unwrap().into() };
        let called = self.call(user, Call::Ask(ask));
        async move {
            match answer(called).await {
                Answer::Told(told) => Ok(serde_json::from_slice(&told).unwrap()),
                Answer::Refused(refused) => Err(no(&refused)),
                other => panic!("not an answer to a question: {other:?}"),
            }
        }
    }

    fn call(&self, user: &str, call: Call) -> Called<Answer> {
        let mut links = self.links.lock();
        let link =
            links.entry(user.to_owned()).or_insert_with(|| come(&self.hub, self.clock.now(), user, None));
        let called = link.call(self.clock.now(), call);
        link.flush(self.clock.now());
        called
    }

    /// Asks, and fails the test where it is refused.
    pub(crate) async fn ask(&self, user: &str, op: &str, body: Value) -> Value {
        let asked = format!("{user} asks {op} {body}");
        self.start(user, op, body).await.unwrap_or_else(|no| panic!("{asked}: {} {}", no.code, no.reason))
    }

    /// Asks what is to be refused; gives the number.
    pub(crate) async fn refused(&self, user: &str, op: &str, body: Value) -> u16 {
        let asked = format!("{user} asks {op} {body}");
        match self.start(user, op, body).await {
            Ok(told) => panic!("{asked}: was done: {told}"),
            Err(no) => no.code,
        }
    }

    /// Publishes to a topic, as every door does; gives the number of the record.
    pub(crate) async fn publish(&self, user: &str, topic: &str, body: Value) -> Result<u64, No> {
        let publish = Publish {
            content: yizhan_hub::Content::Json,
            ..Publish::new(Topic::new(topic).unwrap(), serde_json::to_vec(&body).unwrap().into())
        };
        match answer(self.call(user, Call::Publish(publish))).await {
            Answer::Published(receipt) => Ok(receipt.seq),
            Answer::Refused(refused) => Err(no(&refused)),
            other => panic!("not an answer to a publish: {other:?}"),
        }
    }

    /// A group of ann with these others; gives its id.
    pub(crate) async fn group(&self, others: &[&str]) -> String {
        let body = serde_json::json!({ "kind": "group", "title": "Walks", "members": others });
        self.ask("ann", "create", body).await["id"].as_str().unwrap().to_owned()
    }

    /// Somebody says something, and it has had its effects; gives its number.
    pub(crate) async fn say(&self, user: &str, id: &str) -> u64 {
        let content = serde_json::json!({ "kind": "text", "text": "words" });
        let sent =
            self.ask(user, "send", serde_json::json!({ "conversation": id, "content": content })).await;
        self.settle().await;
        sent["seq"].as_u64().unwrap()
    }

    /// The names of a conversation's members, as ann sees them.
    pub(crate) async fn names(&self, id: &str) -> Vec<String> {
        let told = self.ask("ann", "members", serde_json::json!({ "conversation": id, "limit": 1000 })).await;
        told["members"].as_array().unwrap().iter().map(|m| m["user"].as_str().unwrap().to_owned()).collect()
    }

    /// How many members a conversation says that it has, as ann sees it.
    pub(crate) async fn count(&self, id: &str) -> u64 {
        self.ask("ann", "conversation", serde_json::json!({ "conversation": id })).await["members"]
            .as_u64()
            .unwrap()
    }

    /// A client of this user with a session of its own, attached and listening to its stream.
    pub(crate) async fn stream(&self, user: &str) -> Ear {
        self.device(user, "phone").await
    }

    /// As [`stream`](Self::stream), on a device of this name.
    pub(crate) async fn device(&self, user: &str, device: &str) -> Ear {
        let mut ear = Ear::new(self, user, device);
        let told = ear.ask("attach", serde_json::json!({ "device": device })).await.unwrap();
        ear.subscribe(told["stream"].as_str().unwrap()).await.unwrap();
        ear
    }

    /// A client of this user that listens to one topic.
    pub(crate) async fn listener(&self, user: &str, topic: &str) -> Result<Ear, No> {
        let mut ear = Ear::new(self, user, "listener");
        ear.subscribe(topic).await?;
        Ok(ear)
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
    pub(crate) seq: u64,
    pub(crate) from: String,
    pub(crate) body: Value,
}

/// A client that listens.
pub(crate) struct Ear {
    link: Link,
    clock: Arc<Hands>,
    heard: Vec<Heard>,
    subscriptions: u32,
    /// Records that it did not get, as far as it was told.
    pub(crate) missed: usize,
}

impl Ear {
    fn new(world: &World, user: &str, device: &str) -> Self {
        let link = come(&world.hub, world.clock.now(), user, Some(device));
        Self { link, clock: world.clock.clone(), heard: Vec::new(), subscriptions: 0, missed: 0 }
    }

    /// Asks with this client's own session.
    pub(crate) async fn ask(&mut self, op: &str, body: Value) -> Result<Value, No> {
        let ask = Ask { name: format!("im/{op}").into(), body: serde_json::to_vec(&body).unwrap().into() };
        let called = self.link.call(self.clock.now(), Call::Ask(ask));
        self.link.flush(self.clock.now());
        match answer(called).await {
            Answer::Told(told) => Ok(serde_json::from_slice(&told).unwrap()),
            Answer::Refused(refused) => Err(no(&refused)),
            other => panic!("not an answer to a question: {other:?}"),
        }
    }

    pub(crate) async fn subscribe(&mut self, topic: &str) -> Result<(), No> {
        self.subscriptions += 1;
        let wish = Subscribe::new(self.subscriptions, Filter::new(topic).unwrap());
        let called = self.link.call(self.clock.now(), Call::Subscribe(Box::new(wish)));
        self.link.flush(self.clock.now());
        match answer(called).await {
            Answer::Subscribed { .. } => Ok(()),
            Answer::Refused(refused) => Err(no(&refused)),
            other => panic!("not an answer to a subscribe: {other:?}"),
        }
    }

    fn take(&mut self, some: Vec<Delivery>) {
        let record = |record: &yizhan_hub::Record| Heard {
            topic: record.message.topic.as_str().to_owned(),
            seq: record.seq,
            from: record.message.from.user.to_string(),
            body: serde_json::from_slice(&record.message.body).unwrap_or(Value::Null),
        };
        for delivery in some {
            match delivery {
                Delivery::Record { record: one, .. } => self.heard.push(record(&one)),
                Delivery::Batch { batch, .. } => {
                    self.heard.extend(batch.records().iter().map(|one| record(one)))
                }
                Delivery::Missed { .. } => self.missed += 1,
                Delivery::StateEnd { .. } | Delivery::Leave(_) => {}
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

    /// The next event of this name (`entry`, `members`, …).
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        self.next(|heard| heard.body["event"] == name).await.body
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

    /// The names of all events that were heard and not asked for yet.
    pub(crate) async fn events(&mut self, world: &World) -> Vec<String> {
        let all = self.all(world).await;
        all.iter().filter_map(|heard| heard.body["event"].as_str().map(str::to_owned)).collect()
    }
}

fn come(hub: &Hub, now: Now, user: &str, device: Option<&str>) -> Link {
    let mut link = hub.link(Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), door: "test", secure: false });
    let hello = Hello {
        credentials: Credentials::Password { user: user.into(), password: "".into() },
        device: device.map(Into::into),
        ..Hello::default()
    };
    let opened = match link.call(now, Call::Hello(Box::new(hello))) {
        Called::Done(opened) => opened,
        Called::Later(opened) => opened.now_or_never().expect("everybody is let in at once"),
    };
    assert!(matches!(opened, Answer::Opened(_)), "not let in: {opened:?}");
    link
}

async fn answer(called: Called<Answer>) -> Answer {
    match called {
        Called::Done(answer) => answer,
        Called::Later(answer) => tokio::time::timeout(PATIENCE, answer).await.expect("an answer came"),
    }
}

fn no(refused: &Refused) -> No {
    No { code: refused.code(), reason: refused.to_string() }
}

async fn open(
    store: &Arc<Memory>,
    clock: &Arc<Hands>,
    config: Config,
    kicked: &Arc<Mutex<Vec<SessionId>>>,
    change: fn(&mut Seams),
    run: u64,
) -> (Hub, Im, Vec<JoinHandle<()>>) {
    let ids = Arc::new(AtomicU64::new(run * 1_000_000));
    // Different in all bits, and the same in each run of the test.
    let random: Arc<dyn Fn() -> u128 + Send + Sync> = Arc::new(move || {
        let next = u128::from(ids.fetch_add(1, SeqCst));
        next.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).rotate_left(61)
    });
    let space = |name: &str, topics: &str, keep, lag| Space {
        name: name.into(),
        topics: Filter::new(topics).unwrap(),
        keep,
        lag,
        dedup: Dedup::default(),
        lanes: 1,
    };
    let room = Limits { records_max: 1000, ..Limits::NONE };
    let options = Options {
        spaces: vec![
            space("im", "im/c/#", Keep::Memory(Limits::NONE), Lag::Skip),
            space("im-live", "im/u/#", Keep::Nothing, Lag::Skip),
            space("im-live-c", "im/c/+/live", Keep::Nothing, Lag::Skip),
            space("im-room", "im/r/#", Keep::Memory(room), Lag::Skip),
            space("im-room-live", "im/r/+/live", Keep::Nothing, Lag::Latest),
            space("live", "#", Keep::Nothing, Lag::Skip),
        ],
        limits: HubLimits::default(),
        store: store.clone(),
        access: Arc::new(Open),
        clock: clock.clone(),
        random: random.clone(),
    };
    let (hub, work) = Hub::open(options).await.unwrap();
    let kicks = kicked.clone();
    let mut seams = Seams {
        random,
        exists: Arc::new(|user| Box::pin(std::future::ready(!user.starts_with(NOBODY)))),
        administers: Arc::new(|who| &*who.user == ROOT),
        kick: Arc::new(move |session, _: Close| kicks.lock().push(session)),
        before: None,
        search: None,
    };
    change(&mut seams);
    let (im, own) = Im::open(hub.clone(), &**store, config, seams).await.unwrap();
    hub.serve(vec![Arc::new(im.clone())]);
    let running = vec![tokio::spawn(work), tokio::spawn(own)];
    (hub, im, running)
}
