//! Reading one topic by its numbers, topics' states, and what topics there are.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use yizhan_hub::{
    message::Record,
    store::{Missed, Page, PageSize, Range, StoreError, TopicSummary},
    topic::{Filter, Topic},
};
use yizhan_talk::Timestamp;

use crate::{
    chain::Chain,
    codec::{Links, Place},
    index::{GoOn, Index},
    lane::Lane,
    log::{Unread, corrupt, record_of},
    read::Gathered,
    segment::Step,
    shelf,
};

/// Records between the newest one and the asked-for number that are stepped over in memory; further back
/// the files are quicker, and the thread that asked must not be held up.
const RECENT_STEPS_MAX: u64 = 512;

/// What memory knows of a topic's newest record.
pub(crate) enum Newest {
    /// Nothing is left of the topic.
    Nothing,
    Record(Arc<Record>),
    /// It is in the files.
    At(Place),
}

/// A key of a topic, and where its newest record is.
struct Keyed {
    place: Place,
    topic: Topic,
    key: Arc<str>,
}

impl Lane {
    fn chain(&self, topic: &Topic) -> Chain {
        self.index.read().topic(topic.as_str()).map(|e| e.chain.clone()).unwrap_or_default()
    }

    /// Reads the newest records of a topic, or those before a number, from memory; `None` where the files
    /// must be asked.
    pub(crate) fn history_recent(&self, topic: &Topic, range: Range, size: PageSize) -> Option<Page> {
        let chain = self.chain(topic);
        let before = match range {
            Range::Newest => u64::MAX,
            Range::Before(seq) => seq,
            Range::After(seq) if seq >= chain.seq => {
                return Some(history_page(Gathered::new(size), true, Missed::NONE));
            }
            _ => return None,
        };
        if chain.seq.saturating_sub(before) > RECENT_STEPS_MAX {
            return None;
        }
        let begin = self.log.begin();
        let mut gathered = Gathered::new(size);
        let mut place = chain.newest();
        while place > begin {
            if gathered.is_full() {
                return Some(newest_page(gathered, false));
            }
            let kept = self.recent.find(place)?;
            if kept.links.seq < before {
                if !gathered.fits(kept.record.message.body.len()) {
                    return Some(newest_page(gathered, false));
                }
                gathered.push(kept.record);
            }
            place = kept.links.prev;
        }
        Some(newest_page(gathered, true))
    }

    /// Reads a topic by its numbers from the files.
    pub(crate) fn history_files(
        &self,
        topic: &Topic,
        range: Range,
        size: PageSize,
    ) -> Result<Page, StoreError> {
        self.again(|| {
            let chain = self.chain(topic);
            let begin = self.log.begin();
            match range {
                Range::Newest => self.backwards(&chain, begin, u64::MAX, size),
                Range::Before(seq) => self.backwards(&chain, begin, seq, size),
                Range::After(seq) => self.forwards(topic, &chain, begin, (seq, u64::MAX), size),
                Range::Between(after, before) => self.forwards(topic, &chain, begin, (after, before), size),
                Range::Since(at) => self.since(&chain, begin, at, size),
            }
        })
    }

    /// The newest records before a number.
    fn backwards(&self, chain: &Chain, begin: u64, before: u64, size: PageSize) -> Result<Page, Unread> {
        let mut gathered = Gathered::new(size);
        let mut place = chain.newest();
        if before <= chain.seq {
            let found = chain.find(before.saturating_sub(1), begin, |place| self.log.links(place))?;
            // Where the number is gone, the record found is the oldest that is left, and too new.
            place = found.map_or(0, |l| if l.seq < before { l.place } else { 0 });
        }
        while place > begin {
            if gathered.is_full() {
                return Ok(newest_page(gathered, false));
            }
            let (record, links) = self.record_and_links(place)?;
            if !gathered.fits(record.message.body.len()) {
                return Ok(newest_page(gathered, false));
            }
            gathered.push(record);
            place = links.prev;
        }
        Ok(newest_page(gathered, true))
    }

    /// The newest record of a topic, where memory knows.
    pub(crate) fn newest_recent(&self, topic: &Topic) -> Newest {
        let newest = self.index.read().topic(topic.as_str()).map_or(0, |entry| entry.chain.newest());
        if newest <= self.log.begin() {
            return Newest::Nothing;
        }
        self.recent.find(newest).map_or(Newest::At(newest), |kept| Newest::Record(kept.record))
    }

