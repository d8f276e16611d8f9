//! Fan-out and pairs: groups of one publisher and some listeners each, every record counted.
//!
//! Publishers run at most a window ahead of their slowest listener, so that nothing is lost: what a run
//! measures is the server's cost, not its lag policy.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    engine::{Engine, Role, Sender},
    report::{Latencies, Report},
    run::{Common, Phase, Plan, Shared, run},
    wire::{STAMP_BYTES, Scanner, push_stamp},
};

/// Rounds that are told apart; two are under way at most.
const ROUNDS: usize = 8;
/// Bytes that may wait in a publisher's connection.
const WAITING_BYTES_MAX: usize = 128 * 1024;
/// A publisher that is later than this counts its delay as the server's.
const LATE: Duration = Duration::from_millis(2);

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    pub(crate) mode: &'static str,
    pub(crate) groups: usize,
    /// Listeners of each group.
    pub(crate) listeners: usize,
    pub(crate) body_bytes: usize,
    /// Messages that a publisher may be ahead of its slowest listener.
    pub(crate) window: u64,
    /// Messages a second and publisher; `None` is as fast as it goes.
    pub(crate) rate: Option<f64>,
    /// What the topics begin with.
    pub(crate) topic: String,
}

/// One publisher and its listeners.
pub(super) struct Group {
    topic: String,
    listeners: u64,
    /// Messages of a round: half a window.
    round: u64,
    pub(super) sent: AtomicU64,
    /// How many listeners have each round behind them.
    done: [AtomicU64; ROUNDS],
}

impl Group {
    /// A group of so many listeners, of whom nobody falls further back than the window.
    pub(super) fn new(topic: String, listeners: usize, window: u64) -> Self {
        Self {
            topic,
            listeners: listeners as u64,
            round: (window / 2).max(1),
            sent: AtomicU64::new(0),
            done: [const { AtomicU64::new(0) }; ROUNDS],
        }
    }

    /// Whether message `number` may be sent: all have the round before the last one.
    pub(super) fn has_room(&self, number: u64) -> bool {
        let round = number / self.round;
        round < 2 || self.done[(round - 2) as usize % ROUNDS].load(Relaxed) >= self.listeners
    }

    /// Message `number` begins a round: the slot of a round to come is made empty. Nobody is there yet.
    pub(super) fn begin(&self, number: u64) {
        if number.is_multiple_of(self.round) {
            let ahead = (number / self.round + 2) as usize % ROUNDS;
            self.done[ahead].store(0, Relaxed);
        }
    }

    /// A listener went from `from` to `to` messages.
    pub(super) fn passed(&self, from: u64, to: u64) {
        for round in from / self.round..to / self.round {
            self.done[round as usize % ROUNDS].fetch_add(1, Relaxed);
        }
    }
}

/// What the connections of one thread share.
struct Local {
    scanner: Scanner,
    latencies: Latencies,
}

enum Part {
    Publisher { number: u64, head: Vec<u8>, tail: Vec<u8>, every: Option<Duration>, due: Option<Instant> },
    Listener { next: u64, ready: bool },
}

struct Member {
    part: Part,
    group: Arc<Group>,
    shared: Arc<Shared>,
    local: Rc<RefCell<Local>>,
    hello: Rc<[u8]>,
    scratch: Vec<u8>,
}

impl Role for Member {
    fn opened(&mut self, send: &mut Sender<'_>) {
        send.text(&self.hello);
        if matches!(self.part, Part::Listener { .. }) {
            let subscribe =
                serde_json::json!({"type": "subscribe", "id": 2, "sub": 1, "filter": self.group.topic});
            send.text(subscribe.to_string().as_bytes());
        }
    }

