//! Two queries that tantivy does not have: words that begin so, and one document by its key.

use std::collections::BinaryHeap;

use tantivy::{
    BitSet, DocId, DocSet, Score, SegmentReader, TERMINATED, TantivyError, Term,
    postings::TermInfo,
    query::{BitSetDocSet, ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight},
    schema::{Field, IndexRecordOption},
};

use crate::schema::SEQ;

/// Words of one segment that a beginning may stand for. Where more begin so, these are the most frequent
/// ones: what the longest letters of a beginning are in so many words, the user goes on typing.
const PREFIX_WORDS_MAX: usize = 2048;

/// Words of a segment's dictionary that are looked at for one beginning; a bound on time.
const PREFIX_SCAN_MAX: usize = 50_000;

/// Documents with a word that begins so.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    pub(crate) field: Field,
    pub(crate) text: String,
}

impl Query for Beginning {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for Beginning {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let index = reader.inverted_index(self.field)?;
        let words = self.words(reader)?;
        if words.is_empty() {
            return Ok(Box::new(EmptyScorer));
        }
        let mut docs = BitSet::with_max_value(reader.max_doc());
        for word in words {
            let mut postings = index.read_block_postings_from_terminfo(&word, IndexRecordOption::Basic)?;
            while !postings.docs().is_empty() {
                for doc in postings.docs() {
                    docs.insert(*doc);
                }
                postings.advance();
            }
        }
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(docs), boost)))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Err(unexplained())
    }
}

impl Beginning {
    fn words(&self, reader: &SegmentReader) -> tantivy::Result<Vec<TermInfo>> {
        let index = reader.inverted_index(self.field)?;
        let mut terms = index.terms().range().ge(&self.text).into_stream()?;
        let (mut words, mut rarest) = (vec![], BinaryHeap::new());
        for _ in 0..PREFIX_SCAN_MAX {
            let Some((word, found)) = terms.next() else { break };
            if !word.starts_with(self.text.as_bytes()) {
                break;
            }
            // The word itself is never among those left out: it is the first.
            let rarity = if words.is_empty() { 0 } else { u32::MAX - found.doc_freq };
            rarest.push((rarity, words.len()));
            words.push(Some(found.clone()));
            if rarest.len() > PREFIX_WORDS_MAX
                && let Some((_, at)) = rarest.pop()
            {
                words[at] = None;
            }
        }
        Ok(words.into_iter().flatten().collect())
    }
}

/// The document with this key, of which the caller gives the term of its bucket.
#[derive(Clone, Debug)]
pub(crate) struct OneDocument {
    pub(crate) bucket: Term,
    pub(crate) seq: u64,
}

impl Query for OneDocument {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for OneDocument {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let index = reader.inverted_index(self.bucket.field())?;
        let Some(mut bucket) = index.read_postings(&self.bucket, IndexRecordOption::Basic)? else {
            return Ok(Box::new(EmptyScorer));
        };
        let seqs = reader.fast_fields().column_first_or_default::<u64>(SEQ)?;
        let mut docs = vec![];
        while bucket.doc() != TERMINATED {
            if seqs.get_val(bucket.doc()) == self.seq {
                docs.push(bucket.doc());
            }
            bucket.advance();
        }
        Ok(Box::new(ConstScorer::new(Listed { docs, at: 0 }, boost)))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Err(unexplained())
    }
}

/// A few documents, in order.
struct Listed {
    docs: Vec<DocId>,
    at: usize,
}

impl DocSet for Listed {
    fn advance(&mut self) -> DocId {
        self.at = (self.at + 1).min(self.docs.len());
        self.doc()
    }

    fn doc(&self) -> DocId {
        self.docs.get(self.at).copied().unwrap_or(TERMINATED)
    }

    fn size_hint(&self) -> u32 {
        // A list is of one bucket's documents.
        self.docs.len() as u32
    }
}

fn unexplained() -> TantivyError {
    TantivyError::InvalidArgument("this query's scores are not explained".into())
}
