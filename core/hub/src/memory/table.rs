//! An ordered map with versions.

use std::{collections::BTreeMap, future::ready, ops::Bound};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::store::{Expect, StoreError, Table, bytes_of_rows, check_key};

#[derive(Default)]
pub(super) struct MemoryTable(Mutex<Rows>);

#[derive(Default)]
struct Rows {
    rows: BTreeMap<Bytes, (Bytes, u64)>,
    /// One count for all keys: so a key that is removed and put again goes on with a higher version.
    version: u64,
}

impl Rows {
    fn put(&mut self, key: &[u8], value: Option<Bytes>, expect: Expect) -> Result<u64, StoreError> {
        check_key(key)?;
        let there = self.rows.get(key).map(|(_, version)| *version);
        let as_expected = match expect {
            Expect::Any => true,
            Expect::Absent => there.is_none(),
            Expect::Version(version) => there == Some(version),
        };
        if !as_expected {
            return Err(StoreError::Conflict);
        }
        self.version += 1;
        match value {
            Some(value) => self.rows.insert(Bytes::copy_from_slice(key), (value, self.version)),
            None => self.rows.remove(key),
        };
        Ok(self.version)
    }

    fn put_all(&mut self, rows: Vec<(Bytes, Option<Bytes>)>) {
        self.version += 1;
        for (key, value) in rows {
            match value {
                Some(value) => self.rows.insert(key, (value, self.version)),
                None => self.rows.remove(&key),
            };
        }
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, rows_max: usize) -> Vec<(Bytes, Bytes)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.rows
            .range::<[u8], _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(rows_max)
            .map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect()
    }
}

impl Table for MemoryTable {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<(Bytes, u64)>, StoreError>> {
        Box::pin(ready(Ok(self.0.lock().rows.get(key).cloned())))
    }

    fn put<'a>(
        &'a self,
        key: &'a [u8],
        value: Option<Bytes>,
        expect: Expect,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(ready(self.0.lock().put(key, value, expect)))
    }

    fn put_all(&self, rows: Vec<(Bytes, Option<Bytes>)>) -> BoxFuture<'_, Result<(), StoreError>> {
        let put = bytes_of_rows(&rows).map(|_| self.0.lock().put_all(rows));
        Box::pin(ready(put))
    }

    fn get_many(&self, keys: Vec<Bytes>) -> BoxFuture<'_, Result<Vec<Option<Bytes>>, StoreError>> {
        let rows = &self.0.lock().rows;
        let values = keys.iter().map(|key| rows.get(key).map(|(value, _)| value.clone())).collect();
        Box::pin(ready(Ok(values)))
    }

    fn peek(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.lock().rows.get(key).map(|(value, _)| value.clone()))
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        rows_max: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, StoreError>> {
        Box::pin(ready(Ok(self.0.lock().scan(prefix, after, rows_max))))
    }
}
