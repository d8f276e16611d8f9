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
/// A track that jumps so soon after the other one, µs, makes the same jump.
const TOGETHER: i64 = 2_000_000;
/// A track whose newest frame came within this, µs, says where the broadcast is.
const FRESH: i64 = 1_000_000;

/// Makes the timestamps of one broadcast.
#[derive(Debug, Default)]
pub(crate) struct Mend {
    /// What is added to the publisher's timestamps since its newest jump, µs; none before its first frame.
    offset: Option<i64>,
    /// When that jump was found.
    jumped: Timestamp,
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
    /// What is added to its timestamps, µs: it may not have jumped yet when another track has.
    offset: Option<i64>,
    /// What was added before: a single frame may have jumped.
    before: Option<i64>,
    last: Option<i64>,
    /// When the newest frame came.
    came: Timestamp,
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
        for track in &mut self.tracks {
            track.offset = None;
            track.before = None;
            track.counted = None;
        }
    }

    /// Where a frame stands that its publisher puts at `dts`, µs.
    pub(crate) fn place(&mut self, now: Timestamp, kind: Kind, dts: i64, sound: Option<Detail>) -> i64 {
        if self.kept {
            return self.put(now, kind, dts, None);
        }
        let newest = self.newest.unwrap_or(0);
        if kind == Kind::Data {
            // What stands beside says nothing about the clock: many encoders put 0 there.
            let wanted = self.offset.map(|offset| dts.saturating_add(offset));
            let near = newest.saturating_sub(BACK_MAX)..=newest.saturating_add(AHEAD_MAX);
            return self.put(now, kind, wanted.filter(|at| near.contains(at)).unwrap_or(newest), None);
        }
        let offset = self.offset.unwrap_or_else(|| {
            // The gap between two publishers is as long as it was.
            let passed = micros_between(self.came, now);
            let begin = self.newest.map_or(0, |at| at.saturating_add(passed.clamp(STEP_MIN, 3_600_000_000)));
            begin.saturating_sub(dts)
        });
        self.offset = Some(offset);
        let found = self.offset_of(now, kind, dts, offset);
        let track = &mut self.tracks[kind as usize];
        if track.offset.is_some_and(|offset| offset != found) {
            track.before = track.offset;
            track.counted = None;
        }
        track.offset = Some(found);
        self.put(now, kind, dts.saturating_add(found), sound)
    }

    /// What is to be added to this frame's timestamp: what its track has, what another track has since its jump, or
    /// what the track had before. Where it fits with none of them the clock has jumped.
    fn offset_of(&mut self, now: Timestamp, kind: Kind, dts: i64, shared: i64) -> i64 {
        let track = self.tracks[kind as usize];
        let newest = self.newest.unwrap_or(0);
        let floor = track.last.unwrap_or(newest);
        let expected = floor.saturating_add(track.step.max(STEP_MIN));
        let first = self.floor(now, kind, floor).saturating_sub(BACK_MAX);
        let last = newest.saturating_add(AHEAD_MAX).saturating_add(micros_between(self.came, now));
        let at = |offset: i64| dts.saturating_add(offset);
        let is_sane = |offset: &i64| (first..=last).contains(&at(*offset));
        let own = track.offset.unwrap_or(shared);
        let is_recent = micros_between(self.jumped, now) <= TOGETHER;
        let before = track.before.filter(|_| is_recent);
        let others = [Some(shared), before].into_iter().flatten().filter(is_sane);
        // Of those that are as near it is the first.
        let nearest = |offset: &i64| at(*offset).abs_diff(expected);
        let found = if !is_sane(&own) {
            others.min_by_key(nearest)
        } else if is_recent {
            std::iter::once(own).chain(others).min_by_key(nearest)
        } else {
            Some(own)
        };
        if let Some(offset) = found {
            // A frame alone had jumped, and its clock is back.
            if before == Some(offset) && offset != own {
                self.offset = Some(offset);
                self.jumped = now;
            }
            return offset;
        }
        self.jumps += 1;
        let offset = newest.max(expected).saturating_sub(dts);
        self.offset = Some(offset);
        self.jumped = now;
        offset
    }

    /// Where this track is, or the other one, where that is a little less: a frame that goes back to it has not
    /// jumped, but the one before had.
    fn floor(&self, now: Timestamp, kind: Kind, floor: i64) -> i64 {
        let other = self.tracks[if kind == Kind::Video { Kind::Audio } else { Kind::Video } as usize];
        match other.last {
            Some(last) if micros_between(other.came, now) <= FRESH => {
                last.clamp(floor.saturating_sub(AHEAD_MAX), floor)
            }
            _ => floor,
        }
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
            at = at.max(last.saturating_add(STEP_MIN));
            track.step = at.saturating_sub(last).min(BACK_MAX);
        }
        track.last = Some(at);
        track.came = now;
        self.newest = Some(self.newest.map_or(at, |newest| newest.max(at)));
        self.came = now;
        at
    }
}

/// Microseconds from one moment to a later one; 0 where it is not later.
fn micros_between(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.since(from).as_micros()).unwrap_or(i64::MAX)
}

impl Track {
    /// Where the count of samples puts this frame, if that is near to where it wants to be.
    fn count(&mut self, wanted: i64, samples: i64, rate: i64) -> i64 {
        if let Some((began, frames)) = self.counted {
            let expected = began.saturating_add((frames + 1) * samples * 1_000_000 / rate);
            if wanted.abs_diff(expected) <= ROUNDING_MAX.unsigned_abs() {
                self.counted = Some((began, frames + 1));
                return expected;
            }
        }
        self.counted = Some((wanted, 0));
        wanted
    }
}

#[cfg(test)]
mod properties;

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
