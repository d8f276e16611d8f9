//! Who may see what: the filter that every match passes.
//!
//! It looks at a column of numbers, document by document. The other way, a union of the postings of 500
//! conversations, was measured beside it over a million messages in 11 segments (`examples/measure.rs`): it costs
//! 9 to 13 ms of CPU whatever the words are, since each conversation is looked up in each segment, and the
//! column 0.2 to 6 ms, some nanoseconds for each match. For a few conversations the postings win, since they
//! name a few hundred documents: there both are used.

use rustc_hash::FxHashMap;
use tantivy::{
    Term,
    query::{BooleanQuery, Query, TermQuery},
    schema::{Field, IndexRecordOption},
};

use crate::schema::number;

/// Conversations up to which their postings are read, beside the filter.
const POSTINGS_MAX: usize = 16;

/// Words of the sieve: 65,536 bits, so that a document of someone else's conversation is told by one bit
/// that is in the processor's nearest memory.
const SIEVE_WORDS: usize = 1024;

/// The conversations that a query may find.
pub(crate) struct Access<'a> {
    sieve: Vec<u64>,
    places: FxHashMap<u64, Seen<'a>>,
}

/// One conversation of an asker.
struct Seen<'a> {
    conversation: &'a str,
    after_seq: u64,
}

impl<'a> Access<'a> {
    pub(crate) fn new(conversations: &'a [(String, u64)]) -> Self {
        let mut access = Self { sieve: vec![0; SIEVE_WORDS], places: FxHashMap::default() };
        for (conversation, after_seq) in conversations {
            let place = number(conversation);
            let (word, bit) = slot(place);
            access.sieve[word] |= bit;
            let seen = Seen { conversation, after_seq: *after_seq };
            // Named twice: the narrower of the two, so that nothing is shown by mistake.
            let kept = access.places.entry(place).or_insert(seen);
            kept.after_seq = kept.after_seq.max(*after_seq);
        }
        access
    }

    /// The seq after which documents of this place may be seen; `None`: none of them.
    #[inline]
    pub(crate) fn after(&self, place: u64) -> Option<u64> {
        let (word, bit) = slot(place);
        if self.sieve[word] & bit == 0 {
            return None;
        }
        self.places.get(&place).map(|seen| seen.after_seq)
    }

    /// Whether this place is this conversation, letter by letter.
    pub(crate) fn is(&self, place: u64, conversation: &str) -> bool {
        self.places.get(&place).is_some_and(|seen| seen.conversation == conversation)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The same as a query, where that is quicker.
    pub(crate) fn postings(&self, place: Field) -> Option<Box<dyn Query>> {
        (self.places.len() <= POSTINGS_MAX)
            .then(|| any(self.places.keys().map(|key| Term::from_field_u64(place, *key))))
    }
}

/// Documents with any of these terms.
pub(crate) fn any(terms: impl Iterator<Item = Term>) -> Box<dyn Query> {
    let each = |term| Box::new(TermQuery::new(term, IndexRecordOption::Basic)) as Box<dyn Query>;
    Box::new(BooleanQuery::union(terms.map(each).collect()))
}

fn slot(place: u64) -> (usize, u64) {
    ((place >> 6) as usize % SIEVE_WORDS, 1 << (place & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_conversations_pass() {
        let named: Vec<(String, u64)> = (0..500).map(|n| (format!("c{n}"), n)).collect();
        let access = Access::new(&named);
        for n in 0..500 {
            assert_eq!(access.after(number(&format!("c{n}"))), Some(n));
        }
        for n in 500..5000 {
            assert_eq!(access.after(number(&format!("c{n}"))), None);
        }
        assert!(access.is(number("c1"), "c1") && !access.is(number("c1"), "c2"));
    }

    #[test]
    fn a_conversation_named_twice_is_as_narrow_as_it_was_once() {
        let named = [("c".to_owned(), 9), ("c".to_owned(), 3)];
        assert_eq!(Access::new(&named).after(number("c")), Some(9));
    }
}
