//! Files on their way down: to those who may have them, all of it or a range, and so that no browser runs one.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use yizhan_files::{Hash, Stream};
use yizhan_im::files::{FileKind, FileRow};
use yizhan_net::{Body, Request, Response, reply};

use super::{
    Shelf,
    range::{Wanted, wanted},
    up,
};
use crate::{
    acting::Acting,
    door::Inner,
    problem::{Problem, refusal},
};

/// What a browser may do with a file: show it, and nothing else.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; img-src 'self'; sandbox";

/// What is sent: a file, or the smaller picture of it.
struct Sent<'a> {
    hash: &'a str,
    bytes: u64,
    media_type: &'a str,
    is_inline: bool,
    name: &'a str,
}

/// `GET /im/v1/files/{id}`
pub(crate) async fn file(door: Arc<Inner>, shelf: Arc<Shelf>, request: Request) -> Response {
    read(&door, &shelf, &request, false).await.unwrap_or_else(refusal)
}

/// `GET /im/v1/files/{id}/thumb`
pub(crate) async fn thumb(door: Arc<Inner>, shelf: Arc<Shelf>, request: Request) -> Response {
    read(&door, &shelf, &request, true).await.unwrap_or_else(refusal)
}

async fn read(door: &Inner, shelf: &Shelf, request: &Request, small: bool) -> Result<Response, Problem> {
    let id = request.param("id");
    let row = match request.query_value("key") {
        Some(key) => {
            if !shelf.keys.fits(door.hub.now().wall, id, &key).await? {
                return Err(Problem::BadFileKey);
            }
            shelf.known(id).await?
        }
        None => {
            let mut acting = Acting::of(&door.hub, request).await?;
            if request.method() == Method::HEAD
                && !small
                && let Some(response) = up::head(shelf, &acting.principal().user, id).await?
            {
                return Ok(response);
            }
            shelf.file_for(door, &mut acting, id).await?
        }
    };
    let sent = sent(&row, small).ok_or(Problem::NoFile)?;
    respond(shelf, request, &sent).await
}

fn sent(row: &FileRow, small: bool) -> Option<Sent<'_>> {
    let stored = row.stored.as_ref()?;
    if small {
        let thumb = stored.thumb.as_ref()?;
        let (hash, bytes, media_type) = (&thumb.hash, thumb.bytes, &thumb.media_type);
        return Some(Sent { hash, bytes, media_type, is_inline: true, name: &row.name });
    }
    // What is not known as harmless is for the disk.
    let is_inline = stored.kind != FileKind::Other || stored.facts.media_type == "application/pdf";
    let (hash, bytes, media_type) = (&stored.hash, stored.facts.bytes, &stored.facts.media_type);
    Some(Sent { hash, bytes, media_type, is_inline, name: &row.name })
}

async fn respond(shelf: &Shelf, request: &Request, sent: &Sent<'_>) -> Result<Response, Problem> {
    // The content's own name: the same bytes have the same tag everywhere.
    let tag = format!("\"{}\"", sent.hash.get(..32).unwrap_or(sent.hash));
    let known = request.header("if-none-match").unwrap_or_default();
    if known
        .split(',')
        .any(|known| matches!(known.trim(), "*") || known.trim().trim_start_matches("W/") == tag)
    {
        let mut response = reply::empty(StatusCode::NOT_MODIFIED);
        describe(response.headers_mut(), sent, &tag);
        return Ok(response);
    }
    // A range of another content would not fit to what the client has (RFC 9110 §13.1.5).
    let same = request.header("if-range").is_none_or(|known| known.trim() == tag);
    let wanted = wanted(request.header("range").filter(|_| same), sent.bytes);
    let range = match &wanted {
        Wanted::All => None,
        Wanted::Part(range) => Some(range.clone()),
        Wanted::Nothing => return Err(Problem::NoSuchRange(sent.bytes)),
    };
    let length = range.as_ref().map_or(sent.bytes, |range| range.end - range.start);
    let body = if request.method() == Method::HEAD || length == 0 {
        Body::empty()
    } else {
        let hash: Hash = sent.hash.parse().map_err(|_| Problem::NoFile)?;
        let reading = shelf.files.read(&hash, range.clone()).await?;
        Body::stream(Pieces { stream: reading.stream, left: length })
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    describe(headers, sent, &tag);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if let Some(range) = range {
        let text = format!("bytes {}-{}/{}", range.start, range.end - 1, sent.bytes);
        put(headers, header::CONTENT_RANGE, &text);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The headers that every answer with a file has.
fn describe(headers: &mut HeaderMap, sent: &Sent<'_>, tag: &str) {
    const ALWAYS: [(HeaderName, &str); 6] = [
        (header::ACCEPT_RANGES, "bytes"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        // Whoever is removed from a conversation keeps for an hour what they had.
        (header::CACHE_CONTROL, "private, max-age=3600"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    put(headers, header::CONTENT_TYPE, sent.media_type);
    put(headers, header::ETAG, tag);
    put(headers, header::CONTENT_DISPOSITION, &disposition(sent.is_inline, sent.name));
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // All of them are visible ASCII: made here, or read from content by a fixed table.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// How it is to be shown, and what it is called (RFC 6266 §4.3, RFC 8187 §3.2).
fn disposition(is_inline: bool, name: &str) -> String {
    let mut text = String::from(if is_inline { "inline" } else { "attachment" });
    text.push_str("; filename*=UTF-8''");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The pieces of a file. Where reading breaks off, the response ends before its length, and the client sees that.
struct Pieces {
    stream: Stream,
    left: u64,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.stream.as_mut().poll_next(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(piece))) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => {
                tracing::warn!(%error, "a file could not be read to its end");
                Poll::Ready(None)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_kind_fit_into_a_header() {
        assert_eq!(disposition(true, "a b.png"), "inline; filename*=UTF-8''a%20b.png");
        assert_eq!(
            disposition(false, "发票\"\r\n;.html"),
            "attachment; filename*=UTF-8''%E5%8F%91%E7%A5%A8%22%0D%0A%3B.html"
        );
    }
}
