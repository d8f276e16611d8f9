//! PES packets: an access unit with its times (ISO 13818-1 §2.4.3.6).

/// Clocks count 33 bits, then begin again.
pub(super) const CLOCK_MASK: u64 = 0x1_FFFF_FFFF;
pub(super) const STREAM_VIDEO: u8 = 0xE0;
pub(super) const STREAM_AUDIO: u8 = 0xC0;

/// Begins a PES packet, 90 kHz times. What it is of is appended, then it is [`close`]d.
pub(super) fn open(stream: u8, pts: u64, dts: u64, out: &mut Vec<u8>) {
    let both = pts != dts;
    out.extend_from_slice(&[0, 0, 1, stream, 0, 0]);
    // Aligned: what follows begins with an access unit.
    out.extend_from_slice(&[0x84, if both { 0xC0 } else { 0x80 }, if both { 10 } else { 5 }]);
    time(if both { 3 } else { 2 }, pts, out);
    if both {
        time(1, dts, out);
    }
}

/// Says how long a whole packet is; 0 where that has no room, which only pictures may have.
pub(super) fn close(packet: &mut [u8]) {
    let length = u16::try_from(packet.len() - 6).unwrap_or(0);
    packet[4..6].copy_from_slice(&length.to_be_bytes());
}

/// 33 bits in three pieces, with a marker bit behind each.
fn time(prefix: u8, time: u64, out: &mut Vec<u8>) {
    let time = time & CLOCK_MASK;
    out.push(prefix << 4 | ((time >> 30) as u8) << 1 | 1);
    out.extend_from_slice(&((time >> 15) as u16 & 0x7FFF).wrapping_shl(1).wrapping_add(1).to_be_bytes());
    out.extend_from_slice(&(time as u16 & 0x7FFF).wrapping_shl(1).wrapping_add(1).to_be_bytes());
}
