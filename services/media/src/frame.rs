//! One access unit: a picture, a piece of sound, or data beside them.

use std::sync::Arc;

use bytes::Bytes;
use yizhan_talk::Timestamp;

use crate::track::{Setup, Track};

/// What a frame is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Picture.
    Video,
    /// Sound.
    Audio,
    /// Something beside them: the payload of an FLV script tag other than `onMetaData` (AMF0, with its name): cue
    /// points, captions.
    Data,
}

/// A frame of a broadcast. Always shared as `Arc<Frame>`.
#[derive(Debug)]
pub struct Frame {
    /// What it is of.
    pub kind: Kind,
    /// Decoding can begin here. Always for sound and data.
    pub key: bool,
    /// When it is decoded, microseconds on the broadcast's own clock. Never goes back within a track, over publishers
    /// and jumps of theirs, too; the first frame of a broadcast has 0 or a little more.
    pub dts: i64,
    /// How much later it is shown, microseconds. Never negative.
    pub cts: i32,
    /// When the server had it.
    pub at: Timestamp,
    /// H.264, H.265: NAL units, each behind its length of four bytes. AV1: OBUs with sizes, no temporal delimiter. Sound:
    /// one raw frame; MP3: with its header. Data: AMF0.
    pub data: Bytes,
    /// What it is to be decoded with.
    pub setup: Arc<Setup>,
}

impl Frame {
    /// When it is shown, microseconds.
    #[must_use]
    pub fn pts(&self) -> i64 {
        self.dts + i64::from(self.cts)
    }

    /// When it is decoded, milliseconds, as FLV and RTMP count.
    #[must_use]
    pub fn dts_millis(&self) -> i64 {
        self.dts.div_euclid(1000)
    }

    /// Whether a viewer may begin here: a key frame; where there is no picture, any sound.
    #[must_use]
    pub fn joins(&self) -> bool {
        match self.kind {
            Kind::Video => self.key,
            Kind::Audio => self.setup.video.is_none(),
            Kind::Data => false,
        }
    }

    /// Its track, where it has one.
    #[must_use]
    pub fn track(&self) -> Option<&Arc<Track>> {
        match self.kind {
            Kind::Video => self.setup.video.as_ref(),
            Kind::Audio => self.setup.audio.as_ref(),
            Kind::Data => None,
        }
    }
}

/// What a publisher hands over, in its own time.
#[derive(Debug, Clone)]
pub enum Packet {
    /// A track begins, or its configuration is another one from now on.
    Track(Arc<Track>),
    /// The body of an `onMetaData` script tag (AMF0, after the name).
    Metadata(Bytes),
    /// A frame.
    Frame {
        /// What it is of.
        kind: Kind,
        /// Decoding can begin here.
        key: bool,
        /// When it is decoded, microseconds on the publisher's clock.
        dts: i64,
        /// How much later it is shown, microseconds.
        cts: i32,
        /// As in [`Frame::data`].
        data: Bytes,
    },
    /// The publisher says that a track has ended (E-RTMP's sequence end, FLV's end of sequence).
    End(Kind),
}
