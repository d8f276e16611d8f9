//! WAV: its length, and how loud each part of it is.

use super::{Looked, milliseconds};
use crate::{
    finished::SoundFacts,
    source::{Source, WINDOW_BYTES},
};

/// Parts of the waveform.
const PEAKS_MAX: u64 = 128;

/// Bytes read of each part: a few seconds of sound tell how loud a minute is.
const PEAK_BYTES_MAX: u64 = 128 << 10;

/// Chunks before the samples.
const CHUNKS_MAX: usize = 64;

/// Kinds of samples: whole numbers, numbers with a fraction, and a longer header that says which.
const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xfffe;

/// How samples are written.
struct Format {
    kind: u16,
    bits: u16,
    bytes_per_second: u64,
    /// Bytes of one sample of every channel.
    block_bytes: u64,
}

pub(super) fn look(source: &mut Source) -> Looked {
    let (mut at, mut format) = (12, None);
    for _ in 0..CHUNKS_MAX {
        let (Some(id), Some(bytes)) = (source.array::<4>(at), source.le32(at + 4)) else { break };
        let (body, bytes) = (at + 8, u64::from(bytes));
        match &id {
            b"fmt " => format = read_format(source, body, bytes),
            b"data" => {
                let Some(format) = format else { break };
                // Recorders that were stopped leave a wrong length; what is there counts.
                let bytes = bytes.min(source.bytes().saturating_sub(body));
                let duration_ms = milliseconds(bytes, format.bytes_per_second);
                let sound = duration_ms.map(|duration_ms| SoundFacts {
                    duration_ms,
                    waveform: waveform(source, &format, body, bytes),
                });
                return Looked { sound, ..Looked::sound("audio/wav", None) };
            }
            _ => {}
        }
        // Chunks begin at even places.
        at = body + bytes + (bytes & 1);
    }
    Looked::sound("audio/wav", None)
}

fn read_format(source: &mut Source, at: u64, bytes: u64) -> Option<Format> {
    let mut kind = source.le16(at)?;
    if kind == EXTENSIBLE && bytes >= 26 {
        kind = source.le16(at + 24)?;
    }
    Some(Format {
        kind,
        bits: source.le16(at + 14)?,
        bytes_per_second: source.le32(at + 8)?.into(),
        block_bytes: source.le16(at + 12)?.into(),
    })
}

/// The loudest sample of each part, from 0 to 100.
fn waveform(source: &mut Source, format: &Format, begin: u64, bytes: u64) -> Option<Vec<u8>> {
    let blocks = bytes.checked_div(format.block_bytes)?;
    let sample: fn(&[u8]) -> f32 = match (format.kind, format.bits) {
        (PCM, 8) => |s| (f32::from(s[0]) - 128.0) / 128.0,
        (PCM, 16) => |s| f32::from(i16::from_le_bytes([s[0], s[1]])) / 32_768.0,
        (PCM, 24) => |s| i32::from_le_bytes([0, s[0], s[1], s[2]]) as f32 / 2_147_483_648.0,
        (PCM, 32) => |s| i32::from_le_bytes([s[0], s[1], s[2], s[3]]) as f32 / 2_147_483_648.0,
        (FLOAT, 32) => |s| f32::from_le_bytes([s[0], s[1], s[2], s[3]]),
        _ => return None,
    };
    let sample_bytes = usize::from(format.bits / 8);
    if blocks == 0 || format.block_bytes < sample_bytes as u64 {
        return None;
    }
    let parts = blocks.min(PEAKS_MAX);
    let mut peaks = Vec::with_capacity(parts as usize);
    for part in 0..parts {
        let from = begin + blocks * part / parts * format.block_bytes;
        let to = begin + blocks * (part + 1) / parts * format.block_bytes;
        peaks.push(peak(source, from, to.min(from + PEAK_BYTES_MAX), sample_bytes, sample));
    }
    Some(peaks)
}

fn peak(source: &mut Source, mut at: u64, to: u64, sample_bytes: usize, sample: fn(&[u8]) -> f32) -> u8 {
    let mut loudest = 0.0_f32;
    while at < to {
        let count = (to - at).min(WINDOW_BYTES as u64) as usize;
        let bytes = source.peek(at, count - count % sample_bytes);
        if bytes.is_empty() {
            break;
        }
        // What is no number is no peak: `max` leaves it out.
        loudest = bytes.chunks_exact(sample_bytes).map(|s| sample(s).abs()).fold(loudest, f32::max);
        at += bytes.len() as u64;
    }
    (loudest * 100.0).round().clamp(0.0, 100.0) as u8
}
