//! The newest segments of a broadcast: as many as playlists list, and a few more for those who are slow.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use yizhan_media::{
    Kind, Setup,
    segment::{Cut, Head, Part, Piece, Segment},
};
use yizhan_talk::Timestamp;

use super::{Awaited, Numbers, tracks};
use crate::{
    config::Config,
    names::Rendition,
    playlist::{media::Rules, reload::Edge},
};

/// Segments that stay when playlists list them no more.
const UNLISTED_MAX: usize = 12;
/// Segments that stay whatever they weigh.
const SEGMENTS_MIN: usize = 3;
/// Microseconds in a second.
const SECOND: u64 = 1_000_000;

pub(super) struct Window {
    /// Complete ones, oldest first, numbered without a hole.
    pub(super) kept: VecDeque<Kept>,
    /// How many of them, from the end, playlists list.
    pub(super) listed: usize,
    /// The one that is being made.
    pub(super) open: Option<Open>,
    /// Its number, or that of the next one to begin.
    pub(super) next: u64,
    /// Discontinuities up to the newest segment, itself included.
    pub(super) discontinuities: u64,
    /// No segment is longer, seconds; is never lowered.
    pub(super) target_duration: u64,
    /// No part is longer, microseconds; is never lowered. More than the cut says only where one frame alone is longer.
    part_target: u64,
    /// A moment on the broadcast's clock and on the wall's: the source's, where this is a rung.
    pub(super) clock: Option<(i64, u64)>,
    /// When the first segment of all began, microseconds since 1970.
    pub(super) began: u64,
    /// Times that are decoded in one go, as far as segments of them are there.
    pub(super) runs: VecDeque<Run>,
    /// When it was over.
    pub(super) ended: Option<Timestamp>,
    /// Counts the changes.
    pub(super) version: u64,
    pub(super) cut: Cut,
    segments_min: usize,
    time_shift: u64,
    bytes_max: usize,
}

/// A complete segment.
pub(super) struct Kept {
    pub(super) segment: Arc<Segment>,
    /// Discontinuities up to it, itself included.
    pub(super) run: u64,
    /// When it began, microseconds since 1970.
    pub(super) wall: u64,
    /// Bytes of picture and of sound.
    bytes: [u64; 2],
}

/// A time that is decoded in one go.
pub(super) struct Run {
    /// As in [`Kept::run`].
    pub(super) number: u64,
    /// When it began on the broadcast's clock, microseconds.
    pub(super) start: i64,
    /// When it began, microseconds since 1970; not before the one before it was over.
    pub(super) wall: u64,
}

/// The segment that is being made.
pub(super) struct Open {
    pub(super) head: Arc<Head>,
    pub(super) wall: u64,
    pub(super) parts: Vec<Arc<Part>>,
}

/// Where a rung begins among its source's segments.
pub(super) struct At {
    pub(super) numbers: Numbers,
    pub(super) clock: (i64, u64),
}

/// Bits a second of picture and of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rates {
    /// In the largest segment.
    pub(crate) peak: [u64; 2],
    /// In the middle.
    pub(crate) average: [u64; 2],
}

impl Window {
    pub(super) fn new(config: &Config, cut: Cut) -> Self {
        Self {
            kept: VecDeque::new(),
            listed: 0,
            open: None,
            next: 0,
            discontinuities: 0,
            target_duration: config.segment.as_secs_f64().ceil() as u64,
            part_target: u64::try_from(cut.part_max().as_micros()).unwrap_or(u64::MAX),
            clock: None,
            began: 0,
            runs: VecDeque::new(),
            ended: None,
            version: 0,
            cut,
            segments_min: config.segments,
            time_shift: u64::try_from(config.time_shift.as_micros()).unwrap_or(u64::MAX),
            bytes_max: config.bytes_max,
        }
    }

    /// Takes what a packager gave.
    pub(super) fn take(&mut self, piece: Piece) {
        self.version += 1;
        match piece {
            Piece::Part(part) => self.take_part(part),
            Piece::Segment(segment) => self.take_segment(segment),
        }
    }

