//! Threads, what is forwarded, messages that burn, and what a crash in the middle of a change leaves.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use std::{
    future::{Future, poll_fn},
    task::Poll,
    time::Duration,
};

use serde_json::{Value, json};
use world::World;

async fn send(world: &World, user: &str, id: &str, content: Value) -> u64 {
    let sent = world.ask(user, "send", json!({ "conversation": id, "content": content })).await;
    world.settle().await;
    sent["seq"].as_u64().unwrap()
}

fn text(text: &str) -> Value {
    json!({ "kind": "text", "text": text })
}

async fn group(world: &World, owner: &str, members: &[&str]) -> String {
    let made = world.ask(owner, "create", json!({ "kind": "group", "title": "g", "members": members })).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn direct(world: &World, one: &str, other: &str) -> String {
    world.ask(one, "open", json!({ "user": other })).await["id"].as_str().unwrap().to_owned()
}

async fn message(world: &World, user: &str, id: &str, seq: u64) -> Value {
    world.ask(user, "message", json!({ "conversation": id, "seq": seq })).await
}

async fn seqs(world: &World, user: &str, of: Value) -> Vec<u64> {
    let page = world.ask(user, "history", of).await;
    page["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_thread_is_counted_at_its_beginning_and_read_for_itself() {
    let mut world = World::new().await;
    let id = group(&world, "ann", &["bob"]).await;
    send(&world, "ann", &id, text("root")).await;
    send(&world, "ann", &id, text("other")).await;
    for n in 0..5 {
        let content = json!({ "kind": "text", "text": n.to_string(), "thread": 1 });
        send(&world, if n % 2 == 0 { "ann" } else { "bob" }, &id, content).await;
        send(&world, "ann", &id, text("between")).await;
    }
    assert_eq!(message(&world, "bob", &id, 1).await["thread"], json!({ "count": 5, "newest": 11 }));
    // What was heard is not written yet: it is counted once all the same.
    world.restart().await;
    assert_eq!(message(&world, "bob", &id, 1).await["thread"], json!({ "count": 5, "newest": 11 }));
    world.pass(Duration::from_secs(1)).await;
    world.restart().await;
    send(&world, "bob", &id, json!({ "kind": "text", "text": "x", "thread": 1 })).await;
    world.pass(Duration::from_secs(30)).await;
    world.pass(Duration::from_secs(30)).await;
    send(&world, "bob", &id, json!({ "kind": "text", "text": "x", "thread": 1 })).await;
    assert_eq!(message(&world, "bob", &id, 1).await["thread"], json!({ "count": 7, "newest": 14 }));
    assert_eq!(
        seqs(&world, "bob", json!({ "conversation": id, "thread": 1 })).await,
        [3, 5, 7, 9, 11, 13, 14]
    );
    let page = world.ask("bob", "history", json!({ "conversation": id, "thread": 1, "limit": 3 })).await;
    assert_eq!((&page["at_end"], &page["next"]), (&json!(false), &json!(11)));
    // One that is recalled stays where it was.
    world.ask("ann", "recall", json!({ "conversation": id, "seq": 5 })).await;
    assert_eq!(
        seqs(&world, "bob", json!({ "conversation": id, "thread": 1 })).await,
        [3, 5, 7, 9, 11, 13, 14]
    );

    let add = |thread: u64| json!({ "conversation": id, "content": { "kind": "text", "text": "x", "thread": thread } });
    assert_eq!(world.refused("bob", "send", add(3)).await, 601, "a thread in a thread");
    assert_eq!(world.refused("bob", "send", add(99)).await, 620);
    assert_eq!(world.refused("bob", "send", add(0)).await, 620);
    world.ask("ann", "recall", json!({ "conversation": id, "seq": 2 })).await;
    assert_eq!(world.refused("bob", "send", add(2)).await, 631, "a thread of what was recalled");
    world.ask("bob", "delete", json!({ "conversation": id, "seqs": [4] })).await;
    assert_eq!(world.refused("bob", "send", add(4)).await, 620, "what one does not see");
}

#[tokio::test]
async fn what_is_forwarded_is_a_copy_of_what_one_sees() {
    let world = World::new().await;
    let (from, to) = (group(&world, "ann", &["bob"]).await, direct(&world, "bob", "dan").await);
    let said = json!({ "kind": "text", "text": "one", "id": "x", "mentions": ["bob"], "reply": 1 });
    send(&world, "ann", &from, text("zero")).await;
    send(&world, "ann", &from, said).await;
    world.ask("ann", "edit", json!({ "conversation": from, "seq": 2, "content": text("two") })).await;
    let forward = json!({ "kind": "forward", "conversation": from, "seq": 2 });
    let seq = send(&world, "bob", &to, forward.clone()).await;
    let now = message(&world, "dan", &to, seq).await;
    assert_eq!(
        now["content"]["origin"]["content"],
        text("two"),
        "in its present words, without what meant something there"
    );
    assert_eq!(now["content"]["origin"]["from"], "ann");
    // What was forwarded is forwarded as what it was first.
    let again = json!({ "kind": "forward", "conversation": to, "seq": seq, "text": "look" });
    let back = send(&world, "dan", &direct(&world, "dan", "eve").await, again).await;
    let eve = message(&world, "eve", &direct(&world, "dan", "eve").await, back).await;
    assert_eq!((&eve["content"]["origin"]["from"], &eve["content"]["text"]), (&json!("ann"), &json!("look")));

    assert_eq!(
        world.refused("dan", "send", json!({ "conversation": to, "content": forward })).await,
        610,
        "of a group of others"
    );
    let edit = json!({ "conversation": to, "seq": seq, "content": { "kind": "forward", "conversation": from, "seq": 1 } });
    assert_eq!(world.refused("bob", "edit", edit).await, 601);
    world.ask("ann", "recall", json!({ "conversation": from, "seq": 2 })).await;
    let recalled = json!({ "kind": "forward", "conversation": from, "seq": 2 });
    assert_eq!(world.refused("bob", "send", json!({ "conversation": to, "content": recalled })).await, 631);
    let forged = json!({ "kind": "forward", "conversation": from, "seq": 1, "origin": { "from": "dan", "at": 1, "content": text("lie") } });
    assert_eq!(world.refused("bob", "send", json!({ "conversation": to, "content": forged })).await, 601);
}

#[tokio::test]
async fn several_are_forwarded_as_one_and_not_too_deep_nor_too_large() {
    let world = World::new().await;
    let id = direct(&world, "ann", "bob").await;
    send(&world, "ann", &id, text("a")).await;
    send(&world, "bob", &id, text("b")).await;
    let merged = |seqs: &[u64]| {
        let items: Vec<_> = seqs.iter().map(|seq| json!({ "conversation": id, "seq": seq })).collect();
        json!({ "kind": "merged", "title": "t", "items": items })
    };
    let first = send(&world, "ann", &id, merged(&[1, 2])).await;
    let now = message(&world, "bob", &id, first).await;
    assert_eq!(now["content"]["items"][1]["origin"]["content"]["text"], "b");
    assert_eq!(now["content"]["items"][1]["origin"]["from"], "bob");
    let second = send(&world, "ann", &id, merged(&[first])).await;
    let third = send(&world, "ann", &id, merged(&[second])).await;
    assert_eq!(
        world.refused("ann", "send", json!({ "conversation": id, "content": merged(&[third]) })).await,
        601
    );
    let long = send(&world, "ann", &id, text(&"x".repeat(16_000))).await;
    let large = merged(&[long, long, long, long, long]);
    assert_eq!(world.refused("ann", "send", json!({ "conversation": id, "content": large })).await, 601);
    let missing = merged(&[1, 999]);
    assert_eq!(world.refused("ann", "send", json!({ "conversation": id, "content": missing })).await, 620);
    assert_eq!(
        world.refused("ann", "send", json!({ "conversation": id, "content": merged(&[1; 101]) })).await,
        601
    );
}

#[tokio::test]
async fn between_two_a_message_burns_after_the_other_one_has_read_it() {
    let mut world = World::new().await;
    let id = direct(&world, "ann", "bob").await;
    send(&world, "ann", &id, json!({ "kind": "text", "text": "SECRET", "burn_s": 10 })).await;
    send(&world, "ann", &id, text("stays")).await;
    world.pass(Duration::from_secs(3600)).await;
    assert_eq!(seqs(&world, "bob", json!({ "conversation": id })).await, [1, 2], "nobody has read it");
    world.restart().await;
    world.ask("bob", "read", json!({ "conversation": id, "seq": 1 })).await;
    world.pass(Duration::from_secs(9)).await;
    assert_eq!(seqs(&world, "ann", json!({ "conversation": id })).await, [1, 2]);
    let forward = json!({ "kind": "forward", "conversation": id, "seq": 1 });
    assert_eq!(world.refused("bob", "send", json!({ "user": "dan", "content": forward })).await, 611);
    // The time passes while the server is down.
    world.restart().await;
    let (mut ann, mut bob) = (world.stream("ann").await, world.stream("bob").await);
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(bob.event("burn").await["message_seq"], 1);
    assert_eq!(ann.event("burn").await["message_seq"], 1);
    for user in ["ann", "bob"] {
        assert_eq!(seqs(&world, user, json!({ "conversation": id })).await, [2]);
        assert_eq!(world.refused(user, "message", json!({ "conversation": id, "seq": 1 })).await, 620);
    }
    let topic = yizhan_hub::Topic::new(&format!("im/c/{id}")).unwrap();
    let size = yizhan_hub::store::PageSize { records_max: 10, bytes_max: 1 << 20 };
    let journal = world.hub.journal(&topic).unwrap();
    let page = journal.history(&topic, yizhan_hub::store::Range::After(0), size).await.unwrap();
    assert!(page.records[0].message.body.is_empty());
    world.restart().await;
    world.pass(Duration::from_secs(100)).await;
    assert_eq!(seqs(&world, "ann", json!({ "conversation": id })).await, [2]);
    let entry = world.ask("bob", "conversation", json!({ "conversation": id })).await;
    assert_eq!(entry["unread"], 1);
}

#[tokio::test]
async fn in_a_group_each_loses_it_after_reading_and_the_sender_when_all_have() {
    let world = World::new().await;
    let id = group(&world, "ann", &["bob", "dan"]).await;
    send(&world, "ann", &id, json!({ "kind": "text", "text": "SECRET", "burn_s": 10 })).await;
    let sees = |user: &'static str| seqs(&world, user, json!({ "conversation": id }));
    world.ask("bob", "read", json!({ "conversation": id, "seq": 1 })).await;
    world.pass(Duration::from_secs(11)).await;
    assert!(sees("bob").await.is_empty());
    assert_eq!((sees("ann").await, sees("dan").await), (vec![1], vec![1]));
    world.ask("dan", "read", json!({ "conversation": id, "seq": 1 })).await;
    assert_eq!(sees("dan").await, [1]);
    world.pass(Duration::from_secs(11)).await;
    assert!(sees("dan").await.is_empty() && sees("ann").await.is_empty());
}

#[tokio::test]
async fn a_note_to_oneself_burns_by_itself() {
    let world = World::new().await;
    let id = direct(&world, "ann", "ann").await;
    send(&world, "ann", &id, json!({ "kind": "text", "text": "x", "burn_s": 10 })).await;
    world.pass(Duration::from_secs(9)).await;
    assert_eq!(seqs(&world, "ann", json!({ "conversation": id })).await, [1]);
    world.pass(Duration::from_secs(2)).await;
    assert!(seqs(&world, "ann", json!({ "conversation": id })).await.is_empty());
}

#[tokio::test]
async fn expired_messages_are_not_shown() {
    let world = World::new().await;
    let id = direct(&world, "ann", "bob").await;
    send(&world, "ann", &id, json!({ "kind": "text", "text": "x", "expires_s": 10 })).await;
    send(&world, "ann", &id, text("y")).await;
    assert_eq!(seqs(&world, "bob", json!({ "conversation": id })).await, [1, 2]);
    world.pass(Duration::from_secs(11)).await;
    assert_eq!(seqs(&world, "bob", json!({ "conversation": id })).await, [2]);
    assert_eq!(
        world.refused("bob", "react", json!({ "conversation": id, "seq": 1, "emoji": "x" })).await,
        620
    );
}

/// Polls something this often at most, with time for others between; then it is given up.
async fn give_up_after(polls: usize, asked: impl Future) {
    let mut asked = std::pin::pin!(asked);
    for _ in 0..polls {
        if poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx).is_ready())).await {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_change_whose_asker_went_away_is_announced() {
    for polls in 0..12 {
        let world = World::new().await;
        let id = direct(&world, "ann", "bob").await;
        send(&world, "ann", &id, text("x")).await;
        let mut bob = world.stream("bob").await;
        give_up_after(polls, world.start("ann", "recall", json!({ "conversation": id, "seq": 1 }))).await;
        world.settle().await;
        if message(&world, "bob", &id, 1).await["recalled"].is_object() {
            assert_eq!(bob.event("recall").await["message_seq"], 1);
        } else {
            assert!(polls < 3, "it had begun");
        }
    }
}

#[tokio::test]
async fn after_a_crash_at_any_moment_a_recall_is_done_or_not() {
    for steps in 0..24 {
        let mut world = World::new().await;
        let id = direct(&world, "ann", "bob").await;
        send(&world, "ann", &id, text("SECRET")).await;
        world.ask("ann", "edit", json!({ "conversation": id, "seq": 1, "content": text("SECRET2") })).await;
        world.pass(Duration::from_secs(1)).await;
        give_up_after(steps, world.start("ann", "recall", json!({ "conversation": id, "seq": 1 }))).await;
        world.restart().await;
        let now = message(&world, "bob", &id, 1).await;
        let recalled = now["recalled"].is_object();
        let told = world.ask("bob", "changes", json!({ "conversation": id, "after": 0 })).await;
        let said = told["events"].as_array().unwrap().iter().any(|e| e["event"] == "recall");
        assert_eq!(recalled, said, "after {steps} steps: {now} {told}");
        assert_eq!(told.to_string().contains("SECRET"), !recalled, "after {steps} steps: {told}");
    }
}
