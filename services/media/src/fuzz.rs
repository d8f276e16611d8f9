//! Entries for fuzzing: bytes in, no panic, and what was read is written and read again as the same.

use bytes::{Bytes, BytesMut};

use crate::{
    amf,
    codec::{self, aac, av1, h264, h265, mp3, nal, opus},
    flv::{
        Demuxer,
        body::{self, Reader},
    },
    frame::{Kind, Packet},
    track::Codec,
};

const CODECS: [Codec; 6] = [Codec::H264, Codec::H265, Codec::Av1, Codec::Aac, Codec::Opus, Codec::Mp3];

/// Bytes of a tag's body that the demuxer takes.
const TAG_BYTES_MAX: usize = 2048;

/// A message of AMF0.
pub fn fuzz_amf(data: &[u8]) {
    let Ok(values) = amf::read_all(data) else { return };
    let mut once = BytesMut::new();
    amf::write_all(&values, &mut once);
    let again = amf::read_all(&once).expect("what was written can be read");
    let mut twice = BytesMut::new();
    amf::write_all(&again, &mut twice);
    // The bytes, since a number that is none is not equal to itself.
    assert_eq!(once, twice);
}

/// The first byte says which codec; the rest is a configuration record, and a frame, too.
pub fn fuzz_codec(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else { return };
    let codec = CODECS[usize::from(which) % CODECS.len()];
    if let Ok(track) = codec::track(codec, data) {
        assert_eq!(track.codec, codec);
        if codec != Codec::Mp3 {
            assert_eq!(codec::track(codec, &track.record).as_ref(), Ok(&track), "a record stays what it is");
        }
        let sets = codec::parameter_sets(&track);
        assert_eq!(sets.is_empty(), !matches!(codec, Codec::H264 | Codec::H265));
        assert!(!codec::reorders(&track) || codec.kind() == Kind::Video);
    }
    fuzz_frame(codec, data);
}

fn fuzz_frame(codec: Codec, data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let is_key = codec::is_key(codec, data);
    match codec {
        Codec::H264 | Codec::H265 => {
            for size in 1..=4 {
                if let Ok(units) = nal::relength(&bytes, size) {
                    nal::check(&units).expect("lengths have been put right");
                }
            }
            let units = nal::from_annex_b(data);
            let mut coded = BytesMut::new();
            nal::to_annex_b(&units, &mut coded);
            assert_eq!(nal::from_annex_b(&coded), units);
            assert!(!h264::is_intra(data) || nal::units(data).next().is_some());
            // A set may be anything but must not be read beyond its end.
            assert!(h264::Sps::read(data).ok().is_none_or(|sps| sps.width > 0 && sps.height > 0));
            assert!(h265::Sps::read(data).ok().is_none_or(|sps| sps.width > 0 && sps.height > 0));
        }
        Codec::Av1 => {
            if let Ok(frame) = av1::normal(&bytes) {
                assert_eq!(av1::normal(&frame).as_ref(), Ok(&frame));
                assert_eq!(av1::is_key(&frame), is_key);
            }
        }
        Codec::Aac => {
            let config = aac::Config::read(data);
            let header = config.ok().and_then(|config| config.adts(100).ok());
            assert!(
                header.is_none_or(|header| aac::adts_header(&[&header[..], &[7; 100]].concat()) == Some(7))
            );
        }
        Codec::Opus => assert!(opus::samples(data).is_none_or(|samples| samples > 0)),
        Codec::Mp3 => assert!(mp3::Header::read(data).ok().is_none_or(|header| header.frame_bytes > 4)),
    }
}

/// The first byte says how large the pieces are; the rest is an FLV stream.
pub fn fuzz_flv(data: &[u8]) {
    let Some((&piece, data)) = data.split_first() else { return };
    let whole = demux(data, data.len());
    assert_eq!(demux(data, piece.into()), whole, "pieces make no difference");
}

/// How many packets and errors came, and whether the stream ended between tags.
fn demux(data: &[u8], piece: usize) -> (usize, usize, bool) {
    let mut demuxer = Demuxer::new(TAG_BYTES_MAX);
    let (mut packets, mut errors) = (0, 0);
    for piece in data.chunks(piece.max(1)) {
        demuxer.push(piece);
        loop {
            match demuxer.read() {
                Ok(Some(packet)) => {
                    check(&packet);
                    packets += 1;
                }
                Ok(None) => break,
                Err(error) => {
                    errors += 1;
                    if error.is_final() {
                        return (packets, errors, false);
                    }
                }
            }
        }
    }
    (packets, errors, demuxer.is_between_tags())
}

/// Bodies one behind the other: each behind a byte that says its kind, and one that says its length.
pub fn fuzz_flv_body(mut data: &[u8]) {
    let mut reader = Reader::default();
    let mut packets = Vec::new();
    while let [kind, len, rest @ ..] = data {
        let (body, behind) = rest.split_at(usize::from(*len).min(rest.len()));
        let body = Bytes::copy_from_slice(body);
        data = behind;
        let result = match kind % 3 {
            0 => reader.video(0, body, &mut packets),
            1 => reader.audio(0, body, &mut packets),
            _ => reader.script(0, body, &mut packets),
        };
        assert!(result.is_ok() || !result.is_err_and(|error| error.to_string().is_empty()));
        packets.drain(..).for_each(|packet| check(&packet));
    }
}

fn check(packet: &Packet) {
    match packet {
        Packet::Track(track) => {
            let header = body::sequence_header(track);
            let mut again = Vec::new();
            let mut reader = Reader::default();
            match track.codec.kind() {
                Kind::Video => reader.video(0, header, &mut again),
                _ => reader.audio(0, header, &mut again),
            }
            .expect("a configuration that went out can come in");
            assert_eq!(again.is_empty(), track.codec == Codec::Mp3);
        }
        Packet::Metadata(body) => assert!(amf::read_all(body).is_ok()),
        Packet::Frame { kind: Kind::Data, data, .. } => assert!(amf::read_all(data).is_ok()),
        Packet::Frame { data, .. } => assert!(!data.is_empty()),
        Packet::End(kind) => assert_ne!(*kind, Kind::Data),
    }
}
