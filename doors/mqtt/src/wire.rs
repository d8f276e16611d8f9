//! MQTT control packets, version 3.1.1 and 5.0, without I/O: bytes to [`packet`]s and back.
//!
//! [`decode()`] looks at the front of what was read and gives one [`Packet`] that borrows from it; the caller
//! drops that many bytes when it is done with it. [`encode()`] writes any packet. What goes to many receivers
//! is written once by [`form`] and patched for each. The version is a value, never a type.

pub mod decode;
pub mod encode;
pub mod form;
pub mod packet;
pub mod properties;
pub mod reason;
#[cfg(test)]
mod tests;

pub use decode::{decode, split_payload};
pub use encode::{EncodeError, encode};
pub use packet::{Kind, Packet, PacketId};
pub use reason::Reason;
pub use yizhan_hub::Qos;

/// Bytes of a packet at most, by the standard: the largest remaining length and its fixed header
/// (MQTT 5 §1.5.5).
pub const PACKET_BYTES_MAX: usize = 268_435_455 + 5;

/// Which MQTT is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// 3.1.1.
    V4,
    /// 5.0.
    V5,
}

impl Version {
    /// The protocol level in CONNECT (MQTT 5 §3.1.2.2).
    #[must_use]
    pub const fn level(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V5 => 5,
        }
    }

    /// As people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "3.1.1",
            Self::V5 => "5.0",
        }
    }
}

/// What a peer may send us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole packet, its fixed header counted (MQTT 5 §3.1.2.11.4). A larger one is refused as soon
    /// as its fixed header is there.
    pub packet_bytes_max: usize,
    /// User properties in one packet; also subscription identifiers in one PUBLISH.
    pub user_properties_max: usize,
    /// Filters in one SUBSCRIBE or UNSUBSCRIBE.
    pub filters_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { packet_bytes_max: 1024 * 1024, user_properties_max: 64, filters_max: 1024 }
    }
}

/// A packet that the standard does not allow, or that passes a limit of ours. The connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct WireError {
    /// What a CONNACK or DISCONNECT says about it, in MQTT 5.
    pub reason: Reason,
    /// What is wrong, with the standard's number for the rule: fit for a reason string.
    pub text: &'static str,
    /// For a CONNECT that got as far as its protocol level: the version in which to answer.
    pub version: Option<Version>,
}

impl WireError {
    /// It cannot be parsed (MQTT 5 §4.13.1).
    #[must_use]
    pub const fn malformed(text: &'static str) -> Self {
        Self::new(Reason::MalformedPacket, text)
    }

    /// It can be parsed and says what is not allowed (MQTT 5 §4.13.1).
    #[must_use]
    pub const fn protocol(text: &'static str) -> Self {
        Self::new(Reason::ProtocolError, text)
    }

    /// With a reason of its own.
    #[must_use]
    pub const fn new(reason: Reason, text: &'static str) -> Self {
        Self { reason, text, version: None }
    }
}

impl From<yizhan_wire::ReadError> for WireError {
    fn from(error: yizhan_wire::ReadError) -> Self {
        use yizhan_wire::ReadError;
        Self::malformed(match error {
            ReadError::TooShort => "the packet ends before its last field does",
            ReadError::BadVarint => "a variable byte integer is malformed (MQTT-1.5.5-1)",
            ReadError::TooLong { .. } => "a length is over its bound",
            ReadError::BadUtf8 => "a string is not UTF-8 (MQTT-1.5.4-1)",
            ReadError::TooManyBytes => "there are bytes behind the last field",
        })
    }
}
