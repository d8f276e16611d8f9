//! The section `live.ladder`: the same broadcast with fewer bits.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use yizhan_talk::span;

use super::relay::fits;
use crate::Name;

/// Rungs that a ladder may have.
const RUNGS_MAX: usize = 8;
/// A rung of the source's own size is made only where the source has so many times its bits, in quarters.
const WORTH_QUARTERS: u64 = 5;

/// Rungs beside each broadcast, made by ffmpeg while somebody watches them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ladder {
    /// The apps whose broadcasts have a ladder; none by default: each rung takes a good part of a CPU.
    pub apps: Vec<String>,
    /// The broadcasts of these apps that have; `*` stands for any number of characters.
    pub names: Vec<String>,
    /// The rungs. Those that are larger than the source are left out.
    pub rungs: Vec<Rung>,
    /// How long a rung is made after the last viewer has gone.
    #[serde(with = "span")]
    pub linger: Duration,
    /// Where ffmpeg is: a path, or a name that is looked for in PATH. Snapshots and relays over HLS need it, too.
    pub ffmpeg: PathBuf,
    /// Processes of ffmpeg at one time, for everything. A rung for which there is no room is not offered.
    pub children_max: usize,
    /// How nice they are to the server, 0 to 19.
    pub nice: u8,
    /// ffmpeg's name of the H.264 encoder: `libx264`, `h264_nvenc`, `h264_qsv`.
    pub encoder: String,
    /// Its preset; empty: its own choice.
    pub preset: String,
    /// Frames that it may look ahead: better pictures, and each delays the rungs by one frame.
    pub look_ahead: u32,
    /// Threads of one encoder; 0: its own choice.
    pub threads: u32,
}

/// One rung.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// What stands behind the broadcast's name and a `~`: `720p`.
    pub name: String,
    /// Pixels of the shorter side; the longer one follows the source's shape.
    pub side: u32,
    /// Bits of picture a second.
    pub bits_per_second: u32,
    /// Pictures a second at most; 0: as many as the source.
    #[serde(default)]
    pub frames_max: u32,
}

impl Default for Ladder {
    fn default() -> Self {
        let rung = |name: &str, side, bits_per_second| Rung {
            name: name.into(),
            side,
            bits_per_second,
            frames_max: 0,
        };
        Self {
            apps: Vec::new(),
            names: vec!["*".into()],
            rungs: vec![
                rung("1080p", 1080, 6_000_000),
                rung("720p", 720, 2_000_000),
                rung("480p", 480, 1_000_000),
            ],
            linger: Duration::from_secs(30),
            ffmpeg: "ffmpeg".into(),
            children_max: 8,
            nice: 5,
            encoder: "libx264".into(),
            preset: "veryfast".into(),
            look_ahead: 0,
            threads: 0,
        }
    }
}

/// A rung as it is made of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What the config says.
    pub rung: Rung,
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
}

impl Ladder {
    /// Whether this broadcast has a ladder.
    #[must_use]
    pub fn is_for(&self, name: &Name) -> bool {
        name.rung_name().is_none()
            && self.apps.iter().any(|app| **app == *name.app)
            && self.names.iter().any(|pattern| fits(pattern, &name.name))
    }

    /// The rungs of a source of this size, which has so many bits a second (0: nobody knows yet); the best first.
    #[must_use]
    pub fn plan(&self, width: u32, height: u32, source_bits: u64) -> Vec<Planned> {
        let side = width.min(height);
        let worth = |rung: &Rung| source_bits * 4 >= u64::from(rung.bits_per_second) * WORTH_QUARTERS;
        let mut planned: Vec<Planned> = self
            .rungs
            .iter()
            .filter(|rung| rung.side < side || (rung.side == side && worth(rung)))
            .map(|rung| {
                let scaled = |length: u32| {
                    let scaled = u64::from(length) * u64::from(rung.side) / u64::from(side.max(1));
                    // Encoders want even numbers.
                    u32::try_from(scaled.div_ceil(2) * 2).unwrap_or(u32::MAX - 1).max(2)
                };
                Planned { rung: rung.clone(), width: scaled(width), height: scaled(height) }
            })
            .collect();
        planned.sort_by_key(|planned| std::cmp::Reverse((planned.rung.side, planned.rung.bits_per_second)));
        planned
    }

    /// Says what makes no sense.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn check(&self) -> Result<(), String> {
        if self.rungs.len() > RUNGS_MAX {
            return Err(format!("live.ladder.rungs: at most {RUNGS_MAX}"));
        }
        for (index, rung) in self.rungs.iter().enumerate() {
            let name = &rung.name;
            let wrong = if Name::new("x", name).is_err() {
                crate::BadName.to_string()
            } else if self.rungs[..index].iter().any(|other| other.name == *name) {
                "there are two of them".into()
            } else if !(64..=4320).contains(&rung.side) || !rung.side.is_multiple_of(2) {
                "side: 64 to 4320 pixels, an even number".into()
            } else if !(50_000..=200_000_000).contains(&rung.bits_per_second) {
                "bits_per_second: 50,000 to 200,000,000".into()
            } else {
                continue;
            };
            return Err(format!("live.ladder.rungs: {name}: {wrong}"));
        }
        let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if self.encoder.is_empty() || !is_word(&self.encoder) || !is_word(&self.preset) {
            return Err("live.ladder: encoder and preset are words such as libx264 and veryfast".into());
        }
        if self.nice > 19 || self.look_ahead > 250 {
            return Err("live.ladder: nice is at most 19, look_ahead at most 250".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(width: u32, height: u32, bits: u64) -> Vec<(String, u32, u32)> {
        let plan = Ladder::default().plan(width, height, bits);
        plan.into_iter().map(|planned| (planned.rung.name, planned.width, planned.height)).collect()
    }

    #[test]
    fn rungs_are_never_larger_than_the_source_and_keep_its_shape() {
        let rung = |name: &str, width, height| (name.to_owned(), width, height);
        assert_eq!(sizes(1920, 1080, 3_000_000), [rung("720p", 1280, 720), rung("480p", 854, 480)]);
        assert_eq!(sizes(1920, 1080, 9_000_000)[0], rung("1080p", 1920, 1080));
        assert_eq!(sizes(1080, 1920, 0)[0], rung("720p", 720, 1280));
        assert_eq!(sizes(854, 480, 1_000_000), []);
        assert_eq!(sizes(854, 480, 5_000_000), [rung("480p", 854, 480)]);
        assert_eq!(sizes(0, 0, 0), []);
        assert_eq!(sizes(1366, 768, 0), [rung("720p", 1280, 720), rung("480p", 854, 480)]);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(Ladder::default().check(), Ok(()));
        let with = |change: fn(&mut Ladder)| {
            let mut ladder = Ladder::default();
            change(&mut ladder);
            ladder.check().unwrap_err()
        };
        assert!(with(|ladder| ladder.rungs[1].name = "1080p".into()).contains("two"));
        assert!(with(|ladder| ladder.rungs[0].name = "a~b".into()).contains("a~b"));
        assert!(with(|ladder| ladder.rungs[0].side = 721).contains("even"));
        assert!(with(|ladder| ladder.rungs[0].bits_per_second = 1).contains("bits_per_second"));
        assert!(with(|ladder| ladder.encoder = "a -f x".into()).contains("words"));
        assert!(with(|ladder| ladder.nice = 20).contains("nice"));
        assert!(with(|ladder| ladder.rungs = vec![ladder.rungs[0].clone(); 9]).contains("at most 8"));
    }
}
