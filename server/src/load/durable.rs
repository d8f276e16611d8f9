//! Durable publish: publishers with a window each, every receipt timed.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use memchr::memmem::Finder;

use super::{
    engine::{Engine, Role, Sender},
    report::{Latencies, Report},
    run::{Common, Phase, Plan, Shared, run},
};

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Durable {
    pub(crate) publishers: usize,
    /// Messages of one publisher without a receipt.
    pub(crate) window: usize,
    pub(crate) body_bytes: usize,
    pub(crate) topics: usize,
    /// What the topics begin with.
    pub(crate) topic: String,
    /// `none`, `memory` or `disk`: refused where the space promises less.
    pub(crate) durable: String,
}

struct Local {
    latencies: Latencies,
    receipt: Finder<'static>,
    error: Finder<'static>,
}

struct Publisher {
    durable: Rc<Durable>,
    shared: Arc<Shared>,
    local: Rc<RefCell<Local>>,
    hello: Rc<[u8]>,
    filler: Rc<str>,
    number: usize,
    /// When each message without a receipt was sent: receipts come in this order.
    under_way: VecDeque<Instant>,
    welcome: bool,
}

impl Role for Publisher {
    fn opened(&mut self, send: &mut Sender<'_>) {
        send.text(&self.hello);
    }

    fn message(&mut self, payload: &[u8], send: &mut Sender<'_>) -> Result<(), String> {
        let mut local = self.local.borrow_mut();
        let refused = local.error.find_iter(payload).count();
        if !self.welcome || refused > 0 {
            let text = String::from_utf8_lossy(&payload[..payload.len().min(300)]).into_owned();
            if refused > 0 {
                return Err(format!("the server refused: {text}"));
            }
            if memchr::memmem::find(payload, b"\"welcome\"").is_some() {
                self.welcome = true;
                self.shared.ready.fetch_add(1, Relaxed);
            }
            return Ok(());
        }
        let receipts = local.receipt.find_iter(payload).count();
        let (now, measured) = (Instant::now(), self.shared.phase() == Phase::Measure);
        for _ in 0..receipts {
            let Some(sent) = self.under_way.pop_front() else {
                return Err("a receipt for nothing".into());
            };
            if measured {
                let micros = u64::try_from(now.duration_since(sent).as_micros()).unwrap_or(u64::MAX);
                local.latencies.record(micros, 1);
            }
        }
        drop(local);
        self.shared.acknowledged.fetch_add(receipts as u64, Relaxed);
        self.fill(now, send);
        Ok(())
    }

    fn pumps(&self) -> bool {
        true
    }

    fn pump(&mut self, now: Instant, send: &mut Sender<'_>) -> Option<Instant> {
        // Only the first messages go from here; after that each receipt makes room for the next.
        if self.welcome && self.under_way.is_empty() {
            self.fill(now, send);
        }
        None
    }
}

impl Publisher {
    fn fill(&mut self, now: Instant, send: &mut Sender<'_>) {
        if !matches!(self.shared.phase(), Phase::Warmup | Phase::Measure) {
            return;
        }
        while self.under_way.len() < self.durable.window {
            let topic = self.number % self.durable.topics;
            let text = format!(
                "{{\"type\":\"publish\",\"id\":{},\"topic\":\"{}/{topic}\",\"durable\":\"{}\",\"text\":\"{}\"}}",
                self.number, self.durable.topic, self.durable.durable, self.filler
            );
            send.text(text.as_bytes());
            self.number += 1;
            self.under_way.push_back(now);
            self.shared.sent.fetch_add(1, Relaxed);
        }
    }
}

struct Share {
    numbers: Vec<usize>,
    durable: Durable,
    hello: Vec<u8>,
    shared: Arc<Shared>,
}

impl Plan for Share {
    type Role = Publisher;

    fn roles(&mut self) -> Vec<(usize, Publisher)> {
        let local = Rc::new(RefCell::new(Local {
            latencies: Latencies::new(),
            receipt: Finder::new("\"type\":\"receipt\""),
            error: Finder::new("\"type\":\"error\""),
        }));
        let durable = Rc::new(self.durable.clone());
        let hello: Rc<[u8]> = self.hello.as_slice().into();
        let filler: Rc<str> = "x".repeat(self.durable.body_bytes).into();
        let publisher = |number: usize| Publisher {
            durable: durable.clone(),
            shared: self.shared.clone(),
            local: local.clone(),
            hello: hello.clone(),
            filler: filler.clone(),
            // Publishers begin at different topics, so that a topic has one writer after the other.
            number: number * self.durable.topics / self.durable.publishers,
            under_way: VecDeque::with_capacity(self.durable.window),
            welcome: false,
        };
        self.numbers.iter().map(|&number| (number, publisher(number))).collect()
    }

    fn finished(&mut self, engine: &Engine<Publisher>) {
        if let Some(publisher) = engine.roles().next() {
            self.shared.add_latencies(&publisher.local.borrow().latencies);
        }
        let missing: usize = engine.roles().map(|p| p.under_way.len()).sum();
        self.shared.lost.fetch_add(missing as u64, Relaxed);
    }
}

/// Runs it.
///
/// # Errors
/// The run could not be finished.
pub(crate) fn measure(common: &Common, durable: &Durable) -> Result<Report, String> {
    let shared = Shared::new();
    let threads = common.threads.clamp(1, durable.publishers.max(1));
    let plan = |thread: usize| Share {
        numbers: (thread..durable.publishers).step_by(threads).collect(),
        durable: durable.clone(),
        hello: common.hello(),
        shared: shared.clone(),
    };
    let plans: Vec<Share> = (0..threads).map(plan).collect();
    let all = |shared: &Shared| shared.acknowledged.load(Relaxed) >= shared.sent.load(Relaxed);
    let outcome = run(common, &shared, plans, durable.publishers as u64, all)?;
    Ok(Report {
        mode: "publish",
        setting: vec![
            ("publishers", durable.publishers.into()),
            ("window", durable.window.into()),
            ("body_bytes", durable.body_bytes.into()),
            ("topics", durable.topics.into()),
            ("durable", durable.durable.as_str().into()),
        ],
        took: outcome.took,
        published: outcome.acknowledged,
        delivered: 0,
        lost: shared.lost.load(Relaxed),
        repeated: 0,
        refused: shared.refused.load(Relaxed),
        connections: durable.publishers,
        latencies: outcome.latencies,
        server: outcome.server,
    })
}
