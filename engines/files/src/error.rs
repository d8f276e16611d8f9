//! What can go wrong, by what somebody does about it.

use std::io;

/// Why a file was not taken or not given.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The id of an upload has 16 to 64 characters of `a-z0-9`.
    #[error("the id of an upload has 16 to 64 small letters and digits")]
    BadId,
    /// No upload has this id: it never began, was given up, or was finished long ago.
    #[error("there is no such upload")]
    Unknown,
    /// An upload with this id began with another length.
    #[error("an upload with this id has another length")]
    Exists,
    /// More bytes than a file may have, or than the upload said it has.
    #[error("more than the {max} bytes that it may have")]
    TooLarge {
        /// Bytes that it may have.
        max: u64,
    },
    /// Too many uploads are on their way ([`Config::uploads_open_max`](crate::Config)). Try later.
    #[error("too many uploads are on their way")]
    TooMany,
    /// The piece does not begin where the upload is. Go on from `at`.
    #[error("the upload is at {at}")]
    Conflict {
        /// Bytes that are there.
        at: u64,
    },
    /// Someone else is writing to this upload. Ask for its offset, and go on from there.
    #[error("another piece of this upload is being written")]
    Busy,
    /// The upload is not complete. Go on from `at`.
    #[error("the upload is not complete, it is at {at}")]
    Incomplete {
        /// Bytes that are there.
        at: u64,
    },
    /// The disk has no room. What was there before is still there, so this may be tried again.
    #[error("the disk is full")]
    Full,
    /// No file has this hash.
    #[error("there is no such file")]
    Missing,
    /// The range has no byte of the file.
    #[error("the range is not in the file's {bytes} bytes")]
    Range {
        /// Bytes that the file has.
        bytes: u64,
    },
    /// The file was finished a few minutes ago, so someone may be about to use it. Remove it later.
    #[error("the file was used a moment ago")]
    Fresh,
    /// The place cannot be what the config says.
    #[error("the place of files: {0}")]
    BadPlace(String),
    /// The disk or the network failed. A retry may help.
    #[error("files: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<io::Error> for FilesError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Failed(error.into()),
        }
    }
}

impl From<tokio::task::JoinError> for FilesError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Failed(error.into())
    }
}
