//! What a client asks of a playlist: to wait until it has a segment or a part, and to leave out what it knows
//! (draft-pantos-hls-rfc8216bis §6.2.5).

use std::{borrow::Cow, time::Duration};

/// Segments that a client may ask ahead.
const SEGMENTS_AHEAD_MAX: u64 = 2;
/// Seconds, and parts where they are longer than a second, that a client may ask ahead.
const PARTS_AHEAD: f64 = 3.0;

/// The delivery directives of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// Until when to wait: `_HLS_msn` and `_HLS_part`.
    pub until: Option<Place>,
    /// Whether what is known may be left out: `_HLS_skip`.
    pub delta: bool,
}

/// A segment, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The segment.
    pub msn: u64,
    /// The part; `None` for the whole segment.
    pub part: Option<u32>,
}

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadWish {
    /// Not digits.
    #[error("_HLS_msn and _HLS_part are decimal numbers (rfc8216bis, 6.2.5.2)")]
    NoNumber,
    /// A part of no segment.
    #[error("_HLS_part needs _HLS_msn (rfc8216bis, 6.2.5.2)")]
    PartAlone,
    /// Further ahead than anybody needs.
    #[error("this segment or part lies too far in the future (rfc8216bis, 6.2.5.2)")]
    TooFar,
}

impl Wish {
    /// Reads the directives; all other parameters are left alone.
    ///
    /// # Errors
    /// A number is none, or a part is asked for without its segment.
    pub fn read<'a>(query: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Result<Self, BadWish> {
        let (mut msn, mut part, mut delta) = (None, None, false);
        for (name, value) in query {
            match &*name {
                "_HLS_msn" => msn = Some(value.parse().map_err(|_| BadWish::NoNumber)?),
                "_HLS_part" => part = Some(value.parse().map_err(|_| BadWish::NoNumber)?),
                // `v2` may leave out date ranges as well, of which there are none.
                "_HLS_skip" => delta = matches!(&*value, "YES" | "v2"),
                _ => {}
            }
        }
        match (msn, part) {
            (None, Some(_)) => Err(BadWish::PartAlone),
            (None, None) => Ok(Self { until: None, delta }),
            (Some(msn), part) => Ok(Self { until: Some(Place { msn, part }), delta }),
        }
    }
}

/// Where a playlist ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Edge {
    /// The segment that is being made; all before it are complete.
    pub next: u64,
    /// The parts that it has.
    pub parts: u32,
    /// The parts that the one before it has.
    pub last_parts: u32,
    /// Nothing more comes.
    pub ended: bool,
}

impl Edge {
    /// Whether a playlist that ends here has what is asked for.
    #[must_use]
    pub fn has(&self, place: Place) -> bool {
        let Place { msn, part } = place;
        match part {
            _ if self.ended => true,
            None => msn < self.next,
            // Behind the last part of a segment comes the first one of the next.
            Some(part) if msn.checked_add(1) == Some(self.next) => part < self.last_parts || self.parts > 0,
            Some(part) => msn < self.next || (msn == self.next && part < self.parts),
        }
    }

    /// Whether nobody may wait for this place yet.
    #[must_use]
    pub fn is_too_far(&self, place: Place, part: Option<Duration>) -> bool {
        let Place { msn, part: wanted } = place;
        if self.ended {
            return false;
        }
        // The last one that is complete is the one before `next`.
        if msn.saturating_add(1) > self.next.saturating_add(SEGMENTS_AHEAD_MAX) {
            return true;
        }
        let ahead = part.map_or(PARTS_AHEAD, |part| (PARTS_AHEAD / part.as_secs_f64().min(1.0)).ceil());
        // A small number in any case: parts are at least a tenth of a second.
        let last = self.parts.saturating_add(ahead as u32);
        msn == self.next && wanted.is_some_and(|wanted| wanted >= last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PART: Option<Duration> = Some(Duration::from_millis(200));

    fn wish(query: &[(&'static str, &'static str)]) -> Result<Wish, BadWish> {
        Wish::read(query.iter().map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(*value))))
    }

    fn at(msn: u64, part: impl Into<Option<u32>>) -> Place {
        Place { msn, part: part.into() }
    }

    #[test]
    fn directives_are_read_among_other_parameters() {
        assert_eq!(wish(&[("token", "x")]), Ok(Wish::default()));
        let both = wish(&[("_HLS_msn", "12"), ("a", "b"), ("_HLS_part", "3"), ("_HLS_skip", "YES")]);
        assert_eq!(both, Ok(Wish { until: Some(at(12, 3)), delta: true }));
        assert_eq!(wish(&[("_HLS_msn", "12")]), Ok(Wish { until: Some(at(12, None)), delta: false }));
        assert_eq!(wish(&[("_HLS_part", "3")]), Err(BadWish::PartAlone));
        for bad in ["", "-1", "x", "1.5", "18446744073709551616"] {
            assert_eq!(wish(&[("_HLS_msn", bad)]), Err(BadWish::NoNumber), "{bad}");
        }
        assert_eq!(wish(&[("_HLS_skip", "NO")]), Ok(Wish::default()));
    }

    #[test]
    fn a_playlist_has_what_lies_before_its_edge() {
        let edge = Edge { next: 10, parts: 3, last_parts: 8, ended: false };
        for here in [at(9, None), at(0, None), at(0, 99), at(9, 7), at(9, 8), at(10, 0), at(10, 2)] {
            assert!(edge.has(here), "{here:?}");
        }
        for ahead in [at(10, None), at(10, 3), at(11, 0), at(u64::MAX, 0), at(u64::MAX, None)] {
            assert!(!edge.has(ahead), "{ahead:?}");
        }
        // The ninth part of segment 9 is the first one of segment 10, which is not there yet.
        assert!(!Edge { parts: 0, ..edge }.has(at(9, 8)));
        assert!(Edge { ended: true, ..edge }.has(at(99, 0)));
    }

    #[test]
    fn what_lies_far_ahead_is_not_waited_for() {
        let edge = Edge { next: 10, parts: 3, last_parts: 8, ended: false };
        for near in [at(10, None), at(11, None), at(11, 99), at(10, 3), at(10, 17)] {
            assert!(!edge.is_too_far(near, PART), "{near:?}");
        }
        for far in [at(12, None), at(12, 0), at(10, 18), at(u64::MAX, None), at(10, u32::MAX)] {
            assert!(edge.is_too_far(far, PART), "{far:?}");
        }
        assert!(edge.is_too_far(at(10, 6), Some(Duration::from_secs(2))));
        assert!(!edge.is_too_far(at(10, 5), Some(Duration::from_secs(2))));
        assert!(!Edge { ended: true, ..edge }.is_too_far(at(99, 0), PART));
    }

    proptest! {
        /// Whoever may wait is served once the two segments that they may ask ahead are complete.
        #[test]
        fn every_wait_ends(next in 0_u64..1000, parts in 0_u32..10, msn in 0_u64..1010, part in any::<Option<u32>>()) {
            let edge = Edge { next, parts, last_parts: 10, ended: false };
            let place = Place { msn, part };
            prop_assume!(!edge.is_too_far(place, PART));
            let later = Edge { next: next + 2, parts: 1, last_parts: 10, ended: false };
            prop_assert!(edge.has(place) || later.has(place));
            let end = Edge { ended: true, ..edge };
            prop_assert!(end.has(place));
        }
    }
}
