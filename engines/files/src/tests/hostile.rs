//! Content that wants to break its reader. Chance has a seed, so a failure can be seen again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::support::fixture;
use crate::{
    look::look,
    picture::{admit, draw},
    source::Source,
};

/// Files with a reader of their own.
const CONTAINERS: &[&str] = &[
    "a.docx",
    "clip-frag.mp4",
    "clip-live.webm",
    "clip-rot.mp4",
    "clip.mkv",
    "clip.mov",
    "clip.webm",
    "pil.avif",
    "tone-bare.mp3",
    "tone-cbr.mp3",
    "tone-frag.m4a",
    "tone-live.webm",
    "tone-vorbis.ogg",
    "tone.3gp",
    "tone.aac",
    "tone.flac",
    "tone.ogg",
    "tone.wav",
];

const IMAGES: &[&str] = &[
    "anim.gif",
    "glass.png",
    "glass.webp",
    "plain.gif",
    "plain.jpg",
    "plain.png",
    "plain.webp",
    "turned.jpg",
];

/// No content holds a thread for longer, in a slow build on a busy machine.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Bytes turned, runs of ones and zeros, pieces cut out and doubled, ends cut off.
fn spoil(content: &mut Vec<u8>, chance: &mut SmallRng) {
    for _ in 0..chance.random_range(1..8) {
        if content.is_empty() {
            return;
        }
        let at = chance.random_range(0..content.len());
        match chance.random_range(0..6) {
            0 => content[at] = chance.random(),
            1 => content[at] ^= 1 << chance.random_range(0..8),
            2 => {
                let fill = if chance.random() { 0xff } else { 0 };
                content.iter_mut().skip(at).take(chance.random_range(1..9)).for_each(|byte| *byte = fill);
            }
            3 => content.truncate(at),
            4 => {
                let end = content.len().min(at + chance.random_range(1..200));
                content.drain(at..end);
            }
            _ => {
                let end = content.len().min(at + chance.random_range(1..200));
                let piece = content[at..end].to_vec();
                content.splice(at..at, piece);
            }
        }
    }
}

fn look_in_time(content: Vec<u8>, what: &str) {
    let begin = Instant::now();
    let looked = look(&mut Source::memory(content.into()));
    assert!(begin.elapsed() < LOOK_MAX, "{what} took {:?}", begin.elapsed());
    if let Some(waveform) = looked.sound.and_then(|sound| sound.waveform) {
        assert!(waveform.len() <= 128 && waveform.iter().all(|&peak| peak <= 100));
    }
}

#[test]
fn no_spoilt_file_panics_its_reader() {
    let mut chance = SmallRng::seed_from_u64(4);
    for name in CONTAINERS.iter().chain(IMAGES) {
        let whole = fixture(name);
        for turn in 0..1_500 {
            let mut content = whole.clone();
            spoil(&mut content, &mut chance);
            look_in_time(content, &format!("{name}, turn {turn}"));
        }
    }
}

#[test]
fn no_file_panics_its_reader_wherever_it_ends() {
    for name in CONTAINERS.iter().chain(IMAGES) {
        let whole = fixture(name);
        for end in (0..whole.len().min(1_500)).chain((1_500..whole.len()).step_by(97)) {
            look_in_time(whole[..end].to_vec(), name);
        }
    }
}

#[test]
fn no_noise_after_a_known_beginning_panics() {
    let mut chance = SmallRng::seed_from_u64(5);
    for name in CONTAINERS.iter().chain(IMAGES) {
        let head = fixture(name);
        for _ in 0..300 {
            let mut content = head[..chance.random_range(4..48).min(head.len())].to_vec();
            content.extend((0..chance.random_range(0..3_000)).map(|_| chance.random::<u8>()));
            look_in_time(content, name);
        }
    }
}

#[test]
fn no_spoilt_image_panics_its_decoder() {
    let mut chance = SmallRng::seed_from_u64(6);
    for name in IMAGES {
        let whole = fixture(name);
        for _ in 0..300 {
            let mut content = whole.clone();
            spoil(&mut content, &mut chance);
            let mut source = Source::memory(content.into());
            let Some(raster) = look(&mut source).raster else { continue };
            if admit(&raster, source.bytes(), 100_000).is_ok() {
                // Broken or not: it ends, and in little memory.
                drop(draw(&source, &raster, 480, 100_000));
            }
        }
    }
}

/// Files whose every element is as small as can be, or lies about its length.
#[test]
fn large_files_of_tiny_parts_are_left_early() {
    const BYTES: usize = 20 << 20;
    let fill = |head: &[u8], part: &[u8]| {
        let mut content = head.to_vec();
        content.extend(part.repeat((BYTES - head.len()) / part.len()));
        content
    };
    let ebml = &b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"[..];
    let mp4 = &b"\0\0\0\x10ftypisom\0\0\0\0"[..];
    for (what, content) in [
        ("empty elements", fill(ebml, b"\xec\x80")),
        ("clusters without length", fill(ebml, b"\x1f\x43\xb6\x75\xff")),
        ("tiny blocks", fill(ebml, b"\x1f\x43\xb6\x75\xff\xe7\x81\x01\xa3\x84\x81\0\x01\0")),
        ("empty boxes", fill(mp4, b"\0\0\0\x08free")),
        ("fragments", fill(mp4, b"\0\0\0\x10moof\0\0\0\x08traf")),
        ("boxes in boxes", fill(mp4, b"\x7f\xff\xff\xffmoov")),
        ("tracks", fill(mp4, b"\0\0\0\x18moov\0\0\0\x10trak\0\0\0\x08tkhd")),
        ("a box without end", fill(mp4, b"\0\0\0\0moov")),
        ("a box of 2^64 bytes", fill(mp4, b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff")),
        ("pages", fill(b"", b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")),
        ("ends of pages", fill(b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead\x01\x01\0\0\0\0\0\0\0\0\0", b"OggS")),
        ("frames of nothing", fill(b"#!AMR\n", b"\x7c")),
        ("frames", fill(b"", b"\xff\xf1\x50\x80\x00\xff\xfc")),
        ("small frames", fill(b"", &[&b"\xff\xe3\x14\xc4"[..], &[0; 20]].concat())),
        ("segments", fill(b"\xff\xd8", b"\xff\xe0\0\x02")),
        ("fill", fill(b"\xff\xd8", b"\xff")),
        ("chunks", fill(b"RIFF\0\0\0\0WAVE", b"junk\0\0\0\0")),
        ("entries", fill(b"PK\x03\x04", b"PK\x01\x02")),
        ("letters", fill(b"", b"a")),
        ("zeros", fill(b"", b"\0")),
        ("ones", fill(b"", b"\xff")),
        ("a tag of 256 MB", fill(b"ID3\x04\0\0\x7f\x7f\x7f\x7f", b"\0")),
    ] {
        look_in_time(content, what);
    }
}

#[test]
fn lengths_that_no_machine_has_are_not_believed() {
    let mut wav = fixture("tone.wav");
    // Bytes in a second: none.
    wav[28..32].fill(0);
    assert_eq!(look(&mut Source::memory(wav.into())).sound, None);
    let mut flac = fixture("tone.flac");
    flac[21..26].fill(0xff);
    let sound = look(&mut Source::memory(Bytes::from(flac))).sound;
    assert!(sound.is_none_or(|sound| sound.duration_ms < 366 * 24 * 3_600_000));
}
