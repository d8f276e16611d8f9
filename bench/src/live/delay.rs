//! How old pictures are when they are with those who watch.
//!
//! What counts is when the last byte of what has to be fetched with a picture is here: a part or a segment of HLS is
//! only asked for when it is complete. *At play* adds how far behind the end a player stays by what the playlist says;
//! players of RTMP and FLV have a buffer of their own choice instead, which is not added.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;

use super::{
    Ground, How, Party,
    crowd::{Crowd, Target},
    http::Client,
    mark::Marks,
    playlist::{Piece, Playlist, asking, is_master, variants},
    publisher::{Published, Publisher},
    servers::Server,
    table::{Column, column},
};

/// From the publisher's write to the viewer's read.
pub(super) const COLUMNS: &[Column] = &[
    column("p95 ms", 0),
    column("p50 ms", 0),
    column("p99 ms", 0),
    column("max ms", 0),
    column("at play, p95 ms", 0),
    column("missing", 0),
];

/// Viewers at one time.
const VIEWERS: usize = 20;
/// Those who ask for parts or segments, each with a thread.
const FOLLOWERS: usize = 4;
/// How long a playlist may take until it is there: two segments and more.
const LISTED_WITHIN: Duration = Duration::from_secs(20);
/// How long viewers of RTMP and FLV may wait for their first key frame.
const PLAY_WITHIN: Duration = Duration::from_secs(10);
/// How often is looked for a playlist that is not there yet.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One measurement: a figure for each column.
///
/// # Errors
/// The server does not do what is asked, or somebody loses a connection.
pub(super) fn measure(ground: &Ground, party: &Party) -> Result<Vec<f64>> {
    let (server, publisher) = ground.on_air(party)?;
    let watched = Duration::from_secs(if ground.quick { 8 } else { 20 });
    match party.how {
        How::Rtmp => push(&publisher, &server.rtmp_target(), watched),
        How::Flv => push(&publisher, &server.flv_target(), watched),
        how => pull(&server, &publisher, how, watched),
    }
}

/// Viewers who are sent what there is.
fn push(publisher: &Publisher, target: &Target, watched: Duration) -> Result<Vec<f64>> {
    let mut crowd = Crowd::new(publisher.published.clone())?;
    crowd.come(target, VIEWERS, 1)?;
    crowd.until_all_play(PLAY_WITHIN)?;
    crowd.go_on(Duration::from_secs(2), Duration::ZERO)?;
    crowd.reset();
    crowd.go_on(watched, Duration::ZERO)?;
    let missing = crowd.viewers.iter().map(|v| v.missing).sum();
    let seen = Seen { ages: crowd.delays, ..Seen::new()? };
    Ok(seen.figures(Duration::ZERO, missing))
}

/// What followers have seen.
struct Seen {
    /// Microseconds of age of every picture when it came.
    ages: Histogram<u64>,
    /// The same of the newest picture of what came with it, where pictures come in pieces.
    newest: Option<Histogram<u64>>,
    /// How far behind the end players stay.
    hold_back: Duration,
    /// Pictures that never came.
    missing: u64,
}

impl Seen {
    fn new() -> Result<Self> {
        let ages = Histogram::new_with_max(600_000_000, 3)?;
        Ok(Self { ages, newest: None, hold_back: Duration::ZERO, missing: 0 })
    }

    fn figures(&self, hold_back: Duration, missing: u64) -> Vec<f64> {
        let ms = |of: &Histogram<u64>, quantile| of.value_at_quantile(quantile) as f64 / 1e3;
        let at_play = ms(self.newest.as_ref().unwrap_or(&self.ages), 0.95) + hold_back.as_secs_f64() * 1e3;
        let ages = &self.ages;
        vec![ms(ages, 0.95), ms(ages, 0.5), ms(ages, 0.99), ages.max() as f64 / 1e3, at_play, missing as f64]
    }
}

