//! `yizhan bench mqtt`: the same load on any MQTT broker, ours or another.
//!
//! Read in this order: `wire` (packets, told apart by their headers), `engine` (many clients on a thread),
//! `flow` (windows), `traffic` (publishers and subscribers), `idle`, `storm`.

mod engine;
mod flow;
mod idle;
mod sleeper;
mod storm;
#[cfg(test)]
mod tests;
mod traffic;
mod wire;

use std::{net::SocketAddr, sync::Arc};

use super::{report::Report, run::Common};

pub(crate) use wire::{Login, Version};

/// The broker, and how its clients say who they are.
#[derive(Debug, Clone)]
pub(crate) struct Mqtt {
    pub(crate) broker: SocketAddr,
    pub(crate) login: Arc<Login>,
}

impl Mqtt {
    fn protocol(&self) -> &'static str {
        match self.login.version {
            Version::V311 => "3.1.1",
            Version::V5 => "5",
        }
    }
}

/// What publishers and subscribers do.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    /// Topics are dealt to them in turn; no more than there are topics.
    pub(crate) publishers: usize,
    pub(crate) topics: usize,
    /// Subscribers of each topic. Without any, the acknowledgements of QoS 1 are timed.
    pub(crate) subscribers: usize,
    /// 0 or 1, of messages and subscriptions.
    pub(crate) qos: u8,
    pub(crate) payload_bytes: usize,
    /// Messages that a topic may be ahead of its slowest subscriber; at QoS 1 also the messages that a publisher
    /// may have unacknowledged.
    pub(crate) window: u64,
    /// Messages a second and publisher; `None` is as fast as it goes.
    pub(crate) rate: Option<f64>,
    /// What topics begin with.
    pub(crate) topic: String,
}

/// One kind of load.
#[derive(Debug, Clone)]
pub(crate) enum Load {
    Traffic(Traffic),
    /// So many clients with one subscription each, on topics that begin so.
    Idle {
        clients: usize,
        topic: String,
    },
    /// So many clients that all come back at once, on topics that begin so.
    Storm {
        clients: usize,
        topic: String,
    },
}

/// Runs a load; `name` is the report's.
///
/// # Errors
/// The run could not be finished.
pub(crate) fn measure(
    common: &Common,
    name: &'static str,
    mqtt: &Mqtt,
    load: &Load,
) -> Result<Report, String> {
    match load {
        Load::Traffic(traffic) => traffic::measure(common, name, mqtt, traffic),
        Load::Idle { clients, topic } => idle::measure(common, name, mqtt, *clients, topic),
        Load::Storm { clients, topic } => storm::measure(common, name, mqtt, *clients, topic),
    }
}
