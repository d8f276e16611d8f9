//! What an operator may set: limits and times.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use yizhan_talk::span;

/// Instant messaging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Members of a group or channel; more are refused.
    pub members_max: usize,
    /// Groups and channels of which one person is a member; more are refused.
    pub conversations_max: usize,
    /// How long its sender may recall a message; admins of the conversation always may.
    #[serde(with = "span")]
    pub recall_for: Duration,
    /// How long its sender may edit a message.
    #[serde(with = "span")]
    pub edit_for: Duration,
    /// Devices that one person is signed in on at once; see `devices_full`.
    pub devices_max: usize,
    /// Those of them that run on the same platform.
    pub devices_of_platform_max: usize,
    /// What becomes of a device beyond that.
    pub devices_full: DevicesFull,
    /// Whether people who are not here are woken: for each message that rings for them, their names are published
    /// to the topic `im/push` (space `im-push`).
    pub push: bool,
    /// Whether every user may begin chatrooms, or only the server's owners and admins.
    pub rooms_by_everybody: bool,
    /// What may be said in one chatroom in a second; beyond it what matters least is thinned out first.
    pub room_messages_per_second: u32,
    /// How many memberships stay in memory; conversations that nobody uses go first.
    pub memory_members_max: usize,
    /// How long a message's client id is recognised, so that sending it again does nothing.
    #[serde(with = "span")]
    pub dedup_for: Duration,
    /// How many client ids are recognised at most; the oldest go first.
    pub dedup_ids_max: usize,
}

/// What becomes of a device for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DevicesFull {
    /// it comes in, and the one that was signed in longest goes
    #[default]
    KickOldest,
    /// it does not come in
    Refuse,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            members_max: 10_000,
            conversations_max: 10_000,
            recall_for: Duration::from_secs(120),
            edit_for: Duration::from_secs(7 * 86_400),
            devices_max: 20,
            devices_of_platform_max: 10,
            devices_full: DevicesFull::default(),
            push: false,
            rooms_by_everybody: true,
            room_messages_per_second: 200,
            memory_members_max: 2_000_000,
            dedup_for: Duration::from_secs(3 * 86_400),
            dedup_ids_max: 1_000_000,
        }
    }
}
