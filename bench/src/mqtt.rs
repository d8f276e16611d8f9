//! Our MQTT door beside other brokers: the same load on each in turn, round after round.
//!
//! The load is `yizhan bench mqtt`, a program of its own that knows nothing of who answers. Publishers stay
//! within a window of their slowest subscriber, so that no broker has to drop anything; what is lost all the
//! same is printed. How the peers are set up is in `bench/peers/mqtt`.

mod brokers;
mod cases;
mod table;

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{binary, descriptors};
use brokers::Broker;
use cases::{CASES, Case, Kind};

const ROUNDS: usize = 3;
/// Descriptors that either side needs beside those of the clients.
const DESCRIPTORS_BESIDE: usize = 1000;

/// What is asked for on the command line.
struct Wish {
    quick: bool,
    brokers: Vec<Broker>,
    cases: Vec<&'static Case>,
}

/// What the rounds with one broker gave.
struct Measured {
    broker: Broker,
    /// The load's reports, as JSON.
    reports: Vec<Value>,
    /// Why there is none, or none after these.
    trouble: Option<String>,
}

/// Measures and prints a table for each case.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let wish = wish(arguments)?;
    let mut present = Vec::new();
    println!(
        "MQTT 3.1.1, 128 bytes: brokers in turn, server CPU from /proc (user and system), medians of the rounds"
    );
    println!("  publishers wait for their slowest subscriber, so that nobody need drop anything");
    println!("  peers as in bench/peers/mqtt");
    for &broker in &wish.brokers {
        match broker.version() {
            Ok(version) => {
                println!("  {version}");
                present.push(broker);
            }
            Err(why) => println!("  {}: skipped, {why:#}", broker.name()),
        }
    }
    println!();
    for case in &wish.cases {
        let measured = measure(case, &present, wish.quick);
        table::print(case, &measured);
    }
    Ok(())
}

fn wish(arguments: &[String]) -> Result<Wish> {
    let mut wish = Wish { quick: false, brokers: brokers::ALL.into(), cases: Vec::new() };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => wish.quick = true,
            "--install-rumqttd" => brokers::install_rumqttd()?,
            "--only" => {
                let names: Vec<&str> = arguments.next().context("--only NAME,NAME")?.split(',').collect();
                let known = |name: &&str| brokers::ALL.iter().any(|b| b.name() == *name);
                if let Some(unknown) = names.iter().find(|name| !known(name)) {
                    let all: Vec<&str> = brokers::ALL.iter().map(|b| b.name()).collect();
                    bail!("no broker '{unknown}': {}", all.join(", "));
                }
                wish.brokers.retain(|b| names.contains(&b.name()));
            }
            name => match CASES.iter().find(|c| c.name == name) {
                Some(case) => wish.cases.push(case),
                None => {
                    let all: Vec<&str> = CASES.iter().map(|c| c.name).collect();
                    bail!(
                        "no case '{name}': {}; or --quick, --only NAME,NAME, --install-rumqttd",
                        all.join(", ")
                    );
                }
            },
        }
    }
    if wish.cases.is_empty() {
        wish.cases = CASES.iter().collect();
    }
    Ok(wish)
}

/// All rounds of a case: the brokers in turn, each started anew.
fn measure(case: &Case, present: &[Broker], quick: bool) -> Vec<Measured> {
    let takes_part = |broker: &&Broker| case.brokers.is_none_or(|some| some.contains(*broker));
    let mut all: Vec<Measured> = present
        .iter()
        .filter(takes_part)
        .map(|&broker| Measured { broker, reports: Vec::new(), trouble: None })
        .collect();
    for round in 0..if quick { 1 } else { ROUNDS } {
        for measured in all.iter_mut().filter(|m| m.trouble.is_none()) {
            match once(case, measured.broker, quick) {
                Ok(report) => {
                    eprintln!(
                        "  round {}: {}: {}",
                        round + 1,
                        measured.broker.name(),
                        table::glance(case, &report)
                    );
                    measured.reports.push(report);
                }
                Err(why) => {
                    eprintln!("  round {}: {}: {why:#}", round + 1, measured.broker.name());
                    measured.trouble = Some(format!("{why:#}"));
                }
            }
        }
    }
    all
}

fn once(case: &Case, broker: Broker, quick: bool) -> Result<Value> {
    let running = broker.start()?;
    let mut load = Command::new(binary()?);
    load.args(["bench", "mqtt", "--json", "--case", case.load])
        .args(["--port", &running.port.to_string(), "--pid", &running.pid().to_string()])
        .args(case.arguments)
        .args(if quick {
            ["--warmup", "1s", "--seconds", "2s"]
        } else {
            ["--warmup", "2s", "--seconds", "6s"]
        });
    if matches!(case.kind, Kind::Memory | Kind::Storm) {
        let possible = descriptors()?.saturating_sub(DESCRIPTORS_BESIDE);
        let clients = if quick { 2000 } else { case.clients }.min(possible);
        load.args(["--clients", &clients.to_string()]);
    }
    let output = load.output()?;
    // A loss makes the load fail, and its report says how many.
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let text = String::from_utf8_lossy(&output.stderr);
        anyhow::anyhow!("{}", text.lines().last().unwrap_or("the load said nothing").trim())
    })
}
