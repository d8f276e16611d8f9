//! The newest records of a lane, in memory and shared: live readers, recent history, and their encoded forms.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::RwLock;
use yizhan_hub::message::Record;

use crate::codec::{Links, Place};

/// One record and its links.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) links: Links,
    pub(crate) record: Arc<Record>,
}

/// A row of records without a gap that ends with the newest safe one.
#[derive(Debug)]
pub(crate) struct Recent {
    row: RwLock<Row>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Row {
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Everything behind this place is in the row.
    since: Place,
}

impl Recent {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { row: RwLock::default(), bytes_max }
    }

    /// Begins an empty row behind this place.
    pub(crate) fn begin(&self, since: Place) {
        self.row.write().since = since;
    }

    /// Takes the next records, and lets the oldest go.
    pub(crate) fn push(&self, records: impl Iterator<Item = Kept>) {
        // Dropped behind the lock: freeing many records takes a while.
        let mut gone = vec![];
        let mut row = self.row.write();
        for kept in records {
            row.bytes += kept.record.message.weight();
            row.kept.push_back(kept);
        }
        while row.bytes > self.bytes_max {
            let Some(oldest) = row.kept.pop_front() else { break };
            row.bytes -= oldest.record.message.weight();
            row.since = oldest.links.place;
            gone.push(oldest);
        }
        drop(row);
    }

    /// The record at a place, where it is in the row.
    pub(crate) fn find(&self, place: Place) -> Option<Kept> {
        let row = self.row.read();
        if place <= row.since {
            return None;
        }
        let i = row.kept.binary_search_by_key(&place, |kept| kept.links.place).ok()?;
        row.kept.get(i).cloned()
    }

    /// Puts another record at a place, where one is in the row.
    pub(crate) fn replace(&self, place: Place, record: Arc<Record>) {
        let mut row = self.row.write();
        let Ok(i) = row.kept.binary_search_by_key(&place, |kept| kept.links.place) else { return };
        if let Some(kept) = row.kept.get_mut(i) {
            let gone = std::mem::replace(&mut kept.record, record.clone());
            row.bytes = row.bytes - gone.message.weight() + record.message.weight();
        }
    }

    /// Up to `most` records behind a place, in order; `None` where the row begins later.
    pub(crate) fn behind(&self, place: Place, most: usize) -> Option<Vec<Kept>> {
        let row = self.row.read();
        if place < row.since {
            return None;
        }
        let i = row.kept.partition_point(|kept| kept.links.place <= place);
        Some(row.kept.range(i..).take(most).cloned().collect())
    }
}
