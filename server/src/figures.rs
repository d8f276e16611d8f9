//! What is counted, for people and machines: the body of `$SYS/metrics`, and `/metrics` for Prometheus.
//!
//! All metrics are declared here, with unit and labels; `docs/operations/observability.md` lists them, and a test
//! holds that list against this file, [`mqtt`] and [`live`]. Labels come from closed sets: doors, spaces, close codes, packets.

#[cfg(feature = "live")]
mod live;
#[cfg(feature = "mqtt")]
mod mqtt;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use yizhan_hub::Hub;
use yizhan_probe::{Exposition, OtlpFigures, ProcessFigures};
use yizhan_talk::{Clock, Histogram, Now, meter::Snapshot};

/// How often topics are counted: with very many it takes a while.
const TOPICS_COUNTED_EVERY: Duration = Duration::from_secs(5);
/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where the numbers come from.
pub(crate) struct Sources {
    pub(crate) hub: Hub,
    pub(crate) net: Arc<yizhan_net::Meters>,
    pub(crate) store: Arc<yizhan_disk::Meters>,
    pub(crate) mqtt: crate::compose::Mqtt,
    #[cfg(feature = "live")]
    pub(crate) live: crate::live::Live,
    pub(crate) otlp: Option<Arc<OtlpFigures>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The data folder: how much is free on its disk.
    pub(crate) data: PathBuf,
}

/// All figures of a running server.
pub(crate) struct Figures {
    from: Sources,
    started: Now,
    /// The histograms as they were a second ago: latencies are those of the last second.
    before: Mutex<[Snapshot; 4]>,
    topics: AtomicU64,
    topics_counted: Mutex<Option<Instant>>,
    newest: Mutex<Value>,
    draining: AtomicBool,
}

impl Figures {
    pub(crate) fn new(from: Sources) -> Self {
        let started = from.clock.now();
        let empty = || Histogram::default().snapshot();
        Self {
            from,
            started,
            before: Mutex::new([empty(), empty(), empty(), empty()]),
            topics: AtomicU64::new(0),
            topics_counted: Mutex::new(None),
            newest: Mutex::new(Value::Null),
            draining: AtomicBool::new(false),
        }
    }

    /// When the server was started.
    pub(crate) fn started(&self) -> Now {
        self.started
    }

    /// The server begins to drain.
    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Whether it drains.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// What [`take`](Self::take) gave last.
    pub(crate) fn newest(&self) -> Value {
        self.newest.lock().clone()
    }

    /// The body of `$SYS/metrics` (`docs/reference/admin-api.md`, Live figures). Called once a second.
    pub(crate) fn take(&self) -> Value {
        let now = self.from.clock.now();
        let hub = self.from.hub.meters();
        let counts = self.from.hub.counts();
        let process = ProcessFigures::own();
        let mut connections = Map::new();
        let mut total = 0;
        for door in self.from.net.doors() {
            // What speaks plain HTTP at this moment is no client of the hub.
            let open = door.connections.value().max(0);
            if door.name != "http" {
                total += open;
            }
            connections.insert(door.name.to_owned(), open.into());
        }
        connections.insert("total".into(), total.into());
        let journals = self.from.hub.spaces();
        let sum = |of: fn(&yizhan_hub::store::JournalFigures) -> u64| -> u64 {
            journals.iter().filter_map(|view| view.figures.as_ref()).map(of).sum()
        };
        let figures = json!({
            "at": now.wall.as_millis(),
            "uptime": now.steady.duration_since(self.started.steady).as_secs(),
            "connections": connections,
            "sessions": counts.sessions,
            "subscriptions": counts.subscriptions,
            "topics": self.topics(now.steady),
            "messages_in": hub.messages_in.value(),
            "messages_out": hub.messages_out.value(),
            "bytes_in": hub.bytes_in.value(),
            "bytes_out": hub.bytes_out.value(),
            "dropped": self.from.store.busy.value() + self.from.store.full.value(),
            "missed": hub.skipped.value(),
            "refused": hub.refused.value(),
            "latency": self.latency(),
            "memory_bytes": process.resident_bytes,
            "cpu_seconds": process.cpu_seconds,
            "store": {
                "records": sum(|f| f.records),
                "bytes": sum(|f| f.bytes),
                "waiting": sum(|f| f.waiting),
                "free_bytes": self.free_bytes(),
            },
        });
        self.newest.lock().clone_from(&figures);
        figures
    }

