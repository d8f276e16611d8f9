//! All takes of a folder.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::warn;
use yizhan_talk::Timestamp;

use crate::{
    Config, End, Keep, Progress, Reading, ReelError, Take,
    pool::Pool,
    recover::{Found, recover},
    take::{index_path, want_room},
};

/// Bytes of an app's, a broadcast's or an extension's name.
const PART_BYTES_MAX: usize = 130;

/// Which take it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TakeId {
    /// The app.
    pub app: Arc<str>,
    /// The broadcast.
    pub name: Arc<str>,
    /// When it began, milliseconds since 1970.
    pub began: u64,
    /// What it is: `mp4`, `flv`.
    pub extension: Arc<str>,
}

impl TakeId {
    /// The file's name: `1763751350123.mp4`.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.{}", self.began, self.extension)
    }

    /// The take of this file; `None` where it is not the name of one.
    #[must_use]
    pub fn of_file(app: &str, name: &str, file: &str) -> Option<Self> {
        let (began, extension) = file.split_once('.')?;
        let plain = began.bytes().all(|b| b.is_ascii_digit()) && (!began.starts_with('0') || began == "0");
        let id = Self {
            app: app.into(),
            name: name.into(),
            began: if plain { began.parse().ok()? } else { return None },
            extension: extension.into(),
        };
        id.check().ok().map(|()| id)
    }

    fn check(&self) -> Result<(), ReelError> {
        let is_bad = |part: &str| {
            part.is_empty()
                || part.len() > PART_BYTES_MAX
                || part.starts_with('.')
                || part.contains(|c: char| c == '/' || c == '\\' || c.is_control())
        };
        let extension = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric());
        for (part, fine) in
            [(&self.app, true), (&self.name, true), (&self.extension, extension(&self.extension))]
        {
            if is_bad(part) || !fine {
                return Err(ReelError::BadName(part.to_string()));
            }
        }
        Ok(())
    }

    fn path(&self, root: &Path) -> PathBuf {
        root.join(&*self.app).join(&*self.name).join(self.file())
    }
}

impl fmt::Display for TakeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.app, self.name, self.file())
    }
}

/// A take, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeView {
    /// Which it is.
    pub id: TakeId,
    /// When it began.
    pub began: Timestamp,
    /// When its last piece was.
    pub ended: Timestamp,
    /// Bytes that can be read.
    pub bytes: u64,
    /// From the first piece to the last, by the broadcast's clock. The last piece's own length comes on top.
    pub length: Duration,
    /// Pieces that the disk was too slow for.
    pub dropped: u64,
    /// How it ended; `None` while it is being written.
    pub end: Option<End>,
}

/// What a sweep took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Takes.
    pub takes: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The recordings of a folder. Cloning it gives another handle.
#[derive(Clone)]
pub struct Reels(Arc<Inside>);

struct Inside {
    config: Config,
    pool: Arc<Pool>,
    /// Grows with what is on the disk; a sweep keeps it small.
    takes: Mutex<BTreeMap<TakeId, Known>>,
}

#[derive(Debug, Clone)]
enum Known {
    /// From an earlier run.
    Found(Found),
    /// Of this run.
    Live(Timestamp, watch::Receiver<Progress>),
}

impl fmt::Debug for Reels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reels").field("folder", &self.0.config.folder).finish_non_exhaustive()
    }
}

impl Reels {
    /// Opens a folder, and mends what a crash left. One that is not there is made with the first take. Blocks.
    ///
    /// # Errors
    /// The folder cannot be read, or no thread can be started. A single take that cannot be read is left alone.
    pub fn open(config: Config) -> Result<Self, ReelError> {
        let mut takes = BTreeMap::new();
        for app in folders(&config.folder)? {
            for name in folders(&app)? {
                look(&app, &name, &mut takes)?;
            }
        }
        let pool = Arc::new(Pool::new(config.threads)?);
        Ok(Self(Arc::new(Inside { config, pool, takes: Mutex::new(takes) })))
    }

    /// Begins a take with what stands before its first piece. Never waits: whether it could be begun is in the take's
    /// progress.
    ///
    /// # Errors
    /// A name cannot be a folder, or there is such a take.
    pub fn begin(
        &self,
        app: &str,
        name: &str,
        extension: &str,
        began: Timestamp,
        head: Bytes,
    ) -> Result<Take, ReelError> {
        let id = TakeId {
            app: app.into(),
            name: name.into(),
            began: began.as_millis(),
            extension: extension.into(),
        };
        id.check()?;
        let mut takes = self.0.takes.lock();
        if takes.contains_key(&id) {
            return Err(ReelError::Exists);
        }
        let path = id.path(&self.0.config.folder);
        let take = Take::new(id.clone(), path, began, head, &self.0.config, self.0.pool.clone());
        takes.insert(id, Known::Live(began, take.progress()));
        Ok(take)
    }

