//! Chunks become messages.

use bytes::{Buf, Bytes, BytesMut};
use yizhan_wire::{ReadError, Reader};

use super::{
    Message,
    chunk::{CHUNK_BYTES, EXTENDED, HEAD_BYTES_MAX, MESSAGE_BYTES_LIMIT},
    message::kind,
};

/// Chunk streams that one side may use at one time. Encoders use two to five.
pub const CHUNK_STREAMS_MAX: usize = 64;
/// Bytes that are made room for before more of a message has come.
const FIRST_BYTES: usize = 16 * 1024;

/// Why chunks cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A message is longer than its kind may be here.
    #[error("a message of {len} bytes: at most {max} are taken")]
    TooBig {
        /// What its head says.
        len: usize,
        /// What is taken.
        max: usize,
    },
    /// All unfinished messages together.
    #[error("unfinished messages of more than {0} bytes")]
    TooMuch(usize),
    /// More than [`CHUNK_STREAMS_MAX`].
    #[error("more than {CHUNK_STREAMS_MAX} chunk streams")]
    TooManyStreams,
    /// The chunk leaves out what no chunk before it on its chunk stream has said (RTMP 1.0 §5.3.1.2.1).
    #[error("a chunk stream begins with a chunk that is short of a head")]
    NoHead,
    /// A message begins on a chunk stream before the last one has ended.
    #[error("a message begins within another one")]
    Within,
    /// 0, or more than 2³¹ − 1 (RTMP 1.0 §5.4.1).
    #[error("a chunk size of {0}")]
    ChunkSize(u32),
}

/// How much is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message of sound or picture, or of an aggregate.
    pub media_bytes_max: usize,
    /// Bytes of any other message.
    pub other_bytes_max: usize,
}

/// Puts messages together. What it holds is bounded: heads of [`CHUNK_STREAMS_MAX`] chunk streams, and of unfinished
/// messages twice what one may have. Room for a message is made as it comes, whatever length its head says.
#[derive(Debug)]
pub struct ChunkReader {
    limits: Limits,
    chunk_bytes: usize,
    streams: Vec<ChunkStream>,
    /// Which stream the chunk is of that is being read, and how many bytes of it are still to come.
    current: Option<(usize, usize)>,
    /// Bytes of unfinished messages.
    held: usize,
}

/// What is known of a chunk stream, and the message that is under way on it.
#[derive(Debug, Default)]
struct ChunkStream {
    id: u32,
    timestamp: u32,
    /// What a chunk that says no time adds to the timestamp.
    delta: u32,
    /// What the last extended timestamp said, where the last head had one.
    extended: Option<u32>,
    len: usize,
    kind: u8,
    stream: u32,
    /// Some of a message has come, and not all.
    is_within: bool,
    body: Vec<u8>,
}

/// What a chunk's head says.
#[derive(Debug, Clone, Copy)]
struct ChunkHead {
    bytes: usize,
    format: u8,
    time: u32,
    extended: Option<u32>,
    len_and_kind: Option<(usize, u8)>,
    stream: Option<u32>,
}

