//! What the door says no to, and how refusals look as responses.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use yizhan_hub::{Refused, StoreError};
use yizhan_net::{BodyError, Response, reply};
use yizhan_talk::Again;

/// How far an upload is.
pub(crate) const OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The hub, the store or the service said no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The body is not one JSON value.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// A field, parameter or header is missing or wrong.
    #[error("'{name}' is wrong: expected {expected}")]
    Field {
        /// Which one.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The body is larger than allowed.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// The body did not come in time.
    #[error("the body did not come in time")]
    Late,
    /// The body broke off.
    #[error("the body broke off")]
    Broken,
    /// An `Idempotency-Key` came again with another body.
    #[error("this Idempotency-Key was used for another request: take a new one")]
    KeyReused,
    /// The first request with this `Idempotency-Key` has no answer yet.
    #[error("a request with this Idempotency-Key is in work: wait for its answer")]
    KeyBusy,
    /// An `Idempotency-Key` of somebody without an account would be anybody's.
    #[error("an Idempotency-Key needs an account: sign in")]
    KeyOfNobody,
    /// There is no such file, or not for this user.
    #[error("there is no such file")]
    NoFile,
    /// A piece of an upload does not begin where the upload is.
    #[error("the upload is at {0}: go on from there")]
    OffsetConflict(u64),
    /// Another piece of this upload is being written.
    #[error("another piece of this upload is being written: ask how far it is")]
    UploadBusy,
    /// The file is larger than allowed.
    #[error("a file has at most {0} bytes")]
    FileTooLarge(u64),
    /// More uploads than are taken at one time.
    #[error("too many uploads are on their way: try later")]
    TooManyUploads,
    /// The range has no byte of the file.
    #[error("the file has {0} bytes, and none of the range")]
    NoSuchRange(u64),
    /// The key in the address is not good, or not any more.
    #[error("the key of this address is not good any more: ask for a new one")]
    BadFileKey,
    /// There is no hook of this name.
    #[error("there is no hook of this name")]
    NoHook,
    /// Only owners and admins may.
    #[error("only the server's owners and admins may do this")]
    AdminsOnly,
}

impl Problem {
    /// The number that clients are told; see `docs/reference/errors.md`.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Refused(refused) => refused.code(),
            Self::NotJson(_) => 100,
            Self::Field { .. } => 104,
            Self::TooLarge(_) => 114,
            Self::AdminsOnly => 210,
            Self::KeyReused => 650,
            Self::KeyBusy => 651,
            Self::KeyOfNobody => 652,
            Self::Late => 653,
            Self::Broken => 654,
            Self::NoFile => 620,
            Self::BadFileKey => 660,
            Self::OffsetConflict(_) => 661,
            Self::UploadBusy => 662,
            Self::FileTooLarge(_) => 663,
            Self::TooManyUploads => 664,
            Self::NoSuchRange(_) => 665,
            Self::NoHook => 670,
        }
    }

    /// Whether and when the same request may succeed.
    #[must_use]
    pub fn again(&self) -> Again {
        match self {
            Self::Refused(refused) => refused.again(),
            Self::KeyBusy | Self::UploadBusy => Again::After(Duration::from_secs(1)),
            Self::TooManyUploads => Again::After(Duration::from_secs(30)),
            Self::Late | Self::Broken => Again::Soon,
            _ => Again::Never,
        }
    }

    /// Its HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        status_of(self.code())
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(bytes_max) => Self::TooLarge(bytes_max),
            BodyError::Late => Self::Late,
            BodyError::Broken => Self::Broken,
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Refused(Refused::Store(error))
    }
}

/// The HTTP status of an error's number; the same as at the other HTTP routes, see `docs/reference/errors.md`.
#[must_use]
pub fn status_of(code: u16) -> StatusCode {
    match code {
        // This door's own.
        650 => StatusCode::UNPROCESSABLE_ENTITY,
        651 => StatusCode::CONFLICT,
        652 | 654 => StatusCode::BAD_REQUEST,
        653 => StatusCode::REQUEST_TIMEOUT,
        660 => StatusCode::FORBIDDEN,
        661 | 662 => StatusCode::CONFLICT,
        663 => StatusCode::PAYLOAD_TOO_LARGE,
        664 => StatusCode::TOO_MANY_REQUESTS,
        665 => StatusCode::RANGE_NOT_SATISFIABLE,
        670 => StatusCode::NOT_FOUND,
        _ => reply::status_of(code),
    }
}

/// What a refusal shows: its status, and the body.
pub(crate) fn shown(problem: &Problem) -> (StatusCode, Bytes) {
    let again = match problem.again() {
        Again::Never => json!("never"),
        Again::Soon => json!("soon"),
        // Whole milliseconds, so that nobody reads 0.30000000000000004.
        Again::After(wait) => json!(wait.as_millis() as f64 / 1000.0),
    };
    let body =
        json!({ "type": "error", "code": problem.code(), "reason": problem.to_string(), "again": again });
    (problem.status(), body.to_string().into())
}

/// A refusal as a response: its number, its reason, and when to come back.
pub(crate) fn refusal(problem: impl Into<Problem>) -> Response {
    let problem = problem.into();
    let (status, body) = shown(&problem);
    let mut response = json_body(status, body);
    let headers = response.headers_mut();
    if let Again::After(wait) = problem.again() {
        // Whole seconds, rounded up (RFC 9110 §10.2.3).
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1000) as u64));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    match problem {
        Problem::OffsetConflict(at) => drop(headers.insert(OFFSET, HeaderValue::from(at))),
        Problem::NoSuchRange(bytes) => {
            // Digits and a slash.
            if let Ok(range) = HeaderValue::from_str(&format!("bytes */{bytes}")) {
                headers.insert(header::CONTENT_RANGE, range);
            }
        }
        _ => {}
    }
    if matches!(problem, Problem::TooLarge(_) | Problem::Late | Problem::Broken) {
        // The rest of the body is not read, so no request can follow it.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A response that is JSON and that nobody keeps.
pub(crate) fn json_body(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = reply::json(status, body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
