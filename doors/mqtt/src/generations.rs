//! How often each packet identifier of the client's was released: what tells its messages of QoS 2 apart.
//!
//! A client uses an identifier again once its exchange is completed (MQTT 5 §2.2.1). The hub knows a message
//! again by its identifier and how often that was released before: the same for a PUBLISH that comes again,
//! after a crash too, since it grows with PUBREL only and is safe before PUBCOMP is said. Clients count their
//! identifiers up, or take the lowest free one, so neighbours mostly have the same number: runs are kept.

/// Runs that are kept at most. A client that takes identifiers at random has more; then all identifiers are
/// taken to have been released once more than any was, which only a crash in that very moment could tell.
const RUNS_MAX: usize = 4096;

/// For each identifier, how often it was released.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Generations {
    runs: Option<Box<Runs>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Runs {
    /// First identifier and number of each run but the one that begins with identifier 0. Neighbours differ.
    rest: Vec<(u16, u64)>,
    /// The number of that one.
    first: u64,
}

impl Generations {
    /// How often this identifier was released.
    pub(crate) fn of(&self, id: u16) -> u64 {
        self.runs.as_ref().map_or(0, |runs| runs.of(id))
    }

    /// This identifier was released once more.
    pub(crate) fn release(&mut self, id: u16) {
        self.runs.get_or_insert_default().release(id);
    }

    /// The first identifier and the number of each run.
    pub(crate) fn runs(&self) -> Vec<(u16, u64)> {
        let Some(runs) = &self.runs else { return Vec::new() };
        std::iter::once((0, runs.first)).chain(runs.rest.iter().copied()).collect()
    }

    /// What [`runs`](Self::runs) gave; `None` where it cannot have given that.
    pub(crate) fn from_runs(runs: &[(u16, u64)]) -> Option<Self> {
        let Some(((id, first), rest)) = runs.split_first() else { return Some(Self::default()) };
        let grow = runs.windows(2).all(|two| two[0].0 < two[1].0);
        let runs = Runs { rest: rest.to_vec(), first: *first };
        (*id == 0 && grow && rest.len() <= RUNS_MAX).then(|| Self { runs: Some(Box::new(runs)) })
    }
}

impl Runs {
    fn of(&self, id: u16) -> u64 {
        match self.rest.partition_point(|(start, _)| *start <= id) {
            0 => self.first,
            behind => self.rest[behind - 1].1,
        }
    }

    fn release(&mut self, id: u16) {
        let number = self.of(id);
        if let Some(next) = id.checked_add(1) {
            self.split_at(next);
        }
        self.split_at(id);
        self.set(id, number + 1);
        self.join_at(id);
        if let Some(next) = id.checked_add(1) {
            self.join_at(next);
        }
        if self.rest.len() > RUNS_MAX {
            let most = self.rest.iter().map(|(_, number)| *number).max().unwrap_or(0).max(self.first);
            (self.rest, self.first) = (Vec::new(), most + 1);
        }
    }

    /// Makes a run begin with this identifier.
    fn split_at(&mut self, id: u16) {
        if id == 0 {
            return;
        }
        if let Err(at) = self.rest.binary_search_by_key(&id, |(start, _)| *start) {
            let number = self.of(id);
            self.rest.insert(at, (id, number));
        }
    }

    /// Sets the number of the run that begins with this identifier.
    fn set(&mut self, id: u16, number: u64) {
        match self.rest.binary_search_by_key(&id, |(start, _)| *start) {
            Ok(at) => self.rest[at].1 = number,
            Err(_) => self.first = number,
        }
    }

    /// Takes the run that begins with this identifier into the one before it, where both have one number.
    fn join_at(&mut self, id: u16) {
        if let Ok(at) = self.rest.binary_search_by_key(&id, |(start, _)| *start) {
            let before = if at == 0 { self.first } else { self.rest[at - 1].1 };
            if before == self.rest[at].1 {
                self.rest.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_counts_up_needs_two_runs_and_who_takes_the_lowest_needs_few() {
        let mut generations = Generations::default();
        for round in 0..3 {
            for id in 1..=u16::MAX {
                generations.release(id);
                assert!(generations.runs().len() <= 3);
            }
            assert_eq!(generations.of(7), round + 1);
        }
        let mut generations = Generations::default();
        for n in 0..1000 {
            generations.release(1 + n % 20);
        }
        assert!(generations.runs().len() <= 21);
    }

    #[test]
    fn who_takes_identifiers_at_random_never_has_an_old_number_again() {
        let mut generations = Generations::default();
        for n in 0..20_000u32 {
            let id = (n.wrapping_mul(40_503) % 65_535 + 1) as u16;
            let before = generations.of(id);
            generations.release(id);
            assert!(generations.of(id) > before && generations.runs().len() <= RUNS_MAX + 1);
        }
    }

    proptest! {
        #[test]
        fn runs_are_a_count_of_each(ids in prop::collection::vec(prop_oneof![0u16..40, 65_500..=u16::MAX], 0..300)) {
            let (mut generations, mut counts) = (Generations::default(), BTreeMap::new());
            for id in ids {
                generations.release(id);
                *counts.entry(id).or_insert(0u64) += 1;
            }
            for id in (0..60).chain(65_480..=u16::MAX) {
                prop_assert_eq!(generations.of(id), counts.get(&id).copied().unwrap_or(0));
            }
            let runs = generations.runs();
            prop_assert!(runs.windows(2).all(|two| two[0].1 != two[1].1));
            prop_assert_eq!(Generations::from_runs(&runs), Some(generations));
        }
    }
}
