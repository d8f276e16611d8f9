//! A publisher's clock becomes the broadcast's: jumps are closed, wraps and restarts go on, nothing goes back.

use yizhan_talk::Timestamp;

use crate::{frame::Kind, track::Detail};

/// A frame that would stand so much after the newest one, µs, has jumped, unless as much time has passed.
const AHEAD_MAX: i64 = 3_000_000;
/// A frame that would stand so much before the newest one of its track, µs, has jumped.
const BACK_MAX: i64 = 1_000_000;
/// Frames of a track are at least so far from each other, µs: a millisecond, which FLV can tell apart.
const STEP_MIN: i64 = 1_000;
/// Sound whose timestamps differ from its count of samples by no more than this, µs, stands where the count says:
/// FLV's milliseconds are rounded.
const ROUNDING_MAX: i64 = 2_500;

/// Makes the timestamps of one broadcast.
#[derive(Debug, Default)]
pub(crate) struct Mend {
    /// What is added to the publisher's timestamps, µs; none before its first frame.
    offset: Option<i64>,
    /// What was added before its last jump: the other track may not have jumped yet.
    before: Option<i64>,
    /// The newest timestamp of all tracks, µs.
    newest: Option<i64>,
    /// When the newest frame came.
    came: Timestamp,
    tracks: [Track; 3],
    /// How often the publisher's clock has jumped.
    pub(crate) jumps: u64,
    /// Its timestamps are those of another broadcast: nothing is moved, but nothing goes back.
    kept: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Track {
    last: Option<i64>,
    /// From the frame before, µs.
    step: i64,
    /// Where counting of samples began, µs, and how many frames were counted since.
    counted: Option<(i64, i64)>,
}

impl Mend {
    /// For a publisher whose timestamps are another broadcast's: they stay as they are.
    pub(crate) fn keeping() -> Self {
        Self { kept: true, ..Self::default() }
    }

    /// Another publisher goes on: its clock begins anew.
    pub(crate) fn new_epoch(&mut self) {
        self.offset = None;
        self.before = None;
        for track in &mut self.tracks {
            track.counted = None;
        }
    }

    /// Where a frame stands that its publisher puts at `dts`, µs.
    pub(crate) fn place(&mut self, now: Timestamp, kind: Kind, dts: i64, sound: Option<Detail>) -> i64 {
        if self.kept {
            return self.put(now, kind, dts, None);
        }
        let passed = i64::try_from(now.since(self.came).as_micros()).unwrap_or(i64::MAX);
        let track = self.tracks[kind as usize];
        let step = if track.step > 0 { track.step } else { STEP_MIN };
        let Some(newest) = self.newest else {
            self.offset = Some(0_i64.saturating_sub(dts));
            return self.put(now, kind, 0, sound);
        };
        let mut wanted = match self.offset {
            Some(offset) => dts.saturating_add(offset),
            None => {
                // The gap between two publishers is as long as it was.
                let begin = newest.saturating_add(passed.clamp(step, 3_600_000_000));
                self.offset = Some(begin.saturating_sub(dts));
                begin
            }
        };
        let floor = track.last.unwrap_or(newest);
        let sane = |at: i64| {
            at >= floor.saturating_sub(BACK_MAX)
                && at <= newest.saturating_add(AHEAD_MAX).saturating_add(passed)
        };
        if !sane(wanted) {
            match self.before.map(|before| dts.saturating_add(before)).filter(|at| sane(*at)) {
                Some(at) => wanted = at,
                None => {
                    self.jumps += 1;
                    self.before = self.offset;
                    wanted = newest.max(floor.saturating_add(step));
                    self.offset = Some(wanted.saturating_sub(dts));
                    self.tracks[kind as usize].counted = None;
                }
            }
        }
        self.put(now, kind, wanted, sound)
    }

