//! Windows of a broadcast and of its rungs as a DASH manifest.

use std::{hash::Hasher as _, ops::Range, sync::Arc};

use rustc_hash::FxHasher;
use yizhan_media::{
    Detail, Kind, Track,
    cmaf::{Span as Ticks, scale},
};
use yizhan_talk::Timestamp;

use super::{Stage, window::Window};
use crate::{
    mpd::{Mpd, Of, Period, Representation, Span},
    names::{File, Piece, Rendition, Tag},
    respond::Shown,
};

/// The media type of manifests (ISO 23009-1 Annex C).
const MEDIA_TYPE: &str = "application/dash+xml";
/// Target durations that viewers are behind the newest segment.
const DELAY: u64 = 3;
/// Microseconds in a second.
const SECOND: u64 = 1_000_000;

/// The manifest of a broadcast with its rungs, as it is now.
pub(crate) fn mpd(source: &Stage, rungs: &[Arc<Stage>], now: Timestamp) -> Arc<Shown> {
    let mut hasher = FxHasher::default();
    for stage in std::iter::once(source).chain(rungs.iter().map(|rung| &**rung)) {
        hasher.write_u64(stage.broadcast.id());
        hasher.write_u64(stage.version());
    }
    let version = hasher.finish();
    source.manifest(version, || make(source, rungs, now, version))
}

fn make(source: &Stage, rungs: &[Arc<Stage>], now: Timestamp, version: u64) -> Shown {
    // One window at a time is locked: a rung looks at its source while its own is.
    let (mut mpd, times) = {
        let inside = source.inside.lock();
        frame(source, &inside.window, now)
    };
    for stage in std::iter::once(source).chain(rungs.iter().map(|rung| &**rung)) {
        let inside = stage.inside.lock();
        let maker = Maker { window: &inside.window, stage };
        for (period, time) in mpd.periods.iter_mut().zip(&times) {
            period.video.extend(maker.representation(Kind::Video, time));
            if stage.broadcast.id() == source.broadcast.id() {
                period.audio.extend(maker.representation(Kind::Audio, time));
            }
        }
    }
    mpd.periods.retain(|period| !period.video.is_empty() || !period.audio.is_empty());
    Shown::new(mpd.write(), MEDIA_TYPE, &format!("{}-mpd-{version:x}", source.tag))
}

/// The manifest with empty periods, and when on the broadcast's clock each of them is.
fn frame(stage: &Stage, window: &Window, now: Timestamp) -> (Mpd, Vec<Range<i64>>) {
    let mut periods = Vec::<Period>::new();
    let mut times = Vec::<Range<i64>>::new();
    for run in &window.runs {
        if let Some(before) = times.last_mut() {
            before.end = run.start;
        }
        times.push(run.start..i64::MAX);
        let start = run.wall.saturating_sub(window.began);
        periods.push(Period { id: run.number, start, video: Vec::new(), audio: Vec::new() });
    }
    let target = window.target_duration * SECOND;
    let listed = window.listed().map(|kept| u64::try_from(kept.segment.duration).unwrap_or(0)).sum();
    let ended = window.ended.and_then(|_| {
        let (run, last) = (window.runs.back()?, &window.kept.back()?.segment);
        let in_run = u64::try_from(last.head.start + last.duration - run.start).unwrap_or(0);
        Some(run.wall.saturating_sub(window.began) + in_run)
    });
    let mpd = Mpd {
        began: window.began,
        published: now.0,
        time_shift: listed,
        segment_max: target,
        update: u64::try_from(stage.config.segment.as_micros() / 2).unwrap_or(SECOND),
        delay: DELAY * target,
        clock: format!("{}/{}", stage.broadcast.name().name, File::Now),
        ended,
        periods,
    };
    (mpd, times)
}

struct Maker<'a> {
    window: &'a Window,
    stage: &'a Stage,
}

impl Maker<'_> {
    /// What there is of one kind within a time. Segments of one setup only, and none missing between them: the newest.
    fn representation(&self, kind: Kind, time: &Range<i64>) -> Option<Representation> {
        let mut spans = Vec::<Ticks>::new();
        let mut newest = None;
        let mut number = 0;
        let all: Vec<_> = self.window.listed().collect();
        for kept in all.into_iter().rev().filter(|kept| time.contains(&kept.segment.head.start)) {
            let setup = &kept.segment.head.setup;
            let newest = newest.get_or_insert_with(|| setup.clone());
            let (true, Some(span)) = (newest.number == setup.number, kept.segment.span(kind)) else {
                break;
            };
            number = kept.segment.head.sequence;
            spans.push(span);
        }
        spans.reverse();
        let (setup, scaled) = (newest?, spans.first()?.scale);
        let track = if kind == Kind::Video { setup.video.as_ref() } else { setup.audio.as_ref() }?;
        let rendition = if kind == Kind::Video { Rendition::Video } else { Rendition::Audio };
        let (tag, name) = (&self.stage.tag, self.stage.broadcast.name());
        let rates = self.window.rates();
        debug_assert_eq!(scaled, scale(track), "spans are in the track's own ticks");
        Some(Representation {
            id: format!("{}-{}", rendition.word(), name.rung_name().unwrap_or("source")),
            codecs: track.rfc6381.clone(),
            bandwidth: rates.peak[usize::from(kind != Kind::Video)],
            of: of(track),
            timescale: scaled,
            offset: ticks(time.start, scaled),
            init: format!("{}/{}", name.name, init(tag, rendition, setup.number)),
            media: format!("{}/{}", name.name, File::template(tag, rendition)),
            number,
            timeline: spans.iter().map(|span| Span { start: span.start, duration: span.duration }).collect(),
        })
    }
}

fn init(tag: &Tag, rendition: Rendition, number: u32) -> File {
    File::Made { tag: tag.clone(), rendition, piece: Piece::Init(number) }
}

fn of(track: &Track) -> Of {
    match track.detail {
        Detail::Video { width, height, millihertz } => Of::Video { width, height, millihertz },
        Detail::Audio { rate, channels, .. } => Of::Audio { rate, channels },
    }
}

/// Microseconds as ticks.
fn ticks(micros: i64, scale: u32) -> u64 {
    let micros = u128::try_from(micros).unwrap_or(0);
    u64::try_from(micros * u128::from(scale) / u128::from(SECOND)).unwrap_or(u64::MAX)
}
