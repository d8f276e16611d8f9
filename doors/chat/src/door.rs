//! Where the door attaches, and what all its requests share.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use yizhan_hub::{Hub, Store, StoreError};
use yizhan_identity::administers;
use yizhan_im::Operation;
use yizhan_net::{Backoff, Door, Request, Response, Route, Site, SiteError, reply};
use yizhan_talk::Timestamp;

use crate::{
    acting::Acting,
    ask::{ask, is_object},
    config::Config,
    files::{self, FileParts, Shelf, down, keys::Keys, up},
    hooks::after::Hook,
    once::Once,
    openapi,
    page::FILES,
    problem::{Problem, json_body, refusal},
};

/// The request's id, the client's or one of ours.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of a client's request id; a longer one is replaced.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// How often old answers are cleared away.
const SWEEP_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// What the door is made of.
#[derive(Debug)]
pub struct Materials {
    /// The section of the config.
    pub config: Config,
    /// The hub.
    pub hub: Hub,
    /// The service's operations.
    pub operations: Vec<Operation>,
    /// The server's version, for the document.
    pub version: String,
    /// What files are made of; `None` takes none.
    pub files: Option<FileParts>,
}

/// The door of instant messaging over HTTP. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Chat(Arc<Inner>);

impl std::fmt::Debug for Chat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chat").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// What all requests share.
pub(crate) struct Inner {
    pub(crate) hub: Hub,
    pub(crate) config: Config,
    pub(crate) once: Once,
    document: Bytes,
    hooks: Vec<Arc<Hook>>,
    shelf: Option<Arc<Shelf>>,
    /// What the ids of requests begin with: when the door was made.
    began: u64,
    requests: AtomicU64,
}

impl Chat {
    /// A door over this hub that keeps its answers and the places of its hooks in this store.
    ///
    /// # Errors
    /// The config makes no sense, or a table cannot be opened.
    pub fn new(materials: Materials, store: &dyn Store) -> Result<Self, SiteError> {
        let Materials { config, hub, operations, version, files } = materials;
        config.check()?;
        let table = |name| store.table(name).map_err(|error: StoreError| wrong(&error));
        let once = Once::new(table("chat.once")?, config.idempotency_for);
        let places = table("chat.hooks")?;
        let hooks = config
            .hooks
            .iter()
            .map(|(name, hook)| Hook::new(name, hook, hub.clone(), places.clone()).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(&error))?;
        let keys = table("chat.keys")?;
        let shelf = files.map(|FileParts { im, files, random }| {
            Arc::new(Shelf { im, files, keys: Keys::new(keys, random), config: config.files.clone() })
        });
        let document = openapi::document(&operations, &version).to_string().into();
        let began = hub.now().wall.as_millis();
        let requests = AtomicU64::new(0);
        Ok(Self(Arc::new(Inner { hub, config, once, document, hooks, shelf, began, requests })))
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
        site.http(route, move |request| {
            let id = inner.request_id(&request);
            tracing::debug!(
                request = id.to_str().unwrap_or_default(),
                path = request.path(),
                "a request came"
            );
            let answered = answer(inner.clone(), request);
            Box::pin(async move {
                let mut response = answered.await;
                response.headers_mut().insert(REQUEST_ID, id);
                response
            })
        });
    }
}

impl Chat {
    fn open_files(&self, site: &mut Site, shelf: &Arc<Shelf>) {
        self.file_route(site, shelf, Route::post("/im/v1/files"), up::begin);
        self.file_route(site, shelf, Route::put("/im/v1/files"), up::put);
        self.file_route(site, shelf, Route::new(Method::PATCH, "/im/v1/files/{id}"), up::patch);
        self.file_route(site, shelf, Route::get("/im/v1/files/{id}"), down::file);
        self.file_route(site, shelf, Route::get("/im/v1/files/{id}/thumb"), down::thumb);
        self.file_route(site, shelf, Route::post("/im/v1/file_key"), up::key);
        site.task("chat files", files::sweep::run(self.0.clone(), shelf.clone()));
    }

