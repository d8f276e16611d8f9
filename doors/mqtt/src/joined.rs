//! A connection whose bytes come in messages that cut them anywhere: MQTT over WebSocket (MQTT-6.0.0-2).

use std::time::{Duration, Instant};

use bytes::BytesMut;
use yizhan_talk::{Again, Backend, Close, Connection, Fault, Now, Out};

/// How long a packet may take after its first byte; over TCP `limits.packet_within` holds it.
const PACKET_WITHIN: Duration = Duration::from_secs(30);
/// Told to who began a packet and did not end it.
const PACKET_LATE: Close = Close::new(1002, "a packet was not complete in time", Again::Soon);

/// Joins messages to a byte stream for the connection within.
///
/// What the connection does not take yet stays here. It holds no more than the connection's own limit for a
/// packet, since a longer one is refused by its first bytes, and one message.
#[derive(Debug)]
pub(crate) struct Joined<C> {
    inner: C,
    /// What came and was not taken: an unfinished packet, or what must wait for an answer.
    rest: BytesMut,
    /// Since when a packet is unfinished.
    since: Option<Instant>,
}

impl<C: Connection> Joined<C> {
    pub(crate) fn new(inner: C) -> Self {
        Self { inner, rest: BytesMut::new(), since: None }
    }

    /// Gives the connection what it takes of `input`.
    fn offer(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<C::Backend>) -> Result<(), Fault> {
        while !input.is_empty() && self.inner.takes_input() {
            let before = input.len();
            self.inner.receive(now, input, out)?;
            if input.len() == before {
                break;
            }
        }
        let unfinished = !input.is_empty() && self.inner.takes_input();
        self.since = unfinished.then(|| self.since.unwrap_or(now.steady));
        Ok(())
    }

    /// Offers what lies here again, now that the connection may take it.
    fn offer_rest(&mut self, now: Now, out: &mut Out<C::Backend>) {
        if self.rest.is_empty() {
            return;
        }
        let mut rest = std::mem::take(&mut self.rest);
        if let Err(Fault(close)) = self.offer(now, &mut rest, out) {
            out.close(close);
            return;
        }
        if !rest.is_empty() {
            self.rest = rest;
        }
    }

    fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + PACKET_WITHIN)
    }
}

impl<C: Connection> Connection for Joined<C> {
    type Backend = C::Backend;

    fn receive(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<C::Backend>) -> Result<(), Fault> {
        if self.rest.is_empty() {
            self.offer(now, input, out)?;
            // Copied: the shell uses its buffer again.
            self.rest.extend_from_slice(input);
            input.clear();
            return Ok(());
        }
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(input);
        input.clear();
        self.offer(now, &mut rest, out)?;
        if !rest.is_empty() {
            self.rest = rest;
        }
        Ok(())
    }

    fn answer(&mut self, now: Now, answer: <C::Backend as Backend>::Answer, out: &mut Out<C::Backend>) {
        self.inner.answer(now, answer, out);
        self.offer_rest(now, out);
    }

    fn deliver(
        &mut self,
        now: Now,
        deliveries: &mut Vec<<C::Backend as Backend>::Delivery>,
        out: &mut Out<C::Backend>,
    ) {
        self.inner.deliver(now, deliveries, out);
        self.offer_rest(now, out);
    }

    fn expire(&mut self, now: Now, out: &mut Out<C::Backend>) {
        if self.due().is_some_and(|at| at <= now.steady) {
            self.since = None;
            self.inner.leave(now, PACKET_LATE, out);
            out.close(PACKET_LATE);
            return;
        }
        if self.inner.deadline().is_some_and(|at| at <= now.steady) {
            self.inner.expire(now, out);
            self.offer_rest(now, out);
        }
    }

    fn leave(&mut self, now: Now, close: Close, out: &mut Out<C::Backend>) {
        self.inner.leave(now, close, out);
    }

    fn deadline(&self) -> Option<Instant> {
        [self.due(), self.inner.deadline()].into_iter().flatten().min()
    }

