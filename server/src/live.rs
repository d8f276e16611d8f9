//! Live streaming as this server has it: its spaces, its doors, and what it needs of the other parts.

mod inlet;
mod ladder;
mod pump;
mod recorder;
mod relay;
mod shelf;
mod snapshots;
mod studio;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use futures_util::future::BoxFuture;
use indexmap::IndexMap;
use tokio::time::{MissedTickBehavior, interval};
use yizhan_hub::{Hub, Service, Store};
use yizhan_identity::{Identity, administers};
use yizhan_media::{
    Media,
    access::{Doormen, Gate},
    service::{self, Seams},
};
use yizhan_net::{Door, Site, SiteError};
use yizhan_talk::Clock;

use self::studio::Studio;
use crate::config::{
    Config,
    sections::{KeepConfig, LagConfig, SpaceConfig},
};

/// How often blocks of frames are looked at: a part of `live.merge_for`.
const TURN: Duration = Duration::from_millis(50);
/// Gifts that are kept, all broadcasts together, bytes.
const GIFTS_BYTES_MAX: u64 = 1 << 30;
/// Chat lines that are kept for those who come, all broadcasts together.
const CHAT_RECORDS_MAX: u64 = 100_000;
/// How long they are.
const CHAT_AGE_MAX: Duration = Duration::from_secs(3600);

/// Adds the spaces of broadcasts where the config has none by their names.
pub(crate) fn add_spaces(spaces: &mut IndexMap<String, SpaceConfig>) {
    let of = |topics: &str, keep, lag| SpaceConfig {
        topics: Some(topics.into()),
        keep,
        lag,
        ..SpaceConfig::default()
    };
    let chat = SpaceConfig {
        records_max: Some(CHAT_RECORDS_MAX),
        age_max: Some(CHAT_AGE_MAX),
        ..of("live/+/+/chat", KeepConfig::Memory, LagConfig::Skip)
    };
    let gifts = SpaceConfig {
        bytes_max: Some(GIFTS_BYTES_MAX),
        ..of("live/+/+/gifts", KeepConfig::Disk, LagConfig::CatchUp)
    };
    for (name, space) in [
        ("broadcasts", of("live/+/+", KeepConfig::Nothing, LagConfig::Latest)),
        ("broadcast-chat", chat),
        ("broadcast-gifts", gifts),
    ] {
        spaces.entry(name.to_owned()).or_insert(space);
    }
}

/// What live streaming is made of.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) media: Media,
    pub(crate) gate: Gate,
    pub(crate) service: service::Live,
    pub(crate) rtmp: Arc<yizhan_rtmp::Meters>,
    pub(crate) studio: Studio,
    pub(crate) hooks: yizhan_live::Hooks,
    /// There once the doors are.
    pub(crate) hls: Arc<OnceLock<yizhan_hls::Hls>>,
    hub: Hub,
    clock: Arc<dyn Clock>,
}

/// Opens it; nothing listens yet.
///
/// # Errors
/// The config makes no sense, or a table cannot be opened.
pub(crate) async fn open(
    config: &Config,
    hub: &Hub,
    identity: &Identity,
    store: &dyn Store,
    clock: &Arc<dyn Clock>,
    data: &Path,
) -> anyhow::Result<(Live, BoxFuture<'static, ()>)> {
    // Numbers of the run before are not those of this one.
    let media = Media::new(config.live.clone(), clock.now().wall.as_millis());
    let doormen = Doormen { access: Arc::new(identity.clone()), administers: Arc::new(administers) };
    let gate = Gate::new(&config.live.access, &config.live.keys, &config.live.tokens, doormen)
        .map_err(anyhow::Error::msg)?;
    let server = config.server.name.as_deref().unwrap_or("yizhan");
    let rules = Arc::new(gate.clone());
    let hooks = yizhan_live::Hooks::new(&config.live.hooks, server, rules, clock.clone())
        .map_err(|error| anyhow::anyhow!("live.hooks: {error}"))?;
    media.set_porter(Arc::new(hooks.clone()));
    let materials = studio::Materials { media: &media, clock, hooks: &hooks, relays: &config.relays, data };
    let studio = Studio::open(materials).await?;
    let recorder = Some(studio.as_recorder());
    let seams = Seams { gate: gate.clone(), recorder, random: Arc::new(rand::random::<u128>) };
    let (service, work) =
        service::Live::open(hub.clone(), media.clone(), store, config.live.chat.clone(), seams)
            .await
            .context("cannot open live streaming")?;
    let (rtmp, hls) = Default::default();
    let (hub, clock) = (hub.clone(), clock.clone());
    Ok((Live { media, gate, service, rtmp, studio, hooks, hls, hub, clock }, work))
}

/// The doors of live streaming.
///
/// # Errors
/// The config of a door makes no sense.
pub(crate) fn doors(config: &Config, hub: &Hub, live: &Live) -> anyhow::Result<Vec<Box<dyn Door>>> {
    let terms = yizhan_rtmp::Terms { config: config.rtmp.clone(), meters: live.rtmp.clone() };
    let rtmp = yizhan_rtmp::Rtmp::new(live.media.clone(), Arc::new(terms));
    let relays = yizhan_rtmp::relay::Relays::new(live.media.clone(), &config.relays)?;
    let mut secret = [0; 32];
    rand::fill(&mut secret);
    let hls = yizhan_hls::Hls::new(yizhan_hls::Materials {
        config: config.hls.clone(),
        media: live.media.clone(),
        secret,
        clock: live.clock.clone(),
        recordings: Some(live.studio.recordings()),
        snapshots: live.studio.snapshots(),
        ladder: Some(live.studio.ladder()),
    })?;
    // Doors are made once.
    drop(live.hls.set(hls.clone()));
    let http = yizhan_live::LiveDoor::new(hub.clone(), live.hooks.clone(), crate::figures::VERSION);
    Ok(vec![Box::new(rtmp), Box::new(Relayed(relays)), Box::new(hls), Box::new(http)])
}

/// The RTMP relays as what a site opens.
struct Relayed(yizhan_rtmp::relay::Relays);

impl Door for Relayed {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn open(&self, site: &mut Site) -> Result<(), SiteError> {
        self.0.open(site);
        Ok(())
    }
}

impl Live {
    /// As the hub has it.
    pub(crate) fn as_service(&self) -> Arc<dyn Service> {
        Arc::new(self.service.clone())
    }

    /// Another config for what comes from now on.
    pub(crate) fn reload(&self, config: &yizhan_media::Config) {
        if let Err(error) = self.gate.reload(&config.access, &config.keys, &config.tokens) {
            tracing::error!(
                error,
                "the new rules of live streaming are not good: those before stay in force"
            );
            return;
        }
        self.media.set_config(config.clone());
        self.service.set_config(config.chat.clone());
    }

    /// What is done each second.
    pub(crate) fn maintain(&self) {
        let now = self.clock.now();
        self.service.maintain(now);
        self.gate.maintain(now, &self.media);
    }

    /// Ends all broadcasts and waits until recordings are safe: the server stops.
    pub(crate) async fn stop(&self) {
        self.media.stop_all(self.clock.now());
        self.studio.finish().await;
    }

    /// Recordings, snapshots, ladders and relays over HLS, as long as it is run.
    pub(crate) fn produce(&self) -> impl Future<Output = ()> + Send + use<> {
        self.studio.run(self.hub.clone())
    }

    /// Sends out blocks whose time has come, as long as it is run.
    pub(crate) async fn turn(self) {
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            self.media.maintain(self.clock.now());
        }
    }
}
