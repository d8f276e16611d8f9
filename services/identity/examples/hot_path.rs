//! What a question about rights costs: `cargo run -p yizhan-identity --example hot_path`.

#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::{hint::black_box, sync::Arc, time::Instant};

use futures_util::FutureExt as _;
use yizhan_hub::{Access as _, Action, Principal, Topic, access::Rates, memory::Memory};
use yizhan_identity::{Config, Identity, Seams, rules::RoleRule};

const ROUNDS: u32 = 5_000_000;

fn main() {
    let rule = |text: &str| -> RoleRule { serde_json::from_str(text).expect("a rule") };
    let many: Vec<_> = (0..20)
        .map(|i| rule(&format!(r#"{{"effect":"allow","roles":["r{i}"],"topics":["area{i}/#"]}}"#)))
        .chain([rule(r#"{"effect":"allow","roles":["user"],"topics":["users/${user}/#","rooms/+/chat"]}"#)])
        .collect();
    let roles: Arc<[Arc<str>]> = ["user".into(), "token:8GkTq0aXw3Zb".into()].into();
    let who =
        Principal { user: "ann".into(), device: None, roles, expires_at: None, rates: Rates::default() };
    for (name, rules, topic) in [
        ("built-in rules", Vec::new(), "rooms/kitchen/chat"),
        ("the last of 21 rules", many, "rooms/kitchen/chat"),
    ] {
        let config = Config { rules, ..Config::default() };
        let store = Memory::new(1);
        let opened = Identity::open(config, &store, Seams::default()).now_or_never();
        let identity = opened.expect("memory does not wait").expect("the config is good");
        let topic = Topic::new(topic).expect("a topic");
        let start = Instant::now();
        for _ in 0..ROUNDS {
            assert!(identity.may(black_box(&who), Action::Publish, black_box(&topic)));
        }
        println!("{name}: {:.0} ns", start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    }
}
