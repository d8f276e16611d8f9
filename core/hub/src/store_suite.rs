//! What every [`Store`] must do, as checks that any engine's tests can run.
//!
//! ```text
//! let suite = Suite { fresh: Box::new(|| …), keep: Keep::Disk, exact: false };
//! block_on(store_suite::run(suite));
//! ```

mod erase;
mod model;
mod retention;
mod tables;

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use yizhan_talk::Timestamp;

use crate::{
    message::{Content, Headers, Message, MessageId, Position, Record, Sender, SessionId},
    space::{Dedup, Keep, Lag, Limits, Space},
    store::{Appended, Journal, Missed, Page, PageSize, Range, Store, Tail},
    topic::{Filter, Topic},
};

/// A store to be checked.
pub struct Suite {
    /// Makes a new, empty store; called once for each check.
    pub fresh: Box<dyn FnMut() -> BoxFuture<'static, Arc<dyn Store>> + Send>,
    /// What the store is for: `Keep::Memory` or `Keep::Disk`.
    pub keep: fn(Limits) -> Keep,
    /// Whether retention takes exactly what is over the limits, at once. Otherwise it may take it later, but
    /// never more.
    pub exact: bool,
}

/// Runs all checks; the name of the running one is printed, and the first that fails panics. It waits for
/// the tail, so the caller should limit its time. Gives how many there were.
pub async fn run(mut suite: Suite) -> usize {
    let mut checks = 0;
    macro_rules! check {
        ($($check:path),* $(,)?) => {$(
            println!("store: {}", stringify!($check));
            let store = (suite.fresh)().await;
            $check(&suite, store).await;
            checks += 1;
        )*};
    }
    check![
        numbers_are_dense_in_each_topic,
        positions_grow_in_each_lane,
        many_appends_at_once_keep_the_order_of_their_calls,
        the_tail_hears_all_in_the_order_of_each_lane,
        reading_on_gives_everything_once,
        a_page_holds_what_was_asked_for_and_at_least_one,
        reading_by_wildcard_gives_what_matches,
        reading_past_what_does_not_match_reaches_the_end,
        a_topics_history_is_read_from_both_ends,
        a_topics_history_is_read_by_time,
        the_state_is_the_newest_of_each_key,
        an_empty_body_takes_a_key_out_of_the_state,
        a_repeated_id_gets_the_first_ones_place,
        ids_are_forgotten_by_age,
        ids_are_forgotten_by_number,
        what_was_given_is_what_is_read,
        topics_are_listed_in_order,
        erase::what_was_said_is_gone_and_all_else_stays,
        erase::an_erased_record_is_no_keys_value,
        erase::the_newest_of_each_topic_is_found,
        erase::the_first_since_a_moment_is_found,
        retention::by_number,
        retention::by_age,
        retention::by_bytes,
        retention::a_gap_is_told,
        retention::the_state_outlives_it,
        retention::what_outlived_it_is_erased,
        retention::what_it_took_since_a_moment_is_told,
        tables::a_value_has_a_version_that_grows,
        tables::putting_happens_only_as_expected,
        tables::of_many_who_put_at_once_one_wins,
        tables::scanning_goes_in_order_and_on,
        tables::tables_are_apart,
        tables::many_rows_are_put_as_one,
        tables::too_many_rows_at_once_are_refused,
        tables::keys_that_no_table_takes_are_refused,
        tables::many_keys_are_read_in_their_order,
        model::everything_agrees_with_a_plain_list,
    ];
    checks
}

// --- what the checks are written with

pub(crate) fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap_or_else(|bad| panic!("{name}: {bad}"))
}

pub(crate) fn filter(pattern: &str) -> Filter {
    Filter::new(pattern).unwrap_or_else(|bad| panic!("{pattern}: {bad}"))
}

/// A message with the given body and nothing else.
pub(crate) fn message(name: &str, body: &str) -> Message {
    Message {
        topic: topic(name),
        key: None,
        id: None,
        from: Sender { user: "ann".into(), device: None, session: SessionId(7) },
        content: Content::Text,
        headers: Headers::from([]),
        body: Bytes::copy_from_slice(body.as_bytes()),
        expires_at: None,
        qos: crate::Qos::default(),
    }
}

fn keyed(name: &str, key: &str, body: &str) -> Message {
    Message { key: Some(key.into()), ..message(name, body) }
}

