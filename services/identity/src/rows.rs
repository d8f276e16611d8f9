//! JSON rows in a hub table.

use std::{marker::PhantomData, sync::Arc};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use yizhan_hub::{Store, StoreError, Table, store::Expect};

/// Rows that one read of a table gives.
pub(crate) const PAGE_ROWS: usize = 500;

/// A table whose values are all of one type.
pub(crate) struct Rows<T> {
    table: Arc<dyn Table>,
    name: &'static str,
    row: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Rows<T> {
    pub(crate) fn open(store: &dyn Store, name: &'static str) -> Result<Self, StoreError> {
        Ok(Self { table: store.table(name)?, name, row: PhantomData })
    }

    /// A row and its version.
    pub(crate) async fn find(&self, key: &[u8]) -> Result<Option<(T, u64)>, StoreError> {
        match self.table.get(key).await? {
            Some((bytes, version)) => Ok(Some((self.read(key, &bytes)?, version))),
            None => Ok(None),
        }
    }

    pub(crate) async fn put(&self, key: &[u8], row: &T, expect: Expect) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(row).map_err(|error| StoreError::Failed(error.to_string()))?;
        self.table.put(key, Some(bytes.into()), expect).await.map(|_| ())
    }

    pub(crate) async fn remove(&self, key: &[u8], expect: Expect) -> Result<(), StoreError> {
        self.table.put(key, None, expect).await.map(|_| ())
    }

    /// Up to `rows_max` rows whose keys begin with `prefix` and come after `after`.
    pub(crate) async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        rows_max: usize,
    ) -> Result<Vec<(Bytes, T)>, StoreError> {
        let rows = self.table.scan(prefix, after, rows_max).await?;
        rows.into_iter().map(|(key, bytes)| self.read(&key, &bytes).map(|row| (key, row))).collect()
    }

    /// Calls `each` for every row whose key begins with `prefix`, page by page.
    pub(crate) async fn each(&self, prefix: &[u8], mut each: impl FnMut(&[u8], T)) -> Result<(), StoreError> {
        let mut after: Option<Bytes> = None;
        loop {
            let page = self.scan(prefix, after.as_deref(), PAGE_ROWS).await?;
            let is_last = page.len() < PAGE_ROWS;
            for (key, row) in page {
                each(&key, row);
                after = Some(key);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn read(&self, key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
        serde_json::from_slice(bytes).map_err(|_| StoreError::Corrupt {
            place: format!("table {}, key {}", self.name, key.escape_ascii()),
        })
    }
}
