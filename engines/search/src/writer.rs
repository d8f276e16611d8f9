//! The one thread that writes. It holds what is not committed yet, so that a failure loses nothing: it
//! opens tantivy's writer again, from the last commit, and does the same once more.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tantivy::{
    Index, IndexReader, IndexWriter, Term, indexer::IndexWriterOptions, merge_policy::LogMergePolicy,
    query::AllQuery,
};

use crate::{
    config::Config,
    desk::{Batch, Desk, Waiter, Work},
    docs::OneDocument,
    document::Change,
    error::SearchError,
    han,
    schema::{Fields, PLACE, SEQ, number},
    seen::SeenSeqs,
};

/// The first wait after a failure; it doubles up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// How often an expunging looks how far it is.
const EXPUNGE_INTERVAL: Duration = Duration::from_millis(500);

/// Segments with more documents are not merged any more: the gain is small and a merge takes minutes.
const MERGED_DOCUMENTS_MAX: usize = 1_000_000;

/// From this part of removed documents on, a segment is written anew without them.
const REMOVED_SHARE_MAX: f32 = 0.3;

/// What callers and the writer share.
pub(crate) struct Shared {
    pub(crate) fields: Fields,
    pub(crate) desk: Desk,
    pub(crate) reader: IndexReader,
    pub(crate) state: Mutex<State>,
}

/// How the writer is.
#[derive(Default)]
pub(crate) struct State {
    /// The caller's word that came with what was last committed.
    pub(crate) through: Option<String>,
    /// Why it cannot write, while it cannot.
    pub(crate) error: Option<String>,
}

