//! `yizhan top`: a running server, live in the terminal.

use std::{
    collections::VecDeque,
    io::{IsTerminal, Read, Write},
    time::Duration,
};

use anyhow::{Context, bail};
use http::Method;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    client::{Client, Reach},
    load::{group_digits, show_micros},
};

/// Seconds that the charts remember.
const HISTORY_MAX: usize = 300;
/// Topics that are asked for to find the busiest ones.
const TOPICS_MAX: usize = 1000;
/// Rows of topics that are shown.
const TOPIC_ROWS_MAX: usize = 50;
/// How often a new picture is drawn.
const EVERY: Duration = Duration::from_secs(1);
/// Eighths of a cell, for the charts.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Watch a running server: rates, latency by its parts, connections, topics. `q` ends it.
#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// Print one picture without colours and end.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    reach: Reach,
}

/// One second's figures.
#[derive(Debug, Clone, Default)]
struct Sample {
    figures: Value,
    /// Rates since the sample before.
    messages_in: f64,
    messages_out: f64,
    bytes_out: f64,
    lost: f64,
    cpu: f64,
}

/// A listened-to or growing topic.
#[derive(Debug, Clone)]
struct TopicRow {
    topic: String,
    listeners: u64,
    newest: u64,
    rate: f64,
}

/// Runs it.
///
/// # Errors
/// The server cannot be reached or refuses, or there is no terminal.
pub(crate) async fn run(args: Top) -> anyhow::Result<()> {
    let client = args.reach.client()?;
    let mut view = View::new(args.reach.url());
    view.refresh(&client).await?;
    if args.once {
        tokio::time::sleep(EVERY).await;
        view.refresh(&client).await?;
        print!("{}", view.draw(100, 40, false));
        return Ok(());
    }
    if !std::io::stdout().is_terminal() {
        bail!("this is no terminal: use --once, or `yizhan ask overview --json`");
    }
    let screen = Screen::enter()?;
    let mut keys = keys();
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            key = keys.recv() => match key {
                Some(b'q' | b'Q' | 3 | 27) | None => break,
                Some(_) => continue,
            },
            _ = tick.tick() => {
                if let Err(error) = view.refresh(&client).await {
                    view.trouble = Some(format!("{error:#}"));
                }
            }
        }
        screen.show(&view)?;
    }
    Ok(())
}

/// Keys as they are pressed. The thread ends with the process: reading a terminal cannot be interrupted.
fn keys() -> mpsc::Receiver<u8> {
    let (pressed, keys) = mpsc::channel(16);
    std::thread::spawn(move || {
        for byte in std::io::stdin().lock().bytes() {
            let Ok(byte) = byte else { return };
            if pressed.blocking_send(byte).is_err() {
                return;
            }
        }
    });
    keys
}

/// The terminal while it is ours; it is given back as it was.
struct Screen {
    before: Termios,
}

impl Screen {
    fn enter() -> anyhow::Result<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).context("this is no terminal")?;
        let mut raw = before.clone();
        raw.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(&stdin, OptionalActions::Flush, &raw).context("cannot set the terminal's mode")?;
        print!("\x1b[?1049h\x1b[?25l");
        Ok(Self { before })
    }

    fn show(&self, view: &View) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let size = tcgetwinsize(&out).context("cannot read the terminal's size")?;
        let (columns, rows) = (usize::from(size.ws_col.max(20)), usize::from(size.ws_row.max(5)));
        let picture = view.draw(columns, rows, true);
        let mut text = String::from("\x1b[H");
        for line in picture.lines().take(rows) {
            text.push_str(line);
            text.push_str("\x1b[K\r\n");
        }
        // The last line break would scroll.
        let text = text.strip_suffix("\r\n").unwrap_or(&text);
        write!(out, "{text}\x1b[J").and_then(|()| out.flush()).context("cannot write to the terminal")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print!("\x1b[?25h\x1b[?1049l");
        // Nothing can be done about a terminal that is gone.
        std::io::stdout().flush().ok();
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.before).ok();
    }
}

/// What is known, and how it is drawn.
struct View {
    url: String,
    version: String,
    draining: bool,
    samples: VecDeque<Sample>,
    topics: Vec<TopicRow>,
    trouble: Option<String>,
}

impl View {
    fn new(url: String) -> Self {
        Self {
            url,
            version: String::new(),
            draining: false,
            samples: VecDeque::new(),
            topics: Vec::new(),
            trouble: None,
        }
    }

