//! The full-text index of conversations, as instant messaging asks for it.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use yizhan_im::seams::{Indexed, NoSearch, Search, SearchFound, SearchHit, SearchQuery};
use yizhan_search::{Change, Config, Document, Index, Order, Query, SearchError};

/// Searches that run at once; others wait.
const SEARCHES_MAX: usize = 2;
/// Searches that wait; more are refused.
const WAITING_MAX: usize = 1000;

/// The index in the data folder.
pub(crate) struct Indexing {
    index: Index,
    fresh: std::sync::atomic::AtomicBool,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Indexing {
    /// Opens the index, or makes one.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub(crate) async fn open(data: &Path) -> anyhow::Result<Self> {
        let folder = data.join("search");
        let opening = tokio::task::spawn_blocking(move || Index::open(&folder, Config::default()));
        let (index, opened) = opening.await?.context("cannot open the index of messages")?;
        Ok(Self {
            index,
            fresh: opened.fresh.into(),
            running: Arc::new(Semaphore::new(SEARCHES_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        })
    }
}

impl Drop for Indexing {
    fn drop(&mut self) {
        // What was not committed is given again at the next start.
        self.index.close();
    }
}

impl Search for Indexing {
    fn apply(&self, changes: Vec<Indexed>, through: String) -> Result<(), String> {
        let change = |change| match change {
            Indexed::Put { conversation, seq, sender, at, kind, text } => Change::Put(Document {
                conversation: conversation.to_string(),
                seq,
                sender: sender.to_string(),
                at_ms: at,
                kind: kind.to_owned(),
                text,
            }),
            Indexed::Remove { conversation, seq } => {
                Change::Remove { conversation: conversation.to_string(), seq }
            }
            Indexed::RemoveConversation(id) => Change::RemoveConversation(id.to_string()),
            Indexed::Clear => Change::Clear,
        };
        let applied = self.index.apply(changes.into_iter().map(change).collect(), through);
        applied.map_err(|error| error.to_string())?;
        self.fresh.store(false, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    }

    fn through(&self) -> Option<String> {
        if self.fresh.load(std::sync::atomic::Ordering::SeqCst) {
            return None;
        }
        self.index.figures().through
    }

    fn search(&self, query: SearchQuery) -> BoxFuture<'static, Result<SearchFound, NoSearch>> {
        let (index, running, waiting) = (self.index.clone(), self.running.clone(), self.waiting.clone());
        Box::pin(async move {
            let _waiting = waiting.try_acquire_owned().map_err(|_| NoSearch::Busy)?;
            let _running = running.acquire_owned().await.map_err(|_| NoSearch::Busy)?;
            let query = query_of(query).map_err(NoSearch::Bad)?;
            let searching = tokio::task::spawn_blocking(move || index.search(&query));
            let found = searching.await.map_err(|error| NoSearch::Failed(error.to_string()))?;
            let found = found.map_err(|error| match error {
                SearchError::BadQuery(_) => NoSearch::Bad(error.to_string()),
                error => NoSearch::Failed(error.to_string()),
            })?;
            let hit = |hit: yizhan_search::Hit| SearchHit {
                conversation: hit.conversation.into(),
                seq: hit.seq,
                snippet: hit.snippet,
                marks: hit.marks,
            };
            Ok(SearchFound {
                hits: found.hits.into_iter().map(hit).collect(),
                total: found.total as u64,
                next: found.next.map(|next| next.to_string()),
            })
        })
    }
}

fn query_of(query: SearchQuery) -> Result<Query, String> {
    let before = query.before.map(|text| text.parse().map_err(|error: SearchError| error.to_string()));
    Ok(Query {
        text: query.text,
        conversations: query.conversations.into_iter().map(|(id, after)| (id.to_string(), after)).collect(),
        sender: query.sender,
        kinds: query.kinds,
        from_ms: query.since,
        until_ms: query.until,
        before: before.transpose()?,
        limit: query.limit,
        order: if query.best { Order::Best } else { Order::Newest },
    })
}
