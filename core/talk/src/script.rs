//! A talk told as a script: what the client sends, what the backend answers, what the client must hear.
//!
//! For tests of any door. Time stands still until [`Script::pass`] moves it; nothing waits, nothing runs.
//!
//! ```ignore
//! Script::new(|now| Connection::new(now))
//!     .client(b"PING\n")
//!     .server(b"PONG\n")
//!     .pass(Duration::from_secs(60))
//!     .closed(4008);
//! ```

use std::{
    collections::VecDeque,
    marker::PhantomData,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::BytesMut;

use crate::{Backend, Called, Close, Connection, Now, Out, Then, Timestamp};

/// Steps that one call of [`Script::pass`] may take: more means a deadline that does not move.
const EXPIRES_MAX: usize = 100_000;
/// When every script begins on the wall clock: 2026-01-01.
const BEGIN: Timestamp = Timestamp::from_millis(1_767_225_600_000);

type CallOf<C> = <<C as Connection>::Backend as Backend>::Call;
type AnswerOf<C> = <<C as Connection>::Backend as Backend>::Answer;
type DeliveryOf<C> = <<C as Connection>::Backend as Backend>::Delivery;

/// One connection and what became of it so far.
///
/// Every method panics with a readable text where the story goes another way.
pub struct Script<C: Connection> {
    connection: C,
    now: Now,
    input: BytesMut,
    out: Out<C::Backend>,
    calls: VecDeque<CallOf<C>>,
    packets: VecDeque<Vec<u8>>,
    ended: Option<Close>,
}

impl<C: Connection> Script<C> {
    /// A talk with the connection that `open` makes.
    pub fn new(open: impl FnOnce(Now) -> C) -> Self {
        // An `Instant` has no other beginning; from here on time is moved by hand.
        #[allow(clippy::disallowed_methods)]
        let now = Now { steady: Instant::now(), wall: BEGIN };
        let mut script = Self {
            connection: open(now),
            now,
            input: BytesMut::new(),
            out: Out::new(),
            calls: VecDeque::new(),
            packets: VecDeque::new(),
            ended: None,
        };
        script.settle();
        script
    }

    /// The client sends this: behind what is still unread, as a byte stream does.
    pub fn client(mut self, bytes: impl AsRef<[u8]>) -> Self {
        assert!(self.ended.is_none(), "the talk is over, the client cannot send: {:?}", self.ended);
        self.input.extend_from_slice(bytes.as_ref());
        self.settle();
        self
    }

    /// The connection asked this of its backend: `check` looks at the oldest call not looked at yet.
    #[track_caller]
    pub fn asked<T>(mut self, check: impl FnOnce(CallOf<C>) -> T) -> Self {
        let Some(call) = self.calls.pop_front() else { panic!("nothing was asked of the backend") };
        check(call);
        self
    }

    /// Nothing more was asked of the backend.
    #[track_caller]
    pub fn asked_nothing(self) -> Self {
        assert!(self.calls.is_empty(), "{} calls were made that nobody looked at", self.calls.len());
        self
    }

    /// The backend answers the oldest call that has no answer yet.
    pub fn backend(mut self, answer: AnswerOf<C>) -> Self {
        self.connection.answer(self.now, answer, &mut self.out);
        self.settle();
        self
    }

    /// The backend delivers these at one moment.
    #[track_caller]
    pub fn deliver(mut self, deliveries: impl IntoIterator<Item = DeliveryOf<C>>) -> Self {
        assert!(self.connection.takes_delivery(), "the connection takes no deliveries now");
        let mut deliveries = deliveries.into_iter().collect();
        self.connection.deliver(self.now, &mut deliveries, &mut self.out);
        assert!(deliveries.is_empty(), "the connection left deliveries lying");
        self.settle();
        self
    }

    /// The server ends the talk.
    pub fn leave(mut self, close: Close) -> Self {
        self.connection.leave(self.now, close, &mut self.out);
        self.settle();
        self
    }

    /// The next packet the client hears is exactly this.
    #[track_caller]
    pub fn server(self, expected: impl AsRef<[u8]>) -> Self {
        let expected = expected.as_ref().to_vec();
        self.hears(|packet| {
            assert!(packet == expected, "heard    {}\nexpected {}", show(packet), show(&expected));
        })
    }

    /// The client hears a packet, and `check` looks at it.
    #[track_caller]
    pub fn hears(mut self, check: impl FnOnce(&[u8])) -> Self {
        let Some(packet) = self.packets.pop_front() else {
            panic!("the client heard nothing more; the talk: {:?}", self.ended)
        };
        check(&packet);
        self
    }

    /// The client hears nothing more.
    #[track_caller]
    pub fn silent(self) -> Self {
        if let Some(packet) = self.packets.front() {
            panic!("the client heard {}", show(packet));
        }
        self
    }

    /// Time passes on both clocks; the connection's deadlines are kept on the way.
    #[track_caller]
    pub fn pass(mut self, time: Duration) -> Self {
        let end = self.now.steady + time;
        for _ in 0..EXPIRES_MAX {
            match self.connection.deadline() {
                Some(at) if at <= end && self.ended.is_none() => {
                    self.advance(at.saturating_duration_since(self.now.steady));
                    self.connection.expire(self.now, &mut self.out);
                    self.settle();
                }
                _ => {
                    self.advance(end.saturating_duration_since(self.now.steady));
                    return self;
                }
            }
        }
        panic!("a deadline does not move")
    }

    /// The wall clock is set, the steady one goes on.
    pub fn set_wall(mut self, wall: Timestamp) -> Self {
        self.now.wall = wall;
        self
    }

    /// The talk is over for this reason, and the client has heard everything.
    #[track_caller]
    pub fn closed(self, code: u16) {
        match &self.ended {
            Some(close) => assert_eq!(close.code, code, "{close}"),
            None => panic!("the talk goes on"),
        }
        let _ = self.silent();
    }

    /// The talk goes on.
    #[track_caller]
    pub fn open(self) -> Self {
        assert!(self.ended.is_none(), "the talk is over: {:?}", self.ended);
        self
    }

    /// Looks at the connection itself.
    pub fn look(self, check: impl FnOnce(&C, Now)) -> Self {
        check(&self.connection, self.now);
        self
    }

    /// The oldest call not looked at yet, for a test that answers by what was asked.
    pub fn next_call(&mut self) -> Option<CallOf<C>> {
        self.calls.pop_front()
    }

    /// Whether the talk is over.
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Looks at the connection itself, for a test that decides by it how to go on.
    pub fn peek<T>(&self, look: impl FnOnce(&C) -> T) -> T {
        look(&self.connection)
    }

    /// Every packet the client has not heard yet, and the end if there is one.
    pub fn rest(self) -> (Vec<Vec<u8>>, Option<Close>) {
        (self.packets.into(), self.ended)
    }

    fn advance(&mut self, time: Duration) {
        self.now.steady += time;
        self.now.wall = self.now.wall.plus(time);
    }

    /// Does what the shell does after each step: offers input that is still there, gathers what came out.
    fn settle(&mut self) {
        loop {
            self.gather();
            if self.ended.is_some() || self.input.is_empty() || !self.connection.takes_input() {
                return;
            }
            let before = self.input.len();
            let received = self.connection.receive(self.now, &mut self.input, &mut self.out);
            self.gather();
            if let Err(fault) = received {
                self.ended.get_or_insert(fault.0);
            }
            if self.input.len() == before {
                return;
            }
        }
    }

    fn gather(&mut self) {
        self.calls.extend(self.out.calls.drain(..));
        self.packets.extend(self.out.packets.iter().map(<[u8]>::to_vec));
        self.out.packets.clear();
        if let Then::Close(close) = std::mem::take(&mut self.out.then) {
            self.ended.get_or_insert(close);
        }
    }
}

impl<C: Connection> std::fmt::Debug for Script<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// A backend that exists as a type only: a script answers in its place.
#[derive(Debug)]
pub struct Scripted<Call, Answer, Delivery> {
    never: std::convert::Infallible,
    types: PhantomData<fn(Call) -> (Answer, Delivery)>,
}

impl<Call, Answer, Delivery> Backend for Scripted<Call, Answer, Delivery>
where
    Call: Send + 'static,
    Answer: Send + 'static,
    Delivery: Send + 'static,
{
    type Call = Call;
    type Answer = Answer;
    type Delivery = Delivery;

    fn call(&mut self, _now: Now, _call: Call) -> Called<Answer> {
        match self.never {}
    }

    fn poll_deliveries(
        &mut self,
        _cx: &mut Context<'_>,
        _now: Now,
        _into: &mut Vec<Delivery>,
        _max: usize,
    ) -> Poll<()> {
        match self.never {}
    }
}

/// Text as it is, other bytes escaped.
fn show(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}
