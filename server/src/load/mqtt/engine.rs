//! Many MQTT clients on one thread: readiness, one shared read buffer, and nothing per client that an idle one
//! does not need.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

use super::wire::{Packet, Version, push_ping, take};

/// Bytes that all clients of a thread read into, one after the other.
const READ_BYTES: usize = 256 * 1024;
/// Clients that may be under way to being connected at one time: the shortest backlog of the peers.
const OPENING_MAX: usize = 100;
/// Clients that share a loopback address: where half of its ports are taken, finding a free one takes long.
const PORTS_PER_ADDRESS: usize = 10_000;
/// How long a client may have to wait for its turn to be connected: a broker that takes nobody is given up.
const OPENING_WITHIN: Duration = Duration::from_secs(60);
/// A client that has been silent for so long sends PINGREQ.
const HEARTBEAT: Duration = Duration::from_secs(40);
/// How often heartbeats are looked at.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// What a client of the load does.
pub(super) trait Role {
    /// A connection begins: CONNECT goes into `out`.
    fn begin(&mut self, out: &mut Vec<u8>);
    /// A packet came, in a read that ended at `now`.
    ///
    /// # Errors
    /// The run cannot go on.
    fn packet(&mut self, packet: Packet<'_>, now: Instant, out: &mut Vec<u8>) -> Result<(), String>;
    /// All packets of a read were given.
    fn read(&mut self) {}
    /// Called again and again where [`pumps`](Self::pumps): what can be sent now? When at the latest to ask again.
    fn pump(&mut self, _now: Instant, _out: &mut Vec<u8>) -> Option<Instant> {
        None
    }
    fn pumps(&self) -> bool {
        false
    }
    /// Whether a connection that ends is opened again and not the end of the run.
    fn comes_again(&self) -> bool {
        false
    }
}

struct Client<R> {
    stream: TcpStream,
    /// Whether CONNACK has come.
    open: bool,
    /// What is left of a packet that was not complete.
    input: Vec<u8>,
    output: Vec<u8>,
    /// Whether the poll tells when there is room to write.
    wants_room: bool,
    heard_from_us: Instant,
    role: R,
}

/// One thread's clients.
pub(super) struct Engine<R> {
    broker: SocketAddr,
    version: Version,
    poll: Poll,
    events: Events,
    ready: Vec<(usize, bool, bool)>,
    buffer: Vec<u8>,
    clients: Vec<Client<R>>,
    pumping: Vec<usize>,
    opening: usize,
    /// Connections that ended and are to be opened again.
    ended: Vec<usize>,
    heartbeat_at: Instant,
}

impl<R: Role> Engine<R> {
    /// An engine without clients.
    ///
    /// # Errors
    /// The system gives no poll.
    pub(super) fn new(broker: SocketAddr, version: Version) -> Result<Self, String> {
        Ok(Self {
            broker,
            version,
            poll: Poll::new().map_err(|e| e.to_string())?,
            events: Events::with_capacity(1024),
            ready: Vec::with_capacity(1024),
            buffer: vec![0; READ_BYTES],
            clients: Vec::new(),
            pumping: Vec::new(),
            opening: 0,
            ended: Vec::new(),
            heartbeat_at: Instant::now() + HEARTBEAT_EVERY,
        })
    }

    /// The roles, to look at.
    pub(super) fn roles(&self) -> impl Iterator<Item = &R> {
        self.clients.iter().map(|c| &c.role)
    }

    /// Adds a client; its number counts over all threads and chooses the source address. Waits while too many
    /// are under way.
    ///
    /// # Errors
    /// It cannot be connected, or another one ended.
    pub(super) fn connect(&mut self, number: usize, role: R) -> Result<(), String> {
        let by = Instant::now() + OPENING_WITHIN;
        while self.opening >= OPENING_MAX {
            if Instant::now() > by {
                return Err(format!(
                    "the broker takes no more than {} clients",
                    self.clients.len() - self.opening
                ));
            }
            self.turn(Duration::from_millis(100))?;
        }
        let i = self.clients.len();
        let stream = self.open(i, number / PORTS_PER_ADDRESS)?;
        if role.pumps() {
            self.pumping.push(i);
        }
        self.clients.push(Client {
            stream,
            open: false,
            input: Vec::new(),
            output: Vec::new(),
            wants_room: false,
            heard_from_us: Instant::now(),
            role,
        });
        self.begin(i)
    }

    /// Drops a client's connection without a word and opens it again, from another source address.
    ///
    /// # Errors
    /// It cannot be connected.
    pub(super) fn reconnect(&mut self, i: usize, source: usize) -> Result<(), String> {
        let stream = self.open(i, source + i / PORTS_PER_ADDRESS)?;
        let client = &mut self.clients[i];
        if !client.open {
            self.opening -= 1;
        }
        client.stream = stream;
        client.open = false;
        client.wants_room = false;
        client.input = Vec::new();
        client.output = Vec::new();
        self.begin(i)
    }

    /// Clients whose connections ended since the last time.
    pub(super) fn take_ended(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.ended)
    }

    fn open(&self, i: usize, source: usize) -> Result<TcpStream, String> {
        let fail = |error: io::Error| format!("cannot connect to {}: {error}", self.broker);
        let mut stream = open_socket(self.broker, source).map_err(fail)?;
        self.poll.registry().register(&mut stream, Token(i), Interest::READABLE).map_err(fail)?;
        Ok(stream)
    }

    fn begin(&mut self, i: usize) -> Result<(), String> {
        self.opening += 1;
        let client = &mut self.clients[i];
        client.role.begin(&mut client.output);
        self.flush(i)
    }

