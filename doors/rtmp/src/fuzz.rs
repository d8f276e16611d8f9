//! Entries for fuzzing: chunks, and the whole connection with a core that answers anything that fits.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use yizhan_media::{
    Block, Codec, Detail, Frame, Kind, Packet, Refused, Setup, Track,
    amf::Value,
    seat::{Answer, Call, Delivery},
};
use yizhan_talk::{Close, Connection as _, Now, Out, Then, Timestamp, script::Scripted};

use crate::{
    Connection, Guest, Terms,
    wire::{
        ChunkError, ChunkReader, Command, Head, Limits, Message, OUT_CHUNK_BYTES, command::command,
        handshake::Calling, message::kind, write_message,
    },
};

type Client = Connection<Scripted<Call, Answer, Delivery>>;

/// Steps of one story.
const STEPS_MAX: usize = 300;
const FRAME_BYTES_MAX: usize = 4096;
const NAMES: [&str; 18] = [
    "connect",
    "createStream",
    "publish",
    "play",
    "play2",
    "pause",
    "receiveAudio",
    "receiveVideo",
    "seek",
    "FCPublish",
    "FCUnpublish",
    "closeStream",
    "deleteStream",
    "getStreamLength",
    "releaseStream",
    "_result",
    "@setDataFrame",
    "what",
];

/// The first byte says in which pieces the rest comes: what is read does not depend on it, and is read again as it is
/// written.
pub fn fuzz_chunks(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let limits = Limits { media_bytes_max: 4096, other_bytes_max: 1024 };
    let (whole, end) = read(limits, bytes, bytes.len().max(1));
    let (pieces, same) = read(limits, bytes, usize::from(piece).max(1));
    assert_eq!((&whole, end), (&pieces, same), "pieces make no difference");
    let mut again = BytesMut::from(&[2, 0, 0, 0, 0, 0, 4, kind::CHUNK_SIZE, 0, 0, 0, 0][..]);
    let size = u32::from(piece).max(1);
    again.extend_from_slice(&size.to_be_bytes());
    for message in &whole {
        let head = Head { on: 9, kind: message.kind, timestamp: message.timestamp, stream: message.stream };
        assert!(write_message(&mut again, head, &[&message.body], size as usize));
    }
    assert_eq!(read(limits, &again, 1 << 20), (whole, None));
}

fn read(limits: Limits, bytes: &[u8], piece: usize) -> (Vec<Message>, Option<ChunkError>) {
    let mut reader = ChunkReader::new(limits);
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        input.extend_from_slice(piece);
        loop {
            match reader.next(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// A story: bytes that say what the client does, what the core answers, and how time passes.
pub fn fuzz_connection(bytes: &[u8]) {
    let mut story = Story::new();
    let mut dice = Dice(bytes);
    for _ in 0..STEPS_MAX {
        if dice.0.is_empty() || story.ended {
            break;
        }
        story.step(&mut dice);
    }
}

/// The bytes of a story, taken one by one.
struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte());
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }

    fn value(&mut self) -> Value {
        match self.byte() % 8 {
            0 => Value::Null,
            1 => Value::Boolean(self.byte() & 1 == 1),
            2 => Value::Number(f64::from(self.byte()) - 3.0),
            3 => "room?token=x".into(),
            4 => Value::object([("streamName", "room~720p".into()), ("transition", "switch".into())]),
            5 => Value::object([("app", "live".into()), ("capsEx", 1.0.into())]),
            6 => String::from_utf8_lossy(&self.take()).into_owned().into(),
            _ => "room".into(),
        }
    }
}

/// One talk, and what holds in it.
struct Story {
    connection: Client,
    now: Now,
    input: BytesMut,
    out: Out<Scripted<Call, Answer, Delivery>>,
    /// What the client hears has to be RTMP.
    ears: ChunkReader,
    /// Calls without an answer.
    asked: VecDeque<Call>,
    publishes: bool,
    watches: bool,
    ended: bool,
    setups: [Arc<Setup>; 2],
}

