//! The door of our own protocol, `yizhan.v1`: JSON or CBOR over WebSocket, TCP, Server-Sent Events, long-poll
//! and plain HTTP. The protocol is written down in `docs/reference/protocol.md`.
//!
//! Read in this order: [`config`], [`wire`] (bytes), [`connection`] (one client, without I/O), [`http`]
//! (one request), [`door`] (where it attaches).

pub mod config;
pub mod connection;
pub mod door;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub mod fuzz;
pub mod http;
pub mod wire;

pub use config::{Config, Heartbeat, Terms};
pub use connection::Connection;
pub use door::{Socket, Ticket, Tickets};
