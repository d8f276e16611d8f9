//! What can be configured: one struct, one section for each part. The doc comments are the manual.

#[cfg(any(feature = "mqtt", feature = "live"))]
use std::collections::BTreeMap;
use std::{path::PathBuf, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use yizhan_hub::{Filter, HubLimits, Keep, Lag, Limits, Space, space::Dedup, topic::BadName};

use super::units;

/// All that can be set. Sections that are left out have their defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Starting and stopping.
    pub(crate) server: Server,
    /// HTTP: the console, WebSocket, Server-Sent Events, long-poll, the API, metrics, on one port.
    pub(crate) http: yizhan_net::Http,
    /// What the network side takes on, and how long it waits.
    pub(crate) limits: yizhan_net::Limits,
    /// Our own protocol, `yizhan.v1`: raw TCP here; WebSocket, Server-Sent Events, long-poll and plain HTTP on
    /// the port of `[http]`.
    #[cfg(feature = "socket")]
    pub(crate) socket: yizhan_socket::Config,
    /// MQTT 3.1.1 and 5.0: TCP and TLS here; over WebSocket at `/mqtt` on the port of `[http]`.
    #[cfg(feature = "mqtt")]
    pub(crate) mqtt: yizhan_mqtt::Config,
    /// A bridge to another MQTT broker: this server is its client, stores what is to go there while the line is
    /// down, and forwards it in order.
    #[cfg(feature = "mqtt")]
    #[serde(rename = "bridge")]
    pub(crate) bridges: BTreeMap<String, yizhan_mqtt::bridge::Config>,
    /// The admin API, the console, and metrics, on the port of `[http]`.
    #[cfg(feature = "admin")]
    pub(crate) admin: yizhan_admin::Config,
    /// How records, sessions and accounts are written to the data folder.
    pub(crate) store: yizhan_disk::Config,
    /// What one client may cost the hub. What is over is refused, skipped or closed, as each says.
    pub(crate) hub: HubConfig,
    /// A family of topics that are kept and delivered alike. Of several spaces that match a topic the most
    /// specific one has it: a name is more specific than `+`, and `+` more than `#`.
    ///
    /// Spaces in a config file stand instead of the built-in ones.
    #[serde(rename = "space")]
    pub(crate) spaces: IndexMap<String, SpaceConfig>,
    /// Instant messaging: conversations under `im/#`. Their spaces are `im` (`im/c/#`, on disk), `im-live`,
    /// `im-people` and `im-rooms`; one of these names in the config stands instead.
    pub(crate) im: yizhan_im::Config,
    /// Instant messaging over HTTP: `POST /im/v1/…`, its document for machines, and webhooks, on the port of `[http]`.
    #[cfg(feature = "chat")]
    pub(crate) chat: yizhan_chat::Config,
    /// Live streaming: broadcasts `rtmp://HOST/live/NAME`, who may publish and watch them, their chats under
    /// `live/APP/NAME`. Their spaces are `broadcasts` (`live/+/+`), `broadcast-chat` and `broadcast-gifts`; one of these
    /// names in the config stands instead.
    #[cfg(feature = "live")]
    pub(crate) live: yizhan_media::Config,
    /// RTMP and RTMPS.
    #[cfg(feature = "live")]
    pub(crate) rtmp: yizhan_rtmp::Config,
    /// Broadcasts over HTTP: HLS, Low-Latency HLS, DASH, FLV over HTTP and WebSocket, on the port of `[http]`.
    #[cfg(feature = "live")]
    pub(crate) hls: yizhan_hls::Config,
    /// A relay from or to another server, by a name of your choice.
    #[cfg(feature = "live")]
    #[serde(rename = "relay")]
    pub(crate) relays: BTreeMap<String, yizhan_media::config::relay::Relay>,
    /// Who may come in, and who may do what.
    pub(crate) identity: yizhan_identity::Config,
    /// What is written about what happens.
    pub(crate) log: LogConfig,
    /// Traces for OpenTelemetry.
    pub(crate) trace: TraceConfig,
}

