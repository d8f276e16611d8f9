//! What goes in: edits, removals, and how far the caller is.

mod place;

use std::{
    fs,
    time::{Duration, Instant},
};

use place::{Place, ask, message, open, quick, wait};
use yizhan_search::{Change, Config, Document, Index, Query, SearchError, TEXT_BYTES_MAX};

#[test]
fn the_same_message_again_replaces_it() {
    let place = Place::with(&["first words", "other"]);
    place.put(vec![message("c", 1, "second thoughts")]);
    assert_eq!(place.seqs("first "), [0u64; 0]);
    assert_eq!(place.seqs("second "), [1]);
    assert_eq!(place.index.figures().documents, 2);
    // Twice before one commit, and an older seq after newer ones.
    place.put(vec![message("c", 9, "draft"), message("c", 9, "final"), message("c", 5, "late")]);
    assert_eq!((place.seqs("draft "), place.seqs("final "), place.seqs("late ")), (vec![], vec![9], vec![5]));
    // Also of what was there before a restart.
    let place = place.again();
    place.put(vec![message("c", 9, "after all")]);
    assert_eq!((place.seqs("final "), place.seqs("after ")), (vec![], vec![9]));
    assert_eq!(place.index.figures().documents, 4);
}

#[test]
fn what_is_removed_is_not_found() {
    let place = Place::new();
    let of = |conversation, seq, sender: &str| Document {
        sender: sender.into(),
        ..message(conversation, seq, "word")
    };
    let all = || Query { conversations: vec![("c".into(), 0), ("d".into(), 0)], ..ask("word ") };
    let left = |place: &Place| {
        let mut left: Vec<String> =
            place.found(&all()).hits.iter().map(|hit| format!("{}{}", hit.conversation, hit.seq)).collect();
        left.sort();
        left.join(" ")
    };
    place.put(vec![
        of("c", 1, "ann"),
        of("c", 2, "bob"),
        of("c", 65, "bob"),
        of("d", 1, "bob"),
        of("d", 2, "ann"),
    ]);
    place.apply(vec![Change::Remove { conversation: "c".into(), seq: 2 }], "");
    assert_eq!(left(&place), "c1 c65 d1 d2");
    place.apply(vec![Change::Remove { conversation: "c".into(), seq: 77 }], "");
    assert_eq!(left(&place), "c1 c65 d1 d2", "what is not there is no error");
    place.apply(vec![Change::RemoveSender { sender: "bob".into() }], "");
    assert_eq!(left(&place), "c1 d2");
    place.apply(vec![Change::RemoveConversation("d".into())], "");
    assert_eq!(left(&place), "c1");
    // In order within one batch: what comes after a removal stays.
    let clear = vec![Change::Put(of("c", 100, "eve")), Change::Clear, Change::Put(of("c", 1, "ann"))];
    place.apply(clear, "");
    assert_eq!(left(&place), "c1");
    assert_eq!(place.index.figures().documents, 1);
    let place = place.again();
    assert_eq!(left(&place), "c1");
}

