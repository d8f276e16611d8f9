//! Webhooks against a program that is well, down, slow, or out of its mind.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod served;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use served::{GROUP, PATIENCE, Program, TAKEN, served, served_over};
use yizhan_chat::{
    BeforeHook, Config,
    config::{Before, Hears, Hook, Otherwise},
};
use yizhan_identity::Secret;
use yizhan_im::{
    content::Content,
    seams::{Before as _, Draft, Verdict},
};
use yizhan_net::SystemClock;
use yizhan_talk::Clock as _;

const SECRET: &str = "0123456789abcdef";
const BROKEN: &str = "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const ROOT: &str = "authorization: Bearer root";

fn hook(url: &str) -> Config {
    hooks(Hook {
        url: url.to_owned(),
        secret: Secret::new(SECRET.to_owned()),
        within: Duration::from_millis(500),
        retry_min: Duration::from_millis(20),
        retry_max: Duration::from_millis(40),
        ..Hook::default()
    })
}

fn hooks(hook: Hook) -> Config {
    Config { hooks: BTreeMap::from([("shop".to_owned(), hook)]), ..Config::default() }
}

/// What is shown of the hook.
async fn state(served: &served::Served) -> Value {
    served.post("/im/v1/admin/webhooks", &[ROOT], b"").await.json()["webhooks"][0].clone()
}

