//! Frames that nobody encoded.

use std::sync::Arc;

use bytes::Bytes;
use yizhan_media::{
    Codec, Detail, Frame, Kind, Setup, Track,
    segment::{Cut, Packager, Part, Piece, Segment},
};
use yizhan_talk::Timestamp;

/// 14 November 2023, microseconds.
pub(crate) const WALL: u64 = 1_700_000_000_000_000;

pub(crate) fn video() -> Arc<Track> {
    let record = b"\x01\x42\xC0\x1E\xFF\xE1\0\x04\x67\x42\xC0\x1E\x01\0\x02\x68\xCE";
    let record = Bytes::from_static(record);
    let detail = Detail::Video { width: 1280, height: 720, millihertz: None };
    Arc::new(Track { codec: Codec::H264, record, detail, rfc6381: "avc1.42c01e".into() })
}

pub(crate) fn audio(codec: Codec, rate: u32, frame_samples: Option<u32>) -> Arc<Track> {
    let record = match codec {
        Codec::Aac => Bytes::from_static(&[0x12, 0x10]),
        Codec::Opus => Bytes::from_static(b"OpusHead\x01\x02\x38\x01\x80\xBB\0\0\0\0\0"),
        _ => Bytes::new(),
    };
    let detail = Detail::Audio { rate, channels: 2, frame_samples };
    Arc::new(Track { codec, record, detail, rfc6381: "mp4a.40.2".into() })
}

pub(crate) fn setup(number: u32, video: Option<Arc<Track>>, audio: Option<Arc<Track>>) -> Arc<Setup> {
    Arc::new(Setup { number, epoch: 1, video, audio, metadata: Bytes::new() })
}

/// One with both tracks: H.264, and AAC of 44,100 Hz.
pub(crate) fn both() -> Arc<Setup> {
    setup(1, Some(video()), Some(audio(Codec::Aac, 44_100, Some(1024))))
}

/// A frame whose data names its kind and time, so that it can be told from any other.
pub(crate) fn frame(setup: &Arc<Setup>, kind: Kind, key: bool, dts: i64, cts: i32) -> Arc<Frame> {
    let mut data = vec![0, 0, 0, 10, if kind == Kind::Audio { 0xAA } else { 0x65 }, 0];
    data.extend_from_slice(&dts.to_be_bytes());
    frame_of(setup, kind, key, dts, cts, data.into())
}

pub(crate) fn frame_of(
    setup: &Arc<Setup>,
    kind: Kind,
    key: bool,
    dts: i64,
    cts: i32,
    data: Bytes,
) -> Arc<Frame> {
    let at = Timestamp(WALL.saturating_add_signed(dts));
    Arc::new(Frame { kind, key, dts, cts, at, data, setup: setup.clone() })
}

/// Pictures and sound of a publisher that counts milliseconds, in the order of decoding: `fps` pictures a second with a
/// key frame every `gop` of them.
pub(crate) fn stream(setup: &Arc<Setup>, seconds: u64, fps: f64, gop: u64) -> Vec<Arc<Frame>> {
    let millis = |seconds: f64| (seconds * 1000.0).round() as i64 * 1000;
    let mut frames = Vec::new();
    if setup.video.is_some() {
        let count = (seconds as f64 * fps) as u64;
        frames.extend(
            (0..count).map(|n| frame(setup, Kind::Video, n.is_multiple_of(gop), millis(n as f64 / fps), 0)),
        );
    }
    if let Some(track) = &setup.audio {
        let Detail::Audio { rate, frame_samples, .. } = track.detail else { unreachable!() };
        let step = f64::from(frame_samples.unwrap_or(960)) / f64::from(rate);
        let count = (seconds as f64 / step) as u64;
        frames.extend((0..count).map(|n| frame(setup, Kind::Audio, true, millis(n as f64 * step), 0)));
    }
    frames.sort_by_key(|frame| frame.dts);
    frames
}

/// What a packager makes of frames.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) parts: Vec<Arc<Part>>,
    pub(crate) segments: Vec<Arc<Segment>>,
}

pub(crate) fn package(cut: Cut, frames: &[Arc<Frame>]) -> Made {
    run(&mut Packager::new(cut), frames)
}

/// Pushes all frames, ends, and looks at what every user relies on.
pub(crate) fn run(packager: &mut Packager, frames: &[Arc<Frame>]) -> Made {
    let mut pieces = Vec::new();
    for frame in frames {
        packager.push(frame, &mut pieces);
    }
    packager.finish(&mut pieces);
    sorted(pieces)
}

/// Checks that pieces come in order and add up.
pub(crate) fn sorted(pieces: Vec<Piece>) -> Made {
    let mut made = Made::default();
    let mut open: Vec<Arc<Part>> = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Part(part) => {
                assert_eq!(part.index as usize, open.len());
                assert!(part.duration > 0, "{}", part.duration);
                let begins = open.last().map_or(part.head.start, |before| before.start + before.duration);
                assert_eq!(part.start, begins, "parts follow each other");
                assert!(open.last().is_none_or(|before| !before.last));
                open.push(part.clone());
                made.parts.push(part);
            }
            Piece::Segment(segment) => {
                let parts = std::mem::take(&mut open);
                assert!(parts.last().is_some());
                assert!(parts.iter().all(|part| Arc::ptr_eq(&part.head, &segment.head)));
                assert_eq!(parts.len(), segment.parts.len());
                assert_eq!(parts.iter().map(|part| part.duration).sum::<i64>(), segment.duration);
                if let Some(before) = made.segments.last() {
                    assert_eq!(segment.head.sequence, before.head.sequence + 1);
                    let end = before.head.start + before.duration;
                    assert!(segment.head.discontinuity || segment.head.start == end, "no gap, no overlap");
                    assert!(segment.head.start >= end);
                }
                made.segments.push(segment);
            }
        }
    }
    assert!(open.is_empty(), "what is begun is ended");
    made
}
