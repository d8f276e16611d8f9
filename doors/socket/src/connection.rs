//! One client's side of the protocol, whatever carries it.
//!
//! Read in this order: this file (what comes in, and in which order it is answered), [`commands`] (what
//! is asked of the hub), [`answers`] (what is said to that), [`deliveries`] (records into frames),
//! [`heartbeat`] (time), [`trail`] (how an event stream goes on after a break).

mod answers;
mod commands;
pub(crate) mod deliveries;
mod heartbeat;
#[cfg(test)]
mod tests;
pub(crate) mod trail;

use std::{
    collections::VecDeque,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut, BytesMut};
use yizhan_hub::{
    Answer, Call, Delivery, Topic,
    link::{Opened, SubscriptionId},
    store::Missed,
};
use yizhan_talk::{Backend, Close, Fault, Now, Out, Timestamp};

use crate::{
    config::Terms,
    wire::{Encoding, Frame, Read, Wrong, command::Network, event},
};
use trail::Trail;

/// Calls of one connection that wait for an answer; more commands wait, and then input.
const PENDING_MAX: usize = 1024;
/// How much room the answers to these may take together, in about mebibytes.
const PENDING_WEIGHT_MAX: u16 = 256;
/// How much of it a page of records takes at most.
const PAGE_WEIGHT: u16 = 16;
/// How much of it a service's answer takes at most.
const TOLD_WEIGHT: u16 = 1;
/// Lines that are no frames: after so many a TCP connection is closed.
const BAD_LINES_MAX: u8 = 20;
/// Hellos that were not admitted: after so many the connection is closed.
const NOT_ADMITTED_MAX: u8 = 3;
/// Hellos at all that failed: after so many the connection is closed.
const HELLOS_MAX: u8 = 10;
/// Commands refused as too fast within [`TOO_FAST_WINDOW`]: after so many the connection is closed.
const TOO_FAST_MAX: u16 = 100;
/// See [`TOO_FAST_MAX`].
const TOO_FAST_WINDOW: Duration = Duration::from_secs(10);

/// The hub, or what stands in for it in tests.
pub trait HubBackend: Backend<Call = Call, Answer = Answer, Delivery = Delivery> {}
impl<B: Backend<Call = Call, Answer = Answer, Delivery = Delivery>> HubBackend for B {}

/// How frames stand in what carries them.
#[derive(Debug)]
enum Transport {
    /// One frame per line.
    Lines {
        /// Bytes at the front of the input that hold no line's end.
        searched: usize,
        /// Lines that were no frames.
        bad: u8,
    },
    /// One frame per message.
    Messages,
    /// Server-Sent Events: commands come from our own request handler only.
    Events(Box<Stream>),
    /// The answers to one request.
    Replies {
        /// Whether the session lives on after the request.
        lasting: bool,
    },
}

/// What an event stream has besides.
#[derive(Debug)]
struct Stream {
    trail: Trail,
    /// The session, until `welcome` was said.
    opened: Option<Opened>,
    /// Subscriptions that go on with a gap, until that was said.
    lost: Vec<Sub>,
}

/// Where the talk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody said hello, or it was refused.
    Silent,
    /// Hello waits for its answer, and commands wait for that.
    Greeting,
    /// The session is open.
    Open,
    /// The last word was said.
    Ended,
}

/// A command that waits for its answer, or for those before it.
#[derive(Debug)]
struct Pending {
    id: Option<u64>,
    asked: Asked,
}

#[derive(Debug)]
enum Asked {
    Hello,
    Subscribe,
    Unsubscribe,
    Publish,
    Ack,
    History(Topic),
    State,
    Presence,
    Ask,
    Goodbye,
    /// Answered by the connection itself, in its turn.
    Ready(Ready),
}

