//! Recordings and snapshots.

use std::{
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use serde_json::json;
use yizhan_hls::{
    Materials,
    shelf::{Found, READ_BYTES_MAX, Recording, Recordings, Reel, Snapshots},
};
use yizhan_media::Name;
use yizhan_net::Limits;
use yizhan_talk::Timestamp;

use crate::world::{World, any_media, materials, quick};

/// A recording whose bytes count up, and that is as long as it says.
struct Counting(Arc<AtomicU64>);

const WHOLE: u64 = 1_000_000;

impl Reel for Counting {
    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
    fn is_growing(&self) -> bool {
        self.bytes() < WHOLE
    }
    fn changed(&self) -> Timestamp {
        Timestamp(self.bytes())
    }
    fn media_type(&self) -> &'static str {
        "video/mp4"
    }
    fn read(&self, range: Range<u64>) -> BoxFuture<'static, io::Result<Bytes>> {
        assert!(
            range.start < range.end && range.end <= self.bytes() && range.end - range.start <= READ_BYTES_MAX
        );
        Box::pin(async move { Ok(range.map(|i| i as u8).collect::<Vec<_>>().into()) })
    }
    fn find(&self, seconds: f64) -> Option<Found> {
        (seconds < 100.0).then_some(Found { head: 10, from: (seconds * 1000.0) as u64 })
    }
}

struct Shelf(Arc<AtomicU64>);

impl Recordings for Shelf {
    fn list<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, io::Result<Vec<Recording>>> {
        let bytes = self.0.load(Ordering::Relaxed);
        let one = Recording { file: "1.mp4".into(), began: 5, seconds: 2.5, bytes, growing: bytes < WHOLE };
        let all = if &*name.name == "room" { vec![one] } else { Vec::new() };
        Box::pin(async { Ok(all) })
    }
    fn open<'a>(&'a self, _: &'a Name, file: &'a str) -> BoxFuture<'a, io::Result<Option<Arc<dyn Reel>>>> {
        let reel: Arc<dyn Reel> = Arc::new(Counting(self.0.clone()));
        Box::pin(async move {
            match file {
                "1.mp4" => Ok(Some(reel)),
                "broken.mp4" => Err(io::Error::other("the disk is on fire")),
                _ => Ok(None),
            }
        })
    }
}

impl Snapshots for Shelf {
    fn newest(&self, name: &Name) -> Option<(Bytes, Timestamp)> {
        (&*name.name == "room").then(|| (Bytes::from_static(b"\xff\xd8jpeg"), Timestamp(7)))
    }
}

fn world() -> (World, Arc<AtomicU64>) {
    let bytes = Arc::new(AtomicU64::new(600_000));
    let shelf = Arc::new(Shelf(bytes.clone()));
    let media = any_media();
    let materials =
        Materials { recordings: Some(shelf.clone()), snapshots: Some(shelf), ..materials(quick(), &media) };
    (World::with(materials, Limits::default()), bytes)
}

#[tokio::test]
async fn a_recording_is_played_in_ranges_while_it_grows() {
    let (world, bytes) = world();
    let list = world.get("/record/live/room").await;
    let one = json!({ "file": "1.mp4", "began": 5, "seconds": 2.5, "bytes": 600_000, "growing": true });
    assert_eq!(list.text(), json!({ "recordings": [one] }).to_string());
    assert_eq!(world.get("/record/live/other").await.text(), r#"{"recordings":[]}"#);
    let path = "/record/live/room/1.mp4";
    let whole = world.get(path).await;
    assert_eq!((whole.status, whole.body.len()), (StatusCode::OK, 600_000));
    assert!(whole.body.iter().enumerate().all(|(i, byte)| *byte == i as u8));
    assert_eq!((whole.header("etag"), whole.header("cache-control")), ("", "no-store"));
    let end = world.ask("GET", path, &[("range", "bytes=599990-")]).await;
    assert_eq!(
        (end.status, end.header("content-range")),
        (StatusCode::PARTIAL_CONTENT, "bytes 599990-599999/600000")
    );
    let ahead = world.ask("GET", path, &[("range", "bytes=600000-")]).await;
    assert_eq!(ahead.status, StatusCode::RANGE_NOT_SATISFIABLE);
    bytes.store(WHOLE, Ordering::Relaxed);
    let more = world.ask("GET", path, &[("range", "bytes=600000-600009")]).await;
    assert_eq!((more.status, more.body.len()), (StatusCode::PARTIAL_CONTENT, 10));
    let done = world.ask("HEAD", path, &[]).await;
    assert_eq!((done.header("content-length"), done.body.len()), ("1000000", 0));
    let known = world.ask("GET", path, &[("if-none-match", done.header("etag"))]).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    let from = world.get(&format!("{path}?start=2.5")).await;
    assert_eq!(from.body.len() as u64, 10 + WHOLE - 2500);
    assert_eq!((from.body[9], from.body[10]), (9, (2500 % 256) as u8));
    assert_eq!(from.header("content-length"), from.body.len().to_string());
}

#[tokio::test]
async fn no_other_file_is_reached() {
    let (world, _) = world();
    for (path, status) in [
        ("/record/live/room/2.mp4", 404),
        ("/record/live/room/..", 404),
        ("/record/live/room/%2e%2e%2f1.mp4", 404),
        ("/record/live/room/.hidden", 404),
        ("/record/live/%2e%2e/1.mp4", 404),
        ("/record/other/room/1.mp4", 404),
        ("/record/live/room/broken.mp4", 500),
        ("/record/live/room/1.mp4?start=-1", 400),
        ("/record/live/room/1.mp4?start=NaN", 400),
        ("/record/live/room/1.mp4?start=x", 400),
        ("/record/live/room/1.mp4?start=100", 404),
        ("/live/other.jpg", 404),
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text());
        assert!(!answer.text().contains("fire"), "{}", answer.text());
    }
    let jpeg = world.get("/live/room.jpg").await;
    assert_eq!((jpeg.header("content-type"), &jpeg.body[..]), ("image/jpeg", &b"\xff\xd8jpeg"[..]));
}
