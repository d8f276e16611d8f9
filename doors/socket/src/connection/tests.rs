//! The protocol's rules, each as a story.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use proptest::prelude::*;
use yizhan_hub::{
    Answer, Call, Content, Credentials, Delivery, Message, Position, Principal, Record, Refused, SessionId,
    SpaceId, Topic,
    access::Rates,
    link::{Acked, Durability, Opened, Present, Receipt, Start},
    message::Sender,
    store::{Missed, Page},
};
use yizhan_talk::{
    Close, Connection as _, Timestamp,
    script::{Script, Scripted},
};

use super::{Connection, deliveries};
use crate::{
    Config, Terms,
    connection::trail::Trail,
    wire::{Encoding, command::Network},
};

type Client = Connection<Scripted<Call, Answer, Delivery>>;

fn terms() -> Arc<Terms> {
    Arc::new(Terms { config: Config::default(), server: "yizhan/test".into(), subscriptions_max: 10_000 })
}

/// A client over WebSocket that has said nothing.
fn silent() -> Script<Client> {
    Script::new(|now| Client::messages(now, terms(), Encoding::Json))
}

/// A client over TCP that has said nothing.
fn lines() -> Script<Client> {
    Script::new(|now| Client::lines(now, terms()))
}

fn opened() -> Opened {
    let principal = Principal {
        user: "ann".into(),
        device: None,
        roles: Arc::default(),
        expires_at: None,
        rates: Rates::default(),
    };
    Opened {
        session: SessionId(0x3f),
        secret: "".into(),
        principal: Arc::new(principal),
        resumed: false,
        keep: Duration::ZERO,
        subscriptions: Vec::new(),
    }
}

fn welcomed() -> Answer {
    Answer::Opened(Box::new(opened()))
}

const WELCOME: &str = r#"{"type":"welcome","re":1,"session":"000000000000003f","user":"ann","resumed":false,"keep":0,"heartbeat":45,"server":"yizhan/test","at":1767225600000,"limits":{"frame":1048576,"subscriptions":10000}}"#;

/// A client over WebSocket that was welcomed.
fn open() -> Script<Client> {
    silent().client(r#"{"type":"hello","id":1}"#).asked(drop).backend(welcomed()).server(WELCOME)
}

fn kept(seq: u64) -> Answer {
    Answer::Published(Receipt {
        position: Some(position(seq)),
        seq,
        at: Timestamp::from_millis(1_790_000_000_123),
        durability: Durability::Disk,
        duplicate: false,
    })
}

fn position(offset: u64) -> Position {
    Position { space: SpaceId(1), lane: 0, epoch: 0x5f3a, offset }
}

fn record(topic: &str, seq: u64, content: Content, body: impl Into<bytes::Bytes>) -> Arc<Record> {
    let from = Sender { user: "ann".into(), device: Some("phone".into()), session: SessionId(0x3f) };
    let message = Message {
        topic: Topic::new(topic).unwrap(),
        key: None,
        id: None,
        from,
        content,
        headers: Default::default(),
        body: body.into(),
        expires_at: None,
    };
    let place = (seq > 0).then(|| position(seq));
    Arc::new(Record::new(place, seq, Timestamp::from_millis(1_790_000_000_123), message))
}

fn delivery(subscription: u32, number: u64, record: &Arc<Record>) -> Delivery {
    Delivery::Record { subscription, number, record: record.clone() }
}

fn json(packet: &[u8]) -> serde_json::Value {
    serde_json::from_slice(packet).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(packet)))
}

/// Checks the next packet's `type`, and one more field.
fn says(kind: &'static str, field: &'static str, value: impl Into<serde_json::Value>) -> impl FnOnce(&[u8]) {
    let value = value.into();
    move |packet| {
        let event = json(packet);
        assert_eq!((&event["type"], &event[field]), (&kind.into(), &value), "{event}");
    }
}

fn closes(code: u16) -> impl FnOnce(&[u8]) {
    says("close", "code", code)
}