/// Viewers who ask for parts or segments.
fn pull(server: &Server, publisher: &Publisher, how: How, watched: Duration) -> Result<Vec<f64>> {
    let path = server.playlist(how);
    let follow = || follow(server.http, &path, &publisher.published, how, watched);
    let all: Vec<Result<Seen>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..FOLLOWERS).map(|_| scope.spawn(follow)).collect();
        // One that has panicked has printed why.
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| bail!("a viewer panicked"))).collect()
    });
    let mut sum = Seen::new()?;
    let mut newest = Histogram::new_with_max(600_000_000, 3)?;
    for seen in all {
        let seen = seen?;
        sum.ages.add(&seen.ages)?;
        newest.add(seen.newest.context("pieces")?)?;
        sum.hold_back = seen.hold_back;
        sum.missing += seen.missing;
    }
    sum.newest = Some(newest);
    publisher.published.check()?;
    Ok(sum.figures(sum.hold_back, sum.missing))
}

/// One who watches: asks for the playlist as a player does, and for each piece that is new.
fn follow(
    server: SocketAddr,
    path: &str,
    published: &Published,
    how: How,
    watched: Duration,
) -> Result<Seen> {
    let mut client = Client::connect(server)?;
    let path = media_playlist(&mut client, path)?;
    let mut newest = Histogram::new_with_max(600_000_000, 3)?;
    let (mut seen, marks) = (Seen::new()?, Marks::new());
    let (mut last, mut expected): (Option<Piece>, Option<u32>) = (None, None);
    let until = Instant::now() + watched;
    let mut ask = path.clone();
    while Instant::now() < until {
        let asked = Instant::now();
        let list = Playlist::read(&path, &client.text(&ask)?);
        let pieces = if how == How::LowLatency { &list.parts } else { &list.segments };
        let fresh: Vec<&Piece> = match &last {
            Some(last) => pieces.iter().filter(|p| (p.segment, p.part) > (last.segment, last.part)).collect(),
            // What was there before it came is not what it waits for.
            None => Vec::new(),
        };
        let changed = !fresh.is_empty() || last.is_none();
        for piece in fresh {
            let body = client.body(&piece.path)?;
            let now = Instant::now();
            let found = marks.all(&body);
            for mark in &found {
                seen.missing += u64::from(mark.number.saturating_sub(expected.unwrap_or(mark.number)));
                expected = Some(mark.number + 1);
                let age = published.age(mark.number, now).context("a picture from the future")?;
                seen.ages.saturating_record(age.as_micros() as u64);
            }
            if let Some(age) = found.last().and_then(|mark| published.age(mark.number, now)) {
                newest.saturating_record(age.as_micros() as u64);
            }
        }
        last = pieces.last().cloned().or(last);
        if how == How::LowLatency {
            seen.hold_back = list.part_hold_back.context("the playlist has no PART-HOLD-BACK")?;
            ask = asking(&path, &format!("_HLS_msn={}&_HLS_part={}", list.next.0, list.next.1));
        } else {
            seen.hold_back = list.hold_back;
            // RFC 8216 §6.3.4: again after the target duration where it has changed, after half of it otherwise.
            let pause = if changed { list.target } else { list.target / 2 };
            std::thread::sleep((asked + pause).saturating_duration_since(Instant::now()));
        }
    }
    if newest.is_empty() {
        bail!("no picture in {path}");
    }
    seen.newest = Some(newest);
    Ok(seen)
}

/// The playlist of the pictures behind a playlist, once it lists something.
///
/// # Errors
/// There is none in time.
pub(super) fn media_playlist(client: &mut Client, path: &str) -> Result<String> {
    let by = Instant::now() + LISTED_WITHIN;
    loop {
        let answer = client.get(path)?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status == 200 {
            if !is_master(&text) {
                return Ok(path.to_owned());
            }
            if let Some(first) = variants(path, &text).into_iter().next() {
                return Ok(first);
            }
        }
        if Instant::now() > by {
            bail!("{path} is not there: {} {}", answer.status, text.chars().take(200).collect::<String>());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
