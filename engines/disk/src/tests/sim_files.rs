//! A disk in memory that loses what was not synced, tears writes, fills up and fails, all by a seed.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use yizhan_hub::store::StoreError;

use crate::{
    files::{File, Files},
    shelf::{Row, Shelf},
};

/// Pages reach a disk whole or not at all.
const PAGE: usize = 512;

/// xorshift64: the same seed gives the same run, everywhere.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Something that was done to a file and may be lost.
enum Unsynced {
    Write(u64, Vec<u8>),
    Len(u64),
}

#[derive(Default)]
struct Inode {
    now: Vec<u8>,
    safe: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

impl Inode {
    fn set_len(bytes: &mut Vec<u8>, len: u64) {
        bytes.resize(len as usize, 0);
    }

    fn put(bytes: &mut Vec<u8>, at: u64, piece: &[u8]) {
        let end = at as usize + piece.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[at as usize..end].copy_from_slice(piece);
    }

    /// Keeps what was synced, and any part of what was not.
    fn crash(&mut self, chance: &mut Chance) {
        for unsynced in self.unsynced.drain(..) {
            match unsynced {
                Unsynced::Len(len) if chance.one_in(2) => Self::set_len(&mut self.safe, len),
                Unsynced::Len(_) => {}
                Unsynced::Write(at, bytes) => {
                    let (mut from, all) = (0, chance.one_in(4));
                    while from < bytes.len() {
                        let to = ((at as usize + from) / PAGE * PAGE + PAGE - at as usize).min(bytes.len());
                        if all || chance.one_in(2) {
                            Self::put(&mut self.safe, at + from as u64, &bytes[from..to]);
                        }
                        from = to;
                    }
                }
            }
        }
        self.now = self.safe.clone();
    }
}

/// Something that was done to a name.
enum Naming {
    Link(PathBuf, Arc<Mutex<Inode>>),
    Unlink(PathBuf),
}

type Names = BTreeMap<PathBuf, Arc<Mutex<Inode>>>;

fn apply(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::Link(path, inode) => drop(names.insert(path.clone(), inode.clone())),
        Naming::Unlink(path) => drop(names.remove(path)),
    }
}

struct World {
    names: Names,
    safe_names: Names,
    unsynced: Vec<Naming>,
    chance: Chance,
    /// Changes until the power fails.
    fuse: Option<u64>,
    free: u64,
    fail_sync: bool,
}

/// The disk.
#[derive(Clone)]
pub(crate) struct SimFiles(Arc<Mutex<World>>);

struct SimFile {
    world: Arc<Mutex<World>>,
    inode: Arc<Mutex<Inode>>,
}

impl World {
    /// Counts a change; after the fuse has burnt nothing works.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("the power failed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn name(&mut self, naming: Naming) {
        apply(&mut self.names, &naming);
        self.unsynced.push(naming);
    }
}

impl SimFiles {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            names: Names::new(),
            safe_names: Names::new(),
            unsynced: vec![],
            chance: Chance::new(seed),
            fuse: None,
            free: u64::MAX,
            fail_sync: false,
        })))
    }

    /// The power fails after this many changes.
    pub(crate) fn burn(&self, changes: u64) {
        self.0.lock().fuse = Some(changes);
    }

    pub(crate) fn set_free(&self, free: u64) {
        self.0.lock().free = free;
    }

    pub(crate) fn fail_sync(&self) {
        self.0.lock().fail_sync = true;
    }

    /// The power comes back: what was synced is there, and any part of the rest.
    pub(crate) fn restart(&self) {
        let mut world = self.0.lock();
        let world = &mut *world;
        world.fuse = None;
        world.fail_sync = false;
        // Names are changed in order; how many of them reached the disk is chance.
        let reached = world.chance.below(world.unsynced.len() as u64 + 1) as usize;
        for naming in world.unsynced.drain(..).take(reached) {
            apply(&mut world.safe_names, &naming);
        }
        world.names = world.safe_names.clone();
        for inode in world.names.values() {
            inode.lock().crash(&mut world.chance);
        }
    }

    /// Changes one byte of a file.
    pub(crate) fn damage(&self, path: &Path, at: u64) {
        let inode = self.0.lock().names[path].clone();
        let mut inode = inode.lock();
        inode.now[at as usize] ^= 0x20;
        inode.safe[at as usize] ^= 0x20;
    }
}

impl Files for SimFiles {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn File>> {
        let mut world = self.0.lock();
        world.change()?;
        if bytes > world.free {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode =
            Inode { now: vec![0; bytes as usize], safe: vec![], unsynced: vec![Unsynced::Len(bytes)] };
        let inode = Arc::new(Mutex::new(inode));
        world.name(Naming::Link(path.to_owned(), inode.clone()));
        Ok(Arc::new(SimFile { world: self.0.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let inode = self.0.lock().names.get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { world: self.0.clone(), inode }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let world = self.0.lock();
        let names = world.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.0.lock();
        world.change()?;
        let inode = world.names.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        // Together: no crash shows half of a renaming.
        world.name(Naming::Link(to.to_owned(), inode));
        world.name(Naming::Unlink(from.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.0.lock();
        world.change()?;
        world.name(Naming::Unlink(path.to_owned()));
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let mut world = self.0.lock();
        world.change()?;
        let world = &mut *world;
        for naming in world.unsynced.drain(..) {
            apply(&mut world.safe_names, &naming);
        }
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0.lock().free)
    }
}

impl File for SimFile {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let inode = self.inode.lock();
        let from = (at as usize).min(inode.now.len());
        let len = into.len().min(inode.now.len() - from);
        into[..len].copy_from_slice(&inode.now[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut world = self.world.lock();
        let mut inode = self.inode.lock();
        let mut bytes = bytes.to_vec();
        let mut result = world.change();
        if result.is_ok() && world.free == 0 {
            result = Err(io::ErrorKind::StorageFull.into());
        }
        if result.is_err() {
            // A write that fails may have done any part of its work.
            bytes.truncate(world.chance.below(bytes.len() as u64 + 1) as usize);
        }
        Inode::put(&mut inode.now, at, &bytes);
        inode.unsynced.push(Unsynced::Write(at, bytes));
        result
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.world.lock().change()?;
        let mut inode = self.inode.lock();
        Inode::set_len(&mut inode.now, bytes);
        inode.unsynced.push(Unsynced::Len(bytes));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.world.lock();
        world.change()?;
        let mut inode = self.inode.lock();
        if world.fail_sync {
            // The kernel gives the pages up, and says so once.
            inode.crash(&mut world.chance);
            return Err(io::Error::other("input/output error"));
        }
        inode.unsynced.clear();
        inode.safe = inode.now.clone();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.lock().now.len() as u64)
    }
}

/// A shelf in memory. What it has taken is safe.
#[derive(Default)]
pub(crate) struct SimShelf(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Shelf for SimShelf {
    fn write(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        let mut shelf = self.0.lock();
        for (key, value) in rows {
            match value {
                Some(value) => drop(shelf.insert(key, value)),
                None => drop(shelf.remove(&key)),
            }
        }
        Ok(())
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.lock().get(key).map(|value| Bytes::copy_from_slice(value)))
    }

    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        for (key, value) in self.0.lock().iter().filter(|(key, _)| key.starts_with(prefix)) {
            each(key, value);
        }
        Ok(())
    }
}
