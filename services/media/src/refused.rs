//! Why somebody may not publish or watch.

use std::sync::Arc;

use crate::name::BadName;

/// Why a publisher or a viewer is refused, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The name.
    #[error(transparent)]
    BadName(#[from] BadName),
    /// The app is none of the config's.
    #[error("there is no app '{0}': see live.apps in the config")]
    NotAnApp(Arc<str>),
    /// Nobody publishes it.
    #[error("this broadcast is not on air")]
    NotOnAir,
    /// Somebody publishes it.
    #[error("this broadcast has a publisher: end that one first, or use another name")]
    Taken,
    /// The key, the token or the account does not allow it.
    #[error("{0}")]
    Denied(Arc<str>),
    /// The token was good.
    #[error("the token has expired: get a new one")]
    Expired,
    /// Viewers.
    #[error("the broadcast has as many viewers as it may have: come again later")]
    Full,
    /// Broadcasts, or publishers of one address.
    #[error("{0}")]
    TooMany(Arc<str>),
    /// The operator's program said no, or did not answer.
    #[error("{0}")]
    Hook(Arc<str>),
}

impl Refused {
    /// The HTTP status that says it best (RFC 9110 §15.5).
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::BadName(_) => 400,
            Self::NotAnApp(_) | Self::NotOnAir => 404,
            Self::Taken => 409,
            Self::Denied(_) | Self::Hook(_) => 403,
            Self::Expired => 401,
            Self::Full | Self::TooMany(_) => 503,
        }
    }

    /// A short word for metrics and logs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::BadName(_) => "bad name",
            Self::NotAnApp(_) => "not an app",
            Self::NotOnAir => "not on air",
            Self::Taken => "taken",
            Self::Denied(_) => "denied",
            Self::Expired => "expired",
            Self::Full => "full",
            Self::TooMany(_) => "too many",
            Self::Hook(_) => "hook",
        }
    }
}

/// Why a packet was not taken. The publisher is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Somebody else has taken the broadcast over, or it was ended.
    #[error("this broadcast is not yours any more")]
    Gone,
    /// The frame.
    #[error("a frame of {bytes} bytes: at most {max} are taken")]
    TooBig {
        /// Bytes of the frame.
        bytes: usize,
        /// Bytes that a frame may have.
        max: usize,
    },
}
