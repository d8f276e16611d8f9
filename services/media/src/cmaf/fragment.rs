//! A fragment: `moof` says where the samples lie, `mdat` has them (ISO 14496-12 §8.8).

use bytes::Bytes;

use super::{Sample, init::track_id, writer::Writer};
use crate::frame::Kind;

/// Flags of a sample that decoding can begin at: it depends on none (ISO 14496-12 §8.8.3.1).
const SYNC: u32 = 0x0200_0000;
/// Flags of one that depends on others.
const DEPENDS: u32 = 0x0101_0000;

// Flags of `tfhd` (§8.8.7) and of `trun` (§8.8.8).
const TFHD_DURATION: u32 = 0x00_0008;
const TFHD_FLAGS: u32 = 0x00_0020;
const TFHD_BASE_IS_MOOF: u32 = 0x02_0000;
const TRUN_DATA_OFFSET: u32 = 0x001;
const TRUN_FIRST_FLAGS: u32 = 0x004;
const TRUN_DURATION: u32 = 0x100;
const TRUN_SIZE: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_OFFSET: u32 = 0x800;

/// The samples of one track in a fragment.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Whose they are.
    pub kind: Kind,
    /// They follow each other without gaps.
    pub samples: &'a [Sample],
}

/// What differs between the samples of a run, and therefore stands at each of them.
struct Shape {
    /// All of them have this one.
    duration: Option<u32>,
    offsets: bool,
    flags: Flags,
}

enum Flags {
    /// All of them have these.
    All(u32),
    /// The first is a key frame, all others depend on it.
    First,
    Each,
}

/// One fragment of all runs that have samples: `moof` with the number `number`, `mdat`; empty where no run has any. With
/// `opens` a `styp` stands before it: it is the first of a segment.
#[must_use]
pub fn fragment(number: u32, opens: bool, runs: &[Run<'_>]) -> Bytes {
    let samples: usize = runs.iter().map(|run| run.samples.len()).sum();
    if samples == 0 {
        return Bytes::new();
    }
    let data: usize = runs.iter().flat_map(|run| run.samples).map(|sample| sample.frame.data.len()).sum();
    let mut w = Writer::with_capacity(256 + samples * 16 + data);
    if opens {
        w.boxed(b"styp", |w| w.bytes(b"msdh\0\0\0\0msdhmsix"));
    }
    let moof = w.len();
    // Where each run's data offset is to stand.
    let mut holes = Vec::with_capacity(runs.len());
    w.boxed(b"moof", |w| {
        w.full(b"mfhd", 0, 0, |w| w.u32(number));
        for run in runs.iter().filter(|run| !run.samples.is_empty()) {
            w.boxed(b"traf", |w| holes.push(traf(w, run)));
        }
    });
    let mut offset = w.len() - moof + 8;
    for (hole, run) in holes.into_iter().zip(runs.iter().filter(|run| !run.samples.is_empty())) {
        w.patch(hole, u32::try_from(offset).unwrap_or(u32::MAX));
        offset += run.samples.iter().map(|sample| sample.frame.data.len()).sum::<usize>();
    }
    w.boxed(b"mdat", |w| {
        for sample in runs.iter().flat_map(|run| run.samples) {
            w.bytes(&sample.frame.data);
        }
    });
    w.into_vec().into()
}

/// What a `traf` has in it; returns where its data offset stands.
fn traf(w: &mut Writer, run: &Run<'_>) -> usize {
    let shape = Shape::of(run.samples);
    let mut flags = TFHD_BASE_IS_MOOF;
    flags |= if shape.duration.is_some() { TFHD_DURATION } else { 0 };
    flags |= if matches!(shape.flags, Flags::Each) { 0 } else { TFHD_FLAGS };
    w.full(b"tfhd", 0, flags, |w| {
        w.u32(track_id(run.kind));
        if let Some(duration) = shape.duration {
            w.u32(duration);
        }
        match shape.flags {
            Flags::All(flags) => w.u32(flags),
            Flags::First => w.u32(DEPENDS),
            Flags::Each => (),
        }
    });
    w.full(b"tfdt", 1, 0, |w| w.u64(run.samples[0].start));
    trun(w, run.samples, &shape)
}

fn trun(w: &mut Writer, samples: &[Sample], shape: &Shape) -> usize {
    let mut flags = TRUN_DATA_OFFSET | TRUN_SIZE;
    flags |= if shape.duration.is_none() { TRUN_DURATION } else { 0 };
    flags |= if shape.offsets { TRUN_OFFSET } else { 0 };
    flags |= match shape.flags {
        Flags::All(_) => 0,
        Flags::First => TRUN_FIRST_FLAGS,
        Flags::Each => TRUN_FLAGS,
    };
    let mut hole = 0;
    w.full(b"trun", 1, flags, |w| {
        w.u32(u32::try_from(samples.len()).unwrap_or(u32::MAX));
        hole = w.len();
        w.u32(0);
        if matches!(shape.flags, Flags::First) {
            w.u32(SYNC);
        }
        for sample in samples {
            if shape.duration.is_none() {
                w.u32(sample.duration);
            }
            w.u32(u32::try_from(sample.frame.data.len()).unwrap_or(u32::MAX));
            if matches!(shape.flags, Flags::Each) {
                w.u32(flags_of(sample));
            }
            if shape.offsets {
                w.u32(sample.offset);
            }
        }
    });
    hole
}

impl Shape {
    fn of(samples: &[Sample]) -> Self {
        let first = &samples[0];
        let rest = &samples[1..];
        let flags = if rest.iter().all(|sample| flags_of(sample) == flags_of(first)) {
            Flags::All(flags_of(first))
        } else if flags_of(first) == SYNC && rest.iter().all(|sample| flags_of(sample) == DEPENDS) {
            Flags::First
        } else {
            Flags::Each
        };
        Self {
            duration: rest.iter().all(|sample| sample.duration == first.duration).then_some(first.duration),
            offsets: samples.iter().any(|sample| sample.offset != 0),
            flags,
        }
    }
}

fn flags_of(sample: &Sample) -> u32 {
    if sample.frame.key || sample.frame.kind == Kind::Audio { SYNC } else { DEPENDS }
}
