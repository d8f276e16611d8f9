//! Groups and channels: who comes in, who goes, and who may say so.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use serde_json::{Value, json};
use world::World;
use yizhan_im::Config;

fn text(words: &str) -> Value {
    json!({ "kind": "text", "text": words })
}

#[tokio::test]
async fn a_new_group_has_its_members_and_they_are_told() {
    let mut world = World::new().await;
    let (mut ann, mut bob) = (world.device("ann", "pad").await, world.stream("bob").await);
    let made = world
        .ask(
            "ann",
            "create",
            json!({ "kind": "group", "title": "Walks", "about": "On foot", "members": ["bob", "cy", "bob", "ann"],
                    "attributes": { "colour": "green" } }),
        )
        .await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        (&made["title"], &made["role"], &made["members"]),
        (&json!("Walks"), &json!("owner"), &json!(3))
    );
    assert_eq!(made["info"]["attributes"], json!({ "colour": "green" }));
    let entry = bob.event("entry").await;
    assert_eq!((&entry["entry"]["id"], &entry["entry"]["role"]), (&json!(id), &json!("member")));
    assert_eq!(bob.event("members").await["added"], json!(["ann", "bob", "cy"]));
    assert_eq!(ann.event("entry").await["entry"]["role"], "owner", "the creator's other devices hear of it");
    world.say("bob", id).await;
    world.restart().await;
    assert_eq!(world.names(id).await, ["ann", "bob", "cy"]);
    let listed = world.ask("cy", "list", json!({})).await;
    assert_eq!((&listed["conversations"][0]["id"], &listed["unread"]), (&json!(id), &json!(1)));
}

#[tokio::test]
async fn what_makes_no_sense_begins_nothing() {
    let world = World::new().await;
    let long = |n: usize| "x".repeat(n);
    for (body, code) in [
        (json!({ "kind": "group" }), 600),
        (json!({ "kind": "group", "title": "  " }), 600),
        (json!({ "kind": "group", "title": "two\nlines" }), 600),
        (json!({ "kind": "group", "title": long(129) }), 600),
        (json!({ "kind": "group", "title": "t", "about": long(1025) }), 600),
        (json!({ "kind": "group", "title": "t", "avatar": long(513) }), 600),
        (json!({ "kind": "direct", "title": "t" }), 600),
        (json!({ "kind": "crowd", "title": "t" }), 600),
        (json!({ "kind": "group", "title": "t", "members": ["nobody"] }), 600),
        (json!({ "kind": "group", "title": "t", "members": [""] }), 600),
        (json!({ "kind": "group", "title": "t", "members": [long(300)] }), 600),
        (json!({ "kind": "group", "title": "t", "handle": "a/b" }), 600),
        (json!({ "kind": "group", "title": "t", "attributes": { "a": long(9000) } }), 600),
        (json!({ "kind": "group", "title": "t", "admins": ["ann"] }), 600),
        (json!({ "kind": "room", "title": "t", "members": ["bob"] }), 600),
    ] {
        assert_eq!(world.refused("ann", "create", body.clone()).await, code, "{body}");
    }
    let many: Vec<String> = (0..50_000).map(|n| format!("u{n}")).collect();
    let body = json!({ "kind": "group", "title": "t", "members": many });
    assert_eq!(world.refused("ann", "create", body).await, 603);
    assert_eq!(world.ask("ann", "list", json!({})).await["conversations"], json!([]));
}

#[tokio::test]
async fn fifty_thousand_at_once_are_refused_as_a_whole() {
    let world = World::new().await;
    let id = world.group(&["bob"]).await;
    let many: Vec<String> = (0..50_000).map(|n| format!("u{n}")).collect();
    let no = world.start("ann", "add", json!({ "conversation": id, "users": many })).await.unwrap_err();
    assert_eq!(no.code, 603);
    assert!(no.reason.contains("1000"), "{}", no.reason);
    assert_eq!(world.count(&id).await, 2);
    assert_eq!(world.refused("ann", "remove", json!({ "conversation": id, "users": many })).await, 603);
}

