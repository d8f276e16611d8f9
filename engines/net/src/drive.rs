//! The shell that runs a connection over a byte stream, written once for all doors.
//!
//! It is a small future polled by hand, since there is one for each client: an idle one owns no read
//! buffer, no write buffer and no boxed futures, only a timer where its connection has a deadline. The
//! buffers of a turn are lent by the thread ([`crate::exchange`]).
//!
//! One turn: what the site wants, deadlines, answers, input, deliveries, one write of all that came out.
//! While the system does not take what is written, no deliveries are taken, so the backend's own policy
//! for slow readers decides; and no input is read once replies pile up.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tracing::debug;
use yizhan_talk::{Again, Close, Connection, Fault, Now, Out, Then};

use crate::{
    Line,
    exchange::{Alarm, Exchange, Lent, READ_BYTES_MAX, earlier, lend},
    line::Signal,
};

/// Reads that one turn may do before other tasks have theirs. A read that does not fill the buffer is the
/// last one anyway.
const READS_MAX: usize = 4;
/// Bytes that an unfinished packet may have, whatever its connection allows.
const PACKET_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes that are read and thrown away after the goodbye, so that the client sees it before a reset.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Told to who began a packet and did not end it.
const PACKET_LATE: Close = Close::new(1002, "a packet was not complete in time", Again::Soon);

/// How a talk over a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The client ended it, or its network broke.
    Left,
    /// We ended it, with this.
    Closed(Close),
    /// The site cut it without a word.
    Cut,
}

/// Runs `connection` and `backend` over `stream` until one of them ends.
///
/// Dropping the future drops the backend, which is how it learns that the client is gone.
pub fn drive<S, C>(stream: S, connection: C, backend: C::Backend, line: Arc<Line>) -> Drive<S, C>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Connection,
{
    Drive {
        stream,
        exchange: Exchange::new(connection, backend),
        line,
        input: BytesMut::new(),
        output: BytesMut::new(),
        alarm: Alarm::default(),
        packet_since: None,
        stalled_since: None,
        took_at: None,
        goodbye: None,
        ending: None,
        at_end: false,
        unflushed: false,
        held: false,
    }
}

/// The future of [`drive`].
pub struct Drive<S, C: Connection> {
    stream: S,
    exchange: Exchange<C>,
    line: Arc<Line>,
    /// An unfinished packet, or what the connection does not want to see yet.
    input: BytesMut,
    /// What the system did not take yet.
    output: BytesMut,
    alarm: Alarm,
    /// Since when a packet is unfinished.
    packet_since: Option<Instant>,
    /// Since when the system takes nothing.
    stalled_since: Option<Instant>,
    /// When the deliveries were taken that are not all written yet.
    took_at: Option<Instant>,
    goodbye: Option<Box<Goodbye>>,
    ending: Option<Box<Ending>>,
    /// The client's side of the stream has ended.
    at_end: bool,
    /// All is written, and the stream still holds some of it.
    unflushed: bool,
    /// The connection did not want to see all of `input`.
    held: bool,
}

/// The site wants the talk to end, and it goes on until the answers that are owed are given.
struct Goodbye {
    close: Close,
    until: Instant,
    said: bool,
}

/// The talk is over; what is written gets out.
struct Ending {
    ended: Ended,
    until: Instant,
    shut: bool,
    discarded: usize,
}

// Nothing in it is ever pinned in place: the stream and both sides of the talk are `Unpin`.
impl<S: Unpin, C: Connection> Unpin for Drive<S, C> {}

impl<S, C> Future for Drive<S, C>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Connection,
{
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let this = self.get_mut();
        let polled = lend(|lent| this.turn(cx, lent));
        if let Poll::Ready(ended) = &polled {
            let code = match ended {
                Ended::Closed(close) => close.code,
                Ended::Left | Ended::Cut => 0,
            };
            this.line.meters().closed(code);
            let line = &this.line;
            debug!(door = line.meters().name, line = line.id(), peer = %line.peer().address, code, "a connection ended");
        }
        polled
    }
}

