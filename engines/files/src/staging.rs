//! Uploads on their way: one file each in a folder of this machine.
//!
//! The name of the file says whose it is and how long it will be, `<id>.<bytes>.part`, so there is no second
//! file that could disagree. When an upload was finished, `<id>.done` says what came of it, for those who did
//! not hear the answer.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::FilesError,
    finished::Finished,
    folder::{create, make, sync_folder, want_room},
    hash::Hash,
    meters::Meters,
};

/// Letters of an id.
const ID_LETTERS: std::ops::RangeInclusive<usize> = 16..=64;

/// Finished uploads that are remembered. The oldest go first, at a sweep.
const DONE_MAX: usize = 100_000;

/// Written bytes after which they are made safe, so that the end of a large upload is not slow.
const SYNC_BYTES: u64 = 16 << 20;

/// Bytes read at a time when a file is hashed anew.
const HASH_BYTES: usize = 256 << 10;

/// The folder of uploads.
#[derive(Debug)]
pub(crate) struct Staging {
    root: PathBuf,
    limits: Limits,
    uploads: Mutex<FxHashMap<Box<str>, Arc<Upload>>>,
    meters: Arc<Meters>,
    /// Bytes that the disk has room for, to see what happens when it is full.
    #[cfg(test)]
    pub(crate) room: Mutex<Option<u64>>,
}

/// What the config says of uploads, see [`Config`](crate::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes_max: u64,
    pub(crate) uploads_max: usize,
    pub(crate) idle_max: Duration,
    pub(crate) reserve_bytes: u64,
}

/// One upload.
#[derive(Debug)]
pub(crate) struct Upload {
    id: Box<str>,
    bytes: u64,
    path: Arc<Path>,
    /// Whoever holds it is the only one to touch the file.
    turn: Arc<Semaphore>,
    /// Only touched by who has the turn, and by who begins.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Bytes that are there.
    at: u64,
    /// Of these, what is safe.
    safe: u64,
    /// The hash of what is there; `None` where a part came before a restart.
    running: Option<Sha256>,
    /// The file is no longer there.
    is_gone: bool,
}

/// An upload, and the turn to touch it.
#[derive(Debug)]
pub(crate) struct Lease {
    upload: Arc<Upload>,
    _turn: OwnedSemaphorePermit,
}

/// What an id stands for.
pub(crate) enum Entry {
    Open(Lease),
    Done(Box<Finished>),
}

/// A complete upload.
pub(crate) struct Sealed {
    pub(crate) hash: Hash,
    pub(crate) path: Arc<Path>,
    pub(crate) bytes: u64,
}

