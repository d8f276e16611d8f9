//! A door on a free port with a hub in memory and a service that echoes, a small client, and a hook's program.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use yizhan_chat::{Chat, Config, Materials};
use yizhan_hub::{
    Access, Action, Answer, Content, Credentials, Filter, Hub, HubLimits, Keep, Lag, Limits, Options, Peer,
    Principal, Record, Refused, SessionId, Space, SpaceId, Topic, Verdict,
    access::Rates,
    link::Publish,
    memory::Memory,
    message::Sender,
    service::{Ask, Caller, Denied, Service},
    space::Dedup,
};
use yizhan_im::{Audience, Operation};
use yizhan_net::{Door, Http, Open, Site, SystemClock};
use yizhan_talk::{Again, Called, Clock, Now};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A conversation.
pub(crate) const GROUP: &str = "gaaaaaaaaaaaaaaaa";

/// A running door.
pub(crate) struct Served {
    pub(crate) http: SocketAddr,
    pub(crate) hub: Hub,
    pub(crate) asked: Arc<AtomicUsize>,
    store: Arc<Memory>,
    open: Option<Open>,
}

struct Gate;

fn principal(user: &str, roles: &[&str]) -> Principal {
    Principal {
        user: user.into(),
        device: None,
        roles: roles.iter().map(|role| Arc::from(*role)).collect::<Vec<Arc<str>>>().into(),
        expires_at: None,
        rates: Rates::default(),
    }
}

impl Access for Gate {
    fn admit(
        &self,
        _now: Now,
        _peer: Peer,
        credentials: Credentials,
        _device: Option<Arc<str>>,
    ) -> BoxFuture<'static, Result<Principal, Refused>> {
        let admitted = match credentials {
            Credentials::None => Ok(principal("anonymous", &[])),
            Credentials::Token(token) if &*token == "root" => Ok(principal("root", &["owner"])),
            Credentials::Token(token) if token.len() < 5 => Ok(principal(&token, &["user"])),
            Credentials::Password { user, password } if user == password => Ok(principal(&user, &["user"])),
            _ => Err(Refused::NotAdmitted),
        };
        Box::pin(std::future::ready(admitted))
    }
    fn may(&self, _who: &Principal, _action: Action, _topic: &Topic) -> bool {
        true
    }
    fn may_filter(&self, _who: &Principal, _action: Action, _filter: &Filter) -> Verdict {
        Verdict::Allowed
    }
    fn may_ask(&self, _who: &Principal, _service: &str) -> bool {
        true
    }
}

/// A service that tells what it was asked, and counts.
struct Echo(Filter, Arc<AtomicUsize>);

impl Service for Echo {
    fn name(&self) -> &'static str {
        "im"
    }
    fn topics(&self) -> &Filter {
        &self.0
    }
    fn publish(&self, _caller: Caller, publish: Publish) -> Called<Answer> {
        Called::Done(Answer::Refused(Refused::NoSpace(publish.topic)))
    }
    fn ask(&self, caller: Caller, ask: Ask) -> Called<Answer> {
        let count = self.1.fetch_add(1, Ordering::SeqCst) + 1;
        let denied = |code, again| {
            let denied = Denied { code, reason: "no".into(), again };
            Called::Done(Answer::Refused(Refused::Denied(Box::new(denied))))
        };
        match &*ask.name {
            "im/no" => return denied(611, Again::Never),
            "im/busy" => return denied(640, Again::After(Duration::from_millis(1500))),
            "im/nothing" => return Called::Done(Answer::Told(bytes::Bytes::new())),
            _ => {}
        }
        let data: Value = serde_json::from_slice(&ask.body).unwrap_or(Value::Null);
        let told = json!({ "name": &*ask.name, "user": &*caller.who.user, "data": data, "count": count });
        Called::Later(Box::pin(async move {
            tokio::task::yield_now().await;
            Answer::Told(told.to_string().into())
        }))
    }
    fn may(&self, _who: &Principal, _action: Action, _topic: &Topic) -> bool {
        true
    }
    fn may_filter(&self, _who: &Principal, _action: Action, _filter: &Filter) -> Verdict {
        Verdict::Allowed
    }
    fn heard(&self, _records: &[Arc<Record>]) {}
    fn missed(&self, _space: SpaceId) {}
    fn left(&self, _now: Now, _session: SessionId, _who: &Principal) {}
}

pub(crate) async fn served(config: Config) -> Served {
    served_over(config, Arc::new(Memory::new(1))).await
}

