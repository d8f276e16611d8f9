//! Opening: whose a folder is, what is in it, and what a kill leaves.

mod place;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use place::{Place, ask, message, open, quick};
use yizhan_search::{Change, Config, Index, SearchError};

/// Tells a child process of these tests where to work.
const CHILD_FOLDER: &str = "YIZHAN_SEARCH_CHILD_FOLDER";

#[test]
fn a_folder_is_open_once() {
    let place = Place::with(&["hello"]);
    let second = Index::open(place.folder.path(), quick());
    assert!(matches!(second, Err(SearchError::InUse(folder)) if folder == place.folder.path()));
    assert_eq!(place.seqs("hello"), [1], "the first one is not disturbed");
}

#[test]
fn a_folder_with_other_things_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    let refused = Index::open(folder.path(), quick());
    assert!(matches!(refused, Err(SearchError::NotAnIndex(_))));
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["letter.txt"]);
    fs::write(folder.path().join("format"), "something else 1\n").unwrap();
    assert!(matches!(Index::open(folder.path(), quick()), Err(SearchError::NotAnIndex(_))));
}

#[test]
fn what_is_no_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below"), PathBuf::from("/proc/yizhan/none")] {
        let error = Index::open(&path, quick()).err().unwrap();
        assert!(matches!(error, SearchError::Folder { .. }), "{error}");
    }
}

#[test]
fn an_index_of_another_version_is_built_anew() {
    for format in ["yizhan-search 0\n", "yizhan-search 99\n", "yizhan-search ", ""] {
        let place = Place::with(&["hello"]);
        place.index.close();
        let Place { folder, index, .. } = place;
        drop(index);
        // `open` waits until the lock is free, so that the file is ours to change.
        drop(open(folder.path()));
        fs::write(folder.path().join("format"), format).unwrap();
        let (index, opened) = open(folder.path());
        assert!(opened.fresh && opened.documents == 0 && opened.through.is_none(), "{format:?}: {opened:?}");
        assert!(!folder.path().join("damaged").exists(), "an old version is no damage");
        assert!(index.search(&ask("hello")).unwrap().hits.is_empty());
    }
}

type Damage<'a> = &'a dyn Fn(&Path);

/// A closed index with a few segments, damaged by `damage`, opened again.
fn damaged(damage: impl Fn(&Path)) -> (tempfile::TempDir, Index, yizhan_search::Opened) {
    let place = Place::with(&["hello"]);
    place.put(vec![message("c", 2, "hello again")]);
    let Place { folder, index, .. } = place;
    drop(index);
    drop(open(folder.path()));
    while Index::open(folder.path(), quick()).is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
    damage(&folder.path().join("index"));
    let (index, opened) = open(folder.path());
    (folder, index, opened)
}

fn files(index: &Path, ending: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(index).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

#[test]
fn a_damaged_index_is_moved_aside_and_built_anew() {
    let damages: [(&str, Damage<'_>); 6] = [
        ("garbage as its list of segments", &|index| fs::write(index.join("meta.json"), "}{").unwrap()),
        ("no list of segments", &|index| fs::remove_file(index.join("meta.json")).unwrap()),
        ("a segment's file is gone", &|index| fs::remove_file(&files(index, ".term")[0]).unwrap()),
        ("a segment's file is empty", &|index| fs::write(&files(index, ".idx")[0], "").unwrap()),
        ("a segment's file is cut", &|index| {
            let file = &files(index, ".fast")[0];
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("nothing is there", &|index| {
            fs::remove_dir_all(index).unwrap();
            fs::create_dir(index).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let (folder, index, opened) = damaged(damage);
        assert!(opened.fresh && opened.documents == 0 && opened.through.is_none(), "{what}: {opened:?}");
        assert!(folder.path().join("damaged").exists(), "{what}");
        index.apply(vec![Change::Put(message("c", 1, "filled again"))], "1".into()).unwrap();
        place::wait(index.flush()).unwrap();
        assert_eq!(index.search(&ask("filled ")).unwrap().hits.len(), 1, "{what}");
    }
}

#[test]
fn bytes_that_changed_in_the_middle_are_told_by_verify_and_end_no_search_in_a_panic() {
    for ending in [".term", ".idx", ".pos", ".store", ".fast"] {
        let (_folder, index, opened) = damaged(|index| {
            for file in files(index, ending) {
                let mut bytes = fs::read(&file).unwrap();
                // Not the footer, which is looked at when a file is opened.
                let end = bytes.len().saturating_sub(120).max(1);
                bytes[..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
                fs::write(file, bytes).unwrap();
            }
        });
        for query in ["hello", "\"hello again\""] {
            let answer = index.search(&ask(query));
            assert!(matches!(answer, Ok(_) | Err(SearchError::Failed(_))), "{ending}: {answer:?}");
        }
        if !opened.fresh {
            assert!(!index.verify().unwrap().is_empty(), "{ending}");
        }
    }
}

#[test]
fn a_sound_index_verifies() {
    let place = Place::with(&["hello"]);
    assert!(place.index.verify().unwrap().is_empty());
}

/// Fills an index for as long as it is let, when it runs as a child of the test below.
#[test]
fn a_child_fills_its_index_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the parent tells its child where to work")]
    let Ok(folder) = std::env::var(CHILD_FOLDER) else { return };
    let config = Config { commit_interval: Duration::from_millis(20), ..quick() };
    let (index, opened) = Index::open(Path::new(&folder), config).unwrap();
    assert!(!opened.fresh || opened.documents == 0);
    let mut seq: u64 = opened.through.map_or(0, |through| through.parse().unwrap());
    println!("open at {seq}");
    loop {
        let next: Vec<Change> = (seq + 1..=seq + 20)
            .map(|seq| Change::Put(message("c", seq, &format!("n{seq} 消息 message"))))
            .collect();
        match index.apply(next, (seq + 20).to_string()) {
            Ok(()) => seq += 20,
            Err(SearchError::Busy { .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The word in the index's list of segments, read from outside.
fn committed(meta: &Path) -> Option<u64> {
    let meta = fs::read_to_string(meta).unwrap();
    let (_, word) = meta.split_once("\"payload\":")?;
    word.trim_start().trim_start_matches('"').split('"').next()?.parse().ok()
}

#[test]
fn a_kill_leaves_exactly_what_was_committed_with_its_word() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_child_fills_its_index_until_it_is_killed", "--nocapture"])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(&format!("open at {before}"))), "round {round}");
        // It is killed at another point of its work each time, when it has committed something.
        let meta = folder.path().join("index/meta.json");
        while committed(&meta).is_none_or(|through| through <= before) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(37 * round));
        child.kill().unwrap();
        child.wait().unwrap();

        let (index, opened) = open(folder.path());
        let through: u64 = opened.through.clone().unwrap().parse().unwrap();
        assert!(!opened.fresh && through > before, "{opened:?}");
        assert_eq!(opened.documents, through, "no document more or less than its word says");
        for seq in [1, through / 2, through] {
            assert_eq!(index.search(&ask(&format!("n{seq} "))).unwrap().hits.len(), 1, "{seq}");
        }
        assert!(index.search(&ask(&format!("n{} ", through + 1))).unwrap().hits.is_empty());
        assert!(index.verify().unwrap().is_empty());
        before = through;
    }
}
