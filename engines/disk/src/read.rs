//! Reading a lane on from a place.
//!
//! What the newest records in memory answer is answered at once. One topic is read along its chain; a
//! wildcard is scanned as long as that finds enough, and merged from the topics' chains where matches are
//! rare.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use bytes::Bytes;
use yizhan_hub::{
    message::Record,
    store::{Missed, Page, PageSize, StoreError},
    topic::{Filter, Topic},
};

use crate::{
    chain::Chain,
    codec::{Frame, Links, Place},
    index::{Entry, GoOn},
    lane::Lane,
    log::{Unread, corrupt},
    segment::{Segment, Step},
};

/// How often a read begins again because retention took what it was about to read.
const ATTEMPTS_MAX: usize = 16;
/// Names looked at under one lock of the index.
pub(crate) const NAMES_AT_ONCE: usize = 4096;
/// Records taken from memory under one lock.
const RECENT_AT_ONCE: usize = 512;
/// Records looked at in memory by the thread that asked. Where none of so many matches, another thread
/// goes on with the topics' chains.
const RECENT_LOOKED_MAX: usize = 8192;
/// Bytes scanned before it is asked whether a merge is cheaper.
const SCAN_FIRST_BYTES: u64 = 1 << 20;
/// Topics that are merged at most.
const MERGE_TOPICS_MAX: usize = 256;
/// Bytes whose scan costs about as much as finding one topic's place.
const MERGE_TOPIC_BYTES: u64 = 256 << 10;

/// Records gathered for a page.
pub(crate) struct Gathered {
    pub(crate) records: Vec<Arc<Record>>,
    size: PageSize,
    bytes: usize,
}

impl Gathered {
    pub(crate) fn new(size: PageSize) -> Self {
        Self { records: vec![], size, bytes: 0 }
    }

    /// Whether a record with a body of this length still fits. The first one always does.
    pub(crate) fn fits(&self, body_len: usize) -> bool {
        self.records.is_empty()
            || (self.records.len() < self.size.records_max && self.bytes + body_len <= self.size.bytes_max)
    }

    /// Whether nothing more fits, whatever its length.
    pub(crate) fn is_full(&self) -> bool {
        !self.records.is_empty() && self.records.len() >= self.size.records_max
    }

    pub(crate) fn push(&mut self, record: Arc<Record>) {
        self.bytes += record.message.body.len();
        self.records.push(record);
    }

    /// How many records more may come.
    fn room(&self) -> usize {
        self.size.records_max.max(1).saturating_sub(self.records.len())
    }
}

impl Lane {
    /// Runs a read again where retention or erasing came in between.
    pub(crate) fn again<T>(&self, mut read: impl FnMut() -> Result<T, Unread>) -> Result<T, StoreError> {
        let mut result = read();
        for _ in 1..ATTEMPTS_MAX {
            match result {
                Err(Unread::Gone) => result = read(),
                Err(Unread::Damaged(_)) => {
                    // While nothing is written over, damage is damage.
                    let still = self.log.hold_still();
                    result = read();
                    drop(still);
                    if matches!(result, Err(Unread::Damaged(_))) {
                        break;
                    }
                }
                _ => break,
            }
        }
        Ok(result?)
    }

    /// The record at a place, shared with others where it is in memory.
    pub(crate) fn fetch(&self, place: Place) -> Result<Arc<Record>, Unread> {
        match self.recent.find(place) {
            Some(kept) => Ok(kept.record),
            None => Ok(Arc::new(self.log.record(place)?.0)),
        }
    }

    fn page(&self, gathered: Gathered, through: Place, end: Place, missed: Missed) -> Page {
        let through_position = self.place().position(through);
        Page { records: gathered.records, through: Some(through_position), at_end: through >= end, missed }
    }

