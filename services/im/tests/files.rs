//! Files: whose they are, who may have them, and when they go.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use std::time::Duration;

use serde_json::{Value, json};
use world::World;
use yizhan_im::{
    content::FileFacts,
    files::{FileKind, Stored, Thumb},
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn picture(hash: &str) -> Stored {
    Stored {
        hash: hash.repeat(64),
        kind: FileKind::Image,
        facts: FileFacts {
            bytes: 100,
            media_type: "image/png".into(),
            width: Some(4),
            height: Some(3),
            thumb: true,
            ..FileFacts::default()
        },
        waveform: Vec::new(),
        thumb: Some(Thumb { hash: "f".repeat(64), bytes: 9, media_type: "image/jpeg".into() }),
    }
}

/// A file that is there.
async fn uploaded(world: &World, user: &str, stored: Stored) -> String {
    let begun = world.ask(user, "file_begin", json!({ "name": "a.png", "bytes": 100 })).await;
    let file = begun["file"].as_str().unwrap().to_owned();
    world.im.file_finished(user, &file, stored).await.unwrap();
    file
}

fn message(kind: &str, file: &str) -> Value {
    json!({ "kind": kind, "file": file })
}

async fn group(world: &World) -> String {
    let made =
        world.ask("ann", "create", json!({ "kind": "group", "title": "Walks", "members": ["bob"] })).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn may(world: &World, user: &str, file: &str) -> bool {
    world.im.file(user, file).await.is_ok()
}

#[tokio::test]
async fn those_have_a_file_to_whom_it_was_sent() {
    let mut world = World::new().await;
    let (group, file) = (group(&world).await, uploaded(&world, "ann", picture("a")).await);
    assert!(may(&world, "ann", &file).await && !may(&world, "bob", &file).await);
    let content = message("image", &file);
    let no = world.refused("bob", "send", json!({ "conversation": group, "content": content })).await;
    assert_eq!(no, 620, "nobody sends what he may not have");
    world.ask("ann", "send", json!({ "conversation": group, "content": content })).await;
    assert!(may(&world, "bob", &file).await && !may(&world, "cy", &file).await);
    let seen = world.ask("bob", "history", json!({ "conversation": group })).await;
    let facts = &seen["messages"][0]["content"]["facts"];
    assert_eq!(
        (&facts["width"], &facts["type"], &facts["thumb"]),
        (&json!(4), &json!("image/png"), &json!(true))
    );
    // What was sent may be passed on, and those who get it have it.
    world.ask("bob", "send", json!({ "user": "cy", "content": content })).await;
    assert!(may(&world, "cy", &file).await);
    world.restart().await;
    assert!(may(&world, "bob", &file).await && !may(&world, "dan", &file).await);
    let shared = world.ask("bob", "shared_files", json!({ "conversation": group })).await;
    assert_eq!((&shared["files"][0]["file"], &shared["files"][0]["owner"]), (&json!(file), &json!("ann")));
    // Who is removed has it no more, and what is forwarded goes along.
    world.ask("ann", "remove", json!({ "conversation": group, "users": ["bob"] })).await;
    let forward = json!({ "kind": "forward", "conversation": group, "seq": 1 });
    world.ask("ann", "send", json!({ "user": "dan", "content": forward })).await;
    assert!(may(&world, "dan", &file).await);
}

#[tokio::test]
async fn a_message_carries_a_file_that_is_there_and_is_what_it_says() {
    let world = World::new().await;
    let (group, file) = (group(&world).await, uploaded(&world, "ann", picture("a")).await);
    let send = |kind: &str, file: &str| json!({ "conversation": group, "content": message(kind, file) });
    for kind in ["voice", "video"] {
        assert_eq!(world.refused("ann", "send", send(kind, &file)).await, 601, "{kind}");
    }
    world.ask("ann", "send", send("file", &file)).await;
    for unknown in ["", "x", "../../etc/passwd", &"0".repeat(32), &"A".repeat(32)] {
        assert!(matches!(world.refused("ann", "send", send("image", unknown)).await, 600 | 601 | 620));
    }
    let begun = world.ask("ann", "file_begin", json!({ "name": "b.png", "bytes": 5 })).await;
    let begun = begun["file"].as_str().unwrap();
    assert_eq!(world.refused("ann", "send", send("image", begun)).await, 631);
    assert_eq!(world.refused("ann", "file", json!({ "file": begun })).await, 620);
    assert!(world.im.file_finished("bob", begun, picture("b")).await.is_err(), "it is ann's");
    for bad in
        [json!({ "name": "", "bytes": 1 }), json!({ "name": "a\n", "bytes": 1 }), json!({ "name": "a" })]
    {
        assert_eq!(world.refused("ann", "file_begin", bad).await, 600);
    }
    let elsewhere = json!({ "name": "a", "bytes": 1, "conversation": group });
    assert_eq!(world.refused("cy", "file_begin", elsewhere).await, 610);
}

#[tokio::test]
async fn files_that_nobody_sent_go_and_contents_go_with_the_last_of_them() {
    let world = World::new().await;
    let group = group(&world).await;
    let (one, two) =
        (uploaded(&world, "ann", picture("a")).await, uploaded(&world, "ann", picture("a")).await);
    let public =
        world.ask("ann", "file_begin", json!({ "name": "me.png", "bytes": 1, "public": true })).await;
    let public = public["file"].as_str().unwrap();
    world.im.file_finished("ann", public, picture("c")).await.unwrap();
    assert!(may(&world, "dan", public).await);
    world.ask("ann", "send", json!({ "conversation": group, "content": message("image", &one) })).await;
    world.pass(DAY).await;
    let now = || yizhan_talk::Timestamp::from_millis(world.now());
    assert_eq!(world.im.sweep_files(now(), DAY + HOUR, Duration::ZERO).await.unwrap(), 0);
    assert_eq!(world.im.sweep_files(now(), HOUR, Duration::ZERO).await.unwrap(), 1);
    assert!(may(&world, "ann", &one).await && !may(&world, "ann", &two).await);
    // The other one has the same content.
    assert!(world.im.needless_contents(None).await.unwrap().is_empty());
    world.ask("ann", "file_delete", json!({ "file": one })).await;
    assert!(!may(&world, "bob", &one).await);
    let shared = world.ask("ann", "shared_files", json!({ "conversation": group })).await;
    assert_eq!(shared["files"], json!([]));
    // Its thumbnail's content is another one's, too.
    let needless = world.im.needless_contents(None).await.unwrap();
    assert_eq!(needless, ["a".repeat(64)]);
    world.im.content_removed(&needless[0]).await.unwrap();
    assert!(world.im.needless_contents(None).await.unwrap().is_empty());
    // All of them go after a time where the config says so, and with their owner.
    assert_eq!(world.im.sweep_files(now(), DAY * 2, HOUR).await.unwrap(), 1);
    assert_eq!(world.im.needless_contents(None).await.unwrap().len(), 2);
    uploaded(&world, "ann", picture("a")).await;
    assert_eq!(world.im.needless_contents(None).await.unwrap(), ["c".repeat(64)], "it is needed again");
    assert_eq!(world.im.remove_files_of("ann").await.unwrap(), 1);
    assert_eq!(world.im.remove_files_of("ann").await.unwrap(), 0);
}
