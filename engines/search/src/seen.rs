//! Which documents may be in the index already, so that a new one costs no removal.

/// Conversations' numbers share this many places; those that share one cost each other removals that
/// find nothing, never a wrong answer. 8 MB, of which only what is used is ever touched.
const PLACES: usize = 1 << 20;

/// The highest seq that was put, by conversation.
pub(crate) struct SeenSeqs {
    /// One more than the highest; 0: none.
    beyond: Vec<u64>,
}

impl SeenSeqs {
    pub(crate) fn new() -> Self {
        Self { beyond: vec![0; PLACES] }
    }

    /// Says whether this document may have been put before, and takes it as put.
    pub(crate) fn put(&mut self, place: u64, seq: u64) -> bool {
        let beyond = &mut self.beyond[place as usize % PLACES];
        if seq < *beyond {
            return true;
        }
        *beyond = seq.saturating_add(1);
        // The very last number has no next one: it always counts as seen.
        seq == u64::MAX
    }

    /// Whether it may have been put.
    pub(crate) fn may_have(&self, place: u64, seq: u64) -> bool {
        seq < self.beyond[place as usize % PLACES] || seq == u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rising_seqs_are_new_and_others_may_not_be() {
        let mut seen = SeenSeqs::new();
        assert!(!seen.put(7, 0));
        assert!(seen.put(7, 0));
        assert!(!seen.put(7, 5));
        assert!(seen.put(7, 3));
        assert!(!seen.put(8, 1));
        assert!(seen.may_have(7, 5) && !seen.may_have(7, 6) && !seen.may_have(9, 0));
        assert!(seen.put(7, u64::MAX) && seen.put(7, u64::MAX));
    }
}
