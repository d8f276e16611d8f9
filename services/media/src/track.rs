//! What frames are encoded with.

use std::sync::Arc;

use bytes::Bytes;

use crate::frame::Kind;

/// A codec that a broadcast may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264, AVC (ISO 14496-10).
    H264,
    /// H.265, HEVC (ISO 23008-2).
    H265,
    /// AV1.
    Av1,
    /// AAC (ISO 14496-3).
    Aac,
    /// Opus (RFC 6716).
    Opus,
    /// MPEG-1 audio layer III.
    Mp3,
}

impl Codec {
    /// Whether it is picture or sound.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::H264 | Self::H265 | Self::Av1 => Kind::Video,
            Self::Aac | Self::Opus | Self::Mp3 => Kind::Audio,
        }
    }

    /// As people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::Av1 => "AV1",
            Self::Aac => "AAC",
            Self::Opus => "Opus",
            Self::Mp3 => "MP3",
        }
    }
}

/// One codec's configuration. Always shared; a new one is made when the publisher sends another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// The codec.
    pub codec: Codec,
    /// The configuration record as FLV and MP4 carry it: avcC, hvcC, av1C (without their box heads),
    /// AudioSpecificConfig, the OpusHead packet (RFC 7845 §5.1); empty for MP3.
    pub record: Bytes,
    /// What it says.
    pub detail: Detail,
    /// For `CODECS=` and `codecs=` (RFC 6381): `avc1.64001f`, `mp4a.40.2`, `hvc1.1.6.L93.B0`, `av01.0.04M.08`, `opus`,
    /// `mp4a.40.34`.
    pub rfc6381: String,
}

/// What a configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Picture.
    Video {
        /// Pixels, cropped.
        width: u32,
        /// Pixels, cropped.
        height: u32,
        /// Frames in 1,000 seconds, where the configuration names it.
        millihertz: Option<u32>,
    },
    /// Sound.
    Audio {
        /// Samples a second.
        rate: u32,
        /// Channels.
        channels: u8,
        /// Samples of one frame, where all have as many: 1,024 for AAC-LC.
        frame_samples: Option<u32>,
    },
}

/// All tracks of a broadcast at one time. Always shared: two frames with the same `Arc` have the same setup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Counts the setups of a broadcast, from 1 on: a larger one is another one.
    pub number: u32,
    /// Counts its publishers, from 1 on: timestamps of another one go on behind a gap.
    pub epoch: u32,
    /// The picture.
    pub video: Option<Arc<Track>>,
    /// The sound.
    pub audio: Option<Arc<Track>>,
    /// The body of the newest `onMetaData` script tag (AMF0, after the name), as viewers get it; empty where none came.
    pub metadata: Bytes,
}

impl Setup {
    /// All `codecs` of RFC 6381, picture first, with commas.
    #[must_use]
    pub fn rfc6381(&self) -> String {
        let tracks = [&self.video, &self.audio];
        tracks.into_iter().flatten().map(|track| track.rfc6381.as_str()).collect::<Vec<_>>().join(",")
    }
}
