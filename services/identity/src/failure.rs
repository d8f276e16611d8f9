//! What can go wrong when somebody manages accounts, tokens and links.

use yizhan_hub::{Refused, StoreError};
use yizhan_talk::Again;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// As for any client.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Not a valid name for a user.
    #[error("not a valid user name: {0}")]
    BadUser(&'static str),
    /// Not a valid name for a role, or too many of them.
    #[error("not a valid role: a role has 1 to 32 of a-z, 0-9, '_' and '-', a user at most 16 of them")]
    BadRole,
    /// Not a valid password.
    #[error("not a valid password: it has 8 to 1,024 bytes")]
    BadPassword,
    /// Not a valid rule, and why.
    #[error("not a valid rule: {0}")]
    BadRule(String),
    /// A field is missing or has a value that is not taken.
    #[error("{0}")]
    BadField(&'static str),
    /// There is no such account, token or device.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The account is there already.
    #[error("this account exists: choose another name")]
    Exists,
    /// Nobody would be left to run the server.
    #[error("this is the last owner: make another owner first")]
    LastOwner,
    /// A user has so many tokens at most.
    #[error("a user has at most {0} personal tokens: remove one first")]
    TooManyTokens(usize),
    /// Only others may do this, and who.
    #[error("{0}")]
    NotAllowed(&'static str),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(Refused::Store(error))
    }
}

impl Failure {
    /// The number that is shown; see `docs/reference/admin-api.md`. Stable: scripts rely on it.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Refused(refused) => refused.code(),
            Self::BadField(_) => 104,
            Self::BadUser(_) | Self::BadRole => 120,
            Self::BadPassword => 121,
            Self::BadRule(_) => 122,
            Self::NotAllowed(_) => 210,
            Self::NotFound(_) => 303,
            Self::Exists => 320,
            Self::LastOwner => 321,
            Self::TooManyTokens(_) => 403,
        }
    }

    /// Whether and when the same request may succeed.
    #[must_use]
    pub fn again(&self) -> Again {
        match self {
            Self::Refused(refused) => refused.again(),
            _ => Again::Never,
        }
    }
}

/// The section `identity` of the config can't be used, and why. Ends the start, or leaves the old config
/// in force when it is reloaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("identity.{place}: {reason}")]
pub struct BadConfig {
    /// Which key.
    pub place: String,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl BadConfig {
    pub(crate) fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }
}