    fn file_route<F>(
        &self,
        site: &mut Site,
        shelf: &Arc<Shelf>,
        route: Route,
        answer: impl Fn(Arc<Inner>, Arc<Shelf>, Request) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Response> + Send + 'static,
    {
        let shelf = shelf.clone();
        self.route(site, route, move |door, request| answer(door, shelf.clone(), request));
    }
}

fn wrong(error: &impl std::fmt::Display) -> SiteError {
    SiteError::Door { door: "chat", reason: error.to_string() }
}

impl Door for Chat {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn open(&self, site: &mut Site) -> Result<(), SiteError> {
        self.route(site, Route::post("/im/v1/{*op}"), ask);
        self.route(site, Route::post("/im/v1/admin/webhooks"), webhooks);
        self.route(site, Route::post("/im/v1/admin/replay"), replay);
        if let Some(shelf) = &self.0.shelf {
            self.open_files(site, shelf);
        }
        if self.0.config.docs {
            self.route(site, Route::get("/im/v1/openapi.json"), document);
            for file in FILES {
                site.http(Route::get(file.path), move |_| Box::pin(std::future::ready(file.shown())));
            }
        }
        for hook in &self.0.hooks {
            site.task("webhook", hook.clone().run());
        }
        site.task("chat answers", sweep(self.0.clone()));
        Ok(())
    }
}

impl Inner {
    fn request_id(&self, request: &Request) -> HeaderValue {
        let sane = |id: &&str| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
        };
        let sent = request.header(REQUEST_ID.as_str()).filter(sane);
        let made = || format!("{:x}-{:x}", self.began, self.requests.fetch_add(1, Relaxed));
        let id = sent.map_or_else(made, str::to_owned);
        // Visible ASCII in both cases.
        HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }

    /// The body of a request by an owner or admin.
    async fn body_of_admin(&self, request: &mut Request) -> Result<Bytes, Problem> {
        let acting = Acting::of(&self.hub, request).await?;
        if !administers(&acting.principal()) {
            return Err(Problem::AdminsOnly);
        }
        Ok(request.body_up_to(self.config.body_bytes_max).await?)
    }

    async fn replay(&self, mut request: Request) -> Result<(), Problem> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wish {
            webhook: String,
            since: u64,
        }
        let body = self.body_of_admin(&mut request).await?;
        let wish: Wish = read(&body)?;
        let hook = self.hooks.iter().find(|hook| hook.name() == wish.webhook).ok_or(Problem::NoHook)?;
        Ok(hook.replay(Timestamp::from_millis(wish.since)).await?)
    }
}

/// A JSON object of known fields; an empty body is one without any.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    let empty: &[u8] = b"{}";
    let body = if body.trim_ascii().is_empty() { empty } else { body };
    is_object(body)?;
    serde_json::from_slice(body).map_err(|error| Problem::NotJson(error.to_string()))
}

/// `GET /im/v1/openapi.json`
async fn document(door: Arc<Inner>, _request: Request) -> Response {
    reply::json(StatusCode::OK, door.document.clone())
}

/// `POST /im/v1/admin/webhooks`
async fn webhooks(door: Arc<Inner>, mut request: Request) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    let asked = door.body_of_admin(&mut request).await.and_then(|body| read::<Nothing>(&body));
    if let Err(problem) = asked {
        return refusal(problem);
    }
    let mut shown = Vec::new();
    for hook in &door.hooks {
        shown.push(hook.shown().await);
    }
    json_body(StatusCode::OK, json!({ "webhooks": shown }).to_string())
}

/// `POST /im/v1/admin/replay`
async fn replay(door: Arc<Inner>, request: Request) -> Response {
    match door.replay(request).await {
        Ok(()) => json_body(StatusCode::OK, "{}"),
        Err(problem) => refusal(problem),
    }
}

/// Clears away old answers until the future is dropped.
async fn sweep(door: Arc<Inner>) {
    loop {
        Backoff { min: SWEEP_EVERY, max: SWEEP_EVERY }.pause(0).await;
        loop {
            match door.once.sweep(door.hub.now().wall).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "old answers cannot be cleared away: it is tried again");
                    break;
                }
            }
        }
    }
}
