//! The section `mqtt` of the config.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};
use yizhan_hub::{link::Deal, topic::NAME_LEVELS_MAX};
use yizhan_net::{Listen, SiteError, setting::seconds};

use crate::{automatic::Automatic, rewrite::Rewrites};

/// Bytes that a packet must be allowed to have: a CONNECT with its will and its names has to fit.
pub(crate) const PACKET_BYTES_MIN: usize = 1024;
/// What MQTT's length can say at most (MQTT 5 §1.5.5), and the fixed header before it.
const PACKET_BYTES_LIMIT: usize = 268_435_455 + 5;
/// What every server must take as a client id (MQTT-3.1.3-5).
const CLIENT_ID_BYTES_MIN: usize = 23;
/// What MQTT's strings can have at most (MQTT 5 §1.5.4).
const CLIENT_ID_BYTES_LIMIT: usize = 65_535;
/// Rules for clients in the config: all are looked at for each CONNECT in the worst case.
const CLIENT_RULES_MAX: usize = 1_000;
/// Share groups that the config names.
const GROUPS_MAX: usize = 10_000;

/// MQTT 3.1.1 and 5.0, over TCP and TLS, and over WebSocket on the port of the section `http`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where MQTT is spoken in plain text. An empty `listen` closes it.
    pub tcp: Listen,
    /// Where MQTT is spoken over TLS, usually on port 8883. Needs `tls`.
    pub secure: Listen,
    /// Whether MQTT is spoken over WebSocket, at `/mqtt` on the port of the section `http`. There a packet is also
    /// held to `http.message_bytes_max`.
    pub websocket: bool,
    /// Bytes that a packet may have, its header included. Clients of MQTT 5 are told; who sends more is
    /// disconnected.
    pub packet_bytes_max: usize,
    /// Bytes that a client id may have.
    pub client_id_bytes_max: usize,
    /// Messages of QoS 1 and 2 that a client may have under way to the server. Clients of MQTT 5 are told; who
    /// sends more is disconnected.
    pub receive_max: u16,
    /// Messages of QoS 1 and 2 that may be under way to a client; a client of MQTT 5 can ask for less.
    pub inflight_max: u16,
    /// Topic aliases that a client may set towards the server, and that the server sets towards a client where
    /// the client takes them. Each holds a topic name in memory.
    pub topic_alias_max: u16,
    /// The longest keep alive, seconds. A client that asks for more, or for none, is held to this; one of
    /// MQTT 5 is told. 0 is no limit.
    pub keep_alive_max: u16,
    /// The keep alive that every client of MQTT 5 gets instead of its own, seconds.
    pub server_keep_alive: Option<u16>,
    /// How long a client may take to send CONNECT, and to end an exchange of AUTH packets.
    #[serde(with = "seconds")]
    pub connect_within: Duration,
    /// The longest that a session may outlive its connection, whatever the client asks for; sessions of MQTT
    /// 3.1.1 without clean session are kept as long. Never longer than `hub.keep_max`.
    #[serde(with = "seconds")]
    pub session_expiry_max: Duration,
    /// The highest QoS that clients may publish with: 0, 1 or 2. Clients of MQTT 5 are told.
    pub qos_max: u8,
    /// Whether messages may be retained.
    pub retain: bool,
    /// Whether filters may have wildcards.
    pub wildcards: bool,
    /// Whether subscriptions may have identifiers (MQTT 5 §3.8.2.1.2).
    pub subscription_ids: bool,
    /// Whether `$exclusive/TOPIC` subscribes so that nobody else can.
    pub exclusive: bool,
    /// Whether `$delayed/SECONDS/TOPIC` publishes later.
    pub delayed: bool,
    /// Whether messages of QoS 0 wait for a client that is away and has a session, as those of QoS 1 and 2 do.
    pub queue_qos0: bool,
    /// Levels that a topic or filter may have.
    pub levels_max: usize,
    /// What a client of MQTT 5 that asks for response information is told: where it may listen for answers.
    /// `%c` stands for the client id, `%u` for the user. Empty: it is told nothing.
    pub response_information: String,
    /// Another server, which clients of MQTT 5 are told to use when this one stops.
    pub server_reference: Option<String>,
    /// What of a verified client certificate names the user; `off` looks at name and password only.
    pub certificate_user: CertificateUser,
    /// How often what has changed is published below `$SYS/broker`; 0 never.
    #[serde(with = "seconds")]
    pub sys_interval: Duration,
    /// Shared subscriptions: `$share/GROUP/FILTER`.
    pub share: Share,
    /// What holds for some clients in other ways. The first that fits counts.
    #[serde(rename = "client")]
    pub clients: Vec<ClientRule>,
    /// Topics that become others. Of several rules whose source fits, the last one counts; where its expression
    /// does not fit, the topic stays as it is. What a client may do is decided by what the topic has become.
    pub rewrite: Vec<RewriteRule>,
    /// Subscriptions that every client with a new session has without asking.
    pub subscribe: Vec<Subscription>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tcp: Listen::at(SocketAddr::from(([127, 0, 0, 1], 1883))),
            secure: Listen::default(),
            websocket: true,
            packet_bytes_max: 1024 * 1024 + 64 * 1024,
            client_id_bytes_max: 256,
            receive_max: 256,
            inflight_max: 128,
            topic_alias_max: 32,
            keep_alive_max: 0,
            server_keep_alive: None,
            connect_within: Duration::from_secs(10),
            session_expiry_max: Duration::from_secs(7 * 86_400),
            qos_max: 2,
            retain: true,
            wildcards: true,
            subscription_ids: true,
            exclusive: true,
            delayed: true,
            queue_qos0: false,
            levels_max: NAME_LEVELS_MAX,
            response_information: String::new(),
            server_reference: None,
            certificate_user: CertificateUser::Off,
            sys_interval: Duration::from_secs(10),
            share: Share::default(),
            clients: Vec::new(),
            rewrite: Vec::new(),
            subscribe: Vec::new(),
        }
    }
}

