//! What is on air, and who watches it.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use yizhan_hub::service::Caller;

use super::{
    Live,
    denied::Wrong,
    op::{Audience, OfBroadcast, Op, op},
};
use crate::{
    Name,
    access::is_one,
    broadcast::{Broadcast, State},
    track::{Detail, Track},
};

/// Broadcasts of one answer.
const LISTED_MAX: usize = 1_000;
/// Viewers of one answer.
const VIEWERS_MAX: usize = 1_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Only of this app.
    #[serde(default)]
    app: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    /// What the caller may watch, by name; at most 1,000.
    broadcasts: Vec<Shown>,
    /// Whether there are more.
    more: bool,
}

/// A broadcast, as everybody who may watch it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Shown {
    /// The app.
    app: Arc<str>,
    /// Its name in it.
    name: Arc<str>,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Arc<str>>,
    /// When it went on air, milliseconds since 1970.
    since: u64,
    /// Whether its publisher was cut off and may come back.
    lost: bool,
    /// Who publishes it, where it is an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Arc<str>>,
    /// How many watch it.
    viewers: usize,
    /// The picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<Picture>,
    /// The sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<Sound>,
    /// The rungs of its ladder that run now, by name.
    rungs: Vec<String>,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Picture {
    /// As people write it: `H.264`.
    codec: &'static str,
    /// Pixels.
    width: u32,
    /// Pixels.
    height: u32,
}

/// A sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Sound {
    /// As people write it: `AAC`.
    codec: &'static str,
    /// Samples a second.
    rate: u32,
    /// Channels.
    channels: u8,
}

impl Picture {
    pub(crate) fn of(track: &Track) -> Option<Self> {
        let Detail::Video { width, height, .. } = track.detail else { return None };
        Some(Self { codec: track.codec.name(), width, height })
    }
}

impl Sound {
    pub(crate) fn of(track: &Track) -> Option<Self> {
        let Detail::Audio { rate, channels, .. } = track.detail else { return None };
        Some(Self { codec: track.codec.name(), rate, channels })
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Whole {
    /// What everybody sees.
    broadcast: Shown,
    /// Whether the caller leads it: publishes it, or runs the server.
    leads: bool,
    /// Seconds between two texts of one person in its chat.
    slow_s: u64,
    /// Whether only its leaders write.
    closed: bool,
    /// For its leaders: all numbers, of it and of each of its rungs by their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<BTreeMap<String, Value>>,
    /// For its leaders: who is muted, and until when (milliseconds since 1970; `null`: for good).
    #[serde(skip_serializing_if = "Option::is_none")]
    muted: Option<BTreeMap<String, Option<u64>>>,
    /// For its leaders: who is banned from its chat, and until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    banned: Option<BTreeMap<String, Option<u64>>>,
    /// For its leaders: whether it is being recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Watching {
    /// How many watch.
    count: usize,
    /// They, the longest first; at most 1,000. Each has an `id` to kick it by, `door`, `since`, `client`, `sent_bytes`,
    /// and where they are known `user` and `address`.
    viewers: Vec<Value>,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "list",
            Audience::Everybody,
            "What is on air.",
            |live: Live, caller: Caller, input: List| async move { live.list(&caller, &input) },
        ),
        op(
            "show",
            Audience::Everybody,
            "A broadcast, with its chat's rules; with all of its numbers for those who lead it.",
            |live: Live, caller: Caller, input: OfBroadcast| async move { live.show(&caller, &input.name()?) },
        ),
        op(
            "viewers",
            Audience::Leaders,
            "Who watches a broadcast.",
            |live: Live, caller: Caller, input: OfBroadcast| async move { live.watching(&caller, &input.name()?) },
        ),
    ]
}

/// Times as they are shown.
fn times(of: &BTreeMap<String, u64>, now: u64) -> BTreeMap<String, Option<u64>> {
    let running = of.iter().filter(|(_, until)| **until > now);
    running.map(|(who, until)| (who.clone(), (*until != super::rooms::FOREVER).then_some(*until))).collect()
}

