//! Writes maps and arrays in either encoding, field by field, straight into the packet.

use bytes::{BufMut, BytesMut};
use yizhan_hub::Position;

use super::{Encoding, cbor, json};

/// Writes one map. In CBOR its length is filled in at the end, so a map has at most 23 fields.
pub(crate) struct Pen<'b> {
    pub(crate) into: &'b mut BytesMut,
    pub(crate) encoding: Encoding,
    start: usize,
    fields: u8,
}

impl<'b> Pen<'b> {
    /// Begins a map.
    pub(crate) fn map(into: &'b mut BytesMut, encoding: Encoding) -> Self {
        let start = into.len();
        into.put_u8(match encoding {
            Encoding::Json => b'{',
            Encoding::Cbor => cbor::major::MAP << 5,
        });
        Self { into, encoding, start, fields: 0 }
    }

    /// Ends the map.
    pub(crate) fn end(self) {
        match self.encoding {
            Encoding::Json => self.into.put_u8(b'}'),
            Encoding::Cbor => {
                debug_assert!(self.fields < 24, "a map's length fits its first byte");
                self.into[self.start] |= self.fields;
            }
        }
    }

    /// Writes a field's name; its value comes next. Names are our own and need no escapes.
    pub(crate) fn name(&mut self, name: &'static str) {
        match self.encoding {
            Encoding::Json => {
                if self.fields > 0 {
                    self.into.put_u8(b',');
                }
                self.into.put_u8(b'"');
                self.into.put_slice(name.as_bytes());
                self.into.put_slice(b"\":");
            }
            Encoding::Cbor => cbor::write_text(name, self.into),
        }
        self.fields += 1;
    }

    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        string(value, self.into, self.encoding);
    }

    pub(crate) fn bin(&mut self, name: &'static str, value: &[u8]) {
        self.name(name);
        match self.encoding {
            Encoding::Json => json::write_bin(value, self.into),
            Encoding::Cbor => cbor::write_bin(value, self.into),
        }
    }

    pub(crate) fn integer(&mut self, name: &'static str, value: u64) {
        self.name(name);
        integer(value, self.into, self.encoding);
    }

    pub(crate) fn number(&mut self, name: &'static str, value: f64) {
        self.name(name);
        match self.encoding {
            Encoding::Json => json::write_number(value, self.into),
            Encoding::Cbor => cbor::write_number(value, self.into),
        }
    }

    /// −1: "not known".
    pub(crate) fn minus_one(&mut self, name: &'static str) {
        self.name(name);
        match self.encoding {
            Encoding::Json => self.into.put_slice(b"-1"),
            Encoding::Cbor => self.into.put_u8(cbor::major::NEGATIVE << 5),
        }
    }

    pub(crate) fn flag(&mut self, name: &'static str, value: bool) {
        self.name(name);
        match self.encoding {
            Encoding::Json => self.into.put_slice(if value { b"true" } else { b"false" }),
            Encoding::Cbor => self.into.put_u8(if value { 0xf5 } else { 0xf4 }),
        }
    }

    pub(crate) fn position(&mut self, name: &'static str, value: &Position) {
        self.name(name);
        position(value, self.into, self.encoding);
    }

    /// Writes an array of `count` items.
    pub(crate) fn array<T>(
        &mut self,
        name: &'static str,
        count: usize,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(T, &mut BytesMut),
    ) {
        self.name(name);
        open_array(count, self.into, self.encoding);
        for (i, item) in items.into_iter().enumerate() {
            next_item(i, self.into, self.encoding);
            write(item, self.into);
        }
        shut_array(self.into, self.encoding);
    }

    /// Writes a map of text to text.
    pub(crate) fn texts<'t>(
        &mut self,
        name: &'static str,
        count: usize,
        entries: impl Iterator<Item = (&'t str, &'t str)>,
    ) {
        self.name(name);
        match self.encoding {
            Encoding::Json => self.into.put_u8(b'{'),
            Encoding::Cbor => cbor::write_head(cbor::major::MAP, count as u64, self.into),
        }
        for (i, (name, value)) in entries.enumerate() {
            next_item(i, self.into, self.encoding);
            string(name, self.into, self.encoding);
            if self.encoding == Encoding::Json {
                self.into.put_u8(b':');
            }
            string(value, self.into, self.encoding);
        }
        if self.encoding == Encoding::Json {
            self.into.put_u8(b'}');
        }
    }
}

/// Begins an array of `count` items.
pub(crate) fn open_array(count: usize, into: &mut BytesMut, encoding: Encoding) {
    match encoding {
        Encoding::Json => into.put_u8(b'['),
        Encoding::Cbor => cbor::write_head(cbor::major::ARRAY, count as u64, into),
    }
}

/// What stands before the item number `i`.
pub(crate) fn next_item(i: usize, into: &mut BytesMut, encoding: Encoding) {
    if encoding == Encoding::Json && i > 0 {
        into.put_u8(b',');
    }
}

/// Ends an array.
pub(crate) fn shut_array(into: &mut BytesMut, encoding: Encoding) {
    if encoding == Encoding::Json {
        into.put_u8(b']');
    }
}

pub(crate) fn string(text: &str, into: &mut BytesMut, encoding: Encoding) {
    match encoding {
        Encoding::Json => json::write_string(text, into),
        Encoding::Cbor => cbor::write_text(text, into),
    }
}

pub(crate) fn integer(n: u64, into: &mut BytesMut, encoding: Encoding) {
    match encoding {
        Encoding::Json => json::write_integer(n, into),
        Encoding::Cbor => cbor::write_head(cbor::major::UNSIGNED, n, into),
    }
}

/// Bytes that the text of a position has at most: 4 + 4 + 8 + 16 digits and three dots.
const POSITION_BYTES_MAX: usize = 35;

pub(crate) fn position(position: &Position, into: &mut BytesMut, encoding: Encoding) {
    let mut text = [0; POSITION_BYTES_MAX];
    let mut length = 0;
    let parts =
        [u64::from(position.space.0), u64::from(position.lane), u64::from(position.epoch), position.offset];
    for (i, part) in parts.into_iter().enumerate() {
        if i > 0 {
            text[length] = b'.';
            length += 1;
        }
        let digits = (64 - part.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..digits).rev() {
            // Four bits are one digit.
            text[length] = b"0123456789abcdef"[(part >> (digit * 4) & 15) as usize];
            length += 1;
        }
    }
    match encoding {
        Encoding::Json => {
            into.put_u8(b'"');
            into.put_slice(&text[..length]);
            into.put_u8(b'"');
        }
        Encoding::Cbor => {
            cbor::write_head(cbor::major::TEXT, length as u64, into);
            into.put_slice(&text[..length]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use yizhan_hub::SpaceId;

    use super::*;

    proptest! {
        #[test]
        fn a_position_is_written_as_it_displays(space: u16, lane: u16, epoch: u32, offset: u64, zero: bool) {
            let place = Position { space: SpaceId(space), lane, epoch, offset: if zero { 0 } else { offset } };
            let mut json = BytesMut::new();
            position(&place, &mut json, Encoding::Json);
            let expected = format!("\"{place}\"");
            prop_assert_eq!(&json[..], expected.as_bytes());
        }
    }
}
