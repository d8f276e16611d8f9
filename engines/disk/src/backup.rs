//! Copies of a store: taken while it runs, verified, and made a store again.
//!
//! A backup is a folder: the journals' files as they are, the tables' rows in one file, and a manifest
//! with the size and checksum of each. At one moment every lane's files get a second name and the tables
//! a snapshot; what follows takes its time and disturbs nobody.

use std::{
    fs,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use yizhan_hub::store::StoreError;
use yizhan_talk::Timestamp;
use yizhan_wire::{Reader, Writer};

use crate::{
    checkpoint,
    disk::{self, Disk, OpenError},
    files::{self, Files, SystemFiles},
    journal::DiskJournal,
    lane::Lane,
    registry::{self, Registered},
    segment::HEADER_BYTES,
    tables::{SPACES, Tables},
};

/// Told how far a long work is: bytes done, and bytes in all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

const MANIFEST: &str = "MANIFEST";
const MANIFEST_FIRST: &str = "yizhan-backup 1";
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// Where a store's files have second names while they are copied.
const STAGING: &str = "backup.tmp";
const ROWS: &str = "tables.rows";
/// Bytes copied at once.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes that one row of a table has at most: keys and values are far smaller.
const ROW_BYTES_MAX: usize = 256 << 20;

/// Why a backup or restore did not happen.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder to write to has something in it.
    #[error("{0} is not empty: choose a new folder")]
    NotEmpty(PathBuf),
    /// The backup is not what was written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// The operating system refused.
    #[error("{path}: {error}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The store could not be read or opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl BackupError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::Io { path, error }
    }
}

/// What is in a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// One file of a backup.
struct Listed {
    crc: u32,
    bytes: u64,
    path: String,
}

/// A file that has a second name and waits to be copied.
struct Linked {
    /// Its path below the folder.
    path: PathBuf,
    /// How much of it belongs to the backup.
    bytes: u64,
    /// The lane and base of a segment: parts of it may be erased while it is copied.
    segment: Option<(Arc<Lane>, u64)>,
}

impl Disk {
    /// The names of all spaces that have a journal here, open or not. A backup has those that are open.
    ///
    /// # Errors
    /// The table of spaces cannot be read.
    pub fn spaces(&self) -> Result<Vec<String>, StoreError> {
        Ok(registry::all(&self.tables)?.into_iter().map(|(name, _)| name).collect())
    }

    /// Writes a backup of everything that is acknowledged at this moment into a new or empty folder, while
    /// the store is used. Blocks.
    ///
    /// # Errors
    /// See [`BackupError`]. What was written so far stays, without a manifest.
    pub fn backup(&self, to: &Path, progress: Progress<'_>) -> Result<BackupReport, BackupError> {
        make_empty(to)?;
        let staging = self.folder().join(STAGING);
        clear(self.folder()).map_err(BackupError::io(&staging))?;
        let result = self.backup_through(&staging, to, progress);
        let journals = self.journals();
        journals.iter().flat_map(|j| &j.lanes).for_each(|lane| lane.log.note_overwrites(false));
        // The second names cost nothing but the space of what retention deletes meanwhile.
        clear(self.folder()).map_err(BackupError::io(&staging))?;
        result
    }

    fn backup_through(
        &self,
        staging: &Path,
        to: &Path,
        progress: Progress<'_>,
    ) -> Result<BackupReport, BackupError> {
        let journals = self.journals();
        let lanes: Vec<_> = journals.iter().flat_map(|journal| &journal.lanes).collect();
        // Nothing is deleted and no shelf changes while names are given and the snapshot is taken.
        let care: Vec<_> = lanes.iter().map(|lane| lane.care.lock()).collect();
        lanes.iter().for_each(|lane| lane.log.note_overwrites(true));
        let mut linked = vec![];
        for journal in &journals {
            link_journal(journal, self.folder(), staging, &mut linked)?;
        }
        let snapshot = self.tables.snapshot()?;
        drop(care);
        let total: u64 = linked.iter().map(|l| l.bytes).sum();
        let mut copied = Copied { listed: vec![], done: 0, total, progress };
        for Linked { path, bytes, segment } in linked {
            copied.copy(&staging.join(&path), to, &path, bytes)?;
            if let Some((lane, base)) = segment {
                copied.copy_erased(&lane, base, &staging.join(&path), &to.join(&path))?;
            }
        }
        let rows = to.join(ROWS);
        let written = self.tables.export(&snapshot, &rows);
        copied.list(ROWS, written?);
        let report = BackupReport {
            files: copied.listed.len() as u64,
            bytes: copied.listed.iter().map(|l| l.bytes).sum(),
        };
        let manifest = manifest(&copied.listed);
        let path = to.join(MANIFEST);
        files::replace(&SystemFiles, &path, manifest.as_bytes()).map_err(BackupError::io(&path))?;
        Ok(report)
    }
}

