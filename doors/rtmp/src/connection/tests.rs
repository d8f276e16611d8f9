mod opening;
mod playing;
mod publishing;
mod time;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use yizhan_media::{
    Block, Codec, Detail, Frame, Kind, Packet, Refused, Setup, Track,
    amf::{self, Value},
    seat::{Answer, Call, Delivery},
};
use yizhan_talk::{Close, Connection as _, Now, Out, Then, Timestamp, script::Scripted};

use super::{Connection, Guest};
use crate::{
    Config, Terms,
    pack::STREAM,
    wire::{
        ChunkReader, Clock, Command, Control, Head, Limits, Message, UserControl,
        chunk::on,
        command::{command, information},
        handshake::Calling,
        message::kind,
        write_message,
    },
};

type Tested = Connection<Scripted<Call, Answer, Delivery>>;

const FRAME_BYTES_MAX: usize = 1 << 20;

/// A client, its connection, and what became of it so far.
struct Talk {
    connection: Tested,
    now: Now,
    input: BytesMut,
    out: Out<Scripted<Call, Answer, Delivery>>,
    reader: ChunkReader,
    heard: VecDeque<String>,
    calls: VecDeque<Call>,
    ended: Option<Close>,
}

impl Talk {
    /// A client that has said nothing.
    fn silent_with(config: Config) -> Self {
        let now = Now { steady: Instant::now(), wall: Timestamp::from_millis(1_800_000_000_000) };
        let guest = Guest { address: [192, 0, 2, 7].into(), frame_bytes_max: FRAME_BYTES_MAX };
        let terms = Terms { config, meters: Arc::default() };
        let limits = Limits { media_bytes_max: 1 << 24, other_bytes_max: 1 << 24 };
        Self {
            connection: Connection::new(now, Arc::new(terms), guest),
            now,
            input: BytesMut::new(),
            out: Out::new(),
            reader: ChunkReader::new(limits),
            heard: VecDeque::new(),
            calls: VecDeque::new(),
            ended: None,
        }
    }

