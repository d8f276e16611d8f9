//! Records of real encoders (x264, x265, SVT-AV1, libaom through ffmpeg), and what is left of them after damage.

use proptest::prelude::*;

use super::*;
use crate::{frame::Kind, track::Detail};

/// Bytes of hexadecimal digits.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// Constrained Baseline, 322×182 of 336×192.
const BASELINE: &str = "0142c00dffe100196742c00dda05467889b011000003000100000300320f142aa001000468ce0fc8";
/// High with three B frames, 322×182.
const HIGH: &str =
    "0164000dffe1001a6764000dacd941519e226c0440000003004000000c83c50a658001000468ef8fcbfdf8f800";
/// High 4:2:2 with ten bits, scaling lists of JVT and a buffer model.
const HIGH_422: &str = "017a000dffe10023677a000db6cd94171fe22f011000003e90000ea60602001e840007a13930c01e28532c01000568efbcc030fefafa00";
/// High 4:4:4 with an aspect ratio and colours.
const HIGH_444: &str =
    "01f4000dffe1001c67f4000d91968171fe3ef0eb5010202400000fa40003a9803c50aa8001000568ce0f1920fff8f800";
/// Main, 1920×1080 interlaced.
const FIELDS: &str = "014d4028ffe10018674d4028f403c0227ef01100000303e90000ea601f162ea001000468de0fc8";
/// H.265 Main, 322×182.
const HEVC: &str = "0101600000009000000000003cf000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003003c959409210001002c42010101600000030090000003000003003ca00a880c1c44d965654a4c2f016808000003000800000300c84022000100064401c073c189";
/// H.265 Main 10 with scaling lists and a buffer model, 354×238.
const HEVC_10: &str = "0102200000009000000000003cf000fcfdfafa00000f03200001001840010c01ffff02200000030090000003000003003c959809210001003442010102200000030090000003000003003ca00b480f1c94d96566924e5780b40400000fa40001d4c1803259b8007a10001e848822000100074401c172b46240";
/// H.265 with 4:4:4, without B frames, 354×238.
const HEVC_444: &str = "0104080000009e08000000003cf000fcfff8f800000f03200001001740010c01ffff0408000003009e0800000300003c92809021000100294201010408000003009e0800000300003c90016901e39ef2c9524995e08d0100000303e9000075300822000100084401c172860c4624";
/// AV1 of SVT-AV1.
const AV1: &str = "81000c000a0b0200000521e836a017c002";
/// The same with ten bits.
const AV1_10: &str = "81004c000a0b0200000521ec3da017c202";

const VIDEO: [(Codec, &str); 10] = [
    (Codec::H264, BASELINE),
    (Codec::H264, HIGH),
    (Codec::H264, HIGH_422),
    (Codec::H264, HIGH_444),
    (Codec::H264, FIELDS),
    (Codec::H265, HEVC),
    (Codec::H265, HEVC_10),
    (Codec::H265, HEVC_444),
    (Codec::Av1, AV1),
    (Codec::Av1, AV1_10),
];

fn read(codec: Codec, record: &str) -> (u32, u32, Option<u32>, String) {
    let track = track(codec, &hex(record)).unwrap();
    let Detail::Video { width, height, millihertz } = track.detail else { panic!("it is a picture") };
    (width, height, millihertz, track.rfc6381)
}

#[test]
fn records_of_h264_are_read() {
    assert_eq!(read(Codec::H264, BASELINE), (322, 182, Some(25_000), "avc1.42c00d".into()));
    assert_eq!(read(Codec::H264, HIGH), (322, 182, Some(25_000), "avc1.64000d".into()));
    assert_eq!(read(Codec::H264, HIGH_422), (354, 238, Some(29_970), "avc1.7a000d".into()));
    assert_eq!(read(Codec::H264, HIGH_444), (354, 238, Some(29_970), "avc1.f4000d".into()));
    assert_eq!(read(Codec::H264, FIELDS), (1920, 1080, Some(29_970), "avc1.4d4028".into()));
    let fields = h264::Record::read(&hex(FIELDS)).unwrap().picture().unwrap();
    assert!(fields.fields && fields.chroma == 1);
    let deep = h264::Record::read(&hex(HIGH_422)).unwrap().picture().unwrap();
    assert_eq!((deep.chroma, deep.luma_bits, deep.chroma_bits), (2, 10, 10));
}

