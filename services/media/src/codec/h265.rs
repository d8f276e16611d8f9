//! H.265: the hvcC record (ISO 14496-15 §8.3.3.1) and the sequence parameter set (ITU-T H.265 §7.3.2.2).

use bytes::{BufMut, Bytes, BytesMut};
use yizhan_wire::Reader;

use super::{
    CodecError, Ended, Faults, SIDE_MAX,
    bits::{Bits, unescape},
    millihertz, nal,
};
use crate::track::{Codec, Detail, Track};

const FAULTS: Faults = Faults::of(Codec::H265);

/// Parameter sets of one kind in a record. The standard allows 16 VPS, 16 SPS and 64 PPS.
const SETS_MAX: usize = 64;

/// Types of NAL units (H.265 table 7-1).
mod unit {
    /// BLA, IDR and CRA pictures, and two types that are kept for more of them: decoding can begin with each.
    pub(super) const IRAP: std::ops::RangeInclusive<u8> = 16..=23;
    pub(super) const VPS: u8 = 32;
    pub(super) const SPS: u8 = 33;
    pub(super) const PPS: u8 = 34;
}

/// Profile, tier and level as they stand in records and in parameter sets: twelve bytes (§7.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Space (2 bits), tier (1 bit), profile (5 bits).
    pub head: u8,
    /// Which profiles a decoder may have, the first one in the highest bit.
    pub compatible: u32,
    /// Constraints.
    pub constraints: [u8; 6],
    /// 30 times the level.
    pub level: u8,
}

impl Profile {
    /// As in RFC 6381 and ISO 14496-15 §E.3: `hvc1.1.6.L93.B0`.
    #[must_use]
    pub fn rfc6381(&self) -> String {
        let space = ["", "A", "B", "C"][usize::from(self.head >> 6)];
        let tier = if self.head & 0x20 == 0 { 'L' } else { 'H' };
        let idc = self.head & 0x1f;
        let mut text = format!("hvc1.{space}{idc}.{:X}.{tier}{}", self.compatible.reverse_bits(), self.level);
        let len = self.constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for byte in &self.constraints[..len] {
            text += &format!(".{byte:X}");
        }
        text
    }

    fn read(bits: &mut Bits<'_>) -> Result<Self, Ended> {
        let (head, compatible) = (bits.small(8)?, bits.number(32)?);
        let mut constraints = [0; 6];
        for byte in &mut constraints {
            *byte = bits.small(8)?;
        }
        Ok(Self { head, compatible, constraints, level: bits.small(8)? })
    }
}

/// An hvcC record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Bytes of the lengths before NAL units in frames that come with this record: 1 to 4.
    pub length_size: u8,
    /// Video parameter sets; at least one.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets; at least one.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets; at least one.
    pub pps: Vec<Bytes>,
}

impl Record {
    /// Reads a record. What it says beside its parameter sets is taken from these.
    ///
    /// # Errors
    /// It is cut short, or has no parameter sets.
    pub fn read(record: &[u8]) -> Result<Self, CodecError> {
        let short = FAULTS.ended("its record (hvcC)");
        let mut bytes = Reader::new(record);
        let head: [u8; 23] = bytes.array().map_err(&short)?;
        // Early encoders wrote 0.
        if head[0] > 1 {
            return Err(FAULTS.bad("the record (hvcC) is not of version 1"));
        }
        let mut record = Self { length_size: (head[21] & 3) + 1, vps: vec![], sps: vec![], pps: vec![] };
        for _ in 0..head[22] {
            let kind = bytes.u8().map_err(&short)? & 0x3f;
            let count = bytes.u16_be().map_err(&short)?;
            for _ in 0..count {
                let set = bytes.u16_bytes(usize::MAX).map_err(FAULTS.ended("a parameter set"))?;
                let sets = match kind {
                    unit::VPS => &mut record.vps,
                    unit::SPS => &mut record.sps,
                    unit::PPS => &mut record.pps,
                    // SEI messages are information only.
                    _ => continue,
                };
                sets.push(Bytes::copy_from_slice(set));
            }
        }
        record.checked()
    }

