//! Instant messaging: conversations, who is in them, what was said, who has read it.
//!
//! The service owns the topics `im/#` of the hub: what is published there at any door comes here first, and everything
//! else is asked (`im/history`). Messages are records of the hub; what is remembered beside them are rows of one table.
//! It has no I/O, no clock and no task of its own: the caller runs [`Work`].
//!
//! Read in this order: [`names`] (ids and topics), [`content`] (what people say), `member` and `conversation` (who is
//! in it and how far), `ledger` (what is remembered), [`im`] (the service), `send` (from words to a safe message),
//! `heard` (what follows from it), `receipts`, `view`, `entry` and `list` (what clients see), then the other parts, each
//! with its operations; `operations` has them all.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own"))]

mod admin;
mod attach;
mod burning;
mod changing;
mod chores;
pub mod config;
pub mod content;
mod conversation;
pub mod denied;
mod direct;
mod discover;
mod editing;
mod entry;
mod erasing;
pub mod files;
mod flow;
mod forward;
mod friends;
mod groups;
mod heard;
mod history;
pub mod im;
mod importing;
mod indexing;
mod joining;
mod ledger;
mod list;
mod load;
mod member;
mod members;
mod moderation;
pub mod names;
mod online;
mod op;
mod operations;
mod overlays;
mod people;
mod person;
mod presence;
mod pushing;
mod reacting;
mod recalling;
mod receipts;
mod reports;
mod roles;
mod rooms;
pub mod seams;
mod search;
mod send;
mod settings;
mod threads;
mod typing;
mod view;

pub use config::Config;
pub use denied::Wrong;
pub use im::{Im, Work};
pub use op::{Audience, Operation};
pub use seams::Seams;
