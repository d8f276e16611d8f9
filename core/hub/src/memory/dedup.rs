//! The ids seen lately.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use yizhan_talk::Timestamp;

use crate::{message::MessageId, space::Dedup, store::Appended};

#[derive(Default)]
pub(super) struct Seen {
    first: FxHashMap<MessageId, Appended>,
    order: VecDeque<(Timestamp, MessageId)>,
}

impl Seen {
    /// The place of the message that had this id first, if that was lately enough.
    pub(super) fn find(&self, id: MessageId, at: Timestamp, dedup: &Dedup) -> Option<Appended> {
        let first = self.first.get(&id).filter(|first| at.since(first.at) <= dedup.age_max)?;
        Some(Appended { duplicate: true, ..*first })
    }

    /// Remembers an id, and forgets those that the window does not reach any more.
    pub(super) fn remember(&mut self, id: MessageId, appended: Appended, dedup: &Dedup) {
        self.first.insert(id, appended);
        self.order.push_back((appended.at, id));
        self.prune(appended.at, dedup);
    }

    pub(super) fn prune(&mut self, now: Timestamp, dedup: &Dedup) {
        let too_old = |at: Timestamp| now.since(at) > dedup.age_max;
        while self.first.len() > dedup.ids_max || self.order.front().is_some_and(|(at, _)| too_old(*at)) {
            let Some((at, id)) = self.order.pop_front() else { return };
            // An id that came again after its window stands here twice; the newer one counts.
            if self.first.get(&id).is_some_and(|first| first.at == at) {
                self.first.remove(&id);
            }
        }
    }
}
