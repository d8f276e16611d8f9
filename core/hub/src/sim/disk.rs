//! A store that can die: its tables change in the order of the calls and when the seed says so.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::journal::SimJournal;
use crate::{
    message::SpaceId,
    space::Space,
    store::{Expect, Journal, Store, StoreError, Table},
};

#[derive(Default)]
pub(super) struct Disk {
    journals: Mutex<Vec<(String, Arc<SimJournal>)>>,
    rows: Arc<Mutex<Rows>>,
}

type Key = (&'static str, Vec<u8>);
/// Rows that change as one, and who waits for that.
type Waiting = (Vec<(Key, Option<Bytes>)>, oneshot::Sender<()>);

#[derive(Default)]
struct Rows {
    safe: BTreeMap<Key, Bytes>,
    waiting: VecDeque<Waiting>,
}

impl Disk {
    pub(super) fn journals(&self) -> Vec<Arc<SimJournal>> {
        self.journals.lock().iter().map(|(_, journal)| journal.clone()).collect()
    }

    /// Makes the oldest change safe.
    pub(super) fn commit(&self) -> bool {
        let mut rows = self.rows.lock();
        let Some((changes, answer)) = rows.waiting.pop_front() else { return false };
        for (key, value) in changes {
            match value {
                Some(value) => rows.safe.insert(key, value),
                None => rows.safe.remove(&key),
            };
        }
        drop(rows);
        answer.send(()).ok();
        true
    }

    /// The server died: what was not safe is gone.
    pub(super) fn die(&self) {
        self.rows.lock().waiting.clear();
        for journal in self.journals() {
            journal.die();
        }
    }
}

impl Store for Disk {
    fn journal<'a>(&'a self, space: &'a Space) -> BoxFuture<'a, Result<Arc<dyn Journal>, StoreError>> {
        let mut journals = self.journals.lock();
        let found = journals.iter().find(|(name, _)| *name == space.name).map(|(_, journal)| journal.clone());
        let journal = found.unwrap_or_else(|| {
            let journal = Arc::new(SimJournal::new(SpaceId(journals.len() as u16 + 1)));
            journals.push((space.name.clone(), journal.clone()));
            journal
        });
        Box::pin(std::future::ready(Ok(journal as Arc<dyn Journal>)))
    }

    fn table(&self, name: &'static str) -> Result<Arc<dyn Table>, StoreError> {
        Ok(Arc::new(DiskTable { name, rows: self.rows.clone() }))
    }
}

struct DiskTable {
    name: &'static str,
    rows: Arc<Mutex<Rows>>,
}

impl Table for DiskTable {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<(Bytes, u64)>, StoreError>> {
        let found = self.rows.lock().safe.get(&(self.name, key.to_vec())).map(|value| (value.clone(), 1));
        Box::pin(std::future::ready(Ok(found)))
    }

    fn put<'a>(
        &'a self,
        key: &'a [u8],
        value: Option<Bytes>,
        _expect: Expect,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let (answer, safe) = oneshot::channel();
        self.rows.lock().waiting.push_back((vec![((self.name, key.to_vec()), value)], answer));
        Box::pin(async move { safe.await.map(|()| 1).map_err(|_| StoreError::Closed) })
    }

    fn put_all(&self, rows: Vec<(Bytes, Option<Bytes>)>) -> BoxFuture<'_, Result<(), StoreError>> {
        let (answer, safe) = oneshot::channel();
        let changes = rows.into_iter().map(|(key, value)| ((self.name, key.to_vec()), value)).collect();
        self.rows.lock().waiting.push_back((changes, answer));
        Box::pin(async move { safe.await.map_err(|_| StoreError::Closed) })
    }

    fn get_many(&self, keys: Vec<Bytes>) -> BoxFuture<'_, Result<Vec<Option<Bytes>>, StoreError>> {
        let rows = self.rows.lock();
        let values = keys.iter().map(|key| rows.safe.get(&(self.name, key.to_vec())).cloned()).collect();
        Box::pin(std::future::ready(Ok(values)))
    }

    fn peek(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.rows.lock().safe.get(&(self.name, key.to_vec())).cloned())
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        rows_max: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, StoreError>> {
        let rows = self.rows.lock();
        let found = rows.safe.iter().filter(|((table, key), _)| {
            *table == self.name && key.starts_with(prefix) && after.is_none_or(|after| &key[..] > after)
        });
        let found =
            found.take(rows_max).map(|((_, key), value)| (key.clone().into(), value.clone())).collect();
        Box::pin(std::future::ready(Ok(found)))
    }
}
