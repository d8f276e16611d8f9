//! How texts and bytes are answered with: gzip, ranges, tags, what caches may keep, and pages of other origins.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::Write as _,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use yizhan_net::{Body, Request, Response, reply};

use crate::range::{Wanted, has_already, of_request};

/// Texts that are shorter are not compressed.
const GZIP_BYTES_MIN: usize = 256;

/// A text that many ask for, with its compressed form: each made once.
#[derive(Debug)]
pub struct Shown {
    text: Bytes,
    gzip: OnceLock<Bytes>,
    media_type: &'static str,
    etag: String,
}

impl Shown {
    /// A text. `etag`: what tells it from all others at the same address, in visible ASCII without quotes.
    #[must_use]
    pub fn new(text: String, media_type: &'static str, etag: &str) -> Self {
        Self { text: text.into(), gzip: OnceLock::new(), media_type, etag: format!("\"{etag}\"") }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    fn gzip(&self) -> &Bytes {
        self.gzip.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::with_capacity(self.text.len() / 3), Compression::new(4));
            // Writing to memory cannot fail; if it did, the text goes out as it is.
            match encoder.write_all(&self.text).and_then(|()| encoder.finish()) {
                Ok(small) => small.into(),
                Err(_) => self.text.clone(),
            }
        })
    }

    /// The answer to a request for it.
    #[must_use]
    pub fn respond(&self, request: &Request, cache: &HeaderValue) -> Response {
        if has_already(request, &self.etag) {
            let mut response = reply::empty(StatusCode::NOT_MODIFIED);
            self.describe(response.headers_mut(), cache);
            return response;
        }
        let small = self.text.len() >= GZIP_BYTES_MIN && takes_gzip(request);
        let mut response = reply::bytes(
            StatusCode::OK,
            self.media_type,
            if small { self.gzip().clone() } else { self.text.clone() },
        );
        let headers = response.headers_mut();
        self.describe(headers, cache);
        if small {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn describe(&self, headers: &mut HeaderMap, cache: &HeaderValue) {
        headers.insert(header::CACHE_CONTROL, cache.clone());
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        put(headers, header::ETAG, &self.etag);
    }
}

/// Whether the client takes gzip (RFC 9110 §12.5.3).
fn takes_gzip(request: &Request) -> bool {
    let offered = request.header("accept-encoding").unwrap_or_default();
    offered.split(',').any(|one| {
        let (name, q) = one.split_once(';').unwrap_or((one, ""));
        let refused = q.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
        matches!(name.trim(), "gzip" | "*") && !refused
    })
}

/// Sets a header whose value was made here, of visible ASCII.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Bytes that never change, in pieces that follow one another: all of them or a range, nothing copied.
#[must_use]
pub fn pieces(
    request: &Request,
    pieces: Vec<Bytes>,
    media_type: &'static str,
    etag: &str,
    cache: &HeaderValue,
) -> Response {
    let etag = format!("\"{etag}\"");
    let total: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    let mut response = if has_already(request, &etag) {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        match of_request(request, Some(&etag), total) {
            Wanted::All => Response::new(body_of(pieces)),
            Wanted::Part(range) => {
                let mut response = Response::new(body_of(cut(pieces, range.start, range.end)));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let text = format!("bytes {}-{}/{total}", range.start, range.end - 1);
                put(response.headers_mut(), header::CONTENT_RANGE, &text);
                response
            }
            Wanted::Nothing => return no_such_range(total),
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, cache.clone());
    put(headers, header::ETAG, &etag);
    response
}

/// 416, with how many bytes there are.
pub(crate) fn no_such_range(total: u64) -> Response {
    let mut response =
        reply::error(StatusCode::RANGE_NOT_SATISFIABLE, "there are no such bytes (RFC 9110, 14.4)");
    put(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{total}"));
    response
}

fn body_of(mut pieces: Vec<Bytes>) -> Body {
    match pieces.len() {
        0 => Body::empty(),
        1 => Body::full(pieces.swap_remove(0)),
        _ => Body::stream(Pieces {
            left: pieces.iter().map(Bytes::len).sum::<usize>() as u64,
            pieces: pieces.into(),
        }),
    }
}

/// The bytes from `start` to `end` of pieces that follow one another.
fn cut(pieces: Vec<Bytes>, start: u64, end: u64) -> Vec<Bytes> {
    let mut at = 0;
    let mut kept = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let (from, to) = (at, at + piece.len() as u64);
        at = to;
        let (from, to) = (start.clamp(from, to) - from, end.clamp(from, to) - from);
        if from < to {
            // Both lie within the piece.
            kept.push(piece.slice(from as usize..to as usize));
        }
    }
    kept
}

struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Which pages may play.
#[derive(Debug, Clone)]
pub struct Origins {
    any: bool,
    named: Vec<String>,
}

impl Origins {
    /// Those of the config.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        let named = origins.iter().map(|one| one.trim_end_matches('/').to_ascii_lowercase()).collect();
        Self { any: origins.iter().any(|one| one == "*"), named }
    }

    /// Says in the response that the page may read it (Fetch §3.2). Cookies are for pages that are named only.
    pub fn allow(&self, request: &Request, headers: &mut HeaderMap) {
        let Some(origin) = request.headers().get(header::ORIGIN) else {
            // A cache may give the same response to a page later.
            if self.any {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            return;
        };
        let named = origin.to_str().is_ok_and(|origin| self.named.contains(&origin.to_ascii_lowercase()));
        if named {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        } else if self.any {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            return;
        }
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Content-Length, Content-Range, Date, ETag"),
        );
    }

    /// The answer to a browser that asks first (Fetch §3.3).
    #[must_use]
    pub fn preflight(&self, request: &Request) -> Response {
        let mut response = reply::empty(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        self.allow(request, headers);
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            headers
                .insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("Authorization, Range, If-None-Match, If-Range, Cache-Control"),
            );
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cut_of_pieces_is_that_of_the_whole(
            lengths in prop::collection::vec(0_usize..20, 0..8),
            a in 0_u64..100,
            b in 0_u64..100,
        ) {
            let whole: Vec<u8> = (0..lengths.iter().sum::<usize>()).map(|i| i as u8).collect();
            let mut at = 0;
            let pieces = lengths.iter().map(|n| {
                at += n;
                Bytes::copy_from_slice(&whole[at - n..at])
            });
            let total = whole.len() as u64;
            let (start, end) = (a.min(b).min(total), a.max(b).min(total));
            let kept = cut(pieces.collect(), start, end).concat();
            prop_assert_eq!(&kept[..], &whole[start as usize..end as usize]);
        }
    }
}
