//! How many groups and channels each person is in, so that nobody is in too many.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::{conversation::member_prefix, denied::Wrong, im::Im, names::Kind};

/// People whose number is remembered; beyond it all are counted anew when they are wanted.
const KNOWN_MAX: usize = 200_000;
/// Rows read at once.
const ROWS: usize = 4096;

/// Numbers of groups, by person.
#[derive(Default)]
pub(crate) struct Counts(Mutex<FxHashMap<Arc<str>, usize>>);

impl Counts {
    fn knows(&self, user: &str) -> bool {
        self.0.lock().contains_key(user)
    }

    fn learn(&self, user: &Arc<str>, count: usize) {
        let mut counts = self.0.lock();
        if counts.len() >= KNOWN_MAX {
            counts.clear();
        }
        // What was counted meanwhile has seen changes that this count has not.
        counts.entry(user.clone()).or_insert(count);
    }

    /// Somebody comes into one more; false, and nothing changed, where `max` are not to be exceeded.
    pub(crate) fn take(&self, user: &Arc<str>, max: usize) -> bool {
        let mut counts = self.0.lock();
        let count = counts.entry(user.clone()).or_default();
        let room = *count < max;
        *count += usize::from(room);
        room
    }

    /// Somebody is in one less.
    pub(crate) fn give_back<'a>(&self, users: impl Iterator<Item = &'a Arc<str>>) {
        let mut counts = self.0.lock();
        for user in users {
            if let Some(count) = counts.get_mut(user) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

impl Im {
    /// Counts the groups of these people, where that was not done yet.
    pub(crate) async fn count_groups(&self, users: &[Arc<str>]) -> Result<(), Wrong> {
        for user in users {
            if !self.inner.groups.counts.knows(user) {
                let count = self.counted(user).await?;
                self.inner.groups.counts.learn(user, count);
            }
        }
        Ok(())
    }

    async fn counted(&self, user: &str) -> Result<usize, Wrong> {
        let prefix = member_prefix(user);
        let (mut count, mut after) = (0, None::<Bytes>);
        loop {
            let rows = self.inner.ledger.table().scan(prefix.as_bytes(), after.as_deref(), ROWS).await?;
            for (key, _) in &rows {
                let id = key.get(prefix.len()..).and_then(|id| std::str::from_utf8(id).ok());
                let kind = id.and_then(Kind::of_id);
                count += usize::from(matches!(kind, Some(Kind::Group | Kind::Channel)));
            }
            match rows.last() {
                Some((last, _)) if rows.len() == ROWS => after = Some(last.clone()),
                _ => return Ok(count),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_up_to_the_limit_and_given_back() {
        let counts = Counts::default();
        let ann: Arc<str> = "ann".into();
        counts.learn(&ann, 1);
        counts.learn(&ann, 7);
        assert!(counts.take(&ann, 2) && !counts.take(&ann, 2));
        counts.give_back([&ann].into_iter());
        assert!(counts.take(&ann, 2));
    }
}
