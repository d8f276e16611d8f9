//! Reading and writing CBOR (RFC 8949) without a tree: a value is a span of checked bytes.
//!
//! Checked means: well-formed (§5.1), text strings are UTF-8, at most [`DEPTH_MAX`] levels (a tag counts
//! as one). Nothing is allocated by a length that the bytes claim. [`translate`] turns values into JSON
//! and back.

pub(crate) mod translate;

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use super::{DEPTH_MAX, Wrong, fields};

/// The major types (§3.1).
pub(crate) mod major {
    pub(crate) const UNSIGNED: u8 = 0;
    pub(crate) const NEGATIVE: u8 = 1;
    pub(crate) const BYTES: u8 = 2;
    pub(crate) const TEXT: u8 = 3;
    pub(crate) const ARRAY: u8 = 4;
    pub(crate) const MAP: u8 = 5;
    pub(crate) const TAG: u8 = 6;
    pub(crate) const SIMPLE: u8 = 7;
}

/// Ends an item of indefinite length (§3.2.1).
pub(crate) const STOP: u8 = 0xff;
/// Tag 55799: "this is CBOR" (§3.4.6); it may stand before a frame and means nothing more.
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// The head of an item (§3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) major: u8,
    /// The five low bits: for simple values and floats they tell the width.
    pub(crate) info: u8,
    /// The argument; `None` where the length is indefinite.
    pub(crate) argument: Option<u64>,
}

/// One checked item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a> {
    raw: &'a [u8],
}

