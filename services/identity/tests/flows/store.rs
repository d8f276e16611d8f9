//! Tables in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use yizhan_hub::{Journal, Space, Store, StoreError, Table, store::Expect};

#[derive(Default)]
pub(crate) struct MemoryStore(Mutex<HashMap<&'static str, Arc<MemoryTable>>>);

impl Store for MemoryStore {
    fn journal<'a>(&'a self, _: &'a Space) -> BoxFuture<'a, Result<Arc<dyn Journal>, StoreError>> {
        Box::pin(ready(Err(StoreError::Closed)))
    }

    fn table(&self, name: &'static str) -> Result<Arc<dyn Table>, StoreError> {
        Ok(self.0.lock().entry(name).or_default().clone())
    }
}

impl MemoryStore {
    /// All that is kept, as text: for looking for secrets.
    pub(crate) fn dump(&self) -> String {
        let tables = self.0.lock();
        let rows = tables.values().flat_map(|table| {
            let rows = table.rows.lock();
            rows.iter()
                .map(|(k, (v, _))| format!("{}={}\n", k.escape_ascii(), v.escape_ascii()))
                .collect::<Vec<_>>()
        });
        rows.collect()
    }
}

#[derive(Default)]
pub(crate) struct MemoryTable {
    rows: Mutex<BTreeMap<Bytes, (Bytes, u64)>>,
    versions: Mutex<u64>,
}

impl Table for MemoryTable {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<(Bytes, u64)>, StoreError>> {
        Box::pin(ready(Ok(self.rows.lock().get(key).cloned())))
    }

    fn put<'a>(
        &'a self,
        key: &'a [u8],
        value: Option<Bytes>,
        expect: Expect,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let mut rows = self.rows.lock();
        let found = rows.get(key).map(|(_, version)| *version);
        let holds = match expect {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::Version(version) => found == Some(version),
        };
        if !holds {
            return Box::pin(ready(Err(StoreError::Conflict)));
        }
        let mut versions = self.versions.lock();
        *versions += 1;
        match value {
            Some(value) => drop(rows.insert(Bytes::copy_from_slice(key), (value, *versions))),
            None => drop(rows.remove(key)),
        }
        Box::pin(ready(Ok(*versions)))
    }

    fn put_all(&self, all: Vec<(Bytes, Option<Bytes>)>) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut rows = self.rows.lock();
        let mut versions = self.versions.lock();
        *versions += 1;
        for (key, value) in all {
            match value {
                Some(value) => drop(rows.insert(key, (value, *versions))),
                None => drop(rows.remove(&key)),
            }
        }
        Box::pin(ready(Ok(())))
    }

    fn get_many(&self, keys: Vec<Bytes>) -> BoxFuture<'_, Result<Vec<Option<Bytes>>, StoreError>> {
        let rows = self.rows.lock();
        let values = keys.iter().map(|key| rows.get(key).map(|(value, _)| value.clone())).collect();
        Box::pin(ready(Ok(values)))
    }

    fn peek(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.rows.lock().get(key).map(|(value, _)| value.clone()))
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        rows_max: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, StoreError>> {
        let rows = self.rows.lock();
        let fits =
            rows.iter().filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|a| &key[..] > a));
        let page = fits.take(rows_max).map(|(key, (value, _))| (key.clone(), value.clone())).collect();
        Box::pin(ready(Ok(page)))
    }
}
