//! The door of RTMP: publishers and viewers over RTMP and RTMPS, and relays to and from other RTMP servers.
//!
//! Read in this order: [`config`], [`wire`] (bytes), [`address`] (what clients ask for), `carrier` (messages and
//! acknowledgements), `unpack` and `pack` (messages and frames), [`connection`] (the talk with a client), [`terms`],
//! [`meters`], [`door`]; [`relay`] is apart from these.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own"))]

pub mod address;
mod carrier;
pub mod config;
pub mod connection;
pub mod door;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub mod fuzz;
pub mod meters;
mod pack;
pub mod relay;
pub mod terms;
mod unpack;
pub mod wire;

pub use config::Config;
pub use connection::{Connection, Guest};
pub use door::Rtmp;
pub use meters::Meters;
pub use relay::Relays;
pub use terms::Terms;
