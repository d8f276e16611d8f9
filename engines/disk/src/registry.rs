//! Which number, epoch and lanes a space's name has: given once, the same after every restart.

use yizhan_hub::{message::SpaceId, space::Space, store::StoreError};
use yizhan_talk::Timestamp;
use yizhan_wire::{ReadError, Reader, Writer};

use crate::tables::{SPACES, Tables};

/// Spaces one store has at most; numbers above belong to spaces in memory.
const SPACES_MAX: u16 = 0x8000;
/// Bytes of a space's name that show in its folder's name.
const NAME_SHOWN_MAX: usize = 64;

/// What is known of a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) id: SpaceId,
    pub(crate) epoch: u32,
    pub(crate) lanes: u16,
}

impl Registered {
    /// The name of the folder that has the journal.
    pub(crate) fn folder_name(&self, space: &str) -> String {
        format!("{:04x}-{}", self.id.0, escape(space))
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut value = vec![];
        let mut w = Writer::new(&mut value);
        w.u16_le(self.id.0);
        w.u16_le(self.lanes);
        w.u32_le(self.epoch);
        value
    }

    pub(crate) fn read(value: &[u8]) -> Result<Self, StoreError> {
        let mut r = Reader::new(value);
        let mut read =
            || Ok::<_, ReadError>(Self { id: SpaceId(r.u16_le()?), lanes: r.u16_le()?, epoch: r.u32_le()? });
        let corrupt = || StoreError::Corrupt { place: "the table of spaces".into() };
        let read = read().map_err(|_| corrupt())?;
        if read.lanes == 0 { Err(corrupt()) } else { Ok(read) }
    }
}

/// All spaces by name.
pub(crate) fn all(tables: &Tables) -> Result<Vec<(String, Registered)>, StoreError> {
    let mut all = vec![];
    tables.scan_rows(SPACES, &[], |name, value| {
        all.push(Registered::read(value).map(|r| (String::from_utf8_lossy(name).into_owned(), r)));
    })?;
    all.into_iter().collect()
}

/// What is known of a space, made where nothing is.
pub(crate) fn find_or_make(
    tables: &Tables,
    space: &Space,
    now: Timestamp,
    lanes_max: u16,
) -> Result<Registered, StoreError> {
    let all = all(tables)?;
    if let Some((_, known)) = all.iter().find(|(name, _)| *name == space.name) {
        if known.lanes != space.lanes.clamp(1, lanes_max) {
            let lanes = known.lanes;
            tracing::warn!(space = space.name, lanes, "a journal keeps the number of lanes it was made with");
        }
        return Ok(*known);
    }
    let id = all.iter().map(|(_, r)| r.id.0 + 1).max().unwrap_or(0);
    if id >= SPACES_MAX {
        return Err(StoreError::Failed(format!("a store has at most {SPACES_MAX} spaces")));
    }
    let registered =
        Registered { id: SpaceId(id), epoch: new_epoch(0, now), lanes: space.lanes.clamp(1, lanes_max) };
    tables.write_rows(SPACES, vec![(space.name.clone().into_bytes(), Some(registered.write()))])?;
    Ok(registered)
}

/// An epoch that no earlier life of a journal had, as long as the clock is right: seconds since 1970.
pub(crate) fn new_epoch(last: u32, now: Timestamp) -> u32 {
    u32::try_from(now.0 / 1_000_000).unwrap_or(u32::MAX).max(last.saturating_add(1))
}

/// A name that every file system takes: letters, digits, `-` and `_` as they are, others as `%XX`.
fn escape(name: &str) -> String {
    let mut escaped = String::new();
    for byte in name.bytes().take(NAME_SHOWN_MAX) {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02x}"));
        }
    }
    escaped
}
