//! Where the door attaches, and what all its requests share.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method, StatusCode, header};
use yizhan_media::{Broadcast, Media};
use yizhan_net::{Backoff, Door, Kind, Request, Response, Route, Site, SiteError, Subprotocol, reply};
use yizhan_talk::Clock;

use crate::{
    config::Config,
    flv,
    names::{Entry, File, Tag},
    packager::Stages,
    playlists, record,
    respond::{Origins, put},
    segments,
    sessions::Sessions,
    shelf::{Ladder, Recordings, Snapshots},
    socket,
};

/// How often waits and sessions are looked at that have lasted long enough.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// A broadcast's entries: playlists, the manifest, FLV, the snapshot.
const ENTRY: &str = "/{app}/{file}";
/// What playlists list.
const BELOW: &str = "/{app}/{file}/{piece}";
/// A broadcast's recordings.
const RECORDINGS: &str = "/record/{app}/{name}";
/// One of them.
const RECORDING: &str = "/record/{app}/{name}/{file}";
/// FLV over WebSocket has no name of its own: clients name none.
const FLV: &[Subprotocol] = &[Subprotocol { name: "flv", kind: Kind::Binary }];

/// What the door is made of.
pub struct Materials {
    /// The section of the config.
    pub config: Config,
    /// All broadcasts.
    pub media: Media,
    /// What names of segments and sessions are made of: nobody else may know it.
    pub secret: [u8; 32],
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Recordings, where there are any.
    pub recordings: Option<Arc<dyn Recordings>>,
    /// Snapshots, where there are any.
    pub snapshots: Option<Arc<dyn Snapshots>>,
    /// Qualities that are made when they are asked for, where there are any.
    pub ladder: Option<Arc<dyn Ladder>>,
}

/// Broadcasts over HTTP. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Hls(Arc<Inner>);

impl std::fmt::Debug for Hls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hls").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// What the door holds, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Broadcasts that are made into segments.
    pub packaged: usize,
    /// Viewers of HLS and DASH who have a session.
    pub sessions: usize,
}

/// What all requests share.
pub(crate) struct Inner {
    pub(crate) config: Arc<Config>,
    pub(crate) media: Media,
    pub(crate) stages: Arc<Stages>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) recordings: Option<Arc<dyn Recordings>>,
    pub(crate) snapshots: Option<Arc<dyn Snapshots>>,
    pub(crate) ladder: Option<Arc<dyn Ladder>>,
    /// What caches are told of what never changes.
    pub(crate) lasting: HeaderValue,
    pub(crate) origins: Origins,
    tag: Arc<dyn Fn(&Broadcast) -> Tag + Send + Sync>,
}

impl Inner {
    /// The stage of a broadcast, begun where there is none.
    pub(crate) fn stage(&self, broadcast: &Broadcast) -> Arc<crate::stage::Stage> {
        self.stages.of(self.clock.now(), broadcast, &*self.tag)
    }
}

impl Hls {
    /// A door over these broadcasts.
    ///
    /// # Errors
    /// The config makes no sense.
    pub fn new(materials: Materials) -> Result<Self, SiteError> {
        let Materials { config, media, secret, clock, recordings, snapshots, ladder } = materials;
        config.check()?;
        let config = Arc::new(config);
        let sessions = Arc::new(Sessions::new(media.clone(), secret, config.sessions_max));
        let stages = Arc::new(Stages::new(media.clone(), clock.clone(), config.clone()));
        let lasting = format!("public, max-age={}, immutable", config.cache.as_secs());
        let (runs, hasher) = (AtomicU64::new(clock.now().wall.0), sessions.clone());
        let tag = Arc::new(move |broadcast: &Broadcast| {
            let run = runs.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            // The lower half is as good as the whole.
            Tag::new(hasher.hash(&[b"tag", &broadcast.id().to_be_bytes(), &run]) as u64)
        });
        let origins = Origins::new(&config.origins);
        Ok(Self(Arc::new(Inner {
            lasting: HeaderValue::from_str(&lasting).unwrap_or(HeaderValue::from_static("public")),
            config,
            media,
            stages,
            sessions,
            clock,
            recordings,
            snapshots,
            ladder,
            origins,
            tag,
        })))
    }

    /// What it holds now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { packaged: self.0.stages.count(), sessions: self.0.sessions.count() }
    }

    /// GET, HEAD and OPTIONS at a path, for pages of any origin that may.
    fn route<F>(
        &self,
        site: &mut Site,
        path: &'static str,
        answer: impl Fn(Arc<Inner>, Request) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Response> + Send + 'static,
    {
        let answer = Arc::new(answer);
        let inner = self.0.clone();
        site.http(Route::get(path), move |request| {
            let (inner, answer) = (inner.clone(), answer.clone());
            Box::pin(async move {
                let mut allowed = http::HeaderMap::new();
                inner.origins.allow(&request, &mut allowed);
                let mut response = answer(inner, request).await;
                for (name, value) in &allowed {
                    response.headers_mut().append(name, value.clone());
                }
                response
            })
        });
        let inner = self.0.clone();
        site.http(Route::new(Method::OPTIONS, path), move |request| {
            Box::pin(std::future::ready(inner.origins.preflight(&request)))
        });
    }
}

impl Door for Hls {
    fn name(&self) -> &'static str {
        "hls"
    }

    fn open(&self, site: &mut Site) -> Result<(), SiteError> {
        self.route(site, ENTRY, entry);
        self.route(site, BELOW, below);
        let inner = self.0.clone();
        site.websocket_plain("ws-flv", ENTRY, FLV, move |upgrade| socket::open(&inner, upgrade));
        if self.0.recordings.is_some() {
            self.route(site, RECORDINGS, record::list);
            self.route(site, RECORDING, record::file);
        }
        site.task("hls", self.0.stages.clone().run(self.0.tag.clone()));
        site.task("hls sweep", sweep(self.0.clone()));
        Ok(())
    }
}

/// `/{app}/{file}`
async fn entry(inner: Arc<Inner>, request: Request) -> Response {
    let file = request.param("file").to_owned();
    let Some((name, entry)) = Entry::read(&file) else { return nothing() };
    match entry {
        Entry::Master | Entry::TsMaster => playlists::master(&inner, &request, name, entry).await,
        Entry::Mpd => playlists::manifest(&inner, &request, name).await,
        Entry::Flv => flv::stream(&inner, &request, name).await,
        Entry::Snapshot => record::snapshot(&inner, &request, name).await,
    }
}

/// `/{app}/{name}/{piece}`
async fn below(inner: Arc<Inner>, request: Request) -> Response {
    match File::read(request.param("piece")) {
        None => nothing(),
        Some(File::Playlist(rendition)) => playlists::media(&inner, &request, rendition).await,
        Some(File::Now) => playlists::now(&request),
        Some(File::Made { tag, rendition, piece }) => {
            segments::piece(&inner, &request, &tag, rendition, piece).await
        }
    }
}

/// What is not there is not looked for again at once.
pub(crate) fn nothing() -> Response {
    fleeting(reply::error(StatusCode::NOT_FOUND, "there is nothing at this path"))
}

/// An answer that caches keep for a moment at most.
pub(crate) fn fleeting(mut response: Response) -> Response {
    put(response.headers_mut(), header::CACHE_CONTROL, "max-age=1");
    response
}

async fn sweep(inner: Arc<Inner>) {
    loop {
        Backoff { min: SWEEP_EVERY, max: SWEEP_EVERY }.pause(0).await;
        let now = inner.clock.now();
        inner.stages.sweep(now);
        inner.sessions.sweep(now);
    }
}
