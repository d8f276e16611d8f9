//! One track's samples on their way into parts, and its clock.

use std::sync::Arc;

use crate::{
    cmaf::{Sample, VIDEO_SCALE, scale},
    frame::{Frame, Kind},
    track::{Detail, Track},
};

/// Sound frames that come this near to where the one before ends are taken to begin there: RTMP and FLV count
/// milliseconds, a frame of sound lasts 23.2 of them.
const SOUND_SLACK_MICROS: u64 = 2_000;
const SECOND_MICROS: i128 = 1_000_000;

/// A track's samples that no part has yet.
#[derive(Debug)]
pub(super) struct Lane {
    scale: u32,
    /// How many ticks a frame has, where all have as many.
    step: Option<u64>,
    /// The newest frame: how long it is tells the next one.
    open: Option<Open>,
    ready: Vec<Sample>,
    /// What the newest frame of `ready` lasts, ticks.
    lasted: Option<u32>,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    frame: Arc<Frame>,
    start: u64,
    offset: u32,
}

impl Lane {
    pub(super) fn new(track: &Track) -> Self {
        let step = match track.detail {
            Detail::Audio { frame_samples, .. } => {
                frame_samples.filter(|samples| *samples > 0).map(u64::from)
            }
            Detail::Video { .. } => None,
        };
        Self { scale: scale(track), step, open: None, ready: Vec::new(), lasted: None, bytes: 0 }
    }

    /// Takes a frame whose clock began at `origin`, microseconds; returns when it is decoded, microseconds from there.
    pub(super) fn push(&mut self, frame: &Arc<Frame>, origin: i64) -> i64 {
        let mut start = self.ticks(frame.dts.saturating_sub(origin));
        if let Some(open) = &self.open {
            let after = self.step.map(|step| open.start + step);
            let slack = SOUND_SLACK_MICROS * u64::from(self.scale) / 1_000_000;
            start = after.filter(|after| after.abs_diff(start) <= slack).unwrap_or(start).max(open.start + 1);
        }
        self.close(start);
        let shown = self.ticks(frame.pts().saturating_sub(origin)).max(start) - start;
        let offset = if frame.kind == Kind::Video { u32::try_from(shown).unwrap_or(0) } else { 0 };
        self.bytes += frame.data.len();
        self.open = Some(Open { frame: frame.clone(), start, offset });
        self.micros(start)
    }

    /// Ends the newest frame where it is likely to end, at most at `until`, microseconds; returns when that is, and
    /// `None` where nothing came.
    pub(super) fn finish(&mut self, until: Option<i64>) -> Option<i64> {
        let begin = self.open.as_ref()?.start;
        let usual = if self.scale == VIDEO_SCALE { self.scale / 30 } else { self.scale / 50 };
        let lasts = self.step.unwrap_or_else(|| u64::from(self.lasted.unwrap_or(usual))).max(1);
        let until = until.map_or(u64::MAX, |until| self.ticks(until));
        let end = if until > begin { (begin + lasts).min(until) } else { begin + lasts };
        self.close(end);
        Some(self.micros(end))
    }

    /// Takes out what is decoded before `end`, microseconds, and has an end of its own.
    pub(super) fn take(&mut self, end: i64) -> Vec<Sample> {
        let count = self.ready.partition_point(|sample| self.micros(sample.start) < end);
        let taken: Vec<_> = self.ready.drain(..count).collect();
        self.bytes -= taken.iter().map(|sample| sample.frame.data.len()).sum::<usize>();
        taken
    }

    /// When the newest frame is decoded, and how long the one before it lasted, microseconds.
    pub(super) fn newest(&self) -> Option<(i64, i64)> {
        let open = self.open.as_ref()?;
        Some((self.micros(open.start), self.lasted.map_or(0, |lasted| self.micros(u64::from(lasted)))))
    }

    /// When the frame before the newest is decoded, microseconds, where no part has it.
    pub(super) fn before_newest(&self) -> Option<i64> {
        self.ready.last().map(|sample| self.micros(sample.start))
    }

    /// Whether a part would have something of it.
    pub(super) fn has_before(&self, end: i64) -> bool {
        self.ready.first().is_some_and(|sample| self.micros(sample.start) < end)
    }

    /// Samples that wait for a part, and their bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.ready.len(), self.bytes)
    }

    fn close(&mut self, end: u64) {
        let Some(Open { frame, start, offset }) = self.open.take() else { return };
        let duration = u32::try_from(end - start).unwrap_or(u32::MAX);
        self.lasted = Some(duration);
        self.ready.push(Sample { frame, start, duration, offset });
    }

    /// Rounded to the nearest; never below the beginning.
    fn ticks(&self, micros: i64) -> u64 {
        let ticks =
            (i128::from(micros) * i128::from(self.scale) + SECOND_MICROS / 2).div_euclid(SECOND_MICROS);
        u64::try_from(ticks.max(0)).unwrap_or(u64::MAX >> 1)
    }

    fn micros(&self, ticks: u64) -> i64 {
        let scale = i128::from(self.scale);
        i64::try_from((i128::from(ticks) * SECOND_MICROS + scale / 2) / scale).unwrap_or(i64::MAX >> 1)
    }
}
