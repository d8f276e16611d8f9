//! What is made of broadcasts beside the doors: recordings, snapshots, ladders, relays over HLS.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::Context;
use bytes::Bytes;
use tracing::{info, warn};
use yizhan_ffmpeg::Ffmpeg;
use yizhan_hls::shelf;
use yizhan_hub::{Content, Hub};
use yizhan_live::{Hooks, Recorded};
use yizhan_media::{Config, Media, Name, config::relay::Relay, service};
use yizhan_reel::{Reels, TakeView};
use yizhan_ring::Reader;
use yizhan_talk::Clock;

use super::{
    ladder::{Happened, Ladder, Notice},
    recorder::Recorder,
    relay::HlsRelays,
    shelf::Shelf,
    snapshots::Snapshots,
};

/// Where recordings lie in the data folder.
const RECORDINGS: &str = "recordings";
/// The key under which a broadcast's topic says how its ladder is.
const LADDER_KEY: &str = "ladder";

/// All of it.
#[derive(Clone)]
pub(crate) struct Studio {
    pub(crate) recorder: Recorder,
    pub(crate) ladder: Ladder,
    snapshots: Option<Snapshots>,
    relays: Option<HlsRelays>,
    media: Media,
}

/// What it is made of.
pub(crate) struct Materials<'a> {
    pub(crate) media: &'a Media,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) hooks: &'a Hooks,
    pub(crate) relays: &'a BTreeMap<String, Relay>,
    /// The data folder.
    pub(crate) data: &'a Path,
}

impl Studio {
    /// Opens the recordings, and looks for ffmpeg where something needs it.
    ///
    /// # Errors
    /// The recordings' folder cannot be read.
    pub(crate) async fn open(from: Materials<'_>) -> anyhow::Result<Self> {
        let Materials { media, clock, hooks, relays, data } = from;
        let config = media.config();
        let folder = config.record.folder.clone().unwrap_or_else(|| data.join(RECORDINGS));
        let reels = yizhan_reel::Config {
            reserve_bytes: config.record.reserve_bytes,
            ..yizhan_reel::Config::new(folder.clone())
        };
        let reels = tokio::task::spawn_blocking(move || Reels::open(reels)).await?;
        let reels = reels.with_context(|| format!("cannot open the recordings in {}", folder.display()))?;
        let (hooks, folder) = (hooks.clone(), folder.display().to_string());
        let on_file = move |name: &Name, view: TakeView| hooks.recorded(&recorded(name, &folder, &view));
        let recorder = Recorder::new(media, clock, reels, Arc::new(on_file));
        let ffmpeg = find_ffmpeg(&config, relays).await;
        let ladder = Ladder::new(media, clock, ffmpeg.clone());
        let snapshots = ffmpeg.clone().map(|ffmpeg| Snapshots::new(media, clock, ffmpeg));
        let relays = ffmpeg
            .filter(|_| HlsRelays::are_wanted(relays))
            .map(|ffmpeg| HlsRelays::new(media, clock, ffmpeg, relays));
        Ok(Self { recorder, ladder, snapshots, relays, media: media.clone() })
    }

    /// Who is asked to record.
    pub(crate) fn as_recorder(&self) -> Arc<dyn service::Recorder> {
        Arc::new(self.recorder.clone())
    }

    /// The recordings, for the HTTP door.
    pub(crate) fn recordings(&self) -> Arc<dyn shelf::Recordings> {
        Arc::new(Shelf(self.recorder.reels().clone()))
    }

    /// The snapshots, where ffmpeg is there.
    pub(crate) fn snapshots(&self) -> Option<Arc<dyn shelf::Snapshots>> {
        self.snapshots.clone().map(|snapshots| Arc::new(snapshots) as Arc<dyn shelf::Snapshots>)
    }

    /// The ladders, for the HTTP door.
    pub(crate) fn ladder(&self) -> Arc<dyn shelf::Ladder> {
        Arc::new(self.ladder.clone())
    }

    /// All that it does, as long as the future is run; what happens is heard of from this call on.
    pub(crate) fn run(&self, hub: Hub) -> impl Future<Output = ()> + Send + use<> {
        let (recorder, ladder) = (self.recorder.clone().run(), self.ladder.clone().run());
        let snapshots = self.snapshots.clone().map(Snapshots::run);
        let relays = self.relays.clone().map(HlsRelays::run);
        let telling = tell(self.clone(), self.ladder.notices(), hub);
        async move {
            let snapshots = async {
                if let Some(run) = snapshots {
                    run.await
                }
            };
            let relays = async {
                if let Some(run) = relays {
                    run.await
                }
            };
            tokio::join!(recorder, ladder, snapshots, relays, telling);
        }
    }

    /// Ends all recordings and waits until they are safe.
    pub(crate) async fn finish(&self) {
        self.recorder.finish().await;
    }
}

/// Looks for ffmpeg where something in the config needs it.
async fn find_ffmpeg(config: &Config, relays: &BTreeMap<String, Relay>) -> Option<Ffmpeg> {
    let (ladder, snapshots) = (!config.ladder.apps.is_empty(), config.snapshots.is_on());
    let relays = HlsRelays::are_wanted(relays);
    if !(ladder || snapshots || relays) {
        return None;
    }
    let wanted = yizhan_ffmpeg::Config {
        program: config.ladder.ffmpeg.clone(),
        children_max: config.ladder.children_max,
        nice: i32::from(config.ladder.nice),
    };
    match Ffmpeg::find(wanted).await {
        Ok(ffmpeg) => {
            info!(version = ffmpeg.version(), "ffmpeg is used");
            Some(ffmpeg)
        }
        Err(error) => {
            warn!(%error, ladder, snapshots, relays, "without ffmpeg there are no ladders, no snapshots and no relays over HLS");
            None
        }
    }
}

/// Says in a broadcast's topic how its ladder is: the rungs that are made, and those that the machine is too slow for.
async fn tell(studio: Studio, mut notices: Reader<Notice>, hub: Hub) {
    while let Ok((notice, _)) = notices.next().await {
        let (running, given_up) = studio.ladder.state(&notice.source);
        let body = match studio.media.find(&notice.source) {
            Some(source) => {
                if matches!(notice.what, Happened::GivenUp) {
                    source.tell_publisher(&format!(
                        "the server is too slow for all qualities: {} is left out for a while",
                        notice.rung
                    ));
                }
                let what = match notice.what {
                    Happened::Started => "started",
                    Happened::Stopped => "stopped",
                    Happened::GivenUp => "given_up",
                    Happened::Failed(_) => "failed",
                };
                let last = serde_json::json!({ "rung": notice.rung, "what": what });
                serde_json::json!({ "running": running, "given_up": given_up, "last": last }).to_string()
            }
            // It is over: nothing is said of it any more.
            None => String::new(),
        };
        let topic = notice.source.topic("");
        hub.announce(topic, Some(LADDER_KEY.into()), Content::Json, Bytes::from(body));
    }
}

fn recorded(name: &Name, folder: &str, view: &TakeView) -> Recorded {
    Recorded {
        name: name.clone(),
        folder: folder.to_owned(),
        file: view.id.to_string(),
        began: view.began,
        millis: u64::try_from(view.length.as_millis()).unwrap_or(u64::MAX),
        bytes: view.bytes,
    }
}