    /// Key frames are this far apart, milliseconds: segments will be a multiple of it.
    pub(super) fn expect_keys(&mut self, apart: u64) {
        let target = u64::try_from(self.cut.segment.as_millis()).unwrap_or(u64::MAX);
        if apart > 0 {
            // What is meant as a divisor may be a little less.
            let segment = target.saturating_sub(apart / 16).div_ceil(apart).max(1).saturating_mul(apart);
            self.target_duration = self.target_duration.max(segment.saturating_add(500) / 1000);
        }
    }

    fn take_part(&mut self, part: Arc<Part>) {
        self.part_target = self.part_target.max(u64::try_from(part.duration).unwrap_or(0));
        match &mut self.open {
            Some(open) if open.head.sequence == part.head.sequence => open.parts.push(part),
            _ => {
                let head = part.head.clone();
                self.next = head.sequence;
                self.discontinuities += u64::from(head.discontinuity);
                let wall = self.wall_of(&head);
                self.open = Some(Open { head, wall, parts: vec![part] });
            }
        }
    }

    /// The wall's time of a segment. A rung goes by its source's clock: its own frames came later.
    fn wall_of(&self, head: &Head) -> u64 {
        match self.clock {
            Some((at, wall)) => wall.saturating_add_signed(head.start - at),
            None => head.at.0,
        }
    }

    fn take_segment(&mut self, segment: Arc<Segment>) {
        let wall = match self.open.take() {
            Some(open) => open.wall,
            None => self.wall_of(&segment.head),
        };
        self.next = segment.head.sequence + 1;
        let duration = u64::try_from(segment.duration).unwrap_or(0);
        // Rounded, as the standard compares (RFC 8216 §4.3.3.1).
        self.target_duration = self.target_duration.max((duration + SECOND / 2) / SECOND);
        let bytes = [Kind::Video, Kind::Audio].map(|kind| {
            let samples = segment.parts.iter().flat_map(|part| part.samples(kind));
            samples.map(|sample| sample.frame.data.len() as u64).sum()
        });
        self.note_run(&segment.head, wall);
        self.kept.push_back(Kept { segment, run: self.discontinuities, wall, bytes });
        self.forget();
    }

    fn note_run(&mut self, head: &Head, wall: u64) {
        let number = self.discontinuities;
        if self.runs.back().is_some_and(|run| run.number == number) {
            return;
        }
        let over = self.kept.back().zip(self.runs.back()).map_or(0, |(last, run)| {
            let end = last.segment.head.start + last.segment.duration;
            run.wall.saturating_add_signed(end - run.start)
        });
        if self.runs.is_empty() && self.began == 0 {
            self.began = wall;
        }
        self.runs.push_back(Run { number, start: head.start, wall: wall.max(over) });
    }

    fn forget(&mut self) {
        let (mut listed, mut micros) = (0, 0);
        for kept in self.kept.iter().rev() {
            if listed >= self.segments_min && micros >= self.time_shift {
                break;
            }
            listed += 1;
            micros += u64::try_from(kept.segment.duration).unwrap_or(0);
        }
        while self.kept.len() > 2 * listed || self.kept.len() > listed + UNLISTED_MAX {
            self.kept.pop_front();
        }
        let mut weight: usize = self.kept.iter().map(|kept| kept.segment.weight()).sum();
        while weight > self.bytes_max && self.kept.len() > SEGMENTS_MIN {
            weight -= self.kept.pop_front().map_or(0, |kept| kept.segment.weight());
        }
        self.listed = listed.min(self.kept.len());
        let oldest = self.kept.front().map_or(0, |kept| kept.run);
        self.runs.retain(|run| run.number >= oldest);
    }

    /// Those that playlists list.
    pub(super) fn listed(&self) -> impl Iterator<Item = &Kept> {
        self.kept.range(self.kept.len() - self.listed..)
    }

    /// Where a rendition's playlist ends.
    pub(super) fn edge(&self, rendition: Rendition) -> Edge {
        let count = |parts: &[Arc<Part>]| {
            // Nowhere near as many.
            parts.iter().filter(|part| part.has(tracks(rendition))).count() as u32
        };
        Edge {
            next: self.next,
            parts: self.open.as_ref().map_or(0, |open| count(&open.parts)),
            last_parts: self.kept.back().map_or(0, |kept| count(&kept.segment.parts)),
            ended: self.ended.is_some(),
        }
    }

