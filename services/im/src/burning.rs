//! Messages that burn after reading: some seconds after it was read, nobody sees one any more.
//!
//! In a group each member loses it for himself, that long after reading it. Once all have read it, it goes for all,
//! the sender too: what it said is erased. The times are rows, so they pass while the server is down.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use bytes::Bytes;
use yizhan_hub::Record;

use crate::{
    changing::{Change, Untold},
    conversation::{Burning, Conversation, State},
    denied::Wrong,
    heard::{BURN, header},
    im::Im,
    ledger::Row,
    names::Kind,
    seams::server,
    view::Overlay,
};

/// What the keys of messages begin with whose end has a time.
const DUE: &str = "y/";
/// Messages of a conversation that wait to be read by all; beyond it the oldest burn unread.
const BURNING_MAX: usize = 1000;
/// Rows read at once.
const ROWS: usize = 256;

impl Im {
    /// The row of a message that expires: then it is erased, not only hidden.
    pub(crate) fn expires(&self, conversation: &Conversation, record: &Record) -> Option<Row> {
        let at = record.message.expires_at?;
        Some(due_row(at.as_millis(), &conversation.id, record.seq))
    }

    /// A message is safe. Where it is to burn, it waits to be read. Applied again, it changes nothing. Gives rows that
    /// changed, the conversation's own left out.
    pub(crate) fn begin_to_burn(
        &self,
        conversation: &Arc<Conversation>,
        state: &mut State,
        record: &Record,
    ) -> Option<Vec<Row>> {
        let after_s = header(record, BURN)?.parse().ok()?;
        let (seq, by) = (record.seq, record.message.from.user.clone());
        if seq <= state.info.burning_through || state.info.is_recalled(seq) {
            return None;
        }
        state.info.burning_through = seq;
        state.info.burning.push(Burning { seq, by, after_s });
        // Who is alone with a message has read it.
        let mut rows = self.read_by_all(conversation, state, seq);
        if state.info.burning.len() > BURNING_MAX {
            let oldest = state.info.burning.remove(0);
            rows.push(due_row(self.now().wall.as_millis(), &conversation.id, oldest.seq));
        }
        Some(rows)
    }

    /// Somebody has read on from `before`: what they have read now begins to burn. Gives the rows that changed, the
    /// reader's own left out.
    pub(crate) fn burn_read(
        &self,
        conversation: &Arc<Conversation>,
        state: &mut State,
        me: &Arc<str>,
        before: u64,
    ) -> Vec<Row> {
        let Some(member) = state.members.get_mut(me) else { return Vec::new() };
        let (now, read) = (self.now().wall.as_millis(), member.read);
        let mut any = false;
        for burning in &state.info.burning {
            if burning.seq > before && burning.seq <= read && burning.by != *me {
                any = true;
                if conversation.kind != Kind::Direct {
                    member.burns(burning.seq, due(now, burning.after_s), now);
                }
            }
        }
        if !any {
            return Vec::new();
        }
        let mut rows = self.read_by_all(conversation, state, read);
        if !rows.is_empty() {
            rows.push(conversation.row(state));
        }
        rows
    }

    /// Sets the time of those up to `through` that all have read.
    fn read_by_all(&self, conversation: &Conversation, state: &mut State, through: u64) -> Vec<Row> {
        let now = self.now().wall.as_millis();
        let (info, members) = (&mut state.info, &state.members);
        let mut rows = Vec::new();
        info.burning.retain(|burning| {
            let has_read = |(user, member): (&Arc<str>, &crate::member::Member)| {
                *user == burning.by || member.read >= burning.seq || member.joined_seq >= burning.seq
            };
            let ends = burning.seq <= through && members.iter().all(has_read);
            if ends {
                rows.push(due_row(due(now, burning.after_s), &conversation.id, burning.seq));
            }
            !ends
        });
        rows
    }

    /// Burns what is due. Called about once a second.
    pub(crate) fn burn_due(&self) {
        if self.inner.burning.swap(true, SeqCst) {
            return;
        }
        let im = self.clone();
        // Nobody waits for it: errors are told by the log.
        drop(self.inner.chores.run(async move {
            if let Err(wrong) = im.burn_all_due().await {
                tracing::warn!(%wrong, "messages that were read could not be burnt: it is tried again");
            }
            im.inner.burning.store(false, SeqCst);
            Ok(())
        }));
    }

    async fn burn_all_due(&self) -> Result<(), Wrong> {
        let now = self.now().wall.as_millis();
        let mut after = None::<Bytes>;
        loop {
            let rows = self.inner.ledger.table().scan(DUE.as_bytes(), after.as_deref(), ROWS).await?;
            for (key, _) in &rows {
                let text = std::str::from_utf8(key).unwrap_or_default();
                let Some((due, id, seq)) = read_key(text) else { continue };
                if due > now {
                    return Ok(());
                }
                match self.burn(id, seq, key).await {
                    // It was dismissed, or its retention was over.
                    Err(Wrong::NoSuch(_)) => {
                        self.inner.ledger.put([(key.clone(), None)]);
                    }
                    other => other?,
                }
            }
            match rows.last() {
                Some((last, _)) if rows.len() == ROWS => after = Some(last.clone()),
                _ => return Ok(()),
            }
        }
    }

    async fn burn(&self, id: &str, seq: u64, key: &Bytes) -> Result<(), Wrong> {
        let conversation = self.conversation(id).await?;
        let record = self.kept_record(&conversation, seq).await?;
        let written = {
            let mut state = self.overlay(&conversation, seq).await?;
            let overlay = self.overlay_now(&conversation, &mut state, seq)?;
            if overlay.burnt || overlay.recall.is_some() {
                self.inner.ledger.put([(key.clone(), None)]);
                return Ok(());
            }
            let gone = Overlay { burnt: true, ..Overlay::default() };
            let mut rows = self.wipe(&conversation, &mut state, &record, gone)?;
            rows.push((key.clone(), None));
            let untold = Untold::new(&conversation, seq, Change::Burn, &server());
            self.change(&conversation, &mut state, untold, rows)
        };
        written.await
    }
}

fn due(now: u64, after_s: u32) -> u64 {
    now.saturating_add(u64::from(after_s) * 1000)
}

fn due_row(due: u64, id: &str, seq: u64) -> Row {
    (format!("{DUE}{due:016x}/{id}/{seq:016x}").into(), Some(Bytes::from_static(b"{}")))
}

fn read_key(key: &str) -> Option<(u64, &str, u64)> {
    let mut parts = key.strip_prefix(DUE)?.split('/');
    let due = u64::from_str_radix(parts.next()?, 16).ok()?;
    let id = parts.next()?;
    Some((due, id, u64::from_str_radix(parts.next()?, 16).ok()?))
}
