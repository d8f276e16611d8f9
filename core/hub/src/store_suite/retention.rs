//! What retention takes, what it leaves, and how a gap is told.

use std::{sync::Arc, time::Duration};

use super::{
    ALL, Suite, T0, append, beginnings, bodies, filter, history, keyed, message, open, read_on, seconds,
    topic,
};
use crate::{
    space::Limits,
    store::{Journal, Missed, PageSize, Range, Store},
};

/// The numbers of a topic that are there, all of them up to the newest.
async fn kept(journal: &Arc<dyn Journal>, name: &str) -> Vec<u64> {
    let page = history(journal, name, Range::Newest, usize::MAX).await;
    let seqs: Vec<u64> = page.records.iter().map(|r| r.seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "what is kept has no holes");
    seqs
}

pub(super) async fn by_number(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits { records_max: 10, ..Limits::NONE }, 2)).await;
    for i in 0..60_u64 {
        append(&journal, T0, message(["a", "b", "c"][i as usize % 3], &i.to_string())).await;
    }
    let mut all = 0;
    for (name, least) in [("a", 3), ("b", 3), ("c", 4)] {
        let seqs = kept(&journal, name).await;
        assert!(seqs.len() >= least && seqs.last() == Some(&20), "{name}: never more than is over");
        assert!(!suite.exact || seqs.len() == least, "{name}: {seqs:?}");
        all += seqs.len();
    }
    assert_eq!(journal.figures().records, all as u64);
    let appended = append(&journal, T0, message("a", "numbers go on")).await;
    assert_eq!(appended.seq, 21);
}

pub(super) async fn by_age(suite: &Suite, store: Arc<dyn Store>) {
    let limits = Limits { age_max: Duration::from_secs(10), ..Limits::NONE };
    let journal = open(&store, &suite.space(limits, 2)).await;
    for i in 0..40 {
        append(&journal, seconds(i), message("a", "x")).await;
        append(&journal, seconds(i), message("b", "x")).await;
    }
    for name in ["a", "b"] {
        let seqs = kept(&journal, name).await;
        assert!(seqs.len() >= 11 && seqs.last() == Some(&40), "{name}: never more than is over");
        assert!(!suite.exact || seqs.len() == 11, "{name}: {seqs:?}");
    }
}

pub(super) async fn by_bytes(suite: &Suite, store: Arc<dyn Store>) {
    let body = "x".repeat(1000);
    let journal = open(&store, &suite.space(Limits { bytes_max: 20_000, ..Limits::NONE }, 1)).await;
    for _ in 0..100 {
        append(&journal, T0, message("a", &body)).await;
    }
    let seqs = kept(&journal, "a").await;
    // What a record weighs besides its body is the store's own business, but it is less than half a body.
    assert!(seqs.len() >= 13 && seqs.last() == Some(&100), "never more than is over: {seqs:?}");
    assert!(!suite.exact || journal.figures().bytes <= 20_000);
}

pub(super) async fn a_gap_is_told(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits { records_max: 10, ..Limits::NONE }, 1)).await;
    let mut places = Vec::new();
    for i in 1..=50_u64 {
        places.push(append(&journal, T0, message("a", &i.to_string())).await.position);
    }
    let begin = beginnings(&journal)[0];
    let oldest = kept(&journal, "a").await[0];
    let page = history(&journal, "a", Range::After(4), 3).await;
    assert_eq!(page.missed, Missed::Count(oldest.saturating_sub(5)));
    assert_eq!(page.records.first().map(|r| r.seq), Some(oldest.max(5)));
    for pattern in ["#", "a"] {
        for (after, place) in [(0, begin), (30, places[29]), (45, places[44])] {
            let (records, missed) =
                read_on(&journal, place, &filter(pattern), PageSize { records_max: 3, ..ALL }).await;
            let first = records.first().map(|r| r.seq).expect("the newest are there");
            let gap = first - after - 1;
            let told = missed == Missed::Count(gap) || (missed == Missed::Unknown && gap > 0);
            assert!(told, "{pattern} after {after}: {gap} are gone, told {missed:?}");
        }
        let (records, missed) = read_on(&journal, places[49], &filter(pattern), ALL).await;
        assert_eq!((records.len(), missed), (0, Missed::NONE));
    }
    let (records, missed) = read_on(&journal, begin, &filter("other/#"), ALL).await;
    assert!(records.is_empty() && missed != Missed::Count(1), "what never was is not counted");
}

/// A lamp that was set once and then left alone is still set, however much was said since.
pub(super) async fn the_state_outlives_it(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits { records_max: 10, ..Limits::NONE }, 1)).await;
    append(&journal, T0, keyed("lamp", "kitchen", "on")).await;
    append(&journal, T0, keyed("lamp", "cellar", "on")).await;
    for i in 0..50 {
        append(&journal, T0, message("chatter", &i.to_string())).await;
    }
    let state = journal.state(&filter("#"), 9).await.expect("state is read");
    assert_eq!(
        state.iter().filter_map(|r| r.message.key.as_deref()).collect::<Vec<_>>(),
        ["kitchen", "cellar"]
    );
    append(&journal, T0, keyed("lamp", "kitchen", "")).await;
    append(&journal, T0, keyed("lamp", "cellar", "off")).await;
    let state = journal.state(&filter("lamp"), 9).await.expect("state is read");
    assert_eq!(bodies(&state), ["off"]);
}

pub(super) async fn what_outlived_it_is_erased(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits { records_max: 10, ..Limits::NONE }, 1)).await;
    append(&journal, T0, keyed("lamp", "kitchen", "on")).await;
    append(&journal, T0, keyed("lamp", "cellar", "on")).await;
    append(&journal, T0, message("chatter", "first")).await;
    for i in 0..50 {
        append(&journal, T0, message("chatter", &i.to_string())).await;
    }
    let gone = kept(&journal, "chatter").await[0] > 1;
    let erased = journal.erase(&topic("chatter"), vec![1]).await.expect("records are erased");
    assert_eq!(erased, u64::from(!gone), "what expired is passed over");
    let erased = journal.erase(&topic("lamp"), vec![1, 5]).await.expect("records are erased");
    assert_eq!(erased, 1);
    let state = journal.state(&filter("#"), 9).await.expect("state is read");
    assert_eq!(state.iter().filter_map(|r| r.message.key.as_deref()).collect::<Vec<_>>(), ["cellar"]);
    assert_eq!(journal.erase(&topic("lamp"), vec![1]).await, Ok(0), "once is enough");
}

pub(super) async fn what_it_took_since_a_moment_is_told(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits { records_max: 10, ..Limits::NONE }, 1)).await;
    for i in 0..50 {
        append(&journal, seconds(i), message("a", "x")).await;
    }
    let gone = 50 - kept(&journal, "a").await.len() as u64;
    for at in [0, 30, 39, 40, 45] {
        let places = journal.since(seconds(at)).await.expect("places are found");
        let (records, missed) = read_on(&journal, places[0], &filter("#"), ALL).await;
        assert_eq!(records.len() as u64, 50 - gone.max(at));
        assert_eq!(missed != Missed::NONE, gone > at, "since {at}: {missed:?}");
    }
}
