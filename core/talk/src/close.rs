//! How a talk ends.

use std::{borrow::Cow, fmt, time::Duration};

/// Why a talk ends, and whether it is worth coming back.
///
/// The numbers are documented in `docs/reference/errors.md`; a WebSocket sends them as close codes
/// (RFC 6455 §7.4), the other doors translate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// 1000–1015 as RFC 6455 has them, 4000–4999 our own.
    pub code: u16,
    /// One short sentence for a person: what happened and what to do. At most 120 bytes are sent.
    pub reason: Cow<'static, str>,
    /// Whether and when the client should come back.
    pub again: Again,
}

/// Whether and when a client should come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Coming back with the same request will fail the same way.
    Never,
    /// At once, or with the usual jittered back-off.
    Soon,
    /// Not before this has passed.
    After(Duration),
}

impl Close {
    /// A close with a constant reason.
    #[must_use]
    pub const fn new(code: u16, reason: &'static str, again: Again) -> Self {
        Self { code, reason: Cow::Borrowed(reason), again }
    }

    /// The talk is over and all is well (RFC 6455: 1000).
    pub const NORMAL: Self = Self::new(1000, "goodbye", Again::Soon);
    /// The server stops or restarts (RFC 6455: 1001).
    pub const GOING_AWAY: Self = Self::new(1001, "the server is going away: reconnect", Again::Soon);
    /// The bytes are not the protocol (RFC 6455: 1002).
    pub const PROTOCOL: Self = Self::new(1002, "protocol error", Again::Never);
    /// Data of a kind that is not taken here (RFC 6455: 1003).
    pub const UNSUPPORTED: Self = Self::new(1003, "this kind of data is not taken here", Again::Never);
    /// Text that is not UTF-8 (RFC 6455: 1007).
    pub const NOT_UTF8: Self = Self::new(1007, "text is not UTF-8", Again::Never);
    /// A message is larger than the limit (RFC 6455: 1009).
    pub const TOO_BIG: Self = Self::new(1009, "message too big", Again::Never);
    /// Something on our side failed (RFC 6455: 1011).
    pub const INTERNAL: Self = Self::new(1011, "the server failed", Again::After(Duration::from_secs(5)));

    /// Nothing said who the client is in time.
    pub const HELLO_LATE: Self = Self::new(4001, "no hello came in time", Again::Soon);
    /// The credentials are wrong or missing.
    pub const NOT_ADMITTED: Self = Self::new(4003, "not admitted: check the credentials", Again::Never);
    /// The token was good and has expired.
    pub const TOKEN_EXPIRED: Self = Self::new(4004, "the token has expired: get a new one", Again::Never);
    /// Nothing was heard for too long.
    pub const SILENT: Self = Self::new(4008, "nothing was heard from you for too long", Again::Soon);
    /// The session went on over another connection.
    pub const TAKEN_OVER: Self =
        Self::new(4009, "this session went on over another connection", Again::Never);
    /// The client read too slowly for its space's lag policy.
    pub const TOO_SLOW: Self = Self::new(4010, "you read too slowly for this space", Again::Soon);
    /// A limit was passed so often that the connection ends.
    pub const TOO_MANY: Self = Self::new(4029, "too many requests", Again::After(Duration::from_secs(10)));
    /// An operator ended the connection.
    pub const KICKED: Self = Self::new(4030, "an operator ended this connection", Again::Never);
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

/// The peer broke the protocol: it is told, and the connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub Close);

impl From<Close> for Fault {
    fn from(close: Close) -> Self {
        Self(close)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Fault {}
