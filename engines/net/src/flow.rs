//! A response body of bytes that come as they come, and that many responses share.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use http_body::Frame;
use yizhan_talk::Close;

use crate::{Line, line::Signal};

/// A response body whose parts are what a stream gives; they are not copied. It ends with the stream, or when the site
/// wants it to.
///
/// It has a line of its own, so that it is listed, counted and told to leave like any connection. The stream is asked for
/// its next part when the one before is on its way, and dropped when the client goes.
pub struct Flow<S> {
    stream: S,
    line: Arc<Line>,
    ended: bool,
}

impl<S: Stream<Item = Bytes> + Send + Unpin + 'static> Flow<S> {
    /// A body of what `stream` gives, for the client of `line`, at `door`.
    #[must_use]
    pub fn new(stream: S, line: &Line, door: &'static str) -> Self {
        Self { stream, line: line.beside(door), ended: false }
    }

    fn end(&mut self, code: u16) {
        if !std::mem::replace(&mut self.ended, true) {
            self.line.meters().closed(code);
        }
    }
}

impl<S: Stream<Item = Bytes> + Send + Unpin + 'static> http_body::Body for Flow<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let code = match this.line.signal(cx) {
            _ if this.ended => return Poll::Ready(None),
            Signal::None => match Pin::new(&mut this.stream).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(part)) => {
                    this.line.count_out(part.len());
                    this.line.meters().writes.one();
                    return Poll::Ready(Some(Ok(Frame::data(part))));
                }
                Poll::Ready(None) => Close::NORMAL.code,
            },
            Signal::Leave(close) => close.code,
            Signal::Cut => 0,
        };
        this.end(code);
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

impl<S> Drop for Flow<S> {
    fn drop(&mut self) {
        if !self.ended {
            self.line.meters().closed(0);
        }
    }
}
