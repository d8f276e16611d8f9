//! One large group: one writes, those who are here get it, all others would.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    super::{
        engine::{Engine, Role, Sender},
        report::{Latencies, Report},
        run::{Common, Phase, Plan, Shared, run},
        spread::Group,
        wire::{STAMP_BYTES, Scanner, push_stamp},
    },
    account, attach, has, hello, refusal,
    talk::Talk,
};

/// Members that one call brings in.
const ADDED: usize = 1000;
/// Bytes that may wait in the writer's connection.
const WAITING_BYTES_MAX: usize = 128 * 1024;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct OfGroup {
    pub(crate) members: usize,
    /// Members who are here.
    pub(crate) online: usize,
    pub(crate) body_bytes: usize,
    /// Messages that the writer may be ahead of its slowest listener.
    pub(crate) window: u64,
    /// Messages a second; `None` is as fast as it goes.
    pub(crate) rate: Option<f64>,
}

struct Local {
    scanner: Scanner,
    latencies: Latencies,
}

enum Part {
    Writer { number: u64, head: Vec<u8>, tail: Vec<u8>, every: Option<Duration>, due: Option<Instant> },
    Listener { next: u64 },
}

struct Person {
    user: String,
    part: Part,
    group: Arc<Group>,
    ready: bool,
    shared: Arc<Shared>,
    local: Rc<RefCell<Local>>,
    scratch: Vec<u8>,
}

impl Role for Person {
    fn opened(&mut self, send: &mut Sender<'_>) {
        send.text(&hello(&self.user));
        if matches!(self.part, Part::Listener { .. }) {
            for command in attach(&self.user) {
                send.text(&command);
            }
        }
    }

    fn message(&mut self, payload: &[u8], _send: &mut Sender<'_>) -> Result<(), String> {
        if has(payload, "\"type\":\"error\"") {
            return Err(refusal(payload));
        }
        match &mut self.part {
            _ if !self.ready => {
                let word =
                    if matches!(self.part, Part::Writer { .. }) { "\"welcome\"" } else { "\"subscribed\"" };
                if has(payload, word) {
                    self.ready = true;
                    self.shared.ready.fetch_add(1, Relaxed);
                }
            }
            Part::Writer { .. } => {}
            Part::Listener { next } => {
                let mut local = self.local.borrow_mut();
                let Some(found) = local.scanner.scan(payload) else { return Ok(()) };
                let expected = *next;
                if found.first < expected {
                    self.shared.repeated.fetch_add(found.count.min(expected - found.first), Relaxed);
                }
                let span = (found.last + 1).saturating_sub(expected);
                self.shared.lost.fetch_add(span.saturating_sub(found.count), Relaxed);
                *next = expected.max(found.last + 1);
                self.group.passed(expected, *next);
                self.shared.delivered.fetch_add(found.count, Relaxed);
                if self.shared.phase() == Phase::Measure {
                    let now = self.shared.micros(Instant::now());
                    let early = found.count / 2;
                    local.latencies.record(now.saturating_sub(found.first_micros), early);
                    local.latencies.record(now.saturating_sub(found.last_micros), found.count - early);
                }
            }
        }
        Ok(())
    }

    fn pumps(&self) -> bool {
        matches!(self.part, Part::Writer { .. })
    }

    fn pump(&mut self, now: Instant, send: &mut Sender<'_>) -> Option<Instant> {
        let Part::Writer { number, head, tail, every, due } = &mut self.part else { return None };
        if !matches!(self.shared.phase(), Phase::Warmup | Phase::Measure) {
            return None;
        }
        while send.waiting() < WAITING_BYTES_MAX {
            let at = *due.get_or_insert(now);
            if every.is_some() && at > now {
                return Some(at);
            }
            if !self.group.has_room(*number) {
                return Some(now + Duration::from_millis(1));
            }
            self.group.begin(*number);
            self.scratch.clear();
            self.scratch.extend_from_slice(head);
            push_stamp(&mut self.scratch, *number, self.shared.micros(Instant::now()));
            self.scratch.extend_from_slice(tail);
            send.text(&self.scratch);
            *number += 1;
            self.group.sent.store(*number, Relaxed);
            self.shared.sent.fetch_add(1, Relaxed);
            if let Some(every) = every {
                *due = Some(at + *every);
            }
        }
        None
    }
}

