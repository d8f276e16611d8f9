//! AMR and AMR-WB, as phones record voice (RFC 4867, 5).

use super::Looked;
use crate::source::Source;

/// Frames walked: half an hour. The rest is taken to be like them.
const FRAMES_MAX: u64 = 90_000;

/// How long one frame is.
const FRAME_MS: u64 = 20;

/// Bytes of a frame with its header, by its type; 0 where there is no such type (RFC 4867, 3.6 and 5.3).
const NARROW: [u64; 16] = [13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1];
const WIDE: [u64; 16] = [18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1];

pub(super) fn look(source: &mut Source) -> Option<Looked> {
    let head = source.peek(0, 9);
    let (media_type, sizes, begin) = if head.starts_with(b"#!AMR\n") {
        ("audio/amr", &NARROW, 6)
    } else if head.starts_with(b"#!AMR-WB\n") {
        ("audio/amr-wb", &WIDE, 9)
    } else {
        return None;
    };
    let (mut at, mut frames) = (begin, 0);
    while frames < FRAMES_MAX {
        let Some(header) = source.u8(at) else { break };
        let bytes = sizes[usize::from(header >> 3 & 0xf)];
        if bytes == 0 {
            break;
        }
        frames += 1;
        at += bytes;
    }
    if frames == FRAMES_MAX {
        frames = (u128::from(frames) * u128::from(source.bytes()) / u128::from(at)) as u64;
    }
    Some(Looked::sound(media_type, (frames > 0).then_some(frames * FRAME_MS)))
}
