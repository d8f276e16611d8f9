//! One person's data: given out whole, or erased for good (GDPR, articles 15, 17 and 20).

use std::sync::Arc;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use yizhan_hub::{service::Caller, store::Range};

use crate::{
    conversation::{gone_prefix, member_prefix},
    denied::Wrong,
    im::Im,
    load::parsed,
    names::Kind,
    op::{OfUser, Op, admin_op},
    person::person_key,
    seams,
};

/// Messages looked at for one page of an export.
const PAGE: usize = 1000;
/// Conversations that an export names.
const CONVERSATIONS_MAX: usize = 100_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Export {
    /// Whose.
    user: String,
    /// Go on behind an earlier answer: its `next`.
    after: Option<String>,
}

/// A part of what is known of somebody.
#[derive(Debug, Serialize, JsonSchema)]
struct Exported {
    /// On the first page: the person's row.
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<Value>,
    /// On the first page: their memberships, by conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    memberships: Option<Value>,
    /// What they said.
    messages: Vec<crate::view::Message>,
    /// For `after` of the next question; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What was erased.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Erased {
    /// Messages whose content is gone.
    messages: u64,
    /// Conversations that they are no longer in.
    conversations: u64,
    /// Files that are gone.
    files: usize,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        admin_op(
            "admin/export",
            "All that is known of somebody, page by page.",
            |im: Im, caller: Caller, input: Export| async move { im.export(&caller, input).await },
        ),
        admin_op(
            "admin/erase",
            "Erases somebody: what they said, their files, friends, groups and profile.",
            |im: Im, caller: Caller, input: OfUser| async move { im.erase_person(&caller, &input.user).await },
        ),
    ]
}