/// Gives second names to all files of a journal, up to what is safe now.
fn link_journal(
    journal: &DiskJournal,
    folder: &Path,
    staging: &Path,
    linked: &mut Vec<Linked>,
) -> Result<(), BackupError> {
    for lane in &journal.lanes {
        let mut link = |path: &Path, bytes: u64, base: Option<u64>| {
            let below = path.strip_prefix(folder).unwrap_or(path).to_owned();
            let second = staging.join(&below);
            let above = second.parent().unwrap_or(staging);
            fs::create_dir_all(above).map_err(BackupError::io(above))?;
            fs::hard_link(path, &second).map_err(BackupError::io(path))?;
            let segment = base.map(|base| (lane.clone(), base));
            linked.push(Linked { path: below, bytes, segment });
            Ok::<(), BackupError>(())
        };
        for segment in lane.log.segments() {
            link(&segment.path, HEADER_BYTES + segment.bytes(), Some(segment.base))?;
        }
        let names = lane.log.files.list(&lane.log.folder).map_err(BackupError::io(&lane.log.folder))?;
        // One that stands behind the end of what is copied could not be used.
        let end = lane.log.end();
        if let Some(newest) = names.iter().filter_map(|n| checkpoint::end_of(n)).filter(|at| *at <= end).max()
        {
            let path = lane.log.folder.join(checkpoint::file_name(newest));
            let bytes = fs::metadata(&path).map_err(BackupError::io(&path))?.len();
            link(&path, bytes, None)?;
        }
    }
    Ok(())
}

/// Files that were copied, and how far the work is.
struct Copied<'a> {
    listed: Vec<Listed>,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl Copied<'_> {
    fn list(&mut self, path: &str, (crc, bytes): (u32, u64)) {
        self.listed.push(Listed { crc, bytes, path: path.to_owned() });
    }

    /// Copies the first `bytes` of a file and makes the copy safe.
    fn copy(&mut self, from: &Path, to: &Path, below: &Path, bytes: u64) -> Result<(), BackupError> {
        let target = to.join(below);
        let above = target.parent().unwrap_or(to);
        SystemFiles.make_folder(above).map_err(BackupError::io(above))?;
        let mut source = fs::File::open(from).map_err(BackupError::io(from))?.take(bytes);
        let mut copy = fs::File::create_new(&target).map_err(BackupError::io(&target))?;
        let (mut crc, mut copied) = (0, 0);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = source.read(&mut piece).map_err(BackupError::io(from))?;
            if read == 0 {
                break;
            }
            crc = crc32c::crc32c_append(crc, &piece[..read]);
            copy.write_all(&piece[..read]).map_err(BackupError::io(&target))?;
            copied += read as u64;
            self.done += read as u64;
            (self.progress)(self.done, self.total.max(self.done));
        }
        if copied < bytes {
            return Err(BackupError::Damaged(format!(
                "{} has {copied} bytes instead of {bytes}",
                from.display()
            )));
        }
        let safe = copy.sync_all().and_then(|()| SystemFiles.sync_folder(above));
        safe.map_err(BackupError::io(&target))?;
        let path = below.to_string_lossy().into_owned();
        self.list(&path, (crc, copied));
        Ok(())
    }
}

impl Copied<'_> {
    /// Copies again what was erased in the last file while it was copied: what was read may be half of each.
    fn copy_erased(&mut self, lane: &Lane, base: u64, from: &Path, to: &Path) -> Result<(), BackupError> {
        let Some(listed) = self.listed.last_mut() else { return Ok(()) };
        let (mut any, bytes) = (false, listed.bytes);
        lane.log.each_overwritten(base, |begin, end| {
            let (source, copy) = (fs::File::open(from), fs::File::options().write(true).open(to));
            let (source, copy) = (source.map_err(BackupError::io(from))?, copy.map_err(BackupError::io(to))?);
            let mut piece = vec![0; end.min(bytes).saturating_sub(begin) as usize];
            source.read_exact_at(&mut piece, begin).map_err(BackupError::io(from))?;
            any = true;
            copy.write_all_at(&piece, begin).and_then(|()| copy.sync_all()).map_err(BackupError::io(to))
        })?;
        if any {
            let mut copy =
                BufReader::with_capacity(PIECE_BYTES, fs::File::open(to).map_err(BackupError::io(to))?);
            listed.crc = 0;
            loop {
                let piece = copy.fill_buf().map_err(BackupError::io(to))?;
                if piece.is_empty() {
                    break;
                }
                let len = piece.len();
                listed.crc = crc32c::crc32c_append(listed.crc, piece);
                copy.consume(len);
            }
        }
        Ok(())
    }
}

