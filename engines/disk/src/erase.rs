//! Erasing: what was said in a record goes for good; its place, number, time and sender stay.
//!
//! A frame is written over where it lies, with a new head and zeros up to its end. A crash may come in the
//! middle of that, so what will be written is put on the shelf first: the *intent*, which holds nothing of what
//! was said. Opening a lane carries out all intents before it reads anything. Who reads a frame while it is
//! written over finds a wrong checksum, waits until nobody writes, and reads again: see [`Lane::again`].

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::oneshot;
use yizhan_hub::{
    store::{StoreError, emptied},
    topic::Topic,
};

use crate::{
    codec::{self, Frame, LanePlace, Place, Preamble},
    files::{File, Files},
    lane::Lane,
    log::{Unread, record_of},
    segment::{Holds, Segment},
    shelf::{self, Row, SHELF_ROWS_MAX, Shelf},
};

/// Numbers that wait to be erased in one lane; more are refused as "busy".
const WAITING_MAX: usize = 4 << 20;
/// Intents that were carried out and still have their rows; more are cleared at once.
const DONE_MAX: usize = 1000;
/// Zeros written at once.
const ZEROS: usize = 64 << 10;

/// Somebody who wants records of a topic erased.
struct Request {
    topic: Topic,
    seqs: Vec<u64>,
    answer: oneshot::Sender<Result<u64, StoreError>>,
}

/// What there is to erase of a number.
enum Found {
    Record(Intent),
    /// On the shelf, with what is to stand there.
    Shelved(Row),
    Nothing,
}

/// Who waits for erasing in a lane, and what is not finished.
#[derive(Default)]
pub(crate) struct Erasing {
    line: Mutex<Line>,
    /// Used under the lane's `care` only.
    work: Mutex<Work>,
}

#[derive(Default)]
struct Line {
    waiting: Vec<Request>,
    /// Numbers in them.
    seqs: usize,
    /// A thread works, and will take what waits.
    busy: bool,
    closed: bool,
}

#[derive(Default)]
struct Work {
    /// On the shelf, and not written over yet.
    undone: Vec<Intent>,
    /// Rows of intents that were carried out.
    done: Vec<Vec<u8>>,
}

/// What is to be written over a record.
pub(crate) struct Intent {
    pub(crate) place: Place,
    /// The new preamble and head; zeros follow up to the frame's end.
    pub(crate) head: Vec<u8>,
}

impl Intent {
    pub(crate) fn row(&self, lane: &LanePlace) -> Row {
        let mut value = lane.epoch.to_le_bytes().to_vec();
        value.extend_from_slice(&self.head);
        (shelf::intent_row(lane, self.place), Some(value))
    }

    /// Reads a row; `None` where it is none, or of another life of the lane: its places are others.
    fn read(lane: &LanePlace, key: &[u8], value: &[u8]) -> Option<Self> {
        let place = shelf::place_of_intent(key)?;
        let (epoch, head) = value.split_first_chunk::<4>()?;
        let frame = Frame::head(head, place.checked_sub(1)?).ok()?;
        let fits = u32::from_le_bytes(*epoch) == lane.epoch && frame.preamble.head_end() == head.len();
        fits.then(|| Self { place, head: head.to_vec() })
    }

    /// Bytes of the whole frame.
    pub(crate) fn frame_len(&self) -> usize {
        Preamble::read(&self.head, self.place - 1).map_or(self.head.len(), |preamble| preamble.frame_len)
    }

    /// Writes it into a file, where the frame begins at `at`.
    pub(crate) fn write(&self, file: &dyn File, at: u64) -> io::Result<()> {
        let zeros = [0; ZEROS];
        let (mut from, end) = (at + self.head.len() as u64, at + self.frame_len() as u64);
        while from < end {
            let len = (end - from).min(ZEROS as u64);
            file.write_at(&zeros[..len as usize], from)?;
            from += len;
        }
        file.write_at(&self.head, at)
    }
}

/// The intents of a lane, by place. Rows that are none are given back, too: they are to go.
fn intents(shelf: &dyn Shelf, lane: &LanePlace) -> Result<(Vec<Intent>, Vec<Row>), StoreError> {
    let (mut intents, mut rows) = (vec![], vec![]);
    shelf.scan(&shelf::intent_prefix(lane), &mut |key, value| {
        intents.extend(Intent::read(lane, key, value));
        rows.push((key.to_vec(), None));
    })?;
    Ok((intents, rows))
}

