//! Reading and writing JSON (RFC 8259) without a tree: a value is a span of checked text.
//!
//! Checked means: the grammar of RFC 8259, no control character and no lone surrogate in strings, at most
//! [`DEPTH_MAX`] levels. Of a repeated name the last value counts, as in every browser.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::{BufMut, Bytes, BytesMut};

use super::{DEPTH_MAX, fields};

/// The text is not JSON: where, and what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotJson {
    pub(crate) at: usize,
    pub(crate) expected: &'static str,
}

/// One checked JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    kind: Kind,
    raw: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    True,
    False,
    Number,
    /// A string that stands for itself between its quotes.
    Plain,
    /// A string with escapes.
    Escaped,
    Array,
    Object,
}

/// Walks through one text.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Steps over white space and gives the byte that follows.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Steps over `byte` where it comes next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// Reads one value that lies `depth` levels below the top.
    pub(crate) fn value(&mut self, depth: usize) -> Result<Value<'a>, NotJson> {
        self.peek();
        let start = self.at;
        let kind = self.skip(depth)?;
        Ok(Value { kind, raw: &self.text[start..self.at] })
    }

    /// Reads the next name and value of an object; `None` at its end. `first` says whether the object was
    /// just entered.
    pub(crate) fn entry(
        &mut self,
        first: &mut bool,
        depth: usize,
    ) -> Result<Option<(Cow<'a, str>, Value<'a>)>, NotJson> {
        if self.take(b'}') {
            return Ok(None);
        }
        if !std::mem::take(first) && !self.take(b',') {
            return Err(self.fail("',' or '}'"));
        }
        if self.peek() != Some(b'"') {
            return Err(self.fail("a name in quotes"));
        }
        let name = self.value(depth)?;
        if !self.take(b':') {
            return Err(self.fail("':'"));
        }
        let value = self.value(depth)?;
        Ok(Some((name.text().unwrap_or_default(), value)))
    }

    pub(crate) fn fail(&self, expected: &'static str) -> NotJson {
        NotJson { at: self.at, expected }
    }

    /// Checks the value that begins here and steps over it.
    fn skip(&mut self, depth: usize) -> Result<Kind, NotJson> {
        match self.text.as_bytes().get(self.at) {
            Some(b'"') => self.skip_string(),
            Some(b'{') => self.skip_object(depth),
            Some(b'[') => self.skip_array(depth),
            Some(b'-' | b'0'..=b'9') => self.skip_number(),
            Some(b't') => self.skip_word("true", Kind::True),
            Some(b'f') => self.skip_word("false", Kind::False),
            Some(b'n') => self.skip_word("null", Kind::Null),
            _ => Err(self.fail("a value")),
        }
    }

    fn skip_word(&mut self, word: &'static str, kind: Kind) -> Result<Kind, NotJson> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.fail(word));
        }
        self.at += word.len();
        Ok(kind)
    }

    fn skip_object(&mut self, depth: usize) -> Result<Kind, NotJson> {
        if depth >= DEPTH_MAX {
            return Err(self.fail("fewer levels"));
        }
        self.at += 1;
        let mut first = true;
        loop {
            if self.take(b'}') {
                return Ok(Kind::Object);
            }
            if !std::mem::take(&mut first) && !self.take(b',') {
                return Err(self.fail("',' or '}'"));
            }
            if self.peek() != Some(b'"') {
                return Err(self.fail("a name in quotes"));
            }
            self.skip_string()?;
            if !self.take(b':') {
                return Err(self.fail("':'"));
            }
            self.peek();
            self.skip(depth + 1)?;
        }
    }

    fn skip_array(&mut self, depth: usize) -> Result<Kind, NotJson> {
        if depth >= DEPTH_MAX {
            return Err(self.fail("fewer levels"));
        }
        self.at += 1;
        if self.take(b']') {
            return Ok(Kind::Array);
        }
        loop {
            self.peek();
            self.skip(depth + 1)?;
            if self.take(b']') {
                return Ok(Kind::Array);
            }
            if !self.take(b',') {
                return Err(self.fail("',' or ']'"));
            }
        }
    }

    fn skip_number(&mut self) -> Result<Kind, NotJson> {
        let bytes = self.text.as_bytes();
        let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut at = self.at + usize::from(bytes[self.at] == b'-');
        let whole = digits(at);
        if whole == 0 || (whole > 1 && bytes[at] == b'0') {
            return Err(self.fail("a number"));
        }
        at += whole;
        if bytes.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            if fraction == 0 {
                return Err(self.fail("a number"));
            }
            at += 1 + fraction;
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let exponent = digits(at);
            if exponent == 0 {
                return Err(self.fail("a number"));
            }
            at += exponent;
        }
        self.at = at;
        Ok(Kind::Number)
    }

    fn skip_string(&mut self) -> Result<Kind, NotJson> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        let mut kind = Kind::Plain;
        loop {
            self.at += plain_bytes(&bytes[self.at..]);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(kind);
                }
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.skip_escape()?;
                }
                Some(_) => return Err(self.fail("no control character in a string")),
                None => return Err(self.fail("the end of a string")),
            }
        }
    }

    fn skip_escape(&mut self) -> Result<(), NotJson> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let rest = &self.text.as_bytes()[self.at..];
                let (_, length) =
                    unicode_escape(rest).ok_or_else(|| self.fail("a whole character after \\u"))?;
                self.at += length;
                Ok(())
            }
            _ => Err(self.fail("an escape that JSON knows")),
        }
    }
}

