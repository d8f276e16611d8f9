//! What playlists, segments and parts are called. A name says all that is needed to find it, and is never used for
//! other bytes: caches may keep what they have under it for as long as they like.

use std::{fmt, sync::Arc};

/// Bytes of a run's tag.
const TAG_BYTES: usize = 13;

/// What one playlist is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rendition {
    /// Picture, as CMAF.
    Video,
    /// Sound, as CMAF.
    Audio,
    /// Both, as MPEG-TS.
    Ts,
}

impl Rendition {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Video, Self::Audio, Self::Ts];

    /// The name of its playlist, without `.m3u8`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Ts => "ts",
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Video => 'v',
            Self::Audio => 'a',
            Self::Ts => 't',
        }
    }

    /// What follows a segment's number.
    const fn extension(self) -> &'static str {
        match self {
            Self::Video | Self::Audio => "m4s",
            Self::Ts => "ts",
        }
    }

    /// The media type of its segments and parts.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Video => "video/mp4",
            Self::Audio => "audio/mp4",
            Self::Ts => "video/mp2t",
        }
    }
}

/// The tag of one run of a packager: 13 of `a-z 2-7`, which nobody can guess who has seen no playlist.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Made of a number that nobody can guess.
    #[must_use]
    pub fn new(random: u64) -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let text: String =
            (0..TAG_BYTES).map(|i| char::from(LETTERS[(random >> (5 * i) & 31) as usize])).collect();
        Self(text.into())
    }

    fn read(text: &str) -> Option<Self> {
        let good = text.len() == TAG_BYTES && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        good.then(|| Self(text.into()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file below `/{app}/{name}/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// `video.m3u8`
    Playlist(Rendition),
    /// `now`: what time it is, for DASH clients.
    Now,
    /// What a run made.
    Made {
        /// Which run.
        tag: Tag,
        /// Of what.
        rendition: Rendition,
        /// Which.
        piece: Piece,
    },
}

/// A piece of a rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// `TAG-v3.mp4`: the boxes that segments begin with, by their number.
    Init(u32),
    /// `TAG-v1234.m4s`: a segment.
    Segment(u64),
    /// `TAG-v1234.5.m4s`: a part of a segment.
    Part(u64, u32),
}

impl File {
    /// Reads a name.
    #[must_use]
    pub fn read(name: &str) -> Option<Self> {
        if let Some(word) = name.strip_suffix(".m3u8") {
            return Rendition::ALL.into_iter().find(|one| one.word() == word).map(Self::Playlist);
        }
        if name == "now" {
            return Some(Self::Now);
        }
        let (tag, rest) = name.split_once('-')?;
        let tag = Tag::read(tag)?;
        let rendition = Rendition::ALL.into_iter().find(|one| rest.starts_with(one.letter()))?;
        let (number, extension) = rest[1..].rsplit_once('.')?;
        let piece = if extension == "mp4" && rendition != Rendition::Ts {
            Piece::Init(u32::try_from(digits(number)?).ok()?)
        } else if extension != rendition.extension() {
            return None;
        } else if let Some((segment, part)) = number.split_once('.') {
            Piece::Part(digits(segment)?, u32::try_from(digits(part)?).ok()?)
        } else {
            Piece::Segment(digits(number)?)
        };
        Some(Self::Made { tag, rendition, piece })
    }

    /// The name of a segment whose number a DASH client puts in (`$Number$`).
    #[must_use]
    pub fn template(tag: &Tag, rendition: Rendition) -> String {
        format!("{tag}-{}$Number$.{}", rendition.letter(), rendition.extension())
    }
}

/// A number as it is written here: one name has one spelling.
fn digits(text: &str) -> Option<u64> {
    let good = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if good { text.parse().ok() } else { None }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Playlist(rendition) => write!(f, "{}.m3u8", rendition.word()),
            Self::Now => f.write_str("now"),
            Self::Made { tag, rendition, piece } => {
                let (letter, extension) = (rendition.letter(), rendition.extension());
                match piece {
                    Piece::Init(number) => write!(f, "{tag}-{letter}{number}.mp4"),
                    Piece::Segment(number) => write!(f, "{tag}-{letter}{number}.{extension}"),
                    Piece::Part(number, part) => write!(f, "{tag}-{letter}{number}.{part}.{extension}"),
                }
            }
        }
    }
}

/// What is asked for at `/{app}/{file}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// `name.m3u8`: all renditions as CMAF.
    Master,
    /// `name.ts.m3u8`: all renditions as MPEG-TS.
    TsMaster,
    /// `name.mpd`
    Mpd,
    /// `name.flv`
    Flv,
    /// `name.jpg`
    Snapshot,
}

impl Entry {
    /// The broadcast's name, and what of it.
    #[must_use]
    pub fn read(file: &str) -> Option<(&str, Self)> {
        const ALL: [(&str, Entry); 5] = [
            (".ts.m3u8", Entry::TsMaster),
            (".m3u8", Entry::Master),
            (".mpd", Entry::Mpd),
            (".flv", Entry::Flv),
            (".jpg", Entry::Snapshot),
        ];
        ALL.into_iter().find_map(|(end, entry)| Some((file.strip_suffix(end)?, entry)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_file() -> impl Strategy<Value = File> {
        let rendition = prop::sample::select(&Rendition::ALL[..]);
        let piece = prop_oneof![
            any::<u32>().prop_map(Piece::Init),
            any::<u64>().prop_map(Piece::Segment),
            (any::<u64>(), any::<u32>()).prop_map(|(segment, part)| Piece::Part(segment, part)),
        ];
        let made = (any::<u64>(), rendition.clone(), piece)
            .prop_filter("TS needs no init", |(_, rendition, piece)| {
                *rendition != Rendition::Ts || !matches!(piece, Piece::Init(_))
            })
            .prop_map(|(tag, rendition, piece)| File::Made { tag: Tag::new(tag), rendition, piece });
        prop_oneof![rendition.prop_map(File::Playlist), made]
    }

    proptest! {
        #[test]
        fn a_name_is_read_as_it_was_written(file in any_file()) {
            prop_assert_eq!(File::read(&file.to_string()), Some(file));
        }

        #[test]
        fn a_name_that_is_read_has_one_spelling(text in "[a-z2-7]{12,14}-[vat][0-9]{0,3}(\\.[0-9]{0,3})?\\.(m4s|ts|mp4)|\\PC*") {
            if let Some(file) = File::read(&text) {
                prop_assert_eq!(file.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_name_of_ours_is_none() {
        let tag = Tag::new(7);
        for bad in [
            "..".to_owned(),
            "../video.m3u8".into(),
            "x.m3u8".into(),
            String::new(),
            format!("{tag}-v01.m4s"),
            format!("{tag}-v1.m4s.m4s"),
            format!("{tag}-v.m4s"),
            format!("{tag}-v1.ts"),
            format!("{tag}-t1.mp4"),
            format!("{tag}-v99999999999999999999.m4s"),
            format!("{tag}-v1.99999999999.m4s"),
            format!("{tag}-é1.m4s"),
        ] {
            assert_eq!(File::read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_broadcasts_entries_are_told_by_their_ends() {
        assert_eq!(Entry::read("room.m3u8"), Some(("room", Entry::Master)));
        assert_eq!(Entry::read("room~720p.ts.m3u8"), Some(("room~720p", Entry::TsMaster)));
        assert_eq!(Entry::read("a.b.flv"), Some(("a.b", Entry::Flv)));
        for none in ["room", "room.html", "m3u8", ""] {
            assert_eq!(Entry::read(none), None, "{none}");
        }
    }
}
