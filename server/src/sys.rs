//! `$SYS/broker/…`: figures under the names that mosquitto's users chart, each a retained message that is published
//! when it has changed.
//!
//! Only what is measured is there; `docs/reference/mqtt.md` lists it. Clients are sessions of all doors; messages,
//! publishes and bytes are those of MQTT.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use yizhan_hub::{Content, Hub, Topic, message::RETAINED};
use yizhan_mqtt::wire::Kind;
use yizhan_probe::ProcessFigures;
use yizhan_talk::Now;

use crate::figures::VERSION;

/// What all topics begin with.
const PREFIX: &str = "$SYS/broker/";
/// What the names of the door's listeners begin with.
const DOORS: &str = "mqtt";
/// Over how much time loads are averaged, and how mosquitto writes it.
const WINDOWS: [(Duration, &str); 3] = [
    (Duration::from_secs(60), "1min"),
    (Duration::from_secs(5 * 60), "5min"),
    (Duration::from_secs(15 * 60), "15min"),
];

/// Publishes the figures.
pub(crate) struct Sys {
    hub: Hub,
    net: Arc<yizhan_net::Meters>,
    mqtt: Arc<yizhan_mqtt::Meters>,
    interval: Duration,
    started: Now,
    known: Mutex<Known>,
}

/// What was said, and what averages are made of.
#[derive(Default)]
struct Known {
    at: Option<Instant>,
    said: BTreeMap<String, String>,
    loads: BTreeMap<&'static str, Load>,
    clients_most: u64,
    heap_most: u64,
}

/// How much of something there was per minute, lately.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Load {
    total: u64,
    averages: [f64; WINDOWS.len()],
}

impl Sys {
    /// Figures every `interval`; none where it is zero.
    pub(crate) fn new(
        hub: Hub,
        net: Arc<yizhan_net::Meters>,
        mqtt: Arc<yizhan_mqtt::Meters>,
        interval: Duration,
    ) -> Self {
        let started = hub.now();
        Self { hub, net, mqtt, interval, started, known: Mutex::default() }
    }

    /// Publishes what has changed, where it is time to. Called once a second.
    pub(crate) fn maintain(&self) {
        if self.interval.is_zero() {
            return;
        }
        let now = self.hub.now();
        let mut known = self.known.lock();
        let passed = match known.at {
            Some(at) => now.steady.saturating_duration_since(at),
            // The first figures come at once, and loads begin to count.
            None => self.interval,
        };
        if passed < self.interval {
            return;
        }
        known.at = Some(now.steady);
        let mut all = Vec::new();
        self.clients(&mut known, &mut all);
        self.messages(&mut all);
        self.loads(&mut known, passed, &mut all);
        let uptime = now.steady.saturating_duration_since(self.started.steady).as_secs();
        all.push(("uptime".to_owned(), format!("{uptime} seconds")));
        all.push(("version".to_owned(), format!("yizhan version {VERSION}")));
        for (name, value) in all {
            if known.said.get(&name) != Some(&value) {
                self.publish(&name, &value);
                known.said.insert(name, value);
            }
        }
    }

    fn clients(&self, known: &mut Known, all: &mut Vec<(String, String)>) {
        let counts = self.hub.counts();
        let (total, connected) = (counts.sessions as u64, counts.connections);
        known.clients_most = known.clients_most.max(connected);
        let heap = ProcessFigures::own().anonymous_bytes;
        known.heap_most = known.heap_most.max(heap);
        let figures = [
            ("clients/connected", connected),
            ("clients/disconnected", total.saturating_sub(connected)),
            ("clients/total", total),
            ("clients/maximum", known.clients_most),
            ("subscriptions/count", counts.subscriptions as u64),
            ("shared_subscriptions/count", self.hub.groups().iter().map(|group| group.members as u64).sum()),
            ("heap/current", heap),
            ("heap/maximum", known.heap_most),
        ];
        all.extend(figures.map(|(name, value)| (name.to_owned(), value.to_string())));
    }

