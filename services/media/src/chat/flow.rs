//! How much of a chat passes when more is said than anybody can read, and how often one person may speak.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

/// So many seconds' worth pass at once after a pause.
const BURST_SECONDS: f64 = 2.0;
/// People whose last text is remembered, in one broadcast; beyond it slow mode holds for those who are.
const PEOPLE_MAX: usize = 100_000;

/// How much somebody's texts matter when not all of them pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// Of people without an account.
    Guest,
    /// Of people with one.
    Account,
    /// Of the publisher and of admins.
    Leader,
}

impl Weight {
    /// The part of a full bucket that is kept for those who matter more.
    fn reserve(self) -> f64 {
        match self {
            Self::Guest => 0.4,
            Self::Account => 0.1,
            Self::Leader => 0.0,
        }
    }
}

/// A bucket that texts are taken out of and time flows into.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// How empty it was, and when.
    used: Option<(f64, Instant)>,
}

impl Flow {
    /// Lets a text pass.
    ///
    /// # Errors
    /// It is dropped; another one would pass after so long.
    pub(crate) fn take(&mut self, now: Instant, per_second: u32, weight: Weight) -> Result<(), Duration> {
        let rate = f64::from(per_second.max(1));
        let room = (rate * BURST_SECONDS).max(1.0);
        let used = self.used.map_or(0.0, |(used, at)| {
            (used - now.saturating_duration_since(at).as_secs_f64() * rate).max(0.0)
        });
        // One text always fits, however small the bucket is.
        let usable = (room * (1.0 - weight.reserve())).max(1.0);
        let after = used + 1.0;
        if after > usable + 1e-9 {
            self.used = Some((used, now));
            return Err(Duration::from_secs_f64((after - usable) / rate));
        }
        self.used = Some((after, now));
        Ok(())
    }
}

/// When each person has spoken last.
#[derive(Debug, Default)]
pub(crate) struct Pace(FxHashMap<String, Instant>);

impl Pace {
    /// How long somebody has still to wait; `None`: they may speak.
    pub(crate) fn waits(&self, now: Instant, who: &str, between: Duration) -> Option<Duration> {
        let since = now.saturating_duration_since(*self.0.get(who)?);
        between.checked_sub(since).filter(|wait| !wait.is_zero())
    }

    /// Somebody has spoken.
    pub(crate) fn spoke(&mut self, now: Instant, who: &str, between: Duration) {
        if between.is_zero() {
            return;
        }
        if self.0.len() >= PEOPLE_MAX {
            self.forget(now, between);
        }
        if self.0.len() < PEOPLE_MAX || self.0.contains_key(who) {
            self.0.insert(who.to_owned(), now);
        }
    }

    /// Forgets those who have waited long enough.
    pub(crate) fn forget(&mut self, now: Instant, between: Duration) {
        self.0.retain(|_, last| now.saturating_duration_since(*last) < between);
        if self.0.is_empty() {
            self.0 = FxHashMap::default();
        }
    }

    /// Whether nobody is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_too_much_is_said_the_rate_passes_and_leaders_always_do() {
        let (mut flow, start) = (Flow::default(), Instant::now());
        let mut passed = [0, 0, 0];
        // 1,000 texts a second for ten seconds, one of a hundred by a leader.
        for millis in 0..10_000_u64 {
            let now = start + Duration::from_millis(millis);
            let (place, weight) = match millis % 100 {
                0 => (2, Weight::Leader),
                odd if odd % 2 == 1 => (1, Weight::Account),
                _ => (0, Weight::Guest),
            };
            passed[place] += u32::from(flow.take(now, 50, weight).is_ok());
        }
        assert_eq!(passed[2], 100, "leaders lose nothing");
        assert!(passed[0] < passed[1], "{passed:?}");
        assert!((500..=600).contains(&passed.iter().sum::<u32>()), "the rate and one burst: {passed:?}");
    }

    #[test]
    fn who_waits_as_told_passes_also_where_little_does() {
        for (rate, weight) in
            [(1, Weight::Guest), (1, Weight::Leader), (7, Weight::Account), (100, Weight::Guest)]
        {
            let (mut flow, mut now) = (Flow::default(), Instant::now());
            let mut first = 0;
            let wait = loop {
                match flow.take(now, rate, weight) {
                    Ok(()) => first += 1,
                    Err(wait) => break wait,
                }
            };
            assert!(first >= 1 && first <= rate * 2);
            now += wait + Duration::from_micros(1);
            assert!(flow.take(now, rate, weight).is_ok(), "{rate} {weight:?} {wait:?}");
        }
    }

    #[test]
    fn one_person_waits_between_two_texts_and_is_forgotten_then() {
        let (mut pace, now, slow) = (Pace::default(), Instant::now(), Duration::from_secs(5));
        assert_eq!(pace.waits(now, "ann", slow), None);
        pace.spoke(now, "ann", slow);
        let later = now + Duration::from_secs(2);
        assert_eq!(pace.waits(later, "ann", slow), Some(Duration::from_secs(3)));
        assert_eq!(pace.waits(later, "bob", slow), None);
        assert_eq!(pace.waits(now + slow, "ann", slow), None);
        pace.forget(now + slow, slow);
        assert!(pace.is_empty());
        pace.spoke(now, "ann", Duration::ZERO);
        assert!(pace.is_empty(), "without slow mode nobody is remembered");
    }

    #[test]
    fn a_crowd_in_slow_mode_is_bounded() {
        let (mut pace, now, slow) = (Pace::default(), Instant::now(), Duration::from_secs(60));
        for number in 0..PEOPLE_MAX + 10 {
            pace.spoke(now, &number.to_string(), slow);
        }
        assert_eq!(pace.0.len(), PEOPLE_MAX);
    }
}
