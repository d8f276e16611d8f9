//! What was said elsewhere is passed on: a copy of it, with who had said it and when.
//!
//! A message that was forwarded itself is passed on as what it was first. Files stay where they are: the copy has
//! their ids (`origin.content.file`), and whoever sees the copy sees them.

use yizhan_hub::service::Caller;

use crate::{
    content::{Content, Forwarded, Origin, What},
    denied::Wrong,
    editing::{edited, first},
    im::Im,
};

/// How deep messages that hold several others may lie in each other.
const DEPTH_MAX: usize = 3;

impl Im {
    /// Puts the originals into a message that forwards them.
    pub(crate) async fn complete_forward(&self, caller: &Caller, content: &mut Content) -> Result<(), Wrong> {
        match content.kind {
            What::Forward => {
                let (Some(conversation), Some(seq)) = (&content.conversation, content.seq) else {
                    return Ok(());
                };
                content.origin = Some(Box::new(self.original(caller, conversation, seq).await?));
            }
            What::Merged => {
                for Forwarded { conversation, seq, origin } in &mut content.items {
                    *origin = Some(Box::new(self.original(caller, conversation, *seq).await?));
                }
            }
            _ => return Ok(()),
        }
        if depth(content) > DEPTH_MAX {
            return Err(Wrong::BadContent(format!(
                "merged messages lie in each other at most {DEPTH_MAX} times"
            )));
        }
        Ok(())
    }

    /// A message that the caller sees, as it is passed on.
    async fn original(&self, caller: &Caller, conversation: &str, seq: u64) -> Result<Origin, Wrong> {
        let conversation = self.conversation(conversation).await?;
        let record = self.seen(&conversation, &caller.who.user, seq).await?;
        let content = {
            let state = self.overlay(&conversation, seq).await?;
            match edited(state.overlays.get(seq))? {
                Some(content) => content.clone(),
                None => first(&record)?,
            }
        };
        if content.burn_s.is_some() {
            return Err(Wrong::NotAllowed("a message that burns after reading is not forwarded"));
        }
        if content.kind == What::Forward
            && let Some(origin) = content.origin
        {
            return Ok(*origin);
        }
        Ok(Origin {
            from: record.message.from.user.to_string(),
            at: record.at.as_millis(),
            // What only meant something where it was said stays there.
            content: Content {
                id: None,
                reply: None,
                thread: None,
                mentions: Vec::new(),
                mention_all: false,
                mention_here: false,
                priority: crate::content::Priority::Normal,
                expires_s: None,
                ..content
            },
        })
    }
}

/// How deep messages of several lie in this one.
fn depth(content: &Content) -> usize {
    let inside = content.items.iter().filter_map(|item| item.origin.as_deref());
    let deepest =
        inside.chain(content.origin.as_deref()).map(|origin| depth(&origin.content)).max().unwrap_or(0);
    deepest + usize::from(content.kind == What::Merged)
}
