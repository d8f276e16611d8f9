//! Commands through both encodings, and bytes that are no commands.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use yizhan_hub::{
    Content, Credentials, Filter, Position, Qos, SessionId, SpaceId, Topic,
    link::{Acked, Durability, Have, Hello, LastMessage, Publish, Resume, Start, Subscribe},
    service::Ask,
    store::Range,
};

use super::{
    Encoding, FRAME_COMMANDS_MAX, Frame, Wrong,
    command::{Command, Greeting, Network},
    script::write_command,
};

/// Every command of a frame, or why it is none.
fn read(encoding: Encoding, frame: &[u8]) -> Result<Vec<super::Read>, Wrong> {
    let mut frame = Frame::new(encoding, frame)?;
    let mut commands = Vec::new();
    while let Some(command) = frame.command()? {
        commands.push(command);
    }
    Ok(commands)
}

/// The one command of a JSON frame.
fn one(json: &str) -> Result<Command, Wrong> {
    let mut commands = read(Encoding::Json, json.as_bytes())?;
    assert_eq!(commands.len(), 1, "{json}");
    commands.remove(0).1
}

/// The code and the reason of what is wrong with a JSON command.
fn wrong(json: &str) -> (u16, String) {
    let wrong = one(json).expect_err(json);
    (wrong.code(), wrong.to_string())
}

