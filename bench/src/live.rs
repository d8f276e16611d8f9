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

use anyhow::{Context, Result, bail};

use crowd::Target;
use publisher::Publisher;
use requests::{Mix, Snapshot};
use servers::{NAME, Server, Who};
use source::Source;
use table::{Column, Row};

use crate::process::descriptors;

const ROUNDS: usize = 3;
/// Viewers of one broadcast.
const VIEWERS: usize = 1000;
const VIEWERS_QUICK: usize = 200;
/// Viewers that node-media-server gets: with more it does not keep up, and what waits in it is not what is measured.
const VIEWERS_NODE: usize = 200;

/// Descriptors that a process needs beside those of the viewers.
const DESCRIPTORS_BESIDE: usize = 300;

/// What is asked for on the command line.
struct Wish {
    quick: bool,
    rounds: usize,
    viewers: usize,
    cases: Vec<&'static Case>,
}

/// What measurements stand on.
struct Ground {
    quick: bool,
    viewers: usize,
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
    let wish = wish(arguments)?;
    let ground = Ground {
        quick: wish.quick,
        viewers: wish.viewers,
        source: Arc::new(Source::make()?),
        snapshot: Snapshot::new(),
    };
    println!(
        "Live streaming: servers in turn, server CPU from /proc (user and system), medians of the rounds\n"
    );
    for case in &wish.cases {
        let rows = rounds(case, &ground, wish.rounds);
        table::print(case.title, case.columns, &rows, case.wanted);
    }
    Ok(())
}

fn wish(arguments: &[String]) -> Result<Wish> {
    let quick = arguments.iter().any(|a| a == "--quick");
    let (rounds, viewers) = if quick { (1, VIEWERS_QUICK) } else { (ROUNDS, VIEWERS) };
    let mut wish = Wish { quick, rounds, viewers, cases: Vec::new() };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
        match argument.as_str() {
            "--quick" => {}
            "--rounds" => wish.rounds = number().context("--rounds NUMBER")?,
            "--viewers" => wish.viewers = number().context("--viewers NUMBER")?,
            name => match CASES.iter().find(|c| c.name == name) {
                Some(case) => wish.cases.push(case),
                None => {
                    let all: Vec<&str> = CASES.iter().map(|c| c.name).collect();
                    bail!(
                        "no case '{name}': {}; or --quick, --rounds NUMBER, --viewers NUMBER",
                        all.join(", ")
                    );
                }
            },
        }
    }
    if wish.cases.is_empty() {
        wish.cases = CASES.iter().collect();
    }
    let possible = descriptors()?.saturating_sub(DESCRIPTORS_BESIDE);
    if wish.viewers > possible {
        bail!("{} viewers need more files than a process may have here: at most {possible}", wish.viewers);
    }
    Ok(wish)
}

/// All rounds of a case: the servers in turn, each started anew.
fn rounds(case: &Case, ground: &Ground, rounds: usize) -> Vec<Row> {
    let mut rows: Vec<Row> =
        case.parties.iter().map(|p| Row { label: p.label, rounds: Vec::new(), trouble: None }).collect();
    for round in 0..rounds {
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
        if self.who == Who::Node { ground.viewers.min(VIEWERS_NODE) } else { ground.viewers }
    }
}
