//! Where in a recording one may begin to read: `mfra`, at the end of the file (ISO 14496-12 §8.8.9).

use bytes::Bytes;

use super::{init::track_id, writer::Writer};
use crate::frame::Kind;

/// The fragments of a recording that begin with something to begin at.
#[derive(Debug, Clone, Default)]
pub struct Index {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: Kind,
    time: u64,
    offset: u64,
    /// Which `traf` of the fragment, from 1 on.
    traf: u8,
}

impl Index {
    /// A fragment begins at the byte `offset` of the file (its `moof`'s, not a `styp`'s), and the first sample of this
    /// kind in it is a key frame that is shown at `time`, ticks of its track. `traf` counts the tracks that the fragment
    /// has, from 1 on: the picture's comes before the sound's.
    pub fn add(&mut self, kind: Kind, time: u64, offset: u64, traf: u8) {
        self.entries.push(Entry { kind, time, offset, traf });
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The box that a recording ends with.
    #[must_use]
    pub fn finish(&self) -> Bytes {
        let mut w = Writer::with_capacity(64 + self.entries.len() * 19);
        w.boxed(b"mfra", |w| {
            for kind in [Kind::Video, Kind::Audio] {
                if self.entries.iter().any(|entry| entry.kind == kind) {
                    self.tfra(w, kind);
                }
            }
            // The last four bytes of the file say how long this box is: readers look for it from there.
            let length = w.len() + 16;
            w.full(b"mfro", 0, 0, |w| w.u32(u32::try_from(length).unwrap_or(u32::MAX)));
        });
        w.into_vec().into()
    }

    fn tfra(&self, w: &mut Writer, kind: Kind) {
        let entries = self.entries.iter().filter(|entry| entry.kind == kind);
        w.full(b"tfra", 1, 0, |w| {
            w.u32(track_id(kind));
            // One byte each for the numbers of traf, trun and sample.
            w.u32(0);
            w.u32(u32::try_from(entries.clone().count()).unwrap_or(u32::MAX));
            for entry in entries {
                w.u64(entry.time);
                w.u64(entry.offset);
                w.bytes(&[entry.traf, 1, 1]);
            }
        });
    }
}
