//! The list of somebody's conversations: what a device asks for first, and again when it comes back.

use std::{cmp::Reverse, sync::Arc};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::service::Caller;

use crate::{
    conversation::{Head, Info, gone_prefix, info_key, member_prefix},
    denied::Wrong,
    entry::Entry,
    im::Im,
    load::parsed,
    member::Member,
    op::{OfConversation, Op, op},
    view::{Message, Overlay, overlay_key},
};

/// Conversations on one page.
const PAGE_MAX: usize = 1000;
/// Conversations on one page where nothing is said.
const PAGE: usize = 100;
/// Rows read at once.
const ROWS: usize = 4096;
/// How far `sync` goes back behind the moment of its answer: what was under way then is given again.
const SYNC_SLACK_MS: u64 = 10_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Go on behind an earlier answer: its `next`.
    after: Option<String>,
    /// Conversations at most, up to 1000; 100 where nothing is said.
    limit: Option<usize>,
    /// Only what changed since an earlier answer: its `sync`.
    since: Option<String>,
}

/// Somebody's conversations.
#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    /// Pinned ones first, then those where something was said last.
    conversations: Vec<Entry>,
    /// For `after` of the next question; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// Unread messages in all conversations that may ring.
    unread: u64,
    /// Those that mention one, in all.
    mentions: u64,
    /// With `since`: conversations that one is no longer in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone: Vec<Arc<str>>,
    /// For `since` of a later question.
    sync: String,
}

/// Where a conversation stands in the list: pinned ones first, newest first, then by id.
type Rank = (Reverse<u64>, Reverse<u64>, Arc<str>);

struct Row {
    id: Arc<str>,
    info: Info,
    member: Member,
    head: Head,
}

impl Row {
    fn rank(&self) -> Rank {
        (Reverse(self.member.pinned_at), Reverse(self.head.active_at), self.id.clone())
    }
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "list",
            "One's conversations with last message and unread count, newest first.",
            |im: Im, caller: Caller, input: List| async move { im.list(caller, input).await },
        ),
        op(
            "conversation",
            "One conversation with all there is to know.",
            |im: Im, caller: Caller, input: OfConversation| async move {
                let conversation = im.conversation(&input.conversation).await?;
                im.entry(&conversation, &caller.who.user).await
            },
        ),
    ]
}

impl Im {
    async fn list(&self, caller: Caller, input: List) -> Result<Listed, Wrong> {
        let me = &caller.who.user;
        let limit = input.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let after = input.after.as_deref().map(rank_of).transpose()?;
        let since = input.since.as_deref().map(|text| {
            text.parse::<u64>()
                .map_err(|_| Wrong::BadInput("'since' is the 'sync' of an earlier answer".to_owned()))
        });
        let since = since.transpose()?;
        let now = self.now().wall.as_millis();
        let rows = self.memberships(me).await?;
        let (mut unread, mut mentions) = (0, 0);
        let mut ranked: Vec<(Rank, Row)> = Vec::with_capacity(rows.len());
        for row in rows {
            let from_join = row.info.starts_at_join();
            let mentioned = row.member.mentions(me, &row.info.mentions_all, from_join);
            mentions += mentioned;
            unread += if row.member.rings(false, now) {
                row.member.unread(me, row.head.newest, &row.info.recalled, from_join)
            } else {
                mentioned
            };
            let changed = row.member.changed_at.max(row.info.changed_at);
            let changed = changed.max(row.head.active_at).max(row.head.changed_at);
            let rank = row.rank();
            if since.is_none_or(|since| changed >= since) && after.as_ref().is_none_or(|after| rank > *after)
            {
                ranked.push((rank, row));
            }
        }
        let more = ranked.len() > limit;
        if more {
            ranked.select_nth_unstable_by(limit, |a, b| a.0.cmp(&b.0));
            ranked.truncate(limit);
        }
        ranked.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let next = ranked
            .last()
            .filter(|_| more)
            .map(|((pinned, active, id), _)| format!("{}.{}.{id}", pinned.0, active.0));
        let conversations = self.shown(me, ranked, now).await?;
        let gone = match since {
            Some(since) => self.gone(me, since).await?,
            None => Vec::new(),
        };
        let sync = now.saturating_sub(SYNC_SLACK_MS).to_string();
        Ok(Listed { conversations, next, unread, mentions, gone, sync })
    }

