//! Threads: messages that belong to another one, and how many there are.

use std::sync::Arc;

use yizhan_hub::Record;

use crate::{
    conversation::{Conversation, State},
    denied::Wrong,
    editing::edited,
    heard::{THREAD, header},
    im::Im,
    ledger::Row,
};

impl Im {
    /// Whether somebody may add to the thread of a message.
    pub(crate) async fn check_thread(
        &self,
        conversation: &Arc<Conversation>,
        me: &str,
        root: u64,
    ) -> Result<(), Wrong> {
        let record = self.seen(conversation, me, root).await?;
        if header(&record, THREAD).is_some() {
            return Err(Wrong::BadContent(
                "a thread has no threads in it: name the message that it began with".to_owned(),
            ));
        }
        // It is in memory then, when the message is heard.
        edited(self.overlay(conversation, root).await?.overlays.get(root))?;
        Ok(())
    }

    /// Has in memory what messages of these records' threads need.
    pub(crate) async fn load_threads(
        &self,
        conversation: &Arc<Conversation>,
        records: &[Arc<Record>],
    ) -> Result<(), Wrong> {
        for root in records.iter().filter_map(|record| root_of(record)) {
            drop(self.overlay(conversation, root).await?);
        }
        Ok(())
    }

    /// A message of a thread is safe. Applied again, it changes nothing. Gives the row that changed.
    pub(crate) fn count_in_thread(
        &self,
        conversation: &Arc<Conversation>,
        state: &mut State,
        record: &Record,
    ) -> Option<Row> {
        let root = root_of(record)?;
        let overlay = match self.overlay_now(conversation, state, root) {
            Ok(overlay) => overlay,
            Err(wrong) => {
                tracing::error!(%wrong, conversation = &*conversation.id, root, "a thread was not counted");
                return None;
            }
        };
        let thread = overlay.thread.get_or_insert_default();
        if thread.newest >= record.seq {
            return None;
        }
        thread.count += 1;
        thread.newest = record.seq;
        let row = self.overlay_row(conversation, state, root)?;
        // The row is put in line under this lock: it is in the write that is next.
        let next = self.inner.ledger.put([]);
        self.in_line(conversation, state, root, next.saturating_add(1));
        Some(row)
    }
}

/// The message in whose thread a record is.
pub(crate) fn root_of(record: &Record) -> Option<u64> {
    header(record, THREAD)?.parse().ok()
}