#[tokio::test]
async fn a_full_group_takes_nobody_and_not_some_of_them() {
    let mut world = World::with(Config { members_max: 5, ..Config::default() }).await;
    let id = world.group(&["bob", "cy"]).await;
    let three = json!({ "conversation": id, "users": ["d1", "d2", "d3"] });
    assert_eq!(world.refused("ann", "add", three).await, 634);
    assert_eq!(world.count(&id).await, 3);
    let two = world.ask("ann", "add", json!({ "conversation": id, "users": ["d1", "d2"] })).await;
    assert_eq!(two["added"], json!(["d1", "d2"]));
    world.ask("ann", "update", json!({ "conversation": id, "join": "open" })).await;
    assert_eq!(world.refused("late", "join", json!({ "conversation": id })).await, 634);
    world.restart().await;
    assert_eq!(world.names(&id).await, ["ann", "bob", "cy", "d1", "d2"]);
    let six = json!({ "kind": "group", "title": "t", "members": ["a1", "a2", "a3", "a4", "a5"] });
    assert_eq!(world.refused("ann", "create", six).await, 634);
}

#[tokio::test]
async fn each_that_is_not_added_is_said_with_why() {
    let world = World::new().await;
    let id = world.group(&["bob"]).await;
    world.ask("ann", "ban", json!({ "conversation": id, "user": "eve" })).await;
    let told = world
        .ask("ann", "add", json!({ "conversation": id, "users": ["bob", "eve", "nobody", "cy", "cy"] }))
        .await;
    assert_eq!(told["added"], json!(["cy"]));
    let failed: Vec<&str> =
        told["failed"].as_array().unwrap().iter().map(|f| f["user"].as_str().unwrap()).collect();
    assert_eq!(failed, ["nobody", "bob", "eve"]);
    assert_eq!(world.count(&id).await, 3);
    // Nobody outside brings anybody in, and where only admins do, members do not.
    assert_eq!(world.refused("zoe", "add", json!({ "conversation": id, "users": ["zoe"] })).await, 610);
    world.ask("bob", "add", json!({ "conversation": id, "users": ["d"] })).await;
    world.ask("ann", "update", json!({ "conversation": id, "invite": "admins" })).await;
    assert_eq!(world.refused("bob", "add", json!({ "conversation": id, "users": ["e"] })).await, 611);
    assert_eq!(world.refused("bob", "link", json!({ "conversation": id })).await, 611);
    world.ask("ann", "add", json!({ "conversation": id, "users": ["e"] })).await;
}

