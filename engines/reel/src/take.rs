//! A take that is being written.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::warn;
use yizhan_talk::Timestamp;

use crate::{
    Config, ReelError, TakeId,
    index::{self, Entry, Kind},
    pool::{Pool, Work},
};

/// Only the server reads recordings.
const FILE_MODE: u32 = 0o600;
/// Pieces that wait for the disk, of each take, whatever their size.
const QUEUE_PIECES_MAX: usize = 4096;

/// What is written of a broadcast at a time.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Its bytes.
    pub bytes: Bytes,
    /// Decoding can begin with it.
    pub key: bool,
    /// When its first frame is decoded, microseconds on the broadcast's clock.
    pub dts: i64,
    /// When that was by the wall's clock.
    pub at: Timestamp,
}

/// How a take ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As it was meant to.
    Finished,
    /// It is whole up to its last piece, and no more could be written. The reason, in words.
    Failed(Arc<str>),
}

/// How far a take is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes that can be read.
    pub bytes: u64,
    /// Pieces that can be read.
    pub pieces: u64,
    /// Pieces for which there was no room while the disk was slow.
    pub dropped: u64,
    /// Of the first piece, microseconds.
    pub first_dts: i64,
    /// Of the last one.
    pub last_dts: i64,
    /// When the last one was.
    pub last_at: Timestamp,
    /// How it ended; `None` while it goes on.
    pub end: Option<End>,
}

/// A take that is being written. Dropping it finishes it, too; nobody waits for that then.
#[derive(Debug)]
pub struct Take {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Take {
    pub(crate) fn new(
        id: TakeId,
        path: PathBuf,
        began: Timestamp,
        head: Bytes,
        config: &Config,
        pool: Arc<Pool>,
    ) -> Self {
        let end = head.len() as u64;
        let begin = Job::Begin { path, began, head };
        let shared = Arc::new(Shared {
            id,
            config: config.clone(),
            queue: Mutex::new(Queue {
                waiting: VecDeque::from([begin]),
                bytes: 0,
                end,
                standing: true,
                skipping: false,
            }),
            writer: Mutex::new(None),
            progress: watch::channel(Progress { last_at: began, ..Progress::default() }).0,
        });
        pool.stand(shared.clone());
        Self { shared, pool }
    }

    /// Which it is.
    #[must_use]
    pub fn id(&self) -> &TakeId {
        &self.shared.id
    }

    /// Writes a piece. Never waits: where no room is, it is dropped, and so is all up to the next piece that decoding
    /// can begin with. Gives the offset at which it will lie; `None` where it was dropped.
    ///
    /// # Errors
    /// The take has ended; how, is in [`progress`](Self::progress).
    pub fn push(&self, piece: Piece) -> Result<Option<u64>, End> {
        if let Some(end) = &self.shared.progress.borrow().end {
            return Err(end.clone());
        }
        let mut queue = self.shared.queue.lock();
        let room = queue.bytes.saturating_add(piece.bytes.len()) <= self.shared.config.queue_bytes_max
            && queue.waiting.len() < QUEUE_PIECES_MAX;
        if !room || (queue.skipping && !piece.key) {
            queue.skipping = true;
            drop(queue);
            self.shared.progress.send_modify(|progress| progress.dropped += 1);
            return Ok(None);
        }
        queue.skipping = false;
        queue.bytes += piece.bytes.len();
        let offset = queue.end;
        queue.end += piece.bytes.len() as u64;
        self.add(queue, Job::Piece(piece));
        Ok(Some(offset))
    }

    /// How far it is, and what it will be.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    /// Writes what waits, then `patches` (bytes over bytes of the head, each written after the one before it is safe),
    /// and ends it. Returns when it is safe on the disk, or could not be.
    pub async fn finish(self, patches: Vec<(u64, Bytes)>) -> Progress {
        let mut progress = self.progress();
        self.add(self.shared.queue.lock(), Job::End(patches));
        // The sender is in `self`, so somebody ends this.
        match progress.wait_for(|progress| progress.end.is_some()).await {
            Ok(progress) => progress.clone(),
            Err(_) => self.shared.progress.borrow().clone(),
        }
    }

