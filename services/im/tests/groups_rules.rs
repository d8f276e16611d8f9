//! Groups: who may do what to whom, the ways in, and what everybody sets for themselves.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use std::time::Duration;

use serde_json::{Value, json};
use world::World;

const DAY: Duration = Duration::from_secs(86_400);

fn text(words: &str) -> Value {
    json!({ "kind": "text", "text": words })
}

#[tokio::test]
async fn roles_say_who_may_do_what_to_whom() {
    let world = World::new().await;
    let id = world.group(&["bob", "cy", "dan"]).await;
    let of = |user: &str| json!({ "conversation": id, "user": user });
    let with = |user: &str, name: &str, value: Value| {
        let mut body = of(user);
        body[name] = value;
        body
    };
    for user in ["bob", "cy"] {
        world.ask("ann", "role", with(user, "role", json!("admin"))).await;
    }
    assert_eq!(world.refused("bob", "role", with("dan", "role", json!("admin"))).await, 611);
    assert_eq!(world.refused("ann", "role", with("ann", "role", json!("member"))).await, 611);
    assert_eq!(world.refused("ann", "role", with("bob", "role", json!("owner"))).await, 600);
    assert_eq!(world.refused("ann", "role", with("zoe", "role", json!("admin"))).await, 620);
    // Admins do nothing to each other, or to the owner; members to nobody.
    for (me, them) in [("bob", "cy"), ("bob", "ann"), ("dan", "bob"), ("bob", "bob")] {
        assert_eq!(world.refused(me, "mute", with(them, "seconds", json!(60))).await, 611, "{me} {them}");
        assert_eq!(world.refused(me, "ban", of(them)).await, 611, "{me} {them}");
    }
    let told = world.ask("bob", "remove", json!({ "conversation": id, "users": ["cy", "ann"] })).await;
    assert_eq!(told["removed"], json!([]));
    assert_eq!(world.refused("dan", "remove", json!({ "conversation": id, "users": ["bob"] })).await, 611);
    assert_eq!(world.refused("dan", "banned", json!({ "conversation": id })).await, 611);
    assert_eq!(world.refused("dan", "dismiss", json!({ "conversation": id })).await, 611);
    assert_eq!(world.refused("bob", "dismiss", json!({ "conversation": id })).await, 611);
    world.ask("ann", "role", with("bob", "role", json!("member"))).await;
    assert_eq!(world.refused("bob", "mute", with("dan", "seconds", json!(60))).await, 611);
    world.ask("ann", "ban", of("cy")).await;
    assert_eq!(world.names(&id).await, ["ann", "bob", "dan"]);
}

#[tokio::test]
async fn a_mute_ends_by_itself_and_can_be_taken_back() {
    let mut world = World::new().await;
    let id = world.group(&["bob"]).await;
    let mute = |seconds: u64| json!({ "conversation": id, "user": "bob", "seconds": seconds });
    let words = json!({ "conversation": id, "content": text("x") });
    let mut bob = world.stream("bob").await;
    world.ask("ann", "mute", mute(60)).await;
    assert_eq!(bob.event("entry").await["entry"]["muted_until"], world.now() + 60_000);
    assert_eq!(bob.event("mute").await["until"], world.now() + 60_000);
    assert_eq!(world.refused("bob", "send", words.clone()).await, 612);
    world.restart().await;
    assert_eq!(world.publish("bob", &format!("im/c/{id}"), text("x")).await.unwrap_err().code, 612);
    world.pass(Duration::from_secs(61)).await;
    world.say("bob", &id).await;
    world.ask("ann", "mute", mute(u64::MAX)).await;
    world.pass(DAY * 5000).await;
    assert_eq!(world.refused("bob", "send", words).await, 612);
    world.ask("ann", "mute", mute(0)).await;
    world.say("bob", &id).await;
}