/// How many bytes at the front stand for themselves in a JSON string: no quote, no backslash, no control.
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let mut at = 0;
    for chunk in bytes.chunks_exact(8) {
        // Eight bytes at once: any byte below 0x20, equal to '"' or equal to '\' sets its high bit.
        let word = u64::from_le_bytes([
            chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7],
        ]);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (control | zero_in(word ^ (ONES * 0x22)) | zero_in(word ^ (ONES * 0x5c))) & HIGHS;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + bytes[at..].iter().take_while(|&&b| b >= 0x20 && b != b'"' && b != b'\\').count()
}

/// The character of an escape `\uXXXX`, or of a surrogate pair of them, and the length of the escape.
fn unicode_escape(bytes: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6)?;
        if &digits[..2] != b"\\u" || !digits[2..].iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u32::from_str_radix(std::str::from_utf8(&digits[2..]).ok()?, 16).ok()
    };
    let high = unit(0)?;
    if let Some(c) = char::from_u32(high) {
        return Some((c, 6));
    }
    let low = unit(6).filter(|low| (0xdc00..0xe000).contains(low))?;
    // The high half is checked by the sum: a low one in its place leaves the range of characters.
    let high = high.checked_sub(0xd800).filter(|&h| h < 0x400)?;
    char::from_u32(0x1_0000 + (high << 10) + (low - 0xdc00)).map(|c| (c, 12))
}

impl<'a> Value<'a> {
    /// The value as it was written.
    pub(crate) fn raw(self) -> &'a str {
        self.raw
    }

    fn text(self) -> Option<Cow<'a, str>> {
        let inner = || &self.raw[1..self.raw.len() - 1];
        match self.kind {
            Kind::Plain => Some(Cow::Borrowed(inner())),
            Kind::Escaped => Some(Cow::Owned(unescape(inner()))),
            _ => None,
        }
    }
}

