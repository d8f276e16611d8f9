//! What is found: words in several scripts, who may see it, in which order.

mod place;

use place::{Place, ask, message};
use yizhan_search::{Cursor, Document, Hit, Order, Query, TOTAL_MAX};

/// What people write, and the seqs they have in the index.
const CHAT: &[&str] = &[
    "我们今天下午三点开会，讨论项目的进度",               // 1
    "北京大学的人工智能课程下周开始",                     // 2
    "他在南京市长江大桥上拍了很多照片",                   // 3
    "请把iPhone手机的报价发到 Sales@Example.com，谢谢！", // 4
    "产品和服务都要升级",                                 // 5
    "昨天买了一件和服，很漂亮",                           // 6
    "Crème brûlée tastes great, doesn't it?",             // 7
    "Hello team, the release v2.10.3 goes out tomorrow",  // 8
    "項目進度如何？👍🏽👍🏽",                                 // 9
    "これは日本語のテストです",                           // 10
    "한국어 메시지도 찾을 수 있습니다",                   // 11
    "ＡＰＩ文档在这里：https://docs.example.com/api/v1",  // 12
];

#[test]
fn a_chinese_word_is_found_wherever_it_stands() {
    let place = Place::with(CHAT);
    for (query, seqs) in [
        ("项目", vec![1]),
        ("项目进度", vec![1]),
        ("进度 项目", vec![1]),
        ("人工智能", vec![2]),
        ("北京大学", vec![2]),
        ("北京大", vec![2]),
        ("京大学", vec![2]),
        ("工智", vec![2]),
        ("长江大桥", vec![3]),
        ("南京", vec![3]),
        ("市长", vec![3]),
        ("江大桥上拍", vec![3]),
        ("手机", vec![4]),
        ("和服", vec![5, 6]),
        ("項目進度", vec![9]),
        ("开会讨论", vec![1]),
        ("没有说过", vec![]),
        ("度进", vec![]),
    ] {
        assert_eq!(place.seqs(query), seqs, "{query}");
    }
}

#[test]
fn one_character_is_enough() {
    let place = Place::with(CHAT);
    assert_eq!(place.seqs("京"), [2, 3]);
    assert_eq!(place.seqs("会"), [1]);
    assert_eq!(place.seqs("の"), [10]);
    assert_eq!(place.seqs("👍"), [9]);
    assert_eq!(place.seqs("찾"), [11]);
}

#[test]
fn latin_words_are_found_whatever_their_case_and_accents() {
    let place = Place::with(CHAT);
    for (query, seqs) in [
        ("HELLO", vec![8]),
        ("creme BRULEE", vec![7]),
        ("crème", vec![7]),
        ("api", vec![12]),
        ("ａｐｉ", vec![12]),
        ("release tomorrow", vec![8]),
        ("release yesterday", vec![]),
        ("iphone手机", vec![4]),
    ] {
        assert_eq!(place.seqs(query), seqs, "{query}");
    }
}

#[test]
fn the_last_word_may_be_a_beginning_and_no_other() {
    let place = Place::with(CHAT);
    for beginning in ["he", "hel", "hell", "hello", "team tomor"] {
        assert_eq!(place.seqs(beginning), [8], "{beginning}");
    }
    assert_eq!(place.seqs("h"), [8, 12], "https, too");
    assert_eq!(place.seqs("hel "), [0u64; 0], "a space ends it");
    assert_eq!(place.seqs("tomor team"), [0u64; 0]);
    assert_eq!(place.seqs("elease"), [0u64; 0], "the middle of a word is no beginning");
}

#[test]
fn what_is_written_together_is_found_together() {
    let place = Place::with(CHAT);
    for (query, seqs) in [
        ("sales@example.com", vec![4]),
        ("example.com ", vec![4, 12]),
        ("docs.exam", vec![12]),
        ("2.10", vec![]),
        ("v2.10.3", vec![8]),
        ("v2.1", vec![8]),
        ("v2.3 ", vec![]),
        ("doesn't", vec![7]),
    ] {
        assert_eq!(place.seqs(query), seqs, "{query}");
    }
}

