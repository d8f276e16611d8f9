//! yizhan, being put together
#![allow(dead_code)]
mod client;
mod config;
mod limits;
mod load;
mod tools;
mod welcome;
fn main() {}
