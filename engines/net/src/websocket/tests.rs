//! The rules of RFC 6455 and RFC 7692, told as scripts: what the client sends, what it hears.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use proptest::prelude::*;
use yizhan_talk::{Backend, Called, Close, Connection, Fault, Now, Out, Then, Timestamp};

use super::{
    Framed, Kind, Settings, deflate,
    frame::{Opcode, close_payload, put_frame},
    fuzz_frames, fuzz_offer,
    reader::{Event, Reader, Role},
};
use crate::{Deflate, Limits, Shell, SystemClock};

const MESSAGE_BYTES_MAX: usize = 100_000;

/// Sends every message back; `quit` ends the talk, `fault` is a fault.
struct Echo;
struct Nobody;

impl Backend for Nobody {
    type Call = ();
    type Answer = ();
    type Delivery = String;
    fn call(&mut self, _: Now, (): ()) -> Called<()> {
        Called::Done(())
    }
    fn poll_deliveries(&mut self, _: &mut Context<'_>, _: Now, _: &mut Vec<String>, _: usize) -> Poll<()> {
        Poll::Pending
    }
}

impl Connection for Echo {
    type Backend = Nobody;
    fn receive(&mut self, _: Now, input: &mut BytesMut, out: &mut Out<Nobody>) -> Result<(), Fault> {
        match &input[..] {
            b"quit" => out.close(Close::KICKED),
            b"fault" => return Err(Fault(Close::PROTOCOL)),
            _ => {}
        }
        out.packets.push(input);
        Ok(())
    }
    fn answer(&mut self, _: Now, (): (), _: &mut Out<Nobody>) {}
    fn deliver(&mut self, _: Now, deliveries: &mut Vec<String>, out: &mut Out<Nobody>) {
        for delivery in deliveries.drain(..) {
            out.packets.push(delivery.as_bytes());
        }
    }
    fn expire(&mut self, _: Now, _: &mut Out<Nobody>) {}
    fn leave(&mut self, _: Now, close: Close, out: &mut Out<Nobody>) {
        out.packets.push(b"bye");
        out.close(close);
    }
    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// What the client hears.
#[derive(Debug, PartialEq)]
enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

/// A client's talk with [`Echo`].
struct Script {
    server: Framed<Echo>,
    client: Reader,
    now: Now,
    input: BytesMut,
    out: Out<Nobody>,
    heard: Vec<Heard>,
    ended: bool,
}

impl Script {
    fn new(kind: Kind) -> Self {
        Self::agreed(kind, None)
    }

    fn deflating() -> Self {
        Self::agreed(Kind::Text, deflate::agree(["permessage-deflate"].into_iter()))
    }

    fn agreed(kind: Kind, agreed: Option<deflate::Agreed>) -> Self {
        let settings = Settings {
            message_bytes_max: MESSAGE_BYTES_MAX,
            deflate: Deflate { bytes_min: 16, cpu_percent_max: 100, ..Deflate::default() },
        };
        let shell = Shell {
            limits: Limits {
                packet_within: Duration::from_secs(30),
                close_within: Duration::from_secs(5),
                ..Limits::default()
            },
            clock: Arc::new(SystemClock),
            meters: Arc::default(),
        };
        Self {
            server: Framed::new(Echo, kind, agreed, Arc::new(settings), Arc::new(shell)),
            client: Reader::new(Role::Client, agreed.is_some(), usize::MAX),
            now: Now { steady: Instant::now(), wall: Timestamp(0) },
            input: BytesMut::new(),
            out: Out::new(),
            heard: Vec::new(),
            ended: false,
        }
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.input.extend_from_slice(bytes);
        if self.server.receive(self.now, &mut self.input, &mut self.out).is_err() {
            self.ended = true;
        }
        self.listen()
    }

    /// The client sends these bytes one by one.
    fn slowly(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self, |script, byte| script.raw(&[*byte]))
    }

    fn frame(self, first: u8, payload: &[u8]) -> Self {
        self.raw(&frame(first, payload))
    }

    fn passes(mut self, seconds: u64) -> Self {
        self.now.steady += Duration::from_secs(seconds);
        if self.server.deadline().is_some_and(|at| at <= self.now.steady) {
            self.server.expire(self.now, &mut self.out);
        }
        self.listen()
    }

    fn listen(mut self) -> Self {
        self.ended |= matches!(self.out.then, Then::Close(_));
        let mut bytes = BytesMut::from(self.out.packets.bytes());
        self.out.packets.clear();
        while let Some(event) = self.client.next(&mut bytes).expect("the server keeps the rules") {
            self.heard.push(match event {
                Event::Message(Kind::Text, text) => Heard::Text(String::from_utf8(text.to_vec()).unwrap()),
                Event::Message(Kind::Binary, bytes) => Heard::Binary(bytes.to_vec()),
                Event::Pong => Heard::Pong(Vec::new()),
                Event::Ping(_) => unreachable!("the server pings nobody"),
                Event::Close(code, _) => Heard::Close(code),
            });
        }
        self
    }

