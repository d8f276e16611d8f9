//! Numbers of variable length, seven bits to a byte, low bits first.

use crate::{ReadError, Reader};

/// Bytes that a LEB128 number of 64 bits takes at most.
pub const LEB128_BYTES_MAX: usize = 10;
/// Bytes that an MQTT variable byte integer takes at most (MQTT 5 §1.5.5).
pub const MQTT_BYTES_MAX: usize = 4;
/// The largest MQTT variable byte integer (MQTT 5 §1.5.5).
pub const MQTT_VALUE_MAX: u32 = 268_435_455;

/// How many bytes `value` takes in LEB128.
#[must_use]
pub const fn leb128_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// How many bytes `value` takes as an MQTT variable byte integer; `None` above [`MQTT_VALUE_MAX`].
#[must_use]
pub const fn mqtt_len(value: u32) -> Option<usize> {
    if value > MQTT_VALUE_MAX { None } else { Some(leb128_len(value as u64)) }
}

pub(crate) fn read_leb128(reader: &mut Reader<'_>) -> Result<u64, ReadError> {
    let mut value = 0u64;
    for i in 0..LEB128_BYTES_MAX {
        let byte = reader.u8()?;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for the 64th bit only.
        if i == LEB128_BYTES_MAX - 1 && byte > 1 {
            return Err(ReadError::BadVarint);
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            // One number, one form: a last byte of zero is padding.
            return if byte == 0 && i > 0 { Err(ReadError::BadVarint) } else { Ok(value) };
        }
    }
    Err(ReadError::BadVarint)
}

pub(crate) fn read_mqtt(reader: &mut Reader<'_>) -> Result<u32, ReadError> {
    let mut value = 0u32;
    for i in 0..MQTT_BYTES_MAX {
        let byte = reader.u8()?;
        value |= u32::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            // "The encoded value MUST use the minimum number of bytes" (MQTT-1.5.5-1).
            return if byte == 0 && i > 0 { Err(ReadError::BadVarint) } else { Ok(value) };
        }
    }
    Err(ReadError::BadVarint)
}

/// `value` in LEB128: the bytes, and how many of them count.
pub(crate) fn leb128_bytes(mut value: u64) -> ([u8; LEB128_BYTES_MAX], usize) {
    let mut bytes = [0; LEB128_BYTES_MAX];
    for (i, place) in bytes.iter_mut().enumerate() {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            *place = low;
            return (bytes, i + 1);
        }
        *place = low | 0x80;
    }
    (bytes, LEB128_BYTES_MAX)
}
