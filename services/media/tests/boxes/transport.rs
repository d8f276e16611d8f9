//! MPEG-TS, taken apart packet by packet (ISO 13818-1).

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use yizhan_media::{
    Codec, Frame, Kind,
    segment::{Cut, Segment},
    ts::{self, NotInTs},
};

use crate::made::{self, both, package, setup, stream};

const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;
const MASK: u64 = 0x1_FFFF_FFFF;

/// A PES packet, put together.
#[derive(Debug, Default, Clone)]
struct Pes {
    pts: u64,
    dts: u64,
    random_access: bool,
    data: Vec<u8>,
}

/// What is in segments that follow each other.
#[derive(Debug, Default)]
struct Stream {
    counters: BTreeMap<u16, u8>,
    pes: BTreeMap<u16, Vec<Pes>>,
    clocks: Vec<u64>,
    tables: usize,
}

impl Stream {
    fn read(segments: &[Arc<Segment>]) -> Self {
        let mut stream = Self::default();
        for segment in segments {
            let bytes = segment.ts().unwrap();
            assert!(bytes.len().is_multiple_of(188));
            let pids: Vec<_> = bytes.chunks(188).take(2).map(pid).collect();
            assert_eq!(pids, [0, 0x1000], "the tables come first");
            let mut open = BTreeMap::<u16, Pes>::new();
            for packet in bytes.chunks(188) {
                stream.packet(packet, &mut open);
            }
            for (pid, pes) in open {
                stream.done(pid, pes);
            }
        }
        stream
    }

    fn packet(&mut self, packet: &[u8], open: &mut BTreeMap<u16, Pes>) {
        assert_eq!(packet[0], 0x47);
        let (pid, first, counter) = (pid(packet), packet[1] & 0x40 != 0, packet[3] & 0x0F);
        if let Some(before) = self.counters.insert(pid, counter) {
            assert_eq!(counter, (before + 1) & 0x0F, "counters go on, over segments, too");
        }
        let adapted = packet[3] & 0x20 != 0;
        assert!(packet[3] & 0x10 != 0, "every packet has something");
        let length = if adapted { 1 + usize::from(packet[4]) } else { 0 };
        let body = &packet[4 + length..];
        assert!(!body.is_empty());
        if pid == 0 || pid == 0x1000 {
            self.tables += 1;
            return table(body);
        }
        let flags = if length > 1 { packet[5] } else { 0 };
        if flags & 0x10 != 0 {
            let clock = u64::from(u32::from_be_bytes(packet[6..10].try_into().unwrap())) << 1
                | u64::from(packet[10] >> 7);
            self.clocks.push(clock);
        }
        if first {
            if let Some(pes) = open.remove(&pid) {
                self.done(pid, pes);
            }
            open.insert(pid, Pes { random_access: flags & 0x40 != 0, ..Pes::default() });
        }
        open.get_mut(&pid).unwrap().data.extend_from_slice(body);
    }

    fn done(&mut self, pid: u16, mut pes: Pes) {
        let data = &pes.data;
        assert_eq!(&data[..3], [0, 0, 1]);
        let length = usize::from(u16::from_be_bytes([data[4], data[5]]));
        assert!(length == data.len() - 6 || (length == 0 && pid == VIDEO && data.len() > 60_000));
        let time = |at: usize| {
            let b: Vec<_> = data[at..at + 5].iter().map(|b| u64::from(*b)).collect();
            assert!(b[0] & b[2] & b[4] & 1 == 1);
            (b[0] >> 1 & 7) << 30 | b[1] << 22 | (b[2] >> 1) << 15 | b[3] << 7 | b[4] >> 1
        };
        pes.pts = time(9);
        pes.dts = if data[7] & 0x40 != 0 { time(14) } else { pes.pts };
        pes.data = data[9 + usize::from(data[8])..].to_vec();
        self.pes.entry(pid).or_default().push(pes);
    }
}

fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1F, packet[2]])
}

