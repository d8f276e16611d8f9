//! The head: `ftyp` and `moov`, without samples (ISO 14496-12 §8.2, CMAF §7.3.1).

use bytes::Bytes;

use super::{Tracks, entry::sample_entry, scale, writer::Writer};
use crate::{
    frame::Kind,
    track::{Codec, Detail, Setup, Track},
};

/// Ticks a second of the whole file.
const MOVIE_SCALE: u32 = 1000;
/// How long a [`mehd`] box is.
pub const MEHD_BYTES: usize = 20;
/// Nothing turned, nothing scaled (ISO 14496-12 §6.2.2).
const UNITY: [u32; 9] = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000];
/// "und" in three times five bits.
const LANGUAGE: u16 = 0x55C4;

/// The number that a track has in every file of ours.
pub(super) const fn track_id(kind: Kind) -> u32 {
    match kind {
        Kind::Video => 1,
        Kind::Audio | Kind::Data => 2,
    }
}

/// The init segment of the tracks that the setup has of `tracks`.
#[must_use]
pub fn init(setup: &Setup, tracks: Tracks) -> Bytes {
    head(setup, tracks, None).into()
}

/// The head of a recording with both tracks, and where in it the [`MEHD_BYTES`] lie that a finished recording gets a
/// [`mehd`] at; until then they are free space.
#[must_use]
pub fn file_head(setup: &Setup) -> (Bytes, usize) {
    let mut at = 0;
    let bytes = head(setup, Tracks::Both, Some(&mut at));
    (bytes.into(), at)
}

/// How long a recording is in the end, for the place that [`file_head`] told (ISO 14496-12 §8.8.2).
#[must_use]
pub fn mehd(millis: u64) -> [u8; MEHD_BYTES] {
    let mut w = Writer::with_capacity(MEHD_BYTES);
    w.full(b"mehd", 1, 0, |w| w.u64(millis));
    let mut bytes = [0; MEHD_BYTES];
    bytes.copy_from_slice(&w.into_vec());
    bytes
}

fn head(setup: &Setup, tracks: Tracks, mehd_at: Option<&mut usize>) -> Vec<u8> {
    let mut w = Writer::with_capacity(1024 + setup.metadata.len());
    w.boxed(b"ftyp", |w| {
        w.bytes(b"iso6");
        w.u32(0);
        w.bytes(b"iso6");
        w.bytes(b"mp41");
        // A CMAF track stands alone.
        if tracks.of(setup).count() == 1 {
            w.bytes(b"cmfc");
        }
        if tracks.of(setup).any(|track| track.codec == Codec::Av1) {
            w.bytes(b"av01");
        }
    });
    w.boxed(b"moov", |w| {
        mvhd(w);
        for track in tracks.of(setup) {
            trak(w, track);
        }
        w.boxed(b"mvex", |w| {
            if let Some(at) = mehd_at {
                *at = w.len();
                w.boxed(b"free", |w| w.zeros(MEHD_BYTES - 8));
            }
            for track in tracks.of(setup) {
                trex(w, track);
            }
        });
    });
    w.into_vec()
}

fn mvhd(w: &mut Writer) {
    w.full(b"mvhd", 0, 0, |w| {
        w.u32(0);
        w.u32(0);
        w.u32(MOVIE_SCALE);
        w.u32(0);
        w.u32(0x0001_0000);
        w.u16(0x0100);
        w.zeros(10);
        matrix(w);
        w.zeros(24);
        w.u32(track_id(Kind::Audio) + 1);
    });
}

fn trak(w: &mut Writer, track: &Track) {
    w.boxed(b"trak", |w| {
        tkhd(w, track);
        w.boxed(b"mdia", |w| {
            mdhd(w, track);
            hdlr(w, track);
            w.boxed(b"minf", |w| {
                match track.codec.kind() {
                    Kind::Video => w.full(b"vmhd", 0, 1, |w| w.zeros(8)),
                    Kind::Audio | Kind::Data => w.full(b"smhd", 0, 0, |w| w.zeros(4)),
                }
                w.boxed(b"dinf", |w| {
                    w.full(b"dref", 0, 0, |w| {
                        w.u32(1);
                        // The samples are in this file.
                        w.full(b"url ", 0, 1, |_| ());
                    });
                });
                stbl(w, track);
            });
        });
    });
}

fn tkhd(w: &mut Writer, track: &Track) {
    // Enabled, and part of the presentation.
    w.full(b"tkhd", 0, 3, |w| {
        w.u32(0);
        w.u32(0);
        w.u32(track_id(track.codec.kind()));
        w.u32(0);
        w.u32(0);
        w.zeros(12);
        let (volume, width, height) = match track.detail {
            Detail::Video { width, height, .. } => (0, width, height),
            Detail::Audio { .. } => (0x0100, 0, 0),
        };
        w.u16(volume);
        w.u16(0);
        matrix(w);
        w.u32(width.min(0xFFFF) << 16);
        w.u32(height.min(0xFFFF) << 16);
    });
}

fn mdhd(w: &mut Writer, track: &Track) {
    w.full(b"mdhd", 0, 0, |w| {
        w.u32(0);
        w.u32(0);
        w.u32(scale(track));
        w.u32(0);
        w.u16(LANGUAGE);
        w.u16(0);
    });
}

fn hdlr(w: &mut Writer, track: &Track) {
    let (kind, name): (&[u8; 4], &[u8]) = match track.codec.kind() {
        Kind::Video => (b"vide", b"video\0"),
        Kind::Audio | Kind::Data => (b"soun", b"audio\0"),
    };
    w.full(b"hdlr", 0, 0, |w| {
        w.u32(0);
        w.bytes(kind);
        w.zeros(12);
        w.bytes(name);
    });
}

fn stbl(w: &mut Writer, track: &Track) {
    w.boxed(b"stbl", |w| {
        w.full(b"stsd", 0, 0, |w| {
            w.u32(1);
            sample_entry(w, track);
        });
        // No samples here: all are in fragments.
        w.full(b"stts", 0, 0, |w| w.u32(0));
        w.full(b"stsc", 0, 0, |w| w.u32(0));
        w.full(b"stsz", 0, 0, |w| w.zeros(8));
        w.full(b"stco", 0, 0, |w| w.u32(0));
    });
}

fn trex(w: &mut Writer, track: &Track) {
    w.full(b"trex", 0, 0, |w| {
        w.u32(track_id(track.codec.kind()));
        w.u32(1);
        w.zeros(12);
    });
}

fn matrix(w: &mut Writer) {
    for value in UNITY {
        w.u32(value);
    }
}
