//! Images by their headers: size first, so that a bomb is seen before anything is decoded.

use super::Looked;
use crate::{
    finished::{Flaw, Kind},
    source::Source,
};

/// Segments of a JPEG before its frame header. Cameras write about ten.
const JPEG_SEGMENTS_MAX: usize = 1_000;

/// An image that can be decoded, and its size as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raster {
    pub(crate) format: image::ImageFormat,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// A JPEG, PNG, GIF or WebP. Without a size it is broken, and to be downloaded.
pub(super) fn look(source: &mut Source) -> Looked {
    let (format, size) = match source.u8(0) {
        Some(0xff) => (image::ImageFormat::Jpeg, jpeg(source)),
        Some(0x89) => (image::ImageFormat::Png, png(source)),
        Some(b'G') => (image::ImageFormat::Gif, gif(source)),
        _ => (image::ImageFormat::WebP, webp(source)),
    };
    let media_type = format.to_mime_type();
    match size.filter(|&(width, height)| width > 0 && height > 0) {
        Some((width, height)) => Looked {
            kind: Kind::Image,
            raster: Some(Raster { format, width, height }),
            size: Some((width, height)),
            ..Looked::other(media_type)
        },
        None => Looked { flaw: Some(Flaw::BrokenImage), ..Looked::other(media_type) },
    }
}

/// A BMP, which browsers show and nothing here decodes.
pub(super) fn look_bmp(source: &mut Source) -> Looked {
    let size = (|| {
        // The header of Windows 3 and later; its height is negative where the first row is the upper one.
        let (width, height) = (source.le32(18)? as i32, source.le32(22)? as i32);
        Some((width.unsigned_abs(), height.unsigned_abs())).filter(|&(width, height)| width > 0 && height > 0)
    })();
    Looked::picture("image/bmp", size)
}

/// ITU T.81, B.2.2: the first start of frame.
fn jpeg(source: &mut Source) -> Option<(u32, u32)> {
    let mut at = 2;
    for _ in 0..JPEG_SEGMENTS_MAX {
        let [fill, marker] = source.array(at)?;
        if fill != 0xff {
            return None;
        }
        match marker {
            // More of the fill.
            0xff => at += 1,
            // Markers without a segment.
            0x01 | 0xd0..=0xd8 => at += 2,
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                return Some((source.be16(at + 7)?.into(), source.be16(at + 5)?.into()));
            }
            // The image's data or its end before a frame header.
            0xd9 | 0xda => return None,
            _ => at += 2 + u64::from(source.be16(at + 2)?.max(2)),
        }
    }
    None
}

/// PNG 11.2.1: the header is the first chunk.
fn png(source: &mut Source) -> Option<(u32, u32)> {
    (source.array(12)? == *b"IHDR").then_some(())?;
    Some((source.be32(16)?, source.be32(20)?))
}

/// GIF89a 18: the logical screen.
fn gif(source: &mut Source) -> Option<(u32, u32)> {
    Some((source.le16(6)?.into(), source.le16(8)?.into()))
}

/// RFC 9649, 2.5 to 2.7: three kinds of first chunks.
fn webp(source: &mut Source) -> Option<(u32, u32)> {
    match &source.array(12)? {
        b"VP8 " => {
            (source.array(23)? == [0x9d, 0x01, 0x2a]).then_some(())?;
            Some((u32::from(source.le16(26)? & 0x3fff), u32::from(source.le16(28)? & 0x3fff)))
        }
        b"VP8L" => {
            (source.u8(20)? == 0x2f).then_some(())?;
            let bits = source.le32(21)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => {
            let [w0, w1, w2, h0, h1, h2] = source.array(24)?;
            Some((u32::from_le_bytes([w0, w1, w2, 0]) + 1, u32::from_le_bytes([h0, h1, h2, 0]) + 1))
        }
        _ => None,
    }
}
