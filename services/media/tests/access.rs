//! Who may publish and who may watch.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;
use world::{BEGIN, Made, World, name, tokens};
use yizhan_media::{
    Name, Pass, Refused,
    access::{
        config::{Access, Tokens},
        keys::KeyList,
        secret::Secret,
        token::{Doing, Grant, Signer},
    },
};
use yizhan_talk::Timestamp;

fn access(json: serde_json::Value) -> Made {
    let keys: BTreeMap<String, KeyList> =
        serde_json::from_value(json!({ "live/room": ["hunter2", "second"], "vip/*": "gold" })).unwrap();
    Made { access: serde_json::from_value(json).unwrap(), keys, ..Made::default() }
}

fn words(refused: Result<Pass, Refused>) -> String {
    refused.unwrap_err().to_string()
}

fn token(name: &Name, doing: Doing, change: impl FnOnce(&mut Grant)) -> String {
    let mut grant = Grant::new(doing, Timestamp::from_millis(BEGIN + 60_000));
    change(&mut grant);
    Signer::new(&tokens()).sign(name, &grant).unwrap()
}

#[tokio::test]
async fn by_default_publishing_takes_a_key_a_token_or_an_account_and_watching_nothing() {
    let world = World::with(access(json!({}))).await;
    let room = name("room");
    let publish = async |params: &str| world.may(world.wish(&room, true, params)).await;
    assert_eq!(publish("key=hunter2").await, Ok(Pass::default()));
    assert_eq!(publish("?x=1&key=second").await, Ok(Pass::default()));
    for wrong in ["key=hunter3", "key=gold", "key=HUNTER2"] {
        assert!(words(publish(wrong).await).contains("wrong"), "{wrong}");
    }
    assert!(words(publish("").await).contains("?key="), "it says what to do");
    assert!(words(publish("key=").await).contains("?key="));
    let pass = publish("token=ann").await.unwrap();
    assert_eq!(
        (pass.user.as_deref(), pass.until.is_some()),
        (Some("ann"), true),
        "an account, as long as it is good"
    );
    assert!(words(publish("token=weak").await).contains("may not publish"));
    assert_eq!(publish("token=old").await, Err(Refused::Expired));
    assert!(words(publish("token=nobodys-token-at-all").await).contains("none of ours"));
    assert!(words(publish("token=banned").await).contains("banned"));
    let mut bearer = world.wish(&room, true, "");
    bearer.creds.bearer = Some("ann".into());
    assert_eq!(world.may(bearer).await.unwrap().user.as_deref(), Some("ann"));
    let good = token(&room, Doing::Publish, |grant| grant.user = Some("bob".into()));
    assert_eq!(publish(&format!("token={good}")).await.unwrap().user.as_deref(), Some("bob"));
    for free in ["", "token=ann", "token=garbage-garbage-garbage", "token=v1.x", "key=wrong"] {
        assert!(world.may(world.wish(&room, false, free)).await.is_ok(), "{free}");
    }
    assert!(words(publish(&"k".repeat(5000)).await).contains("too long"));
}

#[tokio::test]
async fn an_app_may_take_accounts_tokens_or_nothing() {
    let made = access(json!({ "app": {
        "live": { "publish": "accounts", "play": "accounts" }, "vip": { "publish": "open", "play": "tokens" },
    } }));
    let world = World::with(made).await;
    let (room, gold) = (name("room"), Name::new("vip", "gold").unwrap());
    let may =
        async |name: &Name, publishing, params: &str| world.may(world.wish(name, publishing, params)).await;
    assert!(words(may(&room, true, "key=hunter2").await).contains("keys are not taken"));
    assert!(words(may(&room, false, "").await).contains("an account is needed"));
    assert_eq!(may(&room, false, "token=ann").await.unwrap().user.as_deref(), Some("ann"));
    assert!(words(may(&room, false, "token=weak").await).contains("may not watch"));
    assert!(may(&gold, true, "").await.is_ok() && may(&gold, true, "key=wrong").await.is_ok());
    assert_eq!(may(&gold, true, "token=ann").await.unwrap().user.as_deref(), Some("ann"));
    assert_eq!(may(&gold, true, "token=nobodys-token-at-all").await, Ok(Pass::default()));
    assert!(words(may(&gold, false, "").await).contains("a token is needed"));
    assert!(may(&gold, false, "token=ann").await.is_err(), "an account is no token");
    assert!(may(&gold, false, "token=root").await.is_ok(), "an admin sees all");
    let good = token(&gold, Doing::Play, |_| {});
    assert!(may(&gold, false, &format!("token={good}")).await.is_ok());
    assert!(may(&Name::of_any("vip", "gold~720p").unwrap(), false, &format!("token={good}")).await.is_ok());
}

