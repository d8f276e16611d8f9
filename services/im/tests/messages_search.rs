//! Search: what the index is given, and what is shown of what it finds.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use world::World;
use yizhan_im::{
    Config,
    seams::{Indexed, Search, SearchFound, SearchHit, SearchQuery},
};

/// An index that finds whatever contains the text.
#[derive(Default)]
struct Plain(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    documents: BTreeMap<(String, u64), (String, String)>,
    through: Option<String>,
    /// How often it still says that it is busy.
    busy: u32,
    puts: u64,
}

impl Search for Plain {
    fn apply(&self, changes: Vec<Indexed>, through: String) -> Result<(), String> {
        let mut inside = self.0.lock();
        if inside.busy > 0 {
            inside.busy -= 1;
            return Err("busy".to_owned());
        }
        for change in changes {
            match change {
                Indexed::Put { conversation, seq, kind, text, .. } => {
                    inside.puts += 1;
                    inside.documents.insert((conversation.to_string(), seq), (kind.to_owned(), text));
                }
                Indexed::Remove { conversation, seq } => {
                    inside.documents.remove(&(conversation.to_string(), seq));
                }
                Indexed::RemoveConversation(id) => inside.documents.retain(|(c, _), _| **c != *id),
                Indexed::Clear => inside.documents.clear(),
            }
        }
        inside.through = Some(through);
        Ok(())
    }

    fn through(&self) -> Option<String> {
        self.0.lock().through.clone()
    }

    fn search(
        &self,
        query: SearchQuery,
    ) -> BoxFuture<'static, Result<SearchFound, yizhan_im::seams::NoSearch>> {
        let inside = self.0.lock();
        let sees =
            |id: &str, seq: u64| query.conversations.iter().any(|(c, after)| **c == *id && seq > *after);
        let mut hits: Vec<SearchHit> = Vec::new();
        for ((id, seq), (kind, text)) in inside.documents.iter().rev() {
            let fits = query.kinds.is_empty() || query.kinds.contains(kind);
            if let Some(at) = text.find(&query.text).filter(|_| fits && sees(id, *seq)) {
                let marks = vec![(at, at + query.text.len())];
                hits.push(SearchHit {
                    conversation: id.as_str().into(),
                    seq: *seq,
                    snippet: text.clone(),
                    marks,
                });
            }
        }
        let total = hits.len() as u64;
        let from = query.before.as_deref().map_or(0, |n| n.parse().unwrap());
        let next = (hits.len() > from + query.limit).then(|| (from + query.limit).to_string());
        let hits = hits.into_iter().skip(from).take(query.limit).collect();
        Box::pin(async move { Ok(SearchFound { hits, total, next }) })
    }
}

/// Each test has a thread, and an index, of its own.
static INDEXES: LazyLock<Mutex<BTreeMap<String, Arc<Plain>>>> = LazyLock::new(Mutex::default);

fn index() -> Arc<Plain> {
    let name = std::thread::current().name().unwrap().to_owned();
    INDEXES.lock().entry(name).or_default().clone()
}

async fn world() -> World {
    World::with_seams(Config::default(), |seams| seams.search = Some(index())).await
}

async fn say(world: &World, user: &str, id: &str, text: &str) -> u64 {
    let content = json!({ "kind": "text", "text": text });
    world.ask(user, "send", json!({ "conversation": id, "content": content })).await["seq"].as_u64().unwrap()
}

async fn found(world: &World, user: &str, of: Value) -> Vec<u64> {
    world.settle().await;
    let told = world.ask(user, "search", of).await;
    told["hits"].as_array().unwrap().iter().map(|hit| hit["message"]["seq"].as_u64().unwrap()).collect()
}

