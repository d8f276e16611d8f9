//! How chunks look (RTMP 1.0 §5.3).

/// Bytes of a chunk's payload until the sender says otherwise (RTMP 1.0 §5.4.1).
pub const CHUNK_BYTES: usize = 128;
/// Bytes of a chunk's payload in what we send. Large, so that few heads are written; small enough that sound waits for
/// no more than this behind a picture.
pub const OUT_CHUNK_BYTES: usize = 64 * 1024;
/// The largest length that a message's head can say, and so the largest chunk that makes sense (RTMP 1.0 §5.4.1).
pub const MESSAGE_BYTES_LIMIT: usize = 0xff_ffff;
/// The value of the three bytes of a timestamp that says: four more bytes have it (RTMP 1.0 §5.3.1.3).
pub const EXTENDED: u32 = 0xff_ffff;
/// Bytes that a chunk's head has at most: three for the chunk stream, eleven for the message, four for the time.
pub const HEAD_BYTES_MAX: usize = 18;

/// Chunk streams that we send on: fixed, so that what all viewers get is the same.
pub mod on {
    /// Protocol control (RTMP 1.0 §5.4 wants 2).
    pub const CONTROL: u8 = 2;
    /// Commands.
    pub const COMMAND: u8 = 3;
    /// Sound.
    pub const AUDIO: u8 = 4;
    /// Data messages.
    pub const DATA: u8 = 5;
    /// Picture.
    pub const VIDEO: u8 = 6;
}
