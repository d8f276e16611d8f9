//! What an operator may set of broadcasts: limits and times.

pub mod hooks;
pub mod ladder;
pub mod record;
pub mod relay;
pub mod snapshots;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use yizhan_talk::span;

use crate::{
    access::{
        config::{Access, PublishBy, Tokens},
        keys::KeyList,
    },
    chat::config::Chat,
};

/// Broadcasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The first part of broadcasts' names: `live` of `rtmp://host/live/name` and `/live/name.m3u8`. Others are refused.
    pub apps: Vec<String>,
    /// Frames that come within this time go out to RTMP and FLV viewers together: fewer writes for more delay.
    #[serde(with = "span")]
    pub merge_for: Duration,
    /// How long viewers wait for a publisher that was cut off; then the broadcast ends.
    #[serde(with = "span")]
    pub grace: Duration,
    /// Whether a second publisher of the same name takes its place, or is refused.
    pub take_over: bool,
    /// An RTMP or FLV viewer that is further behind goes on from the newest key frame.
    #[serde(with = "span")]
    pub behind_max: Duration,
    /// How much of a broadcast stays in memory for those who come or are slow; back to a key frame in any case.
    #[serde(with = "span")]
    pub keep_for: Duration,
    /// Bytes of a broadcast that stay in memory, at most.
    pub keep_bytes_max: usize,
    /// Bytes of one frame; a larger one ends its publisher.
    pub frame_bytes_max: usize,
    /// Broadcasts at one time, those of ladders not counted.
    pub broadcasts_max: usize,
    /// Publishers at one time from one address.
    pub address_publishers_max: usize,
    /// Viewers of one broadcast at one time.
    pub viewers_max: usize,
    /// How long who wants to watch waits for a relay to fetch the broadcast, or for a rung of the ladder to start.
    #[serde(with = "span")]
    pub wanted_for: Duration,
    /// Who may publish and who may watch.
    pub access: Access,
    /// Publish keys: a broadcast, or a pattern such as `"live/*"`, and the keys that open it.
    pub keys: BTreeMap<String, KeyList>,
    /// Tokens that let somebody watch or publish for a while.
    pub tokens: Tokens,
    /// The chat beside a broadcast, and its gifts.
    pub chat: Chat,
    /// The operator's own programs: asked before somebody comes in, told what happened.
    pub hooks: hooks::Hooks,
    /// Broadcasts that are written to files.
    pub record: record::Record,
    /// A picture of each broadcast, for lists.
    pub snapshots: snapshots::Snapshots,
    /// The same broadcasts with fewer bits.
    pub ladder: ladder::Ladder,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            apps: vec!["live".into()],
            merge_for: Duration::from_millis(100),
            grace: Duration::from_secs(10),
            take_over: false,
            behind_max: Duration::from_secs(5),
            keep_for: Duration::from_secs(12),
            keep_bytes_max: 64 * 1024 * 1024,
            frame_bytes_max: 8 * 1024 * 1024,
            broadcasts_max: 1_000,
            address_publishers_max: 16,
            viewers_max: 100_000,
            wanted_for: Duration::from_secs(10),
            access: Access::default(),
            keys: BTreeMap::new(),
            tokens: Tokens::default(),
            chat: Chat::default(),
            hooks: hooks::Hooks::default(),
            record: record::Record::default(),
            snapshots: snapshots::Snapshots::default(),
            ladder: ladder::Ladder::default(),
        }
    }
}

impl Config {
    /// For trying things out: anybody may publish and watch.
    #[must_use]
    pub fn dev() -> Self {
        let access = Access { publish: PublishBy::Open, ..Access::default() };
        Self { access, ..Self::default() }
    }

    /// Says what makes no sense.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn check(&self) -> Result<(), String> {
        for app in &self.apps {
            if crate::Name::new(app, "x").is_err() {
                return Err(format!("live.apps: '{app}': {}", crate::BadName));
            }
        }
        if self.merge_for > Duration::from_secs(2) {
            return Err("live.merge_for: at most 2 s".into());
        }
        if self.frame_bytes_max > self.keep_bytes_max {
            return Err("live.frame_bytes_max: at most live.keep_bytes_max".into());
        }
        self.record.check()?;
        self.snapshots.check()?;
        self.ladder.check()?;
        self.access.check()?;
        crate::access::keys::check(&self.keys)?;
        self.tokens.check()?;
        self.chat.check()?;
        self.hooks.check()
    }
}
