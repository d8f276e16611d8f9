//! AMF0: the values of RTMP commands and FLV script tags (Adobe's "Action Message Format, AMF 0", 2007).
//!
//! A reader never goes deeper than [`DEPTH_MAX`] and never makes more than [`VALUES_MAX`] values, whatever the bytes
//! claim. Names and text that are not UTF-8 are read with replacement characters, since encoders put titles in there
//! that they have in another charset.

use bytes::{BufMut, BytesMut};
use yizhan_wire::{ReadError, Reader as Bytes};

/// How deep values may be nested.
pub const DEPTH_MAX: usize = 16;
/// Values that one message may have, all depths together.
pub const VALUES_MAX: usize = 4096;

/// Bytes that a name, or a string of the short form, may have.
const SHORT_BYTES_MAX: usize = u16::MAX as usize;

/// Markers of AMF0 (§2.1).
mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const REFERENCE: u8 = 0x07;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0a;
    pub(super) const DATE: u8 = 0x0b;
    pub(super) const LONG_STRING: u8 = 0x0c;
    pub(super) const UNSUPPORTED: u8 = 0x0d;
    pub(super) const XML: u8 = 0x0f;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
    pub(super) const AMF3: u8 = 0x11;
}

/// Why bytes are not AMF0 that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmfError {
    /// The bytes end within a value.
    #[error("AMF0 ends within a value")]
    TooShort,
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("AMF0 is nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// More than [`VALUES_MAX`] values.
    #[error("AMF0 has more than {VALUES_MAX} values")]
    TooMany,
    /// A value that refers to an earlier one (§2.9). No encoder of media sends them.
    #[error("AMF0 references are not read")]
    Reference,
    /// A marker that AMF0 does not have, or reserves.
    #[error("AMF0 has no marker {0:#04x} here")]
    Marker(u8),
    /// A value in AMF3 that is more than null, a boolean, a number, a string or a date.
    #[error("AMF3 marker {0:#04x} is not read: only simple values are")]
    Amf3(u8),
}

impl From<ReadError> for AmfError {
    fn from(_: ReadError) -> Self {
        // Nothing else can happen: lengths are not bounded, text is read with replacements.
        Self::TooShort
    }
}

/// Names and values in their order. A name may occur twice; the first one counts.
pub type Fields = Vec<(String, Value)>;

/// A value of AMF0.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number; AMF0 knows only this kind.
    Number(f64),
    /// A boolean.
    Boolean(bool),
    /// Text, short, long or an XML document: they are told apart only on the wire.
    String(String),
    /// An object without a class.
    Object(Fields),
    /// An array with names, as `onMetaData` is one.
    Array(Fields),
    /// An array without names.
    List(Vec<Self>),
    /// Milliseconds since 1970 in UTC. The zone is reserved and written as 0 (§2.13).
    Date(f64),
    /// Nothing, said so.
    Null,
    /// Nothing; also what the sender could not write.
    Undefined,
    /// An object with the name of its class.
    Typed(String, Fields),
}

impl Value {
    /// An object with these fields.
    pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// An array with these names.
    pub fn array<'a>(fields: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Array(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The number, where it is one.
    #[must_use]
    pub const fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The text, where it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, where it is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(is) => Some(*is),
            _ => None,
        }
    }

    /// The fields of an object or of an array with names; none of anything else.
    #[must_use]
    pub fn fields(&self) -> &[(String, Self)] {
        match self {
            Self::Object(fields) | Self::Array(fields) | Self::Typed(_, fields) => fields,
            _ => &[],
        }
    }

    /// The first field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.fields().iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Boolean(is)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