/// Carries out what a crash has interrupted, before anything else is read. `bases` are the lane's segments.
/// Gives how many records that were.
pub(crate) fn finish(
    files: &dyn Files,
    shelf: &dyn Shelf,
    lane: &LanePlace,
    folder: &Path,
    bases: &[u64],
) -> Result<usize, StoreError> {
    let (intents, rows) = intents(shelf, lane)?;
    let failed =
        |error| StoreError::Failed(format!("{}: erasing was not finished: {error}", folder.display()));
    let (mut written, mut open): (usize, FxHashMap<u64, Arc<dyn File>>) = (0, FxHashMap::default());
    for intent in &intents {
        // Of what retention took nothing is left.
        let Some(base) = bases.iter().rev().find(|base| **base < intent.place) else { continue };
        let segment = Segment::new(folder, *base, None, Holds::nothing(*base));
        let file = match open.get(base) {
            Some(file) => file.clone(),
            None => segment.file(files).map_err(failed)?.0,
        };
        if is_wanted(intent, &segment, &*file).map_err(failed)? {
            intent.write(&*file, segment.at(intent.place - 1)).map_err(failed)?;
            open.insert(*base, file);
            written += 1;
        }
    }
    for file in open.values() {
        file.sync().map_err(failed)?;
    }
    for piece in rows.chunks(SHELF_ROWS_MAX) {
        shelf.write(piece.to_vec())?;
    }
    Ok(written)
}

/// Whether a record is still to be written over: it is there, and not as it should be.
fn is_wanted(intent: &Intent, segment: &Segment, file: &dyn File) -> io::Result<bool> {
    let (at, len) = (segment.at(intent.place - 1), intent.frame_len());
    if at + len as u64 > file.len()? {
        return Ok(false);
    }
    let mut bytes = vec![0; len];
    file.read_at(&mut bytes, at)?;
    let (Ok((there, _)), Ok(wanted)) =
        (Frame::whole(&bytes, intent.place - 1), Frame::head(&intent.head, intent.place - 1))
    else {
        return Ok(true);
    };
    let is_it = (there.links.seq, there.topic) == (wanted.links.seq, wanted.topic);
    Ok(is_it && bytes.get(..intent.head.len()) != Some(&intent.head))
}

/// A file as it will be when a lane's intents are carried out: for those who only look.
pub(crate) struct AsErased {
    file: Arc<dyn File>,
    /// Where, what is written there, and up to where zeros follow.
    pieces: Vec<(u64, Vec<u8>, u64)>,
}

impl AsErased {
    /// A segment's file; `next` is where the next segment begins.
    pub(crate) fn open(
        files: &dyn Files,
        shelf: &dyn Shelf,
        lane: &LanePlace,
        segment: &Segment,
        next: Option<u64>,
    ) -> io::Result<Arc<dyn File>> {
        let (file, _) = segment.file(files)?;
        let (intents, _) = intents(shelf, lane).map_err(io::Error::other)?;
        let mut pieces = vec![];
        for intent in intents {
            let here = intent.place > segment.base && next.is_none_or(|next| intent.place <= next);
            if here && is_wanted(&intent, segment, &*file)? {
                let at = segment.at(intent.place - 1);
                let end = at + intent.frame_len() as u64;
                pieces.push((at, intent.head, end));
            }
        }
        Ok(if pieces.is_empty() { file } else { Arc::new(Self { file, pieces }) })
    }
}

impl File for AsErased {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let read = self.file.read_at(into, at)?;
        for (from, head, end) in &self.pieces {
            let (first, last) = ((*from).max(at), (*end).min(at + read as u64));
            for place in first..last {
                into[(place - at) as usize] = head.get((place - from) as usize).copied().unwrap_or(0);
            }
        }
        Ok(read)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

impl Erasing {
    /// Lets nothing more in, and refuses who waits.
    pub(crate) fn close(&self) {
        let mut line = self.line.lock();
        line.closed = true;
        let waiting = std::mem::take(&mut line.waiting);
        drop(line);
        for request in waiting {
            // Whoever asked may be gone, here and below.
            drop(request.answer.send(Err(StoreError::Closed)));
        }
    }

