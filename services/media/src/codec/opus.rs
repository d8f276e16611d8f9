//! Opus: the identification header (RFC 7845 §5.1) and the length of packets (RFC 6716 §3.1).

use bytes::{BufMut, Bytes, BytesMut};
use yizhan_wire::Reader;

use super::{CodecError, Faults};
use crate::track::{Codec, Detail, Track};

const FAULTS: Faults = Faults::of(Codec::Opus);

/// Opus always plays with so many samples a second.
pub const RATE: u32 = 48_000;
/// What the header begins with.
const MAGIC: &[u8; 8] = b"OpusHead";
/// Samples of the longest packet: 120 ms.
const SAMPLES_MAX: u32 = 5760;

/// What the identification header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Channels.
    pub channels: u8,
    /// Samples that a player leaves out at the beginning.
    pub pre_skip: u16,
    /// Samples a second of what was encoded. Information only.
    pub input_rate: u32,
    /// How much louder to play, 1/256 dB.
    pub gain: i16,
    /// 0: mono or stereo. Others have a table.
    pub family: u8,
    /// Streams, pairs, and where each channel comes from; empty for family 0.
    pub mapping: Bytes,
}

impl Head {
    /// Reads a header.
    ///
    /// # Errors
    /// It is cut short, or has no channels.
    pub fn read(record: &[u8]) -> Result<Self, CodecError> {
        let short = FAULTS.ended("its record (OpusHead)");
        let mut bytes = Reader::new(record);
        if bytes.array().map_err(&short)? != *MAGIC {
            return Err(FAULTS.bad("the record does not begin with OpusHead"));
        }
        let version = bytes.u8().map_err(&short)?;
        let channels = bytes.u8().map_err(&short)?;
        let pre_skip = bytes.u16_le().map_err(&short)?;
        let input_rate = bytes.u32_le().map_err(&short)?;
        let gain = bytes.u16_le().map_err(&short)?.cast_signed();
        let family = bytes.u8().map_err(&short)?;
        if version > 15 {
            return Err(FAULTS.bad("the record is not of version 1"));
        }
        if channels == 0 || family == 0 && channels > 2 {
            return Err(FAULTS.bad("the channels do not exist"));
        }
        let mapping = match family {
            0 => &[][..],
            _ => bytes.bytes(2 + usize::from(channels)).map_err(&short)?,
        };
        Ok(Self { channels, pre_skip, input_rate, gain, family, mapping: Bytes::copy_from_slice(mapping) })
    }

    /// The track.
    #[must_use]
    pub fn track(&self) -> Track {
        Track {
            codec: Codec::Opus,
            record: self.write(),
            detail: Detail::Audio { rate: RATE, channels: self.channels, frame_samples: None },
            rfc6381: "opus".to_owned(),
        }
    }

    fn write(&self) -> Bytes {
        let mut into = BytesMut::new();
        into.put_slice(MAGIC);
        into.put_slice(&[1, self.channels]);
        into.put_u16_le(self.pre_skip);
        into.put_u32_le(self.input_rate);
        into.put_i16_le(self.gain);
        into.put_u8(self.family);
        into.put_slice(&self.mapping);
        into.freeze()
    }
}

/// How many samples a packet has, 48,000 of them a second; `None` where it is no packet.
#[must_use]
pub fn samples(packet: &[u8]) -> Option<u32> {
    let first = *packet.first()?;
    let config = first >> 3;
    let frame = match config {
        0..12 => [480, 960, 1920, 2880][usize::from(config & 3)],
        12..16 => [480, 960][usize::from(config & 1)],
        _ => 120 << (config & 3),
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    Some(frame * frames).filter(|samples| (1..=SAMPLES_MAX).contains(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEREO: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";

    #[test]
    fn a_header_is_read_and_written() {
        let head = Head::read(STEREO).unwrap();
        assert_eq!((head.channels, head.pre_skip, head.input_rate), (2, 312, 48_000));
        assert_eq!(head.track().record, STEREO);
        let surround = b"OpusHead\x01\x06\x38\x01\x80\xbb\0\0\0\0\x01\x04\x02\0\x04\x01\x02\x03\x05";
        assert_eq!(Head::read(surround).unwrap().track().record, surround[..]);
    }

    #[test]
    fn headers_that_are_none_are_refused() {
        assert!(Head::read(b"").is_err() && Head::read(b"OpusTags").is_err());
        for len in 0..STEREO.len() {
            assert!(Head::read(&STEREO[..len]).is_err());
        }
        let with = |at: usize, value| {
            let mut head = STEREO.to_vec();
            head[at] = value;
            Head::read(&head).is_err()
        };
        assert!(with(8, 0x10) && with(9, 0) && with(9, 3) && with(18, 1));
    }

    #[test]
    fn packets_say_how_long_they_are() {
        assert_eq!(samples(&[0xfc]), Some(960));
        assert_eq!(samples(&[0xfd]), Some(1920));
        assert_eq!(samples(&[0x18]), Some(2880));
        assert_eq!(samples(&[0x80]), Some(120));
        assert_eq!(samples(&[0x60]), Some(480));
        assert_eq!(samples(&[0xff, 6]), Some(5760));
        assert_eq!(
            (samples(&[0xff, 7]), samples(&[0xff]), samples(&[0xff, 0]), samples(&[])),
            (None, None, None, None)
        );
    }
}
