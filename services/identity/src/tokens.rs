//! Tokens that this server made: `yz_`, twelve characters that name it, forty-three that nobody guesses.
//!
//! Rows lie under `t/{id}`; under `u/{user}\0{id}` stands which ones a user has. The index entry is
//! written first and removed last, so that no good token is missing from its user's list.

use serde::{Deserialize, Serialize};
use yizhan_hub::{Store, StoreError, store::Expect};
use yizhan_talk::Timestamp;

use crate::{random, rows::Rows, rules::Rule, secret::Secret};

/// What every token of this server begins with.
pub(crate) const TOKEN_PREFIX: &str = "yz_";
/// Characters of a token's public name.
const ID_CHARS: usize = 12;
/// Personal tokens of one user.
pub(crate) const PERSONAL_MAX: usize = 100;
/// Sign-ins of one user that last at the same time; one more ends the oldest.
pub(crate) const LOGINS_MAX: usize = 50;
/// Entries of a user's index that are looked at: more than both together, since some may be leftovers.
const INDEX_MAX: usize = 1_000;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// A sign-in's.
    Login,
    /// Made by a person, for a program or a device.
    Personal,
}

/// A token as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) user: String,
    pub(crate) name: String,
    pub(crate) kind: TokenKind,
    /// SHA-256 of the whole token.
    hash: String,
    pub(crate) created_at: u64,
    pub(crate) expires_at: Option<u64>,
    pub(crate) last_used_at: Option<u64>,
    pub(crate) rules: Option<Vec<Rule>>,
}

impl Token {
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now.as_millis())
    }
}

/// A token, as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenView {
    /// Its public name, which is part of it.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// What its maker calls it.
    pub name: String,
    /// What it is for.
    pub kind: TokenKind,
    /// When it was made, ms.
    pub created_at: u64,
    /// When it ends, ms; `None`: never.
    pub expires_at: Option<u64>,
    /// When it was last used, ms; right to within ten minutes.
    pub last_used_at: Option<u64>,
    /// Whether the one who asks came with it.
    pub current: bool,
    /// Rules of its own.
    pub rules: Option<Vec<Rule>>,
}

/// A fresh token: the only time its text is seen.
#[derive(Debug)]
pub struct MadeToken {
    /// The token itself.
    pub token: Secret<String>,
    /// What it is.
    pub view: TokenView,
}

/// The table of tokens.
pub(crate) struct Tokens {
    rows: Rows<Token>,
    index: Rows<u8>,
}

impl Tokens {
    pub(crate) fn open(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self { rows: Rows::open(store, "tokens")?, index: Rows::open(store, "token-index")? })
    }

    /// Makes a token.
    pub(crate) async fn add(&self, new: NewRow<'_>) -> Result<(String, MadeToken), StoreError> {
        let id = random::letters(ID_CHARS);
        let text = format!("{TOKEN_PREFIX}{id}{}", random::letters(random::SECRET_CHARS));
        let row = Token {
            user: new.user.into(),
            name: new.name.into(),
            kind: new.kind,
            hash: random::fingerprint(&text),
            created_at: new.now.as_millis(),
            expires_at: new.expires_at.map(Timestamp::as_millis),
            last_used_at: None,
            rules: new.rules,
        };
        self.index.put(&index_key(new.user, &id), &1, Expect::Any).await?;
        self.rows.put(&key(&id), &row, Expect::Absent).await?;
        let view = view(id.clone(), row, None);
        Ok((id, MadeToken { token: text.into(), view }))
    }

    /// The token with this text; `None` where there is none.
    pub(crate) async fn check(&self, text: &str) -> Result<Option<(String, Token)>, StoreError> {
        let Some(id) = id_of(text) else { return Ok(None) };
        let found = self.rows.find(&key(id)).await?;
        // The same work for names that are there and names that are not.
        let fingerprint = random::fingerprint(text);
        let hash = found.as_ref().map_or("", |(token, _)| &token.hash);
        let same = random::same(fingerprint.as_bytes(), hash.as_bytes());
        Ok(found.filter(|_| same).map(|(token, _)| (id.to_owned(), token)))
    }

    pub(crate) async fn find(&self, id: &str) -> Result<Option<Token>, StoreError> {
        if !is_id(id) {
            return Ok(None);
        }
        Ok(self.rows.find(&key(id)).await?.map(|(token, _)| token))
    }

    /// A user's tokens, oldest first.
    pub(crate) async fn of(&self, user: &str) -> Result<Vec<(String, Token)>, StoreError> {
        let prefix = index_key(user, "");
        let mut all = Vec::new();
        for (entry, _) in self.index.scan(&prefix, None, INDEX_MAX).await? {
            let id = String::from_utf8_lossy(&entry[prefix.len()..]).into_owned();
            match self.rows.find(&key(&id)).await? {
                Some((token, _)) => all.push((id, token)),
                None => self.index.remove(&entry, Expect::Any).await?,
            }
        }
        all.sort_by_key(|(_, token)| token.created_at);
        Ok(all)
    }

    /// Removes a token; false where it was not there.
    pub(crate) async fn remove(&self, id: &str) -> Result<bool, StoreError> {
        let Some(token) = self.find(id).await? else { return Ok(false) };
        self.rows.remove(&key(id), Expect::Any).await?;
        self.index.remove(&index_key(&token.user, id), Expect::Any).await?;
        Ok(true)
    }

    pub(crate) async fn note_use(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let Some((mut token, version)) = self.rows.find(&key(id)).await? else { return Ok(()) };
        token.last_used_at = Some(now.as_millis());
        match self.rows.put(&key(id), &token, Expect::Version(version)).await {
            Err(StoreError::Conflict) => Ok(()),
            other => other,
        }
    }

    /// Calls `each` for every token.
    pub(crate) async fn each(&self, mut each: impl FnMut(&str, Token)) -> Result<(), StoreError> {
        let prefix = key("");
        self.rows
            .each(&prefix, |key, token| each(&String::from_utf8_lossy(&key[prefix.len()..]), token))
            .await
    }
}

/// A token to be made.
pub(crate) struct NewRow<'a> {
    pub(crate) user: &'a str,
    pub(crate) name: &'a str,
    pub(crate) kind: TokenKind,
    pub(crate) now: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) rules: Option<Vec<Rule>>,
}

/// A token as its user sees it, who came with the token `current`.
pub(crate) fn view(id: String, token: Token, current: Option<&str>) -> TokenView {
    TokenView {
        current: current == Some(&*id),
        id,
        user: token.user,
        name: token.name,
        kind: token.kind,
        created_at: token.created_at,
        expires_at: token.expires_at,
        last_used_at: token.last_used_at,
        rules: token.rules,
    }
}

fn key(id: &str) -> Vec<u8> {
    [b"t/", id.as_bytes()].concat()
}

fn index_key(user: &str, id: &str) -> Vec<u8> {
    [b"u/", user.as_bytes(), b"\0", id.as_bytes()].concat()
}

/// Whether a text has the form of a token of this server.
pub(crate) fn is_like_one(text: &str) -> bool {
    id_of(text).is_some()
}

fn id_of(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(TOKEN_PREFIX)?;
    let fits =
        rest.len() == ID_CHARS + random::SECRET_CHARS && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then(|| &rest[..ID_CHARS])
}

fn is_id(id: &str) -> bool {
    id.len() == ID_CHARS && id.bytes().all(|b| b.is_ascii_alphanumeric())
}
