//! One search: the matches of each segment pass the filter, and the best of them are shown.

use std::cmp::Reverse;

use tantivy::{
    DocAddress, Searcher, TantivyDocument,
    query::{EnableScoring, Weight},
    schema::{Field, Value},
};

use crate::{
    access::Access,
    error::SearchError,
    matching::Matching,
    query::{Found, Hit, Order, QUERY_CONVERSATIONS_MAX, QUERY_KINDS_MAX, Query},
    scan::{Phrases, Segment},
    schema::Fields,
    snippet::snippet,
    top::{Best, Top},
    words::parse,
};

/// Answers a query from what was visible when it began.
pub(crate) fn search(fields: &Fields, searcher: &Searcher, query: &Query) -> Result<Found, SearchError> {
    check(query)?;
    let words = parse(&query.text)?;
    let access = Access::new(&query.conversations);
    let asks_for_nothing = words.is_empty() && !query.text.trim().is_empty();
    if access.is_empty() || asks_for_nothing {
        return Ok(Found::default());
    }
    let matching = Matching::new(fields, query, &words, &access);
    let scoring = match query.order {
        Order::Newest => EnableScoring::disabled_from_searcher(searcher),
        Order::Best => EnableScoring::enabled_from_searcher(searcher),
    };
    let weight = matching.documents.weight(scoring)?;
    let exact = EnableScoring::disabled_from_searcher(searcher);
    let phrases: tantivy::Result<Vec<Box<dyn Weight>>> =
        matching.phrases.iter().map(|phrase| phrase.weight(exact)).collect();
    let phrases = phrases?;
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
            Order::Newest => segment.newest_of(scorer, Phrases::new(&phrases), &mut top)?,
            Order::Best => segment.best_of(scorer, Phrases::new(&phrases), &mut top)?,
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
