//! Files in a temporary folder, and inputs.

use std::path::PathBuf;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use tempfile::TempDir;

use crate::{Config, Files, FilesError, Finished, Hash, Place};

/// An id as callers make them.
pub(super) const ID: &str = "abcdefghij0123456789";

/// Files, and the folder they are in.
pub(super) struct Home {
    pub(super) folder: TempDir,
}

impl Home {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.folder.path().join("uploads")
    }

    pub(super) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    pub(super) fn config(&self) -> Config {
        Config { reserve_bytes: 0, ..Config::new(Place::Folder(self.files())) }
    }

    /// A process that starts in this folder.
    pub(super) async fn open(&self) -> Files {
        Files::open(&self.staging(), self.config()).await.unwrap()
    }

    /// Names of what is staged, in order.
    pub(super) fn staged(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.staging()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Where a file lies.
    pub(super) fn path(&self, hash: &Hash) -> PathBuf {
        self.files().join(hash.path())
    }
}

/// Takes a file in by one upload of one piece.
pub(super) async fn upload(files: &Files, id: &str, bytes: &[u8]) -> Finished {
    files.begin(id, bytes.len() as u64).await.unwrap();
    files.append(id, 0, Bytes::copy_from_slice(bytes)).await.unwrap();
    files.finish(id).await.unwrap()
}

/// All of a file, or a part of it.
pub(super) async fn read(
    files: &Files,
    hash: &Hash,
    range: Option<std::ops::Range<u64>>,
) -> Result<Vec<u8>, FilesError> {
    let reading = files.read(hash, range).await?;
    let bytes: Vec<u8> =
        reading.stream.try_fold(Vec::new(), async |all, piece| Ok([&all[..], &piece[..]].concat())).await?;
    assert_eq!(bytes.len() as u64, reading.range.end - reading.range.start);
    Ok(bytes)
}

/// A file that a real program made. See `tests/fixtures/README.md`.
pub(super) fn fixture(name: &str) -> Vec<u8> {
    let path = [env!("CARGO_MANIFEST_DIR"), "tests/fixtures", name].iter().collect::<PathBuf>();
    std::fs::read(path).unwrap()
}

/// Bytes that are no known format.
pub(super) fn noise(count: usize) -> Vec<u8> {
    (0..count as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
