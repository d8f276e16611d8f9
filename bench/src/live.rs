//! Live streaming beside nginx-rtmp and node-media-server: one publisher, many viewers, the same load on each in turn.
//!
//! The source is 720p at 2 Mbit/s, H.264 and AAC with a key frame every two seconds, encoded once. Each picture has a
//! number in it, so that every viewer can tell what is missing and how old what it got is, behind whatever protocol.
//! Publisher and viewers are this process, with one clock; viewers are one thread that costs as little as it can.
//! Server CPU is user and system time from `/proc`, of all its workers.

mod crowd;
mod delay;
mod first;
mod http;
mod load;
mod mark;
mod play;
mod playlist;
mod publisher;
mod requests;
mod rtmp;
mod servers;
mod source;
mod table;

use std::sync::Arc;

use anyhow::{Result, bail};

use crowd::Target;
use publisher::Publisher;
use requests::{Mix, Snapshot};
use servers::{NAME, Server, Who};
use source::Source;
use table::{Column, Row};

const ROUNDS: usize = 3;
/// Viewers of one broadcast.
const VIEWERS: usize = 1000;
const VIEWERS_QUICK: usize = 200;
/// Viewers that node-media-server gets: with more it does not keep up, and what waits in it is not what is measured.
const VIEWERS_NODE: usize = 200;

/// What measurements stand on.
struct Ground {
    quick: bool,
    source: Arc<Source>,
    /// What our server answers, for nginx to serve as files.
    snapshot: Snapshot,
}

/// How viewers watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Rtmp,
    Flv,
    /// Low-Latency HLS: parts, and playlists that wait until there is a new one.
    LowLatency,
    /// HLS of MPEG-TS segments.
    Segments,
    /// HLS as many viewers ask for it together.
    Asked(Mix),
}

/// A row of a table: a server, and how it is watched.
struct Party {
    label: &'static str,
    who: Who,
    how: How,
}

/// A table.
struct Case {
    name: &'static str,
    title: &'static str,
    columns: &'static [Column],
    /// Ours first.
    parties: &'static [Party],
    measure: fn(&Ground, &Party) -> Result<Vec<f64>>,
    wanted: &'static str,
}

const fn party(label: &'static str, who: Who, how: How) -> Party {
    Party { label, who, how }
}

const fn asked(label: &'static str, who: Who, mix: Mix) -> Party {
    Party { label, who, how: How::Asked(mix) }
}

const OURS_FLV: Party = party("yizhan, HTTP-FLV", Who::Yizhan, How::Flv);
const OURS_RTMP: Party = party("yizhan, RTMP", Who::Yizhan, How::Rtmp);
const NGINX_RTMP: Party = party("nginx-rtmp, RTMP", Who::Nginx, How::Rtmp);
const NODE_FLV: Party = party("node-media-server, HTTP-FLV", Who::Node, How::Flv);

const OURS_PARTS: Party = party("yizhan, LL-HLS", Who::Yizhan, How::LowLatency);
const OURS_SEGMENTS: Party = party("yizhan, HLS", Who::Yizhan, How::Segments);
const NGINX_SEGMENTS: Party = party("nginx-rtmp, HLS", Who::Nginx, How::Segments);