fn with_id(id: u128, body: &str) -> Message {
    Message { id: Some(MessageId(id)), ..message("a", body) }
}

pub(crate) const ALL: PageSize = PageSize { records_max: usize::MAX, bytes_max: usize::MAX };
/// When the checks take place.
pub(crate) const T0: Timestamp = Timestamp(1_700_000_000_000_000);

pub(crate) fn seconds(seconds: u64) -> Timestamp {
    T0.plus(Duration::from_secs(seconds))
}

impl Suite {
    pub(crate) fn space(&self, limits: Limits, lanes: u16) -> Space {
        Space {
            name: "checked".into(),
            topics: filter("#"),
            keep: (self.keep)(limits),
            lag: Lag::CatchUp,
            dedup: Dedup::default(),
            lanes,
        }
    }
}

async fn open(store: &Arc<dyn Store>, space: &Space) -> Arc<dyn Journal> {
    store.journal(space).await.expect("a journal is opened")
}

async fn append(journal: &Arc<dyn Journal>, at: Timestamp, message: Message) -> Appended {
    journal.append(at, message).await.expect("an append is kept")
}

fn bodies(records: &[Arc<Record>]) -> Vec<String> {
    records.iter().map(|r| String::from_utf8_lossy(&r.message.body).into_owned()).collect()
}

/// The place before everything in each lane.
fn beginnings(journal: &Arc<dyn Journal>) -> Vec<Position> {
    journal.heads().into_iter().map(|head| Position { offset: 0, ..head }).collect()
}

/// Reads a lane to its end, page by page.
pub(crate) async fn read_on(
    journal: &Arc<dyn Journal>,
    mut after: Position,
    filter: &Filter,
    page: PageSize,
) -> (Vec<Arc<Record>>, Missed) {
    let (mut records, mut missed) = (Vec::new(), Missed::NONE);
    loop {
        let page = journal.read(after, filter, page).await.expect("a page is read");
        assert!(page.at_end || !page.records.is_empty(), "a page before the end has a record");
        let through = page.through.expect("a read says how far it looked");
        assert!(through.same_lane(&after) && through >= after, "reading goes on");
        assert!(page.records.iter().all(|r| r.position.is_some_and(|p| p > after && p <= through)));
        missed = missed.and(page.missed);
        records.extend(page.records);
        if page.at_end {
            return (records, missed);
        }
        after = through;
    }
}

async fn history(journal: &Arc<dyn Journal>, name: &str, range: Range, records_max: usize) -> Page {
    let page = PageSize { records_max, ..ALL };
    let page = journal.history(&topic(name), range, page).await.expect("history is read");
    assert_eq!(page.through, page.records.last().and_then(|r| r.position));
    page
}

/// What the tail was told, and who waits for more.
#[derive(Default)]
pub(crate) struct Heard(Mutex<(Vec<Arc<Record>>, Option<Waker>)>);

impl Tail for Heard {
    fn appended(&self, records: &[Arc<Record>]) {
        let mut heard = self.0.lock();
        heard.0.extend(records.iter().cloned());
        let waker = heard.1.take();
        drop(heard);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Heard {
    /// Waits until that many were heard of, and gives them.
    pub(crate) async fn at_least(&self, records: usize) -> Vec<Arc<Record>> {
        poll_fn(|cx| {
            let mut heard = self.0.lock();
            if heard.0.len() >= records {
                return Poll::Ready(heard.0.clone());
            }
            heard.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

// --- order

async fn numbers_are_dense_in_each_topic(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 3)).await;
    for round in 1..=5 {
        for name in ["a", "b/c", "a/b/c/d", "z"] {
            let appended = append(&journal, T0, message(name, "x")).await;
            assert_eq!((appended.seq, appended.at, appended.duplicate), (round, T0, false));
            assert_eq!(appended.position.space, journal.id());
        }
    }
}

async fn positions_grow_in_each_lane(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 2)).await;
    let mut newest = journal.heads();
    assert_eq!(newest.len(), 2, "one head a lane");
    for i in 0..40 {
        let appended = append(&journal, T0, message(&format!("t/{}", i % 7), "x")).await;
        let lane = usize::from(appended.position.lane);
        assert!(appended.position.same_lane(&newest[lane]) && appended.position > newest[lane]);
        newest[lane] = appended.position;
        assert!(journal.heads()[lane] >= appended.position, "what is safe is at or before the head");
    }
    assert_eq!(journal.heads(), newest);
}

async fn many_appends_at_once_keep_the_order_of_their_calls(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 2)).await;
    let waiting: Vec<_> =
        (0..300).map(|i| journal.append(T0, message(&format!("t/{}", i % 3), &i.to_string()))).collect();
    let mut seqs: HashMap<usize, u64> = HashMap::new();
    for (i, appended) in join_all(waiting).await.into_iter().enumerate() {
        let seq = seqs.entry(i % 3).or_default();
        *seq += 1;
        assert_eq!(appended.expect("an append is kept").seq, *seq);
    }
    for t in 0..3 {
        let page = history(&journal, &format!("t/{t}"), Range::After(0), usize::MAX).await;
        let expected: Vec<_> = (0..100).map(|i| (i * 3 + t).to_string()).collect();
        assert_eq!(bodies(&page.records), expected);
    }
}

