//! Following one client for a while: what it sends and hears, packet by packet, never a body or a secret.
//!
//! An operator starts a trace for a client id; each connection notices at its next packet and tells what it
//! does. The lines are published to `$SYS/trace/CLIENT-ID` and given to whoever started the trace. A trace ends
//! by itself. A connection without a trace pays one relaxed load for each packet ([`Watch::trace`]).

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use serde::Serialize;
use yizhan_hub::{Topic, access::Bucket, topic};
use yizhan_talk::{Counter, Now};

use crate::wire::{Kind, Reason};

/// Clients that may be followed at one time.
const TRACES_MAX: usize = 16;
/// The longest that a client is followed.
pub const TRACE_TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Lines of one trace per second, after a burst of two seconds' worth. What is over is counted and told.
const LINES_PER_SECOND: u32 = 1_000;
/// Lines that wait to be published. What is over is counted and told.
const LINES_MAX: usize = 8_192;
/// Lines that wait for whoever started the trace. What is over is counted and told.
const FOLLOWER_LINES_MAX: usize = 4_096;
/// Lines published at one time, before others get a turn.
const LINES_TURN: usize = 256;
/// Bytes of a topic that a line shows.
const TOPIC_BYTES_MAX: usize = 256;
/// Where lines are published, before the client id.
const TRACE_TOPIC: &str = "$SYS/trace/";

/// All traces of the door.
#[derive(Debug, Default)]
pub struct Traces {
    /// Another number after each begin and end of a trace.
    epoch: AtomicU32,
    active: Mutex<Vec<Arc<Trace>>>,
    waiting: Arc<Waiting>,
    /// Lines taken.
    pub lines: Counter,
}

/// Lines on their way out.
#[derive(Debug, Default)]
struct Waiting {
    lines: Mutex<VecDeque<(Arc<Trace>, Bytes)>>,
    wake: AtomicWaker,
}

/// One client that is followed.
#[derive(Debug)]
pub struct Trace {
    client: Box<str>,
    topic: Topic,
    begun: Instant,
    until: Instant,
    rate: Bucket,
    dropped: AtomicU64,
    /// Taken when the trace ends: a quiet connection may hold the trace for long.
    follower: Mutex<Option<mpsc::Sender<Bytes>>>,
    waiting: Arc<Waiting>,
}

/// Why no trace begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTrace {
    /// The client id is empty or no part of a topic.
    #[error("this cannot be a client id")]
    BadClient,
    /// Too many are followed already.
    #[error("at most {TRACES_MAX} clients are followed at one time")]
    TooMany,
    /// It would take too long, or no time at all.
    #[error("a client is followed for 1 second to {} hours", TRACE_TIME_MAX.as_secs() / 3600)]
    BadTime,
}

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// What a trace tells of one packet.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Which packet.
    pub kind: Kind,
    /// Which way it went.
    pub direction: Direction,
    /// Its bytes, header included; 0 where it is not known.
    pub bytes: usize,
    /// Its packet identifier.
    pub id: Option<u16>,
    /// A topic or filter in it: of several, the first.
    pub topic: Option<&'a str>,
    /// PUBLISH's or a subscription's.
    pub qos: Option<u8>,
    /// PUBLISH's flag.
    pub retain: bool,
    /// PUBLISH's flag.
    pub dup: bool,
    /// Its reason code, where it has one.
    pub reason: Option<Reason>,
    /// A sentence about it, without secrets.
    pub text: Option<&'a str>,
}

impl Event<'_> {
    /// An event about which nothing else is said.
    #[must_use]
    pub fn new(kind: Kind, direction: Direction, bytes: usize) -> Self {
        Self {
            kind,
            direction,
            bytes,
            id: None,
            topic: None,
            qos: None,
            retain: false,
            dup: false,
            reason: None,
            text: None,
        }
    }
}

/// A connection's view of the traces: whether its client is followed.
#[derive(Debug, Default)]
pub struct Watch {
    epoch: u32,
    trace: Option<Arc<Trace>>,
}

impl Watch {
    /// The trace of this client, where there is one. Looks it up only after a trace has begun or ended; an empty
    /// id, before CONNECT, is nobody's.
    #[inline]
    pub fn trace(&mut self, traces: &Traces, client: &str) -> Option<&Arc<Trace>> {
        if traces.epoch.load(Relaxed) != self.epoch {
            self.look_up(traces, client);
        }
        self.trace.as_ref()
    }

