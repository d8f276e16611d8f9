//! Where things are kept. `engines/disk` is one store, [`crate::memory`] another.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use yizhan_talk::Timestamp;

use crate::{
    message::{Content, Message, Position, Record, SpaceId},
    space::Space,
    topic::{Filter, Topic},
};

/// Journals by space, tables by name.
pub trait Store: Send + Sync + 'static {
    /// Opens a space's journal, or makes it. Called once for each kept space when the hub opens.
    fn journal<'a>(&'a self, space: &'a Space) -> BoxFuture<'a, Result<Arc<dyn Journal>, StoreError>>;

    /// Opens a table, or makes it.
    fn table(&self, name: &'static str) -> Result<Arc<dyn Table>, StoreError>;
}

/// One space's append-only log, in one or more lanes.
pub trait Journal: Send + Sync + 'static {
    /// The space's number.
    fn id(&self) -> SpaceId;

    /// Hands a message over to be kept. Order within a topic is the order of these calls; the message is
    /// in line when this returns. The future is ready when the message is as safe as its space promises:
    /// on disk, after `fsync`.
    ///
    /// `at` is when the server took it. A repeated message id gives the first one's place, `duplicate`
    /// set, once that first one is safe.
    fn append(&self, at: Timestamp, message: Message) -> BoxFuture<'static, Result<Appended, StoreError>>;

    /// Sets who hears of every record once it is safe, in the order of positions of each lane.
    /// Set once, when the hub opens.
    fn set_tail(&self, tail: Arc<dyn Tail>);

    /// The place of the newest safe record of each lane: reading after it gives what comes next.
    fn heads(&self) -> Vec<Position>;

    /// Reads on from a place: the records of `after`'s lane that lie behind it and match, oldest first,
    /// expired ones included.
    fn read<'a>(
        &'a self,
        after: Position,
        filter: &'a Filter,
        page: PageSize,
    ) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// Reads one topic's records by their numbers, oldest first in the answer.
    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        range: Range,
        page: PageSize,
    ) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// The newest record of each of these topics, in their order; `None` where nothing is left of one. Cheaper
    /// than a [`history`](Self::history) of each.
    fn newest_each<'a>(
        &'a self,
        topics: &'a [Topic],
    ) -> BoxFuture<'a, Result<Vec<Option<Arc<Record>>>, StoreError>>;

    /// The numbers of the newest records of these topics, in their order, from memory; 0 for one that is not
    /// known. The record itself may be gone.
    fn newest_seqs(&self, topics: &[Topic]) -> Vec<u64>;

    /// For each lane the place behind which everything lies that was taken at this moment or later: just before
    /// the first such record, or at the head. Where the clock went back, older ones lie behind it, too. Where
    /// retention took some of them, reading on from there says so.
    fn since(&self, at: Timestamp) -> BoxFuture<'_, Result<Vec<Position>, StoreError>>;

    /// Erases what was said, for good: the records of a topic with these numbers lose body, headers and content
    /// type ([`Content::Binary`]) wherever the journal has them, on disk by
    /// writing over them. They keep place, number, key, time and sender. An erased record is no key's value any
    /// more. Safe when the future is ready; erasing again changes nothing. Gives how many were erased by this
    /// call; numbers of which nothing is left are passed over.
    ///
    /// # Errors
    /// What kept it from being done. It may have been done in part, or will be after a restart.
    fn erase<'a>(&'a self, topic: &'a Topic, seqs: Vec<u64>) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// The newest record of each key of each matching topic: the topics' state. At most `records_max`, in
    /// the order of positions.
    fn state<'a>(
        &'a self,
        filter: &'a Filter,
        records_max: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Record>>, StoreError>>;

    /// Topics with a matching name that something is kept of, in the order of names, after `after`.
    fn topics(&self, filter: &Filter, after: Option<&Topic>, topics_max: usize) -> Vec<TopicSummary>;

    /// What the journal holds and costs.
    fn figures(&self) -> JournalFigures;
}

/// A record without what was said in it: what [`Journal::erase`] leaves. `None` where nothing was said.
#[must_use]
pub fn emptied(record: &Record) -> Option<Record> {
    let said = &record.message;
    if said.body.is_empty() && said.headers.is_empty() && said.content == Content::Binary {
        return None;
    }
    let message =
        Message { content: Content::Binary, headers: [].into(), body: Bytes::new(), ..said.clone() };
    Some(Record::new(record.position, record.seq, record.at, message))
}

/// Who hears of records once they are safe.
pub trait Tail: Send + Sync + 'static {
    /// These were appended to one lane, in this order. Must not wait: it is called between two commits.
    fn appended(&self, records: &[Arc<Record>]);
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Where it is.
    pub position: Position,
    /// Its number within its topic.
    pub seq: u64,
    /// When the server took it (the first time).
    pub at: Timestamp,
    /// A message with the same id was there already; this is its place.
    pub duplicate: bool,
}

/// How much one read gives at most. At least one record is given where one is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize {
    /// Records.
    pub records_max: usize,
    /// Bytes of bodies.
    pub bytes_max: usize,
}

/// Which of a topic's records. Numbers start at 1; bounds are not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// The newest ones.
    Newest,
    /// The ones right after this number.
    After(u64),
    /// The ones right before this number.
    Before(u64),
    /// Between two numbers, from the older end.
    Between(u64, u64),
    /// The ones taken at this moment or later, from the older end.
    Since(Timestamp),
}

