//! The two sides of every talk.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::BytesMut;

use crate::{Close, Fault, Now, Out};

/// One client's side of a talk, without I/O.
///
/// Every method leaves all of its consequences in `out`, so nothing waits inside to be polled.
pub trait Connection: Send + Unpin + 'static {
    /// What stands behind this connection.
    type Backend: Backend;

    /// Takes what it can from the front of `input`; an unfinished packet stays there for the next time.
    ///
    /// Where packets have bounds of their own (a WebSocket message, a datagram), `input` holds exactly one.
    /// A connection keeps no reference into `input` for small things: it copies them, so that the shell's
    /// read buffer can be used again.
    ///
    /// # Errors
    /// The peer broke the protocol. What it must still hear is already in `out`; the shell writes it,
    /// then closes.
    fn receive(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<Self::Backend>) -> Result<(), Fault>;

    /// The backend's answer to the oldest call that has none yet.
    fn answer(&mut self, now: Now, answer: <Self::Backend as Backend>::Answer, out: &mut Out<Self::Backend>);

    /// Takes deliveries out of `deliveries`, all of them, and turns them into as few packets as fit.
    fn deliver(
        &mut self,
        now: Now,
        deliveries: &mut Vec<<Self::Backend as Backend>::Delivery>,
        out: &mut Out<Self::Backend>,
    );

    /// The deadline has passed.
    fn expire(&mut self, now: Now, out: &mut Out<Self::Backend>);

    /// The server wants this talk to end (drain, kick): say so in the protocol's own words.
    fn leave(&mut self, now: Now, close: Close, out: &mut Out<Self::Backend>);

    /// When [`expire`](Self::expire) is next wanted.
    fn deadline(&self) -> Option<Instant>;

    /// False while an answer must come before more input is looked at.
    fn takes_input(&self) -> bool {
        true
    }

    /// False while the talk is not open for deliveries yet, or the client's window is full.
    fn takes_delivery(&self) -> bool {
        true
    }
}

/// The server's side of a talk.
///
/// Answers reach the connection in the order of the calls, and before any delivery that is ready at the
/// same moment. Dropping a backend without a goodbye is how the shell says "the peer is gone".
pub trait Backend: Send + Unpin + 'static {
    /// What a connection may ask.
    type Call: Send;
    /// What comes back, one for each call.
    type Answer: Send;
    /// What comes unasked.
    type Delivery: Send;

    /// Starts a call. Calls take effect in the order in which they are started.
    fn call(&mut self, now: Now, call: Self::Call) -> Called<Self::Answer>;

    /// The calls of one step were all started: what was gathered for a batch goes out now.
    fn flush(&mut self, _now: Now) {}

    /// Puts up to `max` deliveries into `into`. `Ready` means at least one was put there.
    fn poll_deliveries(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        into: &mut Vec<Self::Delivery>,
        max: usize,
    ) -> Poll<()>;
}

/// A call's answer: there already, or on its way.
pub enum Called<A> {
    /// Nothing had to be waited for.
    Done(A),
    /// The answer waits for a disk, another node or another thread.
    Later(Pin<Box<dyn Future<Output = A> + Send>>),
}

impl<A> Called<A> {
    /// The answer, when it is there.
    pub async fn wait(self) -> A {
        match self {
            Self::Done(answer) => answer,
            Self::Later(answer) => answer.await,
        }
    }
}

impl<A> std::fmt::Debug for Called<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Done(_) => "Done",
            Self::Later(_) => "Later",
        })
    }
}