    /// The newest record of a topic, which was at `place` a moment ago; `None` where nothing is left of it.
    pub(crate) fn newest_of(&self, topic: &Topic, place: Place) -> Result<Option<Arc<Record>>, StoreError> {
        let mut newest = Newest::At(place);
        self.again(|| {
            let read = match &newest {
                Newest::Nothing => Ok(None),
                Newest::Record(record) => Ok(Some(record.clone())),
                Newest::At(place) => self.log.record(*place).map(|(record, _)| Some(Arc::new(record))),
            };
            // Where it is gone, another may have come.
            if read.is_err() {
                newest = self.newest_recent(topic);
            }
            read
        })
    }

    /// The place before the first record that was taken at a moment or later; the head where none was, and 0
    /// where retention took such ones.
    pub(crate) fn since_place(&self, at: Timestamp) -> Result<Place, StoreError> {
        self.again(|| {
            let end = self.log.newest();
            if self.deleted.load(Relaxed) > 0 && at.0 <= self.deleted_at.load(Relaxed) {
                return Ok(0);
            }
            for segment in self.log.segments() {
                let holds = segment.holds();
                if holds.records == 0 || holds.last_at < at {
                    continue;
                }
                let mut scan = self.log.scan(&segment, segment.base)?;
                loop {
                    let (offset, at_end) = (scan.at(), scan.is_at_end());
                    match scan.step().map_err(|_| corrupt(&segment, offset + 1))? {
                        Step::Frame(frame, _) if frame.links.place > end => return Ok(end),
                        Step::Frame(frame, _) if frame.links.at >= at => return Ok(frame.links.place - 1),
                        Step::Frame(..) => {}
                        Step::End if at_end => break,
                        Step::End | Step::Bad(_) => return Err(corrupt(&segment, offset + 1)),
                    }
                }
            }
            Ok(end)
        })
    }

    fn record_and_links(&self, place: Place) -> Result<(Arc<Record>, Links), Unread> {
        if let Some(kept) = self.recent.find(place) {
            return Ok((kept.record, kept.links));
        }
        let (record, links) = self.log.record(place)?;
        Ok((Arc::new(record), links))
    }

    /// The oldest records between two numbers.
    fn forwards(
        &self,
        topic: &Topic,
        chain: &Chain,
        begin: u64,
        (after, before): (u64, u64),
        size: PageSize,
    ) -> Result<Page, Unread> {
        let oldest = self.oldest_seq(topic, chain, begin)?;
        let first = after.saturating_add(1).max(oldest);
        let missed = Missed::Count(first.min(before).saturating_sub(after.saturating_add(1)));
        let last = before.saturating_sub(1).min(chain.seq);
        self.row(chain, begin, (first, last), size, missed, |_| true)
    }

    fn since(&self, chain: &Chain, begin: u64, at: Timestamp, size: PageSize) -> Result<Page, Unread> {
        let gone = Timestamp(self.deleted_at.load(Relaxed));
        let first = chain.oldest(begin, |place| self.log.links(place), |l| l.high >= at)?;
        // Of a topic whose first record is left, nothing was taken.
        let all_left = first.is_some_and(|l| l.prev > begin || l.seq == 1) || chain.seq == 0;
        let missed = if begin > 0 && at <= gone && !all_left { Missed::Unknown } else { Missed::NONE };
        let Some(first) = first else { return Ok(history_page(Gathered::new(size), true, missed)) };
        self.row(chain, begin, (first.seq, chain.seq), size, missed, |l| l.at >= at)
    }

    /// The records with numbers from `first` to `last`, from the older end.
    fn row(
        &self,
        chain: &Chain,
        begin: u64,
        (first, last): (u64, u64),
        size: PageSize,
        missed: Missed,
        wanted: impl Fn(&Links) -> bool,
    ) -> Result<Page, Unread> {
        let mut gathered = Gathered::new(size);
        if first > last {
            return Ok(history_page(gathered, true, missed));
        }
        let newest = last.min(first.saturating_add(size.records_max.max(1) as u64 - 1));
        let mut links = vec![];
        let mut place = chain.find(newest, begin, |place| self.log.links(place))?.map_or(0, |l| l.place);
        while place > begin {
            let one = self.log.links(place)?;
            if one.seq < first {
                break;
            }
            if one.seq <= newest {
                links.push(one);
            }
            place = one.prev;
        }
        for one in links.iter().rev().filter(|l| wanted(l)) {
            let record = self.fetch(one.place)?;
            if !gathered.fits(record.message.body.len()) {
                return Ok(history_page(gathered, false, missed));
            }
            gathered.push(record);
        }
        Ok(history_page(gathered, newest >= last, missed))
    }