#[tokio::test]
async fn where_all_are_muted_admins_and_those_who_are_allowed_speak() {
    let mut world = World::new().await;
    let id = world.group(&["bob", "cy"]).await;
    let words = json!({ "conversation": id, "content": text("x") });
    world.ask("ann", "update", json!({ "conversation": id, "mute_all": true })).await;
    assert_eq!(world.refused("bob", "send", words.clone()).await, 612);
    world.say("ann", &id).await;
    assert_eq!(world.refused("bob", "allow", json!({ "conversation": id, "user": "bob" })).await, 611);
    world.ask("ann", "allow", json!({ "conversation": id, "user": "bob" })).await;
    world.restart().await;
    world.say("bob", &id).await;
    assert_eq!(world.refused("cy", "send", words.clone()).await, 612);
    world.ask("ann", "allow", json!({ "conversation": id, "user": "bob", "off": true })).await;
    assert_eq!(world.refused("bob", "send", words).await, 612);
}

#[tokio::test]
async fn who_is_banned_does_not_come_back_until_it_is_over() {
    let mut world = World::new().await;
    let id = world.group(&["bob", "cy"]).await;
    let this = json!({ "conversation": id });
    world.ask("ann", "update", json!({ "conversation": id, "join": "open" })).await;
    let link = world.ask("ann", "link", this.clone()).await["link"].clone();
    let mut bob = world.stream("bob").await;
    world.ask("ann", "ban", json!({ "conversation": id, "user": "bob", "seconds": 3600 })).await;
    assert_eq!(bob.event("gone").await["reason"], "banned");
    world.restart().await;
    let words = json!({ "conversation": id, "content": text("x") });
    assert_eq!(world.refused("bob", "send", words).await, 613);
    assert_eq!(world.refused("bob", "join", this.clone()).await, 613);
    assert_eq!(world.refused("bob", "join", json!({ "link": link })).await, 613);
    let told = world.ask("ann", "banned", this.clone()).await;
    assert_eq!(told["banned"], json!([{ "user": "bob", "until": world.now() + 3_600_000 }]));
    world.pass(Duration::from_secs(3601)).await;
    assert_eq!(world.ask("ann", "banned", this.clone()).await["banned"], json!([]));
    world.ask("bob", "join", this.clone()).await;
    world.ask("ann", "remove", json!({ "conversation": id, "users": ["bob"], "ban_s": 60 })).await;
    assert_eq!(world.refused("bob", "join", this.clone()).await, 613);
    world.ask("ann", "unban", json!({ "conversation": id, "user": "bob" })).await;
    world.ask("bob", "join", this.clone()).await;
    // Who was never in it can be kept out, too; who does not exist is nobody.
    world.ask("ann", "ban", json!({ "conversation": id, "user": "eve" })).await;
    assert_eq!(world.refused("eve", "join", this.clone()).await, 613);
    assert_eq!(world.refused("ann", "ban", json!({ "conversation": id, "user": "nobody" })).await, 620);
    assert_eq!(
        world.refused("ann", "ban", json!({ "conversation": id, "user": "eve", "seconds": 0 })).await,
        600
    );
}

#[tokio::test]
async fn a_link_lets_in_as_many_as_it_says_and_no_more() {
    let mut world = World::new().await;
    let id = world.group(&["bob"]).await;
    let link = world.ask("ann", "link", json!({ "conversation": id, "uses": 3 })).await["link"].clone();
    assert!(link.as_str().unwrap().len() >= 40, "not to be guessed: {link}");
    // Ten at once: three come in.
    let join = |n: usize| world.start(&format!("u{n}"), "join", json!({ "link": link }));
    let all = futures_util::future::join_all((0..10).map(join)).await;
    let refused: Vec<u16> = all.iter().filter_map(|told| told.as_ref().err().map(|no| no.code)).collect();
    assert_eq!(refused, [620; 7]);
    assert_eq!(world.count(&id).await, 5);
    world.restart().await;
    assert_eq!(world.count(&id).await, 5);
    let link = world.ask("bob", "link", json!({ "conversation": id, "expires_s": 60 })).await["link"].clone();
    world.ask("v1", "join", json!({ "link": link })).await;
    world.ask("v1", "join", json!({ "link": link })).await;
    world.pass(Duration::from_secs(61)).await;
    assert_eq!(world.refused("v2", "join", json!({ "link": link })).await, 620);
    let link = world.ask("bob", "link", json!({ "conversation": id })).await["link"].clone();
    assert_eq!(world.refused("bob", "unlink", json!({ "conversation": id })).await, 611);
    world.ask("ann", "unlink", json!({ "conversation": id })).await;
    assert_eq!(world.refused("v2", "join", json!({ "link": link })).await, 620);
    // The link of somebody who was removed is no good.
    let link = world.ask("bob", "link", json!({ "conversation": id })).await["link"].clone();
    world.ask("ann", "remove", json!({ "conversation": id, "users": ["bob"] })).await;
    assert_eq!(world.refused("v2", "join", json!({ "link": link })).await, 620);
    for bad in [
        json!({ "link": "x" }),
        json!({ "link": format!("{id}.") }),
        json!({ "link": format!("{id}.{}", "0".repeat(32)) }),
    ] {
        assert_eq!(world.refused("v2", "join", bad).await, 620);
    }
    for bad in [json!({ "uses": 0 }), json!({ "expires_s": 0 }), json!({ "expires_s": u64::MAX })] {
        let mut body = bad;
        body["conversation"] = json!(id);
        assert_eq!(world.refused("ann", "link", body).await, 600);
    }
    assert_eq!(world.refused("v2", "join", json!({})).await, 600);
}

