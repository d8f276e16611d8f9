//! Direct conversations: of two people, or of one with oneself. There is one for each pair, whoever opens it.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use yizhan_hub::service::Caller;

use crate::{
    conversation::{Conversation, Head, Info},
    denied::Wrong,
    entry::Entry,
    im::Im,
    member::Member,
    names::{Kind, direct_id},
    op::{OfUser, Op, op},
};

pub(crate) fn operations() -> Vec<Op> {
    vec![op(
        "open",
        "The direct conversation with a person; made where it is not there.",
        |im: Im, caller: Caller, input: OfUser| async move { im.open_direct(caller, input).await },
    )]
}

impl Im {
    async fn open_direct(&self, caller: Caller, input: OfUser) -> Result<Entry, Wrong> {
        let conversation = self.direct(&caller.who.user, &input.user).await?;
        self.entry(&conversation, &caller.who.user).await
    }

    /// Whether somebody may begin a conversation with another one. Gives whether they have blocked that one.
    async fn may_begin(&self, one: &Arc<str>, other: &Arc<str>) -> Result<bool, Wrong> {
        if one == other {
            return Ok(false);
        }
        let them = self.somebody(other).await?;
        {
            let person = them.lock();
            if !person.lets(person.messages_from, one) {
                return Err(Wrong::Blocked);
            }
        }
        Ok(self.person(one).await?.lock().blocked.contains(other))
    }

    /// The direct conversation of two people; made where it is not there.
    pub(crate) async fn direct(&self, one: &Arc<str>, other: &str) -> Result<Arc<Conversation>, Wrong> {
        let id = direct_id(one, other);
        match self.conversation(&id).await {
            Err(Wrong::NoSuch(_)) => {}
            Ok(found) => return self.whole_again(found, one, other).await,
            failed => return failed,
        }
        let other: Arc<str> = other.into();
        let blocks = [self.may_begin(one, &other).await?, false];
        let at = self.now().wall.as_millis();
        let mut info = Info::new(Kind::Direct, "".into(), at);
        let new = Member { joined_at: at, changed_at: at, ..Member::default() };
        info.pair = vec![one.clone(), other.clone()];
        let members: FxHashMap<Arc<str>, Member> = [one.clone(), other]
            .into_iter()
            .zip(blocks)
            .map(|(user, blocks)| (user, Member { blocks, ..new.clone() }))
            .collect();
        info.members = members.len() as u64;
        let head = Head { active_at: at, ..Head::default() };
        // Where another one was quicker, that one is taken, and its rows are in line already.
        let made = Arc::new(Conversation::new(id, info, members, head));
        let conversation = self.inner.conversations.insert(made.clone());
        let written = {
            let state = conversation.lock();
            let mut rows = Vec::new();
            if Arc::ptr_eq(&made, &conversation) {
                rows.push(conversation.row(&state));
                for (user, member) in &state.members {
                    rows.extend(conversation.rows_of_new(user, member));
                }
            }
            self.inner.ledger.commit(rows)
        };
        written.await?;
        Ok(conversation)
    }

    /// A direct conversation with both of its people in it: one who was erased and came back is in it anew, and sees
    /// what is said from now on.
    async fn whole_again(
        &self,
        conversation: Arc<Conversation>,
        one: &Arc<str>,
        other: &str,
    ) -> Result<Arc<Conversation>, Wrong> {
        let is_in = |user: &str| conversation.lock().members.contains_key(user);
        let missing: Vec<Arc<str>> =
            [one.clone(), other.into()].into_iter().filter(|user| !is_in(user)).collect();
        for user in missing {
            if user != *one {
                self.may_begin(one, &user).await?;
            }
            let written = {
                let mut state = conversation.lock();
                let at = self.now().wall.as_millis();
                let newest = state.head.newest;
                let new = Member {
                    joined_at: at,
                    changed_at: at,
                    read: newest,
                    cleared: newest,
                    ..Member::default()
                };
                let rows = conversation.rows_of_new(&user, &new);
                state.members.insert(user, new);
                state.info.members = state.members.len() as u64;
                let row = conversation.row(&state);
                self.inner.ledger.commit(rows.into_iter().chain([row]))
            };
            written.await?;
        }
        Ok(conversation)
    }
}
