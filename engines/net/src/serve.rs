//! One HTTP connection: HTTP/1.1 or HTTP/2, its deadlines, its requests, and what it may turn into.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, ALLOW, ORIGIN, VARY,
    },
};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tracing::{Instrument as _, debug, debug_span, error};

use crate::{
    Ended, Http, Line, Request, Response, Stream, Subprotocol,
    exchange::Alarm,
    line::Signal,
    path::{Found, Paths},
    reply,
    site::Tasks,
    stream::Io,
    websocket::{
        Settings, Upgrade,
        handshake::{self, Accepted},
    },
};

/// What an HTTP/2 client says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Requests that one HTTP/2 connection may have under way.
const STREAMS_MAX: u32 = 200;
/// How often a silent HTTP/2 connection is asked whether it is still there.
const H2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long unread input is thrown away after the last response, so that the client sees it.
const LINGER_MAX: Duration = Duration::from_secs(1);
/// How long a browser may remember what it was told about other origins.
const PREFLIGHT_AGE: &str = "600";

pub(crate) type Each = Box<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>;
/// What an accepted WebSocket runs.
pub(crate) type Run = Box<dyn FnOnce(Stream) -> BoxFuture<'static, Ended> + Send>;
pub(crate) type Join =
    Box<dyn Fn(&Upgrade<'_>, &Accepted, &Arc<Settings>) -> Result<Run, Box<Response>> + Send + Sync>;

/// Where a route leads.
pub(crate) enum Target {
    Http(Each),
    WebSocket { door: &'static str, subprotocols: &'static [Subprotocol], deflate: bool, join: Join },
}

/// One HTTP port.
pub(crate) struct Port {
    pub(crate) paths: Arc<Paths<Target>>,
    pub(crate) config: Http,
    pub(crate) settings: Arc<Settings>,
    pub(crate) tasks: Tasks,
}

/// Serves one connection to its end.
pub(crate) async fn serve(mut stream: Stream, port: Arc<Port>) -> Ended {
    let line = Arc::clone(stream.line());
    let h2 = match stream.agreed_on_h2() {
        Some(h2) => Some(h2),
        None => unless_signalled(&line, sniff(&mut stream, port.config.header_within)).await.flatten(),
    };
    match h2 {
        Some(true) => serve_h2(stream, port).await,
        Some(false) => serve_h1(stream, port).await,
        None => line.shell().meters.handshakes_failed.one(),
    }
    Ended::Left
}

/// Runs `work` unless the site wants the line to end.
pub(crate) async fn unless_signalled<T>(line: &Line, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| match line.signal(cx) {
        Signal::None => work.as_mut().poll(cx).map(Some),
        _ => Poll::Ready(None),
    })
    .await
}

/// Whether what comes is HTTP/2 without TLS; `None` where nothing came in time.
async fn sniff(stream: &mut Stream, within: Duration) -> Option<bool> {
    let mut head = BytesMut::with_capacity(4096);
    let looked = tokio::time::timeout(within, async {
        loop {
            if stream.read_buf(&mut head).await.ok()? == 0 {
                return None;
            }
            let n = head.len().min(PREFACE.len());
            if head[..n] != PREFACE[..n] {
                return Some(false);
            }
            if n == PREFACE.len() {
                return Some(true);
            }
        }
    });
    let h2 = looked.await.ok().flatten()?;
    stream.unread(head.freeze());
    Some(h2)
}

