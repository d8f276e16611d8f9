//! Connections that this server opens itself: TCP and TLS to a host and port, again and again.

use std::{
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ring::rand::{SecureRandom, SystemRandom};
use rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider};
use rustls_pki_types::{PrivateKeyDer, ServerName, pem::PemObject};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    Line, Lines, Peer, Shell,
    tls::{TlsError, bytes, certificates},
};

/// Where to connect to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`; the host is a name or an address, one of IPv6 in brackets.
    pub address: String,
    /// TLS; `None` is plain text.
    pub tls: Option<TargetTls>,
    /// How long resolving, connecting and the TLS handshake may take together.
    pub within: Duration,
}

/// TLS towards a server. Its files are read at each connection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetTls {
    /// Certificates of those who may sign the server's, PEM. Left out: those that the web trusts.
    pub ca: Option<PathBuf>,
    /// Our own certificate and those between it and the root, PEM. Needs `key`.
    pub cert: Option<PathBuf>,
    /// The private key of `cert`, PEM.
    pub key: Option<PathBuf>,
    /// The name that the server's certificate is for. Left out: the host of the address.
    pub server_name: Option<String>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// It is not `host:port`.
    #[error("'{0}' is no address: write one like broker.example:1883")]
    BadAddress(String),
    /// It took too long.
    #[error("not connected within {0:?}")]
    Late(Duration),
    /// The name has no address, or nobody listens there.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// A file is missing or not what it should be.
    #[error(transparent)]
    Files(#[from] TlsError),
    /// `cert` without `key`, or the other way round.
    #[error("cert and key are given both or not at all")]
    HalfACertificate,
    /// The handshake failed: the server's certificate is not trusted, or it does not take ours.
    #[error("TLS: {0}")]
    Tls(String),
}

/// How long to wait between attempts: `min`, then twice as long each time, at most `max`; of that a random
/// half is left out, so that many who lost the same server do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub min: Duration,
    /// After many.
    pub max: Duration,
}

impl Backoff {
    /// Waits after so many failures in a row; the first is 0.
    pub async fn pause(self, failures: u32) {
        tokio::time::sleep(self.wait(failures, chance())).await;
    }

    /// The wait after so many failures in a row (the first is 0); `chance` is any number.
    fn wait(self, failures: u32, chance: u32) -> Duration {
        let whole = self.min.saturating_mul(1 << failures.min(20)).min(self.max.max(self.min));
        whole / 2 + whole.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 2.0)
    }
}

/// What follows after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It failed: wait longer than before.
    Failed,
    /// It had worked: wait as after the first failure.
    Worked,
    /// No more.
    Stop,
}

/// Opens connections that a site knows of: they are in its list, counted under a door, and told to leave when
/// it drains.
#[derive(Clone)]
pub struct Dialer {
    shell: Arc<Shell>,
    lines: Lines,
}

impl Dialer {
    pub(crate) fn new(shell: Arc<Shell>, lines: Lines) -> Self {
        Self { shell, lines }
    }

    /// Connects once.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial(&self, door: &'static str, to: &Target) -> Result<Outgoing, DialError> {
        let connecting = self.dial_some(door, to);
        tokio::time::timeout(to.within, connecting).await.map_err(|_| DialError::Late(to.within))?
    }

    async fn dial_some(&self, door: &'static str, to: &Target) -> Result<Outgoing, DialError> {
        let (host, _) = split(&to.address)?;
        let tls = to.tls.as_ref().map(|tls| client_config(tls, host)).transpose()?;
        let stream = TcpStream::connect(&to.address).await.map_err(DialError::Connect)?;
        stream.set_nodelay(true).map_err(DialError::Connect)?;
        let address = stream.peer_addr().map_err(DialError::Connect)?;
        let local = stream.local_addr().map_err(DialError::Connect)?;
        let peer = Peer { address, local, secure: tls.is_some(), certificate: None };
        let io = match tls {
            None => Io::Tcp(stream),
            Some((config, name)) => {
                let connecting = TlsConnector::from(config).connect(name, stream);
                Io::Tls(Box::new(connecting.await.map_err(|error| DialError::Tls(error.to_string()))?))
            }
        };
        Ok(Outgoing { io, line: self.lines.add(&self.shell, door, peer) })
    }

    /// Connects and gives the result to `each`, which runs the connection and says what follows; again and
    /// again, until it says [`Next::Stop`]. May be dropped at any time.
    pub async fn keep<F, R>(&self, door: &'static str, to: &Target, backoff: Backoff, mut each: F)
    where
        F: FnMut(Result<Outgoing, DialError>) -> R,
        R: Future<Output = Next>,
    {
        let mut failures = 0;
        loop {
            let dialled = self.dial(door, to).await;
            match each(dialled).await {
                Next::Stop => return,
                Next::Worked => failures = 0,
                Next::Failed => {}
            }
            backoff.pause(failures).await;
            failures = failures.saturating_add(1);
        }
    }
}

