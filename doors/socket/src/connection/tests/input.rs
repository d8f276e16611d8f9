//! Bytes that are no commands, and too many that are.

use super::*;

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