/// The sum over a section with its checksum is 0 (Annex A).
fn table(body: &[u8]) {
    let length = usize::from(u16::from_be_bytes([body[2] & 0x0F, body[3]]));
    let mut sum = u32::MAX;
    for byte in &body[1..4 + length] {
        for bit in (0..8).rev() {
            let high = sum >> 31 ^ u32::from(byte >> bit & 1);
            sum = sum << 1 ^ if high == 1 { 0x04C1_1DB7 } else { 0 };
        }
    }
    assert_eq!(sum, 0);
    assert!(body[4 + length..].iter().all(|byte| *byte == 0xFF));
}

fn read(frames: &[Arc<Frame>]) -> Stream {
    Stream::read(&package(Cut::default(), frames).segments)
}

/// Microseconds in 90 kHz, rounded as the packager does it.
fn ticks(micros: i64) -> u64 {
    ((micros * 9 + 50) / 100) as u64
}

#[test]
fn pictures_come_with_delimiters_and_parameter_sets() {
    let stream = read(&stream(&both(), 10, 25.0, 50));
    let pictures = &stream.pes[&VIDEO];
    assert_eq!(pictures.len(), 250);
    assert_eq!(stream.tables, 10);
    for (number, picture) in pictures.iter().enumerate() {
        assert!(picture.data.starts_with(&[0, 0, 0, 1, 0x09, 0xF0]), "an access unit delimiter");
        let sets = [0, 0, 0, 1, 0x67, 0x42, 0xC0, 0x1E, 0, 0, 0, 1, 0x68, 0xCE, 0, 0, 0, 1, 0x65];
        assert_eq!(picture.data[6..].starts_with(&sets), number % 50 == 0);
        assert_eq!(picture.random_access, number % 50 == 0);
        assert_eq!(picture.dts - pictures[0].dts, ticks(number as i64 * 40_000));
    }
    // The clock comes often enough, is before what it is for, and never goes back.
    let pairs = stream.clocks.windows(2);
    assert!(pairs.into_iter().all(|pair| pair[1] > pair[0] && pair[1] - pair[0] <= 9_000));
    assert!(stream.clocks.iter().zip(pictures).all(|(clock, picture)| *clock < picture.dts));
}

#[test]
fn pictures_are_shown_later_than_they_are_decoded() {
    let setup = both();
    let frames: Vec<_> = (0..100)
        .map(|n| {
            made::frame(&setup, Kind::Video, n % 50 == 0, n * 40_000, [80_000, 160_000, 0][n as usize % 3])
        })
        .collect();
    let stream = read(&frames);
    for (picture, frame) in stream.pes[&VIDEO].iter().zip(&frames) {
        assert_eq!(picture.pts - picture.dts, ticks(i64::from(frame.cts)));
    }
}

#[test]
fn sound_has_heads_and_all_of_it_comes() {
    for (video, number) in [(Some(made::video()), 430), (None, 430)] {
        let setup = setup(1, video, both().audio.clone());
        let stream = read(&stream(&setup, 10, 25.0, 50));
        let sound = &stream.pes[&AUDIO];
        let mut frames = 0;
        for packet in sound {
            let mut rest = &packet.data[..];
            while !rest.is_empty() {
                // MPEG-4 AAC-LC without checksum, 44,100 Hz, two channels.
                assert_eq!(rest[..3], [0xFF, 0xF1, 0x50]);
                let length =
                    usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5] >> 5);
                assert_eq!(length, 14 + 7);
                rest = &rest[length..];
                frames += 1;
            }
        }
        assert_eq!(frames, number);
        // A player that has the clock from the sound has it every 100 ms.
        assert!(stream.clocks.windows(2).all(|pair| pair[1] - pair[0] <= 9_000));
        assert!(sound.windows(2).all(|pair| pair[1].pts > pair[0].pts));
    }
}

