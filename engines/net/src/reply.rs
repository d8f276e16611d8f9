//! Responses that every door gives alike.
use crate::{Body, Response};
use bytes::Bytes;
use http::StatusCode;

/// A response with a body of this type.
#[must_use]
pub fn bytes(_status: StatusCode, _content_type: &'static str, _body: impl Into<Bytes>) -> Response {
    todo!()
}

/// `application/json`; the caller has written it.
#[must_use]
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    bytes(status, "application/json", body)
}

/// `{"type":"error","code":…,"reason":"…","again":"never"}`, the form of all errors here.
#[must_use]
pub fn error(_status: StatusCode, _reason: &str) -> Response {
    todo!()
}

/// No body.
#[must_use]
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
