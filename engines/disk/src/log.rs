//! A lane's log: its segments as one row of logical offsets, read at any place.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Acquire, Ordering::Release},
    },
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use yizhan_hub::{message::Record, store::StoreError};

use crate::{
    codec::{BadFrame, Frame, LanePlace, Links, Place, Preamble},
    erase::Intent,
    files::{File, Files, is_full},
    segment::{Scan, Segment},
};

/// Bytes that are read to follow a chain: nearly every head fits.
const HEAD_GUESS: usize = 384;
/// Bytes that are read to get a record: most frames fit.
const FRAME_GUESS: usize = 2048;

/// Why a place could not be read.
#[derive(Debug, Clone)]
pub(crate) enum Unread {
    /// Retention took it.
    Gone,
    /// What is there, at this place for people, is not what was written; or it was being erased.
    Damaged(String),
    /// The store failed.
    Failed(StoreError),
}

impl From<Unread> for StoreError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Gone => Self::Failed("retention took a record while it was read: ask again".into()),
            Unread::Damaged(place) => {
                tracing::error!(place, "damaged data was read");
                Self::Corrupt { place }
            }
            Unread::Failed(error) => error,
        }
    }
}

pub(crate) struct Log {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) folder: PathBuf,
    pub(crate) lane: LanePlace,
    segments: RwLock<Vec<Arc<Segment>>>,
    /// Segments whose file is open, in the order of opening.
    open: Mutex<VecDeque<Weak<Segment>>>,
    open_files_max: usize,
    /// Logical offset behind the last safe frame.
    end: AtomicU64,
    /// Place of the newest safe record.
    newest: AtomicU64,
    /// Held for writing while a record is written over.
    overwriting: RwLock<Overwritten>,
}

/// What was written over while a backup is made.
#[derive(Debug, Default)]
pub(crate) struct Overwritten {
    noted: bool,
    /// A segment's base, and where in its file, from and to.
    ranges: Vec<(u64, u64, u64)>,
}

impl Log {
    pub(crate) fn new(files: Arc<dyn Files>, folder: &Path, lane: LanePlace, open_files_max: usize) -> Self {
        Self {
            files,
            folder: folder.to_owned(),
            lane,
            segments: RwLock::default(),
            open: Mutex::default(),
            open_files_max: open_files_max.max(2),
            end: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            overwriting: RwLock::default(),
        }
    }

    /// Puts a segment at the end of the row.
    pub(crate) fn push(&self, segment: Arc<Segment>) {
        self.segments.write().push(segment);
    }

    /// Puts a segment in place of the last one, which held nothing.
    pub(crate) fn replace_last(&self, segment: Arc<Segment>) {
        let mut segments = self.segments.write();
        segments.pop();
        segments.push(segment);
    }

    /// Takes the oldest segment out of the row.
    pub(crate) fn remove_first(&self, base: u64) -> Option<Arc<Segment>> {
        let mut segments = self.segments.write();
        (segments.len() > 1 && segments.first()?.base == base).then(|| segments.remove(0))
    }