async fn serve_h1(stream: Stream, port: Arc<Port>) {
    let line = Arc::clone(stream.line());
    let watch = Arc::new(Watch::new(Instant::now()));
    let service = Service {
        port: Arc::clone(&port),
        line: Arc::clone(&line),
        watch: Arc::clone(&watch),
        next: Arc::default(),
    };
    let next = Arc::clone(&service.next);
    let io = TokioIo::new(Watched { stream, watch: Arc::clone(&watch) });
    let mut connection = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .max_header_size(port.config.header_bytes_max)
        .max_buf_size(port.config.header_bytes_max.max(16 * 1024))
        .serve_connection(io, service);
    let mut alarm = Alarm::default();
    let served = poll_fn(|cx| {
        let now = Instant::now();
        match line.signal(cx) {
            Signal::None => {}
            Signal::Leave(_) => Pin::new(&mut connection).graceful_shutdown(),
            Signal::Cut => return Poll::Ready(false),
        }
        if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(result.is_ok());
        }
        let due = watch.due(now, &port.config);
        match due {
            Due::Late => return Poll::Ready(false),
            Due::Idle => {
                Pin::new(&mut connection).graceful_shutdown();
                if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
                    return Poll::Ready(result.is_ok());
                }
            }
            Due::At(at) => alarm.set(cx, now, Some(at)),
        }
        Poll::Pending
    })
    .await;
    if !served {
        return;
    }
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().stream;
    let next = next.lock().take();
    match next {
        Some((door, run)) => port.tasks.spawn(door, run(stream.at_door(door, &parts.read_buf))),
        None => linger(stream).await,
    }
}

/// Ends our side and waits a little for the client to end its own.
async fn linger(mut stream: Stream) {
    let line = Arc::clone(stream.line());
    let wait = tokio::time::timeout(LINGER_MAX, async {
        if stream.shutdown().await.is_ok() {
            let mut unread = [0; 4096];
            while stream.read(&mut unread).await.is_ok_and(|n| n > 0) {}
        }
    });
    // Whether the client ended or the time did, the stream is dropped now.
    let _ended = unless_signalled(&line, wait).await;
}

