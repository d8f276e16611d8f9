//! Pairs: one writes, the other one reads, and both see the receipts.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use memchr::memmem::Finder;
use serde_json::json;

use super::{
    super::{
        engine::{Engine, Role, Sender},
        report::{Latencies, Report},
        run::{Common, Phase, Plan, Shared, run},
        wire::{STAMP_BYTES, Scanner, push_stamp},
    },
    account, attach, has, hello, refusal,
    talk::Talk,
};

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Pairs {
    pub(crate) pairs: usize,
    /// Messages of one writer without an acknowledgement.
    pub(crate) window: usize,
    pub(crate) body_bytes: usize,
}

struct Local {
    scanner: Scanner,
    receipt: Finder<'static>,
    seq: Finder<'static>,
    latencies: Latencies,
}

enum Part {
    Writer { conversation: Rc<str>, number: u64, under_way: usize },
    Reader { conversation: Rc<str>, next: u64, newest: u64, told: u64, asking: bool },
}

struct Person {
    user: String,
    part: Part,
    window: usize,
    filler: Rc<str>,
    run: u32,
    ready: bool,
    shared: Arc<Shared>,
    local: Rc<RefCell<Local>>,
    scratch: Vec<u8>,
}

impl Role for Person {
    fn opened(&mut self, send: &mut Sender<'_>) {
        send.text(&hello(&self.user));
        for command in attach(&self.user) {
            send.text(&command);
        }
    }

    fn message(&mut self, payload: &[u8], send: &mut Sender<'_>) -> Result<(), String> {
        if has(payload, "\"type\":\"error\"") {
            return Err(refusal(payload));
        }
        if !self.ready {
            if has(payload, "\"subscribed\"") {
                self.ready = true;
                self.shared.ready.fetch_add(1, Relaxed);
            }
            return Ok(());
        }
        match &mut self.part {
            Part::Writer { under_way, .. } => {
                let receipts = self.local.borrow().receipt.find_iter(payload).count();
                *under_way = under_way.saturating_sub(receipts);
                self.shared.acknowledged.fetch_add(receipts as u64, Relaxed);
                if receipts > 0 {
                    self.fill(send);
                }
            }
            Part::Reader { conversation, next, newest, told, asking } => {
                let mut local = self.local.borrow_mut();
                if let Some(found) = local.scanner.scan(payload) {
                    let expected = *next;
                    if found.first < expected {
                        self.shared.repeated.fetch_add(found.count.min(expected - found.first), Relaxed);
                    }
                    let span = (found.last + 1).saturating_sub(expected);
                    self.shared.lost.fetch_add(span.saturating_sub(found.count), Relaxed);
                    *next = expected.max(found.last + 1);
                    self.shared.delivered.fetch_add(found.count, Relaxed);
                    if self.shared.phase() == Phase::Measure {
                        let now = self.shared.micros(Instant::now());
                        let early = found.count / 2;
                        local.latencies.record(now.saturating_sub(found.first_micros), early);
                        local.latencies.record(now.saturating_sub(found.last_micros), found.count - early);
                    }
                    if let Some(seq) = last_number(&local.seq, payload) {
                        *newest = (*newest).max(seq);
                    }
                }
                // The SDK has one question about receipts under way, too.
                if has(payload, "\"type\":\"told\"") {
                    *asking = false;
                }
                if !*asking && *newest > *told {
                    *asking = true;
                    *told = *newest;
                    let delivered = format!(
                        "{{\"type\":\"ask\",\"to\":\"im/delivered\",\"data\":{{\"cursors\":{{\"{conversation}\":{told}}}}}}}"
                    );
                    let read = format!(
                        "{{\"type\":\"ask\",\"id\":9,\"to\":\"im/read\",\"data\":{{\"conversation\":\"{conversation}\",\"seq\":{told}}}}}"
                    );
                    send.text(delivered.as_bytes());
                    send.text(read.as_bytes());
                }
            }
        }
        Ok(())
    }

    fn pumps(&self) -> bool {
        matches!(self.part, Part::Writer { .. })
    }

    fn pump(&mut self, _now: Instant, send: &mut Sender<'_>) -> Option<Instant> {
        // Only the first messages go from here; after that each receipt makes room for the next.
        if self.ready && matches!(self.part, Part::Writer { under_way: 0, .. }) {
            self.fill(send);
        }
        None
    }
}

