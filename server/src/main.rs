//! `yizhan`: the server and its tools. The only crate that knows all others.
//!
//! Read in this order: [`cli`] (what can be asked of the program), [`config`] (what can be set), [`compose`] (the
//! list of doors, in plain code), [`serve`] (run, reload, drain), [`figures`] (what is counted), then the tools.

// Most of what is counted is shown by the one, and some of what is shared is used by the other only.
#![cfg_attr(not(all(feature = "admin", feature = "mqtt")), allow(dead_code, unused_variables))]

#[cfg(not(any(feature = "socket", feature = "mqtt", feature = "admin")))]
compile_error!("a server without doors serves nobody: build it with the feature `socket`, `mqtt` or `admin`");

#[cfg(feature = "chat")]
mod chat;
mod cli;
mod client;
mod compose;
mod config;
mod control;
mod figures;
#[cfg(all(feature = "admin", feature = "mqtt"))]
mod follow;
mod im;
mod keys;
mod limits;
#[cfg(feature = "live")]
mod live;
mod load;
mod offline;
mod progress;
#[cfg(feature = "search")]
mod search;
mod serve;
#[cfg(feature = "mqtt")]
mod sys;
mod tools;
mod welcome;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
