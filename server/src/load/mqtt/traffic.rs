//! Publishers and subscribers: every message is stamped, and every subscriber checks number after number.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    Mqtt, Traffic,
    engine::{Engine, Role},
    flow::Flow,
    wire::{self, Login, Packet, Stencil, push_connect, push_puback, push_subscribe, stamp_of},
};
use crate::load::{
    report::{Latencies, Report},
    run::{Common, Phase, Shared, run_jobs},
};

/// Bytes that may wait in a publisher's connection.
const WAITING_BYTES_MAX: usize = 128 * 1024;
/// A publisher at a fixed rate that is later than this counts its delay as the broker's.
const LATE: Duration = Duration::from_millis(2);
/// How long a turn may wait: phases are looked at between two.
pub(super) const TURN_MAX: Duration = Duration::from_millis(10);

/// Latencies of one thread.
pub(super) struct Local {
    /// While it warms up.
    pub(super) calm: Latencies,
    /// While it is measured.
    pub(super) latencies: Latencies,
}

impl Local {
    fn new() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { calm: Latencies::new(), latencies: Latencies::new() }))
    }

    fn record(&mut self, phase: Phase, micros: u64) {
        match phase {
            Phase::Warmup => self.calm.record(micros, 1),
            Phase::Measure => self.latencies.record(micros, 1),
            _ => {}
        }
    }
}

/// A client: what all have, and its part.
pub(super) struct Member {
    name: String,
    login: Arc<Login>,
    qos: u8,
    shared: Arc<Shared>,
    local: Rc<RefCell<Local>>,
    part: Part,
}

enum Part {
    Publisher(Publisher),
    Subscriber(Subscriber),
}

struct Publisher {
    /// Its topics in turn, and the number of the next message of each.
    flows: Vec<(Arc<Flow>, Stencil, u64)>,
    turn: usize,
    /// Messages that may wait for their acknowledgement.
    window: usize,
    /// Packet ids that wait for their acknowledgement, and when they were sent.
    under_way: VecDeque<(u16, Instant)>,
    last_id: u16,
    every: Option<Duration>,
    due: Option<Instant>,
    /// Nobody listens: what is timed is the acknowledgement.
    times_acknowledgements: bool,
}

struct Subscriber {
    flow: Arc<Flow>,
    payload_bytes: usize,
    next: u64,
    /// What is not yet added to the shared figures: deliveries, and the number that was awaited then.
    delivered: u64,
    from: u64,
}

impl Role for Member {
    fn begin(&mut self, out: &mut Vec<u8>) {
        push_connect(out, &self.name, &self.login);
    }

    #[inline]
    fn packet(&mut self, packet: Packet<'_>, now: Instant, out: &mut Vec<u8>) -> Result<(), String> {
        match (&mut self.part, packet) {
            (Part::Subscriber(subscriber), Packet::Message { qos, id, payload }) => {
                if qos != self.qos {
                    return Err(format!("a message came with QoS {qos}"));
                }
                if qos > 0 {
                    push_puback(out, id);
                }
                subscriber.message(payload, now, &self.shared, &self.local)
            }
            (Part::Subscriber(subscriber), Packet::Accepted { .. }) => {
                push_subscribe(out, &subscriber.flow.topic, self.qos, self.login.version);
                Ok(())
            }
            (Part::Subscriber(_), Packet::Subscribed { code }) if code == self.qos => {
                self.shared.ready.fetch_add(1, Relaxed);
                Ok(())
            }
            (Part::Subscriber(_), Packet::Subscribed { code }) => {
                Err(format!("the broker answered a subscription with {code:#04x}"))
            }
            (Part::Publisher(publisher), Packet::Accepted { receive_max, .. }) => {
                publisher.window = publisher.window.min(usize::from(receive_max));
                self.shared.ready.fetch_add(1, Relaxed);
                Ok(())
            }
            (Part::Publisher(publisher), Packet::Acknowledged { id, code }) => {
                publisher.acknowledged(id, code, now, &self.shared, &self.local)
            }
            (_, Packet::Pong) => Ok(()),
            (_, packet) => Err(format!("the broker sent what nobody waits for: {packet:?}")),
        }
    }

