//! What the full-text index is given: every message in its present words, soon after it was heard.
//!
//! The journal is read behind the place that the index has safely; nothing is remembered beside it. Lanes are read one
//! after the other, so an edit may be read before its message: what events tell of is looked up as it is, and so are
//! messages that events were seen of, or that were sent before this began.

use std::{
    collections::HashSet,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::Poll,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use serde::Deserialize;
use yizhan_hub::{
    Filter, Journal, Position, Record, StoreError,
    store::{PageSize, Range},
};

use crate::{
    content::Content,
    im::{Im, Inner},
    load::parsed,
    names::{self, Place},
    seams::{Indexed, Search},
    view::{Overlay, overlay_key},
};

/// How much is read at once.
const PAGE: PageSize = PageSize { records_max: 1024, bytes_max: 1 << 20 };
/// Messages that are remembered because events told of them; beyond it all sent so far are looked up.
const TOUCHED_MAX: usize = 10_000;
/// Bytes of a message's words that are indexed.
const WORDS_BYTES_MAX: usize = 32 * 1024;

/// How far the index is.
#[derive(Default)]
pub(crate) struct Indexing {
    /// Something was heard, or a second has passed.
    due: AtomicBool,
    work: AtomicWaker,
    /// Everything is to be given again.
    again: AtomicBool,
    /// How often that was begun.
    rebuilt: AtomicU64,
    /// How far that is, and of how much; in the journal's own measure.
    progress: Mutex<Progress>,
    watching: AtomicWaker,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Progress {
    done: u64,
    all: u64,
    /// What the index was told last; `None` where it was not told yet.
    through: Option<String>,
}

impl Indexing {
    /// Something was heard.
    pub(crate) fn wake(&self) {
        self.due.store(true, SeqCst);
        self.work.wake();
        self.watching.wake();
    }
}

/// One reader of the journal, as far as it is.
struct Reader {
    places: Vec<Position>,
    /// Messages that events told of, whose own record may come later.
    touched: HashSet<(Arc<str>, u64)>,
    /// Messages sent before it are looked up.
    careful_before: u64,
    /// The place of what was read last is not told yet.
    untold: bool,
}

/// An event, as far as the index wants to know.
#[derive(Deserialize)]
struct Told {
    event: String,
    message_seq: Option<u64>,
}

/// Gives the index what is said, as long as somebody holds the service.
pub(crate) async fn index_all(im: Weak<Inner>) {
    let Some(search) = im.upgrade().and_then(|inner| inner.seams.search.clone()) else { return };
    let mut reader = None::<Reader>;
    loop {
        let next = std::future::poll_fn(|cx| {
            let Some(inner) = im.upgrade() else { return Poll::Ready(None) };
            inner.indexing.work.register(cx.waker());
            if inner.indexing.due.swap(false, SeqCst) { Poll::Ready(Some(inner)) } else { Poll::Pending }
        });
        let Some(inner) = next.await else { return };
        let im = Im { inner };
        if im.inner.indexing.again.load(SeqCst) {
            if let Err(error) = search.apply(vec![Indexed::Clear], String::new()) {
                tracing::warn!(error, "the search index could not be emptied: it is tried again");
                continue;
            }
            im.inner.indexing.again.store(false, SeqCst);
            *im.inner.indexing.progress.lock() = Progress::default();
            im.inner.indexing.rebuilt.fetch_add(1, SeqCst);
            reader = Some(Reader::new(&im, ""));
        }
        let known = || search.through().unwrap_or_default();
        let reader = reader.get_or_insert_with(|| Reader::new(&im, &known()));
        if let Err(error) = im.index_on(&*search, reader).await {
            tracing::warn!(%error, "messages could not be given to the search index: it is tried again");
        }
    }
}

impl Reader {
    fn new(im: &Im, through: &str) -> Self {
        let places = through.split(' ').filter_map(|text| text.parse().ok()).collect();
        let careful_before = im.now().wall.as_millis().saturating_add(1);
        Self { places, touched: HashSet::new(), careful_before, untold: false }
    }

    /// The place behind which is read on in this one's lane.
    fn place(&self, head: &Position) -> Position {
        let known = self.places.iter().find(|place| place.same_lane(head)).copied();
        known.unwrap_or(Position { offset: 0, ..*head })
    }

    fn moved(&mut self, to: Position) {
        match self.places.iter_mut().find(|place| place.same_lane(&to)) {
            Some(place) => *place = to,
            None => self.places.push(to),
        }
    }

    fn through(&self) -> String {
        let places: Vec<String> = self.places.iter().map(ToString::to_string).collect();
        places.join(" ")
    }

    fn touch(&mut self, im: &Im, id: &str, seq: u64) {
        if self.touched.len() >= TOUCHED_MAX {
            self.touched.clear();
            self.careful_before = im.now().wall.as_millis().saturating_add(1);
        }
        self.touched.insert((id.into(), seq));
    }
}

impl Im {
    /// Reads to the journal's end. What the index does not take now is read again later.
    async fn index_on(&self, search: &dyn Search, reader: &mut Reader) -> Result<(), StoreError> {
        // A constant.
        let filter = Filter::new("im/c/#").map_err(|bad| StoreError::Failed(bad.to_string()))?;
        let Some(journal) = self.inner.hub.journal(&names::messages("g00000000000")) else { return Ok(()) };
        for head in journal.heads() {
            let mut after = reader.place(&head);
            while after.offset < head.offset {
                if self.inner.indexing.again.load(SeqCst) {
                    self.inner.indexing.wake();
                    return Ok(());
                }
                let page = journal.read(after, &filter, PAGE).await?;
                let changes = self.indexed(&*journal, reader, &page.records).await?;
                match page.through {
                    Some(through) if through.offset > after.offset => after = through,
                    _ => break,
                }
                let before = reader.place(&head);
                reader.moved(after);
                // Places alone are not worth a commit.
                if changes.is_empty() {
                    reader.untold = true;
                } else if let Err(error) = search.apply(changes, reader.through()) {
                    tracing::debug!(error, "the search index takes no more now");
                    reader.moved(before);
                    return Ok(());
                } else {
                    reader.untold = false;
                }
                self.tell_progress(&*journal, reader);
                give_way().await;
            }
        }
        if reader.untold
            && self.inner.indexing.rebuilt.load(SeqCst) > 0
            && search.apply(Vec::new(), reader.through()).is_ok()
        {
            reader.untold = false;
        }
        self.tell_progress(&*journal, reader);
        Ok(())
    }

    fn tell_progress(&self, journal: &dyn Journal, reader: &Reader) {
        let heads = journal.heads();
        let done = heads.iter().map(|head| reader.place(head).offset).sum();
        let all = heads.iter().map(|head| head.offset).sum();
        let through = (!reader.untold).then(|| reader.through());
        *self.inner.indexing.progress.lock() = Progress { done, all, through };
        self.inner.indexing.watching.wake();
    }

    /// What records mean for the index.
    async fn indexed(
        &self,
        journal: &dyn Journal,
        reader: &mut Reader,
        records: &[Arc<Record>],
    ) -> Result<Vec<Indexed>, StoreError> {
        let mut overlays = self.overlays_of(reader, records).await?;
        let mut changes = Vec::with_capacity(records.len());
        for record in records {
            match Place::of(record.message.topic.as_str()) {
                Some(Place::Messages(id)) => {
                    let overlay = overlays.remove(&(Arc::from(id), record.seq));
                    changes.push(as_it_is(id, record, overlay.as_ref()));
                }
                Some(Place::Events(id)) => {
                    // One that said what a recalled message had said was erased.
                    let Ok(told) = serde_json::from_slice::<Told>(&record.message.body) else { continue };
                    changes.extend(self.indexed_event(journal, reader, id, &told).await?);
                }
                _ => {}
            }
        }
        Ok(changes)
    }

    /// What became of those messages that may have been changed since.
    async fn overlays_of(
        &self,
        reader: &Reader,
        records: &[Arc<Record>],
    ) -> Result<std::collections::HashMap<(Arc<str>, u64), Overlay>, StoreError> {
        let mut wanted = Vec::new();
        for record in records {
            if let Some(Place::Messages(id)) = Place::of(record.message.topic.as_str()) {
                let message = (Arc::from(id), record.seq);
                if record.at.as_millis() < reader.careful_before || reader.touched.contains(&message) {
                    wanted.push(message);
                }
            }
        }
        let keys: Vec<_> = wanted.iter().map(|(id, seq)| overlay_key(id, *seq)).collect();
        let rows = self.inner.ledger.table().get_many(keys.clone()).await?;
        let mut found = std::collections::HashMap::new();
        for ((message, key), row) in wanted.into_iter().zip(keys).zip(rows) {
            if let Some(row) = row {
                found.insert(message, parsed::<Overlay>(&key, &row)?);
            }
        }
        Ok(found)
    }

    async fn indexed_event(
        &self,
        journal: &dyn Journal,
        reader: &mut Reader,
        id: &str,
        told: &Told,
    ) -> Result<Option<Indexed>, StoreError> {
        if told.event == "dismiss" {
            return Ok(Some(Indexed::RemoveConversation(id.into())));
        }
        let (Some(seq), "edit" | "recall" | "burn") = (told.message_seq, told.event.as_str()) else {
            return Ok(None);
        };
        reader.touch(self, id, seq);
        let (topic, key) = (names::messages(id), overlay_key(id, seq));
        let (range, one) = (
            Range::Between(seq.saturating_sub(1), seq.saturating_add(1)),
            PageSize { records_max: 1, bytes_max: 1 },
        );
        let record = journal.history(&topic, range, one).await?.records.pop();
        let row = self.inner.ledger.table().get(&key).await?;
        let overlay = row.map(|(row, _)| parsed::<Overlay>(&key, &row)).transpose()?;
        Ok(Some(match record {
            Some(record) => as_it_is(id, &record, overlay.as_ref()),
            None => Indexed::Remove { conversation: id.into(), seq },
        }))
    }

    /// Gives the index everything from the beginning again. Ready when that is done and safe; until then less is found.
    /// `progress` hears how much of all is done, in the journal's own measure.
    ///
    /// # Errors
    /// There is no search, or the service ended.
    pub async fn rebuild_index(&self, progress: impl Fn(u64, u64)) -> Result<(), StoreError> {
        let Some(search) = self.inner.seams.search.clone() else {
            return Err(StoreError::Failed("there is no search index".to_owned()));
        };
        let indexing = &self.inner.indexing;
        let begun = indexing.rebuilt.load(SeqCst);
        indexing.again.store(true, SeqCst);
        indexing.wake();
        let mut told = Progress::default();
        std::future::poll_fn(|cx| {
            indexing.watching.register(cx.waker());
            if indexing.rebuilt.load(SeqCst) == begun {
                return Poll::Pending;
            }
            let now = indexing.progress.lock().clone();
            if now != told {
                progress(now.done, now.all);
                told = now;
            }
            // Asked only at the end: it may cost more than a page.
            let safe = told.through.is_some() && told.done >= told.all && search.through() == told.through;
            if safe { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Ok(())
    }
}

/// Lets others go on between two pages: reading from memory never waits.
async fn give_way() {
    let mut gave = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A message as it is now, for the index.
fn as_it_is(id: &str, record: &Record, overlay: Option<&Overlay>) -> Indexed {
    let gone = overlay.is_some_and(|overlay| overlay.recall.is_some() || overlay.burnt);
    let edited = overlay.and_then(|overlay| overlay.edit.as_ref()).map(|edit| edit.content.clone());
    let content = edited.or_else(|| serde_json::from_slice::<Content>(&record.message.body).ok());
    match content.filter(|_| !gone) {
        Some(content) => {
            let mut text = String::new();
            words(&content, &mut text);
            Indexed::Put {
                conversation: id.into(),
                seq: record.seq,
                sender: record.message.from.user.clone(),
                at: record.at.as_millis(),
                kind: content.kind.name(),
                text,
            }
        }
        // Erased, recalled or burnt.
        None => Indexed::Remove { conversation: id.into(), seq: record.seq },
    }
}

/// All words of a message, with those that it forwards.
fn words(content: &Content, into: &mut String) {
    let own = content.words();
    if !own.is_empty() && into.len() < WORDS_BYTES_MAX {
        if !into.is_empty() {
            into.push('\n');
        }
        into.push_str(&own);
    }
    let items = content.items.iter().filter_map(|item| item.origin.as_deref());
    for origin in items.chain(content.origin.as_deref()) {
        words(&origin.content, into);
    }
}
