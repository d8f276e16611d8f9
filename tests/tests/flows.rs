//! What the server promises a client, seen from outside.

use std::process::Command;

use serde_json::{Value, json};
use yizhan_tests::{Client, Server, binary, eventually};

fn fresh() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::dev(&folder.path().join("data"));
    (folder, server)
}

fn ready(server: &Server) -> Client {
    let mut client = server.client();
    client.hello(json!({}));
    client
}

fn publish(client: &mut Client, topic: &str, text: &str) -> Value {
    let receipt = client.ask(json!({"type": "publish", "topic": topic, "text": text}));
    assert_eq!(receipt["type"], "receipt", "{receipt}");
    receipt
}

fn subscribe(client: &mut Client, sub: u32, filter: &str) -> Value {
    let subscribed = client.ask(json!({"type": "subscribe", "sub": sub, "filter": filter}));
    assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
    subscribed
}

#[test]
fn a_message_reaches_every_listener_and_names_its_sender() {
    let (_folder, server) = fresh();
    let (mut ann, mut bob) = (ready(&server), ready(&server));
    subscribe(&mut bob, 1, "rooms/+");
    subscribe(&mut ann, 7, "rooms/kitchen");
    publish(&mut ann, "rooms/kitchen", "你好 👋");
    for client in [&mut ann, &mut bob] {
        let record = client.next_record();
        assert_eq!(record["text"], "你好 👋");
        assert_eq!(record["topic"], "rooms/kitchen");
    }
}

#[test]
fn a_resumed_session_has_everything_once_kept_or_not() {
    let (_folder, server) = fresh();
    let mut ann = ready(&server);
    let mut bob = server.client();
    let welcome = bob.hello(json!({"keep": 60}));
    subscribe(&mut bob, 1, "live/x");
    let at = subscribe(&mut bob, 2, "disk/x")["pos"][0].as_str().expect("a kept space").to_owned();
    publish(&mut ann, "live/x", "1");
    publish(&mut ann, "disk/x", "1");
    let (first, second) = (bob.next_record(), bob.next_record());
    assert_ne!(first["topic"], second["topic"]);
    let kept = if first["topic"] == "disk/x" { first } else { second };
    assert_ne!(kept["pos"], at.as_str());
    bob.close();
    for text in ["2", "3"] {
        publish(&mut ann, "live/x", text);
        publish(&mut ann, "disk/x", text);
    }
    let mut bob = server.client();
    let welcome = bob.hello(json!({"keep": 60, "resume": {
        "session": welcome["session"], "secret": welcome["secret"],
        "have": [{"sub": 1, "n": 1}, {"sub": 2, "pos": [kept["pos"]]}]}}));
    assert_eq!(welcome["resumed"], true, "{welcome}");
    let mut got: Vec<String> = (0..4)
        .map(|_| {
            let record = bob.next_record();
            format!("{} {}", record["topic"].as_str().unwrap_or("?"), record["text"].as_str().unwrap_or("?"))
        })
        .collect();
    got.sort();
    assert_eq!(got, ["disk/x 2", "disk/x 3", "live/x 2", "live/x 3"]);
    publish(&mut ann, "live/x", "4");
    assert_eq!(bob.next_record()["text"], "4");
}

#[test]
fn a_session_outlives_a_killed_server() {
    let (folder, server) = fresh();
    let mut bob = server.client();
    let welcome = bob.hello(json!({"keep": 600}));
    subscribe(&mut bob, 1, "disk/#");
    let mut ann = ready(&server);
    let receipt = publish(&mut ann, "disk/a", "before");
    assert_eq!(bob.next_record()["text"], "before");
    // The session is written a moment after it changed; a client whose session was not is told so (301).
    std::thread::sleep(std::time::Duration::from_millis(500));
    publish(&mut ann, "disk/a", "not seen");
    server.kill();
    let server = Server::dev(&folder.path().join("data"));
    let mut bob = server.client();
    let welcome = bob.hello(json!({"keep": 600, "resume": {
        "session": welcome["session"], "secret": welcome["secret"],
        "have": [{"sub": 1, "n": 1, "pos": [receipt["pos"]]}]}}));
    assert_eq!(welcome["resumed"], true, "{welcome}");
    assert_eq!(bob.next_record()["text"], "not seen");
}

#[test]
fn publishing_twice_under_one_id_is_publishing_once() {
    let (folder, server) = fresh();
    let command = json!({"type": "publish", "topic": "disk/once", "text": "x", "mid": "m1"});
    let first = ready(&server).ask(command.clone());
    let second = ready(&server).ask(command.clone());
    assert_eq!((&second["duplicate"], &second["seq"]), (&json!(true), &first["seq"]));
    server.kill();
    let server = Server::dev(&folder.path().join("data"));
    let third = ready(&server).ask(command);
    assert_eq!((&third["duplicate"], &third["pos"]), (&json!(true), &first["pos"]), "{third}");
}