    /// Whether a take could be begun now. Blocks as long as asking the disk takes.
    ///
    /// # Errors
    /// The disk is full, or cannot be asked.
    pub fn check_room(&self) -> Result<(), ReelError> {
        let Config { folder, reserve_bytes, .. } = &self.0.config;
        // One that is not there yet lies where its parent does.
        let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder);
        want_room(there, *reserve_bytes)
    }

    /// All takes, those of a broadcast from the oldest on; those of one app or of one broadcast, where these are named.
    #[must_use]
    pub fn list(&self, app: Option<&str>, name: Option<&str>) -> Vec<TakeView> {
        let takes = self.0.takes.lock();
        let wanted =
            |id: &TakeId| app.is_none_or(|app| *id.app == *app) && name.is_none_or(|name| *id.name == *name);
        takes.iter().filter(|(id, _)| wanted(id)).filter_map(|(id, known)| known.view(id)).collect()
    }

    /// One take.
    #[must_use]
    pub fn view(&self, id: &TakeId) -> Option<TakeView> {
        self.0.takes.lock().get(id)?.view(id)
    }

    /// Opens a take for reading; `None` where there is none. Blocks as long as opening a file takes.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&self, id: &TakeId) -> io::Result<Option<Reading>> {
        let (bytes, live) = match self.0.takes.lock().get(id) {
            None => return Ok(None),
            Some(Known::Found(found)) => (found.bytes, None),
            Some(Known::Live(_, live)) => (live.borrow().bytes, Some(live.clone())),
        };
        let path = id.path(&self.0.config.folder);
        match std::fs::File::open(&path) {
            Ok(file) => Ok(Some(Reading::new(id.clone(), path, file, bytes, live))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Bytes of all takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.takes.lock().values().map(Known::bytes).sum()
    }

    /// Takes one away that is not being written. Whether there was one. Blocks.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove(&self, id: &TakeId) -> io::Result<bool> {
        {
            let mut takes = self.0.takes.lock();
            if !takes.get(id).is_some_and(Known::has_ended) {
                return Ok(false);
            }
            takes.remove(id);
        }
        let path = id.path(&self.0.config.folder);
        // The index first: a take without one is nothing that a start would find again.
        for path in [index_path(&path), path.clone()] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // Only one that is empty goes.
        drop(path.parent().map(std::fs::remove_dir));
        Ok(true)
    }

    /// Takes away what is not to be kept, oldest first. Blocks.
    pub fn sweep(&self, now: Timestamp, keep: Keep) -> Swept {
        let mut total = 0;
        let mut ended: Vec<(Timestamp, TakeId, u64)> = {
            let mut takes = self.0.takes.lock();
            // What never became a file is nothing to list.
            takes.retain(|_, known| !known.is_nothing());
            total += takes.values().map(Known::bytes).sum::<u64>();
            let ended = takes.iter().filter(|(_, known)| known.has_ended());
            ended.map(|(id, known)| (known.ended(), id.clone(), known.bytes())).collect()
        };
        ended.sort_unstable();
        let mut swept = Swept::default();
        for (at, id, bytes) in ended {
            let old = keep.age_max.is_some_and(|age| now.since(at) > age);
            let over = keep.bytes_max.is_some_and(|max| total > max);
            if !old && !over {
                continue;
            }
            match self.remove(&id) {
                Ok(true) => {
                    total -= bytes;
                    swept.takes += 1;
                    swept.bytes += bytes;
                }
                Ok(false) => {}
                Err(error) => {
                    warn!(%error, take = %id, "a recording that is too old could not be taken away")
                }
            }
        }
        swept
    }
}

impl Known {
    fn view(&self, id: &TakeId) -> Option<TakeView> {
        let length = |first: i64, last: i64| {
            Duration::from_micros(u64::try_from(last.saturating_sub(first)).unwrap_or(0))
        };
        match self {
            _ if self.is_nothing() => None,
            Self::Found(found) => Some(TakeView {
                id: id.clone(),
                began: found.began,
                ended: found.ended,
                bytes: found.bytes,
                length: length(found.first_dts, found.last_dts),
                dropped: 0,
                end: Some(End::Finished),
            }),
            Self::Live(began, live) => {
                let progress = live.borrow();
                Some(TakeView {
                    id: id.clone(),
                    began: *began,
                    ended: progress.last_at,
                    bytes: progress.bytes,
                    length: length(progress.first_dts, progress.last_dts),
                    dropped: progress.dropped,
                    end: progress.end.clone(),
                })
            }
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Found(found) => found.bytes,
            Self::Live(_, live) => live.borrow().bytes,
        }
    }

    fn ended(&self) -> Timestamp {
        match self {
            Self::Found(found) => found.ended,
            Self::Live(_, live) => live.borrow().last_at,
        }
    }

    fn has_ended(&self) -> bool {
        match self {
            Self::Found(_) => true,
            Self::Live(_, live) => live.borrow().end.is_some(),
        }
    }

    /// It ended before anything was in it: there is no file.
    fn is_nothing(&self) -> bool {
        match self {
            Self::Found(_) => false,
            Self::Live(_, live) => {
                let progress = live.borrow();
                progress.end.is_some() && progress.pieces == 0
            }
        }
    }
}

/// Looks at all takes of one broadcast.
fn look(app: &Path, name: &Path, takes: &mut BTreeMap<TakeId, Known>) -> io::Result<()> {
    let text = |path: &Path| path.file_name().and_then(OsStr::to_str).map(str::to_owned);
    let (Some(app), Some(of)) = (text(app), text(name)) else { return Ok(()) };
    for entry in std::fs::read_dir(name)? {
        let index = entry?.path();
        let file = text(&index);
        let Some(file) = file.as_deref().and_then(|file| file.strip_suffix(".index")) else { continue };
        let Some(id) = TakeId::of_file(&app, &of, file) else { continue };
        let take = index.with_extension("");
        match recover(&take, &index) {
            Ok(Some(found)) => {
                if let Some(bytes) = found.cut {
                    warn!(take = %id, bytes, "a recording was not finished: it ends behind its last whole piece");
                }
                takes.insert(id, Known::Found(found));
            }
            Ok(None) => {
                warn!(take = %id, "a recording in which nothing is whole was taken away");
                drop(std::fs::remove_file(&take));
                drop(std::fs::remove_file(&index));
            }
            Err(error) => warn!(%error, take = %id, "a recording cannot be read: it is left alone"),
        }
    }
    Ok(())
}

fn folders(of: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    let entries = match std::fs::read_dir(of) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(folders),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}
