//! Viewers: many connections on one thread, that cost as little as they can, so that the server has the machine.
//!
//! Every viewer's bytes are counted. What *reads* is looked at picture by picture; of the others the system throws
//! the bytes away (`MSG_TRUNC`, tcp(7)). When all is over each is asked for one picture more: is it of now?

use std::{
    io::{ErrorKind, Read, Write},
    mem::MaybeUninit,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::SockRef;

use super::{
    mark::{MARK_BYTES, Marks},
    publisher::Published,
    rtmp::{self, GREETING_BYTES},
};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;
/// Bytes that are thrown away at once.
pub(super) const DISCARD_BYTES: usize = 4 * 1024 * 1024;
/// `MSG_TRUNC` of Linux.
pub(super) const MSG_TRUNC: i32 = 0x20;
/// After how many bytes an RTMP viewer says that it has got them.
const ACKNOWLEDGE_BYTES: u64 = 1024 * 1024;
/// A viewer that is not looked at plays when it has got so much.
const PLAYS_BYTES: u64 = 64 * 1024;
/// Viewers that come between two looks at those who are there.
const COME_AT_ONCE: usize = 32;
/// A picture that comes later than this after it was published is behind.
pub(super) const BEHIND: Duration = Duration::from_secs(1);

/// What viewers ask for.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Rtmp { server: SocketAddr, app: &'static str, name: &'static str },
    Flv { server: SocketAddr, path: String },
}

/// Whether a viewer's pictures are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    Reads,
    Counts,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Waits for the server's half of RTMP's handshake; what is said then.
    Greets(Vec<u8>),
    Plays,
}

/// The first key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Awaited,
    /// So many of its bytes are still to come.
    Comes {
        left: usize,
        number: u32,
    },
    /// How long after its viewer asked, and after it was published.
    Came {
        after: Duration,
        age: Duration,
    },
}

/// One viewer.
pub(super) struct Viewer {
    stream: TcpStream,
    rtmp: bool,
    stage: Stage,
    watch: Watch,
    /// What is left of what was read: it may hold half a mark.
    input: Vec<u8>,
    asked: Instant,
    /// The number of the first picture that was published after it came.
    joined: u32,
    first: First,
    /// Bytes in all.
    total: u64,
    /// How many there were when counting began anew.
    before: u64,
    acknowledged: u64,
    /// The number that the next picture should have.
    expected: Option<u32>,
    pub(super) pictures: u64,
    /// Pictures that never came.
    pub(super) missing: u64,
    /// Pictures that came later than [`BEHIND`] after they were published.
    pub(super) late: u64,
    /// How old its newest picture was when it came.
    newest_age: Option<Duration>,
}

/// Viewers of one broadcast.
pub(super) struct Crowd {
    poll: Poll,
    events: Events,
    marks: Marks,
    buffer: Vec<u8>,
    nowhere: Vec<MaybeUninit<u8>>,
    published: Arc<Published>,
    pub(super) viewers: Vec<Viewer>,
    /// Microseconds from publisher to viewer, of pictures that were published after their viewer came.
    pub(super) delays: Histogram<u64>,
}

