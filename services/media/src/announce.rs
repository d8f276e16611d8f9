//! What the server says of broadcasts, as keyed records of `live/APP/NAME`: whoever comes later hears the newest of each.
//!
//! | key | body |
//! |---|---|
//! | `on_air` | what `live/show` says of it, without `title` and `viewers` |
//! | `viewers` | a number; at most once a second |
//! | `title` | a JSON string |
//!
//! Each is taken away (an empty body) when it is over.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use yizhan_hub::{Content, Topic};
use yizhan_ring::Reader;

use crate::{
    Name,
    broadcast::{Broadcast, State},
    events::{Event, What},
    service::{
        Live,
        asks::{Picture, Sound, audience},
    },
};

/// Events that are taken at once.
const EVENTS_MAX: usize = 64;
/// The keys.
const ON_AIR: &str = "on_air";
const VIEWERS: &str = "viewers";
const TITLE: &str = "title";

/// What was said of each broadcast last.
#[derive(Default)]
pub(crate) struct Announced(Mutex<BTreeMap<Name, Said>>);

#[derive(Default, PartialEq, Eq)]
struct Said {
    on_air: Bytes,
    viewers: Option<usize>,
    title: Option<Arc<str>>,
}

/// The body of `on_air`.
#[derive(Serialize)]
struct OnAir<'a> {
    since: u64,
    lost: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<Picture>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<Sound>,
    rungs: Vec<&'a str>,
}

/// Says what happens, until the service is gone.
pub(crate) async fn run(mut events: Reader<Event>, live: impl Fn() -> Option<Live>) {
    let mut some = Vec::new();
    while let Ok(took) = events.take(EVENTS_MAX, &mut some).await {
        let Some(live) = live() else { return };
        if took.missed > 0 {
            live.announce_all();
        }
        for event in some.drain(..) {
            match event.what {
                What::OnAir(of) | What::Back(of) | What::Changed(of) | What::Lost(of) | What::Ended(of) => {
                    live.announce(&of.name().source());
                }
                What::Wanted(_) => {}
            }
        }
    }
}

impl Live {
    /// Says what has changed of one broadcast, but for how many watch it.
    pub(crate) fn announce(&self, source: &Name) {
        let broadcast = self.inner.media.find(source);
        // Held while it is said, so that what is said last is what holds.
        let mut announced = self.inner.announced.0.lock();
        match broadcast.filter(|broadcast| !broadcast.has_ended()) {
            Some(broadcast) => self.say_state(announced.entry(source.clone()).or_default(), &broadcast),
            None => {
                if let Some(said) = announced.remove(source) {
                    self.say_over(source, &said);
                }
            }
        }
    }

    /// Says what has changed of all of them.
    pub(crate) fn announce_all(&self) {
        let mut all: Vec<Name> = self.inner.announced.0.lock().keys().cloned().collect();
        let broadcasts = self.inner.media.list();
        let sources = broadcasts.iter().map(Broadcast::name).filter(|name| name.rung_name().is_none());
        all.extend(sources.cloned());
        all.sort_unstable();
        all.dedup();
        for name in all {
            self.announce(&name);
            self.announce_viewers(&name);
        }
    }

    fn announce_viewers(&self, source: &Name) {
        let count = audience(&self.inner.media.rungs(source));
        let mut announced = self.inner.announced.0.lock();
        if let Some(said) = announced.get_mut(source).filter(|said| said.viewers != Some(count)) {
            said.viewers = Some(count);
            self.say_key(&source.topic(""), VIEWERS, count.to_string().into());
        }
    }

    fn say_state(&self, said: &mut Said, broadcast: &Broadcast) {
        let (name, setup) = (broadcast.name(), broadcast.setup());
        let topic = name.topic("");
        if broadcast.title().is_none()
            && let Some(title) = self.inner.rooms.look(name, |kept| kept.title.clone())
        {
            broadcast.set_title(Some(title.into()));
        }
        let all = self.inner.media.rungs(name);
        let on_air = OnAir {
            since: broadcast.began().as_millis(),
            lost: broadcast.state() == State::Lost,
            user: broadcast.publisher().user,
            video: setup.video.as_deref().and_then(Picture::of),
            audio: setup.audio.as_deref().and_then(Sound::of),
            rungs: all.iter().filter_map(|rung| rung.name().rung_name()).collect(),
        };
        // A plain struct with text keys is always written.
        let on_air = Bytes::from(serde_json::to_vec(&on_air).unwrap_or_default());
        let title = broadcast.title();
        if said.title != title {
            self.say_key(&topic, TITLE, json_of(title.as_deref()));
            said.title = title;
        }
        if said.on_air != on_air {
            self.say_key(&topic, ON_AIR, on_air.clone());
            said.on_air = on_air;
        }
    }

    fn say_over(&self, source: &Name, said: &Said) {
        let topic = source.topic("");
        self.say_key(&topic, ON_AIR, Bytes::new());
        if said.viewers.is_some() {
            self.say_key(&topic, VIEWERS, Bytes::new());
        }
        if said.title.is_some() {
            self.say_key(&topic, TITLE, Bytes::new());
        }
    }

    fn say_key(&self, topic: &Topic, key: &str, body: Bytes) {
        self.inner.hub.announce(topic.clone(), Some(key.into()), Content::Json, body);
    }
}

/// A JSON string; empty for none.
fn json_of(text: Option<&str>) -> Bytes {
    // A string is always written.
    text.map(|text| serde_json::to_vec(text).unwrap_or_default().into()).unwrap_or_default()
}
