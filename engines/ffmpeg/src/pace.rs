//! Whether what comes out keeps up with what goes in.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Readings that are kept at most; one is taken every [`EVERY`].
const READINGS_MAX: usize = 64;
/// Readings closer together than this are left out.
const EVERY: Duration = Duration::from_millis(500);

/// Compares two clocks over a while: that of the source, and that of what was made of it. A source that pauses is not
/// held against the child.
#[derive(Debug, Clone)]
pub struct Pace {
    window: Duration,
    readings: VecDeque<(Instant, i64, i64)>,
}

impl Pace {
    /// Looks at the newest `window`, at most half a minute.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self { window: window.min(EVERY * (READINGS_MAX as u32 - 4)), readings: VecDeque::new() }
    }

    /// At `now` the source is at `source` and its product at `made`, microseconds each.
    pub fn note(&mut self, now: Instant, source: i64, made: i64) {
        if self.readings.back().is_some_and(|(at, ..)| now.duration_since(*at) < EVERY) {
            return;
        }
        self.readings.push_back((now, source, made));
        // One reading older than the window stays: the window is covered from there.
        while self.readings.len() >= 2
            && (now.duration_since(self.readings[1].0) >= self.window || self.readings.len() > READINGS_MAX)
        {
            self.readings.pop_front();
        }
    }

    /// Seconds made of each second that came in; `None` before a whole window was seen, or while nothing came in.
    #[must_use]
    pub fn speed(&self) -> Option<f64> {
        let ((first, source_then, made_then), (last, source, made)) =
            (self.readings.front()?, self.readings.back()?);
        let came = source.saturating_sub(*source_then);
        if last.duration_since(*first) < self.window || came <= 0 {
            return None;
        }
        Some(made.saturating_sub(*made_then).max(0) as f64 / came as f64)
    }

    /// Forgets all readings.
    pub fn clear(&mut self) {
        self.readings.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_makes_less_than_comes_in_is_slow() {
        let begin = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(10));
        for second in 0..10_i64 {
            pace.note(begin + Duration::from_secs(second as u64), second * 1_000_000, second * 900_000);
            assert_eq!(pace.speed(), None, "{second}");
        }
        pace.note(begin + Duration::from_secs(10), 10_000_000, 9_000_000);
        assert!((pace.speed().unwrap() - 0.9).abs() < 1e-9);
        for second in 11..40_i64 {
            pace.note(begin + Duration::from_secs(second as u64), second * 1_000_000, second * 1_000_000);
        }
        assert!((pace.speed().unwrap() - 1.0).abs() < 1e-9);
        assert!(pace.readings.len() <= 12);
    }

    #[test]
    fn a_source_that_pauses_makes_nobody_slow() {
        let begin = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(2));
        for tick in 0..100 {
            pace.note(begin + Duration::from_millis(tick * 200), 5, 5);
        }
        assert_eq!(pace.speed(), None);
        assert!(pace.readings.len() <= READINGS_MAX);
    }
}
