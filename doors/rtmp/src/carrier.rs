//! What both sides of RTMP do alike: messages out of chunks, messages into chunks, acknowledgements.

use bytes::BytesMut;
use yizhan_media::amf::Value;
use yizhan_talk::Packets;

use crate::wire::{
    ChunkError, ChunkReader, Control, Head, Limits, Message, OUT_CHUNK_BYTES, UserControl,
    chunk::on,
    command::command,
    message::{Limit, kind},
    write_message,
};

/// Bytes of a message that is no sound and no picture: commands, and data such as `onMetaData`.
const OTHER_BYTES_MAX: usize = 256 * 1024;
/// What stands in a message of sound or picture besides the frame: the prefix of E-RTMP is at most 12 bytes long, and a
/// sequence header has no frame.
const MEDIA_HEAD_BYTES: usize = 64;
/// What is acknowledged before the other side has said how often it wants to hear: what Adobe's servers say.
pub(crate) const WINDOW_BYTES: u32 = 2_500_000;

/// The bounds before anything may be published.
pub(crate) const COMMANDS_ONLY: Limits =
    Limits { media_bytes_max: OTHER_BYTES_MAX, other_bytes_max: OTHER_BYTES_MAX };

/// The bounds for a publisher.
pub(crate) fn with_frames(frame_bytes_max: usize) -> Limits {
    let media_bytes_max = (frame_bytes_max + MEDIA_HEAD_BYTES).max(OTHER_BYTES_MAX);
    Limits { media_bytes_max, other_bytes_max: OTHER_BYTES_MAX }
}

/// One side's messages, behind the handshake.
#[derive(Debug)]
pub(crate) struct Carrier {
    reader: ChunkReader,
    /// Bytes of a chunk's payload in what we send.
    chunk_bytes: usize,
    /// Bytes that have come.
    received: u64,
    /// How many of them were acknowledged.
    told: u64,
    /// How many may come before the next acknowledgement.
    told_each: u32,
    /// Bytes that were said.
    sent: u64,
    /// How many of them the other side has not acknowledged, when it last did.
    acked: u64,
    /// How many may be under way without an acknowledgement, where the other side has set that.
    window: Option<(u32, Limit)>,
    /// The window that we have told.
    window_told: u32,
}

