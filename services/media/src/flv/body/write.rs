//! Frames and configurations become bodies.

use std::ops::Deref;

use bytes::{BufMut, Bytes, BytesMut};

use super::{enhanced, fourcc, legacy};
use crate::{
    frame::{Frame, Kind},
    track::{Codec, Detail, Track},
};

/// What stands before a frame's data: at most eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    bytes: [u8; 8],
    len: u8,
}

impl Prefix {
    const NONE: Self = Self { bytes: [0; 8], len: 0 };

    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
                *place = *byte;
                self.len += 1;
            }
        }
    }
}

impl Deref for Prefix {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What stands before the data of this frame in the body of a tag or message. Nothing for data frames, and for a frame
/// without a track, which is not to be sent.
#[must_use]
pub fn prefix(frame: &Frame) -> Prefix {
    let mut prefix = Prefix::NONE;
    let Some(track) = frame.track() else { return prefix };
    // Milliseconds of both, and then the difference: it does not add up errors of rounding.
    let later = frame.pts().div_euclid(1000) - frame.dts_millis();
    let [_, later @ ..] = i32::try_from(later).unwrap_or(i32::MAX).clamp(0, 0x7f_ffff).to_be_bytes();
    let kind: u8 = if frame.key { 1 } else { 2 };
    match track.codec {
        Codec::H264 => {
            prefix.put(&[kind << 4 | legacy::AVC, 1]);
            prefix.put(&later);
        }
        Codec::H265 => {
            let is_same = later == [0; 3];
            let packet = if is_same { enhanced::FRAME_AT_ONCE } else { enhanced::FRAME };
            prefix.put(&[0x80 | kind << 4 | packet]);
            prefix.put(&fourcc(track.codec));
            prefix.put(if is_same { &[] } else { &later });
        }
        Codec::Av1 => {
            prefix.put(&[0x80 | kind << 4 | enhanced::FRAME]);
            prefix.put(&fourcc(track.codec));
        }
        Codec::Aac => prefix.put(&[AAC_HEAD, 1]),
        Codec::Opus => {
            prefix.put(&[legacy::ENHANCED_SOUND << 4 | enhanced::FRAME]);
            prefix.put(&fourcc(track.codec));
        }
        Codec::Mp3 => prefix.put(&[mp3_head(track)]),
    }
    prefix
}

/// The body with a track's configuration, which stands before its first frame. Empty for MP3, which needs none.
#[must_use]
pub fn sequence_header(track: &Track) -> Bytes {
    let mut into = BytesMut::with_capacity(track.record.len() + 8);
    match track.codec {
        Codec::H264 => into.put_slice(&[0x10 | legacy::AVC, 0, 0, 0, 0]),
        Codec::Aac => into.put_slice(&[AAC_HEAD, 0]),
        Codec::Mp3 => return Bytes::new(),
        Codec::H265 | Codec::Av1 | Codec::Opus => {
            let head = match track.codec.kind() {
                Kind::Video => 0x90,
                _ => legacy::ENHANCED_SOUND << 4,
            };
            into.put_u8(head | enhanced::CONFIGURATION);
            into.put_slice(&fourcc(track.codec));
        }
    }
    into.put_slice(&track.record);
    into.freeze()
}

/// AAC always says 44,100 Hz, 16 bits, stereo (§E.4.2.1): its configuration says what is so.
const AAC_HEAD: u8 = legacy::AAC << 4 | 0x0f;

/// MP3 has four rates in its head; players read the frame's own.
fn mp3_head(track: &Track) -> u8 {
    let (rate, channels) = match track.detail {
        Detail::Audio { rate, channels, .. } => (rate, channels),
        Detail::Video { .. } => (44_100, 2),
    };
    let (codec, index) = match rate {
        8_000 => (legacy::MP3_8_KHZ, 0),
        32_000.. => (legacy::MP3, 3),
        16_000.. => (legacy::MP3, 2),
        _ => (legacy::MP3, 1),
    };
    codec << 4 | index << 2 | 2 | u8::from(channels > 1)
}
