//! MP4, MOV, M4A, 3GP, HEIC and AVIF: boxes in boxes (ISO/IEC 14496-12).

use super::{Looked, milliseconds};
use crate::{finished::VideoFacts, source::Source};

/// Boxes looked at in one file. A long fragmented video has a few thousand.
const BOXES_MAX: usize = 50_000;

/// Tracks of which the facts are noted.
const TRACKS_MAX: usize = 16;

/// Samples of one run whose lengths are added up.
const RUN_SAMPLES_MAX: u32 = 10_000;

/// Brands that a file names, of which we look at so many.
const BRANDS_MAX: u64 = 32;

/// One box: its kind, and where its content begins and ends.
#[derive(Debug, Clone, Copy)]
struct Part {
    kind: [u8; 4],
    body: u64,
    end: u64,
}

/// Reads boxes, as long as there are not too many.
struct Parts<'a> {
    source: &'a mut Source,
    left: usize,
}

impl Parts<'_> {
    /// The box at `at`, which ends at `end` at the latest (4.2).
    fn next(&mut self, at: u64, end: u64) -> Option<Part> {
        self.left = self.left.checked_sub(1)?;
        let (length, kind) = (self.source.be32(at)?, self.source.array(at.checked_add(4)?)?);
        let (body, length) = match length {
            0 => (at + 8, end.checked_sub(at)?),
            1 => (at + 16, self.source.be64(at + 8)?),
            _ => (at + 8, u64::from(length)),
        };
        let stop = at.checked_add(length)?;
        (stop >= body && body <= end).then_some(Part { kind, body, end: stop.min(end) })
    }

    /// Shows every box between two places.
    fn each(&mut self, mut at: u64, end: u64, mut show: impl FnMut(&mut Self, Part)) {
        while at < end {
            let Some(part) = self.next(at, end) else { return };
            show(self, part);
            at = part.end;
        }
    }

    /// The first box of a kind inside another.
    fn find(&mut self, inside: Part, kind: &[u8; 4]) -> Option<Part> {
        let mut at = inside.body;
        while at < inside.end {
            let part = self.next(at, inside.end)?;
            if part.kind == *kind {
                return Some(part);
            }
            at = part.end;
        }
        None
    }
}

/// What the boxes say of a film or a sound.
#[derive(Debug, Default)]
struct Film {
    /// Of the whole film, in milliseconds.
    duration_ms: Option<u64>,
    timescale: u64,
    /// Width and height of the first track with moving pictures.
    size: Option<(u32, u32)>,
    has_video: bool,
    has_sound: bool,
    tracks: Vec<Track>,
}

/// What fragments say of one track.
#[derive(Debug, Default)]
struct Track {
    id: u32,
    timescale: u64,
    sample_duration: u32,
    /// Where the first fragment begins, and where the last one ends.
    begin: Option<u64>,
    end: u64,
}

pub(super) fn look(source: &mut Source) -> Looked {
    let end = source.bytes();
    let mut parts = Parts { source, left: BOXES_MAX };
    let Some(first) = parts.next(0, end) else { return Looked::other("application/octet-stream") };
    let brands = brands(&mut parts, first);
    if let Some(media_type) = picture_type(&brands) {
        return Looked::picture(media_type, picture_size(&mut parts, end));
    }
    let mut film = Film::default();
    parts.each(0, end, |parts, part| match &part.kind {
        b"moov" => film.movie(parts, part),
        b"moof" => film.fragment(parts, part),
        _ => {}
    });
    film.looked(&brands)
}

/// The major brand, and then those it is compatible with (4.3).
fn brands(parts: &mut Parts<'_>, first: Part) -> Vec<[u8; 4]> {
    let mut brands = Vec::new();
    brands.extend(parts.source.array::<4>(first.body));
    let mut at = first.body + 8;
    while at + 4 <= first.end.min(first.body + 8 + 4 * BRANDS_MAX) {
        brands.extend(parts.source.array::<4>(at));
        at += 4;
    }
    brands
}

/// HEIC (ISO/IEC 23008-12) and AVIF.
fn picture_type(brands: &[[u8; 4]]) -> Option<&'static str> {
    let named = |brand: &[u8; 4]| match brand {
        b"avif" | b"avis" => Some("image/avif"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => Some("image/heic"),
        _ => None,
    };
    match brands.first()? {
        b"mif1" | b"msf1" => Some(brands.iter().find_map(named).unwrap_or("image/heif")),
        major => named(major),
    }
}

