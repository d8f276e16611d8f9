//! Keeps the files that people send each other, and looks into them.
//!
//! [`Files`] takes an upload in pieces that may break off and go on, also after a restart. When all of it
//! is there it is hashed, looked into, and put away under its SHA-256, so that the same content is kept
//! once. The bytes lie in a folder, or in a bucket of S3 or of what speaks like it ([`Place`]).
//!
//! What a file *is* is read from its content and never believed from its sender: [`Finished`] has the media
//! type, the size of an image with a thumbnail, the length of a sound, the size and length of a video.
//! Content is hostile: every reader is bounded in time and memory, and a broken file is still a file.
//!
//! Who may see a file, and when nobody needs it any more, is for the caller to know.
//!
//! Read in this order: [`struct@Hash`], [`Config`], [`FilesError`], [`Finished`]; `source` (bounded reading), `look`
//! (what is it) and its formats, `picture` (thumbnails), `folder` and `bucket` (where bytes lie), `store`,
//! `fresh` (what must not be removed yet), `staging` (uploads on their way), `files` (all of it together).

#[cfg(feature = "s3")]
mod bucket;
mod config;
#[cfg(feature = "s3")]
mod courier;
mod error;
mod files;
mod finished;
mod folder;
mod fresh;
mod hash;
mod look;
mod meters;
mod picture;
mod source;
mod staging;
mod store;

pub use config::{Config, Place, Secret};
pub use error::FilesError;
pub use files::{Files, Swept};
pub use finished::{Finished, Flaw, ImageFacts, Kind, SoundFacts, Thumbnail, VideoFacts};
pub use hash::{Hash, NotAHash};
pub use meters::Meters;
pub use store::{Reading, Stream};

#[cfg(test)]
mod tests {
    mod hostile;
    mod kinds;
    mod pictures;
    #[cfg(feature = "s3")]
    mod remote;
    mod support;
    mod uploads;
}
