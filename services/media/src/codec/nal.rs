//! NAL units of H.264 and H.265: behind lengths, as FLV and MP4 have them, or behind start codes, as MPEG-TS and encoders
//! have them (ISO 14496-10 Annex B).

use bytes::{BufMut, Bytes, BytesMut};

use super::CodecError;

/// What stands before a unit in Annex B.
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The NAL units of data with lengths of four bytes. Ends where a length claims more than there is; empty units are
/// left out.
#[must_use]
pub const fn units(data: &[u8]) -> Units<'_> {
    Units { rest: data }
}

/// See [`units`].
#[derive(Debug, Clone)]
pub struct Units<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let (unit, rest) = split(self.rest, 4)?;
            self.rest = rest;
            if !unit.is_empty() {
                return Some(unit);
            }
        }
    }
}

/// The first unit and what is behind it.
fn split(data: &[u8], length_size: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_at_checked(length_size)?;
    let length = length.iter().fold(0_usize, |value, byte| value << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

/// Makes sure that data is NAL units behind lengths of four bytes, at least one of them, up to its end.
///
/// # Errors
/// It is not.
pub fn check(data: &[u8]) -> Result<(), CodecError> {
    walk(data, 4).map(drop)
}

/// How many units there are, and their bytes without lengths.
fn walk(data: &[u8], length_size: usize) -> Result<(usize, usize), CodecError> {
    let (mut rest, mut units, mut bytes) = (data, 0, 0);
    while !rest.is_empty() {
        let (unit, behind) = split(rest, length_size)
            .ok_or(CodecError::Bad { codec: "NAL", why: "a unit is longer than its frame" })?;
        rest = behind;
        if !unit.is_empty() {
            units += 1;
            bytes += unit.len();
        }
    }
    if units == 0 {
        return Err(CodecError::Bad { codec: "NAL", why: "a frame has no unit" });
    }
    Ok((units, bytes))
}

/// Data with lengths of four bytes, made of data with lengths of `length_size` (1 to 4). Data that has four is checked
/// and stays what it is.
///
/// # Errors
/// A unit is longer than the data, or there is none.
pub fn relength(data: &Bytes, length_size: u8) -> Result<Bytes, CodecError> {
    let size = usize::from(length_size);
    let (units, bytes) = walk(data, size)?;
    if size == START_CODE.len() {
        return Ok(data.clone());
    }
    let mut into = BytesMut::with_capacity(bytes + units * 4);
    let mut rest = &data[..];
    while let Some((unit, behind)) = split(rest, size) {
        put(unit, &mut into);
        rest = behind;
    }
    Ok(into.freeze())
}

/// Appends the units of data with lengths of four bytes, each behind a start code.
pub fn to_annex_b(data: &[u8], into: &mut BytesMut) {
    into.reserve(data.len());
    for unit in units(data) {
        into.put_slice(&START_CODE);
        into.put_slice(unit);
    }
}

/// Data with lengths of four bytes, made of data with start codes. What stands before the first start code is no unit.
#[must_use]
pub fn from_annex_b(data: &[u8]) -> Bytes {
    let mut into = BytesMut::with_capacity(data.len() + 16);
    for unit in annex_b(data) {
        put(unit, &mut into);
    }
    into.freeze()
}

/// Data with lengths of four bytes, made of units.
#[must_use]
pub fn join<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut into = BytesMut::new();
    for unit in units {
        put(unit, &mut into);
    }
    into.freeze()
}

fn put(unit: &[u8], into: &mut BytesMut) {
    // Nothing has four thousand million bytes: a frame's bound is far below.
    if let Ok(len @ 1..) = u32::try_from(unit.len()) {
        into.put_u32(len);
        into.put_slice(unit);
    }
}

/// The NAL units of data with start codes of three or four bytes, without zero bytes at their ends.
#[must_use]
pub fn annex_b(data: &[u8]) -> AnnexB<'_> {
    let rest = start_code(data).map_or(&[][..], |at| &data[at + 3..]);
    AnnexB { rest }
}

/// See [`annex_b`].
#[derive(Debug, Clone)]
pub struct AnnexB<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (unit, rest) = match start_code(self.rest) {
                Some(at) => (&self.rest[..at], &self.rest[at + 3..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            // A unit ends with a bit that is set: zeros behind it belong to the next start code or are stuffing.
            let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if end > 0 {
                return Some(&unit[..end]);
            }
        }
        None
    }
}

/// Where `00 00 01` stands.
fn start_code(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(window) = data.get(at..at + 3) {
        match window {
            [0, 0, 1] => return Some(at),
            // Whatever is over 1 cannot be within a start code.
            [_, _, end] if *end > 1 => at += 3,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lengths(units: &[Vec<u8>], size: usize) -> Bytes {
        let mut data = Vec::new();
        for unit in units {
            data.extend_from_slice(&(unit.len() as u32).to_be_bytes()[4 - size..]);
            data.extend_from_slice(unit);
        }
        data.into()
    }

    #[test]
    fn start_codes_of_three_and_four_bytes_and_stuffing_are_read() {
        let data = [9, 0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 0, 1, 0, 0, 1, 0x65, 0, 0, 3, 0];
        let units: Vec<_> = annex_b(&data).collect();
        assert_eq!(units, [&[0x67, 1][..], &[0x68, 2], &[0x65, 0, 0, 3]]);
        assert_eq!(annex_b(&[1, 2, 3, 0, 0]).count(), 0);
        assert_eq!(annex_b(&[]).count(), 0);
        assert_eq!(&from_annex_b(&data)[..6], [0, 0, 0, 2, 0x67, 1]);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bad in [&[][..], &[0], &[0, 0, 0, 2, 1], &[0xff; 8], &[0, 0, 0, 1, 1, 0], &[0, 0, 0, 0]] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert_eq!(check(&[0, 0, 0, 1, 1]), Ok(()));
        assert_eq!(units(&[0, 0, 0, 1, 1, 0xff, 0, 0, 0, 9]).count(), 1);
    }

    proptest! {
        #[test]
        fn units_survive_all_forms(
            units in prop::collection::vec(prop::collection::vec(2_u8.., 1..40), 1..6),
            size in 1_usize..=4,
        ) {
            let plain = lengths(&units, 4);
            prop_assert_eq!(relength(&lengths(&units, size), size as u8), Ok(plain.clone()));
            let mut coded = BytesMut::new();
            to_annex_b(&plain, &mut coded);
            prop_assert_eq!(&from_annex_b(&coded), &plain);
            prop_assert_eq!(&join(units.iter().map(|unit| &unit[..])), &plain);
            prop_assert_eq!(super::units(&plain).map(<[u8]>::to_vec).collect::<Vec<_>>(), units);
        }

        #[test]
        fn garbage_is_cut_into_units_without_a_panic(
            data in prop::collection::vec(0_u8..4, 0..200),
            size in 1_u8..=4,
        ) {
            for unit in annex_b(&data) {
                prop_assert!(!unit.is_empty() && start_code(unit).is_none());
            }
            let data = Bytes::from(data);
            if let Ok(fixed) = relength(&data, size) {
                prop_assert_eq!(check(&fixed), Ok(()));
            }
        }
    }
}
