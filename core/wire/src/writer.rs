//! Writing bytes for somebody else to read.

use bytes::BufMut;

use crate::varint;

/// Why something cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A length or number is over what its field can say, or over the bound given.
    #[error("{len} is over the bound of {max}")]
    TooLong {
        /// What was to be written.
        len: usize,
        /// What is allowed.
        max: usize,
    },
}

/// Appends values to anything that takes bytes (`Vec<u8>`, `BytesMut`).
#[derive(Debug)]
pub struct Writer<'a, B: BufMut> {
    into: &'a mut B,
}

impl<'a, B: BufMut> Writer<'a, B> {
    /// A writer at the end of `into`, which must grow as needed, as `Vec` and `BytesMut` do.
    pub const fn new(into: &'a mut B) -> Self {
        Self { into }
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.into.put_slice(bytes);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.into.put_u8(value);
    }

    /// Two bytes, high one first (network order).
    pub fn u16_be(&mut self, value: u16) {
        self.into.put_u16(value);
    }

    /// Four bytes, high one first (network order).
    pub fn u32_be(&mut self, value: u32) {
        self.into.put_u32(value);
    }

    /// Eight bytes, high one first (network order).
    pub fn u64_be(&mut self, value: u64) {
        self.into.put_u64(value);
    }

    /// Two bytes, low one first.
    pub fn u16_le(&mut self, value: u16) {
        self.into.put_u16_le(value);
    }

    /// Four bytes, low one first.
    pub fn u32_le(&mut self, value: u32) {
        self.into.put_u32_le(value);
    }

    /// Eight bytes, low one first.
    pub fn u64_le(&mut self, value: u64) {
        self.into.put_u64_le(value);
    }

    /// Sixteen bytes, low one first.
    pub fn u128_le(&mut self, value: u128) {
        self.into.put_u128_le(value);
    }

    /// Three bytes, high one first.
    ///
    /// # Errors
    /// [`WriteError::TooLong`] where the number has more than 24 bits.
    pub fn u24_be(&mut self, value: u32) -> Result<(), WriteError> {
        let [0, a, b, c] = value.to_be_bytes() else {
            return Err(WriteError::TooLong { len: value as usize, max: 0xff_ffff });
        };
        self.bytes(&[a, b, c]);
        Ok(())
    }

    /// A LEB128 number.
    pub fn leb128(&mut self, value: u64) {
        let (bytes, len) = varint::leb128_bytes(value);
        self.into.put_slice(bytes.get(..len).unwrap_or(&bytes));
    }

    /// An MQTT variable byte integer (MQTT 5 §1.5.5).
    ///
    /// # Errors
    /// [`WriteError::TooLong`] above [`varint::MQTT_VALUE_MAX`].
    pub fn mqtt_varint(&mut self, value: u32) -> Result<(), WriteError> {
        within(value as usize, varint::MQTT_VALUE_MAX as usize)?;
        self.leb128(value.into());
        Ok(())
    }

    /// Bytes behind their LEB128 length.
    pub fn leb128_bytes(&mut self, bytes: &[u8]) {
        self.leb128(bytes.len() as u64);
        self.into.put_slice(bytes);
    }

    /// Bytes behind a length of two bytes, high one first; a `str`'s bytes make an MQTT string.
    ///
    /// # Errors
    /// [`WriteError::TooLong`] above 65,535 bytes; nothing was written then.
    pub fn u16_bytes(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let too_long = WriteError::TooLong { len: bytes.len(), max: u16::MAX as usize };
        self.u16_be(u16::try_from(bytes.len()).map_err(|_| too_long)?);
        self.into.put_slice(bytes);
        Ok(())
    }

    /// Bytes behind a length of four bytes, low one first.
    ///
    /// # Errors
    /// [`WriteError::TooLong`] above 2³² − 1 bytes; nothing was written then.
    pub fn u32_le_bytes(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let too_long = WriteError::TooLong { len: bytes.len(), max: u32::MAX as usize };
        self.u32_le(u32::try_from(bytes.len()).map_err(|_| too_long)?);
        self.into.put_slice(bytes);
        Ok(())
    }
}

const fn within(len: usize, max: usize) -> Result<(), WriteError> {
    if len > max { Err(WriteError::TooLong { len, max }) } else { Ok(()) }
}
