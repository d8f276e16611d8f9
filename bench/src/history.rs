//! The last 50 records of one topic among 100,000 topics and 10 million records; and how long a server
//! takes to start over such a folder.

use std::time::Instant;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    process::{Process, scratch},
    socket,
};

/// Publishes that one frame carries while the folder is filled.
const FRAME: usize = 200;
/// Frames under way while the folder is filled.
const FRAMES_AHEAD: usize = 8;

pub(crate) async fn run(quick: bool) -> Result<()> {
    let (topics, records) = if quick { (10_000, 200_000) } else { (100_000, 10_000_000) };
    println!("history: the last 50 of one topic among {topics} topics and {records} records of 100 bytes");
    let folder = tempfile::tempdir_in(scratch())?;
    let (server, _) = Process::yizhan_over(folder.path()).await?;
    fill(&server, topics, records).await?;
    let warm = ask(&server, topics, if quick { 500 } else { 5000 }).await?;
    drop(server);
    let (server, start) = Process::yizhan_over(folder.path()).await?;
    let again = ask(&server, topics, 500).await?;
    let line = |name: &str, h: &Histogram<u64>| {
        let ms = |q| h.value_at_quantile(q) as f64 / 1e3;
        println!(
            "  {name:<16} p50 {:>7.3} ms   p99 {:>7.3} ms   max {:>7.3} ms",
            ms(0.5),
            ms(0.99),
            h.max() as f64 / 1e3
        );
    };
    line("warm", &warm);
    line("after kill -9", &again);
    println!(
        "  start-up after kill -9: {:.2} s   server memory {} MiB",
        start.as_secs_f64(),
        server.resident()? >> 20
    );
    println!("  wanted: p99 below 2 ms warm, start-up below 3 s\n");
    Ok(())
}

async fn fill(server: &Process, topics: usize, records: usize) -> Result<()> {
    let (mut stream, _) = socket::connect(server).await?;
    let finder = memchr::memmem::Finder::new(br#""receipt""#);
    let body = "x".repeat(100);
    let (mut sent, mut acked) = (0, 0);
    let (mut out, mut read) = (Vec::new(), Vec::with_capacity(1 << 20));
    let begun = Instant::now();
    while acked < records {
        while sent < records && sent - acked < FRAME * FRAMES_AHEAD {
            out.clear();
            let mut frame = String::from("[");
            for i in sent..(sent + FRAME).min(records) {
                // Mixed, so that a topic's records lie far apart.
                let topic = i.wrapping_mul(2_654_435_761) % topics;
                let comma = if frame.len() > 1 { "," } else { "" };
                frame.push_str(&format!(
                    r#"{comma}{{"type":"publish","id":1,"topic":"disk/h/{topic}","text":"{body}"}}"#
                ));
            }
            frame.push(']');
            socket::frame(&mut out, frame.as_bytes());
            stream.write_all(&out).await?;
            sent += FRAME;
        }
        if stream.read_buf(&mut read).await? == 0 {
            bail!("the server closed");
        }
        let mut used = 0;
        while let Some(at) = finder.find(&read[used..]) {
            used += at + 9;
            acked += 1;
            if acked % 1_000_000 == 0 {
                eprintln!(
                    "  filled {acked} of {records} ({:.0}/s)",
                    acked as f64 / begun.elapsed().as_secs_f64()
                );
            }
        }
        let keep = (read.len() - used).min(8);
        read.drain(..read.len() - keep);
    }
    Ok(())
}

async fn ask(server: &Process, topics: usize, asks: usize) -> Result<Histogram<u64>> {
    let (mut stream, _) = socket::connect(server).await?;
    let mut latency = Histogram::new_with_max(60_000_000, 3)?;
    let mut out = Vec::new();
    for i in 0..asks {
        let topic = i.wrapping_mul(40_503) % topics;
        out.clear();
        let command = format!(r#"{{"type":"history","id":{i},"topic":"disk/h/{topic}","limit":50}}"#);
        socket::frame(&mut out, command.as_bytes());
        let begun = Instant::now();
        stream.write_all(&out).await?;
        socket::read_until(&mut stream, Vec::new(), r#""more":"#).await?;
        latency.saturating_record(begun.elapsed().as_micros() as u64);
    }
    Ok(latency)
}
