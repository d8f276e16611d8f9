//! All clients lose their connections in the same moment and come back at once, while a pair that has nothing
//! to do with it goes on talking.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use yizhan_probe::ProcessFigures;

use super::{
    Mqtt, Traffic,
    sleeper::Dormitory,
    traffic::{Cast, TURN_MAX},
};
use crate::load::{
    report::{Report, Watched},
    run::{Common, Phase, Shared},
};

/// How long clients may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// How long what is under way between the bystanders may take at the end.
const ARRIVED_WITHIN: Duration = Duration::from_secs(10);
/// Connections that are opened before answers are looked at.
const STEP: usize = 200;
/// Where the second wave comes from: a loopback address has too few ports for both.
const SECOND_WAVE: usize = 100;

/// Runs it: `warmup` is the time to settle, `measure` the time in which the bystanders are timed without a
/// storm. The storm takes as long as it takes.
///
/// # Errors
/// The run could not be finished, or not all came back.
pub(super) fn measure(
    common: &Common,
    name: &'static str,
    mqtt: &Mqtt,
    clients: usize,
    topic: &str,
) -> Result<Report, String> {
    let pair = Traffic {
        publishers: 1,
        topics: 1,
        subscribers: 1,
        qos: 0,
        payload_bytes: 128,
        window: 4096,
        rate: Some(200.0),
        topic: format!("{topic}/bystander"),
    };
    let shared = Shared::new();
    let Cast { flows, shares, .. } = Cast::new(&pair, 1);
    let bystanders: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let (mqtt, pair, shared) = (mqtt.clone(), pair.clone(), shared.clone());
            // A thread of its own: what it times is the broker, not the load.
            thread::spawn(move || share.work(&mqtt, &pair, &shared))
        })
        .collect();
    let storm = blow(common, mqtt, clients, topic, &shared);
    shared.enter(Phase::Finish);
    let by = Instant::now() + ARRIVED_WITHIN;
    while storm.is_ok() && !Cast::all_arrived(&flows, &shared) && Instant::now() < by {
        thread::sleep(TURN_MAX);
    }
    shared.enter(Phase::Done);
    let mut locals = Vec::new();
    for bystander in bystanders {
        locals.push(bystander.join().map_err(|_| "the bystanders' thread panicked")??);
    }
    let Storm { took, again, server } = storm?;
    let local = locals.pop().ok_or("the bystanders have one thread")?;
    let cpu = server.map(|w| w.after.cpu_seconds - w.before.cpu_seconds);
    Ok(Report {
        mode: name,
        setting: vec![
            ("protocol", mqtt.protocol().into()),
            ("all_back_seconds", took.as_secs_f64().into()),
            ("cpu_us_per_client", cpu.map(|cpu| cpu * 1e6 / clients.max(1) as f64).into()),
            ("calm_us", local.calm.json()),
        ],
        took,
        published: 0,
        delivered: 0,
        lost: shared.lost.load(Relaxed),
        repeated: shared.repeated.load(Relaxed),
        // Connections that had to be tried again.
        refused: again,
        connections: clients,
        latencies: local.latencies,
        server,
    })
}

/// How the storm went: how long until all were back, and how many connections had to be tried again.
struct Storm {
    took: Duration,
    again: u64,
    server: Option<Watched>,
}

fn blow(
    common: &Common,
    mqtt: &Mqtt,
    clients: usize,
    topic: &str,
    shared: &Arc<Shared>,
) -> Result<Storm, String> {
    let figures = || common.pid.and_then(ProcessFigures::of);
    let mut dormitory = Dormitory::new(mqtt, topic, true)?;
    let empty = figures();
    dormitory.take_in(clients)?;
    dormitory.rest(common.warmup)?;
    shared.enter(Phase::Warmup);
    dormitory.rest(common.measure)?;
    let (before, begun) = (figures(), Instant::now());
    shared.enter(Phase::Measure);
    let mut again = 0;
    for i in 0..clients {
        dormitory.engine.reconnect(i, SECOND_WAVE)?;
        if i % STEP == STEP - 1 {
            dormitory.engine.turn(Duration::ZERO)?;
        }
    }
    while dormitory.awake() > 0 {
        if begun.elapsed() > BACK_WITHIN {
            return Err(format!("{} of {clients} clients did not come back in time", dormitory.awake()));
        }
        for i in dormitory.engine.take_ended() {
            again += 1;
            dormitory.engine.reconnect(i, SECOND_WAVE)?;
        }
        dormitory.engine.turn(TURN_MAX)?;
    }
    let (took, after) = (begun.elapsed(), figures());
    let server = match (common.pid, empty, before, after) {
        (Some(pid), Some(empty), Some(before), Some(after)) => {
            Some(Watched { pid, before: ProcessFigures { cpu_seconds: before.cpu_seconds, ..empty }, after })
        }
        _ => None,
    };
    Ok(Storm { took, again, server })
}
