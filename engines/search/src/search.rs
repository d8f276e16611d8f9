//! One search: the matches of each segment pass the filter, and the best of them are shown.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use tantivy::{
    COLLECT_BLOCK_BUFFER_LEN, DocAddress, DocId, DocSet, Searcher, SegmentReader, TERMINATED,
    TantivyDocument,
    columnar::ColumnValues,
    f64_to_u64,
    query::{EnableScoring, Scorer},
    schema::{Field, Value},
};

use crate::{
    access::Access,
    error::SearchError,
    matching::matcher,
    query::{
        Cursor, Found, HITS_MAX, Hit, Key, Order, QUERY_CONVERSATIONS_MAX, QUERY_KINDS_MAX, Query, TOTAL_MAX,
    },
    schema::{AT, Fields, PLACE, SEQ},
    snippet::snippet,
    words::parse,
};

/// How much later a message must be to outweigh another that fits e times as well. The rank is made of a
/// message's own time, not of its age, so that it stays the same while a user turns pages.
const BEST_FADES_MS: f64 = 180.0 * 24.0 * 3600.0 * 1000.0;

/// What a match is worth at least, so that it has a logarithm.
const SCORE_MIN: f64 = 1e-9;

/// Answers a query from what was visible when it began.
pub(crate) fn search(fields: &Fields, searcher: &Searcher, query: &Query) -> Result<Found, SearchError> {
    check(query)?;
    let words = parse(&query.text)?;
    let access = Access::new(&query.conversations);
    let asks_for_nothing = words.is_empty() && !query.text.trim().is_empty();
    if access.is_empty() || asks_for_nothing {
        return Ok(Found::default());
    }
    let matcher = matcher(fields, query, &words, &access);
    let scoring = match query.order {
        Order::Newest => EnableScoring::disabled_from_searcher(searcher),
        Order::Best => EnableScoring::enabled_from_searcher(searcher),
    };
    let weight = matcher.weight(scoring)?;
    let mut segments = vec![];
    for (at, reader) in searcher.segment_readers().iter().enumerate() {
        // An index has far fewer than 2^32 segments.
        segments.extend(Segment::open(at as u32, reader, query, &access)?);
    }
    segments.sort_by_key(|segment| Reverse(segment.newest));
    let mut top = Top::new(query);
    for segment in segments {
        if query.order == Order::Newest && top.is_settled(segment.newest) {
            break;
        }
        let scorer = weight.scorer(segment.reader, 1.0)?;
        match query.order {
            Order::Newest => segment.newest_of(scorer, &mut top),
            Order::Best => segment.best_of(scorer, &mut top),
        }
    }
    let page = top.page();
    let show = |best: &Best| hit(fields, searcher, &access, best, |text| snippet(text, &words));
    let hits: Result<Vec<Option<Hit>>, SearchError> = page.hits.iter().map(show).collect();
    Ok(Found { hits: hits?.into_iter().flatten().collect(), total: page.total, next: page.next })
}

fn check(query: &Query) -> Result<(), SearchError> {
    if query.conversations.len() > QUERY_CONVERSATIONS_MAX {
        return Err(SearchError::BadQuery("the query names more than 10000 conversations"));
    }
    if query.kinds.len() > QUERY_KINDS_MAX {
        return Err(SearchError::BadQuery("the query names more than 64 kinds"));
    }
    if query.before.is_some_and(|before| before.order != query.order) {
        return Err(SearchError::BadQuery("the cursor is of a search in another order"));
    }
    Ok(())
}

/// A segment that may have matches, with the columns that the filter looks at.
struct Segment<'a> {
    at: u32,
    reader: &'a SegmentReader,
    access: &'a Access<'a>,
    places: Arc<dyn ColumnValues<u64>>,
    seqs: Arc<dyn ColumnValues<u64>>,
    times: Arc<dyn ColumnValues<u64>>,
    newest: u64,
    from_ms: u64,
    /// Inclusive.
    last_ms: u64,
}