    async fn refresh(&mut self, client: &Client) -> anyhow::Result<()> {
        let mut overview = client.json(Method::GET, "/api/v1/overview", None).await?;
        let topics = client.list("/api/v1/topics", TOPICS_MAX).await?;
        self.version = overview["version"].as_str().unwrap_or_default().to_owned();
        self.draining = overview["draining"] == true;
        self.add(overview["figures"].take());
        self.add_topics(&topics);
        self.trouble = None;
        Ok(())
    }

    fn add(&mut self, figures: Value) {
        let sample = match self.samples.back() {
            Some(last) if last.figures["at"] == figures["at"] => return,
            Some(last) => Sample::after(&last.figures, figures),
            None => Sample { figures, ..Sample::default() },
        };
        if self.samples.len() >= HISTORY_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    fn add_topics(&mut self, items: &[Value]) {
        let before = std::mem::take(&mut self.topics);
        self.topics = items
            .iter()
            .map(|item| {
                let topic = item["topic"].as_str().unwrap_or_default().to_owned();
                let newest = item["kept"]["newest_seq"].as_u64().unwrap_or(0);
                let old = before.iter().find(|row| row.topic == topic).map_or(newest, |row| row.newest);
                let rate = newest.saturating_sub(old) as f64 / EVERY.as_secs_f64();
                TopicRow { topic, listeners: item["listeners"].as_u64().unwrap_or(0), newest, rate }
            })
            .collect();
        self.topics.sort_by(|a, b| {
            b.rate.total_cmp(&a.rate).then(b.listeners.cmp(&a.listeners)).then(a.topic.cmp(&b.topic))
        });
        self.topics.truncate(TOPIC_ROWS_MAX);
    }

    fn draw(&self, columns: usize, rows: usize, colours: bool) -> String {
        let paint = Paint { colours };
        let Some(last) = self.samples.back() else { return String::new() };
        let mut lines = self.head(last, columns, &paint);
        lines.push(String::new());
        lines.extend(CHARTS.iter().map(|chart| self.chart(chart, columns, &paint)));
        lines.push(String::new());
        let heads = format!("{:<16} {:>10} {:>10} {:>10} {:>10}", "latency", "p50", "p99", "max", "count");
        lines.push(paint.dim(&heads));
        let parts = ["wait", "commit", "fanout", "write"];
        lines.extend(parts.iter().map(|part| self.latency(last, part, columns, &paint)));
        lines.push(String::new());
        lines.push(paint.dim(&format!("{:>10} {:>10} {:>12}  topic", "/s", "listeners", "newest")));
        for row in &self.topics {
            lines.push(format!(
                "{:>10} {:>10} {:>12}  {}",
                group_digits(row.rate),
                group_digits(row.listeners as f64),
                group_digits(row.newest as f64),
                cut(&row.topic, columns.saturating_sub(38))
            ));
        }
        lines.truncate(rows);
        lines.join("\n") + "\n"
    }

    /// What the server is and has at this moment.
    fn head(&self, last: &Sample, columns: usize, paint: &Paint) -> Vec<String> {
        let figures = &last.figures;
        let count = |path: &str| group_digits(number(figures, path));
        let mut lines = Vec::new();
        let state = if self.draining { paint.warn("draining") } else { paint.good("running") };
        let up = show_seconds(number(figures, "uptime"));
        let name = paint.strong("yizhan");
        lines.push(format!("{name} {}  {}  up {up}  {state}", self.version, self.url));
        if let Some(trouble) = &self.trouble {
            lines.push(paint.warn(&cut(trouble, columns)));
        }
        let doors: Vec<String> = figures["connections"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(door, n)| *door != "total" && n.as_u64() != Some(0))
            .map(|(door, n)| format!("{door} {n}"))
            .collect();
        let total = paint.strong(&count("connections.total"));
        lines.push(format!("connections {total}  {}", paint.dim(&doors.join("  "))));
        lines.push(format!(
            "sessions {}   subscriptions {}   topics {}",
            count("sessions"),
            count("subscriptions"),
            count("topics")
        ));
        lines.push(format!(
            "memory {:.1} MiB   cpu {:.0} %   kept {} records, {:.1} MiB, {} waiting",
            number(figures, "memory_bytes") / (1 << 20) as f64,
            last.cpu,
            count("store.records"),
            number(figures, "store.bytes") / (1 << 20) as f64,
            count("store.waiting")
        ));
        lines
    }

    fn chart(&self, (name, value): &Chart, columns: usize, paint: &Paint) -> String {
        let width = columns.saturating_sub(34).clamp(8, HISTORY_MAX);
        let values: Vec<f64> = self.samples.iter().map(value).collect();
        let now = group_digits(values.last().copied().unwrap_or(0.0));
        format!("{name:<16} {now:>13}  {}", paint.chart(&sparkline(&values, width)))
    }

    fn latency(&self, last: &Sample, part: &str, columns: usize, paint: &Paint) -> String {
        let of = &last.figures["latency"][part];
        let at = |key: &str| show_micros(of[key].as_u64().unwrap_or(0));
        let values: Vec<f64> =
            self.samples.iter().map(|s| number(&s.figures["latency"][part], "p99")).collect();
        let line = paint.chart(&sparkline(&values, columns.saturating_sub(64).min(HISTORY_MAX)));
        let n = group_digits(number(of, "count"));
        format!("{part:<16} {:>10} {:>10} {:>10} {n:>10}  {line}", at("p50"), at("p99"), at("max"))
    }
}

/// A chart's name, and its value in a sample.
type Chart = (&'static str, fn(&Sample) -> f64);

const CHARTS: [Chart; 6] = [
    ("messages in /s", |s| s.messages_in),
    ("messages out /s", |s| s.messages_out),
    ("KiB out /s", |s| s.bytes_out / 1024.0),
    ("connections", |s| number(&s.figures, "connections.total")),
    ("lost by lag /s", |s| s.lost),
    ("cpu %", |s| s.cpu),
];

impl Sample {
    fn after(before: &Value, figures: Value) -> Self {
        let seconds = ((number(&figures, "at") - number(before, "at")) / 1000.0).max(0.001);
        let rate = |path: &str| ((number(&figures, path) - number(before, path)) / seconds).max(0.0);
        Self {
            messages_in: rate("messages_in"),
            messages_out: rate("messages_out"),
            bytes_out: rate("bytes_out"),
            lost: rate("missed"),
            cpu: 100.0 * rate("cpu_seconds"),
            figures,
        }
    }
}

fn number(value: &Value, path: &str) -> f64 {
    path.split('.').fold(value, |value, key| &value[key]).as_f64().unwrap_or(0.0)
}

/// The newest values as bars, the newest at the right end.
fn sparkline(values: &[f64], width: usize) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let most = shown.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        if most <= 0.0 || *value <= 0.0 {
            return BARS[if *value > 0.0 { 1 } else { 0 }];
        }
        // At least a trace of what is there.
        BARS[((value / most * 8.0).round() as usize).clamp(1, 8)]
    };
    let empty = std::iter::repeat_n(' ', width - shown.len());
    empty.chain(shown.iter().map(bar)).collect()
}

