//! Sample entries: which codec, with which configuration (ISO 14496-15, 14496-14, the AV1 and Opus bindings).

use super::{Tracks, scale, writer::Writer};
use crate::track::{Codec, Detail, Track};

/// MPEG-4 audio, and MPEG-1 audio, as an `objectTypeIndication` (mp4ra.org, from ISO 14496-1).
const OBJECT_AAC: u8 = 0x40;
const OBJECT_MP3: u8 = 0x6B;
/// An audio stream that comes down (ISO 14496-1 §7.2.6.6).
const AUDIO_STREAM: u8 = 0x15;
/// Bytes of an OpusHead without a channel mapping table (RFC 7845 §5.1).
const OPUS_HEAD_BYTES: usize = 19;

/// The one entry of a track's `stsd`.
pub(super) fn sample_entry(w: &mut Writer, track: &Track) {
    debug_assert!(Tracks::Both.takes(track.codec.kind()));
    let record = &track.record[..];
    match track.codec {
        Codec::H264 => visual(w, b"avc1", track, |w| w.boxed(b"avcC", |w| w.bytes(record))),
        Codec::H265 => visual(w, b"hvc1", track, |w| w.boxed(b"hvcC", |w| w.bytes(record))),
        Codec::Av1 => visual(w, b"av01", track, |w| w.boxed(b"av1C", |w| w.bytes(record))),
        Codec::Aac => audio(w, b"mp4a", track, |w| esds(w, OBJECT_AAC, record)),
        Codec::Mp3 => audio(w, b"mp4a", track, |w| esds(w, OBJECT_MP3, &[])),
        Codec::Opus => audio(w, b"Opus", track, |w| dops(w, track)),
    }
}

/// `VisualSampleEntry` (ISO 14496-12 §12.1.3).
fn visual(w: &mut Writer, kind: &[u8; 4], track: &Track, config: impl FnOnce(&mut Writer)) {
    let (width, height) = match track.detail {
        Detail::Video { width, height, .. } => (width, height),
        Detail::Audio { .. } => (0, 0),
    };
    w.boxed(kind, |w| {
        w.zeros(6);
        w.u16(1);
        w.zeros(16);
        w.u16(u16::try_from(width).unwrap_or(u16::MAX));
        w.u16(u16::try_from(height).unwrap_or(u16::MAX));
        // 72 dots an inch, both ways.
        w.u32(0x0048_0000);
        w.u32(0x0048_0000);
        w.u32(0);
        w.u16(1);
        w.zeros(32);
        w.u16(0x0018);
        w.u16(0xFFFF);
        config(w);
    });
}

/// `AudioSampleEntry` (ISO 14496-12 §12.2.3).
fn audio(w: &mut Writer, kind: &[u8; 4], track: &Track, config: impl FnOnce(&mut Writer)) {
    w.boxed(kind, |w| {
        w.zeros(6);
        w.u16(1);
        w.zeros(8);
        w.u16(u16::from(channels(track)));
        w.u16(16);
        w.zeros(4);
        // 16.16; a rate that does not fit is 0 here and said by the configuration.
        w.u32(u16::try_from(scale(track)).map_or(0, |rate| u32::from(rate) << 16));
        config(w);
    });
}

/// The elementary stream descriptor (ISO 14496-14 §6.7.2).
fn esds(w: &mut Writer, object: u8, record: &[u8]) {
    let decoder_bytes = 13 + if record.is_empty() { 0 } else { 5 + record.len() };
    w.full(b"esds", 0, 0, |w| {
        descriptor(w, 0x03, 3 + 5 + decoder_bytes + 5 + 1);
        w.u16(0);
        w.u8(0);
        descriptor(w, 0x04, decoder_bytes);
        w.u8(object);
        w.u8(AUDIO_STREAM);
        // Buffer size, largest and mean bit rate: not known beforehand.
        w.zeros(11);
        if !record.is_empty() {
            descriptor(w, 0x05, record.len());
            w.bytes(record);
        }
        descriptor(w, 0x06, 1);
        w.u8(0x02);
    });
}

/// A descriptor's tag and its length in four bytes of seven bits (ISO 14496-1 §8.3.3).
fn descriptor(w: &mut Writer, tag: u8, length: usize) {
    w.u8(tag);
    for shift in [21, 14, 7] {
        w.u8((length >> shift) as u8 & 0x7F | 0x80);
    }
    w.u8(length as u8 & 0x7F);
}

/// `OpusSpecificBox`: the OpusHead with its numbers turned round (Opus in ISOBMFF §4.3.2).
fn dops(w: &mut Writer, track: &Track) {
    let head = &track.record[..];
    w.boxed(b"dOps", |w| {
        w.u8(0);
        w.u8(channels(track));
        if head.len() < OPUS_HEAD_BYTES {
            w.u16(0);
            w.u32(scale(track));
            w.u16(0);
            w.u8(0);
            return;
        }
        w.u16(u16::from_le_bytes([head[10], head[11]]));
        w.u32(u32::from_le_bytes([head[12], head[13], head[14], head[15]]));
        w.u16(u16::from_le_bytes([head[16], head[17]]));
        // Mapping family 0 has no table; of any other the table follows as it is.
        let table = if head[18] == 0 { &[][..] } else { &head[OPUS_HEAD_BYTES..] };
        w.u8(if table.is_empty() { 0 } else { head[18] });
        w.bytes(table);
    });
}

fn channels(track: &Track) -> u8 {
    match track.detail {
        Detail::Audio { channels, .. } => channels.max(1),
        Detail::Video { .. } => 0,
    }
}
