//! Single bits of a header, high one first.

use super::Ended;

/// Bytes of a parameter set that are looked at. Real ones have less than a hundred.
const SET_BYTES_MAX: usize = 4096;

/// A place in bytes that moves forward bit by bit.
#[derive(Debug, Clone)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    /// At the first bit of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bits are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// The next bit.
    ///
    /// # Errors
    /// There is none left.
    pub fn flag(&mut self) -> Result<bool, Ended> {
        let byte = *self.bytes.get(self.at / 8).ok_or(Ended)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    /// The next bits as a number; at most 32.
    ///
    /// # Errors
    /// There are not so many left.
    pub fn number(&mut self, bits: u32) -> Result<u32, Ended> {
        debug_assert!(bits <= 32, "a number has at most 32 bits");
        let mut value = 0_u32;
        for _ in 0..bits {
            value = value << 1 | u32::from(self.flag()?);
        }
        Ok(value)
    }

    /// As [`number`](Self::number), of at most eight bits.
    ///
    /// # Errors
    /// There are not so many left.
    pub fn small(&mut self, bits: u32) -> Result<u8, Ended> {
        debug_assert!(bits <= 8, "a small number has at most 8 bits");
        Ok((self.number(bits)? & 0xff) as u8)
    }

    /// Passes over bits.
    ///
    /// # Errors
    /// There are not so many left.
    pub fn skip(&mut self, bits: usize) -> Result<(), Ended> {
        if self.left() < bits {
            return Err(Ended);
        }
        self.at += bits;
        Ok(())
    }

    /// A number in Exp-Golomb code, `ue(v)` (ISO 14496-10 §9.1).
    ///
    /// # Errors
    /// The bits end, or it has more than 32.
    pub fn ue(&mut self) -> Result<u32, Ended> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(Ended);
            }
        }
        let tail = self.number(zeros)?;
        // At most 2^31 - 1 and 2^31 - 1.
        Ok((1_u32 << zeros) - 1 + tail)
    }

    /// A number with a sign in Exp-Golomb code, `se(v)`.
    ///
    /// # Errors
    /// As [`ue`](Self::ue).
    pub fn se(&mut self) -> Result<i32, Ended> {
        let code = self.ue()?;
        let half = (code / 2).cast_signed();
        Ok(if code % 2 == 1 { half + 1 } else { -half })
    }

    /// A number in AV1's `uvlc()` (AV1 §4.10.3).
    ///
    /// # Errors
    /// The bits end.
    pub fn uvlc(&mut self) -> Result<u32, Ended> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros >= 32 {
            return Ok(u32::MAX);
        }
        let tail = self.number(zeros)?;
        Ok(((1_u64 << zeros) - 1) as u32 + tail)
    }
}

/// The front of a NAL unit without its emulation prevention bytes (ISO 14496-10 §7.4.1): every `00 00 03` is `00 00`.
#[must_use]
pub fn unescape(nal: &[u8]) -> Vec<u8> {
    let nal = &nal[..nal.len().min(SET_BYTES_MAX)];
    let mut plain = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_bit_by_bit() {
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!((bits.flag(), bits.number(2)), (Ok(true), Ok(1)));
        // 00110 is 5; 010 is 1, so +1; 00010100 is...
        assert_eq!(bits.ue(), Ok(5));
        assert_eq!(bits.se(), Ok(1));
        assert_eq!(bits.left(), 13);
        assert_eq!(bits.skip(14), Err(Ended));
        assert_eq!(bits.skip(13), Ok(()));
        assert_eq!((bits.flag(), bits.number(0)), (Err(Ended), Ok(0)));
    }

    #[test]
    fn a_golomb_code_without_an_end_is_refused() {
        assert_eq!(Bits::new(&[0; 100]).ue(), Err(Ended));
        assert_eq!(Bits::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).ue(), Ok(u32::MAX - 1));
        assert_eq!(Bits::new(&[0; 100]).uvlc(), Err(Ended));
    }

    #[test]
    fn emulation_prevention_bytes_go() {
        assert_eq!(unescape(&[1, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [1, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(unescape(&[0, 3, 0, 0, 4]), [0, 3, 0, 0, 4]);
        assert_eq!(unescape(&[7; 10_000]).len(), SET_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn golomb_codes_are_read_as_written(value in 0..u32::MAX) {
            let code = u64::from(value) + 1;
            let len = 64 - code.leading_zeros();
            let bits = u128::from(code) << (128 - (2 * len - 1));
            prop_assert_eq!(Bits::new(&bits.to_be_bytes()).ue(), Ok(value));
        }
    }
}
