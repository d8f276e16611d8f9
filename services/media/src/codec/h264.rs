//! H.264: the avcC record (ISO 14496-15 §5.3.3.1) and the sequence parameter set (ISO 14496-10 §7.3.2.1).

use bytes::{BufMut, Bytes, BytesMut};
use yizhan_wire::Reader;

use super::{
    CodecError, Ended, Faults, SIDE_MAX,
    bits::{Bits, unescape},
    millihertz, nal,
};
use crate::track::{Codec, Detail, Track};

const FAULTS: Faults = Faults::of(Codec::H264);

/// Types of NAL units (ISO 14496-10 table 7-1).
mod unit {
    pub(super) const IDR: u8 = 5;
    pub(super) const SEI: u8 = 6;
    pub(super) const SPS: u8 = 7;
    pub(super) const PPS: u8 = 8;
    pub(super) const SPS_EXT: u8 = 13;
}

/// The SEI message that says "decoding can begin here" where there is no IDR picture (§D.1.8).
const RECOVERY_POINT: u32 = 6;

/// An avcC record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Bytes of the lengths before NAL units in frames that come with this record: 1 to 4.
    pub length_size: u8,
    /// Sequence parameter sets; at least one.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets; at least one.
    pub pps: Vec<Bytes>,
    /// Extensions of sequence parameter sets; almost always none.
    pub sps_ext: Vec<Bytes>,
}

