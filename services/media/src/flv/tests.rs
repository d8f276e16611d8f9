//! Bodies and streams, byte by byte, and those of ffmpeg.

use std::sync::Arc;

use proptest::prelude::*;
use yizhan_talk::Timestamp;

use super::*;
use crate::{
    amf::{self, Value},
    codec::{self, tests::hex},
    flv::body::{BodyError, Reader, prefix, sequence_header, tag_type},
    frame::Packet,
    track::{Codec, Detail, Track},
};

const AVC: &str =
    "0164000dffe1001a6764000dacd941519e226c0440000003004000000c83c50a658001000468ef8fcbfdf8f800";
const HEVC: &str = "0101600000009000000000003cf000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003003c959409210001002c42010101600000030090000003000003003ca00a880c1c44d965654a4c2f016808000003000800000300c84022000100064401c073c189";
const AV1: &str = "81000c000a0b0200000521e836a017c002";
const OPUS: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
/// A frame of MP3: 44,100 Hz, 64 kbit/s, 208 bytes.
const MP3_HEAD: [u8; 4] = [0xff, 0xfb, 0x50, 0xc4];

fn track(codec: Codec) -> Arc<Track> {
    let record = match codec {
        Codec::H264 => hex(AVC),
        Codec::H265 => hex(HEVC),
        Codec::Av1 => hex(AV1),
        Codec::Aac => vec![0x12, 0x10],
        Codec::Opus => OPUS.to_vec(),
        Codec::Mp3 => MP3_HEAD.to_vec(),
    };
    Arc::new(codec::track(codec, &record).unwrap())
}

/// Data of a key frame, or of another one.
fn data(codec: Codec, key: bool) -> Bytes {
    let unit = |head: &[u8]| codec::nal::join([[head, &[0x88, 0x84, 0x21]].concat().as_slice()]);
    match (codec, key) {
        (Codec::H264, true) => unit(&[0x65]),
        (Codec::H264, false) => unit(&[0x41]),
        (Codec::H265, true) => unit(&[38, 1]),
        (Codec::H265, false) => unit(&[2, 1]),
        (Codec::Av1, true) => vec![0x32, 3, 0x10, 0, 0].into(),
        (Codec::Av1, false) => vec![0x32, 3, 0x30, 0, 0].into(),
        (Codec::Mp3, _) => [&MP3_HEAD[..], &[7; 204]].concat().into(),
        (Codec::Aac | Codec::Opus, _) => vec![0x21, 0x10, 0x05].into(),
    }
}

fn setup(tracks: &[Codec], metadata: Bytes) -> Arc<Setup> {
    let of = |kind| tracks.iter().find(|codec| codec.kind() == kind).map(|codec| track(*codec));
    Arc::new(Setup { number: 1, epoch: 1, video: of(Kind::Video), audio: of(Kind::Audio), metadata })
}

fn frame(setup: &Arc<Setup>, codec: Codec, key: bool, dts: i64, cts: i32) -> Arc<Frame> {
    let at = Timestamp::from_millis(1);
    let data = data(codec, key);
    Arc::new(Frame { kind: codec.kind(), key, dts, cts, at, data, setup: setup.clone() })
}

fn read(kind: Kind, reader: &mut Reader, body: impl Into<Bytes>) -> Result<Vec<Packet>, BodyError> {
    let mut packets = Vec::new();
    let read = match kind {
        Kind::Video => Reader::video,
        Kind::Audio => Reader::audio,
        Kind::Data => Reader::script,
    };
    read(reader, 1_000_000, body.into(), &mut packets).map(|()| packets)
}

/// A packet in a form that can be compared.
fn told(packet: &Packet) -> String {
    match packet {
        Packet::Track(track) => format!("track {}", track.rfc6381),
        Packet::Metadata(body) => format!("metadata of {}", body.len()),
        Packet::End(kind) => format!("end of {kind:?}"),
        Packet::Frame { kind, key, dts, cts, data } => {
            format!("{kind:?} {} {dts}+{cts} of {}", if *key { "key" } else { "-" }, data.len())
        }
    }
}

fn tell(packets: Result<Vec<Packet>, BodyError>) -> Vec<String> {
    packets.unwrap().iter().map(told).collect()
}

