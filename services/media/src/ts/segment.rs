//! A whole segment: tables first, then the samples of both tracks by decoding time.

use bytes::Bytes;

use super::{
    NotInTs,
    annexb::AnnexB,
    packet::{Lane, Mark, Turn},
    pes::{self, STREAM_AUDIO, STREAM_VIDEO},
    tables::{PID_AUDIO, PID_PROGRAM, PID_TABLES, PID_VIDEO, pat, pmt},
};
use crate::{
    cmaf::{Sample, VIDEO_SCALE, scale},
    codec::aac,
    frame::Kind,
    track::{Codec, Setup},
};

/// Times begin here, 90 kHz, so that the clock, which runs ahead of them, does not begin below 0.
const BEGIN: u64 = 126_000;
/// How far the clock is behind the decoding time, 90 kHz: what a decoder may have to buffer.
const CLOCK_LAG: u64 = 63_000;
/// Sound that goes into one PES packet, 90 kHz: the clock has to come every 100 ms (ISO 13818-1 §2.7.2).
const AUDIO_TICKS_MAX: u64 = 6_500;
/// And bytes of it.
const AUDIO_BYTES_MAX: usize = 16 * 1024;
/// A frame of sound that is longer is none: an ADTS header has thirteen bits for it and itself.
const AUDIO_FRAME_BYTES_MAX: usize = 0x1FFF - aac::ADTS_BYTES;
/// A shorter one has not even an MP3 frame's header.
const AUDIO_FRAME_BYTES_MIN: usize = 4;

/// What becomes a PES packet.
enum Unit<'a> {
    Picture(&'a Sample),
    Sound(Vec<&'a Sample>),
}

/// The segment with this number, of the samples of both tracks. Sound of which a frame cannot be (one that is larger than
/// eight kilobytes) is left out.
///
/// # Errors
/// The setup has a track that is not for MPEG-TS.
pub fn segment(number: u64, setup: &Setup, video: &[&Sample], audio: &[&Sample]) -> Result<Bytes, NotInTs> {
    let data: usize = video.iter().chain(audio).map(|sample| sample.frame.data.len()).sum();
    let mut out = Vec::with_capacity(data + data / 16 + 16 * 1024);
    Lane::new(PID_TABLES, number).section(&pat(), &mut out);
    Lane::new(PID_PROGRAM, number).section(&pmt(setup)?, &mut out);

    let audio_scale = setup.audio.as_ref().map_or(VIDEO_SCALE, |track| scale(track));
    let units = units(video, audio, audio_scale);
    let last_picture = units.iter().rposition(|unit| matches!(unit, Unit::Picture(_)));
    let last_sound = units.iter().rposition(|unit| matches!(unit, Unit::Sound(_)));
    let annexb = setup.video.as_ref().map(|track| AnnexB::new(track));
    let adts = setup.audio.as_ref().filter(|track| track.codec == Codec::Aac);
    let adts = adts.and_then(|track| aac::Config::read(&track.record).ok());
    let (mut picture_lane, mut sound_lane) = (Lane::new(PID_VIDEO, 0), Lane::new(PID_AUDIO, 0));
    let mut bytes = Vec::new();
    for (at, unit) in units.iter().enumerate() {
        let last = Some(at) == last_picture || Some(at) == last_sound;
        let turn = if last { Turn::Last } else { Turn::More };
        bytes.clear();
        match (unit, &annexb) {
            (Unit::Picture(sample), Some(annexb)) => {
                let dts = BEGIN + sample.start;
                pes::open(STREAM_VIDEO, dts + u64::from(sample.offset), dts, &mut bytes);
                annexb.write(sample.frame.key, &sample.frame.data, &mut bytes);
                pes::close(&mut bytes);
                let mark = Mark { clock: Some(dts - CLOCK_LAG), random_access: sample.frame.key };
                picture_lane.pes(mark, turn, &bytes, &mut out);
            }
            (Unit::Picture(_), None) => {}
            (Unit::Sound(samples), _) => {
                let pts = BEGIN + ticks(samples[0], audio_scale);
                pes::open(STREAM_AUDIO, pts, pts, &mut bytes);
                for sample in samples {
                    if let Some(Ok(head)) = adts.map(|config| config.adts(sample.frame.data.len())) {
                        bytes.extend_from_slice(&head);
                    }
                    bytes.extend_from_slice(&sample.frame.data);
                }
                pes::close(&mut bytes);
                let clock = annexb.is_none().then_some(pts - CLOCK_LAG);
                sound_lane.pes(Mark { clock, random_access: clock.is_some() }, turn, &bytes, &mut out);
            }
        }
    }
    Ok(out.into())
}

/// What is to be written, in order: sound is gathered, and goes before the picture that is decoded after it.
fn units<'a>(video: &[&'a Sample], audio: &[&'a Sample], audio_scale: u32) -> Vec<Unit<'a>> {
    let mut units = Vec::with_capacity(video.len() + audio.len() / 4 + 1);
    let fits = AUDIO_FRAME_BYTES_MIN..=AUDIO_FRAME_BYTES_MAX;
    let mut audio = audio.iter().copied().filter(|sample| fits.contains(&sample.frame.data.len())).peekable();
    let mut pictures = video.iter().copied().peekable();
    let mut group = Group::default();
    loop {
        let sound = audio.peek().map(|sample| ticks(sample, audio_scale));
        match (pictures.peek().copied(), sound) {
            (None, None) => break,
            (picture, Some(at)) if picture.is_none_or(|picture| at <= picture.start) => {
                if let Some(sample) = audio.next() {
                    group.add(sample, at, &mut units);
                }
            }
            _ => units.extend(pictures.next().map(Unit::Picture)),
        }
    }
    group.close(&mut units);
    units
}

/// Sound for one PES packet.
#[derive(Default)]
struct Group<'a> {
    samples: Vec<&'a Sample>,
    start: u64,
    bytes: usize,
}

impl<'a> Group<'a> {
    fn add(&mut self, sample: &'a Sample, at: u64, units: &mut Vec<Unit<'a>>) {
        let bytes = sample.frame.data.len() + aac::ADTS_BYTES;
        let full = at - self.start.min(at) > AUDIO_TICKS_MAX || self.bytes + bytes > AUDIO_BYTES_MAX;
        if full {
            self.close(units);
        }
        if self.samples.is_empty() {
            self.start = at;
        }
        self.samples.push(sample);
        self.bytes += bytes;
    }

    fn close(&mut self, units: &mut Vec<Unit<'a>>) {
        self.bytes = 0;
        if !self.samples.is_empty() {
            units.push(Unit::Sound(std::mem::take(&mut self.samples)));
        }
    }
}

/// When a sound is decoded, 90 kHz.
fn ticks(sample: &Sample, scale: u32) -> u64 {
    debug_assert_eq!(sample.frame.kind, Kind::Audio);
    // Rounded, in numbers that do not overflow.
    let ticks =
        (u128::from(sample.start) * u128::from(VIDEO_SCALE) + u128::from(scale / 2)) / u128::from(scale);
    u64::try_from(ticks).unwrap_or(u64::MAX >> 1)
}
