//! A broadcast's frames on their way to ffmpeg: taken from its ring, wrapped as a container.
//!
//! There is no queue: who falls behind goes on with the newest key frame, as every viewer does.

use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};
use tracing::debug;
use yizhan_ffmpeg::args::Container;
use yizhan_media::{
    Broadcast, Codec, Frame, Kind, Setup,
    broadcast::From,
    cmaf::{self, Run, Sample, Tracks},
    flv,
};
use yizhan_ring::{Closed, Reader};

/// Frames that are taken at a time.
const FRAMES_AT_ONCE: usize = 64;
/// Who is further behind, µs on the broadcast's clock, goes on with the newest key frame.
const BEHIND_MAX: i64 = 5_000_000;
const SECOND_MICROS: i128 = 1_000_000;

/// A place in a broadcast, for as many children as are fed from it one after the other.
pub(super) struct Pump {
    source: Broadcast,
    reader: Reader<Arc<Frame>>,
    waiting: VecDeque<Arc<Frame>>,
}

/// What comes next.
pub(super) enum Taken {
    /// Frames of the same setup, at least one.
    Frames(Vec<Arc<Frame>>),
    /// The broadcast goes on with another setup.
    Changed,
    /// It is over.
    Ended,
}

impl Pump {
    /// Begins with the newest key frame.
    pub(super) fn new(source: &Broadcast) -> Self {
        let reader = source.frames(From::Key);
        Self { source: source.clone(), reader, waiting: VecDeque::new() }
    }

    /// The setup of the next frame that decoding can begin at; what stands before it is passed over. `None` where the
    /// broadcast is over.
    pub(super) async fn begin(&mut self) -> Option<Arc<Setup>> {
        loop {
            while let Some(frame) = self.waiting.front() {
                if frame.joins() {
                    return Some(frame.setup.clone());
                }
                self.waiting.pop_front();
            }
            self.fill().await.ok()?;
        }
    }

    /// The next frames, as long as they are of this setup. Dropping the future loses nothing.
    pub(super) async fn take(&mut self, setup: &Setup) -> Taken {
        while self.waiting.is_empty() {
            if self.fill().await.is_err() {
                return Taken::Ended;
            }
        }
        let of = self.waiting.iter().take_while(|frame| frame.setup.number == setup.number).count();
        if of == 0 { Taken::Changed } else { Taken::Frames(self.waiting.drain(..of).collect()) }
    }

    async fn fill(&mut self) -> Result<(), Closed> {
        let mut taken = Vec::with_capacity(FRAMES_AT_ONCE);
        let took = self.reader.take(FRAMES_AT_ONCE, &mut taken).await?;
        let newest = self.source.newest_dts().unwrap_or(0);
        let behind = taken.first().is_some_and(|frame| newest.saturating_sub(frame.dts) > BEHIND_MAX);
        if took.missed == 0 && !behind {
            self.waiting.extend(taken);
            return Ok(());
        }
        debug!(source = %self.source.name(), missed = took.missed, "ffmpeg was too slow, and goes on with a newer key frame");
        if self.reader.seek(|frame| frame.joins()).is_none() {
            // The newest key frame is among these, or is still to come.
            let from = taken.iter().rposition(|frame| frame.joins()).unwrap_or(taken.len());
            self.waiting.extend(taken.drain(from..));
        }
        Ok(())
    }
}

/// Frames as bytes of a container, on the broadcast's clock.
pub(super) enum Wrap {
    /// What every ffmpeg reads with the least delay.
    Flv,
    /// For codecs that FLV has in enhanced form only, which older ones do not know.
    Mp4 { number: u32, ends: [Option<u64>; 2] },
}

impl Wrap {
    /// The one for this setup.
    pub(super) fn of(setup: &Setup) -> Self {
        let plain =
            |track: &Arc<yizhan_media::Track>| matches!(track.codec, Codec::H264 | Codec::Aac | Codec::Mp3);
        match setup.video.iter().chain(&setup.audio).all(plain) {
            true => Self::Flv,
            false => Self::Mp4 { number: 0, ends: [None; 2] },
        }
    }

    /// What ffmpeg is told that it is.
    pub(super) fn container(&self) -> Container {
        match self {
            Self::Flv => Container::Flv,
            Self::Mp4 { .. } => Container::Mp4,
        }
    }

    /// What stands before the first frame.
    pub(super) fn head(&self, setup: &Setup) -> Bytes {
        match self {
            Self::Flv => flv::head(setup),
            Self::Mp4 { .. } => cmaf::init(setup, Tracks::Both),
        }
    }

    /// Frames of that setup, in order.
    pub(super) fn put(&mut self, frames: &[Arc<Frame>]) -> Bytes {
        match self {
            Self::Flv => {
                let mut into = BytesMut::new();
                let of_tracks = frames.iter().filter(|frame| frame.kind != Kind::Data);
                of_tracks.for_each(|frame| flv::put_frame(frame, &mut into));
                into.freeze()
            }
            Self::Mp4 { number, ends } => {
                *number = number.wrapping_add(1);
                let video = samples(frames, Kind::Video, &mut ends[0]);
                let audio = samples(frames, Kind::Audio, &mut ends[1]);
                let runs =
                    [Run { kind: Kind::Video, samples: &video }, Run { kind: Kind::Audio, samples: &audio }];
                cmaf::fragment(*number, false, &runs)
            }
        }
    }
}

/// The frames of one kind as samples. The last one of a fragment has no end of its own yet: it gets a tick, and the next
/// fragment says where it begins.
fn samples(frames: &[Arc<Frame>], kind: Kind, end: &mut Option<u64>) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    for frame in frames.iter().filter(|frame| frame.kind == kind) {
        let Some(track) = frame.track() else { continue };
        let scale = i128::from(cmaf::scale(track));
        let ticks = |micros: i64| u64::try_from(i128::from(micros) * scale / SECOND_MICROS).unwrap_or(0);
        let start = ticks(frame.dts).max(end.unwrap_or(0));
        if let Some(before) = samples.last_mut() {
            before.duration = u32::try_from(start - before.start).unwrap_or(1);
        }
        let offset = u32::try_from(ticks(frame.pts()).saturating_sub(start)).unwrap_or(0);
        let offset = if kind == Kind::Video { offset } else { 0 };
        samples.push(Sample { frame: frame.clone(), start, duration: 1, offset });
        *end = Some(start + 1);
    }
    samples
}