impl Record {
    /// Reads a record. Its profile and level are taken from the parameter set: some encoders leave them empty.
    ///
    /// # Errors
    /// It is cut short, or has no parameter sets.
    pub fn read(record: &[u8]) -> Result<Self, CodecError> {
        let short = |_| FAULTS.short("its record (avcC)");
        let mut bytes = Reader::new(record);
        let [version, _profile, _compatibility, _level, lengths, count] = bytes.array().map_err(short)?;
        if version != 1 {
            return Err(FAULTS.bad("the record (avcC) is not of version 1"));
        }
        let sps = sets(&mut bytes, count & 0x1f, unit::SPS)?;
        let count = bytes.u8().map_err(short)?;
        let pps = sets(&mut bytes, count, unit::PPS)?;
        // Four bytes more for high profiles, which many writers leave out.
        let sps_ext = match bytes.array() {
            Ok([_, _, _, count]) => sets(&mut bytes, count, unit::SPS_EXT).unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let record = Self { length_size: (lengths & 3) + 1, sps, pps, sps_ext };
        record.checked()
    }

    /// A record of parameter sets that came in the stream.
    ///
    /// # Errors
    /// One kind of them is missing, or there are more than a record can have.
    pub fn of(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, CodecError> {
        let is =
            |sets: &[Bytes], kind| sets.iter().all(|set| set.first().is_some_and(|head| head & 0x1f == kind));
        if !is(&sps, unit::SPS) || !is(&pps, unit::PPS) {
            return Err(FAULTS.bad("a parameter set is of another type"));
        }
        let large = |set: &Bytes| set.len() > usize::from(u16::MAX);
        if sps.len() > 31 || pps.len() > 255 || sps.iter().any(large) || pps.iter().any(large) {
            return Err(FAULTS.bad("there are more parameter sets than a record can have"));
        }
        Self { length_size: 4, sps, pps, sps_ext: Vec::new() }.checked()
    }

    fn checked(self) -> Result<Self, CodecError> {
        if self.sps.is_empty() || self.pps.is_empty() {
            return Err(FAULTS.bad("the record has no parameter sets"));
        }
        if self.sps[0].len() < 4 {
            return Err(FAULTS.short("a parameter set"));
        }
        Ok(self)
    }

    /// The record as this frame makes it, where it brings parameter sets that the record does not have. None where it
    /// brings none, or too many.
    #[must_use]
    pub fn renewed(&self, data: &Bytes) -> Option<Self> {
        let (mut sps, mut pps, mut is_new) = (vec![], vec![], false);
        for nal in nal::units(data) {
            let (sets, known) = match nal[0] & 0x1f {
                unit::SPS => (&mut sps, &self.sps),
                unit::PPS => (&mut pps, &self.pps),
                _ => continue,
            };
            is_new |= !known.iter().any(|set| set == nal);
            sets.push(Bytes::copy_from_slice(nal));
        }
        if !is_new {
            return None;
        }
        let or = |sets: Vec<Bytes>, known: &Vec<Bytes>| if sets.is_empty() { known.clone() } else { sets };
        Self::of(or(sps, &self.sps), or(pps, &self.pps)).ok()
    }

    /// The first sequence parameter set.
    ///
    /// # Errors
    /// It is cut short or breaks the standard.
    pub fn picture(&self) -> Result<Sps, CodecError> {
        Sps::read(&self.sps[0])
    }

    /// The track: with lengths of four bytes.
    ///
    /// # Errors
    /// The parameter set breaks the standard.
    pub fn track(&self) -> Result<Track, CodecError> {
        let sps = self.picture()?;
        let [profile, compatibility, level] = self.profile();
        Ok(Track {
            codec: Codec::H264,
            record: self.write(&sps),
            detail: Detail::Video { width: sps.width, height: sps.height, millihertz: sps.millihertz },
            rfc6381: format!("avc1.{profile:02x}{compatibility:02x}{level:02x}"),
        })
    }

    /// Profile, constraints and level: the three bytes behind the head of the parameter set.
    #[must_use]
    pub fn profile(&self) -> [u8; 3] {
        self.sps.first().and_then(|sps| sps.get(1..4)?.try_into().ok()).unwrap_or_default()
    }

    fn write(&self, sps: &Sps) -> Bytes {
        let mut into = BytesMut::new();
        let [profile, compatibility, level] = self.profile();
        into.put_slice(&[1, profile, compatibility, level, 0xff]);
        put_sets(&self.sps, 0xe0, &mut into);
        put_sets(&self.pps, 0, &mut into);
        if !matches!(profile, 66 | 77 | 88) {
            into.put_slice(&[0xfc | sps.chroma, 0xf8 | (sps.luma_bits - 8), 0xf8 | (sps.chroma_bits - 8)]);
            put_sets(&self.sps_ext, 0, &mut into);
        }
        into.freeze()
    }
}

/// So many parameter sets, each behind its length.
fn sets(bytes: &mut Reader<'_>, count: u8, kind: u8) -> Result<Vec<Bytes>, CodecError> {
    let mut sets = Vec::new();
    for _ in 0..count {
        let set = bytes.u16_bytes(usize::MAX).map_err(FAULTS.ended("a parameter set"))?;
        if set.first().is_none_or(|head| head & 0x1f != kind) {
            return Err(FAULTS.bad("a parameter set is of another type"));
        }
        sets.push(Bytes::copy_from_slice(set));
    }
    Ok(sets)
}

/// Counts and lengths come from a record or were compared with its bounds.
fn put_sets(sets: &[Bytes], reserved: u8, into: &mut BytesMut) {
    into.put_u8(reserved | u8::try_from(sets.len()).unwrap_or(u8::MAX));
    for set in sets {
        into.put_u16(u16::try_from(set.len()).unwrap_or(u16::MAX));
        into.put_slice(set);
    }
}

/// What a sequence parameter set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// Pixels, cropped.
    pub width: u32,
    /// Pixels, cropped.
    pub height: u32,
    /// Frames in 1,000 seconds, where it says so.
    pub millihertz: Option<u32>,
    /// `chroma_format_idc`: 0 is grey, 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma: u8,
    /// Bits of a luma sample.
    pub luma_bits: u8,
    /// Bits of a chroma sample.
    pub chroma_bits: u8,
    /// How many pictures may come before one that is shown earlier; 0 means that there are no B frames out of order.
    pub reorder: Option<u8>,
    /// Pictures may be fields (interlaced).
    pub fields: bool,
}

impl Sps {
    /// Reads a sequence parameter set with its NAL head.
    ///
    /// # Errors
    /// It is cut short or breaks the standard.
    pub fn read(nal: &[u8]) -> Result<Self, CodecError> {
        let plain = unescape(nal);
        let mut bits = Bits::new(plain.get(1..).unwrap_or_default());
        Self::parse(&mut bits).map_err(|_| FAULTS.short("a parameter set"))?
    }

