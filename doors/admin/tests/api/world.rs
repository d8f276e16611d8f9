//! A hub, its identity and the API over them, with time moved by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use yizhan_admin::{Api, Ask, Bridge, Reply, Traces, Views};
use yizhan_hub::{
    Answer, Call, Content, Credentials, Filter, Hello, Hub, HubLimits, Keep, Lag, Limits, Link, Options,
    Peer, Space, Topic,
    link::{Publish, Subscribe},
    memory::Memory,
    space::Dedup,
};
use yizhan_identity::{Config, Identity, Revoked, Seams, config::PasswordConfig};
use yizhan_talk::{Backend as _, Called, Clock, Now, Timestamp};

pub(crate) struct HandClock(Mutex<Now>);

impl Clock for HandClock {
    fn now(&self) -> Now {
        *self.0.lock()
    }
}

/// What the server would switch.
#[derive(Default)]
pub(crate) struct Switches {
    pub(crate) listening: AtomicBool,
    pub(crate) draining: AtomicBool,
    pub(crate) full: AtomicBool,
}

/// Clients that are followed.
#[derive(Default)]
struct Followed(Mutex<Vec<String>>);

impl Traces for Followed {
    fn start(&self, _: Now, client: &str, time: Duration) -> Result<String, String> {
        if time > Duration::from_secs(3600) {
            return Err("a client is not followed so long".into());
        }
        self.0.lock().push(client.into());
        Ok(format!("$SYS/trace/{client}"))
    }
    fn stop(&self, client: &str) {
        self.0.lock().retain(|known| known != client);
    }
    fn clients(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) hub: Hub,
    pub(crate) identity: Identity,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) switches: Arc<Switches>,
    /// The hub's own work, run while something is awaited.
    work: Mutex<yizhan_hub::Work>,
}

pub(crate) const PEER: Peer =
    Peer { address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7)), door: "http", secure: false };

