//! Tables: ordered maps in one fjall database, changed by one thread.
//!
//! One thread compares, puts and syncs: a compare-and-set needs no lock, and whatever waits while a sync
//! runs goes into the next one together.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;
use yizhan_hub::store::{Expect, KEY_BYTES_MAX, StoreError, Table, bytes_of_rows, check_key};

use crate::{
    files::{Files, SystemFiles, is_full},
    journal::Readers,
    shelf::{Row, Shelf},
};

/// Changes that wait for the tables' thread; more are refused as "busy".
const CHANGES_MAX: usize = 16_384;
/// Bytes of rows put at once that wait for the tables' thread; more are refused as "busy".
const WAITING_BYTES_MAX: usize = 128 << 20;
/// Changes that are synced together.
const GROUP_MAX: usize = 4096;
/// With this many bytes of rows put at once a group is large enough.
const GROUP_BYTES: usize = 32 << 20;
/// Bytes that a keyspace gathers in memory before it writes them out.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// How long an answer about free space is believed.
const FREE_BYTES_AGE_MAX: Duration = Duration::from_secs(1);
/// Bytes of a value's version, in front of the value.
const VERSION_BYTES: usize = 8;

/// Keyspace of the shelf's rows.
pub(crate) const SHELF: &str = "shelf";
/// Keyspace of the spaces' numbers.
pub(crate) const SPACES: &str = "spaces";
/// Keyspace of the version that no row has reached.
const VERSIONS: &str = "versions";
const CEILING: &[u8] = b"ceiling";
/// Versions that are given between two writings of the ceiling.
const VERSIONS_AT_ONCE: u64 = 1 << 20;

/// The name of a table's keyspace; those without the prefix are the store's own.
fn keyspace_of(table: &str) -> String {
    format!("table-{table}")
}

struct Open {
    database: Database,
    keyspaces: Mutex<HashMap<String, Keyspace>>,
}

/// All tables.
pub(crate) struct Tables {
    folder: PathBuf,
    cache_bytes: u64,
    /// With less free than this, nothing is changed.
    reserve_bytes: u64,
    /// `None` while it is closed, or is opened again after the disk was full.
    open: RwLock<Option<Open>>,
    changes: Mutex<Option<mpsc::SyncSender<Change>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// The newest version; only the thread gives more.
    version: AtomicU64,
    /// No version at this or above was given: so it stands in the tables, also after a crash.
    ceiling: AtomicU64,
    /// Bytes of rows put at once that the thread has not taken yet.
    waiting_bytes: AtomicUsize,
}

/// Something to change.
enum Change {
    Put {
        keyspace: String,
        key: Vec<u8>,
        value: Option<Bytes>,
        expect: Expect,
        answer: oneshot::Sender<Result<u64, StoreError>>,
    },
    All {
        keyspace: String,
        rows: Vec<(Bytes, Option<Bytes>)>,
        bytes: usize,
        answer: oneshot::Sender<Result<(), StoreError>>,
    },
    Rows {
        keyspace: &'static str,
        rows: Vec<Row>,
        answer: mpsc::SyncSender<Result<(), StoreError>>,
    },
}

/// Who waits for a change to be safe.
enum Waiting {
    Put(oneshot::Sender<Result<u64, StoreError>>, Result<u64, StoreError>),
    All(oneshot::Sender<Result<(), StoreError>>, Result<(), StoreError>),
    Rows(mpsc::SyncSender<Result<(), StoreError>>, Result<(), StoreError>),
}

fn store_error(error: fjall::Error) -> StoreError {
    let io = match &error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => Some(io),
        _ => None,
    };
    match io {
        Some(io) if is_full(io) => StoreError::Full,
        _ => StoreError::Failed(format!("the tables failed: {error}")),
    }
}

