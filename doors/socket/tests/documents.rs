//! The documents say what the code does: every example of the protocol's page fits the schemas and is
//! read by the door, and the numbers of errors and closes are those of the code.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod schema;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use schema::Schema;
use serde_json::Value;
use yizhan_hub::{Action, Refused, StoreError, Topic, topic::BadName};
use yizhan_net::reply::status_of;
use yizhan_socket::wire::{Encoding, Frame, Wrong};
use yizhan_talk::{Again, Close};

fn document(path: &str) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn schema(name: &str) -> Schema {
    Schema::new(serde_json::from_str(&document(&format!("schema/{name}.schema.json"))).unwrap())
}

/// Every JSON object with a `type` that the page shows, in code blocks and in the text.
fn examples() -> Vec<Value> {
    let page = document("protocol.md");
    let mut examples = Vec::new();
    for (i, part) in page.split("```").enumerate() {
        if i % 2 == 1 {
            let text = part.strip_prefix("json").unwrap_or_else(|| panic!("a block that is no JSON: {part}"));
            examples.push(serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}")));
            continue;
        }
        for code in part.split('`').skip(1).step_by(2).filter(|code| code.starts_with(r#"{"type""#)) {
            examples.push(serde_json::from_str(code).unwrap_or_else(|e| panic!("{e}: {code}")));
        }
    }
    examples
}

#[test]
fn every_example_fits_a_schema_and_every_command_is_read() {
    let (commands, events) = (schema("command"), schema("event"));
    let mut shown = BTreeSet::new();
    for example in examples() {
        let text = example.to_string();
        let as_command = commands.check(&example);
        let as_event = events.check(&example);
        assert!(
            as_command.is_ok() || as_event.is_ok(),
            "{text}\nas a command: {as_command:?}\nas an event: {as_event:?}"
        );
        if as_command.is_ok() {
            let mut frame = Frame::new(Encoding::Json, text.as_bytes()).unwrap();
            let read = frame.command().unwrap().unwrap();
            assert!(read.1.is_ok(), "{text}: {read:?}");
        }
        let name = example["type"].as_str().unwrap();
        for (is_command, fits) in [(true, as_command.is_ok()), (false, as_event.is_ok())] {
            if fits {
                shown.insert((is_command, name.to_owned()));
            }
        }
    }
    for name in
        "hello subscribe unsubscribe publish ask ack history state presence time ping network bye".split(' ')
    {
        assert!(shown.contains(&(true, name.to_owned())), "the page shows no '{name}'");
    }
    for name in
        "welcome subscribed ok receipt told history state presence time pong records missed state_end error close"
            .split(' ')
    {
        assert!(shown.contains(&(false, name.to_owned())), "the page shows no '{name}' event");
    }
}

/// What the schema refuses, the door refuses too, and the other way round.
#[test]
fn the_schema_and_the_door_agree_on_what_is_a_command() {
    let commands = schema("command");
    for text in [
        r#"{"type":"ping"}"#,
        r#"{"type":"ping","id":1,"someday":true}"#,
        r#"{"type":"ping","id":-1}"#,
        r#"{"type":"ping","id":"1"}"#,
        r#"{"type":"dance"}"#,
        r#"{"id":1}"#,
        r#"{"type":"publish","topic":"a"}"#,
        r#"{"type":"publish"}"#,
        r#"{"type":"publish","topic":""}"#,
        r#"{"type":"publish","topic":"a","text":"x","bin":"AA=="}"#,
        r#"{"type":"publish","topic":"a","data":null}"#,
        r#"{"type":"publish","topic":"a","headers":{"a":1}}"#,
        r#"{"type":"publish","topic":"a","durable":"paper"}"#,
        r#"{"type":"publish","topic":"a","expires":-1}"#,
        r#"{"type":"subscribe","sub":1,"filter":"a"}"#,
        r#"{"type":"subscribe","sub":1,"topic":"a"}"#,
        r#"{"type":"subscribe","sub":1}"#,
        r#"{"type":"subscribe","sub":4294967296,"filter":"a"}"#,
        r#"{"type":"subscribe","sub":1,"filter":"a","last":1001}"#,
        r#"{"type":"subscribe","sub":1,"filter":"a","last":1,"seq":1}"#,
        r#"{"type":"subscribe","sub":1,"filter":"a","after":"1.0.0.1"}"#,
        r#"{"type":"subscribe","sub":1,"filter":"a","after":["1.0.0.1"]}"#,
        r#"{"type":"subscribe","sub":1,"filter":"a","after":"1.0.0"}"#,
        r#"{"type":"subscribe","sub":1,"filter":"a","window":0}"#,
        r#"{"type":"ack","sub":1}"#,
        r#"{"type":"ack","sub":1,"n":1}"#,
        r#"{"type":"ack","sub":1,"n":1,"pos":"1.0.0.1"}"#,
        r#"{"type":"history","topic":"a","limit":0}"#,
        r#"{"type":"history","topic":"a","since":1,"before":1}"#,
        r#"{"type":"ask"}"#,
        r#"{"type":"ask","to":"im/list"}"#,
        r#"{"type":"ask","to":"im/list","data":null}"#,
        r#"{"type":"ask","to":7}"#,
        r#"{"type":"ask","to":""}"#,
        r#"{"type":"presence"}"#,
        r#"{"type":"presence","user":"a","topic":"a"}"#,
        r#"{"type":"network"}"#,
        r#"{"type":"network","network":"iot"}"#,
        r#"{"type":"hello","user":"a"}"#,
        r#"{"type":"hello","keep":-1}"#,
        r#"{"type":"hello","resume":{"session":"1"}}"#,
        r#"{"type":"hello","will":{"topic":"a","text":"x","data":1}}"#,
        r#"{"type":"time","t1":"x"}"#,
    ] {
        let by_schema = commands.check(&serde_json::from_str(text).unwrap());
        let mut frame = Frame::new(Encoding::Json, text.as_bytes()).unwrap();
        let by_door = frame.command().unwrap().unwrap().1;
        assert_eq!(by_schema.is_ok(), by_door.is_ok(), "{text}\nschema: {by_schema:?}\ndoor: {by_door:?}");
    }
}

#[test]
fn asyncapi_names_what_the_schemas_define() {
    let page = document("asyncapi.yaml");
    for name in ["command", "event"] {
        let schema = schema(name);
        for variant in schema.variants() {
            let reference = format!("'./schema/{name}.schema.json#/$defs/{variant}'");
            assert_eq!(page.matches(&reference).count(), 1, "{reference}");
        }
    }
    for line in
        page.lines().filter_map(|line| line.trim().strip_prefix("- $ref: '#/channels/socket/messages/"))
    {
        let message = line.trim_end_matches('\'');
        assert!(page.contains(&format!("\n    {message}:\n")), "{message} is not defined");
    }
}

/// The rows of a table below a heading.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = page.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

fn again(again: Again) -> &'static str {
    match again {
        Again::Never => "never",
        Again::Soon => "soon",
        Again::After(_) => "after",
    }
}

