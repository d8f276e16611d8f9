//! When to try again what has failed.

use std::time::Duration;

/// Doubles the wait with each failure, and begins again after a run that was long enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackOff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl BackOff {
    /// Waits of `first`, twice that, … up to `max`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, next: first }
    }

    /// How long to wait after a run of `ran`. One that took longer than the longest wait was good.
    pub fn after(&mut self, ran: Duration) -> Duration {
        if ran > self.max {
            self.next = self.first;
        }
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.max);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_begin_again_after_a_good_run() {
        let seconds = Duration::from_secs;
        let mut back_off = BackOff::new(seconds(1), seconds(5));
        let waits: Vec<u64> = (0..5).map(|_| back_off.after(seconds(0)).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        assert_eq!(back_off.after(seconds(6)), seconds(1));
        assert_eq!(back_off.after(seconds(0)), seconds(2));
    }
}
