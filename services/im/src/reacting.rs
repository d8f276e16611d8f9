//! What people do with messages without words: they react, and pin what all should find.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::service::Caller;

use crate::{
    changing::{Change, Untold},
    conversation::{Conversation, State},
    denied::Wrong,
    editing::edited,
    im::Im,
    member::Role,
    names::Kind,
    op::{Done, OfConversation, Op, op},
    view::{Mark, Message, Overlay},
};

/// Different reactions to one message.
const KINDS_MAX: usize = 20;
/// People who react alike to one message.
const USERS_MAX: usize = 10_000;
/// Bytes of a reaction.
const EMOJI_BYTES_MAX: usize = 32;
/// Pinned messages of a conversation.
const PINS_MAX: usize = 100;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct React {
    /// In which conversation.
    conversation: String,
    /// To which message.
    seq: u64,
    /// How: an emoji, or any text of at most 32 bytes.
    emoji: String,
    /// Not any more.
    #[serde(default)]
    off: bool,
}

/// How many react alike now.
#[derive(Debug, Serialize, JsonSchema)]
struct Reacted {
    /// How many.
    count: usize,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pin {
    /// In which conversation.
    conversation: String,
    /// Which message.
    seq: u64,
    /// Not any more.
    #[serde(default)]
    off: bool,
}

/// Pinned messages.
#[derive(Debug, Serialize, JsonSchema)]
struct Pins {
    /// Those that one sees, the one that was pinned last comes first.
    messages: Vec<Message>,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "react",
            "Reacts to a message, or takes that back.",
            |im: Im, caller: Caller, input: React| async move { im.react(caller, input).await },
        ),
        op(
            "pin",
            "Pins a message for all, or unpins it; in groups only the owner and admins.",
            |im: Im, caller: Caller, input: Pin| async move { im.pin(caller, input).await },
        ),
        op(
            "pins",
            "The pinned messages of a conversation.",
            |im: Im, caller: Caller, input: OfConversation| async move { im.pins(caller, input).await },
        ),
    ]
}

impl Im {
    async fn react(&self, caller: Caller, input: React) -> Result<Reacted, Wrong> {
        let React { conversation, seq, emoji, off } = input;
        let bad =
            emoji.trim().is_empty() || emoji.len() > EMOJI_BYTES_MAX || emoji.contains(char::is_control);
        if bad {
            return Err(Wrong::BadInput(format!(
                "a reaction has 1 to {EMOJI_BYTES_MAX} bytes, none of them control characters"
            )));
        }
        let me = &caller.who.user;
        let conversation = self.conversation(&conversation).await?;
        self.seen(&conversation, me, seq).await?;
        let (count, written) = {
            let mut state = self.overlay(&conversation, seq).await?;
            self.may_react(&conversation, &state, me)?;
            let overlay = self.overlay_now(&conversation, &mut state, seq)?;
            edited(Some(overlay))?;
            let changed = if off { unreact(overlay, me, &emoji) } else { react(overlay, me, &emoji)? };
            let count =
                overlay.reactions.iter().find(|(e, _)| *e == emoji).map_or(0, |(_, users)| users.len());
            let written = changed.then(|| {
                let change = Change::React { emoji, user: me.clone() };
                let untold = Untold::new(&conversation, seq, change, &caller.sender());
                self.change(&conversation, &mut state, untold, Vec::new())
            });
            (count, written)
        };
        if let Some(written) = written {
            written.await?;
        }
        Ok(Reacted { count })
    }

    /// Where all are muted, or only few write, all may react; who is muted, or blocked, may not.
    fn may_react(&self, conversation: &Conversation, state: &State, me: &str) -> Result<(), Wrong> {
        let member = state.member(me)?;
        if member.muted_until > self.now().wall.as_millis() {
            let until = yizhan_talk::Timestamp::from_millis(member.muted_until);
            return Err(Wrong::Muted((member.muted_until != u64::MAX).then_some(until)));
        }
        let peer = state.info.peer_of(me).and_then(|peer| state.members.get(peer));
        if conversation.kind == Kind::Direct && (member.blocks || peer.is_some_and(|peer| peer.blocks)) {
            return Err(Wrong::Blocked);
        }
        Ok(())
    }

    async fn pin(&self, caller: Caller, input: Pin) -> Result<Done, Wrong> {
        let Pin { conversation, seq, off } = input;
        let me = &caller.who.user;
        let conversation = self.conversation(&conversation).await?;
        self.seen(&conversation, me, seq).await?;
        let written = {
            let mut state = self.overlay(&conversation, seq).await?;
            let leads = state.member(me)?.role >= Role::Admin;
            if !leads && conversation.kind != Kind::Direct {
                return Err(Wrong::NotAllowed("only the owner and admins pin messages"));
            }
            let full = state.info.pins.len() >= PINS_MAX;
            let overlay = self.overlay_now(&conversation, &mut state, seq)?;
            edited(Some(overlay))?;
            if overlay.pin.is_some() != off {
                return Ok(Done {});
            }
            if full && !off {
                return Err(Wrong::TooMany { what: "pinned messages", max: PINS_MAX });
            }
            overlay.pin = (!off).then(|| Mark { by: me.clone(), at: caller.now.wall.as_millis() });
            state.info.pins.retain(|pinned| *pinned != seq);
            if !off {
                state.info.pins.push(seq);
            }
            state.info.version += 1;
            let row = conversation.row(&state);
            let untold = Untold::new(&conversation, seq, Change::Pin, &caller.sender());
            self.change(&conversation, &mut state, untold, vec![row])
        };
        written.await?;
        Ok(Done {})
    }

    async fn pins(&self, caller: Caller, input: OfConversation) -> Result<Pins, Wrong> {
        let me = &caller.who.user;
        let conversation = self.conversation(&input.conversation).await?;
        let pins = {
            let state = conversation.lock();
            state.member(me)?;
            state.info.pins.clone()
        };
        Ok(Pins { messages: self.messages(&conversation, me, pins.into_iter().rev()).await? })
    }
}

/// Somebody reacts; gives whether that is new.
fn react(overlay: &mut Overlay, me: &Arc<str>, emoji: &str) -> Result<bool, Wrong> {
    let Some((_, users)) = overlay.reactions.iter_mut().find(|(e, _)| e == emoji) else {
        if overlay.reactions.len() >= KINDS_MAX {
            return Err(Wrong::TooMany { what: "different reactions to one message", max: KINDS_MAX });
        }
        overlay.reactions.push((emoji.to_owned(), vec![me.clone()]));
        return Ok(true);
    };
    if users.contains(me) {
        return Ok(false);
    }
    if users.len() >= USERS_MAX {
        return Err(Wrong::TooMany { what: "people who react alike", max: USERS_MAX });
    }
    users.push(me.clone());
    Ok(true)
}

/// Somebody does not react so any more; gives whether they did.
fn unreact(overlay: &mut Overlay, me: &Arc<str>, emoji: &str) -> bool {
    let Some(at) = overlay.reactions.iter().position(|(e, _)| e == emoji) else { return false };
    let users = &mut overlay.reactions[at].1;
    let before = users.len();
    users.retain(|user| user != me);
    let changed = users.len() != before;
    if users.is_empty() {
        overlay.reactions.remove(at);
    }
    changed
}
