//! Messages: what chunks are pieces of.

use bytes::{BufMut, Bytes, BytesMut};
use yizhan_wire::Reader;

/// Kinds of messages (RTMP 1.0 §5.4, §7.1).
pub mod kind {
    /// Set Chunk Size.
    pub const CHUNK_SIZE: u8 = 1;
    /// Abort Message.
    pub const ABORT: u8 = 2;
    /// Acknowledgement.
    pub const ACK: u8 = 3;
    /// User Control.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size.
    pub const WINDOW: u8 = 5;
    /// Set Peer Bandwidth.
    pub const PEER_BANDWIDTH: u8 = 6;
    /// Sound: an FLV tag's body.
    pub const AUDIO: u8 = 8;
    /// Picture: an FLV tag's body.
    pub const VIDEO: u8 = 9;
    /// Data in AMF3: a byte that says how, and mostly AMF0 behind it.
    pub const DATA_AMF3: u8 = 15;
    /// A command in AMF3: a byte that says how, and mostly AMF0 behind it.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data in AMF0.
    pub const DATA: u8 = 18;
    /// A command in AMF0.
    pub const COMMAND: u8 = 20;
    /// Several messages in one.
    pub const AGGREGATE: u8 = 22;
}

/// Events of User Control messages (RTMP 1.0 §7.1.7).
mod event {
    pub(super) const STREAM_BEGIN: u16 = 0;
    pub(super) const STREAM_EOF: u16 = 1;
    pub(super) const BUFFER_LENGTH: u16 = 3;
    pub(super) const PING: u16 = 6;
    pub(super) const PONG: u16 = 7;
}

/// A message that has come whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// See [`kind`].
    pub kind: u8,
    /// Milliseconds on the sender's clock, 32 bits of them.
    pub timestamp: u32,
    /// The message stream.
    pub stream: u32,
    /// What it says.
    pub body: Bytes,
}

/// A protocol control message that is not about chunks (RTMP 1.0 §5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// So many bytes have come, 32 bits of them (§5.4.3).
    Ack(u32),
    /// Who hears this acknowledges each time that so many bytes have come (§5.4.4).
    Window(u32),
    /// Who hears this has no more than so many bytes under way that were not acknowledged (§5.4.5).
    PeerBandwidth {
        /// Bytes.
        window: u32,
        /// Which of an old and a new window counts.
        limit: Limit,
    },
    /// User Control (§5.4.6 calls it so, §6.2 and §7.1.7 have its events).
    User(UserControl),
}

/// Which of an old and a new window counts (RTMP 1.0 §5.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The new one.
    Hard,
    /// The smaller one.
    Soft,
    /// The new one if the last limit was hard, else this message says nothing.
    Dynamic,
}

/// An event of a User Control message (RTMP 1.0 §7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserControl {
    /// A message stream can be used.
    StreamBegin(u32),
    /// Playing on a message stream is over.
    StreamEof(u32),
    /// How much the client buffers, milliseconds.
    BufferLength {
        /// The message stream.
        stream: u32,
        /// Milliseconds.
        millis: u32,
    },
    /// Is somebody there? The server's time, milliseconds.
    Ping(u32),
    /// The answer, with the same time.
    Pong(u32),
    /// Something else: nothing follows from it.
    Other(u16),
}

impl Control {
    /// Reads a protocol control message; `None` where it is of another kind, or too short to say anything.
    #[must_use]
    pub fn read(message: &Message) -> Option<Self> {
        let mut body = Reader::new(&message.body);
        Some(match message.kind {
            kind::ACK => Self::Ack(body.u32_be().ok()?),
            kind::WINDOW => Self::Window(body.u32_be().ok()?),
            kind::PEER_BANDWIDTH => {
                let window = body.u32_be().ok()?;
                let limit = match body.u8() {
                    Ok(0) => Limit::Hard,
                    Ok(1) => Limit::Soft,
                    _ => Limit::Dynamic,
                };
                Self::PeerBandwidth { window, limit }
            }
            kind::USER_CONTROL => Self::User(UserControl::read(&mut body)?),
            _ => return None,
        })
    }

    /// The kind of its message.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Ack(_) => kind::ACK,
            Self::Window(_) => kind::WINDOW,
            Self::PeerBandwidth { .. } => kind::PEER_BANDWIDTH,
            Self::User(_) => kind::USER_CONTROL,
        }
    }

    /// Appends its message's body.
    pub fn write(&self, into: &mut BytesMut) {
        match *self {
            Self::Ack(bytes) | Self::Window(bytes) => into.put_u32(bytes),
            Self::PeerBandwidth { window, limit } => {
                into.put_u32(window);
                into.put_u8(limit as u8);
            }
            Self::User(event) => event.write(into),
        }
    }
}

impl UserControl {
    fn read(body: &mut Reader<'_>) -> Option<Self> {
        let event = body.u16_be().ok()?;
        Some(match event {
            event::STREAM_BEGIN => Self::StreamBegin(body.u32_be().ok()?),
            event::STREAM_EOF => Self::StreamEof(body.u32_be().ok()?),
            event::BUFFER_LENGTH => {
                Self::BufferLength { stream: body.u32_be().ok()?, millis: body.u32_be().ok()? }
            }
            event::PING => Self::Ping(body.u32_be().ok()?),
            event::PONG => Self::Pong(body.u32_be().ok()?),
            other => Self::Other(other),
        })
    }

    fn write(self, into: &mut BytesMut) {
        let (event, value) = match self {
            Self::StreamBegin(stream) => (event::STREAM_BEGIN, stream),
            Self::StreamEof(stream) => (event::STREAM_EOF, stream),
            Self::BufferLength { stream, .. } => (event::BUFFER_LENGTH, stream),
            Self::Ping(time) => (event::PING, time),
            Self::Pong(time) => (event::PONG, time),
            Self::Other(event) => return into.put_u16(event),
        };
        into.put_u16(event);
        into.put_u32(value);
        if let Self::BufferLength { millis, .. } = self {
            into.put_u32(millis);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_messages_are_read_as_they_were_written() {
        for control in [
            Control::Ack(7),
            Control::Window(2_500_000),
            Control::PeerBandwidth { window: 1, limit: Limit::Hard },
            Control::PeerBandwidth { window: u32::MAX, limit: Limit::Soft },
            Control::PeerBandwidth { window: 0, limit: Limit::Dynamic },
            Control::User(UserControl::StreamBegin(1)),
            Control::User(UserControl::StreamEof(2)),
            Control::User(UserControl::BufferLength { stream: 1, millis: 3000 }),
            Control::User(UserControl::Ping(5)),
            Control::User(UserControl::Pong(6)),
            Control::User(UserControl::Other(31)),
        ] {
            let mut body = BytesMut::new();
            control.write(&mut body);
            let whole = body.freeze();
            for cut in 0..whole.len() {
                let message =
                    Message { kind: control.kind(), timestamp: 0, stream: 0, body: whole.slice(..cut) };
                // Short ones say nothing, or are of a form without the last field.
                let _short = Control::read(&message);
            }
            let message = Message { kind: control.kind(), timestamp: 0, stream: 0, body: whole };
            assert_eq!(Control::read(&message), Some(control));
        }
    }

    #[test]
    fn other_messages_are_no_control() {
        let message =
            Message { kind: kind::AUDIO, timestamp: 0, stream: 1, body: Bytes::from_static(&[0; 8]) };
        assert_eq!(Control::read(&message), None);
    }
}
