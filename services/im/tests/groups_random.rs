//! Many change one group at once, at random: whatever came of it, it is one truth, also after a restart.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use serde_json::{Value, json};
use world::World;
use yizhan_im::Config;

/// Chance with a seed (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn user(&mut self) -> String {
        format!("u{}", self.below(8))
    }
}

fn change(chance: &mut Chance, id: &Value, link: &Value) -> (&'static str, Value) {
    let (user, other) = (chance.user(), chance.user());
    match chance.below(12) {
        0 | 1 => ("add", json!({ "conversation": id, "users": [user, other] })),
        2 => ("remove", json!({ "conversation": id, "users": [user, other] })),
        3 => ("leave", json!({ "conversation": id })),
        4 | 5 => ("join", json!({ "link": link })),
        6 => ("role", json!({ "conversation": id, "user": user, "role": "admin" })),
        7 => ("role", json!({ "conversation": id, "user": user, "role": "member" })),
        8 => ("ban", json!({ "conversation": id, "user": user, "seconds": 5 })),
        9 => ("transfer", json!({ "conversation": id, "user": user })),
        10 => ("update", json!({ "conversation": id, "attributes": { user: other } })),
        _ => ("mute", json!({ "conversation": id, "user": user, "seconds": chance.below(2) })),
    }
}

/// Members and roles, as somebody sees them who is in it.
async fn truth(world: &World) -> (String, Vec<(String, String)>) {
    for n in 0..8 {
        let list = world.ask(&format!("u{n}"), "list", json!({})).await;
        let Some(entry) = list["conversations"].get(0) else { continue };
        let told = world.ask(&format!("u{n}"), "members", json!({ "conversation": entry["id"] })).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let members: Vec<(String, String)> = told["members"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| (text(&m["user"]), text(&m["role"])))
            .collect();
        assert_eq!(entry["members"], members.len(), "the number that lists show");
        return (text(&entry["id"]), members);
    }
    panic!("nobody is in it, though an owner does not leave");
}

#[tokio::test]
async fn whatever_many_do_at_once_there_is_one_truth() {
    for seed in 1..=40_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut world = World::with(Config { members_max: 6, ..Config::default() }).await;
        let body = json!({ "kind": "group", "title": "t", "members": ["u1", "u2"] });
        let id = world.ask("u0", "create", body).await["id"].clone();
        let link = world.ask("u0", "link", json!({ "conversation": id, "uses": 4 })).await["link"].clone();
        let mut done = 0;
        for _ in 0..6 {
            let asked = (0..20).map(|_| {
                let (op, body) = change(&mut chance, &id, &link);
                world.start(&chance.user(), op, body)
            });
            let asked: Vec<_> = asked.collect();
            for told in futures_util::future::join_all(asked).await {
                match told {
                    Ok(_) => done += 1,
                    Err(no) => assert!((600..=634).contains(&no.code), "a clear answer: {no:?}"),
                }
            }
            world.pass(std::time::Duration::from_secs(1)).await;
        }
        assert!(done > 10, "seed {seed}");
        let asked = world.start("u0", "conversation", json!({ "conversation": id })).await;
        if asked.is_err_and(|no| no.code == 632) {
            // The last one left.
            continue;
        }
        let before = truth(&world).await;
        let owners = before.1.iter().filter(|(_, role)| role == "owner").count();
        assert_eq!(owners, 1, "seed {seed}: {before:?}");
        assert!(before.1.len() <= 6, "seed {seed}: {before:?}");
        world.restart().await;
        assert_eq!(truth(&world).await, before, "seed {seed}");
        for n in 0..8 {
            let user = format!("u{n}");
            let is_in = before.1.iter().any(|(member, _)| *member == user);
            let listed = world.ask(&user, "list", json!({})).await;
            assert_eq!(listed["conversations"].get(0).is_some(), is_in, "seed {seed}: {user}");
            let said = world.start(&user, "conversation", json!({ "conversation": id })).await;
            assert_eq!(said.is_ok(), is_in, "seed {seed}: {user}");
        }
    }
}
