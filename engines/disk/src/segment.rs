//! One file of a lane's log.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use yizhan_talk::Timestamp;
use yizhan_wire::{Reader, Writer};

use crate::{
    codec::{BadFrame, Frame, LanePlace, PREAMBLE_BYTES, Preamble},
    files::{File, Files},
};

/// Bytes before the first frame.
pub(crate) const HEADER_BYTES: u64 = 64;
/// First bytes of every segment; the last one is the format's version.
const MAGIC: [u8; 8] = *b"YZSEGM\0\x01";
/// Bytes that a scan reads at once.
const SCAN_BYTES: usize = 512 << 10;

/// A piece of the log: the frames from `base` up to the next segment's base.
pub(crate) struct Segment {
    /// Logical offset of its first frame.
    pub(crate) base: u64,
    pub(crate) path: PathBuf,
    /// Open while it is used; closed again when too many are.
    file: Mutex<Option<Arc<dyn File>>>,
    holds: Mutex<Holds>,
}

/// What a segment holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Holds {
    /// Logical offset behind its last safe frame.
    pub(crate) end: u64,
    /// Place of its newest record; 0 where it has none.
    pub(crate) newest: u64,
    /// Records, damaged ones not counted.
    pub(crate) records: u64,
    /// When its first record was taken.
    pub(crate) first_at: Timestamp,
    /// The latest moment a record of it was taken.
    pub(crate) last_at: Timestamp,
}

impl Holds {
    pub(crate) fn nothing(base: u64) -> Self {
        Self { end: base, ..Self::default() }
    }

    /// One more record, which ends at `end`.
    pub(crate) fn take(&mut self, place: u64, at: Timestamp, end: u64) {
        self.newest = place;
        if self.records == 0 {
            self.first_at = at;
        }
        self.last_at = self.last_at.max(at);
        self.records += 1;
        self.end = end;
    }
}

impl Segment {
    pub(crate) fn new(folder: &Path, base: u64, file: Option<Arc<dyn File>>, holds: Holds) -> Self {
        let path = folder.join(file_name(base));
        Self { base, path, file: Mutex::new(file), holds: Mutex::new(holds) }
    }

    pub(crate) fn holds(&self) -> Holds {
        *self.holds.lock()
    }

    pub(crate) fn set_holds(&self, holds: Holds) {
        *self.holds.lock() = holds;
    }

    /// Bytes of frames.
    pub(crate) fn bytes(&self) -> u64 {
        self.holds.lock().end - self.base
    }

    /// Where in the file a logical offset is.
    pub(crate) fn at(&self, offset: u64) -> u64 {
        HEADER_BYTES + (offset - self.base)
    }

    /// The file, and whether it had to be opened.
    pub(crate) fn file(&self, files: &dyn Files) -> io::Result<(Arc<dyn File>, bool)> {
        let mut file = self.file.lock();
        match &*file {
            Some(file) => Ok((file.clone(), false)),
            None => {
                let opened = files.open(&self.path)?;
                *file = Some(opened.clone());
                Ok((opened, true))
            }
        }
    }

    /// Lets the file be closed when the last reader is done.
    pub(crate) fn close(&self) {
        *self.file.lock() = None;
    }

    /// A place in this file, for people.
    pub(crate) fn describe(&self, offset: u64) -> String {
        format!("{} at byte {}", self.path.display(), self.at(offset))
    }
}

/// A segment's file name.
pub(crate) fn file_name(base: u64) -> String {
    format!("{base:016x}.seg")
}

/// The base in a segment's file name; `None` for other files.
pub(crate) fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// A segment's first bytes.
pub(crate) fn header(lane: &LanePlace, base: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES as usize);
    let mut w = Writer::new(&mut bytes);
    w.bytes(&MAGIC);
    w.u16_le(lane.space.0);
    w.u16_le(lane.lane);
    w.u64_le(base);
    bytes.resize(HEADER_BYTES as usize - 4, 0);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Whether these are the first bytes of the segment at `base` of this lane.
pub(crate) fn is_header(bytes: &[u8], lane: &LanePlace, base: u64) -> bool {
    // Restoring and renaming keep a space's number, so the whole header must agree.
    Reader::new(bytes).bytes(HEADER_BYTES as usize).is_ok_and(|bytes| bytes == header(lane, base))
}

/// Reads a segment's frames in order, in large pieces.
pub(crate) struct Scan {
    file: Arc<dyn File>,
    base: u64,
    /// Logical offset of the next frame.
    at: u64,
    /// Logical offset at which to stop.
    end: u64,
    buffer: Vec<u8>,
    /// Logical offset of the buffer's first byte.
    buffer_at: u64,
}

