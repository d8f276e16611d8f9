//! What is measured, and what is wanted of it.

use super::brokers::Broker;

/// What a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Processor time of a delivery.
    Cost,
    /// Latency at a modest rate.
    Latency,
    /// Memory of an idle client.
    Memory,
    /// How long until all are back, and what others feel of it.
    Storm,
    /// Acknowledgements a second.
    Durable,
}

/// One load on all brokers.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What `yizhan bench mqtt --case` calls it.
    pub(super) load: &'static str,
    pub(super) arguments: &'static [&'static str],
    pub(super) kind: Kind,
    /// How many (memory, storm), where the system allows so many.
    pub(super) clients: usize,
    /// Who takes part; `None`: all.
    pub(super) brokers: Option<&'static [Broker]>,
    pub(super) wanted: &'static str,
}

const COST: Case = Case {
    name: "",
    title: "",
    load: "fanout",
    arguments: &[],
    kind: Kind::Cost,
    clients: 0,
    brokers: None,
    wanted: "",
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "fanout",
        title: "1 -> 1,000, QoS 0, as fast as it goes, 10 messages under way",
        wanted: "at most 1.2 µs",
        ..COST
    },
    Case {
        name: "fanout-qos1",
        title: "1 -> 1,000, QoS 1, 10 messages under way",
        load: "fanout-qos1",
        wanted: "at most 2.2 µs",
        ..COST
    },
    Case {
        name: "topics",
        title: "20 publishers, 100 topics x 10 subscribers, QoS 0, 4 messages under way a topic",
        load: "topics",
        wanted: "at most 2.4 µs",
        ..COST
    },
    Case {
        name: "pairs",
        title: "200 pairs, QoS 1, 10 messages under way each",
        load: "pairs",
        wanted: "at most 5 µs",
        ..COST
    },
    // The same with more under way: who joins what waits into one write?
    Case {
        name: "fanout-wide",
        title: "1 -> 1,000, QoS 0, 512 messages under way",
        arguments: &["--window", "512"],
        wanted: "no worse than any",
        ..COST
    },
    Case {
        name: "topics-wide",
        title: "20 publishers, 100 topics x 10 subscribers, QoS 0, 64 messages under way a topic",
        load: "topics",
        arguments: &["--window", "64"],
        wanted: "no worse than any",
        ..COST
    },
    Case {
        name: "idle",
        title: "idle clients with one subscription each, settled",
        load: "idle",
        kind: Kind::Memory,
        clients: 20_000,
        wanted: "at most 3,000 bytes",
        ..COST
    },
    Case {
        name: "steady",
        title: "20 messages/s to 1,000 subscribers, QoS 0",
        load: "steady",
        kind: Kind::Latency,
        wanted: "p99 no worse than mosquitto's",
        ..COST
    },
    Case {
        name: "durable",
        title: "200 clients publish with QoS 1, 32 under way each (yizhan: into a space on disk, synced before the \
                acknowledgement; the peers answer from memory)",
        load: "durable",
        kind: Kind::Durable,
        brokers: Some(&[Broker::Yizhan, Broker::Mosquitto, Broker::Rumqttd]),
        wanted: "at least 50,000 a second",
        ..COST
    },
    Case {
        name: "storm",
        title: "all clients lose their connections and come back at once; a pair of others talks meanwhile",
        load: "storm",
        kind: Kind::Storm,
        clients: 15_000,
        wanted: "20,000 back within 10 s, no one else disturbed",
        ..COST
    },
];
