//! One lane on a disk that crashes, against a plain list: everything acknowledged is there, nothing twice,
//! in order, with dense numbers; states and repeated ids are right.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use yizhan_hub::{
    message::{Content, Message, MessageId, Position, Record, SpaceId},
    space::{Dedup, Limits},
    store::{Appended, Missed, PageSize, Range, StoreError},
};

use super::{sim_files::*, support::*};
use crate::{
    Config, Meters,
    codec::LanePlace,
    dedup::Ids,
    keep,
    lane::{Lane, Shape, Surroundings},
    recover,
    writer::{self, Writer},
};

pub(super) const PLACE: LanePlace = LanePlace { space: SpaceId(1), lane: 0, epoch: 9 };
pub(super) const FOLDER: &str = "/lane";
const TOPICS: [&str; 7] = ["a", "a/b", "a/b/c", "d", "d/e", "rare", "$x"];
pub(super) const FILTERS: [&str; 6] = ["#", "a/#", "+/b", "d", "rare", "$x"];

type Body = Vec<u8>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Erased {
    No,
    Perhaps,
    Yes,
}

/// One record that is there, or may be.
#[derive(Debug, Clone)]
pub(super) struct Known {
    topic: &'static str,
    key: Option<String>,
    id: Option<u128>,
    body: Body,
    /// It was to be erased. Whether it is shows after the next start, where that failed.
    erased: Erased,
    pub(super) appended: Option<Appended>,
}

pub(super) struct Bench {
    pub(super) files: SimFiles,
    pub(super) shelf: Arc<SimShelf>,
    pub(super) config: Arc<Config>,
    pub(super) limits: Limits,
    pub(super) chance: Chance,
    /// Everything acknowledged, in order of places.
    pub(super) list: Vec<Known>,
    /// What was on its way when the power failed, in order.
    pub(super) maybe: Vec<Known>,
    /// Retention ran, so old records may be gone.
    retained: bool,
    serial: u64,
}

pub(super) struct Life {
    pub(super) lane: Arc<Lane>,
    pub(super) writer: Writer,
}