/// The writer's own.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    index: Index,
    config: Config,
    /// `None` after a failure, until the next attempt.
    tantivy: Option<IndexWriter>,
    /// What is not committed, in order; the first `given` of these were given to `tantivy`.
    held: Vec<Batch>,
    given: usize,
    held_changes: usize,
    held_bytes: usize,
    flushes: Vec<Waiter>,
    /// Segments with removed documents are being written anew.
    expunging: bool,
    /// When the first of what is held came.
    since: Option<Instant>,
    retry: Duration,
    seen: SeenSeqs,
    /// Kept until tantivy's last merge has ended.
    lock: File,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        index: Index,
        config: Config,
        lock: File,
    ) -> Result<Self, SearchError> {
        let mut writer = Self {
            shared,
            index,
            config,
            tantivy: None,
            held: vec![],
            given: 0,
            held_changes: 0,
            held_bytes: 0,
            flushes: vec![],
            expunging: false,
            since: None,
            retry: RETRY_FIRST,
            seen: SeenSeqs::new(),
            lock,
        };
        writer.tantivy = Some(writer.tantivy()?);
        Ok(writer)
    }

    /// Runs until the desk is closed.
    pub(crate) fn run(mut self) {
        if let Err(error) = self.remember() {
            self.failed(&error);
        }
        han::warm();
        loop {
            let taken = self.shared.desk.take(self.due());
            for work in taken.work {
                self.hold(work);
            }
            while let Err(error) = self.attempt(taken.closing) {
                self.failed(&error);
                let until = Instant::now() + self.retry;
                self.retry = (self.retry * 2).min(RETRY_LONGEST);
                if self.shared.desk.rest(until) {
                    // Whoever closes does not wait for a disk: what is lost here is after `through`.
                    return self.end();
                }
            }
            if taken.closing {
                return self.end();
            }
        }
    }

    /// When what is held must be committed, or it is time to look how an expunging is.
    fn due(&self) -> Option<Instant> {
        let commit = self.since.map(|since| since + self.config.commit_interval);
        let expunge = self.expunging.then(|| Instant::now() + EXPUNGE_INTERVAL);
        commit.into_iter().chain(expunge).min()
    }

    fn hold(&mut self, work: Work) {
        match work {
            Work::Batch(batch) => {
                self.held_changes += batch.changes.len();
                self.held_bytes += batch.bytes;
                self.held.push(batch);
                self.since.get_or_insert_with(Instant::now);
            }
            Work::Flush(waiter) => self.flushes.push(waiter),
            Work::Expunge => self.expunging = true,
        }
    }

    /// Gives tantivy what it has not got, and commits when it is time.
    fn attempt(&mut self, closing: bool) -> Result<(), SearchError> {
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            let tantivy = match self.tantivy.take() {
                Some(tantivy) => tantivy,
                None => self.tantivy()?,
            };
            let tantivy = self.tantivy.insert(tantivy);
            while let Some(batch) = self.held.get(self.given) {
                give(tantivy, &self.shared.fields, &mut self.seen, &batch.changes)?;
                self.given += 1;
            }
            let is_due = self.since.is_some_and(|since| since.elapsed() >= self.config.commit_interval);
            let is_full = Desk::is_half_full(self.held_changes, self.held_bytes);
            let is_asked = closing || self.expunging || !self.flushes.is_empty();
            if is_due || is_full || is_asked {
                self.commit()?;
            }
            if self.expunging { self.expunge() } else { Ok(()) }
        }));
        attempt.unwrap_or_else(|_| Err(SearchError::Failed("tantivy gave up while writing".into())))
    }

    fn commit(&mut self) -> Result<(), SearchError> {
        if let (Some(last), Some(tantivy)) = (self.held.last(), &mut self.tantivy) {
            let mut commit = tantivy.prepare_commit()?;
            commit.set_payload(&last.through);
            commit.commit()?;
            self.shared.reader.reload()?;
            let mut state = self.shared.state.lock();
            state.through = Some(last.through.clone());
            if state.error.take().is_some() {
                tracing::info!("the search index is written again");
            }
        }
        self.shared.desk.done(self.held_changes, self.held_bytes, self.flushes.len());
        self.held.clear();
        (self.given, self.held_changes, self.held_bytes, self.since) = (0, 0, 0, None);
        self.retry = RETRY_FIRST;
        for waiter in self.flushes.drain(..) {
            // Who asked may have stopped waiting.
            drop(waiter.send(Ok(())));
        }
        Ok(())
    }

    /// Begins to write anew each segment that has removed documents. One that a merge has at present is left
    /// to the next look; when none is left, it is done.
    fn expunge(&mut self) -> Result<(), SearchError> {
        self.shared.reader.reload()?;
        let segments = self.index.searchable_segment_metas()?;
        let stale: Vec<_> = segments.iter().filter(|segment| segment.has_deletes()).collect();
        self.expunging = !stale.is_empty();
        for segment in stale {
            if let Some(tantivy) = &mut self.tantivy {
                // It goes on by itself; how it ended is seen at the next look.
                drop(tantivy.merge(&[segment.id()]));
            }
        }
        // The files of what was written anew go when the reader has let go of them, as it just has.
        if let Some(tantivy) = &self.tantivy {
            tantivy.garbage_collect_files().wait()?;
        }
        Ok(())
    }

    fn failed(&mut self, error: &SearchError) {
        // What tantivy has of an unfinished commit is dropped: the next one begins at the last commit.
        self.tantivy = None;
        self.given = 0;
        tracing::error!(%error, retry_ms = self.retry.as_millis(), "the search index cannot be written");
        self.shared.state.lock().error = Some(error.to_string());
    }

    /// A writer of tantivy's that begins at the last commit.
    fn tantivy(&self) -> Result<IndexWriter, SearchError> {
        let threads = self.config.threads.max(1);
        let options = IndexWriterOptions::builder()
            .num_worker_threads(threads)
            .memory_budget_per_thread(self.config.memory_bytes_each())
            .num_merge_threads(1)
            .build();
        let writer: IndexWriter = self.index.writer_with_options(options)?;
        let mut merging = LogMergePolicy::default();
        merging.set_max_docs_before_merge(MERGED_DOCUMENTS_MAX);
        merging.set_del_docs_ratio_before_merge(REMOVED_SHARE_MAX);
        writer.set_merge_policy(Box::new(merging));
        Ok(writer)
    }

    /// Learns what the index has, by two columns: some ten milliseconds per million documents.
    fn remember(&mut self) -> Result<(), SearchError> {
        for segment in self.shared.reader.searcher().segment_readers() {
            let columns = segment.fast_fields();
            let places = columns.column_first_or_default::<u64>(PLACE)?;
            let seqs = columns.column_first_or_default::<u64>(SEQ)?;
            for doc in 0..segment.max_doc() {
                self.seen.put(places.get_val(doc), seqs.get_val(doc));
            }
        }
        Ok(())
    }

    fn end(mut self) {
        let late = self.shared.desk.take(Some(Instant::now())).work;
        late.into_iter().for_each(|work| self.hold(work));
        for waiter in self.flushes.drain(..) {
            // As above.
            drop(waiter.send(Err(SearchError::Closed)));
        }
        let (tantivy, lock) = (self.tantivy.take(), self.lock);
        // A merge may take minutes, and nobody has to wait for it: stopped, it is done again. But until it
        // ends, or the process does, the folder is in use.
        let merging = std::thread::Builder::new().name("search-merges".into()).spawn(move || {
            if let Some(Err(error)) = tantivy.map(IndexWriter::wait_merging_threads) {
                tracing::warn!(%error, "a merge of the search index did not end well");
            }
            drop(lock);
        });
        if let Err(error) = merging {
            tracing::warn!(%error, "no thread to wait for merges of the search index");
        }
    }
}

/// Gives tantivy a batch. It is all right to give a batch twice.
fn give(
    tantivy: &IndexWriter,
    fields: &Fields,
    seen: &mut SeenSeqs,
    changes: &[Change],
) -> Result<(), SearchError> {
    let take_out = |place, seq| {
        tantivy.delete_query(Box::new(OneDocument { bucket: fields.bucket_term(place, seq), seq }))
    };
    for change in changes {
        match change {
            Change::Put(document) => {
                let place = number(&document.conversation);
                if seen.put(place, document.seq) {
                    take_out(place, document.seq)?;
                }
                tantivy.add_document(fields.document(document, place))?;
            }
            Change::Remove { conversation, seq } => {
                let place = number(conversation);
                if seen.may_have(place, *seq) {
                    take_out(place, *seq)?;
                }
            }
            Change::RemoveConversation(conversation) => {
                tantivy.delete_term(Term::from_field_u64(fields.place, number(conversation)));
            }
            Change::RemoveSender { sender } => {
                tantivy.delete_term(Term::from_field_u64(fields.from, number(sender)));
            }
            // Not `delete_all_documents`, which leaves those that were added since the last commit.
            Change::Clear => {
                tantivy.delete_query(Box::new(AllQuery))?;
            }
        }
    }
    Ok(())
}
