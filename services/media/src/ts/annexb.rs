//! NAL units behind start codes, as MPEG-TS carries them (ISO 14496-10 Annex B, ISO 23008-2 Annex B).

use bytes::Bytes;

use crate::{
    codec::{h264, h265, nal},
    track::{Codec, Track},
};

const START: [u8; 4] = [0, 0, 0, 1];

/// How a picture track's access units are written.
#[derive(Debug)]
pub(super) struct AnnexB {
    /// An access unit delimiter that allows any slice type.
    delimiter: &'static [u8],
    is_delimiter: fn(u8) -> bool,
    /// Parameter sets: before every key frame, whether the frame has some or not.
    sets: Vec<Bytes>,
}

impl AnnexB {
    /// From a track's configuration record. One that cannot be read has no sets.
    pub(super) fn new(track: &Track) -> Self {
        if track.codec == Codec::H265 {
            let record = h265::Record::read(&track.record);
            let sets = record.map(|record| [record.vps, record.sps, record.pps].concat()).unwrap_or_default();
            Self { delimiter: &[0x46, 0x01, 0x50], is_delimiter: |first| first >> 1 & 0x3F == 35, sets }
        } else {
            let record = h264::Record::read(&track.record);
            let sets =
                record.map(|record| [record.sps, record.sps_ext, record.pps].concat()).unwrap_or_default();
            Self { delimiter: &[0x09, 0xF0], is_delimiter: |first| first & 0x1F == 9, sets }
        }
    }

    /// Writes an access unit that has lengths of four bytes. A last unit that is shorter than it says is left out.
    pub(super) fn write(&self, key: bool, data: &[u8], out: &mut Vec<u8>) {
        unit(self.delimiter, out);
        let sets = if key { &self.sets[..] } else { &[] };
        for set in sets {
            unit(set, out);
        }
        for nal in nal::units(data) {
            // What stands there already is not written again.
            if !(self.is_delimiter)(nal[0]) && !sets.iter().any(|set| set == nal) {
                unit(nal, out);
            }
        }
    }
}

fn unit(nal: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&START);
    out.extend_from_slice(nal);
}