    fn messages(&self, all: &mut Vec<(String, String)>) {
        let (packets_in, packets_out) = self.mqtt.all_packets();
        let (publish_in, publish_out) = self.mqtt.packets(Kind::Publish);
        let (bytes_in, bytes_out) = self.bytes();
        let (mut kept, mut kept_bytes) = (0, 0);
        for figures in self.hub.spaces().into_iter().filter_map(|space| space.figures) {
            kept += figures.records;
            kept_bytes += figures.bytes;
        }
        let figures = [
            ("messages/received", packets_in),
            ("messages/sent", packets_out),
            ("messages/stored", kept),
            ("store/messages/count", kept),
            ("store/messages/bytes", kept_bytes),
            ("publish/messages/received", publish_in),
            ("publish/messages/sent", publish_out),
            ("publish/messages/dropped", self.dropped()),
            ("publish/bytes/received", self.mqtt.publish_bytes_in.value()),
            ("publish/bytes/sent", self.mqtt.publish_bytes_out.value()),
            ("bytes/received", bytes_in),
            ("bytes/sent", bytes_out),
        ];
        all.extend(figures.map(|(name, value)| (name.to_owned(), value.to_string())));
    }

    fn loads(&self, known: &mut Known, passed: Duration, all: &mut Vec<(String, String)>) {
        let (packets_in, packets_out) = self.mqtt.all_packets();
        let (publish_in, publish_out) = self.mqtt.packets(Kind::Publish);
        let (bytes_in, bytes_out) = self.bytes();
        let totals = [
            ("messages/received", packets_in),
            ("messages/sent", packets_out),
            ("publish/received", publish_in),
            ("publish/sent", publish_out),
            ("publish/dropped", self.dropped()),
            ("bytes/received", bytes_in),
            ("bytes/sent", bytes_out),
            ("sockets", self.doors().map(|door| door.opened.value()).sum()),
            ("connections", self.mqtt.packets(Kind::Connect).0),
        ];
        for (name, total) in totals {
            let load = known.loads.entry(name).or_default();
            load.count(total, passed);
            for ((_, window), average) in WINDOWS.iter().zip(load.averages) {
                all.push((format!("load/{name}/{window}"), format!("{average:.2}")));
            }
        }
    }

    fn doors(&self) -> impl Iterator<Item = Arc<yizhan_net::DoorMeters>> {
        self.net.doors().into_iter().filter(|door| door.name.starts_with(DOORS))
    }

    fn bytes(&self) -> (u64, u64) {
        self.doors().fold((0, 0), |(received, sent), door| {
            (received + door.bytes_in.value(), sent + door.bytes_out.value())
        })
    }

    fn dropped(&self) -> u64 {
        let mqtt = &self.mqtt;
        let doors = [&mqtt.dropped_too_large, &mqtt.dropped_expired, &mqtt.dropped_qos0];
        doors.iter().map(|counter| counter.value()).sum::<u64>() + self.hub.meters().skipped.value()
    }

    fn publish(&self, name: &str, value: &str) {
        // All names are constants and make topics.
        let Ok(topic) = Topic::new(&format!("{PREFIX}{name}")) else { return };
        let body = Bytes::copy_from_slice(value.as_bytes());
        self.hub.announce(topic, Some(RETAINED.into()), Content::Text, body);
    }
}

impl Load {
    /// So much there is now, `passed` after the last time.
    fn count(&mut self, total: u64, passed: Duration) {
        let per_minute = total.saturating_sub(self.total) as f64 * 60.0 / passed.as_secs_f64().max(0.001);
        self.total = total;
        for ((window, _), average) in WINDOWS.iter().zip(&mut self.averages) {
            let old = (-passed.as_secs_f64() / window.as_secs_f64()).exp();
            *average = per_minute + old * (*average - per_minute);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_comes_near_a_steady_rate_and_goes_away_after_it() {
        let mut load = Load::default();
        let mut total = 0;
        for _ in 0..6 * 15 * 4 {
            total += 20;
            load.count(total, Duration::from_secs(10));
        }
        for average in load.averages {
            assert!((average - 120.0).abs() < 3.0, "{average}");
        }
        for _ in 0..6 {
            load.count(total, Duration::from_secs(10));
        }
        let [one, five, fifteen] = load.averages;
        assert!((one - 120.0 / std::f64::consts::E).abs() < 2.0, "{one}");
        assert!(one < five && five < fifteen && fifteen < 120.0);
    }
}
