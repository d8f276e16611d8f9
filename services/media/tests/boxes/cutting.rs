//! Where segments and parts end.

use std::{sync::Arc, time::Duration};

use yizhan_media::{
    Codec, Frame, Kind, Setup,
    cmaf::Tracks,
    segment::{Cut, Packager, Piece},
};

use crate::made::{self, both, frame, package, run, setup, sorted, stream};

fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

#[test]
fn an_hour_has_no_gap_and_no_overlap() {
    let frames = stream(&both(), 3600, 30.0, 60);
    let made = package(Cut::default(), &frames);
    assert_eq!(made.segments.len(), 1800);
    assert!(made.segments.iter().all(|segment| segment.independent && !segment.head.discontinuity));
    // Two seconds each, however milliseconds are rounded.
    assert!(made.segments[..1799].iter().all(|segment| segment.duration == 2_000_000));
    assert!(made.segments.iter().all(|segment| segment.parts.len() == 10));
    let whole: i64 = made.parts.iter().map(|part| part.duration).sum();
    // Nobody told how long the last picture is.
    assert!((3_599_999_000..=3_600_001_000).contains(&whole), "{whole}");
    for kind in [Kind::Video, Kind::Audio] {
        let samples: Vec<_> = made.parts.iter().flat_map(|part| part.samples(kind)).collect();
        assert_eq!(samples.len(), frames.iter().filter(|frame| frame.kind == kind).count());
        for pair in samples.windows(2) {
            assert_eq!(pair[0].start + u64::from(pair[0].duration), pair[1].start);
        }
    }
    // The wall's clock goes with it.
    let last = made.segments.last().unwrap();
    assert_eq!(last.head.at.0, made::WALL + last.head.start as u64);
}

#[test]
fn parts_keep_within_what_is_announced() {
    let whole = Cut::default();
    let target = whole.part_max().as_secs_f64();
    for fps in [15.0, 20.0, 23.976, 24.0, 25.0, 29.97, 30.0, 48.0, 50.0, 59.94, 60.0, 120.0] {
        let made = package(whole, &stream(&both(), 60, fps, (fps * 2.0) as u64));
        assert!(made.segments.len() >= 28, "{fps}: {}", made.segments.len());
        for part in &made.parts {
            let length = seconds(part.duration);
            assert!(length <= target, "{fps}: {length}");
            assert!(part.last || length >= target * 0.85, "{fps}: {length}");
        }
    }
    for (codec, rate, samples) in [
        (Codec::Aac, 44_100, 1024),
        (Codec::Aac, 48_000, 1024),
        (Codec::Opus, 48_000, 960),
        (Codec::Mp3, 44_100, 1152),
    ] {
        let setup = setup(1, None, Some(made::audio(codec, rate, Some(samples))));
        for part in &package(whole, &stream(&setup, 60, 0.0, 1)).parts {
            let length = seconds(part.duration);
            assert!(length <= target && (part.last || length >= target * 0.85), "{codec:?}: {length}");
            assert!(part.independent);
        }
    }
}

#[test]
fn a_frame_that_lasts_is_a_part_of_its_own_and_ends_the_one_before() {
    let setup = setup(1, Some(made::video()), None);
    let times = [0, 33, 66, 100, 1500, 1533, 1566, 1600].map(|millis: i64| millis * 1000);
    let frames: Vec<_> =
        times.iter().enumerate().map(|(n, dts)| frame(&setup, Kind::Video, n == 0, *dts, 0)).collect();
    let made = package(Cut::default(), &frames);
    let parts: Vec<_> = made.parts.iter().map(|part| (part.start, part.samples(Kind::Video).len())).collect();
    assert_eq!(parts, [(0, 3), (100_000, 1), (1_500_000, 4)]);
}

#[test]
fn a_segment_is_one_part_where_no_parts_are_wanted() {
    let made = package(Cut { part: None, ..Cut::default() }, &stream(&both(), 20, 25.0, 50));
    assert_eq!(made.segments.len(), 10);
    assert_eq!(made.parts.len(), 10);
    assert!(made.parts.iter().all(|part| part.last && part.independent));
}

#[test]
fn key_frames_that_come_often_do_not_cut() {
    let made = package(Cut::default(), &stream(&both(), 20, 25.0, 5));
    assert_eq!(made.segments.len(), 10);
    assert!(made.segments.iter().all(|segment| segment.duration == 2_000_000));
}

#[test]
fn segments_are_as_long_as_the_publisher_lets_them_be() {
    // A key frame every 5 seconds: 5. None at all: 20, and they are not independent.
    let made = package(Cut::default(), &stream(&both(), 60, 25.0, 125));
    assert!(made.segments.iter().all(|segment| segment.duration == 5_000_000 && segment.independent));
    let made = package(Cut::default(), &stream(&both(), 60, 25.0, 1_000_000));
    let lengths: Vec<_> =
        made.segments.iter().map(|segment| (segment.duration, segment.independent)).collect();
    assert_eq!(lengths, [(20_000_000, true), (20_000_000, false), (20_000_000, false)]);
}

