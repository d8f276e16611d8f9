//! Packets of 188 bytes, and their counters (ISO 13818-1 §2.4.3).

/// Bytes of a packet.
pub(super) const PACKET_BYTES: usize = 188;
/// What is left of a packet behind its header.
const ROOM: usize = PACKET_BYTES - 4;
/// Continuity counters have four bits.
const COUNTERS: usize = 16;

/// What a PES packet's first TS packet says in its adaptation field (§2.4.3.4).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    /// The programme clock reference, 90 kHz.
    pub(super) clock: Option<u64>,
    /// Decoding can begin here.
    pub(super) random_access: bool,
}

impl Mark {
    /// Bytes of the adaptation field with its length, without stuffing.
    fn bytes(self) -> usize {
        match (self.clock, self.random_access) {
            (Some(_), _) => 8,
            (None, true) => 2,
            (None, false) => 0,
        }
    }
}

/// One packet identifier's packets within a segment. Counts from 0.
#[derive(Debug)]
pub(super) struct Lane {
    pid: u16,
    counter: usize,
}

/// Whether more of a lane follows in this segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    More,
    /// The lane's last: it is spread over as many packets as bring the counter back to 0, where the next segment, which
    /// knows nothing of this one, begins.
    Last,
}

impl Lane {
    pub(super) fn new(pid: u16, counter: u64) -> Self {
        // Sixteen values.
        Self { pid, counter: (counter % COUNTERS as u64) as usize }
    }

    /// Writes a table section, which fits into a packet.
    pub(super) fn section(&mut self, section: &[u8], out: &mut Vec<u8>) {
        debug_assert!(section.len() < ROOM);
        self.head(true, false, out);
        out.push(0);
        out.extend_from_slice(section);
        out.resize(out.len() + ROOM - 1 - section.len(), 0xFF);
    }

    /// Writes a PES packet. It has at least as many bytes as there are counters.
    pub(super) fn pes(&mut self, mark: Mark, turn: Turn, bytes: &[u8], out: &mut Vec<u8>) {
        debug_assert!(bytes.len() >= COUNTERS);
        let mut left = self.packets(mark, turn, bytes.len());
        let mut rest = bytes;
        let mut mark = mark;
        let mut first = true;
        while !rest.is_empty() {
            // Every packet that is to come gets a byte at least.
            let take = (ROOM - mark.bytes()).min(rest.len() - (left - 1));
            let (now, then) = rest.split_at(take);
            let adaptation = ROOM - take;
            self.head(first, adaptation > 0, out);
            if adaptation > 0 {
                adapt(mark, adaptation, out);
            }
            out.extend_from_slice(now);
            (rest, mark, first) = (then, Mark::default(), false);
            left -= 1;
        }
    }

    /// How many packets this many bytes are to have.
    fn packets(&self, mark: Mark, turn: Turn, bytes: usize) -> usize {
        let first = ROOM - mark.bytes();
        let least = 1 + bytes.saturating_sub(first).div_ceil(ROOM);
        match turn {
            Turn::More => least,
            Turn::Last => (self.counter + least).next_multiple_of(COUNTERS) - self.counter,
        }
    }

    fn head(&mut self, first: bool, adapted: bool, out: &mut Vec<u8>) {
        let pid = self.pid | if first { 0x4000 } else { 0 };
        let control = if adapted { 0x30 } else { 0x10 };
        out.extend_from_slice(&[0x47, (pid >> 8) as u8, pid as u8, control | self.counter as u8]);
        self.counter = (self.counter + 1) % COUNTERS;
    }
}

/// An adaptation field of exactly `bytes`, its length among them; stuffed.
fn adapt(mark: Mark, bytes: usize, out: &mut Vec<u8>) {
    let end = out.len() + bytes;
    out.push((bytes - 1) as u8);
    if bytes > 1 {
        let flags = if mark.random_access { 0x40 } else { 0 } | if mark.clock.is_some() { 0x10 } else { 0 };
        out.push(flags);
    }
    if let Some(clock) = mark.clock {
        // 33 bits, six reserved ones, nine of the extension, which is 0.
        let value = (clock & super::pes::CLOCK_MASK) << 15 | 0x7E00;
        out.extend_from_slice(&value.to_be_bytes()[2..]);
    }
    out.resize(end, 0xFF);
}
