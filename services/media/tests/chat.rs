//! What people say beside a broadcast, and gifts.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use std::time::Duration;

use serde_json::{Value, json};
use world::{Made, ROOT, World, name};
use yizhan_hub::{Content, link::Durability, link::Publish};
use yizhan_media::chat::config::{Chat, GiftsBy};

fn of(user: &str) -> Value {
    json!({ "app": "live", "name": "room", "user": user })
}

fn chat(chat: Chat) -> Made {
    Made { chat, ..Made::default() }
}

#[tokio::test]
async fn a_text_reaches_all_who_watch_with_its_sender_and_its_place_in_the_broadcast() {
    let world = World::new().await;
    let (room, topic) = (name("room"), name("room").topic("chat"));
    let _publisher = world.on_air(&room, Some("ann"), 5_000).await;
    let mut ear = world.listener("anonymous", topic.as_str()).await.unwrap();
    world
        .put("bob", &topic, json!({ "text": "hi", "color": "#Ff8000", "at": 1500, "mode": "top" }))
        .await
        .unwrap();
    let heard = ear.next(|_| true).await;
    let body =
        json!({ "text": "hi", "color": "#ff8000", "at": 1500, "mode": "top", "user": "bob", "dts": 5000 });
    assert_eq!((heard.from.as_str(), heard.body), ("bob", body));
    world.say("anonymous", &topic, "as mosquitto_pub says it").await.unwrap();
    let body = json!({ "text": "as mosquitto_pub says it", "user": "anonymous", "dts": 5000 });
    assert_eq!(ear.next(|_| true).await.body, body);
    world.put("ann", &topic, json!({ "text": "welcome", "at": 9_999_999 })).await.unwrap();
    let heard = ear.next(|_| true).await.body;
    assert_eq!((&heard["role"], &heard["at"]), (&json!("publisher"), &json!(5000)), "nobody is ahead of it");
    world.put(ROOT, &topic, json!({ "text": "quiet" })).await.unwrap();
    assert_eq!(ear.next(|_| true).await.body["role"], "admin");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::new().await;
    let (room, topic) = (name("room"), name("room").topic("chat"));
    let publisher = world.on_air(&room, Some("ann"), 100).await;
    for bad in [
        json!({}),
        json!({ "text": "" }),
        json!({ "text": "a", "user": "root" }),
        json!({ "text": "x".repeat(201) }),
    ] {
        assert_eq!(world.put("bob", &topic, bad.clone()).await.unwrap_err().code, 701, "{bad}");
    }
    let odd = |change: fn(&mut Publish)| {
        let mut publish = Publish::new(topic.clone(), "hi".into());
        change(&mut publish);
        publish
    };
    let code = async |publish| world.publishes("bob", publish).await.unwrap_err().code;
    assert_eq!(code(odd(|p| p.key = Some("on_air".into()))).await, 701, "nobody leaves a state");
    assert_eq!(code(odd(|p| p.delay = Some(Duration::from_secs(1)))).await, 701);
    assert_eq!(code(odd(|p| p.wants = Durability::Disk)).await, 312);
    assert_eq!(code(odd(|p| p.body = vec![0xff, 0xfe].into())).await, 701);
    assert_eq!(code(odd(|p| p.content = Content::Json)).await, 701, "it is no JSON");
    publisher.end(world.now());
    assert_eq!(world.say("bob", &topic, "hello?").await.unwrap_err().code, 721);
    let other = name("nobody-is-here").topic("chat");
    assert_eq!(world.say("bob", &other, "hello?").await.unwrap_err().code, 721);
}

#[tokio::test]
async fn a_text_with_an_id_is_said_once() {
    let world = World::new().await;
    let (room, topic) = (name("room"), name("room").topic("chat"));
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    let mut ear = world.listener("zoe", topic.as_str()).await.unwrap();
    for _ in 0..2 {
        let publish = Publish { id: Some("m1".into()), ..Publish::new(topic.clone(), "once".into()) };
        world.publishes("bob", publish).await.unwrap();
    }
    assert_eq!(ear.all(&world).await.len(), 1);
}

