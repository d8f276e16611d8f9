//! MPEG-DASH manifests (ISO 23009-1): plain facts in, text out.
//!
//! Dynamic ones with a timeline for each representation, whose segments are those of HLS. A new period begins where
//! decoding must begin anew. No low latency is promised: a segment is listed when it is complete.

use std::fmt::{self, Write as _};

use crate::playlist::date::Date;

/// Microseconds in a second.
const SECOND: u64 = 1_000_000;

/// A live presentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mpd {
    /// When time 0 was, microseconds since 1970. Never changes.
    pub began: u64,
    /// When the manifest was made, microseconds since 1970.
    pub published: u64,
    /// How far viewers may go back, microseconds.
    pub time_shift: u64,
    /// The longest segment, microseconds.
    pub segment_max: u64,
    /// How often viewers should ask again, microseconds.
    pub update: u64,
    /// How far behind the newest segment viewers should be, microseconds.
    pub delay: u64,
    /// Where clients learn what time it is: an address that answers with a date.
    pub clock: String,
    /// When it ended, microseconds since it began; `None` while more comes.
    pub ended: Option<u64>,
    /// Periods, in order.
    pub periods: Vec<Period>,
}

/// A time that is decoded in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// What tells it apart from all others.
    pub id: u64,
    /// When it begins, microseconds since the presentation began.
    pub start: u64,
    /// The picture in all qualities.
    pub video: Vec<Representation>,
    /// The sound.
    pub audio: Vec<Representation>,
}

/// One quality of picture or sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Representation {
    /// What tells it apart within its period: `v0`.
    pub id: String,
    /// RFC 6381.
    pub codecs: String,
    /// The largest rate of a segment, bits a second.
    pub bandwidth: u64,
    /// What it is of.
    pub of: Of,
    /// Ticks of its times in a second.
    pub timescale: u32,
    /// The time, in ticks, of the period's beginning.
    pub offset: u64,
    /// The address of what segments begin with.
    pub init: String,
    /// The address of a segment, with `$Number$` where its number goes.
    pub media: String,
    /// The number of the first segment.
    pub number: u64,
    /// The segments' times.
    pub timeline: Vec<Span>,
}

/// What a representation is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// Picture.
    Video {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Frames in 1,000 seconds.
        millihertz: Option<u32>,
    },
    /// Sound.
    Audio {
        /// Samples a second.
        rate: u32,
        /// Channels.
        channels: u8,
    },
}

/// When a segment begins, and how long it is, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The beginning.
    pub start: u64,
    /// The length.
    pub duration: u64,
}

/// Microseconds as an XML duration.
struct Length(u64);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PT{}.{:06}S", self.0 / SECOND, self.0 % SECOND)
    }
}

/// A text as the value of an XML attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                // No XML has these (XML 1.0, 2.2).
                c if c < ' ' => {}
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl Mpd {
    /// The text.
    #[must_use]
    pub fn write(&self) -> String {
        let mut text = String::with_capacity(4096);
        // Writing to a string cannot fail.
        self.put(&mut text).unwrap_or_default();
        text
    }

    fn put(&self, to: &mut String) -> fmt::Result {
        to.push_str(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
             profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" type=\"dynamic\"",
        );
        write!(
            to,
            " availabilityStartTime=\"{}\" publishTime=\"{}\"",
            Date(self.began),
            Date(self.published)
        )?;
        write!(
            to,
            " minBufferTime=\"{}\" timeShiftBufferDepth=\"{}\" maxSegmentDuration=\"{}\"",
            Length(self.segment_max),
            Length(self.time_shift),
            Length(self.segment_max),
        )?;
        match self.ended {
            Some(end) => write!(to, " mediaPresentationDuration=\"{}\"", Length(end))?,
            None => write!(to, " minimumUpdatePeriod=\"{}\"", Length(self.update))?,
        }
        writeln!(to, " suggestedPresentationDelay=\"{}\">", Length(self.delay))?;
        let millis = self.delay / 1000;
        writeln!(
            to,
            "  <ServiceDescription id=\"0\"><Latency target=\"{millis}\" referenceId=\"0\"/></ServiceDescription>"
        )?;
        self.periods.iter().try_for_each(|period| period.put(to))?;
        writeln!(
            to,
            "  <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-xsdate:2014\" value=\"{}\"/>\n</MPD>",
            Escaped(&self.clock)
        )
    }
}

impl Period {
    fn put(&self, to: &mut String) -> fmt::Result {
        writeln!(to, "  <Period id=\"{}\" start=\"{}\">", self.id, Length(self.start))?;
        for (id, kind, all) in [(0, "video", &self.video), (1, "audio", &self.audio)] {
            if all.is_empty() {
                continue;
            }
            writeln!(
                to,
                "    <AdaptationSet id=\"{id}\" contentType=\"{kind}\" mimeType=\"{kind}/mp4\" \
                 segmentAlignment=\"true\" startWithSAP=\"1\">"
            )?;
            all.iter().try_for_each(|one| one.put(to))?;
            to.push_str("    </AdaptationSet>\n");
        }
        to.push_str("  </Period>\n");
        Ok(())
    }
}

