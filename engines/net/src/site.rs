//! skeleton
use crate::{
    Ended, Http, Limits, Lines, Listen, Meters, Request, Response, Route, Stream, Subprotocol, Upgrade,
};
use futures_util::future::BoxFuture;
use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use yizhan_talk::{Clock, Connection, Now, Timestamp};

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

/// Why a site does not open.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} ({door}.listen): {reason}")]
    Listen {
        /** Which door. */
        door: &'static str,
        /** Where. */
        address: SocketAddr,
        /** Why. */
        reason: String,
        /** The cause. */
        source: io::Error,
    },
    /// Certificate or key.
    #[error("{door}.tls: {reason}")]
    Tls {
        /** Which door. */
        door: &'static str,
        /** Which file and what is wrong with it. */
        reason: String,
    },
    /// A door's own reason.
    #[error("{door}: {reason}")]
    Door {
        /** Which door. */
        door: &'static str,
        /** What is wrong and what to do. */
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

/// Where doors attach.
pub struct Site {}

impl Site {
    /// A site without doors.
    #[must_use]
    pub fn new(_limits: Limits, _clock: Arc<dyn Clock>) -> Self {
        todo!()
    }
    /// Listens for byte streams. Does nothing where `at` has no address.
    ///
    /// # Errors
    /// The address cannot be had, or the TLS files are not good.
    pub fn tcp<F>(&mut self, _door: &'static str, _at: &Listen, _each: F) -> Result<(), SiteError>
    where
        F: Fn(Stream) -> BoxFuture<'static, Ended> + Send + Sync + 'static,
    {
        todo!()
    }
    /// Listens for HTTP, under the door name `http`. May be called for several addresses.
    ///
    /// # Errors
    /// As [`tcp`](Self::tcp).
    pub fn listen_http(&mut self, _config: &Http) -> Result<(), SiteError> {
        todo!()
    }
    /// Answers requests.
    ///
    /// # Panics
    /// The route is taken or malformed: two doors are at odds, which no config can cause.
    pub fn http<F>(&mut self, _route: Route, _each: F)
    where
        F: Fn(Request) -> BoxFuture<'static, Response> + Send + Sync + 'static,
    {
        todo!()
    }
    /// Takes WebSockets at `path`, over HTTP/1.1 (RFC 6455) and HTTP/2 (RFC 8441).
    ///
    /// # Panics
    /// As [`http`](Self::http).
    pub fn websocket<C, F>(
        &mut self,
        _door: &'static str,
        _path: &'static str,
        _subprotocols: &'static [Subprotocol],
        _each: F,
    ) where
        C: Connection,
        F: Fn(&Upgrade<'_>) -> Result<(C, C::Backend), Response> + Send + Sync + 'static,
    {
        todo!()
    }
    /// Runs `work` from the start until the site has drained; then it is dropped.
    pub fn task(&mut self, _name: &'static str, _work: impl Future<Output = ()> + Send + 'static) {
        todo!()
    }
    /// Who is connected.
    #[must_use]
    pub fn lines(&self) -> Lines {
        todo!()
    }
    /// What is counted.
    #[must_use]
    pub fn meters(&self) -> Arc<Meters> {
        todo!()
    }
    /// The clock that connections see.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        todo!()
    }
    /// Begins to accept. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The runtime cannot take a listener.
    pub fn start(self) -> Result<Open, SiteError> {
        todo!()
    }
}

/// A site that accepts connections.
pub struct Open {}

impl Open {
    /// The addresses that doors listen on, by door name.
    #[must_use]
    pub fn bound(&self) -> BTreeMap<&'static str, Vec<SocketAddr>> {
        todo!()
    }
    /// Who is connected.
    #[must_use]
    pub fn lines(&self) -> Lines {
        todo!()
    }
    /// What is counted.
    #[must_use]
    pub fn meters(&self) -> Arc<Meters> {
        todo!()
    }
    /// Takes new limits and reads TLS files again; new connections get them. What could not be read is
    /// returned, and the old stays.
    pub fn reload(&self, _limits: Limits) -> Vec<SiteError> {
        todo!()
    }
    /// Stops accepting, says goodbye to everyone, waits up to `within`, then cuts. Returns how many were cut.
    pub async fn drain(self, _within: Duration) -> usize {
        todo!()
    }
}
