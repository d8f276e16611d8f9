//! Bodies become packets.

use std::sync::Arc;

use bytes::Bytes;
use yizhan_wire::ReadError;

use super::{enhanced, legacy};
use crate::{
    amf::{self, AmfError},
    codec::{self, CodecError, aac, av1, h264, h265, mp3, nal},
    frame::{Kind, Packet},
    track::{Codec, Detail, Track},
};

/// Why the body of a message cannot be used. The message is dropped; the next one may be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It ends within its head.
    #[error("the message ends within its head")]
    TooShort,
    /// The head says what it may not.
    #[error("{0}")]
    Malformed(&'static str),
    /// A codec that we do not carry.
    #[error("the codec is not carried: {0}; H.264, H.265, AV1, AAC, Opus and MP3 are")]
    OtherCodec(&'static str),
    /// A second picture or sound.
    #[error("only the first track of its kind is taken")]
    OtherTrack,
    /// A frame before its configuration.
    #[error("{}: a frame came before the configuration (sequence header)", .0.name())]
    NotConfigured(Codec),
    /// The configuration or the frame is broken.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A script tag is broken.
    #[error(transparent)]
    Amf(#[from] AmfError),
}

impl From<ReadError> for BodyError {
    fn from(_: ReadError) -> Self {
        Self::TooShort
    }
}

/// Reads what one publisher sends, message after message: it remembers configurations. One picture and one sound are
/// taken: of several tracks (Enhanced RTMP) those with the number 0.
#[derive(Debug, Default)]
pub struct Reader {
    video: Picture,
    audio: Sound,
    others: u64,
}

#[derive(Debug, Default)]
struct Picture {
    /// The configuration as it came last. Encoders send it again and again.
    came: Option<(Codec, Bytes)>,
    sets: Sets,
    track: Option<Arc<Track>>,
}

/// What frames are compared with: they may bring parameter sets of their own.
#[derive(Debug, Default)]
enum Sets {
    #[default]
    None,
    H264(h264::Record),
    H265(h265::Record),
    /// None until the first key frame, where the configuration had no sequence header.
    Av1(Option<av1::Record>),
}

#[derive(Debug, Default)]
struct Sound {
    track: Option<Arc<Track>>,
}

impl Reader {
    /// How many messages' parts were of other tracks than the first and were left out.
    #[must_use]
    pub const fn other_tracks(&self) -> u64 {
        self.others
    }

    /// Reads a video message; `dts` in microseconds. Nothing comes of one that is empty or a command to the player.
    ///
    /// # Errors
    /// The message cannot be used and is dropped.
    pub fn video(&mut self, dts: i64, body: Bytes, into: &mut Vec<Packet>) -> Result<(), BodyError> {
        let Some(&head) = body.first() else { return Ok(()) };
        let kind = head >> 4 & 7;
        if head & 0x80 == 0 {
            if kind == legacy::COMMAND {
                return Ok(());
            }
            return self.legacy_video(dts, head, &body, into);
        }
        // A command has no payload; metadata, which may stand behind it, says nothing that we need.
        if kind == legacy::COMMAND {
            return Ok(());
        }
        let Some(part) = enhanced::read(Kind::Video, &body, &mut self.others)? else { return Ok(()) };
        let dts = dts.saturating_add(i64::from(part.nanos / 1000));
        let payload = part.payload;
        match part.packet {
            enhanced::CONFIGURATION => self.video.configure(part.codec, payload, into),
            enhanced::END => {
                into.push(Packet::End(Kind::Video));
                Ok(())
            }
            enhanced::FRAME if matches!(part.codec, Codec::H264 | Codec::H265) => {
                let later = composition(&payload)?;
                let moment = Moment { dts, cts: later, flagged: kind == 1 };
                self.video.frame(part.codec, moment, payload.slice(3..), into)
            }
            _ => self.video.frame(part.codec, Moment { dts, cts: 0, flagged: kind == 1 }, payload, into),
        }
    }

    fn legacy_video(
        &mut self,
        dts: i64,
        head: u8,
        body: &Bytes,
        into: &mut Vec<Packet>,
    ) -> Result<(), BodyError> {
        let codec = match head & 0x0f {
            legacy::AVC => Codec::H264,
            legacy::HEVC => Codec::H265,
            2 => return Err(BodyError::OtherCodec("H.263")),
            3 | 6 => return Err(BodyError::OtherCodec("Screen video")),
            4 | 5 => return Err(BodyError::OtherCodec("VP6")),
            _ => return Err(BodyError::OtherCodec("one with an unknown number")),
        };
        let packet = *body.get(1).ok_or(BodyError::TooShort)?;
        if packet == 2 {
            into.push(Packet::End(Kind::Video));
            return Ok(());
        }
        let rest = body.slice(2..);
        let cts = composition(&rest)?;
        let rest = rest.slice(3..);
        match packet {
            0 => self.video.configure(codec, rest, into),
            1 => self.video.frame(codec, Moment { dts, cts, flagged: head >> 4 == 1 }, rest, into),
            _ => Err(BodyError::Malformed("the AVC packet type does not exist")),
        }
    }

    /// Reads an audio message; `dts` in microseconds. Nothing comes of an empty one.
    ///
    /// # Errors
    /// The message cannot be used and is dropped.
    pub fn audio(&mut self, dts: i64, body: Bytes, into: &mut Vec<Packet>) -> Result<(), BodyError> {
        let Some(&head) = body.first() else { return Ok(()) };
        let rest = body.slice(1..);
        match head >> 4 {
            legacy::ENHANCED_SOUND => {
                let Some(part) = enhanced::read(Kind::Audio, &body, &mut self.others)? else { return Ok(()) };
                let dts = dts.saturating_add(i64::from(part.nanos / 1000));
                match part.packet {
                    enhanced::CONFIGURATION => self.audio.configure(part.codec, &part.payload, into),
                    enhanced::END => {
                        into.push(Packet::End(Kind::Audio));
                        Ok(())
                    }
                    _ => self.audio.frame(part.codec, dts, part.payload, into),
                }
            }
            legacy::MP3 | legacy::MP3_8_KHZ => self.audio.frame(Codec::Mp3, dts, rest, into),
            legacy::AAC => match rest.first() {
                None => Ok(()),
                Some(0) => self.audio.configure(Codec::Aac, &rest[1..], into),
                Some(1) => self.audio.frame(Codec::Aac, dts, rest.slice(1..), into),
                Some(_) => Err(BodyError::Malformed("the AAC packet type does not exist")),
            },
            0 | 3 => Err(BodyError::OtherCodec("PCM")),
            1 => Err(BodyError::OtherCodec("ADPCM")),
            4..=6 => Err(BodyError::OtherCodec("Nellymoser")),
            7 | 8 => Err(BodyError::OtherCodec("G.711")),
            11 => Err(BodyError::OtherCodec("Speex")),
            _ => Err(BodyError::OtherCodec("one with an unknown number")),
        }
    }

    /// Reads a data message (a script tag); `dts` in microseconds.
    ///
    /// # Errors
    /// It is not AMF0 and is dropped.
    pub fn script(&mut self, dts: i64, body: Bytes, into: &mut Vec<Packet>) -> Result<(), BodyError> {
        let Some((name, at)) = name(&body)? else { return Ok(()) };
        let (name, body) = match name.as_str() {
            // RTMP's way of saying "keep this for those who come later".
            "@setDataFrame" => {
                let rest = body.slice(at..);
                match self::name(&rest)? {
                    Some((name, at)) => ((name, at), rest),
                    None => return Ok(()),
                }
            }
            "@clearDataFrame" => {
                into.push(Packet::Metadata(Bytes::new()));
                return Ok(());
            }
            _ => ((name, at), body),
        };
        amf::read_all(&body)?;
        into.push(match name {
            (name, at) if name == "onMetaData" => Packet::Metadata(body.slice(at..)),
            _ => Packet::Frame { kind: Kind::Data, key: true, dts, cts: 0, data: body },
        });
        Ok(())
    }
}

/// The name that a script tag begins with, and where what follows stands. None where there is nothing.
fn name(body: &Bytes) -> Result<Option<(String, usize)>, BodyError> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut reader = amf::Reader::new(body);
    let name = reader.name()?;
    Ok(Some((name, reader.at())))
}

/// Composition time: 24 bits with a sign, milliseconds; here microseconds.
fn composition(payload: &Bytes) -> Result<i32, BodyError> {
    let [a, b, c] = *payload.first_chunk().ok_or(BodyError::TooShort)?;
    Ok((i32::from_be_bytes([a, b, c, 0]) >> 8).saturating_mul(1000))
}

/// When a picture is, and whether its head calls it a key frame.
#[derive(Debug, Clone, Copy)]
struct Moment {
    dts: i64,
    cts: i32,
    flagged: bool,
}

impl Picture {
    fn configure(&mut self, codec: Codec, record: Bytes, into: &mut Vec<Packet>) -> Result<(), BodyError> {
        if self.came.as_ref().is_some_and(|(before, came)| *before == codec && *came == record) {
            return Ok(());
        }
        if record.len() > codec::RECORD_BYTES_MAX {
            return Err(codec::too_long(codec).into());
        }
        let (sets, track) = match codec {
            Codec::H264 => {
                let record = h264::Record::read(&record)?;
                let track = record.track()?;
                (Sets::H264(record), Some(track))
            }
            Codec::H265 => {
                let record = h265::Record::read(&record)?;
                let track = record.track()?;
                (Sets::H265(record), Some(track))
            }
            // libaom's record is empty: the first key frame has what is needed.
            _ => match av1::Record::read(&record) {
                Ok(record) => {
                    let track = record.track();
                    (Sets::Av1(Some(record)), Some(track))
                }
                Err(_) if record.len() <= 4 => (Sets::Av1(None), None),
                Err(error) => return Err(error.into()),
            },
        };
        self.came = Some((codec, record));
        self.sets = sets;
        if let Some(track) = track {
            change(&mut self.track, track, into);
        }
        Ok(())
    }

    fn frame(
        &mut self,
        codec: Codec,
        moment: Moment,
        data: Bytes,
        into: &mut Vec<Packet>,
    ) -> Result<(), BodyError> {
        let Moment { dts, cts, flagged } = moment;
        let data = match (&self.sets, codec) {
            (Sets::H264(h264::Record { length_size, .. }), Codec::H264)
            | (Sets::H265(h265::Record { length_size, .. }), Codec::H265) => units(&data, *length_size)?,
            (Sets::Av1(_), Codec::Av1) => av1::normal(&data)?,
            _ => return Err(BodyError::NotConfigured(codec)),
        };
        let key = codec::is_key(codec, &data) || flagged && codec == Codec::H264 && h264::is_intra(&data);
        if key && let Some(track) = self.sets.renewed(&data) {
            change(&mut self.track, track, into);
        }
        if self.track.is_none() {
            return Err(BodyError::NotConfigured(codec));
        }
        into.push(Packet::Frame { kind: Kind::Video, key, dts, cts, data });
        Ok(())
    }
}

/// NAL units behind lengths of four bytes. Some encoders send start codes where there should be lengths.
fn units(data: &Bytes, length_size: u8) -> Result<Bytes, CodecError> {
    nal::relength(data, length_size).or_else(|error| {
        let is_coded = data.starts_with(&[0, 0, 1]) || data.starts_with(&[0, 0, 0, 1]);
        let coded = if is_coded { nal::from_annex_b(data) } else { Bytes::new() };
        if coded.is_empty() { Err(error) } else { Ok(coded) }
    })
}

impl Sets {
    /// The track, where this key frame brings other parameter sets than the configuration had.
    fn renewed(&mut self, data: &Bytes) -> Option<Track> {
        match self {
            Self::None => None,
            Self::H264(record) => {
                let renewed = record.renewed(data)?;
                let track = renewed.track().ok()?;
                // Lengths have been put right before this is asked, and are right in what comes next.
                *record = h264::Record { length_size: record.length_size, ..renewed };
                Some(track)
            }
            Self::H265(record) => {
                let renewed = record.renewed(data)?;
                let track = renewed.track().ok()?;
                *record = h265::Record { length_size: record.length_size, ..renewed };
                Some(track)
            }
            Self::Av1(record) => {
                let renewed = av1::Record::of(data).ok()?;
                if record.as_ref().is_some_and(|record| record.obu() == renewed.obu()) {
                    return None;
                }
                let track = renewed.track();
                *record = Some(renewed);
                Some(track)
            }
        }
    }
}

impl Sound {
    fn configure(&mut self, codec: Codec, record: &[u8], into: &mut Vec<Packet>) -> Result<(), BodyError> {
        // Its frames say what it is.
        if codec != Codec::Mp3 {
            change(&mut self.track, codec::track(codec, record)?, into);
        }
        Ok(())
    }

    fn frame(
        &mut self,
        codec: Codec,
        dts: i64,
        data: Bytes,
        into: &mut Vec<Packet>,
    ) -> Result<(), BodyError> {
        if data.is_empty() {
            return Ok(());
        }
        if codec == Codec::Mp3 {
            return self.mp3(dts, data, into);
        }
        if self.track.as_ref().is_none_or(|track| track.codec != codec) {
            return Err(BodyError::NotConfigured(codec));
        }
        // Raw AAC cannot begin as an ADTS header does.
        let header = if codec == Codec::Aac { aac::adts_header(&data) } else { None };
        let data = data.slice(header.unwrap_or(0)..);
        into.push(Packet::Frame { kind: Kind::Audio, key: true, dts, cts: 0, data });
        Ok(())
    }

    /// A message may have several frames of MP3; some encoders pack them so.
    fn mp3(&mut self, dts: i64, data: Bytes, into: &mut Vec<Packet>) -> Result<(), BodyError> {
        let (mut rest, mut at) = (data, dts);
        while !rest.is_empty() {
            let header = mp3::Header::read(&rest)?;
            let is_same = |track: &Arc<Track>| {
                let Detail::Audio { rate, channels, .. } = track.detail else { return false };
                track.codec == Codec::Mp3 && (rate, channels) == (header.rate, header.channels)
            };
            if !self.track.as_ref().is_some_and(is_same) {
                change(&mut self.track, header.track(), into);
            }
            let behind = rest.split_off(header.frame_bytes.min(rest.len()));
            into.push(Packet::Frame { kind: Kind::Audio, key: true, dts: at, cts: 0, data: rest });
            at += i64::from(header.samples) * 1_000_000 / i64::from(header.rate);
            rest = behind;
        }
        Ok(())
    }
}

/// Says that the track is another one, where it is.
fn change(known: &mut Option<Arc<Track>>, track: Track, into: &mut Vec<Packet>) {
    if known.as_ref().is_none_or(|known| **known != track) {
        let track = Arc::new(track);
        *known = Some(track.clone());
        into.push(Packet::Track(track));
    }
}
