//! Groups and channels: who comes in, who goes, and who may say so.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use serde_json::json;
use world::World;

#[tokio::test]
async fn a_direct_conversation_works_in_this_world() {
    let mut world = World::new().await;
    let mut bob = world.stream("bob").await;
    let sent =
        world.ask("ann", "send", json!({ "user": "bob", "content": { "kind": "text", "text": "hi" } })).await;
    assert_eq!(sent["seq"], 1);
    let heard = bob.next(|heard| heard.from == "ann").await;
    assert_eq!(heard.body["text"], "hi");
    world.restart().await;
    let list = world.ask("bob", "list", json!({})).await;
    assert_eq!(list["conversations"][0]["unread"], 1);
}