    /// Puts a request in line. Gives its answer, and whether a thread must begin to work.
    fn push(
        &self,
        topic: Topic,
        seqs: Vec<u64>,
    ) -> Result<(oneshot::Receiver<Result<u64, StoreError>>, bool), StoreError> {
        let mut line = self.line.lock();
        if line.closed {
            return Err(StoreError::Closed);
        }
        // One may always wait, however large.
        if line.seqs + seqs.len() > WAITING_MAX && !line.waiting.is_empty() {
            return Err(StoreError::Busy);
        }
        let (answer, result) = oneshot::channel();
        line.seqs += seqs.len();
        line.waiting.push(Request { topic, seqs, answer });
        Ok((result, !std::mem::replace(&mut line.busy, true)))
    }

    fn take(&self) -> Vec<Request> {
        let mut line = self.line.lock();
        line.seqs = 0;
        line.busy = !line.waiting.is_empty();
        std::mem::take(&mut line.waiting)
    }
}

impl Lane {
    /// See [`yizhan_hub::Journal::erase`].
    pub(crate) fn erase(
        self: &Arc<Self>,
        topic: &Topic,
        seqs: Vec<u64>,
    ) -> BoxFuture<'static, Result<u64, StoreError>> {
        match self.erasing.push(topic.clone(), seqs) {
            Ok((result, begins)) => {
                if begins {
                    let lane = self.clone();
                    tokio::task::spawn_blocking(move || lane.erase_waiting());
                }
                async move { result.await.unwrap_or(Err(StoreError::Closed)) }.boxed()
            }
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }

