//! The sections `bridge.NAME` of the config.

use std::{collections::BTreeSet, fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use yizhan_hub::Filter;
use yizhan_net::{Backoff, Target, TargetTls, setting::seconds};

use crate::wire::Version;

/// How long connecting to the other broker may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Rules of one bridge in one direction.
const RULES_MAX: usize = 1000;
/// Priorities of one bridge: each is a session of its own.
const PRIORITIES_MAX: usize = 8;
/// Messages under way at most: each is looked at for each that comes.
const INFLIGHT_LIMIT: u16 = 1024;
/// Bytes of a bridge's name: it is a level of a topic and a part of names.
const NAME_BYTES_MAX: usize = 64;

/// A bridge to another MQTT broker: this server is its client, stores what is to go there while the line is
/// down, and forwards it in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The other broker: `host:port`.
    pub address: String,
    /// Which MQTT is spoken with it. With `"3.1.1"` loops over several brokers are not found out.
    pub protocol: Protocol,
    /// TLS; an empty section is TLS with the certificates that the web trusts. Without it all is plain text.
    pub tls: Option<TargetTls>,
    /// The client id. Left out: `yizhan-NODE-NAME`. Two bridges to one broker need two.
    pub client_id: Option<String>,
    /// The user's name at the other broker.
    pub user: Option<String>,
    /// The password at the other broker.
    pub password: Option<Password>,
    /// The account of this server whose rules decide what the bridge may hear and publish here. Left out: the
    /// server itself, which may do everything.
    pub account: Option<String>,
    /// How often the line is tested while nothing is said.
    #[serde(with = "seconds")]
    pub keep_alive: Duration,
    /// What goes from here to there.
    pub out: Vec<Rule>,
    /// What comes from there to here. A priority means nothing here: the other broker decides.
    #[serde(rename = "in")]
    pub into: Vec<Rule>,
    /// The wait after a first failure; it doubles with each further one, less a random part.
    #[serde(with = "seconds")]
    pub retry_min: Duration,
    /// The longest wait between two attempts.
    #[serde(with = "seconds")]
    pub retry_max: Duration,
    /// Messages of QoS 1 and 2 that may be under way in each direction.
    pub inflight_max: u16,
    /// Bytes that a packet from the other broker may have.
    pub packet_bytes_max: usize,
    /// Bridges that a message may have crossed, this one not counted; with more it stops here. Ends loops over
    /// several brokers, of MQTT 5.
    pub hops_max: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: String::new(),
            protocol: Protocol::V5,
            tls: None,
            client_id: None,
            user: None,
            password: None,
            account: None,
            keep_alive: Duration::from_secs(60),
            out: Vec::new(),
            into: Vec::new(),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            inflight_max: 64,
            packet_bytes_max: 1024 * 1024 + 64 * 1024,
            hops_max: 8,
        }
    }
}

/// Which MQTT a bridge speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Protocol {
    /// MQTT 5.0
    #[default]
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1
    #[serde(rename = "3.1.1")]
    V4,
}

impl Protocol {
    /// The same for the codec.
    #[must_use]
    pub const fn version(self) -> Version {
        match self {
            Self::V5 => Version::V5,
            Self::V4 => Version::V4,
        }
    }
}

/// Topics that cross a bridge. A topic is the prefix of its side and then what `filter` matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which topics, without their prefix: `#` is all behind it.
    pub filter: String,
    /// What stands before it here, with the slash: `site/`.
    #[serde(default)]
    pub local_prefix: String,
    /// What stands before it there, with the slash.
    #[serde(default)]
    pub remote_prefix: String,
    /// The highest QoS: 0, 1 or 2.
    #[serde(default = "one")]
    pub qos: u8,
    /// What goes first when the line is back: a higher number before a lower one.
    #[serde(default)]
    pub priority: u8,
}

fn one() -> u8 {
    1
}

/// A password that does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// What is shown in place of a password.
const SHOWN: &str = "•••";

impl Password {
    /// The password itself. Never log it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl Serialize for Password {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SHOWN)
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl Config {
    /// Where the other broker is.
    #[must_use]
    pub fn target(&self) -> Target {
        Target { address: self.address.clone(), tls: self.tls.clone(), within: CONNECT_WITHIN }
    }

    /// How long to wait between attempts.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        Backoff { min: self.retry_min, max: self.retry_max }
    }

    /// Says what makes no sense in the section `bridge.NAME`.
    ///
    /// # Errors
    /// The setting and what it should be.
    pub fn check(&self, name: &str) -> Result<(), String> {
        let problem = self.check_name(name).or_else(|| self.check_values()).or_else(|| self.check_rules());
        match problem {
            Some(problem) => Err(format!("bridge.{name}: {problem}")),
            None => Ok(()),
        }
    }

