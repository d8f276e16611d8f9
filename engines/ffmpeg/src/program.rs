//! Which ffmpeg it is, what it can, and how many of it may run.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use tokio::{process::Command, sync::Semaphore, time::timeout};

use crate::{Child, Job};

/// How long it may take to say what it is.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The oldest that has all that is used: `-fps_mode` came with it.
const OLDEST: (u32, u32) = (5, 1);

/// Where ffmpeg is and what it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The program; a name without a slash is looked for in `PATH`.
    pub program: PathBuf,
    /// Children at one time.
    pub children_max: usize,
    /// How nice a child is to others, 0 (as the server) to 19.
    pub nice: i32,
}

impl Default for Config {
    fn default() -> Self {
        Self { program: "ffmpeg".into(), children_max: 8, nice: 5 }
    }
}

/// Why there is no ffmpeg.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    /// It cannot be started.
    #[error("{0} cannot be started ({1}): install ffmpeg, or say where it is")]
    NotThere(PathBuf, String),
    /// It did not say what it is.
    #[error("{0} does not answer as ffmpeg does")]
    NotFfmpeg(PathBuf),
    /// It is too old.
    #[error("ffmpeg {0} is too old: 5.1 or newer is needed")]
    TooOld(String),
}

/// A child was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// As many as may run do.
    #[error("{0} children of ffmpeg run already")]
    Full(usize),
    /// The system refused.
    #[error("ffmpeg cannot be started: {0}")]
    System(#[from] std::io::Error),
}

/// An ffmpeg that was found and answers. Cloning it is cheap; clones share the number of children.
#[derive(Debug, Clone)]
pub struct Ffmpeg(Arc<Found>);

#[derive(Debug)]
struct Found {
    config: Config,
    version: String,
    encoders: BTreeSet<String>,
    room: Arc<Semaphore>,
}

impl Ffmpeg {
    /// Finds it and asks once what it is and which encoders it has.
    ///
    /// # Errors
    /// It is not there, does not answer, or is too old.
    pub async fn find(config: Config) -> Result<Self, NotUsable> {
        let version = ask(&config.program, &["-version"]).await?;
        let not_ffmpeg = || NotUsable::NotFfmpeg(config.program.clone());
        let version = read_version(&version).ok_or_else(not_ffmpeg)?.to_owned();
        if numbers(&version).is_some_and(|numbers| numbers < OLDEST) {
            return Err(NotUsable::TooOld(version));
        }
        let encoders = ask(&config.program, &["-hide_banner", "-encoders"]).await?;
        let encoders = read_encoders(&encoders);
        let room = Arc::new(Semaphore::new(config.children_max.min(Semaphore::MAX_PERMITS)));
        Ok(Self(Arc::new(Found { config, version, encoders, room })))
    }

    /// Its version, as it says it: `5.1.9-0+deb12u1`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// Whether it has an encoder of this name.
    #[must_use]
    pub fn has_encoder(&self, name: &str) -> bool {
        self.0.encoders.contains(name)
    }

    /// How many children may be started now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.0.room.available_permits()
    }

    /// Starts a child. It runs until it ends, or until it is dropped.
    ///
    /// # Errors
    /// There is no room, or the system refuses.
    pub fn start(&self, job: Job) -> Result<Child, StartError> {
        let Config { program, children_max, nice } = &self.0.config;
        let permit = self.0.room.clone().try_acquire_owned().map_err(|_| StartError::Full(*children_max))?;
        Ok(Child::start(program, job, *nice, permit)?)
    }
}

async fn ask(program: &Path, args: &[&str]) -> Result<String, NotUsable> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let answer = timeout(ANSWER_WITHIN, command.output()).await;
    match answer {
        Err(_) => Err(NotUsable::NotFfmpeg(program.to_owned())),
        Ok(Err(error)) => Err(NotUsable::NotThere(program.to_owned(), error.to_string())),
        Ok(Ok(output)) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
    }
}

/// From `ffmpeg version 5.1.9 Copyright …`.
fn read_version(text: &str) -> Option<&str> {
    text.strip_prefix("ffmpeg version ")?.split_whitespace().next()
}

/// `None` for one that was built between releases: `N-109000-gabcdef`, `git-2026-…`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let version = version.strip_prefix('n').unwrap_or(version);
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    let major = parts.next()?.parse().ok()?;
    Some((major, parts.next().and_then(|minor| minor.parse().ok()).unwrap_or(0)))
}

/// From lines such as ` V....D libx264    libx264 H.264 …`, behind a line of dashes.
fn read_encoders(text: &str) -> BTreeSet<String> {
    let lines = text.lines().skip_while(|line| !line.trim_start().starts_with("---")).skip(1);
    lines.filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_of_itself_is_read() {
        let version = "ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026 the FFmpeg developers\nbuilt";
        assert_eq!(read_version(version), Some("5.1.9-0+deb12u1"));
        assert_eq!(read_version("sh: hello"), None);
        for (version, expected) in [
            ("5.1.9-0+deb12u1", Some((5, 1))),
            ("9.0", Some((9, 0))),
            ("n4.4", Some((4, 4))),
            ("7", Some((7, 0))),
            ("N-109000-gabc", None),
            ("git-2026", None),
        ] {
            assert_eq!(numbers(version), expected, "{version}");
        }
        let encoders = "Encoders:\n V..... = Video\n ------\n V....D libx264   H.264\n A....D aac   AAC\n";
        assert_eq!(read_encoders(encoders), BTreeSet::from(["aac".into(), "libx264".into()]));
    }

    #[tokio::test]
    async fn what_is_no_ffmpeg_is_not_taken_for_one() {
        let find = |program: &str| Ffmpeg::find(Config { program: program.into(), ..Config::default() });
        assert!(matches!(find("/nowhere/ffmpeg").await, Err(NotUsable::NotThere(..))));
        assert!(matches!(find("/bin/echo").await, Err(NotUsable::NotFfmpeg(_))));
    }
}
