//! Reading and writing bytes: the tools every codec here is made of.
//!
//! A [`Reader`] never reads past its end, never panics and never allocates by a length that the bytes
//! claim: what it gives are slices of what is there. A [`Writer`] refuses what the other side's bounds
//! would refuse. [`varint`] has the two kinds of numbers of variable length that protocols use.

pub mod reader;
pub mod varint;
pub mod writer;

pub use reader::{ReadError, Reader};
pub use writer::{WriteError, Writer};
