//! Saving what outlives the server: sessions that changed, and the groups that they are in.

use std::{
    future::poll_fn,
    sync::{Arc, Weak},
    task::Poll,
};

use bytes::Bytes;
use futures_util::future::join_all;

use crate::{group::GroupKey, hub::Inner, returning::SessionRow, session::Session, store::StoreError};

/// Sessions that are saved with one sync.
const SAVES_MAX: usize = 1024;

/// What is saved in one row.
enum Row {
    Group(GroupKey, Option<Bytes>),
    Session(SessionRow),
}

impl Inner {
    /// What is to be written for these sessions, in the order in which it is to be safe: a group's row is safe
    /// before its members' rows and not older than they are, so that what a member's door wrote down as
    /// acked is dealt to nobody again, whenever the server dies.
    fn rows(&self, sessions: &[Arc<Session>]) -> Vec<Row> {
        let rows: Vec<_> = sessions.iter().filter_map(|session| self.session_row(session)).collect();
        let groups = self.take_groups(sessions).into_iter().map(|(key, value)| Row::Group(key, value));
        groups.chain(rows.into_iter().map(Row::Session)).collect()
    }

    async fn put_row(&self, row: Row) -> Result<(), StoreError> {
        match row {
            Row::Group(key, value) => self.put_group(key, value).await,
            Row::Session(row) => self.put_session(row).await,
        }
    }
}

/// Saves sessions that changed, all that did at one time together, and tells who waits for it. There is one
/// of it, so that an older state never follows a newer one.
pub(crate) async fn save_sessions(hub: Weak<Inner>) {
    loop {
        let Some((hub, dirty, waiting)) = poll_fn(|cx| {
            let Some(hub) = hub.upgrade() else { return Poll::Ready(None) };
            hub.saver.register(cx.waker());
            let (dirty, waiting) = hub.attendance.take_dirty();
            if dirty.is_empty() && waiting.is_empty() && !hub.has_said() && !hub.has_groups_to_save() {
                return Poll::Pending;
            }
            Poll::Ready(Some((hub, dirty, waiting)))
        })
        .await
        else {
            return;
        };
        if let Err(error) = hub.write_said().await {
            tracing::warn!(%error, "a saved session could not be changed");
        }
        let mut saved = Ok(());
        let mut dirty = &dirty[..];
        loop {
            let (some, others) = dirty.split_at(dirty.len().min(SAVES_MAX));
            let results = join_all(hub.rows(some).into_iter().map(|row| hub.put_row(row))).await;
            for error in results.into_iter().filter_map(Result::err) {
                tracing::warn!(%error, "a session or group could not be saved");
                saved = Err(error);
            }
            dirty = others;
            if dirty.is_empty() {
                break;
            }
        }
        for waiting in waiting {
            // Who waited may be gone.
            drop(waiting.send(saved.clone()));
        }
    }
}
