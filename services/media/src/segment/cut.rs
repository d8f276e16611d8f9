//! Where segments and parts end.

use std::time::Duration;

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// How long a segment is to be. Time is divided into slots of this length, and the first key frame in each begins a
    /// segment, whenever the packager began: so the rungs of a ladder are cut where their source is.
    pub segment: Duration,
    /// Where key frames stay away for this long, the next frame begins a segment that nobody can begin with.
    pub segment_max: Duration,
    /// How long parts are to be; `None` where a segment is one part.
    pub part: Option<Duration>,
}

impl Default for Cut {
    fn default() -> Self {
        Self {
            segment: Duration::from_secs(2),
            segment_max: Duration::from_secs(20),
            part: Some(Duration::from_millis(200)),
        }
    }
}

impl Cut {
    /// What to announce as `PART-TARGET`: a tenth more than [`part`](Self::part), so that parts of whole frames fit
    /// between 85 and 100 percent of it at the usual frame rates (RFC 8216bis §4.4.4.9). Zero without parts.
    ///
    /// A part is longer only where one frame alone is.
    #[must_use]
    pub fn part_max(&self) -> Duration {
        self.part.map_or(Duration::ZERO, |part| part + part / 10)
    }

    /// Whether a key frame at `time` ends the segment that began at `start`, both microseconds.
    pub(super) fn ends_segment(&self, start: i64, time: i64) -> bool {
        let target = micros(self.segment).max(1);
        let span = time - start;
        // A key frame that is meant for a slot's beginning may come a little early.
        let slot = |time: i64| (time + target / 16).div_euclid(target);
        span >= target - target / 20 || (span >= target / 2 && slot(time) != slot(start))
    }

    /// Whether a segment that began at `start` ends at `time` whatever the frame is.
    pub(super) fn ends_by_force(&self, start: i64, time: i64) -> bool {
        time - start >= micros(self.segment_max.max(self.segment)).max(1)
    }

    /// Whether a part that is `span` long ends before a frame that may be `next` long, microseconds: where it is closer
    /// to the target without it, or too long with it.
    pub(super) fn ends_part(&self, span: i64, next: i64) -> bool {
        let Some(part) = self.part.map(micros) else { return false };
        span > 0 && (span + next > micros(self.part_max()) || 2 * span + next >= 2 * part)
    }

    /// Whether a part of this length is longer than announced, microseconds.
    pub(super) fn is_too_long(&self, span: i64) -> bool {
        self.part.is_some() && span > micros(self.part_max())
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}
