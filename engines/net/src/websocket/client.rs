//! A WebSocket client: for the command line, benches and tests.

use std::{io, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::{Buf, BytesMut};
use http::Uri;
use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use yizhan_talk::{Again, Close};

use super::{
    Kind,
    deflate::{OFFER, is_answer},
    frame::{Opcode, close_payload, put_frame},
    handshake::accept_key,
    reader::{Event, Reader, Role},
};

/// Bytes that the server's response head may have.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes that one read asks for.
const READ_BYTES: usize = 16 * 1024;

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// Subprotocols, the best first.
    pub subprotocols: Vec<String>,
    /// Headers to send along, such as `("Authorization", "Bearer …")`.
    pub headers: Vec<(String, String)>,
    /// Whether to offer permessage-deflate. What is sent is never compressed.
    pub deflate: bool,
    /// Bytes that a message may have.
    pub message_bytes_max: usize,
    /// How long connecting may take.
    pub within: Duration,
    /// For `wss:`, other trusted certificates than the web's.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            subprotocols: Vec::new(),
            headers: Vec::new(),
            deflate: false,
            message_bytes_max: 64 * 1024 * 1024,
            within: Duration::from_secs(10),
            tls: None,
        }
    }
}

/// Why connecting failed, or a talk broke.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It is no `ws:` or `wss:` URL.
    #[error("'{0}' is no WebSocket address: write one like ws://127.0.0.1:8080/v1/socket")]
    BadUrl(String),
    /// The server did not agree: its status, and its body where it is short.
    #[error("the server answered {status}: {body}")]
    Refused {
        /// HTTP's.
        status: u16,
        /// The first part of what it said.
        body: String,
    },
    /// The server's answer makes no sense.
    #[error("the server's handshake is wrong: {0}")]
    BadHandshake(&'static str),
    /// It took too long.
    #[error("not connected within {0:?}")]
    Late(Duration),
    /// The server broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(Close),
    /// The network failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// A message.
    Message(Kind, BytesMut),
    /// The talk is over; the code is 1005 where none was given, 1006 where the stream just ended.
    Close(u16, String),
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A WebSocket, seen from the client.
pub struct Client {
    io: Box<dyn Io>,
    reader: Reader,
    input: BytesMut,
    output: BytesMut,
    subprotocol: Option<String>,
    over: bool,
    masks: Masks,
}

/// Connects to a `ws:` or `wss:` URL.
///
/// # Errors
/// See [`ClientError`].
pub async fn connect(url: &str, options: &Options) -> Result<Client, ClientError> {
    tokio::time::timeout(options.within, connect_some(url, options))
        .await
        .map_err(|_| ClientError::Late(options.within))?
}

async fn connect_some(url: &str, options: &Options) -> Result<Client, ClientError> {
    let bad = || ClientError::BadUrl(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let secure = match uri.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        _ => return Err(bad()),
    };
    let host = uri.host().ok_or_else(bad)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let tcp = TcpStream::connect((bare, port)).await?;
    tcp.set_nodelay(true)?;
    let mut io: Box<dyn Io> = Box::new(tcp);
    if secure {
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| bad())?;
        let config = options.tls.clone().map_or_else(web_roots, Ok)?;
        io = Box::new(TlsConnector::from(config).connect(name, io).await?);
    }
    handshake(io, &uri, options).await
}

fn web_roots() -> Result<Arc<rustls::ClientConfig>, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

async fn handshake(mut io: Box<dyn Io>, uri: &Uri, options: &Options) -> Result<Client, ClientError> {
    let mut masks = Masks::new();
    let key: [u8; 16] = std::array::from_fn(|_| masks.next()[0]);
    let key = BASE64.encode(key);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    );
    let mut put = |name: &str, value: &str| request.extend([name, ": ", value, "\r\n"]);
    if !options.subprotocols.is_empty() {
        put("Sec-WebSocket-Protocol", &options.subprotocols.join(", "));
    }
    if options.deflate {
        put("Sec-WebSocket-Extensions", OFFER);
    }
    for (name, value) in &options.headers {
        put(name, value);
    }
    request.push_str("\r\n");
    io.write_all(request.as_bytes()).await?;
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let end = loop {
        if let Some(end) = memchr::memmem::find(&input, b"\r\n\r\n") {
            break end;
        }
        if input.len() > HEAD_BYTES_MAX {
            return Err(ClientError::BadHandshake("its head is too long"));
        }
        if io.read_buf(&mut input).await? == 0 {
            return Err(ClientError::BadHandshake("it closed the connection"));
        }
    };
    let head = String::from_utf8_lossy(&input.split_to(end + 4)).into_owned();
    let (agreed, subprotocol) = check(&head, &key, options, &input)?;
    Ok(Client {
        io,
        reader: Reader::new(Role::Client, agreed, options.message_bytes_max),
        input,
        output: BytesMut::new(),
        subprotocol,
        over: false,
        masks,
    })
}