    fn latency(&self) -> Value {
        let writes = self.from.net.doors().iter().fold(Histogram::default().snapshot(), |all, door| {
            let one = door.write.snapshot();
            Snapshot {
                counts: std::array::from_fn(|i| all.counts[i] + one.counts[i]),
                sum_micros: all.sum_micros + one.sum_micros,
                max_micros: all.max_micros.max(one.max_micros),
            }
        });
        let now = [
            self.from.store.wait.snapshot(),
            self.from.store.commit.snapshot(),
            self.from.hub.meters().fan_out.snapshot(),
            writes,
        ];
        let before = std::mem::replace(&mut *self.before.lock(), now.clone());
        let mut parts = Map::new();
        for ((name, now), before) in ["wait", "commit", "fanout", "write"].iter().zip(&now).zip(&before) {
            let window = now.since(before);
            let at = |q: f64| window.quantile_micros(q);
            // The longest of a window is known to its bucket only.
            let part = json!({"p50": at(0.5), "p99": at(0.99), "max": at(1.0), "count": window.count()});
            parts.insert((*name).to_owned(), part);
        }
        Value::Object(parts)
    }

    fn topics(&self, now: Instant) -> u64 {
        let mut counted = self.topics_counted.lock();
        if counted.is_none_or(|at| now.duration_since(at) >= TOPICS_COUNTED_EVERY) {
            *counted = Some(now);
            let kept: u64 = self
                .from
                .hub
                .spaces()
                .iter()
                .filter_map(|view| view.figures.as_ref())
                .map(|f| f.topics)
                .sum();
            // Some are both; telling which would mean to compare all names.
            self.topics.store(kept.max(self.from.hub.counts().listened as u64), Relaxed);
        }
        self.topics.load(Relaxed)
    }

    fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.from.data).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Everything, in Prometheus' text form.
    pub(crate) fn prometheus(&self) -> String {
        let mut page = Exposition::new();
        self.server_metrics(&mut page);
        self.net_metrics(&mut page);
        self.hub_metrics(&mut page);
        #[cfg(feature = "mqtt")]
        mqtt::metrics(&self.from.mqtt, &mut page);
        #[cfg(feature = "live")]
        live::metrics(&self.from.live, &mut page);
        self.store_metrics(&mut page);
        page.into_text()
    }

    fn server_metrics(&self, page: &mut Exposition) {
        let process = ProcessFigures::own();
        let started = self.started.wall.as_millis() as f64 / 1000.0;
        page.gauge(
            "yizhan_build_info",
            "The running version, as a label; always 1.",
            &[("version", VERSION)],
            1.0,
        );
        page.gauge(
            "yizhan_start_time_seconds",
            "When the server was started, seconds since 1970.",
            &[],
            started,
        );
        page.gauge(
            "yizhan_draining",
            "1 while the server drains, otherwise 0.",
            &[],
            f64::from(u8::from(self.is_draining())),
        );
        page.counter_f64(
            "yizhan_process_cpu_seconds_total",
            "Processor time used, user and system, seconds.",
            &[],
            process.cpu_seconds,
        );
        page.gauge(
            "yizhan_process_resident_memory_bytes",
            "Resident memory, bytes.",
            &[],
            process.resident_bytes as f64,
        );
        page.gauge(
            "yizhan_process_anonymous_memory_bytes",
            "Resident memory that is neither a file nor shared, bytes.",
            &[],
            process.anonymous_bytes as f64,
        );
        page.gauge("yizhan_process_open_fds", "Open file descriptors.", &[], process.descriptors as f64);
        page.gauge(
            "yizhan_process_max_fds",
            "File descriptors that may be open.",
            &[],
            process.descriptors_max as f64,
        );
        page.gauge("yizhan_process_threads", "Threads.", &[], process.threads as f64);
        if let Some(otlp) = &self.from.otlp {
            page.counter(
                "yizhan_trace_spans_sent_total",
                "Spans that the trace collector took.",
                &[],
                otlp.sent.value(),
            );
            page.counter(
                "yizhan_trace_spans_lost_total",
                "Spans lost because too many waited or the collector did not take them.",
                &[],
                otlp.lost.value(),
            );
        }
    }

    fn net_metrics(&self, page: &mut Exposition) {
        let net = &self.from.net;
        let doors = net.doors();
        for door in &doors {
            let open = door.connections.value() as f64;
            page.gauge("yizhan_connections", "Open connections, by door.", &[("door", door.name)], open);
        }
        let mut by_door = |name, help, of: &dyn Fn(&yizhan_net::DoorMeters) -> u64| {
            for door in &doors {
                page.counter(name, help, &[("door", door.name)], of(door));
            }
        };
        by_door("yizhan_connections_opened_total", "Connections opened.", &|d| d.opened.value());
        by_door("yizhan_received_bytes_total", "Bytes read from sockets.", &|d| d.bytes_in.value());
        by_door("yizhan_sent_bytes_total", "Bytes written to sockets.", &|d| d.bytes_out.value());
        by_door(
            "yizhan_packets_sent_total",
            "Packets handed to sockets, before compression and encryption.",
            &|d| d.packets_out.value(),
        );
        by_door("yizhan_deliveries_total", "Deliveries that doors turned into packets.", &|d| {
            d.deliveries.value()
        });
        by_door(
            "yizhan_writes_total",
            "Writes to sockets; deliveries per write say how well they are joined.",
            &|d| d.writes.value(),
        );
        self.ends_and_writes(page);
        self.listener_metrics(page);
    }

    fn ends_and_writes(&self, page: &mut Exposition) {
        let doors = self.from.net.doors();
        for door in &doors {
            for (code, n) in door.closes() {
                let code = code.to_string();
                page.counter(
                    "yizhan_connections_closed_total",
                    "Connections ended, by close code; 0 is a client that left without a word.",
                    &[("door", door.name), ("code", &code)],
                    n,
                );
            }
        }
        for door in &doors {
            page.histogram(
                "yizhan_write_seconds",
                "From taking deliveries until the system has all their bytes, seconds.",
                &[("door", door.name)],
                &door.write.snapshot(),
            );
        }
    }

    fn listener_metrics(&self, page: &mut Exposition) {
        let net = &self.from.net;
        let refused =
            [("full", &net.refused_full), ("address", &net.refused_address), ("rate", &net.refused_rate)];
        for (reason, counter) in refused {
            page.counter(
                "yizhan_connections_refused_total",
                "Connections closed at once: too many in all, too many of the address, too fast from the address.",
                &[("reason", reason)],
                counter.value(),
            );
        }
        let failed = net.handshakes_failed.value();
        page.counter(
            "yizhan_handshakes_failed_total",
            "Connections that ended in TLS, PROXY or HTTP.",
            &[],
            failed,
        );
        let failed = net.accept_failed.value();
        page.counter(
            "yizhan_accepts_failed_total",
            "Times that no connection could be accepted.",
            &[],
            failed,
        );
        page.counter("yizhan_panics_total", "Tasks that panicked: each is a bug.", &[], net.panics.value());
        page.counter("yizhan_http_requests_total", "HTTP requests answered.", &[], net.requests.value());
        page.histogram(
            "yizhan_http_request_seconds",
            "From an HTTP request's head to its response's head, seconds.",
            &[],
            &net.request_time.snapshot(),
        );
    }

    fn hub_metrics(&self, page: &mut Exposition) {
        let (hub, counts) = (self.from.hub.meters(), self.from.hub.counts());
        page.gauge("yizhan_sessions", "Sessions, sleeping ones included.", &[], counts.sessions as f64);
        page.gauge(
            "yizhan_sessions_connected",
            "Sessions with a live connection.",
            &[],
            counts.connections as f64,
        );
        page.gauge("yizhan_subscriptions", "Subscriptions.", &[], counts.subscriptions as f64);
        self.waiting_metrics(page);
        let mut count = |name, help, value| page.counter(name, help, &[], value);
        count("yizhan_sessions_opened_total", "Sessions opened.", hub.sessions_opened.value());
        count("yizhan_sessions_resumed_total", "Sessions resumed.", hub.sessions_resumed.value());
        count("yizhan_messages_published_total", "Messages taken.", hub.messages_in.value());
        count("yizhan_messages_published_bytes_total", "Bytes of their bodies.", hub.bytes_in.value());
        count("yizhan_messages_delivered_total", "Records delivered.", hub.messages_out.value());
        count("yizhan_messages_delivered_bytes_total", "Bytes of their bodies.", hub.bytes_out.value());
        count(
            "yizhan_messages_skipped_total",
            "Records that slow listeners lost, by lag.",
            hub.skipped.value(),
        );
        count(
            "yizhan_messages_repeated_total",
            "Repeated messages, recognised by id.",
            hub.duplicates.value(),
        );
        count(
            "yizhan_calls_refused_total",
            "Calls refused: rules, limits, wrong names.",
            hub.refused.value(),
        );
        page.histogram(
            "yizhan_fan_out_seconds",
            "From taking a message until it is in all outboxes, seconds.",
            &[],
            &hub.fan_out.snapshot(),
        );
        page.histogram(
            "yizhan_delivery_seconds",
            "From taking a message until a connection writes it, live ones, seconds.",
            &[],
            &hub.delivery.snapshot(),
        );
        let spaces: Vec<_> = self
            .from
            .hub
            .spaces()
            .into_iter()
            .filter_map(|view| Some((view.space.name, view.figures?)))
            .collect();
        let mut by_space = |name, help, of: fn(&yizhan_hub::store::JournalFigures) -> u64| {
            for (space, figures) in &spaces {
                page.gauge(name, help, &[("space", space)], of(figures) as f64);
            }
        };
        by_space("yizhan_space_records", "Records kept.", |f| f.records);
        by_space("yizhan_space_bytes", "Bytes kept, on disk or in memory.", |f| f.bytes);
        by_space("yizhan_space_topics", "Topics known.", |f| f.topics);
        by_space("yizhan_space_waiting", "Messages that wait to be committed.", |f| f.waiting);
    }

    fn waiting_metrics(&self, page: &mut Exposition) {
        let delayed = self.from.hub.delayed_count() as f64;
        page.gauge("yizhan_messages_delayed", "Messages that wait for their time.", &[], delayed);
        let groups = self.from.hub.groups();
        let waiting: usize = groups.iter().map(|group| group.waiting).sum();
        page.gauge("yizhan_groups", "Groups that share filters.", &[], groups.len() as f64);
        page.gauge(
            "yizhan_groups_waiting",
            "Records that wait for a member with room, as far as they are in memory.",
            &[],
            waiting as f64,
        );
    }

    fn store_metrics(&self, page: &mut Exposition) {
        let store = &self.from.store;
        page.histogram(
            "yizhan_store_wait_seconds",
            "How long messages waited for their group's write to begin, seconds.",
            &[],
            &store.wait.snapshot(),
        );
        page.histogram(
            "yizhan_store_commit_seconds",
            "How long groups took to be written and synced, seconds.",
            &[],
            &store.commit.snapshot(),
        );
        page.histogram(
            "yizhan_store_read_seconds",
            "How long reads took that had to go to the files, seconds.",
            &[],
            &store.read.snapshot(),
        );
        let mut count = |name, help, value| page.counter(name, help, &[], value);
        count(
            "yizhan_store_groups_total",
            "Groups committed; records per group say how well.",
            store.groups.value(),
        );
        count("yizhan_store_records_total", "Records committed.", store.records.value());
        count("yizhan_store_written_bytes_total", "Bytes written for them.", store.bytes.value());
        count(
            "yizhan_store_file_reads_total",
            "Reads that had to go to the files.",
            store.file_reads.value(),
        );
        let refused = [("busy", &store.busy), ("full", &store.full)];
        for (reason, counter) in refused {
            page.counter(
                "yizhan_store_refused_total",
                "Messages refused: too many waited, or the disk was full.",
                &[("reason", reason)],
                counter.value(),
            );
        }
        let free = self.free_bytes().unwrap_or(0) as f64;
        page.gauge("yizhan_disk_free_bytes", "Bytes that are free on the data folder's disk.", &[], free);
    }
}