impl Story {
    fn new() -> Self {
        // An `Instant` has no other beginning.
        #[allow(clippy::disallowed_methods)]
        let now = Now { steady: Instant::now(), wall: Timestamp::from_millis(1_800_000_000_000) };
        let guest = Guest { address: [192, 0, 2, 7].into(), frame_bytes_max: FRAME_BYTES_MAX };
        let mut story = Self {
            connection: Connection::new(now, Arc::new(Terms::default()), guest),
            now,
            input: BytesMut::new(),
            out: Out::new(),
            ears: ChunkReader::new(Limits { media_bytes_max: 1 << 20, other_bytes_max: 1 << 20 }),
            asked: VecDeque::new(),
            publishes: false,
            watches: false,
            ended: false,
            setups: [setup(1), setup(2)],
        };
        let mut calling = Calling::begin(1, &mut story.input);
        story.receive();
        let (mut said, mut last) = (BytesMut::from(story.out.packets.bytes()), BytesMut::new());
        story.out.packets.clear();
        assert_eq!(calling.receive(&mut said, &mut last), Ok(()));
        assert_eq!(calling, Calling::Done);
        story.hear_bytes(&last);
        story
    }

    fn step(&mut self, dice: &mut Dice<'_>) {
        match dice.byte() % 8 {
            0 => self.hear_bytes(&dice.take()),
            1 | 2 => {
                let name = NAMES[usize::from(dice.byte()) % NAMES.len()];
                let values: Vec<_> = (0..dice.byte() % 6).map(|_| dice.value()).collect();
                let body = command(name, f64::from(dice.byte() & 7), &values);
                let kind = if dice.byte() & 1 == 0 { kind::COMMAND } else { kind::DATA };
                self.say(kind, 0, &body);
            }
            3 => {
                let kind = [8, 9, 22, 18, 15, 4, 5, 6, 3, 2][usize::from(dice.byte() % 10)];
                let time = u32::from(dice.byte()) << (dice.byte() % 25);
                self.say(kind, time, &dice.take());
            }
            4 | 5 => self.answer(dice.byte()),
            6 => self.deliver(dice),
            _ => self.pass(dice.byte()),
        }
    }

    fn say(&mut self, kind: u8, timestamp: u32, body: &[u8]) {
        let mut bytes = BytesMut::new();
        let on = if kind == kind::COMMAND { 3 } else { 6 };
        write_message(&mut bytes, Head { on, kind, timestamp, stream: 1 }, &[body], 128);
        self.hear_bytes(&bytes);
    }

    fn hear_bytes(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.receive();
        self.settle();
    }

    /// What the shell does: input is offered as long as it is taken.
    fn receive(&mut self) {
        while !self.ended && !self.input.is_empty() && self.connection.takes_input() {
            let before = self.input.len();
            if self.connection.receive(self.now, &mut self.input, &mut self.out).is_err() {
                self.ended = true;
            }
            if self.input.len() == before {
                assert!(before < 18 || self.ended, "only a head stays lying");
                break;
            }
        }
    }

    fn settle(&mut self) {
        for call in self.out.calls.drain(..) {
            match &call {
                Call::Publish { .. } | Call::Play { .. } => {
                    assert!(!self.publishes && !self.watches, "one thing at a time");
                }
                Call::Push(packet) => {
                    assert!(self.publishes);
                    if let Packet::Frame { data, .. } = packet {
                        assert!(data.len() <= 256 * 1024 + FRAME_BYTES_MAX);
                    }
                }
                Call::Stop => (self.publishes, self.watches) = (false, false),
                Call::Sent(bytes) => assert!(*bytes > 0),
            }
            self.asked.push_back(call);
        }
        let mut said = BytesMut::from(self.out.packets.bytes());
        self.out.packets.clear();
        while let Some(message) = self.ears.next(&mut said).expect("what the client hears is RTMP") {
            assert!(message.body.len() <= OUT_CHUNK_BYTES * 2);
            if message.kind == kind::COMMAND {
                Command::read(&message).expect("what the client hears is a command");
            }
        }
        assert!(said.is_empty() && !self.ears.is_within(), "messages are said whole");
        if matches!(std::mem::take(&mut self.out.then), Then::Close(_)) {
            self.ended = true;
        }
    }

