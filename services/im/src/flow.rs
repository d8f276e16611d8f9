//! What flows through a chatroom when more is said than anybody can read: the less something matters, the earlier it
//! is thinned out.

use std::time::{Duration, Instant};

use crate::content::Priority;

/// How much is let through at once after a pause: so many seconds' worth.
const BURST_SECONDS: f64 = 2.0;

/// A bucket into which so much flows in a second. What matters more may take more of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flow {
    /// What is in it, and since when; `None` while it was never used: it is full.
    level: Option<(f64, Instant)>,
}

impl Flow {
    /// Lets something through.
    ///
    /// # Errors
    /// It is thinned out; so long it would have to wait.
    pub(crate) fn take(&mut self, now: Instant, per_second: u32, priority: Priority) -> Result<(), Duration> {
        let rate = f64::from(per_second.max(1));
        let full = rate * BURST_SECONDS;
        let level = self.level.map_or(full, |(level, at)| {
            (level + now.saturating_duration_since(at).as_secs_f64() * rate).min(full)
        });
        // What is left for those that matter more.
        let reserve = match priority {
            Priority::Low => full / 2.0,
            Priority::Normal => full / 8.0,
            Priority::High => 0.0,
        };
        let after = level - 1.0;
        let (left, taken) = if after >= reserve {
            (after, Ok(()))
        } else {
            (level, Err(Duration::from_secs_f64((reserve - after) / rate)))
        };
        self.level = Some((left, now));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten times as much as may pass, in equal parts for 20 seconds; gives what passes of each priority.
    fn overload(per_second: u32) -> [u32; 3] {
        let (mut flow, start) = (Flow::default(), Instant::now());
        let mut passed = [0; 3];
        let steps = per_second * 10 * 20 / 3;
        for step in 0..steps {
            let now = start + Duration::from_secs_f64(20.0 * f64::from(step) / f64::from(steps));
            for (place, priority) in [Priority::Low, Priority::Normal, Priority::High].into_iter().enumerate()
            {
                passed[place] += u32::from(flow.take(now, per_second, priority).is_ok());
            }
        }
        passed
    }

    #[test]
    fn what_matters_least_goes_first() {
        let [low, normal, high] = overload(100);
        assert!(low < normal && normal < high, "{low} {normal} {high}");
        assert!(low + normal + high <= 100 * 22, "no more than the rate and the burst");
        assert!(low <= 110, "only the first burst: {low}");
    }

    #[test]
    fn high_passes_all_where_ordinary_messages_flood() {
        let (mut flow, start) = (Flow::default(), Instant::now());
        let mut lost = 0;
        for millis in 0..10_000_u64 {
            let now = start + Duration::from_millis(millis);
            // A thousand a second, where a hundred pass.
            flow.take(now, 100, Priority::Normal).ok();
            if millis % 100 == 0 {
                lost += u32::from(flow.take(now, 100, Priority::High).is_err());
            }
        }
        assert_eq!(lost, 0);
    }

    #[test]
    fn who_waits_as_told_passes() {
        let (mut flow, mut now) = (Flow::default(), Instant::now());
        while flow.take(now, 10, Priority::Normal).is_ok() {}
        let wait = flow.take(now, 10, Priority::Normal).unwrap_err();
        now += wait + Duration::from_micros(1);
        assert!(flow.take(now, 10, Priority::Normal).is_ok());
    }
}