    #[cold]
    fn look_up(&mut self, traces: &Traces, client: &str) {
        // Before CONNECT nobody is known, and who comes then has to be looked up.
        if client.is_empty() {
            return;
        }
        self.epoch = traces.epoch.load(Acquire);
        self.trace = traces.active.lock().iter().find(|trace| *trace.client == *client).cloned();
    }
}

impl Traces {
    /// Follows a client for a while; one that is followed already is followed anew.
    ///
    /// # Errors
    /// See [`NoTrace`].
    pub fn start(&self, now: Now, client: &str, time: Duration) -> Result<(), NoTrace> {
        self.begin(now, client, time, None)
    }

    /// As [`start`](Self::start), and gives the lines to the caller, too. The receiver ends with the trace, and
    /// the trace ends where the receiver is dropped.
    ///
    /// # Errors
    /// See [`NoTrace`].
    pub fn follow(&self, now: Now, client: &str, time: Duration) -> Result<mpsc::Receiver<Bytes>, NoTrace> {
        let (follower, lines) = mpsc::channel(FOLLOWER_LINES_MAX);
        self.begin(now, client, time, Some(follower))?;
        Ok(lines)
    }

    fn begin(
        &self,
        now: Now,
        client: &str,
        time: Duration,
        follower: Option<mpsc::Sender<Bytes>>,
    ) -> Result<(), NoTrace> {
        if time < Duration::from_secs(1) || time > TRACE_TIME_MAX {
            return Err(NoTrace::BadTime);
        }
        let trace = Arc::new(Trace {
            client: client.into(),
            topic: topic_of(client).ok_or(NoTrace::BadClient)?,
            begun: now.steady,
            until: now.steady + time,
            rate: Bucket::default(),
            dropped: AtomicU64::new(0),
            follower: Mutex::new(follower),
            waiting: self.waiting.clone(),
        });
        let mut active = self.active.lock();
        let is_new = active.iter().all(|trace| *trace.client != *client);
        if is_new && active.len() >= TRACES_MAX {
            return Err(NoTrace::TooMany);
        }
        end_where(&mut active, |trace| *trace.client == *client);
        active.push(trace);
        self.epoch.fetch_add(1, Release);
        Ok(())
    }

    /// Ends the trace of a client; whether there was one.
    pub fn stop(&self, client: &str) -> bool {
        let mut active = self.active.lock();
        let before = active.len();
        end_where(&mut active, |trace| *trace.client == *client);
        self.epoch.fetch_add(1, Release);
        active.len() < before
    }

    /// Ends traces whose time is over; the server calls this about once a second.
    pub fn maintain(&self, now: Now) {
        let mut active = self.active.lock();
        let before = active.len();
        end_where(&mut active, |trace| trace.until <= now.steady || trace.is_left());
        if active.len() < before {
            self.epoch.fetch_add(1, Release);
        }
    }

    /// Where a client's lines are published; `None` where it cannot be a client id.
    #[must_use]
    pub fn topic(client: &str) -> Option<Topic> {
        topic_of(client)
    }

    /// Who is followed now.
    #[must_use]
    pub fn clients(&self) -> Vec<Box<str>> {
        self.active.lock().iter().map(|trace| trace.client.clone()).collect()
    }

    /// Gives lines out as long as it runs, with `publish`.
    pub async fn run(self: Arc<Self>, publish: impl Fn(Topic, Bytes)) {
        loop {
            for (trace, line) in self.waiting.turn().await {
                self.lines.one();
                trace.give(&line);
                publish(trace.topic.clone(), line);
            }
        }
    }
}

/// Ends those that `which` names.
fn end_where(active: &mut Vec<Arc<Trace>>, which: impl Fn(&Trace) -> bool) {
    active.retain(|trace| {
        let ends = which(trace);
        if ends {
            trace.end();
        }
        !ends
    });
}

impl Waiting {
    /// The next lines, as soon as there are some.
    async fn turn(&self) -> Vec<(Arc<Trace>, Bytes)> {
        poll_fn(|cx| {
            // First, so that a line which comes between is not missed.
            self.wake.register(cx.waker());
            let mut lines = self.lines.lock();
            let n = lines.len().min(LINES_TURN);
            if n == 0 { Poll::Pending } else { Poll::Ready(lines.drain(..n).collect()) }
        })
        .await
    }
}