#[tokio::test]
async fn the_muted_the_banned_and_in_a_closed_chat_all_but_its_leaders_are_silent() {
    let world = World::new().await;
    let (room, topic) = (name("room"), name("room").topic("chat"));
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    let say = async |user: &str| world.say(user, &topic, "x").await.map_err(|no| no.code);
    let mut mute = of("bob");
    mute["seconds"] = json!(60);
    world.ask("ann", "mute", mute).await;
    assert_eq!(say("bob").await, Err(711));
    world.pass(Duration::from_secs(61)).await;
    assert_eq!(say("bob").await, Ok(0));
    world.ask("ann", "ban", of("cy")).await;
    assert_eq!(say("cy").await, Err(712));
    world.ask("ann", "unban", of("cy")).await;
    assert_eq!(say("cy").await, Ok(0));
    assert_eq!(world.refused("ann", "mute", of("ann")).await, 710, "nobody mutes themselves");
    assert_eq!(world.refused("ann", "mute", of("")).await, 720);
    world.ask("ann", "chat", json!({ "app": "live", "name": "room", "closed": true })).await;
    assert_eq!((say("cy").await, say("ann").await, say(ROOT).await), (Err(711), Ok(0), Ok(0)));
    world.ask("ann", "mute", of("anonymous")).await;
    world.ask("ann", "chat", json!({ "app": "live", "name": "room", "closed": false })).await;
    assert_eq!((say("anonymous").await, say("cy").await), (Err(711), Ok(0)), "all strangers share a name");
}

#[tokio::test]
async fn people_without_an_account_write_where_the_operator_lets_them() {
    let world = World::with(chat(Chat { guests: false, ..Chat::default() })).await;
    let (room, topic) = (name("room"), name("room").topic("chat"));
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    assert_eq!(world.say("anonymous", &topic, "x").await.unwrap_err().code, 713);
    assert_eq!(world.say("guest:bob", &topic, "x").await.unwrap_err().code, 713);
    assert!(world.say("bob", &topic, "x").await.is_ok());
    assert!(world.listener("anonymous", topic.as_str()).await.is_ok(), "they may read");
}

#[tokio::test]
async fn the_hubs_rules_decide_who_may_write_at_all() {
    let world = World::with(chat(Chat { gifts: GiftsBy::Users, ..Chat::default() })).await;
    let room = name("room");
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    assert_eq!(world.say("weak", &room.topic("chat"), "x").await.unwrap_err().code, 210);
    assert_eq!(
        world.put("weak", &room.topic("gifts"), json!({ "gift": "rose" })).await.unwrap_err().code,
        210
    );
    assert!(world.listener("weak", room.topic("chat").as_str()).await.is_ok());
}

#[tokio::test]
async fn in_slow_mode_each_person_waits_and_leaders_do_not() {
    let world = World::with(chat(Chat { slow: Duration::from_secs(10), ..Chat::default() })).await;
    let (room, topic) = (name("room"), name("room").topic("chat"));
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    let say = async |user: &str| world.say(user, &topic, "x").await.map_err(|no| no.code);
    assert_eq!((say("bob").await, say("bob").await, say("cy").await), (Ok(0), Err(740), Ok(0)));
    assert_eq!(
        (say("anonymous").await, say("guest:zed").await),
        (Ok(0), Err(740)),
        "strangers of one address are one"
    );
    assert_eq!((say("ann").await, say("ann").await), (Ok(0), Ok(0)));
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(say("bob").await, Ok(0));
    world.ask("ann", "chat", json!({ "app": "live", "name": "room", "slow_s": 0 })).await;
    assert_eq!((say("bob").await, say("bob").await), (Ok(0), Ok(0)));
}

