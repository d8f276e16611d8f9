//! Everything is a bounded log, and everyone who listens holds a position in it.
//!
//! Read in this order: [`topic`] (names), [`message`] (what travels), [`space`] (how it is kept),
//! [`store`] (where it is kept), [`access`] (who may), [`link`] (what a door may ask and what it hears),
//! [`service`] (cores beside the hub that own topics), [`hub`] (publish, append, fan out), then the inside: `directory`, `outbox`, `session`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own"))]

pub mod access;
mod asleep;
pub mod attend;
pub mod delayed;
mod directory;
mod group;
mod guard;
pub mod hub;
pub mod inspect;
mod last_words;
pub mod link;
pub mod live;
pub mod memory;
pub mod message;
mod outbox;
mod presence;
pub mod publish;
mod returning;
mod saved;
mod saving;
pub mod service;
mod session;
pub mod space;
pub mod store;
#[cfg(any(test, feature = "suite"))]
pub mod store_suite;
mod subscribe;
mod subscription;
pub mod topic;

pub use access::{Access, Action, Credentials, Peer, Principal, Verdict};
pub use hub::{Hub, Limits as HubLimits, Meters, Options, Work};
pub use link::{Answer, Call, Delivery, Hello, Keepsake, Refused};
pub use live::{Handle, Link};
pub use message::{
    Batch, Content, Form, Headers, Message, MessageId, Position, Qos, Record, Sender, SessionId, SpaceId,
};
pub use service::{Ask, Caller, Service};
pub use space::{Keep, Lag, Limits, Space};
pub use store::{Journal, Store, StoreError, Table};
pub use topic::{Filter, Topic};

#[cfg(test)]
mod sim;
