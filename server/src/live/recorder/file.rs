//! One file of a recording: what its container wants around the frames.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use yizhan_media::{
    Frame, Kind, Name, Setup,
    cmaf::{self, Tracks},
    config::record::Format,
    flv,
    segment::{Cut, Packager, Part, Piece as Packed},
};
use yizhan_reel::{End, Piece, ReelError, Reels, Take, TakeId};
use yizhan_talk::Timestamp;

/// Fragments and runs of FLV tags are about this long: as much is lost when the server is killed.
const PIECE: Duration = Duration::from_secs(1);
/// The same, µs.
const PIECE_MICROS: i64 = 1_000_000;
/// Bytes of FLV tags that are gathered at most.
const PIECE_BYTES_MAX: usize = 4 << 20;
/// Segments are cut at key frames; where these stay away, then anyway.
const CUT: Cut =
    Cut { segment: Duration::from_secs(1), segment_max: Duration::from_secs(20), part: Some(PIECE) };

/// What a file begins with.
pub(super) struct Begin {
    pub(super) name: Name,
    pub(super) format: Format,
    pub(super) reels: Reels,
    pub(super) at: Timestamp,
}

/// A file that is being written.
pub(super) struct File {
    begin: Begin,
    first_dts: i64,
    setup: Arc<Setup>,
    take: Option<Take>,
    bytes: u64,
    body: Body,
}

enum Body {
    Mp4(Box<Mp4>),
    Flv(Flv),
}

struct Mp4 {
    packager: Packager,
    packed: Vec<Packed>,
    index: cmaf::Index,
    /// Where in the head the length is written in the end.
    length_at: usize,
    /// Until where it plays, µs.
    end: i64,
}

struct Flv {
    tags: BytesMut,
    /// Of the first of the tags.
    first: Option<Arc<Frame>>,
    setup: Arc<Setup>,
}

impl File {
    /// A file that begins with this frame. There is something on the disk only when there is something to write.
    pub(super) fn new(begin: Begin, frame: &Arc<Frame>) -> Self {
        let setup = frame.setup.clone();
        let body = match begin.format {
            Format::Mp4 => Body::Mp4(Box::new(Mp4 {
                packager: Packager::from_zero(CUT),
                packed: Vec::new(),
                index: cmaf::Index::default(),
                length_at: 0,
                end: 0,
            })),
            Format::Flv => Body::Flv(Flv { tags: BytesMut::new(), first: None, setup: setup.clone() }),
        };
        Self { begin, first_dts: frame.dts, setup, take: None, bytes: 0, body }
    }

    /// What it is of.
    pub(super) fn setup(&self) -> Arc<Setup> {
        self.setup.clone()
    }

    /// Whether other tracks need another file. As long as nothing is written, they do not.
    pub(super) fn needs_same_tracks(&self) -> bool {
        self.take.is_some() && matches!(self.body, Body::Mp4(_))
    }

