//! `yizhan bench mqtt`: which load, and where to.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use anyhow::{Context, bail};

use super::Bench;
use crate::{
    client::RunFile,
    load::{
        Common, Report, Target,
        mqtt::{self as load, Load, Login, Traffic, Version},
    },
};

/// Descriptors that the load needs beside its clients' own.
const DESCRIPTORS_BESIDE: u64 = 300;

/// The same load on any MQTT broker, ours or another.
#[derive(Debug, clap::Args)]
pub(super) struct Mqtt {
    /// What is done.
    #[arg(long, value_enum)]
    case: Case,
    /// The broker.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Its port; TLS and WebSocket are not spoken here.
    #[arg(long, default_value_t = 1883)]
    port: u16,
    /// The version that clients speak.
    #[arg(long, value_enum, default_value = "3.1.1")]
    protocol: Protocol,
    /// A user name.
    #[arg(long)]
    user: Option<String>,
    /// Its password.
    #[arg(long, env = "YIZHAN_MQTT_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Publishers (pairs: pairs).
    #[arg(long)]
    publishers: Option<usize>,
    /// Topics, dealt to the publishers in turn.
    #[arg(long)]
    topics: Option<usize>,
    /// Subscribers of each topic.
    #[arg(long)]
    subscribers: Option<usize>,
    /// Clients (idle, storm).
    #[arg(long)]
    clients: Option<usize>,
    /// 0 or 1.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: Option<u8>,
    /// Messages that a topic may be ahead of its slowest subscriber; at QoS 1 also those of a publisher that are
    /// not acknowledged.
    #[arg(long)]
    window: Option<u64>,
    /// Messages a second and publisher; without it as fast as it goes (steady: 20).
    #[arg(long)]
    rate: Option<f64>,
    /// Bytes of a payload, at least 16.
    #[arg(long)]
    size: Option<usize>,
    /// What topics begin with (durable: `disk/bench`).
    #[arg(long)]
    topic: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Case {
    /// One publisher, 1,000 subscribers, QoS 0.
    Fanout,
    /// The same with QoS 1.
    FanoutQos1,
    /// 20 publishers, 100 topics with 10 subscribers each, QoS 0.
    Topics,
    /// 200 publishers with a subscriber each, QoS 1.
    Pairs,
    /// 20 messages a second to 1,000 subscribers: latency.
    Steady,
    /// 200 publishers, QoS 1, nobody listens: acknowledgements are timed.
    Durable,
    /// Clients with one subscription each that do nothing: memory.
    Idle,
    /// Clients that all come back at once.
    Storm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Protocol {
    #[value(name = "3.1.1")]
    V311,
    #[value(name = "5")]
    V5,
}

/// What a case is where nothing else is said.
struct Usual {
    name: &'static str,
    publishers: usize,
    topics: usize,
    subscribers: usize,
    qos: u8,
    window: u64,
    rate: Option<f64>,
    topic: &'static str,
}

impl Case {
    fn usual(self) -> Usual {
        let fanout = Usual {
            name: "fanout",
            publishers: 1,
            topics: 1,
            subscribers: 1000,
            qos: 0,
            window: 10,
            rate: None,
            topic: "bench",
        };
        match self {
            Self::Fanout => fanout,
            Self::FanoutQos1 => Usual { name: "fanout-qos1", qos: 1, ..fanout },
            Self::Topics => {
                Usual { name: "topics", publishers: 20, topics: 100, subscribers: 10, window: 4, ..fanout }
            }
            Self::Pairs => Usual {
                name: "pairs",
                publishers: 200,
                topics: 200,
                subscribers: 1,
                qos: 1,
                window: 10,
                ..fanout
            },
            Self::Steady => Usual { name: "steady", rate: Some(20.0), window: 512, ..fanout },
            Self::Durable => Usual {
                name: "durable",
                publishers: 200,
                topics: 200,
                subscribers: 0,
                qos: 1,
                window: 32,
                topic: "disk/bench",
                ..fanout
            },
            Self::Idle => Usual { name: "idle", ..fanout },
            Self::Storm => Usual { name: "storm", ..fanout },
        }
    }
}

/// Runs it.
///
/// # Errors
/// What was asked does not fit, the broker cannot be reached, or the load could not be finished.
pub(super) fn measure(bench: &Bench, args: &Mqtt, descriptors: u64) -> anyhow::Result<Report> {
    let addresses: Vec<SocketAddr> =
        (args.host.as_str(), args.port).to_socket_addrs().context("this host is not known")?.collect();
    let address = addresses.iter().find(|a| a.is_ipv4()).or_else(|| addresses.first());
    let address = *address.context("this host has no address")?;
    let version = match args.protocol {
        Protocol::V311 => Version::V311,
        Protocol::V5 => Version::V5,
    };
    let login = Login { version, user: args.user.clone(), password: args.password.clone(), keep_alive: 120 };
    let mqtt = load::Mqtt { broker: address, login: Arc::new(login) };
    let usual = args.case.usual();
    let (load, clients) = load_of(args, &usual)?;
    if clients as u64 + DESCRIPTORS_BESIDE > descriptors {
        bail!("{clients} clients need more than the {descriptors} open files that this process may have");
    }
    let found = RunFile::read(&bench.reach.data).filter(|_| address.ip().is_loopback());
    let same_port =
        |run: &RunFile| run.doors.get("mqtt").is_some_and(|a| a.iter().any(|a| a.port() == address.port()));
    let common = Common {
        target: Target { address, path: String::new(), subprotocol: "" },
        token: None,
        pid: bench.pid.or_else(|| found.filter(same_port).map(|run| run.pid)),
        threads: bench.threads.max(1),
        warmup: bench.warmup,
        measure: bench.seconds,
    };
    load::measure(&common, usual.name, &mqtt, &load).map_err(anyhow::Error::msg)
}

/// The load that was asked for, and how many clients it has. What does not belong to the case is refused.
fn load_of(args: &Mqtt, usual: &Usual) -> anyhow::Result<(Load, usize)> {
    let topic = args.topic.clone().unwrap_or_else(|| usual.topic.to_owned());
    if matches!(args.case, Case::Idle | Case::Storm) {
        let of_traffic = args.publishers.is_some()
            || args.topics.is_some()
            || args.subscribers.is_some()
            || args.qos.is_some()
            || args.window.is_some()
            || args.rate.is_some()
            || args.size.is_some();
        if of_traffic {
            bail!("idle and storm have --clients and --topic only");
        }
        let clients = args.clients.unwrap_or(10_000);
        let load = if args.case == Case::Idle {
            Load::Idle { clients, topic }
        } else {
            Load::Storm { clients, topic }
        };
        return Ok((load, clients));
    }
    if args.clients.is_some() {
        bail!("--clients belongs to idle and storm");
    }
    let publishers = args.publishers.unwrap_or(usual.publishers);
    // A pair has a topic of its own.
    let paired = usual.topics == usual.publishers;
    let topics = args.topics.unwrap_or(if paired { publishers } else { usual.topics });
    if publishers == 0 || topics < publishers {
        bail!("there is a publisher at least, and a topic for each");
    }
    let rate = args.rate.or(usual.rate);
    if rate.is_some_and(|rate| rate <= 0.0) {
        bail!("--rate is more than 0");
    }
    let traffic = Traffic {
        publishers,
        topics,
        subscribers: args.subscribers.unwrap_or(usual.subscribers),
        qos: args.qos.unwrap_or(usual.qos),
        payload_bytes: args.size.unwrap_or(128),
        window: args.window.unwrap_or(usual.window).max(1),
        rate,
        topic,
    };
    let clients = traffic.publishers + traffic.topics * traffic.subscribers;
    Ok((Load::Traffic(traffic), clients))
}
