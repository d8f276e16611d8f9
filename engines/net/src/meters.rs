//! What the network side counts.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use yizhan_talk::{Counter, Gauge, Histogram};

/// Counts of the whole site, and those of each door.
#[derive(Debug, Default)]
pub struct Meters {
    /// Connections closed at once because `limits.connections_max` was reached.
    pub refused_full: Counter,
    /// Connections closed at once because their address has too many.
    pub refused_address: Counter,
    /// Connections closed at once because their address opens them too fast.
    pub refused_rate: Counter,
    /// Connections that ended before the door saw them: TLS, PROXY header, HTTP preface, WebSocket handshake.
    pub handshakes_failed: Counter,
    /// Times that accepting failed, mostly because no file descriptor was free.
    pub accept_failed: Counter,
    /// Tasks that panicked: each is a bug of ours.
    pub panics: Counter,
    /// HTTP requests answered.
    pub requests: Counter,
    /// Time from an HTTP request's head to its response's head.
    pub request_time: Histogram,
    doors: Mutex<BTreeMap<&'static str, Arc<DoorMeters>>>,
}

impl Meters {
    /// The counts of a door; made at the first call.
    #[must_use]
    pub fn door(&self, name: &'static str) -> Arc<DoorMeters> {
        Arc::clone(self.doors.lock().entry(name).or_insert_with(|| Arc::new(DoorMeters::new(name))))
    }

    /// All doors that had a connection or were asked for, by name.
    #[must_use]
    pub fn doors(&self) -> Vec<Arc<DoorMeters>> {
        self.doors.lock().values().cloned().collect()
    }
}

/// What one door counts.
#[derive(Debug)]
pub struct DoorMeters {
    /// The door's name, as in the config.
    pub name: &'static str,
    /// Connections now.
    pub connections: Gauge,
    /// Connections since the start.
    pub opened: Counter,
    /// Bytes read.
    pub bytes_in: Counter,
    /// Bytes written.
    pub bytes_out: Counter,
    /// Packets handed to the system, before compression and encryption.
    pub packets_out: Counter,
    /// Deliveries taken from backends. With `writes`, how well they coalesce.
    pub deliveries: Counter,
    /// Writes to the system.
    pub writes: Counter,
    /// Time from taking deliveries until the system has all their bytes.
    pub write: Histogram,
    closes: Mutex<BTreeMap<u16, u64>>,
}

impl DoorMeters {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            connections: Gauge::default(),
            opened: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            packets_out: Counter::default(),
            deliveries: Counter::default(),
            writes: Counter::default(),
            write: Histogram::default(),
            closes: Mutex::default(),
        }
    }

    /// Counts an end; 0 stands for a client that left without a word.
    pub fn closed(&self, code: u16) {
        *self.closes.lock().entry(code).or_default() += 1;
    }

    /// How often connections ended, by close code; 0 stands for a client that left without a word.
    #[must_use]
    pub fn closes(&self) -> Vec<(u16, u64)> {
        self.closes.lock().iter().map(|(code, n)| (*code, *n)).collect()
    }
}