impl Carrier {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            reader: ChunkReader::new(limits),
            chunk_bytes: crate::wire::CHUNK_BYTES,
            received: 0,
            told: 0,
            told_each: WINDOW_BYTES,
            sent: 0,
            acked: 0,
            window: None,
            window_told: 0,
        }
    }

    pub(crate) const fn set_limits(&mut self, limits: Limits) {
        self.reader.set_limits(limits);
    }

    /// The next message that is for the session. What is about chunks and acknowledgements is done here.
    pub(crate) fn next(
        &mut self,
        input: &mut BytesMut,
        out: &mut Packets,
    ) -> Result<Option<Message>, ChunkError> {
        loop {
            let before = input.len();
            let message = self.reader.next(input);
            self.received += (before - input.len()) as u64;
            self.acknowledge(out);
            let Some(message) = message? else { return Ok(None) };
            match Control::read(&message) {
                None if matches!(message.kind, kind::ACK..=kind::PEER_BANDWIDTH) => {}
                None => return Ok(Some(message)),
                Some(control) => self.obey(control, out),
            }
        }
    }

    fn acknowledge(&mut self, out: &mut Packets) {
        if self.received - self.told >= self.told_each.into() {
            self.told = self.received;
            // 32 bits of it (RTMP 1.0 §5.4.3).
            self.control(Control::Ack(self.received as u32), out);
        }
    }

    fn obey(&mut self, control: Control, out: &mut Packets) {
        match control {
            Control::Ack(bytes) => {
                let waiting = (self.sent as u32).wrapping_sub(bytes);
                // Who counts the handshake too is ahead of us.
                let waiting = if waiting >> 31 == 0 { waiting } else { 0 };
                self.acked = self.sent - u64::from(waiting).min(self.sent);
            }
            Control::Window(bytes) => self.told_each = bytes.max(1),
            Control::PeerBandwidth { window: 0, .. } => {}
            Control::PeerBandwidth { window, limit } => {
                let (window, limit) = match (limit, self.window) {
                    (Limit::Hard, _) | (Limit::Soft, None) => (window, limit),
                    (Limit::Soft, Some((old, _))) => (window.min(old), limit),
                    (Limit::Dynamic, Some((_, Limit::Hard))) => (window, Limit::Hard),
                    (Limit::Dynamic, _) => return,
                };
                self.window = Some((window, limit));
                self.tell_window(window, out);
            }
            Control::User(UserControl::Ping(time)) => {
                self.control(Control::User(UserControl::Pong(time)), out)
            }
            Control::User(_) => {}
        }
    }

    /// Says how often we want to hear an acknowledgement, where that is news.
    pub(crate) fn tell_window(&mut self, bytes: u32, out: &mut Packets) {
        if self.window_told != bytes {
            self.window_told = bytes;
            self.control(Control::Window(bytes), out);
        }
    }

    /// Says that our chunks are larger from now on.
    pub(crate) fn enlarge_chunks(&mut self, out: &mut Packets) {
        let size = (OUT_CHUNK_BYTES as u32).to_be_bytes();
        let head = Head { on: on::CONTROL, kind: kind::CHUNK_SIZE, timestamp: 0, stream: 0 };
        self.say(head, &[&size], out);
        self.chunk_bytes = OUT_CHUNK_BYTES;
    }

    /// Says a protocol control message.
    pub(crate) fn control(&mut self, control: Control, out: &mut Packets) {
        let mut body = BytesMut::with_capacity(16);
        control.write(&mut body);
        let head = Head { on: on::CONTROL, kind: control.kind(), timestamp: 0, stream: 0 };
        self.say(head, &[&body], out);
    }

    /// Says a command.
    pub(crate) fn command(
        &mut self,
        stream: u32,
        name: &str,
        transaction: f64,
        values: &[Value],
        out: &mut Packets,
    ) {
        let body = command(name, transaction, values);
        self.say(Head { on: on::COMMAND, kind: kind::COMMAND, timestamp: 0, stream }, &[&body], out);
    }

    pub(crate) fn say(&mut self, head: Head, parts: &[&[u8]], out: &mut Packets) {
        let before = out.bytes().len();
        out.write(|into| write_message(into, head, parts, self.chunk_bytes));
        self.sent += (out.bytes().len() - before) as u64;
    }

    /// Says what is in chunks already.
    pub(crate) fn say_chunks(&mut self, bytes: &[u8], out: &mut Packets) {
        out.push(bytes);
        self.sent += bytes.len() as u64;
    }

    /// Whether the other side's window, where it has set one, has room for more (RTMP 1.0 §5.4.5). Most never set one,
    /// and the network's own flow control holds us back.
    pub(crate) fn has_room(&self) -> bool {
        self.window.is_none_or(|(window, _)| self.sent - self.acked < window.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one carrier says, another hears.
    fn heard(carrier: &mut Carrier, out: &mut Packets) -> Vec<Message> {
        let mut input = BytesMut::from(out.bytes());
        out.clear();
        let mut back = Packets::default();
        let mut messages = Vec::new();
        while let Some(message) = carrier.next(&mut input, &mut back).unwrap() {
            messages.push(message);
        }
        *out = back;
        messages
    }

    fn pair() -> (Carrier, Carrier, Packets) {
        (Carrier::new(with_frames(1 << 20)), Carrier::new(with_frames(1 << 20)), Packets::default())
    }

    fn picture(from: &mut Carrier, bytes: usize, out: &mut Packets) {
        let head = Head { on: on::VIDEO, kind: kind::VIDEO, timestamp: 0, stream: 1 };
        from.say(head, &[&vec![1; bytes]], out);
    }

    #[test]
    fn what_comes_is_acknowledged_as_often_as_the_other_side_wants() {
        let (mut a, mut b, mut out) = pair();
        a.tell_window(1000, &mut out);
        a.tell_window(1000, &mut out);
        assert_eq!(out.len(), 1);
        assert!(heard(&mut b, &mut out).is_empty());
        picture(&mut a, 900, &mut out);
        assert_eq!(heard(&mut b, &mut out).len(), 1);
        assert!(out.is_empty());
        picture(&mut a, 100, &mut out);
        assert_eq!(heard(&mut b, &mut out).len(), 1);
        assert_eq!(out.len(), 1, "an acknowledgement");
        assert!(heard(&mut a, &mut out).is_empty());
        assert_eq!(a.acked, a.sent);
    }

    #[test]
    fn a_window_that_the_other_side_sets_is_kept() {
        let (mut a, mut b, mut out) = pair();
        assert!(a.has_room());
        let limit = |window, limit| Control::PeerBandwidth { window, limit };
        b.control(limit(500, Limit::Hard), &mut out);
        b.control(limit(0, Limit::Hard), &mut out);
        b.control(limit(900, Limit::Soft), &mut out);
        b.control(limit(900, Limit::Dynamic), &mut out);
        assert!(heard(&mut a, &mut out).is_empty());
        assert_eq!(a.window, Some((500, Limit::Soft)));
        // It says that it wants to hear as often.
        heard(&mut b, &mut out);
        assert_eq!(b.told_each, 500);
        picture(&mut a, 600, &mut out);
        assert!(!a.has_room());
        heard(&mut b, &mut out);
        heard(&mut a, &mut out);
        assert!(a.has_room());
    }

    #[test]
    fn an_acknowledgement_of_more_than_was_sent_is_of_all() {
        let (mut a, _, mut out) = pair();
        picture(&mut a, 600, &mut out);
        a.obey(Control::Ack(a.sent as u32 + 3073), &mut out);
        assert_eq!(a.acked, a.sent);
    }

    #[test]
    fn pings_are_answered() {
        let (mut a, mut b, mut out) = pair();
        a.control(Control::User(UserControl::Ping(77)), &mut out);
        assert!(heard(&mut b, &mut out).is_empty());
        let mut input = BytesMut::from(out.bytes());
        let message = ChunkReader::new(COMMANDS_ONLY).next(&mut input).unwrap().unwrap();
        assert_eq!(Control::read(&message), Some(Control::User(UserControl::Pong(77))));
        assert!(heard(&mut a, &mut out).is_empty() && out.is_empty());
    }
}
