//! What every connection of the door goes by, and what holds for one client.

use std::{sync::Arc, time::Duration};

use yizhan_net::SiteError;

use crate::{
    automatic::Automatic,
    config::{ClientRule, Config, PACKET_BYTES_MIN},
    meters::Meters,
    names::{BadName, Destination, Names, Template, Wish},
    rewrite::Rewrites,
    trace::Traces,
};

/// What every connection of the door goes by.
#[derive(Debug)]
pub struct Terms {
    /// The section of the config.
    pub config: Config,
    /// The server's name and version: `yizhan/0.1.0`.
    pub server: String,
    /// The longest that the hub keeps a session, whatever the config of the door says.
    pub keep_max: Duration,
    /// How names of MQTT become names of the hub.
    pub names: Names,
    /// Topics that become others.
    pub rewrites: Rewrites,
    /// Subscriptions that clients have without asking.
    pub automatic: Automatic,
    /// What is counted.
    pub meters: Arc<Meters>,
    /// Which clients are followed.
    pub traces: Arc<Traces>,
    response_information: Option<Template>,
    everybody: Arc<Allowance>,
    some: Vec<(Pattern, Pattern, Arc<Allowance>)>,
    /// The same for clients that come by WebSocket.
    messages: Option<Arc<Self>>,
}

/// What holds for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// See [`Config::packet_bytes_max`].
    pub packet_bytes_max: usize,
    /// See [`Config::receive_max`].
    pub receive_max: u16,
    /// See [`Config::inflight_max`].
    pub inflight_max: u16,
    /// See [`Config::topic_alias_max`].
    pub topic_alias_max: u16,
    /// See [`Config::keep_alive_max`].
    pub keep_alive_max: u16,
    /// See [`Config::server_keep_alive`].
    pub server_keep_alive: Option<u16>,
    /// See [`Config::session_expiry_max`]; the hub's own limit is counted in.
    pub session_expiry_max: Duration,
    /// See [`Config::qos_max`].
    pub qos_max: u8,
    /// See [`Config::queue_qos0`].
    pub queue_qos0: bool,
}

impl Terms {
    /// What follows from the config.
    ///
    /// # Errors
    /// Something in it makes no sense; see [`Config::check`].
    pub fn new(
        config: Config,
        server: String,
        keep_max: Duration,
        meters: Arc<Meters>,
        traces: Arc<Traces>,
    ) -> Result<Self, SiteError> {
        config.check()?;
        let bad = |reason| SiteError::Door { door: "mqtt", reason };
        let rewrites = Rewrites::new(&config.rewrite).map_err(bad)?;
        let automatic = Automatic::new(&config).map_err(bad)?;
        let everybody = Allowance {
            packet_bytes_max: config.packet_bytes_max,
            receive_max: config.receive_max,
            inflight_max: config.inflight_max,
            topic_alias_max: config.topic_alias_max,
            keep_alive_max: config.keep_alive_max,
            server_keep_alive: config.server_keep_alive,
            session_expiry_max: config.session_expiry_max.min(keep_max),
            qos_max: config.qos_max,
            queue_qos0: config.queue_qos0,
        };
        let some = config.clients.iter().map(|rule| {
            let pattern = |text: &Option<String>| Pattern::new(text.as_deref().unwrap_or("*"));
            (pattern(&rule.id), pattern(&rule.user), Arc::new(everybody.with(rule, keep_max)))
        });
        Ok(Self {
            some: some.collect(),
            everybody: Arc::new(everybody),
            names: Names::of(&config),
            response_information: Some(Template::new(&config.response_information)).filter(|t| !t.is_empty()),
            config,
            server,
            keep_max,
            rewrites,
            automatic,
            meters,
            traces,
            messages: None,
        })
    }

