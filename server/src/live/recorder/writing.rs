//! One broadcast on its way into files.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::{debug, warn};
use yizhan_media::{Broadcast, Frame, Media, Setup};
use yizhan_reel::Reels;
use yizhan_ring::Reader;
use yizhan_talk::Clock;

use super::{
    OnFile,
    file::{Begin, File},
};

/// Frames that are taken at a time.
const FRAMES_AT_ONCE: usize = 256;

/// What a recording is made of.
pub(super) struct Writing {
    pub(super) source: Broadcast,
    pub(super) frames: Reader<Arc<Frame>>,
    pub(super) media: Media,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) reels: Reels,
    pub(super) on_file: OnFile,
    pub(super) stop: watch::Receiver<bool>,
}

impl Writing {
    /// Records until the broadcast is over, or it is told to stop, or nothing can be written any more: then the reason.
    pub(super) async fn run(mut self) -> Result<(), String> {
        let mut file: Option<File> = None;
        let mut frames = Vec::with_capacity(FRAMES_AT_ONCE);
        let result = loop {
            frames.clear();
            let took = tokio::select! {
                took = self.frames.take(FRAMES_AT_ONCE, &mut frames) => took,
                // Whoever could tell it to is gone: the server ends.
                _ = self.stop.wait_for(|stop| *stop) => break Ok(()),
            };
            let Ok(took) = took else { break Ok(()) };
            if took.missed > 0 {
                warn!(broadcast = %self.source.name(), frames = took.missed, "a recording was too slow: frames are missing");
                if let Some(file) = &mut file {
                    file.lost();
                }
            }
            if let Err(why) = self.put(&mut file, &frames).await {
                break Err(why);
            }
        };
        self.close(file).await;
        result
    }

    async fn put(&self, file: &mut Option<File>, frames: &[Arc<Frame>]) -> Result<(), String> {
        for frame in frames {
            if file.as_ref().is_some_and(|file| self.is_full(file, frame)) {
                self.close(file.take()).await;
            }
            let file = match file {
                Some(file) => file,
                None if frame.joins() => file.insert(self.begin(frame)),
                None => continue,
            };
            file.push(frame)?;
        }
        Ok(())
    }

    fn begin(&self, frame: &Arc<Frame>) -> File {
        let begin = Begin {
            name: self.source.name().clone(),
            format: self.media.config().record.format,
            reels: self.reels.clone(),
            at: self.clock.now().wall,
        };
        File::new(begin, frame)
    }

    /// Whether another file begins with this frame.
    fn is_full(&self, file: &File, frame: &Frame) -> bool {
        let other = !same_tracks(&file.setup(), &frame.setup);
        if other && file.needs_same_tracks() {
            return true;
        }
        let config = self.media.config();
        let rotate = i64::try_from(config.record.rotate.as_micros()).unwrap_or(i64::MAX);
        frame.joins()
            && (frame.dts.saturating_sub(file.first_dts()) >= rotate
                || file.bytes() >= config.record.rotate_bytes)
    }

    async fn close(&self, file: Option<File>) {
        let Some(file) = file else { return };
        let Some(id) = file.finish().await else { return };
        match self.reels.view(&id) {
            Some(view) => (self.on_file)(self.source.name(), view),
            None => debug!(take = %id, "a recording had nothing in it"),
        }
    }
}

fn same_tracks(a: &Arc<Setup>, b: &Arc<Setup>) -> bool {
    Arc::ptr_eq(a, b) || (a.video == b.video && a.audio == b.audio)
}
