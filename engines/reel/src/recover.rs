//! What a take is after a crash: everything up to its last whole piece.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use yizhan_talk::Timestamp;

use crate::index::{ENTRY_BYTES, Entry, Kind, read_head};

/// Bytes that are summed up at a time.
const PIECE_BYTES: usize = 256 << 10;

/// A take as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) began: Timestamp,
    pub(crate) bytes: u64,
    pub(crate) pieces: u64,
    /// Of the first piece, microseconds.
    pub(crate) first_dts: i64,
    /// Of the last one.
    pub(crate) last_dts: i64,
    /// When the last piece was.
    pub(crate) ended: Timestamp,
    /// Bytes that were cut off; `None` where it was whole.
    pub(crate) cut: Option<u64>,
}

/// Looks at a take, and mends it where it was not finished. `None` where nothing of it can be used: whoever asked may
/// take it away.
pub(crate) fn recover(take: &Path, index: &Path) -> io::Result<Option<Found>> {
    let mut entries = Entries::open(index)?;
    let Some(began) = entries.head()? else { return Ok(None) };
    let bytes_there = match std::fs::metadata(take) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if let Some(found) = finished(&mut entries, began, bytes_there)? {
        return Ok(Some(found));
    }
    let whole = whole(&mut entries, take, bytes_there)?;
    let (Some(first), Some(last)) = (whole.first, whole.last) else { return Ok(None) };
    cut(take, whole.bytes)?;
    let end = Entry {
        kind: Kind::Finished,
        length: 0,
        offset: whole.bytes,
        dts: last.dts,
        at: last.at,
        seq: last.seq,
        sum: 0,
    };
    let mut file = OpenOptions::new().write(true).open(index)?;
    file.set_len(whole.index_bytes)?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(&end.encode())?;
    file.sync_all()?;
    Ok(Some(Found {
        began,
        bytes: whole.bytes,
        pieces: last.seq,
        first_dts: first.dts,
        last_dts: last.dts,
        ended: last.at,
        cut: Some(bytes_there.saturating_sub(whole.bytes)),
    }))
}

/// A take whose last entry says that it is whole, and is.
fn finished(entries: &mut Entries, began: Timestamp, bytes_there: u64) -> io::Result<Option<Found>> {
    let Some(end) = entries.last()? else { return Ok(None) };
    if end.kind != Kind::Finished || end.offset != bytes_there {
        return Ok(None);
    }
    entries.rewind()?;
    let mut first = None;
    while first.is_none()
        && let Some(entry) = entries.next()?
    {
        first = matches!(entry.kind, Kind::Piece { .. }).then_some(entry);
    }
    let first_dts = first.map_or(end.dts, |entry| entry.dts);
    Ok(Some(Found {
        began,
        bytes: end.offset,
        pieces: end.seq,
        first_dts,
        last_dts: end.dts,
        ended: end.at,
        cut: None,
    }))
}

/// How much of a take is good.
#[derive(Debug, Default)]
struct Whole {
    bytes: u64,
    index_bytes: u64,
    first: Option<Entry>,
    last: Option<Entry>,
}

impl Whole {
    fn add(&mut self, entry: &Entry) {
        self.index_bytes += ENTRY_BYTES as u64;
        match entry.kind {
            Kind::Piece { .. } => {
                self.bytes = entry.end();
                self.first.get_or_insert(*entry);
                self.last = Some(*entry);
            }
            Kind::Head => self.bytes = entry.end(),
            Kind::Synced | Kind::Finished => {}
        }
    }
}

/// Walks along the entries as long as they fit to each other and to the file. What was not made safe is summed up: it
/// may have holes.
fn whole(entries: &mut Entries, take: &Path, bytes_there: u64) -> io::Result<Whole> {
    let safe_through = entries.last_synced()?;
    let mut file = File::open(take)?;
    let mut whole = Whole { index_bytes: ENTRY_BYTES as u64, ..Whole::default() };
    let mut number = 0_u64;
    entries.rewind()?;
    while let Some(entry) = entries.next()? {
        match entry.kind {
            // One that turned out not to be whole: what follows it is no part of it.
            Kind::Finished => break,
            Kind::Synced => {}
            Kind::Piece { .. } | Kind::Head => {
                let fits = entry.offset == whole.bytes && entry.end() <= bytes_there;
                let safe = safe_through.is_some_and(|safe| number < safe);
                if !fits || !(safe || sum(&mut file, &entry)? == entry.sum) {
                    break;
                }
            }
        }
        whole.add(&entry);
        number += 1;
    }
    Ok(whole)
}

fn sum(file: &mut File, entry: &Entry) -> io::Result<u32> {
    file.seek(SeekFrom::Start(entry.offset))?;
    let mut piece = vec![0; PIECE_BYTES.min(entry.length as usize)];
    let (mut left, mut sum) = (entry.length as usize, 0);
    while left > 0 {
        let length = left.min(piece.len());
        file.read_exact(&mut piece[..length])?;
        sum = crc32c::crc32c_append(sum, &piece[..length]);
        left -= length;
    }
    Ok(sum)
}

fn cut(take: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(take)?;
    file.set_len(bytes)?;
    file.sync_all()
}

/// An index that is read entry by entry.
pub(crate) struct Entries {
    file: io::BufReader<File>,
}

impl Entries {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: io::BufReader::with_capacity(ENTRY_BYTES * 128, File::open(path)?) })
    }

    /// When the take began; leaves the place behind the head.
    fn head(&mut self) -> io::Result<Option<Timestamp>> {
        Ok(self.block()?.and_then(|bytes| read_head(&bytes)))
    }

    /// Goes to the first entry.
    pub(crate) fn rewind(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(ENTRY_BYTES as u64)).map(drop)
    }

    /// The next entry; `None` at the end, or where none that is whole follows.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        Ok(self.block()?.and_then(|bytes| Entry::decode(&bytes)))
    }

    /// The entry that stands last in the file, where it ends with a whole one.
    fn last(&mut self) -> io::Result<Option<Entry>> {
        let length = self.file.get_ref().metadata()?.len();
        let size = ENTRY_BYTES as u64;
        if length < 2 * size || length % size != 0 {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Start(length - size))?;
        self.next()
    }

    /// How many entries stand before the last word that all was safe.
    fn last_synced(&mut self) -> io::Result<Option<u64>> {
        self.rewind()?;
        let (mut number, mut synced) = (0, None);
        while let Some(entry) = self.next()? {
            if entry.kind == Kind::Synced {
                synced = Some(number);
            }
            number += 1;
        }
        Ok(synced)
    }

    fn block(&mut self) -> io::Result<Option<[u8; ENTRY_BYTES]>> {
        let mut bytes = [0; ENTRY_BYTES];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}
