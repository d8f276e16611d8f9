//! What a door that sends for certain writes down with its session.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::link::Keepsake;

/// How far the door is with a message that it sends for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Written down, not safe yet.
    Noted,
    /// Sent.
    Sent,
    /// The client has it; that is not safe yet.
    Received,
}

/// What a door writes down: by message, the phase and the delivery's number.
#[derive(Debug, Default)]
pub(super) struct Notes(pub(super) Mutex<BTreeMap<u64, (Phase, u64)>>);

impl Keepsake for Notes {
    fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        for (id, (phase, number)) in &*self.0.lock() {
            out.extend(id.to_le_bytes());
            out.push(*phase as u8);
            out.extend(number.to_le_bytes());
        }
        out.into()
    }
}

impl Notes {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let long = |b: &[u8]| u64::from_le_bytes(b.try_into().unwrap());
        let note = |b: &[u8]| {
            let phase = [Phase::Noted, Phase::Sent, Phase::Received][b[8] as usize];
            (long(&b[..8]), (phase, long(&b[9..])))
        };
        Self(Mutex::new(bytes.chunks(17).map(note).collect()))
    }
}
