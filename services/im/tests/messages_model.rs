//! Random changes by several people at once, with restarts between, give the history that a model says.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::join_all;
use proptest::prelude::*;
use serde_json::{Value, json};
use world::World;

const USERS: [&str; 3] = ["ann", "bob", "dan"];
const EMOJIS: [&str; 3] = ["👍", "😀", "x"];

#[derive(Debug, Clone)]
enum Step {
    Send,
    InThread(u64),
    Edit(u64),
    Recall(u64),
    React(u64, usize, bool),
    Pin(u64, bool),
    Delete(u64),
    Clear(u64),
}

#[derive(Debug, Clone)]
enum Turn {
    /// What each of the three does at the same time.
    Together([Option<Step>; 3]),
    Restart,
    Wait,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Said {
    by: usize,
    text: String,
    edits: u64,
    recalled: bool,
    reactions: BTreeMap<usize, BTreeSet<usize>>,
    pinned: bool,
    replies: u64,
    thread: Option<u64>,
}

#[derive(Debug, Default)]
struct Model {
    said: BTreeMap<u64, Said>,
    deleted: [BTreeSet<u64>; 3],
    cleared: [u64; 3],
}

impl Step {
    /// The message that it is done to.
    fn target(&self) -> Option<u64> {
        match self {
            Self::Send => None,
            Self::InThread(seq)
            | Self::Edit(seq)
            | Self::Recall(seq)
            | Self::React(seq, ..)
            | Self::Pin(seq, _)
            | Self::Delete(seq)
            | Self::Clear(seq) => Some(*seq),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let seq = 1_u64..12;
    prop_oneof![
        4 => Just(Step::Send),
        1 => seq.clone().prop_map(Step::InThread),
        3 => seq.clone().prop_map(Step::Edit),
        1 => seq.clone().prop_map(Step::Recall),
        4 => (seq.clone(), 0_usize..3, any::<bool>()).prop_map(|(s, e, off)| Step::React(s, e, off)),
        2 => (seq.clone(), any::<bool>()).prop_map(|(s, off)| Step::Pin(s, off)),
        1 => seq.clone().prop_map(Step::Delete),
        1 => (1_u64..4).prop_map(Step::Clear),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    let together = [prop::option::of(step()), prop::option::of(step()), prop::option::of(step())];
    prop_oneof![12 => together.prop_map(Turn::Together), 1 => Just(Turn::Restart), 1 => Just(Turn::Wait)]
}

impl Model {
    fn sees(&self, user: usize, seq: u64) -> bool {
        self.said.contains_key(&seq) && seq > self.cleared[user] && !self.deleted[user].contains(&seq)
    }

    /// Whether a step would be done now.
    fn takes(&self, user: usize, step: &Step) -> bool {
        let lives = |seq: &u64| self.sees(user, *seq) && !self.said[seq].recalled;
        match step {
            Step::Send => true,
            Step::InThread(seq) => lives(seq) && self.said[seq].thread.is_none(),
            Step::Edit(seq) => lives(seq) && self.said[seq].by == user,
            // Done again, it changes nothing.
            Step::Recall(seq) => {
                self.sees(user, *seq) && (user == 0 || self.said[seq].by == user || self.said[seq].recalled)
            }
            Step::React(seq, ..) => lives(seq),
            Step::Pin(seq, _) => lives(seq) && user == 0,
            Step::Delete(seq) | Step::Clear(seq) => self.said.contains_key(seq),
        }
    }

    fn apply(&mut self, user: usize, step: &Step, text: &str, told: &Value) {
        let new = |thread| Said { by: user, text: text.to_owned(), thread, ..Said::default() };
        match step {
            Step::Send => {
                self.said.insert(told["seq"].as_u64().unwrap(), new(None));
            }
            Step::InThread(root) => {
                self.said.insert(told["seq"].as_u64().unwrap(), new(Some(*root)));
                self.said.get_mut(root).unwrap().replies += 1;
            }
            Step::Edit(seq) => {
                let said = self.said.get_mut(seq).unwrap();
                if !said.recalled {
                    said.text = text.to_owned();
                    said.edits += 1;
                }
            }
            Step::Recall(seq) => {
                let said = self.said.get_mut(seq).unwrap();
                *said = Said {
                    by: said.by,
                    replies: said.replies,
                    thread: said.thread,
                    recalled: true,
                    ..Said::default()
                };
            }
            Step::React(seq, emoji, off) => {
                let said = self.said.get_mut(seq).unwrap();
                if !said.recalled {
                    let users = said.reactions.entry(*emoji).or_default();
                    if *off {
                        users.remove(&user)
                    } else {
                        users.insert(user)
                    };
                    said.reactions.retain(|_, users| !users.is_empty());
                }
            }
            Step::Pin(seq, off) => {
                let said = self.said.get_mut(seq).unwrap();
                said.pinned = !off && !said.recalled;
            }
            Step::Delete(seq) => {
                self.deleted[user].insert(*seq);
            }
            Step::Clear(through) => self.cleared[user] = self.cleared[user].max(*through),
        }
    }

    /// The history as one of them is to see it.
    fn history(&self, user: usize) -> Vec<(u64, Said)> {
        let seen = self.said.iter().filter(|(seq, _)| self.sees(user, **seq));
        seen.map(|(seq, said)| (*seq, said.clone())).collect()
    }
}

fn asked(id: &str, step: &Step, text: &str) -> (&'static str, Value) {
    let content = json!({ "kind": "text", "text": text });
    match step {
        Step::Send => ("send", json!({ "conversation": id, "content": content })),
        Step::InThread(root) => (
            "send",
            json!({ "conversation": id, "content": { "kind": "text", "text": text, "thread": root } }),
        ),
        Step::Edit(seq) => ("edit", json!({ "conversation": id, "seq": seq, "content": content })),
        Step::Recall(seq) => ("recall", json!({ "conversation": id, "seq": seq })),
        Step::React(seq, emoji, off) => {
            ("react", json!({ "conversation": id, "seq": seq, "emoji": EMOJIS[*emoji], "off": off }))
        }
        Step::Pin(seq, off) => ("pin", json!({ "conversation": id, "seq": seq, "off": off })),
        Step::Delete(seq) => ("delete", json!({ "conversation": id, "seqs": [seq] })),
        Step::Clear(through) => ("clear", json!({ "conversation": id, "through": through })),
    }
}

/// A message as the server shows it, in the model's words.
fn shown(message: &Value, me: usize, threads: &BTreeMap<u64, Option<u64>>) -> (u64, Said) {
    let seq = message["seq"].as_u64().unwrap();
    let place = |name: &Value| USERS.iter().position(|user| name.as_str() == Some(*user)).unwrap();
    let mut said = Said {
        by: place(&message["from"]),
        text: message["content"]["text"].as_str().unwrap_or_default().to_owned(),
        edits: message["edited"]["count"].as_u64().unwrap_or(0),
        recalled: message["recalled"].is_object(),
        pinned: message["pinned"].is_object(),
        replies: message["thread"]["count"].as_u64().unwrap_or(0),
        thread: threads[&seq],
        ..Said::default()
    };
    for reaction in message["reactions"].as_array().into_iter().flatten() {
        let emoji = EMOJIS.iter().position(|emoji| reaction["emoji"] == *emoji).unwrap();
        let users: BTreeSet<usize> = reaction["users"].as_array().unwrap().iter().map(place).collect();
        assert_eq!(reaction["count"], users.len());
        assert_eq!(reaction["mine"], users.contains(&me));
        said.reactions.insert(emoji, users);
    }
    (seq, said)
}

async fn compare(world: &World, id: &str, model: &Model) {
    let threads = model.said.iter().map(|(seq, said)| (*seq, said.thread)).collect();
    for (user, name) in USERS.iter().enumerate() {
        let page = world.ask(name, "history", json!({ "conversation": id, "limit": 200 })).await;
        let messages = page["messages"].as_array().unwrap();
        let found: Vec<_> = messages.iter().map(|message| shown(message, user, &threads)).collect();
        assert_eq!(found, model.history(user), "{name}");
        assert_eq!(page["at_end"], true);
        // The same by small pages, from the other end.
        let (mut after, mut pages) = (0, Vec::new());
        loop {
            let of = json!({ "conversation": id, "after": after, "limit": 2 });
            let page = world.ask(name, "history", of).await;
            pages.extend(page["messages"].as_array().unwrap().clone());
            match page["next"].as_u64() {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(&pages, messages, "{name}");
    }
}

async fn run(turns: Vec<Turn>) {
    let mut world = World::new().await;
    let made =
        world.ask("ann", "create", json!({ "kind": "group", "title": "g", "members": ["bob", "dan"] })).await;
    let id = made["id"].as_str().unwrap().to_owned();
    let mut model = Model::default();
    for (n, turn) in turns.into_iter().enumerate() {
        let steps = match turn {
            Turn::Restart => {
                world.restart().await;
                compare(&world, &id, &model).await;
                continue;
            }
            Turn::Wait => {
                world.pass(Duration::from_secs(11)).await;
                continue;
            }
            Turn::Together(steps) => steps,
        };
        let steps: Vec<(usize, Step, String)> = steps
            .into_iter()
            .enumerate()
            .filter_map(|(user, step)| Some((user, step?, format!("{n}-{user}"))))
            .filter(|(user, step, _)| *user == 0 || !matches!(step, Step::Pin(..)))
            // Whether a message is there that is sent at the same time, nobody can say.
            .filter(|(_, step, _)| {
                step.target()
                    .is_none_or(|seq| seq <= model.said.len() as u64 || seq > model.said.len() as u64 + 3)
            })
            .collect();
        let takes: Vec<bool> = steps.iter().map(|(user, step, _)| model.takes(*user, step)).collect();
        let answers = join_all(steps.iter().map(|(user, step, text)| {
            let (op, body) = asked(&id, step, text);
            world.start(USERS[*user], op, body)
        }))
        .await;
        // What somebody recalls at the same time is gone whatever else is done to it.
        let recalled = |seq: u64| steps.iter().any(|(_, s, _)| matches!(s, Step::Recall(of) if *of == seq));
        for recalls in [false, true] {
            for (((user, step, text), answer), takes) in steps.iter().zip(&answers).zip(&takes) {
                if matches!(step, Step::Recall(_)) != recalls {
                    continue;
                }
                let contended = match step {
                    Step::InThread(seq) | Step::Edit(seq) | Step::React(seq, ..) | Step::Pin(seq, _) => {
                        recalled(*seq)
                    }
                    _ => false,
                };
                assert!(contended || answer.is_ok() == *takes, "{} {step:?}: {answer:?}", USERS[*user]);
                if let Ok(told) = answer {
                    model.apply(*user, step, text, told);
                }
            }
        }
        compare(&world, &id, &model).await;
    }
    world.restart().await;
    compare(&world, &id, &model).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_at_once_history_is_as_it_was_done(turns in prop::collection::vec(turn(), 1..30)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(turns));
    }
}