impl Tables {
    /// Opens the tables of a folder, or makes them, and starts their thread. Versions begin above `version`, or
    /// where those of the last run ended.
    pub(crate) fn open(
        folder: &Path,
        cache_bytes: u64,
        reserve_bytes: u64,
        version: u64,
    ) -> Result<Arc<Self>, StoreError> {
        let (sender, changes) = mpsc::sync_channel(CHANGES_MAX);
        let opened = open(folder, cache_bytes)?;
        let ceiling = opened.keyspace(VERSIONS).and_then(|k| k.get(CEILING)).map_err(store_error)?;
        let ceiling = ceiling.and_then(|ceiling| Some(u64::from_le_bytes(*ceiling.first_chunk()?)));
        let version = version.max(ceiling.unwrap_or(0));
        let tables = Arc::new(Self {
            folder: folder.to_owned(),
            cache_bytes,
            reserve_bytes,
            open: RwLock::new(Some(opened)),
            changes: Mutex::new(Some(sender)),
            thread: Mutex::default(),
            version: AtomicU64::new(version),
            ceiling: AtomicU64::new(version),
            waiting_bytes: AtomicUsize::new(0),
        });
        let working = tables.clone();
        let thread =
            std::thread::Builder::new().name("yizhan-tables".into()).spawn(move || working.work(&changes));
        let thread =
            thread.map_err(|error| StoreError::Failed(format!("no thread can be started: {error}")))?;
        *tables.thread.lock() = Some(thread);
        Ok(tables)
    }

