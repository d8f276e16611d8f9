//! Bodies of FLV tags, which are those of RTMP's audio, video and data messages, too.

mod enhanced;
mod read;
mod write;

pub use self::{
    read::{BodyError, Reader},
    write::{Prefix, prefix, sequence_header},
};
use crate::{
    frame::Kind,
    track::{Codec, Track},
};

/// Numbers of codecs in heads of one byte (FLV §E.4.2.1, §E.4.3.1).
mod legacy {
    pub(super) const MP3: u8 = 2;
    pub(super) const MP3_8_KHZ: u8 = 14;
    pub(super) const AAC: u8 = 10;
    pub(super) const AVC: u8 = 7;
    /// Not in the standard, but what encoders used before there was Enhanced RTMP.
    pub(super) const HEVC: u8 = 12;
    /// Says that an enhanced head follows.
    pub(super) const ENHANCED_SOUND: u8 = 9;
    /// A message to the player instead of a picture.
    pub(super) const COMMAND: u8 = 5;
}

/// The type of a tag (FLV §E.4.1), and of the RTMP message with the same body.
#[must_use]
pub const fn tag_type(kind: Kind) -> u8 {
    match kind {
        Kind::Audio => 8,
        Kind::Video => 9,
        Kind::Data => 18,
    }
}

/// What `videocodecid` and `audiocodecid` of `onMetaData` call a track: the number, or the four characters as one.
#[must_use]
pub fn codec_number(track: &Track) -> u32 {
    match track.codec {
        Codec::H264 => legacy::AVC.into(),
        Codec::Aac => legacy::AAC.into(),
        Codec::Mp3 => legacy::MP3.into(),
        Codec::H265 | Codec::Av1 | Codec::Opus => u32::from_be_bytes(fourcc(track.codec)),
    }
}

/// Four characters of the enhanced form.
const fn fourcc(codec: Codec) -> [u8; 4] {
    match codec {
        Codec::H264 => *b"avc1",
        Codec::H265 => *b"hvc1",
        Codec::Av1 => *b"av01",
        Codec::Aac => *b"mp4a",
        Codec::Opus => *b"Opus",
        Codec::Mp3 => *b".mp3",
    }
}
