//! Reading from bytes that somebody else wrote.

use crate::varint;

/// Why bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The bytes end too early. Where more may come, this means "wait".
    #[error("the bytes end before the value does")]
    TooShort,
    /// A number of variable length is too long, too large or padded.
    #[error("a number of variable length is malformed")]
    BadVarint,
    /// A length is over what the reader allows.
    #[error("a length of {len} is over the bound of {max}")]
    TooLong {
        /// What the bytes claim.
        len: u64,
        /// What is allowed.
        max: usize,
    },
    /// Text is not UTF-8.
    #[error("text is not UTF-8")]
    BadUtf8,
    /// There are bytes behind the last value.
    #[error("there are bytes behind the last value")]
    TooManyBytes,
}

/// A place in bytes that moves forward with every value read. After an error it stands where it stood
/// before the value, so an unfinished value can be read again when more bytes are there.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $type:ty, $from:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// [`ReadError::TooShort`].
        pub fn $name(&mut self) -> Result<$type, ReadError> {
            Ok(<$type>::$from(self.array()?))
        }
    };
}

impl<'a> Reader<'a> {
    /// A reader at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// What is left, without moving.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next byte, without moving.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Makes sure that everything was read.
    ///
    /// # Errors
    /// [`ReadError::TooManyBytes`].
    pub const fn end(&self) -> Result<(), ReadError> {
        if self.is_empty() { Ok(()) } else { Err(ReadError::TooManyBytes) }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`ReadError::TooShort`].
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], ReadError> {
        let slice = self.rest().get(..len).ok_or(ReadError::TooShort)?;
        self.at += len;
        Ok(slice)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`ReadError::TooShort`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let array = self.rest().first_chunk::<N>().ok_or(ReadError::TooShort)?;
        self.at += N;
        Ok(*array)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`ReadError::TooShort`].
    pub fn u8(&mut self) -> Result<u8, ReadError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    number!(
        /// Two bytes, high one first (network order).
        u16_be, u16, from_be_bytes
    );
    number!(
        /// Four bytes, high one first (network order).
        u32_be, u32, from_be_bytes
    );
    number!(
        /// Eight bytes, high one first (network order).
        u64_be, u64, from_be_bytes
    );
    number!(
        /// Two bytes, low one first.
        u16_le, u16, from_le_bytes
    );
    number!(
        /// Four bytes, low one first.
        u32_le, u32, from_le_bytes
    );
    number!(
        /// Eight bytes, low one first.
        u64_le, u64, from_le_bytes
    );
    number!(
        /// Sixteen bytes, low one first.
        u128_le, u128, from_le_bytes
    );

    /// Three bytes, high one first, as RTMP and TLS have them.
    ///
    /// # Errors
    /// [`ReadError::TooShort`].
    pub fn u24_be(&mut self) -> Result<u32, ReadError> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    /// A LEB128 number of up to 64 bits, in its shortest form.
    ///
    /// # Errors
    /// [`ReadError::TooShort`], [`ReadError::BadVarint`].
    pub fn leb128(&mut self) -> Result<u64, ReadError> {
        self.whole(varint::read_leb128)
    }

    /// An MQTT variable byte integer (MQTT 5 §1.5.5).
    ///
    /// # Errors
    /// [`ReadError::TooShort`], [`ReadError::BadVarint`].
    pub fn mqtt_varint(&mut self) -> Result<u32, ReadError> {
        self.whole(varint::read_mqtt)
    }

    /// Bytes behind a LEB128 length of at most `len_max`.
    ///
    /// # Errors
    /// [`ReadError::TooLong`] as soon as the length is seen, [`ReadError::TooShort`], [`ReadError::BadVarint`].
    pub fn leb128_bytes(&mut self, len_max: usize) -> Result<&'a [u8], ReadError> {
        self.whole(|r| {
            let len = r.leb128()?;
            r.bounded(len, len_max)
        })
    }

    /// UTF-8 behind a LEB128 length of at most `len_max` bytes.
    ///
    /// # Errors
    /// As [`leb128_bytes`](Self::leb128_bytes), and [`ReadError::BadUtf8`].
    pub fn leb128_str(&mut self, len_max: usize) -> Result<&'a str, ReadError> {
        self.whole(|r| text(r.leb128_bytes(len_max)?))
    }

    /// Bytes behind a length of two bytes, high one first, of at most `len_max`.
    ///
    /// # Errors
    /// [`ReadError::TooLong`] as soon as the length is seen, [`ReadError::TooShort`].
    pub fn u16_bytes(&mut self, len_max: usize) -> Result<&'a [u8], ReadError> {
        self.whole(|r| {
            let len = r.u16_be()?;
            r.bounded(len.into(), len_max)
        })
    }

    /// UTF-8 behind a length of two bytes, as MQTT has it (MQTT 5 §1.5.4), of at most `len_max` bytes.
    ///
    /// # Errors
    /// As [`u16_bytes`](Self::u16_bytes), and [`ReadError::BadUtf8`].
    pub fn u16_str(&mut self, len_max: usize) -> Result<&'a str, ReadError> {
        self.whole(|r| text(r.u16_bytes(len_max)?))
    }

    /// Bytes behind a length of four bytes, low one first, of at most `len_max`.
    ///
    /// # Errors
    /// [`ReadError::TooLong`] as soon as the length is seen, [`ReadError::TooShort`].
    pub fn u32_le_bytes(&mut self, len_max: usize) -> Result<&'a [u8], ReadError> {
        self.whole(|r| {
            let len = r.u32_le()?;
            r.bounded(len.into(), len_max)
        })
    }

    fn bounded(&mut self, len: u64, len_max: usize) -> Result<&'a [u8], ReadError> {
        let fits = usize::try_from(len).ok().filter(|len| *len <= len_max);
        let len = fits.ok_or(ReadError::TooLong { len, max: len_max })?;
        self.bytes(len)
    }

    /// Reads a value of several parts, or nothing.
    fn whole<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let before = self.at;
        let result = read(self);
        if result.is_err() {
            self.at = before;
        }
        result
    }
}

fn text(bytes: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(bytes).map_err(|_| ReadError::BadUtf8)
}
