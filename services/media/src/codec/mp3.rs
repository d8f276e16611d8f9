//! MP3: the header of a frame (ISO 11172-3 §2.4.1.3, ISO 13818-3 for half the rates, and the usual quarter of them).

use bytes::Bytes;

use super::{CodecError, Faults};
use crate::track::{Codec, Detail, Track};

const FAULTS: Faults = Faults::of(Codec::Mp3);

/// Thousand bits a second by index, MPEG-1 layer III.
const FULL: [u32; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
/// The same for MPEG-2 and 2.5.
const HALF: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/// Bytes of a header.
pub const HEADER_BYTES: usize = 4;

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Samples a second.
    pub rate: u32,
    /// Channels: 1 or 2.
    pub channels: u8,
    /// Samples of the frame.
    pub samples: u32,
    /// Bytes of the frame with its header.
    pub frame_bytes: usize,
}

impl Header {
    /// Reads the header that a frame begins with.
    ///
    /// # Errors
    /// It is not one of layer III, or does not say how long the frame is (free format).
    pub fn read(frame: &[u8]) -> Result<Self, CodecError> {
        let head = frame.first_chunk::<HEADER_BYTES>().ok_or(FAULTS.short("a frame's header"))?;
        let [sync, kind, numbers, mode] = *head;
        if sync != 0xff || kind & 0xe0 != 0xe0 {
            return Err(FAULTS.bad("a frame does not begin with a header"));
        }
        // Layer III is 01; version 01 does not exist.
        let version = kind >> 3 & 3;
        if kind >> 1 & 3 != 1 || version == 1 {
            return Err(FAULTS.bad("a frame is not of layer III"));
        }
        let (bitrate, rate) = (usize::from(numbers >> 4), usize::from(numbers >> 2 & 3));
        let full = version == 3;
        let table = if full { &FULL } else { &HALF };
        let bitrate = *table.get(bitrate).ok_or(FAULTS.bad("a frame has a bit rate that does not exist"))?;
        let rate = *[44_100_u32, 48_000, 32_000]
            .get(rate)
            .ok_or(FAULTS.bad("a frame has a sample rate that does not exist"))?;
        if bitrate == 0 {
            return Err(FAULTS.bad("a frame is in free format"));
        }
        let rate = rate
            >> match version {
                3 => 0,
                2 => 1,
                _ => 2,
            };
        let samples = if full { 1152 } else { 576 };
        let padding = u32::from(numbers >> 1 & 1);
        let frame_bytes = samples / 8 * bitrate * 1000 / rate + padding;
        let channels = if mode >> 6 == 3 { 1 } else { 2 };
        Ok(Self { rate, channels, samples, frame_bytes: frame_bytes as usize })
    }

    /// The track of frames with this header. It has no record.
    #[must_use]
    pub fn track(self) -> Track {
        Track {
            codec: Codec::Mp3,
            record: Bytes::new(),
            detail: Detail::Audio {
                rate: self.rate,
                channels: self.channels,
                frame_samples: Some(self.samples),
            },
            rfc6381: "mp4a.40.34".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: u32) -> Option<(u32, u8, u32, usize)> {
        let header = Header::read(&head.to_be_bytes()).ok()?;
        Some((header.rate, header.channels, header.samples, header.frame_bytes))
    }

    #[test]
    fn headers_say_rate_channels_and_length() {
        assert_eq!(read(0xfffb_9064), Some((44_100, 2, 1152, 417)));
        assert_eq!(read(0xfffb_9264), Some((44_100, 2, 1152, 418)));
        assert_eq!(read(0xfffb_94c4), Some((48_000, 1, 1152, 384)));
        assert_eq!(read(0xfff3_80c4), Some((22_050, 1, 576, 208)));
        assert_eq!(read(0xffe3_48c4), Some((8_000, 1, 576, 288)));
    }

    #[test]
    fn what_is_no_header_of_layer_three_is_refused() {
        for bad in [0, 0xfff9_9064, 0xffeb_9064, 0xfffb_f064, 0xfffb_0064, 0xfffb_9c64, 0x4944_3303] {
            assert_eq!(read(bad), None, "{bad:#x}");
        }
        assert!(Header::read(&[0xff, 0xfb, 0x90]).is_err());
    }
}
