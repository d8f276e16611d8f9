//! Recordings and snapshots: what was, and what is seen now.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::{Frame, SizeHint};
use serde_json::json;
use tracing::warn;
use yizhan_net::{Body, Request, Response, reply};

use crate::{
    admit::{admit, name},
    door::{Inner, nothing},
    range::{Wanted, has_already, of_request},
    respond::{no_such_range, pieces, put},
    shelf::{Found, READ_BYTES_MAX, Reel},
};

/// Bytes of a recording's file name.
const FILE_BYTES_MAX: usize = 255;

/// `/record/{app}/{name}`: `{"recordings":[…]}`, the newest first.
pub(crate) async fn list(inner: Arc<Inner>, request: Request) -> Response {
    try_list(&inner, &request).await.unwrap_or_else(|response| response)
}

async fn try_list(inner: &Inner, request: &Request) -> Result<Response, Response> {
    let name = name(request, request.param("name"))?;
    let recordings = inner.recordings.as_ref().ok_or_else(nothing)?;
    let _admitted = admit(inner, request, &name, "record").await?;
    let all = recordings.list(&name).await.map_err(|error| failed(&error))?;
    let mut response = reply::json(StatusCode::OK, json!({ "recordings": all }).to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn failed(error: &io::Error) -> Response {
    warn!(%error, "a recording cannot be read");
    reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the recording cannot be read: the server's log says why")
}

/// `/record/{app}/{name}/{file}`: all of it, a range, or from `?start=` seconds on.
pub(crate) async fn file(inner: Arc<Inner>, request: Request) -> Response {
    try_file(&inner, &request).await.unwrap_or_else(|response| response)
}

async fn try_file(inner: &Inner, request: &Request) -> Result<Response, Response> {
    let name = name(request, request.param("name"))?;
    let file = request.param("file");
    let good = file.len() <= FILE_BYTES_MAX
        && !file.starts_with('.')
        && file.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let (true, Some(recordings)) = (good, &inner.recordings) else { return Err(nothing()) };
    let _admitted = admit(inner, request, &name, "record").await?;
    let reel = recordings.open(&name, file).await.map_err(|error| failed(&error))?.ok_or_else(nothing)?;
    let start = request.query_value("start").map(|text| text.parse::<f64>());
    match start {
        None => Ok(whole(request, file, reel)),
        Some(Ok(start)) if start.is_finite() && start >= 0.0 => from(request, reel, start),
        Some(_) => Err(reply::error(StatusCode::BAD_REQUEST, "start is a number of seconds")),
    }
}

/// The file, or a range of it, as far as it is written by now.
fn whole(request: &Request, file: &str, reel: Arc<dyn Reel>) -> Response {
    let total = reel.bytes();
    // What is still being written has no lasting name: there is more of it the next time.
    let etag = (!reel.is_growing()).then(|| format!("\"{file}-{:x}-{total:x}\"", reel.changed().0));
    if let Some(etag) = &etag
        && has_already(request, etag)
    {
        let mut response = reply::empty(StatusCode::NOT_MODIFIED);
        describe(&mut response, &*reel, Some(etag));
        return response;
    }
    let (status, range) = match of_request(request, etag.as_deref(), total) {
        Wanted::All => (StatusCode::OK, 0..total),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => return no_such_range(total),
    };
    let mut response = Response::new(body(request, &reel, VecDeque::from([range.clone()])));
    *response.status_mut() = status;
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{total}", range.start, range.end - 1);
        put(response.headers_mut(), header::CONTENT_RANGE, &text);
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    describe(&mut response, &*reel, etag.as_deref());
    response
}

/// The head, and what follows from a time on.
fn from(request: &Request, reel: Arc<dyn Reel>, start: f64) -> Result<Response, Response> {
    let total = reel.bytes();
    let Some(Found { head, from }) = reel.find(start) else {
        return Err(reply::error(StatusCode::NOT_FOUND, "this recording has no index: leave start out"));
    };
    let from = from.min(total);
    let ranges = VecDeque::from([0..head.min(from), from..total]);
    let length: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let mut response = Response::new(body(request, &reel, ranges));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    describe(&mut response, &*reel, None);
    Ok(response)
}

fn describe(response: &mut Response, reel: &dyn Reel, etag: Option<&str>) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reel.media_type()));
    let cache = if reel.is_growing() { "no-store" } else { "private, max-age=3600" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Some(etag) = etag {
        put(headers, header::ETAG, etag);
    }
}

fn body(request: &Request, reel: &Arc<dyn Reel>, mut ranges: VecDeque<Range<u64>>) -> Body {
    ranges.retain(|range| range.start < range.end);
    if request.method() == Method::HEAD || ranges.is_empty() {
        return Body::empty();
    }
    Body::stream(Reading { reel: reel.clone(), ranges, reading: None })
}

/// A recording on its way: one read at a time, the next when the one before is sent. Where reading fails, the response
/// ends before its length, and the client sees that.
struct Reading {
    reel: Arc<dyn Reel>,
    ranges: VecDeque<Range<u64>>,
    reading: Option<BoxFuture<'static, io::Result<Bytes>>>,
}

impl http_body::Body for Reading {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some(range) = this.ranges.front_mut() else { return Poll::Ready(None) };
        let reading = this.reading.get_or_insert_with(|| {
            let end = range.end.min(range.start + READ_BYTES_MAX);
            this.reel.read(range.start..end)
        });
        let read = ready!(reading.as_mut().poll(cx));
        this.reading = None;
        match read {
            Ok(mut bytes) if !bytes.is_empty() => {
                // No more than was asked for.
                bytes.truncate(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
                range.start += bytes.len() as u64;
                if range.start >= range.end {
                    this.ranges.pop_front();
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Ok(_) => {
                this.ranges.clear();
                Poll::Ready(None)
            }
            Err(error) => {
                warn!(%error, "a recording could not be read to its end");
                this.ranges.clear();
                Poll::Ready(None)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.ranges.iter().map(|range| range.end - range.start).sum())
    }
}

/// `/{app}/{name}.jpg`: the newest snapshot.
pub(crate) async fn snapshot(inner: &Arc<Inner>, request: &Request, of: &str) -> Response {
    try_snapshot(inner, request, of).await.unwrap_or_else(|response| response)
}

async fn try_snapshot(inner: &Inner, request: &Request, of: &str) -> Result<Response, Response> {
    let name = name(request, of)?;
    let snapshots = inner.snapshots.as_ref().ok_or_else(nothing)?;
    let _admitted = admit(inner, request, &name, "snapshot").await?;
    let (jpeg, taken) = snapshots.newest(&name).ok_or_else(nothing)?;
    let etag = format!("{:x}", taken.0);
    Ok(pieces(request, vec![jpeg], "image/jpeg", &etag, &HeaderValue::from_static("max-age=1")))
}
