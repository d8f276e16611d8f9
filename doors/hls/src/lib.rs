//! The door of broadcasts over HTTP: HLS as CMAF and as MPEG-TS, Low-Latency HLS, MPEG-DASH, HTTP-FLV, FLV over
//! WebSocket, recordings and snapshots.
//!
//! A broadcast is made into segments once, by one packager, when somebody first asks; all forms of a segment are made of
//! the same frames, and every text and every piece is one buffer that all viewers share.
//!
//! Read in this order: [`names`] (what things are called), [`playlist`] and [`mpd`] (plain facts in, text out),
//! [`respond`] and [`range`] (how bytes are answered with), `stage` (one broadcast in segments, and those who wait),
//! `packager` (the task), `sessions` and `admit` (who watches), `playlists`, `segments`, `flv`, `socket`, `record` (the
//! requests), [`door`].

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own"))]

mod admit;
pub mod config;
pub mod door;
mod flv;
pub mod mpd;
pub mod names;
mod packager;
pub mod playlist;
mod playlists;
pub mod range;
mod record;
pub mod respond;
mod segments;
mod sessions;
pub mod shelf;
mod socket;
mod stage;

pub use config::Config;
pub use door::{Figures, Hls, Materials};
