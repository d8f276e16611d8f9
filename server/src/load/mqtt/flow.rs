//! A topic with one publisher and some subscribers, and how far the publisher may run ahead of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One topic.
///
/// The publisher runs at most a window ahead of the slowest subscriber, so that no broker has to drop
/// anything: what is measured is what delivering costs, not who throws away first. Windows are counted in
/// rounds of messages, so that a subscriber touches what all threads share once a round.
pub(super) struct Flow {
    pub(super) topic: String,
    pub(super) subscribers: u64,
    /// Messages of a round.
    round: u64,
    /// Rounds that the publisher may be ahead.
    ahead: u64,
    pub(super) sent: AtomicU64,
    /// How many subscribers have each round behind them. A round's place is used again when it is long over.
    passed: Box<[AtomicU64]>,
}

impl Flow {
    /// A flow with a window of so many messages. One subscriber is followed message by message, many in
    /// halves of the window.
    pub(super) fn new(topic: String, subscribers: u64, window: u64) -> Self {
        let window = window.max(1);
        let (round, ahead) = if subscribers == 1 { (1, window) } else { (window.div_ceil(2), 2) };
        let passed = (0..ahead + 2).map(|_| AtomicU64::new(0)).collect();
        Self { topic, subscribers, round, ahead, sent: AtomicU64::new(0), passed }
    }

    /// Whether message `number` may be sent: all subscribers have passed the round that is `ahead` before its own.
    pub(super) fn has_room(&self, number: u64) -> bool {
        let round = number / self.round;
        round < self.ahead || self.place(round - self.ahead).load(Relaxed) >= self.subscribers
    }

    /// Message `number` is about to be sent.
    pub(super) fn begin(&self, number: u64) {
        if number.is_multiple_of(self.round) {
            self.place(number / self.round).store(0, Relaxed);
        }
        self.sent.store(number + 1, Relaxed);
    }

    /// A subscriber that waited for message `from` waits for message `to` now.
    pub(super) fn passed(&self, from: u64, to: u64) {
        for round in from / self.round..to / self.round {
            self.place(round).fetch_add(1, Relaxed);
        }
    }

    fn place(&self, round: u64) -> &AtomicU64 {
        // The remainder is below the length.
        &self.passed[(round % self.passed.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_waits_for_the_slowest_of_many() {
        let flow = Flow::new("t".into(), 2, 8);
        for number in 0..8 {
            assert!(flow.has_room(number));
            flow.begin(number);
        }
        assert!(!flow.has_room(8));
        flow.passed(0, 8);
        assert!(!flow.has_room(8));
        flow.passed(0, 3);
        assert!(!flow.has_room(8));
        flow.passed(3, 5);
        assert!(flow.has_room(8) && flow.has_room(11) && !flow.has_room(12));
    }

    #[test]
    fn one_subscriber_is_followed_message_by_message() {
        let flow = Flow::new("t".into(), 1, 3);
        for number in 0..1000 {
            assert!(flow.has_room(number), "{number}");
            flow.begin(number);
            if number >= 2 {
                assert!(!flow.has_room(number + 1), "{number}");
                flow.passed(number - 2, number - 1);
            }
        }
        assert_eq!(flow.sent.load(Relaxed), 1000);
    }

    #[test]
    fn without_subscribers_there_is_always_room() {
        let flow = Flow::new("t".into(), 0, 4);
        for number in 0..100 {
            assert!(flow.has_room(number));
            flow.begin(number);
        }
    }
}