/// Over a store that another server had.
pub(crate) async fn served_over(config: Config, store: Arc<Memory>) -> Served {
    let clock = Arc::new(SystemClock);
    let count = AtomicU64::new(1);
    let space = Space {
        name: "im".into(),
        topics: Filter::new("im/c/#").unwrap(),
        keep: Keep::Memory(Limits::NONE),
        lag: Lag::CatchUp,
        dedup: Dedup::default(),
        lanes: 1,
    };
    let (hub, work) = Hub::open(Options {
        spaces: vec![space],
        limits: HubLimits::default(),
        store: store.clone(),
        access: Arc::new(Gate),
        clock: clock.clone(),
        random: Arc::new(move || u128::from(count.fetch_add(0x9e37_79b9, Ordering::Relaxed))),
    })
    .await
    .unwrap();
    tokio::spawn(work);
    let asked = Arc::new(AtomicUsize::new(0));
    hub.serve(vec![Arc::new(Echo(Filter::new("im/#").unwrap(), asked.clone()))]);
    let operations = vec![Operation {
        name: "history",
        summary: "Tells what was said.",
        audience: Audience::Everybody,
        input: json!({ "type": "object" }),
        output: json!({ "type": "object" }),
    }];
    let materials = Materials { config, hub: hub.clone(), operations, version: "1".into(), files: None };
    let chat = Chat::new(materials, &*store).unwrap();
    let mut site = Site::new(yizhan_net::Limits::default(), clock as Arc<dyn Clock>);
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    site.listen_http(&Http { listen: vec![free], ..Http::default() }).unwrap();
    chat.open(&mut site).unwrap();
    let open = site.start().unwrap();
    Served { http: open.bound()["http"][0], hub, asked, store, open: Some(open) }
}

impl Served {
    /// Ends it, and gives its store.
    pub(crate) async fn end(mut self) -> Arc<Memory> {
        self.open.take().unwrap().drain(Duration::from_millis(100)).await;
        self.store.clone()
    }

    /// Says something in the group.
    pub(crate) async fn say(&self, text: &str) {
        self.publish(&format!("im/c/{GROUP}"), json!({ "kind": "text", "text": text })).await;
    }

    pub(crate) async fn publish(&self, topic: &str, body: Value) {
        let from = Sender { user: "ann".into(), device: None, session: SessionId(1) };
        let publish = Publish {
            content: Content::Json,
            ..Publish::new(Topic::new(topic).unwrap(), body.to_string().into())
        };
        let answer = match self.hub.publish_as(self.hub.now(), from, publish) {
            Called::Done(answer) => answer,
            Called::Later(answer) => answer.await,
        };
        assert!(matches!(answer, Answer::Published(_)), "{answer:?}");
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
        let mut answered = Answered { status: 0, headers: Vec::new(), body: Vec::new() };
        loop {
            let mut line = String::new();
            tokio::time::timeout(PATIENCE, stream.read_line(&mut line)).await.unwrap().unwrap();
            let line = line.trim_end();
            if answered.status == 0 {
                answered.status = line.split(' ').nth(1).unwrap().parse().unwrap();
            } else if let Some((name, value)) = line.split_once(": ") {
                answered.headers.push((name.to_ascii_lowercase(), value.to_owned()));
            } else {
                break;
            }
        }
        let read = stream.read_to_end(&mut answered.body);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        answered
    }
}

/// An answer to a request.
pub(crate) struct Answered {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(there, _)| there == name).map(|(_, value)| &**value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A hook's program: it answers as it is told, and remembers what it took.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) url: String,
    answers: Arc<Mutex<Vec<&'static str>>>,
    pub(crate) heard: Arc<Mutex<Vec<Heard>>>,
}

/// A post that came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) head: String,
    pub(crate) body: Value,
    pub(crate) answered: &'static str,
}

/// Taken.
pub(crate) const TAKEN: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

impl Program {
    /// One that answers with these, the next one each time, and the last one from then on.
    pub(crate) async fn new(answers: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
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
    pub(crate) fn answer(&self, answers: &[&'static str]) {
        *self.answers.lock().unwrap() = answers.iter().rev().copied().collect();
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
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop().unwrap() } else { answers[0] }
        };
        let body = serde_json::from_slice(&body).unwrap();
        self.heard.lock().unwrap().push(Heard { head, body, answered: answer });
        drop(stream.write_all(answer.as_bytes()).await);
        if answer.is_empty() {
            // It hangs until the other side goes.
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
    }

    /// The texts of all messages in posts that were answered so, in order.
    pub(crate) fn texts(&self, answered: &str) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let posts = heard.iter().filter(|heard| heard.answered == answered);
        let events = posts.flat_map(|heard| heard.body["events"].as_array().unwrap().clone());
        events.filter_map(|event| Some(event["data"]["text"].as_str()?.to_owned())).collect()
    }

    /// Waits until so many posts came.
    pub(crate) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "it never happened: {:?}", self.heard.lock().unwrap());
    }
}