impl<'a> Segment<'a> {
    /// `None` when nothing in it is of the time that the query asks for.
    fn open(
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
    fn newest_of(&self, mut docs: Box<dyn Scorer>, top: &mut Top) {
        let mut block = [0; COLLECT_BLOCK_BUFFER_LEN];
        let mut places = [0; COLLECT_BLOCK_BUFFER_LEN];
        loop {
            let filled = docs.fill_buffer(&mut block);
            let (block, places) = (&block[..filled], &mut places[..filled]);
            self.places.get_vals(block, places);
            for (doc, place) in block.iter().zip(places.iter()) {
                if let Some((at, seq)) = self.admits(*doc, *place) {
                    top.offer(Best {
                        key: Key { rank: at, at, seq, place: *place },
                        segment: self.at,
                        doc: *doc,
                    });
                }
            }
            if filled < COLLECT_BLOCK_BUFFER_LEN {
                return;
            }
        }
    }

    /// Documents one by one, since only the scorer's current one has a score.
    fn best_of(&self, mut docs: Box<dyn Scorer>, top: &mut Top) {
        while docs.doc() != TERMINATED {
            let (doc, place) = (docs.doc(), self.places.get_val(docs.doc()));
            if let Some((at, seq)) = self.admits(doc, place) {
                let rank = f64::from(docs.score()).max(SCORE_MIN).ln() + at as f64 / BEST_FADES_MS;
                let key = Key { rank: f64_to_u64(rank), at, seq, place };
                top.offer(Best { key, segment: self.at, doc });
            }
            docs.advance();
        }
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

/// A match and its place in the order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Best {
    key: Key,
    segment: u32,
    doc: DocId,
}

/// The matches that make a page, while more of them come in.
struct Top {
    order: Order,
    before: Option<Key>,
    limit: usize,
    /// One more than the page has, to see whether another one follows. The least is on top.
    kept: BinaryHeap<Reverse<Best>>,
    total: usize,
}

struct Page {
    hits: Vec<Best>,
    total: usize,
    next: Option<Cursor>,
}

impl Top {
    fn new(query: &Query) -> Self {
        Self {
            order: query.order,
            before: query.before.map(|before| before.key),
            limit: query.limit.clamp(1, HITS_MAX),
            kept: BinaryHeap::new(),
            total: 0,
        }
    }

    fn offer(&mut self, best: Best) {
        self.total = (self.total + 1).min(TOTAL_MAX);
        if self.before.is_some_and(|before| best.key >= before) {
            return;
        }
        if self.kept.len() <= self.limit {
            self.kept.push(Reverse(best));
        } else if let Some(mut least) = self.kept.peek_mut()
            && best > least.0
        {
            *least = Reverse(best);
        }
    }

    /// Whether documents up to this time can change nothing any more, neither the page nor the total.
    fn is_settled(&self, newest: u64) -> bool {
        let full =
            self.kept.len() > self.limit && self.kept.peek().is_some_and(|least| least.0.key.at > newest);
        full && self.total == TOTAL_MAX
    }

    fn page(self) -> Page {
        let mut hits: Vec<Best> = self.kept.into_sorted_vec().into_iter().map(|Reverse(best)| best).collect();
        let more = hits.len() > self.limit;
        hits.truncate(self.limit);
        let last = hits.last().map(|best| Cursor { order: self.order, key: best.key });
        Page { hits, total: self.total, next: last.filter(|_| more) }
    }
}

/// Reads what is shown of a match; `None` if two conversations' numbers were the same after all.
fn hit(
    fields: &Fields,
    searcher: &Searcher,
    access: &Access<'_>,
    best: &Best,
    snippet: impl Fn(&str) -> (String, Vec<(usize, usize)>),
) -> Result<Option<Hit>, SearchError> {
    let document: TantivyDocument = searcher.doc(DocAddress::new(best.segment, best.doc))?;
    let text = |field: Field| document.get_first(field).and_then(|value| value.as_str()).unwrap_or_default();
    let conversation = text(fields.conversation);
    if !access.is(best.key.place, conversation) {
        return Ok(None);
    }
    let (snippet, marks) = snippet(text(fields.text));
    Ok(Some(Hit {
        conversation: conversation.to_owned(),
        seq: best.key.seq,
        at_ms: best.key.at,
        sender: text(fields.sender).to_owned(),
        snippet,
        marks,
    }))
}
