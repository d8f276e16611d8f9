//! A connection whose packets travel as WebSocket messages.

use std::{sync::Arc, time::Instant};

use bytes::BytesMut;
use yizhan_talk::{Again, Backend, Close, Connection, Fault, Now, Out, Then};

use super::{
    Kind,
    deflate::{Agreed, compress},
    frame::{Opcode, close_payload, head_len, put_frame, write_head},
    reader::{Event, Reader, Role},
};
use crate::{Deflate, Shell, exchange::earlier};

/// Told to who began a message and did not end it.
const MESSAGE_LATE: Close = Close::new(1002, "a message was not complete in time", Again::Soon);
/// Told to who sends text where bytes are spoken, or the other way round.
const WRONG_KIND: Close = Close::UNSUPPORTED;

/// What all WebSockets of a port share.
#[derive(Debug)]
pub struct Settings {
    /// Bytes that a message may have, after inflation.
    pub message_bytes_max: usize,
    /// Compression of what is sent.
    pub deflate: Deflate,
}

/// A connection within WebSocket frames: it is itself a [`Connection`] over the byte stream.
///
/// Each packet of the inner connection becomes a message, each message becomes its input.
pub struct Framed<C> {
    inner: C,
    kind: Kind,
    reader: Reader,
    agreed: Option<Agreed>,
    settings: Arc<Settings>,
    shell: Arc<Shell>,
    /// Since when a message is unfinished.
    message_since: Option<Instant>,
    closing: Option<Box<Closing>>,
}

/// We have sent our close frame.
struct Closing {
    close: Close,
    until: Instant,
}

impl<C: Connection> Framed<C> {
    /// Puts frames around `inner`. `agreed` is what was agreed on about compression.
    pub(crate) fn new(
        inner: C,
        kind: Kind,
        agreed: Option<Agreed>,
        settings: Arc<Settings>,
        shell: Arc<Shell>,
    ) -> Self {
        let reader = Reader::new(Role::Server, agreed.is_some(), settings.message_bytes_max);
        Self { inner, kind, reader, agreed, settings, shell, message_since: None, closing: None }
    }

    /// When an unfinished message is late.
    fn message_due(&self) -> Option<Instant> {
        self.message_since.map(|since| since + self.shell.limits.packet_within)
    }

    /// Frames what the inner connection has left in `out` since packet number `first`.
    fn settle(&mut self, now: Now, first: usize, out: &mut Out<C::Backend>) {
        if self.closing.is_some() {
            // Nothing follows a close frame (RFC 6455, 5.5.1).
            out.packets.truncate(first);
        } else if out.packets.len() > first {
            self.frame(first, out);
        }
        if let Then::Close(close) = std::mem::take(&mut out.then) {
            self.begin_close(now, close, out);
        }
    }

