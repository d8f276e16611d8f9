//! AAC with a head on each frame: ADTS (ISO 14496-3 §1.A.2.2).

/// Bytes of a head without a checksum.
pub(super) const ADTS_BYTES: usize = 7;
/// A frame's length has thirteen bits, the head among it.
pub(super) const FRAME_BYTES_MAX: usize = 0x1FFF - ADTS_BYTES;

/// What all heads of a track say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adts {
    profile: u8,
    frequency: u8,
    channels: u8,
}

impl Adts {
    /// From an AudioSpecificConfig (§1.6.2.1); `None` where a head has no words for it: other than the first four object
    /// types, a frequency that is not in the table, channels that are told in another place.
    pub(super) fn new(record: &[u8]) -> Option<Self> {
        let (&first, &second) = (record.first()?, record.get(1)?);
        let mut object = first >> 3;
        let frequency = (first & 7) << 1 | second >> 7;
        let channels = second >> 3 & 0x0F;
        if matches!(object, 5 | 29) {
            // HE-AAC told explicitly: 4 bits of the doubled frequency, then the object that it is built on. A head names
            // that one, and decoders find the rest in the frames.
            let third = *record.get(2)?;
            let extended = (second & 7) << 1 | third >> 7;
            object = third >> 2 & 0x1F;
            if extended == 15 {
                return None;
            }
        }
        let told = (1..=4).contains(&object) && frequency < 13 && (1..=7).contains(&channels);
        told.then_some(Self { profile: object - 1, frequency, channels })
    }

    /// The head of a frame of at most [`FRAME_BYTES_MAX`].
    pub(super) fn head(self, frame: usize) -> [u8; ADTS_BYTES] {
        let length = frame + ADTS_BYTES;
        [
            0xFF,
            // MPEG-4, no checksum.
            0xF1,
            self.profile << 6 | self.frequency << 2 | self.channels >> 2,
            (self.channels & 3) << 6 | (length >> 11) as u8 & 3,
            (length >> 3) as u8,
            (length << 5) as u8 | 0x1F,
            // Buffer fullness: not told. One frame.
            0xFC,
        ]
    }
}
