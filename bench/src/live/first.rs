//! How long a new viewer waits for its first picture, and how old what viewers see is.

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::{
    Ground, Party,
    crowd::Crowd,
    table::{Column, column},
};

/// How long until the first key frame is there to its last byte, and how old it was.
pub(super) const COLUMNS: &[Column] = &[
    column("p95 ms", 1),
    column("p50 ms", 1),
    column("max ms", 1),
    column("age p50 ms", 0),
    column("viewers", 0),
];

/// From one viewer to the next: up to so long, so that they come at any time between two key frames.
const APART_MAX: Duration = Duration::from_secs(2);
/// Multiples of it, without their whole parts, lie evenly in 0 to 1.
const GOLDEN: f64 = 0.618_033_988_749_895;
/// How long one may wait.
const WITHIN: Duration = Duration::from_secs(10);

/// One measurement: viewers come one after another.
///
/// # Errors
/// The server does not do what is asked, or one gets no picture.
pub(super) fn measure(ground: &Ground, party: &Party) -> Result<Vec<f64>> {
    let (server, publisher) = ground.on_air(party)?;
    let target = party.target(&server)?;
    let viewers = if ground.quick { 10 } else { 25 };
    let mut waits = Histogram::<u64>::new_with_max(600_000_000, 3)?;
    let mut ages = waits.clone();
    // The broadcast has been on air for a while.
    std::thread::sleep(Duration::from_secs(5));
    for i in 1..=viewers {
        let mut crowd = Crowd::new(publisher.published.clone())?;
        crowd.come(&target, 1, 1)?;
        crowd.until_all_play(WITHIN)?;
        let (waited, age) = crowd.viewers[0].first_key().context("it plays")?;
        waits.saturating_record(waited.as_micros() as u64);
        ages.saturating_record(age.as_micros() as u64);
        drop(crowd);
        std::thread::sleep(APART_MAX.mul_f64((f64::from(i) * GOLDEN).fract()));
    }
    let ms = |quantile| waits.value_at_quantile(quantile) as f64 / 1e3;
    Ok(vec![
        ms(0.95),
        ms(0.5),
        waits.max() as f64 / 1e3,
        ages.value_at_quantile(0.5) as f64 / 1e3,
        f64::from(viewers),
    ])
}