    fn parse(bits: &mut Bits<'_>) -> Result<Result<Self, CodecError>, Ended> {
        let profile = bits.small(8)?;
        let constraints = bits.small(8)?;
        bits.skip(8)?; // level_idc
        bits.ue()?; // seq_parameter_set_id
        let (mut chroma, mut separate, mut luma_bits, mut chroma_bits) = (1, false, 8, 8);
        if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            chroma = bits.ue()?;
            separate = chroma == 3 && bits.flag()?;
            luma_bits = bits.ue()?.saturating_add(8);
            chroma_bits = bits.ue()?.saturating_add(8);
            bits.skip(1)?; // qpprime_y_zero_transform_bypass_flag
            if bits.flag()? {
                scaling(bits, if chroma == 3 { 12 } else { 8 })?;
            }
        }
        if chroma > 3 || luma_bits > 14 || chroma_bits > 14 {
            return Ok(Err(FAULTS.bad("a parameter set has a sample format that does not exist")));
        }
        bits.ue()?; // log2_max_frame_num_minus4
        let order = bits.ue()?;
        if !picture_order(bits, order)? {
            return Ok(Err(FAULTS.bad("a parameter set has a picture order that does not exist")));
        }
        bits.ue()?; // max_num_ref_frames
        bits.skip(1)?; // gaps_in_frame_num_value_allowed_flag
        let across = bits.ue()?;
        let down = bits.ue()?;
        let frames_only = bits.flag()?;
        if !frames_only {
            bits.skip(1)?; // mb_adaptive_frame_field_flag
        }
        bits.skip(1)?; // direct_8x8_inference_flag
        let fields = u64::from(!frames_only) + 1;
        let (unit_x, unit_y) = match (separate, chroma) {
            (false, 1) => (2, 2 * fields),
            (false, 2) => (2, fields),
            _ => (1, fields),
        };
        let (mut cut_x, mut cut_y) = (0, 0);
        if bits.flag()? {
            cut_x = (u64::from(bits.ue()?) + u64::from(bits.ue()?)) * unit_x;
            cut_y = (u64::from(bits.ue()?) + u64::from(bits.ue()?)) * unit_y;
        }
        let width = ((u64::from(across) + 1) * 16).saturating_sub(cut_x);
        let height = ((u64::from(down) + 1) * 16 * fields).saturating_sub(cut_y);
        let side = |pixels: u64| u32::try_from(pixels).ok().filter(|side| (1..=SIDE_MAX).contains(side));
        let (Some(width), Some(height)) = (side(width), side(height)) else {
            return Ok(Err(FAULTS.bad("a parameter set has a size that no picture has")));
        };
        // What follows is information only: where it is broken it is as if it were not there.
        let (millihertz, reorder) =
            if bits.flag().unwrap_or(false) { usability(bits).unwrap_or_default() } else { (None, None) };
        let in_order =
            order == 2 || profile == 66 || matches!((profile, constraints & 0x10), (44, _) | (100.., 0x10));
        Ok(Ok(Self {
            width,
            height,
            millihertz,
            // At most 3 and 14, as seen above.
            chroma: chroma as u8,
            luma_bits: luma_bits as u8,
            chroma_bits: chroma_bits as u8,
            reorder: if in_order { Some(0) } else { reorder },
            fields: !frames_only,
        }))
    }
}

/// Passes over scaling lists (§7.3.2.1.1.1).
fn scaling(bits: &mut Bits<'_>, lists: usize) -> Result<(), Ended> {
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.se()?.clamp(-128, 127) + 256) % 256;
            }
            last = if next == 0 { last } else { next };
        }
    }
    Ok(())
}

/// Passes over what belongs to `pic_order_cnt_type`; `false` where that does not exist.
fn picture_order(bits: &mut Bits<'_>, order: u32) -> Result<bool, Ended> {
    match order {
        0 => drop(bits.ue()?), // log2_max_pic_order_cnt_lsb_minus4
        1 => {
            bits.skip(1)?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            let cycle = bits.ue()?;
            if cycle > 255 {
                return Ok(false);
            }
            for _ in 0..cycle {
                bits.se()?;
            }
        }
        2 => {}
        _ => return Ok(false),
    }
    Ok(true)
}

