//! `yizhan bench`: load from the command line, much cheaper than the server that it measures.
//!
//! Read in this order: `wire` (frames and stamps, found without parsing), `engine` (many connections on a
//! thread), `run` (threads and phases), the loads `spread` (fan-out and pairs), `durable` (publish), `idle`, and
//! `report`. `mqtt` is the same for any MQTT broker;
//! `im` is instant messaging.

pub(crate) mod durable;
mod engine;
pub(crate) mod idle;
pub(crate) mod im;
pub(crate) mod mqtt;
mod report;
mod run;
pub(crate) mod spread;
mod wire;

pub(crate) use engine::Target;
pub(crate) use report::{Report, group_digits, show_micros};
pub(crate) use run::Common;
