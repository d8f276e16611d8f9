//! Thumbnails: right way up, small, and never at any price.

use bytes::Bytes;
use image::{DynamicImage, GenericImageView as _, ImageFormat, RgbImage};

use super::support::{Home, fixture, read};
use crate::{Config, Files, Finished, Flaw, ImageFacts, Kind, Thumbnail};

/// Takes an image in, and gives what was seen and the decoded thumbnail.
async fn drawn(content: Vec<u8>) -> (Finished, DynamicImage) {
    let files = Home::new();
    let home = files.open().await;
    let finished = home.put(content.into()).await.unwrap();
    let image = finished.image.as_ref().expect("it is an image");
    let thumbnail = image.thumbnail.as_ref().expect("it has a thumbnail");
    let bytes = read(&home, &thumbnail.hash, None).await.unwrap();
    assert_eq!(bytes.len() as u64, thumbnail.bytes);
    let picture = image::load_from_memory(&bytes).unwrap();
    assert_eq!(picture.dimensions(), (thumbnail.width, thumbnail.height));
    assert_eq!(image::guess_format(&bytes).unwrap().to_mime_type(), thumbnail.media_type);
    (finished, picture)
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn images_of_all_formats_get_thumbnails() {
    for (name, media_type, thumbnail_type) in [
        ("plain.jpg", "image/jpeg", "image/jpeg"),
        ("plain.png", "image/png", "image/jpeg"),
        ("plain.gif", "image/gif", "image/jpeg"),
        ("plain.webp", "image/webp", "image/jpeg"),
        ("glass.png", "image/png", "image/webp"),
        ("glass.webp", "image/webp", "image/webp"),
    ] {
        let (finished, picture) = drawn(fixture(name)).await;
        assert_eq!((finished.kind, finished.media_type.as_str()), (Kind::Image, media_type), "{name}");
        let ImageFacts { width, height, thumbnail, blur } = finished.image.unwrap();
        assert_eq!((width, height), (100, 60), "{name}");
        assert_eq!(thumbnail.unwrap().media_type, thumbnail_type, "{name}");
        assert_eq!(blur.unwrap().len(), 28, "{name}");
        let ([red, green, ..], [red_there, green_there, ..]) =
            (picture.get_pixel(10, 10).0, picture.get_pixel(90, 50).0);
        assert!(green > red && red_there > green_there, "{name}: green above left, red below right");
        assert_eq!(finished.flaw, None);
    }
    let (_, picture) = drawn(fixture("anim.gif")).await;
    assert_eq!(picture.dimensions(), (4, 4));
}

#[tokio::test]
async fn a_photo_is_shown_the_way_the_camera_was_held() {
    let (finished, picture) = drawn(fixture("turned.jpg")).await;
    let image = finished.image.unwrap();
    assert_eq!((image.width, image.height), (60, 100));
    assert_eq!(picture.dimensions(), (60, 100));
    // Orientation 6: the stored upper left is shown at the upper right.
    let ([red, green, ..], [red_there, green_there, ..]) =
        (picture.get_pixel(50, 10).0, picture.get_pixel(10, 90).0);
    assert!(green > red && red_there > green_there);
}

#[tokio::test]
async fn a_thumbnail_is_no_larger_than_it_may_be_and_nothing_is_made_larger() {
    for (width, height, small_width, small_height) in [
        (1_000, 500, 480, 240),
        (500, 1_000, 240, 480),
        (480, 480, 480, 480),
        (3, 2, 3, 2),
        (9_000, 1, 480, 1),
    ] {
        let (_, picture) = drawn(png(RgbImage::new(width, height))).await;
        assert_eq!(picture.dimensions(), (small_width, small_height));
    }
}

#[tokio::test]
async fn deep_and_odd_pixels_are_drawn_too() {
    for image in [
        DynamicImage::new_luma16(600, 600),
        DynamicImage::new_luma_a8(600, 600),
        DynamicImage::new_rgb16(600, 600),
        DynamicImage::new_rgba16(600, 600),
    ] {
        let (finished, _) = drawn(png(image)).await;
        assert_eq!(finished.flaw, None);
    }
}

#[tokio::test]
async fn formats_that_nothing_here_decodes_are_images_without_a_thumbnail() {
    for (name, media_type, width, height) in
        [("pil.avif", "image/avif", 100, 60), ("pic.avif", "image/avif", 64, 48)]
    {
        let finished = Home::new().open().await.put(fixture(name).into()).await.unwrap();
        assert_eq!((finished.kind, finished.media_type.as_str()), (Kind::Image, media_type), "{name}");
        assert_eq!(finished.image, Some(ImageFacts { width, height, thumbnail: None, blur: None }), "{name}");
        assert_eq!(finished.flaw, Some(Flaw::NoDecoder));
    }
    let finished = Home::new().open().await.put(heic().into()).await.unwrap();
    assert_eq!((finished.kind, finished.media_type.as_str()), (Kind::Image, "image/heic"));
    let image = finished.image.unwrap();
    assert_eq!((image.width, image.height), (3_024, 4_032), "turned by a quarter");
}

/// As a phone writes it: tiles, the whole, a thumbnail, and a turn.
fn heic() -> Vec<u8> {
    let part =
        |kind: &[u8; 4], body: &[u8]| [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat();
    let size = |width: u32, height: u32| {
        part(b"ispe", &[[0; 4], width.to_be_bytes(), height.to_be_bytes()].concat())
    };
    let list = [size(512, 512), size(4_032, 3_024), part(b"irot", &[3]), size(320, 240)].concat();
    let meta = [vec![0; 4], part(b"hdlr", &[0; 20]), part(b"iprp", &part(b"ipco", &list))].concat();
    [part(b"ftyp", b"heic\0\0\0\0mif1heic"), part(b"meta", &meta)].concat()
}

#[tokio::test]
async fn a_broken_image_is_a_file_to_be_downloaded() {
    let jpeg = fixture("plain.jpg");
    let png = fixture("plain.png");
    for (content, media_type) in [
        (jpeg[..100].to_vec(), "image/jpeg"),
        (png[..40].to_vec(), "image/png"),
        (png[..20].to_vec(), "image/png"),
        (b"GIF89a\x10\0\x10\0\0\0\0;".to_vec(), "image/gif"),
        (b"\xff\xd8\xff<html><script>alert(1)</script>".to_vec(), "image/jpeg"),
        (b"RIFF\x10\0\0\0WEBPVP8X\xff\xff\xff\xff".to_vec(), "image/webp"),
    ] {
        let home = Home::new();
        let files = home.open().await;
        let finished = files.put(content.clone().into()).await.unwrap();
        assert_eq!((finished.kind, finished.media_type.as_str()), (Kind::Other, media_type));
        assert_eq!((finished.image, finished.flaw), (None, Some(Flaw::BrokenImage)), "{media_type}");
        assert_eq!(read(&files, &finished.hash, None).await.unwrap(), content);
    }
}

#[tokio::test]
async fn a_zip_with_the_name_of_a_photo_is_a_zip() {
    // Names never come this far: only the content is asked.
    let finished = Home::new().open().await.put(fixture("a.docx").into()).await.unwrap();
    assert_eq!((finished.kind, finished.image), (Kind::Other, None));
}

/// A small file that would be 3.6 thousand million pixels.
#[tokio::test]
async fn a_decompression_bomb_is_seen_by_its_header_and_never_decoded() {
    let mut bomb = png(RgbImage::new(10, 10));
    bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
    let finished = Home::new().open().await.put(bomb.into()).await.unwrap();
    assert_eq!((finished.kind, finished.flaw), (Kind::Image, Some(Flaw::LargeImage)));
    let image = finished.image.unwrap();
    assert_eq!((image.width, image.height, image.thumbnail), (60_000, 60_000, None));
    for content in [
        b"GIF89a\xff\xff\xff\xff\0\0\0".to_vec(),
        b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff".to_vec(),
        b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03".to_vec(),
    ] {
        let finished = Home::new().open().await.put(content.into()).await.unwrap();
        assert_eq!(finished.flaw, Some(Flaw::LargeImage), "{}", finished.media_type);
    }
}

#[tokio::test]
async fn how_large_an_image_may_be_is_what_the_config_says() {
    let home = Home::new();
    let config = Config { image_pixels_max: 10_000, thumbnail_side_px: 10, ..home.config() };
    let files = Files::open(&home.staging(), config).await.unwrap();
    let large = files.put(png(RgbImage::new(101, 100)).into()).await.unwrap();
    assert_eq!(large.flaw, Some(Flaw::LargeImage));
    let small = files.put(png(RgbImage::new(100, 100)).into()).await.unwrap();
    let Thumbnail { width, height, .. } = small.image.unwrap().thumbnail.unwrap();
    assert_eq!((width, height), (10, 10));
}

#[tokio::test]
async fn of_a_gif_with_very_many_frames_one_is_decoded() {
    let mut gif = b"GIF89a\x04\0\x04\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    for _ in 0..100_000 {
        gif.extend(b"\x2c\0\0\0\0\x04\0\x04\0\0\x02\x04\x84\x8f\x09\x05\0");
    }
    gif.push(b';');
    let before = std::time::Instant::now();
    let finished = Home::new().open().await.put(gif.into()).await.unwrap();
    assert_eq!((finished.kind, finished.flaw), (Kind::Image, None));
    assert!(before.elapsed() < std::time::Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_images_at_once_take_turns() {
    let home = Home::new();
    let files = home.open().await;
    let images: Vec<_> = (0..20_u32)
        .map(|n| {
            let files = files.clone();
            let content = Bytes::from(png(RgbImage::new(200 + n, 200)));
            tokio::spawn(async move { files.put(content).await.unwrap() })
        })
        .collect();
    for image in images {
        assert!(image.await.unwrap().image.unwrap().thumbnail.is_some());
    }
    assert_eq!(files.figures().thumbnails.value(), 20);
}