const CODECS: [Codec; 6] = [Codec::H264, Codec::H265, Codec::Av1, Codec::Aac, Codec::Opus, Codec::Mp3];

#[test]
fn every_codec_goes_out_and_comes_in_as_the_same() {
    for codec in CODECS {
        let setup = setup(&[codec], Bytes::new());
        let mut reader = Reader::default();
        let header = sequence_header(&track(codec));
        if codec != Codec::Mp3 {
            assert_eq!(read(codec.kind(), &mut reader, header.clone()).unwrap().len(), 1);
            // Encoders repeat it: that is no change.
            assert!(read(codec.kind(), &mut reader, header).unwrap().is_empty());
        }
        for (key, cts) in [(true, 0), (true, 80_000), (false, 40_000)] {
            let frame = frame(&setup, codec, key, 1_000_000, cts);
            let body = [&prefix(&frame)[..], &frame.data].concat();
            let mut packets = read(codec.kind(), &mut reader, body).unwrap();
            let Some(Packet::Frame { kind, key: is_key, dts, cts: later, data }) = packets.pop() else {
                panic!("{codec:?} comes in");
            };
            assert_eq!((kind, dts, &data), (codec.kind(), 1_000_000, &frame.data), "{codec:?}");
            assert_eq!(is_key, key || kind == Kind::Audio, "{codec:?}");
            let has_cts = matches!(codec, Codec::H264 | Codec::H265);
            assert_eq!(later, if has_cts { cts } else { 0 }, "{codec:?}");
        }
    }
}

#[test]
fn old_codecs_have_the_heads_that_all_players_know() {
    let all = setup(&[Codec::H264, Codec::Aac], Bytes::new());
    assert_eq!(prefix(&frame(&all, Codec::H264, true, 0, 80_000))[..], [0x17, 1, 0, 0, 80]);
    assert_eq!(prefix(&frame(&all, Codec::H264, false, 0, 0))[..], [0x27, 1, 0, 0, 0]);
    assert_eq!(prefix(&frame(&all, Codec::Aac, true, 0, 0))[..], [0xaf, 1]);
    assert_eq!(sequence_header(&track(Codec::Aac))[..], [0xaf, 0, 0x12, 0x10]);
    assert_eq!(sequence_header(&track(Codec::H264))[..6], [0x17, 0, 0, 0, 0, 1]);
    let all = setup(&[Codec::H265, Codec::Mp3], Bytes::new());
    assert_eq!(prefix(&frame(&all, Codec::H265, true, 0, 0))[..], *b"\x93hvc1");
    assert_eq!(prefix(&frame(&all, Codec::H265, false, 0, 1000))[..], *b"\xa1hvc1\0\0\x01");
    assert_eq!(prefix(&frame(&all, Codec::Mp3, true, 0, 0))[..], [0x2e]);
    assert!(sequence_header(&track(Codec::Mp3)).is_empty());
    let all = setup(&[Codec::Av1, Codec::Opus], Bytes::new());
    assert_eq!(prefix(&frame(&all, Codec::Av1, true, 0, 0))[..], *b"\x91av01");
    assert_eq!(prefix(&frame(&all, Codec::Opus, true, 0, 0))[..], *b"\x91Opus");
    assert_eq!(sequence_header(&track(Codec::Opus))[..5], *b"\x90Opus");
    // Rounding: 33.333 ms and 66.667 ms are 33 and 66, and the difference is of these.
    let h264 = setup(&[Codec::H264], Bytes::new());
    assert_eq!(prefix(&frame(&h264, Codec::H264, false, 33_333, 33_334))[4], 33);
}

