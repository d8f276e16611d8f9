use bytes::Bytes;
use yizhan_media::{Codec, Detail, Frame, Kind, Name, Refused, Track};
use yizhan_talk::{Connection as _, Then, Timestamp, script::Scripted};

use super::{super::wish::Status, *};
use crate::{Connection, Guest, Terms, address::Url};

type Backend = Scripted<Call, Answer, Delivery>;

/// One side of a talk and what it has said.
struct Side<C: Talk<Backend = Backend>> {
    talk: C,
    input: BytesMut,
    out: Out<Backend>,
    calls: Vec<Call>,
    ended: Option<Close>,
}

impl<C: Talk<Backend = Backend>> Side<C> {
    fn new(talk: C) -> Self {
        Self { talk, input: BytesMut::new(), out: Out::new(), calls: Vec::new(), ended: None }
    }

    /// Reads what has come, and gives what it says.
    fn turn(&mut self, now: Now) -> BytesMut {
        if !self.input.is_empty()
            && self.talk.takes_input()
            && let Err(fault) = self.talk.receive(now, &mut self.input, &mut self.out)
        {
            self.ended = Some(fault.0);
        }
        self.calls.append(&mut self.out.calls);
        if let Then::Close(close) = std::mem::take(&mut self.out.then) {
            self.ended.get_or_insert(close);
        }
        let said = BytesMut::from(self.out.packets.bytes());
        self.out.packets.clear();
        said
    }

    fn answer(&mut self, now: Now, answer: Answer) {
        self.talk.answer(now, answer, &mut self.out);
    }

    fn deliver(&mut self, now: Now, delivery: Delivery) {
        assert!(self.talk.takes_delivery());
        self.talk.deliver(now, &mut vec![delivery], &mut self.out);
    }
}

/// A relay and a server of ours, and the line between them.
struct Line {
    now: Now,
    wish: Arc<Wish>,
    here: Side<Caller<Backend>>,
    there: Side<Connection<Backend>>,
}

impl Line {
    fn new(way: Way) -> Self {
        let now = Now { steady: Instant::now(), wall: Timestamp::from_millis(1_800_000_000_000) };
        let wish = Arc::new(Wish {
            way,
            name: Name::new("live", "room").unwrap(),
            url: Url::new("rtmp://other/live?k=1").unwrap(),
            frame_bytes_max: 1 << 20,
            status: Status::default(),
        });
        let guest = Guest { address: [192, 0, 2, 1].into(), frame_bytes_max: 1 << 20 };
        let here = Side::new(Caller::new(now, wish.clone()));
        let there = Side::new(Connection::new(now, Arc::new(Terms::default()), guest));
        let mut line = Self { now, wish, here, there };
        assert_eq!(line.here.talk.deadline(), Some(now.steady));
        line.here.talk.expire(now, &mut line.here.out);
        line.run();
        line
    }

    /// Until both wait.
    fn run(&mut self) {
        loop {
            let to = self.here.turn(self.now);
            let back = self.there.turn(self.now);
            if to.is_empty() && back.is_empty() {
                return;
            }
            self.there.input.extend_from_slice(&to);
            self.here.input.extend_from_slice(&back);
        }
    }

    /// What was last asked of the other server's backend.
    fn asked_there(&mut self) -> Call {
        self.there.calls.pop().expect("the other server asked its core something")
    }

    fn view(&self) -> (bool, Option<String>) {
        let view = self.wish.view("edge");
        assert_eq!(view.address, "rtmp://other:1935/live");
        (view.since.is_some(), view.last_error)
    }

    /// A relay that sends, and the other server takes it.
    fn sending() -> Self {
        let mut line = Self::new(Way::To);
        let Call::Publish { name, creds, .. } = line.asked_there() else { panic!() };
        assert_eq!((name.to_string().as_str(), &*creds.params), ("live/room", "k=1"));
        line.there.answer(line.now, Answer::Published(Ok(())));
        line.run();
        assert!(matches!(line.here.calls.pop(), Some(Call::Play { .. })));
        line.here.answer(line.now, Answer::Playing(Ok(setup())));
        line.run();
        line
    }

    /// A relay that fetches, and the other server lets it.
    fn fetching() -> Self {
        let mut line = Self::new(Way::From);
        let Call::Play { name, creds, .. } = line.asked_there() else { panic!() };
        assert_eq!((name.to_string().as_str(), &*creds.params), ("live/room", "k=1"));
        line.there.answer(line.now, Answer::Playing(Ok(setup())));
        line.run();
        line
    }
}

fn setup() -> Arc<Setup> {
    let detail = Detail::Audio { rate: 48_000, channels: 2, frame_samples: None };
    let track = Track { codec: Codec::Mp3, record: Bytes::new(), detail, rfc6381: String::new() };
    Arc::new(Setup { number: 1, epoch: 1, video: None, audio: Some(Arc::new(track)), metadata: Bytes::new() })
}

