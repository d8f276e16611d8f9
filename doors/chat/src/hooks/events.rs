//! What a hook is told, and how far it is.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use yizhan_hub::{
    Content, Filter, Position, Record,
    store::{Missed, Page},
};
use yizhan_im::names::Place;
use yizhan_talk::Timestamp;

use crate::config::Hears;

/// Where one lane's events come from next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Places {
    /// One for each lane.
    lanes: Vec<String>,
}

impl Places {
    pub(crate) fn of(places: &[Position]) -> Self {
        Self { lanes: places.iter().map(Position::to_string).collect() }
    }

    /// The places, as far as they can be read.
    pub(crate) fn positions(&self) -> Vec<Position> {
        self.lanes.iter().filter_map(|text| text.parse().ok()).collect()
    }
}

/// Goes on in `ours` where a place is known, and begins at the journal's heads in lanes that are new.
pub(crate) fn with_new_lanes(mut ours: Vec<Position>, heads: &[Position]) -> Vec<Position> {
    for head in heads {
        if !ours.iter().any(|place| (place.space, place.lane) == (head.space, head.lane)) {
            ours.push(*head);
        }
    }
    ours
}

/// The topics that a hook hears of.
pub(crate) fn filter(hears: &[Hears]) -> &'static str {
    match (hears.contains(&Hears::Messages), hears.contains(&Hears::Changes)) {
        (true, false) => "im/c/+",
        (false, true) => "im/c/+/events",
        _ => "im/c/#",
    }
}

/// The same as what the journal reads by.
pub(crate) fn journal_filter(hears: &[Hears]) -> Option<Filter> {
    Filter::new(filter(hears)).ok()
}

/// One post.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// Its body.
    pub(crate) body: Bytes,
    /// What names it: the place of its last event.
    pub(crate) id: Position,
    /// How many events it has.
    pub(crate) events: usize,
}

#[derive(Serialize)]
struct Post<'a> {
    hook: &'a str,
    id: String,
    events: Vec<Event<'a>>,
    /// Events before the first one that the journal no longer has; −1 for an unknown number.
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<i64>,
}

#[derive(Serialize)]
struct Event<'a> {
    id: String,
    what: &'static str,
    conversation: &'a str,
    seq: u64,
    at: u64,
    from: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    data: &'a RawValue,
}

/// The post for a page of the journal; `None` where it holds nothing to tell.
pub(crate) fn batch(hook: &str, now: Timestamp, page: &Page) -> Option<Batch> {
    let told: Vec<&Arc<Record>> =
        page.records.iter().filter(|record| record.message.expires_at.is_none_or(|at| at > now)).collect();
    let events: Vec<Event<'_>> = told.iter().filter_map(|record| event(record)).collect();
    let id = told.last()?.position?;
    if events.is_empty() {
        return None;
    }
    let missed = match page.missed {
        Missed::NONE => None,
        Missed::Count(count) => Some(i64::try_from(count).unwrap_or(i64::MAX)),
        Missed::Unknown => Some(-1),
    };
    let count = events.len();
    let post = Post { hook, id: id.to_string(), events, missed };
    // Plain structs with text keys are always written.
    Some(Batch { body: serde_json::to_vec(&post).unwrap_or_default().into(), id, events: count })
}

