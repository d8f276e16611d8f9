//! Instant messaging: what it costs to keep, deliver and acknowledge what people say, and to come back to it.
//!
//! No peer is measured beside it: those that do as much (OpenIM, Wildfire, WuKongIM) need databases and queues of their
//! own. `docs/explanation/numbers.md` names what they say of themselves.

use std::process::Command;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::process::{Process, binary, median};

const ROUNDS: usize = 3;

/// One load, and what is wanted of it.
struct Case {
    name: &'static str,
    arguments: &'static [&'static str],
    quick: &'static [&'static str],
    wanted: &'static str,
}

const CASES: [Case; 5] = [
    Case {
        name: "pairs, kept on disk, receipts on",
        arguments: &["pairs", "--seconds", "6s"],
        quick: &["pairs", "--seconds", "2s", "--warmup", "1s"],
        wanted: "30,000 messages/s, p99 of delivery 50 ms",
    },
    Case {
        name: "group of 10,000, 1,000 here, as fast as it goes",
        arguments: &["group", "--seconds", "6s"],
        quick: &["group", "--seconds", "2s", "--warmup", "1s"],
        wanted: "200,000 deliveries/s",
    },
    Case {
        name: "the same at 50 messages/s",
        arguments: &["group", "--rate", "50", "--seconds", "6s"],
        quick: &["group", "--rate", "50", "--seconds", "2s", "--warmup", "1s"],
        wanted: "p99 of delivery 50 ms",
    },
    Case {
        name: "people with 500 conversations and 10,000 missed messages come back at once",
        arguments: &["login", "--users", "1000"],
        quick: &["login", "--users", "400", "--conversations", "100", "--messages", "20"],
        wanted: "20,000 of them within 60 s: 333/s; each list in 50 ms",
    },
    Case {
        name: "search, one question at a time",
        arguments: &["search"],
        quick: &["search", "--messages", "500", "--questions", "100"],
        wanted: "p99 50 ms, found within 1 s",
    },
];

/// Measures and prints a line for each case.
pub(crate) async fn run(quick: bool) -> Result<()> {
    println!(
        "Instant messaging: kept on disk, acknowledged after fsync; server CPU from /proc, medians of the rounds\n"
    );
    for case in &CASES {
        let mut reports = Vec::new();
        for _ in 0..if quick { 1 } else { ROUNDS } {
            reports.push(once(case, quick).await?);
        }
        print(case, &reports);
    }
    Ok(())
}

async fn once(case: &Case, quick: bool) -> Result<Value> {
    let server = Process::yizhan().await?;
    let output = Command::new(binary()?)
        .args(["bench", "im", "--json", "--server", &format!("http://{}", server.address)])
        .args(["--pid", &server.pid().to_string()])
        .args(if quick { case.quick } else { case.arguments })
        .output()?;
    // A loss makes the load fail, and its report says how many.
    match serde_json::from_slice(&output.stdout) {
        Ok(report) => Ok(report),
        Err(_) => {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!("{}: {}", case.name, text.lines().last().unwrap_or("the load said nothing").trim())
        }
    }
}

fn print(case: &Case, reports: &[Value]) {
    let of = |path: &str| {
        let mut values: Vec<f64> =
            reports.iter().filter_map(|r| r.pointer(path).and_then(Value::as_f64)).collect();
        median(&mut values)
    };
    println!("{}   (wanted: {})", case.name, case.wanted);
    println!(
        "  {:>10.0} sent/s  {:>10.0} delivered/s  {:>7.2} µs CPU each  p50 {:.1} ms  p99 {:.1} ms  lost {}",
        of("/published_per_second"),
        of("/delivered_per_second"),
        of("/server/cpu_us_per_message"),
        of("/latency_us/p50") / 1000.0,
        of("/latency_us/p99") / 1000.0,
        of("/lost"),
    );
    if let Some(found) = reports.last().and_then(|r| r["found_after_ms"].as_u64()) {
        println!("  what was said last was found after {found} ms");
    }
    println!();
}
