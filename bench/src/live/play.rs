//! What it costs to bring a broadcast to many viewers, and whether all of them get it in time.

use std::time::Duration;

use anyhow::Result;

use super::{
    Ground, Party,
    crowd::{Crowd, Target},
    table::{Column, column},
};

/// How much CPU time a delivered Mbit takes, and what was delivered. Behind is who has lost something, or got something
/// more than a second late. A server that is behind writes more at one time, which makes it look cheap: a run in which
/// anyone is behind says little of cost.
pub(super) const COLUMNS: &[Column] = &[
    column("CPU ms/Mbit", 3),
    column("Mbit/s", 0),
    column("cores", 2),
    column("viewers", 0),
    column("behind", 0),
    column("missing", 0),
    column("KiB each", 1),
    column("p95 ms", 0),
];

/// Viewers that are there before memory is looked at: what the first ones make a server allocate for good is not
/// theirs.
const WARM: usize = 20;
/// Of so many viewers one is looked at, picture by picture; of the others bytes are counted.
const READS_EVERY: usize = 25;
/// What a broadcast holds of the past has filled by then.
const FULL_AFTER: Duration = Duration::from_secs(13);
/// How long all may take until they play.
const PLAY_WITHIN: Duration = Duration::from_secs(30);
/// Pictures are read so much later, and more at one time.
const PAUSE: Duration = Duration::from_millis(5);
/// A viewer that got less of what was published has lost something.
const COMPLETE: f64 = 0.95;

/// One measurement: a figure for each column.
///
/// # Errors
/// The server does not do what is asked, or somebody loses a connection.
pub(super) fn measure(ground: &Ground, party: &Party) -> Result<Vec<f64>> {
    let (server, publisher) = ground.on_air(party)?;
    let target: Target = party.target(&server)?;
    let (settle, watched) = if ground.quick { (4, 5) } else { (4, 10) };
    let mut crowd = Crowd::new(publisher.published.clone())?;
    crowd.come(&target, WARM, 1)?;
    crowd.go_on(if ground.quick { FULL_AFTER / 2 } else { FULL_AFTER }, PAUSE)?;
    let before = server.memory()?;
    let viewers = party.viewers(ground);
    crowd.come(&target, viewers, READS_EVERY)?;
    crowd.until_all_play(PLAY_WITHIN)?;
    crowd.go_on(Duration::from_secs(settle), PAUSE)?;
    let memory = server.memory()?.saturating_sub(before);

    crowd.reset();
    let (cpu, published) = (server.cpu()?, publisher.published.bytes());
    let begun = std::time::Instant::now();
    crowd.go_on(Duration::from_secs(watched), PAUSE)?;
    let (cpu, took) = ((server.cpu()? - cpu).as_secs_f64(), begun.elapsed().as_secs_f64());
    let due = (publisher.published.bytes() - published) as f64 * COMPLETE;
    let mbit = crowd.bytes() as f64 * 8.0 / 1e6;
    let missing: u64 = crowd.viewers.iter().map(|v| v.missing).sum();
    let short = crowd.viewers.iter().filter(|v| (v.bytes() as f64) < due || v.missing + v.late > 0).count();
    let p95 = crowd.delays.value_at_quantile(0.95) as f64 / 1e3;
    let behind = crowd.behind()?.max(short);
    Ok(vec![
        cpu * 1e3 / mbit,
        mbit / took,
        cpu / took,
        crowd.viewers.len() as f64,
        behind as f64,
        missing as f64,
        memory as f64 / 1024.0 / viewers as f64,
        p95,
    ])
}
