//! One publisher, a thousand listeners, as fast as it goes with nothing lost.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::LocalSet,
};

use crate::{
    MARK,
    process::{Process, median},
    socket,
};

const LISTENERS: usize = 1000;
const BODY: usize = 128;
/// How far the publisher runs ahead of the listeners, on average.
const AHEAD: u64 = 1024;
/// Messages that the publisher writes at once, as one who sends as fast as it can does.
const BURST: u64 = 512;
const ROUNDS: usize = 3;

#[derive(Clone, Copy, PartialEq)]
enum Peer {
    Yizhan,
    NodeWs,
    Bare,
}

impl Peer {
    async fn start(self) -> Result<Process> {
        match self {
            Self::Yizhan => Process::yizhan().await,
            Self::NodeWs => Process::node_ws().await,
            Self::Bare => Process::bare().await,
        }
    }

    /// What the publisher sends for one message.
    fn message(self, out: &mut Vec<u8>, number: u64) {
        let body = format!("@~{number:08x}{}", "x".repeat(BODY - 10));
        match self {
            Self::Yizhan => {
                let command = format!(r#"{{"type":"publish","topic":"bench/fanout","text":"{body}"}}"#);
                socket::frame(out, command.as_bytes());
            }
            Self::NodeWs => socket::frame(out, body.as_bytes()),
            // The same bytes as ours would be, so that the limit is the limit of the same work.
            Self::Bare => {
                let event = format!(
                    r#"{{"topic":"bench/fanout","at":1790000000000,"from":"anonymous","session":"0123456789abcdef","text":"{body}"}},"#
                );
                socket::frame(out, event.as_bytes());
            }
        }
    }
}

/// Server CPU per delivery (µs) and deliveries per second.
struct Outcome {
    cpu_micros: f64,
    per_second: f64,
    p99: Duration,
}

/// Prints the table: ours beside the peers, in turn.
pub(crate) async fn run(quick: bool) -> Result<()> {
    println!(
        "fan-out: 1 publisher -> {LISTENERS} WebSocket listeners, {BODY} bytes, nothing kept, nothing lost"
    );
    let peers =
        [(Peer::Yizhan, "yizhan", 8000), (Peer::NodeWs, "npm ws", 1500), (Peer::Bare, "bare writer", 8000)];
    let mut costs: Vec<(&str, Vec<f64>, Vec<f64>)> = peers.map(|(_, name, _)| (name, vec![], vec![])).into();
    for round in 0..if quick { 1 } else { ROUNDS } {
        for (i, (peer, name, messages)) in peers.into_iter().enumerate() {
            let outcome = measure(peer, if quick { messages / 4 } else { messages }, 0).await?;
            eprintln!("  round {}: {name}: {:.2} µs a delivery", round + 1, outcome.cpu_micros);
            costs[i].1.push(outcome.cpu_micros);
            costs[i].2.push(outcome.per_second);
        }
    }
    let ours = median(&mut costs[0].1.clone());
    println!("  {:<14}{:>22}{:>18}{:>10}", "server", "CPU µs per delivery", "deliveries/s", "ratio");
    for (name, cpu, rate) in &mut costs {
        let cpu = median(cpu);
        println!("  {name:<14}{cpu:>22.2}{:>18.0}{:>10.2}", median(rate), ours / cpu);
    }
    println!("  wanted: at most 0.5 of npm ws, at most 2 of the bare writer\n");
    Ok(())
}

/// The same with one listener that never reads.
pub(crate) async fn run_slow(quick: bool) -> Result<()> {
    println!("slow reader: the same fan-out with and without one listener that stops reading");
    let messages = if quick { 1000 } else { 5000 };
    let (mut alone, mut beside) = ((vec![], vec![]), (vec![], vec![]));
    for _ in 0..if quick { 1 } else { ROUNDS } {
        for (slow, into) in [(0, &mut alone), (1, &mut beside)] {
            let outcome = measure(Peer::Yizhan, messages, slow).await?;
            into.0.push(outcome.cpu_micros);
            into.1.push(outcome.p99.as_secs_f64() * 1e3);
        }
    }
    for (name, (cpu, p99)) in [("without", &mut alone), ("with", &mut beside)] {
        println!("  {name:<10} {:>8.2} µs CPU a delivery   p99 {:>8.2} ms", median(cpu), median(p99));
    }
    println!("  ratio {:.2}\n", median(&mut beside.0) / median(&mut alone.0));
    Ok(())
}

async fn measure(peer: Peer, messages: u64, slow: usize) -> Result<Outcome> {
    let server = peer.start().await?;
    let counted = Rc::new(Counted::default());
    let tasks = LocalSet::new();
    let outcome = tasks.run_until(drive(peer, &server, messages, slow, counted)).await?;
    drop(server);
    Ok(outcome)
}

#[derive(Default)]
struct Counted {
    total: Cell<u64>,
    failed: Cell<bool>,
    moved: Notify,
    sent_at: std::cell::RefCell<Vec<Instant>>,
    latency: std::cell::RefCell<Option<hdrhistogram::Histogram<u64>>>,
}

async fn drive(
    peer: Peer,
    server: &Process,
    messages: u64,
    slow: usize,
    counted: Rc<Counted>,
) -> Result<Outcome> {
    *counted.latency.borrow_mut() = Some(hdrhistogram::Histogram::new_with_max(60_000_000, 3)?);
    let mut stopped = Vec::new();
    for i in 0..LISTENERS + slow {
        let (mut stream, read) = socket::connect(server).await?;
        if peer == Peer::Yizhan {
            let mut out = Vec::new();
            socket::frame(&mut out, br#"{"type":"subscribe","id":1,"sub":1,"filter":"bench/fanout"}"#);
            stream.write_all(&out).await?;
            socket::read_until(&mut stream, read, "subscribed").await?;
        }
        if i < LISTENERS {
            tokio::task::spawn_local(listen(stream, messages, counted.clone(), i == 0));
        } else {
            stopped.push(stream);
        }
    }
    let mut publisher = publisher(peer, server).await?;
    let (cpu_before, begun) = (server.cpu()?, Instant::now());
    let mut out = Vec::new();
    let mut sent = 0;
    while sent < messages {
        let received = counted.total.get() / LISTENERS as u64;
        let room = AHEAD.saturating_sub(sent - received).min(messages - sent);
        if counted.failed.get() {
            bail!("a listener lost its connection or a message");
        }
        if room == 0 {
            counted.moved.notified().await;
            continue;
        }
        out.clear();
        for number in sent..sent + room.min(BURST) {
            peer.message(&mut out, number);
            counted.sent_at.borrow_mut().push(Instant::now());
        }
        sent += room.min(BURST);
        publisher.write_all(&out).await?;
        tokio::task::yield_now().await;
    }
    let due = messages * LISTENERS as u64;
    while counted.total.get() < due {
        if counted.failed.get() || begun.elapsed() > Duration::from_secs(300) {
            bail!("{} of {due} deliveries came: the run is void", counted.total.get());
        }
        // Time out or news: look again.
        drop(tokio::time::timeout(Duration::from_secs(1), counted.moved.notified()).await);
    }
    let (cpu, took) = (server.cpu()? - cpu_before, begun.elapsed());
    let p99 = counted.latency.borrow().as_ref().map_or(0, |h| h.value_at_quantile(0.99));
    Ok(Outcome {
        cpu_micros: cpu.as_secs_f64() * 1e6 / due as f64,
        per_second: due as f64 / took.as_secs_f64(),
        p99: Duration::from_micros(p99),
    })
}

async fn publisher(peer: Peer, server: &Process) -> Result<TcpStream> {
    if peer == Peer::Bare {
        // The bare writer knows its publisher by a word in the request.
        let mut stream = TcpStream::connect(server.address).await?;
        stream.write_all(b"GET /publisher HTTP/1.1\r\n\r\n").await?;
        socket::read_until(&mut stream, Vec::new(), "\r\n\r\n").await?;
        return Ok(stream);
    }
    Ok(socket::connect(server).await?.0)
}

/// Counts messages and checks that none is missing or out of order.
async fn listen(mut stream: TcpStream, messages: u64, counted: Rc<Counted>, timed: bool) {
    let finder = memchr::memmem::Finder::new(MARK);
    let (mut expected, mut read) = (0, Vec::with_capacity(64 * 1024));
    while expected < messages {
        match stream.read_buf(&mut read).await {
            Ok(n) if n > 0 => {}
            _ => break,
        }
        let (mut used, mut seen) = (0, 0);
        while let Some(at) = finder.find(&read[used..]).map(|at| used + at) {
            let Some(digits) = read.get(at + 2..at + 10) else {
                used = at;
                break;
            };
            let number = std::str::from_utf8(digits).ok().and_then(|d| u64::from_str_radix(d, 16).ok());
            if number != Some(expected) {
                counted.failed.set(true);
                return;
            }
            if timed && let Some(latency) = &mut *counted.latency.borrow_mut() {
                let micros = counted.sent_at.borrow()[expected as usize].elapsed().as_micros() as u64;
                latency.saturating_record(micros);
            }
            expected += 1;
            seen += 1;
            used = at + 10;
        }
        // A marker may be cut in two by the end of what was read.
        let keep = (read.len() - used).min(MARK.len() + 8);
        let from = if read[used..].starts_with(MARK) { used } else { read.len() - keep };
        read.drain(..from);
        counted.total.set(counted.total.get() + seen);
        counted.moved.notify_one();
    }
    if expected < messages {
        counted.failed.set(true);
    }
}
