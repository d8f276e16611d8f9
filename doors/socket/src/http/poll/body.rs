//! A long-poll's response: a talk that ends with its first words.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll as Polled},
    time::Instant,
};

use bytes::{BufMut, Bytes, BytesMut};
use yizhan_hub::{Answer, Call, Delivery, Link, Refused};
use yizhan_talk::{Backend, Called, Close, Connection, Fault, Now, Out};

use super::Seat;
use crate::{
    connection::deliveries,
    wire::{Encoding, event},
};

/// The client's side: says one array and ends.
#[derive(Debug)]
pub(super) struct Poll {
    seat: Arc<Seat>,
    /// When it says `[]`.
    until: Instant,
    said: bool,
}

impl Poll {
    pub(super) fn new(seat: Arc<Seat>, until: Instant) -> Self {
        Self { seat, until, said: false }
    }

    /// Says `body` and ends. What brings the stream on is kept until it is acknowledged.
    fn say(&mut self, body: Bytes, progress: Progress, out: &mut Out<Parked>) {
        if self.said {
            return;
        }
        self.said = true;
        out.packets.push(&body);
        out.close(Close::NORMAL);
        let mut state = self.seat.state.lock();
        if progress != Progress::None {
            state.number += 1;
        }
        state.kept = (progress == Progress::Events).then_some(body);
    }
}

/// What a response means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It must not be lost.
    Events,
    /// There was nothing within the time.
    Time,
    /// It does not count.
    None,
}

impl Connection for Poll {
    type Backend = Parked;

    fn receive(&mut self, _now: Now, input: &mut BytesMut, _out: &mut Out<Parked>) -> Result<(), Fault> {
        input.clear();
        Ok(())
    }

    fn answer(&mut self, _now: Now, _answer: Answer, _out: &mut Out<Parked>) {}

    fn deliver(&mut self, now: Now, deliveries: &mut Vec<Delivery>, out: &mut Out<Parked>) {
        if let Some(Delivery::Leave(close)) = deliveries.first() {
            let close = close.clone();
            match self.seat.wanted.swap(false, Ordering::AcqRel) {
                true => self.say(Bytes::from_static(b"[]"), Progress::None, out),
                false => self.leave(now, close, out),
            }
        } else {
            let mut body = BytesMut::new();
            deliveries::write_array(deliveries, &mut body);
            self.say(body.freeze(), Progress::Events, out);
        }
        deliveries.clear();
    }

    fn expire(&mut self, now: Now, out: &mut Out<Parked>) {
        if self.until <= now.steady {
            self.say(Bytes::from_static(b"[]"), Progress::Time, out);
        }
    }

    fn leave(&mut self, _now: Now, close: Close, out: &mut Out<Parked>) {
        let mut body = BytesMut::from(&b"["[..]);
        event::close(&close, &mut body, Encoding::Json);
        body.put_u8(b']');
        self.say(body.freeze(), Progress::None, out);
    }

    fn deadline(&self) -> Option<Instant> {
        (!self.said).then_some(self.until)
    }

    fn takes_delivery(&self) -> bool {
        !self.said
    }
}

/// The session's link while a request waits. It goes back to its seat when the response is over.
#[derive(Debug)]
pub(super) struct Parked {
    seat: Arc<Seat>,
    link: Option<Box<Link>>,
}

impl Parked {
    pub(super) fn new(seat: Arc<Seat>, link: Box<Link>) -> Self {
        Self { seat, link: Some(link) }
    }
}

impl Backend for Parked {
    type Call = Call;
    type Answer = Answer;
    type Delivery = Delivery;

    fn call(&mut self, now: Now, call: Call) -> Called<Answer> {
        match &mut self.link {
            Some(link) => link.call(now, call),
            None => Called::Done(Answer::Refused(Refused::NoSession)),
        }
    }

    fn poll_deliveries(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        into: &mut Vec<Delivery>,
        max: usize,
    ) -> Polled<()> {
        self.seat.waiter.register(cx.waker());
        if self.seat.wanted.load(Ordering::Acquire) {
            into.push(Delivery::Leave(Close::TAKEN_OVER));
            return Polled::Ready(());
        }
        let Some(link) = &mut self.link else { return Polled::Pending };
        let polled = link.poll_deliveries(cx, now, into, max);
        if let Some(Delivery::Leave(_)) = into.first() {
            // The hub has ended the session's link: there is nothing to go on with.
            self.link = None;
        }
        polled
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let mut state = self.seat.state.lock();
        state.busy = false;
        state.link = self.link.take().map(|link| *link);
    }
}
