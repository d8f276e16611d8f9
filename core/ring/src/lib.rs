//! A bounded log in memory.
//!
//! Items lie at dense positions, the newest ones stay, and whoever reads holds a position. [`Log`] is the
//! log itself, for one owner. [`Ring`] shares one between a writer and many readers: a push never waits for
//! a reader, and a reader that fell behind is told how many items it lost.
//!
//! The memory journal stands on [`Log`]; media frames and game ticks travel over [`Ring`].
//!
//! The interleavings of `Ring` are tested with loom:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test -p yizhan-ring --release --lib --target-dir target/loom
//! ```

mod log;
mod ring;
mod waiters;

pub use log::{Limits, Log};
pub use ring::{Closed, Reader, Ring, Took};

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod model_tests;
