//! `GET /v1/sse`: Server-Sent Events (WHATWG HTML §9.2), for any `EventSource`.

use std::sync::Arc;

use bytes::BytesMut;
use http::{HeaderValue, header};
use yizhan_hub::{
    Hello, Link,
    link::{Have, Opened},
};
use yizhan_net::{Body, EventBody, Request, Response};

use super::{
    opening::{Opening, is_gone},
    peer, refusal,
};
use crate::{
    connection::{Connection, trail::Trail},
    door::Inner,
    wire::Wrong,
};

/// Opens a stream, or goes on with one.
pub(crate) async fn sse(door: Arc<Inner>, request: Request) -> Response {
    match open(&door, &request).await {
        Ok(stream) => respond(&door, &request, stream),
        Err(wrong) => refusal(wrong),
    }
}

/// A stream that is about to begin.
struct Stream {
    link: Link,
    opened: Opened,
    opening: Opening,
    trail: Trail,
    /// The first commands.
    first: BytesMut,
    /// Subscriptions that go on with a gap.
    lost: Vec<u32>,
}

async fn open(door: &Inner, request: &Request) -> Result<Stream, Wrong> {
    let opening = Opening::read(request)?;
    let trail = last_event_id(request);
    let keep = door.terms.config.stream_keep;
    if let Some(trail) = &trail {
        let resume = trail.resume();
        let credentials = door.credentials_to_resume(opening.credentials.clone(), &resume).await?;
        let hello = Hello { credentials, resume: Some(resume), ..opening.hello(keep) };
        match door.hello(peer(request, "sse"), hello).await {
            Ok((link, opened)) => {
                let (trail, first) = (trail.clone(), BytesMut::from(&b"[]"[..]));
                return Ok(Stream { link, opened, opening, trail, first, lost: Vec::new() });
            }
            Err(refused) if is_gone(&refused) => {}
            Err(refused) => return Err(refused.into()),
        }
    }
    let had: Vec<Have> = trail.map(|trail| trail.resume().have).unwrap_or_default();
    let (link, opened) = door.hello(peer(request, "sse"), opening.hello(keep)).await?;
    let trail = Trail::new(opened.session, opened.secret.clone());
    let (first, lost) = (opening.subscribes(&had), opening.lost(&had));
    Ok(Stream { link, opened, opening, trail, first, lost })
}

/// Where the stream stood; a text that was not made here counts as none.
fn last_event_id(request: &Request) -> Option<Trail> {
    match request.header("last-event-id") {
        Some(id) => Trail::read(id),
        None => Trail::read(&request.query_value("last_event_id")?),
    }
}

fn respond(door: &Inner, request: &Request, stream: Stream) -> Response {
    let Stream { link, opened, opening, trail, first, lost } = stream;
    let now = door.hub.now();
    let connection =
        Connection::<Link>::events(now, door.terms.clone(), opened, opening.network, trail).having_lost(lost);
    let body = EventBody::new(connection, link, first, request.line(), "sse");
    let mut response = Response::new(Body::stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx and its like would gather events into large pieces.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