    /// Reads from memory; `None` where the files must be asked.
    pub(crate) fn read_recent(&self, after: Place, filter: &Filter, size: PageSize) -> Option<Page> {
        let end = self.log.newest();
        // What retention took is gone, though it may still be in memory.
        if after < self.deleted.load(Relaxed) {
            return None;
        }
        let (mut gathered, mut through, mut looked) = (Gathered::new(size), after, 0);
        'page: while through < end {
            let piece = self.recent.behind(through, RECENT_AT_ONCE)?;
            looked += piece.len();
            if piece.is_empty() || looked > RECENT_LOOKED_MAX {
                let page = self.page(gathered, through, end, Missed::NONE);
                return Some(page).filter(|page| !page.records.is_empty());
            }
            for kept in piece {
                if kept.links.place > end {
                    break 'page;
                }
                if filter.matches(&kept.record.message.topic) {
                    if !gathered.fits(kept.record.message.body.len()) {
                        return Some(self.page(gathered, through, end, Missed::NONE));
                    }
                    gathered.push(kept.record);
                }
                through = kept.links.place;
            }
        }
        Some(self.page(gathered, through.max(end), end, Missed::NONE))
    }

    /// Reads from the files.
    pub(crate) fn read_files(
        &self,
        after: Place,
        filter: &Filter,
        size: PageSize,
    ) -> Result<Page, StoreError> {
        self.again(|| {
            let end = self.log.newest();
            if after >= end {
                return Ok(self.page(Gathered::new(size), after, end, Missed::NONE));
            }
            match filter.as_topic() {
                Some(topic) => self.read_topic(after, &topic, end, size),
                None => self.read_wild(after, filter, end, size),
            }
        })
    }

    fn read_topic(&self, after: Place, topic: &Topic, end: Place, size: PageSize) -> Result<Page, Unread> {
        let chain = self.index.read().topic(topic.as_str()).map(|e| e.chain.clone()).unwrap_or_default();
        let begin = self.log.begin();
        let part = self.part(&chain, after.max(begin), end, size.records_max.max(1))?;
        let missed = missed_of(&chain, part.links.first(), after, begin);
        let mut gathered = Gathered::new(size);
        for links in &part.links {
            let record = self.fetch(links.place)?;
            if !gathered.fits(record.message.body.len()) {
                let through = gathered.records.last().and_then(|r| r.position).map_or(after, |p| p.offset);
                return Ok(self.page(gathered, through, end, missed));
            }
            gathered.push(record);
        }
        let through = part.known_to.unwrap_or(end);
        Ok(self.page(gathered, through, end, missed))
    }

    /// The first records of a chain behind `floor`, at `end` or before it, oldest first.
    fn part(&self, chain: &Chain, floor: Place, end: Place, most: usize) -> Result<Part, Unread> {
        let read = |place| self.log.links(place);
        let Some(first) = chain.oldest(floor, read, |_| true)? else { return Ok(Part::default()) };
        let last_seq = first.seq.saturating_add(most as u64 - 1);
        let (mut place, mut all) = (chain.newest(), true);
        if last_seq < chain.seq
            && let Some(last) = chain.find(last_seq, floor, read)?
        {
            (place, all) = (last.place, last.seq == chain.seq);
        }
        let mut links = vec![];
        while place > floor {
            let one = if place == first.place { first } else { self.log.links(place)? };
            if place <= end {
                links.push(one);
            } else {
                // What is newer than the end comes with a later read: up to the end this is all.
                all = true;
            }
            place = one.prev;
        }
        links.reverse();
        let known_to = if all { None } else { links.last().map(|l| l.place) };
        Ok(Part { links, known_to })
    }

    fn read_wild(&self, after: Place, filter: &Filter, end: Place, size: PageSize) -> Result<Page, Unread> {
        // Nobody knows how many of the deleted ones matched.
        let missed = if after < self.deleted.load(Relaxed) { Missed::Unknown } else { Missed::NONE };
        let mut gathered = Gathered::new(size);
        let mut through = after.max(self.log.begin());
        let mut look_at = SCAN_FIRST_BYTES;
        for segment in self.log.segments() {
            if segment.holds().end < through || segment.holds().newest <= through {
                continue;
            }
            let mut scan = self.scan_behind(&segment, through)?;
            let began = scan.at();
            loop {
                let offset = scan.at();
                let at_end = scan.is_at_end();
                let (frame, body) = match scan.step().map_err(|_| corrupt(&segment, offset + 1))? {
                    Step::Frame(frame, body) => (frame, body),
                    Step::End if at_end => break,
                    Step::End | Step::Bad(_) => return Err(corrupt(&segment, offset + 1)),
                };
                let place = frame.links.place;
                if place > end {
                    return Ok(self.page(gathered, end, end, missed));
                }
                if filter.matches_name(frame.topic) {
                    if !gathered.fits(body.len()) {
                        return Ok(self.page(gathered, through, end, missed));
                    }
                    gathered.push(self.scanned(&segment, &frame, body)?);
                }
                through = place;
                if scan.at() - began >= look_at {
                    look_at = look_at.saturating_mul(8);
                    if let Some(topics) = self.rare(filter, through, end) {
                        return self.merge(&topics, through, end, gathered, missed);
                    }
                }
            }
        }
        Ok(self.page(gathered, end, end, missed))
    }

    fn scanned(&self, segment: &Segment, frame: &Frame<'_>, body: &[u8]) -> Result<Arc<Record>, Unread> {
        if let Some(kept) = self.recent.find(frame.links.place) {
            return Ok(kept.record);
        }
        let record = frame.record(self.place(), Bytes::copy_from_slice(body));
        Ok(Arc::new(record.map_err(|_| corrupt(segment, frame.links.place))?))
    }

    /// A scan that begins with the first record behind a place. Clients name any place, so it need not be
    /// a record's.
    fn scan_behind(&self, segment: &Arc<Segment>, after: Place) -> Result<crate::segment::Scan, Unread> {
        if after <= segment.base {
            return self.log.scan(segment, segment.base);
        }
        // The place of a record: go on behind that record. Or a place just before one.
        for at in [after - 1, after] {
            let mut scan = self.log.scan(segment, at)?;
            if let Ok(Step::Frame(frame, _)) = scan.step() {
                if frame.links.place > after {
                    scan.skip_to(at);
                }
                return Ok(scan);
            }
        }
        let mut scan = self.log.scan(segment, segment.base)?;
        loop {
            let at = scan.at();
            match scan.step() {
                Ok(Step::Frame(frame, _)) if frame.links.place > after => {
                    scan.skip_to(at);
                    return Ok(scan);
                }
                Ok(Step::Frame(..)) => {}
                Ok(Step::End) => return Ok(scan),
                Ok(Step::Bad(_)) | Err(_) => return Err(corrupt(segment, at + 1)),
            }
        }
    }

    /// The chains of the matching topics that have something behind a place, where there are so few of
    /// them that merging is cheaper than scanning on.
    fn rare(&self, filter: &Filter, behind: Place, end: Place) -> Option<Vec<Chain>> {
        let most = MERGE_TOPICS_MAX.min(((end - behind) / MERGE_TOPIC_BYTES) as usize);
        let mut chains = vec![];
        self.each_matching(filter, None, |entry| {
            if entry.chain.newest() > behind {
                chains.push(entry.chain.clone());
            }
            if chains.len() > most { GoOn::No } else { GoOn::Yes }
        });
        (chains.len() <= most).then_some(chains)
    }

    /// Shows matching topics in the order of names. The index is not locked all the time.
    pub(crate) fn each_matching(
        &self,
        filter: &Filter,
        after: Option<&Topic>,
        mut each: impl FnMut(&Entry) -> GoOn,
    ) {
        let mut after = after.cloned();
        loop {
            after = self.index.read().each_matching(filter, after.as_ref(), NAMES_AT_ONCE, &mut each);
            if after.is_none() {
                return;
            }
        }
    }

    fn merge(
        &self,
        chains: &[Chain],
        behind: Place,
        end: Place,
        mut gathered: Gathered,
        missed: Missed,
    ) -> Result<Page, Unread> {
        let (mut links, mut known_to) = (vec![], end);
        for chain in chains {
            let part = self.part(chain, behind, end, gathered.room().max(1))?;
            known_to = known_to.min(part.known_to.unwrap_or(end));
            links.extend(part.links);
        }
        links.sort_unstable_by_key(|l| l.place);
        let mut through = behind;
        for one in links.iter().filter(|l| l.place <= known_to) {
            let record = self.fetch(one.place)?;
            if !gathered.fits(record.message.body.len()) {
                return Ok(self.page(gathered, through, end, missed));
            }
            gathered.push(record);
            through = one.place;
        }
        Ok(self.page(gathered, known_to, end, missed))
    }
}

/// Some records of a chain, oldest first.
#[derive(Default)]
struct Part {
    links: Vec<Links>,
    /// The chain may have more behind this place; `None` where these are all up to the end.
    known_to: Option<Place>,
}

/// What retention took of a topic between `after` and the first record that is left behind it.
fn missed_of(chain: &Chain, first: Option<&Links>, after: Place, begin: u64) -> Missed {
    if after >= begin {
        return Missed::NONE;
    }
    // The newest one that is gone, and how many there were up to it.
    let (newest_gone, gone) = match first {
        Some(first) => (first.prev, first.seq - 1),
        None => (chain.newest(), chain.seq),
    };
    if newest_gone <= after {
        Missed::NONE
    } else if after == 0 {
        Missed::Count(gone)
    } else {
        Missed::Unknown
    }
}
