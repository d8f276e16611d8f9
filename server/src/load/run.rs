//! What all loads share: threads with engines, phases, the server's process watched meanwhile.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use yizhan_probe::ProcessFigures;

use super::{
    engine::{Engine, Role, Target},
    report::{Latencies, Watched},
};

/// How long nothing may arrive before a run that waits for something is given up.
const STALL_MAX: Duration = Duration::from_secs(10);
/// How long all connections may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How often the phases are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What is asked of every load.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) target: Target,
    pub(crate) token: Option<String>,
    pub(crate) pid: Option<u32>,
    pub(crate) threads: usize,
    pub(crate) warmup: Duration,
    pub(crate) measure: Duration,
}

impl Common {
    /// The first command of each connection.
    pub(crate) fn hello(&self) -> Vec<u8> {
        let mut hello = serde_json::json!({"type": "hello", "id": 1, "client": "yizhan-bench"});
        if let Some(token) = &self.token {
            hello["token"] = token.as_str().into();
        }
        hello.to_string().into_bytes()
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Connections are opened; nothing is sent.
    Opening = 0,
    /// Work is done and not counted.
    Warmup = 1,
    /// Work is done and counted.
    Measure = 2,
    /// Nothing new is sent; what is under way arrives.
    Finish = 3,
    /// Threads end.
    Done = 4,
}

/// What threads and the coordinator share.
pub(crate) struct Shared {
    phase: AtomicU8,
    pub(crate) began: Instant,
    /// Connections that are ready for work.
    pub(crate) ready: AtomicU64,
    /// Messages sent.
    pub(crate) sent: AtomicU64,
    /// Messages that the server has acknowledged, where that is asked for.
    pub(crate) acknowledged: AtomicU64,
    /// Records that arrived.
    pub(crate) delivered: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) refused: AtomicU64,
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
    latencies: Mutex<Latencies>,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: AtomicU8::new(Phase::Opening as u8),
            began: Instant::now(),
            ready: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            latencies: Mutex::new(Latencies::new()),
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Opening,
            1 => Phase::Warmup,
            2 => Phase::Measure,
            3 => Phase::Finish,
            _ => Phase::Done,
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    pub(crate) fn micros(&self, now: Instant) -> u64 {
        // A run lasts less than 500,000 years.
        now.duration_since(self.began).as_micros() as u64
    }

    /// Ends the run with a reason; the first one stands.
    pub(crate) fn fail(&self, why: String) {
        if let Ok(mut failure) = self.failure.lock() {
            failure.get_or_insert(why);
        }
        self.failed.store(true, Relaxed);
    }

    /// A thread's latencies join the others'.
    pub(crate) fn add_latencies(&self, of_thread: &Latencies) {
        if let Ok(mut all) = self.latencies.lock() {
            all.add(of_thread);
        }
    }

    fn failure(&self) -> Option<String> {
        let given = self.failed.load(Relaxed).then(|| self.failure.lock().ok()?.take());
        given.map(|why| why.unwrap_or_else(|| "a thread of the load failed".into()))
    }
}

/// Where a threads' share of the work begins: gives the connections to open, then what is left at the end.
pub(crate) trait Plan: Send + 'static {
    type Role: Role;
    /// The connections of this thread: number over all threads, and role.
    fn roles(&mut self) -> Vec<(usize, Self::Role)>;
    /// Called when the run is over.
    fn finished(&mut self, engine: &Engine<Self::Role>);
}

/// What the coordinator saw.
pub(crate) struct Outcome {
    pub(crate) took: Duration,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) delivered: u64,
    pub(crate) latencies: Latencies,
    pub(crate) server: Option<Watched>,
}

/// Runs plans, one on each thread, through all phases.
///
/// `all_arrived` says when everything that was sent has come back.
///
/// # Errors
/// A connection ended, a role gave up, nothing arrived any more.
pub(crate) fn run<P: Plan>(
    common: &Common,
    shared: &Arc<Shared>,
    plans: Vec<P>,
    connections: u64,
    all_arrived: impl Fn(&Shared) -> bool,
) -> Result<Outcome, String> {
    let jobs = plans
        .into_iter()
        .map(|plan| {
            let target = common.target.clone();
            move |shared: &Arc<Shared>| work(plan, target, shared)
        })
        .collect();
    run_jobs(common, shared, jobs, connections, all_arrived)
}

