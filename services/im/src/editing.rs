//! What somebody said is put into other words. What it said before stays to be read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::{Record, service::Caller};

use crate::{
    changing::{Change, OfMessage, Untold},
    content::{Content, What},
    denied::Wrong,
    im::Im,
    ledger::json,
    op::{Op, op},
    send::body,
    view::{Edit, Edited, Overlay},
};

/// Earlier versions of a message that are kept, beside the first one.
const EDITS_MAX: usize = 20;
/// Bytes of them; the oldest go first.
const EDITS_BYTES_MAX: usize = 256 * 1024;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ToEdit {
    /// In which conversation.
    conversation: String,
    /// Which message.
    seq: u64,
    /// What it says from now on; its kind stays.
    content: Content,
}

/// A message was edited.
#[derive(Debug, Serialize, JsonSchema)]
struct HasEdited {
    /// When, and how often in all.
    edited: Edited,
}

/// What a message said, and says.
#[derive(Debug, Serialize, JsonSchema)]
struct Edits {
    /// The first version and the newest ones before now, oldest first; the last one is what it says now.
    edits: Vec<Version>,
}

/// What a message said at some time.
#[derive(Debug, Serialize, JsonSchema)]
struct Version {
    /// Since when, milliseconds since 1970.
    at: u64,
    /// What.
    content: Content,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "edit",
            "Changes what one's own message says.",
            |im: Im, caller: Caller, input: ToEdit| async move { im.edit(caller, input).await },
        ),
        op(
            "edits",
            "What a message said before it was edited.",
            |im: Im, caller: Caller, input: OfMessage| async move { im.edits(caller, input).await },
        ),
    ]
}

/// What a message said when it was sent.
///
/// # Errors
/// Nothing is left of it.
pub(crate) fn first(record: &Record) -> Result<Content, Wrong> {
    serde_json::from_slice(&record.message.body).map_err(|_| Wrong::NoSuch("message"))
}

impl Im {
    async fn edit(&self, caller: Caller, input: ToEdit) -> Result<HasEdited, Wrong> {
        let ToEdit { conversation, seq, content } = input;
        content.check()?;
        let me = &caller.who.user;
        let conversation = self.conversation(&conversation).await?;
        let record = self.seen(&conversation, me, seq).await?;
        self.may_edit(&caller, &record)?;
        let original = first(&record)?;
        let current = {
            let state = self.overlay(&conversation, seq).await?;
            edited(state.overlays.get(seq))?.cloned().unwrap_or_else(|| original.clone())
        };
        let mut content = of_same_message(content, &original)?;
        let flagged = self.moderate(me, &mut content)?;
        let mut content = self.judged(&caller, &conversation, Content { thread: None, ..content }).await?;
        if content.file == current.file && content.facts.is_none() {
            content.facts = current.facts;
        }
        let content = of_same_message(content, &original)?;
        let now = caller.now.wall.as_millis();
        let (edited, written) = {
            let mut state = self.overlay(&conversation, seq).await?;
            self.may_speak(&state, me, &content, conversation.kind)?;
            let overlay = self.overlay_now(&conversation, &mut state, seq)?;
            let before = edited(Some(overlay))?;
            let same = before.unwrap_or(&original) == &content;
            let shown =
                before.map_or(Edited { at: record.at.as_millis(), count: 0 }, |_| Edited::of(overlay));
            if same {
                (shown, None)
            } else {
                put(overlay, content, now);
                let edited = Edited::of(overlay);
                let untold = Untold::new(&conversation, seq, Change::Edit, &caller.sender());
                (edited, Some(self.change(&conversation, &mut state, untold, Vec::new())))
            }
        };
        if let Some(written) = written {
            written.await?;
            if let Some(word) = flagged {
                self.flag(me, &conversation.id, Some(seq), word);
            }
        }
        Ok(HasEdited { edited })
    }

    fn may_edit(&self, caller: &Caller, record: &Record) -> Result<(), Wrong> {
        if record.message.from.user != caller.who.user {
            return Err(Wrong::NotAllowed("only its sender edits a message"));
        }
        if caller.now.wall.since(record.at) > self.config().edit_for {
            return Err(Wrong::TooLate("this message is too old to be edited"));
        }
        Ok(())
    }

    async fn edits(&self, caller: Caller, input: OfMessage) -> Result<Edits, Wrong> {
        let conversation = self.conversation(&input.conversation).await?;
        let record = self.seen(&conversation, &caller.who.user, input.seq).await?;
        let edit = {
            let state = self.overlay(&conversation, input.seq).await?;
            let overlay = state.overlays.get(input.seq);
            edited(overlay)?;
            overlay.and_then(|overlay| overlay.edit.clone())
        };
        let mut edits = vec![Version { at: record.at.as_millis(), content: first(&record)? }];
        if let Some(edit) = edit {
            edits.extend(edit.before.into_iter().map(|(at, content)| Version { at, content }));
            edits.push(Version { at: edit.at, content: edit.content });
        }
        Ok(Edits { edits })
    }
}

/// What a message says where it was edited; `None` where it says what it said first.
///
/// # Errors
/// It says nothing any more.
pub(crate) fn edited(overlay: Option<&Overlay>) -> Result<Option<&Content>, Wrong> {
    match overlay {
        Some(overlay) if overlay.recall.is_some() => Err(Wrong::Conflict("this message was recalled")),
        Some(overlay) if overlay.burnt => Err(Wrong::NoSuch("message")),
        Some(overlay) => Ok(overlay.edit.as_ref().map(|edit| &edit.content)),
        None => Ok(None),
    }
}

/// New words with all that an edit does not change.
fn of_same_message(content: Content, original: &Content) -> Result<Content, Wrong> {
    if content.kind != original.kind {
        return Err(Wrong::BadContent(format!(
            "an edited message stays what it is: '{}'",
            original.kind.name()
        )));
    }
    if matches!(content.kind, What::Forward | What::Merged) {
        return Err(Wrong::BadContent("what others said is forwarded as it is, and not edited".to_owned()));
    }
    Ok(Content {
        id: original.id.clone(),
        reply: original.reply,
        thread: original.thread,
        priority: original.priority,
        burn_s: original.burn_s,
        expires_s: original.expires_s,
        ..content
    })
}

fn put(overlay: &mut Overlay, content: Content, at: u64) {
    let Some(edit) = &mut overlay.edit else {
        overlay.edit = Some(Edit { content, at, count: 1, before: Vec::new() });
        return;
    };
    let before = std::mem::replace(&mut edit.content, content);
    edit.before.push((edit.at, before));
    edit.at = at;
    edit.count = edit.count.saturating_add(1);
    let mut bytes: usize = edit.before.iter().map(|(_, content)| json(content).len()).sum();
    while edit.before.len() > EDITS_MAX || (bytes > EDITS_BYTES_MAX && !edit.before.is_empty()) {
        bytes -= body(&edit.before.remove(0).1).len();
    }
}

impl Edited {
    fn of(overlay: &Overlay) -> Self {
        overlay.edit.as_ref().map_or(Self { at: 0, count: 0 }, |edit| Self { at: edit.at, count: edit.count })
    }
}