const CASES: &[Case] = &[
    Case {
        name: "rtmp",
        title: "rtmp: one broadcast of 2 Mbit/s to many RTMP viewers",
        columns: play::COLUMNS,
        parties: &[OURS_RTMP, NGINX_RTMP],
        measure: play::measure,
        wanted: "CPU at most 0.5 of nginx-rtmp's, 1,000 viewers with none behind, at most 64 KiB each",
    },
    Case {
        name: "flv",
        title: "flv: the same over HTTP-FLV, which nginx-rtmp does not speak: its RTMP is the nearest",
        columns: play::COLUMNS,
        parties: &[OURS_FLV, NGINX_RTMP, NODE_FLV],
        measure: play::measure,
        wanted: "CPU at most 0.5 of nginx-rtmp's, 1,000 viewers with none behind, at most 64 KiB each",
    },
    Case {
        name: "first",
        title: "first: from a viewer's request to the last byte of its first key frame; key frames are 2 s apart",
        columns: first::COLUMNS,
        parties: &[OURS_FLV, OURS_RTMP, NODE_FLV, NGINX_RTMP],
        measure: first::measure,
        wanted: "HTTP-FLV at most 300 ms",
    },
    Case {
        name: "delay",
        title: "delay: from the publisher to viewers; HLS with 2 s segments",
        columns: delay::COLUMNS,
        parties: &[OURS_FLV, OURS_RTMP, NGINX_RTMP, NODE_FLV, OURS_PARTS, OURS_SEGMENTS, NGINX_SEGMENTS],
        measure: delay::measure,
        wanted: "p95 HTTP-FLV at most 1 s, LL-HLS at most 2 s at play, HLS at most 3 target durations",
    },
    Case {
        name: "requests",
        title: "requests: 10,000 a second for HLS, of 20 nine for playlists, nine for parts, two for segments; nginx has \
                the same bytes as files",
        columns: requests::COLUMNS,
        parties: &[
            asked("yizhan", Who::Yizhan, Mix::Viewers),
            asked("nginx, files", Who::Nginx, Mix::Viewers),
        ],
        measure: requests::measure,
        wanted: "CPU at most 1.5 of nginx's",
    },
    Case {
        name: "playlists",
        title: "playlists: the same for media playlists alone",
        columns: requests::COLUMNS,
        parties: &[
            asked("yizhan", Who::Yizhan, Mix::Playlists),
            asked("nginx, files", Who::Nginx, Mix::Playlists),
        ],
        measure: requests::measure,
        wanted: "CPU at most 1.5 of nginx's",
    },
    Case {
        name: "segments",
        title: "segments: 1,000 a second, every other one of pictures (half a megabyte)",
        columns: requests::COLUMNS,
        parties: &[
            asked("yizhan", Who::Yizhan, Mix::Segments),
            asked("nginx, files", Who::Nginx, Mix::Segments),
        ],
        measure: requests::measure,
        wanted: "CPU at most 1.5 of nginx's",
    },
];

/// Measures and prints a table for each case.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let quick = arguments.iter().any(|a| a == "--quick");
    let named: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| *a != "--quick").collect();
    if let Some(unknown) = named.iter().find(|name| !CASES.iter().any(|c| c.name == **name)) {
        let all: Vec<&str> = CASES.iter().map(|c| c.name).collect();
        bail!("no case '{unknown}': {}; or --quick", all.join(", "));
    }
    let ground = Ground { quick, source: Arc::new(Source::make()?), snapshot: Snapshot::new() };
    println!(
        "Live streaming: servers in turn, server CPU from /proc (user and system), medians of the rounds\n"
    );
    for case in CASES.iter().filter(|c| named.is_empty() || named.contains(&c.name)) {
        let rows = rounds(case, &ground);
        table::print(case.title, case.columns, &rows, case.wanted);
    }
    Ok(())
}

/// All rounds of a case: the servers in turn, each started anew.
fn rounds(case: &Case, ground: &Ground) -> Vec<Row> {
    let mut rows: Vec<Row> =
        case.parties.iter().map(|p| Row { label: p.label, rounds: Vec::new(), trouble: None }).collect();
    for round in 0..if ground.quick { 1 } else { ROUNDS } {
        for (party, row) in case.parties.iter().zip(&mut rows).filter(|(_, row)| row.trouble.is_none()) {
            match (case.measure)(ground, party) {
                Ok(figures) => {
                    let glance = table::glance(case.columns, &figures);
                    eprintln!("  round {}: {}: {glance}", round + 1, party.label);
                    row.rounds.push(figures);
                }
                Err(why) => {
                    eprintln!("  round {}: {}: {why:#}", round + 1, party.label);
                    row.trouble = Some(format!("{why:#}"));
                }
            }
        }
    }
    rows
}

impl Ground {
    /// A server with the broadcast on air.
    fn on_air(&self, party: &Party) -> Result<(Server, Publisher)> {
        let server = party.who.start()?;
        let app = if (party.who, party.how) == (Who::Nginx, How::Segments) { "hls" } else { "live" };
        let publisher = Publisher::start(server.rtmp, app, NAME, self.source.clone())?;
        Ok((server, publisher))
    }
}

impl Party {
    fn target(&self, server: &Server) -> Result<Target> {
        match self.how {
            How::Rtmp => Ok(server.rtmp_target()),
            How::Flv => Ok(server.flv_target()),
            other => bail!("{other:?} is not sent, it is asked for"),
        }
    }

    fn viewers(&self, ground: &Ground) -> usize {
        let viewers = if ground.quick { VIEWERS_QUICK } else { VIEWERS };
        if self.who == Who::Node { viewers.min(VIEWERS_NODE) } else { viewers }
    }
}
