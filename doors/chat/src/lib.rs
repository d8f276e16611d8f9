//! The door of instant messaging over HTTP: `POST /im/v1/…` is a question to the service `im`. Besides, what HTTP can
//! do and a socket cannot: files, requests that may be repeated, a document for machines, and webhooks.
//!
//! Read in this order: `acting` (who asks), `problem` (how a no looks), `once` (`Idempotency-Key`), `ask` (one request,
//! one question), [`files`], [`openapi`] (the document), [`hooks`], [`door`].

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own"))]

mod acting;
mod ask;
pub mod config;
pub mod door;
pub mod files;
pub mod hooks;
mod once;
pub mod openapi;
mod page;
pub mod problem;

pub use config::Config;
pub use door::{Chat, Materials};
pub use files::FileParts;
pub use hooks::before::BeforeHook;
pub use problem::{Problem, status_of};
