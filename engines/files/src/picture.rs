//! Thumbnails. The only place that decodes images.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder as _, ImageReader, Limits, RgbaImage,
    codecs::{jpeg::JpegEncoder, webp::WebPEncoder},
    metadata::Orientation,
};

use crate::{finished::Flaw, look::Raster, source::Source};

/// Bytes of a file that is read for a thumbnail. A photo of 50 million pixels has about 20 MB.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Bytes of memory that decoding may take for each pixel that an image may have.
const PIXEL_BYTES_MAX: u64 = 6;

/// What a decoder needs beside the pixels: profiles, tables.
const SPARE_BYTES: u64 = 16 << 20;

/// 100 is best. Nobody sees the difference in a small image.
const JPEG_QUALITY: u8 = 80;

/// The blur is made of so few pixels a side.
const BLUR_SIDE_PX: u32 = 32;

/// What came of an image.
pub(crate) struct Picture {
    /// The whole image's size as it is meant to be shown.
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) thumbnail: Vec<u8>,
    pub(crate) thumbnail_type: &'static str,
    pub(crate) thumbnail_width: u32,
    pub(crate) thumbnail_height: u32,
    pub(crate) blur: Option<String>,
}

/// Whether an image may be decoded at all. Asked before a turn to decode is waited for.
pub(crate) fn admit(raster: &Raster, file_bytes: u64, pixels_max: u64) -> Result<(), Flaw> {
    let is_small = pixels(raster.width, raster.height) <= pixels_max && file_bytes <= FILE_BYTES_MAX;
    if is_small { Ok(()) } else { Err(Flaw::LargeImage) }
}

/// Decodes an image that was admitted, and makes it small. Of a moving one it is the first frame.
pub(crate) fn draw(source: &Source, raster: &Raster, side: u32, pixels_max: u64) -> Result<Picture, Flaw> {
    let file = source.whole(FILE_BYTES_MAX).map_err(|_| Flaw::BrokenImage)?.ok_or(Flaw::LargeImage)?;
    let memory_max = pixels_max.saturating_mul(PIXEL_BYTES_MAX).saturating_add(SPARE_BYTES);
    let mut limits = Limits::default();
    limits.max_alloc = Some(memory_max);
    let mut reader = ImageReader::with_format(Cursor::new(file), raster.format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(flaw)?;
    let (width, height) = decoder.dimensions();
    // The decoder's own reading of the header counts, whatever ours was.
    if pixels(width, height) > pixels_max || decoder.total_bytes() > memory_max {
        return Err(Flaw::LargeImage);
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let whole = DynamicImage::from_decoder(decoder).map_err(flaw)?;
    let mut small = shrink(whole, side);
    small.apply_orientation(orientation);
    let (width, height) = if is_turned(orientation) { (height, width) } else { (width, height) };
    let (thumbnail, thumbnail_type) = encode(&small).map_err(flaw)?;
    Ok(Picture {
        width,
        height,
        thumbnail,
        thumbnail_type,
        thumbnail_width: small.width(),
        thumbnail_height: small.height(),
        blur: blur(small),
    })
}

fn pixels(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}

fn flaw(error: image::ImageError) -> Flaw {
    match error {
        image::ImageError::Limits(_) => Flaw::LargeImage,
        _ => Flaw::BrokenImage,
    }
}

fn is_turned(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// Not larger than `side`; never larger than it was.
fn shrink(image: DynamicImage, side: u32) -> DynamicImage {
    if image.width().max(image.height()) <= side { image } else { image.thumbnail(side, side) }
}

/// JPEG, which is smallest; WebP where something is transparent.
fn encode(image: &DynamicImage) -> Result<(Vec<u8>, &'static str), image::ImageError> {
    let mut bytes = Vec::new();
    if image.color().has_alpha() {
        let pixels = image.to_rgba8();
        if pixels.pixels().any(|pixel| pixel.0[3] != u8::MAX) {
            WebPEncoder::new_lossless(&mut bytes).encode(
                &pixels,
                pixels.width(),
                pixels.height(),
                image::ExtendedColorType::Rgba8,
            )?;
            return Ok((bytes, "image/webp"));
        }
    }
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(&image.to_rgb8())?;
    Ok((bytes, "image/jpeg"))
}

/// A handful of colours, as they look on white.
fn blur(image: DynamicImage) -> Option<String> {
    let mut tiny: RgbaImage = shrink(image, BLUR_SIDE_PX).to_rgba8();
    for pixel in tiny.pixels_mut() {
        let [red, green, blue, alpha] = pixel.0.map(u16::from);
        // A mean of two bytes, weighted by a third, is a byte.
        let on_white = |colour: u16| ((colour * alpha + 255 * (255 - alpha)) / 255) as u8;
        pixel.0 = [on_white(red), on_white(green), on_white(blue), u8::MAX];
    }
    blurhash::encode(4, 3, tiny.width(), tiny.height(), &tiny).ok()
}
