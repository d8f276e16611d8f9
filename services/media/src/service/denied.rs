//! What the service says no to, and how.

use std::{borrow::Cow, time::Duration};

use yizhan_hub::{Answer, Refused, StoreError, service::Denied};
use yizhan_talk::{Again, Timestamp};

/// Why something was not done. Nothing of it was done then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// What was asked cannot be read.
    #[error("bad input: {0}")]
    BadInput(Cow<'static, str>),
    /// What was to be said makes no sense.
    #[error("bad content: {0}")]
    BadContent(String),
    /// No such operation.
    #[error("there is no operation '{0}'")]
    NoOperation(String),
    /// More than is taken.
    #[error("too many {what}: at most {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are taken.
        max: usize,
    },
    /// Who asks may not do this.
    #[error("not allowed: {0}")]
    NotAllowed(Cow<'static, str>),
    /// The caller is muted, or the chat is closed.
    #[error("you cannot write here{}", until(*.0))]
    Muted(Option<Timestamp>),
    /// The caller is banned from this broadcast's chat.
    #[error("you are banned from this broadcast{}", until(*.0))]
    Banned(Option<Timestamp>),
    /// An account is needed.
    #[error("an account is needed for this: sign in")]
    NoAccount,
    /// Something named is not there.
    #[error("there is no such {0}")]
    NoSuch(&'static str),
    /// The broadcast is not on air.
    #[error("this broadcast is not on air")]
    NotOnAir,
    /// This server cannot do it: what it takes is not set up.
    #[error("{0}")]
    NotSet(&'static str),
    /// Too much is said here.
    #[error("more is said here than passes: try again")]
    TooFast(Duration),
    /// The chat is in slow mode.
    #[error("slow mode: wait {} s between two texts", .0.as_secs_f64().ceil())]
    Slow(Duration),
    /// What was asked for failed.
    #[error("{0}")]
    Failed(String),
    /// The hub or the store said no.
    #[error(transparent)]
    Refused(#[from] Refused),
}

fn until(at: Option<Timestamp>) -> String {
    at.map(|at| format!(" until {} (ms since 1970)", at.as_millis())).unwrap_or_default()
}

impl Wrong {
    /// The number that doors show. Stable: scripts rely on it.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::BadInput(_) => 700,
            Self::BadContent(_) => 701,
            Self::NoOperation(_) => 702,
            Self::TooMany { .. } => 703,
            Self::NotAllowed(_) => 710,
            Self::Muted(_) => 711,
            Self::Banned(_) => 712,
            Self::NoAccount => 713,
            Self::NoSuch(_) => 720,
            Self::NotOnAir => 721,
            Self::NotSet(_) => 730,
            Self::TooFast(_) | Self::Slow(_) => 740,
            Self::Failed(_) => 741,
            Self::Refused(refused) => refused.code(),
        }
    }

    /// Whether and when the same request may succeed.
    #[must_use]
    pub fn again(&self) -> Again {
        match self {
            Self::TooFast(wait) | Self::Slow(wait) => Again::After(*wait),
            Self::Failed(_) => Again::Soon,
            Self::Refused(refused) => refused.again(),
            _ => Again::Never,
        }
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Refused(Refused::Store(error))
    }
}

impl From<crate::BadName> for Wrong {
    fn from(bad: crate::BadName) -> Self {
        Self::BadInput(bad.to_string().into())
    }
}

impl From<crate::refused::Refused> for Wrong {
    fn from(refused: crate::refused::Refused) -> Self {
        use crate::refused::Refused as Media;
        match refused {
            Media::Expired => Self::Refused(Refused::TokenExpired),
            Media::BadName(bad) => bad.into(),
            Media::NotOnAir => Self::NotOnAir,
            Media::NotAnApp(_) => Self::NoSuch("app"),
            refused => Self::NotAllowed(refused.to_string().into()),
        }
    }
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Refused(refused) => refused,
            wrong => Self::Denied(Box::new(Denied {
                code: wrong.code(),
                again: wrong.again(),
                reason: wrong.to_string().into(),
            })),
        }
    }
}

impl From<Wrong> for Answer {
    fn from(wrong: Wrong) -> Self {
        Self::Refused(wrong.into())
    }
}
