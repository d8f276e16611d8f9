//! A space's journal: lanes, and who reads where.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use yizhan_hub::{
    message::{Message, Position, Record, SpaceId},
    space::Limits,
    store::{
        Appended, Journal, JournalFigures, Missed, Page, PageSize, Range, StoreError, Tail, TopicSummary,
    },
    topic::{Filter, Topic},
};
use yizhan_talk::Timestamp;

use crate::{history::Newest, keep, lane::Lane, meters::Meters};

/// Threads that read files are tokio's blocking ones: a cold disk must never hold up a thread that serves
/// others. This bounds how many work at once; what memory can answer never comes here.
#[derive(Clone)]
pub(crate) struct Readers {
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) meters: Arc<Meters>,
}

impl Readers {
    /// Runs a read that may wait for the disk.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let read = move || {
            let result = read();
            drop(turn);
            result
        };
        let result = tokio::task::spawn_blocking(read).await;
        self.meters.file_reads.one();
        self.meters.read.record(began.elapsed());
        result.map_err(|error| StoreError::Failed(format!("a read ended early: {error}")))?
    }
}

pub(crate) struct DiskJournal {
    pub(crate) name: String,
    pub(crate) id: SpaceId,
    pub(crate) epoch: u32,
    pub(crate) lanes: Vec<Arc<Lane>>,
    pub(crate) limits: Mutex<Limits>,
    pub(crate) readers: Readers,
}

impl DiskJournal {
    /// Which lane has a topic: the same for as long as the journal lives.
    pub(crate) fn lane_of(&self, topic: &Topic) -> &Arc<Lane> {
        let lane = crc32c::crc32c(topic.as_str().as_bytes()) as usize % self.lanes.len().max(1);
        // A journal has at least one lane: `Disk::journal` sees to it.
        &self.lanes[lane]
    }

    /// Changes how much is kept. What is over it goes with the next look, within seconds.
    pub(crate) fn set_limits(&self, limits: Limits) {
        *self.limits.lock() = limits;
        for lane in &self.lanes {
            *lane.shape.lock() = keep::shape(&limits, self.lanes.len(), lane.around.config.segment_bytes);
            lane.wishes.retain.store(true, Relaxed);
        }
    }

    /// Deletes what is over the limits. Blocks.
    pub(crate) fn retain(&self, now: Timestamp) -> Result<(), StoreError> {
        let limits = *self.limits.lock();
        keep::retain(&self.lanes, &limits, now)
    }
}

impl Journal for DiskJournal {
    fn id(&self) -> SpaceId {
        self.id
    }

