//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692), over HTTP/1.1 and HTTP/2 (RFC 8441).
//!
//! The codec does no I/O: `reader` turns bytes into messages, `frame` turns messages into bytes, and
//! [`Framed`] is a [`Connection`](yizhan_talk::Connection) around another whose packets are messages. So
//! the shell that runs any door's byte stream runs WebSockets, and an idle one costs a few hundred bytes.

pub mod client;
mod deflate;
mod frame;
mod framed;
pub(crate) mod handshake;
mod reader;
mod utf8;

#[cfg(test)]
mod tests;

use bytes::BytesMut;

pub use framed::{Framed, Settings};

use crate::{Peer, Request};

/// How messages are sent and taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// A protocol within WebSocket that a door speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subprotocol {
    /// As in `Sec-WebSocket-Protocol`.
    pub name: &'static str,
    /// How its messages travel; a message of the other kind ends the connection with 1003.
    pub kind: Kind,
}

/// What a WebSocket client asks for.
#[derive(Debug)]
pub struct Upgrade<'a> {
    /// The request.
    pub request: &'a Request,
    /// Which of the door's subprotocols was agreed on: the client's first that the door has, and the
    /// door's first where the client names none.
    pub subprotocol: Subprotocol,
}

impl Upgrade<'_> {
    /// Who asks.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        self.request.peer()
    }
}

/// Reads `data` as frames, as a server and as a client would: for fuzzing. The first bytes choose how it
/// is cut into pieces.
pub fn fuzz_frames(data: &[u8]) {
    const MESSAGE_BYTES_MAX: usize = 4096;
    let [flags, step, data @ ..] = data else { return };
    let role = if flags & 1 == 0 { reader::Role::Server } else { reader::Role::Client };
    let mut reader = reader::Reader::new(role, flags & 2 != 0, MESSAGE_BYTES_MAX);
    let mut input = BytesMut::new();
    for piece in data.chunks(usize::from(*step).max(1)) {
        input.extend_from_slice(piece);
        loop {
            match reader.next(&mut input) {
                Ok(Some(reader::Event::Message(kind, bytes))) => {
                    assert!(bytes.len() <= MESSAGE_BYTES_MAX, "a message keeps to its limit");
                    assert!(kind == Kind::Binary || std::str::from_utf8(&bytes).is_ok(), "text is UTF-8");
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// Reads `data` as what a client sends in `Sec-WebSocket-Extensions`: for fuzzing.
pub fn fuzz_offer(data: &str) {
    if let Some(agreed) = deflate::agree([data].into_iter()) {
        assert!(deflate::is_answer(&agreed.header()), "an answer is one that a client takes");
    }
}
