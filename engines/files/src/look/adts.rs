//! AAC in ADTS frames (ISO/IEC 13818-7, 6.2).

use super::{Looked, milliseconds};
use crate::source::Source;

/// Frames walked; the rest is taken to be like them.
const FRAMES_MAX: u64 = 4_000;

/// Frames that must follow one another, as nothing else shows that this is sound.
const FRAMES_MIN: u64 = 3;

const RATES: [u64; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

pub(super) fn look(source: &mut Source) -> Option<Looked> {
    let (rate, _, _) = frame(source, 0)?;
    let (mut at, mut frames, mut samples) = (0, 0, 0_u64);
    while frames < FRAMES_MAX {
        let Some((_, bytes, more)) = frame(source, at).filter(|&(other, _, _)| other == rate) else { break };
        frames += 1;
        samples += more;
        at += bytes;
    }
    if frames < FRAMES_MIN {
        return None;
    }
    if frames == FRAMES_MAX {
        samples = (u128::from(samples) * u128::from(source.bytes()) / u128::from(at)) as u64;
    }
    Some(Looked::sound("audio/aac", milliseconds(samples, rate)))
}

/// Samples in a second, bytes and samples of the frame at `at`.
fn frame(source: &mut Source, at: u64) -> Option<(u64, u64, u64)> {
    let head: [u8; 7] = source.array(at)?;
    // The layer is always 0, which tells it from MP3.
    if head[0] != 0xff || head[1] & 0xf6 != 0xf0 {
        return None;
    }
    let rate = *RATES.get(usize::from(head[2] >> 2 & 0xf))?;
    let bytes = u64::from(head[3] & 3) << 11 | u64::from(head[4]) << 3 | u64::from(head[5] >> 5);
    let blocks = u64::from(head[6] & 3) + 1;
    (bytes >= 7).then_some((rate, bytes, 1024 * blocks))
}