impl ChunkReader {
    /// Nothing was read.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, chunk_bytes: CHUNK_BYTES, streams: Vec::new(), current: None, held: 0 }
    }

    /// Takes these limits from the next message on.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether some of a message has come and not all.
    #[must_use]
    pub const fn is_within(&self) -> bool {
        self.held > 0 || self.current.is_some()
    }

    /// The next message, as far as it has come; all that could be read is taken from `input`, but for a head that is
    /// not whole (less than [`HEAD_BYTES_MAX`] bytes). Set Chunk Size and Abort are obeyed here and not given.
    ///
    /// A chunk size of more than 16 MiB is the same as 16 MiB, since no message is longer.
    ///
    /// # Errors
    /// The bytes are not RTMP, or more than the limits allow. Nothing can be read behind that.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Message>, ChunkError> {
        loop {
            let (index, left) = match self.current.take() {
                Some(current) => current,
                None => match self.begin(input)? {
                    Some(begun) => begun,
                    None => return Ok(None),
                },
            };
            let now = left.min(input.len());
            self.take(index, &input[..now])?;
            input.advance(now);
            if now < left {
                self.current = Some((index, left - now));
                return Ok(None);
            }
            if let Some(message) = self.finish(index)?
                && !self.obey(&message)?
            {
                return Ok(Some(message));
            }
        }
    }

    /// Reads a chunk's head: which stream it is of, and how many bytes follow.
    fn begin(&mut self, input: &mut BytesMut) -> Result<Option<(usize, usize)>, ChunkError> {
        let mut reader = Reader::new(&input[..input.len().min(HEAD_BYTES_MAX)]);
        let Ok((format, id)) = basic(&mut reader) else { return Ok(None) };
        let known = self.streams.iter().position(|stream| stream.id == id);
        let last = known.and_then(|index| self.streams.get(index));
        let repeated = last.and_then(|stream| stream.extended);
        let Ok(head) = message_head(&mut reader, format, repeated) else { return Ok(None) };
        let index = match known {
            Some(index) => index,
            // With a message's length and kind it can be read; some encoders begin with a head that lacks the rest.
            None if format > 1 => return Err(ChunkError::NoHead),
            None if self.streams.len() >= CHUNK_STREAMS_MAX => return Err(ChunkError::TooManyStreams),
            None => {
                self.streams.push(ChunkStream { id, ..ChunkStream::default() });
                self.streams.len() - 1
            }
        };
        let stream = &mut self.streams[index];
        stream.apply(&head)?;
        let max = match stream.kind {
            kind::AUDIO | kind::VIDEO | kind::AGGREGATE => self.limits.media_bytes_max,
            _ => self.limits.other_bytes_max,
        };
        if stream.len > max {
            return Err(ChunkError::TooBig { len: stream.len, max });
        }
        let left = (stream.len - stream.body.len()).min(self.chunk_bytes);
        input.advance(head.bytes);
        Ok(Some((index, left)))
    }

    fn take(&mut self, index: usize, bytes: &[u8]) -> Result<(), ChunkError> {
        let max = 2 * self.limits.media_bytes_max.max(self.limits.other_bytes_max);
        self.held += bytes.len();
        if self.held > max {
            return Err(ChunkError::TooMuch(max));
        }
        let stream = &mut self.streams[index];
        let body = &mut stream.body;
        let wanted = body.len() + bytes.len();
        if wanted > body.capacity() {
            let room = wanted.max(body.capacity() * 2).max(FIRST_BYTES).min(stream.len);
            body.reserve_exact(room - body.len());
        }
        body.extend_from_slice(bytes);
        Ok(())
    }

    /// The message that has come whole with this chunk, where one has.
    fn finish(&mut self, index: usize) -> Result<Option<Message>, ChunkError> {
        let stream = &mut self.streams[index];
        if stream.body.len() < stream.len {
            return Ok(None);
        }
        stream.is_within = false;
        self.held -= stream.len;
        let body = Bytes::from(std::mem::take(&mut stream.body));
        Ok(Some(Message { kind: stream.kind, timestamp: stream.timestamp, stream: stream.stream, body }))
    }

    /// Does what a message about chunks wants. False where it is about something else.
    fn obey(&mut self, message: &Message) -> Result<bool, ChunkError> {
        let mut body = Reader::new(&message.body);
        match message.kind {
            kind::CHUNK_SIZE => {
                // A short one says 0.
                let size = body.u32_be().unwrap_or_default();
                if size == 0 || size >> 31 != 0 {
                    return Err(ChunkError::ChunkSize(size));
                }
                self.chunk_bytes = (size as usize).min(MESSAGE_BYTES_LIMIT);
            }
            kind::ABORT => {
                let id = body.u32_be().unwrap_or_default();
                if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
                    self.held -= stream.body.len();
                    stream.body = Vec::new();
                    stream.is_within = false;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl ChunkStream {
    /// Takes what a chunk's head says.
    fn apply(&mut self, head: &ChunkHead) -> Result<(), ChunkError> {
        if self.is_within {
            return if head.format == 3 { Ok(()) } else { Err(ChunkError::Within) };
        }
        match head.format {
            0 => {
                self.timestamp = head.time;
                // A chunk that says no time after this one adds this (RTMP 1.0 §5.3.1.2.4), and ffmpeg means it so.
                self.delta = head.time;
            }
            1 | 2 => {
                self.timestamp = self.timestamp.wrapping_add(head.time);
                self.delta = head.time;
            }
            _ => self.timestamp = self.timestamp.wrapping_add(self.delta),
        }
        if head.format < 3 {
            self.extended = head.extended;
        }
        if let Some((len, kind)) = head.len_and_kind {
            (self.len, self.kind) = (len, kind);
        }
        if let Some(stream) = head.stream {
            self.stream = stream;
        }
        self.is_within = true;
        Ok(())
    }
}

/// The type of a chunk's head and its chunk stream (RTMP 1.0 §5.3.1.1).
fn basic(reader: &mut Reader<'_>) -> Result<(u8, u32), ReadError> {
    let first = reader.u8()?;
    let id = match first & 0x3f {
        0 => 64 + u32::from(reader.u8()?),
        // The low byte comes first.
        1 => 64 + u32::from(reader.u16_le()?),
        id => id.into(),
    };
    Ok((first >> 6, id))
}

/// The rest of a chunk's head (RTMP 1.0 §5.3.1.2). `repeated` is the extended timestamp of the last head on its chunk
/// stream: a chunk without a time of its own says it again, but some encoders leave it out there (and the standard was
/// long read so). If the four bytes that follow are the same, they are taken for it.
fn message_head(reader: &mut Reader<'_>, format: u8, repeated: Option<u32>) -> Result<ChunkHead, ReadError> {
    let mut head = ChunkHead { bytes: 0, format, time: 0, extended: None, len_and_kind: None, stream: None };
    if format < 3 {
        head.time = reader.u24_be()?;
    }
    if format < 2 {
        head.len_and_kind = Some((reader.u24_be()? as usize, reader.u8()?));
    }
    if format == 0 {
        let bytes = reader.array()?;
        head.stream = Some(u32::from_le_bytes(bytes));
    }
    if format < 3 && head.time == EXTENDED {
        head.time = reader.u32_be()?;
        head.extended = Some(head.time);
    } else if let (3, Some(said)) = (format, repeated) {
        let mut ahead = reader.clone();
        if ahead.u32_be()? == said {
            *reader = ahead;
        }
    }
    head.bytes = reader.at();
    Ok(head)
}

#[cfg(test)]
mod tests;