    fn hears(mut self, expected: &[Heard]) -> Self {
        assert_eq!(self.heard, expected);
        self.heard.clear();
        self
    }

    fn text(self, text: &str) -> Self {
        self.hears(&[Heard::Text(text.to_owned())])
    }

    /// The server has closed with this code, and the shell ends the stream.
    fn fails(self, code: u16) {
        assert!(self.ended, "the stream ends");
        self.hears(&[Heard::Close(Some(code))]);
    }
}

/// A masked frame whose first byte is `first`.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    put_frame(&mut bytes, Opcode::Text, false, Some([0x37, 0xfa, 0x21, 0x3d]), payload);
    bytes[0] = first;
    bytes.to_vec()
}

/// RFC 6455, 5.7.
#[test]
fn the_examples_of_the_standard() {
    let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    Script::new(Kind::Text).raw(&masked).text("Hello").slowly(&masked).text("Hello");
    let mut reader = Reader::new(Role::Client, false, 100);
    let mut read = |bytes: &[u8]| reader.next(&mut BytesMut::from(bytes)).unwrap();
    let hello = || Some(Event::Message(Kind::Text, BytesMut::from("Hello")));
    assert_eq!(read(&[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]), hello());
    assert_eq!(read(&[0x01, 0x03, 0x48, 0x65, 0x6c]), None);
    assert_eq!(read(&[0x80, 0x02, 0x6c, 0x6f]), hello());
    let ping = read(&[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(ping, Some(Event::Ping(BytesMut::from("Hello"))));
    for (len, head) in [(256, &[0x82, 0x7e, 0x01, 0x00][..]), (65536, &[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0])]
    {
        let mut bytes = BytesMut::new();
        put_frame(&mut bytes, Opcode::Binary, false, None, &vec![0; len]);
        assert!(bytes.starts_with(head));
    }
}

#[test]
fn messages_of_all_lengths_come_back() {
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537, MESSAGE_BYTES_MAX] {
        let text = "*".repeat(len);
        Script::new(Kind::Text).frame(0x81, text.as_bytes()).text(&text);
        let bytes = vec![0xfe; len];
        Script::new(Kind::Binary).frame(0x82, &bytes).hears(&[Heard::Binary(bytes)]);
    }
}

#[test]
fn several_messages_in_one_read_are_several_messages() {
    let both = [frame(0x81, b"one"), frame(0x81, &[b'2'; 300]), frame(0x81, b"")].concat();
    Script::new(Kind::Text).raw(&both).hears(&[
        Heard::Text("one".into()),
        Heard::Text("2".repeat(300)),
        Heard::Text(String::new()),
    ]);
}

#[test]
fn pings_are_answered_also_within_a_fragmented_message() {
    Script::new(Kind::Text)
        .frame(0x89, &[7; 125])
        .hears(&[Heard::Pong(vec![])])
        .frame(0x01, b"He")
        .frame(0x89, b"")
        .hears(&[Heard::Pong(vec![])])
        .frame(0x00, b"ll")
        .frame(0x8a, b"unasked")
        .frame(0x80, b"o")
        .text("Hello");
    let pong = {
        let mut script = Script::new(Kind::Text);
        script.input.extend(frame(0x89, b"payload"));
        script.server.receive(script.now, &mut script.input, &mut script.out).unwrap();
        script.out.packets.bytes().to_vec()
    };
    assert_eq!(pong, b"\x8a\x07payload", "a pong has the ping's payload (RFC 6455, 5.5.3)");
}

#[test]
fn broken_frames_close_with_1002() {
    let unmasked = [0x81, 1, b'x'];
    Script::new(Kind::Text).raw(&unmasked).fails(1002);
    for first in [0xc1, 0xa1, 0x91, 0x83, 0x87, 0x8b, 0x8f, 0x80, 0x00, 0x08, 0x09, 0x0a, 0xc9] {
        Script::new(Kind::Text).frame(first, b"x").fails(1002);
    }
    Script::new(Kind::Text).frame(0x89, &[0; 126]).fails(1002);
    Script::new(Kind::Text).frame(0x01, b"a").frame(0x81, b"b").fails(1002);
    Script::new(Kind::Text).frame(0x01, b"a").frame(0x80, b"b").text("ab").frame(0x80, b"c").fails(1002);
    let long_form = [0x81, 0xfe, 0, 1, 0, 0, 0, 0, b'x'];
    Script::new(Kind::Text).raw(&long_form).fails(1002);
}

#[test]
fn text_that_is_not_utf8_closes_with_1007_as_soon_as_it_is_seen() {
    Script::new(Kind::Text).frame(0x81, b"\xce\xba\xff").fails(1007);
    Script::new(Kind::Text).frame(0x81, b"cut \xf0\x9f\x98").fails(1007);
    Script::new(Kind::Text).frame(0x81, b"\xed\xa0\x80").fails(1007);
    // Across fragments a character may be cut, but not left unfinished.
    Script::new(Kind::Text).frame(0x01, b"\xf0\x9f").frame(0x80, b"\x98\x80").text("😀");
    Script::new(Kind::Text).frame(0x01, b"\xf0\x9f").frame(0x80, b"x").fails(1007);
    Script::new(Kind::Text).frame(0x01, b"\xf4\x90").fails(1007);
    // And within a frame that is not complete.
    let long = frame(0x81, &[&b"fine \xff"[..], &[b'x'; 500]].concat());
    Script::new(Kind::Text).raw(&long[..30]).fails(1007);
}

#[test]
fn the_other_kind_of_message_closes_with_1003() {
    Script::new(Kind::Text).frame(0x82, b"x").fails(1003);
    Script::new(Kind::Binary).frame(0x81, b"x").fails(1003);
}

#[test]
fn what_is_too_large_closes_with_1009_before_it_has_come() {
    let huge = [0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
    Script::new(Kind::Text).raw(&huge).fails(1009);
    let half = vec![b'x'; MESSAGE_BYTES_MAX / 2 + 1];
    Script::new(Kind::Text).frame(0x01, &half).frame(0x80, &half).fails(1009);
    let head = [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    Script::new(Kind::Text).raw(&head).fails(1009);
    let head = [0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    Script::new(Kind::Text).raw(&head).fails(1002);
}

#[test]
fn a_close_is_echoed_and_the_stream_ends() {
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999] {
        let payload = [&u16::to_be_bytes(code)[..], "grüße".as_bytes()].concat();
        Script::new(Kind::Text).frame(0x88, &payload).fails(code);
    }
    let script = Script::new(Kind::Text).frame(0x88, b"");
    assert!(script.ended);
    script.hears(&[Heard::Close(None)]);
}

#[test]
fn a_bad_close_closes_with_1002_or_1007() {
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        Script::new(Kind::Text).frame(0x88, &code.to_be_bytes()).fails(1002);
    }
    Script::new(Kind::Text).frame(0x88, b"\x03").fails(1002);
    Script::new(Kind::Text).frame(0x88, b"\x03\xe8\xff").fails(1007);
}

#[test]
fn nothing_is_heard_after_a_close() {
    let all = [frame(0x88, &1000_u16.to_be_bytes()), frame(0x81, b"late"), frame(0x89, b"")].concat();
    Script::new(Kind::Text).raw(&all).fails(1000);
}

#[test]
fn our_close_waits_for_the_clients_and_says_nothing_more() {
    let script = Script::new(Kind::Text).frame(0x81, b"quit");
    assert!(!script.ended, "the client may say goodbye too");
    assert!(!script.server.takes_delivery());
    let script = script
        .hears(&[Heard::Text("quit".into()), Heard::Close(Some(4030))])
        .frame(0x81, b"still talking")
        .frame(0x89, b"");
    let script = script.hears(&[]).frame(0x88, &4030_u16.to_be_bytes());
    assert_eq!(script.out.then, Then::Close(Close::KICKED));
    script.hears(&[]);

    let script = Script::new(Kind::Text).frame(0x81, b"quit").passes(4);
    assert!(!script.ended);
    assert!(script.passes(1).ended, "who does not answer is not waited for");
}

#[test]
fn a_fault_closes_with_its_code() {
    Script::new(Kind::Text).frame(0x81, b"fault").fails(1002);
}

#[test]
fn leaving_says_what_the_protocol_says_and_then_closes() {
    let mut script = Script::new(Kind::Text);
    script.server.leave(script.now, Close::GOING_AWAY, &mut script.out);
    script.listen().hears(&[Heard::Text("bye".into()), Heard::Close(Some(1001))]);
}

#[test]
fn a_message_must_be_complete_in_time() {
    let script = Script::new(Kind::Text).frame(0x01, b"He").passes(29).frame(0x89, b"");
    let script = script.hears(&[Heard::Pong(vec![])]).passes(1);
    script.hears(&[Heard::Close(Some(1002))]);
    let half = frame(0x81, b"Hello");
    let script = Script::new(Kind::Text).raw(&half[..8]).passes(30);
    script.hears(&[Heard::Close(Some(1002))]);
    let whole = Script::new(Kind::Text).raw(&half[..8]).passes(29).raw(&half[8..]).text("Hello");
    assert_eq!(whole.server.deadline(), None, "nothing is unfinished, so nothing is waited for");
}

/// RFC 7692, 7.2.3.1 and 7.2.3.2.
#[test]
fn compressed_messages_are_read_whole_and_in_fragments() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    Script::deflating()
        .frame(0xc1, &hello)
        .text("Hello")
        .frame(0x41, &hello[..3])
        .frame(0x89, b"")
        .hears(&[Heard::Pong(vec![])])
        .frame(0x80, &hello[3..])
        .text("Hello")
        .frame(0x81, b"plain")
        .text("plain");
    Script::deflating().frame(0xc1, &[0x00]).text("");
}

#[test]
fn compression_breaks_no_other_rule() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    Script::deflating().frame(0x01, b"a").frame(0xc0, &hello).fails(1002);
    Script::deflating().frame(0xc9, b"").fails(1002);
    Script::deflating().frame(0xc1, b"\xff\xff\xff\xff").fails(1007);
    // "\xff" within a stored block: it inflates, and is not UTF-8.
    Script::deflating().frame(0xc1, &[0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00]).fails(1007);
}

