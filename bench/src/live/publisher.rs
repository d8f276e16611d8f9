//! Publishes the source over RTMP at the speed at which it plays, from a thread of its own.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use memchr::memmem;

use super::{
    rtmp::{self, GREETING_BYTES},
    source::{Kind, Source},
};

/// Pictures that a run may have: more than an hour at 30 a second.
const PICTURES_MAX: usize = 1 << 17;
/// How long a server may take to let the publisher publish, and to take what it sends.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What was published and when, for those who look at what arrives: one clock for both.
pub(super) struct Published {
    origin: Instant,
    /// Microseconds behind `origin` at which a picture was sent; 0: not yet.
    at: Vec<AtomicU64>,
    pictures: AtomicU32,
    bytes: AtomicU64,
    lost: AtomicBool,
}

impl Published {
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            at: (0..PICTURES_MAX).map(|_| AtomicU64::new(0)).collect(),
            pictures: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            lost: AtomicBool::new(false),
        }
    }

    /// How many pictures were sent: the number of the next one.
    pub(super) fn pictures(&self) -> u32 {
        self.pictures.load(Relaxed)
    }

    /// Bytes of sound and pictures that were sent.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// How long ago a picture was sent.
    pub(super) fn age(&self, number: u32, now: Instant) -> Option<Duration> {
        match self.at.get(number as usize)?.load(Relaxed) {
            0 => None,
            at => Some(now.saturating_duration_since(self.origin + Duration::from_micros(at))),
        }
    }

    /// # Errors
    /// The publisher has lost its connection: the run is void.
    pub(super) fn check(&self) -> Result<()> {
        if self.lost.load(Relaxed) {
            bail!("the publisher has lost its connection");
        }
        Ok(())
    }

    fn sent(&self, number: u32) {
        let at = self.origin.elapsed().as_micros() as u64;
        if let Some(place) = self.at.get(number as usize) {
            place.store(at.max(1), Relaxed);
        }
        self.pictures.store(number + 1, Relaxed);
    }
}

/// A publisher at work; ends when dropped.
pub(super) struct Publisher {
    pub(super) published: Arc<Published>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Connects, waits until it may publish, and goes on by itself.
    ///
    /// # Errors
    /// The server does not want it.
    pub(super) fn start(server: SocketAddr, app: &str, name: &str, source: Arc<Source>) -> Result<Self> {
        let stream = admitted(server, app, name).context("cannot publish")?;
        let (published, stop) = (Arc::new(Published::new()), Arc::new(AtomicBool::new(false)));
        let (told, asked) = (published.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("publisher".into()).spawn(move || {
            if let Err(why) = publish(stream, &source, &told, &asked) {
                eprintln!("  publisher: {why:#}");
                told.lost.store(true, Relaxed);
            }
        })?;
        Ok(Self { published, stop, thread: Some(thread) })
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // Where it has panicked its message was printed.
            drop(thread.join());
        }
    }
}

/// A connection whose server has said that publishing may begin.
fn admitted(server: SocketAddr, app: &str, name: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READY_WITHIN))?;
    // A server that takes no more stands still.
    stream.set_write_timeout(Some(READY_WITHIN))?;
    stream.write_all(&rtmp::greeting())?;
    let mut greeting = vec![0; GREETING_BYTES];
    stream.read_exact(&mut greeting)?;
    stream.write_all(rtmp::echo(&greeting))?;
    stream.write_all(&rtmp::publish(app, name, &server.to_string()))?;
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    while memmem::find(&read, b"NetStream.Publish.Start").is_none() {
        match stream.read(&mut buffer)? {
            0 => bail!("the server closed: {}", String::from_utf8_lossy(&read).escape_debug()),
            n => read.extend(&buffer[..n]),
        }
        if memmem::find(&read, b"NetStream.Publish.BadName").is_some() {
            bail!("{}", String::from_utf8_lossy(&read).escape_debug());
        }
    }
    Ok(stream)
}

fn publish(mut stream: TcpStream, source: &Source, published: &Published, stop: &AtomicBool) -> Result<()> {
    let mut out = Vec::new();
    for head in &source.heads {
        rtmp::media(&mut out, head.kind, 0, &head.body);
    }
    stream.write_all(&out)?;
    let (begun, mut number) = (Instant::now(), 0);
    for round in 0.. {
        for tag in &source.tags {
            let at_ms = round * source.round_ms + tag.at_ms;
            std::thread::sleep(
                (begun + Duration::from_millis(at_ms)).saturating_duration_since(Instant::now()),
            );
            if stop.load(Relaxed) {
                return Ok(());
            }
            let at_ms = u32::try_from(at_ms).map_err(|_| anyhow!("it goes on for too long"))?;
            out.clear();
            if tag.kind == Kind::Video {
                rtmp::media(&mut out, tag.kind, at_ms, &tag.marked(number));
                published.sent(number);
                number += 1;
            } else {
                rtmp::media(&mut out, tag.kind, at_ms, &tag.body);
            }
            stream.write_all(&out)?;
            published.bytes.fetch_add(out.len() as u64, Relaxed);
            hear(&mut stream)?;
        }
    }
    Ok(())
}

/// Takes what the server says (acknowledgements), without waiting for it.
fn hear(stream: &mut TcpStream) -> Result<()> {
    stream.set_nonblocking(true)?;
    let mut buffer = [0; 1024];
    let outcome = match stream.read(&mut buffer) {
        Ok(0) => Err(anyhow!("the server closed")),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error.into()),
        _ => Ok(()),
    };
    stream.set_nonblocking(false)?;
    outcome
}
