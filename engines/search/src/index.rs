//! The index as its users see it.

use std::{
    fs,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use parking_lot::Mutex;

use crate::{
    config::Config,
    desk::Desk,
    document::Change,
    error::SearchError,
    folder::{self, Files},
    query::{Found, Query},
    schema::Fields,
    search,
    writer::{Shared, State, Writer},
};

/// A full-text index in one folder. Clones are handles to the same one; when the last one goes, it is
/// closed.
#[derive(Clone)]
pub struct Index {
    inner: Arc<Inner>,
}

/// What was there when an index was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Documents in it.
    pub documents: u64,
    /// The caller's word with the last commit: go on after this. `None`: nothing was committed yet.
    pub through: Option<String>,
    /// It is new, or what was there had another version or was damaged: it must be filled from the start.
    pub fresh: bool,
}

/// How an index is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Documents that can be found.
    pub documents: u64,
    /// Documents that were removed or replaced, and whose texts are on disk still: see [`Index::expunge`].
    pub removed: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Changes that were taken and are not committed yet.
    pub waiting: usize,
    /// Parts that a search goes through; merges keep them few.
    pub segments: usize,
    /// The caller's word with the last commit.
    pub through: Option<String>,
    /// Why it cannot be written at present. It goes on trying, and nothing that was taken is lost.
    pub error: Option<String>,
}

struct Inner {
    shared: Arc<Shared>,
    index: tantivy::Index,
    folder: PathBuf,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Index {
    /// Opens the index in a folder, or makes one in a folder that is empty or not there. Blocks.
    ///
    /// # Errors
    ///
    /// `InUse`, `NotAnIndex`, or `Folder` when the system does not let us. A damaged index is no error: it
    /// is moved aside, to `damaged` in the folder, and `fresh` says that a new one must be filled.
    pub fn open(folder: &Path, config: Config) -> Result<(Self, Opened), SearchError> {
        Self::open_with(folder, config, &|files| Box::new(files))
    }

    pub(crate) fn open_with(
        folder: &Path,
        config: Config,
        files: &Files,
    ) -> Result<(Self, Opened), SearchError> {
        let fields = Fields::new();
        let opening = folder::open(folder, &fields, files)?;
        let through = opening.index.load_metas()?.payload;
        let documents = opening.reader.searcher().num_docs();
        let opened = Opened { documents, through: through.clone(), fresh: opening.fresh };
        let shared = Arc::new(Shared {
            fields,
            desk: Desk::default(),
            reader: opening.reader,
            state: Mutex::new(State { through, error: None }),
        });
        let writer = Writer::new(shared.clone(), opening.index.clone(), config, opening.lock)?;
        let writer = std::thread::Builder::new().name("search-writer".into()).spawn(move || writer.run())?;
        let inner =
            Inner { shared, index: opening.index, folder: folder.into(), writer: Mutex::new(Some(writer)) };
        Ok((Self { inner: Arc::new(inner) }, opened))
    }

    /// Takes changes to be made, in order, after all that were taken before. `through` is the caller's word
    /// for how far it is with them: it is committed with them or not at all, so after a crash go on after
    /// [`Opened::through`]. Does not wait; the changes are found within [`Config::commit_interval`] and the
    /// time of a commit.
    ///
    /// # Errors
    ///
    /// `Busy` when too much waits: nothing of this was taken, give it again later. `Closed`.
    pub fn apply(&self, changes: Vec<Change>, through: String) -> Result<(), SearchError> {
        self.inner.shared.desk.put(changes, through)
    }

    /// Commits at once what was taken before this call; ready when it is safe on disk and can be found. It
    /// waits as long as the disk fails. It may be dropped.
    ///
    /// # Errors
    ///
    /// `Closed` when it was or is closed before the commit, `Busy` when a thousand others wait already.
    pub fn flush(&self) -> impl Future<Output = Result<(), SearchError>> + Send + 'static {
        let waits = self.inner.shared.desk.flush();
        async move { waits?.await.unwrap_or(Err(SearchError::Closed)) }
    }

    /// Takes removed documents off the disk, where otherwise they stay, never to be found, until a merge: for
    /// who must erase. It begins after all that was taken before, commits that, and writes anew every part that
    /// has removed documents; it is done when [`Figures::removed`] is 0. Does not wait.
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn expunge(&self) -> Result<(), SearchError> {
        self.inner.shared.desk.expunge()
    }

    /// Answers a query from what is committed. Blocks for milliseconds, on the caller's thread; any number
    /// of threads may search at once.
    ///
    /// # Errors
    ///
    /// `BadQuery` for what is too long or names too much, `Failed` when the index cannot be read.
    pub fn search(&self, query: &Query) -> Result<Found, SearchError> {
        let shared = &self.inner.shared;
        // Where bytes on disk are not what it wrote, tantivy may panic instead of giving an error.
        let found = catch_unwind(AssertUnwindSafe(|| {
            search::search(&shared.fields, &shared.reader.searcher(), query)
        }));
        found.unwrap_or_else(|_| Err(SearchError::Failed("a part of it is damaged".into())))
    }

    /// How it is. Looks at each of its files, so it is for once a second, not for each message.
    pub fn figures(&self) -> Figures {
        let shared = &self.inner.shared;
        let searcher = shared.reader.searcher();
        let state = shared.state.lock();
        Figures {
            documents: searcher.num_docs(),
            removed: searcher.segment_readers().iter().map(|part| u64::from(part.num_deleted_docs())).sum(),
            bytes: folder_bytes(&self.inner.folder),
            waiting: shared.desk.waiting(),
            segments: searcher.segment_readers().len(),
            through: state.through.clone(),
            error: state.error.clone(),
        }
    }

    /// Reads every file and compares its checksum: the names of those that are damaged. Blocks, for as long
    /// as the disk takes to read all of it.
    ///
    /// # Errors
    ///
    /// `Failed` when a file cannot be read.
    pub fn verify(&self) -> Result<Vec<PathBuf>, SearchError> {
        let mut damaged: Vec<PathBuf> = self.inner.index.validate_checksum()?.into_iter().collect();
        damaged.sort();
        Ok(damaged)
    }

    /// Commits what was taken, and ends. Blocks until that is done; where the disk fails it is given up, to
    /// be given again after [`Opened::through`]. Searches are answered still; nothing more is taken. The
    /// folder may be opened again when the last merge has ended, which may be some seconds later.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        self.shared.desk.close();
        let writer = self.writer.lock().take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the search index's writer ended by a panic");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// The bytes of the files of the index in a folder; those that go meanwhile count nothing.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder.join(folder::INDEX)) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}
