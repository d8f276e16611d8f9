//! Frames that follow each other without a break, on their way into segments.

use std::sync::Arc;

use yizhan_talk::Timestamp;

use super::{
    cut::{Cut, micros},
    lane::Lane,
    piece::{Content, Head, Part, Piece, Segment},
};
use crate::{
    cmaf::Sample,
    frame::{Frame, Kind},
    track::{Setup, Track},
};

/// When sound is this far ahead of the picture, the picture has stopped, and parts are cut by the sound.
const STALL_MICROS: i64 = 2_000_000;
/// Samples of one track that a part may have.
const PART_SAMPLES_MAX: usize = 4096;
/// Bytes of one track that a part may have; beyond it a part ends, whatever the rule says.
const PART_BYTES_MAX: usize = 64 << 20;
/// Bytes that a segment may have; beyond it a segment ends, whatever the rule says.
const SEGMENT_BYTES_MAX: usize = 256 << 20;
/// The wall's clock and the broadcast's may differ by this much before segments follow the wall's again.
const WALL_SLACK_MICROS: i64 = 5_000_000;

/// A run of frames with the same tracks, none missing between them.
#[derive(Debug)]
pub(super) struct Run {
    setup: Arc<Setup>,
    /// The newest setup that was looked at: frames share theirs, so most are known by their address.
    seen: Arc<Setup>,
    video: Option<Lane>,
    audio: Option<Lane>,
    /// The broadcast's time that this packager counts as 0.
    origin: i64,
    start: i64,
    /// A moment on both clocks.
    wall: (i64, Timestamp),
    segment: Open,
    /// Nothing came out of it so far.
    fresh: bool,
}

/// The segment that is being made.
#[derive(Debug)]
struct Open {
    head: Arc<Head>,
    parts: Vec<Arc<Part>>,
    part_start: i64,
    bytes: usize,
}

/// How a frame's setup stands to that of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It goes on.
    Same,
    /// It goes on, with a track more, and nobody has seen anything yet.
    Grown,
    /// Another run begins with the next key frame: pictures are what they were, and go on here until then.
    AtKey,
    /// Another run begins.
    Other,
}

/// What a part is closed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    Part,
    Segment,
}

impl Run {
    /// A run that begins with this frame, and the number of its first segment.
    pub(super) fn new(frame: &Arc<Frame>, origin: i64, sequence: u64, discontinuity: bool) -> Self {
        let setup = frame.setup.clone();
        let lane = |track: &Option<Arc<Track>>| track.as_ref().map(|track| Lane::new(track));
        let start = frame.dts.saturating_sub(origin).max(0);
        let head = Head { sequence, start, at: frame.at, discontinuity, setup: setup.clone() };
        Self {
            video: lane(&setup.video),
            audio: lane(&setup.audio),
            origin,
            start,
            wall: (start, frame.at),
            segment: Open { head: Arc::new(head), parts: Vec::new(), part_start: start, bytes: 0 },
            fresh: true,
            seen: setup.clone(),
            setup,
        }
    }

    /// The number of the segment that is being made.
    pub(super) fn sequence(&self) -> u64 {
        self.segment.head.sequence
    }

    /// Whether anything came out of it.
    pub(super) fn has_given(&self) -> bool {
        !self.fresh
    }

    /// Whether frames of this setup go on here.
    pub(super) fn fits(&mut self, setup: &Arc<Setup>) -> Fit {
        if Arc::ptr_eq(&self.seen, setup) {
            return Fit::Same;
        }
        let (ours, theirs) = ([&self.setup.video, &self.setup.audio], [&setup.video, &setup.audio]);
        if self.setup.epoch != setup.epoch {
            Fit::Other
        } else if ours == theirs {
            self.seen = setup.clone();
            Fit::Same
        } else if self.fresh && self.setup.video == setup.video && self.setup.audio.is_none() {
            Fit::Grown
        } else if self.setup.video.is_some() && self.setup.video == setup.video {
            Fit::AtKey
        } else {
            Fit::Other
        }
    }

    /// Goes on with a setup that has sound, too.
    pub(super) fn grow(&mut self, setup: &Arc<Setup>) {
        self.audio = setup.audio.as_ref().map(|track| Lane::new(track));
        (self.setup, self.seen) = (setup.clone(), setup.clone());
        let head = Head { setup: setup.clone(), ..(*self.segment.head).clone() };
        self.segment.head = Arc::new(head);
    }

    /// Takes a frame of the run's tracks.
    pub(super) fn push(&mut self, cut: &Cut, frame: &Arc<Frame>, out: &mut Vec<Piece>) {
        match (frame.kind, &mut self.video, &mut self.audio) {
            (Kind::Video, Some(lane), _) => {
                let time = lane.push(frame, self.origin);
                self.cut_before(cut, time, frame, out);
            }
            (Kind::Audio, None, Some(lane)) => {
                let time = lane.push(frame, self.origin);
                self.cut_before(cut, time, frame, out);
            }
            // Sound of before the first picture is not for those who begin with it.
            (Kind::Audio, Some(video), Some(lane)) if frame.dts.saturating_sub(self.origin) >= self.start => {
                let time = lane.push(frame, self.origin);
                if video.newest().is_some_and(|(newest, _)| time - newest > STALL_MICROS) {
                    self.cut_stalled(cut, time, frame, out);
                }
            }
            _ => {}
        }
    }

