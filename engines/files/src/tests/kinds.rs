//! What a file is, by its content: real files of every kind, and files that lie.

use bytes::Bytes;

use super::support::{Home, fixture, noise};
use crate::{Finished, Kind, SoundFacts, VideoFacts};

async fn seen(content: Vec<u8>) -> Finished {
    Home::new().open().await.put(Bytes::from(content)).await.unwrap()
}

/// Durations are ffprobe's, or what the sound was made with; encoders add up to a frame or two.
#[tokio::test]
async fn sounds_tell_how_long_they_are() {
    for (name, media_type, duration_ms, spare_ms) in [
        ("tone.wav", "audio/wav", 500, 0),
        ("tone.ogg", "audio/ogg", 2_000, 10),
        ("tone-vorbis.ogg", "audio/ogg", 2_000, 10),
        ("tone.webm", "audio/webm", 2_008, 0),
        ("tone-live.webm", "audio/webm", 2_008, 20),
        ("tone.m4a", "audio/mp4", 2_000, 70),
        ("tone-frag.m4a", "audio/mp4", 2_064, 70),
        ("tone.3gp", "audio/3gpp", 2_000, 70),
        ("tone.aac", "audio/aac", 2_112, 0),
        ("tone-cbr.mp3", "audio/mpeg", 2_088, 80),
        ("tone-vbr.mp3", "audio/mpeg", 2_088, 80),
        ("tone-bare.mp3", "audio/mpeg", 2_088, 1),
        ("tone.flac", "audio/flac", 2_000, 0),
    ] {
        let finished = seen(fixture(name)).await;
        assert_eq!((finished.kind, finished.media_type.as_str()), (Kind::Audio, media_type), "{name}");
        let sound = finished.sound.expect(name);
        assert!(sound.duration_ms.abs_diff(duration_ms) <= spare_ms, "{name}: {}", sound.duration_ms);
        assert_eq!(finished.flaw, None);
    }
}

#[tokio::test]
async fn voice_from_phones_is_counted_by_its_frames() {
    // 12.2 kbit/s with two silent frames between, and the wide kind.
    let narrow =
        [b"#!AMR\n".to_vec(), [vec![0x3c; 1], vec![7; 31]].concat().repeat(50), vec![0x7c, 0x7c]].concat();
    let wide = [b"#!AMR-WB\n".to_vec(), [vec![0x44; 1], vec![7; 60]].concat().repeat(25)].concat();
    for (content, media_type, duration_ms) in [(narrow, "audio/amr", 1_040), (wide, "audio/amr-wb", 500)] {
        let finished = seen(content).await;
        assert_eq!((finished.kind, finished.media_type.as_str()), (Kind::Audio, media_type));
        assert_eq!(finished.sound, Some(SoundFacts { duration_ms, waveform: None }));
    }
}

#[tokio::test]
async fn a_recording_shows_how_loud_it_is() {
    let waveform = seen(fixture("tone.wav")).await.sound.unwrap().waveform.unwrap();
    assert_eq!(waveform.len(), 128);
    let (soft, loud) = (waveform[10], waveform[120]);
    assert!(soft > 0 && loud > 5 * soft, "{waveform:?}");
    for (kind, bits, sample) in [
        (1_u16, 8_u16, vec![255]),
        (1, 16, 16_384_i16.to_le_bytes().to_vec()),
        (1, 24, vec![0, 0, 0xc0]),
        (1, 32, i32::MIN.to_le_bytes().to_vec()),
        (3, 32, f32::NAN.to_le_bytes().to_vec()),
        (3, 32, 9.0_f32.to_le_bytes().to_vec()),
    ] {
        let sound = seen(wav(kind, bits, &sample.repeat(1_000))).await.sound.unwrap();
        let expected = match (bits, kind) {
            (8, _) => 99,
            (16 | 24, _) => 50,
            _ if sample == f32::NAN.to_le_bytes() => 0,
            _ => 100,
        };
        assert_eq!(sound.waveform.unwrap(), vec![expected; 128], "{bits} bits");
        assert_eq!(sound.duration_ms, 125);
    }
    let short = seen(wav(1, 16, &[0; 6])).await.sound.unwrap();
    assert_eq!(short.waveform.unwrap(), vec![0; 3], "no more parts than samples");
}