/// One read's answer.
#[derive(Debug, Clone)]
pub struct Page {
    /// Matching records, oldest first.
    pub records: Vec<Arc<Record>>,
    /// How far the read looked: go on from here. For [`Journal::history`]: the place of the last record.
    pub through: Option<Position>,
    /// Whether nothing more was there when this was read.
    pub at_end: bool,
    /// What retention took between the asked-for place and the first record given.
    pub missed: Missed,
}

/// How many records somebody did not get who should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// This many.
    Count(u64),
    /// Some, perhaps; nobody knows how many.
    Unknown,
}

impl Missed {
    /// None at all.
    pub const NONE: Self = Self::Count(0);

    /// Both gaps together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => Self::Count(a + b),
            _ => Self::Unknown,
        }
    }
}

/// A topic that something is kept of.
#[derive(Debug, Clone)]
pub struct TopicSummary {
    /// Its name.
    pub topic: Topic,
    /// The number of its newest record.
    pub newest_seq: u64,
    /// The number of the oldest record that is still there; one more than the newest where none is.
    pub oldest_seq: u64,
}

/// What a journal holds and costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalFigures {
    /// Records kept.
    pub records: u64,
    /// Bytes on disk or in memory.
    pub bytes: u64,
    /// Topics known.
    pub topics: u64,
    /// Messages that wait to be committed.
    pub waiting: u64,
}

/// An ordered map with compare-and-set: sessions, accounts, tokens.
pub trait Table: Send + Sync + 'static {
    /// A value and its version; the version grows with every change of this key.
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<(Bytes, u64)>, StoreError>>;

    /// Puts a value, or removes it (`None`), where `expect` holds. Safe on disk when the future is ready.
    /// Gives the new version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where `expect` does not hold; [`StoreError::Failed`] for a key that is empty or
    /// longer than [`KEY_BYTES_MAX`].
    fn put<'a>(
        &'a self,
        key: &'a [u8],
        value: Option<Bytes>,
        expect: Expect,
    ) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Puts or removes (`None`) many rows as one: after a crash either all of it happened or nothing. Whatever
    /// is there is put over; versions grow as with [`put`](Self::put). Where a key stands twice, the later row
    /// counts. Safe on disk when the future is ready.
    ///
    /// # Errors
    /// [`StoreError::Failed`], and nothing changed, for more than [`ROWS_MAX`] rows or [`ROWS_BYTES_MAX`] bytes,
    /// or for a key that [`put`](Self::put) refuses.
    fn put_all(&self, rows: Vec<(Bytes, Option<Bytes>)>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The values of many keys, in the order of the keys; `None` where there is none. Each is as it was at some
    /// moment during the call. Cheaper than many [`get`](Self::get)s.
    fn get_many(&self, keys: Vec<Bytes>) -> BoxFuture<'_, Result<Vec<Option<Bytes>>, StoreError>>;

    /// A value, read at once on the caller's thread. It may touch the disk, so this is only for who cannot wait,
    /// such as a check of access, and for rows that are likely in memory.
    fn peek(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Keys that begin with `prefix` and come after `after`, in order, with their values.
    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        rows_max: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, StoreError>>;
}

/// Rows in one [`Table::put_all`] at most.
pub const ROWS_MAX: usize = 65_536;
/// Bytes of keys and values in one [`Table::put_all`] at most.
pub const ROWS_BYTES_MAX: usize = 16 << 20;

/// Bytes of a table's key at most; at least it has one.
pub const KEY_BYTES_MAX: usize = 65_535;

/// Whether a row may have this key.
///
/// # Errors
/// [`StoreError::Failed`] where it is empty or too long.
pub fn check_key(key: &[u8]) -> Result<(), StoreError> {
    if (1..=KEY_BYTES_MAX).contains(&key.len()) {
        return Ok(());
    }
    Err(StoreError::Failed(format!("a key of {} bytes: it may have 1 to {KEY_BYTES_MAX}", key.len())))
}

/// Whether one [`Table::put_all`] takes these rows. Gives their bytes.
///
/// # Errors
/// [`StoreError::Failed`] where they are too many, or a key is one that [`check_key`] refuses.
pub fn bytes_of_rows(rows: &[(Bytes, Option<Bytes>)]) -> Result<usize, StoreError> {
    let of_row = |(key, value): &(Bytes, Option<Bytes>)| key.len() + value.as_ref().map_or(0, Bytes::len);
    let bytes = rows.iter().map(of_row).sum();
    if rows.len() > ROWS_MAX || bytes > ROWS_BYTES_MAX {
        let (count, most, bytes_max) = (rows.len(), ROWS_MAX, ROWS_BYTES_MAX);
        return Err(StoreError::Failed(format!(
            "{count} rows of {bytes} bytes were put at once: {most} rows of {bytes_max} bytes are the most"
        )));
    }
    rows.iter().try_for_each(|(key, _)| check_key(key))?;
    Ok(bytes)
}

/// What must be there for a [`Table::put`] to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    Any,
    /// Nothing.
    Absent,
    /// Exactly this version.
    Version(u64),
}

/// The world failed, or somebody else was quicker.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space is left on the disk. Goes away when space is there again.
    #[error("the disk is full: free space or lower the retention")]
    Full,
    /// More waits to be committed than the queue takes. Goes away by itself.
    #[error("the journal's queue is full: publish more slowly")]
    Busy,
    /// What was written is not what is read.
    #[error("damaged data in {place}: run `yizhan store check`, then restore a backup or accept the loss")]
    Corrupt {
        /// File and offset.
        place: String,
    },
    /// The table has another version of this key.
    #[error("somebody else changed this at the same time: read it again")]
    Conflict,
    /// The store is being closed.
    #[error("the store is closing")]
    Closed,
    /// Everything else, with its cause.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
