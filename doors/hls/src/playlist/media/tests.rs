use m3u8_parser::m3u8::{playlist::Playlist, tags::Tag};
use proptest::prelude::*;

use super::*;

const PART: u64 = 200_000;

fn segment(msn: u64, duration: u64) -> Segment {
    let count = duration.div_ceil(PART);
    let parts = (0..count).map(|i| Part {
        uri: format!("t-v{msn}.{i}.m4s"),
        duration: PART.min(duration - i * PART),
        independent: i == 0,
    });
    Segment {
        uri: format!("t-v{msn}.m4s"),
        duration,
        discontinuity: false,
        map: Some("t-v1.mp4".into()),
        wall: Some(1_795_286_414_000_000 + msn * 2_000_000),
        gap: false,
        parts: parts.collect(),
    }
}

fn rules() -> Rules {
    Rules { target_duration: 2, part: Some(Duration::from_micros(PART)), independent: true }
}

fn read(text: &str) -> Playlist {
    let playlist: Playlist = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
    playlist.validate().unwrap_or_else(|errors| panic!("{errors:?}: {text}"));
    playlist
}

/// A playlist of so many segments of two seconds, and three parts of the next one.
struct Live {
    segments: Vec<Segment>,
    under_way: Segment,
}

impl Live {
    fn new(segments: u64) -> Self {
        let mut under_way = segment(100 + segments, 2_000_000);
        under_way.parts.truncate(3);
        Self { segments: (100..100 + segments).map(|msn| segment(msn, 2_000_000)).collect(), under_way }
    }

    fn write(&self, rules: Rules, delta: bool, ended: bool) -> String {
        let listed: Vec<_> = self.segments.iter().collect();
        let reports = [Report { uri: "audio.m3u8".into(), msn: 106, part: Some(2) }];
        Media {
            rules,
            sequence: 100,
            discontinuities: 7,
            segments: &listed,
            under_way: (!ended).then_some(&self.under_way),
            hint: Some("t-v106.3.m4s"),
            reports: &reports,
            ended,
        }
        .write(delta)
    }
}

#[test]
fn a_low_latency_playlist_says_all_that_its_readers_need() {
    let text = Live::new(6).write(rules(), false, false);
    let read = read(&text);
    let has = |wanted: Tag| assert!(read.tags.contains(&wanted), "{wanted:?} is not in {text}");
    has(Tag::ExtXVersion(9));
    has(Tag::ExtXTargetDuration(2));
    has(Tag::ExtXMediaSequence(100));
    has(Tag::ExtXDiscontinuitySequence(7));
    has(Tag::ExtXIndependentSegments);
    has(Tag::ExtXPartInf { part_target_duration: 0.2 });
    has(Tag::ExtXServerControl {
        can_skip_until: Some(12.0),
        can_skip_dateranges: None,
        hold_back: Some(6.0),
        part_hold_back: Some(0.6),
        can_block_reload: Some(true),
    });
    has(Tag::ExtXPreloadHint {
        type_: "PART".into(),
        uri: "t-v106.3.m4s".into(),
        byterange_start: None,
        byterange_length: None,
    });
    has(Tag::ExtXRenditionReport { uri: "audio.m3u8".into(), last_msn: Some(106), last_part: Some(2) });
    assert_eq!(text.matches("#EXT-X-MAP:").count(), 1, "{text}");
    // Three target durations back from the end, whole segments: 0.6 seconds under way and three more.
    assert_eq!(text.matches("#EXT-X-PART:").count(), 3 + 3 * 10, "{text}");
    assert_eq!(text.matches("INDEPENDENT=YES").count(), 1 + 3);
    let segments = read.media_segments();
    let listed: Vec<_> = segments.iter().map(|one| (one.sequence, one.uri.as_str(), one.duration)).collect();
    let expected: Vec<_> = (100..106).map(|msn| (msn, format!("t-v{msn}.m4s"), 2.0)).collect();
    assert_eq!(listed, expected.iter().map(|(msn, uri, s)| (*msn, uri.as_str(), *s)).collect::<Vec<_>>());
    assert!(!text.contains("ENDLIST"));
}

