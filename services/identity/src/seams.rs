//! What identity needs from outside, and what it tells.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use yizhan_hub::Principal;
use yizhan_talk::{Again, Close};

use crate::{
    bans::Whom,
    names::{has_account, token_of},
};

/// Work that takes tens of milliseconds of CPU.
pub type Job = Box<dyn FnOnce() + Send>;

/// What this crate needs from outside.
#[derive(Clone)]
pub struct Seams {
    /// Runs a job on a thread that may be busy for long. A job that is dropped refuses its sign-in.
    pub work: Arc<dyn Fn(Job) + Send + Sync>,
    /// Hears that somebody's credentials are worth less than before: connections that
    /// [`Revoked::concerns`] shall end.
    pub revoked: Arc<dyn Fn(&Revoked) + Send + Sync>,
    /// Hears that a JWT names a key that is not known, at most once a minute: newer keys may be fetched
    /// and given to [`Identity::set_keys`](crate::Identity::set_keys).
    pub keys_wanted: Arc<dyn Fn() + Send + Sync>,
}

impl Default for Seams {
    /// Hashes on the spot and tells nobody: for tests and small tools.
    fn default() -> Self {
        Self { work: Arc::new(|job| job()), revoked: Arc::new(|_| {}), keys_wanted: Arc::new(|| {}) }
    }
}

impl fmt::Debug for Seams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seams")
    }
}

/// Whose connections shall end, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Whose; a user, but for bans.
    pub whom: Whom,
    /// What happened.
    pub cause: Cause,
}

/// What happened to somebody's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The account was removed or disabled.
    Gone,
    /// Its roles have changed, or somebody else has set its password.
    Changed,
    /// Its user has changed the password: only those who came with this token stay.
    Password {
        /// The token's id.
        keep: Option<String>,
    },
    /// One token was revoked.
    Token(String),
    /// Somebody was banned.
    Banned,
}

impl Revoked {
    /// Whether a session of `who` shall end. A ban of addresses is not about anybody in particular: it
    /// [concerns connections](Self::concerns_address).
    #[must_use]
    pub fn concerns(&self, who: &Principal) -> bool {
        if matches!(self.whom, Whom::Address(_)) || !self.whom.means(who, IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
            return false;
        }
        match &self.cause {
            Cause::Gone | Cause::Banned => true,
            Cause::Changed => has_account(who),
            Cause::Password { keep } => {
                has_account(who) && (keep.is_none() || token_of(who) != keep.as_deref())
            }
            Cause::Token(id) => token_of(who) == Some(id),
        }
    }

    /// Whether all connections from this address shall end. Tools on the server's own machine come from
    /// loopback addresses and are never meant.
    #[must_use]
    pub fn concerns_address(&self, address: IpAddr) -> bool {
        matches!(&self.whom, Whom::Address(network) if network.contains(address) && !address.is_loopback())
    }

    /// How it shall end.
    #[must_use]
    pub fn close(&self) -> Close {
        match self.cause {
            Cause::Gone => Close::NOT_ADMITTED,
            Cause::Banned => Close::new(4030, "you are banned: ask an operator", Again::Never),
            Cause::Token(_) => Close::new(4004, "the token was revoked: get a new one", Again::Never),
            Cause::Changed | Cause::Password { .. } => {
                Close::new(4004, "your account has changed: sign in again", Again::Soon)
            }
        }
    }
}
