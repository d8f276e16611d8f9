//! What is asked, and what is found.

use std::{fmt, str::FromStr};

use crate::error::SearchError;

/// Bytes of a query's text; more is refused.
pub const QUERY_BYTES_MAX: usize = 1024;

/// Words of a query, after segmentation; more is refused.
pub const QUERY_WORDS_MAX: usize = 32;

/// Conversations that a query may name; more is refused.
pub const QUERY_CONVERSATIONS_MAX: usize = 10_000;

/// Kinds that a query may name; more is refused.
pub const QUERY_KINDS_MAX: usize = 64;

/// Hits of one page; a query that asks for more gets so many.
pub const HITS_MAX: usize = 100;

/// Up to which number matches are counted: [`Found::total`] goes no further.
pub const TOTAL_MAX: usize = 1000;

/// What is looked for, and where.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The user's words, as typed. All must be there; the last one may be a beginning; quotes hold a phrase
    /// together. There is no syntax that could be wrong. Blank: everything that the other fields let through.
    pub text: String,
    /// What the asker may see: conversations, and the seq after which. Nothing else is ever found.
    pub conversations: Vec<(String, u64)>,
    /// Only what this one sent.
    pub sender: Option<String>,
    /// Only these kinds; empty: all.
    pub kinds: Vec<String>,
    /// Only what was sent at this time or later, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Only what was sent before this time, in milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Goes on after this hit: [`Found::next`] of the page before, with the same query otherwise.
    pub before: Option<Cursor>,
    /// How many hits at most: 1 to [`HITS_MAX`].
    pub limit: usize,
    /// What comes first.
    pub order: Order,
}

/// What comes first in the hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The latest message.
    #[default]
    Newest,
    /// The message that fits best: rare words, whole words and short messages count; of two that fit alike,
    /// the later one.
    Best,
}

/// One page of hits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The hits, in the order that was asked for.
    pub hits: Vec<Hit>,
    /// How many documents match in all, pages before and after included. [`TOTAL_MAX`] means: so many or
    /// more.
    pub total: usize,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Cursor>,
}

/// One message that matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Its conversation.
    pub conversation: String,
    /// Its number there.
    pub seq: u64,
    /// When it was sent, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who sent it.
    pub sender: String,
    /// The part of its text that shows the match, with `…` where it was cut.
    pub snippet: String,
    /// What to highlight: ranges of bytes of the snippet, on characters' borders, in order, apart.
    pub marks: Vec<(usize, usize)>,
}

/// A place between two hits. As text it is opaque, and safe to hand to a client and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) order: Order,
    pub(crate) key: Key,
}

/// What hits are ordered by, the greatest first. No two documents have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The time for [`Order::Newest`], the rank for [`Order::Best`].
    pub(crate) rank: u64,
    pub(crate) at: u64,
    pub(crate) seq: u64,
    pub(crate) place: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.order {
            Order::Newest => 'n',
            Order::Best => 'b',
        };
        let Key { rank, at, seq, place } = self.key;
        write!(out, "{order}{rank:016x}{at:016x}{seq:016x}{place:016x}")
    }
}

impl FromStr for Cursor {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        parse_cursor(text).ok_or(SearchError::BadQuery("this is no cursor of a search"))
    }
}

fn parse_cursor(text: &str) -> Option<Cursor> {
    let order = match text.as_bytes().first()? {
        b'n' => Order::Newest,
        b'b' => Order::Best,
        _ => return None,
    };
    // One spelling each: a sign, which `from_str_radix` takes, is none of ours.
    let digits = text.get(1..)?;
    if digits.len() != 64 || !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let number = |at: usize| u64::from_str_radix(&digits[at * 16..(at + 1) * 16], 16).ok();
    Some(Cursor { order, key: Key { rank: number(0)?, at: number(1)?, seq: number(2)?, place: number(3)? } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_being_text() {
        let key = Key { rank: u64::MAX, at: 1, seq: 0, place: 0xabc };
        for order in [Order::Newest, Order::Best] {
            let cursor = Cursor { order, key };
            assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let long = format!("n{}", "é".repeat(32));
        let sign = format!("n+{}", "0".repeat(63));
        for text in ["", "n", "x", "中", &long, &sign, &format!("n{}", "0".repeat(65))] {
            assert!(text.parse::<Cursor>().is_err(), "{text:?}");
        }
    }
}