/// How many watch a broadcast and its rungs.
pub(crate) fn audience(all: &[Broadcast]) -> usize {
    let of = |broadcast: &Broadcast| match broadcast.name().rung_name() {
        None => broadcast.viewer_count(),
        Some(_) => {
            let doors = broadcast.view().viewers;
            doors.iter().filter(|(door, _)| is_one(broadcast.name(), door)).map(|(_, count)| count).sum()
        }
    };
    all.iter().map(of).sum()
}

impl Live {
    /// A broadcast, as everybody sees it: the source with what runs of its ladder.
    pub(crate) fn shown(&self, broadcast: &Broadcast) -> Shown {
        let (name, setup) = (broadcast.name(), broadcast.setup());
        let all = self.inner.media.rungs(name);
        let rungs = all.iter().filter_map(|rung| rung.name().rung_name().map(str::to_owned)).collect();
        Shown {
            app: name.app.clone(),
            name: name.name.clone(),
            title: broadcast.title(),
            since: broadcast.began().as_millis(),
            lost: broadcast.state() == State::Lost,
            user: broadcast.publisher().user,
            viewers: audience(&all),
            video: setup.video.as_deref().and_then(Picture::of),
            audio: setup.audio.as_deref().and_then(Sound::of),
            rungs,
        }
    }

    fn list(&self, caller: &Caller, input: &List) -> Result<Listed, Wrong> {
        let mut broadcasts = Vec::new();
        for broadcast in self.inner.media.list() {
            let name = broadcast.name();
            let other = input.app.as_deref().is_some_and(|app| app != &*name.app);
            if other || name.rung_name().is_some() || !self.may_watch(&caller.who, name) {
                continue;
            }
            if broadcasts.len() >= LISTED_MAX {
                return Ok(Listed { broadcasts, more: true });
            }
            broadcasts.push(self.shown(&broadcast));
        }
        Ok(Listed { broadcasts, more: false })
    }

    /// A broadcast that the caller may watch.
    pub(crate) fn seen(&self, caller: &Caller, name: &Name) -> Result<Broadcast, Wrong> {
        if !self.may_watch(&caller.who, name) {
            return Err(Wrong::NotAllowed("you may not watch this broadcast".into()));
        }
        self.inner.media.find(name).ok_or(Wrong::NotOnAir)
    }

    fn show(&self, caller: &Caller, name: &Name) -> Result<Whole, Wrong> {
        let broadcast = self.seen(caller, name)?;
        let (leads, now) = (self.leads(&caller.who, name), caller.now.wall.as_millis());
        let kept = self.inner.rooms.look(name, Clone::clone);
        let detail = || {
            let all = self.inner.media.rungs(name);
            // A view is a plain struct with text keys: it is always written.
            let view = |of: &Broadcast| serde_json::to_value(of.view()).unwrap_or_default();
            all.iter().map(|of| (of.name().name.to_string(), view(of))).collect()
        };
        Ok(Whole {
            leads,
            slow_s: kept.slow_s.map_or_else(|| self.slow().as_secs(), u64::from),
            closed: kept.closed,
            detail: leads.then(detail),
            muted: leads.then(|| times(&kept.muted, now)),
            banned: leads.then(|| times(&kept.banned, now)),
            recording: self
                .inner
                .seams
                .recorder
                .as_ref()
                .filter(|_| leads)
                .map(|recorder| recorder.is_on(name)),
            broadcast: self.shown(&broadcast),
        })
    }

    fn watching(&self, caller: &Caller, name: &Name) -> Result<Watching, Wrong> {
        if !self.leads(&caller.who, name) {
            return Err(Wrong::NotAllowed("only its publisher and admins see who watches".into()));
        }
        if self.inner.media.find(name).is_none() {
            return Err(Wrong::NotOnAir);
        }
        let rungs = self.inner.media.rungs(name);
        let here = |of: &Broadcast| {
            let name = of.name().clone();
            of.viewers().into_iter().filter(move |viewer| is_one(&name, viewer.door))
        };
        let mut all: Vec<_> = rungs.iter().flat_map(here).collect();
        all.sort_by_key(|viewer| viewer.id);
        let count = all.len();
        // A view is a plain struct with text keys: it is always written.
        let viewers =
            all.iter().take(VIEWERS_MAX).map(|v| serde_json::to_value(v).unwrap_or_default()).collect();
        Ok(Watching { count, viewers })
    }
}
