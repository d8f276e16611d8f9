//! What the service says no to, and how.

use std::time::Duration;

use yizhan_hub::{Answer, Refused, StoreError, service::Denied};
use yizhan_talk::{Again, Timestamp};

/// Why something was not done. Nothing of it was done then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// What was asked cannot be read.
    #[error("bad input: {0}")]
    BadInput(String),
    /// What was to be sent makes no sense.
    #[error("bad content: {0}")]
    BadContent(String),
    /// No such operation.
    #[error("there is no operation '{0}'")]
    NoOperation(String),
    /// More at once than is taken.
    #[error("too many {what}: at most {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are taken.
        max: usize,
    },
    /// Only members may.
    #[error("you are not a member of this conversation")]
    NotMember,
    /// The caller's role, or a setting, does not allow it.
    #[error("not allowed: {0}")]
    NotAllowed(&'static str),
    /// The caller is muted.
    #[error("you are muted here{}", until(*.0))]
    Muted(Option<Timestamp>),
    /// The caller is banned from this conversation.
    #[error("you are banned from this conversation")]
    Banned,
    /// The other one does not want to hear from the caller.
    #[error("this person does not take messages from you")]
    Blocked,
    /// The rules about words, or the operator's hook.
    #[error("this message was not taken: {0}")]
    Moderated(String),
    /// Something named is not there.
    #[error("there is no such {0}")]
    NoSuch(&'static str),
    /// It was allowed once.
    #[error("too late: {0}")]
    TooLate(&'static str),
    /// Somebody was quicker, or it is so already.
    #[error("{0}")]
    Conflict(&'static str),
    /// The conversation was dismissed.
    #[error("this conversation was dismissed")]
    Gone,
    /// The owner cannot leave.
    #[error("an owner hands the group over, or dismisses it, before leaving")]
    OwnerStays,
    /// The conversation has no room.
    #[error("this conversation is full: at most {0} members")]
    Full(usize),
    /// Too much in too short a time.
    #[error("too fast: slow down")]
    TooFast(Duration),
    /// The operator's hook did not answer, and the config says that nothing passes then.
    #[error("the check before sending did not answer: try again")]
    NoVerdict,
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
            Self::BadInput(_) => 600,
            Self::BadContent(_) => 601,
            Self::NoOperation(_) => 602,
            Self::TooMany { .. } => 603,
            Self::NotMember => 610,
            Self::NotAllowed(_) => 611,
            Self::Muted(_) => 612,
            Self::Banned => 613,
            Self::Blocked => 614,
            Self::Moderated(_) => 615,
            Self::NoSuch(_) => 620,
            Self::TooLate(_) => 630,
            Self::Conflict(_) => 631,
            Self::Gone => 632,
            Self::OwnerStays => 633,
            Self::Full(_) => 634,
            Self::TooFast(_) => 640,
            Self::NoVerdict => 641,
            Self::Refused(refused) => refused.code(),
        }
    }

    /// Whether and when the same request may succeed.
    #[must_use]
    pub fn again(&self) -> Again {
        match self {
            Self::TooFast(wait) => Again::After(*wait),
            Self::NoVerdict => Again::Soon,
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
