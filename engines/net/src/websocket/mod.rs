//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692).
use crate::Peer;

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
    pub request: &'a crate::Request,
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

pub mod client {
    //! skeleton
}
