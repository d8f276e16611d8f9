//! One address: accepting, and what comes before the door sees a client: limits, PROXY header, TLS.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
};
use tracing::{debug, warn};

use crate::{
    Cidr, Ended, Line, Lines, Meters, Peer, Shell, Stream, address,
    line::Denied,
    proxy::{self, Parsed},
    serve::unless_signalled,
    site::{Accepted, Tasks},
    stream::Io,
    tls::{Tls, client_certificate},
};

/// Connections that the system holds for us until we accept them.
const BACKLOG: i32 = 4096;
/// How long to wait when the system has no file descriptor or memory for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// After so many pauses in a row the operator is told again.
const EXHAUSTED_TELL_EVERY: u32 = 100;
/// A silent connection is probed after this, so that dead ones are noticed.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Opens a listening socket; what is set on it holds for each connection.
pub(crate) fn bind(address: SocketAddr, stall_max: Duration) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(stall_max))?;
    #[cfg(not(target_os = "linux"))]
    let _ = stall_max;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A listening socket with all that a new connection needs.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) door: &'static str,
    pub(crate) proxy_from: Vec<Cidr>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) each: Accepted,
    pub(crate) shell: Arc<ArcSwap<Shell>>,
    pub(crate) lines: Lines,
    pub(crate) tasks: Tasks,
}

impl Listener {
    /// Accepts until it is dropped.
    pub(crate) async fn accept_all(self) {
        let mut exhausted = 0;
        loop {
            match self.socket.accept().await {
                Ok((socket, address)) => {
                    exhausted = 0;
                    self.accepted(socket, address);
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    self.shell.load().meters.accept_failed.one();
                    if exhausted % EXHAUSTED_TELL_EVERY == 0 {
                        warn!(door = self.door, %error, "accepting failed: waiting for connections to end");
                    }
                    exhausted += 1;
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }

    fn accepted(&self, socket: TcpStream, address: SocketAddr) {
        let shell = self.shell.load_full();
        let proxied = address::any_contains(&self.proxy_from, address.ip());
        // A balancer's own address says nothing about its clients.
        let admitted = match proxied {
            true => self.lines.admit_any(&shell.limits),
            false => self.lines.admit(address.ip(), &shell.limits, shell.clock.now().wall),
        };
        if let Err(denied) = admitted {
            refuse(&shell.meters, denied, address.ip());
            return;
        }
        let Ok(local) = socket.local_addr() else { return };
        let peer = Peer { address, local, secure: false, certificate: None };
        if !proxied && self.tls.is_none() {
            let line = self.lines.add(&shell, self.door, peer);
            self.tasks.spawn(self.door, (self.each)(Stream::new(Io::Tcp(socket), Bytes::new(), line)));
            return;
        }
        let line = self.lines.add(&shell, "handshake", peer);
        let newcomer = Newcomer {
            socket,
            proxied,
            tls: self.tls.clone(),
            door: self.door,
            line,
            lines: self.lines.clone(),
        };
        let (each, tasks, door) = (Arc::clone(&self.each), self.tasks.clone(), self.door);
        self.tasks.spawn(
            door,
            Box::pin(async move {
                // A task of its own for what follows: this one is large.
                if let Some(stream) = newcomer.introduce().await {
                    tasks.spawn(door, each(stream));
                }
                Ended::Left
            }),
        );
    }
}

/// A connection that the door has not seen yet.
struct Newcomer {
    socket: TcpStream,
    proxied: bool,
    tls: Option<Arc<Tls>>,
    door: &'static str,
    line: Arc<Line>,
    lines: Lines,
}

impl Newcomer {
    /// PROXY header and TLS handshake, within their time.
    async fn introduce(self) -> Option<Stream> {
        let line = Arc::clone(&self.line);
        let shell = Arc::clone(line.shell());
        let work = tokio::time::timeout(shell.limits.handshake_within, self.shake_hands());
        let failed = match unless_signalled(&line, work).await {
            Some(Ok(Ok(stream))) => return Some(stream),
            Some(Ok(Err(error))) => error.to_string(),
            Some(Err(_)) => "it took too long".to_owned(),
            None => "the site closes".to_owned(),
        };
        shell.meters.handshakes_failed.one();
        debug!(peer = %line.peer().address, reason = failed, "a handshake failed");
        None
    }

    async fn shake_hands(mut self) -> io::Result<Stream> {
        let mut peer = self.line.peer().clone();
        let mut head = Bytes::new();
        if self.proxied {
            let (addresses, rest) = read_proxy_header(&mut self.socket, self.tls.is_some()).await?;
            head = rest;
            if let Some((address, local)) = addresses {
                let shell = self.line.shell();
                let at = shell.clock.now().wall;
                if let Err(denied) = self.lines.admit(address.ip(), &shell.limits, at) {
                    refuse(&shell.meters, denied, address.ip());
                    return Err(io::Error::other("refused"));
                }
                (peer.address, peer.local) = (address, local);
            }
        }
        let Some(tls) = self.tls else {
            return Ok(Stream::new(Io::Tcp(self.socket), head, self.line.again(self.door, peer)));
        };
        let stream = tls.acceptor().accept(self.socket).await?;
        peer.secure = true;
        peer.certificate = client_certificate(&stream);
        let line = self.line.again(self.door, peer);
        Ok(Stream::new(Io::Tls(Box::new(stream)), Bytes::new(), line))
    }
}

type Addresses = Option<(SocketAddr, SocketAddr)>;

/// Reads the header, and whatever came with it. With `exactly`, nothing behind the header is read: TLS
/// reads from the socket itself.
async fn read_proxy_header(socket: &mut TcpStream, exactly: bool) -> io::Result<(Addresses, Bytes)> {
    let mut input = BytesMut::with_capacity(256);
    loop {
        // Byte by byte is slow, and only at the start of connections from balancers that leave TLS to us.
        let read = match exactly {
            true => (&mut *socket).take(1).read_buf(&mut input).await?,
            false => socket.read_buf(&mut input).await?,
        };
        match proxy::parse(&input) {
            _ if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Parsed::Header { len, addresses } => {
                let rest = input.split_off(len).freeze();
                return Ok((addresses, rest));
            }
            Parsed::Bad(reason) => return Err(io::Error::new(io::ErrorKind::InvalidData, reason)),
            Parsed::Unfinished if input.len() > proxy::HEADER_BYTES_MAX => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the PROXY header is too long"));
            }
            Parsed::Unfinished => {}
        }
    }
}

fn refuse(meters: &Meters, denied: Denied, address: IpAddr) {
    match denied {
        Denied::Full => meters.refused_full.one(),
        Denied::Address => meters.refused_address.one(),
        Denied::Rate => meters.refused_rate.one(),
    }
    debug!(%address, ?denied, "a connection was refused");
}

/// Whether accepting failed because of one client, so that the next may be well.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
