//! Many connections on one thread: readiness, one shared read buffer, and nothing per connection that an
//! idle one does not need.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

use super::wire::{Frame, Upgraded, push_pong, push_text, take_frame, upgrade_request, upgraded};

/// Bytes that all connections of a thread read into, one after the other.
const READ_BYTES: usize = 256 * 1024;
/// Connections that may be under way to being open at one time: a server's backlog is not deeper.
const OPENING_MAX: usize = 128;
/// Ports that one loopback address gives to connections to one server.
const PORTS_PER_ADDRESS: usize = 25_000;
/// A client that has been silent for so long sends a heartbeat (`docs/reference/protocol.md`, Heartbeat).
const HEARTBEAT: Duration = Duration::from_secs(40);
/// How often heartbeats are looked at.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// Where to connect, and with what to begin.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) subprotocol: &'static str,
}

/// What a connection of the load does.
pub(crate) trait Role {
    /// It is open: what is put into `send` goes first.
    fn opened(&mut self, send: &mut Sender<'_>);
    /// A message came.
    ///
    /// # Errors
    /// The run cannot go on.
    fn message(&mut self, payload: &[u8], send: &mut Sender<'_>) -> Result<(), String>;
    /// Called again and again: what can be sent now? When at the latest to ask again.
    fn pump(&mut self, _now: Instant, _send: &mut Sender<'_>) -> Option<Instant> {
        None
    }
    /// Whether [`pump`](Self::pump) is worth calling.
    fn pumps(&self) -> bool {
        false
    }
}

/// Takes what a connection sends.
pub(crate) struct Sender<'c> {
    output: &'c mut Vec<u8>,
}

impl Sender<'_> {
    /// One text message.
    pub(crate) fn text(&mut self, payload: &[u8]) {
        push_text(self.output, payload);
    }
    /// Bytes that wait for the socket.
    pub(crate) fn waiting(&self) -> usize {
        self.output.len()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Upgrading,
    Open,
}

struct Connection<R> {
    stream: TcpStream,
    stage: Stage,
    /// What is left of a frame that was not complete.
    input: Vec<u8>,
    output: Vec<u8>,
    /// Whether the poll tells when there is room to write.
    wants_room: bool,
    heard_from_us: Instant,
    role: R,
}

/// One thread's connections.
pub(crate) struct Engine<R> {
    target: Target,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    connections: Vec<Connection<R>>,
    /// Connections whose role pumps.
    pumping: Vec<usize>,
    opening: usize,
    heartbeat_at: Instant,
}

impl<R: Role> Engine<R> {
    /// An engine without connections.
    ///
    /// # Errors
    /// The system gives no poll.
    pub(crate) fn new(target: Target) -> Result<Self, String> {
        Ok(Self {
            target,
            poll: Poll::new().map_err(|e| e.to_string())?,
            events: Events::with_capacity(1024),
            buffer: vec![0; READ_BYTES],
            connections: Vec::new(),
            pumping: Vec::new(),
            opening: 0,
            heartbeat_at: Instant::now() + HEARTBEAT_EVERY,
        })
    }

    /// The roles, to look at.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &R> {
        self.connections.iter().map(|c| &c.role)
    }