    /// Ends all that is open; the next run begins at `until`, microseconds, where that is known.
    pub(super) fn finish(&mut self, until: Option<i64>, out: &mut Vec<Piece>) {
        let until = until.map(|until| until.saturating_sub(self.origin));
        let ends =
            [&mut self.video, &mut self.audio].map(|lane| lane.as_mut().and_then(|lane| lane.finish(until)));
        // The picture's end is the end, where there is one.
        let Some(end) = ends[0].or(ends[1]) else { return };
        let end = end.max(self.segment.part_start + 1);
        let video = self.video.as_mut().map(|lane| lane.take(i64::MAX)).unwrap_or_default();
        let audio = self.audio.as_mut().map(|lane| lane.take(i64::MAX)).unwrap_or_default();
        if !video.is_empty() || !audio.is_empty() {
            self.part(end, Close::Segment, video, audio, out);
        }
        self.close_segment(end, out);
    }

    /// Cuts before a frame of the main track, which has just come and is decoded at `time`.
    fn cut_before(&mut self, cut: &Cut, time: i64, frame: &Frame, out: &mut Vec<Piece>) {
        // The frame before was longer than thought: the part ends before it instead.
        let over = cut.is_too_long(time - self.segment.part_start);
        let before = self.main().and_then(Lane::before_newest);
        if let Some(before) = before.filter(|before| over && *before > self.segment.part_start) {
            self.cut_part(before, out);
        }
        let begun = self.segment.head.start;
        let big = self.segment.bytes > SEGMENT_BYTES_MAX;
        if (frame.key && cut.ends_segment(begun, time)) || cut.ends_by_force(begun, time) || big {
            self.cut_segment(time, frame.at, out);
            return;
        }
        let Some(lane) = self.main() else { return };
        let lasted = lane.newest().map_or(0, |(_, lasted)| lasted);
        let (samples, bytes) = lane.waiting();
        let full = samples >= PART_SAMPLES_MAX || bytes >= PART_BYTES_MAX;
        if full || cut.ends_part(time - self.segment.part_start, lasted) {
            self.cut_part(time, out);
        }
    }

    /// Cuts before a sound at `time` while the picture stands still.
    fn cut_stalled(&mut self, cut: &Cut, time: i64, frame: &Frame, out: &mut Vec<Piece>) {
        let full = self.audio.as_ref().is_some_and(|lane| lane.waiting().0 >= PART_SAMPLES_MAX);
        if cut.ends_by_force(self.segment.head.start, time) {
            self.cut_segment(time, frame.at, out);
        } else if full || cut.part.is_some_and(|part| time - self.segment.part_start >= micros(part)) {
            self.cut_part(time, out);
        }
    }

    fn cut_part(&mut self, time: i64, out: &mut Vec<Piece>) {
        if self.has_before(time) {
            let (video, audio) = self.take(time);
            self.part(time, Close::Part, video, audio, out);
        }
    }

    fn cut_segment(&mut self, time: i64, at: Timestamp, out: &mut Vec<Piece>) {
        if self.has_before(time) {
            let (video, audio) = self.take(time);
            self.part(time, Close::Segment, video, audio, out);
        }
        if !self.close_segment(time, out) {
            return;
        }
        let even = i128::from(self.wall.1.0) + i128::from(time - self.wall.0);
        if (even - i128::from(at.0)).abs() > i128::from(WALL_SLACK_MICROS) {
            self.wall = (time, at);
        }
        let at = Timestamp(self.wall.1.0.saturating_add_signed(time - self.wall.0));
        let head = Head {
            sequence: self.segment.head.sequence + 1,
            start: time,
            at,
            discontinuity: false,
            setup: self.setup.clone(),
        };
        self.segment = Open { head: Arc::new(head), parts: Vec::new(), part_start: time, bytes: 0 };
    }

    /// Gives the segment out, where it has parts.
    fn close_segment(&mut self, end: i64, out: &mut Vec<Piece>) -> bool {
        let parts = std::mem::take(&mut self.segment.parts);
        if parts.is_empty() {
            return false;
        }
        let head = self.segment.head.clone();
        let duration = end - head.start;
        out.push(Piece::Segment(Arc::new(Segment::new(head, duration, parts))));
        true
    }

    /// Gives a part out that ends at `end`.
    fn part(&mut self, end: i64, close: Close, video: Vec<Sample>, audio: Vec<Sample>, out: &mut Vec<Piece>) {
        let start = self.segment.part_start;
        let last = close == Close::Segment;
        // A segment of more parts than 32 bits count does not fit into memory.
        let index = self.segment.parts.len() as u32;
        self.segment.bytes += video.iter().chain(&audio).map(|sample| sample.frame.data.len()).sum::<usize>();
        let content = Content { start, duration: end - start, last, video, audio };
        let part = Arc::new(Part::new(self.segment.head.clone(), index, content));
        self.segment.parts.push(part.clone());
        self.segment.part_start = end;
        self.fresh = false;
        out.push(Piece::Part(part));
    }

    /// The track that cuts: the picture's, or the only one.
    fn main(&self) -> Option<&Lane> {
        self.video.as_ref().or(self.audio.as_ref())
    }

    fn has_before(&self, time: i64) -> bool {
        time > self.segment.part_start
            && [&self.video, &self.audio].into_iter().flatten().any(|lane| lane.has_before(time))
    }

    fn take(&mut self, time: i64) -> (Vec<Sample>, Vec<Sample>) {
        let of = |lane: &mut Option<Lane>| lane.as_mut().map(|lane| lane.take(time)).unwrap_or_default();
        (of(&mut self.video), of(&mut self.audio))
    }
}
