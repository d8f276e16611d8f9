//! The section `rtmp` of the config.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};
use yizhan_net::{Listen, SiteError, setting::seconds};

/// RTMP and RTMPS: OBS, ffmpeg and others publish here, players watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where RTMP is spoken in plain text. An empty `listen` closes it.
    pub tcp: Listen,
    /// Where RTMP is spoken over TLS (RTMPS), usually on port 443 or 1936. Needs `tls`.
    pub secure: Listen,
    /// How long a client may take until it publishes or watches, and from one to the next. Waiting for an answer of
    /// this server does not count.
    #[serde(with = "seconds")]
    pub idle_max: Duration,
    /// A publisher from whom nothing has come for so long is cut off; so is a viewer that does not answer a ping.
    #[serde(with = "seconds")]
    pub silence_max: Duration,
    /// A viewer from whom nothing has come for so long is asked whether it is there; 0 never.
    #[serde(with = "seconds")]
    pub ping_interval: Duration,
    /// After how many bytes a client is to acknowledge what it has got, and what it is told to allow us.
    pub window_bytes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tcp: Listen::at(SocketAddr::from(([127, 0, 0, 1], 1935))),
            secure: Listen::default(),
            idle_max: Duration::from_secs(10),
            silence_max: Duration::from_secs(30),
            ping_interval: Duration::from_secs(60),
            window_bytes: crate::carrier::WINDOW_BYTES,
        }
    }
}

impl Config {
    /// Says what makes no sense.
    ///
    /// # Errors
    /// The setting and what it should be.
    pub fn check(&self) -> Result<(), SiteError> {
        let second = Duration::from_secs(1);
        let reason = if !self.secure.listen.is_empty() && self.secure.tls.is_none() {
            "secure.tls is missing: RTMPS needs a certificate"
        } else if self.idle_max < second {
            "idle_max is at least 1 s"
        } else if self.silence_max < second {
            "silence_max is at least 1 s"
        } else if !self.ping_interval.is_zero() && self.ping_interval < second {
            "ping_interval is at least 1 s, or 0"
        } else if self.window_bytes < 1024 {
            "window_bytes is at least 1024"
        } else {
            return Ok(());
        };
        Err(SiteError::Door { door: "rtmp", reason: reason.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_makes_sense_and_is_read_as_it_was_written() {
        let config = Config::default();
        config.check().unwrap();
        assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(), config);
        assert!(toml::from_str::<Config>("port = 1935").is_err());
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        type Change = fn(&mut Config);
        let cases: [(Change, &str); 5] = [
            (|c| c.secure = c.tcp.clone(), "secure.tls"),
            (|c| c.idle_max = Duration::ZERO, "idle_max"),
            (|c| c.silence_max = Duration::from_millis(1), "silence_max"),
            (|c| c.ping_interval = Duration::from_millis(1), "ping_interval"),
            (|c| c.window_bytes = 0, "window_bytes"),
        ];
        for (change, expected) in cases {
            let mut config = Config::default();
            change(&mut config);
            let problem = config.check().unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
