//! MP3 and its older layers (ISO/IEC 11172-3, 13818-3), with or without an ID3 tag.

use super::{Looked, milliseconds};
use crate::source::Source;

/// Frames walked where no header says how many there are; the rest is taken to be like them.
const FRAMES_MAX: u64 = 4_000;

/// Frames that must follow one another where nothing else shows that this is sound.
const FRAMES_MIN: u64 = 4;

/// Bytes after a tag in which the first frame is looked for: some programs leave zeros there.
const PADDING_BYTES_MAX: u64 = 4_096;

/// Thousand bits a second, by version and layer, for the indexes 1 to 14.
const BITRATES: [[u64; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Sound without a tag: several frames in a row, or it is something else.
pub(super) fn look(source: &mut Source) -> Option<Looked> {
    let first = Frame::at(source, 0)?;
    let mut at = 0;
    for _ in 0..FRAMES_MIN {
        if at >= source.bytes() {
            break;
        }
        at += Frame::at(source, at).filter(|frame| frame.is_like(&first))?.bytes;
    }
    // A short piece may be noise that looks like one frame.
    (at > first.bytes).then(|| Looked::sound("audio/mpeg", duration_ms(source, 0, &first)))
}

/// Sound after an ID3 tag (ID3v2.4, 3.1).
pub(super) fn look_tagged(source: &mut Source) -> Looked {
    let Some([b'I', b'D', b'3', _, _, flags, a, b, c, d]) = source.array(0) else {
        return Looked::other("application/octet-stream");
    };
    let bytes = [a, b, c, d].iter().fold(0_u64, |bytes, &byte| bytes << 7 | u64::from(byte & 0x7f));
    let footer = if flags & 0x10 != 0 { 10 } else { 0 };
    let begin = 10 + bytes + footer;
    let padding =
        source.peek(begin, PADDING_BYTES_MAX as usize).iter().take_while(|&&byte| byte == 0).count();
    let at = begin + padding as u64;
    let duration = Frame::at(source, at).and_then(|first| duration_ms(source, at, &first));
    Looked::sound("audio/mpeg", duration)
}

/// The header of one frame.
struct Frame {
    version: u8,
    layer: u8,
    rate: u64,
    samples: u64,
    bytes: u64,
    is_mono: bool,
}

impl Frame {
    fn at(source: &mut Source, at: u64) -> Option<Self> {
        let [sync, a, b, c] = source.array(at)?;
        let (version, layer) = (a >> 3 & 3, a >> 1 & 3);
        if sync != 0xff || a & 0xe0 != 0xe0 || version == 1 || layer == 0 {
            return None;
        }
        let is_first = version == 3;
        let table = match (is_first, layer) {
            (true, 3) => 0,
            (true, 2) => 1,
            (true, _) => 2,
            (false, 3) => 3,
            (false, _) => 4,
        };
        // Indexes 0 (free) and 15 (forbidden) have no length.
        let bitrate = 1000 * BITRATES[table].get(usize::from(b >> 4).checked_sub(1)?)?;
        let rate = [44_100, 48_000, 32_000].get(usize::from(b >> 2 & 3))?
            / match version {
                3 => 1,
                2 => 2,
                _ => 4,
            };
        let padding = u64::from(b >> 1 & 1);
        let samples = match (is_first, layer) {
            (_, 3) => 384,
            (false, 1) => 576,
            _ => 1152,
        };
        let bytes = match layer {
            3 => (12 * bitrate / rate + padding) * 4,
            _ => samples / 8 * bitrate / rate + padding,
        };
        Some(Self { version, layer, rate, samples, bytes: bytes.max(4), is_mono: c >> 6 == 3 })
    }

    /// Frames of one stream have these in common.
    fn is_like(&self, other: &Self) -> bool {
        (self.version, self.layer, self.rate) == (other.version, other.layer, other.rate)
    }
}

fn duration_ms(source: &mut Source, begin: u64, first: &Frame) -> Option<u64> {
    if let Some(frames) = counted(source, begin, first) {
        return milliseconds(u64::from(frames) * first.samples, first.rate);
    }
    let (mut at, mut frames) = (begin, 0);
    while frames < FRAMES_MAX {
        let Some(frame) = Frame::at(source, at).filter(|frame| frame.is_like(first)) else { break };
        frames += 1;
        at += frame.bytes;
    }
    if frames == FRAMES_MAX {
        let rest = source.bytes().saturating_sub(begin);
        frames = (u128::from(frames) * u128::from(rest) / u128::from(at - begin)) as u64;
    }
    milliseconds(frames * first.samples, first.rate)
}

/// How many frames there are, where an encoder wrote it into the first one (Xing, LAME, Fraunhofer).
fn counted(source: &mut Source, begin: u64, first: &Frame) -> Option<u32> {
    let side = match (first.version == 3, first.is_mono) {
        (true, false) => 32,
        (true, true) | (false, false) => 17,
        (false, true) => 9,
    };
    let at = begin + 4 + side;
    if matches!(&source.array(at)?, b"Xing" | b"Info") && source.be32(at + 4)? & 1 != 0 {
        return source.be32(at + 8).filter(|&frames| frames > 0);
    }
    let at = begin + 4 + 32;
    (source.array(at)? == *b"VBRI").then_some(())?;
    source.be32(at + 14).filter(|&frames| frames > 0)
}
