//! A client comes: which device it is, and where its stream is.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::{SessionId, service::Caller};
use yizhan_talk::{Again, Close};

use crate::{
    config::DevicesFull,
    content::{CONTENT_BYTES_MAX, TEXT_BYTES_MAX},
    denied::Wrong,
    im::Im,
    names,
    online::{Attached, Platform},
    op::{Nothing, Op, op},
};

/// Bytes of a device's name.
const DEVICE_BYTES_MAX: usize = 64;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Attach {
    /// What the client runs on.
    #[serde(default)]
    platform: Platform,
    /// The device's own name, always the same on one device; at most 64 bytes. Where there is none, the session's.
    device: Option<String>,
}

/// One is attached.
#[derive(Debug, Serialize, JsonSchema)]
struct AttachedAs {
    /// Who one is.
    user: Arc<str>,
    /// The topic that brings everything: subscribe to it.
    stream: String,
    /// What the server takes.
    limits: LimitsShown,
}

/// What the server takes.
#[derive(Debug, Serialize, JsonSchema)]
struct LimitsShown {
    /// Bytes of a text.
    text_bytes: usize,
    /// Bytes of a message's content.
    content_bytes: usize,
    /// Seconds in which one may recall a message.
    recall_s: u64,
    /// Seconds in which one may edit a message.
    edit_s: u64,
    /// Members of a group.
    members: usize,
}

/// A device that is here.
#[derive(Debug, Serialize, JsonSchema)]
struct Device {
    /// Its session.
    session: String,
    /// Its name.
    device: Arc<str>,
    /// What it runs on.
    platform: Platform,
    /// Since when it is here, milliseconds since 1970.
    since: u64,
    /// Whether it is the one that asks.
    #[serde(rename = "self")]
    own: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Devices {
    /// Those that are here.
    devices: Vec<Device>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Ended {
    /// How many sessions were ended.
    ended: usize,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "attach",
            "This session is a device of chats; after each reconnect, before all else.",
            |im: Im, caller: Caller, input: Attach| async move { im.attach(&caller, input).await },
        ),
        op("devices", "One's devices that are here.", |im: Im, caller: Caller, _: Nothing| async move {
            Ok(im.devices(&caller))
        }),
        op(
            "logout_others",
            "Ends the sessions of one's other devices.",
            |im: Im, caller: Caller, _: Nothing| async move { Ok(im.logout_others(&caller)) },
        ),
    ]
}

impl Im {
    async fn attach(&self, caller: &Caller, input: Attach) -> Result<AttachedAs, Wrong> {
        let Attach { platform, device } = input;
        if device.as_ref().is_some_and(|d| d.is_empty() || d.len() > DEVICE_BYTES_MAX) {
            return Err(Wrong::BadInput(format!("a device's name has 1 to {DEVICE_BYTES_MAX} bytes")));
        }
        let device = device.map(Arc::from).or_else(|| caller.who.device.clone());
        let device = device.unwrap_or_else(|| caller.session.to_string().into());
        let attached =
            Attached { session: caller.session, device, platform, since: caller.now.wall.as_millis() };
        let known = self.person(&caller.who.user).await?;
        self.make_room(&caller.who.user, &attached)?;
        if self.inner.online.attach(&caller.who.user, attached) {
            {
                let mut person = known.lock();
                person.last_seen = caller.now.wall.as_millis();
                known.wrote(self.inner.ledger.put([known.row(&person)]));
            }
            self.tell_presence(&known);
        }
        let config = self.config();
        Ok(AttachedAs {
            user: caller.who.user.clone(),
            stream: names::stream(&caller.who.user).as_str().to_owned(),
            limits: LimitsShown {
                text_bytes: TEXT_BYTES_MAX,
                content_bytes: CONTENT_BYTES_MAX,
                recall_s: config.recall_for.as_secs(),
                edit_s: config.edit_for.as_secs(),
                members: config.members_max,
            },
        })
    }

    /// A session lost its connection or ended.
    pub(crate) fn detach(&self, user: &str, session: SessionId) {
        let (was, last) = self.inner.online.detach(user, session);
        if was {
            self.inner.watching.remove(user, session);
        }
        if last && let Some(known) = self.inner.people.find(user) {
            {
                let mut person = known.lock();
                person.last_seen = self.now().wall.as_millis();
                known.wrote(self.inner.ledger.put([known.row(&person)]));
            }
            self.tell_presence(&known);
        }
    }

    /// Makes room for a device where its user has as many as the config lets them.
    fn make_room(&self, user: &str, new: &Attached) -> Result<(), Wrong> {
        let config = self.config();
        let mut here = self.inner.online.of(user);
        // Another session of the same device takes no more room.
        here.retain(|a| a.session != new.session && a.device != new.device);
        here.sort_by_key(|a| a.since);
        let alike: Vec<_> = here.iter().filter(|a| a.platform == new.platform).cloned().collect();
        let over = |count: usize, max: usize| (count + 1).saturating_sub(max);
        let over_platform = over(alike.len(), config.devices_of_platform_max);
        let over_all = over(here.len(), config.devices_max);
        if over_platform == 0 && over_all == 0 {
            return Ok(());
        }
        if config.devices_full == DevicesFull::Refuse {
            return Err(Wrong::NotAllowed(
                "you are signed in on as many devices as are allowed: sign out on one",
            ));
        }
        let mut gone: Vec<_> = alike.into_iter().take(over_platform).collect();
        let others = here.into_iter().filter(|a| !gone.iter().any(|g| g.session == a.session));
        let others: Vec<_> = others.take(over_all.saturating_sub(gone.len())).collect();
        gone.extend(others);
        for old in gone {
            let close = Close::new(4011, "another device took this one's place", Again::Never);
            (self.inner.seams.kick)(old.session, close);
        }
        Ok(())
    }

    fn devices(&self, caller: &Caller) -> Devices {
        let shown = |attached: Attached| Device {
            own: attached.session == caller.session,
            session: attached.session.to_string(),
            device: attached.device,
            platform: attached.platform,
            since: attached.since,
        };
        Devices { devices: self.inner.online.of(&caller.who.user).into_iter().map(shown).collect() }
    }

    fn logout_others(&self, caller: &Caller) -> Ended {
        let others =
            self.inner.online.of(&caller.who.user).into_iter().filter(|a| a.session != caller.session);
        let mut ended = 0;
        for other in others {
            let close = Close::new(4010, "you logged this device out from another one", Again::Never);
            (self.inner.seams.kick)(other.session, close);
            ended += 1;
        }
        Ended { ended }
    }
}
