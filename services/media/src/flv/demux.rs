//! Streams of FLV tags become packets: what ffmpeg writes into a pipe, what another server sends over HTTP.

use bytes::{Buf, BytesMut};

use super::{
    TAG_HEAD_BYTES,
    body::{BodyError, Reader},
};
use crate::frame::Packet;

/// Bytes of the head of a file that anybody writes; nine are usual.
const FILE_HEAD_BYTES_MAX: usize = 1024;

/// Why a stream cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// It does not begin as FLV, or a tag does not. Reading has ended.
    #[error("this is not FLV")]
    NotFlv,
    /// A tag is larger than allowed. Reading has ended.
    #[error("an FLV tag has {bytes} bytes; at most {max} are taken")]
    TooBig {
        /// How many it says.
        bytes: usize,
        /// How many are allowed.
        max: usize,
    },
    /// A tag cannot be used. Reading goes on behind it.
    #[error(transparent)]
    Body(#[from] BodyError),
}

impl FlvError {
    /// Whether reading has ended with it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Body(_))
    }
}

/// Reads a stream piece by piece. Holds at most one tag that is not complete beside what was pushed: take all packets
/// before pushing more.
#[derive(Debug)]
pub struct Demuxer {
    tag_bytes_max: usize,
    buffer: BytesMut,
    /// Bytes to pass over: what follows the head of the file, and the size behind a tag.
    skip: usize,
    has_begun: bool,
    ended: Option<FlvError>,
    bodies: Reader,
    /// Packets of the newest tag, the next one last.
    packets: Vec<Packet>,
    /// The newest timestamp, milliseconds; its 32 bits go on behind their end.
    clock: Option<i64>,
}

impl Demuxer {
    /// A reader that takes tags with bodies of up to so many bytes.
    #[must_use]
    pub fn new(tag_bytes_max: usize) -> Self {
        Self {
            tag_bytes_max,
            buffer: BytesMut::new(),
            skip: 0,
            has_begun: false,
            ended: None,
            bodies: Reader::default(),
            packets: Vec::new(),
            clock: None,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.ended.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next packet, `None` where more bytes are needed.
    ///
    /// # Errors
    /// A tag cannot be used, or the stream cannot be read on: see [`FlvError::is_final`].
    pub fn read(&mut self) -> Result<Option<Packet>, FlvError> {
        loop {
            if let Some(packet) = self.packets.pop() {
                return Ok(Some(packet));
            }
            if let Some(error) = self.ended {
                return Err(error);
            }
            match self.tag() {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => {
                    if error.is_final() {
                        self.ended = Some(error);
                        self.buffer = BytesMut::new();
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Whether the stream may end here: no tag is cut short.
    #[must_use]
    pub fn is_between_tags(&self) -> bool {
        self.has_begun && self.buffer.len() <= self.skip
    }

    /// Reads a tag, or the head of the file; false where it is not complete.
    fn tag(&mut self) -> Result<bool, FlvError> {
        let skip = self.skip.min(self.buffer.len());
        self.buffer.advance(skip);
        self.skip -= skip;
        if !self.has_begun {
            return self.begin();
        }
        let Some(&[kind, a, b, c, t1, t2, t3, t0, _, _, _]) = self.buffer.first_chunk::<TAG_HEAD_BYTES>()
        else {
            return Ok(false);
        };
        // The highest bits are reserved; the next one says that the body is encrypted.
        if !matches!(kind, 8 | 9 | 18) {
            return Err(FlvError::NotFlv);
        }
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        if len > self.tag_bytes_max {
            return Err(FlvError::TooBig { bytes: len, max: self.tag_bytes_max });
        }
        if self.buffer.len() < TAG_HEAD_BYTES + len {
            return Ok(false);
        }
        self.buffer.advance(TAG_HEAD_BYTES);
        let body = self.buffer.split_to(len).freeze();
        // The size behind a tag is for reading backwards, and some servers write 0.
        self.skip = 4;
        let dts = self.unwrap(u32::from_be_bytes([t0, t1, t2, t3])).saturating_mul(1000);
        let result = match kind {
            8 => self.bodies.audio(dts, body, &mut self.packets),
            9 => self.bodies.video(dts, body, &mut self.packets),
            _ => self.bodies.script(dts, body, &mut self.packets),
        };
        self.packets.reverse();
        result?;
        Ok(true)
    }

    fn begin(&mut self) -> Result<bool, FlvError> {
        let Some(&[f, l, v, version, _, a, b, c, d]) = self.buffer.first_chunk::<9>() else {
            // What is there already must be right, so that nothing else waits for more for ever.
            let is_so_far = b"FLV\x01".iter().zip(&self.buffer).all(|(wanted, is)| wanted == is);
            return if is_so_far { Ok(false) } else { Err(FlvError::NotFlv) };
        };
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        if [f, l, v, version] != *b"FLV\x01" || !(9..=FILE_HEAD_BYTES_MAX).contains(&len) {
            return Err(FlvError::NotFlv);
        }
        // And the size of the tag before the first one.
        self.skip = len + 4;
        self.has_begun = true;
        Ok(true)
    }

    /// Milliseconds without an end, of 32 bits that wrap: the nearest to the newest.
    fn unwrap(&mut self, millis: u32) -> i64 {
        let at = match self.clock {
            None => i64::from(millis),
            Some(newest) => newest + i64::from(millis.wrapping_sub(newest as u32).cast_signed()),
        };
        self.clock = Some(at);
        at
    }
}
