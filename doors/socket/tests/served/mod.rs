//! A door on free ports with a hub in memory, and small clients.
#![allow(clippy::disallowed_methods, reason = "tests stand outside of the floor: they own sockets and tasks")]

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use yizhan_hub::{
    Access, Action, Answer, Credentials, Filter, Hub, HubLimits, Keep, Lag, Limits, Options, Peer, Principal,
    Record, Refused, SessionId, Space, SpaceId, Topic, Verdict,
    access::Rates,
    link::Publish,
    memory::Memory,
    service::{Ask, Caller, Denied, Service},
    space::Dedup,
};
use yizhan_net::{
    Door, Http, Listen, Open, Site, SystemClock,
    websocket::client::{self, Client, Said},
};
use yizhan_socket::{Config, Socket, Terms, Ticket, Tickets};
use yizhan_talk::{Again, Called, Clock, Now};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running door.
pub(crate) struct Served {
    pub(crate) http: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) socket: Socket,
    open: Option<Open>,
}

/// Lets in anonymous clients, whoever shows `Bearer ann`, and tickets.
#[derive(Default)]
struct Gate {
    tickets: Mutex<HashMap<String, Arc<Principal>>>,
    count: AtomicU64,
}

fn principal(user: &str) -> Principal {
    Principal {
        user: user.into(),
        device: None,
        roles: Arc::default(),
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
            Credentials::None => Ok(principal("anonymous")),
            Credentials::Token(token) if &*token == "ann" => Ok(principal("ann")),
            Credentials::Ticket(ticket) => {
                let who = self.tickets.lock().unwrap().remove(&*ticket);
                who.map(|who| (*who).clone()).ok_or(Refused::NotAdmitted)
            }
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
}

/// A service that tells what it was asked.
struct Echo(Filter);

impl Service for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }
    fn topics(&self) -> &Filter {
        &self.0
    }
    fn publish(&self, _caller: Caller, publish: Publish) -> Called<Answer> {
        Called::Done(Answer::Refused(Refused::NoSpace(publish.topic)))
    }
    fn ask(&self, caller: Caller, ask: Ask) -> Called<Answer> {
        if &*ask.name == "echo/no" {
            let denied = Denied { code: 611, reason: "no".into(), again: Again::Never };
            return Called::Done(Answer::Refused(Refused::Denied(Box::new(denied))));
        }
        let data: Value = match &ask.body[..] {
            b"" => Value::from("nothing"),
            body => serde_json::from_slice(body).unwrap(),
        };
        let told = serde_json::json!({ "name": &*ask.name, "user": &*caller.who.user, "data": data });
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

impl Tickets for Gate {
    fn issue(&self, _now: Now, who: Arc<Principal>) -> BoxFuture<'_, Result<Ticket, Refused>> {
        let text = format!("t{}", self.count.fetch_add(1, Ordering::Relaxed));
        self.tickets.lock().unwrap().insert(text.clone(), who);
        Box::pin(std::future::ready(Ok(Ticket { text, expires_in: Duration::from_secs(60) })))
    }
}

pub(crate) async fn served() -> Served {
    served_with(Config::default()).await
}

pub(crate) async fn served_with(config: Config) -> Served {
    let space = |name: &str, topics: &str, keep| Space {
        name: name.into(),
        topics: Filter::new(topics).unwrap(),
        keep,
        lag: Lag::CatchUp,
        dedup: Dedup::default(),
        lanes: 1,
    };
    let (gate, clock) = (Arc::new(Gate::default()), Arc::new(SystemClock));
    let count = AtomicU64::new(1);
    let (hub, work) = Hub::open(Options {
        spaces: vec![space("live", "#", Keep::Nothing), space("kept", "kept/#", Keep::Memory(Limits::NONE))],
        limits: HubLimits::default(),
        store: Arc::new(Memory::new(1)),
        access: gate.clone(),
        clock: clock.clone(),
        random: Arc::new(move || u128::from(count.fetch_add(0x9e37_79b9, Ordering::Relaxed))),
    })
    .await
    .unwrap();
    tokio::spawn(work);
    hub.serve(vec![Arc::new(Echo(Filter::new("echo/#").unwrap()))]);
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config { tcp: Listen::at(free), ..config };
    let terms = Terms { config, server: "yizhan/test".into(), subscriptions_max: 10_000 };
    let socket = Socket::new(hub.clone(), terms, gate);
    let mut site = Site::new(yizhan_net::Limits::default(), clock as Arc<dyn Clock>);
    site.listen_http(&Http { listen: vec![free], ..Http::default() }).unwrap();
    socket.open(&mut site).unwrap();
    let open = site.start().unwrap();
    let bound = open.bound();
    Served { http: bound["http"][0], tcp: bound["tcp"][0], socket, open: Some(open) }
}

impl Served {
    pub(crate) async fn tcp(&self) -> Lines {
        Lines {
            stream: BufReader::new(TcpStream::connect(self.tcp).await.unwrap()),
            waiting: VecDeque::new(),
        }
    }

    pub(crate) async fn websocket(&self, subprotocol: &str) -> Client {
        let options =
            client::Options { subprotocols: vec![subprotocol.to_owned()], ..client::Options::default() };
        client::connect(&format!("ws://{}/v1/socket", self.http), &options).await.unwrap()
    }

