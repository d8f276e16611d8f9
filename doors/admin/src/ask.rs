//! A request to the API and its answer, without HTTP around them.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use yizhan_hub::{Peer, Refused, StoreError};
use yizhan_identity::Failure;
use yizhan_talk::{Again, Now};

/// Rows of a page where nothing was asked for.
const LIMIT: usize = 100;
/// Rows of a page at most.
const LIMIT_MAX: usize = 1000;

/// A request.
#[derive(Debug)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// What stands behind `/api/v1/`, decoded.
    pub path: String,
    /// The query's parameters, decoded.
    pub query: Vec<(String, String)>,
    /// The token from `Authorization: Bearer`.
    pub bearer: Option<String>,
    /// Whether the body is said to be JSON.
    pub is_json: bool,
    /// The body.
    pub body: Bytes,
    /// From where.
    pub peer: Peer,
    /// When.
    pub now: Now,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// JSON; empty for 204.
    pub body: String,
    /// When to come again, where that is known.
    pub retry_after: Option<Duration>,
}

/// An answer or a refusal.
pub(crate) type Answered = Result<Reply, Problem>;

impl Reply {
    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answered {
        let body = serde_json::to_string(body)
            .map_err(|error| Problem::from(Refused::Store(StoreError::Failed(error.to_string()))))?;
        Ok(Self { status, body, retry_after: None })
    }

    pub(crate) fn ok(body: &impl Serialize) -> Answered {
        Self::json(StatusCode::OK, body)
    }

    pub(crate) fn empty() -> Answered {
        Ok(Self { status: StatusCode::NO_CONTENT, body: String::new(), retry_after: None })
    }

    /// A page of a list.
    pub(crate) fn list(items: &[impl Serialize], next: Option<impl Serialize>) -> Answered {
        Self::ok(&json!({ "items": items, "next": next }))
    }
}

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: u16,
    reason: Cow<'static, str>,
    again: Again,
}

impl Problem {
    pub(crate) const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason), again: Again::Never }
    }

    pub(crate) fn field(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code: 104, reason: reason.into(), again: Again::Never }
    }

    fn status(&self) -> StatusCode {
        match self.code {
            101 | 201..=203 => StatusCode::UNAUTHORIZED,
            105 => StatusCode::METHOD_NOT_ALLOWED,
            106 | 301..=311 => StatusCode::NOT_FOUND,
            112 => StatusCode::GONE,
            114 => StatusCode::PAYLOAD_TOO_LARGE,
            100..=199 => StatusCode::BAD_REQUEST,
            204 | 401 | 402 => StatusCode::TOO_MANY_REQUESTS,
            210 => StatusCode::FORBIDDEN,
            312..=399 | 403 | 513 => StatusCode::CONFLICT,
            510 => StatusCode::INSUFFICIENT_STORAGE,
            501 | 511 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code(), again: failure.again(), reason: failure.to_string().into() }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Failure::from(refused).into()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Failure::from(error).into()
    }
}

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        let (again, retry_after) = match problem.again {
            Again::Never => (Value::from("never"), None),
            Again::Soon => (Value::from("soon"), None),
            Again::After(wait) => (Value::from(wait.as_secs_f64().ceil()), Some(wait)),
        };
        let body = json!({ "code": problem.code, "reason": problem.reason, "again": again });
        Self { status: problem.status(), body: body.to_string(), retry_after }
    }
}

impl Ask {
    /// The body as what it has to be.
    ///
    /// # Errors
    /// 100 where it is no JSON object, 104 where a field is missing, unknown or of the wrong type.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        const NOT_JSON: Problem = Problem::new(
            100,
            "the body is not a JSON object, or 'Content-Type: application/json' is missing",
        );
        let first = self.body.iter().find(|b| !b.is_ascii_whitespace());
        if !self.is_json || first != Some(&b'{') {
            return Err(NOT_JSON);
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| if error.is_data() { Problem::field(described(&error)) } else { NOT_JSON })
    }

    /// A parameter of the query; empty ones count as left out.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| &**value)
            .filter(|v| !v.is_empty())
    }

    /// A parameter of the query as what it has to be.
    ///
    /// # Errors
    /// It is something else.
    pub(crate) fn parse<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.query(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Problem::field(format!("'{name}' is not valid")))
    }

    /// How many rows are wanted.
    ///
    /// # Errors
    /// `limit` is not 1 to 1,000.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        match self.parse("limit")? {
            None => Ok(LIMIT),
            Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Some(_) => Err(Problem::field("'limit' is 1 to 1000")),
        }
    }

    /// # Errors
    /// The query has a parameter that this request does not take.
    pub(crate) fn takes(&self, names: &[&str]) -> Result<(), Problem> {
        match self.query.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, _)) => Err(Problem::field(format!("unknown parameter '{name}'"))),
            None => Ok(()),
        }
    }
}

/// What is wrong, without the place in the text.
fn described(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what).to_owned()
}
