//! The network engine over real sockets and in-memory streams, with a small line protocol for a door.

mod drive;
mod http;
mod limits;
mod support;
mod tls;
mod websocket;
