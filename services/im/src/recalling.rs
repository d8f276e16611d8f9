//! A message is taken back: for everybody by its sender or an admin, or for oneself by anybody.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::{Record, message::Sender, service::Caller, store::emptied};

use crate::{
    changing::{Change, OfMessage, Untold},
    conversation::{Conversation, State},
    denied::Wrong,
    heard::{MENTIONS, THREAD, header},
    im::Im,
    ledger::Row,
    member::Role,
    names::{self, Kind},
    op::{Done, Op, op},
    view::{Mark, Overlay},
};

/// Messages that are deleted at once.
const DELETED_MAX: usize = 1000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ToDelete {
    /// In which conversation.
    conversation: String,
    /// Which messages; at most 1000.
    seqs: Vec<u64>,
}

/// One's own other devices hear that messages were deleted.
#[derive(Serialize)]
struct Deleted<'a> {
    event: &'static str,
    conversation: &'a str,
    seqs: &'a [u64],
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "recall",
            "Takes a message back, for everybody.",
            |im: Im, caller: Caller, input: OfMessage| async move { im.recall(caller, input).await },
        ),
        op(
            "delete",
            "Takes messages away, for oneself.",
            |im: Im, caller: Caller, input: ToDelete| async move { im.delete(caller, input).await },
        ),
    ]
}

impl Im {
    async fn recall(&self, caller: Caller, input: OfMessage) -> Result<Done, Wrong> {
        let me = &caller.who.user;
        let conversation = self.conversation(&input.conversation).await?;
        let record = self.seen(&conversation, me, input.seq).await?;
        let late = caller.now.wall.since(record.at) > self.config().recall_for;
        let may = |state: &State| {
            let leads = state.member(me)?.role >= Role::Admin && conversation.kind != Kind::Direct;
            match record.message.from.user == *me {
                _ if leads => Ok(()),
                true if late => Err(Wrong::TooLate("this message is too old to be recalled")),
                true => Ok(()),
                false => Err(Wrong::NotAllowed("only its sender and admins recall a message")),
            }
        };
        self.take_back(&conversation, &record, &caller.sender(), may).await?;
        Ok(Done {})
    }

    /// Takes a message back for everybody, where this still allows it. Done again, it changes nothing.
    pub(crate) async fn take_back(
        &self,
        conversation: &Arc<Conversation>,
        record: &Arc<Record>,
        by: &Sender,
        may: impl Fn(&State) -> Result<(), Wrong>,
    ) -> Result<(), Wrong> {
        let seq = record.seq;
        let at = self.now().wall.as_millis();
        let written = {
            let mut state = self.overlay(conversation, seq).await?;
            let overlay = self.overlay_now(conversation, &mut state, seq)?;
            if overlay.recall.is_some() || overlay.burnt {
                return Ok(());
            }
            may(&state)?;
            let recall = Some(Mark { by: by.user.clone(), at });
            let rows =
                self.wipe(conversation, &mut state, record, Overlay { recall, ..Overlay::default() })?;
            let untold = Untold::new(conversation, seq, Change::Recall, by);
            self.change(conversation, &mut state, untold, rows)
        };
        written.await
    }

    /// Nothing that was said by a message, or about it, stays; `gone` says why. Gives the rows that changed, its
    /// overlay's left out.
    pub(crate) fn wipe(
        &self,
        conversation: &Arc<Conversation>,
        state: &mut State,
        record: &Arc<Record>,
        gone: Overlay,
    ) -> Result<Vec<Row>, Wrong> {
        let seq = record.seq;
        let recalled = gone.recall.is_some();
        let overlay = self.overlay_now(conversation, state, seq)?;
        let of = header(record, THREAD).and_then(|root| root.parse().ok());
        *overlay = Overlay { thread: overlay.thread, of, ..gone };
        if let Some(last) = state.head.last.as_mut().filter(|last| last.seq == seq)
            && let Some(empty) = emptied(last)
        {
            *last = Arc::new(empty);
        }
        if recalled {
            state.info.recall(seq, &record.message.from.user);
        }
        state.info.mentions_all.retain(|(mentions, _)| *mentions != seq);
        state.info.pins.retain(|pinned| *pinned != seq);
        state.info.burning.retain(|burning| burning.seq != seq);
        state.info.version += 1;
        let mut rows = vec![conversation.row(state)];
        for name in header(record, MENTIONS).unwrap_or_default().lines() {
            if let Some((user, member)) = state.members.get_key_value(name)
                && member.mentions.binary_search(&seq).is_ok()
            {
                let user = user.clone();
                if let Some(member) = state.members.get_mut(&user)
                    && member.unmentioned(seq)
                {
                    rows.push(conversation.member_row(&user, member));
                }
            }
        }
        Ok(rows)
    }

    async fn delete(&self, caller: Caller, input: ToDelete) -> Result<Done, Wrong> {
        let ToDelete { conversation, seqs } = input;
        if seqs.len() > DELETED_MAX {
            return Err(Wrong::TooMany { what: "messages", max: DELETED_MAX });
        }
        let me = &caller.who.user;
        let conversation = self.conversation(&conversation).await?;
        let written = {
            let mut state = conversation.lock();
            state.member(me)?;
            if !seqs.iter().all(|seq| self.was_said(&conversation, &state, *seq)) {
                return Err(Wrong::NoSuch("message"));
            }
            let member = state.member_mut(me)?;
            if !member.deletes(&seqs) {
                return Ok(Done {});
            }
            member.changed_at = caller.now.wall.as_millis();
            let row = conversation.member_row(me, member);
            let written = self.inner.ledger.commit([row]);
            conversation.wrote(self.inner.ledger.put([]));
            written
        };
        written.await?;
        let event = Deleted { event: "delete", conversation: &conversation.id, seqs: &seqs };
        self.tell(std::iter::once(me), &names::stream(me), &event);
        Ok(Done {})
    }
}
