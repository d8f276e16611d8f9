//! Groups that everybody finds: by their own name, or by the words of what they are called.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::{StoreError, service::Caller};

use crate::{
    conversation::{Info, Join, info_key},
    denied::Wrong,
    im::Im,
    ledger::{Row, json},
    load::parsed,
    names::Kind,
    op::{Op, op},
};

/// Public conversations in all; more are refused.
pub(crate) const PUBLIC_MAX: usize = 100_000;
/// Letters of a conversation's own name.
pub(crate) const HANDLE_LETTERS_MAX: usize = 32;
const HANDLE_LETTERS_MIN: usize = 3;
/// Bytes of what is looked for.
const TEXT_BYTES_MAX: usize = 256;
/// Words of what is looked for; more are not looked at.
const WORDS_MAX: usize = 8;
/// Places in the index that one question looks at.
const LOOKS_MAX: usize = 20_000;
/// Conversations on one page, and where nothing is said.
const PAGE_MAX: usize = 100;
const PAGE: usize = 30;
/// Rows read at once.
const ROWS: usize = 4096;
/// What the keys of public conversations' rows begin with.
const PREFIX: &[u8] = b"q/";

/// What is found of a public conversation. The row `q/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    #[serde(rename = "t")]
    title: String,
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
}

/// Public conversations by the beginnings of their words.
#[derive(Default)]
pub(crate) struct Public(RwLock<Index>);

#[derive(Default)]
struct Index {
    all: BTreeMap<Arc<str>, Found>,
    words: BTreeSet<(String, Arc<str>)>,
}

/// The words of a text in small letters. What is written without spaces (Chinese, Japanese, Thai) is found from each
/// of its letters on.
fn words(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        for (at, c) in word.char_indices().skip(1) {
            if !c.is_ascii() && c >= '\u{e00}' {
                found.insert(word[at..].to_owned());
            }
        }
        found.insert(word);
    }
    found
}

impl Found {
    fn words(&self) -> BTreeSet<String> {
        let mut found = words(&self.title);
        found.extend(self.handle.clone());
        found
    }
}

impl Index {
    fn put(&mut self, id: &Arc<str>, found: Option<Found>) {
        if let Some(old) = self.all.remove(id) {
            for word in old.words() {
                self.words.remove(&(word, id.clone()));
            }
        }
        if let Some(found) = found {
            self.words.extend(found.words().into_iter().map(|word| (word, id.clone())));
            self.all.insert(id.clone(), found);
        }
    }

    /// Ids behind this one, in order.
    fn behind(&self, after: Option<&str>, count: usize) -> BTreeSet<Arc<str>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.all.range::<str, _>((from, Bound::Unbounded)).take(count).map(|(id, _)| id.clone()).collect()
    }

    /// The ids, in order, of those that have words that begin with all of these.
    fn find(&self, wanted: &[String]) -> BTreeSet<Arc<str>> {
        let Some(first) = wanted.first() else { return BTreeSet::new() };
        let from = (first.clone(), Arc::from(""));
        let begins = self.words.range(from..).take_while(|(word, _)| word.starts_with(first.as_str()));
        let all_there = |id: &Arc<str>| {
            self.all.get(id).is_some_and(|found| {
                let words = found.words();
                wanted.iter().all(|wanted| words.iter().any(|word| word.starts_with(wanted.as_str())))
            })
        };
        begins.take(LOOKS_MAX).map(|(_, id)| id.clone()).filter(all_there).collect()
    }
}

impl Public {
    /// Whether no more find room.
    pub(crate) fn is_full(&self) -> bool {
        self.0.read().all.len() >= PUBLIC_MAX
    }

    /// Keeps in mind what a conversation says of itself now; gives the row of it, where it is another one. Called
    /// under the conversation's lock.
    pub(crate) fn note(&self, id: &Arc<str>, info: &Info) -> Option<Row> {
        let shown = info.public && info.dismissed_at == 0;
        let found = shown.then(|| Found { title: info.title.clone(), handle: info.handle.clone() });
        let mut index = self.0.write();
        if index.all.get(id) == found.as_ref() {
            return None;
        }
        let row = (Bytes::from([PREFIX, id.as_bytes()].concat()), found.as_ref().map(json));
        index.put(id, found);
        Some(row)
    }
}