#[test]
fn hevc_comes_in_with_the_old_number_and_odd_lengths_are_put_right() {
    let mut reader = Reader::default();
    let header = [&[0x1c, 0, 0, 0, 0][..], &hex(HEVC)].concat();
    assert_eq!(tell(read(Kind::Video, &mut reader, header)), ["track hvc1.1.6.L60.90"]);
    let body = [&[0x1c, 1, 0xff, 0xff, 0xd8][..], &data(Codec::H265, true)].concat();
    assert_eq!(tell(read(Kind::Video, &mut reader, body)), ["Video key 1000000+-40000 of 9"]);
    // Lengths of two bytes, as the record says.
    let mut record = hex(AVC);
    record[4] = 0xfd;
    let mut reader = Reader::default();
    let header = [&[0x17, 0, 0, 0, 0][..], &record].concat();
    assert_eq!(read(Kind::Video, &mut reader, header).unwrap().len(), 1);
    let body = [0x27, 1, 0, 0, 0, 0, 2, 0x41, 0x9a, 0, 1, 0x41];
    assert_eq!(tell(read(Kind::Video, &mut reader, body.to_vec())), ["Video - 1000000+0 of 11"]);
    // Start codes where there should be lengths.
    let mut reader = Reader::default();
    read(Kind::Video, &mut reader, sequence_header(&track(Codec::H264))).unwrap();
    let body = [0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65, 0x88, 0x84, 0x21];
    assert_eq!(tell(read(Kind::Video, &mut reader, body.to_vec())), ["Video key 1000000+0 of 8"]);
}

#[test]
fn parameter_sets_in_a_key_frame_make_another_track() {
    let mut reader = Reader::default();
    read(Kind::Video, &mut reader, sequence_header(&track(Codec::H264))).unwrap();
    let frame = |sets: &[&[u8]]| {
        let units: Vec<&[u8]> = sets.iter().copied().chain([&[0x65, 0x88][..]]).collect();
        [&[0x17, 1, 0, 0, 0][..], &codec::nal::join(units)].concat()
    };
    let same = codec::parameter_sets(&track(Codec::H264));
    assert_eq!(read(Kind::Video, &mut reader, frame(&[&same[0], &same[1]])).unwrap().len(), 1);
    let sps = hex("674d4028f403c0227ef01100000303e90000ea601f162ea0");
    let packets = read(Kind::Video, &mut reader, frame(&[&sps, &hex("68de0fc8")])).unwrap();
    let Packet::Track(track) = &packets[0] else { panic!("it is another track") };
    assert!(matches!(track.detail, Detail::Video { width: 1920, height: 1080, .. }));
    assert_eq!(read(Kind::Video, &mut reader, frame(&[&sps])).unwrap().len(), 1);
    // Sets that cannot be read change nothing.
    assert_eq!(read(Kind::Video, &mut reader, frame(&[&[0x67, 1, 2]])).unwrap().len(), 1);
}

#[test]
fn av1_without_a_sequence_header_waits_for_the_first_key_frame() {
    let mut reader = Reader::default();
    assert!(read(Kind::Video, &mut reader, &b"\x90av01"[..]).unwrap().is_empty());
    let other = [&b"\xa1av01"[..], &data(Codec::Av1, false)].concat();
    assert_eq!(read(Kind::Video, &mut reader, other).unwrap_err(), BodyError::NotConfigured(Codec::Av1));
    let key = [&b"\x91av01"[..], &[0x12, 0], &hex(AV1)[4..], &[0x30, 0x10, 0, 0]].concat();
    let told = ["track av01.0.00M.08", "Video key 1000000+0 of 18"];
    assert_eq!(tell(read(Kind::Video, &mut reader, key.clone())), told);
    assert_eq!(tell(read(Kind::Video, &mut reader, key)), told[1..]);
}

#[test]
fn several_tracks_and_modifiers_are_read() {
    let mut reader = Reader::default();
    // Nanoseconds twice, once behind a length of two bytes; other modifiers are passed over.
    let header = sequence_header(&track(Codec::H265));
    read(Kind::Video, &mut reader, header.clone()).unwrap();
    let frame = data(Codec::H265, true);
    let mut body = vec![0x97, 2, 0x01, 0x86, 0xa0, 0x07];
    body.extend_from_slice(&[255, 0, 2, 0x0f, 0x42, 0x40, 0x07, 0, 9, 0x13]);
    body.extend_from_slice(b"hvc1");
    body.extend_from_slice(&frame);
    assert_eq!(tell(read(Kind::Video, &mut reader, body)), ["Video key 1001100+0 of 9"]);
    // Many tracks of one codec: the first is taken, the other counted.
    let mut body = b"\x96\x13hvc1".to_vec();
    for number in [1, 0] {
        body.extend_from_slice(&[number, 0, 0, frame.len() as u8]);
        body.extend_from_slice(&frame);
    }
    assert_eq!(tell(read(Kind::Video, &mut reader, body)), ["Video key 1000000+0 of 9"]);
    assert_eq!(reader.other_tracks(), 1);
    // Many codecs; one track that is not the first.
    let mut body = b"\x95\x21".to_vec();
    body.extend_from_slice(b"ac-3\x01\0\0\x01a.mp3\0\0\0\x04");
    body.extend_from_slice(&MP3_HEAD);
    assert_eq!(tell(read(Kind::Audio, &mut reader, body)), ["track mp4a.40.34", "Audio key 1000000+0 of 4"]);
    let other = [&b"\x96\x03hvc1\x01"[..], &frame].concat();
    assert_eq!(read(Kind::Video, &mut reader, other).unwrap_err(), BodyError::OtherTrack);
    assert_eq!(tell(read(Kind::Video, &mut reader, &b"\x92hvc1"[..])), ["end of Video"]);
    assert!(read(Kind::Video, &mut reader, &b"\x94hvc1abc"[..]).unwrap().is_empty());
    assert!(read(Kind::Video, &mut reader, &b"\xd1\x00"[..]).unwrap().is_empty());
    assert!(read(Kind::Audio, &mut reader, &b"\x94mp4a\x01\x02"[..]).unwrap().is_empty());
}

