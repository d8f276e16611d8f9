//! Frames that go out together, and their container forms.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{frame::Frame, track::Setup};

/// A form that a block has in a protocol, made once for all viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// FLV tags: HTTP-FLV and WebSocket-FLV.
    Flv,
    /// RTMP messages in chunks of the size that we send with.
    Rtmp,
}

/// How many forms there are.
const FORMS: usize = 2;

/// A few frames that go out together: what a broadcast gathered within its `merge_for`. All have the same setup, and
/// one that a viewer may begin at stands first or not at all. Always shared as `Arc<Block>`.
#[derive(Debug)]
pub struct Block {
    frames: Box<[Arc<Frame>]>,
    weight: usize,
    forms: [OnceLock<Bytes>; FORMS],
}

impl Block {
    /// A block of at least one frame; `None` of none.
    #[must_use]
    pub fn new(frames: Vec<Arc<Frame>>) -> Option<Self> {
        if frames.is_empty() {
            return None;
        }
        let weight = frames.iter().map(|frame| frame.data.len() + 128).sum();
        Some(Self { frames: frames.into(), weight, forms: Default::default() })
    }

    /// The frames, in order.
    #[must_use]
    pub fn frames(&self) -> &[Arc<Frame>] {
        &self.frames
    }

    /// The setup of all its frames.
    #[must_use]
    pub fn setup(&self) -> &Arc<Setup> {
        &self.frames[0].setup
    }

    /// Whether a viewer may begin here.
    #[must_use]
    pub fn joins(&self) -> bool {
        self.frames[0].joins()
    }

    /// When its first frame is decoded, microseconds on the broadcast's clock.
    #[must_use]
    pub fn dts(&self) -> i64 {
        self.frames[0].dts
    }

    /// Roughly what it holds in memory without its forms, bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// This block in the given form: encoded by the first who asks, remembered for all others.
    pub fn form(&self, form: Form, encode: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.forms[form as usize].get_or_init(|| encode(self))
    }
}
