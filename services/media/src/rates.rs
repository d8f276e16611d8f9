//! How much comes in a second.

use yizhan_talk::Timestamp;

/// How long is counted before a rate is known, µs.
const WINDOW: u64 = 2_000_000;

/// What came in, counted by the second.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    since: Timestamp,
    bytes: u64,
    frames: u64,
    shown: Shown,
}

/// Rates that are known.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Shown {
    /// Bits a second, all tracks.
    pub(crate) bits: u64,
    /// Pictures a second.
    pub(crate) fps: f32,
}

impl Rates {
    pub(crate) fn add(&mut self, bytes: usize, is_picture: bool) {
        self.bytes += bytes as u64;
        self.frames += u64::from(is_picture);
    }

    /// The rates of the last window that is over.
    pub(crate) fn turn(&mut self, now: Timestamp) -> Shown {
        if self.since == Timestamp::default() {
            self.since = now;
        }
        let micros = u64::try_from(now.since(self.since).as_micros()).unwrap_or(u64::MAX);
        if micros >= WINDOW {
            self.shown = Shown {
                bits: self.bytes.saturating_mul(8_000_000) / micros,
                fps: (self.frames as f64 * 1e6 / micros as f64) as f32,
            };
            (self.since, self.bytes, self.frames) = (now, 0, 0);
        }
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_window_before() {
        let mut rates = Rates::default();
        let at = |millis: u64| Timestamp::from_millis(5_000 + millis);
        assert_eq!(rates.turn(at(0)), Shown::default());
        for _ in 0..50 {
            rates.add(1000, true);
        }
        assert_eq!(rates.turn(at(2000)), Shown { bits: 200_000, fps: 25.0 });
        assert_eq!(rates.turn(at(3000)), Shown { bits: 200_000, fps: 25.0 });
        assert_eq!(rates.turn(at(4000)), Shown::default());
    }
}