impl Person {
    fn fill(&mut self, send: &mut Sender<'_>) {
        let Part::Writer { conversation, number, under_way } = &mut self.part else { return };
        if !matches!(self.shared.phase(), Phase::Warmup | Phase::Measure) {
            return;
        }
        while *under_way < self.window {
            self.scratch.clear();
            let head = format!(
                "{{\"type\":\"publish\",\"id\":1,\"topic\":\"im/c/{conversation}\",\"mid\":\"{:x}-{number}\",\"data\":{{\"kind\":\"text\",\"text\":\"",
                self.run
            );
            self.scratch.extend_from_slice(head.as_bytes());
            push_stamp(&mut self.scratch, *number, self.shared.micros(Instant::now()));
            self.scratch.extend_from_slice(self.filler.as_bytes());
            self.scratch.extend_from_slice(b"\"}}");
            send.text(&self.scratch);
            *number += 1;
            *under_way += 1;
            self.shared.sent.fetch_add(1, Relaxed);
        }
    }
}

/// The last number that stands behind what `finder` finds.
fn last_number(finder: &Finder<'_>, payload: &[u8]) -> Option<u64> {
    let at = finder.find_iter(payload).last()? + finder.needle().len();
    let digits = payload.get(at..)?.iter().take_while(|b| b.is_ascii_digit());
    Some(digits.fold(0, |n: u64, b| n.wrapping_mul(10).wrapping_add(u64::from(b - b'0'))))
}

struct Share {
    /// (number of the connection, user, conversation, whether it writes)
    people: Vec<(usize, String, String, bool)>,
    pairs: Pairs,
    shared: Arc<Shared>,
}

impl Plan for Share {
    type Role = Person;

    fn roles(&mut self) -> Vec<(usize, Person)> {
        let local = Rc::new(RefCell::new(Local {
            scanner: Scanner::new(),
            receipt: Finder::new("\"type\":\"receipt\""),
            seq: Finder::new("\"seq\":"),
            latencies: Latencies::new(),
        }));
        let filler: Rc<str> = "x".repeat(self.pairs.body_bytes.saturating_sub(STAMP_BYTES)).into();
        let person = |(number, user, conversation, writes): (usize, String, String, bool)| {
            let conversation: Rc<str> = conversation.into();
            let part = if writes {
                Part::Writer { conversation, number: 0, under_way: 0 }
            } else {
                Part::Reader { conversation, next: 0, newest: 0, told: 0, asking: false }
            };
            let person = Person {
                user,
                part,
                window: self.pairs.window,
                filler: filler.clone(),
                run: std::process::id(),
                ready: false,
                shared: self.shared.clone(),
                local: local.clone(),
                scratch: Vec::new(),
            };
            (number, person)
        };
        self.people.drain(..).map(person).collect()
    }

    fn finished(&mut self, engine: &Engine<Person>) {
        if let Some(person) = engine.roles().next() {
            self.shared.add_latencies(&person.local.borrow().latencies);
        }
    }
}

/// Runs it.
///
/// # Errors
/// The run could not be finished.
pub(crate) fn measure(common: &Common, pairs: &Pairs) -> Result<Report, String> {
    let shared = Shared::new();
    let threads = common.threads.clamp(1, pairs.pairs.max(1));
    let mut shares: Vec<Vec<(usize, String, String, bool)>> = vec![Vec::new(); threads];
    for pair in 0..pairs.pairs {
        let (one, other) = (format!("pair{pair}a"), format!("pair{pair}b"));
        // Each run has conversations that are there: opening one is not what is measured.
        let mut talk = Talk::open(&common.target, &one)?;
        let entry = talk.ask("open", &json!({"user": account(&other)}))?;
        let id = entry["id"].as_str().ok_or("no conversation was opened")?.to_owned();
        let share = &mut shares[pair % threads];
        share.push((pair * 2, one, id.clone(), true));
        share.push((pair * 2 + 1, other, id, false));
    }
    let plan = |people| Share { people, pairs: pairs.clone(), shared: shared.clone() };
    let plans: Vec<Share> = shares.into_iter().map(plan).collect();
    let all = |shared: &Shared| {
        let sent = shared.sent.load(Relaxed);
        shared.delivered.load(Relaxed) >= sent && shared.acknowledged.load(Relaxed) >= sent
    };
    let outcome = run(common, &shared, plans, pairs.pairs as u64 * 2, all)?;
    Ok(Report {
        mode: "im pairs",
        setting: vec![
            ("pairs", pairs.pairs.into()),
            ("window", pairs.window.into()),
            ("body_bytes", pairs.body_bytes.into()),
        ],
        took: outcome.took,
        published: outcome.acknowledged,
        delivered: outcome.delivered,
        lost: shared.lost.load(Relaxed),
        repeated: shared.repeated.load(Relaxed),
        refused: shared.refused.load(Relaxed),
        connections: pairs.pairs * 2,
        latencies: outcome.latencies,
        server: outcome.server,
    })
}
