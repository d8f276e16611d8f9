//! Reading here and there in a file that may be hostile: in small pieces, and not for ever.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use bytes::Bytes;

/// Bytes that one look at a file can see at most, and that one read from the disk brings.
pub(crate) const WINDOW_BYTES: usize = 64 << 10;

/// Bytes that a read brings when only a little is wanted.
const READ_BYTES: usize = 8 << 10;

/// Looks at one file. Who wants more is shown the end of the file: no content holds a thread for long.
const PEEKS_MAX: u32 = 1_000_000;

/// Bytes read of one file for all looks together.
const BYTES_MAX: u64 = 256 << 20;

/// A complete file that can be looked at anywhere.
pub(crate) struct Source {
    from: From,
    bytes: u64,
    window: Vec<u8>,
    window_at: u64,
    peeks_left: u32,
    bytes_left: u64,
}

/// Where the content is.
enum From {
    File(File),
    Memory(Bytes),
}

impl Source {
    /// A file on disk.
    pub(crate) fn file(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self::new(From::File(file), bytes))
    }

    /// A file in memory.
    pub(crate) fn memory(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        Self::new(From::Memory(bytes), length)
    }

    fn new(from: From, bytes: u64) -> Self {
        Self { from, bytes, window: Vec::new(), window_at: 0, peeks_left: PEEKS_MAX, bytes_left: BYTES_MAX }
    }

    /// Bytes of the whole file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Up to `count` bytes from `at`; fewer at the end, where the disk fails, and when too much was read.
    /// `count` is at most [`WINDOW_BYTES`].
    pub(crate) fn peek(&mut self, at: u64, count: usize) -> &[u8] {
        let left = self.bytes.saturating_sub(at);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(count).min(WINDOW_BYTES);
        if count == 0 || self.peeks_left == 0 {
            return &[];
        }
        self.peeks_left -= 1;
        if matches!(self.from, From::File(_)) {
            let skip = at.checked_sub(self.window_at);
            if skip.is_none_or(|skip| skip + count as u64 > self.window.len() as u64) {
                self.fill(at, count.max(READ_BYTES));
            }
        }
        let (seen, from) = match &self.from {
            From::Memory(bytes) => (&bytes[..], at),
            From::File(_) => (&self.window[..], at - self.window_at),
        };
        // Both are below the length of something in memory.
        let from = seen.len().min(from as usize);
        &seen[from..seen.len().min(from + count)]
    }

    fn fill(&mut self, at: u64, count: usize) {
        let From::File(file) = &self.from else { return };
        self.window_at = at;
        self.window.clear();
        if self.bytes_left < count as u64 {
            return;
        }
        self.bytes_left -= count as u64;
        self.window.resize(count, 0);
        let mut read = 0;
        while read < count {
            match file.read_at(&mut self.window[read..], at + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What cannot be read is not looked at; whoever keeps the file meets the same error.
                Err(_) => break,
            }
        }
        self.window.truncate(read);
    }

    /// Exactly `N` bytes from `at`.
    pub(crate) fn array<const N: usize>(&mut self, at: u64) -> Option<[u8; N]> {
        self.peek(at, N).try_into().ok()
    }

    pub(crate) fn u8(&mut self, at: u64) -> Option<u8> {
        self.array(at).map(u8::from_be_bytes)
    }

    pub(crate) fn be16(&mut self, at: u64) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    pub(crate) fn be32(&mut self, at: u64) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    pub(crate) fn be64(&mut self, at: u64) -> Option<u64> {
        self.array(at).map(u64::from_be_bytes)
    }

    pub(crate) fn le16(&mut self, at: u64) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(crate) fn le32(&mut self, at: u64) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(crate) fn le64(&mut self, at: u64) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    /// The whole file, for decoders that want it so; `None` with more than `bytes_max`.
    pub(crate) fn whole(&self, bytes_max: u64) -> io::Result<Option<Bytes>> {
        if self.bytes > bytes_max {
            return Ok(None);
        }
        match &self.from {
            From::Memory(bytes) => Ok(Some(bytes.clone())),
            From::File(file) => {
                // Not more than `bytes_max`, which is the caller's choice and not the content's.
                let mut bytes = vec![0; self.bytes as usize];
                file.read_exact_at(&mut bytes, 0)?;
                Ok(Some(bytes.into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn looks_beyond_the_end_see_less_or_nothing() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
        file.write_all(&content).unwrap();
        for mut source in [Source::file(file).unwrap(), Source::memory(content.clone().into())] {
            assert_eq!(source.peek(0, 4), &content[..4]);
            assert_eq!(source.peek(19_998, 9), &content[19_998..]);
            assert_eq!(source.peek(8_190, 4), &content[8_190..8_194]);
            assert_eq!(source.peek(20_000, 1), b"");
            assert_eq!(source.peek(u64::MAX, 1), b"");
            assert_eq!(source.be32(19_997), None);
            assert_eq!(source.be16(19_998), Some(u16::from_be_bytes([content[19_998], content[19_999]])));
        }
    }

    #[test]
    fn looking_ends_some_time() {
        let mut source = Source::memory(Bytes::from_static(b"abc"));
        let seen = (0..u64::from(PEEKS_MAX) + 10).filter(|_| source.u8(0).is_some()).count();
        assert_eq!(seen, PEEKS_MAX as usize);
    }
}
