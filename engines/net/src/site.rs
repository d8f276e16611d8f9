//! Where doors attach: addresses, routes, tasks; and the life of all of them.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::Method;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};
use yizhan_talk::{Clock, Close, Connection, Now, Timestamp};

use crate::{
    Dialer, Drive, Ended, Http, Limits, Lines, Listen, Meters, Request, Response, Route, Shell, Stream,
    Subprotocol, Upgrade, drive,
    listen::{Listener, bind},
    path::Paths,
    serve::{Port, Target, serve},
    tls::Tls,
    websocket::{Framed, Settings},
};

/// How often certificate files are looked at.
const TLS_LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long cut connections may take to be gone.
const CUT_MAX: Duration = Duration::from_secs(2);

/// One protocol.
pub trait Door: Send + Sync {
    /// Config section, metric label, log field.
    fn name(&self) -> &'static str;

    /// Attaches listeners and routes; the site starts and stops everything.
    ///
    /// # Errors
    /// An address cannot be had, a file cannot be read, a setting makes no sense.
    fn open(&self, site: &mut Site) -> Result<(), SiteError>;
}

/// Why a site does not open, or not reload.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} ({door}.listen): {reason}")]
    Listen {
        /// Which door: the config section.
        door: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why, and what to do.
        reason: String,
    },
    /// Certificate or key.
    #[error("{door}.tls: {reason}")]
    Tls {
        /// Which door: the config section.
        door: &'static str,
        /// Which file, and what is wrong with it.
        reason: String,
    },
    /// A door's own reason.
    #[error("{door}: {reason}")]
    Door {
        /// Which door.
        door: &'static str,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// The system's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now { steady: Instant::now(), wall: Timestamp(u64::try_from(wall.as_micros()).unwrap_or(u64::MAX)) }
    }
}

/// Starts tasks; a panic in one is logged and counted, and ends nothing else.
#[derive(Clone)]
pub(crate) struct Tasks {
    meters: Arc<Meters>,
}

impl Tasks {
    /// Runs one connection.
    pub(crate) fn spawn(&self, door: &'static str, work: BoxFuture<'static, Ended>) {
        // A task that has panicked or ended has nothing to say to anyone.
        drop(self.watched(door, work));
    }

    /// Runs `work`; a panic is logged and counted.
    pub(crate) fn watched<F>(&self, name: &'static str, work: F) -> JoinHandle<()>
    where
        F: Future + Send + 'static,
    {
        let meters = Arc::clone(&self.meters);
        tokio::spawn(std::panic::AssertUnwindSafe(work).catch_unwind().map(move |ended| {
            if ended.is_err() {
                meters.panics.one();
                error!(task = name, "a task panicked: this is a bug of ours");
            }
        }))
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, work: F) {
        drop(self.watched("http2", work));
    }
}

/// What runs a connection that was accepted.
pub(crate) type Accepted = Arc<dyn Fn(Stream) -> BoxFuture<'static, Ended> + Send + Sync>;

/// A listener that does not accept yet.
struct Bound {
    listener: std::net::TcpListener,
    door: &'static str,
    at: Listen,
    tls: Option<Arc<Tls>>,
    then: Then,
}

enum Then {
    Each(Accepted),
    Http(Box<Http>),
}

/// Where doors attach: first addresses and routes, then [`start`](Self::start).
pub struct Site {
    shell: Shell,
    lines: Lines,
    tasks: Tasks,
    paths: Paths<Target>,
    bound: Vec<Bound>,
    works: Vec<(&'static str, BoxFuture<'static, ()>)>,
}

impl Site {
    /// A site without doors.
    #[must_use]
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let meters = Arc::new(Meters::default());
        Self {
            tasks: Tasks { meters: Arc::clone(&meters) },
            shell: Shell { limits, clock, meters },
            lines: Lines::default(),
            paths: Paths::new(),
            bound: Vec::new(),
            works: Vec::new(),
        }
    }

