//! What was measured, as tables.

use serde_json::Value;

use super::{
    Measured,
    brokers::Broker,
    cases::{Case, Kind},
};
use crate::process::median;

/// A column: its title, where in a report its figure is, what it is divided by, and how many digits it shows.
struct Column {
    title: &'static str,
    at: &'static str,
    divide: f64,
    digits: usize,
}

const fn column(title: &'static str, at: &'static str, divide: f64, digits: usize) -> Column {
    Column { title, at, divide, digits }
}

const P50: Column = column("p50 ms", "/latency_us/p50", 1e3, 2);
const P99: Column = column("p99 ms", "/latency_us/p99", 1e3, 2);
const MAX: Column = column("max ms", "/latency_us/max", 1e3, 2);

/// The columns of a case. The first one is what ratios are made of.
fn columns(kind: Kind) -> Vec<Column> {
    let cpu = |title| column(title, "/server/cpu_us_per_message", 1.0, 2);
    match kind {
        Kind::Cost => vec![
            cpu("CPU µs a delivery"),
            column("deliveries/s", "/delivered_per_second", 1.0, 0),
            column("cores", "/server/cpu_percent", 100.0, 2),
            P50,
            P99,
        ],
        Kind::Latency => vec![P99, P50, MAX, cpu("CPU µs a delivery")],
        Kind::Memory => vec![
            column("bytes each", "/server/resident_growth_bytes_per_connection", 1.0, 0),
            column("clients", "/connections", 1.0, 0),
            column("CPU %", "/server/cpu_percent", 1.0, 2),
        ],
        Kind::Storm => vec![
            column("all back s", "/all_back_seconds", 1.0, 2),
            column("clients", "/connections", 1.0, 0),
            column("CPU µs each", "/cpu_us_per_client", 1.0, 0),
            column("tried again", "/refused", 1.0, 0),
            column("calm p99 ms", "/calm_us/p99", 1e3, 2),
            P50,
            P99,
            MAX,
        ],
        Kind::Durable => {
            vec![column("acks/s", "/published_per_second", 1.0, 0), cpu("CPU µs a message"), P50, P99]
        }
    }
}

fn figure(report: &Value, column: &Column) -> f64 {
    report.pointer(column.at).and_then(Value::as_f64).map_or(f64::NAN, |n| n / column.divide)
}

fn middle(measured: &Measured, column: &Column) -> f64 {
    median(&mut measured.reports.iter().map(|report| figure(report, column)).collect::<Vec<_>>())
}

/// One round in a few words.
pub(super) fn glance(case: &Case, report: &Value) -> String {
    let columns = columns(case.kind);
    let said: Vec<String> = columns.iter().take(2).map(|c| show(figure(report, c), c)).collect();
    format!("{} ({}), {} ({})", said[0], columns[0].title, said[1], columns[1].title)
}

fn show(figure: f64, column: &Column) -> String {
    if figure.is_nan() { "-".into() } else { format!("{figure:.*}", column.digits) }
}

/// Prints a case.
pub(super) fn print(case: &Case, all: &[Measured]) {
    let columns = columns(case.kind);
    println!("{}: {}", case.name, case.title);
    let width = |c: &Column| c.title.chars().count().max(9) + 2;
    let heads: String = columns.iter().map(|c| format!("{:>1$}", c.title, width(c))).collect();
    println!("  {:<12}{heads}{:>8}{:>8}{:>10}", "broker", "lost", "twice", "ours/its");
    let ours = all.iter().find(|m| m.broker == Broker::Yizhan).map(|m| middle(m, &columns[0]));
    for measured in all {
        if !measured.reports.is_empty() {
            let figures: String =
                columns.iter().map(|c| format!("{:>1$}", show(middle(measured, c), c), width(c))).collect();
            let sum = |key: &str| measured.reports.iter().map(|r| r[key].as_u64().unwrap_or(0)).sum::<u64>();
            let ratio = ours.unwrap_or(f64::NAN) / middle(measured, &columns[0]);
            let ratio = if ratio.is_nan() { "-".into() } else { format!("{ratio:.2}") };
            println!(
                "  {:<12}{figures}{:>8}{:>8}{ratio:>10}",
                measured.broker.name(),
                sum("lost"),
                sum("repeated")
            );
        }
        if let Some(trouble) = &measured.trouble {
            println!("  {:<12}  {trouble}", measured.broker.name());
        }
    }
    println!("  wanted of yizhan: {}\n", case.wanted);
}