impl Tables {
    /// Writes all rows of a snapshot into a file. Gives its checksum and size.
    fn export(&self, snapshot: &fjall::Snapshot, path: &Path) -> Result<(u32, u64), BackupError> {
        let file = fs::File::create_new(path).map_err(BackupError::io(path))?;
        let (mut into, mut crc, mut bytes) = (BufWriter::new(file), 0, 0);
        let mut row = vec![];
        self.each_row(snapshot, |keyspace, key, value| {
            row.clear();
            let mut w = Writer::new(&mut row);
            w.leb128_bytes(keyspace.as_bytes());
            w.leb128_bytes(key);
            w.leb128_bytes(value);
            let len = u32::try_from(row.len()).map_err(io::Error::other)?.to_le_bytes();
            for piece in [&len[..], &row] {
                into.write_all(piece)?;
                crc = crc32c::crc32c_append(crc, piece);
                bytes += piece.len() as u64;
            }
            Ok(())
        })?;
        let file = into.into_inner().map_err(|error| BackupError::io(path)(error.into_error()))?;
        file.sync_all().map_err(BackupError::io(path))?;
        Ok((crc, bytes))
    }
}

fn manifest(listed: &[Listed]) -> String {
    let mut text = format!("{MANIFEST_FIRST}\n");
    for Listed { crc, bytes, path } in listed {
        text.push_str(&format!("{crc:08x} {bytes} {path}\n"));
    }
    let crc = crc32c::crc32c(text.as_bytes());
    text.push_str(&format!("end {crc:08x}\n"));
    text
}

fn read_manifest(folder: &Path) -> Result<Vec<Listed>, BackupError> {
    let path = folder.join(MANIFEST);
    let bytes = files::read_whole(&SystemFiles, &path, MANIFEST_BYTES_MAX).map_err(BackupError::io(&path))?;
    let damaged = || BackupError::Damaged(format!("{} cannot be read", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| damaged())?;
    let (content, end) = text.rsplit_once("end ").ok_or_else(damaged)?;
    let crc = u32::from_str_radix(end.trim_end(), 16).map_err(|_| damaged())?;
    if crc32c::crc32c(content.as_bytes()) != crc || content.lines().next() != Some(MANIFEST_FIRST) {
        return Err(damaged());
    }
    let line = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let crc = u32::from_str_radix(parts.next()?, 16).ok()?;
        let bytes = parts.next()?.parse().ok()?;
        let path = parts.next()?.to_owned();
        // A manifest names files below its own folder, nothing else.
        let below = Path::new(&path).components().all(|c| matches!(c, std::path::Component::Normal(_)));
        below.then_some(Listed { crc, bytes, path })
    };
    content.lines().skip(1).map(|l| line(l).ok_or_else(damaged)).collect()
}

/// Reads a whole backup and compares it with its manifest. Blocks.
///
/// # Errors
/// [`BackupError::Damaged`] names the first file that is not what was written.
pub fn verify(folder: &Path, progress: Progress<'_>) -> Result<BackupReport, BackupError> {
    let listed = read_manifest(folder)?;
    let total: u64 = listed.iter().map(|l| l.bytes).sum();
    let mut done = 0;
    for file in &listed {
        let path = folder.join(&file.path);
        let mut source = fs::File::open(&path).map_err(BackupError::io(&path))?;
        let (mut crc, mut bytes) = (0, 0);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = source.read(&mut piece).map_err(BackupError::io(&path))?;
            if read == 0 {
                break;
            }
            crc = crc32c::crc32c_append(crc, &piece[..read]);
            bytes += read as u64;
            done += read as u64;
            progress(done, total);
        }
        same(file, crc, bytes)?;
    }
    Ok(BackupReport { files: listed.len() as u64, bytes: total })
}

fn same(file: &Listed, crc: u32, bytes: u64) -> Result<(), BackupError> {
    if (crc, bytes) == (file.crc, file.bytes) {
        return Ok(());
    }
    Err(BackupError::Damaged(format!("{} is not what was written", file.path)))
}

