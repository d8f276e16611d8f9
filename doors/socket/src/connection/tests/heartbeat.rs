//! Silence, and what breaks it.

use super::*;

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
