//! The store: a folder, who may use it, and the threads that work in it.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;
use yizhan_hub::{
    space::{Keep, Limits, Space},
    store::{Journal, Store, StoreError, Table},
};
use yizhan_talk::{Clock, Timestamp};

use crate::{
    backup,
    codec::LanePlace,
    config::Config,
    dedup::Ids,
    files::{self, Files, SystemFiles},
    journal::{DiskJournal, Readers},
    keep,
    lane::{Lane, Surroundings},
    meters::Meters,
    queue::Taken,
    recover::{self, LaneRecovery},
    registry::{self, Registered},
    tables::{DiskTable, Tables},
    writer::{self, Told, Writer},
};

/// The format of the folder. It changes when older servers could not read it any more.
pub(crate) const FORMAT: &str = "yizhan-disk 1\n";
/// Lanes a space has at most: each has two threads.
const LANES_MAX: u16 = 64;
/// Groups that are committed and not yet told of.
const GROUPS_UNTOLD_MAX: usize = 4;
/// How often what is over the limits is looked for.
const RETAIN_EVERY: Duration = Duration::from_secs(5);

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{folder} is in use by another process: stop that one, or choose another folder with --data")]
    Locked {
        /// The folder.
        folder: String,
    },
    /// It was written by another version.
    #[error(
        "{folder} has the format {found:?}, and this version reads {FORMAT:?}: use the version that wrote it"
    )]
    Format {
        /// The folder.
        folder: String,
        /// What its `FORMAT` says.
        found: String,
    },
    /// A restore into it did not come to its end.
    #[error("a restore into {folder} was not finished: remove the folder and restore again")]
    Unfinished {
        /// The folder.
        folder: String,
    },
    /// The operating system refused.
    #[error("{path}: {error}")]
    Io {
        /// File or folder.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The tables or journals could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        |error| Self::Io { path, error }
    }
}

/// What was found when the store was opened, as far as its journals are open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// One for each lane.
    pub lanes: Vec<LaneRecovery>,
}

impl Recovery {
    /// Whether an operator should look at it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lanes.iter().all(LaneRecovery::is_clean)
    }
}

/// A [`Store`] in a folder of this machine.
///
/// Spaces with [`Keep::Disk`] only: others belong to `yizhan_hub::memory::Memory`. It needs a tokio
/// runtime around the calls that read.
pub struct Disk {
    folder: PathBuf,
    around: Surroundings,
    clock: Arc<dyn Clock>,
    pub(crate) tables: Arc<Tables>,
    readers: Readers,
    journals: Mutex<HashMap<String, Arc<DiskJournal>>>,
    recovery: Mutex<Recovery>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    keeper: Arc<Keeper>,
    /// Held as long as the folder is in use; the operating system lets go of it when the process ends.
    lock: Mutex<Option<fs::File>>,
    closed: AtomicBool,
}