#[test]
fn clocks_of_33_bits_begin_again() {
    let setup = both();
    // 26.5 hours, five seconds before.
    let from = (1i64 << 33) * 100 / 9 - 5_000_000;
    let frames: Vec<_> = stream(&setup, 10, 25.0, 50)
        .iter()
        .map(|frame| made::frame(&setup, frame.kind, frame.key, frame.dts + from, 0))
        .collect();
    let stream = read(&frames);
    for pid in [VIDEO, AUDIO] {
        let times: Vec<_> = stream.pes[&pid].iter().map(|pes| pes.dts).collect();
        assert!(times.iter().all(|time| *time <= MASK));
        assert!(times.windows(2).all(|pair| (pair[1].wrapping_sub(pair[0]) & MASK) < 10_000));
        assert_eq!(times.windows(2).filter(|pair| pair[1] < pair[0]).count(), 1);
    }
    assert!(stream.clocks.windows(2).all(|pair| (pair[1].wrapping_sub(pair[0]) & MASK) <= 9_000));
}

#[test]
fn counters_go_on_whatever_is_in_a_segment() {
    // Units of all sizes, down to one byte of sound that is no frame, and up to more than a PES length can say.
    let setup = setup(1, Some(made::video()), Some(made::audio(Codec::Mp3, 44_100, Some(1152))));
    let mut frames = Vec::new();
    for n in 0..600i64 {
        let size = [1, 5, 40, 170, 171, 172, 183, 184, 185, 3000, 70_000][n as usize % 11];
        let mut data = (size as u32).to_be_bytes().to_vec();
        data.resize(4 + size, 0x41);
        frames.push(made::frame_of(&setup, Kind::Video, n % 30 == 0, n * 40_000, 0, data.into()));
        let sound = Bytes::from(vec![0xFF; [1, 4, 5, 13, 100, 182][n as usize % 6]]);
        frames.push(made::frame_of(&setup, Kind::Audio, true, n * 40_000, 0, sound));
    }
    let stream = read(&frames);
    assert_eq!(stream.pes[&VIDEO].len(), 600);
}

#[test]
fn a_segment_is_the_same_whenever_it_is_made() {
    let frames = stream(&both(), 10, 25.0, 50);
    let (one, other) = (package(Cut::default(), &frames), package(Cut::default(), &frames));
    for (one, other) in one.segments.iter().zip(&other.segments).rev() {
        assert_eq!(one.ts(), other.ts());
    }
}

#[test]
fn what_mpeg_ts_does_not_know_is_said() {
    let opus = setup(1, Some(made::video()), Some(made::audio(Codec::Opus, 48_000, Some(960))));
    assert_eq!(ts::in_ts(&opus), Err(NotInTs::Codec(Codec::Opus)));
    let made = package(Cut::default(), &stream(&opus, 4, 25.0, 50));
    let why = made.segments[0].ts().unwrap_err();
    assert_eq!(why.to_string(), "Opus is not in MPEG-TS: play the CMAF playlist or FLV");
    let av1 = yizhan_media::Track { codec: Codec::Av1, ..(*made::video()).clone() };
    assert_eq!(ts::in_ts(&setup(1, Some(Arc::new(av1)), None)), Err(NotInTs::Codec(Codec::Av1)));
    // ER AAC LD has no ADTS.
    let mut odd = (*made::audio(Codec::Aac, 44_100, Some(512))).clone();
    odd.record = Bytes::from_static(&[0xBA, 0x10]);
    assert_eq!(ts::in_ts(&setup(1, None, Some(Arc::new(odd)))), Err(NotInTs::Aac));
    assert_eq!(ts::in_ts(&both()), Ok(()));
}

#[test]
fn frames_that_are_broken_break_nothing() {
    let setup = both();
    let mut frames = stream(&setup, 4, 25.0, 50);
    for (n, frame) in frames.iter_mut().enumerate() {
        let data: &[u8] = [&[][..], &[0], &[0xFF; 5], &[0, 0, 0, 0], &[0, 0, 0, 9, 0x65]][n % 5];
        *frame = made::frame_of(&setup, frame.kind, frame.key, frame.dts, 0, Bytes::from_static(data));
    }
    frames.push(made::frame_of(&setup, Kind::Audio, true, 4_000_000, 0, vec![0; 100_000].into()));
    let stream = read(&frames);
    assert_eq!(stream.pes[&VIDEO].len(), 100);
}
