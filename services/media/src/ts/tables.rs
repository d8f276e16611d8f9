//! The tables that say what is in the packets: PAT and PMT (ISO 13818-1 §2.4.4).

use super::{NotInTs, in_ts};
use crate::track::{Codec, Setup};

pub(super) const PID_TABLES: u16 = 0;
pub(super) const PID_PROGRAM: u16 = 0x1000;
pub(super) const PID_VIDEO: u16 = 0x100;
pub(super) const PID_AUDIO: u16 = 0x101;

/// The programme association: one programme.
pub(super) fn pat() -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend_from_slice(&(0xE000 | PID_PROGRAM).to_be_bytes());
    section(0x00, 1, &body)
}

/// The programme map of a setup.
///
/// # Errors
/// A track of it is not for MPEG-TS.
pub(super) fn pmt(setup: &Setup) -> Result<Vec<u8>, NotInTs> {
    in_ts(setup)?;
    let clock = if setup.video.is_some() { PID_VIDEO } else { PID_AUDIO };
    let mut body = Vec::with_capacity(32);
    body.extend_from_slice(&(0xE000 | clock).to_be_bytes());
    body.extend_from_slice(&[0xF0, 0]);
    let pids = [(&setup.video, PID_VIDEO), (&setup.audio, PID_AUDIO)];
    for (track, pid) in pids {
        let Some(track) = track else { continue };
        // Table 2-34, and ISO 13818-1:2013/Amd 3 for H.265.
        let kind = match track.codec {
            Codec::H264 => 0x1B,
            Codec::H265 => 0x24,
            Codec::Aac => 0x0F,
            Codec::Mp3 => 0x03,
            Codec::Av1 | Codec::Opus => return Err(NotInTs::Codec(track.codec)),
        };
        body.push(kind);
        body.extend_from_slice(&(0xE000 | pid).to_be_bytes());
        body.extend_from_slice(&[0xF0, 0]);
    }
    Ok(section(0x02, 1, &body))
}

/// A section with its head and its checksum (§2.4.4.11).
fn section(table: u8, id: u16, body: &[u8]) -> Vec<u8> {
    let mut out = vec![table];
    // A few dozen bytes: five of the head, four of the checksum.
    let length = (body.len() + 9) as u16;
    out.extend_from_slice(&(0xB000 | length).to_be_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[0xC1, 0, 0]);
    out.extend_from_slice(body);
    let sum = checksum(&out);
    out.extend_from_slice(&sum.to_be_bytes());
    out
}

/// CRC-32 of MPEG-2 (ISO 13818-1 Annex A).
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            sum = if sum & 0x8000_0000 != 0 { sum << 1 ^ 0x04C1_1DB7 } else { sum << 1 };
        }
    }
    sum
}
