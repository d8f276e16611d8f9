//! PES packets: an access unit with its times (ISO 13818-1 §2.4.3.6).

/// Clocks count 33 bits, then begin again.
pub(super) const CLOCK_MASK: u64 = 0x1_FFFF_FFFF;
pub(super) const STREAM_VIDEO: u8 = 0xE0;
pub(super) const STREAM_AUDIO: u8 = 0xC0;

/// Begins a PES packet of `body` bytes, 90 kHz times; a length that has no room is 0, which only pictures may have.
pub(super) fn head(stream: u8, pts: u64, dts: u64, body: usize, out: &mut Vec<u8>) {
    let both = pts != dts;
    let times: u8 = if both { 10 } else { 5 };
    let length = u16::try_from(body + 3 + usize::from(times)).unwrap_or(0);
    out.extend_from_slice(&[0, 0, 1, stream]);
    out.extend_from_slice(&length.to_be_bytes());
    // Aligned: what follows begins with an access unit.
    out.extend_from_slice(&[0x84, if both { 0xC0 } else { 0x80 }, times]);
    time(if both { 3 } else { 2 }, pts, out);
    if both {
        time(1, dts, out);
    }
}

/// 33 bits in three pieces, with a marker bit behind each.
fn time(prefix: u8, time: u64, out: &mut Vec<u8>) {
    let time = time & CLOCK_MASK;
    out.push(prefix << 4 | ((time >> 30) as u8) << 1 | 1);
    out.extend_from_slice(&((time >> 15) as u16 & 0x7FFF).wrapping_shl(1).wrapping_add(1).to_be_bytes());
    out.extend_from_slice(&(time as u16 & 0x7FFF).wrapping_shl(1).wrapping_add(1).to_be_bytes());
}
