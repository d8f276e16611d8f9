//! MPEG-TS segments for HLS (ISO 13818-1): picture and sound in packets of 188 bytes.
//!
//! A segment is made of its samples and its number alone, so it can be made when somebody asks for it, and by any node
//! alike. Continuity counters go on over segments all the same: each segment brings them back to where the next one
//! begins.

mod annexb;
mod packet;
mod pes;
mod segment;
mod tables;

use crate::{
    codec::aac,
    track::{Codec, Setup},
};

pub use segment::segment;

/// A setup that MPEG-TS cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotInTs {
    /// Players know no way of this codec in MPEG-TS.
    #[error("{} is not in MPEG-TS: play the CMAF playlist or FLV", .0.name())]
    Codec(Codec),
    /// An AAC configuration that an ADTS header has no words for (ISO 14496-3 §1.A.2.2).
    #[error("this kind of AAC is not in MPEG-TS: play the CMAF playlist or FLV")]
    Aac,
}

/// Whether segments of this setup can be made.
///
/// # Errors
/// One of its tracks is not for MPEG-TS.
pub fn in_ts(setup: &Setup) -> Result<(), NotInTs> {
    for track in [&setup.video, &setup.audio].into_iter().flatten() {
        match track.codec {
            Codec::H264 | Codec::H265 | Codec::Mp3 => {}
            Codec::Aac => {
                let head = aac::Config::read(&track.record).and_then(|config| config.adts(0));
                head.map_err(|_| NotInTs::Aac)?;
            }
            Codec::Av1 | Codec::Opus => return Err(NotInTs::Codec(track.codec)),
        }
    }
    Ok(())
}
