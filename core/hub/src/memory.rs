//! A store that forgets: everything is gone with the process.
//!
//! It is for spaces with [`Keep::Memory`], for tests and for the simulator. Its futures are ready at once,
//! it reads no clock (time is what `append` is told), and the same calls give the same answers.

mod dedup;
mod journal;
mod table;
#[cfg(test)]
mod tests;
mod topics;

use std::{collections::HashMap, future::ready, sync::Arc};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use yizhan_talk::Timestamp;

use self::{journal::MemoryJournal, table::MemoryTable};
use crate::{
    message::SpaceId,
    space::{Keep, Space},
    store::{Journal, Store, StoreError, Table},
};

/// Spaces one store has at most. Their numbers are the highest ones, so that they are never those of a
/// store on disk, which counts from the bottom.
const SPACES_MAX: u16 = 0x8000;

/// A [`Store`] in memory. A space or table that is opened again is the same as before.
#[derive(Default)]
pub struct Memory {
    epoch: u32,
    journals: Mutex<Vec<(String, Arc<MemoryJournal>)>>,
    tables: Mutex<HashMap<&'static str, Arc<MemoryTable>>>,
}

impl Memory {
    /// An empty store. `epoch` should differ from run to run, so that a place of an earlier run is not
    /// taken for one of this.
    #[must_use]
    pub fn new(epoch: u32) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// Takes out what is too old by now. Appending does the same; this is for spaces in which nothing
    /// happens.
    pub fn prune(&self, now: Timestamp) {
        let journals: Vec<_> = self.journals.lock().iter().map(|(_, journal)| journal.clone()).collect();
        for journal in journals {
            journal.prune(now);
        }
    }

    fn open(&self, space: &Space) -> Result<Arc<dyn Journal>, StoreError> {
        let mut journals = self.journals.lock();
        if let Some((_, journal)) = journals.iter().find(|(name, _)| *name == space.name) {
            journal.configure(space);
            return Ok(journal.clone());
        }
        let opened = u16::try_from(journals.len()).ok().filter(|opened| *opened < SPACES_MAX);
        let opened = opened.ok_or_else(|| StoreError::Failed(format!("more than {SPACES_MAX} spaces")))?;
        let journal = Arc::new(MemoryJournal::new(SpaceId(u16::MAX - opened), self.epoch, space));
        journals.push((space.name.clone(), journal.clone()));
        Ok(journal)
    }
}

impl Store for Memory {
    fn journal<'a>(&'a self, space: &'a Space) -> BoxFuture<'a, Result<Arc<dyn Journal>, StoreError>> {
        Box::pin(ready(self.open(space)))
    }

    fn table(&self, name: &'static str) -> Result<Arc<dyn Table>, StoreError> {
        Ok(self.tables.lock().entry(name).or_default().clone())
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// Two stores as one: spaces that are kept in memory live in [`Memory`], all else on disk.
pub struct Split {
    /// Spaces with [`Keep::Disk`], and all tables.
    pub disk: Arc<dyn Store>,
    /// Spaces with [`Keep::Memory`].
    pub memory: Memory,
}

impl Store for Split {
    fn journal<'a>(&'a self, space: &'a Space) -> BoxFuture<'a, Result<Arc<dyn Journal>, StoreError>> {
        match space.keep {
            Keep::Disk(_) => self.disk.journal(space),
            Keep::Memory(_) | Keep::Nothing => self.memory.journal(space),
        }
    }

    fn table(&self, name: &'static str) -> Result<Arc<dyn Table>, StoreError> {
        self.disk.table(name)
    }
}
