//! Where the bytes of complete files lie.

use std::{fs::File, ops::Range, os::unix::fs::FileExt as _, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};

#[cfg(feature = "s3")]
use crate::bucket::Bucket;
use crate::{
    config::Place,
    error::FilesError,
    folder::{Folder, Kept},
    hash::Hash,
};

/// Bytes read from a folder at a time.
const PIECE_BYTES: u64 = 128 << 10;

/// The pieces of a file. Dropping it ends the reading.
pub type Stream = BoxStream<'static, Result<Bytes, FilesError>>;

/// A file that is being read.
pub struct Reading {
    /// Bytes of the whole file.
    pub bytes: u64,
    /// What of it the stream gives.
    pub range: Range<u64>,
    /// Its pieces.
    pub stream: Stream,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading")
            .field("bytes", &self.bytes)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// How much of a file somebody wants.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    All,
    /// From, and up to; an end beyond the file is the file's.
    Part(Range<u64>),
}

impl Wanted {
    /// What that is of a file with so many bytes.
    pub(crate) fn within(&self, bytes: u64) -> Result<Range<u64>, FilesError> {
        match self {
            Self::All => Ok(0..bytes),
            Self::Part(range) if range.start < range.end.min(bytes) => Ok(range.start..range.end.min(bytes)),
            Self::Part(_) => Err(FilesError::Range { bytes }),
        }
    }
}

/// What is to be kept.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A file on disk that is safe there.
    Staged(Arc<Path>, u64),
    /// Bytes in memory.
    Memory(Bytes),
}

impl Content {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Staged(_, bytes) => *bytes,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }
}

/// A folder or a bucket.
#[derive(Debug)]
pub(crate) enum Store {
    Folder(Arc<Folder>),
    #[cfg(feature = "s3")]
    Bucket(Bucket),
}

impl Store {
    pub(crate) async fn open(place: &Place, reserve_bytes: u64) -> Result<Self, FilesError> {
        match place {
            Place::Folder(root) => {
                let root = root.clone();
                let folder =
                    tokio::task::spawn_blocking(move || Folder::open(&root, reserve_bytes)).await??;
                Ok(Self::Folder(Arc::new(folder)))
            }
            #[cfg(feature = "s3")]
            Place::S3 { .. } => {
                let bucket = Bucket::open(place)?;
                bucket.look().await;
                Ok(Self::Bucket(bucket))
            }
            #[cfg(not(feature = "s3"))]
            Place::S3 { .. } => Err(FilesError::BadPlace("this program was built without S3".into())),
        }
    }

    /// Keeps a content under its hash. When this answers it is safe.
    pub(crate) async fn keep(&self, hash: Hash, content: Content) -> Result<Kept, FilesError> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                let keep = move || match content {
                    Content::Staged(path, bytes) => folder.keep_file(&hash, &path, bytes),
                    Content::Memory(bytes) => folder.keep_bytes(&hash, &bytes),
                };
                Ok(tokio::task::spawn_blocking(keep).await??)
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => match content {
                Content::Staged(path, bytes) => bucket.keep_file(&hash, &path, bytes).await,
                Content::Memory(bytes) => bucket.keep_bytes(&hash, bytes).await,
            },
        }
    }

    /// Bytes of a file; `None` where it is not there.
    pub(crate) async fn bytes(&self, hash: Hash) -> Result<Option<u64>, FilesError> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                let found = tokio::task::spawn_blocking(move || folder.open_file(&hash)).await??;
                Ok(found.map(|(_, bytes)| bytes))
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.bytes(&hash).await,
        }
    }

    pub(crate) async fn read(&self, hash: Hash, wanted: Wanted) -> Result<Reading, FilesError> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                let found = tokio::task::spawn_blocking(move || folder.open_file(&hash)).await??;
                let (file, bytes) = found.ok_or(FilesError::Missing)?;
                let range = wanted.within(bytes)?;
                Ok(Reading { bytes, range: range.clone(), stream: pieces(file, range) })
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.read(&hash, wanted).await,
        }
    }

    pub(crate) async fn remove(&self, hash: Hash) -> Result<(), FilesError> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                Ok(tokio::task::spawn_blocking(move || folder.remove(&hash)).await??)
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.remove(&hash).await,
        }
    }
}

/// A part of a file, piece by piece. The file stays readable though it is removed meanwhile.
fn pieces(file: File, range: Range<u64>) -> Stream {
    let file = Arc::new(file);
    futures_util::stream::try_unfold((file, range), async |(file, range)| {
        if range.is_empty() {
            return Ok(None);
        }
        let (from, at) = (file.clone(), range.start);
        let bytes = (range.end - at).min(PIECE_BYTES);
        let read = move || {
            let mut piece = vec![0; bytes as usize];
            from.read_exact_at(&mut piece, at).map(|()| Bytes::from(piece))
        };
        let piece = tokio::task::spawn_blocking(read).await??;
        Ok(Some((piece, (file, at + bytes..range.end))))
    })
    .boxed()
}