    fn read(&mut self) {
        if let Part::Subscriber(subscriber) = &mut self.part {
            subscriber.settle(&self.shared);
        }
    }

    fn pumps(&self) -> bool {
        matches!(self.part, Part::Publisher(_))
    }

    fn pump(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Instant> {
        let Part::Publisher(publisher) = &mut self.part else { return None };
        if !matches!(self.shared.phase(), Phase::Warmup | Phase::Measure) {
            return None;
        }
        publisher.fill(now, self.qos, &self.shared, out)
    }
}

impl Subscriber {
    #[inline]
    fn message(
        &mut self,
        payload: &[u8],
        now: Instant,
        shared: &Shared,
        local: &Rc<RefCell<Local>>,
    ) -> Result<(), String> {
        let stamp = stamp_of(payload).filter(|_| payload.len() == self.payload_bytes);
        let Some((number, micros)) = stamp else {
            return Err(format!("a message came with {} bytes, which nobody sent", payload.len()));
        };
        if number >= self.flow.sent.load(Relaxed) {
            return Err(format!("message {number} came and was not sent"));
        }
        self.delivered += 1;
        if number < self.next {
            shared.repeated.fetch_add(1, Relaxed);
            return Ok(());
        }
        if number > self.next {
            shared.lost.fetch_add(number - self.next, Relaxed);
        }
        self.next = number + 1;
        local.borrow_mut().record(shared.phase(), shared.micros(now).saturating_sub(micros));
        Ok(())
    }

    fn settle(&mut self, shared: &Shared) {
        if self.delivered > 0 {
            shared.delivered.fetch_add(self.delivered, Relaxed);
            self.flow.passed(self.from, self.next);
            self.delivered = 0;
            self.from = self.next;
        }
    }
}

impl Publisher {
    fn acknowledged(
        &mut self,
        id: u16,
        code: u8,
        now: Instant,
        shared: &Shared,
        local: &Rc<RefCell<Local>>,
    ) -> Result<(), String> {
        // Acknowledgements come in order (MQTT 5 §4.6); a broker that does otherwise is measured all the same.
        let place = self.under_way.iter().position(|(waiting, _)| *waiting == id);
        let Some((_, sent)) = place.and_then(|place| self.under_way.remove(place)) else {
            return Err(format!("the broker acknowledged packet {id}, which was not under way"));
        };
        if code >= 0x80 {
            shared.refused.fetch_add(1, Relaxed);
            return Ok(());
        }
        shared.acknowledged.fetch_add(1, Relaxed);
        if self.times_acknowledgements {
            let micros = u64::try_from(now.duration_since(sent).as_micros()).unwrap_or(u64::MAX);
            local.borrow_mut().record(shared.phase(), micros);
        }
        Ok(())
    }