impl Trace {
    /// Tells what happened.
    pub fn tell(self: &Arc<Self>, now: Now, event: &Event<'_>) {
        let Some(micros) = self.admit(now) else { return };
        let line = Line {
            at: now.wall.as_millis(),
            after_us: micros,
            client: &self.client,
            direction: event.direction,
            packet: event.kind.name(),
            bytes: Some(event.bytes).filter(|n| *n > 0),
            id: event.id,
            topic: event.topic.map(shortened),
            qos: event.qos,
            retain: event.retain,
            dup: event.dup,
            reason: event.reason.map(Reason::number),
            reason_name: event.reason.map(Reason::name),
            text: event.text,
            dropped: self.dropped.swap(0, Relaxed),
        };
        self.send(&line);
    }

    /// How long the trace runs, µs; `None` where its time is over or it tells too much.
    fn admit(&self, now: Now) -> Option<u64> {
        let micros = u64::try_from(now.steady.saturating_duration_since(self.begun).as_micros()).ok()?;
        if now.steady >= self.until {
            return None;
        }
        // The bucket's scale begins full at its zero.
        if self.rate.take(micros, 1, LINES_PER_SECOND).is_err() {
            self.dropped.fetch_add(1, Relaxed);
            return None;
        }
        Some(micros)
    }

