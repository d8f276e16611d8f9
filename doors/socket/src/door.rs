//! Where the door attaches: TCP, WebSocket, and the routes of plain HTTP.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use yizhan_hub::{Hub, Principal, Refused};
use yizhan_net::{Door, Kind, Request, Response, Route, Site, SiteError, Subprotocol, drive};
use yizhan_talk::Now;

use crate::{
    config::Terms,
    connection::Connection,
    http::{peer_of, plain, poll, send, sse},
    wire::Encoding,
};

/// The subprotocols over WebSocket; who names none gets the first.
const SUBPROTOCOLS: &[Subprotocol] = &[
    Subprotocol { name: "yizhan.v1.json", kind: Kind::Text },
    Subprotocol { name: "yizhan.v1.cbor", kind: Kind::Binary },
];

/// Who makes one-time tickets.
pub trait Tickets: Send + Sync + 'static {
    /// Makes a ticket with which whoever shows it says hello as `who`.
    fn issue(&self, now: Now, who: Arc<Principal>) -> BoxFuture<'_, Result<Ticket, Refused>>;
}

/// A one-time ticket. Its `Debug` does not show it.
pub struct Ticket {
    /// What is shown.
    pub text: String,
    /// How long it is good.
    pub expires_in: Duration,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// The door of `yizhan.v1`. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

/// What all requests share.
pub(crate) struct Inner {
    pub(crate) hub: Hub,
    pub(crate) terms: Arc<Terms>,
    pub(crate) tickets: Arc<dyn Tickets>,
    pub(crate) polls: poll::Polls,
    /// When polls were last looked through, s of the wall clock.
    swept: AtomicU64,
}

impl Socket {
    /// A door to this hub.
    #[must_use]
    pub fn new(hub: Hub, terms: Terms, tickets: Arc<dyn Tickets>) -> Self {
        let (terms, polls) = (Arc::new(terms), poll::Polls::default());
        Self(Arc::new(Inner { hub, terms, tickets, polls, swept: AtomicU64::new(0) }))
    }

    /// Ends long-polls whose client stayed away; the server calls this about once a second.
    pub fn maintain(&self) {
        self.0.sweep(self.0.hub.now());
    }

    fn route<F>(
        &self,
        site: &mut Site,
        route: Route,
        answer: impl Fn(Arc<Inner>, Request) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Response> + Send + 'static,
    {
        let inner = self.0.clone();
        site.http(route, move |request| Box::pin(answer(inner.clone(), request)));
    }
}

impl Inner {
    /// Ends long-polls whose client stayed away, at most once a second.
    pub(crate) fn sweep(&self, now: Now) {
        let second = now.wall.as_millis() / 1000;
        if self.swept.swap(second, Ordering::Relaxed) != second {
            self.polls.sweep(now, self.terms.config.stream_keep);
        }
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("config", &self.0.terms.config).finish_non_exhaustive()
    }
}

impl Door for Socket {
    fn name(&self) -> &'static str {
        "socket"
    }

    fn open(&self, site: &mut Site) -> Result<(), SiteError> {
        let terms = &self.0.terms;
        terms.config.check()?;
        let (hub, lines) = (self.0.hub.clone(), terms.clone());
        site.tcp("tcp", &terms.config.tcp, move |stream| {
            let connection = Connection::lines(hub.now(), lines.clone());
            let link = hub.link(peer_of(stream.peer(), "tcp"));
            let line = stream.line().clone();
            Box::pin(drive(stream, connection, link, line))
        })?;
        let (hub, messages) = (self.0.hub.clone(), terms.clone());
        #[allow(clippy::result_large_err, reason = "the site's own type: refusing is a response")]
        site.websocket("ws", "/v1/socket", SUBPROTOCOLS, move |upgrade| {
            let encoding = match upgrade.subprotocol.kind {
                Kind::Text => Encoding::Json,
                Kind::Binary => Encoding::Cbor,
            };
            let connection = Connection::messages(hub.now(), messages.clone(), encoding);
            Ok((connection, hub.link(peer_of(upgrade.peer(), "ws"))))
        });
        self.route(site, Route::get("/v1/sse"), sse::sse);
        self.route(site, Route::get("/v1/poll"), poll::poll);
        self.route(site, Route::post("/v1/send"), send::send);
        self.route(site, Route::post("/v1/publish/{*topic}"), plain::publish);
        self.route(site, Route::post("/v1/ask/{*to}"), plain::ask);
        self.route(site, Route::get("/v1/history/{*topic}"), plain::history);
        self.route(site, Route::get("/v1/state"), plain::state);
        self.route(site, Route::get("/v1/presence"), plain::presence);
        self.route(site, Route::get("/v1/presence/{*topic}"), plain::presence);
        self.route(site, Route::get("/v1/time"), plain::time);
        self.route(site, Route::post("/v1/ticket"), plain::ticket);
        Ok(())
    }
}
