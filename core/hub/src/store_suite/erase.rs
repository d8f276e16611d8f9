//! What is erased is gone, and everything else stays where it was; and finding the newest and the first since a
//! moment.

use std::sync::Arc;

use super::{
    ALL, Suite, append, beginnings, bodies, filter, history, keyed, message, open, read_on, seconds, topic,
};
use crate::{
    message::{Content, Message, MessageId, Record},
    space::Limits,
    store::{Journal, Range, Store},
};

fn said(body: &str) -> Message {
    let headers = [("subject".into(), format!("about {body}").into())];
    Message { headers: headers.into(), id: Some(MessageId(body.len() as u128)), ..message("a", body) }
}

async fn everything(journal: &Arc<dyn Journal>) -> Vec<Arc<Record>> {
    let mut records = vec![];
    for beginning in beginnings(journal) {
        records.extend(read_on(journal, beginning, &filter("#"), ALL).await.0);
    }
    records
}

async fn erase(journal: &Arc<dyn Journal>, name: &str, seqs: &[u64]) -> u64 {
    journal.erase(&topic(name), seqs.to_vec()).await.expect("records are erased")
}

pub(super) async fn what_was_said_is_gone_and_all_else_stays(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 2)).await;
    let mut given = vec![];
    for i in 1..=20 {
        given.push((
            append(&journal, seconds(i), said(&"x".repeat(i as usize))).await,
            said(&"x".repeat(i as usize)),
        ));
        append(&journal, seconds(i), message("b", "other")).await;
    }
    let before = everything(&journal).await;
    assert_eq!(erase(&journal, "a", &[3, 7, 20, 7]).await, 3);
    assert_eq!(erase(&journal, "a", &[3, 20]).await, 0, "once is enough");
    assert_eq!(erase(&journal, "a", &[0, 21, u64::MAX]).await, 0, "these are none");
    assert_eq!(erase(&journal, "never", &[1]).await, 0);
    assert_eq!(erase(&journal, "a", &[]).await, 0);
    assert_eq!(erase(&journal, "a", &[3, 4]).await, 1);
    let after = everything(&journal).await;
    assert_eq!(before.len(), after.len());
    for (was, is) in before.iter().zip(&after) {
        assert_eq!((was.position, was.seq, was.at), (is.position, is.seq, is.at));
        assert_eq!((&was.message.from, was.message.id), (&is.message.from, is.message.id));
        let erased = is.message.topic == topic("a") && [3, 4, 7, 20].contains(&is.seq);
        let expected = if erased {
            (0, 0, &Content::Binary)
        } else {
            (was.message.body.len(), was.message.headers.len(), &Content::Text)
        };
        assert_eq!((is.message.body.len(), is.message.headers.len(), &is.message.content), expected);
    }
    let page = history(&journal, "a", Range::Between(2, 5), 9).await;
    assert_eq!(bodies(&page.records), ["", ""]);
    assert_eq!(
        bodies(&history(&journal, "a", Range::Newest, 2).await.records),
        ["x".repeat(19), String::new()]
    );
    // An id is remembered though what it came with is not.
    let (first, repeated) = given[6].clone();
    let again = append(&journal, seconds(30), repeated).await;
    assert_eq!((again.duplicate, again.position), (true, first.position));
    assert_eq!(append(&journal, seconds(30), message("a", "next")).await.seq, 21);
}

pub(super) async fn an_erased_record_is_no_keys_value(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 1)).await;
    for (key, body) in [("k", "1"), ("k", "2"), ("l", "3"), ("k", "4"), ("m", "5")] {
        append(&journal, seconds(1), keyed("a", key, body)).await;
    }
    let state = async |most| bodies(&journal.state(&filter("a"), most).await.expect("state is read"));
    assert_eq!(erase(&journal, "a", &[1, 2]).await, 2);
    assert_eq!(state(9).await, ["3", "4", "5"]);
    assert_eq!(erase(&journal, "a", &[4]).await, 1);
    assert_eq!(state(9).await, ["3", "5"]);
    assert_eq!(erase(&journal, "a", &[3]).await, 1);
    assert_eq!(state(1).await, ["5"], "the one that is left");
    append(&journal, seconds(1), keyed("a", "k", "6")).await;
    assert_eq!(state(9).await, ["5", "6"]);
}

pub(super) async fn the_newest_of_each_topic_is_found(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 3)).await;
    for i in 1..=30 {
        append(&journal, seconds(i), message(&format!("t/{}", i % 7), &i.to_string())).await;
    }
    let names = ["t/3", "none", "t/0", "t/3", "t", "t/2"].map(topic);
    let newest = journal.newest_each(&names).await.expect("records are read");
    let newest: Vec<_> =
        newest.iter().map(|r| r.as_ref().map(|r| (bodies(std::slice::from_ref(r)), r.seq))).collect();
    let of = |body: &str, seq| Some((vec![body.to_owned()], seq));
    assert_eq!(newest, [of("24", 4), None, of("28", 4), of("24", 4), None, of("30", 5)]);
    assert_eq!(journal.newest_seqs(&names), [4, 0, 4, 4, 0, 5]);
    assert!(journal.newest_each(&[]).await.expect("nothing is asked").is_empty());
}

pub(super) async fn the_first_since_a_moment_is_found(suite: &Suite, store: Arc<dyn Store>) {
    let journal = open(&store, &suite.space(Limits::NONE, 2)).await;
    assert_eq!(journal.since(seconds(0)).await.expect("places are found"), journal.heads());
    // The clock goes back by three after every ten.
    let times = (0..60).map(|i| 10 + i - 3 * (i / 10));
    for (i, at) in times.clone().enumerate() {
        append(&journal, seconds(at), message(&format!("t/{}", i % 5), "x")).await;
    }
    for at in 5..60 {
        let places = journal.since(seconds(at)).await.expect("places are found");
        assert_eq!(places.len(), 2);
        for (place, beginning) in places.into_iter().zip(beginnings(&journal)) {
            assert!(place.same_lane(&beginning));
            let all = read_on(&journal, beginning, &filter("#"), ALL).await.0;
            let first = all.iter().position(|record| record.at >= seconds(at)).unwrap_or(all.len());
            let (behind, _) = read_on(&journal, place, &filter("#"), ALL).await;
            assert_eq!(behind.len(), all.len() - first, "since {at}");
        }
    }
    assert_eq!(journal.since(seconds(99)).await.expect("places are found"), journal.heads());
}