#[tokio::test]
async fn what_is_over_the_rate_is_dropped_and_its_sender_is_told() {
    let world = World::with(chat(Chat { messages_per_second: 10, ..Chat::default() })).await;
    let (room, topic) = (name("room"), name("room").topic("chat"));
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    let mut ear = world.listener("zoe", topic.as_str()).await.unwrap();
    let mut passed = 0;
    for number in 0..100 {
        match world.say(&format!("user{}", number % 7), &topic, "x").await {
            Ok(_) => passed += 1,
            Err(no) => assert_eq!(no.code, 740),
        }
    }
    assert_eq!(
        (passed, ear.all(&world).await.len()),
        (18, 18),
        "two seconds' worth, but for what is kept for leaders"
    );
    assert!(world.say("ann", &topic, "x").await.is_ok(), "the publisher is heard in any case");
    world.pass(Duration::from_secs(1)).await;
    assert!(world.say("user1", &topic, "x").await.is_ok());
    let other = name("other");
    let _other = world.on_air(&other, None, 100).await;
    assert!(
        world.say("user1", &other.topic("chat"), "x").await.is_ok(),
        "another broadcast has a rate of its own"
    );
}

#[tokio::test]
async fn gifts_are_kept_in_order_and_each_is_given_once() {
    let world = World::new().await;
    let (room, topic) = (name("room"), name("room").topic("gifts"));
    let publisher = world.on_air(&room, Some("ann"), 2_000).await;
    let mut ear = world.listener("zoe", topic.as_str()).await.unwrap();
    let rose = json!({ "gift": "rose", "count": 3, "user": "bob", "id": "order-1", "text": "for you" });
    let first = world.put(ROOT, &topic, rose.clone()).await.unwrap();
    assert_eq!(world.put(ROOT, &topic, rose).await.unwrap(), first, "the same gift");
    let second = world.put(ROOT, &topic, json!({ "gift": "rocket", "data": { "price": 9 } })).await.unwrap();
    assert_eq!((first, second), (1, 2));
    let body = json!({ "gift": "rose", "count": 3, "user": "bob", "text": "for you", "dts": 2000 });
    assert_eq!(ear.next(|_| true).await.body, body);
    let body = json!({ "gift": "rocket", "count": 1, "user": "root", "data": { "price": 9 }, "dts": 2000 });
    assert_eq!(ear.next(|_| true).await.body, body);
    for user in ["bob", "ann", "anonymous"] {
        assert_eq!(world.put(user, &topic, json!({ "gift": "rose" })).await.unwrap_err().code, 710, "{user}");
    }
    assert_eq!(world.say(ROOT, &topic, "rose").await.unwrap_err().code, 701);
    publisher.end(world.now());
    let late = world.put(ROOT, &topic, json!({ "gift": "late", "user": "bob", "id": "order-2" })).await;
    assert_eq!(late.unwrap(), 3, "what was paid for is given");
    assert_eq!(ear.next(|_| true).await.body.get("dts"), None);
}

#[tokio::test]
async fn accounts_give_where_the_operator_lets_them_and_in_their_own_name() {
    let world = World::with(chat(Chat { gifts: GiftsBy::Users, ..Chat::default() })).await;
    let (room, topic) = (name("room"), name("room").topic("gifts"));
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    let give = async |user: &str, body: Value| world.put(user, &topic, body).await.map_err(|no| no.code);
    assert_eq!(give("bob", json!({ "gift": "rose" })).await, Ok(1));
    assert_eq!(give("bob", json!({ "gift": "rose", "user": "cy" })).await, Err(710));
    assert_eq!(give("anonymous", json!({ "gift": "rose" })).await, Err(713));
    world.ask("ann", "ban", of("bob")).await;
    assert_eq!(give("bob", json!({ "gift": "rose" })).await, Err(712));
}

#[tokio::test]
async fn a_settings_change_holds_from_then_on() {
    let world = World::new().await;
    let (room, topic) = (name("room"), name("room").topic("chat"));
    let _publisher = world.on_air(&room, Some("ann"), 100).await;
    world.live.set_config(Chat { text_chars_max: 3, ..Chat::default() });
    assert_eq!(world.say("bob", &topic, "four").await.unwrap_err().code, 701);
    assert!(Chat { text_chars_max: 0, ..Chat::default() }.check().is_err());
    assert!(Chat { messages_per_second: 0, ..Chat::default() }.check().is_err());
    assert!(Chat::default().check().is_ok());
}
