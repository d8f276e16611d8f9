//! The API: which request is answered where, and who may ask.

use std::sync::Arc;

use http::Method;
use yizhan_hub::{Access as _, Credentials, Hub, Principal};
use yizhan_identity::{Actor, Identity, administers, names::is_narrow};

use crate::{
    ask::{Answered, Ask, Problem, Reply},
    health::Views,
};

/// The admin API over one hub and its identity.
#[derive(Clone)]
pub struct Api {
    pub(crate) hub: Hub,
    pub(crate) identity: Identity,
    pub(crate) views: Arc<Views>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// Whoever is signed in, also with a narrow token.
    Everybody,
    /// Whoever is signed in; what belongs to others is not shown.
    Oneself,
    /// Owners and admins.
    Admins,
}

impl Api {
    /// An API over a running hub.
    #[must_use]
    pub fn new(hub: Hub, identity: Identity, views: Arc<Views>) -> Self {
        Self { hub, identity, views }
    }

    /// Answers a request.
    pub async fn answer(&self, ask: Ask) -> Reply {
        self.route(&ask).await.unwrap_or_else(Reply::from)
    }

    async fn route(&self, ask: &Ask) -> Answered {
        let segments: Vec<&str> = ask.path.split('/').collect();
        match (&ask.method, segments.as_slice()) {
            (&Method::POST, ["login"]) => return self.login(ask).await,
            (&Method::POST, ["login", "link"]) => return self.login_link(ask).await,
            (_, ["login"] | ["login", "link"]) => return Err(NO_METHOD),
            _ => {}
        }
        let allowed = who_may(&segments).ok_or(NO_PATH)?;
        let who = self.signed_in(ask).await?;
        match allowed {
            For::Everybody => {}
            For::Oneself if is_narrow(&who) => return Err(NARROW),
            For::Oneself => {}
            For::Admins if !administers(&who) => return Err(ADMINS_ONLY),
            For::Admins => {}
        }
        let actor = Actor { who: &who, peer: ask.peer, now: ask.now };
        self.dispatch(ask, actor, &segments).await
    }

    async fn dispatch(&self, ask: &Ask, actor: Actor<'_>, segments: &[&str]) -> Answered {
        match (ask.method.as_str(), segments) {
            ("POST", ["logout"]) => self.logout(actor).await,
            ("GET", ["me"]) => self.me(actor).await,
            ("POST", ["me", "password"]) => self.change_password(ask, actor).await,
            ("GET", ["overview"]) => self.overview(ask),
            ("GET", ["sessions"]) => self.sessions(ask, actor),
            ("GET", ["sessions", id]) => self.one_session(ask, actor, id),
            ("DELETE", ["sessions", id]) => self.kick(actor, id).await,
            ("POST", ["sessions", id, "disconnect"]) => self.disconnect(actor, id).await,
            ("GET", ["connections"]) => self.connections(ask, actor),
            ("GET", ["topics"]) => self.topics(ask),
            ("GET", ["subscriptions"]) => self.subscriptions(ask),
            ("GET", ["spaces"]) => self.spaces(ask),
            ("GET", ["groups"]) => self.groups(ask),
            ("GET", ["bridges"]) => self.bridges(ask),
            ("GET", ["delayed"]) => self.delayed(ask).await,
            ("DELETE", ["delayed", id]) => self.cancel_delayed(actor, id).await,
            ("DELETE", ["retained"]) => self.clear_retained(ask, actor).await,
            ("GET", ["bans"]) => self.bans(ask, actor),
            ("POST", ["bans"]) => self.ban(ask, actor).await,
            ("DELETE", ["bans"]) => self.unban(ask, actor).await,
            ("GET", ["traces"]) => self.traces(ask),
            ("POST", ["traces"]) => self.start_trace(ask, actor).await,
            ("DELETE", ["traces"]) => self.stop_trace(ask),
            ("GET", ["audit"]) => self.audit(ask).await,
            ("GET", ["config"]) => self.config(ask),
            ("GET", ["accounts"]) => self.accounts(ask, actor).await,
            ("POST", ["accounts"]) => self.create_account(ask, actor).await,
            ("GET", ["accounts", user]) => self.account(actor, user).await,
            ("PATCH", ["accounts", user]) => self.change_account(ask, actor, user).await,
            ("DELETE", ["accounts", user]) => self.remove_account(actor, user).await,
            ("POST", ["invite"]) => self.invite(ask, actor).await,
            ("GET", ["tokens"]) => self.tokens(ask, actor).await,
            ("POST", ["tokens"]) => self.create_token(ask, actor).await,
            ("DELETE", ["tokens", id]) => self.revoke_token(actor, id).await,
            _ => Err(NO_METHOD),
        }
    }

    /// Who asks, by the Bearer token. Nothing else counts: no cookie, no password, so that no page of
    /// another site can ask in somebody's name.
    pub(crate) async fn signed_in(&self, ask: &Ask) -> Result<Principal, Problem> {
        let Some(token) = &ask.bearer else { return Err(NO_TOKEN) };
        let credentials = Credentials::Token(token.as_str().into());
        Ok(self.identity.admit(ask.now, ask.peer, credentials, None).await?)
    }
}

pub(crate) const NO_TOKEN: Problem = Problem::new(201, "sign in first: 'Authorization: Bearer …' is missing");
const NO_PATH: Problem = Problem::new(106, "there is no such path: see docs/reference/admin-api.md");
const NO_METHOD: Problem = Problem::new(105, "this path does not take this method");
const NARROW: Problem = Problem::new(210, "a token with rules of its own may not do this");
pub(crate) const ADMINS_ONLY: Problem = Problem::new(210, "only owners and admins may do this");

/// Who may ask under this path; `None` where there is none.
fn who_may(segments: &[&str]) -> Option<For> {
    Some(match segments {
        ["logout" | "me"] => For::Everybody,
        ["me", "password"] | ["sessions" | "connections" | "tokens"] | ["sessions" | "tokens", _] => {
            For::Oneself
        }
        ["overview" | "topics" | "subscriptions" | "spaces" | "audit" | "config" | "accounts" | "invite"] => {
            For::Admins
        }
        ["sessions", _, "disconnect"] => For::Oneself,
        ["groups" | "bridges" | "delayed" | "retained" | "bans" | "traces"] => For::Admins,
        ["accounts" | "delayed", _] => For::Admins,
        _ => return None,
    })
}
