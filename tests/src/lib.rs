//! Whole-server flows: a real `yizhan` process, spoken to over real sockets by a client that shares no code
//! with it.
//!
//! The binary is `$YIZHAN_BIN`, or `target/debug/yizhan` beside the workspace; `./x test` builds it first.

mod client;
mod server;

pub use client::Client;
pub use server::{Server, binary};

use std::time::{Duration, Instant};

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `ready` gives something.
///
/// # Panics
/// Nothing came within [`PATIENCE`].
pub fn eventually<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < until, "{what} did not happen within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
