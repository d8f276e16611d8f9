//! `POST /live/v1/{op}`: one request, one question to the service `live`.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use yizhan_hub::{Hub, Refused, service::Ask};
use yizhan_net::{BodyError, Request, Response, reply};
use yizhan_talk::Again;

use crate::acting::Acting;

/// The service that is asked.
const SERVICE: &str = "live/";
/// Bytes of an operation's name.
const OP_BYTES_MAX: usize = 100;
/// Bytes of a question.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("'op' is wrong: expected the name of an operation, such as list, of at most 100 bytes")]
    BadOp,
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Answers a question.
pub(crate) async fn ask(hub: Hub, mut request: Request) -> Response {
    match answered(&hub, &mut request).await {
        Ok(told) => body(StatusCode::OK, told),
        Err(Problem::Refused(refused)) => refusal(refused.code(), &refused.to_string(), refused.again()),
        Err(problem @ Problem::BadOp) => refusal(104, &problem.to_string(), Again::Never),
        Err(Problem::Body(error)) => error.into(),
    }
}

async fn answered(hub: &Hub, request: &mut Request) -> Result<Bytes, Problem> {
    let mut acting = Acting::of(hub, request).await?;
    let body = request.body_up_to(BODY_BYTES_MAX).await?;
    let op = request.param("op");
    if op.is_empty() || op.len() > OP_BYTES_MAX || op.chars().any(char::is_control) {
        return Err(Problem::BadOp);
    }
    let ask = Ask { name: format!("{SERVICE}{op}").into(), body: trimmed(&body) };
    Ok(acting.ask(hub.now(), ask).await?)
}

/// A body without blanks around it: one of blanks alone is none.
fn trimmed(body: &Bytes) -> Bytes {
    body.slice_ref(body.trim_ascii())
}

/// A refusal: its number, its reason, and when to come back.
fn refusal(code: u16, reason: &str, again: Again) -> Response {
    let shown = match again {
        Again::Never => json!("never"),
        Again::Soon => json!("soon"),
        // Whole milliseconds, so that nobody reads 0.30000000000000004.
        Again::After(wait) => json!(wait.as_millis() as f64 / 1000.0),
    };
    let said = json!({ "type": "error", "code": code, "reason": reason, "again": shown });
    let status = reply::status_of(code);
    let mut response = body(status, said.to_string());
    if let Again::After(wait) = again {
        // Whole seconds, rounded up (RFC 9110 §10.2.3).
        let seconds = HeaderValue::from(wait.as_millis().div_ceil(1000) as u64);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A response that is JSON and that nobody keeps.
fn body(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = reply::json(status, body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