async fn group(world: &World, owner: &str, members: &[&str]) -> String {
    let made = world.ask(owner, "create", json!({ "kind": "group", "title": "g", "members": members })).await;
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_finds_what_one_sees_and_nothing_else() {
    let world = world().await;
    let id = group(&world, "ann", &["bob"]).await;
    say(&world, "ann", &id, "the first word").await;
    say(&world, "ann", &id, "😀 second word").await;
    assert_eq!(found(&world, "bob", json!({ "text": "word" })).await, [2, 1]);
    assert_eq!(found(&world, "bob", json!({ "text": "word", "conversation": id })).await, [2, 1]);
    assert!(found(&world, "eve", json!({ "text": "word" })).await.is_empty());
    assert_eq!(world.refused("eve", "search", json!({ "text": "word", "conversation": id })).await, 610);
    let told = world.ask("bob", "search", json!({ "text": "second" })).await;
    assert_eq!(told["hits"][0]["marks"], json!([[3, 9]]), "in UTF-16 units");
    assert_eq!(told["hits"][0]["snippet"], "😀 second word");
    world.ask("bob", "delete", json!({ "conversation": id, "seqs": [1] })).await;
    assert_eq!(found(&world, "bob", json!({ "text": "word" })).await, [2]);
    world.ask("bob", "clear", json!({ "conversation": id })).await;
    assert!(found(&world, "bob", json!({ "text": "word" })).await.is_empty());
    assert_eq!(found(&world, "ann", json!({ "text": "word" })).await, [2, 1]);
    world.ask("ann", "update", json!({ "conversation": id, "history": "joined" })).await;
    world.ask("ann", "add", json!({ "conversation": id, "users": ["dan"] })).await;
    say(&world, "ann", &id, "third word").await;
    assert_eq!(found(&world, "dan", json!({ "text": "word" })).await, [3]);
    world.ask("ann", "remove", json!({ "conversation": id, "users": ["bob"] })).await;
    assert!(found(&world, "bob", json!({ "text": "word" })).await.is_empty());
    assert_eq!(world.refused("ann", "search", json!({ "text": "x".repeat(1025) })).await, 600);
    let page = world.ask("ann", "search", json!({ "text": "word", "limit": 2 })).await;
    assert_eq!((page["hits"].as_array().unwrap().len(), &page["total"]), (2, &json!(3)));
    assert_eq!(
        found(&world, "ann", json!({ "text": "word", "limit": 2, "before": page["next"] })).await,
        [1]
    );
}

#[tokio::test]
async fn the_index_follows_edits_recalls_burns_and_forwards() {
    let mut world = world().await;
    let id = world.ask("ann", "open", json!({ "user": "bob" })).await["id"].as_str().unwrap().to_owned();
    say(&world, "ann", &id, "apple").await;
    say(&world, "ann", &id, "banana").await;
    let content = json!({ "kind": "text", "text": "cherry", "burn_s": 1 });
    world.ask("ann", "send", json!({ "conversation": id, "content": content })).await;
    let forward = json!({ "kind": "forward", "conversation": id, "seq": 2 });
    world.ask("ann", "send", json!({ "user": "dan", "content": forward })).await;
    assert_eq!(
        found(&world, "dan", json!({ "text": "banana" })).await,
        [1],
        "the words of what was forwarded"
    );
    let edit = json!({ "conversation": id, "seq": 1, "content": { "kind": "text", "text": "avocado" } });
    world.ask("ann", "edit", edit).await;
    assert_eq!(found(&world, "bob", json!({ "text": "avocado" })).await, [1]);
    assert!(found(&world, "bob", json!({ "text": "apple" })).await.is_empty());
    world.ask("ann", "recall", json!({ "conversation": id, "seq": 2 })).await;
    world.ask("bob", "read", json!({ "conversation": id, "seq": 3 })).await;
    world.pass(Duration::from_secs(2)).await;
    world.settle().await;
    let texts = || index().0.lock().documents.values().map(|(_, text)| text.clone()).collect::<Vec<_>>();
    assert_eq!(texts().iter().filter(|t| **t == "banana").count(), 1, "only the copy: {:?}", texts());
    assert!(!texts().contains(&"cherry".to_owned()));
    // All from the beginning: what was recalled does not come back.
    *index().0.lock() = Inside::default();
    world.restart().await;
    world.settle().await;
    let mut all = texts();
    all.sort();
    assert_eq!(all, ["avocado", "banana"]);
}

#[tokio::test]
async fn the_index_goes_on_where_it_was() {
    let mut world = world().await;
    let id = group(&world, "ann", &["bob"]).await;
    for n in 0..50 {
        say(&world, "ann", &id, &format!("word {n}")).await;
    }
    world.settle().await;
    world.restart().await;
    say(&world, "ann", &id, "word 50").await;
    world.settle().await;
    assert_eq!(index().0.lock().puts, 51, "each once");
    index().0.lock().busy = 2;
    say(&world, "ann", &id, "word 51").await;
    world.settle().await;
    assert_eq!(index().0.lock().documents.len(), 51);
    world.pass(Duration::from_secs(1)).await;
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(index().0.lock().documents.len(), 52, "what it did not take was given again");
}

#[tokio::test]
async fn a_dismissed_group_is_not_found_any_more() {
    let world = world().await;
    let id = group(&world, "ann", &["bob"]).await;
    say(&world, "ann", &id, "word").await;
    assert_eq!(found(&world, "bob", json!({ "text": "word" })).await, [1]);
    world.ask("ann", "dismiss", json!({ "conversation": id })).await;
    assert!(found(&world, "bob", json!({ "text": "word" })).await.is_empty());
    assert!(index().0.lock().documents.is_empty());
}

#[tokio::test]
async fn the_index_is_built_anew_with_progress() {
    let world = world().await;
    let id = group(&world, "ann", &["bob"]).await;
    for n in 0..3000 {
        say(&world, "ann", &id, &format!("word {n}")).await;
    }
    world.settle().await;
    index().0.lock().documents.insert(("x".to_owned(), 1), ("text".to_owned(), "stale".to_owned()));
    index().0.lock().busy = 1;
    let progress = Mutex::new(Vec::new());
    let building = world.im.rebuild_index(|done, all| progress.lock().push((done, all)));
    let ticking = async {
        loop {
            world.pass(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        built = building => built.unwrap(),
        () = ticking => unreachable!(),
    }
    assert_eq!(index().0.lock().documents.len(), 3000);
    let progress = progress.lock();
    // How often it is told is the machine's to say; that it grows to the end is not.
    assert!(progress.is_sorted(), "{progress:?}");
    let (done, all) = progress.last().unwrap();
    assert_eq!(done, all);
}

#[tokio::test]
async fn without_an_index_search_says_so() {
    let world = World::new().await;
    assert_eq!(world.refused("ann", "search", json!({ "text": "x" })).await, 611);
}