impl Im {
    /// The conversations that somebody is in, and those that they were in.
    async fn places_of(&self, user: &str) -> Result<Vec<String>, Wrong> {
        let mut ids = Vec::new();
        for prefix in [member_prefix(user), gone_prefix(user)] {
            let rows = self.inner.ledger.table().scan(prefix.as_bytes(), None, CONVERSATIONS_MAX).await?;
            let id = |key: &Bytes| Some(std::str::from_utf8(key.get(prefix.len()..)?).ok()?.to_owned());
            ids.extend(rows.iter().filter_map(|(key, _)| id(key)));
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    async fn export(&self, caller: &Caller, input: Export) -> Result<Exported, Wrong> {
        let user = &input.user;
        let bad = || Wrong::BadInput("'after' is the 'next' of an earlier answer".to_owned());
        let (from_id, from_seq) = match &input.after {
            Some(after) => {
                let (id, seq) = after.split_once('.').ok_or_else(bad)?;
                (id.to_owned(), seq.parse::<u64>().map_err(|_| bad())?)
            }
            None => (String::new(), 0),
        };
        let ids = self.places_of(user).await?;
        let mut exported = Exported { person: None, memberships: None, messages: Vec::new(), next: None };
        if input.after.is_none() {
            let table = self.inner.ledger.table();
            let key = person_key(user);
            let row = table.get(&key).await?;
            if row.is_none() && ids.is_empty() {
                return Err(Wrong::NoSuch("user"));
            }
            exported.person = row.map(|(row, _)| parsed(&key, &row)).transpose()?;
            let prefix = member_prefix(user);
            let mut memberships = serde_json::Map::new();
            for (key, value) in table.scan(prefix.as_bytes(), None, CONVERSATIONS_MAX).await? {
                let id = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
                memberships.insert(id, parsed(&key, &value)?);
            }
            exported.memberships = Some(Value::Object(memberships));
        }
        let mut looked = 0;
        for id in ids.into_iter().filter(|id| *id >= from_id) {
            let Ok(conversation) = self.conversation(&id).await else { continue };
            let mut after = if id == from_id { from_seq } else { 0 };
            loop {
                let records = self.records(&conversation, Range::After(after), PAGE).await?;
                let Some(last) = records.last() else { break };
                after = last.seq;
                looked += records.len();
                for record in records.iter().filter(|r| *r.message.from.user == **user) {
                    let message = crate::view::Message::of(&conversation.id, record, None, &caller.who.user);
                    exported.messages.push(message);
                }
                if looked >= PAGE {
                    exported.next = Some(format!("{id}.{after}"));
                    return Ok(exported);
                }
            }
        }
        Ok(exported)
    }

    async fn erase_person(&self, caller: &Caller, user: &str) -> Result<Erased, Wrong> {
        let user: Arc<str> = user.into();
        let key = person_key(&user);
        let ids = self.places_of(&user).await?;
        let known = self.inner.ledger.table().get(&key).await?.is_some();
        if !known && ids.is_empty() {
            return Err(Wrong::NoSuch("user"));
        }
        tracing::info!(admin = &*caller.who.user, user = &*user, "an admin erases somebody");
        let mut erased = Erased::default();
        let as_them = self.caller_as(caller, user.clone());
        for id in ids {
            let Ok(conversation) = self.conversation(&id).await else { continue };
            erased.messages += self.erase_words(&conversation, &user).await?;
            self.erase_reactions(&as_them, &conversation).await?;
            self.go_away(&as_them, &conversation).await?;
            erased.conversations += 1;
        }
        erased.files = self.remove_files_of(&user).await?;
        let friends: Vec<Arc<str>> = self.person(&user).await?.lock().friends.keys().cloned().collect();
        for friend in friends {
            let body = Bytes::from(json!({"user": friend}).to_string());
            // One that is gone is no friend any more.
            drop(self.clone().run(as_them.clone(), "im/unfriend".into(), body).await);
        }
        let known = self.person(&user).await?;
        let written = {
            let mut person = known.lock();
            let handle = person.handle.take().map(|handle| (Bytes::from(format!("n/{handle}")), None));
            *person = crate::person::Person::default();
            self.inner.ledger.commit(handle.into_iter().chain([(key, None)]))
        };
        written.await?;
        for session in self.inner.online.of(&user) {
            let close =
                yizhan_talk::Close::new(4012, "what is known of you was erased", yizhan_talk::Again::Never);
            (self.inner.seams.kick)(session.session, close);
        }
        Ok(erased)
    }

    /// Takes back everything that somebody said in a conversation.
    async fn erase_words(
        &self,
        conversation: &Arc<crate::conversation::Conversation>,
        user: &str,
    ) -> Result<u64, Wrong> {
        let (mut after, mut erased) = (0, 0);
        loop {
            let records = self.records(conversation, Range::After(after), PAGE).await?;
            let Some(last) = records.last() else { return Ok(erased) };
            after = last.seq;
            for record in
                records.iter().filter(|r| *r.message.from.user == *user && !r.message.body.is_empty())
            {
                self.take_back(conversation, record, &seams::server(), |_| Ok(())).await?;
                erased += 1;
            }
        }
    }

    /// Takes back how somebody reacted in a conversation.
    async fn erase_reactions(
        &self,
        them: &Caller,
        conversation: &Arc<crate::conversation::Conversation>,
    ) -> Result<(), Wrong> {
        for (seq, overlay) in self.overlays(&conversation.id, 1, u64::MAX).await? {
            for (emoji, _) in overlay.reactions.iter().filter(|(_, users)| users.contains(&them.who.user)) {
                let data = json!({"conversation": conversation.id, "seq": seq, "emoji": emoji, "off": true});
                match self.clone().run(them.clone(), "im/react".into(), Bytes::from(data.to_string())).await {
                    Ok(_) | Err(Wrong::NoSuch(_) | Wrong::NotMember | Wrong::Gone) => {}
                    Err(wrong) => return Err(wrong),
                }
            }
        }
        Ok(())
    }

    /// Takes somebody out of a conversation; a group of theirs goes to another one.
    async fn go_away(
        &self,
        them: &Caller,
        conversation: &Arc<crate::conversation::Conversation>,
    ) -> Result<(), Wrong> {
        let user = &them.who.user;
        let heir = {
            let state = conversation.lock();
            if !state.members.contains_key(user) {
                return Ok(());
            }
            let others = state.members.iter().filter(|(name, _)| *name != user);
            // An admin before a member, and of those who was there first.
            let heir = others.max_by_key(|(_, member)| (member.role, std::cmp::Reverse(member.joined_at)));
            heir.map(|(name, _)| name.clone()).filter(|_| *state.info.owner == **user)
        };
        if conversation.kind == Kind::Direct {
            let written = {
                let mut state = conversation.lock();
                state.members.remove(user);
                state.info.members = state.members.len() as u64;
                let gone = conversation.rows_of_gone(user, them.now.wall.as_millis());
                let row = conversation.row(&state);
                self.inner.ledger.commit(gone.into_iter().chain([row]))
            };
            return Ok(written.await?);
        }
        if let Some(heir) = heir {
            let body = Bytes::from(json!({"conversation": conversation.id, "user": heir}).to_string());
            self.clone().run(them.clone(), "im/transfer".into(), body).await?;
        }
        let body = Bytes::from(json!({"conversation": conversation.id}).to_string());
        match self.clone().run(them.clone(), "im/leave".into(), body).await {
            Ok(_) | Err(Wrong::Gone | Wrong::NotMember) => Ok(()),
            Err(wrong) => Err(wrong),
        }
    }
}
