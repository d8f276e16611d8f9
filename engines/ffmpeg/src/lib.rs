//! ffmpeg as a child process: it is found once, its arguments are made by pure functions, and each child is fed,
//! read, watched and surely ended.
//!
//! - **Nothing of a child outlives its owner.** Dropping a [`Child`] kills its process group; the runtime reaps it. A
//!   child whose server was killed ends by itself, because its pipes do.
//! - **A child never makes the feeder wait for long.** Writing to it is awaited by the task that feeds it; that task
//!   reads from a bounded ring and skips there (the live ladder does), so there is no queue here.
//! - **What it says is kept for the log**, the last lines only, without what is secret in addresses.
//!
//! Read in this order: `args` (what it is told), `program` (which ffmpeg, what it can), `tail` (what it says), `child`
//! (one process), `back_off` (when to try again), `pace` (whether it keeps up).

pub mod args;
mod back_off;
mod child;
mod pace;
mod program;
mod tail;

pub use back_off::BackOff;
pub use child::{Child, Exit, Job};
pub use pace::Pace;
pub use program::{Config, Ffmpeg, NotUsable, StartError};
pub use tail::{Progress, mask};
