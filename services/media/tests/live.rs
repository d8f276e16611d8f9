//! The service `live`: what the server says of broadcasts, what is asked of it, who may what.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use serde_json::{Value, json};
use world::{BEGIN, Made, ROOT, World, name};
use yizhan_media::{Name, Party, Refused};

fn of(name: &Name) -> Value {
    json!({ "app": &*name.app, "name": &*name.name })
}

fn with(name: &Name, more: Value) -> Value {
    let mut all = of(name);
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

#[tokio::test]
async fn who_listens_hears_a_broadcast_begin_be_watched_and_end() {
    let world = World::new().await;
    let room = name("room");
    let mut early = world.listener("zoe", "live/+/+").await.unwrap();
    let publisher = world.on_air(&room, Some("ann"), 100).await;
    let begun = early.key("on_air").await;
    assert_eq!(
        (&begun["since"], &begun["user"], &begun["lost"]),
        (&json!(BEGIN), &json!("ann"), &json!(false))
    );
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(early.key("viewers").await, json!(0));
    let broadcast = world.media.find(&room).unwrap();
    let _viewer = world.media.viewer(world.now(), &broadcast, Party::by("flv")).unwrap();
    let rung = room.rung("720p").unwrap();
    let _rung = world.on_air(&rung, None, 100).await;
    let on_rung = world.media.find(&rung).unwrap();
    let _other = world.media.viewer(world.now(), &on_rung, Party::by("rtmp")).unwrap();
    let _own = world.media.viewer(world.now(), &broadcast, Party::by("record")).unwrap();
    // One that goes from rung to rung is one.
    let _hls = world.media.viewer(world.now(), &broadcast, Party::by("hls")).unwrap();
    let _same = world.media.viewer(world.now(), &on_rung, Party::by("hls")).unwrap();
    world.pass(Duration::from_secs(1)).await;
    let mut late = world.listener("anonymous", room.topic("").as_str()).await.unwrap();
    assert_eq!(late.key("on_air").await["audio"], json!({ "codec": "AAC", "rate": 48000, "channels": 2 }));
    assert_eq!(early.next(|heard| heard.body["rungs"] == json!(["720p"])).await.topic, "live/live/room");
    assert_eq!(
        early.key("viewers").await,
        json!(3),
        "a rung's viewers are the broadcast's, the server's own do not count"
    );
    world.ask("ann", "title", with(&room, json!({ "title": " A walk \u{754c}" }))).await;
    assert_eq!(early.key("title").await, json!("A walk \u{754c}"));
    publisher.cut_off(world.now());
    assert_eq!(early.next(|heard| heard.key.as_deref() == Some("on_air")).await.body["lost"], true);
    let back = world.on_air(&room, Some("ann"), 100).await;
    assert_eq!(early.key("on_air").await["lost"], false);
    back.end(world.now());
    for key in ["on_air", "viewers", "title"] {
        assert_eq!(early.key(key).await, Value::Null, "{key} is taken away");
    }
    world.settle().await;
    let heard = world.listener("zoe", "live/live/room").await.unwrap().all(&world).await;
    assert!(heard.is_empty(), "nothing is left: {heard:?}");
}

#[tokio::test]
async fn nothing_is_said_where_nothing_has_changed() {
    let world = World::new().await;
    let room = name("room");
    let _publisher = world.on_air(&room, None, 100).await;
    let mut ear = world.listener("zoe", "live/live/room").await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    ear.all(&world).await;
    for _ in 0..5 {
        world.pass(Duration::from_secs(1)).await;
    }
    assert!(ear.all(&world).await.is_empty());
}

#[tokio::test]
async fn only_the_server_says_what_is_on_air() {
    let world = World::new().await;
    let room = name("room");
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    for user in ["ann", "bob", ROOT, "anonymous"] {
        for topic in ["live/live/room", "live/live/room/x", "live/live/room~720p/chat"] {
            let topic = yizhan_hub::Topic::new(topic).unwrap();
            assert_eq!(
                world.put(user, &topic, json!({ "text": "x" })).await.unwrap_err().code,
                710,
                "{topic:?}"
            );
        }
    }
}

#[tokio::test]
async fn broadcasts_are_listed_and_shown_to_those_who_may_watch() {
    let made = Made {
        access: serde_json::from_value(json!({ "app": { "vip": { "play": "accounts" } } })).unwrap(),
        ..Made::default()
    };
    let world = World::with(made).await;
    let (room, gold) = (name("room"), Name::new("vip", "gold").unwrap());
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    let _rung = world.on_air(&room.rung("480p").unwrap(), None, 100).await;
    let _gold = world.on_air(&gold, None, 100).await;
    let names = async |user: &str, body: Value| -> Vec<String> {
        let told = world.ask(user, "list", body).await;
        told["broadcasts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|b| b["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("anonymous", json!({})).await, ["room"]);
    assert_eq!(names("bob", json!({})).await, ["room", "gold"]);
    assert_eq!(names("bob", json!({ "app": "vip" })).await, ["gold"]);
    let shown = world.ask("anonymous", "show", of(&room)).await;
    assert_eq!((&shown["broadcast"]["rungs"], &shown["leads"]), (&json!(["480p"]), &json!(false)));
    assert_eq!((&shown["detail"], &shown["muted"]), (&Value::Null, &Value::Null), "not for everybody");
    let shown = world.ask("ann", "show", of(&room)).await;
    assert_eq!(shown["detail"]["room"]["publisher"]["door"], "rtmp");
    assert!(shown["detail"]["room~480p"].is_object() && shown["recording"] == false);
    assert_eq!(world.refused("anonymous", "show", of(&gold)).await, 710);
    assert_eq!(world.refused("bob", "show", of(&name("other"))).await, 721);
    assert!(world.listener("anonymous", "live/vip/gold").await.is_err());
    assert!(world.listener("anonymous", "live/vip/gold/chat").await.is_err());
    assert!(world.listener("bob", "live/vip/gold/chat").await.is_ok());
    let mut all = world.listener("anonymous", "live/#").await.unwrap();
    let heard = all.all(&world).await;
    assert!(heard.iter().any(|heard| heard.topic == "live/live/room"));
    assert!(heard.iter().all(|heard| heard.topic != "live/vip/gold"), "a wildcard hears no more: {heard:?}");
}

#[tokio::test]
async fn an_account_with_a_token_may_hear_what_is_said_until_it_expires() {
    let made =
        Made { access: serde_json::from_value(json!({ "play": "tokens" })).unwrap(), ..Made::default() };
    let world = World::with(made).await;
    let room = name("room");
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    assert!(world.listener("bob", "live/live/room/chat").await.is_err());
    assert!(world.listener("ann", "live/live/room/chat").await.is_ok(), "the publisher hears it");
    assert_eq!(world.refused("bob", "token", with(&room, json!({ "action": "play" }))).await, 710);
    let body = with(&room, json!({ "action": "play", "valid_s": 60, "once": true }));
    let made = world.ask(ROOT, "token", body).await;
    assert_eq!(made["until"], BEGIN + 60_000);
    let show = with(&room, json!({ "token": made["token"] }));
    assert_eq!(world.refused("anonymous", "enter", show.clone()).await, 713, "anybody would be anonymous");
    assert_eq!(world.ask("bob", "enter", show.clone()).await["until"], BEGIN + 60_000);
    assert_eq!(world.refused("cy", "enter", show.clone()).await, 710, "it was for one time");
    let mut bob = world.listener("bob", "live/live/room/chat").await.unwrap();
    world.say("ann", &room.topic("chat"), "hello").await.unwrap();
    assert_eq!(bob.next(|_| true).await.body["text"], "hello");
    assert!(world.listener("bob", "live/live/other/chat").await.is_err());
    world.pass(Duration::from_secs(61)).await;
    world.say("ann", &room.topic("chat"), "later").await.unwrap();
    assert!(bob.all(&world).await.is_empty(), "each record is asked about");
    assert_eq!(world.refused("bob", "enter", show).await, 202, "expired, and not wrong");
    assert_eq!(world.refused("bob", "enter", with(&room, json!({ "token": "v1.x" }))).await, 710);
}

#[tokio::test]
async fn tokens_are_made_as_admins_want_them_within_bounds() {
    let world = World::new().await;
    let room = name("room");
    let token = async |more: Value| world.asks(ROOT, "token", with(&room, more)).await;
    let made = token(json!({ "action": "publish", "user": "bob", "address": "203.0.113.7" })).await.unwrap();
    let params = format!("token={}", made["token"].as_str().unwrap());
    assert_eq!(world.may(world.wish(&room, true, &params)).await.unwrap().user.as_deref(), Some("bob"));
    let wide = world.ask(ROOT, "token", json!({ "app": "live", "action": "publish" })).await;
    let params = format!("token={}", wide["token"].as_str().unwrap());
    assert!(world.may(world.wish(&name("any"), true, &params)).await.is_ok());
    for bad in [
        json!({ "action": "play", "valid_s": 0 }),
        json!({ "action": "play", "valid_s": u64::MAX }),
        json!({ "action": "play", "user": "" }),
        json!({ "action": "play", "user": "x".repeat(500) }),
        json!({ "action": "play", "address": "here" }),
        json!({ "action": "all" }),
        json!({}),
        json!({ "action": "play", "for": 7 }),
    ] {
        assert_eq!(token(bad.clone()).await.unwrap_err().code, 700, "{bad}");
    }
    let world = World::with(Made { no_secret: true, ..Made::default() }).await;
    assert_eq!(world.refused(ROOT, "token", with(&room, json!({ "action": "play" }))).await, 730);
}

#[tokio::test]
async fn the_publisher_and_admins_lead_a_broadcast_and_nobody_else() {
    let world = World::new().await;
    let room = name("room");
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    for (op, more) in [
        ("title", json!({ "title": "x" })),
        ("kick", json!({})),
        ("kick", json!({ "viewer": 1 })),
        ("mute", json!({ "user": "cy" })),
        ("unmute", json!({ "user": "cy" })),
        ("ban", json!({ "user": "cy" })),
        ("unban", json!({ "user": "cy" })),
        ("chat", json!({ "closed": true })),
        ("record", json!({ "on": true })),
        ("viewers", json!({})),
    ] {
        for user in ["bob", "anonymous"] {
            assert_eq!(world.refused(user, op, with(&room, more.clone())).await, 710, "{user} {op}");
        }
    }
    let broadcast = world.media.find(&room).unwrap();
    let party = Party { address: Some([203, 0, 113, 7].into()), ..Party::by("flv").with_client("player") };
    let viewer = world.media.viewer(world.now(), &broadcast, party).unwrap();
    let watching = world.ask("ann", "viewers", of(&room)).await;
    assert_eq!((&watching["count"], &watching["viewers"][0]["client"]), (&json!(1), &json!("player")));
    assert_eq!(world.refused("ann", "kick", with(&room, json!({ "viewer": 1 }))).await, 720);
    world.ask("ann", "kick", with(&room, json!({ "viewer": viewer.id(), "reason": "rude" }))).await;
    assert_eq!(viewer.kicked().as_deref(), Some("rude"));
    let wrong = [
        ("title", json!({ "title": "a\nb" })),
        ("title", json!({ "title": "x".repeat(201) })),
        ("chat", json!({ "slow_s": 3601 })),
        ("chat", json!({ "fast": 1 })),
    ];
    for (op, more) in wrong {
        assert_eq!(world.refused("ann", op, with(&room, more)).await, 700);
    }
    assert_eq!(world.refused("ann", "title", json!({ "app": "..", "name": "x", "title": "" })).await, 700);
    assert_eq!(world.refused("ann", "nonsense", of(&room)).await, 702);
    assert_eq!(world.refused("ann", "show", json!(["live", "room"])).await, 700, "fields have names");
}

#[tokio::test]
async fn a_kicked_publisher_stays_away_where_an_admin_says_so() {
    let world = World::new().await;
    let room = name("room");
    let publisher = world.on_air(&room, Some("ann"), 100).await;
    assert_eq!(world.refused("ann", "kick", with(&room, json!({ "block_s": 60 }))).await, 710);
    world.ask(ROOT, "kick", with(&room, json!({ "block_s": 60, "reason": "copyright" }))).await;
    assert_eq!(publisher.told_to_go().as_deref(), Some("copyright"));
    assert!(world.media.find(&room).is_none());
    let again = world.may(world.wish(&room, true, "token=ann")).await;
    assert!(matches!(again, Err(Refused::Denied(reason)) if reason.contains("operator")));
    assert!(world.may(world.wish(&name("other"), true, "token=ann")).await.is_ok());
    world.pass(Duration::from_secs(61)).await;
    assert!(world.may(world.wish(&room, true, "token=ann")).await.is_ok());
    assert_eq!(world.refused(ROOT, "kick", of(&room)).await, 721);
}

#[tokio::test]
async fn recording_is_asked_of_the_recorder() {
    let world = World::new().await;
    let room = name("room");
    assert_eq!(world.refused(ROOT, "record", with(&room, json!({ "on": true }))).await, 721);
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    let record = |on: bool| with(&room, json!({ "on": on }));
    assert_eq!(world.ask("ann", "record", record(true)).await["recording"], true);
    assert_eq!(world.ask("ann", "show", of(&room)).await["recording"], true);
    assert_eq!(world.ask(ROOT, "record", record(false)).await["recording"], false);
    world.tape.full.store(true, SeqCst);
    let no = world.asks("ann", "record", record(true)).await.unwrap_err();
    assert_eq!((no.code, no.reason.as_str()), (741, "the disk is full"));
}

#[tokio::test]
async fn titles_and_bans_outlive_the_broadcast_and_the_server() {
    let world = World::new().await;
    let room = name("room");
    let publisher = world.on_air(&room, Some("ann"), 100).await;
    world.ask("ann", "title", with(&room, json!({ "title": "Evening" }))).await;
    world.ask("ann", "ban", with(&room, json!({ "user": "cy" }))).await;
    world.ask("ann", "mute", with(&room, json!({ "user": "dan", "seconds": 3600 }))).await;
    world.ask("ann", "chat", with(&room, json!({ "slow_s": 5 }))).await;
    publisher.end(world.now());
    world.pass(Duration::from_secs(120)).await;
    let world = world.restart().await;
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    let mut ear = world.listener("zoe", "live/live/room").await.unwrap();
    assert_eq!(ear.key("title").await, "Evening");
    let shown = world.ask("ann", "show", of(&room)).await;
    assert_eq!((&shown["slow_s"], &shown["banned"]), (&json!(5), &json!({ "cy": null })));
    assert_eq!(shown["muted"]["dan"], BEGIN + 3_600_000);
    assert_eq!(world.say("cy", &room.topic("chat"), "x").await.unwrap_err().code, 712);
    assert_eq!(world.say("dan", &room.topic("chat"), "x").await.unwrap_err().code, 711);
    world.ask("ann", "unban", with(&room, json!({ "user": "cy" }))).await;
    assert_eq!(world.refused("ann", "unban", with(&room, json!({ "user": "cy" }))).await, 720);
    assert!(world.say("cy", &room.topic("chat"), "x").await.is_ok());
}

#[test]
fn every_operation_has_shapes_of_objects() {
    let operations = yizhan_media::service::Live::operations();
    assert!(operations.len() >= 13);
    for operation in operations {
        assert_eq!(operation.input["type"], "object", "{}", operation.name);
        assert_eq!(operation.output["type"], "object", "{}", operation.name);
        assert!(operation.summary.ends_with('.'));
    }
}
