//! The playlist of one rendition (RFC 8216 §4.3.2, §4.3.3; draft-pantos-hls-rfc8216bis §4.4.3, §4.4.4).

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use super::{Part, Quoted, SECOND, Seconds, Segment, date::Date};

/// How far from the end parts are listed, in target durations (rfc8216bis §6.2.2).
const PARTS_WITHIN: u64 = 3;
/// How far from the end segments are never skipped, in target durations (rfc8216bis §4.4.3.8).
const SKIP_BEHIND: u64 = 6;
/// How far from the end players begin, in target durations (RFC 8216 §6.3.3).
const HOLD_BACK: u64 = 3;
/// How far from the end players with low latency begin, in parts (rfc8216bis §4.4.3.8).
const PART_HOLD_BACK: u64 = 3;
/// The least that they hold back, microseconds: who uses no preload hints is a part later.
const PART_HOLD_BACK_MIN: u64 = 600_000;

/// The rules of one playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// No segment is longer, rounded to seconds.
    pub target_duration: u64,
    /// No part is longer: low latency, where it is set.
    pub part: Option<Duration>,
    /// Each segment begins with a key frame.
    pub independent: bool,
}

impl Rules {
    /// What is skipped in a delta update lies further than this from the end, microseconds.
    #[must_use]
    pub fn skip_until(&self) -> u64 {
        SKIP_BEHIND * self.target_duration * SECOND
    }
}

/// What another rendition's playlist ends with (rfc8216bis §4.4.5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The address of its playlist.
    pub uri: String,
    /// Its last segment.
    pub msn: u64,
    /// The last part of that segment.
    pub part: Option<u32>,
}

/// What one playlist says now.
#[derive(Debug, Clone)]
pub struct Media<'a> {
    /// The rules.
    pub rules: Rules,
    /// The number of the first segment.
    pub sequence: u64,
    /// How many discontinuities there were before the first segment.
    pub discontinuities: u64,
    /// The segments that are complete.
    pub segments: &'a [&'a Segment],
    /// The one that is being made, with the parts that it has. `None` where nothing is being made.
    pub under_way: Option<&'a Segment>,
    /// The address of the part that comes next.
    pub hint: Option<&'a str>,
    /// The other renditions.
    pub reports: &'a [Report],
    /// Nothing more comes.
    pub ended: bool,
}

impl Media<'_> {
    /// The text. A delta update leaves out what whoever has the playlist before this one knows, and is the whole text
    /// where there is nothing to leave out (rfc8216bis §6.2.5.1).
    #[must_use]
    pub fn write(&self, delta: bool) -> String {
        let skipped = if delta { self.skippable() } else { 0 };
        let lines = self.segments.len() - skipped + self.under_way.map_or(0, |segment| segment.parts.len());
        let mut text = String::with_capacity(512 + 160 * lines);
        // Writing to a string cannot fail.
        self.put(skipped, &mut text).unwrap_or_default();
        text
    }

    fn put(&self, skipped: usize, text: &mut String) -> fmt::Result {
        self.head(text)?;
        if skipped > 0 {
            writeln!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")?;
        }
        let mut map = None;
        let parts_from = self.parts_from();
        for (i, segment) in self.segments.iter().enumerate().skip(skipped) {
            segment_head(segment, &mut map, text)?;
            if self.rules.part.is_some() && i >= parts_from {
                parts(&segment.parts, text)?;
            }
            let gap = if segment.gap { "#EXT-X-GAP\n" } else { "" };
            writeln!(text, "{gap}#EXTINF:{},\n{}", Seconds(segment.duration), segment.uri)?;
        }
        self.tail(map, text)
    }

    /// Segments that a delta update may leave out.
    #[must_use]
    pub fn skippable(&self) -> usize {
        if self.rules.part.is_none() {
            return 0;
        }
        let under_way = self.under_way.map_or(0, |segment| sum(&segment.parts));
        let mut from_end = under_way;
        let kept = self.segments.iter().rev().take_while(|segment| {
            let near = from_end < self.rules.skip_until();
            from_end += segment.duration;
            near
        });
        let kept = kept.count();
        self.segments.len() - kept
    }

    fn head(&self, text: &mut String) -> fmt::Result {
        let Rules { target_duration, part, independent } = self.rules;
        let version = match (part, self.segments.first().copied().or(self.under_way)) {
            (Some(_), _) => 9,
            _ if self.segments.iter().any(|segment| segment.gap) => 8,
            (None, Some(Segment { map: Some(_), .. })) => 6,
            (None, _) => 3,
        };
        writeln!(text, "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target_duration}")?;
        if let Some(part) = part {
            let target = u64::try_from(part.as_micros()).unwrap_or(u64::MAX);
            let part_hold_back = (PART_HOLD_BACK * target).max(PART_HOLD_BACK_MIN);
            writeln!(
                text,
                "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={},HOLD-BACK={},CAN-SKIP-UNTIL={}\n\
                 #EXT-X-PART-INF:PART-TARGET={}",
                Seconds(part_hold_back),
                Seconds(HOLD_BACK * target_duration * SECOND),
                Seconds(self.rules.skip_until()),
                Seconds(target),
            )?;
        }
        writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{}", self.sequence)?;
        if self.discontinuities > 0 {
            writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuities)?;
        }
        if independent {
            text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        Ok(())
    }

    fn tail<'a>(&'a self, mut map: Option<&'a str>, text: &mut String) -> fmt::Result {
        if self.ended {
            text.push_str("#EXT-X-ENDLIST\n");
            return Ok(());
        }
        if self.rules.part.is_none() {
            return Ok(());
        }
        if let Some(segment) = self.under_way.filter(|segment| !segment.parts.is_empty()) {
            segment_head(segment, &mut map, text)?;
            parts(&segment.parts, text)?;
        }
        if let Some(hint) = self.hint {
            writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI={}", Quoted(hint))?;
        }
        for Report { uri, msn, part } in self.reports {
            write!(text, "#EXT-X-RENDITION-REPORT:URI={},LAST-MSN={msn}", Quoted(uri))?;
            if let Some(part) = part {
                write!(text, ",LAST-PART={part}")?;
            }
            text.push('\n');
        }
        Ok(())
    }

    /// The first segment whose parts are listed.
    fn parts_from(&self) -> usize {
        let reach = PARTS_WITHIN * self.rules.target_duration * SECOND;
        let mut from_end = self.under_way.map_or(0, |segment| sum(&segment.parts));
        let listed = self.segments.iter().rev().take_while(|segment| {
            let near = from_end < reach;
            from_end += segment.duration;
            near
        });
        let listed = listed.count();
        self.segments.len() - listed
    }
}

fn sum(parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.duration).sum()
}

/// What stands before a segment and its parts. `map` is the one that counts so far.
fn segment_head<'a>(segment: &'a Segment, map: &mut Option<&'a str>, text: &mut String) -> fmt::Result {
    if segment.discontinuity {
        text.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if let Some(uri) = segment.map.as_deref()
        && *map != Some(uri)
    {
        writeln!(text, "#EXT-X-MAP:URI={}", Quoted(uri))?;
        *map = Some(uri);
    }
    if let Some(wall) = segment.wall {
        writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", Date(wall))?;
    }
    Ok(())
}

fn parts(parts: &[Part], text: &mut String) -> fmt::Result {
    for part in parts {
        write!(text, "#EXT-X-PART:DURATION={},URI={}", Seconds(part.duration), Quoted(&part.uri))?;
        text.push_str(if part.independent { ",INDEPENDENT=YES\n" } else { "\n" });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
