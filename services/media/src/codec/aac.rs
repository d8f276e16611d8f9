//! AAC: AudioSpecificConfig (ISO 14496-3 §1.6.2.1) and the ADTS header (§1.A.2.2).

use bytes::Bytes;

use super::{CodecError, Ended, Faults, bits::Bits};
use crate::track::{Codec, Detail, Track};

const FAULTS: Faults = Faults::of(Codec::Aac);

/// Sample rates by their index (§1.6.3.4).
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Channels by their configuration (§1.6.3.5); 0 where the standard has none.
const CHANNELS: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0];

/// Bytes of an ADTS header without a checksum.
pub const ADTS_BYTES: usize = 7;

/// What AudioSpecificConfig says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The audio object type of the core: 2 is AAC-LC.
    pub object: u8,
    /// Samples a second of the core.
    pub core_rate: u32,
    /// Samples a second that come out: twice as many where bands are replicated (HE-AAC).
    pub rate: u32,
    /// `channelConfiguration`; 0 where the config lists the channels itself.
    pub channel_config: u8,
    /// Channels that come out.
    pub channels: u8,
    /// Samples that come out of one frame.
    pub frame_samples: u32,
    /// Bands are replicated (SBR, HE-AAC).
    pub replicated: bool,
    /// Stereo is made of one channel (PS, HE-AAC v2).
    pub parametric: bool,
}

impl Config {
    /// Reads a config.
    ///
    /// # Errors
    /// It is cut short, or describes a kind of AAC that is not carried in live streams.
    pub fn read(record: &[u8]) -> Result<Self, CodecError> {
        Self::parse(&mut Bits::new(record)).map_err(|_| FAULTS.short("its record (AudioSpecificConfig)"))?
    }

    fn parse(bits: &mut Bits<'_>) -> Result<Result<Self, CodecError>, Ended> {
        let mut object = object_type(bits)?;
        let core_rate = rate(bits)?;
        let channel_config = bits.small(4)?;
        let (mut extended, mut parametric) = (None, false);
        if object == 5 || object == 29 {
            parametric = object == 29;
            extended = Some(rate(bits)?);
            object = object_type(bits)?;
        }
        let frame: [u32; 2] = match object {
            1..=4 => [1024, 960],
            23 => [512, 480],
            _ => return Ok(Err(FAULTS.bad("the audio object type is not one of Main, LC, SSR, LTP and LD"))),
        };
        let short = bits.flag()?; // frameLengthFlag
        if bits.flag()? {
            bits.skip(14)?; // coreCoderDelay
        }
        bits.skip(1)?; // extensionFlag
        let mut channels = CHANNELS[usize::from(channel_config)];
        if channel_config == 0 {
            channels = program(bits)?;
        }
        if extended.is_none() && bits.left() >= 16 {
            // What is behind is optional: where it is broken it is as if it were not there.
            (extended, parametric) = extension(bits).unwrap_or_default();
        }
        if parametric && channels == 1 {
            channels = 2;
        }
        let rate = extended.unwrap_or(core_rate);
        if core_rate == 0 || rate == 0 || channels == 0 {
            return Ok(Err(FAULTS.bad("the sample rate or the channels do not exist")));
        }
        let samples = u64::from(frame[usize::from(short)]) * u64::from(rate) / u64::from(core_rate);
        Ok(Ok(Self {
            object,
            core_rate,
            rate,
            channel_config,
            channels,
            frame_samples: u32::try_from(samples).unwrap_or(u32::MAX).max(1),
            replicated: extended.is_some(),
            parametric,
        }))
    }

    /// The track of this config, which was read from `record`.
    #[must_use]
    pub fn track(&self, record: &[u8]) -> Track {
        let object = match (self.parametric, self.replicated) {
            (true, _) => 29,
            (false, true) => 5,
            (false, false) => self.object,
        };
        Track {
            codec: Codec::Aac,
            record: Bytes::copy_from_slice(record),
            detail: Detail::Audio {
                rate: self.rate,
                channels: self.channels,
                frame_samples: Some(self.frame_samples),
            },
            rfc6381: format!("mp4a.40.{object}"),
        }
    }

    /// The header that stands before a raw frame of so many bytes in ADTS.
    ///
    /// # Errors
    /// ADTS has no room for the frame, or no name for what this is.
    pub fn adts(&self, frame_bytes: usize) -> Result<[u8; ADTS_BYTES], CodecError> {
        let index = RATES.iter().position(|rate| *rate == self.core_rate);
        let index = index.and_then(|index| u8::try_from(index).ok());
        let (Some(index), 1..=4, 1..=7) = (index, self.object, self.channel_config) else {
            return Err(FAULTS.bad("ADTS cannot carry this kind, rate or order of channels"));
        };
        let len = u16::try_from(frame_bytes + ADTS_BYTES).ok().filter(|len| *len < 1 << 13);
        let len = len.ok_or(FAULTS.bad("a frame is longer than 8 KiB"))?;
        let [high, low] = len.to_be_bytes();
        let channels = self.channel_config;
        Ok([
            0xff,
            0xf1,
            (self.object - 1) << 6 | index << 2 | channels >> 2,
            channels << 6 | high >> 3,
            high << 5 | low >> 3,
            low << 5 | 0x1f,
            0xfc,
        ])
    }
}

