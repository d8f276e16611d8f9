//! The documents say what the code does: the numbers of errors.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use yizhan_chat::{Problem, status_of};
use yizhan_hub::{Refused, StoreError};
use yizhan_im::Wrong;
use yizhan_talk::Again;

fn page() -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/errors.md");
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Code, status and when to come back, as the rows of a table say.
fn rows(page: &str, heading: &str) -> BTreeSet<[String; 3]> {
    let (_, section) = page.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        [cells[0].to_owned(), cells[1].to_owned(), cells[3].to_owned()]
    })
    .collect()
}

fn row(code: u16, again: Again) -> [String; 3] {
    let again = match again {
        Again::Never => "never",
        Again::Soon => "soon",
        Again::After(_) => "after",
    };
    [code.to_string(), status_of(code).as_u16().to_string(), again.to_owned()]
}

#[test]
fn the_table_of_instant_messaging_is_the_codes() {
    let text = || "x".to_owned();
    let service = [
        Wrong::BadInput(text()),
        Wrong::BadContent(text()),
        Wrong::NoOperation(text()),
        Wrong::TooMany { what: "x", max: 1 },
        Wrong::NotMember,
        Wrong::NotAllowed("x"),
        Wrong::Muted(None),
        Wrong::Banned,
        Wrong::Blocked,
        Wrong::Moderated(text()),
        Wrong::NoSuch("x"),
        Wrong::TooLate("x"),
        Wrong::Conflict("x"),
        Wrong::Gone,
        Wrong::OwnerStays,
        Wrong::Full(1),
        Wrong::TooFast(Duration::from_secs(1)),
        Wrong::NoVerdict,
    ];
    let own = [
        Problem::KeyReused,
        Problem::KeyBusy,
        Problem::KeyOfNobody,
        Problem::Late,
        Problem::Broken,
        Problem::NoFile,
        Problem::OffsetConflict(1),
        Problem::UploadBusy,
        Problem::FileTooLarge(1),
        Problem::TooManyUploads,
        Problem::NoSuchRange(1),
        Problem::BadFileKey,
        Problem::NoHook,
    ];
    let code: BTreeSet<_> = service
        .iter()
        .map(|wrong| row(wrong.code(), wrong.again()))
        .chain(own.iter().map(|problem| row(problem.code(), problem.again())))
        .collect();
    assert_eq!(rows(&page(), "## Instant messaging"), code);
}

/// The statuses of the hub's numbers are the same at all HTTP routes.
#[test]
fn general_numbers_have_the_statuses_of_the_table() {
    for [code, status, _] in rows(&page(), "## Errors") {
        assert_eq!(status_of(code.parse().unwrap()).as_u16().to_string(), status, "{code}");
    }
    let store = Problem::from(StoreError::Full);
    assert_eq!((store.code(), store.status().as_u16()), (510, 507));
    assert_eq!(Problem::Refused(Refused::NotAdmitted).status().as_u16(), 401);
}