#[test]
fn a_will_is_published_when_the_client_vanishes_and_not_when_it_says_bye() {
    let (_folder, server) = fresh();
    let mut watcher = ready(&server);
    subscribe(&mut watcher, 1, "status/+");
    let mut leaver = server.client();
    leaver.hello(json!({"will": {"topic": "status/leaver", "text": "gone"}}));
    leaver.send(&json!({"type": "bye"})).expect("the server goes on");
    while leaver.next_event().is_some() {}
    let mut vanisher = server.client();
    vanisher.hello(json!({"will": {"topic": "status/vanisher", "text": "gone"}}));
    vanisher.close();
    assert_eq!(watcher.next_record()["topic"], "status/vanisher");
}

#[test]
fn keyed_records_are_a_topics_state() {
    let (_folder, server) = fresh();
    let mut ann = ready(&server);
    for topic in ["live/lamp", "disk/lamp"] {
        for (key, text) in [("on", "no"), ("color", "red"), ("on", "yes"), ("level", "3")] {
            ann.ask(json!({"type": "publish", "topic": topic, "key": key, "text": text}));
        }
        ann.ask(json!({"type": "publish", "topic": topic, "key": "level"}));
        let mut bob = ready(&server);
        bob.ask(json!({"type": "subscribe", "sub": 1, "filter": topic, "state": true}));
        let mut state = [bob.next_record(), bob.next_record()];
        state.sort_by_key(|r| r["key"].to_string());
        assert_eq!((&state[0]["text"], &state[1]["text"]), (&json!("red"), &json!("yes")));
        bob.until(|e| e["type"] == "state_end");
        ann.ask(json!({"type": "publish", "topic": topic, "key": "on", "text": "no"}));
        assert_eq!(bob.next_record()["text"], "no");
    }
}

#[test]
fn bad_input_gets_its_number_and_hurts_nobody_else() {
    let (_folder, server) = fresh();
    let mut other = ready(&server);
    subscribe(&mut other, 1, "rooms/a");
    let mut client = ready(&server);
    for (command, code) in [
        (json!({"type": "publish", "topic": "#", "text": "x"}), 110),
        (json!({"type": "publish", "topic": "a/+", "text": "x"}), 110),
        (json!({"type": "publish", "topic": "x".repeat(2000), "text": "x"}), 110),
        (json!({"type": "publish", "topic": 7, "text": "x"}), 104),
        (json!({"type": "publish", "topic": "$SYS/x", "text": "x"}), 210),
        (json!({"type": "dance"}), 103),
        (json!({"type": "hello"}), 102),
        (json!({"type": "subscribe", "sub": 1, "filter": "a/#/b"}), 110),
        (json!({"type": "subscribe", "sub": 1, "filter": "a/#", "seq": 4}), 111),
        (json!({"type": "subscribe", "sub": 1, "filter": "a", "after": "ff.0.0.1"}), 112),
        (json!({"type": "unsubscribe", "sub": 99}), 302),
        (json!({"type": "history", "topic": "live/x"}), 311),
        (json!({"type": "publish", "topic": "live/x", "text": "x", "durable": "disk"}), 312),
        (json!({"type": "publish", "topic": "a", "text": "x", "key": "k".repeat(300)}), 113),
    ] {
        let answer = client.ask(command.clone());
        let shown: String = command.to_string().chars().take(120).collect();
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{shown}: {answer}");
        assert!(answer["reason"].as_str().is_some_and(|r| !r.is_empty()) && !answer["again"].is_null());
    }
    client.send_bytes(b"{\"type\":\n").expect("the server goes on");
    assert_eq!(client.until(|e| e["type"] == "error")["code"], 100);
    client.send_bytes(b"\xff\xfe\n").expect("the server goes on");
    client.until(|e| e["type"] == "error");
    publish(&mut client, "rooms/a", "still here");
    assert_eq!(other.next_record()["text"], "still here");
}

#[test]
fn an_endless_line_is_cut_off() {
    let (_folder, server) = fresh();
    let mut client = ready(&server);
    let chunk = vec![b'x'; 1 << 16];
    // At most 64 MiB are tried; the server ends it at its frame limit of 1 MiB.
    let refused = (0..1024).any(|_| client.send_bytes(&chunk).is_err());
    assert!(refused, "a line of 64 MiB was taken");
    publish(&mut ready(&server), "rooms/a", "still here");
}

#[test]
fn subscriptions_are_limited() {
    let (_folder, server) = fresh();
    let mut client = server.client();
    let limit = client.hello(json!({}))["limits"]["subscriptions"].as_u64().expect("a limit");
    for sub in 0..=limit {
        let command = json!({"type": "subscribe", "id": sub, "sub": sub, "filter": format!("t/{sub}")});
        client.send(&command).expect("the server goes on");
        let answer = client.until(|e| e["re"] == sub);
        let expected = if sub < limit { "subscribed" } else { "error" };
        assert_eq!(answer["type"], expected, "{answer}");
        if sub == limit {
            assert_eq!(answer["code"], 401);
        }
    }
}

