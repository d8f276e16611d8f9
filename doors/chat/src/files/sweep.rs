//! Clears away uploads that were given up, files that nobody sent, and contents that no file has any more.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use yizhan_files::FilesError;
use yizhan_hub::Refused;
use yizhan_net::Backoff;

use super::Shelf;
use crate::{door::Inner, problem::Problem};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(600);

/// Looks until the future is dropped.
pub(crate) async fn run(door: Arc<Inner>, shelf: Arc<Shelf>) {
    loop {
        Backoff { min: EVERY, max: EVERY }.pause(0).await;
        if let Err(error) = sweep(&door, &shelf).await {
            tracing::warn!(%error, "files could not be cleared away: it is tried again");
        }
    }
}

async fn sweep(door: &Inner, shelf: &Shelf) -> Result<(), Problem> {
    let now = door.hub.now().wall;
    shelf.files.sweep(SystemTime::UNIX_EPOCH + Duration::from_micros(now.0)).await?;
    let config = &shelf.config;
    let removed =
        shelf.im.sweep_files(now, config.unsent_for, config.keep_for).await.map_err(Refused::from)?;
    if removed > 0 {
        tracing::debug!(removed, "old files were removed");
    }
    let mut after: Option<String> = None;
    loop {
        let needless = shelf.im.needless_contents(after.as_deref()).await.map_err(Refused::from)?;
        let Some(last) = needless.last().cloned() else { return Ok(()) };
        for text in &needless {
            let Ok(hash) = text.parse() else { continue };
            match shelf.files.remove(&hash).await {
                Ok(()) | Err(FilesError::Missing) => {
                    shelf.im.content_removed(text).await.map_err(Refused::from)?;
                }
                // Somebody uploads the same just now: next time it is known whether they need it.
                Err(FilesError::Fresh) => {}
                Err(error) => return Err(error.into()),
            }
        }
        after = Some(last);
    }
}
