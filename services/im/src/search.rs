//! Search: the index finds, and only what somebody sees is shown.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::{Refused, StoreError, service::Caller};

use crate::{
    content::What,
    conversation::{Info, info_key, member_prefix},
    denied::Wrong,
    im::Im,
    load::parsed,
    member::Member,
    op::{Done, Nothing, admin_op},
    op::{Op, op},
    seams::{NoSearch, SearchFound, SearchQuery},
    view::Message,
};

/// Bytes of what is looked for.
const TEXT_BYTES_MAX: usize = 1024;
/// Hits on one page where nothing is said.
const PAGE: usize = 20;
/// Hits on one page at most.
const PAGE_MAX: usize = 100;
/// Conversations in which is looked; those that changed last, where one is in more.
const CONVERSATIONS_MAX: usize = 10_000;
/// Rows read at once.
const ROWS: usize = 4096;
/// Pages of hits, none of which is seen, that are passed over for one answer.
const PAGES_MAX: usize = 5;

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Order {
    /// The newest message.
    #[default]
    Newest,
    /// The one that fits best.
    Best,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// Words, all of which are to be there; the last one may be a beginning. At most 1024 bytes. Empty for all that the
    /// other fields let through.
    #[serde(default)]
    text: String,
    /// Only in this conversation.
    conversation: Option<String>,
    /// Only of this sender.
    from: Option<String>,
    /// Only of these kinds; all where it is empty.
    #[serde(default)]
    kinds: Vec<What>,
    /// Not before this time, milliseconds since 1970.
    since: Option<u64>,
    /// Before this time, milliseconds since 1970.
    until: Option<u64>,
    /// Go on behind an earlier answer: its `next`.
    before: Option<String>,
    /// Hits at most, up to 100; 20 where nothing is said.
    limit: Option<usize>,
    /// What comes first.
    #[serde(default)]
    order: Order,
}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
struct Hits {
    /// The hits on this page; some may have been left out because one does not see them any more.
    hits: Vec<Hit>,
    /// How many there are in all, counted up to 1000.
    total: u64,
    /// For `before` of the next question; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A message that was found.
#[derive(Debug, Serialize, JsonSchema)]
struct Hit {
    /// The message.
    message: Message,
    /// A piece of its words.
    snippet: String,
    /// What of the piece was looked for: from and to, in UTF-16 units.
    marks: Vec<[usize; 2]>,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        admin_op(
            "admin/index",
            "How the index of messages stands, and how far it is being built anew.",
            |im: Im, _: Caller, _: Nothing| async move { Ok(im.inner.rebuild.lock().clone()) },
        ),
        admin_op(
            "admin/index_rebuild",
            "Builds the index of messages anew; until that is done, less is found.",
            |im: Im, _: Caller, _: Nothing| async move { im.begin_rebuild() },
        ),
        op(
            "search",
            "Looks for messages in all conversations that one is in.",
            |im: Im, caller: Caller, input: Search| async move { im.search(caller, input).await },
        ),
    ]
}

