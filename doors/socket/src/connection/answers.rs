//! The hub's answers into events, each in the turn of its command.

use yizhan_hub::{Answer, Refused, link::Opened};
use yizhan_talk::{Close, Now, Out};

use super::{
    Asked, Connection, HELLOS_MAX, HubBackend, NOT_ADMITTED_MAX, Pending, Stage, TOO_FAST_MAX,
    TOO_FAST_WINDOW, commands::STATE_RECORDS_MAX,
};
use crate::wire::{Wrong, event};

impl<B: HubBackend> Connection<B> {
    pub(super) fn take_answer(&mut self, now: Now, answer: Answer, out: &mut Out<B>) {
        let Some(Pending { id, asked }) = self.pending.pop_front() else {
            tracing::error!("an answer came that no call had asked for");
            return self.end(now, Close::INTERNAL, out);
        };
        self.pending_weight = self.pending_weight.saturating_sub(asked.weight());
        match (asked, answer) {
            (Asked::Hello, Answer::Opened(opened)) => self.welcome(now, id, &opened, out),
            (Asked::Hello, Answer::Refused(refused)) => self.not_welcome(now, id, refused, out),
            (_, Answer::Refused(refused)) => self.refused(now, id, refused, out),
            (asked, answer) => self.done(now, id, &asked, answer, out),
        }
        self.say_ready(now, out);
        self.pump(now, out);
    }

    /// Says what has its turn now and needs no answer of the hub's.
    fn say_ready(&mut self, now: Now, out: &mut Out<B>) {
        while let Some(Pending { asked: Asked::Ready(_), .. }) = self.pending.front() {
            if let Some(Pending { id, asked: Asked::Ready(ready) }) = self.pending.pop_front() {
                self.say(now, id, &ready, out);
            }
        }
    }

    fn done(&mut self, now: Now, id: Option<u64>, asked: &Asked, answer: Answer, out: &mut Out<B>) {
        match (asked, answer) {
            (Asked::Publish, Answer::Published(receipt)) => {
                if id.is_some() {
                    self.emit(now, out, |into, encoding| event::receipt(id, &receipt, into, encoding));
                }
            }
            (Asked::Ack | Asked::Unsubscribe, Answer::Done) => {
                if id.is_some() {
                    self.emit(now, out, |into, encoding| event::ok(id, into, encoding));
                }
            }
            (Asked::Subscribe, Answer::Subscribed { id: sub, heads, missed }) => {
                self.emit(now, out, |into, encoding| {
                    event::subscribed(id, sub, &heads, missed, into, encoding);
                });
            }
            (Asked::History(topic), Answer::History(page)) => {
                self.emit(now, out, |into, encoding| {
                    event::history(id, topic.as_str(), &page, into, encoding);
                });
            }
            (Asked::State, Answer::State(records)) => {
                self.emit(now, out, |into, encoding| {
                    event::state(id, records.iter().map(|r| &**r), STATE_RECORDS_MAX, into, encoding);
                });
            }
            (Asked::Presence, Answer::Present(sessions)) => {
                self.emit(now, out, |into, encoding| event::presence(id, &sessions, into, encoding));
            }
            (Asked::Ask, Answer::Told(body)) => {
                self.emit(now, out, |into, encoding| event::told(id, &body, into, encoding));
            }
            (Asked::Goodbye, Answer::Done) => {
                if id.is_some() {
                    self.emit(now, out, |into, encoding| event::ok(id, into, encoding));
                }
                self.end(now, Close::NORMAL, out);
            }
            (asked, answer) => {
                tracing::error!(?asked, ?answer, "an answer does not fit its call");
                self.end(now, Close::INTERNAL, out);
            }
        }
    }

    fn welcome(&mut self, now: Now, id: Option<u64>, opened: &Opened, out: &mut Out<B>) {
        self.open(now, opened);
        tracing::debug!(session = %opened.session, user = %opened.principal.user, resumed = opened.resumed,
            "a session is open");
        self.say_welcome(now, id, opened, out);
    }

    pub(super) fn say_welcome(&mut self, now: Now, id: Option<u64>, opened: &Opened, out: &mut Out<B>) {
        let terms = self.terms.clone();
        let told = event::Welcome {
            heartbeat: self.beat(),
            server: &terms.server,
            at: now.wall,
            frame_bytes_max: terms.config.frame_bytes_max,
            subscriptions_max: terms.subscriptions_max,
        };
        self.emit(now, out, |into, encoding| event::welcome(id, opened, told, into, encoding));
    }

    fn not_welcome(&mut self, now: Now, id: Option<u64>, refused: Refused, out: &mut Out<B>) {
        self.stage = Stage::Silent;
        self.silent_since = now.steady;
        self.hellos_failed += 1;
        self.not_admitted += u8::from((200..300).contains(&refused.code()));
        self.refused(now, id, refused, out);
        if self.not_admitted >= NOT_ADMITTED_MAX || self.hellos_failed >= HELLOS_MAX {
            self.end(now, Close::NOT_ADMITTED, out);
        }
    }

    fn refused(&mut self, now: Now, id: Option<u64>, refused: Refused, out: &mut Out<B>) {
        let too_fast = matches!(refused, Refused::TooFast(_));
        let wrong = Wrong::Refused(refused);
        self.emit(now, out, |into, encoding| event::error(id, &wrong, into, encoding));
        if !too_fast {
            return;
        }
        if now.steady.saturating_duration_since(self.too_fast_since) > TOO_FAST_WINDOW {
            self.too_fast_since = now.steady;
            self.too_fast = 0;
        }
        self.too_fast += 1;
        if self.too_fast >= TOO_FAST_MAX {
            self.end(now, Close::TOO_MANY, out);
        }
    }
}