/// Checks the response's head; says whether compression was agreed on, and the subprotocol.
fn check(
    head: &str,
    key: &str,
    options: &Options,
    rest: &[u8],
) -> Result<(bool, Option<String>), ClientError> {
    let mut lines = head.lines();
    let status: u16 = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
        .ok_or(ClientError::BadHandshake("it does not speak HTTP/1.1"))?;
    if status != 101 {
        let body = String::from_utf8_lossy(&rest[..rest.len().min(500)]).into_owned();
        return Err(ClientError::Refused { status, body });
    }
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |name: &str| {
        headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    if header("sec-websocket-accept") != Some(accept_key(key).as_str()) {
        return Err(ClientError::BadHandshake("it did not read our key (RFC 6455, 4.1)"));
    }
    let agreed = match header("sec-websocket-extensions") {
        None => false,
        Some(answer) if options.deflate && is_answer(answer) => true,
        Some(_) => return Err(ClientError::BadHandshake("an extension that was not offered")),
    };
    let subprotocol = header("sec-websocket-protocol").map(str::to_owned);
    if subprotocol.as_ref().is_some_and(|chosen| !options.subprotocols.contains(chosen)) {
        return Err(ClientError::BadHandshake("a subprotocol that was not asked for"));
    }
    Ok((agreed, subprotocol))
}

impl Client {
    /// The subprotocol that the server chose.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The network failed.
    pub async fn send(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        self.put(kind, payload);
        self.flush().await
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// The network failed.
    pub async fn send_text(&mut self, text: &str) -> io::Result<()> {
        self.send(Kind::Text, text.as_bytes()).await
    }

    /// Puts a message behind those that wait for [`flush`](Self::flush).
    pub fn put(&mut self, kind: Kind, payload: &[u8]) {
        let opcode = match kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        };
        put_frame(&mut self.output, opcode, false, Some(self.masks.next()), payload);
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// The network failed.
    pub async fn ping(&mut self, payload: &[u8]) -> io::Result<()> {
        let payload = &payload[..payload.len().min(super::frame::CONTROL_BYTES_MAX)];
        put_frame(&mut self.output, Opcode::Ping, false, Some(self.masks.next()), payload);
        self.flush().await
    }

    /// Writes what waits. Where it is dropped half-way, the next call goes on.
    ///
    /// # Errors
    /// The network failed.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let n = self.io.write(&self.output).await?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.output.advance(n);
        }
        self.io.flush().await
    }

    /// Waits for what the server says next; answers pings meanwhile. May be dropped at any time: nothing
    /// is lost. After the close it says 1006.
    ///
    /// # Errors
    /// The server broke the protocol, or the network failed.
    pub async fn next(&mut self) -> Result<Said, ClientError> {
        loop {
            if let Some(said) = self.next_ready()? {
                if matches!(said, Said::Close(..)) {
                    // The server may be gone already.
                    drop(self.flush().await);
                }
                return Ok(said);
            }
            if self.over {
                return Ok(Said::Close(1006, String::new()));
            }
            if !self.output.is_empty() {
                self.flush().await?;
            }
            self.input.reserve(READ_BYTES);
            if self.io.read_buf(&mut self.input).await? == 0 {
                self.over = true;
            }
        }
    }

    /// What has come already, without waiting.
    ///
    /// # Errors
    /// The server broke the protocol.
    pub fn next_ready(&mut self) -> Result<Option<Said>, ClientError> {
        loop {
            match self.reader.next(&mut self.input).map_err(ClientError::Protocol)? {
                None => return Ok(None),
                Some(Event::Message(kind, bytes)) => return Ok(Some(Said::Message(kind, bytes))),
                Some(Event::Ping(payload)) => {
                    put_frame(&mut self.output, Opcode::Pong, false, Some(self.masks.next()), &payload);
                }
                Some(Event::Pong) => {}
                Some(Event::Close(code, reason)) => {
                    self.over = true;
                    let echo = code.map_or_else(BytesMut::new, |code| {
                        close_payload(&Close { code, reason: "".into(), again: Again::Soon })
                    });
                    put_frame(&mut self.output, Opcode::Close, false, Some(self.masks.next()), &echo);
                    return Ok(Some(Said::Close(code.unwrap_or(1005), reason)));
                }
            }
        }
    }

    /// Says goodbye, and waits for the server to say it too. What it says before is dropped.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn close(mut self, code: u16, reason: &str) -> Result<(u16, String), ClientError> {
        let close = Close { code, reason: reason.to_owned().into(), again: Again::Soon };
        let payload = close_payload(&close);
        put_frame(&mut self.output, Opcode::Close, false, Some(self.masks.next()), &payload);
        self.flush().await?;
        loop {
            if let Said::Close(code, reason) = self.next().await? {
                return Ok((code, reason));
            }
        }
    }
}

/// Keys for masking: they keep confused intermediaries from being steered (RFC 6455 §10.3), and cost a
/// call of the system for every 256 frames.
struct Masks {
    random: SystemRandom,
    pool: [u8; 1024],
    at: usize,
}

impl Masks {
    fn new() -> Self {
        Self { random: SystemRandom::new(), pool: [0; 1024], at: 1024 }
    }

    fn next(&mut self) -> [u8; 4] {
        if self.at == self.pool.len() {
            if self.random.fill(&mut self.pool).is_err() {
                // The old keys are used again: they hide nothing from the two ends anyway.
                self.pool.rotate_left(1);
            }
            self.at = 0;
        }
        self.at += 4;
        let four = &self.pool[self.at - 4..self.at];
        [four[0], four[1], four[2], four[3]]
    }
}
