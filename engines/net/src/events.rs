//! A talk in one direction: a response body that is a connection (Server-Sent Events).

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use yizhan_talk::{Close, Connection, Fault, Now, Out, Then};

use crate::{
    Line,
    exchange::{Alarm, Exchange, Lent, lend},
    line::Signal,
};

/// A response body that is a connection without input: its packets are the body, as they come.
///
/// Back-pressure is hyper's: the body is asked for its next part when the one before is on its way, and
/// only then deliveries are taken. When the client goes, the body is dropped, and the backend with it.
pub struct EventBody<C: Connection> {
    exchange: Exchange<C>,
    first: BytesMut,
    line: Arc<Line>,
    alarm: Alarm,
    goodbye: Option<Box<Close>>,
    ended: bool,
}

impl<C: Connection> EventBody<C> {
    /// A body that begins by giving `first` to the connection as if the client had sent it (the commands
    /// that open and subscribe), and then yields what the connection sends until it closes.
    ///
    /// It has a line of its own at `door`, so that it is listed, counted and told to leave like any
    /// connection.
    #[must_use]
    pub fn new(connection: C, backend: C::Backend, first: BytesMut, line: &Line, door: &'static str) -> Self {
        Self {
            exchange: Exchange::new(connection, backend),
            first,
            line: line.beside(door),
            alarm: Alarm::default(),
            goodbye: None,
            ended: false,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, lent: &mut Lent<C::Backend>) -> Poll<Option<Bytes>> {
        let now = self.line.now();
        match self.line.signal(cx) {
            Signal::None => {}
            Signal::Leave(close) if self.goodbye.is_none() => {
                self.goodbye = Some(Box::new(close.clone()));
                self.exchange.connection.leave(now, close.clone(), &mut lent.out);
                // Nobody answers a goodbye here.
                lent.out.close(close);
            }
            Signal::Leave(_) => {}
            Signal::Cut => return self.end(0),
        }
        if !self.first.is_empty() {
            self.begin(cx, now, &mut lent.out);
        }
        if self.exchange.connection.deadline().is_some_and(|at| at <= now.steady) {
            self.exchange.connection.expire(now, &mut lent.out);
            self.exchange.start_calls(cx, now, &mut lent.out);
        }
        self.exchange.poll_answers(cx, now, &mut lent.out);
        // Asked again right after this part, so what is left over is not forgotten.
        let more = self.exchange.poll_deliveries(cx, now, lent, self.line.meters()).is_ready();
        let Lent { out, .. } = lent;
        let close = match std::mem::take(&mut out.then) {
            Then::GoOn => None,
            Then::Close(close) => Some(close.code),
            Then::StartTls => Some(Close::INTERNAL.code),
        };
        if !out.packets.is_empty() {
            let part = Bytes::copy_from_slice(out.packets.bytes());
            self.line.count_out(part.len());
            self.line.meters().packets_out.add(out.packets.len() as u64);
            self.line.meters().writes.one();
            if let Some(code) = close {
                self.count_end(code);
            }
            return Poll::Ready(Some(part));
        }
        if let Some(code) = close {
            return self.end(code);
        }
        if more {
            cx.waker().wake_by_ref();
        }
        self.alarm.set(cx, now.steady, self.exchange.connection.deadline());
        Poll::Pending
    }

    fn begin(&mut self, cx: &mut Context<'_>, now: Now, out: &mut Out<C::Backend>) {
        let mut first = std::mem::take(&mut self.first);
        if let Err(Fault(close)) = self.exchange.receive(cx, now, &mut first, out) {
            out.close(close);
        }
    }

    fn end(&mut self, code: u16) -> Poll<Option<Bytes>> {
        self.count_end(code);
        Poll::Ready(None)
    }

    fn count_end(&mut self, code: u16) {
        self.ended = true;
        self.line.meters().closed(code);
    }
}

// Nothing in it is ever pinned in place.
impl<C: Connection> Unpin for EventBody<C> {}

impl<C: Connection> http_body::Body for EventBody<C> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        lend(|lent| this.turn(cx, lent)).map(|part| part.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

impl<C: Connection> Drop for EventBody<C> {
    fn drop(&mut self) {
        if !self.ended {
            self.line.meters().closed(0);
        }
    }
}