#[test]
fn a_reader_that_stops_is_told_what_it_missed_and_hurts_nobody() {
    let (_folder, server) = fresh();
    let (mut slow, mut fast, mut ann) = (ready(&server), ready(&server), ready(&server));
    subscribe(&mut slow, 1, "live/flood");
    subscribe(&mut fast, 1, "live/flood");
    let text = "x".repeat(10_000);
    const SENT: u64 = 4000;
    for number in 0..SENT {
        ann.ask(json!({"type": "publish", "topic": "live/flood", "text": format!("{number} {text}")}));
        assert!(fast.next_record()["text"].as_str().is_some_and(|t| t.starts_with(&format!("{number} "))));
    }
    // Now it reads: what it got and what it is told it missed make up all that was sent.
    let (mut got, mut missed) = (0, 0);
    while got + missed < SENT {
        let event = slow.until(|e| matches!(e["type"].as_str(), Some("records" | "missed")));
        got += event["records"].as_array().map_or(0, Vec::len) as u64;
        missed += event["missed"].as_u64().unwrap_or(0);
    }
    assert_eq!(got + missed, SENT);
    assert!(missed > 0, "40 MB fit nowhere");
}

#[test]
fn a_second_connection_takes_the_session_over() {
    let (_folder, server) = fresh();
    let mut first = server.client();
    let welcome = first.hello(json!({"keep": 60}));
    let mut second = server.client();
    let again = second.hello(json!({"keep": 60, "resume": {
        "session": welcome["session"], "secret": welcome["secret"], "have": []}}));
    assert_eq!(again["resumed"], true);
    let close = first.until(|e| e["type"] == "close");
    assert_eq!(close["code"], 4009);
    assert!(first.next_event().is_none());
    let mut thief = server.client();
    let refused = thief.ask(json!({"type": "hello", "resume": {
        "session": welcome["session"], "secret": "0".repeat(32), "have": []}}));
    assert_eq!(refused["code"], 301, "{refused}");
}

#[test]
fn sigterm_tells_everybody_finishes_and_exits_with_zero() {
    let (folder, server) = fresh();
    let mut client = ready(&server);
    publish(&mut client, "disk/last", "words");
    server.signal("TERM");
    let close = client.until(|e| e["type"] == "close");
    assert_eq!((&close["code"], &close["again"]), (&json!(1001), &json!("soon")));
    assert!(server.ended().success());
    let server = Server::dev(&folder.path().join("data"));
    let page = ready(&server).ask(json!({"type": "history", "topic": "disk/last"}));
    assert_eq!(page["records"][0]["text"], "words");
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let (folder, server) = fresh();
    let second = Command::new(binary())
        .args([
            "serve",
            "--dev",
            "--set",
            "http.listen=127.0.0.1:0",
            "--set",
            "socket.tcp=127.0.0.1:0",
            "--set",
            "mqtt.tcp=127.0.0.1:0",
            "--set",
            "rtmp.tcp=127.0.0.1:0",
            "--data",
        ])
        .arg(folder.path().join("data"))
        .output()
        .expect("the binary can be started");
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("data"), "it names the folder: {said}");
    publish(&mut ready(&server), "disk/a", "still here");
}

#[test]
fn a_backup_of_a_running_server_restores() {
    let (folder, server) = fresh();
    let (data, backup, restored) =
        (folder.path().join("data"), folder.path().join("backup"), folder.path().join("restored"));
    let mut client = ready(&server);
    for number in 0..200 {
        publish(&mut client, "disk/b", &number.to_string());
    }
    let run = |arguments: &[&std::ffi::OsStr]| {
        let done = Command::new(binary())
            .env_remove("YIZHAN_BIN")
            .args(arguments)
            .output()
            .expect("the binary can be started");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    run(&["backup".as_ref(), backup.as_ref(), "--data".as_ref(), data.as_ref()]);
    publish(&mut client, "disk/b", "after the backup");
    run(&["restore".as_ref(), backup.as_ref(), "--data".as_ref(), restored.as_ref()]);
    run(&["store".as_ref(), "check".as_ref(), "--data".as_ref(), restored.as_ref()]);
    let copy = Server::dev(&restored);
    let page = ready(&copy).ask(json!({"type": "history", "topic": "disk/b", "limit": 1000}));
    assert_eq!(page["records"].as_array().map(Vec::len), Some(200));
    assert_eq!(publish(&mut ready(&copy), "disk/b", "goes on")["seq"], 201);
}

#[test]
fn presence_says_who_listens() {
    let (_folder, server) = fresh();
    let mut ann = server.client();
    ann.hello(json!({"device": "phone"}));
    subscribe(&mut ann, 1, "rooms/p");
    let mut bob = ready(&server);
    let here = bob.ask(json!({"type": "presence", "topic": "rooms/p"}));
    assert_eq!(here["sessions"].as_array().map(Vec::len), Some(1), "{here}");
    assert_eq!(
        (&here["sessions"][0]["device"], &here["sessions"][0]["door"]),
        (&json!("phone"), &json!("tcp"))
    );
    ann.close();
    eventually("ann's leaving", || {
        let here = bob.ask(json!({"type": "presence", "topic": "rooms/p"}));
        here["sessions"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
}