struct Share {
    /// (number of the connection, user, whether it writes)
    people: Vec<(usize, String, bool)>,
    conversation: String,
    of: OfGroup,
    group: Arc<Group>,
    shared: Arc<Shared>,
}

impl Plan for Share {
    type Role = Person;

    fn roles(&mut self) -> Vec<(usize, Person)> {
        let local = Rc::new(RefCell::new(Local { scanner: Scanner::new(), latencies: Latencies::new() }));
        let filler = "x".repeat(self.of.body_bytes.saturating_sub(STAMP_BYTES));
        let every = self.of.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        let person = |(number, user, writes): (usize, String, bool)| {
            let part = if writes {
                let head = format!(
                    "{{\"type\":\"publish\",\"topic\":\"im/c/{}\",\"data\":{{\"kind\":\"text\",\"text\":\"",
                    self.conversation
                );
                let tail = format!("{filler}\"}}}}");
                Part::Writer { number: 0, head: head.into(), tail: tail.into(), every, due: None }
            } else {
                Part::Listener { next: 0 }
            };
            let (group, shared, local) = (self.group.clone(), self.shared.clone(), local.clone());
            (number, Person { user, part, group, ready: false, shared, local, scratch: Vec::new() })
        };
        self.people.drain(..).map(person).collect()
    }

    fn finished(&mut self, engine: &Engine<Person>) {
        if let Some(person) = engine.roles().next() {
            self.shared.add_latencies(&person.local.borrow().latencies);
        }
        for person in engine.roles() {
            if let Part::Listener { next } = person.part {
                // What had not come when the run was given up is lost as well.
                self.shared.lost.fetch_add(self.group.sent.load(Relaxed).saturating_sub(next), Relaxed);
            }
        }
    }
}

/// Makes a group of so many members, whom `named` names; gives its id.
pub(super) fn make(
    talk: &mut Talk,
    title: &str,
    members: impl Iterator<Item = String>,
) -> Result<String, String> {
    let mut members: Vec<String> = members.map(|user| account(&user)).collect();
    let rest = members.split_off(members.len().min(ADDED));
    let entry = talk.ask("create", &json!({"kind": "group", "title": title, "members": members}))?;
    let id = entry["id"].as_str().ok_or("no group was made")?.to_owned();
    for some in rest.chunks(ADDED) {
        let added = talk.ask("add", &json!({"conversation": id, "users": some}))?;
        if added["added"].as_array().is_none_or(|added| added.len() != some.len()) {
            return Err(format!("not all members were added: {}", added["failed"]));
        }
    }
    Ok(id)
}

/// Runs it.
///
/// # Errors
/// The run could not be finished.
pub(crate) fn measure(common: &Common, of: &OfGroup) -> Result<Report, String> {
    let shared = Shared::new();
    let threads = common.threads.max(1);
    let writer = "crowd".to_owned();
    let mut talk = Talk::open(&common.target, &writer)?;
    // The writer is a member, too.
    let conversation =
        make(&mut talk, "a crowd", (0..of.members.saturating_sub(1)).map(|n| format!("crowd{n}")))?;
    drop(talk);
    let group = Arc::new(Group::new(String::new(), of.online, of.window));
    let mut shares: Vec<Vec<(usize, String, bool)>> = vec![Vec::new(); threads];
    shares[0].push((0, writer, true));
    for n in 0..of.online {
        shares[n % threads].push((n + 1, format!("crowd{n}"), false));
    }
    let plan = |people| Share {
        people,
        conversation: conversation.clone(),
        of: of.clone(),
        group: group.clone(),
        shared: shared.clone(),
    };
    let plans: Vec<Share> = shares.into_iter().map(plan).collect();
    let all = |shared: &Shared| shared.delivered.load(Relaxed) >= group.sent.load(Relaxed) * of.online as u64;
    let outcome = run(common, &shared, plans, of.online as u64 + 1, all)?;
    let rate = of.rate.map_or_else(|| "max".into(), |rate| rate.into());
    Ok(Report {
        mode: "im group",
        setting: vec![
            ("members", of.members.into()),
            ("online", of.online.into()),
            ("body_bytes", of.body_bytes.into()),
            ("rate", rate),
        ],
        took: outcome.took,
        published: outcome.sent,
        delivered: outcome.delivered,
        lost: shared.lost.load(Relaxed),
        repeated: shared.repeated.load(Relaxed),
        refused: shared.refused.load(Relaxed),
        connections: of.online + 1,
        latencies: outcome.latencies,
        server: outcome.server,
    })
}
