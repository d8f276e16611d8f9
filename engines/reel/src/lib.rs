//! Recordings on disk. A *take* is one file of one broadcast; a *piece* is what is written of it at a time: a fragment
//! of MP4, some FLV tags.
//!
//! - **In**: [`Reels::begin`] gives a [`Take`]; [`Take::push`] never waits. A few threads of this crate write. What a
//!   disk cannot take in time is dropped from whole pieces on, and counted; a full disk ends the take and nothing else.
//! - **Beside each take lies its index**, one entry for each piece, only ever appended to: where it lies, when it is
//!   shown, what it sums up to. So one can seek, and read while it is still being written.
//! - **After a crash** a take ends behind its last whole piece: the rest is cut off when the folder is opened.
//!
//! Takes lie in `{folder}/{app}/{name}/{began}.{extension}`, `began` in milliseconds since 1970; the index has `.index`
//! behind that.
//!
//! Read in this order: `index` (entries), `recover` (after a crash), `take` (one that is being written), `pool` (the
//! threads that write), `reading` (ranges and seeking), `reels` (all of them, what is kept).

mod config;
mod index;
mod pool;
mod reading;
mod recover;
mod reels;
mod take;

pub use config::{Config, Keep};
pub use reading::Reading;
pub use reels::{Reels, Swept, TakeId, TakeView};
pub use take::{End, Piece, Progress, Take};

/// Why something with recordings failed.
#[derive(Debug, thiserror::Error)]
pub enum ReelError {
    /// The name is not one that may be a folder.
    #[error("'{0}' cannot be a folder of recordings")]
    BadName(String),
    /// There is such a take already: one that began in the same millisecond.
    #[error("a recording that began at that moment is there already")]
    Exists,
    /// Less would stay free on the disk than is wanted.
    #[error("the disk is full")]
    Full,
    /// The system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
