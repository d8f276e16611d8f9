//! Words that an operator does not want: refused, replaced, or shown to a reviewer; and people who are silenced.

use std::{collections::HashMap, sync::Arc};

use aho_corasick::{AhoCorasick, MatchKind};
use bytes::Bytes;
use parking_lot::RwLock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::{StoreError, service::Caller};
use yizhan_talk::Timestamp;

use crate::{
    content::Content,
    denied::Wrong,
    im::Im,
    ledger::json,
    load::parsed,
    op::{Done, Nothing, Op, admin_op},
    reports::Reason,
};

/// Words of all lists together.
const WORDS_MAX: usize = 100_000;
/// Bytes of a word.
const WORD_BYTES_MAX: usize = 256;
/// The row of the lists.
const LISTS: &[u8] = b"w/words";
/// What the keys of people begin with who are silenced.
const SILENCED: &str = "w/silenced/";
/// Rows read at once.
const ROWS: usize = 1024;

/// The lists of words. Upper and lower case of Latin letters are alike.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Words {
    /// A message with one of these is not taken.
    pub refuse: Vec<String>,
    /// These become `*`.
    pub replace: Vec<String>,
    /// A message with one of these is taken, and reported to the operators.
    pub flag: Vec<String>,
}

/// What is looked for in every message.
#[derive(Default)]
pub(crate) struct Moderation {
    lists: RwLock<Arc<Lists>>,
    /// People who may not say anything, until when, ms.
    silenced: RwLock<HashMap<Arc<str>, u64>>,
}

#[derive(Default)]
struct Lists {
    words: Words,
    refuse: Option<AhoCorasick>,
    replace: Option<AhoCorasick>,
    flag: Option<AhoCorasick>,
}

impl Lists {
    fn new(words: Words) -> Result<Self, Wrong> {
        let count = words.refuse.len() + words.replace.len() + words.flag.len();
        if count > WORDS_MAX {
            return Err(Wrong::TooMany { what: "words", max: WORDS_MAX });
        }
        let finder = |list: &[String]| {
            if list.iter().any(|word| word.trim().is_empty() || word.len() > WORD_BYTES_MAX) {
                return Err(Wrong::BadInput(format!("a word has 1 to {WORD_BYTES_MAX} bytes")));
            }
            if list.is_empty() {
                return Ok(None);
            }
            let built = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::LeftmostLongest)
                .build(list);
            built.map(Some).map_err(|error| Wrong::BadInput(error.to_string()))
        };
        let (refuse, replace, flag) = (finder(&words.refuse)?, finder(&words.replace)?, finder(&words.flag)?);
        Ok(Self { words, refuse, replace, flag })
    }

    fn check(&self, content: &mut Content) -> Result<Option<String>, Wrong> {
        let mut flagged = None;
        for text in [&mut content.text, &mut content.name, &mut content.title, &mut content.address] {
            let Some(text) = text else { continue };
            if self.refuse.as_ref().is_some_and(|refuse| refuse.is_match(text.as_str())) {
                return Err(Wrong::Moderated("it has words that are not allowed here".to_owned()));
            }
            if let Some(flag) = &self.flag
                && let Some(found) = flag.find(text.as_str())
            {
                flagged = text.get(found.start()..found.end()).map(str::to_owned);
            }
            if let Some(replace) = &self.replace
                && replace.is_match(text.as_str())
            {
                let mut starred = String::with_capacity(text.len());
                replace.replace_all_with(text, &mut starred, |_, word, into| {
                    into.extend(word.chars().map(|_| '*'));
                    true
                });
                *text = starred;
            }
        }
        Ok(flagged)
    }
}

/// Somebody is silenced.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Silence {
    /// Whom.
    user: String,
    /// For how many seconds; 0 ends it.
    seconds: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Silenced {
    /// Those who may not say anything, in the order of names.
    users: Vec<SilencedUser>,
}

/// Somebody who may not say anything.
#[derive(Debug, Serialize, JsonSchema)]
struct SilencedUser {
    /// Who.
    user: Arc<str>,
    /// Until when, milliseconds since 1970.
    until: u64,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        admin_op(
            "admin/words",
            "The lists of words that are refused, replaced or reported.",
            |im: Im, _: Caller, _: Nothing| async move { Ok(im.inner.moderation.lists.read().words.clone()) },
        ),
        admin_op(
            "admin/set_words",
            "Puts other lists of words in place; they hold at once.",
            |im: Im, _: Caller, input: Words| async move { im.set_words(input).await },
        ),
        admin_op(
            "admin/silence",
            "Lets somebody say nothing for a time, in no conversation.",
            |im: Im, caller: Caller, input: Silence| async move { im.silence(&caller, input).await },
        ),
        admin_op(
            "admin/silenced",
            "Who may not say anything.",
            |im: Im, caller: Caller, _: Nothing| async move {
                let now = caller.now.wall.as_millis();
                let silenced = im.inner.moderation.silenced.read();
                let shown =
                    |(user, until): (&Arc<str>, &u64)| SilencedUser { user: user.clone(), until: *until };
                let mut users: Vec<_> =
                    silenced.iter().filter(|(_, until)| **until > now).map(shown).collect();
                users.sort_unstable_by(|a, b| a.user.cmp(&b.user));
                Ok(Silenced { users })
            },
        ),
    ]
}

