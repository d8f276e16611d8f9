//! The contract at which doors, services, the hub and the network shell meet.
//!
//! A [`Connection`] is one client's side of a talk, without I/O: the same inputs always give the same
//! outputs. A [`Backend`] is what stands behind it: a hub link, a media feed, a game seat. The shell in
//! `engines/net` moves bytes and calls between the two and knows neither.
//!
//! Read in this order: [`contract`] (the two traits), [`out`] (what a step leaves behind), [`close`]
//! (how a talk ends), [`time`] (how time comes in), [`span`] (how long things last, in config), [`meter`]
//! (how things are counted).

pub mod close;
pub mod contract;
pub mod meter;
pub mod out;
#[cfg(feature = "script")]
pub mod script;
pub mod span;
pub mod time;

pub use close::{Again, Close, Fault};
pub use contract::{Backend, Called, Connection};
pub use meter::{Counter, Gauge, Histogram};
pub use out::{Out, Packets, Then};
pub use time::{Clock, Now, Timestamp};