/// What a scan came to.
pub(crate) enum Step<'a> {
    /// A frame that is as it was written, and its body.
    Frame(Frame<'a>, &'a [u8]),
    /// The end, or zeros where a frame would begin.
    End,
    /// Something that is not a frame.
    Bad(BadFrame),
}

impl Scan {
    /// From the frame at `at` up to `end`.
    pub(crate) fn new(segment: &Segment, file: Arc<dyn File>, at: u64, end: u64) -> Self {
        Self { file, base: segment.base, at, end, buffer: vec![], buffer_at: at }
    }

    /// Logical offset of the next frame.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Whether it has come to where it was to stop. The segment may have grown since it began.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    /// The next frame.
    pub(crate) fn step(&mut self) -> io::Result<Step<'_>> {
        if self.at >= self.end || !self.fill(PREAMBLE_BYTES)? {
            return Ok(Step::End);
        }
        let offset = self.at;
        let ahead = self.ahead();
        if ahead[..4] == [0; 4] {
            return Ok(Step::End);
        }
        let len = match Preamble::read(ahead, offset) {
            Ok(preamble) => preamble.frame_len,
            Err(bad) => return Ok(Step::Bad(bad)),
        };
        if !self.fill(len)? {
            return Ok(Step::Bad(BadFrame::Cut(len)));
        }
        self.at += len as u64;
        let start = (offset - self.buffer_at) as usize;
        Ok(match Frame::whole(&self.buffer[start..start + len], offset) {
            Ok((frame, body)) => Step::Frame(frame, body),
            Err(bad) => {
                self.at = offset;
                Step::Bad(bad)
            }
        })
    }

    /// Goes on at `offset`, which lies behind the present place.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        self.at = offset;
    }

    /// The offset behind the present place at which the next frame with a right head begins.
    pub(crate) fn next_frame(&mut self) -> io::Result<Option<(u64, Preamble)>> {
        let mut candidate = self.at + 1;
        while candidate < self.end {
            self.at = candidate;
            if !self.fill(PREAMBLE_BYTES)? {
                return Ok(None);
            }
            // A frame says its own offset; nearly every other byte is ruled out by that.
            let ahead = self.ahead();
            let most = ahead.len() - PREAMBLE_BYTES;
            let found = (0..=most).find(|i| {
                let told = ahead[i + 16..i + 24].first_chunk::<8>();
                told.is_some_and(|told| u64::from_le_bytes(*told) == candidate + *i as u64)
            });
            let Some(i) = found else {
                candidate += most as u64 + 1;
                continue;
            };
            candidate += i as u64;
            self.at = candidate;
            if let Ok(preamble) = Preamble::read(self.ahead(), candidate)
                && self.fill(preamble.head_end())?
                && Frame::head(self.ahead(), candidate).is_ok()
            {
                return Ok(Some((candidate, preamble)));
            }
            candidate += 1;
        }
        Ok(None)
    }

    /// Where the last byte that is not zero stands, from the present place on.
    pub(crate) fn last_written(&mut self) -> io::Result<Option<u64>> {
        let (mut at, mut last) = (self.at, None);
        let mut piece = vec![0; SCAN_BYTES];
        while at < self.end {
            let want = SCAN_BYTES.min((self.end - at) as usize);
            let read = self.file.read_at(&mut piece[..want], HEADER_BYTES + (at - self.base))?;
            if let Some(i) = piece[..read].iter().rposition(|byte| *byte != 0) {
                last = Some(at + i as u64);
            }
            if read < want {
                break;
            }
            at += read as u64;
        }
        Ok(last)
    }

    /// What is in the buffer from the present place on.
    fn ahead(&self) -> &[u8] {
        &self.buffer[(self.at - self.buffer_at) as usize..]
    }

    /// Makes sure that `len` bytes are ahead; `false` where the file or the end comes first.
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        let buffered = self.buffer_at + self.buffer.len() as u64;
        if (self.buffer_at..=buffered).contains(&self.at) && (buffered - self.at) as usize >= len {
            return Ok(true);
        }
        let left = self.end.saturating_sub(self.at);
        if (len as u64) > left {
            return Ok(false);
        }
        let keep_from = (self.at - self.buffer_at).min(self.buffer.len() as u64) as usize;
        self.buffer.drain(..keep_from);
        self.buffer_at = self.at;
        let have = self.buffer.len();
        // A length was checked against the frame's bound, and against what is left of the file.
        let want = len.max(SCAN_BYTES).min(left as usize);
        self.buffer.resize(want.max(have), 0);
        let read = self
            .file
            .read_at(&mut self.buffer[have..], HEADER_BYTES + (self.at - self.base) + have as u64)?;
        self.buffer.truncate(have + read);
        Ok(self.buffer.len() >= len)
    }
}
