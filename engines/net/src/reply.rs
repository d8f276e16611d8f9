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