fn space(name: &str, topics: &str, keep: Keep) -> Space {
    let topics = Filter::new(topics).unwrap();
    Space { name: name.into(), topics, keep, lag: Lag::Skip, dedup: Dedup::default(), lanes: 1 }
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Now { steady: Instant::now(), wall: Timestamp::from_millis(1_700_000_000_000) };
        let clock = Arc::new(HandClock(Mutex::new(now)));
        let store = Arc::new(Memory::new(1));
        let config = Config {
            password: PasswordConfig { memory_kib: 8, passes: 1, lanes: 1 },
            anonymous: yizhan_identity::config::Entry::Open,
            ..Config::default()
        };
        let hub_later: Arc<Mutex<Option<Hub>>> = Arc::default();
        let hub_then = hub_later.clone();
        let seams = Seams {
            revoked: Arc::new(move |revoked: &Revoked| {
                if let Some(hub) = &*hub_then.lock() {
                    hub.kick_where(|who| revoked.concerns(who), &revoked.close());
                }
            }),
            ..Seams::default()
        };
        let identity = Identity::open(config, &*store, seams).now_or_never().unwrap().unwrap();
        let random = Mutex::new(7_u128);
        let options = Options {
            spaces: vec![
                space("all", "#", Keep::Nothing),
                space("kept", "kept/#", Keep::Memory(Limits { records_max: 100, ..Limits::NONE })),
            ],
            limits: HubLimits::default(),
            store,
            access: Arc::new(identity.clone()),
            clock: clock.clone(),
            random: Arc::new(move || {
                let mut random = random.lock();
                *random = random.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(11);
                *random
            }),
        };
        let (hub, work) = Hub::open(options).now_or_never().unwrap().unwrap();
        *hub_later.lock() = Some(hub.clone());
        let switches = Arc::<Switches>::default();
        let [listening, draining, full] = [0, 1, 2].map(|_| switches.clone());
        let views = Views {
            version: "0.0.0",
            started_at: now.wall,
            first_run: true,
            figures: Arc::new(|| Some(r#"{"at":1,"sessions":2}"#.into())),
            config: Arc::new(|| json!({ "identity": { "jwt": { "secret": "•••" } } })),
            metrics: Arc::new(|| "yizhan_up 1\n".into()),
            listening: Arc::new(move || listening.listening.load(SeqCst)),
            draining: Arc::new(move || draining.draining.load(SeqCst)),
            store_trouble: Arc::new(move || full.full.load(SeqCst).then(|| "the disk is full".into())),
            traces: Some(Arc::new(Followed::default())),
            bridges: Arc::new(|| {
                vec![Bridge {
                    name: "cloud".into(),
                    address: "broker.example:8883".into(),
                    connected_at: None,
                    last_error: Some("refused".into()),
                    failures: 3,
                    waiting: 2,
                    sent: 1,
                    received: 0,
                    dropped: 0,
                    missed: 0,
                }]
            }),
        };
        let api = Api::new(hub.clone(), identity.clone(), Arc::new(views));
        Self { api, hub, identity, clock, switches, work: Mutex::new(work) }
    }

    pub(crate) fn wait(&self, seconds: u64) {
        let span = Duration::from_secs(seconds);
        let mut now = self.clock.0.lock();
        *now = Now { steady: now.steady + span, wall: now.wall.plus(span) };
    }

    /// Runs the hub's work until it waits for something new.
    fn turn(&self) {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(self.work.lock().as_mut().poll(&mut context).is_pending());
    }

    pub(crate) fn send(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Reply {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let ask = Ask {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            path: path.into(),
            query: pairs.map(|(name, value)| (name.into(), value.into())).collect(),
            bearer: token.map(Into::into),
            is_json: body.is_some(),
            body: body.map(|body| body.to_string()).unwrap_or_default().into(),
            peer: PEER,
            now: self.clock.now(),
        };
        self.api.answer(ask).now_or_never().expect("nothing waits here")
    }

    /// Status and body of an answer.
    pub(crate) fn ask(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> (u16, Value) {
        let reply = self.send(method, path, Some(token), body);
        let value =
            if reply.body.is_empty() { Value::Null } else { serde_json::from_str(&reply.body).unwrap() };
        assert_eq!(reply.status == StatusCode::NO_CONTENT, reply.body.is_empty());
        (reply.status.as_u16(), value)
    }

    /// The body of an answer that is 200.
    pub(crate) fn get(&self, path: &str, token: &str) -> Value {
        let (status, body) = self.ask("GET", path, token, None);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Status and code of a refusal.
    pub(crate) fn refused(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> (u16, u64) {
        let (status, body) = self.ask(method, path, token, body);
        assert!(body["reason"].as_str().is_some_and(|reason| reason.len() > 10), "{body}");
        (status, body["code"].as_u64().unwrap_or_else(|| panic!("{path}: {status} {body}")))
    }

    /// The first owner's token.
    pub(crate) fn owner(&self) -> String {
        let link = self.identity.bootstrap(self.clock.now()).now_or_never().unwrap().unwrap().unwrap();
        let body =
            json!({ "ticket": link.reveal(), "user": "own", "password": "own's secret", "device": "desk" });
        let reply = self.send("POST", "login/link", None, Some(body));
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        serde_json::from_str::<Value>(&reply.body).unwrap()["token"].as_str().unwrap().into()
    }

    /// Makes an account and signs it in.
    pub(crate) fn user(&self, owner: &str, user: &str, role: &str) -> String {
        let password = format!("{user}'s secret");
        let body = json!({ "user": user, "password": password, "roles": [role] });
        let (status, made) = self.ask("POST", "accounts", owner, Some(body));
        assert_eq!(status, 201, "{made}");
        let reply = self.send("POST", "login", None, Some(json!({ "user": user, "password": password })));
        serde_json::from_str::<Value>(&reply.body).unwrap()["token"].as_str().unwrap().into()
    }

    /// A client of the hub.
    pub(crate) fn link(&self, token: Option<&str>, device: &str) -> Link {
        let mut link = self.hub.link(Peer { door: "ws", ..PEER });
        let credentials = token.map_or(Credentials::None, |token| Credentials::Token(token.into()));
        let hello = Hello { credentials, device: Some(device.into()), ..Hello::default() };
        let answer = self.call(&mut link, Call::Hello(Box::new(hello)));
        assert!(matches!(answer, Answer::Opened(_)), "{answer:?}");
        link
    }

    pub(crate) fn call(&self, link: &mut Link, call: Call) -> Answer {
        let called = link.call(self.clock.now(), call);
        link.flush(self.clock.now());
        self.turn();
        match called {
            Called::Done(answer) => answer,
            Called::Later(mut answer) => {
                // A named session is safe before hello is answered, which takes the hub's work.
                for _ in 0..4 {
                    if let Some(answer) = (&mut answer).now_or_never() {
                        return answer;
                    }
                    self.turn();
                }
                panic!("the store is in memory: no answer came");
            }
        }
    }

    pub(crate) fn subscribe(&self, link: &mut Link, id: u32, filter: &str) {
        let subscribe = Subscribe::new(id, Filter::new(filter).unwrap());
        let answer = self.call(link, Call::Subscribe(Box::new(subscribe)));
        assert!(matches!(answer, Answer::Subscribed { .. }), "{answer:?}");
    }

    pub(crate) fn publish(&self, link: &mut Link, topic: &str) {
        let publish =
            Publish { content: Content::Text, ..Publish::new(Topic::new(topic).unwrap(), "hello".into()) };
        let answer = self.call(link, Call::Publish(publish));
        assert!(matches!(answer, Answer::Published(_)), "{answer:?}");
    }
}