    /// A record of parameter sets that came in the stream.
    ///
    /// # Errors
    /// One kind of them is missing, or there are more than a record can have.
    pub fn of(vps: Vec<Bytes>, sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, CodecError> {
        Self { length_size: 4, vps, sps, pps }.checked()
    }

    fn checked(self) -> Result<Self, CodecError> {
        for (kind, sets) in self.sets() {
            if sets.is_empty() {
                return Err(FAULTS.bad("the record has no parameter sets"));
            }
            if sets.iter().any(|set| set.first().is_none_or(|head| head >> 1 & 0x3f != kind)) {
                return Err(FAULTS.bad("a parameter set is of another type"));
            }
            if sets.len() > SETS_MAX || sets.iter().any(|set| set.len() > usize::from(u16::MAX)) {
                return Err(FAULTS.bad("there are more parameter sets than a record can have"));
            }
        }
        Ok(self)
    }

    const fn sets(&self) -> [(u8, &Vec<Bytes>); 3] {
        [(unit::VPS, &self.vps), (unit::SPS, &self.sps), (unit::PPS, &self.pps)]
    }

    /// The record as this frame makes it, where it brings parameter sets that the record does not have. None where it
    /// brings none, or too many.
    #[must_use]
    pub fn renewed(&self, data: &Bytes) -> Option<Self> {
        let (mut vps, mut sps, mut pps, mut is_new) = (vec![], vec![], vec![], false);
        for nal in nal::units(data) {
            let (sets, known) = match nal[0] >> 1 & 0x3f {
                unit::VPS => (&mut vps, &self.vps),
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
        Self::of(or(vps, &self.vps), or(sps, &self.sps), or(pps, &self.pps)).ok()
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
        Ok(Track {
            codec: Codec::H265,
            record: self.write(&sps),
            detail: Detail::Video { width: sps.width, height: sps.height, millihertz: sps.millihertz },
            rfc6381: sps.profile.rfc6381(),
        })
    }

    fn write(&self, sps: &Sps) -> Bytes {
        let mut into = BytesMut::new();
        let Profile { head, compatible, constraints, level } = sps.profile;
        into.put_slice(&[1, head]);
        into.put_u32(compatible);
        into.put_slice(&constraints);
        into.put_u8(level);
        // No minimum of spatial segmentation, and parallelism not known.
        into.put_slice(&[0xf0, 0, 0xfc]);
        into.put_slice(&[0xfc | sps.chroma, 0xf8 | (sps.luma_bits - 8), 0xf8 | (sps.chroma_bits - 8)]);
        // No average frame rate; layers in time, nesting, and lengths of four bytes.
        into.put_slice(&[0, 0, sps.layers << 3 | u8::from(sps.nested) << 2 | 3, 3]);
        for (kind, sets) in self.sets() {
            // All of them are here: none come in the stream.
            into.put_u8(0x80 | kind);
            // Counts and lengths were compared with their bounds.
            into.put_u16(u16::try_from(sets.len()).unwrap_or(u16::MAX));
            for set in sets {
                into.put_u16(u16::try_from(set.len()).unwrap_or(u16::MAX));
                into.put_slice(set);
            }
        }
        into.freeze()
    }
}

/// What a sequence parameter set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// Profile, tier and level.
    pub profile: Profile,
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
    /// Layers in time, 1 to 7.
    pub layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub nested: bool,
    /// How many pictures may come before one that is shown earlier; 0 means that there are no B frames out of order.
    pub reorder: Option<u8>,
}

impl Sps {
    /// Reads a sequence parameter set with its NAL head.
    ///
    /// # Errors
    /// It is cut short or breaks the standard.
    pub fn read(nal: &[u8]) -> Result<Self, CodecError> {
        let plain = unescape(nal);
        let mut bits = Bits::new(plain.get(2..).unwrap_or_default());
        Self::parse(&mut bits).map_err(|_| FAULTS.short("a parameter set"))?
    }

    fn parse(bits: &mut Bits<'_>) -> Result<Result<Self, CodecError>, Ended> {
        bits.skip(4)?; // sps_video_parameter_set_id
        let sublayers = bits.small(3)?;
        let nested = bits.flag()?;
        if sublayers > 6 {
            return Ok(Err(FAULTS.bad("a parameter set has more than seven layers in time")));
        }
        let profile = Profile::read(bits)?;
        skip_sublayers(bits, sublayers)?;
        bits.ue()?; // sps_seq_parameter_set_id
        let chroma = bits.ue()?;
        let separate = chroma == 3 && bits.flag()?;
        let (width, height) = (u64::from(bits.ue()?), u64::from(bits.ue()?));
        let (mut cut_x, mut cut_y) = (0, 0);
        if bits.flag()? {
            let (unit_x, unit_y) = match (separate, chroma) {
                (false, 1) => (2, 2),
                (false, 2) => (2, 1),
                _ => (1, 1),
            };
            cut_x = (u64::from(bits.ue()?) + u64::from(bits.ue()?)) * unit_x;
            cut_y = (u64::from(bits.ue()?) + u64::from(bits.ue()?)) * unit_y;
        }
        let luma_bits = bits.ue()?.saturating_add(8);
        let chroma_bits = bits.ue()?.saturating_add(8);
        if chroma > 3 || luma_bits > 16 || chroma_bits > 16 {
            return Ok(Err(FAULTS.bad("a parameter set has a sample format that does not exist")));
        }
        let side = |pixels: u64| u32::try_from(pixels).ok().filter(|side| (1..=SIDE_MAX).contains(side));
        let (Some(width), Some(height)) =
            (side(width.saturating_sub(cut_x)), side(height.saturating_sub(cut_y)))
        else {
            return Ok(Err(FAULTS.bad("a parameter set has a size that no picture has")));
        };
        // What follows is information only: where it is broken it is as if it were not there.
        let mut reorder = None;
        let millihertz = timing(bits, sublayers, &mut reorder).unwrap_or_default();
        Ok(Ok(Self {
            profile,
            width,
            height,
            millihertz,
            // At most 3 and 16, as seen above.
            chroma: chroma as u8,
            luma_bits: luma_bits as u8,
            chroma_bits: chroma_bits as u8,
            layers: sublayers + 1,
            nested,
            reorder,
        }))
    }
}

/// Passes over profiles and levels of layers in time (§7.3.3).
fn skip_sublayers(bits: &mut Bits<'_>, sublayers: u8) -> Result<(), Ended> {
    if sublayers == 0 {
        return Ok(());
    }
    let flags = bits.number(16)?;
    for layer in 0..u32::from(sublayers) {
        let of_layer = flags >> (14 - 2 * layer) & 3;
        bits.skip(if of_layer & 2 == 0 { 0 } else { 88 })?;
        bits.skip(if of_layer & 1 == 0 { 0 } else { 8 })?;
    }
    Ok(())
}

/// From behind the sample format up to the frame rate.
fn timing(bits: &mut Bits<'_>, sublayers: u8, reorder: &mut Option<u8>) -> Result<Option<u32>, Ended> {
    let order_bits = bits.ue()?.saturating_add(4);
    if order_bits > 16 {
        return Err(Ended);
    }
    let each = bits.flag()?; // sps_sub_layer_ordering_info_present_flag
    for _ in 0..=if each { sublayers } else { 0 } {
        bits.ue()?; // sps_max_dec_pic_buffering_minus1
        *reorder = u8::try_from(bits.ue()?).ok();
        bits.ue()?; // sps_max_latency_increase_plus1
    }
    for _ in 0..6 {
        bits.ue()?; // sizes of blocks, depths of their hierarchies
    }
    if bits.flag()? && bits.flag()? {
        scaling(bits)?;
    }
    bits.skip(2)?; // amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.flag()? {
        bits.skip(8)?; // depths of PCM samples
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?; // pcm_loop_filter_disabled_flag
    }
    short_term_sets(bits)?;
    if bits.flag()? {
        let count = bits.ue()?;
        if count > 32 {
            return Err(Ended);
        }
        // lt_ref_pic_poc_lsb_sps, used_by_curr_pic_lt_sps_flag
        bits.skip(count as usize * (order_bits as usize + 1))?;
    }
    bits.skip(2)?; // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    if bits.flag()? { usability(bits) } else { Ok(None) }
}

/// Passes over scaling lists (§7.3.4).
fn scaling(bits: &mut Bits<'_>) -> Result<(), Ended> {
    for size in 0..4 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !bits.flag()? {
                bits.ue()?; // scaling_list_pred_matrix_id_delta
                continue;
            }
            if size > 1 {
                bits.se()?; // scaling_list_dc_coef_minus8
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                bits.se()?;
            }
        }
    }
    Ok(())
}