async fn the_tail_hears_all_in_the_order_of_each_lane(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 2)).await;
    let heard = Arc::new(Heard::default());
    journal.set_tail(heard.clone());
    let waiting: Vec<_> =
        (0..200).map(|i| journal.append(T0, message(&format!("t/{}", i % 5), &i.to_string()))).collect();
    join_all(waiting).await;
    let heard = heard.at_least(200).await;
    assert_eq!(heard.len(), 200);
    for begin in beginnings(&journal) {
        let (read, missed) = read_on(&journal, begin, &filter("#"), ALL).await;
        assert_eq!(missed, Missed::NONE);
        let of_lane = heard.iter().filter(|r| r.position.is_some_and(|p| p.same_lane(&begin)));
        let of_lane: Vec<_> = of_lane.map(|r| (r.position, r.seq, r.message.body.clone())).collect();
        let read: Vec<_> = read.iter().map(|r| (r.position, r.seq, r.message.body.clone())).collect();
        assert_eq!(of_lane, read);
    }
}

// --- reading on

async fn reading_on_gives_everything_once(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 2)).await;
    for i in 0..100 {
        append(&journal, T0, message(&format!("t/{}", i % 9), &i.to_string())).await;
    }
    for records_max in [1, 3, 7, 1000] {
        let mut got = Vec::new();
        for begin in beginnings(&journal) {
            let page = PageSize { records_max, ..ALL };
            let (records, missed) = read_on(&journal, begin, &filter("#"), page).await;
            assert_eq!(missed, Missed::NONE);
            got.extend(bodies(&records));
            // From each record on: just what comes after it.
            for (i, record) in records.iter().enumerate().step_by(11) {
                let place = record.position.expect("a kept record has a place");
                let (rest, _) = read_on(&journal, place, &filter("#"), page).await;
                assert_eq!(bodies(&rest), bodies(&records[i + 1..]));
                let (from, _) = read_on(&journal, place.before(), &filter("#"), page).await;
                assert_eq!(bodies(&from), bodies(&records[i..]));
            }
        }
        got.sort_by_key(|body| body.parse::<u32>().unwrap_or(u32::MAX));
        assert_eq!(got, (0..100).map(|i| i.to_string()).collect::<Vec<_>>());
    }
}

async fn a_page_holds_what_was_asked_for_and_at_least_one(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 1)).await;
    for body in ["1234567890", "12345", "12345", "1"] {
        append(&journal, T0, message("a", body)).await;
    }
    let begin = beginnings(&journal)[0];
    for pattern in ["a", "#"] {
        let sizes = [(usize::MAX, 20, 3), (usize::MAX, 10, 1), (usize::MAX, 1, 1), (2, 1000, 2), (0, 0, 1)];
        for (records_max, bytes_max, expected) in sizes {
            let page = journal.read(begin, &filter(pattern), PageSize { records_max, bytes_max }).await;
            let page = page.expect("a page is read");
            assert_eq!((page.records.len(), page.at_end), (expected, false), "{records_max} {bytes_max}");
            assert_eq!(page.through, page.records.last().and_then(|r| r.position));
        }
    }
    let size = PageSize { records_max: 9, bytes_max: 11 };
    let newest = journal.history(&topic("a"), Range::Newest, size).await.expect("history is read");
    assert_eq!(
        (bodies(&newest.records), newest.at_end),
        (vec!["12345".into(), "12345".into(), "1".into()], false)
    );
    let oldest = journal.history(&topic("a"), Range::After(0), size).await.expect("history is read");
    assert_eq!((oldest.records.len(), oldest.at_end), (1, false));
}

