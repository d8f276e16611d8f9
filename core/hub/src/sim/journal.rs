//! A journal whose commits, tail and reads happen when the seed says so.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use yizhan_talk::Timestamp;

use crate::{
    message::{Message, Position, Record, SpaceId},
    space::Space,
    store::{
        Appended, Expect, Journal, JournalFigures, Missed, Page, PageSize, Range, Store, StoreError, Table,
        Tail, TopicSummary, emptied,
    },
    topic::{Filter, Topic},
};

#[derive(Default)]
pub(super) struct SimStore {
    pub(super) journals: Mutex<Vec<Arc<SimJournal>>>,
    tables: Mutex<HashMap<Vec<u8>, (Bytes, u64)>>,
}

pub(super) struct SimJournal {
    id: SpaceId,
    inside: Mutex<Inside>,
}

type Waiting = (Timestamp, Message, oneshot::Sender<Appended>);

#[derive(Default)]
struct Inside {
    waiting: VecDeque<Waiting>,
    log: Vec<Arc<Record>>,
    seqs: HashMap<Topic, u64>,
    shown: usize,
    tail: Option<Arc<dyn Tail>>,
    asked: Vec<Asked>,
    answered: Vec<(oneshot::Sender<Page>, Page)>,
}

struct Asked {
    after: Position,
    filter: Filter,
    page: PageSize,
    answer: oneshot::Sender<Page>,
}

impl SimJournal {
    pub(super) fn new(id: SpaceId) -> Self {
        Self { id, inside: Mutex::default() }
    }

    /// The server died: what was not safe is gone, and so is everybody who asked.
    pub(super) fn die(&self) {
        let mut inside = self.inside.lock();
        inside.waiting.clear();
        inside.asked.clear();
        inside.answered.clear();
        inside.tail = None;
        inside.shown = inside.log.len();
    }

    /// All that is safe.
    pub(super) fn log(&self) -> Vec<Arc<Record>> {
        self.inside.lock().log.clone()
    }

    fn place(&self, offset: u64) -> Position {
        Position { space: self.id, lane: 0, epoch: 1, offset }
    }

    /// Makes the oldest waiting message safe.
    pub(super) fn commit(&self) -> bool {
        let mut inside = self.inside.lock();
        let Some((at, message, answer)) = inside.waiting.pop_front() else { return false };
        let seq = inside.seqs.entry(message.topic.clone()).or_default();
        *seq += 1;
        let seq = *seq;
        let position = self.place(inside.log.len() as u64 + 1);
        inside.log.push(Arc::new(Record::new(Some(position), seq, at, message)));
        drop(inside);
        // Whoever asked may be gone by now, here and below.
        answer.send(Appended { position, seq, at, duplicate: false }).ok();
        true
    }

    /// Shows the next safe record to the tail.
    pub(super) fn show(&self) -> bool {
        let mut inside = self.inside.lock();
        let Some(record) = inside.log.get(inside.shown).cloned() else { return false };
        inside.shown += 1;
        let tail = inside.tail.clone();
        drop(inside);
        tail.unwrap().appended(&[record]);
        true
    }

    /// Looks into the log for one reader; the answer stays under way.
    pub(super) fn look(&self, which: usize) -> bool {
        let mut inside = self.inside.lock();
        if inside.asked.is_empty() {
            return false;
        }
        let which = which % inside.asked.len();
        let asked = inside.asked.swap_remove(which);
        let mut page =
            Page { records: vec![], through: Some(asked.after), at_end: true, missed: Missed::NONE };
        for record in &inside.log[asked.after.offset as usize..] {
            if page.records.len() == asked.page.records_max {
                page.at_end = false;
                break;
            }
            page.through = record.position;
            if asked.filter.matches(&record.message.topic) {
                page.records.push(record.clone());
            }
        }
        inside.answered.push((asked.answer, page));
        true
    }

    /// Lets one answer arrive.
    pub(super) fn answer(&self, which: usize) -> bool {
        let mut inside = self.inside.lock();
        if inside.answered.is_empty() {
            return false;
        }
        let which = which % inside.answered.len();
        let (answer, page) = inside.answered.swap_remove(which);
        drop(inside);
        answer.send(page).ok();
        true
    }
}

impl Store for SimStore {
    fn journal<'a>(&'a self, _space: &'a Space) -> BoxFuture<'a, Result<Arc<dyn Journal>, StoreError>> {
        let mut journals = self.journals.lock();
        let id = SpaceId(journals.len() as u16 + 1);
        let journal = Arc::new(SimJournal::new(id));
        journals.push(journal.clone());
        Box::pin(std::future::ready(Ok(journal as Arc<dyn Journal>)))
    }
    fn table(&self, _name: &'static str) -> Result<Arc<dyn Table>, StoreError> {
        Ok(Arc::new(SimTable(Mutex::new(self.tables.lock().clone()))))
    }
}

struct SimTable(Mutex<HashMap<Vec<u8>, (Bytes, u64)>>);

