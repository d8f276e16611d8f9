//! Where the API meets HTTP.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{
    HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::{Deserialize, Serialize};
use yizhan_hub::Peer;
use yizhan_net::{BodyError, Door, Request, Response, Route, Site, SiteError, reply};
use yizhan_talk::Clock;

use crate::{
    api::Api,
    ask::{Ask, Problem, Reply},
    pages,
};

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// What the API's paths begin with.
const API: &str = "/api/v1/{*path}";

/// The admin API, the console, and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the console is served at `/`.
    pub console: bool,
    /// Whether anybody may read `/metrics`. Else: programs on this machine, and tokens of owners and
    /// admins.
    pub metrics_public: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { console: true, metrics_public: false }
    }
}

/// The door.
#[derive(Debug, Clone)]
pub struct Admin {
    config: Config,
    api: Api,
}

impl Admin {
    /// A door that is not open yet.
    #[must_use]
    pub fn new(config: Config, api: Api) -> Self {
        Self { config, api }
    }
}

impl Door for Admin {
    fn name(&self) -> &'static str {
        "admin"
    }

    fn open(&self, site: &mut Site) -> Result<(), SiteError> {
        let clock = site.clock();
        for method in [Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE] {
            let (api, clock) = (self.api.clone(), clock.clone());
            site.http(Route::new(method, API), move |request| {
                let (api, clock) = (api.clone(), clock.clone());
                Box::pin(async move { answer(&api, &*clock, request).await })
            });
        }
        let views = self.api.views.clone();
        site.http(Route::get("/healthz"), move |_| done(views.health()));
        let views = self.api.views.clone();
        site.http(Route::get("/readyz"), move |_| done(views.readiness()));
        let (api, is_public) = (self.api.clone(), self.config.metrics_public);
        site.http(Route::get("/metrics"), move |request| {
            let (api, clock) = (api.clone(), clock.clone());
            Box::pin(async move {
                let ask = read(&request, &*clock);
                api.metrics(&request, ask, is_public).await.unwrap_or_else(|problem| shown(problem.into()))
            })
        });
        if self.config.console {
            site.http(Route::get("/"), |request| done(pages::page(&request, pages::INDEX)));
            site.http(Route::get("/console/{*file}"), |request| {
                let name = format!("console/{}", request.param("file"));
                done(pages::page(&request, &name))
            });
        }
        site.http(Route::get("/sdk/{*file}"), |request| {
            let name = format!("sdk/{}", request.param("file"));
            done(pages::page(&request, &name))
        });
        Ok(())
    }
}

fn done(response: Response) -> BoxFuture<'static, Response> {
    Box::pin(std::future::ready(response))
}

async fn answer(api: &Api, clock: &dyn Clock, mut request: Request) -> Response {
    let body = match request.body_up_to(BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(BodyError::TooLarge(_)) => {
            return shown(Problem::new(114, "the body is too large: at most 64 KiB are taken").into());
        }
        Err(error) => return error.into(),
    };
    let mut ask = read(&request, clock);
    ask.body = body;
    shown(api.answer(ask).await)
}

/// All of a request but its body.
fn read(request: &Request, clock: &dyn Clock) -> Ask {
    let peer = request.peer();
    let kind = request.header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    Ask {
        method: request.method().clone(),
        path: request.param("path").to_owned(),
        query: request.query().map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
        bearer: request.authorization("Bearer").filter(|token| !token.is_empty()).map(Into::into),
        is_json: kind.eq_ignore_ascii_case("application/json"),
        body: bytes::Bytes::new(),
        peer: Peer { address: peer.address.ip().to_canonical(), door: "http", secure: peer.secure },
        now: clock.now(),
    }
}

fn shown(answer: Reply) -> Response {
    let mut response = match answer.status {
        StatusCode::NO_CONTENT => reply::empty(answer.status),
        status => reply::json(status, answer.body),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if answer.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(wait) = answer.retry_after {
        // Rounded up: who comes on the dot is not too early.
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil() as u64));
    }
    response
}

/// The views are shared with the server.
impl Api {
    /// What the server shows of itself.
    #[must_use]
    pub fn views(&self) -> &Arc<crate::Views> {
        &self.views
    }
}
