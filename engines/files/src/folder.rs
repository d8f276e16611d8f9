//! Files in a folder, by their hashes: `ab/cdef…`.
//!
//! A file has its name only when all of it is safe, and a name is safe before anybody hears of it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::hash::Hash;

/// Where files are written that have no name yet. What a crash left there goes at the next start.
const NAMELESS: &str = "tmp";

/// Only the server reads what people send each other.
const FILE_MODE: u32 = 0o600;

/// Bytes copied at a time where the staging folder is on another disk.
const COPY_BYTES: usize = 256 << 10;

/// Whether there was something to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is new.
    New,
    /// The same content was there already.
    Known,
}

/// A folder of files. Every method blocks.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    nameless: AtomicU64,
    /// Bytes that stay free on its disk.
    reserve_bytes: u64,
}

impl Folder {
    /// Opens a folder, and makes it where it is not there.
    pub(crate) fn open(root: &Path, reserve_bytes: u64) -> io::Result<Self> {
        make(root)?;
        let nameless = root.join(NAMELESS);
        match fs::remove_dir_all(&nameless) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        make(&nameless)?;
        Ok(Self { root: root.to_owned(), nameless: AtomicU64::new(0), reserve_bytes })
    }

    /// Keeps a file that lies elsewhere and is safe there. It stays there too.
    pub(crate) fn keep_file(&self, hash: &Hash, from: &Path, bytes: u64) -> io::Result<Kept> {
        let (path, folder) = self.make_place(hash)?;
        let kept = if has_bytes(&path, bytes)? {
            Kept::Known
        } else {
            match fs::hard_link(from, &path) {
                Ok(()) => Kept::New,
                // Another upload with the same content was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && has_bytes(&path, bytes)? => {
                    Kept::Known
                }
                // Another disk, or one without links, or a file there that is broken.
                Err(_) => {
                    let mut from = File::open(from)?;
                    self.write(&path, bytes, |file| copy(&mut from, file))?
                }
            }
        };
        sync_folder(&folder)?;
        Ok(kept)
    }

    /// Keeps what is in memory.
    pub(crate) fn keep_bytes(&self, hash: &Hash, bytes: &[u8]) -> io::Result<Kept> {
        let (path, folder) = self.make_place(hash)?;
        let kept = if has_bytes(&path, bytes.len() as u64)? {
            Kept::Known
        } else {
            self.write(&path, bytes.len() as u64, |file| file.write_all(bytes))?
        };
        sync_folder(&folder)?;
        Ok(kept)
    }

    /// A file and its bytes.
    pub(crate) fn open_file(&self, hash: &Hash) -> io::Result<Option<(File, u64)>> {
        match File::open(self.path(hash)) {
            Ok(file) => {
                let bytes = file.metadata()?.len();
                Ok(Some((file, bytes)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a file away. One that is not there is fine.
    pub(crate) fn remove(&self, hash: &Hash) -> io::Result<()> {
        let path = self.path(hash);
        match fs::remove_file(&path) {
            Ok(()) => path.parent().map_or(Ok(()), sync_folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.root.join(hash.path())
    }

    /// A file's path, and its folder, which is there.
    fn make_place(&self, hash: &Hash) -> io::Result<(PathBuf, PathBuf)> {
        let path = self.path(hash);
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        if !folder.is_dir() {
            make(&folder)?;
        }
        Ok((path, folder))
    }

    /// Writes a file without a name, makes it safe, and names it.
    fn write(
        &self,
        path: &Path,
        bytes: u64,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<Kept> {
        want_room(&self.root, bytes, self.reserve_bytes)?;
        let number = self.nameless.fetch_add(1, Ordering::Relaxed);
        let nameless = self.root.join(NAMELESS).join(number.to_string());
        let written = create(&nameless).and_then(|mut file| {
            fill(&mut file)?;
            file.sync_all()?;
            fs::rename(&nameless, path)
        });
        if written.is_err() {
            // It takes room that is perhaps missing. If this fails too, the next start does it.
            drop(fs::remove_file(&nameless));
        }
        written.map(|()| Kept::New)
    }
}

/// Fails as a full disk does where less than `reserve_bytes` would be free after `bytes` more.
pub(crate) fn want_room(folder: &Path, bytes: u64, reserve_bytes: u64) -> io::Result<()> {
    let disk = rustix::fs::statvfs(folder)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < bytes.saturating_add(reserve_bytes) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

/// A new file for reading and writing.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// Makes a folder and those above it, safely.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        make(above)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    above.map_or(Ok(()), sync_folder)
}

/// Makes names safe: what was created, linked and removed in this folder stays so.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn has_bytes(path: &Path, bytes: u64) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(there) => Ok(there.len() == bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn copy(from: &mut File, to: &mut File) -> io::Result<()> {
    let mut from = io::BufReader::with_capacity(COPY_BYTES, from);
    io::copy(&mut from, to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn the_same_content_is_kept_once() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(&home.path().join("deep/files"), 0).unwrap();
        let hash = Hash::of(b"hello");
        assert_eq!(folder.keep_bytes(&hash, b"hello").unwrap(), Kept::New);
        assert_eq!(folder.keep_bytes(&hash, b"hello").unwrap(), Kept::Known);
        let staged = home.path().join("staged");
        fs::write(&staged, b"hello").unwrap();
        assert_eq!(folder.keep_file(&hash, &staged, 5).unwrap(), Kept::Known);
        assert_eq!(names(&home.path().join("deep/files").join(&hash.to_string()[..2])), 1);
        folder.remove(&hash).unwrap();
        assert!(folder.open_file(&hash).unwrap().is_none());
        assert_eq!(folder.keep_file(&hash, &staged, 5).unwrap(), Kept::New);
        assert!(staged.exists(), "what is staged stays until its upload ends");
        folder.remove(&hash).unwrap();
        folder.remove(&hash).unwrap();
    }

    #[test]
    fn a_broken_file_is_replaced_and_leftovers_go() {
        let home = tempfile::tempdir().unwrap();
        let hash = Hash::of(b"hello");
        let path = home.path().join(hash.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"hel").unwrap();
        fs::create_dir_all(home.path().join(NAMELESS)).unwrap();
        fs::write(home.path().join(NAMELESS).join("0"), b"half a fi").unwrap();
        let folder = Folder::open(home.path(), 0).unwrap();
        assert_eq!(names(&home.path().join(NAMELESS)), 0);
        let staged = home.path().join("staged");
        fs::write(&staged, b"hello").unwrap();
        assert_eq!(folder.keep_file(&hash, &staged, 5).unwrap(), Kept::New);
        assert_eq!(fs::read(&path).unwrap(), b"hello");
        assert_eq!(names(&home.path().join(NAMELESS)), 0);
    }
}