// --- hello

#[test]
fn hello_is_answered_by_welcome() {
    let resumable = Opened {
        secret: "s3".into(),
        resumed: true,
        keep: Duration::from_millis(1500),
        subscriptions: vec![
            (1, yizhan_hub::Filter::new("rooms/#").unwrap(), Missed::Count(2)),
            (2, yizhan_hub::Filter::new("a").unwrap(), Missed::Unknown),
        ],
        ..opened()
    };
    silent()
        .client(r#"{"type":"hello","id":1,"token":"yz_1","device":"phone","keep":1.5,"network":"cellular","client":"t/1",
            "resume":{"session":"3f","secret":"s3","have":[{"sub":1,"n":17},{"sub":2,"pos":["1.0.5f3a.9"]}]},
            "will":{"topic":"status/ann","key":"status","text":"gone"}}"#)
        .asked(|call| {
            let Call::Hello(hello) = call else { panic!("{call:?}") };
            assert!(matches!(hello.credentials, Credentials::Token(token) if &*token == "yz_1"));
            assert_eq!((hello.device.as_deref(), hello.keep), (Some("phone"), Duration::from_millis(1500)));
            let resume = hello.resume.unwrap();
            assert_eq!((resume.session, &*resume.secret, resume.have.len()), (SessionId(0x3f), "s3", 2));
            assert_eq!((resume.have[0].number, &resume.have[1].positions[..]), (Some(17), &[position(9)][..]));
            assert_eq!(hello.last_message.unwrap().topic.as_str(), "status/ann");
        })
        .silent()
        .backend(Answer::Opened(Box::new(resumable)))
        .hears(|packet| {
            let welcome = json(packet);
            assert_eq!(welcome["secret"], "s3");
            assert_eq!((&welcome["keep"], &welcome["heartbeat"]), (&1.5.into(), &20.into()));
            let subs = r##"[{"sub":1,"filter":"rooms/#","missed":2},{"sub":2,"filter":"a","missed":-1}]"##;
            assert_eq!(welcome["subs"], json(subs.as_bytes()));
        })
        .silent()
        .open();
}

#[test]
fn keep_is_cut_to_the_limit() {
    silent().client(r#"{"type":"hello","keep":1e9}"#).asked(|call| {
        let Call::Hello(hello) = call else { panic!("{call:?}") };
        assert_eq!(hello.keep, Duration::from_secs(24 * 3600));
    });
}

