//! What can be set.

use std::{fmt, path::PathBuf, time::Duration};

/// How files are taken in, and where they are kept. Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bytes that one file may have.
    pub upload_bytes_max: u64,
    /// Uploads that are on their way at the same time. One more is refused.
    pub uploads_open_max: usize,
    /// An upload that gets nothing for so long is given up by the next sweep; so long it is also known
    /// what came of a finished one.
    pub upload_idle_max: Duration,
    /// Pixels that an image may have to get a thumbnail. A larger one is kept without. At most so many are
    /// decoded at the same time, each costs 3 to 9 bytes of memory for that while.
    pub image_pixels_max: u64,
    /// The longer side of a thumbnail, pixels.
    pub thumbnail_side_px: u32,
    /// Bytes that stay free on the disks of this machine: with less, uploads are refused as "full", so that
    /// files do not take the room of messages.
    pub reserve_bytes: u64,
    /// Where the bytes lie.
    pub place: Place,
}

impl Config {
    /// The usual limits, with files in `place`.
    pub fn new(place: Place) -> Self {
        Self {
            upload_bytes_max: 100 << 20,
            uploads_open_max: 10_000,
            upload_idle_max: Duration::from_secs(24 * 60 * 60),
            image_pixels_max: 50_000_000,
            thumbnail_side_px: 480,
            reserve_bytes: 512 << 20,
            place,
        }
    }
}

/// Where files are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine. Best on the same file system as the staging folder: then a finished upload
    /// is not copied.
    Folder(PathBuf),
    /// A bucket of S3, or of what speaks like it (MinIO, Ceph, Garage, OSS, COS). Needs the feature `s3`.
    S3 {
        /// Its address, with `https://` or `http://`, without the bucket.
        endpoint: String,
        /// The bucket. It must be there.
        bucket: String,
        /// Its region; where there is none, `us-east-1` is usual.
        region: String,
        /// The name of the key.
        access_key: String,
        /// The secret part of the key.
        secret_key: Secret,
        /// `https://endpoint/bucket/…`, as most servers of one's own want it, in place of
        /// `https://bucket.endpoint/…`.
        path_style: bool,
        /// What stands before every name, for example `yizhan/files`; may be empty.
        prefix: String,
    },
}

/// A text that does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Never log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•••")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_a_place() {
        let place = Place::S3 {
            endpoint: "https://s3.example".into(),
            bucket: "chat".into(),
            region: "us-east-1".into(),
            access_key: "key".into(),
            secret_key: Secret::new("hush".into()),
            path_style: true,
            prefix: String::new(),
        };
        assert!(!format!("{place:?}").contains("hush"));
    }
}