impl Im {
    /// Reads the lists and who is silenced.
    pub(crate) async fn load_moderation(&self) -> Result<(), StoreError> {
        let table = self.inner.ledger.table();
        if let Some((row, _)) = table.get(LISTS).await? {
            match Lists::new(parsed(LISTS, &row)?) {
                Ok(lists) => *self.inner.moderation.lists.write() = Arc::new(lists),
                Err(wrong) => tracing::error!(%wrong, "the lists of words cannot be used"),
            }
        }
        let mut after: Option<Bytes> = None;
        loop {
            let rows = table.scan(SILENCED.as_bytes(), after.as_deref(), ROWS).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = Some(last.clone());
            let mut silenced = self.inner.moderation.silenced.write();
            for (key, value) in &rows {
                if let Some(user) = key.get(SILENCED.len()..).and_then(|user| std::str::from_utf8(user).ok())
                {
                    silenced.insert(user.into(), parsed(key, value)?);
                }
            }
        }
    }

    /// Whether somebody may say this, as far as words and silence go; replaces what is to be replaced. Gives a word that
    /// is to be reported.
    pub(crate) fn moderate(&self, user: &str, content: &mut Content) -> Result<Option<String>, Wrong> {
        let until = self.inner.moderation.silenced.read().get(user).copied();
        if let Some(until) = until.filter(|until| *until > self.now().wall.as_millis()) {
            return Err(Wrong::Muted(Some(Timestamp::from_millis(until))));
        }
        let lists = self.inner.moderation.lists.read().clone();
        lists.check(content)
    }

    /// A message with a word that is to be reported was taken.
    pub(crate) fn flag(&self, user: &Arc<str>, conversation: &Arc<str>, seq: Option<u64>, word: String) {
        let (im, user, conversation) = (self.clone(), user.clone(), conversation.clone());
        let reporting = async move {
            im.report(
                crate::seams::server().user,
                Some(user),
                Some(conversation),
                seq,
                Reason::Words,
                Some(word),
            )
            .await
        };
        drop(self.inner.chores.run(reporting));
    }

    async fn set_words(&self, words: Words) -> Result<Done, Wrong> {
        let lists = Lists::new(words)?;
        let row = (Bytes::from_static(LISTS), Some(json(&lists.words)));
        self.inner.ledger.commit([row]).await?;
        *self.inner.moderation.lists.write() = Arc::new(lists);
        Ok(Done {})
    }

    async fn silence(&self, caller: &Caller, input: Silence) -> Result<Done, Wrong> {
        let user: Arc<str> = self.somebody(&input.user).await?.user.clone();
        let until = caller.now.wall.as_millis().saturating_add(input.seconds.saturating_mul(1000));
        let on = input.seconds > 0;
        let key = Bytes::from(format!("{SILENCED}{user}"));
        self.inner.ledger.commit([(key, on.then(|| json(&until)))]).await?;
        let mut silenced = self.inner.moderation.silenced.write();
        if on {
            silenced.insert(user, until);
        } else {
            silenced.remove(&user);
        }
        Ok(Done {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_refused_replaced_and_flagged_in_any_script() {
        let words = Words {
            refuse: vec!["Forbidden".into(), "违禁".into()],
            replace: vec!["damn".into(), "笨蛋".into()],
            flag: vec!["casino".into()],
        };
        let lists = Lists::new(words).unwrap();
        for bad in ["this is FORBIDDEN", "这是违禁词"] {
            assert!(lists.check(&mut Content::text(bad)).is_err(), "{bad}");
        }
        let mut content = Content::text("Damn, 你这个笨蛋!");
        assert_eq!(lists.check(&mut content), Ok(None));
        assert_eq!(content.text.as_deref(), Some("****, 你这个**!"));
        assert_eq!(lists.check(&mut Content::text("a Casino")), Ok(Some("Casino".to_owned())));
    }

    #[test]
    fn empty_words_are_refused() {
        assert!(Lists::new(Words { refuse: vec![" ".into()], ..Words::default() }).is_err());
    }
}