    /// The conversations that somebody is no longer in since a time, ms.
    async fn gone(&self, me: &str, since: u64) -> Result<Vec<Arc<str>>, Wrong> {
        let prefix = gone_prefix(me);
        let rows = self.inner.ledger.table().scan(prefix.as_bytes(), None, ROWS).await?;
        let mut gone = Vec::new();
        for (key, value) in rows {
            let at: u64 = parsed(&key, &value)?;
            if at >= since
                && let Some(id) = key.get(prefix.len()..).and_then(|id| std::str::from_utf8(id).ok())
            {
                gone.push(id.into());
            }
        }
        Ok(gone)
    }

    /// Rows as entries, each with its last message.
    async fn shown(&self, me: &str, ranked: Vec<(Rank, Row)>, now: u64) -> Result<Vec<Entry>, Wrong> {
        let visible = |row: &Row| {
            let seen = |last: &Arc<yizhan_hub::Record>| {
                row.member.sees(last.seq, row.info.starts_at_join(), now)
                    && last.message.expires_at.is_none_or(|at| at.as_millis() > now)
            };
            row.head.last.clone().filter(seen)
        };
        let lasts: Vec<_> = ranked.iter().map(|(_, row)| visible(row)).collect();
        let keys: Vec<Bytes> = ranked
            .iter()
            .zip(&lasts)
            .filter_map(|((_, row), last)| Some(overlay_key(&row.id, last.as_ref()?.seq)))
            .collect();
        let mut overlays = self.inner.ledger.table().get_many(keys.clone()).await?.into_iter().zip(keys);
        let mut entries = Vec::with_capacity(ranked.len());
        for ((_, row), last) in ranked.iter().zip(lasts) {
            let mut entry = Entry::of(&row.id, &row.info, &row.member, &row.head, me, now);
            if let Some(last) = last {
                let overlay = match overlays.next() {
                    Some((Some(value), key)) => Some(parsed::<Overlay>(&key, &value)?),
                    _ => None,
                };
                entry.last = Message::last(&row.id, &last, overlay.as_ref(), me);
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// All of somebody's memberships: from memory where the conversation is there, else from their rows.
    async fn memberships(&self, me: &str) -> Result<Vec<Row>, Wrong> {
        let table = self.inner.ledger.table();
        let prefix = member_prefix(me);
        let (mut rows, mut cold) = (Vec::new(), Vec::<(Arc<str>, Member)>::new());
        let mut after = None::<Bytes>;
        loop {
            let page = table.scan(prefix.as_bytes(), after.as_deref(), ROWS).await?;
            let count = page.len();
            after = page.last().map(|(key, _)| key.clone());
            for (key, value) in page {
                let Some(id) = key.get(prefix.len()..).and_then(|id| std::str::from_utf8(id).ok()) else {
                    continue;
                };
                match self.inner.conversations.find(id) {
                    Some(found) => {
                        let state = found.lock();
                        if let Ok(member) = state.member(me) {
                            let (info, head) = (state.info.clone(), state.head.clone());
                            rows.push(Row { id: found.id.clone(), info, member: member.clone(), head });
                        }
                    }
                    None => cold.push((id.into(), parsed(&key, &value)?)),
                }
            }
            if count < ROWS {
                break;
            }
        }
        let keys: Vec<Bytes> = cold.iter().map(|(id, _)| info_key(id)).collect();
        let infos = table.get_many(keys.clone()).await?;
        let mut found = Vec::with_capacity(cold.len());
        for (((id, member), key), info) in cold.into_iter().zip(keys).zip(infos) {
            let Some(info) = info else { continue };
            let info: Info = parsed(&key, &info)?;
            if info.dismissed_at == 0 {
                found.push((id, member, info));
            }
        }
        let of: Vec<(Arc<str>, u64)> =
            found.iter().map(|(id, _, info)| (id.clone(), info.created_at)).collect();
        let heads = self.heads(&of).await?;
        rows.extend(found.into_iter().zip(heads).map(|((id, member, info), head)| Row {
            id,
            info,
            member,
            head,
        }));
        Ok(rows)
    }
}

fn rank_of(text: &str) -> Result<Rank, Wrong> {
    let bad = || Wrong::BadInput("'after' is the 'next' of an earlier answer".to_owned());
    let mut parts = text.splitn(3, '.');
    let mut number = || parts.next().and_then(|n| n.parse().ok()).map(Reverse).ok_or_else(bad);
    let (pinned, active) = (number()?, number()?);
    Ok((pinned, active, parts.next().ok_or_else(bad)?.into()))
}
