//! A frame with its place on a track's own clock.

use std::sync::Arc;

use crate::{
    frame::{Frame, Kind},
    track::{Codec, Detail, Setup, Track},
};

/// Ticks a second of every picture track, as in MPEG-TS.
pub const VIDEO_SCALE: u32 = 90_000;
/// Samples a second that Opus always decodes to (RFC 7845 §5.1).
const OPUS_RATE: u32 = 48_000;

/// Which tracks a file, a playlist or a segment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tracks {
    /// Picture and sound, whichever there are.
    Both,
    /// The picture alone.
    Video,
    /// The sound alone.
    Audio,
}

impl Tracks {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Both, Self::Video, Self::Audio];

    /// Whether frames of this kind belong to it. Data frames belong to none.
    #[must_use]
    pub const fn takes(self, kind: Kind) -> bool {
        match kind {
            Kind::Video => matches!(self, Self::Both | Self::Video),
            Kind::Audio => matches!(self, Self::Both | Self::Audio),
            Kind::Data => false,
        }
    }

    /// What of it a setup has, picture first.
    pub fn of(self, setup: &Setup) -> impl Iterator<Item = &Arc<Track>> {
        let tracks = [setup.video.as_ref(), setup.audio.as_ref()];
        tracks.into_iter().flatten().filter(move |track| self.takes(track.codec.kind()))
    }
}

/// A frame as a sample of a track.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The frame.
    pub frame: Arc<Frame>,
    /// When it is decoded, ticks of its track. Larger than that of the sample before.
    pub start: u64,
    /// Until the next one is decoded, ticks.
    pub duration: u32,
    /// How much later it is shown, ticks.
    pub offset: u32,
}

/// Where on its track's clock something lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When its first sample is decoded, ticks.
    pub start: u64,
    /// How long its samples are together, ticks.
    pub duration: u64,
    /// Ticks a second.
    pub scale: u32,
}

impl Span {
    /// Where these samples lie; `None` of none.
    #[must_use]
    pub fn of(samples: &[Sample], scale: u32) -> Option<Self> {
        let (first, last) = (samples.first()?, samples.last()?);
        Some(Self {
            start: first.start,
            duration: last.start + u64::from(last.duration) - first.start,
            scale,
        })
    }

    /// This one and the one right behind it.
    #[must_use]
    pub fn with(self, next: Self) -> Self {
        Self { duration: next.start + next.duration - self.start, ..self }
    }
}

/// Ticks a second of a track: 90,000 for pictures, its samples a second for sound.
#[must_use]
pub fn scale(track: &Track) -> u32 {
    match (track.codec, track.detail) {
        (Codec::Opus, _) => OPUS_RATE,
        (_, Detail::Audio { rate, .. }) if rate > 0 => rate,
        _ => VIDEO_SCALE,
    }
}
