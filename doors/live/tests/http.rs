//! Questions over HTTP, and the numbers of errors.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod served;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use serde_json::json;
use served::{room, served};
use yizhan_media::{Party, config::hooks::Hooks, service::Wrong};
use yizhan_net::{SystemClock, reply::status_of};
use yizhan_talk::{Again, Clock as _};

const ANN: &str = "authorization: Bearer ann";
const ROOT: &str = "authorization: Basic cm9vdDpyb290";

#[tokio::test]
async fn a_question_is_answered_by_the_service() {
    let served = served(Hooks::default()).await;
    let party = Party { user: Some("ann".into()), ..Party::by("rtmp") };
    let publisher = served.media.publish(SystemClock.now(), &room(), party).unwrap();
    let listed = served.post("/live/v1/list", &[], b"").await;
    assert_eq!((listed.status, &listed.json()["broadcasts"][0]["name"]), (200, &json!("room")));
    assert_eq!(listed.headers["cache-control"], "no-store");
    assert_eq!(served.post("/live/v1/list", &[], b" {} \n").await.status, 200);
    let title = br#"{"app":"live","name":"room","title":"Evening"}"#;
    assert_eq!(served.post("/live/v1/title", &[ANN], title).await.status, 200);
    let shown = served.post("/live/v1/show", &[ROOT], br#"{"app":"live","name":"room"}"#).await.json();
    assert_eq!((&shown["broadcast"]["title"], &shown["leads"]), (&json!("Evening"), &json!(true)));
    let kick = br#"{"app":"live","name":"room","reason":"enough"}"#;
    assert_eq!(served.post("/live/v1/kick", &[ROOT], kick).await.status, 200);
    assert_eq!(publisher.told_to_go().as_deref(), Some("enough"));
    served.end().await;
}

#[tokio::test]
async fn what_is_refused_has_its_number_and_its_status() {
    let served = served(Hooks::default()).await;
    let of = br#"{"app":"live","name":"room"}"#;
    let large = vec![b' '; 100_000];
    for (path, headers, body, status, code) in [
        ("/live/v1/show", vec![ANN], &of[..], 404, 721),
        ("/live/v1/title", vec![], br#"{"app":"live","name":"room","title":"x"}"#, 403, 710),
        ("/live/v1/nonsense", vec![ANN], b"", 400, 702),
        ("/live/v1/show", vec![ANN], b"{", 400, 700),
        ("/live/v1/show", vec![ANN], b"\xff\xfe", 400, 700),
        ("/live/v1/show", vec![ANN], b"[1]", 400, 700),
        ("/live/v1/show", vec![ANN], br#"{"app":"../..","name":"x"}"#, 400, 700),
        ("/live/v1/token", vec![ROOT], br#"{"app":"live","action":"play"}"#, 409, 730),
        ("/live/v1/list", vec!["authorization: Bearer nobody-knows-it"], b"", 401, 201),
        ("/live/v1/list", vec!["authorization: Session x"], b"", 404, 301),
        ("/live/v1/a%00b", vec![ANN], b"", 400, 104),
    ] {
        let answered = served.post(path, &headers, body).await;
        assert_eq!((answered.status, &answered.json()["code"]), (status, &json!(code)), "{path}");
        assert_eq!(answered.json()["again"], "never", "{path}");
    }
    assert_eq!(served.post("/live/v1/list", &[ANN], &large).await.status, 413);
    assert_eq!(served.request("GET /live/v1/list", &[], b"").await.status, 405);
    served.end().await;
}

#[tokio::test]
async fn the_document_and_the_page_are_served() {
    let served = served(Hooks::default()).await;
    let document = served.request("GET /live/v1/openapi.json", &[], b"").await;
    assert!(document.json()["paths"]["/live/v1/kick"]["post"].is_object());
    let page = served.request("GET /watch/live/room", &[], b"").await;
    assert_eq!((page.status, page.headers["content-type"].as_str()), (200, "text/html; charset=utf-8"));
    served.end().await;
}

/// Code, status and when to come back, as the rows of the table say.
fn rows() -> BTreeSet<[String; 3]> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/errors.md");
    let page = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let (_, section) = page.split_once("## Live streaming").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        [cells[0].to_owned(), cells[1].to_owned(), cells[3].to_owned()]
    })
    .collect()
}

#[test]
fn the_table_of_live_streaming_is_the_codes() {
    let (second, text) = (Duration::from_secs(1), || "x".to_owned());
    let all = [
        Wrong::BadInput("x".into()),
        Wrong::BadContent(text()),
        Wrong::NoOperation(text()),
        Wrong::TooMany { what: "x", max: 1 },
        Wrong::NotAllowed("x".into()),
        Wrong::Muted(None),
        Wrong::Banned(None),
        Wrong::NoAccount,
        Wrong::NoSuch("x"),
        Wrong::NotOnAir,
        Wrong::NotSet("x"),
        Wrong::TooFast(second),
        Wrong::Slow(second),
        Wrong::Failed(text()),
    ];
    let code = all.iter().map(|wrong| {
        let again = match wrong.again() {
            Again::Never => "never",
            Again::Soon => "soon",
            Again::After(_) => "after",
        };
        [wrong.code().to_string(), status_of(wrong.code()).as_u16().to_string(), again.to_owned()]
    });
    assert_eq!(rows(), code.collect());
}
