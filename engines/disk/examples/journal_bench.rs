//! What the journal reaches on this disk.
//!
//! ```text
//! journal_bench append [seconds] [folder]            msg/s acknowledged, beside a bare sequential writer
//! journal_bench history [topics] [records] [folder]  the last 50 of one topic, and how long a start takes
//! ```
//!
//! The journal and the bare writer run in turn, A B A B, on the same disk. The bare writer writes pieces
//! as large as the journal's mean group into preallocated files and syncs each: what is left between the
//! two is what the journal itself costs.

use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use yizhan_disk::{Config, Disk};
use yizhan_hub::{
    message::{Content, Message, Sender, SessionId},
    space::{Dedup, Keep, Lag, Limits, Space},
    store::{Journal, PageSize, Range, Store, StoreError},
    topic::{Filter, Topic},
};
use yizhan_talk::{Clock, Histogram, Now, Timestamp};

const PUBLISHERS: usize = 64;
const WINDOW: usize = 32;
const BODY_BYTES: usize = 1024;
const TOPICS: usize = 1000;
const SEGMENT_BYTES: u64 = 64 << 20;

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Now { steady: Instant::now(), wall: Timestamp(since.as_micros() as u64) }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: u64| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let folder = |i: usize| args.get(i).map_or_else(|| PathBuf::from("target/journal-bench"), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match args.first().map(String::as_str) {
        Some("append") | None => runtime.block_on(append(number(1, 5), &folder(2))),
        Some("history") => runtime.block_on(history(number(1, 100_000), number(2, 10_000_000), &folder(3))),
        Some(other) => Err(format!("{other}: append or history").into()),
    }
}

fn message(topic: Topic, body: bytes::Bytes) -> Message {
    Message {
        topic,
        key: None,
        id: None,
        from: Sender { user: "bench".into(), device: None, session: SessionId(1) },
        content: Content::Binary,
        headers: Arc::new([]),
        body,
        expires_at: None,
        qos: yizhan_hub::Qos::default(),
    }
}

async fn open(folder: &Path) -> Result<(Disk, Arc<dyn Journal>), Failure> {
    let disk = Disk::open(folder, &Config::default(), Arc::new(SystemClock))?;
    let space = Space {
        name: "bench".into(),
        topics: Filter::new("#")?,
        keep: Keep::Disk(Limits::NONE),
        lag: Lag::CatchUp,
        dedup: Dedup::default(),
        lanes: 1,
    };
    let journal = disk.journal(&space).await?;
    Ok((disk, journal))
}