#[test]
fn what_is_not_carried_says_so_and_does_no_harm() {
    let mut reader = Reader::default();
    read(Kind::Video, &mut reader, sequence_header(&track(Codec::H264))).unwrap();
    for (kind, body) in [
        (Kind::Video, &[0x22, 1][..]),
        (Kind::Video, &[0x14, 1]),
        (Kind::Video, b"\x91vp09abc"),
        (Kind::Video, b"\x91mp4aabc"),
        (Kind::Audio, &[0xb2, 1]),
        (Kind::Audio, &[0x72, 1]),
        (Kind::Audio, b"\x91ac-3abc"),
    ] {
        assert!(matches!(read(kind, &mut reader, body), Err(BodyError::OtherCodec(_))), "{body:?}");
    }
    for body in
        [&[0x17][..], &[0x17, 1, 0, 0], b"\x91hvc", b"\x97\x05\0", b"\x96\x01hvc1\0\0", b"\x96", &[0x90]]
    {
        assert_eq!(read(Kind::Video, &mut reader, body).unwrap_err(), BodyError::TooShort, "{body:?}");
    }
    for body in [&[0x17, 3, 0, 0, 0][..], b"\x98hvc1", b"\x95av01", b"\x96\x31hvc1"] {
        assert!(matches!(read(Kind::Video, &mut reader, body), Err(BodyError::Malformed(_))), "{body:?}");
    }
    // Lengths that lie, an empty frame, a frame of a codec that was not configured.
    for body in [&[0x27, 1, 0, 0, 0, 0, 0, 0, 9, 0x41][..], &[0x27, 1, 0, 0, 0], &[0x17, 0, 0, 0, 0, 1]] {
        assert!(matches!(read(Kind::Video, &mut reader, body), Err(BodyError::Codec(_))), "{body:?}");
    }
    assert!(matches!(read(Kind::Video, &mut reader, &b"\x93hvc1abc"[..]), Err(BodyError::NotConfigured(_))));
    assert!(matches!(read(Kind::Audio, &mut reader, &[0xaf, 1, 2][..]), Err(BodyError::NotConfigured(_))));
    assert!(matches!(read(Kind::Audio, &mut reader, &[0x2f, 1, 2][..]), Err(BodyError::Codec(_))));
    for empty in [&[][..], &[0x52, 0], &[0xaf]] {
        let kind = if empty == [0xaf] { Kind::Audio } else { Kind::Video };
        assert!(read(kind, &mut reader, empty).unwrap().is_empty());
    }
    // And goes on.
    let body = [&[0x17, 1, 0, 0, 0][..], &data(Codec::H264, true)].concat();
    assert_eq!(read(Kind::Video, &mut reader, body).unwrap().len(), 1);
}

