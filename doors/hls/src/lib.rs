//! Playback over HTTP: HLS, DASH, HTTP-FLV.

pub mod config;
pub mod mpd;
pub mod names;
pub mod playlist;
pub mod range;
pub mod respond;
pub mod shelf;
mod stage;

pub use config::Config;