impl<S, C> Drive<S, C>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Connection,
{
    fn turn(&mut self, cx: &mut Context<'_>, lent: &mut Lent<C::Backend>) -> Poll<Ended> {
        let now = self.line.now();
        match self.line.signal(cx) {
            Signal::None => {}
            Signal::Leave(close) => self.begin_goodbye(now, close),
            Signal::Cut => return Poll::Ready(Ended::Cut),
        }
        if self.ending.is_none() {
            match self.talk(cx, now, lent) {
                Ok(true) => cx.waker().wake_by_ref(),
                Ok(false) => {}
                Err(_broken) => return Poll::Ready(Ended::Left),
            }
        }
        if self.ending.is_some() {
            return self.finish(cx, now, lent);
        }
        let deadline = self.deadline();
        self.alarm.set(cx, now.steady, deadline);
        Poll::Pending
    }

    /// One turn of the talk. Says whether there is more to do at once.
    fn talk(&mut self, cx: &mut Context<'_>, now: Now, lent: &mut Lent<C::Backend>) -> io::Result<bool> {
        self.write_rest(cx, now)?;
        self.check_deadlines(cx, now, &mut lent.out);
        if self.ending.is_some() {
            return Ok(false);
        }
        self.exchange.poll_answers(cx, now, &mut lent.out);
        self.say_goodbye(cx, now, &mut lent.out);
        let may_be_more = lent.out.then == Then::GoOn && self.read(cx, now, lent)?;
        let more_deliveries = self.take_deliveries(cx, now, lent);
        self.write(cx, now, &mut lent.out)?;
        match std::mem::take(&mut lent.out.then) {
            Then::GoOn => {}
            Then::Close(close) => self.end(now, Ended::Closed(close)),
            // No door asks for it on a stream that cannot change; the talk cannot go on as agreed.
            Then::StartTls => self.end(now, Ended::Closed(Close::INTERNAL)),
        }
        if self.at_end && (self.exchange.waiting() == 0 || self.goodbye_is_late(now)) {
            self.end(now, Ended::Left);
        }
        // What this turn brought may have held input back until it was written. Where something else does,
        // its waker comes; as the stream's does before deliveries are taken again.
        let more_input = may_be_more && self.takes_input(&lent.out);
        Ok(more_input || (more_deliveries && !self.writes_wait()))
    }

    /// Says whether there may be more.
    fn take_deliveries(&mut self, cx: &mut Context<'_>, now: Now, lent: &mut Lent<C::Backend>) -> bool {
        if self.writes_wait() || self.at_end || self.goodbye.is_some() {
            return false;
        }
        let before = lent.out.packets.len();
        let more = self.exchange.poll_deliveries(cx, now, lent, self.line.meters()).is_ready();
        if lent.out.packets.len() > before {
            self.took_at = Some(now.steady);
        }
        more
    }

    /// Reads and lets the connection see it, as long as it takes it in. False where the stream will wake us
    /// when there is more.
    fn read(&mut self, cx: &mut Context<'_>, now: Now, lent: &mut Lent<C::Backend>) -> io::Result<bool> {
        let Lent { out, input: scratch, .. } = lent;
        if self.held && self.takes_input(out) {
            let mut input = std::mem::take(&mut self.input);
            self.receive(cx, now, &mut input, out);
            self.input = input;
            self.settle_input(now, out, 0);
        }
        for _ in 0..READS_MAX {
            if self.at_end || out.then != Then::GoOn {
                return Ok(false);
            }
            if self.held || !self.takes_input(out) {
                return Ok(true);
            }
            let mut own = std::mem::take(&mut self.input);
            let had = own.len();
            let into = if own.is_empty() { &mut *scratch } else { &mut own };
            into.reserve(if had == 0 { READ_BYTES_MAX } else { had.clamp(4096, READ_BYTES_MAX) });
            let n = match pin!(self.stream.read_buf(into)).poll(cx) {
                Poll::Pending => {
                    self.input = own;
                    return Ok(false);
                }
                Poll::Ready(n) => n?,
            };
            if n == 0 {
                self.at_end = true;
                // Who has gone sends nothing more, and answers on their way get a while.
                self.begin_goodbye(now, Close::NORMAL);
                return Ok(false);
            }
            self.line.count_in(n);
            self.receive(cx, now, into, out);
            self.input = if had == 0 { copy_rest(scratch) } else { own };
            self.settle_input(now, out, had + n);
        }
        Ok(true)
    }

