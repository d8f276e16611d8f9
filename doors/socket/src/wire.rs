//! Frames: commands out of bytes, events into bytes, in two encodings.
//!
//! Read in this order: [`command`] (what a client may say), [`fields`] (an object by names), [`json`] and
//! [`cbor`] (values), [`pen`] (writing either), [`event`] (what a server says), [`record`] (a record's
//! form, made once), [`script`] (what a client writes).

pub mod command;
pub mod event;
pub(crate) mod pen;
pub mod script;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) mod cbor;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod record;

use yizhan_hub::Refused;
use yizhan_talk::{Again, Close};

use command::{Command, build};
use fields::Fields;

/// Levels of arrays and objects in one value.
pub const DEPTH_MAX: usize = 64;
/// Commands in one frame.
pub const FRAME_COMMANDS_MAX: usize = 1000;

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 8259.
    Json,
    /// RFC 8949.
    Cbor,
}

/// What is wrong with a frame or a command.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Wrong {
    /// The bytes are no frame; what follows them cannot be trusted.
    #[error("not a frame: {expected} was expected at byte {at}")]
    NotFrame {
        /// Where, counted from the frame's beginning.
        at: usize,
        /// What should have been there.
        expected: &'static str,
    },
    /// The text is not UTF-8.
    #[error("not a frame: the text is not UTF-8")]
    NotUtf8,
    /// More than [`FRAME_COMMANDS_MAX`] commands.
    #[error("not a frame: it holds at most {FRAME_COMMANDS_MAX} commands, the first ones were taken")]
    TooManyCommands,
    /// No command has this name.
    #[error("unknown command: see the field 'type' in the protocol reference")]
    UnknownCommand,
    /// A field is missing or of the wrong type.
    #[error("the field '{name}' is wrong: expected {expected}")]
    Field {
        /// Which field.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// What the field says is not taken.
    #[error(transparent)]
    Refused(Refused),
}

impl Wrong {
    /// The number that clients are told; see `docs/reference/errors.md`.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::NotFrame { .. } | Self::NotUtf8 | Self::TooManyCommands => 100,
            Self::UnknownCommand => 103,
            Self::Field { .. } => 104,
            Self::Refused(refused) => refused.code(),
        }
    }

    /// Whether and when the same command may succeed.
    #[must_use]
    pub fn again(&self) -> Again {
        match self {
            Self::Refused(refused) => refused.again(),
            _ => Again::Never,
        }
    }

    /// How a connection ends that cannot go on after this.
    pub(crate) fn close(&self) -> Close {
        match self {
            Self::NotUtf8 => Close::NOT_UTF8,
            Self::TooManyCommands => Close::TOO_BIG,
            _ => Close::PROTOCOL,
        }
    }
}

impl From<json::NotJson> for Wrong {
    fn from(not: json::NotJson) -> Self {
        Self::NotFrame { at: not.at, expected: not.expected }
    }
}

/// A command as it was read: its `id`, and itself or what is wrong with it.
pub type Read = (Option<u64>, Result<Command, Wrong>);

/// The commands of one frame, one after the other.
#[derive(Debug)]
pub struct Frame<'a> {
    text: Text<'a>,
    place: Place,
    count: usize,
}

#[derive(Debug)]
enum Text<'a> {
    Json(json::Reader<'a>),
    Cbor(cbor::Reader<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Begin,
    /// In an array; in CBOR with so many elements to come, if that was said.
    Array(Option<u64>),
    /// Behind the last command: nothing may follow.
    End,
}

impl<'a> Frame<'a> {
    /// A frame over these bytes.
    ///
    /// # Errors
    /// [`Wrong::NotUtf8`].
    pub fn new(encoding: Encoding, bytes: &'a [u8]) -> Result<Self, Wrong> {
        let text = match encoding {
            Encoding::Json => {
                Text::Json(json::Reader::new(std::str::from_utf8(bytes).map_err(|_| Wrong::NotUtf8)?))
            }
            Encoding::Cbor => Text::Cbor(cbor::Reader::new(bytes)),
        };
        Ok(Self { text, place: Place::Begin, count: 0 })
    }

    /// The next command; `None` after the last one.
    ///
    /// # Errors
    /// The rest of the frame cannot be read.
    pub fn command(&mut self) -> Result<Option<Read>, Wrong> {
        let read = match &mut self.text {
            Text::Json(reader) => json_command(reader, &mut self.place)?,
            Text::Cbor(reader) => cbor_command(reader, &mut self.place)?,
        };
        if read.is_some() {
            self.count += 1;
            if self.count > FRAME_COMMANDS_MAX {
                return Err(Wrong::TooManyCommands);
            }
        }
        Ok(read)
    }
}

fn json_command(reader: &mut json::Reader<'_>, place: &mut Place) -> Result<Option<Read>, Wrong> {
    let depth = match *place {
        Place::Begin if reader.take(b'[') => {
            *place = Place::Array(None);
            if reader.take(b']') {
                *place = Place::End;
                return json_end(reader);
            }
            1
        }
        Place::Begin => {
            *place = Place::End;
            0
        }
        Place::Array(_) if reader.take(b']') => {
            *place = Place::End;
            return json_end(reader);
        }
        Place::Array(_) if reader.take(b',') => 1,
        Place::Array(_) => return Err(reader.fail("',' or ']'").into()),
        Place::End => return json_end(reader),
    };
    if !reader.take(b'{') {
        return Err(reader.fail("a command in braces").into());
    }
    let (mut fields, mut first) = (Fields::new(), true);
    while let Some((name, value)) = reader.entry(&mut first, depth + 1)? {
        fields.put(&name, value);
    }
    if *place == Place::End {
        json_end(reader)?;
    }
    Ok(Some(build(&fields)))
}

fn json_end(reader: &mut json::Reader<'_>) -> Result<Option<Read>, Wrong> {
    if reader.peek().is_some() { Err(reader.fail("the end of the frame").into()) } else { Ok(None) }
}

fn cbor_command(reader: &mut cbor::Reader<'_>, place: &mut Place) -> Result<Option<Read>, Wrong> {
    let depth = match *place {
        Place::Begin => match reader.array()? {
            Some(length) => {
                *place = Place::Array(length);
                return cbor_command(reader, place);
            }
            None => {
                *place = Place::End;
                0
            }
        },
        Place::Array(Some(0)) => {
            *place = Place::End;
            return cbor_end(reader);
        }
        Place::Array(None) if reader.stop() => {
            *place = Place::End;
            return cbor_end(reader);
        }
        Place::Array(left) => {
            *place = Place::Array(left.map(|left| left - 1));
            1
        }
        Place::End => return cbor_end(reader),
    };
    let mut fields = Fields::new();
    let mut left = reader.map()?;
    while let Some((name, value)) = reader.entry(&mut left, depth + 1)? {
        if let Some(name) = name {
            fields.put(&name, value);
        }
    }
    if *place == Place::End {
        cbor_end(reader)?;
    }
    Ok(Some(build(&fields)))
}

fn cbor_end(reader: &mut cbor::Reader<'_>) -> Result<Option<Read>, Wrong> {
    if reader.is_at_end() { Ok(None) } else { Err(reader.fail("the end of the frame")) }
}