impl Table for SimTable {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<(Bytes, u64)>, StoreError>> {
        let found = self.0.lock().get(key).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }
    fn put<'a>(
        &'a self,
        key: &'a [u8],
        value: Option<Bytes>,
        _expect: Expect,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        match value {
            Some(value) => self.0.lock().insert(key.to_vec(), (value, 1)),
            None => self.0.lock().remove(key),
        };
        Box::pin(std::future::ready(Ok(1)))
    }
    fn put_all(&self, rows: Vec<(Bytes, Option<Bytes>)>) -> BoxFuture<'_, Result<(), StoreError>> {
        for (key, value) in rows {
            match value {
                Some(value) => self.0.lock().insert(key.to_vec(), (value, 1)),
                None => self.0.lock().remove(&key[..]),
            };
        }
        Box::pin(std::future::ready(Ok(())))
    }
    fn get_many(&self, keys: Vec<Bytes>) -> BoxFuture<'_, Result<Vec<Option<Bytes>>, StoreError>> {
        let rows = self.0.lock();
        let values = keys.iter().map(|key| rows.get(&key[..]).map(|(value, _)| value.clone())).collect();
        Box::pin(std::future::ready(Ok(values)))
    }
    fn peek(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.lock().get(key).map(|(value, _)| value.clone()))
    }
    fn scan<'a>(
        &'a self,
        _prefix: &'a [u8],
        _after: Option<&'a [u8]>,
        _rows_max: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, StoreError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

impl Journal for SimJournal {
    fn id(&self) -> SpaceId {
        self.id
    }
    fn append(&self, at: Timestamp, message: Message) -> BoxFuture<'static, Result<Appended, StoreError>> {
        let (answer, appended) = oneshot::channel();
        self.inside.lock().waiting.push_back((at, message, answer));
        Box::pin(async move { appended.await.map_err(|_| StoreError::Closed) })
    }
    fn set_tail(&self, tail: Arc<dyn Tail>) {
        self.inside.lock().tail = Some(tail);
    }
    fn heads(&self) -> Vec<Position> {
        vec![self.place(self.inside.lock().log.len() as u64)]
    }
    fn read<'a>(
        &'a self,
        after: Position,
        filter: &'a Filter,
        page: PageSize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let (answer, read) = oneshot::channel();
        self.inside.lock().asked.push(Asked { after, filter: filter.clone(), page, answer });
        Box::pin(async move { read.await.map_err(|_| StoreError::Closed) })
    }
    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        range: Range,
        page: PageSize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let inside = self.inside.lock();
        let of_topic = inside.log.iter().filter(|r| r.message.topic == *topic);
        let mut records: Vec<_> = match range {
            Range::After(seq) => of_topic.filter(|r| r.seq > seq).take(page.records_max).cloned().collect(),
            _ => of_topic.cloned().collect(),
        };
        let skip = records.len().saturating_sub(page.records_max);
        let records = records.split_off(skip);
        Box::pin(std::future::ready(Ok(Page { records, through: None, at_end: true, missed: Missed::NONE })))
    }
    fn newest_each<'a>(
        &'a self,
        topics: &'a [Topic],
    ) -> BoxFuture<'a, Result<Vec<Option<Arc<Record>>>, StoreError>> {
        let inside = self.inside.lock();
        let newest = |topic: &Topic| inside.log.iter().rev().find(|r| r.message.topic == *topic).cloned();
        let newest = topics.iter().map(newest).collect();
        Box::pin(std::future::ready(Ok(newest)))
    }
    fn newest_seqs(&self, topics: &[Topic]) -> Vec<u64> {
        let inside = self.inside.lock();
        topics.iter().map(|topic| inside.seqs.get(topic).copied().unwrap_or(0)).collect()
    }
    fn since(&self, at: Timestamp) -> BoxFuture<'_, Result<Vec<Position>, StoreError>> {
        let before = self.inside.lock().log.iter().take_while(|r| r.at < at).count();
        Box::pin(std::future::ready(Ok(vec![self.place(before as u64)])))
    }
    fn erase<'a>(&'a self, topic: &'a Topic, seqs: Vec<u64>) -> BoxFuture<'a, Result<u64, StoreError>> {
        let mut erased = 0;
        for record in &mut self.inside.lock().log {
            if record.message.topic == *topic
                && seqs.contains(&record.seq)
                && let Some(empty) = emptied(record)
            {
                *record = Arc::new(empty);
                erased += 1;
            }
        }
        Box::pin(std::future::ready(Ok(erased)))
    }
    fn state<'a>(
        &'a self,
        _filter: &'a Filter,
        _records_max: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Record>>, StoreError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
    fn topics(&self, _filter: &Filter, _after: Option<&Topic>, _topics_max: usize) -> Vec<TopicSummary> {
        Vec::new()
    }
    fn figures(&self) -> JournalFigures {
        JournalFigures::default()
    }
}
