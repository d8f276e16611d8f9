//! Playback over HTTP: HLS, DASH, HTTP-FLV.

pub mod config;
pub mod mpd;
pub mod names;
pub mod playlist;
pub mod shelf;

pub use config::Config;
