//! Looking into a running hub.

use serde_json::{Value, json};
use yizhan_hub::Delivery;
use yizhan_talk::{Backend as _, Clock as _};

use crate::world::World;

fn deliveries(world: &World, link: &mut yizhan_hub::Link) -> Vec<Delivery> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut all = Vec::new();
    while link.poll_deliveries(&mut context, world.clock.now(), &mut all, 100).is_ready() {
        if matches!(all.last(), Some(Delivery::Leave(_))) {
            break;
        }
    }
    all
}

#[test]
fn sessions_are_shown_page_by_page_and_can_be_ended() {
    let world = World::new();
    let owner = world.owner();
    let ann = world.user(&owner, "ann", "user");
    let mut links: Vec<_> = (0..3).map(|i| world.link(Some(&ann), &format!("d{i}"))).collect();
    let anonymous = world.link(None, "tv");
    let first = world.get("sessions?limit=2", &owner);
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let rest = world.get(&format!("sessions?after={}", first["next"].as_str().unwrap()), &owner);
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (2, &Value::Null));
    assert_eq!(world.get("sessions?user=anonymous", &owner)["items"].as_array().unwrap().len(), 1);
    let own = world.get("sessions", &ann);
    assert_eq!(own["items"].as_array().unwrap().len(), 3, "a user sees his own");
    let item = &own["items"][0];
    assert_eq!((item["user"].as_str(), item["connection"]["door"].as_str()), (Some("ann"), Some("ws")));
    assert_eq!(item["connection"]["address"], "10.0.0.7");
    let tv = world.get("sessions?user=anonymous", &owner)["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.refused("DELETE", &format!("sessions/{tv}"), &ann, None), (404, 301), "not one's own");
    assert_eq!(world.refused("DELETE", "sessions/zz", &owner, None), (404, 301));
    let id = item["id"].as_str().unwrap();
    assert_eq!(world.ask("DELETE", &format!("sessions/{id}"), &ann, None).0, 204, "one's own");
    assert_eq!(world.refused("DELETE", &format!("sessions/{id}"), &ann, None), (404, 301));
    let left = links.iter_mut().flat_map(|link| deliveries(&world, link));
    let closes: Vec<_> =
        left.filter_map(|d| if let Delivery::Leave(close) = d { Some(close.code) } else { None }).collect();
    assert_eq!(closes, [4030]);
    assert_eq!(world.ask("DELETE", &format!("sessions/{tv}"), &owner, None).0, 204);
    assert_eq!(world.get("connections", &owner)["items"].as_array().unwrap().len(), 2);
    let audit = world.get("audit?limit=1", &owner);
    assert_eq!(
        (&audit["items"][0]["what"], &audit["items"][0]["subject"]),
        (&json!("session.kick"), &json!("anonymous"))
    );
    drop(anonymous);
}

#[test]
fn whoever_is_shut_out_loses_the_connection() {
    let world = World::new();
    let owner = world.owner();
    let ann = world.user(&owner, "ann", "user");
    let mut link = world.link(Some(&ann), "phone");
    world.ask("PATCH", "accounts/ann", &owner, Some(json!({ "disabled": true })));
    assert!(
        matches!(deliveries(&world, &mut link).as_slice(), [Delivery::Leave(close)] if [4003, 4004].contains(&close.code))
    );
    assert_eq!(world.get("connections?user=ann", &owner)["items"], json!([]));
}

#[test]
fn topics_subscriptions_and_spaces_are_shown() {
    let world = World::new();
    let owner = world.owner();
    let mut link = world.link(Some(&owner), "desk");
    for (id, filter) in [(1, "kept/a"), (2, "kept/+"), (3, "other/#"), (4, "#")] {
        world.subscribe(&mut link, id, filter);
    }
    for _ in 0..3 {
        world.publish(&mut link, "kept/a");
    }
    world.publish(&mut link, "kept/b");
    let topics = world.get("topics", &owner);
    let expected = json!([
        { "topic": "kept/a", "space": "kept", "listeners": 1, "kept": { "oldest_seq": 1, "newest_seq": 3 } },
        { "topic": "kept/b", "space": "kept", "listeners": 0, "kept": { "oldest_seq": 1, "newest_seq": 1 } },
    ]);
    assert_eq!(topics["items"], expected);
    let page = world.get("topics?filter=kept/%2B&limit=1".replace("%2B", "+").as_str(), &owner);
    assert_eq!(page["next"], "kept/a");
    assert_eq!(world.get("topics?after=kept/a", &owner)["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.refused("GET", "topics?filter=a/#/b", &owner, None), (400, 110));
    let count =
        |query: &str| world.get(&format!("subscriptions?{query}"), &owner)["items"].as_array().unwrap().len();
    assert_eq!(count("topic=kept/a"), 3);
    assert_eq!(count("filter=kept/+"), 1);
    assert_eq!(count("filter=other/#"), 1);
    assert_eq!(count("filter=nothing/#"), 0);
    let session = world.get("sessions", &owner)["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(count(&format!("session={session}")), 4);
    assert_eq!(count(&format!("session={session}&limit=2")), 2);
    for bad in ["", "?topic=a&filter=b", "?topic=a/+"] {
        assert_eq!(world.refused("GET", &format!("subscriptions{bad}"), &owner, None).0, 400, "{bad}");
    }
    assert_eq!(world.refused("GET", "subscriptions?session=ff", &owner, None), (404, 301));
    let spaces = world.get("spaces", &owner);
    let kept = spaces["items"].as_array().unwrap().iter().find(|space| space["name"] == "kept").unwrap();
    assert_eq!(
        (&kept["keep"], &kept["lag"], &kept["topics"]),
        (&json!("memory"), &json!("skip"), &json!("kept/#"))
    );
    assert_eq!((&kept["limits"]["records_max"], &kept["limits"]["bytes_max"]), (&json!(100), &Value::Null));
    assert_eq!(kept["figures"]["records"], 4);
    let all = spaces["items"].as_array().unwrap().iter().find(|space| space["name"] == "all").unwrap();
    assert!(all["limits"].is_null() && all["figures"].is_null() && all["keep"] == "nothing");
}

#[test]
fn the_overview_and_the_config_come_from_the_server() {
    let world = World::new();
    let owner = world.owner();
    world.wait(90);
    let overview = world.get("overview", &owner);
    assert_eq!((&overview["version"], &overview["uptime"]), (&json!("0.0.0"), &json!(90)));
    assert_eq!((&overview["figures"]["sessions"], &overview["first_run"]), (&json!(2), &json!(true)));
    assert_eq!(world.get("config", &owner)["identity"]["jwt"]["secret"], "•••");
}

#[test]
fn the_audit_log_tells_who_did_what_from_where() {
    let world = World::new();
    let owner = world.owner();
    world.user(&owner, "ann", "user");
    let audit = world.get("audit?user=ann", &owner);
    let what: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["login", "account.create"]);
    let made = &audit["items"][1];
    assert_eq!(
        (&made["who"], &made["subject"], &made["address"]),
        (&json!("own"), &json!("ann"), &json!("10.0.0.7"))
    );
    let page = world.get("audit?limit=2", &owner);
    let before = page["next"].as_u64().unwrap();
    let older = world.get(&format!("audit?before={before}"), &owner);
    assert_eq!((&older["items"][0]["what"], &older["next"]), (&json!("owner.create"), &Value::Null));
}
