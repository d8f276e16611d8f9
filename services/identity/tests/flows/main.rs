//! Stories of people who come in, manage accounts, and are shut out.

mod accounts;
mod store;
mod strangers;
mod tokens;
mod world;
