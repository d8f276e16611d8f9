//! The protocol over real sockets: every transport, one hub.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod served;

use std::time::Duration;

use serde_json::{Value, json};
use served::{ask, http, http_with, rest_of, served, served_with, stream};
use yizhan_socket::Config;

/// The body as JSON.
fn body(response: &served::Answered) -> Value {
    serde_json::from_slice(&response.body)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&response.body)))
}

#[tokio::test]
async fn lines_over_tcp() {
    let served = served().await;
    let mut nc = served.tcp().await;
    nc.send("{\"type\":\"subscribe\",\"id\":1,\"sub\":1,\"filter\":\"rooms/#\"}\r\n").await;
    assert_eq!(nc.event().await["type"], "welcome");
    assert_eq!(nc.event().await["re"], 1);
    nc.send("{\"type\":\"publish\",\"id\":2,\"topic\":\"rooms/a\",\"text\":\"hi\"}\n").await;
    let (one, two) = (nc.event().await, nc.event().await);
    let (receipt, records) = if one["type"] == "receipt" { (one, two) } else { (two, one) };
    assert_eq!((&receipt["re"], &receipt["durable"]), (&json!(2), &json!("none")));
    assert_eq!((&records["n"], &records["records"][0]["text"]), (&json!(1), &json!("hi")));
    served.drain().await;
    assert_eq!(nc.event().await["code"], 1001, "who is still there hears why it ends");
}

/// `printf '…' | nc localhost 8888`
#[tokio::test]
async fn lines_may_be_piped_in() {
    let served = served().await;
    let mut nc = served.tcp().await;
    let line = "{\"type\":\"publish\",\"id\":1,\"topic\":\"kept/a\",\"text\":\"x\"}\n";
    nc.send(&line.repeat(5)).await;
    nc.shut().await;
    assert_eq!(nc.event().await["type"], "welcome");
    for seq in 1..=5 {
        assert_eq!(nc.event().await["seq"], seq);
    }
    assert!(nc.is_over().await, "who has left is not said goodbye");
}

