//! FLV ("Adobe Flash Video File Format Specification" 10.1, Annex E, and "Enhanced RTMP" v2): what RTMP messages carry, and
//! streams of tags over HTTP and WebSocket.
//!
//! [`body`] reads and writes the bodies of tags, which are those of RTMP messages, too. [`Demuxer`] reads streams.
//! H.264, AAC and MP3 go out as all players know them; H.265, AV1 and Opus in the enhanced form.

pub mod body;
mod demux;
mod metadata;

use bytes::{BufMut, Bytes, BytesMut};

pub use self::{
    demux::{Demuxer, FlvError},
    metadata::{METADATA_BYTES_MAX, metadata},
};
use crate::{
    amf::{self, Value},
    block::{Block, Form},
    frame::{Frame, Kind},
    track::Setup,
};

/// Bytes before a tag's body.
const TAG_HEAD_BYTES: usize = 11;
/// Bytes of a tag's body: what its length can say.
const BODY_BYTES_MAX: usize = 0xff_ffff;

/// What a viewer gets first: the head of the file, `onMetaData`, and the configurations.
#[must_use]
pub fn head(setup: &Setup) -> Bytes {
    let mut into = BytesMut::new();
    let tracks = u8::from(setup.audio.is_some()) << 2 | u8::from(setup.video.is_some());
    into.put_slice(b"FLV\x01");
    into.put_u8(tracks);
    // Bytes of this head, and of the tag before the first one.
    into.put_u32(9);
    into.put_u32(0);
    put_headers(setup, 0, &mut into);
    into.freeze()
}

/// What a viewer gets when the setup has changed, before the first frame of the new one: `onMetaData` and the
/// configurations, at the time of that frame.
#[must_use]
pub fn headers(setup: &Setup, dts_millis: i64) -> Bytes {
    let mut into = BytesMut::new();
    put_headers(setup, dts_millis, &mut into);
    into.freeze()
}

/// All frames of a block as tags, made once for all viewers.
#[must_use]
pub fn block(block: &Block) -> Bytes {
    let encode = |block: &Block| {
        let room = block.frames().iter().map(|frame| frame.data.len() + 32).sum();
        let mut into = BytesMut::with_capacity(room);
        for frame in block.frames() {
            put_frame(frame, &mut into);
        }
        into.freeze()
    };
    block.form(Form::Flv, encode).clone()
}

/// What tells a viewer that so many blocks were passed over, since it was too slow: a script tag `onSkip` with `blocks`,
/// which players that do not know it pass over.
#[must_use]
pub fn skipped(blocks: u64) -> Bytes {
    let mut body = BytesMut::new();
    amf::write_str("onSkip", &mut body);
    amf::write(&Value::object([("blocks", Value::Number(blocks as f64))]), &mut body);
    let mut into = BytesMut::new();
    put_tag(Kind::Data, 0, &[&body], &mut into);
    into.freeze()
}

/// Appends a frame as a tag: for recordings, and for what reads FLV from a pipe. A frame of 16 MiB or more has no place
/// in FLV and is left out.
pub fn put_frame(frame: &Frame, into: &mut BytesMut) {
    let prefix = body::prefix(frame);
    if frame.kind == Kind::Data || !prefix.is_empty() {
        put_tag(frame.kind, frame.dts_millis(), &[&prefix, &frame.data], into);
    }
}

/// Appends `onMetaData` and the configurations as tags. What is said of the whole stream has the time 0: ffmpeg takes a
/// later one for a stream of subtitles.
pub fn put_headers(setup: &Setup, dts_millis: i64, into: &mut BytesMut) {
    put_tag(Kind::Data, 0, &[&metadata(setup)], into);
    for track in [&setup.video, &setup.audio].into_iter().flatten() {
        let header = body::sequence_header(track);
        if !header.is_empty() {
            put_tag(track.codec.kind(), dts_millis, &[&header], into);
        }
    }
}

/// Appends a tag with the size that stands behind it (§E.4.1).
fn put_tag(kind: Kind, dts_millis: i64, parts: &[&[u8]], into: &mut BytesMut) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    if len > BODY_BYTES_MAX {
        return;
    }
    into.reserve(TAG_HEAD_BYTES + len + 4);
    into.put_u8(body::tag_type(kind));
    into.put_uint(len as u64, 3);
    // 32 bits of it, the highest eight behind the others: FLV's clock wraps.
    let [high, rest @ ..] = (dts_millis as u32).to_be_bytes();
    into.put_slice(&rest);
    into.put_u8(high);
    // The stream, always 0.
    into.put_uint(0, 3);
    for part in parts {
        into.put_slice(part);
    }
    into.put_u32((TAG_HEAD_BYTES + len) as u32);
}

#[cfg(test)]
mod tests;