    fn add(&self, mut queue: parking_lot::MutexGuard<'_, Queue>, job: Job) {
        queue.waiting.push_back(job);
        if !std::mem::replace(&mut queue.standing, true) {
            drop(queue);
            self.pool.stand(self.shared.clone());
        }
    }
}

impl Drop for Take {
    fn drop(&mut self) {
        // After `finish` it has ended, and this one is passed over.
        self.add(self.shared.queue.lock(), Job::End(Vec::new()));
    }
}

#[derive(Debug)]
enum Job {
    Begin { path: PathBuf, began: Timestamp, head: Bytes },
    Piece(Piece),
    End(Vec<(u64, Bytes)>),
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Job>,
    bytes: usize,
    /// Where the next piece will lie.
    end: u64,
    /// Whether this take stands in line for a thread, or is with one.
    standing: bool,
    /// Pieces are passed over until one that decoding can begin with.
    skipping: bool,
}

#[derive(Debug)]
struct Shared {
    id: TakeId,
    config: Config,
    queue: Mutex<Queue>,
    /// Taken by the thread that writes, and by nobody else.
    writer: Mutex<Option<Writer>>,
    progress: watch::Sender<Progress>,
}

impl Work for Shared {
    fn work(&self) -> bool {
        let jobs = {
            let mut queue = self.queue.lock();
            if queue.waiting.is_empty() {
                queue.standing = false;
                return false;
            }
            queue.bytes = 0;
            std::mem::take(&mut queue.waiting)
        };
        let mut place = self.writer.lock();
        for job in jobs {
            if self.progress.borrow().end.is_some() {
                break;
            }
            if let Err(error) = self.run(&mut place, job) {
                self.fail(&mut place, &error);
            }
        }
        true
    }
}

impl Shared {
    fn run(&self, place: &mut Option<Writer>, job: Job) -> Result<(), ReelError> {
        match (job, place) {
            (Job::Begin { path, began, head }, place) => {
                let writer = Writer::open(&path, began, &head, self.config.reserve_bytes)?;
                self.progress.send_modify(|progress| progress.bytes = writer.bytes);
                *place = Some(writer);
            }
            (Job::Piece(piece), Some(writer)) => {
                if piece.key {
                    writer.sync_where_due(&self.config)?;
                }
                let kind = Kind::Piece { key: piece.key };
                writer.append(kind, &piece.bytes, piece.dts, piece.at)?;
                self.progress.send_modify(|progress| {
                    if progress.pieces == 0 {
                        progress.first_dts = piece.dts;
                    }
                    progress.bytes = writer.bytes;
                    progress.pieces += 1;
                    progress.last_dts = piece.dts;
                    progress.last_at = piece.at;
                });
            }
            (Job::End(patches), Some(writer)) => {
                let progress = self.progress.borrow().clone();
                writer.finish(&patches, &progress)?;
                if progress.pieces == 0 {
                    writer.remove();
                }
                self.end(End::Finished);
            }
            // Nothing was begun, so it has ended already.
            (Job::Piece(_) | Job::End(_), None) => {}
        }
        Ok(())
    }

    /// Ends it behind its last whole piece.
    fn fail(&self, place: &mut Option<Writer>, error: &ReelError) {
        warn!(%error, take = %self.id, "a recording ended before its time");
        if let Some(writer) = place {
            let progress = self.progress.borrow().clone();
            if let Err(error) = writer.give_up(&progress) {
                warn!(%error, take = %self.id, "its end is mended at the next start");
            }
        }
        self.end(End::Failed(words(error).into()));
    }