    /// The same, and what holds for clients over WebSocket, where no message is longer than `bytes_max`: a packet
    /// that fills one is the longest they may send.
    ///
    /// # Errors
    /// See [`Terms::new`].
    pub fn with_messages(mut self, bytes_max: usize) -> Result<Self, SiteError> {
        let bytes_max = bytes_max.max(PACKET_BYTES_MIN);
        let mut config = self.config.clone();
        config.packet_bytes_max = config.packet_bytes_max.min(bytes_max);
        for max in config.clients.iter_mut().filter_map(|rule| rule.packet_bytes_max.as_mut()) {
            *max = (*max).min(bytes_max);
        }
        let (meters, traces) = (self.meters.clone(), self.traces.clone());
        self.messages =
            Some(Arc::new(Self::new(config, self.server.clone(), self.keep_max, meters, traces)?));
        Ok(self)
    }

    /// What holds for clients over WebSocket.
    #[must_use]
    pub fn messages(self: &Arc<Self>) -> &Arc<Self> {
        self.messages.as_ref().unwrap_or(self)
    }

    /// What holds for a client, by its id and the user name that it gives. Called once for each CONNECT.
    #[must_use]
    pub fn allowance(&self, client: &str, user: Option<&str>) -> &Arc<Allowance> {
        let fits = |(id, name, _): &&(Pattern, Pattern, Arc<Allowance>)| {
            id.fits(client) && name.fits(user.unwrap_or(""))
        };
        self.some.iter().find(fits).map_or(&self.everybody, |(_, _, allowance)| allowance)
    }
}

impl Terms {
    /// Where a PUBLISH or a will goes: the topic rewritten, its prefix taken off.
    ///
    /// # Errors
    /// See [`BadName`].
    pub fn destination(&self, topic: &str, client: &str, user: &str) -> Result<Destination, BadName> {
        self.names.destination(&self.rewrites.publish(topic, client, user))
    }

    /// What a filter of SUBSCRIBE or UNSUBSCRIBE means: its prefix taken off, the rest rewritten.
    ///
    /// # Errors
    /// See [`BadName`].
    pub fn wish(&self, filter: &str, client: &str, user: &str) -> Result<Wish, BadName> {
        self.names.wish(filter, |plain| self.rewrites.subscribe(plain, client, user))
    }

    /// What a client that asks for response information is told (MQTT 5 §3.2.2.3.15). `None` where the operator
    /// set none, or the client's id or user would make it mean something else.
    #[must_use]
    pub fn response_information(&self, client: &str, user: &str) -> Option<String> {
        self.response_information.as_ref()?.fill(client, user)
    }
}

impl Allowance {
    fn with(&self, rule: &ClientRule, keep_max: Duration) -> Self {
        let expiry = rule.session_expiry_max.map(|longest| longest.min(keep_max));
        Self {
            packet_bytes_max: rule.packet_bytes_max.unwrap_or(self.packet_bytes_max),
            receive_max: rule.receive_max.unwrap_or(self.receive_max),
            inflight_max: rule.inflight_max.unwrap_or(self.inflight_max),
            topic_alias_max: rule.topic_alias_max.unwrap_or(self.topic_alias_max),
            keep_alive_max: rule.keep_alive_max.unwrap_or(self.keep_alive_max),
            server_keep_alive: rule.server_keep_alive.or(self.server_keep_alive),
            session_expiry_max: expiry.unwrap_or(self.session_expiry_max),
            qos_max: rule.qos_max.unwrap_or(self.qos_max),
            queue_qos0: rule.queue_qos0.unwrap_or(self.queue_qos0),
        }
    }

    /// The keep alive that holds for a client of MQTT 5 that asks for `wanted` seconds (0: none), and whether
    /// it has to be told (MQTT 5 §3.2.2.3.14).
    #[must_use]
    pub fn keep_alive(&self, wanted: u16) -> (u16, bool) {
        let given = self.server_keep_alive.unwrap_or_else(|| self.shorter(wanted));
        (given, given != wanted)
    }

    /// The keep alive that holds for a client of MQTT 3.1.1, which cannot be told.
    #[must_use]
    pub fn shorter(&self, wanted: u16) -> u16 {
        match (wanted, self.keep_alive_max) {
            (wanted, 0) => wanted,
            (0, max) => max,
            (wanted, max) => wanted.min(max),
        }
    }
}