fn show_seconds(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A stranger's text for the terminal: no control characters, no more than fits.
fn cut(text: &str, columns: usize) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(columns).collect()
}

struct Paint {
    colours: bool,
}

impl Paint {
    fn wrap(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
    fn strong(&self, text: &str) -> String {
        self.wrap("1", text)
    }
    fn dim(&self, text: &str) -> String {
        self.wrap("2", text)
    }
    fn good(&self, text: &str) -> String {
        self.wrap("32", text)
    }
    fn warn(&self, text: &str) -> String {
        self.wrap("33", text)
    }
    fn chart(&self, text: &str) -> String {
        self.wrap("36", text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sparkline_has_its_newest_value_at_the_right() {
        assert_eq!(sparkline(&[0.0, 4.0, 8.0], 5), "   ▄█");
        assert_eq!(sparkline(&[1.0, 2.0, 3.0], 2), "▅█");
        assert_eq!(sparkline(&[], 3), "   ");
        assert_eq!(sparkline(&[0.001, 1000.0], 2), "▁█");
    }

    #[test]
    fn a_picture_shows_rates_and_fits_any_terminal() {
        let figures = |at: u64, out: u64| {
            json!({"at": at, "uptime": 61, "connections": {"total": 3, "ws": 2, "sse": 1, "tcp": 0},
                "sessions": 4, "messages_in": 1, "messages_out": out, "cpu_seconds": 0.5,
                "latency": {"commit": {"p50": 450, "p99": 3900, "max": 4100, "count": 7}}})
        };
        let mut view = View::new("http://localhost:8080".into());
        view.add(figures(1000, 10));
        view.add(figures(2000, 1234));
        view.add_topics(&[json!({"topic": "a\u{1b}b", "listeners": 2, "kept": {"newest_seq": 5}})]);
        let picture = view.draw(80, 40, false);
        for expected in ["messages out /s          1,224", "sse 1  ws 2", "up 1m 1s", "3.90ms", "a\u{fffd}b"]
        {
            assert!(picture.contains(expected), "{expected}\n{picture}");
        }
        for (columns, rows) in [(1, 1), (20, 5), (500, 200)] {
            assert!(view.draw(columns, rows, true).lines().count() <= rows);
        }
    }
}
