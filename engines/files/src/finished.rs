//! What is known of a file that is complete.

use serde::{Deserialize, Serialize};

use crate::hash::Hash;

/// A file that is complete and kept, and what was seen in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// The name it is kept under.
    pub hash: Hash,
    /// Its bytes.
    pub bytes: u64,
    /// What it is by its content. Text of any kind, also HTML and SVG, is `text/plain`, and what is not
    /// known is `application/octet-stream`: so a browser never runs it.
    pub media_type: String,
    /// How to show it. Whatever is not [`Kind::Other`] may be shown inside a page.
    pub kind: Kind,
    /// Of an image whose size could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageFacts>,
    /// Of a sound whose length could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<SoundFacts>,
    /// Of a video whose size or length could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoFacts>,
    /// Why something is missing that such a file usually has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaw: Option<Flaw>,
}

/// How a file may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A picture.
    Image,
    /// Moving pictures.
    Video,
    /// Only sound.
    Audio,
    /// Anything else: to be downloaded.
    Other,
}

/// Why there is no thumbnail, or no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// It begins like an image, and cannot be decoded.
    BrokenImage,
    /// More pixels than [`Config::image_pixels_max`](crate::Config), or more bytes than are read for a
    /// thumbnail.
    LargeImage,
    /// Nothing here decodes this format (AVIF, HEIC, BMP).
    NoDecoder,
}

/// What was seen in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// Pixels from left to right, as the image is meant to be shown (its EXIF orientation is respected).
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
    /// A small one, as a file of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<Thumbnail>,
    /// Its colours as a blurhash of 4 by 3 (<https://blurha.sh>), to show while the image loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blur: Option<String>,
}

/// A small image made of a large one: still, upright, and without what a camera wrote into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thumbnail {
    /// The file it is kept as. Images that look alike may share one, so it is counted like any file.
    pub hash: Hash,
    /// Its bytes.
    pub bytes: u64,
    /// `image/jpeg`, or `image/webp` where something is transparent.
    pub media_type: String,
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

/// What was heard in a sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoundFacts {
    /// How long it plays, milliseconds.
    pub duration_ms: u64,
    /// Of WAV only: how loud it is, up to 128 parts of the whole from 0 to 100. In other formats whoever
    /// recorded it knows this better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waveform: Option<Vec<u8>>,
}

/// What was seen in a video.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoFacts {
    /// How long it plays, milliseconds, where the file tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Pixels from left to right as it is meant to be shown, 0 where the file does not tell.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}
