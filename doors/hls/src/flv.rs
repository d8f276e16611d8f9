//! HTTP-FLV: a response that goes on as long as the broadcast does. All viewers share the same bytes.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, header};
use yizhan_media::{Block, Fed, Feed, Gone, Media, Refused, Setup, Viewer, Wish, flv};
use yizhan_net::{Body, Flow, Request, Response};
use yizhan_talk::{Clock, Timestamp};

use crate::{
    admit::{creds, name, on_air, party, refusal},
    door::Inner,
};

/// The media type of FLV, as all players know it.
const MEDIA_TYPE: &str = "video/x-flv";

/// `/{app}/{name}.flv`
pub(crate) async fn stream(inner: &Arc<Inner>, request: &Request, of: &str) -> Response {
    try_stream(inner, request, of).await.unwrap_or_else(|response| response)
}

async fn try_stream(inner: &Arc<Inner>, request: &Request, of: &str) -> Result<Response, Response> {
    let name = name(request, of)?;
    let party = party(request, "flv");
    let creds = creds(request, &party);
    let (now, id) = (inner.clock.now(), inner.media.next_id());
    let mut wish = Wish { now, name: name.clone(), party, creds, publishing: false, id };
    let refused = |refused: Refused| refusal(&refused);
    let pass = inner.media.may(wish.clone()).wait().await.map_err(refused)?;
    wish.party.user = pass.user;
    let broadcast = on_air(inner, &name).await?;
    let body = if request.method() == http::Method::HEAD {
        Body::empty()
    } else {
        let viewer =
            inner.media.viewer(inner.clock.now(), &broadcast, wish.party.clone()).map_err(refused)?;
        let tags = Tags {
            feed: broadcast.feed(),
            viewer,
            until: pass.until,
            setup: None,
            waiting: VecDeque::new(),
            sent: 0,
            wish: Some(wish),
            media: inner.media.clone(),
            clock: inner.clock.clone(),
        };
        Body::stream(Flow::new(tags, request.line(), "flv"))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx and its like would gather it into large pieces.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// What goes before a block: the head of the file for the first one, headers of tracks where they are others.
pub(crate) fn head(before: Option<&Arc<Setup>>, block: &Block) -> Option<Bytes> {
    match before {
        None => Some(flv::head(block.setup())),
        Some(setup) if Arc::ptr_eq(setup, block.setup()) => None,
        Some(_) => Some(flv::headers(block.setup(), block.dts().div_euclid(1000))),
    }
}

/// One viewer's stream of tags.
struct Tags {
    feed: Feed,
    viewer: Viewer,
    until: Option<Timestamp>,
    setup: Option<Arc<Setup>>,
    waiting: VecDeque<Bytes>,
    sent: u64,
    wish: Option<Wish>,
    media: Media,
    clock: Arc<dyn Clock>,
}

impl Stream for Tags {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        loop {
            if let Some(bytes) = this.waiting.pop_front() {
                this.sent += bytes.len() as u64;
                this.viewer.sent(bytes.len() as u64);
                return Poll::Ready(Some(bytes));
            }
            if this.viewer.poll_kicked(cx).is_ready() {
                return Poll::Ready(None);
            }
            match ready!(this.feed.poll_next(cx)) {
                Fed::Block(block) => {
                    if this.until.is_some_and(|until| until <= this.clock.now().wall) {
                        return Poll::Ready(None);
                    }
                    this.waiting.extend(head(this.setup.as_ref(), &block));
                    this.waiting.push_back(flv::block(&block));
                    this.setup = Some(block.setup().clone());
                }
                Fed::Skipped(blocks) => {
                    this.viewer.skipped(blocks);
                    this.waiting.push_back(flv::skipped(blocks));
                }
                Fed::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for Tags {
    fn drop(&mut self) {
        let Some(Wish { name, party, publishing, id, .. }) = self.wish.take() else { return };
        self.media.gone(Gone { now: self.clock.now(), name, party, publishing, id, bytes: self.sent });
    }
}
