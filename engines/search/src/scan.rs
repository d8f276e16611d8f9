//! One segment's part of a search: which of its matches pass the filter, and where they stand in the order.

use std::sync::Arc;

use tantivy::{
    COLLECT_BLOCK_BUFFER_LEN, DocId, DocSet, SeekDangerResult, SegmentReader, TERMINATED,
    columnar::ColumnValues,
    f64_to_u64,
    query::{Scorer, Weight},
};

use crate::{
    access::Access,
    query::{Key, Query},
    schema::{AT, PLACE, SEQ},
    top::{Best, Top},
};

/// How much later a message must be to outweigh another that fits e times as well. The rank is made of a
/// message's own time, not of its age, so that it stays the same while a user turns pages.
const BEST_FADES_MS: f64 = 180.0 * 24.0 * 3600.0 * 1000.0;

/// What a match is worth at least, so that it has a logarithm.
const SCORE_MIN: f64 = 1e-9;

/// A segment that may have matches, with the columns that the filter looks at.
pub(crate) struct Segment<'a> {
    at: u32,
    pub(crate) reader: &'a SegmentReader,
    access: &'a Access<'a>,
    places: Arc<dyn ColumnValues<u64>>,
    seqs: Arc<dyn ColumnValues<u64>>,
    times: Arc<dyn ColumnValues<u64>>,
    /// The time of its latest document.
    pub(crate) newest: u64,
    from_ms: u64,
    /// Inclusive.
    last_ms: u64,
}

impl<'a> Segment<'a> {
    /// `None` when nothing in it is of the time that the query asks for.
    pub(crate) fn open(
        at: u32,
        reader: &'a SegmentReader,
        query: &Query,
        access: &'a Access<'a>,
    ) -> tantivy::Result<Option<Self>> {
        let columns = reader.fast_fields();
        let times = columns.column_first_or_default::<u64>(AT)?;
        let from_ms = query.from_ms.unwrap_or(0);
        let last_ms = match query.until_ms {
            Some(0) => return Ok(None),
            Some(until) => until - 1,
            None => u64::MAX,
        };
        if times.max_value() < from_ms || times.min_value() > last_ms {
            return Ok(None);
        }
        Ok(Some(Self {
            at,
            reader,
            access,
            places: columns.column_first_or_default::<u64>(PLACE)?,
            seqs: columns.column_first_or_default::<u64>(SEQ)?,
            newest: times.max_value(),
            times,
            from_ms,
            last_ms,
        }))
    }

    /// Documents in blocks, as the postings give them: most are told by their place alone.
    pub(crate) fn newest_of(
        &self,
        mut docs: Box<dyn Scorer>,
        mut phrases: Phrases<'_>,
        top: &mut Top,
    ) -> tantivy::Result<()> {
        let mut block = [0; COLLECT_BLOCK_BUFFER_LEN];
        let mut places = [0; COLLECT_BLOCK_BUFFER_LEN];
        loop {
            let filled = docs.fill_buffer(&mut block);
            let (block, places) = (&block[..filled], &mut places[..filled]);
            self.places.get_vals(block, places);
            for (doc, place) in block.iter().zip(places.iter()) {
                if let Some((at, seq)) = self.admits(*doc, *place)
                    && phrases.stand_in(self.reader, *doc)?
                {
                    top.offer(Best {
                        key: Key { rank: at, at, seq, place: *place },
                        segment: self.at,
                        doc: *doc,
                    });
                }
            }
            if filled < COLLECT_BLOCK_BUFFER_LEN {
                return Ok(());
            }
        }
    }

    /// Documents one by one, since only the scorer's current one has a score.
    pub(crate) fn best_of(
        &self,
        mut docs: Box<dyn Scorer>,
        mut phrases: Phrases<'_>,
        top: &mut Top,
    ) -> tantivy::Result<()> {
        while docs.doc() != TERMINATED {
            let (doc, place) = (docs.doc(), self.places.get_val(docs.doc()));
            if let Some((at, seq)) = self.admits(doc, place)
                && phrases.stand_in(self.reader, doc)?
            {
                let rank = f64::from(docs.score()).max(SCORE_MIN).ln() + at as f64 / BEST_FADES_MS;
                let key = Key { rank: f64_to_u64(rank), at, seq, place };
                top.offer(Best { key, segment: self.at, doc });
            }
            docs.advance();
        }
        Ok(())
    }

    /// The time and the seq of a document that the asker may see and that is of the right time.
    #[inline]
    fn admits(&self, doc: DocId, place: u64) -> Option<(u64, u64)> {
        let after = self.access.after(place)?;
        let seq = self.seqs.get_val(doc);
        let at = self.times.get_val(doc);
        let fits = seq > after && (self.from_ms..=self.last_ms).contains(&at) && !self.reader.is_deleted(doc);
        fits.then_some((at, seq))
    }
}

/// Phrases that a match must have. They are looked at last, since positions cost more than all else: only
/// for documents with all the words that the asker may see.
pub(crate) struct Phrases<'a> {
    each: Vec<Phrase<'a>>,
}

struct Phrase<'a> {
    weight: &'a dyn Weight,
    scorer: Option<Box<dyn Scorer>>,
    /// No document before this one has it.
    next: DocId,
}

impl<'a> Phrases<'a> {
    pub(crate) fn new(weights: &'a [Box<dyn Weight>]) -> Self {
        let phrase = |weight: &'a dyn Weight| Phrase { weight, scorer: None, next: 0 };
        Self { each: weights.iter().map(AsRef::as_ref).map(phrase).collect() }
    }

    /// Whether all stand in this document, of which the number is higher than at the last call.
    fn stand_in(&mut self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<bool> {
        for phrase in &mut self.each {
            if doc < phrase.next {
                return Ok(false);
            }
            let stands = match &mut phrase.scorer {
                Some(scorer) => scorer.seek_danger(doc),
                None => {
                    let (stands, scorer) = phrase.weight.scorer_danger(reader, doc, 1.0)?;
                    phrase.scorer = Some(scorer);
                    stands
                }
            };
            if let SeekDangerResult::SeekLowerBound(next) = stands {
                phrase.next = next;
                return Ok(false);
            }
        }
        Ok(true)
    }
}