    fn fill(&mut self, now: Instant, qos: u8, shared: &Shared, out: &mut Vec<u8>) -> Option<Instant> {
        // The clock is read once a call: what goes in one call goes in one write.
        let begun = shared.micros(Instant::now());
        while out.len() < WAITING_BYTES_MAX {
            let at = *self.due.get_or_insert(now);
            if self.every.is_some() && at > now {
                return Some(at);
            }
            let count = self.flows.len();
            let with_room = (0..count).map(|k| (self.turn + k) % count).find(|&f| {
                let (flow, _, next) = &self.flows[f];
                flow.has_room(*next)
            });
            let acknowledged = qos == 0 || self.under_way.len() < self.window;
            let Some(f) = with_room.filter(|_| acknowledged) else {
                // Subscribers of other threads do not wake this one.
                return Some(now + Duration::from_millis(1));
            };
            self.turn = f + 1;
            let (flow, stencil, next) = &mut self.flows[f];
            flow.begin(*next);
            if qos > 0 {
                // Never 0 (MQTT 5 §2.2.1).
                self.last_id = if self.last_id == u16::MAX { 1 } else { self.last_id + 1 };
                self.under_way.push_back((self.last_id, now));
            }
            let late = self.every.is_some() && now.duration_since(at) > LATE;
            stencil.push(out, self.last_id, *next, if late { shared.micros(at) } else { begun });
            *next += 1;
            shared.sent.fetch_add(1, Relaxed);
            if let Some(every) = self.every {
                self.due = Some(at + every);
            }
        }
        None
    }
}

/// Which clients a thread has: number over all threads, and the topics it publishes to or the one it follows.
#[derive(Default)]
pub(super) struct Share {
    publishers: Vec<(usize, Vec<Arc<Flow>>)>,
    subscribers: Vec<(usize, Arc<Flow>)>,
}

/// All clients of a run, dealt over threads.
pub(super) struct Cast {
    pub(super) flows: Vec<Arc<Flow>>,
    pub(super) shares: Vec<Share>,
    pub(super) clients: usize,
}

impl Cast {
    /// Topics are dealt to publishers in turn. Topics of a run have its process id in them, so that nothing of
    /// an earlier run is seen.
    pub(super) fn new(traffic: &Traffic, threads: usize) -> Self {
        let topics = traffic.topics.max(1);
        let publishers = traffic.publishers.clamp(1, topics);
        let threads = threads.max(1);
        let flows: Vec<Arc<Flow>> = (0..topics)
            .map(|t| {
                let topic = format!("{}/{:x}/{t}", traffic.topic, std::process::id());
                Arc::new(Flow::new(topic, traffic.subscribers as u64, traffic.window))
            })
            .collect();
        let mut shares: Vec<Share> = (0..threads).map(|_| Share::default()).collect();
        let mut clients = 0;
        // Few topics are dealt over all threads client by client, many stay each on the thread of their publisher.
        let together = publishers >= threads;
        for (t, flow) in flows.iter().enumerate() {
            for s in 0..traffic.subscribers {
                let thread = if together { t % publishers } else { s };
                shares[thread % threads].subscribers.push((clients, flow.clone()));
                clients += 1;
            }
        }
        for p in 0..publishers {
            let own = flows.iter().skip(p).step_by(publishers).cloned().collect();
            shares[p % threads].publishers.push((clients, own));
            clients += 1;
        }
        Self { flows, shares, clients }
    }

