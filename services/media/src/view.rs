//! Broadcasts as operators see them.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use serde::Serialize;

use crate::{
    broadcast::{Broadcast, State},
    rates::Shown,
    track::{Detail, Track},
    viewer::Party,
};

/// What a view is made of, at one moment.
pub(crate) struct Sight {
    pub(crate) shown: Shown,
    pub(crate) party: Party,
    pub(crate) jumps: u64,
    pub(crate) title: Option<Arc<str>>,
    pub(crate) gop_millis: u64,
    pub(crate) in_bytes: u64,
    pub(crate) in_frames: u64,
    pub(crate) dropped: u64,
    pub(crate) out_bytes: u64,
    pub(crate) skipped: u64,
}

impl Broadcast {
    /// As operators see it.
    #[must_use]
    pub fn view(&self) -> View {
        let sight = self.sight();
        let viewers = self.viewers_by_door();
        let setup = self.setup();
        let name = self.name();
        View {
            app: name.app.clone(),
            name: name.name.clone(),
            id: self.id(),
            state: self.state(),
            title: sight.title,
            since: self.began().as_millis(),
            video: setup.video.as_deref().map(VideoView::of),
            audio: setup.audio.as_deref().map(AudioView::of),
            setup: setup.number,
            epoch: setup.epoch,
            fps: sight.shown.fps,
            bits_per_second: sight.shown.bits,
            gop_millis: sight.gop_millis,
            in_bytes: sight.in_bytes,
            in_frames: sight.in_frames,
            dropped_frames: sight.dropped,
            out_bytes: sight.out_bytes,
            skipped_blocks: sight.skipped,
            clock_jumps: sight.jumps,
            viewer_count: viewers.values().sum(),
            viewers,
            publisher: PublisherView {
                door: sight.party.door,
                address: sight.party.address,
                user: sight.party.user,
                client: sight.party.client,
            },
        }
    }
}

/// A broadcast, as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// The app.
    pub app: Arc<str>,
    /// The name; with `~rung` behind it for a rung.
    pub name: Arc<str>,
    /// Its number.
    pub id: u64,
    /// What has become of it.
    pub state: State,
    /// What the publisher calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Arc<str>>,
    /// When it went on air, milliseconds since 1970.
    pub since: u64,
    /// The picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoView>,
    /// The sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioView>,
    /// How often what it is encoded with has changed, from 1.
    pub setup: u32,
    /// How many publishers it has had, from 1.
    pub epoch: u32,
    /// Pictures a second that come in.
    pub fps: f32,
    /// Bits a second that come in.
    pub bits_per_second: u64,
    /// From the last key frame but one to the last, milliseconds.
    pub gop_millis: u64,
    /// Bytes of frames that came in.
    pub in_bytes: u64,
    /// Frames that came in.
    pub in_frames: u64,
    /// Frames that were dropped: before a track's configuration or its first key frame.
    pub dropped_frames: u64,
    /// Bytes that viewers were given.
    pub out_bytes: u64,
    /// Blocks that slow viewers were not given.
    pub skipped_blocks: u64,
    /// How often the publisher's clock has jumped.
    pub clock_jumps: u64,
    /// Viewers, all doors together.
    pub viewer_count: usize,
    /// Viewers by door.
    pub viewers: BTreeMap<&'static str, usize>,
    /// Who publishes it.
    pub publisher: PublisherView,
}

/// The picture of a [`View`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VideoView {
    /// As people write it.
    pub codec: &'static str,
    /// RFC 6381.
    pub codecs: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl VideoView {
    fn of(track: &Track) -> Self {
        let (width, height) = match track.detail {
            Detail::Video { width, height, .. } => (width, height),
            Detail::Audio { .. } => (0, 0),
        };
        Self { codec: track.codec.name(), codecs: track.rfc6381.clone(), width, height }
    }
}

/// The sound of a [`View`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AudioView {
    /// As people write it.
    pub codec: &'static str,
    /// RFC 6381.
    pub codecs: String,
    /// Samples a second.
    pub rate: u32,
    /// Channels.
    pub channels: u8,
}

impl AudioView {
    fn of(track: &Track) -> Self {
        let (rate, channels) = match track.detail {
            Detail::Audio { rate, channels, .. } => (rate, channels),
            Detail::Video { .. } => (0, 0),
        };
        Self { codec: track.codec.name(), codecs: track.rfc6381.clone(), rate, channels }
    }
}

/// The publisher of a [`View`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublisherView {
    /// By what.
    pub door: &'static str,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Who, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<str>>,
    /// What it says it is.
    pub client: Arc<str>,
}
