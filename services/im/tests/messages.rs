//! What becomes of messages: history as each one sees it, edits, recalls, reactions, pins, and what is deleted.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use std::time::Duration;

use serde_json::{Value, json};
use world::World;

/// Says something; gives its number.
async fn say(world: &World, user: &str, conversation: &str, text: &str) -> u64 {
    let content = json!({ "kind": "text", "text": text });
    let sent = world.ask(user, "send", json!({ "conversation": conversation, "content": content })).await;
    sent["seq"].as_u64().unwrap()
}

async fn group(world: &World, owner: &str, members: &[&str]) -> String {
    let made = world.ask(owner, "create", json!({ "kind": "group", "title": "g", "members": members })).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn direct(world: &World, one: &str, other: &str) -> String {
    world.ask(one, "open", json!({ "user": other })).await["id"].as_str().unwrap().to_owned()
}

async fn history(world: &World, user: &str, of: Value) -> (Vec<u64>, bool) {
    let page = world.ask(user, "history", of).await;
    (seqs(&page), page["at_end"].as_bool().unwrap())
}

fn seqs(page: &Value) -> Vec<u64> {
    page["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect()
}

async fn message(world: &World, user: &str, id: &str, seq: u64) -> Value {
    world.ask(user, "message", json!({ "conversation": id, "seq": seq })).await
}

#[tokio::test]
async fn pages_of_history_are_in_order_and_say_truly_where_the_end_is() {
    let world = World::new().await;
    let id = group(&world, "ann", &["bob"]).await;
    assert_eq!(history(&world, "ann", json!({ "conversation": id })).await, (vec![], true));
    for n in 1..=10 {
        say(&world, if n % 2 == 0 { "ann" } else { "bob" }, &id, &format!("{n}")).await;
    }
    let h = |of: Value| {
        let mut of = of;
        of["conversation"] = json!(id);
        history(&world, "bob", of)
    };
    assert_eq!(h(json!({ "limit": 4 })).await, (vec![7, 8, 9, 10], false));
    assert_eq!(h(json!({ "limit": 10 })).await, ((1..=10).collect(), true), "just all of them");
    assert_eq!(h(json!({ "before": 5, "limit": 4 })).await, (vec![1, 2, 3, 4], true));
    assert_eq!(h(json!({ "before": 1 })).await, (vec![], true));
    assert_eq!(h(json!({ "after": 6, "limit": 4 })).await, (vec![7, 8, 9, 10], true));
    assert_eq!(h(json!({ "after": 6, "limit": 3 })).await, (vec![7, 8, 9], false));
    assert_eq!(h(json!({ "after": 10 })).await, (vec![], true));
    assert_eq!(h(json!({ "after": u64::MAX })).await, (vec![], true));
    let around = world.ask("bob", "history", json!({ "conversation": id, "around": 5, "limit": 5 })).await;
    assert_eq!(seqs(&around), [3, 4, 5, 6, 7]);
    assert_eq!((&around["at_end"], &around["at_start"]), (&json!(false), &json!(false)));
    let around = world.ask("bob", "history", json!({ "conversation": id, "around": 10, "limit": 4 })).await;
    assert_eq!((seqs(&around), &around["at_end"]), (vec![9, 10], &json!(true)));
    let both = json!({ "conversation": id, "before": 3, "after": 1 });
    assert_eq!(world.refused("bob", "history", both).await, 600);
    assert_eq!(world.refused("eve", "history", json!({ "conversation": id })).await, 610);
    assert_eq!(world.refused("eve", "message", json!({ "conversation": id, "seq": 1 })).await, 610);
    assert_eq!(world.refused("eve", "changes", json!({ "conversation": id, "after": 0 })).await, 610);
    assert_eq!(world.refused("bob", "history", json!({ "conversation": "gxxxxxxxxxxxxxxxx" })).await, 620);
}

#[tokio::test]
async fn kinds_and_deleted_messages_are_passed_over() {
    let world = World::new().await;
    let id = group(&world, "ann", &["bob"]).await;
    for n in 0..30 {
        say(&world, "ann", &id, &format!("{n}")).await;
        if n % 10 == 0 {
            let place = json!({ "kind": "location", "latitude": 1.5, "longitude": 2.5 });
            world.ask("ann", "send", json!({ "conversation": id, "content": place })).await;
        }
    }
    let (found, at_end) = history(&world, "bob", json!({ "conversation": id, "kinds": ["location"] })).await;
    assert_eq!((found, at_end), (vec![2, 13, 24], true));
    let page =
        world.ask("bob", "history", json!({ "conversation": id, "kinds": ["location"], "limit": 2 })).await;
    assert_eq!((seqs(&page), &page["at_end"], &page["next"]), (vec![13, 24], &json!(false), &json!(13)));

    world.ask("bob", "delete", json!({ "conversation": id, "seqs": [30, 31, 33] })).await;
    let (found, _) = history(&world, "bob", json!({ "conversation": id, "limit": 3 })).await;
    assert_eq!(found, [28, 29, 32]);
    assert_eq!(world.refused("bob", "message", json!({ "conversation": id, "seq": 33 })).await, 620);
    assert_eq!(history(&world, "ann", json!({ "conversation": id, "limit": 2 })).await.0, [32, 33]);
    assert_eq!(world.refused("bob", "delete", json!({ "conversation": id, "seqs": [34] })).await, 620);
    assert_eq!(
        world.refused("bob", "delete", json!({ "conversation": id, "seqs": vec![1; 1001] })).await,
        603
    );
    let react = json!({ "conversation": id, "seq": 33, "emoji": "👍" });
    assert_eq!(world.refused("bob", "react", react).await, 620, "what one does not see");
}

#[tokio::test]
async fn who_comes_later_sees_what_the_group_shows_them() {
    let world = World::new().await;
    let id = group(&world, "ann", &["bob"]).await;
    say(&world, "ann", &id, "before").await;
    world
        .ask(
            "ann",
            "edit",
            json!({ "conversation": id, "seq": 1, "content": { "kind": "text", "text": "secret" } }),
        )
        .await;
    world.ask("ann", "update", json!({ "conversation": id, "history": "joined" })).await;
    world.ask("ann", "add", json!({ "conversation": id, "users": ["dan"] })).await;
    say(&world, "ann", &id, "after").await;
    assert_eq!(history(&world, "dan", json!({ "conversation": id })).await, (vec![2], true));
    assert_eq!(history(&world, "dan", json!({ "conversation": id, "after": 0 })).await, (vec![2], true));
    assert_eq!(history(&world, "bob", json!({ "conversation": id })).await, (vec![1, 2], true));
    for op in ["message", "recall", "edits", "receipts"] {
        if op != "receipts" {
            assert_eq!(world.refused("dan", op, json!({ "conversation": id, "seq": 1 })).await, 620, "{op}");
        }
    }
    let changes = world.ask("dan", "changes", json!({ "conversation": id, "after": 0 })).await;
    assert!(!changes.to_string().contains("secret"), "{changes}");
    let changes = world.ask("bob", "changes", json!({ "conversation": id, "after": 0 })).await;
    assert!(changes.to_string().contains("secret"), "{changes}");
    let forward = json!({ "kind": "forward", "conversation": id, "seq": 1 });
    assert_eq!(world.refused("dan", "send", json!({ "user": "bob", "content": forward })).await, 620);
}

#[tokio::test]
async fn an_edit_replaces_the_words_and_keeps_what_was_before() {
    let mut world = World::new().await;
    let id = direct(&world, "ann", "bob").await;
    let mut bob = world.stream("bob").await;
    let content = json!({ "kind": "text", "text": "one", "id": "mine", "burn_s": 5 });
    world.ask("ann", "send", json!({ "conversation": id, "content": content })).await;
    let edit =
        |text: &str| json!({ "conversation": id, "seq": 1, "content": { "kind": "text", "text": text } });
    let done = world.ask("ann", "edit", edit("two")).await;
    assert_eq!(done["edited"]["count"], 1);
    let event = bob.event("edit").await;
    assert_eq!(event["content"]["text"], "two");
    assert_eq!((&event["message_seq"], &event["after"], &event["by"]), (&json!(1), &json!(1), &json!("ann")));
    world.ask("ann", "edit", edit("three")).await;
    world.ask("ann", "edit", edit("three")).await;
    world.restart().await;
    let now = message(&world, "bob", &id, 1).await;
    assert_eq!(now["content"]["text"], "three");
    assert_eq!((&now["content"]["id"], &now["content"]["burn_s"]), (&json!("mine"), &json!(5)), "those stay");
    assert_eq!(now["edited"]["count"], 2, "the same words again are no edit");
    let edits = world.ask("bob", "edits", json!({ "conversation": id, "seq": 1 })).await;
    let texts: Vec<_> =
        edits["edits"].as_array().unwrap().iter().map(|e| e["content"]["text"].clone()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    for n in 0..30 {
        world.ask("ann", "edit", edit(&format!("{n}"))).await;
    }
    let edits = world.ask("bob", "edits", json!({ "conversation": id, "seq": 1 })).await;
    let edits = edits["edits"].as_array().unwrap();
    assert_eq!(edits.len(), 22, "the first, twenty, and the one of now");
    assert_eq!((&edits[0]["content"]["text"], &edits[21]["content"]["text"]), (&json!("one"), &json!("29")));
}

#[tokio::test]
async fn edits_that_may_not_be_are_refused() {
    let world = World::new().await;
    let id = group(&world, "ann", &["bob", "dan"]).await;
    say(&world, "bob", &id, "hi").await;
    let edit = |content: Value| json!({ "conversation": id, "seq": 1, "content": content });
    let text = json!({ "kind": "text", "text": "x" });
    assert_eq!(world.refused("ann", "edit", edit(text.clone())).await, 611, "not one's own, admin or not");
    assert_eq!(world.refused("eve", "edit", edit(text.clone())).await, 610);
    assert_eq!(
        world.refused("bob", "edit", edit(json!({ "kind": "card", "user": "dan" }))).await,
        601,
        "another kind"
    );
    assert_eq!(world.refused("bob", "edit", edit(json!({ "kind": "text", "text": " " }))).await, 601);
    assert_eq!(
        world.refused("bob", "edit", edit(json!({ "kind": "text", "text": "x".repeat(20_000) }))).await,
        601
    );
    let forged =
        json!({ "kind": "text", "text": "x", "origin": { "from": "ann", "at": 1, "content": text } });
    assert_eq!(world.refused("bob", "edit", edit(forged)).await, 601);
    for seq in [0, 2, u64::MAX] {
        let edit = json!({ "conversation": id, "seq": seq, "content": text });
        assert_eq!(world.refused("bob", "edit", edit).await, 620, "{seq}");
    }
    world.ask("ann", "mute", json!({ "conversation": id, "user": "bob", "seconds": 60 })).await;
    assert_eq!(
        world.refused("bob", "edit", edit(text.clone())).await,
        612,
        "who is muted says nothing new by an edit"
    );
    world.ask("ann", "mute", json!({ "conversation": id, "user": "bob", "seconds": 0 })).await;
    world.ask("bob", "edit", edit(text.clone())).await;
    world.pass(Duration::from_secs(8 * 86_400)).await;
    assert_eq!(world.refused("bob", "edit", edit(json!({ "kind": "text", "text": "y" }))).await, 630);
    world.ask("ann", "remove", json!({ "conversation": id, "users": ["bob"] })).await;
    assert_eq!(world.refused("bob", "edit", edit(text)).await, 610, "one who was removed");
}

#[tokio::test]
async fn a_recalled_message_is_gone_everywhere() {
    let mut world = World::new().await;
    let id = group(&world, "ann", &["bob", "dan"]).await;
    let mut dan = world.stream("dan").await;
    let content = json!({ "kind": "text", "text": "SECRET @dan", "mentions": ["dan"] });
    world.ask("bob", "send", json!({ "conversation": id, "content": content })).await;
    let edit = json!({ "conversation": id, "seq": 1, "content": { "kind": "text", "text": "SECRET2" } });
    world.ask("bob", "edit", edit).await;
    world.ask("dan", "react", json!({ "conversation": id, "seq": 1, "emoji": "👍" })).await;
    world.ask("ann", "pin", json!({ "conversation": id, "seq": 1 })).await;
    let entry = world.ask("dan", "conversation", json!({ "conversation": id })).await;
    assert_eq!((&entry["unread"], &entry["mentions"]), (&json!(1), &json!(1)));
    world.ask("bob", "recall", json!({ "conversation": id, "seq": 1 })).await;
    let event = dan.event("recall").await;
    assert_eq!((&event["message_seq"], &event["by"]), (&json!(1), &json!("bob")));
    world.ask("bob", "recall", json!({ "conversation": id, "seq": 1 })).await;
    for run in 0..2 {
        let entry = world.ask("dan", "conversation", json!({ "conversation": id })).await;
        assert_eq!((&entry["unread"], &entry["mentions"]), (&json!(0), &json!(0)), "run {run}");
        assert_eq!(entry["info"]["pins"], Value::Null);
        let now = message(&world, "dan", &id, 1).await;
        assert_eq!(now["recalled"]["by"], "bob");
        for gone in ["content", "edited", "reactions", "pinned"] {
            assert_eq!(now[gone], Value::Null, "{gone}");
        }
        for (op, of) in [
            ("history", json!({ "conversation": id })),
            ("changes", json!({ "conversation": id, "after": 0 })),
            ("list", json!({})),
            ("pins", json!({ "conversation": id })),
        ] {
            let told = world.ask("dan", op, of).await.to_string();
            assert!(!told.contains("SECRET"), "{op}: {told}");
        }
        let journal = world.hub.journal(&yizhan_hub::Topic::new(&format!("im/c/{id}")).unwrap()).unwrap();
        for topic in [format!("im/c/{id}"), format!("im/c/{id}/events")] {
            let topic = yizhan_hub::Topic::new(&topic).unwrap();
            let size = yizhan_hub::store::PageSize { records_max: 100, bytes_max: 1 << 20 };
            let page = journal.history(&topic, yizhan_hub::store::Range::Newest, size).await.unwrap();
            assert!(!page.records.is_empty());
            for record in page.records {
                let body = String::from_utf8_lossy(&record.message.body);
                assert!(!body.contains("SECRET"), "{topic:?} {body}");
            }
        }
        for (op, more) in [
            ("edit", json!({ "content": { "kind": "text", "text": "x" } })),
            ("react", json!({ "emoji": "x" })),
            ("pin", json!({})),
            ("edits", json!({})),
        ] {
            let mut of = more;
            of["conversation"] = json!(id);
            of["seq"] = json!(1);
            let user = if op == "pin" { "ann" } else { "bob" };
            let code = world.refused(user, op, of).await;
            assert!([620, 631].contains(&code), "{op}: {code}");
        }
        world.restart().await;
    }
}

#[tokio::test]
async fn a_recall_is_the_senders_for_two_minutes_and_an_admins_always() {
    let world = World::new().await;
    let id = group(&world, "ann", &["bob", "dan"]).await;
    say(&world, "bob", &id, "1").await;
    say(&world, "bob", &id, "2").await;
    let of = |seq: u64| json!({ "conversation": id, "seq": seq });
    assert_eq!(world.refused("dan", "recall", of(1)).await, 611);
    assert_eq!(world.refused("eve", "recall", of(1)).await, 610);
    assert_eq!(world.refused("bob", "recall", of(3)).await, 620);
    assert_eq!(world.refused("bob", "recall", of(0)).await, 620);
    world.pass(Duration::from_secs(119)).await;
    world.ask("bob", "recall", of(1)).await;
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(world.refused("bob", "recall", of(2)).await, 630, "too late");
    world.ask("ann", "recall", of(2)).await;
    assert_eq!(message(&world, "bob", &id, 2).await["recalled"]["by"], "ann");

    let pair = direct(&world, "ann", "bob").await;
    say(&world, "bob", &pair, "x").await;
    assert_eq!(world.refused("ann", "recall", json!({ "conversation": pair, "seq": 1 })).await, 611);
}

#[tokio::test]
async fn reactions_are_counted_and_bounded() {
    let mut world = World::new().await;
    let id = group(&world, "ann", &["bob", "dan", "eva", "fay", "gus", "hal"]).await;
    say(&world, "ann", &id, "x").await;
    let react = |emoji: &str, off: bool| json!({ "conversation": id, "seq": 1, "emoji": emoji, "off": off });
    let mut ann = world.stream("ann").await;
    for (n, user) in ["bob", "dan", "eva", "fay", "gus", "hal"].iter().enumerate() {
        assert_eq!(world.ask(user, "react", react("👍", false)).await["count"], n + 1);
        let event = ann.event("react").await;
        assert_eq!(
            (&event["count"], &event["user"], &event["emoji"]),
            (&json!(n + 1), &json!(user), &json!("👍"))
        );
    }
    world.ask("bob", "react", react("👍", false)).await;
    assert!(ann.events(&world).await.is_empty(), "nothing new, nothing told");
    world.restart().await;
    let now = message(&world, "hal", &id, 1).await;
    let of =
        json!([{ "emoji": "👍", "count": 6, "mine": true, "users": ["bob", "dan", "eva", "fay", "gus"] }]);
    assert_eq!(now["reactions"], of);
    let mut ann = world.stream("ann").await;
    world.ask("hal", "react", react("👍", true)).await;
    // What was announced before the crash may be announced again.
    let event = ann.next(|heard| heard.body["off"] == true).await.body;
    assert_eq!((&event["count"], &event["user"]), (&json!(5), &json!("hal")));
    for n in 1..20 {
        world.ask("bob", "react", react(&format!("{n}"), false)).await;
    }
    assert_eq!(world.refused("bob", "react", react("20", false)).await, 603);
    world.ask("bob", "react", react("1", true)).await;
    world.ask("bob", "react", react("20", false)).await;
    for bad in ["", " ", "a\nb", "\u{7f}", &"x".repeat(33)] {
        assert_eq!(world.refused("bob", "react", react(bad, false)).await, 600, "{bad:?}");
    }
    assert_eq!(world.refused("zoe", "react", react("1", false)).await, 610);
    world.ask("ann", "mute", json!({ "conversation": id, "user": "bob", "seconds": 60 })).await;
    assert_eq!(world.refused("bob", "react", react("1", false)).await, 612);
}

#[tokio::test]
async fn pins_are_the_admins_in_groups_and_anybodys_between_two() {
    let mut world = World::new().await;
    let id = group(&world, "ann", &["bob"]).await;
    for n in 0..102 {
        say(&world, "bob", &id, &format!("{n}")).await;
    }
    let pin = |seq: u64, off: bool| json!({ "conversation": id, "seq": seq, "off": off });
    assert_eq!(world.refused("bob", "pin", pin(1, false)).await, 611);
    let mut bob = world.stream("bob").await;
    for seq in 1..=100 {
        world.ask("ann", "pin", pin(seq, false)).await;
    }
    assert_eq!(bob.event("pin").await["message_seq"], 1);
    assert_eq!(world.refused("ann", "pin", pin(101, false)).await, 603);
    world.ask("ann", "pin", pin(50, true)).await;
    world.ask("ann", "pin", pin(101, false)).await;
    world.restart().await;
    let pins = world.ask("bob", "pins", json!({ "conversation": id })).await;
    let found = seqs(&pins);
    assert_eq!((found.len(), found[0], found[1]), (100, 101, 100));
    assert!(!found.contains(&50));
    assert_eq!(pins["messages"][0]["pinned"]["by"], "ann");
    assert_eq!(message(&world, "bob", &id, 50).await["pinned"], Value::Null);

    let pair = direct(&world, "ann", "bob").await;
    say(&world, "ann", &pair, "x").await;
    world.ask("bob", "pin", json!({ "conversation": pair, "seq": 1 })).await;
}

#[tokio::test]
async fn typing_is_told_to_others_once_a_second_and_not_kept() {
    let world = World::new().await;
    let id = direct(&world, "ann", "bob").await;
    let (mut ann, mut bob) = (world.stream("ann").await, world.stream("bob").await);
    for _ in 0..5 {
        world.ask("ann", "typing", json!({ "conversation": id, "on": true })).await;
    }
    world.ask("ann", "typing", json!({ "conversation": id, "on": false })).await;
    world.ask("ann", "typing", json!({ "conversation": id, "on": false })).await;
    let told: Vec<_> = bob
        .all(&world)
        .await
        .into_iter()
        .map(|h| (h.topic, h.body["user"].clone(), h.body["on"].clone()))
        .collect();
    let live = format!("im/c/{id}/live");
    assert_eq!(told, [(live.clone(), json!("ann"), json!(true)), (live, json!("ann"), json!(false))]);
    assert!(ann.all(&world).await.is_empty());
    world.pass(Duration::from_secs(1)).await;
    world.ask("ann", "typing", json!({ "conversation": id, "on": true })).await;
    assert_eq!(bob.event("typing").await["on"], true);
    assert_eq!(world.refused("eve", "typing", json!({ "conversation": id, "on": true })).await, 610);
    assert_eq!(
        world.ask("bob", "changes", json!({ "conversation": id, "after": 0 })).await["events"],
        json!([])
    );
}

#[tokio::test]
async fn changes_come_by_pages_with_their_numbers() {
    let world = World::new().await;
    let id = direct(&world, "ann", "bob").await;
    say(&world, "ann", &id, "x").await;
    for n in 0..5 {
        world.ask("bob", "react", json!({ "conversation": id, "seq": 1, "emoji": n.to_string() })).await;
    }
    let page = world.ask("ann", "changes", json!({ "conversation": id, "after": 1, "limit": 2 })).await;
    let events = page["events"].as_array().unwrap();
    let of: Vec<_> =
        events.iter().map(|e| (e["seq"].clone(), e["emoji"].clone(), e["event"].clone())).collect();
    assert_eq!(of, [(json!(2), json!("1"), json!("react")), (json!(3), json!("2"), json!("react"))]);
    assert_eq!((&page["at_end"], &page["next"]), (&json!(false), &json!(3)));
    let page = world.ask("ann", "changes", json!({ "conversation": id, "after": 3, "limit": 2 })).await;
    assert_eq!((page["events"].as_array().unwrap().len(), &page["at_end"]), (2, &json!(true)));
}