#[test]
fn commands_wait_for_hello_and_keep_their_order() {
    silent()
        .client(r#"[{"type":"hello","id":1},{"type":"publish","id":2,"topic":"a"},{"type":"ping","id":3}]"#)
        .asked(drop)
        .asked_nothing()
        .backend(welcomed())
        .server(WELCOME)
        .asked(|call| assert!(matches!(call, Call::Publish(_))))
        .silent()
        .backend(kept(812))
        .hears(says("receipt", "re", 2))
        .server(r#"{"type":"pong","re":3}"#)
        .silent();
}

#[test]
fn another_first_command_says_hello_by_itself() {
    lines()
        .client("{\"type\":\"publish\",\"topic\":\"a\",\"text\":\"hi\"}\n{\"type\":\"ping\",\"id\":7}\n")
        .asked(|call| {
            let Call::Hello(hello) = call else { panic!("{call:?}") };
            assert!(matches!(hello.credentials, Credentials::None));
        })
        .asked_nothing()
        .backend(welcomed())
        .hears(says("welcome", "user", "ann"))
        .asked(|call| assert!(matches!(call, Call::Publish(p) if &p.body[..] == b"hi")))
        .silent()
        .backend(kept(1))
        .server("{\"type\":\"pong\",\"re\":7}\n");
}

#[test]
fn where_anonymous_clients_are_not_let_in_hello_must_come_first() {
    silent()
        .client(r#"[{"type":"publish","id":5,"topic":"a"},{"type":"ping"}]"#)
        .asked(drop)
        .backend(Answer::Refused(Refused::NotAdmitted))
        .hears(says("error", "code", 201))
        .hears(says("error", "code", 101))
        .hears(says("error", "code", 101))
        .client(r#"{"type":"ping","id":6}"#)
        .asked_nothing()
        .hears(says("error", "re", 6))
        .client(r#"{"type":"hello","id":7,"user":"ann","password":"p"}"#)
        .asked(drop)
        .backend(welcomed())
        .hears(says("welcome", "re", 7));
}

#[test]
fn hello_comes_within_ten_seconds() {
    silent()
        .pass(Duration::from_millis(9_999))
        .silent()
        .pass(Duration::from_millis(1))
        .hears(closes(4001))
        .closed(4001);
}

#[test]
fn a_slow_password_check_is_not_the_clients_fault() {
    silent()
        .client(r#"{"type":"hello","id":1}"#)
        .pass(Duration::from_secs(60))
        .silent()
        .backend(welcomed())
        .open();
}

#[test]
fn after_three_refused_hellos_the_connection_is_closed() {
    let mut script = silent();
    for _ in 0..3 {
        script = script
            .client(r#"{"type":"hello","token":"x"}"#)
            .backend(Answer::Refused(Refused::BadToken("expired key")))
            .hears(says("error", "code", 203));
    }
    script.hears(closes(4003)).closed(4003);
}

#[test]
fn a_session_that_is_gone_may_be_followed_by_a_new_one() {
    silent()
        .client(r#"{"type":"hello","id":1,"resume":{"session":"3f","secret":"old"}}"#)
        .asked(drop)
        .backend(Answer::Refused(Refused::NoSession))
        .hears(says("error", "code", 301))
        .client(r#"{"type":"hello","id":1}"#)
        .asked(drop)
        .backend(welcomed())
        .server(WELCOME);
}

#[test]
fn hello_comes_once() {
    open().client(r#"{"type":"hello","id":2}"#).asked_nothing().hears(says("error", "code", 102)).open();
}

#[test]
fn the_connection_ends_with_its_token() {
    let mut principal = (*opened().principal).clone();
    principal.expires_at = Some(Timestamp::from_millis(1_767_225_600_000).plus(Duration::from_secs(30)));
    let ending = Opened { principal: Arc::new(principal), ..opened() };
    let begin = || {
        silent().client(r#"{"type":"hello"}"#).backend(Answer::Opened(Box::new(ending.clone()))).hears(|_| ())
    };
    begin()
        .pass(Duration::from_secs(29))
        .silent()
        .pass(Duration::from_secs(1))
        .hears(closes(4004))
        .closed(4004);
    // A clock that was set back for an hour: what the wall says counts.
    begin()
        .set_wall(Timestamp::from_millis(1_767_222_000_000))
        .client(r#"{"type":"network","network":"iot"}"#)
        .hears(|_| ())
        .pass(Duration::from_secs(500))
        .silent()
        .open();
}

// --- commands

#[test]
fn answers_come_in_the_order_of_commands() {
    open()
        .client(r#"{"type":"publish","id":2,"topic":"a"}"#)
        .client(r#"{"type":"time","id":3,"t1":5.25}"#)
        .client(r#"{"type":"dance","id":4}"#)
        .client(r#"{"type":"publish","id":5,"topic":"a"}"#)
        .silent()
        .backend(kept(812))
        .server(r#"{"type":"receipt","re":2,"seq":812,"pos":"1.0.5f3a.32c","at":1790000000123,"durable":"disk","duplicate":false}"#)
        .server(r#"{"type":"time","re":3,"t1":5.25,"t2":1767225600000,"t3":1767225600000}"#)
        .hears(says("error", "re", 4))
        .silent()
        .backend(Answer::Refused(Refused::NoSpace(Topic::new("a").unwrap())))
        .hears(says("error", "code", 310));
}

#[test]
fn without_id_only_failures_of_publish_ack_and_unsubscribe_are_answered() {
    open()
        .client(r#"[{"type":"publish","topic":"a"},{"type":"ack","sub":1,"n":1},{"type":"unsubscribe","sub":1},{"type":"publish","topic":"a"}]"#)
        .backend(kept(1))
        .backend(Answer::Done)
        .backend(Answer::Done)
        .silent()
        .backend(Answer::Refused(Refused::TooLarge { bytes: 9, bytes_max: 8 }))
        .hears(|packet| {
            let error = json(packet);
            assert_eq!((&error["code"], error.get("re")), (&114.into(), None));
        });
}

#[test]
fn subscribe_history_state_and_presence_are_answered() {
    let page = Page {
        records: vec![record("a", 1, Content::Text, "x")],
        through: None,
        at_end: false,
        missed: Missed::Unknown,
    };
    let present = Present {
        user: "ann".into(),
        device: None,
        session: SessionId(1),
        door: "ws",
        since: Timestamp::from_millis(5),
    };
    open()
        .client(r#"[{"type":"subscribe","id":2,"sub":1,"filter":"a","last":50,"state":true,"window":100,"no_local":true},
            {"type":"history","id":3,"topic":"a","before":812},{"type":"state","id":4,"filter":"a/+"},
            {"type":"presence","id":5,"user":"ann"},{"type":"unsubscribe","id":6,"sub":1}]"#)
        .asked(|call| {
            let Call::Subscribe(wish) = call else { panic!("{call:?}") };
            assert!(matches!(wish.from, Start::Last(50)) && wish.with_state && wish.no_local);
            assert_eq!((wish.id, wish.filter.as_str(), wish.window), (1, "a", Some(100)));
        })
        .backend(Answer::Subscribed { id: 1, heads: vec![position(9)], missed: Missed::NONE })
        .server(r#"{"type":"subscribed","re":2,"sub":1,"pos":["1.0.5f3a.9"],"missed":0}"#)
        .backend(Answer::History(page))
        .hears(|packet| {
            let history = json(packet);
            assert_eq!((&history["more"], &history["missed"]), (&true.into(), &(-1).into()));
            assert_eq!(history["records"][0]["text"], "x");
        })
        .backend(Answer::State(vec![]))
        .server(r#"{"type":"state","re":4,"records":[],"more":false}"#)
        .backend(Answer::Present(vec![present]))
        .server(r#"{"type":"presence","re":5,"sessions":[{"user":"ann","session":"0000000000000001","door":"ws","since":5}]}"#)
        .backend(Answer::Done)
        .server(r#"{"type":"ok","re":6}"#);
}

#[test]
fn an_ack_names_a_number_or_a_place() {
    open()
        .client(r#"[{"type":"ack","sub":1,"n":17},{"type":"ack","sub":1,"pos":"1.0.5f3a.9"}]"#)
        .asked(|call| assert!(matches!(call, Call::Ack(1, Acked::Number(17)))))
        .asked(|call| assert!(matches!(call, Call::Ack(1, Acked::Position(p)) if p == position(9))));
}

#[test]
fn large_answers_are_asked_for_a_few_at_a_time() {
    let many = vec![r#"{"type":"history","topic":"a"}"#; 100].join(",");
    let mut script = open().client(format!("[{many},{}]", r#"{"type":"ping","id":9}"#));
    let page = || Page { records: vec![], through: None, at_end: true, missed: Missed::NONE };
    for i in 0..100 {
        script = script.asked(drop);
        if i >= 15 {
            script = script
                .asked_nothing()
                .look(|client, _| assert_eq!(client.takes_input(), client.waiting.is_empty()));
            script = script.backend(Answer::History(page())).hears(|_| ());
        }
    }
    for _ in 0..15 {
        script = script.backend(Answer::History(page())).hears(|_| ());
    }
    script.server(r#"{"type":"pong","re":9}"#).asked_nothing().open();
}

#[test]
fn a_full_pipeline_takes_no_input_until_answers_come() {
    let frame = format!("[{}]", vec![r#"{"type":"publish","topic":"a"}"#; 1000].join(","));
    let script = open().client(&frame).client(&frame).look(|client, _| {
        assert!(!client.takes_input());
        assert_eq!((client.pending.len(), client.waiting.len()), (1024, 976));
    });
    let mut script = script;
    for i in 0..2000 {
        script = script.asked(drop).backend(kept(i));
    }
    script.asked_nothing().silent().look(|client, _| assert!(client.takes_input() && client.is_settled()));
}

#[test]
fn bye_ends_the_session_and_the_connection() {
    open()
        .client(r#"{"type":"bye"}"#)
        .asked(|call| assert!(matches!(call, Call::Goodbye)))
        .backend(Answer::Done)
        .server(r#"{"type":"close","code":1000,"reason":"goodbye","again":"soon"}"#)
        .closed(1000);
    silent().client(r#"{"type":"bye"}"#).hears(closes(1000)).closed(1000);
}

#[test]
fn who_is_too_fast_is_told_and_then_closed() {
    let too_fast = || Answer::Refused(Refused::TooFast(Duration::from_millis(250)));
    let publish = r#"{"type":"publish","topic":"a"}"#;
    let mut script = open().client(publish).backend(too_fast()).hears(says("error", "again", 0.25));
    for _ in 0..98 {
        script = script.client(publish).backend(too_fast()).hears(says("error", "code", 402));
    }
    // A pause forgives.
    script = script.pass(Duration::from_secs(11)).client(publish).backend(too_fast()).hears(|_| ());
    for _ in 0..99 {
        script = script.client(publish).backend(too_fast()).hears(says("error", "code", 402));
    }
    script.hears(closes(4029)).closed(4029);
}

// --- deliveries

#[test]
fn records_of_one_subscription_stand_in_one_event() {
    let (a, b) = (record("a", 1, Content::Text, "x"), record("a", 2, Content::Json, "{\"y\":\n1}"));
    let text = r#"{"topic":"a","seq":1,"pos":"1.0.5f3a.1","at":1790000000123,"from":"ann","device":"phone","session":"000000000000003f","text":"x"}"#;
    let data = r#"{"topic":"a","seq":2,"pos":"1.0.5f3a.2","at":1790000000123,"from":"ann","device":"phone","session":"000000000000003f","data":{"y": 1}}"#;
    open()
        .deliver([delivery(1, 17, &a), delivery(1, 18, &b)])
        .server(format!(r#"{{"type":"records","sub":1,"n":17,"records":[{text},{data}]}}"#))
        .deliver([
            delivery(1, 19, &a),
            delivery(2, 1, &a),
            Delivery::Missed { subscription: 2, number: 2, missed: Missed::Count(3) },
            delivery(2, 5, &a),
            Delivery::StateEnd { subscription: 2 },
        ])
        .server(format!(
            r#"[{{"type":"records","sub":1,"n":19,"records":[{text}]}},{{"type":"records","sub":2,"n":1,"records":[{text}]}},{{"type":"missed","sub":2,"n":2,"missed":3}},{{"type":"records","sub":2,"n":5,"records":[{text}]}},{{"type":"state_end","sub":2}}]"#
        ))
        .silent();
}

#[test]
fn frames_stay_small_unless_one_record_is_larger() {
    let (small, large) =
        (record("a", 0, Content::Binary, vec![0; 1000]), record("a", 0, Content::Binary, vec![0; 100_000]));
    let mut deliveries: Vec<_> = (1..=200).map(|n| delivery(1, n, &small)).collect();
    deliveries.push(delivery(1, 201, &large));
    deliveries.push(delivery(1, 202, &small));
    let (packets, _) = open().deliver(deliveries).rest();
    let mut number = 1;
    for packet in &packets {
        let records = json(packet);
        assert_eq!(records["n"], number, "nothing is left out");
        let count = records["records"].as_array().unwrap().len();
        assert!(packet.len() <= 64 * 1024 || count == 1, "{count} records in {} bytes", packet.len());
        number += count as u64;
    }
    assert_eq!(number, 203);
    assert!(packets.len() <= 8, "{} packets", packets.len());
}

#[test]
fn every_kind_of_body_has_its_field() {
    for (content, body, fields) in [
        (Content::Binary, &b""[..], r#"{}"#),
        (Content::Binary, &[0, 255], r#"{"bin":"AP8="}"#),
        (Content::Text, b"a\"b", r#"{"text":"a\"b"}"#),
        (Content::Text, &[0xff], r#"{"bin":"/w==","content":"text/plain"}"#),
        (Content::Other("image/png".into()), b"x", r#"{"bin":"eA==","content":"image/png"}"#),
        (Content::Other("text/html".into()), b"x", r#"{"text":"x","content":"text/html"}"#),
    ] {
        let record = record("a", 0, content, body);
        open().deliver([delivery(1, 1, &record)]).hears(|packet| {
            let event = json(packet);
            let mut written = event["records"][0].as_object().unwrap().clone();
            written.retain(|name, _| ["bin", "text", "data", "content"].contains(&&**name));
            assert_eq!(serde_json::Value::from(written), json(fields.as_bytes()));
        });
    }
}

#[test]
fn the_hub_may_end_the_talk() {
    let a = record("a", 1, Content::Text, "x");
    open()
        .deliver([delivery(1, 1, &a), Delivery::Leave(Close::TAKEN_OVER), delivery(1, 2, &a)])
        .hears(says("records", "n", 1))
        .hears(says("close", "again", "never"))
        .closed(4009);
    open().leave(Close::GOING_AWAY).hears(closes(1001)).closed(1001);
}

#[test]
fn nothing_is_delivered_before_the_welcome() {
    silent()
        .look(|client, _| assert!(!client.takes_delivery()))
        .client(r#"{"type":"hello"}"#)
        .look(|client, _| assert!(!client.takes_delivery()))
        .backend(welcomed())
        .look(|client, _| assert!(client.takes_delivery()));
}

// --- heartbeat

#[test]
fn a_pong_is_sent_only_after_silence() {
    let a = record("a", 1, Content::Text, "x");
    open()
        .pass(Duration::from_secs(44))
        .client(r#"{"type":"ack","sub":1,"n":1}"#)
        .deliver([delivery(1, 1, &a)])
        .hears(|_| ())
        .pass(Duration::from_secs(44))
        .silent()
        .pass(Duration::from_secs(1))
        .server(r#"{"type":"pong"}"#);
}

#[test]
fn a_client_silent_for_one_and_a_half_intervals_is_closed() {
    open()
        .pass(Duration::from_millis(67_499))
        .server(r#"{"type":"pong"}"#)
        .silent()
        .pass(Duration::from_millis(1))
        .hears(closes(4008))
        .closed(4008);
}

#[test]
fn the_heartbeat_follows_the_network() {
    open()
        .client(r#"{"type":"network","id":10,"network":"cellular"}"#)
        .server(r#"{"type":"pong","re":10,"heartbeat":20}"#)
        .pass(Duration::from_secs(20))
        .server(r#"{"type":"pong"}"#)
        .pass(Duration::from_secs(10))
        .hears(closes(4008))
        .closed(4008);
}

#[test]
fn who_is_not_listened_to_is_not_called_silent() {
    let frame = format!("[{}]", vec![r#"{"type":"publish","topic":"a"}"#; 1000].join(","));
    open()
        .client(&frame)
        .client(&frame)
        .pass(Duration::from_secs(100))
        .server(r#"{"type":"pong"}"#)
        .server(r#"{"type":"pong"}"#)
        .open();
}

// --- bad input

#[test]
fn what_is_no_frame_ends_a_websocket() {
    for (frame, close) in [
        (&b"{"[..], 1002),
        (b"7", 1002),
        (b"[[]]", 1002),
        (b"\"\xff\"", 1007),
        (b"{\"type\":\"ping\"} x", 1002),
    ] {
        let (mut packets, end) = open().client(frame).rest();
        assert_eq!(json(&packets.remove(0))["code"], 100);
        assert_eq!(json(&packets.remove(0))["code"], close);
        assert_eq!(end.map(|close| close.code), Some(close));
    }
}

#[test]
fn a_frame_over_the_limit_is_1009() {
    let topic = "x".repeat(10 * 1024 * 1024);
    open().client(format!(r#"{{"type":"publish","topic":"{topic}"}}"#)).hears(closes(1009)).closed(1009);
    lines().client(topic).hears(closes(1009)).closed(1009);
    let frame = format!("[{}]", vec![r#"{"type":"ping"}"#; 1001].join(","));
    let (packets, end) = open().client(frame).rest();
    assert_eq!((packets.len(), end.map(|close| close.code)), (1002, Some(1009)));
}

#[test]
fn a_bad_line_is_passed_over_and_twenty_are_too_many() {
    let mut script = lines().client("{\"type\":\"hello\"}\r\n").backend(welcomed()).hears(|_| ());
    for _ in 0..19 {
        script = script.client("{nonsense\n").hears(says("error", "code", 100));
    }
    script
        .client("{\"type\":\"ping\",\"id\":1}\r\n\r\n\n")
        .server("{\"type\":\"pong\",\"re\":1}\n")
        .client(b"\xff\xfe\n")
        .hears(says("error", "code", 100))
        .hears(closes(1002))
        .closed(1002);
}

/// A web page may make a browser post to this port: what stands in the body must not be obeyed.
#[test]
fn http_on_the_line_port_is_hung_up_on() {
    let request = "POST / HTTP/1.1\r\nHost: localhost:8888\r\n\r\n{\"type\":\"publish\",\"topic\":\"a\"}\n";
    lines()
        .client(request)
        .asked_nothing()
        .hears(says("error", "code", 100))
        .hears(closes(1002))
        .closed(1002);
}

#[test]
fn a_hundred_thousand_subscriptions_cost_only_the_client() {
    let mut script = open();
    for batch in 0..100 {
        let commands: Vec<String> = (0..1000)
            .map(|i| format!(r#"{{"type":"subscribe","sub":{},"filter":"a/{i}"}}"#, batch * 1000 + i))
            .collect();
        script = script.client(format!("[{}]", commands.join(",")));
        for _ in 0..1000 {
            let answer = Answer::Refused(Refused::TooManySubscriptions(10_000));
            script = script.asked(drop).backend(answer).hears(says("error", "code", 401));
        }
    }
    script.open();
}

// --- event streams

fn stream(opened: Opened) -> Script<Client> {
    let trail = Trail::new(opened.session, opened.secret.clone());
    Script::new(|now| Client::events(now, terms(), opened, Network::Wifi, trail))
}

fn id_of(packet: &[u8]) -> Trail {
    let text = std::str::from_utf8(packet).unwrap();
    Trail::read(text.strip_prefix("id: ").unwrap().strip_suffix('\n').unwrap()).unwrap()
}

#[test]
fn an_event_stream_has_ids_to_go_on_from() {
    let a = record("a", 1, Content::Json, "\"x\ny\"".replace('\n', " "));
    stream(Opened { secret: "s3".into(), keep: Duration::from_secs(60), ..opened() })
        .client(r#"[{"type":"subscribe","sub":1,"filter":"a"}]"#)
        .hears(|packet| assert_eq!(id_of(packet).resume().have.len(), 0))
        .hears(|packet| {
            let data = packet.strip_prefix(b"data: ").unwrap().strip_suffix(b"\n\n").unwrap();
            assert_eq!(json(data)["type"], "welcome");
        })
        .asked(|call| assert!(matches!(call, Call::Subscribe(_))))
        .backend(Answer::Subscribed { id: 1, heads: vec![], missed: Missed::NONE })
        .server("data: {\"type\":\"subscribed\",\"sub\":1,\"pos\":[],\"missed\":0}\n\n")
        .deliver([delivery(1, 5, &a)])
        .hears(|packet| {
            let resume = id_of(packet).resume();
            assert_eq!((resume.session, &*resume.secret), (SessionId(0x3f), "s3"));
            let have = &resume.have[0];
            assert_eq!(
                (have.subscription, have.number, &have.positions[..]),
                (1, Some(5), &[position(1)][..])
            );
        })
        .hears(|packet| assert!(packet.starts_with(b"data: {\"type\":\"records\",\"sub\":1,\"n\":5,")))
        .pass(Duration::from_secs(25))
        .server(": \n\n")
        .pass(Duration::from_secs(600))
        .open();
}

#[test]
fn what_no_longer_fits_into_an_id_is_acked() {
    let a = record("a", 0, Content::Text, "x");
    let mut script = stream(opened()).client("[]").hears(|_| ()).hears(|_| ());
    for sub in 0..65 {
        script = script.deliver([delivery(sub, 9, &a)]).hears(|_| ()).hears(|_| ());
    }
    script
        .asked(|call| assert!(matches!(call, Call::Ack(0, Acked::Number(9)))))
        .backend(Answer::Done)
        .asked_nothing()
        .silent()
        .open();
}

// --- what holds for all

/// The commands of a short talk, one a line.
const TALK: &str = concat!(
    "{\"type\":\"hello\",\"id\":1,\"user\":\"ann\",\"password\":\"é\"}\n",
    "[{\"type\":\"ping\",\"id\":2},{\"type\":\"time\",\"id\":3,\"t1\":1}]\r\n",
    "\n",
    "not json\n",
    "{\"type\":\"publish\",\"id\":4,\"topic\":\"a\",\"data\":{\"x\":[1,2,\"\\ud83d\\ude00\"]}}\n",
);

fn talk(pieces: Vec<&[u8]>) -> Vec<Vec<u8>> {
    let mut script = lines();
    let mut welcomed_yet = false;
    for piece in pieces {
        script = script.client(piece);
        if !welcomed_yet && script.peek(|client| client.stage == super::Stage::Greeting) {
            welcomed_yet = true;
            script = script.backend(welcomed());
        }
    }
    script.backend(kept(1)).rest().0
}

proptest! {
    #[test]
    fn lines_may_come_in_any_pieces(cuts in prop::collection::vec(0..TALK.len(), 0..12)) {
        let whole = talk(vec![TALK.as_bytes()]);
        let mut cuts = cuts;
        cuts.extend([0, TALK.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|w| &TALK.as_bytes()[w[0]..w[1]]).collect();
        prop_assert_eq!(talk(pieces), whole);
    }

    /// CBOR says the same as JSON.
    #[test]
    fn frames_of_deliveries_are_alike_in_both_encodings(numbers in prop::collection::vec((0u32..3, 1u64..4), 1..20)) {
        let json_record = record("a", 7, Content::Json, "{\"a\":[1,-2,0.5,null]}");
        let mut all: Vec<_> = numbers.iter().map(|(sub, n)| delivery(*sub, *n, &json_record)).collect();
        all.push(Delivery::Missed { subscription: 1, number: 9, missed: Missed::Unknown });
        let [as_json, as_cbor] = [Encoding::Json, Encoding::Cbor].map(|encoding| {
            let plan = deliveries::plan(&all, encoding);
            prop_assert_eq!(plan.deliveries, all.len());
            let mut frame = BytesMut::new();
            deliveries::write(&all, plan.events, &mut frame, encoding);
            Ok(frame)
        });
        let as_cbor = crate::wire::tests::json_of_cbor(&as_cbor?);
        prop_assert_eq!(json(as_cbor.as_bytes()), json(&as_json?));
    }

    #[test]
    fn any_bytes_end_in_answers_or_a_close(bytes in prop::collection::vec(any::<u8>(), 0..400), over_tcp: bool) {
        let script = if over_tcp { lines() } else { silent() };
        for packet in script.client(bytes).rest().0 {
            json(&packet);
        }
    }
}