async fn reading_by_wildcard_gives_what_matches(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 1)).await;
    let names = ["a", "a/b", "a/b/c", "ab", "b", "b/b", "$x", "a/$x", "/a", "a/"];
    for i in 0..200_usize {
        append(&journal, T0, message(names[i * 7 % names.len()], &i.to_string())).await;
    }
    let begin = beginnings(&journal)[0];
    for pattern in ["#", "+", "a/#", "a/+", "+/b", "+/+", "a", "a/b", "$x", "$x/#", "none/#", "/+", "+/b/#"] {
        let filter = filter(pattern);
        let expected: Vec<_> = (0..200_usize)
            .filter(|i| filter.matches_name(names[i * 7 % names.len()]))
            .map(|i| i.to_string())
            .collect();
        for records_max in [4, 1000] {
            let (records, missed) = read_on(&journal, begin, &filter, PageSize { records_max, ..ALL }).await;
            assert_eq!((bodies(&records), missed), (expected.clone(), Missed::NONE), "{pattern}");
        }
    }
}

/// What a subscription that fell behind goes live by: a page at the end looked as far as the head.
async fn reading_past_what_does_not_match_reaches_the_end(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 1)).await;
    append(&journal, T0, message("rare/1", "x")).await;
    for i in 0..3000 {
        append(&journal, T0, message(&format!("often/{}", i % 4), "x")).await;
    }
    append(&journal, T0, message("rare/2", "y")).await;
    append(&journal, T0, message("often/1", "x")).await;
    let head = journal.heads()[0];
    for pattern in ["rare/+", "rare/1", "rare/2", "none", "none/#"] {
        let page =
            journal.read(beginnings(&journal)[0], &filter(pattern), ALL).await.expect("a page is read");
        assert_eq!((page.through, page.at_end, page.missed), (Some(head), true, Missed::NONE), "{pattern}");
        let page = journal.read(head, &filter(pattern), ALL).await.expect("a page is read");
        assert_eq!((page.records.len(), page.through, page.at_end), (0, Some(head), true), "{pattern}");
    }
    let one = PageSize { records_max: 1, ..ALL };
    let (both, _) = read_on(&journal, beginnings(&journal)[0], &filter("rare/+"), one).await;
    assert_eq!(bodies(&both), ["x", "y"]);
}

// --- history and state

async fn a_topics_history_is_read_from_both_ends(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 2)).await;
    for i in 1..=20 {
        append(&journal, T0, message("a", &i.to_string())).await;
        append(&journal, T0, message("other", "x")).await;
    }
    // (range, at most, first and last number given, at its end)
    let cases = [
        (Range::Newest, 5, Some((16, 20)), false),
        (Range::Newest, 20, Some((1, 20)), true),
        (Range::Newest, 99, Some((1, 20)), true),
        (Range::After(0), 5, Some((1, 5)), false),
        (Range::After(15), 5, Some((16, 20)), true),
        (Range::After(15), 4, Some((16, 19)), false),
        (Range::After(20), 5, None, true),
        (Range::After(u64::MAX), 5, None, true),
        (Range::Before(16), 5, Some((11, 15)), false),
        (Range::Before(6), 5, Some((1, 5)), true),
        (Range::Before(1), 5, None, true),
        (Range::Before(0), 5, None, true),
        (Range::Before(u64::MAX), 2, Some((19, 20)), false),
        (Range::Between(3, 9), 99, Some((4, 8)), true),
        (Range::Between(3, 9), 2, Some((4, 5)), false),
        (Range::Between(3, 4), 9, None, true),
        (Range::Between(9, 3), 9, None, true),
        (Range::Between(18, 99), 9, Some((19, 20)), true),
    ];
    for (range, most, expected, at_end) in cases {
        let page = history(&journal, "a", range, most).await;
        let seqs: Vec<u64> = page.records.iter().map(|r| r.seq).collect();
        let expected: Vec<u64> = expected.map_or(vec![], |(first, last)| (first..=last).collect());
        assert_eq!((seqs, page.at_end, page.missed), (expected, at_end, Missed::NONE), "{range:?} {most}");
        assert!(page.records.iter().all(|r| r.message.body == r.seq.to_string()));
    }
    for range in [Range::Newest, Range::After(0), Range::Before(9), Range::Since(T0)] {
        let page = history(&journal, "unknown", range, 9).await;
        assert_eq!((page.records.len(), page.at_end, page.missed), (0, true, Missed::NONE));
    }
}

