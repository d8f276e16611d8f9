//! Clients, bans, traces, and what waits.

use std::time::Duration;

use serde_json::{Value, json};
use yizhan_hub::{
    Answer, Call, Filter, Hello, Link, Peer, Topic,
    link::{Deal, Group, Name, Publish, Subscribe},
    message::RETAINED,
};
use yizhan_talk::Clock as _;

use crate::world::{PEER, World};

/// A client with a session that outlives its connection.
fn named(world: &World, token: &str, name: &str) -> Link {
    let mut link = world.hub.link(Peer { door: "mqtt", ..PEER });
    let hello = Hello {
        credentials: yizhan_hub::Credentials::Token(token.into()),
        device: Some(name.into()),
        name: Some(Name { name: format!("mqtt:{name}").into(), fresh: false }),
        keep: Duration::from_secs(60),
        ..Hello::default()
    };
    assert!(matches!(world.call(&mut link, Call::Hello(Box::new(hello))), Answer::Opened(_)));
    link
}

fn items(answer: &Value) -> &Vec<Value> {
    answer["items"].as_array().unwrap()
}

#[test]
fn clients_are_found_by_door_state_and_words() {
    let world = World::new();
    let owner = world.owner();
    let ann = world.user(&owner, "ann", "user");
    let sensor = named(&world, &ann, "Sensor-7");
    drop(named(&world, &ann, "away"));
    let _desk = world.link(Some(&owner), "desk");
    for (query, count) in [
        ("sessions", 3),
        ("sessions?door=mqtt", 2),
        ("sessions?door=ws", 1),
        ("sessions?state=live", 2),
        ("sessions?state=asleep", 1),
        ("sessions?state=asleep&door=mqtt&user=ann", 1),
        ("sessions?search=sensor-7", 1),
        ("sessions?search=10.0.0.7", 2),
        ("sessions?search=nobody", 0),
    ] {
        assert_eq!(items(&world.get(query, &owner)).len(), count, "{query}");
    }
    assert_eq!(world.refused("GET", "sessions?state=dreaming", &owner, None), (400, 104));
    let found = world.get("sessions?search=sensor", &owner)["items"][0].clone();
    assert_eq!(
        (&found["name"], &found["door"], &found["keep"]),
        (&json!("mqtt:Sensor-7"), &json!("mqtt"), &json!(60))
    );
    let path = format!("sessions/{}", found["id"].as_str().unwrap());
    assert_eq!(world.get(&path, &ann), found);
    let bob = world.user(&owner, "bob", "user");
    assert_eq!(world.refused("GET", &path, &bob, None), (404, 301), "not bob's");
    assert_eq!(world.refused("POST", &format!("{path}/disconnect"), &bob, None), (404, 301));
    drop(sensor);
}

#[test]
fn a_disconnected_client_sleeps_and_an_ended_one_is_gone() {
    let world = World::new();
    let owner = world.owner();
    let mut link = named(&world, &owner, "sensor");
    let path = format!("sessions/{}", world.get("sessions", &owner)["items"][0]["id"].as_str().unwrap());
    assert_eq!(world.ask("POST", &format!("{path}/disconnect"), &owner, None).0, 204);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut left = Vec::new();
    let polled =
        yizhan_talk::Backend::poll_deliveries(&mut link, &mut context, world.clock.now(), &mut left, 10);
    assert!(polled.is_ready());
    assert!(matches!(left.as_slice(), [yizhan_hub::Delivery::Leave(close)] if close.code == 4030));
    drop(link);
    assert_eq!(world.get(&path, &owner)["connection"], Value::Null);
    assert_eq!(world.ask("POST", &format!("{path}/disconnect"), &owner, None).0, 204, "asleep already");
    assert_eq!(world.ask("DELETE", &path, &owner, None).0, 204);
    assert_eq!(world.refused("GET", &path, &owner, None), (404, 301));
    let audit = world.get("audit?limit=3", &owner);
    let what: Vec<_> = items(&audit).iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["session.kick", "session.disconnect", "session.disconnect"]);
}

#[test]
fn a_ban_is_made_seen_and_ended() {
    let world = World::new();
    let owner = world.owner();
    let ann = world.user(&owner, "ann", "user");
    let body = json!({ "whom": "device:bad", "reason": "noise", "expires_in": 60 });
    assert_eq!(world.refused("POST", "bans", &ann, Some(body.clone())), (403, 210));
    let (status, ban) = world.ask("POST", "bans", &owner, Some(body));
    assert_eq!((status, &ban["whom"], &ban["by"]), (201, &json!("device:bad"), &json!("own")));
    assert_eq!(world.get("bans", &owner)["items"], json!([ban]));
    assert_eq!(world.refused("POST", "bans", &owner, Some(json!({ "whom": "somebody" }))), (400, 104));
    assert_eq!(world.refused("DELETE", "bans", &owner, None), (400, 104));
    assert_eq!(world.ask("DELETE", "bans?whom=device:bad", &owner, None).0, 204);
    assert_eq!(world.refused("DELETE", "bans?whom=device:bad", &owner, None).0, 404);
    assert_eq!(world.get("bans", &owner)["items"], json!([]));
}