    /// Lets nothing more in, makes everything safe and closes. Blocks.
    pub(crate) fn close(&self) {
        drop(self.changes.lock().take());
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the tables' thread ended early");
        }
        *self.open.write() = None;
    }

    fn send(&self, change: Change) -> Result<(), StoreError> {
        let sender = self.changes.lock().clone().ok_or(StoreError::Closed)?;
        sender.try_send(change).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => StoreError::Busy,
            mpsc::TrySendError::Disconnected(_) => StoreError::Closed,
        })
    }

    fn send_all(&self, change: Change, bytes: usize) -> Result<(), StoreError> {
        let waiting = self.waiting_bytes.fetch_add(bytes, Relaxed) + bytes;
        let sent = if waiting > WAITING_BYTES_MAX { Err(StoreError::Busy) } else { self.send(change) };
        if sent.is_err() {
            self.waiting_bytes.fetch_sub(bytes, Relaxed);
        }
        sent
    }

    /// Runs something with a keyspace, made where there is none.
    fn with<T>(
        &self,
        name: &str,
        run: impl FnOnce(&Keyspace) -> Result<T, fjall::Error>,
    ) -> Result<T, StoreError> {
        let open = self.open.read();
        let open = open.as_ref().ok_or(StoreError::Closed)?;
        let keyspace = open.keyspace(name).map_err(store_error)?;
        run(&keyspace).map_err(store_error)
    }

    /// A value as it is stored.
    pub(crate) fn raw(&self, keyspace: &str, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if check_key(key).is_err() {
            // Nothing is ever put there.
            return Ok(None);
        }
        self.with(keyspace, |k| Ok(k.get(key)?.map(|value| Bytes::copy_from_slice(&value))))
    }

    /// Changes rows as they are stored, and waits until they are safe. Blocks.
    pub(crate) fn write_rows(&self, keyspace: &'static str, rows: Vec<Row>) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let (answer, result) = mpsc::sync_channel(1);
        self.send(Change::Rows { keyspace, rows, answer })?;
        result.recv().map_err(|_| StoreError::Closed)?
    }

    /// Shows all rows of a keyspace whose key begins with `prefix`.
    pub(crate) fn scan_rows(
        &self,
        keyspace: &str,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), StoreError> {
        self.with(keyspace, |k| {
            for row in k.prefix(prefix) {
                let (key, value) = row.into_inner()?;
                each(&key, &value);
            }
            Ok(())
        })
    }

    /// All tables as they are at this moment.
    pub(crate) fn snapshot(&self) -> Result<fjall::Snapshot, StoreError> {
        Ok(self.open.read().as_ref().ok_or(StoreError::Closed)?.database.snapshot())
    }

    /// Shows all rows of a snapshot.
    pub(crate) fn each_row(
        &self,
        snapshot: &fjall::Snapshot,
        mut each: impl FnMut(&str, &[u8], &[u8]) -> std::io::Result<()>,
    ) -> Result<(), StoreError> {
        use fjall::Readable;
        let open = self.open.read();
        let open = open.as_ref().ok_or(StoreError::Closed)?;
        for name in open.database.list_keyspace_names() {
            let keyspace = open.keyspace(&name).map_err(store_error)?;
            for row in snapshot.iter(&keyspace) {
                let (key, value) = row.into_inner().map_err(store_error)?;
                each(&name, &key, &value).map_err(|error| store_error(error.into()))?;
            }
        }
        Ok(())
    }

    /// Puts rows into a keyspace by name, without syncing: for a restore, which syncs at its end.
    pub(crate) fn import(&self, keyspace: &str, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.with(keyspace, |k| k.insert(key, value))
    }

    fn work(&self, changes: &mpsc::Receiver<Change>) {
        let mut free: Option<(Instant, u64)> = None;
        while let Ok(first) = changes.recv() {
            let mut bytes = first.bytes();
            let mut group = vec![first];
            while group.len() < GROUP_MAX && bytes < GROUP_BYTES {
                let Ok(change) = changes.try_recv() else { break };
                bytes += change.bytes();
                group.push(change);
            }
            self.waiting_bytes.fetch_sub(bytes, Relaxed);
            let enough = self.has_room(&mut free);
            let waiting: Vec<Waiting> = group.into_iter().map(|change| self.apply(change, enough)).collect();
            let synced = self.sync();
            if synced == Err(StoreError::Full) {
                self.reopen();
            }
            for waiting in waiting {
                // Whoever asked may be gone; the change stays.
                match waiting {
                    Waiting::Put(answer, result) => {
                        drop(answer.send(result.and_then(|version| synced.clone().map(|()| version))));
                    }
                    Waiting::All(answer, result) => {
                        drop(answer.send(result.and_then(|()| synced.clone())));
                    }
                    Waiting::Rows(answer, result) => {
                        drop(answer.send(result.and_then(|()| synced.clone())));
                    }
                }
            }
        }
    }

    fn has_room(&self, free: &mut Option<(Instant, u64)>) -> bool {
        // That there is enough is believed for a while; that there is not is asked again each time.
        let known =
            |(when, free): (Instant, u64)| free >= self.reserve_bytes && when.elapsed() < FREE_BYTES_AGE_MAX;
        if !free.is_some_and(known) {
            // Where the free space cannot be known, writing shows it.
            *free = Some((Instant::now(), SystemFiles.free_bytes(&self.folder).unwrap_or(u64::MAX)));
        }
        let enough = free.is_some_and(|(_, free)| free >= self.reserve_bytes);
        if enough && self.open.read().is_none() {
            self.reopen();
        }
        enough
    }

    fn apply(&self, change: Change, enough: bool) -> Waiting {
        match change {
            Change::Put { keyspace, key, value, expect, answer } => {
                let put =
                    if enough { self.put(&keyspace, key, value, expect) } else { Err(StoreError::Full) };
                Waiting::Put(answer, put)
            }
            Change::All { keyspace, rows, answer, .. } => {
                let put = if enough { self.put_all(&keyspace, rows) } else { Err(StoreError::Full) };
                Waiting::All(answer, put)
            }
            Change::Rows { keyspace, rows, answer } => {
                let put = |k: &Keyspace| {
                    for (key, value) in rows {
                        match value {
                            Some(value) => k.insert(key, value)?,
                            None => k.remove(key)?,
                        }
                    }
                    Ok(())
                };
                let result = if enough { self.with(keyspace, put) } else { Err(StoreError::Full) };
                Waiting::Rows(answer, result)
            }
        }
    }

    fn put(
        &self,
        keyspace: &str,
        key: Vec<u8>,
        value: Option<Bytes>,
        expect: Expect,
    ) -> Result<u64, StoreError> {
        let version = || self.raw(keyspace, &key)?.map(|stored| version_of(&stored)).transpose();
        let holds = match expect {
            // Nothing needs to be known of what is there, so it is not read.
            Expect::Any => true,
            Expect::Absent => version()?.is_none(),
            Expect::Version(expected) => version()? == Some(expected),
        };
        if !holds {
            return Err(StoreError::Conflict);
        }
        let next = self.next_version()?;
        self.with(keyspace, |k| match value {
            Some(value) => k.insert(key, with_version(next, &value)),
            None => k.remove(key),
        })?;
        Ok(next)
    }

    /// One row of numbers for all keys: also a key that was removed never gets a version again, nor does any
    /// when the clock went back between two runs.
    fn next_version(&self) -> Result<u64, StoreError> {
        let next = self.version.load(Relaxed) + 1;
        if next >= self.ceiling.load(Relaxed) {
            let ceiling = next + VERSIONS_AT_ONCE;
            // It is in the log before all rows that have such versions.
            self.with(VERSIONS, |k| k.insert(CEILING, ceiling.to_le_bytes()))?;
            self.ceiling.store(ceiling, Relaxed);
        }
        self.version.store(next, Relaxed);
        Ok(next)
    }

    /// Puts rows of different keys as one.
    fn put_all(&self, keyspace: &str, rows: Vec<(Bytes, Option<Bytes>)>) -> Result<(), StoreError> {
        let version = self.next_version()?;
        let open = self.open.read();
        let open = open.as_ref().ok_or(StoreError::Closed)?;
        let keyspace = open.keyspace(keyspace).map_err(store_error)?;
        let mut batch = open.database.batch();
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(&keyspace, &key[..], with_version(version, &value)),
                None => batch.remove(&keyspace, &key[..]),
            }
        }
        batch.commit().map_err(store_error)
    }

    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let open = self.open.read();
        let open = open.as_ref().ok_or(StoreError::Full)?;
        open.database.persist(PersistMode::SyncAll).map_err(store_error)
    }

    /// Opens the database again. It refuses everything after a write failed; on a full disk that is over
    /// when there is space again. After a failed sync nothing but a restart helps, so then it is not done.
    fn reopen(&self) {
        // The ceiling may be among what was lost.
        self.ceiling.store(0, Relaxed);
        let mut place = self.open.write();
        *place = None;
        match open(&self.folder, self.cache_bytes) {
            Ok(opened) => *place = Some(opened),
            Err(error) => tracing::warn!(%error, "the tables cannot be opened again yet"),
        }
    }
}