/// One of each; a new variant does not compile until it is here.
fn every_refusal() -> Vec<Refused> {
    let (second, topic) = (Duration::from_secs(1), Topic::new("a").unwrap());
    let all = vec![
        Refused::HelloFirst,
        Refused::HelloTwice,
        Refused::BadName(BadName::Empty),
        Refused::NotOneTopic,
        Refused::BadPosition,
        Refused::HeadersTooLarge,
        Refused::TooLarge { bytes: 1, bytes_max: 0 },
        Refused::NotAdmitted,
        Refused::TokenExpired,
        Refused::BadToken("x"),
        Refused::TooManyAttempts(second),
        Refused::NotAllowed { action: Action::Publish, name: "a".into() },
        Refused::NoSession,
        Refused::NoSubscription,
        Refused::NoSpace(topic.clone()),
        Refused::NotKept("a".into()),
        Refused::NotDurable { topic },
        Refused::NoService("x/y".into()),
        Refused::NoMechanism("x".into()),
        Refused::Banned("x".into()),
        Refused::Taken(yizhan_hub::Filter::exactly(&Topic::new("a").unwrap())),
        Refused::TooManyDelayed(1),
        Refused::DelayTooLong(second),
        Refused::TooManySubscriptions(1),
        Refused::TooFast(second),
        Refused::Stopping,
        Refused::Store(StoreError::Full),
        Refused::Store(StoreError::Busy),
        Refused::Store(StoreError::Corrupt { place: String::new() }),
        Refused::Store(StoreError::Conflict),
        Refused::Store(StoreError::Closed),
        Refused::Store(StoreError::Failed(String::new())),
    ];
    for refused in &all {
        match refused {
            Refused::HelloFirst
            | Refused::HelloTwice
            | Refused::BadName(_)
            | Refused::NotOneTopic
            | Refused::BadPosition
            | Refused::HeadersTooLarge
            | Refused::TooLarge { .. }
            | Refused::NotAdmitted
            | Refused::TokenExpired
            | Refused::BadToken(_)
            | Refused::TooManyAttempts(_)
            | Refused::NotAllowed { .. }
            | Refused::NoSession
            | Refused::NoSubscription
            | Refused::NoSpace(_)
            | Refused::NotKept(_)
            | Refused::NotDurable { .. }
            | Refused::NoMechanism(_)
            | Refused::NoService(_)
            | Refused::Banned(_)
            | Refused::Taken(_)
            | Refused::TooManyDelayed(_)
            | Refused::DelayTooLong(_)
            | Refused::TooManySubscriptions(_)
            | Refused::TooFast(_)
            | Refused::Stopping => {}
            // Its numbers are the services' own; see the sections that follow on the page.
            Refused::Denied(_) => {}
            Refused::Store(error) => match error {
                StoreError::Full
                | StoreError::Busy
                | StoreError::Corrupt { .. }
                | StoreError::Conflict
                | StoreError::Closed
                | StoreError::Failed(_) => {}
            },
        }
    }
    all
}