    /// Publishes a text by a plain request.
    pub(crate) async fn publish(&self, topic: &str, text: &str) {
        let request = format!("POST /v1/publish/{topic}");
        let published = http_with(self, &request, &["content-type: text/plain"], text.as_bytes()).await;
        assert_eq!(published.status, 200);
    }

    /// Waits until the session of this `welcome` has no connection any more.
    pub(crate) async fn until_asleep(&self, welcome: &Value) {
        let user = welcome["user"].as_str().unwrap();
        let session = &welcome["session"];
        let request = format!("GET /v1/presence?user={user}");
        tokio::time::timeout(PATIENCE, async {
            loop {
                let present = http(self, &request).await;
                let present: Value = serde_json::from_slice(&present.body).unwrap();
                if present["sessions"].as_array().unwrap().iter().all(|there| there["session"] != *session) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the session falls asleep");
    }

    pub(crate) async fn drain(mut self) {
        let open = self.open.take().unwrap();
        tokio::spawn(open.drain(PATIENCE));
    }
}

/// A client of the TCP port.
pub(crate) struct Lines {
    stream: BufReader<TcpStream>,
    waiting: VecDeque<Value>,
}

impl Lines {
    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Sends nothing more.
    pub(crate) async fn shut(&mut self) {
        self.stream.get_mut().shutdown().await.unwrap();
    }

    /// Whether the server sends nothing more either.
    pub(crate) async fn is_over(&mut self) -> bool {
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.unwrap().unwrap() == 0
    }

    pub(crate) async fn event(&mut self) -> Value {
        while self.waiting.is_empty() {
            let mut line = String::new();
            tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await.unwrap().unwrap();
            self.waiting = events(&line);
        }
        self.waiting.pop_front().unwrap()
    }
}

/// The events of one frame.
fn events(frame: &str) -> VecDeque<Value> {
    match serde_json::from_str(frame).unwrap_or_else(|e| panic!("{e}: {frame:?}")) {
        Value::Array(events) => events.into(),
        event => VecDeque::from([event]),
    }
}

async fn said(client: &mut Client) -> Said {
    tokio::time::timeout(PATIENCE, client.next()).await.unwrap().unwrap()
}

/// The next message's only event.
pub(crate) async fn text_event(client: &mut Client) -> Value {
    match said(client).await {
        Said::Message(_, bytes) => serde_json::from_slice(&bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The code that the server closes with.
pub(crate) async fn close_code(client: &mut Client) -> u16 {
    loop {
        if let Said::Close(code, _) = said(client).await {
            return code;
        }
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
}

pub(crate) async fn http(served: &Served, request: &str) -> Answered {
    http_with(served, request, &[], b"").await
}

pub(crate) async fn http_with(served: &Served, request: &str, headers: &[&str], body: &[u8]) -> Answered {
    let begun = ask(served, request, headers, body).await;
    rest_of(begun).await
}

/// The whole of an answer whose head was read.
pub(crate) async fn rest_of((mut stream, mut answered): Begun) -> Answered {
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answered.body)).await.unwrap().unwrap();
    answered
}

/// An answer whose head was read.
pub(crate) type Begun = (BufReader<TcpStream>, Answered);

/// Sends a request (as HTTP/1.0, so that the body ends with the connection) and reads the head.
pub(crate) async fn ask(served: &Served, request: &str, headers: &[&str], body: &[u8]) -> Begun {
    let mut stream = BufReader::new(TcpStream::connect(served.http).await.unwrap());
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let (host, length) = (served.http, body.len());
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
            return (stream, answered);
        }
    }
}

/// An event stream as a browser reads it.
pub(crate) struct Events {
    stream: BufReader<TcpStream>,
    head: Answered,
    last_id: String,
    waiting: VecDeque<Value>,
}

pub(crate) async fn stream(served: &Served, path: &str, last_id: Option<&str>) -> Events {
    let headers: Vec<String> = last_id.iter().map(|id| format!("last-event-id: {id}")).collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let (stream, head) = ask(served, &format!("GET {path}"), &headers, b"").await;
    assert_eq!(head.status, 200);
    Events { stream, head, last_id: String::new(), waiting: VecDeque::new() }
}

impl Events {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub(crate) fn last_id(&self) -> &str {
        &self.last_id
    }

    /// The next event of a frame, by the rules of WHATWG HTML §9.2.6.
    pub(crate) async fn event(&mut self) -> Value {
        while self.waiting.is_empty() {
            let mut data = String::new();
            loop {
                let mut line = String::new();
                tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await.unwrap().unwrap();
                assert!(!line.is_empty(), "the stream ended");
                match line.trim_end_matches('\n').split_once(": ") {
                    Some(("data", text)) => data.push_str(text),
                    Some(("id", id)) => self.last_id = id.to_owned(),
                    _ if !data.is_empty() => break,
                    _ => {}
                }
            }
            self.waiting = events(&data);
        }
        self.waiting.pop_front().unwrap()
    }

    /// The texts of the next `count` records; whatever else comes is passed over.
    pub(crate) async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let event = self.event().await;
            for record in event["records"].as_array().into_iter().flatten() {
                texts.push(record["text"].as_str().unwrap().to_owned());
            }
        }
        texts
    }
}
