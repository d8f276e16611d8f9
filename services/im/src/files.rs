//! Files that messages carry: whose they are, what they are, and who may have them. Their bytes lie elsewhere, under the
//! hash of their content; this says which.
//!
//! Rows: `f/FILE` the file; `fu/USER/FILE` of whom; `fc/FILE/CONVERSATION` where it was sent, so who may have it;
//! `fg/CONVERSATION/TIME/FILE` the same, newest last; `fh/HASH/FILE` which files have one content; `fn/TIME/FILE` files
//! that were not sent yet; `ft/TIME/FILE` all by age; `fx/HASH` contents that perhaps nobody needs any more.

use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::{StoreError, service::Caller};
use yizhan_talk::Timestamp;

use crate::{
    content::{Content, FileFacts, Forwarded, What},
    conversation::Conversation,
    denied::Wrong,
    im::Im,
    ledger::{Row, json},
    load::parsed,
    names::Kind,
    op::{Done, Op, op},
};

/// Bytes of a file's name.
const NAME_BYTES_MAX: usize = 255;
/// Conversations that are looked at for one who wants a file: more than any file is forwarded to by hand.
const SENT_MAX: usize = 4096;
/// Rows that are read at once.
const PAGE: usize = 256;
/// Files in one answer.
const FILES_MAX: usize = 200;
/// The same where no number is named.
const FILES: usize = 50;

/// How a file may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A picture.
    Image,
    /// Moving pictures.
    Video,
    /// Only sound.
    Audio,
    /// Anything else.
    Other,
}

/// A content that is complete, by what was seen in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The name it is kept under: 64 hexadecimal digits.
    pub hash: String,
    /// How it may be shown.
    pub kind: FileKind,
    /// What it is, as messages say it.
    pub facts: FileFacts,
    /// How loud it is, where that was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waveform: Vec<u8>,
    /// A smaller picture of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumb: Option<Thumb>,
}

/// A smaller picture, a content of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thumb {
    /// The name it is kept under.
    pub hash: String,
    /// Its size.
    pub bytes: u64,
    /// Its media type.
    #[serde(rename = "type")]
    pub media_type: String,
}

/// A file as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// Who uploaded it.
    pub owner: String,
    /// What its sender calls it.
    pub name: String,
    /// Its size, as its sender said; where it is complete, as it is.
    pub bytes: u64,
    /// When it was begun, ms.
    pub at: u64,
    /// Whether everybody with an account may have it: pictures of people and groups.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
    /// What it is; `None` while it is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
}

/// A file as clients see it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FileView {
    /// Its id.
    pub file: String,
    /// What its sender calls it.
    pub name: String,
    /// How it may be shown.
    pub kind: FileKind,
    /// Who uploaded it.
    pub owner: String,
    /// When, milliseconds since 1970.
    pub at: u64,
    /// What it is.
    #[serde(flatten)]
    pub facts: FileFacts,
    /// How loud it is, where that was seen: numbers from 0 to 100.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waveform: Vec<u8>,
}

impl FileView {
    /// Of a file that is complete.
    ///
    /// # Errors
    /// It is still on its way.
    pub fn of(id: &str, row: &FileRow) -> Result<Self, Wrong> {
        let stored = row.stored.as_ref().ok_or(NO_FILE)?;
        Ok(Self {
            file: id.to_owned(),
            name: row.name.clone(),
            kind: stored.kind,
            owner: row.owner.clone(),
            at: row.at,
            facts: stored.facts.clone(),
            waveform: stored.waveform.clone(),
        })
    }
}