impl Open {
    fn keyspace(&self, name: &str) -> Result<Keyspace, fjall::Error> {
        let mut keyspaces = self.keyspaces.lock();
        if let Some(keyspace) = keyspaces.get(name) {
            return Ok(keyspace.clone());
        }
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keyspace = self.database.keyspace(name, options)?;
        keyspaces.insert(name.to_owned(), keyspace.clone());
        Ok(keyspace)
    }
}

fn open(folder: &Path, cache_bytes: u64) -> Result<Open, StoreError> {
    let database =
        Database::builder(folder).cache_size(cache_bytes).manual_journal_persist(true).worker_threads(1);
    let database = database.open().map_err(store_error)?;
    Ok(Open { database, keyspaces: Mutex::default() })
}

impl Change {
    /// How much it weighs for the bounds of what waits and what is synced together.
    fn bytes(&self) -> usize {
        match self {
            Self::All { bytes, .. } => *bytes,
            Self::Put { .. } | Self::Rows { .. } => 0,
        }
    }
}

/// A value as it is stored.
fn with_version(version: u64, value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(VERSION_BYTES + value.len());
    stored.extend_from_slice(&version.to_le_bytes());
    stored.extend_from_slice(value);
    stored
}

fn version_of(stored: &[u8]) -> Result<u64, StoreError> {
    let version = stored.first_chunk::<VERSION_BYTES>();
    let version = version.ok_or_else(|| StoreError::Corrupt { place: "a table's value".into() })?;
    Ok(u64::from_le_bytes(*version))
}

/// A stored value and its version.
fn split(stored: &Bytes) -> Result<(Bytes, u64), StoreError> {
    let version = version_of(stored)?;
    Ok((stored.slice(VERSION_BYTES..), version))
}

/// The last row of each key.
fn last_of_each(mut rows: Vec<(Bytes, Option<Bytes>)>) -> Vec<(Bytes, Option<Bytes>)> {
    let mut seen = HashSet::with_capacity(rows.len());
    let last: Vec<bool> = rows.iter().rev().map(|(key, _)| seen.insert(key.clone())).collect();
    let mut last = last.into_iter().rev();
    rows.retain(|_| last.next().unwrap_or(true));
    rows
}

