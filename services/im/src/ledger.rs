//! What is to be remembered: rows, gathered while a write runs and written together by one writer.
//!
//! Memory is ahead of the table, never behind it: a change is decided and put in line under the lock of what it
//! changes, and answered when it is safe. Rows that could not be written stay in line, and go with the next ones.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::Serialize;
use yizhan_hub::{Position, StoreError, Table};

use crate::conversation::Conversation;

/// The row of the places up to which records have had their effects.
pub(crate) const APPLIED: &[u8] = b"k/applied";
/// Rows of one part of a write; a change has fewer.
const PART_ROWS_MAX: usize = 32_768;
/// Bytes of one part of a write.
const PART_BYTES_MAX: usize = 12 << 20;

/// A row to put (`Some`) or to remove.
pub(crate) type Row = (Bytes, Option<Bytes>);

/// The writer's queue.
pub(crate) struct Ledger {
    table: Arc<dyn Table>,
    pending: Mutex<Pending>,
    work: AtomicWaker,
}

#[derive(Default)]
struct Pending {
    rows: FxHashMap<Bytes, Option<Bytes>>,
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    /// Conversations with cursors to announce once they are safe.
    announce: Vec<Arc<Conversation>>,
    /// Places up to which records have had their effects, one a lane.
    applied: Vec<Position>,
    applied_new: bool,
    /// Somebody waits, or a second has passed.
    due: bool,
    /// Writes begun and writes that are safe.
    begun: u64,
    done: u64,
}

/// Ready when rows are safe.
#[must_use = "nothing is acknowledged before it is safe"]
pub(crate) struct Committed(oneshot::Receiver<Result<(), StoreError>>);

impl Future for Committed {
    type Output = Result<(), StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|written| written.unwrap_or(Err(StoreError::Closed)))
    }
}

/// A row's value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Bytes {
    // Rows are plain structs with text keys: nothing of them cannot be written as JSON.
    serde_json::to_vec(value).unwrap_or_default().into()
}

impl Ledger {
    pub(crate) fn new(table: Arc<dyn Table>) -> Self {
        Self { table, pending: Mutex::default(), work: AtomicWaker::new() }
    }

    /// Where rows lie that were written; what is in line is not there yet.
    pub(crate) fn table(&self) -> &Arc<dyn Table> {
        &self.table
    }

    /// Puts rows in line that nobody waits for: written within a second. Gives the number of their write.
    pub(crate) fn put(&self, rows: impl IntoIterator<Item = Row>) -> u64 {
        let mut pending = self.pending.lock();
        pending.rows.extend(rows);
        pending.begun + 1
    }

    /// Puts rows in line; the future is ready when they, and all before them, are safe.
    pub(crate) fn commit(&self, rows: impl IntoIterator<Item = Row>) -> Committed {
        let (sender, receiver) = oneshot::channel();
        let mut pending = self.pending.lock();
        pending.rows.extend(rows);
        pending.waiting.push(sender);
        pending.due = true;
        drop(pending);
        self.work.wake();
        Committed(receiver)
    }

    /// Has a conversation's cursors announced after the write that is next.
    pub(crate) fn announce(&self, conversation: &Arc<Conversation>) {
        self.pending.lock().announce.push(conversation.clone());
    }

    /// Records up to this place of its lane have had their effects, and the rows of those are in line.
    pub(crate) fn applied(&self, position: Position) {
        let mut pending = self.pending.lock();
        pending.applied_new = true;
        match pending.applied.iter_mut().find(|p| p.same_lane(&position)) {
            Some(place) => *place = position,
            None => pending.applied.push(position),
        }
    }

    /// The place in this one's lane up to which records have had their effects; `None` where nothing was heard yet.
    pub(crate) fn applied_in(&self, lane: &Position) -> Option<Position> {
        self.pending.lock().applied.iter().find(|p| p.same_lane(lane)).copied()
    }

    /// Writes what nobody waits for. Called about once a second.
    pub(crate) fn maintain(&self) {
        let mut pending = self.pending.lock();
        pending.due |= !pending.rows.is_empty() || pending.applied_new;
        drop(pending);
        self.work.wake();
    }

