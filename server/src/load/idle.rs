//! Idle connections, one subscription each: what they cost in memory, and whether they cost processor time.

use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{
    engine::{Engine, Role, Sender},
    report::{Latencies, Report},
    run::{Common, Plan, Shared, run},
};

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Idle {
    pub(crate) connections: usize,
    /// What the topics begin with; each connection has one of its own.
    pub(crate) topic: String,
}

struct Sleeper {
    number: usize,
    topic: Rc<str>,
    hello: Rc<[u8]>,
    shared: Arc<Shared>,
}

impl Role for Sleeper {
    fn opened(&mut self, send: &mut Sender<'_>) {
        send.text(&self.hello);
        let topic = format!("{}/{}", self.topic, self.number);
        let subscribe = serde_json::json!({"type": "subscribe", "id": 2, "sub": 1, "filter": topic});
        send.text(subscribe.to_string().as_bytes());
    }

    fn message(&mut self, payload: &[u8], _send: &mut Sender<'_>) -> Result<(), String> {
        if memchr::memmem::find(payload, b"\"type\":\"error\"").is_some() {
            return Err(format!("the server refused: {}", String::from_utf8_lossy(payload)));
        }
        if memchr::memmem::find(payload, b"\"subscribed\"").is_some() {
            self.shared.ready.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

struct Share {
    numbers: Vec<usize>,
    topic: String,
    hello: Vec<u8>,
    shared: Arc<Shared>,
}

impl Plan for Share {
    type Role = Sleeper;

    fn roles(&mut self) -> Vec<(usize, Sleeper)> {
        let (topic, hello): (Rc<str>, Rc<[u8]>) = (self.topic.as_str().into(), self.hello.as_slice().into());
        let sleeper = |number| Sleeper {
            number,
            topic: topic.clone(),
            hello: hello.clone(),
            shared: self.shared.clone(),
        };
        self.numbers.iter().map(|&number| (number, sleeper(number))).collect()
    }

    fn finished(&mut self, _engine: &Engine<Sleeper>) {}
}

/// Runs it. The warm-up is the time to settle.
///
/// # Errors
/// The run could not be finished.
pub(crate) fn measure(common: &Common, idle: &Idle) -> Result<Report, String> {
    let shared = Shared::new();
    let threads = common.threads.clamp(1, idle.connections.max(1));
    let plan = |thread: usize| Share {
        numbers: (thread..idle.connections).step_by(threads).collect(),
        topic: idle.topic.clone(),
        hello: common.hello(),
        shared: shared.clone(),
    };
    let plans: Vec<Share> = (0..threads).map(plan).collect();
    let outcome = run(common, &shared, plans, idle.connections as u64, |_| true)?;
    Ok(Report {
        mode: "idle",
        setting: Vec::new(),
        took: outcome.took,
        published: 0,
        delivered: 0,
        lost: 0,
        repeated: 0,
        refused: 0,
        connections: idle.connections,
        latencies: Latencies::new(),
        server: outcome.server,
    })
}
