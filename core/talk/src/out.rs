//! What one step of a connection leaves behind.

use bytes::{BufMut, BytesMut};

use crate::{Backend, Close};

/// The consequences of one step: calls for the backend, packets for the peer, and what happens then.
///
/// The shell lends the same `Out` to one connection after the other, so nothing here is allocated per
/// step.
pub struct Out<B: Backend> {
    /// Calls, in order.
    pub calls: Vec<B::Call>,
    /// Packets, in order.
    pub packets: Packets,
    /// What the shell does after it has written the packets.
    pub then: Then,
}

impl<B: Backend> Out<B> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { calls: Vec::new(), packets: Packets::default(), then: Then::GoOn }
    }

    /// Ends the talk once the packets are written. The first reason given stands.
    pub fn close(&mut self, close: Close) {
        if !matches!(self.then, Then::Close(_)) {
            self.then = Then::Close(close);
        }
    }
}

impl<B: Backend> Default for Out<B> {
    fn default() -> Self {
        Self::new()
    }
}

/// What follows after the packets of a step were written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Then {
    /// The talk goes on.
    #[default]
    GoOn,
    /// The stream changes to TLS (XMPP's STARTTLS, RFC 6120 §5).
    StartTls,
    /// The talk is over.
    Close(Close),
}

/// Packets in one buffer, with their bounds kept for shells that need them (WebSocket, datagrams).
#[derive(Debug, Default)]
pub struct Packets {
    bytes: BytesMut,
    ends: Vec<usize>,
}

impl Packets {
    /// Adds a packet that `write` appends to the buffer; returns what `write` returns.
    pub fn write<T>(&mut self, write: impl FnOnce(&mut BytesMut) -> T) -> T {
        let value = write(&mut self.bytes);
        self.ends.push(self.bytes.len());
        value
    }

    /// Adds a packet.
    pub fn push(&mut self, packet: &[u8]) {
        self.write(|bytes| bytes.put_slice(packet));
    }

    /// How many packets wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether no packet waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All packets behind one another: what a byte stream sends.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All packets behind one another, to be taken from (`split`, `advance`) by the shell, which then
    /// calls [`clear`](Self::clear).
    pub fn bytes_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// The packets one by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let packet = &self.bytes[start..end];
            start = end;
            packet
        })
    }

    /// Forgets the packets from number `first` on.
    pub fn truncate(&mut self, first: usize) {
        if first < self.ends.len() {
            self.bytes.truncate(self.start_of(first));
            self.ends.truncate(first);
        }
    }

    /// Puts a head before each packet from number `first` on, in place: `head_len` says how long the head
    /// of a packet of so many bytes is, `write_head` writes it.
    pub fn put_heads(
        &mut self,
        first: usize,
        head_len: impl Fn(usize) -> usize,
        mut write_head: impl FnMut(&mut [u8], usize),
    ) {
        let start = self.start_of(first);
        let mut from = start;
        let mut grown = 0;
        for end in self.ends.iter().skip(first) {
            grown += head_len(end - from);
            from = *end;
        }
        self.bytes.resize(self.bytes.len() + grown, 0);
        // From the last to the first, so that no packet is overwritten before it has moved.
        for i in (first..self.ends.len()).rev() {
            let end = self.ends[i];
            let packet = if i == first { start } else { self.ends[i - 1] };
            let len = end - packet;
            self.bytes.copy_within(packet..end, packet + grown);
            self.ends[i] = end + grown;
            let head = head_len(len);
            grown -= head;
            write_head(&mut self.bytes[packet + grown..packet + grown + head], len);
        }
    }

    /// Where packet number `i` begins, or would begin.
    fn start_of(&self, i: usize) -> usize {
        if i == 0 { 0 } else { self.ends.get(i - 1).copied().unwrap_or(self.bytes.len()) }
    }

    /// Forgets all packets and keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_keep_their_bounds() {
        let mut packets = Packets::default();
        packets.push(b"ab");
        packets.push(b"");
        packets.push(b"cde");
        assert_eq!(packets.iter().collect::<Vec<_>>(), [&b"ab"[..], b"", b"cde"]);
        assert_eq!(packets.bytes(), b"abcde");
        packets.clear();
        assert!(packets.is_empty());
    }

    #[test]
    fn heads_go_before_packets_in_place() {
        let mut packets = Packets::default();
        for packet in [&b"old"[..], b"a", b"", b"long"] {
            packets.push(packet);
        }
        packets.put_heads(1, |len| 1 + usize::from(len > 2), |head, len| head.fill(b'0' + len as u8));
        assert_eq!(packets.iter().collect::<Vec<_>>(), [&b"old"[..], b"1a", b"0", b"44long"]);
        packets.put_heads(4, |_| 1, |_, _| unreachable!());
        packets.truncate(2);
        assert_eq!(packets.bytes(), b"old1a");
        packets.truncate(5);
        assert_eq!(packets.len(), 2);
    }
}
