//! The playlist of all renditions (RFC 8216 §4.3.4).

use std::fmt::{self, Write as _};

use super::Quoted;

/// The group that the sound of all variants is in.
const SOUND: &str = "sound";

/// All renditions of a broadcast.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Master {
    /// The sound, where it has a playlist of its own.
    pub sound: Option<Sound>,
    /// What viewers may choose from, the best first.
    pub variants: Vec<Variant>,
}

/// Sound that all variants share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// The address of its playlist.
    pub uri: String,
    /// Channels.
    pub channels: u8,
}

/// One rendition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The address of its playlist.
    pub uri: String,
    /// What people call it: `720p`, `source`.
    pub name: String,
    /// The largest rate of a segment, bits a second, sound included.
    pub bandwidth: u64,
    /// The rate in the middle, where it is known.
    pub average: Option<u64>,
    /// All its codecs (RFC 6381), sound included.
    pub codecs: String,
    /// Width and height, pixels.
    pub size: Option<(u32, u32)>,
    /// Frames in 1,000 seconds.
    pub millihertz: Option<u32>,
}

impl Master {
    /// The text.
    #[must_use]
    pub fn write(&self) -> String {
        let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n");
        // Writing to a string cannot fail.
        self.put(&mut text).unwrap_or_default();
        text
    }

    fn put(&self, text: &mut String) -> fmt::Result {
        if let Some(sound) = &self.sound {
            let uri = Quoted(&sound.uri);
            writeln!(
                text,
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{SOUND}\",NAME=\"{SOUND}\",DEFAULT=YES,AUTOSELECT=YES,\
                 CHANNELS=\"{}\",URI={uri}",
                sound.channels
            )?;
        }
        for variant in &self.variants {
            self.variant(variant, text)?;
        }
        Ok(())
    }

    fn variant(&self, variant: &Variant, text: &mut String) -> fmt::Result {
        let bandwidth = variant.bandwidth.max(variant.average.unwrap_or(0)).max(1);
        write!(text, "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}")?;
        if let Some(average) = variant.average {
            write!(text, ",AVERAGE-BANDWIDTH={average}")?;
        }
        if !variant.codecs.is_empty() {
            write!(text, ",CODECS={}", Quoted(&variant.codecs))?;
        }
        if let Some((width, height)) = variant.size {
            write!(text, ",RESOLUTION={width}x{height}")?;
        }
        if let Some(rate) = variant.millihertz {
            write!(text, ",FRAME-RATE={}.{:03}", rate / 1000, rate % 1000)?;
        }
        if self.sound.is_some() {
            write!(text, ",AUDIO=\"{SOUND}\"")?;
        }
        let uri = variant.uri.split(['\r', '\n']).collect::<String>();
        writeln!(text, ",NAME={}\n{uri}", Quoted(&variant.name))
    }
}

#[cfg(test)]
mod tests {
    use m3u8_parser::m3u8::{playlist::Playlist, tags::Tag};

    use super::*;

    fn variant(name: &str, bandwidth: u64, size: Option<(u32, u32)>) -> Variant {
        Variant {
            uri: format!("room~{name}/video.m3u8?session=x"),
            name: name.into(),
            bandwidth,
            average: Some(bandwidth * 9 / 10),
            codecs: "avc1.64001f,mp4a.40.2".into(),
            size,
            millihertz: Some(29_970),
        }
    }

    #[test]
    fn all_renditions_are_listed_with_what_players_choose_by() {
        let master = Master {
            sound: Some(Sound { uri: "room/audio.m3u8".into(), channels: 2 }),
            variants: vec![
                variant("source", 6_000_000, Some((1920, 1080))),
                variant("720p", 2_000_000, Some((1280, 720))),
            ],
        };
        let text = master.write();
        let read: Playlist = text.parse().unwrap();
        read.validate().unwrap();
        let streams: Vec<_> = read
            .tags
            .iter()
            .filter_map(|tag| match tag {
                Tag::ExtXStreamInf {
                    bandwidth,
                    average_bandwidth,
                    codecs,
                    resolution,
                    frame_rate,
                    audio,
                    ..
                } => Some((
                    *bandwidth,
                    average_bandwidth.unwrap(),
                    codecs.clone().unwrap(),
                    resolution.clone().unwrap(),
                    frame_rate.unwrap(),
                    audio.clone().unwrap(),
                )),
                _ => None,
            })
            .collect();
        let codecs = "avc1.64001f,mp4a.40.2".to_owned();
        let sound = "sound".to_owned();
        assert_eq!(
            streams,
            [
                (6_000_000, 5_400_000, codecs.clone(), "1920x1080".into(), 29.97, sound.clone()),
                (2_000_000, 1_800_000, codecs, "1280x720".into(), 29.97, sound),
            ]
        );
        let media = read.tags.iter().find_map(|tag| match tag {
            Tag::ExtXMedia { type_, uri, channels, default, .. } => {
                Some((type_.as_str(), uri.as_deref(), channels.as_deref(), *default))
            }
            _ => None,
        });
        assert_eq!(media, Some(("AUDIO", Some("room/audio.m3u8"), Some("2"), Some(true))));
        assert!(text.contains("\nroom~720p/video.m3u8?session=x\n"), "{text}");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let bare =
            Variant { average: None, codecs: String::new(), millihertz: None, ..variant("x", 0, None) };
        let text = Master { sound: None, variants: vec![bare] }.write();
        text.parse::<Playlist>().unwrap().validate().unwrap();
        for absent in ["CODECS", "RESOLUTION", "FRAME-RATE", "AUDIO", "AVERAGE", "BANDWIDTH=0"] {
            assert!(!text.contains(absent), "{absent} in {text}");
        }
    }
}