impl Crowd {
    pub(super) fn new(published: Arc<Published>) -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            marks: Marks::new(),
            buffer: vec![0; READ_BYTES],
            nowhere: vec![MaybeUninit::uninit(); DISCARD_BYTES],
            published,
            viewers: Vec::new(),
            delays: Histogram::new_with_max(600_000_000, 3)?,
        })
    }

    /// Lets viewers come; one of `reads_every` is looked at.
    ///
    /// # Errors
    /// One cannot connect or loses its connection.
    pub(super) fn come(&mut self, target: &Target, viewers: usize, reads_every: usize) -> Result<()> {
        for i in 0..viewers {
            self.open(target, if i % reads_every == 0 { Watch::Reads } else { Watch::Counts })?;
            if i % COME_AT_ONCE == 0 {
                self.turn(Duration::from_millis(5))?;
            }
        }
        Ok(())
    }

    fn open(&mut self, target: &Target, watch: Watch) -> Result<()> {
        let (server, rtmp, hello) = match target {
            Target::Rtmp { server, app, name } => (*server, Some((*app, *name)), rtmp::greeting()),
            Target::Flv { server, path } => {
                (*server, None, format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n\r\n").into_bytes())
            }
        };
        let asked = Instant::now();
        let stream =
            std::net::TcpStream::connect(server).with_context(|| format!("cannot connect to {server}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        // A new socket has room for this.
        stream.write_all(&hello)?;
        let token = Token(self.viewers.len());
        self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
        let says = rtmp.map(|(app, name)| rtmp::play(app, name, &server.to_string()));
        self.viewers.push(Viewer {
            stream,
            rtmp: rtmp.is_some(),
            stage: says.map_or(Stage::Plays, Stage::Greets),
            watch,
            input: Vec::new(),
            asked,
            joined: self.published.pictures(),
            first: First::Awaited,
            total: 0,
            before: 0,
            acknowledged: 0,
            expected: None,
            pictures: 0,
            missing: 0,
            late: 0,
            newest_age: None,
        });
        Ok(())
    }

    /// Reads what has come, and waits for it for so long.
    ///
    /// # Errors
    /// A viewer loses its connection.
    pub(super) fn turn(&mut self, wait: Duration) -> Result<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(wait)) {
            return if error.kind() == ErrorKind::Interrupted { Ok(()) } else { Err(error.into()) };
        }
        let mut all = Reading {
            marks: &self.marks,
            buffer: &mut self.buffer,
            nowhere: &mut self.nowhere,
            published: &self.published,
            delays: &mut self.delays,
        };
        for event in &self.events {
            let viewer = &mut self.viewers[event.token().0];
            all.read(viewer).with_context(|| format!("viewer {}", event.token().0))?;
            // Its end may have come with the last bytes, which were fewer than there was room for.
            if event.is_read_closed() {
                bail!("viewer {}: the server closed after {} bytes", event.token().0, viewer.total);
            }
        }
        self.published.check()
    }

    /// Goes on for so long. With a `pause` what comes meanwhile is read at one time: cheaper, and later by as much.
    ///
    /// # Errors
    /// A viewer or the publisher loses its connection.
    pub(super) fn go_on(&mut self, how_long: Duration, pause: Duration) -> Result<()> {
        let until = Instant::now() + how_long;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.turn(left.min(Duration::from_millis(100)))?;
            std::thread::sleep(pause);
        }
        Ok(())
    }

    /// Goes on until all who read have got a key frame.
    ///
    /// # Errors
    /// It takes too long, or a connection is lost.
    pub(super) fn until_all_play(&mut self, within: Duration) -> Result<()> {
        let by = Instant::now() + within;
        loop {
            let waiting = self.viewers.iter().filter(|v| !v.plays()).count();
            if waiting == 0 {
                return Ok(());
            }
            if Instant::now() > by {
                bail!(
                    "{waiting} of {} viewers got no picture within {} s",
                    self.viewers.len(),
                    within.as_secs()
                );
            }
            self.turn(Duration::from_millis(10))?;
        }
    }

    /// What was counted begins anew.
    pub(super) fn reset(&mut self) {
        for viewer in &mut self.viewers {
            viewer.before = viewer.total;
            (viewer.pictures, viewer.missing, viewer.late) = (0, 0, 0);
        }
        self.delays.reset();
    }

    /// Bytes that all have got.
    pub(super) fn bytes(&self) -> u64 {
        self.viewers.iter().map(Viewer::bytes).sum()
    }

    /// Asks each viewer for one picture more: how many get none, or one that is older than [`BEHIND`].
    ///
    /// # Errors
    /// A connection is lost.
    pub(super) fn behind(&mut self) -> Result<usize> {
        for viewer in &mut self.viewers {
            viewer.newest_age = None;
            viewer.watch = Watch::Reads;
            viewer.expected = None;
        }
        let delays = self.delays.clone();
        let by = Instant::now() + BEHIND * 2;
        while Instant::now() < by && self.viewers.iter().any(|v| v.newest_age.is_none()) {
            self.turn(Duration::from_millis(10))?;
        }
        self.delays = delays;
        Ok(self.viewers.iter().filter(|v| v.newest_age.is_none_or(|age| age > BEHIND)).count())
    }
}