    /// Whether everything that was sent has arrived, or is known to be lost.
    pub(super) fn all_arrived(flows: &[Arc<Flow>], shared: &Shared) -> bool {
        let wanted: u64 = flows.iter().map(|f| f.sent.load(Relaxed) * f.subscribers).sum();
        let came = shared.delivered.load(Relaxed) + shared.lost.load(Relaxed);
        came >= wanted + shared.repeated.load(Relaxed)
    }
}

impl Share {
    /// Opens all clients, subscribers first, and works until the run is over.
    ///
    /// # Errors
    /// The run cannot go on.
    pub(super) fn work(self, mqtt: &Mqtt, traffic: &Traffic, shared: &Arc<Shared>) -> Result<Local, String> {
        let mut engine = Engine::new(mqtt.broker, mqtt.login.version)?;
        let local = Local::new();
        let member = |number: usize, part: Part| Member {
            name: format!("bench-{:x}-{number}", std::process::id()),
            login: mqtt.login.clone(),
            qos: traffic.qos,
            shared: shared.clone(),
            local: local.clone(),
            part,
        };
        for (number, flow) in self.subscribers {
            let payload_bytes = traffic.payload_bytes;
            let subscriber = Subscriber { flow, payload_bytes, next: 0, delivered: 0, from: 0 };
            engine.connect(number, member(number, Part::Subscriber(subscriber)))?;
        }
        for (number, flows) in self.publishers {
            let publisher = publisher(flows, mqtt, traffic);
            engine.connect(number, member(number, Part::Publisher(publisher)))?;
        }
        while shared.phase() != Phase::Done {
            engine.turn(TURN_MAX)?;
        }
        for role in engine.roles() {
            match &role.part {
                // What had not come when the run was given up is lost as well.
                Part::Subscriber(s) => {
                    let missing = s.flow.sent.load(Relaxed).saturating_sub(s.next);
                    shared.lost.fetch_add(missing, Relaxed);
                }
                Part::Publisher(p) if p.times_acknowledgements => {
                    shared.lost.fetch_add(p.under_way.len() as u64, Relaxed);
                }
                Part::Publisher(_) => {}
            }
        }
        drop(engine);
        let empty = Local { calm: Latencies::new(), latencies: Latencies::new() };
        Ok(local.replace(empty))
    }
}

fn publisher(flows: Vec<Arc<Flow>>, mqtt: &Mqtt, traffic: &Traffic) -> Publisher {
    let stencil =
        |flow: &Flow| Stencil::new(&flow.topic, traffic.qos, traffic.payload_bytes, mqtt.login.version);
    Publisher {
        flows: flows.into_iter().map(|flow| (flow.clone(), stencil(&flow), 0)).collect(),
        turn: 0,
        // No more than there are packet ids.
        window: usize::try_from(traffic.window).unwrap_or(usize::MAX).clamp(1, usize::from(u16::MAX)),
        under_way: VecDeque::new(),
        last_id: 0,
        every: traffic.rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
        due: None,
        times_acknowledgements: traffic.subscribers == 0,
    }
}

/// Runs it.
///
/// # Errors
/// The run could not be finished.
pub(super) fn measure(
    common: &Common,
    mode: &'static str,
    mqtt: &Mqtt,
    traffic: &Traffic,
) -> Result<Report, String> {
    if traffic.payload_bytes < wire::STAMP_BYTES {
        return Err(format!("a payload has {} bytes at least: its number and time", wire::STAMP_BYTES));
    }
    if traffic.qos == 0 && traffic.subscribers == 0 {
        return Err("QoS 0 without subscribers: nobody could say what arrived".into());
    }
    let shared = Shared::new();
    let Cast { flows, shares, clients } = Cast::new(traffic, common.threads);
    let jobs: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let (mqtt, traffic) = (mqtt.clone(), traffic.clone());
            move |shared: &Arc<Shared>| {
                share.work(&mqtt, &traffic, shared).map(|local| shared.add_latencies(&local.latencies))
            }
        })
        .collect();
    let arrived = |shared: &Shared| {
        let acknowledged = shared.acknowledged.load(Relaxed) + shared.refused.load(Relaxed);
        Cast::all_arrived(&flows, shared) && (traffic.qos == 0 || acknowledged >= shared.sent.load(Relaxed))
    };
    let outcome = run_jobs(common, &shared, jobs, clients as u64, arrived)?;
    Ok(Report {
        mode,
        setting: setting(mqtt, traffic),
        took: outcome.took,
        published: if traffic.qos == 0 { outcome.sent } else { outcome.acknowledged },
        delivered: outcome.delivered,
        lost: shared.lost.load(Relaxed),
        repeated: shared.repeated.load(Relaxed),
        refused: shared.refused.load(Relaxed),
        connections: clients,
        latencies: outcome.latencies,
        server: outcome.server,
    })
}

fn setting(mqtt: &Mqtt, traffic: &Traffic) -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("protocol", mqtt.protocol().into()),
        ("qos", traffic.qos.into()),
        ("publishers", traffic.publishers.min(traffic.topics).into()),
        ("topics", traffic.topics.into()),
        ("subscribers", (traffic.topics * traffic.subscribers).into()),
        ("payload_bytes", traffic.payload_bytes.into()),
        ("window", traffic.window.into()),
        ("rate", traffic.rate.map_or_else(|| "max".into(), Into::into)),
    ]
}
