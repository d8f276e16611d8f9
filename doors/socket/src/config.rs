//! The section `socket` of the config, and what every connection knows of it.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};
use yizhan_net::{Listen, SiteError, setting::seconds};

use crate::wire::command::Network;

/// Our own protocol, `yizhan.v1`: raw TCP here; WebSocket, Server-Sent Events, long-poll and plain HTTP on
/// the port of the section `http`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where newline-delimited JSON is spoken: `nc localhost 8888` works. An empty `listen` closes it.
    pub tcp: Listen,
    /// Bytes that a client's frame may have, on every transport. A WebSocket message is also held to
    /// `http.message_bytes_max`.
    pub frame_bytes_max: usize,
    /// How long a client may take to say hello.
    #[serde(with = "seconds")]
    pub hello_within: Duration,
    /// The longest that a session may outlive its connection, whatever the client asks for.
    #[serde(with = "seconds")]
    pub keep_max: Duration,
    /// How long the session of an event stream or of a long-poll waits for its client to come back.
    #[serde(with = "seconds")]
    pub stream_keep: Duration,
    /// Sessions that may be open by long-poll at one time. More are answered 503.
    pub polls_max: usize,
    /// How often each side is heard where there is nothing to say.
    pub heartbeat: Heartbeat,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tcp: Listen::at(SocketAddr::from(([127, 0, 0, 1], 8888))),
            frame_bytes_max: 1024 * 1024,
            hello_within: Duration::from_secs(10),
            keep_max: Duration::from_secs(24 * 3600),
            stream_keep: Duration::from_secs(60),
            polls_max: 10_000,
            heartbeat: Heartbeat::default(),
        }
    }
}

/// How often each side is heard, by the network that a client says it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Heartbeat {
    /// On steady networks: 30 to 60 seconds are usual.
    #[serde(with = "seconds")]
    pub wifi: Duration,
    /// On mobile networks, whose translators forget quiet connections early: 10 to 30 seconds.
    #[serde(with = "seconds")]
    pub cellular: Duration,
    /// For things that sleep most of the time: 5 to 15 minutes.
    #[serde(with = "seconds")]
    pub iot: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            wifi: Duration::from_secs(45),
            cellular: Duration::from_secs(20),
            iot: Duration::from_secs(600),
        }
    }
}

impl Heartbeat {
    /// The interval in this network.
    #[must_use]
    pub fn of(&self, network: Network) -> Duration {
        match network {
            Network::Wifi => self.wifi,
            Network::Cellular => self.cellular,
            Network::Iot => self.iot,
        }
    }
}

impl Config {
    /// Says what makes no sense.
    ///
    /// # Errors
    /// The setting and what it should be.
    pub fn check(&self) -> Result<(), SiteError> {
        const FRAME_BYTES_MIN: usize = 1024;
        let second = Duration::from_secs(1);
        let beats = [self.heartbeat.wifi, self.heartbeat.cellular, self.heartbeat.iot];
        let reason = if self.frame_bytes_max < FRAME_BYTES_MIN {
            format!("frame_bytes_max is at least {FRAME_BYTES_MIN}")
        } else if self.hello_within < second {
            "hello_within is at least one second".to_owned()
        } else if beats.into_iter().any(|beat| beat < second) {
            "each heartbeat is at least one second".to_owned()
        } else {
            return Ok(());
        };
        Err(SiteError::Door { door: "socket", reason })
    }
}

/// What every connection of the door goes by.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The section of the config.
    pub config: Config,
    /// The server's name and version, for `welcome`: `yizhan/0.1.0`.
    pub server: String,
    /// Subscriptions that a session may have, for `welcome`; the hub holds it.
    pub subscriptions_max: usize,
}