    /// When its first frame is decoded, µs on the broadcast's clock.
    pub(super) fn first_dts(&self) -> i64 {
        self.first_dts
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Frames are missing here.
    pub(super) fn lost(&mut self) {
        if let Body::Mp4(mp4) = &mut self.body {
            mp4.packager.lost(&mut mp4.packed);
        }
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// Nothing can be written any more; why.
    pub(super) fn push(&mut self, frame: &Arc<Frame>) -> Result<(), String> {
        match &mut self.body {
            Body::Mp4(mp4) => {
                mp4.packager.push(frame, &mut mp4.packed);
                self.write_parts()
            }
            Body::Flv(tags) => {
                let long = tags
                    .first
                    .as_ref()
                    .is_some_and(|first| frame.dts.saturating_sub(first.dts) >= PIECE_MICROS);
                let full = frame.joins() || long || tags.tags.len() >= PIECE_BYTES_MAX;
                if full {
                    self.write_tags()?;
                }
                self.put_tag(frame);
                Ok(())
            }
        }
    }

    /// Writes what is left, and what a file ends with. Gives which it is, where there is one; it is safe then.
    pub(super) async fn finish(mut self) -> Option<TakeId> {
        let patches = match &mut self.body {
            Body::Mp4(mp4) => {
                mp4.packager.finish(&mut mp4.packed);
                // One that has ended before its time has told its reason.
                drop(self.write_parts());
                self.finish_mp4()
            }
            Body::Flv(_) => {
                drop(self.write_tags());
                Vec::new()
            }
        };
        let take = self.take?;
        let id = take.id().clone();
        take.finish(patches).await;
        Some(id)
    }

    fn finish_mp4(&mut self) -> Vec<(u64, Bytes)> {
        let (Body::Mp4(mp4), Some(take)) = (&self.body, &self.take) else { return Vec::new() };
        if !mp4.index.is_empty() {
            let piece = Piece {
                bytes: mp4.index.finish(),
                key: false,
                dts: mp4.end,
                at: take.progress().borrow().last_at,
            };
            // Players do without it.
            drop(take.push(piece));
        }
        let millis = u64::try_from(mp4.end / 1000).unwrap_or(0);
        vec![(mp4.length_at as u64, Bytes::copy_from_slice(&cmaf::mehd(millis)))]
    }

    fn write_parts(&mut self) -> Result<(), String> {
        let Body::Mp4(mp4) = &mut self.body else { return Ok(()) };
        let packed = std::mem::take(&mut mp4.packed);
        for piece in packed {
            if let Packed::Part(part) = piece {
                self.write_part(&part)?;
            }
        }
        Ok(())
    }

    fn write_part(&mut self, part: &Part) -> Result<(), String> {
        let Body::Mp4(mp4) = &mut self.body else { return Ok(()) };
        let take = match &mut self.take {
            Some(take) => take,
            None => {
                let (head, length_at) = cmaf::file_head(&part.head.setup);
                mp4.length_at = length_at;
                self.setup = part.head.setup.clone();
                self.take.insert(begin(&self.begin, head)?)
            }
        };
        let first = part.samples(Kind::Video).first().or_else(|| part.samples(Kind::Audio).first());
        let Some(first) = first else { return Ok(()) };
        let piece = Piece {
            bytes: part.bytes(Tracks::Both).clone(),
            key: first.frame.joins(),
            dts: part.start,
            at: first.frame.at,
        };
        let (bytes, key) = (piece.bytes.clone(), piece.key);
        mp4.end = mp4.end.max(part.start + part.duration);
        if let Some(offset) = take.push(piece).map_err(words)? {
            self.bytes = offset + bytes.len() as u64;
            if key {
                let moof = offset + opening(&bytes);
                mp4.index.add(first.frame.kind, first.start + u64::from(first.offset), moof, 1);
            }
        }
        Ok(())
    }

    /// Adds a frame to the tags that wait, counted from the file's beginning.
    fn put_tag(&mut self, frame: &Arc<Frame>) {
        let Body::Flv(body) = &mut self.body else { return };
        let from_zero = Frame {
            kind: frame.kind,
            key: frame.key,
            dts: frame.dts.saturating_sub(self.first_dts).max(0),
            cts: frame.cts,
            at: frame.at,
            data: frame.data.clone(),
            setup: frame.setup.clone(),
        };
        if !Arc::ptr_eq(&body.setup, &frame.setup) {
            // The head that stands at the beginning is of the first setup that was written.
            if self.take.is_some() || !body.tags.is_empty() {
                flv::put_headers(&frame.setup, from_zero.dts_millis(), &mut body.tags);
            } else {
                self.setup = frame.setup.clone();
            }
            body.setup = frame.setup.clone();
        }
        flv::put_frame(&from_zero, &mut body.tags);
        body.first.get_or_insert_with(|| frame.clone());
    }

    fn write_tags(&mut self) -> Result<(), String> {
        let Body::Flv(body) = &mut self.body else { return Ok(()) };
        let Some(first) = body.first.take() else { return Ok(()) };
        let take = match &mut self.take {
            Some(take) => take,
            None => self.take.insert(begin(&self.begin, flv::head(&self.setup))?),
        };
        let piece =
            Piece { bytes: body.tags.split().freeze(), key: first.joins(), dts: first.dts, at: first.at };
        let length = piece.bytes.len() as u64;
        if let Some(offset) = take.push(piece).map_err(words)? {
            self.bytes = offset + length;
        }
        Ok(())
    }
}

fn begin(begin: &Begin, head: Bytes) -> Result<Take, String> {
    let Begin { name, format, reels, at } = begin;
    let mut at = *at;
    loop {
        match reels.begin(&name.app, &name.name, format.extension(), at, head.clone()) {
            // The one before began in the same millisecond.
            Err(ReelError::Exists) => at = at.plus(Duration::from_millis(1)),
            begun => return begun.map_err(|error| error.to_string()),
        }
    }
}

fn words(end: End) -> String {
    match end {
        End::Finished => "the file is closed".into(),
        End::Failed(why) => why.to_string(),
    }
}

/// Bytes of the box that opens a segment, before the fragment's own.
fn opening(bytes: &[u8]) -> u64 {
    match bytes {
        [a, b, c, d, b's', b't', b'y', b'p', ..] => u64::from(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => 0,
    }
}
