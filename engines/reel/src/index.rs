//! The index of a take: a head and one entry for each piece, 48 bytes each, numbers little endian.

use yizhan_talk::Timestamp;

/// Bytes of an entry, and of the head.
pub(crate) const ENTRY_BYTES: usize = 48;
/// How an index begins.
const MAGIC: [u8; 8] = *b"YZREEL1\n";

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A piece was written. Whether decoding can begin with it.
    Piece {
        /// Decoding can begin here.
        key: bool,
    },
    /// What stands before the first piece: an MP4's `ftyp` and `moov`, an FLV's header.
    Head,
    /// All before it is safe on the disk.
    Synced,
    /// The take is whole; nothing follows. `offset` is its length, `dts` its last time, `seq` how many pieces it has.
    Finished,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Piece { key: false } => 1,
            Self::Piece { key: true } => 2,
            Self::Head => 3,
            Self::Synced => 4,
            Self::Finished => 5,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Piece { key: false },
            2 => Self::Piece { key: true },
            3 => Self::Head,
            4 => Self::Synced,
            5 => Self::Finished,
            _ => return None,
        })
    }
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Bytes of the piece.
    pub(crate) length: u32,
    /// Where it begins in the take.
    pub(crate) offset: u64,
    /// When its first frame is decoded, microseconds.
    pub(crate) dts: i64,
    /// When that was, by the wall's clock.
    pub(crate) at: Timestamp,
    /// Counts the pieces, from 1 on.
    pub(crate) seq: u64,
    /// CRC-32C of its bytes.
    pub(crate) sum: u32,
}

impl Entry {
    /// Where the piece ends.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.length))
    }

    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0] = self.kind.code();
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.dts.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.at.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.seq.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.sum.to_le_bytes());
        seal(&mut bytes);
        bytes
    }

    /// `None` where these are not the bytes of a whole entry.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; ENTRY_BYTES] = unsealed(bytes)?;
        Some(Self {
            kind: Kind::from_code(bytes[0])?,
            length: u32::from_le_bytes(field(bytes, 4)),
            offset: u64::from_le_bytes(field(bytes, 8)),
            dts: i64::from_le_bytes(field(bytes, 16)),
            at: Timestamp(u64::from_le_bytes(field(bytes, 24))),
            seq: u64::from_le_bytes(field(bytes, 32)),
            sum: u32::from_le_bytes(field(bytes, 40)),
        })
    }
}

/// The head of an index of a take that began then.
pub(crate) fn head(began: Timestamp) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&began.0.to_le_bytes());
    seal(&mut bytes);
    bytes
}

/// When the take of this head began; `None` where it is no head.
pub(crate) fn read_head(bytes: &[u8]) -> Option<Timestamp> {
    let bytes = unsealed(bytes)?;
    bytes.starts_with(&MAGIC).then(|| Timestamp(u64::from_le_bytes(field(bytes, 8))))
}

fn seal(bytes: &mut [u8; ENTRY_BYTES]) {
    let sum = crc32c::crc32c(&bytes[..ENTRY_BYTES - 4]);
    bytes[ENTRY_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
}

fn unsealed(bytes: &[u8]) -> Option<&[u8; ENTRY_BYTES]> {
    let bytes: &[u8; ENTRY_BYTES] = bytes.first_chunk()?;
    let sum = u32::from_le_bytes(field(bytes, ENTRY_BYTES - 4));
    (crc32c::crc32c(&bytes[..ENTRY_BYTES - 4]) == sum).then_some(bytes)
}

/// `N` bytes of an entry.
fn field<const N: usize>(bytes: &[u8; ENTRY_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_heads_come_back_and_broken_ones_do_not() {
        for kind in
            [Kind::Piece { key: true }, Kind::Piece { key: false }, Kind::Head, Kind::Synced, Kind::Finished]
        {
            let entry = Entry {
                kind,
                length: 7,
                offset: 1 << 40,
                dts: -5,
                at: Timestamp(9),
                seq: 3,
                sum: 0xdead_beef,
            };
            let bytes = entry.encode();
            assert_eq!(Entry::decode(&bytes), Some(entry));
            assert_eq!(Entry::decode(&bytes[..47]), None);
            for bit in 0..ENTRY_BYTES * 8 {
                let mut broken = bytes;
                broken[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Entry::decode(&broken), None, "{bit}");
            }
            assert_eq!(read_head(&bytes), None);
        }
        assert_eq!(read_head(&head(Timestamp(17))), Some(Timestamp(17)));
        assert_eq!(Entry::decode(&[0; ENTRY_BYTES]), None);
    }
}