impl Asked {
    /// How much room an answer may take; see [`PENDING_WEIGHT_MAX`].
    fn weight(&self) -> u16 {
        match self {
            Self::History(_) | Self::State | Self::Presence => PAGE_WEIGHT,
            Self::Ask => TOLD_WEIGHT,
            _ => 0,
        }
    }
}

#[derive(Debug)]
enum Ready {
    Wrong(Box<Wrong>),
    Pong(Option<Duration>),
    Time { t1: Option<f64>, t2: Timestamp },
}

/// One client's side of a talk in `yizhan.v1`.
#[derive(Debug)]
pub struct Connection<B> {
    terms: Arc<Terms>,
    transport: Transport,
    encoding: Encoding,
    stage: Stage,
    network: Network,
    /// When a client that has not said hello came, or was last refused.
    silent_since: Instant,
    heard: Instant,
    sent: Instant,
    /// When the credentials end, on the wall clock and as far as known on the steady one.
    expires: Option<(Timestamp, Instant)>,
    not_admitted: u8,
    hellos_failed: u8,
    too_fast: u16,
    too_fast_since: Instant,
    pending: VecDeque<Pending>,
    pending_weight: u16,
    /// Commands that were read and cannot start yet; no input is taken meanwhile, so a frame fills it.
    waiting: VecDeque<Read>,
    backend: PhantomData<fn() -> B>,
}

impl<B: HubBackend> Connection<B> {
    /// A client that came over TCP: one frame per line.
    #[must_use]
    pub fn lines(now: Now, terms: Arc<Terms>) -> Self {
        Self::new(now, terms, Transport::Lines { searched: 0, bad: 0 }, Encoding::Json)
    }

    /// A client that came over WebSocket: one frame per message.
    #[must_use]
    pub fn messages(now: Now, terms: Arc<Terms>, encoding: Encoding) -> Self {
        Self::new(now, terms, Transport::Messages, encoding)
    }

    /// An event stream of a session that is open already: what is received is one frame, its own first
    /// commands.
    #[must_use]
    pub(crate) fn events(
        now: Now,
        terms: Arc<Terms>,
        opened: Opened,
        network: Network,
        trail: Trail,
    ) -> Self {
        let stream = Stream { trail, opened: None, lost: Vec::new() };
        let mut connection = Self::new(now, terms, Transport::Events(Box::new(stream)), Encoding::Json);
        connection.network = network;
        connection.open(now, &opened);
        if let Transport::Events(stream) = &mut connection.transport {
            stream.opened = Some(opened);
        }
        connection
    }

    /// The same stream, which says that these subscriptions go on with a gap.
    #[must_use]
    pub(crate) fn having_lost(mut self, lost: Vec<Sub>) -> Self {
        if let Transport::Events(stream) = &mut self.transport {
            stream.lost = lost;
        }
        self
    }

    /// The answers to one request that acts on an open session. `lasting` says whether the session lives on.
    #[must_use]
    pub(crate) fn replies(now: Now, terms: Arc<Terms>, lasting: bool) -> Self {
        let mut connection = Self::new(now, terms, Transport::Replies { lasting }, Encoding::Json);
        connection.stage = Stage::Open;
        connection
    }

    /// Says the `welcome` of a session that is open.
    pub(crate) fn welcome_to(&mut self, now: Now, opened: &Opened, network: Network, out: &mut Out<B>) {
        self.network = network;
        self.say_welcome(now, None, opened, out);
    }

    fn new(now: Now, terms: Arc<Terms>, transport: Transport, encoding: Encoding) -> Self {
        Self {
            terms,
            transport,
            encoding,
            stage: Stage::Silent,
            network: Network::default(),
            silent_since: now.steady,
            heard: now.steady,
            sent: now.steady,
            expires: None,
            not_admitted: 0,
            hellos_failed: 0,
            too_fast: 0,
            too_fast_since: now.steady,
            pending: VecDeque::new(),
            pending_weight: 0,
            waiting: VecDeque::new(),
            backend: PhantomData,
        }
    }

