//! What the store's tests are written with.

use std::{path::Path, sync::Arc, time::Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use yizhan_hub::{
    message::{Content, Message, MessageId, Position, Record, Sender, SessionId},
    space::{Dedup, Keep, Lag, Limits, Space},
    store::{Appended, Journal, PageSize, Store, StoreError},
    topic::{Filter, Topic},
};
use yizhan_talk::{Clock, Now, Timestamp};

use crate::{Config, Disk};

/// When the tests take place.
pub(crate) const T0: Timestamp = Timestamp(1_700_000_000_000_000);
pub(crate) const ALL: PageSize = PageSize { records_max: usize::MAX, bytes_max: usize::MAX };

/// A clock that is moved by hand.
pub(crate) struct HandClock(pub(crate) Mutex<Timestamp>);

impl HandClock {
    pub(crate) fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(Mutex::new(now)))
    }
}

impl Clock for HandClock {
    fn now(&self) -> Now {
        Now { steady: Instant::now(), wall: *self.0.lock() }
    }
}

pub(crate) fn config() -> Config {
    Config { segment_bytes: 64 << 10, reserve_bytes: 0, cache_bytes: 16 << 10, ..Config::default() }
}

pub(crate) fn open(folder: &Path, config: &Config) -> Disk {
    Disk::open(folder, config, HandClock::at(T0)).unwrap()
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

pub(crate) fn filter(pattern: &str) -> Filter {
    Filter::new(pattern).unwrap()
}

pub(crate) fn message(name: &str, body: &str) -> Message {
    Message {
        topic: topic(name),
        key: None,
        id: None,
        from: Sender { user: "ann".into(), device: Some("phone".into()), session: SessionId(7) },
        content: Content::Text,
        headers: Arc::new([]),
        body: Bytes::copy_from_slice(body.as_bytes()),
        expires_at: None,
        qos: yizhan_hub::Qos::default(),
    }
}

pub(crate) fn keyed(name: &str, key: &str, body: &str) -> Message {
    Message { key: Some(key.into()), ..message(name, body) }
}

pub(crate) fn with_id(name: &str, id: u128) -> Message {
    Message { id: Some(MessageId(id)), ..message(name, "x") }
}

pub(crate) fn space(limits: Limits, lanes: u16) -> Space {
    Space {
        name: "rooms".into(),
        topics: filter("#"),
        keep: Keep::Disk(limits),
        lag: Lag::CatchUp,
        dedup: Dedup::default(),
        lanes,
    }
}

pub(crate) async fn journal(disk: &Disk, limits: Limits) -> Arc<dyn Journal> {
    disk.journal(&space(limits, 1)).await.unwrap()
}

pub(crate) async fn append(journal: &Arc<dyn Journal>, message: Message) -> Appended {
    journal.append(T0, message).await.unwrap()
}

/// Everything of a filter, read page by page from the beginning of the first lane.
pub(crate) async fn read_all(
    journal: &Arc<dyn Journal>,
    pattern: &str,
    records_max: usize,
) -> Result<Vec<Arc<Record>>, StoreError> {
    let mut after = Position { offset: 0, ..journal.heads()[0] };
    let mut records = vec![];
    loop {
        let page = journal.read(after, &filter(pattern), PageSize { records_max, ..ALL }).await?;
        records.extend(page.records);
        if page.at_end {
            return Ok(records);
        }
        after = page.through.unwrap();
    }
}

pub(crate) fn bodies(records: &[Arc<Record>]) -> Vec<String> {
    records.iter().map(|r| String::from_utf8_lossy(&r.message.body).into_owned()).collect()
}
