//! What became of messages, as far as it is in memory: what is wanted now, and what is not written yet.
//!
//! An overlay is read from its row while nothing is locked, and changed under the conversation's lock. In between
//! somebody else may have changed it, and it may even be forgotten again: then it is read once more.

use std::sync::Arc;

use parking_lot::MutexGuard;
use rustc_hash::FxHashMap;

use crate::{
    conversation::{Conversation, State},
    denied::Wrong,
    im::Im,
    ledger::{Row, json},
    load::parsed,
    view::{Overlay, overlay_key},
};

/// How long one stays that nobody wants, milliseconds.
const IDLE_MS: u64 = 10_000;

/// A conversation's overlays in memory.
#[derive(Default)]
pub(crate) struct Overlays {
    held: FxHashMap<u64, Held>,
    /// How often some were forgotten.
    forgotten: u64,
}

struct Held {
    overlay: Overlay,
    /// The number of the newest write that has it; 0 where its row is as it was read.
    write: u64,
    /// When it was wanted last, ms.
    used_at: u64,
}

impl Overlays {
    pub(crate) fn get(&self, seq: u64) -> Option<&Overlay> {
        self.held.get(&seq).map(|held| &held.overlay)
    }

    /// Forgets what nobody wanted since, and what is written; gives whether nothing is left.
    fn forget(&mut self, unused_since: u64, written: u64) -> bool {
        let before = self.held.len();
        self.held.retain(|_, held| held.used_at > unused_since || held.write > written);
        if self.held.len() != before {
            self.forgotten += 1;
        }
        self.held.is_empty()
    }
}

impl Im {
    /// The conversation's lock, with what became of this message in memory.
    pub(crate) async fn overlay<'a>(
        &self,
        conversation: &'a Arc<Conversation>,
        seq: u64,
    ) -> Result<MutexGuard<'a, State>, Wrong> {
        let now = self.now().wall.as_millis();
        let key = overlay_key(&conversation.id, seq);
        let mut forgotten = {
            let mut state = conversation.lock();
            if let Some(held) = state.overlays.held.get_mut(&seq) {
                held.used_at = now;
                return Ok(state);
            }
            state.overlays.forgotten
        };
        loop {
            let row = self.inner.ledger.table().get(&key).await?;
            let read = row.map(|(row, _)| parsed::<Overlay>(&key, &row)).transpose()?.unwrap_or_default();
            let mut state = conversation.lock();
            if let Some(held) = state.overlays.held.get_mut(&seq) {
                held.used_at = now;
                return Ok(state);
            }
            if state.overlays.forgotten == forgotten {
                self.hold(conversation, &mut state, seq, read);
                return Ok(state);
            }
            forgotten = state.overlays.forgotten;
        }
    }

    /// What became of a message, to be changed by who cannot wait. One that is not in memory is read at once.
    pub(crate) fn overlay_now<'a>(
        &self,
        conversation: &Arc<Conversation>,
        state: &'a mut State,
        seq: u64,
    ) -> Result<&'a mut Overlay, Wrong> {
        if state.overlays.get(seq).is_none() {
            let key = overlay_key(&conversation.id, seq);
            let row = self.inner.ledger.table().peek(&key)?;
            let read = row.map(|row| parsed::<Overlay>(&key, &row)).transpose()?.unwrap_or_default();
            self.hold(conversation, state, seq, read);
        }
        let held = state.overlays.held.get_mut(&seq).ok_or(Wrong::NoSuch("message"))?;
        Ok(&mut held.overlay)
    }

    fn hold(&self, conversation: &Arc<Conversation>, state: &mut State, seq: u64, overlay: Overlay) {
        let used_at = self.now().wall.as_millis();
        if state.overlays.held.is_empty() {
            self.inner.held.lock().push(conversation.clone());
        }
        state.overlays.held.insert(seq, Held { overlay, write: 0, used_at });
    }

    /// The row of a message's overlay that was changed. To be put in line under the same lock.
    pub(crate) fn overlay_row(&self, conversation: &Conversation, state: &State, seq: u64) -> Option<Row> {
        let overlay = state.overlays.get(seq)?;
        let empty = *overlay == Overlay::default();
        Some((overlay_key(&conversation.id, seq), (!empty).then(|| json(overlay))))
    }

    /// Rows of a conversation, and of what became of one of its messages, are in line: neither is forgotten before
    /// they are written.
    pub(crate) fn in_line(&self, conversation: &Conversation, state: &mut State, seq: u64, write: u64) {
        conversation.wrote(write);
        if let Some(held) = state.overlays.held.get_mut(&seq) {
            held.write = held.write.max(write);
        }
    }

    /// Forgets overlays that nobody wants any more. Called about once a second.
    pub(crate) fn forget_overlays(&self) {
        let idle = self.now().wall.as_millis().saturating_sub(IDLE_MS);
        let written = self.inner.ledger.done();
        let some = std::mem::take(&mut *self.inner.held.lock());
        for conversation in some {
            let mut state = conversation.lock();
            if !state.overlays.forget(idle, written) {
                drop(state);
                self.inner.held.lock().push(conversation);
            }
        }
    }
}
