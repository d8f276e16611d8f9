//! A query as tantivy's: which documents match, whoever asks.

use tantivy::{
    Term,
    query::{
        AllQuery, BooleanQuery, ConstScoreQuery, Occur, PhrasePrefixQuery, PhraseQuery, Query as Matcher,
        TermQuery,
    },
    schema::IndexRecordOption,
};

use crate::{
    access::{Access, any},
    docs::Beginning,
    query::Query,
    schema::{Fields, number},
    tokens::HEAD_CHARS_MAX,
    words::{Part, PartShape, Wanted},
};

/// Words that the open end of a phrase (`don't` while it is typed) may stand for.
const PHRASE_ENDS_MAX: u32 = 256;

/// What matches a query's words, its sender, its kinds and, where that is quicker, its conversations. The
/// exact filter on conversations and times comes after.
pub(crate) fn matcher(
    fields: &Fields,
    query: &Query,
    words: &[Wanted],
    access: &Access<'_>,
) -> Box<dyn Matcher> {
    let mut all: Vec<(Occur, Box<dyn Matcher>)> = vec![];
    let mut must = |matcher| all.push((Occur::Must, matcher));
    words.iter().for_each(|wanted| must(word(fields, wanted)));
    // These let through or not, and say nothing about how well a message fits.
    let mut filter = |matcher| must(Box::new(ConstScoreQuery::new(matcher, 0.0)));
    if let Some(sender) = &query.sender {
        filter(any([Term::from_field_u64(fields.from, number(sender))].into_iter()));
    }
    if !query.kinds.is_empty() {
        filter(any(query.kinds.iter().map(|kind| Term::from_field_text(fields.kind, kind))));
    }
    if let Some(postings) = access.postings(fields.place) {
        filter(postings);
    }
    if all.is_empty() { Box::new(AllQuery) } else { Box::new(BooleanQuery::new(all)) }
}

fn word(fields: &Fields, wanted: &Wanted) -> Box<dyn Matcher> {
    if let [single] = wanted.units.as_slice() {
        return one(fields, single, wanted.open);
    }
    let mut terms = phrase(fields, &wanted.units);
    if wanted.open {
        let mut phrase = PhrasePrefixQuery::new_with_offset(terms);
        phrase.set_max_expansions(PHRASE_ENDS_MAX);
        return Box::new(phrase);
    }
    match terms.len() {
        1 => Box::new(TermQuery::new(terms.remove(0).1, IndexRecordOption::WithFreqs)),
        _ => Box::new(PhraseQuery::new_with_offset(terms)),
    }
}

fn one(fields: &Fields, part: &Part, open: bool) -> Box<dyn Matcher> {
    let is_head = part.text.chars().count() <= HEAD_CHARS_MAX;
    let (field, option) = match part.shape {
        PartShape::Word if open && !is_head => {
            return Box::new(Beginning { field: fields.text, text: part.text.clone() });
        }
        PartShape::Word if !open => (fields.text, IndexRecordOption::WithFreqs),
        _ => (fields.parts, IndexRecordOption::Basic),
    };
    Box::new(TermQuery::new(Term::from_field_text(field, &part.text), option))
}

/// Terms with their places. A run of pieces is every second of its pairs, and the last: these hold it
/// together as well as all of them.
fn phrase(fields: &Fields, units: &[Part]) -> Vec<(usize, Term)> {
    let mut terms = vec![];
    let mut at = 0;
    while let Some(unit) = units.get(at) {
        let more = units[at + 1..].iter();
        let run = 1 + more.take_while(|next| next.shape == PartShape::Piece { glued: true }).count();
        let term = |text: &str| Term::from_field_text(fields.text, text);
        if run == 1 {
            terms.push((at, term(&unit.text)));
        }
        for pair in pairs(run) {
            let (first, second) = (&units[at + pair], &units[at + pair + 1]);
            terms.push((at + pair, term(&format!("{}{}", first.text, second.text))));
        }
        at += run;
    }
    terms
}

/// Where the pairs that cover a run of so many pieces begin.
fn pairs(run: usize) -> impl Iterator<Item = usize> {
    let odd = (run % 2 == 1 && run > 2).then(|| run - 2);
    (0..run.saturating_sub(1)).step_by(2).chain(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_cover_a_run() {
        let covered = |run| pairs(run).collect::<Vec<_>>();
        assert_eq!(covered(1), [0usize; 0]);
        assert_eq!(covered(2), [0]);
        assert_eq!(covered(3), [0, 1]);
        assert_eq!(covered(4), [0, 2]);
        assert_eq!(covered(5), [0, 2, 3]);
    }
}
