//! Conversations come into memory when they are wanted, and go when nobody uses them.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use yizhan_hub::{StoreError, Topic};

use crate::{
    conversation::{Conversation, Head, Info, index_prefix, info_key, member_key},
    denied::Wrong,
    im::Im,
    member::Member,
    names::{self, Kind},
};

/// Rows read at once.
const ROWS: usize = 4096;
/// How long a conversation stays that nobody uses, where memory is wanted.
const IDLE: Duration = Duration::from_secs(60);

/// Reads a row's JSON.
pub(crate) fn parsed<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|error| {
        let place = format!("table im, row {}: {error}", String::from_utf8_lossy(key));
        StoreError::Corrupt { place }
    })
}

impl Im {
    /// A conversation, from memory or from its rows.
    ///
    /// # Errors
    /// [`Wrong::NoSuch`] where there is none; the store failed.
    pub(crate) async fn conversation(&self, id: &str) -> Result<Arc<Conversation>, Wrong> {
        let found = match self.inner.conversations.find(id) {
            Some(found) => found,
            None => self.load(id).await?.ok_or(Wrong::NoSuch("conversation"))?,
        };
        found.used_at.store(self.now().wall.as_millis(), Relaxed);
        Ok(found)
    }

    async fn load(&self, id: &str) -> Result<Option<Arc<Conversation>>, Wrong> {
        if Kind::of_id(id).is_none() {
            return Ok(None);
        }
        let table = self.inner.ledger.table();
        let key = info_key(id);
        let Some((row, _)) = table.get(&key).await? else { return Ok(None) };
        let info: Info = parsed(&key, &row)?;
        let prefix = index_prefix(id);
        let (mut users, mut after) = (Vec::<Arc<str>>::new(), None::<Bytes>);
        loop {
            let rows = table.scan(prefix.as_bytes(), after.as_deref(), ROWS).await?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.clone());
            let names = rows.iter().filter_map(|(key, _)| std::str::from_utf8(key.get(prefix.len()..)?).ok());
            users.extend(names.map(Arc::from));
            if rows.len() < ROWS {
                break;
            }
        }
        let mut members = FxHashMap::with_capacity_and_hasher(users.len(), rustc_hash::FxBuildHasher);
        for some in users.chunks(ROWS) {
            let keys: Vec<Bytes> = some.iter().map(|user| member_key(user, id)).collect();
            let rows = table.get_many(keys.clone()).await?;
            for ((user, key), row) in some.iter().zip(&keys).zip(rows) {
                if let Some(row) = row {
                    members.insert(user.clone(), parsed::<Member>(key, &row)?);
                }
            }
        }
        let mut heads = self.heads(&[(id.into(), info.created_at)]).await?;
        let head = heads.pop().unwrap_or_default();
        let made = Arc::new(Conversation::new(id.into(), info, members, head));
        Ok(Some(self.inner.conversations.insert(made)))
    }

    /// How far conversations are, each given with the time when it was made.
    pub(crate) async fn heads(&self, of: &[(Arc<str>, u64)]) -> Result<Vec<Head>, Wrong> {
        let Some((first, _)) = of.first() else { return Ok(Vec::new()) };
        let Some(journal) = self.inner.hub.journal(&names::messages(first)) else {
            return Ok(vec![Head::default(); of.len()]);
        };
        let topics: Vec<Topic> =
            of.iter().flat_map(|(id, _)| [names::messages(id), names::events(id)]).collect();
        let newest = journal.newest_each(&topics).await?;
        // Where retention took all of a topic, its numbers go on.
        let seqs = journal.newest_seqs(&topics);
        let mut heads = Vec::with_capacity(of.len());
        for (((_, created_at), newest), seqs) in of.iter().zip(newest.chunks(2)).zip(seqs.chunks(2)) {
            let (last, event) = (newest.first().cloned().flatten(), newest.get(1).cloned().flatten());
            heads.push(Head {
                newest: seqs.first().copied().unwrap_or(0),
                changed: seqs.get(1).copied().unwrap_or(0),
                changed_at: event.map_or(0, |r| r.at.as_millis()),
                active_at: last.as_ref().map_or(*created_at, |r| r.at.as_millis()),
                last,
            });
        }
        Ok(heads)
    }

    /// Forgets conversations that nobody uses, where there are more memberships in memory than are wanted.
    pub(crate) fn forget_idle(&self) {
        if self.inner.conversations.members() > self.config().memory_members_max {
            let idle = self.now().wall.as_millis().saturating_sub(IDLE.as_millis() as u64);
            self.inner.conversations.forget(idle, self.inner.ledger.done());
        }
    }
}