/// Reads value after value. After an error it is not to be used on.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: Bytes<'a>,
    values: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the front of a message's body.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: Bytes::new(bytes), values: 0 }
    }

    /// How many bytes were read.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.bytes.at()
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next value, `None` where nothing is left.
    ///
    /// # Errors
    /// The bytes are not AMF0, or more than the limits allow.
    pub fn read(&mut self) -> Result<Option<Value>, AmfError> {
        if self.is_empty() { Ok(None) } else { self.value(0).map(Some) }
    }

    /// The next value, which must be text: the name of a command or of a script tag.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`AmfError::Marker`] where it is something else.
    pub fn name(&mut self) -> Result<String, AmfError> {
        match self.bytes.peek() {
            Some(marker::STRING | marker::LONG_STRING | marker::AMF3) | None => {}
            Some(other) => return Err(AmfError::Marker(other)),
        }
        match self.value(0)? {
            Value::String(text) => Ok(text),
            _ => Err(AmfError::Marker(marker::AMF3)),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, AmfError> {
        if depth >= DEPTH_MAX {
            return Err(AmfError::TooDeep);
        }
        if self.values >= VALUES_MAX {
            return Err(AmfError::TooMany);
        }
        self.values += 1;
        Ok(match self.bytes.u8()? {
            marker::NUMBER => Value::Number(self.number()?),
            marker::BOOLEAN => Value::Boolean(self.bytes.u8()? != 0),
            marker::STRING => Value::String(self.short()?),
            marker::LONG_STRING | marker::XML => Value::String(self.long()?),
            marker::OBJECT => Value::Object(self.fields(depth, None)?),
            marker::ECMA_ARRAY => {
                let count = self.bytes.u32_be()?;
                Value::Array(self.fields(depth, Some(count as usize))?)
            }
            marker::STRICT_ARRAY => Value::List(self.list(depth)?),
            marker::DATE => {
                let millis = self.number()?;
                let _zone = self.bytes.u16_be()?;
                Value::Date(millis)
            }
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker::TYPED_OBJECT => {
                let class = self.short()?;
                Value::Typed(class, self.fields(depth, None)?)
            }
            marker::AMF3 => self.amf3()?,
            marker::REFERENCE => return Err(AmfError::Reference),
            other => return Err(AmfError::Marker(other)),
        })
    }

    /// Fields up to the end marker. The count of an array is a hint only (§2.10), but some muxers leave the end marker
    /// of `onMetaData` out: then the array ends with the bytes, once it has as many as it said.
    fn fields(&mut self, depth: usize, count: Option<usize>) -> Result<Fields, AmfError> {
        let mut fields = Fields::new();
        loop {
            if self.is_empty() && count.is_some_and(|count| fields.len() >= count) {
                return Ok(fields);
            }
            let name = self.short()?;
            if name.is_empty() && self.bytes.peek() == Some(marker::OBJECT_END) {
                self.bytes.u8()?;
                return Ok(fields);
            }
            fields.push((name, self.value(depth + 1)?));
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Value>, AmfError> {
        let count = self.bytes.u32_be()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(self.value(depth + 1)?);
        }
        Ok(list)
    }

    fn number(&mut self) -> Result<f64, AmfError> {
        Ok(f64::from_bits(self.bytes.u64_be()?))
    }

    fn short(&mut self) -> Result<String, AmfError> {
        let len = self.bytes.u16_be()?;
        self.text(len.into())
    }

    fn long(&mut self) -> Result<String, AmfError> {
        let len = self.bytes.u32_be()?;
        self.text(usize::try_from(len).map_err(|_| AmfError::TooShort)?)
    }

    fn text(&mut self, len: usize) -> Result<String, AmfError> {
        Ok(String::from_utf8_lossy(self.bytes.bytes(len)?).into_owned())
    }

    /// A value in AMF3 (AMF 3 §3), where it is a simple one.
    fn amf3(&mut self) -> Result<Value, AmfError> {
        Ok(match self.bytes.u8()? {
            0x00 => Value::Undefined,
            0x01 => Value::Null,
            0x02 => Value::Boolean(false),
            0x03 => Value::Boolean(true),
            0x04 => {
                // 29 bits with a sign.
                let bits = self.u29()? << 3;
                Value::Number(f64::from(bits.cast_signed() >> 3))
            }
            0x05 => Value::Number(self.number()?),
            0x06 => {
                let len = self.inline_len(0x06)?;
                Value::String(self.text(len)?)
            }
            0x08 => {
                self.inline_len(0x08)?;
                Value::Date(self.number()?)
            }
            other => return Err(AmfError::Amf3(other)),
        })
    }

    /// The number in front of a string or a date: its lowest bit says that the value is here and not elsewhere.
    fn inline_len(&mut self, kind: u8) -> Result<usize, AmfError> {
        let head = self.u29()?;
        if head & 1 == 0 {
            return Err(AmfError::Amf3(kind));
        }
        // 28 bits.
        Ok((head >> 1) as usize)
    }

    /// A number of 29 bits in one to four bytes (AMF 3 §1.3.1).
    fn u29(&mut self) -> Result<u32, AmfError> {
        let mut value = 0;
        for _ in 0..3 {
            let byte = self.bytes.u8()?;
            value = value << 7 | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Ok(value << 8 | u32::from(self.bytes.u8()?))
    }
}

/// All values of a message.
///
/// # Errors
/// As [`Reader::read`].
pub fn read_all(bytes: &[u8]) -> Result<Vec<Value>, AmfError> {
    let mut reader = Reader::new(bytes);
    let mut values = Vec::new();
    while let Some(value) = reader.read()? {
        values.push(value);
    }
    Ok(values)
}

/// Appends a value. Text of more than 65,535 bytes takes the long form; a name or class of more is cut.
pub fn write(value: &Value, into: &mut BytesMut) {
    match value {
        Value::Number(number) => {
            into.put_u8(marker::NUMBER);
            into.put_f64(*number);
        }
        Value::Boolean(is) => into.put_slice(&[marker::BOOLEAN, u8::from(*is)]),
        Value::String(text) => write_str(text, into),
        Value::Object(fields) => {
            into.put_u8(marker::OBJECT);
            write_fields(fields, into);
        }
        Value::Array(fields) => {
            into.put_u8(marker::ECMA_ARRAY);
            into.put_u32(count(fields.len()));
            write_fields(fields, into);
        }
        Value::List(list) => {
            into.put_u8(marker::STRICT_ARRAY);
            into.put_u32(count(list.len()));
            for value in list {
                write(value, into);
            }
        }
        Value::Date(millis) => {
            into.put_u8(marker::DATE);
            into.put_f64(*millis);
            into.put_u16(0);
        }
        Value::Null => into.put_u8(marker::NULL),
        Value::Undefined => into.put_u8(marker::UNDEFINED),
        Value::Typed(class, fields) => {
            into.put_u8(marker::TYPED_OBJECT);
            write_name(class, into);
            write_fields(fields, into);
        }
    }
}

/// Appends several values: a whole command.
pub fn write_all<'a>(values: impl IntoIterator<Item = &'a Value>, into: &mut BytesMut) {
    for value in values {
        write(value, into);
    }
}

/// Appends text, as [`write`](write()) does with [`Value::String`].
pub fn write_str(text: &str, into: &mut BytesMut) {
    if text.len() <= SHORT_BYTES_MAX {
        into.put_u8(marker::STRING);
        write_name(text, into);
    } else {
        let text = head(text, u32::MAX as usize);
        into.put_u8(marker::LONG_STRING);
        into.put_u32(count(text.len()));
        into.put_slice(text.as_bytes());
    }
}

fn write_fields(fields: &[(String, Value)], into: &mut BytesMut) {
    for (name, value) in fields {
        write_name(name, into);
        write(value, into);
    }
    into.put_slice(&[0, 0, marker::OBJECT_END]);
}

fn write_name(name: &str, into: &mut BytesMut) {
    let name = head(name, SHORT_BYTES_MAX);
    into.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
    into.put_slice(name.as_bytes());
}

/// The front of a text, up to so many bytes, whole characters.
fn head(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Nobody has four thousand million values in memory.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
