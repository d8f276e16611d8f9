//! Reads CMAF with boxes of `mp4-atom`, which knows nothing of ours.

use bytes::Bytes;
use mp4_atom::{Decode, Moof, Moov};

/// A sample as a player sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) dts: u64,
    pub(crate) duration: u32,
    pub(crate) offset: i64,
    pub(crate) key: bool,
    pub(crate) data: Bytes,
}

/// Boxes in a row: what they are called, where they begin, what is in them, with their heads.
pub(crate) fn boxes(file: &[u8]) -> Vec<([u8; 4], usize, &[u8])> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let kind = file[at + 4..at + 8].try_into().unwrap();
        assert!(size >= 8 && at + size <= file.len(), "a box of {size} bytes at {at}");
        found.push((kind, at, &file[at..at + size]));
        at += size;
    }
    found
}

pub(crate) fn moov(init: &[u8]) -> Moov {
    let all = boxes(init);
    assert_eq!(all[0].0, *b"ftyp");
    let (_, _, mut body) = *all.iter().find(|(kind, ..)| kind == b"moov").unwrap();
    Moov::decode(&mut body).unwrap()
}

/// The track number and the timescale of each track.
pub(crate) fn tracks(init: &[u8]) -> Vec<(u32, u32)> {
    let moov = moov(init);
    let extended: Vec<_> = moov.mvex.unwrap().trex.iter().map(|trex| trex.track_id).collect();
    let tracks: Vec<_> =
        moov.trak.iter().map(|trak| (trak.tkhd.track_id, trak.mdia.mdhd.timescale)).collect();
    assert_eq!(extended, tracks.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    tracks
}

/// All samples of a track in fragments that follow each other. Checks that fragments are numbered upwards, and that
/// every byte of each `mdat` belongs to exactly one sample.
pub(crate) fn samples(file: &[u8], track: u32) -> Vec<Sample> {
    let mut found = Vec::new();
    let mut number = 0;
    let all = boxes(file);
    for (index, (kind, at, body)) in all.iter().enumerate() {
        if kind != b"moof" {
            continue;
        }
        let moof = Moof::decode(&mut &body[..]).unwrap();
        assert!(moof.mfhd.sequence_number > number);
        number = moof.mfhd.sequence_number;
        let (kind, mdat, _) = all[index + 1];
        assert_eq!(kind, *b"mdat");
        let mut next = mdat + 8;
        for traf in &moof.traf {
            let mut dts = traf.tfdt.as_ref().unwrap().base_media_decode_time;
            assert!(traf.tfhd.default_base_is_moof);
            for trun in &traf.trun {
                assert_eq!(at + trun.data_offset.unwrap() as usize, next);
                assert!(!trun.samples.is_empty());
                for entry in &trun.samples {
                    let size = entry.size.or(traf.tfhd.default_sample_size).unwrap() as usize;
                    let duration = entry.duration.or(traf.tfhd.default_sample_duration).unwrap();
                    let flags = entry.flags.or(traf.tfhd.default_sample_flags).unwrap();
                    if traf.tfhd.track_id == track {
                        found.push(Sample {
                            dts,
                            duration,
                            offset: entry.cts.unwrap_or(0),
                            // It is no "non-sync sample", and depends on none.
                            key: flags & 0x0001_0000 == 0 && flags >> 24 & 3 == 2,
                            data: Bytes::copy_from_slice(&file[next..next + size]),
                        });
                    }
                    dts += u64::from(duration);
                    next += size;
                }
            }
        }
        assert_eq!(next, mdat + all[index + 1].2.len(), "the mdat has nothing else");
    }
    found
}
