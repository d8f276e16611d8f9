//! Chatrooms: whoever listens is there, what is said too fast is thinned out.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use std::time::Duration;

use serde_json::{Value, json};
use world::{ROOT, World};
use yizhan_im::Config;

async fn room(world: &World) -> String {
    let made = world.ask("ann", "create", json!({ "kind": "room", "title": "Live", "public": true })).await;
    assert_eq!((&made["kind"], &made["role"]), (&json!("room"), &json!("owner")));
    made["id"].as_str().unwrap().to_owned()
}

fn text(words: &str) -> Value {
    json!({ "kind": "text", "text": words })
}

#[tokio::test]
async fn whoever_listens_hears_without_being_a_member() {
    let mut world = World::new().await;
    let id = room(&world).await;
    let topic = format!("im/r/{id}");
    let (mut bob, mut cy) =
        (world.listener("bob", &topic).await.unwrap(), world.listener("cy", &topic).await.unwrap());
    world.publish("dan", &topic, text("hello")).await.unwrap();
    world.ask("eve", "send", json!({ "conversation": id, "content": text("by asking") })).await;
    for ear in [&mut bob, &mut cy] {
        assert_eq!(ear.next(|heard| heard.from == "dan").await.body["text"], "hello");
        assert_eq!(ear.next(|heard| heard.from == "eve").await.body["text"], "by asking");
    }
    let shown = world.ask("zoe", "room", json!({ "conversation": id })).await;
    assert_eq!(
        (&shown["listeners"], &shown["role"], &shown["topic"]),
        (&json!(2), &json!("member"), &json!(topic))
    );
    let found = world.ask("zoe", "discover", json!({ "text": "live" })).await;
    assert_eq!(
        (&found["conversations"][0]["kind"], &found["conversations"][0]["members"]),
        (&json!("room"), &json!(2))
    );
    assert_eq!(
        world.ask("dan", "list", json!({})).await["conversations"],
        json!([]),
        "it is in nobody's list"
    );
    world.restart().await;
    assert_eq!(world.ask("zoe", "room", json!({ "conversation": id })).await["title"], "Live");
    world.publish("dan", &topic, text("again")).await.unwrap();
}

#[tokio::test]
async fn rooms_that_are_not_there_are_neither_heard_nor_spoken_in() {
    let world = World::new().await;
    let topic = "im/r/raaaaaaaaaaaaaaaa";
    assert!(world.listener("bob", topic).await.is_err());
    assert_eq!(world.publish("bob", topic, text("x")).await.unwrap_err().code, 620);
    let id = room(&world).await;
    assert!(world.publish("ann", &format!("im/r/{id}/live"), json!({ "event": "value" })).await.is_err());
    assert_eq!(
        world.publish("bob", &format!("im/r/{id}"), json!({ "kind": "text" })).await.unwrap_err().code,
        601
    );
    for op in ["leave", "requests", "link", "members"] {
        let code = world.refused("bob", op, json!({ "conversation": id })).await;
        assert!(code == 610 || code == 611, "{op}: {code}");
    }
    let mut bob = world.listener("bob", &format!("im/r/{id}")).await.unwrap();
    assert_eq!(world.refused("bob", "dismiss", json!({ "conversation": id })).await, 611);
    world.ask("ann", "dismiss", json!({ "conversation": id })).await;
    assert_eq!(world.publish("bob", &format!("im/r/{id}"), text("x")).await.unwrap_err().code, 632);
    assert!(world.listener("cy", &format!("im/r/{id}")).await.is_err());
    assert!(bob.all(&world).await.is_empty());
}

#[tokio::test]
async fn the_operator_may_keep_rooms_for_admins() {
    let world = World::with(Config { rooms_by_everybody: false, ..Config::default() }).await;
    let body = json!({ "kind": "room", "title": "t" });
    assert_eq!(world.refused("ann", "create", body.clone()).await, 611);
    world.ask(ROOT, "create", body).await;
}