    fn receive(&mut self, cx: &mut Context<'_>, now: Now, input: &mut BytesMut, out: &mut Out<C::Backend>) {
        loop {
            let before = input.len();
            if let Err(Fault(close)) = self.exchange.receive(cx, now, input, out) {
                input.clear();
                // What the connection gave as reason before stands.
                out.close(close);
            }
            // It may have stopped for an answer that came at once: then it goes on with what is left.
            let goes_on = !input.is_empty() && input.len() < before && out.then == Then::GoOn;
            if !goes_on || !self.takes_input(out) {
                return;
            }
        }
    }

    /// After a step over `before` bytes of input: what is left of them is unfinished, or not wanted yet.
    fn settle_input(&mut self, now: Now, out: &mut Out<C::Backend>, before: usize) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
            self.packet_since = None;
            self.held = false;
            return;
        }
        self.held = !self.takes_input(out);
        if self.held {
            self.packet_since = None;
        } else if self.packet_since.is_none() || self.input.len() < before {
            self.packet_since = Some(match self.packet_since {
                Some(since) if self.input.len() >= before => since,
                _ => now.steady,
            });
        }
        if self.input.len() > PACKET_BYTES_MAX {
            out.close(Close::TOO_BIG);
        }
    }

    /// Whether the connection may see more input now.
    fn takes_input(&self, out: &Out<C::Backend>) -> bool {
        let limits = &self.line.shell().limits;
        self.exchange.connection.takes_input()
            && self.exchange.waiting() < limits.calls_max
            && self.output.len() + out.packets.bytes().len() < limits.reply_bytes_max
            && self.goodbye.as_ref().is_none_or(|goodbye| goodbye.said)
    }

    fn writes_wait(&self) -> bool {
        !self.output.is_empty() || self.unflushed
    }

    /// Writes what this turn brought, behind what waits.
    fn write(&mut self, cx: &mut Context<'_>, now: Now, out: &mut Out<C::Backend>) -> io::Result<()> {
        if out.packets.is_empty() {
            return Ok(());
        }
        let meters = self.line.meters();
        meters.packets_out.add(out.packets.len() as u64);
        if self.writes_wait() {
            self.output.extend_from_slice(out.packets.bytes());
            out.packets.clear();
            return Ok(());
        }
        meters.writes.one();
        let all = out.packets.bytes_mut();
        let written = write_some(&mut self.stream, cx, all)?;
        self.line.count_out(written);
        if !all.is_empty() {
            self.output = BytesMut::from(&all[..]);
            self.stalled_since = Some(now.steady);
        }
        out.packets.clear();
        self.flush(cx, now)
    }

    /// Goes on with what waits.
    fn write_rest(&mut self, cx: &mut Context<'_>, now: Now) -> io::Result<()> {
        if !self.writes_wait() {
            return Ok(());
        }
        if !self.output.is_empty() {
            let written = write_some(&mut self.stream, cx, &mut self.output)?;
            if written > 0 {
                self.line.count_out(written);
                self.line.meters().writes.one();
                self.stalled_since = Some(now.steady);
            }
            if !self.output.is_empty() {
                return Ok(());
            }
            self.output = BytesMut::new();
        }
        self.flush(cx, now)
    }

    fn flush(&mut self, cx: &mut Context<'_>, now: Now) -> io::Result<()> {
        if !self.output.is_empty() {
            return Ok(());
        }
        self.unflushed = Pin::new(&mut self.stream).poll_flush(cx)?.is_pending();
        if self.unflushed {
            self.stalled_since.get_or_insert(now.steady);
            return Ok(());
        }
        self.stalled_since = None;
        if let Some(took_at) = self.took_at.take() {
            let done = self.line.now().steady;
            self.line.meters().write.record(done.saturating_duration_since(took_at));
        }
        Ok(())
    }

    fn begin_goodbye(&mut self, now: Now, close: Close) {
        if self.goodbye.is_none() {
            let until = now.steady + self.line.shell().limits.close_within;
            self.goodbye = Some(Box::new(Goodbye { close, until, said: false }));
        }
    }

    fn goodbye_is_late(&self, now: Now) -> bool {
        self.goodbye.as_ref().is_some_and(|goodbye| goodbye.until <= now.steady)
    }

    /// Once all answers are given, or have taken too long, the connection says goodbye.
    fn say_goodbye(&mut self, cx: &mut Context<'_>, now: Now, out: &mut Out<C::Backend>) {
        let late = self.goodbye_is_late(now);
        let Some(goodbye) = &mut self.goodbye else { return };
        if self.at_end {
            return;
        }
        if goodbye.said {
            if late {
                out.close(goodbye.close.clone());
            }
        } else if self.exchange.waiting() == 0 || late {
            goodbye.said = true;
            goodbye.until = now.steady + self.line.shell().limits.close_within;
            let close = goodbye.close.clone();
            self.exchange.connection.leave(now, close, out);
            self.exchange.start_calls(cx, now, out);
        }
    }

    /// What follows from time alone: the client's deadlines, and the connection's own.
    fn check_deadlines(&mut self, cx: &mut Context<'_>, now: Now, out: &mut Out<C::Backend>) {
        let limits = &self.line.shell().limits;
        let passed = |since: Option<Instant>, max| since.is_some_and(|since| since + max <= now.steady);
        if passed(self.stalled_since, limits.write_stall_max) {
            // Nothing can be said to who does not read.
            self.end_by(now.steady, Ended::Closed(Close::TOO_SLOW));
        } else if passed(self.packet_since, limits.packet_within) {
            self.packet_since = None;
            self.exchange.connection.leave(now, PACKET_LATE, out);
            out.close(PACKET_LATE);
        } else if self.exchange.connection.deadline().is_some_and(|at| at <= now.steady) {
            self.exchange.connection.expire(now, out);
        }
        self.exchange.start_calls(cx, now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        let limits = &self.line.shell().limits;
        let stall = self.stalled_since.map(|since| since + limits.write_stall_max);
        let packet = self.packet_since.map(|since| since + limits.packet_within);
        let goodbye = self.goodbye.as_ref().map(|goodbye| goodbye.until);
        let connection = self.exchange.connection.deadline();
        earlier(earlier(stall, packet), earlier(goodbye, connection))
    }

    fn end(&mut self, now: Now, ended: Ended) {
        self.end_by(now.steady + self.line.shell().limits.close_within, ended);
    }

    fn end_by(&mut self, until: Instant, ended: Ended) {
        if self.ending.is_none() {
            self.ending = Some(Box::new(Ending { ended, until, shut: false, discarded: 0 }));
        }
    }

    /// Writes the rest, ends our side of the stream, and waits for the client to end its own: closing with
    /// unread input would reset the stream and take our last words away.
    fn finish(&mut self, cx: &mut Context<'_>, now: Now, lent: &mut Lent<C::Backend>) -> Poll<Ended> {
        let result = self.finish_some(cx, now, lent);
        let Some(ending) = &self.ending else { return Poll::Pending };
        if matches!(result, Ok(Poll::Pending)) && now.steady < ending.until {
            let until = ending.until;
            self.alarm.set(cx, now.steady, Some(until));
            return Poll::Pending;
        }
        Poll::Ready(ending.ended.clone())
    }

    fn finish_some(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        lent: &mut Lent<C::Backend>,
    ) -> io::Result<Poll<()>> {
        self.write_rest(cx, now)?;
        let Some(ending) = &mut self.ending else { return Ok(Poll::Pending) };
        if !self.output.is_empty() || self.unflushed {
            return Ok(Poll::Pending);
        }
        if !ending.shut {
            if Pin::new(&mut self.stream).poll_shutdown(cx)?.is_pending() {
                return Ok(Poll::Pending);
            }
            ending.shut = true;
        }
        while !self.at_end && ending.discarded < LINGER_BYTES_MAX {
            lent.input.clear();
            lent.input.reserve(READ_BYTES_MAX);
            match pin!(self.stream.read_buf(&mut lent.input)).poll(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(0) | Err(_)) => self.at_end = true,
                Poll::Ready(Ok(n)) => ending.discarded += n,
            }
        }
        Ok(Poll::Ready(()))
    }
}

/// Takes the rest out of a lent buffer; it is mostly empty.
fn copy_rest(lent: &mut BytesMut) -> BytesMut {
    let rest = if lent.is_empty() { BytesMut::new() } else { BytesMut::from(&lent[..]) };
    lent.clear();
    rest
}

/// Writes until the system takes no more, and removes what it took.
fn write_some<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    bytes: &mut BytesMut,
) -> io::Result<usize> {
    let mut written = 0;
    while !bytes.is_empty() {
        match Pin::new(&mut *stream).poll_write(cx, bytes)? {
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(n) => {
                written += n;
                // Cleared and not advanced, so that a lent buffer keeps its whole length.
                if n == bytes.len() { bytes.clear() } else { bytes.advance(n) }
            }
            Poll::Pending => break,
        }
    }
    Ok(written)
}