#[test]
fn quotes_make_a_phrase() {
    let place =
        Place::with(&["good morning all", "all good this morning", "早上好 all，大家好", "大家早上好"]);
    assert_eq!(place.seqs("good morning "), [1, 2]);
    assert_eq!(place.seqs("\"good morning\""), [1]);
    assert_eq!(place.seqs("“morning all”"), [1]);
    assert_eq!(place.seqs("\"早上好 all\""), [3]);
    assert_eq!(place.seqs("\"all 大家好\""), [3]);
    assert_eq!(place.seqs("\"大家早上好\""), [4]);
    assert_eq!(place.seqs("\"家早\" 好"), [4]);
}

#[test]
fn only_what_the_asker_may_see_is_found() {
    let place = Place::new();
    place.put((1..=3).flat_map(|seq| ["a", "b", "secret"].map(|c| message(c, seq, "hello 世界"))).collect());
    let ask = |may: &[(&str, u64)]| {
        let conversations = may.iter().map(|(c, after)| ((*c).to_owned(), *after)).collect();
        let found =
            place.found(&Query { text: "世界".into(), conversations, limit: 50, ..Query::default() });
        assert_eq!(found.total, found.hits.len());
        let mut hits: Vec<(String, u64)> =
            found.hits.into_iter().map(|hit| (hit.conversation, hit.seq)).collect();
        hits.sort();
        hits
    };
    assert_eq!(ask(&[]), []);
    assert_eq!(
        ask(&[("a", 0), ("b", 2)]),
        [("a", 1), ("a", 2), ("a", 3), ("b", 3)].map(|(c, s)| (c.to_owned(), s))
    );
    assert_eq!(ask(&[("b", 3), ("nowhere", 0)]), []);
    // So many that the postings of conversations are not used.
    let mut many: Vec<(String, u64)> = (0..5000).map(|n| (format!("x{n}"), 0)).collect();
    many.push(("a".into(), 1));
    let many: Vec<(&str, u64)> = many.iter().map(|(c, after)| (c.as_str(), *after)).collect();
    assert_eq!(ask(&many), [("a".to_owned(), 2), ("a".to_owned(), 3)]);
}

#[test]
fn sender_kind_and_time_narrow_it() {
    let place = Place::new();
    let document = |seq, sender: &str, kind: &str| Document {
        sender: sender.into(),
        kind: kind.into(),
        ..message("c", seq, "report")
    };
    place.put(vec![
        document(1, "ann", "text"),
        document(2, "bob", "text"),
        document(3, "ann", "file"),
        document(4, "bob", "image"),
    ]);
    let seqs = |query: Query| place.found(&query).hits.iter().map(|hit| hit.seq).collect::<Vec<_>>();
    let base = ask("report");
    assert_eq!(seqs(Query { sender: Some("ann".into()), ..base.clone() }), [3, 1]);
    assert_eq!(seqs(Query { kinds: vec!["file".into(), "image".into()], ..base.clone() }), [4, 3]);
    assert_eq!(seqs(Query { from_ms: Some(2000), ..base.clone() }), [4, 3, 2]);
    assert_eq!(seqs(Query { until_ms: Some(2000), ..base.clone() }), [1]);
    assert_eq!(seqs(Query { from_ms: Some(2000), until_ms: Some(4000), ..base.clone() }), [3, 2]);
    assert_eq!(seqs(Query { until_ms: Some(0), ..base.clone() }), [0u64; 0]);
    assert_eq!(seqs(Query { sender: Some("nobody".into()), ..base }), [0u64; 0]);
    // Without words: everything of that kind.
    assert_eq!(seqs(Query { kinds: vec!["file".into()], ..ask("  ") }), [3]);
    assert_eq!(seqs(ask("")), [4, 3, 2, 1]);
}