#[test]
fn the_table_of_errors_is_the_codes() {
    let mut wrongs: Vec<Wrong> = every_refusal().into_iter().map(Wrong::Refused).collect();
    wrongs.push(Wrong::NotUtf8);
    wrongs.push(Wrong::UnknownCommand);
    wrongs.push(Wrong::Field { name: "a", expected: "b" });
    let code: BTreeSet<Vec<String>> = wrongs
        .iter()
        .map(|w| {
            let code = w.code();
            vec![code.to_string(), status_of(code).as_u16().to_string(), again(w.again()).to_owned()]
        })
        .collect();
    let page: BTreeSet<Vec<String>> = rows(&document("errors.md"), "## Errors")
        .into_iter()
        .map(|mut row| {
            row.remove(2);
            row
        })
        .collect();
    assert_eq!(page, code);
}

#[test]
fn the_table_of_closes_is_the_codes() {
    let closes = [
        Close::NORMAL,
        Close::GOING_AWAY,
        Close::PROTOCOL,
        Close::UNSUPPORTED,
        Close::NOT_UTF8,
        Close::TOO_BIG,
        Close::INTERNAL,
        Close::HELLO_LATE,
        Close::NOT_ADMITTED,
        Close::TOKEN_EXPIRED,
        Close::SILENT,
        Close::TAKEN_OVER,
        Close::TOO_SLOW,
        Close::TOO_MANY,
        Close::KICKED,
    ];
    let code: Vec<(String, String)> = closes
        .iter()
        .map(|close| {
            let again = match close.again {
                Again::After(wait) => format!("after {} s", wait.as_secs()),
                other => again(other).to_owned(),
            };
            (close.code.to_string(), again)
        })
        .collect();
    let page: Vec<(String, String)> = rows(&document("errors.md"), "## Closes")
        .into_iter()
        .map(|row| (row[0].clone(), row[2].clone()))
        .collect();
    assert_eq!(page, code);
}