    fn open(&mut self, now: Now, opened: &Opened) {
        self.stage = Stage::Open;
        self.expires = opened.principal.expires_at.map(|at| (at, now.steady + at.since(now.wall)));
    }

    /// Whether answers to commands are still to come.
    pub(crate) fn is_settled(&self) -> bool {
        self.stage == Stage::Ended || (self.pending.is_empty() && self.waiting.is_empty())
    }

    /// Writes one packet with one frame in it.
    fn emit(&mut self, now: Now, out: &mut Out<B>, write: impl FnOnce(&mut BytesMut, Encoding)) {
        self.sent = now.steady;
        out.packets.write(|into| match &self.transport {
            Transport::Lines { .. } => {
                write(into, self.encoding);
                into.put_u8(b'\n');
            }
            Transport::Messages | Transport::Replies { .. } => write(into, self.encoding),
            Transport::Events(_) => {
                into.put_slice(b"data: ");
                write(into, self.encoding);
                into.put_slice(b"\n\n");
            }
        });
    }

    /// Says the last word.
    fn end(&mut self, now: Now, close: Close, out: &mut Out<B>) {
        if self.stage == Stage::Ended {
            return;
        }
        self.emit(now, out, |into, encoding| event::close(&close, into, encoding));
        self.stage = Stage::Ended;
        self.pending = VecDeque::new();
        self.waiting = VecDeque::new();
        out.close(close);
    }

    /// Reads one frame. Gives back what makes the rest of it unreadable.
    fn frame(&mut self, now: Now, bytes: &[u8], out: &mut Out<B>) -> Result<(), Wrong> {
        let mut frame = Frame::new(self.encoding, bytes)?;
        while let Some((id, read)) = frame.command()? {
            self.take(now, (id, read), out);
            if self.stage == Stage::Ended {
                break;
            }
        }
        Ok(())
    }

    /// Starts a command, or lets it wait for its turn.
    fn take(&mut self, now: Now, read: Read, out: &mut Out<B>) {
        if self.waiting.is_empty() && self.may_start(&read) {
            self.start(now, read, out);
        } else {
            self.waiting.push_back(read);
        }
    }

    fn receive_message(&mut self, now: Now, message: &[u8], out: &mut Out<B>) -> Result<(), Fault> {
        if message.len() > self.terms.config.frame_bytes_max {
            return Err(self.fault(now, Close::TOO_BIG, out));
        }
        match self.frame(now, message, out) {
            Ok(()) => Ok(()),
            Err(wrong) => {
                let close = wrong.close();
                self.emit(now, out, |into, encoding| event::error(None, &wrong, into, encoding));
                Err(self.fault(now, close, out))
            }
        }
    }

    /// Says `welcome` on an event stream that has just begun.
    fn begin_stream(&mut self, now: Now, out: &mut Out<B>) {
        let Transport::Events(stream) = &mut self.transport else { return };
        if let Some(opened) = stream.opened.take() {
            let lost = std::mem::take(&mut stream.lost);
            out.packets.write(|into| trail::write_id(&stream.trail, into));
            self.say_welcome(now, None, &opened, out);
            for sub in lost {
                self.emit(now, out, |into, encoding| event::missed(sub, 1, Missed::Unknown, into, encoding));
            }
        }
    }

    fn receive_lines(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<B>) -> Result<(), Fault> {
        while self.stage != Stage::Ended && self.takes_more() {
            let Transport::Lines { searched, .. } = &mut self.transport else { break };
            let Some(found) = memchr::memchr(b'\n', &input[*searched..]) else {
                *searched = input.len();
                let too_long = input.len() > self.terms.config.frame_bytes_max;
                return if too_long { Err(self.fault(now, Close::TOO_BIG, out)) } else { Ok(()) };
            };
            let end = *searched + found;
            *searched = 0;
            let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
            let received = self.receive_line(now, line, out);
            input.advance(end + 1);
            received?;
        }
        Ok(())
    }

