//! Queries that nobody means well with: an answer or a clear error, never a panic.

mod place;

use place::{Place, ask};
use proptest::prelude::*;
use yizhan_search::{Found, Order, Query, SearchError};

fn refused(place: &Place, query: &Query) -> &'static str {
    match place.index.search(query) {
        Err(SearchError::BadQuery(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_has_no_words_finds_nothing() {
    let place = Place::with(&["hello ??? 世界", "\0"]);
    for text in
        ["???", "。，！", "\0", "\"", "\"\"", "“", "\u{301}", "\u{200B}\u{FEFF}.", "()[]{}*~^:+-&|!\\/"]
    {
        assert_eq!(place.found(&ask(text)), Found::default(), "{text:?}");
    }
}

#[test]
fn signs_of_query_languages_are_just_signs() {
    let place = Place::with(&["cats AND dogs", "title:cats", "-cats (dogs)"]);
    assert_eq!(place.seqs("cats AND dogs"), [1]);
    assert_eq!(place.seqs("title:cats"), [2]);
    assert_eq!(place.seqs("-cats"), [1, 2, 3]);
    assert_eq!(place.seqs("cats^5 "), [0u64; 0], "a number is a word");
    assert_eq!(place.seqs("*cats*"), [1, 2, 3]);
    assert_eq!(place.seqs("(dogs"), [1, 3]);
    assert_eq!(place.seqs("\"cats\" \"dogs"), [1, 3]);
    assert_eq!(place.seqs("ca\0ts"), [0u64; 0]);
}

#[test]
fn what_is_too_much_is_refused_in_plain_words() {
    let place = Place::with(&["hello"]);
    assert_eq!(refused(&place, &ask(&"a".repeat(100_000))), "the query is longer than 1024 bytes");
    assert_eq!(refused(&place, &ask(&"汉字 ".repeat(30_000))), "the query is longer than 1024 bytes");
    let many: String = (0..40).map(|n| format!("w{n} ")).collect();
    assert_eq!(refused(&place, &ask(&many)), "the query has more than 32 words");
    let conversations = (0..10_001).map(|n| (n.to_string(), 0)).collect();
    let why = refused(&place, &Query { conversations, ..ask("hello") });
    assert_eq!(why, "the query names more than 10000 conversations");
    let kinds = vec!["k".to_owned(); 65];
    assert_eq!(refused(&place, &Query { kinds, ..ask("hello") }), "the query names more than 64 kinds");
}

#[test]
fn limits_out_of_range_are_the_nearest_in_range() {
    let place = Place::with(&["hello"; 150]);
    assert_eq!(place.found(&Query { limit: 0, ..ask("hello") }).hits.len(), 1);
    assert_eq!(place.found(&Query { limit: usize::MAX, ..ask("hello") }).hits.len(), 100);
}

#[test]
fn a_cursor_of_another_order_is_refused_and_a_made_up_one_harms_nobody() {
    let place = Place::with(&["hello"; 5]);
    let next = place.found(&Query { limit: 2, ..ask("hello") }).next;
    assert!(next.is_some());
    let why = refused(&place, &Query { before: next, order: Order::Best, ..ask("hello") });
    assert_eq!(why, "the cursor is of a search in another order");
    for made_up in [format!("n{}", "0".repeat(64)), format!("n{}", "f".repeat(64))] {
        let before = Some(made_up.parse().unwrap());
        assert!(place.found(&Query { before, ..ask("hello") }).hits.len() <= 5);
    }
}

#[test]
fn a_pasted_text_without_a_break_is_looked_up() {
    let long = "字".repeat(300);
    let place = Place::with(&[&long, &"k".repeat(1000)]);
    assert_eq!(place.seqs(&format!("\"{long}\"")), [1]);
    assert_eq!(place.seqs(&"k".repeat(1000)), [2]);
    assert_eq!(place.seqs(&"k".repeat(300)), [2], "beyond 64 letters a word is its beginning");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_query_has_an_answer(text in "\\PC{0,40}|[a-z\"“汉字👍🏽\u{301}\u{0} .,@ßﬁ]{0,60}", best: bool) {
        thread_local! {
            static PLACE: Place = Place::with(&["hello 汉字 a.b@c 👍🏽 ﬁne ß", "a a a a \"b\"", "汉字汉字"]);
        }
        let order = if best { Order::Best } else { Order::Newest };
        let answer = PLACE.with(|place| place.index.search(&Query { order, ..ask(&text) }));
        match answer {
            Ok(found) => for hit in found.hits {
                for (start, end) in hit.marks {
                    prop_assert!(hit.snippet.get(start..end).is_some());
                }
            },
            Err(SearchError::BadQuery(_)) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