#[test]
fn records_of_h265_are_read() {
    assert_eq!(read(Codec::H265, HEVC), (322, 182, Some(25_000), "hvc1.1.6.L60.90".into()));
    assert_eq!(read(Codec::H265, HEVC_10), (354, 238, Some(29_970), "hvc1.2.4.L60.90".into()));
    assert_eq!(read(Codec::H265, HEVC_444), (354, 238, Some(29_970), "hvc1.4.10.L60.9E.8".into()));
    let high =
        h265::Profile { head: 0x61, compatible: 0x6000_0000, constraints: [0xb0, 0, 1, 0, 0, 0], level: 93 };
    assert_eq!(high.rfc6381(), "hvc1.A1.6.H93.B0.0.1");
}

#[test]
fn records_of_av1_are_read() {
    assert_eq!(read(Codec::Av1, AV1), (322, 182, None, "av01.0.00M.08".into()));
    assert_eq!(read(Codec::Av1, AV1_10), (354, 238, None, "av01.0.00M.10".into()));
    // With no sequence header the first key frame has it.
    assert!(track(Codec::Av1, &hex("81000c00")).is_err());
    let key = hex("12000a0b0200000521e836a017c002320410000000");
    assert_eq!(av1::Record::of(&key).unwrap().track().record, hex(AV1));
    assert!(is_key(Codec::Av1, &key));
    assert_eq!(av1::normal(&key.into()).unwrap(), hex("0a0b0200000521e836a017c002320410000000"));
}

#[test]
fn normalised_records_are_read_as_the_same_and_stay() {
    for (codec, text) in VIDEO {
        let first = track(codec, &hex(text)).unwrap();
        let again = track(codec, &first.record).unwrap();
        assert_eq!(first, again, "{text}");
    }
    // These writers wrote what we write.
    for (codec, text) in [(Codec::H264, BASELINE), (Codec::H264, HIGH_422), (Codec::Av1, AV1)] {
        assert_eq!(track(codec, &hex(text)).unwrap().record, hex(text));
    }
    // Lengths of two bytes, no profile, no fields for High, something behind: all is put right.
    let mut odd = hex(HIGH);
    odd[1..5].copy_from_slice(&[0, 0, 0, 0xfd]);
    assert_eq!(h264::Record::read(&odd).unwrap().length_size, 2);
    assert_eq!(track(Codec::H264, &odd).unwrap().record, hex(HIGH));
    odd.truncate(odd.len() - 4);
    assert_eq!(track(Codec::H264, &odd).unwrap().record, hex(HIGH));
}

#[test]
fn records_say_whether_pictures_are_reordered() {
    let reorders = VIDEO.map(|(codec, text)| reorders(&track(codec, &hex(text)).unwrap()));
    assert_eq!(reorders, [false, true, true, false, false, true, true, false, false, false]);
}

#[test]
fn parameter_sets_come_in_the_order_of_decoding() {
    let kinds = |codec, text| {
        let sets = parameter_sets(&track(codec, &hex(text)).unwrap());
        sets.iter().map(|set| set[0]).collect::<Vec<_>>()
    };
    assert_eq!(kinds(Codec::H264, HIGH), [0x67, 0x68]);
    assert_eq!(kinds(Codec::H265, HEVC), [0x40, 0x42, 0x44]);
    assert!(kinds(Codec::Av1, AV1).is_empty());
    let sets = parameter_sets(&track(Codec::H264, &hex(HIGH)).unwrap());
    let made = h264::Record::of(vec![sets[0].clone()], vec![sets[1].clone()]).unwrap();
    assert_eq!(made.track().unwrap().record, hex(HIGH));
    assert!(h264::Record::of(vec![sets[1].clone()], vec![sets[0].clone()]).is_err());
    assert!(h264::Record::of(vec![], vec![]).is_err());
}

#[test]
fn key_frames_are_found_by_what_is_in_them() {
    let h264 = |units: &[&[u8]]| is_key(Codec::H264, &nal::join(units.iter().copied()));
    assert!(h264(&[&[0x09, 0x10], &[0x65, 1]]));
    assert!(h264(&[&[0x67, 1], &[0x68, 1], &[0x41, 0x88]]));
    assert!(!h264(&[&[0x67, 1], &[0x68, 1], &[0x41, 0x9a]]) && !h264(&[&[0x67, 1]]));
    assert!(h264(&[&[0x06, 0x06, 0x01, 0xc4, 0x80], &[0x41, 1]]));
    // A user data message, longer than 255, and behind it a recovery point.
    let long = [&[0x06, 0x05, 0xff, 0x01][..], &[7; 256], &[0x06, 0x01, 0x80, 0x80]].concat();
    assert!(h264(&[&long, &[0x41, 1]]));
    assert!(!h264(&[&long[..100], &[0x41, 1]]));
    assert!(!h264(&[&[0x06, 0x01, 0x01, 0x06, 0x80], &[0x41, 1]]));
    assert!(!h264(&[]) && !is_key(Codec::H264, &[0, 0, 0, 9, 0x65]));
    let h265 = |head: u8| is_key(Codec::H265, &nal::join([&[head << 1, 1, 2][..]]));
    assert!(h265(19) && h265(20) && h265(21) && h265(16) && !h265(1) && !h265(32) && !h265(39));
    let av1 = |data: &[u8]| is_key(Codec::Av1, data);
    assert!(
        av1(&[0x32, 1, 0x10]) && !av1(&[0x32, 1, 0x30]) && !av1(&[0x1a, 1, 0x80]) && !av1(&[0x0a, 1, 0x10])
    );
}