impl Disk {
    /// Opens a folder, or makes it. Journals are opened when the hub asks for them.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(folder: &Path, config: &Config, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let (files, config) = (SystemFiles, config.within_bounds());
        files.make_folder(folder).map_err(OpenError::io(folder))?;
        let lock = lock(folder)?;
        check_format(folder, Unfinished::Refused)?;
        backup::clear(folder).map_err(OpenError::io(folder))?;
        let tables = folder.join("tables");
        // Versions go on above all that were given, also above those of a folder that has no ceiling yet: they
        // are counted one by one, microseconds go faster.
        let now = clock.now().wall.0;
        let tables = Tables::open(&tables, config.tables_cache_bytes, config.reserve_bytes / 4, now)?;
        let meters = Arc::new(Meters::default());
        let readers = Readers { turns: Arc::new(Semaphore::new(config.reads_max)), meters: meters.clone() };
        let around =
            Surroundings { files: Arc::new(files), shelf: tables.clone(), meters, config: Arc::new(config) };
        let disk = Self {
            folder: folder.to_owned(),
            around,
            clock: clock.clone(),
            tables,
            readers,
            journals: Mutex::default(),
            recovery: Mutex::default(),
            threads: Mutex::default(),
            keeper: Arc::default(),
            lock: Mutex::new(Some(lock)),
            closed: AtomicBool::new(false),
        };
        let keeper = disk.keeper.clone();
        disk.spawn("yizhan-keeper", move || keeper.work(&*clock))?;
        Ok(disk)
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(work);
        let thread =
            thread.map_err(|error| StoreError::Failed(format!("no thread can be started: {error}")))?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was found when the journals were opened.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.recovery.lock().clone()
    }

    /// What is counted.
    #[must_use]
    pub fn meters(&self) -> Arc<Meters> {
        self.around.meters.clone()
    }

    /// Bytes that are free on the disk.
    ///
    /// # Errors
    /// [`StoreError::Failed`] where the operating system does not say.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        let free = self.around.files.free_bytes(&self.folder);
        free.map_err(|error| StoreError::Failed(format!("{}: {error}", self.folder.display())))
    }

    /// Changes how much a space keeps. Gives whether there is such a space.
    pub fn set_limits(&self, space: &str, limits: Limits) -> bool {
        let journal = self.journals.lock().get(space).cloned();
        let known = journal.is_some();
        if let Some(journal) = journal {
            journal.set_limits(limits);
            self.keeper.wake();
        }
        known
    }

    /// Deletes what is over the limits at this moment. Blocks. A thread does the same every few seconds.
    ///
    /// # Errors
    /// What the first journal that failed says.
    pub fn maintain(&self, now: Timestamp) -> Result<(), StoreError> {
        let journals: Vec<_> = self.journals.lock().values().cloned().collect();
        journals.iter().try_for_each(|journal| journal.retain(now))
    }

    /// Takes nothing more in, makes safe what waits, saves the indexes and lets the folder go. Blocks:
    /// call it from a thread that may.
    ///
    /// # Errors
    /// What could not be saved. Nothing that was acknowledged is lost by that; the next start takes longer.
    pub fn close(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, SeqCst) {
            return Ok(());
        }
        self.stop();
        let mut result = Ok(());
        for journal in self.journals.lock().values() {
            for lane in &journal.lanes {
                let saved = lane.checkpoint();
                result = result.and(saved);
                lane.drop_prepared();
            }
        }
        self.let_go();
        result
    }

    /// Ends all threads; what waits is written first.
    fn stop(&self) {
        self.keeper.stop();
        for journal in self.journals.lock().values() {
            journal.lanes.iter().for_each(|lane| lane.queue.close());
            journal.lanes.iter().for_each(|lane| lane.erasing.close());
            // Whoever is in the middle of it comes to an end.
            journal.lanes.iter().for_each(|lane| drop(lane.care.lock()));
        }
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store ended early");
            }
        }
    }

    fn let_go(&self) {
        self.tables.close();
        self.lock.lock().take();
    }

    pub(crate) fn journals(&self) -> Vec<Arc<DiskJournal>> {
        let mut journals: Vec<_> = self.journals.lock().values().cloned().collect();
        journals.sort_by_key(|journal| journal.id);
        journals
    }

    fn open_journal(&self, space: &Space) -> Result<Arc<DiskJournal>, StoreError> {
        let Keep::Disk(limits) = space.keep else {
            return Err(StoreError::Failed(format!("the space {} is not kept on disk", space.name)));
        };
        if self.closed.load(SeqCst) {
            return Err(StoreError::Closed);
        }
        let known = self.journals.lock().get(&space.name).cloned();
        if let Some(known) = known {
            known.set_limits(limits);
            return Ok(known);
        }
        let registered = registry::find_or_make(&self.tables, space, self.clock.now().wall, LANES_MAX)?;
        let folder = self.folder.join("journal").join(registered.folder_name(&space.name));
        let lanes = self.open_lanes(space, &limits, &registered, &folder)?;
        let journal = Arc::new(DiskJournal {
            name: space.name.clone(),
            id: registered.id,
            epoch: registered.epoch,
            lanes,
            limits: Mutex::new(limits),
            readers: self.readers.clone(),
        });
        journal.set_limits(limits);
        for lane in &journal.lanes {
            self.start(lane)?;
        }
        self.keeper.add(journal.clone());
        self.journals.lock().insert(space.name.clone(), journal.clone());
        Ok(journal)
    }

    fn open_lanes(
        &self,
        space: &Space,
        limits: &Limits,
        registered: &Registered,
        folder: &Path,
    ) -> Result<Vec<Arc<Lane>>, StoreError> {
        let ids = Arc::new(Mutex::new(Ids::new(space.dedup)));
        let shape = keep::shape(limits, registered.lanes.into(), self.around.config.segment_bytes);
        let mut lanes = vec![];
        for lane in 0..registered.lanes {
            let place = LanePlace { space: registered.id, lane, epoch: registered.epoch };
            let around = self.around.clone();
            let (opened, mut report) =
                recover::open(place, &folder.join(lane.to_string()), &ids, shape, around)?;
            report.space.clone_from(&space.name);
            let took = report.took.as_millis();
            let (records, dropped) = (report.records_read, report.dropped_bytes);
            tracing::info!(space = space.name, lane, records, dropped, took, "a journal is open");
            self.recovery.lock().lanes.push(report);
            lanes.push(opened);
        }
        Ok(lanes)
    }

    /// Starts a lane's threads: one writes, one tells. So the next group is on its way to the disk while
    /// those who waited for the last one are woken.
    fn start(&self, lane: &Arc<Lane>) -> Result<(), StoreError> {
        let mut writer = Writer::new(lane.clone())?;
        let (told, untold) = mpsc::sync_channel::<Told>(GROUPS_UNTOLD_MAX);
        let (writing, keeper) = (lane.clone(), self.keeper.clone());
        self.spawn("yizhan-writer", move || {
            let mut batch = vec![];
            while writing.queue.wait(&mut batch, writing.around.config.group_bytes_max) == Taken::Some {
                // The herald ends after this thread; where it ended early, nobody waits any more.
                writer.turn(&mut batch, &mut |group| drop(told.send(group)));
                if writing.wishes.any() {
                    keeper.wake();
                }
            }
        })?;
        let telling = lane.clone();
        self.spawn("yizhan-herald", move || {
            while let Ok(group) = untold.recv() {
                writer::tell(&telling, group);
            }
        })
    }
}