impl Representation {
    fn put(&self, to: &mut String) -> fmt::Result {
        let (id, codecs) = (Escaped(&self.id), Escaped(&self.codecs));
        let bandwidth = self.bandwidth.max(1);
        write!(to, "      <Representation id=\"{id}\" codecs=\"{codecs}\" bandwidth=\"{bandwidth}\"")?;
        match &self.of {
            Of::Video { width, height, millihertz } => {
                write!(to, " width=\"{width}\" height=\"{height}\"")?;
                if let Some(rate) = millihertz {
                    write!(to, " frameRate=\"{rate}/1000\"")?;
                }
                to.push_str(">\n");
            }
            Of::Audio { rate, channels } => writeln!(
                to,
                " audioSamplingRate=\"{rate}\">\n        <AudioChannelConfiguration \
                 schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" value=\"{channels}\"/>"
            )?,
        }
        writeln!(
            to,
            "        <SegmentTemplate timescale=\"{}\" presentationTimeOffset=\"{}\" startNumber=\"{}\" \
             initialization=\"{}\" media=\"{}\">",
            self.timescale,
            self.offset,
            self.number,
            Escaped(&self.init),
            Escaped(&self.media),
        )?;
        to.push_str("          <SegmentTimeline>\n");
        self.put_timeline(to)?;
        to.push_str("          </SegmentTimeline>\n        </SegmentTemplate>\n      </Representation>\n");
        Ok(())
    }

    /// Segments that follow one another and are of the same length are one element.
    fn put_timeline(&self, to: &mut String) -> fmt::Result {
        let mut spans = self.timeline.iter().copied().peekable();
        let mut end = None;
        while let Some(Span { start, duration }) = spans.next() {
            to.push_str("            <S");
            if end != Some(start) {
                write!(to, " t=\"{start}\"")?;
            }
            write!(to, " d=\"{duration}\"")?;
            let (mut next, mut repeats) = (start + duration, 0_u32);
            while spans.next_if_eq(&Span { start: next, duration }).is_some() {
                next += duration;
                repeats += 1;
            }
            if repeats > 0 {
                write!(to, " r=\"{repeats}\"")?;
            }
            to.push_str("/>\n");
            end = Some(next);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn video(timeline: Vec<Span>) -> Representation {
        Representation {
            id: "v0".into(),
            codecs: "avc1.64001f".into(),
            bandwidth: 2_000_000,
            of: Of::Video { width: 1280, height: 720, millihertz: Some(29_970) },
            timescale: 90_000,
            offset: 0,
            init: "room/x-v1.mp4".into(),
            media: "room/x-v$Number$.m4s?a=1&b=\"<>".into(),
            number: 7,
            timeline,
        }
    }

    fn mpd(timeline: Vec<Span>) -> Mpd {
        Mpd {
            began: 1_795_286_414_000_000,
            published: 1_795_286_424_000_000,
            time_shift: 12_000_000,
            segment_max: 2_000_000,
            update: 1_000_000,
            delay: 6_000_000,
            clock: "room/now".into(),
            ended: None,
            periods: vec![Period { id: 1, start: 0, video: vec![video(timeline)], audio: Vec::new() }],
        }
    }

    /// The times of all `S` elements, as a client reads them (ISO 23009-1 §5.3.9.6).
    fn timeline_of(text: &str) -> Vec<Span> {
        let mut all = Vec::new();
        let mut at = 0;
        for line in text.lines().filter(|line| line.trim().starts_with("<S ")) {
            let of = |name: &str| {
                let from = line.find(&format!(" {name}=\""))? + name.len() + 3;
                line[from..].split('"').next()?.parse::<u64>().ok()
            };
            at = of("t").unwrap_or(at);
            let duration = of("d").unwrap();
            for _ in 0..=of("r").unwrap_or(0) {
                all.push(Span { start: at, duration });
                at += duration;
            }
        }
        all
    }

    proptest! {
        #[test]
        fn a_timeline_is_read_as_it_was(steps in prop::collection::vec((prop_oneof![Just(0_u64), 0_u64..100], 1_u64..3), 0..50)) {
            let mut at = 5;
            let timeline: Vec<_> = steps.iter().map(|(gap, duration)| {
                let start = at + gap;
                at = start + duration;
                Span { start, duration: *duration }
            }).collect();
            prop_assert_eq!(timeline_of(&mpd(timeline.clone()).write()), timeline);
        }
    }

    #[test]
    fn equal_segments_are_one_element() {
        let timeline: Vec<_> = (0..6).map(|i| Span { start: i * 180_000, duration: 180_000 }).collect();
        let text = mpd(timeline).write();
        assert!(text.contains("<S t=\"0\" d=\"180000\" r=\"5\"/>"), "{text}");
        assert!(text.contains("availabilityStartTime=\"2026-11-21T18:40:14.000Z\""), "{text}");
        assert!(text.contains("minimumUpdatePeriod=\"PT1.000000S\""), "{text}");
        assert!(text.contains("media=\"room/x-v$Number$.m4s?a=1&amp;b=&quot;&lt;&gt;\""), "{text}");
        assert!(!text.contains("contentType=\"audio\""), "{text}");
    }

    #[test]
    fn an_ended_presentation_asks_for_no_more() {
        let text = Mpd { ended: Some(20_000_000), ..mpd(Vec::new()) }.write();
        assert!(text.contains("mediaPresentationDuration=\"PT20.000000S\""), "{text}");
        assert!(!text.contains("minimumUpdatePeriod"), "{text}");
    }
}
