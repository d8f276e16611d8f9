//! What may go wrong at this crate's border.

use std::{io, path::PathBuf, sync::Arc};

use tantivy::{
    TantivyError,
    directory::error::{OpenDirectoryError, OpenReadError, OpenWriteError},
};

/// Why an index could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Someone else has this folder open: in this process or in another one.
    #[error("the search index in {0} is open elsewhere")]
    InUse(PathBuf),
    /// The folder has things in it that are not an index; nothing there was touched.
    #[error("{0} is not empty and not a search index")]
    NotAnIndex(PathBuf),
    /// The folder cannot be read or written.
    #[error("the search index in {folder} cannot be opened: {cause}")]
    Folder {
        /// The index's folder.
        folder: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// As many changes wait as may: wait and give these again.
    #[error("the search index has {waiting} changes waiting")]
    Busy {
        /// Changes that wait.
        waiting: usize,
    },
    /// The index was closed.
    #[error("the search index is closed")]
    Closed,
    /// The query cannot be answered as it is; the text says why and may be shown to whoever asked.
    #[error("{0}")]
    BadQuery(&'static str),
    /// The disk or the index failed; trying again may help.
    #[error("the search index failed: {0}")]
    Failed(String),
}

impl From<TantivyError> for SearchError {
    fn from(error: TantivyError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<io::Error> for SearchError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The failure of the world behind an error, if there is one that says nothing about the index itself:
/// no rights, no room, too many files. Everything else that stops an index from opening is damage.
pub(crate) fn outage(error: &TantivyError) -> Option<io::Error> {
    let cause: &Arc<io::Error> = match error {
        TantivyError::IoError(cause)
        | TantivyError::OpenReadError(OpenReadError::IoError { io_error: cause, .. })
        | TantivyError::OpenWriteError(OpenWriteError::IoError { io_error: cause, .. })
        | TantivyError::OpenDirectoryError(OpenDirectoryError::IoError { io_error: cause, .. }) => cause,
        _ => return None,
    };
    let kind = cause.kind();
    let ours = matches!(
        kind,
        io::ErrorKind::NotFound
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::Other
    );
    // EMFILE and ENFILE have no kind of their own yet, so they count as the world's by their number.
    let files = matches!(cause.raw_os_error(), Some(23 | 24));
    (!ours || files).then(|| io::Error::new(kind, cause.to_string()))
}