#[test]
fn what_is_expunged_is_on_no_disk_any_more() {
    let place = Place::new();
    let secret = |seq| Document { sender: "bob".into(), ..message("c", seq, "confidentialissimo") };
    // Enough others that no merge is due by itself.
    for part in 0..3 {
        let others = (1..=20).map(|n| message("c", part * 100 + n, "plain"));
        place.put(others.chain([secret(part * 100 + 50)]).collect());
    }
    let has_it = |place: &Place| {
        let files = fs::read_dir(place.folder.path().join("index")).unwrap();
        let has = |file: fs::DirEntry| {
            // A file may go meanwhile.
            let bytes = fs::read(file.path()).unwrap_or_default();
            bytes.windows(17).any(|window| window == b"confidentialissim")
        };
        files.map(|file| file.unwrap()).any(has)
    };
    assert!(has_it(&place));
    place.apply(vec![Change::RemoveSender { sender: "bob".into() }], "");
    assert!(place.seqs("confidentialissimo ").is_empty());
    assert_eq!(place.index.figures().removed, 3);
    place.index.expunge().unwrap();
    let began = Instant::now();
    while place.index.figures().removed > 0 || has_it(&place) {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", place.index.figures());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(place.index.figures().documents, 60);
    assert_eq!(place.seqs("plain").len(), 60);
}

#[test]
fn the_callers_word_is_committed_with_the_changes() {
    let place = Place::new();
    assert_eq!((place.opened.through.clone(), place.opened.fresh), (None, true));
    place.apply(vec![Change::Put(message("c", 1, "one"))], "lane 0: 17");
    assert_eq!(place.index.figures().through.as_deref(), Some("lane 0: 17"));
    place.index.apply(vec![], "lane 0: 18".into()).unwrap();
    let place = place.again();
    assert_eq!(place.opened.through.as_deref(), Some("lane 0: 18"), "without changes, too");
    assert_eq!((place.opened.documents, place.opened.fresh), (1, false));
}

#[test]
fn a_change_is_found_by_itself_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = Index::open(folder.path(), Config::default()).unwrap();
    for seq in 1..=3 {
        let began = Instant::now();
        index.apply(vec![Change::Put(message("c", seq, &format!("number{seq}")))], String::new()).unwrap();
        while index.search(&ask(&format!("number{seq}"))).unwrap().hits.is_empty() {
            // Far more than promised, since tests run beside others.
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert_eq!(index.figures().waiting, 0);
}

#[test]
fn too_much_at_once_is_refused_and_can_be_given_again() {
    let place = Place::new();
    let batch = || -> Vec<Change> { (0..50_000).map(|seq| Change::Put(message("c", seq, ""))).collect() };
    let mut taken = 0;
    let busy = loop {
        match place.index.apply(batch(), taken.to_string()) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 1000, "it never was busy");
    };
    assert!(matches!(busy, SearchError::Busy { waiting } if waiting > 0), "{busy}");
    wait(place.index.flush()).unwrap();
    place.apply(vec![], "all");
    assert_eq!(place.index.figures().documents, 50_000);
}

#[test]
fn after_closing_it_answers_and_takes_nothing() {
    let place = Place::with(&["hello"]);
    place.index.apply(vec![Change::Put(message("c", 2, "hello again"))], "2".into()).unwrap();
    let flushed = place.index.flush();
    place.index.close();
    wait(flushed).unwrap();
    assert_eq!(place.seqs("hello"), [1, 2]);
    assert!(matches!(place.index.apply(vec![], String::new()), Err(SearchError::Closed)));
    assert!(matches!(wait(place.index.flush()), Err(SearchError::Closed)));
    place.index.close();
}

#[test]
fn the_last_handle_closes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = Index::open(folder.path(), quick()).unwrap();
    let other = index.clone();
    drop(index);
    other.apply(vec![Change::Put(message("c", 1, "kept"))], "1".into()).unwrap();
    drop(other);
    let (_index, opened) = open(folder.path());
    assert_eq!((opened.documents, opened.through.as_deref()), (1, Some("1")));
}

#[test]
fn a_long_text_is_found_by_its_beginning() {
    let long = format!("start {} end", "x ".repeat(TEXT_BYTES_MAX));
    let place =
        Place::with(&[&long, &"汉".repeat(20_000), &"z".repeat(1_000_000), &"\0\u{FFFF}\n\r\t".repeat(1000)]);
    assert_eq!(place.seqs("start "), [1]);
    assert_eq!(place.seqs("end "), [0u64; 0]);
    assert_eq!(place.seqs("汉汉"), [2]);
    assert_eq!(place.seqs("zzzz"), [3]);
    assert_eq!(place.index.figures().documents, 4);
}

#[test]
fn numbers_at_their_ends_are_numbers() {
    let place = Place::new();
    let odd = |seq, at_ms| Document { at_ms, ..message("c", seq, "edge") };
    place.put(vec![odd(u64::MAX, u64::MAX), odd(1, 0)]);
    place.put(vec![odd(u64::MAX, u64::MAX)]);
    assert_eq!(place.seqs("edge"), [1, u64::MAX]);
    assert_eq!(place.index.figures().documents, 2);
}