async fn a_topics_history_is_read_by_time(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 1)).await;
    for i in 1..=20 {
        append(&journal, seconds(i / 2 * 10), message("a", &i.to_string())).await;
    }
    for (since, most, expected, at_end) in [
        (T0, 3, vec![1, 2, 3], false),
        (seconds(50), 3, vec![10, 11, 12], false),
        (seconds(51), 2, vec![12, 13], false),
        (seconds(100), 9, vec![20], true),
        (seconds(101), 9, vec![], true),
        (Timestamp(0), 99, (1..=20).collect(), true),
    ] {
        let page = history(&journal, "a", Range::Since(since), most).await;
        let seqs: Vec<u64> = page.records.iter().map(|r| r.seq).collect();
        assert_eq!((seqs, page.at_end), (expected, at_end), "{since}");
    }
}

async fn the_state_is_the_newest_of_each_key(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 1)).await;
    for round in 0..3 {
        for (name, key) in [("a", "k1"), ("a", "k2"), ("a/b", "k1"), ("c", "k9")] {
            append(&journal, T0, keyed(name, key, &format!("{name} {key} {round}"))).await;
        }
        append(&journal, T0, message("a", "no key")).await;
    }
    append(&journal, T0, keyed("a", "k1", "a k1 again")).await;
    let cases = [
        ("a", vec!["a k2 2", "a k1 again"]),
        ("a/#", vec!["a k2 2", "a/b k1 2", "a k1 again"]),
        ("#", vec!["a k2 2", "a/b k1 2", "c k9 2", "a k1 again"]),
        ("+/b", vec!["a/b k1 2"]),
        ("none", vec![]),
    ];
    for (pattern, expected) in cases {
        let state = journal.state(&filter(pattern), 100).await.expect("state is read");
        assert_eq!(bodies(&state), expected, "{pattern}");
    }
    assert_eq!(journal.state(&filter("#"), 2).await.expect("state is read").len(), 2);
}

async fn an_empty_body_takes_a_key_out_of_the_state(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 1)).await;
    append(&journal, T0, keyed("a", "k1", "one")).await;
    append(&journal, T0, keyed("a", "k2", "two")).await;
    let removal = append(&journal, T0, keyed("a", "k1", "")).await;
    append(&journal, T0, keyed("a", "never there", "")).await;
    append(&journal, T0, keyed("a", "", "the empty key is a key")).await;
    let state = journal.state(&filter("#"), 100).await.expect("state is read");
    assert_eq!(bodies(&state), ["two", "the empty key is a key"]);
    let page = history(&journal, "a", Range::Newest, 9).await;
    assert_eq!((page.records.len(), removal.seq), (5, 3), "a removal is a record like others");
    append(&journal, T0, keyed("a", "k1", "back")).await;
    let state = journal.state(&filter("#"), 100).await.expect("state is read");
    assert_eq!(bodies(&state), ["two", "the empty key is a key", "back"]);
}

// --- repeated messages

async fn a_repeated_id_gets_the_first_ones_place(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 1)).await;
    let heard = Arc::new(Heard::default());
    journal.set_tail(heard.clone());
    // All under way at once: a repetition is recognised before the first one is safe.
    let waiting =
        [with_id(1, "one"), with_id(2, "two"), with_id(1, "one again")].map(|m| journal.append(T0, m));
    let answers = join_all(waiting).await;
    let [one, two, again] = [0, 1, 2].map(|i: usize| answers[i].clone().expect("an append is kept"));
    assert_eq!((one.seq, one.duplicate, two.seq, two.duplicate), (1, false, 2, false));
    assert_eq!(again, Appended { duplicate: true, ..one });
    let later = append(&journal, seconds(60), with_id(1, "one much later")).await;
    assert_eq!(later, Appended { duplicate: true, ..one });
    append(&journal, T0, message("a", "last")).await;
    assert_eq!(bodies(&history(&journal, "a", Range::After(0), 9).await.records), ["one", "two", "last"]);
    assert_eq!(bodies(&heard.at_least(3).await), ["one", "two", "last"]);
}

