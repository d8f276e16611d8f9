//! What a run measured, for people and for scripts.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use yizhan_probe::ProcessFigures;

/// Longest latency that is told apart, µs; longer ones count as this.
const LATENCY_MICROS_MAX: u64 = 120_000_000;

/// Latencies, three significant digits.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        // Constant bounds that hdrhistogram takes; if not, an auto-resizing one serves as well.
        let histogram = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3);
        Self(
            histogram
                .unwrap_or_else(|_| Histogram::new(3).unwrap_or_else(|_| unreachable!("3 digits are valid"))),
        )
    }
    pub(crate) fn record(&mut self, micros: u64, count: u64) {
        self.0.saturating_record_n(micros.max(1), count);
    }
    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        self.0.add(&other.0).ok();
    }
    /// Quantiles, µs, and how many there are.
    pub(crate) fn json(&self) -> Value {
        let at = |q: f64| self.0.value_at_quantile(q);
        json!({"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": self.0.max(), "count": self.0.len()})
    }
}

/// The server's process, looked at before and after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched {
    pub(crate) pid: u32,
    pub(crate) before: ProcessFigures,
    pub(crate) after: ProcessFigures,
}

/// What one run measured.
pub(crate) struct Report {
    pub(crate) mode: &'static str,
    /// What was asked for: `("subscribers", 1000)`.
    pub(crate) setting: Vec<(&'static str, Value)>,
    pub(crate) took: Duration,
    /// Messages taken by the server.
    pub(crate) published: u64,
    /// Records that arrived.
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) refused: u64,
    pub(crate) connections: usize,
    pub(crate) latencies: Latencies,
    pub(crate) server: Option<Watched>,
}

impl Report {
    /// One JSON object.
    pub(crate) fn json(&self) -> Value {
        let seconds = self.took.as_secs_f64().max(1e-9);
        let mut report = json!({
            "mode": self.mode,
            "seconds": seconds,
            "connections": self.connections,
            "published": self.published,
            "delivered": self.delivered,
            "lost": self.lost,
            "repeated": self.repeated,
            "refused": self.refused,
            "published_per_second": self.published as f64 / seconds,
            "delivered_per_second": self.delivered as f64 / seconds,
            "latency_us": self.latencies.json(),
            "server": self.server.as_ref().map(|watched| self.server_json(watched)),
        });
        for (key, value) in &self.setting {
            report[*key] = value.clone();
        }
        report
    }

    fn server_json(&self, watched: &Watched) -> Value {
        let cpu = watched.after.cpu_seconds - watched.before.cpu_seconds;
        // Where nothing is delivered (publish), the unit of work is the message.
        let work = if self.delivered > 0 { self.delivered } else { self.published };
        let grown = watched.after.resident_bytes.saturating_sub(watched.before.resident_bytes);
        json!({
            "pid": watched.pid,
            "cpu_seconds": cpu,
            "cpu_percent": 100.0 * cpu / self.took.as_secs_f64().max(1e-9),
            "cpu_us_per_message": if work == 0 { Value::Null } else { (cpu * 1e6 / work as f64).into() },
            "resident_bytes": watched.after.resident_bytes,
            "resident_growth_bytes": grown,
            "resident_growth_bytes_per_connection": grown as f64 / self.connections.max(1) as f64,
        })
    }

    /// A few lines for people.
    pub(crate) fn text(&self) -> String {
        let json = self.json();
        let number = |value: &Value| group_digits(value.as_f64().unwrap_or(0.0));
        let setting: Vec<String> = self.setting.iter().map(|(key, value)| format!("{key} {value}")).collect();
        let mut text = format!("{}: {}\n", self.mode, setting.join(", "));
        text.push_str(&format!(
            "  took {:.2} s, {} connections\n",
            self.took.as_secs_f64(),
            group_digits(self.connections as f64)
        ));
        if self.published > 0 {
            text.push_str(&format!(
                "  published  {:>13}   {:>13} /s\n",
                number(&json["published"]),
                number(&json["published_per_second"])
            ));
        }
        if self.delivered > 0 {
            text.push_str(&format!(
                "  delivered  {:>13}   {:>13} /s\n",
                number(&json["delivered"]),
                number(&json["delivered_per_second"])
            ));
        }
        text.push_str(&format!(
            "  lost {}, repeated {}, refused {}\n",
            self.lost, self.repeated, self.refused
        ));
        let latency = &json["latency_us"];
        if latency["count"].as_u64() > Some(0) {
            let at = |key: &str| show_micros(latency[key].as_u64().unwrap_or(0));
            text.push_str(&format!(
                "  latency  p50 {}  p90 {}  p99 {}  p99.9 {}  max {}\n",
                at("p50"),
                at("p90"),
                at("p99"),
                at("p999"),
                at("max")
            ));
        }
        match &json["server"] {
            Value::Null => text.push_str("  server: not on this machine, or --pid is not known\n"),
            server => {
                text.push_str(&format!(
                    "  server  {:.2} s CPU ({:.0} %)",
                    server["cpu_seconds"].as_f64().unwrap_or(0.0),
                    server["cpu_percent"].as_f64().unwrap_or(0.0)
                ));
                if let Some(each) = server["cpu_us_per_message"].as_f64() {
                    text.push_str(&format!(", {each:.3} µs a message"));
                }
                text.push_str(&format!(
                    "\n          {:.1} MiB resident, grown by {:.1} KiB a connection\n",
                    server["resident_bytes"].as_f64().unwrap_or(0.0) / (1 << 20) as f64,
                    server["resident_growth_bytes_per_connection"].as_f64().unwrap_or(0.0) / 1024.0
                ));
            }
        }
        text
    }
}

/// `1234567.8` as `1,234,568`.
pub(crate) fn group_digits(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && c.is_ascii_digit() && !text.ends_with('-') {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// `1234` µs as `1.23ms`.
pub(crate) fn show_micros(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros}µs"),
        1000..1_000_000 => format!("{:.2}ms", micros as f64 / 1e3),
        _ => format!("{:.2}s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!(group_digits(1_234_567.8), "1,234,568");
        assert_eq!(group_digits(12.0), "12");
        assert_eq!(show_micros(999), "999µs");
        assert_eq!(show_micros(1500), "1.50ms");
    }

    #[test]
    fn cpu_is_divided_by_what_was_delivered() {
        let figures = |cpu_seconds| ProcessFigures {
            cpu_seconds,
            resident_bytes: 1 << 20,
            ..ProcessFigures::default()
        };
        let mut latencies = Latencies::new();
        latencies.record(100, 99);
        latencies.record(5000, 1);
        let report = Report {
            mode: "fanout",
            setting: vec![("subscribers", 10.into())],
            took: Duration::from_secs(2),
            published: 100,
            delivered: 1000,
            lost: 0,
            repeated: 0,
            refused: 0,
            connections: 11,
            latencies,
            server: Some(Watched { pid: 1, before: figures(1.0), after: figures(1.5) }),
        };
        let json = report.json();
        assert_eq!(json["server"]["cpu_us_per_message"], 500.0);
        assert_eq!(json["subscribers"], 10);
        assert_eq!(json["latency_us"]["p99"], 100);
        assert!(report.text().contains("500.000 µs a message"), "{}", report.text());
    }
}