impl Viewer {
    /// How long after it connected its first key frame was there, to the last byte, and how old that was then.
    pub(super) fn first_key(&self) -> Option<(Duration, Duration)> {
        if let First::Came { after, age } = self.first { Some((after, age)) } else { None }
    }

    /// Bytes since counting began.
    pub(super) fn bytes(&self) -> u64 {
        self.total - self.before
    }

    /// Whether it has got a key frame, or as much as one is large.
    fn plays(&self) -> bool {
        self.first_key().is_some() || self.watch == Watch::Counts && self.total > PLAYS_BYTES
    }
}

/// What reading needs, beside the viewer.
struct Reading<'c> {
    marks: &'c Marks,
    buffer: &'c mut [u8],
    nowhere: &'c mut [MaybeUninit<u8>],
    published: &'c Published,
    delays: &'c mut Histogram<u64>,
}

impl Reading<'_> {
    fn read(&mut self, viewer: &mut Viewer) -> Result<()> {
        loop {
            let counts = viewer.watch == Watch::Counts && matches!(viewer.stage, Stage::Plays);
            let (read, room) = if counts {
                (SockRef::from(&viewer.stream).recv_with_flags(self.nowhere, MSG_TRUNC), DISCARD_BYTES)
            } else {
                (viewer.stream.read(self.buffer), READ_BYTES)
            };
            match read {
                Ok(0) => bail!("the server closed after {} bytes", viewer.total),
                Ok(n) => {
                    if !counts {
                        self.take(viewer, n)?;
                    }
                    viewer.total += n as u64;
                    // The poll tells when more comes.
                    if n < room {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if viewer.rtmp && viewer.total - viewer.acknowledged >= ACKNOWLEDGE_BYTES {
            viewer.acknowledged = viewer.total;
            // Twelve bytes and four: a socket that takes no more of them is taken for one that never does.
            viewer.stream.write_all(&rtmp::acknowledge(viewer.total))?;
        }
        Ok(())
    }

    /// Looks at the `n` bytes in the buffer.
    fn take(&mut self, viewer: &mut Viewer, n: usize) -> Result<()> {
        let now = Instant::now();
        viewer.input.extend_from_slice(&self.buffer[..n]);
        if let Stage::Greets(says) = &viewer.stage {
            if viewer.input.len() < GREETING_BYTES {
                return Ok(());
            }
            viewer.stream.write_all(&[rtmp::echo(&viewer.input), says].concat())?;
            viewer.stage = Stage::Plays;
        }
        if let First::Comes { left, number } = viewer.first {
            viewer.first = self.first(viewer.asked, number, left, n, now);
        }
        let mut used = 0;
        while let Some((mark, end)) = self.marks.next(&viewer.input[used..]) {
            used += end;
            if let Some(expected) = viewer.expected {
                viewer.missing += u64::from(mark.number.saturating_sub(expected));
            }
            viewer.expected = Some(mark.number + 1);
            viewer.pictures += 1;
            if mark.key && viewer.first == First::Awaited {
                let here = viewer.input.len() - used;
                viewer.first = self.first(viewer.asked, mark.number, mark.rest as usize, here, now);
            }
            if let Some(age) = self.published.age(mark.number, now) {
                viewer.newest_age = Some(age);
                if mark.number >= viewer.joined {
                    viewer.late += u64::from(age > BEHIND);
                    self.delays.saturating_record(age.as_micros() as u64);
                }
            }
        }
        // The end may be half a mark.
        used = used.max(viewer.input.len().saturating_sub(MARK_BYTES));
        viewer.input.drain(..used);
        Ok(())
    }

    /// The first key frame when `came` bytes of the `left` ones have come.
    fn first(&self, asked: Instant, number: u32, left: usize, came: usize, now: Instant) -> First {
        if came < left {
            return First::Comes { left: left - came, number };
        }
        First::Came { after: now - asked, age: self.published.age(number, now).unwrap_or_default() }
    }
}
