//! Reading a take, while it is being written or later.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::PathBuf, sync::Arc};

use bytes::Bytes;
use tokio::{sync::watch, task::spawn_blocking};

use crate::{Progress, TakeId, index::Kind, recover::Entries, take::index_path};

/// Bytes that are read at a time.
const READ_BYTES_MAX: usize = 1 << 20;

/// A take that is open for reading. It can be read to its end even when it is taken away meanwhile.
#[derive(Debug, Clone)]
pub struct Reading {
    id: TakeId,
    path: Arc<PathBuf>,
    file: Arc<File>,
    bytes: u64,
    live: Option<watch::Receiver<Progress>>,
}

impl Reading {
    pub(crate) fn new(
        id: TakeId,
        path: PathBuf,
        file: File,
        bytes: u64,
        live: Option<watch::Receiver<Progress>>,
    ) -> Self {
        Self { id, path: Arc::new(path), file: Arc::new(file), bytes, live }
    }

    /// Which it is.
    #[must_use]
    pub fn id(&self) -> &TakeId {
        &self.id
    }

    /// Bytes that can be read now: whole pieces only.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.live.as_ref().map_or(self.bytes, |live| live.borrow().bytes)
    }

    /// Whether it may become longer.
    #[must_use]
    pub fn grows(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.borrow().end.is_none())
    }

    /// Waits until it is longer than `bytes`, or does not grow any more. Gives its length then.
    pub async fn longer_than(&mut self, bytes: u64) -> u64 {
        if let Some(live) = &mut self.live {
            // Where its writer is gone, it has ended.
            drop(live.wait_for(|progress| progress.bytes > bytes || progress.end.is_some()).await);
        }
        self.bytes()
    }

    /// At most `length` bytes from `offset` on, and at most 1 MiB; nothing at the end.
    ///
    /// # Errors
    /// The disk's.
    pub async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let there = usize::try_from(self.bytes().saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = length.min(there).min(READ_BYTES_MAX);
        if length == 0 {
            return Ok(Bytes::new());
        }
        let file = self.file.clone();
        let reading = move || {
            let mut piece = vec![0; length];
            file.read_exact_at(&mut piece, offset).map(|()| piece.into())
        };
        spawn_blocking(reading).await.map_err(io::Error::other)?
    }

    /// How long what stands before the first piece is, and where the newest piece begins that decoding can begin with
    /// and that is not behind `after_start` microseconds. Who reads the one and then from the other on has a take that
    /// begins there. Blocks as long as reading the index takes: 48 bytes for each piece.
    ///
    /// # Errors
    /// The disk's.
    pub fn find(&self, after_start: i64) -> io::Result<(u64, u64)> {
        let bytes = self.bytes();
        let mut entries = Entries::open(&index_path(&self.path))?;
        entries.rewind()?;
        let (mut head, mut first, mut found) = (0, None, None);
        while let Some(entry) = entries.next()? {
            match entry.kind {
                Kind::Head => head = entry.end(),
                Kind::Piece { key } if entry.end() <= bytes => {
                    let first = *first.get_or_insert(entry.dts);
                    if found.is_some() && entry.dts.saturating_sub(first) > after_start {
                        break;
                    }
                    if key || found.is_none() {
                        found = Some(entry.offset);
                    }
                }
                Kind::Piece { .. } | Kind::Synced | Kind::Finished => {}
            }
        }
        Ok((head, found.unwrap_or(head)))
    }
}
