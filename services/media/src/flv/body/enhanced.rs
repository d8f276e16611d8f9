//! The head of Enhanced RTMP v2 ("ExVideoTagHeader", "ExAudioTagHeader"): codecs by four characters, times in
//! nanoseconds, several tracks in one message.

use bytes::Bytes;
use yizhan_wire::Reader;

use super::{BodyError, fourcc};
use crate::{frame::Kind, track::Codec};

// What a message brings, the same for picture and sound.
pub(super) const CONFIGURATION: u8 = 0;
pub(super) const FRAME: u8 = 1;
pub(super) const END: u8 = 2;
/// A picture that is shown when it is decoded: it has no composition time.
pub(super) const FRAME_AT_ONCE: u8 = 3;
/// Colours of a picture, or the order of channels. The codec's own configuration has the same.
const METADATA: u8 = 4;
/// The configuration as MPEG-TS has it, for AV1.
const TS_CONFIGURATION: u8 = 5;
const MODIFIER: u8 = 7;

/// Number of "several tracks" for picture and sound.
const fn multitrack(kind: Kind) -> u8 {
    if matches!(kind, Kind::Video) { 6 } else { 5 }
}

/// What a message brings for the track that we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// One of the constants above.
    pub(super) packet: u8,
    pub(super) codec: Codec,
    /// How much later than the message says, nanoseconds.
    pub(super) nanos: u32,
    pub(super) payload: Bytes,
}

/// Reads a message with an enhanced head. None where it brings no picture or sound.
///
/// # Errors
/// It is cut short, of a codec that we do not carry, or of other tracks than the first. `others` counts these.
pub(super) fn read(kind: Kind, body: &Bytes, others: &mut u64) -> Result<Option<Part>, BodyError> {
    let mut bytes = Reader::new(body);
    let mut packet = bytes.u8()? & 0x0f;
    let mut nanos = 0_u32;
    while packet == MODIFIER {
        let mut len = usize::from(bytes.u8()?) + 1;
        if len == 256 {
            len = usize::from(bytes.u16_be()?) + 1;
        }
        let data = bytes.bytes(len)?;
        let next = bytes.u8()?;
        packet = next & 0x0f;
        // 0 is the only kind so far: nanoseconds. Others may be passed over.
        if let (0, [high, mid, low, ..]) = (next >> 4, data) {
            nanos = nanos.saturating_add(u32::from_be_bytes([0, *high, *mid, *low]));
        }
    }
    if packet == multitrack(kind) {
        return first_track(kind, &mut bytes, body, nanos, others);
    }
    if packet == METADATA {
        return Ok(None);
    }
    let codec = codec(kind, bytes.array()?)?;
    checked(kind, Part { packet, codec, nanos, payload: body.slice_ref(bytes.rest()) }).map(Some)
}

/// Of several tracks in one message, the one with the number 0.
fn first_track(
    kind: Kind,
    bytes: &mut Reader<'_>,
    body: &Bytes,
    nanos: u32,
    others: &mut u64,
) -> Result<Option<Part>, BodyError> {
    let head = bytes.u8()?;
    let (how, packet) = (head >> 4, head & 0x0f);
    // One track, several of one codec, several of their own codecs.
    if how > 2 {
        return Err(BodyError::Malformed("the message has tracks in a form that does not exist"));
    }
    let shared = if how < 2 { Some(bytes.array()?) } else { None };
    let mut first = None;
    let mut others_here = 0;
    while !bytes.is_empty() {
        let fourcc = match shared {
            Some(fourcc) => fourcc,
            None => bytes.array()?,
        };
        let number = bytes.u8()?;
        let len = if how == 0 { bytes.left() } else { bytes.u24_be()? as usize };
        let payload = bytes.bytes(len)?;
        if number == 0 {
            first = Some((fourcc, payload));
        } else {
            others_here += 1;
        }
    }
    *others += others_here;
    match first {
        _ if packet == METADATA => Ok(None),
        Some((fourcc, payload)) => {
            let codec = codec(kind, fourcc)?;
            checked(kind, Part { packet, codec, nanos, payload: body.slice_ref(payload) }).map(Some)
        }
        None if others_here > 0 => Err(BodyError::OtherTrack),
        None => Ok(None),
    }
}

fn checked(kind: Kind, part: Part) -> Result<Part, BodyError> {
    match (kind, part.packet) {
        (_, CONFIGURATION | FRAME | END) | (Kind::Video, FRAME_AT_ONCE) => Ok(part),
        (Kind::Video, TS_CONFIGURATION) => Err(BodyError::Malformed(
            "AV1 is configured as in MPEG-TS, which is not read: send a sequence start",
        )),
        _ => Err(BodyError::Malformed("the packet type does not exist")),
    }
}

fn codec(kind: Kind, name: [u8; 4]) -> Result<Codec, BodyError> {
    let all = [Codec::H264, Codec::H265, Codec::Av1, Codec::Aac, Codec::Opus, Codec::Mp3];
    let found = all.into_iter().find(|codec| fourcc(*codec) == name && codec.kind() == kind);
    found.ok_or(BodyError::OtherCodec(match &name {
        b"vp08" => "VP8",
        b"vp09" => "VP9",
        b"vvc1" => "VVC",
        b"hev1" => "H.265 with parameter sets in the stream",
        b"ac-3" => "AC-3",
        b"ec-3" => "E-AC-3",
        b"fLaC" => "FLAC",
        _ => "one with an unknown name",
    }))
}