/// Walks through one frame.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(&SELF_DESCRIBED) { SELF_DESCRIBED.len() } else { 0 };
        Self { bytes, at }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(crate) fn fail(&self, expected: &'static str) -> Wrong {
        Wrong::NotFrame { at: self.at, expected }
    }

    /// Enters an array where one begins here: `Some(None)` is one of indefinite length.
    pub(crate) fn array(&mut self) -> Result<Option<Option<u64>>, Wrong> {
        let mut ahead = self.clone();
        let head = ahead.head()?;
        if head.major != major::ARRAY {
            return Ok(None);
        }
        *self = ahead;
        Ok(Some(head.argument))
    }

    /// Enters the map that has to begin here.
    pub(crate) fn map(&mut self) -> Result<Option<u64>, Wrong> {
        let start = self.at;
        match self.head()? {
            Head { major: major::MAP, argument, .. } => Ok(argument),
            _ => Err(Wrong::NotFrame { at: start, expected: "a map" }),
        }
    }

    /// Reads the next name and value of a map; `None` at its end. A name that is not text is `None` inside.
    #[allow(clippy::type_complexity, reason = "the type says it plainly and is used in two places")]
    pub(crate) fn entry(
        &mut self,
        left: &mut Option<u64>,
        depth: usize,
    ) -> Result<Option<(Option<Cow<'a, str>>, Value<'a>)>, Wrong> {
        match left {
            Some(0) => return Ok(None),
            Some(left) => *left -= 1,
            None if self.stop() => return Ok(None),
            None => {}
        }
        let name = self.value(depth)?;
        let value = self.value(depth)?;
        Ok(Some((fields::Value::string(name), value)))
    }

    /// Steps over the end of an item of indefinite length, where it comes next.
    pub(crate) fn stop(&mut self) -> bool {
        let there = self.bytes.get(self.at) == Some(&STOP);
        self.at += usize::from(there);
        there
    }

    /// Reads one item that lies `depth` levels below the top.
    pub(crate) fn value(&mut self, depth: usize) -> Result<Value<'a>, Wrong> {
        let start = self.at;
        self.skip(depth)?;
        Ok(Value { raw: &self.bytes[start..self.at] })
    }

    /// Reads an item's head.
    pub(crate) fn head(&mut self) -> Result<Head, Wrong> {
        let Some(&first) = self.bytes.get(self.at) else { return Err(self.fail("more bytes")) };
        let (major, info) = (first >> 5, first & 31);
        let width = match info {
            0..=23 => 0,
            24..=27 => 1 << (info - 24),
            31 if !matches!(major, major::UNSIGNED | major::NEGATIVE | major::TAG) => 0,
            _ => return Err(self.fail("a head that RFC 8949 knows")),
        };
        let Some(argument) = self.bytes.get(self.at + 1..self.at + 1 + width) else {
            return Err(self.fail("more bytes"));
        };
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            31 => None,
            _ => Some(argument.iter().fold(0, |n, &byte| n << 8 | u64::from(byte))),
        };
        self.at += 1 + width;
        Ok(Head { major, info, argument })
    }

    /// The bytes of a string of this length.
    pub(crate) fn bytes(&mut self, length: u64) -> Result<&'a [u8], Wrong> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let Some(bytes) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return Err(self.fail("more bytes"));
        };
        self.at += bytes.len();
        Ok(bytes)
    }

    /// Checks the item that begins here and steps over it.
    fn skip(&mut self, depth: usize) -> Result<(), Wrong> {
        let start = self.at;
        let head = self.head()?;
        match (head.major, head.argument) {
            (major::UNSIGNED | major::NEGATIVE, _) => Ok(()),
            (major::BYTES | major::TEXT, Some(length)) => self.skip_string(head.major, length),
            (major::BYTES | major::TEXT, None) => {
                while !self.stop() {
                    let part = self.head()?;
                    let Some(length) = part.argument.filter(|_| part.major == head.major) else {
                        return Err(self.fail("a part of the same kind of string"));
                    };
                    self.skip_string(head.major, length)?;
                }
                Ok(())
            }
            (major::SIMPLE, None) => Err(Wrong::NotFrame { at: start, expected: "an item before the stop" }),
            (major::SIMPLE, Some(value)) if head.info == 24 && value < 32 => {
                Err(Wrong::NotFrame { at: start, expected: "a simple value in its short form" })
            }
            (major::SIMPLE, Some(_)) => Ok(()),
            (kind, count) => {
                if depth >= DEPTH_MAX {
                    return Err(Wrong::NotFrame { at: start, expected: "fewer levels" });
                }
                self.skip_parts(kind, count, depth + 1)
            }
        }
    }

    fn skip_string(&mut self, kind: u8, length: u64) -> Result<(), Wrong> {
        let bytes = self.bytes(length)?;
        if kind == major::TEXT && std::str::from_utf8(bytes).is_err() {
            return Err(Wrong::NotUtf8);
        }
        Ok(())
    }

    /// Steps over the items inside an array, a map or a tag.
    fn skip_parts(&mut self, kind: u8, count: Option<u64>, depth: usize) -> Result<(), Wrong> {
        let mut left = if kind == major::TAG { Some(1) } else { count };
        loop {
            match &mut left {
                Some(0) => return Ok(()),
                Some(left) => *left -= 1,
                None if self.stop() => return Ok(()),
                None => {}
            }
            // Each round reads at least one byte, so a claimed count ends with the bytes.
            self.skip(depth)?;
            if kind == major::MAP {
                self.skip(depth)?;
            }
        }
    }
}

impl<'a> Value<'a> {
    fn head(self) -> Option<(Head, Reader<'a>)> {
        let mut reader = Reader { bytes: self.raw, at: 0 };
        let head = reader.head().ok()?;
        Some((head, reader))
    }

    /// The bytes of a string of this kind; those of indefinite length are put together.
    fn string_bytes(self, kind: u8) -> Option<Cow<'a, [u8]>> {
        let (head, mut reader) = self.head().filter(|(head, _)| head.major == kind)?;
        if let Some(length) = head.argument {
            return reader.bytes(length).ok().map(Cow::Borrowed);
        }
        let mut whole = Vec::new();
        while !reader.stop() {
            let length = reader.head().ok()?.argument?;
            whole.extend_from_slice(reader.bytes(length).ok()?);
        }
        Some(Cow::Owned(whole))
    }
}