#[test]
fn a_publish_is_read() {
    let json = r#"{"type":"publish","id":4,"topic":"rooms/kitchen","text":"h\u00e9llo","key":"status","mid":"c1-17",
        "headers":{"lang":"en"},"expires":60,"durable":"disk","qos":1,"delay":2.5,"someday":[1,{"x":null}]}"#;
    let Command::Publish(publish) = one(json).unwrap() else { panic!() };
    assert_eq!(publish.topic.as_str(), "rooms/kitchen");
    assert_eq!((&publish.body[..], &publish.content), ("héllo".as_bytes(), &Content::Text));
    assert_eq!((publish.key.as_deref(), publish.id.as_deref()), (Some("status"), Some("c1-17")));
    assert_eq!(publish.headers[..], [("lang".into(), "en".into())]);
    assert_eq!((publish.expires_in, publish.wants), (Some(Duration::from_secs(60)), Durability::Disk));
    assert_eq!((publish.qos, publish.delay), (Qos::AtLeastOnce, Some(Duration::from_millis(2500))));
    let Command::Publish(plain) = one(r#"{"type":"publish","topic":"a"}"#).unwrap() else { panic!() };
    assert_eq!((plain.qos, plain.delay), (Qos::ExactlyOnce, None));
    for bad in [r#""qos":3"#, r#""qos":"1""#, r#""qos":0.5"#, r#""delay":-1"#, r#""delay":"soon""#] {
        let (code, reason) = wrong(&format!(r#"{{"type":"publish","topic":"a",{bad}}}"#));
        assert_eq!(code, 104, "{bad}: {reason}");
    }
}

#[test]
fn a_body_is_one_of_three() {
    let body = |fields: &str| match one(&format!(r#"{{"type":"publish","topic":"a"{fields}}}"#)) {
        Ok(Command::Publish(publish)) => Ok((publish.content, publish.body)),
        Err(wrong) => Err((wrong.code(), wrong.to_string())),
        _ => panic!(),
    };
    assert_eq!(body(""), Ok((Content::Binary, Bytes::new())));
    assert_eq!(body(r#","data":{"a": [1, null]}"#), Ok((Content::Json, r#"{"a": [1, null]}"#.into())));
    assert_eq!(body(r#","data":null"#), Ok((Content::Json, "null".into())));
    assert_eq!(body(r#","text":null"#), Ok((Content::Binary, Bytes::new())));
    assert_eq!(body(r#","bin":"AAEC""#), Ok((Content::Binary, Bytes::from_static(&[0, 1, 2]))));
    assert_eq!(
        body(r#","bin":"AAEC","content":"image/png""#),
        Ok((Content::Other("image/png".into()), Bytes::from_static(&[0, 1, 2])))
    );
    assert_eq!(
        body(r##","text":"# hi","content":"text/markdown""##),
        Ok((Content::Other("text/markdown".into()), "# hi".into()))
    );
    for (fields, name) in [
        (r#","text":"a","data":1"#, "data"),
        (r#","bin":"A""#, "bin"),
        (r#","bin":"AAE""#, "bin"),
        (r#","text":"a","content":"image/png""#, "content"),
        (r#","data":1,"content":"application/json""#, "content"),
        (r#","text":7"#, "text"),
    ] {
        let (code, reason) = body(fields).unwrap_err();
        assert_eq!(code, 104, "{fields}");
        assert!(reason.contains(&format!("'{name}'")), "{fields}: {reason}");
    }
}

#[test]
fn a_wrong_type_is_104_with_the_fields_name() {
    for (json, name) in [
        (r#"{"type":"ping","id":"1"}"#, "id"),
        (r#"{"type":"ping","id":-1}"#, "id"),
        (r#"{"type":"ping","id":1.5}"#, "id"),
        (r#"{"type":"ping","id":9007199254740992}"#, "id"),
        (r#"{"id":1}"#, "type"),
        (r#"{"type":7}"#, "type"),
        (r#"{"type":"publish"}"#, "topic"),
        (r#"{"type":"publish","topic":["a"]}"#, "topic"),
        (r#"{"type":"publish","topic":"a","durable":"paper"}"#, "durable"),
        (r#"{"type":"publish","topic":"a","expires":-1}"#, "expires"),
        (r#"{"type":"publish","topic":"a","headers":{"n":1}}"#, "headers"),
        (r#"{"type":"publish","topic":"a","headers":[]}"#, "headers"),
        (r#"{"type":"subscribe","filter":"a"}"#, "sub"),
        (r#"{"type":"subscribe","sub":4294967296,"filter":"a"}"#, "sub"),
        (r#"{"type":"subscribe","sub":1}"#, "filter"),
        (r#"{"type":"subscribe","sub":1,"filter":"a","state":1}"#, "state"),
        (r#"{"type":"subscribe","sub":1,"filter":"a","last":1001}"#, "last"),
        (r#"{"type":"subscribe","sub":1,"filter":"a","last":1,"seq":1}"#, "after"),
        (r#"{"type":"subscribe","sub":1,"filter":"a","after":"1.2.3"}"#, "after"),
        (r#"{"type":"subscribe","sub":1,"filter":"a","after":["1.2.3.4",5]}"#, "after"),
        (r#"{"type":"subscribe","sub":1,"filter":"a","window":0}"#, "window"),
        (r#"{"type":"ack","sub":1}"#, "n"),
        (r#"{"type":"ack","sub":1,"n":1,"pos":"1.0.0.1"}"#, "n"),
        (r#"{"type":"history","topic":"a","limit":0}"#, "limit"),
        (r#"{"type":"history","topic":"a","since":1,"before":2}"#, "since"),
        (r#"{"type":"ask"}"#, "to"),
        (r#"{"type":"ask","to":""}"#, "to"),
        (r#"{"type":"ask","to":"im/\u0000"}"#, "to"),
        (r#"{"type":"ask","to":["im"],"data":1}"#, "to"),
        (r#"{"type":"presence"}"#, "topic"),
        (r#"{"type":"presence","topic":"a","user":"b"}"#, "user"),
        (r#"{"type":"time","t1":"now"}"#, "t1"),
        (r#"{"type":"network","network":"5g"}"#, "network"),
        (r#"{"type":"hello","user":"ann"}"#, "password"),
        (r#"{"type":"hello","token":"a","ticket":"b"}"#, "token"),
        (r#"{"type":"hello","keep":"long"}"#, "keep"),
        (r#"{"type":"hello","device":""}"#, "device"),
        (r#"{"type":"hello","will":"a"}"#, "will"),
        (r#"{"type":"hello","will":{"text":"a"}}"#, "topic"),
        (r#"{"type":"hello","resume":{"session":"1f"}}"#, "secret"),
        (r#"{"type":"hello","resume":{"session":"1f","secret":"s","have":[1]}}"#, "have"),
    ] {
        let (code, reason) = wrong(json);
        assert_eq!(code, 104, "{json}");
        assert!(reason.contains(&format!("'{name}'")), "{json}: {reason}");
    }
}

#[test]
fn what_is_too_much_has_its_own_number() {
    let long = "x".repeat(1025);
    for (json, code) in [
        (r#"{"type":"dance"}"#.to_owned(), 103),
        (r##"{"type":"publish","topic":"#"}"##.to_owned(), 110),
        (r#"{"type":"publish","topic":""}"#.to_owned(), 110),
        (r#"{"type":"publish","topic":"a\u0000"}"#.to_owned(), 110),
        (format!(r#"{{"type":"publish","topic":"{long}"}}"#), 110),
        (r#"{"type":"subscribe","sub":1,"filter":"a#"}"#.to_owned(), 110),
        (format!(r#"{{"type":"publish","topic":"a","key":"{long}"}}"#), 113),
        (format!(r#"{{"type":"publish","topic":"a","mid":"{long}"}}"#), 113),
        (format!(r#"{{"type":"publish","topic":"a","headers":{{"h":"{}"}}}}"#, long.repeat(8)), 113),
        (r#"{"type":"hello","resume":{"session":"no","secret":"s"}}"#.to_owned(), 301),
    ] {
        assert_eq!(wrong(&json).0, code, "{json}");
    }
    let headers: Vec<String> = (0..65).map(|i| format!(r#""h{i}":"v""#)).collect();
    let json = format!(r#"{{"type":"publish","topic":"a","headers":{{{}}}}}"#, headers.join(","));
    assert_eq!(wrong(&json).0, 113);
}

#[test]
fn a_frame_is_an_object_or_an_array_of_objects() {
    let count = |frame: &str| read(Encoding::Json, frame.as_bytes()).map(|commands| commands.len());
    let ping = r#"{"type":"ping"}"#;
    assert_eq!(count(ping), Ok(1));
    assert_eq!(count("[]"), Ok(0));
    assert_eq!(count(&format!(" [ {ping} , {ping} ] ")), Ok(2));
    let most = vec![ping; FRAME_COMMANDS_MAX].join(",");
    assert_eq!(count(&format!("[{most}]")), Ok(FRAME_COMMANDS_MAX));
    assert_eq!(count(&format!("[{most},{ping}]")), Err(Wrong::TooManyCommands));
    for bad in
        ["", " ", "7", "\"a\"", "null", "[1]", "[[]]", "{} {}", "[{}", "{\"a\":1", "[{},]", "[,]", "{}]"]
    {
        assert!(matches!(count(bad), Err(Wrong::NotFrame { .. })), "{bad}");
    }
    assert!(matches!(read(Encoding::Json, b"{\"type\":\"\xff\"}"), Err(Wrong::NotUtf8)));
    let deep = format!(r#"{{"type":"publish","topic":"a","data":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    assert!(matches!(count(&deep), Err(Wrong::NotFrame { expected: "fewer levels", .. })));
}

#[test]
fn a_command_that_cannot_be_read_leaves_those_before_it() {
    let mut frame = Frame::new(Encoding::Json, br#"[{"type":"ping","id":1},{"type":"ping","id":}]"#).unwrap();
    assert!(matches!(frame.command(), Ok(Some((Some(1), Ok(Command::Ping))))));
    assert!(frame.command().is_err());
}

/// Maps of indefinite length, text keys in parts, whole floats, tag 55799.
#[test]
fn cbor_may_be_written_in_its_longer_ways() {
    let frame = [
        &[0xd9, 0xd9, 0xf7, 0x9f, 0xbf][..],
        &[0x7f, 0x62, b't', b'y', 0x62, b'p', b'e', 0xff, 0x64, b'p', b'i', b'n', b'g'],
        &[0x62, b'i', b'd', 0xf9, 0x47, 0x00],
        &[0x01, 0x02, 0xff, 0xff],
    ]
    .concat();
    let commands = read(Encoding::Cbor, &frame).unwrap();
    assert!(matches!(commands[..], [(Some(7), Ok(Command::Ping))]), "{commands:?}");
}

#[test]
fn cbor_that_json_cannot_say_is_refused_as_data() {
    // {"type": "publish", "topic": "a", "data": h'00'}
    let frame = b"\xa3\x64type\x67publish\x65topic\x61a\x64data\x41\x00";
    let commands = read(Encoding::Cbor, frame).unwrap();
    let [(None, Err(wrong))] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!((wrong.code(), wrong.to_string().contains("'data'")), (104, true), "{wrong}");
}

/// A CBOR item as JSON.
pub(crate) fn json_of_cbor(bytes: &[u8]) -> String {
    let mut reader = super::cbor::Reader::new(bytes);
    let value = reader.value(0).unwrap();
    assert!(reader.is_at_end());
    String::from_utf8(super::fields::Value::json(value).unwrap().to_vec()).unwrap()
}

fn name() -> impl Strategy<Value = Arc<str>> {
    "[a-zA-Zé\"\\\\ ]{1,20}".prop_map(Arc::from)
}

fn topic() -> impl Strategy<Value = Topic> {
    "[a-z\"é]{1,6}(/[a-z0-9]{0,6}){0,3}".prop_map(|t| Topic::new(&t).unwrap())
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        topic().prop_map(|t| Filter::exactly(&t)),
        topic().prop_map(|t| Filter::new(&format!("{t}/+/#")).unwrap()),
    ]
}

fn position() -> impl Strategy<Value = Position> {
    any::<(u16, u16, u32, u64)>().prop_map(|(space, lane, epoch, offset)| Position {
        space: SpaceId(space),
        lane,
        epoch,
        offset,
    })
}

fn whole() -> impl Strategy<Value = u64> {
    0..=super::fields::INTEGER_MAX
}

fn duration() -> impl Strategy<Value = Duration> {
    (0u64..1_000_000_000).prop_map(Duration::from_millis)
}

fn json_text() -> impl Strategy<Value = String> {
    ".*".prop_map(|text| serde_json::json!({"a": [1, -1, 0.5, text, null]}).to_string())
}

fn body() -> impl Strategy<Value = (Content, Bytes)> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..50).prop_map(|b| (Content::Binary, b.into())),
        ".*".prop_map(|t| (Content::Text, t.into())),
        json_text().prop_map(|j| (Content::Json, j.into())),
        prop::collection::vec(any::<u8>(), 0..50)
            .prop_map(|b| (Content::Other("image/png".into()), b.into())),
        ".*".prop_map(|t| (Content::Other("text/markdown".into()), t.into())),
    ]
}

fn publish() -> impl Strategy<Value = Publish> {
    let headers = prop::collection::btree_map(name(), name(), 0..4);
    let wants = prop::sample::select(vec![Durability::None, Durability::Memory, Durability::Disk]);
    (
        topic(),
        prop::option::of(name()),
        prop::option::of(name()),
        body(),
        headers,
        prop::option::of(duration()),
        wants,
        (prop::sample::select(vec![Qos::AtMostOnce, Qos::ExactlyOnce]), prop::option::of(duration())),
    )
        .prop_map(|(topic, key, id, (content, body), headers, expires_in, wants, (qos, delay))| {
            let headers = headers.into_iter().collect::<Vec<_>>().into();
            Publish { key, id, content, headers, expires_in, wants, qos, delay, ..Publish::new(topic, body) }
        })
}

fn hello() -> impl Strategy<Value = Command> {
    let credentials = prop_oneof![
        Just(Credentials::None),
        (name(), name()).prop_map(|(user, password)| Credentials::Password { user, password }),
        name().prop_map(Credentials::Token),
        name().prop_map(Credentials::Ticket),
    ];
    let have = (any::<u32>(), prop::option::of(whole()), prop::collection::vec(position(), 0..3))
        .prop_map(|(subscription, number, positions)| Have { subscription, number, positions });
    let resume = (any::<u64>(), name(), prop::collection::vec(have, 0..3))
        .prop_map(|(session, secret, have)| Resume { session: SessionId(session), secret, have });
    let network = prop::sample::select(vec![Network::Wifi, Network::Cellular, Network::Iot]);
    (
        credentials,
        prop::option::of(name()),
        prop::option::of(resume),
        duration(),
        prop::option::of(publish().prop_map(|publish| LastMessage { publish, delay: None })),
        network,
    )
        .prop_map(|(credentials, device, resume, keep, last_message, network)| {
            let hello = Hello { credentials, device, resume, keep, last_message, ..Hello::default() };
            Command::Hello(Box::new(Greeting { hello, network, client: None }))
        })
}

fn subscribe() -> impl Strategy<Value = Command> {
    let from = prop_oneof![
        Just(Start::Now),
        prop::collection::vec(position(), 1..3).prop_map(Start::Positions),
        whole().prop_map(Start::Seq),
        (0u32..=1000).prop_map(Start::Last),
    ];
    (any::<u32>(), filter(), from, any::<bool>(), prop::option::of(1u32..=10_000), any::<bool>()).prop_map(
        |(id, filter, from, with_state, window, no_local)| {
            Command::Subscribe(Box::new(Subscribe {
                from,
                with_state,
                window,
                no_local,
                ..Subscribe::new(id, filter)
            }))
        },
    )
}

/// Any command.
pub(crate) fn command() -> impl Strategy<Value = Command> {
    let acked = prop_oneof![whole().prop_map(Acked::Number), position().prop_map(Acked::Position)];
    let range = prop_oneof![
        Just(Range::Newest),
        whole().prop_map(Range::Before),
        whole().prop_map(Range::After),
        (whole(), whole()).prop_map(|(a, b)| Range::Between(a, b)),
        (0u64..1 << 52).prop_map(|at| Range::Since(yizhan_talk::Timestamp::from_millis(at / 1000))),
    ];
    prop_oneof![
        hello(),
        subscribe(),
        any::<u32>().prop_map(Command::Unsubscribe),
        publish().prop_map(Command::Publish),
        (any::<u32>(), acked).prop_map(|(sub, acked)| Command::Ack(sub, acked)),
        (topic(), range, 1usize..=1000)
            .prop_map(|(topic, range, limit)| Command::History(topic, range, limit)),
        filter().prop_map(Command::State),
        (name(), prop::option::of(json_text())).prop_map(|(name, body)| Command::Ask(Ask {
            name,
            body: body.map(Bytes::from).unwrap_or_default()
        })),
        topic().prop_map(Command::PresenceOfTopic),
        name().prop_map(Command::PresenceOfUser),
        prop::option::of(-1e15f64..1e15).prop_map(Command::Time),
        (0..3u8).prop_map(|which| match which {
            0 => Command::Ping,
            1 => Command::Network(Network::Cellular),
            _ => Command::Bye,
        }),
    ]
}

fn written(id: Option<u64>, command: &Command, encoding: Encoding) -> BytesMut {
    let mut into = BytesMut::new();
    write_command(id, command, &mut into, encoding);
    into
}

proptest! {
    /// JSON → command → CBOR → command → JSON is the same.
    #[test]
    fn commands_survive_both_encodings(id in prop::option::of(whole()), command in command()) {
        let json = written(id, &command, Encoding::Json);
        let mut read_json = read(Encoding::Json, &json).unwrap();
        let (id_of_json, of_json) = read_json.pop().unwrap();
        prop_assert_eq!(id_of_json, id);
        let cbor = written(id, &of_json.unwrap(), Encoding::Cbor);
        let mut read_cbor = read(Encoding::Cbor, &cbor).unwrap();
        let (id_of_cbor, of_cbor) = read_cbor.pop().unwrap();
        prop_assert_eq!(id_of_cbor, id);
        let again = written(id, &of_cbor.unwrap(), Encoding::Json);
        let value = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();
        prop_assert_eq!(value(&again), value(&json));
    }

    #[test]
    fn damaged_commands_never_panic(
        command in command(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index, cbor: bool,
    ) {
        let encoding = if cbor { Encoding::Cbor } else { Encoding::Json };
        let mut frame = written(Some(1), &command, encoding);
        let i = at.index(frame.len());
        frame[i] = byte;
        drop(read(encoding, &frame));
        frame.truncate(cut.index(frame.len()));
        prop_assert!(read(encoding, &frame).is_err() || cbor);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cbor: bool) {
        drop(read(if cbor { Encoding::Cbor } else { Encoding::Json }, &bytes));
    }
}