#[test]
fn sound_is_made_raw_and_cut_into_frames() {
    let mut reader = Reader::default();
    read(Kind::Audio, &mut reader, &[0xaf, 0, 0x12, 0x10][..]).unwrap();
    let raw = [0x21, 0x10, 0x05];
    let adts = codec::aac::Config::read(&[0x12, 0x10]).unwrap().adts(raw.len()).unwrap();
    let body = [&[0xaf, 1][..], &adts, &raw].concat();
    assert_eq!(tell(read(Kind::Audio, &mut reader, body)), ["Audio key 1000000+0 of 3"]);
    let mp3 = data(Codec::Mp3, true);
    let body = [&[0x2f][..], &mp3, &mp3, &mp3[..100]].concat();
    let told = tell(read(Kind::Audio, &mut reader, body));
    assert_eq!(told[0], "track mp4a.40.34");
    assert_eq!(
        told[1..],
        ["Audio key 1000000+0 of 208", "Audio key 1026122+0 of 208", "Audio key 1052244+0 of 100"]
    );
}

#[test]
fn script_tags_become_metadata_and_data() {
    let mut reader = Reader::default();
    let array = Value::array([("width", 640_u32.into())]);
    let mut body = BytesMut::new();
    amf::write_all(&["@setDataFrame".into(), "onMetaData".into(), array.clone()], &mut body);
    let packets = read(Kind::Data, &mut reader, body).unwrap();
    let Packet::Metadata(metadata) = &packets[0] else { panic!("it is metadata") };
    assert_eq!(amf::read_all(metadata), Ok(vec![array]));
    let mut body = BytesMut::new();
    amf::write_all(&["onCuePoint".into(), Value::object([("name", "ad".into())])], &mut body);
    let packets = read(Kind::Data, &mut reader, body.clone()).unwrap();
    let Packet::Frame { kind: Kind::Data, data, .. } = &packets[0] else { panic!("it is data") };
    assert_eq!(data, &body);
    for bad in
        [&b"\x05"[..], b"\x02\0\x0aonMetaData\xff", b"\x02\0\x0aonMeta", b"\x02\0\x0d@setDataFrame\x05"]
    {
        assert!(matches!(read(Kind::Data, &mut reader, bad), Err(BodyError::Amf(_))), "{bad:?}");
    }
    assert!(read(Kind::Data, &mut reader, Bytes::new()).unwrap().is_empty());
}

#[test]
fn metadata_is_what_the_stream_is_and_what_the_publisher_said_beside() {
    let mut said = BytesMut::new();
    let fields = [
        ("width", 1.0.into()),
        ("duration", 60.0.into()),
        ("encoder", "OBS".into()),
        ("framerate", 30.0.into()),
        ("keyframes", Value::object([])),
        ("long", "x".repeat(2000).into()),
    ];
    amf::write(&Value::object(fields), &mut said);
    let read = |setup: &Setup| {
        let values = amf::read_all(&metadata(setup)).unwrap();
        assert_eq!(values[0], "onMetaData".into());
        values[1].clone()
    };
    let array = read(&setup(&[Codec::H265, Codec::Aac], said.freeze()));
    let number = |name| array.get(name).and_then(Value::as_number);
    assert_eq!(
        (number("width"), number("height"), number("framerate")),
        (Some(322.0), Some(182.0), Some(25.0))
    );
    assert_eq!((number("videocodecid"), number("audiocodecid")), (Some(f64::from(0x6876_6331)), Some(10.0)));
    assert_eq!(array.get("encoder").and_then(Value::as_str), Some("OBS"));
    assert_eq!(array.get("hasAudio").and_then(Value::as_bool), Some(true));
    assert_eq!([array.get("duration"), array.get("keyframes"), array.get("long")], [None, None, None]);
    // Garbage, and far too much, is as if it were not there.
    for said in [vec![0xff, 1, 2], vec![5; METADATA_BYTES_MAX + 1]] {
        assert_eq!(read(&setup(&[Codec::Av1], said.into())).fields().len(), 5);
    }
}

/// A stream of two blocks of all that a setup has, and its packets as told.
fn stream(codecs: &[Codec]) -> (Vec<u8>, Vec<String>) {
    let setup = setup(codecs, Bytes::new());
    let mut bytes = head(&setup).to_vec();
    let mut expected = vec![format!("metadata of {}", metadata(&setup).len() - 13)];
    for codec in codecs.iter().filter(|codec| **codec != Codec::Mp3) {
        expected.push(format!("track {}", track(*codec).rfc6381));
    }
    for number in 0..2 {
        let dts = number * 40_000;
        let frames: Vec<_> = codecs.iter().map(|codec| frame(&setup, *codec, number == 0, dts, 0)).collect();
        for frame in &frames {
            if number == 0 && frame.track().unwrap().codec == Codec::Mp3 {
                expected.push("track mp4a.40.34".into());
            }
            let key = if frame.key || frame.kind == Kind::Audio { "key" } else { "-" };
            expected.push(format!("{:?} {key} {dts}+0 of {}", frame.kind, frame.data.len()));
        }
        let made = Block::new(frames).unwrap();
        bytes.extend_from_slice(&block(&made));
        assert_eq!(block(&made).as_ptr(), block(&made).as_ptr(), "it is made once");
    }
    (bytes, expected)
}