const NO_FILE: Wrong = Wrong::NoSuch("file");

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Begin {
    /// What it is called; at most 255 bytes.
    #[schemars(length(min = 1, max = 255))]
    name: String,
    /// Its size.
    bytes: u64,
    /// Where it is to be sent: checked already now, so that nobody uploads in vain.
    conversation: Option<String>,
    /// Everybody with an account may have it: for pictures of people and groups.
    #[serde(default)]
    public: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Begun {
    /// Its id: upload to `/im/v1/files/ID`.
    file: String,
    /// How far the upload is.
    offset: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfFile {
    /// The file's id.
    file: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shared {
    /// The conversation's id.
    conversation: String,
    /// `next` of an earlier answer.
    before: Option<String>,
    /// How many, 1 to 200; 50 where it is left out.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SharedFiles {
    /// Newest first.
    files: Vec<FileView>,
    /// Where to go on; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "file_begin",
            "Begins the upload of a file over HTTP.",
            |im: Im, caller: Caller, input: Begin| async move { im.file_begin(&caller, input).await },
        ),
        op("file", "What a file is.", |im: Im, caller: Caller, input: OfFile| async move {
            FileView::of(&input.file, &im.file(&caller.who.user, &input.file).await?)
        }),
        op(
            "shared_files",
            "The files that were sent to a conversation.",
            |im: Im, caller: Caller, input: Shared| async move { im.shared(&caller, input).await },
        ),
        op(
            "file_delete",
            "Removes a file that one uploaded: nobody can have it any more.",
            |im: Im, caller: Caller, input: OfFile| async move {
                let row = im
                    .file_row(&input.file)
                    .await?
                    .filter(|row| row.owner == *caller.who.user)
                    .ok_or(NO_FILE)?;
                im.remove_file(&input.file, &row).await?;
                Ok(Done {})
            },
        ),
    ]
}

fn row_key(id: &str) -> Bytes {
    format!("f/{id}").into()
}

fn by_time(prefix: &str, at: u64, id: &str) -> Bytes {
    format!("{prefix}/{at:016x}/{id}").into()
}

fn empty() -> Option<Bytes> {
    Some(Bytes::from_static(b"{}"))
}

/// Whether a text is a file's id.
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
}

/// The last part of a key.
fn last(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key).ok()?.rsplit('/').next()
}

