//! One membership: everything about one person in one conversation. The row `u/USER/ID`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Messages that one deleted for oneself, in one conversation; the oldest come back beyond it.
pub(crate) const DELETED_MAX: usize = 10_000;
/// Own messages that are not to count as unread; beyond it the oldest count.
const OWN_MAX: usize = 4096;
/// Mentions that wait to be read; beyond it the oldest are not told apart from other messages.
const MENTIONS_MAX: usize = 1000;
/// Messages that burn for one person at the same time; beyond it the oldest are gone at once.
const BURNS_MAX: usize = 1000;
/// Devices whose place is remembered.
const DEVICES_MAX: usize = 16;

/// What somebody may do in a conversation.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    Default,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Reads, and writes where the conversation lets members write.
    #[default]
    Member,
    /// Adds, removes and mutes others, and changes what the conversation says of itself.
    Admin,
    /// One of each group: all of that, roles, and the end of the group.
    Owner,
}

/// When a message rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Notify {
    /// Always.
    #[default]
    All,
    /// Where it mentions one.
    Mentions,
    /// Never.
    None,
}

/// One membership. Times are milliseconds since 1970, places are messages' numbers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Member {
    #[serde(rename = "r", skip_serializing_if = "is_default")]
    pub(crate) role: Role,
    #[serde(rename = "j")]
    pub(crate) joined_at: u64,
    /// Nothing up to here was said while one was there.
    #[serde(rename = "js", skip_serializing_if = "is_default")]
    pub(crate) joined_seq: u64,
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    pub(crate) nick: Option<String>,
    #[serde(rename = "at", skip_serializing_if = "Map::is_empty")]
    pub(crate) attributes: Map<String, Value>,
    /// Silent until then; the far end of time for good.
    #[serde(rename = "mu", skip_serializing_if = "is_default")]
    pub(crate) muted_until: u64,
    /// May speak though all are muted.
    #[serde(rename = "al", skip_serializing_if = "is_default")]
    pub(crate) allowed: bool,
    /// Has blocked the other one (direct conversations).
    #[serde(rename = "bl", skip_serializing_if = "is_default")]
    pub(crate) blocks: bool,
    #[serde(rename = "rd", skip_serializing_if = "is_default")]
    pub(crate) read: u64,
    /// When that was.
    #[serde(rename = "ra", skip_serializing_if = "is_default")]
    pub(crate) read_at: u64,
    /// Each device's place.
    #[serde(rename = "dl", skip_serializing_if = "Vec::is_empty")]
    pub(crate) delivered: Vec<(Arc<str>, u64)>,
    /// Own messages after `read`.
    #[serde(rename = "ow", skip_serializing_if = "Vec::is_empty")]
    pub(crate) own: Vec<u64>,
    /// Messages after `read` that mention one.
    #[serde(rename = "mn", skip_serializing_if = "Vec::is_empty")]
    pub(crate) mentions: Vec<u64>,
    #[serde(rename = "pi", skip_serializing_if = "is_default")]
    pub(crate) pinned_at: u64,
    #[serde(rename = "no", skip_serializing_if = "is_default")]
    pub(crate) notify: Notify,
    #[serde(rename = "nu", skip_serializing_if = "is_default")]
    pub(crate) notify_until: u64,
    #[serde(rename = "mk", skip_serializing_if = "is_default")]
    pub(crate) marked_unread: bool,
    #[serde(rename = "dr", skip_serializing_if = "Option::is_none")]
    pub(crate) draft: Option<String>,
    #[serde(rename = "hd", skip_serializing_if = "is_default")]
    pub(crate) hidden: bool,
    /// The newest message when it was taken off the list: one behind it brings it back.
    #[serde(rename = "hs", skip_serializing_if = "is_default")]
    pub(crate) hidden_seq: u64,
    /// Nothing up to here is shown any more: cleared for oneself.
    #[serde(rename = "cl", skip_serializing_if = "is_default")]
    pub(crate) cleared: u64,
    /// Deleted for oneself, sorted.
    #[serde(rename = "de", skip_serializing_if = "Vec::is_empty")]
    pub(crate) deleted: Vec<u64>,
    /// Messages that burn, each with the time from which it is not shown any more.
    #[serde(rename = "bu", skip_serializing_if = "Vec::is_empty")]
    pub(crate) burns: Vec<(u64, u64)>,
    /// When anything of this changed.
    #[serde(rename = "ch")]
    pub(crate) changed_at: u64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Member {
    /// The newest place that any device has.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.iter().map(|(_, seq)| *seq).max().unwrap_or(0).max(self.read)
    }

    /// Nothing up to here is shown.
    pub(crate) fn hidden_through(&self, from_join: bool) -> u64 {
        if from_join { self.cleared.max(self.joined_seq) } else { self.cleared }
    }

    /// Whether this message is shown.
    pub(crate) fn shows(&self, seq: u64, from_join: bool) -> bool {
        seq > self.hidden_through(from_join) && self.deleted.binary_search(&seq).is_err()
    }

    /// Whether this message is shown, now that some have burnt.
    pub(crate) fn sees(&self, seq: u64, from_join: bool, now: u64) -> bool {
        self.shows(seq, from_join) && !self.burns.iter().any(|(burning, due)| *burning == seq && *due <= now)
    }

    /// A message that was read now is not shown any more from `due` on.
    pub(crate) fn burns(&mut self, seq: u64, due: u64, now: u64) {
        let full = self.burns.len() >= BURNS_MAX;
        let mut first = true;
        let mut burnt = Vec::new();
        self.burns.retain(|(seq, due)| {
            let goes = *due <= now || (full && std::mem::take(&mut first));
            if goes {
                burnt.push(*seq);
            }
            !goes
        });
        self.deletes(&burnt);
        self.burns.push((seq, due));
    }

    /// Is not mentioned any more by a message that was recalled; gives whether the row changed.
    pub(crate) fn unmentioned(&mut self, seq: u64) -> bool {
        let known = self.mentions.binary_search(&seq);
        if let Ok(at) = known {
            self.mentions.remove(at);
        }
        known.is_ok()
    }

    /// Reads up to here; false where that is nothing new.
    pub(crate) fn reads(&mut self, seq: u64, at: u64) -> bool {
        let marked = std::mem::take(&mut self.marked_unread);
        if seq <= self.read {
            return marked;
        }
        self.read = seq;
        self.read_at = at;
        let through = |list: &mut Vec<u64>| {
            let known = list.partition_point(|own| *own <= seq);
            list.drain(..known);
        };
        through(&mut self.own);
        through(&mut self.mentions);
        true
    }

    /// A device has everything up to here; false where that is nothing new.
    pub(crate) fn receives(&mut self, device: &Arc<str>, seq: u64) -> bool {
        let place = match self.delivered.iter().position(|(name, _)| name == device) {
            Some(at) => at,
            None => {
                if self.delivered.len() >= DEVICES_MAX {
                    // The one that is furthest behind was not here for the longest time.
                    let oldest =
                        (0..self.delivered.len()).min_by_key(|at| self.delivered[*at].1).unwrap_or(0);
                    self.delivered.remove(oldest);
                }
                self.delivered.push((device.clone(), 0));
                self.delivered.len() - 1
            }
        };
        let newer = seq > self.delivered[place].1;
        if newer {
            self.delivered[place].1 = seq;
        }
        newer
    }

    /// Has sent a message. Applied again, it changes nothing. Gives whether the row changed.
    pub(crate) fn sent(&mut self, seq: u64, at: u64) -> bool {
        if seq <= self.read {
            return false;
        }
        // Where everything before it is read, or one's own, one cannot have missed anything.
        let before = self.own.partition_point(|own| *own < seq);
        if seq == self.read + 1 + before as u64 {
            self.read = seq;
            // Applied again, later ones may be there already.
            let mut through = self.own.partition_point(|own| *own <= seq);
            while self.own.get(through) == Some(&(self.read + 1)) {
                self.read += 1;
                through += 1;
            }
            self.own.drain(..through);
            self.read_at = at;
            return true;
        }
        insert(&mut self.own, seq, OWN_MAX)
    }

    /// Is mentioned by a message. Applied again, it changes nothing. Gives whether the row changed.
    pub(crate) fn mentioned(&mut self, seq: u64) -> bool {
        seq > self.read && insert(&mut self.mentions, seq, MENTIONS_MAX)
    }

    /// Does not want to see these; gives whether the row changed.
    pub(crate) fn deletes(&mut self, seqs: &[u64]) -> bool {
        let before = self.deleted.len();
        for seq in seqs {
            insert(&mut self.deleted, *seq, DELETED_MAX);
        }
        self.deleted.len() != before
    }

    /// Unread messages, where the conversation's newest is `newest` and these were `recalled`, each with its sender.
    pub(crate) fn unread(&self, me: &str, newest: u64, recalled: &[(u64, Arc<str>)], from_join: bool) -> u64 {
        let from = self.read.max(self.hidden_through(from_join));
        let own = self.own.len() - self.own.partition_point(|seq| *seq <= from);
        let gone =
            recalled.iter().rev().take_while(|(seq, _)| *seq > from).filter(|(_, by)| &**by != me).count();
        newest.saturating_sub(from).saturating_sub((own + gone) as u64)
    }

    /// Unread messages that mention this person; `all` mention everybody, each with its sender.
    pub(crate) fn mentions(&self, me: &str, all: &[(u64, Arc<str>)], from_join: bool) -> u64 {
        let from = self.read.max(self.hidden_through(from_join));
        let mine = self.mentions.iter().rev().take_while(|seq| **seq > from).count();
        let of_all = all
            .iter()
            .rev()
            .take_while(|(seq, _)| *seq > from)
            .filter(|(seq, by)| &**by != me && self.mentions.binary_search(seq).is_err())
            .count();
        (mine + of_all) as u64
    }

    /// Whether a message rings for this person.
    pub(crate) fn rings(&self, mentioned: bool, now: u64) -> bool {
        let muted = self.notify_until == 0 || self.notify_until > now;
        match self.notify {
            Notify::All => true,
            Notify::Mentions => mentioned || !muted,
            Notify::None => !muted,
        }
    }
}