impl<'a> fields::Value<'a> for Value<'a> {
    fn is_null(self) -> bool {
        // null and undefined.
        matches!(self.raw, [0xf6 | 0xf7])
    }

    fn string(self) -> Option<Cow<'a, str>> {
        match self.string_bytes(major::TEXT)? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        }
    }

    fn boolean(self) -> Option<bool> {
        match self.raw {
            [0xf4] => Some(false),
            [0xf5] => Some(true),
            _ => None,
        }
    }

    fn integer(self) -> Option<u64> {
        match self.head()?.0 {
            Head { major: major::UNSIGNED, argument, .. } => argument,
            _ => self.number().and_then(fields::whole),
        }
    }

    fn number(self) -> Option<f64> {
        let (head, _) = self.head()?;
        let number = match (head.major, head.argument?) {
            (major::UNSIGNED, n) => n as f64,
            (major::NEGATIVE, n) => -1.0 - n as f64,
            (major::SIMPLE, bits) => float(head.info, bits)?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    fn elements(self) -> Option<impl Iterator<Item = Self> + 'a> {
        let (head, mut reader) = self.head().filter(|(head, _)| head.major == major::ARRAY)?;
        let mut left = head.argument;
        Some(std::iter::from_fn(move || {
            match &mut left {
                Some(0) => return None,
                Some(left) => *left -= 1,
                None if reader.stop() => return None,
                None => {}
            }
            // The whole was checked, depth too: no part of it fails.
            reader.value(0).ok()
        }))
    }

    fn entries(self) -> Option<impl Iterator<Item = (Cow<'a, str>, Self)> + 'a> {
        let (head, mut reader) = self.head().filter(|(head, _)| head.major == major::MAP)?;
        let mut left = head.argument;
        Some(std::iter::from_fn(move || {
            loop {
                if let (Some(name), value) = reader.entry(&mut left, 0).ok().flatten()? {
                    return Some((name, value));
                }
            }
        }))
    }

    fn bin(self) -> Option<Bytes> {
        self.string_bytes(major::BYTES).map(|bytes| Bytes::copy_from_slice(&bytes))
    }

    fn json(self) -> Result<Bytes, &'static str> {
        let mut json = BytesMut::with_capacity(self.raw.len() * 2);
        translate::to_json(&mut Reader { bytes: self.raw, at: 0 }, &mut json)?;
        Ok(json.freeze())
    }
}

/// A floating-point number of the width that `info` tells (§3.3).
pub(crate) fn float(info: u8, bits: u64) -> Option<f64> {
    match info {
        // The widths were read from as many bytes: nothing is cut off.
        25 => Some(half(bits as u16)),
        26 => Some(f64::from(f32::from_bits(bits as u32))),
        27 => Some(f64::from_bits(bits)),
        _ => None,
    }
}

/// A half-precision number (§3.3, appendix D).
fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

/// Writes an item's head in its shortest form (§4.2.1).
pub(crate) fn write_head(kind: u8, argument: u64, into: &mut BytesMut) {
    let kind = kind << 5;
    // Each width is chosen so that the argument fits.
    match argument {
        0..=23 => into.put_u8(kind | argument as u8),
        24..=0xff => into.put_slice(&[kind | 24, argument as u8]),
        0x100..=0xffff => {
            into.put_u8(kind | 25);
            into.put_u16(argument as u16);
        }
        0x1_0000..=0xffff_ffff => {
            into.put_u8(kind | 26);
            into.put_u32(argument as u32);
        }
        _ => {
            into.put_u8(kind | 27);
            into.put_u64(argument);
        }
    }
}

/// Writes a text string.
pub(crate) fn write_text(text: &str, into: &mut BytesMut) {
    write_head(major::TEXT, text.len() as u64, into);
    into.put_slice(text.as_bytes());
}

/// Writes a byte string.
pub(crate) fn write_bin(bytes: &[u8], into: &mut BytesMut) {
    write_head(major::BYTES, bytes.len() as u64, into);
    into.put_slice(bytes);
}

/// Writes a finite number: a whole one as an integer, another with 64 bits.
pub(crate) fn write_number(n: f64, into: &mut BytesMut) {
    match fields::whole(n) {
        Some(whole) => write_head(major::UNSIGNED, whole, into),
        None => write_float(n, into),
    }
}

pub(crate) fn write_float(n: f64, into: &mut BytesMut) {
    into.put_u8(major::SIMPLE << 5 | 27);
    into.put_f64(n);
}