#[test]
fn a_client_is_followed_for_a_while() {
    let world = World::new();
    let owner = world.owner();
    let (status, trace) = world.ask("POST", "traces", &owner, Some(json!({ "client": "sensor" })));
    assert_eq!((status, trace), (201, json!({ "client": "sensor", "topic": "$SYS/trace/sensor" })));
    assert_eq!(world.get("traces", &owner)["items"], json!([{ "client": "sensor" }]));
    let long = json!({ "client": "sensor", "seconds": 100_000 });
    assert_eq!(world.refused("POST", "traces", &owner, Some(long)).0, 400);
    assert_eq!(world.ask("DELETE", "traces?client=sensor", &owner, None).0, 204);
    assert_eq!(world.get("traces", &owner)["items"], json!([]));
}

#[test]
fn what_waits_is_shown_and_cancelled() {
    let world = World::new();
    let owner = world.owner();
    let mut link = world.link(Some(&owner), "desk");
    for seconds in [30, 10] {
        let delay = Some(Duration::from_secs(seconds));
        let publish = Publish { delay, ..Publish::new(Topic::new("kept/a").unwrap(), "later".into()) };
        assert!(matches!(world.call(&mut link, Call::Publish(publish)), Answer::Published(_)));
    }
    let waiting = world.get("delayed?limit=1", &owner);
    assert_eq!((items(&waiting).len(), &waiting["count"]), (1, &json!(2)));
    let first = &waiting["items"][0];
    assert_eq!(
        (&first["topic"], &first["user"], &first["bytes"]),
        (&json!("kept/a"), &json!("own"), &json!(5))
    );
    assert_eq!(first["due_at"].as_u64().unwrap() - first["taken_at"].as_u64().unwrap(), 10_000);
    let path = format!("delayed/{}", first["id"].as_str().unwrap());
    assert_eq!(world.ask("DELETE", &path, &owner, None).0, 204);
    assert_eq!(world.refused("DELETE", &path, &owner, None), (404, 106));
    assert_eq!(world.refused("DELETE", "delayed/x", &owner, None), (404, 106));
    let after = format!("delayed?after={}", waiting["next"].as_str().unwrap());
    assert_eq!(items(&world.get(&after, &owner)).len(), 1);
}

#[test]
fn a_retained_value_is_cleared() {
    let world = World::new();
    let owner = world.owner();
    let mut link = world.link(Some(&owner), "desk");
    let publish =
        Publish { key: Some(RETAINED.into()), ..Publish::new(Topic::new("kept/a").unwrap(), "on".into()) };
    world.call(&mut link, Call::Publish(publish));
    let state = |link: &mut Link| match world.call(link, Call::State(Filter::new("kept/#").unwrap(), 10)) {
        Answer::State(records) => records.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(state(&mut link), 1);
    let publish =
        Publish { key: Some(RETAINED.into()), ..Publish::new(Topic::new("lamp/1").unwrap(), "on".into()) };
    world.call(&mut link, Call::Publish(publish));
    let topics = world.get("topics?filter=lamp/#", &owner);
    assert_eq!(topics["items"][0]["topic"], "lamp/1", "also where nothing else is kept: {topics}");
    assert_eq!(items(&world.get("topics?filter=lamp/#&after=lamp/1", &owner)).len(), 0);
    assert_eq!(world.ask("DELETE", "retained?topic=kept/a", &owner, None).0, 204);
    assert_eq!(state(&mut link), 0);
    assert_eq!(world.refused("DELETE", "retained?topic=kept/#", &owner, None).0, 400);
}

#[test]
fn groups_and_bridges_are_shown() {
    let world = World::new();
    let owner = world.owner();
    let mut link = named(&world, &owner, "worker");
    let group = Some(Group { name: "g".into(), deal: Deal::LeastInflight, window: 5 });
    let subscribe = Subscribe { group, ..Subscribe::new(1, Filter::new("jobs/+").unwrap()) };
    assert!(matches!(world.call(&mut link, Call::Subscribe(Box::new(subscribe))), Answer::Subscribed { .. }));
    let groups = world.get("groups", &owner);
    let shown = &groups["items"][0];
    assert_eq!(
        (&shown["name"], &shown["filter"], &shown["deal"]),
        (&json!("g"), &json!("jobs/+"), &json!("least_inflight"))
    );
    assert_eq!((&shown["members"], &shown["live"]), (&json!(1), &json!(1)));
    let id = world.get("sessions?search=worker", &owner)["items"][0]["id"].as_str().unwrap().to_owned();
    let subscription = &world.get(&format!("subscriptions?session={id}"), &owner)["items"][0];
    assert_eq!((&subscription["qos"], &subscription["group"]), (&json!(2), &json!("g")));
    assert_eq!(world.get("bridges", &owner)["items"][0]["last_error"], json!("refused"));
}