    /// As [`erase`](Self::erase), by the thread that asks.
    #[cfg(test)]
    pub(crate) fn erase_now(&self, topic: &Topic, seqs: Vec<u64>) -> Result<u64, StoreError> {
        let (mut result, _) = self.erasing.push(topic.clone(), seqs)?;
        self.erase_waiting();
        result.try_recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Erases for all who wait, those who come meanwhile too: together they share the syncs. Blocks.
    fn erase_waiting(&self) {
        loop {
            let requests = self.erasing.take();
            if requests.is_empty() {
                return;
            }
            let mut counts: Vec<Result<u64, StoreError>> = requests.iter().map(|_| Ok(0)).collect();
            let erased = self.erase_all(&requests, &mut counts);
            for (request, count) in requests.into_iter().zip(counts) {
                drop(request.answer.send(count.and_then(|count| erased.clone().map(|()| count))));
            }
        }
    }

    /// Counts for each request, and notes what is in the way of one alone.
    fn erase_all(
        &self,
        requests: &[Request],
        counts: &mut [Result<u64, StoreError>],
    ) -> Result<(), StoreError> {
        // Retention, checkpoints and backups wait for this, and this for them.
        let _care = self.care.lock();
        let mut work = self.erasing.work.lock();
        self.carry_out(&mut work)?;
        let wanted = requests.iter().zip(0..).flat_map(|(r, i)| r.seqs.iter().map(move |seq| (i, *seq)));
        let mut wanted = wanted.peekable();
        while wanted.peek().is_some() {
            if self.erasing.line.lock().closed {
                return Err(StoreError::Closed);
            }
            if let Some(failed) = self.failed.get() {
                return Err(failed.clone());
            }
            let (mut intents, mut rows, mut seen) = (vec![], vec![], FxHashSet::default());
            for (i, seq) in wanted.by_ref().take(SHELF_ROWS_MAX) {
                let topic = &requests[i].topic;
                if counts[i].is_err() || !seen.insert((topic, seq)) {
                    continue;
                }
                let found = self.intent_of(topic, seq);
                if let Ok(count) = &mut counts[i] {
                    *count += u64::from(matches!(found, Ok(Found::Record(_) | Found::Shelved(_))));
                }
                match found {
                    Ok(Found::Record(intent)) => intents.push(intent),
                    Ok(Found::Shelved(row)) => rows.push(row),
                    Ok(Found::Nothing) => {}
                    Err(error) => counts[i] = Err(error),
                }
            }
            if intents.is_empty() && rows.is_empty() {
                continue;
            }
            rows.extend(work.done.iter().map(|row| (row.clone(), None)));
            rows.extend(intents.iter().map(|intent| intent.row(self.place())));
            self.around.shelf.write(rows)?;
            work.done.clear();
            work.undone.append(&mut intents);
            self.carry_out(&mut work)?;
        }
        Ok(())
    }

    /// What is to be written for a topic's record with this number.
    fn intent_of(&self, topic: &Topic, seq: u64) -> Result<Found, StoreError> {
        let chain = self.index.read().topic(topic.as_str()).map(|e| e.chain.clone()).unwrap_or_default();
        // The index has a group just before the newest records in memory have it, which must not come later
        // than this.
        while self.log.newest() < chain.newest() {
            std::thread::yield_now();
        }
        let found = chain.find(seq, self.log.begin(), |place| self.log.links(place))?;
        let Some(links) = found.filter(|links| links.seq == seq) else {
            return self.shelved(topic, seq);
        };
        let (place, bytes) = (links.place, self.log.frame(links.place)?);
        let head = self.head_of_erased(&bytes, place, bytes.len())?;
        Ok(head.map_or(Found::Nothing, |head| Found::Record(Intent { place, head })))
    }

    /// What is to stand in place of a frame; `None` where nothing was said in it.
    fn head_of_erased(
        &self,
        frame: &Bytes,
        place: Place,
        frame_len: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let read = record_of(frame, place, self.place()).and_then(|(record, links)| {
            let group = Preamble::read(frame, place - 1)?.group;
            Ok(emptied(&record).map(|empty| codec::write_erased(frame_len, group, &links, &empty.message)))
        });
        read.map_err(|bad| StoreError::Corrupt {
            place: format!("{} at {place}: {bad}", self.log.folder.display()),
        })
    }

    /// A keyed record that outlived its segment.
    fn shelved(&self, topic: &Topic, seq: u64) -> Result<Found, StoreError> {
        let begin = self.log.begin();
        let index = self.index.read();
        let Some(entry) = index.topic(topic.as_str()) else { return Ok(Found::Nothing) };
        let keys: Vec<(Arc<str>, Place)> = entry
            .keys()
            .filter(|(_, place)| *place <= begin)
            .map(|(key, place)| (key.clone(), place))
            .collect();
        drop(index);
        for (key, place) in keys {
            let row = shelf::keyed_row(self.place(), topic.as_str(), &key);
            let Some(frame) = self.around.shelf.read(&row)? else { continue };
            if Frame::head(&frame, place - 1).is_ok_and(|frame| frame.links.seq == seq) {
                // Nothing is written over here, so no room is kept.
                let head = self.head_of_erased(&frame, place, 0)?;
                return Ok(head.map_or(Found::Nothing, |head| Found::Shelved((row, Some(head)))));
            }
        }
        Ok(Found::Nothing)
    }

    /// Writes over what is to be, makes it safe, and takes it out of memory. Under `care`.
    fn carry_out(&self, work: &mut Work) -> Result<(), StoreError> {
        let mut touched: Vec<Arc<Segment>> = vec![];
        for intent in &work.undone {
            match self.log.overwrite(intent) {
                Ok(segment) => {
                    if !touched.iter().any(|known| known.base == segment.base) {
                        touched.push(segment);
                    }
                }
                Err(Unread::Gone) => {}
                Err(unread) => return Err(unread.into()),
            }
        }
        for segment in touched {
            let synced = self.log.file(&segment)?.sync();
            synced.map_err(|error| self.fail_erasing(&segment, &error))?;
        }
        for intent in work.undone.drain(..) {
            let frame = Frame::head(&intent.head, intent.place - 1);
            if let Ok(record) = frame.and_then(|frame| frame.record(self.place(), Bytes::new())) {
                self.recent.replace(intent.place, Arc::new(record));
            }
            work.done.push(shelf::intent_row(self.place(), intent.place));
        }
        if work.done.len() > DONE_MAX { self.clear_done(work) } else { Ok(()) }
    }

    /// After a failed sync nobody knows what is on the disk: as for the writer, whose bytes are in the same file.
    fn fail_erasing(&self, segment: &Segment, error: &io::Error) -> StoreError {
        let file = segment.path.display();
        tracing::error!(%file, %error, "a journal cannot be synced: restart after the disk is checked");
        let failed = StoreError::Failed(format!(
            "syncing {file} failed: {error}; the journal takes nothing more until a restart"
        ));
        self.failed.get_or_init(|| failed).clone()
    }

    fn clear_done(&self, work: &mut Work) -> Result<(), StoreError> {
        let rows: Vec<Row> = work.done.iter().map(|row| (row.clone(), None)).collect();
        self.around.shelf.write(rows)?;
        work.done.clear();
        Ok(())
    }

    /// Carries out what could not be before, and clears up. Under `care`.
    pub(crate) fn finish_erasing(&self) -> Result<(), StoreError> {
        let mut work = self.erasing.work.lock();
        self.carry_out(&mut work)?;
        if work.done.is_empty() { Ok(()) } else { self.clear_done(&mut work) }
    }
}
