//! Frames become parts and segments: what HLS, Low-Latency HLS, DASH and recordings are made of.
//!
//! A [`Packager`] takes frames and gives [`Piece`]s. It has no clock: where it cuts depends on the frames' own times, so
//! two packagers that see the same frames cut at the same places. Bytes are made when somebody first asks for them.

mod cut;
mod lane;
mod packager;
mod piece;
mod run;

pub use cut::Cut;
pub use packager::Packager;
pub use piece::{Head, Part, Piece, Segment};