    fn send(self: &Arc<Self>, line: &Line<'_>) {
        // A line has only texts and numbers: it can be written.
        let Ok(text) = serde_json::to_vec(line) else { return };
        let mut lines = self.waiting.lines.lock();
        if lines.len() >= LINES_MAX {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        lines.push_back((self.clone(), text.into()));
        drop(lines);
        self.waiting.wake.wake();
    }

    /// Gives a line to whoever started the trace.
    fn give(&self, line: &Bytes) {
        let mut follower = self.follower.lock();
        let Some(follower) = follower.as_mut() else { return };
        if follower.try_send(line.clone()).is_err_and(|error| error.is_full()) {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Tells whoever started it that it is over.
    fn end(&self) {
        *self.follower.lock() = None;
    }

    /// Whether whoever started it has gone.
    fn is_left(&self) -> bool {
        self.follower.lock().as_ref().is_some_and(mpsc::Sender::is_closed)
    }
}

/// One line, as it is published.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// Milliseconds since 1970.
    at: u64,
    /// Microseconds since the trace began, on the steady clock.
    after_us: u64,
    client: &'a str,
    direction: Direction,
    packet: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qos: Option<u8>,
    #[serde(skip_serializing_if = "is_false")]
    retain: bool,
    #[serde(skip_serializing_if = "is_false")]
    dup: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// Lines that are missing before this one.
    #[serde(skip_serializing_if = "is_zero")]
    dropped: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Where a client's lines go: wildcards in its id are written as `_`.
fn topic_of(client: &str) -> Option<Topic> {
    if client.is_empty() || client.len() > topic::NAME_BYTES_MAX - TRACE_TOPIC.len() {
        return None;
    }
    Topic::new(&format!("{TRACE_TOPIC}{}", client.replace(['+', '#'], "_"))).ok()
}

/// The first bytes of a topic, whole characters.
fn shortened(topic: &str) -> &str {
    &topic[..topic.floor_char_boundary(TOPIC_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};
    use yizhan_talk::Timestamp;

    use super::*;

    fn moment() -> Now {
        // Where time begins in a test.
        #[allow(clippy::disallowed_methods)]
        Now { steady: Instant::now(), wall: Timestamp::from_millis(1_000) }
    }

    fn later(now: Now, by: Duration) -> Now {
        Now { steady: now.steady + by, wall: now.wall.plus(by) }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn event() -> Event<'static> {
        Event {
            topic: Some("a/b"),
            id: Some(7),
            qos: Some(1),
            ..Event::new(Kind::Publish, Direction::In, 20)
        }
    }

    /// Runs until nothing waits; what was published.
    fn published(traces: &Arc<Traces>) -> Vec<(String, serde_json::Value)> {
        let all = Mutex::new(Vec::new());
        let run = traces.clone().run(|topic, line| {
            all.lock().push((topic.as_str().to_owned(), serde_json::from_slice(&line).unwrap()));
        });
        assert!(run.now_or_never().is_none(), "it runs on");
        all.into_inner()
    }

    #[test]
    fn who_is_followed_tells_and_others_do_not() {
        let (traces, now) = (Arc::new(Traces::default()), moment());
        let (mut one, mut other) = (Watch::default(), Watch::default());
        assert!(one.trace(&traces, "c1").is_none());
        traces.start(now, "c1", MINUTE).unwrap();
        assert!(other.trace(&traces, "c2").is_none());
        let mut late = Watch::default();
        assert!(late.trace(&traces, "").is_none(), "before CONNECT");
        assert!(late.trace(&traces, "c1").is_some());
        one.trace(&traces, "c1").unwrap().tell(now, &event());
        let lines = published(&traces);
        assert_eq!(lines.len(), 1);
        let (topic, line) = &lines[0];
        assert_eq!(topic, "$SYS/trace/c1");
        let expected = serde_json::json!({"at": 1000, "after_us": 0, "client": "c1", "direction": "in",
            "packet": "PUBLISH", "bytes": 20, "id": 7, "topic": "a/b", "qos": 1});
        assert_eq!(*line, expected);
    }

    #[test]
    fn a_trace_ends_by_itself() {
        let (traces, now) = (Arc::new(Traces::default()), moment());
        let mut lines = traces.follow(now, "c1", MINUTE).unwrap();
        let mut watch = Watch::default();
        let trace = watch.trace(&traces, "c1").unwrap().clone();
        trace.tell(later(now, MINUTE), &event());
        assert!(published(&traces).is_empty(), "its time is over");
        traces.maintain(later(now, MINUTE));
        assert_eq!(lines.next().now_or_never(), Some(None), "whoever follows is told, whoever holds it");
        assert!(watch.trace(&traces, "c1").is_none());
        trace.tell(now, &event());
        assert!(traces.clients().is_empty());
    }

    #[test]
    fn a_trace_ends_when_nobody_follows_any_more() {
        let (traces, now) = (Arc::new(Traces::default()), moment());
        drop(traces.follow(now, "c1", MINUTE).unwrap());
        traces.start(now, "c2", MINUTE).unwrap();
        traces.maintain(now);
        assert_eq!(traces.clients(), ["c2".into()]);
        assert!(traces.stop("c2") && !traces.stop("c2"));
    }

    #[test]
    fn too_much_is_dropped_and_told() {
        let (traces, now) = (Arc::new(Traces::default()), moment());
        let mut lines = traces.follow(now, "c1", MINUTE).unwrap();
        let mut watch = Watch::default();
        let trace = watch.trace(&traces, "c1").unwrap().clone();
        let burst = 2 * u64::from(LINES_PER_SECOND);
        for _ in 0..burst + 50 {
            trace.tell(now, &event());
        }
        assert_eq!(published(&traces).len() as u64, burst);
        trace.tell(later(now, Duration::from_secs(2)), &event());
        let last = published(&traces).pop().unwrap().1;
        assert_eq!(last["dropped"], 50);
        let mut heard = 0;
        while lines.next().now_or_never().flatten().is_some() {
            heard += 1;
        }
        assert_eq!(heard, burst + 1);
    }

    #[test]
    fn there_are_bounds() {
        let (traces, now) = (Traces::default(), moment());
        assert_eq!(traces.start(now, "c", Duration::ZERO), Err(NoTrace::BadTime));
        assert_eq!(traces.start(now, "c", TRACE_TIME_MAX * 2), Err(NoTrace::BadTime));
        assert_eq!(traces.start(now, "", MINUTE), Err(NoTrace::BadClient));
        assert_eq!(traces.start(now, &"x".repeat(2000), MINUTE), Err(NoTrace::BadClient));
        for i in 0..TRACES_MAX {
            traces.start(now, &format!("c{i}"), MINUTE).unwrap();
        }
        assert_eq!(traces.start(now, "one more", MINUTE), Err(NoTrace::TooMany));
        assert_eq!(traces.start(now, "c0", MINUTE), Ok(()), "the same again is no more");
    }

    #[test]
    fn an_id_makes_no_wildcard_and_a_topic_is_cut_between_characters() {
        assert_eq!(topic_of("a+/#b").unwrap().as_str(), "$SYS/trace/a_/_b");
        let long = "é".repeat(TOPIC_BYTES_MAX);
        assert_eq!(shortened(&long).len(), TOPIC_BYTES_MAX);
        assert_eq!(shortened(&format!("a{long}")).len(), TOPIC_BYTES_MAX - 1);
    }
}