/// Passes over all sets of short-term reference pictures (§7.3.7).
fn short_term_sets(bits: &mut Bits<'_>) -> Result<(), Ended> {
    let count = bits.ue()?;
    if count > 64 {
        return Err(Ended);
    }
    // Pictures of the set before.
    let mut pictures = 0;
    for set in 0..count {
        if set > 0 && bits.flag()? {
            bits.skip(1)?; // delta_rps_sign
            bits.ue()?; // abs_delta_rps_minus1
            let mut kept = 0;
            for _ in 0..=pictures {
                let used = bits.flag()?;
                if used || bits.flag()? {
                    kept += 1;
                }
            }
            pictures = kept;
        } else {
            let (before, behind) = (bits.ue()?, bits.ue()?);
            if before > 16 || behind > 16 {
                return Err(Ended);
            }
            for _ in 0..before + behind {
                bits.ue()?;
                bits.skip(1)?;
            }
            pictures = before + behind;
        }
    }
    Ok(())
}

/// The frame rate out of the video usability information (§E.2.1).
fn usability(bits: &mut Bits<'_>) -> Result<Option<u32>, Ended> {
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
    bits.skip(3)?; // neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag
    if bits.flag()? {
        for _ in 0..4 {
            bits.ue()?; // default display window
        }
    }
    if !bits.flag()? {
        return Ok(None);
    }
    let (units, scale) = (bits.number(32)?, bits.number(32)?);
    Ok(millihertz(units.into(), scale.into()))
}

/// Whether decoding can begin with this frame: it has an IDR, CRA or BLA picture.
#[must_use]
pub fn is_key(data: &[u8]) -> bool {
    nal::units(data).any(|nal| unit::IRAP.contains(&(nal[0] >> 1 & 0x3f)))
}
