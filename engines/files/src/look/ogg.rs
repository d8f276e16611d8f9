//! Ogg with Opus, Vorbis, Speex or FLAC (RFC 3533, RFC 7845).

use super::{Looked, milliseconds};
use crate::source::{Source, WINDOW_BYTES};

/// Pages with the beginnings of streams; each stream has one, before any other page (RFC 3533, 4).
const BEGINNINGS_MAX: usize = 8;

/// Bytes of the largest page (RFC 3533, 6).
const PAGE_BYTES_MAX: u64 = 27 + 255 + 255 * 255;

/// A stream of sound: its serial number, units in a second, and how many come before the first one heard.
struct Sound {
    serial: u32,
    rate: u64,
    before: u64,
}

pub(super) fn look(source: &mut Source) -> Looked {
    let (mut at, mut sound) = (0, None);
    for _ in 0..BEGINNINGS_MAX {
        let Some(page) = Page::at(source, at) else { break };
        if !page.is_beginning {
            break;
        }
        let head = source.peek(page.body, 40);
        if head.starts_with(b"\x80theora") {
            return Looked::video("video/ogg", None);
        }
        sound = sound.or_else(|| identify(head, page.serial));
        at = page.end;
    }
    let Some(sound) = sound else { return Looked::other("application/ogg") };
    let duration = last_place(source, sound.serial).map(|place| place.saturating_sub(sound.before));
    Looked::sound("audio/ogg", duration.and_then(|units| milliseconds(units, sound.rate)))
}

/// The first packet of a stream of sound.
fn identify(head: &[u8], serial: u32) -> Option<Sound> {
    let u32_at = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    if head.starts_with(b"OpusHead") {
        // RFC 7845, 4: places count 48,000 a second whatever the input was.
        let before = u16::from_le_bytes(head.get(10..12)?.try_into().ok()?);
        return Some(Sound { serial, rate: 48_000, before: before.into() });
    }
    let rate = if head.starts_with(b"\x01vorbis") {
        u32_at(12)?
    } else if head.starts_with(b"Speex   ") {
        u32_at(36)?
    } else if head.starts_with(b"\x7fFLAC") {
        // The mapping's 9 bytes, then `fLaC`, then a block's header, then STREAMINFO.
        u32::from_be_bytes(head.get(27..31)?.try_into().ok()?) >> 12
    } else {
        return None;
    };
    Some(Sound { serial, rate: rate.into(), before: 0 })
}

/// The place after the stream's last page: a page without an end of a packet has none (RFC 3533, 6).
fn last_place(source: &mut Source, serial: u32) -> Option<u64> {
    let (mut end, stop) = (source.bytes(), source.bytes().saturating_sub(3 * PAGE_BYTES_MAX));
    while end > stop {
        // Windows overlap by the beginning of a page.
        let begin = end.saturating_sub(WINDOW_BYTES as u64);
        let window = source.peek(begin, (end - begin) as usize).to_vec();
        for found in memchr::memmem::rfind_iter(&window, b"OggS") {
            let at = begin + found as u64;
            if source.le32(at + 14) == Some(serial)
                && let Some(place) = source.le64(at + 6)
                && place != u64::MAX
            {
                return Some(place);
            }
        }
        end = if begin == 0 { 0 } else { begin + 3 };
    }
    None
}

/// One page's header.
struct Page {
    is_beginning: bool,
    serial: u32,
    body: u64,
    end: u64,
}

impl Page {
    fn at(source: &mut Source, at: u64) -> Option<Self> {
        (source.array(at)? == *b"OggS").then_some(())?;
        let is_beginning = source.u8(at + 5)? & 2 != 0;
        let serial = source.le32(at + 14)?;
        let count = usize::from(source.u8(at + 26)?);
        let lengths = source.peek(at + 27, count);
        let bytes: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
        let body = at + 27 + count as u64;
        Some(Self { is_beginning, serial, body, end: body + bytes })
    }
}