    /// The number of the newest write that is safe: rows put with a number up to it are in the table.
    pub(crate) fn done(&self) -> u64 {
        self.pending.lock().done
    }

    /// The next write, and who waits for it.
    fn cut(&self) -> Option<Cut> {
        let mut pending = self.pending.lock();
        if !std::mem::take(&mut pending.due) {
            return None;
        }
        let rows = std::mem::take(&mut pending.rows);
        let applied = std::mem::take(&mut pending.applied_new).then(|| {
            let places: Vec<String> = pending.applied.iter().map(ToString::to_string).collect();
            (Bytes::from_static(APPLIED), Some(json(&places)))
        });
        pending.begun += 1;
        let waiting = std::mem::take(&mut pending.waiting);
        Some(Cut {
            number: pending.begun,
            rows,
            applied,
            waiting,
            announce: std::mem::take(&mut pending.announce),
        })
    }

    async fn write(&self, cut: Cut) -> Vec<Arc<Conversation>> {
        let Cut { number, rows, applied, waiting, announce } = cut;
        // The places come last: they are never ahead of the effects.
        let all = rows.iter().map(|(key, value)| (key.clone(), value.clone())).chain(applied);
        let mut written = Ok(());
        for part in parts(all) {
            written = self.table.put_all(part).await;
            if written.is_err() {
                break;
            }
        }
        let mut pending = self.pending.lock();
        match &written {
            Ok(()) => pending.done = number,
            Err(error) => {
                tracing::error!(%error, "what chats remember could not be written: it is tried again");
                for (key, value) in rows {
                    // What came meanwhile is newer.
                    pending.rows.entry(key).or_insert(value);
                }
                pending.announce.extend(announce.iter().cloned());
                pending.applied_new = true;
            }
        }
        drop(pending);
        for waiting in waiting {
            // Who does not wait any more need not know.
            drop(waiting.send(written.clone()));
        }
        if written.is_ok() { announce } else { Vec::new() }
    }
}

/// One write; more where it would be larger than the table takes.
fn parts(rows: impl Iterator<Item = Row>) -> Vec<Vec<Row>> {
    let (mut parts, mut bytes) = (Vec::<Vec<Row>>::new(), 0);
    for row in rows {
        let weight = row.0.len() + row.1.as_ref().map_or(0, Bytes::len);
        match parts.last_mut() {
            Some(part) if part.len() < PART_ROWS_MAX && bytes + weight <= PART_BYTES_MAX => {
                bytes += weight;
                part.push(row);
            }
            _ => {
                bytes = weight;
                parts.push(vec![row]);
            }
        }
    }
    parts
}

struct Cut {
    number: u64,
    rows: FxHashMap<Bytes, Option<Bytes>>,
    applied: Option<Row>,
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    announce: Vec<Arc<Conversation>>,
}

/// Writes what is in line, as long as somebody holds the ledger. `told` announces cursors that are safe.
pub(crate) async fn write_all(ledger: Weak<Ledger>, told: impl Fn(Vec<Arc<Conversation>>) + Send) {
    loop {
        let next = poll_fn(|cx| {
            let Some(ledger) = ledger.upgrade() else { return Poll::Ready(None) };
            ledger.work.register(cx.waker());
            match ledger.cut() {
                Some(cut) => Poll::Ready(Some((ledger, cut))),
                None => Poll::Pending,
            }
        });
        let Some((ledger, cut)) = next.await else { return };
        told(ledger.write(cut).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yizhan_hub::{Store as _, memory::Memory};

    #[tokio::test]
    async fn what_is_answered_is_in_the_table() {
        let store = Memory::default();
        let ledger = Arc::new(Ledger::new(store.table("im").unwrap()));
        let writing = tokio::spawn(write_all(Arc::downgrade(&ledger), |_| {}));
        ledger.put([(Bytes::from("a"), Some(Bytes::from("1")))]);
        ledger.commit([(Bytes::from("b"), Some(Bytes::from("2")))]).await.unwrap();
        for (key, value) in [("a", "1"), ("b", "2")] {
            let row = ledger.table().get(key.as_bytes()).await.unwrap().unwrap();
            assert_eq!(row.0, value);
        }
        assert_eq!(ledger.done(), 1);
        drop(ledger);
        writing.abort();
    }
}