#[test]
fn a_compression_bomb_closes_with_1009() {
    let plenty = Deflate { bytes_min: 0, level: 9, cpu_percent_max: 100, on: true };
    let agreed = deflate::agree(["permessage-deflate"].into_iter()).unwrap();
    let bomb = deflate::compress(&[b'x'; 50 * MESSAGE_BYTES_MAX], agreed, &plenty, <[u8]>::to_vec).unwrap();
    assert!(bomb.len() < MESSAGE_BYTES_MAX);
    Script::deflating().frame(0xc1, &bomb).fails(1009);
}

#[test]
fn long_messages_go_out_compressed_and_short_ones_do_not() {
    let mut script = Script::deflating();
    let mut deliveries = vec!["short".to_owned(), "long ".repeat(100), "mixed".to_owned()];
    script.server.deliver(script.now, &mut deliveries, &mut script.out);
    let packets: Vec<_> = script.out.packets.iter().map(<[u8]>::to_vec).collect();
    assert_eq!(packets[0][0], 0x81);
    assert_eq!(packets[1][0], 0xc1);
    assert!(packets[1].len() < 60);
    script.listen().hears(&[
        Heard::Text("short".into()),
        Heard::Text("long ".repeat(100)),
        Heard::Text("mixed".into()),
    ]);
}