/// Frame rate and reordering out of the video usability information (§E.1.1).
fn usability(bits: &mut Bits<'_>) -> Result<(Option<u32>, Option<u8>), Ended> {
    if bits.flag()? && bits.number(8)? == 255 {
        bits.skip(32)?; // sar_width, sar_height
    }
    if bits.flag()? {
        bits.skip(1)?; // overscan_appropriate_flag
    }
    if bits.flag()? {
        bits.skip(4)?; // video_format, video_full_range_flag
        if bits.flag()? {
            bits.skip(24)?; // colour description
        }
    }
    if bits.flag()? {
        bits.ue()?; // chroma_sample_loc_type_top_field
        bits.ue()?; // chroma_sample_loc_type_bottom_field
    }
    let mut rate = None;
    if bits.flag()? {
        let (units, scale) = (bits.number(32)?, bits.number(32)?);
        bits.skip(1)?; // fixed_frame_rate_flag
        // Two units, of fields, make a frame.
        rate = millihertz(u64::from(units) * 2, scale.into());
    }
    let reorder = restriction(bits).unwrap_or_default();
    Ok((rate, reorder))
}

/// `max_num_reorder_frames`, behind the parameters of the buffer model.
fn restriction(bits: &mut Bits<'_>) -> Result<Option<u8>, Ended> {
    let mut models = false;
    for _ in 0..2 {
        if bits.flag()? {
            models = true;
            let count = bits.ue()?.min(31);
            bits.skip(8)?; // bit_rate_scale, cpb_size_scale
            for _ in 0..=count {
                bits.ue()?;
                bits.ue()?;
                bits.skip(1)?;
            }
            bits.skip(20)?; // lengths of delays and offsets
        }
    }
    if models {
        bits.skip(1)?; // low_delay_hrd_flag
    }
    bits.skip(1)?; // pic_struct_present_flag
    if !bits.flag()? {
        return Ok(None);
    }
    bits.skip(1)?; // motion_vectors_over_pic_boundaries_flag
    for _ in 0..4 {
        bits.ue()?;
    }
    Ok(u8::try_from(bits.ue()?).ok())
}

/// Whether decoding can begin with this frame: it has an IDR picture, or an SEI message says so, or it brings a sequence
/// parameter set and refers to no other picture, as encoders without IDR pictures do where one may begin.
#[must_use]
pub fn is_key(data: &[u8]) -> bool {
    let mut has_set = false;
    let says_so = nal::units(data).any(|nal| match nal[0] & 0x1f {
        unit::IDR => true,
        unit::SEI => has_recovery_point(&nal[1..]),
        unit::SPS => {
            has_set = true;
            false
        }
        _ => false,
    });
    says_so || has_set && is_intra(data)
}

/// Whether all slices are of a picture that refers to no other. Encoders without IDR pictures may call such a frame a
/// key frame; alone it says less.
#[must_use]
pub fn is_intra(data: &[u8]) -> bool {
    let mut slices = nal::units(data).filter(|nal| matches!(nal[0] & 0x1f, 1..=unit::IDR)).peekable();
    slices.peek().is_some()
        && slices.all(|nal| {
            // The head of a slice begins with two numbers: its first macroblock and its type.
            let plain = unescape(&nal[..nal.len().min(16)]);
            let mut bits = Bits::new(plain.get(1..).unwrap_or_default());
            bits.ue().is_ok() && bits.ue().is_ok_and(|slice| slice % 5 == 2)
        })
}

/// Whether one of the messages of an SEI unit is a recovery point (§7.3.2.3.1).
fn has_recovery_point(mut sei: &[u8]) -> bool {
    /// Numbers in bytes: each 255 means that there is more.
    fn number(sei: &mut &[u8]) -> Option<u32> {
        let mut value = 0_u32;
        loop {
            let (byte, rest) = sei.split_first()?;
            *sei = rest;
            value = value.saturating_add((*byte).into());
            if *byte != 255 {
                return Some(value);
            }
        }
    }
    while sei.len() > 2 {
        let (Some(kind), Some(len)) = (number(&mut sei), number(&mut sei)) else { return false };
        if kind == RECOVERY_POINT {
            return true;
        }
        let Some(rest) = usize::try_from(len).ok().and_then(|len| sei.get(len..)) else { return false };
        sei = rest;
    }
    false
}
