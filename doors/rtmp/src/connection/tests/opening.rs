use yizhan_media::amf;

use super::*;

#[test]
fn connect_is_answered_with_windows_chunks_and_what_the_server_is() {
    let talk = Talk::new().connect("live", &[("objectEncoding", 3.0.into())]);
    talk.hears(&[
        "Window(2500000)",
        "PeerBandwidth { window: 2500000, limit: Dynamic }",
        "_result NetConnection.Connect.Success",
    ])
    .hears_nothing()
    .open();
}

/// What the properties of a `connect`'s answer are.
fn properties(more: &[(&str, Value)]) -> Value {
    let mut talk = Talk::new();
    talk.heard.clear();
    let fields = [("app", Value::from("live"))].into_iter().chain(more.iter().cloned());
    let body = command("connect", 1.0, &[Value::object(fields)]);
    let mut bytes = BytesMut::new();
    write_message(&mut bytes, Head { on: 3, kind: 20, timestamp: 0, stream: 0 }, &[&body], 128);
    talk.input = bytes;
    talk.receive();
    let mut said = BytesMut::from(talk.out.packets.bytes());
    while let Some(message) = talk.reader.next(&mut said).unwrap() {
        if message.kind == kind::COMMAND {
            return Command::read(&message).unwrap().object;
        }
    }
    panic!("no answer");
}

#[test]
fn what_enhanced_rtmp_brought_is_said_to_who_knows_it() {
    assert_eq!(properties(&[]).get("fourCcList"), None);
    let known = properties(&[("fourCcList", Value::List(vec!["hvc1".into()]))]);
    let Some(Value::List(codecs)) = known.get("fourCcList") else { panic!("{known:?}") };
    assert!(codecs.contains(&"hvc1".into()) && codecs.contains(&"Opus".into()));
    assert_eq!(known.get("capsEx"), Some(&Value::Number(5.0)));
    let map = known.get("videoFourCcInfoMap").unwrap();
    assert_eq!(map.get("av01"), Some(&Value::Number(4.0)));
}

#[test]
fn a_stream_is_created_and_small_questions_are_answered() {
    Talk::connected()
        .ask("releaseStream", &["room".into()])
        .hears(&["_result Undefined"])
        .ask("FCPublish", &["room?token=x".into()])
        .hears(&["_result Undefined", "onFCPublish NetStream.Publish.Start"])
        .ask("createStream", &[])
        .hears(&["_result Number(1.0)"])
        .ask("_checkbw", &[])
        .hears(&["_result Undefined"])
        .ask("getStreamLength", &["room".into()])
        .hears(&["_result Number(0.0)"])
        .ask("FCSubscribe", &["room".into()])
        .hears(&["_result Undefined", "onFCSubscribe NetStream.Play.Start"])
        .ask("launchRockets", &[])
        .hears(&["_error NetConnection.Call.Failed"])
        .command("launchRockets", &[])
        .command("seek", &[5.0.into()])
        .hears(&["onStatus NetStream.Seek.Failed"])
        .command("closeStream", &[])
        .command("deleteStream", &[1.0.into()])
        .command("publish", &[false.into()])
        .hears_nothing()
        .open();
}

#[test]
fn the_token_comes_with_the_app_or_with_the_name() {
    for (app, name) in [("live?token=x", "room"), ("live", "room?token=x"), ("/live/", "room?token=x")] {
        let mut talk = Talk::connected_to(app, &[]).command("play", &[name.into()]);
        assert_eq!(talk.asked_to_play(), ("live/room".into(), "token=x".into()), "{app} {name}");
    }
    let url = [("tcUrl", Value::from("rtmp://host/live?token=x"))];
    let mut talk = Talk::connected_to("live", &url).command("publish", &["room".into()]);
    assert_eq!(talk.asked_to_publish(), ("live/room".into(), "token=x".into()));
}

#[test]
fn commands_out_of_order_end_the_talk() {
    Talk::new().ask("createStream", &[]).closed(1002);
    Talk::new().message(kind::VIDEO, 0, b"x").closed(1002);
    Talk::connected().connect("live", &[]).closed(1002);
}

#[test]
fn garbage_ends_the_talk() {
    Talk::silent_with(Config::default()).bytes(b"GET / HTTP/1.1\r\n").closed(1002);
    Talk::connected().message(kind::COMMAND, 0, &[0xff; 20]).closed(1002);
    Talk::connected().message(kind::COMMAND, 0, b"").closed(1002);
    // A chunk stream that begins without a head.
    Talk::connected().bytes(&[0xc9]).closed(1002);
    // Deeper than anybody needs.
    let mut deep = BytesMut::new();
    amf::write_str("connect", &mut deep);
    deep.extend_from_slice(&[3, 0, 1, b'a'].repeat(60));
    Talk::new().message(kind::COMMAND, 0, &deep).closed(1002);
}

#[test]
fn a_command_of_many_bytes_is_too_big() {
    let huge = Value::from("x".repeat(300 * 1024));
    Talk::connected()
        .command("publish", &[huge])
        .hears(&["onStatus NetConnection.Connect.Closed"])
        .closed(1009);
}

#[test]
fn pictures_of_who_does_not_publish_are_thrown_away() {
    let mut talk =
        Talk::connected().message(kind::VIDEO, 0, &[0x17; 100]).message(kind::DATA, 0, b"x").open();
    assert!(talk.calls.pop_front().is_none());
    // Nor may they be large.
    talk.message(kind::VIDEO, 0, &[0; FRAME_BYTES_MAX / 2]).closed(1009);
}

#[test]
fn a_client_that_speaks_byte_by_byte_is_understood() {
    let mut talk = Talk::connected();
    let body = command("createStream", 4.0, &[Value::Null]);
    let mut bytes = BytesMut::new();
    write_message(&mut bytes, Head { on: 3, kind: 20, timestamp: 0, stream: 0 }, &[&body], 128);
    for byte in bytes {
        talk = talk.hears_nothing().bytes(&[byte]);
    }
    talk.hears(&["_result Number(1.0)"]).hears_nothing().open();
}
