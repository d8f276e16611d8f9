//! What is published: a test picture and a tone, encoded once by ffmpeg, with a mark in each picture.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::mark::Mark;
use crate::process::scratch;

/// How long the file is; it is published again and again.
const SECONDS: u64 = 30;
/// A key frame every two seconds.
const GOP: u64 = 60;
/// What its name holds, so that another recipe makes another file.
const RECIPE: &str = "720p30-2s-1870k-aac128k";

/// What FLV tags and RTMP messages are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Audio = 8,
    Video = 9,
    Script = 18,
}

/// An FLV tag.
pub(super) struct Tag {
    pub(super) kind: Kind,
    pub(super) at_ms: u64,
    pub(super) body: Vec<u8>,
}

/// The file, taken apart.
pub(super) struct Source {
    /// What a publisher sends first: metadata, then what decoders need.
    pub(super) heads: Vec<Tag>,
    pub(super) tags: Vec<Tag>,
    /// After how much time the first tag comes again.
    pub(super) round_ms: u64,
}

impl Source {
    /// Makes the file where it is not there yet, and reads it.
    ///
    /// # Errors
    /// There is no ffmpeg, or it made something else.
    pub(super) fn make() -> Result<Self> {
        let path = scratch().join(format!("live-{RECIPE}.flv"));
        if !path.exists() {
            encode(&path)?;
        }
        Self::read(&std::fs::read(&path)?).with_context(|| format!("{}: remove it", path.display()))
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let mut source = Self { heads: Vec::new(), tags: Vec::new(), round_ms: SECONDS * 1000 };
        // Nine bytes of header and the size of no tag before.
        let mut rest = bytes.get(13..).context("an FLV header")?;
        while let Some(head) = rest.get(..11) {
            let size = usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
            let at_ms = u64::from(u32::from_be_bytes([head[7], head[4], head[5], head[6]]));
            let body = rest.get(11..11 + size).context("a whole tag")?.to_vec();
            let kind = match head[0] {
                8 => Kind::Audio,
                9 => Kind::Video,
                18 => Kind::Script,
                other => bail!("a tag of type {other}"),
            };
            // The second byte of AAC and of H.264: 0 is what the decoder needs, 1 is media (FLV 10.1, E.4.2, E.4.3).
            match (kind, body.get(1)) {
                (Kind::Script, _) | (_, Some(0)) => source.heads.push(Tag { kind, at_ms: 0, body }),
                (_, Some(1)) => source.tags.push(Tag { kind, at_ms, body }),
                // The end of the sequence: it goes on here.
                _ => {}
            }
            rest = rest.get(11 + size + 4..).context("the size behind a tag")?;
        }
        if source.heads.len() != 3 || source.pictures() < SECONDS as usize * 25 {
            bail!("not what was asked of ffmpeg");
        }
        Ok(source)
    }

    /// How many pictures it has.
    pub(super) fn pictures(&self) -> usize {
        self.tags.iter().filter(|t| t.kind == Kind::Video).count()
    }
}

impl Tag {
    /// Whether it is a picture that needs no other.
    pub(super) fn is_key(&self) -> bool {
        self.kind == Kind::Video && self.body[0] >> 4 == 1
    }

    /// Its body with a mark in it, where it is a picture.
    pub(super) fn marked(&self, number: u32) -> Vec<u8> {
        // Five bytes: what it is, and by how much it is shown later (FLV 10.1, E.4.3).
        let (head, units) = self.body.split_at(5);
        let mark = Mark { number, key: self.is_key(), rest: units.len() as u32 + 1 };
        [head, &mark.unit(), units].concat()
    }
}

fn encode(path: &Path) -> Result<()> {
    let unfinished: PathBuf = path.with_extension("unfinished.flv");
    let gop = GOP.to_string();
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30"])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
        .args(["-t", &SECONDS.to_string(), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"])
        .args(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0"])
        .args(["-b:v", "1870k", "-minrate", "1870k", "-maxrate", "1870k", "-bufsize", "1870k"])
        .args(["-x264-params", "nal-hrd=cbr", "-c:a", "aac", "-b:a", "128k", "-ac", "2"])
        .arg(&unfinished)
        .status()
        .context("ffmpeg is not installed (apt-get install ffmpeg)")?;
    if !status.success() {
        bail!("ffmpeg made no source");
    }
    std::fs::rename(&unfinished, path)?;
    Ok(())
}