    fn end(&self, end: End) {
        self.progress.send_modify(|progress| progress.end = Some(end));
    }
}

/// In words that are the same wherever the disk is full.
fn words(error: &ReelError) -> String {
    match error {
        ReelError::Io(io) if is_full(io) => ReelError::Full.to_string(),
        other => other.to_string(),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A take's two files.
#[derive(Debug)]
struct Writer {
    path: PathBuf,
    take: File,
    index: File,
    bytes: u64,
    head_bytes: u64,
    index_bytes: u64,
    pieces: u64,
    synced: Instant,
}

impl Writer {
    fn open(path: &Path, began: Timestamp, head: &[u8], reserve_bytes: u64) -> Result<Self, ReelError> {
        let folder = path.parent().unwrap_or(path);
        std::fs::create_dir_all(folder)?;
        want_room(folder, reserve_bytes)?;
        let mut index = create(&index_path(path))?;
        index.write_all(&index::head(began))?;
        let take = create(path)?;
        let mut writer = Self {
            path: path.to_owned(),
            take,
            index,
            bytes: 0,
            head_bytes: 0,
            index_bytes: index::ENTRY_BYTES as u64,
            pieces: 0,
            synced: Instant::now(),
        };
        if let Err(error) = writer.begin(head, began) {
            writer.remove();
            return Err(error.into());
        }
        Ok(writer)
    }

    fn begin(&mut self, head: &[u8], began: Timestamp) -> io::Result<()> {
        if !head.is_empty() {
            self.append(Kind::Head, head, 0, began)?;
        }
        self.head_bytes = self.bytes;
        self.sync()?;
        File::open(self.path.parent().unwrap_or(&self.path))?.sync_all()
    }

    /// Writes a piece, then its entry: one without the other is cut off after a crash.
    fn append(&mut self, kind: Kind, bytes: &[u8], dts: i64, at: Timestamp) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.take.write_all_at(bytes, self.bytes)?;
        let is_piece = matches!(kind, Kind::Piece { .. });
        let seq = self.pieces + u64::from(is_piece);
        self.note(&Entry { kind, length, offset: self.bytes, dts, at, seq, sum: crc32c::crc32c(bytes) })?;
        self.bytes += u64::from(length);
        self.pieces = seq;
        Ok(())
    }

    fn note(&mut self, entry: &Entry) -> io::Result<()> {
        self.index.write_all_at(&entry.encode(), self.index_bytes)?;
        self.index_bytes += index::ENTRY_BYTES as u64;
        Ok(())
    }

    fn sync_where_due(&mut self, config: &Config) -> Result<(), ReelError> {
        if self.synced.elapsed() < config.sync_every {
            return Ok(());
        }
        want_room(&self.path, config.reserve_bytes)?;
        Ok(self.sync()?)
    }

    /// Makes all safe, and says so in the index.
    fn sync(&mut self) -> io::Result<()> {
        self.take.sync_data()?;
        let mark = self.mark(Kind::Synced, 0, Timestamp(0));
        self.note(&mark)?;
        self.index.sync_data()?;
        self.synced = Instant::now();
        Ok(())
    }

    fn mark(&self, kind: Kind, dts: i64, at: Timestamp) -> Entry {
        Entry { kind, length: 0, offset: self.bytes, dts, at, seq: self.pieces, sum: 0 }
    }

    fn finish(&mut self, patches: &[(u64, Bytes)], progress: &Progress) -> io::Result<()> {
        // Also says that the head is safe: it is not summed up any more, patched or not.
        self.sync()?;
        for (offset, bytes) in patches {
            if offset.saturating_add(bytes.len() as u64) > self.head_bytes {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a patch lies behind the head"));
            }
            self.take.write_all_at(bytes, *offset)?;
            self.take.sync_data()?;
        }
        let end = self.mark(Kind::Finished, progress.last_dts, progress.last_at);
        self.note(&end)?;
        self.index.sync_all()
    }

    /// Cuts off what is not whole. Where the disk is full this frees what the entry needs.
    fn give_up(&mut self, progress: &Progress) -> io::Result<()> {
        if self.pieces == 0 {
            self.remove();
            return Ok(());
        }
        self.take.set_len(self.bytes)?;
        self.index.set_len(self.index_bytes)?;
        self.take.sync_data()?;
        let end = self.mark(Kind::Finished, progress.last_dts, progress.last_at);
        self.note(&end)?;
        self.index.sync_all()
    }

    /// Takes away a take that nothing is in. If this fails, the next start does it.
    fn remove(&self) {
        drop(std::fs::remove_file(&self.path));
        drop(std::fs::remove_file(index_path(&self.path)));
    }
}

fn create(path: &Path) -> Result<File, ReelError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(FILE_MODE).open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => ReelError::Exists,
        _ => error.into(),
    })
}

/// Where the index of a take lies.
pub(crate) fn index_path(take: &Path) -> PathBuf {
    let mut name = take.as_os_str().to_owned();
    name.push(".index");
    name.into()
}

/// Whether so much would stay free on the disk of this file or folder.
pub(crate) fn want_room(at: &Path, reserve_bytes: u64) -> Result<(), ReelError> {
    let there = rustix::fs::statvfs(at).map_err(io::Error::from)?;
    if there.f_bavail.saturating_mul(there.f_frsize) < reserve_bytes {
        return Err(ReelError::Full);
    }
    Ok(())
}
