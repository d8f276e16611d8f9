//! Fragmented MP4 as CMAF has it (ISO 14496-12, ISO 23000-19): the head that says how to decode, and fragments.
//!
//! [`init()`] makes `ftyp` and `moov` of a [`Setup`](crate::Setup); [`fragment()`] makes `moof` and `mdat` of samples. Picture is track 1
//! and sound track 2, alone or together, so that one set of frames serves HLS with both in one file, DASH with each of
//! its own, and recordings. [`Index`] is what a recording may end with.

mod entry;
mod fragment;
mod index;
mod init;
mod sample;
mod writer;

pub use fragment::{Run, fragment};
pub use index::Index;
pub use init::{MEHD_BYTES, file_head, init, mehd};
pub use sample::{Sample, Span, Tracks, VIDEO_SCALE, scale};