#[tokio::test]
async fn who_wants_to_be_asked_is_invited_and_comes_by_themselves() {
    let mut world = World::new().await;
    world.ask("shy", "privacy", json!({ "groups": "friends" })).await;
    let mut shy = world.stream("shy").await;
    let id = world.group(&["bob"]).await;
    let told = world.ask("ann", "add", json!({ "conversation": id, "users": ["shy"] })).await;
    assert_eq!((&told["added"], &told["invited"]), (&json!([]), &json!(["shy"])));
    let invited = shy.event("invited").await;
    assert_eq!((&invited["conversation"], &invited["by"]), (&json!(id), &json!("ann")));
    assert_eq!(world.count(&id).await, 2);
    let body = json!({ "kind": "group", "title": "Other", "members": ["shy", "cy"] });
    let other = world.ask("ann", "create", body).await;
    assert_eq!(other["members"], 2);
    world.restart().await;
    let invitations = async |world: &World| {
        let told = world.ask("shy", "invitations", json!({})).await;
        let mut found: Vec<String> = told["invitations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["conversation"].as_str().unwrap().to_owned())
            .collect();
        found.sort();
        found
    };
    let mut both = [id.clone(), other["id"].as_str().unwrap().to_owned()];
    both.sort();
    assert_eq!(invitations(&world).await, both);
    assert_eq!(world.refused("eve", "join", json!({ "conversation": id })).await, 611);
    assert_eq!(world.ask("shy", "join", json!({ "conversation": id })).await["joined"], true);
    assert_eq!(world.count(&id).await, 3);
    assert_eq!(invitations(&world).await, [other["id"].as_str().unwrap()]);
    world.ask("shy", "decline", json!({ "conversation": other["id"] })).await;
    assert_eq!(world.refused("shy", "decline", json!({ "conversation": other["id"] })).await, 620);
    assert_eq!(world.refused("shy", "join", json!({ "conversation": other["id"] })).await, 611);
    world.restart().await;
    assert!(invitations(&world).await.is_empty());
}

#[tokio::test]
async fn nobody_is_in_more_groups_than_are_allowed() {
    let mut world = World::with(Config { conversations_max: 2, ..Config::default() }).await;
    let first = world.group(&["bob"]).await;
    let other = world.ask("cy", "create", json!({ "kind": "group", "title": "t", "members": ["bob"] })).await;
    world.ask("ann", "open", json!({ "user": "bob" })).await;
    world.restart().await;
    let third = world.ask("dan", "create", json!({ "kind": "group", "title": "t" })).await;
    let told = world.ask("dan", "add", json!({ "conversation": third["id"], "users": ["bob", "eve"] })).await;
    assert_eq!((&told["added"], &told["failed"][0]["user"]), (&json!(["eve"]), &json!("bob")));
    let crowded = json!({ "kind": "group", "title": "t", "members": ["bob"] });
    assert_eq!(world.refused("dan", "create", crowded).await, 600);
    world.ask("dan", "create", json!({ "kind": "group", "title": "t" })).await;
    assert_eq!(world.refused("dan", "create", json!({ "kind": "group", "title": "t" })).await, 603);
    // Who leaves one has room for another.
    world.ask("bob", "leave", json!({ "conversation": other["id"] })).await;
    let told = world.ask("dan", "add", json!({ "conversation": third["id"], "users": ["bob"] })).await;
    assert_eq!(told["added"], json!(["bob"]));
    world.ask("ann", "dismiss", json!({ "conversation": first })).await;
    world.ask("bob", "create", json!({ "kind": "group", "title": "t" })).await;
}

#[tokio::test]
async fn who_is_removed_or_left_hears_and_says_nothing_more() {
    let mut world = World::new().await;
    let id = world.group(&["bob", "cy", "dan"]).await;
    let (mut bob, mut cy) = (world.stream("bob").await, world.stream("cy").await);
    world.say("bob", &id).await;
    let told =
        world.ask("ann", "remove", json!({ "conversation": id, "users": ["bob", "zoe", "ann"] })).await;
    assert_eq!(told["removed"], json!(["bob"]));
    assert_eq!(told["failed"].as_array().unwrap().len(), 2);
    assert_eq!(bob.event("gone").await, json!({ "event": "gone", "conversation": id, "reason": "removed" }));
    assert_eq!(cy.event("members").await["removed"], json!(["bob"]));
    let words = json!({ "conversation": id, "content": text("still here?") });
    assert_eq!(world.refused("bob", "send", words.clone()).await, 610);
    assert_eq!(world.publish("bob", &format!("im/c/{id}"), text("by MQTT")).await.unwrap_err().code, 610);
    assert!(world.listener("bob", &format!("im/c/{id}")).await.is_err());
    assert_eq!(world.refused("bob", "members", json!({ "conversation": id })).await, 610);
    world.ask("dan", "leave", json!({ "conversation": id })).await;
    assert_eq!(cy.event("members").await["left"], "dan");
    world.say("cy", &id).await;
    assert!(bob.all(&world).await.is_empty(), "nothing comes to who is gone");
    world.restart().await;
    assert_eq!(world.refused("bob", "send", words).await, 610);
    assert_eq!(world.ask("bob", "list", json!({})).await["conversations"], json!([]));
    assert_eq!(world.names(&id).await, ["ann", "cy"]);
    assert_eq!(world.count(&id).await, 2);
}

#[tokio::test]
async fn an_owner_stays_until_the_group_is_handed_over_or_alone() {
    let mut world = World::new().await;
    let id = world.group(&["bob"]).await;
    let this = json!({ "conversation": id });
    assert_eq!(world.refused("ann", "leave", this.clone()).await, 633);
    assert_eq!(world.refused("bob", "transfer", json!({ "conversation": id, "user": "bob" })).await, 611);
    assert_eq!(world.refused("ann", "transfer", json!({ "conversation": id, "user": "zoe" })).await, 620);
    let mut bob = world.stream("bob").await;
    world.ask("ann", "transfer", json!({ "conversation": id, "user": "bob" })).await;
    let told = bob.event("role").await;
    assert_eq!((&told["user"], &told["role"]), (&json!("bob"), &json!("owner")));
    world.restart().await;
    let entry = world.ask("ann", "conversation", this.clone()).await;
    assert_eq!((&entry["role"], &entry["info"]["owner"]), (&json!("admin"), &json!("bob")));
    world.ask("ann", "leave", this.clone()).await;
    // The last one who goes ends it.
    world.ask("bob", "leave", this.clone()).await;
    assert_eq!(world.refused("bob", "conversation", this.clone()).await, 632);
    world.restart().await;
    assert_eq!(world.refused("ann", "join", this).await, 632);
}

#[tokio::test]
async fn a_dismissed_group_is_gone_for_all_and_says_so() {
    let mut world = World::new().await;
    let made =
        json!({ "kind": "group", "title": "Walks", "members": ["bob"], "public": true, "handle": "walks" });
    let id = world.ask("ann", "create", made).await["id"].as_str().unwrap().to_owned();
    let link = world.ask("ann", "link", json!({ "conversation": id })).await["link"].clone();
    let this = json!({ "conversation": id });
    let mut bob = world.stream("bob").await;
    assert_eq!(world.refused("bob", "dismiss", this.clone()).await, 611);
    world.ask("ann", "dismiss", this.clone()).await;
    assert_eq!(bob.event("gone").await["reason"], "dismissed");
    for again in 0..2 {
        let words = json!({ "conversation": id, "content": text("x") });
        assert_eq!(world.refused("bob", "send", words).await, 632, "{again}");
        assert_eq!(world.refused("ann", "dismiss", this.clone()).await, 632);
        assert_eq!(world.refused("ann", "update", json!({ "conversation": id, "title": "x" })).await, 632);
        assert_eq!(
            world.refused("ann", "settings", json!({ "conversation": id, "pinned": true })).await,
            632
        );
        assert_eq!(world.refused("zoe", "join", json!({ "link": link })).await, 632);
        assert_eq!(world.ask("bob", "list", json!({})).await["conversations"], json!([]));
        assert_eq!(
            world.ask("zoe", "discover", json!({ "text": "walks" })).await["conversations"],
            json!([])
        );
        world.restart().await;
    }
    // Its name is free again.
    world.ask("zoe", "create", json!({ "kind": "group", "title": "t", "handle": "walks" })).await;
}

#[tokio::test]
async fn only_admins_change_what_a_group_says_of_itself() {
    let mut world = World::new().await;
    let id = world.group(&["bob", "cy"]).await;
    let mut bob = world.stream("bob").await;
    let title = |title: &str| json!({ "conversation": id, "title": title });
    assert_eq!(world.refused("bob", "update", title("Runs")).await, 611);
    assert_eq!(world.refused("zoe", "update", title("Runs")).await, 610);
    let body = json!({ "conversation": id, "title": "Runs", "announcement": "At nine", "about": "",
                       "attributes": { "a": 1, "b": 2 }, "mute_all": false });
    let entry = world.ask("ann", "update", body).await;
    assert_eq!(
        (&entry["title"], &entry["announcement"], &entry["version"]),
        (&json!("Runs"), &json!("At nine"), &json!(2))
    );
    let told = bob.event("info").await;
    let changed = json!({ "title": "Runs", "announcement": "At nine", "attributes": { "a": 1, "b": 2 } });
    assert_eq!((&told["changed"], &told["version"], &told["by"]), (&changed, &json!(2), &json!("ann")));
    // What is so already is no change.
    assert_eq!(world.ask("ann", "update", title("Runs")).await["version"], 2);
    world.ask("ann", "role", json!({ "conversation": id, "user": "bob", "role": "admin" })).await;
    let body = json!({ "conversation": id, "announcement": "", "attributes": { "a": null } });
    let entry = world.ask("bob", "update", body).await;
    assert_eq!((&entry["announcement"], &entry["info"]["attributes"]), (&Value::Null, &json!({ "b": 2 })));
    world.restart().await;
    let entry = world.ask("cy", "conversation", json!({ "conversation": id })).await;
    assert_eq!((&entry["title"], &entry["version"]), (&json!("Runs"), &json!(3)));
    for bad in [
        json!({ "title": "" }),
        json!({ "announcement": "x".repeat(9000) }),
        json!({ "join": "now" }),
        json!({ "owner": "cy" }),
    ] {
        let mut body = bad;
        body["conversation"] = json!(id);
        assert_eq!(world.refused("ann", "update", body.clone()).await, 600, "{body}");
    }
    let direct = world.ask("ann", "open", json!({ "user": "bob" })).await;
    assert_eq!(
        world.refused("ann", "update", json!({ "conversation": direct["id"], "title": "x" })).await,
        611
    );
    assert_eq!(
        world.refused("ann", "update", json!({ "conversation": "gaaaaaaaaaaaaaaaa", "title": "x" })).await,
        620
    );
}

#[tokio::test]
async fn changes_of_two_admins_at_once_are_both_there() {
    let mut world = World::new().await;
    let id = world.group(&["bob", "cy", "d1", "d2"]).await;
    world.ask("ann", "role", json!({ "conversation": id, "user": "bob", "role": "admin" })).await;
    let update = |user, what: Value| {
        let mut body = what;
        body["conversation"] = json!(id);
        world.start(user, "update", body)
    };
    let (one, other, third) = (
        update("ann", json!({ "title": "One", "attributes": { "a": 1 } })),
        update("bob", json!({ "about": "Other", "attributes": { "b": 2 } })),
        world.start("bob", "remove", json!({ "conversation": id, "users": ["cy"] })),
    );
    let fourth = world.start("ann", "add", json!({ "conversation": id, "users": ["e1", "e2"] }));
    let fifth = world.start("ann", "remove", json!({ "conversation": id, "users": ["cy", "d1"] }));
    let (one, other, third, fourth, fifth) = tokio::join!(one, other, third, fourth, fifth);
    one.unwrap();
    other.unwrap();
    fourth.unwrap();
    let (third, fifth) = (third.unwrap(), fifth.unwrap());
    let removed = third["removed"].as_array().unwrap().len() + fifth["removed"].as_array().unwrap().len();
    assert_eq!(removed, 2, "cy went once, d1 once: {third} {fifth}");
    for _ in 0..2 {
        let entry = world.ask("ann", "conversation", json!({ "conversation": id })).await;
        assert_eq!((&entry["title"], &entry["info"]["about"]), (&json!("One"), &json!("Other")));
        assert_eq!(entry["info"]["attributes"], json!({ "a": 1, "b": 2 }));
        assert_eq!((&entry["version"], &entry["members"]), (&json!(3), &json!(5)));
        assert_eq!(world.names(&id).await, ["ann", "bob", "d2", "e1", "e2"]);
        world.restart().await;
    }
}

#[tokio::test]
async fn two_owners_to_be_and_one_dismissal_leave_one_truth() {
    let mut world = World::new().await;
    let id = world.group(&["bob", "cy"]).await;
    let transfer = |to: &str| world.start("ann", "transfer", json!({ "conversation": id, "user": to }));
    let (one, other) = (transfer("bob"), transfer("cy"));
    let dismiss = world.start("ann", "dismiss", json!({ "conversation": id }));
    let (one, other, dismiss) = tokio::join!(one, other, dismiss);
    one.unwrap();
    assert_eq!(other.unwrap_err().code, 611);
    assert_eq!(dismiss.unwrap_err().code, 611);
    world.restart().await;
    let told = world.ask("bob", "members", json!({ "conversation": id })).await;
    let roles: Vec<_> =
        told["members"].as_array().unwrap().iter().map(|m| (m["user"].clone(), m["role"].clone())).collect();
    let wanted = [("bob", "owner"), ("ann", "admin"), ("cy", "member")].map(|(u, r)| (json!(u), json!(r)));
    assert_eq!(roles, wanted);
}

#[tokio::test]
async fn a_group_of_ten_thousand_is_read_by_pages_and_changed_by_rows() {
    let mut world = World::new().await;
    let id = world.group(&[]).await;
    for thousand in 0..10 {
        let count = if thousand == 9 { 999 } else { 1000 };
        let users: Vec<String> = (0..count).map(|n| format!("u{:05}", thousand * 1000 + n)).collect();
        let told = world.ask("ann", "add", json!({ "conversation": id, "users": users })).await;
        assert_eq!(told["added"].as_array().unwrap().len(), count);
    }
    assert_eq!(world.refused("ann", "add", json!({ "conversation": id, "users": ["one more"] })).await, 634);
    world.ask("ann", "role", json!({ "conversation": id, "user": "u05000", "role": "admin" })).await;
    world.restart().await;
    let (mut all, mut after) = (Vec::new(), Value::Null);
    loop {
        let told =
            world.ask("u00001", "members", json!({ "conversation": id, "limit": 700, "after": after })).await;
        all.extend(
            told["members"].as_array().unwrap().iter().map(|m| m["user"].as_str().unwrap().to_owned()),
        );
        after = told["next"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(all.len(), 10_000);
    assert_eq!(all[..3], ["ann", "u05000", "u00000"]);
    assert!(all[2..].is_sorted() && all.iter().collect::<std::collections::HashSet<_>>().len() == 10_000);
    let admins = world.ask("u00001", "members", json!({ "conversation": id, "role": "admin" })).await;
    assert_eq!(admins["members"].as_array().unwrap().len(), 1);
    assert_eq!(world.refused("ann", "members", json!({ "conversation": id, "after": "x" })).await, 600);
    world.say("u09998", &id).await;
    assert_eq!(world.ask("u00001", "list", json!({})).await["unread"], 1);
    world.ask("ann", "dismiss", json!({ "conversation": id })).await;
    world.restart().await;
    assert_eq!(world.ask("u00001", "list", json!({})).await["conversations"], json!([]));
}