async fn serve_h2(stream: Stream, port: Arc<Port>) {
    let line = Arc::clone(stream.line());
    let watch = Arc::new(Watch::new(Instant::now()));
    let service = Service {
        port: Arc::clone(&port),
        line: Arc::clone(&line),
        watch: Arc::clone(&watch),
        next: Arc::default(),
    };
    let mut connection = hyper::server::conn::http2::Builder::new(port.tasks.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(H2_PING_INTERVAL)
        .max_header_list_size(u32::try_from(port.config.header_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_MAX)
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(stream), service);
    let mut alarm = Alarm::default();
    let mut leaving = false;
    poll_fn(|cx| {
        let now = Instant::now();
        let idle = matches!(watch.due(now, &port.config), Due::Idle);
        match line.signal(cx) {
            Signal::Cut => return Poll::Ready(()),
            Signal::None if !idle => {}
            _ if !leaving => {
                leaving = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            _ => {}
        }
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Due::At(at) = watch.due(now, &port.config) {
            alarm.set(cx, now, Some(at));
        }
        Poll::Pending
    })
    .await;
}

/// What an HTTP connection is doing, for its deadlines.
pub(crate) struct Watch(Mutex<Doing>);

struct Doing {
    /// Requests under way, up to the last byte of their responses.
    busy: usize,
    /// Since when a request's head is being sent.
    head_since: Option<Instant>,
    /// Since when nothing happens.
    idle_since: Instant,
}

enum Due {
    /// A head is not complete in time.
    Late,
    /// Nothing was asked for too long.
    Idle,
    /// Look again then.
    At(Instant),
}

impl Watch {
    fn new(now: Instant) -> Self {
        Self(Mutex::new(Doing { busy: 0, head_since: Some(now), idle_since: now }))
    }

    fn due(&self, now: Instant, config: &Http) -> Due {
        let doing = self.0.lock();
        if doing.busy > 0 {
            // Whether the last response has ended is seen then.
            return Due::At(now + config.idle_max);
        }
        let (due, at) = match doing.head_since {
            Some(since) => (Due::Late, since + config.header_within),
            None => (Due::Idle, doing.idle_since + config.idle_max),
        };
        if at <= now { due } else { Due::At(at) }
    }

    fn begin(self: &Arc<Self>) -> Busy {
        let mut doing = self.0.lock();
        doing.busy += 1;
        doing.head_since = None;
        Busy(Arc::clone(self))
    }
}

/// Held by a response as long as it is under way.
pub(crate) struct Busy(Arc<Watch>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut doing = self.0.0.lock();
        doing.busy -= 1;
        doing.idle_since = Instant::now();
    }
}

/// A stream that notes when the first byte of a head comes.
struct Watched {
    stream: Stream,
    watch: Arc<Watch>,
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if read > 0 {
            this.stream.line().count_in(read);
            let mut doing = this.watch.0.lock();
            if doing.busy == 0 && doing.head_since.is_none() {
                doing.head_since = Some(Instant::now());
            }
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = polled {
            this.stream.line().count_out(n);
        }
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(n)) = polled {
            this.stream.line().count_out(n);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// What an HTTP/1.1 connection becomes once its last response is written.
type Next = Arc<Mutex<Option<(&'static str, Run)>>>;

#[derive(Clone)]
struct Service {
    port: Arc<Port>,
    line: Arc<Line>,
    watch: Arc<Watch>,
    next: Next,
}

impl hyper::service::Service<http::Request<Incoming>> for Service {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let busy = self.watch.begin();
        let service = self.clone();
        Box::pin(async move {
            let began = Instant::now();
            let meters = Arc::clone(&service.line.shell().meters);
            let response = service.answer(request).await;
            meters.requests.one();
            meters.request_time.record(began.elapsed());
            Ok(response.map(|body| body.with_busy(busy)))
        })
    }
}

impl Service {
    async fn answer(self, request: http::Request<Incoming>) -> Response {
        let config = &self.port.config;
        let request =
            Request::new(request, Arc::clone(&self.line), config.body_bytes_max, config.body_within);
        let origin = request.headers().get(ORIGIN).cloned();
        let origin = origin.filter(|origin| is_allowed(origin, request.host(), &config.origins));
        let mut response = self.route(request, origin.is_some()).await;
        if let Some(origin) = origin {
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        response
    }

    async fn route(&self, request: Request, good_origin: bool) -> Response {
        let (methods, params) = match self.port.paths.find(request.path()) {
            Found::Here(methods, params) => (methods, params),
            Found::Nowhere => return reply::error(StatusCode::NOT_FOUND, "there is nothing at this path"),
            Found::Malformed => {
                return reply::error(StatusCode::BAD_REQUEST, "the path is malformed (RFC 3986, 2.1)");
            }
        };
        let request = request.with_params(params);
        if request.headers().contains_key(ORIGIN) && !good_origin && changes_something(request.method()) {
            // A page may send this without asking (Fetch, simple requests); only reading the answer is
            // the browser's to forbid.
            return foreign_page();
        }
        let find =
            |method: &Method| methods.iter().find(|(known, _)| known == method).map(|(_, target)| target);
        // A path may have both: then the request says which it wants.
        let target = match *request.method() {
            Method::GET if handshake::is_asked(&request) => {
                find(&Method::CONNECT).or_else(|| find(&Method::GET))
            }
            Method::GET => find(&Method::GET).or_else(|| find(&Method::CONNECT)),
            Method::HEAD => find(&Method::GET),
            _ => find(request.method()),
        };
        match target {
            Some(Target::Http(each)) if *request.method() != Method::CONNECT => self.run(each, request).await,
            Some(Target::WebSocket { door, subprotocols, deflate, join }) => {
                let deflate = *deflate && self.port.config.deflate.on;
                self.join(request, good_origin, door, (subprotocols, deflate), join)
            }
            None if request.method() == Method::OPTIONS => preflight(&request, methods, good_origin),
            _ => {
                let reason = "this method is not taken at this path";
                let mut response = reply::error(StatusCode::METHOD_NOT_ALLOWED, reason);
                response.headers_mut().insert(ALLOW, names(methods));
                response
            }
        }
    }

    /// A panic in a door is one failed request.
    async fn run(&self, each: &Each, request: Request) -> Response {
        let path = request.path().to_owned();
        let span = debug_span!("request", method = request.method().as_str(), path);
        let answered = std::panic::AssertUnwindSafe(async { each(request).await }).catch_unwind();
        let answered = answered.instrument(span).await;
        answered.unwrap_or_else(|_| {
            self.line.shell().meters.panics.one();
            error!(path, "a request panicked");
            reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the server failed: this is a bug of ours")
        })
    }

    fn join(
        &self,
        mut request: Request,
        good_origin: bool,
        door: &'static str,
        (subprotocols, deflate): (&[Subprotocol], bool),
        join: &Join,
    ) -> Response {
        let accepted = if request.headers().contains_key(ORIGIN) && !good_origin {
            Err(Box::new(foreign_page()))
        } else {
            handshake::accept(&request, subprotocols, deflate)
        };
        let joined = accepted.and_then(|accepted| {
            let upgrade = Upgrade { request: &request, subprotocol: accepted.subprotocol };
            let run = join(&upgrade, &accepted, &self.port.settings)?;
            Ok((accepted.response, run))
        });
        let (response, run) = match joined {
            Ok(joined) => joined,
            Err(response) => {
                self.line.shell().meters.handshakes_failed.one();
                debug!(peer = %self.line.peer().address, status = response.status().as_u16(), "a WebSocket handshake failed");
                return *response;
            }
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            *self.next.lock() = Some((door, run));
        } else {
            let upgraded = request.upgrade();
            let line = self.line.beside(door);
            self.port.tasks.spawn(
                door,
                Box::pin(async move {
                    match unless_signalled(&line, upgraded).await {
                        Some(Ok(io)) => {
                            let io = Io::Tunnel(Box::new(TokioIo::new(io)));
                            run(Stream::new(io, Bytes::new(), Arc::clone(&line))).await
                        }
                        _ => Ended::Left,
                    }
                }),
            );
        }
        response
    }
}

/// What a page of an origin hears that may not use the server.
fn foreign_page() -> Response {
    let reason = "pages of this origin may not use this server: ask the operator to add it to http.origins";
    reply::error(StatusCode::FORBIDDEN, reason)
}

/// Whether a request of this method is more than a question (RFC 9110 §9.2.1).
fn changes_something(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS, Method::CONNECT].contains(method)
}

/// Answers a browser that asks whether another origin's page may send this request (Fetch §3.3).
fn preflight(request: &Request, methods: &[(Method, Target)], good_origin: bool) -> Response {
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ALLOW, names(methods));
    if good_origin && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, names(methods));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_AGE));
        copy(request.headers(), ACCESS_CONTROL_REQUEST_HEADERS, headers, ACCESS_CONTROL_ALLOW_HEADERS);
    }
    response
}