fn demux(bytes: &[u8], piece: usize) -> (Vec<String>, Option<FlvError>, bool) {
    let mut demuxer = Demuxer::new(1 << 20);
    let mut told = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        demuxer.push(piece);
        loop {
            match demuxer.read() {
                Ok(Some(packet)) => told.push(self::told(&packet)),
                Ok(None) => break,
                Err(error) => return (told, Some(error), false),
            }
        }
    }
    (told, None, demuxer.is_between_tags())
}

#[test]
fn streams_are_read_as_written_in_pieces_of_any_size() {
    let both = [[Codec::H264, Codec::Aac], [Codec::H265, Codec::Opus], [Codec::Av1, Codec::Mp3]];
    for codecs in both.iter().map(|both| &both[..]).chain([&[Codec::Opus][..], &[Codec::Mp3]]) {
        let (bytes, expected) = stream(codecs);
        for piece in [1, 7, 100, usize::MAX] {
            assert_eq!(demux(&bytes, piece), (expected.clone(), None, true), "{codecs:?} by {piece}");
        }
        assert!(!demux(&bytes[..bytes.len() - 5], 64).2);
    }
}

#[test]
fn the_head_of_a_file_says_what_is_in_it() {
    let flags = |codecs: &[Codec]| head(&setup(codecs, Bytes::new()))[4];
    assert_eq!((flags(&[Codec::H264, Codec::Aac]), flags(&[Codec::Av1]), flags(&[Codec::Mp3])), (5, 1, 4));
    let setup = setup(&[Codec::H264], Bytes::new());
    assert_eq!(head(&setup)[13..], headers(&setup, 0)[..]);
    let headers = headers(&setup, 0x1_1234_5678);
    assert_eq!(headers[4..8], [0; 4], "what is said of the whole stream has no time");
    // 32 bits of the time, the highest behind the others.
    let script_bytes = usize::from(headers[2]) << 8 | usize::from(headers[3]);
    assert_eq!(headers[11 + script_bytes + 4..][4..8], [0x34, 0x56, 0x78, 0x12]);
}

#[test]
fn who_was_too_slow_is_told_by_a_tag_that_others_pass_over() {
    let tag = skipped(12);
    assert_eq!((tag[0], &tag[4..8]), (18, &[0; 4][..]));
    let said = crate::amf::read_all(&tag[11..tag.len() - 4]).unwrap();
    assert_eq!(said[0].as_str(), Some("onSkip"));
    assert_eq!(said[1].get("blocks"), Some(&Value::Number(12.0)));
    assert_eq!(tag[tag.len() - 4..], (tag.len() as u32 - 4).to_be_bytes());
}

#[test]
fn streams_that_are_none_are_refused_at_once() {
    assert_eq!(demux(b"GET ", 1).1, Some(FlvError::NotFlv));
    assert_eq!(demux(b"FLV\x02", 4).1, Some(FlvError::NotFlv));
    assert_eq!(demux(b"FLV\x01\x05\0\0\0\x08", 9).1, Some(FlvError::NotFlv));
    assert_eq!(demux(b"FLV\x01\x05\xff\xff\xff\xff", 9).1, Some(FlvError::NotFlv));
    let head = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";
    let tag = |kind: u8, len: [u8; 3]| [&head[..], &[kind], &len, &[0; 7]].concat();
    assert_eq!(demux(&tag(7, [0; 3]), 5).1, Some(FlvError::NotFlv));
    assert_eq!(demux(&tag(0x29, [0; 3]), 5).1, Some(FlvError::NotFlv));
    assert_eq!(demux(&tag(9, [0xff; 3]), 5).1, Some(FlvError::TooBig { bytes: 0xff_ffff, max: 1 << 20 }));
    assert_eq!(demux(&tag(9, [0; 3]), 5), (vec![], None, true));
    let mut demuxer = Demuxer::new(1);
    demuxer.push(b"nothing");
    demuxer.push(&[0; 100]);
    assert_eq!(
        (demuxer.read().unwrap_err(), demuxer.read().unwrap_err()),
        (FlvError::NotFlv, FlvError::NotFlv)
    );
}