    /// A client that has shaken hands.
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let mut talk = Self::silent_with(config);
        let mut hello = BytesMut::new();
        let mut calling = Calling::begin(0, &mut hello);
        talk.input = hello;
        talk.receive();
        let mut reply = BytesMut::from(talk.out.packets.bytes());
        talk.out.packets.clear();
        let mut last = BytesMut::new();
        calling.receive(&mut reply, &mut last).unwrap();
        assert_eq!(calling, Calling::Done);
        talk.bytes(&last)
    }

    /// A client that is connected to the app `live`, and has heard so.
    fn connected() -> Self {
        Self::connected_to("live", &[])
    }

    fn connected_to(app: &str, more: &[(&str, Value)]) -> Self {
        let mut talk = Self::new().connect(app, more);
        talk.heard.clear();
        talk
    }

    fn connect(self, app: &str, more: &[(&str, Value)]) -> Self {
        let fields = [("app", Value::from(app)), ("flashVer", "test 1.0".into())];
        let object = Value::object(fields.into_iter().chain(more.iter().cloned()));
        self.says(0, "connect", 1.0, &[object])
    }

    /// A client that publishes `live/room`.
    fn publishing() -> Self {
        let mut talk = Self::connected().command("publish", &["room".into(), "live".into()]);
        talk.asked_to_publish();
        let mut talk = talk.answer(Answer::Published(Ok(())));
        talk.heard.clear();
        talk
    }

    /// A client that watches `live/room`.
    fn watching() -> Self {
        let mut talk = Self::connected().command("play", &["room".into()]);
        talk.asked_to_play();
        let mut talk = talk.answer(Answer::Playing(Ok(setup(1))));
        talk.heard.clear();
        talk
    }

    fn receive(&mut self) {
        if let Err(fault) = self.connection.receive(self.now, &mut self.input, &mut self.out) {
            self.ended.get_or_insert(fault.0);
        }
    }

    /// What the shell does after each step.
    fn settle(mut self) -> Self {
        loop {
            self.gather();
            if self.ended.is_some() || self.input.is_empty() || !self.connection.takes_input() {
                return self;
            }
            let before = self.input.len();
            self.receive();
            if self.input.len() == before {
                self.gather();
                return self;
            }
        }
    }

    fn gather(&mut self) {
        self.calls.extend(self.out.calls.drain(..));
        let mut said = BytesMut::from(self.out.packets.bytes());
        self.out.packets.clear();
        while let Some(message) = self.reader.next(&mut said).unwrap() {
            self.heard.push_back(told(&message));
        }
        if let Then::Close(close) = std::mem::take(&mut self.out.then) {
            self.ended.get_or_insert(close);
        }
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.input.extend_from_slice(bytes);
        self.settle()
    }

    fn message(self, kind: u8, timestamp: u32, body: &[u8]) -> Self {
        let mut bytes = BytesMut::new();
        let on = if kind == kind::COMMAND { on::COMMAND } else { on::VIDEO };
        write_message(&mut bytes, Head { on, kind, timestamp, stream: STREAM }, &[body], 128);
        self.bytes(&bytes)
    }

    fn says(self, stream: u32, name: &str, transaction: f64, values: &[Value]) -> Self {
        let body = command(name, transaction, values);
        let mut bytes = BytesMut::new();
        let head = Head { on: on::COMMAND, kind: kind::COMMAND, timestamp: 0, stream };
        write_message(&mut bytes, head, &[&body], 128);
        self.bytes(&bytes)
    }

    /// A command on the message stream, without an answer.
    fn command(self, name: &str, args: &[Value]) -> Self {
        self.says(STREAM, name, 0.0, &[&[Value::Null], args].concat())
    }

    /// A command on the connection, with an answer.
    fn ask(self, name: &str, args: &[Value]) -> Self {
        self.says(0, name, 7.0, &[&[Value::Null], args].concat())
    }

    fn answer(mut self, answer: Answer) -> Self {
        self.connection.answer(self.now, answer, &mut self.out);
        self.settle()
    }

    #[track_caller]
    fn deliver(mut self, deliveries: impl IntoIterator<Item = Delivery>) -> Self {
        assert!(self.connection.takes_delivery(), "it takes no deliveries");
        let mut deliveries = deliveries.into_iter().collect();
        self.connection.deliver(self.now, &mut deliveries, &mut self.out);
        assert!(deliveries.is_empty());
        self.settle()
    }

    fn pass(mut self, time: Duration) -> Self {
        let end = self.now.steady + time;
        while let Some(at) = self.connection.deadline().filter(|at| *at <= end && self.ended.is_none()) {
            let step = at.saturating_duration_since(self.now.steady);
            self.now.steady += step;
            self.now.wall = self.now.wall.plus(step);
            self.connection.expire(self.now, &mut self.out);
            self.gather();
        }
        self.now.steady = end;
        self
    }

    /// The next things that the client hears are these.
    #[track_caller]
    fn hears(mut self, expected: &[&str]) -> Self {
        for expected in expected {
            assert_eq!(self.heard.pop_front().as_deref(), Some(*expected), "then {:?}", self.heard);
        }
        self
    }

    #[track_caller]
    fn hears_nothing(self) -> Self {
        assert!(self.heard.is_empty(), "{:?}", self.heard);
        self
    }

    /// The backend was asked this.
    #[track_caller]
    fn asked(&mut self) -> Call {
        self.calls.pop_front().expect("something was asked of the backend")
    }

    #[track_caller]
    fn asked_to_publish(&mut self) -> (String, String) {
        match self.asked() {
            Call::Publish { name, creds, .. } => (name.to_string(), creds.params.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn asked_to_play(&mut self) -> (String, String) {
        match self.asked() {
            Call::Play { name, creds, .. } => (name.to_string(), creds.params.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn asked_to_stop(mut self) -> Self {
        assert!(matches!(self.asked(), Call::Stop));
        self.answer(Answer::Stopped)
    }

    #[track_caller]
    fn closed(self, code: u16) {
        assert_eq!(self.ended.map(|close| close.code), Some(code));
    }

    #[track_caller]
    fn open(self) -> Self {
        assert_eq!(self.ended, None);
        self
    }
}

/// A message in a few words.
fn told(message: &Message) -> String {
    let time = message.timestamp;
    match message.kind {
        kind::AUDIO => format!("sound {time}"),
        kind::VIDEO => format!("picture {time}"),
        kind::DATA => format!("data {}", amf::Reader::new(&message.body).name().unwrap()),
        kind::COMMAND => {
            let said = Command::read(message).unwrap();
            let all = || [&said.object].into_iter().chain(&said.args);
            let code = all().rev().find_map(|value| value.get("code")?.as_str()).map(str::to_owned);
            let value = || format!("{:?}", said.args.last().unwrap_or(&Value::Null));
            format!("{} {}", said.name, code.unwrap_or_else(value))
        }
        _ => match Control::read(message) {
            Some(Control::User(UserControl::Ping(_))) => "ping".to_owned(),
            Some(other) => format!("{other:?}"),
            None => format!("kind {}", message.kind),
        },
    }
}

fn setup(number: u32) -> Arc<Setup> {
    let track = |codec, detail| {
        Some(Arc::new(Track {
            codec,
            record: Bytes::from_static(&[1, 2, 3]),
            detail,
            rfc6381: String::new(),
        }))
    };
    Arc::new(Setup {
        number,
        epoch: 1,
        video: track(Codec::H264, Detail::Video { width: 16, height: 16, millihertz: None }),
        audio: track(Codec::Aac, Detail::Audio { rate: 44_100, channels: 2, frame_samples: Some(1024) }),
        metadata: Bytes::new(),
    })
}

fn frame(setup: &Arc<Setup>, kind: Kind, key: bool, millis: i64) -> Arc<Frame> {
    let (dts, data) = (millis * 1000, Bytes::from_static(&[0, 0, 0, 1, 0x65]));
    Arc::new(Frame { kind, key, dts, cts: 0, at: Timestamp::default(), data, setup: setup.clone() })
}

/// A picture and a sound at this time.
fn block(setup: &Arc<Setup>, key: bool, millis: i64) -> Delivery {
    let frames = vec![frame(setup, Kind::Video, key, millis), frame(setup, Kind::Audio, true, millis + 1)];
    Delivery::Block(Arc::new(Block::new(frames).unwrap()))
}

#[test]
fn what_is_said_of_a_message_tells_messages_apart() {
    let body = command("onStatus", 0.0, &[Value::Null, information("error", "A.B", "c")]).freeze();
    assert_eq!(told(&Message { kind: kind::COMMAND, timestamp: 0, stream: 0, body }), "onStatus A.B");
    let mut clock = Clock::default();
    assert_eq!(clock.unwrap(5), 5);
}
