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
    // With the time 0: ffmpeg takes a later one for a stream of subtitles.
    message(Kind::Data, 0, stream, &[&wrapper, &flv::metadata(setup)], into);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use yizhan_media::{Codec, Packet, Track, codec};
    use yizhan_talk::Timestamp;

    use super::*;
    use crate::{
        unpack::Unpack,
        wire::{ChunkReader, Limits, message::kind},
    };

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn track(codec: Codec, record: &[u8]) -> Arc<Track> {
        Arc::new(codec::track(codec, record).unwrap())
    }

    fn setup() -> Arc<Setup> {
        let sps = hex("674d4028f403c0227ef01100000303e90000ea601f162ea0");
        let pps = hex("68de0fc8");
        let parts = [&[1, 0x4d, 0x40, 0x28, 0xff, 0xe1, 0, 24][..], &sps, &[1, 0, 4], &pps];
        Arc::new(Setup {
            number: 1,
            epoch: 1,
            video: Some(track(Codec::H264, &parts.concat())),
            audio: Some(track(Codec::Aac, &[0x12, 0x10])),
            metadata: Bytes::new(),
        })
    }

    fn a_frame(setup: Arc<Setup>) -> impl Strategy<Value = Arc<Frame>> {
        let kind = prop_oneof![Just(Kind::Video), Just(Kind::Audio)];
        let millis = prop_oneof![0..100_000_i64, 16_777_000..16_778_000_i64, Just(i64::from(u32::MAX) + 5)];
        (kind, any::<bool>(), millis, 0..500_i32, 1..200_000_usize).prop_map(
            move |(kind, key, millis, cts, bytes)| {
                let is_video = kind == Kind::Video;
                let (key, cts) = if is_video { (key, cts) } else { (true, 0) };
                let nal = [if key { 0x65 } else { 0x41 }];
                let len = (bytes as u32).to_be_bytes();
                let head: &[u8] = if is_video { &[&len[..], &nal].concat() } else { &[0x21] };
                let data = [head, &vec![9; bytes - 1]].concat().into();
                let (dts, at, setup) = (millis * 1000, Timestamp::default(), setup.clone());
                Arc::new(Frame { kind, key, dts, cts: cts * 1000, at, data, setup })
            },
        )
    }

    /// What a publisher would have sent to be heard so.
    fn heard(bytes: &[u8]) -> Vec<Packet> {
        let limits = Limits { media_bytes_max: 1 << 24, other_bytes_max: 1 << 24 };
        let mut reader = ChunkReader::new(limits);
        let size = (OUT_CHUNK_BYTES as u32).to_be_bytes();
        let mut input =
            BytesMut::from(&[&[2, 0, 0, 0, 0, 0, 4, kind::CHUNK_SIZE, 0, 0, 0, 0][..], &size].concat()[..]);
        input.extend_from_slice(bytes);
        let (mut unpack, mut packets) = (Unpack::default(), Vec::new());
        while let Some(message) = reader.next(&mut input).unwrap() {
            assert_eq!(message.stream, STREAM);
            assert!(unpack.message(&message, &mut packets).unwrap());
        }
        assert!(input.is_empty() && !reader.is_within());
        packets
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn what_viewers_get_is_what_was_published(frames in prop::collection::vec(a_frame(setup()), 1..6)) {
            let setup = frames[0].setup.clone();
            let mut bytes = BytesMut::new();
            heads(&setup, 0, Audience::Viewer, &mut bytes);
            let block = Block::new(frames.clone()).unwrap();
            bytes.extend_from_slice(super::block(&block));
            let packets = heard(&bytes);
            prop_assert!(matches!(&packets[0], Packet::Metadata(_)));
            let tracks = packets[1..3].iter().map(|packet| match packet {
                Packet::Track(track) => track.clone(),
                other => panic!("{other:?}"),
            });
            let expected = [setup.video.clone().unwrap(), setup.audio.clone().unwrap()];
            prop_assert_eq!(tracks.collect::<Vec<_>>(), expected);
            prop_assert_eq!(packets.len(), 3 + frames.len());
            for (packet, frame) in packets[3..].iter().zip(&frames) {
                let Packet::Frame { kind, key, dts, cts, data } = packet else { panic!("{packet:?}") };
                prop_assert_eq!((*kind, *key, *cts, data), (frame.kind, frame.key, frame.cts, &frame.data));
                // 32 bits of it are carried.
                prop_assert_eq!((dts / 1000) as u32, frame.dts_millis() as u32);
            }
        }
    }
}