/// Makes a store out of a backup, in a new or empty folder. Blocks.
///
/// Every journal begins a new epoch: clients may have positions of records that came after the backup, and
/// are told that something is missing instead of being given other records for the same places.
///
/// # Errors
/// See [`BackupError`]. What was written so far cannot be opened; remove it.
pub fn restore(
    from: &Path,
    to: &Path,
    now: Timestamp,
    progress: Progress<'_>,
) -> Result<BackupReport, BackupError> {
    let listed = read_manifest(from)?;
    make_empty(to)?;
    let _lock = disk::lock(to)?;
    let unfinished = to.join(disk::UNFINISHED);
    files::replace(&SystemFiles, &unfinished, b"").map_err(BackupError::io(&unfinished))?;
    let total = listed.iter().map(|l| l.bytes).sum();
    let mut copied = Copied { listed: vec![], done: 0, total, progress };
    for file in listed.iter().filter(|file| file.path != ROWS) {
        copied.copy(&from.join(&file.path), to, Path::new(&file.path), file.bytes)?;
        let copy = copied.listed.last().map_or((0, 0), |l| (l.crc, l.bytes));
        same(file, copy.0, copy.1)?;
    }
    let rows = listed.iter().find(|file| file.path == ROWS);
    let rows = rows.ok_or_else(|| BackupError::Damaged(format!("{ROWS} is not in the manifest")))?;
    let tables = Tables::open(&to.join("tables"), 32 << 20, 0, now.0)?;
    let imported = import(&tables, &from.join(ROWS), rows).and_then(|()| new_epochs(&tables, now));
    let safe = tables.sync();
    tables.close();
    imported?;
    safe?;
    disk::check_format(to, disk::Unfinished::Expected)?;
    SystemFiles
        .remove(&unfinished)
        .and_then(|()| SystemFiles.sync_folder(to))
        .map_err(BackupError::io(to))?;
    Ok(BackupReport { files: listed.len() as u64, bytes: total })
}

fn import(tables: &Tables, path: &Path, listed: &Listed) -> Result<(), BackupError> {
    let mut source = BufReader::new(fs::File::open(path).map_err(BackupError::io(path))?);
    let (mut crc, mut bytes) = (0, 0);
    let mut row = vec![];
    while bytes < listed.bytes {
        let mut len = [0; 4];
        source.read_exact(&mut len).map_err(BackupError::io(path))?;
        let row_len = u32::from_le_bytes(len) as usize;
        if row_len > ROW_BYTES_MAX || bytes + 4 + row_len as u64 > listed.bytes {
            return Err(BackupError::Damaged(format!("{ROWS} at byte {bytes}")));
        }
        row.resize(row_len, 0);
        source.read_exact(&mut row).map_err(BackupError::io(path))?;
        crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, &len), &row);
        bytes += 4 + row_len as u64;
        let mut r = Reader::new(&row);
        let parts = r.leb128_str(1024).and_then(|keyspace| {
            Ok((keyspace, r.leb128_bytes(ROW_BYTES_MAX)?, r.leb128_bytes(ROW_BYTES_MAX)?))
        });
        let (keyspace, key, value) =
            parts.map_err(|_| BackupError::Damaged(format!("{ROWS} at byte {bytes}")))?;
        tables.import(keyspace, key, value)?;
    }
    same(listed, crc, bytes)
}

/// Begins a new life of every journal.
fn new_epochs(tables: &Tables, now: Timestamp) -> Result<(), BackupError> {
    for (name, known) in registry::all(tables)? {
        new_epoch(tables, &name, &known, now)?;
    }
    Ok(())
}

/// Begins a new life of a space's journal.
pub(crate) fn new_epoch(
    tables: &Tables,
    space: &str,
    known: &Registered,
    now: Timestamp,
) -> Result<(), StoreError> {
    let next = Registered { epoch: registry::new_epoch(known.epoch, now), ..*known };
    tables.import(SPACES, space.as_bytes(), &next.write())
}

fn make_empty(folder: &Path) -> Result<(), BackupError> {
    SystemFiles.make_folder(folder).map_err(BackupError::io(folder))?;
    let names = SystemFiles.list(folder).map_err(BackupError::io(folder))?;
    if names.is_empty() { Ok(()) } else { Err(BackupError::NotEmpty(folder.to_owned())) }
}

/// Removes second names that a backup has left behind.
pub(crate) fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder.join(STAGING)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