    /// Whether what somebody waits for is there.
    pub(super) fn has(&self, edge: Edge, what: Awaited) -> bool {
        match what {
            _ if self.ended.is_some() => true,
            Awaited::Segment => !self.kept.is_empty(),
            Awaited::Place(place) => edge.has(place),
            Awaited::Part(segment, part) => {
                let parts = self.open.as_ref().map_or(0, |open| open.parts.len());
                segment < self.next || (segment == self.next && (part as usize) < parts)
            }
        }
    }

    pub(super) fn rules(&self, rendition: Rendition) -> Rules {
        Rules {
            target_duration: self.target_duration,
            part: self
                .cut
                .part
                .filter(|_| rendition != Rendition::Ts)
                .map(|_| Duration::from_micros(self.part_target)),
            independent: self.listed().all(|kept| kept.segment.independent),
        }
    }

    pub(super) fn segment(&self, number: u64) -> Option<Arc<Segment>> {
        self.at(number).map(|kept| kept.segment.clone())
    }

    fn at(&self, number: u64) -> Option<&Kept> {
        let first = self.kept.front()?.segment.head.sequence;
        self.kept.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    pub(super) fn part(&self, number: u64, index: u32) -> Option<Arc<Part>> {
        let parts = match &self.open {
            Some(open) if open.head.sequence == number => &open.parts,
            _ => &self.at(number)?.segment.parts,
        };
        parts.get(index as usize).cloned()
    }

    /// Whether a segment of this number was there, and is not any more.
    pub(super) fn is_gone(&self, number: u64) -> bool {
        self.kept.front().is_some_and(|kept| number < kept.segment.head.sequence)
    }

    /// The setup of this number, where a segment has it.
    pub(super) fn setup(&self, number: u32) -> Option<Arc<Setup>> {
        let open = self.open.as_ref().map(|open| &open.head);
        let mut heads = open.into_iter().chain(self.kept.iter().rev().map(|kept| &kept.segment.head));
        heads.find(|head| head.setup.number == number).map(|head| head.setup.clone())
    }

    /// What the newest segment is encoded with.
    pub(super) fn newest_setup(&self) -> Option<Arc<Setup>> {
        let open = self.open.as_ref().map(|open| &open.head);
        let newest = open.or_else(|| self.kept.back().map(|kept| &kept.segment.head));
        newest.map(|head| head.setup.clone())
    }

    /// Until when it is known where segments begin, on the broadcast's clock.
    pub(super) fn reach(&self) -> i64 {
        let part =
            self.open.as_ref().and_then(|open| open.parts.last()).map(|part| part.start + part.duration);
        let segment = self.kept.back().map(|kept| kept.segment.head.start + kept.segment.duration);
        part.or(segment).unwrap_or(i64::MIN)
    }

    /// The place of the segment that begins at this time.
    pub(super) fn place_of(&self, dts: i64, within: u64) -> Option<At> {
        let open = self.open.as_ref().map(|open| (&open.head, self.discontinuities, open.wall));
        let kept = self.kept.iter().rev().map(|kept| (&kept.segment.head, kept.run, kept.wall));
        let (head, run, wall) =
            open.into_iter().chain(kept).find(|(head, ..)| head.start.abs_diff(dts) < within)?;
        let numbers = Numbers { segment: head.sequence, discontinuities: run };
        Some(At { numbers, clock: (head.start, wall) })
    }

    pub(super) fn rates(&self) -> Rates {
        let mut rates = Rates::default();
        let (mut bytes, mut micros) = ([0_u64; 2], 0_u64);
        for kept in &self.kept {
            let duration = u64::try_from(kept.segment.duration).unwrap_or(0).max(1);
            micros += duration;
            for (i, kept) in kept.bytes.into_iter().enumerate() {
                bytes[i] += kept;
                rates.peak[i] = rates.peak[i].max(bits(kept, duration));
            }
        }
        rates.average = bytes.map(|bytes| bits(bytes, micros.max(1)));
        rates
    }
}

/// Bits a second, with what boxes add to the frames: about a fiftieth.
fn bits(bytes: u64, micros: u64) -> u64 {
    let bits = u128::from(bytes) * 8 * u128::from(SECOND) / u128::from(micros);
    u64::try_from(bits * 51 / 50).unwrap_or(u64::MAX)
}