#[tokio::test]
async fn who_asks_waits_for_an_admin() {
    let mut world = World::new().await;
    let id = world.group(&["bob"]).await;
    let this = json!({ "conversation": id });
    world.ask("ann", "update", json!({ "conversation": id, "join": "request" })).await;
    let (mut ann, mut dan) = (world.stream("ann").await, world.stream("dan").await);
    let told = world.ask("cy", "join", json!({ "conversation": id, "text": "let me in" })).await;
    assert_eq!(told, json!({ "requested": true }));
    let asked = ann.event("request").await;
    assert_eq!((&asked["user"], &asked["text"]), (&json!("cy"), &json!("let me in")));
    world.ask("dan", "join", this.clone()).await;
    world.ask("dan", "join", this.clone()).await;
    world.restart().await;
    let mut ann = world.stream("ann").await;
    drop(std::mem::replace(&mut dan, world.stream("dan").await));
    assert_eq!(world.refused("bob", "requests", this.clone()).await, 611);
    let told = world.ask("ann", "requests", this.clone()).await;
    assert_eq!((&told["requests"][0]["user"], &told["requests"][1]["user"]), (&json!("cy"), &json!("dan")));
    let decide = |user: &str, accept: bool| json!({ "conversation": id, "user": user, "accept": accept });
    assert_eq!(world.refused("bob", "decide", decide("cy", true)).await, 611);
    assert_eq!(world.refused("ann", "decide", decide("zoe", true)).await, 620);
    world.ask("ann", "decide", decide("cy", true)).await;
    assert_eq!(ann.event("members").await["joined"], "cy");
    world.ask("ann", "decide", decide("dan", false)).await;
    assert_eq!(dan.event("declined").await["conversation"], json!(id));
    // Two admins decide at once: one of them.
    assert_eq!(world.refused("ann", "decide", decide("cy", false)).await, 620);
    assert_eq!(world.names(&id).await, ["ann", "bob", "cy"]);
    // A member's link would be the way round the admins.
    assert_eq!(world.refused("bob", "link", this).await, 611);
}