/// Pages through all of it and gives the hits of each page.
fn pages(place: &Place, query: &Query) -> Vec<Vec<Hit>> {
    let mut query = query.clone();
    let mut pages = vec![];
    loop {
        let found = place.found(&query);
        pages.push(found.hits);
        let Some(next) = found.next else { return pages };
        // As it goes to a client and back.
        query.before = Some(next.to_string().parse::<Cursor>().unwrap());
    }
}

#[test]
fn pages_have_everything_once_and_in_order() {
    let place = Place::new();
    // Several segments, times that repeat, and seqs that come late.
    for part in 0..5u64 {
        let documents = (0..50u64).map(|n| Document {
            at_ms: 1000 + (n * 7 + part) % 40,
            ..message(
                if n % 2 == 0 { "c" } else { "d" },
                part * 50 + n,
                if n % 3 == 0 { "red red" } else { "red blue" },
            )
        });
        place.put(documents.collect());
    }
    for order in [Order::Newest, Order::Best] {
        let conversations = vec![("c".to_owned(), 0), ("d".to_owned(), 100)];
        let query = Query { conversations, limit: 7, order, ..ask("red ") };
        let whole: Vec<Hit> = pages(&place, &Query { limit: 100, ..query.clone() }).concat();
        let small: Vec<Hit> = pages(&place, &query).concat();
        assert_eq!(small, whole);
        let expected = (1..250).filter(|seq| seq % 2 == 0 || *seq > 100).count();
        assert_eq!(whole.len(), expected);
        assert_eq!(place.found(&query).total, expected);
        if order == Order::Newest {
            assert!(whole.is_sorted_by_key(|hit| std::cmp::Reverse((hit.at_ms, hit.seq))));
        }
    }
}

#[test]
fn the_total_is_counted_up_to_its_bound() {
    let place = Place::new();
    for part in 0..3 {
        place.put((1..=600).map(|n| message("c", part * 600 + n, "again")).collect());
    }
    let found = place.found(&Query { limit: 3, ..ask("again") });
    assert_eq!(found.total, TOTAL_MAX);
    assert_eq!(found.hits.iter().map(|hit| hit.seq).collect::<Vec<_>>(), [1800, 1799, 1798]);
}

#[test]
fn the_best_is_where_the_words_weigh_most_and_then_the_latest() {
    let place = Place::with(&[
        "budget budget budget",
        "a long story about many other things, of which the budget is one, and there are more to tell",
        "budget budget budget",
    ]);
    let best = Query { order: Order::Best, ..ask("budget ") };
    assert_eq!(place.found(&best).hits.iter().map(|hit| hit.seq).collect::<Vec<_>>(), [3, 1, 2]);
}

#[test]
fn a_text_with_the_word_is_better_than_one_with_its_characters_by_chance() {
    let place = Place::with(&["昨天买了一件和服，很漂亮，大家都说好看", "产品和服务"]);
    let found = |order| {
        let query = Query { order, ..ask("和服") };
        place.found(&query).hits.iter().map(|hit| hit.seq).collect::<Vec<_>>()
    };
    assert_eq!(found(Order::Best), [1, 2]);
    assert_eq!(found(Order::Newest), [2, 1]);
}

#[test]
fn a_hit_says_what_and_where() {
    let place = Place::with(CHAT);
    let found = place.found(&ask("手机 SALES"));
    let hit = &found.hits[0];
    assert_eq!((hit.conversation.as_str(), hit.seq, hit.at_ms, hit.sender.as_str()), ("c", 4, 4000, "ann"));
    let marked: Vec<&str> = hit.marks.iter().map(|(start, end)| &hit.snippet[*start..*end]).collect();
    assert_eq!(marked, ["手机", "Sales"]);
    assert_eq!(hit.snippet, CHAT[3]);
}