impl Im {
    async fn file_begin(&self, caller: &Caller, begin: Begin) -> Result<Begun, Wrong> {
        let Begin { name, bytes, conversation, public } = begin;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(Wrong::BadInput("'name' has 1 to 255 bytes and no control characters".to_owned()));
        }
        let user = &caller.who.user;
        if let Some(conversation) = conversation {
            self.conversation(&conversation).await?.lock().member(user)?;
        }
        let id = format!("{:032x}", (self.inner.seams.random)());
        let at = caller.now.wall.as_millis();
        let row = FileRow { owner: user.to_string(), name, bytes, at, public, stored: None };
        let mut rows: Vec<Row> = vec![
            (row_key(&id), Some(json(&row))),
            (format!("fu/{user}/{id}").into(), empty()),
            (by_time("ft", at, &id), empty()),
        ];
        // A picture of somebody is not sent to anybody.
        if !public {
            rows.push((by_time("fn", at, &id), empty()));
        }
        self.inner.ledger.commit(rows).await?;
        Ok(Begun { file: id, offset: 0 })
    }

    /// A file, for those who may have it: its owner, members of the conversations to which it was sent, and everybody
    /// where it is public. To others it is not there.
    ///
    /// # Errors
    /// There is none for this user, or the store failed.
    pub async fn file(&self, user: &str, id: &str) -> Result<FileRow, Wrong> {
        let row = self.file_row(id).await?.ok_or(NO_FILE)?;
        if row.owner == user || row.public || self.was_sent_to(user, id).await? {
            Ok(row)
        } else {
            Err(NO_FILE)
        }
    }

    /// A file, whoever wants it: the caller has asked before.
    ///
    /// # Errors
    /// The store failed.
    pub async fn file_row(&self, id: &str) -> Result<Option<FileRow>, Wrong> {
        if !is_id(id) {
            return Ok(None);
        }
        let key = row_key(id);
        let Some((row, _)) = self.inner.ledger.table().get(&key).await? else { return Ok(None) };
        Ok(Some(parsed(&key, &row)?))
    }

    /// An upload is complete. Called again, nothing changes.
    ///
    /// # Errors
    /// It is not this user's, or the store failed.
    pub async fn file_finished(&self, user: &str, id: &str, stored: Stored) -> Result<FileRow, Wrong> {
        let row = self.file_row(id).await?.filter(|row| row.owner == user).ok_or(NO_FILE)?;
        if row.stored.is_some() {
            return Ok(row);
        }
        let mut rows: Vec<Row> = contents(id, &stored).map(|key| (key, empty())).collect();
        let row = FileRow { bytes: stored.facts.bytes, stored: Some(stored), ..row };
        rows.push((row_key(id), Some(json(&row))));
        self.inner.ledger.commit(rows).await?;
        Ok(row)
    }

    async fn was_sent_to(&self, user: &str, id: &str) -> Result<bool, Wrong> {
        let prefix = format!("fc/{id}/");
        let (mut after, mut seen) = (None::<Bytes>, 0);
        while seen < SENT_MAX {
            let rows = self.inner.ledger.table().scan(prefix.as_bytes(), after.as_deref(), PAGE).await?;
            for (key, _) in &rows {
                let Some(conversation) = last(key) else { continue };
                match self.conversation(conversation).await {
                    // Whoever comes to a chatroom hears all of it.
                    Ok(found) if found.kind == Kind::Room => return Ok(true),
                    Ok(found) if found.lock().member(user).is_ok() => return Ok(true),
                    Err(Wrong::Refused(refused)) => return Err(refused.into()),
                    // Not a member, or the conversation is gone.
                    _ => {}
                }
            }
            seen += rows.len();
            match rows.last() {
                Some((key, _)) if rows.len() == PAGE => after = Some(key.clone()),
                _ => break,
            }
        }
        Ok(false)
    }

    /// Says in a message what its file is, and lets those have it who get the message.
    ///
    /// # Errors
    /// The sender may not have the file, it is still on its way, or it is not what the message says it is.
    pub(crate) async fn complete_files(
        &self,
        caller: &Caller,
        conversation: &Conversation,
        content: &mut Content,
    ) -> Result<(), Wrong> {
        if content.kind.has_file()
            && let Some(id) = content.file.clone()
        {
            let row = self.file(&caller.who.user, &id).await?;
            let stored = row.stored.ok_or(Wrong::Conflict("this file is still being uploaded"))?;
            if !fits(content.kind, stored.kind) {
                let (kind, is) = (content.kind.name(), &stored.facts.media_type);
                return Err(Wrong::BadContent(format!(
                    "a file of type {is} is no {kind}: send it as 'file'"
                )));
            }
            content.name.get_or_insert(row.name);
            if content.waveform.is_empty() && content.kind == What::Voice {
                content.waveform = stored.waveform;
            }
            content.facts = Some(stored.facts);
        }
        let mut carried = Vec::new();
        carried_by(content, &mut carried);
        if carried.is_empty() {
            return Ok(());
        }
        let at = caller.now.wall.as_millis();
        let mut rows: Vec<Row> = Vec::new();
        for id in carried {
            let Some(row) = self.file_row(&id).await? else { continue };
            let sent: Bytes = format!("fc/{id}/{}", conversation.id).into();
            if self.inner.ledger.table().get(&sent).await?.is_none() {
                rows.push((by_time(&format!("fg/{}", conversation.id), at, &id), empty()));
            }
            rows.push((sent, Some(json(&at))));
            rows.push((by_time("fn", row.at, &id), None));
        }
        // Safe before the message is: whoever sees it can have what it carries.
        Ok(self.inner.ledger.commit(rows).await?)
    }

    async fn shared(&self, caller: &Caller, input: Shared) -> Result<SharedFiles, Wrong> {
        let conversation = self.conversation(&input.conversation).await?;
        conversation.lock().member(&caller.who.user)?;
        let limit = input.limit.unwrap_or(FILES);
        if !(1..=FILES_MAX).contains(&limit) {
            return Err(Wrong::BadInput("'limit' is 1 to 200".to_owned()));
        }
        let prefix = format!("fg/{}/", conversation.id);
        // The table is read from the oldest on, so the newest ones are kept as it goes by.
        let mut newest = std::collections::VecDeque::new();
        let mut after = None::<Bytes>;
        loop {
            let rows = self.inner.ledger.table().scan(prefix.as_bytes(), after.as_deref(), PAGE).await?;
            let read = rows.len();
            after = rows.last().map(|(key, _)| key.clone());
            for (key, _) in rows {
                let Some(place) = std::str::from_utf8(&key).ok().and_then(|key| key.strip_prefix(&prefix))
                else {
                    continue;
                };
                if input.before.as_deref().is_none_or(|before| place < before) {
                    newest.push_back(place.to_owned());
                    if newest.len() > limit + 1 {
                        newest.pop_front();
                    }
                }
            }
            if read < PAGE {
                break;
            }
        }
        let more = newest.len() > limit;
        let places: Vec<String> = newest.into_iter().rev().take(limit).collect();
        let mut files = Vec::with_capacity(places.len());
        for place in &places {
            let Some(id) = place.rsplit('/').next() else { continue };
            if let Some(view) = self.file_row(id).await?.and_then(|row| FileView::of(id, &row).ok()) {
                files.push(view);
            }
        }
        Ok(SharedFiles { files, next: places.last().filter(|_| more).cloned() })
    }

    /// Forgets a file. Its content goes with the next sweep, where no other file has it.
    pub(crate) async fn remove_file(&self, id: &str, row: &FileRow) -> Result<(), StoreError> {
        let mut rows: Vec<Row> = vec![
            (row_key(id), None),
            (format!("fu/{}/{id}", row.owner).into(), None),
            (by_time("ft", row.at, id), None),
            (by_time("fn", row.at, id), None),
        ];
        if let Some(stored) = &row.stored {
            rows.extend(contents(id, stored).map(|key| (key, None)));
            rows.extend(hashes(stored).map(|hash| (format!("fx/{hash}").into(), empty())));
        }
        let prefix = format!("fc/{id}/");
        let mut after = None::<Bytes>;
        loop {
            let sent = self.inner.ledger.table().scan(prefix.as_bytes(), after.as_deref(), PAGE).await?;
            let read = sent.len();
            after = sent.last().map(|(key, _)| key.clone());
            for (key, at) in sent {
                if let (Some(conversation), Ok(at)) = (last(&key), serde_json::from_slice::<u64>(&at)) {
                    rows.push((by_time(&format!("fg/{conversation}"), at, id), None));
                }
                rows.push((key, None));
            }
            if read < PAGE {
                break;
            }
        }
        self.inner.ledger.commit(rows).await
    }

    /// Forgets all files that somebody uploaded. Gives how many.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_files_of(&self, user: &str) -> Result<usize, Wrong> {
        let prefix = format!("fu/{user}/");
        let (mut removed, mut after) = (0, None::<Bytes>);
        loop {
            let rows = self.inner.ledger.table().scan(prefix.as_bytes(), after.as_deref(), PAGE).await?;
            after = rows.last().map(|(key, _)| key.clone());
            for (key, _) in &rows {
                // `fu/a/b/FILE` is of the user `a/b`.
                let id = std::str::from_utf8(&key[prefix.len()..]).unwrap_or_default();
                if let Some(row) = self.file_row(id).await?.filter(|row| row.owner == user) {
                    self.remove_file(id, &row).await?;
                    removed += 1;
                }
            }
            if rows.len() < PAGE {
                return Ok(removed);
            }
        }
    }

    /// Forgets files that were not sent for so long, and where `kept_for` is not zero all that are older than it.
    /// Gives how many.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sweep_files(
        &self,
        now: Timestamp,
        unsent_for: Duration,
        kept_for: Duration,
    ) -> Result<usize, Wrong> {
        let mut removed = self.sweep_older("fn", now, unsent_for).await?;
        if !kept_for.is_zero() {
            removed += self.sweep_older("ft", now, kept_for).await?;
        }
        Ok(removed)
    }

    async fn sweep_older(&self, prefix: &str, now: Timestamp, older_than: Duration) -> Result<usize, Wrong> {
        let (mut removed, mut after) = (0, None::<Bytes>);
        loop {
            let rows = self
                .inner
                .ledger
                .table()
                .scan(format!("{prefix}/").as_bytes(), after.as_deref(), PAGE)
                .await?;
            after = rows.last().map(|(key, _)| key.clone());
            for (key, _) in &rows {
                let Some(id) = last(key) else { continue };
                let at = std::str::from_utf8(key).ok().and_then(|key| key.split('/').nth(1));
                let at = at.and_then(|at| u64::from_str_radix(at, 16).ok()).unwrap_or_default();
                if now.since(Timestamp::from_millis(at)) < older_than {
                    return Ok(removed);
                }
                match self.file_row(id).await? {
                    Some(row) => self.remove_file(id, &row).await?,
                    None => self.inner.ledger.commit([(key.clone(), None)]).await?,
                }
                removed += 1;
            }
            if rows.len() < PAGE {
                return Ok(removed);
            }
        }
    }

    /// Hashes of contents that no file has any more, after the last answer's last one; at most a page of them. Those that
    /// one has again are passed over for good.
    ///
    /// # Errors
    /// The store failed.
    pub async fn needless_contents(&self, after: Option<&str>) -> Result<Vec<String>, Wrong> {
        let after = after.map(|hash| format!("fx/{hash}"));
        let rows = self.inner.ledger.table().scan(b"fx/", after.as_deref().map(str::as_bytes), PAGE).await?;
        let mut needless = Vec::new();
        for (key, _) in rows {
            let Some(hash) = last(&key) else { continue };
            let needed = self.inner.ledger.table().scan(format!("fh/{hash}/").as_bytes(), None, 1).await?;
            if needed.is_empty() {
                needless.push(hash.to_owned());
            } else {
                self.inner.ledger.commit([(key.clone(), None)]).await?;
            }
        }
        Ok(needless)
    }

    /// A content was removed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn content_removed(&self, hash: &str) -> Result<(), Wrong> {
        Ok(self.inner.ledger.commit([(Bytes::from(format!("fx/{hash}")), None)]).await?)
    }
}

