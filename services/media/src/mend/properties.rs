//! What holds for every publisher's clock.

use proptest::prelude::*;

use super::*;

/// AAC of 48,000 Hz.
const SOUND: Detail = Detail::Audio { rate: 48_000, channels: 2, frame_samples: Some(1024) };
/// µs of a picture.
const PICTURE_STEP: i64 = 40_000;
/// µs for which a source is looked at.
const LENGTH: i64 = 60_000_000;
/// How far sound and picture of the same moment may be from each other, µs.
const APART_MAX: i64 = 80_000;

/// What a publisher's clock does at some moment.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// So much is added to it, µs.
    By(i64),
    /// It begins at 0 again.
    Restart,
}

/// A publisher: its clock, when it turns, and how its messages are in order.
#[derive(Debug, Clone)]
struct Source {
    /// Its clock at the beginning, µs.
    begins: i64,
    /// When, µs since the beginning, and what.
    turns: Vec<(i64, Turn)>,
    /// Single frames whose timestamps are wrong: when, of what, and by how much, µs.
    strays: Vec<(i64, Kind, i64)>,
    /// How much earlier than pictures of the same moment sound is sent, µs.
    sound_leads: i64,
    /// The clock turns so much later for sound than for pictures, µs.
    sound_turns_later: i64,
    /// How much faster the sound's clock is, µs in a second.
    drift: i64,
    /// Messages are late by up to so much, ms.
    late: u64,
}

/// A frame: when it is sent, of what, at which moment it was taken, and what the publisher's clock says.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at: i64,
    kind: Kind,
    taken: i64,
    dts: i64,
}

/// µs of a frame.
const fn step(kind: Kind) -> i64 {
    if matches!(kind, Kind::Video) { PICTURE_STEP } else { 64_000 / 3 }
}

impl Source {
    fn dts(&self, kind: Kind, taken: i64) -> i64 {
        let later = if kind == Kind::Audio { self.sound_turns_later } else { 0 };
        let mut offset = self.begins;
        for (when, turn) in &self.turns {
            if taken >= when + later {
                offset = match turn {
                    Turn::By(micros) => offset + micros,
                    Turn::Restart => -when,
                };
            }
        }
        let drift = if kind == Kind::Audio { taken * self.drift / 1_000_000 } else { 0 };
        let is_stray = |when: i64, of: Kind| of == kind && (when..when + step(kind)).contains(&taken);
        let stray = self.strays.iter().find(|(when, of, _)| is_stray(*when, *of)).map_or(0, |(_, _, by)| *by);
        // In milliseconds, as FLV and RTMP have it.
        (taken + offset + drift + stray).div_euclid(1000) * 1000
    }

    fn frames(&self) -> Vec<Sent> {
        let pictures = (0..LENGTH / PICTURE_STEP).map(|i| (Kind::Video, i * PICTURE_STEP));
        let sound = (0..LENGTH * 3 / 64_000).map(|i| (Kind::Audio, i * 64_000 / 3));
        let sent = |(kind, taken)| {
            let leads = if kind == Kind::Audio { self.sound_leads } else { 0 };
            Sent { at: taken - leads, kind, taken, dts: self.dts(kind, taken) }
        };
        let mut frames: Vec<_> = pictures.chain(sound).map(sent).collect();
        frames.sort_by_key(|frame| frame.at);
        frames
    }

    /// The frames, and where each was placed.
    fn placed(&self) -> (Vec<(Sent, i64)>, u64) {
        let mut mend = Mend::default();
        let place = |(number, sent): (usize, Sent)| {
            let late = if self.late == 0 { 0 } else { number as u64 * 7919 % self.late };
            let now = Timestamp::from_millis(1_000_000 + (sent.at + 1_000_000) as u64 / 1000 + late);
            let sound = (sent.kind == Kind::Audio).then_some(SOUND);
            (sent, mend.place(now, sent.kind, sent.dts, sound))
        };
        let placed = self.frames().into_iter().enumerate().map(place).collect();
        (placed, mend.jumps)
    }
}

