//! One lane: a log, its index, and what goes in. Threads that work on it are started elsewhere.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;
use yizhan_hub::{
    message::Message,
    store::{Appended, StoreError, Tail},
};
use yizhan_talk::Timestamp;

use crate::{
    codec::{LanePlace, Place},
    config::Config,
    dedup::{Ids, Known, Seen},
    erase::Erasing,
    files::{File, Files},
    index::Index,
    log::Log,
    meters::Meters,
    queue::{Pending, Queue},
    recent::Recent,
    shelf::Shelf,
};

/// Smallest size of a segment that a small limit leads to, bytes.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// Records that a segment may hold before a limit in records ends it.
pub(crate) const SEGMENT_RECORDS_MIN: u64 = 1024;

/// Where and with what a lane works.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) shelf: Arc<dyn Shelf>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) config: Arc<Config>,
}

/// When a segment is full, besides being as long as it may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) bytes_max: u64,
    pub(crate) records_max: u64,
    pub(crate) age_max: std::time::Duration,
}

pub(crate) struct Lane {
    pub(crate) log: Log,
    pub(crate) index: RwLock<Index>,
    pub(crate) recent: Recent,
    pub(crate) queue: Queue,
    /// Shared by all lanes of the space.
    pub(crate) ids: Arc<Mutex<Ids>>,
    pub(crate) around: Surroundings,
    pub(crate) tail: OnceLock<Arc<dyn Tail>>,
    pub(crate) shape: Mutex<Shape>,
    /// A file that is ready to become the next segment.
    pub(crate) prepared: Mutex<Option<Prepared>>,
    /// How many were made.
    pub(crate) preparations: AtomicU64,
    /// Held while the shelf and the oldest segments change, or must not.
    pub(crate) care: Mutex<()>,
    /// Rows on the shelf that may have been replaced by something in the log.
    pub(crate) stale: Mutex<Vec<Stale>>,
    /// The latest moment a record was taken that retention has deleted since, µs.
    pub(crate) deleted_at: AtomicU64,
    /// The place of the newest record that retention has deleted; 0 where it deleted none.
    pub(crate) deleted: AtomicU64,
    /// Where the newest checkpoint stands.
    pub(crate) checkpointed: AtomicU64,
    pub(crate) wishes: Wishes,
    pub(crate) erasing: Erasing,
    /// Why nothing more can be written, once that is so.
    pub(crate) failed: OnceLock<StoreError>,
}

/// A file with room for a segment that has no place in the log yet.
pub(crate) struct Prepared {
    /// A name that no other file gets: the writer may be renaming this one while the next is made.
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) room: u64,
}

/// A key whose row on the shelf may be out of date.
pub(crate) type Stale = (yizhan_hub::topic::Topic, Arc<str>);

/// What the writer would like to have done by others.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// A file for the next segment.
    pub(crate) prepare: AtomicBool,
    /// A checkpoint.
    pub(crate) checkpoint: AtomicBool,
    /// Retention: a segment was ended.
    pub(crate) retain: AtomicBool,
    /// From others to the writer: end the segment when there is anything in it.
    pub(crate) roll: AtomicBool,
}

impl Wishes {
    /// Whether there is work for the keeper.
    pub(crate) fn any(&self) -> bool {
        [&self.prepare, &self.checkpoint, &self.retain].iter().any(|wish| wish.load(Relaxed))
    }
}

impl Lane {
    pub(crate) fn new(place: LanePlace, folder: &Path, ids: Arc<Mutex<Ids>>, around: Surroundings) -> Self {
        let config = around.config.clone();
        let shape = Shape {
            bytes_max: config.segment_bytes,
            records_max: u64::MAX,
            age_max: std::time::Duration::MAX,
        };
        Self {
            log: Log::new(around.files.clone(), folder, place, config.open_files_max),
            index: RwLock::default(),
            recent: Recent::new(config.cache_bytes),
            queue: Queue::default(),
            ids,
            around,
            tail: OnceLock::new(),
            shape: Mutex::new(shape),
            prepared: Mutex::default(),
            preparations: AtomicU64::new(0),
            care: Mutex::default(),
            stale: Mutex::default(),
            deleted_at: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            checkpointed: AtomicU64::new(0),
            wishes: Wishes::default(),
            erasing: Erasing::default(),
            failed: OnceLock::new(),
        }
    }

    pub(crate) fn place(&self) -> &LanePlace {
        &self.log.lane
    }

    /// Puts a message in line; see [`yizhan_hub::Journal::append`].
    pub(crate) fn append(
        &self,
        at: Timestamp,
        message: Message,
    ) -> BoxFuture<'static, Result<Appended, StoreError>> {
        let meters = &self.around.meters;
        let queued = match message.id {
            None => self.queue(at, message),
            Some(id) => {
                // Held until the message is in line, so that a repeated one comes behind it.
                let mut ids = self.ids.lock();
                match ids.begin(id, at) {
                    Known::New => self.queue(at, message).inspect_err(|error| ids.refuse(id, error)),
                    Known::Safe(seen) => {
                        meters.duplicates.one();
                        return std::future::ready(Ok(self.appended(&seen, true))).boxed();
                    }
                    Known::UnderWay(result) => {
                        meters.duplicates.one();
                        Ok(result)
                    }
                    Known::Busy => Err(StoreError::Busy),
                }
            }
        };
        match queued {
            Ok(result) => async move { result.await.unwrap_or(Err(StoreError::Closed)) }.boxed(),
            Err(refused) => {
                if refused == StoreError::Busy {
                    meters.busy.one();
                }
                std::future::ready(Err(refused)).boxed()
            }
        }
    }

    fn queue(
        &self,
        at: Timestamp,
        message: Message,
    ) -> Result<oneshot::Receiver<Result<Appended, StoreError>>, StoreError> {
        if let Some(failed) = self.failed.get() {
            return Err(failed.clone());
        }
        let (answer, result) = oneshot::channel();
        let pending = Pending { at, message, answer, since: Instant::now() };
        let config = &self.around.config;
        self.queue.push(pending, config.queue_messages_max, config.queue_bytes_max)?;
        Ok(result)
    }

    /// What is answered to whoever appended this.
    pub(crate) fn appended(&self, seen: &Seen, duplicate: bool) -> Appended {
        let position = LanePlace { lane: seen.lane, ..*self.place() }.position(seen.place);
        Appended { position, seq: seen.seq, at: seen.at, duplicate }
    }

    /// Remembers that a key's row on the shelf may be out of date: its newest record is in the log now.
    pub(crate) fn outdate(&self, topic: &yizhan_hub::topic::Topic, key: &str, before: Option<Place>) {
        // A place at the log's beginning or before it is on the shelf.
        if before.is_some_and(|place| place <= self.log.begin()) {
            self.stale.lock().push((topic.clone(), key.into()));
        }
    }

    /// Gives back the room of a file that waited to become a segment.
    pub(crate) fn drop_prepared(&self) {
        if let Some(prepared) = self.prepared.lock().take() {
            // A start removes it, too.
            drop(self.log.files.remove(&prepared.path));
        }
    }

    /// Whether a wish was there; it is taken as fulfilled.
    pub(crate) fn take_wish(wish: &AtomicBool) -> bool {
        wish.swap(false, Relaxed)
    }
}
