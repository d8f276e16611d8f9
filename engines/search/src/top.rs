//! The matches that make a page, kept while all of them go by.

use std::{cmp::Reverse, collections::BinaryHeap};

use tantivy::DocId;

use crate::query::{Cursor, HITS_MAX, Key, Order, Query, TOTAL_MAX};

/// A match and its place in the order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Best {
    pub(crate) key: Key,
    pub(crate) segment: u32,
    pub(crate) doc: DocId,
}

/// The matches that make a page, while more of them come in.
pub(crate) struct Top {
    order: Order,
    before: Option<Key>,
    limit: usize,
    /// One more than the page has, to see whether another one follows. The least is on top.
    kept: BinaryHeap<Reverse<Best>>,
    total: usize,
}

/// What [`Top`] kept.
pub(crate) struct Page {
    pub(crate) hits: Vec<Best>,
    pub(crate) total: usize,
    pub(crate) next: Option<Cursor>,
}

impl Top {
    pub(crate) fn new(query: &Query) -> Self {
        Self {
            order: query.order,
            before: query.before.map(|before| before.key),
            limit: query.limit.clamp(1, HITS_MAX),
            kept: BinaryHeap::new(),
            total: 0,
        }
    }

    /// A match, in any order.
    pub(crate) fn offer(&mut self, best: Best) {
        self.total = (self.total + 1).min(TOTAL_MAX);
        if self.before.is_some_and(|before| best.key >= before) {
            return;
        }
        if self.kept.len() <= self.limit {
            self.kept.push(Reverse(best));
        } else if let Some(mut least) = self.kept.peek_mut()
            && best > least.0
        {
            *least = Reverse(best);
        }
    }

    /// Whether documents up to this time can change nothing any more, neither the page nor the total.
    pub(crate) fn is_settled(&self, newest: u64) -> bool {
        let full =
            self.kept.len() > self.limit && self.kept.peek().is_some_and(|least| least.0.key.at > newest);
        full && self.total == TOTAL_MAX
    }

    pub(crate) fn page(self) -> Page {
        let mut hits: Vec<Best> = self.kept.into_sorted_vec().into_iter().map(|Reverse(best)| best).collect();
        let more = hits.len() > self.limit;
        hits.truncate(self.limit);
        let last = hits.last().map(|best| Cursor { order: self.order, key: best.key });
        Page { hits, total: self.total, next: last.filter(|_| more) }
    }
}