/// Starting and stopping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// The folder for data; `--data` sets it, too. Made where it is not there. One server at a time has it.
    pub(crate) data: PathBuf,
    /// How long clients may take to leave after SIGTERM; then they are cut off.
    #[serde(with = "units::duration")]
    pub(crate) drain_within: Duration,
    /// Threads that serve; 0 is one for each core.
    pub(crate) threads: usize,
    /// This server's name, another one on each server that messages can reach over bridges. Left out: the
    /// machine's.
    pub(crate) name: Option<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self { data: "yizhan-data".into(), drain_within: Duration::from_secs(20), threads: 0, name: None }
    }
}

/// What one client may cost the hub. What is over is refused, skipped or closed, as each says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HubConfig {
    /// Bytes that a message's body may have; more is refused.
    pub(crate) body_bytes_max: usize,
    /// Subscriptions of a session; more are refused.
    pub(crate) subscriptions_max: usize,
    /// Records that wait for one session; over it the space's `lag` decides.
    pub(crate) outbox_records_max: usize,
    /// Bytes of records that wait for one session; over it the space's `lag` decides.
    pub(crate) outbox_bytes_max: usize,
    /// How long a session may outlive its connection, whatever the client asks.
    #[serde(with = "units::duration")]
    pub(crate) keep_max: Duration,
    /// Keyed records that spaces which keep nothing hold as state, in all; more are refused.
    pub(crate) state_records_max: usize,
    /// Sessions, sleeping ones included; more are refused.
    pub(crate) sessions_max: usize,
    /// Messages that wait to be published later; more are refused.
    pub(crate) delayed_max: usize,
    /// How long a message may wait to be published; what is to wait longer is refused.
    #[serde(with = "units::duration")]
    pub(crate) delay_max: Duration,
}

impl Default for HubConfig {
    fn default() -> Self {
        let limits = HubLimits::default();
        Self {
            body_bytes_max: limits.body_bytes_max,
            subscriptions_max: limits.subscriptions_max,
            outbox_records_max: limits.outbox_records_max,
            outbox_bytes_max: limits.outbox_bytes_max,
            keep_max: limits.keep_max,
            state_records_max: limits.state_records_max,
            sessions_max: limits.sessions_max,
            delayed_max: limits.delayed_max,
            delay_max: limits.delay_max,
        }
    }
}

impl HubConfig {
    /// As the hub takes it.
    pub(crate) fn limits(&self) -> HubLimits {
        HubLimits {
            body_bytes_max: self.body_bytes_max,
            subscriptions_max: self.subscriptions_max,
            outbox_records_max: self.outbox_records_max,
            outbox_bytes_max: self.outbox_bytes_max,
            keep_max: self.keep_max,
            state_records_max: self.state_records_max,
            sessions_max: self.sessions_max,
            delayed_max: self.delayed_max,
            delay_max: self.delay_max,
        }
    }
}

/// A family of topics that are kept and delivered alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SpaceConfig {
    /// Which topics: a topic or filter. Without it the space has `NAME/#`.
    pub(crate) topics: Option<String>,
    /// What is kept of them, and how safely.
    pub(crate) keep: KeepConfig,
    /// What becomes of a listener that reads too slowly.
    pub(crate) lag: LagConfig,
    /// Records that are kept; the oldest go first.
    pub(crate) records_max: Option<u64>,
    /// Bytes that are kept; the oldest go first.
    pub(crate) bytes_max: Option<u64>,
    /// How old a record may become.
    #[serde(with = "units::maybe_duration")]
    pub(crate) age_max: Option<Duration>,
    /// How long a repeated message id (`mid`) is recognised.
    #[serde(with = "units::duration")]
    pub(crate) dedup_age_max: Duration,
    /// How many message ids are remembered; the oldest go first.
    pub(crate) dedup_ids_max: usize,
    /// How many writers share the space's topics. One writes some 100,000 messages a second; more use more
    /// cores. It stays as it was when the space was first opened.
    pub(crate) lanes: u16,
}