fn chance() -> u32 {
    let mut bytes = [0; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u32::from_ne_bytes(bytes),
        // Without chance all wait the whole time: nothing breaks.
        Err(_) => u32::MAX,
    }
}

/// Host and port.
fn split(address: &str) -> Result<(&str, u16), DialError> {
    let bad = || DialError::BadAddress(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(v6) => v6,
        None if host.contains(':') => return Err(bad()),
        None => host,
    };
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(bad)?;
    if host.is_empty() { Err(bad()) } else { Ok((host, port)) }
}

impl Target {
    /// Says what is wrong with it, as far as that is known before connecting.
    ///
    /// # Errors
    /// A malformed address, half a certificate, a file that cannot be used.
    pub fn check(&self) -> Result<(), DialError> {
        let (host, _) = split(&self.address)?;
        self.tls.as_ref().map_or(Ok(()), |tls| client_config(tls, host).map(drop))
    }
}

fn client_config(tls: &TargetTls, host: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>), DialError> {
    let failed = |error: rustls::Error| DialError::Tls(error.to_string());
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(path) => {
            for certificate in certificates("ca", path)? {
                roots.add(certificate).map_err(failed)?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots);
    let config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(path)) => {
            let key = PrivateKeyDer::from_pem_slice(&bytes("key", path)?).map_err(|error| {
                let reason = error.to_string();
                TlsError::Content { what: "key", path: path.clone(), reason }
            })?;
            builder.with_client_auth_cert(certificates("cert", cert)?, key).map_err(failed)?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(DialError::HalfACertificate),
    };
    let name = tls.server_name.as_deref().unwrap_or(host).to_owned();
    let bad_name = || DialError::Tls(format!("'{name}' is no name that a certificate can be for"));
    let name = ServerName::try_from(name.clone()).map_err(|_| bad_name())?;
    Ok((Arc::new(config), name))
}

/// A byte stream to a server that we connected to.
#[derive(Debug)]
pub struct Outgoing {
    io: Io,
    line: Arc<Line>,
}

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Outgoing {
    /// The transport's side of this connection.
    #[must_use]
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }
}