/// What of a client certificate names the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateUser {
    /// nothing: a certificate only lets the client come in
    #[default]
    Off,
    /// the subject's common name
    Cn,
    /// the first DNS name, else the first e-mail address, among the subject's alternative names
    San,
}

/// Shared subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Share {
    /// Whether subscriptions may be shared.
    pub on: bool,
    /// Who of a group gets the next message.
    pub strategy: Strategy,
    /// Groups that deal in another way, by name: `groups = {meters = "sticky"}`.
    pub groups: BTreeMap<String, Strategy>,
    /// Messages that may be under way to one member, of QoS 0 too; who has so many is passed over.
    pub window: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self { on: true, strategy: Strategy::RoundRobin, groups: BTreeMap::new(), window: 64 }
    }
}

impl Share {
    /// How a group deals.
    #[must_use]
    pub fn deal(&self, group: &str) -> Deal {
        match self.groups.get(group).unwrap_or(&self.strategy) {
            Strategy::RoundRobin => Deal::RoundRobin,
            Strategy::LeastInflight => Deal::LeastInflight,
            Strategy::HashClient => Deal::HashSender,
            Strategy::Sticky => Deal::Sticky,
        }
    }
}

/// Who of a group gets the next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// one after the other
    #[default]
    RoundRobin,
    /// who has the fewest under way
    LeastInflight,
    /// messages of one client go to the same member, as long as the members stay the same
    HashClient,
    /// all go to the same member, until it leaves or has too many under way
    Sticky,
}

/// What holds for some clients in other ways. What is left out is as for all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientRule {
    /// Clients whose id is this; `*` stands for any number of characters. Left out: all.
    pub id: Option<String>,
    /// Clients whose user name in CONNECT, or whose certificate's user, is this; `*` as above. Left out: all.
    pub user: Option<String>,
    /// As `mqtt.packet_bytes_max`, from the packet after CONNECT on.
    pub packet_bytes_max: Option<usize>,
    /// As `mqtt.receive_max`.
    pub receive_max: Option<u16>,
    /// As `mqtt.inflight_max`.
    pub inflight_max: Option<u16>,
    /// As `mqtt.topic_alias_max`.
    pub topic_alias_max: Option<u16>,
    /// As `mqtt.keep_alive_max`.
    pub keep_alive_max: Option<u16>,
    /// As `mqtt.server_keep_alive`.
    pub server_keep_alive: Option<u16>,
    /// As `mqtt.session_expiry_max`.
    #[serde(with = "maybe_seconds")]
    pub session_expiry_max: Option<Duration>,
    /// As `mqtt.qos_max`.
    pub qos_max: Option<u8>,
    /// As `mqtt.queue_qos0`.
    pub queue_qos0: Option<bool>,
}

