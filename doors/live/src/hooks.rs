//! Webhooks in the form that SRS has: the operator's own programs are asked before somebody publishes or watches, and
//! told when they have gone.
//!
//! What differs from SRS (its `http_hooks`): the posts have no `tcUrl` and no `pageUrl`, and more besides (`door`,
//! `user`, `client`, `at`, bytes, an `id` that stays the same when a post comes again); they may be signed; `on_unpublish`,
//! `on_stop`, `on_done` and `on_dvr` are posted again until they are taken (any 2xx), in order; a program that fails,
//! answers nonsense or takes too long is no "no": the config says what happens then; `on_done` is there as nginx-rtmp has
//! it; `on_hls` and `on_connect` are not.
//!
//! Read in this order: `signature` (who speaks), `form` (what is posted), `ask` (a question with a budget), `tell`
//! (telling until it is taken), and [`Hooks`] here, the porter that stands before the rules of access.

use std::{fmt, sync::Arc};

use yizhan_media::{
    Gone, Name, Pass, Porter, Refused, Wish,
    config::{
        hooks::{Hooks as Config, Unanswered},
        relay::Address,
    },
};
use yizhan_net::{PostError, Poster, Site, posting};
use yizhan_talk::{Called, Clock};

mod ask;
mod form;
mod signature;
mod tell;

use self::{
    ask::{Asked, Verdict},
    form::Form,
    signature::Signer,
    tell::Lane,
};
pub use self::{form::Recorded, tell::LaneView};

/// Webhooks, and the rules of access behind them. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Hooks(Arc<Inner>);

struct Inner {
    config: Config,
    rules: Arc<dyn Porter>,
    form: Form,
    asked: Asked,
    lanes: Vec<(Address, Arc<Lane>)>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Hooks {
    /// Over a config that was checked. `rules` decide first; `server` is what posts say where the config does not.
    ///
    /// # Errors
    /// An address is none, or there is no TLS.
    pub fn new(
        config: &Config,
        server: &str,
        rules: Arc<dyn Porter>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PostError> {
        let poster = Poster::new()?;
        // Any name will do to see whether an address is one.
        let any = Name::new("app", "name").map_err(|bad| PostError::Failed(bad.to_string()))?;
        for (_, posts) in config.all() {
            for address in &posts.0 {
                posting::endpoint(&address.of(&any))?;
            }
        }
        let signer = Signer::new(config.secret.reveal());
        let told = [&config.on_unpublish, &config.on_stop, &config.on_done, &config.on_dvr];
        let mut lanes: Vec<(Address, Arc<Lane>)> = Vec::new();
        for address in told.into_iter().flat_map(|posts| &posts.0) {
            // What is told to one address is one line, whatever it is.
            if lanes.iter().all(|(known, _)| known != address) {
                let lane = Lane::new(address.clone(), config, signer.clone(), poster.clone(), clock.clone());
                lanes.push((address.clone(), Arc::new(lane)));
            }
        }
        let server = if config.server_id.is_empty() { server } else { &config.server_id };
        Ok(Self(Arc::new(Inner {
            form: Form::new(config.vhost.clone(), server.to_owned(), clock.now().wall),
            lanes,
            asked: Asked::new(config, signer, poster, clock.clone()),
            config: config.clone(),
            rules,
            clock,
        })))
    }

    /// A file of a recording is complete.
    pub fn recorded(&self, recorded: &Recorded) {
        let inner = &self.0;
        let body = || inner.form.recorded(inner.clock.now().wall, recorded);
        inner.tell(&inner.config.on_dvr.0, &recorded.name, body);
    }

    /// What waits to be told and what was, for operators.
    #[must_use]
    pub fn lanes(&self) -> Vec<LaneView> {
        self.0.lanes.iter().map(|(_, lane)| lane.view()).collect()
    }

    /// How many questions were asked, and how many of them had no answer.
    #[must_use]
    pub fn questions(&self) -> (u64, u64) {
        self.0.asked.counts()
    }

    /// Begins to tell.
    pub(crate) fn open(&self, site: &mut Site) {
        for (_, lane) in &self.0.lanes {
            site.task("live webhook", lane.clone().run());
        }
    }
}

impl Porter for Hooks {
    fn may(&self, wish: Wish) -> Called<Result<Pass, Refused>> {
        let config = &self.0.config;
        let asked = if wish.publishing { &config.on_publish } else { &config.on_play };
        let passed = self.0.rules.may(wish.clone());
        if asked.0.is_empty() {
            return passed;
        }
        let inner = self.0.clone();
        Called::Later(Box::pin(async move {
            let pass = passed.wait().await?;
            inner.ask(wish, pass).await
        }))
    }

    fn gone(&self, gone: Gone) {
        let (inner, config) = (&self.0, &self.0.config);
        let (action, posts) = match gone.publishing {
            true => ("on_unpublish", &config.on_unpublish),
            false => ("on_stop", &config.on_stop),
        };
        inner.tell(&posts.0, &gone.name, || inner.form.gone(action, &gone));
        inner.tell(&config.on_done.0, &gone.name, || inner.form.gone("on_done", &gone));
        inner.rules.gone(gone);
    }
}

impl Inner {
    /// Asks every program; the first that does not say yes decides.
    async fn ask(&self, wish: Wish, mut pass: Pass) -> Result<Pass, Refused> {
        let (action, posts, otherwise) = match wish.publishing {
            true => ("on_publish", &self.config.on_publish, self.config.publish_unanswered),
            false => ("on_play", &self.config.on_play, self.config.play_unanswered),
        };
        let body = self.form.wish(action, &wish, pass.user.as_deref());
        for address in &posts.0 {
            match self.asked.ask(address, &wish.name, body.clone()).await {
                Verdict::Yes { user } => pass.user = user.or(pass.user),
                Verdict::No(reason) => return Err(Refused::Hook(reason.into())),
                Verdict::Unanswered if otherwise == Unanswered::Allow => {}
                Verdict::Unanswered => {
                    return Err(Refused::Hook("the operator's program did not answer: try again".into()));
                }
            }
        }
        Ok(pass)
    }

    fn tell(&self, to: &[Address], name: &Name, body: impl Fn() -> form::Event) {
        for address in to {
            if let Some((_, lane)) = self.lanes.iter().find(|(known, _)| known == address) {
                lane.push(name, body());
            }
        }
    }
}
