//! What comes out of a packager.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use yizhan_talk::Timestamp;

use crate::{
    cmaf::{Run, Sample, Span, Tracks, VIDEO_SCALE, fragment, scale},
    frame::Kind,
    track::Setup,
    ts::{self, NotInTs},
};

/// Parts that a segment's fragment numbers leave room for.
const NUMBERS_OF_SEGMENT: u64 = 4096;

/// One of the two things that a packager gives.
#[derive(Debug, Clone)]
pub enum Piece {
    /// A part is done.
    Part(Arc<Part>),
    /// A segment is done; its last part came before.
    Segment(Arc<Segment>),
}

/// What is known of a segment when it begins.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its number: one more than that of the segment before.
    pub sequence: u64,
    /// When it begins, microseconds on the broadcast's clock.
    pub start: i64,
    /// The same on the wall's clock: `EXT-X-PROGRAM-DATE-TIME`. Goes on evenly while nothing is lost.
    pub at: Timestamp,
    /// What was before does not go on here: another publisher, other tracks, or something is missing.
    pub discontinuity: bool,
    /// What its frames are to be decoded with; its number is a good name for the init segment. A setup that brings other
    /// metadata only is not taken over.
    pub setup: Arc<Setup>,
}

/// A piece of a segment: a fragment of each track.
#[derive(Debug)]
pub struct Part {
    /// The segment that it belongs to.
    pub head: Arc<Head>,
    /// Counts the parts of a segment, from 0 on.
    pub index: u32,
    /// When it begins, microseconds on the broadcast's clock.
    pub start: i64,
    /// Until the next one begins, microseconds.
    pub duration: i64,
    /// There is a key frame in it; without picture: any sound.
    pub independent: bool,
    /// No other part comes in this segment.
    pub last: bool,
    pub(super) video: Vec<Sample>,
    pub(super) audio: Vec<Sample>,
    forms: [OnceLock<Bytes>; Tracks::ALL.len()],
}

/// A segment that is done.
#[derive(Debug)]
pub struct Segment {
    /// What was known of it at its beginning.
    pub head: Arc<Head>,
    /// Until the next one begins, microseconds: the sum of its parts'.
    pub duration: i64,
    /// It begins with a key frame; without picture: with any sound.
    pub independent: bool,
    /// Its parts, at least one.
    pub parts: Vec<Arc<Part>>,
    ts: OnceLock<Result<Bytes, NotInTs>>,
}

/// What a part is made of.
pub(super) struct Content {
    pub(super) start: i64,
    pub(super) duration: i64,
    pub(super) last: bool,
    pub(super) video: Vec<Sample>,
    pub(super) audio: Vec<Sample>,
}

impl Part {
    pub(super) fn new(head: Arc<Head>, index: u32, content: Content) -> Self {
        let Content { start, duration, last, video, audio } = content;
        let independent = match head.setup.video {
            Some(_) => video.iter().any(|sample| sample.frame.key),
            None => !audio.is_empty(),
        };
        Self { head, index, start, duration, independent, last, video, audio, forms: Default::default() }
    }

    /// The part as a CMAF fragment with these tracks; made by the first who asks. Empty where the part has nothing of
    /// them.
    pub fn bytes(&self, tracks: Tracks) -> &Bytes {
        self.forms[tracks as usize].get_or_init(|| {
            let runs = [Kind::Video, Kind::Audio]
                .map(|kind| Run { kind, samples: if tracks.takes(kind) { self.samples(kind) } else { &[] } });
            // Numbers go up within and over segments, and begin again after a month of them.
            let number =
                self.head.sequence.wrapping_mul(NUMBERS_OF_SEGMENT).wrapping_add(u64::from(self.index) + 1);
            fragment(number as u32, self.index == 0, &runs)
        })
    }

    /// Where on the track's own clock it lies; `None` where the part has nothing of this kind.
    #[must_use]
    pub fn span(&self, kind: Kind) -> Option<Span> {
        let track = match kind {
            Kind::Video => self.head.setup.video.as_ref(),
            Kind::Audio | Kind::Data => self.head.setup.audio.as_ref(),
        };
        Span::of(self.samples(kind), track.map_or(VIDEO_SCALE, |track| scale(track)))
    }

    /// The samples of one kind, in order.
    #[must_use]
    pub fn samples(&self, kind: Kind) -> &[Sample] {
        match kind {
            Kind::Video => &self.video,
            Kind::Audio => &self.audio,
            Kind::Data => &[],
        }
    }

    /// Whether there is something of these tracks in it.
    #[must_use]
    pub fn has(&self, tracks: Tracks) -> bool {
        [Kind::Video, Kind::Audio]
            .into_iter()
            .any(|kind| tracks.takes(kind) && !self.samples(kind).is_empty())
    }

    /// Roughly what it holds in memory, its frames and all forms that were asked for, bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let samples = self.video.iter().chain(&self.audio);
        let frames: usize = samples.map(|sample| sample.frame.data.len() + 192).sum();
        let forms: usize = self.forms.iter().filter_map(OnceLock::get).map(Bytes::len).sum();
        frames + forms + 256
    }
}

impl Segment {
    pub(super) fn new(head: Arc<Head>, duration: i64, parts: Vec<Arc<Part>>) -> Self {
        let first = parts.first();
        let independent = match head.setup.video {
            Some(_) => first.and_then(|part| part.video.first()).is_some_and(|sample| sample.frame.key),
            None => first.is_some_and(|part| part.independent),
        };
        Self { head, duration, independent, parts, ts: OnceLock::new() }
    }

    /// The segment as CMAF with these tracks: the bytes of its parts, in order. Nothing is copied.
    #[must_use]
    pub fn pieces(&self, tracks: Tracks) -> Vec<Bytes> {
        self.parts.iter().map(|part| part.bytes(tracks).clone()).filter(|bytes| !bytes.is_empty()).collect()
    }

    /// Where on the track's own clock it lies; `None` where the segment has nothing of this kind.
    #[must_use]
    pub fn span(&self, kind: Kind) -> Option<Span> {
        self.parts.iter().filter_map(|part| part.span(kind)).reduce(Span::with)
    }

    /// The segment as MPEG-TS with both tracks; made by the first who asks.
    ///
    /// # Errors
    /// A track of its setup is not for MPEG-TS.
    pub fn ts(&self) -> Result<Bytes, NotInTs> {
        let made = self.ts.get_or_init(|| {
            let video: Vec<_> = self.parts.iter().flat_map(|part| &part.video).collect();
            let audio: Vec<_> = self.parts.iter().flat_map(|part| &part.audio).collect();
            ts::segment(self.head.sequence, &self.head.setup, &video, &audio)
        });
        made.clone()
    }

    /// Roughly what it holds in memory, bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let ts = self.ts.get().and_then(|made| made.as_ref().ok()).map_or(0, Bytes::len);
        self.parts.iter().map(|part| part.weight()).sum::<usize>() + ts
    }
}