    /// The number of a topic's oldest record; one more than the newest where none is left.
    pub(crate) fn oldest_seq(&self, topic: &Topic, chain: &Chain, begin: u64) -> Result<u64, Unread> {
        let known = self.index.read().topic(topic.as_str()).and_then(|e| Index::oldest_known(e, begin));
        if let Some(known) = known {
            return Ok(known);
        }
        let oldest = chain.oldest(begin, |place| self.log.links(place), |_| true)?;
        let seq = oldest.map_or(chain.seq + 1, |l| l.seq);
        self.index.write().remember_oldest(topic.as_str(), begin, seq);
        Ok(seq)
    }

    /// The newest record of each key of each matching topic, in the order of places.
    pub(crate) fn state(&self, filter: &Filter, records_max: usize) -> Result<Vec<Arc<Record>>, StoreError> {
        self.again(|| {
            let mut keyed = vec![];
            self.each_matching(filter, None, |entry| {
                keyed.extend(entry.keys().map(|(key, place)| Keyed {
                    place,
                    topic: entry.name.clone(),
                    key: key.clone(),
                }));
                GoOn::Yes
            });
            keyed.sort_unstable_by_key(|k| k.place);
            // One that was erased is no value any more.
            let value = |record: &Result<Arc<Record>, Unread>| {
                record.as_ref().map_or(true, |record| !record.message.body.is_empty())
            };
            keyed.iter().map(|k| self.keyed(k)).filter(value).take(records_max).collect()
        })
    }

    fn keyed(&self, keyed: &Keyed) -> Result<Arc<Record>, Unread> {
        if let Some(kept) = self.recent.find(keyed.place) {
            return Ok(kept.record);
        }
        if keyed.place > self.log.begin() {
            return self.fetch(keyed.place);
        }
        let row = shelf::keyed_row(self.place(), keyed.topic.as_str(), &keyed.key);
        let frame = self.around.shelf.read(&row).map_err(Unread::Failed)?;
        // Another place stands there when the key was changed meanwhile; the index knows it by now.
        let record = frame.and_then(|frame| record_of(&frame, keyed.place, self.place()).ok());
        if let Some((record, _)) = record {
            return Ok(Arc::new(record));
        }
        let index = self.index.read();
        let now = index.topic(keyed.topic.as_str()).and_then(|e| e.key(&keyed.key));
        if now != Some(keyed.place) {
            return Err(Unread::Gone);
        }
        let place = format!("the kept state of {}, key {:?}", keyed.topic, keyed.key);
        Err(Unread::Failed(StoreError::Corrupt { place }))
    }

    /// Topics that something is kept of.
    pub(crate) fn topics(
        &self,
        filter: &Filter,
        after: Option<&Topic>,
        topics_max: usize,
    ) -> Vec<TopicSummary> {
        let begin = self.log.begin();
        let mut found = vec![];
        self.each_matching(filter, after, |entry| {
            if found.len() >= topics_max {
                return GoOn::No;
            }
            if entry.chain.newest() > begin || entry.keys.is_some() {
                found.push((entry.name.clone(), entry.chain.clone()));
            }
            GoOn::Yes
        });
        let summary = |(topic, chain): (Topic, Chain)| {
            // Where the files cannot be read now, reading the topic will say so; the listing goes on.
            let oldest_seq = self.again(|| self.oldest_seq(&topic, &chain, begin)).unwrap_or(chain.seq + 1);
            TopicSummary { topic, newest_seq: chain.seq, oldest_seq }
        };
        found.into_iter().map(summary).collect()
    }
}

fn history_page(gathered: Gathered, at_end: bool, missed: Missed) -> Page {
    let through = gathered.records.last().and_then(|r| r.position);
    Page { records: gathered.records, through, at_end, missed }
}

/// A page whose records were gathered from the newest on.
fn newest_page(mut gathered: Gathered, at_end: bool) -> Page {
    gathered.records.reverse();
    history_page(gathered, at_end, Missed::NONE)
}