fn event(record: &Record) -> Option<Event<'_>> {
    let message = &record.message;
    let (what, conversation) = match Place::of(message.topic.as_str())? {
        Place::Messages(id) => ("message", id),
        Place::Events(id) => ("change", id),
        _ => return None,
    };
    // What the service keeps is JSON; were one record not, it would be passed over.
    let data =
        matches!(message.content, Content::Json).then(|| serde_json::from_slice(&message.body).ok())??;
    Some(Event {
        id: record.position?.to_string(),
        what,
        conversation,
        seq: record.seq,
        at: record.at.as_millis(),
        from: &message.from.user,
        device: message.from.device.as_deref(),
        data,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use yizhan_hub::{Message, SessionId, SpaceId, Topic, message::Sender};

    use super::*;

    fn place(lane: u16, offset: u64) -> Position {
        Position { space: SpaceId(3), lane, epoch: 7, offset }
    }

    fn record(topic: &str, seq: u64, body: &str, expires_at: Option<u64>) -> Arc<Record> {
        let message = Message {
            topic: Topic::new(topic).unwrap(),
            key: None,
            id: None,
            from: Sender { user: "ann".into(), device: Some("phone".into()), session: SessionId(1) },
            content: Content::Json,
            headers: Arc::default(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            expires_at: expires_at.map(Timestamp::from_millis),
            qos: yizhan_hub::Qos::default(),
        };
        Arc::new(Record::new(Some(place(0, seq * 16)), seq, Timestamp::from_millis(1000 + seq), message))
    }

    fn page(records: Vec<Arc<Record>>) -> Page {
        Page { records, through: None, at_end: true, missed: Missed::NONE }
    }

    const GROUP: &str = "im/c/gaaaaaaaaaaaaaaaa";

    #[test]
    fn a_batch_tells_messages_and_changes_in_order() {
        let records = vec![
            record(GROUP, 1, r#"{"kind":"text","text":"hi"}"#, None),
            record(&format!("{GROUP}/events"), 1, r#"{"event":"edit","message_seq":1}"#, None),
            record(GROUP, 2, r#"{"kind":"text","text":"gone"}"#, Some(5)),
            record("im/c/nonsense!", 3, "{}", None),
            record(GROUP, 4, "not json", None),
        ];
        let batch = batch("shop", Timestamp::from_millis(10), &page(records)).unwrap();
        let body: Value = serde_json::from_slice(&batch.body).unwrap();
        assert_eq!(
            body,
            json!({ "hook": "shop", "id": "3.0.7.40", "events": [
                { "id": "3.0.7.10", "what": "message", "conversation": "gaaaaaaaaaaaaaaaa", "seq": 1, "at": 1001,
                  "from": "ann", "device": "phone", "data": { "kind": "text", "text": "hi" } },
                { "id": "3.0.7.10", "what": "change", "conversation": "gaaaaaaaaaaaaaaaa", "seq": 1, "at": 1001,
                  "from": "ann", "device": "phone", "data": { "event": "edit", "message_seq": 1 } },
            ] })
        );
        assert_eq!((batch.events, batch.id), (2, place(0, 64)));
    }

    #[test]
    fn what_retention_took_is_told() {
        for (missed, told) in [(Missed::Count(3), json!(3)), (Missed::Unknown, json!(-1))] {
            let page = Page { missed, ..page(vec![record(GROUP, 1, "{}", None)]) };
            let batch = batch("shop", Timestamp::default(), &page).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&batch.body).unwrap()["missed"], told);
        }
        assert!(batch("shop", Timestamp::default(), &page(Vec::new())).is_none());
    }

    #[test]
    fn places_are_written_and_new_lanes_begin_at_their_heads() {
        let places = Places::of(&[place(0, 5)]);
        let text = serde_json::to_string(&places).unwrap();
        let back: Places = serde_json::from_str(&text).unwrap();
        assert_eq!(back.positions(), [place(0, 5)]);
        assert_eq!(Places { lanes: vec!["what".into()] }.positions(), []);
        let heads = [place(0, 9), place(1, 4)];
        assert_eq!(with_new_lanes(back.positions(), &heads), [place(0, 5), place(1, 4)]);
    }

    #[test]
    fn a_hook_hears_what_it_asked_for() {
        let matches = |hears: &[Hears], topic: &str| {
            journal_filter(hears).unwrap().matches(&Topic::new(topic).unwrap())
        };
        let changes = format!("{GROUP}/events");
        for (hears, of_messages, of_changes) in [
            (&[Hears::Messages][..], true, false),
            (&[Hears::Changes], false, true),
            (&[Hears::Messages, Hears::Changes], true, true),
        ] {
            assert_eq!((matches(hears, GROUP), matches(hears, &changes)), (of_messages, of_changes));
        }
    }
}
