//! The command line's tools that speak to a running server.

pub(crate) mod accounts;
pub(crate) mod ask;
pub(crate) mod bench;
#[cfg(feature = "chat")]
pub(crate) mod im_reference;
pub(crate) mod import;
#[cfg(feature = "chat")]
pub(crate) mod index;
#[cfg(feature = "live")]
pub(crate) mod live;
pub(crate) mod publish;
pub(crate) mod subscribe;
pub(crate) mod table;
pub(crate) mod top;
#[cfg(feature = "mqtt")]
pub(crate) mod trace;
