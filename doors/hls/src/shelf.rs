//! What the door needs of recordings and snapshots; the server puts engines behind it.

use std::{io, ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use yizhan_media::{Broadcast, Name};
use yizhan_talk::Timestamp;

/// Bytes that one read of a recording gives at most.
pub const READ_BYTES_MAX: u64 = 256 * 1024;

/// The recordings of all broadcasts.
pub trait Recordings: Send + Sync + 'static {
    /// Those of one broadcast, the newest first; none where there are none.
    fn list<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, io::Result<Vec<Recording>>>;

    /// Opens one by its file's name, as [`list`](Self::list) gives it; `None` where there is no such file. The name comes
    /// from outside: it was checked to have no slash and no leading dot.
    fn open<'a>(&'a self, name: &'a Name, file: &'a str) -> BoxFuture<'a, io::Result<Option<Arc<dyn Reel>>>>;
}

/// A recording, as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recording {
    /// Its file: `20261121-184014.mp4`.
    pub file: String,
    /// When it began, milliseconds since 1970.
    pub began: u64,
    /// How long it plays by now, seconds.
    pub seconds: f64,
    /// Bytes by now.
    pub bytes: u64,
    /// Whether it is still being written.
    pub growing: bool,
}

/// An open recording. What has been written never changes.
pub trait Reel: Send + Sync + 'static {
    /// Bytes by now that may be read.
    fn bytes(&self) -> u64;

    /// Whether it is still being written.
    fn is_growing(&self) -> bool;

    /// When it was changed last; with the name it tells apart what caches have.
    fn changed(&self) -> Timestamp;

    /// `video/mp4`, `video/x-flv`.
    fn media_type(&self) -> &'static str;

    /// Reads bytes of this range, from its start: at least one, at most [`READ_BYTES_MAX`]. The range is not empty and ends
    /// within [`bytes`](Self::bytes).
    fn read(&self, range: Range<u64>) -> BoxFuture<'static, io::Result<Bytes>>;

    /// Where to begin in order to play from so many seconds on: the bytes of the head, which go first, and where to go
    /// on. `None` where the recording has no index.
    fn find(&self, seconds: f64) -> Option<Found>;
}

/// Where a recording goes on from a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The first so many bytes are the head.
    pub head: u64,
    /// The piece with that time begins here.
    pub from: u64,
}

/// The newest picture of each broadcast.
pub trait Snapshots: Send + Sync + 'static {
    /// The JPEG, and when it was taken.
    fn newest(&self, name: &Name) -> Option<(Bytes, Timestamp)>;
}

/// A quality of a broadcast that is made when somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The rung's name: `720p`.
    pub rung: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The largest rate, picture and sound, bits a second.
    pub bits_per_second: u64,
    /// RFC 6381, picture and sound.
    pub codecs: String,
}

/// The ladders of all broadcasts.
pub trait Ladder: Send + Sync + 'static {
    /// What is offered of a broadcast beside itself, the best first. Who asks for one that is not on air waits for it
    /// (`Media::wanted`), and counts as its viewer as long as they ask for its playlists.
    fn offers(&self, source: &Broadcast) -> Vec<Offer>;
}