#[test]
fn a_plain_playlist_has_no_word_of_low_latency() {
    let text = Live::new(6).write(Rules { part: None, ..rules() }, false, false);
    read(&text);
    for absent in ["PART", "SERVER-CONTROL", "PRELOAD", "RENDITION", "v106"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    assert!(text.contains("#EXT-X-VERSION:6\n") && text.contains("#EXT-X-MAP"), "{text}");
    let mut ts = Live::new(3);
    ts.segments.iter_mut().for_each(|segment| segment.map = None);
    let text = ts.write(Rules { part: None, ..rules() }, false, false);
    assert!(text.contains("#EXT-X-VERSION:3\n") && !text.contains("#EXT-X-MAP"), "{text}");
}

#[test]
fn what_is_not_there_is_a_gap() {
    let mut live = Live::new(4);
    live.segments[1].gap = true;
    let text = live.write(Rules { part: None, ..rules() }, false, false);
    read(&text);
    assert!(text.contains("#EXT-X-VERSION:8\n"), "{text}");
    assert!(text.contains("#EXT-X-GAP\n#EXTINF:2.0,\nt-v101.m4s\n"), "{text}");
    assert_eq!(text.matches("#EXT-X-GAP").count(), 1);
}

#[test]
fn after_the_end_nothing_more_is_promised() {
    let text = Live::new(6).write(rules(), false, true);
    read(&text);
    assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
    assert!(!text.contains("PRELOAD-HINT") && !text.contains("RENDITION-REPORT"), "{text}");
}

#[test]
fn a_delta_leaves_out_what_is_older_than_six_target_durations() {
    let live = Live::new(20);
    let text = live.write(rules(), true, false);
    let read = read(&text);
    // 0.6 seconds under way and 6 segments of 2 seconds are 12.6: the sixth from the end begins within 12.
    assert!(
        read.tags.contains(&Tag::ExtXSkip { skipped_segments: 14, recently_removed_dateranges: None }),
        "{text}"
    );
    assert_eq!(text.matches("#EXTINF:").count(), 6);
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:100\n"));
    let short = Live::new(6);
    assert_eq!(short.write(rules(), true, false), short.write(rules(), false, false));
}

#[test]
fn another_beginning_is_marked_where_it_comes() {
    let mut live = Live::new(6);
    live.segments[3].discontinuity = true;
    for segment in &mut live.segments[3..] {
        segment.map = Some("t-v2.mp4".into());
    }
    live.under_way.map = Some("t-v3.mp4".into());
    live.under_way.discontinuity = true;
    let text = live.write(rules(), false, false);
    read(&text);
    let marks: Vec<_> = text
        .lines()
        .filter(|line| {
            line.contains("DISCONTINUITY\n") || *line == "#EXT-X-DISCONTINUITY" || line.contains("MAP")
        })
        .collect();
    let map = |n: u32| format!("#EXT-X-MAP:URI=\"t-v{n}.mp4\"");
    assert_eq!(marks, [&map(1), "#EXT-X-DISCONTINUITY", &map(2), "#EXT-X-DISCONTINUITY", &map(3)]);
}

proptest! {
    /// What a client puts together of the playlist that it has and a delta of a later one is that later one.
    #[test]
    fn a_delta_and_what_was_known_are_the_whole(
        durations in prop::collection::vec(100_000_u64..2_400_000, 1..40),
        part in prop_oneof![Just(None), Just(Some(Duration::from_micros(PART)))],
        under_way in 0_usize..10,
        breaks in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut segments: Vec<_> = durations.iter().enumerate().map(|(i, d)| segment(100 + i as u64, *d)).collect();
        for (segment, discontinuity) in segments.iter_mut().zip(&breaks) {
            segment.discontinuity = *discontinuity;
        }
        let listed: Vec<_> = segments.iter().collect();
        let mut next = segment(100 + durations.len() as u64, 2_000_000);
        next.parts.truncate(under_way);
        let media = Media {
            rules: Rules { part, ..rules() },
            sequence: 100,
            discontinuities: 0,
            segments: &listed,
            under_way: Some(&next),
            hint: None,
            reports: &[],
            ended: false,
        };
        let (whole, delta) = (media.write(false), media.write(true));
        let (whole, delta_read) = (read(&whole), read(&delta));
        let skipped = delta_read.tags.iter().find_map(|tag| match tag {
            Tag::ExtXSkip { skipped_segments, .. } => Some(*skipped_segments as usize),
            _ => None,
        }).unwrap_or(0);
        prop_assert_eq!(skipped, media.skippable());
        let tail: Vec<_> = delta_read.media_segments().into_iter().map(|one| (one.uri, one.discontinuity)).collect();
        let all: Vec<_> = whole.media_segments().into_iter().map(|one| (one.uri, one.discontinuity)).collect();
        prop_assert_eq!(&all[skipped..], &tail[..]);
        // What is left out lies behind the boundary, whole.
        let rest: u64 = durations[skipped..].iter().sum::<u64>() + sum(&next.parts);
        prop_assert!(skipped == 0 || rest >= media.rules.skip_until());
    }
}