/// The contents of a file: itself, and its smaller picture.
fn hashes(stored: &Stored) -> impl Iterator<Item = &String> {
    std::iter::once(&stored.hash).chain(stored.thumb.as_ref().map(|thumb| &thumb.hash))
}

/// The rows that say which contents a file has.
fn contents<'a>(id: &'a str, stored: &'a Stored) -> impl Iterator<Item = Bytes> + 'a {
    hashes(stored).map(move |hash| format!("fh/{hash}/{id}").into())
}

/// Whether a message of this kind may carry a file of that one.
fn fits(what: What, kind: FileKind) -> bool {
    match what {
        What::Image => kind == FileKind::Image,
        What::Video => kind == FileKind::Video,
        // Recorders write sound into files that also hold video (WebM, MP4).
        What::Voice => matches!(kind, FileKind::Audio | FileKind::Video),
        _ => true,
    }
}

/// The files that a message carries, also in what it forwards.
fn carried_by(content: &Content, into: &mut Vec<String>) {
    if content.kind.has_file()
        && let Some(id) = content.file.as_ref().filter(|id| !into.contains(id))
    {
        into.push(id.clone());
    }
    let items = content.items.iter().filter_map(|Forwarded { origin, .. }| origin.as_ref());
    for origin in content.origin.iter().chain(items) {
        carried_by(&origin.content, into);
    }
}