    /// Waits for something and handles it; lets roles send what they can.
    ///
    /// # Errors
    /// A connection ended that is not opened again, or a role gave up.
    pub(super) fn turn(&mut self, wait_max: Duration) -> Result<(), String> {
        let now = Instant::now();
        let mut wait = wait_max.min(HEARTBEAT_EVERY);
        for p in 0..self.pumping.len() {
            let i = self.pumping[p];
            let client = &mut self.clients[i];
            if !client.open {
                continue;
            }
            let before = client.output.len();
            if let Some(again) = client.role.pump(now, &mut client.output) {
                wait = wait.min(again.saturating_duration_since(now));
            }
            if client.output.len() > before {
                self.flush(i)?;
            }
        }
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(|e| e.to_string())?,
        }
        let mut ready = std::mem::take(&mut self.ready);
        ready.extend(self.events.iter().map(|e| (e.token().0, e.is_readable(), e.is_writable())));
        for (i, readable, writable) in ready.drain(..) {
            if writable {
                self.flush(i)?;
            }
            if readable {
                self.read(i)?;
            }
        }
        self.ready = ready;
        self.heartbeats()
    }

    fn read(&mut self, i: usize) -> Result<(), String> {
        let client = &mut self.clients[i];
        let was = client.open;
        let result = read_all(client, &mut self.buffer, self.version);
        if client.open != was {
            self.opening -= 1;
        }
        match result {
            Err(why) => self.end(i, why),
            Ok(()) if client.output.is_empty() => Ok(()),
            Ok(()) => self.flush(i),
        }
    }

    /// A connection ended by itself.
    fn end(&mut self, i: usize, why: String) -> Result<(), String> {
        if !self.clients[i].role.comes_again() {
            return Err(why);
        }
        if !self.ended.contains(&i) {
            self.ended.push(i);
        }
        Ok(())
    }

    fn heartbeats(&mut self) -> Result<(), String> {
        let now = Instant::now();
        if now < self.heartbeat_at {
            return Ok(());
        }
        self.heartbeat_at = now + HEARTBEAT_EVERY;
        for i in 0..self.clients.len() {
            let client = &mut self.clients[i];
            if client.open && now.duration_since(client.heard_from_us) > HEARTBEAT {
                push_ping(&mut client.output);
                self.flush(i)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, i: usize) -> Result<(), String> {
        let client = &mut self.clients[i];
        let mut written = 0;
        while written < client.output.len() {
            match client.stream.write(&client.output[written..]) {
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.end(i, format!("a connection broke: {error}")),
            }
        }
        if written > 0 {
            client.heard_from_us = Instant::now();
        }
        if written < client.output.len() {
            client.output.drain(..written);
        } else if client.open {
            client.output.clear();
        } else {
            client.output = Vec::new();
        }
        let wants_room = !client.output.is_empty();
        if wants_room != client.wants_room {
            client.wants_room = wants_room;
            let interest =
                if wants_room { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            self.poll
                .registry()
                .reregister(&mut client.stream, Token(i), interest)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn read_all<R: Role>(client: &mut Client<R>, buffer: &mut [u8], version: Version) -> Result<(), String> {
    loop {
        let n = match client.stream.read(buffer) {
            Ok(0) => return Err("the broker closed a connection".into()),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("a connection broke: {error}")),
        };
        feed(client, &buffer[..n], version)?;
        // Less than the buffer: the socket is empty, or tells again.
        if n < buffer.len() {
            return Ok(());
        }
    }
}

/// Handles what was read, together with what was left before, and keeps what is left now.
fn feed<R: Role>(client: &mut Client<R>, read: &[u8], version: Version) -> Result<(), String> {
    if client.input.is_empty() {
        let used = take_all(client, read, version)?;
        client.input.extend_from_slice(&read[used..]);
        return Ok(());
    }
    let mut input = std::mem::take(&mut client.input);
    input.extend_from_slice(read);
    let used = take_all(client, &input, version)?;
    input.drain(..used);
    // An empty one gives its memory back: idle clients are many.
    client.input = if input.is_empty() { Vec::new() } else { input };
    Ok(())
}

/// Handles every whole packet of `input`; how many bytes that were.
fn take_all<R: Role>(client: &mut Client<R>, input: &[u8], version: Version) -> Result<usize, String> {
    let now = Instant::now();
    let mut at = 0;
    while let Some((n, packet)) = take(&input[at..], version)? {
        match packet {
            Packet::Accepted { code: 0, .. } => client.open = true,
            Packet::Accepted { code, .. } => return Err(format!("the broker refused a client: code {code}")),
            Packet::Goodbye { code } => return Err(format!("the broker sent DISCONNECT: code {code:#04x}")),
            _ => {}
        }
        client.role.packet(packet, now, &mut client.output)?;
        at += n;
    }
    client.role.read();
    Ok(at)
}

/// A socket that connects. To a loopback broker each `source` comes from an address of its own, which another
/// run does not have: its ports are not free again at once.
fn open_socket(broker: SocketAddr, source: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(broker), Type::STREAM, Some(Protocol::TCP))?;
    if let (IpAddr::V4(ip), Ok(source)) = (broker.ip(), u8::try_from(source + 1))
        && ip.is_loopback()
    {
        let [.., third, fourth] = std::process::id().to_be_bytes();
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, third | 0x80, fourth, source), 0)).into())?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&broker.into()) {
        // Under way: what is written meanwhile waits for room, and a failure shows there.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        result => result?,
    }
    Ok(TcpStream::from_std(socket.into()))
}