    /// The core answers the oldest call.
    fn answer(&mut self, how: u8) {
        let Some(call) = self.asked.pop_front() else { return };
        let refused = [Refused::NotOnAir, Refused::Taken, Refused::Expired, Refused::Full];
        let refused = (how >= 128).then(|| refused[usize::from(how % 4)].clone());
        let answer = match call {
            Call::Publish { .. } => {
                self.publishes = refused.is_none() && !self.ended;
                Answer::Published(refused.map_or(Ok(()), Err))
            }
            Call::Play { .. } => {
                self.watches = refused.is_none() && !self.ended;
                Answer::Playing(refused.map_or_else(|| Ok(self.setups[0].clone()), Err))
            }
            Call::Push(_) => Answer::Pushed(Ok(())),
            Call::Stop => Answer::Stopped,
            Call::Sent(_) => Answer::Counted,
        };
        self.connection.answer(self.now, answer, &mut self.out);
        self.settle();
        self.receive();
        self.settle();
    }

    fn deliver(&mut self, dice: &mut Dice<'_>) {
        if !self.connection.takes_delivery() {
            return;
        }
        let how = dice.byte();
        let mut deliveries = vec![match how % 8 {
            0 => Delivery::Skipped(dice.byte().into()),
            1 if self.watches => Delivery::Ended,
            2 => Delivery::Leave("go".into()),
            _ if self.watches => self.block(how, dice.byte()),
            _ => return,
        }];
        self.connection.deliver(self.now, &mut deliveries, &mut self.out);
        assert!(deliveries.is_empty());
        self.settle();
    }

    fn block(&self, how: u8, millis: u8) -> Delivery {
        let kinds = [Kind::Video, Kind::Audio, Kind::Data];
        let frames = kinds.into_iter().filter(|kind| how >> (3 + *kind as u8) & 1 == 1).map(|kind| {
            Arc::new(Frame {
                kind,
                key: how & 0x40 == 0,
                dts: i64::from(millis) << 20,
                cts: 0,
                at: Timestamp::default(),
                data: Bytes::from_static(b"\x02\0\x03cue"),
                setup: self.setups[usize::from(how >> 7)].clone(),
            })
        });
        Block::new(frames.collect()).map_or(Delivery::Skipped(1), |block| Delivery::Block(Arc::new(block)))
    }

    fn pass(&mut self, how: u8) {
        if how == 255 {
            self.connection.leave(self.now, Close::GOING_AWAY, &mut self.out);
            return self.settle();
        }
        self.now.steady += Duration::from_secs(u64::from(how) / 4);
        if self.connection.deadline().is_some_and(|at| at <= self.now.steady) {
            self.connection.expire(self.now, &mut self.out);
            self.settle();
            let next = self.connection.deadline();
            assert!(next.is_none_or(|at| at > self.now.steady), "a deadline moves");
        }
    }
}

fn setup(number: u32) -> Arc<Setup> {
    let track = |codec, detail| {
        let record = Bytes::from_static(&[1, 2, 3]);
        Some(Arc::new(Track { codec, record, detail, rfc6381: String::new() }))
    };
    Arc::new(Setup {
        number,
        epoch: 1,
        video: track(Codec::H264, Detail::Video { width: 16, height: 16, millihertz: None }),
        audio: track(Codec::Aac, Detail::Audio { rate: 44_100, channels: 2, frame_samples: Some(1024) }),
        metadata: Bytes::new(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_chunks_pass(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            fuzz_chunks(&bytes);
        }

        #[test]
        fn any_story_passes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            // Connected, so that more of it says something.
            fuzz_connection(&[&[1, 0, 1, 5, 1, 0][..], &bytes].concat());
        }
    }
}