fn copy(from: &HeaderMap, name: http::HeaderName, to: &mut HeaderMap, as_name: http::HeaderName) {
    if let Some(value) = from.get(name) {
        to.insert(as_name, value.clone());
    }
}

/// The methods of a path, as `Allow` lists them.
fn names(methods: &[(Method, Target)]) -> HeaderValue {
    let mut names = Vec::with_capacity(methods.len() + 2);
    for (method, _) in methods {
        // A WebSocket is asked for by GET as well.
        let name = if *method == Method::CONNECT { "GET" } else { method.as_str() };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    // Methods are tokens, which header values may have.
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
}

/// Whether a page of `origin` may use the server: it is the server's own, or the config names it.
fn is_allowed(origin: &HeaderValue, host: Option<&str>, allowed: &[String]) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    if allowed.iter().any(|one| one == "*" || one.trim_end_matches('/').eq_ignore_ascii_case(origin)) {
        return true;
    }
    // The scheme may differ where a balancer speaks TLS for us.
    let own = origin.split_once("://").map(|(_, own)| own);
    own.zip(host).is_some_and(|(own, host)| own.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_pages_and_named_origins_are_allowed() {
        let named = ["https://example.org/".to_owned()];
        let any = ["*".to_owned()];
        let own = Some("chat.example:8080");
        for (origin, host, allowed, good) in [
            ("http://chat.example:8080", own, &[][..], true),
            ("https://CHAT.example:8080", own, &[], true),
            ("http://chat.example", own, &[], false),
            ("http://evil.example", own, &[], false),
            ("null", own, &[], false),
            ("null", own, &any, true),
            ("https://example.org", own, &named, true),
            ("http://example.org", own, &named, false),
            ("https://example.org.evil", None, &named, false),
        ] {
            let origin = HeaderValue::from_static(origin);
            assert_eq!(is_allowed(&origin, host, allowed), good, "{origin:?}");
        }
    }
}