#[test]
fn close_reasons_fit_into_a_control_frame() {
    let close = Close { reason: "x".repeat(500).into(), ..Close::NORMAL };
    assert_eq!(close_payload(&close).len(), 125);
    let strange = Close { code: 1006, ..Close::NORMAL };
    assert_eq!(close_payload(&strange)[..2], 1011_u16.to_be_bytes());
}

proptest! {
    #[test]
    fn messages_survive_any_cutting(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..6),
        parts in 1usize..5, step in 1usize..50, key: [u8; 4],
    ) {
        let mut bytes = BytesMut::new();
        for message in &messages {
            let pieces: Vec<_> = message.chunks(message.len() / parts + 1).collect();
            let pieces = if pieces.is_empty() { vec![&[][..]] } else { pieces };
            for (i, piece) in pieces.iter().enumerate() {
                let opcode = if i == 0 { Opcode::Binary } else { Opcode::Continuation };
                let at = bytes.len();
                put_frame(&mut bytes, opcode, false, Some(key), piece);
                if i + 1 < pieces.len() {
                    bytes[at] &= 0x7f;
                    put_frame(&mut bytes, Opcode::Ping, false, Some(key), b"between");
                }
            }
        }
        let mut reader = Reader::new(Role::Server, false, 400);
        let mut input = BytesMut::new();
        let mut read = Vec::new();
        for piece in bytes.chunks(step) {
            input.extend_from_slice(piece);
            while let Some(event) = reader.next(&mut input).unwrap() {
                match event {
                    Event::Message(Kind::Binary, message) => read.push(message.to_vec()),
                    event => prop_assert_eq!(event, Event::Ping(BytesMut::from("between"))),
                }
            }
        }
        prop_assert!(input.is_empty() && !reader.is_within_message());
        prop_assert_eq!(read, messages);
    }

    #[test]
    fn noise_is_read_without_a_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_frames(&noise);
    }

    #[test]
    fn frames_with_noise_in_them_are_read_without_a_panic(
        payloads in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..200)), 0..8),
        flags: u8, step: u8,
    ) {
        let mut bytes = vec![flags & 0xfe, step];
        for (first, payload) in payloads {
            bytes.extend(frame(first & 0xcf, &payload));
        }
        fuzz_frames(&bytes);
    }

    #[test]
    fn offers_are_read_without_a_panic(offer in "(permessage-deflate)?([; =\",a-z_0-9]|server_max_window_bits=|client_max_window_bits){0,12}") {
        fuzz_offer(&offer);
    }
}