    fn receive_line(&mut self, now: Now, line: &[u8], out: &mut Out<B>) -> Result<(), Fault> {
        if line.len() > self.terms.config.frame_bytes_max {
            return Err(self.fault(now, Close::TOO_BIG, out));
        }
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        if self.stage == Stage::Silent && is_http(line) {
            // A browser that is made to post here must not get to the lines of its body.
            let wrong =
                Wrong::NotFrame { at: 0, expected: "a line of JSON, this port speaks no HTTP, and JSON" };
            self.emit(now, out, |into, encoding| event::error(None, &wrong, into, encoding));
            return Err(self.fault(now, Close::PROTOCOL, out));
        }
        let Err(wrong) = self.frame(now, line, out) else { return Ok(()) };
        self.take(now, (None, Err(wrong)), out);
        let Transport::Lines { bad, .. } = &mut self.transport else { return Ok(()) };
        *bad += 1;
        if *bad >= BAD_LINES_MAX { Err(self.fault(now, Close::PROTOCOL, out)) } else { Ok(()) }
    }

    fn fault(&mut self, now: Now, close: Close, out: &mut Out<B>) -> Fault {
        self.end(now, close.clone(), out);
        Fault(close)
    }

    fn takes_more(&self) -> bool {
        self.waiting.is_empty() && self.pending.len() < PENDING_MAX
    }

    /// Says something in the turn of its command.
    fn ready(&mut self, now: Now, id: Option<u64>, ready: Ready, out: &mut Out<B>) {
        if self.pending.is_empty() {
            self.say(now, id, &ready, out);
        } else {
            self.pending.push_back(Pending { id, asked: Asked::Ready(ready) });
        }
    }

    fn say(&mut self, now: Now, id: Option<u64>, ready: &Ready, out: &mut Out<B>) {
        self.emit(now, out, |into, encoding| match ready {
            Ready::Wrong(wrong) => event::error(id, wrong, into, encoding),
            Ready::Pong(heartbeat) => event::pong(id, *heartbeat, into, encoding),
            Ready::Time { t1, t2 } => event::time(id, *t1, *t2, now.wall, into, encoding),
        });
    }
}

/// Whether a line is the first one of an HTTP request (RFC 9112 §3, RFC 9113 §3.4).
fn is_http(line: &[u8]) -> bool {
    [&b" HTTP/1.1"[..], b" HTTP/1.0", b" HTTP/2.0"].iter().any(|version| line.ends_with(version))
}

impl<B: HubBackend> yizhan_talk::Connection for Connection<B> {
    type Backend = B;

    fn receive(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<B>) -> Result<(), Fault> {
        if self.stage == Stage::Ended {
            input.clear();
            return Ok(());
        }
        self.heard = now.steady;
        match self.transport {
            Transport::Lines { .. } => self.receive_lines(now, input, out),
            _ => {
                self.begin_stream(now, out);
                let received = self.receive_message(now, input, out);
                input.clear();
                received
            }
        }
    }

    fn answer(&mut self, now: Now, answer: Answer, out: &mut Out<B>) {
        if self.stage != Stage::Ended {
            self.take_answer(now, answer, out);
        }
    }

    fn deliver(&mut self, now: Now, deliveries: &mut Vec<Delivery>, out: &mut Out<B>) {
        self.take_deliveries(now, deliveries, out);
        deliveries.clear();
    }

    fn expire(&mut self, now: Now, out: &mut Out<B>) {
        self.keep_time(now, out);
    }

    fn leave(&mut self, now: Now, close: Close, out: &mut Out<B>) {
        self.end(now, close, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }

    fn takes_input(&self) -> bool {
        // After the last word input is taken to be thrown away.
        self.stage == Stage::Ended || self.takes_more()
    }

    fn takes_delivery(&self) -> bool {
        self.stage == Stage::Open
    }
}

/// A subscription's number as it is written in an ack of our own.
type Sub = SubscriptionId;