    fn append(&self, at: Timestamp, message: Message) -> BoxFuture<'static, Result<Appended, StoreError>> {
        self.lane_of(&message.topic).append(at, message)
    }

    fn set_tail(&self, tail: Arc<dyn Tail>) {
        for lane in &self.lanes {
            // Set once; a second one would get a part of the records only.
            if lane.tail.set(tail.clone()).is_err() {
                tracing::error!(space = self.name, "a journal's tail was set twice");
            }
        }
    }

    fn heads(&self) -> Vec<Position> {
        self.lanes.iter().map(|lane| lane.place().position(lane.log.newest())).collect()
    }

    fn read<'a>(
        &'a self,
        after: Position,
        filter: &'a Filter,
        size: PageSize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let Some(lane) = self.lanes.get(after.lane as usize) else {
            let gone = Page { records: vec![], through: Some(after), at_end: true, missed: Missed::Unknown };
            return std::future::ready(Ok(gone)).boxed();
        };
        // A place of another life of this journal: all that is there now may be new to whoever asks.
        let foreign = (after.space, after.epoch) != (self.id, self.epoch);
        let place = if foreign { 0 } else { after.offset };
        if !foreign && let Some(page) = lane.read_recent(place, filter, size) {
            return std::future::ready(Ok(page)).boxed();
        }
        let (lane, filter) = (lane.clone(), filter.clone());
        let read = self.readers.run(move || lane.read_files(place, &filter, size));
        async move {
            let mut page = read.await?;
            if foreign {
                page.missed = Missed::Unknown;
            }
            Ok(page)
        }
        .boxed()
    }

    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        range: Range,
        size: PageSize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let lane = self.lane_of(topic);
        if let Some(page) = lane.history_recent(topic, range, size) {
            return std::future::ready(Ok(page)).boxed();
        }
        let (lane, topic) = (lane.clone(), topic.clone());
        self.readers.run(move || lane.history_files(&topic, range, size)).boxed()
    }

    fn newest_each<'a>(
        &'a self,
        topics: &'a [Topic],
    ) -> BoxFuture<'a, Result<Vec<Option<Arc<Record>>>, StoreError>> {
        let mut newest = vec![None; topics.len()];
        // What is not in memory, by lane and place: in this order it lies on the disk.
        let mut rest = vec![];
        for (i, topic) in topics.iter().enumerate() {
            let lane = self.lane_of(topic);
            match lane.newest_recent(topic) {
                Newest::Nothing => {}
                Newest::Record(record) => newest[i] = Some(record),
                Newest::At(place) => rest.push((lane.place().lane, place, i, topic.clone())),
            }
        }
        if rest.is_empty() {
            return std::future::ready(Ok(newest)).boxed();
        }
        rest.sort_unstable();
        let lanes = self.lanes.clone();
        let read = move || {
            for (lane, place, i, topic) in rest {
                newest[i] = lanes[usize::from(lane)].newest_of(&topic, place)?;
            }
            Ok(newest)
        };
        self.readers.run(read).boxed()
    }

    fn newest_seqs(&self, topics: &[Topic]) -> Vec<u64> {
        let seq = |topic: &Topic| {
            let index = self.lane_of(topic).index.read();
            index.topic(topic.as_str()).map_or(0, |entry| entry.chain.seq)
        };
        topics.iter().map(seq).collect()
    }

    fn since(&self, at: Timestamp) -> BoxFuture<'_, Result<Vec<Position>, StoreError>> {
        let lanes = self.lanes.clone();
        let read = move || {
            let place = |lane: &Arc<Lane>| Ok(lane.place().position(lane.since_place(at)?));
            lanes.iter().map(place).collect()
        };
        self.readers.run(read).boxed()
    }

    fn erase<'a>(&'a self, topic: &'a Topic, seqs: Vec<u64>) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.lane_of(topic).erase(topic, seqs)
    }

    fn state<'a>(
        &'a self,
        filter: &'a Filter,
        records_max: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Record>>, StoreError>> {
        let lanes = match filter.as_topic() {
            Some(topic) => vec![self.lane_of(&topic).clone()],
            None => self.lanes.clone(),
        };
        let filter = filter.clone();
        let read = move || {
            let mut records: Vec<Arc<Record>> = vec![];
            for lane in lanes {
                records.extend(lane.state(&filter, records_max - records.len())?);
            }
            Ok(records)
        };
        self.readers.run(read).boxed()
    }

    fn topics(&self, filter: &Filter, after: Option<&Topic>, topics_max: usize) -> Vec<TopicSummary> {
        let mut topics: Vec<TopicSummary> =
            self.lanes.iter().flat_map(|lane| lane.topics(filter, after, topics_max)).collect();
        topics.sort_by(|a, b| a.topic.cmp(&b.topic));
        topics.truncate(topics_max);
        topics
    }

    fn figures(&self) -> JournalFigures {
        let mut figures = JournalFigures::default();
        for lane in &self.lanes {
            for segment in lane.log.segments() {
                figures.records += segment.holds().records;
                figures.bytes += segment.bytes();
            }
            figures.topics += lane.index.read().len() as u64;
            figures.waiting += lane.queue.len() as u64;
        }
        figures
    }
}
