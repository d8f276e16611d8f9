//! What people say: the content of a message, as clients send it and as it is kept.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use yizhan_hub::{Content as Body, link::Publish};

use crate::denied::Wrong;

/// Bytes of a message's text.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a message's content in all, as JSON.
pub const CONTENT_BYTES_MAX: usize = 64 * 1024;
/// People that a message mentions by name.
pub const MENTIONS_MAX: usize = 50;
/// Messages that are forwarded as one.
pub const MERGED_MAX: usize = 100;
/// Bytes of names, titles and addresses in a message.
pub const NAME_BYTES_MAX: usize = 512;
/// Bytes of a client's own id of a message.
pub const ID_BYTES_MAX: usize = 128;
/// Peaks of a voice message's waveform.
pub const PEAKS_MAX: usize = 128;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Words.
    Text,
    /// A picture.
    Image,
    /// Something spoken.
    Voice,
    /// Moving pictures.
    Video,
    /// Any other file.
    File,
    /// A place on earth.
    Location,
    /// A person.
    Card,
    /// Whatever the application means by it.
    Custom,
    /// A message of somewhere else.
    Forward,
    /// Several messages of somewhere else.
    Merged,
    /// Something for programs: neither kept nor counted.
    Command,
}

impl What {
    /// As content writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Voice => "voice",
            Self::Video => "video",
            Self::File => "file",
            Self::Location => "location",
            Self::Card => "card",
            Self::Custom => "custom",
            Self::Forward => "forward",
            Self::Merged => "merged",
            Self::Command => "command",
        }
    }

    /// Whether it carries an uploaded file.
    #[must_use]
    pub fn has_file(self) -> bool {
        matches!(self, Self::Image | Self::Voice | Self::Video | Self::File)
    }
}

/// How much a message matters where not all can be delivered (chatrooms under load).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    Default,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// The first to go.
    Low,
    /// As most are.
    #[default]
    Normal,
    /// Gifts and the words of admins: the last to go. Only admins may set it.
    High,
}

/// The content of a message. Which fields there are depends on `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// What it is.
    pub kind: What,
    /// The client's own id: sent again with the same one, a message is not there twice. At most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Words: the text, or the caption of a file. At most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The number of the message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<u64>,
    /// The number of the message whose thread this one is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<u64>,
    /// Who is mentioned; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
    /// Whether everybody is mentioned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mention_all: bool,
    /// Whether everybody who is here now is mentioned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mention_here: bool,
    /// How much it matters.
    #[serde(default, skip_serializing_if = "is_normal")]
    pub priority: Priority,
    /// Seconds after which it is gone, once it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burn_s: Option<u32>,
    /// Seconds after which it is gone, read or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u32>,
    /// The uploaded file's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The file's or the place's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Peaks of a voice message, 0 to 100; at most 128.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waveform: Vec<u8>,
    /// What the server found in the file; never taken from clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<FileFacts>,
    /// Degrees north.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// The place's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whose card it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the application calls it.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub custom: Option<String>,
    /// What the application says with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// The conversation that a forwarded message is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The number of the forwarded message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// What several forwarded messages are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The messages that are forwarded as one; at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Forwarded>,
    /// The forwarded message as it was; never taken from clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
}

/// What the server found in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FileFacts {
    /// Its size.
    pub bytes: u64,
    /// Its media type, by its content.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Whether there is a smaller picture of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thumb: bool,
    /// A tiny preview, as the client draws it while the picture loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blur: Option<String>,
    /// How long it plays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// A message that is forwarded: where it is, and once it is sent, what it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forwarded {
    /// Of which conversation.
    pub conversation: String,
    /// Its number there.
    pub seq: u64,
    /// What it was; never taken from clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
}

/// A message as it was when it was forwarded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Origin {
    /// Who had sent it.
    pub from: String,
    /// When, milliseconds since 1970.
    pub at: u64,
    /// What it said.
    pub content: Content,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_normal(priority: &Priority) -> bool {
    *priority == Priority::Normal
}

