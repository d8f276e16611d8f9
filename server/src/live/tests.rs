//! Ladders, recordings, snapshots and relays with the real ffmpeg, which are left out where there is none, and with
//! programs that only pretend to be it.

mod ladders;
mod recordings;
mod relays;
mod support;