async fn ids_are_forgotten_by_age(suite: &Suite, store: Arc<dyn Store>) {
    let dedup = Dedup { age_max: Duration::from_secs(10), ids_max: 1000 };
    let journal = open(&store, &Space { dedup, ..suite.space(Limits::NONE, 1) }).await;
    append(&journal, seconds(0), with_id(1, "one")).await;
    assert!(append(&journal, seconds(10), with_id(1, "at the end of the window")).await.duplicate);
    assert!(!append(&journal, seconds(11), with_id(1, "behind the window")).await.duplicate);
    let again = append(&journal, seconds(12), with_id(1, "in a new window")).await;
    assert_eq!((again.duplicate, again.seq, again.at), (true, 2, seconds(11)));
}

async fn ids_are_forgotten_by_number(suite: &Suite, store: Arc<dyn Store>) {
    let dedup = Dedup { age_max: Duration::from_secs(1000), ids_max: 3 };
    let journal = open(&store, &Space { dedup, ..suite.space(Limits::NONE, 1) }).await;
    for id in 1..=3 {
        append(&journal, T0, with_id(id, "x")).await;
    }
    assert!(append(&journal, T0, with_id(1, "x")).await.duplicate);
    assert!(!append(&journal, T0, with_id(4, "x")).await.duplicate);
    assert!(append(&journal, T0, with_id(2, "x")).await.duplicate);
    assert!(!append(&journal, T0, with_id(1, "the oldest id went")).await.duplicate);
}

async fn what_was_given_is_what_is_read(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 1)).await;
    let full = Message {
        topic: topic("räume/küche/厨房"),
        key: Some("schlüssel".into()),
        id: Some(MessageId(u128::MAX - 5)),
        from: Sender { user: "ann".into(), device: Some("phone".into()), session: SessionId(u64::MAX) },
        content: Content::Other("image/png".into()),
        headers: Headers::from([("a".into(), "1".into()), ("a".into(), "2".into()), ("b".into(), "".into())]),
        body: (0..=255_u8).cycle().take(70_000).collect::<Vec<u8>>().into(),
        expires_at: Some(seconds(5)),
        qos: crate::Qos::AtMostOnce,
    };
    append(&journal, seconds(3), full.clone()).await;
    for content in [Content::Binary, Content::Text, Content::Json] {
        append(&journal, seconds(4), Message { content, ..message("plain", "") }).await;
    }
    let (records, _) = read_on(&journal, beginnings(&journal)[0], &filter("#"), ALL).await;
    let (read, at) = (&records[0].message, records[0].at);
    assert_eq!((at, &read.topic, &read.key, read.id), (seconds(3), &full.topic, &full.key, full.id));
    assert_eq!((&read.from, &read.content, &read.headers), (&full.from, &full.content, &full.headers));
    assert_eq!((&read.body, read.expires_at, read.qos), (&full.body, full.expires_at, full.qos));
    let contents: Vec<_> = records[1..].iter().map(|r| r.message.content.clone()).collect();
    assert_eq!(contents, [Content::Binary, Content::Text, Content::Json]);
    let plain = &records[1].message;
    assert_eq!((&plain.key, plain.id, &plain.from.device, plain.expires_at), (&None, None, &None, None));
}

async fn topics_are_listed_in_order(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 2)).await;
    for name in ["b", "a", "a/c", "a/b", "c", "a", "ab"] {
        append(&journal, T0, message(name, "x")).await;
    }
    let names = |pattern: &str, after: Option<&str>, most| -> Vec<String> {
        let after = after.map(topic);
        let listed = journal.topics(&filter(pattern), after.as_ref(), most);
        listed.iter().map(|summary| summary.topic.to_string()).collect()
    };
    assert_eq!(names("#", None, 99), ["a", "a/b", "a/c", "ab", "b", "c"]);
    assert_eq!(names("#", None, 2), ["a", "a/b"]);
    assert_eq!(names("#", Some("a/b"), 2), ["a/c", "ab"]);
    assert_eq!(names("a/#", None, 99), ["a", "a/b", "a/c"]);
    assert_eq!(names("a/+", Some("a/b"), 99), ["a/c"]);
    assert_eq!(names("b", None, 99), ["b"]);
    assert_eq!(names("b", Some("b"), 99), Vec::<String>::new());
    let of_a = &journal.topics(&filter("a"), None, 1)[0];
    assert_eq!((of_a.oldest_seq, of_a.newest_seq), (1, 2));
    let figures = journal.figures();
    assert_eq!((figures.records, figures.topics, figures.waiting), (7, 6, 0));
    assert!(figures.bytes > 0);
}