/// A topic that becomes another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewriteRule {
    /// In which packets.
    #[serde(default)]
    pub action: RewriteAction,
    /// Which topics, or which filters of subscriptions: a filter. `#` is all.
    pub source: String,
    /// A regular expression that must fit somewhere in the topic; write `^` and `$` for its ends.
    pub regex: String,
    /// What the topic becomes: `$1` to `$9` are what the expression's groups took, `%c` is the client id, `%u`
    /// the user.
    pub destination: String,
}

/// In which packets a topic is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewriteAction {
    /// PUBLISH from clients, and wills
    Publish,
    /// SUBSCRIBE and UNSUBSCRIBE
    Subscribe,
    /// all of these
    #[default]
    All,
}

/// A subscription that clients have without asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// The filter, as a client would send it. `%c` stands for the client id, `%u` for the user.
    pub filter: String,
    /// The highest QoS: 0, 1 or 2.
    #[serde(default)]
    pub qos: u8,
    /// Whether the client's own messages are left out.
    #[serde(default)]
    pub no_local: bool,
    /// Whether the retain flag stays as the publisher set it (for MQTT 5).
    #[serde(default)]
    pub retain_as_published: bool,
    /// Retained messages at the start: 0 and 1 send them (a session begins here, so both are alike), 2 does not.
    #[serde(default)]
    pub retain_handling: u8,
    /// Only clients whose id is this; `*` stands for any number of characters. Left out: all.
    #[serde(default)]
    pub client: Option<String>,
}

impl Config {
    /// Says what makes no sense.
    ///
    /// # Errors
    /// The setting and what it should be.
    pub fn check(&self) -> Result<(), SiteError> {
        let problem = self
            .check_numbers()
            .or_else(|| self.check_lists())
            .or_else(|| Rewrites::new(&self.rewrite).err())
            .or_else(|| Automatic::new(self).err());
        match problem {
            Some(reason) => Err(SiteError::Door { door: "mqtt", reason }),
            None => Ok(()),
        }
    }

    fn check_numbers(&self) -> Option<String> {
        let packet = PACKET_BYTES_MIN..=PACKET_BYTES_LIMIT;
        let client_id = CLIENT_ID_BYTES_MIN..=CLIENT_ID_BYTES_LIMIT;
        let of = |name: &str, range: &std::ops::RangeInclusive<usize>| {
            format!("{name} is {} to {}", range.start(), range.end())
        };
        Some(if !packet.contains(&self.packet_bytes_max) {
            of("packet_bytes_max", &packet)
        } else if !client_id.contains(&self.client_id_bytes_max) {
            of("client_id_bytes_max", &client_id)
        } else if self.receive_max == 0 || self.inflight_max == 0 {
            "receive_max and inflight_max are at least 1".to_owned()
        } else if self.connect_within < Duration::from_secs(1) {
            "connect_within is at least one second".to_owned()
        } else if self.qos_max > 2 {
            "qos_max is 0, 1 or 2".to_owned()
        } else if !(1..=NAME_LEVELS_MAX).contains(&self.levels_max) {
            format!("levels_max is 1 to {NAME_LEVELS_MAX}")
        } else if self.server_keep_alive == Some(0) {
            "server_keep_alive is at least 1; leave it out to let clients choose".to_owned()
        } else if !self.sys_interval.is_zero() && self.sys_interval < Duration::from_secs(1) {
            "sys_interval is at least one second, or 0".to_owned()
        } else if !self.secure.listen.is_empty() && self.secure.tls.is_none() {
            "secure.tls is missing: without a certificate there is no TLS".to_owned()
        } else {
            return None;
        })
    }

    fn check_lists(&self) -> Option<String> {
        if self.share.window == 0 {
            return Some("share.window is at least 1".to_owned());
        }
        if self.share.groups.len() > GROUPS_MAX {
            return Some(format!("share.groups: at most {GROUPS_MAX} are taken"));
        }
        if self.clients.len() > CLIENT_RULES_MAX {
            return Some(format!("client: at most {CLIENT_RULES_MAX} rules are taken"));
        }
        self.clients.iter().enumerate().find_map(|(i, rule)| {
            let reason = rule.problem()?;
            Some(format!("client[{i}].{reason}"))
        })
    }

