//! Idle clients, one subscription each: what they cost in memory, and whether they cost processor time.

use std::time::Instant;

use yizhan_probe::ProcessFigures;

use super::{Mqtt, sleeper::Dormitory};
use crate::load::{
    report::{Latencies, Report, Watched},
    run::Common,
};

/// Clients that come before memory is looked at: what the first ones make a broker allocate for good is not theirs.
const FIRST: usize = 200;

/// Runs it: `warmup` is the time to settle, `measure` the time in which processor time is looked at.
///
/// # Errors
/// The run could not be finished.
pub(super) fn measure(
    common: &Common,
    name: &'static str,
    mqtt: &Mqtt,
    clients: usize,
    topic: &str,
) -> Result<Report, String> {
    let figures = || common.pid.and_then(ProcessFigures::of);
    let mut dormitory = Dormitory::new(mqtt, topic, false)?;
    dormitory.take_in(FIRST)?;
    dormitory.rest(common.warmup)?;
    let empty = figures();
    dormitory.take_in(clients)?;
    dormitory.rest(common.warmup)?;
    let (before, begun) = (figures(), Instant::now());
    dormitory.rest(common.measure)?;
    let (after, took) = (figures(), begun.elapsed());
    let server = match (common.pid, empty, before, after) {
        (Some(pid), Some(empty), Some(before), Some(after)) => {
            // Memory has grown since before they came; processor time is that of the measured time.
            Some(Watched { pid, before: ProcessFigures { cpu_seconds: before.cpu_seconds, ..empty }, after })
        }
        _ => None,
    };
    Ok(Report {
        mode: name,
        setting: vec![("protocol", mqtt.protocol().into()), ("before_them", FIRST.into())],
        took,
        published: 0,
        delivered: 0,
        lost: 0,
        repeated: 0,
        refused: 0,
        connections: clients,
        latencies: Latencies::new(),
        server,
    })
}
