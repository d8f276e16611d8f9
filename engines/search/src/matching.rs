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
    query::{Order, Query},
    schema::{Fields, number},
    tokens::HEAD_CHARS_MAX,
    words::{Part, PartShape, Wanted},
};

/// Words that the open end of a phrase (`don't` while it is typed) may stand for.
const PHRASE_ENDS_MAX: u32 = 256;

/// What a whole Chinese word adds to a match's score: as much as a rare word does.
const WHOLE_WORD_SCORE: f32 = 8.0;

/// What matches a query's words, its sender, its kinds and, where that is quicker, its conversations. The
/// exact filter on conversations and times comes after.
pub(crate) struct Matching {
    /// Documents with all the words, or all the parts of words.
    pub(crate) documents: Box<dyn Matcher>,
    /// What must also be there, one after the other.
    pub(crate) phrases: Vec<Box<dyn Matcher>>,
}

impl Matching {
    pub(crate) fn new(fields: &Fields, query: &Query, words: &[Wanted], access: &Access<'_>) -> Self {
        let mut all: Vec<(Occur, Box<dyn Matcher>)> = vec![];
        let mut phrases = vec![];
        if query.order == Order::Best {
            all.extend(
                words.iter().filter_map(|wanted| whole(fields, wanted)).map(|word| (Occur::Should, word)),
            );
        }
        let mut must = |matcher| all.push((Occur::Must, matcher));
        for wanted in words {
            if let [single] = wanted.units.as_slice() {
                must(one(fields, single, wanted.open));
                continue;
            }
            let terms = terms(fields, wanted);
            for (_, term) in &terms {
                must(Box::new(TermQuery::new(term.clone(), IndexRecordOption::WithFreqs)));
            }
            if let (true, Some(last)) = (wanted.open, wanted.units.last()) {
                must(one(fields, last, true));
            }
            phrases.extend(phrase(fields, wanted, terms));
        }
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
        let documents: Box<dyn Matcher> =
            if all.is_empty() { Box::new(AllQuery) } else { Box::new(BooleanQuery::new(all)) };
        Self { documents, phrases }
    }
}

/// What makes a match better: that these Han characters are a word there.
fn whole(fields: &Fields, wanted: &Wanted) -> Option<Box<dyn Matcher>> {
    if wanted.units.len() < 2 || wanted.units.iter().any(|unit| unit.shape == PartShape::Word) {
        return None;
    }
    let word: String = wanted.units.iter().map(|unit| unit.text.as_str()).collect();
    let word = TermQuery::new(Term::from_field_text(fields.words, &word), IndexRecordOption::Basic);
    Some(Box::new(ConstScoreQuery::new(Box::new(word), WHOLE_WORD_SCORE)))
}

/// `None` for a single term, which is there or not.
fn phrase(fields: &Fields, wanted: &Wanted, mut terms: Vec<(usize, Term)>) -> Option<Box<dyn Matcher>> {
    if wanted.open {
        let last = wanted.units.last()?;
        terms.push((wanted.units.len() - 1, Term::from_field_text(fields.text, &last.text)));
        let mut phrase = PhrasePrefixQuery::new_with_offset(terms);
        phrase.set_max_expansions(PHRASE_ENDS_MAX);
        return Some(Box::new(phrase));
    }
    (terms.len() > 1).then(|| Box::new(PhraseQuery::new_with_offset(terms)) as Box<dyn Matcher>)
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

/// Terms with their places, but not an open end. A run of pieces is every second of its pairs, and the
/// last: these hold it together as well as all of them.
fn terms(fields: &Fields, wanted: &Wanted) -> Vec<(usize, Term)> {
    let units = &wanted.units[..wanted.units.len() - usize::from(wanted.open)];
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