#[tokio::test]
async fn a_token_is_told_to_be_expired_wrong_for_something_else_or_for_another_address() {
    let world = World::with(access(json!({ "play": "tokens" }))).await;
    let (room, other) = (name("room"), name("other"));
    let may = async |name: &Name, publishing, token: &str| {
        world.may(world.wish(name, publishing, &format!("token={token}"))).await
    };
    let good = token(&room, Doing::Play, |_| {});
    assert!(may(&room, false, &good).await.is_ok() && may(&room, false, &good).await.is_ok());
    assert!(words(may(&other, false, &good).await).contains("not one for this broadcast"));
    assert!(words(may(&room, true, &good).await).contains("something else"));
    let there = token(&room, Doing::Play, |grant| grant.address = Some([203, 0, 113, 8].into()));
    assert!(words(may(&room, false, &there).await).contains("another address"));
    let once = token(&room, Doing::Play, |grant| grant.once = Some("a".into()));
    assert!(may(&room, false, &once).await.is_ok());
    assert!(words(may(&room, false, &once).await).contains("for one time"));
    let wide = token(&other, Doing::Play, |grant| grant.wide = true);
    assert!(may(&room, false, &wide).await.is_ok());
    world.pass(Duration::from_secs(61)).await;
    assert_eq!(may(&room, false, &good).await, Err(Refused::Expired), "replayed after it expired");
    assert_eq!(may(&room, false, &once).await, Err(Refused::Expired));
    assert!(words(may(&other, false, &good).await).contains("not one for this broadcast"));
}

#[tokio::test]
async fn secrets_and_keys_change_without_a_restart() {
    let world = World::with(access(json!({ "play": "tokens" }))).await;
    let room = name("room");
    let old = token(&room, Doing::Play, |_| {});
    let may = async || world.may(world.wish(&room, false, &format!("token={old}"))).await;
    let next = |before: &str| Tokens {
        secret: Secret::new("another secret of ours"),
        secret_before: Secret::new(before),
        ..Tokens::default()
    };
    let access: Access = serde_json::from_value(json!({ "play": "tokens" })).unwrap();
    world.gate.reload(&access, &BTreeMap::new(), &next(world::SECRET)).unwrap();
    assert!(may().await.is_ok());
    assert!(world.may(world.wish(&room, true, "key=hunter2")).await.is_err(), "the keys are others");
    world.gate.reload(&access, &BTreeMap::new(), &next("")).unwrap();
    assert!(words(may().await).contains("not one for this broadcast"));
    let bad = Tokens { secret: Secret::new("short"), ..Tokens::default() };
    assert!(world.gate.reload(&access, &BTreeMap::new(), &bad).is_err());
    world.gate.reload(&access, &BTreeMap::new(), &Tokens::default()).unwrap();
    assert!(words(may().await).contains("live.tokens.secret"));
}

#[tokio::test]
async fn who_guesses_keys_waits_and_others_do_not() {
    let world = World::with(access(json!({}))).await;
    let room = name("room");
    for _ in 0..20 {
        assert!(words(world.may(world.wish(&room, true, "key=guess")).await).contains("wrong"));
    }
    let right = || world.wish(&room, true, "key=hunter2");
    assert!(matches!(world.may(right()).await, Err(Refused::TooMany(_))));
    let mut elsewhere = right();
    elsewhere.party.address = Some([203, 0, 113, 8].into());
    assert!(world.may(elsewhere).await.is_ok());
    world.pass(Duration::from_secs(61)).await;
    assert!(world.may(right()).await.is_ok());
}

#[tokio::test]
async fn an_address_has_so_many_viewers_and_those_who_left_do_not_count() {
    let world = World::with(access(json!({ "address_viewers_max": 2 }))).await;
    let room = name("room");
    let _publisher = world.on_air(&room, None, 100).await;
    let broadcast = world.media.find(&room).unwrap();
    let wish = || world.wish(&room, false, "");
    let mut viewers = Vec::new();
    for _ in 0..2 {
        assert!(world.may(wish()).await.is_ok());
        viewers.push(world.media.viewer(world.now(), &broadcast, wish().party).unwrap());
    }
    assert!(matches!(world.may(wish()).await, Err(Refused::TooMany(_))));
    assert!(
        world.may(world.wish(&room, true, "key=hunter2")).await.is_ok(),
        "publishers are counted elsewhere"
    );
    world.pass(Duration::from_secs(5)).await;
    assert!(matches!(world.may(wish()).await, Err(Refused::TooMany(_))), "they still watch");
    viewers.pop();
    world.pass(Duration::from_secs(5)).await;
    assert!(world.may(wish()).await.is_ok());
}

#[tokio::test]
async fn who_is_banned_from_the_server_neither_publishes_nor_watches() {
    let world = World::with(access(json!({}))).await;
    for (publishing, params) in [(true, "key=hunter2"), (false, ""), (false, "token=ann")] {
        let mut wish = world.wish(&name("room"), publishing, params);
        wish.party.address = Some([192, 0, 2, 9].into());
        assert!(words(world.may(wish).await).contains("banned: rude"));
    }
}

#[tokio::test]
async fn a_token_in_a_header_counts_before_one_in_the_address() {
    let world = World::with(access(json!({ "play": "accounts" }))).await;
    let mut wish = world.wish(&name("room"), false, "token=ann");
    wish.creds.bearer = Some(Arc::from("bob"));
    assert_eq!(world.may(wish).await.unwrap().user.as_deref(), Some("bob"));
}
