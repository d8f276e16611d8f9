//! The door on a real port, with frames that ffmpeg made: what players and caches ask for.
//!
//! Where there is no ffmpeg with the encoders it takes, these tests say so and test nothing.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod flv;
mod lasting;
mod playing;
mod records;
mod viewers;
mod world;