#[tokio::test]
async fn admins_of_a_room_mute_ban_and_lead_by_name() {
    let mut world = World::new().await;
    let id = room(&world).await;
    let topic = format!("im/r/{id}");
    let of = |user: &str| json!({ "conversation": id, "user": user });
    let mut live = world.listener("zoe", &format!("{topic}/live")).await.unwrap();
    world.ask("ann", "role", json!({ "conversation": id, "user": "bob", "role": "admin" })).await;
    assert_eq!(live.event("role").await["user"], "bob");
    assert_eq!(
        world.refused("ann", "role", json!({ "conversation": id, "user": "nobody", "role": "admin" })).await,
        620
    );
    world.ask("bob", "mute", json!({ "conversation": id, "user": "cy", "seconds": 60 })).await;
    assert_eq!(live.event("mute").await["until"], world.now() + 60_000);
    assert_eq!(world.publish("cy", &topic, text("x")).await.unwrap_err().code, 612);
    assert_eq!(
        world.refused("cy", "mute", json!({ "conversation": id, "user": "bob", "seconds": 60 })).await,
        611
    );
    assert_eq!(
        world.refused("bob", "mute", json!({ "conversation": id, "user": "ann", "seconds": 60 })).await,
        611
    );
    world.ask("bob", "ban", of("dan")).await;
    assert_eq!(live.event("ban").await["user"], "dan");
    world.restart().await;
    assert_eq!(world.publish("cy", &topic, text("x")).await.unwrap_err().code, 612);
    assert_eq!(world.publish("dan", &topic, text("x")).await.unwrap_err().code, 613);
    assert!(world.listener("dan", &topic).await.is_err(), "who is banned does not come in");
    let shown = world.ask("bob", "room", json!({ "conversation": id })).await;
    assert_eq!((&shown["admins"], &shown["muted"][0]["user"]), (&json!(["bob"]), &json!("cy")));
    assert_eq!(world.ask("cy", "room", json!({ "conversation": id })).await["muted"], Value::Null);
    world.ask("bob", "unban", of("dan")).await;
    world.publish("dan", &topic, text("x")).await.unwrap();
    world.pass(Duration::from_secs(61)).await;
    world.publish("cy", &topic, text("x")).await.unwrap();
    world
        .ask("bob", "update", json!({ "conversation": id, "mute_all": true, "announcement": "quiet" }))
        .await;
    assert_eq!(world.publish("cy", &topic, text("x")).await.unwrap_err().code, 612);
    world.publish("bob", &topic, text("x")).await.unwrap();
    world.ask("ann", "transfer", of("bob")).await;
    let shown = world.ask("ann", "room", json!({ "conversation": id })).await;
    assert_eq!(
        (&shown["owner"], &shown["admins"], &shown["role"]),
        (&json!("bob"), &json!(["ann"]), &json!("admin"))
    );
}

#[tokio::test]
async fn only_admins_speak_with_high_priority_or_to_all() {
    let world = World::new().await;
    let id = room(&world).await;
    let topic = format!("im/r/{id}");
    let with = |name: &str, value: Value| {
        let mut content = text("x");
        content[name] = value;
        content
    };
    assert_eq!(world.publish("bob", &topic, with("priority", json!("high"))).await.unwrap_err().code, 611);
    assert_eq!(world.publish("bob", &topic, with("mention_all", json!(true))).await.unwrap_err().code, 611);
    assert_eq!(world.publish("bob", &topic, with("thread", json!(1))).await.unwrap_err().code, 601);
    world.publish("ann", &topic, with("priority", json!("high"))).await.unwrap();
    world.publish("bob", &topic, with("priority", json!("low"))).await.unwrap();
}

#[tokio::test]
async fn what_is_said_too_fast_is_thinned_out_and_what_matters_passes() {
    let world = World::with(Config { room_messages_per_second: 50, ..Config::default() }).await;
    let id = room(&world).await;
    let topic = format!("im/r/{id}");
    let mut ear = world.listener("zoe", &topic).await.unwrap();
    let (mut low, mut normal, mut high) = (0, 0, 0);
    for _ in 0..20 {
        for n in 0..50 {
            let user = format!("u{n}");
            let mut less = text("x");
            less["priority"] = json!("low");
            low += u32::from(world.publish(&user, &topic, less).await.is_ok());
            let told = world.publish(&user, &topic, text("x")).await;
            normal += u32::from(told.is_ok());
            assert!(
                told.is_ok_and(|_| true)
                    || world.publish(&user, &topic, text("x")).await.unwrap_err().code == 640
            );
        }
        high += u32::from(world.publish("ann", &topic, text("a gift")).await.is_ok());
        world.pass(Duration::from_millis(100)).await;
    }
    assert_eq!(high, 20, "what admins say always passes");
    assert!(low < normal, "{low} {normal}");
    assert!(low + normal <= 50 * 4, "{low} {normal}");
    let heard = ear.all(&world).await;
    assert_eq!(heard.len(), (low + normal + high) as usize, "each that was taken was heard");
    // Another room has its own.
    let other = room(&world).await;
    world.publish("u1", &format!("im/r/{other}"), text("x")).await.unwrap();
}

