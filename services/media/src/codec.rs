//! What codecs put into configuration records and into the first bytes of a frame: enough to describe a track, to find
//! key frames and to carry them in other containers. Nothing is decoded.
//!
//! Records come from publishers: whatever is in them, reading ends with a track or with a [`CodecError`].

pub mod aac;
pub mod av1;
pub mod bits;
pub mod h264;
pub mod h265;
pub mod mp3;
pub mod nal;
pub mod opus;

use bytes::Bytes;
use yizhan_wire::ReadError;

use crate::track::{Codec, Track};

/// Pixels of a side; more than any level of a codec allows.
const SIDE_MAX: u32 = 16_384;

/// Bytes of a record. Real ones have a few hundred.
pub const RECORD_BYTES_MAX: usize = 64 << 10;

/// Why a configuration record or a frame cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end too early.
    #[error("{codec}: the bytes end within {what}")]
    TooShort {
        /// Of which codec.
        codec: &'static str,
        /// What they were read as.
        what: &'static str,
    },
    /// The standard forbids what is there.
    #[error("{codec}: {why}")]
    Bad {
        /// Of which codec.
        codec: &'static str,
        /// What is wrong.
        why: &'static str,
    },
}

/// Errors of one codec, made where it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults(&'static str);

impl Faults {
    pub(crate) const fn of(codec: Codec) -> Self {
        Self(codec.name())
    }

    pub(crate) const fn short(self, what: &'static str) -> CodecError {
        CodecError::TooShort { codec: self.0, what }
    }

    pub(crate) const fn bad(self, why: &'static str) -> CodecError {
        CodecError::Bad { codec: self.0, why }
    }

    /// For `map_err`: reading bytes can fail only by their end.
    pub(crate) fn ended<E: Into<Ended>>(self, what: &'static str) -> impl Fn(E) -> CodecError {
        move |_| self.short(what)
    }
}

/// The bytes have ended: what reading of bytes and of bits both come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

impl From<ReadError> for Ended {
    fn from(_: ReadError) -> Self {
        // Numbers and slices of bytes cannot fail otherwise.
        Self
    }
}

/// The track that a configuration record describes. The record of the track is normalised: one length size of four
/// bytes, nothing behind its end. For MP3, which has none, the header of a frame stands for it.
///
/// # Errors
/// The record is cut short, breaks its standard, or describes what nobody can play.
pub fn track(codec: Codec, record: &[u8]) -> Result<Track, CodecError> {
    if record.len() > RECORD_BYTES_MAX {
        return Err(too_long(codec));
    }
    match codec {
        Codec::H264 => h264::Record::read(record)?.track(),
        Codec::H265 => h265::Record::read(record)?.track(),
        Codec::Av1 => av1::Record::read(record).map(|record| record.track()),
        Codec::Aac => aac::Config::read(record).map(|config| config.track(record)),
        Codec::Opus => opus::Head::read(record).map(|head| head.track()),
        Codec::Mp3 => mp3::Header::read(record).map(mp3::Header::track),
    }
}

/// A record has more than [`RECORD_BYTES_MAX`].
pub(crate) const fn too_long(codec: Codec) -> CodecError {
    Faults::of(codec).bad("its record is longer than 64 KiB")
}

/// Whether decoding can begin with this frame, by what is in it and not by what its container says. Always for sound.
/// Expects data as in [`Frame::data`](crate::Frame::data).
#[must_use]
pub fn is_key(codec: Codec, data: &[u8]) -> bool {
    match codec {
        Codec::H264 => h264::is_key(data),
        Codec::H265 => h265::is_key(data),
        Codec::Av1 => av1::is_key(data),
        Codec::Aac | Codec::Opus | Codec::Mp3 => true,
    }
}

/// Whether pictures may be shown in another order than they are sent in (B frames), as far as the record says. A
/// record that says nothing means that they may.
#[must_use]
pub fn reorders(track: &Track) -> bool {
    match track.codec {
        Codec::H264 => h264::Record::read(&track.record)
            .and_then(|record| record.picture())
            .is_ok_and(|sps| sps.reorder != Some(0)),
        Codec::H265 => h265::Record::read(&track.record)
            .and_then(|record| record.picture())
            .is_ok_and(|sps| sps.reorder != Some(0)),
        Codec::Av1 | Codec::Aac | Codec::Opus | Codec::Mp3 => false,
    }
}

/// The parameter sets of a record in the order in which a decoder wants them (VPS, SPS, PPS), without lengths or start
/// codes: MPEG-TS and RTP repeat them before key frames. None for codecs that have none.
#[must_use]
pub fn parameter_sets(track: &Track) -> Vec<Bytes> {
    match track.codec {
        Codec::H264 => h264::Record::read(&track.record)
            .map(|record| [record.sps, record.pps, record.sps_ext].concat())
            .unwrap_or_default(),
        Codec::H265 => h265::Record::read(&track.record)
            .map(|record| [record.vps, record.sps, record.pps].concat())
            .unwrap_or_default(),
        Codec::Av1 | Codec::Aac | Codec::Opus | Codec::Mp3 => Vec::new(),
    }
}

/// Frames in 1,000 seconds from a count of time units in a frame and in a second, where that is a rate one can have.
fn millihertz(units: u64, scale: u64) -> Option<u32> {
    let rate = u128::from(scale) * 1000;
    let rate = rate.checked_div(u128::from(units))?;
    u32::try_from(rate).ok().filter(|rate| (100..=1_000_000).contains(rate))
}

#[cfg(test)]
pub(crate) mod tests;