    /// All segments, oldest first; the last one is written to.
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.read().clone()
    }

    pub(crate) fn last(&self) -> Option<Arc<Segment>> {
        self.segments.read().last().cloned()
    }

    /// Logical offset of the oldest frame that is kept: places behind it are there.
    pub(crate) fn begin(&self) -> u64 {
        self.segments.read().first().map_or(0, |s| s.base)
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Acquire)
    }

    /// The place of the newest safe record; where it is not known, one that nothing lies behind.
    pub(crate) fn newest(&self) -> Place {
        self.newest.load(Acquire)
    }

    /// Everything up to here is safe now.
    pub(crate) fn set_end(&self, end: u64, newest: Place) {
        self.end.store(end, Release);
        self.newest.store(newest, Release);
    }

    fn segment_of(&self, place: Place) -> Result<Arc<Segment>, Unread> {
        let offset = place.checked_sub(1).ok_or(Unread::Gone)?;
        let segments = self.segments.read();
        let i = segments.partition_point(|s| s.base <= offset);
        i.checked_sub(1).and_then(|i| segments.get(i)).cloned().ok_or(Unread::Gone)
    }

    pub(crate) fn file(&self, segment: &Arc<Segment>) -> Result<Arc<dyn File>, Unread> {
        let opened = segment.file(&*self.files);
        let (file, new) = opened.map_err(|error| self.unreadable(segment, &error))?;
        if new {
            let mut open = self.open.lock();
            open.push_back(Arc::downgrade(segment));
            while open.len() > self.open_files_max {
                if let Some(oldest) = open.pop_front().and_then(|s| s.upgrade())
                    && oldest.base != segment.base
                {
                    oldest.close();
                }
            }
        }
        Ok(file)
    }

    fn unreadable(&self, segment: &Segment, error: &io::Error) -> Unread {
        // A file that retention took is missing, but so is one that somebody else removed.
        if error.kind() == io::ErrorKind::NotFound && self.begin() > segment.base {
            return Unread::Gone;
        }
        Unread::Failed(StoreError::Failed(format!("{} cannot be read: {error}", segment.path.display())))
    }

    /// The links of the record at a place: its head is read and checked, not its body.
    pub(crate) fn links(&self, place: Place) -> Result<Links, Unread> {
        let mut guess = [0; HEAD_GUESS];
        let segment = self.segment_of(place)?;
        let file = self.file(&segment)?;
        let at = segment.at(place - 1);
        let read = file.read_at(&mut guess, at).map_err(|error| self.unreadable(&segment, &error))?;
        match Frame::head(&guess[..read], place - 1) {
            Ok(frame) => Ok(frame.links),
            Err(BadFrame::Cut(len)) if len > HEAD_GUESS => {
                let mut head = vec![0; len];
                let read = file.read_at(&mut head, at).map_err(|error| self.unreadable(&segment, &error))?;
                let frame = Frame::head(&head[..read], place - 1);
                Ok(frame.map_err(|_| corrupt(&segment, place))?.links)
            }
            Err(_) => Err(corrupt(&segment, place)),
        }
    }

    /// The whole frame at a place, checked.
    pub(crate) fn frame(&self, place: Place) -> Result<Bytes, Unread> {
        let segment = self.segment_of(place)?;
        let file = self.file(&segment)?;
        let at = segment.at(place - 1);
        let mut bytes = vec![0; FRAME_GUESS];
        let read = file.read_at(&mut bytes, at).map_err(|error| self.unreadable(&segment, &error))?;
        let preamble = Preamble::read(&bytes[..read], place - 1).map_err(|_| corrupt(&segment, place))?;
        let len = preamble.frame_len;
        // The length is not checked yet: it must not make us allocate more than the file has.
        if len as u64 > segment.holds().end.saturating_sub(place - 1) {
            return Err(corrupt(&segment, place));
        }
        bytes.resize(len, 0);
        if len > read {
            let more = file.read_at(&mut bytes[read..], at + read as u64);
            let more = more.map_err(|error| self.unreadable(&segment, &error))?;
            bytes.truncate(read + more);
        }
        Frame::whole(&bytes, place - 1).map_err(|_| corrupt(&segment, place))?;
        Ok(bytes.into())
    }

    /// The record at a place, with its links.
    pub(crate) fn record(&self, place: Place) -> Result<(Record, Links), Unread> {
        let bytes = self.frame(place)?;
        record_of(&bytes, place, &self.lane).map_err(|_| match self.segment_of(place) {
            Ok(segment) => corrupt(&segment, place),
            Err(unread) => unread,
        })
    }

    /// Writes over a record. It is not safe yet.
    pub(crate) fn overwrite(&self, intent: &Intent) -> Result<Arc<Segment>, Unread> {
        let segment = self.segment_of(intent.place)?;
        let (file, at) = (self.file(&segment)?, segment.at(intent.place - 1));
        let mut overwriting = self.overwriting.write();
        if overwriting.noted {
            overwriting.ranges.push((segment.base, at, at + intent.frame_len() as u64));
        }
        intent.write(&*file, at).map_err(|error| {
            tracing::warn!(file = %segment.path.display(), %error, "a record could not be erased yet");
            Unread::Failed(if is_full(&error) {
                StoreError::Full
            } else {
                StoreError::Failed(format!("{} cannot be written: {error}", segment.path.display()))
            })
        })?;
        drop(overwriting);
        Ok(segment)
    }

    /// As long as this is held, nothing is written over.
    pub(crate) fn hold_still(&self) -> RwLockReadGuard<'_, Overwritten> {
        self.overwriting.read()
    }

    /// Begins or ends noting what is written over.
    pub(crate) fn note_overwrites(&self, noted: bool) {
        *self.overwriting.write() = Overwritten { noted, ranges: vec![] };
    }

    /// Shows what was written over in a segment since that is noted: where in its file, from and to. Nothing is
    /// written over meanwhile.
    pub(crate) fn each_overwritten<E>(
        &self,
        base: u64,
        mut each: impl FnMut(u64, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let overwriting = self.overwriting.read();
        let mut here = overwriting.ranges.iter().filter(|range| range.0 == base);
        here.try_for_each(|(_, from, to)| each(*from, *to))
    }

    /// A scan of one segment from `at`, up to its safe end.
    pub(crate) fn scan(&self, segment: &Arc<Segment>, at: u64) -> Result<Scan, Unread> {
        let file = self.file(segment)?;
        Ok(Scan::new(segment, file, at, segment.holds().end))
    }
}

/// The record of a whole frame, its body a part of `bytes`.
pub(crate) fn record_of(bytes: &Bytes, place: Place, lane: &LanePlace) -> Result<(Record, Links), BadFrame> {
    let (frame, body) = Frame::whole(bytes, place - 1)?;
    Ok((frame.record(lane, bytes.slice_ref(body))?, frame.links))
}

/// What is at a place is not what was written.
pub(crate) fn corrupt(segment: &Segment, place: Place) -> Unread {
    Unread::Damaged(segment.describe(place - 1))
}
