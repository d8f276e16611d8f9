//! The door on a free port over a hub in memory, and the operator's program beside it.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use yizhan_hub::{
    Access, Action, Credentials, Filter, Hub, HubLimits, Keep, Lag, Options, Peer, Principal, Refused, Space,
    Topic, Verdict, access::Rates, memory::Memory, space::Dedup,
};
use yizhan_live::{Hooks, LiveDoor};
use yizhan_media::{
    Config, Creds, Gone, Media, Name, Party, Pass, Porter, Wish,
    access::{Doormen, Gate},
    config::hooks::Hooks as HooksConfig,
    service::{Live, Seams},
};
use yizhan_net::{Door, Http, Open, Site, SystemClock};
use yizhan_talk::{Clock, Now};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running door.
pub(crate) struct Served {
    pub(crate) http: SocketAddr,
    pub(crate) media: Media,
    pub(crate) hooks: Hooks,
    open: Option<Open>,
}

struct Names;

impl Access for Names {
    fn admit(
        &self,
        _now: Now,
        _peer: Peer,
        credentials: Credentials,
        _device: Option<Arc<str>>,
    ) -> BoxFuture<'static, Result<Principal, Refused>> {
        let user: Result<Arc<str>, Refused> = match credentials {
            Credentials::None => Ok("anonymous".into()),
            Credentials::Token(user) if user.len() < 6 => Ok(user),
            Credentials::Password { user, password } if user == password => Ok(user),
            _ => Err(Refused::NotAdmitted),
        };
        let principal = |user| Principal {
            user,
            device: None,
            roles: Arc::default(),
            expires_at: None,
            rates: Rates::default(),
        };
        Box::pin(std::future::ready(user.map(principal)))
    }
    fn may(&self, who: &Principal, _action: Action, _topic: &Topic) -> bool {
        &*who.user != "anonymous"
    }
    fn may_filter(&self, _who: &Principal, _action: Action, _filter: &Filter) -> Verdict {
        Verdict::Allowed
    }
}

pub(crate) async fn served(hooks: HooksConfig) -> Served {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let count = AtomicU64::new(1);
    let store = Arc::new(Memory::new(1));
    let random: Arc<dyn Fn() -> u128 + Send + Sync> =
        Arc::new(move || u128::from(count.fetch_add(0x9e37_79b9, Ordering::Relaxed)));
    let space = Space {
        name: "all".into(),
        topics: Filter::new("#").unwrap(),
        keep: Keep::Nothing,
        lag: Lag::Skip,
        dedup: Dedup::default(),
        lanes: 1,
    };
    let (hub, work) = Hub::open(Options {
        spaces: vec![space],
        limits: HubLimits::default(),
        store: store.clone(),
        access: Arc::new(Names),
        clock: clock.clone(),
        random: random.clone(),
    })
    .await
    .unwrap();
    tokio::spawn(work);
    let config = Config {
        keys: serde_json::from_value(json!({ "live/room": "hunter2" })).unwrap(),
        ..Config::default()
    };
    let doormen = Doormen { access: Arc::new(Names), administers: Arc::new(|who| &*who.user == "root") };
    let gate = Gate::new(&config.access, &config.keys, &config.tokens, doormen).unwrap();
    let media = Media::new(config.clone(), 1);
    let hooks = Hooks::new(&hooks, "here", Arc::new(gate.clone()), clock.clone()).unwrap();
    media.set_porter(Arc::new(hooks.clone()));
    let seams = Seams { gate, recorder: None, random };
    let (live, own) = Live::open(hub.clone(), media.clone(), &*store, config.chat, seams).await.unwrap();
    tokio::spawn(own);
    hub.serve(vec![Arc::new(live)]);
    let mut site = Site::new(yizhan_net::Limits::default(), clock);
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    site.listen_http(&Http { listen: vec![free], ..Http::default() }).unwrap();
    LiveDoor::new(hub, hooks.clone(), "1").open(&mut site).unwrap();
    let open = site.start().unwrap();
    Served { http: open.bound()["http"][0], media, hooks, open: Some(open) }
}

pub(crate) fn room() -> Name {
    Name::new("live", "room").unwrap()
}