/// MP3 has no head of its own: one sound is a broadcast.
fn block(millis: i64) -> Delivery {
    let mut data = vec![0xff, 0xfb, 0x94, 0x64];
    data.resize(384, 0);
    let frame = Frame {
        kind: Kind::Audio,
        key: true,
        dts: millis * 1000,
        cts: 0,
        at: Timestamp::default(),
        data: data.into(),
        setup: setup(),
    };
    Delivery::Block(Arc::new(Block::new(vec![Arc::new(frame)]).unwrap()))
}

/// Times of the frames that were pushed, µs.
fn pushed(calls: &mut Vec<Call>) -> Vec<i64> {
    let times = calls.drain(..).filter_map(|call| match call {
        Call::Push(Packet::Frame { kind: Kind::Audio, dts, .. }) => Some(dts),
        _ => None,
    });
    times.collect()
}

#[test]
fn a_broadcast_is_sent_until_it_is_over() {
    let mut line = Line::sending();
    assert_eq!(line.view(), (true, None));
    line.here.deliver(line.now, block(40));
    line.here.deliver(line.now, block(80));
    line.run();
    assert_eq!(pushed(&mut line.there.calls), [40_000, 80_000]);
    line.here.deliver(line.now, Delivery::Ended);
    line.run();
    assert!(matches!(line.asked_there(), Call::Stop));
    assert_eq!(line.here.ended, Some(DONE));
    assert!(line.wish.status.down().over);
}

#[test]
fn a_server_that_refuses_is_tried_again() {
    let mut line = Line::new(Way::To);
    line.there.answer(line.now, Answer::Published(Err(Refused::Taken)));
    line.run();
    assert_eq!(line.here.ended, Some(FAILED));
    let (up, reason) = line.view();
    let reason = reason.unwrap();
    assert!(
        !up && reason.contains("NetStream.Publish.BadName") && reason.contains("has a publisher"),
        "{reason}"
    );
    assert!(!line.wish.status.down().over);
}

#[test]
fn a_broadcast_is_on_air_here_with_its_first_frame() {
    let mut line = Line::fetching();
    assert_eq!(line.view(), (false, None));
    assert!(line.here.calls.is_empty());
    line.there.deliver(line.now, block(500));
    line.there.deliver(line.now, block(540));
    line.run();
    let Call::Publish { name, party, .. } = line.here.calls.remove(0) else { panic!() };
    assert_eq!((name.to_string().as_str(), party.door), ("live/room", "relay"));
    assert_eq!(pushed(&mut line.here.calls), [500_000, 540_000]);
    assert_eq!(line.view(), (true, None));
}

#[test]
fn the_end_there_is_the_end_here() {
    let mut line = Line::fetching();
    line.there.deliver(line.now, block(0));
    line.there.deliver(line.now, Delivery::Ended);
    line.run();
    assert!(matches!(line.here.calls.pop(), Some(Call::Stop)));
    assert_eq!(line.here.ended, Some(DONE));
}

#[test]
fn fetching_ends_when_nobody_watches() {
    let mut line = Line::fetching();
    line.there.deliver(line.now, block(0));
    line.run();
    line.here.deliver(line.now, Delivery::Leave("nobody watches".into()));
    line.run();
    assert!(matches!(line.here.calls.pop(), Some(Call::Stop)));
    assert!(matches!(line.asked_there(), Call::Stop), "the other server is told");
    assert_eq!(line.view().1.as_deref(), Some("nobody watches"));
}

#[test]
fn what_is_not_on_air_there_fails() {
    let mut line = Line::new(Way::From);
    line.there.answer(line.now, Answer::Playing(Err(Refused::NotOnAir)));
    line.run();
    assert_eq!(line.here.ended, Some(FAILED));
    assert!(line.view().1.unwrap().contains("not on air"));
}

#[test]
fn another_server_has_ten_seconds_to_begin_and_thirty_to_be_silent() {
    let mut line = Line::new(Way::From);
    let at = line.here.talk.deadline().unwrap();
    assert_eq!(at, line.now.steady + OPEN_WITHIN);
    line.now.steady = at;
    line.here.talk.expire(line.now, &mut line.here.out);
    line.here.turn(line.now);
    assert_eq!(line.here.ended, Some(FAILED));

    let mut line = Line::fetching();
    line.there.deliver(line.now, block(0));
    line.run();
    let heard = line.now.steady;
    while line.here.ended.is_none() {
        line.now.steady = line.here.talk.deadline().unwrap();
        line.here.talk.expire(line.now, &mut line.here.out);
        line.here.turn(line.now);
    }
    assert_eq!(line.now.steady, heard + SILENCE_MAX);
}

#[test]
fn a_server_that_speaks_something_else_is_left() {
    let mut line = Line::new(Way::From);
    let mut fresh = Side::new(Caller::<Backend>::new(line.now, line.wish.clone()));
    fresh.talk.expire(line.now, &mut fresh.out);
    fresh.input = BytesMut::from(&b"HTTP/1.1 400 Bad Request\r\n"[..]);
    fresh.turn(line.now);
    assert_eq!(fresh.ended.map(|close| close.code), Some(1002));
    // Garbage behind the handshake.
    line.here.input.extend_from_slice(&[0xc9, 1, 2, 3]);
    line.here.turn(line.now);
    assert_eq!(line.here.ended.map(|close| close.code), Some(1002));
}
