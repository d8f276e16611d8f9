//! Publishing to disk: 64 publishers with 32 messages of 1 KiB under way each, acknowledged after `fsync`,
//! beside one sequential writer that syncs after as many bytes on the same disk.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::Write,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::LocalSet,
};

use crate::{
    process::{Process, median, scratch},
    socket,
};

const PUBLISHERS: usize = 64;
const WINDOW: usize = 32;
const BODY: usize = 1024;
const ROUNDS: usize = 3;
/// What one record takes on disk beside its body, about; for the bare writer's groups.
const OVERHEAD: usize = 96;

pub(crate) async fn run(quick: bool) -> Result<()> {
    println!(
        "durable publish: {PUBLISHERS} publishers, {WINDOW} under way each, {BODY} bytes, acknowledged after fsync"
    );
    let messages = if quick { 40_000 } else { 400_000 };
    let (mut ours, mut p99s, mut cpus, mut bare) = (vec![], vec![], vec![], vec![]);
    for _ in 0..if quick { 1 } else { ROUNDS } {
        let server = Process::yizhan().await?;
        let before = server.cpu()?;
        let begun = Instant::now();
        let latency = LocalSet::new().run_until(load(&server, messages)).await?;
        ours.push(messages as f64 / begun.elapsed().as_secs_f64());
        cpus.push((server.cpu()? - before).as_secs_f64() * 1e6 / messages as f64);
        p99s.push(latency.value_at_quantile(0.99) as f64 / 1e3);
        drop(server);
        // All that can be under way at once makes the largest group there is.
        bare.push(sequential(messages, PUBLISHERS * WINDOW)?);
    }
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    println!(
        "  yizhan            {ours:>10.0} msg/s   p99 {:>6.2} ms   {:.1} µs CPU a message",
        median(&mut p99s),
        median(&mut cpus)
    );
    println!("  sequential writer {bare:>10.0} msg/s   ratio {:.2}", ours / bare);
    println!("  wanted: 100,000 msg/s, or 0.70 of the writer; p99 below 20 ms\n");
    Ok(())
}

async fn load(server: &Process, messages: usize) -> Result<Histogram<u64>> {
    let latency = Rc::new(RefCell::new(Histogram::<u64>::new_with_max(60_000_000, 3)?));
    let mut publishers = Vec::new();
    for i in 0..PUBLISHERS {
        let (stream, _) = socket::connect(server).await?;
        publishers.push(tokio::task::spawn_local(publish(stream, i, messages / PUBLISHERS, latency.clone())));
    }
    for publisher in publishers {
        publisher.await??;
    }
    let latency = latency.borrow().clone();
    Ok(latency)
}

async fn publish(
    mut stream: tokio::net::TcpStream,
    publisher: usize,
    messages: usize,
    latency: Rc<RefCell<Histogram<u64>>>,
) -> Result<()> {
    let body = "x".repeat(BODY);
    let command = format!(r#"{{"type":"publish","id":1,"topic":"disk/bench/{publisher}","text":"{body}"}}"#);
    let finder = memchr::memmem::Finder::new(br#""receipt""#);
    let (mut sent, mut acked) = (0, 0);
    let mut under_way: VecDeque<Instant> = VecDeque::new();
    let (mut out, mut read) = (Vec::new(), Vec::with_capacity(64 * 1024));
    while acked < messages {
        out.clear();
        while under_way.len() < WINDOW && sent < messages {
            socket::frame(&mut out, command.as_bytes());
            under_way.push_back(Instant::now());
            sent += 1;
        }
        if !out.is_empty() {
            stream.write_all(&out).await?;
        }
        if stream.read_buf(&mut read).await? == 0 {
            bail!("the server closed");
        }
        let mut used = 0;
        while let Some(at) = finder.find(&read[used..]) {
            used += at + 9;
            acked += 1;
            if let Some(at) = under_way.pop_front() {
                latency.borrow_mut().saturating_record(at.elapsed().as_micros() as u64);
            }
        }
        if memchr::memmem::find(&read, br#""error""#).is_some() {
            bail!("refused: {}", String::from_utf8_lossy(&read));
        }
        let keep = (read.len() - used).min(8);
        read.drain(..read.len() - keep);
    }
    Ok(())
}

/// What the disk gives to who writes groups of so many records behind one another and syncs after each.
fn sequential(messages: usize, group: usize) -> Result<f64> {
    let mut file = tempfile::tempfile_in(scratch())?;
    let bytes = vec![b'x'; group * (BODY + OVERHEAD)];
    let begun = Instant::now();
    for _ in 0..messages.div_ceil(group) {
        file.write_all(&bytes)?;
        file.sync_data()?;
    }
    let took = begun.elapsed().max(Duration::from_micros(1));
    Ok((messages.div_ceil(group) * group) as f64 / took.as_secs_f64())
}
