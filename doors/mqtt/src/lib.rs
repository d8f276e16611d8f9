//! The door of MQTT 3.1.1 and 5.0.
//!
//! Read in this order: [`config`], [`wire`] (bytes), [`names`] (what a topic or filter means), [`rewrite`],
//! [`automatic`], [`terms`] (what every connection goes by), [`trace`], [`meters`]; [`bridge`] is apart from these.

pub mod automatic;
pub mod bridge;
pub mod certificate;
pub mod config;
pub mod connection;
pub mod door;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub mod fuzz;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub mod fuzz_connection;
mod generations;
pub mod meters;
pub mod names;
pub mod rewrite;
mod session;
pub mod terms;
pub mod trace;
pub mod wire;

pub use config::Config;
pub use connection::{Carrier, Connection};
pub use door::Mqtt;
pub use meters::Meters;
pub use terms::{Allowance, Terms};
pub use trace::Traces;
