//! AV1: the av1C record ("AV1 Codec ISO Media File Format Binding" §2.3), the sequence header (AV1 §5.5) and the order of
//! OBUs in a frame.

use bytes::{BufMut, Bytes, BytesMut};

use super::{CodecError, Ended, Faults, SIDE_MAX, bits::Bits, millihertz};
use crate::track::{Codec, Detail, Track};

const FAULTS: Faults = Faults::of(Codec::Av1);

/// Types of OBUs (AV1 §6.2.2).
mod kind {
    pub(super) const SEQUENCE_HEADER: u8 = 1;
    pub(super) const TEMPORAL_DELIMITER: u8 = 2;
    pub(super) const FRAME_HEADER: u8 = 3;
    pub(super) const FRAME: u8 = 6;
}

/// One OBU of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Obu<'a> {
    kind: u8,
    /// The head: one byte, or two with the extension.
    head: &'a [u8],
    /// It had a size of its own.
    sized: bool,
    body: &'a [u8],
}

/// The OBUs of data. The last one may do without its size.
struct Obus<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let all = std::mem::take(&mut self.rest);
        Some(split(all).map(|(obu, rest)| {
            self.rest = rest;
            obu
        }))
    }
}

/// The first OBU (AV1 §5.3) and what is behind it.
fn split(data: &[u8]) -> Result<(Obu<'_>, &[u8]), CodecError> {
    let short = FAULTS.short("an OBU");
    let first = *data.first().ok_or(short)?;
    if first & 0x80 != 0 {
        return Err(FAULTS.bad("an OBU begins with a bit that is forbidden"));
    }
    let kind = first >> 3 & 0x0f;
    let (head, rest) = data.split_at_checked(if first & 4 == 0 { 1 } else { 2 }).ok_or(short)?;
    if first & 2 == 0 {
        return Ok((Obu { kind, head, sized: false, body: rest }, &[]));
    }
    let (size, rest) = leb128(rest).ok_or(short)?;
    let size = usize::try_from(size).map_err(|_| short)?;
    let (body, rest) = rest.split_at_checked(size).ok_or(short)?;
    Ok((Obu { kind, head, sized: true, body }, rest))
}

/// A number of up to eight bytes, which may be padded (AV1 §4.10.5), and what is behind it.
fn leb128(data: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in data.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &data[at + 1..]));
        }
    }
    None
}