impl Default for SpaceConfig {
    fn default() -> Self {
        let dedup = Dedup::default();
        Self {
            topics: None,
            keep: KeepConfig::Nothing,
            lag: LagConfig::CatchUp,
            records_max: None,
            bytes_max: None,
            age_max: None,
            dedup_age_max: dedup.age_max,
            dedup_ids_max: dedup.ids_max,
            lanes: 1,
        }
    }
}

/// What a space keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeepConfig {
    /// only the newest record of each key, in memory
    Nothing,
    /// the newest records, in memory: gone with the process
    Memory,
    /// the newest records, on disk: a receipt says that the message was synced
    Disk,
}

/// What becomes of a listener that reads too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LagConfig {
    /// it goes on from the journal as slowly as it must (where nothing is kept: as `skip`)
    CatchUp,
    /// it loses what did not fit, and is told how many
    Skip,
    /// its connection is closed
    Close,
    /// for each topic and key only the newest record waits
    Latest,
}

impl SpaceConfig {
    /// How much is kept.
    fn limits(&self) -> Limits {
        Limits {
            records_max: self.records_max.unwrap_or(u64::MAX),
            bytes_max: self.bytes_max.unwrap_or(u64::MAX),
            age_max: self.age_max.unwrap_or(Duration::MAX),
        }
    }

    /// As the hub takes it, under its name.
    pub(crate) fn space(&self, name: &str) -> Result<Space, BadName> {
        let topics = match &self.topics {
            Some(topics) => Filter::new(topics)?,
            None => Filter::new(&format!("{name}/#"))?,
        };
        let limits = self.limits();
        Ok(Space {
            name: name.to_owned(),
            topics,
            keep: match self.keep {
                KeepConfig::Nothing => Keep::Nothing,
                KeepConfig::Memory => Keep::Memory(limits),
                KeepConfig::Disk => Keep::Disk(limits),
            },
            lag: match self.lag {
                LagConfig::CatchUp => Lag::CatchUp,
                LagConfig::Skip => Lag::Skip,
                LagConfig::Close => Lag::Close,
                LagConfig::Latest => Lag::Latest,
            },
            dedup: Dedup { age_max: self.dedup_age_max, ids_max: self.dedup_ids_max },
            lanes: self.lanes.max(1),
        })
    }
}

/// What is written about what happens, to the error stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter by part: `"info,yizhan_net=debug"`.
    pub(crate) level: String,
    /// How it looks.
    pub(crate) format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Auto }
    }
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// for people on a terminal, JSON elsewhere
    Auto,
    /// for people
    Pretty,
    /// one JSON object a line
    Json,
}

/// Traces for OpenTelemetry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TraceConfig {
    /// A collector's address for OTLP over HTTP, such as `"http://127.0.0.1:4318"`. Without it no traces
    /// are made.
    pub(crate) otlp: Option<String>,
    /// Spans of which level are sent: as `log.level`. Requests and calls are spans of `debug`.
    pub(crate) level: String,
    /// Which part of all traces is sent: 0 to 1.
    pub(crate) sample: f64,
    /// The name under which the collector shows this server.
    pub(crate) service: String,
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self { otlp: None, level: "debug".into(), sample: 1.0, service: "yizhan".into() }
    }
}

/// What a space of the built-in ones keeps on disk at most: much for a chat, little for a disk of today.
const ROOMS_BYTES_MAX: u64 = 10 << 30;

fn space(topics: &str, keep: KeepConfig, lag: LagConfig) -> SpaceConfig {
    SpaceConfig { topics: Some(topics.to_owned()), keep, lag, ..SpaceConfig::default() }
}

impl Config {
    /// What holds where nobody says otherwise: loopback, and spaces for a chat.
    pub(crate) fn built_in() -> Self {
        let disk = |topics: &str| SpaceConfig {
            bytes_max: Some(ROOMS_BYTES_MAX),
            ..space(topics, KeepConfig::Disk, LagConfig::CatchUp)
        };
        Self {
            spaces: IndexMap::from([
                ("live".to_owned(), space("#", KeepConfig::Nothing, LagConfig::Skip)),
                ("rooms".to_owned(), disk("rooms/#")),
                ("disk".to_owned(), disk("disk/#")),
            ]),
            ..Self::default()
        }
    }

