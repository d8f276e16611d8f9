//! Requests at a steady rate, whatever comes back, over connections that stay.
//!
//! An answer's time counts from when its request was due, so that a server that stalls is seen to stall. Bodies are
//! counted and thrown away.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    mem::MaybeUninit,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::SockRef;

use super::crowd::{DISCARD_BYTES, MSG_TRUNC};

/// Connections that stay.
pub(super) const CONNECTIONS: usize = 200;
/// The head of an answer, at most.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// How long answers may take when no more is asked.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// What a connection waits for.
enum Stage {
    Idle,
    Head(Vec<u8>),
    Body(usize),
}

struct Connection {
    stream: TcpStream,
    stage: Stage,
    /// When what it asks for was due.
    due: Instant,
    path: String,
}

/// Requests, and what came of them.
pub(super) struct Load {
    host: String,
    poll: Poll,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    nowhere: Vec<MaybeUninit<u8>>,
    every: Duration,
    next: Instant,
    number: usize,
    /// Microseconds from when a request was due until its answer was complete.
    pub(super) waits: Histogram<u64>,
    pub(super) bytes: u64,
    pub(super) failed: u64,
    /// What the first that failed was told.
    pub(super) why: Option<String>,
}

impl Load {
    /// Connections to a server that will be asked `rate` times a second.
    pub(super) fn new(server: SocketAddr, rate: f64) -> Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for i in 0..CONNECTIONS {
            let stream = std::net::TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(i), Interest::READABLE)?;
            connections.push(Connection {
                stream,
                stage: Stage::Idle,
                due: Instant::now(),
                path: String::new(),
            });
        }
        Ok(Self {
            host: server.to_string(),
            poll,
            connections,
            idle: (0..CONNECTIONS).collect(),
            nowhere: vec![MaybeUninit::uninit(); DISCARD_BYTES],
            every: Duration::from_secs_f64(1.0 / rate),
            next: Instant::now(),
            number: 0,
            waits: Histogram::new_with_max(600_000_000, 3)?,
            bytes: 0,
            failed: 0,
            why: None,
        })
    }

    /// What was counted begins anew.
    pub(super) fn reset(&mut self) {
        self.waits.reset();
        (self.bytes, self.failed, self.why) = (0, 0, None);
        self.next = Instant::now();
    }

    /// Asks for so long for what `path` says of each request's number.
    ///
    /// # Errors
    /// A connection breaks, or there is nothing to ask for.
    pub(super) fn go_on(&mut self, how_long: Duration, path: &dyn Fn(usize) -> Result<String>) -> Result<()> {
        let until = Instant::now() + how_long;
        let mut events = Events::with_capacity(1024);
        while Instant::now() < until {
            while self.next <= Instant::now() {
                let Some(i) = self.idle.pop_front() else { break };
                self.ask(i, path(self.number)?)?;
                self.number += 1;
                self.next += self.every;
            }
            self.hear(&mut events, Duration::from_millis(1))?;
        }
        Ok(())
    }

    /// Waits for the answers that are still to come.
    ///
    /// # Errors
    /// They do not come in time, or a connection breaks.
    pub(super) fn finish(&mut self) -> Result<()> {
        let (by, mut events) = (Instant::now() + ANSWERED_WITHIN, Events::with_capacity(1024));
        while self.idle.len() < self.connections.len() {
            self.hear(&mut events, Duration::from_millis(10))?;
            if Instant::now() > by {
                bail!("{} requests got no answer", self.connections.len() - self.idle.len());
            }
        }
        Ok(())
    }

    fn ask(&mut self, i: usize, path: String) -> Result<()> {
        let connection = &mut self.connections[i];
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        connection.stream.write_all(request.as_bytes())?;
        (connection.due, connection.path) = (self.next, path);
        connection.stage = Stage::Head(Vec::new());
        Ok(())
    }

    fn hear(&mut self, events: &mut Events, wait: Duration) -> Result<()> {
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in events.iter() {
            self.read(event.token().0)?;
        }
        Ok(())
    }

    fn read(&mut self, i: usize) -> Result<()> {
        loop {
            let connection = &mut self.connections[i];
            let read = match &mut connection.stage {
                Stage::Idle => return Ok(()),
                Stage::Head(head) => {
                    let mut buffer = [0; HEAD_BYTES_MAX];
                    connection.stream.read(&mut buffer).inspect(|&n| head.extend_from_slice(&buffer[..n]))
                }
                Stage::Body(left) => {
                    let room = (*left).min(DISCARD_BYTES);
                    SockRef::from(&connection.stream).recv_with_flags(&mut self.nowhere[..room], MSG_TRUNC)
                }
            };
            match read {
                Ok(0) => bail!("the server closed: {}", connection.path),
                Ok(n) => {
                    self.bytes += n as u64;
                    self.take(i, n)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// `n` bytes have come.
    fn take(&mut self, i: usize, n: usize) -> Result<()> {
        let connection = &mut self.connections[i];
        let left = match &connection.stage {
            Stage::Idle => return Ok(()),
            Stage::Body(left) => left - n,
            Stage::Head(head) => {
                let Some(end) = memchr::memmem::find(head, b"\r\n\r\n") else {
                    if head.len() > HEAD_BYTES_MAX {
                        bail!("{}: a head without an end", connection.path);
                    }
                    return Ok(());
                };
                let text = String::from_utf8_lossy(&head[..end]);
                if !text.starts_with("HTTP/1.1 200") {
                    self.failed += 1;
                    self.why.get_or_insert_with(|| {
                        format!("{}: {}", connection.path, text.lines().next().unwrap_or(""))
                    });
                }
                let length = content_length(&text).with_context(|| format!("{}: {text}", connection.path))?;
                (end + 4 + length).checked_sub(head.len()).context("more than the body came")?
            }
        };
        connection.stage = Stage::Body(left);
        if left == 0 {
            self.waits.saturating_record(connection.due.elapsed().as_micros() as u64);
            connection.stage = Stage::Idle;
            self.idle.push_back(i);
        }
        Ok(())
    }
}

fn content_length(head: &str) -> Option<usize> {
    let name = "content-length:";
    let line = head.lines().find(|l| l.get(..name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name)))?;
    line[name.len()..].trim().parse().ok()
}