#[test]
fn a_bad_tag_is_told_and_passed_over_and_the_clock_wraps() {
    let h264 = setup(&[Codec::H264], Bytes::new());
    let mut bytes = BytesMut::from(&head(&h264)[..]);
    put_frame(&frame(&h264, Codec::H264, true, 0xffff_fff0 * 1000, 0), &mut bytes);
    put_tag(Kind::Video, 0, &[b"\x91vp09"], &mut bytes);
    put_frame(&frame(&h264, Codec::H264, false, 0x1_0000_0010 * 1000, 0), &mut bytes);
    let mut demuxer = Demuxer::new(1 << 20);
    demuxer.push(&bytes);
    let mut times = Vec::new();
    let mut errors = 0;
    loop {
        match demuxer.read() {
            Ok(Some(Packet::Frame { dts, .. })) => times.push(dts / 1000),
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                assert!(!error.is_final());
                errors += 1;
            }
        }
    }
    // The headers stand at 0, and what is less than half the clock before that is before it.
    assert_eq!((times[1] - times[0], errors), (32, 1));
}

#[test]
fn frames_that_have_no_place_in_flv_are_left_out() {
    let h264 = setup(&[Codec::H264], Bytes::new());
    let data = vec![0; BODY_BYTES_MAX].into();
    let huge = Frame { data, ..Arc::into_inner(frame(&h264, Codec::H264, true, 0, 0)).unwrap() };
    let mut into = BytesMut::new();
    put_frame(&huge, &mut into);
    // Sound where there is no track of it.
    put_frame(&frame(&h264, Codec::Aac, true, 0, 0), &mut into);
    assert!(into.is_empty());
    assert_eq!([tag_type(Kind::Audio), tag_type(Kind::Video), tag_type(Kind::Data)], [8, 9, 18]);
}

proptest! {
    #[test]
    fn damaged_streams_are_read_or_refused(
        which in 0_usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        piece in 1_usize..200,
    ) {
        let both = [[Codec::H264, Codec::Aac], [Codec::H265, Codec::Opus], [Codec::Av1, Codec::Mp3]];
        let (mut bytes, _) = stream(&both[which]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let in_pieces = demux(&bytes, piece);
        prop_assert_eq!(in_pieces, demux(&bytes, usize::MAX));
    }

    #[test]
    fn garbage_in_bodies_does_no_harm(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..20)) {
        let mut reader = Reader::default();
        for body in bodies {
            for kind in [Kind::Video, Kind::Audio, Kind::Data] {
                if let Err(error) = read(kind, &mut reader, body.clone()) {
                    prop_assert!(!error.to_string().is_empty());
                }
            }
        }
    }

    #[test]
    fn garbage_behind_a_good_head_does_no_harm(
        heads in prop::collection::vec((0_usize..14, prop::collection::vec(any::<u8>(), 0..40)), 1..20),
    ) {
        let mut reader = Reader::default();
        for codec in [Codec::H264, Codec::Aac] {
            read(codec.kind(), &mut reader, sequence_header(&track(codec))).unwrap();
        }
        let known: [&[u8]; 14] = [
            &[0x17, 0, 0, 0, 0], &[0x17, 1, 0, 0, 0], &[0x1c, 0, 0, 0, 0], &[0x1c, 1, 0, 0, 0], b"\x90hvc1",
            b"\x91hvc1", b"\x93hvc1", b"\x90av01", b"\x91av01", b"\x96", b"\x97", &[0xaf, 0], &[0xaf, 1], &[0x2f],
        ];
        for (head, tail) in heads {
            let kind = if matches!(known[head][0] >> 4, 2 | 10) { Kind::Audio } else { Kind::Video };
            if let Ok(packets) = read(kind, &mut reader, [known[head], &tail].concat()) {
                for packet in packets {
                    if let Packet::Track(track) = packet {
                        prop_assert!(!track.rfc6381.is_empty());
                    }
                }
            }
        }
    }
}
