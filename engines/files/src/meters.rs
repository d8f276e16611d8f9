//! What is counted.

use yizhan_talk::{Counter, Gauge};

/// Numbers of all files together, for the server to show.
#[derive(Debug, Default)]
pub struct Meters {
    /// Uploads on their way.
    pub uploads_open: Gauge,
    /// Uploads that began.
    pub begun: Counter,
    /// Files that were finished, also those that were there already.
    pub finished: Counter,
    /// Files that were there already, so that nothing was kept a second time. Thumbnails count too.
    pub known: Counter,
    /// Uploads that were given up: by their sender, or because nothing came for too long.
    pub abandoned: Counter,
    /// Bytes taken in pieces of uploads and at once.
    pub bytes_in: Counter,
    /// Bytes of what was kept anew, with thumbnails.
    pub bytes_kept: Counter,
    /// Bytes given to readers.
    pub bytes_out: Counter,
    /// Files that were removed.
    pub removed: Counter,
    /// Thumbnails that were made.
    pub thumbnails: Counter,
    /// Images that could not be decoded.
    pub broken_images: Counter,
    /// Pieces and files that the disk had no room for.
    pub full: Counter,
}
