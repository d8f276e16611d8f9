//! What a file is, by its content.
//!
//! Each format has a reader of its own that finds only what we want to know, in a few small reads. None of
//! them trusts a length: where something does not fit, the reader says what it knows so far.

mod adts;
mod amr;
mod ebml;
mod flac;
mod iso;
mod mpeg;
mod ogg;
mod raster;
mod riff;
mod text;
mod zip;

use crate::{
    finished::{Flaw, Kind, SoundFacts, VideoFacts},
    source::Source,
};

pub(crate) use raster::Raster;

/// Bytes from the beginning in which a format shows itself.
const HEAD_BYTES: usize = 32;

/// What is known before anything is decoded.
#[derive(Debug, PartialEq)]
pub(crate) struct Looked {
    pub(crate) media_type: &'static str,
    pub(crate) kind: Kind,
    /// An image that can be decoded.
    pub(crate) raster: Option<Raster>,
    /// Width and height of an image, as it is meant to be shown unless its EXIF data turns it.
    pub(crate) size: Option<(u32, u32)>,
    pub(crate) sound: Option<SoundFacts>,
    pub(crate) video: Option<VideoFacts>,
    pub(crate) flaw: Option<Flaw>,
}

impl Looked {
    fn other(media_type: &'static str) -> Self {
        Self { media_type, kind: Kind::Other, raster: None, size: None, sound: None, video: None, flaw: None }
    }

    /// A sound; its length is known or not.
    fn sound(media_type: &'static str, duration_ms: Option<u64>) -> Self {
        let sound = duration_ms.map(|duration_ms| SoundFacts { duration_ms, waveform: None });
        Self { kind: Kind::Audio, sound, ..Self::other(media_type) }
    }

    fn video(media_type: &'static str, video: Option<VideoFacts>) -> Self {
        Self { kind: Kind::Video, video, ..Self::other(media_type) }
    }

    /// An image that is kept and shown as it is.
    fn picture(media_type: &'static str, size: Option<(u32, u32)>) -> Self {
        Self { kind: Kind::Image, size, flaw: Some(Flaw::NoDecoder), ..Self::other(media_type) }
    }
}

/// Formats that need no more than their first bytes: where the bytes are, which, and what that means.
const MAGIC: &[(usize, &[u8], &str)] = &[
    (0, b"%PDF-", "application/pdf"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"BZh", "application/x-bzip2"),
    // Word, Excel and PowerPoint before 2007.
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
];

/// Looks at a file. It never fails: what nothing here knows is bytes.
pub(crate) fn look(source: &mut Source) -> Looked {
    let head: Vec<u8> = source.peek(0, HEAD_BYTES).to_vec();
    if let Some(looked) = by_head(&head, source) {
        return looked;
    }
    for &(at, magic, media_type) in MAGIC {
        if head.get(at..at + magic.len()) == Some(magic) {
            return Looked::other(media_type);
        }
    }
    // These begin with little that is theirs, so they must hold for longer.
    let last = [adts::look as fn(&mut Source) -> Option<Looked>, mpeg::look, text::look];
    last.iter().find_map(|look| look(source)).unwrap_or_else(|| Looked::other("application/octet-stream"))
}

/// Formats that are known by their first bytes and have a reader of their own.
fn by_head(head: &[u8], source: &mut Source) -> Option<Looked> {
    match head {
        [0xff, 0xd8, 0xff, ..] | [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => {
            Some(raster::look(source))
        }
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(raster::look(source)),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(raster::look(source)),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(riff::look(source)),
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some(raster::look_bmp(source)),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(iso::look(source)),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => ebml::look(source),
        [b'O', b'g', b'g', b'S', 0, ..] => Some(ogg::look(source)),
        [b'f', b'L', b'a', b'C', ..] => Some(flac::look(source)),
        [b'#', b'!', b'A', b'M', b'R', ..] => amr::look(source),
        [b'I', b'D', b'3', ..] => Some(mpeg::look_tagged(source)),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(zip::look(source)),
        _ => None,
    }
}

/// `count` things at `rate` a second, in milliseconds. `None` where there is no rate.
fn milliseconds(count: u64, rate: u64) -> Option<u64> {
    if rate == 0 {
        return None;
    }
    u64::try_from(u128::from(count) * 1000 / u128::from(rate)).ok().filter(|&ms| ms <= DURATION_MS_MAX)
}

/// A longer one is a wrong number in a broken file: a year.
const DURATION_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1000;
