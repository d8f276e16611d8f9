//! Which files were finished a short time ago.
//!
//! The same content is kept once, so one person's upload may end in a file that another's expiry is just
//! removing. Between the end of the upload and the caller's note that it uses the file, nobody may remove it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{error::FilesError, hash::Hash};

/// How long a finished file cannot be removed, at least.
pub(crate) const FRESH: Duration = Duration::from_secs(5 * 60);

/// Hashes that one half of the memory has. With more files finished in that time it turns earlier.
const HASHES_MAX: usize = 200_000;

/// Removals and ends of uploads with the same first digits of their hashes follow one another.
const STRIPES: usize = 64;

/// The hashes of the last minutes.
#[derive(Debug)]
pub(crate) struct Fresh {
    halves: Mutex<Halves>,
    stripes: [Semaphore; STRIPES],
}

#[derive(Debug)]
struct Halves {
    new: FxHashSet<Hash>,
    old: FxHashSet<Hash>,
    turned: Instant,
}

impl Fresh {
    pub(crate) fn new() -> Self {
        let halves = Halves { new: FxHashSet::default(), old: FxHashSet::default(), turned: Instant::now() };
        Self { halves: Mutex::new(halves), stripes: std::array::from_fn(|_| Semaphore::new(1)) }
    }

    /// Notes that the file is about to be used. A removal that is under way ends first, so whoever looks for
    /// the file after this sees what is true until it is no longer fresh.
    pub(crate) async fn note(&self, hash: &Hash) -> Result<(), FilesError> {
        let _turn = self.turn(hash).await?;
        self.halves.lock().put(*hash, Instant::now());
        Ok(())
    }

    /// The right to remove this file, while it is held.
    pub(crate) async fn leave(&self, hash: &Hash) -> Result<SemaphorePermit<'_>, FilesError> {
        let turn = self.turn(hash).await?;
        if self.halves.lock().has(hash, Instant::now()) { Err(FilesError::Fresh) } else { Ok(turn) }
    }

    async fn turn(&self, hash: &Hash) -> Result<SemaphorePermit<'_>, FilesError> {
        let stripe = usize::from(hash.as_bytes()[0]) % STRIPES;
        self.stripes[stripe].acquire().await.map_err(|error| FilesError::Failed(error.into()))
    }

    /// All of them are old now.
    #[cfg(test)]
    pub(crate) fn forget(&self) {
        let mut halves = self.halves.lock();
        halves.new.clear();
        halves.old.clear();
    }
}

impl Halves {
    fn put(&mut self, hash: Hash, now: Instant) {
        self.turn(now);
        if self.new.len() >= HASHES_MAX {
            self.old = std::mem::take(&mut self.new);
            self.turned = now;
        }
        self.new.insert(hash);
    }

    fn has(&mut self, hash: &Hash, now: Instant) -> bool {
        self.turn(now);
        self.new.contains(hash) || self.old.contains(hash)
    }

    /// A hash stays in the new half for up to `FRESH`, and in the old one for `FRESH` more.
    fn turn(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.turned);
        if since < FRESH {
            return;
        }
        let new = std::mem::take(&mut self.new);
        self.old = if since < 2 * FRESH { new } else { FxHashSet::default() };
        self.turned = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_fresh_for_minutes_and_not_for_ever() {
        let start = Instant::now();
        let mut halves = Halves { new: FxHashSet::default(), old: FxHashSet::default(), turned: start };
        let hash = Hash::of(b"one");
        halves.put(hash, start + FRESH - Duration::from_secs(1));
        assert!(halves.has(&hash, start + FRESH));
        assert!(halves.has(&hash, start + FRESH + FRESH - Duration::from_secs(2)));
        assert!(!halves.has(&hash, start + 3 * FRESH));
    }

    #[test]
    fn the_memory_of_fresh_files_is_bounded() {
        let start = Instant::now();
        let mut halves = Halves { new: FxHashSet::default(), old: FxHashSet::default(), turned: start };
        for n in 0..3 * HASHES_MAX {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&(n as u64).to_le_bytes());
            halves.put(Hash::from_bytes(bytes), start);
        }
        assert!(halves.new.len() + halves.old.len() <= 2 * HASHES_MAX);
    }
}