    fn frame(&self, first: usize, out: &mut Out<C::Backend>) {
        let opcode = match self.kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        };
        let packets = &mut out.packets;
        let worth = self.agreed.filter(|_| {
            packets.iter().skip(first).any(|packet| packet.len() >= self.settings.deflate.bytes_min)
        });
        let Some(agreed) = worth else {
            packets.put_heads(first, head_len, |head, len| write_head(head, opcode, false, len));
            return;
        };
        let plain: Vec<BytesMut> = packets.iter().skip(first).map(BytesMut::from).collect();
        packets.truncate(first);
        for packet in plain {
            packets.write(|to| {
                let done = compress(&packet, agreed, &self.settings.deflate, |small| {
                    put_frame(to, opcode, true, None, small);
                });
                if done.is_none() {
                    put_frame(to, opcode, false, None, &packet);
                }
            });
        }
    }

    /// Sends our close frame, and waits for the client's.
    fn begin_close(&mut self, now: Now, close: Close, out: &mut Out<C::Backend>) {
        if self.closing.is_some() {
            return;
        }
        put_close(&close, out);
        let until = now.steady + self.shell.limits.close_within;
        self.closing = Some(Box::new(Closing { close, until }));
    }

    fn message(
        &mut self,
        now: Now,
        kind: Kind,
        bytes: &mut BytesMut,
        out: &mut Out<C::Backend>,
    ) -> Result<(), Close> {
        if self.closing.is_some() {
            return Ok(());
        }
        if kind != self.kind {
            return Err(WRONG_KIND);
        }
        let first = out.packets.len();
        let received = self.inner.receive(now, bytes, out);
        // What the inner connection gave as its own reason to close is sent, and stands.
        self.settle(now, first, out);
        received.map_err(|Fault(close)| close)
    }

    /// The client's close frame: ours follows, where it has not been sent, and the stream ends.
    fn closed_by_client(&mut self, code: Option<u16>, reason: String, out: &mut Out<C::Backend>) {
        if let Some(closing) = self.closing.take() {
            out.close(closing.close);
            return;
        }
        match code {
            Some(code) => {
                put_close(&Close { code, reason: "".into(), again: Again::Soon }, out);
                out.close(Close { code, reason: reason.into(), again: Again::Soon });
            }
            None => {
                out.packets.write(|to| put_frame(to, Opcode::Close, false, None, &[]));
                out.close(Close::new(1005, "the client closed without a code", Again::Soon));
            }
        }
    }

    fn events(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<C::Backend>) -> Result<(), Close> {
        while self.takes_input() && out.then == Then::GoOn {
            match self.reader.next(input)? {
                None => break,
                Some(Event::Message(kind, mut bytes)) => self.message(now, kind, &mut bytes, out)?,
                Some(Event::Ping(payload)) if self.closing.is_none() => {
                    out.packets.write(|to| put_frame(to, Opcode::Pong, false, None, &payload));
                }
                Some(Event::Ping(_) | Event::Pong) => {}
                Some(Event::Close(code, reason)) => self.closed_by_client(code, reason, out),
            }
        }
        Ok(())
    }
}

fn put_close<B: Backend>(close: &Close, out: &mut Out<B>) {
    out.packets.write(|to| put_frame(to, Opcode::Close, false, None, &close_payload(close)));
}

impl<C: Connection> Connection for Framed<C> {
    type Backend = C::Backend;

    fn receive(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<C::Backend>) -> Result<(), Fault> {
        let seen = self.events(now, input, out);
        self.message_since = match self.message_since {
            _ if !self.reader.is_within_message() => None,
            Some(since) => Some(since),
            None => Some(now.steady),
        };
        seen.map_err(|close| {
            if self.closing.is_none() {
                put_close(&close, out);
                self.closing = Some(Box::new(Closing { close: close.clone(), until: now.steady }));
            }
            Fault(close)
        })
    }

    fn answer(&mut self, now: Now, answer: <C::Backend as Backend>::Answer, out: &mut Out<C::Backend>) {
        let first = out.packets.len();
        self.inner.answer(now, answer, out);
        self.settle(now, first, out);
    }

    fn deliver(
        &mut self,
        now: Now,
        deliveries: &mut Vec<<C::Backend as Backend>::Delivery>,
        out: &mut Out<C::Backend>,
    ) {
        let first = out.packets.len();
        self.inner.deliver(now, deliveries, out);
        self.settle(now, first, out);
    }

    fn expire(&mut self, now: Now, out: &mut Out<C::Backend>) {
        if let Some(closing) = &self.closing {
            if closing.until <= now.steady {
                out.close(closing.close.clone());
            }
            return;
        }
        if self.message_due().is_some_and(|at| at <= now.steady) {
            self.begin_close(now, MESSAGE_LATE, out);
            return;
        }
        if self.inner.deadline().is_some_and(|at| at <= now.steady) {
            let first = out.packets.len();
            self.inner.expire(now, out);
            self.settle(now, first, out);
        }
    }

    fn leave(&mut self, now: Now, close: Close, out: &mut Out<C::Backend>) {
        if self.closing.is_some() {
            return;
        }
        let first = out.packets.len();
        self.inner.leave(now, close.clone(), out);
        self.settle(now, first, out);
        self.begin_close(now, close, out);
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.closing {
            Some(closing) => Some(closing.until),
            None => earlier(self.message_due(), self.inner.deadline()),
        }
    }

    fn takes_input(&self) -> bool {
        self.closing.is_some() || self.inner.takes_input()
    }

    fn takes_delivery(&self) -> bool {
        self.closing.is_none() && self.inner.takes_delivery()
    }
}