/// The same for work of any kind: each job is a thread, which ends when the phase is [`Phase::Done`].
///
/// # Errors
/// A job failed, nothing arrived any more.
pub(crate) fn run_jobs<J>(
    common: &Common,
    shared: &Arc<Shared>,
    jobs: Vec<J>,
    connections: u64,
    all_arrived: impl Fn(&Shared) -> bool,
) -> Result<Outcome, String>
where
    J: FnOnce(&Arc<Shared>) -> Result<(), String> + Send + 'static,
{
    let idle = common.pid.and_then(ProcessFigures::of);
    let threads: Vec<_> = jobs
        .into_iter()
        .map(|job| {
            let shared = shared.clone();
            thread::spawn(move || {
                if let Err(why) = job(&shared) {
                    shared.fail(why);
                }
            })
        })
        .collect();
    let result = coordinate(common, shared, connections, idle, all_arrived);
    shared.enter(Phase::Done);
    for thread in threads {
        if thread.join().is_err() {
            shared.fail("a thread of the load panicked".into());
        }
    }
    let mut outcome = result?;
    match shared.failure() {
        Some(why) => Err(why),
        None => {
            let mut all = shared.latencies.lock().map_err(|_| "a thread of the load panicked")?;
            outcome.latencies = std::mem::replace(&mut *all, Latencies::new());
            Ok(outcome)
        }
    }
}

fn work<P: Plan>(mut plan: P, target: Target, shared: &Shared) -> Result<(), String> {
    let mut engine = Engine::new(target)?;
    for (number, role) in plan.roles() {
        engine.connect(number, role)?;
        if shared.phase() == Phase::Done {
            return Ok(());
        }
    }
    while shared.phase() != Phase::Done {
        engine.turn(Some(LOOK_EVERY))?;
    }
    plan.finished(&engine);
    Ok(())
}

fn coordinate(
    common: &Common,
    shared: &Shared,
    connections: u64,
    idle: Option<ProcessFigures>,
    all_arrived: impl Fn(&Shared) -> bool,
) -> Result<Outcome, String> {
    let ready_by = Instant::now() + READY_WITHIN;
    wait(shared, || {
        let ready = shared.ready.load(Relaxed);
        if ready < connections && Instant::now() > ready_by {
            return Err(format!("only {ready} of {connections} connections were ready in time"));
        }
        Ok(ready >= connections)
    })?;
    shared.enter(Phase::Warmup);
    sleep(shared, common.warmup)?;
    let figures = || common.pid.and_then(ProcessFigures::of);
    let counts = || {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        (read(&shared.sent), read(&shared.acknowledged), read(&shared.delivered))
    };
    let (before, began, first) = (figures(), Instant::now(), counts());
    shared.enter(Phase::Measure);
    sleep(shared, common.measure)?;
    let (after, took, last) = (figures(), began.elapsed(), counts());
    shared.enter(Phase::Finish);
    let mut arrived = (counts(), Instant::now());
    wait(shared, || {
        let now = counts();
        if now != arrived.0 {
            arrived = (now, Instant::now());
        }
        Ok(all_arrived(shared) || arrived.1.elapsed() > STALL_MAX)
    })?;
    let server = match (common.pid, idle, before, after) {
        (Some(pid), Some(idle), Some(before), Some(after)) => {
            // Memory has grown since before the first connection; CPU is that of the measured time.
            let before = ProcessFigures { cpu_seconds: before.cpu_seconds, ..idle };
            Some(Watched { pid, before, after })
        }
        _ => None,
    };
    Ok(Outcome {
        took,
        sent: last.0 - first.0,
        acknowledged: last.1 - first.1,
        delivered: last.2 - first.2,
        latencies: Latencies::new(),
        server,
    })
}

fn wait(shared: &Shared, mut done: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    loop {
        if let Some(why) = shared.failure() {
            return Err(why);
        }
        if done()? {
            return Ok(());
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn sleep(shared: &Shared, length: Duration) -> Result<(), String> {
    let until = Instant::now() + length;
    wait(shared, || Ok(Instant::now() >= until))
}
