//! `yizhan bench`: load from the command line.

mod im;
mod mqtt;

use std::{
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, bail};

use crate::{
    client::{Reach, RunFile},
    config::units::parse_duration,
    load::{Common, Report, Target, durable, idle, spread},
};

/// Put load on a server and measure what it costs.
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    load: Load,
    /// How long is measured (`mqtt storm`: how long it is calm before).
    #[arg(long, global = true, default_value = "10s", value_parser = duration)]
    seconds: Duration,
    /// How long the load runs before that (idle: how long the server may settle).
    #[arg(long, global = true, default_value = "2s", value_parser = duration)]
    warmup: Duration,
    /// Threads of the load.
    #[arg(long, global = true, default_value_t = 1)]
    threads: usize,
    /// The server's process, whose processor time and memory are read. Found by itself for a server that
    /// runs with the data folder.
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Subcommand)]
enum Load {
    /// One publisher, many subscribers.
    Fanout {
        /// Subscribers.
        #[arg(long, default_value_t = 1000)]
        subscribers: usize,
        #[command(flatten)]
        messages: Messages,
    },
    /// Many pairs of one publisher and one subscriber.
    Pairs {
        /// Pairs.
        #[arg(long, default_value_t = 200)]
        pairs: usize,
        #[command(flatten)]
        messages: Messages,
    },
    /// Durable publish: receipts that come after the sync.
    Publish {
        /// Publishers.
        #[arg(long, default_value_t = 64)]
        publishers: usize,
        /// Messages of each publisher that wait for their receipt.
        #[arg(long, default_value_t = 32)]
        window: usize,
        /// Bytes of a body.
        #[arg(long, default_value_t = 1024)]
        size: usize,
        /// Topics that the messages are dealt to.
        #[arg(long, default_value_t = 1000)]
        topics: usize,
        /// What the topics begin with.
        #[arg(long, default_value = "disk/bench")]
        topic: String,
        /// What the receipt must promise: none, memory or disk.
        #[arg(long, default_value = "disk")]
        durable: String,
    },
    /// Connections that do nothing, with one subscription each.
    Idle {
        /// Connections.
        #[arg(long, default_value_t = 20_000)]
        connections: usize,
        /// What the topics begin with.
        #[arg(long, default_value = "bench/idle")]
        topic: String,
    },
    /// The same and more with any MQTT broker.
    Mqtt(mqtt::Mqtt),
    /// Instant messaging.
    Im(im::Im),
}

#[derive(Debug, clap::Args)]
struct Messages {
    /// Bytes of a body, at least 29.
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Messages that a publisher may be ahead of its slowest subscriber.
    #[arg(long, default_value_t = 512)]
    window: u64,
    /// Messages a second and publisher; without it as fast as it goes.
    #[arg(long)]
    rate: Option<f64>,
    /// What the topics begin with.
    #[arg(long, default_value = "bench")]
    topic: String,
}

fn duration(text: &str) -> Result<Duration, String> {
    let bare = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    bare.or_else(|| parse_duration(text)).ok_or_else(|| "write it as 10s, 500ms or 1m".to_owned())
}

/// Runs it.
///
/// # Errors
/// The server cannot be reached, or the load could not be finished. A loss is an error, too.
pub(crate) fn run(args: &Bench) -> anyhow::Result<()> {
    let descriptors = crate::limits::raise_descriptors();
    let report = measure(args, descriptors)?;
    if args.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.text());
    }
    if report.lost + report.repeated > 0 {
        bail!("{} messages were lost and {} came twice", report.lost, report.repeated);
    }
    Ok(())
}

fn common(args: &Bench) -> anyhow::Result<Common> {
    let url: http::Uri = args.reach.url().parse().context("this is no URL")?;
    if url.scheme_str() != Some("http") {
        bail!("the bench speaks plain http:// only: measure TLS from the outside");
    }
    let host = url.host().unwrap_or("localhost").trim_matches(['[', ']']);
    // Where a server listens on 127.0.0.1, `localhost` must not be tried as ::1 first.
    let addresses: Vec<SocketAddr> =
        (host, url.port_u16().unwrap_or(80)).to_socket_addrs().context("this host is not known")?.collect();
    let address = addresses.iter().find(|a| a.is_ipv4()).or_else(|| addresses.first());
    let address = *address.context("this host has no address")?;
    let found = RunFile::read(&args.reach.data).filter(|_| address.ip().is_loopback());
    let same_port =
        |run: &RunFile| run.doors.get("http").is_some_and(|a| a.iter().any(|a| a.port() == address.port()));
    Ok(Common {
        target: Target { address, path: "/v1/socket".into(), subprotocol: "yizhan.v1.json" },
        token: args.reach.token(),
        pid: args.pid.or_else(|| found.filter(same_port).map(|run| run.pid)),
        threads: args.threads.max(1),
        warmup: args.warmup,
        measure: args.seconds,
    })
}

fn measure(args: &Bench, descriptors: u64) -> anyhow::Result<Report> {
    let report = match &args.load {
        Load::Mqtt(load) => return mqtt::measure(args, load, descriptors),
        Load::Im(load) => return im::measure(args, load),
        Load::Fanout { subscribers, messages } => {
            let spread = spread_of("fanout", 1, *subscribers, messages)?;
            spread::measure(&common(args)?, &spread)
        }
        Load::Pairs { pairs, messages } => {
            spread::measure(&common(args)?, &spread_of("pairs", *pairs, 1, messages)?)
        }
        Load::Publish { publishers, window, size, topics, topic, durable } => durable::measure(
            &common(args)?,
            &durable::Durable {
                publishers: (*publishers).max(1),
                window: (*window).max(1),
                body_bytes: *size,
                topics: (*topics).max(1),
                topic: topic.clone(),
                durable: durable.clone(),
            },
        ),
        Load::Idle { connections, topic } => {
            idle::measure(&common(args)?, &idle::Idle { connections: *connections, topic: topic.clone() })
        }
    };
    report.map_err(anyhow::Error::msg)
}

fn spread_of(
    mode: &'static str,
    groups: usize,
    listeners: usize,
    messages: &Messages,
) -> anyhow::Result<spread::Spread> {
    if messages.rate.is_some_and(|rate| rate <= 0.0) {
        bail!("--rate is more than 0");
    }
    Ok(spread::Spread {
        mode,
        groups,
        listeners,
        body_bytes: messages.size,
        window: messages.window,
        rate: messages.rate,
        topic: messages.topic.clone(),
    })
}
