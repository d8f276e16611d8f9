//! NAL units behind start codes, as MPEG-TS carries them (ISO 14496-10 Annex B, ISO 23008-2 Annex B).

use bytes::Bytes;

use crate::track::{Codec, Track};

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
    /// From a track's configuration record. A record that breaks off has the sets up to there.
    pub(super) fn new(track: &Track) -> Self {
        if track.codec == Codec::H265 {
            let sets = hvcc_sets(&track.record);
            Self { delimiter: &[0x46, 0x01, 0x50], is_delimiter: |first| first >> 1 & 0x3F == 35, sets }
        } else {
            let sets = avcc_sets(&track.record);
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
        let mut rest = data;
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let Some((nal, behind)) = behind.split_at_checked(length) else { break };
            rest = behind;
            let Some(&first) = nal.first() else { continue };
            // What stands there already is not written again.
            if !(self.is_delimiter)(first) && !sets.iter().any(|set| set == nal) {
                unit(nal, out);
            }
        }
    }
}

fn unit(nal: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&START);
    out.extend_from_slice(nal);
}

/// Sequence and picture parameter sets of an avcC (ISO 14496-15 §5.3.3.1).
fn avcc_sets(record: &Bytes) -> Vec<Bytes> {
    let mut sets = Vec::new();
    let mut at = 5;
    for mask in [0x1F, 0xFF] {
        let count = record.get(at).map_or(0, |count| count & mask);
        at += 1;
        for _ in 0..count {
            let Some(set) = sized(record, &mut at) else { return sets };
            sets.push(set);
        }
    }
    sets
}

/// Video, sequence and picture parameter sets, and what else is there, of an hvcC (ISO 14496-15 §8.3.3.1).
fn hvcc_sets(record: &Bytes) -> Vec<Bytes> {
    let mut sets = Vec::new();
    let mut at = 23;
    for _ in 0..record.get(22).copied().unwrap_or(0) {
        let Some(&[_, high, low]) = record.get(at..at + 3) else { return sets };
        at += 3;
        for _ in 0..u16::from_be_bytes([high, low]) {
            let Some(set) = sized(record, &mut at) else { return sets };
            sets.push(set);
        }
    }
    sets
}

/// A unit behind a length of two bytes; moves `at` behind it.
fn sized(record: &Bytes, at: &mut usize) -> Option<Bytes> {
    let &[high, low] = record.get(*at..*at + 2)? else { return None };
    let (begin, end) = (*at + 2, *at + 2 + usize::from(u16::from_be_bytes([high, low])));
    record.get(begin..end)?;
    *at = end;
    Some(record.slice(begin..end))
}