impl AsyncRead for Outgoing {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_write(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_flush(cx),
            Io::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Io::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use yizhan_talk::Close;

    use super::*;
    use crate::{Limits, SystemClock};

    fn dialer() -> (Dialer, Lines) {
        let lines = Lines::default();
        let shell = Shell { limits: Limits::default(), clock: Arc::new(SystemClock), meters: Arc::default() };
        (Dialer::new(Arc::new(shell), lines.clone()), lines)
    }

    fn target(address: impl ToString) -> Target {
        Target { address: address.to_string(), tls: None, within: Duration::from_secs(5) }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (address, host) in
            [("broker.example:1883", "broker.example"), ("10.0.0.1:1", "10.0.0.1"), ("[::1]:1883", "::1")]
        {
            assert_eq!(split(address).unwrap().0, host);
        }
        for bad in ["", ":1883", "host", "host:", "host:0", "host:65536", "::1:1883", "host:x"] {
            assert!(target(bad).check().is_err(), "{bad}");
        }
    }

    #[test]
    fn waits_grow_to_their_bound_and_differ() {
        let backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_secs(60) };
        for (failures, whole) in [(0, 1), (1, 2), (5, 32), (6, 60), (100, 60)] {
            let whole = Duration::from_secs(whole);
            assert_eq!(backoff.wait(failures, 0), whole / 2);
            let longest = backoff.wait(failures, u32::MAX);
            assert!(longest <= whole && longest > whole.mul_f64(0.99), "{longest:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_carries_bytes_and_is_in_the_list_of_lines() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (dialer, lines) = dialer();
        let to = target(listener.local_addr().unwrap());
        let (dialled, accepted) = tokio::join!(dialer.dial("bridge", &to), listener.accept());
        let (mut outgoing, mut server) = (dialled.unwrap(), accepted.unwrap().0);
        assert_eq!(lines.list(0, 9)[0].door, "bridge");
        outgoing.write_all(b"ping").await.unwrap();
        let mut bytes = [0; 4];
        server.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ping");
        server.write_all(b"pong").await.unwrap();
        outgoing.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"pong");
        drop(outgoing);
        assert_eq!(lines.count(), 0);
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = target(listener.local_addr().unwrap());
        drop(listener);
        let refused = dialer().0.dial("bridge", &to).await;
        assert!(matches!(refused, Err(DialError::Connect(_))), "{refused:?}");
    }

    /// Accepts, speaks TLS once, and says hello.
    async fn tls_server(listener: TcpListener, config: Arc<rustls::ServerConfig>) {
        let stream = listener.accept().await.unwrap().0;
        // The client may not like the certificate.
        let Ok(mut tls) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await else { return };
        tls.write_all(b"hello").await.unwrap();
        tls.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn tls_holds_the_server_to_its_name_and_its_signer() {
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["broker.test".into()]).unwrap();
        let ca = files.path().join("ca.pem");
        std::fs::write(&ca, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let cases = [
            (Some(ca.clone()), Some("broker.test"), true),
            (Some(ca.clone()), Some("other.test"), false),
            (Some(ca), None, false),
            (None, Some("broker.test"), false),
        ];
        for (ca, server_name, good) in cases {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let tls = TargetTls {
                ca: ca.clone(),
                server_name: server_name.map(str::to_owned),
                ..TargetTls::default()
            };
            let to = Target { tls: Some(tls), ..target(listener.local_addr().unwrap()) };
            let (dialer, _) = dialer();
            let (dialled, ()) =
                tokio::join!(dialer.dial("bridge", &to), tls_server(listener, config.clone()));
            assert_eq!(dialled.is_ok(), good, "{ca:?} {server_name:?}");
            if let Ok(mut outgoing) = dialled {
                let mut said = String::new();
                outgoing.read_to_string(&mut said).await.unwrap();
                assert_eq!(said, "hello");
                assert!(outgoing.line().peer().secure);
            }
        }
    }

    #[test]
    fn half_a_certificate_and_missing_files_are_told_before_connecting() {
        let with = |tls| Target { tls: Some(tls), ..target("broker.example:8883") }.check();
        assert!(with(TargetTls::default()).is_ok());
        let half = TargetTls { cert: Some("c.pem".into()), ..TargetTls::default() };
        assert!(matches!(with(half), Err(DialError::HalfACertificate)));
        let missing = TargetTls { ca: Some("/nowhere/ca.pem".into()), ..TargetTls::default() };
        assert!(matches!(with(missing), Err(DialError::Files(TlsError::Read { .. }))));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_go_on_until_they_are_to_stop() {
        let (dialer, lines) = dialer();
        let mut told = vec![Next::Failed, Next::Failed, Next::Worked, Next::Failed, Next::Stop].into_iter();
        let began = tokio::time::Instant::now();
        let backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_secs(4) };
        // Fails at once, without the network.
        let to = target("nowhere");
        dialer
            .keep("bridge", &to, backoff, |dialled| {
                assert!(matches!(dialled, Err(DialError::BadAddress(_))));
                let next = told.next().unwrap();
                async move { next }
            })
            .await;
        assert_eq!(told.len(), 0);
        // 1 + 2, then 1 + 2 again, each at least half of that.
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(3) && took <= Duration::from_secs(6), "{took:?}");
        lines.leave_all(&Close::GOING_AWAY);
    }
}
