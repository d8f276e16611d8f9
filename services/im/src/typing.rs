//! Somebody types: told to those who are here, and never kept.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::{SessionId, service::Caller};
use yizhan_talk::Now;

use crate::{
    content::Content,
    conversation::CURSORS_MEMBERS_MAX,
    denied::Wrong,
    im::Im,
    op::{Done, Op, op},
};

/// How often a client is passed on.
const EVERY: Duration = Duration::from_secs(1);

/// Clients that typed, each with the moment when it was passed on last, and whether it still types.
#[derive(Default)]
pub(crate) struct Typists(Mutex<FxHashMap<SessionId, (Now, bool)>>);

impl Typists {
    /// Whether this is passed on: what comes too soon is not, but for the end of what was.
    fn passes(&self, now: Now, session: SessionId, on: bool) -> bool {
        let mut typists = self.0.lock();
        let passes = typists.get(&session).is_none_or(|(at, typed)| {
            now.steady.saturating_duration_since(at.steady) >= EVERY || (*typed && !on)
        });
        if passes {
            typists.insert(session, (now, on));
        }
        passes
    }

    /// A session is over.
    pub(crate) fn left(&self, session: SessionId) {
        self.0.lock().remove(&session);
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Types {
    /// In which conversation.
    conversation: String,
    /// Whether one does.
    on: bool,
}

#[derive(Serialize)]
struct Typing<'a> {
    event: &'static str,
    by: &'a str,
    user: &'a str,
    on: bool,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![op(
        "typing",
        "One types, or has stopped; passed on once a second, in conversations of up to 100 members.",
        |im: Im, caller: Caller, input: Types| async move { im.typing(caller, input).await },
    )]
}

impl Im {
    async fn typing(&self, caller: Caller, input: Types) -> Result<Done, Wrong> {
        let me = &caller.who.user;
        let conversation = self.conversation(&input.conversation).await?;
        let others: Vec<Arc<str>> = {
            let state = conversation.lock();
            self.may_speak(&state, me, &Content::text("…"), conversation.kind)?;
            let few = state.members.len() <= CURSORS_MEMBERS_MAX;
            if !few || !self.inner.typists.passes(caller.now, caller.session, input.on) {
                return Ok(Done {});
            }
            state.members.keys().filter(|user| *user != me).cloned().collect()
        };
        self.tell(
            others.iter(),
            &conversation.live,
            &Typing { event: "typing", by: me, user: me, on: input.on },
        );
        Ok(Done {})
    }
}
