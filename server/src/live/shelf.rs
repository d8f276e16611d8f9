//! Recordings as the HTTP door wants them.

use std::{io, ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;
use yizhan_hls::shelf::{Found, READ_BYTES_MAX, Recording, Recordings, Reel};
use yizhan_media::Name;
use yizhan_reel::{Reading, Reels, TakeId, TakeView};
use yizhan_talk::Timestamp;

/// The recordings of all broadcasts.
#[derive(Debug, Clone)]
pub(crate) struct Shelf(pub(crate) Reels);

impl Recordings for Shelf {
    fn list<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, io::Result<Vec<Recording>>> {
        let all = self.0.list(Some(&name.app), Some(&name.name));
        let newest_first = all.into_iter().rev().map(recording).collect();
        Box::pin(std::future::ready(Ok(newest_first)))
    }

    fn open<'a>(&'a self, name: &'a Name, file: &'a str) -> BoxFuture<'a, io::Result<Option<Arc<dyn Reel>>>> {
        let id = TakeId::of_file(&name.app, &name.name, file);
        Box::pin(async move {
            let Some(id) = id else { return Ok(None) };
            let Some(view) = self.0.view(&id) else { return Ok(None) };
            let reels = self.0.clone();
            let open = spawn_blocking(move || reels.read(&id)).await.map_err(io::Error::other)?;
            Ok(open?.map(|reading| Arc::new(OpenReel { reading, changed: view.ended }) as Arc<dyn Reel>))
        })
    }
}

fn recording(view: TakeView) -> Recording {
    Recording {
        file: view.id.file(),
        began: view.began.as_millis(),
        seconds: view.length.as_secs_f64(),
        bytes: view.bytes,
        growing: view.end.is_none(),
    }
}

struct OpenReel {
    reading: Reading,
    changed: Timestamp,
}

impl Reel for OpenReel {
    fn bytes(&self) -> u64 {
        self.reading.bytes()
    }

    fn is_growing(&self) -> bool {
        self.reading.grows()
    }

    fn changed(&self) -> Timestamp {
        self.changed
    }

    fn media_type(&self) -> &'static str {
        match &*self.reading.id().extension {
            "mp4" => "video/mp4",
            "flv" => "video/x-flv",
            _ => "application/octet-stream",
        }
    }

    fn read(&self, range: Range<u64>) -> BoxFuture<'static, io::Result<Bytes>> {
        let reading = self.reading.clone();
        Box::pin(async move {
            let length = range.end.saturating_sub(range.start).min(READ_BYTES_MAX);
            reading.read(range.start, usize::try_from(length).unwrap_or(0)).await
        })
    }

    fn find(&self, seconds: f64) -> Option<Found> {
        let micros = (seconds.clamp(0.0, 1e12) * 1e6) as i64;
        let (head, from) = self.reading.find(micros).ok()?;
        Some(Found { head, from })
    }
}
