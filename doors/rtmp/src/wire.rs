//! Bytes of RTMP: the handshake, chunks, and the messages that chunks are pieces of ("RTMP 1.0" is Adobe's "Real-Time
//! Messaging Protocol (RTMP) specification 1.0", 2012).
//!
//! Read in this order: [`handshake`], [`message`] (what there is to say), [`chunk`] (how chunks look), [`reader`]
//! (chunks become messages), [`writer`] (messages become chunks), [`aggregate`], [`command`], [`clock`].

pub mod aggregate;
pub mod chunk;
pub mod clock;
pub mod command;
pub mod handshake;
pub mod message;
pub mod reader;
pub mod writer;

pub use chunk::{CHUNK_BYTES, OUT_CHUNK_BYTES};
pub use clock::Clock;
pub use command::Command;
pub use message::{Control, Message, UserControl};
pub use reader::{ChunkError, ChunkReader, Limits};
pub use writer::{Head, write_message};