impl Content {
    /// Words and nothing else.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::of(What::Text) }
    }

    /// Nothing but a kind.
    #[must_use]
    pub fn of(kind: What) -> Self {
        Self {
            kind,
            id: None,
            text: None,
            reply: None,
            thread: None,
            mentions: Vec::new(),
            mention_all: false,
            mention_here: false,
            priority: Priority::Normal,
            burn_s: None,
            expires_s: None,
            file: None,
            name: None,
            waveform: Vec::new(),
            facts: None,
            latitude: None,
            longitude: None,
            address: None,
            user: None,
            custom: None,
            data: None,
            conversation: None,
            seq: None,
            title: None,
            items: Vec::new(),
            origin: None,
        }
    }

    /// Reads what somebody published to a conversation: JSON content, or plain text.
    ///
    /// # Errors
    /// It is neither, is too large, or makes no sense; see [`check`](Self::check).
    pub fn of_publish(publish: &Publish) -> Result<Self, Wrong> {
        if publish.body.len() > CONTENT_BYTES_MAX {
            return Err(bad(format!("{} bytes, at most {CONTENT_BYTES_MAX} are taken", publish.body.len())));
        }
        let mut content = match &publish.content {
            Body::Json => Self::of_json(&publish.body)?,
            // A client of MQTT that says nothing about its bytes most often sends JSON or text.
            _ if publish.body.first() == Some(&b'{') => Self::of_json(&publish.body)?,
            _ => match std::str::from_utf8(&publish.body) {
                Ok(text) => Self::text(text),
                Err(_) => return Err(bad("neither JSON nor text".to_owned())),
            },
        };
        if content.id.is_none() {
            content.id = publish.id.as_deref().map(str::to_owned);
        }
        content.check()?;
        Ok(content)
    }

    fn of_json(body: &[u8]) -> Result<Self, Wrong> {
        serde_json::from_slice(body).map_err(|error| bad(error.to_string()))
    }

    /// Without what only the server sets: as a client would send it.
    #[must_use]
    pub fn as_sent(mut self) -> Self {
        self.facts = None;
        self.origin = None;
        for item in &mut self.items {
            item.origin = None;
        }
        self
    }

    /// Whether it makes sense as a client's message.
    ///
    /// # Errors
    /// A field that its kind needs is missing, one is too large, or one that only the server sets is there.
    pub fn check(&self) -> Result<(), Wrong> {
        if self.facts.is_some() || self.origin.is_some() || self.items.iter().any(|i| i.origin.is_some()) {
            return Err(bad("'facts' and 'origin' are the server's to set".to_owned()));
        }
        let long = |name: &str, text: &Option<String>, max: usize| match text {
            Some(text) if text.len() > max => {
                Err(bad(format!("'{name}' has {} bytes, at most {max}", text.len())))
            }
            _ => Ok(()),
        };
        long("text", &self.text, TEXT_BYTES_MAX)?;
        long("id", &self.id, ID_BYTES_MAX)?;
        for (name, text) in [
            ("name", &self.name),
            ("address", &self.address),
            ("user", &self.user),
            ("type", &self.custom),
            ("title", &self.title),
            ("file", &self.file),
            ("conversation", &self.conversation),
        ] {
            long(name, text, NAME_BYTES_MAX)?;
        }
        if self.mentions.len() > MENTIONS_MAX || self.mentions.iter().any(|m| m.len() > NAME_BYTES_MAX) {
            return Err(bad(format!("at most {MENTIONS_MAX} people are mentioned by name: mention all")));
        }
        if self.waveform.len() > PEAKS_MAX || self.waveform.iter().any(|peak| *peak > 100) {
            return Err(bad(format!("a waveform is at most {PEAKS_MAX} numbers from 0 to 100")));
        }
        if self.burn_s == Some(0) || self.expires_s == Some(0) {
            return Err(bad("a time of 0 seconds would send nothing".to_owned()));
        }
        self.check_kind()
    }

    fn check_kind(&self) -> Result<(), Wrong> {
        let need = |there: bool, what: &str| {
            if there {
                Ok(())
            } else {
                Err(bad(format!("a message of kind '{}' needs {what}", self.kind.name())))
            }
        };
        match self.kind {
            What::Text => {
                need(self.text.as_deref().is_some_and(|t| !t.trim().is_empty()), "a 'text' that is not empty")
            }
            What::Image | What::Voice | What::Video | What::File => {
                need(self.file.is_some(), "a 'file' that was uploaded")
            }
            What::Location => {
                let good = |v: Option<f64>, max: f64| v.is_some_and(|v| v.abs() <= max);
                need(
                    good(self.latitude, 90.0) && good(self.longitude, 180.0),
                    "'latitude' and 'longitude' in degrees",
                )
            }
            What::Card => need(self.user.is_some(), "a 'user'"),
            What::Custom => need(self.custom.is_some(), "a 'type'"),
            What::Forward => {
                need(self.conversation.is_some() && self.seq.is_some(), "'conversation' and 'seq'")
            }
            What::Merged => need((1..=MERGED_MAX).contains(&self.items.len()), "1 to 100 'items'"),
            What::Command => need(self.data.is_some(), "'data'"),
        }
    }

    /// The words in it that are searched and moderated; empty where there are none.
    #[must_use]
    pub fn words(&self) -> Cow<'_, str> {
        let parts = [&self.text, &self.name, &self.title, &self.address];
        let mut found = parts.into_iter().flatten().map(String::as_str).filter(|t| !t.is_empty());
        let Some(first) = found.next() else { return Cow::Borrowed("") };
        let Some(second) = found.next() else { return Cow::Borrowed(first) };
        let mut all = format!("{first}\n{second}");
        for more in found {
            all.push('\n');
            all.push_str(more);
        }
        Cow::Owned(all)
    }
}

fn bad(reason: String) -> Wrong {
    Wrong::BadContent(reason)
}
