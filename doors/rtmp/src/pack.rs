//! What viewers get: frames and heads as messages in chunks, the same bytes for everybody.

use bytes::{Bytes, BytesMut};
use yizhan_media::{Block, Form, Frame, Kind, Setup, amf, flv};

use crate::wire::{Head, OUT_CHUNK_BYTES, chunk::on, message::kind, write_message};

/// The only message stream that there is on a connection.
pub(crate) const STREAM: u32 = 1;
/// Bytes that a frame's heads take about, for making room.
const HEADS_BYTES: usize = 40;

/// Who gets heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A viewer, on [`STREAM`].
    Viewer,
    /// A server that we publish to, on this message stream: `onMetaData` is wrapped for it.
    Server(u32),
}

/// A block's frames on [`STREAM`], made once for all viewers.
pub(crate) fn block(block: &Block) -> &Bytes {
    block.form(Form::Rtmp, |block| {
        let room = block.frames().iter().map(|frame| frame.data.len() + HEADS_BYTES).sum();
        let mut bytes = BytesMut::with_capacity(room);
        for one in block.frames() {
            frame(one, STREAM, &mut bytes);
        }
        bytes.freeze()
    })
}

/// Appends a frame.
pub(crate) fn frame(frame: &Frame, stream: u32, into: &mut BytesMut) {
    let prefix = flv::body::prefix(frame);
    message(frame.kind, frame.dts_millis(), stream, &[&prefix, &frame.data], into);
}

/// What stands before the first frame of a setup: `onMetaData` and the codecs' configurations, at the time of that
/// frame.
pub(crate) fn heads(setup: &Setup, at_millis: i64, to: Audience, into: &mut BytesMut) {
    let mut wrapper = BytesMut::new();
    let stream = match to {
        Audience::Viewer => STREAM,
        Audience::Server(stream) => {
            amf::write_str("@setDataFrame", &mut wrapper);
            stream
        }
    };
    message(Kind::Data, at_millis, stream, &[&wrapper, &flv::metadata(setup)], into);
    for track in [&setup.video, &setup.audio].into_iter().flatten() {
        let header = flv::body::sequence_header(track);
        if !header.is_empty() {
            message(track.codec.kind(), at_millis, stream, &[&header], into);
        }
    }
}

/// Appends a message on the chunk stream that its kind always has.
fn message(of: Kind, at_millis: i64, stream: u32, parts: &[&[u8]], into: &mut BytesMut) {
    let (on, kind) = match of {
        Kind::Video => (on::VIDEO, kind::VIDEO),
        Kind::Audio => (on::AUDIO, kind::AUDIO),
        Kind::Data => (on::DATA, kind::DATA),
    };
    // 32 bits of it: RTMP's clock wraps.
    let head = Head { on, kind, timestamp: at_millis as u32, stream };
    write_message(into, head, parts, OUT_CHUNK_BYTES);
}