#[tokio::test]
async fn who_comes_later_sees_what_the_group_shows_and_has_nothing_unread() {
    let mut world = World::new().await;
    let id = world.group(&["bob"]).await;
    for _ in 0..5 {
        world.say("bob", &id).await;
    }
    world.ask("ann", "add", json!({ "conversation": id, "users": ["cy"] })).await;
    let entry = world.ask("cy", "conversation", json!({ "conversation": id })).await;
    assert_eq!((&entry["unread"], &entry["read"], &entry["last"]["seq"]), (&json!(0), &json!(5), &json!(5)));
    world.ask("ann", "update", json!({ "conversation": id, "history": "joined" })).await;
    world.restart().await;
    let entry = world.ask("cy", "conversation", json!({ "conversation": id })).await;
    assert_eq!(entry["last"], Value::Null, "what was before is not shown");
    let past = world.ask("cy", "history", json!({ "conversation": id })).await;
    assert_eq!(past["messages"], json!([]));
    assert_eq!(
        world.ask("ann", "history", json!({ "conversation": id })).await["messages"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    world.say("bob", &id).await;
    let entry = world.ask("cy", "conversation", json!({ "conversation": id })).await;
    assert_eq!((&entry["unread"], &entry["last"]["seq"]), (&json!(1), &json!(6)));
}

#[tokio::test]
async fn members_have_names_and_attributes_of_their_own() {
    let mut world = World::new().await;
    let id = world.group(&["bob", "cy"]).await;
    let mut cy = world.stream("cy").await;
    let body = json!({ "conversation": id, "nick": "Bobby", "attributes": { "team": 7 } });
    world.ask("bob", "member", body).await;
    let told = cy.event("member").await;
    assert_eq!(
        (&told["user"], &told["nick"], &told["attributes"]),
        (&json!("bob"), &json!("Bobby"), &json!({ "team": 7 }))
    );
    assert_eq!(
        world.refused("cy", "member", json!({ "conversation": id, "user": "bob", "nick": "B" })).await,
        611
    );
    assert_eq!(
        world.refused("bob", "member", json!({ "conversation": id, "user": "ann", "nick": "B" })).await,
        611
    );
    world.ask("ann", "member", json!({ "conversation": id, "user": "cy", "nick": "C" })).await;
    assert_eq!(
        world.refused("ann", "member", json!({ "conversation": id, "user": "zoe", "nick": "C" })).await,
        620
    );
    assert_eq!(
        world.refused("bob", "member", json!({ "conversation": id, "nick": "x".repeat(129) })).await,
        600
    );
    world.restart().await;
    let told = world.ask("ann", "members", json!({ "conversation": id })).await;
    assert_eq!(
        (&told["members"][1]["nick"], &told["members"][1]["attributes"]),
        (&json!("Bobby"), &json!({ "team": 7 }))
    );
    world
        .ask("bob", "member", json!({ "conversation": id, "nick": "", "attributes": { "team": null } }))
        .await;
    let told = world.ask("ann", "members", json!({ "conversation": id })).await;
    assert_eq!(told["members"][1].as_object().unwrap().len(), 3, "{told}");
}

#[tokio::test]
async fn channels_are_written_by_admins_and_read_by_all() {
    let world = World::new().await;
    let made =
        world.ask("ann", "create", json!({ "kind": "channel", "title": "News", "members": ["bob"] })).await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["info"]["invite"], "admins");
    let words = json!({ "conversation": id, "content": text("x") });
    assert_eq!(world.refused("bob", "send", words).await, 611);
    assert_eq!(world.refused("bob", "add", json!({ "conversation": id, "users": ["cy"] })).await, 611);
    world.say("ann", id).await;
    assert_eq!(world.ask("bob", "list", json!({})).await["unread"], 1);
    world.ask("ann", "allow", json!({ "conversation": id, "user": "bob" })).await;
    world.say("bob", id).await;
}

#[tokio::test]
async fn settings_are_told_to_all_own_devices_and_kept() {
    let mut world = World::new().await;
    let id = world.group(&["bob"]).await;
    let (mut pad, mut bob) = (world.device("ann", "pad").await, world.stream("bob").await);
    let set = |what: Value| {
        let mut body = what;
        body["conversation"] = json!(id);
        body
    };
    let body = set(
        json!({ "pinned": true, "notify": "mentions", "notify_until": 99, "draft": "half a th", "marked_unread": true }),
    );
    world.ask("ann", "settings", body).await;
    let told = pad.event("entry").await["entry"].clone();
    assert_eq!(
        (&told["draft"], &told["notify"], &told["marked_unread"]),
        (&json!("half a th"), &json!("mentions"), &json!(true))
    );
    assert!(told["pinned_at"].as_u64().is_some());
    assert!(bob.all(&world).await.is_empty(), "they are nobody else's");
    world.restart().await;
    let entry = world.ask("ann", "conversation", json!({ "conversation": id })).await;
    assert_eq!((&entry["draft"], &entry["notify_until"]), (&json!("half a th"), &json!(99)));
    let entry = world
        .ask(
            "ann",
            "settings",
            set(json!({ "pinned": false, "draft": "", "notify": "all", "marked_unread": false })),
        )
        .await;
    assert_eq!(
        (&entry["draft"], &entry["pinned_at"], &entry["marked_unread"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(world.refused("ann", "settings", set(json!({ "draft": "x".repeat(20_000) }))).await, 600);
    assert_eq!(world.refused("zoe", "settings", set(json!({ "pinned": true }))).await, 610);
    assert_eq!(world.refused("ann", "settings", set(json!({ "notify": "loud" }))).await, 600);
}

#[tokio::test]
async fn a_hidden_conversation_comes_back_with_the_next_message() {
    let mut world = World::new().await;
    let id = world.group(&["bob"]).await;
    world.say("bob", &id).await;
    let entry = world.ask("ann", "settings", json!({ "conversation": id, "hidden": true })).await;
    assert_eq!(entry["hidden"], true);
    world.restart().await;
    let entry = world.ask("ann", "conversation", json!({ "conversation": id })).await;
    assert_eq!(entry["hidden"], true);
    world.say("bob", &id).await;
    let entry = world.ask("ann", "conversation", json!({ "conversation": id })).await;
    assert_eq!(entry["hidden"], Value::Null);
}

#[tokio::test]
async fn what_one_clears_is_gone_for_oneself_only() {
    let mut world = World::new().await;
    let id = world.group(&["bob"]).await;
    for _ in 0..4 {
        world.say("bob", &id).await;
    }
    let entry = world.ask("ann", "clear", json!({ "conversation": id, "through": 3 })).await;
    assert_eq!((&entry["unread"], &entry["last"]["seq"]), (&json!(1), &json!(4)));
    let entry = world.ask("ann", "clear", json!({ "conversation": id })).await;
    assert_eq!((&entry["unread"], &entry["last"]), (&json!(0), &Value::Null));
    // It does not come back.
    world.ask("ann", "clear", json!({ "conversation": id, "through": 1 })).await;
    world.restart().await;
    let entry = world.ask("ann", "conversation", json!({ "conversation": id })).await;
    assert_eq!((&entry["unread"], &entry["last"]), (&json!(0), &Value::Null));
    let entry = world.ask("bob", "conversation", json!({ "conversation": id })).await;
    assert_eq!(entry["last"]["seq"], 4);
    assert_eq!(world.refused("ann", "clear", json!({ "conversation": id, "through": 5 })).await, 620);
    assert_eq!(world.refused("zoe", "clear", json!({ "conversation": id })).await, 610);
}

#[tokio::test]
async fn a_handle_is_one_groups_even_if_two_want_it_at_once() {
    let mut world = World::new().await;
    let make = |user: &str, handle: &str| {
        let body = json!({ "kind": "group", "title": "t", "public": true, "handle": handle });
        world.start(user, "create", body)
    };
    let (one, other) = (make("ann", "Chess"), make("bob", "chess"));
    let (one, other) = tokio::join!(one, other);
    let won = [one.is_ok(), other.is_ok()];
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let lost = one.as_ref().err().or_else(|| other.as_ref().err()).unwrap();
    assert_eq!(lost.code, 631);
    let (owner, id) = if won[0] { ("ann", one.unwrap()) } else { ("bob", other.unwrap()) };
    let id = id["id"].clone();
    world.restart().await;
    let third = world.ask("cy", "create", json!({ "kind": "group", "title": "t" })).await["id"].clone();
    assert_eq!(world.refused("cy", "update", json!({ "conversation": third, "handle": "chess" })).await, 631);
    let entry = world.ask(owner, "update", json!({ "conversation": id, "handle": "chess2" })).await;
    assert_eq!(entry["info"]["handle"], "chess2");
    world.ask("cy", "update", json!({ "conversation": third, "handle": "chess" })).await;
    world.ask("cy", "update", json!({ "conversation": third, "handle": "" })).await;
    world.ask("dan", "create", json!({ "kind": "group", "title": "t", "handle": "chess" })).await;
    // Who may not change a group takes no name away.
    assert_eq!(world.refused("eve", "update", json!({ "conversation": third, "handle": "golf" })).await, 610);
    world.ask("dan", "create", json!({ "kind": "group", "title": "t", "handle": "golf" })).await;
}

#[tokio::test]
async fn public_groups_are_found_and_others_are_not() {
    let mut world = World::new().await;
    for (title, public, handle) in
        [("Rust 中文社区", true, Some("rustcn")), ("Rust Users", true, None), ("Rust secrets", false, None)]
    {
        let mut body = json!({ "kind": "group", "title": title, "public": public, "join": "open" });
        if let Some(handle) = handle {
            body["handle"] = json!(handle);
        }
        world.ask("ann", "create", body).await;
    }
    let find = |text: &str| world.start("zoe", "discover", json!({ "text": text }));
    let titles = |told: Value| -> Vec<String> {
        let mut titles: Vec<String> = told["conversations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["title"].as_str().unwrap().to_owned())
            .collect();
        titles.sort();
        titles
    };
    assert_eq!(titles(find("rust").await.unwrap()), ["Rust Users", "Rust 中文社区"]);
    assert_eq!(titles(find("社区").await.unwrap()), ["Rust 中文社区"]);
    assert_eq!(titles(find("@RustCN").await.unwrap()), ["Rust 中文社区"]);
    assert!(titles(find("secrets").await.unwrap()).is_empty());
    assert!(titles(find("!?").await.unwrap()).is_empty());
    assert_eq!(find(&"x".repeat(300)).await.unwrap_err().code, 600);
    let first = world.ask("zoe", "discover", json!({ "limit": 1 })).await;
    let second = world.ask("zoe", "discover", json!({ "limit": 1, "after": first["next"] })).await;
    assert_ne!(first["conversations"][0]["id"], second["conversations"][0]["id"]);
    assert_eq!(second["next"], Value::Null);
    let id = world.ask("zoe", "discover", json!({ "text": "users" })).await["conversations"][0]["id"].clone();
    world.ask("zoe", "join", json!({ "conversation": id })).await;
    world.ask("ann", "update", json!({ "conversation": id, "title": "Crab fans" })).await;
    world.restart().await;
    let told = world.ask("eve", "discover", json!({ "text": "crab" })).await;
    assert_eq!((&told["conversations"][0]["id"], &told["conversations"][0]["members"]), (&id, &json!(2)));
    assert_eq!(world.ask("eve", "discover", json!({ "text": "users" })).await["conversations"], json!([]));
    world.ask("ann", "update", json!({ "conversation": id, "public": false })).await;
    assert_eq!(world.ask("eve", "discover", json!({ "text": "crab" })).await["conversations"], json!([]));
}

#[tokio::test]
async fn direct_conversations_have_no_members_to_change() {
    let world = World::new().await;
    let id = world.ask("ann", "open", json!({ "user": "bob" })).await["id"].clone();
    for (op, body) in [
        ("add", json!({ "users": ["cy"] })),
        ("remove", json!({ "users": ["bob"] })),
        ("leave", json!({})),
        ("join", json!({})),
        ("link", json!({})),
        ("requests", json!({})),
        ("role", json!({ "user": "bob", "role": "admin" })),
        ("transfer", json!({ "user": "bob" })),
        ("dismiss", json!({})),
        ("mute", json!({ "user": "bob", "seconds": 9 })),
        ("ban", json!({ "user": "bob" })),
        ("allow", json!({ "user": "bob" })),
        ("member", json!({ "nick": "x" })),
    ] {
        let mut body = body;
        body["conversation"] = id.clone();
        assert_eq!(world.refused("ann", op, body.clone()).await, 611, "{op} {body}");
    }
    for id in ["", "x", "gaaaaaaaaaaaaaaaa", "../../etc", "g".repeat(65).as_str()] {
        assert_eq!(world.refused("ann", "leave", json!({ "conversation": id })).await, 620, "{id}");
    }
}
