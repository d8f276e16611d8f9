//! What an idle connection with one subscription costs, in memory and in CPU.

use std::time::Duration;

use anyhow::Result;
use tokio::io::AsyncWriteExt;

use crate::{
    process::{self, Process},
    socket,
};

pub(crate) async fn run(quick: bool) -> Result<()> {
    println!("idle: WebSocket connections with one subscription each, settled");
    println!("  {:>12}{:>18}{:>22}", "connections", "bytes each", "CPU ms per second");
    // Both sides need a descriptor for each, and some to spare.
    let possible = process::descriptors()?.saturating_sub(600);
    let sizes: &[usize] = if quick { &[2000] } else { &[2000, 20_000] };
    for connections in sizes.iter().map(|&n| n.min(possible)) {
        let server = Process::yizhan().await?;
        // What the first clients make the server allocate for good is not theirs.
        let warm = open(&server, 200).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = server.resident()?;
        let held = open(&server, connections).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let each = server.resident()?.saturating_sub(before) as f64 / connections as f64;
        let cpu = server.cpu()?;
        let watched = Duration::from_secs(if quick { 3 } else { 10 });
        tokio::time::sleep(watched).await;
        let idle = (server.cpu()? - cpu).as_secs_f64() * 1e3 / watched.as_secs_f64();
        println!("  {connections:>12}{each:>18.0}{idle:>22.1}");
        drop((warm, held));
    }
    println!("  wanted: at most 6144 bytes each\n");
    Ok(())
}

async fn open(server: &Process, connections: usize) -> Result<Vec<tokio::net::TcpStream>> {
    let mut held = Vec::with_capacity(connections);
    for i in 0..connections {
        let (mut stream, read) = socket::connect(server).await?;
        let mut out = Vec::new();
        let command = format!(r#"{{"type":"subscribe","id":1,"sub":1,"filter":"idle/{}"}}"#, i % 1000);
        socket::frame(&mut out, command.as_bytes());
        stream.write_all(&out).await?;
        socket::read_until(&mut stream, read, "subscribed").await?;
        held.push(stream);
    }
    Ok(held)
}