    /// Listens for byte streams. Does nothing where `at` has no address.
    ///
    /// # Errors
    /// The address cannot be had, or the TLS files are not good.
    pub fn tcp<F>(&mut self, door: &'static str, at: &Listen, each: F) -> Result<(), SiteError>
    where
        F: Fn(Stream) -> BoxFuture<'static, Ended> + Send + Sync + 'static,
    {
        let each: Accepted = Arc::new(each);
        self.bind(door, at, false, || Then::Each(Arc::clone(&each)))
    }

    /// Listens for HTTP, under the door name `http`. May be called for several sections of the config.
    ///
    /// # Errors
    /// As [`tcp`](Self::tcp).
    pub fn listen_http(&mut self, config: &Http) -> Result<(), SiteError> {
        self.bind("http", &config.listen(), true, || Then::Http(Box::new(config.clone())))
    }

    fn bind(
        &mut self,
        door: &'static str,
        at: &Listen,
        http: bool,
        then: impl Fn() -> Then,
    ) -> Result<(), SiteError> {
        let tls = match &at.tls {
            Some(files) if !at.listen.is_empty() => {
                let tls = Tls::load(files, http);
                Some(Arc::new(tls.map_err(|error| SiteError::Tls { door, reason: error.to_string() })?))
            }
            _ => None,
        };
        for address in &at.listen {
            // Streams that are driven have their own, earlier deadline; this one is for plain HTTP.
            let listener = bind(*address, self.shell.limits.write_stall_max * 2)
                .map_err(|error| SiteError::Listen { door, address: *address, reason: explain(&error) })?;
            self.bound.push(Bound { listener, door, at: at.clone(), tls: tls.clone(), then: then() });
        }
        Ok(())
    }

    /// Answers requests, on all HTTP ports.
    ///
    /// # Panics
    /// The route is taken or malformed: two doors are at odds, which no config can cause.
    pub fn http<F>(&mut self, route: Route, each: F)
    where
        F: Fn(Request) -> BoxFuture<'static, Response> + Send + Sync + 'static,
    {
        self.route(&route.method, route.path, Target::Http(Box::new(each)));
    }

    /// Takes WebSockets at `path`, over HTTP/1.1 (RFC 6455) and HTTP/2 (RFC 8441), on all HTTP ports.
    ///
    /// `each` says what runs for this client, or answers with an error. The path may have a plain GET beside it
    /// ([`http`](Self::http)), for those who ask for no upgrade.
    ///
    /// # Panics
    /// As [`http`](Self::http), or `subprotocols` is empty.
    pub fn websocket<C, F>(
        &mut self,
        door: &'static str,
        path: &'static str,
        subprotocols: &'static [Subprotocol],
        each: F,
    ) where
        C: Connection,
        F: Fn(&Upgrade<'_>) -> Result<(C, C::Backend), Response> + Send + Sync + 'static,
    {
        self.add_websocket(door, path, subprotocols, true, each);
    }

    /// As [`websocket`](Self::websocket), for messages that cannot be compressed any further: pictures and sound.
    ///
    /// # Panics
    /// As [`websocket`](Self::websocket).
    pub fn websocket_plain<C, F>(
        &mut self,
        door: &'static str,
        path: &'static str,
        subprotocols: &'static [Subprotocol],
        each: F,
    ) where
        C: Connection,
        F: Fn(&Upgrade<'_>) -> Result<(C, C::Backend), Response> + Send + Sync + 'static,
    {
        self.add_websocket(door, path, subprotocols, false, each);
    }

    fn add_websocket<C, F>(
        &mut self,
        door: &'static str,
        path: &'static str,
        subprotocols: &'static [Subprotocol],
        deflate: bool,
        each: F,
    ) where
        C: Connection,
        F: Fn(&Upgrade<'_>) -> Result<(C, C::Backend), Response> + Send + Sync + 'static,
    {
        assert!(!subprotocols.is_empty(), "{path}: a WebSocket route has a subprotocol, if only a default");
        let join: crate::serve::Join = Box::new(move |upgrade, accepted, settings| {
            let (connection, backend) = each(upgrade).map_err(Box::new)?;
            let (kind, agreed) = (accepted.subprotocol.kind, accepted.agreed);
            let settings = Arc::clone(settings);
            Ok(Box::new(move |stream: Stream| -> BoxFuture<'static, Ended> {
                let line = Arc::clone(stream.line());
                let framed = Framed::new(connection, kind, agreed, settings, Arc::clone(line.shell()));
                let driven: Drive<Stream, Framed<C>> = drive(stream, framed, backend, line);
                Box::pin(driven)
            }))
        });
        // By the method of RFC 8441, so that the same path may have a plain GET beside it.
        self.route(&Method::CONNECT, path, Target::WebSocket { door, subprotocols, deflate, join });
    }

    fn route(&mut self, method: &Method, path: &'static str, target: Target) {
        if let Err(reason) = self.paths.add(method, path, target) {
            panic!("doors are at odds about routes: {reason}");
        }
    }

    /// Runs `work` from the start until the site has drained; then it is dropped.
    pub fn task(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.works.push((name, Box::pin(work)));
    }

    /// What opens connections from here.
    #[must_use]
    pub fn dialer(&self) -> Dialer {
        Dialer::new(Arc::new(self.shell.clone()), self.lines.clone())
    }

    /// Who is connected.
    #[must_use]
    pub fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// What is counted.
    #[must_use]
    pub fn meters(&self) -> Arc<Meters> {
        Arc::clone(&self.shell.meters)
    }

    /// The clock that connections see.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shell.clock)
    }

    /// Begins to accept. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The runtime cannot take a listener.
    pub fn start(self) -> Result<Open, SiteError> {
        let Self { shell, lines, tasks, paths, bound, works } = self;
        raise_open_files(shell.limits.connections_max);
        let shell = Arc::new(ArcSwap::from_pointee(shell));
        let paths = Arc::new(paths);
        let mut open = Open {
            bound: BTreeMap::new(),
            tls: Vec::new(),
            accepting: Vec::new(),
            works: Vec::new(),
            shell: Arc::clone(&shell),
            lines: lines.clone(),
        };
        for Bound { listener, door, at, tls, then } in bound {
            let failed = |error: io::Error| SiteError::Door { door, reason: error.to_string() };
            let address = listener.local_addr().map_err(failed)?;
            open.bound.entry(door).or_default().push(address);
            if let Some(tls) = &tls {
                open.tls.push((door, Arc::clone(tls)));
            }
            let each = match then {
                Then::Each(each) => each,
                Then::Http(config) => http_port(*config, &paths, &tasks),
            };
            let listener = Listener {
                socket: tokio::net::TcpListener::from_std(listener).map_err(failed)?,
                door,
                proxy_from: at.proxy_from,
                tls,
                each,
                shell: Arc::clone(&shell),
                lines: lines.clone(),
                tasks: tasks.clone(),
            };
            info!(door, %address, tls = listener.tls.is_some(), "listening");
            open.accepting.push(tasks.watched(door, listener.accept_all()));
        }
        if !open.tls.is_empty() {
            open.works.push(tasks.watched("tls files", watch_tls(open.tls.clone())));
        }
        open.works.extend(works.into_iter().map(|(name, work)| tasks.watched(name, work)));
        Ok(open)
    }
}

fn http_port(config: Http, paths: &Arc<Paths<Target>>, tasks: &Tasks) -> Accepted {
    let settings =
        Arc::new(Settings { message_bytes_max: config.message_bytes_max, deflate: config.deflate.clone() });
    let port = Arc::new(Port { paths: Arc::clone(paths), config, settings, tasks: tasks.clone() });
    Arc::new(move |stream| Box::pin(serve(stream, Arc::clone(&port))))
}

async fn watch_tls(all: Vec<(&'static str, Arc<Tls>)>) {
    loop {
        tokio::time::sleep(TLS_LOOK_INTERVAL).await;
        for (door, tls) in &all {
            match tls.reload(false) {
                Ok(true) => info!(door, "the TLS files have changed: new connections have the new ones"),
                Ok(false) => {}
                Err(error) => {
                    warn!(door, %error, "the TLS files have changed and are not good: the old ones stay")
                }
            }
        }
    }
}

/// Each connection is an open file; the system's default is often 1,024.
fn raise_open_files(connections_max: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    if current != maximum && setrlimit(Resource::Nofile, raised).is_err() {
        warn!("the limit of open files could not be raised");
    }
    let now = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if now < connections_max as u64 {
        info!(open_files = now, "fewer connections than limits.connections_max are possible: see ulimit -n");
    }
}

fn explain(error: &io::Error) -> String {
    let what = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there: stop it, or set another address",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address: use one of its own, or 0.0.0.0",
        io::ErrorKind::PermissionDenied => "not permitted: ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => return error.to_string(),
    };
    what.to_owned()
}

/// A site that accepts connections.
pub struct Open {
    bound: BTreeMap<&'static str, Vec<SocketAddr>>,
    tls: Vec<(&'static str, Arc<Tls>)>,
    accepting: Vec<JoinHandle<()>>,
    works: Vec<JoinHandle<()>>,
    shell: Arc<ArcSwap<Shell>>,
    lines: Lines,
}

impl Open {
    /// The addresses that doors listen on, by door name, in the config's order.
    #[must_use]
    pub fn bound(&self) -> &BTreeMap<&'static str, Vec<SocketAddr>> {
        &self.bound
    }

    /// Who is connected.
    #[must_use]
    pub fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// What is counted.
    #[must_use]
    pub fn meters(&self) -> Arc<Meters> {
        Arc::clone(&self.shell.load().meters)
    }

    /// Takes new limits and reads the TLS files again; new connections have them, old ones keep theirs.
    /// What could not be read is returned, and there the old stays.
    #[must_use]
    pub fn reload(&self, limits: Limits) -> Vec<SiteError> {
        let shell = Shell { limits, ..Shell::clone(&self.shell.load()) };
        self.shell.store(Arc::new(shell));
        let failed = self.tls.iter().filter_map(|(door, tls)| {
            let error = tls.reload(true).err()?;
            Some(SiteError::Tls { door, reason: error.to_string() })
        });
        failed.collect()
    }

    /// Stops accepting, says goodbye to everyone ([`Close::GOING_AWAY`]), waits up to `within` for them to
    /// go, then cuts. Returns how many were cut.
    pub async fn drain(self, within: Duration) -> usize {
        for task in &self.accepting {
            task.abort();
        }
        self.lines.leave_all(&Close::GOING_AWAY);
        // Late ones are cut below.
        drop(tokio::time::timeout(within, self.lines.none_left()).await);
        let cut = self.lines.count();
        if cut > 0 {
            warn!(connections = cut, "cut: they did not end within the drain time");
            self.lines.cut_all();
            // What is still there then is dropped with the runtime.
            drop(tokio::time::timeout(CUT_MAX, self.lines.none_left()).await);
        }
        for task in &self.works {
            task.abort();
        }
        cut
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        for task in self.accepting.iter().chain(&self.works) {
            task.abort();
        }
        self.lines.cut_all();
    }
}
