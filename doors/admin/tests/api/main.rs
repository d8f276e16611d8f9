//! The admin API as its callers see it: first without HTTP, then over a real port.

#![allow(clippy::disallowed_methods, reason = "tests are the world around a door")]

mod accounts;
mod clients;
mod http;
mod inside;
mod world;