impl Drop for Disk {
    /// As after a crash: what was acknowledged is safe, and the next start reads the rest from the log.
    fn drop(&mut self) {
        if !self.closed.swap(true, SeqCst) {
            self.stop();
            self.let_go();
        }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Store for Disk {
    fn journal<'a>(&'a self, space: &'a Space) -> BoxFuture<'a, Result<Arc<dyn Journal>, StoreError>> {
        // The server starts here: it has nothing better to do than to wait for the disk.
        Box::pin(std::future::ready(self.open_journal(space).map(|journal| journal as Arc<dyn Journal>)))
    }

    fn table(&self, name: &'static str) -> Result<Arc<dyn Table>, StoreError> {
        if self.closed.load(SeqCst) {
            return Err(StoreError::Closed);
        }
        Ok(Arc::new(DiskTable::new(name, self.tables.clone(), self.readers.clone())))
    }
}

/// Takes the folder for this process.
pub(crate) fn lock(folder: &Path) -> Result<fs::File, OpenError> {
    let path = folder.join("LOCK");
    let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = file.map_err(OpenError::io(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(OpenError::Locked { folder: folder.display().to_string() });
        }
        Err(fs::TryLockError::Error(error)) => {
            return Err(OpenError::Io { path: path.display().to_string(), error });
        }
    }
    // The number is for people who look; the lock is what counts.
    let told = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    told.map_err(OpenError::io(&path))?;
    Ok(file)
}

/// A file that is there while a folder is being filled.
pub(crate) const UNFINISHED: &str = "UNFINISHED";

/// Whether a folder that is being filled is fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfinished {
    Refused,
    Expected,
}

/// Makes sure that this version can read the folder; a new folder gets its mark.
pub(crate) fn check_format(folder: &Path, unfinished: Unfinished) -> Result<(), OpenError> {
    if unfinished == Unfinished::Refused && folder.join(UNFINISHED).exists() {
        return Err(OpenError::Unfinished { folder: folder.display().to_string() });
    }
    let path = folder.join("FORMAT");
    match fs::read_to_string(&path) {
        Ok(found) if found == FORMAT => Ok(()),
        Ok(found) => Err(OpenError::Format { folder: folder.display().to_string(), found }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            files::replace(&SystemFiles, &path, FORMAT.as_bytes()).map_err(OpenError::io(&path))
        }
        Err(error) => Err(OpenError::Io { path: path.display().to_string(), error }),
    }
}

/// The thread that does what writers should not wait for: new files, checkpoints, retention.
#[derive(Default)]
struct Keeper {
    inside: Mutex<KeeperInside>,
    woken: Condvar,
}

#[derive(Default)]
struct KeeperInside {
    journals: Vec<Arc<DiskJournal>>,
    awake: bool,
    stopped: bool,
}

impl Keeper {
    fn add(&self, journal: Arc<DiskJournal>) {
        self.inside.lock().journals.push(journal);
        self.wake();
    }

    fn wake(&self) {
        self.inside.lock().awake = true;
        self.woken.notify_one();
    }

    fn stop(&self) {
        let mut inside = self.inside.lock();
        inside.stopped = true;
        inside.journals.clear();
        drop(inside);
        self.woken.notify_one();
    }

    fn work(&self, clock: &dyn Clock) {
        loop {
            let mut inside = self.inside.lock();
            if !inside.awake && !inside.stopped {
                self.woken.wait_for(&mut inside, RETAIN_EVERY);
            }
            if inside.stopped {
                return;
            }
            let tick = !std::mem::take(&mut inside.awake);
            let journals = inside.journals.clone();
            drop(inside);
            look_after(&journals, clock, tick);
        }
    }
}

fn look_after(journals: &[Arc<DiskJournal>], clock: &dyn Clock, tick: bool) {
    let lanes = || journals.iter().flat_map(|journal| &journal.lanes);
    // Writers wait for these soonest.
    for lane in lanes().filter(|lane| Lane::take_wish(&lane.wishes.prepare)) {
        lane.prepare();
    }
    for lane in lanes().filter(|lane| Lane::take_wish(&lane.wishes.checkpoint)) {
        if let Err(error) = lane.checkpoint() {
            tracing::warn!(%error, folder = %lane.log.folder.display(), "a checkpoint could not be written");
        }
    }
    for journal in journals {
        let wished = journal.lanes.iter().filter(|lane| Lane::take_wish(&lane.wishes.retain)).count() > 0;
        if (wished || tick)
            && let Err(error) = journal.retain(clock.now().wall)
        {
            tracing::warn!(%error, space = journal.name, "retention could not delete what is over the limits");
        }
    }
}
