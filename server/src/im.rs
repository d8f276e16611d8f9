//! Instant messaging as this server has it: its spaces, and what it needs of the other parts.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use indexmap::IndexMap;
use yizhan_hub::{Hub, Store};
use yizhan_identity::{Identity, administers};
use yizhan_im::{Im, Seams, Work};

use crate::config::{
    Config,
    sections::{KeepConfig, LagConfig, SpaceConfig},
};

/// Records of chatrooms that are kept in memory, all rooms together.
const ROOMS_RECORDS_MAX: u64 = 100_000;
/// Bytes of them.
const ROOMS_BYTES_MAX: u64 = 64 << 20;
/// How long it is kept who was to be woken.
const PUSH_AGE_MAX: Duration = Duration::from_secs(86_400);

/// The spaces of the config, and those of conversations where the config has none by their names.
pub(crate) fn all_spaces(config: &Config) -> IndexMap<String, SpaceConfig> {
    let mut spaces = config.spaces.clone();
    let of = |topics: &str, keep, lag| SpaceConfig {
        topics: Some(topics.into()),
        keep,
        lag,
        ..SpaceConfig::default()
    };
    let kept = SpaceConfig {
        dedup_age_max: config.im.dedup_for,
        dedup_ids_max: config.im.dedup_ids_max,
        ..of("im/c/#", KeepConfig::Disk, LagConfig::CatchUp)
    };
    let rooms = SpaceConfig {
        records_max: Some(ROOMS_RECORDS_MAX),
        bytes_max: Some(ROOMS_BYTES_MAX),
        ..of("im/r/#", KeepConfig::Memory, LagConfig::Skip)
    };
    let push =
        SpaceConfig { age_max: Some(PUSH_AGE_MAX), ..of("im/push", KeepConfig::Disk, LagConfig::CatchUp) };
    for (name, space) in [
        ("im", kept),
        ("im-live", of("im/c/+/live", KeepConfig::Nothing, LagConfig::Skip)),
        ("im-people", of("im/u/#", KeepConfig::Nothing, LagConfig::Skip)),
        ("im-rooms", rooms),
        ("im-push", push),
    ] {
        spaces.entry(name.to_owned()).or_insert(space);
    }
    #[cfg(feature = "live")]
    crate::live::add_spaces(&mut spaces);
    spaces
}

/// The program that is asked before messages, where the config has one.
#[cfg(feature = "chat")]
fn before(config: &Config, hub: &Hub) -> anyhow::Result<Option<Arc<dyn yizhan_im::seams::Before>>> {
    let Some(before) = &config.chat.before else { return Ok(None) };
    config.chat.check()?;
    let hub = hub.clone();
    let hook = yizhan_chat::BeforeHook::new(before, Arc::new(move || hub.now())).context("chat.before")?;
    Ok(Some(Arc::new(hook)))
}

/// Without the door there is none.
#[cfg(not(feature = "chat"))]
fn before(_config: &Config, _hub: &Hub) -> anyhow::Result<Option<Arc<dyn yizhan_im::seams::Before>>> {
    Ok(None)
}

/// Opens instant messaging and puts it in its place in the hub.
///
/// # Errors
/// The store failed.
pub(crate) async fn open(
    config: &Config,
    hub: &Hub,
    identity: &Identity,
    store: &dyn Store,
    data: &Path,
) -> anyhow::Result<(Im, Work)> {
    let (knowing, kicking) = (identity.clone(), hub.clone());
    let seams = Seams {
        random: Arc::new(rand::random::<u128>),
        exists: Arc::new(move |user| {
            let identity = knowing.clone();
            Box::pin(async move {
                identity.knows(&user).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "an account could not be looked up");
                    false
                })
            })
        }),
        administers: Arc::new(administers),
        // One that has ended by itself meanwhile is as good.
        kick: Arc::new(move |session, close| drop(kicking.kick(session, close))),
        before: before(config, hub)?,
        search: search(data).await?,
    };
    Im::open(hub.clone(), store, config.im.clone(), seams).await.context("cannot open the conversations")
}

#[cfg(feature = "search")]
async fn search(data: &Path) -> anyhow::Result<Option<Arc<dyn yizhan_im::seams::Search>>> {
    Ok(Some(Arc::new(crate::search::Indexing::open(data).await?)))
}

#[cfg(not(feature = "search"))]
async fn search(_data: &Path) -> anyhow::Result<Option<Arc<dyn yizhan_im::seams::Search>>> {
    Ok(None)
}
