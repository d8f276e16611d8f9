//! What the hub answers, in the order in which it was asked.

use yizhan_hub::{Answer, Refused};
use yizhan_talk::{Now, Out};

use super::{Asked, Connection, HubBackend, Stage};

/// Calls whose room stays when all are answered.
const BUFFER_KEPT: usize = 8;

impl<B: HubBackend> Connection<B> {
    pub(super) fn take_answer(&mut self, now: Now, answer: Answer, out: &mut Out<B>) {
        let Some(asked) = self.pending.pop_front() else { return };
        match (asked, answer) {
            (Asked::Publish { qos, id, is_copied }, Answer::Published(_)) => {
                self.published(now, (qos, id, is_copied), out);
            }
            (Asked::Publish { qos, id, is_copied }, Answer::Refused(refused)) => {
                self.not_published(now, (qos, id, is_copied), &refused, out);
            }
            (Asked::Hello, Answer::Opened(opened)) => self.opened(now, *opened, out),
            (Asked::Hello | Asked::Prove, Answer::Refused(refused)) => self.not_admitted(now, &refused, out),
            (Asked::Prove, Answer::Challenge(data)) => self.challenge(now, &data, out),
            (Asked::Prove, Answer::Proven(data)) => self.proven(now, data, out),
            (Asked::Subscribe, Answer::Refused(refused)) => self.filter_done(now, Some(&refused), out),
            (Asked::Subscribe, _) => self.filter_done(now, None, out),
            (Asked::State(subscription), Answer::State(records)) => {
                self.state_read(now, subscription, records, out);
            }
            // Without retained messages the subscription is good all the same.
            (Asked::State(subscription), _) => self.state_read(now, subscription, Vec::new(), out),
            (Asked::Unsubscribe, answer) => self.filter_left(now, &answer, out),
            (Asked::Resubscribed(subscription), Answer::Refused(refused)) => {
                self.not_resubscribed(subscription, &refused);
            }
            (Asked::Save(_) | Asked::SaveThenSend(_), Answer::Refused(refused)) => {
                self.not_saved(now, &refused, out);
            }
            (Asked::Save(releases), _) => self.saved(now, releases, out),
            (Asked::SaveThenSend(count), _) => self.send_saved(now, count, out),
            (Asked::Unheard, Answer::Refused(refused)) => log_unheard(&refused),
            // Not given by the hub for these calls.
            (
                Asked::Publish { .. }
                | Asked::Hello
                | Asked::Prove
                | Asked::Resubscribed(_)
                | Asked::Unheard
                | Asked::Acked { .. },
                _,
            ) => {}
        }
        self.say_ready(now, out);
        if self.stage == Stage::Open {
            self.save(out);
        }
    }

    /// Says what stands at the front and needs no answer of the hub.
    fn say_ready(&mut self, now: Now, out: &mut Out<B>) {
        while let Some(asked @ Asked::Acked { .. }) = self.pending.front().copied() {
            self.pending.pop_front();
            self.say_acked(now, asked, out);
        }
        if self.pending.is_empty() && self.pending.capacity() > BUFFER_KEPT {
            self.pending = std::collections::VecDeque::new();
        }
    }
}

/// An ack for a subscription that is no more is nothing to speak of.
fn log_unheard(refused: &Refused) {
    if *refused != Refused::NoSubscription {
        tracing::debug!(%refused, "the hub refused a call that nobody waits for");
    }
}