fn party(params: &str) -> Party {
    let address = Some([203, 0, 113, 7].into());
    Party { address, params: params.into(), ..Party::by("rtmp").with_client("OBS 30.1") }
}

impl Served {
    /// Somebody wants to publish or watch.
    pub(crate) async fn wish(&self, publishing: bool, params: &str) -> Result<Pass, yizhan_media::Refused> {
        let creds = Creds { params: params.into(), bearer: None };
        let wish =
            Wish { now: SystemClock.now(), name: room(), party: party(params), creds, publishing, id: 0x2a };
        self.media.may(wish).wait().await
    }

    /// A viewer has gone; `bytes` tells one from others.
    pub(crate) fn gone(&self, publishing: bool, bytes: u64) {
        let party = Party { user: Some("ann".into()), ..party("key=hunter2") };
        let gone = Gone { now: SystemClock.now(), name: room(), party, publishing, id: 0x2a, bytes };
        self.hooks.gone(gone);
    }

    pub(crate) async fn end(mut self) {
        self.open.take().unwrap().drain(Duration::from_millis(100)).await;
    }

    pub(crate) async fn post(&self, path: &str, headers: &[&str], body: &[u8]) -> Answered {
        self.request(&format!("POST {path}"), headers, body).await
    }

    /// Sends a request as HTTP/1.0, so that the body ends with the connection.
    pub(crate) async fn request(&self, request: &str, headers: &[&str], body: &[u8]) -> Answered {
        let mut stream = BufReader::new(TcpStream::connect(self.http).await.unwrap());
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let (host, length) = (self.http, body.len());
        let head = format!("{request} HTTP/1.0\r\nhost: {host}\r\ncontent-length: {length}\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // A body that is too large is not read to its end.
        drop(stream.write_all(body).await);
        let mut answered = Answered { status: 0, headers: BTreeMap::new(), body: Vec::new() };
        loop {
            let mut line = String::new();
            tokio::time::timeout(PATIENCE, stream.read_line(&mut line)).await.unwrap().unwrap();
            let line = line.trim_end();
            if answered.status == 0 {
                answered.status = line.split(' ').nth(1).unwrap().parse().unwrap();
            } else if let Some((name, value)) = line.split_once(": ") {
                answered.headers.insert(name.to_ascii_lowercase(), value.to_owned());
            } else {
                break;
            }
        }
        let read = stream.read_to_end(&mut answered.body);
        // One that sends too much may be cut off before all of the answer is there.
        drop(tokio::time::timeout(PATIENCE, read).await.unwrap());
        answered
    }
}

/// An answer to a request.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// The operator's program: it answers as it is told, and remembers what it was told.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) url: String,
    answers: Arc<Mutex<Vec<String>>>,
    pub(crate) heard: Arc<Mutex<Vec<Heard>>>,
}

/// A post that came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) head: String,
    pub(crate) body: Value,
    pub(crate) answered: String,
}

/// A response with this status and body.
pub(crate) fn says(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// Nothing is answered.
pub(crate) const HANGS: &str = "";

impl Program {
    /// One that answers with these, the next one each time, and the last one from then on.
    pub(crate) async fn new(answers: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?key=a", listener.local_addr().unwrap());
        let program = Self { url, answers: Arc::default(), heard: Arc::default() };
        program.answer(answers);
        let serving = program.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        program
    }

    /// Answers so from now on.
    pub(crate) fn answer(&self, answers: &[String]) {
        *self.answers.lock().unwrap() = answers.iter().rev().cloned().collect();
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let answered = {
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop().unwrap() } else { answers[0].clone() }
        };
        let body = serde_json::from_slice(&body).unwrap();
        self.heard.lock().unwrap().push(Heard { head, body, answered: answered.clone() });
        drop(stream.write_all(answered.as_bytes()).await);
        if answered.is_empty() {
            // It hangs until the other side goes.
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until it holds.
    pub(crate) async fn until(&self, holds: impl Fn(&[Heard]) -> bool) {
        let waiting = async {
            while !holds(&self.heard()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "it never happened: {:?}", self.heard());
    }
}