/// Waits until the hook began: what is said from then on is for it.
async fn begun(served: &served::Served) {
    let waiting = async {
        while state(served).await["positions"].as_array().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test]
async fn what_happened_is_told_in_order_and_signed() {
    let program = Program::new(&[TAKEN]).await;
    let served = served(hook(&program.url)).await;
    begun(&served).await;
    served.say("one").await;
    served.publish(&format!("im/c/{GROUP}/events"), json!({ "event": "edit", "message_seq": 1 })).await;
    served.say("two").await;
    program.until(|p| p.texts(TAKEN).len() == 2).await;
    assert_eq!(program.texts(TAKEN), ["one", "two"]);
    let heard = program.heard.lock().unwrap().clone();
    let events: Vec<Value> =
        heard.iter().flat_map(|heard| heard.body["events"].as_array().unwrap().clone()).collect();
    assert_eq!(events[1]["what"], "change");
    assert_eq!((&events[0]["conversation"], &events[0]["from"]), (&json!(GROUP), &json!("ann")));
    let head = heard[0].head.to_ascii_lowercase();
    for part in ["x-yizhan-signature: t=", ",v1=", "x-yizhan-delivery: ", "x-yizhan-attempt: 1"] {
        assert!(head.contains(part), "{head}");
    }
}

#[tokio::test]
async fn nothing_is_lost_over_an_outage_and_a_restart() {
    let program = Program::new(&[BROKEN]).await;
    let first = served(hook(&program.url)).await;
    begun(&first).await;
    first.say("one").await;
    first.say("two").await;
    program.until(|p| p.texts(BROKEN).len() >= 3).await;
    let shown = state(&first).await;
    assert!(
        shown["failed"].as_u64().unwrap() > 0
            && shown["last_error"] == "it answered 500"
            && shown["waiting"] == 2,
        "{shown}"
    );
    let store = first.end().await;
    program.answer(&[TAKEN]);
    let second = served_over(hook(&program.url), store).await;
    second.say("three").await;
    program.until(|p| p.texts(TAKEN).len() == 3).await;
    assert_eq!(program.texts(TAKEN), ["one", "two", "three"]);
    // What was taken is not told again.
    let third = served_over(hook(&program.url), second.end().await).await;
    third.say("four").await;
    program.until(|p| p.texts(TAKEN).len() >= 4).await;
    assert_eq!(program.texts(TAKEN), ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn what_is_no_yes_is_tried_again() {
    let program = Program::new(&[
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "garbage\r\n\r\n",
        "",
        "HTTP/1.1 500 Oh\r\ncontent-length: 104857600\r\n\r\n",
        "HTTP/1.1 429 Slow\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        TAKEN,
    ])
    .await;
    let served = served(hook(&program.url)).await;
    begun(&served).await;
    served.say("one").await;
    program.until(|p| p.texts(TAKEN).len() == 1).await;
    let heard = program.heard.lock().unwrap().clone();
    assert_eq!(heard.len(), 6);
    assert!(heard.iter().all(|post| post.body == heard[0].body), "each attempt says the same");
    assert!(heard[5].head.to_ascii_lowercase().contains("x-yizhan-attempt: 6"));
}

#[tokio::test]
async fn a_program_that_takes_less_gets_smaller_posts() {
    let program = Program::new(&[BROKEN]).await;
    let served = served(hook(&program.url)).await;
    begun(&served).await;
    for i in 0..8 {
        served.say(&i.to_string()).await;
    }
    const LARGE: &str = "HTTP/1.1 413 Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    program.until(|p| !p.texts(BROKEN).is_empty()).await;
    program.answer(&[LARGE, LARGE, TAKEN]);
    program.until(|p| p.texts(TAKEN).len() == 8).await;
    assert_eq!(program.texts(TAKEN), ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

#[tokio::test]
async fn what_was_told_is_told_again_from_a_time() {
    let program = Program::new(&[TAKEN]).await;
    let served = served(hook(&program.url)).await;
    begun(&served).await;
    served.say("one").await;
    program.until(|p| p.texts(TAKEN).len() == 1).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let since = served.hub.now().wall.as_millis();
    served.say("two").await;
    program.until(|p| p.texts(TAKEN).len() == 2).await;
    let replay = json!({ "webhook": "shop", "since": since }).to_string();
    assert_eq!(served.post("/im/v1/admin/replay", &[ROOT], replay.as_bytes()).await.status, 200);
    program.until(|p| p.texts(TAKEN).len() == 3).await;
    let replay = json!({ "webhook": "shop", "since": 0 }).to_string();
    assert_eq!(served.post("/im/v1/admin/replay", &[ROOT], replay.as_bytes()).await.status, 200);
    program.until(|p| p.texts(TAKEN).len() == 5).await;
    assert_eq!(program.texts(TAKEN), ["one", "two", "two", "one", "two"]);
}

#[tokio::test]
async fn a_hook_hears_what_it_asked_for() {
    let program = Program::new(&[TAKEN]).await;
    let Config { hooks: all, .. } = hook(&program.url);
    let served = served(hooks(Hook { hears: vec![Hears::Changes], ..all["shop"].clone() })).await;
    begun(&served).await;
    served.say("one").await;
    served.publish(&format!("im/c/{GROUP}/events"), json!({ "event": "recall", "message_seq": 1 })).await;
    program.until(|p| !p.heard.lock().unwrap().is_empty()).await;
    let heard = program.heard.lock().unwrap().clone();
    assert_eq!(heard[0].body["events"].as_array().unwrap().len(), 1);
    assert_eq!(heard[0].body["events"][0]["data"]["event"], "recall");
}

fn before(url: &str, otherwise: Otherwise) -> BeforeHook {
    let config = Before {
        url: url.to_owned(),
        secret: Secret::new(SECRET.to_owned()),
        otherwise,
        ..Before::default()
    };
    BeforeHook::new(&config, Arc::new(|| SystemClock.now())).unwrap()
}

fn draft(text: &str) -> Draft {
    Draft { conversation: GROUP.into(), from: "ann".into(), device: None, content: Content::text(text) }
}

#[tokio::test]
async fn a_program_allows_changes_and_refuses() {
    let program = Program::new(&[
        TAKEN,
        "HTTP/1.1 200 OK\r\ncontent-length: 64\r\nconnection: close\r\n\r\n{\"verdict\":\"change\",\"content\":{\"kind\":\"text\",\"text\":\"***\"}}      ",
        "HTTP/1.1 200 OK\r\ncontent-length: 41\r\nconnection: close\r\n\r\n{\"verdict\":\"refuse\",\"reason\":\"no links\"}  ",
    ])
    .await;
    let hook = before(&program.url, Otherwise::Refuse);
    assert!(matches!(hook.ask(draft("hi")).await, Verdict::Allow));
    let heard = program.heard.lock().unwrap()[0].clone();
    assert_eq!(
        heard.body,
        json!({ "conversation": GROUP, "from": "ann", "content": { "kind": "text", "text": "hi" } })
    );
    assert!(heard.head.to_ascii_lowercase().contains("x-yizhan-signature: t="));
    let changed = hook.ask(draft("damn")).await;
    assert!(
        matches!(&changed, Verdict::Change(content) if content.text.as_deref() == Some("***")),
        "{changed:?}"
    );
    let refused = hook.ask(draft("http://x")).await;
    assert!(matches!(&refused, Verdict::Refuse(reason) if reason == "no links"), "{refused:?}");
}

#[tokio::test]
async fn a_program_out_of_its_mind_costs_its_budget_and_the_config_decides() {
    let huge = "HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n{\"verdict\":\"refuse\"";
    for (otherwise, allowed) in [(Otherwise::Allow, true), (Otherwise::Refuse, false)] {
        for answer in [
            "",
            "what\r\n\r\n",
            BROKEN,
            "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnull",
            huge,
        ] {
            let program = Program::new(&[answer]).await;
            let hook = before(&program.url, otherwise);
            let began = tokio::time::Instant::now();
            let verdict = hook.ask(draft("hi")).await;
            assert!(began.elapsed() < Duration::from_secs(2), "{answer}");
            let as_configured = if allowed {
                matches!(verdict, Verdict::Allow)
            } else {
                matches!(verdict, Verdict::Unanswered)
            };
            assert!(as_configured, "{answer}: {verdict:?}");
        }
    }
}

#[tokio::test]
async fn a_program_that_hangs_is_left_alone_for_a_moment() {
    let program = Program::new(&[""]).await;
    let hook = before(&program.url, Otherwise::Allow);
    for _ in 0..8 {
        assert!(matches!(hook.ask(draft("hi")).await, Verdict::Allow));
    }
    let began = tokio::time::Instant::now();
    for _ in 0..100 {
        assert!(matches!(hook.ask(draft("hi")).await, Verdict::Allow));
    }
    assert!(began.elapsed() < Duration::from_millis(150), "nobody is asked");
    let heard = program.heard.lock().unwrap().len();
    assert_eq!(heard, 8);
    // After a second it is asked again.
    program.answer(&[TAKEN]);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(matches!(hook.ask(draft("hi")).await, Verdict::Allow));
    program.until(|p| p.heard.lock().unwrap().len() == 9).await;
}