    /// What `--dev` begins with: everybody may do everything outside `$` topics, and all doors are open on
    /// their usual ports.
    pub(crate) fn dev() -> Self {
        Self {
            spaces: IndexMap::from([
                ("all".to_owned(), space("#", KeepConfig::Nothing, LagConfig::Skip)),
                ("disk".to_owned(), space("disk/#", KeepConfig::Disk, LagConfig::CatchUp)),
            ]),
            identity: yizhan_identity::Config::dev(),
            #[cfg(feature = "live")]
            live: yizhan_media::Config::dev(),
            ..Self::default()
        }
    }

    /// Sections that differ and take effect only after a restart.
    pub(crate) fn need_restart(&self, new: &Self) -> Vec<&'static str> {
        let mut changed = Vec::new();
        let mut compare = |name, differs: bool| {
            if differs {
                changed.push(name);
            }
        };
        compare("server.data", self.server.data != new.server.data);
        compare("server.threads", self.server.threads != new.server.threads);
        compare("server.name", self.server.name != new.server.name);
        compare("http", self.http != new.http);
        #[cfg(feature = "socket")]
        compare("socket", self.socket != new.socket);
        #[cfg(feature = "mqtt")]
        compare("mqtt", self.mqtt != new.mqtt);
        #[cfg(feature = "mqtt")]
        compare("bridge", self.bridges != new.bridges);
        #[cfg(feature = "live")]
        self.compare_live(new, &mut compare);
        #[cfg(feature = "admin")]
        compare("admin", self.admin != new.admin);
        compare("store", self.store != new.store);
        compare("hub", self.hub != new.hub);
        compare("space", self.with_limits_of(new) != new.spaces);
        compare("log.format", self.log.format != new.log.format);
        compare("trace", self.trace != new.trace);
        changed
    }

    /// Sections of live streaming that take effect only after a restart.
    #[cfg(feature = "live")]
    fn compare_live(&self, new: &Self, compare: &mut impl FnMut(&'static str, bool)) {
        compare("rtmp", self.rtmp != new.rtmp);
        compare("hls", self.hls != new.hls);
        compare("relay", self.relays != new.relays);
        compare("live.hooks", self.live.hooks != new.live.hooks);
        let place = |config: &Self| (config.live.record.folder.clone(), config.live.record.reserve_bytes);
        compare("live.record", place(self) != place(new));
        let tool = |config: &Self| {
            let ladder = &config.live.ladder;
            (ladder.ffmpeg.clone(), ladder.children_max, ladder.nice)
        };
        // Looked for at the start only, where something needs it.
        let needs = |config: &Self| !config.live.ladder.apps.is_empty() || config.live.snapshots.is_on();
        compare("live.ladder", tool(self) != tool(new) || (needs(new) && !needs(self)));
    }

    /// The spaces as they are, with the limits that the new config has for those on disk.
    fn with_limits_of(&self, new: &Self) -> IndexMap<String, SpaceConfig> {
        let mut spaces = self.spaces.clone();
        for (name, space) in &mut spaces {
            if let Some(new) = new.spaces.get(name).filter(|_| space.keep == KeepConfig::Disk) {
                space.records_max = new.records_max;
                space.bytes_max = new.bytes_max;
                space.age_max = new.age_max;
            }
        }
        spaces
    }

    /// Spaces on disk that keep more or less after a reload.
    pub(crate) fn new_limits(&self, new: &Self) -> Vec<(String, Limits)> {
        let differing =
            self.with_limits_of(new).into_iter().filter(|(name, space)| self.spaces[name] != *space);
        differing.map(|(name, space)| (name, space.limits())).collect()
    }

    /// What is in force after a reload: of the new config the parts that need no restart.
    pub(crate) fn reloaded(&self, new: Self) -> Self {
        Self {
            server: Server { drain_within: new.server.drain_within, ..self.server.clone() },
            limits: new.limits.clone(),
            identity: new.identity.clone(),
            im: new.im.clone(),
            #[cfg(feature = "live")]
            live: new.live.clone(),
            spaces: self.with_limits_of(&new),
            log: LogConfig { format: self.log.format, level: new.log.level },
            ..self.clone()
        }
    }

    /// Doors that others than this machine can reach: `--dev` has none.
    pub(crate) fn not_loopback(&self) -> Vec<String> {
        let doors = [
            ("http.listen", &self.http.listen),
            #[cfg(feature = "socket")]
            ("socket.tcp.listen", &self.socket.tcp.listen),
            #[cfg(feature = "mqtt")]
            ("mqtt.tcp.listen", &self.mqtt.tcp.listen),
            #[cfg(feature = "mqtt")]
            ("mqtt.secure.listen", &self.mqtt.secure.listen),
            #[cfg(feature = "live")]
            ("rtmp.tcp.listen", &self.rtmp.tcp.listen),
            #[cfg(feature = "live")]
            ("rtmp.secure.listen", &self.rtmp.secure.listen),
        ];
        let open = doors.into_iter().filter(|(_, listen)| listen.iter().any(|at| !at.ip().is_loopback()));
        open.map(|(key, _)| format!("{key}: --dev lets everybody in, so it listens on loopback only"))
            .collect()
    }

    /// What types alone do not say: the first problems, each as `key: what`.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, config) in &self.spaces {
            let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            if name.is_empty() || name.len() > 64 || !name.bytes().all(valid) {
                problems.push(format!("space.{name}: a space's name is 1 to 64 letters, digits, '-' or '_'"));
            }
            if let Err(error) = config.space(name) {
                problems.push(format!("space.{name}.topics: {error}"));
            }
            if config.lanes == 0 || config.lanes > 64 {
                problems.push(format!("space.{name}.lanes: 1 to 64"));
            }
        }
        if self.spaces.get("im").is_some_and(|space| space.keep == KeepConfig::Nothing) {
            problems
                .push("space.im.keep: conversations have a history: 'disk', or 'memory' for a trial".into());
        }
        if let Err(error) = yizhan_probe::log::check_level(&self.log.level) {
            problems.push(format!("log.level: {error}"));
        }
        if !(0.0..=1.0).contains(&self.trace.sample) {
            problems.push("trace.sample: 0 to 1".into());
        }
        if let Some(url) = &self.trace.otlp
            && let Err(error) = yizhan_probe::Export::new(url, "", &self.trace.level, 0.0)
        {
            problems.push(format!("trace.otlp: {error}"));
        }
        if let Err(error) = self.identity.check() {
            problems.push(error.to_string());
        }
        #[cfg(feature = "socket")]
        if let Err(error) = self.socket.check() {
            problems.push(error.to_string());
        }
        #[cfg(feature = "mqtt")]
        self.check_mqtt(&mut problems);
        #[cfg(feature = "live")]
        self.check_live(&mut problems);
        problems
    }

    #[cfg(feature = "live")]
    fn check_live(&self, problems: &mut Vec<String>) {
        problems.extend(self.live.check().err());
        problems.extend(self.rtmp.check().err().map(|error| error.to_string()));
        problems.extend(self.hls.check().err().map(|error| error.to_string()));
        for (name, relay) in &self.relays {
            problems.extend(relay.check(name).err().map(|error| format!("relay.{name}: {error}")));
        }
    }

    #[cfg(feature = "mqtt")]
    fn check_mqtt(&self, problems: &mut Vec<String>) {
        if let Err(error) = self.mqtt.check() {
            problems.push(error.to_string());
        }
        problems.extend(self.bridges.iter().filter_map(|(name, bridge)| bridge.check(name).err()));
        if self.mqtt.misses_certificates(self.http.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())) {
            let listeners = "mqtt.tcp.tls, mqtt.secure.tls or http.tls";
            problems.push(format!(
                "mqtt.certificate_user: no client is asked for one: set client_ca in {listeners}"
            ));
        }
    }
}
