//! A folder with an index, and short words for what tests do with it.

#![allow(dead_code, reason = "each file of tests uses its part")]

use std::{path::Path, time::Duration};

use tempfile::TempDir;
use yizhan_search::{Change, Config, Document, Found, Index, Opened, Query, SearchError};

pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) index: Index,
    pub(crate) opened: Opened,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (index, opened) = open(folder.path());
        Self { folder, index, opened }
    }

    /// An index with these texts, of `ann` in the conversation `c`, one a second, from seq 1 on.
    pub(crate) fn with(texts: &[&str]) -> Self {
        let place = Self::new();
        place.put(texts.iter().zip(1..).map(|(text, seq)| message("c", seq, text)).collect());
        place
    }

    /// Closes it and opens it again.
    pub(crate) fn again(self) -> Self {
        let Self { folder, index, .. } = self;
        index.close();
        let (index, opened) = open(folder.path());
        Self { folder, index, opened }
    }

    pub(crate) fn put(&self, documents: Vec<Document>) {
        self.apply(documents.into_iter().map(Change::Put).collect(), "here");
    }

    /// Applies and waits until it can be found.
    pub(crate) fn apply(&self, changes: Vec<Change>, through: &str) {
        self.index.apply(changes, through.to_owned()).unwrap();
        wait(self.index.flush()).unwrap();
    }

    pub(crate) fn found(&self, query: &Query) -> Found {
        self.index.search(query).unwrap()
    }

    /// The seqs of what is found in `c`, in the order in which they were put.
    pub(crate) fn seqs(&self, text: &str) -> Vec<u64> {
        let mut seqs: Vec<u64> = self.found(&ask(text)).hits.iter().map(|hit| hit.seq).collect();
        seqs.sort_unstable();
        seqs
    }
}

/// Opens a folder, when the last merge of whoever had it has ended.
pub(crate) fn open(folder: &Path) -> (Index, Opened) {
    loop {
        match Index::open(folder, quick()) {
            Err(SearchError::InUse(_)) => std::thread::sleep(Duration::from_millis(1)),
            opened => return opened.unwrap(),
        }
    }
}

/// Commits nothing by itself within a test, unless it is asked to.
pub(crate) fn quick() -> Config {
    Config { memory_bytes: 16 << 20, commit_interval: Duration::from_secs(3600), ..Config::default() }
}

pub(crate) fn message(conversation: &str, seq: u64, text: &str) -> Document {
    Document {
        conversation: conversation.into(),
        seq,
        sender: "ann".into(),
        at_ms: seq.saturating_mul(1000),
        kind: "text".into(),
        text: text.into(),
    }
}

/// These words, in the conversation `c`.
pub(crate) fn ask(text: &str) -> Query {
    Query { text: text.into(), conversations: vec![("c".into(), 0)], limit: 100, ..Query::default() }
}

pub(crate) fn wait<T>(ready: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(ready)
}
