//! Counting without locks: what the hot path can afford.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn one(&self) {
        self.0.fetch_add(1, Relaxed);
    }
    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }
    /// The number now.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// One more.
    pub fn up(&self) {
        self.0.fetch_add(1, Relaxed);
    }
    /// One less.
    pub fn down(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
    /// `n` more, or less where `n` is negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }
    /// Exactly `n`.
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }
    /// The number now.
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Buckets of a [`Histogram`]: four to each power of two of microseconds, from 1 µs to about 67 s.
pub const BUCKETS: usize = 27 * 4;

/// Durations in buckets a quarter of a power of two wide (a reading is at most 19 % off).
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_micros: AtomicU64,
    max_micros: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum_micros: AtomicU64::new(0),
            max_micros: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, took: Duration) {
        self.record_many(took, 1);
    }

    /// Counts `n` durations that were alike.
    pub fn record_many(&self, took: Duration, n: u64) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(micros)].fetch_add(n, Relaxed);
        self.sum_micros.fetch_add(micros.saturating_mul(n), Relaxed);
        self.max_micros.fetch_max(micros, Relaxed);
    }

    /// A copy of the counts, bucket by bucket, for quantiles over a window (subtract two of them).
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            counts: std::array::from_fn(|i| self.buckets[i].load(Relaxed)),
            sum_micros: self.sum_micros.load(Relaxed),
            max_micros: self.max_micros.load(Relaxed),
        }
    }
}

/// What a [`Histogram`] held at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Durations counted in each bucket; bucket `i` ends at [`bucket_end`]`(i)`.
    pub counts: [u64; BUCKETS],
    /// All durations added up, µs.
    pub sum_micros: u64,
    /// The longest since the start, µs.
    pub max_micros: u64,
}

impl Snapshot {
    /// How many durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            counts: std::array::from_fn(|i| self.counts[i].saturating_sub(earlier.counts[i])),
            sum_micros: self.sum_micros.saturating_sub(earlier.sum_micros),
            max_micros: self.max_micros,
        }
    }

    /// The duration below which the fraction `q` (0 to 1) of all lie, µs; zero where nothing was counted.
    #[must_use]
    pub fn quantile_micros(&self, q: f64) -> u64 {
        let count = self.count();
        if count == 0 {
            return 0;
        }
        let rank = ((count as f64 * q).ceil() as u64).clamp(1, count);
        let mut seen = 0;
        for (i, n) in self.counts.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return bucket_end(i).min(self.max_micros.max(1));
            }
        }
        self.max_micros
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < 4 {
        return micros as usize;
    }
    let power = 63 - micros.leading_zeros() as usize;
    let quarter = (micros >> (power - 2)) as usize & 3;
    ((power - 1) * 4 + quarter).min(BUCKETS - 1)
}

/// The first microsecond that bucket `i` does not hold.
#[must_use]
pub fn bucket_end(i: usize) -> u64 {
    if i < 4 {
        return i as u64 + 1;
    }
    let (power, quarter) = (i / 4 + 1, i as u64 % 4);
    (4 + quarter + 1) << (power - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_below_its_buckets_end_and_not_below_the_one_before() {
        for micros in (0..5000).chain((12..26).map(|p| (1 << p) + 7)) {
            let i = bucket_of(micros);
            assert!(micros < bucket_end(i), "{micros} in {i}");
            assert!(i == 0 || micros >= bucket_end(i - 1), "{micros} in {i}");
        }
    }

    #[test]
    fn quantiles_come_from_the_window() {
        let histogram = Histogram::default();
        histogram.record_many(Duration::from_micros(100), 1000);
        let before = histogram.snapshot();
        histogram.record_many(Duration::from_micros(10), 99);
        histogram.record(Duration::from_millis(5));
        let window = histogram.snapshot().since(&before);
        assert_eq!(window.count(), 100);
        assert!((10..13).contains(&window.quantile_micros(0.5)));
        assert!(window.quantile_micros(1.0) >= 5000);
    }
}