/// The largest size that the properties of the items name: the others are tiles and thumbnails. Turned where
/// a property turns items by a quarter.
fn picture_size(parts: &mut Parts<'_>, end: u64) -> Option<(u32, u32)> {
    let whole = Part { kind: *b"file", body: 0, end };
    let meta = parts.find(whole, b"meta")?;
    let properties = parts.find(Part { body: meta.body + 4, ..meta }, b"iprp")?;
    let list = parts.find(properties, b"ipco")?;
    let (mut size, mut is_turned) = (None, false);
    parts.each(list.body, list.end, |parts, part| match &part.kind {
        b"ispe" => {
            let found = parts.source.be32(part.body + 4).zip(parts.source.be32(part.body + 8));
            let area = |&(width, height): &(u32, u32)| u64::from(width) * u64::from(height);
            size = [size, found].into_iter().flatten().max_by_key(area);
        }
        b"irot" => is_turned |= parts.source.u8(part.body).is_some_and(|angle| angle & 1 == 1),
        _ => {}
    });
    size.filter(|&(width, height)| width > 0 && height > 0)
        .map(|(width, height)| if is_turned { (height, width) } else { (width, height) })
}

impl Film {
    /// 8.2: the movie box.
    fn movie(&mut self, parts: &mut Parts<'_>, movie: Part) {
        parts.each(movie.body, movie.end, |parts, part| match &part.kind {
            b"mvhd" => {
                if let Some((timescale, duration)) = header(parts.source, part) {
                    self.timescale = timescale;
                    self.duration_ms = milliseconds(duration, timescale).filter(|&ms| ms > 0);
                }
            }
            b"trak" => self.track(parts, part),
            b"mvex" => self.extends(parts, part),
            _ => {}
        });
    }

    /// 8.3: one track.
    fn track(&mut self, parts: &mut Parts<'_>, track: Part) {
        if self.tracks.len() >= TRACKS_MAX {
            return;
        }
        let Some(head) = parts.find(track, b"tkhd") else { return };
        let Some(media) = parts.find(track, b"mdia") else { return };
        let handler = parts.find(media, b"hdlr").and_then(|part| parts.source.array(part.body + 8));
        match handler.as_ref() {
            Some(b"vide") => {
                self.has_video = true;
                self.size = self.size.or_else(|| shown_size(parts.source, head));
            }
            Some(b"soun") => self.has_sound = true,
            _ => return,
        }
        let skip = if parts.source.u8(head.body) == Some(1) { 20 } else { 12 };
        let id = parts.source.be32(head.body + skip).unwrap_or(0);
        let times = parts.find(media, b"mdhd").and_then(|part| header(parts.source, part));
        let timescale = times.map_or(0, |(timescale, _)| timescale);
        self.tracks.push(Track { id, timescale, ..Track::default() });
    }

    /// 8.8.1: what holds for all fragments.
    fn extends(&mut self, parts: &mut Parts<'_>, extends: Part) {
        parts.each(extends.body, extends.end, |parts, part| match &part.kind {
            b"mehd" => {
                let duration = match parts.source.u8(part.body) {
                    Some(1) => parts.source.be64(part.body + 4),
                    _ => parts.source.be32(part.body + 4).map(u64::from),
                };
                let duration = duration.and_then(|duration| milliseconds(duration, self.timescale));
                self.duration_ms = duration.filter(|&ms| ms > 0).or(self.duration_ms);
            }
            b"trex" => {
                let id = parts.source.be32(part.body + 4);
                let duration = parts.source.be32(part.body + 12).unwrap_or(0);
                if let Some(track) = self.tracks.iter_mut().find(|track| Some(track.id) == id) {
                    track.sample_duration = duration;
                }
            }
            _ => {}
        });
    }

    /// 8.8.4: one fragment. Recorders in browsers write the length nowhere, so it is added up.
    fn fragment(&mut self, parts: &mut Parts<'_>, fragment: Part) {
        parts.each(fragment.body, fragment.end, |parts, part| {
            if part.kind == *b"traf" {
                // A track that is not known, or a broken fragment, adds nothing.
                let _known = self.track_fragment(parts, part);
            }
        });
    }