impl Staging {
    /// Opens the folder, and finds the uploads that a restart broke off. Blocks.
    pub(crate) fn open(root: &Path, limits: Limits, meters: Arc<Meters>) -> io::Result<Self> {
        make(root)?;
        let mut uploads = FxHashMap::default();
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.ends_with(".new") {
                fs::remove_file(&path)?;
            } else if let Some((id, bytes)) = part_name(name) {
                let at = fs::metadata(&path)?.len();
                if at > bytes || root.join(done_name(id)).exists() {
                    fs::remove_file(&path)?;
                } else {
                    let (id, bytes) = (Box::from(id), bytes);
                    let upload = Arc::new(Upload::new(id, bytes, path.as_path(), at));
                    uploads.insert(upload.id.clone(), upload);
                }
            }
        }
        meters.uploads_open.set(uploads.len() as i64);
        Ok(Self {
            root: root.to_owned(),
            limits,
            uploads: Mutex::new(uploads),
            meters,
            #[cfg(test)]
            room: Mutex::new(None),
        })
    }

    /// Begins an upload of so many bytes. Again is fine, with the same length.
    pub(crate) async fn begin(self: &Arc<Self>, id: &str, bytes: u64) -> Result<(), FilesError> {
        check(id)?;
        let max = self.limits.bytes_max;
        if bytes > max {
            return Err(FilesError::TooLarge { max });
        }
        let staging = self.clone();
        let id = Box::<str>::from(id);
        tokio::task::spawn_blocking(move || staging.begin_now(id, bytes)).await?
    }

    fn begin_now(&self, id: Box<str>, bytes: u64) -> Result<(), FilesError> {
        if let Some(done) = self.done(&id)? {
            return if done.bytes == bytes { Ok(()) } else { Err(FilesError::Exists) };
        }
        let path = self.root.join(format!("{id}.{bytes}.part"));
        let upload = Arc::new(Upload::new(id, bytes, &path, 0));
        // Others who want this upload wait for the turn, or at the lock, until its file is there.
        let _turn = upload.turn.clone().try_acquire_owned();
        let mut state = upload.state.lock();
        if let Some(there) = self.join(&upload)? {
            let is_there = !there.state.lock().is_gone;
            return match is_there {
                true if there.bytes == bytes => Ok(()),
                true => Err(FilesError::Exists),
                // It has just ended, in whatever way.
                false => Err(FilesError::Busy),
            };
        }
        match self.want_room(bytes).and_then(|()| create(&path)).and_then(|_| sync_folder(&self.root)) {
            Ok(()) => {
                self.meters.begun.one();
                Ok(())
            }
            Err(error) => {
                state.is_gone = true;
                drop(state);
                // It may not be there at all; if it is and stays, a sweep takes it.
                drop(fs::remove_file(&path));
                self.leave(&upload);
                Err(self.counted(error.into()))
            }
        }
    }

    /// Puts an upload among the others, or gives the one that has its id.
    fn join(&self, upload: &Arc<Upload>) -> Result<Option<Arc<Upload>>, FilesError> {
        let mut uploads = self.uploads.lock();
        if let Some(there) = uploads.get(&upload.id) {
            return Ok(Some(there.clone()));
        }
        if uploads.len() >= self.limits.uploads_max {
            return Err(FilesError::TooMany);
        }
        uploads.insert(upload.id.clone(), upload.clone());
        self.meters.uploads_open.up();
        Ok(None)
    }

    /// Adds a piece at `at`, and says where the upload is then. It goes on though nobody waits for it.
    pub(crate) async fn append(self: &Arc<Self>, id: &str, at: u64, piece: Bytes) -> Result<u64, FilesError> {
        check(id)?;
        let upload = self.uploads.lock().get(id).cloned().ok_or(FilesError::Unknown)?;
        let turn = upload.turn.clone().try_acquire_owned().map_err(|_| FilesError::Busy)?;
        let (staging, lease) = (self.clone(), Lease { upload, _turn: turn });
        tokio::task::spawn_blocking(move || staging.append_now(&lease, at, &piece)).await?
    }

    fn append_now(&self, lease: &Lease, at: u64, piece: &[u8]) -> Result<u64, FilesError> {
        let upload = &lease.upload;
        let mut state = upload.state.lock();
        if state.is_gone {
            return Err(FilesError::Unknown);
        }
        if at != state.at {
            return Err(FilesError::Conflict { at: state.at });
        }
        let end = at.saturating_add(piece.len() as u64);
        if end > upload.bytes {
            return Err(FilesError::TooLarge { max: upload.bytes });
        }
        self.want_room(piece.len() as u64).map_err(|error| self.counted(error.into()))?;
        let file = File::options().read(true).write(true).open(&upload.path)?;
        if let Err(error) = self.write(&file, piece, at) {
            state.fall_back(&file);
            return Err(self.counted(error.into()));
        }
        if let Some(running) = &mut state.running {
            running.update(piece);
        }
        state.at = end;
        self.meters.bytes_in.add(piece.len() as u64);
        if state.at - state.safe >= SYNC_BYTES {
            file.sync_data()?;
            state.safe = state.at;
        }
        Ok(end)
    }

    fn want_room(&self, bytes: u64) -> io::Result<()> {
        want_room(&self.root, bytes, self.limits.reserve_bytes)
    }

    fn write(&self, file: &File, piece: &[u8], at: u64) -> io::Result<()> {
        #[cfg(test)]
        if let Some(room) = &mut *self.room.lock() {
            let fits = piece.len().min(usize::try_from(*room).unwrap_or(usize::MAX));
            *room -= fits as u64;
            file.write_all_at(&piece[..fits], at)?;
            return if fits == piece.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) };
        }
        file.write_all_at(piece, at)
    }

    /// What the id stands for, and the turn to touch it. Waits while another one has the turn.
    pub(crate) async fn enter(self: &Arc<Self>, id: &str) -> Result<Entry, FilesError> {
        check(id)?;
        let upload = self.uploads.lock().get(id).cloned();
        if let Some(upload) = upload {
            let turn = upload
                .turn
                .clone()
                .acquire_owned()
                .await
                .map_err(|error| FilesError::Failed(error.into()))?;
            if !upload.state.lock().is_gone {
                return Ok(Entry::Open(Lease { upload, _turn: turn }));
            }
        }
        let (staging, id) = (self.clone(), Box::<str>::from(id));
        let done = tokio::task::spawn_blocking(move || staging.done(&id)).await??;
        done.map(|done| Entry::Done(Box::new(done))).ok_or(FilesError::Unknown)
    }

    /// Notes what came of a complete upload, and takes its file away. Blocks.
    pub(crate) fn close(&self, lease: &Lease, finished: &Finished) -> Result<(), FilesError> {
        let upload = &lease.upload;
        let path = self.root.join(done_name(&upload.id));
        let new = path.with_extension("new");
        let text = serde_json::to_vec(finished).map_err(|error| FilesError::Failed(error.into()))?;
        drop(fs::remove_file(&new)); // One that an error left here; mostly there is none.
        let mut file = create(&new)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(|error| self.counted(error.into()))?;
        fs::rename(&new, &path)?;
        sync_folder(&self.root)?;
        upload.state.lock().is_gone = true;
        // If it stays, the next start sees that the upload is done.
        drop(fs::remove_file(&upload.path));
        self.leave(upload);
        Ok(())
    }

    /// Gives an upload up. Blocks.
    pub(crate) fn abandon(&self, lease: &Lease) -> Result<(), FilesError> {
        match fs::remove_file(&lease.upload.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        lease.upload.state.lock().is_gone = true;
        self.leave(&lease.upload);
        self.meters.abandoned.one();
        Ok(())
    }

    /// Gives up what got nothing for too long, and forgets what was finished as long ago. Says how many of
    /// each. Blocks.
    pub(crate) fn sweep(&self, now: SystemTime) -> Result<(usize, usize), FilesError> {
        let uploads: Vec<_> = self.uploads.lock().values().cloned().collect();
        let mut abandoned = 0;
        for upload in uploads {
            if !self.is_old(&upload.path, now) {
                continue;
            }
            // Who is writing now is not idle.
            let Ok(turn) = upload.turn.clone().try_acquire_owned() else { continue };
            let lease = Lease { upload, _turn: turn };
            if !lease.upload.state.lock().is_gone {
                self.abandon(&lease)?;
                abandoned += 1;
            }
        }
        Ok((abandoned, self.forget(now)?))
    }

    fn forget(&self, now: SystemTime) -> Result<usize, FilesError> {
        let mut done = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.ends_with(".done"))
                && let Ok(written) = entry.metadata().and_then(|about| about.modified())
            {
                done.push((written, entry.path()));
            }
        }
        done.sort_unstable_by_key(|(written, _)| std::cmp::Reverse(*written));
        let mut forgotten = 0;
        for (place, (written, path)) in done.into_iter().enumerate() {
            let is_old = now.duration_since(written).is_ok_and(|age| age >= self.limits.idle_max);
            if is_old || place >= DONE_MAX {
                fs::remove_file(path)?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    fn is_old(&self, path: &Path, now: SystemTime) -> bool {
        let written = fs::metadata(path).and_then(|about| about.modified());
        written.is_ok_and(|written| now.duration_since(written).is_ok_and(|age| age >= self.limits.idle_max))
    }

    fn done(&self, id: &str) -> Result<Option<Finished>, FilesError> {
        match fs::read(self.root.join(done_name(id))) {
            Ok(text) => {
                serde_json::from_slice(&text).map(Some).map_err(|error| FilesError::Failed(error.into()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn leave(&self, upload: &Upload) {
        if self.uploads.lock().remove(&upload.id).is_some() {
            self.meters.uploads_open.down();
        }
    }

    fn counted(&self, error: FilesError) -> FilesError {
        if matches!(error, FilesError::Full) {
            self.meters.full.one();
        }
        error
    }
}

impl Upload {
    fn new(id: Box<str>, bytes: u64, path: &Path, at: u64) -> Self {
        let running = (at == 0).then(Sha256::new);
        let state = State { at, safe: 0, running, is_gone: false };
        Self { id, bytes, path: Arc::from(path), turn: Arc::new(Semaphore::new(1)), state: Mutex::new(state) }
    }
}

impl State {
    /// After a write that failed: what was there before is there, and nothing more.
    fn fall_back(&mut self, file: &File) {
        if file.set_len(self.at).is_err() {
            self.running = None;
            // Without a length, the next piece is written over whatever there is.
            self.at = file.metadata().map_or(self.at, |about| about.len());
        }
    }
}

impl Lease {
    /// Where the upload is. All of that is safe. Blocks.
    pub(crate) fn offset(&self) -> Result<u64, FilesError> {
        let mut state = self.upload.state.lock();
        if state.safe < state.at {
            File::open(&self.upload.path)?.sync_data()?;
            state.safe = state.at;
        }
        Ok(state.at)
    }

    /// Makes a complete upload safe, and says what it is. Blocks.
    pub(crate) fn seal(&self) -> Result<Sealed, FilesError> {
        let upload = &self.upload;
        let mut state = upload.state.lock();
        if state.at < upload.bytes {
            return Err(FilesError::Incomplete { at: state.at });
        }
        let file = File::open(&upload.path)?;
        file.sync_all()?;
        state.safe = state.at;
        let running = match state.running.clone() {
            Some(running) => running,
            None => {
                let running = hash(&file)?;
                state.running = Some(running.clone());
                running
            }
        };
        Ok(Sealed { hash: Hash::end(running), path: upload.path.clone(), bytes: upload.bytes })
    }
}

fn hash(file: &File) -> io::Result<Sha256> {
    let (mut running, mut piece, mut at) = (Sha256::new(), vec![0; HASH_BYTES], 0);
    loop {
        match file.read_at(&mut piece, at) {
            Ok(0) => return Ok(running),
            Ok(count) => {
                running.update(&piece[..count]);
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Ids become names of files, so nothing else may be in them.
fn check(id: &str) -> Result<(), FilesError> {
    let is_plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    if ID_LETTERS.contains(&id.len()) && id.bytes().all(is_plain) { Ok(()) } else { Err(FilesError::BadId) }
}

fn done_name(id: &str) -> String {
    format!("{id}.done")
}

/// The id and the length in `<id>.<bytes>.part`.
fn part_name(name: &str) -> Option<(&str, u64)> {
    let (id, bytes) = name.strip_suffix(".part")?.split_once('.')?;
    check(id).ok()?;
    Some((id, bytes.parse().ok()?))
}
