//! The admin API as its callers see it: first without HTTP, then over a real port.

mod accounts;
mod http;
mod inside;
mod world;
