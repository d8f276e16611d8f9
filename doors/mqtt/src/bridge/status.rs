//! How a bridge is doing: for the log, the console and `$SYS`.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tracing::{debug, warn};
use yizhan_talk::Timestamp;

/// What one bridge's connections leave behind.
pub(super) struct Status {
    /// Told when the line comes up or goes down.
    tell: Box<dyn Fn(bool) + Send + Sync>,
    line: Mutex<Line>,
    /// The other broker has answered in this connection.
    answered: AtomicBool,
    /// The other broker takes the top bit of the protocol level.
    takes_bridges: AtomicBool,
    /// A message was dropped in this connection.
    complained: AtomicBool,
    waiting: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
    missed: AtomicU64,
}

#[derive(Default)]
struct Line {
    since: Option<Timestamp>,
    last_error: Option<String>,
    /// The reason of this connection is known.
    is_told: bool,
    failures: u32,
}

/// How a bridge is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its name in the config.
    pub name: String,
    /// The other broker's address.
    pub address: String,
    /// Since when the line is up; `None` while it is down.
    pub connected_since: Option<Timestamp>,
    /// Why the line was last lost, or did not come up.
    pub last_error: Option<String>,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// Messages taken from the hub that the other broker has not confirmed. What waits in the hub is shown
    /// with the bridge's sessions there: `bridge:NAME:PRIORITY`.
    pub waiting: u64,
    /// Messages that the other broker has taken.
    pub sent: u64,
    /// Messages that came from the other broker and were published here.
    pub received: u64,
    /// Messages that one of both sides did not take.
    pub dropped: u64,
    /// Messages that the hub could not keep while the line was down.
    pub missed: u64,
}

impl Status {
    pub(super) fn new(tell: impl Fn(bool) + Send + Sync + 'static) -> Self {
        Self {
            tell: Box::new(tell),
            line: Mutex::default(),
            answered: AtomicBool::new(false),
            takes_bridges: AtomicBool::new(true),
            complained: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }
    }

    /// Tells whether the line is up.
    pub(super) fn tell(&self, is_up: bool) {
        (self.tell)(is_up);
    }

    /// Attempts in a row that failed.
    pub(super) fn failures(&self) -> u32 {
        self.line.lock().failures
    }

    /// A new connection begins.
    pub(super) fn begin(&self) {
        self.answered.store(false, Relaxed);
        self.complained.store(false, Relaxed);
        self.line.lock().is_told = false;
    }

    /// The other broker has answered, whatever it said.
    pub(super) fn answer(&self) {
        self.answered.store(true, Relaxed);
    }

    /// Whether it has.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    /// Whether the top bit of the protocol level is worth a try.
    pub(super) fn takes_bridges(&self) -> bool {
        self.takes_bridges.load(Relaxed)
    }

    /// The other broker does not know the top bit of the protocol level.
    pub(super) fn refuses_bridges(&self) {
        self.takes_bridges.store(false, Relaxed);
    }

    /// The line is up.
    pub(super) fn up(&self, at: Timestamp) {
        *self.line.lock() = Line { since: Some(at), ..Line::default() };
        (self.tell)(true);
    }

    /// Why the line goes down, or does not come up. The first reason of a connection stands.
    pub(super) fn fail(&self, reason: impl fmt::Display) {
        let mut line = self.line.lock();
        if !std::mem::replace(&mut line.is_told, true) {
            line.last_error = Some(reason.to_string());
        }
    }

    /// The connection is over. Says whether the line was up, and the reason.
    pub(super) fn down(&self) -> (bool, String) {
        self.fail("the connection was lost");
        let mut line = self.line.lock();
        let was_up = line.since.take().is_some();
        line.failures = line.failures.saturating_add(1);
        let reason = line.last_error.clone().unwrap_or_default();
        drop(line);
        self.waiting.store(0, Relaxed);
        if was_up {
            (self.tell)(false);
        }
        (was_up, reason)
    }

    pub(super) fn set_waiting(&self, waiting: usize) {
        self.waiting.store(waiting as u64, Relaxed);
    }

    pub(super) fn count_sent(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    pub(super) fn count_received(&self) {
        self.received.fetch_add(1, Relaxed);
    }

    /// A message that one of both sides does not take, and why. The first of a connection is told, the others
    /// are counted.
    pub(super) fn drop_one(&self, bridge: &str, reason: impl fmt::Display) {
        self.dropped.fetch_add(1, Relaxed);
        if self.complained.swap(true, Relaxed) {
            debug!(bridge, %reason, "a message does not cross a bridge");
        } else {
            warn!(bridge, %reason, "a message does not cross a bridge; more of them are only counted");
        }
    }

    pub(super) fn count_missed(&self, messages: u64) {
        self.missed.fetch_add(messages, Relaxed);
    }

    pub(super) fn view(&self, name: &str, address: &str) -> View {
        let line = self.line.lock();
        View {
            name: name.to_owned(),
            address: address.to_owned(),
            connected_since: line.since,
            last_error: line.last_error.clone(),
            failures: line.failures,
            waiting: self.waiting.load(Relaxed),
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            missed: self.missed.load(Relaxed),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status").finish_non_exhaustive()
    }
}
