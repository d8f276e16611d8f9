//! The door for people who run the server: the admin API, health, metrics, and the console's files.
//!
//! Read in this order: [`ask`] (a request and its answer, without HTTP), `api` (who may ask what), then
//! one file for each group: `sign_in`, `inspect`, `clients`, `flow`, `accounts`, `tokens`; `health`; `pages`; at last
//! [`door`], where it all meets `engines/net`. The API is written down in `docs/reference/admin-api.md`.

mod accounts;
mod api;
pub mod ask;
mod clients;
pub mod door;
mod flow;
mod health;
mod inspect;
mod pages;
mod sign_in;
mod tokens;

pub use api::Api;
pub use ask::{Ask, Reply};
pub use door::{Admin, Config};
pub use health::{Bridge, Traces, Views};