/// Own names of conversations that somebody is about to take.
#[derive(Default)]
pub(crate) struct Handles(Mutex<FxHashMap<String, Arc<str>>>);

/// A name that nobody else takes meanwhile. Dropped, it is free again, unless it was taken.
pub(crate) struct Reserved<'a> {
    handles: &'a Handles,
    pub(crate) handle: String,
    held: bool,
}

impl Reserved<'_> {
    /// The row that says so is in line: nobody else takes it any more.
    pub(crate) fn keep(&mut self) {
        self.held = true;
    }

    /// The row that says so is safe.
    pub(crate) fn safe(mut self) {
        self.held = false;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.held {
            self.handles.0.lock().remove(&self.handle);
        }
    }
}

/// The key of the row that says whose a conversation's own name is.
pub(crate) fn handle_key(handle: &str) -> Bytes {
    format!("h/{handle}").into()
}

/// A name as it is kept: small letters.
///
/// # Errors
/// It is none: 3 to 32 of `a-z`, `0-9` and `_`, a letter first.
pub(crate) fn handle_of(text: &str) -> Result<String, Wrong> {
    let text = text.strip_prefix('@').unwrap_or(text).to_ascii_lowercase();
    let good = (HANDLE_LETTERS_MIN..=HANDLE_LETTERS_MAX).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if good {
        Ok(text)
    } else {
        Err(Wrong::BadInput("a handle has 3 to 32 of a-z, 0-9 and _, a letter first".to_owned()))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Discover {
    /// Beginnings of words of the title, or of the handle; all public ones where nothing is said.
    text: Option<String>,
    /// Go on behind an earlier answer: its `next`.
    after: Option<String>,
    /// Conversations at most, up to 100; 30 where nothing is said.
    limit: Option<usize>,
}

/// A public conversation, for those who are not in it.
#[derive(Debug, Serialize, JsonSchema)]
struct Shown {
    /// Its id.
    id: Arc<str>,
    /// What it is.
    kind: Kind,
    /// What it is called.
    title: String,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    /// Its picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<String>,
    /// Its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    /// How many are in it; in a chatroom, how many listen.
    members: u64,
    /// How one becomes a member.
    join: Join,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Discovered {
    /// The one with just this handle first, then in the order of ids.
    conversations: Vec<Shown>,
    /// For `after` of the next question; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Arc<str>>,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![op(
        "discover",
        "Public groups, channels and chatrooms, by handle or words of the title.",
        |im: Im, caller: Caller, input: Discover| async move { im.discover(caller, input).await },
    )]
}

impl Im {
    async fn discover(&self, caller: Caller, input: Discover) -> Result<Discovered, Wrong> {
        let text = input.text.unwrap_or_default();
        if text.len() > TEXT_BYTES_MAX {
            return Err(Wrong::BadInput(format!("'text' has at most {TEXT_BYTES_MAX} bytes")));
        }
        let limit = input.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let wanted: Vec<String> = text
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .take(WORDS_MAX)
            .collect();
        if wanted.is_empty() && !text.trim().is_empty() {
            return Ok(Discovered { conversations: Vec::new(), next: None });
        }
        let handle = handle_of(text.trim()).ok();
        let (mut ids, next) = {
            let index = self.inner.groups.public.0.read();
            let mut found = match wanted.is_empty() {
                true => index.behind(input.after.as_deref(), limit + 1),
                false => index.find(&wanted),
            };
            let named =
                |id: &Arc<str>| handle.is_some() && index.all.get(id).is_some_and(|f| f.handle == handle);
            let exact: Option<Arc<str>> = found.iter().find(|id| named(id)).cloned();
            if let Some(exact) = &exact {
                found.remove(exact);
            }
            let behind = |id: &Arc<str>| input.after.as_deref().is_none_or(|after| &**id > after);
            let mut ids: Vec<Arc<str>> = found.into_iter().filter(behind).take(limit + 1).collect();
            let next = (ids.len() > limit).then(|| ids[limit - 1].clone());
            ids.truncate(limit);
            if let Some(exact) = exact.filter(|_| input.after.is_none()) {
                ids.insert(0, exact);
            }
            (ids, next)
        };
        let keys: Vec<Bytes> = ids.iter().map(|id| info_key(id)).collect();
        let rows = self.inner.ledger.table().get_many(keys.clone()).await?;
        let mut conversations = Vec::with_capacity(ids.len());
        for ((id, key), row) in ids.drain(..).zip(keys).zip(rows) {
            let Some(row) = row else { continue };
            let info: Info = parsed(&key, &row)?;
            if info.public && info.dismissed_at == 0 && !info.banned.contains_key(&caller.who.user) {
                conversations.push(self.shown_to_all(id, info));
            }
        }
        Ok(Discovered { conversations, next })
    }

    fn shown_to_all(&self, id: Arc<str>, info: Info) -> Shown {
        let members = match info.kind {
            Kind::Room => self.listeners(&id) as u64,
            _ => info.members,
        };
        Shown {
            id,
            kind: info.kind,
            title: info.title,
            about: info.about,
            avatar: info.avatar,
            handle: info.handle,
            members,
            join: info.join,
        }
    }

    /// Reads which conversations are public.
    pub(crate) async fn load_public(&self) -> Result<(), StoreError> {
        let mut after = None::<Bytes>;
        loop {
            let rows = self.inner.ledger.table().scan(PREFIX, after.as_deref(), ROWS).await?;
            for (key, value) in &rows {
                let id = key.get(PREFIX.len()..).and_then(|id| std::str::from_utf8(id).ok());
                if let Some(id) = id {
                    self.inner.groups.public.0.write().put(&id.into(), Some(parsed(key, value)?));
                }
            }
            match rows.last() {
                Some((last, _)) if rows.len() == ROWS => after = Some(last.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Takes a name for a conversation, so far in memory only.
    ///
    /// # Errors
    /// It is no name, or another one has it.
    pub(crate) async fn reserve_handle(&self, handle: &str, id: &Arc<str>) -> Result<Reserved<'_>, Wrong> {
        const TAKEN: Wrong = Wrong::Conflict("this handle is taken");
        let handle = handle_of(handle)?;
        let handles = &self.inner.groups.handles;
        {
            let mut taken = handles.0.lock();
            if taken.contains_key(&handle) {
                return Err(TAKEN);
            }
            taken.insert(handle.clone(), id.clone());
        }
        let key = handle_key(&handle);
        let reserved = Reserved { handles, handle, held: false };
        if let Some((row, _)) = self.inner.ledger.table().get(&key).await? {
            let owner: Arc<str> = parsed(&key, &row)?;
            if owner != *id {
                return Err(TAKEN);
            }
        }
        Ok(reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(titles: &[(&str, &str, Option<&str>)]) -> Index {
        let mut index = Index::default();
        for (id, title, handle) in titles {
            let found = Found { title: (*title).to_owned(), handle: handle.map(str::to_owned) };
            index.put(&(*id).into(), Some(found));
        }
        index
    }

    fn find(index: &Index, text: &str) -> Vec<String> {
        let wanted: Vec<String> = text.split(' ').filter(|w| !w.is_empty()).map(str::to_lowercase).collect();
        index.find(&wanted).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn groups_are_found_by_beginnings_of_words_and_inside_chinese() {
        let index = index(&[
            ("g1", "Rust Users", Some("rustaceans")),
            ("g2", "上海周末徒步群", None),
            ("g3", "Users", None),
        ]);
        assert_eq!(find(&index, "us"), ["g1", "g3"]);
        assert_eq!(find(&index, "us rus"), ["g1"]);
        assert_eq!(find(&index, "徒步"), ["g2"]);
        assert_eq!(find(&index, "rustac"), ["g1"]);
        assert_eq!(find(&index, "sers"), [""; 0]);
        assert!(index.behind(Some("g1"), 1).iter().eq(&[Arc::from("g2")]));
    }

    #[test]
    fn an_index_forgets_what_it_had() {
        let mut index = index(&[("g1", "Rust Users", None)]);
        index.put(&"g1".into(), Some(Found { title: "Chess".into(), handle: None }));
        assert!(find(&index, "rust").is_empty() && find(&index, "che") == ["g1"]);
        index.put(&"g1".into(), None);
        assert!(index.words.is_empty() && index.all.is_empty());
    }

    #[test]
    fn handles_are_letters_digits_and_low_lines() {
        assert_eq!(handle_of("@Rust_2026").unwrap(), "rust_2026");
        for bad in ["", "ab", "1abc", "a b c", "ä_ö_ü", "a/bc", &"a".repeat(33)] {
            assert!(handle_of(bad).is_err(), "{bad}");
        }
    }
}