    fn takes_input(&self) -> bool {
        self.inner.takes_input()
    }

    fn takes_delivery(&self) -> bool {
        self.inner.takes_delivery()
    }
}

#[cfg(test)]
mod tests {
    use yizhan_talk::script::{Script, Scripted};

    use super::*;

    /// Says each line back, after the backend has answered.
    #[derive(Default)]
    struct Lines {
        asked: bool,
    }

    impl Connection for Lines {
        type Backend = Scripted<String, (), ()>;
        fn receive(
            &mut self,
            _: Now,
            input: &mut BytesMut,
            out: &mut Out<Self::Backend>,
        ) -> Result<(), Fault> {
            let Some(end) = input.iter().position(|b| *b == b'\n') else { return Ok(()) };
            let line = input.split_to(end + 1);
            if line.starts_with(b"bad") {
                return Err(Fault(Close::PROTOCOL));
            }
            out.calls.push(String::from_utf8_lossy(&line).into_owned());
            self.asked = true;
            Ok(())
        }
        fn answer(&mut self, _: Now, (): (), out: &mut Out<Self::Backend>) {
            self.asked = false;
            out.packets.push(b"ok");
        }
        fn deliver(&mut self, _: Now, deliveries: &mut Vec<()>, _: &mut Out<Self::Backend>) {
            deliveries.clear();
        }
        fn expire(&mut self, _: Now, _: &mut Out<Self::Backend>) {}
        fn leave(&mut self, _: Now, _: Close, out: &mut Out<Self::Backend>) {
            out.packets.push(b"bye");
        }
        fn deadline(&self) -> Option<Instant> {
            None
        }
        fn takes_input(&self) -> bool {
            !self.asked
        }
    }

    fn script() -> Script<Joined<Lines>> {
        Script::new(|_| Joined::new(Lines::default()))
    }

    /// One message, as the WebSocket gives it: all of it is taken.
    fn message(joined: &mut Joined<Lines>, now: Now, text: &str) -> Result<Vec<String>, Fault> {
        let mut out = Out::new();
        let mut input = BytesMut::from(text);
        joined.receive(now, &mut input, &mut out)?;
        assert!(input.is_empty(), "nothing of a message stays behind");
        Ok(out.calls)
    }

    fn now() -> Now {
        #[allow(clippy::disallowed_methods)]
        Now { steady: Instant::now(), wall: yizhan_talk::Timestamp(0) }
    }

    #[test]
    fn a_packet_may_be_cut_anywhere() {
        let (mut joined, now) = (Joined::new(Lines::default()), now());
        assert!(message(&mut joined, now, "on").unwrap().is_empty());
        assert!(message(&mut joined, now, "").unwrap().is_empty());
        assert_eq!(message(&mut joined, now, "e\n").unwrap(), ["one\n"]);
        assert!(joined.rest.is_empty() && joined.since.is_none());
    }

    #[test]
    fn what_must_wait_for_an_answer_waits_here() {
        script()
            .client("one\ntwo\nthr")
            .asked(|line| assert_eq!(line, "one\n"))
            .asked_nothing()
            .backend(())
            .server("ok")
            .asked(|line| assert_eq!(line, "two\n"))
            .backend(())
            .server("ok")
            .client("ee\n")
            .asked(|line| assert_eq!(line, "three\n"))
            .silent();
    }

    #[test]
    fn a_fault_behind_an_answer_ends_the_talk() {
        script().client("one\nbad\n").asked(drop).backend(()).server("ok").closed(1002);
    }

    #[test]
    fn a_packet_that_is_never_complete_ends_the_talk() {
        script().client("on").pass(PACKET_WITHIN).server("bye").closed(1002);
        let done = script().client("on").client("e\n").asked(drop).backend(()).server("ok");
        done.pass(PACKET_WITHIN * 2).open().silent();
    }

    #[test]
    fn waiting_for_us_is_not_late() {
        script().client("one\ntwo").asked(drop).pass(PACKET_WITHIN * 2).open().silent();
    }
}
