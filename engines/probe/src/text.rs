//! Prometheus' text form (exposition format 0.0.4), straight from the meters.

use std::collections::BTreeSet;

use yizhan_talk::meter::{Snapshot, bucket_end};

/// The media type of what [`Exposition`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Buckets of a histogram that lie between two bounds shown: a bound at each power of two of microseconds is
/// enough for a chart, and keeps a scrape small.
const BUCKETS_JOINED: usize = 4;

/// A page of metrics in the making.
///
/// A family's help and type are written with its first sample, so samples of one family are written behind
/// one another.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    families: BTreeSet<&'static str>,
}

/// Labels of one sample: names and values. Values come from closed sets.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// An empty page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A number that only grows; the name ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str, labels: Labels<'_>, value: u64) {
        self.family(name, help, "counter");
        self.sample(name, "", labels, None, value);
    }

    /// A growing number with fractions, such as seconds of processor time.
    pub fn counter_f64(&mut self, name: &'static str, help: &str, labels: Labels<'_>, value: f64) {
        self.family(name, help, "counter");
        self.sample(name, "", labels, None, value);
    }

    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str, labels: Labels<'_>, value: f64) {
        self.family(name, help, "gauge");
        self.sample(name, "", labels, None, value);
    }

    /// Durations; the name ends in `_seconds`.
    pub fn histogram(&mut self, name: &'static str, help: &str, labels: Labels<'_>, durations: &Snapshot) {
        self.family(name, help, "histogram");
        let mut below = 0;
        for (i, counts) in durations.counts.chunks(BUCKETS_JOINED).enumerate() {
            below += counts.iter().sum::<u64>();
            let end = bucket_end(i * BUCKETS_JOINED + counts.len() - 1);
            self.sample(name, "_bucket", labels, Some(&seconds(end).to_string()), below);
        }
        self.sample(name, "_bucket", labels, Some("+Inf"), below);
        self.sample(name, "_sum", labels, None, seconds(durations.sum_micros));
        self.sample(name, "_count", labels, None, below);
    }

    /// The names of the families written so far.
    pub fn families(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.families.iter().copied()
    }

    /// The page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn family(&mut self, name: &'static str, help: &str, kind: &str) {
        if self.families.insert(name) {
            let help = escaped(help, false);
            self.text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        }
    }

    fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        labels: Labels<'_>,
        le: Option<&str>,
        value: impl std::fmt::Display,
    ) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let all = labels.iter().copied().chain(le.map(|le| ("le", le)));
        let mut separator = '{';
        for (label, text) in all {
            self.text.push_str(&format!("{separator}{label}=\"{}\"", escaped(text, true)));
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        self.text.push_str(&format!(" {value}\n"));
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use yizhan_talk::Histogram;

    use super::*;

    #[test]
    fn a_family_has_its_help_and_type_once() {
        let mut page = Exposition::new();
        page.counter("yizhan_records_total", "Records.\nAll.", &[("door", "ws")], 3);
        page.counter("yizhan_records_total", "Records.", &[("door", "t\"cp")], 4);
        page.gauge("yizhan_sessions", "Sessions.", &[], 1.5);
        assert_eq!(
            page.into_text(),
            "# HELP yizhan_records_total Records.\\nAll.\n# TYPE yizhan_records_total counter\n\
             yizhan_records_total{door=\"ws\"} 3\nyizhan_records_total{door=\"t\\\"cp\"} 4\n\
             # HELP yizhan_sessions Sessions.\n# TYPE yizhan_sessions gauge\nyizhan_sessions 1.5\n"
        );
    }

    #[test]
    fn buckets_add_up_and_end_with_all() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(3));
        histogram.record_many(Duration::from_micros(100), 2);
        histogram.record(Duration::from_secs(1));
        let mut page = Exposition::new();
        page.histogram("yizhan_wait_seconds", "Wait.", &[], &histogram.snapshot());
        let text = page.into_text();
        for line in [
            "yizhan_wait_seconds_bucket{le=\"0.000004\"} 1",
            "yizhan_wait_seconds_bucket{le=\"0.000064\"} 1",
            "yizhan_wait_seconds_bucket{le=\"0.000128\"} 3",
            "yizhan_wait_seconds_bucket{le=\"+Inf\"} 4",
            "yizhan_wait_seconds_count 4",
            "yizhan_wait_seconds_sum 1.000203",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        let mut last = 0;
        for line in text.lines().filter(|l| l.contains("_bucket")) {
            let count: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            assert!(count >= last, "{line}");
            last = count;
        }
    }
}