impl Shelf for Tables {
    fn write(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.write_rows(SHELF, rows)
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.raw(SHELF, key)
    }

    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.scan_rows(SHELF, prefix, each)
    }
}

/// One table.
pub(crate) struct DiskTable {
    keyspace: String,
    tables: Arc<Tables>,
    readers: Readers,
}

impl DiskTable {
    pub(crate) fn new(name: &str, tables: Arc<Tables>, readers: Readers) -> Self {
        Self { keyspace: keyspace_of(name), tables, readers }
    }
}

impl Table for DiskTable {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<(Bytes, u64)>, StoreError>> {
        let (tables, keyspace, key) = (self.tables.clone(), self.keyspace.clone(), key.to_vec());
        let read = move || tables.raw(&keyspace, &key)?.map(|stored| split(&stored)).transpose();
        self.readers.run(read).boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a [u8],
        value: Option<Bytes>,
        expect: Expect,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let (answer, result) = oneshot::channel();
        let sent = check_key(key).and_then(|()| {
            let (keyspace, key) = (self.keyspace.clone(), key.to_vec());
            self.tables.send(Change::Put { keyspace, key, value, expect, answer })
        });
        async move {
            sent?;
            result.await.unwrap_or(Err(StoreError::Closed))
        }
        .boxed()
    }

    fn put_all(&self, rows: Vec<(Bytes, Option<Bytes>)>) -> BoxFuture<'_, Result<(), StoreError>> {
        let (answer, result) = oneshot::channel();
        let sent = bytes_of_rows(&rows).and_then(|bytes| {
            if rows.is_empty() {
                return Ok(false);
            }
            let (keyspace, rows) = (self.keyspace.clone(), last_of_each(rows));
            self.tables.send_all(Change::All { keyspace, rows, bytes, answer }, bytes)?;
            Ok(true)
        });
        async move { if sent? { result.await.unwrap_or(Err(StoreError::Closed)) } else { Ok(()) } }.boxed()
    }

    fn get_many(&self, keys: Vec<Bytes>) -> BoxFuture<'_, Result<Vec<Option<Bytes>>, StoreError>> {
        let (tables, keyspace) = (self.tables.clone(), self.keyspace.clone());
        let read = move || {
            tables.with(&keyspace, |k| {
                let value = |key: &Bytes| {
                    if check_key(key).is_err() {
                        return Ok(None);
                    }
                    let stored = k.get(key)?;
                    Ok(stored.map(|s| Bytes::copy_from_slice(s.get(VERSION_BYTES..).unwrap_or_default())))
                };
                keys.iter().map(value).collect()
            })
        };
        self.readers.run(read).boxed()
    }

    fn peek(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self
            .tables
            .raw(&self.keyspace, key)?
            .map(|stored| split(&stored))
            .transpose()?
            .map(|(value, _)| value))
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        rows_max: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, StoreError>> {
        let (tables, keyspace) = (self.tables.clone(), self.keyspace.clone());
        // fjall takes no longer key, not even to begin at; none is behind a longer one that is not behind this.
        let shorter = |key: &[u8]| key[..key.len().min(KEY_BYTES_MAX)].to_vec();
        let (too_long, prefix, after) = (prefix.len() > KEY_BYTES_MAX, shorter(prefix), after.map(shorter));
        let read = move || {
            if too_long {
                return Ok(vec![]);
            }
            tables.with(&keyspace, |k| {
                let mut rows = vec![];
                let from = match after {
                    Some(after) if after >= prefix => std::ops::Bound::Excluded(after),
                    _ => std::ops::Bound::Included(prefix.clone()),
                };
                for row in k.range((from, std::ops::Bound::Unbounded)).take(rows_max) {
                    let (key, value) = row.into_inner()?;
                    if !key.starts_with(&prefix) {
                        break;
                    }
                    let value = Bytes::copy_from_slice(value.get(VERSION_BYTES..).unwrap_or_default());
                    rows.push((Bytes::copy_from_slice(&key), value));
                }
                Ok(rows)
            })
        };
        self.readers.run(read).boxed()
    }
}