    fn put(&mut self, now: Timestamp, kind: Kind, wanted: i64, sound: Option<Detail>) -> i64 {
        let track = &mut self.tracks[kind as usize];
        let mut at = wanted.max(0);
        if let Some(Detail::Audio { rate, frame_samples: Some(samples), .. }) = sound
            && rate > 0
        {
            at = track.count(at, i64::from(samples), i64::from(rate));
        }
        if let Some(last) = track.last {
            at = at.max(last + STEP_MIN);
            track.step = (at - last).min(BACK_MAX);
        }
        track.last = Some(at);
        self.newest = Some(self.newest.map_or(at, |newest| newest.max(at)));
        self.came = now;
        at
    }
}

impl Track {
    /// Where the count of samples puts this frame, if that is near to where it wants to be.
    fn count(&mut self, wanted: i64, samples: i64, rate: i64) -> i64 {
        if let Some((began, frames)) = self.counted {
            let expected = began + (frames + 1) * samples * 1_000_000 / rate;
            if (wanted - expected).abs() <= ROUNDING_MAX {
                self.counted = Some((began, frames + 1));
                return expected;
            }
        }
        self.counted = Some((wanted, 0));
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Detail = Detail::Audio { rate: 44_100, channels: 2, frame_samples: Some(1024) };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis as u64)
    }

    #[test]
    fn a_good_clock_stays_as_it_is_but_begins_with_zero() {
        let mut mend = Mend::default();
        for i in 0..100 {
            assert_eq!(mend.place(at(i * 40), Kind::Video, 7_000_000 + i * 40_000, None), i * 40_000);
        }
        assert_eq!(mend.jumps, 0);
    }

    #[test]
    fn rounded_sound_stands_where_its_samples_are() {
        let mut mend = Mend::default();
        for i in 0..1000 {
            let exact = i * 1024 * 1_000_000 / 44_100;
            let rounded = (exact + 500) / 1000 * 1000;
            assert_eq!(mend.place(at(exact / 1000), Kind::Audio, rounded, Some(SOUND)), exact);
        }
    }

    #[test]
    fn a_jump_of_both_tracks_keeps_them_together() {
        let mut mend = Mend::default();
        let mut last = (0, 0);
        for i in 0..200_i64 {
            // The picture jumps at frame 100, the sound a little later.
            let jump = |from| if i >= from { -50_000_000 } else { 0 };
            let picture = mend.place(at(i * 40), Kind::Video, 100_000_000 + i * 40_000 + jump(100), None);
            let sound = mend.place(at(i * 40), Kind::Audio, 100_000_000 + i * 40_000 + jump(103), None);
            assert!(picture >= last.0 && sound >= last.1, "{i}");
            assert!((picture - sound).abs() <= 80_000, "{i}: {picture} {sound}");
            last = (picture, sound);
        }
        assert!(mend.jumps <= 2);
    }

    #[test]
    fn another_publisher_goes_on_behind_the_gap() {
        let mut mend = Mend::default();
        mend.place(at(0), Kind::Video, 0, None);
        mend.place(at(40), Kind::Video, 40_000, None);
        mend.new_epoch();
        assert_eq!(mend.place(at(3040), Kind::Video, 500_000_000, None), 3_040_000);
        assert_eq!(mend.place(at(3080), Kind::Video, 500_040_000, None), 3_080_000);
    }

    #[test]
    fn a_pause_that_really_was_one_is_no_jump() {
        let mut mend = Mend::default();
        mend.place(at(0), Kind::Video, 0, None);
        assert_eq!(mend.place(at(20_000), Kind::Video, 20_000_000, None), 20_000_000);
        assert_eq!(mend.jumps, 0);
        assert_eq!(mend.place(at(20_040), Kind::Video, 90_000_000, None), 21_000_000);
        assert_eq!(mend.jumps, 1);
    }

    #[test]
    fn the_ends_of_numbers_do_no_harm() {
        let mut mend = Mend::default();
        let mut last = -1;
        for dts in [0, i64::MAX, i64::MIN, -1, i64::MAX, 5, i64::MIN, i64::MAX - 1] {
            let placed = mend.place(at(0), Kind::Video, dts, None);
            assert!(placed > last);
            last = placed;
        }
    }
}