    fn check_name(&self, name: &str) -> Option<String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let good = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(fits);
        (!good).then(|| format!("a name has 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' and '.'"))
    }

    fn check_values(&self) -> Option<String> {
        let seconds = 1..=u64::from(u16::MAX);
        if let Err(error) = self.target().check() {
            return Some(error.to_string());
        }
        Some(if !seconds.contains(&self.keep_alive.as_secs()) {
            "keep_alive is 1 to 65,535 seconds".to_owned()
        } else if self.retry_min < Duration::from_millis(100) || self.retry_max < self.retry_min {
            "retry_min is at least 100 ms, and retry_max not less".to_owned()
        } else if !(1..=INFLIGHT_LIMIT).contains(&self.inflight_max) {
            format!("inflight_max is 1 to {INFLIGHT_LIMIT}")
        } else if self.packet_bytes_max < 1024 {
            "packet_bytes_max is at least 1024".to_owned()
        } else if self.password.is_some() && self.user.is_none() {
            "a password needs a user".to_owned()
        } else {
            return None;
        })
    }

    fn check_rules(&self) -> Option<String> {
        if self.out.is_empty() && self.into.is_empty() {
            return Some("without a rule in 'out' or 'in' nothing crosses it".to_owned());
        }
        if self.out.len() > RULES_MAX || self.into.len() > RULES_MAX {
            return Some(format!("at most {RULES_MAX} rules are taken in each direction"));
        }
        let priorities: BTreeSet<u8> = self.out.iter().map(|rule| rule.priority).collect();
        if priorities.len() > PRIORITIES_MAX {
            return Some(format!("at most {PRIORITIES_MAX} different priorities are taken"));
        }
        let mut seen = BTreeSet::new();
        for (direction, rules) in [("out", &self.out), ("in", &self.into)] {
            for (i, rule) in rules.iter().enumerate() {
                let (near, far) = (rule.local(), rule.remote());
                if let Some(problem) = rule.problem() {
                    return Some(format!("{direction}[{i}]: {problem}"));
                }
                let hears = if direction == "out" { near } else { far };
                if !seen.insert((direction, hears)) {
                    return Some(format!("{direction}[{i}]: another rule hears the same topics"));
                }
            }
        }
        None
    }
}

impl Rule {
    /// The filter here.
    #[must_use]
    pub fn local(&self) -> String {
        format!("{}{}", self.local_prefix, self.filter)
    }

    /// The filter there.
    #[must_use]
    pub fn remote(&self) -> String {
        format!("{}{}", self.remote_prefix, self.filter)
    }

    fn problem(&self) -> Option<String> {
        if self.qos > 2 {
            return Some("qos is 0, 1 or 2".to_owned());
        }
        for prefix in [&self.local_prefix, &self.remote_prefix] {
            if prefix.contains(['+', '#']) {
                return Some(format!("'{prefix}' has a wildcard: a prefix has none"));
            }
        }
        for filter in [self.local(), self.remote()] {
            if filter.starts_with("$share/") || filter.starts_with("$queue/") {
                return Some(format!("'{filter}' is shared: a bridge hears all or nothing"));
            }
            if let Err(error) = Filter::new(&filter) {
                return Some(format!("'{filter}': {error}"));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(filter: &str) -> Rule {
        Rule {
            filter: filter.into(),
            local_prefix: String::new(),
            remote_prefix: String::new(),
            qos: 1,
            priority: 0,
        }
    }

    fn good() -> Config {
        Config { address: "broker.example:1883".into(), out: vec![rule("#")], ..Config::default() }
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_section() {
        assert_eq!(good().check("cloud"), Ok(()));
        let bad: Vec<(Config, &str)> = vec![
            (Config { address: "broker".into(), ..good() }, "no address"),
            (Config { out: vec![], ..good() }, "without a rule"),
            (Config { keep_alive: Duration::ZERO, ..good() }, "keep_alive"),
            (Config { retry_max: Duration::from_millis(1), ..good() }, "retry_min"),
            (Config { inflight_max: 0, ..good() }, "inflight_max"),
            (Config { packet_bytes_max: 1, ..good() }, "packet_bytes_max"),
            (Config { password: Some(Password("p".into())), ..good() }, "needs a user"),
            (Config { out: vec![rule("a/#/b")], ..good() }, "out[0]"),
            (Config { out: vec![rule("a"), rule("a")], ..good() }, "out[1]: another rule"),
            (Config { into: vec![Rule { qos: 3, ..rule("a") }], ..good() }, "in[0]: qos"),
            (Config { into: vec![Rule { local_prefix: "+/".into(), ..rule("a") }], ..good() }, "a prefix"),
            (Config { into: vec![rule("$share/g/a")], ..good() }, "shared"),
            (
                Config {
                    out: (0..9).map(|priority| Rule { priority, ..rule(&format!("t/{priority}")) }).collect(),
                    ..good()
                },
                "different priorities",
            ),
        ];
        for (config, says) in bad {
            let told = config.check("cloud").unwrap_err();
            assert!(told.starts_with("bridge.cloud: ") && told.contains(says), "{told}");
        }
        for name in ["", "a/b", "+", "é", &"n".repeat(65)] {
            assert!(good().check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_password_does_not_show() {
        let config: Config = serde_json::from_str(r#"{"user": "u", "password": "hunter2"}"#).unwrap();
        assert_eq!(config.password.as_ref().map(Password::reveal), Some("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(serde_json::to_string(&config).unwrap().contains(SHOWN));
    }

    #[test]
    fn a_section_is_read_as_it_is_written_in_the_book() {
        let text = r#"{"address": "[::1]:8883", "protocol": "3.1.1", "tls": {"server_name": "broker"},
            "in": [{"filter": "cmd/#", "local_prefix": "cloud/"}],
            "out": [{"filter": "alarm/#", "qos": 2, "priority": 9}], "retry_max": "5m"}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        assert_eq!(config.protocol.version(), Version::V4);
        assert_eq!(config.into[0].local(), "cloud/cmd/#");
        assert_eq!((config.out[0].qos, config.out[0].priority, config.into[0].qos), (2, 9, 1));
        assert_eq!(config.retry_max, Duration::from_secs(300));
        assert_eq!(config.check("edge"), Ok(()));
    }
}