/// A text in which `*` stands for any number of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// A pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether all of `text` fits. Takes at most the product of both lengths.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else { return *self.0 == *text };
        let Some(mut left) = text.strip_prefix(head) else { return false };
        let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        for part in middle.split('*').filter(|part| !part.is_empty()) {
            // The first place is as good as any later one: it leaves the most for the rest.
            let Some(at) = left.find(part) else { return false };
            left = &left[at + part.len()..];
        }
        left.ends_with(tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(config: Config) -> Terms {
        let keep_max = Duration::from_secs(3600);
        Terms::new(config, "yizhan/0".into(), keep_max, Arc::default(), Arc::default()).unwrap()
    }

    #[test]
    fn a_star_stands_for_any_number_of_characters() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("sensor-*", "sensor-7", true),
            ("sensor-*", "sensor", false),
            ("*-7", "sensor-7", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("a*a", "a", false),
            ("**", "x", true),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("é*", "é!", true),
        ] {
            assert_eq!(Pattern::new(pattern).fits(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let rule = |id: Option<&str>, user: Option<&str>, receive_max| ClientRule {
            id: id.map(str::to_owned),
            user: user.map(str::to_owned),
            receive_max: Some(receive_max),
            ..ClientRule::default()
        };
        let clients = vec![rule(Some("pump-*"), None, 1), rule(None, Some("ann"), 2)];
        let terms = terms(Config { clients, ..Config::default() });
        assert_eq!(terms.allowance("pump-1", Some("ann")).receive_max, 1);
        assert_eq!(terms.allowance("x", Some("ann")).receive_max, 2);
        assert_eq!(terms.allowance("x", None).receive_max, Config::default().receive_max);
    }

    #[test]
    fn a_session_is_never_kept_longer_than_the_hub_keeps_it() {
        let rule = |seconds| ClientRule {
            id: Some(format!("s{seconds}")),
            session_expiry_max: Some(Duration::from_secs(seconds)),
            ..ClientRule::default()
        };
        let terms = terms(Config { clients: vec![rule(60), rule(90_000)], ..Config::default() });
        let kept = |id| terms.allowance(id, None).session_expiry_max.as_secs();
        assert_eq!((kept("s60"), kept("s90000"), kept("other")), (60, 3600, 3600));
    }

    #[test]
    fn over_websocket_a_packet_fits_into_a_message() {
        let clients = vec![
            ClientRule { id: Some("large".into()), packet_bytes_max: Some(5 << 20), ..ClientRule::default() },
            ClientRule { id: Some("small".into()), packet_bytes_max: Some(2000), ..ClientRule::default() },
        ];
        let terms = Arc::new(terms(Config { clients, ..Config::default() }).with_messages(1 << 20).unwrap());
        let max = |terms: &Terms, id| terms.allowance(id, None).packet_bytes_max;
        assert_eq!([max(&terms, "large"), max(terms.messages(), "large")], [5 << 20, 1 << 20]);
        assert_eq!([max(&terms, "small"), max(terms.messages(), "small")], [2000, 2000]);
        assert_eq!(max(terms.messages(), "other"), 1 << 20);
    }

    #[test]
    fn the_keep_alive_is_the_servers_or_the_shorter_one() {
        let allowance = |keep_alive_max, server_keep_alive| {
            let config = Config { keep_alive_max, server_keep_alive, ..Config::default() };
            Allowance::clone(terms(config).allowance("", None))
        };
        assert_eq!(allowance(0, None).keep_alive(0), (0, false));
        assert_eq!(allowance(60, None).keep_alive(0), (60, true));
        assert_eq!(allowance(60, None).keep_alive(30), (30, false));
        assert_eq!(allowance(60, Some(10)).keep_alive(30), (10, true));
        assert_eq!(allowance(60, Some(10)).shorter(90), 60);
    }
}
