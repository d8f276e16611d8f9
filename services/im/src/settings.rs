//! What one sets for oneself in a conversation: pins, when it rings, drafts, what is off the list or cleared away.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use yizhan_hub::service::Caller;

use crate::{
    conversation::{Conversation, State},
    denied::Wrong,
    entry::Entry,
    groups::whole,
    im::Im,
    member::Notify,
    op::Op,
};

/// Bytes of a draft.
const DRAFT_BYTES_MAX: usize = 16 * 1024;

/// What is to be set; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// In which conversation.
    conversation: String,
    /// Whether it stands before all others in the list.
    pinned: Option<bool>,
    /// When it rings.
    notify: Option<Notify>,
    /// Until when it rings no more than that, milliseconds since 1970; 0 for good.
    notify_until: Option<u64>,
    /// What one began to write; at most 16 KiB, an empty one takes it away.
    draft: Option<String>,
    /// Whether it is off the list until something is said.
    hidden: Option<bool>,
    /// Whether it is marked as unread.
    marked_unread: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Clear {
    /// In which conversation.
    conversation: String,
    /// Up to and with which message; all of them where nothing is said.
    through: Option<u64>,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        whole(
            "settings",
            "What one sets for oneself in a conversation; all one's devices are told.",
            |im: Im, caller: Caller, input: Settings| async move { im.set_settings(caller, input).await },
        ),
        whole(
            "clear",
            "Takes messages away for oneself; others keep them.",
            |im: Im, caller: Caller, input: Clear| async move { im.clear(caller, input).await },
        ),
    ]
}

impl Im {
    async fn set_settings(&self, caller: Caller, input: Settings) -> Result<Entry, Wrong> {
        if input.draft.as_ref().is_some_and(|draft| draft.len() > DRAFT_BYTES_MAX) {
            return Err(Wrong::BadInput(format!("a draft has at most {DRAFT_BYTES_MAX} bytes")));
        }
        let conversation = self.conversation(&input.conversation).await?;
        let now = caller.now.wall.as_millis();
        let set = |state: &mut State| {
            let newest = state.head.newest;
            let member = state.member_mut(&caller.who.user)?;
            let before = member.clone();
            if let Some(pinned) = input.pinned
                && pinned != (member.pinned_at > 0)
            {
                member.pinned_at = if pinned { now } else { 0 };
            }
            member.notify = input.notify.unwrap_or(member.notify);
            member.notify_until = input.notify_until.unwrap_or(member.notify_until);
            member.marked_unread = input.marked_unread.unwrap_or(member.marked_unread);
            if let Some(draft) = input.draft {
                member.draft = Some(draft).filter(|draft| !draft.is_empty());
            }
            if let Some(hidden) = input.hidden {
                member.hidden = hidden;
                member.hidden_seq = newest;
            }
            Ok(*member != before)
        };
        self.set_own(&caller, &conversation, set).await
    }

    async fn clear(&self, caller: Caller, input: Clear) -> Result<Entry, Wrong> {
        let conversation = self.conversation(&input.conversation).await?;
        let clear = |state: &mut State| {
            let newest = state.head.newest;
            let through = input.through.unwrap_or(newest);
            if through > newest {
                return Err(Wrong::NoSuch("message"));
            }
            let member = state.member_mut(&caller.who.user)?;
            let more = through > member.cleared;
            if more {
                member.cleared = through;
                member.deleted.retain(|seq| *seq > through);
            }
            Ok(more)
        };
        self.set_own(&caller, &conversation, clear).await
    }

    /// Changes the caller's own membership, and tells their devices.
    async fn set_own(
        &self,
        caller: &Caller,
        conversation: &Arc<Conversation>,
        set: impl FnOnce(&mut State) -> Result<bool, Wrong> + Send,
    ) -> Result<Entry, Wrong> {
        let me = &caller.who.user;
        let written = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            let changed = set(state)?;
            let member = state.member_mut(me)?;
            if changed {
                member.changed_at = caller.now.wall.as_millis();
            }
            let row = changed.then(|| conversation.member_row(me, member));
            row.map(|row| self.keep(conversation, vec![row]))
        };
        if let Some(written) = written {
            written.await?;
            self.tell_entries(conversation, std::slice::from_ref(me)).await;
        }
        self.entry(conversation, me).await
    }
}
