//! The door of RTMP: publishers and viewers over RTMP and RTMPS, and relays to and from other RTMP servers.
//!
//! Read in this order: [`wire`] (bytes).

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own"))]

pub mod wire;
