//! Chance against a plain list: what a seed appends is read in every way there is.

use std::{collections::HashMap, sync::Arc};

use super::{ALL, Suite, T0, filter, message, read_on};
use crate::{
    message::{Content, Message, MessageId, Position, Record},
    space::Limits,
    store::{Journal, Missed, PageSize, Range, Store},
    topic::Topic,
};

const NAMES: [&str; 6] = ["a", "a/b", "b", "b/c/d", "a/c", "$x/y"];
const FILTERS: [&str; 8] = ["#", "a/#", "+", "+/b", "a", "b/c/d", "$x/#", "+/c/+"];

/// xorshift64: the same seed gives the same run, everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

pub(super) async fn everything_agrees_with_a_plain_list(suite: &Suite, store: Arc<dyn Store>) {
    for seed in 1..=8_u64 {
        let mut space = suite.space(Limits::NONE, 1 + (seed % 3) as u16);
        space.name = format!("seed {seed}");
        let journal = store.journal(&space).await.expect("a journal is opened");
        one_seed(&journal, Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))).await;
    }
}

async fn one_seed(journal: &Arc<dyn Journal>, mut chance: Chance) {
    let mut list: Vec<(Position, u64, Message)> = Vec::new();
    let mut seqs: HashMap<Topic, u64> = HashMap::new();
    let mut ids: HashMap<MessageId, Position> = HashMap::new();
    for step in 0..250 {
        let name = NAMES[chance.below(6) as usize];
        let body = if chance.below(5) == 0 { String::new() } else { step.to_string() };
        let key = (chance.below(3) == 0).then(|| format!("k{}", chance.below(3)).into());
        let id = (chance.below(2) == 0).then(|| MessageId(u128::from(chance.below(60))));
        let message = Message { key, id, ..message(name, &body) };
        let appended = journal.append(T0, message.clone()).await.expect("an append is kept");
        if let Some(first) = id.and_then(|id| ids.get(&id)) {
            assert_eq!((appended.duplicate, appended.position), (true, *first));
        } else {
            let seq = seqs.entry(message.topic.clone()).or_default();
            *seq += 1;
            assert_eq!((appended.duplicate, appended.seq), (false, *seq));
            ids.extend(id.map(|id| (id, appended.position)));
            list.push((appended.position, *seq, message));
        }
        if chance.below(6) == 0 {
            erase(journal, &mut list, &mut chance).await;
        }
        if chance.below(8) == 0 {
            look(journal, &list, &mut chance).await;
        }
    }
    look(journal, &list, &mut chance).await;
}

/// Erases some of a topic's records, and what is none.
async fn erase(journal: &Arc<dyn Journal>, list: &mut [(Position, u64, Message)], chance: &mut Chance) {
    let name = Topic::new(NAMES[chance.below(6) as usize]).expect("a constant");
    let seqs: Vec<u64> = (0..chance.below(4)).map(|_| chance.below(30)).collect();
    let mut expected = 0;
    for (_, seq, message) in list {
        if message.topic == name && seqs.contains(seq) && message.content != Content::Binary {
            expected += 1;
            *message = Message { body: bytes::Bytes::new(), content: Content::Binary, ..message.clone() };
        }
    }
    assert_eq!(journal.erase(&name, seqs).await, Ok(expected));
}

type Seen = Vec<(Position, u64)>;

fn seen(records: &[Arc<Record>]) -> Seen {
    records.iter().filter_map(|r| Some((r.position?, r.seq))).collect()
}

async fn look(journal: &Arc<dyn Journal>, list: &[(Position, u64, Message)], chance: &mut Chance) {
    let wanted = filter(FILTERS[chance.below(8) as usize]);
    let page = PageSize { records_max: 1 + chance.below(9) as usize, ..ALL };
    for head in journal.heads() {
        let of_lane: Vec<_> = list.iter().filter(|(place, ..)| place.same_lane(&head)).collect();
        let skip = chance.below(of_lane.len() as u64 + 1) as usize;
        let after = of_lane[..skip].last().map_or(Position { offset: 0, ..head }, |(place, ..)| *place);
        let matching = of_lane[skip..].iter().filter(|(_, _, message)| wanted.matches(&message.topic));
        let expected: Seen = matching.map(|(place, seq, _)| (*place, *seq)).collect();
        let (records, missed) = read_on(journal, after, &wanted, page).await;
        assert_eq!((seen(&records), missed), (expected, Missed::NONE), "{wanted} after {after}");
        for record in &records {
            let known = list.iter().find(|(place, ..)| Some(*place) == record.position);
            let known = known.map(|(_, _, message)| (&message.body, &message.content));
            assert_eq!(known, Some((&record.message.body, &record.message.content)));
        }
    }
    let name = Topic::new(NAMES[chance.below(6) as usize]).expect("a constant");
    let of_topic: Seen =
        list.iter().filter(|(_, _, m)| m.topic == name).map(|(place, seq, _)| (*place, *seq)).collect();
    let (a, b) = (chance.below(40), chance.below(40));
    for range in [Range::Newest, Range::After(a), Range::Before(a), Range::Between(a, b)] {
        let mut expected = of_topic.clone();
        expected.retain(|(_, seq)| match range {
            Range::After(a) => *seq > a,
            Range::Before(a) => *seq < a,
            Range::Between(a, b) => *seq > a && *seq < b,
            _ => true,
        });
        let all = expected.len();
        if matches!(range, Range::Newest | Range::Before(_)) {
            expected.drain(..all.saturating_sub(page.records_max));
        } else {
            expected.truncate(page.records_max);
        }
        let found = journal.history(&name, range, page).await.expect("history is read");
        let at_end = expected.len() == all;
        assert_eq!((seen(&found.records), found.at_end), (expected, at_end), "{name} {range:?}");
    }
    let mut state: HashMap<(&Topic, &Arc<str>), (Position, u64)> = HashMap::new();
    for (place, seq, message) in list {
        let Some(key) = &message.key else { continue };
        if message.body.is_empty() {
            state.remove(&(&message.topic, key));
        } else if wanted.matches(&message.topic) {
            state.insert((&message.topic, key), (*place, *seq));
        }
    }
    let mut expected: Seen = state.into_values().collect();
    expected.sort_unstable();
    let state = journal.state(&wanted, usize::MAX).await.expect("state is read");
    assert_eq!(seen(&state), expected, "the state of {wanted}");
}