impl<'a> fields::Value<'a> for Value<'a> {
    fn is_null(self) -> bool {
        self.kind == Kind::Null
    }

    fn string(self) -> Option<Cow<'a, str>> {
        self.text()
    }

    fn boolean(self) -> Option<bool> {
        match self.kind {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    fn integer(self) -> Option<u64> {
        if self.kind != Kind::Number {
            return None;
        }
        // A whole number that some libraries write as 1.0 or 1e3 is still whole.
        self.raw.parse().ok().or_else(|| self.number().and_then(fields::whole))
    }

    fn number(self) -> Option<f64> {
        if self.kind != Kind::Number {
            return None;
        }
        self.raw.parse().ok().filter(|n: &f64| n.is_finite())
    }

    fn elements(self) -> Option<impl Iterator<Item = Self> + 'a> {
        if self.kind != Kind::Array {
            return None;
        }
        let mut reader = Reader { text: self.raw, at: 1 };
        Some(std::iter::from_fn(move || {
            reader.take(b',');
            if reader.take(b']') {
                return None;
            }
            // The whole was checked, depth too: no part of it fails.
            reader.value(0).ok()
        }))
    }

    fn entries(self) -> Option<impl Iterator<Item = (Cow<'a, str>, Self)> + 'a> {
        if self.kind != Kind::Object {
            return None;
        }
        let (mut reader, mut first) = (Reader { text: self.raw, at: 1 }, true);
        Some(std::iter::from_fn(move || reader.entry(&mut first, 0).ok().flatten()))
    }

    fn bin(self) -> Option<Bytes> {
        BASE64.decode(self.text()?.as_bytes()).ok().map(Bytes::from)
    }

    fn json(self) -> Result<Bytes, &'static str> {
        Ok(Bytes::copy_from_slice(self.raw.as_bytes()))
    }
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(i) = memchr::memchr(b'\\', rest.as_bytes()) {
        plain.push_str(&rest[..i]);
        rest = &rest[i..];
        let (c, length) = match rest.as_bytes().get(1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => unicode_escape(rest.as_bytes()).unwrap_or(('\u{fffd}', 6)),
            Some(&c) => (char::from(c), 2),
            None => ('\u{fffd}', 1),
        };
        plain.push(c);
        rest = rest.get(length..).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

/// Checks that a text is one JSON value.
///
/// # Errors
/// See [`NotJson`].
pub(crate) fn check(text: &str) -> Result<Value<'_>, NotJson> {
    let mut reader = Reader::new(text);
    let value = reader.value(0)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.fail("the end")),
    }
}

/// Writes a string with its quotes.
pub(crate) fn write_string(text: &str, into: &mut BytesMut) {
    into.reserve(text.len() + 2);
    into.put_u8(b'"');
    let mut rest = text.as_bytes();
    loop {
        let plain = plain_bytes(rest);
        into.put_slice(&rest[..plain]);
        let Some(&byte) = rest.get(plain) else { break };
        match byte {
            b'"' => into.put_slice(b"\\\""),
            b'\\' => into.put_slice(b"\\\\"),
            b'\n' => into.put_slice(b"\\n"),
            b'\r' => into.put_slice(b"\\r"),
            b'\t' => into.put_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                into.put_slice(b"\\u00");
                into.put_u8(HEX[usize::from(byte >> 4)]);
                into.put_u8(HEX[usize::from(byte & 15)]);
            }
        }
        rest = &rest[plain + 1..];
    }
    into.put_u8(b'"');
}

/// Writes a JSON text on one line: what ends a line can only stand between values there.
pub(crate) fn write_on_one_line(json: &[u8], into: &mut BytesMut) {
    let mut rest = json;
    while let Some(i) = memchr::memchr2(b'\n', b'\r', rest) {
        into.put_slice(&rest[..i]);
        into.put_u8(b' ');
        rest = &rest[i + 1..];
    }
    into.put_slice(rest);
}

/// Writes a whole number.
pub(crate) fn write_integer(mut n: u64, into: &mut BytesMut) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        // A remainder of ten is one digit.
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    into.put_slice(&digits[at..]);
}

/// Writes a finite number, so that reading it gives the same number.
pub(crate) fn write_number(n: f64, into: &mut BytesMut) {
    match fields::whole(n) {
        Some(whole) => write_integer(whole, into),
        // `{:?}` writes very large and very small numbers with an exponent, as JSON has it.
        None => into.put_slice(format!("{n:?}").as_bytes()),
    }
}

/// Writes bytes as a base64 string.
pub(crate) fn write_bin(bytes: &[u8], into: &mut BytesMut) {
    // Whole groups of three at a time, so that only the last piece is padded.
    const PIECE: usize = 3 * 256;
    let mut text = [0; PIECE / 3 * 4];
    into.reserve(bytes.len() / 3 * 4 + 6);
    into.put_u8(b'"');
    for piece in bytes.chunks(PIECE) {
        // The piece fits by its size.
        let length = BASE64.encode_slice(piece, &mut text).unwrap_or_default();
        into.put_slice(&text[..length]);
    }
    into.put_u8(b'"');
}