/// The largest distance of sound and picture of the same moment, where neither was taken soon behind a turn or a stray.
fn apart(source: &Source, placed: &[(Sent, i64)]) -> i64 {
    let turns = source.turns.iter().map(|(when, _)| (*when, 1_200_000));
    let strays = source.strays.iter().map(|(when, ..)| (*when, 4_200_000));
    let unsettled: Vec<_> = turns.chain(strays).map(|(when, long)| when - 100_000..when + long).collect();
    let is_settled = |taken: &i64| !unsettled.iter().any(|range| range.contains(taken));
    let settled: Vec<_> = placed.iter().filter(|(sent, _)| is_settled(&sent.taken)).collect();
    let of = |kind| settled.iter().filter(move |(sent, _)| sent.kind == kind);
    let mut sound = of(Kind::Audio).peekable();
    let mut apart = 0;
    for (picture, at) in of(Kind::Video) {
        while let Some((next, _)) = sound.peek()
            && next.taken < picture.taken
        {
            sound.next();
        }
        if let Some((nearest, sound_at)) = sound.peek()
            && nearest.taken < picture.taken + PICTURE_STEP
        {
            apart = apart.max(((at - picture.taken) - (sound_at - nearest.taken)).abs());
        }
    }
    apart
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        // A little, a lot, and 32 bits of milliseconds that wrap.
        (-2_000_i64..2_000).prop_map(|millis| Turn::By(millis * 1000)),
        (-500_000_i64..500_000).prop_map(|millis| Turn::By(millis * 1000)),
        Just(Turn::By(-(1_i64 << 32) * 1000)),
        Just(Turn::Restart),
    ]
}

fn source() -> impl Strategy<Value = Source> {
    let begins = prop_oneof![Just(0), 0_i64..1 << 42];
    let turns = prop::collection::vec((2_000_000..LENGTH, turn()), 0..5);
    let by = prop_oneof![-5_000_i64..5_000, -500_000_i64..500_000].prop_map(|millis| millis * 1000);
    let kind = prop_oneof![Just(Kind::Video), Just(Kind::Audio)];
    let strays = prop::collection::vec((2_000_000..LENGTH, kind, by), 0..3);
    let sound = (-60_000_i64..60_000, 0_i64..200_000, -1000_i64..1000);
    (begins, turns, strays, sound, 0_u64..300).prop_map(|(begins, mut turns, mut strays, sound, late)| {
        turns.sort_by_key(|(when, _)| *when);
        // One after the other: a little later the clock is what it is.
        turns.dedup_by(|next, before| next.0 - before.0 < 3_000_000);
        strays.sort_by_key(|(when, ..)| *when);
        strays.dedup_by(|next, before| next.0 - before.0 < 5_000_000);
        strays.retain(|(when, ..)| turns.iter().all(|(turn, _)| (turn - when).abs() > 5_000_000));
        let (sound_leads, sound_turns_later, drift) = sound;
        Source { begins, turns, strays, sound_leads, sound_turns_later, drift, late }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn decoding_times_go_up_in_each_track(source in source()) {
        let (placed, _) = source.placed();
        for kind in [Kind::Video, Kind::Audio] {
            let times: Vec<_> = placed.iter().filter(|(sent, _)| sent.kind == kind).map(|(_, at)| *at).collect();
            prop_assert!(times[0] >= 0);
            prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn sound_and_picture_stay_together(source in source()) {
        let (placed, _) = source.placed();
        // Real drift is kept: it is what the publisher says.
        let drift = (source.drift * LENGTH / 1_000_000).abs();
        let apart = apart(&source, &placed);
        prop_assert!(apart <= APART_MAX + drift, "{apart} µs apart");
    }

    #[test]
    fn a_clock_that_does_not_turn_is_kept(source in source()) {
        let source = Source { turns: vec![], strays: vec![], ..source };
        let (placed, jumps) = source.placed();
        prop_assert_eq!(jumps, 0);
        let zero = placed[0].0.dts;
        for (sent, at) in placed {
            // Sound may be moved to where its samples are, and by a little where it would be before the beginning.
            prop_assert!((at - (sent.dts - zero)).abs() <= 100_000, "{sent:?} at {at}");
        }
    }

    #[test]
    fn time_that_passed_is_time_that_is_told(source in source()) {
        let (placed, jumps) = source.placed();
        let wrong = source.turns.len() + source.strays.len();
        prop_assert!(jumps <= 4 * wrong as u64, "{jumps} jumps");
        // What each adds and takes away is bounded: a turn is closed, or was small.
        let slack = 4_000_000 * (wrong as i64 + 1);
        let (sent, at) = placed[placed.len() - 1];
        prop_assert!((at - sent.taken).abs() <= slack, "{} is told as {at}", sent.taken);
    }

    #[test]
    fn any_timestamps_go_up(
        frames in prop::collection::vec((0_u64..5000, 0_usize..3, any::<i64>(), any::<bool>()), 1..200),
    ) {
        let mut mend = Mend::default();
        let (mut now, mut last) = (1_000_000, [-1; 3]);
        for (passed, kind, dts, is_near) in frames {
            now += passed;
            let kind = [Kind::Video, Kind::Audio, Kind::Data][kind];
            let dts = if is_near { dts % 10_000_000 } else { dts };
            let sound = (kind == Kind::Audio).then_some(SOUND);
            let at = mend.place(Timestamp::from_millis(now), kind, dts, sound);
            prop_assert!(at > last[kind as usize]);
            last[kind as usize] = at;
        }
    }
}