fn put(obu: &Obu<'_>, into: &mut BytesMut) {
    into.put_u8(obu.head[0] | 2);
    into.put_slice(&obu.head[1..]);
    let mut size = obu.body.len();
    while size > 0x7f {
        into.put_u8((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    // Less than 128.
    into.put_u8(size as u8);
    into.put_slice(obu.body);
}

/// The data of a frame as the core wants it: each OBU with its size, no temporal delimiters. Data that is so already
/// stays what it is.
///
/// # Errors
/// The OBUs are longer than the data, or there are none.
pub fn normal(data: &Bytes) -> Result<Bytes, CodecError> {
    let (mut count, mut is_normal) = (0, true);
    for obu in (Obus { rest: data }) {
        let obu = obu?;
        is_normal &= obu.sized && obu.kind != kind::TEMPORAL_DELIMITER;
        count += usize::from(obu.kind != kind::TEMPORAL_DELIMITER);
    }
    if count == 0 {
        return Err(FAULTS.bad("a frame has no OBU"));
    }
    if is_normal {
        return Ok(data.clone());
    }
    let mut into = BytesMut::with_capacity(data.len() + 8);
    for obu in (Obus { rest: data }).flatten().filter(|obu| obu.kind != kind::TEMPORAL_DELIMITER) {
        put(&obu, &mut into);
    }
    Ok(into.freeze())
}

/// Whether decoding can begin with this frame: its first picture is a key frame.
#[must_use]
pub fn is_key(data: &[u8]) -> bool {
    let mut obus = Obus { rest: data }.map_while(Result::ok);
    let head = obus.find(|obu| matches!(obu.kind, kind::FRAME | kind::FRAME_HEADER));
    // show_existing_frame is 0 and frame_type is 0 (§5.9.2).
    head.and_then(|obu| obu.body.first()).is_some_and(|first| first & 0xe0 == 0)
}

/// An av1C record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The fourth byte: how much later the first picture is to be shown, where it is known.
    delay: u8,
    /// The sequence header.
    sequence: Sequence,
    /// The same as an OBU with its size.
    obu: Bytes,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// It is cut short, or has no sequence header.
    pub fn read(record: &[u8]) -> Result<Self, CodecError> {
        let (head, obus) = record.split_first_chunk::<4>().ok_or(FAULTS.short("its record (av1C)"))?;
        if head[0] != 0x81 {
            return Err(FAULTS.bad("the record (av1C) is not of version 1"));
        }
        let mut read = Self::of(obus)?;
        read.delay = head[3] & 0x1f;
        Ok(read)
    }

    /// A record of the sequence header that came with a frame.
    ///
    /// # Errors
    /// There is none, or it breaks the standard.
    pub fn of(data: &[u8]) -> Result<Self, CodecError> {
        for obu in (Obus { rest: data }) {
            let obu = obu?;
            if obu.kind == kind::SEQUENCE_HEADER {
                let sequence = Sequence::read(obu.body)?;
                let mut into = BytesMut::new();
                put(&obu, &mut into);
                return Ok(Self { delay: 0, sequence, obu: into.freeze() });
            }
        }
        Err(FAULTS.bad("the record (av1C) has no sequence header"))
    }

    /// What the sequence header says.
    #[must_use]
    pub const fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    /// The sequence header as an OBU with its size.
    #[must_use]
    pub const fn obu(&self) -> &Bytes {
        &self.obu
    }

    /// The track.
    #[must_use]
    pub fn track(&self) -> Track {
        let Sequence { width, height, millihertz, .. } = self.sequence;
        Track {
            codec: Codec::Av1,
            record: self.write(),
            detail: Detail::Video { width, height, millihertz },
            rfc6381: self.sequence.rfc6381(),
        }
    }

    fn write(&self) -> Bytes {
        let sequence = &self.sequence;
        let mut into = BytesMut::new();
        into.put_slice(&[0x81, sequence.profile << 5 | sequence.level]);
        let bits = [
            sequence.tier,
            sequence.bits > 8,
            sequence.bits == 12,
            sequence.mono,
            sequence.subsampling.0,
            sequence.subsampling.1,
        ];
        let flags = bits.iter().fold(0_u8, |flags, bit| flags << 1 | u8::from(*bit));
        into.put_slice(&[flags << 2 | sequence.position, self.delay]);
        into.put_slice(&self.obu);
        into.freeze()
    }
}

/// What a sequence header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// 0 is Main, 1 High, 2 Professional.
    pub profile: u8,
    /// `seq_level_idx` of the first operating point.
    pub level: u8,
    /// Its tier is High.
    pub tier: bool,
    /// Bits of a sample: 8, 10 or 12.
    pub bits: u8,
    /// Grey.
    pub mono: bool,
    /// Colour has half the samples across, and half of them down.
    pub subsampling: (bool, bool),
    /// Where colour samples stand: `chroma_sample_position`.
    pub position: u8,
    /// Primaries, transfer and matrix (AV1 §6.4.2); 2 where they are not said.
    pub colour: [u8; 3],
    /// Samples have their full range.
    pub full: bool,
    /// Pixels, as the largest picture.
    pub width: u32,
    /// Pixels, as the largest picture.
    pub height: u32,
    /// Frames in 1,000 seconds, where it says so.
    pub millihertz: Option<u32>,
}

impl Sequence {
    fn read(body: &[u8]) -> Result<Self, CodecError> {
        let sequence = Self::parse(&mut Bits::new(body)).map_err(|_| FAULTS.short("a sequence header"))?;
        if sequence.profile > 2 {
            return Err(FAULTS.bad("a sequence header has a profile that does not exist"));
        }
        if sequence.width > SIDE_MAX || sequence.height > SIDE_MAX {
            return Err(FAULTS.bad("a sequence header has a size that no picture has"));
        }
        Ok(sequence)
    }

    fn parse(bits: &mut Bits<'_>) -> Result<Self, Ended> {
        let profile = bits.small(3)?;
        bits.skip(1)?; // still_picture
        let reduced = bits.flag()?;
        let (level, tier, millihertz) =
            if reduced { (bits.small(5)?, false, None) } else { operating_points(bits)? };
        let (across, down) = (bits.number(4)? + 1, bits.number(4)? + 1);
        let (width, height) = (bits.number(across)? + 1, bits.number(down)? + 1);
        if !reduced && bits.flag()? {
            bits.skip(7)?; // lengths of frame numbers
        }
        bits.skip(3)?; // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
        if !reduced {
            tools(bits)?;
        }
        bits.skip(3)?; // enable_superres, enable_cdef, enable_restoration
        let mut sequence = Self {
            profile,
            level,
            tier,
            bits: 8,
            mono: false,
            subsampling: (true, true),
            position: 0,
            colour: [2; 3],
            full: false,
            width,
            height,
            millihertz,
        };
        sequence.colour(bits)?;
        Ok(sequence)
    }

    /// `color_config()` (AV1 §5.5.2).
    fn colour(&mut self, bits: &mut Bits<'_>) -> Result<(), Ended> {
        let high = bits.flag()?;
        self.bits = match (self.profile, high) {
            (2, true) if bits.flag()? => 12,
            (_, true) => 10,
            (_, false) => 8,
        };
        self.mono = self.profile != 1 && bits.flag()?;
        if bits.flag()? {
            for value in &mut self.colour {
                *value = bits.small(8)?;
            }
        }
        if self.mono {
            self.full = bits.flag()?;
            return Ok(());
        }
        // sRGB.
        if self.colour == [1, 13, 0] {
            self.full = true;
            self.subsampling = (false, false);
            return Ok(());
        }
        self.full = bits.flag()?;
        self.subsampling = match (self.profile, self.bits) {
            (0, _) => (true, true),
            (1, _) => (false, false),
            (_, 12) => {
                let across = bits.flag()?;
                (across, across && bits.flag()?)
            }
            _ => (true, false),
        };
        if self.subsampling == (true, true) {
            self.position = bits.small(2)?;
        }
        Ok(())
    }

    /// As in the binding to ISO media files, §5: `av01.0.04M.08`, longer where colours are not the usual ones.
    fn rfc6381(&self) -> String {
        let tier = if self.tier { 'H' } else { 'M' };
        let mut text = format!("av01.{}.{:02}{tier}.{:02}", self.profile, self.level, self.bits);
        let usual = !self.mono && self.subsampling == (true, true);
        if !usual || !matches!(self.colour, [1 | 2, 1 | 2, 1 | 2]) || self.full {
            let [primaries, transfer, matrix] = self.colour;
            let position = if self.subsampling == (true, true) { self.position } else { 0 };
            let (across, down) = (u8::from(self.subsampling.0), u8::from(self.subsampling.1));
            text += &format!(
                ".{}.{across}{down}{position}.{primaries:02}.{transfer:02}.{matrix:02}.{}",
                u8::from(self.mono),
                u8::from(self.full)
            );
        }
        text
    }
}

/// Level, tier and frame rate, from behind `reduced_still_picture_header` up to the size.
fn operating_points(bits: &mut Bits<'_>) -> Result<(u8, bool, Option<u32>), Ended> {
    let (mut rate, mut model) = (None, None);
    if bits.flag()? {
        let (units, scale) = (bits.number(32)?, bits.number(32)?);
        if bits.flag()? {
            let ticks = u64::from(bits.uvlc()?) + 1;
            rate = millihertz(u64::from(units).saturating_mul(ticks), scale.into());
        }
        if bits.flag()? {
            model = Some(bits.number(5)? as usize + 1);
            bits.skip(42)?; // num_units_in_decoding_tick and lengths
        }
    }
    let delays = bits.flag()?;
    let count = bits.number(5)?;
    let mut first = (0, false);
    for point in 0..=count {
        bits.skip(12)?; // operating_point_idc
        let level = bits.small(5)?;
        let tier = level > 7 && bits.flag()?;
        if point == 0 {
            first = (level, tier);
        }
        if let Some(length) = model
            && bits.flag()?
        {
            bits.skip(2 * length + 1)?;
        }
        if delays && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Ok((first.0, first.1, rate))
}

/// Passes over which tools are used.
fn tools(bits: &mut Bits<'_>) -> Result<(), Ended> {
    bits.skip(4)?; // interintra, masked, warped, dual filter
    let hints = bits.flag()?;
    if hints {
        bits.skip(2)?; // enable_jnt_comp, enable_ref_frame_mvs
    }
    let screen = bits.flag()? || bits.flag()?;
    if screen && !bits.flag()? {
        bits.skip(1)?; // seq_force_integer_mv
    }
    if hints {
        bits.skip(3)?; // order_hint_bits_minus_1
    }
    Ok(())
}