/// Puts a number into a sorted list that has no room for more than `max`: the smallest goes.
fn insert(list: &mut Vec<u64>, seq: u64, max: usize) -> bool {
    match list.binary_search(&seq) {
        Ok(_) => false,
        Err(at) => {
            list.insert(at, seq);
            if list.len() > max {
                list.remove(0);
            }
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sending_reads_only_what_nothing_stands_before() {
        let mut member = Member::default();
        assert!(member.sent(1, 0));
        assert_eq!((member.read, member.unread("ann", 1, &[], false)), (1, 0));
        // 2 is of somebody else.
        assert!(member.sent(3, 0));
        assert_eq!((member.read, member.unread("ann", 3, &[], false)), (1, 1));
        assert!(!member.sent(3, 0), "a second time it changes nothing");
        assert!(member.reads(2, 0));
        assert_eq!(member.unread("ann", 3, &[], false), 0);
        assert!(!member.reads(1, 0), "a cursor never goes back");
    }

    #[test]
    fn messages_that_are_applied_again_in_any_order_count_once() {
        let mut member = Member::default();
        for seq in [5, 8, 10, 13, 5, 8] {
            member.sent(seq, 0);
        }
        assert_eq!((member.read, member.unread("ann", 13, &[], false)), (0, 9));
        for seq in [3, 2, 1] {
            member.sent(seq, 0);
        }
        assert_eq!((member.read, member.unread("ann", 13, &[], false)), (3, 6));
    }

    proptest! {
        #[test]
        fn unread_is_what_others_said_after_the_cursor(steps in prop::collection::vec(0_u8..4, 1..80)) {
            let mut member = Member::default();
            let mut senders: Vec<bool> = Vec::new();
            let mut recalled: Vec<(u64, Arc<str>)> = Vec::new();
            for step in steps {
                match step {
                    0 => {
                        senders.push(true);
                        member.sent(senders.len() as u64, 0);
                    }
                    1 => senders.push(false),
                    2 => {
                        let read = (member.read + 1).min(senders.len() as u64);
                        member.reads(read, 0);
                    }
                    _ => {
                        let seq = senders.len() as u64;
                        if seq > 0 && !recalled.iter().any(|(s, _)| *s == seq) {
                            let by = if senders[senders.len() - 1] { "ann" } else { "bob" };
                            recalled.push((seq, by.into()));
                        }
                    }
                }
                let truth = senders.iter().zip(1_u64..).filter(|(own, seq)| {
                    !**own && *seq > member.read && !recalled.iter().any(|(s, _)| s == seq)
                });
                prop_assert_eq!(member.unread("ann", senders.len() as u64, &recalled, false), truth.count() as u64);
            }
        }
    }
}
