//! Live media: broadcasts, who sends them, who watches them.
//!
//! A broadcast is a bounded log of frames with one writer and many readers. A reader holds a position and nothing
//! else; one that falls behind goes on from the newest frame that decoding can begin at. Every container form of the
//! frames is made once and shared by all who read in that form. No I/O, no clock and no task: time comes in as
//! [`Now`](yizhan_talk::Now), and the caller runs [`Media::maintain`].
//!
//! Read in this order: [`name`], [`track`] (codecs and their configuration), [`frame`], [`block`] (frames that go out
//! together), [`broadcast`] (the log), [`feed`] (one reader's place), [`media`] (all broadcasts), [`seat`] (the same as
//! a backend for doors); then the containers: [`codec`], [`flv`], [`cmaf`], [`ts`], and [`segment`], which
//! cuts frames into what HLS and DASH serve.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own"))]

pub mod access;
pub mod amf;
mod announce;
pub mod block;
pub mod broadcast;
pub mod chat;
pub mod cmaf;
pub mod codec;
pub mod config;
pub mod events;
pub mod feed;
pub mod flv;
pub mod frame;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub mod fuzz;
pub mod media;
mod mend;
pub mod name;
pub mod porter;
mod rates;
pub mod refused;
pub mod seat;
pub mod segment;
pub mod service;
pub mod totals;
pub mod track;
pub mod ts;
pub mod view;
pub mod viewer;

pub use block::{Block, Form};
pub use broadcast::{Broadcast, State};
pub use config::Config;
pub use events::{Event, What};
pub use feed::{Fed, Feed};
pub use frame::{Frame, Kind, Packet};
pub use media::{Media, Publisher};
pub use name::{BadName, Name};
pub use porter::{Creds, Gone, Pass, Porter, Wish};
pub use refused::{PushError, Refused};
pub use seat::Seat;
pub use totals::Totals;
pub use track::{Codec, Detail, Setup, Track};
pub use view::View;
pub use viewer::{Party, Viewer, ViewerView};
