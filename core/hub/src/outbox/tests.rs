//! Stories of one outbox.

use super::*;
use crate::{
    guard::without,
    link::Have,
    message::{Content, Message, Sender, SessionId, SpaceId},
    subscription::Feed,
};

const LIMITS: OutboxLimits = OutboxLimits { records_max: 4, bytes_max: usize::MAX };

fn place(offset: u64) -> Position {
    Position { space: SpaceId(1), lane: 0, epoch: 1, offset }
}

fn record(position: Option<Position>, body: &'static str) -> Arc<Record> {
    let from = Sender { user: "u".into(), device: None, session: SessionId(1) };
    let message = Message {
        topic: Topic::new("a").unwrap(),
        key: None,
        id: None,
        from,
        content: Content::Text,
        headers: Arc::default(),
        body: body.into(),
        expires_at: None,
        qos: crate::Qos::default(),
    };
    Arc::new(Record::new(position, 0, Timestamp(0), message))
}

fn one(body: &'static str) -> Arc<Batch> {
    Batch::cut(&[record(None, body)]).next().unwrap()
}

fn subscribed(outbox: &mut Outbox, feeds: &[Feed]) -> u32 {
    let mut subscription = Box::new(Subscription::new(1, Filter::new("a").unwrap(), None));
    subscription.feeds.extend(feeds.iter().cloned());
    outbox.add(subscription, 1)
}

fn bodies(outbox: &mut Outbox) -> Vec<String> {
    let mut taken = Vec::new();
    outbox.take(Timestamp(0), &mut taken, 100);
    let body = |r: &Arc<Record>| String::from_utf8(r.message.body.to_vec()).unwrap();
    let text = |d: Delivery| match d {
        Delivery::Record { record, .. } => vec![body(&record)],
        Delivery::Batch { batch, .. } => batch.records().iter().map(body).collect(),
        Delivery::Missed { missed, .. } => vec![format!("{missed:?}")],
        other => vec![format!("{other:?}")],
    };
    taken.into_iter().flat_map(text).collect()
}

/// An older link's read may end after a newer link resumed from another place: with threads, not in the
/// simulator, whose polls are whole.
#[test]
fn a_page_read_from_another_place_is_dropped() {
    let story = || {
        let mut outbox = Outbox::new(true);
        let feed =
            Feed { space: 0, sent: place(1), acked: place(1), pace: Pace::Behind(3), lag: Lag::CatchUp };
        subscribed(&mut outbox, &[feed]);
        let reading = outbox.next_reading(0, 10).unwrap();
        let page = |after: u64| Page {
            records: vec![record(Some(place(after + 1)), "x")],
            through: Some(place(after + 1)),
            at_end: false,
            missed: Missed::NONE,
        };
        outbox.page_read(&reading, page(1), |_, _| true);
        outbox.page_read(&reading, page(1), |_, _| true);
        bodies(&mut outbox).len()
    };
    assert_eq!(story(), 1);
    assert_eq!(without("page of this place", story), 2);
}

#[test]
fn what_does_not_fit_is_counted_and_told_in_its_place() {
    let mut outbox = Outbox::new(false);
    let slot = subscribed(&mut outbox, &[]);
    for body in ["1", "2", "3", "4", "5", "6"] {
        outbox.push(slot, &one(body), Lag::Skip, LIMITS, |_, _| true);
    }
    assert_eq!(bodies(&mut outbox), ["1", "2", "3", "4", "Count(2)"]);
    outbox.push(slot, &one("7"), Lag::Skip, LIMITS, |_, _| true);
    assert_eq!(bodies(&mut outbox), ["7"]);
}

#[test]
fn of_a_latest_only_space_one_record_of_each_key_waits() {
    let mut outbox = Outbox::new(false);
    let slot = subscribed(&mut outbox, &[]);
    for body in ["1", "2", "3"] {
        outbox.push(slot, &one(body), Lag::Latest, LIMITS, |_, _| true);
    }
    assert_eq!(bodies(&mut outbox), ["3"]);
    outbox.push(slot, &one("4"), Lag::Latest, LIMITS, |_, _| true);
    assert_eq!(bodies(&mut outbox), ["4"]);
}

#[test]
fn a_batch_goes_as_one_and_comes_again_in_parts() {
    let mut outbox = Outbox::new(true);
    let slot = subscribed(&mut outbox, &[]);
    let batch = Batch::cut(&["1", "2", "3"].map(|b| record(None, b))).next().unwrap();
    outbox.push(slot, &batch, Lag::Skip, LIMITS, |_, _| true);
    assert_eq!(outbox.waiting(), 3);
    assert_eq!(bodies(&mut outbox), ["1", "2", "3"]);
    outbox.fall_asleep();
    outbox.wake_up(&[Have { subscription: 1, number: Some(2), positions: vec![] }]);
    assert_eq!(bodies(&mut outbox), ["3"]);
    // Five do not fit into four: what does goes one by one.
    let batch = Batch::cut(&["4", "5", "6", "7", "8"].map(|b| record(None, b))).next().unwrap();
    outbox.push(slot, &batch, Lag::Skip, LIMITS, |_, _| true);
    assert_eq!(bodies(&mut outbox), ["4", "5", "6", "7", "Count(1)"]);
}

#[test]
fn a_space_that_closes_slow_listeners_does() {
    let mut outbox = Outbox::new(false);
    let slot = subscribed(&mut outbox, &[]);
    for _ in 0..5 {
        outbox.push(slot, &one("x"), Lag::Close, LIMITS, |_, _| true);
    }
    assert_eq!(outbox.leave.as_deref(), Some(&Close::TOO_SLOW));
}

#[test]
fn without_word_from_the_client_what_it_did_not_ack_comes_again() {
    let mut outbox = Outbox::new(true);
    let slot = subscribed(&mut outbox, &[]);
    for body in ["1", "2", "3"] {
        outbox.push(slot, &one(body), Lag::Skip, LIMITS, |_, _| true);
    }
    assert_eq!(bodies(&mut outbox), ["1", "2", "3"]);
    outbox.ack(slot, Acked::Number(1));
    outbox.fall_asleep();
    outbox.push(slot, &one("4"), Lag::Skip, LIMITS, |_, _| true);
    outbox.wake_up(&[]);
    assert_eq!(bodies(&mut outbox), ["2", "3", "4"]);
    outbox.fall_asleep();
    outbox.wake_up(&[Have { subscription: 1, number: Some(3), positions: vec![] }]);
    assert_eq!(bodies(&mut outbox), ["4"]);
}

#[test]
fn a_window_lets_only_so_many_out() {
    let mut outbox = Outbox::new(false);
    let subscription = Box::new(Subscription::new(1, Filter::new("a").unwrap(), Some(2)));
    let slot = outbox.add(subscription, 1);
    for body in ["1", "2", "3"] {
        outbox.push(slot, &one(body), Lag::Skip, LIMITS, |_, _| true);
    }
    assert_eq!(bodies(&mut outbox), ["1", "2"]);
    outbox.ack(slot, Acked::Number(1));
    assert_eq!(bodies(&mut outbox), ["3"]);
}
