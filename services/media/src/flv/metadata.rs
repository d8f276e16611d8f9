//! `onMetaData`: what the publisher said of its stream, put right by what the stream is.

use bytes::{Bytes, BytesMut};

use super::body::codec_number;
use crate::{
    amf::{self, Value},
    track::{Detail, Setup},
};

/// Bytes of a publisher's `onMetaData` that viewers get; of a longer one nothing is taken.
pub const METADATA_BYTES_MAX: usize = 16 << 10;
/// Bytes of one text in it.
const TEXT_BYTES_MAX: usize = 1024;

/// What a file says of itself and a live stream cannot.
const OF_FILES: [&str; 10] = [
    "duration",
    "filesize",
    "datasize",
    "videosize",
    "audiosize",
    "lasttimestamp",
    "lastkeyframetimestamp",
    "lastkeyframelocation",
    "hasKeyframes",
    "canSeekToEnd",
];

/// The body of the script tag: the name, and an array with what the tracks are and what else the publisher said of
/// them in numbers, texts and booleans.
#[must_use]
pub fn metadata(setup: &Setup) -> Bytes {
    let mut fields = of_tracks(setup);
    for (name, value) in said(setup) {
        let is_known = OF_FILES.contains(&name.as_str()) || fields.iter().any(|(known, _)| *known == name);
        let is_short = match &value {
            Value::Number(_) | Value::Boolean(_) => true,
            Value::String(text) => text.len() <= TEXT_BYTES_MAX,
            _ => false,
        };
        if !is_known && is_short {
            fields.push((name, value));
        }
    }
    let mut into = BytesMut::new();
    amf::write_str("onMetaData", &mut into);
    amf::write(&Value::Array(fields), &mut into);
    into.freeze()
}

fn of_tracks(setup: &Setup) -> amf::Fields {
    let mut fields = amf::Fields::new();
    let mut put = |name: &str, value: Value| fields.push((name.to_owned(), value));
    put("hasVideo", setup.video.is_some().into());
    put("hasAudio", setup.audio.is_some().into());
    for track in [&setup.video, &setup.audio].into_iter().flatten() {
        match track.detail {
            Detail::Video { width, height, millihertz } => {
                put("width", width.into());
                put("height", height.into());
                if let Some(millihertz) = millihertz {
                    put("framerate", (f64::from(millihertz) / 1000.0).into());
                }
                put("videocodecid", codec_number(track).into());
            }
            Detail::Audio { rate, channels, .. } => {
                put("audiosamplerate", rate.into());
                put("audiochannels", u32::from(channels).into());
                put("stereo", (channels > 1).into());
                put("audiocodecid", codec_number(track).into());
            }
        }
    }
    fields
}

/// What the publisher said.
fn said(setup: &Setup) -> amf::Fields {
    if setup.metadata.len() > METADATA_BYTES_MAX {
        return Vec::new();
    }
    match amf::Reader::new(&setup.metadata).read() {
        Ok(Some(Value::Object(fields) | Value::Array(fields) | Value::Typed(_, fields))) => fields,
        _ => Vec::new(),
    }
}