    fn track_fragment(&mut self, parts: &mut Parts<'_>, fragment: Part) -> Option<()> {
        let head = parts.find(fragment, b"tfhd")?;
        let (flags, id) = (parts.source.be32(head.body)?, parts.source.be32(head.body + 4)?);
        let track = self.tracks.iter_mut().find(|track| track.id == id)?;
        let mut sample_duration = track.sample_duration;
        if flags & 0x8 != 0 {
            let skip = if flags & 0x1 != 0 { 8 } else { 0 } + if flags & 0x2 != 0 { 4 } else { 0 };
            sample_duration = parts.source.be32(head.body + 8 + skip)?;
        }
        let begin = parts.find(fragment, b"tfdt").and_then(|part| match parts.source.u8(part.body) {
            Some(1) => parts.source.be64(part.body + 4),
            _ => parts.source.be32(part.body + 4).map(u64::from),
        });
        let begin = begin.unwrap_or(track.end);
        track.begin.get_or_insert(begin);
        let mut end = begin;
        parts.each(fragment.body, fragment.end, |parts, part| {
            if part.kind == *b"trun" {
                let run = run_duration(parts.source, part, sample_duration);
                end = end.saturating_add(run.unwrap_or(0));
            }
        });
        track.end = track.end.max(end);
        Some(())
    }

    fn looked(self, brands: &[[u8; 4]]) -> Looked {
        let fragments = self.tracks.iter().filter_map(|track| {
            milliseconds(track.end.checked_sub(track.begin?)?, track.timescale).filter(|&ms| ms > 0)
        });
        let duration_ms = self.duration_ms.or_else(|| fragments.max());
        let major = brands.first().copied().unwrap_or_default();
        let is_sound = self.has_sound || matches!(&major, b"M4A " | b"M4B ");
        if !self.has_video && is_sound {
            let media_type = if major.starts_with(b"3g") { "audio/3gpp" } else { "audio/mp4" };
            return Looked::sound(media_type, duration_ms);
        }
        let media_type = match &major {
            b"qt  " => "video/quicktime",
            [b'3', b'g', ..] => "video/3gpp",
            _ => "video/mp4",
        };
        let (width, height) = self.size.unwrap_or_default();
        let video = (self.has_video).then_some(VideoFacts { duration_ms, width, height });
        Looked::video(media_type, video)
    }
}

/// Time scale and duration of `mvhd` and `mdhd` (8.2.2, 8.4.2). A duration of ones is unknown.
fn header(source: &mut Source, part: Part) -> Option<(u64, u64)> {
    if source.u8(part.body)? == 1 {
        let duration = source.be64(part.body + 24)?;
        Some((source.be32(part.body + 20)?.into(), if duration == u64::MAX { 0 } else { duration }))
    } else {
        let duration = source.be32(part.body + 16)?;
        Some((source.be32(part.body + 12)?.into(), if duration == u32::MAX { 0 } else { duration.into() }))
    }
}

/// Width and height of a track, turned as its matrix says (8.3.2).
fn shown_size(source: &mut Source, head: Part) -> Option<(u32, u32)> {
    let matrix = head.body + if source.u8(head.body)? == 1 { 52 } else { 40 };
    let is_turned = source.be32(matrix)? == 0 && source.be32(matrix + 4)? != 0;
    let (width, height) = (source.be32(matrix + 36)? >> 16, source.be32(matrix + 40)? >> 16);
    Some(if is_turned { (height, width) } else { (width, height) })
}

/// How long the samples of one run are together (8.8.8).
fn run_duration(source: &mut Source, run: Part, sample_duration: u32) -> Option<u64> {
    let (flags, count) = (source.be32(run.body)?, source.be32(run.body + 4)?);
    if flags & 0x100 == 0 {
        return Some(u64::from(count) * u64::from(sample_duration));
    }
    let mut at = run.body + 8 + if flags & 0x1 != 0 { 4 } else { 0 } + if flags & 0x4 != 0 { 4 } else { 0 };
    let step = 4 * u64::from((flags >> 8 & 0xf).count_ones());
    let mut sum = 0;
    for _ in 0..count.min(RUN_SAMPLES_MAX) {
        if at >= run.end {
            break;
        }
        sum += u64::from(source.be32(at)?);
        at += step;
    }
    Some(sum)
}
