//! `kill -9` in a loop under load: what was acknowledged is there, once, in order.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use serde_json::{Value, json};
use yizhan_tests::{Client, Server, eventually};

const ROUNDS: usize = 6;
const PUBLISHERS: usize = 4;
const WINDOW: usize = 32;
/// Acknowledgements that a round waits for before it kills.
const ROUND_ACKS: u64 = 400;

/// What one publisher knows: which of its messages were acknowledged, with the number they were given.
#[derive(Default)]
struct Account {
    next: u64,
    acked: BTreeMap<u64, u64>,
    unanswered: Vec<u64>,
}

fn topic(publisher: usize) -> String {
    format!("disk/kill/{publisher}")
}

fn message(publisher: usize, number: u64) -> Value {
    json!({"type": "publish", "id": number, "topic": topic(publisher), "text": number.to_string(),
           "mid": format!("{publisher}-{number}"), "durable": "disk"})
}

/// Publishes until the server is gone. What had no answer the last time is sent again first.
fn publish(client: &mut Client, publisher: usize, account: &mut Account, acks: &AtomicU64) {
    let again = std::mem::take(&mut account.unanswered);
    account.unanswered.clone_from(&again);
    for number in again {
        if client.send(&message(publisher, number)).is_err() {
            return;
        }
    }
    loop {
        while account.unanswered.len() < WINDOW {
            account.next += 1;
            account.unanswered.push(account.next);
            if client.send(&message(publisher, account.next)).is_err() {
                return;
            }
        }
        let Some(event) = client.next_event() else { return };
        match event["type"].as_str() {
            Some("receipt") => {
                let number = event["re"].as_u64().expect("the answer names its command");
                assert_eq!(event["durable"], "disk", "{event}");
                account.acked.insert(number, event["seq"].as_u64().expect("a kept record has a number"));
                account.unanswered.retain(|n| *n != number);
                acks.fetch_add(1, Relaxed);
            }
            Some("welcome") => {}
            other => panic!("a publisher was told {other:?}: {event}"),
        }
    }
}

/// All records of a topic, oldest first, by pages.
fn history(client: &mut Client, topic: &str) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    loop {
        let after = found.last().map_or(0, |(seq, _)| *seq);
        let page = client.ask(json!({"type": "history", "topic": topic, "after": after, "limit": 1000}));
        let records = page["records"].as_array().unwrap_or_else(|| panic!("no page: {page}"));
        for record in records {
            let number: u64 = record["text"].as_str().expect("a text").parse().expect("a number");
            found.push((record["seq"].as_u64().expect("a seq"), number));
        }
        if records.is_empty() {
            return found;
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kill_9() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let accounts: Vec<Arc<Mutex<Account>>> = (0..PUBLISHERS).map(|_| Arc::default()).collect();
    // What a listener got that resumes from its last position each time.
    let mut heard: HashMap<String, Vec<u64>> = HashMap::new();
    let mut position: Option<String> = None;

    for _ in 0..ROUNDS {
        let server = Server::dev(&data);
        let mut listener = server.client();
        listener.hello(json!({}));
        let mut wish = json!({"type": "subscribe", "sub": 1, "filter": "disk/kill/+"});
        if let Some(position) = &position {
            wish["after"] = json!(position);
        }
        let subscribed = listener.ask(wish);
        assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
        position = position.or_else(|| subscribed["pos"][0].as_str().map(str::to_owned));

        let acks = Arc::new(AtomicU64::new(0));
        let publishers: Vec<_> = accounts
            .iter()
            .enumerate()
            .map(|(publisher, account)| {
                let (account, acks, mut client) = (account.clone(), acks.clone(), server.client());
                thread::spawn(move || {
                    publish(&mut client, publisher, &mut account.lock().expect("no panic"), &acks);
                })
            })
            .collect();
        eventually("enough acknowledgements", || (acks.load(Relaxed) >= ROUND_ACKS).then_some(()));
        server.kill();
        for publisher in publishers {
            publisher.join().expect("the publisher saw what it expected");
        }
        while let Some(event) = listener.next_event() {
            assert_ne!(event["type"], "missed", "{event}");
            for record in event["records"].as_array().into_iter().flatten() {
                let topic = record["topic"].as_str().expect("a topic").to_owned();
                heard.entry(topic).or_default().push(record["seq"].as_u64().expect("a seq"));
                position = record["pos"].as_str().map(str::to_owned);
            }
        }
    }

    let server = Server::dev(&data);
    let mut client = server.client();
    for (publisher, account) in accounts.iter().enumerate() {
        let account = account.lock().expect("no panic");
        let kept = history(&mut client, &topic(publisher));
        let seqs: Vec<u64> = kept.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "numbers are dense");
        let numbers: HashSet<u64> = kept.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers.len(), kept.len(), "nothing is there twice");
        let places: HashMap<u64, u64> = kept.iter().map(|(seq, number)| (*number, *seq)).collect();
        for (number, seq) in &account.acked {
            assert_eq!(places.get(number), Some(seq), "message {number} of publisher {publisher}");
        }
        let order: Vec<u64> = kept.iter().map(|(_, number)| *number).collect();
        assert!(order.is_sorted(), "order is kept per topic: {order:?}");
        let acked = account.acked.len() as u64;
        assert!(acked + (WINDOW as u64) * (ROUNDS as u64) >= kept.len() as u64);
    }
    for (topic, seqs) in heard {
        assert!(seqs.windows(2).all(|w| w[1] == w[0] + 1), "{topic} was heard with a hole or twice");
    }
}
