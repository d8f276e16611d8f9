//! What goes in comes out, whatever it is.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use yizhan_media::{
    Codec, Frame, Kind,
    cmaf::{self, Tracks},
    segment::{Cut, Packager},
};

use crate::{made, parse};

/// Which frames: kind, microseconds since the one before of its kind, how much later it is shown, key, bytes.
type Step = (bool, i64, i32, bool, u8);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let gap =
        prop_oneof![8 => 12i64..70_000, 1 => 70_000i64..3_000_000, 2 => Just(33_333i64), 1 => 12i64..200];
    let step = (any::<bool>(), gap, 0..250_000i32, prop::bool::weighted(0.1), any::<u8>());
    prop::collection::vec(step, 0..300)
}

fn frames(steps: &[Step], tracks: Tracks, codec: Codec) -> Vec<Arc<Frame>> {
    let rate = if codec == Codec::Opus { 48_000 } else { 44_100 };
    let video = (tracks != Tracks::Audio).then(made::video);
    // Nothing is rounded to whole frames of sound here: see the test of that.
    let audio = (tracks != Tracks::Video).then(|| made::audio(codec, rate, None));
    let setup = made::setup(1, video, audio);
    let mut clocks = [0; 2];
    let mut frames = Vec::new();
    for (number, (is_video, gap, cts, key, bytes)) in steps.iter().enumerate() {
        let kind = if *is_video { Kind::Video } else { Kind::Audio };
        if !tracks.takes(kind) {
            continue;
        }
        let clock = &mut clocks[usize::from(*is_video)];
        // A tick of sound is longer than one of pictures.
        *clock += if *is_video { *gap } else { (*gap).max(25) };
        let mut data = (number as u32).to_be_bytes().to_vec();
        data.resize(4 + usize::from(*bytes), 0xEE);
        let (key, cts) = if *is_video { (*key, *cts) } else { (true, 0) };
        frames.push(made::frame_of(&setup, kind, key, *clock, cts, Bytes::from(data)));
    }
    frames.sort_by_key(|frame| frame.dts);
    frames
}

/// Those that a packager takes: from the first that a viewer may begin with, and no sound of before.
fn taken(frames: &[Arc<Frame>], kind: Kind) -> Vec<Arc<Frame>> {
    let Some(begin) = frames.iter().position(|frame| frame.joins()) else { return Vec::new() };
    let start = frames[begin].dts;
    let taken = frames[begin..].iter().filter(|frame| frame.kind == kind && frame.dts >= start);
    taken.cloned().collect()
}

