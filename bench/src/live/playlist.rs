//! Playlists, as far as a player that measures reads them (RFC 8216 and draft-pantos-hls-rfc8216bis).

use std::time::Duration;

use super::http::resolve;

/// A part or a segment: where it is, and its place in the order of all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    pub(super) segment: u64,
    pub(super) part: usize,
    pub(super) path: String,
}

/// A media playlist.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Playlist {
    pub(super) parts: Vec<Piece>,
    pub(super) segments: Vec<Piece>,
    /// Where what decoders need is (EXT-X-MAP).
    pub(super) map: Option<String>,
    /// The part that will come next: segment and place in it.
    pub(super) next: (u64, usize),
    /// How long a segment is at most.
    pub(super) target: Duration,
    /// How far behind the end a player that asks for segments plays (HOLD-BACK).
    pub(super) hold_back: Duration,
    /// The same for one that asks for parts (PART-HOLD-BACK).
    pub(super) part_hold_back: Option<Duration>,
}

impl Playlist {
    /// Reads the playlist that was found at `base`.
    pub(super) fn read(base: &str, text: &str) -> Self {
        let mut list = Self::default();
        let (mut segment, mut part, mut hold_back) = (0, 0, None);
        for line in text.lines().map(str::trim) {
            let (tag, rest) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-MEDIA-SEQUENCE" => segment = rest.parse().unwrap_or(0),
                "#EXT-X-TARGETDURATION" => list.target = Duration::from_secs(rest.parse().unwrap_or(0)),
                "#EXT-X-SERVER-CONTROL" => {
                    hold_back = seconds(rest, "HOLD-BACK");
                    list.part_hold_back = seconds(rest, "PART-HOLD-BACK");
                }
                "#EXT-X-MAP" => list.map = attribute(rest, "URI").map(|uri| resolve(base, uri)),
                "#EXT-X-PART" => {
                    if let Some(uri) = attribute(rest, "URI") {
                        list.parts.push(Piece { segment, part, path: resolve(base, uri) });
                    }
                    part += 1;
                }
                _ if line.starts_with('#') || line.is_empty() => {}
                _ => {
                    list.segments.push(Piece { segment, part: 0, path: resolve(base, line) });
                    (segment, part) = (segment + 1, 0);
                }
            }
        }
        list.next = (segment, part);
        list.hold_back = hold_back.unwrap_or(list.target * 3);
        list
    }
}

/// The media playlists of a master playlist that was found at `base`: of the first variant, and what sounds beside it.
pub(super) fn variants(base: &str, text: &str) -> Vec<String> {
    let mut lines = text.lines().map(str::trim);
    let mut found = Vec::new();
    let variant = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    found.extend(variant.map(|uri| resolve(base, uri)));
    let sound = lines.find_map(|line| attribute(line.strip_prefix("#EXT-X-MEDIA:")?, "URI"));
    found.extend(sound.map(|uri| resolve(base, uri)));
    found
}

/// Whether it is a master playlist.
pub(super) fn is_master(text: &str) -> bool {
    text.contains("#EXT-X-STREAM-INF")
}

/// A path with one more thing asked.
pub(super) fn asking(path: &str, what: &str) -> String {
    format!("{path}{}{what}", if path.contains('?') { '&' } else { '?' })
}

fn attribute<'l>(list: &'l str, name: &str) -> Option<&'l str> {
    let mut rest = list;
    loop {
        let (key, behind) = rest.split_once('=')?;
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_at(behind.find(',').unwrap_or(behind.len())),
        };
        if key.trim() == name {
            return Some(value);
        }
        rest = behind.strip_prefix(',')?;
    }
}

fn seconds(list: &str, name: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(attribute(list, name)?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW_LATENCY: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6,HOLD-BACK=6\n#EXT-X-MEDIA-SEQUENCE:7\n\
        #EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2.0,\ns7.m4s\n\
        #EXT-X-PART:DURATION=0.2,URI=\"p8.0.m4s\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.2,URI=\"p8.1.m4s\"\n\
        #EXTINF:2.0,\ns8.m4s\n#EXT-X-PART:URI=\"p9.0.m4s\",DURATION=0.2\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p9.1\"\n";

    #[test]
    fn parts_and_segments_have_their_places() {
        let list = Playlist::read("/live/b/video.m3u8?s=1", LOW_LATENCY);
        let places: Vec<_> = list.parts.iter().map(|p| (p.segment, p.part, p.path.as_str())).collect();
        assert_eq!(
            places,
            [(8, 0, "/live/b/p8.0.m4s"), (8, 1, "/live/b/p8.1.m4s"), (9, 0, "/live/b/p9.0.m4s")]
        );
        assert_eq!((list.segments.len(), list.next), (2, (9, 1)));
        assert_eq!(list.part_hold_back, Some(Duration::from_millis(600)));
        assert_eq!(list.hold_back, Duration::from_secs(6));
        assert_eq!(list.map.as_deref(), Some("/live/b/init.mp4"));
    }

    #[test]
    fn the_first_variant_and_its_sound_are_found() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a,b\",URI=\"b/audio.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1\nb/video.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nc/video.m3u8\n";
        assert!(is_master(text));
        assert_eq!(variants("/live/b.m3u8", text), ["/live/b/video.m3u8", "/live/b/audio.m3u8"]);
        assert_eq!(asking("/x?a=1", "b=2"), "/x?a=1&b=2");
    }
}
