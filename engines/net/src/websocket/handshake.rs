//! The handshake: RFC 6455 §4 over HTTP/1.1, RFC 8441 over HTTP/2.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version,
    header::{
        CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};

use super::{
    Subprotocol,
    deflate::{self, Agreed},
};
use crate::{Body, Request, Response, reply};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A handshake that is good, but for what the door says.
pub(crate) struct Accepted {
    pub(crate) subprotocol: Subprotocol,
    pub(crate) agreed: Option<Agreed>,
    /// What is sent if the door takes the client.
    pub(crate) response: Response,
}

/// Whether the request wants to become a WebSocket at all.
pub(crate) fn is_asked(request: &Request) -> bool {
    if request.version() == Version::HTTP_2 {
        return request.method() == Method::CONNECT;
    }
    has_token(request.headers(), CONNECTION, "upgrade") && has_token(request.headers(), UPGRADE, "websocket")
}

/// Checks the client's half of the handshake. `subprotocols` is not empty.
///
/// # Errors
/// The response that says what is wrong.
pub(crate) fn accept(
    request: &Request,
    subprotocols: &[Subprotocol],
    deflate: bool,
) -> Result<Accepted, Box<Response>> {
    if !is_asked(request) {
        let mut response =
            reply::error(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket: ask for an upgrade");
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return Err(Box::new(response));
    }
    if request.header("sec-websocket-version") != Some("13") {
        let mut response =
            reply::error(StatusCode::UPGRADE_REQUIRED, "version 13 of WebSocket is spoken here (RFC 6455)");
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(Box::new(response));
    }
    let mut response = Response::new(Body::empty());
    if request.version() == Version::HTTP_2 {
        if request.protocol() != Some("websocket") {
            let reason = "CONNECT is for WebSocket (RFC 8441)";
            return Err(Box::new(reply::error(StatusCode::NOT_IMPLEMENTED, reason)));
        }
    } else {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let key = request.header("sec-websocket-key").unwrap_or_default();
        if request.method() != Method::GET || BASE64.decode(key).map_or(0, |key| key.len()) != 16 {
            let reason = "a WebSocket handshake is a GET with a key of 16 bytes (RFC 6455, 4.1)";
            return Err(Box::new(reply::error(StatusCode::BAD_REQUEST, reason)));
        }
        put(response.headers_mut(), SEC_WEBSOCKET_ACCEPT, &accept_key(key));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    let subprotocol = choose(request, subprotocols, &mut response)?;
    let agreed =
        deflate.then(|| deflate::agree(values(request.headers(), SEC_WEBSOCKET_EXTENSIONS))).flatten();
    if let Some(agreed) = agreed {
        put(response.headers_mut(), SEC_WEBSOCKET_EXTENSIONS, &agreed.header());
    }
    Ok(Accepted { subprotocol, agreed, response })
}

/// The client's first subprotocol that the door has.
fn choose(
    request: &Request,
    subprotocols: &[Subprotocol],
    response: &mut Response,
) -> Result<Subprotocol, Box<Response>> {
    if !request.headers().contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return Ok(subprotocols[0]);
    }
    let mut wanted = values(request.headers(), SEC_WEBSOCKET_PROTOCOL).flat_map(|value| value.split(','));
    let found = wanted.find_map(|name| subprotocols.iter().find(|known| known.name == name.trim()));
    let Some(found) = found else {
        let names: Vec<_> = subprotocols.iter().map(|known| known.name).collect();
        let reason = format!("none of these subprotocols is spoken here: ask for {}", names.join(" or "));
        return Err(Box::new(reply::error(StatusCode::BAD_REQUEST, &reason)));
    };
    put(response.headers_mut(), SEC_WEBSOCKET_PROTOCOL, found.name);
    Ok(*found)
}

/// What proves that the server has read the key (RFC 6455 §4.2.2).
pub(crate) fn accept_key(key: &str) -> String {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(GUID.as_bytes());
    BASE64.encode(hash.finish())
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Names of subprotocols and extensions are ASCII, and so is base64.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    values(headers, name)
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    /// RFC 6455, 1.3.
    #[test]
    fn the_example_of_the_standard_is_accepted() {
        assert_eq!(super::accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