fn comes_back(frames: &[Arc<Frame>], cut: Cut, tracks: Tracks) {
    let made = made::package(cut, frames);
    let Some(first) = made.segments.first() else {
        assert!(frames.iter().all(|frame| !frame.joins()));
        return;
    };
    let file = |tracks| made.segments.iter().flat_map(|s| s.pieces(tracks)).collect::<Vec<_>>().concat();
    let numbers = parse::tracks(&cmaf::init(&first.head.setup, Tracks::Both));
    for (number, scale) in numbers {
        let kind = if number == 1 { Kind::Video } else { Kind::Audio };
        let alone = if kind == Kind::Video { Tracks::Video } else { Tracks::Audio };
        let samples = parse::samples(&file(Tracks::Both), number);
        assert_eq!(samples, parse::samples(&file(alone), number), "alone or together, it is the same");
        let frames = taken(frames, kind);
        assert_eq!(samples.len(), frames.len());
        for (sample, frame) in samples.iter().zip(&frames) {
            assert_eq!(sample.data, frame.data);
            assert_eq!(sample.key, frame.key);
            let ticks = |micros: i64| micros as f64 * f64::from(scale) / 1e6;
            assert!((sample.dts as f64 - ticks(frame.dts)).abs() <= 1.0, "{sample:?} {frame:?}");
            let shown = sample.dts as f64 + sample.offset as f64;
            assert!((shown - ticks(frame.pts())).abs() <= 1.0, "{sample:?} {frame:?}");
        }
        for pair in samples.windows(2) {
            assert_eq!(pair[0].dts + u64::from(pair[0].duration), pair[1].dts, "no gap, no overlap");
        }
        let mut span = None::<u64>;
        for segment in &made.segments {
            let Some(next) = segment.span(kind) else { continue };
            assert_eq!(next.scale, scale);
            assert!(span.is_none_or(|end| end == next.start));
            span = Some(next.start + next.duration);
        }
    }
    assert!(tracks != Tracks::Both || made.parts.iter().all(|part| part.has(Tracks::Both)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_frames_come_back_as_samples(
        steps in steps(),
        tracks in prop::sample::select(Tracks::ALL.to_vec()),
        opus in any::<bool>(),
        part in prop::option::of(40u64..500),
        segment in 200u64..4000,
    ) {
        let codec = if opus { Codec::Opus } else { Codec::Aac };
        let cut = Cut {
            segment: Duration::from_millis(segment),
            segment_max: Duration::from_millis(segment * 3),
            part: part.map(Duration::from_millis),
        };
        comes_back(&frames(&steps, tracks, codec), cut, tracks);
    }

    /// Times that stand still, that lie far apart, before zero, and at the ends of numbers.
    #[test]
    fn no_times_are_too_odd(
        odd in prop::collection::vec((any::<bool>(), any::<bool>(), prop_oneof![
            Just(0i64), Just(i64::MIN), Just(i64::MAX), Just(1 << 53), any::<i64>(), -1000..1000i64,
        ], any::<i32>()), 0..60),
        zero in any::<bool>(),
    ) {
        let setup = made::both();
        let mut packager = if zero { Packager::from_zero(Cut::default()) } else { Packager::new(Cut::default()) };
        let mut pieces = Vec::new();
        for (is_video, key, dts, cts) in odd {
            let kind = if is_video { Kind::Video } else { Kind::Audio };
            packager.push(&made::frame(&setup, kind, key, dts / 4, cts.max(0)), &mut pieces);
        }
        packager.finish(&mut pieces);
        for segment in made::sorted(pieces).segments {
            parse::samples(&segment.pieces(Tracks::Both).concat(), 1);
            segment.ts().unwrap();
        }
    }
}

#[test]
fn frames_of_one_moment_are_a_tick_apart() {
    let setup = made::both();
    let frames: Vec<_> =
        (0..10_000).map(|n| made::frame(&setup, Kind::Video, n == 0, 5_000_000, 0)).collect();
    let made = made::package(Cut::default(), &frames);
    let file = made.segments.iter().flat_map(|s| s.pieces(Tracks::Both)).collect::<Vec<_>>().concat();
    let samples = parse::samples(&file, 1);
    assert_eq!(samples.len(), frames.len());
    assert!(samples.windows(2).all(|pair| pair[1].dts == pair[0].dts + 1));
    assert!(
        made.parts.iter().all(|part| part.samples(Kind::Video).len() <= 4097),
        "and no part has all of them"
    );
}

#[test]
fn sound_that_counts_milliseconds_has_whole_frames() {
    let setup = made::setup(1, None, Some(made::audio(Codec::Aac, 44_100, Some(1024))));
    let made = made::package(Cut::default(), &made::stream(&setup, 600, 0.0, 1));
    let file = made.segments.iter().flat_map(|s| s.pieces(Tracks::Audio)).collect::<Vec<_>>().concat();
    let samples = parse::samples(&file, 2);
    assert!(samples.len() > 25_000);
    assert!(samples.iter().all(|sample| sample.duration == 1024), "as it was recorded");
}

#[test]
fn sound_whose_clock_is_off_stays_beside_the_picture() {
    // A sound card that is 300 millionths too fast: the publisher's times say so, and they are what counts.
    let setup = made::setup(1, None, Some(made::audio(Codec::Aac, 48_000, Some(1024))));
    let dts = |n: i64| (n as f64 * 1024.0 / 48_000.0 * 1e6 * 1.0003) as i64;
    let frames: Vec<_> = (0..100_000).map(|n| made::frame(&setup, Kind::Audio, true, dts(n), 0)).collect();
    let made = made::package(Cut::default(), &frames);
    let samples: Vec<_> = made.parts.iter().flat_map(|part| part.samples(Kind::Audio)).collect();
    for (sample, frame) in samples.iter().zip(&frames) {
        let off = sample.start as i64 * 1_000_000 / 48_000 - frame.dts;
        assert!(off.abs() < 2_100, "{off} µs");
    }
}
