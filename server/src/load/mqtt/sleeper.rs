//! Clients that subscribe once and do nothing more.

use std::{
    cell::Cell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Mqtt,
    engine::{Engine, Role},
    wire::{Login, Packet, push_connect, push_subscribe},
};

/// How long clients may take until all have their subscription.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// How long a turn may wait.
const TURN_MAX: Duration = Duration::from_millis(20);

/// A client with one subscription, on a topic of its own.
pub(super) struct Sleeper {
    name: String,
    filter: String,
    login: Arc<Login>,
    /// How many of its thread have their subscription.
    ready: Rc<Cell<usize>>,
    is_ready: bool,
    comes_again: bool,
}

impl Role for Sleeper {
    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.is_ready {
            self.is_ready = false;
            self.ready.set(self.ready.get() - 1);
        }
        push_connect(out, &self.name, &self.login);
    }

    fn packet(&mut self, packet: Packet<'_>, _now: Instant, out: &mut Vec<u8>) -> Result<(), String> {
        match packet {
            Packet::Accepted { .. } => push_subscribe(out, &self.filter, 0, self.login.version),
            Packet::Subscribed { code: 0 } => {
                self.is_ready = true;
                self.ready.set(self.ready.get() + 1);
            }
            Packet::Pong => {}
            packet => return Err(format!("the broker sent what nobody waits for: {packet:?}")),
        }
        Ok(())
    }

    fn comes_again(&self) -> bool {
        self.comes_again
    }
}

/// A thread's sleepers.
pub(super) struct Dormitory {
    pub(super) engine: Engine<Sleeper>,
    login: Arc<Login>,
    topic: String,
    ready: Rc<Cell<usize>>,
    beds: usize,
    comes_again: bool,
}

impl Dormitory {
    /// An empty one. Where clients come again, a lost connection is no failure.
    ///
    /// # Errors
    /// The system gives no poll.
    pub(super) fn new(mqtt: &Mqtt, topic: &str, comes_again: bool) -> Result<Self, String> {
        Ok(Self {
            engine: Engine::new(mqtt.broker, mqtt.login.version)?,
            login: mqtt.login.clone(),
            topic: topic.to_owned(),
            ready: Rc::default(),
            beds: 0,
            comes_again,
        })
    }

    /// So many more, and all subscribed.
    ///
    /// # Errors
    /// One was refused, or they were not ready in time.
    pub(super) fn take_in(&mut self, clients: usize) -> Result<(), String> {
        for _ in 0..clients {
            let number = self.beds;
            let sleeper = Sleeper {
                name: format!("bench-{:x}-s{number}", std::process::id()),
                filter: format!("{}/{number}", self.topic),
                login: self.login.clone(),
                ready: self.ready.clone(),
                is_ready: false,
                comes_again: self.comes_again,
            };
            self.beds += 1;
            self.engine.connect(number, sleeper)?;
        }
        let by = Instant::now() + READY_WITHIN;
        while self.awake() > 0 {
            if Instant::now() > by {
                return Err(format!("{} of {} clients were not ready in time", self.awake(), self.beds));
            }
            self.engine.turn(TURN_MAX)?;
        }
        Ok(())
    }

    /// How many do not have their subscription.
    pub(super) fn awake(&self) -> usize {
        self.beds - self.ready.get()
    }

    /// Sees to heartbeats for so long.
    ///
    /// # Errors
    /// A connection ended that does not come again.
    pub(super) fn rest(&mut self, length: Duration) -> Result<(), String> {
        let until = Instant::now() + length;
        while Instant::now() < until {
            self.engine.turn(until.saturating_duration_since(Instant::now()).min(TURN_MAX))?;
        }
        Ok(())
    }
}