/// More than the pipeline takes, on spaces that answer at once and on those that do not.
#[tokio::test]
async fn many_commands_at_once_are_all_answered_in_order() {
    const MANY: u64 = 3000;
    let served = served().await;
    let command =
        |topic: &str, id: u64| format!(r#"{{"type":"publish","id":{id},"topic":"{topic}/a","text":"x"}}"#);
    for topic in ["live", "kept"] {
        let mut nc = served.tcp().await;
        let all: String = (0..MANY).map(|id| command(topic, id) + "\n").collect();
        nc.send(&all).await;
        assert_eq!(nc.event().await["type"], "welcome");
        for id in 0..MANY {
            assert_eq!(nc.event().await["re"], id);
        }
        let mut client = served.websocket("yizhan.v1.json").await;
        for id in 0..MANY {
            client.put(yizhan_net::Kind::Text, command(topic, id).as_bytes());
        }
        client.flush().await.unwrap();
        assert_eq!(served::text_event(&mut client).await["type"], "welcome");
        for id in 0..MANY {
            assert_eq!(served::text_event(&mut client).await["re"], id);
        }
    }
}

#[tokio::test]
async fn one_hub_behind_json_and_cbor() {
    let served = served().await;
    let mut json_client = served.websocket("yizhan.v1.json").await;
    let mut cbor_client = served.websocket("yizhan.v1.cbor").await;
    json_client.send_text(r#"{"type":"subscribe","id":1,"sub":1,"filter":"a"}"#).await.unwrap();
    assert_eq!(served::text_event(&mut json_client).await["type"], "welcome");
    assert_eq!(served::text_event(&mut json_client).await["type"], "subscribed");
    // {"type": "publish", "topic": "a", "data": {"x": [1, null]}}
    let publish = b"\xa3\x64type\x67publish\x65topic\x61a\x64data\xa1\x61x\x82\x01\xf6";
    cbor_client.send(yizhan_net::Kind::Binary, publish).await.unwrap();
    let records = served::text_event(&mut json_client).await;
    assert_eq!(records["records"][0]["data"], json!({"x": [1, null]}));
}

#[tokio::test]
async fn text_on_a_cbor_connection_is_1003() {
    let served = served().await;
    let mut client = served.websocket("yizhan.v1.cbor").await;
    client.send_text("{}").await.unwrap();
    assert_eq!(served::close_code(&mut client).await, 1003);
}

#[tokio::test]
async fn an_event_stream_goes_on_where_it_was() {
    let served = served().await;
    let ticket = body(&http_with(&served, "POST /v1/ticket", &["authorization: Bearer ann"], b"").await);
    let address =
        format!("/v1/sse?filter=kept/%23&filter=live&ticket={}", ticket["ticket"].as_str().unwrap());
    let mut first = stream(&served, &address, None).await;
    assert_eq!(first.header("content-type"), Some("text/event-stream"));
    assert_eq!(first.header("x-accel-buffering"), Some("no"));
    let welcome = first.event().await;
    assert_eq!((&welcome["user"], &welcome["keep"]), (&json!("ann"), &json!(60)));
    assert_eq!((&first.event().await["sub"], &first.event().await["sub"]), (&json!(1), &json!(2)));
    served.publish("kept/a", "one").await;
    assert_eq!(first.event().await["records"][0]["text"], "one");
    let id = first.last_id().to_owned();
    drop(first);
    served.until_asleep(&welcome).await;
    for (topic, text) in [("kept/a", "two"), ("live", "three"), ("kept/a", "four")] {
        served.publish(topic, text).await;
    }
    // The same address, as a browser does, with a ticket that is used up.
    let mut second = stream(&served, &address, Some(&id)).await;
    let resumed = second.event().await;
    assert_eq!((&resumed["resumed"], &resumed["session"]), (&json!(true), &welcome["session"]));
    let mut texts = second.texts(3).await;
    texts.sort();
    assert_eq!(texts, ["four", "three", "two"]);
    // What is sent by POST acts on the stream's session.
    let session = format!(
        "authorization: Session {}:{}",
        resumed["session"].as_str().unwrap(),
        resumed["secret"].as_str().unwrap()
    );
    let commands = br#"[{"type":"subscribe","id":7,"sub":9,"filter":"more"},{"type":"publish","topic":"more","text":"five"}]"#;
    let answers = body(&http_with(&served, "POST /v1/send", &[&session], commands).await);
    assert_eq!(
        (&answers[0]["type"], &answers[0]["re"], answers.as_array().unwrap().len()),
        (&json!("subscribed"), &json!(7), 1)
    );
    assert_eq!(second.texts(1).await, ["five"]);
}

#[tokio::test]
async fn an_event_stream_whose_session_is_gone_begins_again_and_says_so() {
    let served = served().await;
    let mut first = stream(&served, "/v1/sse?filter=kept/%23&filter=live", None).await;
    let welcome = first.event().await;
    first.event().await;
    first.event().await;
    served.publish("kept/a", "one").await;
    assert_eq!(first.texts(1).await, ["one"]);
    served.publish("live", "two").await;
    assert_eq!(first.texts(1).await, ["two"]);
    let id = first.last_id().to_owned();
    drop(first);
    served.until_asleep(&welcome).await;
    let session = format!(
        "authorization: Session {}:{}",
        welcome["session"].as_str().unwrap(),
        welcome["secret"].as_str().unwrap()
    );
    let gone = http_with(&served, "POST /v1/send", &[&session], br#"{"type":"bye"}"#).await;
    assert_eq!(body(&gone)[0]["code"], 1000);
    served.publish("kept/a", "three").await;
    let mut second = stream(&served, "/v1/sse?filter=kept/%23&filter=live", Some(&id)).await;
    assert_eq!(second.event().await["resumed"], false);
    assert_eq!(second.event().await, json!({"type": "missed", "sub": 2, "n": 1, "missed": -1}));
    assert_eq!(second.texts(1).await, ["three"], "from the journal, and not 'one' again");
}

#[tokio::test]
async fn a_long_poll_loses_nothing_with_a_response() {
    let served = served().await;
    let opened = http(&served, "GET /v1/poll?filter=a").await;
    assert_eq!(opened.header("yizhan-poll"), Some("1"));
    let events = body(&opened);
    assert_eq!(events[0]["keep"], 60);
    assert_eq!((&events[0]["type"], &events[1]["type"]), (&json!("welcome"), &json!("subscribed")));
    let session = format!(
        "authorization: Session {}:{}",
        events[0]["session"].as_str().unwrap(),
        events[0]["secret"].as_str().unwrap()
    );
    let poll =
        async |query: &str| http_with(&served, &format!("GET /v1/poll?{query}"), &[&session], b"").await;
    let nothing = poll("wait=0&ack=1").await;
    assert_eq!((body(&nothing), nothing.header("yizhan-poll")), (json!([]), Some("2")));
    served.publish("a", "one").await;
    let one = poll("ack=2").await;
    assert_eq!(one.header("yizhan-poll"), Some("3"));
    assert_eq!(body(&one)[0]["records"][0]["text"], "one");
    served.publish("a", "two").await;
    let again = poll("ack=2").await;
    assert_eq!((&again.body, again.header("yizhan-poll")), (&one.body, Some("3")), "the response was lost");
    assert_eq!(body(&poll("ack=3").await)[0]["records"][0]["text"], "two");
    assert_eq!(poll("ack=9").await.status, 400);
    assert_eq!(poll("").await.status, 400);
    // A second request ends the one that waits.
    let waiting = ask(&served, "GET /v1/poll?ack=4&wait=60", &[&session], b"").await;
    let other = poll("ack=4").await;
    let waiting = rest_of(waiting).await;
    assert_eq!(
        (body(&waiting), body(&other), other.header("yizhan-poll")),
        (json!([]), json!([]), Some("4"))
    );
    let wrong = http_with(&served, "GET /v1/poll?ack=1", &["authorization: Session 1:x"], b"").await;
    assert_eq!((wrong.status, body(&wrong)["code"].clone()), (404, json!(301)));
}

#[tokio::test]
async fn a_long_poll_whose_client_stays_away_is_over() {
    let served = served_with(Config { stream_keep: Duration::ZERO, ..Config::default() }).await;
    let opened = http_with(&served, "GET /v1/poll", &["authorization: Bearer ann"], b"").await;
    let welcome = &body(&opened)[0];
    let session = format!(
        "authorization: Session {}:{}",
        welcome["session"].as_str().unwrap(),
        welcome["secret"].as_str().unwrap()
    );
    let mut gone = false;
    while !gone {
        served.socket.maintain();
        gone = http_with(&served, "GET /v1/poll?wait=0&ack=0", &[&session], b"").await.status == 404;
    }
    served.until_asleep(welcome).await;
}

#[tokio::test]
async fn plain_requests() {
    let served = served().await;
    let publish = async |path: &str, headers: &[&str], bytes: &[u8]| {
        http_with(&served, &format!("POST /v1/publish/{path}"), headers, bytes).await
    };
    let receipt =
        publish("kept/a", &["content-type: application/json", "idempotency-key: k1"], b"{\"x\":\n1}").await;
    assert_eq!((receipt.status, &body(&receipt)["seq"]), (200, &json!(1)));
    let twice =
        publish("kept/a", &["content-type: application/json", "idempotency-key: k1"], b"{\"x\":\n1}").await;
    assert_eq!((&body(&twice)["seq"], &body(&twice)["duplicate"]), (&json!(1), &json!(true)));
    let headers =
        ["content-type: text/plain", "yizhan-key: status", "yizhan-header-Lang: en", "yizhan-expires: 60"];
    assert_eq!(publish("kept/a", &headers, b"on").await.status, 200);
    let history = body(&http(&served, "GET /v1/history/kept/a?limit=10").await);
    let records = history["records"].as_array().unwrap();
    assert_eq!((&records[0]["data"], records.len(), &history["more"]), (&json!({"x": 1}), 2, &json!(false)));
    assert_eq!((&records[1]["text"], &records[1]["headers"]), (&json!("on"), &json!({"lang": "en"})));
    let state = body(&http(&served, "GET /v1/state?filter=kept/%2B").await);
    assert_eq!(state["records"][0]["key"], "status");
    let time = body(&http(&served, "GET /v1/time").await);
    assert!(time["t2"].as_f64().unwrap() <= time["t3"].as_f64().unwrap());
    let present = http_with(&served, "GET /v1/presence?user=ann", &["authorization: Bearer ann"], b"").await;
    assert_eq!(body(&present)["sessions"][0]["door"], "http");
    for (request, headers, bytes, status, code) in [
        ("POST /v1/publish/%23", &[][..], &b""[..], 400, 110),
        ("POST /v1/publish/kept/a", &["content-type: application/json"], b"{", 400, 100),
        ("POST /v1/publish/kept/a", &["yizhan-durable: stone"], b"", 400, 104),
        ("POST /v1/publish/live", &["yizhan-durable: disk"], b"", 409, 312),
        ("POST /v1/publish/kept/a", &["authorization: Bearer nobody"], b"", 401, 201),
        ("POST /v1/publish/kept/a", &["authorization: Basic !"], b"", 401, 201),
        ("GET /v1/history/live", &[], b"", 404, 311),
        ("GET /v1/history/kept/a?limit=0", &[], b"", 400, 104),
        ("GET /v1/state", &[], b"", 400, 104),
        ("GET /v1/presence", &[], b"", 400, 110),
        ("GET /v1/sse?filter=a%23", &[], b"", 400, 110),
        ("GET /v1/sse?token=nobody", &[], b"", 401, 201),
        ("POST /v1/send", &["authorization: Session 1:x"], b"[]", 404, 301),
        ("POST /v1/ticket", &["authorization: Session nonsense"], b"", 404, 301),
    ] {
        let refused = http_with(&served, request, headers, bytes).await;
        assert_eq!((refused.status, &body(&refused)["code"]), (status, &json!(code)), "{request}");
    }
    // A page may post a text without asking: it must not be taken from any page.
    let evil = ["content-type: text/plain", "origin: https://evil.example"];
    assert_eq!(publish("kept/a", &evil, b"x").await.status, 403);
    let own = format!("origin: http://{}", served.http);
    assert_eq!(publish("kept/a", &["content-type: text/plain", &own], b"x").await.status, 200);
    let large = http_with(&served, "POST /v1/publish/live", &[], &vec![0; 1024 * 1024 + 1]).await;
    assert_eq!(large.status, 413);
}

#[tokio::test]
async fn a_frame_by_post_acts_on_a_session_of_one_request() {
    let served = served().await;
    let frame =
        br#"[{"type":"publish","id":1,"topic":"kept/a","text":"x"},{"type":"publish","topic":"kept/a"},
        {"type":"subscribe","id":2,"sub":1,"filter":"a"},{"type":"hello","id":3},{"type":"ping","id":4},
        {"type":"history","topic":"kept/a"}]"#;
    let answers = http_with(&served, "POST /v1/send", &[], frame).await;
    let kinds: Vec<_> = body(&answers)
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["type"].as_str().unwrap().to_owned(), e["re"].clone(), e["code"].clone()))
        .collect();
    let expected = [
        ("receipt", json!(1), Value::Null),
        ("error", json!(2), json!(301)),
        ("error", json!(3), json!(102)),
        ("pong", json!(4), Value::Null),
        ("history", Value::Null, Value::Null),
    ];
    assert_eq!(kinds, expected.map(|(kind, re, code)| (kind.to_owned(), re, code)));
    let bad = http_with(&served, "POST /v1/send", &[], br#"[{"type":"ping","id":1},{]"#).await;
    assert_eq!((bad.status, &body(&bad)[1]["code"]), (400, &json!(100)));
    let other = http_with(&served, "POST /v1/send", &["authorization: Bearer nobody"], b"[]").await;
    assert_eq!(other.status, 401);
}

#[tokio::test]
async fn a_service_is_asked_by_every_transport() {
    let served = served().await;
    let ask = r#"{"type":"ask","id":2,"to":"echo/x","data":{"a":[1,null]}}"#;
    let told =
        json!({"type":"told","re":2,"data":{"name":"echo/x","user":"anonymous","data":{"a":[1,null]}}});
    let mut nc = served.tcp().await;
    nc.send(&format!("{ask}\n")).await;
    assert_eq!(nc.event().await["type"], "welcome");
    assert_eq!(nc.event().await, told);
    let mut client = served.websocket("yizhan.v1.json").await;
    client.send_text(ask).await.unwrap();
    assert_eq!(served::text_event(&mut client).await["type"], "welcome");
    assert_eq!(served::text_event(&mut client).await, told);
    let sent = http_with(&served, "POST /v1/send", &[], ask.as_bytes()).await;
    assert_eq!(body(&sent), json!([told]));
    let begun = http(&served, "GET /v1/poll?filter=a").await;
    let welcome = &body(&begun)[0];
    let session = format!(
        "authorization: Session {}:{}",
        welcome["session"].as_str().unwrap(),
        welcome["secret"].as_str().unwrap()
    );
    let sent = http_with(&served, "POST /v1/send", &[&session], ask.as_bytes()).await;
    assert_eq!(body(&sent), json!([told]));
    let mut events = stream(&served, "/v1/sse?filter=a", None).await;
    let welcome = events.event().await;
    let session = format!(
        "authorization: Session {}:{}",
        welcome["session"].as_str().unwrap(),
        welcome["secret"].as_str().unwrap()
    );
    let sent = http_with(&served, "POST /v1/send", &[&session], ask.as_bytes()).await;
    assert_eq!(body(&sent), json!([told]));
}

#[tokio::test]
async fn a_service_is_asked_by_a_plain_request() {
    let served = served().await;
    let ann = "authorization: Bearer ann";
    let told = http_with(&served, "POST /v1/ask/echo/a/b", &[ann], b" {\"x\": 1}").await;
    assert_eq!(told.status, 200);
    assert_eq!(body(&told), json!({"type":"told","data":{"name":"echo/a/b","user":"ann","data":{"x":1}}}));
    let nothing = http_with(&served, "POST /v1/ask/echo/a", &[ann], b"").await;
    assert_eq!(body(&nothing)["data"]["data"], "nothing");
    for (request, bytes, status, code) in [
        ("POST /v1/ask/ghost/x", &b""[..], 404, 313),
        ("POST /v1/ask/echo/no", b"", 403, 611),
        ("POST /v1/ask/echo/a", b"{", 400, 100),
        ("POST /v1/ask/echo/a", b"{} {}", 400, 100),
        ("POST /v1/ask/echo/a", b"\xff", 400, 100),
        ("POST /v1/ask/echo/%00", b"", 400, 104),
    ] {
        let refused = http_with(&served, request, &[ann], bytes).await;
        assert_eq!((refused.status, &body(&refused)["code"]), (status, &json!(code)), "{request}");
    }
    let deep = "[".repeat(100) + &"]".repeat(100);
    assert_eq!(http_with(&served, "POST /v1/ask/echo/a", &[ann], deep.as_bytes()).await.status, 400);
}
