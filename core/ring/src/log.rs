//! The log itself: a queue whose places have numbers that never change.

use std::collections::VecDeque;

/// How much a log holds. What is over any of them goes, oldest first; the newest item always stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Items.
    pub items_max: usize,
    /// The sum of the items' weights, in whatever unit the pusher gives; bytes as a rule.
    pub weight_max: usize,
}

impl Limits {
    /// No limit at all: the owner takes out what is too much.
    pub const NONE: Self = Self { items_max: usize::MAX, weight_max: usize::MAX };
}

/// A bounded log for one owner. Positions are dense and never used twice.
#[derive(Debug)]
pub struct Log<T> {
    items: VecDeque<(T, usize)>,
    /// The position that the next item gets.
    next: u64,
    weight: usize,
    limits: Limits,
}

impl<T> Log<T> {
    /// An empty log whose first item gets the position `first`.
    #[must_use]
    pub fn new(limits: Limits, first: u64) -> Self {
        Self { items: VecDeque::new(), next: first, weight: 0, limits }
    }

    /// Appends an item, takes the oldest ones out where the limits ask for it, and gives the item's position.
    pub fn push(&mut self, item: T, weight: usize) -> u64 {
        let position = self.next;
        self.next += 1;
        self.weight = self.weight.saturating_add(weight);
        self.items.push_back((item, weight));
        while self.items.len() > 1
            && (self.items.len() > self.limits.items_max || self.weight > self.limits.weight_max)
        {
            self.pop_oldest();
        }
        position
    }

    /// Takes the oldest item out, with its position.
    pub fn pop_oldest(&mut self) -> Option<(u64, T)> {
        let position = self.oldest();
        let (item, weight) = self.items.pop_front()?;
        self.weight = self.weight.saturating_sub(weight);
        Some((position, item))
    }

    /// The item at a position; `None` where it is gone or not there yet.
    #[must_use]
    pub fn at(&self, position: u64) -> Option<&T> {
        let index = position.checked_sub(self.oldest())?;
        self.items.get(usize::try_from(index).ok()?).map(|(item, _)| item)
    }

    /// The item at a position, to change it; its weight stays.
    #[must_use]
    pub fn at_mut(&mut self, position: u64) -> Option<&mut T> {
        let index = position.checked_sub(self.oldest())?;
        self.items.get_mut(usize::try_from(index).ok()?).map(|(item, _)| item)
    }

    /// The items at `from` and behind it, oldest first. What is gone is left out.
    pub fn from(&self, from: u64) -> impl Iterator<Item = (u64, &T)> {
        let oldest = self.oldest();
        let skip = usize::try_from(from.saturating_sub(oldest)).unwrap_or(usize::MAX).min(self.items.len());
        (oldest + skip as u64..).zip(self.items.range(skip..).map(|(item, _)| item))
    }

    /// The position of the newest item that is as asked for.
    pub fn newest_where(&self, mut wanted: impl FnMut(&T) -> bool) -> Option<u64> {
        let index = self.items.iter().rposition(|(item, _)| wanted(item))?;
        Some(self.oldest() + index as u64)
    }

    /// The position of the oldest item; that of the next one where there is none.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.next - self.items.len() as u64
    }

    /// The position that the next item gets.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many items are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The sum of the weights of the items that are there.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }
}