/// The length of the ADTS header that data begins with, where the frame behind it ends with the data. Some encoders
/// leave the header on frames that should be raw.
#[must_use]
pub fn adts_header(data: &[u8]) -> Option<usize> {
    let (head, _) = data.split_first_chunk::<ADTS_BYTES>()?;
    let len = usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5);
    let is = head[0] == 0xff && head[1] & 0xf6 == 0xf0 && len == data.len() && head[6] & 3 == 0;
    let header = if head[1] & 1 == 1 { ADTS_BYTES } else { ADTS_BYTES + 2 };
    (is && header < data.len()).then_some(header)
}

fn object_type(bits: &mut Bits<'_>) -> Result<u8, Ended> {
    match bits.small(5)? {
        31 => Ok(bits.small(6)? + 32),
        object => Ok(object),
    }
}

/// A sample rate; 0 for an index that has none.
fn rate(bits: &mut Bits<'_>) -> Result<u32, Ended> {
    match bits.small(4)? {
        15 => bits.number(24),
        index => Ok(RATES.get(usize::from(index)).copied().unwrap_or(0)),
    }
}

/// The channels of a program config element (§4.5.1.2).
fn program(bits: &mut Bits<'_>) -> Result<u8, Ended> {
    bits.skip(10)?; // element_instance_tag, object_type, sampling_frequency_index
    let mut counts = [0; 3];
    for count in &mut counts {
        *count = bits.small(4)?; // front, side, back
    }
    let low = bits.small(2)?;
    bits.skip(7)?; // associated data, coupling
    for len in [4, 4, 3] {
        if bits.flag()? {
            bits.skip(len)?; // mixdown
        }
    }
    let mut channels = low;
    for _ in 0..counts.iter().sum() {
        channels += 1 + u8::from(bits.flag()?);
        bits.skip(4)?;
    }
    Ok(channels)
}

/// The rate of replicated bands, and whether stereo is made, where a decoder that knows neither may pass over them
/// (§1.6.5.3).
fn extension(bits: &mut Bits<'_>) -> Result<(Option<u32>, bool), Ended> {
    if bits.number(11)? != 0x2b7 || object_type(bits)? != 5 || !bits.flag()? {
        return Ok((None, false));
    }
    let extended = Some(rate(bits)?).filter(|rate| *rate > 0);
    let parametric = bits.left() >= 12 && bits.number(11)? == 0x548 && bits.flag()?;
    Ok((extended, parametric))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(record: &[u8]) -> (u8, u32, u8, u32, String) {
        let config = Config::read(record).unwrap();
        (config.object, config.rate, config.channels, config.frame_samples, config.track(record).rfc6381)
    }

    #[test]
    fn configs_of_real_encoders_are_read() {
        // LC 44,100 stereo; LC 48,000 stereo with the extension that says "no SBR", as ffmpeg writes it.
        assert_eq!(read(&[0x12, 0x10]), (2, 44_100, 2, 1024, "mp4a.40.2".into()));
        assert_eq!(read(&[0x11, 0x90, 0x56, 0xe5, 0x00]), (2, 48_000, 2, 1024, "mp4a.40.2".into()));
        // HE-AAC said openly, HE-AAC v2 said openly, HE-AAC said so that LC decoders pass over it.
        assert_eq!(read(&[0x2b, 0x11, 0x88, 0x00]), (2, 48_000, 2, 2048, "mp4a.40.5".into()));
        assert_eq!(read(&[0xeb, 0x09, 0x88, 0x00]), (2, 48_000, 2, 2048, "mp4a.40.29".into()));
        assert_eq!(read(&[0x13, 0x10, 0x56, 0xe5, 0x98]), (2, 48_000, 2, 2048, "mp4a.40.5".into()));
        // 5.1; a rate written out; frames of 960 samples.
        assert_eq!(read(&[0x11, 0xb0]), (2, 48_000, 6, 1024, "mp4a.40.2".into()));
        assert_eq!(read(&[0x17, 0x80, 0x5d, 0xc0, 0x10]).1, 48_000);
        assert_eq!(read(&[0x12, 0x14]).3, 960);
    }

    #[test]
    fn configs_that_nobody_can_play_are_refused() {
        for bad in [&[][..], &[0x12], &[0x00, 0x00], &[0x16, 0x90], &[0x17, 0x80, 0, 0, 0x10], &[0xff; 9]] {
            assert!(Config::read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn adts_headers_name_the_core_and_the_length() {
        let lc = Config::read(&[0x12, 0x10]).unwrap();
        assert_eq!(lc.adts(100), Ok([0xff, 0xf1, 0x50, 0x80, 0x0d, 0x7f, 0xfc]));
        assert_eq!(lc.adts(8184).unwrap()[4], 0xff);
        assert!(lc.adts(8185).is_err() && lc.adts(usize::MAX - 7).is_err());
        let he = Config::read(&[0x2b, 0x11, 0x88, 0x00]).unwrap();
        assert_eq!(he.adts(1).unwrap()[2], 0x58);
        let mut framed = lc.adts(3).unwrap().to_vec();
        framed.extend_from_slice(&[1, 2, 3]);
        assert_eq!(adts_header(&framed), Some(7));
        assert_eq!(adts_header(&framed[..9]), None);
        assert_eq!(adts_header(&framed[7..]), None);
    }
}
