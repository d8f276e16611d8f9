//! A window as a playlist.

use std::sync::Arc;

use yizhan_media::segment::{Head, Part as Made};

use super::{tracks, window::Window};
use crate::{
    names::{File, Piece, Rendition, Tag},
    playlist::{
        MEDIA_TYPE, Part, Segment,
        media::{Media, Report},
    },
    respond::Shown,
};

/// Target durations from the end within which parts may be listed; one more than they are.
const PARTS_WITHIN: u64 = 4;

/// A rendition's playlist.
pub(super) fn playlist(window: &Window, tag: &Tag, rendition: Rendition, delta: bool) -> Shown {
    let rules = window.rules(rendition);
    let namer = Namer { tag, rendition };
    let mut from_end = 0;
    let mut segments: Vec<_> = window
        .listed()
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .map(|kept| {
            let segment = &kept.segment;
            let near = rules.part.is_some() && from_end < PARTS_WITHIN * rules.target_duration * 1_000_000;
            from_end += micros(segment.duration);
            let parts = if near { &segment.parts[..] } else { &[] };
            Segment {
                duration: micros(segment.duration),
                gap: !segment.parts.iter().any(|part| part.has(tracks(rendition))),
                ..namer.segment(&segment.head, kept.wall, parts)
            }
        })
        .collect();
    segments.reverse();
    let listed: Vec<_> = segments.iter().collect();
    let open = window.open.as_ref();
    let under_way = open.map(|open| namer.segment(&open.head, open.wall, &open.parts));
    let next_part = open.map_or(0, |open| open.parts.len() as u32);
    let hint = rules.part.map(|_| namer.part(window.next, next_part));
    let first = window.listed().next();
    let discontinuities = match (first, open) {
        (Some(kept), _) => kept.run - u64::from(kept.segment.head.discontinuity),
        (None, Some(open)) => window.discontinuities - u64::from(open.head.discontinuity),
        (None, None) => window.discontinuities,
    };
    let media = Media {
        rules,
        sequence: first.map_or(window.next, |kept| kept.segment.head.sequence),
        discontinuities,
        segments: &listed,
        under_way: under_way.as_ref(),
        hint: hint.as_deref(),
        reports: &reports(window, rendition),
        ended: window.ended.is_some(),
    };
    let etag = format!("{tag}-{}-{}{}", rendition.word(), window.version, if delta { "-d" } else { "" });
    Shown::new(media.write(delta), MEDIA_TYPE, &etag)
}

/// What the other rendition of the same broadcast ends with.
fn reports(window: &Window, rendition: Rendition) -> Vec<Report> {
    let setup = window.newest_setup();
    let other = match rendition {
        Rendition::Video => Rendition::Audio,
        Rendition::Audio => Rendition::Video,
        Rendition::Ts => return Vec::new(),
    };
    let has = setup.is_some_and(|setup| match other {
        Rendition::Audio => setup.audio.is_some(),
        _ => setup.video.is_some(),
    });
    if !has {
        return Vec::new();
    }
    let edge = window.edge(other);
    let uri = File::Playlist(other).to_string();
    let report = match (edge.parts.checked_sub(1), edge.next.checked_sub(1)) {
        (Some(part), _) => Report { uri, msn: edge.next, part: Some(part) },
        (None, Some(last)) => Report { uri, msn: last, part: edge.last_parts.checked_sub(1) },
        (None, None) => return Vec::new(),
    };
    vec![report]
}

struct Namer<'a> {
    tag: &'a Tag,
    rendition: Rendition,
}

impl Namer<'_> {
    fn name(&self, piece: Piece) -> String {
        File::Made { tag: self.tag.clone(), rendition: self.rendition, piece }.to_string()
    }

    fn part(&self, segment: u64, index: u32) -> String {
        self.name(Piece::Part(segment, index))
    }

    /// A segment whose duration is that of these parts.
    fn segment(&self, head: &Head, wall: u64, parts: &[Arc<Made>]) -> Segment {
        let own = parts.iter().filter(|part| part.has(tracks(self.rendition)));
        let parts: Vec<_> = own
            .map(|part| Part {
                uri: self.part(head.sequence, part.index),
                duration: micros(part.duration),
                independent: part.independent || self.rendition == Rendition::Audio,
            })
            .collect();
        let has_map = self.rendition != Rendition::Ts;
        Segment {
            uri: self.name(Piece::Segment(head.sequence)),
            duration: parts.iter().map(|part| part.duration).sum(),
            discontinuity: head.discontinuity,
            map: has_map.then(|| self.name(Piece::Init(head.setup.number))),
            wall: Some(wall),
            gap: false,
            parts,
        }
    }
}

fn micros(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0)
}
