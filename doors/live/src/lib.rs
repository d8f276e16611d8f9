//! Live streaming over HTTP, but for the streams themselves: `POST /live/v1/…` is a question to the service `live`,
//! `/watch/APP/NAME` is the page to watch on, and the operator's own programs are asked and told.
//!
//! Read in this order: `acting` (who asks), `ask` (one request, one question), [`openapi`] (the document), [`hooks`],
//! `page`, [`door`].

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own"))]

mod acting;
mod ask;
pub mod door;
pub mod hooks;
pub mod openapi;
mod page;

pub use door::LiveDoor;
pub use hooks::{Hooks, LaneView, Recorded};
