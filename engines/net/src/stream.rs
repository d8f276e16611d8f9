//! A byte stream with a client at the other end, whatever carries it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use crate::{Line, Peer};

/// A byte stream with a client at the other end: TCP, TLS, or a WebSocket's stream within HTTP/2.
#[derive(Debug)]
pub struct Stream {
    io: Io,
    /// What was read already and not used: it comes first.
    head: Option<Box<Bytes>>,
    line: Arc<Line>,
}

/// What carries the bytes. The large ones are boxed: a plain connection must stay small.
#[derive(Debug)]
pub(crate) enum Io {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Tunnel(Box<TokioIo<Upgraded>>),
}

impl Stream {
    pub(crate) fn new(io: Io, head: Bytes, line: Arc<Line>) -> Self {
        Self { io, head: boxed(head), line }
    }

    /// The transport's side of this connection.
    #[must_use]
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        self.line.peer()
    }

    /// The same bytes as a line of another door, behind what was `read` of them already.
    pub(crate) fn at_door(self, door: &'static str, read: &[u8]) -> Self {
        debug_assert!(self.head.is_none(), "the head was read before the rest");
        let line = self.line.beside(door);
        // Copied, even where it is empty: a slice would keep the whole buffer that it lies in.
        Self { io: self.io, head: boxed(Bytes::copy_from_slice(read)), line }
    }

    /// Whether TLS agreed on HTTP/2 (RFC 7301). `None` without TLS.
    pub(crate) fn agreed_on_h2(&self) -> Option<bool> {
        match &self.io {
            Io::Tls(tls) => Some(tls.get_ref().1.alpn_protocol() == Some(b"h2")),
            Io::Tcp(_) | Io::Tunnel(_) => None,
        }
    }

    /// Puts bytes back before the rest.
    pub(crate) fn unread(&mut self, head: Bytes) {
        debug_assert!(self.head.is_none(), "only one head fits");
        self.head = boxed(head);
    }
}

/// Nothing where there is nothing: most streams never have a head.
fn boxed(head: Bytes) -> Option<Box<Bytes>> {
    (!head.is_empty()).then(|| Box::new(head))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(head) = &mut this.head {
            let n = head.len().min(buf.remaining());
            buf.put_slice(&head[..n]);
            head.advance(n);
            if head.is_empty() {
                this.head = None;
            }
            return Poll::Ready(Ok(()));
        }
        match &mut this.io {
            Io::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_read(cx, buf),
            Io::Tunnel(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_write(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_write(cx, buf),
            Io::Tunnel(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Io::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Io::Tunnel(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
            Io::Tunnel(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_flush(cx),
            Io::Tls(io) => Pin::new(io).poll_flush(cx),
            Io::Tunnel(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Io::Tls(io) => Pin::new(io).poll_shutdown(cx),
            Io::Tunnel(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