#[test]
fn a_group_a_little_shorter_than_a_segment_is_one() {
    // 1.998 s in slots of 2 s: now and then two key frames are in the same one.
    let setup = setup(1, Some(made::video()), None);
    let frames: Vec<_> =
        (0..60_000i64).map(|n| frame(&setup, Kind::Video, n % 50 == 0, n * 39_960, 0)).collect();
    let made = package(Cut::default(), &frames);
    assert!(made.segments.iter().all(|segment| (1_900_000..2_100_000).contains(&segment.duration)));
}

#[test]
fn who_joins_later_cuts_at_the_same_places() {
    let frames = stream(&both(), 60, 25.0, 25);
    let source = package(Cut::default(), &frames);
    // A rung that starts at some key frame, which begins no segment of its source.
    let late: Vec<_> = frames.iter().filter(|frame| frame.dts >= 7_000_000).cloned().collect();
    let made = package(Cut::default(), &late);
    let edges = |from: i64, made: &made::Made| {
        made.segments.iter().map(|s| s.head.start).filter(|start| *start > from).collect::<Vec<_>>()
    };
    assert_eq!(edges(7_000_000, &made), edges(7_000_000, &source));
    // One that is told where: the same numbers and the same bytes.
    let from = &source.segments[5];
    let mut rung = Packager::joining(Cut::default(), from.head.sequence, from.head.start);
    let made = run(&mut rung, &late);
    for (segment, source) in made.segments.iter().zip(&source.segments[5..]).skip(1) {
        assert_eq!(segment.head.sequence, source.head.sequence);
        assert_eq!(segment.pieces(Tracks::Video), source.pieces(Tracks::Video));
    }
}

#[test]
fn another_setup_and_another_publisher_are_a_discontinuity() {
    let first = both();
    let second = setup(2, Some(made::video()), Some(made::audio(Codec::Aac, 48_000, Some(1024))));
    let titled = Arc::new(Setup { number: 2, metadata: "title".into(), ..(*second).clone() });
    let back = Arc::new(Setup { number: 3, epoch: 2, ..(*second).clone() });
    let mut frames = Vec::new();
    for (number, setup) in [&first, &second, &titled, &back].into_iter().enumerate() {
        let from = number as i64 * 4_100_000;
        frames.extend(
            stream(setup, 4, 25.0, 50).iter().map(|f| frame(setup, f.kind, f.key, f.dts + from, f.cts)),
        );
    }
    let made = package(Cut::default(), &frames);
    let seen: Vec<_> = made.segments.iter().map(|s| (s.head.setup.number, s.head.discontinuity)).collect();
    // What comes with new metadata goes on.
    assert_eq!(seen.iter().filter(|(_, breaks)| *breaks).count(), 2, "{seen:?}");
    assert_eq!(seen[0], (1, false));
    assert!(seen.contains(&(2, true)) && seen.contains(&(3, true)));
    // No frame of them is lost.
    let pictures: usize = made.parts.iter().map(|part| part.samples(Kind::Video).len()).sum();
    assert_eq!(pictures, 400);
}

#[test]
fn sound_that_is_told_of_a_moment_later_breaks_nothing() {
    let alone = setup(1, Some(made::video()), None);
    let both = both();
    let mut frames = vec![frame(&alone, Kind::Video, true, 0, 0)];
    frames.extend(stream(&both, 4, 25.0, 50).into_iter().skip(1));
    let made = package(Cut::default(), &frames);
    assert_eq!(made.segments.len(), 2);
    assert!(
        made.segments.iter().all(|segment| !segment.head.discontinuity && segment.head.setup.audio.is_some())
    );
}

#[test]
fn other_sound_waits_for_a_key_frame_and_no_picture_is_lost() {
    let (first, second) =
        (both(), setup(2, Some(made::video()), Some(made::audio(Codec::Opus, 48_000, Some(960)))));
    let mut frames: Vec<_> = stream(&first, 10, 25.0, 50).into_iter().filter(|f| f.dts < 5_000_000).collect();
    frames.extend(stream(&second, 10, 25.0, 50).into_iter().filter(|frame| frame.dts >= 5_000_000));
    let made = package(Cut::default(), &frames);
    let seen: Vec<_> =
        made.segments.iter().map(|s| (s.head.start / 1_000_000, s.head.setup.number)).collect();
    assert_eq!(seen, [(0, 1), (2, 1), (4, 1), (6, 2), (8, 2)]);
    let pictures: Vec<_> = made.parts.iter().flat_map(|part| part.samples(Kind::Video)).collect();
    assert_eq!(pictures.len(), 250);
    assert!(pictures.windows(2).all(|pair| pair[0].start + u64::from(pair[0].duration) == pair[1].start));
}