    /// Whether `certificate_user` wants certificates that no listener asks for; `http_asks` says whether the
    /// port of the section `http` does, where MQTT over WebSocket comes in.
    #[must_use]
    pub fn misses_certificates(&self, http_asks: bool) -> bool {
        let asks = |at: &Listen| at.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let asked = asks(&self.tcp) || asks(&self.secure) || (self.websocket && http_asks);
        self.certificate_user != CertificateUser::Off && !asked
    }
}

impl ClientRule {
    fn problem(&self) -> Option<String> {
        let bytes = PACKET_BYTES_MIN..=PACKET_BYTES_LIMIT;
        if self.id.is_none() && self.user.is_none() {
            Some("id: give id or user; what holds for all stands in [mqtt]".to_owned())
        } else if self.packet_bytes_max.is_some_and(|max| !bytes.contains(&max)) {
            Some(format!("packet_bytes_max is {} to {}", bytes.start(), bytes.end()))
        } else if self.receive_max == Some(0) || self.inflight_max == Some(0) {
            Some("receive_max and inflight_max are at least 1".to_owned())
        } else if self.server_keep_alive == Some(0) {
            Some("server_keep_alive is at least 1".to_owned())
        } else if self.qos_max.is_some_and(|qos| qos > 2) {
            Some("qos_max is 0, 1 or 2".to_owned())
        } else {
            None
        }
    }
}

/// Durations as [`seconds`] has them, or none.
mod maybe_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use yizhan_net::setting::seconds;

    #[derive(Serialize, Deserialize)]
    struct Given(#[serde(with = "seconds")] Duration);

    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        duration.map(Given).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Given>::deserialize(from)?.map(|given| given.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config.check().map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn what_is_built_in_is_good() {
        assert_eq!(problem(|_| {}), "");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        type Change = fn(&mut Config);
        let cases: [(Change, &str); 11] = [
            (|c| c.packet_bytes_max = 10, "mqtt: packet_bytes_max is 1024 to"),
            (|c| c.client_id_bytes_max = 22, "mqtt: client_id_bytes_max is 23 to"),
            (|c| c.receive_max = 0, "receive_max"),
            (|c| c.qos_max = 3, "qos_max is 0, 1 or 2"),
            (|c| c.levels_max = 0, "levels_max"),
            (|c| c.levels_max = 1000, "levels_max"),
            (|c| c.server_keep_alive = Some(0), "server_keep_alive"),
            (|c| c.secure.listen = c.tcp.listen.clone(), "secure.tls is missing"),
            (|c| c.share.window = 0, "share.window"),
            (|c| c.clients.push(ClientRule::default()), "client[0].id"),
            (
                |c| {
                    c.clients.push(ClientRule {
                        id: Some("a".into()),
                        qos_max: Some(3),
                        ..Default::default()
                    })
                },
                "client[0].qos_max",
            ),
        ];
        for (change, expected) in cases {
            let problem = problem(change);
            assert!(problem.contains(expected), "{problem:?} should say {expected:?}");
        }
    }

    #[test]
    fn rules_with_mistakes_are_named_with_their_number() {
        let rule = |regex: &str, destination: &str| RewriteRule {
            action: RewriteAction::All,
            source: "#".into(),
            regex: regex.into(),
            destination: destination.into(),
        };
        let bad = problem(|c| c.rewrite = vec![rule("^a$", "b"), rule("(", "b")]);
        assert!(bad.starts_with("mqtt: rewrite[1].regex"), "{bad}");
        let bad = problem(|c| c.rewrite = vec![rule("^a$", "$2")]);
        assert!(bad.starts_with("mqtt: rewrite[0].destination"), "{bad}");
        let subscription = |filter: &str, qos| Subscription {
            filter: filter.into(),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: 0,
            client: None,
        };
        let bad = problem(|c| c.subscribe = vec![subscription("a/#/b", 0)]);
        assert!(bad.starts_with("mqtt: subscribe[0].filter"), "{bad}");
        let bad = problem(|c| c.subscribe = vec![subscription("a", 3)]);
        assert!(bad.starts_with("mqtt: subscribe[0].qos"), "{bad}");
    }

    #[test]
    fn a_group_may_deal_in_its_own_way() {
        let share: Share = toml::from_str("strategy = 'least_inflight'\ngroups = {one = 'sticky'}").unwrap();
        assert_eq!((share.deal("one"), share.deal("two")), (Deal::Sticky, Deal::LeastInflight));
    }
}