#[test]
fn obus_are_put_right() {
    // The last one has no size; padded sizes are allowed.
    let fixed = av1::normal(&vec![0x12, 0x80, 0x00, 0x30, 1, 2, 3].into()).unwrap();
    assert_eq!(fixed, [0x32, 3, 1, 2, 3][..]);
    let extended = av1::normal(&vec![0x34, 0x08, 5].into()).unwrap();
    assert_eq!(extended, [0x36, 0x08, 1, 5][..]);
    let long = [&[0x30][..], &[0; 300]].concat();
    assert_eq!(av1::normal(&long.into()).unwrap()[..3], [0x32, 0xac, 0x02]);
    for bad in [&[][..], &[0x12, 0], &[0x80], &[0x32], &[0x32, 2, 1], &[0x36], &[0x32, 0xff, 0xff]] {
        assert!(av1::normal(&Bytes::copy_from_slice(bad)).is_err(), "{bad:?}");
    }
}

#[test]
fn records_cut_anywhere_are_refused_or_read() {
    for (codec, text) in VIDEO {
        let record = hex(text);
        for len in 0..record.len() {
            if let Ok(track) = track(codec, &record[..len]) {
                assert!(super::track(codec, &track.record).is_ok());
            }
        }
    }
    assert!(track(Codec::H264, &hex("0142c00dffe0000000")).is_err());
    assert!(track(Codec::Aac, &[0x12; RECORD_BYTES_MAX + 1]).is_err());
    assert!(track(Codec::H265, &hex("0101600000009000000000003cf000fcfdf8f800000f00")).is_err());
}

fn damaged() -> impl Strategy<Value = (Codec, Vec<u8>)> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    (prop::sample::select(VIDEO.to_vec()), changes).prop_map(|((codec, text), changes)| {
        let mut record = hex(text);
        for (at, value) in changes {
            let at = at.index(record.len());
            record[at] = value;
        }
        (codec, record)
    })
}

proptest! {
    #[test]
    fn damaged_records_are_refused_or_normalised((codec, record) in damaged()) {
        if let Ok(first) = track(codec, &record) {
            let again = track(codec, &first.record).unwrap();
            prop_assert_eq!(&first, &again);
            let Detail::Video { width, height, .. } = first.detail else { panic!("it is a picture") };
            prop_assert!((1..=SIDE_MAX).contains(&width) && (1..=SIDE_MAX).contains(&height));
            prop_assert_eq!(reorders(&first), reorders(&again));
            prop_assert_eq!(parameter_sets(&first), parameter_sets(&again));
        }
    }

    #[test]
    fn garbage_is_refused_or_read(record in prop::collection::vec(any::<u8>(), 0..200)) {
        for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::Aac, Codec::Opus, Codec::Mp3] {
            if let Ok(first) = track(codec, &record)
                && codec != Codec::Mp3
            {
                prop_assert_eq!(track(codec, &first.record), Ok(first));
            }
            prop_assert!(codec.kind() == Kind::Video || is_key(codec, &record));
        }
        prop_assert!(opus::samples(&record).is_none_or(|samples| samples <= 5760));
        prop_assert!(aac::adts_header(&record).is_none_or(|header| header < record.len()));
        if let Ok(fixed) = av1::normal(&record.clone().into()) {
            prop_assert_eq!(is_key(Codec::Av1, &fixed), is_key(Codec::Av1, &record));
            prop_assert_eq!(av1::normal(&fixed), Ok(fixed));
        }
        prop_assert!(h264::Sps::read(&record).ok().is_none_or(|sps| sps.width <= SIDE_MAX));
        prop_assert!(h265::Sps::read(&record).ok().is_none_or(|sps| sps.width <= SIDE_MAX));
    }
}
