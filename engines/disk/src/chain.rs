//! A topic's records as a chain on disk, with a few places of it in memory.
//!
//! Every record knows the one before it and the one whose number is its own with the lowest set bit
//! cleared. In memory there is, for each power of two, the newest record whose number is a multiple of it.
//! From there any record is found in O(log²) steps, so a journal needs no index of its records.

use smallvec::SmallVec;
use yizhan_talk::Timestamp;

use crate::{
    codec::{Links, Place},
    shelf::Dormant,
};

/// The end of a topic's chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The newest record's number; 0 before the first.
    pub(crate) seq: u64,
    /// The latest `at` of any record.
    pub(crate) high: Timestamp,
    /// `anchors[k]` is the newest record whose number is a multiple of 2^k; 0 where it is not known.
    pub(crate) anchors: SmallVec<[Place; 4]>,
}

impl Chain {
    /// The newest record's place; 0 before the first.
    pub(crate) fn newest(&self) -> Place {
        self.anchors.first().copied().unwrap_or(0)
    }

    /// The links of the record that comes next.
    pub(crate) fn next(&self, place: Place, at: Timestamp) -> Links {
        let seq = self.seq + 1;
        // The number with its lowest bit cleared is the newest multiple of twice that bit.
        let skip = self.anchors.get(seq.trailing_zeros() as usize + 1).copied().unwrap_or(0);
        Links { place, seq, prev: self.newest(), skip, at, high: self.high.max(at) }
    }

    /// Takes a record in as the newest. Numbers may have been lost before it (damage, retention); what is
    /// not newer than the newest is passed over.
    pub(crate) fn push(&mut self, links: &Links) {
        if links.seq <= self.seq {
            return;
        }
        let powers = 64 - links.seq.leading_zeros() as usize;
        self.anchors.resize(powers, 0);
        for (k, anchor) in self.anchors.iter_mut().enumerate() {
            if links.seq.trailing_zeros() as usize >= k {
                *anchor = links.place;
            } else if self.seq >> k != links.seq >> k {
                // The newest multiple lies between the two and was lost.
                *anchor = 0;
            }
        }
        self.seq = links.seq;
        self.high = self.high.max(links.high);
    }

    /// Goes on with a topic of which retention left only the number.
    pub(crate) fn wake(&mut self, dormant: &Dormant) {
        if dormant.seq > self.seq {
            self.push(&Links {
                place: dormant.place,
                seq: dormant.seq,
                prev: 0,
                skip: 0,
                at: dormant.high,
                high: dormant.high,
            });
        }
    }

