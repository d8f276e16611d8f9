//! Who may publish and who may watch: asked before either, told when they have gone.

use std::sync::Arc;

use yizhan_talk::{Called, Now, Timestamp};

use crate::{name::Name, refused::Refused, viewer::Party};

/// What somebody brings to show that they may. Never logged.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Creds {
    /// The query string of the address, as it was sent: `token=…`.
    pub params: Arc<str>,
    /// A bearer token (RFC 6750), or a session cookie's.
    pub bearer: Option<Arc<str>>,
}

impl std::fmt::Debug for Creds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Creds")
    }
}

/// Somebody wants to publish or to watch.
#[derive(Debug, Clone)]
pub struct Wish {
    /// When.
    pub now: Now,
    /// What.
    pub name: Name,
    /// Who.
    pub party: Party,
    /// What they show.
    pub creds: Creds,
    /// Whether they want to publish, or to watch.
    pub publishing: bool,
    /// Their number: another one for each publisher and viewer of the server.
    pub id: u64,
}

/// They may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    /// Who they turned out to be.
    pub user: Option<Arc<str>>,
    /// Until when; then they are told to go.
    pub until: Option<Timestamp>,
}

/// Somebody who had a pass has gone.
#[derive(Debug, Clone)]
pub struct Gone {
    /// When.
    pub now: Now,
    /// From what.
    pub name: Name,
    /// Who, with the user that they turned out to be.
    pub party: Party,
    /// Whether they published, or watched.
    pub publishing: bool,
    /// Their number.
    pub id: u64,
    /// Bytes that they sent, or were given.
    pub bytes: u64,
}

/// Who decides.
pub trait Porter: Send + Sync + 'static {
    /// Whether they may. Must not block; an answer may come later.
    fn may(&self, wish: Wish) -> Called<Result<Pass, Refused>>;

    /// They have gone. Must not wait.
    fn gone(&self, gone: Gone);
}

/// Lets everybody in: for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Everybody;

impl Porter for Everybody {
    fn may(&self, _wish: Wish) -> Called<Result<Pass, Refused>> {
        Called::Done(Ok(Pass::default()))
    }

    fn gone(&self, _gone: Gone) {}
}