fn wav(kind: u16, bits: u16, samples: &[u8]) -> Vec<u8> {
    let block = bits / 8;
    let mut content = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
    content.extend(kind.to_le_bytes());
    content.extend(1_u16.to_le_bytes());
    content.extend(8_000_u32.to_le_bytes());
    content.extend((8_000 * u32::from(block)).to_le_bytes());
    content.extend(block.to_le_bytes());
    content.extend(bits.to_le_bytes());
    // A recorder that was stopped had no time to write the length.
    content.extend(b"data\xff\xff\xff\xff");
    content.extend(samples);
    content
}

#[tokio::test]
async fn films_tell_their_size_and_how_long_they_are() {
    for (name, media_type, width, height, duration_ms) in [
        ("clip.mp4", "video/mp4", 64, 48, 2_000),
        ("clip-rot.mp4", "video/mp4", 48, 64, 2_000),
        ("clip-frag.mp4", "video/mp4", 64, 48, 2_000),
        ("clip.mov", "video/quicktime", 64, 48, 2_000),
        ("clip.webm", "video/webm", 64, 48, 2_000),
        ("clip-live.webm", "video/webm", 64, 48, 2_000),
        ("clip.mkv", "video/x-matroska", 64, 48, 2_000),
    ] {
        let finished = seen(fixture(name)).await;
        assert_eq!((finished.kind, finished.media_type.as_str()), (Kind::Video, media_type), "{name}");
        let VideoFacts { duration_ms: found, .. } = finished.video.clone().expect(name);
        assert_eq!(finished.video, Some(VideoFacts { duration_ms: found, width, height }), "{name}");
        assert!(found.expect(name).abs_diff(duration_ms) <= 200, "{name}: {found:?}");
    }
}

#[tokio::test]
async fn documents_and_archives_are_told_apart() {
    for (content, media_type) in [
        (b"%PDF-1.7\n".to_vec(), "application/pdf"),
        (fixture("a.docx"), "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (b"PK\x03\x04 and nothing more".to_vec(), "application/zip"),
        (b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "application/zip"),
        (odt(), "application/vnd.oasis.opendocument.text"),
        (b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), "application/gzip"),
        (noise(1_000), "application/octet-stream"),
        (Vec::new(), "application/octet-stream"),
        (b"a\0b".to_vec(), "application/octet-stream"),
        ("消息 😀\r\n\tok".as_bytes().to_vec(), "text/plain; charset=utf-8"),
        ("\u{feff}with a mark".as_bytes().to_vec(), "text/plain; charset=utf-8"),
        // The window ends inside a character.
        ([b"x".to_vec(), "消".repeat(40_000).into_bytes()].concat(), "text/plain; charset=utf-8"),
        (vec![0xcf, 0xfb, 0xcf, 0xa2], "application/octet-stream"),
    ] {
        let finished = seen(content).await;
        assert_eq!((finished.kind, finished.media_type.as_str()), (Kind::Other, media_type));
        assert_eq!((finished.image, finished.sound, finished.video), (None, None, None));
    }
}

fn odt() -> Vec<u8> {
    let mut content =
        b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\x27\0\0\0\x27\0\0\0\x08\0\0\0mimetype".to_vec();
    content.extend(b"application/vnd.oasis.opendocument.textPK");
    content
}

#[tokio::test]
async fn nothing_that_a_browser_runs_is_called_by_its_name() {
    for content in [
        fixture("s.svg"),
        b"<!DOCTYPE html><script>alert(1)</script>".to_vec(),
        b"<?xml version='1.0'?><a/>".to_vec(),
        b"alert(1)".to_vec(),
        b"#!/bin/sh\nrm -rf /".to_vec(),
    ] {
        let finished = seen(content).await;
        assert_eq!((finished.kind, finished.media_type.as_str()), (Kind::Other, "text/plain; charset=utf-8"));
    }
}

#[tokio::test]
async fn sound_is_not_seen_where_only_its_first_bytes_are() {
    for head in [&b"\xff\xfb\x90\x00"[..], b"\xff\xf1\x50\x80\x02\x1f\xfc", b"\xff\xe3\x18\xc4"] {
        let finished = seen([head, &noise(5_000)].concat()).await;
        assert_eq!(finished.media_type, "application/octet-stream", "{head:?}");
    }
}
