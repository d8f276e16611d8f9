//! Playback over HTTP: HLS, DASH, HTTP-FLV.

pub mod config;
pub mod names;
pub mod playlist;

pub use config::Config;
