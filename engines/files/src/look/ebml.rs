//! WebM and Matroska: elements in elements (RFC 8794, RFC 9559).
//!
//! Recorders in browsers write neither lengths of the outer elements nor the duration, so the elements are
//! walked as one flat row: the outer ones are entered, the others passed over.

use super::{Looked, milliseconds};
use crate::{finished::VideoFacts, source::Source};

/// Elements looked at. An hour of recorded video has about 300,000.
const ELEMENTS_MAX: usize = 400_000;

/// Bytes of the header in which the type of the document stands.
const HEADER_BYTES_MAX: u64 = 256;

const DOC_TYPE: u32 = 0x4282;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
const DURATION: u32 = 0x4489;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const TRACK_TYPE: u32 = 0x83;
const VIDEO: u32 = 0xe0;
const PIXEL_WIDTH: u32 = 0xb0;
const PIXEL_HEIGHT: u32 = 0xba;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;

/// What the elements say.
#[derive(Debug)]
struct Film {
    /// Nanoseconds of one tick.
    scale: u64,
    duration: Option<f64>,
    has_video: bool,
    has_sound: bool,
    width: u32,
    height: u32,
    cluster: i64,
    /// The first block's time, the last one's, and the time between the last two, in ticks.
    first: Option<i64>,
    last: i64,
    step: i64,
}

pub(super) fn look(source: &mut Source) -> Option<Looked> {
    let (_, header) = element(source, 0)?;
    let begin = header.body;
    let end = begin.checked_add(header.bytes?)?;
    let is_webm = match doc_type(source, begin, end.min(begin + HEADER_BYTES_MAX))? {
        doc if &doc[..4] == b"webm" => true,
        doc if &doc == b"matroska" => false,
        _ => return None,
    };
    let film = Film::walk(source, end);
    let duration_ms = film.duration_ms();
    Some(if film.has_video || !film.has_sound {
        let media_type = if is_webm { "video/webm" } else { "video/x-matroska" };
        let facts = VideoFacts { duration_ms, width: film.width, height: film.height };
        Looked::video(media_type, film.has_video.then_some(facts))
    } else {
        Looked::sound(if is_webm { "audio/webm" } else { "audio/x-matroska" }, duration_ms)
    })
}

/// Where an element's content is; `bytes` is `None` where it is unknown.
struct Extent {
    body: u64,
    bytes: Option<u64>,
}

/// The id and the extent of the element at `at` (RFC 8794, 4 to 6).
fn element(source: &mut Source, at: u64) -> Option<(u32, Extent)> {
    let head = source.peek(at, 12);
    let id_bytes = head.first()?.leading_zeros() as usize + 1;
    if id_bytes > 4 {
        return None;
    }
    let id = head.get(..id_bytes)?.iter().fold(0, |id, &byte| id << 8 | u32::from(byte));
    let rest = head.get(id_bytes..)?;
    let (bytes, size_bytes) = variable(rest)?;
    let is_unknown = bytes == (1 << (7 * size_bytes)) - 1;
    let extent = Extent { body: at + (id_bytes + size_bytes) as u64, bytes: (!is_unknown).then_some(bytes) };
    Some((id, extent))
}

/// A number whose first bit that is set tells its length, and that length.
fn variable(bytes: &[u8]) -> Option<(u64, usize)> {
    let count = bytes.first()?.leading_zeros() as usize + 1;
    if count > 8 {
        return None;
    }
    let value = bytes.get(..count)?.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    Some((value & ((1 << (7 * count)) - 1), count))
}

/// The first eight letters of the document's type, filled up with zeros.
fn doc_type(source: &mut Source, mut at: u64, end: u64) -> Option<[u8; 8]> {
    while at < end {
        let (id, extent) = element(source, at)?;
        let bytes = extent.bytes?;
        if id == DOC_TYPE {
            let mut text = [0; 8];
            let found = source.peek(extent.body, bytes.min(8) as usize);
            text[..found.len()].copy_from_slice(found);
            return Some(text);
        }
        at = extent.body.checked_add(bytes)?;
    }
    None
}

impl Film {
    fn walk(source: &mut Source, mut at: u64) -> Self {
        let mut film = Self {
            scale: 1_000_000,
            duration: None,
            has_video: false,
            has_sound: false,
            width: 0,
            height: 0,
            cluster: 0,
            first: None,
            last: 0,
            step: 0,
        };
        for _ in 0..ELEMENTS_MAX {
            let Some((id, extent)) = element(source, at) else { return film };
            if id == CLUSTER && film.duration.is_some() {
                return film;
            }
            let is_outer =
                matches!(id, SEGMENT | INFO | TRACKS | TRACK_ENTRY | VIDEO | CLUSTER | BLOCK_GROUP);
            let next = match extent.bytes {
                _ if is_outer => Some(extent.body),
                Some(bytes) => {
                    film.note(source, id, extent.body, bytes);
                    extent.body.checked_add(bytes)
                }
                // Only clusters and segments may have no length.
                None => None,
            };
            let Some(next) = next else { return film };
            at = next;
        }
        // Too long to be walked: better no length than a wrong one.
        film.first = None;
        film
    }

    fn note(&mut self, source: &mut Source, id: u32, at: u64, bytes: u64) {
        let mut number = || {
            let bytes = source.peek(at, bytes.min(8) as usize);
            bytes.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte))
        };
        let pixels = |number: u64| u32::try_from(number).unwrap_or(0);
        match id {
            TIMESTAMP_SCALE => self.scale = number(),
            DURATION => {
                self.duration = match bytes {
                    4 => source.be32(at).map(|bits| f32::from_bits(bits).into()),
                    8 => source.be64(at).map(f64::from_bits),
                    _ => None,
                }
                .filter(|duration| *duration > 0.0);
            }
            TRACK_TYPE => match number() {
                1 => self.has_video = true,
                2 => self.has_sound = true,
                _ => {}
            },
            PIXEL_WIDTH if self.width == 0 => self.width = pixels(number()),
            PIXEL_HEIGHT if self.height == 0 => self.height = pixels(number()),
            TIMESTAMP => self.cluster = i64::try_from(number()).unwrap_or(0),
            SIMPLE_BLOCK | BLOCK => self.block(source, at),
            _ => {}
        }
    }

    /// RFC 9559, 10.1: the number of the track, then the time since the cluster's.
    fn block(&mut self, source: &mut Source, at: u64) {
        let head = source.peek(at, 10);
        let Some((_, skip)) = variable(head) else { return };
        let Some(&[high, low]) = head.get(skip..skip + 2) else { return };
        let time = self.cluster.saturating_add(i16::from_be_bytes([high, low]).into());
        let first = *self.first.get_or_insert(time);
        if time > self.last.max(first) {
            self.step = time - self.last.max(first);
            self.last = time;
        }
    }

    fn duration_ms(&self) -> Option<u64> {
        if let Some(duration) = self.duration {
            let ms = duration * self.scale as f64 / 1e6;
            return (ms >= 1.0 && ms <= super::DURATION_MS_MAX as f64).then_some(ms as u64);
        }
        // The last block's own length is written nowhere; it is about that of the one before.
        let ticks = self.last.saturating_add(self.step).checked_sub(self.first?)?;
        let nanoseconds = u64::try_from(ticks).ok()?.checked_mul(self.scale)?;
        milliseconds(nanoseconds, 1_000_000_000).filter(|&ms| ms > 0)
    }
}
