//! What machines ask: is it alive, is it ready, what does it count.

use std::{fmt, sync::Arc, time::Duration};

use http::{StatusCode, header::HOST};
use serde::Serialize;
use serde_json::Value;
use yizhan_identity::administers;
use yizhan_net::{Request, Response, reply};
use yizhan_talk::{Now, Timestamp};

use crate::{
    api::{ADMINS_ONLY, Api, NO_TOKEN},
    ask::Problem,
};

/// Headers that a proxy adds: with one of them, the address of the connection is not the client's.
const PROXY_HEADERS: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// What the server shows of itself through this door.
pub struct Views {
    /// Its version.
    pub version: &'static str,
    /// When it started.
    pub started_at: Timestamp,
    /// Whether the data folder was made by this start.
    pub first_run: bool,
    /// The newest body of `$SYS/metrics`: JSON.
    pub figures: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// The config in force, without secrets.
    pub config: Arc<dyn Fn() -> Value + Send + Sync>,
    /// The metrics as Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether all doors listen.
    pub listening: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Whether the server is stopping.
    pub draining: Arc<dyn Fn() -> bool + Send + Sync>,
    /// What keeps the store from taking messages, where something does.
    pub store_trouble: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// How clients are followed; `None` where no door can.
    pub traces: Option<Arc<dyn Traces>>,
    /// The bridges to other brokers, as they are now.
    pub bridges: Arc<dyn Fn() -> Vec<Bridge> + Send + Sync>,
}

/// How clients are followed, packet by packet.
pub trait Traces: Send + Sync {
    /// Follows a client for a while. Gives the topic on which its lines are published.
    ///
    /// # Errors
    /// Why it cannot be followed, as a sentence.
    fn start(&self, now: Now, client: &str, time: Duration) -> Result<String, String>;

    /// Ends it before its time.
    fn stop(&self, client: &str);

    /// Who is followed now.
    fn clients(&self) -> Vec<String>;
}

/// A bridge to another broker, as it is now.
#[derive(Debug, Clone, Serialize)]
pub struct Bridge {
    /// Its name in the config.
    pub name: String,
    /// The other broker's address.
    pub address: String,
    /// Since when the line is up, ms; `None` while it is down.
    pub connected_at: Option<u64>,
    /// Why the line was last lost, or did not come up.
    pub last_error: Option<String>,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// Messages that the other broker has not confirmed.
    pub waiting: u64,
    /// Messages that the other broker has taken.
    pub sent: u64,
    /// Messages that came from there and were published here.
    pub received: u64,
    /// Messages that one of both sides did not take.
    pub dropped: u64,
    /// Messages that could not be kept while the line was down.
    pub missed: u64,
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Views {
    pub(crate) fn health(&self) -> Response {
        if (self.listening)() { text(StatusCode::OK, "ok\n") } else { text(UNAVAILABLE, "starting\n") }
    }

    pub(crate) fn readiness(&self) -> Response {
        if (self.draining)() {
            return text(UNAVAILABLE, "draining\n");
        }
        if !(self.listening)() {
            return text(UNAVAILABLE, "starting\n");
        }
        match (self.store_trouble)() {
            None => text(StatusCode::OK, "ready\n"),
            Some(trouble) => text(UNAVAILABLE, trouble + "\n"),
        }
    }
}

const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

fn text(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response {
    let mut response = reply::bytes(status, "text/plain; charset=utf-8", body);
    response.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

impl Api {
    /// The metrics, for those who may see them.
    pub(crate) async fn metrics(
        &self,
        request: &Request,
        ask: crate::Ask,
        is_public: bool,
    ) -> Result<Response, Problem> {
        if !is_public && !is_local(request) {
            if ask.bearer.is_none() {
                return Err(NO_TOKEN);
            }
            if !administers(&self.signed_in(&ask).await?) {
                return Err(ADMINS_ONLY);
            }
        }
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        Ok(reply::bytes(StatusCode::OK, kind, (self.views.metrics)()))
    }
}

/// Whether a program on this machine asks, and no proxy for somebody else, and no web page that has
/// given its own name this machine's address.
fn is_local(request: &Request) -> bool {
    let headers = request.headers();
    request.peer().address.ip().to_canonical().is_loopback()
        && !PROXY_HEADERS.iter().any(|name| headers.contains_key(*name))
        && headers.get(HOST).is_none_or(|host| host.to_str().is_ok_and(is_own_host))
}

/// Whether a host header names this machine by what no name server decides.
fn is_own_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_renamed_itself_is_not_local() {
        for own in ["localhost", "localhost:8080", "127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "[::1]"] {
            assert!(is_own_host(own), "{own}");
        }
        for other in ["example.org", "localhost.example.org:8080", "", "127.0.0.1.example.org", "localhost:x"]
        {
            assert!(!is_own_host(other), "{other}");
        }
    }
}