fn wipe(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn append(seconds: u64, folder: &Path) -> Result<(), Failure> {
    let mut ratios = vec![];
    for round in 1..=2 {
        let ours = ours(seconds, &folder.join("ours")).await?;
        let bare = bare(seconds, &folder.join("bare"), ours.group_bytes)?;
        let ceiling = bare / ours.record_bytes;
        ratios.push(ours.per_second / ceiling);
        println!(
            "round {round}: journal {:>9.0} msg/s, p50 {:.2} ms, p99 {:.2} ms, {:.0} KiB a group, commit p50 {:.2} p99 {:.2} ms",
            ours.per_second,
            ours.p50 as f64 / 1000.0,
            ours.p99 as f64 / 1000.0,
            ours.group_bytes as f64 / 1024.0,
            ours.commit_p50 as f64 / 1000.0,
            ours.commit_p99 as f64 / 1000.0,
        );
        println!("         bare    {ceiling:>9.0} msg/s, ratio {:.2}", ours.per_second / ceiling);
    }
    println!("ratio, mean of rounds: {:.2}", ratios.iter().sum::<f64>() / ratios.len() as f64);
    wipe(folder)?;
    Ok(())
}

struct Ours {
    per_second: f64,
    p50: u64,
    p99: u64,
    commit_p50: u64,
    commit_p99: u64,
    group_bytes: u64,
    record_bytes: f64,
}

async fn ours(seconds: u64, folder: &Path) -> Result<Ours, Failure> {
    wipe(folder)?;
    let (disk, journal) = open(folder).await?;
    let (stop, latency) = (Arc::new(AtomicBool::new(false)), Arc::new(Histogram::default()));
    let began = Instant::now();
    let mut publishers = vec![];
    for publisher in 0..PUBLISHERS {
        let (journal, stop, latency) = (journal.clone(), stop.clone(), latency.clone());
        publishers.push(tokio::spawn(async move { publish(publisher, &*journal, &stop, &latency).await }));
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Relaxed);
    let mut acknowledged = 0;
    for publisher in publishers {
        acknowledged += publisher.await??;
    }
    let took = began.elapsed().as_secs_f64();
    let meters = disk.meters();
    let (groups, records, bytes) = (meters.groups.value(), meters.records.value(), meters.bytes.value());
    if records != acknowledged {
        return Err("not every acknowledged message was kept".into());
    }
    let (all, commit) = (latency.snapshot(), meters.commit.snapshot());
    drop(journal);
    tokio::task::spawn_blocking(move || disk.close()).await??;
    Ok(Ours {
        per_second: acknowledged as f64 / took,
        p50: all.quantile_micros(0.5),
        p99: all.quantile_micros(0.99),
        commit_p50: commit.quantile_micros(0.5),
        commit_p99: commit.quantile_micros(0.99),
        group_bytes: bytes / groups.max(1),
        record_bytes: bytes as f64 / records.max(1) as f64,
    })
}

/// Keeps a window of messages on their way. Gives how many were acknowledged.
async fn publish(
    publisher: usize,
    journal: &dyn Journal,
    stop: &AtomicBool,
    latency: &Histogram,
) -> Result<u64, Failure> {
    let topics: Result<Vec<Topic>, _> = (0..TOPICS).map(|i| Topic::new(&format!("bench/{i}"))).collect();
    let (topics, body) = (topics?, bytes::Bytes::from(vec![b'x'; BODY_BYTES]));
    let (mut waiting, mut next, mut acknowledged) = (FuturesUnordered::new(), publisher * 7, 0);
    loop {
        while waiting.len() < WINDOW && !stop.load(Relaxed) {
            next += 1;
            let began = Instant::now();
            let appended =
                journal.append(SystemClock.now().wall, message(topics[next % TOPICS].clone(), body.clone()));
            waiting.push(async move { appended.await.map(|_| began) });
        }
        let Some(done) = waiting.next().await else { return Ok(acknowledged) };
        latency.record(done?.elapsed());
        acknowledged += 1;
    }
}

/// Bytes a second that one writer reaches that does nothing but write and sync pieces of this size.
fn bare(seconds: u64, folder: &Path, group_bytes: u64) -> Result<f64, Failure> {
    wipe(folder)?;
    fs::create_dir_all(folder)?;
    let piece = vec![b'x'; usize::try_from(group_bytes)?];
    let (began, mut bytes, mut files) = (Instant::now(), 0u64, 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        files += 1;
        let file = fs::File::create_new(folder.join(files.to_string()))?;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, SEGMENT_BYTES)?;
        file.sync_all()?;
        let mut at = 0;
        while at + group_bytes <= SEGMENT_BYTES && began.elapsed() < Duration::from_secs(seconds) {
            file.write_all_at(&piece, at)?;
            file.sync_data()?;
            at += group_bytes;
            bytes += group_bytes;
        }
    }
    let per_second = bytes as f64 / began.elapsed().as_secs_f64();
    wipe(folder)?;
    Ok(per_second)
}

async fn history(topics: u64, records: u64, folder: &Path) -> Result<(), Failure> {
    wipe(folder)?;
    let (disk, journal) = open(folder).await?;
    let names: Result<Vec<Topic>, _> = (0..topics).map(|i| Topic::new(&format!("rooms/{i}/chat"))).collect();
    let names = names?;
    let body = bytes::Bytes::from(vec![b'x'; 100]);
    let (began, mut waiting) = (Instant::now(), FuturesUnordered::new());
    for i in 0..records {
        // A step that is prime to the number of topics: neighbours in the log are of different topics.
        let name = &names[(i.wrapping_mul(7919) % topics) as usize];
        waiting.push(journal.append(SystemClock.now().wall, message(name.clone(), body.clone())));
        if waiting.len() >= 20_000 {
            waiting.next().await.transpose()?;
        }
    }
    while let Some(done) = waiting.next().await {
        done?;
    }
    println!("filled: {topics} topics, {records} records, {:.1} s", began.elapsed().as_secs_f64());
    drop(journal);
    drop(disk);
    for how in ["without closing", "after closing"] {
        let began = Instant::now();
        let (disk, journal) = open(folder).await?;
        println!("start {how}: {:.2} s", began.elapsed().as_secs_f64());
        for pass in ["first pass", "warm"] {
            let latency = Histogram::default();
            for i in 0..20_000u64 {
                let name = &names[(i.wrapping_mul(104_729) % topics) as usize];
                let began = Instant::now();
                let page =
                    journal.history(name, Range::Newest, PageSize { records_max: 50, bytes_max: 1 << 20 });
                let page = page.await?;
                latency.record(began.elapsed());
                if page.records.len() as u64 != (records / topics).min(50) {
                    return Err("a page is not full".into());
                }
            }
            let all = latency.snapshot();
            let ms = |q| all.quantile_micros(q) as f64 / 1000.0;
            println!(
                "last 50, {pass}: p50 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms",
                ms(0.5),
                ms(0.99),
                ms(0.999)
            );
        }
        drop(journal);
        tokio::task::spawn_blocking(move || disk.close()).await?.map_err(|e: StoreError| e)?;
    }
    wipe(folder)?;
    Ok(())
}