#[test]
fn after_a_loss_it_goes_on_at_a_key_frame() {
    let frames = stream(&both(), 20, 25.0, 50);
    let mut packager = Packager::new(Cut::default());
    let (mut pieces, mut told) = (Vec::new(), false);
    for frame in &frames {
        if (5_000_000..9_000_000).contains(&frame.dts) {
            continue;
        }
        if frame.dts >= 9_000_000 && !std::mem::replace(&mut told, true) {
            packager.lost(&mut pieces);
        }
        packager.push(frame, &mut pieces);
    }
    packager.finish(&mut pieces);
    let made = sorted(pieces);
    let breaks: Vec<_> = made.segments.iter().filter(|segment| segment.head.discontinuity).collect();
    assert_eq!(breaks.len(), 1);
    assert!(breaks[0].independent);
    assert_eq!(breaks[0].head.start, 10_000_000);
}

#[test]
fn it_begins_with_a_key_frame_and_not_with_sound_of_before() {
    let frames: Vec<_> =
        stream(&both(), 10, 25.0, 50).into_iter().filter(|frame| frame.dts >= 1_000_000).collect();
    let made = package(Cut::default(), &frames);
    assert_eq!(made.segments[0].head.start, 2_000_000);
    assert!(made.parts[0].samples(Kind::Audio)[0].start >= 2 * 44_100);
    assert!(package(Cut::default(), &[]).segments.is_empty());
    let sound: Vec<_> = frames.iter().filter(|frame| frame.kind == Kind::Audio).cloned().collect();
    assert!(package(Cut::default(), &sound).segments.is_empty(), "a picture is announced and does not come");
}

#[test]
fn sound_goes_on_in_parts_while_the_picture_stands_still() {
    let frames: Vec<Arc<Frame>> = stream(&both(), 120, 25.0, 50)
        .into_iter()
        .filter(|frame| frame.kind == Kind::Audio || !(10_000_000..100_000_000).contains(&frame.dts))
        .collect();
    let made = package(Cut::default(), &frames);
    let still = made.parts.iter().filter(|part| (20_000_000..90_000_000).contains(&part.start));
    assert!(still.clone().count() > 300);
    assert!(still.clone().all(|part| part.has(Tracks::Audio) && !part.has(Tracks::Video)));
    let whole: usize = made.parts.iter().map(|part| part.samples(Kind::Video).len()).sum();
    assert_eq!(whole, 750, "no picture is lost");
    let last = made.segments.last().unwrap();
    assert!(last.independent && last.head.start + last.duration == 120_000_000);
}

#[test]
fn a_recording_counts_from_its_own_beginning() {
    let frames: Vec<_> =
        stream(&both(), 20, 25.0, 50).into_iter().filter(|frame| frame.dts >= 7_000_000).collect();
    let made = run(&mut Packager::from_zero(Cut { part: None, ..Cut::default() }), &frames);
    assert_eq!(made.segments[0].head.start, 0);
    assert_eq!(made.segments[0].span(Kind::Video).unwrap().start, 0);
    assert!(made.segments[0].span(Kind::Audio).unwrap().start < 1024);
    assert_eq!(made.segments[0].head.at.0, made::WALL + 8_000_000);
}

#[test]
fn what_a_part_holds_is_bounded_though_time_stands_still() {
    let setup = both();
    let data = bytes::Bytes::from(vec![0; 8 << 20]);
    let mut packager = Packager::new(Cut::default());
    let (mut pieces, mut segments) = (Vec::new(), 0);
    for n in 0..200 {
        let frame = made::frame_of(&setup, Kind::Video, n == 0, 0, 0, data.clone());
        packager.push(&frame, &mut pieces);
        for piece in pieces.drain(..) {
            match piece {
                Piece::Part(part) => assert!(part.samples(Kind::Video).len() <= 9),
                Piece::Segment(segment) => {
                    segments += 1;
                    assert!(segment.parts.len() <= 6);
                }
            }
        }
    }
    assert!(segments >= 4);
}

#[test]
fn a_wall_clock_that_jumps_is_followed() {
    let setup = both();
    let mut frames = stream(&setup, 20, 25.0, 50);
    for frame in frames.iter_mut().filter(|frame| frame.dts >= 9_000_000) {
        let frame = Arc::get_mut(frame).unwrap();
        frame.at = frame.at.plus(Duration::from_secs(3600));
    }
    let made = package(Cut::default(), &frames);
    let last = made.segments.last().unwrap();
    assert_eq!(last.head.at.0, made::WALL + 3_600_000_000 + last.head.start as u64);
}