    /// Number and place of the known records at `floor` or behind it, the oldest first.
    fn starts(&self, floor: Place) -> impl Iterator<Item = (u64, Place)> + '_ {
        let known = self.anchors.iter().enumerate().rev();
        known.map(|(k, place)| ((self.seq >> k) << k, *place)).filter(move |(_, place)| *place > floor)
    }

    /// The oldest record behind `floor` for which `wanted` holds; it must hold for every newer one, too.
    /// `None` where it does not hold for the newest, or nothing is left of the topic.
    pub(crate) fn oldest<E>(
        &self,
        floor: Place,
        mut read: impl FnMut(Place) -> Result<Links, E>,
        mut wanted: impl FnMut(&Links) -> bool,
    ) -> Result<Option<Links>, E> {
        let mut found = None;
        for (_, place) in self.starts(floor) {
            let links = read(place)?;
            if wanted(&links) {
                found = Some(links);
                break;
            }
        }
        let Some(mut found) = found else { return Ok(None) };
        loop {
            // What the far link cannot reach, the near one and its far links do.
            let mut older = None;
            for place in [found.skip, found.prev] {
                if place > floor && older.is_none() {
                    older = Some(read(place)?).filter(&mut wanted);
                }
            }
            match older {
                Some(older) => found = older,
                None => return Ok(Some(found)),
            }
        }
    }

    /// The record with this number, or the next newer one that is left. `None` where there is none.
    pub(crate) fn find<E>(
        &self,
        seq: u64,
        floor: Place,
        mut read: impl FnMut(Place) -> Result<Links, E>,
    ) -> Result<Option<Links>, E> {
        let Some((_, place)) = self.starts(floor).find(|(start, _)| *start >= seq) else { return Ok(None) };
        let mut found = read(place)?;
        loop {
            let far = found.seq & (found.seq - 1);
            found = if found.seq <= seq {
                return Ok(Some(found));
            } else if far >= seq && found.skip > floor {
                read(found.skip)?
            } else if found.prev > floor {
                read(found.prev)?
            } else {
                return Ok(Some(found));
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible};

    use super::*;

    /// A topic's records at places 10, 20, 30, … with times that sometimes fall.
    fn chain_of(count: u64) -> (Chain, Vec<Links>) {
        let mut chain = Chain::default();
        let records = (1..=count)
            .map(|n| {
                let links = chain.next(n * 10, Timestamp(if n % 7 == 0 { n / 2 } else { n }));
                chain.push(&links);
                links
            })
            .collect();
        (chain, records)
    }

    fn reader<'a>(
        records: &'a [Links],
        reads: &'a Cell<usize>,
    ) -> impl FnMut(Place) -> Result<Links, Infallible> + 'a {
        move |place| {
            reads.set(reads.get() + 1);
            Ok(records[place as usize / 10 - 1])
        }
    }

    #[test]
    fn links_point_where_they_say() {
        let (_, records) = chain_of(300);
        for r in &records {
            assert_eq!(r.prev, (r.seq - 1) * 10);
            assert_eq!(r.skip, (r.seq & (r.seq - 1)) * 10);
        }
    }

    #[test]
    fn every_number_is_found_in_few_steps() {
        let (chain, records) = chain_of(10_000);
        for seq in (1..=10_000).step_by(13) {
            let reads = Cell::new(0);
            let found = chain.find(seq, 0, reader(&records, &reads)).unwrap().unwrap();
            assert_eq!(found.seq, seq);
            assert!(reads.get() < 110, "{} reads for {seq}", reads.get());
        }
        assert_eq!(chain.find(10_001, 0, reader(&records, &Cell::new(0))), Ok(None));
    }

    #[test]
    fn the_oldest_that_is_left_is_found_at_every_floor() {
        let (chain, records) = chain_of(1000);
        for floor in (0..=10_000).step_by(95) {
            let reads = Cell::new(0);
            let expected = records.iter().find(|r| r.place > floor).copied();
            assert_eq!(chain.oldest(floor, reader(&records, &reads), |_| true).unwrap(), expected);
            assert!(reads.get() < 200, "{} reads for {floor}", reads.get());
            assert_eq!(chain.find(1, floor, reader(&records, &reads)).unwrap(), expected);
        }
    }

    #[test]
    fn the_first_since_a_moment_is_found_though_clocks_fall() {
        let (chain, records) = chain_of(1000);
        for at in 0..1100 {
            let found =
                chain.oldest(0, reader(&records, &Cell::new(0)), |l| l.high >= Timestamp(at)).unwrap();
            assert_eq!(found, records.iter().find(|r| r.at >= Timestamp(at)).copied(), "{at}");
        }
    }

    #[test]
    fn numbers_lost_before_a_record_leave_no_false_places() {
        let (_, records) = chain_of(2000);
        for (from, lost) in [(1, 5), (37, 64), (500, 1), (999, 513), (1, 1990)] {
            let mut chain = Chain::default();
            for r in records.iter().filter(|r| r.seq < from || r.seq >= from + lost) {
                chain.push(r);
            }
            for (k, place) in chain.anchors.iter().enumerate().filter(|(_, place)| **place > 0) {
                assert_eq!(*place, ((2000 >> k) << k) * 10);
            }
            assert_eq!((chain.seq, chain.newest()), (2000, 20_000));
        }
    }

    #[test]
    fn what_is_taken_in_again_changes_nothing() {
        let (chain, records) = chain_of(100);
        let mut again = chain.clone();
        records.iter().for_each(|r| again.push(r));
        assert_eq!(again, chain);
    }
}