    /// Opens a connection; its number counts over all threads and chooses the source address.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn connect(&mut self, number: usize, role: R) -> Result<(), String> {
        while self.opening >= OPENING_MAX {
            self.turn(Some(Duration::from_millis(100)))?;
        }
        let fail = |error: io::Error| format!("cannot connect to {}: {error}", self.target.address);
        let stream = open_socket(self.target.address, number).map_err(fail)?;
        let mut stream = TcpStream::from_std(stream);
        let token = Token(self.connections.len());
        self.poll.registry().register(&mut stream, token, Interest::READABLE).map_err(fail)?;
        let host = self.target.address.to_string();
        if role.pumps() {
            self.pumping.push(self.connections.len());
        }
        self.connections.push(Connection {
            stream,
            stage: Stage::Upgrading,
            input: Vec::new(),
            output: upgrade_request(&host, &self.target.path, self.target.subprotocol),
            wants_room: false,
            heard_from_us: Instant::now(),
            role,
        });
        self.opening += 1;
        let poll = &self.poll;
        flush(poll, token.0, &mut self.connections[token.0])
    }

    /// Waits for something and handles it; lets roles send what they can.
    ///
    /// # Errors
    /// A connection ended, or a role gave up.
    pub(crate) fn turn(&mut self, wait_max: Option<Duration>) -> Result<(), String> {
        let now = Instant::now();
        let mut wait = wait_max.unwrap_or(HEARTBEAT_EVERY).min(HEARTBEAT_EVERY);
        for &i in &self.pumping {
            let connection = &mut self.connections[i];
            if connection.stage != Stage::Open {
                continue;
            }
            let before = connection.output.len();
            let again = connection.role.pump(now, &mut Sender { output: &mut connection.output });
            if let Some(again) = again {
                wait = wait.min(again.saturating_duration_since(now));
            }
            if connection.output.len() > before {
                flush(&self.poll, i, connection)?;
            }
        }
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(|e| e.to_string())?,
        }
        let ready: Vec<(usize, bool, bool)> =
            self.events.iter().map(|e| (e.token().0, e.is_readable(), e.is_writable())).collect();
        for (i, readable, writable) in ready {
            if writable {
                flush(&self.poll, i, &mut self.connections[i])?;
            }
            if readable {
                self.read(i)?;
            }
        }
        self.heartbeats()
    }

    fn read(&mut self, i: usize) -> Result<(), String> {
        let connection = &mut self.connections[i];
        loop {
            let n = match connection.stream.read(&mut self.buffer) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("a connection broke: {error}")),
            };
            let was = connection.stage;
            if connection.input.is_empty() {
                let used = take_all(connection, &self.buffer[..n])?;
                connection.input.extend_from_slice(&self.buffer[used..n]);
            } else {
                let mut input = std::mem::take(&mut connection.input);
                input.extend_from_slice(&self.buffer[..n]);
                let used = take_all(connection, &input)?;
                input.drain(..used);
                // An empty one gives its memory back: idle connections are many.
                connection.input = if input.is_empty() { Vec::new() } else { input };
            }
            if was != connection.stage {
                self.opening -= 1;
            }
            // Less than the buffer: the socket is empty, or tells again.
            if n < self.buffer.len() {
                break;
            }
        }
        flush(&self.poll, i, connection)
    }

    fn heartbeats(&mut self) -> Result<(), String> {
        let now = Instant::now();
        if now < self.heartbeat_at {
            return Ok(());
        }
        self.heartbeat_at = now + HEARTBEAT_EVERY;
        for (i, connection) in self.connections.iter_mut().enumerate() {
            if connection.stage == Stage::Open && now.duration_since(connection.heard_from_us) > HEARTBEAT {
                push_text(&mut connection.output, b"{\"type\":\"ping\"}");
                flush(&self.poll, i, connection)?;
            }
        }
        Ok(())
    }
}

/// Handles everything complete in `input`; how many bytes that were.
fn take_all<R: Role>(connection: &mut Connection<R>, input: &[u8]) -> Result<usize, String> {
    let mut at = 0;
    if connection.stage == Stage::Upgrading {
        match upgraded(input) {
            Upgraded::NotYet => return Ok(0),
            Upgraded::No(line) => return Err(format!("the server refused a WebSocket: {line}")),
            Upgraded::Yes(n) => at = n,
        }
        connection.stage = Stage::Open;
        connection.role.opened(&mut Sender { output: &mut connection.output });
    }
    while let Some((n, frame)) = take_frame(&input[at..])? {
        match frame {
            Frame::Message(payload) => {
                connection.role.message(payload, &mut Sender { output: &mut connection.output })?;
            }
            Frame::Ping(payload) => push_pong(&mut connection.output, payload),
            Frame::Close(code, reason) => {
                return Err(format!("the server closed a connection: {code} {reason}"));
            }
            Frame::Pong => {}
        }
        at += n;
    }
    Ok(at)
}

fn flush<R>(poll: &Poll, i: usize, connection: &mut Connection<R>) -> Result<(), String> {
    let mut written = 0;
    while written < connection.output.len() {
        match connection.stream.write(&connection.output[written..]) {
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("a connection broke: {error}")),
        }
    }
    if written > 0 {
        connection.heard_from_us = Instant::now();
    }
    if written == connection.output.len() {
        if connection.output.capacity() > 4096 {
            connection.output.clear();
        } else {
            connection.output = Vec::new();
        }
    } else {
        connection.output.drain(..written);
    }
    let wants_room = !connection.output.is_empty();
    if wants_room != connection.wants_room {
        connection.wants_room = wants_room;
        let interest = if wants_room { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        poll.registry()
            .reregister(&mut connection.stream, Token(i), interest)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A connected socket. To a loopback server each 25,000 connections come from an address of their own.
fn open_socket(address: SocketAddr, number: usize) -> io::Result<std::net::TcpStream> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    let group = number / PORTS_PER_ADDRESS;
    if let (IpAddr::V4(ip), Ok(group)) = (address.ip(), u8::try_from(group))
        && ip.is_loopback()
        && group > 0
    {
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1 + group), 0)).into())?;
    }
    socket.connect(&address.into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
