//! Who is who: accounts, tokens, links and rules, kept in the hub's tables.
//!
//! This crate has no I/O, no clock and no task of its own: tables come from a [`yizhan_hub::Store`], time
//! from the caller, and what is heavy (argon2) goes through [`Seams::work`].
//!
//! Read in this order: [`config`], [`rules`] (who may do what), [`password`], [`brake`] (guessing made
//! slow), [`jwt`], then the tables: `accounts`, `tokens`, `tickets`, `devices`, `audit`; at last
//! [`identity`], which is the hub's [`Access`](yizhan_hub::Access), with `attempt` (passwords), and
//! `manage`, what operators do.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own"))]

mod accounts;
mod attempt;
mod audit;
pub mod brake;
pub mod config;
mod devices;
pub mod failure;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod identity;
pub mod jwt;
mod manage;
pub mod names;
pub mod password;
mod random;
mod rows;
pub mod rules;
pub mod seams;
pub mod secret;
pub mod span;
mod tickets;
mod tokens;

pub use accounts::{AccountChange, AccountView, NewAccount};
pub use audit::{AuditEntry, What};
pub use config::Config;
pub use devices::DeviceView;
pub use failure::{BadConfig, Failure};
pub use identity::{Actor, Identity, OpenError, SignedIn, administers};
pub use manage::{Invitation, LinkLogin, Me, NewToken};
pub use seams::{Cause, Job, Revoked, Seams};
pub use secret::Secret;
pub use tokens::{MadeToken, TokenKind, TokenView};