    fn message(&mut self, payload: &[u8], _send: &mut Sender<'_>) -> Result<(), String> {
        let has = |word: &str| memchr::memmem::find(payload, word.as_bytes()).is_some();
        match &mut self.part {
            Part::Publisher { .. } => {
                if has("\"welcome\"") {
                    self.shared.ready.fetch_add(1, Relaxed);
                }
                if has("\"type\":\"error\"") {
                    return Err(refusal(payload));
                }
            }
            Part::Listener { ready, .. } if !*ready => {
                if has("\"type\":\"error\"") {
                    return Err(refusal(payload));
                }
                if has("\"subscribed\"") {
                    *ready = true;
                    self.shared.ready.fetch_add(1, Relaxed);
                }
            }
            Part::Listener { next, .. } => {
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
                    // Those between lie between: half of them count as the first, half as the last.
                    let early = found.count / 2;
                    local.latencies.record(now.saturating_sub(found.first_micros), early);
                    local.latencies.record(now.saturating_sub(found.last_micros), found.count - early);
                }
            }
        }
        Ok(())
    }

    fn pumps(&self) -> bool {
        matches!(self.part, Part::Publisher { .. })
    }

    fn pump(&mut self, now: Instant, send: &mut Sender<'_>) -> Option<Instant> {
        let Part::Publisher { number, head, tail, every, due } = &mut self.part else { return None };
        if !matches!(self.shared.phase(), Phase::Warmup | Phase::Measure) {
            return None;
        }
        while send.waiting() < WAITING_BYTES_MAX {
            let at = *due.get_or_insert(now);
            if every.is_some() && at > now {
                return Some(at);
            }
            if !self.group.has_room(*number) {
                // Listeners of other threads do not wake this one.
                return Some(now + Duration::from_millis(1));
            }
            let late = every.is_some() && now.duration_since(at) > LATE;
            self.group.begin(*number);
            self.scratch.clear();
            self.scratch.extend_from_slice(head);
            push_stamp(
                &mut self.scratch,
                *number,
                self.shared.micros(if late { at } else { Instant::now() }),
            );
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

fn refusal(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(&payload[..payload.len().min(300)]).into_owned();
    format!("the server refused: {text}")
}

/// One thread's share.
struct Share {
    /// (number of the connection, group, whether it publishes)
    members: Vec<(usize, Arc<Group>, bool)>,
    spread: Spread,
    hello: Vec<u8>,
    shared: Arc<Shared>,
}

impl Plan for Share {
    type Role = Member;

    fn roles(&mut self) -> Vec<(usize, Member)> {
        let local = Rc::new(RefCell::new(Local { scanner: Scanner::new(), latencies: Latencies::new() }));
        let hello: Rc<[u8]> = self.hello.as_slice().into();
        let filler = "x".repeat(self.spread.body_bytes.saturating_sub(STAMP_BYTES));
        let every = self.spread.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        let mut roles = Vec::with_capacity(self.members.len());
        for (number, group, publishes) in self.members.drain(..) {
            let part = if publishes {
                let head = format!("{{\"type\":\"publish\",\"topic\":\"{}\",\"text\":\"", group.topic);
                let tail = format!("{filler}\"}}");
                Part::Publisher { number: 0, head: head.into(), tail: tail.into(), every, due: None }
            } else {
                Part::Listener { next: 0, ready: false }
            };
            let (shared, local, hello) = (self.shared.clone(), local.clone(), hello.clone());
            roles.push((number, Member { part, group, shared, local, hello, scratch: Vec::new() }));
        }
        roles
    }

    fn finished(&mut self, engine: &Engine<Member>) {
        if let Some(member) = engine.roles().next() {
            self.shared.add_latencies(&member.local.borrow().latencies);
        }
        for member in engine.roles() {
            if let Part::Listener { next, .. } = member.part {
                // What had not come when the run was given up is lost as well.
                self.shared.lost.fetch_add(member.group.sent.load(Relaxed).saturating_sub(next), Relaxed);
            }
        }
    }
}

/// Runs it.
///
/// # Errors
/// The run could not be finished.
pub(crate) fn measure(common: &Common, spread: &Spread) -> Result<Report, String> {
    let shared = Shared::new();
    let threads = common.threads.max(1);
    let mut shares: Vec<Vec<(usize, Arc<Group>, bool)>> = vec![Vec::new(); threads];
    let (mut number, mut groups) = (0, Vec::new());
    for g in 0..spread.groups {
        let topic = format!("{}/{:x}/{g}", spread.topic, std::process::id());
        let group = Arc::new(Group::new(topic, spread.listeners, spread.window));
        groups.push(group.clone());
        for i in 0..=spread.listeners {
            // A single group is dealt over all threads, many groups stay each on one.
            let thread = if spread.groups == 1 { i % threads } else { g % threads };
            shares[thread].push((number, group.clone(), i == 0));
            number += 1;
        }
    }
    let plan =
        |members| Share { members, spread: spread.clone(), hello: common.hello(), shared: shared.clone() };
    let plans: Vec<Share> = shares.into_iter().filter(|s| !s.is_empty()).map(plan).collect();
    let expected = |shared: &Shared| {
        let sent: u64 = groups.iter().map(|g| g.sent.load(Relaxed) * g.listeners).sum();
        shared.delivered.load(Relaxed) >= sent
    };
    let outcome = run(common, &shared, plans, number as u64, expected)?;
    let rate = spread.rate.map_or_else(|| "max".into(), |rate| rate.into());
    Ok(Report {
        mode: spread.mode,
        setting: vec![
            ("publishers", spread.groups.into()),
            ("subscribers", (spread.groups * spread.listeners).into()),
            ("body_bytes", spread.body_bytes.into()),
            ("window", spread.window.into()),
            ("rate", rate),
        ],
        took: outcome.took,
        published: outcome.sent,
        delivered: outcome.delivered,
        lost: shared.lost.load(Relaxed),
        repeated: shared.repeated.load(Relaxed),
        refused: shared.refused.load(Relaxed),
        connections: number,
        latencies: outcome.latencies,
        server: outcome.server,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_waits_for_the_slowest_listener() {
        let group = Group::new("t".into(), 2, 8);
        assert!(group.has_room(0) && group.has_room(7) && !group.has_room(8));
        group.passed(0, 8);
        assert!(!group.has_room(8));
        group.passed(0, 3);
        assert!(!group.has_room(8));
        group.passed(3, 5);
        assert!(group.has_room(8) && group.has_room(11) && !group.has_room(12));
        for number in 0..200 {
            if number >= 8 {
                group.passed(number - 8, number - 7);
            }
            group.begin(number);
        }
    }
}