impl Im {
    async fn search(&self, caller: Caller, input: Search) -> Result<Hits, Wrong> {
        let Some(search) = self.inner.seams.search.clone() else {
            return Err(Wrong::NotAllowed("this server has no search"));
        };
        if input.text.len() > TEXT_BYTES_MAX {
            return Err(Wrong::BadInput(format!(
                "'text' has {} bytes, at most {TEXT_BYTES_MAX}",
                input.text.len()
            )));
        }
        let me = &caller.who.user;
        let conversations = match &input.conversation {
            Some(id) => {
                let conversation = self.conversation(id).await?;
                let state = conversation.lock();
                let from = state.member(me)?.hidden_through(state.info.starts_at_join());
                vec![(conversation.id.clone(), from)]
            }
            None => self.searched(me).await?,
        };
        let mut query = SearchQuery {
            text: input.text,
            conversations,
            sender: input.from,
            kinds: input.kinds.iter().map(|kind| kind.name().to_owned()).collect(),
            since: input.since,
            until: input.until,
            before: input.before,
            limit: input.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX),
            best: input.order == Order::Best,
        };
        for _ in 1..PAGES_MAX {
            let found = self.found(&*search, &query).await?;
            let (total, next) = (found.total, found.next.clone());
            let hits = self.hits(me, found).await?;
            if !hits.is_empty() || next.is_none() {
                return Ok(Hits { hits, total, next });
            }
            query.before = next;
        }
        let found = self.found(&*search, &query).await?;
        let (total, next) = (found.total, found.next.clone());
        Ok(Hits { hits: self.hits(me, found).await?, total, next })
    }

    async fn found(
        &self,
        search: &dyn crate::seams::Search,
        query: &SearchQuery,
    ) -> Result<SearchFound, Wrong> {
        let failed = |no: NoSearch| match no {
            NoSearch::Bad(reason) => Wrong::BadInput(reason),
            NoSearch::Busy => Wrong::TooFast(std::time::Duration::from_secs(1)),
            NoSearch::Failed(reason) => Wrong::Refused(Refused::Store(StoreError::Failed(reason))),
        };
        search.search(query.clone()).await.map_err(failed)
    }

    /// The conversations in which somebody looks, each with the number after which they see messages.
    async fn searched(&self, me: &str) -> Result<Vec<(Arc<str>, u64)>, Wrong> {
        let table = self.inner.ledger.table();
        let prefix = member_prefix(me);
        let (mut places, mut after) = (Vec::<(Arc<str>, Member)>::new(), None::<Bytes>);
        loop {
            let rows = table.scan(prefix.as_bytes(), after.as_deref(), ROWS).await?;
            for (key, value) in &rows {
                if let Some(id) = key.get(prefix.len()..).and_then(|id| std::str::from_utf8(id).ok()) {
                    places.push((id.into(), parsed(key, value)?));
                }
            }
            match rows.last() {
                Some((last, _)) if rows.len() == ROWS => after = Some(last.clone()),
                _ => break,
            }
        }
        if places.len() > CONVERSATIONS_MAX {
            places.sort_unstable_by_key(|(_, member)| std::cmp::Reverse(member.changed_at));
            places.truncate(CONVERSATIONS_MAX);
        }
        let keys: Vec<Bytes> = places.iter().map(|(id, _)| info_key(id)).collect();
        let infos = table.get_many(keys.clone()).await?;
        let mut searched = Vec::with_capacity(places.len());
        for (((id, member), key), info) in places.into_iter().zip(keys).zip(infos) {
            // What is in memory is newer than the rows.
            if let Some(found) = self.inner.conversations.find(&id) {
                let state = found.lock();
                if let Ok(member) = state.member(me) {
                    searched.push((id, member.hidden_through(state.info.starts_at_join())));
                }
            } else if let Some(info) = info {
                let info: Info = parsed(&key, &info)?;
                if info.dismissed_at == 0 {
                    let from = member.hidden_through(info.starts_at_join());
                    searched.push((id, from));
                }
            }
        }
        Ok(searched)
    }

    /// Hits as messages that somebody sees, in the same order.
    async fn hits(&self, me: &str, found: SearchFound) -> Result<Vec<Hit>, Wrong> {
        let mut places = BTreeMap::<Arc<str>, Vec<u64>>::new();
        for hit in &found.hits {
            places.entry(hit.conversation.clone()).or_default().push(hit.seq);
        }
        let mut messages = BTreeMap::<(Arc<str>, u64), Message>::new();
        for (id, seqs) in places {
            let seen = match self.conversation(&id).await {
                Ok(conversation) => self.messages(&conversation, me, seqs.into_iter()).await,
                Err(wrong) => Err(wrong),
            };
            match seen {
                Ok(seen) => messages.extend(seen.into_iter().map(|m| ((m.conversation.clone(), m.seq), m))),
                Err(Wrong::Refused(refused)) => return Err(Wrong::Refused(refused)),
                // One was removed, or it was dismissed, meanwhile.
                Err(_) => {}
            }
        }
        let shown = |hit: crate::seams::SearchHit| {
            let message = messages.remove(&(hit.conversation, hit.seq))?;
            message.content.as_ref()?;
            let marks =
                hit.marks.iter().map(|(from, to)| [utf16(&hit.snippet, *from), utf16(&hit.snippet, *to)]);
            Some(Hit { message, marks: marks.collect(), snippet: hit.snippet })
        };
        Ok(found.hits.into_iter().filter_map(shown).collect())
    }
}

/// How many UTF-16 units lie before a byte of a text.
fn utf16(text: &str, byte: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < byte).map(|(_, c)| c.len_utf16()).sum()
}

/// How the index of messages stands.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Rebuild {
    /// Whether it is being built anew.
    pub(crate) running: bool,
    /// How much of all has been read, in the journal's own measure.
    pub(crate) done: u64,
    /// How much there is to read.
    pub(crate) all: u64,
    /// Why the last time failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Im {
    fn begin_rebuild(&self) -> Result<Done, Wrong> {
        {
            let mut rebuild = self.inner.rebuild.lock();
            if rebuild.running {
                return Err(Wrong::Conflict("the index is being built anew already"));
            }
            *rebuild = Rebuild { running: true, ..Rebuild::default() };
        }
        let im = self.clone();
        let running = async move {
            let progress = |done, all| {
                let mut rebuild = im.inner.rebuild.lock();
                (rebuild.done, rebuild.all) = (done, all);
            };
            let built = im.rebuild_index(progress).await;
            let mut rebuild = im.inner.rebuild.lock();
            rebuild.running = false;
            rebuild.error = built.err().map(|error| error.to_string());
            Ok(())
        };
        // It goes on though nobody waits.
        drop(self.inner.chores.run(running));
        Ok(Done {})
    }
}