impl Bench {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let config = Config {
            segment_bytes: 2000 + chance.below(12_000),
            reserve_bytes: 1000,
            cache_bytes: chance.below(3) as usize * 3000,
            checkpoint_bytes: 4000,
            open_files_max: 2,
            ..Config::default()
        };
        let bytes_max = if chance.one_in(2) { 30_000 } else { u64::MAX };
        Self {
            files: SimFiles::new(seed),
            shelf: Arc::default(),
            config: Arc::new(config),
            limits: Limits { bytes_max, ..Limits::NONE },
            chance,
            list: vec![],
            maybe: vec![],
            retained: false,
            serial: 0,
        }
    }

    pub(super) fn open(&mut self) -> Life {
        let around = Surroundings {
            files: Arc::new(self.files.clone()),
            shelf: self.shelf.clone(),
            meters: Arc::new(Meters::default()),
            config: self.config.clone(),
        };
        let dedup = Dedup { age_max: Duration::from_secs(1000), ids_max: 100_000 };
        let ids = Arc::new(Mutex::new(Ids::new(dedup)));
        if self.chance.one_in(4) {
            // The power fails again while the lane is opened.
            self.files.burn(self.chance.below(8));
            drop(recover::open(PLACE, Path::new(FOLDER), &ids, shape(&self.config), around.clone()));
            self.files.restart();
        }
        let (lane, report) =
            recover::open(PLACE, Path::new(FOLDER), &ids, shape(&self.config), around).unwrap();
        assert_eq!(report.damaged, [""; 0], "a crash is not damage");
        let writer = Writer::new(lane.clone()).unwrap();
        let mut life = Life { lane, writer };
        self.settle(&mut life);
        life
    }

    /// Finds out what became of those that were on their way.
    fn settle(&mut self, life: &mut Life) {
        let after = self.list.last().map_or(0, |k| k.appended.unwrap().position.offset);
        let there = read_all(&life.lane, after, "#", 50).0;
        // What was kept may be of topics that "#" does not match.
        let hidden = read_all(&life.lane, after, "$x", 50).0;
        let mut all: Vec<_> = there.into_iter().chain(hidden).collect();
        all.sort_by_key(|r| r.position.unwrap().offset);
        // Some may never have been written, but what was is in the order of the calls.
        let mut maybe = std::mem::take(&mut self.maybe).into_iter();
        for record in &all {
            let m = &record.message;
            let is_it = |k: &Known| {
                (k.topic, k.key.as_deref(), k.id.map(MessageId)) == (m.topic.as_str(), m.key.as_deref(), m.id)
                    && k.body == m.body
            };
            let mut known = maybe.find(is_it).expect("nothing comes from nowhere");
            known.appended = Some(Appended {
                position: record.position.unwrap(),
                seq: record.seq,
                at: record.at,
                duplicate: false,
            });
            self.list.push(known);
        }
        self.settle_erased(&life.lane);
        self.look(life);
    }

    /// Finds out which records were erased where that was cut off.
    fn settle_erased(&mut self, lane: &Lane) {
        let mut state = lane.state(&filter("#"), usize::MAX).unwrap();
        state.extend(lane.state(&filter("$x"), usize::MAX).unwrap());
        for known in self.list.iter_mut().filter(|k| k.erased == Erased::Perhaps) {
            let position = known.appended.unwrap().position;
            let there = if position.offset > lane.log.begin() {
                lane.log.record(position.offset).unwrap().0.message.content != Content::Binary
            } else {
                state.iter().any(|r| r.position == Some(position))
            };
            known.erased = if there { Erased::No } else { Erased::Yes };
            if !there {
                known.body.clear();
            }
        }
    }

    /// Erases some records of a topic. Gives whether the power is still there.
    fn erase(&mut self, life: &Life) -> bool {
        let name = TOPICS[self.chance.below(7) as usize];
        let most = self.list.iter().filter(|k| k.topic == name).count() as u64 + 2;
        let seqs: Vec<u64> = (0..1 + self.chance.below(6)).map(|_| self.chance.below(most)).collect();
        let (lane, begin) = (&life.lane, life.lane.log.begin());
        let state = lane.state(&filter(if name == "$x" { "$x" } else { "#" }), usize::MAX).unwrap();
        let mut expected = 0;
        for known in self.list.iter_mut().filter(|k| k.topic == name && k.erased == Erased::No) {
            let appended = known.appended.unwrap();
            let there = appended.position.offset > begin
                || state.iter().any(|record| record.position == Some(appended.position));
            if there && seqs.contains(&appended.seq) {
                known.erased = Erased::Perhaps;
                expected += 1;
            }
        }
        let mut erased = lane.erase_now(&topic(name), seqs.clone());
        if erased == Err(StoreError::Full) {
            // It goes on where it stopped; what is erased by then is not counted again.
            self.files.set_free(u64::MAX);
            erased = lane.erase_now(&topic(name), seqs).map(|_| expected);
        }
        let Ok(count) = erased else { return false };
        assert_eq!(count, expected);
        for known in self.list.iter_mut().filter(|k| k.erased == Erased::Perhaps) {
            known.erased = Erased::Yes;
            known.body.clear();
        }
        true
    }

    /// Gives whether life goes on.
    fn step(&mut self, life: &mut Life) -> bool {
        match self.chance.below(22) {
            0 => drop(life.lane.checkpoint()),
            1 => life.lane.prepare(),
            2 => {
                self.retained |= self.limits.bytes_max < u64::MAX;
                // On a full disk retention goes on without saving the ids of what it deletes.
                self.files.set_free(u64::MAX);
                drop(keep::retain(std::slice::from_ref(&life.lane), &self.limits, T0));
            }
            3 => self.look(life),
            4 => self.files.set_free([0, 500, 3000][self.chance.below(3) as usize]),
            5 | 6 => self.files.set_free(u64::MAX),
            7 => self.repeat(life),
            8 | 9 => return self.erase(life),
            _ => self.append(life),
        }
        true
    }

    pub(super) fn message(&mut self) -> Known {
        self.serial += 1;
        let topic = if self.chance.one_in(60) { "rare" } else { TOPICS[self.chance.below(7) as usize] };
        let key = self.chance.one_in(4).then(|| format!("k{}", self.chance.below(4)));
        // One without a body is told from others by its id.
        let id = self.chance.one_in(3).then_some(u128::from(self.serial));
        let body = if self.chance.one_in(6) {
            vec![]
        } else {
            let long = if self.chance.one_in(20) { 6000 } else { 300 };
            let mut body = self.serial.to_string().into_bytes();
            body.resize(body.len() + self.chance.below(long) as usize, b'.');
            body
        };
        let id = if body.is_empty() { Some(u128::from(self.serial)) } else { id };
        Known { topic, key, id, body, erased: Erased::No, appended: None }
    }

    pub(super) fn append(&mut self, life: &mut Life) {
        let (mut batch, mut waiting) = (vec![], vec![]);
        for _ in 0..=self.chance.below(12) {
            let known = self.message();
            waiting.push((known.clone(), life.lane.append(T0, message_of(&known))));
        }
        life.lane.queue.take_now(&mut batch, usize::MAX);
        let lane = life.lane.clone();
        life.writer.turn(&mut batch, &mut |told| writer::tell(&lane, told));
        for (mut known, answer) in waiting {
            match now(answer) {
                Ok(appended) => {
                    assert!(!appended.duplicate);
                    // Whatever was left behind the end was cleaned before.
                    self.maybe.clear();
                    known.appended = Some(appended);
                    self.list.push(known);
                }
                Err(StoreError::Full) if life.writer.dirty.is_none() => {}
                Err(StoreError::Full) => self.maybe.push(known),
                // Whoever is told this does not know.
                Err(StoreError::Failed(_)) => self.maybe.push(known),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Sends a message that was acknowledged once more.
    fn repeat(&mut self, life: &mut Life) {
        let known: Vec<&Known> = self.list.iter().filter(|k| k.id.is_some()).collect();
        if known.is_empty() {
            return;
        }
        let known = known[self.chance.below(known.len() as u64) as usize];
        let again = now(life.lane.append(T0, message_of(known))).unwrap();
        assert_eq!(again, Appended { duplicate: true, ..known.appended.unwrap() });
    }

    /// Compares everything that can be read with the list.
    fn look(&mut self, life: &Life) {
        let lane = &life.lane;
        let begin = lane.log.begin();
        let left = |k: &&Known| k.appended.unwrap().position.offset > begin;
        assert!(self.retained || begin == 0);
        let mut seqs: HashMap<&str, u64> = HashMap::new();
        for known in &self.list {
            let seq = seqs.entry(known.topic).or_default();
            *seq += 1;
            assert_eq!(known.appended.unwrap().seq, *seq, "numbers are dense in {}", known.topic);
        }
        for pattern in FILTERS {
            let wanted = filter(pattern);
            let size = 1 + self.chance.below(40) as usize;
            let matching: Vec<&Known> = self.list.iter().filter(|k| wanted.matches_name(k.topic)).collect();
            let (records, _) = read_all(lane, 0, pattern, size);
            let expected: Vec<_> = matching.iter().copied().filter(left).collect();
            same(&records, &expected);
            if let Some(from) = matching.get(self.chance.below(matching.len() as u64 + 1) as usize) {
                let after = from.appended.unwrap().position.offset;
                let (records, missed) = read_all(lane, after, pattern, size);
                let expected: Vec<_> = matching
                    .iter()
                    .filter(|k| k.appended.unwrap().position.offset > after)
                    .copied()
                    .collect();
                let there: Vec<_> = expected.iter().copied().filter(left).collect();
                same(&records, &there);
                let gone = expected.len() - there.len();
                assert!(gone == 0 || missed == Missed::Unknown || missed == Missed::Count(gone as u64));
            }
        }
        for name in TOPICS {
            self.look_at_topic(lane, name);
        }
        let mut state: BTreeMap<(&str, &str), &Known> = BTreeMap::new();
        for known in &self.list {
            let Some(key) = &known.key else { continue };
            state.remove(&(known.topic, key));
            if !known.body.is_empty() {
                state.insert((known.topic, key), known);
            }
        }
        for pattern in ["#", "$x", "a/#"] {
            let wanted = filter(pattern);
            let mut expected: Vec<&Known> =
                state.values().copied().filter(|k| wanted.matches_name(k.topic)).collect();
            expected.sort_by_key(|k| k.appended.unwrap().position.offset);
            same(&lane.state(&wanted, usize::MAX).unwrap(), &expected);
        }
    }

    fn look_at_topic(&mut self, lane: &Lane, name: &'static str) {
        let begin = lane.log.begin();
        let of_topic: Vec<&Known> = self.list.iter().filter(|k| k.topic == name).collect();
        let gone = of_topic.iter().filter(|k| k.appended.unwrap().position.offset <= begin).count();
        let (a, b) = (self.chance.below(30), self.chance.below(30));
        let size = PageSize { records_max: 1 + self.chance.below(20) as usize, ..ALL };
        for range in [Range::Newest, Range::Before(a), Range::After(a), Range::Between(a, b)] {
            let page = lane.history_recent(&topic(name), range, size);
            let page = page.unwrap_or_else(|| lane.history_files(&topic(name), range, size).unwrap());
            let mut expected: Vec<&Known> = of_topic[gone..].to_vec();
            expected.retain(|k| {
                let seq = k.appended.unwrap().seq;
                match range {
                    Range::After(a) => seq > a,
                    Range::Before(a) => seq < a,
                    Range::Between(a, b) => seq > a && seq < b,
                    _ => true,
                }
            });
            let all = expected.len();
            if matches!(range, Range::Newest | Range::Before(_)) {
                expected.drain(..all.saturating_sub(size.records_max));
            } else {
                expected.truncate(size.records_max);
            }
            same(&page.records, &expected);
            assert_eq!(page.at_end, expected.len() == all, "{name} {range:?}");
            if let Range::After(a) = range {
                assert_eq!(page.missed, Missed::Count((gone as u64).saturating_sub(a)));
            }
        }
    }
}

pub(super) fn shape(config: &Config) -> Shape {
    Shape { bytes_max: config.segment_bytes, records_max: u64::MAX, age_max: Duration::MAX }
}

pub(super) fn message_of(known: &Known) -> Message {
    Message {
        key: known.key.as_deref().map(Into::into),
        id: known.id.map(MessageId),
        body: known.body.clone().into(),
        ..message(known.topic, "")
    }
}

pub(super) fn same(records: &[Arc<Record>], expected: &[&Known]) {
    let got: Vec<_> = records.iter().map(|r| (r.position.unwrap(), r.seq, &r.message.body[..])).collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|k| (k.appended.unwrap().position, k.appended.unwrap().seq, &k.body[..]))
        .collect();
    assert!(got == expected, "{:?} is not {:?}", brief(&got), brief(&expected));
}

fn brief(list: &[(Position, u64, &[u8])]) -> Vec<(u64, u64)> {
    list.iter().map(|(position, seq, _)| (position.offset, *seq)).collect()
}

pub(super) fn read_all(
    lane: &Lane,
    mut after: u64,
    pattern: &str,
    records_max: usize,
) -> (Vec<Arc<Record>>, Missed) {
    let size = PageSize { records_max, ..ALL };
    let (mut records, mut missed) = (vec![], Missed::NONE);
    loop {
        let page = lane.read_recent(after, &filter(pattern), size);
        let page = page.unwrap_or_else(|| lane.read_files(after, &filter(pattern), size).unwrap());
        assert!(page.at_end || !page.records.is_empty());
        records.extend(page.records);
        missed = missed.and(page.missed);
        after = page.through.unwrap().offset;
        if page.at_end {
            return (records, missed);
        }
    }
}

/// An answer that is there already.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("nobody answered"),
    }
}

fn run(seed: u64) {
    let mut bench = Bench::new(seed);
    for _ in 0..5 {
        let mut life = bench.open();
        // Some lives end by themselves, most by a power failure at some change.
        if !bench.chance.one_in(4) {
            bench.files.burn(bench.chance.below(150));
        }
        let steps = 10 + bench.chance.below(60);
        for _ in 0..steps {
            let goes_on = bench.step(&mut life);
            if !goes_on || life.lane.failed.get().is_some() {
                break;
            }
        }
        if bench.chance.one_in(5) {
            drop(life.lane.checkpoint());
        }
        drop(life);
        bench.files.set_free(u64::MAX);
        bench.files.restart();
    }
    bench.open();
}

/// Set `YIZHAN_CRASH_SEEDS` to run more of them.
#[test]
#[expect(clippy::disallowed_methods, reason = "whoever runs the test may ask for more seeds")]
fn whatever_the_crash_what_was_acknowledged_is_there() {
    let seeds = std::env::var("YIZHAN_CRASH_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let first = std::env::var("YIZHAN_CRASH_FIRST").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    for seed in first..first + seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            println!("seed {seed} failed");
            std::panic::resume_unwind(panic);
        }
    }
}