#[tokio::test]
async fn values_of_a_room_are_set_once_told_and_kept() {
    let mut world = World::new().await;
    let id = room(&world).await;
    let set = |key: &str, value: Value| json!({ "conversation": id, "key": key, "value": value });
    let mut live = world.listener("zoe", &format!("im/r/{id}/live")).await.unwrap();
    assert_eq!(world.ask("bob", "room_set", set("song", json!("Für Elise"))).await["changed"], true);
    let told = live.event("value").await;
    assert_eq!(
        (&told["key"], &told["value"], &told["by"]),
        (&json!("song"), &json!("Für Elise"), &json!("bob"))
    );
    assert_eq!(world.ask("bob", "room_set", set("song", json!("Für Elise"))).await["changed"], false);
    assert_eq!(world.refused("cy", "room_set", set("song", json!("x"))).await, 611);
    let mut once = set("song", json!("x"));
    once["new"] = json!(true);
    assert_eq!(world.refused("bob", "room_set", once).await, 631);
    world.ask("ann", "room_set", set("song", json!({ "title": "Nocturne" }))).await;
    world.restart().await;
    let shown = world.ask("zoe", "room", json!({ "conversation": id })).await;
    assert_eq!(
        (&shown["values"][0]["key"], &shown["values"][0]["value"]),
        (&json!("song"), &json!({ "title": "Nocturne" }))
    );
    let mut live = world.listener("zoe", &format!("im/r/{id}/live")).await.unwrap();
    world.ask("ann", "room_set", json!({ "conversation": id, "key": "song" })).await;
    assert_eq!(live.event("value").await["value"], Value::Null);
    assert_eq!(world.ask("zoe", "room", json!({ "conversation": id })).await["values"], json!([]));
    for bad in [set("", json!(1)), set(&"k".repeat(200), json!(1)), set("k", json!("x".repeat(4000)))] {
        assert_eq!(world.refused("bob", "room_set", bad).await, 600);
    }
    for n in 0..64 {
        world.ask("ann", "room_set", set(&format!("k{n}"), json!(n))).await;
    }
    assert_eq!(world.refused("ann", "room_set", set("one more", json!(1))).await, 603);
    world.ask("ann", "mute", json!({ "conversation": id, "user": "bob", "seconds": 60 })).await;
    assert_eq!(world.refused("bob", "room_set", set("x", json!(1))).await, 612);
}

#[tokio::test]
async fn who_listens_by_a_wildcard_hears_what_they_may() {
    let mut world = World::new().await;
    let id = room(&world).await;
    let group = world.group(&["bob"]).await;
    let (mut bob, mut zoe) =
        (world.listener("bob", "im/#").await.unwrap(), world.listener("zoe", "im/#").await.unwrap());
    world
        .publish("ann", &format!("im/r/{id}"), json!({ "kind": "command", "data": { "wave": 1 } }))
        .await
        .unwrap();
    world.publish("ann", &format!("im/r/{id}"), text("to all")).await.unwrap();
    world.publish("ann", &format!("im/c/{group}"), text("to members")).await.unwrap();
    for ear in [&mut bob, &mut zoe] {
        assert_eq!(ear.event("command").await["data"], json!({ "wave": 1 }));
    }
    assert_eq!(bob.next(|heard| heard.body["text"] == "to members").await.topic, format!("im/c/{group}"));
    let heard = zoe.all(&world).await;
    assert!(heard.iter().any(|heard| heard.body["text"] == "to all"));
    assert!(
        heard.iter().all(|heard| heard.body["text"] != "to members"),
        "who is no member hears nothing of it"
    );
    // Who is banned meanwhile and listens by a wildcard hears no more.
    world.ask("ann", "ban", json!({ "conversation": id, "user": "zoe" })).await;
    zoe.all(&world).await;
    world.publish("ann", &format!("im/r/{id}"), text("without zoe")).await.unwrap();
    assert!(zoe.all(&world).await.is_empty());
    world.restart().await;
}
