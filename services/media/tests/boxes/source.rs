//! Frames that ffmpeg encoded, read from the fragmented MP4 that it writes.

use std::{
    process::{Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use yizhan_media::{Codec, Frame, Kind, Setup, Track, codec};

use crate::{made, parse};

/// The ffmpeg in `PATH`, where it has this encoder; `None` and why nothing was tested otherwise.
pub(crate) fn ffmpeg(encoder: &str) -> Option<Command> {
    let said = Command::new("ffmpeg").args(["-hide_banner", "-encoders"]).stderr(Stdio::null()).output();
    let has = said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(&format!(" {encoder} ")));
    if !has {
        println!("skipped: no ffmpeg with {encoder}");
    }
    has.then(|| Command::new("ffmpeg"))
}

/// What ffmpeg encodes of `arguments` (inputs and encoders), as frames of a setup with this number; times begin at
/// `from`, microseconds, and are rounded to milliseconds as RTMP has them. `None` where there is no such encoder.
pub(crate) fn encode(encoder: &str, arguments: &str, number: u32, from: i64) -> Option<Vec<Arc<Frame>>> {
    let mut command = ffmpeg(encoder)?;
    command.args(["-hide_banner", "-nostdin", "-v", "error"]).args(arguments.split_whitespace());
    // Decoding times that begin at 0 and are in no edit list, as in FLV.
    command.args(["-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {said}");
    Some(frames(&output.stdout, number, from))
}

fn frames(file: &[u8], number: u32, from: i64) -> Vec<Arc<Frame>> {
    let moov = parse::boxes(file).into_iter().find(|(kind, ..)| kind == b"moov").unwrap().2;
    let ids = parse::tracks(file);
    let track = |kind| ids.iter().filter_map(|(id, _)| track(moov, *id)).find(|t| t.codec.kind() == kind);
    let (video, audio) = (track(Kind::Video).map(Arc::new), track(Kind::Audio).map(Arc::new));
    let setup = Arc::new(Setup { number, epoch: 1, video, audio, metadata: Bytes::new() });
    let mut frames = Vec::new();
    for (id, scale) in ids {
        let kind = self::track(moov, id).unwrap().codec.kind();
        let millis = |ticks: i64| (ticks * 1000 + i64::from(scale) / 2).div_euclid(i64::from(scale));
        let samples = parse::samples(file, id);
        // Some begin below 0, where decoding begins earlier than what is shown.
        let first = samples.iter().map(|sample| sample.offset).min().unwrap_or(0).min(0);
        for sample in samples {
            let shift = millis(-first);
            let dts = millis(sample.dts as i64);
            let cts = millis(sample.dts as i64 + sample.offset) + shift - dts;
            let (dts, cts) = (from + dts * 1000, i32::try_from(cts * 1000).unwrap());
            frames.push(made::frame_of(&setup, kind, sample.key, dts, cts, sample.data));
        }
    }
    frames.sort_by_key(|frame| frame.dts);
    frames
}

/// The track of this number, its configuration taken from its sample entry.
fn track(moov: &[u8], id: u32) -> Option<Track> {
    let mut traks = parse::boxes(&moov[8..]).into_iter().filter(|(kind, ..)| kind == b"trak");
    let trak = traks.find(|(_, _, body)| {
        let tkhd = find(body, b"tkhd").unwrap();
        u32::from_be_bytes(tkhd[12..16].try_into().unwrap()) == id
    })?;
    let (codec, record) = [
        (Codec::H264, b"avcC"),
        (Codec::H265, b"hvcC"),
        (Codec::Av1, b"av1C"),
        (Codec::Opus, b"dOps"),
        (Codec::Aac, b"esds"),
    ]
    .into_iter()
    .find_map(|(codec, kind)| find(trak.2, kind).map(|record| (codec, record)))?;
    match codec {
        Codec::Opus => Some(codec::track(codec, &opus_head(record)).unwrap()),
        Codec::Aac => {
            // Behind the decoder's description: the object type, then the AudioSpecificConfig with tag 5.
            let object = record.iter().position(|byte| *byte == 4).unwrap();
            if record[object + 5] == 0x6B {
                let detail =
                    yizhan_media::Detail::Audio { rate: 44_100, channels: 2, frame_samples: Some(1152) };
                return Some(Track {
                    codec: Codec::Mp3,
                    record: Bytes::new(),
                    detail,
                    rfc6381: "mp4a.40.34".into(),
                });
            }
            let at = record.windows(4).position(|bytes| bytes == [5, 0x80, 0x80, 0x80]).unwrap();
            let length = usize::from(record[at + 4]);
            Some(codec::track(codec, &record[at + 5..at + 5 + length]).unwrap())
        }
        _ => Some(codec::track(codec, record).unwrap()),
    }
}

/// The body of the first box of this kind, wherever it is.
fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    let at = bytes.windows(4).position(|window| window == kind)?;
    let size = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
    Some(&bytes[at + 4..at - 4 + size])
}

fn opus_head(dops: &[u8]) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(dops[1]);
    head.extend(dops[2..4].iter().rev());
    head.extend(dops[4..8].iter().rev());
    head.extend(dops[8..10].iter().rev());
    head.extend(&dops[10..]);
    head
}
