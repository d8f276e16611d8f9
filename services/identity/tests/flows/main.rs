//! Stories of people who come in, manage accounts, and are shut out.

#![allow(clippy::disallowed_methods, reason = "a story begins at some moment")]

mod accounts;
mod bans;
mod moved;
mod proofs;
mod races;
mod store;
mod strangers;
mod tokens;
mod world;
