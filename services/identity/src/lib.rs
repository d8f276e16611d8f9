//! Who is who: accounts, tokens, links and rules, kept in the hub's tables.
//!
//! This crate has no I/O, no clock and no task of its own: tables come from a [`yizhan_hub::Store`], time
//! from the caller, and what is heavy (argon2) goes through [`Seams::work`].
//!
//! Read in this order: [`config`], [`rules`] (who may do what), [`password`] with `legacy` (hashes made
//! elsewhere), `scram` (proofs instead of passwords), [`brake`] (guessing made slow), [`jwt`], then the
//! tables: `accounts`, `tokens`, `tickets`, `devices`, `bans`, `audit`; `flapping` (who comes and goes too
//! often); at last [`identity`], which is the hub's [`Access`](yizhan_hub::Access), with `admit` (the ways
//! in), `attempt` (passwords) and `prove` (SCRAM), and `manage`, what operators do.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own"))]

mod accounts;
mod admit;
mod attempt;
mod audit;
mod bans;
pub mod brake;
pub mod config;
mod devices;
pub mod failure;
mod flapping;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod identity;
pub mod jwt;
mod legacy;
mod manage;
pub mod names;
pub mod network;
pub mod password;
mod prove;
mod random;
mod rows;
pub mod rules;
mod scram;
pub mod seams;
pub mod secret;
mod tickets;
mod tokens;

pub use accounts::{AccountChange, AccountView, NewAccount};
pub use audit::{AuditEntry, What};
pub use bans::{BadWhom, Ban, Whom};
pub use config::Config;
pub use devices::DeviceView;
pub use failure::{BadConfig, Failure};
pub use identity::{Actor, Identity, OpenError, SignedIn, administers};
pub use manage::{Invitation, LinkLogin, Me, NewBan, NewToken};
pub use network::{BadNetwork, Network};
pub use scram::MECHANISM as SCRAM_SHA_256;
pub use seams::{Cause, Job, Revoked, Seams};
pub use secret::Secret;
pub use tokens::{MadeToken, TokenKind, TokenView};
