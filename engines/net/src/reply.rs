//! Responses that every door gives alike.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};

use crate::{Body, Response};

/// A response with a body of this type.
#[must_use]
pub fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// `application/json`; the caller has written it.
#[must_use]
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    bytes(status, "application/json", body)
}

/// What went wrong with the request itself, as JSON:
/// `{"type":"error","status":404,"reason":"…","again":"never"}`.
#[must_use]
pub fn error(status: StatusCode, reason: &str) -> Response {
    let again = match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            "soon"
        }
        _ => "never",
    };
    let mut body = String::with_capacity(64 + reason.len());
    body.push_str(&format!(r#"{{"type":"error","status":{},"reason":"#, status.as_u16()));
    write_json_text(&mut body, reason);
    body.push_str(&format!(r#","again":"{again}"}}"#));
    json(status, body)
}

/// No body.
#[must_use]
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A JSON string (RFC 8259 §7).
fn write_json_text(to: &mut String, text: &str) {
    to.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                to.push('\\');
                to.push(c);
            }
            c if c < ' ' => to.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => to.push(c),
        }
    }
    to.push('"');
}

/// The HTTP status of an error's number; see `docs/reference/errors.md`. Services number theirs so that their kind
/// shows: `im` from 600 on, `live` from 700 on.
#[must_use]
pub const fn status_of(code: u16) -> StatusCode {
    match code {
        101 | 201..=203 | 205 => StatusCode::UNAUTHORIZED,
        102 | 303 | 312 | 513 => StatusCode::CONFLICT,
        112 => StatusCode::GONE,
        114 => StatusCode::PAYLOAD_TOO_LARGE,
        100..=199 | 404 => StatusCode::BAD_REQUEST,
        204 | 401..=403 => StatusCode::TOO_MANY_REQUESTS,
        206 | 210 => StatusCode::FORBIDDEN,
        301 | 302 | 310 | 311 | 313 => StatusCode::NOT_FOUND,
        501 | 511 => StatusCode::SERVICE_UNAVAILABLE,
        510 => StatusCode::INSUFFICIENT_STORAGE,
        // What makes no sense, is not allowed, is not there, cannot be any more, and so on.
        600..=609 | 700..=709 => StatusCode::BAD_REQUEST,
        610..=619 | 710..=719 => StatusCode::FORBIDDEN,
        620..=629 | 720..=729 => StatusCode::NOT_FOUND,
        630..=639 | 730..=739 => StatusCode::CONFLICT,
        640 | 740 => StatusCode::TOO_MANY_REQUESTS,
        641..=644 | 741..=744 => StatusCode::SERVICE_UNAVAILABLE,
        645..=649 | 745..=749 => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
